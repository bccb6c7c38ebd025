"""Joint models of intent and slots: a biLSTM, and MiniLM of which only the top layer is trained.

Both give intent logits (B, K) and tag logits (B, T, S). All trainable maps are `nn.Linear`, `nn.Embedding`
or `nn.LayerNorm`, so that per-example gradient norms need no rule of their own (see
`echobook.privacy.taps`); there is no batch norm, and no dropout. The loss of one utterance is cross-entropy
of its intent plus the mean over its words of the tags' (the paper's joint loss; the mean over words is
ours)."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from echobook.papers.dp_sgd_nlu.material import NO_TAG, PADDING, Batch

Logits = tuple[Float[Tensor, "B K"], Float[Tensor, "B T S"]]


class LSTM(nn.Module):
    """One direction of an LSTM, written with two linear maps; equal to `nn.LSTM` with the same weights.

    Gates in the order input, forget, cell, output. Padded steps (mask 0) keep the state.
    """

    def __init__(self, inputs: int, hidden: int) -> None:
        super().__init__()
        self.hidden = hidden
        self.from_input = nn.Linear(inputs, 4 * hidden)
        self.from_state = nn.Linear(hidden, 4 * hidden, bias=False)

    def forward(
        self, inputs: Float[Tensor, "B T I"], mask: Float[Tensor, "B T"], *, backwards: bool = False
    ) -> Float[Tensor, "B T H"]:
        """States after each step; `backwards` reads from the last step to the first."""
        projected = self.from_input(inputs)
        state = cell = inputs.new_zeros(len(inputs), self.hidden)
        steps = range(inputs.shape[1])
        states: list[Tensor] = [state] * len(steps)
        for step in reversed(steps) if backwards else steps:
            enter, forget, new, leave = (projected[:, step] + self.from_state(state)).chunk(4, dim=1)
            fresh = forget.sigmoid() * cell + enter.sigmoid() * new.tanh()
            keep = mask[:, step, None]
            cell = keep * fresh + (1 - keep) * cell
            state = keep * leave.sigmoid() * cell.tanh() + (1 - keep) * state
            states[step] = state
        return torch.stack(states, dim=1)


class BiLSTMTagger(nn.Module):
    """Embeddings, an LSTM each way, the mean over words for the intent, each word's state for its tag."""

    def __init__(
        self, *, words: int, tags: int, intents: int, embedding: int = 64, hidden: int = 128
    ) -> None:
        super().__init__()
        self.embedding = nn.Embedding(words, embedding, padding_idx=PADDING)
        self.forwards, self.backwards = LSTM(embedding, hidden), LSTM(embedding, hidden)
        self.intent, self.tag = nn.Linear(2 * hidden, intents), nn.Linear(2 * hidden, tags)

    def forward(self, batch: Batch) -> Logits:
        """Logits of intents and tags."""
        embedded = self.embedding(batch.words)
        ways = [self.forwards(embedded, batch.mask), self.backwards(embedded, batch.mask, backwards=True)]
        states = torch.cat(ways, dim=2)  # (B, T, 2 H)
        return self.intent(masked_mean(states, batch.mask)), self.tag(states)


def masked_mean(states: Float[Tensor, "B T D"], mask: Float[Tensor, "B T"]) -> Float[Tensor, "B D"]:
    """Mean over the words of each utterance."""
    weights = mask.unsqueeze(2)
    return (states * weights).sum(1) / weights.sum(1).clamp_min(1)


def joint_losses(logits: Logits, batch: Batch) -> Float[Tensor, "B"]:
    """Loss of each utterance: intent cross-entropy plus the mean over words of tag cross-entropy."""
    intents, tags = logits
    of_intent = nn.functional.cross_entropy(intents, batch.intents, reduction="none")
    of_words = nn.functional.cross_entropy(
        tags.transpose(1, 2), batch.tags, reduction="none", ignore_index=NO_TAG
    )  # (B, T)
    return of_intent + of_words.sum(1) / batch.mask.sum(1).clamp_min(1)


def build_bilstm(*, words: int, tags: int, intents: int, seed: int, hidden: int = 128) -> BiLSTMTagger:
    """A biLSTM with weights drawn from `seed`."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return BiLSTMTagger(words=words, tags=tags, intents=intents, hidden=hidden)
