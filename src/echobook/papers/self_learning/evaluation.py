"""Judging a rewrite table on first requests that mining never heard.

defect         a request whose interpretation is not the user's goal
defect cut     (defects without - defects with) / defects without, on all or on rewritten traffic
wins, losses   requests put right and put wrong; per pair: texts whose success rose or fell
coverage       defective requests put right / defective requests
precision      rewritten requests that end at the goal / rewritten requests
"""

from collections.abc import Mapping

import numpy as np
import pandas as pd


def judge(requests: pd.DataFrame, table: Mapping[str, str], understanding: Mapping[str, str]) -> pd.DataFrame:
    """Per request: success without (`before`) and with the table (`after`), and whether it was rewritten.

    requests: simulated first turns without rewriting (columns text, goal, success).
    """
    said = [table.get(text, text) for text in requests.text]
    frames = [understanding.get(text, "") for text in said]
    rewritten = np.array([a != b for a, b in zip(said, requests.text, strict=True)], dtype=bool)
    reached = np.array([f == g for f, g in zip(frames, requests.goal, strict=True)], dtype=bool)
    before = requests.success.to_numpy(dtype=bool)
    after = np.where(rewritten, reached, before)
    return pd.DataFrame({"text": requests.text, "before": before, "after": after, "rewritten": rewritten})


def measures(judged: pd.DataFrame) -> dict[str, float]:
    """The chapter's measures; ratios of wins to losses count at least one loss, so they are finite."""
    gain = judged.after.astype(int) - judged.before.astype(int)
    pairs = gain[judged.rewritten].groupby(judged.text[judged.rewritten]).sum()
    wins, losses, defects = int((gain > 0).sum()), int((gain < 0).sum()), int((~judged.before).sum())
    touched = judged[judged.rewritten]
    touched_defects = int((~touched.before).sum())
    return {
        "win-loss-pairs": float((pairs > 0).sum()) / max(1, int((pairs < 0).sum())),
        "win-loss-traffic": wins / max(1, losses),
        "defect-cut": (wins - losses) / max(1, defects),
        "defect-cut-triggered": (wins - losses) / max(1, touched_defects),
        "coverage": wins / max(1, defects),
        "precision": float(touched.after.mean()) if len(touched) else 0.0,
        "trigger-rate": float(judged.rewritten.mean()),
        "pairs": float(len(pairs)),
    }
