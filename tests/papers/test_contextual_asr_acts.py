"""Dialogue acts: numbers, choice of lists, fusion by hand, zero before training, first turns, training."""

import dataclasses

import numpy as np
import pytest
import torch

from echobook.data.generators.spoken_names import spoken_names
from echobook.papers.contextual_asr.acts import ACTIONS, DEFAULT, SLOTS, Act, ActFusion, act_numbers, selected
from echobook.papers.contextual_asr.context import ContextEncoder
from echobook.papers.contextual_asr.experiment import Bench, Sizes, build_world, train_recogniser
from echobook.papers.contextual_asr.material import load_vocabulary, make_turns
from echobook.papers.contextual_asr.model import ContextualTransducer
from echobook.papers.contextual_asr.parts import Adapter
from echobook.papers.contextual_asr.training import Listing, heard_by, lister
from echobook.papers.contextual_asr.vocabulary import KINDS, build_vocabulary
from echobook.speech.biasing.catalogues import Entry
from echobook.speech.biasing.phonemes import CLASSES
from echobook.speech.biasing.recogniser import phoneme_transducer
from echobook.speech.training import TrainingSettings

D, E = 6, 10
LISTED = (Entry("bauer", "contact"), Entry("betsy", "device"), Entry("piper hill", "place"))
PLAN = TrainingSettings(steps=2, batch_size=8, warmup=2, evaluate_every=2, seed=0)


@pytest.fixture(scope="module")
def vocabulary():
    own = spoken_names(composed=60)
    return build_vocabulary(own.pronunciations, own.common, own.surnames, own.first, seed=0)


@pytest.fixture(scope="module")
def bench():
    vocabulary, uses = load_vocabulary("embedded", seed=0)
    sizes = Sizes(24, 16, 8, 8, 6, first=4)
    world = build_world(vocabulary, uses, sizes, test_voices="espeak", snr_db=20.0, seed=0)
    return Bench(world, train_recogniser(world, PLAN), PLAN, (2, 5))


def fusion(early=True, late=True, trained=False):
    torch.manual_seed(2)
    found = ActFusion(D, E, early=early, late=late, size=4)
    if trained:
        for weight in found.parameters():
            torch.nn.init.normal_(weight, std=0.5)
    return found


def frames(width, seed=0):
    return torch.randn(3, 5, width, generator=torch.Generator().manual_seed(seed))


ACTS = [Act("elicit", "contact"), DEFAULT, Act("elicit", "place")]


class TestActs:
    def test_numbers_are_places_in_the_two_tables(self):
        assert act_numbers(ACTS).tolist() == [[1, 1], [0, 0], [1, 3]]
        assert act_numbers([]).shape == (0, 2)
        assert set(KINDS) | {"none"} == set(SLOTS)

    @pytest.mark.parametrize("act", [Act("sing", "none"), Act("elicit", "song")])
    def test_unknown_acts_are_refused(self, act):
        with pytest.raises(ValueError, match="expected an action of default, elicit and a slot of"):
            act_numbers([act])

    def test_a_slot_lets_its_kind_through_and_no_slot_everything(self):
        assert selected(LISTED, Act("elicit", "device")) == (LISTED[1],)
        assert selected(LISTED, DEFAULT) == LISTED
        assert selected((), Act("elicit", "place")) == ()
        kept = [entry for act in ACTS[::2] for entry in selected(LISTED, act)]
        assert kept == [LISTED[0], LISTED[2]]


