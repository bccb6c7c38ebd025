"""The chapter's rows: offline table, online arms, sweeps over the simulator's knobs, and ablations.

Axes: N told jokes, M moments, J jokes.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float, Int
from scipy import sparse
from torch import nn

from echobook.metrics.open_set import auroc
from echobook.papers.joke_skill import deep_training as deep
from echobook.papers.joke_skill.evaluation import Choice, Offline, choice_quality, offline
from echobook.papers.joke_skill.features import BY_TEXT, CROSSED, PLAIN, WHO_AND_WHEN, WITH_TEXT, Block
from echobook.papers.joke_skill.history import History, Moments, replay
from echobook.papers.joke_skill.material import World
from echobook.papers.joke_skill.method import LABELS, Credit, Windows, fit_logistic
from echobook.papers.joke_skill.model import (
    ConvolutionEncoder,
    HistoryAttention,
    NoHistory,
    Tasks,
    TransformerEncoder,
)
from echobook.papers.joke_skill.online import Arm, run_arm
from echobook.papers.joke_skill.policies import Greedy, Random, Scorer, oracle, rotation
from echobook.papers.joke_skill.simulator import UNCONFOUNDED, Behaviour, Policy
from echobook.papers.joke_skill.training import (
    Study,
    make_study,
    split_by_time,
    train_factors,
    train_popularity,
    train_regression,
)

# Regressions by name: what each knows.
REGRESSIONS: Mapping[str, Sequence[Block]] = {
    "who-and-when": WHO_AND_WHEN,
    "without-crosses": PLAIN,
    "regression": CROSSED,
    "regression-text": WITH_TEXT,
    "by-text": BY_TEXT,
}
STRENGTHS = (-1.0, 0.0, 0.5, 1.0, 2.0)
WINDOW_MINUTES = (1, 5, 15, 60)
HEARD = ((0, 4), (5, 14), (15, 10_000))  # jokes heard before: classes of the length of a history

ENCODERS: Mapping[str, Callable[[int], nn.Module]] = {
    "transformer": TransformerEncoder,
    "convolution": ConvolutionEncoder,
}
CUSTOMERS: Mapping[str, Callable[[int], nn.Module]] = {
    "history": HistoryAttention,
    "nobody": lambda features: NoHistory(),
}


ALL_TASKS = Tasks()


@dataclass(frozen=True)
class Network:
    """A deep model by its parts: encoder, customer part, tasks, and the label it is chosen by."""

    encoder: str = "transformer"
    customer: str = "history"
    tasks: Tasks = ALL_TASKS
    main: str = "reuse"


NETWORKS: Mapping[str, Network] = {
    "transformer": Network(),
    "convolution": Network(encoder="convolution"),
    "single-task": Network(tasks=Tasks(labels=(0.0, 1.0), category=0.0, kind=0.0), main="back"),
}
FURTHER: Mapping[str, Network] = {
    "focal": Network(encoder="convolution", tasks=Tasks(balanced=False, gamma=2.0)),
    "unweighted": Network(encoder="convolution", tasks=Tasks(balanced=False)),
    "no-history": Network(encoder="convolution", customer="nobody"),
}


@dataclass(frozen=True)
class Scored:
    """One scorer on one label: log-odds of all told jokes of the log, and how to score all jokes."""

    told: Float[np.ndarray, " N"]
    scorer: Scorer


def scored_by(study: Study, scorer: Scorer) -> Scored:
    """A scorer of all jokes, read at the jokes that were told."""
    scores = scorer(study.log.moments)
    return Scored(np.ascontiguousarray(scores[np.arange(len(study.log)), study.log.joke]), scorer)


def simple_scorers(study: Study, label: str, *, seed: int) -> dict[str, Scored]:
    """Floor, heuristic, popularity, factors and ceiling of a label."""
    rng = np.random.default_rng((seed, 98))
    noise = rng.random((len(study.world.liking), len(study.world.jokes)))
    turn = rotation(len(study.world.jokes), len(study.world.liking), seed=seed)
    liking = np.nan_to_num(study.world.liking)
    return {
        "random": scored_by(study, lambda moments: noise[moments.user]),
        "rotation": scored_by(study, lambda moments: -turn.ahead(moments).astype(float)),
        "popularity": scored_by(study, train_popularity(study, label)),
        "factors": scored_by(study, train_factors(study, label, seed=seed)),
        "oracle": scored_by(study, lambda moments: liking[moments.user]),
    }


def regressions(study: Study, label: str, names: Sequence[str]) -> dict[str, Scored]:
    """Regressions of :data:`REGRESSIONS` by name.

    Raises ValueError for an unknown name.
    """
    if unknown := [name for name in names if name not in REGRESSIONS]:
        raise ValueError(f"regression {unknown[0]!r}: expected one of {', '.join(REGRESSIONS)}")
    found = {name: train_regression(study, label, REGRESSIONS[name]) for name in names}
    return {name: Scored(fitted.told, fitted) for name, fitted in found.items()}


@dataclass(frozen=True)
class DeepScored:
    """A trained network as a scorer of both labels."""

    trained: deep.Trained
    told: Float[np.ndarray, "N 2"]
    study: Study

    def of(self, label: str) -> Scored:
        """Its scores of one label."""
        number, past = LABELS.index(label), self.trained.settings.past
        jokes, model = self.study.world.jokes, self.trained.model

        def scorer(moments: Moments) -> Float[np.ndarray, "N J"]:
            return deep.all_scores(model, jokes, moments, past=past, main=number)

        return Scored(np.ascontiguousarray(self.told[:, number]), scorer)


def train_network(study: Study, network: Network, settings: deep.Settings, *, seed: int) -> DeepScored:
    """Train a network on the study's training rows."""
    jokes, log = study.world.jokes, study.log
    model = deep.build(ENCODERS[network.encoder], CUSTOMERS[network.customer], jokes, seed=seed)
    labels = np.column_stack([study.labels[name] for name in LABELS]).astype(np.float64)
    trained = deep.train_ranker(
        model,
        jokes,
        log.moments,
        log.joke,
        labels,
        train=study.train,
        validation=study.validation,
        tasks=network.tasks,
        settings=settings,
        main=LABELS.index(network.main),
        seed=seed,
    )
    rows = deep.rows_of(log.moments, settings.past)
    told, every = deep.tensor_of(log.joke), deep.tensor_of(np.arange(len(log)))
    return DeepScored(trained, deep.told_scores(trained.model, jokes, rows, told, every), study)


