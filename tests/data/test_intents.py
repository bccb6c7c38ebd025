"""IntentCorpus: preparation against a slow oracle, validation, refusals; real corpora where present."""

import json
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from echobook.data import intents, names, pronunciations, qa, slurp
from echobook.data.intent_sources import SOURCES, CorpusError, snake_case
from echobook.data.intents import (
    SPLITS,
    IntentCorpus,
    build_corpus,
    check_counts,
    load_intents,
    load_sentences,
    normal_form,
)
from echobook.data.registry import dataset_rows
from echobook.data.text_files import MalformedRow
from echobook.data.types import DatasetUse


def use(counts: dict[str, int]) -> DatasetUse:
    return DatasetUse("toy", "1", "0" * 64, "CC0-1.0 (generated)", counts, "tests")


def frame(*rows: tuple[str, str, str, str]) -> pd.DataFrame:
    return pd.DataFrame(list(rows), columns=["text", "intent", "domain", "split"])


ROWS = (
    ("wake me", "alarm_set", "alarm", "train"),
    ("rain today", "weather", "weather", "test"),
    ("who won", "oos", "oos", "oos-test"),
)
COUNTS = {"train": 1, "test": 1, "oos-test": 1}


def test_properties() -> None:
    corpus = IntentCorpus("toy", frame(*ROWS), use(COUNTS))
    assert corpus.intents == ["alarm_set", "weather"]
    assert corpus.domain_of == {"alarm_set": "alarm", "weather": "weather"}
    assert corpus.rows("oos-test", "test")["text"].tolist() == ["rain today", "who won"]
    assert corpus.rows("test").index.tolist() == [0]
    with pytest.raises(CorpusError, match="toy has no split 'validation'; it has"):
        corpus.rows("validation")


@pytest.mark.parametrize(
    ("rows", "counts", "message"),
    [
        ([*ROWS, ("Wake  ME", "weather", "weather", "test")], COUNTS, "row 3 repeats an earlier text"),
        ([*ROWS, ("x", "weather", "alarm", "test")], COUNTS, "intent 'weather' lies in 2 domains"),
        ([*ROWS, ("x", "weather", "weather", "dev")], COUNTS, "unknown split 'dev'"),
        ([*ROWS, (" ", "weather", "weather", "test")], COUNTS, "row 3, column text"),
        ([*ROWS, ("x", None, "weather", "test")], COUNTS, "row 3, column intent"),
        ([*ROWS, ("x", "oos", "oos", "test")], COUNTS, "row 3: intent 'oos' belongs to the oos splits"),
        ([*ROWS, ("x", "weather", "weather", "oos-test")], COUNTS, "row 3: intent 'oos' belongs"),
        (list(ROWS), COUNTS | {"train": 2}, "its DatasetUse states"),
    ],
)
def test_refuses(rows: list[tuple[str, str, str, str]], counts: dict[str, int], message: str) -> None:
    with pytest.raises(CorpusError, match=message):
        IntentCorpus("toy", frame(*rows), use(counts))


def test_refuses_other_columns() -> None:
    with pytest.raises(CorpusError, match="expected the columns"):
        IntentCorpus("toy", frame(*ROWS).rename(columns={"intent": "label"}), use(COUNTS))


def test_preparation_by_hand() -> None:
    splits = {
        "test": [("Set  an alarm ", "a", "d"), ("new", "b", "d")],
        "train": [
            ("set an ALARM", "a", "d"),
            ("two", "a;b", "d"),
            ("two", "b", "d"),
            ("set an alarm", "b", "d"),
        ],
    }
    corpus = build_corpus("toy", splits, use)
    assert corpus.frame.values.tolist() == [
        ["set an ALARM", "a", "d", "train"],
        ["two", "b", "d", "train"],
        ["new", "b", "d", "test"],
    ]
    assert corpus.dropped == {
        "duplicate, another intent": 1,
        "duplicate, same intent": 1,
        "several intents": 1,
    }
    assert list(corpus.use.rows) == ["train", "test"]


