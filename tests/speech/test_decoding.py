"""Decoding against a plain loop, against the loss, and against enumeration of all strings."""

import itertools
import math

import pytest
import torch

from echobook.speech.decoding import GreedyDecoder, beam_search, greedy
from echobook.speech.model import AdditiveJoiner, LSTMEncoder, PredictionNetwork, Transducer
from echobook.speech.transducer import transducer_loss


def model(seed=0, classes=4, sharp=6.0):
    torch.manual_seed(seed)
    net = Transducer(
        LSTMEncoder(5, hidden=7, size=6, layers=1),
        PredictionNetwork(classes, embedding=3, hidden=8, size=6),
        AdditiveJoiner(6, classes),
    ).eval()
    with torch.no_grad():
        net.joiner.output.weight.mul_(sharp)
    return net.double()


def frames(batch, size, seed=0):
    g = torch.Generator().manual_seed(seed)
    return torch.randn(batch, size, 5, generator=g, dtype=torch.float64)


@torch.no_grad()
def looped_greedy(net, x, cap):
    """One utterance, one move at a time, the prediction network re-run from the start for each."""
    encodings, labels, times, score = net.encoder(x[None], torch.tensor([len(x)]))[0][0], [], [], 0.0
    for t, encoding in enumerate(encodings):
        for s in range(cap + 1):
            history = torch.tensor([labels], dtype=torch.long)
            logp = net.joiner(encoding, net.predictor(history)[0, -1]).log_softmax(-1)
            move = 0 if s == cap else int(logp.argmax())
            score += float(logp[move])
            if move == 0:
                break
            labels.append(move)
            times.append(t)
    return tuple(labels), tuple(times), score


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("cap", [1, 3])
def test_greedy_equals_the_loop(seed, cap):
    net, x, lengths = model(seed), frames(3, 9, seed), torch.tensor([9, 4, 6])
    found = greedy(net, x, lengths, cap=cap)
    for i, hypothesis in enumerate(found):
        labels, times, score = looped_greedy(net, x[i, : lengths[i]], cap)
        assert hypothesis[:2] == (labels, times)
        assert hypothesis.score == pytest.approx(score, abs=1e-9)


def test_the_cap_ends_a_model_that_never_stops():
    net = model()
    with torch.no_grad():
        net.joiner.output.weight.zero_()
        net.joiner.output.bias.copy_(torch.tensor([0.0, 5.0, 0.0, 0.0]))
    (found,) = greedy(net, frames(1, 3), torch.tensor([3]), cap=2)
    assert found.labels == (1,) * 6
    assert found.times == (0, 0, 1, 1, 2, 2)


def test_a_model_that_always_stops_writes_nothing():
    net = model()
    with torch.no_grad():
        net.joiner.output.weight.zero_()
        net.joiner.output.bias.copy_(torch.tensor([math.log(7.0), 0.0, 0.0, 0.0]))
    (found,) = greedy(net, frames(1, 3), torch.tensor([3]))
    assert found.labels == ()
    assert found.score == pytest.approx(3 * math.log(0.7))
    assert beam_search(net, frames(1, 3)[0], width=2)[0].labels == ()


def test_chunks_equal_the_whole():
    net, x = model(3), frames(2, 8)
    whole = greedy(net, x, torch.tensor([8, 8]))
    encodings = net.encoder(x, torch.tensor([8, 8]))[0].detach()
    decoder = GreedyDecoder(net, 2)
    for piece in encodings.split([1, 4, 3], dim=1):
        decoder.advance(piece)
    assert decoder.hypotheses == whole


@pytest.mark.parametrize("seed", range(4))
def test_wide_beam_scores_are_transducer_losses(seed):
    # 2 labels, strings of up to 3; cap 3 never binds for those, so the score is -loss exactly.
    net, x = model(seed, classes=3, sharp=2.0), frames(1, 3, seed)
    found = {h.labels: h.score for h in beam_search(net, x[0], width=2000, cap=3)}
    for size in range(4):
        for labels in itertools.product((1, 2), repeat=size):
            target = torch.tensor([labels], dtype=torch.long).reshape(1, size)
            logits, lengths = net(x, torch.tensor([3]), target)
            loss = transducer_loss(logits, target, lengths, torch.tensor([size]))
            assert found[labels] == pytest.approx(-loss.item(), abs=1e-9)


def test_wide_beam_with_cap_one_is_the_enumeration():
    # With one label per frame at most and 2 frames there are 1 + 2*2 + 4 strings; their probabilities do not
    # sum to 1, since alignments with two labels in a frame are left out.
    net, x = model(1, classes=3, sharp=2.0), frames(1, 2)
    found = beam_search(net, x[0], width=100, cap=1)
    assert len(found) == 7
    assert sum(math.exp(h.score) for h in found) < 1
    assert [h.score for h in found] == sorted((h.score for h in found), reverse=True)
    assert all(len(h.times) == len(h.labels) for h in found)
    assert all(list(h.times) == sorted(h.times) for h in found)


@pytest.mark.parametrize("seed", range(5))
def test_a_wider_beam_is_never_worse_here_and_beats_greedy(seed):
    net, x = model(seed), frames(1, 6, seed)
    (one,) = greedy(net, x, torch.tensor([6]), cap=3)
    wide = beam_search(net, x[0], width=64, cap=3)
    assert wide[0].score >= one.score - 1e-9
    assert len(beam_search(net, x[0], width=8, cap=3, best=2)) == 2


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: greedy(model(), frames(1, 2), torch.tensor([2]), cap=0), "cap is 0; expected at least 1"),
        (lambda: beam_search(model(), frames(1, 2)[0], width=0), "width is 0 and cap is 5"),
    ],
)
def test_refusals(call, message):
    with pytest.raises(ValueError, match=message):
        call()


