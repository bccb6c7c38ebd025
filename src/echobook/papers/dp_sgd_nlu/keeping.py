"""Rows that were trained once are kept, so that a run that was killed goes on where it stopped.

A row lies in one file under a folder, named by the SHA-256 of all that decides it: estimator, schedule, seed,
material, fresh weights and what they answer, the source of the code, torch's version and the CPU's
capability. A changed letter in any of them means another name, never an old score. The CPU seconds of a row
are kept with it: a resumed run still tells the whole cost.
"""

import hashlib
import inspect
import os
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import astuple, dataclass
from pathlib import Path
from types import ModuleType

import numpy as np
import torch

from echobook.data.types import rows_digest
from echobook.papers.dp_sgd_nlu import baselines, evaluation, experiment, method, model, top_layer, training
from echobook.papers.dp_sgd_nlu.evaluation import answers
from echobook.papers.dp_sgd_nlu.experiment import Bench, Look, Outcome, shadow_attack
from echobook.papers.dp_sgd_nlu.training import Estimator
from echobook.privacy import accounting, mechanism, membership, taps
from echobook.privacy.membership import Attack
from echobook.privacy.taps import PrivacyError

CODE: tuple[ModuleType, ...] = (
    accounting, baselines, evaluation, experiment, mechanism, membership, method, model, taps, top_layer,
    training,
)  # fmt: skip
Arrays = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Keeper:
    """Trains rows of one bench, or reads them from a folder.

    Attributes:
        bench: what the rows share.
        folder: where rows are kept; None keeps nothing.
        told: called with the CPU seconds of each row that was read.
    """

    bench: Bench
    folder: Path | None
    told: Callable[[float], object] = float

    def run(self, estimator: Estimator, *, rate: float, each_epoch: bool = True) -> Outcome:
        """As `Bench.run`."""
        key = self._key("run", repr(estimator), repr(rate), repr(each_epoch))
        return _outcome(
            self._kept(key, lambda: _arrays(self.bench.run(estimator, rate=rate, each_epoch=each_epoch)))
        )

    def attack(self, estimator: Estimator, target: Look, *, shadows: int, rate: float) -> Attack:
        """As `shadow_attack`."""
        scores = hashlib.sha256(target.members.tobytes() + target.others.tobytes()).hexdigest()
        key = self._key("attack", repr(estimator), repr(rate), repr(shadows), scores)

        def attacked() -> Arrays:
            found = shadow_attack(self.bench, estimator, target, shadows=shadows, rate=rate)
            return {"attack": np.array(astuple(found))}

        return Attack(*map(float, self._kept(key, attacked)["attack"]))

    def _kept(self, key: str, make: Callable[[], Arrays]) -> Arrays:
        if self.folder is None:
            return make()
        path = self.folder / f"{key}.npz"
        if path.is_file():
            kept = dict(_read(path))
            self.told(float(kept.pop("seconds")))
            return kept
        begun = time.process_time()
        made = make()
        _write(path, {**made, "seconds": np.array(time.process_time() - begun)})
        return made

    def _key(self, *parts: str) -> str:
        bench, fresh = self.bench, self.bench.start.build()
        rows = [
            (part, *row.words, *row.tags, row.intent)
            for part, own in bench.material.parts.items()
            for row in own
        ]
        whole = [repr(bench.schedule), str(bench.seed), rows_digest(rows), *parts]
        whole += [repr(bench.material.canaries.tolist()), torch.__version__]
        whole += [torch.backends.cpu.get_cpu_capability(), *map(inspect.getsource, CODE)]
        digest = hashlib.sha256("\0".join(whole).encode())
        for weight in fresh.state_dict().values():
            digest.update(weight.numpy().tobytes())
        digest.update(answers(fresh, bench.start.parts["dev"]).intents.tobytes())
        return digest.hexdigest()


def _arrays(outcome: Outcome) -> Arrays:
    looks = outcome.looks
    return {
        "hits": outcome.hits,
        "counts": outcome.counts,
        "numbers": np.array([outcome.f1, outcome.milliseconds]),
        "dev": np.array(outcome.dev),
        "attacks": np.array([astuple(look.attack) for look in looks]),
        **{name: np.stack([getattr(look, name) for look in looks]) for name in _LOOK},
    }


_LOOK = ("members", "others", "exposure")


def _outcome(kept: Arrays) -> Outcome:
    looks = [
        Look(float(dev), members, others, Attack(*map(float, attack)), exposure)
        for dev, attack, members, others, exposure in zip(
            kept["dev"], kept["attacks"], *(kept[name] for name in _LOOK), strict=True
        )
    ]
    f1, milliseconds = map(float, kept["numbers"])
    return Outcome(kept["hits"], kept["counts"], f1, looks, milliseconds)


def _read(path: Path) -> Arrays:
    try:
        with np.load(path, allow_pickle=False) as stored:
            return {name: stored[name] for name in stored.files}
    except (OSError, ValueError, KeyError, EOFError) as error:
        raise PrivacyError(f"{path}: not a kept row ({error}); delete it, it will be trained anew") from error


def _write(path: Path, arrays: Arrays) -> None:
    """Write atomically."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".", suffix=".part", delete=False) as handle:
        np.savez(handle, allow_pickle=False, **arrays)
    os.replace(handle.name, path)
