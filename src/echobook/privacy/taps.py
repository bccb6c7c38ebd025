"""Norms of per-example gradients, and clipped sums of them, without forming one gradient for each example.

A layer that maps activations a to pre-activations z = W a + b has, for example i, the gradient sum_t d_it
a_it^T, where d = dL/dz and t runs over positions (Goodfellow 2015; Li et al. 2022, section 4 call the norms
taken from a and d "ghost" norms). So one backward pass down to the z's is enough:

- linear: ||G_i||^2 = sum_{t,t'} (a_it . a_it') (d_it . d_it'), or the norm of G_i itself where that is
  cheaper (2 T^2 > in * out);
- embedding: the same with 1[token_it = token_it'] in place of a . a';
- layer norm: the gradient has as many entries as features, so it is formed.

The clipped sum, sum_i s_i G_i, is one product of the scaled d and a: no second backward pass (the
"book-keeping" of Bu et al. 2023). A module that is called several times (a recurrent map) counts as one
layer whose positions are those of all calls, so an LSTM written with `nn.Linear` needs no rule of its own.

Axes: B examples, T positions, I inputs, O outputs. Cost over a plain backward pass: the norms, O(B T^2 (I +
O)) or O(B T I O); no weight gradients are computed on the way. Sums are in the dtype of the model."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

Gradients = dict[str, Tensor]


class PrivacyError(ValueError):
    """A model, setting or data set that the private mechanism cannot take."""


@runtime_checkable
class Layer(Protocol):
    """One layer after a backward pass: its part of each example's squared norm, and of the clipped sum."""

    def squared_norms(self) -> Float[Tensor, "B"]: ...
    def weighted_sum(self, scales: Float[Tensor, "B"]) -> Gradients: ...


@dataclass(frozen=True)
class LinearLayer:
    """A linear map's inputs and gradients of its outputs, over all positions of all calls."""

    inputs: Float[Tensor, "B T I"]
    gradients: Float[Tensor, "B T O"]
    bias: bool

    def squared_norms(self) -> Float[Tensor, "B"]:
        """Squared norm of each example's gradient of weight and bias."""
        _, positions, width = self.inputs.shape
        if positions == 1:  # an outer product: its norm is the product of the norms
            squared = self.inputs.pow(2).sum((1, 2)) * self.gradients.pow(2).sum((1, 2))
        elif 2 * positions**2 > width * self.gradients.shape[2]:
            formed = torch.bmm(self.gradients.mT, self.inputs)  # (B, O, I)
            squared = formed.pow(2).sum((1, 2))
        else:
            squared = (_gram(self.inputs) * _gram(self.gradients)).sum((1, 2))
        return squared + self.gradients.sum(1).pow(2).sum(1) if self.bias else squared

    def weighted_sum(self, scales: Float[Tensor, "B"]) -> Gradients:
        """Sum over examples of scale times gradient, by parameter."""
        scaled = (self.gradients * scales[:, None, None]).flatten(0, 1)  # (B T, O)
        summed = {"weight": scaled.mT @ self.inputs.flatten(0, 1)}
        return summed | {"bias": scaled.sum(0)} if self.bias else summed


@dataclass(frozen=True)
class EmbeddingLayer:
    """An embedding's token numbers and gradients of its outputs; `padding` has no gradient."""

    tokens: Int[Tensor, "B T"]
    gradients: Float[Tensor, "B T O"]
    rows: int
    padding: int | None

    def _unpadded(self) -> Float[Tensor, "B T O"]:
        if self.padding is None:
            return self.gradients
        return self.gradients * (self.tokens != self.padding).unsqueeze(2)

    def squared_norms(self) -> Float[Tensor, "B"]:
        """Squared norm of each example's gradient of the table; equal tokens add up before squaring."""
        same = self.tokens.unsqueeze(2) == self.tokens.unsqueeze(1)  # (B, T, T)
        return (_gram(self._unpadded()) * same).sum((1, 2))

    def weighted_sum(self, scales: Float[Tensor, "B"]) -> Gradients:
        """Sum over examples of scale times gradient of the table."""
        scaled = (self._unpadded() * scales[:, None, None]).flatten(0, 1)
        table = scaled.new_zeros(self.rows, scaled.shape[1])
        return {"weight": table.index_add_(0, self.tokens.flatten(), scaled)}


@dataclass(frozen=True)
class NormLayer:
    """A layer norm's normalised inputs and gradients of its outputs."""

    normalised: Float[Tensor, "B T O"]
    gradients: Float[Tensor, "B T O"]
    bias: bool

    def _formed(self) -> dict[str, Float[Tensor, "B O"]]:
        formed = {"weight": (self.normalised * self.gradients).sum(1)}
        return formed | {"bias": self.gradients.sum(1)} if self.bias else formed

    def squared_norms(self) -> Float[Tensor, "B"]:
        """Squared norm of each example's gradient of gain and bias."""
        return torch.stack([formed.pow(2).sum(1) for formed in self._formed().values()]).sum(0)

    def weighted_sum(self, scales: Float[Tensor, "B"]) -> Gradients:
        """Sum over examples of scale times gradient, by parameter."""
        return {name: scales @ formed for name, formed in self._formed().items()}


def _gram(vectors: Float[Tensor, "B T D"]) -> Float[Tensor, "B T T"]:
    return torch.bmm(vectors, vectors.mT)


