"""Question-answer loaders: small files by hand, refusals with file and line, the public counts."""

import gzip
import json
from collections import Counter

import numpy as np
import pandas as pd
import pytest

from echobook.data import qa, qa_transfer
from echobook.data.qa import (
    COLUMNS,
    WIKIQA_HEADER,
    load_trecqa,
    load_wikiqa,
    read_candidates,
    read_trecqa,
    read_wikiqa,
    to_frame,
)
from echobook.data.qa_transfer import load_squad_nqg, read_sentence_pairs, restore, transfer_pairs
from echobook.data.text_files import MalformedRow
from echobook.metrics.question_modes import mode_mask
from echobook.metrics.ranking import rank_questions
from echobook.text.lexical import bm25, idf_overlap


def wikiqa_line(id_="Q1", question="who ?", sentence="a  man .", label="1"):
    return "\t".join([id_, question, "D1", "Title", "D1-0", sentence, label])


def write_wikiqa(path, *lines):
    path.write_bytes(("\r\n".join(["\t".join(WIKIQA_HEADER), *lines]) + "\r\n").encode())
    return path


def write_trecqa(path, *records):
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


def record(*pairs, question="who ?"):
    return {"question": question, "candidates": [{"sentence": s, "label": y} for s, y in pairs]}


def test_wikiqa_rows(tmp_path):
    lines = (wikiqa_line(), wikiqa_line(sentence='say "no" .', label="0"))
    plain = write_wikiqa(tmp_path / "a.tsv", *lines)
    packed = tmp_path / "a.tsv.gz"
    packed.write_bytes(gzip.compress(plain.read_bytes()))
    expected = [(2, "Q1", "who ?", "a man .", 1), (3, "Q1", "who ?", 'say "no" .', 0)]
    assert read_wikiqa(plain) == read_wikiqa(packed) == expected
    frame = to_frame({"test": expected})
    assert tuple(frame.columns) == COLUMNS
    assert frame["label"].dtype == np.int64


def test_trecqa_rows_are_grouped_by_line(tmp_path):
    path = write_trecqa(tmp_path / "t.jsonl", record(("x", 1), ("y", 0)), record(("x", 0)))
    assert [row[1:] for row in read_trecqa(path, prefix="test")] == [
        ("test-1", "who ?", "x", 1),
        ("test-1", "who ?", "y", 0),
        ("test-2", "who ?", "x", 0),
    ]


HEADER = "QuestionID\tQuestion\tDocumentID\tDocumentTitle\tSentenceID\tSentence\tLabel"


@pytest.fixture
def local(tmp_path, monkeypatch):
    """A folder that stands for the verified one; the names asked for are kept."""
    asked = []

    def found(dataset, *, files):
        asked.append((dataset, tuple(files)))
        return tmp_path

    for module in (qa, qa_transfer):
        monkeypatch.setattr(module, "fetch", found)
    return tmp_path, asked


def test_wikiqa_splits_come_from_their_files(local):
    folder, asked = local
    for part, label in (("train", 1), ("dev", 0), ("test", 1)):
        text = "\n".join([HEADER, f"Q7\tin {part} ?\tD1\tTitle\tD1-0\tthe sentence\t{label}"])
        (folder / f"WikiQA-{part}.tsv.gz").write_bytes(gzip.compress(text.encode()))
    corpus = load_wikiqa()
    assert asked == [("wikiqa", ("WikiQA-train.tsv.gz", "WikiQA-dev.tsv.gz", "WikiQA-test.tsv.gz"))]
    assert corpus.frame.values.tolist() == [
        ["Q7", "in train ?", "the sentence", 1, "train"],
        ["Q7", "in dev ?", "the sentence", 0, "validation"],
        ["Q7", "in test ?", "the sentence", 1, "test"],
    ]
    assert corpus.rows("validation").index.tolist() == [0]
    assert (corpus.name, corpus.use.name, corpus.dropped) == ("wikiqa", "wikiqa", {})
    assert corpus.use.rows == {"train": 1, "validation": 1, "test": 1}
    with pytest.raises(
        ValueError, match=r"wikiqa has no split 'dev'; it has \['train', 'validation', 'test'\]"
    ):
        corpus.rows("dev")


