"""The rooms of the chapter on C-KGAT: worlds, parts of the model, baselines, training, evaluation, rows."""

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.sparse import csr_matrix

from echobook.data.types import DatasetUse
from echobook.graphs.edges import keep_facts, keep_nodes
from echobook.papers.ckgat import baselines, checks, evaluation, experiment, material, worlds
from echobook.papers.ckgat.experiment import ROWS, build, fit_row, rows_for
from echobook.papers.ckgat.knowledge import Translations, grouped
from echobook.papers.ckgat.material import World, split_pairs
from echobook.papers.ckgat.model import (
    BiInteraction,
    Contrast,
    Encoder,
    ScalarStrength,
    SequenceStrength,
    collaborative_graph,
)
from echobook.papers.ckgat.rates import (
    DECAYS,
    MODELS,
    RATES,
    SEEDS,
    UNTUNED,
    WEIGHTS,
    WITHOUT,
    best_setting,
    chosen,
    tuned,
)
from echobook.papers.ckgat.training import Budget, request_pool, train
from echobook.papers.ckgat.trials import TRIALS

SETTINGS = {"rate": 0.01, "decay": 0.01, "weight": 0.01}
USE = DatasetUse("tiny", "1", "0" * 64, "CC0", {"train": 1}, "here")


def encode(texts):
    """Letters counted: enough of a text for a test."""
    return np.array([[text.count(c) for c in "aeiourstnl"] for text in texts], dtype=np.float32) + 0.1


@pytest.fixture(scope="module")
def kitchen():
    return worlds.kitchen(encode, seed=0, users=60, recipes=40, stray=0.2)


@pytest.fixture
def tiny():
    """Two users, three recipes, one attribute shared by recipes 0 and 1; recipe 2 is to be found."""
    return World(
        "tiny", 2, 3, np.array([0, 0, 1]), np.array([0, 1, 1]), np.array([0, 1]), np.array([0, 0]),
        np.array([3, 3]), ("has",), 4, {"test": csr_matrix([[0, 0, 1], [0, 0, 0]])}, (USE,),
        ("browse", "cook"), np.array([0, 1, 0]), ((0,), (0, 1)),
    )  # fmt: skip


def test_a_graph_by_hand(tiny):
    """Nodes: users 0, 1; recipes 2, 3, 4; attribute 5. Relations: browse, cook, has and their inverses."""
    found = collaborative_graph(tiny)
    facts = {
        (h, r, t)
        for h, r, t in zip(
            *(x.tolist() for x in (found.graph.head, found.graph.relation, found.graph.tail)), strict=True
        )
    }
    assert facts == {
        (0, 0, 2), (0, 1, 3), (1, 0, 3), (2, 2, 5), (3, 2, 5),
        (2, 3, 0), (3, 4, 0), (3, 3, 1), (5, 5, 2), (5, 5, 3),
    }  # fmt: skip
    assert found.graph.degree()[4] == 0  # a recipe without facts or cooks is a node alone
    strong = found.sequence[(found.graph.head == 0) & (found.graph.tail == 3)]
    assert strong.tolist() == [1]
    assert (found.sequence[found.graph.relation % 3 == 2] == -1).all()


def test_worlds_refuse_leaks_and_numbers_out_of_range(tiny):
    with pytest.raises(ValueError, match="user 0, item 1 is in training and in test"):
        material.replace(tiny, wanted={"test": csr_matrix([[0, 1, 0], [0, 0, 0]])})
    with pytest.raises(ValueError, match="items 0 to 9, expected below 3"):
        material.replace(tiny, item=np.array([0, 1, 9]))


def test_splits_keep_every_user_in_all_parts():
    user = np.repeat(np.arange(30), np.arange(5, 35))
    split = split_pairs(user, seed=0)
    counts = pd.crosstab(user, split)
    assert counts.to_numpy().min() >= 1
    assert counts.loc[29].tolist() == [7, 24, 3]  # test, train, validation of 34 pairs
    assert (split_pairs(user, seed=0) == split).all()
    assert (split_pairs(user, seed=1) != split).any()


