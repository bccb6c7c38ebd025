"""From data sets to worlds: a fleet to train on, a test set with its three weightings.

Simulated worlds deal the training utterances of an intent corpus (or of the topic generator) to devices;
the world of real users has one device for each author of Hacker News. Letters as in the kernel; G items,
the units that intervals draw: intents in simulated worlds, users in the real one.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from jaxtyping import Float32, Int
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.preprocessing import normalize

from echobook.data.fetch import fetch
from echobook.data.generators.devices import Dealt, DeviceWorld, Periods, simulate_devices, simulate_periods
from echobook.data.generators.topics import WORDS, generate_topics
from echobook.data.hackernews import load_posts
from echobook.data.intents import load_intents
from echobook.data.types import DatasetUse
from echobook.federated.fleet import Fleet, fleet_of_parts, fleet_of_users
from echobook.federated.models import Softmax, TwoLayer
from echobook.papers.federated_nlu.evaluation import TestSet
from echobook.text.encoder import SentenceEncoder

TESTS = ("all", "balanced", "light")
LIGHT = 0.25  # quantile of the number of examples up to which a device is light
SPLIT_SEED = 2016  # of the posts held out, the same in every run


@dataclass(frozen=True)
class Texts:
    """Labelled texts as vectors.

    Attributes:
        name: of the corpus.
        frame: text, label, split (train, validation, test), and user and time where there are real ones.
        vectors, labels: of each row; classes are the sorted labels.
        use: for the results file.
        whole_number: classes.
    """

    name: str
    frame: pd.DataFrame
    vectors: Float32[np.ndarray, "N D"]
    labels: Int[np.ndarray, " N"]
    use: DatasetUse

    @property
    def classes(self) -> int:
        """Number of classes."""
        return int(self.labels.max()) + 1

    def part(self, split: str) -> tuple[Float32[np.ndarray, "P D"], Int[np.ndarray, " P"]]:
        """Vectors and labels of a split."""
        rows = np.flatnonzero(self.frame["split"] == split)
        return self.vectors[rows], self.labels[rows]


@dataclass(frozen=True)
class World:
    """A fleet, its test set, and what a model of it looks like.

    Attributes:
        name: of the world.
        fleet: training examples on devices.
        test: test examples and their weightings.
        classes: number of classes.
        hidden: hidden units of the model; 0 is the linear model.
    """

    name: str
    fleet: Fleet
    test: TestSet
    classes: int
    hidden: int = 0

    @property
    def model(self) -> Softmax | TwoLayer:
        """A model that fits the world."""
        features = self.fleet.features.shape[1]
        return (
            TwoLayer(features, self.hidden, self.classes) if self.hidden else Softmax(features, self.classes)
        )


@dataclass(frozen=True)
class PeriodWorld:
    """Periods of one fleet: device rows and seen classes by period, on one table, with one test set."""

    name: str
    parts: list[list[Int[np.ndarray, "_"]]]
    seen: np.ndarray
    once: World
    fleets: list[Fleet] = field(default_factory=list)


def topic_texts(*, seed: int, blur: float = 0.25, train: int = 200, test: int = 50) -> Texts:
    """Generated utterances as normalised word counts; a tenth of the training ones is for validation."""
    frame, use = generate_topics(seed=seed, blur=blur, train=train, test=test)
    counts = CountVectorizer(vocabulary=WORDS).fit_transform(frame["text"])
    vectors = normalize(counts).toarray().astype(np.float32)
    return _texts("topics", frame.rename(columns={"intent": "label"}), vectors, use)


def intent_texts(name: str, encoder: SentenceEncoder) -> Texts:
    """A public intent corpus in sentence vectors; one without a test split gets a fixed fifth of its rows."""
    corpus = load_intents(name)
    frame = corpus.frame[corpus.frame["split"].isin(["train", "validation", "test"])].reset_index(drop=True)
    if set(frame["split"]) == {"train"}:
        frame = frame.assign(split=_held_out(len(frame)))
    frame = frame.rename(columns={"intent": "label"})[["text", "label", "split"]]
    return _texts(name, frame, encoder.encode(frame["text"].tolist()), corpus.use)


def corpus_texts(name: str, encoder: SentenceEncoder, *, seed: int) -> Texts:
    """The generated ``topics`` (from a seed), or a public intent corpus."""
    return topic_texts(seed=seed) if name == "topics" else intent_texts(name, encoder)


def post_texts(encoder: SentenceEncoder, *, sites: int = 20) -> Texts:
    """Hacker News titles with their sites; a fixed fifth of the posts is for the test, a tenth for
    validation.
    """
    posts = load_posts(fetch("hackernews"), sites=sites)
    frame = posts.frame.assign(split=_held_out(len(posts.frame)))
    return _texts("hackernews", frame, encoder.encode(frame["text"].tolist()), posts.use)


def _held_out(rows: int) -> np.ndarray:
    drawn = np.random.default_rng(SPLIT_SEED).random(rows)
    return np.where(drawn < 0.2, "test", np.where(drawn < 0.3, "validation", "train"))


def _texts(name: str, frame: pd.DataFrame, vectors: np.ndarray, use: DatasetUse) -> Texts:
    labels = np.unique(frame["label"].to_numpy(dtype=str), return_inverse=True)[1].astype(np.int64)
    return Texts(name, frame.reset_index(drop=True), vectors, labels, use)


def simulated_world(
    texts: Texts, setting: DeviceWorld, *, seed: int, name: str, split: str = "test", hidden: int = 0
) -> World:
    """Training utterances dealt to simulated devices; the test set's items are intents."""
    x, y = texts.part("train")
    dealt = simulate_devices(y, setting, seed=seed)
    fleet = fleet_of_parts(x, y, [np.sort(part) for part in dealt.parts])
    return World(name, fleet, _intent_test(texts, split, dealt), texts.classes, hidden)


