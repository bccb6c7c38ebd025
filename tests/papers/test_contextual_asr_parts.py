"""Context encoder, parts, model: by hand, against loops, bit-identity with the base, freezing, gradients."""

import itertools

import pytest
import torch

from echobook.papers.contextual_asr.context import Context, ContextEncoder
from echobook.papers.contextual_asr.model import PLACES, ContextualTransducer
from echobook.papers.contextual_asr.parts import Adapter, CarryOver, Combiner, ContextAttention, Window
from echobook.speech.biasing.alignment import best_paths, collate_paths
from echobook.speech.biasing.catalogues import Catalogue
from echobook.speech.biasing.phonemes import CLASSES
from echobook.speech.biasing.recogniser import phoneme_transducer

E, FEATURES = 12, 6
PARTS = {"adapter": Adapter, "combiner": Combiner, "carry-over": CarryOver}


def catalogue(rows=((0, 1, 2), (2, -1, -1))):
    labels = ((2, 3, 4), (5, 6), (7,))
    return Catalogue(labels, torch.tensor([0, 1, 1]), torch.tensor(rows))


def encoder(**settings):
    torch.manual_seed(1)
    return ContextEncoder(CLASSES, kinds=3, embedding=5, hidden=4, size=6, kind_size=2, **settings)


def model(parts=("encoder",), kind=Adapter, frozen=True, trained=False):
    torch.manual_seed(0)
    base = phoneme_transducer(FEATURES, CLASSES, hidden=8, size=E, layers=1, dropout=0.3)
    context = encoder()
    made = {place: kind(E, context.size, inner=8) for place in parts}
    found = ContextualTransducer(base, context, made, frozen=frozen)
    if trained:
        for weight in found.parts.parameters():
            torch.nn.init.normal_(weight, std=0.3)
    return found


def batch():
    generator = torch.Generator().manual_seed(3)
    frames = torch.randn(2, 7, FEATURES, generator=generator)
    return frames, torch.tensor([7, 5]), torch.tensor([[2, 3, 4], [5, 1, 1]]), torch.tensor([3, 1])


def run(found, prepared):
    frames, lengths, labels, sizes = batch()
    found.eval()
    encodings, _ = found.base.encoder(frames, lengths)
    biased, _ = found.encode(frames, lengths, prepared)
    loss = found.loss_of_encodings(encodings, lengths, labels, sizes, prepared)
    step = found.logits(prepared)(biased[:, 0], torch.zeros(2, 3, 2, dtype=torch.long))
    return biased, loss, step


class TestContextEncoder:
    def test_the_null_row_comes_first_and_padding_is_not_listed(self):
        context = encoder(by_phoneme=False)
        states, listed = context(catalogue())
        assert states.shape == (2, 4, 8)
        assert listed.tolist() == [[True] * 4, [True, True, False, False]]
        assert torch.equal(states[0, 0], context.null_row)
        assert torch.equal(states[0, 3], states[1, 1])

    def test_each_phoneme_is_a_row_in_the_order_of_the_list(self):
        context = encoder()
        states, listed = context(catalogue())
        assert listed.tolist() == [[True] * 7, [True, True, *[False] * 5]]
        rows = context.entries(catalogue())
        in_order = [rows[0, 0], rows[0, 1], rows[0, 2], rows[1, 0], rows[1, 1], rows[2, 0]]
        assert torch.equal(states[0], torch.stack([context.null_row, *in_order]))
        assert torch.equal(states[1, :2], torch.stack([context.null_row, rows[2, 0]]))
        assert not states[1, 2:].any()

    def test_a_phoneme_row_is_made_of_states_and_the_last_three_embeddings(self):
        context = encoder()
        one = Catalogue(((2, 3, 4, 5),), torch.tensor([1]), torch.tensor([[0]]))
        units = context.embedding(torch.tensor([[2, 3, 4, 5]]))
        states, _ = context.lstm(units)
        for place in range(4):
            before = [units[0, place - n] if place >= n else torch.zeros(5) for n in range(3)]
            row = context.projection(torch.cat([states[0, place], *before]))
            expected = torch.cat([row, context.kinds.weight[1]])
            torch.testing.assert_close(context.entries(one)[0, place], expected)

    @pytest.mark.parametrize("by_phoneme", [True, False])
    def test_an_entry_does_not_depend_on_its_neighbours(self, by_phoneme):
        context = encoder(by_phoneme=by_phoneme)
        whole = context.entries(catalogue())
        for i, labels in enumerate(catalogue().labels):
            one = Catalogue((labels,), catalogue().kinds[i : i + 1], torch.tensor([[0]]))
            rows = len(labels) if by_phoneme else 1
            torch.testing.assert_close(context.entries(one)[0], whole[i, :rows])

    def test_the_order_of_phonemes_matters(self):
        turned = Catalogue(((2, 3, 4), (4, 3, 2)), torch.tensor([0, 0]), torch.tensor([[0, 1]]))
        one, two = encoder(by_phoneme=False).entries(turned)
        assert not torch.equal(one, two)
        one, two = encoder().entries(turned)
        assert not torch.equal(one.sort(0).values, two.sort(0).values)

    def test_kinds_are_told_apart_only_with_a_type_embedding(self):
        labels, kinds = ((2, 3), (2, 3)), torch.tensor([0, 1])
        twins = Catalogue(labels, kinds, torch.tensor([[0, 1]]))
        one, two = encoder().entries(twins)
        assert not torch.equal(one, two)
        one, two = ContextEncoder(CLASSES, kinds=0, embedding=5, hidden=4, size=6).entries(twins)
        torch.testing.assert_close(one, two)

    @pytest.mark.parametrize("by_phoneme", [True, False])
    def test_an_empty_catalogue_has_the_null_row_alone(self, by_phoneme):
        nothing = Catalogue((), torch.zeros(0, dtype=torch.long), torch.zeros(2, 0, dtype=torch.long))
        states, listed = encoder(by_phoneme=by_phoneme)(nothing)
        assert states.shape == (2, 1, 8)
        assert listed.all()
        assert encoder(null_row=False, by_phoneme=by_phoneme)(nothing).states.shape == (2, 0, 8)