def measure(study: Study, label: str, scored: Scored) -> Offline:
    """Offline measures on the test rows."""
    given, rows = study.labels[label], study.test
    return offline(
        scored.told[rows],
        given[rows],
        study.log.moments.take(rows),
        validation_scores=scored.told[study.validation],
        validation=given[study.validation],
    )


def choose(
    study: Study, scorer: Scorer, rows: Int[np.ndarray, " M"], *, only: np.ndarray | None = None
) -> Choice:
    """Quality of the order of all allowed jokes at some rows; ``only``: jokes that count, all by default."""
    log = study.log.take(rows)
    allowed = log.allowed if only is None else log.allowed & only
    liking = np.nan_to_num(study.world.liking[log.moments.user])
    return choice_quality(np.asarray(scorer(log.moments)), allowed, liking)


def online_arms(study: Study, scorers: Mapping[str, Scorer], *, seed: int, days: int) -> dict[str, Arm]:
    """Arms of the A/B test: the rotation, random jokes, the ceiling, and greedy use of each scorer."""
    turn = rotation(len(study.world.jokes), len(study.world.liking), seed=seed)
    policies: dict[str, Policy] = {"rotation": turn, "random": Random()}
    policies |= {"oracle": oracle(study.world.liking)}
    arms = {name: run_arm(study, policy, seed=seed, days=days) for name, policy in policies.items()}
    return arms | {
        name: run_arm(study, Greedy(scorer), seed=seed, days=days) for name, scorer in scorers.items()
    }


def strength_row(world: World, strength: float, *, seed: int, days: int) -> dict[str, float]:
    """At one strength of the satisfaction effect: AUCs of the regression and its gain over the rotation."""
    study = make_study(world, seed=seed, behaviour=Behaviour(strength=strength))
    fitted = regressions(study, "reuse", ["regression"])["regression"]
    choice = choose(study, fitted.scorer, study.sample(1000, seed=seed))
    turn = rotation(len(world.jokes), len(world.liking), seed=seed)
    policies: dict[str, Policy] = {"rotation": turn, "regression": Greedy(fitted.scorer)}
    arms = {name: run_arm(study, policy, seed=seed, days=days).means for name, policy in policies.items()}
    return {
        "strength": strength,
        "pooled": measure(study, "reuse", fitted).pooled,
        "choice": float(np.nanmean(choice.auc)),
        "liking-gain": arms["regression"]["liking"] - arms["rotation"]["liking"],
        "interruption-gain": arms["regression"]["interruptions"] - arms["rotation"]["interruptions"],
    }


