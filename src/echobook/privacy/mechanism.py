"""The private gradient: clip, sum, add Gaussian noise once, divide. Two ways to clip, one way to add noise.

Per example (Abadi et al. 2016, algorithm 1): each example's gradient is clipped to norm C, so that one
example moves the sum by at most C. Micro-batches (eDP-SGD): the *mean* gradient of each of G micro-batches
is clipped to norm C; one example then moves one clipped mean anywhere inside a ball of radius C, so by up
to 2C (`sensitivity`). Noise of
standard deviation sigma C is added once to the sum, which is divided by the expected number of summands: by
the expected lot for examples, by G for micro-batches.

Layer-wise clipping gives layer l its own bound C_l with sum C_l^2 = C^2, so that the whole norm stays at
most C."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from echobook.privacy.taps import (
    Gradients,
    PrivacyError,
    Taps,
    example_norms,
    trainable_layers,
    weighted_gradients,
)

Losses = Callable[[Int[Tensor, "B"]], Float[Tensor, "B"]]  # numbers of examples -> loss of each


@dataclass(frozen=True)
class Step:
    """What an estimator of the gradient may know of a step besides its lot.

    Attributes:
        expected: mean size of a lot.
        epoch: from 0; noise may decay with it.
        generator: source of the noise.
    """

    expected: float
    epoch: int
    generator: torch.Generator


@dataclass(frozen=True)
class Clipping:
    """How gradients are clipped.

    Attributes:
        bound: C, the largest norm that is kept.
        layers: shares w_l of C^2 by layer (any positive scale), or None for one norm over all layers.
    """

    bound: float
    layers: Mapping[str, float] | None = None

    def __post_init__(self) -> None:
        if not self.bound > 0:
            raise PrivacyError(f"bound: expected a clipping norm above 0, found {self.bound}")
        wrong = {name: share for name, share in (self.layers or {}).items() if not share > 0}
        if wrong:
            raise PrivacyError(f"layers: expected shares above 0, found {wrong}")

    def bounds(self, names: Sequence[str]) -> dict[str, float]:
        """C_l = C sqrt(w_l / sum w) for each layer; sum C_l^2 = C^2."""
        shares = dict(self.layers or {})
        if set(shares) != set(names):
            raise PrivacyError(f"layers: expected shares for {sorted(names)}, found {sorted(shares)}")
        total = sum(shares.values())
        return {name: self.bound * (shares[name] / total) ** 0.5 for name in names}


def equal_shares(model: nn.Module) -> dict[str, float]:
    """The same share for every layer with trainable parameters."""
    return dict.fromkeys(trainable_layers(model), 1.0)


def clip_scales(norms: Mapping[str, Float[Tensor, "B"]], clipping: Clipping) -> dict[str, Float[Tensor, "B"]]:
    """Factors min(1, C / norm) by layer; without layer-wise bounds they are those of the whole norm."""
    if clipping.layers is not None:
        bounds = clipping.bounds(list(norms))
        return {name: _shrink(norm, bounds[name]) for name, norm in norms.items()}
    whole = torch.stack([norm.pow(2) for norm in norms.values()]).sum(0).sqrt()
    return dict.fromkeys(norms, _shrink(whole, clipping.bound))


def _shrink(norm: Float[Tensor, "B"], bound: float) -> Float[Tensor, "B"]:
    """min(1, C / n); a gradient of 0 keeps factor 1. NaN passes, so that a broken loss is not hidden."""
    return torch.where(norm > bound, bound / norm, torch.where(norm.isnan(), norm, 1.0))


def sum_of_clipped_examples(
    model: nn.Module, losses: Losses, lot: Int[Tensor, "B"], clipping: Clipping
) -> Gradients:
    """Sum over the lot of each example's clipped gradient, by parameter; one backward pass, no (B, P)
    tensor.
    """
    if not len(lot):
        return zeros(model)
    with Taps(model) as taps:
        layers = taps.layers(losses(lot))
    norms = example_norms(layers)
    _refuse_nan(norms)
    found = weighted_gradients(layers, clip_scales(norms, clipping))
    missing = {name: weight for name, weight in model.named_parameters() if weight.requires_grad}
    return found | {name: torch.zeros_like(w) for name, w in missing.items() if name not in found}


def sum_of_clipped_means(
    model: nn.Module,
    losses: Losses,
    parts: Sequence[Int[Tensor, "_"]],
    clipping: Clipping,
) -> Gradients:
    """Sum over micro-batches of each one's clipped mean gradient.

    One ordinary backward pass each; empty ones are skipped.
    """
    total = zeros(model)
    for part in (part for part in parts if len(part)):
        mean = plain_gradients(model, losses(part).mean())
        norms = _layer_norms(model, mean)
        _refuse_nan(norms)
        for name, factor in clip_scales(norms, clipping).items():
            for parameter in (key for key in mean if key.rpartition(".")[0] == name):
                total[parameter] += mean[parameter] * factor
    return total


def plain_gradients(model: nn.Module, loss: Float[Tensor, ""]) -> Gradients:
    """Gradient of one scalar loss by parameter; parameters that it does not reach have zeros."""
    named = {name: weight for name, weight in model.named_parameters() if weight.requires_grad}
    found = torch.autograd.grad(loss, list(named.values()), allow_unused=True)
    return {
        name: torch.zeros_like(weight) if part is None else part
        for (name, weight), part in zip(named.items(), found, strict=True)
    }


def _layer_norms(model: nn.Module, gradients: Gradients) -> dict[str, Float[Tensor, "1"]]:
    """Norm of a gradient in each layer, as if it were a batch of one."""
    some = next(iter(gradients.values()))
    squared = {name: some.new_zeros(1) for name in trainable_layers(model)}
    for parameter, part in gradients.items():
        squared[parameter.rpartition(".")[0]] += part.pow(2).sum()
    return {name: value.sqrt() for name, value in squared.items()}


def zeros(model: nn.Module) -> Gradients:
    """Zero gradients of all trainable parameters."""
    return {
        name: torch.zeros_like(weight) for name, weight in model.named_parameters() if weight.requires_grad
    }


def _refuse_nan(norms: Mapping[str, Tensor]) -> None:
    broken = [name for name, norm in norms.items() if not torch.isfinite(norm).all()]
    if broken:
        raise PrivacyError(
            f"layer {broken[0]}: gradient is not finite; lower the learning rate or look at the loss"
        )


def add_noise(
    total: Gradients, *, multiplier: float, bound: float, summands: float, generator: torch.Generator
) -> Gradients:
    """(total + N(0, (sigma C)^2 I)) / summands: noise once, on the sum.

    Args:
        total: sum of clipped gradients.
        multiplier: sigma, noise over clipping bound; 0 for none.
        bound: C.
        summands: expected lot for examples, number of micro-batches for means.
        generator: source of the noise; never reuse its seed in another run on the same data.
    """
    if multiplier < 0 or not summands > 0:
        raise PrivacyError(
            f"multiplier {multiplier}, summands {summands}: expected sigma >= 0 and a number above 0"
        )
    scale = multiplier * bound
    return {
        name: (part + scale * torch.randn(part.shape, generator=generator, dtype=part.dtype)) / summands
        for name, part in total.items()
    }


def poisson_lot(population: int, rate: float, generator: torch.Generator) -> Int[Tensor, "B"]:
    """Numbers of examples, each drawn independently with probability `rate`; the lot may be empty."""
    if not 0 < rate <= 1:
        raise PrivacyError(f"rate: expected a sampling rate in (0, 1], found {rate}")
    return torch.nonzero(torch.rand(population, generator=generator) < rate).flatten()


def random_parts(lot: Int[Tensor, "B"], parts: int, generator: torch.Generator) -> list[Int[Tensor, "_"]]:
    """Deal a lot into micro-batches, each example into one drawn uniformly, whatever the others do.

    With Poisson lots this makes the accounting exact: one example touches one micro-batch and moves no other.
    """
    if parts < 1:
        raise PrivacyError(f"parts: expected at least 1 micro-batch, found {parts}")
    place = torch.randint(parts, (len(lot),), generator=generator)
    return [lot[place == number] for number in range(parts)]


def decayed(multiplier: float, decay: float, epoch: int) -> float:
    """sigma_e = sigma_0 gamma^e, the noise multiplier of epoch e = 0, 1, ..."""
    if not 0 < decay <= 1:
        raise PrivacyError(f"decay: expected gamma in (0, 1], found {decay}")
    return multiplier * float(decay**epoch)
