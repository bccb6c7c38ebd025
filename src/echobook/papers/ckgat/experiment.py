"""The chapter's rows: which parts a model has, and on which world it is trained."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from echobook.graphs.edges import Graph, keep_facts, keep_nodes
from echobook.graphs.full_ranking import FullRanking
from echobook.papers.ckgat import baselines, evaluation, material
from echobook.papers.ckgat.baselines import Averages, NoNeighbours
from echobook.papers.ckgat.evaluation import judge, of_table
from echobook.papers.ckgat.knowledge import Translations
from echobook.papers.ckgat.material import World
from echobook.papers.ckgat.model import (
    BiInteraction,
    Contrast,
    NameText,
    Recommender,
    ScalarStrength,
    SequenceStrength,
    collaborative_graph,
)
from echobook.papers.ckgat.rates import chosen
from echobook.papers.ckgat.training import Budget, Fit, train

SIZE, SIZES, LAYERS = 32, (32, 32, 16), 2
SCALARS = (0.2, 0.5, 1.0)  # of browse, cart, cook: the given strengths
RIDGES = (10.0, 30.0, 100.0, 300.0, 1000.0)
NEIGHBOURS = (10, 30, 100, 1000)
UNTRAINED = ("popularity", "item-knn", "ease", "content")
BASELINES = ("bpr-mf", "lightgcn", "kgat", "sgl")
ABLATIONS = (
    "no-contrast", "no-kg", "no-behaviour", "no-text", "scalar-behaviour", "request-negatives",
    "node-drop", "edge-and-node",
)  # fmt: skip
CONTROLS = ("shuffled-kg", "shuffled-behaviour", "random-views")


def random_half(graph: Graph, rate: float, rng: np.random.Generator) -> Bool[Tensor, " E"]:
    """A view that has little to do with the other one: half of all facts, whatever the rate."""
    return keep_facts(graph, 0.5, rng)


@dataclass(frozen=True)
class Recipe:
    """How a row is made of parts: a change of the world, then which parts the model has.

    Attributes:
        world: change of the world before training.
        encoder: ``pairs`` (LightGCN), ``none`` (MF) or ``attention`` (KGAT, with the translations).
        views: None, or how the two views are made.
        strength: None, ``sequence`` or ``scalar``; requests: whether negatives come from requests too.
        text: whether names are added to items.
    """

    encoder: str = "attention"
    views: tuple[Callable[..., Bool[Tensor, " E"]], Callable[..., Bool[Tensor, " E"]]] | None = None
    strength: str | None = None
    text: bool = False
    requests: bool = False
    world: Callable[[World, int], World] = lambda world, seed: world


def _plain(world: World, seed: int) -> World:
    return material.without_behaviours(world)


def _pairs_only(world: World, seed: int) -> World:
    return material.without_facts(material.without_behaviours(world))


EDGES = (keep_facts, keep_facts)
FULL = Recipe(views=EDGES, strength="sequence", text=True)
ROWS: Mapping[str, Recipe] = {
    "bpr-mf": Recipe(encoder="none", world=_pairs_only),
    "lightgcn": Recipe(encoder="pairs", world=_pairs_only),
    "sgl": Recipe(encoder="pairs", views=EDGES, world=_pairs_only),
    "kgat": Recipe(world=_plain),
    "ckgat": FULL,
    "no-contrast": replace(FULL, views=None),
    "no-kg": replace(FULL, world=lambda world, seed: material.without_facts(world)),
    "no-behaviour": replace(FULL, strength=None, world=_plain),
    "no-text": replace(FULL, text=False),
    "scalar-behaviour": replace(FULL, strength="scalar"),
    "request-negatives": replace(FULL, requests=True),
    "node-drop": replace(FULL, views=(keep_nodes, keep_nodes)),
    "edge-and-node": replace(FULL, views=(keep_facts, keep_nodes)),
    "shuffled-kg": replace(FULL, world=lambda w, seed: material.with_shuffled_facts(w, seed=seed)),
    "shuffled-behaviour": replace(
        FULL, world=lambda w, seed: material.with_shuffled_behaviours(w, seed=seed)
    ),
    "random-views": replace(FULL, views=(random_half, random_half)),
}


def row(name: str) -> Recipe:
    """A row by name. Raises ValueError for an unknown one, listing the known."""
    if name not in ROWS:
        raise ValueError(f"row {name!r}: expected one of {', '.join(ROWS)}")
    return ROWS[name]


def rows_for(world: World, names: Iterable[str]) -> list[str]:
    """The rows that differ on a world: without behaviours or texts some are the same model."""
    absent: set[str] = set()
    if not world.behaviours:
        absent |= {"no-behaviour", "scalar-behaviour", "shuffled-behaviour"}
    if world.texts is None:
        absent |= {"no-text"}
    if world.requests is None:
        absent |= {"request-negatives"}
    return [name for name in names if name not in absent]


def build(recipe: Recipe, world: World, *, seed: int, weight: float = 0.1) -> Recommender:
    """A model of a row for a world that is already changed as the row wants.

    Args:
        weight: of the contrast, if the row has views.
    """
    torch.manual_seed(seed)
    graph = collaborative_graph(world)
    contrast = None if recipe.views is None else Contrast(keep=recipe.views, weight=weight)
    if recipe.encoder != "attention":
        encoder = Averages(graph.graph, LAYERS) if recipe.encoder == "pairs" else NoNeighbours(graph.graph)
        return Recommender(graph, encoder, size=SIZE, contrast=contrast)
    knowledge = Translations(graph.graph, SIZE)
    strength: torch.nn.Module | None = None
    if world.behaviours and recipe.strength == "sequence":
        strength = SequenceStrength(world.sequences, SCALARS)
    elif world.behaviours and recipe.strength == "scalar":
        strength = ScalarStrength(world.sequences, SCALARS)
    text = NameText(world.texts, SIZE) if recipe.text and world.texts is not None else None
    return Recommender(
        graph, BiInteraction(graph.graph, knowledge, SIZES), size=SIZE,
        knowledge=knowledge, strength=strength, text=text, contrast=contrast,
    )  # fmt: skip


def fit_row(name: str, world: World, budget: Budget, *, seed: int, settings: Mapping[str, float]) -> Fit:
    """Train a row on a world.

    Args:
        settings: rate and decay, and weight for a row with contrast (see :mod:`.rates`).
    """
    recipe = row(name)
    changed = recipe.world(world, seed)
    model = build(recipe, changed, seed=seed, weight=settings.get("weight", 0.1))
    share = 0.5 if recipe.requests else 0.0
    own = replace(budget, rate=settings["rate"], decay=settings["decay"], from_request=share)
    return train(model, changed, own, seed=seed)


def fit_rows(names: Sequence[str], world: World, budget: Budget, *, seed: int, rates: str) -> dict[str, Fit]:
    """Train several rows, each at its own chosen settings of the world ``rates``.

    Where a world has neither behaviours nor texts, C-KGAT without contrast *is* KGAT: trained once.
    """
    fits: dict[str, Fit] = {}
    for name in names:
        same = name == "no-contrast" and "kgat" in fits and not world.behaviours and world.texts is None
        fits[name] = (
            fits["kgat"] if same else fit_row(name, world, budget, seed=seed, settings=chosen(rates, name))
        )
    return fits


def untrained(world: World, *, behaviour: bool = False) -> dict[str, Float[np.ndarray, "U I"]]:
    """Scores of the rankings without training; ridge and neighbours are chosen on the validation pairs.

    Args:
        behaviour: also EASE on pairs weighed by their strongest behaviour (``ease-behaviour``).
    """
    x = world.seen
    found = {
        "popularity": baselines.popularity(x),
        "content": baselines.content(world),
        "item-knn": _best(world, [baselines.item_knn(x, neighbours=k) for k in NEIGHBOURS]),
        "ease": _best(world, [baselines.ease(x, ridge=ridge) for ridge in RIDGES]),
    }
    if behaviour:
        weighed = baselines.weighted_pairs(world, SCALARS)
        found["ease-behaviour"] = _best(world, [baselines.ease(weighed, ridge=ridge) for ridge in RIDGES])
    return found


def _best(world: World, tables: Sequence[np.ndarray]) -> np.ndarray:
    """The table with the highest validation NDCG@20, the first of equal ones."""
    return max(tables, key=lambda table: float(validation(table, world)))


def validation(table: Float[np.ndarray, "U I"], world: World) -> float:
    """Validation NDCG@20 of a table of scores."""
    return float(judge(of_table(table), world, split="validation").ndcg.mean())


def random_table(world: World, *, seed: int) -> Float[np.ndarray, "U I"]:
    """The floor: scores drawn at random."""
    return np.random.default_rng((seed, 52)).random((world.users, world.items))


def judged(fits: Mapping[str, Fit], world: World) -> dict[str, FullRanking]:
    """Test scores of trained rows."""
    return {name: evaluation.judge(fit.score, world) for name, fit in fits.items()}


def relative_drop(clean: FullRanking, noisy: FullRanking) -> Float[np.ndarray, " V"]:
    """Each user's loss of NDCG@20, over the mean NDCG@20 of the clean run: its mean is the relative drop."""
    return (clean.ndcg - noisy.ndcg) / clean.ndcg.mean()


def best_baseline(
    tables: Mapping[str, Float[np.ndarray, "U I"]], fits: Mapping[str, Fit], world: World
) -> str:
    """The baseline with the highest validation NDCG@20, trained ones and others alike."""
    found = {name: validation(tables[name], world) for name in UNTRAINED}
    found |= {name: fits[name].best for name in BASELINES if name in fits}
    return max(found, key=lambda name: found[name])


def scorers(
    tables: Mapping[str, Float[np.ndarray, "U I"]], fits: Mapping[str, Fit]
) -> dict[str, evaluation.Score]:
    """Every ranking as a function of users: tables first, then what was trained."""
    return {name: of_table(table) for name, table in tables.items()} | {
        name: fit.score for name, fit in fits.items()
    }


def answered(score: evaluation.Score, world: World) -> tuple[evaluation.Answers, float]:
    """Answers to the test requests with the mix chosen on validation requests, and that mix."""
    mix = evaluation.best_mix(score, world)
    return evaluation.answer(score, world, mix=mix), mix