def write_trec_parts(folder, train, train_all=()):
    write_trecqa(folder / "train-filtered.jsonl", *train)
    write_trecqa(folder / "dev-filtered.jsonl", record(("d", 1)))
    write_trecqa(folder / "test-filtered.jsonl", record(("e", 0)), record(("f", 1)))
    packed = "".join(json.dumps(each) + "\n" for each in train_all).encode()
    (folder / "train-all-filtered.jsonl.gz").write_bytes(gzip.compress(packed))


def test_trecqa_splits_come_from_their_files(local):
    folder, asked = local
    write_trec_parts(folder, [record(("x", 1), ("y", 0))])
    corpus = load_trecqa()
    assert asked == [("trecqa", ("train-filtered.jsonl", "dev-filtered.jsonl", "test-filtered.jsonl"))]
    assert corpus.frame[["question_id", "candidate", "label", "split"]].values.tolist() == [
        ["train-1", "x", 1, "train"],
        ["train-1", "y", 0, "train"],
        ["validation-1", "d", 1, "validation"],
        ["test-1", "e", 0, "test"],
        ["test-2", "f", 1, "test"],
    ]
    assert (corpus.use.rows, corpus.dropped) == ({"train": 2, "validation": 1, "test": 2}, {})


def test_candidates_labelled_both_ways_leave_the_automatic_set_only(local):
    folder, asked = local
    both = record(("x", 1), ("keep", 1), ("x", 0), ("x", 1), question="who ?")
    other = record(("x", 1), ("keep", 0), question="what ?")
    write_trec_parts(folder, [record(("x", 1))], [both, other])
    corpus = load_trecqa(train="train-all")
    assert asked[0][1][0] == "train-all-filtered.jsonl.gz"
    assert corpus.rows("train")[["question_id", "candidate", "label"]].values.tolist() == [
        ["train-all-1", "keep", 1],
        ["train-all-2", "x", 1],
        ["train-all-2", "keep", 0],
    ]
    assert corpus.dropped == {"labelled both ways": 3}
    assert corpus.use.rows["train"] == 3
    write_trec_parts(folder, [both])
    with pytest.raises(MalformedRow, match=r"train-filtered\.jsonl:1: expected one label"):
        load_trecqa()


def test_squad_pairs_are_sentence_then_question(local):
    folder, asked = local
    (folder / "src-test.txt").write_text("a -lrb- b -rrb- .\nc .\n")
    (folder / "tgt-test.txt").write_text("who ?\nwhat ?\n")
    pairs, used = load_squad_nqg("test")
    assert pairs == [("a ( b ) .", "who ?"), ("c .", "what ?")]
    assert asked == [("squad_nqg", ("src-test.txt", "tgt-test.txt"))]
    assert (used.name, used.rows) == ("squad_nqg", {"test": 2})


def test_the_header_of_wikiqa_is_the_published_one(tmp_path):
    path = tmp_path / "a.tsv"
    row = "Q1\tq\tD1\tTitle\tD1-0\tthe sentence\t1\n"
    path.write_text(f"{HEADER}\n{row}")
    assert read_wikiqa(path) == [(2, "Q1", "q", "the sentence", 1)]
    for name in HEADER.split("\t"):
        path.write_text(f"{HEADER.replace(name, name + 'x', 1)}\n{row}")
        with pytest.raises(MalformedRow, match="expected the header QuestionID<TAB>Question<TAB>DocumentID"):
            read_wikiqa(path)
    path.write_text("")
    with pytest.raises(MalformedRow, match=r"a\.tsv:1: expected the header"):
        read_wikiqa(path)


def test_own_ids_part_equal_questions(tmp_path):
    path = tmp_path / "own.csv"
    path.write_text(
        "\ufeffquestion_id,question,candidate,label\n1,q,c,1\n2,q,c,0\n ,q,d,1\n", encoding="utf-8"
    )
    assert read_candidates(path)["question_id"].tolist() == ["1", "2", "q"]


