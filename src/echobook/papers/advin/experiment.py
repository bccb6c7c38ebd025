"""Every method of stages I to III on one view, scored side by side.

`detect` is stage I over the whole test split; `discover_pool` is stage II on the novel intents' test
utterances (the oracle pool) and `end_to_end` on what stage I flagged; `taxonomy` is stage III. What is
compared is passed in: proxies, trained projections. Thresholds look at known intents only.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float, Int

from echobook.clustering.agglomerative import learn_threshold
from echobook.clustering.kmeans_estimate import estimate_clusters, k_means
from echobook.metrics.clustering import adjusted_rand_index, clustering_scores, pair_f1
from echobook.metrics.open_set import auroc, best_threshold, matched_open_f1, open_set_scores, reject_above
from echobook.papers.advin.baselines import agglomerative_with, hdbscan, lof_novelty
from echobook.papers.advin.evaluation import discovery_scores, end_to_end_ari
from echobook.papers.advin.material import OPEN, View
from echobook.papers.advin.method import (
    Discovery,
    IntentHead,
    build_taxonomy,
    cluster_pool,
    doc_answers,
    half_gaussian_thresholds,
    intent_vectors,
    novelty,
    probabilities,
    project,
    random_domains,
)
from echobook.papers.advin.training import Learned, fit_head, one_against_rest_loss, seeded, train_head

Scores = dict[str, dict[str, float]]
FIXED_THRESHOLD = 0.65  # half-way between the margins 0.3 and 1.0


@dataclass(frozen=True)
class Detection:
    """Novelty scores, best known class and final answers of one detector on the test split."""

    novelty: Float[np.ndarray, " N"]
    best: Int[np.ndarray, " N"]
    answers: Int[np.ndarray, " N"]


def whole_test(view: View) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return test vectors, known class numbers (-1: novel) and novel class numbers (-1: known)."""
    intents = view.split.known + view.split.novel
    vectors, targets = view.part("test", intents)
    known = len(view.split.known)
    return vectors, np.where(targets < known, targets, OPEN), np.where(targets >= known, targets - known, -1)


def softmax_detector(
    view: View, proxies: tuple[np.ndarray, np.ndarray] | None = None
) -> tuple[IntentHead, Detection]:
    """Train the (K+1)-way head, or the plain softmax head without proxies, and answer the test split.

    `proxies` are vectors for training and for validation. Without them the threshold is 0.5 (as TEXTOIR's
    MSP); with them it is chosen on known and proxy validation utterances.
    """
    known = view.split.known
    with seeded(view.seed) as generator:
        head = fit_head(
            *view.part("train", known), generator=generator, proxies=proxies[0] if proxies else None
        )
    score = lambda vectors: probabilities(head, torch.from_numpy(vectors), classes=len(known))  # noqa: E731
    threshold = 0.5
    if proxies:
        seen, _ = view.part("validation", known)
        judged = novelty(score(np.concatenate([seen, proxies[1]])))
        threshold = best_threshold(judged, np.arange(len(judged)) >= len(seen))
    scores = score(whole_test(view)[0])
    best = scores.argmax(axis=1).astype(np.int64)
    return head, Detection(novelty(scores), best, reject_above(best, novelty(scores), threshold))


def doc_detector(view: View) -> Detection:
    """Train DOC's sigmoid head and answer the test split."""
    vectors, targets = view.part("train", view.split.known)
    classes = len(view.split.known)
    with seeded(view.seed) as generator:
        head = IntentHead(vectors.shape[1], classes)
        tensors = torch.from_numpy(vectors), torch.from_numpy(targets)
        train_head(head, *tensors, generator=generator, loss=one_against_rest_loss)
    thresholds = half_gaussian_thresholds(
        probabilities(head, tensors[0], classes=classes, sigmoid=True), targets
    )
    scores = probabilities(head, torch.from_numpy(whole_test(view)[0]), classes=classes, sigmoid=True)
    return Detection(novelty(scores), scores.argmax(axis=1).astype(np.int64), doc_answers(scores, thresholds))


@torch.no_grad()
def lof_detector(view: View, head: IntentHead, best: Int[np.ndarray, " N"]) -> Detection:
    """Score by LOF on the hidden layer of a trained softmax head; scikit-learn's own cut at 1.5."""
    training, _ = view.part("train", view.split.known, cap=50)
    features = [head.body(torch.from_numpy(part)).numpy() for part in (training, whole_test(view)[0])]
    scores = lof_novelty(*features)
    return Detection(scores, best, reject_above(best, scores, 1.5))


def detect(
    view: View, proxies: Mapping[str, tuple[np.ndarray, np.ndarray]]
) -> tuple[Scores, dict[str, Detection]]:
    """Return the scores and answers of MSP, LOF, DOC and the (K+1)-way head with each kind of proxies."""
    head, plain = softmax_detector(view)
    found = {"msp": plain, "lof": lof_detector(view, head, plain.best), "doc": doc_detector(view)}
    found |= {"proxy-none": plain} | {
        f"proxy-{name}": softmax_detector(view, kind)[1] for name, kind in proxies.items()
    }
    truth, classes = whole_test(view)[1], len(view.split.known)
    softmax = [name for name in found if name == "msp" or name.startswith("proxy")]
    level = min(_best_known_f1(truth, found[name], classes) for name in softmax)
    scores: Scores = {}
    for name, detection in found.items():
        result = open_set_scores(truth, detection.answers, classes=classes)
        scores[name] = {
            "auroc": auroc(detection.novelty, truth == OPEN),
            "known-f1": result.known_f1,
            "open-f1": result.open_f1,
            "f1": result.f1,
            "accuracy": result.accuracy,
        }
        if name in softmax:
            scores[name]["open-f1-matched"] = matched_open_f1(
                truth, detection.best, detection.novelty, known_f1=level, classes=classes
            )
    return scores, found


