"""What the chapter runs on: a corpus in scope, proxies for the unknown, and the facts about both.

`generated_material` needs no files. `public_material` reads pinned public data; its proxies are sampled
once with a fixed seed, so that all splits see the same ones.
"""

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from echobook.data.generators.intents import generate_intents
from echobook.data.intents import load_intents, load_sentences
from echobook.data.types import DatasetUse
from echobook.papers.advin.evaluation import shrink

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
