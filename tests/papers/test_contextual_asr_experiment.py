"""A tiny world from end to end: training, listing, recognition, evaluation; overfitting; determinism."""

import copy
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch

from echobook.metrics.wer import ErrorCounts, total
from echobook.papers.contextual_asr import experiment
from echobook.papers.contextual_asr.evaluation import (
    comparison,
    error_rate,
    fusion_of,
    outcome,
    recognise,
    with_items,
)
from echobook.papers.contextual_asr.experiment import Bench, Sizes, build_world, train_recogniser
from echobook.papers.contextual_asr.material import load_vocabulary, previous_words
from echobook.papers.contextual_asr.parts import CarryOver, Combiner
from echobook.papers.contextual_asr.training import GUIDANCE, Listing, carry_lister, lister, reply_catalogue
from echobook.speech.biasing.flite import FliteMissing
from echobook.speech.biasing.search import Candidate, SearchSettings
from echobook.speech.training import TrainingSettings

SETTINGS = SearchSettings()
PLAN = TrainingSettings(steps=2, batch_size=8, warmup=2, evaluate_every=2, seed=0)


@pytest.fixture(scope="module")
def world():
    vocabulary, uses = load_vocabulary("embedded", seed=0)
    return build_world(vocabulary, uses, Sizes(24, 16, 8, 8, 6), test_voices="espeak", snr_db=20.0, seed=0)


@pytest.fixture(scope="module")
def bench(world):
    return Bench(world, train_recogniser(world, PLAN), PLAN, (2, 5))


def candidate(text, score=0.0):
    return Candidate(text, score, score, 0.0, 0.0)


def test_worlds_are_as_large_as_asked_and_repeat(world):
    assert {split: len(rows) for split, rows in world.features.items()} == {
        "base": 24,
        "adapt": 16,
        "dev": 8,
        "test": 14,
    }
    assert sum(turn.truth is not None for turn in world.turns("adapt")) == 10
    assert {name.split("/")[0] for name in world.material["test"].speakers} == {"espeak"}
    again = world.with_noise("test", 20.0, seed=0)
    for one, other in zip(world.features["test"], again, strict=True):
        assert torch.equal(one.features, other.features)
    cast = {split: set(world.material[split].speakers) for split in ("base", "adapt", "test")}
    assert not cast["base"] & cast["test"]
    assert not cast["adapt"] & cast["test"]


def test_unknown_corpora_and_voices_are_refused(world):
    with pytest.raises(ValueError, match="corpus is 'x'; expected 'embedded' or 'public'"):
        load_vocabulary("x", seed=0)
    with pytest.raises(ValueError, match="test_voices is 'x'; expected 'espeak' or 'flite'"):
        build_world(world.vocabulary, (), Sizes(1, 1, 1, 1, 1), test_voices="x", snr_db=1.0, seed=0)


def test_without_flite_its_voices_are_refused_at_once(world, monkeypatch):
    monkeypatch.setenv("PATH", "")
    with pytest.raises(FliteMissing, match="install the Debian or Ubuntu package `flite`"):
        build_world(world.vocabulary, (), Sizes(9, 9, 9, 9, 9), test_voices="flite", snr_db=1.0, seed=0)


@pytest.mark.parametrize(
    "voices", [{"test_voices": "flite"}, {"test_voices": "espeak", "other_voices": "flite"}]
)
def test_wherever_flite_is_asked_for_it_must_be_there(world, monkeypatch, voices):
    monkeypatch.setenv("PATH", "")
    with pytest.raises(FliteMissing, match="apt install flite"):
        build_world(world.vocabulary, (), Sizes(9, 9, 9, 9, 9), **voices, snr_db=1.0, seed=0)
    with pytest.raises(ValueError, match="other_voices is 'x'; expected 'none' or 'flite'"):
        build_world(
            world.vocabulary,
            (),
            Sizes(9, 9, 9, 9, 9),
            test_voices="espeak",
            other_voices="x",
            snr_db=1.0,
            seed=0,
        )


