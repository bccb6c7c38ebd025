"""Training and evaluation, piece by piece: alignment, what is heard, losses, lists, searches, refusals."""

import copy

import numpy as np
import pytest
import torch

from echobook.data.generators.spoken_names import spoken_names
from echobook.papers.contextual_asr.acts import ActFusion
from echobook.papers.contextual_asr.context import ContextEncoder
from echobook.papers.contextual_asr.evaluation import error_rate, fusion_of, recognise, search_batch
from echobook.papers.contextual_asr.guidance import attention_loss, attention_targets, spoken_spans
from echobook.papers.contextual_asr.material import draw_lists, make_turns
from echobook.papers.contextual_asr.model import ContextualTransducer
from echobook.papers.contextual_asr.parts import Adapter
from echobook.papers.contextual_asr.training import (
    ALL_KINDS,
    Lessons,
    Listing,
    aligned,
    carry_lister,
    encoded,
    heard_by,
    lister,
    reply_catalogue,
    train_base,
    train_context,
)
from echobook.papers.contextual_asr.vocabulary import build_vocabulary
from echobook.speech.biasing.alignment import best_paths, collate_paths
from echobook.speech.biasing.catalogues import Draw, catalogue
from echobook.speech.biasing.phonemes import CLASSES
from echobook.speech.biasing.recogniser import phoneme_transducer
from echobook.speech.biasing.search import SearchSettings
from echobook.speech.training import Example, TrainingSettings, collate

D, E = 6, 12
PLAN = TrainingSettings(steps=3, batch_size=4, warmup=2, evaluate_every=3, seed=0)
WIDE = SearchSettings(width=200, cap=2)


@pytest.fixture(scope="module")
def vocabulary():
    own = spoken_names(composed=60)
    return build_vocabulary(own.pronunciations, own.common, own.surnames, own.first, seed=0)


@pytest.fixture(scope="module")
def turns(vocabulary):
    return tuple(make_turns(vocabulary, "adapt", entity=7, general=3, first=(0.3, 0.5), seed=0))


@pytest.fixture(scope="module")
def examples(vocabulary, turns):
    generator = torch.Generator().manual_seed(0)
    lengths = [12 + 3 * i for i in range(len(turns))]
    return [
        Example(torch.randn(n, D, generator=generator), vocabulary.lexicon.labels(turn.text), str(i))
        for i, (turn, n) in enumerate(zip(turns, lengths, strict=True))
    ]


def base():
    torch.manual_seed(0)
    return phoneme_transducer(D, CLASSES, hidden=8, size=E, layers=1, dropout=0.0).eval()


def model(places=("encoder", "predictor"), **options):
    found = base()
    torch.manual_seed(1)
    context = ContextEncoder(CLASSES, kinds=len(ALL_KINDS), embedding=6, hidden=5, size=8)
    return ContextualTransducer(found, context, {p: Adapter(E, context.size) for p in places}, **options)


def lessons(found, turns, examples, *, features=False):
    heard = encoded(found, examples)
    spans = [spoken_spans(example.labels) for example in examples]
    return Lessons(turns, examples if features else heard, aligned(found, heard), spans)


class TestAlignment:
    def test_each_turn_is_aligned_as_if_alone(self, turns, examples):
        found = base()
        heard = encoded(found, examples)
        for example, path in zip(heard, aligned(found, heard), strict=True):
            labels = torch.tensor([example.labels])
            with torch.no_grad():
                states = example.features[None, :, None]
                logits = found.joiner(states, found.predictor(labels)[:, None])
            sizes = torch.tensor([len(example.features)]), torch.tensor([len(example.labels)])
            alone = best_paths(logits, labels, *sizes)[0]
            assert path.classes.tolist() == alone.classes.tolist()
            assert path.times.tolist() == alone.times.tolist()

    def test_a_path_writes_the_reference(self, examples):
        found = base()
        for example, path in zip(examples, aligned(found, encoded(found, examples)), strict=True):
            assert tuple(path.classes[path.classes > 0].tolist()) == example.labels
            assert len(path.classes) == len(example.features) + len(example.labels)


