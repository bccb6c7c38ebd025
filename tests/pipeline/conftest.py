"""A small project in a temporary folder, with chapters that run in a second, for the pipeline's own tests."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from echobook.pipeline.project import Project

HERE = Path(__file__).resolve().parents[2]

HEADER = """\
# ---
# jupyter:
#   jupytext:
#     text_representation: {extension: .py, format_name: percent}
#   kernelspec: {display_name: Python 3, language: python, name: python3}
# ---

# %% [markdown]
# # A small chapter

# %%
import json, os
from pathlib import Path
"""

PARAMETERS = """
# %% tags=["parameters"]
profile: str = "default"
seed: int = 0
noise: float = 0.1  # share of noise [0, 1]
words: int = 4  # words a sentence [1, ]
corpus: str = "embedded"
sizes: list[int] = [1, 2]
"""

RESULT = {
    "format": 1,
    "slug": "alpha",
    "profile": "default",
    "seed": 0,
    "parameters": {},
    "metrics": {},
    "parameter_counts": {},
    "datasets": [],
    "cost": {"wall_seconds": 0.1, "cpu_seconds": 0.1, "peak_memory_mib": 1.0},
    "environment": {
        "commit": "unknown",
        "dirty": False,
        "closure_sha256": "0" * 64,
        "lock_sha256": "0" * 64,
        "packages": {},
        "threads": 1,
        "hardware": "test",
        "date": "2026-01-01",
    },
}

CLAIMS = """
slug: alpha
paper: someone2020
findings:
- id: C1
  statement: It scores.
  anchor: alpha-c1
  origin: paper
  printed: {value: 0.3, unit: share, text: "0.3", source: "table 1", provenance: read}
  tests:
  - name: score
    words: score
    metric: score
    comparison: value
    unit: share
    direction: above
    bound: 0.2
    smallest_effect: 0.2
    resampling: {unit: seeds}
checks: []
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

FINISH = """
# %%
found = json.loads({plain!r})
found.update(slug={slug!r}, profile=profile, seed=seed, parameters={{"noise": noise, "words": words}})
found["metrics"] = {{"score": {{"value": noise * words, "unit": "points"}}}}
Path(os.environ["ECHOBOOK_RESULT"]).write_text(json.dumps(found));
"""

NO_FINISH = "\n# %%\nlast = 1\n"


@dataclass
class SmallProject:
    """A project in a folder, with helpers to add chapters."""

    root: Path
    slugs: list[str] = field(default_factory=list)

    @property
    def project(self) -> Project:
        return Project.at(self.root)

    def chapter(
        self, body: str = "", slug: str = "alpha", *, finish: str | None = None, status: str = "published"
    ) -> Path:
        """Write a chapter whose middle cells are `body` and register it."""
        path = self.root / "notebooks" / "part" / f"{slug.replace('-', '_')}.py"
        end = FINISH.format(plain=json.dumps(RESULT), slug=slug) if finish is None else finish
        cells = f"\n# %%\n{body}\n" if body and not body.startswith("# %%") else f"\n{body}"
        path.write_text(HEADER + PARAMETERS + cells + end, encoding="utf-8")
        if slug not in self.slugs:
            self.slugs.append(slug)
            with (self.root / "book" / "chapters.yml").open("a", encoding="utf-8") as stream:
                stream.write(f"- {{slug: {slug}, part: part, title: {slug}, status: {status}}}\n")
        values = self.root / "workflow" / "parameters" / f"{slug}.yml"
        if not values.exists():
            values.write_text(
                "default: {seeds: [0], parameters: {words: 3}, minutes: 0.1}\n", encoding="utf-8"
            )
        return path

    def parameters(self, text: str, slug: str = "alpha") -> None:
        """Replace a chapter's parameter file."""
        (self.root / "workflow" / "parameters" / f"{slug}.yml").write_text(text, encoding="utf-8")


def build(root: Path) -> SmallProject:
    """Lay out an empty project at `root`."""
    folders = ("notebooks/part", "book", "workflow/parameters", "data/claims", "src/tiny")
    for folder in folders:
        (root / folder).mkdir(parents=True)
    shutil.copy(HERE / "pyproject.toml", root / "pyproject.toml")
    (root / "constraints.txt").write_text("torch==2.13.0\n", encoding="utf-8")
    (root / "data" / "registry.csv").write_text(
        "dataset,file,sha256\none,a.txt,00\ntwo,b.txt,11\n", encoding="utf-8"
    )
    return SmallProject(root)


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SmallProject:
    """An empty small project."""
    monkeypatch.delenv("ECHOBOOK_ROOT", raising=False)
    return build(tmp_path / "project")


@pytest.fixture
def lay_out() -> Callable[[Path], SmallProject]:
    """The function that lays out a small project at a given place."""
    return build


@pytest.fixture
def alpha_claims() -> str:
    """The claims of a chapter called alpha that records a score."""
    return CLAIMS
