"""Run one chapter with one seed: percent notebook -> papermill -> gate -> executed notebook and results file.

The kernel is fresh, on a private IPC path, with one thread, a fixed hash seed, no network and, if asked, a
memory cap and a time limit. Everything is written to a temporary place first; the two outputs appear by
rename, and only when the gate (`echobook.pipeline.gate`) lets the run pass. An older success is deleted at
the start, so that what lies in the build folder is never older than the last attempt; a failed attempt leaves
``<stem>.failed.ipynb`` for the preview.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
import time
from pathlib import Path
from typing import Any

from echobook.pipeline.canonical import canonical, dump
from echobook.pipeline.errors import PipelineError
from echobook.pipeline.execution import execute, read_executed
from echobook.pipeline.gate import check_result, find_fault, refused_hosts
from echobook.pipeline.run import Run


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
    error = execute(run, work)
    notebook = read_executed(work)
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