def test_the_kitchen_as_a_world(kitchen):
    assert (kitchen.users, kitchen.items) == (60, 40)
    assert checks.leak(kitchen) == 0
    assert set(kitchen.relations) == {"cuisine", "ingredients", "keywords", "time"}
    queries = kitchen.requests.asked["test"]
    assert kitchen.requests.matches[queries[:, 1], queries[:, 2]].all()
    assert (kitchen.wanted["test"][queries[:, 0], queries[:, 2]] > 0).all()
    assert kitchen.popularity.sum() == len(kitchen.user)


def test_random_pairs_are_new_and_for_training_only(kitchen):
    noisy = material.with_random_pairs(kitchen, 0.5, seed=0)
    assert len(noisy.user) == round(1.5 * len(kitchen.user))
    assert noisy.seen.max() == 1
    assert noisy.seen.nnz == len(noisy.user)
    assert noisy.wanted is kitchen.wanted
    assert len(noisy.requests.of_pair) == len(noisy.sequence) == len(noisy.user)


def test_changes_of_a_world(kitchen):
    shuffled = material.with_shuffled_facts(kitchen, seed=0)
    assert np.bincount(shuffled.tail).tolist() == np.bincount(kitchen.tail).tolist()
    assert (shuffled.head != kitchen.head).any()
    dealt = material.with_shuffled_behaviours(kitchen, seed=0)
    assert np.bincount(dealt.sequence).tolist() == np.bincount(kitchen.sequence).tolist()
    assert material.without_facts(kitchen).entities == 40
    assert collaborative_graph(material.without_behaviours(kitchen)).graph.relation.max() == 2 * 5 - 1
    assert material.without_texts(kitchen).texts is None


def test_attributes_need_enough_recipes_and_not_too_many():
    book = pd.DataFrame(
        {
            "ingredients": [("salt", "rice"), ("salt", "rice"), ("salt",), ("salt", "fig")],
            "minutes": [10, 0, 50, 300],
        }
    )
    heads, relations, tails, names, entities = worlds.facts_of(book, least=2, most=0.75)
    assert names == ("ingredients", "time")
    assert list(zip(heads.tolist(), relations.tolist(), tails.tolist(), strict=True)) == [
        (0, 0, 4),
        (1, 0, 4),
    ]
    assert entities == 5


@pytest.mark.parametrize("seed", range(3))
def test_checks_hold(seed, kitchen):
    assert checks.attention(seed) < 1e-6
    assert checks.layer(seed) < 1e-5
    assert checks.ranking(seed) < 1e-12
    assert checks.closed_form(seed) < 1e-10
    assert checks.torn(seed) == 0


def test_translations_by_hand():
    """One relation, identity projection: (1, 0) + (0, 2) - (0, 1) = (1, 1), squared length 2."""
    graph = checks.small_graph(0, kinds=1)
    knowledge = Translations(graph, 2)
    with torch.no_grad():
        knowledge.projections[0] = torch.eye(2)
        knowledge.vectors[0] = torch.tensor([0.0, 2.0])
    table = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    zero, one = torch.tensor([0]), torch.tensor([1])
    assert knowledge.distance(table, zero, zero, one).detach().tolist() == [2.0]


def test_grouped_relations():
    groups = grouped(torch.tensor([2, 0, 2, 1]))
    assert [(number, at.tolist()) for number, at in groups] == [(0, [1]), (1, [3]), (2, [0, 2])]


def test_false_tails_are_no_facts():
    graph = checks.small_graph(1, nodes=30, facts=60)
    knowledge = Translations(graph, 4)
    true = set(zip(graph.head.tolist(), graph.relation.tolist(), graph.tail.tolist(), strict=True))
    head, relation = (np.tile(x.numpy(), 20) for x in (graph.head, graph.relation))
    tails = knowledge.false_tails(head, relation, np.random.default_rng(0))
    made = set(zip(head.tolist(), relation.tolist(), tails.tolist(), strict=True))
    assert not true & made


def test_the_translation_loss_brings_facts_together():
    graph = checks.small_graph(2, nodes=30, facts=60)
    knowledge, rng = Translations(graph, 8), np.random.default_rng(0)
    table = torch.nn.Parameter(torch.randn(30, 8))
    optimiser = torch.optim.Adam([table, *knowledge.parameters()], lr=0.05)
    losses = []
    for _ in range(150):
        loss = knowledge.loss(table, rng, batch=64)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    assert np.mean(losses[-20:]) < 0.5 * np.mean(losses[:20])


