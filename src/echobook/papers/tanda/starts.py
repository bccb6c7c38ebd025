"""Where a row starts from: pre-trained weights, the same with fresh top layers, or a small model made here.

MiniLM was trained on question-answer pairs, among them Natural Questions and SQuAD: as an encoder of single
sentences it has been transferred to answer selection before we begin. Two starts have had less of that:

- ``reinitialised``: the top layers drawn anew (the lower ones and the embeddings keep what they know);
- ``small``: a two-layer encoder that has seen no pair at all, trained here for a few hundred updates to fill
  masked words (Devlin et al. 2019: 15 % of the tokens, 80 % masked, 10 % swapped, 10 % left) of sentences.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from echobook.data.cache import file_sha256
from echobook.data.types import rows_digest
from echobook.text.batches import Batch, encode_texts, epoch_batches, pad_batch
from echobook.text.checkpoint import load_checkpoint, reinitialise_top, without_dropout
from echobook.text.encoder import bundled_model

MASKED_SHARE = 0.15
RATE = 1e-3  # of masked-word training


@dataclass
class Starts:
    """Starting encoders by name, all with one tokenizer and without dropout.

    Attributes:
        checkpoint: folder or cached hub name of ``pretrained``; by default the bundled MiniLM.
        fresh_layers: layers that ``reinitialised`` draws anew.
        sentences: what ``small`` reads.
        small_steps: its updates.
        small_width: its features; it has two layers and heads of 64 features.
    """

    checkpoint: str | None = None
    fresh_layers: int = 2
    sentences: Sequence[str] = ()
    small_steps: int = 300
    small_width: int = 128
    _tokenizer: Any = field(default=None, repr=False)
    _small: dict[int, Any] = field(default_factory=dict, repr=False)

    @property
    def tokenizer(self) -> Any:
        """The checkpoint's tokenizer."""
        if self._tokenizer is None:
            self._tokenizer = load_checkpoint(self.checkpoint)[0]
        return self._tokenizer

    def fingerprint(self, name: str) -> str:
        """What decides the weights of one start, as text: digests of the checkpoint, and own settings."""
        own: tuple[object, ...] = {
            "reinitialised": (self.fresh_layers,),
            "small": (rows_digest([[text] for text in self.sentences]), self.small_steps, self.small_width),
            "random": (self.small_width,),
        }.get(name, ())
        return repr((name, self._files, *own))

    @cached_property
    def _files(self) -> object:
        folder = Path(self.checkpoint or bundled_model())
        files = [(path.name, file_sha256(path)) for path in sorted(folder.glob("*")) if path.is_file()]
        return files or str(folder)

    def encoder(self, name: str, *, seed: int) -> nn.Module:
        """A fresh encoder: ``pretrained``, ``reinitialised``, ``small`` or ``random``.

        Raises:
            ValueError: another name.
        """
        if name in ("pretrained", "reinitialised"):
            encoder = load_checkpoint(self.checkpoint, attention="eager")[1]
            if name == "reinitialised":
                reinitialise_top(encoder, self.fresh_layers, seed=seed)
        elif name in ("small", "random"):
            encoder = random_encoder(len(self.tokenizer), width=self.small_width, seed=seed)
            if name == "small":
                encoder.load_state_dict(self._small_weights(seed))
        else:
            raise ValueError(f"start: expected pretrained, reinitialised, small or random, got {name!r}")
        without_dropout(encoder)
        return encoder

    def _small_weights(self, seed: int) -> dict[str, Tensor]:
        if seed not in self._small:
            encoder = random_encoder(len(self.tokenizer), width=self.small_width, seed=seed)
            without_dropout(encoder)
            train_masked(encoder, self.tokenizer, self.sentences, steps=self.small_steps, seed=seed)
            self._small[seed] = encoder.state_dict()
        return self._small[seed]


