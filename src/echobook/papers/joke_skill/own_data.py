"""A reader's own log: jokes and a log of tellings in, the next jokes of each customer out.

    found = rank_csv(Path("jokes.csv"), Path("log.csv"), Path("requests.csv"), label="reuse")
    found.ranked              # customer, time, place, joke, score, heard, basis

Three CSV files with headers: jokes (joke, category, text), a log of tellings (customer, time, joke), and
requests to be answered (customer, time). Times are like 2024-05-31T12:00:05 or whole seconds. Labels come
from the log's own requests; the last 25 hours of it teach nothing, as their labels are open.

A customer without history is ranked by everybody's taste (``basis`` says so). Refused, with file and line:
a joke or category that the jokes' file does not have, a customer whose clock goes backwards, a joke told
twice to one customer, an empty field.
"""

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from echobook.data.jokes import Joke, kind_of
from echobook.data.text_files import MalformedRow, read_lines
from echobook.metrics.grouped_auc import grouped_auc
from echobook.metrics.open_set import auroc
from echobook.papers.joke_skill.features import BY_TEXT, WITH_TEXT, Design
from echobook.papers.joke_skill.history import History, Moments, replay
from echobook.papers.joke_skill.material import JokeTable, joke_table
from echobook.papers.joke_skill.method import (
    LABELS,
    PAPER_WINDOWS,
    Logistic,
    censored,
    fit_logistic,
    implicit_labels,
)
from echobook.papers.joke_skill.training import PENALTIES

OFTEN = 20  # tellings of a joke, on average, from which each joke has weights of its own
HELD = 0.2  # share of the log, the latest, by which the penalty is chosen


@dataclass(frozen=True)
class Ranked:
    """What :func:`rank_csv` found.

    Attributes:
        ranked: the best jokes of each request; ``basis`` is "history" or "everybody".
        rate: share of the log with the label.
        pooled, customer: AUC on the held-out part of the log, over all rows and inside customers (NaN where
            nobody has both outcomes there).
        penalty: the chosen one.
    """

    ranked: pd.DataFrame
    rate: float
    pooled: float
    customer: float
    penalty: float


def read_jokes(path: Path, *, known: set[str] | None = None) -> tuple[list[str], list[Joke]]:
    """Ids and jokes of a CSV with the columns joke, category, text.

    Args:
        known: categories that may occur; all by default.

    Raises:
        MalformedRow: a missing column, an empty field, a joke twice, a category that is not known.
    """
    ids, jokes = [], []
    for line, row in _rows(path, ("joke", "category", "text")):
        if row["joke"] in ids:
            raise MalformedRow(path, line, "each joke once", row["joke"])
        if known is not None and row["category"] not in known:
            raise MalformedRow(path, line, f"a category of {', '.join(sorted(known))}", row["category"])
        ids.append(row["joke"])
        jokes.append(Joke(row["text"], row["category"], kind_of(row["text"]), False))
    return ids, jokes


def read_log(path: Path, jokes: list[str]) -> pd.DataFrame:
    """Tellings: customer, time (s), joke number, line; in the order of the file.

    Raises:
        MalformedRow: as :func:`read_jokes`; a joke that is not known; a time that is none, or not after the
            customer's last one; a joke that the customer has heard.
    """
    number = {name: place for place, name in enumerate(jokes)}
    last: dict[str, int] = {}
    heard: set[tuple[str, str]] = set()
    rows = []
    for line, row in _rows(path, ("customer", "time", "joke")):
        customer, time = row["customer"], _seconds(path, line, row["time"])
        if row["joke"] not in number:
            raise MalformedRow(path, line, f"one of the {len(number)} jokes", row["joke"])
        if time <= last.get(customer, -1):
            wanted = f"a time after the last one of customer {customer}; the clock goes backwards"
            raise MalformedRow(path, line, wanted, row["time"])
        if (customer, row["joke"]) in heard:
            raise MalformedRow(path, line, f"a joke that customer {customer} has not heard", row["joke"])
        last[customer] = time
        heard.add((customer, row["joke"]))
        rows.append((customer, time, number[row["joke"]], line))
    if not rows:
        raise MalformedRow(path, 1, "a header and tellings", "no telling")
    return pd.DataFrame(rows, columns=["customer", "time", "joke", "line"])


def _rows(path: Path, columns: tuple[str, ...]) -> list[tuple[int, dict[str, str]]]:
    reader = csv.reader((line + "\n" for _, line in read_lines(path)), strict=True)
    header = [name.strip() for name in next(reader, [])]
    if absent := [name for name in columns if name not in header]:
        raise MalformedRow(path, 1, f"the columns {', '.join(columns)}", f"no {absent[0]} in {header}")
    found = []
    for fields in reader:
        row = dict(zip(header, (field.strip() for field in fields), strict=False))
        if len(fields) != len(header) or not all(row[name] for name in columns):
            raise MalformedRow(path, reader.line_num, f"filled fields {', '.join(columns)}", fields)
        found.append((reader.line_num, row))
    return found


def _seconds(path: Path, line: int, text: str) -> int:
    if text.isdecimal():
        return int(text)
    try:
        return int(pd.Timestamp(text).timestamp())
    except ValueError as error:
        raise MalformedRow(path, line, "a time such as 2024-05-31T12:00:05", text) from error


