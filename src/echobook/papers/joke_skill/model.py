"""The deep ranker: one joke encoder, attention over the customer's past jokes, two labels at once.

The paper names its parts (self-attention over the joke, a convolutional encoder as benchmark, several tasks,
a loss of its own) but what we read holds no equations: the form below is ours. With d features, candidate j
and the last M jokes of the customer,

    z_j = sum_l softmax_l(v . tanh(W E_l)) E_l          E: encoder's output over the tokens of j
    s_m = z_{j_m} + e_{outcome_m} + e_{age_m}           one vector a past joke
    z_u = sum_m softmax_m(z_j' W s_m) s_m               a first, learnt s_0 stands for an empty history
    g   = ReLU(W [z_u; z_j; z_u * z_j; z_x])            z_x: who asks and when
    logits of both labels from g; logits of the joke's category and kind from z_j

    L   = l1 BCE_w(main) + l2 BCE_w(other) + l3 CE(category) + l4 CE(kind)

with weights w of the positives, or the focal form (1 - p_t)^gamma. Encoder and customer part are passed in.
Axes: B rows, J jokes, L tokens, M past jokes, D features, H heads, X numbers of the context.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional

OUTCOMES, AGES = 9, 6  # outcomes of two labels, three values each; classes of age


class AttentionPooling(nn.Module):
    """Weighted sum of token vectors, the weights learnt; filling has none."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.inner = nn.Linear(features, features)
        self.outer = nn.Linear(features, 1, bias=False)

    def forward(self, encoded: Float[Tensor, "J L D"], filled: Bool[Tensor, "J L"]) -> Float[Tensor, "J D"]:
        weight = self.outer(torch.tanh(self.inner(encoded))).squeeze(-1)
        weight = weight.masked_fill(filled, float("-inf")).softmax(dim=1)
        return torch.einsum("jl,jld->jd", weight, encoded)


