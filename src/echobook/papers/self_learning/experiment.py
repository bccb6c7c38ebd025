"""What happens when the log that is mined next was made with rewrites live.

Once u -> u* is served, users no longer say u and then u*: u looks successful and its rewrite unsupported
(Ponnusamy et al., arXiv 2205.00029; we read the abstract). A control and three ways to mine round after
round, each from the last log only:

    unserved       the log as it is, and nothing is ever served: what the rounds alone change
    plain          the log as it is
    hold-out       only sessions that were kept free of rewriting (a share `hold_out` of the traffic)
    superposition  a rewritten turn is logged as two: what would have been understood, then what was. The
                   first is kept with probability w = Pr_Beta(success with > success without), judged per
                   rewrite

Users' taste changes from round to round, so that an old table cannot simply be kept.
"""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pandas as pd

from echobook.papers.self_learning.evaluation import judge, measures
from echobook.papers.self_learning.guardrails import better_without
from echobook.papers.self_learning.material import Catalogue, Users, simulate
from echobook.papers.self_learning.method import MiningRules
from echobook.papers.self_learning.training import mined_table

REMEDIES = ("unserved", "plain", "hold-out", "superposition")


def rounds(
    heard: Catalogue, fresh: Catalogue, users: Users, rules: MiningRules, *,
    remedy: str, count_rounds: int, sessions: int, seed: int, hold_out: float = 0.1,
) -> pd.DataFrame:  # fmt: skip
    """Mine, serve, log, mine again: one row a round with coverage, defect cut and live defect rate.

    Round 0 is mined from a log without rewriting. Raises ValueError for an unknown remedy.
    """
    if remedy not in REMEDIES:
        raise ValueError(f"remedy must be one of {', '.join(REMEDIES)}; got {remedy!r}")
    table: dict[str, str] = {}
    before: dict[str, tuple[int, int]] = {}
    rows = []
    for turn in range(count_rounds):
        now = replace(users, taste=users.taste + turn // 2)
        share = hold_out if remedy == "hold-out" else 0.0
        live = {} if remedy == "unserved" else table
        log = simulate(heard, now, sessions=sessions, seed=seed + turn, table=live, hold_out=share)
        free = log[~log.rewritten].groupby("text").outcome.agg(["sum", "size"])
        before |= {
            str(t): (int(s), int(n)) for t, s, n in zip(free.index, free["sum"], free["size"], strict=True)
        }
        table = mined_table(_as_mined(log, remedy, table, before, seed + turn), rules)
        requests = simulate(fresh, now, sessions=max(2000, sessions // 4), seed=seed + 1000 + turn)
        first = requests[requests.turn == 0]
        found = measures(judge(first, table, fresh.understanding))
        rows.append({"round": turn, "coverage": found["coverage"], "defect-cut": found["defect-cut"],
                     "live-defects": float(1 - log.success.mean()), "rewrites": len(table)})  # fmt: skip
    return pd.DataFrame(rows)


def _as_mined(
    log: pd.DataFrame, remedy: str, table: Mapping[str, str], before: Mapping[str, tuple[int, int]], seed: int
) -> pd.DataFrame:
    if remedy in ("unserved", "plain") or not log.rewritten.any():
        return log
    if remedy == "hold-out":
        touched = log.groupby("session").rewritten.transform("any")
        return log[~touched] if (~touched).any() else log
    return _superposed(log, table, before, seed)


def _superposed(
    log: pd.DataFrame, table: Mapping[str, str], before: Mapping[str, tuple[int, int]], seed: int
) -> pd.DataFrame:
    changed = log[log.rewritten]
    live = changed.groupby("text").outcome.agg(["sum", "size"])
    weight = {
        text: 1 - better_without((int(good), int(n)), before.get(text, (0, 0)))
        for text, good, n in zip(live.index, live["sum"], live["size"], strict=True)
    }
    drawn = np.random.default_rng(seed).random(len(changed)) < changed.text.map(weight).to_numpy(float)
    shadow = changed[drawn].assign(
        interpretation=changed.natural[drawn], outcome=0, time=changed.time[drawn] - 1.0
    )
    said = log.text.where(~log.rewritten, log.text.map(dict(table)))
    return pd.concat([log.assign(text=said), shadow], ignore_index=True)
