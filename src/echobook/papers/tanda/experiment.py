"""The chapter's rows: which recipes are compared, under which names, and what they are scored on.

Every TANDA row has ``transfer`` updates on the transfer set and ``adapt`` updates on the target; every
one-step row (plain fine-tuning FT, merged) has their sum, so that totals are equal. Transfer only is the
paper's theta_1 and stops at ``transfer``. The main rows train on ``<target>-all``. Controls, noise and the
learning-rate grid are on one target, with a smaller budget and a sample of its pairs, ``<target>``, and are
scored on its development set, which is smaller.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from echobook.papers.tanda.method import Recipe, Stage


@dataclass(frozen=True)
class Row:
    """A recipe with the frames it is scored on."""

    recipe: Recipe
    scored: tuple[str, ...]


@dataclass(frozen=True)
class Budget:
    """Updates and peak learning rates that the rows share.

    Attributes:
        transfer, adapt: updates of the two steps.
        tune_rate: of the encoder in one-step rows.
        transfer_rate, adapt_rate: of the encoder in the two steps.
        batch_size: pairs of a batch.
        start: the start of rows that name none.
    """

    transfer: int
    adapt: int
    tune_rate: float
    transfer_rate: float
    adapt_rate: float
    batch_size: int = 16
    start: str = "pretrained"

    def one_step(
        self, data: str, *, rate: float = 0.0, start: str = "", head: Literal["pair", "pooler"] = "pair"
    ) -> Recipe:
        """All updates on one training frame."""
        stage = Stage(data, self.transfer + self.adapt, rate or self.tune_rate)
        return Recipe((stage,), start or self.start, head, self.batch_size)

    def two_steps(
        self,
        first: str,
        second: str,
        *,
        rate: float = 0.0,
        start: str = "",
        head: Literal["pair", "pooler"] = "pair",
    ) -> Recipe:
        """Transfer on ``first``, then adapt on ``second``."""
        stages = (
            Stage(first, self.transfer, self.transfer_rate),
            Stage(second, self.adapt, rate or self.adapt_rate),
        )
        return Recipe(stages, start or self.start, head, self.batch_size)

    def reversed(self, target: str) -> Recipe:
        """The target first, the transfer set last; each set keeps its updates, each position its rate."""
        first = Stage(target, self.adapt, self.transfer_rate)
        last = Stage("transfer", self.transfer, self.adapt_rate)
        return Recipe((first, last), self.start, "pair", self.batch_size)


def main_rows(targets: Sequence[str], budget: Budget) -> dict[str, Row]:
    """``transfer-only``, and ``<target>/ft`` and ``<target>/tanda`` on all training pairs, scored on test."""
    only = budget.two_steps("transfer", "transfer").first()
    tests = {target: (f"{target}-test",) for target in targets}
    rows = {
        f"{target}/tanda": Row(budget.two_steps("transfer", f"{target}-all"), test)
        for target, test in tests.items()
    }
    rows["transfer-only"] = Row(only, sum(tests.values(), ()))
    return rows | {
        f"{target}/ft": Row(budget.one_step(f"{target}-all"), test) for target, test in tests.items()
    }


def base_rows(target: str, budget: Budget) -> dict[str, Row]:
    """FT and TANDA that the ablations are compared with, scored on dev."""
    scored = (f"{target}-dev",)
    return {
        "tanda": Row(budget.two_steps("transfer", target), scored),
        "ft": Row(budget.one_step(target), scored),
    }


def shared_rows(target: str, budget: Budget) -> dict[str, Row]:
    """FT and TANDA under the names of both their main and their base rows, scored on test and dev.

    For a target whose training pairs and budget are the same in both: such rows are equal, and trained once.
    """
    scored = (f"{target}-test", f"{target}-dev")
    rows = {name: Row(row.recipe, scored) for name, row in base_rows(target, budget).items()}
    return {f"{target}/{name}": row for name, row in rows.items()} | rows


def control_rows(
    target: str, budget: Budget, *, starts: Mapping[str, Budget], pooler: bool
) -> dict[str, Row]:
    """Order, merging, controls on the transfer set, other starts and the pooler head, scored on dev.

    Args:
        starts: budget of each other start (a start without pre-training needs another learning rate).
    """
    recipes = {
        "merged": budget.one_step(f"{target}-merged"),
        "reversed": budget.reversed(target),
        "shuffled": budget.two_steps("transfer-shuffled", target),
        "random-negatives": budget.two_steps("transfer-random", target),
    }
    for start, own in starts.items():
        recipes[f"ft-{start}"] = own.one_step(target, start=start)
        recipes[f"tanda-{start}"] = own.two_steps("transfer", target, start=start)
    if pooler:
        recipes["ft-pooler"] = budget.one_step(target, head="pooler")
        recipes["tanda-pooler"] = budget.two_steps("transfer", target, head="pooler")
    return {name: Row(recipe, (f"{target}-dev",)) for name, recipe in recipes.items()}


def noise_rows(target: str, budget: Budget, percents: Sequence[int]) -> dict[str, Row]:
    """FT and TANDA with ``percents`` of the target's training labels flipped, scored on dev."""
    rows = {}
    for percent in percents:
        data = f"{target}-noise-{percent}"
        scored = (f"{target}-dev",)
        rows[f"ft-noise-{percent}"] = Row(budget.one_step(data), scored)
        rows[f"tanda-noise-{percent}"] = Row(budget.two_steps("transfer", data), scored)
    return rows


def rate_rows(target: str, budget: Budget, rates: Mapping[str, float]) -> dict[str, Row]:
    """FT and TANDA with other learning rates on the target, scored on dev."""
    rows = {}
    for name, rate in rates.items():
        scored = (f"{target}-dev",)
        rows[f"ft-rate-{name}"] = Row(budget.one_step(target, rate=rate), scored)
        rows[f"tanda-rate-{name}"] = Row(budget.two_steps("transfer", target, rate=rate), scored)
    return rows