TRIPLES = st.lists(
    st.tuples(st.sampled_from(["x", "X", " y", "y  z", "Y z", "w"]), st.sampled_from("abc;")), max_size=8
)


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(st.sampled_from(SPLITS[:3]), TRIPLES))
def test_preparation_against_a_loop(parts: dict[str, list[tuple[str, str]]]) -> None:
    splits = {split: [(text, intent, "d") for text, intent in rows] for split, rows in parts.items()}
    expected: list[tuple[str, str]] = []
    for split in ("train", "validation", "test"):
        for text, intent in parts.get(split, []):
            taken = [" ".join(other.lower().split()) for other, _ in expected]
            if intent != ";" and " ".join(text.lower().split()) not in taken:
                expected.append((text, intent))
    corpus = build_corpus("toy", splits, use)
    assert corpus.frame["text"].map(normal_form).tolist() == [normal_form(text) for text, _ in expected]
    assert corpus.frame["intent"].tolist() == [intent for _, intent in expected]
    assert len(corpus.frame) + sum(corpus.dropped.values()) == sum(map(len, parts.values()))


@pytest.mark.parametrize(
    ("label", "expected"),
    [
        ("AddToPlaylist", "add_to_playlist"),
        ("checkSunrise", "check_sunrise"),
        ("visual-studio", "visual_studio"),
        ("cancel_alarm", "cancel_alarm"),
        (" osx ", "osx"),
        ("bash 2", "bash_2"),
    ],
)
def test_snake_case(label: str, expected: str) -> None:
    assert snake_case(label) == expected


def test_counts_are_checked() -> None:
    check_counts("toy", {"train": 1}, {"train": 1})
    with pytest.raises(
        CorpusError, match=r"toy: expected rows \{'train': 2\} before preparation, got \{'train': 1\}"
    ):
        check_counts("toy", {"train": 1}, {"train": 2})


def test_unknown_names() -> None:
    with pytest.raises(CorpusError, match="unknown intent corpus 'clinc'; known: atis, clinc150"):
        load_intents("clinc")
    with pytest.raises(CorpusError, match="unknown sentence list 'wiki'"):
        load_sentences("wiki")


def test_tagged_corpora_labels(tmp_path: Path) -> None:
    for file in ("train", "valid", "test"):
        (tmp_path / file).write_text(f"{file}:O <=> atis_flight;atis_flight_no\n")
    assert SOURCES["atis"].read(tmp_path)["validation"] == [("valid", "flight;flight_no", "atis")]
    for file in ("train", "valid", "test"):
        (tmp_path / file).write_text(f"{file}:O <=> weather__checkSunset\n")
    assert SOURCES["fb_multilingual_en"].read(tmp_path)["test"] == [("test", "check_sunset", "weather")]
    (tmp_path / "train").write_text("x:O <=> find\n")
    with pytest.raises(CorpusError, match="expected a label 'domain__intent', got 'find'"):
        SOURCES["fb_multilingual_en"].read(tmp_path)


def test_clinc_form(tmp_path: Path) -> None:
    parts = {part: [["a", "pay"]] for part in ("train", "val", "test")}
    parts |= {part: [["b", "oos"]] for part in ("oos_train", "oos_val", "oos_test")}
    (tmp_path / "data_full.json").write_text(json.dumps(parts))
    (tmp_path / "domains.json").write_text(json.dumps({"bank": ["pay"]}))
    assert SOURCES["clinc150"].read(tmp_path)["oos-validation"] == [("b", "oos", "oos")]
    assert SOURCES["clinc150"].read(tmp_path)["train"] == [("a", "pay", "bank")]
    (tmp_path / "domains.json").write_text("{}")
    with pytest.raises(CorpusError, match=r"domains.json gives no domain for intent 'pay'"):
        SOURCES["clinc150"].read(tmp_path)
    (tmp_path / "domains.json").write_text("[]")
    with pytest.raises(MalformedRow, match="an object domain -> intents"):
        SOURCES["clinc150"].read(tmp_path)
    (tmp_path / "data_full.json").write_text("{}")
    (tmp_path / "domains.json").write_text("{}")
    with pytest.raises(CorpusError, match="expected the splits"):
        SOURCES["clinc150"].read(tmp_path)


def test_other_forms(tmp_path: Path) -> None:
    document = {"rasa_nlu_data": {"common_examples": [{"text": "dim it", "intent": "iot_hue_lightdim"}]}}
    (tmp_path / SOURCES["nlu_eval_hwu64"].files[0]).write_text(json.dumps(document))
    assert SOURCES["nlu_eval_hwu64"].read(tmp_path) == {"train": [("dim it", "iot_hue_lightdim", "iot")]}
    for file in SOURCES["stackoverflow20"].files:
        (tmp_path / file).write_text("text\tlabel\nwhy\tvisual-studio\n")
    assert SOURCES["stackoverflow20"].read(tmp_path)["test"] == [("why", "visual_studio", "stackoverflow20")]