@pytest.mark.skipif(shutil.which("flite") is None, reason="the package flite is not installed")
def test_the_other_voices_say_what_the_test_says(world):
    sizes = Sizes(4, 2, 2, 3, 2)
    spoken = build_world(
        world.vocabulary, (), sizes, test_voices="espeak", other_voices="flite", snr_db=20.0, seed=0
    )
    assert spoken.turns("other") == spoken.turns("test")
    assert {name.split("/")[0] for name in spoken.material["other"].speakers} == {"flite"}
    assert {name.split("/")[0] for name in spoken.material["test"].speakers} == {"espeak"}
    few = Bench(spoken, train_recogniser(spoken, PLAN), PLAN, (2,))
    lists = few.lists("other", 3, seed=0)
    assert all(turn.truth in own for turn, own in zip(spoken.turns("other")[:3], lists[:3], strict=True))
    assert len(few.heard("other")) == 5


def test_a_tiny_set_can_be_learnt(world):
    """Four utterances, over and over: the recogniser must come to hear them."""
    few = copy.copy(world)
    rows = list(world.features["base"][:4])
    object.__setattr__(few, "features", {**world.features, "base": rows, "dev": rows})
    plan = TrainingSettings(steps=120, batch_size=4, peak_rate=3e-3, warmup=30, evaluate_every=40, seed=0)
    base = train_recogniser(few, plan)
    bench = Bench(few, base, PLAN, (2,))
    turns = world.turns("base")[:4]
    heard = [example.features for example in bench.encodings["dev"]]
    found = recognise(bench.plain, world.vocabulary, turns, heard, SearchSettings(lm_weight=0.0))
    assert total([row.overall for row in found.errors]).rate < 0.3


def test_the_base_depends_on_its_seed_and_not_on_the_state_of_the_process(world):
    found = []
    for state in (1, 2):
        torch.manual_seed(state)
        found.append(train_recogniser(world, PLAN))
    for one, two in zip(found[0].parameters(), found[1].parameters(), strict=True):
        assert torch.equal(one, two)


def test_training_the_parts_leaves_the_base_alone_unless_it_is_thawed(bench):
    before = {name: weight.clone() for name, weight in bench.base.state_dict().items()}
    adapters = bench.trained(("encoder", "predictor"))
    assert adapters.parts["encoder"].output.weight.abs().sum() > 0
    thawed = bench.trained(("encoder",), kind=Combiner, frozen=False)
    tuned = bench.trained((), frozen=False)
    for name, weight in bench.base.state_dict().items():
        assert torch.equal(weight, before[name])
    for model in (thawed, tuned):
        changed = [n for n, w in model.base.state_dict().items() if not torch.equal(w, before[n])]
        assert changed


def test_training_twice_gives_the_same_bits(bench):
    one, two = (bench.trained(("joint",), null_row=False, kinds=False) for _ in range(2))
    for name, weight in one.state_dict().items():
        assert torch.equal(weight, two.state_dict()[name])


def test_late_context_is_recognised_as_if_there_were_none(bench):
    model = bench.trained(("encoder", "predictor", "joint"))
    turns, vocabulary = bench.world.turns("test"), bench.world.vocabulary
    plain = recognise(bench.plain, vocabulary, turns, bench.heard(), SETTINGS)
    late = recognise(model, vocabulary, turns, bench.heard(), SETTINGS, lists=None)
    assert plain.candidates == late.candidates


def test_batches_do_not_matter(bench):
    lists = bench.lists("test", 4, seed=1)
    model = bench.trained(("encoder", "predictor"))
    options = {"lists": lists, "fused": lists}
    settings = SearchSettings(fusion_weight=0.5)
    one, two = (
        recognise(
            model,
            bench.world.vocabulary,
            bench.world.turns("test"),
            bench.heard(),
            settings,
            batch=n,
            **options,
        )
        for n in (3, 50)
    )
    assert one.texts == two.texts


def test_a_bonus_brings_what_is_listed_and_an_empty_list_nothing(bench):
    turns, vocabulary = bench.world.turns("test"), bench.world.vocabulary
    lists = [(turn.truth,) if turn.truth else () for turn in turns]
    plain, idle, fused = (
        recognise(
            bench.plain,
            vocabulary,
            turns,
            bench.heard(),
            SearchSettings(width=32, fusion_weight=weight),
            fused=own,
        )
        for weight, own in ((0.0, None), (0.0, lists), (4.0, lists))
    )
    assert plain.texts == idle.texts
    matched = [sum(row[0].bonus for row in found.candidates if row) for found in (idle, fused)]
    assert matched[1] > matched[0]
    general = [turn.truth is None for turn in turns]
    assert [t for t, g in zip(fused.texts, general, strict=True) if g] == [
        t for t, g in zip(plain.texts, general, strict=True) if g
    ]


