"""The rule that picks each model's learning rate, and the trials behind the recorded rates."""

from pathlib import Path

import pytest
import yaml

from echobook.papers.convrnn_t import rates
from echobook.papers.convrnn_t.experiment import ABLATIONS, COMPARED, CONTROLS


def test_the_lowest_loss_wins_and_the_lower_rate_of_two_equal_ones() -> None:
    assert rates.best_rate({4e-3: 0.7, 2e-3: 0.5, 1e-3: 0.9}) == 2e-3
    assert rates.best_rate({4e-3: 0.5, 1e-3: 0.5, 2e-3: 0.6}) == 1e-3


def test_no_trials_are_refused() -> None:
    with pytest.raises(ValueError, match="no trials to choose a rate from"):
        rates.best_rate({})
    with pytest.raises(ValueError, match="model 'lstm' has no trials; expected one of convrnn-t"):
        rates.chosen_rate("lstm")


def test_every_model_was_tried_at_the_same_rates() -> None:
    assert set(rates.TRIALS) == {*COMPARED, *ABLATIONS}
    assert {tuple(sorted(found)) for found in rates.TRIALS.values()} == {tuple(sorted(rates.GRID))}


def test_controls_take_the_rate_of_the_model_they_control() -> None:
    assert {rates.chosen_rate(name) for name in CONTROLS} == {rates.chosen_rate("convrnn-t")}


def test_a_rate_is_one_of_the_grid_and_losses_are_numbers() -> None:
    for name, found in rates.TRIALS.items():
        assert rates.chosen_rate(name) in rates.GRID
        assert all(0 < loss < 100 for loss in found.values()), name


def test_the_tuning_seed_is_not_a_recorded_one() -> None:
    root = Path(__file__).parents[2]
    declared = yaml.safe_load((root / "workflow/parameters/convrnn-t.yml").read_text())
    assert rates.SEED not in declared["public"]["seeds"]
