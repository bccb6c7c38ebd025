"""Guided attention: spans and targets by hand, against a search, the loss by hand, and that it teaches."""

import numpy as np
import pytest
import torch

from echobook.papers.contextual_asr.context import ContextEncoder
from echobook.papers.contextual_asr.guidance import NOT_ASKED, attention_loss, attention_targets, spoken_spans
from echobook.papers.contextual_asr.model import PLACES, ContextualTransducer
from echobook.papers.contextual_asr.parts import Adapter, Combiner
from echobook.speech.biasing.alignment import Path, best_paths, collate_paths
from echobook.speech.biasing.catalogues import Catalogue
from echobook.speech.biasing.phonemes import BOUNDARY, CLASSES
from echobook.speech.biasing.recogniser import phoneme_transducer

CALL, BAUER, STREET = (3, 4), (5, 6), (7,)
SAID = (*CALL, BOUNDARY, *BAUER, BOUNDARY, *STREET)


def path_of(labels):
    """One blank, then each label at a frame of its own, then the closing blank."""
    moves = [(0, 0, 0)]
    for place, label in enumerate(labels):
        moves += [(place + 1, place, label)]
    moves += [(len(labels) + 1, len(labels), 0)]
    columns = torch.tensor(moves)
    return Path(columns[:, 0], columns[:, 1], columns[:, 2])


def listed(*entries):
    return Catalogue(entries, torch.zeros(len(entries), dtype=torch.long), torch.arange(len(entries))[None])


def targets(catalogue, labels=SAID, **form):
    chosen = {"by_phoneme": True, "null_row": True} | form
    return attention_targets(
        collate_paths([path_of(labels)]), [spoken_spans(labels)], catalogue, **chosen
    ).tolist()[0]


class TestSpans:
    def test_whole_words_by_hand(self):
        found = spoken_spans(SAID)
        assert found[CALL] == 0
        assert found[BAUER] == 3
        assert found[(*BAUER, BOUNDARY, *STREET)] == 3
        assert found[SAID] == 0
        assert BAUER[:1] not in found
        assert len(found) == 6

    def test_no_more_words_than_asked(self):
        assert set(spoken_spans(SAID, most=1)) == {CALL, BAUER, STREET}
        assert spoken_spans((2,)) == {(2,): 0}

    def test_of_a_word_said_twice_the_last_counts(self):
        assert spoken_spans((2, BOUNDARY, 3, BOUNDARY, 2), most=1) == {(2,): 4, (3,): 2}

    @pytest.mark.parametrize("seed", range(5))
    def test_against_a_search(self, seed):
        rng = np.random.default_rng(seed)
        words = [tuple(rng.integers(2, 5, rng.integers(1, 4)).tolist()) for _ in range(5)]
        said = tuple(label for word in words for label in (BOUNDARY, *word))[1:]
        framed = (BOUNDARY, *said, BOUNDARY)
        for part, start in spoken_spans(said).items():
            assert said[start : start + len(part)] == part
            assert framed[start] == framed[start + len(part) + 1] == BOUNDARY


class TestTargets:
    def test_each_phoneme_of_what_is_said_has_its_row(self):
        found = targets(listed((8, 9, 10), BAUER))  # rows: 0 no bias, 1-3 the other, 4-5 the entry
        assert found == [NOT_ASKED, 0, 0, 0, 4, 5, 0, 0, NOT_ASKED]

    def test_an_entry_of_one_row(self):
        assert targets(listed((8, 9, 10), BAUER), by_phoneme=False) == [
            NOT_ASKED,
            0,
            0,
            0,
            2,
            2,
            0,
            0,
            NOT_ASKED,
        ]

    def test_without_a_no_bias_row_nothing_is_asked_elsewhere(self):
        no = NOT_ASKED
        assert targets(listed((8, 9, 10), BAUER), null_row=False) == [no, no, no, no, 3, 4, no, no, no]

    def test_the_longer_of_two_entries_rules_in_any_order(self):
        long = (*BAUER, BOUNDARY, *STREET)
        assert targets(listed(BAUER, long))[4:8] == [3, 4, 5, 6]
        assert targets(listed(long, BAUER))[4:8] == [1, 2, 3, 4]

    def test_what_is_not_said_is_not_looked_for(self):
        assert set(targets(listed((5,), (6, 7)))) == {NOT_ASKED, 0}  # pieces of words are no words
        nothing = Catalogue((), torch.zeros(0, dtype=torch.long), torch.zeros(1, 0, dtype=torch.long))
        assert set(targets(nothing)) == {NOT_ASKED, 0}

    def test_rows_that_are_not_listed_are_passed_over_and_padding_is_not_asked(self):
        catalogue = Catalogue((CALL, BAUER), torch.tensor([0, 0]), torch.tensor([[1, -1], [0, 1]]))
        paths = collate_paths([path_of(BAUER), path_of(SAID)])
        found = attention_targets(
            paths, [spoken_spans(BAUER), spoken_spans(SAID)], catalogue, by_phoneme=True, null_row=True
        )
        assert found[0].tolist() == [NOT_ASKED, 1, 2, *[NOT_ASKED] * 6]
        assert found[1].tolist() == [NOT_ASKED, 1, 2, 0, 3, 4, 0, 0, NOT_ASKED]