def _positions(values: Tensor, name: str) -> Float[Tensor, "B T D"]:
    """Give every activation one axis of positions: (B, D) becomes (B, 1, D)."""
    if values.dim() < 2:
        raise PrivacyError(f"layer {name}: expected the batch on the first axis, found {tuple(values.shape)}")
    return values.unsqueeze(1) if values.dim() == 2 else values.flatten(1, -2)


def _own(module: nn.Module) -> list[str]:
    return [name for name, weight in module.named_parameters(recurse=False) if weight.requires_grad]


def trainable_layers(model: nn.Module) -> dict[str, nn.Module]:
    """Modules with trainable parameters of their own, by name.

    Raises: PrivacyError: a batch norm (it mixes examples); a trainable parameter in a kind of module that
        has no rule here; a parameter that two modules share; nothing trainable at all."""
    found, owners = {}, dict[int, str]()
    for name, module in model.named_modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            raise PrivacyError(
                f"layer {name}: a batch norm mixes examples, so no example's gradient is its own; "
                "use a layer norm"
            )
        if own := _own(module):
            _check_kind(name, module, own)
            for part in own:
                other = owners.setdefault(id(getattr(module, part)), name)
                if other != name:
                    raise PrivacyError(f"layers {other} and {name} share {part}; give each its own")
            found[name] = module
    if not found:
        raise PrivacyError("the model has no trainable parameter")
    return found


def _check_kind(name: str, module: nn.Module, own: list[str]) -> None:
    if not isinstance(module, nn.Linear | nn.Embedding | nn.LayerNorm):
        raise PrivacyError(
            f"layer {name}: no rule for trainable {', '.join(own)} of {type(module).__name__}; "
            "known: Linear, Embedding, LayerNorm. Freeze it, or use echobook.privacy.functional"
        )
    every = {part for part, _ in module.named_parameters(recurse=False)}
    if every != set(own):
        raise PrivacyError(f"layer {name}: {sorted(every - set(own))} frozen, {own} not; freeze all or none")


class Taps:
    """Listens to a model's forward pass: `with Taps(model) as taps: losses = f(model)`, then
    `taps.layers(losses)`.

    Raises:
        PrivacyError: what :func:`trainable_layers` refuses.
    """

    def __init__(self, model: nn.Module) -> None:
        self._modules = trainable_layers(model)
        self._calls: dict[str, list[tuple[Tensor, Tensor]]] = {name: [] for name in self._modules}
        self._handles: list[torch.utils.hooks.RemovableHandle] = []

    def __enter__(self) -> "Taps":
        for name, module in self._modules.items():
            self._handles.append(module.register_forward_hook(self._listener(name)))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for handle in self._handles:
            handle.remove()
        self._handles.clear()

    def _listener(self, name: str):  # type: ignore[no-untyped-def]
        def listen(_module: nn.Module, arguments: tuple[Tensor, ...], output: Tensor) -> None:
            self._calls[name].append((arguments[0].detach(), output))

        return listen

    def layers(self, losses: Float[Tensor, "*_"]) -> dict[str, Layer]:
        """Run one backward pass from the sum of the B losses and return each layer that was called.

        Example i's loss must depend on example i alone; that is the caller's duty (no batch statistics).
        """
        if losses.dim() != 1:
            raise PrivacyError(
                f"losses: expected one loss an example, shape (B,), found {tuple(losses.shape)}"
            )
        called = [(name, call) for name, calls in self._calls.items() for call in calls]
        outputs = [output for _, (_, output) in called]
        gradients = torch.autograd.grad(losses.sum(), outputs, allow_unused=True)
        by_layer: dict[str, list[tuple[Tensor, Tensor]]] = {}
        for (name, (inputs, output)), gradient in zip(called, gradients, strict=True):
            filled = torch.zeros_like(output) if gradient is None else gradient
            by_layer.setdefault(name, []).append((inputs, filled))
        self._calls = {name: [] for name in self._modules}
        return {name: _layer(name, self._modules[name], calls) for name, calls in by_layer.items()}


def _layer(name: str, module: nn.Module, calls: list[tuple[Tensor, Tensor]]) -> Layer:
    gradients = _joined([_positions(gradient, name) for _, gradient in calls])
    if isinstance(module, nn.Embedding):
        tokens = _joined([inputs.flatten(1) for inputs, _ in calls])
        return EmbeddingLayer(tokens, gradients, module.num_embeddings, module.padding_idx)
    inputs = _joined([_positions(activation, name) for activation, _ in calls])
    if isinstance(module, nn.LayerNorm):
        plain = nn.functional.layer_norm(inputs, module.normalized_shape, eps=module.eps)
        return NormLayer(plain, gradients, module.bias is not None)
    return LinearLayer(inputs, gradients, module.bias is not None)


def _joined(calls: list[Tensor]) -> Tensor:
    """Positions of all calls side by side; one call is not copied."""
    return calls[0] if len(calls) == 1 else torch.cat(calls, dim=1)


def example_norms(layers: Mapping[str, Layer]) -> dict[str, Float[Tensor, "B"]]:
    """Norm of each example's gradient, layer by layer."""
    return {name: layer.squared_norms().clamp_min(0).sqrt() for name, layer in layers.items()}


def weighted_gradients(layers: Mapping[str, Layer], scales: Mapping[str, Float[Tensor, "B"]]) -> Gradients:
    """Sum over examples of scale times gradient, by full parameter name; scales may differ by layer."""
    return {
        f"{name}.{part}": summed
        for name, layer in layers.items()
        for part, summed in layer.weighted_sum(scales[name]).items()
    }