def _intent_test(texts: Texts, split: str, dealt: Dealt) -> TestSet:
    x, y = texts.part(split)
    sizes = dealt.sizes
    light = sizes <= np.quantile(sizes, LIGHT)
    counts = np.bincount(y, minlength=texts.classes).astype(np.float64)
    weights = {"all": counts, "balanced": dealt.mixes.mean(axis=0), "light": dealt.mixes[light].mean(axis=0)}
    return TestSet(x, y, y, weights)


def user_world(texts: Texts, *, split: str = "test", hidden: int = 0) -> World:
    """One device for each author with a training post; the test set's items are authors."""
    training = (texts.frame["split"] == "train").to_numpy()
    users = texts.frame["user"].to_numpy(dtype=str)
    x, y = texts.part("train")
    fleet, names = fleet_of_users(x, y, users[training])
    test_x, test_y = texts.part(split)
    authors, item = np.unique(users[(texts.frame["split"] == split).to_numpy()], return_inverse=True)
    sizes = pd.Series(fleet.counts, index=names).reindex(authors).fillna(0).to_numpy(dtype=np.float64)
    least = max(np.quantile(fleet.counts, LIGHT), sizes[sizes > 0].min(initial=np.inf))
    weights: Mapping[str, np.ndarray] = {
        "all": np.bincount(item).astype(np.float64),
        "balanced": (sizes > 0).astype(np.float64),
        "light": ((sizes > 0) & (sizes <= least)).astype(np.float64),
    }
    return World("users", fleet, TestSet(test_x, test_y, item, weights), texts.classes, hidden)


def simulated_periods(texts: Texts, setting: DeviceWorld, *, seed: int, name: str) -> PeriodWorld:
    """Training utterances dealt over four periods, with intents that appear and activity that shifts."""
    x, y = texts.part("train")
    periods: Periods = simulate_periods(y, setting, seed=seed)
    parts = [[np.sort(part) for part in dealt.parts] for dealt in periods.dealt]
    whole = [np.concatenate(device) for device in zip(*parts, strict=True)]
    kept = np.array([len(part) > 0 for part in whole])
    dealt = Dealt([part for part in whole if len(part)], periods.dealt[0].mixes[kept])
    fleet = fleet_of_parts(x, y, dealt.parts)
    once = World(name, fleet, _intent_test(texts, "test", dealt), texts.classes)
    return PeriodWorld(name, parts, periods.seen, once, _fleets(x, y, parts))


def user_periods(texts: Texts, *, periods: int = 4) -> PeriodWorld:
    """The year of posts in ``periods`` spans with equally many training posts; all classes exist from the
    start.
    """
    once = user_world(texts)
    training = texts.frame[texts.frame["split"] == "train"].reset_index(drop=True)
    span = np.arange(len(training)) * periods // len(training)  # rows are in order of time
    devices = np.unique(training["user"].to_numpy(dtype=str), return_inverse=True)[1]
    order = np.argsort(devices, kind="stable")
    cuts = np.flatnonzero(np.diff(devices[order])) + 1
    of_device = np.split(order, cuts)
    parts = [[rows[span[rows] == period] for rows in of_device] for period in range(periods)]
    seen = np.ones((periods, texts.classes), dtype=bool)
    return PeriodWorld("users", parts, seen, once, _fleets(*texts.part("train"), parts))


def _fleets(x: np.ndarray, y: np.ndarray, parts: list[list[np.ndarray]]) -> list[Fleet]:
    return [fleet_of_parts(x, y, [part for part in own if len(part)]) for own in parts]
