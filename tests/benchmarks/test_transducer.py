"""Transducer loss against the cost of its softmax alone: CPU seconds of one thread, interleaved in one
process.

Run with `pytest -m benchmark tests/benchmarks/test_transducer.py -s`. With torchaudio importable, its C++
loss joins the comparison; equality of losses and gradients is asserted before anything is timed.
"""

import resource
import statistics
import threading
import time

import psutil
import pytest
import torch

from echobook.speech.transducer import transducer_loss

pytestmark = pytest.mark.benchmark
SHAPES = [(16, 100, 20, 30), (16, 200, 40, 64), (16, 200, 40, 500)]


def problem(batch, frames, count, classes):
    g = torch.Generator().manual_seed(0)
    logits = torch.randn(batch, frames, count + 1, classes, generator=g).requires_grad_()
    labels = torch.randint(1, classes, (batch, count), generator=g)
    return logits, labels, torch.full((batch,), frames), torch.full((batch,), count)


def ours(logits, labels, frames, counts):
    return transducer_loss(logits, labels, frames, counts, reduction="sum")


def softmax_alone(logits, labels, frames, counts):
    return logits.log_softmax(-1)[..., 0].sum()


def torchaudio_loss(logits, labels, frames, counts):
    from torchaudio.functional import rnnt_loss

    return rnnt_loss(logits, labels.int(), frames.int(), counts.int(), blank=0, reduction="sum")


def cpu_seconds(loss, arguments):
    arguments[0].grad = None
    start = time.process_time()
    loss(*arguments).backward()
    return time.process_time() - start


def gradient(loss, arguments):
    arguments[0].grad = None
    value = loss(*arguments)
    value.backward()
    return value.detach(), arguments[0].grad


def peer():
    try:
        import torchaudio  # noqa: F401
    except (ImportError, OSError):
        return {}
    return {"torchaudio": torchaudio_loss}


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_cpu_time(shape, capsys):
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    arguments, sides = problem(*shape), {"softmax alone": softmax_alone, "ours": ours} | peer()
    if "torchaudio" in sides:
        # torchaudio's lattice is float32: at log P near -2000 one unit in the last place is 1e-4, and several
        # add up.
        for a, b in zip(gradient(ours, arguments), gradient(torchaudio_loss, arguments), strict=True):
            torch.testing.assert_close(a, b, rtol=1e-4, atol=2e-3)
    times: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(3 if shape[-1] > 100 else 7):
        for name, loss in sides.items():
            times[name].append(cpu_seconds(loss, arguments))
    torch.set_num_threads(threads)
    floor = min(times["softmax alone"])
    with capsys.disabled():
        for name, values in times.items():
            low, middle = min(values), statistics.median(values)
            print(
                f"\n{shape} {name}: min {low:.4f} s, median {middle:.4f} s, {low / floor:.2f} x floor", end=""
            )
    assert all(value > 0 for value in times["ours"])


class PeakMemory:
    """Highest resident size of this process while the block runs, sampled by a thread."""

    def __enter__(self):
        self.process, self.stop = psutil.Process(), threading.Event()
        self.before = self.peak = self.process.memory_info().rss
        self.thread = threading.Thread(target=self.watch)
        self.thread.start()
        return self

    def watch(self):
        while not self.stop.wait(0.001):
            self.peak = max(self.peak, self.process.memory_info().rss)

    def __exit__(self, *exception):
        self.stop.set()
        self.thread.join()


def test_peak_memory(capsys):
    arguments = problem(16, 200, 40, 300)
    ours(*problem(2, 5, 4, 300)).backward()
    with PeakMemory() as memory:
        ours(*arguments).backward()
    logits = arguments[0].numel() * arguments[0].element_size()
    copies = (memory.peak - memory.before) / logits
    with capsys.disabled():
        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        print(
            f"\npeak beyond the logits: {copies:.2f} copies "
            f"({logits / 2**20:.0f} MiB each; process {most / 2**20:.0f})"
        )
    assert copies <= 2
