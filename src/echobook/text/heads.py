"""Classification heads on a cross-encoder: mean-pooled pair features, or the encoder's own pooler.

:class:`PairHead` (the healthy one) takes the mean u of the question's last hidden states and the mean v of
the candidate's, each scaled to length sqrt(D), and maps [u; v; |u - v|; u * v] to the logits. It needs no
pre-trained pooler. :class:`PoolerHead` is the usual head: dropout and a linear map on the pooled first token.

Letters: B batch, T tokens, D features, K classes.
"""

from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from echobook.text.batches import Batch


def segment_mean(hidden: Float[Tensor, "B T D"], member: Int[Tensor, "B T"]) -> Float[Tensor, "B D"]:
    """Mean over the tokens where ``member`` is 1; zero where there is none."""
    weights = member.to(hidden.dtype).unsqueeze(-1)  # (B, T, 1)
    return (hidden * weights).sum(dim=1) / weights.sum(dim=1).clamp(min=1.0)


def _fresh(features: int, classes: int, seed: int) -> nn.Linear:
    """Linear map drawn from its own generator (BERT's std of 0.02), bias 0."""
    linear = nn.utils.skip_init(nn.Linear, features, classes)
    nn.init.normal_(linear.weight, std=0.02, generator=torch.Generator().manual_seed(seed))
    nn.init.zeros_(linear.bias)
    return linear


class PairHead(nn.Module):
    """Mean-pooled pair features to logits; for single texts v is zero."""

    def __init__(self, features: int, classes: int, *, seed: int = 0) -> None:
        super().__init__()
        self.scale = features**0.5
        self.output = _fresh(4 * features, classes, seed)

    def forward(self, outputs: Any, batch: Batch) -> Float[Tensor, "B K"]:
        """Logits from the encoder's outputs and the batch they came from."""
        hidden = outputs.last_hidden_state.float()
        masks = [batch.mask * (batch.types == side) for side in (0, 1)]
        sides = [segment_mean(hidden, mask) for mask in masks]
        u, v = (nn.functional.normalize(side, dim=1) * self.scale for side in sides)
        return self.output(torch.cat([u, v, (u - v).abs(), u * v], dim=1))


class PoolerHead(nn.Module):
    """Dropout and a linear map on the encoder's pooled first token."""

    def __init__(self, features: int, classes: int, *, seed: int = 0, dropout: float = 0.1) -> None:
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.output = _fresh(features, classes, seed)

    def forward(self, outputs: Any, batch: Batch) -> Float[Tensor, "B K"]:
        """Logits; refused when the encoder was built without a pooler."""
        if outputs.pooler_output is None:
            raise ValueError("PoolerHead needs an encoder with a pooler; use PairHead")
        return self.output(self.dropout(outputs.pooler_output.float()))


class Classifier(nn.Module):
    """An encoder with one head a task.

    Args:
        encoder: a Hugging Face encoder.
        heads: head by task name; a single task may have any name.
    """

    def __init__(self, encoder: nn.Module, heads: Mapping[str, nn.Module]) -> None:
        super().__init__()
        if not heads:
            raise ValueError("heads: expected at least one task, got none")
        self.encoder = encoder
        self.heads = nn.ModuleDict(heads)

    def forward(self, batch: Batch, task: str) -> Float[Tensor, "B K"]:
        """Logits of one task."""
        return self.heads[task](self.encode(batch), batch)

    def encode(self, batch: Batch, **options: bool) -> Any:
        """The encoder's outputs (``output_attentions``, ``output_hidden_states`` as options)."""
        return self.encoder(
            input_ids=batch.ids, attention_mask=batch.mask, token_type_ids=batch.types, **options
        )


def attention_and_hidden(
    model: Classifier, batch: Batch
) -> tuple[tuple[Float[Tensor, "B H T T"], ...], tuple[Float[Tensor, "B T D"], ...]]:
    """Attention maps of each layer and hidden states (embeddings first), without dropout.

    The model is set to evaluation for the call: in training the returned probabilities would carry dropout.

    Raises:
        ValueError: the encoder was not loaded with ``attention="eager"`` (other kinds return no maps).
    """
    encoder: Any = model.encoder
    kind = encoder.config._attn_implementation
    if kind != "eager":
        raise ValueError(
            f"attention maps need an encoder loaded with attention='eager', this one has {kind!r}"
        )
    training = model.training
    model.eval()
    try:
        outputs = model.encode(batch, output_attentions=True, output_hidden_states=True)
    finally:
        model.train(training)
    return tuple(outputs.attentions), tuple(outputs.hidden_states)
