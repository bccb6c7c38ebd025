"""The chapter's rows: which recipes are compared, under which names, and what they are scored on.

Two budgets. The *main* rows (plain fine-tuning FT, transfer only, TANDA, on every target) have ``transfer`` +
``adapt`` updates of ``MAIN_BATCH`` pairs. The *ablation* rows, on the first target, have as many updates of
their own smaller budget with ``ABLATION_BATCH`` pairs; all of them, their FT and TANDA included, are compared
only among themselves. FT takes transfer + adapt updates on the target, so totals are equal throughout;
transfer only is the paper's theta_1 and stops at ``transfer``.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from echobook.papers.tanda.recipes import Recipe, Stage

MAIN_BATCH, ABLATION_BATCH = 32, 16


@dataclass(frozen=True)
class Rates:
    """Peak learning rates of the encoder: plain fine-tuning, transfer, adapt."""

    tune: float
    transfer: float
    adapt: float


@dataclass(frozen=True)
class Row:
    """A recipe with the frames it is scored on."""

    recipe: Recipe
    scored: tuple[str, ...]


def main_rows(targets: Sequence[str], rates: Rates, *, transfer: int, adapt: int) -> dict[str, Row]:
    """``transfer-only``, and ``ft/<target>`` and ``tanda/<target>`` for each target."""
    first = Stage("transfer", transfer, rates.transfer)
    both = tuple(f"{target}-{split}" for target in targets for split in ("dev", "test"))
    rows = {"transfer-only": Row(Recipe((first,), batch_size=MAIN_BATCH), both)}
    for target in targets:
        scored = (f"{target}-dev", f"{target}-test")
        tune = Recipe((Stage(target, transfer + adapt, rates.tune),), batch_size=MAIN_BATCH)
        tanda = Recipe((first, Stage(target, adapt, rates.adapt)), batch_size=MAIN_BATCH)
        rows |= {f"tanda/{target}": Row(tanda, scored), f"ft/{target}": Row(tune, scored)}
    return rows


@dataclass(frozen=True)
class Ablations:
    """Builds the ablation rows on one target.

    Attributes:
        target: name of the target.
        rates: as for the main rows.
        transfer, adapt: updates of the two stages; plain fine-tuning has their sum.
    """

    target: str
    rates: Rates
    transfer: int
    adapt: int

    def ft(
        self, data: str = "", *, rate: float = 0.0, start: str = "pretrained", head: str = "pair"
    ) -> Recipe:
        """Plain fine-tuning on ``data`` (by default the target)."""
        stage = Stage(data or self.target, self.transfer + self.adapt, rate or self.rates.tune)
        return _recipe((stage,), start, head)

    def tanda(
        self,
        data: str = "",
        *,
        source: str = "transfer",
        rate: float = 0.0,
        start: str = "pretrained",
        head: str = "pair",
    ) -> Recipe:
        """Transfer on ``source``, then adapt on ``data``."""
        first = Stage(source, self.transfer, self.rates.transfer)
        second = Stage(data or self.target, self.adapt, rate or self.rates.adapt)
        return _recipe((first, second), start, head)

    def reversed(self) -> Recipe:
        """The target first, the transfer set last; each position keeps its rate and its updates' data."""
        first = Stage(self.target, self.adapt, self.rates.transfer)
        return _recipe((first, Stage("transfer", self.transfer, self.rates.adapt)))

    def controls(self) -> dict[str, Recipe]:
        """Order, merging, controls on the transfer set, starts and heads."""
        rows = {
            "ft": self.ft(),
            "tanda": self.tanda(),
            "merged": self.ft(f"{self.target}-merged"),
            "reversed": self.reversed(),
            "shuffled": self.tanda(source="transfer-shuffled"),
            "random-negatives": self.tanda(source="transfer-random"),
        }
        for start in ("reinitialised", "small"):
            rows |= {f"ft-{start}": self.ft(start=start), f"tanda-{start}": self.tanda(start=start)}
        return rows | {"ft-pooler": self.ft(head="pooler"), "tanda-pooler": self.tanda(head="pooler")}

    def noisy(self, percents: Sequence[int]) -> dict[str, Recipe]:
        """``ft-noise-<percent>`` and ``tanda-noise-<percent>``: flipped training labels of the target."""
        rows: dict[str, Recipe] = {}
        for percent in percents:
            data = f"{self.target}-noise-{percent}"
            rows |= {f"ft-noise-{percent}": self.ft(data), f"tanda-noise-{percent}": self.tanda(data)}
        return rows

    def grid(self, rates: Mapping[str, float]) -> dict[str, Recipe]:
        """``ft-rate-<name>`` and ``tanda-rate-<name>``: the target's learning rate varied."""
        rows: dict[str, Recipe] = {}
        for name, rate in rates.items():
            rows |= {f"ft-rate-{name}": self.ft(rate=rate), f"tanda-rate-{name}": self.tanda(rate=rate)}
        return rows

    def rows(self, percents: Sequence[int], rates: Mapping[str, float]) -> dict[str, Row]:
        """All ablation rows; the learning-rate grid is scored on dev only."""
        dev, test = f"{self.target}-dev", f"{self.target}-test"
        named = self.controls() | self.noisy(percents)
        rows = {name: Row(recipe, (dev, test)) for name, recipe in named.items()}
        return rows | {name: Row(recipe, (dev,)) for name, recipe in self.grid(rates).items()}


def _recipe(stages: tuple[Stage, ...], start: str = "pretrained", head: str = "pair") -> Recipe:
    if head not in ("pair", "pooler"):
        raise ValueError(f"head: expected 'pair' or 'pooler', got {head!r}")
    return Recipe(stages, start, "pair" if head == "pair" else "pooler", ABLATION_BATCH)