class TestAttention:
    def test_against_a_loop(self):
        torch.manual_seed(2)
        attention = ContextAttention(E, 8, inner=6, heads=2)
        context = Context(torch.randn(2, 3, 8), torch.tensor([[True, True, False], [True, True, True]]))
        stream = torch.randn(2, 4, E)
        found = attention(stream, attention.project(context))
        for b, t, head in itertools.product(range(2), range(4), range(2)):
            part = slice(3 * head, 3 * head + 3)
            query = attention.query(stream[b, t])[part]
            rows = context.states[b][context.listed[b]]
            weights = (attention.key(rows)[:, part] @ query / 3**0.5).softmax(0)
            torch.testing.assert_close(found[b, t, part], weights @ attention.value(rows)[:, part])

    def test_weights_sum_to_one_and_rows_may_be_reordered(self):
        attention = ContextAttention(E, 8, inner=6)
        states = torch.randn(1, 5, 8)
        listed = torch.ones(1, 5, dtype=torch.bool)
        stream = torch.randn(1, 3, E)
        one = attention.project(Context(states, listed))
        other = attention.project(Context(states[:, [4, 2, 0, 1, 3]], listed))
        torch.testing.assert_close(attention.weights(stream, one).sum(-1), torch.ones(1, 1, 3))
        torch.testing.assert_close(attention(stream, one), attention(stream, other))

    def test_without_any_row_the_bias_is_zero_and_not_nan(self):
        part = Adapter(E, 8, inner=4)
        torch.nn.init.normal_(part.output.weight)
        stream = torch.randn(2, 3, E)
        for rows in (0, 2):
            context = Context(torch.randn(2, rows, 8), torch.zeros(2, rows, dtype=torch.bool))
            assert torch.equal(part(stream, part.attention.project(context)), stream)

    @pytest.mark.parametrize("kind", PARTS)
    def test_streams_of_any_shape(self, kind):
        part = PARTS[kind](E, 8, inner=8)
        for weight in part.parameters():
            torch.nn.init.normal_(weight, std=0.5)
        context = Context(torch.randn(2, 3, 8), torch.ones(2, 3, dtype=torch.bool))
        projected = part.attention.project(context)
        joint = torch.randn(2, 4, 5, E)
        whole = part(joint, projected)
        for t in range(4):
            torch.testing.assert_close(part(joint[:, t], projected), whole[:, t], rtol=1e-5, atol=1e-5)

    def test_heads_must_divide(self):
        with pytest.raises(ValueError, match="multiple of the heads and an odd window; got inner=6, heads=4"):
            ContextAttention(E, 8, inner=6, heads=4)
        with pytest.raises(ValueError, match="an odd window; got inner=6, heads=1, window=4"):
            ContextAttention(E, 8, inner=6, window=4)

    def test_a_window_sees_its_neighbours_and_no_further(self):
        torch.manual_seed(5)
        window = Window(E, 4, 3)
        stream = torch.randn(1, 6, E)
        padded = torch.cat([torch.zeros(1, 1, E), stream, torch.zeros(1, 1, E)], 1)
        for t in range(6):
            by_hand = torch.einsum("iew,we->i", window.map.weight, padded[0, t : t + 3])
            torch.testing.assert_close(window(stream)[0, t], by_hand)
        changed = stream.clone()
        changed[0, 3] += 1
        moved = (window(changed) - window(stream)).abs().sum(2)[0] > 1e-6
        assert moved.tolist() == [False, False, True, True, True, False]


