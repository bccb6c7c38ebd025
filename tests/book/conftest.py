"""Small checkouts and small books, built on the spot."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]

CLAIMS = """
slug: advin
paper: vedula2022advin
findings:
- id: C1
  statement: The new way beats the old way.
  anchor: advin-c1
  origin: paper
  printed: {value: 12.0, unit: points, text: twelve, source: "table 2", provenance: read}
  tests:
  - name: gain
    words: gain over the old way
    metric: score/new
    against: score/old
    comparison: difference
    unit: points
    direction: above
    bound: 0
    smallest_effect: 0
    resampling: {unit: seeds}
    differs: the way
    otherwise: nothing
checks:
- id: K1
  statement: The old score is one.
  anchor: advin-k1
  tests:
  - {name: one, words: old score, metric: score/old, comparison: value, unit: points, is: ==, value: 1}
fidelity:
  data: {grade: same, words: "w"}
  model: {grade: same, words: "w"}
  training: {grade: same, words: "w"}
  evaluation: {grade: same, words: "w"}
  details: {grade: same, words: "w"}
coverage: []
plan: {profile: public, pilot_seeds: [], seeds: 1, minutes: 1, tests: []}
touched_after_results: []
"""

CONF = """
extensions = ["myst_nb", {extensions}]
exclude_patterns = ["_build", "data", "conf.py"]
nb_execution_mode = "off"
nb_custom_formats = {{".py": "echobook.sphinx.executed.reads"}}
html_theme = "basic"
root_doc = "index"
"""


def results(seed: int, new: float, profile: str = "public") -> dict[str, object]:
    """Return a results file of one seed as plain data."""
    head = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=REPOSITORY, capture_output=True, text=True, check=False
    )
    digest = "0" * 64
    return {
        "format": 1, "slug": "advin", "profile": profile, "seed": seed, "parameters": {},
        "metrics": {
            "score/new": {"value": new, "unit": "points"},
            "score/old": {"value": 1.0, "unit": "points"},
        },
        "parameter_counts": {}, "datasets": [],
        "cost": {"wall_seconds": 90.0, "cpu_seconds": 60.0, "peak_memory_mib": 100.0},
        "environment": {
            "commit": head.stdout.strip() or digest[:40], "dirty": False, "closure_sha256": digest,
            "lock_sha256": digest, "packages": {}, "threads": 1, "hardware": "test", "date": "2026-01-01",
        },
    }  # fmt: skip


def executed(profile: str = "default", *, anchor: bool = True, stamp: bool = True) -> str:
    """Return the text of an executed notebook with one claim."""
    cell = {"metadata": {}, "cell_type": "markdown"}
    target = "(advin-c1)=\n(advin-k1)=\n" if anchor else ""
    html = f'<section class="echobook-stamp">Run advin, profile {profile}, seed 0</section>'
    output = {
        "output_type": "display_data",
        "metadata": {},
        "data": {"text/html": html, "text/plain": "stamp"},
    }
    code = {
        "cell_type": "code", "source": "chapter.finish()", "execution_count": 1,
        "metadata": {}, "outputs": [output] if stamp else [], "id": "code-one",
    }  # fmt: skip
    parameters = {**code, "source": f'profile: str = "{profile}"  # which', "outputs": [], "id": "code-two"}
    parameters["metadata"] = {"tags": ["parameters"]}
    solution = {**code, "source": "answer = 42", "outputs": [], "id": "code-three"}
    solution["metadata"] = {"tags": ["solution"]}
    cells = [
        {**cell, "source": "# Advin\n\nFirst words.", "id": "text-one"}, parameters,
        {**cell, "source": f"{target}## Claim\n\nIt holds.", "id": "text-two"}, solution, code,
    ]  # fmt: skip
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    return json.dumps(
        {"cells": cells, "metadata": {"kernelspec": kernel}, "nbformat": 4, "nbformat_minor": 5}
    )


class Checkout:
    """A small checkout with one published chapter and one planned one."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.html = root / "_build" / "html"
        chapters = (REPOSITORY / "book" / "chapters.yml").read_text(encoding="utf-8").split("- slug: ")
        self.write("book/chapters.yml", "- slug: ".join(chapters[:3]))
        shutil.copy(REPOSITORY / "book" / "references.bib", root / "book")
        self.write(
            "_toc.yml", "format: jb-book\nroot: index\nchapters:\n- file: notebooks/understanding/advin\n"
        )
        self.write("pyproject.toml", "")
        self.write("data/claims/advin.yml", CLAIMS)
        self.write("notebooks/understanding/advin.py", "# %% [markdown]\n# # Advin\n")
        self.write("_build/default/executed/notebooks/understanding/advin.ipynb", executed())
        self.configure("echobook.sphinx.executed", "echobook.sphinx.roles", "echobook.sphinx.directives")
        self.index("Words.")

    def write(self, name: str, text: str) -> Path:
        """Write a file of the checkout."""
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return path

    def configure(self, *extensions: str) -> None:
        """Write conf.py with some extensions."""
        self.write("conf.py", CONF.format(extensions=", ".join(repr(name) for name in extensions)))

    def index(self, body: str) -> None:
        """Write the landing page."""
        toc = "```{toctree}\nnotebooks/understanding/advin\n```"
        self.write("index.md", f"# Home\n\n{body}\n\n{toc}\n")

    def record(self, *values: float) -> None:
        """Record one public run for each value."""
        for seed, value in enumerate(values):
            self.write(f"data/recorded/public/advin/seed-{seed}.json", json.dumps(results(seed, value)))

    def build(self, profile: str = "default") -> tuple[int, str]:
        """Build cold with warnings as errors; return exit status and messages."""
        shutil.rmtree(self.html, ignore_errors=True)
        command = [sys.executable, "-m", "sphinx", "-E", "-W", "--keep-going", "-n", "-q", "-b", "html"]
        return self.run([*command, str(self.root), str(self.html)], profile)

    def check(self) -> tuple[int, str]:
        """Check the built pages; return exit status and messages."""
        command = [sys.executable, "-m", "echobook.sphinx.check", str(self.html), "--root", str(self.root)]
        return self.run(command, "default")

    def run(self, command: list[str], profile: str) -> tuple[int, str]:
        """Run a command in the checkout."""
        environment = {**os.environ, "ECHOBOOK_PROFILE": profile, "ECHOBOOK_ROOT": str(self.root)}
        done = subprocess.run(
            command, cwd=self.root, env=environment, capture_output=True, text=True, check=False
        )
        return done.returncode, done.stdout + done.stderr

    def page(self, name: str = "index") -> str:
        """Return a built page."""
        return (self.html / f"{name}.html").read_text(encoding="utf-8")


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    """A small checkout."""
    return Checkout(tmp_path)
