"""Simulated users of a request world: they want something, say it, and say it again when it fails.

Nothing tells the learner which wording is right. What makes the task honest are knobs: short requests that
mean different things to different users (`ambiguity`), users who change their mind (`drift`) or go on
after a success (`follow`), and a success signal that is sometimes wrong (`noise`). Users draw goals from
Zipf's law; `taste` reorders its ranks, so that another taste is a change of preference. Mining hears one
half of the recordings, evaluation the other.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from jaxtyping import Int

from echobook.data.requests import RequestWorld
from echobook.sessions.program import COLUMNS

TURN_S = 12.0  # seconds between the turns of a session
REST_S = 3600.0  # seconds between sessions of a device


@dataclass(frozen=True)
class Users:
    """How users behave; all but zipf, max_turns and taste are probabilities."""

    ambiguity: float = 0.10
    rephrase: float = 0.65
    respeak: float = 0.5
    drift: float = 0.15
    follow: float = 0.10
    noise: float = 0.05
    zipf: float = 0.8
    max_turns: int = 4
    taste: int = 0


@dataclass(frozen=True)
class Catalogue:
    """A world as arrays: recordings by wording, wordings by goal, some goals with a short one."""

    goals: np.ndarray
    wording_start: Int[np.ndarray, "G1"]  # first wording of each goal
    take_start: Int[np.ndarray, "W1"]  # first recording of each wording
    text: np.ndarray  # of each recording
    frame: np.ndarray
    short_text: np.ndarray  # of each goal, "" where it has none
    short_frame: np.ndarray
    understanding: Mapping[str, str]  # most frequent frame of each text


def catalogue(world: RequestWorld, *, half: int, seed: int) -> Catalogue:
    """One half (0 or 1) of the recordings of every wording heard twice; understanding comes from all."""
    rng = np.random.default_rng(seed)
    table = world.recordings.assign(order=rng.permutation(len(world.recordings)))
    table = table.sort_values(["goal", "wording", "order"], ignore_index=True)
    place = table.groupby(["goal", "wording"]).cumcount()
    enough = table.groupby(["goal", "wording"]).goal.transform("size") >= 2
    mine = table[enough & (place % 2 == half)].reset_index(drop=True)
    per_wording = mine.groupby(["goal", "wording"]).size()
    goals = per_wording.index.get_level_values(0)
    per_goal = pd.Series(goals).groupby(goals, sort=True).size()
    names = per_goal.index.to_numpy(dtype=object)
    short_text, short_frame = short_requests(names, mine)
    pairs = table.groupby(["text", "frame"]).size().reset_index(name="n").sort_values(["n", "frame"])
    understanding = dict(zip(pairs.text, pairs.frame, strict=True)) | {
        text: frame for text, frame in zip(short_text, short_frame, strict=True) if text
    }
    return Catalogue(
        names, _offsets(per_goal.to_numpy()), _offsets(per_wording.to_numpy()),
        mine.text.to_numpy(dtype=object), mine.frame.to_numpy(dtype=object), short_text, short_frame,
        understanding,
    )  # fmt: skip


def short_requests(goals: np.ndarray, recordings: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Pair neighbouring goals of an intent; both may be asked for by their shared words.

    The short text is the words common to a wording of each (or the intent's name), and is understood as
    the first goal that has it: right for its users, wrong for the others'.
    """
    first = recordings.drop_duplicates("goal").set_index("goal").wording
    texts, frames = np.full(len(goals), "", dtype=object), np.full(len(goals), "", dtype=object)
    meaning: dict[str, str] = {}
    place = 0
    while place + 1 < len(goals):
        one, two = goals[place], goals[place + 1]
        if one.split("|")[0] != two.split("|")[0]:
            place += 1
            continue
        shared = [word for word in first[one].split() if word in first[two].split()]
        words = " ".join(shared) or one.split("|")[0].replace("_", " ")
        texts[place : place + 2] = words
        frames[place : place + 2] = meaning.setdefault(words, one)
        place += 2
    return texts, frames