def relabelled(study: Study, windows: Windows) -> Study:
    """The same log, labelled and remembered with other windows."""
    log = study.stage.history
    user, place = np.nonzero(log.told >= 0)
    time, joke = log.told_at[user, place], log.told[user, place].astype(np.int64)
    order = np.lexsort((user, time))
    history = History(
        study.people.device, jokes=len(study.world.jokes), longest=log.told.shape[1], windows=windows
    )
    moments = replay(history, user[order], time[order], joke[order])
    unanswered = np.flatnonzero(log.now > history.now)  # asked when no joke was left
    history.ask(unanswered, log.now[unanswered])
    kept = np.isin(
        user[order] * (time.max() + 1) + time[order],
        study.log.moments.user * (time.max() + 1) + study.log.moments.time,
    )
    new = replace(study.log, moments=moments.take(np.flatnonzero(kept)))
    return split_by_time(replace(study, log=new, stage=replace(study.stage, history=history)))


def window_row(study: Study, minutes: int, *, seed: int) -> dict[str, float]:
    """Rate and use of the first label with a window of so many minutes."""
    return {"minutes": float(minutes)} | _label_row(
        relabelled(study, Windows(reuse=60 * minutes)), "reuse", seed
    )


def credit_row(study: Study, credit: Credit, *, seed: int) -> dict[str, float]:
    """Rate and use of the second label, all jokes within its window credited or only the last."""
    return _label_row(relabelled(study, Windows(credit=credit)), "back", seed)


def _label_row(study: Study, label: str, seed: int) -> dict[str, float]:
    fitted = regressions(study, label, ["regression"])["regression"]
    choice = choose(study, fitted.scorer, study.sample(1000, seed=seed))
    return {
        "rate": float(study.labels[label].mean()),
        "pooled": measure(study, label, fitted).pooled,
        "choice": float(np.nanmean(choice.auc)),
    }


def unconfounded(world: World, *, seed: int) -> Study:
    """A month in which everybody is equally talkative, never tires, and has no evening."""
    return make_study(world, seed=seed, behaviour=Behaviour(**UNCONFOUNDED))


def split_row(study: Study, label: str, *, seed: int) -> dict[str, float]:
    """AUC of the same regression when the split is by time, at random, and at random with whole-log rates.

    The last one adds each customer's label rate over the whole log, the row itself included: the feature
    that a join without time would make.
    """
    rng, sizes = np.random.default_rng((seed, 99)), [len(study.train), len(study.validation)]
    first, second, third = np.split(rng.permutation(len(study.log)), np.cumsum(sizes))
    shuffled = replace(study, train=np.sort(first), validation=np.sort(second), test=np.sort(third))
    fitted = train_regression(study, label, CROSSED)
    given, user = study.labels[label], study.log.moments.user
    count = np.maximum(np.bincount(user), 1)
    rate = (np.bincount(user, weights=given) / count)[user]
    rows = fitted.design.rows(study.log.moments, study.log.joke)
    leaky = sparse.hstack([rows, sparse.csr_matrix(rate[:, None])], format="csr")
    model = fit_logistic(leaky[shuffled.train], given[shuffled.train], penalty=fitted.penalty)
    random = train_regression(shuffled, label, CROSSED)
    return {
        "by-time": auroc(fitted.told[study.test], given[study.test]),
        "random": auroc(random.told[shuffled.test], given[shuffled.test]),
        "random-whole-log": auroc(model.scores(leaky[shuffled.test]), given[shuffled.test]),
    }


def history_rows(study: Study, choice: Choice, rows: Int[np.ndarray, " M"]) -> dict[str, float]:
    """Mean choice AUC by the number of jokes heard before; classes without a moment are left out."""
    count = study.log.moments.take(rows).count
    found = {}
    for low, high in HEARD:
        part = choice.auc[(count >= low) & (count <= high) & np.isfinite(choice.auc)]
        if len(part):
            found[f"{low}-to-{high}" if high < 10_000 else f"from-{low}"] = float(part.mean())
    return found