def test_no_gradient_runs_through_attention(kitchen):
    model = build(ROWS["kgat"], material.without_behaviours(kitchen), seed=0)
    model.refresh(np.random.default_rng(0))
    assert not model.edge_weights[0].requires_grad
    model.embed().sum().backward()
    assert model.knowledge.projections.grad is None
    assert model.table.grad is not None


def test_what_is_concatenated_is_normalised():
    graph = checks.small_graph(0)
    encoder = BiInteraction(graph, Translations(graph, 4), (4, 3, 2)).eval()
    x = torch.randn(graph.nodes, 4)
    out = encoder(x, encoder.weights(x))
    assert out.shape == (graph.nodes, 9)
    torch.testing.assert_close(out[:, :4], x)
    torch.testing.assert_close(out[:, 4:7].norm(dim=1), torch.ones(graph.nodes))
    torch.testing.assert_close(out[:, 7:].norm(dim=1), torch.ones(graph.nodes))
    assert isinstance(encoder, Encoder)


def test_strength_starts_at_the_given_values_and_knows_order():
    sequences = ((0,), (0, 2), (2, 0), (0, 0, 1))
    part = SequenceStrength(sequences, (0.2, 0.5, 0.9))
    torch.testing.assert_close(part(), torch.tensor([0.2, 0.9, 0.9, 0.5]))
    torch.testing.assert_close(
        ScalarStrength(sequences, (0.2, 0.5, 1.0))(), torch.tensor([0.2, 1.0, 1.0, 0.5])
    )
    torch.nn.init.ones_(part.out.weight)
    moved = part()
    assert moved[1] != moved[2]


def test_strengths_have_mean_one_over_pairs_and_learn_from_the_ranking(kitchen):
    model = build(ROWS["ckgat"], kitchen, seed=0)
    model.refresh(np.random.default_rng(0))
    strengths = model.strengths()
    assert float(strengths[torch.from_numpy(kitchen.sequence)].mean().detach()) == pytest.approx(1, abs=1e-5)
    model.embed(0).square().sum().backward()
    assert model.strength.out.weight.grad.abs().sum() > 0
    model.zero_grad()
    model.embed(1).square().sum().backward()
    assert model.strength.out.weight.grad is None


def test_views_share_what_is_left():
    graph = checks.small_graph(3, facts=80)
    rng = np.random.default_rng(0)
    for keep in (keep_facts, keep_nodes):
        views = Contrast(keep=(keep, keep), rate=0.3).views(graph, rng)
        assert (views[0] != views[1]).any()
    encoder = BiInteraction(graph, Translations(graph, 4), (4, 3))
    left = encoder.dropped(encoder.weights(torch.randn(graph.nodes, 4)), views[0])
    assert (left[~views[0]] == 0).all()
    total = torch.zeros(graph.nodes).index_add(0, graph.head, left)
    torch.testing.assert_close(total[total > 0], torch.ones(int((total > 0).sum())))


def test_lightgcn_by_hand():
    """Pair (0, 2) and (1, 2): degrees 1, 1, 2. Node 2 after one layer: (x0 + x1) / sqrt 2; then the mean."""
    pairs = World(
        "two", 2, 1, np.array([0, 1]), np.array([0, 0]), *[np.zeros(0, dtype=np.int64)] * 3, (), 1, {}, (USE,)
    )
    graph = collaborative_graph(pairs).graph
    encoder, x = baselines.Averages(graph, 1), torch.tensor([[1.0], [3.0], [10.0]])
    out = encoder(x, encoder.weights(x)).ravel()
    root = 2**0.5
    torch.testing.assert_close(
        out, torch.tensor([(1 + 10 / root) / 2, (3 + 10 / root) / 2, (10 + 4 / root) / 2])
    )


