"""Boards of the published chapters, in the order of the registry, for the pages and the README."""

from echobook.report.scoreboard import Board
from echobook.sphinx.chapters import Chapter
from echobook.sphinx.records import Records

PLANNED = "to come"


def short(value: float) -> str:
    """Return a number in three significant digits, without exponent and with a real minus sign."""
    text = f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
    return text.replace("-", "\N{MINUS SIGN}")


def minutes_text(board: Board) -> str:
    """Return the mean CPU minutes of one run, with those of kept results that it read."""
    return "none yet" if board.minutes is None else short(board.minutes)


def judged(records: Records) -> list[tuple[Chapter, Board]]:
    """Return the published chapters that have claims, each with its board."""
    return [
        (chapter, records.board(slug))
        for slug, chapter in records.chapters.items()
        if chapter.published and records.has_claims(slug)
    ]


def planned(records: Records) -> list[Chapter]:
    """Return the chapters that are not there yet."""
    there = {chapter.slug for chapter, _ in judged(records)}
    return [chapter for slug, chapter in records.chapters.items() if slug not in there]
