"""Both spellings of a letter are one text wherever texts are compared: one case for each such place."""

import json
import unicodedata

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from echobook.data.deep_bias import read_references
from echobook.data.intent_sources import snake_case
from echobook.data.intents import normal_form
from echobook.data.qa import check_rows, read_candidates, read_trecqa
from echobook.data.qa_transfer import transfer_pairs
from echobook.data.requests import frame_name
from echobook.data.slots import tag_characters
from echobook.data.slurp import normalise
from echobook.data.text_files import MalformedRow, read_json_pairs, read_lines, read_rasa
from echobook.data.unicode import nfc
from echobook.metrics.wer import word_error_rate
from echobook.papers.contextual_asr.baselines import choices
from echobook.papers.dp_sgd_nlu.own_data import read_marked
from echobook.papers.self_learning.baselines import rephrase_pairs
from echobook.papers.self_learning.evaluation import judge
from echobook.papers.self_learning.guardrails import ServingTable, changes_protected, guarded, sound_key
from echobook.sessions.backends import duckdb_table
from echobook.sessions.program import count
from echobook.speech.biasing.catalogues import Entry, catalogue
from echobook.speech.biasing.lexicon import Lexicon
from echobook.speech.biasing.scorer import count_biased_errors
from echobook.speech.biasing.search import Candidate
from echobook.speech.corpora import WordLabels
from echobook.text.lexical import words

ONE, TWO = "caf\u00e9", "cafe\u0301"  # they look alike
LOG = {"device": "a", "time": [1.0, 2.0], "interpretation": [f"x:{ONE}", f"x:{TWO}"], "outcome": [0, 1]}


def test_the_two_spellings_differ_until_composed():
    assert ONE != TWO
    assert nfc(TWO) == nfc(ONE) == ONE
    assert nfc("\ufb01\uff21") == "\ufb01\uff21", "what looks different stays different"


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=12))
def test_composing_is_idempotent_and_blind_to_the_spelling(text):
    assert nfc(nfc(text)) == nfc(text) == nfc(unicodedata.normalize("NFD", text))


LEXICON = Lexicon({TWO: (1, 2), "bar": (3,)}, {TWO: -1.0, "bar": -2.0})
SAME = {
    "wer": lambda a: word_error_rate([f"un {ONE}"], [f"un {a}"]),
    "biased words": lambda a: count_biased_errors(f"un {ONE}", f"un {a}", {TWO}),
    "lexicon": lambda a: (LEXICON.labels(a), LEXICON.log_prior(a)),
    "catalogue": lambda a: catalogue([[Entry(a, "x")]], LEXICON.words, ["x"]).labels,
    "word classes": lambda a: WordLabels(("bar", TWO)).encode(a),
    "lexical words": lambda a: words(f"Le {a.title()}"),
    "intents": lambda a: (normal_form(a.upper()), snake_case(a)),
    "frames": lambda a: frame_name("go", {"to": a}),
    "slurp": lambda a: normalise(f"{a} <unk>"),
    "slots": lambda a: tag_characters(f"to {a} now", [(3, 3 + len(a), "place")], "go"),
    "own slots": lambda a: read_marked(f"to [{a}](place) now", a, "row 1"),
    "sounds": sound_key,
    "protected": lambda a: changes_protected(ONE, a, {TWO}),
    "guarded": lambda a: guarded(pd.DataFrame({"text": [a], "rewrite": ["bar"], "state": ["x"]})),
    "serving": lambda a: ServingTable({ONE: "bar"}, {}).rewrite(a),
    "reporting": lambda a: ServingTable({ONE: "bar"}, {}, confidence=-1.0).report(a, wanted=False),
    "judged": lambda a: judge(
        pd.DataFrame({"text": [a], "goal": ["g"], "success": [False]}), {ONE: "bar"}, {"bar": "g"}
    ).after.tolist(),
    "rescoring": lambda a: choices([[Candidate(ONE, 0.0, 0.0, 0.0, 0.0)]], [()], [a])[0].right,
    "rephrased": lambda a: rephrase_pairs(pd.DataFrame({**LOG, "text": [ONE, a]}), gap_s=45.0),
    "transfer": lambda a: len(
        transfer_pairs([("s", ONE), ("s", a), ("t", "q"), ("u", "q")], negatives=1, kind="random")
    ),
}


@pytest.mark.parametrize("place", SAME)
def test_both_spellings_give_the_same(place):
    assert SAME[place](TWO) == SAME[place](ONE)


def test_without_error_means_without_error():
    assert SAME["wer"](TWO) == 0
    assert SAME["rescoring"](TWO) == 0
    assert SAME["serving"](TWO) == "bar"
    assert SAME["reporting"](TWO) is True
    assert SAME["judged"](TWO) == [True]
    assert SAME["rephrased"](TWO) == []


@pytest.mark.parametrize("by_text", [False, True])
def test_a_log_counts_both_spellings_as_one(by_text):
    frame = pd.DataFrame({**LOG, "text": [ONE, TWO]})
    found = count(duckdb_table(frame), gap_s=45.0, by_text=by_text)
    assert found.emissions.text.tolist() == [ONE]
    assert found.emissions.n.tolist() == [2]
    assert found.moves.empty


def test_readers_compose_what_they_read(tmp_path):
    (tmp_path / "a.txt").write_text(f"{TWO}\n")
    assert list(read_lines(tmp_path / "a.txt")) == [(1, ONE)]
    (tmp_path / "a.json").write_text(json.dumps({"train": [[TWO, TWO]]}))  # escaped: \u0301
    assert read_json_pairs(tmp_path / "a.json")["train"][0] == (ONE, ONE)
    rasa = {"rasa_nlu_data": {"common_examples": [{"text": TWO, "intent": "x"}]}}
    (tmp_path / "b.json").write_text(json.dumps(rasa))
    assert read_rasa(tmp_path / "b.json")[0].text == ONE
    (tmp_path / "b.tsv").write_text(f"u1\t{TWO}\t{json.dumps([TWO])}\t{json.dumps(['x', TWO])}\n")
    assert read_references(tmp_path / "b.tsv")["u1"] == (ONE, frozenset({ONE}), ("x", ONE))


def test_questions_join_by_either_spelling(tmp_path):
    path = tmp_path / "mine.csv"
    path.write_text(f"question,candidate,label\nle {ONE}?,a,1\nle {TWO}?,b,0\n", encoding="utf-8")
    assert read_candidates(path).question_id.nunique() == 1
    candidates = [{"sentence": TWO, "label": 1}, {"sentence": ONE, "label": 0}]
    (tmp_path / "t.jsonl").write_text(json.dumps({"question": "q", "candidates": candidates}) + "\n")
    with pytest.raises(MalformedRow, match="one label for each candidate"):
        read_trecqa(tmp_path / "t.jsonl", prefix="p")
    rows = [(1, "q", TWO, "a", 1), (2, "q", ONE, "b", 0)]
    assert [row[2] for row in check_rows(path, rows)] == [ONE, ONE]


def test_a_lexicon_refuses_a_word_in_two_spellings():
    with pytest.raises(ValueError, match=f"'{ONE}' is listed in two spellings"):
        Lexicon({ONE: (1,), TWO: (2,)}, {ONE: 0.0, TWO: 0.0})
