"""What must hold before a run counts: every code cell completed, no refused network call, a valid results
file.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from echobook.pipeline.errors import PipelineError
from echobook.pipeline.parameters import percent_cells

_MARKER = "papermill-error-cell-tag"
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")


@dataclass(frozen=True)
class Fault:
    """The first code cell that did not complete: its number in the tracked notebook from 1 (0: injected
    values).
    """

    cell: int
    line: str
    error: str

    def describe(self, notebook: Path) -> str:
        """Return cell number, place in the file, first source line and exception, one a line."""
        where = _place(notebook, self.cell)
        return f"  code cell {self.cell}{where}\n  first line: {self.line}\n  {self.error}"


def _place(notebook: Path, cell: int) -> str:
    cells = percent_cells(notebook.read_text(encoding="utf-8"))
    code = [first for header, first, _ in cells if "[markdown]" not in header and "[raw]" not in header]
    return f" ({notebook.name}:{code[cell - 1]})" if 0 < cell <= len(code) else ""


def find_fault(notebook: Any) -> Fault | None:
    """Return the first code cell of an executed notebook that did not run to its end, or None.

    An error output counts, ``SystemExit`` with status 0 too. A cell tagged ``raises-exception`` may show
    another error.
    """
    number = 0
    for cell in notebook.cells:
        tags = cell.metadata.get("tags", [])
        if cell.cell_type != "code" or _MARKER in tags:
            continue
        number += "injected-parameters" not in tags
        if cell.source.strip() and (error := _cell_error(cell, tags)):
            shown = 0 if "injected-parameters" in tags else number
            return Fault(shown, _first_line(cell.source), error)
    return None


def last_started(notebook: Any) -> Fault | None:
    """Return the last code cell that was started: the one during which a kernel died."""
    number, found = 0, None
    for cell in notebook.cells:
        tags = cell.metadata.get("tags", [])
        if cell.cell_type != "code" or _MARKER in tags:
            continue
        number += "injected-parameters" not in tags
        started = cell.metadata.get("papermill", {}).get("start_time")
        if cell.source.strip() and started:
            shown = 0 if "injected-parameters" in tags else number
            found = Fault(shown, _first_line(cell.source), "the cell did not finish")
    return found


def _first_line(source: str) -> str:
    lines = [line.strip() for line in source.splitlines()]
    found = next((line for line in lines if line and not line.startswith("#")), lines[0] if lines else "")
    return found if len(found) <= 100 else f"{found[:97]}..."


def _cell_error(cell: Any, tags: list[str]) -> str:
    errors = [output for output in cell.outputs if output.output_type == "error"]
    for output in errors:
        if output.ename == "SystemExit" or "raises-exception" not in tags:
            return _COLOUR.sub("", f"{output.ename}: {output.evalue}").strip()
    if cell.execution_count is None:
        return "the cell did not finish"
    state = cell.metadata.get("papermill", {})
    if state.get("status") not in (None, "completed") or (state.get("exception") and not errors):
        return "the cell did not finish"
    return ""


def refused_hosts(note: Path) -> list[str]:
    """Return the hosts that the network guard noted, each once, in order."""
    return list(dict.fromkeys(note.read_text(encoding="utf-8").split())) if note.is_file() else []


def check_result(path: Path, slug: str, profile: str, seed: int, injected: dict[str, Any]) -> None:
    """Refuse a missing or invalid results file, another run's, one without metrics or with other parameters.

    Raises:
        PipelineError: naming the chapter and the field.
    """
    from echobook.report.errors import ResultsError
    from echobook.report.results import read_results

    if not path.is_file():
        raise PipelineError(
            f"chapter {slug} wrote no results file",
            "record metrics with Chapter(...) and end with chapter.finish()",
        )
    try:
        results = read_results(path, slug=slug, profile=profile, seed=seed)
    except ResultsError as error:
        raise PipelineError(f"chapter {slug}: its results file is refused: {error}") from error
    if not results.metrics:
        raise PipelineError(
            f"chapter {slug} recorded no metric", "chapter.record(name, value, unit=..., n=...)"
        )
    for name, value in injected.items():
        written = results.parameters.get(name, value)
        if written != (list(value) if isinstance(value, tuple) else value):
            raise PipelineError(
                f"chapter {slug}: {name} was set to {value!r}, but the results file says {written!r}",
                "hand the variable of the parameters cell to Chapter(..., parameters=...)",
            )
