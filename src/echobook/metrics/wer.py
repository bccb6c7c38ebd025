"""Word error rate with its parts, by group, and with paired bootstrap intervals.

WER = (S + D + I) / N: substitutions, deletions and insertions of the cheapest word alignment (jiwer), over
all utterances, divided by the N reference words of all utterances. It is a ratio, not a percentage, and can
exceed 1. Words are what stands between blanks, compared in Unicode's composed form (NFC), so that the two
spellings of 'é' are one word; nothing is lower-cased or stripped of punctuation here.

Two systems are compared on the same utterances: each resample draws utterances, or whole speakers, with
replacement and takes both systems' rates on that draw (Bisani and Ney 2004). Speakers are the right unit when
the claim is about speakers not seen; with few of them the interval is wide and rough.
Cost: O(words^2) per utterance for the alignment; O(resamples * units) for an interval.
"""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import jiwer
import numpy as np
import pandas as pd
from jaxtyping import Float

from echobook.data.unicode import nfc
from echobook.metrics.statistics import resampled_sums

COLUMNS = ["substitutions", "deletions", "insertions", "words"]


@dataclass(frozen=True)
class ErrorCounts:
    """Errors of one or more utterances."""

    substitutions: int
    deletions: int
    insertions: int
    words: int

    @property
    def errors(self) -> int:
        """S + D + I."""
        return self.substitutions + self.deletions + self.insertions

    @property
    def rate(self) -> float:
        """WER. Raises ValueError without reference words."""
        if self.words == 0:
            raise ValueError("WER needs at least one reference word; the references are empty")
        return self.errors / self.words

    def __add__(self, other: "ErrorCounts") -> "ErrorCounts":
        return ErrorCounts(*(getattr(self, name) + getattr(other, name) for name in COLUMNS))


def count_errors(reference: str, hypothesis: str) -> ErrorCounts:
    """Errors of one utterance; either side may be empty."""
    words, found = nfc(reference).split(), nfc(hypothesis).split()
    if not words or not found:
        return ErrorCounts(0, len(words), len(found), len(words))
    out = jiwer.process_words(" ".join(words), " ".join(found))
    return ErrorCounts(out.substitutions, out.deletions, out.insertions, len(words))


def word_errors(references: Sequence[str], hypotheses: Sequence[str]) -> list[ErrorCounts]:
    """Errors of each utterance. Raises ValueError when the numbers of utterances differ or are 0."""
    if len(references) != len(hypotheses) or not references:
        raise ValueError(
            f"{len(references)} references and {len(hypotheses)} hypotheses; expected equal numbers, not 0"
        )
    return [count_errors(r, h) for r, h in zip(references, hypotheses, strict=True)]


def total(counts: Sequence[ErrorCounts]) -> ErrorCounts:
    """Sum over utterances."""
    return sum(counts, ErrorCounts(0, 0, 0, 0))


def word_error_rate(references: Sequence[str], hypotheses: Sequence[str]) -> float:
    """WER of a set of utterances, as a ratio."""
    return total(word_errors(references, hypotheses)).rate


def wer_by_group(counts: Sequence[ErrorCounts], groups: Sequence[Hashable]) -> pd.DataFrame:
    """One row per group (speaker, cohort, condition), sorted: utterances, words, S, D, I and WER."""
    if len(counts) != len(groups):
        raise ValueError(f"{len(counts)} utterances but {len(groups)} groups; expected one group each")
    rows = pd.DataFrame([[getattr(c, name) for name in COLUMNS] for c in counts], columns=COLUMNS)
    grouped = rows.groupby(pd.Series(list(groups), name="group"), sort=True)
    table = grouped.sum().assign(utterances=grouped.size())
    errors = table[["substitutions", "deletions", "insertions"]].sum(axis=1)
    return table.assign(wer=errors / table["words"].where(table["words"] > 0)).reset_index()


def relative_reduction(new: float, old: float) -> float:
    """1 - new / old: positive when the new rate is lower. Raises ValueError unless old > 0."""
    if not old > 0:
        raise ValueError(f"the rate to compare with is {old}; a relative reduction needs more than 0")
    return 1 - new / old


@dataclass(frozen=True)
class Estimate:
    """A figure and its percentile interval."""

    estimate: float
    low: float
    high: float
    level: float


@dataclass(frozen=True)
class PairedComparison:
    """New system against old on the same utterances: WER difference (new - old) and relative reduction."""

    difference: Estimate
    reduction: Estimate
    share_better: float
    units: int


def paired_comparison(
    new: Sequence[ErrorCounts],
    old: Sequence[ErrorCounts],
    *,
    seed: int,
    speakers: Sequence[Hashable] | None = None,
    resamples: int = 10_000,
    level: float = 0.95,
) -> PairedComparison:
    """Paired bootstrap over utterances, or over speakers when they are given.

    `share_better` is the share of resamples in which the new rate is lower. Resamples in which the old system
    makes no error have no relative reduction and are left out of that interval; if all are, its ends are NaN.
    """
    _check_pair(new, old, speakers, resamples, level)
    names = range(len(new)) if speakers is None else speakers
    sums = _sums_by_unit(new, old, names)  # (units, 3): new errors, old errors, words
    draws = resampled_sums(sums, rng=np.random.default_rng(seed), resamples=resamples)
    rates = draws[:, :2] / draws[:, 2:]
    difference = rates[:, 0] - rates[:, 1]
    usable = rates[:, 1] > 0
    reduction = 1 - rates[usable, 0] / rates[usable, 1]
    before, after = total(old).rate, total(new).rate
    return PairedComparison(
        _estimate(after - before, difference, level),
        _estimate(relative_reduction(after, before) if before > 0 else float("nan"), reduction, level),
        float((difference < 0).mean()),
        len(sums),
    )


def _sums_by_unit(
    new: Sequence[ErrorCounts], old: Sequence[ErrorCounts], names: Sequence[Hashable]
) -> Float[np.ndarray, "units 3"]:
    rows = [[n.errors, o.errors, n.words] for n, o in zip(new, old, strict=True)]
    summed = pd.DataFrame(rows).groupby(pd.Series(list(names)), sort=True).sum().to_numpy(dtype=float)
    return summed[summed[:, 2] > 0]  # a unit without words would allow draws without a rate


def _estimate(value: float, draws: Float[np.ndarray, " R"], level: float) -> Estimate:
    if len(draws) == 0:
        return Estimate(value, float("nan"), float("nan"), level)
    low, high = np.quantile(draws, [(1 - level) / 2, (1 + level) / 2])
    return Estimate(value, float(low), float(high), level)


def _check_pair(
    new: Sequence[ErrorCounts],
    old: Sequence[ErrorCounts],
    speakers: Sequence[Hashable] | None,
    resamples: int,
    level: float,
) -> None:
    if len(new) != len(old) or (speakers is not None and len(speakers) != len(new)):
        raise ValueError(
            f"{len(new)} new, {len(old)} old utterances and "
            f"{'no' if speakers is None else len(speakers)} speakers; expected the same utterances"
        )
    wrong = [i for i, (n, o) in enumerate(zip(new, old, strict=True)) if n.words != o.words]
    if wrong:
        raise ValueError(f"utterance {wrong[0]} has different reference lengths in the two systems")
    if total(new).words == 0 or resamples < 1 or not 0 < level < 1:
        raise ValueError(
            f"expected reference words, resamples >= 1 and 0 < level < 1; got {resamples=}, {level=}"
        )
