"""The generated kitchen: form, honesty of its knobs, seeds, refusals."""

import numpy as np
import pandas as pd
import pytest

from echobook.data.generators.recipes import BEHAVIOURS, INGREDIENTS, KEYWORDS, generate_kitchen

SMALL = {"users": 40, "recipes": 60}


def test_form():
    made = generate_kitchen(seed=0, **SMALL)
    assert len(made.recipes) == 60
    assert made.recipes["ingredients"].map(len).between(5, 9).all()
    assert all(set(parts) <= set(INGREDIENTS) for parts in made.recipes["ingredients"])
    assert all(set(words) <= set(KEYWORDS) and len(words) == 2 for words in made.recipes["keywords"])
    assert set(made.visits["split"]) == {"train", "validation", "test"}
    assert made.visits.groupby("user")["split"].apply(lambda s: (s == "test").sum()).unique().tolist() == [16]
    assert made.use.total == len(made.visits)


def test_a_visit_answers_its_request_and_behaviours_are_in_order():
    made = generate_kitchen(seed=1, **SMALL)
    for visit in made.visits.itertuples():
        recipe = made.recipes.iloc[visit.recipe]
        assert visit.request in (*recipe.ingredients, *recipe.keywords)
        assert visit.behaviours == BEHAVIOURS[: len(visit.behaviours)]


def test_the_same_seed_is_the_same_kitchen():
    one, other, third = (generate_kitchen(seed=s, **SMALL) for s in (0, 0, 1))
    pd.testing.assert_frame_equal(one.visits, other.visits)
    assert one.use.sha256 == other.use.sha256 != third.use.sha256


def test_stray_clicks_change_clicks_and_nothing_else():
    """More stray clicks, fewer cook-alongs; the recipes stay."""
    kitchens = [generate_kitchen(seed=0, stray=stray, users=150, recipes=60) for stray in (0.0, 0.4, 0.8)]
    cooked = [(made.visits["behaviours"].map(len) == 3).mean() for made in kitchens]
    assert cooked[0] > cooked[1] > cooked[2] > 0.05
    pd.testing.assert_frame_equal(kitchens[0].recipes, kitchens[2].recipes)


def test_without_taste_attributes_say_nothing():
    """Control: the share of cooked visits does not depend on the user's most cooked cuisine."""

    def lift(taste):
        made = generate_kitchen(seed=0, taste=taste, users=200, recipes=60, visits=(20, 1, 20))
        frame = made.visits.assign(
            cuisine=made.recipes["cuisine"].to_numpy()[made.visits["recipe"]],
            cooked=made.visits["behaviours"].map(len) == 3,
        )
        early = frame[frame["split"] == "train"].groupby(["user", "cuisine"])["cooked"].sum()
        likes = early.groupby("user").idxmax().map(lambda key: key[1])
        late = frame[frame["split"] == "test"]
        own = late["cuisine"] == late["user"].map(likes)
        return late.loc[own, "cooked"].mean() - late.loc[~own, "cooked"].mean()

    assert abs(lift(0.0)) < 0.05  # about 500 visits on one side: standard error 0.02
    assert lift(1.0) > 0.05


@pytest.mark.parametrize(
    "wrong", [{"users": 1}, {"recipes": 19}, {"stray": 1.1}, {"taste": -1.0}, {"visits": (1, 0, 1)}]
)
def test_bad_arguments_are_refused(wrong):
    with pytest.raises(ValueError, match="kitchen: expected users >= 2"):
        generate_kitchen(seed=0, **(SMALL | wrong))


def test_popular_recipes_are_looked_at_more():
    made = generate_kitchen(seed=0, stray=0.0, users=200, recipes=60)
    looks = np.sort(np.bincount(made.visits["recipe"], minlength=60))
    assert looks[-6:].sum() > 3 * looks[:6].sum()
