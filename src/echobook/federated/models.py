"""Models that a device trains: all weights in one flat vector, so that a server averages without knowing
them.

    softmax      z = x W + b
    two layers   z = relu(x A + a) W + b

with the cross-entropy of softmax(z), averaged over a batch. A class outside ``known`` has probability 0: a
fleet whose classes grow from period to period keeps one output layer of fixed size (its unseen classes get
no gradient until they are seen).

Gradients are written out by hand: a step on ten examples takes tens of microseconds, of which a general
library would spend more on bookkeeping. All float32. Axes: B batch, D features, H hidden units, V classes,
P parameters.
"""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Float, Float32, Int


@runtime_checkable
class Model(Protocol):
    """What local training and evaluation need of a model."""

    @property
    def size(self) -> int:
        """Number of parameters."""

    def start(self, seed: int) -> Float32[np.ndarray, " P"]:
        """Parameters before any training."""

    def scores(
        self, theta: Float32[np.ndarray, " P"], x: Float32[np.ndarray, "B D"]
    ) -> Float32[np.ndarray, "B V"]:
        """Logits; minus infinity for classes that are not known yet."""

    def gradient(
        self,
        theta: Float32[np.ndarray, " P"],
        x: Float32[np.ndarray, "B D"],
        y: Int[np.ndarray, " B"],
        out: Float32[np.ndarray, " P"],
    ) -> None:
        """Write the gradient of the batch's mean cross-entropy into ``out``."""


@dataclass(frozen=True)
class Softmax:
    """A linear model of D ``features`` and V ``classes``; ``known``: which classes exist yet, all by
    default.
    """

    features: int
    classes: int
    known: Bool[np.ndarray, " V"] | None = None

    @property
    def size(self) -> int:
        """Weights and biases."""
        return (self.features + 1) * self.classes

    def start(self, seed: int) -> Float32[np.ndarray, " P"]:
        """Zeros: the loss is convex, so no symmetry has to be broken. ``seed`` is not used."""
        return np.zeros(self.size, dtype=np.float32)

    def scores(
        self, theta: Float32[np.ndarray, " P"], x: Float32[np.ndarray, "B D"]
    ) -> Float32[np.ndarray, "B V"]:
        """Logits x W + b."""
        z = x @ theta[: -self.classes].reshape(self.features, self.classes) + theta[-self.classes :]
        return _masked(z, self.known)

    def gradient(
        self,
        theta: Float32[np.ndarray, " P"],
        x: Float32[np.ndarray, "B D"],
        y: Int[np.ndarray, " B"],
        out: Float32[np.ndarray, " P"],
    ) -> None:
        """With e = (p - onehot(y)) / B: x^T e for W, the sum of e for b."""
        error = logit_errors(self.scores(theta, x), y)
        np.matmul(x.T, error, out=out[: -self.classes].reshape(self.features, self.classes))
        np.sum(error, axis=0, out=out[-self.classes :])


@dataclass(frozen=True)
class TwoLayer:
    """One hidden layer of ``hidden`` rectified units; ``known`` as in :class:`Softmax`."""

    features: int
    hidden: int
    classes: int
    known: Bool[np.ndarray, " V"] | None = None

    @property
    def size(self) -> int:
        """Weights and biases of both layers."""
        return (self.features + 1) * self.hidden + (self.hidden + 1) * self.classes

    def start(self, seed: int) -> Float32[np.ndarray, " P"]:
        """He's normal start for the hidden layer, zeros elsewhere."""
        theta = np.zeros(self.size, dtype=np.float32)
        drawn = np.random.default_rng(seed).standard_normal(self.features * self.hidden, dtype=np.float32)
        theta[: drawn.size] = drawn * np.float32(np.sqrt(2 / self.features))
        return theta

    def _parts(
        self, theta: Float32[np.ndarray, " P"]
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """A (D, H), a (H), W (H, V), b (V), as views."""
        d, h, v = self.features, self.hidden, self.classes
        a, w = theta[: d * h].reshape(d, h), theta[(d + 1) * h : -v].reshape(h, v)
        return a, theta[d * h : (d + 1) * h], w, theta[-v:]

    def scores(
        self, theta: Float32[np.ndarray, " P"], x: Float32[np.ndarray, "B D"]
    ) -> Float32[np.ndarray, "B V"]:
        """Logits."""
        first, bias, second, last = self._parts(theta)
        return _masked(np.maximum(x @ first + bias, 0) @ second + last, self.known)

    def gradient(
        self,
        theta: Float32[np.ndarray, " P"],
        x: Float32[np.ndarray, "B D"],
        y: Int[np.ndarray, " B"],
        out: Float32[np.ndarray, " P"],
    ) -> None:
        """The chain rule through both layers."""
        first, bias, second, last = self._parts(theta)
        into_first, into_bias, into_second, into_last = self._parts(out)
        active = np.maximum(x @ first + bias, 0)  # (B, H)
        error = logit_errors(_masked(active @ second + last, self.known), y)
        np.matmul(active.T, error, out=into_second)
        np.sum(error, axis=0, out=into_last)
        back = (error @ second.T) * (active > 0)  # (B, H)
        np.matmul(x.T, back, out=into_first)
        np.sum(back, axis=0, out=into_bias)


def _masked(
    z: Float32[np.ndarray, "B V"], known: Bool[np.ndarray, " V"] | None
) -> Float32[np.ndarray, "B V"]:
    if known is not None:
        z[:, ~known] = -np.inf
    return z


def logit_errors(z: Float32[np.ndarray, "B V"], y: Int[np.ndarray, " B"]) -> Float32[np.ndarray, "B V"]:
    """(softmax(z) - onehot(y)) / B, written over ``z``."""
    z -= z.max(axis=1, keepdims=True)
    np.exp(z, out=z)
    z /= z.sum(axis=1, keepdims=True)
    z[np.arange(len(y)), y] -= 1
    z /= np.float32(len(y))
    return z


def cross_entropy(z: Float32[np.ndarray, "B V"], y: Int[np.ndarray, " B"]) -> Float[np.ndarray, " B"]:
    """Loss of each example, nats, float64."""
    wide = z.astype(np.float64)
    top = wide.max(axis=1)
    return top + np.log(np.exp(wide - top[:, None]).sum(axis=1)) - wide[np.arange(len(y)), y]
