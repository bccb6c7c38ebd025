"""Sphinx extension: what a page offers for download, and the mathematics script kept beside the pages.

Each chapter page offers three notebooks (as executed, without outputs, and with the solutions taken out) and
the BibTeX entry of its paper. MathJax is copied from an installed package, so formulas need no network.
"""

import copy
import importlib.metadata
import shutil
from pathlib import Path
from typing import Any

import nbformat
from sphinx.application import Sphinx
from sphinx.errors import ExtensionError

from echobook.sphinx.chapters import read_chapters
from echobook.sphinx.executed import executed_path, is_chapter

MATHJAX = ("tex-chtml.js", "output/chtml/fonts/woff-v2")


def without_outputs(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """Return a copy with no outputs, no execution counts and no injected parameters."""
    clean = copy.deepcopy(notebook)
    clean.cells = [cell for cell in clean.cells if "injected-parameters" not in _tags(cell)]
    for cell in clean.cells:
        cell.metadata.pop("papermill", None)
        cell.metadata.pop("execution", None)
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    clean.metadata.pop("papermill", None)
    return clean


def without_solutions(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """Return a copy with no outputs in which each cell tagged `solution` is emptied for the student."""
    exercise = without_outputs(notebook)
    for cell in exercise.cells:
        if "solution" not in _tags(cell):
            continue
        cell.source = "# Your answer here." if cell.cell_type == "code" else "*Your answer here.*"
    return exercise


def _tags(cell: nbformat.NotebookNode) -> list[str]:
    return list(cell.metadata.get("tags", []))


def bibtex_entry(text: str, key: str) -> str | None:
    """Return one entry of a BibTeX file as it is written there, or None when `key` is missing."""
    start = text.find("{" + key + ",")
    if start < 0:
        return None
    depth = 0
    for end in range(start, len(text)):
        depth += {"{": 1, "}": -1}.get(text[end], 0)
        if depth == 0:
            return text[text.rfind("@", 0, start) : end + 1] + "\n"
    return None


def write_notebooks(source: Path, target: Path) -> list[tuple[str, Path, str]]:
    """Write the three notebooks beside `target`; return label, file and hint of each."""
    notebook = nbformat.read(source, as_version=4)
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)
    made = [("Executed (.ipynb)", target, "Notebook with the outputs of this page")]
    for name, change, label, hint in (
        ("clean", without_outputs, "Clean (.ipynb)", "Notebook without outputs"),
        ("exercise", without_solutions, "Exercise (.ipynb)", "Notebook without outputs and solutions"),
    ):
        path = target.with_suffix(f".{name}.ipynb")
        nbformat.write(change(notebook), path)
        made.append((label, path, hint))
    return made


def _citation(app: Sphinx, pagename: str, target: Path) -> list[tuple[str, Path, str]]:
    root = Path(app.srcdir)
    keys = [chapter.paper for chapter in read_chapters(root) if chapter.docname == pagename]
    bibliography = root / "book" / "references.bib"
    entry = bibtex_entry(bibliography.read_text(encoding="utf-8"), keys[0]) if keys else None
    if entry is None:
        return []
    path = target.with_suffix(".bib")
    path.write_text(entry, encoding="utf-8")
    return [("Citation (.bib)", path, "BibTeX entry of the paper")]


def offer(app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: object) -> None:
    """Write a chapter's downloads and put them in the download menu (event `html-page-context`)."""
    if not doctree or not is_chapter(app, pagename) or not executed_path(app, pagename).is_file():
        return
    target = Path(app.outdir, "_sources", pagename + ".ipynb")
    made = write_notebooks(executed_path(app, pagename), target) + _citation(app, pagename, target)
    base = context["pathto"]("_sources", 1)
    folder = Path(app.outdir, "_sources")
    buttons = [
        {
            "type": "link",
            "url": f"{base}/{path.relative_to(folder).as_posix()}",
            "text": label,
            "tooltip": hint,
            "icon": "fas fa-file-arrow-down",
            "label": "download-" + path.suffixes[0].lstrip(".") + "-button",
        }
        for label, path, hint in made
    ]
    for group in context.get("header_buttons", []):
        if group.get("label") == "download-buttons":
            group["buttons"] = buttons + group["buttons"]


def mathjax_folder() -> Path:
    """Return the folder of static files that the package `sphinx-mathjax-offline` brings."""
    try:
        files = importlib.metadata.files("sphinx-mathjax-offline") or []
    except importlib.metadata.PackageNotFoundError:
        files = []
    for file in files:
        if file.name == MATHJAX[0]:
            return Path(str(file.locate())).parent
    raise ExtensionError(
        "package sphinx-mathjax-offline is missing; install it with: pip install -e '.[book]'"
    )


def copy_mathjax(app: Sphinx, exception: Exception | None) -> None:
    """Copy the script and its fonts into the site (event `build-finished`)."""
    if exception is not None or app.builder.format != "html":
        return
    for name in MATHJAX:
        source, target = mathjax_folder() / name, Path(app.outdir, "_static", "mathjax", name)
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, dirs_exist_ok=True)
        else:
            shutil.copyfile(source, target)


def setup(app: Sphinx) -> dict[str, bool]:
    """Connect the extension."""
    app.connect("html-page-context", offer, priority=800)
    app.connect("build-finished", copy_mathjax)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
