"""Run one chapter with one seed: percent notebook -> papermill -> gate -> executed notebook and results file.

The kernel is fresh, on a private IPC path, with one thread, a fixed hash seed, no network and, if asked, a
memory cap and a time limit. Everything is written to a temporary place first; the two outputs appear by
rename, and only when the gate (`echobook.pipeline.gate`) lets the run pass. An older success is deleted at
the start, so that what lies in the build folder is never older than the last attempt; a failed attempt leaves
``<stem>.failed.ipynb`` for the preview.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from echobook.pipeline.canonical import canonical, dump
from echobook.pipeline.chapters import ChapterEntry, find_chapter
from echobook.pipeline.errors import PipelineError
from echobook.pipeline.gate import check_result, find_fault, last_started, refused_hosts
from echobook.pipeline.parameters import (
    ProfileSettings,
    parse_override,
    read_parameters,
    read_profile,
    resolve,
)
from echobook.pipeline.project import Project

_THREADS = ("OMP", "MKL", "OPENBLAS", "NUMBA", "VECLIB_MAXIMUM", "NUMEXPR")


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


def run_chapter(run: Run) -> float:
    """Execute `run` and put its two outputs in place; return the wall seconds.

    Raises:
        PipelineError: the run failed; the message holds chapter, cell, first source line, exception and what
            to try. No executed notebook and no results file of this run exist then.
    """
    started = time.monotonic()
    failed = run.project.failed(run.executed)
    try:
        for folder in (run.executed.parent, *([run.result.parent] if run.results else [])):
            folder.mkdir(parents=True, exist_ok=True)
        for old in (run.executed, run.result, failed):
            old.unlink(missing_ok=True)
        with tempfile.TemporaryDirectory(prefix="eb-") as name:
            _execute_and_place(run, Path(name), failed)
    except OSError as error:
        for partial in (run.executed, run.result):
            with contextlib.suppress(OSError):
                partial.unlink(missing_ok=True)
        raise PipelineError(
            f"chapter {run.name}: cannot write its outputs: {error}",
            f"free space and write permission for {run.project.profile(run.profile)}",
        ) from error
    return time.monotonic() - started


def _execute_and_place(run: Run, work: Path, failed: Path) -> None:
    """Execute in `work`; place both outputs, or the failed preview."""
    error = _execute(run, work)
    notebook = _read_executed(run, work)
    try:
        if error:
            raise error
        _check(run, notebook, work)
    except PipelineError:
        if notebook is not None:
            place(dump(canonical(notebook, run.project.root)), failed)
        raise
    if run.results:
        place((work / "result.json").read_text(encoding="utf-8"), run.result)
    place(dump(canonical(notebook, run.project.root)), run.executed)


def _read_executed(run: Run, work: Path) -> Any:
    import nbformat

    path = work / "out.ipynb"
    return nbformat.read(path, as_version=4) if path.is_file() else None


def _check(run: Run, notebook: Any, work: Path) -> None:
    if fault := find_fault(notebook):
        raise _failure(run, fault.describe(run.source), _hint(run, fault.error))
    if hosts := refused_hosts(work / "network.txt"):
        raise _failure(
            run, f"  asked for the network: {', '.join(hosts)}", "chapters run offline; fetch data before"
        )
    if run.results:
        check_result(work / "result.json", run.entry.slug, run.profile, run.seed, run.values)


def _failure(run: Run, detail: str, hint: str) -> PipelineError:
    return PipelineError(f"chapter {run.name} failed\n{detail}", hint)


def _hint(run: Run, error: str) -> str:
    if run.limits.memory_mb and ("MemoryError" in error or "allocate" in error or "bad_alloc" in error):
        return f"the memory cap is {run.limits.memory_mb} MiB: smaller parameters, or --memory-mb with more"
    preview = run.project.relative(run.project.failed(run.executed))
    return (
        f"see {preview}; repeat with: echobook run {run.entry.slug} --profile {run.profile} --seed {run.seed}"
    )


def place(text: str, target: Path) -> None:
    """Write `text` to `target` atomically: a temporary file beside it, flushed to disk, then renamed."""
    target.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{target.name}.", suffix=".part", dir=target.parent)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        os.chmod(name, 0o644)
        os.replace(name, target)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def kernel_environment(run: Run, work: Path) -> dict[str, str]:
    """Return the environment variables that the kernel gets on top of this process's own."""
    paths = [str(run.project.root / "src"), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {
        **{f"{library}_NUM_THREADS": "1" for library in _THREADS},
        "PYTHONHASHSEED": "0",
        "PYTHONPATH": os.pathsep.join(paths),
        "HF_HUB_OFFLINE": "1",
        "TRANSFORMERS_OFFLINE": "1",
        "HF_DATASETS_OFFLINE": "1",
        "TOKENIZERS_PARALLELISM": "false",
        "IPYTHONDIR": str(work / "ipython"),
        "ECHOBOOK_ROOT": str(run.project.root),
        "ECHOBOOK_PROFILE": run.profile,
        "ECHOBOOK_RESULT": str(work / "result.json"),
        "ECHOBOOK_CHAPTER": run.entry.slug,
        "ECHOBOOK_NETWORK_NOTE": str(work / "network.txt"),
        "ECHOBOOK_KERNEL_PID": str(work / "pid"),
        "ECHOBOOK_MEMORY_MB": str(run.limits.memory_mb),
        **run.environment,
    }


def _describe_kernel(run: Run, work: Path) -> None:
    """Write the kernel description that jupyter_client starts, below ``work/kernels``."""
    folder = work / "kernels" / "echobook"
    folder.mkdir(parents=True)
    (work / "ipython").mkdir()
    description = {
        "argv": [
            sys.executable,
            "-m",
            "echobook.pipeline.kernel",
            "-f",
            "{connection_file}",
            "--HistoryManager.enabled=False",
        ],
        "display_name": "Echobook",
        "language": "python",
        "env": kernel_environment(run, work),
    }
    (folder / "kernel.json").write_text(json.dumps(description), encoding="utf-8")


@contextlib.contextmanager
def _process_environment(work: Path) -> Iterator[None]:
    """Let jupyter_client find the kernel description and keep its connection files in `work`."""
    wanted = {"JUPYTER_PATH": str(work), "JUPYTER_RUNTIME_DIR": str(work), "JUPYTER_PLATFORM_DIRS": "1"}
    before = {name: os.environ.get(name) for name in wanted}
    os.environ.update(wanted)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})