class TestModel:
    @pytest.mark.parametrize("kind", PARTS)
    @pytest.mark.parametrize("place", PLACES)
    def test_before_training_the_base_is_untouched_to_the_last_bit(self, kind, place):
        found = model((place,), PARTS[kind])
        for one, other in zip(run(found, found.prepare(catalogue())), run(found, None), strict=True):
            assert torch.equal(one, other)

    @pytest.mark.parametrize("place", PLACES)
    def test_late_context_is_the_base_to_the_last_bit_even_after_training(self, place):
        found = model((place,), trained=True)
        frames, lengths, labels, sizes = batch()
        base = found.base.eval()
        late = run(found, found.prepare(None))
        assert torch.equal(late[0], base.encoder(frames, lengths)[0])
        assert torch.equal(late[1], base.loss(frames, lengths, labels, sizes))

    def test_a_trained_null_row_is_not_the_same_as_no_context(self):
        found = model(trained=True)
        nothing = Catalogue((), torch.zeros(0, dtype=torch.long), torch.zeros(2, 0, dtype=torch.long))
        assert not torch.equal(run(found, found.prepare(nothing))[0], run(found, None)[0])

    @pytest.mark.parametrize("place", PLACES)
    def test_a_trained_part_moves_the_loss_and_the_search_alike(self, place):
        found = model((place,), trained=True)
        with_context, without = run(found, found.prepare(catalogue())), run(found, None)
        assert not torch.equal(with_context[1], without[1])
        assert not torch.equal(with_context[2], without[2])

    def test_one_list_for_all_equals_the_list_given_to_each(self):
        found = model(PLACES, trained=True)
        each, shared = catalogue(((0, 1, 2), (0, 1, 2))), catalogue(((0, 1, 2),))
        for one, other in zip(
            run(found, found.prepare(each)), run(found, found.prepare(shared)), strict=True
        ):
            torch.testing.assert_close(one, other)

    def test_a_frozen_base_keeps_weights_and_dropout_still(self):
        found = model(PLACES).train()
        assert not found.base.encoder.dropout.training
        assert found.context.training
        frames, lengths, labels, sizes = batch()
        for weight in found.parts.parameters():
            torch.nn.init.normal_(weight, std=0.3)
        encodings, _ = found.base.encoder(frames, lengths)
        found.loss_of_encodings(encodings, lengths, labels, sizes, found.prepare(catalogue())).backward()
        assert all(weight.grad is None for weight in found.base.parameters())
        assert all(weight.grad is not None for weight in [*found.parts.parameters(), found.context.null_row])

    @pytest.mark.parametrize("place", PLACES)
    def test_the_loss_along_a_path_is_that_of_its_cells_in_the_whole_lattice(self, place):
        found = model((place,), trained=True).eval()
        frames, lengths, labels, sizes = batch()
        encodings, _ = found.base.encoder(frames, lengths)
        prepared = found.prepare(catalogue())
        biased = found.apply_part("encoder", encodings, prepared)
        guessed = found.apply_part("predictor", found.base.predictor(labels), prepared)
        lattice = found.join(biased[:, :, None], guessed[:, None], prepared)
        paths = best_paths(lattice, labels, lengths, sizes)
        logp = lattice.log_softmax(-1)
        by_hand = [-logp[i, path.times, path.rows, path.classes].sum() for i, path in enumerate(paths)]
        along = found.loss_along(encodings, labels, collate_paths(paths), prepared)
        torch.testing.assert_close(along, torch.stack(by_hand).mean())
        assert along > found.loss_of_encodings(encodings, lengths, labels, sizes, prepared)

    def test_an_unfrozen_base_learns_too(self):
        found = model(frozen=False).train()
        assert found.base.encoder.dropout.training
        assert all(weight.requires_grad for weight in found.base.parameters())

    def test_gradients_by_finite_differences(self):
        part = Adapter(3, 4, inner=4).double()
        torch.nn.init.normal_(part.output.weight)
        listed = torch.tensor([[True, True, False]])

        def biased(stream, states):
            return part(stream, part.attention.project(Context(states, listed)))

        inputs = [
            torch.randn(1, *shape, dtype=torch.float64, requires_grad=True) for shape in ((2, 3), (3, 4))
        ]
        assert torch.autograd.gradcheck(biased, inputs)

    def test_unknown_places_are_refused(self):
        with pytest.raises(
            ValueError, match="place 'decoder' is unknown; expected some of encoder, predictor"
        ):
            model(("decoder",))
