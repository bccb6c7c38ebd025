"""Transducer parts: shapes, step by step against whole, parameter counts, loss against the kernel."""

import pytest
import torch

from echobook.speech.model import AdditiveJoiner, LSTMEncoder, PredictionNetwork, Transducer
from echobook.speech.transducer import transducer_loss


def model(seed=0):
    torch.manual_seed(seed)
    return Transducer(
        LSTMEncoder(5, hidden=7, size=6, layers=2),
        PredictionNetwork(4, embedding=3, hidden=8, size=6),
        AdditiveJoiner(6, 4),
    ).eval()


def test_prediction_steps_equal_the_whole():
    predictor = model().predictor
    labels = torch.tensor([[1, 3, 2], [2, 2, 1]])
    whole, state = predictor(labels), predictor.initial_state(2)
    for u, column in enumerate([torch.zeros(2, dtype=torch.long), *labels.T]):
        row, state = predictor.step(column, state)
        torch.testing.assert_close(row, whole[:, u])


def test_prediction_row_u_does_not_see_label_u_plus_one():
    predictor = model().predictor
    a, b = predictor(torch.tensor([[1, 2, 3]])), predictor(torch.tensor([[1, 2, 1]]))
    assert torch.equal(a[:, :3], b[:, :3])
    assert not torch.equal(a[:, 3], b[:, 3])


def test_joiner_by_hand():
    joiner = AdditiveJoiner(2, 2)
    with torch.no_grad():
        joiner.output.weight.copy_(torch.eye(2))
        joiner.output.bias.copy_(torch.tensor([1.0, 0.0]))
    out = joiner(torch.tensor([0.5, 0.0]), torch.tensor([0.5, 0.0]))
    torch.testing.assert_close(out, torch.tensor([1 + 0.7615942, 0.0]))


def test_logits_and_loss():
    net, labels = model(), torch.tensor([[1, 2], [3, 0]])
    frames, lengths, counts = torch.randn(2, 4, 5), torch.tensor([4, 3]), torch.tensor([2, 1])
    logits, sizes = net(frames, lengths, labels)
    assert logits.shape == (2, 4, 3, 4)
    assert torch.equal(sizes, lengths)
    loss = net.loss(frames, lengths, labels, counts, fastemit=0.1)
    torch.testing.assert_close(loss, transducer_loss(logits, labels, lengths, counts))
    loss.backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in net.parameters())


def test_parameter_counts_by_hand():
    net = model()
    encoder = 4 * 7 * (5 + 7 + 2) + (7 * 6 + 6) + 4 * 7 * (6 + 7 + 2) + (7 * 6 + 6)
    predictor = 4 * 3 + 4 * 8 * (3 + 8 + 2) + 8 * 6 + 6
    for part, expected in ((net.encoder, encoder), (net.predictor, predictor), (net.joiner, 6 * 4 + 4)):
        assert sum(p.numel() for p in part.parameters()) == expected


def test_a_tiny_problem_is_learnt():
    net = model().train()
    optimiser = torch.optim.Adam(net.parameters(), lr=0.03)
    g = torch.Generator().manual_seed(0)
    frames, labels = torch.randn(2, 6, 5, generator=g), torch.tensor([[1, 2], [3, 1]])
    for _ in range(200):
        loss = net.loss(frames, torch.tensor([6, 6]), labels, torch.tensor([2, 2]))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert loss.item() < 0.2


def test_loss_names_a_bad_label():
    with pytest.raises(ValueError, match=r"labels\[0, 0\] is 0"):
        model().loss(torch.zeros(1, 3, 5), torch.tensor([3]), torch.tensor([[0]]), torch.tensor([1]))


def test_padding_labels_do_not_reach_the_loss():
    net = model()
    frames, lengths, counts = torch.randn(2, 4, 5), torch.tensor([4, 2]), torch.tensor([2, 1])
    losses = [
        net.loss(frames, lengths, torch.tensor([[1, 2], [3, padding]]), counts).item()
        for padding in (0, 1, 3)
    ]
    assert losses[0] == losses[1] == losses[2]


def test_batch_loss_is_the_mean_over_utterances():
    net = model().double()
    frames, lengths = torch.randn(2, 4, 5).double(), torch.tensor([4, 3])
    labels, counts = torch.tensor([[1, 2], [3, 1]]), torch.tensor([2, 0])
    alone = [
        net.loss(frames[i : i + 1, :t], lengths[i : i + 1], labels[i : i + 1, :u], counts[i : i + 1])
        for i, (t, u) in enumerate([(4, 2), (3, 0)])
    ]
    together = net.loss(frames, lengths, labels, counts)
    torch.testing.assert_close(together, torch.stack(alone).mean())


def test_gradient_through_the_whole_model_by_finite_differences():
    net = model().double()
    labels, counts = torch.tensor([[1, 2], [3, 1]]), torch.tensor([2, 1])

    def loss(frames):
        return net.loss(frames, torch.tensor([3, 2]), labels, counts)

    assert torch.autograd.gradcheck(loss, (torch.randn(2, 3, 5).double().requires_grad_(),))


def test_any_joiner_will_do():
    class Product(torch.nn.Module):
        """A general joiner: nothing in the model or the loss asks for a sum."""

        def __init__(self):
            super().__init__()
            self.output = torch.nn.Linear(6, 4)

        def forward(self, encodings, predictions):
            return self.output(encodings * predictions)

    base = model()
    net = Transducer(base.encoder, base.predictor, Product())
    frames, lengths, labels = torch.randn(2, 4, 5), torch.tensor([4, 3]), torch.tensor([[1, 2], [3, 1]])
    logits, _ = net(frames, lengths, labels)
    assert logits.shape == (2, 4, 3, 4)
    net.loss(frames, lengths, labels, torch.tensor([2, 2])).backward()
    assert net.joiner.output.weight.grad.abs().sum() > 0


def test_dropout_acts_in_training_only():
    torch.manual_seed(0)
    encoder = LSTMEncoder(5, hidden=7, size=6, layers=1, dropout=0.5)
    frames, lengths = torch.randn(1, 4, 5), torch.tensor([4])
    assert not torch.equal(encoder(frames, lengths)[0], encoder(frames, lengths)[0])
    encoder.eval()
    assert torch.equal(encoder(frames, lengths)[0], encoder(frames, lengths)[0])


def test_states_of_rows_can_be_picked():
    predictor = model().predictor
    _, state = predictor.step(torch.tensor([1, 2, 3]), predictor.initial_state(3))
    picked = tuple(part[[2, 0]] for part in state)
    rows, _ = predictor.step(torch.tensor([1, 1]), picked)
    for i, first in enumerate((3, 1)):
        _, own = predictor.step(torch.tensor([first]), predictor.initial_state(1))
        torch.testing.assert_close(rows[i], predictor.step(torch.tensor([1]), own)[0][0])
