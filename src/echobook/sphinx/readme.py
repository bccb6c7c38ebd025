"""The table of chapters in README.md: `python -m echobook.sphinx.readme [--check]`.

The table stands between two markers and is made from claims and recorded results: one row a chapter. Without
`--check` it is written; with it, a table that is not the one the records give is a fault and the exit status
is 1.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from echobook.report.display import SIGNS
from echobook.report.outcomes import FindingOutcome
from echobook.report.paths import repository_root
from echobook.report.scoreboard import Board, by_verdict, totals, totals_text
from echobook.sphinx.chapters import Chapter
from echobook.sphinx.records import Records
from echobook.sphinx.rows import judged, minutes_text, planned

BEGIN = "<!-- chapters: written by python -m echobook.sphinx.readme -->"
END = "<!-- end of chapters -->"
HEAD = (
    "| chapter | title | findings of the paper | ours | checks passed | CPU minutes a seed |\n"
    "| --- | --- | --- | --- | --- | --- |"
)


def _signs(outcomes: Sequence[FindingOutcome]) -> str:
    return " ".join(f"{SIGNS[verdict]} {count}" for verdict, count in by_verdict(outcomes).items() if count)


def _line(chapter: Chapter, board: Board) -> str:
    found = totals([board])
    cells = [
        f"[{chapter.slug}]({chapter.notebook})",
        chapter.title.replace("|", "\\|"),
        _signs(board.of_paper) or "none",
        _signs(board.of_ours) or "none",
        f"{found.passed} of {found.checks}" if found.checks else "none",
        minutes_text(board),
    ]
    return "| " + " | ".join(cells) + " |"


def chapters_table(root: Path) -> str:
    """Return the table as Markdown: one row a published chapter, then signs, totals, and what is to come."""
    records = Records(root, "default")
    found = judged(records)
    boards = [board for _, board in found]
    used = {outcome.verdict for board in boards for outcome in board.findings}
    legend = ", ".join(f"{sign} {verdict}" for verdict, sign in SIGNS.items() if verdict in used)
    later = ", ".join(chapter.slug for chapter in planned(records))
    text = "\n".join([HEAD, *[_line(chapter, board) for chapter, board in found]])
    text += f"\n\n{legend}. " if legend else "\n\n"
    text += f"In all {totals_text(totals(boards))}."
    return text + (f" To come: {later}." if later else "")


def with_table(text: str, table: str) -> str:
    """Return a text with what stands between the markers replaced; ValueError names a missing marker."""
    for marker in (BEGIN, END):
        if text.count(marker) != 1:
            raise ValueError(
                f"README.md: expected the line {marker!r} once, found it {text.count(marker)} times"
            )
    head, _, rest = text.partition(BEGIN)
    return f"{head}{BEGIN}\n\n{table}\n\n{END}{rest.partition(END)[2]}"


def main(arguments: list[str] | None = None) -> int:
    """Write or check the table; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m echobook.sphinx.readme", description=__doc__)
    parser.add_argument("--check", action="store_true", help="change nothing; fail if the table is old")
    options = parser.parse_args(arguments)
    path = repository_root() / "README.md"
    old = path.read_text(encoding="utf-8")
    new = with_table(old, chapters_table(repository_root()))
    if options.check:
        print("README.md: the table is " + ("up to date" if old == new else "old; run without --check"))
        return int(old != new)
    path.write_text(new, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
