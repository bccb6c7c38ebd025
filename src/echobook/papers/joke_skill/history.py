"""What is known of each customer when a joke is asked for: past jokes, and outcomes as far as they are known.

A :class:`History` goes forward only. Each request first settles what it settles (it is the reuse of the joke
before, the return to earlier ones), then the customer's :class:`Moments` can be read, then a joke is told.
Offline features are made by replaying a log through the same object, so nothing of the future can leak into
them, and a label whose window is still open is *unknown*. Times are whole seconds.

Axes: U customers, N moments, L longest history.
"""

from dataclasses import dataclass, fields

import numpy as np
from jaxtyping import Bool, Int

from echobook.papers.joke_skill.method import HOUR, PAPER_WINDOWS, Windows

NOBODY, UNKNOWN = -1, -1
SESSION = HOUR  # a request after more than this begins a new session


@dataclass(frozen=True)
class Moments:
    """N requests with what was known at each.

    Attributes:
        user, time, device: who asks, when (s), on which kind of device.
        position: place of the joke in its session, from 0.
        told: past jokes, oldest first, filled up with -1.
        told_at: their times (s).
        reuse, back: their outcomes: 1, 0, or -1 for not known yet (and for the filling).
    """

    user: Int[np.ndarray, " N"]
    time: Int[np.ndarray, " N"]
    device: Int[np.ndarray, " N"]
    position: Int[np.ndarray, " N"]
    told: Int[np.ndarray, "N L"]
    told_at: Int[np.ndarray, "N L"]
    reuse: Int[np.ndarray, "N L"]
    back: Int[np.ndarray, "N L"]

    def __len__(self) -> int:
        return len(self.user)

    @property
    def count(self) -> Int[np.ndarray, " N"]:
        """Jokes heard before."""
        return (self.told >= 0).sum(axis=1)

    def outcome(self, label: str) -> Int[np.ndarray, "N L"]:
        """Past outcomes by a label's name."""
        return {"reuse": self.reuse, "back": self.back}[label]

    def take(self, rows: np.ndarray) -> "Moments":
        """Some of the moments."""
        return Moments(*(getattr(self, one.name)[rows] for one in fields(self)))


def join_moments(parts: list[Moments]) -> Moments:
    """Moments one after the other, histories filled up to the longest."""
    longest = max(part.told.shape[1] for part in parts)

    def filled(part: Moments, name: str) -> np.ndarray:
        values = getattr(part, name)
        if values.ndim == 1:
            return values
        return np.pad(values, [(0, 0), (0, longest - values.shape[1])], constant_values=-1)

    return Moments(*(np.concatenate([filled(p, one.name) for p in parts]) for one in fields(Moments)))


class History:
    """Jokes told to U customers and what came of them."""

    def __init__(
        self, devices: Int[np.ndarray, " U"], *, jokes: int, longest: int, windows: Windows = PAPER_WINDOWS
    ) -> None:
        """Nothing told yet.

        Args:
            devices: kind of device of each customer.
            jokes: number of jokes.
            longest: most jokes that any customer will hear.
        """
        users = len(devices)
        self.devices, self.windows = devices, windows
        self.heard = np.zeros((users, jokes), dtype=bool)
        self.count = np.zeros(users, dtype=np.int64)
        self.now = np.full(users, -1, dtype=np.int64)
        self.position = np.zeros(users, dtype=np.int64)
        self.told = np.full((users, longest), NOBODY, dtype=np.int16)
        self.told_at = np.full((users, longest), -1, dtype=np.int64)
        self.reuse = np.full((users, longest), UNKNOWN, dtype=np.int8)
        self.back = np.full((users, longest), UNKNOWN, dtype=np.int8)

    def copy(self) -> "History":
        """An independent copy."""
        twin = History.__new__(History)
        for name, value in vars(self).items():
            setattr(twin, name, value.copy() if isinstance(value, np.ndarray) else value)
        return twin

    def ask(self, users: Int[np.ndarray, " N"], times: Int[np.ndarray, " N"]) -> None:
        """A request of each of some different customers: settle what it settles.

        Raises:
            ValueError: a request not after the customer's last; the customer is named.
        """
        late = times <= self.now[users]
        if late.any():
            user, time = users[late][0], times[late][0]
            way = f"from {self.now[user]} to {time} seconds"
            raise ValueError(f"customer {user}: the clock goes backwards, {way}")
        self._settle(users, times)
        fresh = (times - self.now[users] > SESSION) | (self.count[users] == 0)
        self.position[users] = np.where(fresh, 0, self.position[users] + 1)
        self.now[users] = times

    def _settle(self, users: Int[np.ndarray, " N"], times: Int[np.ndarray, " N"]) -> None:
        longest = int(self.count[users].max(initial=0))
        told = self.told[users, :longest] >= 0
        gap = times[:, None] - self.told_at[users, :longest]  # (N, longest)
        within = self.windows
        reuse, back = self.reuse[users, :longest], self.back[users, :longest]
        reuse[told & (reuse == UNKNOWN)] = (gap <= within.reuse)[told & (reuse == UNKNOWN)]
        open_ = told & (back == UNKNOWN)
        inside = (gap >= within.return_from) & (gap <= within.return_to)
        over = np.ones_like(open_) if within.credit == "last" else gap > within.return_to
        back[open_ & over] = 0
        back[open_ & inside] = 1
        self.reuse[users, :longest], self.back[users, :longest] = reuse, back

    def moments(self, users: Int[np.ndarray, " N"]) -> Moments:
        """What is known of customers who have just asked."""
        longest = max(1, int(self.count[users].max(initial=0)))
        past = [array[users, :longest] for array in (self.told, self.told_at, self.reuse, self.back)]
        return Moments(users, self.now[users], self.devices[users], self.position[users], *past)

    def tell(self, users: Int[np.ndarray, " N"], jokes: Int[np.ndarray, " N"]) -> None:
        """Tell each of some customers, who have just asked, a joke.

        Raises:
            ValueError: a joke that the customer has heard.
        """
        again = self.heard[users, jokes]
        if again.any():
            raise ValueError(f"customer {users[again][0]} has heard joke {jokes[again][0]} before")
        place = self.count[users]
        self.told[users, place], self.told_at[users, place] = jokes, self.now[users]
        self.heard[users, jokes] = True
        self.count[users] += 1


def replay(
    history: History,
    user: Int[np.ndarray, " N"],
    time: Int[np.ndarray, " N"],
    joke: Int[np.ndarray, " N"],
) -> Moments:
    """Moments of the rows of a log, in the order of the rows; the history is left as it is at the log's end.

    Raises:
        ValueError: as :meth:`History.ask` and :meth:`History.tell`; rows of a customer come in order of time.
    """
    order = np.argsort(user, kind="stable")
    starts = np.r_[0, np.flatnonzero(np.diff(user[order])) + 1]
    rank = np.empty(len(user), dtype=np.int64)
    rank[order] = np.arange(len(user)) - np.repeat(starts, np.diff(np.r_[starts, len(user)]))
    parts, rows = [], []
    for turn in range(int(rank.max(initial=-1)) + 1):
        here = np.flatnonzero(rank == turn)
        history.ask(user[here], time[here])
        parts.append(history.moments(user[here]))
        history.tell(user[here], joke[here])
        rows.append(here)
    return join_moments(parts).take(np.argsort(np.concatenate(rows)))


def allowed_jokes(
    history: History, tellable: Bool[np.ndarray, "U J"], users: Int[np.ndarray, " N"]
) -> Bool[np.ndarray, "N J"]:
    """Jokes that may be told to each: never one that was heard."""
    return tellable[users] & ~history.heard[users]