def test_a_gzip_file_cut_short_is_not_read_as_a_shorter_one(tmp_path):
    lines = "\n".join([HEADER, *(f"Q{k}\tq {k}\tD\tT\tS\tsentence {k}\t1" for k in range(400))])
    packed = gzip.compress(lines.encode())
    path = tmp_path / "a.tsv.gz"
    for size in (len(packed) - 1, len(packed) // 2, 11):
        path.write_bytes(packed[:size])
        with pytest.raises((EOFError, MalformedRow)):
            read_wikiqa(path)


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([wikiqa_line(id_="")], r"a.tsv:2: expected a question id that is not empty"),
        ([wikiqa_line(question=" ")], r"a.tsv:2: expected a question that is not empty"),
        ([wikiqa_line(label="")], r"a.tsv:2: expected a label 0 or 1, got ''"),
        ([wikiqa_line(sentence=" ")], r"a.tsv:2: expected a candidate sentence that is not empty"),
        ([wikiqa_line(), wikiqa_line(label="0")], r"a.tsv:3: expected one label .*'Q1'"),
        ([wikiqa_line(), wikiqa_line(question="what ?")], r"a.tsv:3: expected id 'Q1' to stay"),
        ([wikiqa_line(label="2")], r"a.tsv:2: expected a label 0 or 1, got '2'"),
        (["too\tfew"], r"a.tsv:2: expected 7 fields"),
    ],
)
def test_wikiqa_refusals(tmp_path, lines, message):
    with pytest.raises(MalformedRow, match=message):
        read_wikiqa(write_wikiqa(tmp_path / "a.tsv", *lines))


def test_other_bytes_and_a_missing_header_are_refused(tmp_path):
    path = write_wikiqa(tmp_path / "a.tsv", wikiqa_line())
    path.write_bytes(path.read_bytes() + wikiqa_line(sentence="café").encode("latin-1"))
    with pytest.raises(MalformedRow, match=r"a.tsv:3: expected UTF-8 text"):
        read_wikiqa(path)
    path.write_text("a\tb\n")
    with pytest.raises(MalformedRow, match=r"a.tsv:1: expected the header QuestionID"):
        read_wikiqa(path)


@pytest.mark.parametrize(
    ("records", "message"),
    [
        ([record(("x", 1)), record()], r"t.jsonl:2: expected at least one candidate for the question"),
        ([{"question": "q"}], r"t.jsonl:1: expected an object with question and candidates"),
        ([record(("x", 1), ("x", 0))], r"t.jsonl:1: expected one label"),
        ([record(("", 1))], r"t.jsonl:1: expected a candidate sentence"),
    ],
)
def test_trecqa_refusals(tmp_path, records, message):
    with pytest.raises(MalformedRow, match=message):
        read_trecqa(write_trecqa(tmp_path / "t.jsonl", *records), prefix="test")


def test_both_labels_pass_where_the_set_is_known_to_have_them(tmp_path):
    path = write_trecqa(tmp_path / "t.jsonl", record(("x", 1), ("x", 0)))
    assert len(read_trecqa(path, prefix="t", conflicts=True)) == 2


def test_own_table(tmp_path):
    path = tmp_path / "own.csv"
    pd.DataFrame(
        {"candidate": ["a, b", 'c "d"'], "question": ["q  1", "q 1"], "label": [1, 0], "more": [0, 0]}
    ).to_csv(path, index=False)
    found = read_candidates(path)
    assert found.values.tolist() == [["q 1", "q 1", "a, b", 1, "own"], ["q 1", "q 1", 'c "d"', 0, "own"]]
    for text, message in (
        ("question,label\n", r"own.csv:1: expected a column 'candidate'"),
        ("question,candidate,label\n", r"own.csv:2: expected at least one row"),
        ("question,candidate,label\nq,c,yes\n", r"own.csv:2: expected a label 0 or 1"),
        ("question,candidate,label\nq,c,1\nq,,0\n", r"own.csv:3: expected a candidate sentence"),
        ("question,candidate,label\nq,c,1\nq,c,0\n", r"own.csv:3: expected one label .*'q', not both"),
        ("question_id,question,candidate,label\n1,q,c,1\n1,r,d,0\n", r"own.csv:3: expected id '1' to stay"),
        ('question,candidate,label\nq,"c"d,1\n', r"own.csv:2: expected a row of comma-separated fields"),
    ):
        path.write_text(text)
        with pytest.raises(MalformedRow, match=message):
            read_candidates(path)
    path.write_bytes("question,candidate,label\nq,café,1\n".encode("latin-1"))
    with pytest.raises(MalformedRow, match=r"own.csv:2: expected UTF-8 text"):
        read_candidates(path)


PAIRS = [(f"sentence {i // 2}", f"question {i}") for i in range(40)]


def test_restored_words():
    assert restore("`` a -lrb- b -rrb- '' ") == '" a ( b ) "'