class TestFusion:
    def test_before_training_nothing_changes_to_the_last_bit(self):
        acts = act_numbers(ACTS)
        assert torch.equal(fusion().early(frames(D), acts), frames(D))
        assert torch.equal(fusion().late(frames(E), acts), frames(E))

    def test_against_a_loop(self):
        found, acts = fusion(trained=True), act_numbers(ACTS)
        early, late = found.early(frames(D), acts), found.late(frames(E), acts)
        for i, (action, slot) in enumerate(acts.tolist()):
            inner = found.forth.weight @ (found.actions.weight[action] + found.slots.weight[slot])
            vector = (inner + found.forth.bias).clamp_min(0)
            torch.testing.assert_close(found.encode(acts)[i], vector)
            for t in range(5):
                x, h = frames(D)[i, t], frames(E)[i, t]
                torch.testing.assert_close(early[i, t], x + found.first.weight @ vector)
                joined = found.joined.weight @ torch.cat([h, vector]) + found.joined.bias
                torch.testing.assert_close(late[i, t], h + found.back.weight @ joined.clamp_min(0))

    def test_the_act_matters_and_the_neighbours_do_not(self):
        found, acts = fusion(trained=True), act_numbers(ACTS)
        other = act_numbers([ACTS[0], Act("elicit", "device"), ACTS[2]])
        one, two = found.late(frames(E), acts), found.late(frames(E), other)
        assert torch.equal(one[[0, 2]], two[[0, 2]])
        assert not torch.allclose(one[1], two[1])

    def test_a_fusion_left_out_passes_its_stream_on(self):
        acts = act_numbers(ACTS)
        assert torch.equal(fusion(early=False, trained=True).early(frames(D), acts), frames(D))
        assert torch.equal(fusion(late=False, trained=True).late(frames(E), acts), frames(E))
        with pytest.raises(ValueError, match="acts enter nowhere; expected early or late fusion"):
            ActFusion(D, E, early=False, late=False)

    def test_gradients_by_finite_differences(self):
        found, acts = fusion(trained=True).double(), act_numbers(ACTS)
        stream = frames(E).double().requires_grad_(True)
        assert torch.autograd.gradcheck(lambda s: found.late(s, acts), (stream,))
        wide = frames(D).double().requires_grad_(True)
        assert torch.autograd.gradcheck(lambda s: found.early(s, acts), (wide,))


def model(**settings):
    torch.manual_seed(0)
    base = phoneme_transducer(D, CLASSES, hidden=8, size=E, layers=1, dropout=0.3)
    context = ContextEncoder(CLASSES, kinds=3, embedding=5, hidden=4, size=6)
    acts = ActFusion(D, E, **settings) if settings else None
    return ContextualTransducer(base, context, {"encoder": Adapter(E, context.size)}, acts=acts).eval()


class TestModel:
    def test_who_hears_anew(self):
        assert not model().hears_anew
        assert not model(late=True).hears_anew
        assert model(early=True).hears_anew

    def test_hearing_without_acts_is_the_stream_itself(self):
        encodings, lengths = frames(E), torch.tensor([5, 4, 3])
        assert model().hear(encodings, lengths, None)[0] is encodings
        assert model().hear(encodings, lengths, act_numbers(ACTS))[0] is encodings

    def test_untrained_acts_leave_the_base_as_it_is(self):
        lengths, acts = torch.tensor([5, 4, 3]), act_numbers(ACTS)
        found = model(early=True, late=True)
        own, _ = found.base.encoder(frames(D), lengths)
        assert torch.equal(found.hear(frames(D), lengths, acts)[0], own)

    def test_a_fusion_without_acts_is_refused(self):
        with pytest.raises(ValueError, match="expected one act for each turn, got none"):
            model(late=True).hear(frames(E), torch.tensor([5, 4, 3]), None)


class TestTurns:
    def test_follow_ups_have_the_act_of_what_is_asked(self, vocabulary):
        turns = make_turns(vocabulary, "test", entity=30, general=20, seed=0)
        assert all(turn.act == Act("elicit", turn.truth.kind) for turn in turns[:30])
        assert all(turn.act.action == "elicit" and turn.assistant for turn in turns)

    def test_first_turns_have_no_reply_before_them(self, vocabulary):
        turns = make_turns(vocabulary, "test", entity=200, general=100, first=(0.3, 0.7), seed=0)
        opened = np.array([turn.act == DEFAULT for turn in turns])
        assert [turn.assistant == "" for turn in turns] == opened.tolist()
        assert 0.2 < opened[:200].mean() < 0.4 < 0.6 < opened[200:].mean() < 0.8

    def test_shares_change_acts_and_replies_and_nothing_else(self, vocabulary):
        none, all_first = (
            make_turns(vocabulary, "test", entity=9, general=6, first=(share, share), seed=0)
            for share in (0.0, 1.0)
        )
        assert [turn.text for turn in none] == [turn.text for turn in all_first]
        assert {turn.act for turn in all_first} == {DEFAULT}

    @pytest.mark.parametrize("first", [(-0.1, 0.0), (0.0, 1.1)])
    def test_bad_shares_are_refused(self, vocabulary, first):
        with pytest.raises(ValueError, match="and of first turns in 0"):
            make_turns(vocabulary, "test", entity=1, general=1, first=first, seed=0)


