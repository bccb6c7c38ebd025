"""Parts of the phoneme transducer: against loops, padding, the search's view against the trainer's."""

import pytest
import torch

from echobook.speech.biasing.phonemes import BLANK, CLASSES
from echobook.speech.biasing.recogniser import BidirectionalEncoder, StatelessPredictor, phoneme_transducer
from echobook.speech.transducer import transducer_loss


def encoder(layers=2):
    torch.manual_seed(0)
    return BidirectionalEncoder(5, hidden=4, size=6, layers=layers, dropout=0.5).eval()


def predictor(history=2):
    torch.manual_seed(1)
    return StatelessPredictor(9, embedding=3, size=6, history=history)


def frames(batch=3, length=7, seed=2):
    return torch.randn(batch, length, 5, generator=torch.Generator().manual_seed(seed))


class TestEncoder:
    def test_each_utterance_is_encoded_as_if_alone(self):
        found, lengths = encoder(), torch.tensor([7, 4, 1])
        whole, same = found(frames(), lengths)
        assert torch.equal(same, lengths)
        for i, length in enumerate(lengths.tolist()):
            alone, _ = found(frames()[i : i + 1, :length], lengths[i : i + 1])
            torch.testing.assert_close(whole[i, :length], alone[0])

    def test_what_stands_behind_the_end_is_never_read_and_gives_silence(self):
        found, lengths = encoder(), torch.tensor([7, 4, 1])
        changed = frames()
        changed[1, 4:] = 99.0
        one, two = found(frames(), lengths)[0], found(changed, lengths)[0]
        assert torch.equal(one, two)
        assert not one[1, 4:].any()
        assert not one[2, 1:].any()

    def test_it_hears_both_ways(self):
        found, lengths = encoder(), torch.tensor([7])
        changed = frames(1)
        changed[0, 3] += 1
        moved = (found(changed, lengths)[0] - found(frames(1), lengths)[0]).abs().sum(2)[0]
        assert (moved > 1e-7).all()

    def test_dropout_is_for_training_only(self):
        found, lengths = encoder(), torch.tensor([7, 7, 7])
        assert torch.equal(found(frames(), lengths)[0], found(frames(), lengths)[0])
        found.train()
        assert not torch.equal(found(frames(), lengths)[0], found(frames(), lengths)[0])

    def test_one_layer_has_no_dropout_between_layers(self):
        assert encoder(1).gru.dropout == 0.0
        assert encoder(2).gru.dropout == 0.5


class TestPredictor:
    @pytest.mark.parametrize("history", [1, 2, 4])
    def test_against_a_loop(self, history):
        found = predictor(history)
        labels = torch.tensor([[3, 4, 5, 6], [7, 8, 1, 1]])
        rows = found(labels)
        assert rows.shape == (2, 5, 6)
        for i in range(2):
            for u in range(5):
                last = [BLANK] * history + labels[i, :u].tolist()
                embedded = torch.cat([found.embedding.weight[label] for label in last[-history:]])
                expected = found.projection(torch.relu(found.hidden(embedded)))
                torch.testing.assert_close(rows[i, u], expected)

    def test_labels_older_than_the_history_do_not_matter(self):
        found = predictor(2)
        one, two = torch.tensor([[3, 4, 5, 6]]), torch.tensor([[8, 4, 5, 6]])
        torch.testing.assert_close(found(one)[0, 3:], found(two)[0, 3:])
        assert not torch.allclose(found(one)[0, 2], found(two)[0, 2])

    def test_what_the_search_asks_is_what_training_saw(self):
        found = predictor(2)
        labels = torch.tensor([[3, 4, 5]])
        rows = found(labels)
        asked = found.after(torch.tensor([[[0, 0], [0, 3], [3, 4], [4, 5]]]))
        torch.testing.assert_close(asked, rows)

    def test_step_by_step_is_the_whole_at_once(self):
        found = predictor(3)
        labels = torch.tensor([[3, 4, 5], [6, 7, 8]])
        rows = found(labels)
        state = found.initial_state(2)
        for u, last in enumerate([torch.tensor([BLANK, BLANK]), *labels.unbind(1)]):
            step, state = found.step(last, state)
            torch.testing.assert_close(step, rows[:, u])

    def test_no_labels(self):
        assert predictor()(torch.zeros(2, 0, dtype=torch.long)).shape == (2, 1, 6)

    def test_a_history_of_nothing_is_refused(self):
        with pytest.raises(ValueError, match="history is 0; expected at least 1 label"):
            predictor(0)


class TestTransducer:
    def test_its_loss_is_the_lattice_of_its_own_logits(self):
        torch.manual_seed(3)
        found = phoneme_transducer(5, CLASSES, hidden=6, size=8, layers=1).eval()
        lengths, labels, sizes = torch.tensor([7, 5, 3]), torch.tensor([[2, 3], [4, 1], [5, 1]]), [2, 1, 1]
        logits, same = found(frames(), lengths, labels)
        assert logits.shape == (3, 7, 3, CLASSES)
        expected = transducer_loss(logits, labels, same, torch.tensor(sizes))
        torch.testing.assert_close(found.loss(frames(), lengths, labels, torch.tensor(sizes)), expected)

    def test_every_weight_learns(self):
        torch.manual_seed(3)
        found = phoneme_transducer(5, CLASSES, hidden=6, size=8, dropout=0.0)
        found.loss(
            frames(), torch.tensor([7, 5, 3]), torch.tensor([[2, 3], [4, 1], [5, 1]]), torch.tensor([2, 1, 1])
        ).backward()
        assert all(weight.grad is not None and weight.grad.abs().sum() > 0 for weight in found.parameters())

    def test_sizes_are_passed_on(self):
        found = phoneme_transducer(5, CLASSES, hidden=6, size=8, layers=3)
        assert found.encoder.gru.num_layers == 3
        assert found.encoder.projection.out_features == found.predictor.projection.out_features == 8
        assert found.joiner.output.out_features == CLASSES