def _best_known_f1(truth: Int[np.ndarray, " N"], found: Detection, classes: int) -> float:
    grid = np.unique(np.quantile(found.novelty, np.linspace(0, 1, 100)))
    answers = [reject_above(found.best, found.novelty, float(cut)) for cut in grid]
    return max(open_set_scores(truth, answer, classes=classes).known_f1 for answer in answers)


def _whole(clusters: Int[np.ndarray, " N"]) -> Discovery:
    return Discovery(clusters, clusters, float("nan"))


def transferred(view: View, learned: Learned | None, pool: np.ndarray, *, cap: int) -> Discovery:
    """Cut a pool with the threshold of the held-out intents; None stands for the raw encoder."""
    held, targets = view.part("train", view.split.threshold, cap=cap)
    embed = (
        (lambda vectors: vectors)
        if learned is None
        else (lambda vectors: project(learned.projection, vectors))
    )
    return cluster_pool(embed(pool), learn_threshold(embed(held), targets).height)


def discover_pool(
    view: View, learned: Mapping[str, Learned], *, cap: int
) -> tuple[Scores, dict[str, Discovery]]:
    """Score every way of clustering the oracle pool; `learned` must hold "transfer"."""
    pool, truth = view.part("test", view.split.novel, cap=cap)
    projected, true = project(learned["transfer"].projection, pool), len(view.split.novel)
    found = {name: transferred(view, kind, pool, cap=cap) for name, kind in learned.items()}
    found["raw"] = transferred(view, None, pool, cap=cap)
    training, targets = view.part("train", view.split.training, cap=cap)
    height = learn_threshold(project(learned["transfer"].projection, training), targets).height
    found["training-threshold"] = cluster_pool(projected, height)
    found["fixed"] = cluster_pool(projected, FIXED_THRESHOLD)
    for name, vectors in (("", projected), ("raw-", pool)):
        largest = max(2, len(vectors) // 10)
        found[f"{name}hdbscan"] = hdbscan(vectors)
        found[f"{name}kmeans-estimated-k"] = _whole(
            estimate_clusters(vectors, largest=largest, seed=view.seed).clusters
        )
        found[f"{name}kmeans-true-k"] = _whole(k_means(vectors, true, seed=view.seed))
        found[f"{name}agglomerative-true-k"] = _whole(agglomerative_with(vectors, true))
    return {name: discovery_scores(truth, kind) for name, kind in found.items()}, found


def end_to_end(view: View, detection: Detection, learned: Learned | None, *, cap: int) -> dict[str, float]:
    """Cluster what stage I flagged and count both stages' errors (see `end_to_end_ari`)."""
    vectors, _, truth = whole_test(view)
    flagged = np.flatnonzero(detection.answers == OPEN)
    alone = _whole(np.arange(len(flagged)))  # with fewer than two utterances there is nothing to link
    found = transferred(view, learned, vectors[flagged], cap=cap) if len(flagged) > 1 else alone
    return {
        "ari": end_to_end_ari(truth, flagged, found.merged),
        "found": float(found.count),
        "flagged": float(len(flagged)),
        "leaked-share": float(np.mean(truth[flagged] == -1)) if len(flagged) else 0.0,
        "missed-share": float(np.mean(detection.answers[truth != -1] != OPEN)),
    }


def no_k_baselines() -> tuple[str, ...]:
    """Return the baselines that, like the system, are not told the number of intents."""
    return ("raw", "raw-hdbscan", "raw-kmeans-estimated-k")


def taxonomy(
    view: View,
    learned: Learned | None,
) -> tuple[dict[str, float], pd.DataFrame]:
    """Score the domains of novel intents, their utterances known; one row an intent."""
    split = view.split
    embed = (
        (lambda vectors: vectors)
        if learned is None
        else (lambda vectors: project(learned.projection, vectors))
    )
    vectors = {}
    for name, intents in (("known", split.known), ("new", split.novel)):
        data, targets = view.part("train" if name == "known" else "test", intents)
        vectors[name] = intent_vectors(embed(data), targets)
    owners = view.domains(split.known + split.novel)
    names, domains = np.unique(owners, return_inverse=True)
    known = domains[: len(split.known)]
    held_out = np.arange(len(split.training), len(split.known))
    built = build_taxonomy(vectors["known"], known, vectors["new"], held_out=held_out)
    truth, answers = domains[len(known) :], built.clusters[len(known) :]
    draws = range(1000 * view.seed, 1000 * view.seed + 100)
    chance = [random_domains(truth, answers, seed=draw) for draw in draws]
    scores = clustering_scores(truth, answers) | {
        "edge-f1": pair_f1(truth, answers),
        "found": float(len(np.unique(answers))),
        "chance": float(np.mean([adjusted_rand_index(truth, draw) for draw in chance])),
    }
    joined = [names[number] if number >= 0 else "new domain" for number in built.joined]
    rows = {"intent": split.novel, "domain": names[truth]}
    rows |= {"cluster": answers, "joined": joined}
    return scores, pd.DataFrame(rows)