def random_encoder(vocabulary: int, *, width: int, seed: int, layers: int = 2) -> Any:
    """A BERT encoder with random weights drawn from ``seed``; ``width`` is a multiple of 64."""
    from transformers import AutoModel, BertConfig

    config = BertConfig(
        vocab_size=vocabulary,
        hidden_size=width,
        num_hidden_layers=layers,
        num_attention_heads=max(width // 64, 1),
        intermediate_size=4 * width,
        max_position_embeddings=128,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return AutoModel.from_config(config, attn_implementation="eager")


def mask_words(
    ids: Int[Tensor, "B T"],
    maskable: Int[Tensor, "B T"],
    *,
    mask: int,
    vocabulary: int,
    generator: torch.Generator,
) -> tuple[Int[Tensor, "B T"], Int[Tensor, "B T"]]:
    """Tokens with some hidden, and 1 where a token is to be guessed.

    Of the tokens where ``maskable`` is 1, each is chosen with probability 0.15; a chosen one becomes the mask
    token in 80 of 100 cases, a random token in 10, and stays in 10.
    """
    drawn = torch.rand(ids.shape, generator=generator)
    chosen = (drawn < MASKED_SHARE) & maskable.bool()
    fate = torch.rand(ids.shape, generator=generator)
    other = torch.randint(vocabulary, ids.shape, generator=generator)
    hidden = torch.where(chosen & (fate < 0.8), torch.full_like(ids, mask), ids)
    return torch.where(chosen & (fate >= 0.9), other, hidden), chosen.long()


def train_masked(
    encoder: Any, tokenizer: Any, sentences: Sequence[str], *, steps: int, seed: int, batch_size: int = 64
) -> Float[np.ndarray, " S"]:
    """Train an encoder in place to fill masked words of ``sentences``; returns the loss of each update.

    The output layer is the transposed word embedding with a bias, and is thrown away. An update whose batch
    had no word hidden by chance has loss 0 and no gradient.

    Raises:
        ValueError: no sentences.
    """
    if not sentences:
        raise ValueError("sentences: expected texts to read, got none")
    encoded = encode_texts(tokenizer, list(dict.fromkeys(sentences)), max_tokens=64)
    table = encoder.embeddings.word_embeddings.weight
    bias = nn.Parameter(torch.zeros(len(table)))
    optimiser = torch.optim.AdamW([*encoder.parameters(), bias], lr=RATE, weight_decay=0.01, fused=True)
    generator = torch.Generator().manual_seed(seed)
    encoder.train()
    losses: list[float] = []
    epoch = 0
    while len(losses) < steps:
        for rows in epoch_batches(encoded.lengths, batch_size, seed=seed, epoch=epoch)[: steps - len(losses)]:
            loss = _masked_loss(encoder, pad_batch(encoded, rows), bias, tokenizer, generator)
            for group in optimiser.param_groups:
                group["lr"] = RATE * min(1.0, (len(losses) + 1) / 30) * (1 - len(losses) / steps)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            losses.append(loss.item())
        epoch += 1
    return np.array(losses)


def _masked_loss(
    encoder: Any, batch: Batch, bias: Tensor, tokenizer: Any, generator: torch.Generator
) -> Float[Tensor, ""]:
    special = torch.isin(batch.ids, torch.tensor([tokenizer.cls_token_id, tokenizer.sep_token_id]))
    hidden_ids, chosen = mask_words(
        batch.ids,
        batch.mask * ~special,
        mask=tokenizer.mask_token_id,
        vocabulary=len(bias),
        generator=generator,
    )
    with torch.autocast("cpu", dtype=torch.bfloat16):
        hidden = encoder(input_ids=hidden_ids, attention_mask=batch.mask).last_hidden_state[chosen.bool()]
        logits = hidden @ encoder.embeddings.word_embeddings.weight.T + bias
    wanted = batch.ids[chosen.bool()]
    return nn.functional.cross_entropy(logits.float(), wanted, reduction="sum") / max(len(wanted), 1)
