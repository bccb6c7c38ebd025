"""Planning: power against closed forms, monotone in what helps, out of reach where it must be, refusals."""

import math

import numpy as np
import pytest
from scipy import stats

from echobook.metrics.planning import Scenario, decide, power, seeds_needed


def test_decisions_by_hand():
    low = np.array([0.1, -0.1, 0.1, -0.1, 0.0])
    high = np.array([0.9, 0.4, 0.4, 0.9, 0.5])
    holds, fails = decide(low, high, bound=0, smallest_effect=0.5)
    assert holds.tolist() == [True, False, True, False, False]
    assert fails.tolist() == [False, True, True, False, False]
    mirrored = decide(-high, -low, bound=0, smallest_effect=-0.5, direction="below")
    assert mirrored[0].tolist() == holds.tolist()
    assert mirrored[1].tolist() == fails.tolist()
    inside = decide(low, high, bound=(-0.2, 0.5), direction="within")
    assert inside[0].tolist() == [False, True, True, False, False]
    assert not inside[1].any()


def test_power_of_seeds_is_the_noncentral_t():
    # holds: (mean - 0) / (s / sqrt(S)) > t(.975), whose law is noncentral t
    for seeds, effect in ((3, 1.0), (5, 1.0), (10, 0.8)):
        plan = Scenario(spread=1.0, design="seeds", effect=effect, bound=0)
        exact = stats.nct.sf(stats.t.ppf(0.975, seeds - 1), seeds - 1, effect * math.sqrt(seeds))
        # four standard deviations of a share of 20,000
        assert power(plan, seeds).holds == pytest.approx(exact, abs=4 * 0.5 / math.sqrt(20_000))


def test_items_that_all_share_put_a_plan_out_of_reach():
    plan = Scenario(spread=0.02, item_error=0.016, design="crossed", effect=0.02, bound=0)
    answer = seeds_needed(plan)
    assert answer.seeds is None
    assert "all share the items, whose standard error of 0.016 stays" in answer.reason
    # (1.96 + .84) * .016 = .0448 is the effect that could be shown: (.0448 / .02)^2 = 5.0 times as many items
    assert "at least 5.0 times as many items" in answer.reason
    own = Scenario(spread=0.02, item_error=0.016, design="nested", effect=0.02, bound=0)
    assert 10 < seeds_needed(own).seeds < 20
