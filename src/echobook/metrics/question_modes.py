"""Which questions of an answer selection set count, and which rows belong to each.

``raw`` counts all (one without a relevant candidate scores 0 throughout), ``no-all-negative`` those
with a relevant candidate, ``clean`` those with a relevant and an irrelevant one. A label above 0 is relevant.
"""

from collections.abc import Hashable, Sequence
from typing import Literal, get_args

import numpy as np
from jaxtyping import Bool, Int

Mode = Literal["raw", "no-all-negative", "clean"]
MODES: tuple[str, ...] = get_args(Mode)


def check_mode(mode: str) -> None:
    """ValueError for a mode that does not exist."""
    if mode not in MODES:
        raise ValueError(f"mode: expected one of {MODES}, got {mode!r}")


def group_rows(questions: Sequence[Hashable]) -> dict[Hashable, Int[np.ndarray, " R"]]:
    """Row numbers of each question id, ids in order of first appearance."""
    rows: dict[Hashable, list[int]] = {}
    for number, id_ in enumerate(questions):
        rows.setdefault(id_, []).append(number)
    return {id_: np.array(numbers) for id_, numbers in rows.items()}


def mode_mask(
    questions: Sequence[Hashable], labels: Int[np.ndarray, " N"], mode: Mode
) -> Bool[np.ndarray, " N"]:
    """True for the rows of the questions that count in ``mode``; also cuts training sets."""
    check_mode(mode)
    if len(questions) != len(labels):
        raise ValueError(f"questions: expected {len(labels)} ids, one a label, got {len(questions)}")
    mask = np.zeros(len(labels), dtype=bool)
    for row in group_rows(questions).values():
        mask[row] = skip_reason(labels[row], mode) is None
    return mask


def skip_reason(labels: Int[np.ndarray, " N"], mode: Mode) -> str | None:
    """Why a question with these labels does not count in ``mode``; None when it counts."""
    if mode != "raw" and not (labels > 0).any():
        return "all negative"
    return "all positive" if mode == "clean" and (labels > 0).all() else None
