"""What changed between two states of the record."""

import pytest

from echobook.report.differences import changes, differences_page, figure_changes, verdict_changes
from echobook.report.results import write_results


@pytest.fixture
def pair(board_of, finding, outcome):
    good, bad = outcome(0.05, 0.03, 0.07), outcome(0.0, -0.01, 0.01)
    return board_of(finding("C1", good), finding("C2", good)), board_of(
        finding("C1", bad), finding("C3", good)
    )


def test_changed_new_and_removed_findings_are_listed(pair):
    found = [(one.what, one.before, one.after) for one in verdict_changes(*pair)]
    assert found == [
        ("C1. Statement C1.", "reproduced", "not reproduced"),
        ("C2. Statement C2.", "reproduced", "not stated"),
        ("C3. Statement C3.", "not stated", "reproduced"),
    ]
    assert verdict_changes(pair[0], pair[0]) == []
    assert [one.before for one in verdict_changes(None, pair[0])] == ["not stated"] * 2


def board(make, board_of, values, **options):
    one = board_of()
    runs = [
        make({"score/new": value, "score/time": value}, seed=k, **options) for k, value in enumerate(values)
    ]
    return one.__class__(one.claims, runs, [], [])


def test_a_figure_changes_when_it_leaves_the_range_of_the_earlier_record(make, board_of):
    old = board(make, board_of, (0.5, 0.6, 0.7), timing=("score/time",))
    inside = board(make, board_of, (0.7, 0.75, 0.8), timing=("score/time",))  # the t interval is .6 +- .248
    outside = board(make, board_of, (0.85, 0.86, 0.87), timing=("score/time",))
    assert figure_changes(old, inside) == []
    [change] = figure_changes(old, outside)
    assert (change.what, change.before, change.after) == ("`score/new`", "[0.3516, 0.8484] points", "0.8600")


def test_a_single_seed_leaves_no_room(make, board_of):
    old = board(make, board_of, (0.5,), timing=("score/time",))
    assert figure_changes(old, board(make, board_of, (0.5 + 1e-8,), timing=("score/time",))) == []
    assert len(figure_changes(old, board(make, board_of, (0.5001,), timing=("score/time",)))) == 1


def test_two_trees_are_compared_from_their_files(checkout, head, make, tmp_path):
    """The gain of 0.1 goes to -0.1, so that the finding's verdict and two figures change."""
    import shutil

    before = tmp_path / "before"
    for tree, values in (
        (before, {"score/new": 0.6, "score/old": 0.5}),
        (checkout, {"score/new": 0.4, "score/old": 0.5}),
    ):
        if tree is before:
            shutil.copytree(checkout, before, ignore=shutil.ignore_patterns(".git"))
        for seed in range(3):
            shift = 0.001 * seed
            run = make(
                {name: value + shift * (name == "score/new") for name, value in values.items()},
                seed=seed,
                commit=head,
            )
            write_results(run, tree / "data" / "recorded" / "public" / "small-talk" / f"seed-{seed}.json")
    found = changes(before, checkout)
    assert [(one.before, one.after) for one in found[0]] == [("reproduced", "not reproduced")]
    assert [one.what for one in found[1]] == ["`score/new`"]
    page = differences_page(("echobook-1.0", "echobook-1.1"), found)
    assert page.startswith("# From echobook-1.0 to echobook-1.1\n")
    assert "Verdicts and checks changed: 1; figures beyond tolerance: 1." in page
    assert "| small-talk | C1. The new way beats the old one. | reproduced | not reproduced |" in page


def test_nothing_changed_is_said_in_one_line():
    assert differences_page(("a", "b"), ([], [])) == (
        "# From a to b\n\nVerdicts and checks changed: 0; figures beyond tolerance: 0.\n"
    )
