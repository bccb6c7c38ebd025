"""From a simulated log to the guarded rewrites that are judged: what this system has for training."""

import pandas as pd

from echobook.papers.self_learning.guardrails import guarded
from echobook.papers.self_learning.method import MiningRules, mine, session_graph
from echobook.sessions.backends import duckdb_table
from echobook.sessions.program import COLUMNS, count

GAP_S = 45.0


def mined_table(
    log: pd.DataFrame, rules: MiningRules, *, gap_s: float = GAP_S, by_text: bool = False
) -> dict[str, str]:
    """Guarded rewrites of a simulated log (only the columns a real log has are read)."""
    counts = count(duckdb_table(log[list(COLUMNS)]), gap_s=gap_s, by_text=by_text)
    return guarded(mine(session_graph(counts, rules), rules))
