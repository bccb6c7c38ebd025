"""The registry of chapters, ``book/chapters.yml``, as typed entries."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from echobook.pipeline.errors import PipelineError
from echobook.pipeline.project import Project


@dataclass(frozen=True)
class ChapterEntry:
    """One chapter as the registry lists it; `notebook` is relative to the repository's root."""

    slug: str
    part: str
    title: str
    notebook: str
    paper: str
    status: str

    @property
    def published(self) -> bool:
        """Whether the chapter is part of the book today."""
        return self.status == "published"


def read_chapters(project: Project) -> list[ChapterEntry]:
    """Return the chapters in the registry's order.

    Raises:
        PipelineError: the registry is missing, malformed, or lists a slug twice.
    """
    import yaml

    if not project.registry.is_file():
        raise PipelineError(
            f"no registry of chapters at {project.registry}", "run from the repository's root"
        )
    found = yaml.safe_load(project.registry.read_text(encoding="utf-8"))
    rows = found.get("chapters") if isinstance(found, dict) else found
    if not isinstance(rows, list) or not rows:
        raise PipelineError(f"{project.relative(project.registry)}: expected a list of chapters")
    entries = [_entry(row, project.registry) for row in rows]
    _refuse_twins(entries, project.registry)
    return entries


def _entry(row: Any, registry: Path) -> ChapterEntry:
    if not isinstance(row, dict) or not row.get("slug") or not row.get("part"):
        raise PipelineError(f"{registry.name}: expected an entry with slug and part, found {row!r}")
    slug, part = str(row["slug"]), str(row["part"])
    notebook = str(row.get("notebook") or f"notebooks/{part}/{slug.replace('-', '_')}.py")
    if notebook.endswith(".ipynb"):
        raise PipelineError(f"{registry.name}: {slug}: the notebook is the .py file, found {notebook}")
    if not notebook.endswith(".py"):
        notebook += ".py"
    status = str(row.get("status", "planned"))
    if status not in ("published", "planned"):
        raise PipelineError(f"{registry.name}: {slug}: status is 'published' or 'planned', found {status!r}")
    return ChapterEntry(slug, part, str(row.get("title", slug)), notebook, str(row.get("paper", "")), status)


def _refuse_twins(entries: list[ChapterEntry], registry: Path) -> None:
    slugs = [entry.slug for entry in entries]
    twins = sorted({slug for slug in slugs if slugs.count(slug) > 1})
    if twins:
        raise PipelineError(f"{registry.name}: listed more than once: {', '.join(twins)}")


def find_chapter(project: Project, slug: str) -> ChapterEntry:
    """Return the entry of `slug`.

    Raises:
        PipelineError: no such chapter (the nearest names are offered), or its notebook does not exist.
    """
    entries = {entry.slug: entry for entry in read_chapters(project)}
    wanted = slug.replace("_", "-")
    if wanted not in entries:
        near = difflib.get_close_matches(wanted, entries, n=3)
        raise PipelineError(
            f"no chapter is called {slug!r}",
            f"one of: {', '.join(near or entries)} (`echobook list` shows all)",
        )
    entry = entries[wanted]
    if not (project.root / entry.notebook).is_file():
        raise PipelineError(
            f"chapter {entry.slug} ({entry.status}) has no notebook: {entry.notebook} does not exist",
            "`echobook list` shows the chapters that can be run",
        )
    return entry


def published_chapters(project: Project) -> list[ChapterEntry]:
    """Return the published chapters; each must have its notebook (else PipelineError)."""
    return [find_chapter(project, e.slug) for e in read_chapters(project) if e.published]
