"""Every published chapter runs in smoke, alone, and records its metrics; every kernel page runs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from echobook.pipeline.chapters import published_chapters
from echobook.pipeline.pages import prepare_page, read_pages
from echobook.pipeline.project import Project
from echobook.pipeline.run import Limits, prepare
from echobook.pipeline.runner import run_chapter

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.slow
@pytest.mark.parametrize("slug", [entry.slug for entry in published_chapters(Project.at(ROOT))])
def test_chapter_runs_in_smoke(slug, tmp_path):
    run = prepare(Project.at(ROOT, tmp_path), slug, "smoke", limits=Limits(300.0, 8000))
    run_chapter(run)
    results = json.loads(run.result.read_text(encoding="utf-8"))
    assert results["metrics"]
    assert results["profile"] == "smoke"


@pytest.mark.slow
@pytest.mark.parametrize("slug", [entry.slug for entry in read_pages(Project.at(ROOT))])
def test_kernel_page_runs_and_shows_every_figure(slug, tmp_path):
    run = prepare_page(Project.at(ROOT, tmp_path), slug, "smoke", Limits(300.0, 4000))
    run_chapter(run)
    cells = json.loads(run.executed.read_text(encoding="utf-8"))["cells"]
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    drawing = [cell for cell in code if "subplots(" in "".join(cell["source"])]
    pictures = [any("image/svg+xml" in o.get("data", {}) for o in cell["outputs"]) for cell in drawing]
    assert drawing
    assert all(pictures)
    solutions = [cell for cell in code if "solution" in cell["metadata"].get("tags", [])]
    assert solutions
    assert ["".join(cell["outputs"][-1]["text"]) for cell in solutions] == ["pass\n"] * len(solutions)
