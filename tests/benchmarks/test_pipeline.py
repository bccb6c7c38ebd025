"""What the pipeline costs: CPU seconds of the runner around a chapter, and of a build with nothing to do."""

from __future__ import annotations

import resource
import subprocess
import sys
import time
from pathlib import Path

import pytest

from echobook.pipeline.chapters import published_chapters
from echobook.pipeline.project import Project

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOK = """\
# ---
# jupyter:
#   kernelspec: {display_name: Python 3, language: python, name: python3}
# ---

# %% tags=["parameters"]
profile: str = "default"
seed: int = 0

# %%
value = 1
"""


def children_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def measure(*command: str, cwd: Path) -> tuple[float, float]:
    """Return CPU and wall seconds of a command and all its children."""
    cpu, wall = children_seconds(), time.perf_counter()
    subprocess.run([sys.executable, *command], cwd=cwd, capture_output=True, check=False)
    return children_seconds() - cpu, time.perf_counter() - wall


@pytest.mark.benchmark
def test_runner_overhead(tmp_path, capsys):
    (tmp_path / "book").mkdir()
    (tmp_path / "notebooks" / "part").mkdir(parents=True)
    (tmp_path / "book" / "chapters.yml").write_text("- {slug: empty, part: part, status: published}\n")
    (tmp_path / "notebooks" / "part" / "empty.py").write_text(NOTEBOOK)
    command = ("-m", "echobook.pipeline.run_notebook", "empty", "--root", str(tmp_path))
    runs = [measure(*command, cwd=tmp_path) for _ in range(5)]
    cpu, wall = min(run[0] for run in runs), min(run[1] for run in runs)
    with capsys.disabled():
        print(f"\nrunner around an empty chapter: {cpu:.2f} CPU-s, {wall:.2f} s (least of 5; bar 1.5 CPU-s)")


@pytest.mark.benchmark
def test_build_with_nothing_to_do(capsys):
    if not (ROOT / "_build" / "default" / "book.stamp").is_file() or not published_chapters(Project.at(ROOT)):
        pytest.skip("no built book: make book")
    setup = measure("workflow/set_up.py", cwd=ROOT)
    runs = [measure("-m", "echobook.pipeline.build", cwd=ROOT) for _ in range(2)]
    cpu, wall = min(runs, key=lambda run: run[1])
    with capsys.disabled():
        print(
            f"\nset-up check: {setup[1]:.2f} s; build: {cpu:.2f} CPU-s, {wall:.2f} s (second of 2; bar 5 s)"
        )
