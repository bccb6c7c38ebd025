"""A reader's own embeddings: the table by hand, and refusals that name the row."""

from pathlib import Path

import numpy as np
import pytest

from echobook.data.text_files import MalformedRow
from echobook.metrics.verification import Trials, equal_error
from echobook.papers.adversarial_reweighting.own_data import verify_embeddings

HEAD = "utterance,speaker,group,x,y"


def write(path: Path, rows: list[str], head: str = HEAD) -> Path:
    path.write_text("\n".join([head, *rows]) + "\n", encoding="utf-8")
    return path


def good_rows(seed: int = 0) -> list[str]:
    """Four speakers of two groups, three utterances each."""
    rng = np.random.default_rng(seed)
    rows = []
    for number, speaker in enumerate("abcd"):
        for take in range(3):
            x, y = np.array([np.cos(number), np.sin(number)]) + 0.2 * rng.normal(size=2)
            rows.append(f"{speaker}{take},{speaker},{'first' if number < 2 else 'second'},{x:.4f},{y:.4f}")
    return rows


def test_all_pairs_by_a_loop(tmp_path: Path) -> None:
    rows = good_rows()
    found = verify_embeddings(write(tmp_path / "own.csv", rows))
    table = found.table.set_index("group")
    assert list(table.index) == ["all", "first", "second"]
    assert table.loc["all", "genuine"] == 12
    assert table.loc["all", "impostor"] == 66 - 12
    assert table.loc["first", "impostor"] == 9
    split = [row.split(",") for row in rows]
    scores, genuine = [], []
    for i, one in enumerate(split):
        for other in split[i + 1 :]:
            u, v = np.array(one[3:], dtype=float), np.array(other[3:], dtype=float)
            scores.append(u @ v / np.linalg.norm(u) / np.linalg.norm(v))
            genuine.append(one[1] == other[1])
    rate = equal_error(Trials(np.array(scores), np.array(genuine)).curve()).rate
    assert table.loc["all", "EER"] == pytest.approx(rate, abs=1e-12)
    rates = table.EER[["first", "second"]]
    assert found.gap == pytest.approx(abs(rates.iloc[0] - rates.iloc[1]))
    assert found.spread == pytest.approx(found.gap / 2)


def test_a_list_of_claims(tmp_path: Path) -> None:
    path = write(tmp_path / "own.csv", good_rows())
    claims = write(
        tmp_path / "trials.csv",
        [f"{speaker},{name}{take}" for speaker in "abcd" for name in "abcd" for take in range(3)],
        "speaker,utterance",
    )
    table = verify_embeddings(path, claims).table.set_index("group")
    assert table.loc["all", "genuine"] == 12
    assert table.loc["all", "impostor"] == 36
    assert table.loc["first", "impostor"] == 6


def test_only_test_rows_are_judged(tmp_path: Path) -> None:
    rows = [row.replace(",", ",", 1) + ",test" for row in good_rows()]
    rows += ["z0,z,first,1,0,train", "z1,z,first,1,0,train"]
    found = verify_embeddings(write(tmp_path / "own.csv", rows, HEAD + ",split"))
    assert found.table.genuine[0] == 12


def refuse(tmp_path: Path, rows: list[str], match: str, head: str = HEAD) -> None:
    with pytest.raises(MalformedRow, match=match):
        verify_embeddings(write(tmp_path / "own.csv", rows, head))


def test_refusals_name_the_row(tmp_path: Path) -> None:
    rows = good_rows()
    refuse(
        tmp_path, [*rows, "e0,e,first,nan,1"], "own.csv:14: expected a finite number in column x, got 'nan'"
    )
    refuse(tmp_path, [*rows, "e0,e,first,one,1"], "own.csv:14: expected numbers")
    refuse(tmp_path, [*rows, "e0,e,first,0,0"], "own.csv:14: expected an embedding that is not zero")
    refuse(tmp_path, [*rows, "a0,a,first,1,1"], "own.csv:14: expected each utterance once")
    refuse(tmp_path, [*rows, "e0,,first,1,1"], "own.csv:14: expected 5 fields")
    refuse(tmp_path, [*rows, "e0,e,first,1"], "own.csv:14: expected 5 fields")
    refuse(tmp_path, [*rows, "a9,a,second,1,1"], "own.csv:14: expected speaker a in one group")
    refuse(tmp_path, rows, "own.csv:1: expected the columns", "utterance,who,group,x,y")
    split = [row + ",test" for row in rows]
    refuse(
        tmp_path,
        [*split, "a9,a,first,1,1,train"],
        "own.csv:14: expected speaker a in one split",
        HEAD + ",split",
    )


def test_refusals_of_claims(tmp_path: Path) -> None:
    path = write(tmp_path / "own.csv", good_rows())
    for row, match in (
        ("x,a0", "trials.csv:2: expected a speaker with a judged embedding, got 'x'"),
        ("a,x9", "trials.csv:2: expected a utterance with a judged embedding, got 'x9'"),
    ):
        claims = write(tmp_path / "trials.csv", [row], "speaker,utterance")
        with pytest.raises(MalformedRow, match=match):
            verify_embeddings(path, claims)
    single = write(tmp_path / "single.csv", [*good_rows(), "e0,e,first,1,1"])
    claims = write(tmp_path / "trials.csv", ["e,e0"], "speaker,utterance")
    with pytest.raises(MalformedRow, match="another utterance of speaker e"):
        verify_embeddings(single, claims)


def test_constant_scores_and_empty_groups(tmp_path: Path) -> None:
    rows = [",".join([*row.split(",")[:3], "1", "0"]) for row in good_rows()]
    with pytest.raises(ValueError, match="group 'all': trials: all 66 scores are 1; constant scores"):
        verify_embeddings(write(tmp_path / "own.csv", rows))
    alone = [*good_rows(), "e0,e,third,1,1", "e1,e,third,1,0.9"]
    with pytest.raises(ValueError, match="group 'third': trials: none of 1 is impostor"):
        verify_embeddings(write(tmp_path / "own.csv", alone))
    with pytest.raises(ValueError, match="found none"):
        verify_embeddings(write(tmp_path / "own.csv", []))
    with pytest.raises(ValueError, match="at least two speakers"):
        verify_embeddings(write(tmp_path / "own.csv", good_rows()[:3]))
