"""Dialogue acts: what the assistant has just done, as a vector that guides the query and a choice of lists.

Chang et al. 2023 (arXiv 2303.17799): an act is an action with a slot, such as eliciting a name; two embedding
tables of equal size give

    a = ReLU(FF(e_action + e_slot)),

which is joined to every input frame (early fusion), to every encoding (late fusion), or to both:

    early:  x_t <- [x_t; a],        late:  h_t <- ReLU(FF([h_t; a])),

and the adapter attends from, and adds to, what late fusion gives. The slot also says which lists are read:
those of its kind, and for any other act all of them. There is no learned gate.

Ours starts from a recogniser that was trained without acts, so both fusions are residual and start at zero:
h_t + W' ReLU(FF([h_t; a])) late, and x_t + W'' a early. The published base is trained with its acts from the
start.

Axes: B utterances, T frames, D features, E encoding, A act width.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from echobook.speech.biasing.catalogues import Entry

ACTIONS = ("default", "elicit")
SLOTS = ("none", "contact", "device", "place")


class Act(NamedTuple):
    """What the assistant did before the turn: `default` opens a dialogue, `elicit` asks for a slot."""

    action: str = "default"
    slot: str = "none"


DEFAULT = Act()


def act_numbers(acts: Sequence[Act]) -> Int[Tensor, "B 2"]:
    """Numbers of action and slot of each act. Raises ValueError naming an act that is unknown."""
    for act in acts:
        if act.action not in ACTIONS or act.slot not in SLOTS:
            raise ValueError(f"{act}: expected an action of {', '.join(ACTIONS)} and a slot of {SLOTS}")
    rows = [(ACTIONS.index(act.action), SLOTS.index(act.slot)) for act in acts]
    return torch.tensor(rows, dtype=torch.long).reshape(len(rows), 2)


def selected(entries: Sequence[Entry], act: Act) -> tuple[Entry, ...]:
    """The entries an act lets through: those of its slot's kind, all of them where it has no such slot."""
    return tuple(entry for entry in entries if act.slot in (entry.kind, "none"))


class ActFusion(nn.Module):
    """Acts joined to features (early), to encodings (late), or to both. Nothing happens before training.

    Raises ValueError when neither is asked for.
    """

    def __init__(
        self, features: int, stream: int, *, early: bool = False, late: bool = True, size: int = 32
    ) -> None:
        super().__init__()
        if not (early or late):
            raise ValueError("acts enter nowhere; expected early or late fusion")
        self.actions = nn.Embedding(len(ACTIONS), size)
        self.slots = nn.Embedding(len(SLOTS), size)
        self.forth = nn.Linear(size, size)
        self.first = _zeros(nn.Linear(size, features, bias=False)) if early else None
        self.joined = nn.Linear(stream + size, stream) if late else None
        self.back = _zeros(nn.Linear(stream, stream, bias=False)) if late else None

    def encode(self, acts: Int[Tensor, "B 2"]) -> Float[Tensor, "B A"]:
        """Vector of each act."""
        return torch.relu(self.forth(self.actions(acts[:, 0]) + self.slots(acts[:, 1])))

    def early(self, frames: Float[Tensor, "B T D"], acts: Int[Tensor, "B 2"]) -> Float[Tensor, "B T D"]:
        """Features with the act in every frame."""
        return frames if self.first is None else frames + self.first(self.encode(acts))[:, None]

    def late(self, encodings: Float[Tensor, "B T E"], acts: Int[Tensor, "B 2"]) -> Float[Tensor, "B T E"]:
        """Encodings with the act in every frame: the query of the adapter, and what it adds to."""
        if self.joined is None or self.back is None:
            return encodings
        vectors = self.encode(acts)[:, None].expand(-1, encodings.shape[1], -1)
        return encodings + self.back(torch.relu(self.joined(torch.cat([encodings, vectors], 2))))


def _zeros(layer: nn.Linear) -> nn.Linear:
    nn.init.zeros_(layer.weight)
    return layer
