"""Execute a run's notebook in a fresh kernel: private IPC path, one thread, fixed hash seed, time limit.

Everything lies in one temporary folder: kernel description, connection files, the notebook before
(``in.ipynb``) and after (``out.ipynb``). Whether the run counts is decided by `echobook.pipeline.gate`.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from echobook.pipeline.canonical import dump
from echobook.pipeline.errors import PipelineError
from echobook.pipeline.gate import last_started
from echobook.pipeline.run import Run

_THREADS = ("OMP", "MKL", "OPENBLAS", "NUMBA", "VECLIB_MAXIMUM", "NUMEXPR")


def read_executed(work: Path) -> Any:
    """Return the executed notebook that lies in `work`, or None."""
    import nbformat

    path = work / "out.ipynb"
    return nbformat.read(path, as_version=4) if path.is_file() else None


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


def execute(run: Run, work: Path) -> PipelineError | None:
    """Convert and execute in `work`; return an error for what the notebook itself does not show."""
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
    notebook = read_executed(work)
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
