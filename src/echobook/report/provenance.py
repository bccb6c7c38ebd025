"""What a run ran on and what it cost: commit, digests, versions, threads, hardware, seconds, memory.

The only module of the report that reads clocks and the machine. Nothing it returns identifies a person,
a host or a folder.
"""

import datetime
import functools
import hashlib
import importlib.metadata
import os
import platform
import resource
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path

from echobook.report.closure import closure
from echobook.report.paths import notebook_file
from echobook.report.results import Cost, Environment

PACKAGES = (
    "echobook",
    "jiwer",
    "numpy",
    "pandas",
    "scikit-learn",
    "scipy",
    "torch",
    "transformers",
)
THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS")


def one_thread() -> int:
    """Hold this process to one computing thread, and return how many torch and BLAS then use."""
    for variable in THREAD_VARIABLES:
        os.environ[variable] = "1"
    used = 1
    if "threadpoolctl" in sys.modules:
        sys.modules["threadpoolctl"].threadpool_limits(1)
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)
        used = max(used, sys.modules["torch"].get_num_threads())
    return used


def git(root: Path, *arguments: str) -> str | None:
    """Return the output of a git command in `root`, or None when git or the repository is missing."""
    try:
        done = subprocess.run(
            ["git", *arguments], cwd=root, capture_output=True, text=True, check=True, timeout=30
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def commit(root: Path) -> str:
    """Return the commit checked out in `root` (40 hex digits), or `unknown` outside a repository."""
    found = git(root, "rev-parse", "HEAD")
    return found if found and len(found) == 40 else "unknown"


@functools.lru_cache(maxsize=256)
def commit_is_foreign(root: Path, sha: str) -> bool:
    """Return whether `sha` is no commit of this repository.

    Where nobody can tell (no git, a source archive, a shallow clone) the answer is False.
    """
    if git(root, "rev-parse", "--is-shallow-repository") != "false":
        return False
    return git(root, "cat-file", "-e", f"{sha}^{{commit}}") is None


def chapter_files(root: Path, slug: str) -> list[Path]:
    """Return the files a chapter's figures depend on: notebook, imported modules, claims, parameters."""
    notebook = notebook_file(root, slug)
    beside = [root / "data" / "claims" / f"{slug}.yml", root / "workflow" / "parameters" / f"{slug}.yml"]
    files = {path.resolve() for path in beside if path.is_file()}
    if notebook is not None:
        files |= {notebook.resolve(), *(path.resolve() for path in closure(notebook, root / "src"))}
    return sorted(files)


def files_digest(root: Path, files: Iterable[Path]) -> str:
    """Return the sha256 over names (relative to `root`) and contents of files, in name order."""
    digest = hashlib.sha256()
    for path in sorted(files):
        name = os.path.relpath(path, root.resolve()).replace(os.sep, "/")
        digest.update(f"{name}\0{hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
    return digest.hexdigest()


def is_dirty(root: Path, files: Iterable[Path]) -> bool:
    """Return whether any of `files` differs from the commit (True outside a repository)."""
    names = [os.path.relpath(path, root.resolve()) for path in files]
    status = git(root, "status", "--porcelain", "--untracked-files=all", "--", *names) if names else ""
    return status is None or status != ""


def lock_digest(root: Path) -> str:
    """Return the sha256 of `constraints.txt`, or `none` where there is none."""
    lock = root / "constraints.txt"
    return hashlib.sha256(lock.read_bytes()).hexdigest() if lock.is_file() else "none"


def package_versions() -> dict[str, str]:
    """Return Python's version and those of the packages that can move a figure, where installed."""
    versions = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions


def hardware() -> str:
    """Return CPU model and number of cores: "AMD EPYC 7B13, 2 cores"."""
    model = platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        named = [
            line for line in cpuinfo.read_text(encoding="utf-8").splitlines() if line.startswith("model name")
        ]
        model = named[0].split(":", 1)[1].strip() if named else model
    return f"{model}, {os.cpu_count()} cores"


def environment(root: Path, slug: str, *, threads: int) -> Environment:
    """Return what this process runs on, for a chapter's results file."""
    files = chapter_files(root, slug)
    return Environment(
        commit=commit(root),
        dirty=is_dirty(root, files),
        closure_sha256=files_digest(root, files),
        lock_sha256=lock_digest(root),
        packages=package_versions(),
        threads=threads,
        hardware=hardware(),
        date=datetime.datetime.now(datetime.UTC).date().isoformat(),
    )


def _cpu_seconds() -> float:
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def peak_memory_mib() -> float:
    """Return the largest resident memory of this process and its finished children, in MiB."""
    unit = 2**20 if sys.platform == "darwin" else 2**10  # ru_maxrss is in bytes there, in KiB elsewhere
    kinds = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    return max(resource.getrusage(kind).ru_maxrss for kind in kinds) / unit


class Meter:
    """Wall and CPU seconds since it was made, child processes included."""

    def __init__(self) -> None:
        self._wall = time.perf_counter()
        self._cpu = _cpu_seconds()

    def cost(self, *, kept_cpu_seconds: float = 0.0) -> Cost:
        """Return the cost so far and that of kept results, rounded to milliseconds and tenths of a MiB."""
        return Cost(
            wall_seconds=round(time.perf_counter() - self._wall, 3),
            cpu_seconds=round(_cpu_seconds() - self._cpu, 3),
            peak_memory_mib=round(peak_memory_mib(), 1),
            kept_cpu_seconds=round(kept_cpu_seconds, 3),
        )