def test_ease_and_its_neighbours_by_hand():
    x = csr_matrix(np.array([[1.0, 1.0, 0.0], [1.0, 1.0, 0.0], [0.0, 0.0, 1.0]]))
    weights = baselines.ease_weights(x, ridge=1.0)
    np.testing.assert_allclose(np.diag(weights), 0)
    assert weights[0, 1] == pytest.approx(2 / 3)  # one regression on one item: 2 / (2 + 1)
    assert baselines.popularity(x)[1].tolist() == [2, 2, 1]
    knn = baselines.item_knn(x, neighbours=1)
    np.testing.assert_allclose(knn[0], [1.0, 1.0, 0.0], atol=1e-12)
    with pytest.raises(ValueError, match="ridge 0"):
        baselines.ease_weights(x, ridge=0.0)


def test_content_prefers_what_shares_attributes(tiny):
    changed = material.replace(
        tiny, user=np.array([0]), item=np.array([0]), sequence=np.array([0]),
        head=np.array([0, 1, 2]), relation=np.zeros(3, dtype=np.int64), tail=np.array([3, 3, 4]), entities=5,
    )  # fmt: skip
    scores = baselines.content(changed)
    assert scores[0, 1] > scores[0, 2] == 0
    assert scores[1].tolist() == [0, 0, 0]


def test_weighted_pairs(tiny):
    assert baselines.weighted_pairs(tiny, (0.2, 1.0)).toarray().tolist() == [[0.2, 1.0, 0], [0, 0.2, 0]]


def test_pools_hold_the_answers_to_a_request(kitchen):
    pairs = np.arange(len(kitchen.user))
    pool = request_pool(kitchen, pairs, 0.5, np.random.default_rng(0))
    own = pool[:, 0] >= 0
    assert 0.4 < own.mean() < 0.6
    for pair in np.flatnonzero(own)[:20]:
        answers = np.flatnonzero(kitchen.requests.matches[kitchen.requests.of_pair[pair]])
        assert pool[pair][pool[pair] >= 0].tolist() == answers.tolist()
    assert request_pool(kitchen, pairs, 0.0, np.random.default_rng(0)) is None


def test_answers_by_hand(kitchen):
    """The target first among its candidates has rank 1; a constant score puts it last."""
    queries = kitchen.requests.asked["test"]
    table = kitchen.wanted["test"].toarray()
    best = evaluation.answer(evaluation.of_table(table), kitchen)
    assert (best.rank <= [kitchen.wanted["test"][u].nnz for u in queries[:, 0]]).all()
    flat = evaluation.answer(evaluation.of_table(np.zeros_like(table)), kitchen)
    assert (flat.rank == flat.candidates).all()
    some = evaluation.Answers(np.array([1, 5, 6, 11]), np.full(4, 20), np.zeros(4, dtype=np.int64))
    assert some.hit5.tolist() == [1, 1, 0, 0]
    np.testing.assert_allclose(some.ndcg10, [1, 1 / np.log2(6), 1 / np.log2(7), 0])
    with pytest.raises(ValueError, match="no requests to answer"):
        evaluation.answer(evaluation.of_table(table), material.replace(kitchen, requests=None))


def test_the_mix_is_chosen_on_validation_requests(kitchen):
    oracle = kitchen.wanted["validation"].toarray() + kitchen.wanted["test"].toarray()
    assert evaluation.best_mix(evaluation.of_table(oracle), kitchen) > 0.5


def test_rare_and_frequent_items_share_what_is_to_be_found(kitchen):
    score = evaluation.of_table(baselines.popularity(kitchen.seen).astype(float))
    parts = [evaluation.judge_rare(score, kitchen, rare=rare) for rare in (True, False)]
    assert len(np.union1d(parts[0].user, parts[1].user)) == len(evaluation.judge(score, kitchen).user)


@pytest.mark.parametrize("name", list(ROWS))
def test_every_row_trains(name, kitchen):
    fit = fit_row(name, kitchen, Budget(epochs=2, every=1, batch=256), seed=0, settings=SETTINGS)
    assert fit.curve.shape == fit.epoch.shape == (3,)
    assert fit.score(np.arange(3)).shape == (3, 40)
    assert (fit.strengths is not None) == (ROWS[name].strength is not None)


