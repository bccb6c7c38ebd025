"""Time of a private step: ours against a plain step and against Opacus' hooks, in one process, taken in turn.

Printed, not asserted (`make bench`); that both clip to the same gradient is asserted first. CPU time, one
thread.
"""

import time
from collections.abc import Callable

import pytest
import torch
from opacus import GradSampleModule
from torch import Tensor, nn

from echobook.papers.dp_sgd_nlu.material import Batch
from echobook.papers.dp_sgd_nlu.model import build_bilstm, joint_losses
from echobook.privacy.mechanism import Clipping, plain_gradients, sum_of_clipped_examples

pytestmark = [pytest.mark.benchmark, pytest.mark.slow]
ROUNDS = 15


def in_turn(**steps: Callable[[], object]) -> dict[str, float]:
    """Least CPU milliseconds of each step over rounds in which all are run one after the other."""
    best = dict.fromkeys(steps, float("inf"))
    for _ in range(ROUNDS):
        for name, step in steps.items():
            begun = time.process_time()
            step()
            best[name] = min(best[name], 1000 * (time.process_time() - begun))
    return best


def mlp() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(384, 256), nn.ReLU(), nn.Linear(256, 150))


def hooked_sum(model: nn.Module, inputs: Tensor, labels: Tensor, bound: float) -> dict[str, Tensor]:
    """Sum of clipped gradients through Opacus' per-example gradients."""
    model.zero_grad()
    nn.functional.cross_entropy(model(inputs), labels, reduction="sum").backward()
    samples = {name.removeprefix("_module."): w.grad_sample for name, w in model.named_parameters()}
    norms = torch.stack([part.flatten(1).norm(dim=1) for part in samples.values()]).norm(dim=0)
    scales = (bound / norms).clamp(max=1.0)
    return {name: torch.tensordot(scales, part, dims=1) for name, part in samples.items()}


@pytest.mark.filterwarnings("ignore")  # Opacus' hooks warn of torch's own deprecations
def test_mlp_against_opacus(capsys: pytest.CaptureFixture[str]) -> None:
    torch.set_num_threads(1)
    inputs, labels = torch.randn(256, 384), torch.randint(0, 150, (256,))
    ours, hooked = mlp(), GradSampleModule(mlp(), loss_reduction="sum")
    lot = torch.arange(256)

    def losses(numbers: Tensor) -> Tensor:
        return nn.functional.cross_entropy(ours(inputs[numbers]), labels[numbers], reduction="none")

    def private() -> dict[str, Tensor]:
        return sum_of_clipped_examples(ours, losses, lot, Clipping(0.1))

    expected = hooked_sum(hooked, inputs, labels, 0.1)
    for name, part in private().items():
        assert torch.allclose(part, expected[name], atol=1e-4)
    found = in_turn(
        plain=lambda: plain_gradients(ours, losses(lot).sum()),
        private=private,
        opacus=lambda: hooked_sum(hooked, inputs, labels, 0.1),
    )
    with capsys.disabled():
        print(
            f"\nMLP 384-256-150, lot 256: plain {found['plain']:.1f} ms, private {found['private']:.1f} ms "
            f"({found['private'] / found['plain']:.2f} of plain, bar 1.5; "
            f"{found['private'] / found['opacus']:.3f} of Opacus' {found['opacus']:.0f} ms, bar .1)"
        )


def test_bilstm_against_a_plain_step(capsys: pytest.CaptureFixture[str]) -> None:
    torch.set_num_threads(1)
    model = build_bilstm(words=1500, tags=100, intents=64, seed=0)
    words, tags = torch.randint(2, 1500, (50, 12)), torch.randint(0, 100, (50, 12))
    whole = Batch(words, torch.ones(50, 12), tags, torch.randint(0, 64, (50,)))

    def losses(numbers: Tensor) -> Tensor:
        part = Batch(*(field[numbers] for field in (whole.words, whole.mask, whole.tags, whole.intents)))
        return joint_losses(model(part), part)

    lot = torch.arange(50)
    found = in_turn(
        plain=lambda: plain_gradients(model, losses(lot).mean()),
        private=lambda: sum_of_clipped_examples(model, losses, lot, Clipping(0.3)),
    )
    with capsys.disabled():
        print(
            f"\nbiLSTM 64-128, lot 50 of 12 words: plain {found['plain']:.1f} ms, private "
            f"{found['private']:.1f} ms ({found['private'] / found['plain']:.2f} of plain, bar 2)"
        )