def simulate(
    shop: Catalogue,
    users: Users,
    *,
    sessions: int,
    seed: int,
    table: Mapping[str, str] | None = None,
    hold_out=0.0,
) -> pd.DataFrame:
    """Sessions as a log of turns, with hidden columns after it.

    table: rewrites that are live (text to text), skipped for a share `hold_out` of the sessions. Log
    columns: device, time, text, interpretation, outcome (as observed). Hidden: session, turn, goal,
    success (true), natural (the interpretation without rewriting), rewritten.
    """
    rng = np.random.default_rng(seed)
    lookup, devices = table or {}, max(1, sessions // 3)
    served = rng.random(sessions) >= hold_out
    goal = _draw_goals(shop, users, sessions, rng)
    wording = _draw(shop.wording_start, goal, rng)
    alive, parts = np.arange(sessions), []
    for turn in range(users.max_turns):
        turns = _turn(shop, users, goal, wording, turn, rng)
        said = np.array([lookup.get(t, t) for t in turns["text"]], dtype=object)
        changed = (said != turns["text"]) & served[alive]
        frame = turns["natural"].copy()
        frame[changed] = [shop.understanding.get(t, "") for t in said[changed]]
        success = frame == shop.goals[goal]
        noisy = success ^ (rng.random(alive.size) < users.noise)
        parts.append(pd.DataFrame({
            "device": alive % devices, "time": alive // devices * REST_S + turn * TURN_S,
            "text": turns["text"], "interpretation": frame, "outcome": noisy.astype(np.int64),
            "session": alive,
            "turn": turn, "goal": shop.goals[goal], "success": success, "natural": turns["natural"],
            "rewritten": changed,
        }))  # fmt: skip
        stay = rng.random(alive.size) < np.where(success, users.follow, users.rephrase)
        goal, wording = _next_request(shop, users, goal, wording, success, rng)
        alive, goal, wording = alive[stay], goal[stay], wording[stay]
    return pd.concat(parts, ignore_index=True)


def uneven(log: pd.DataFrame, *, seed: int, pause_s: float = 12.0, rest_s: float = 600.0) -> pd.DataFrame:
    """The same turns at uneven times, so that no gap tells sessions apart without errors.

    Silences within a session are log-normal with median `pause_s` (standard deviation of the logarithm 1),
    rests between a device's sessions exponential with mean `rest_s`, in seconds. Sorted by device and time.
    """
    rng = np.random.default_rng(seed)
    ordered = log.sort_values(["device", "session", "turn"], ignore_index=True)
    within = pause_s * np.exp(rng.standard_normal(len(ordered)))
    silence = np.where(ordered.turn > 0, within, rng.exponential(rest_s, len(ordered)))
    return ordered.assign(time=pd.Series(silence).groupby(ordered.device).cumsum())


def write_log(
    shop: Catalogue, users: Users, folder: Path, *, turns: int, seed: int, part: int = 100_000,
    fresh: float = 0.5,
) -> None:  # fmt: skip
    """Write a log of exactly `turns` turns as Parquet files of at most `part` turns, with the real columns.

    One part is simulated. Every further one has other devices, and a share `fresh` of its devices speak of
    things of their own (texts and interpretations marked with the part's number), so that users, texts and
    states grow with the log. Memory: one part.
    """
    folder.mkdir(parents=True)
    log = simulate(shop, users, sessions=min(turns, part), seed=seed)  # each session has a turn or more
    order = np.argsort(log.session.to_numpy(), kind="stable")[: min(turns, part)]  # whole sessions
    piece = pa.Table.from_pandas(log.iloc[order][list(COLUMNS)], preserve_index=False)
    own = pa.array(np.random.default_rng(seed).permutation(part)[piece["device"].to_numpy()] < fresh * part)
    for number, start in enumerate(range(0, turns, part)):
        shifted = piece.set_column(0, "device", pc.add(piece["device"], number * part))
        for name in ("text", "interpretation") if number else ():
            said = shifted[name].cast(pa.string())
            column = pc.if_else(own, pc.binary_join_element_wise(said, f"of {number}", " "), said)
            shifted = shifted.set_column(shifted.column_names.index(name), name, column)
        pq.write_table(shifted.slice(0, turns - start), folder / f"part-{number:04}.parquet")


def _turn(
    shop: Catalogue, users: Users, goal: np.ndarray, wording: np.ndarray, turn: int, rng: np.random.Generator
) -> dict[str, np.ndarray]:
    take = _draw(shop.take_start, wording, rng)
    text, frame = shop.text[take], shop.frame[take]
    short = (rng.random(goal.size) < users.ambiguity) & (shop.short_text[goal] != "") & (turn == 0)
    return {
        "text": np.where(short, shop.short_text[goal], text),
        "natural": np.where(short, shop.short_frame[goal], frame),
    }


def _next_request(
    shop: Catalogue,
    users: Users,
    goal: np.ndarray,
    wording: np.ndarray,
    success: np.ndarray,
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray]:
    """The same wording again, another one, or another goal (always after a success)."""
    switch = success | (rng.random(goal.size) < users.drift)
    new_goal = np.where(switch, _draw_goals(shop, users, goal.size, rng), goal)
    again = ~switch & (rng.random(goal.size) < users.respeak)
    return new_goal, np.where(again, wording, _draw(shop.wording_start, new_goal, rng))


def _draw_goals(shop: Catalogue, users: Users, count: int, rng: np.random.Generator) -> np.ndarray:
    ranks = np.random.default_rng(users.taste).permutation(len(shop.goals))
    weight = 1.0 / np.arange(1, len(shop.goals) + 1) ** users.zipf
    return ranks[rng.choice(len(shop.goals), size=count, p=weight / weight.sum())]


def _draw(start: np.ndarray, group: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A uniform member of each group, groups being consecutive ranges."""
    return start[group] + (rng.random(group.size) * (start[group + 1] - start[group])).astype(np.int64)


def _offsets(sizes: np.ndarray) -> np.ndarray:
    return np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
