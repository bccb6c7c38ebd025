"""Ghost norms and clipped sums against gradients that are formed one example at a time."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from echobook.papers.dp_sgd_nlu.model import LSTM
from echobook.privacy.functional import example_gradients, flat_norms
from echobook.privacy.taps import PrivacyError, Taps, example_norms, trainable_layers, weighted_gradients


class Mixed(nn.Module):
    """Embedding, recurrence, layer norm and a head: every rule in one model."""

    def __init__(self, padding: int | None = 0) -> None:
        super().__init__()
        self.embedding = nn.Embedding(7, 5, padding_idx=padding)
        self.lstm = LSTM(5, 4)
        self.norm = nn.LayerNorm(4)
        self.head = nn.Linear(4, 3)

    def forward(self, tokens: Tensor) -> Tensor:
        mask = (tokens != 0).float()
        states = self.norm(self.lstm(self.embedding(tokens), mask))
        return self.head((states * mask.unsqueeze(2)).sum(1))


def losses_of(model: nn.Module, inputs: Tensor, labels: Tensor) -> Tensor:
    return nn.functional.cross_entropy(model(inputs), labels, reduction="none")


def loop_gradients(model: nn.Module, inputs: Tensor, labels: Tensor) -> list[dict[str, Tensor]]:
    """One ordinary backward pass an example: slow and obvious."""
    found = []
    for row in range(len(inputs)):
        loss = losses_of(model, inputs[row : row + 1], labels[row : row + 1]).sum()
        parts = torch.autograd.grad(loss, list(model.parameters()), allow_unused=True)
        named = zip(model.named_parameters(), parts, strict=True)
        found.append({name: torch.zeros_like(w) if part is None else part for (name, w), part in named})
    return found


def ghost(model: nn.Module, inputs: Tensor, labels: Tensor):  # type: ignore[no-untyped-def]
    with Taps(model) as taps:
        return taps.layers(losses_of(model, inputs, labels))


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), batch=st.integers(1, 5), length=st.integers(1, 6))
def test_norms_and_sums_equal_a_loop_over_examples(seed: int, batch: int, length: int) -> None:
    torch.manual_seed(seed)
    model = Mixed().double()
    tokens, labels = torch.randint(0, 7, (batch, length)), torch.randint(0, 3, (batch,))
    tokens[:, 0] = torch.randint(1, 7, (batch,))
    single = loop_gradients(model, tokens, labels)
    layers = ghost(model, tokens, labels)
    norms = example_norms(layers)
    for layer, norm in norms.items():
        expected = [
            sum(g.pow(2).sum() for n, g in one.items() if n.rpartition(".")[0] == layer) for one in single
        ]
        assert torch.allclose(
            norm, torch.stack(expected).sqrt(), atol=1e-10
        )  # float64, sums of under 300 terms
    scales = torch.rand(batch, dtype=torch.float64)
    summed = weighted_gradients(layers, dict.fromkeys(norms, scales))
    for name in summed:
        expected_sum = sum(scale * one[name] for scale, one in zip(scales, single, strict=True))
        assert torch.allclose(summed[name], expected_sum, atol=1e-10)


@pytest.mark.parametrize(("positions", "width"), [(2, 40), (30, 2)])
def test_both_ways_to_a_linear_norm_agree_with_the_functional_fallback(positions: int, width: int) -> None:
    torch.manual_seed(1)
    model = nn.Linear(width, 3).double()
    inputs = torch.randn(4, positions, width, dtype=torch.float64)
    with Taps(model) as taps:
        layers = taps.layers(model(inputs).pow(2).sum((1, 2)))
    formed = example_gradients(model, lambda call, x: call(x).pow(2).sum(), inputs)
    assert torch.allclose(example_norms(layers)[""], flat_norms(formed), atol=1e-9)


def test_a_literal_linear_layer() -> None:
    """z = w x with x = (1, 2), then (0, 3); loss z^2 / 2: gradients z x = 5 (1, 2) and 6 (0, 3) for w = (1,
    2).
    """
    model = nn.Linear(2, 1, bias=False)
    model.weight.data = torch.tensor([[1.0, 2.0]])
    with Taps(model) as taps:
        layers = taps.layers(model(torch.tensor([[1.0, 2.0], [0.0, 3.0]])).pow(2).sum(1) / 2)
    assert example_norms(layers)[""].tolist() == pytest.approx([5 * 5**0.5, 18.0])
    summed = layers[""].weighted_sum(torch.tensor([1.0, 0.5]))
    assert summed["weight"].tolist() == [[5.0, 19.0]]


def test_equal_tokens_add_before_squaring() -> None:
    model = nn.Embedding(3, 1)
    with Taps(model) as taps:
        layers = taps.layers(model(torch.tensor([[1, 1], [1, 2]])).sum((1, 2)))
    assert example_norms(layers)[""].tolist() == pytest.approx([2.0, 2.0**0.5])


def test_a_padding_row_has_no_gradient_and_another_padding_changes_nothing() -> None:
    torch.manual_seed(0)
    model = Mixed()
    short, labels = torch.tensor([[3, 2]]), torch.tensor([1])
    padded = torch.tensor([[3, 2, 0, 0]])
    left, right = (example_norms(ghost(model, x, labels)) for x in (short, padded))
    for name in left:
        assert torch.allclose(left[name], right[name], atol=1e-6)
    assert ghost(model, padded, labels)["embedding"].weighted_sum(torch.ones(1))["weight"][0].abs().sum() == 0


def test_the_order_of_examples_does_not_matter() -> None:
    torch.manual_seed(2)
    model, tokens, labels = Mixed(), torch.randint(1, 7, (6, 5)), torch.randint(0, 3, (6,))
    order = torch.randperm(6)
    straight = example_norms(ghost(model, tokens, labels))
    turned = example_norms(ghost(model, tokens[order], labels[order]))
    for name in straight:
        assert torch.allclose(straight[name][order], turned[name], atol=1e-6)


def test_frozen_layers_are_left_alone_and_hooks_are_removed() -> None:
    model = Mixed()
    model.embedding.requires_grad_(False)
    assert "embedding" not in trainable_layers(model)
    layers = ghost(model, torch.tensor([[1, 2]]), torch.tensor([0]))
    assert "embedding" not in layers
    assert not any(module._forward_hooks for module in model.modules())


@pytest.mark.parametrize(
    ("model", "words"),
    [
        (nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2)), "batch norm mixes examples"),
        (nn.Sequential(nn.Conv1d(1, 1, 1)), "no rule for trainable weight, bias of Conv1d"),
        (nn.Sequential(nn.Tanh()), "no trainable parameter"),
    ],
)
def test_models_that_are_refused(model: nn.Module, words: str) -> None:
    with pytest.raises(PrivacyError, match=words):
        Taps(model)


def test_a_half_frozen_layer_and_a_shared_weight_are_refused() -> None:
    half = nn.Linear(2, 2)
    half.bias.requires_grad_(False)
    with pytest.raises(PrivacyError, match=r"\['bias'\] frozen, \['weight'\] not"):
        Taps(half)
    tied = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    tied[1].weight = tied[0].weight
    with pytest.raises(PrivacyError, match="layers 0 and 1 share weight"):
        Taps(tied)


def test_a_mean_in_place_of_losses_is_refused() -> None:
    model = nn.Linear(2, 1)
    with Taps(model) as taps, pytest.raises(PrivacyError, match="one loss an example"):
        taps.layers(model(torch.ones(3, 2)).mean())
