"""The synthesis in HTML: tables of `echobook.report.synthesis` and one sentence that sums each up.

Addresses of pages are given as a function from slug and anchor, so that this module knows of no site.
"""

import html
from collections.abc import Callable, Sequence

import pandas as pd

from echobook.report.display import SIGNS, figure, range_text
from echobook.report.outcomes import VERDICTS
from echobook.report.scoreboard import plural
from echobook.report.synthesis import (
    DECISIONS,
    GROUPS,
    RATIO_CLASSES,
    Entry,
    controls_frame,
    cost_frame,
    effects_frame,
    open_frame,
    verdicts_frame,
)
from echobook.report.tables import table

Address = Callable[[str, str], str]
WIDE = '<div class="scoreboard-box synthesis-box">'


def _shown(frame: pd.DataFrame, name: str, caption: str, **options: object) -> str:
    """Return a frame as a table in a box that can scroll."""
    return f"{WIDE}{table(frame, name=name, caption=caption, **options).to_html()}</div>"  # type: ignore[arg-type]


def verdicts_table(entries: Sequence[Entry], by: str) -> str:
    """Return the findings of papers by verdict, one row a group."""
    frame = verdicts_frame(entries, by)
    used = [name for name in VERDICTS if frame[name].sum()]
    frame["decided"] = [_share(value) for value in frame["decided"]]
    frame = frame[[by, "papers", "findings", *used, "decided"]]
    named = frame.rename(columns={name: f"{SIGNS[name]} {name}" for name in used})
    return _shown(named, f"verdicts-by-{by.replace(' ', '-')}", f"Findings of papers by verdict and {by}.")


def _share(value: float) -> str:
    return "–" if pd.isna(value) else f"{value:.0%}"


def verdicts_tables(entries: Sequence[Entry]) -> str:
    """Return the sentence and the tables of findings, one for each way of grouping them."""
    counts = verdicts_frame(entries, "part of the book")
    total, decided = (
        int(counts["findings"].sum()),
        round(float((counts["decided"] * counts["findings"]).sum())),
    )
    right = int(counts["reproduced"].sum())
    words = (
        f"Of {plural(total, 'finding')} of {plural(len(entries), 'paper')}, {decided} are decided here, and "
        f"{right} of those are reproduced."
    )
    return _sentence(words) + "".join(verdicts_table(entries, by) for by in GROUPS)


def _sentence(words: str) -> str:
    return f"<p><strong>{html.escape(words)}</strong></p>"


def effects_table(entries: Sequence[Entry]) -> str:
    """Return the sentence and the table of effects in multiples of the papers'."""
    frame = effects_frame(entries)
    if frame.empty:
        return _sentence("No test has the paper's effect beside it yet.")
    every = frame.iloc[-1]
    words = (
        f"Half of our effects are above {figure(every['median'], 2)} times the paper's, in "
        f"{plural(int(every['tests']), 'test')} of {plural(int(every['papers']), 'paper')}."
    )
    frame["median ratio [interval]"] = [
        figure(row["median"], 2) + ("" if pd.isna(row["low"]) else range_text(row["low"], row["high"], 2))
        for _, row in frame.iterrows()
    ]
    shown = frame[["kind of data", "papers", "tests", "median ratio [interval]", *RATIO_CLASSES]]
    caption = "Our effects in multiples of the papers'; intervals draw papers anew, from three papers on."
    return _sentence(words) + _shown(shown, "effects-by-data", caption)


def controls_table(entries: Sequence[Entry]) -> str:
    """Return the sentence and the table of controls."""
    frame = controls_frame(entries)
    if frame.empty:
        return _sentence("No test against a control is recorded yet.")
    beaten, tests = int(frame["holds"].sum() + frame["holds, smaller"].sum()), int(frame["tests"].sum())
    words = (
        f"Of {plural(tests, 'test')} of a method against a control or a strong simple baseline, "
        f"{beaten} hold, {int(frame['fails'].sum())} fail and {int(frame['undecided'].sum())} are undecided."
    )
    shown = frame.rename(columns={"chapters": "not beaten in"})[
        ["control", "tests", *DECISIONS, "not beaten in"]
    ]
    return _sentence(words) + _shown(
        shown, "controls", "Tests of a method against its controls (ours included)."
    )


def cost_table(entries: Sequence[Entry]) -> str:
    """Return the sentence and the table of what the record cost."""
    frame = cost_frame(entries)
    if frame.empty:
        return _sentence("Nothing is recorded yet.")
    words = (
        f"The whole record took {figure(float(frame['CPU hours'].sum()), 2)} CPU hours, "
        f"{plural(int(frame['seeds'].sum()), 'run')} of {plural(len(frame), 'chapter')}."
    )
    digits = {"CPU minutes a seed": 1, "CPU hours": 2, "peak memory (MiB)": 0}
    return _sentence(words) + _shown(frame, "cost", "What the recorded runs took.", digits=digits)


def open_table(entries: Sequence[Entry], address: Address) -> str:
    """Return the sentence and the table of what is undecided and what it would take."""
    frame = open_frame(entries)
    if frame.empty:
        return _sentence("No recorded finding is undecided.")
    hours = frame["CPU hours"].dropna()
    words = (
        f"{plural(len(frame), 'finding')} of papers {'is' if len(frame) == 1 else 'are'} "
        f"undecided; for {len(hours)} of them a number of seeds is known that would settle the hardest test."
    )
    rows = [_open_row(row, address) for _, row in frame.iterrows()]
    shown = pd.DataFrame(rows, columns=["finding", "hardest test", "what it takes"])
    caption = "Undecided findings of papers, and what would decide the hardest test of each."
    return _sentence(words) + _shown(shown, "open", caption, markup=["finding"])


def _open_row(row: "pd.Series[float]", address: Address) -> tuple[str, str, str]:
    link = f'<a href="{address(str(row["chapter"]), str(row["anchor"]))}">'
    name = (
        f"{link}{html.escape(str(row['chapter']))} {row['finding']}</a>. {html.escape(str(row['statement']))}"
    )
    takes = str(row["why"])
    if not pd.isna(row["seeds"]) and row["seeds"] > row["seeds now"]:
        takes = f"{int(row['seeds'])} seeds in place of {int(row['seeds now'])}, "
        takes += f"{figure(float(row['CPU hours']), 2)} CPU hours"
    return name, str(row["test"]), takes
