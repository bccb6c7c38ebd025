"""Recording: the validated results of all seeds of a chapter become the committed record, all or nothing."""

import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

from echobook.report.claims import load_claims
from echobook.report.claims_parts import FIRST_PILOT_SEED
from echobook.report.errors import ResultsError
from echobook.report.paths import check_profile, check_slug, repository_root, seed_file
from echobook.report.records import check_recordable, declared_seeds, load_seeds
from echobook.report.results import Results, dumps, read_results, write_results
from echobook.report.verdicts import judge_checks, judge_findings

JUDGED = ("public", "paper")  # a default run has other data: it is recorded to be repeated, not to be judged


def record(
    slug: str,
    profile: str,
    seeds: Sequence[int],
    build_root: Path,
    recorded_root: Path,
    *,
    root: Path | None = None,
    allow_dirty: bool = False,
) -> list[Path]:
    """Copy the results of all `seeds` of a chapter into the record.

    From `<build_root>/<profile>/results/<slug>` to `<recorded_root>/<profile>/<slug>`.

    `build_root` is `_build`, `recorded_root` is `data/recorded`. Everything is checked first (see the
    records module; the claims of a `public` or `paper` run must be computable, too), then the chapter's
    folder is replaced at one stroke: a refused record leaves the old one as it was. Returns the files
    written. Raises ReportError for a smoke run, a missing or repeated seed, a pilot's seed, seeds other than
    the declared ones, and sources that were not committed (`allow_dirty` lets the last one pass; the record
    and the page then say so).
    """
    here = root or repository_root()
    check_slug(slug), check_profile(profile)
    _check_seeds(seeds, declared_seeds(here, slug, profile), slug, profile)
    results = _validated(slug, profile, seeds, build_root, here, allow_dirty)
    target = recorded_root / profile / slug
    target.parent.mkdir(parents=True, exist_ok=True)
    fresh = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{slug}.", suffix=".part"))
    try:
        for result in results:
            write_results(result, seed_file(fresh, result.seed))
        load_seeds(fresh, slug, profile, seeds)
        fresh.chmod(0o755)
        _swap(fresh, target)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    return [seed_file(target, seed) for seed in sorted(seeds)]


def _check_seeds(seeds: Sequence[int], declared: Sequence[int] | None, slug: str, profile: str) -> None:
    if not seeds or len(set(seeds)) != len(seeds):
        raise ResultsError(f"{slug}: seeds {list(seeds)}: expected at least one, each once")
    if max(seeds) >= FIRST_PILOT_SEED:
        raise ResultsError(
            f"{slug}: seed {max(seeds)}: seeds from {FIRST_PILOT_SEED} on are for pilot runs, and those are "
            "never recorded"
        )
    if declared is not None and sorted(declared) != sorted(seeds):
        raise ResultsError(
            f"{slug}: seeds {sorted(seeds)}: expected {sorted(declared)}, as workflow/parameters/{slug}.yml "
            f"lists for {profile}; every declared seed is recorded, and no other"
        )


def _validated(
    slug: str, profile: str, seeds: Sequence[int], build_root: Path, root: Path, allow_dirty: bool
) -> list[Results]:
    folder = build_root / profile / "results" / slug
    results = []
    for seed in sorted(seeds):
        path = seed_file(folder, seed)
        result = read_results(path, slug=slug, profile=profile, seed=seed)
        check_recordable(result, len(dumps(result).encode()), str(path), root)
        if result.environment.dirty and not allow_dirty:
            raise ResultsError(
                f"{path}: environment.dirty: the sources were not committed; commit and run again"
            )
        results.append(result)
    commits = sorted({result.environment.closure_sha256 for result in results})
    if len(commits) > 1:
        raise ResultsError(f"{folder}: the seeds ran on {len(commits)} different states of the sources")
    claims = load_claims(root, slug)
    if profile in JUDGED:
        judge_findings(claims, results), judge_checks(claims, results)
    return results


def _swap(fresh: Path, target: Path) -> None:
    """Put `fresh` in place of `target`; the old folder is removed last, or put back."""
    old = target.with_name(f".{target.name}.old")
    shutil.rmtree(old, ignore_errors=True)
    if target.exists():
        target.rename(old)
    try:
        fresh.rename(target)
    except OSError:
        if old.exists():
            old.rename(target)
        raise
    shutil.rmtree(old, ignore_errors=True)
