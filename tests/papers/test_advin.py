"""ADVIN's parts: splits, losses, heads, projection, taxonomy, `discover`."""

from inspect import unwrap  # the run-time shape check would answer first

import numpy as np
import pandas as pd
import pytest
import torch
from torch.nn import functional

from echobook.papers.advin.baselines import agglomerative_with, hdbscan, lof_novelty
from echobook.papers.advin.evaluation import end_to_end_ari, table
from echobook.papers.advin.losses import CrossEntropyLoss, PairwiseMarginLoss, TripletLoss, pairwise_distances
from echobook.papers.advin.material import OPEN, View, cap_rows, codes, shrink, split_intents
from echobook.papers.advin.method import (
    IntentHead,
    Projection,
    ResidualProjection,
    build_taxonomy,
    cluster_pool,
    doc_answers,
    filter_proxies,
    half_gaussian_thresholds,
    intent_vectors,
    novelty,
    probabilities,
    project,
    random_domains,
    transfer,
)
from echobook.papers.advin.own_data import discover
from echobook.papers.advin.training import (
    class_batches,
    held_out_ari,
    learn,
    one_against_rest_loss,
    proxy_weights,
    seeded,
    train_head,
    train_projection,
)

DOMAINS = pd.Series({f"i{k}": f"d{k % 4}" for k in range(20)})


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def blobs(classes, each, features=16, spread=0.2, seed=0):
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(classes), each)
    raw = rng.normal(size=(classes, features))[labels] + spread * rng.normal(size=(len(labels), features))
    return (raw / np.linalg.norm(raw, axis=1, keepdims=True)).astype(np.float32), labels


@pytest.mark.parametrize("seed", range(5))
def test_split_is_disjoint_complete_and_repeatable(seed):
    split = split_intents(DOMAINS, seed=seed)
    groups = [*split.training, *split.threshold, *split.novel]
    assert sorted(groups) == sorted(DOMAINS.index)
    assert (len(split.novel), len(split.threshold), len(split.training)) == (5, 3, 12)
    assert split == split_intents(DOMAINS, seed=seed)


def test_whole_domains_are_novel():
    split = split_intents(DOMAINS, seed=1, novel_share=0.4, whole_domains=1)
    known = set(DOMAINS[list(split.known)])
    assert len(split.novel) == 8
    assert len(known) == 3


def test_split_refusals():
    with pytest.raises(ValueError, match="novel_share and threshold_share"):
        split_intents(DOMAINS, seed=0, novel_share=1.0)
    with pytest.raises(ValueError, match="at least 4 are needed"):
        split_intents(DOMAINS[:4], seed=0)


def test_codes_and_caps():
    names = pd.Series(["a", "b", "a", "z"])
    assert codes(names, ("b", "a")).tolist() == [1, 0, 1, OPEN]
    capped = cap_rows(np.array([True, True, True, False]), names, 1, seed=0)
    assert sorted(names[capped]) == ["a", "b"]


def naive_margin(vectors, labels, inner, outer, share):
    pull, push = [], []
    for i in range(len(labels)):
        for j in range(i + 1, len(labels)):
            distance = float(torch.linalg.vector_norm(vectors[i] - vectors[j]))
            if labels[i] == labels[j]:
                pull.append(max(0.0, distance - inner) ** 2)
            else:
                push.append(distance)
    hard = sorted(push)[: max(1, int(share * len(push)))]
    return (sum(pull) + sum(max(0.0, outer - d) ** 2 for d in hard)) / (len(pull) + len(hard))


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize(("inner", "share"), [(0.3, 0.25), (0.0, 1.0)])
def test_margin_loss_by_loops(seed, inner, share):
    vectors = functional.normalize(torch.randn(9, 4, generator=generator(seed), dtype=torch.float64), dim=1)
    labels = torch.arange(9) % 3
    expected = naive_margin(vectors, labels, inner, 1.0, share)
    assert float(PairwiseMarginLoss(inner, 1.0, share)(vectors, labels)) == pytest.approx(expected, abs=1e-9)
    order = torch.randperm(9, generator=generator(seed))
    shuffled = PairwiseMarginLoss(inner, 1.0, share)(vectors[order], labels[order])
    assert float(shuffled) == pytest.approx(expected, abs=1e-9)


