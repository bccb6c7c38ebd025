"""The method in service: what is kept of a user, an answer, and what one more interaction changes.

    profile = new_profile(model)                      # a user without history
    scores = classify(model, profile, x)              # log probabilities of a text's classes
    profile = observe(model, profile, x, label)       # afterwards, with the label that turned out right

A profile is M slots and up to N - 1 interactions, whatever the user's history: equations as in `model`.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from jaxtyping import Float32
from torch import Tensor

from echobook.papers.incremental_user_embedding.model import Accumulated, Personal


@dataclass(frozen=True)
class Profile:
    """What is kept of a user.

    Attributes:
        state: A_t.
        recent: interactions since the last update, equation 1, fewer than a block.
        seen: interactions so far.
    """

    state: Float32[Tensor, "M E"]
    recent: Float32[Tensor, "R E"]
    seen: int = 0

    @property
    def floats(self) -> int:
        """Numbers kept."""
        return self.state.numel() + self.recent.numel()


def accumulated(model: Personal) -> Accumulated:
    """The model's history, if it is one that can be kept as a profile. Raises TypeError for another."""
    if not isinstance(model.history, Accumulated):
        raise TypeError(
            f"a profile needs a model with an Accumulated history, got {type(model.history).__name__}"
        )
    return model.history


def new_profile(model: Personal) -> Profile:
    """A user without history: A_0."""
    start = accumulated(model).update.start.detach()
    return Profile(start, start.new_zeros(0, start.shape[1]))


@torch.no_grad()
def observe(model: Personal, profile: Profile, x: Float32[Tensor, " D"], label: int) -> Profile:
    """Take in one interaction with the label it turned out to have (C for one without a name here)."""
    history = accumulated(model)
    h = model.interactions(x[None, None], torch.tensor([[label]]))[0]
    recent = torch.cat([profile.recent, h])
    if len(recent) < history.block:
        return Profile(profile.state, recent, profile.seen + 1)
    return Profile(history.update(profile.state[None], recent[None])[0], recent[:0], profile.seen + 1)


@torch.no_grad()
def classify(model: Personal, profile: Profile, x: Float32[Tensor, " D"]) -> Float32[Tensor, " C"]:
    """Log probabilities of a text's classes for this user."""
    history = accumulated(model)
    memory = torch.cat([profile.state, profile.recent])[None]  # (1, M + R, E)
    slots, recent = len(profile.state), len(profile.recent)
    age = torch.cat([torch.zeros(slots, dtype=torch.long), torch.arange(recent, 0, -1)])[None]
    q = model.query(x[None, None])
    r = history.attention(q, memory, torch.ones(1, 1, slots + recent, dtype=torch.bool), age)
    return model.head(q, r)[0, 0].log_softmax(dim=-1)  # type: ignore[no-any-return]


def replay(
    model: Personal, profile: Profile, texts: Float32[Tensor, "S D"], labels: Iterable[int]
) -> tuple[Float32[Tensor, "S C"], Profile]:
    """Answer and then observe each interaction in turn; log probabilities and the profile at the end."""
    found = []
    for x, label in zip(texts, labels, strict=True):
        found.append(classify(model, profile, x))
        profile = observe(model, profile, x, int(label))
    return torch.stack(found), profile
