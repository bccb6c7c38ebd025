"""Users with preferences that change: whose turn it is to say what, not the words themselves.

User u prefers classes by theta_u ~ Dirichlet(concentration, ..., concentration). Its S interactions are cut
into changes + 1 spans of (nearly) equal length; at each cut a new theta_u is drawn. An interaction draws a
class from the theta of its span and then a text of that class from a pool of labelled texts; a user meets no
text twice as long as the class has unused ones. With probability ``noise`` the class that is written down is
drawn evenly from all classes instead.

With a large ``concentration`` (10) users are nearly alike and a history says nothing: the control setting.
With ``changes`` 0 preferences stay: what was learned long ago is as good as what was learned last.

Axes: B users, S interactions of each, C classes, N texts of the pool.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int


@dataclass(frozen=True)
class HistoryWorld:
    """How users are simulated; see the module's text.

    Raises:
        ValueError: no user or interaction, concentration not above 0, changes outside [0, interactions),
            noise outside [0, 1].
    """

    users: int = 200
    interactions: int = 40
    concentration: float = 0.15
    changes: int = 1
    noise: float = 0.0

    def __post_init__(self) -> None:
        counts = self.users >= 1 and self.interactions >= 1 and 0 <= self.changes < self.interactions
        if not (counts and self.concentration > 0 and 0 <= self.noise <= 1):
            raise ValueError(
                "histories: expected users and interactions >= 1, 0 <= changes < interactions, "
                f"concentration > 0 and noise in [0, 1]; got {self}"
            )


@dataclass(frozen=True)
class Histories:
    """Simulated users.

    Attributes:
        rows: row of the pool that each interaction says.
        labels: class written down for it; differs from the pool's only by noise.
        theta: preferences at each interaction.
    """

    rows: Int[np.ndarray, "B S"]
    labels: Int[np.ndarray, "B S"]
    theta: Float[np.ndarray, "B S C"]


def simulate_histories(pool: Int[np.ndarray, " N"], world: HistoryWorld, *, seed: int) -> Histories:
    """Users who draw from a pool of texts, given by the class 0..C-1 of each.

    Raises ValueError for a class without a text.
    """
    counts = np.bincount(pool)
    if not len(counts) or counts.min() == 0:
        empty = int(counts.argmin()) if len(counts) else 0
        raise ValueError(f"pool: class {empty} has no text; every class from 0 on needs one")
    rng = np.random.default_rng((seed, 31))
    of_class = np.split(np.argsort(pool, kind="stable"), np.cumsum(counts)[:-1])
    theta = preferences(world, len(counts), rng)
    users = [_one_user(theta[user], of_class, rng) for user in range(world.users)]
    rows = np.stack(users)
    labels = pool[rows]
    noisy = rng.random(labels.shape) < world.noise
    labels = np.where(noisy, rng.integers(0, len(counts), labels.shape), labels)
    return Histories(rows, labels, theta)


def preferences(world: HistoryWorld, classes: int, rng: np.random.Generator) -> Float[np.ndarray, "B S C"]:
    """Preferences of each user at each interaction."""
    spans = world.changes + 1
    drawn = rng.dirichlet(np.full(classes, world.concentration), (world.users, spans))
    span = np.arange(world.interactions) * spans // world.interactions
    return drawn[:, span]


def _one_user(
    theta: Float[np.ndarray, "S C"], of_class: list[Int[np.ndarray, "_"]], rng: np.random.Generator
) -> Int[np.ndarray, " S"]:
    decks = [rng.permutation(rows) for rows in of_class]
    told = [0] * len(decks)
    said = []
    for preference in theta:
        drawn = int(rng.choice(len(decks), p=preference))
        said.append(decks[drawn][told[drawn] % len(decks[drawn])])
        told[drawn] += 1
    return np.array(said)
