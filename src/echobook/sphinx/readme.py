"""The table of claims in README.md: `python -m echobook.sphinx.readme [--check]`.

The table stands between two markers and is made from claims and recorded results. Without `--check` it is
written; with it, a table that is not the one the records give is a fault and the exit status is 1.
"""

import argparse
import sys
from pathlib import Path

from echobook.report.paths import repository_root
from echobook.sphinx.records import Records
from echobook.sphinx.rows import Row, all_rows

BEGIN = "<!-- claims: written by python -m echobook.sphinx.readme -->"
END = "<!-- end of claims -->"
HEAD = "| chapter | claim | ours (public data) | paper | verdict | CPU minutes |"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def _line(row: Row) -> str:
    claim = row.claim
    said = f"{claim.id}. {claim.statement}" if claim else ""
    link = f"[{row.chapter.slug}]({row.chapter.notebook})"
    cells = [
        link,
        said.replace("|", "\\|"),
        _cell(row.recorded),
        _cell(row.printed),
        row.verdict,
        row.minutes,
    ]
    return "| " + " | ".join(cells) + " |"


def claims_table(root: Path) -> str:
    """Return the table as Markdown: one row a claim of a published chapter, then the planned chapters."""
    rows = all_rows(Records(root, "default"))
    lines = [_line(row) for row in rows if row.claim is not None]
    planned = ", ".join(row.chapter.slug for row in rows if row.claim is None)
    table = [HEAD, "| --- | --- | --- | --- | --- | --- |", *lines]
    return "\n".join(table) + (f"\n\nTo come: {planned}." if planned else "")


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
    new = with_table(old, claims_table(repository_root()))
    if options.check:
        print("README.md: the table is " + ("up to date" if old == new else "old; run without --check"))
        return int(old != new)
    path.write_text(new, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
