"""A log in which depth must matter: its sessions, what each depth finds, and the counts by hand."""

import pandas as pd
import pytest

from echobook.data.generators.requests import request_world
from echobook.papers.self_learning.detours import (
    detour_log,
    found_right,
    needed_detours,
    repaired_late,
    staying_or_going,
)
from echobook.papers.self_learning.guardrails import guarded
from echobook.papers.self_learning.material import Users, catalogue, simulate
from echobook.papers.self_learning.method import MiningRules, SessionGraph, mine, session_graph
from echobook.sessions.backends import duckdb_table
from echobook.sessions.program import COLUMNS, count


def graph(log: pd.DataFrame) -> SessionGraph:
    return session_graph(count(duckdb_table(log), gap_s=45.0), MiningRules())


def found(share: float, depth: int) -> float:
    log, right = detour_log(goals=10, sessions=6000, share=share, seed=1)
    return found_right(guarded(mine(graph(log), MiningRules(depth=depth)), protected=()), right)


def test_the_log_has_the_columns_of_a_real_one_and_repeats() -> None:
    log, right = detour_log(goals=4, sessions=200, share=0.5, seed=3)
    again, _ = detour_log(goals=4, sessions=200, share=0.5, seed=3)
    pd.testing.assert_frame_equal(log, again)
    assert tuple(log.columns) == COLUMNS
    assert right["open thing2"] == "show thing2 now"
    assert log.device.nunique() == 200


def test_only_goals_with_a_detour_pass_by_the_list_and_none_of_them_goes_straight() -> None:
    log, _ = detour_log(goals=4, sessions=4000, share=0.5, seed=0)
    listed = log.text[log.text.str.startswith("list")]
    assert set(listed) == {"list all thing0", "list all thing1"}
    before = log.text.groupby(log.device).shift()
    straight = log.text[(before == log.text.str.replace("show", "open").str.removesuffix(" now"))]
    assert set(straight) == {"show thing2 now", "show thing3 now"}


def test_depth_finds_what_one_move_cannot_and_does_not_matter_otherwise() -> None:
    assert found(1.0, 5) == 1.0
    assert found(1.0, 2) == 1.0
    assert found(1.0, 1) == 0.0
    assert found(0.0, 1) == found(0.0, 5) == 1.0
    assert found(0.5, 1) == 0.5


def test_needed_detours_are_those_without_a_direct_move() -> None:
    log, right = detour_log(goals=4, sessions=4000, share=0.5, seed=0)
    mined = needed_detours(graph(log), MiningRules()).set_index("text")
    assert [mined.direct[f"open thing{goal}"] > 0 for goal in range(4)] == [False, False, True, True]
    assert needed_detours(graph(log), MiningRules(margin=2.0)).empty
    assert found_right({}, right) == 0


def test_staying_or_going_by_hand() -> None:
    """Ten say "list"; three are content, three go on to "one", four to "two", all of these content."""
    rows = [(user, 0.0, "list", "list", int(user < 3)) for user in range(10)]
    rows += [(user, 9.0, "one", "one", 1) for user in range(3, 6)]
    rows += [(user, 9.0, "two", "two", 1) for user in range(6, 10)]
    made = graph(pd.DataFrame(rows, columns=list(COLUMNS)))
    found = staying_or_going(made, ["list", "two", "unknown"], MiningRules()).set_index("text")
    assert list(found.index) == ["list", "two"]
    assert found.loc["list"].to_dict() == pytest.approx({"stay": 0.3, "go": 0.4})
    assert found.loc["two"].to_dict() == pytest.approx({"stay": 1.0, "go": 0.0})
    assert staying_or_going(made, [], MiningRules()).empty


def test_late_repairs_by_hand() -> None:
    turns = [  # session, turn, goal, success
        (0, 0, "A", False), (0, 1, "A", True),
        (1, 0, "A", False), (1, 1, "A", False), (1, 2, "A", True),
        (2, 0, "A", False), (2, 1, "B", True),
        (3, 0, "A", True), (3, 1, "A", True),
        (4, 0, "A", False), (4, 1, "A", True), (4, 2, "A", True),
    ]  # fmt: skip
    log = pd.DataFrame(turns, columns=["session", "turn", "goal", "success"])
    assert repaired_late(log) == (3, 1)


def test_simulated_users_repair_late_now_and_then() -> None:
    shop = catalogue(request_world(seed=0), half=0, seed=0)
    repaired, late = repaired_late(simulate(shop, Users(), sessions=3000, seed=0))
    assert 0 < late < 0.5 * repaired


@pytest.mark.parametrize(("share", "goals", "sessions"), [(1.5, 3, 10), (0.5, 0, 10), (0.5, 3, 0)])
def test_impossible_logs_are_refused(share: float, goals: int, sessions: int) -> None:
    with pytest.raises(ValueError, match=r"need a share in \[0, 1\], goals and sessions of 1 or more, got"):
        detour_log(goals=goals, sessions=sessions, share=share, seed=0)
