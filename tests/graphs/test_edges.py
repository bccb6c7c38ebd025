"""Messages along edges: by hand, against a dense matrix, gradients, dropping, refusals."""

import numpy as np
import pytest
import torch

from echobook.graphs.edges import build_graph, by_degree, keep_facts, keep_nodes, spread


def graph_of(seed, nodes=9, facts=20, kinds=3):
    rng = np.random.default_rng(seed)
    heads, tails = rng.integers(0, nodes, (2, facts))
    return build_graph(heads, rng.integers(0, kinds, facts), tails, nodes=nodes, kinds=kinds)


@pytest.fixture
def line():
    """0 - 1 - 2 and a node 3 alone; relations 0 and 1."""
    return build_graph(np.array([0, 1]), np.array([0, 1]), np.array([1, 2]), nodes=4, kinds=2)


def test_edges_by_hand(line):
    assert line.head.tolist() == [0, 1, 1, 2]
    assert line.tail.tolist() == [1, 2, 0, 1]
    assert line.relation.tolist() == [0, 1, 2, 3]
    assert line.inverse.tolist() == [2, 3, 0, 1]
    assert line.start.tolist() == [0, 1, 3, 4, 4]
    assert line.degree().tolist() == [1, 2, 1, 0]
    assert (line.nodes, line.facts) == (4, 2)


def test_a_sum_over_neighbours_by_hand(line):
    x = torch.tensor([[1.0], [10.0], [100.0], [1000.0]])
    out = spread(torch.tensor([0.5, 2.0, 3.0, 1.0]), x, line)
    assert out.ravel().tolist() == [5.0, 203.0, 10.0, 0.0]


@pytest.mark.parametrize("seed", range(5))
def test_spread_is_the_product_with_a_dense_matrix(seed):
    """Several edges between two nodes add up, self-loops count twice. float32: 20 terms of size 1."""
    graph = graph_of(seed)
    torch.manual_seed(seed)
    values, x = torch.rand(len(graph.head)), torch.randn(9, 4)
    dense = torch.zeros(9, 9).index_put_((graph.head, graph.tail), values, accumulate=True)
    torch.testing.assert_close(spread(values, x, graph), dense @ x, atol=2e-6, rtol=0)


@pytest.mark.parametrize("seed", range(3))
def test_gradients_to_edges_and_nodes(seed):
    graph = graph_of(seed)
    torch.manual_seed(seed)
    values = torch.rand(len(graph.head), dtype=torch.float64, requires_grad=True)
    x = torch.randn(9, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda v, y: spread(v, y, graph), (values, x))


@pytest.mark.parametrize("seed", range(3))
def test_the_inverse_of_the_inverse_is_the_edge(seed):
    graph = graph_of(seed)
    back = graph.inverse
    assert back[back].tolist() == list(range(len(back)))
    assert graph.head[back].tolist() == graph.tail.tolist()
    assert graph.fact[back].tolist() == graph.fact.tolist()
    assert ((graph.relation - graph.relation[back]).abs() == 3).all()


def test_dropping_facts_takes_both_directions(line):
    kept = keep_facts(graph_of(1, facts=4000), 0.3, np.random.default_rng(0))
    graph = graph_of(1, facts=4000)
    assert (kept == kept[graph.inverse]).all()
    assert abs(float(kept.float().mean()) - 0.7) < 0.03  # 4 standard errors of 4,000 draws
    assert keep_facts(line, 0.0, np.random.default_rng(0)).all()


def test_dropping_nodes_takes_their_edges():
    graph = graph_of(2, nodes=40, facts=500)
    kept = keep_nodes(graph, 0.25, np.random.default_rng(1))
    gone = [node for node in range(40) if not kept[graph.head == node].any()]
    touched = torch.isin(graph.head, torch.tensor(gone)) | torch.isin(graph.tail, torch.tensor(gone))
    assert gone
    assert kept.tolist() == (~touched).tolist()


def test_normalisation_by_degree(line):
    root = 2**-0.5
    torch.testing.assert_close(by_degree(line), torch.tensor([root] * 4))
    kept = torch.tensor([True, False, True, False])
    assert by_degree(line, kept).tolist() == [1.0, 0.0, 1.0, 0.0]


def test_an_empty_graph_sends_nothing():
    none = np.zeros(0, dtype=np.int64)
    graph = build_graph(none, none, none, nodes=3, kinds=1)
    assert spread(torch.zeros(0), torch.ones(3, 2), graph).abs().sum() == 0


@pytest.mark.parametrize(
    ("facts", "message"),
    [(([0], [0, 0], [1]), "1 heads, 2 relations"),
     (([4], [0], [1]), "fact 0: head 4, expected 0 <= head < 4"),
     (([0, 0], [0, 0], [1, -1]), "fact 1: tail -1"), (([0], [2], [1]), "relation 2")],
)  # fmt: skip
def test_bad_facts_are_named(facts, message):
    heads, relations, tails = (np.array(part) for part in facts)
    with pytest.raises(ValueError, match=message):
        build_graph(heads, relations, tails, nodes=4, kinds=2)


def test_wrong_sizes_and_rates_are_refused(line):
    with pytest.raises(ValueError, match="expected 4 values and 4 rows, got 3 and 4"):
        spread(torch.ones(3), torch.ones(4, 1), line)
    for keep in (keep_facts, keep_nodes):
        with pytest.raises(ValueError, match="rate 1"):
            keep(line, 1.0, np.random.default_rng(0))
