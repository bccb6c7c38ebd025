"""Properties that the method's code must have, measured on an untrained model: the chapter's checks."""

import torch

from echobook.papers.incremental_user_embedding.costs import full_work, incremental_work
from echobook.papers.incremental_user_embedding.experiment import Sizes, build
from echobook.papers.incremental_user_embedding.model import Accumulated, Personal
from echobook.papers.incremental_user_embedding.serving import new_profile, replay

FEATURES, CLASSES = 12, 5


def _world(seed: int, name: str = "incremental") -> tuple[Personal, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    model = build(name, features=FEATURES, classes=CLASSES, sizes=Sizes(), seed=seed).eval()
    x = torch.randn(3, 22, FEATURES, generator=generator)
    return model, x, torch.randint(0, CLASSES + 1, (3, 22), generator=generator)


def steps_against_whole(seed: int) -> float:
    """Largest gap of a log probability between one interaction at a time and the whole history at once."""
    model, x, y = _world(seed)
    with torch.no_grad():
        whole = model(x, y).log_softmax(dim=-1)
    steps = torch.stack([replay(model, new_profile(model), x[u], y[u].tolist())[0] for u in range(len(x))])
    return float((whole - steps).abs().max())


def resumed_against_whole(seed: int) -> float:
    """Largest gap between a state that was put aside and taken up again and one made without a break."""
    model, x, y = _world(seed)
    labels = y[0].tolist()
    once = replay(model, new_profile(model), x[0], labels)[1]
    first = replay(model, new_profile(model), x[0, :9], labels[:9])[1]
    again = replay(model, first, x[0, 9:], labels[9:])[1]
    gap = torch.cat([once.state - again.state, once.recent - again.recent])
    return float(gap.abs().max())


def future_reach(seed: int) -> float:
    """Largest change of an answer when its own label and everything after it are replaced."""
    model, x, y = _world(seed)
    at = 13
    other_x, other_y = x.clone(), (y + 1) % (CLASSES + 1)
    other_x[:, at + 1 :] += 1.0
    other_y[:, :at] = y[:, :at]
    with torch.no_grad():
        gap = model(x, y)[:, : at + 1] - model(other_x, other_y)[:, : at + 1]
    return float(gap.abs().max())


def gradient_beyond(seed: int) -> tuple[float, float]:
    """Largest gradient of an answer by interactions before the cut, and by those behind it.

    The answer is the first after block 2 T (from 0) where the state is cut every T blocks: the last cut is
    before that block, so that only its interactions are reached.
    """
    model, x, y = _world(seed)
    history = model.history
    assert isinstance(history, Accumulated)
    n, t = history.block, 2
    history.truncation = t
    steps = (2 * t + 1) * n + 1
    x = torch.cat([x, x], dim=1)[:, :steps].requires_grad_()
    y = torch.cat([y, y], dim=1)[:, :steps]
    model(x, y)[:, -1].sum().backward()
    assert x.grad is not None
    by_step = x.grad.abs().amax(dim=(0, 2))
    cut = 2 * t * n
    return float(by_step[:cut].max()), float(by_step[cut:-1].min())


def work_share(sizes: Sizes, seen: int = 40) -> float:
    """Multiply-adds of an incremental interaction, as a share of encoding ``seen`` interactions anew."""
    return incremental_work(sizes) / full_work(seen, sizes)