def test_transfer_pairs_near():
    frame = transfer_pairs(PAIRS, negatives=3, window=7, seed=1)
    assert len(frame) == 160
    for line, (sentence, _question) in enumerate(PAIRS):
        rows = frame[frame["question_id"] == f"squad-{line + 1}"]
        assert rows["label"].tolist() == [1, 0, 0, 0]
        assert rows["candidate"].iloc[0] == sentence
        numbers = [int(text.split()[1]) for text in rows["candidate"]]
        assert len(set(numbers)) == 4
        assert max(abs(number - line // 2) for number in numbers) <= 4
    assert frame.equals(transfer_pairs(PAIRS, negatives=3, window=7, seed=1))
    assert not frame.equals(transfer_pairs(PAIRS, negatives=3, window=7, seed=2))


def test_transfer_pairs_random_and_drawn():
    frame = transfer_pairs(PAIRS, kind="random", questions=10)
    assert frame["question_id"].nunique() == 10
    assert Counter(frame["label"]) == {1: 10, 0: 30}
    same = [*PAIRS, ("another", "question 0")]
    rows = transfer_pairs(same, negatives=19, kind="random")
    assert "another" not in rows.loc[rows["question_id"] == "squad-1", "candidate"].tolist()


def test_transfer_refusals(tmp_path):
    with pytest.raises(ValueError, match="negatives >= 1"):
        transfer_pairs(PAIRS, negatives=0)
    with pytest.raises(ValueError, match="line 1: 1 other sentences for 3 negatives"):
        transfer_pairs(PAIRS[:4])
    (tmp_path / "src-dev.txt").write_text("a\nb\n")
    (tmp_path / "tgt-dev.txt").write_text("a\n")
    with pytest.raises(MalformedRow, match=r"tgt-dev.txt:2: expected 2 lines"):
        read_sentence_pairs(tmp_path, "dev")
    (tmp_path / "tgt-dev.txt").write_text("a\n \n")
    with pytest.raises(MalformedRow, match=r"tgt-dev.txt:2: expected a sentence"):
        read_sentence_pairs(tmp_path, "dev")


def counts(frame, mode):
    kept = frame[mode_mask(frame["question_id"].tolist(), frame["label"].to_numpy(), mode)]
    return kept["question_id"].nunique(), len(kept)


def measured(kernel, frame):
    """MAP on clean questions; document frequencies over the split's candidates."""
    scores = kernel(frame["question"].tolist(), frame["candidate"].tolist())
    return rank_questions(frame["question_id"].tolist(), scores, frame["label"].to_numpy()).map


def test_public_wikiqa(public):
    corpus = load_wikiqa()
    expected = {
        "train": [(2118, 20360), (873, 8672), (857, 8651)],
        "validation": [(296, 2733), (126, 1130), (122, 1126)],
        "test": [(633, 6165), (243, 2351), (237, 2341)],
    }
    for split, numbers in expected.items():
        frame = corpus.rows(split)
        assert [counts(frame, mode) for mode in ("raw", "no-all-negative", "clean")] == numbers
    with pytest.raises(ValueError, match="wikiqa has no split 'dev'"):
        corpus.rows("dev")
    # another tokeniser and collection move BM25 by a point or two of MAP
    assert measured(bm25, corpus.rows("test")) == pytest.approx(0.599, abs=0.03)


def test_public_trecqa(public):
    corpus = load_trecqa()
    assert [counts(corpus.rows(split), "clean") for split in ("train", "validation", "test")] == [
        (89, 5914),
        (69, 1343),
        (68, 1442),
    ]
    assert measured(bm25, corpus.rows("test")) == pytest.approx(0.694, abs=0.03)
    # the files list relevant candidates first: a rule that keeps file order in ties reads .05 higher
    assert measured(idf_overlap, corpus.rows("test")) == pytest.approx(0.70, abs=0.02)
    big = load_trecqa(train="train-all")
    assert len(big.rows("train")) + big.dropped["labelled both ways"] == 53310
    assert big.dropped["labelled both ways"] >= 4


def test_public_squad(public):
    pairs, use = load_squad_nqg()
    assert len(pairs) == use.rows["dev"] == 10570
    frame = transfer_pairs(pairs, questions=2500)
    assert Counter(frame["label"]) == {1: 2500, 0: 7500}
    assert not frame["candidate"].str.contains("-lrb-").any()