def test_sentences_refuse_a_blank_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "all_wiki_sents.txt").write_text("one\n\nthree\n")
    monkeypatch.setattr(intents, "fetch", lambda name, files: tmp_path)
    with pytest.raises(MalformedRow, match=r"all_wiki_sents.txt:2: expected a sentence"):
        load_sentences()


def wiki(path: Path, lines: list[str]) -> None:
    (path / "all_wiki_sents.txt").write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def test_sentences_are_distinct_and_all_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intents, "fetch", lambda name, files: tmp_path)
    lines = ["First  one", "FIRST one", "Second", "first ONE ", *(f"line {k}" for k in range(14_746))]
    wiki(tmp_path, lines)
    sentences, used = load_sentences()
    assert set(sentences) == {"First one", "Second", *(f"line {k}" for k in range(14_746))}
    assert (used.name, used.rows, len(sentences)) == ("clinc150", {"train": 14_748}, 14_748)
    for wrong in (lines[:-1], [*lines, "one more"]):
        wiki(tmp_path, wrong)
        with pytest.raises(CorpusError, match=r"expected rows \{'train': 14750\} before preparation, got"):
            load_sentences()


def test_a_public_corpus_is_counted_before_and_after_preparation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(intents, "fetch", lambda name, files: tmp_path)
    for file, words in (("train", ["play", "Play", "stop"]), ("valid", ["play", "go"]), ("test", ["halt"])):
        (tmp_path / file).write_text("".join(f"{word}:O <=> PlayMusic\n" for word in words))
    stated = replace(SOURCES["snips"], rows={"train": 3, "validation": 2, "test": 1})
    monkeypatch.setitem(intents.SOURCES, "snips", stated)  # type: ignore[arg-type]
    corpus = load_intents("snips")
    assert corpus.frame.values.tolist() == [
        ["play", "play_music", "snips", "train"],
        ["stop", "play_music", "snips", "train"],
        ["go", "play_music", "snips", "validation"],
        ["halt", "play_music", "snips", "test"],
    ]
    assert corpus.dropped == {"duplicate, same intent": 2}
    assert (corpus.use.name, corpus.use.rows) == ("snips", {"train": 2, "validation": 1, "test": 1})
    (tmp_path / "test").write_text("halt:O <=> PlayMusic\nwait:O <=> PlayMusic\n")
    with pytest.raises(CorpusError, match=r"snips: expected rows .* before preparation"):
        load_intents("snips")


def test_every_file_a_loader_reads_is_registered() -> None:
    """A loader that asks for a file without a digest would have nothing to check it against."""
    read = {name: source.files for name, source in SOURCES.items()}
    read |= {"wikiqa": tuple(qa.WIKIQA_FILES.values()), "trecqa": tuple(qa.TRECQA_FILES.values())}
    read |= {"name_databases": tuple(names.FILES.values()), "cmudict": (pronunciations.FILE,)}
    read |= {"slurp": slurp.FILES}
    for dataset, files in read.items():
        assert [row.file for row in dataset_rows(dataset, files)] == list(files)
    assert dataset_rows("clinc150", ["all_wiki_sents.txt"])


# Intents and domains as the corpora's publishers count them; ATIS and SNIPS have no domains.
SHAPES = {
    "clinc150": (150, 10),
    "snips": (7, 1),
    "atis": (18, 1),
    "fb_multilingual_en": (12, 3),
    "nlu_eval_hwu64": (64, 18),
    "stackoverflow20": (20, 1),
}


@pytest.mark.parametrize("name", sorted(SOURCES))
def test_public_corpora(name: str, public: Path) -> None:
    corpus = load_intents(name)
    assert (len(corpus.intents), len(set(corpus.domain_of.values()))) == SHAPES[name]
    assert corpus.use.total + sum(corpus.dropped.values()) == sum(SOURCES[name].rows.values())
    assert not corpus.frame["intent"].str.contains(r"[;A-Z\s-]").any()
    pd.testing.assert_frame_equal(corpus.frame, load_intents(name).frame)


def test_public_sentences(public: Path) -> None:
    sentences, used = load_sentences()
    assert used.total == len(sentences) == len({sentence.lower() for sentence in sentences})
    assert all(sentence == " ".join(sentence.split()) for sentence in sentences)
