"""Logs in pieces and at uneven times, two further scorers, names, and one call from any source of a log."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from echobook.data.generators.requests import request_world
from echobook.papers.self_learning.baselines import nearest_successful
from echobook.papers.self_learning.material import Catalogue, Users, catalogue, simulate, uneven, write_log
from echobook.papers.self_learning.method import MiningRules, mine, score, session_graph
from echobook.papers.self_learning.own_data import rewrite_table
from echobook.sessions.backends import duckdb_table
from echobook.sessions.program import COLUMNS, count


def shop() -> Catalogue:
    return catalogue(request_world(seed=0), half=0, seed=0)


def log(*rows: tuple) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=list(COLUMNS))


def dragons(wrong: str = "play maj", right: str = "play imagine") -> pd.DataFrame:
    """Twenty say the wrong words, twelve of them then the right ones."""
    first = [(user, 0.0, wrong, wrong.replace(" ", ":"), 0) for user in range(20)]
    return log(*first, *[(user, 9.0, right, right.replace(" ", ":"), 1) for user in range(12)])


def test_a_log_in_pieces_has_the_turns_asked_for_and_no_shared_device(tmp_path: Path) -> None:
    write_log(shop(), Users(), tmp_path / "log", turns=2500, seed=3, part=1000)
    pieces = [pd.read_parquet(path) for path in sorted((tmp_path / "log").iterdir())]
    assert [len(piece) for piece in pieces] == [1000, 1000, 500]
    assert all(tuple(piece.columns) == COLUMNS for piece in pieces)
    devices = [set(piece.device) for piece in pieces]
    assert not devices[0] & devices[1] | devices[1] & devices[2]
    write_log(shop(), Users(), tmp_path / "copy", turns=2000, seed=3, part=1000, fresh=0.0)
    copies = [pd.read_parquet(path) for path in sorted((tmp_path / "copy").iterdir())]
    assert copies[0].text.equals(copies[1].text)
    assert pieces[0].equals(copies[0])


def test_texts_and_states_grow_with_the_log(tmp_path: Path) -> None:
    """Half of the devices of each further part speak of things of their own, in text and interpretation."""
    write_log(shop(), Users(), tmp_path / "log", turns=3000, seed=3, part=1000)
    first, second, third = (pd.read_parquet(path) for path in sorted((tmp_path / "log").iterdir()))
    own = second.text.str.endswith(" of 1")
    assert 0.4 < own.mean() < 0.6
    assert (own == second.interpretation.str.endswith(" of 1")).all()
    assert own.groupby(second.device).nunique().max() == 1
    assert second.text[~own].equals(first.text[~own])
    assert third.text[own].str.endswith(" of 2").all()
    new = [len(set(part.text) - set(first.text)) for part in (second, third)]
    assert min(new) > 0.4 * first.text.nunique()


def test_a_log_in_pieces_keeps_sessions_whole(tmp_path: Path) -> None:
    """The piece holds all moves of the first simulated sessions, one device's neighbours included."""
    write_log(shop(), Users(), tmp_path / "log", turns=1000, seed=3)
    whole = simulate(shop(), Users(), sessions=1000, seed=3)
    kept = whole[whole.session < 600]
    written = count(duckdb_table(tmp_path / "log"), gap_s=45.0)
    direct = count(duckdb_table(kept[list(COLUMNS)]), gap_s=45.0)
    together = direct.moves.merge(written.moves, on=["state", "following"], suffixes=("", "_written"))
    assert len(together) == len(direct.moves) > 20
    assert (together.n_written >= together.n).all()


def test_uneven_times_keep_order_and_have_the_stated_median() -> None:
    made = uneven(simulate(shop(), Users(), sessions=8000, seed=1), seed=0)
    silence = made.groupby("device").time.diff()
    assert (silence.dropna() > 0).all()
    assert silence[made.turn > 0].median() == pytest.approx(12, rel=0.1)
    assert silence[made.turn == 0].dropna().mean() == pytest.approx(600, rel=0.1)
    assert made.groupby("session").turn.is_monotonic_increasing.all()


def test_a_gap_too_short_cuts_and_one_too_long_joins() -> None:
    made = uneven(simulate(shop(), Users(), sessions=4000, seed=1), seed=0)[list(COLUMNS)]
    moves = [int(count(duckdb_table(made), gap_s=gap).moves.n.sum()) for gap in (2.0, 45.0, 3600.0)]
    assert moves[0] < 0.2 * moves[1]
    assert moves[2] > 1.5 * moves[1]


@pytest.mark.parametrize(("scorer", "expected"), [("next-success", 0.6), ("absorption-gain", 0.4)])
def test_the_further_scorers_by_hand(scorer: str, expected: float) -> None:
    """Success is certain from "imagine" and 0.6 from "maj": the next step 0.6 x 1, the gain 1 - 0.6."""
    graph = session_graph(count(duckdb_table(dragons()), gap_s=45.0), MiningRules())
    row = np.array([graph.texts.index("play maj")])
    scores = score(graph, row, MiningRules(scorer=scorer)).toarray()[0]
    np.testing.assert_allclose(scores, [expected, 0.0], atol=1e-12)
    assert list(mine(graph, MiningRules(scorer=scorer)).rewrite) == ["play imagine"]


def test_sounds_find_what_letters_miss() -> None:
    frame = dragons("fone kate now", "phone cait now")
    graph = session_graph(count(duckdb_table(frame), gap_s=45.0), MiningRules())
    assert nearest_successful(graph, by_sound=True) == {"fone kate now": "phone cait now"}
    assert nearest_successful(graph) == {}


def test_names_are_kept_unless_they_sound_alike() -> None:
    assert rewrite_table(dragons("call anna", "call berta"), names=["Anna", "berta"]).empty
    assert len(rewrite_table(dragons("call anna", "call berta"))) == 1
    assert len(rewrite_table(dragons("call marta", "call martha"), names=["marta", "martha"])) == 1


def test_one_call_from_frames_paths_texts_and_tables(tmp_path: Path) -> None:
    expected = rewrite_table(dragons())
    dragons().to_csv(tmp_path / "log.csv", index=False)
    stamped = dragons().assign(
        time=pd.Timestamp("2026-03-01 10:00") + pd.to_timedelta(dragons().time, unit="s")
    )
    stamped.to_csv(tmp_path / "stamped.csv", index=False)
    stamped.to_parquet(tmp_path / "stamped.parquet", index=False)
    sources = [str(tmp_path / "log.csv"), tmp_path / "stamped.csv", str(tmp_path / "stamped.parquet")]
    for source in [*sources, stamped, duckdb_table(tmp_path / "log.csv")]:
        pd.testing.assert_frame_equal(rewrite_table(source), expected)
