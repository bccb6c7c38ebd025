"""Clipping and noise: by hand, against loops, in distribution, and what is refused."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from echobook.privacy.mechanism import (
    Clipping,
    add_noise,
    clip_scales,
    decayed,
    equal_shares,
    plain_gradients,
    poisson_lot,
    random_parts,
    sum_of_clipped_examples,
    sum_of_clipped_means,
)
from echobook.privacy.taps import Gradients, PrivacyError


@pytest.fixture
def problem():  # type: ignore[no-untyped-def]
    torch.manual_seed(3)
    model = nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 2)).double()
    inputs, labels = torch.randn(12, 4, dtype=torch.float64), torch.randint(0, 2, (12,))

    def losses(numbers: Tensor) -> Tensor:
        return 5 * nn.functional.cross_entropy(model(inputs[numbers]), labels[numbers], reduction="none")

    return model, losses


def norm(gradients: Gradients) -> float:
    return float(torch.sqrt(sum(part.pow(2).sum() for part in gradients.values())))


def difference(left: Gradients, right: Gradients) -> float:
    return max(float((left[name] - right[name]).abs().max()) for name in left)


def test_the_sum_of_clipped_examples_equals_a_loop(problem) -> None:  # type: ignore[no-untyped-def]
    model, losses = problem
    lot = torch.tensor([0, 3, 4, 7, 11])
    for bound in (0.5, 2.0, 100.0):
        expected: Gradients = {}
        for number in lot:
            one = plain_gradients(model, losses(number[None]).sum())
            scale = min(1.0, bound / norm(one))
            expected = {name: expected.get(name, 0) + scale * part for name, part in one.items()}
        assert difference(sum_of_clipped_examples(model, losses, lot, Clipping(bound)), expected) < 1e-12


def test_one_example_a_micro_batch_is_clipping_by_example(problem) -> None:  # type: ignore[no-untyped-def]
    model, losses = problem
    lot = torch.arange(6)
    for clipping in (Clipping(0.7), Clipping(0.7, equal_shares(model))):
        means = sum_of_clipped_means(model, losses, [n[None] for n in lot], clipping)
        assert difference(means, sum_of_clipped_examples(model, losses, lot, clipping)) < 1e-12


def test_a_mean_is_clipped_after_averaging_and_empty_parts_add_nothing(problem) -> None:  # type: ignore[no-untyped-def]
    model, losses = problem
    part = torch.tensor([1, 2, 5])
    mean = plain_gradients(model, losses(part).mean())
    bound = norm(mean) / 3
    found = sum_of_clipped_means(model, losses, [part, part[:0]], Clipping(bound))
    assert norm(found) == pytest.approx(bound)
    assert difference(found, {name: value / 3 for name, value in mean.items()}) < 1e-12


def test_layer_bounds_keep_the_whole_norm(problem) -> None:  # type: ignore[no-untyped-def]
    model, losses = problem
    clipping = Clipping(0.2, {"0": 1.0, "2": 3.0})
    assert clipping.bounds(["0", "2"]) == pytest.approx({"0": 0.1, "2": 0.2 * math.sqrt(0.75)})
    found = sum_of_clipped_means(model, losses, [torch.arange(12)], clipping)
    assert norm(found) <= 0.2 + 1e-12
    assert norm({n: p for n, p in found.items() if n.startswith("0")}) == pytest.approx(0.1)


@settings(deadline=None)
@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=8), st.floats(1e-3, 1e3))
def test_no_clipped_norm_is_above_the_bound(norms: list[float], bound: float) -> None:
    given_norms = torch.tensor(norms, dtype=torch.float64)
    scales = clip_scales({"layer": given_norms}, Clipping(bound))["layer"]
    assert (scales * given_norms <= bound * (1 + 1e-9)).all()
    assert (scales[given_norms <= bound] == 1).all()


def test_one_example_moves_clipped_examples_by_the_bound_and_a_clipped_mean_by_twice() -> None:
    """The worst case is real: a mean at +C with, and at -C without, one example."""
    model = nn.Linear(1, 1, bias=False)
    pull = torch.tensor([-1.0, 1e6])

    def losses(numbers: Tensor) -> Tensor:
        return model(torch.ones(len(numbers), 1)).squeeze(1) * pull[numbers]

    both, one = torch.tensor([0, 1]), torch.tensor([0])
    for found, expected in (
        ([sum_of_clipped_means(model, losses, [lot], Clipping(0.5)) for lot in (both, one)], 1.0),
        ([sum_of_clipped_examples(model, losses, lot, Clipping(0.5)) for lot in (both, one)], 0.5),
    ):
        assert difference(*found) == pytest.approx(expected)


def test_noise_has_the_stated_spread_and_is_added_once() -> None:
    total = {"a": torch.zeros(40_000), "b": torch.full((40_000,), 8.0)}
    made = add_noise(
        total, multiplier=0.5, bound=3.0, summands=4.0, generator=torch.Generator().manual_seed(0)
    )
    # standard error of a standard deviation from n values: s / sqrt(2 n); 4 of them
    spread = 0.5 * 3.0 / 4
    assert float(made["a"].std()) == pytest.approx(spread, abs=4 * spread / math.sqrt(80_000))
    assert float(made["b"].mean()) == pytest.approx(2.0, abs=4 * spread / 200)
    assert abs(float(np.corrcoef(made["a"], made["b"])[0, 1])) < 4 / 200
    again = add_noise(total, multiplier=0.0, bound=3.0, summands=4.0, generator=torch.Generator())
    assert torch.equal(again["b"], torch.full((40_000,), 2.0))


def test_lots_are_poisson_and_parts_are_a_partition() -> None:
    generator = torch.Generator().manual_seed(1)
    sizes = [len(poisson_lot(1000, 0.05, generator)) for _ in range(400)]
    assert np.mean(sizes) == pytest.approx(50, abs=4 * math.sqrt(47.5 / 400))
    assert np.var(sizes) == pytest.approx(47.5, rel=0.3)
    lot = poisson_lot(1000, 0.5, generator)
    parts = random_parts(lot, 7, generator)
    assert torch.equal(torch.cat(parts).sort().values, lot)
    assert len(poisson_lot(10, 1.0, generator)) == 10


def test_an_empty_lot_gives_zeros(problem) -> None:  # type: ignore[no-untyped-def]
    model, losses = problem
    none = torch.empty(0, dtype=torch.long)
    assert norm(sum_of_clipped_examples(model, losses, none, Clipping(1.0))) == 0
    assert norm(sum_of_clipped_means(model, losses, [none], Clipping(1.0))) == 0


def test_decay_is_geometric() -> None:
    assert [decayed(2.0, 0.5, epoch) for epoch in range(3)] == [2.0, 1.0, 0.5]


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: Clipping(0.0), "clipping norm above 0"),
        (lambda: Clipping(1.0, {"a": 0.0}), "shares above 0"),
        (lambda: Clipping(1.0, {"a": 1.0}).bounds(["b"]), r"shares for \['b'\]"),
        (lambda: decayed(1.0, 1.1, 0), r"gamma in \(0, 1\]"),
        (lambda: poisson_lot(10, 1.5, torch.Generator()), r"sampling rate in \(0, 1\], found 1.5"),
        (lambda: random_parts(torch.arange(3), 0, torch.Generator()), "at least 1 micro-batch"),
        (
            lambda: add_noise({}, multiplier=-1.0, bound=1.0, summands=1.0, generator=torch.Generator()),
            "sigma >= 0",
        ),
    ],
)
def test_refusals(call, words: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(PrivacyError, match=words):
        call()


def test_a_broken_loss_is_named_by_layer(problem) -> None:  # type: ignore[no-untyped-def]
    model, losses = problem
    with pytest.raises(PrivacyError, match="layer 0: gradient is not finite"):
        sum_of_clipped_examples(model, lambda n: losses(n) * math.nan, torch.arange(3), Clipping(1.0))
