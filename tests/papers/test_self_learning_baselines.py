"""The pointer-generator: probabilities, padding, gradients, an overfitted rephrase, and pairs by hand."""

import numpy as np
import pandas as pd
import pytest
import torch

from echobook.papers.self_learning.baselines import (
    PointerGenerator,
    rephrase_pairs,
    train,
    write,
    written_table,
)
from echobook.papers.self_learning.method import MiningRules, session_graph
from echobook.sessions.backends import duckdb_table
from echobook.sessions.program import COLUMNS, count


def model(words: int = 9, width: int = 8) -> PointerGenerator:
    torch.manual_seed(0)
    return PointerGenerator(words, width=width).double()


SOURCE = torch.tensor([[3, 4, 1, 0, 0], [3, 5, 6, 7, 1]])
WRITTEN = torch.tensor([[2, 3, 8], [2, 4, 5]])


def test_next_words_have_probabilities_that_sum_to_one() -> None:
    net = model()
    found = net(SOURCE, WRITTEN, net.read(SOURCE))
    assert found.shape == (2, 3, 9)
    assert (found >= 0).all()
    torch.testing.assert_close(found.sum(-1), torch.ones(2, 3, dtype=torch.float64))


def test_padding_and_neighbours_change_nothing() -> None:
    net = model()
    alone = net(SOURCE[:1, :3], WRITTEN[:1], net.read(SOURCE[:1, :3]))
    torch.testing.assert_close(alone, net(SOURCE, WRITTEN, net.read(SOURCE))[:1])


def test_a_closed_gate_only_copies() -> None:
    """With the gate at zero all probability lies on words of the request, summed over their places."""
    net = model()
    net.gate.weight.data.zero_()
    net.gate.bias.data.fill_(-50.0)
    found = net(SOURCE, WRITTEN, net.read(SOURCE))[0]
    assert found[:, [1, 3, 4]].sum(-1).min() > 1 - 1e-12
    repeated = torch.tensor([[3, 3, 3]])
    copied = net(repeated, WRITTEN[:1], net.read(repeated))
    torch.testing.assert_close(copied[..., 3], torch.ones(1, 3, dtype=torch.float64))


def test_the_gradient_is_that_of_finite_differences() -> None:
    net = model(width=4)

    def likelihood(weight: torch.Tensor) -> torch.Tensor:
        parts = dict(net.named_parameters()) | {"attention.weight": weight}
        memory = net.read(SOURCE)
        return torch.func.functional_call(net, parts, (SOURCE, WRITTEN, memory)).log().sum()

    weight = net.attention.weight.detach().clone().requires_grad_()
    assert torch.autograd.gradcheck(likelihood, weight)


PAIRS = [("play maj", "play imagine"), ("stop it", "halt it"), ("go on now please", "go on")]


def test_it_learns_three_rephrases_by_heart_and_repeats_for_a_seed() -> None:
    state = torch.random.get_rng_state()
    net, places = train(PAIRS * 10, seed=0, epochs=120, width=16)
    assert write(net, places, [a for a, _ in PAIRS]) == [b for _, b in PAIRS]
    assert write(net, places, ["stop it"]) == ["halt it"]
    again, _ = train(PAIRS * 10, seed=0, epochs=2, width=16)
    twice, _ = train(PAIRS * 10, seed=0, epochs=2, width=16)
    assert torch.equal(again.writer.weight, twice.writer.weight)
    assert torch.equal(state, torch.random.get_rng_state())


def sessions() -> pd.DataFrame:
    """Twenty users each: a rephrase that helps, one too late, one that fails, one that repeats."""
    rows = []
    for user in range(20):
        rows += [
            (f"a{user}", 0.0, "play maj", "play:maj", 0),
            (f"a{user}", 9.0, "play imagine", "play:imagine", 1),
        ]
        rows += [(f"b{user}", 0.0, "late", "late", 0), (f"b{user}", 99.0, "right", "right", 1)]
        rows += [(f"c{user}", 0.0, "bad", "bad", 0), (f"c{user}", 9.0, "worse", "worse", 0)]
        rows += [(f"d{user}", 0.0, "same", "other", 0), (f"d{user}", 9.0, "same", "same", 1)]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def test_pairs_by_hand() -> None:
    pairs = rephrase_pairs(sessions().sample(frac=1, random_state=0), gap_s=45.0)
    assert pairs == [("play maj", "play imagine")] * 20


def test_only_failing_texts_are_rewritten_and_only_into_what_was_said() -> None:
    graph = session_graph(count(duckdb_table(sessions()), gap_s=45.0), MiningRules())
    net, places = train(rephrase_pairs(sessions(), gap_s=45.0), seed=0, epochs=120, width=16)
    table = written_table(net, places, graph)
    assert table == {"play maj": "play imagine"}
    assert written_table(net, places, graph, min_texts=21) == {}


def test_nothing_to_learn_and_nothing_to_write() -> None:
    with pytest.raises(ValueError, match="no failed request with a successful rephrase: nothing to train on"):
        train([], seed=0)
    assert write(model().float(), {}, []) == []
    assert np.isfinite(model().gate.bias.detach().numpy()).all()