@dataclass(frozen=True)
class _Fitted:
    design: Design
    model: Logistic
    penalty: float
    pooled: float
    customer: float


def rank_csv(jokes: Path, log: Path, requests: Path, *, label: str = "reuse", best: int = 5) -> Ranked:
    """Train on a log and answer requests; see the module's text.

    Args:
        label: reuse or back.
        best: jokes listed for each request.

    Raises:
        MalformedRow: a row that cannot be meant.
        ValueError: an unknown label, or a log too short to hold both outcomes in both parts.
    """
    if label not in LABELS:
        raise ValueError(f"label {label!r}: expected one of {', '.join(LABELS)}")
    ids, texts = read_jokes(jokes)
    told = read_log(log, ids).sort_values("time", kind="stable")
    table, names = joke_table(texts), sorted(told["customer"].unique())
    asked = _read_requests(requests, told)
    users = {name: place for place, name in enumerate(dict.fromkeys([*names, *asked["customer"]]))}
    history = History(np.zeros(len(users), dtype=np.int64), jokes=len(ids), longest=len(ids) + 1)
    user = told["customer"].map(users).to_numpy(dtype=np.int64)
    time, joke = told["time"].to_numpy(dtype=np.int64), told["joke"].to_numpy(dtype=np.int64)
    moments = replay(history, user, time, joke)
    given = _labels(user, time, label)
    known = np.flatnonzero(~censored(time, int(time.max())))
    fitted = _fit(table, label, moments, joke, given, known)
    ranked = _answer(fitted, history, asked, users, ids, best)
    return Ranked(ranked, float(given[known].mean()), fitted.pooled, fitted.customer, fitted.penalty)


def _read_requests(path: Path, told: pd.DataFrame) -> pd.DataFrame:
    """Requests in the order of time, none before the customer's last joke."""
    last = told.groupby("customer")["time"].max().to_dict()
    rows = []
    for line, row in _rows(path, ("customer", "time")):
        time = _seconds(path, line, row["time"])
        if time <= last.get(row["customer"], -1):
            wanted = f"a time after the last joke of customer {row['customer']}; the clock goes backwards"
            raise MalformedRow(path, line, wanted, row["time"])
        rows.append((row["customer"], time))
    frame = pd.DataFrame(rows, columns=["customer", "time"])
    if again := frame["customer"][frame["customer"].duplicated()].tolist():
        raise MalformedRow(path, 1, "one request a customer", again[0])
    return frame


def _labels(user: np.ndarray, time: np.ndarray, label: str) -> np.ndarray:
    found = np.zeros(len(user), dtype=bool)
    for number in np.unique(user):
        rows = np.flatnonzero(user == number)
        found[rows] = implicit_labels(time[rows], PAPER_WINDOWS)[LABELS.index(label)]
    return found


def _fit(
    table: JokeTable, label: str, moments: Moments, joke: np.ndarray, given: np.ndarray, known: np.ndarray
) -> _Fitted:
    """Choose the penalty on the latest part of the known rows, then fit on all of them."""
    often = len(known) >= OFTEN * len(table)
    design = Design(table, label, WITH_TEXT if often else BY_TEXT)
    rows = design.rows(moments, joke)
    cut = int(len(known) * (1 - HELD))
    early, late = known[:cut], known[cut:]
    for part in (early, late):
        if len(np.unique(given[part])) < 2:
            raise ValueError(f"log: {len(known)} rows with a known label are too few; both outcomes needed")
    tried = {}
    for penalty in PENALTIES:
        scores = fit_logistic(rows[early], given[early], penalty=penalty).scores(rows[late])
        tried[penalty] = (auroc(scores, given[late]), scores)
    best = max(tried, key=lambda penalty: (tried[penalty][0], penalty))
    try:
        customer = grouped_auc(tried[best][1], given[late], moments.user[late]).mean
    except ValueError:
        customer = float("nan")
    model = fit_logistic(rows[known], given[known], penalty=best)
    return _Fitted(design, model, best, tried[best][0], customer)


def _answer(
    fitted: _Fitted,
    history: History,
    asked: pd.DataFrame,
    users: dict[str, int],
    ids: list[str],
    best: int,
) -> pd.DataFrame:
    user = asked["customer"].map(users).to_numpy(dtype=np.int64)
    history.ask(user, asked["time"].to_numpy(dtype=np.int64))
    moments = history.moments(user)
    scores = np.where(history.heard[user], -np.inf, fitted.design.scores(fitted.model, moments))
    rows = []
    for place, request in enumerate(asked.itertuples()):
        basis = "history" if moments.count[place] else "everybody"
        for rank, joke in enumerate(np.argsort(-scores[place], kind="stable")[:best], start=1):
            if np.isfinite(scores[place, joke]):
                told = (ids[joke], float(scores[place, joke]), int(moments.count[place]), basis)
                rows.append((request.customer, request.time, rank, *told))
    columns = ["customer", "time", "place", "joke", "score", "heard", "basis"]
    return pd.DataFrame(rows, columns=columns)
