"""Detours: how often a rewrite needs a longer path than one move, and a log in which it always does.

A positive control for the chain's depth, and a count of how often the control's case occurs elsewhere. In
the generated log each of `goals` things has a first wording that always fails ("open g"). Where a detour is
needed, no user goes straight to the wording that works: they ask for the list first ("list all g"), which is
not what they wanted, and find the right words there. A tempting wording ("close g") follows the first one
directly and succeeds now and then, so that whoever looks one move ahead has something to choose. With `share`
0 nobody needs a detour, and depth must not matter.
"""

from collections.abc import Iterable, Mapping

import numpy as np
import pandas as pd

from echobook.papers.self_learning.method import MiningRules, SessionGraph, mine, score
from echobook.sessions.program import COLUMNS

STEP_S, REST_S = 12.0, 3600.0  # seconds between turns, and between sessions of a device
ASKS, LEADS, TEMPTS = 0.6, 0.7, 0.2  # of those who fail: go on; of those in the list: find it; are tempted
LUCKY, WORKS = 0.3, 0.95  # success of the tempting wording and of the right one


def detour_log(
    *, goals: int, sessions: int, share: float, seed: int, noise: float = 0.05
) -> tuple[pd.DataFrame, dict[str, str]]:
    """A log with the columns of a real one, and the right rewrite of each first wording.

    share: part of the goals, in [0, 1], that are reached only by way of the list. noise: probability that an
    outcome is observed wrongly. A fifth of the sessions open with the right words. Raises ValueError for a
    share outside [0, 1] or less than one goal or session.
    """
    if not 0 <= share <= 1 or goals < 1 or sessions < 1:
        raise ValueError(
            f"need a share in [0, 1], goals and sessions of 1 or more, got {share}, {goals}, {sessions}"
        )
    rng = np.random.default_rng(seed)
    rows: list[tuple[int, float, str, str, int]] = []
    for session, goal in enumerate(rng.integers(0, goals, sessions).tolist()):
        for turn, (text, works) in enumerate(_session(goal, goal < share * goals, rng)):
            seen = works != (rng.random() < noise)
            rows.append((session, turn * STEP_S, text, text.replace(" ", ":"), int(seen)))
    right = {f"open thing{goal}": f"show thing{goal} now" for goal in range(goals)}
    return pd.DataFrame(rows, columns=list(COLUMNS)), right


def _session(goal: int, detour: bool, rng: np.random.Generator) -> list[tuple[str, bool]]:
    """Wordings of one session, each with whether it works."""
    last = (f"show thing{goal} now", bool(rng.random() < WORKS))
    if rng.random() < 0.2:
        return [last]
    said = [(f"open thing{goal}", False)]
    if rng.random() < TEMPTS:
        return [*said, (f"close thing{goal}", bool(rng.random() < LUCKY))]
    if rng.random() >= ASKS:
        return said
    if not detour:
        return [*said, last]
    said.append((f"list all thing{goal}", False))
    return [*said, last] if rng.random() < LEADS else said


def found_right(table: Mapping[str, str], right: Mapping[str, str]) -> float:
    """Share of the wordings in `right` that `table` rewrites as it says."""
    return sum(table.get(text) == rewrite for text, rewrite in right.items()) / len(right)


def needed_detours(graph: SessionGraph, rules: MiningRules) -> pd.DataFrame:
    """The rewrites mined, with `direct`: the target's score when only one move is followed.

    Where it is 0 no user of the request is seen to go straight to the target: a detour was needed.
    """
    proposed = mine(graph, rules)
    rows = np.array([graph.texts.index(text) for text in proposed.text], dtype=np.int64)
    if rows.size == 0:
        return proposed.assign(direct=0.0)
    near = score(graph, rows, MiningRules(scorer=rules.scorer, depth=1)).toarray()
    return proposed.assign(
        direct=[near[place, graph.chain.index(state)] for place, state in enumerate(proposed.state)]
    )


def staying_or_going(graph: SessionGraph, texts: Iterable[str], rules: MiningRules) -> pd.DataFrame:
    """For each of `texts` that the graph knows: the score of staying, and the best score of any other state.

    Staying is the state that the text is mostly understood as. Where it scores higher, nothing is mined: the
    users of one state want different things, and no single target outweighs those who remain.
    """
    known = [text for text in graph.texts if text in set(texts)]
    if not known:
        return pd.DataFrame({"text": [], "stay": [], "go": []})
    places = {text: place for place, text in enumerate(graph.texts)}
    rows = np.array([places[text] for text in known], dtype=np.int64)
    scores, own = score(graph, rows, rules).toarray(), graph.readings[rows].toarray().argmax(axis=1)
    each = np.arange(len(rows))
    stay = scores[each, own]
    scores[each, own] = 0.0
    return pd.DataFrame({"text": known, "stay": stay, "go": scores.max(axis=1)})


def repaired_late(log: pd.DataFrame) -> tuple[int, int]:
    """Sessions of a simulated log that repair their first request, and how many need two further turns.

    A repair: the first turn fails, and a later one succeeds with the same goal (the hidden columns know).
    """
    first = log[log.turn == 0].set_index("session")
    failed = first.goal[~first.success]
    later = log[(log.turn > 0) & log.success & (log.session.map(failed) == log.goal)]
    turn = later.groupby("session").turn.min()
    return len(turn), int((turn > 1).sum())
