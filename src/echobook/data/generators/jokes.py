"""Jokes in a handful of made-up sentences, and customers with tastes over them, from a seed.

A generated joke has a category, whose words it uses, and a kind, whose frame it has. Tastes are drawn over
whatever features of jokes are given, generated or real:

    liking_uj = own a_u + quality b_j + personal w_u . f_j / |w_u . f| + noise e_uj,

each part with mean 0 and variance 1, so that ``own``, ``quality``, ``personal`` and ``noise`` are standard
deviations: how much somebody enjoys jokes at all, how good a joke is for everybody, what follows from its
features and the listener, and what nobody can know. ``personal`` 0: there is nothing to personalise.
The words are this file's own. Axes: U users, J jokes, F features.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from echobook.data.jokes import Joke
from echobook.data.types import DatasetUse, rows_digest

VERSION = "1"
TOPICS = {
    "animals": "goat heron badger snail otter pony moth crab",
    "kitchen": "kettle whisk sieve oven ladle pan grater jar",
    "office": "stapler memo printer chair meeting folder desk badge",
    "space": "comet rocket orbit moon crater probe star suit",
    "sport": "goalie racket whistle net coach relay bat puck",
    "weather": "drizzle cloud gust frost thaw hail puddle breeze",
}
FRAMES = {
    "riddle": "What did the {0} tell the {1}? Mind the {2}, said the {3}.",
    "line": "My {0} has a {1}, so now the {2} wants a {3}.",
    "exchange": "Knock, knock. Who is there? {0}. {0} who? {0} with a {1} and a {2}, not a {3}.",
}
COMMON = ["door", "hat", "friend", "morning", "pocket", "letter", "street", "song"]


@dataclass(frozen=True)
class Taste:
    """Standard deviations of the parts of a liking, none negative; see the module's text."""

    own: float = 0.4
    quality: float = 0.4
    personal: float = 0.6
    noise: float = 0.6

    def __post_init__(self) -> None:
        if min(self.own, self.quality, self.personal, self.noise) < 0:
            raise ValueError(f"taste: expected standard deviations >= 0, got {self}")


def generate_jokes(*, seed: int, jokes: int = 60) -> tuple[list[Joke], DatasetUse]:
    """Jokes over six categories and three kinds in turn, and what was used.

    Raises ValueError for fewer than one joke.
    """
    if jokes < 1:
        raise ValueError(f"jokes: expected at least 1, got {jokes}")
    rng, made = np.random.default_rng((seed, 71)), []
    topics, frames = list(TOPICS), list(FRAMES)
    for number in range(jokes):
        category, kind = topics[number % len(topics)], frames[number // len(topics) % len(frames)]
        words = rng.choice([*TOPICS[category].split(), *rng.choice(COMMON, 2)], 4, replace=False)
        made.append(Joke(FRAMES[kind].format(*words), category, kind, True))
    digest = rows_digest((joke.text, joke.category, joke.kind) for joke in made)
    use = DatasetUse(
        "generated jokes",
        f"{VERSION}, seed {seed}",
        digest,
        "CC0-1.0 (generated)",
        {"jokes": jokes},
        __name__,
    )
    return made, use


def draw_tastes(
    features: Float[np.ndarray, "J F"], taste: Taste, *, users: int, seed: int
) -> Float[np.ndarray, "U J"]:
    """Likings of ``users`` customers for jokes with the given features; mean about 0.

    Raises ValueError for no users, or features that are the same for all jokes.
    """
    if users < 1 or not features.std(axis=0).max(initial=0) > 0:
        raise ValueError(f"expected users >= 1 and jokes that differ, got {users} and {features.shape}")
    rng, jokes = np.random.default_rng((seed, 72)), len(features)
    centred = features - features.mean(axis=0)
    personal = rng.standard_normal((users, features.shape[1])) @ centred.T
    personal /= personal.std(axis=1, keepdims=True) + 1e-12
    return (
        taste.own * rng.standard_normal((users, 1))
        + taste.quality * rng.standard_normal((1, jokes))
        + taste.personal * personal
        + taste.noise * rng.standard_normal((users, jokes))
    )