class TransformerEncoder(nn.Module):
    """Self-attention blocks over the tokens, then attention pooling."""

    def __init__(
        self,
        vocabulary: int,
        *,
        features: int = 32,
        blocks: int = 2,
        heads: int = 4,
        longest: int = 64,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        self.features = features
        self.words = nn.Embedding(vocabulary, features, padding_idx=0)
        self.places = nn.Embedding(longest, features)
        layer = nn.TransformerEncoderLayer(
            features, heads, 2 * features, dropout, batch_first=True, norm_first=True
        )
        self.blocks = nn.TransformerEncoder(layer, blocks, enable_nested_tensor=False)
        self.norm = nn.LayerNorm(features)
        self.pool = AttentionPooling(features)

    def forward(self, tokens: Int[Tensor, "J L"]) -> Float[Tensor, "J D"]:
        """Vectors of jokes from their word numbers; 0 is filling, which changes nothing."""
        filled = tokens == 0
        at = self.words(tokens) + self.places(torch.arange(tokens.shape[1]))
        encoded = self.norm(self.blocks(at, src_key_padding_mask=filled))
        return self.pool(encoded, filled)


class ConvolutionEncoder(nn.Module):
    """Filters over two, three and four words, the largest of each: the paper's benchmark encoder."""

    def __init__(
        self, vocabulary: int, *, features: int = 32, filters: int = 32, dropout: float = 0.1
    ) -> None:
        super().__init__()
        self.features = features
        self.words = nn.Embedding(vocabulary, features, padding_idx=0)
        self.filters = nn.ModuleList(nn.Conv1d(features, filters, width) for width in (2, 3, 4))
        self.dropout = nn.Dropout(dropout)
        self.out = nn.Linear(3 * filters, features)

    def forward(self, tokens: Int[Tensor, "J L"]) -> Float[Tensor, "J D"]:
        """Vectors of jokes; windows that hold filling only do not count."""
        at = functional.pad(self.words(tokens).transpose(1, 2), (0, 3))  # (J, D, L + 3)
        filled = tokens == 0
        found = []
        for convolution in self.filters:
            passed = torch.relu(convolution(at))[:, :, : tokens.shape[1]]
            found.append(passed.masked_fill(filled[:, None], 0.0).amax(dim=2))
        return self.out(self.dropout(torch.cat(found, dim=1)))


class HistoryAttention(nn.Module):
    """Past jokes with outcomes and ages, weighed by how they go with the candidate."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.outcomes = nn.Embedding(OUTCOMES, features)
        self.ages = nn.Embedding(AGES, features)
        self.query = nn.Linear(features, features, bias=False)
        self.nobody = nn.Parameter(torch.zeros(1, 1, features))

    def forward(
        self,
        candidate: Float[Tensor, "B D"],
        past: "Recent",
    ) -> Float[Tensor, "B D"]:
        steps = past.vectors + self.outcomes(past.outcome) + self.ages(past.age)
        nobody = self.nobody.expand(len(steps), -1, -1)
        steps = torch.cat([nobody, steps], dim=1)  # (B, M + 1, D)
        weight = torch.einsum("bd,bmd->bm", self.query(candidate), steps)
        weight = weight / steps.shape[-1] ** 0.5
        known = functional.pad(past.there, (1, 0), value=True)
        weight = weight.masked_fill(~known, float("-inf")).softmax(dim=1)
        return torch.einsum("bm,bmd->bd", weight, steps)


class NoHistory(nn.Module):
    """Everybody alike: the customer part of the ablation."""

    def forward(self, candidate: Float[Tensor, "B D"], past: "Recent") -> Float[Tensor, "B D"]:
        return torch.zeros_like(candidate)


@dataclass(frozen=True)
class Recent:
    """The last M jokes of B customers: their vectors, outcomes, ages, and which are there."""

    vectors: Float[Tensor, "B M D"]
    outcome: Int[Tensor, "B M"]
    age: Int[Tensor, "B M"]
    there: Bool[Tensor, "B M"]


@dataclass(frozen=True)
class Rows:
    """B rows to score: numbers of the last jokes (0 where there is none), outcomes, ages, context."""

    recent: Int[Tensor, "B M"]
    outcome: Int[Tensor, "B M"]
    age: Int[Tensor, "B M"]
    there: Bool[Tensor, "B M"]
    context: Float[Tensor, "B X"]

    def take(self, rows: Tensor) -> "Rows":
        """Some of the rows."""
        return Rows(*(part[rows] for part in (self.recent, self.outcome, self.age, self.there, self.context)))


class JokeRanker(nn.Module):
    """Log-odds of both labels for a row and a joke; parts are passed in."""

    def __init__(
        self,
        encoder: TransformerEncoder | ConvolutionEncoder,
        customer: nn.Module,
        *,
        context: int,
        categories: int,
        kinds: int,
    ) -> None:
        super().__init__()
        features = encoder.features
        self.encoder, self.customer = encoder, customer
        self.context = nn.Linear(context, features)
        self.joined = nn.Linear(4 * features, features)
        self.labels = nn.Linear(features, 2)
        self.direct = nn.Linear(context, 2)
        self.category = nn.Linear(features, categories)
        self.kind = nn.Linear(features, kinds)

    def score(
        self,
        jokes: Float[Tensor, "J D"],
        rows: Rows,
        joke: Int[Tensor, " B"],
    ) -> Float[Tensor, "B 2"]:
        """Log-odds (reuse, return) of telling ``joke``, given the vectors of all jokes."""
        candidate = jokes[joke]
        past = Recent(jokes[rows.recent], rows.outcome, rows.age, rows.there)
        customer = self.customer(candidate, past)
        parts = [customer, candidate, customer * candidate, self.context(rows.context)]
        joined = torch.relu(self.joined(torch.cat(parts, dim=1)))
        return self.labels(joined) + self.direct(rows.context)

    def forward(
        self, tokens: Int[Tensor, "J L"], rows: Rows, joke: Int[Tensor, " B"]
    ) -> Float[Tensor, "B 2"]:
        """The same from the jokes' word numbers."""
        return self.score(self.encoder(tokens), rows, joke)


@dataclass(frozen=True)
class Tasks:
    """Weights of the parts of the loss: of each label, of category and kind; and its form.

    Raises:
        ValueError: a negative weight or gamma, or no label at all.
    """

    labels: tuple[float, float] = (1.0, 1.0)
    category: float = 0.1
    kind: float = 0.1
    balanced: bool = True
    gamma: float = 0.0

    def __post_init__(self) -> None:
        weights = (*self.labels, self.category, self.kind, self.gamma)
        if min(weights) < 0 or not max(self.labels) > 0:
            raise ValueError(f"tasks: expected weights >= 0, one of a label above 0, got {weights}")


def label_loss(
    logits: Float[Tensor, " B"],
    labels: Float[Tensor, " B"],
    *,
    positive: float,
    gamma: float,
) -> Float[Tensor, ""]:
    """Mean cross-entropy, positives weighed by ``positive``, with the focal factor."""
    weight = torch.where(labels > 0, positive, 1.0)
    loss = functional.binary_cross_entropy_with_logits(logits, labels, reduction="none")
    if gamma:
        right = torch.where(labels > 0, logits, -logits).sigmoid()
        loss = loss * (1 - right) ** gamma
    return (weight * loss).sum() / weight.sum()


def ranker_loss(
    model: JokeRanker,
    jokes: Float[Tensor, "J D"],
    logits: Float[Tensor, "B 2"],
    labels: Float[Tensor, "B 2"],
    groups: Mapping[str, Int[Tensor, " J"]],
    tasks: Tasks,
    positive: tuple[float, float],
) -> Float[Tensor, ""]:
    """The module's loss; ``positive``: weights of the positives of each label."""
    total = torch.zeros(())
    for which, weight in enumerate(tasks.labels):
        if weight:
            given = positive[which] if tasks.balanced else 1.0
            part = label_loss(logits[:, which], labels[:, which], positive=given, gamma=tasks.gamma)
            total = total + weight * part
    for head, name, weight in (
        (model.category, "category", tasks.category),
        (model.kind, "kind", tasks.kind),
    ):
        if weight:
            total = total + weight * functional.cross_entropy(head(jokes), groups[name])
    return total
