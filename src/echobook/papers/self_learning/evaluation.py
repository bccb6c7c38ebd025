"""Judging a rewrite table on first requests that mining never heard.

defect         a request whose interpretation is not the user's goal
defect cut     (defects without - defects with) / defects without, on all or on rewritten traffic
wins, losses   requests put right and put wrong; per pair: texts whose success rose or fell
win share      rewrites that win / rewrites that win or lose, at least one of each
coverage       defective requests put right / defective requests
precision      rewritten requests that end at the goal / rewritten requests

What a table can do at all depends on whether the very text was heard while mining: see `hearing`.
"""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from echobook.data.unicode import nfc


def judge(requests: pd.DataFrame, table: Mapping[str, str], understanding: Mapping[str, str]) -> pd.DataFrame:
    """Per request: success without (`before`) and with the table (`after`), and whether it was rewritten.

    requests: simulated first turns without rewriting (columns text, goal, success).
    """
    said = [table.get(nfc(text), text) for text in requests.text]
    frames = [understanding.get(text, "") for text in said]
    rewritten = np.array([a != b for a, b in zip(said, requests.text, strict=True)], dtype=bool)
    reached = np.array([f == g for f, g in zip(frames, requests.goal, strict=True)], dtype=bool)
    before = requests.success.to_numpy(dtype=bool)
    after = np.where(rewritten, reached, before)
    return pd.DataFrame({"text": requests.text, "before": before, "after": after, "rewritten": rewritten})


def measures(judged: pd.DataFrame) -> dict[str, float]:
    """The chapter's measures; ratios of wins to losses count at least one of each: 1 without a rewrite."""
    gain = judged.after.astype(int) - judged.before.astype(int)
    pairs = gain[judged.rewritten].groupby(judged.text[judged.rewritten]).sum()
    up, down = max(1, int((pairs > 0).sum())), max(1, int((pairs < 0).sum()))
    wins, losses, defects = int((gain > 0).sum()), int((gain < 0).sum()), int((~judged.before).sum())
    touched = judged[judged.rewritten]
    touched_defects = int((~touched.before).sum())
    return {
        "win-loss-pairs": up / down,
        "win-share": up / (up + down),
        "win-loss-traffic": max(1, wins) / max(1, losses),
        "defect-cut": (wins - losses) / max(1, defects),
        "defect-cut-triggered": (wins - losses) / max(1, touched_defects),
        "coverage": wins / max(1, defects),
        "precision": float(touched.after.mean()) if len(touched) else 0.0,
        "trigger-rate": float(judged.rewritten.mean()),
        "pairs": float(len(pairs)),
        "put-right": float(wins),
        "put-wrong": float(losses),
    }


def hearing(requests: pd.DataFrame, log: pd.DataFrame, *, least: int) -> pd.Series:
    """How often mining heard each request's text: "heard" (`least` times or more), "rarely" or "never"."""
    times = requests.text.map(log.text.value_counts()).fillna(0).to_numpy()
    names = np.where(times >= least, "heard", np.where(times > 0, "rarely", "never"))
    return pd.Series(names, index=requests.index)


def ledger(
    requests: pd.DataFrame,
    kept: Mapping[str, str],
    proposed: Mapping[str, str],
    understanding: Mapping[str, str],
) -> dict[str, int]:
    """What guardrails cost and save: requests put right and put wrong by the rewrites kept and held back.

    proposed: the table without guardrails. A rewrite that they altered counts in both accounts.
    """
    held = {text: rewrite for text, rewrite in proposed.items() if kept.get(text) != rewrite}
    account: dict[str, int] = {}
    for name, table in {"kept": kept, "held-back": held}.items():
        judged = judge(requests, table, understanding)
        gain = judged.after.astype(int) - judged.before.astype(int)
        account |= {f"right/{name}": int((gain > 0).sum()), f"wrong/{name}": int((gain < 0).sum())}
    return account
