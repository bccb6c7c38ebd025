"""The comparisons themselves: equal totals, rates by position, starts with a budget of their own."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from echobook.papers.tanda.experiment import (
    Budget,
    Row,
    base_rows,
    control_rows,
    main_rows,
    noise_rows,
    rate_rows,
    shared_rows,
)
from echobook.papers.tanda.method import Recipe, Stage

BUDGETS = st.builds(
    Budget,
    st.integers(1, 500),
    st.integers(1, 500),
    st.floats(1e-6, 1e-2),
    st.floats(1e-6, 1e-2),
    st.floats(1e-6, 1e-2),
    st.integers(1, 64),
    st.sampled_from(["pretrained", "random"]),
)
PLAIN = Budget(40, 30, 1e-4, 2e-4, 3e-4, 16)


def updates(row):
    return sum(stage.steps for stage in row.recipe.stages)


def everything(budget, other=None):
    rows = main_rows(("a", "b"), budget) | base_rows("a", budget)
    rows |= control_rows("a", budget, starts={"reinitialised": other or budget}, pooler=True)
    return rows | noise_rows("a", budget, [10, 40]) | rate_rows("a", budget, {"2e-5": 2e-5, "3e-4": 3e-4})


@settings(deadline=None, max_examples=25)
@given(BUDGETS)
def test_all_rows_but_transfer_only_take_the_same_updates(budget):
    for name, row in everything(budget).items():
        assert updates(row) == budget.transfer + (name != "transfer-only") * budget.adapt, name
        assert row.recipe.batch_size == budget.batch_size
        assert len(row.recipe.stages) == (1 if name in ("transfer-only", "merged") or "ft" in name else 2)


@settings(deadline=None, max_examples=25)
@given(BUDGETS)
def test_each_position_has_its_rate(budget):
    for name, row in everything(budget).items():
        rates = [stage.rate for stage in row.recipe.stages]
        own = float(name.split("-rate-")[1]) if "-rate-" in name else 0.0
        if name == "transfer-only":
            assert rates == [budget.transfer_rate]
        elif len(rates) == 1:
            assert rates == [own or budget.tune_rate]
        else:
            assert rates == [budget.transfer_rate, own or budget.adapt_rate]


def test_two_steps_share_their_first_stage_and_nothing_else():
    rows = everything(PLAIN)
    hard = {name: row.recipe.first() for name, row in rows.items() if "tanda" in name}
    usual = {recipe for name, recipe in hard.items() if not name.endswith(("pooler", "reinitialised"))}
    assert usual == {rows["transfer-only"].recipe}
    assert len(set(hard.values())) == 3
    assert rows["shuffled"].recipe.first().stages[0].data == "transfer-shuffled"
    assert rows["random-negatives"].recipe.first().stages[0].data == "transfer-random"


def test_reversed_swaps_the_data_and_not_the_rates():
    recipe = PLAIN.reversed("a")
    assert recipe.stages == (Stage("a", 30, 2e-4), Stage("transfer", 40, 3e-4))
    assert PLAIN.two_steps("transfer", "a").stages == (Stage("transfer", 40, 2e-4), Stage("a", 30, 3e-4))
    assert PLAIN.one_step("a").stages == (Stage("a", 70, 1e-4),)


def test_a_start_can_have_a_budget_of_its_own():
    quick = replace(PLAIN, tune_rate=1e-3, transfer_rate=2e-3, adapt_rate=3e-3)
    rows = control_rows("a", PLAIN, starts={"small": quick, "reinitialised": PLAIN}, pooler=False)
    assert [stage.rate for stage in rows["tanda-small"].recipe.stages] == [2e-3, 3e-3]
    assert rows["ft-small"].recipe.stages[0].rate == 1e-3
    assert rows["ft-small"].recipe.start == "small"
    assert rows["ft-reinitialised"].recipe == replace(PLAIN.one_step("a"), start="reinitialised")
    assert not any("pooler" in name for name in rows)


def test_what_is_scored():
    rows = everything(PLAIN)
    assert rows["a/ft"].scored == rows["a/tanda"].scored == ("a-test",)
    assert rows["transfer-only"].scored == ("a-test", "b-test")
    assert {row.scored for name, row in rows.items() if "/" not in name and name != "transfer-only"} == {
        ("a-dev",)
    }


def test_main_rows_train_on_all_pairs_and_ablations_on_the_sample():
    rows = everything(PLAIN)
    assert rows["b/tanda"].recipe.stages[1].data == "b-all"
    assert rows["tanda"].recipe.stages[1].data == "a"
    assert rows["ft-noise-10"].recipe.stages[0].data == "a-noise-10"
    assert rows["tanda-noise-40"].recipe.stages == (
        Stage("transfer", 40, 2e-4),
        Stage("a-noise-40", 30, 3e-4),
    )


def test_shared_rows_are_equal_under_both_names():
    rows = shared_rows("a", PLAIN)
    assert rows["ft"] == rows["a/ft"] == Row(PLAIN.one_step("a"), ("a-test", "a-dev"))
    assert rows["tanda"] == rows["a/tanda"]
    assert hash(rows["ft"]) == hash(rows["a/ft"])


@pytest.mark.parametrize("head", ["pair", "pooler"])
def test_the_first_recipe_keeps_all_but_the_later_stages(head):
    recipe = Recipe((Stage("x", 1, 0.1), Stage("y", 2, 0.2)), "small", head, 4, 0.5)
    assert recipe.first() == Recipe((Stage("x", 1, 0.1),), "small", head, 4, 0.5)
    assert recipe.first().first() == recipe.first()