class TestLoss:
    def test_by_hand(self):
        weights = torch.tensor([[[0.5, 0.5], [0.1, 0.9]], [[0.2, 0.8], [1.0, 0.0]]])
        asked = torch.tensor([[0, 1], [NOT_ASKED, 0]])
        by_hand = -(np.log(0.5) + np.log(0.9) + np.log(1.0)) / 2
        assert float(attention_loss(weights, asked)) == pytest.approx(by_hand, abs=1e-5)

    def test_nothing_asked_costs_nothing_and_no_weight_is_finite(self):
        weights = torch.zeros(1, 2, 3)
        assert float(attention_loss(weights, torch.full((1, 2), NOT_ASKED))) == 0
        assert torch.isfinite(attention_loss(weights, torch.zeros(1, 2, dtype=torch.long)))

    def test_gradients_by_finite_differences(self):
        weights = torch.rand(2, 3, 4, dtype=torch.float64).softmax(-1).requires_grad_(True)
        asked = torch.tensor([[0, 3, NOT_ASKED], [1, 1, 2]])
        assert torch.autograd.gradcheck(lambda w: attention_loss(w, asked), (weights,))


def model(places, kind=Adapter, classes=CLASSES):
    torch.manual_seed(0)
    base = phoneme_transducer(6, classes, hidden=8, size=12, layers=1, dropout=0.0).eval()
    context = ContextEncoder(classes, kinds=0, embedding=8, hidden=6, size=16)
    return ContextualTransducer(base, context, {place: kind(12, context.size, inner=16) for place in places})


def lesson(found):
    frames = torch.randn(2, 12, 6, generator=torch.Generator().manual_seed(1))
    lengths, sizes = torch.tensor([12, 9]), torch.tensor([len(SAID), len(BAUER)])
    labels = torch.tensor([SAID, (*BAUER, *[1] * (len(SAID) - 2))])
    encodings, _ = found.base.encoder(frames, lengths)
    logits = found.base.joiner(encodings[:, :, None], found.base.predictor(labels)[:, None])
    paths = best_paths(logits.detach(), labels, lengths, sizes)
    catalogue = Catalogue(
        ((8, 9), BAUER, (10, 11, 12)), torch.zeros(3, dtype=torch.long), torch.tensor([[0, 1, 2], [2, 1, -1]])
    )
    asked = attention_targets(
        collate_paths(paths),
        [spoken_spans(SAID), spoken_spans(BAUER)],
        catalogue,
        by_phoneme=True,
        null_row=True,
    )
    return encodings.detach(), labels, collate_paths(paths), catalogue, asked


class TestModel:
    @pytest.mark.parametrize("kind", [Adapter, Combiner])
    def test_what_is_looked_at_is_the_attention_at_each_move(self, kind):
        found = model(PLACES, kind)
        encodings, labels, paths, catalogue, _ = lesson(found)
        prepared = found.prepare(catalogue)
        looked = found.looked_at(encodings, labels, paths, prepared)
        assert set(looked) == set(PLACES)
        guesses = found.base.predictor(labels)
        for i, n in [(0, 0), (0, 5), (1, 3)]:
            t, u = int(paths.times[i, n]), int(paths.rows[i, n])
            streams = {"encoder": encodings[i, t], "predictor": guesses[i, u]}
            streams["joint"] = encodings[i, t] + guesses[i, u]  # parts add nothing before training
            for place, stream in streams.items():
                alone = found.parts[place].attention.weights(stream.expand(2, 1, -1), prepared[place])
                torch.testing.assert_close(looked[place][i, n], alone[i, :, 0].mean(0))

    @pytest.mark.parametrize("place", PLACES)
    def test_a_few_steps_turn_the_attention_to_its_targets(self, place):
        found = model((place,))
        encodings, labels, paths, catalogue, asked = lesson(found)
        optimiser = torch.optim.Adam([*found.context.parameters(), *found.parts.parameters()], lr=0.02)
        losses = []
        for _ in range(60):
            optimiser.zero_grad()
            looked = found.looked_at(encodings, labels, paths, found.prepare(catalogue))
            loss = attention_loss(looked[place], asked)
            loss.backward()
            optimiser.step()
            losses.append(float(loss.detach()))
        assert losses[-1] < 0.5 * losses[0]
