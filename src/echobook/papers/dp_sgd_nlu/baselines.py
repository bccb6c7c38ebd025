"""What eDP-SGD is compared with: plain SGD, clipping without noise, and DP-SGD example by example."""

from dataclasses import dataclass

from jaxtyping import Int
from torch import Tensor, nn

from echobook.privacy.accounting import SENSITIVITY
from echobook.privacy.mechanism import (
    Clipping,
    Losses,
    Step,
    add_noise,
    decayed,
    equal_shares,
    plain_gradients,
    sum_of_clipped_examples,
    zeros,
)
from echobook.privacy.taps import Gradients


@dataclass(frozen=True)
class Plain:
    """The mean gradient of the lot: no clipping, no noise, no privacy."""

    multiplier: float = 0.0
    decay: float = 1.0
    sensitivity: float = 1.0

    def gradient(self, model: nn.Module, losses: Losses, lot: Int[Tensor, "B"], step: Step) -> Gradients:
        """Mean gradient; zeros for an empty lot."""
        return plain_gradients(model, losses(lot).mean()) if len(lot) else zeros(model)


@dataclass(frozen=True)
class PerExample:
    """DP-SGD (Abadi et al. 2016): every example's gradient clipped to C, noise on the sum, over the
    expected lot.

    With multiplier 0 this is clipping alone. Attributes as in `MicroBatches`.
    """

    bound: float
    multiplier: float
    decay: float = 1.0
    by_layer: bool = False
    sensitivity: float = SENSITIVITY["examples"]

    def gradient(self, model: nn.Module, losses: Losses, lot: Int[Tensor, "B"], step: Step) -> Gradients:
        """The private gradient of one lot."""
        clipping = Clipping(self.bound, equal_shares(model) if self.by_layer else None)
        total = sum_of_clipped_examples(model, losses, lot, clipping)
        sigma = decayed(self.multiplier, self.decay, step.epoch)
        return add_noise(
            total, multiplier=sigma, bound=self.bound, summands=step.expected, generator=step.generator
        )
