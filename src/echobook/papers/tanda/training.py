"""Rows that were trained once are kept, so that a run that was killed goes on where it stopped.

A row's scores lie in one file under the cache folder, named by the SHA-256 of everything that decides them:
the recipe, the seed, the data's rows, the settings, the source of the training code, the checkpoint's files,
torch's version and the CPU's capability. A changed letter in any of them means another name, never an old
score. The CPU seconds of the row's training are kept with it: a resumed run still tells the whole cost.
"""

import hashlib
import inspect
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import torch

from echobook.data.types import rows_digest
from echobook.papers.tanda import method, starts
from echobook.papers.tanda.experiment import Row
from echobook.papers.tanda.method import Bench, Outcome
from echobook.text import batches, checkpoint, finetuning, heads, inference

CODE: tuple[ModuleType, ...] = (method, starts, batches, checkpoint, finetuning, heads, inference)


def row_key(bench: Bench, row: Row) -> str:
    """SHA-256 of all that decides a row's scores."""
    names = sorted({*(stage.data for stage in row.recipe.stages), *row.scored})
    start = bench.starts.fingerprint(row.recipe.start)
    parts = [repr(row), str(bench.seed), str(bench.max_tokens), str(bench.bf16), start]
    for name in names:
        columns = bench.frames[name][["question", "candidate", "label"]].astype(str)
        parts += [name, rows_digest(columns.itertuples(index=False, name=None))]
    parts += [inspect.getsource(module) for module in CODE]
    parts += [torch.__version__, torch.backends.cpu.get_cpu_capability()]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def run_rows(
    bench: Bench,
    rows: dict[str, Row],
    folder: Path | None,
    *,
    told: Callable[[str, Outcome], None] | None = None,
) -> dict[str, Outcome]:
    """Outcome of each row, read from ``folder`` or trained and kept there; without a folder nothing is kept.

    Equal rows are run once; under the further names the outcome has no seconds, so that sums are right.

    Args:
        told: called with name and outcome after each row that was trained.

    Raises:
        ValueError: a kept file that is damaged; it is named.
    """
    found: dict[str, Outcome] = {}
    done: dict[Row, Outcome] = {}
    for name, row in rows.items():
        if row in done:
            found[name] = Outcome(done[row].scores, 0.0)
            continue
        path = folder / f"{row_key(bench, row)}.npz" if folder else None
        outcome = read_outcome(path) if path and path.is_file() else None
        if outcome is None:
            outcome = bench.run(row.recipe, row.scored)
            if path:
                write_outcome(path, outcome)
            if told:
                told(name, outcome)
        found[name] = done[row] = outcome
    return found


def read_outcome(path: Path) -> Outcome:
    """An outcome that :func:`write_outcome` wrote."""
    try:
        with np.load(path, allow_pickle=False) as stored:
            scores = {name: stored[name] for name in stored.files if name != "seconds"}
            return Outcome(scores, float(stored["seconds"]))
    except (OSError, ValueError, KeyError, EOFError) as error:
        raise ValueError(f"{path}: not a kept row ({error}); delete it, it will be trained anew") from error


def write_outcome(path: Path, outcome: Outcome) -> None:
    """Write scores and seconds atomically."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".", suffix=".part", delete=False) as handle:
        np.savez(handle, allow_pickle=False, seconds=outcome.seconds, **outcome.scores)
    os.replace(handle.name, path)
