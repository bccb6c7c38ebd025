"""Forward and backward of the small encoders' convolutions, plain and rewritten, and whole training steps.

Same process, one thread, CPU time, both sides interleaved; results are compared before anything is timed.
"""

import time
from collections.abc import Callable
from itertools import pairwise
from statistics import median

import pytest
import torch
from torch import Tensor, nn

from echobook.papers.convrnn_t.experiment import Sizes, build
from echobook.speech.convolution import depthwise_conv, fold, folded_conv2d, unfold

ROUNDS = 8
BATCH, FRAMES, WIDTH = 16, 85, 120
CHANNELS = (1, 8, 8, 4, 4)


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def milliseconds(sides: dict[str, Callable[[], Tensor]]) -> dict[str, list[float]]:
    taken: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(ROUNDS):
        for name, side in sides.items():
            start = time.process_time()
            side().sum().backward()
            taken[name].append(1e3 * (time.process_time() - start))
    return taken


def report(capsys: pytest.CaptureFixture[str], title: str, taken: dict[str, list[float]]) -> None:
    with capsys.disabled():
        print(f"\n{title}, batch {BATCH}, {FRAMES} frames, CPU ms, {ROUNDS} rounds")
        for name, values in taken.items():
            print(f"  {name:22s} best {min(values):7.1f}  median {median(values):7.1f}")


@pytest.mark.benchmark
def test_folded_against_plain(capsys: pytest.CaptureFixture[str]) -> None:
    pairs = list(pairwise(CHANNELS))
    weights = [random(o, i, 5, 5, seed=k).mul_(0.1).requires_grad_() for k, (i, o) in enumerate(pairs)]
    biases, x = [torch.zeros(o).requires_grad_() for _, o in pairs], random(BATCH, FRAMES, WIDTH)

    def plain() -> Tensor:
        maps = x[:, None]
        for weight, bias in zip(weights, biases, strict=True):
            past = nn.functional.pad(maps, (0, 0, 4, 0))
            maps = torch.relu(nn.functional.conv2d(past, weight, bias, padding=(0, 2)))
        return maps.transpose(1, 2).flatten(2)

    def folded() -> Tensor:
        maps = fold(x, 2)
        for weight, bias in zip(weights, biases, strict=True):
            past = nn.functional.pad(maps, (0, 0, 4, 0))
            maps = torch.relu(folded_conv2d(past, weight, bias, 2))
        return unfold(maps, 2)

    assert (plain() - folded()).abs().max() < 1e-5
    taken = milliseconds({"plain": plain, "folded": folded})
    report(capsys, "four 5 x 5 convolutions over 120 features", taken)
    assert min(taken["folded"]) < min(taken["plain"])


@pytest.mark.benchmark
def test_depthwise_against_library(capsys: pytest.CaptureFixture[str]) -> None:
    x, weight, bias = random(BATCH, FRAMES + 60, 76), random(15, 76, 1, seed=1), random(76, seed=2)
    weight.requires_grad_()

    def library() -> Tensor:
        kernel = weight.permute(1, 2, 0)
        return nn.functional.conv1d(x.transpose(1, 2), kernel, bias, groups=76, dilation=4).transpose(1, 2)

    def ours() -> Tensor:
        return depthwise_conv(x, weight, bias, dilation=4)

    assert (library() - ours()).abs().max() < 1e-5
    taken = milliseconds({"conv1d with groups": library, "channels last": ours})
    report(capsys, "depth-wise convolution, 76 channels, 15 taps, dilation 4", taken)
    assert min(taken["channels last"]) < min(taken["conv1d with groups"])


@pytest.mark.benchmark
def test_steps_of_the_compared_models(capsys: pytest.CaptureFixture[str]) -> None:
    """Before: ConvRNN-T's step cost 4.7 of RNN-T's at these sizes; printed, not judged."""
    sizes = Sizes(WIDTH, encoding=96, hidden=100, baseline_hidden=204, conformer=76, contextnet=(76, 120))
    x, labels = random(BATCH, FRAMES, WIDTH), torch.randint(1, 17, (BATCH, 4))
    lengths, counts = torch.full((BATCH,), FRAMES), torch.full((BATCH,), 4)
    steps: dict[str, Callable[[], Tensor]] = {}
    for name in ("rnn-t", "convrnn-t", "conformer", "contextnet"):
        model = build(name, sizes=sizes, classes=17, seed=0)
        steps[name] = lambda model=model: model.loss(x, lengths, labels, counts)
    taken = milliseconds(steps)
    report(capsys, "training step without the update", taken)
    with capsys.disabled():
        ratio = min(taken["convrnn-t"]) / min(taken["rnn-t"])
        print(f"  ConvRNN-T over RNN-T {ratio:.2f} (aim 2.5)")