class TestHearing:
    def test_encoding_keeps_labels_names_and_lengths(self, examples):
        found = base()
        for before, after in zip(examples, encoded(found, examples), strict=True):
            assert (after.labels, after.name) == (before.labels, before.name)
            assert after.features.shape == (len(before.features), E)

    def test_a_thawed_model_hears_by_its_own_base(self, turns, examples):
        thawed = model(frozen=False)
        own = heard_by(thawed, examples, turns)
        for one, example in zip(own, encoded(thawed.base, examples), strict=True):
            torch.testing.assert_close(one, example.features)

    def test_acts_never_reach_behind_the_end_of_a_turn(self, turns, examples):
        guided = model(acts=ActFusion(D, E, early=True, late=True))
        for weight in guided.acts.parameters():
            torch.nn.init.normal_(weight, std=0.5)
        together = heard_by(guided, examples, turns)
        alone = [heard_by(guided, [e], [t])[0] for e, t in zip(examples, turns, strict=True)]
        for one, two in zip(together, alone, strict=True):
            torch.testing.assert_close(one, two)


class TestTraining:
    def test_the_base_learns_what_it_is_shown(self, examples):
        torch.manual_seed(0)
        found = phoneme_transducer(D, CLASSES, hidden=16, size=E, layers=1, dropout=0.0)
        plan = TrainingSettings(steps=60, batch_size=4, peak_rate=1e-2, warmup=10, evaluate_every=30, seed=0)
        history = train_base(found, examples[:4], examples[:4], plan)
        assert np.mean(history.losses[-5:]) < 0.5 * np.mean(history.losses[:5])

    def test_guidance_turns_the_attention_of_what_is_trained(self, vocabulary, turns, examples):
        found = model(("predictor",))
        own = lessons(found.base, turns, examples)
        lists = lister(vocabulary, "adapt", turns, Listing(rows=(2,), present=1.0, alike=0.0))
        drawn = lists(list(range(len(turns))), np.random.default_rng(0))
        paths = collate_paths(own.paths)
        asked = attention_targets(paths, own.spans, drawn, by_phoneme=True, null_row=True)
        batch = collate(own.heard)

        def wrongly_looked():
            with torch.no_grad():
                looked = found.looked_at(batch.frames, batch.labels, paths, found.prepare(drawn))
                return float(attention_loss(looked["predictor"], asked))

        before = wrongly_looked()
        plan = TrainingSettings(steps=40, batch_size=10, peak_rate=2e-2, warmup=5, evaluate_every=40, seed=0)
        train_context(found, own, lists, own, [lists], plan)
        assert wrongly_looked() < 0.8 * before

    def test_the_kept_weights_are_best_over_all_sizes_of_lists(self, vocabulary, turns, examples):
        """The development loss is the mean over the sizes, guidance included: none of them alone decides."""
        found = model(("predictor",))
        own = lessons(found.base, turns, examples)
        every = [lister(vocabulary, "adapt", turns, Listing(rows=(k,))) for k in (1, 2, 3)]
        plan = TrainingSettings(steps=4, batch_size=10, peak_rate=1e-2, warmup=1, evaluate_every=2, seed=0)
        scores = [
            train_context(copy.deepcopy(found), own, every[0], own, held, plan).scores
            for held in (every, *([one] for one in every))
        ]
        for together, *alone in zip(*scores, strict=True):
            assert together[1] == pytest.approx(np.mean([score for _, score in alone]), rel=1e-5)
        unguided = train_context(copy.deepcopy(found), own, every[0], own, every, plan, guidance=0.0).scores
        assert all(plain < guided for (_, plain), (_, guided) in zip(unguided, scores[0], strict=True))

    def test_without_lists_the_base_is_tuned_and_the_parts_are_not(self, turns, examples):
        found = model((), frozen=False)
        own = lessons(found.base, turns, examples, features=True)
        before = {name: weight.clone() for name, weight in found.state_dict().items()}
        train_context(found, own, None, own, [None], PLAN)
        changed = {
            name.split(".")[0]
            for name, weight in found.state_dict().items()
            if not torch.equal(weight, before[name])
        }
        assert changed == {"base"}

    def test_lists_follow_their_generator_and_nothing_else(self, vocabulary, turns):
        lists = lister(vocabulary, "adapt", turns, Listing(rows=(2, 3)))
        state = torch.random.get_rng_state()
        one, two = (lists([0, 1, 2], np.random.default_rng(4)) for _ in range(2))
        assert torch.equal(torch.random.get_rng_state(), state)
        assert one.rows.tolist() == two.rows.tolist()
        sizes = {lists([0], np.random.default_rng(seed)).rows.shape[1] for seed in range(20)}
        assert sizes == {2, 3}

    def test_some_replies_are_of_another_dialogue(self, vocabulary, turns):
        follow_up = next(i for i, turn in enumerate(turns) if turn.assistant)
        own = reply_catalogue(vocabulary, [turns[follow_up]]).labels
        lists = carry_lister(vocabulary, turns, other=1.0)
        assert any(lists([follow_up], np.random.default_rng(seed)).labels != own for seed in range(5))