@contextlib.contextmanager
def _deadline(seconds: float, work: Path) -> Iterator[threading.Event]:
    """Kill the kernel's process group after `seconds` (0: never), and whatever is left of it at the end."""
    expired = threading.Event()

    def kill() -> None:
        with contextlib.suppress(OSError, ValueError):
            os.killpg(int((work / "pid").read_text(encoding="utf-8")), signal.SIGKILL)

    def expire() -> None:
        expired.set()
        kill()

    timer = threading.Timer(seconds, expire)
    timer.daemon = True
    if seconds > 0:
        timer.start()
    try:
        yield expired
    finally:
        timer.cancel()
        kill()


def _execute(run: Run, work: Path) -> PipelineError | None:
    """Convert and execute; return an error for what the notebook itself does not show."""
    sys.modules.setdefault("rfc3987_syntax", None)  # type: ignore[arg-type]  # optional, 0.9 CPU-s to import
    import jupytext
    import papermill
    from nbclient.exceptions import DeadKernelError
    from papermill.exceptions import PapermillExecutionError
    from traitlets.config import Config

    _describe_kernel(run, work)
    notebook = jupytext.read(run.source, fmt="py:percent")
    (work / "in.ipynb").write_text(dump(notebook), encoding="utf-8")
    with _process_environment(work), _deadline(run.limits.seconds, work) as expired:
        try:
            papermill.execute_notebook(
                str(work / "in.ipynb"),
                str(work / "out.ipynb"),
                parameters=run.values,
                cwd=str(run.source.parent),
                kernel_name="echobook",
                language="python",
                progress_bar=False,
                log_output=False,
                start_timeout=120,
                shutdown_kernel="immediate",
                config=Config({"KernelManager": {"transport": "ipc", "ip": str(work / "k")}}),
            )
        except PapermillExecutionError:
            return None  # the gate finds the cell
        except (DeadKernelError, RuntimeError, TimeoutError) as error:
            return _dead(run, work, expired.is_set(), error)
        if expired.is_set():
            return _dead(run, work, True, TimeoutError("killed at the time limit"))
    return None


def _dead(run: Run, work: Path, expired: bool, error: Exception) -> PipelineError:
    """Return the error for a kernel that did not answer any more."""
    notebook = _read_executed(run, work)
    fault = last_started(notebook) if notebook is not None else None
    place_text = fault.describe(run.source) if fault else "  before its first cell"
    if expired:
        reason, hint = (
            f"stopped at its time limit of {run.limits.seconds:g} s",
            "a longer --timeout, or a smaller profile",
        )
    else:
        reason, hint = (
            f"its kernel died: {error}",
            "memory (see --memory-mb and the system's log), or a crash in a library",
        )
    return PipelineError(f"chapter {run.name} failed: {reason}\n{place_text}", hint)
