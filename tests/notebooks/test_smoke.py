"""Every published chapter runs in the smoke profile, alone, through the runner, and records its metrics."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from echobook.pipeline.chapters import published_chapters
from echobook.pipeline.project import Project
from echobook.pipeline.runner import Limits, prepare, run_chapter

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.slow
@pytest.mark.parametrize("slug", [entry.slug for entry in published_chapters(Project.at(ROOT))])
def test_chapter_runs_in_smoke(slug, tmp_path):
    run = prepare(Project.at(ROOT, tmp_path), slug, "smoke", limits=Limits(300.0, 8000))
    run_chapter(run)
    results = json.loads(run.result.read_text(encoding="utf-8"))
    assert results["metrics"]
    assert results["profile"] == "smoke"