def test_margin_loss_literal():
    points = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    assert float(PairwiseMarginLoss()(points, torch.tensor([0, 0, 1]))) == 0
    expected = (1 + (2**0.5 - 0.3) ** 2) / 2
    # The distance of equal points is held at 1e-6 so that its gradient is finite.
    assert float(PairwiseMarginLoss()(points, torch.tensor([0, 1, 1]))) == pytest.approx(expected, abs=1e-5)


def test_triplet_literal():
    points = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, 1.0]])
    assert float(TripletLoss(0.5)(points, torch.tensor([0, 0, 1, 1]))) == 0
    worst = float(TripletLoss(0.5)(points, torch.tensor([0, 1, 0, 1])))
    assert worst == pytest.approx(0.5 + 2**0.5, abs=1e-5)


@pytest.mark.parametrize("make", [PairwiseMarginLoss, TripletLoss, lambda: CrossEntropyLoss(5, 3)])
def test_gradients_by_finite_differences(make):
    with seeded(0):
        loss = make().double()
    labels = torch.tensor([0, 1, 2, 0, 1, 2])
    points = torch.randn(6, 5, generator=generator(1), dtype=torch.float64, requires_grad=True)
    unit = lambda vectors: loss(functional.normalize(vectors, dim=1), labels)  # noqa: E731
    assert torch.autograd.gradcheck(unit, (points,))


def test_distance_gradient_is_finite_at_zero():
    points = torch.ones(2, 3, requires_grad=True)
    pairwise_distances(points).sum().backward()
    assert torch.isfinite(points.grad).all()


def test_loss_refusals():
    with pytest.raises(ValueError, match="inner, outer"):
        PairwiseMarginLoss(1.0, 0.5)
    with pytest.raises(ValueError, match="hard_share"):
        PairwiseMarginLoss(hard_share=0.0)


def test_half_gaussian_literal():
    assert half_gaussian_thresholds(np.array([[0.9], [1.0]]), np.array([0, 0])) == pytest.approx(
        1 - 3 * np.std([0.9, 1.1, 1.0, 1.0])
    )
    scores = np.array([[0.9, 0.2], [0.4, 0.3]])
    assert doc_answers(scores, np.array([0.5, 0.5])).tolist() == [0, OPEN]
    with pytest.raises(ValueError, match="class 1 has no member"):
        half_gaussian_thresholds(scores, np.array([0, 0]))


def test_one_against_rest_by_loops():
    logits, labels = torch.randn(4, 3, generator=generator(), dtype=torch.float64), torch.tensor([0, 2, 1, 1])
    p = torch.sigmoid(logits)
    expected = [
        -sum(float(torch.log(p[i, c] if labels[i] == c else 1 - p[i, c])) for c in range(3)) for i in range(4)
    ]
    assert one_against_rest_loss(logits, labels).tolist() == pytest.approx(expected)


def test_proxy_weights():
    labels = torch.tensor([0, 1, 0, 2])
    weights = proxy_weights(labels, 2, 0.25)
    assert float(weights[3] / weights.sum()) == pytest.approx(0.25)
    assert float(weights.mean()) == pytest.approx(1)
    with pytest.raises(ValueError, match="both kinds"):
        proxy_weights(labels, 5, 0.25)
    with pytest.raises(ValueError, match="share"):
        proxy_weights(labels, 2, 0.0)


def test_head_overfits_a_few_utterances():
    vectors, labels = blobs(3, 4)
    with seeded(0) as source:
        head = IntentHead(16, 3)
        train_head(head, torch.from_numpy(vectors), torch.from_numpy(labels), generator=source, steps=200)
    scores = probabilities(head, torch.from_numpy(vectors), classes=3)
    assert scores.argmax(1).tolist() == labels.tolist()
    assert novelty(scores).max() < 0.1
    with pytest.raises(ValueError, match="labels: 1 for 12"):
        unwrap(train_head)(head, torch.from_numpy(vectors), torch.tensor([0]), generator=generator())


