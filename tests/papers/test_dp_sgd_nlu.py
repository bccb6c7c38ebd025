"""The chapter's parts: material, models, training, evaluation, rows, own data."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from echobook.data.generators.commands import generate_commands
from echobook.data.slots import Tagged
from echobook.papers.dp_sgd_nlu.baselines import PerExample, Plain
from echobook.papers.dp_sgd_nlu.evaluation import answers, intent_hits, span_counts, span_f1, well_formed
from echobook.papers.dp_sgd_nlu.experiment import (
    Bench,
    BiLSTMStart,
    equal_epsilon_rows,
    shadow_attack,
    standard_rows,
    stopped_epoch,
)
from echobook.papers.dp_sgd_nlu.keeping import Keeper
from echobook.papers.dp_sgd_nlu.material import (
    Coded,
    Material,
    build_material,
    code,
    plant_canaries,
    split_parts,
)
from echobook.papers.dp_sgd_nlu.method import MicroBatches
from echobook.papers.dp_sgd_nlu.model import LSTM, build_bilstm, joint_losses
from echobook.papers.dp_sgd_nlu.own_data import read_marked, train_privately
from echobook.papers.dp_sgd_nlu.training import Schedule, train
from echobook.privacy.mechanism import Step
from echobook.privacy.taps import PrivacyError

SIZES = {"members": 60, "others": 60, "dev": 30, "test": 30}


@pytest.fixture(scope="module")
def material() -> Material:
    return build_material(generate_commands(seed=0, sizes={"all": 200}), sizes=SIZES, canaries=5, seed=0)


def bench(material: Material, epochs: int = 2) -> Bench:
    return Bench(material, BiLSTMStart(material, seed=0, hidden=16), Schedule(epochs, 20, 1e-2), 0)


def test_parts_do_not_overlap_and_too_few_are_refused() -> None:
    rows = [Tagged((str(i),), ("O",), "x") for i in range(10)]
    parts = split_parts(rows, {"a": 4, "b": 6}, np.random.default_rng(0))
    assert sorted(w for part in parts.values() for row in part for w in row.words) == sorted(
        map(str, range(10))
    )
    with pytest.raises(PrivacyError, match="at least 11 utterances"):
        split_parts(rows, {"a": 11}, np.random.default_rng(0))


def test_canaries_get_another_intent_and_nothing_else_changes() -> None:
    rows = [Tagged((str(i),), ("O",), "x") for i in range(20)]
    planted, chosen = plant_canaries(rows, 6, ["x", "y", "z"], np.random.default_rng(0))
    assert [planted[i].intent != "x" for i in range(20)] == [i in chosen for i in range(20)]
    with pytest.raises(PrivacyError, match="between 0 and 20"):
        plant_canaries(rows, 21, ["x", "y"], np.random.default_rng(0))


def test_words_that_dev_does_not_hold_are_unknown_and_batches_are_padded(material: Material) -> None:
    known = set(material.vocabulary)
    for row, numbers in zip(material.parts["test"], material.coded["test"].words, strict=True):
        assert [n == 1 for n in numbers] == [w.lower() not in known for w in row.words]
    batch = material.coded["members"].batch([0, 1, 2])
    lengths = [len(material.coded["members"].words[i]) for i in range(3)]
    assert batch.mask.sum(1).tolist() == lengths
    assert batch.words.shape[1] == max(lengths)
    assert (batch.tags[batch.mask == 0] == -100).all()


def test_the_vocabulary_does_not_tell_members_from_others(material: Material) -> None:
    """Coded with members and others exchanged, every utterance keeps its numbers."""
    parts = material.parts
    swapped = parts | {"members": parts["others"], "others": parts["members"]}
    coded, vocabulary = code(swapped, material.tags, material.intents)
    assert vocabulary == material.vocabulary
    assert coded["others"].words == material.coded["members"].words
    assert coded["members"].words == material.coded["others"].words


@pytest.mark.parametrize("backwards", [False, True])
def test_our_lstm_is_torch_s(backwards: bool) -> None:
    torch.manual_seed(0)
    ours, theirs = LSTM(3, 4), nn.LSTM(3, 4, batch_first=True, bidirectional=True)
    tail = "_reverse" if backwards else ""
    ours.from_input.weight.data = getattr(theirs, "weight_ih_l0" + tail).data
    ours.from_state.weight.data = getattr(theirs, "weight_hh_l0" + tail).data
    both = getattr(theirs, "bias_ih_l0" + tail) + getattr(theirs, "bias_hh_l0" + tail)
    ours.from_input.bias.data = both.data
    inputs, lengths = torch.randn(3, 6, 3), torch.tensor([6, 4, 1])
    packed = nn.utils.rnn.pack_padded_sequence(inputs, lengths, batch_first=True)
    expected, _ = nn.utils.rnn.pad_packed_sequence(theirs(packed)[0], batch_first=True)
    mask = (torch.arange(6) < lengths[:, None]).float()
    found = ours(inputs, mask, backwards=backwards) * mask.unsqueeze(2)
    side = slice(4, 8) if backwards else slice(0, 4)
    assert torch.allclose(found, expected[:, :, side], atol=1e-6)


def test_the_joint_loss_by_hand() -> None:
    data = Coded([[2, 3], [4]], [[0, 1], [1]], [0, 1])
    batch = data.batch([0, 1])
    uniform = torch.zeros(2, 4), torch.zeros(2, 2, 2)
    assert joint_losses(uniform, batch).tolist() == pytest.approx([math.log(4) + math.log(2)] * 2)


def test_a_tiny_set_is_learned_by_heart(material: Material) -> None:
    few = Coded(*(part[:12] for part in (material.coded["members"].words, material.coded["members"].tags,
                                         material.coded["members"].intents)))  # fmt: skip
    model = build_bilstm(
        words=len(material.vocabulary), tags=len(material.tags), intents=10, seed=0, hidden=16
    )
    train(model, few, Plain(), Schedule(60, 12, 2e-2), seed=0)
    found = answers(model, few)
    assert intent_hits(found, few).mean() == 1.0
    assert span_f1(span_counts(found, few, material.tags)) == 1.0


def test_a_run_repeats_to_the_bit_and_its_noise_does_not_touch_its_lots(material: Material) -> None:
    est = MicroBatches(2, 0.5, 0.1, 0.9)
    first, again = (bench(material).run(est) for _ in range(2))
    assert np.array_equal(first.last.members, again.last.members)
    assert first.dev == again.dev
    other = bench(material).run(MicroBatches(2, 0.5, 0.2, 0.9))
    assert not np.array_equal(first.last.members, other.last.members)


def test_clipping_far_above_every_norm_is_the_plain_gradient(material: Material) -> None:
    """Without noise and with a huge bound, per-example clipping is SGD up to its divisor."""
    model = build_bilstm(
        words=len(material.vocabulary), tags=len(material.tags), intents=10, seed=0, hidden=8
    )
    lot = torch.arange(20)

    def losses(numbers: torch.Tensor) -> torch.Tensor:
        batch = material.coded["members"].batch(numbers)
        return joint_losses(model(batch), batch)

    step = Step(20.0, 0, torch.Generator())
    plain = Plain().gradient(model, losses, lot, step)
    clipped = PerExample(1e6, 0.0).gradient(model, losses, lot, step)
    means = MicroBatches(1, 1e6, 0.0).gradient(model, losses, lot, step)
    for name in plain:
        assert torch.allclose(plain[name], clipped[name], atol=1e-6)
        assert torch.allclose(plain[name], means[name], atol=1e-6)


def test_rows_differ_in_what_they_are_named_for() -> None:
    rows = standard_rows(parts=5, noise=0.02, bound=0.3, decay=0.9)
    assert rows["edp-sgd"].sensitivity == 2.0
    assert rows["dp-sgd"].sensitivity == 1.0
    assert rows["no-decay"].decay == 1.0
    assert rows["edp-sgd"].decay == 0.9
    assert rows["more-noise"].multiplier == pytest.approx(0.1)


def test_rows_at_equal_epsilon_spend_what_the_main_row_does(material: Material) -> None:
    shared, main = bench(material), MicroBatches(2, 0.5, 0.5, 0.8)
    rows = equal_epsilon_rows(shared, main, delta=1e-3)
    budget = shared.epsilon(main, delta=1e-3)
    for row in rows.values():
        assert 0.9 * budget < shared.epsilon(row, delta=1e-3) <= budget
    assert main.multiplier > rows["equal-steady"].multiplier > rows["equal-dp-sgd"].multiplier


def test_the_stopped_epoch_is_the_first_that_reaches() -> None:
    assert stopped_epoch([0.1, 0.5, 0.4, 0.9], 0.45) == 1
    assert stopped_epoch([0.1, 0.2], 0.9) == 1


def test_a_shadow_attack_runs_and_repeats(material: Material) -> None:
    shared = bench(material)
    target = shared.run(Plain()).last
    first, again = (shadow_attack(shared, Plain(), target, shadows=4, rate=1e-2) for _ in range(2))
    assert first == again
    assert 0.0 <= first.auc <= 1.0


def test_shadows_learn_at_the_rate_of_the_row(material: Material) -> None:
    """The attacker knows the recipe: the rate handed over, not the one that the bench was made with."""
    shared, hasty = bench(material), replace(bench(material), schedule=Schedule(2, 20, 0.5))
    target = shared.run(Plain()).last
    attacks = [shadow_attack(one, Plain(), target, shadows=4, rate=1e-2) for one in (shared, hasty)]
    assert attacks[0] == attacks[1]
    assert shadow_attack(shared, Plain(), target, shadows=4, rate=0.5) != attacks[0]


def test_a_run_that_is_watched_at_the_end_only_is_the_same_run(material: Material) -> None:
    every, last = (bench(material).run(Plain(), each_epoch=each) for each in (True, False))
    assert len(every.dev) == 2
    assert last.dev == every.dev[-1:]
    assert last.last.attack == every.last.attack
    assert np.array_equal(every.last.members, last.last.members)
    assert len(every.last.exposure) == 5
    assert not np.array_equal(every.looks[0].exposure, every.last.exposure)


def test_predicted_tags_that_continue_nothing_begin() -> None:
    assert well_formed(["I-a", "I-a", "I-b", "O", "B-a", "I-a"]) == ["B-a", "I-a", "B-b", "O", "B-a", "I-a"]


def test_a_lot_larger_than_the_data_is_a_sampling_rate_above_one(material: Material) -> None:
    with pytest.raises(PrivacyError, match="sampling rate above 1"):
        Schedule(1, 61, 1e-3).sampling(60)
    with pytest.raises(PrivacyError, match="epochs >= 1"):
        Schedule(0, 10, 1e-3)


def test_marked_utterances() -> None:
    found = read_marked("play [new song](title) now", "play", "f:2")
    assert found == Tagged(("play", "new", "song", "now"), ("O", "B-title", "I-title", "O"), "play")


@pytest.mark.parametrize(
    ("text", "intent", "words"),
    [
        ("play [x] now", "play", "expected slots as"),
        ("  ", "play", "an utterance and an intent"),
        ("hi", "", "f:2"),
    ],
)
def test_bad_utterances_are_named(text: str, intent: str, words: str) -> None:
    with pytest.raises(PrivacyError, match=words):
        read_marked(text, intent, "f:2")


def write(path: Path, rows: int, extra: str = "") -> Path:
    lines = [
        f"call [name{i}](person) {'now' if i % 2 else 'later'},{'call' if i % 2 else 'wait'}"
        for i in range(rows)
    ]
    path.write_text("\ufeffutterance,intent\n" + "\n".join(lines) + "\n" + extra, encoding="utf-8")
    return path


def test_own_data_end_to_end(tmp_path: Path) -> None:
    found = train_privately(write(tmp_path / "mine.csv", 48), MicroBatches(2, 1.0, 0.5), epochs=2)
    assert list(found.table.columns) == ["intent accuracy", "span F1", "attack AUC", "epsilon"]
    assert 0 < found.table["epsilon"][0] < math.inf


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("none.csv", None, "no such file"),
        ("head.csv", "text,label\na,b\n", r"head.csv:1: expected the columns utterance, intent"),
        ("few.csv", "utterance,intent\nhi,greet\n", "at least 40 utterances, found 1"),
        ("bad.csv", "utterance,intent\nhi,greet\nplay [x,play\n", "bad.csv:3: expected slots"),
        ("long.csv", "utterance,intent\nhi,greet\nhi, you,greet\n", "long.csv:3: expected filled fields"),
    ],
)
def test_bad_files_are_named(tmp_path: Path, name: str, text: str | None, words: str) -> None:
    if text is not None:
        (tmp_path / name).write_text(text)
    with pytest.raises(ValueError, match=words):
        train_privately(tmp_path / name, Plain())


def test_kept_rows_are_the_same_rows_and_tell_their_cost(material: Material, tmp_path: Path) -> None:
    told: list[float] = []
    keeper = Keeper(bench(material), tmp_path, told.append)
    est = MicroBatches(2, 0.5, 0.1, 0.9)
    first, again = (keeper.run(est, rate=1e-2) for _ in range(2))
    assert len(told) == 1
    assert told[0] > 0
    plain = bench(material).run(est)
    for found in (first, again):
        assert found.dev == plain.dev
        assert found.last.attack == plain.last.attack
        assert np.array_equal(found.counts, plain.counts)
        assert np.array_equal(found.looks[0].exposure, plain.looks[0].exposure)
    attacks = [keeper.attack(Plain(), plain.last, shadows=4, rate=1e-2) for _ in range(2)]
    assert attacks[0] == attacks[1] == shadow_attack(keeper.bench, Plain(), plain.last, shadows=4, rate=1e-2)
    assert len(told) == 2


def test_whatever_decides_a_row_is_in_its_name(material: Material, tmp_path: Path) -> None:
    shared, est = bench(material), MicroBatches(2, 0.5, 0.1, 0.9)
    wider = Bench(material, BiLSTMStart(material, seed=0, hidden=17), shared.schedule, 0)
    cases = [
        (shared, est, 1e-2, False),
        (shared, replace(est, multiplier=0.2), 1e-2, False),
        (shared, est, 2e-2, False),
        (shared, est, 1e-2, True),
        (bench(material, epochs=1), est, 1e-2, False),
        (replace(shared, seed=1), est, 1e-2, False),
        (wider, est, 1e-2, False),
    ]
    for one, estimator, rate, each in cases:
        Keeper(one, tmp_path).run(estimator, rate=rate, each_epoch=each)
    assert len(list(tmp_path.glob("*.npz"))) == len(cases)


def test_a_damaged_kept_row_is_named(material: Material, tmp_path: Path) -> None:
    keeper = Keeper(bench(material, epochs=1), tmp_path)
    keeper.run(Plain(), rate=1e-2)
    (path,) = tmp_path.iterdir()
    path.write_bytes(b"half")
    with pytest.raises(PrivacyError, match=r"not a kept row .*delete it"):
        keeper.run(Plain(), rate=1e-2)