def test_training_beats_chance_and_remembers_a_tiny_world(kitchen):
    """Overfitting: nearly every training pair comes out above nearly everything else of its user."""
    model = build(ROWS["kgat"], material.without_behaviours(kitchen), seed=0)
    plain = material.without_behaviours(kitchen)
    fit = train(model, plain, Budget(epochs=60, every=60, batch=256, rate=0.02, decay=0.0), seed=0)
    model.eval()
    users, items = model.split(model.embed())
    scores = (users @ items.T).detach().numpy()
    above = [
        (scores[u, i] > scores[u][kitchen.seen[[u]].toarray()[0] == 0]).mean()
        for u, i in zip(kitchen.user, kitchen.item, strict=True)
    ]
    assert np.mean(above) > 0.9
    assert fit.best > experiment.validation(experiment.random_table(kitchen, seed=0), kitchen)


def test_the_same_seed_trains_the_same_bits(kitchen):
    fits = [
        fit_row("ckgat", kitchen, Budget(epochs=2, every=1), seed=s, settings=SETTINGS) for s in (0, 0, 1)
    ]
    np.testing.assert_array_equal(fits[0].users, fits[1].users)
    assert (fits[0].users != fits[2].users).any()


def test_the_starting_state_is_a_look_and_patience_ends(kitchen):
    fit = fit_row(
        "bpr-mf", kitchen, Budget(epochs=50, every=1, patience=2, rate=0.2), seed=0, settings=SETTINGS
    )
    assert fit.epoch[0] == 0
    assert len(fit.epoch) - 1 - int(fit.curve.argmax()) <= 2
    assert fit.settled


def test_rows_that_differ(kitchen):
    assert rows_for(kitchen, ROWS) == list(ROWS)
    bare = material.without_texts(material.without_behaviours(kitchen))
    bare = material.replace(bare, requests=None)
    assert set(ROWS) - set(rows_for(bare, ROWS)) == {
        "no-behaviour", "scalar-behaviour", "shuffled-behaviour", "no-text", "request-negatives",
    }  # fmt: skip
    with pytest.raises(ValueError, match="row 'gru4rec': expected one of bpr-mf"):
        experiment.row("gru4rec")


def grid(best):
    """All trials of one world: every model is best at its setting of ``best``."""
    trials = {}
    for model in MODELS:
        seconds = WEIGHTS if model in WITHOUT else DECAYS
        tried = {(rate, second): 0.1 for rate in RATES for second in seconds}
        trials[model] = tried | {best.get(model, (RATES[0], seconds[0])): 0.2}
    return trials


def test_settings_follow_the_trials():
    own = grid(
        {"lightgcn": (0.01, 0.1), "sgl": (0.01, 0.03), "ckgat": (0.003, 0.1), "no-contrast": (0.01, 0.3)}
    )
    known = {"here": own}
    assert best_setting({(0.01, 0.1): 0.3, (0.003, 0.1): 0.3}) == (0.003, 0.1)
    assert chosen("here", "sgl", known=known) == {"rate": 0.01, "decay": 0.1, "weight": 0.03}
    assert chosen("here", "node-drop", known=known) == {"rate": 0.003, "decay": 0.3, "weight": 0.1}
    assert chosen("here", "no-contrast", known=known) == {"rate": 0.01, "decay": 0.3}
    assert chosen("there", "sgl", known=known) == chosen("there", "kgat", known=known) == UNTUNED
    with pytest.raises(ValueError, match="no trials to choose"):
        best_setting({})


def test_a_world_with_a_part_of_its_trials_is_not_tuned():
    known = {"here": grid({})}
    assert tuned("here", known=known)
    del known["here"]["ckgat"][0.01, 0.1]
    assert not tuned("here", known=known)
    assert chosen("here", "bpr-mf", known=known) == UNTUNED


def test_trials_are_on_the_grid():
    assert all(seed >= 1000 for seed in SEEDS), "tuning seeds are never recorded"
    for world in TRIALS.values():
        assert set(world) <= set(MODELS)
        for model, tried in world.items():
            seconds = WEIGHTS if model in WITHOUT else DECAYS
            assert set(tried) <= {(rate, second) for rate in RATES for second in seconds}


def test_a_relative_drop_by_hand():
    clean, noisy = (
        evaluation.FullRanking(np.arange(2), np.zeros(2), np.array(ndcg)) for ndcg in ([0.4, 0.2], [0.3, 0.2])
    )
    drop = experiment.relative_drop(clean, noisy)
    np.testing.assert_allclose(drop, [1 / 3, 0])