def test_proxies_like_known_intents_are_dropped():
    vectors, labels = blobs(3, 10)
    far = -vectors[:5]
    middle = np.stack([vectors[labels == k].mean(0) for k in range(3)])
    near = middle / np.linalg.norm(middle, axis=1, keepdims=True)
    choice = filter_proxies(np.concatenate([far, near]), vectors, labels)
    assert choice.kept.tolist() == [0, 1, 2, 3, 4]
    assert choice.dropped_share == pytest.approx(3 / 8)


def test_class_batches():
    labels = torch.arange(40) % 8
    for chosen in class_batches(labels, classes=5, each=3, batches=4, generator=generator()):
        assert torch.bincount(labels[chosen]).unique().tolist() in ([0, 3], [3])
        assert len(labels[chosen].unique()) == 5
    with pytest.raises(ValueError, match="one class only"):
        next(
            class_batches(
                torch.zeros(3, dtype=torch.int64), classes=2, each=2, batches=1, generator=generator()
            )
        )


def test_residual_projection_begins_as_the_identity():
    vectors, _ = blobs(2, 3)
    assert project(ResidualProjection(16), vectors) == pytest.approx(vectors, abs=1e-6)
    assert np.linalg.norm(project(Projection(16), vectors), axis=1) == pytest.approx(1)


def test_training_pulls_intents_together_and_repeats():
    vectors, labels = blobs(6, 8, spread=0.9)
    found = []
    for _ in range(2):
        with seeded(0) as source:
            projection = ResidualProjection(16)
            stop = held_out_ari(vectors, labels)
            options = {"generator": source, "stop": stop, "epochs": 6, "batches": 20, "learning_rate": 3e-3}
            history = train_projection(projection, PairwiseMarginLoss(), vectors, labels, **options)
        found.append(project(projection, vectors))
    assert max(history) > held_out_ari(vectors, labels)(torch.nn.Identity())
    assert stop(projection) == pytest.approx(max(history))  # the best epoch was kept
    assert np.array_equal(found[0], found[1])


def test_transfer_finds_the_number_of_blobs():
    known, labels = blobs(6, 10, seed=1)
    pool, truth = blobs(5, 10, seed=2)
    found, threshold = transfer(known, labels, pool)
    assert threshold.score == 1
    assert found.count == len(np.unique(truth)) == 5
    assert found.coverage == 1
    assert cluster_pool(pool, 0.0).count == 0


def test_end_to_end_counts_leaks_and_misses():
    truth = np.array([0, 0, 1, 1, -1, -1])
    assert end_to_end_ari(truth, np.arange(4), np.array([5, 5, 7, 7])) == 1
    leaked = end_to_end_ari(truth, np.arange(6), np.array([5, 5, 7, 7, 5, 5]))
    missed = end_to_end_ari(truth, np.array([0, 1, 2]), np.array([5, 5, 7]))
    assert leaked < 1
    assert missed < 1


def test_taxonomy():
    known, domains = blobs(4, 5, spread=0.1)
    new = known[[0, 5]]
    held = np.arange(len(known))
    built = build_taxonomy(known, domains, np.concatenate([new, -known[:1]]), held_out=held)
    assert built.joined.tolist() == [0, 1, -1]
    assert intent_vectors(np.eye(3), np.array([0, 0, 1])) == pytest.approx(
        np.array([[0.5**0.5, 0.5**0.5, 0], [0, 0, 1]])
    )
    assert sorted(random_domains(domains, domains, seed=0).tolist()) == domains.tolist()
    with pytest.raises(ValueError, match="cancel out"):
        intent_vectors(np.array([[1.0, 0.0], [-1.0, 0.0]]), np.array([0, 0]))


def test_baselines():
    vectors, _ = blobs(3, 12)
    assert hdbscan(vectors).count == 3
    assert len(np.unique(agglomerative_with(vectors, 3))) == 3
    assert lof_novelty(vectors, -vectors[:2]).min() > lof_novelty(vectors, vectors[:2] * 0.999).max()


