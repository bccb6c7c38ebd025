"""Recorded results: the committed runs of a chapter, all seeds together, or a refusal.

What is refused: a `smoke` record; a missing or repeated seed; a metric that one seed has and another has not;
a record whose slug, profile or seed contradicts its path; a record without a commit or with one that is not
in this repository; seeds run with different parameters; a file over 200 KB.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import yaml

from echobook.report.errors import ResultsError
from echobook.report.paths import recorded_folder
from echobook.report.provenance import commit_is_foreign
from echobook.report.results import RECORDED_BYTES, Results, read_results

SEED_NAME = re.compile(r"seed-(0|[1-9][0-9]*)\.json")


def declared_seeds(root: Path, slug: str, profile: str) -> list[int] | None:
    """Return the seeds `workflow/parameters/<slug>.yml` lists for a profile, or None without a list."""
    path = root / "workflow" / "parameters" / f"{slug}.yml"
    if not path.is_file():
        return None
    listed = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    seeds = (listed.get(profile) or {}).get("seeds")
    return [int(seed) for seed in seeds] if seeds else None


def load_seeds(folder: Path, slug: str, profile: str, seeds: Sequence[int] | None = None) -> list[Results]:
    """Read all seeds of one chapter and profile from a folder, in order of the seed.

    `seeds`, if given, are the ones that must be there, neither fewer nor more. Returns [] for a missing or
    empty folder. Raises ResultsError as the module says.
    """
    files = sorted(folder.glob("*.json")) if folder.is_dir() else []
    for path in files:
        if not SEED_NAME.fullmatch(path.name):
            raise ResultsError(f"{path}: expected a name like seed-0.json")
    found = {int(path.stem.removeprefix("seed-")): path for path in files}
    if files and seeds is not None and sorted(found) != sorted(seeds):
        missing, extra = sorted(set(seeds) - set(found)), sorted(set(found) - set(seeds))
        raise ResultsError(
            f"{folder}: expected seeds {sorted(seeds)}, missing {missing or 'none'}, "
            f"not listed {extra or 'none'}; "
            "every run counts, so run the missing seeds or change the list and run again"
        )
    loaded = [read_results(found[seed], slug=slug, profile=profile, seed=seed) for seed in sorted(found)]
    check_same_shape(loaded, str(folder))
    return loaded


def same_shape(left: Results, right: Results) -> bool:
    """Return whether two runs hold the same metrics and differ in no parameter but the seed."""
    same_metrics = left.metrics.keys() == right.metrics.keys()
    return same_metrics and not _changed(left.parameters, right.parameters)


def check_same_shape(loaded: Sequence[Results], source: str) -> None:
    """Refuse seeds that differ in parameters (but the seed itself) or in the metrics they hold."""
    for other in loaded[1:]:
        first = loaded[0]
        missing = sorted(first.metrics.keys() ^ other.metrics.keys())
        if missing:
            raise ResultsError(
                f"{source}: seeds {first.seed} and {other.seed} do not hold the same metrics: "
                f"{', '.join(missing[:6])}"
            )
        changed = _changed(first.parameters, other.parameters)
        if changed:
            raise ResultsError(
                f"{source}: seeds {first.seed} and {other.seed} differ in parameters: {changed}"
            )


def _changed(left: Mapping[str, object], right: Mapping[str, object]) -> str:
    names = sorted(left.keys() | right.keys())
    return ", ".join(name for name in names if name != "seed" and left.get(name) != right.get(name))


def check_recordable(results: Results, size: int, source: str, root: Path) -> None:
    """Refuse what may not be recorded or shown as recorded: smoke, no or foreign commit, too large."""
    if results.profile == "smoke":
        raise ResultsError(f"{source}: profile: a smoke run is a test of the code, never a recorded result")
    sha = results.environment.commit
    if sha == "unknown":
        raise ResultsError(
            f"{source}: environment.commit: expected 40 hex digits, found 'unknown'; run in a checkout"
        )
    if commit_is_foreign(root, sha):
        raise ResultsError(f"{source}: environment.commit: {sha} is not a commit of this repository")
    if size > RECORDED_BYTES:
        largest = sorted(results.metrics, key=lambda name: -len(results.metrics[name].items or []))[:3]
        raise ResultsError(
            f"{source}: {size} bytes, expected at most {RECORDED_BYTES}; "
            f"most per-item scores: {', '.join(largest)}"
        )


def load_recorded(root: Path, slug: str, profile: str = "public") -> list[Results]:
    """Return the recorded results of a chapter, one for each declared seed; [] when nothing is recorded."""
    if profile == "smoke":
        raise ResultsError(f"{slug}: a smoke run is a test of the code, never a recorded result")
    folder = recorded_folder(root, profile, slug)
    loaded = load_seeds(folder, slug, profile, declared_seeds(root, slug, profile))
    for results in loaded:
        path = folder / f"seed-{results.seed}.json"
        check_recordable(results, path.stat().st_size, str(path), root)
    return loaded
