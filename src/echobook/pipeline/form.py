"""The form of a notebook, read from its text alone: order of the sections, what is folded, how wide code is.

`form_faults` returns one line for each fault, with file and line. Every page: cells that are shown have at
most 15 lines, folded ones 40, and no line of code, of `show_source` included, is wider than 88 characters
(the page cuts longer ones). A chapter besides: the nine sections in their order; the verdict box straight
behind the first paragraph; parameters and set-up folded below it; what records, tabulates or plots folded
everywhere; three to five sentences in its last section.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from echobook.pipeline.parameters import percent_cells

WIDTH = 88  # characters of a line of code
SHOWN_LINES, FOLDED_LINES = 15, 40
SECTIONS = (
    "In one minute",
    "Method",
    "Data",
    "Experiment",
    "Results",
    "Ablations and controls",
    "Where this departs from the paper",
    "Adapt it",
    "What did we learn?",
)
_REPORTING = re.compile(
    r"\bchapter\.(?:records?|\w*table|finish|forest\w*)\(|\bplain_table\(|\bplt\.|figure_style"
)
_FOLDED = {"hide-input", "hide-cell", "remove-input", "remove-cell"}
_SETUP = re.compile(r"import |from |\s|\)|#")


@dataclass(frozen=True)
class Cell:
    """One cell of a notebook in percent form; `line` is that of its first line of text."""

    line: int
    prose: bool
    tags: frozenset[str]
    text: str

    @property
    def shown(self) -> bool:
        """Whether a reader sees the code without unfolding it."""
        return not self.prose and not self.tags & _FOLDED

    @property
    def lines(self) -> list[str]:
        """The lines that are not empty."""
        return [line for line in self.text.splitlines() if line.strip()]


def read_cells(text: str) -> list[Cell]:
    """Return the cells of a notebook in percent form; prose comes without its comment signs."""
    cells = []
    for header, line, body in percent_cells(text):
        prose = "[markdown]" in header
        tags = re.search(r"tags=\[([^\]]*)\]", header)
        names = re.findall(r"[\"']([\w-]+)[\"']", tags[1]) if tags else []
        body = re.sub(r"(?m)^# ?", "", body) if prose else body
        cells.append(Cell(line, prose, frozenset(names), body))
    return cells


def form_faults(notebook: Path, source: Path, *, chapter: bool) -> list[str]:
    """Return the faults of a notebook's form.

    Args:
        notebook: a notebook in percent form.
        source: folder of the packages whose code `show_source` shows.
        chapter: whether it is a paper's chapter, which has an order, or a page about a kernel.
    """
    text = notebook.read_text(encoding="utf-8")
    cells = read_cells(text)
    found = [*_size_faults(cells), *source_faults(text, source)]
    if chapter:
        found += [
            *_order_faults(cells),
            *_opening_faults(cells),
            *_folding_faults(cells),
            *_ending_faults(cells),
        ]
    return [f"{notebook.name}:{line}: {fault}" for line, fault in sorted(found)]


def _size_faults(cells: list[Cell]) -> Iterator[tuple[int, str]]:
    """Name lines that are too wide and cells that are too long."""
    for cell in cells:
        if cell.prose:
            continue
        for place, line in enumerate(cell.text.splitlines()):
            if len(line) > WIDTH:
                yield cell.line + place, f"{len(line)} characters of code, expected at most {WIDTH}"
        limit = SHOWN_LINES if cell.shown else FOLDED_LINES
        setup = "parameters" in cell.tags or all(_SETUP.match(line) for line in cell.lines)
        if len(cell.lines) > limit and not setup:
            yield cell.line, f"{len(cell.lines)} lines in one cell, expected at most {limit}"


def _order_faults(cells: list[Cell]) -> Iterator[tuple[int, str]]:
    """Name the first section that is not where it belongs."""
    pattern = re.compile(r"(?m)^## (.+)$")
    found = [(cell.line, match[1]) for cell in cells if cell.prose for match in pattern.finditer(cell.text)]
    names = [name for _, name in found]
    if names != list(SECTIONS):
        wrong = next(
            (i for i, pair in enumerate(zip(names, SECTIONS, strict=False)) if pair[0] != pair[1]), -1
        )
        yield found[wrong][0] if found else 1, f"sections are {names}; expected {list(SECTIONS)}"


def _opening_faults(cells: list[Cell]) -> Iterator[tuple[int, str]]:
    """Name what stands before the verdict box besides title and paragraph, and what is shown behind it."""
    paragraphs = [part for part in re.split(r"\n\s*\n", cells[0].text.strip()) if part.strip()]
    if not cells[0].prose or len(paragraphs) != 3 or paragraphs[1].strip() != f"## {SECTIONS[0]}":
        yield cells[0].line, "expected a title, '## In one minute' and one paragraph before the verdict box"
    box = cells[1]
    if ".verdict_box()" not in box.text or "remove-input" not in box.tags:
        yield box.line, "expected the verdict box behind the first paragraph, its cell tagged remove-input"
    for cell in cells[2:]:
        if cell.prose and re.search(r"(?m)^## Method$", cell.text):
            break
        if cell.shown:
            yield cell.line, "parameters and set-up are folded: tag the cell hide-input"


def _folding_faults(cells: list[Cell]) -> Iterator[tuple[int, str]]:
    """Name shown cells that record, tabulate or plot; exercises and the parameters' tag are left alone."""
    for cell in cells:
        if cell.shown and "exercise" not in cell.tags and (match := _REPORTING.search(cell.text)):
            yield (
                cell.line,
                f"{match[0].rstrip('(')} in a shown cell: move it to one that is tagged hide-input",
            )


