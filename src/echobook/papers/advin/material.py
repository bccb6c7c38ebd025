"""What the chapter runs on: a corpus in scope, a split of its intents, proxies for the unknown.

`generated_material` needs no files. `public_material` reads pinned public data; its proxies are sampled
once with a fixed seed, so that all splits see the same ones. `View` holds the encoded corpus under one split.

The known intents are split once more: the projection is trained on `training` intents only, and the distance
threshold is chosen on `threshold` intents, which the projection has not seen. Chosen on training intents the
threshold is too small, because training has pulled their clusters artificially tight.
"""

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Int

from echobook.data.generators.intents import generate_intents
from echobook.data.intents import load_intents, load_sentences
from echobook.data.types import DatasetUse

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


Part = tuple[np.ndarray, np.ndarray]  # vectors (N, D), class numbers (N,)


@dataclass(frozen=True)
class View:
    """An encoded corpus under one split of its intents; `frame` has text, intent, domain, split."""

    frame: pd.DataFrame
    vectors: Float[np.ndarray, "N D"]
    split: IntentSplit
    seed: int

    def part(self, split: str, intents: tuple[str, ...], *, cap: int | None = None) -> Part:
        """Return vectors and class numbers (positions in `intents`) of one split, at most `cap` an intent."""
        mask = rows(self.frame, split, intents)
        if cap is not None:
            mask = cap_rows(mask, self.frame["intent"], cap, seed=self.seed)
        return self.vectors[mask], codes(self.frame["intent"][mask], intents)

    def domains(self, intents: tuple[str, ...]) -> list[str]:
        """Return the domain of each intent."""
        pairs = self.frame.drop_duplicates("intent").set_index("intent")["domain"]
        return [pairs[intent] for intent in intents]


def shrink(frame: pd.DataFrame, *, train: int, test: int, seed: int = 0) -> pd.DataFrame:
    """Keep at most `train` training and `test` test rows of each intent of a big corpus."""
    kept = np.zeros(len(frame), dtype=bool)
    for split, limit in (("train", train), ("validation", test), ("test", test)):
        mask = (frame["split"] == split).to_numpy()
        kept |= cap_rows(mask, frame["intent"], limit, seed=seed)
    return frame[kept].reset_index(drop=True)


PROXIES = 3000
PROXY_DOMAIN = "cycling"


@dataclass(frozen=True)
class Material:
    """Rows in scope, proxy texts (training, validation) by source, data sets used, rows dropped."""

    frame: pd.DataFrame
    proxies: dict[str, tuple[list[str], list[str]]]
    uses: list[DatasetUse]
    dropped: dict[str, int]


def in_scope(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the rows that have an intent."""
    return frame[~frame["split"].str.startswith("oos")].reset_index(drop=True)


def generated_material(*, seed: int, overlap: float, train: int, test: int) -> Material:
    """Return generated utterances; the intents of one domain are taken out of scope and serve as proxies."""
    corpus = generate_intents(seed=seed, overlap=overlap, train=train, test=test)
    outside = corpus.frame["domain"] == PROXY_DOMAIN
    parts = {split: rows["text"].tolist() for split, rows in corpus.frame[outside].groupby("split")}
    scope = corpus.frame[~outside].reset_index(drop=True)
    return Material(scope, {"domain": (parts["train"], parts["test"])}, [corpus.use], dict(corpus.dropped))


def _sample(texts: list[str], limit: int = PROXIES) -> tuple[list[str], list[str]]:
    order = np.random.default_rng(0).permutation(len(texts))[:limit]
    held = len(order) // 5
    return [texts[k] for k in order[held:]], [texts[k] for k in order[:held]]


def public_material(name: str, *, train: int, test: int, proxies: tuple[str, ...] = ()) -> Material:
    """Return a public corpus and proxies among "hwu64", "wikipedia" and "oos" (the corpus's own)."""
    corpus = load_intents(name)
    uses, texts = [corpus.use], {}
    for source in proxies:
        if source == "hwu64":
            other = load_intents("nlu_eval_hwu64")
            texts[source] = _sample(other.frame["text"].tolist())
            uses.append(other.use)
        elif source == "wikipedia":
            sentences, use = load_sentences()
            texts[source] = _sample(sentences)
            uses.append(replace(use, name="clinc150-wiki"))
        elif source == "oos":
            own = [corpus.rows(split)["text"].tolist() for split in ("oos-train", "oos-validation")]
            texts[source] = (own[0], own[1])
        else:
            raise ValueError(f"proxies: expected hwu64, wikipedia or oos, found {source!r}")
    scope = shrink(in_scope(corpus.frame), train=train, test=test)
    return Material(scope, texts, uses, dict(corpus.dropped))
