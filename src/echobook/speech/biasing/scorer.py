"""Word error rate split into words of a biasing list and all other words (U-WER and B-WER).

Le et al. 2021 (arXiv 2104.02194) and the scorer published with it: reference and hypothesis are aligned
at the least cost, with 3 for an insertion or a deletion, 4 for a substitution and 0 for a match. Of equally
cheap alignments the one is taken that, read from the end, prefers pairing two words to inserting, and
inserting to deleting. A reference word counts as biased when it is in its utterance's list, and so does an
inserted word; everything else is unbiased. Rates are errors over reference words of the same kind, as ratios.

Cost: O(R H) per utterance of R reference and H hypothesis words.
"""

from collections.abc import Collection, Iterable, Sequence
from typing import NamedTuple

from echobook.data.unicode import nfc
from echobook.metrics.wer import ErrorCounts

GAP, SWAP = 3, 4
Pair = tuple[str | None, str | None]


class BiasedErrors(NamedTuple):
    """Errors of all words, of unbiased words and of biased words; overall is the sum of the other two."""

    overall: ErrorCounts
    unbiased: ErrorCounts
    biased: ErrorCounts


def align(reference: Sequence[str], hypothesis: Sequence[str]) -> list[Pair]:
    """Pairs (reference word, hypothesis word) in order; None stands for the missing side of a gap."""
    moves = _moves(reference, hypothesis)
    pairs: list[Pair] = []
    i, j = len(reference), len(hypothesis)
    while i or j:
        di, dj = moves[i][j]
        pairs.append((reference[i - 1] if di else None, hypothesis[j - 1] if dj else None))
        i, j = i - di, j - dj
    return pairs[::-1]


def _moves(reference: Sequence[str], hypothesis: Sequence[str]) -> list[list[tuple[int, int]]]:
    """Last step (words of reference, of hypothesis) of the cheapest alignment of each pair of prefixes."""
    above = [GAP * j for j in range(len(hypothesis) + 1)]
    moves = [[(0, 0)] + [(0, 1)] * len(hypothesis)]
    for i, word in enumerate(reference, start=1):
        row, steps = [GAP * i], [(1, 0)]
        for j, heard in enumerate(hypothesis, start=1):
            best, step = above[j - 1] + (0 if word == heard else SWAP), (1, 1)
            if row[j - 1] + GAP < best:
                best, step = row[j - 1] + GAP, (0, 1)
            if above[j] + GAP < best:
                best, step = above[j] + GAP, (1, 0)
            row.append(best)
            steps.append(step)
        above = row
        moves.append(steps)
    return moves


def count_biased_errors(reference: str, hypothesis: str, biased: Collection[str]) -> BiasedErrors:
    """Errors of one utterance; words stand between blanks, composed (NFC), and either side may be empty."""
    listed = {nfc(word) for word in biased}
    pairs = align(nfc(reference).split(), nfc(hypothesis).split())
    inside = [pair for pair in pairs if (pair[1] if pair[0] is None else pair[0]) in listed]
    outside = [pair for pair in pairs if (pair[1] if pair[0] is None else pair[0]) not in listed]
    return BiasedErrors(_counts(pairs), _counts(outside), _counts(inside))


def _counts(pairs: Iterable[Pair]) -> ErrorCounts:
    kinds = [_kind(pair) for pair in pairs]
    swaps, gone, added = (kinds.count(kind) for kind in ("swap", "gone", "added"))
    return ErrorCounts(swaps, gone, added, len(kinds) - added)


def _kind(pair: Pair) -> str:
    left, right = pair
    return "match" if left == right else "added" if left is None else "gone" if right is None else "swap"


def biased_word_errors(
    references: Sequence[str], hypotheses: Sequence[str], lists: Sequence[Collection[str]]
) -> list[BiasedErrors]:
    """Errors of each utterance. Raises ValueError unless the three have the same length, not 0."""
    if not len(references) == len(hypotheses) == len(lists) or not references:
        raise ValueError(
            f"{len(references)} references, {len(hypotheses)} hypotheses and {len(lists)} biasing lists; "
            "expected one of each per utterance"
        )
    return [count_biased_errors(*row) for row in zip(references, hypotheses, lists, strict=True)]


def total_biased(errors: Iterable[BiasedErrors]) -> BiasedErrors:
    """Sum over utterances, for all, unbiased and biased words."""
    nothing = ErrorCounts(0, 0, 0, 0)
    sums = BiasedErrors(nothing, nothing, nothing)
    for one in errors:
        sums = BiasedErrors(*(a + b for a, b in zip(sums, one, strict=True)))
    return sums