def _ending_faults(cells: list[Cell]) -> Iterator[tuple[int, str]]:
    """Name a last section without three to five sentences, or without a figure from the records."""
    for cell in cells:
        _, title, text = cell.text.partition(f"## {SECTIONS[-1]}\n")
        if not (cell.prose and title):
            continue
        plain = re.sub(r"`[^`]*`", "figure", text)
        count = len(re.findall(r"[.!?](?=\s|$)", plain))
        if not 3 <= count <= 5 or "{result}`" not in text:
            yield (
                cell.line,
                f"{count} sentences, expected three to five, and a {{result}} role for each figure",
            )


def source_faults(text: str, source: Path) -> Iterator[tuple[int, str]]:
    """Name functions whose source is shown and wider than the page."""
    tree = ast.parse(text)
    imported = {
        alias.asname or alias.name: (node.module or "", alias.name)
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "show_source":
            name, *inner = ast.unparse(node.args[0]).split(".")
            module, thing = imported.get(name, ("", name))
            place = ".".join([module, thing, *inner])
            for line in shown_source(source, module, [thing, *inner]):
                if len(line) > WIDTH:
                    yield node.lineno, f"{place}: {len(line)} characters, at most {WIDTH}: {line.strip()}"


def shown_source(source: Path, module: str, names: list[str]) -> list[str]:
    """Return the lines of a function or class as pages show them, without its common indentation.

    `names`: path within the module; the first may itself be a module of the package.
    """
    path = source / Path(*module.split(".")).with_suffix(".py")
    if not path.is_file():
        path, names = source / Path(*module.split("."), names[0]).with_suffix(".py"), names[1:]
    text = path.read_text(encoding="utf-8")
    body: list[ast.stmt] = ast.parse(text).body
    found: ast.stmt | None = None
    for name in names:
        found = next((node for node in body if getattr(node, "name", None) == name), None)
        body = getattr(found, "body", [])
    if not isinstance(found, ast.FunctionDef | ast.ClassDef):
        return []
    first = min([found.lineno, *(decorator.lineno for decorator in found.decorator_list)])
    lines = text.splitlines()[first - 1 : found.end_lineno]
    indent = len(lines[0]) - len(lines[0].lstrip())
    return [line[indent:] for line in lines]
