"""Mining, guardrails, simulated users and measures of the self-learning chapter."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest

from echobook.data.generators.requests import request_world
from echobook.papers.self_learning.baselines import nearest_successful, oracle
from echobook.papers.self_learning.evaluation import hearing, judge, ledger, measures
from echobook.papers.self_learning.experiment import REMEDIES, rounds
from echobook.papers.self_learning.guardrails import (
    ServingTable,
    better_without,
    changes_protected,
    guarded,
    resolve,
    sound_key,
)
from echobook.papers.self_learning.material import Catalogue, Users, catalogue, simulate
from echobook.papers.self_learning.method import (
    SCORERS,
    MiningRules,
    SessionGraph,
    estimated_success,
    mine,
    score,
    session_graph,
    wilson,
)
from echobook.papers.self_learning.own_data import rewrite_table
from echobook.sessions.backends import duckdb_table
from echobook.sessions.program import count


def dragons() -> pd.DataFrame:
    """Twenty say "play maj", are misunderstood, and twelve of them say "play imagine"; eight give up."""
    rows = []
    for user in range(20):
        rows.append((user, 0.0, "play maj", "play:maj", 0))
        if user < 12:
            rows.append((user, 9.0, "play imagine", "play:imagine", 1))
    return pd.DataFrame(rows, columns=["device", "time", "text", "interpretation", "outcome"])


def graph(log: pd.DataFrame, rules: MiningRules | None = None) -> SessionGraph:
    return session_graph(count(duckdb_table(log), gap_s=45.0), rules or MiningRules())


def test_the_chain_by_hand() -> None:
    chain = graph(dragons()).chain
    assert chain.states == ("play:imagine", "play:maj")
    np.testing.assert_allclose(chain.q.toarray(), [[0, 0], [0.6, 0]])
    assert chain.ends == ("success", "failure", "other")
    np.testing.assert_allclose(chain.r, [[1, 0, 0], [0, 0.4, 0]])


def crossroads() -> pd.DataFrame:
    """A hundred and five say "stop here": five stop content, a hundred go on, each to words of their own."""
    rows = [(user, 0.0, "stop here", "stop", 1) for user in range(5)]
    for user in range(5, 105):
        rows += [(user, 0.0, "stop here", "stop", 0), (user, 9.0, f"rare {user}", f"rare:{user}", 1)]
    return pd.DataFrame(rows, columns=["device", "time", "text", "interpretation", "outcome"])


def test_pruned_moves_end_elsewhere_and_stay_in_the_denominator() -> None:
    chain = graph(crossroads()).chain
    np.testing.assert_allclose(chain.r[chain.index("stop")], [5 / 105, 0, 100 / 105])
    np.testing.assert_allclose(chain.r[chain.index("rare:7")], [1, 0, 0])
    forgotten = graph(crossroads(), MiningRules(keep_pruned=False)).chain
    np.testing.assert_allclose(forgotten.r[forgotten.index("stop")], [1, 0, 0])
    whole = graph(crossroads(), MiningRules(min_moves=1)).chain
    np.testing.assert_allclose(whole.r[whole.index("stop")], [5 / 105, 0, 0])
    assert whole.q[whole.index("stop")].sum() == pytest.approx(100 / 105)


def test_a_state_with_rare_exits_only_is_kept_and_a_closed_circle_is_not() -> None:
    rows = [(user, 0.0, "lost", "lost", None) for user in range(2)]
    rows += [(user, 9.0, f"found {user}", "found", 1) for user in range(2)]
    for user in range(10, 14):  # round and round until the outcome is no longer known
        rows += [(user, 0.0, "a", "a", 0), (user, 9.0, "b", "b", 0), (user, 18.0, "a", "a", None)]
    log = pd.DataFrame(rows, columns=["device", "time", "text", "interpretation", "outcome"])
    chain = graph(log.astype({"outcome": "Int64"})).chain
    assert chain.states == ("found", "lost")
    np.testing.assert_allclose(chain.r, [[1, 0, 0], [0, 0, 1]])


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 6))
def test_pruning_never_raises_the_share_of_success(seed: int, least: int) -> None:
    """With "other", R+ is that of the whole graph, whatever is pruned; without, it can only be larger."""
    log = simulate(shop(), Users(), sessions=300, seed=seed)
    whole = graph(log, MiningRules(min_moves=1)).chain
    pruned = graph(log, MiningRules(min_moves=least)).chain
    forgetful = graph(log, MiningRules(min_moves=least, keep_pruned=False)).chain
    for place, state in enumerate(pruned.states):
        assert pruned.r[place, 0] == pytest.approx(whole.r[whole.index(state), 0])
    for place, state in enumerate(forgetful.states):
        assert forgetful.r[place, 0] >= whole.r[whole.index(state), 0] - 1e-12


@pytest.mark.parametrize(
    ("scorer", "expected"),
    [
        ("last-success", [0.6, 0.0]),
        ("best-path", [0.6, 0.0]),
        ("next-state", [0.6, 0.0]),
        ("last-state", [0.6, 0.4]),
    ],
)
def test_scores_by_hand(scorer: str, expected: list[float]) -> None:
    rules = MiningRules(scorer=scorer)
    made = graph(dragons())
    scores = score(made, np.array([made.texts.index("play maj")]), rules).toarray()[0]
    np.testing.assert_allclose(scores, expected)


def test_the_rewrite_and_its_gain_by_hand() -> None:
    """Success of "play imagine" is (12 + 1) / (12 + 2), of "play maj" 1 / 22."""
    proposed = mine(graph(dragons()), MiningRules())
    assert list(proposed.text) == ["play maj"]
    assert list(proposed.rewrite) == ["play imagine"]
    assert proposed.gain[0] == pytest.approx(13 / 14 - 1 / 22)


@pytest.mark.parametrize(
    "rules",
    [MiningRules(min_moves=13), MiningRules(min_texts=21), MiningRules(margin=0.9), MiningRules(depth=0)],
)
def test_each_rule_can_hold_the_rewrite_back(rules: MiningRules) -> None:
    assert mine(graph(dragons(), rules), rules).empty


def test_wilson_bounds_equal_scipy() -> None:
    """statsmodels and SciPy use the normal quantile 1.959964 for 95 %; ten digits agree."""
    z = 1.959963984540054
    for good, n in [(0, 5), (3, 7), (20, 20), (1, 1000)]:
        reference = binomtest(good, n).proportion_ci(0.95, method="wilson")
        low = wilson(np.array([float(good)]), np.array([float(n)]), z=z, side=-1.0)[0]
        high = wilson(np.array([float(good)]), np.array([float(n)]), z=z, side=1.0)[0]
        assert (low, high) == (
            pytest.approx(reference.low, abs=1e-10),
            pytest.approx(reference.high, abs=1e-10),
        )
    assert wilson(np.zeros(1), np.zeros(1), z=z, side=-1.0)[0] == 0


def test_wilson_margins_are_the_stricter_ones() -> None:
    made = graph(dragons())
    rules = MiningRules(wilson_z=1.0)
    assert (estimated_success(made, rules, side=-1.0) < estimated_success(made, rules, side=1.0)).all()
    assert mine(made, MiningRules(margin=0.8)).shape[0] == 1
    assert mine(made, MiningRules(margin=0.9, wilson_z=2.0)).empty


def test_a_log_without_known_ends_is_refused() -> None:
    log = dragons().assign(outcome=pd.array([None] * 32, dtype="Int64"))
    with pytest.raises(ValueError, match="no session ends with a known outcome; fill the outcome column"):
        graph(log)
    with pytest.raises(ValueError, match=f"scorer must be one of {', '.join(SCORERS)}; got 'best'"):
        mine(graph(dragons()), MiningRules(scorer="best"))


def test_chains_of_rewrites_are_resolved_and_cycles_dropped() -> None:
    assert resolve({"a": "b", "b": "c"}) == {"a": "c", "b": "c"}
    assert resolve({"a": "b", "b": "a", "x": "a", "y": "z"}) == {"y": "z"}


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(st.sampled_from("abcdefg"), st.sampled_from("abcdefg"), max_size=7))
def test_a_resolved_table_is_idempotent(table: dict[str, str]) -> None:
    final = resolve(table)
    assert resolve(final) == final
    assert all(value not in final for value in final.values())


def test_numbers_dates_and_blocked_intents_stay() -> None:
    assert changes_protected("set alarm for six", "set alarm for seven")
    assert changes_protected("meet on monday", "meet today")
    assert not changes_protected("call marta", "call martha")
    assert not changes_protected("set alarm four six", "set alarm fore six")
    proposed = pd.DataFrame(
        {
            "text": ["a", "b", "wake me at 6"],
            "rewrite": ["x", "y", "wake me at 7"],
            "state": ["play", "call|marta", "alarm"],
        }
    )
    assert guarded(proposed) == {"a": "x", "b": "y"}
    assert guarded(proposed, blocked=["call|"]) == {"a": "x"}


def test_sound_keys_join_what_sounds_alike() -> None:
    assert sound_key("call peter") == sound_key("kall beder".replace("b", "p"))
    assert sound_key("night") == sound_key("nite")
    assert sound_key("phone") == sound_key("fone")
    assert sound_key("play") != sound_key("stop")


def test_serving_switches_off_what_fails() -> None:
    table = ServingTable({"a": "x"}, {"a": (50, 100)})
    assert table.rewrite("a") == "x"
    assert table.rewrite("other") == "other"
    assert not table.report("other", wanted=False)
    switched = [table.report("a", wanted=False) for _ in range(6)]
    assert switched.count(True) == 1
    assert table.rewrite("a") == "a"
    assert better_without((0, 0), (0, 0)) == pytest.approx(0.5, abs=1e-2)
    assert better_without((9, 10), (1, 10)) < 0.01


def test_one_call_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    dragons().to_csv(path, index=False)
    table = rewrite_table(path)
    assert table[["text", "rewrite", "state", "n"]].to_dict("records") == [
        {"text": "play maj", "rewrite": "play imagine", "state": "play:imagine", "n": 20.0}
    ]
    assert rewrite_table(path, blocked=["play:"]).empty


def shop(confusion: float = 0.35, half: int = 0) -> Catalogue:
    return catalogue(request_world(seed=0, confusion=confusion), half=half, seed=0)


def test_the_halves_share_no_recording() -> None:
    world = request_world(seed=0)
    left, right = shop(half=0), shop(half=1)
    assert left.text.size + right.text.size == len(world.recordings)
    assert left.take_start[-1] == left.text.size
    assert left.wording_start[-1] == left.take_start.size - 1


def test_simulation_repeats_for_a_seed_and_keeps_its_shape() -> None:
    one, two = (simulate(shop(), Users(), sessions=300, seed=4) for _ in range(2))
    pd.testing.assert_frame_equal(one, two)
    assert one.turn.max() < Users().max_turns
    assert (one.groupby("session").turn.max() + 1 == one.groupby("session").size()).all()
    noisy = (one.outcome != one.success).mean()
    assert 0.01 < noisy < 0.10


def test_without_errors_mining_brings_nothing() -> None:
    perfect = shop(confusion=0.0)
    log = simulate(perfect, Users(ambiguity=0.0), sessions=3000, seed=1)
    assert log.success.all()
    assert mine(graph(log), MiningRules()).empty


def test_mined_rewrites_win_more_than_they_lose_on_unheard_recordings() -> None:
    proposed = mine(graph(simulate(shop(), Users(), sessions=6000, seed=1)), MiningRules())
    fresh = shop(half=1)
    requests = simulate(fresh, Users(), sessions=3000, seed=2)
    first = requests[requests.turn == 0]
    found = measures(judge(first, guarded(proposed), fresh.understanding))
    best = measures(judge(first, oracle(first, fresh), fresh.understanding))
    assert found["defect-cut"] > 0.05
    assert found["win-loss-pairs"] > 2
    assert best["defect-cut"] > found["defect-cut"]
    near = oracle(first, fresh, within=guarded(proposed))
    assert set(near) <= set(guarded(proposed))
    assert found["defect-cut"] <= measures(judge(first, near, fresh.understanding))["defect-cut"]
    near = nearest_successful(graph(simulate(shop(), Users(), sessions=6000, seed=1)))
    assert near
    assert all(a != b for a, b in near.items())


def test_live_rewrites_are_used_except_in_the_hold_out() -> None:
    world = shop()
    table = dict.fromkeys(set(world.text), "play north pier")
    live = simulate(world, Users(), sessions=400, seed=0, table=table)
    held = simulate(world, Users(), sessions=400, seed=0, table=table, hold_out=1.0)
    assert live.rewritten.mean() > 0.9
    assert not held.rewritten.any()


def test_measures_by_hand() -> None:
    judged = pd.DataFrame(
        {
            "text": ["a", "a", "b", "c", "d"],
            "before": [False, False, True, False, True],
            "after": [True, True, False, False, True],
            "rewritten": [True, True, True, False, False],
        }
    )
    got = measures(judged)
    assert got["win-loss-traffic"] == 2
    assert got["win-loss-pairs"] == 1
    assert got["win-share"] == 0.5
    assert got["defect-cut"] == pytest.approx(1 / 3)
    assert got["defect-cut-triggered"] == pytest.approx(1 / 2)
    assert got["coverage"] == pytest.approx(2 / 3)
    assert got["precision"] == pytest.approx(2 / 3)
    assert got["trigger-rate"] == pytest.approx(3 / 5)


def test_no_rewrites_have_a_ratio_of_one() -> None:
    judged = pd.DataFrame({"text": ["a"], "before": [False], "after": [False], "rewritten": [False]})
    got = measures(judged)
    assert got["win-loss-pairs"] == got["win-loss-traffic"] == 1
    assert got["win-share"] == 0.5
    assert got["coverage"] == got["precision"] == got["defect-cut-triggered"] == 0


def test_hearing_by_hand() -> None:
    log = pd.DataFrame({"text": ["a"] * 8 + ["b"] * 7})
    requests = pd.DataFrame({"text": ["b", "a", "c"]}, index=[5, 6, 7])
    found = hearing(requests, log, least=8)
    assert list(found) == ["rarely", "heard", "never"]
    assert list(found.index) == [5, 6, 7]


def test_a_ledger_by_hand() -> None:
    """Kept: a, right twice. Held back: b right once, c wrong once. Two goals share no text."""
    requests = pd.DataFrame(
        {
            "text": ["a", "a", "b", "c", "d"],
            "goal": ["A", "A", "B", "C", "D"],
            "success": [False, False, False, True, True],
        }
    )
    understanding = {"aa": "A", "bb": "B", "cc": "B"}
    proposed = {"a": "aa", "b": "bb", "c": "cc"}
    account = ledger(requests, {"a": "aa"}, proposed, understanding)
    assert account == {"right/kept": 2, "wrong/kept": 0, "right/held-back": 1, "wrong/held-back": 1}
    same = ledger(requests, proposed, proposed, understanding)
    assert same["right/held-back"] == same["wrong/held-back"] == 0


@pytest.mark.parametrize("remedy", REMEDIES)
def test_rounds_start_alike_and_report_shares(remedy: str) -> None:
    found = rounds(
        shop(), shop(half=1), Users(), MiningRules(), remedy=remedy, count_rounds=2, sessions=2500, seed=0
    )
    clean = rounds(
        shop(), shop(half=1), Users(), MiningRules(), remedy="plain", count_rounds=1, sessions=2500, seed=0
    )
    assert found.coverage[0] == clean.coverage[0] > 0
    assert found["live-defects"].between(0, 1).all()


def test_plain_mining_forgets_what_it_repaired_and_superposition_does_not() -> None:
    last = {}
    for remedy in ("plain", "superposition"):
        found = rounds(
            shop(), shop(half=1), Users(), MiningRules(), remedy=remedy, count_rounds=2, sessions=5000, seed=0
        )
        last[remedy] = found.coverage[1]
    assert last["superposition"] > last["plain"]


def test_what_is_never_served_is_never_forgotten() -> None:
    """Without serving, the log is that of users left alone, in every round."""
    arguments = {"count_rounds": 2, "sessions": 5000, "seed": 0}
    kept, plain = (
        rounds(shop(), shop(half=1), Users(), MiningRules(), remedy=remedy, **arguments)
        for remedy in ("unserved", "plain")
    )
    alone = simulate(shop(), Users(), sessions=5000, seed=1)
    assert kept["live-defects"][1] == pytest.approx(1 - alone.success.mean())
    assert kept.coverage[1] > plain.coverage[1]
    assert kept["live-defects"][1] > plain["live-defects"][1]


def test_unknown_remedies_are_refused() -> None:
    with pytest.raises(
        ValueError, match="remedy must be one of unserved, plain, hold-out, superposition; got 'hope'"
    ):
        rounds(shop(), shop(), Users(), MiningRules(), remedy="hope", count_rounds=1, sessions=10, seed=0)
