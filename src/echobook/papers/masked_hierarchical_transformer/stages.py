"""The second training stage: the encoder's last layer is tuned together with the masked transformer.

The paper's reason for two stages: one learning rate for everything either erases the pre-trained encoder or
leaves the new layers untrained. Stage 1 keeps the encoder frozen, so that every utterance is encoded once.
Stage 2 trains all parameters at a smaller rate. Here stage 2 tunes the last of MiniLM's six layers; the
states below it are computed once.

:class:`Tuned` takes batches whose "vectors" are the row numbers of utterances, encodes each row of a batch
once, and hands the vectors on. Before any update it gives what the frozen encoder gives.

Letters: B batch, L messages, M utterances, T tokens, D = 384.
"""

import copy
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from echobook.papers.masked_hierarchical_transformer.batches import Batch, Case
from echobook.papers.masked_hierarchical_transformer.material import Pool
from echobook.text.encoder import equal_length_batches

LONGEST = 48  # tokens of an utterance in this stage


class LowerLayers:
    """Token states below the encoder's last layer, computed once for all utterances of some pools.

    Args:
        texts: of the utterances, none blank.
        tokenizer, encoder: as :func:`echobook.text.checkpoint.load_checkpoint` returns them.
    """

    def __init__(self, texts: Sequence[str], tokenizer: Any, encoder: Any) -> None:
        tokens = tokenizer(list(texts), truncation=True, max_length=LONGEST)["input_ids"]
        self.lengths = np.array([len(row) for row in tokens])
        self.states: list[Tensor] = [torch.empty(0)] * len(tokens)
        kept, encoder.encoder.layer = encoder.encoder.layer, encoder.encoder.layer[:-1]
        self.last = copy.deepcopy(kept[-1])
        encoder.eval()
        with torch.inference_mode():
            for rows in equal_length_batches(self.lengths.tolist()):
                hidden = encoder(input_ids=torch.tensor([tokens[row] for row in rows])).last_hidden_state
                for row, state in zip(rows, hidden.to(torch.bfloat16), strict=True):
                    self.states[row] = state.clone()
        encoder.encoder.layer = kept

    def padded(self, rows: Sequence[int]) -> tuple[Float[Tensor, "M T D"], Float[Tensor, "M T"]]:
        """States of some utterances, and 1 where a token is."""
        longest = int(self.lengths[list(rows)].max())
        states = torch.zeros(len(rows), longest, self.states[rows[0]].shape[1])
        there = torch.zeros(len(rows), longest)
        for place, row in enumerate(rows):
            size = int(self.lengths[row])
            states[place, :size] = self.states[row].float()
            there[place, :size] = 1
        return states, there


class Tuned(nn.Module):
    """A responder on top of an encoder whose last layer is trained.

    Args:
        responder: from utterance vectors to logits.
        lower: token states below the last layer.
    """

    def __init__(self, responder: nn.Module, lower: LowerLayers) -> None:
        super().__init__()
        self.responder, self.last = responder, copy.deepcopy(lower.last).requires_grad_(True)
        self.lower = lower

    def forward(self, batch: Batch) -> Float[Tensor, "B L"]:
        rows, places = torch.unique(batch.vectors[..., 0].long(), return_inverse=True)
        return self.responder(batch._replace(vectors=self.encode(rows)[places]))

    def encode(self, rows: Int[Tensor, " M"]) -> Float[Tensor, "M D"]:
        """Unit vectors of utterances: last layer, mean over tokens."""
        states, there = self.lower.padded(rows.tolist())
        hidden = self.last(states, attention_mask=(1 - there)[:, None, None, :] * -1e9)
        hidden = hidden[0] if isinstance(hidden, tuple) else hidden
        mean = (hidden.float() * there[..., None]).sum(1) / there.sum(1, keepdim=True)
        return nn.functional.normalize(mean, dim=1)


def numbered(pool: Pool, first: int) -> Pool:
    """The same conversations, each utterance's vector replaced by its row number from ``first`` on."""
    rows = np.arange(first, first + len(pool.vectors), dtype=np.float32)
    return replace(pool, vectors=rows[:, None])


def by_conversation(
    cases: Sequence[Case], lengths: Int[np.ndarray, " Q"], size: int, seed: int, epoch: int
) -> list[list[Case]]:
    """Batches of whole conversations, at least ``size`` targets each: their utterances are encoded once."""
    rng = np.random.default_rng([seed, epoch, 5])
    numbers = sorted({number for number, _ in cases})
    members: dict[int, list[Case]] = {number: [] for number in numbers}
    for case in cases:
        members[case[0]].append(case)
    batches: list[list[Case]] = [[]]
    for place in rng.permutation(len(numbers)):
        batches[-1] += members[numbers[place]]
        if len(batches[-1]) >= size:
            batches.append([])
    return [batch for batch in batches if batch]
