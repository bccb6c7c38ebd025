"""What one run is: chapter, profile, seed, checked parameters, limits and paths. Nothing is executed here."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from echobook.pipeline.chapters import ChapterEntry, find_chapter
from echobook.pipeline.parameters import (
    ProfileSettings,
    parse_override,
    read_parameters,
    read_profile,
    resolve,
)
from echobook.pipeline.project import Project


@dataclass(frozen=True)
class Limits:
    """What a run may use: seconds of wall time and mebibytes of memory; 0 is no limit."""

    seconds: float = 0.0
    memory_mb: int = 0


@dataclass(frozen=True)
class Run:
    """One chapter, profile and seed, with checked parameters and all paths."""

    project: Project
    entry: ChapterEntry
    profile: str
    seed: int
    values: dict[str, Any]
    settings: ProfileSettings
    limits: Limits = field(default_factory=Limits)
    environment: dict[str, str] = field(default_factory=dict)
    results: bool = True  # whether it must leave a results file; a kernel page leaves none

    @property
    def source(self) -> Path:
        """The tracked notebook."""
        return self.project.root / self.entry.notebook

    @property
    def executed(self) -> Path:
        """Where the executed copy goes."""
        return self.project.executed(self.profile, self.entry.notebook, self.seed, self.settings.seeds[0])

    @property
    def result(self) -> Path:
        """Where the results file goes."""
        return self.project.result(self.profile, self.entry.slug, self.seed)

    @property
    def name(self) -> str:
        """The run in words."""
        return f"{self.entry.slug} ({self.profile}, seed {self.seed})"


def prepare(
    project: Project,
    slug: str,
    profile: str = "default",
    seed: int | None = None,
    overrides: dict[str, str] | None = None,
    limits: Limits | None = None,
) -> Run:
    """Check slug, profile, seed and parameters, and return the run; nothing is executed or written.

    Args:
        project: repository and build folder.
        slug: chapter.
        profile: one of the project's profiles.
        seed: default the profile's first.
        overrides: parameter name -> text, as typed on a command line.
        limits: time and memory; default none.

    Raises:
        PipelineError: anything unknown, misspelt, of a wrong type or out of range.
    """
    entry = find_chapter(project, slug)
    settings = read_profile(project, entry.slug, profile)
    known = read_parameters(project.root / entry.notebook)
    typed = {n: parse_override(known[n], t) if n in known else t for n, t in (overrides or {}).items()}
    used = settings.seeds[0] if seed is None else seed
    origin = project.relative(project.parameters(entry.slug))
    layers = ((f"{origin}, {profile}", settings.parameters), ("command line", typed))
    values = resolve(known, entry.slug, profile, used, *layers)
    return Run(project, entry, profile, used, values, settings, limits or Limits())