class TestExperiment:
    def test_first_turns_of_the_test_use_its_names(self, bench):
        turns = bench.world.turns("first")
        assert len(turns) == 8
        assert {turn.act for turn in turns} == {DEFAULT}
        names = set(bench.world.vocabulary.entries["test"])
        assert all(turn.truth in names for turn in turns[:4])
        lists = bench.lists("first", 5, seed=0)
        assert all(turn.truth in own for turn, own in zip(turns[:4], lists[:4], strict=True))
        assert bench.selected("first", lists) == lists

    def test_selected_lists_keep_the_truth(self, bench):
        lists = bench.selected("test", bench.lists("test", 5, seed=0))
        for turn, own in zip(bench.world.turns("test"), lists, strict=True):
            assert {entry.kind for entry in own} <= {turn.act.slot}
            assert turn.truth is None or turn.truth in own

    def test_training_lists_follow_the_act_when_asked(self, bench):
        turns = bench.world.turns("adapt")
        found = {
            by_act: lister(bench.world.vocabulary, "adapt", turns, Listing(rows=(5,), by_act=by_act))(
                list(range(16)), np.random.default_rng(0)
            )
            for by_act in (True, False)
        }
        fewer = (found[True].rows >= 0).sum(1) < (found[False].rows >= 0).sum(1)
        asked = torch.tensor([turn.act != DEFAULT for turn in turns])
        assert fewer.any()
        assert not fewer[~asked].any()

    @pytest.mark.parametrize("acts", [("late",), ("early",), ("early", "late")])
    def test_fusions_learn_and_the_base_does_not(self, bench, acts):
        before = {name: weight.clone() for name, weight in bench.base.state_dict().items()}
        guided = bench.trained(("encoder",), acts=acts, listing=Listing(rows=(2, 5), by_act=True))
        assert all(torch.equal(weight, before[name]) for name, weight in bench.base.state_dict().items())
        learnt = [layer for layer in (guided.acts.first, guided.acts.back) if layer is not None]
        assert len(learnt) == len(acts)
        assert all(layer.weight.abs().sum() > 0 for layer in learnt)

    def test_what_is_heard_follows_the_act(self, bench):
        alone = bench.trained((), acts=("late",))
        turns = bench.world.turns("test")
        heard = bench.own_heard(alone)
        assert [len(one) for one in heard] == [len(e.features) for e in bench.encodings["test"]]
        moved = [turn._replace(act=DEFAULT) for turn in turns]
        other = heard_by(alone, bench.encodings["test"], moved)
        assert not any(torch.equal(one, two) for one, two in zip(heard, other, strict=True))
        plain = heard_by(bench.plain, bench.encodings["test"], turns)
        assert all(
            torch.equal(one, e.features) for one, e in zip(plain, bench.encodings["test"], strict=True)
        )

    def test_a_place_that_is_neither_is_refused(self, bench):
        with pytest.raises(ValueError, match="acts enter 'middle'; expected some of 'early', 'late'"):
            bench.trained((), acts=("middle",))

    def test_worlds_without_first_turns_have_none(self, bench):
        assert "first" in bench.world.material
        assert dataclasses.replace(Sizes(1, 1, 1, 1, 1)).first == 0
        assert ACTIONS[0] == DEFAULT.action
