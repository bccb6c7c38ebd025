"""Loader of the deep-biasing files on a made folder, and every published score to 1e-9 on the real one."""

import json
from pathlib import Path

import pytest

from echobook.data.deep_bias import (
    REFERENCES,
    SYSTEMS,
    PublishedScore,
    load_deep_bias,
    read_common_words,
    read_hypotheses,
    read_references,
    read_scores,
)
from echobook.data.text_files import MalformedRow
from echobook.speech.biasing.scorer import biased_word_errors, total_biased

KINDS = ("WER", "U-WER", "B-WER")
SCORES = "".join(f"{kind}: error_rate=50.0, ref_words=2, subs=1, ins=0, dels=0\n" for kind in KINDS)


def folder(path: Path) -> Path:
    row = ["u1", "call bauer", json.dumps(["bauer"]), json.dumps(["jones", "smith"])]
    (path / REFERENCES).write_text("\t".join(row) + "\n")
    for file in SYSTEMS.values():
        (path / file).write_text("u1\tcall power\n")
        (path / f"{file}.result").write_text(SCORES)
    return path


def test_a_folder_is_read(tmp_path: Path) -> None:
    found = load_deep_bias(folder(tmp_path))
    assert found.references["u1"] == ("call bauer", frozenset({"bauer"}), ("jones", "smith"))
    assert found.hypotheses["trie biasing"] == {"u1": "call power"}
    assert found.published["no biasing"]["B-WER"] == PublishedScore(50.0, 2, 1, 0, 0)
    assert found.use.rows == {"test-clean": 1}


def test_broken_lines_are_named(tmp_path: Path) -> None:
    path = tmp_path / "rows.tsv"
    path.write_text('u1\ttext\t["a"]\t["b"]\nu2\ttext\n')
    with pytest.raises(MalformedRow, match=r"rows.tsv:2: expected utterance, text and two JSON lists"):
        read_references(path)
    path.write_text("u1\ta b\tc\n")
    with pytest.raises(MalformedRow, match=r"rows.tsv:1: expected utterance<TAB>text"):
        read_hypotheses(path)
    path.write_text("WER: 3\n")
    with pytest.raises(MalformedRow, match=r"rows.tsv:1: expected WER: error_rate="):
        read_scores(path)
    path.write_text(SCORES.splitlines()[0] + "\n")
    with pytest.raises(MalformedRow, match="expected the lines WER, U-WER and B-WER"):
        read_scores(path)


def test_an_empty_hypothesis_is_kept_and_a_missing_one_refused(tmp_path: Path) -> None:
    folder(tmp_path)
    (tmp_path / SYSTEMS["no biasing"]).write_text("u1\n")
    assert load_deep_bias(tmp_path).hypotheses["no biasing"] == {"u1": ""}
    (tmp_path / SYSTEMS["no biasing"]).write_text("u2\tcall\n")
    with pytest.raises(ValueError, match="no hypothesis for utterance u1"):
        load_deep_bias(tmp_path)


def test_our_scorer_gives_the_published_scores(public: Path) -> None:
    data = load_deep_bias(public / "fbai_deep_bias")
    names = list(data.references)
    rows = [data.references[name] for name in names]
    for system, published in data.published.items():
        heard = [data.hypotheses[system][name] for name in names]
        found = biased_word_errors([r.text for r in rows], heard, [r.biased for r in rows])
        for kind, counts in zip(KINDS, total_biased(found), strict=True):
            score = published[kind]
            assert 100 * counts.rate == pytest.approx(score.rate, abs=1e-9)
            assert (counts.words, counts.substitutions) == (score.words, score.substitutions)
            assert (counts.insertions, counts.deletions) == (score.insertions, score.deletions)


def test_common_words_come_by_rank(public: Path) -> None:
    words = read_common_words(public / "fbai_deep_bias")
    assert (len(words), words[:3]) == (5000, ("the", "and", "of"))