def test_equal_lists_share_an_automaton(bench):
    lists = bench.lists("test", 4, seed=1)
    table, starts = fusion_of([lists[0], lists[1], lists[0]], bench.world.vocabulary)
    assert int(starts[0]) == int(starts[2]) == 0 < int(starts[1]) < len(table.following)


def test_listers_follow_their_seed(world):
    lists = lister(world.vocabulary, "adapt", world.turns("adapt"), Listing(rows=(3,)))
    one, two = (lists([0, 3], np.random.default_rng(5)) for _ in range(2))
    assert one.labels == two.labels
    assert one.rows.shape == (2, 3)
    many = lists(list(range(16)), np.random.default_rng(5))
    assert len(many.labels) <= 2 * 3 + 20 + 16 * 2  # shared, truths, sound-alikes
    scrambled = lister(world.vocabulary, "adapt", world.turns("adapt"), Listing(rows=(3,), scrambled=True))
    assert scrambled([0, 3], np.random.default_rng(5)).labels != one.labels


def test_carry_over_reads_the_last_reply(bench):
    turns, vocabulary = bench.world.turns("test"), bench.world.vocabulary
    own = carry_lister(vocabulary, turns, other=0.0)([0, 1], np.random.default_rng(0))
    assert own.labels == reply_catalogue(vocabulary, turns[:2]).labels
    model = bench.trained(("encoder",), kind=CarryOver)
    words = [previous_words(turn, vocabulary) for turn in turns]
    assert len(recognise(model, vocabulary, turns, bench.heard(), SETTINGS, lists=words).texts) == len(turns)


def test_outcomes_by_hand(world):
    turns = [world.turns("test")[0], world.turns("test")[-1]]
    found = outcome(turns, [[candidate(turns[0].text), candidate("x")], []])
    assert found.texts == (turns[0].text, "")
    assert found.wrong == [False, True]
    assert error_rate(found, entity=True) == 0
    assert error_rate(found, entity=False) == 1
    assert found.biased == ErrorCounts(0, 0, 0, len(turns[0].truth.text.split()))
    noted = with_items([ErrorCounts(1, 0, 0, 4), ErrorCounts(0, 0, 0, 1)])
    assert noted == {"value": 0.2, "items": [0.25, 0.0], "weights": [4, 1]}
    assert np.average(noted["items"], weights=noted["weights"]) == pytest.approx(noted["value"])


def test_the_comparison_is_relative_to_one_method(world):
    turns = list(world.turns("test")[:2])
    wrong = outcome(turns, [[candidate("please")], [candidate("please")]])
    right = outcome(turns, [[candidate(turns[0].text)], [candidate("please")]])
    words = [len(turn.text.split()) for turn in turns]
    found = {"none": outcome([*turns, world.turns("test")[-1]], [[], [], []]), "right": right, "wrong": wrong}
    with pytest.raises(ValueError, match="WER needs"):
        comparison({"none": right}, ["none"])  # no general turn
    frame = comparison({"none": found["none"]}, ["none"])
    assert frame.loc[0, "names"] == 1
    assert frame.loc[0, "names, relative"] == 0
    assert sum(words) == total(wrong.part(entity=True)).words


def test_lists_longer_than_a_split_are_refused(bench):
    held = len(bench.world.vocabulary.entries["test"])
    assert {len(own) for own in bench.lists("test", held - 1, seed=0)} == {held - 1}
    with pytest.raises(ValueError, match=f"split 'test' has {held} entries; {held - 1} at most"):
        bench.lists("test", held, seed=0)


def test_settings_of_one_model_replace_the_benchs(bench):
    still = replace(PLAN, peak_rate=1e-12)
    found = bench.trained([], frozen=False, settings=still)
    moved = bench.trained([], frozen=False)
    gaps = [
        max(
            float((a - b).detach().abs().max())
            for a, b in zip(m.base.parameters(), bench.base.parameters(), strict=True)
        )
        for m in (found, moved)
    ]
    assert gaps[0] < 1e-9 < gaps[1]


@pytest.mark.parametrize(("scrambled", "weight"), [(True, 0.0), (False, GUIDANCE)])
def test_on_random_lists_nothing_is_guided(bench, monkeypatch, scrambled, weight):
    seen = []
    monkeypatch.setattr(experiment, "train_context", lambda *a, guidance, **k: seen.append(guidance))
    bench.trained(["encoder"], listing=Listing(rows=(2,), scrambled=scrambled))
    assert seen == [weight]