class TestRecognition:
    def test_a_batch_is_each_turn_alone(self, vocabulary, turns, examples):
        found = model().eval()
        for part in found.parts.values():
            torch.nn.init.normal_(part.output.weight, std=0.3)
        heard = [e.features for e in encoded(found.base, examples)]
        lists = draw_lists(vocabulary, "adapt", turns, Draw(3), rng=np.random.default_rng(0))
        together = recognise(found, vocabulary, turns, heard, WIDE, lists=lists)
        for i in range(len(turns)):
            prepared = found.prepare(catalogue([lists[i]], vocabulary.labels, ALL_KINDS))
            with torch.no_grad():
                alone = search_batch(found, vocabulary, [heard[i]], WIDE, prepared, None)[0]
            assert [c.text for c in alone[:1]] == [c.text for c in together.candidates[i][:1]]

    def test_a_list_of_fusion_may_be_empty_for_some(self, vocabulary, turns, examples):
        found = model(()).eval()
        heard = [e.features for e in encoded(found.base, examples)]
        some = [(turn.truth,) if turn.truth and i % 2 else () for i, turn in enumerate(turns)]
        settings = SearchSettings(width=200, cap=2, fusion_weight=2.0)
        fused = recognise(found, vocabulary, turns, heard, settings, fused=some)
        plain = recognise(found, vocabulary, turns, heard, WIDE)
        for i, own in enumerate(some):
            if not own:
                assert fused.texts[i] == plain.texts[i]

    def test_tables_of_many_turns_start_where_each_turn_starts(self, vocabulary, turns):
        lists = draw_lists(vocabulary, "adapt", turns, Draw(2), rng=np.random.default_rng(0))
        table, starts = fusion_of(lists, vocabulary)
        for own, start in zip(lists, starts.tolist(), strict=True):
            for entry in own:
                state, total = start, 0.0
                for label in vocabulary.labels[entry.text]:
                    total += float(table.bonus[state, label])
                    state = int(table.following[state, label])
                assert total + float(table.end_bonus[state]) == len(vocabulary.labels[entry.text])

    def test_error_rates_weigh_words_and_not_turns(self, vocabulary, turns, examples):
        found = model(()).eval()
        heard = [e.features for e in encoded(found.base, examples)]
        result = recognise(found, vocabulary, turns, heard, WIDE)
        named = [row for row, turn in zip(result.errors, turns, strict=True) if turn.truth]
        errors = sum(row.overall.errors for row in named)
        assert error_rate(result, entity=True) == errors / sum(row.overall.words for row in named)
