"""Encoders and tokenizers from a local folder, offline, with float32 weights.

The bundled MiniLM is the default; any folder or cached hub name of a BERT-like encoder works. Its own pooler
is loaded as it is: a pooler that pre-training did not use (MiniLM's, whose weights shrank) is a bad start for
a classification head, see :mod:`echobook.text.heads`.
"""

from pathlib import Path
from typing import Any

import torch

from echobook.text.encoder import bundled_model


class CheckpointError(RuntimeError):
    """A checkpoint that is not there or cannot be read."""


def load_checkpoint(name: str | Path | None = None, *, attention: str = "sdpa") -> tuple[Any, Any]:
    """(tokenizer, encoder) without any download.

    Args:
        name: folder of a checkpoint, or a hub name in the local hub cache; default the bundled MiniLM.
        attention: ``sdpa`` (fast) or ``eager`` (needed to read attention maps).

    Raises:
        CheckpointError: absent or unreadable; the name is given, and what to try.
    """
    from transformers import AutoModel, AutoTokenizer
    from transformers.utils import logging

    place = str(name or bundled_model())
    bar = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        tokenizer = AutoTokenizer.from_pretrained(place, local_files_only=True)
        encoder = AutoModel.from_pretrained(
            place, local_files_only=True, dtype=torch.float32, attn_implementation=attention
        )
    except (OSError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise CheckpointError(
            f"no usable checkpoint {place!r}: expected a folder with config, weights and tokenizer, "
            f"or a name in the local hub cache ({reason}); try a folder, or download it first"
        ) from error
    finally:
        if bar:
            logging.enable_progress_bar()
    return tokenizer, encoder


def without_dropout(encoder: torch.nn.Module) -> None:
    """Switch off every dropout of an encoder, in place; training is then faster and takes no random draws."""
    for module in encoder.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0


def reinitialise_top(encoder: Any, layers: int, *, seed: int) -> None:
    """Draw the weights of the top ``layers`` transformer layers anew, in place, as BERT does at its start.

    Raises:
        ValueError: more layers than the encoder has, or fewer than 1.
    """
    stack = encoder.encoder.layer
    if not 1 <= layers <= len(stack):
        raise ValueError(f"layers: expected 1 to {len(stack)}, got {layers}")
    generator = torch.Generator().manual_seed(seed)
    for module in (m for layer in stack[-layers:] for m in layer.modules()):
        if isinstance(module, torch.nn.Linear):
            torch.nn.init.normal_(module.weight, std=encoder.config.initializer_range, generator=generator)
            torch.nn.init.zeros_(module.bias)
        elif isinstance(module, torch.nn.LayerNorm):
            torch.nn.init.ones_(module.weight)
            torch.nn.init.zeros_(module.bias)
