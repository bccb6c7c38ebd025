"""From a reader's own log to a table of rewrites, in one call: `rewrite_table`."""

from collections.abc import Iterable
from pathlib import Path

import ibis.expr.types as ir
import pandas as pd

from echobook.papers.self_learning.guardrails import PROTECTED, guarded
from echobook.papers.self_learning.method import MiningRules, mine, session_graph
from echobook.sessions.backends import duckdb_table
from echobook.sessions.program import count


def rewrite_table(
    log: pd.DataFrame | str | Path | ir.Table,
    *,
    gap_s: float = 45.0,
    rules: MiningRules | None = None,
    blocked: Iterable[str] = (),
    names: Iterable[str] = (),
) -> pd.DataFrame:
    """From a log to a table of rewrites, in one call.

    log: a frame, a .csv or .parquet file (or a folder of the latter), or a table from `spark_table`, with
    columns device, time (seconds or timestamps), text, interpretation, outcome (1 wanted, 0 not, empty
    unknown) and, optionally, sequence. blocked: prefixes of interpretations that no rewrite may reach. names:
    words, beside numbers and dates, that a rewrite may only change into what sounds alike. Returns columns
    text, rewrite, state, gain, n, most frequent text first. See `echobook.sessions.program` for how bad rows
    are treated.
    """
    rules = rules or MiningRules()
    events = log if isinstance(log, ir.Table) else duckdb_table(log)
    proposed = mine(session_graph(count(events, gap_s=gap_s), rules), rules)
    final = guarded(proposed, blocked=blocked, protected=PROTECTED | {name.lower() for name in names})
    kept = proposed[proposed.text.isin(list(final))]
    frame = kept.assign(rewrite=kept.text.map(final))
    return frame.sort_values(["n", "text"], ascending=[False, True], ignore_index=True)