class PassOn(torch.nn.Module):
    def forward(self, frames, lengths):
        return frames, lengths


class CountLabels(torch.nn.Module):
    """The prediction is the number of labels written, one-hot; so is the state."""

    def __init__(self, rows):
        super().__init__()
        self.rows = rows

    def initial_state(self, batch):
        return (torch.full((batch,), -1),)

    def step(self, labels, state):
        count = (state[0] + 1).clamp_max(self.rows - 1)
        return eye(self.rows)[count], (count,)


class LookUp(torch.nn.Module):
    def __init__(self, table):
        super().__init__()
        self.table = torch.tensor(table, dtype=torch.float64)  # (T, U1, V) probabilities

    def forward(self, encodings, predictions):
        return torch.einsum("...t,...u,tuv->...v", encodings, predictions, self.table).log()


def table_model(table):
    """A transducer whose probabilities stand in a table; frames are one-hot."""
    return Transducer(PassOn(), CountLabels(len(table[0])), LookUp(table))


def eye(frames):
    return torch.eye(frames, dtype=torch.float64)


# One label; P(blank), P(label) at (t, u). After the label only blanks.
ONE_LABEL = [[[0.8, 0.2], [0.9, 0.1]], [[0.5, 0.5], [0.6, 0.4]]]


def test_beam_adds_alignments_by_hand():
    # "1" at frame 0: .2 * .9 * .6 = .108, at frame 1: .8 * .5 * .6 = .24; "" : .8 * .5 = .4
    found = {h.labels: h for h in beam_search(table_model(ONE_LABEL), eye(2), width=50, cap=1)}
    assert found[()].score == pytest.approx(math.log(0.4))
    assert found[(1,)].score == pytest.approx(math.log(0.108 + 0.24))
    assert found[(1,)].times == (1,)  # the more probable alignment
    assert found[(1, 1)].times == (0, 1)
    # one label a frame: "1 1" is .2 * .9 * .4 * (blank .6)
    assert found[(1, 1)].score == pytest.approx(math.log(0.2 * 0.9 * 0.4 * 0.6))


def test_beam_finds_what_greedy_misses():
    # The blank is the best move at both frames (.55), yet the string with one label is more probable:
    # .45 * 1 * 1 + .55 * .45 * 1 = .6975 against .55 * .55 = .3025
    table = [[[0.55, 0.45], [1 - 1e-9, 1e-9]], [[0.55, 0.45], [1 - 1e-9, 1e-9]]]
    (best, second) = beam_search(table_model(table), eye(2), width=2, cap=1)
    assert best.labels == (1,)
    assert best.score == pytest.approx(math.log(0.6975), abs=1e-6)
    assert second.labels == ()
    assert second.score == pytest.approx(math.log(0.3025), abs=1e-6)
    (one,) = greedy(table_model(table), eye(2)[None], torch.tensor([2]))
    assert one.labels == ()


def test_greedy_times_and_score_by_hand():
    # frame 0: label (.6) then blank (.7); frame 1: blank (.9)
    table = [[[0.4, 0.6], [0.7, 0.3]], [[0.5, 0.5], [0.9, 0.1]]]
    (one,) = greedy(table_model(table), eye(2)[None], torch.tensor([2]))
    assert (one.labels, one.times) == ((1,), (0,))
    assert one.score == pytest.approx(math.log(0.6 * 0.7 * 0.9))


def test_the_cap_holds_for_every_frame_of_the_beam():
    # labels are nearly free: only the cap keeps strings short
    table = [[[0.01, 0.99]] * 9] * 3
    for cap in (1, 2):
        found = beam_search(table_model(table), eye(3), width=100, cap=cap)
        assert max(len(h.labels) for h in found) == 3 * cap
        assert all(max(h.times.count(t) for t in range(3)) <= cap for h in found)


@pytest.mark.parametrize("seed", range(5))
def test_the_n_best_list_is_in_order_without_twins(seed):
    net, x = model(seed, sharp=3.0), frames(1, 5, seed)
    found = beam_search(net, x[0], width=6, cap=2)
    assert len(found) == len({h.labels for h in found}) == 6
    scores = [h.score for h in found]
    assert scores == sorted(scores, reverse=True)
    assert beam_search(net, x[0], width=6, cap=2, best=3) == found[:3]
    assert all(len(h.times) == len(h.labels) and list(h.times) == sorted(h.times) for h in found)
    # a narrow beam loses alignments, never gains: its scores are below the loss-based probability
    for h in found:
        target = torch.tensor([h.labels], dtype=torch.long).reshape(1, -1)
        logits, lengths = net(x, torch.tensor([5]), target)
        loss = transducer_loss(logits, target, lengths, torch.tensor([len(h.labels)]))
        assert h.score <= -loss.item() + 1e-9


def test_an_utterance_that_has_ended_is_left_alone():
    net, x = model(2), frames(3, 7, 2)
    lengths = torch.tensor([7, 0, 3])
    encodings = net.encoder(x, lengths)[0].detach()
    decoder = GreedyDecoder(net, 3)
    decoder.advance(encodings[:, :4], torch.tensor([4, 0, 3]))
    decoder.advance(encodings[:, 4:], torch.tensor([3, 0, 0]))
    assert decoder.hypotheses == greedy(net, x, lengths)
    assert decoder.hypotheses[1].labels == ()
    assert decoder.hypotheses[1].score == 0
    assert max(decoder.hypotheses[2].times, default=0) < 3
