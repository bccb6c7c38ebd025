"""From a log of turns to the counts of an absorbing chain, as one dataframe program.

The same Ibis expressions run on DuckDB (one machine, larger than memory) and on Spark (a cluster). A log
has one row a turn:

    device          who spoke; sessions never cross devices
    time            seconds of any origin, or a timestamp; other units are refused by name
    text            what the recogniser heard
    interpretation  what the system understood; null or blank means nothing was understood
    outcome         1 wanted, 0 not wanted, null unknown
    sequence        optional: the device's own counter, trusted above the clock

Steps: drop exact duplicates; normalise text (lower case, single blanks; in DuckDB letters are composed as in
Unicode's NFC, in interpretations too; Spark cannot); order each device's turns; cut where the gap exceeds
`gap_s` or the clock runs backwards; count. Without `sequence` turns are ordered by
time, so a log may arrive in any order; with it, turns keep their sequence, and a clock set back starts a
new session.

What is counted, with h the state of a turn:

    emissions (u, h, n)           how often text u was understood as h
    moves     (h, h', n)          consecutive turns of a session with h' != h
    ends      (h, n, good)        last turns whose outcome is known, and how many were wanted
    visits    (h, n, good, again) all turns with known outcome, wanted ones, and immediate repeats h -> h

A repeat is no move: it would only slow the chain down; `again` keeps it as weak evidence of failure.

What a log may get wrong, and what happens then:

    rows out of order              sorted, by `sequence` where there is one, else by time
    clock running backwards        with `sequence`: a new session; without, nobody can tell from disorder
    rows that are equal in all     counted once
    empty interpretation           the state NOTHING followed by the text, failed whatever its outcome says
    no known outcome anywhere      no absorbing state: counted, and refused when a chain is made of it
    no device or no time           a session of its own, for nothing links it to others
    times in other units           refused, naming the unit suspected
    outcome other than 1, 0, empty refused, naming a value; so are times and outcomes that are text
    missing columns                refused, naming them

Time: one sort; linear in turns otherwise.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from uuid import uuid4

import ibis
import ibis.expr.types as ir
import pandas as pd

from echobook.data.times import check_seconds
from echobook.sessions.composed import composed
from echobook.sessions.quiet import former_names

NOTHING = "(nothing understood)"
COLUMNS = ("device", "time", "text", "interpretation", "outcome")


@dataclass(frozen=True)
class Counts:
    """The four count tables, each sorted by its keys."""

    emissions: pd.DataFrame
    moves: pd.DataFrame
    ends: pd.DataFrame
    visits: pd.DataFrame


def turns(events: ir.Table, *, gap_s: float, by_text: bool = False) -> ir.Table:
    """Clean, ordered turns with their session's neighbours.

    gap_s: longest silence within a session, in seconds, above zero. by_text takes the
        text itself as the state (the utterance chain) instead of the interpretation.
        Raises ValueError for a gap that is not positive or missing columns. Columns of
        the result: text, state, outcome, following (state of the next turn of the
        session or null).
    """
    _check(events, gap_s)
    clean = _clean(events, by_text)
    order = [clean.sequence] if "sequence" in clean.columns else []
    # no ties but equal rows
    order += [clean.time, clean.text, clean.state, clean.outcome.fill_null(-1.0)]
    window = ibis.window(group_by=clean.device, order_by=order)
    ahead = clean.mutate(
        silence=clean.time.lead().over(window) - clean.time,
        next_state=clean.state.lead().over(window),
    )
    together = ahead.device.notnull() & (ahead.silence >= 0) & (ahead.silence <= gap_s)
    following = ibis.cases((together, ahead.next_state), else_=ibis.null("string"))
    return ahead.select("text", "state", "outcome", following=following)


def emissions(table: ir.Table) -> ir.Table:
    """n(u, h): how often each text was understood as each state."""
    return table.group_by("text", "state").aggregate(n=table.count())


def moves(table: ir.Table) -> ir.Table:
    """n(h -> h') for consecutive turns with different states."""
    moved = table.filter(table.following.notnull() & (table.following != table.state))
    return moved.group_by("state", "following").aggregate(n=moved.count())


def ends(table: ir.Table) -> ir.Table:
    """n(h -> end) over last turns of known outcome, with the wanted ones as `good`."""
    last = table.filter(table.following.isnull() & table.outcome.notnull())
    return last.group_by("state").aggregate(n=last.count(), good=last.outcome.sum())


def visits(table: ir.Table) -> ir.Table:
    """All turns of known outcome by state, with wanted turns as `good` and immediate repeats as `again`."""
    known = table.filter(table.outcome.notnull())
    again = (known.following == known.state).fill_null(False).cast("int64").sum()
    return known.group_by("state").aggregate(n=known.count(), good=known.outcome.sum(), again=again)


@former_names()
def count(events: ir.Table, *, gap_s: float, by_text: bool = False) -> Counts:
    """Run the program on whatever backend `events` belongs to; see `turns` for the arguments."""
    program = turns(events, gap_s=gap_s, by_text=by_text)
    _check_times(events)
    with _held(program) as table:
        _check_outcomes(table)
        return Counts(
            emissions=_sorted(emissions(table), ["text", "state"]),
            moves=_sorted(moves(table), ["state", "following"]),
            ends=_sorted(ends(table), ["state"]),
            visits=_sorted(visits(table), ["state"]),
        )


@contextmanager
def _held(table: ir.Table) -> Iterator[ir.Table]:
    """Compute the turns once for all four counts; a DuckDB table may spill to disk, a Spark one is cached."""
    backend = table.get_backend()
    if backend.name != "duckdb":
        with table.cache() as cached:
            yield cached
        return
    name = f"turns_{uuid4().hex}"
    yield backend.create_table(name, table, temp=True)
    backend.con.execute(f"DROP TABLE {name}")


def _check(events: ir.Table, gap_s: float) -> None:
    missing = [name for name in COLUMNS if name not in events.columns]
    if missing:
        raise ValueError(f"the log lacks {', '.join(missing)}; it has {', '.join(events.columns)}")
    if not gap_s > 0:
        raise ValueError(f"gap_s must be above 0 seconds, got {gap_s}")
    for name, wanted in {"time": "seconds or a timestamp", "outcome": "1, 0 or empty"}.items():
        if events[name].type().is_string():
            raise ValueError(f"column {name} is text, or empty throughout a file; expected {wanted}")


def _check_times(events: ir.Table) -> None:
    """Read the times once; an empty log, or one without times, has nothing to refuse."""
    if not events.time.type().is_timestamp():
        latest = events.time.cast("float64").abs().max().to_pyarrow().as_py()
        check_seconds(latest if latest is not None else 0.0, "column time of the log")


def _check_outcomes(table: ir.Table) -> None:
    odd = table.filter(table.outcome.notnull() & ~table.outcome.isin([0.0, 1.0])).limit(1).to_pyarrow()
    if odd.num_rows:
        text, outcome = odd["text"][0].as_py(), odd["outcome"][0].as_py()
        raise ValueError(f"outcome must be 1 (wanted), 0 (not) or empty; text {text!r} has {outcome:g}")


def _clean(events: ir.Table, by_text: bool) -> ir.Table:
    names = [*COLUMNS, "sequence"] if "sequence" in events.columns else list(COLUMNS)
    seen = events.select(*names).distinct()
    backend = events.get_backend().name
    text = composed(seen.text.cast("string").fill_null("").lower(), backend).strip().re_replace(r"\s+", " ")
    meaning = composed(seen.interpretation.cast("string").strip(), backend)
    understood = meaning.notnull() & (meaning != "")
    outcome = seen.outcome.cast("int64" if seen.outcome.type().is_boolean() else "float64").cast("float64")
    shaped = seen.mutate(
        time=_seconds(seen.time),
        text=text,
        state=text
        if by_text
        else ibis.cases((understood, meaning), else_=ibis.literal(NOTHING + " ") + text),
        outcome=ibis.cases((understood, outcome), else_=0.0),
    )
    return shaped.drop("interpretation")


def _seconds(time: ir.Value) -> ir.Value:
    if not time.type().is_timestamp():
        return time.cast("float64")
    whole = time.truncate("s").epoch_seconds()  # a backend may round, not cut, a fraction
    return whole.cast("float64") + time.millisecond().cast("float64") / 1000.0


def _sorted(table: ir.Table, keys: list[str]) -> pd.DataFrame:
    frame = table.to_pyarrow().to_pandas()
    numbers = [name for name in frame.columns if name not in keys]
    return frame.astype(dict.fromkeys(numbers, "int64")).sort_values(keys, ignore_index=True)
