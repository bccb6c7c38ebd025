"""Which intents are known, which are kept out of the transfer's training, and which are novel.

The known intents are split once more: the projection is trained on `training` intents only, and the distance
threshold is chosen on `threshold` intents, which the projection has not seen. Chosen on training intents the
threshold is too small, because training has pulled their clusters artificially tight.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Bool, Int

OPEN = -1


@dataclass(frozen=True)
class IntentSplit:
    """Names of intents in three disjoint groups; known = training + threshold."""

    training: tuple[str, ...]
    threshold: tuple[str, ...]
    novel: tuple[str, ...]

    @property
    def known(self) -> tuple[str, ...]:
        """All labelled intents, training first."""
        return (*self.training, *self.threshold)


def _pick(names: np.ndarray, count: int, rng: np.random.Generator) -> list[str]:
    return sorted(rng.choice(names, size=count, replace=False).tolist()) if count > 0 else []


def split_intents(
    domains: pd.Series,
    *,
    seed: int,
    novel_share: float = 0.25,
    threshold_share: float = 0.2,
    whole_domains: int = 0,
) -> IntentSplit:
    """Draw a split of the intents in `domains` (index: intent, value: domain).

    `novel_share` of all intents becomes novel (at least two, rounded half up). With `whole_domains` > 0 that
    many domains are novel from end to end, and the rest of the share comes from the other domains. Of the
    known intents `threshold_share` (at least two) is kept out of training.
    """
    if not 0 < novel_share < 1 or not 0 < threshold_share < 1:
        raise ValueError(
            f"novel_share and threshold_share: expected in (0, 1), found {novel_share}, {threshold_share}"
        )
    rng = np.random.default_rng(seed)
    unseen_domains = _pick(np.unique(domains.to_numpy(dtype=str)), whole_domains, rng)
    novel = sorted(domains.index[domains.isin(unseen_domains)])
    wanted = max(2, int(novel_share * len(domains) + 0.5))
    rest = np.array(sorted(set(domains.index) - set(novel)))
    novel = sorted([*novel, *_pick(rest, wanted - len(novel), rng)])
    known = np.array(sorted(set(domains.index) - set(novel)))
    held = max(2, int(threshold_share * len(known) + 0.5))
    if len(known) - held < 2:
        raise ValueError(f"{len(domains)} intents leave {len(known)} known ones; at least 4 are needed")
    threshold = _pick(known, held, rng)
    return IntentSplit(tuple(sorted(set(known) - set(threshold))), tuple(threshold), tuple(novel))


def rows(frame: pd.DataFrame, split: str, intents: tuple[str, ...]) -> Bool[np.ndarray, " N"]:
    """Return the mask of rows of one split ("train", "test", ...) whose intent is among `intents`."""
    return ((frame["split"] == split) & frame["intent"].isin(intents)).to_numpy()


def codes(names: pd.Series, intents: tuple[str, ...]) -> Int[np.ndarray, " N"]:
    """Return the position of each name in `intents`, and OPEN (-1) for names that are not among them."""
    position = {name: number for number, name in enumerate(intents)}
    return np.array([position.get(name, OPEN) for name in names], dtype=np.int64)


def cap_rows(
    mask: Bool[np.ndarray, " N"], labels: pd.Series, limit: int, *, seed: int
) -> Bool[np.ndarray, " N"]:
    """Keep at most `limit` random rows of each label: linkage heights depend on the density of a pool."""
    rng = np.random.default_rng(seed)
    kept = np.zeros(len(mask), dtype=bool)
    for _, group in pd.Series(np.flatnonzero(mask)).groupby(labels.to_numpy()[mask]):
        kept[rng.permutation(group.to_numpy())[:limit]] = True
    return kept