def test_view_and_learn():
    vectors, labels = blobs(20, 6)
    frame = pd.DataFrame({"text": "x", "intent": [f"i{k}" for k in labels], "split": "train"})
    frame["domain"] = frame["intent"].map(DOMAINS)
    view = View(frame, vectors, split_intents(DOMAINS, seed=0), 0)
    assert len(view.part("train", view.split.novel, cap=4)[1]) == 4 * 5
    assert view.domains(("i0", "i5")) == ["d0", "d1"]
    result = learn(view, lambda _: PairwiseMarginLoss(), epochs=2, batches=3, cap=4, shuffle=True)
    assert len(result.history) == 2
    assert shrink(frame, train=2, test=1).groupby("intent").size().unique().tolist() == [2]
    assert table({"a": {"x": 1.0}}).loc["a", "x"] == 1


def encode(texts):
    """Vectors that depend on the first word alone, with a little noise from the rest."""
    rows = []
    for text in texts:
        first, rest = text.split(" ", 1)
        base = np.random.default_rng(sum(map(ord, first)) * 7).normal(size=12)
        rows.append(base + 0.1 * np.random.default_rng(len(rest) + ord(rest[-1])).normal(size=12))
    return (np.array(rows) / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def test_discover():
    said = [f"{name} number {k}" for name in "abcdefgh" for k in range(6)]
    labels = [text[0] for text in said]
    pool = [f"{name} again {k}" for name in "axyz" for k in range(6)]
    state = torch.get_rng_state()
    found = discover(said, labels, pool, encode=encode, seed=0, epochs=2)
    assert torch.equal(state, torch.get_rng_state())
    assert list(found.columns) == ["text", "novelty", "intent", "cluster"]
    assert ((found["intent"] == "") >= (found["cluster"] >= 0)).all()
    pd.testing.assert_frame_equal(found, discover(said, labels, pool, encode=encode, seed=0, epochs=2))


def test_discover_refusals():
    ask = lambda texts, labels, pool: discover(texts, labels, pool, encode=encode, seed=0)  # noqa: E731
    with pytest.raises(ValueError, match="labels: expected 2"):
        ask(["a b", "a c"], ["a"], ["x y", "x z"])
    with pytest.raises(ValueError, match="'a' has 1 utterances"):
        ask(["a b"], ["a"], ["x y", "x z"])
    with pytest.raises(ValueError, match="at least 4"):
        ask(["a b", "a c", "a d"], ["a"] * 3, ["x y", "x z"])
    with pytest.raises(ValueError, match="unlabelled: expected at least 2"):
        ask(["a b"] * 3, ["a"] * 3, ["x y"])
    twelve = [f"{name} {k}" for name in "abcd" for k in range(3)]
    with pytest.raises(ValueError, match="row 13"):
        ask(twelve, [text[0] for text in twelve], ["x y", " "])


def test_early_stopping_asks_for_the_classes_that_are_trained(monkeypatch):
    vectors, labels = blobs(20, 6)
    frame = pd.DataFrame({"text": "x", "intent": [f"i{k}" for k in labels], "split": "train"})
    frame["domain"] = frame["intent"].map(DOMAINS)
    view = View(frame, vectors, split_intents(DOMAINS, seed=0), 0)
    names = {name: number for number, name in enumerate(sorted(set(DOMAINS)))}
    owners = np.array([names[name] for name in view.domains(view.split.known)])
    asked = []
    monkeypatch.setattr(
        "echobook.papers.advin.training.held_out_ari", lambda _, classes: asked.append(classes) or len
    )
    monkeypatch.setattr("echobook.papers.advin.training.train_projection", lambda *_, **__: [])
    learn(view, lambda _: PairwiseMarginLoss(), epochs=1, batches=1, cap=6, labels=lambda k: owners[k])
    _, held = view.part("train", view.split.threshold, cap=6)
    expected = [names[DOMAINS[view.split.threshold[k]]] for k in held]
    assert asked[0].tolist() == expected
