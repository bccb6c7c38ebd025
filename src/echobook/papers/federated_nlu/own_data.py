"""A reader's own users: one call from a CSV of user, text and label to a comparison of selection rules.

    compared = compare_csv(Path("mine.csv"), m=10, rounds=50)
    compared.table            # one row a rule: accuracy for all interactions, for each user, for light
    users

The CSV has a header with the columns user, text and label, and optionally time (then rows are put in order
of time, and the last fifth of each user's rows is held out instead of a random one). Every rule is tuned
on the same grid of learning rates, on a part of the training rows of each user.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from echobook.data.text_files import MalformedRow, read_columns
from echobook.data.types import DatasetUse, rows_digest
from echobook.federated.rounds import Diverged
from echobook.papers.federated_nlu.baselines import arm
from echobook.papers.federated_nlu.experiment import MAIN
from echobook.papers.federated_nlu.material import Texts, World, user_world
from echobook.papers.federated_nlu.rates import GRID, best_rate
from echobook.papers.federated_nlu.training import Budget, train_arm

COLUMNS = ("user", "text", "label")
TEST, VALIDATION = 0.2, 0.1


@dataclass(frozen=True)
class Compared:
    """What :func:`compare_csv` found.

    Attributes:
        table: rule, learning rate, accuracy by weighting (all, balanced, light), samples processed.
        users, examples: of the fleet; heaviest: share of the examples that a tenth of the users holds.
    """

    table: pd.DataFrame
    users: int
    examples: int
    heaviest: float


def read_users(path: Path) -> pd.DataFrame:
    """Rows of a CSV: user, text, label and, if the file has it, time.

    Raises:
        MalformedRow: a missing column, a row that is too short or has an empty field, a time that is none;
        file
            and line are named.
        ValueError: fewer than two users or labels.
    """
    rows = [{**row, "line": line} for line, row in read_columns(path, COLUMNS, ("time",))]
    frame = pd.DataFrame(rows, columns=[*COLUMNS, "line"] if not rows else None)
    for name in ("user", "label"):
        if frame[name].nunique() < 2:
            raise ValueError(f"{path}: expected at least two values of {name}, got {frame[name].nunique()}")
    return _in_time(path, frame) if "time" in frame else frame


def _in_time(path: Path, frame: pd.DataFrame) -> pd.DataFrame:
    times = pd.to_datetime(frame["time"], errors="coerce", format="ISO8601")
    if times.isna().any():
        bad = frame[times.isna()].iloc[0]
        raise MalformedRow(path, int(bad["line"]), "a time such as 2024-05-31T12:00", bad["time"])
    return frame.assign(time=times).sort_values("time", kind="stable").reset_index(drop=True)


def split_rows(frame: pd.DataFrame, *, seed: int) -> np.ndarray:
    """train, validation or test for each row: a fifth and a tenth of all rows, at random or the latest of
    a user.
    """
    rng = np.random.default_rng((seed, 11))
    if "time" in frame:
        behind = frame.groupby("user").cumcount(ascending=False).to_numpy()
        share = (behind + rng.random(len(frame))) / frame.groupby("user")["user"].transform("size").to_numpy()
    else:
        share = rng.random(len(frame))
    return np.where(share < TEST, "test", np.where(share < TEST + VALIDATION, "validation", "train"))


def compare_csv(
    path: Path,
    *,
    m: int = 10,
    rounds: int = 50,
    rules: Sequence[str] = MAIN,
    encode: Callable[[list[str]], np.ndarray] | None = None,
    seed: int = 0,
) -> Compared:
    """Compare selection rules on a reader's own users.

    Args:
        path: the CSV, see the module's text.
        m: users of a round, at most as many as have a training row.
        rounds: of every rule.
        rules: names of arms.
        encode: texts to float32 vectors; by default the bundled sentence encoder.

    Raises:
        MalformedRow: as :func:`read_users`.
        ValueError: an unknown rule, too few users, or every learning rate diverged.
    """
    frame = read_users(path)
    arms = {name: arm(name) for name in rules}
    texts = _own_texts(path, frame.assign(split=split_rows(frame, seed=seed)), encode)
    tuning, judged = user_world(texts, split="validation"), user_world(texts)
    budget, found = Budget(m=m, rounds=rounds), []
    for name in arms:
        rate = _tuned(tuning, name, budget, seed)
        curve = train_arm(judged, arms[name], budget, rate=rate, seed=seed, watch=[])
        scores = {test: float(curve.accuracy(test)[-1]) for test in judged.test.weights}
        found.append({"rule": name, "rate": rate, **scores, "samples": int(curve.samples[-1])})
    counts = np.sort(judged.fleet.counts)[::-1]
    heaviest = counts[: max(1, len(counts) // 10)].sum() / counts.sum()
    return Compared(pd.DataFrame(found), judged.fleet.clients, int(counts.sum()), float(heaviest))


def _own_texts(path: Path, frame: pd.DataFrame, encode: Callable[[list[str]], np.ndarray] | None) -> Texts:
    if encode is None:
        from echobook.text.encoder import SentenceEncoder

        encode = SentenceEncoder().encode
    vectors = np.asarray(encode(frame["text"].tolist()), dtype=np.float32)
    labels = np.unique(frame["label"].to_numpy(dtype=str), return_inverse=True)[1].astype(np.int64)
    digest = rows_digest(frame[list(COLUMNS)].to_numpy(dtype=str).tolist())
    use = DatasetUse(path.stem, "own file", digest, "the reader's own", {"rows": len(frame)}, path.name)
    return Texts(path.stem, frame, vectors, labels, use)


def _tuned(world: World, name: str, budget: Budget, seed: int) -> float:
    tried = {}
    for rate in GRID:
        try:
            tried[rate] = float(
                train_arm(world, arm(name), budget, rate=rate, seed=seed, watch=[]).accuracy()[-1]
            )
        except Diverged:
            continue
    return best_rate(tried)
