"""eDP-SGD: clip the mean gradient of each micro-batch, layer by layer, and let the noise decay by epoch.

What is known of the paper's mechanism (from an outline; its algorithm box was not read): one micro-batch a
device in place of per-example gradients, a scaling of the clipping by layer, noise that decays from epoch
to epoch. In letters: a lot is dealt into G micro-batches B_j; with m_j the mean gradient of B_j, in layer l

    m_j^(l) <- m_j^(l) min(1, C_l / ||m_j^(l)||),   C_l = C sqrt(w_l / sum_k w_k)
    (1) g = (sum_j m_j + N(0, sigma_e^2 C^2 I)) / G,    sigma_e = sigma_0 gamma^e in epoch e
    (2)

An estimator is what a training loop asks for a gradient; it also says what one example can do to the sum
(`sensitivity`, in clipping bounds), on which the accounting rests.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from jaxtyping import Int
from torch import Tensor, nn

from echobook.privacy.accounting import SENSITIVITY, Phase, epsilon
from echobook.privacy.mechanism import (
    Clipping,
    Losses,
    Step,
    add_noise,
    decayed,
    equal_shares,
    random_parts,
    sum_of_clipped_means,
)
from echobook.privacy.taps import Gradients


@dataclass(frozen=True)
class MicroBatches:
    """The paper's gradient: clipped means of G micro-batches, one ordinary backward pass each.

    Attributes:
        parts: G, micro-batches in a lot (one a device).
        bound: C, clipping norm of a mean.
        multiplier: sigma_0, noise over C in the first epoch.
        decay: gamma, factor of the noise from epoch to epoch.
        by_layer: share C^2 equally among layers (1), or clip the whole gradient.
    """

    parts: int
    bound: float
    multiplier: float
    decay: float = 1.0
    by_layer: bool = True
    sensitivity: float = SENSITIVITY["means"]

    def gradient(self, model: nn.Module, losses: Losses, lot: Int[Tensor, "B"], step: Step) -> Gradients:
        """Equations (1) and (2) on one lot; its expected size plays no part."""
        clipping = Clipping(self.bound, equal_shares(model) if self.by_layer else None)
        dealt = random_parts(lot, self.parts, step.generator)
        total = sum_of_clipped_means(model, losses, dealt, clipping)
        sigma = decayed(self.multiplier, self.decay, step.epoch)
        return add_noise(
            total,
            multiplier=sigma,
            bound=self.bound,
            summands=float(self.parts),
            generator=step.generator,
        )


def phases(multiplier: float, decay: float, *, rate: float, steps: int, epochs: int) -> Sequence[Phase]:
    """The accountant's view of a run: one phase an epoch of `steps` lots, noise decaying."""
    return [Phase(decayed(multiplier, decay, epoch), rate, steps) for epoch in range(epochs)]


def spent(
    multiplier: float, decay: float, *, rate: float, steps: int, epochs: int, delta: float, sensitivity: float
) -> float:
    """Epsilon of a run at `delta`, with the sensitivity of its estimator."""
    run = phases(multiplier, decay, rate=rate, steps=steps, epochs=epochs)
    return epsilon(run, delta=delta, sensitivity=sensitivity)
