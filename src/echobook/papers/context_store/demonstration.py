"""A live view in the terminal: a dialogue stream runs through the store on dynalite (or the embedded one).

`python -m echobook.papers.context_store.demonstration [--seconds 20] [--rate 4] [--store dynalite|embedded]`
starts what it needs, shows events, windows and hits while they happen, sweeps as after the time span, and
stops everything.
"""

import argparse
import asyncio
import math
import tempfile
import time
from collections import Counter, deque
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from rich.console import Console, Group
from rich.live import Live
from rich.panel import Panel
from rich.table import Table as View

from echobook.papers.context_store.material import Interaction, deliveries, interactions
from echobook.store.deciding import TABLES
from echobook.store.dynamodb import DynamoStore, connect
from echobook.store.errors import StoreError
from echobook.store.events import Code, Event
from echobook.store.pipeline import Pipeline, Run, inline, threads
from echobook.store.port import Store
from echobook.store.protocol import TwoTables
from echobook.store.retry import Retrying
from echobook.store.sealing import KeyRing
from echobook.store.servers import dynalite
from echobook.store.simulated_time import run_real
from echobook.store.sqlite import SqliteStore
from echobook.store.sweeping import sweep
from echobook.store.vectors import hashed_trigrams

_RECENT, _FOLLOW_UPS = 10, 8
_SECONDS, _RATE = 20.0, 4.0  # length of the stream, interactions a second
ROOT = Path(__file__).resolve().parents[4]


@dataclass
class Board:
    """What the view shows."""

    store: Store
    title: str
    counts: Counter[str] = field(default_factory=Counter)
    recent: deque[Event] = field(default_factory=lambda: deque(maxlen=_RECENT))
    follow_ups: deque[tuple[str, float, bool]] = field(default_factory=lambda: deque(maxlen=_FOLLOW_UPS))

    def seen(self, event: Event) -> None:
        """Note an event that was delivered."""
        self.counts["events"] += 1
        self.recent.append(event)

    def answered(self, interaction: Interaction, hit: bool) -> None:
        """Note a follow-up, its window and whether its vector was there."""
        self.counts["hits" if hit else "late or missing"] += 1
        self.follow_ups.append((interaction.name, interaction.next_at - interaction.events[-1].at, hit))

    def __rich__(self) -> Panel:
        """Draw the board."""
        events = View(title="events, newest last", expand=True)
        for heading in ("interaction", "event", "text kept"):
            events.add_column(heading)
        for event in self.recent:
            size = f"{event.kind}, {len(event.text)} bytes, sealed" if event.text is not None else ""
            events.add_row(event.interaction, str(event.code), size)
        answers = View(title="follow-ups", expand=True)
        for heading in ("interaction", "window", "vector"):
            answers.add_column(heading)
        for name, window, hit in self.follow_ups:
            answers.add_row(name, f"{window:.2f} s", "[green]ready[/]" if hit else "[red]late[/]")
        spent = self.store.spent
        totals = ", ".join(f"{value} {name}" for name, value in sorted(self.counts.items()))
        units = f"{spent.write_units:.0f} write units, {spent.read_units:.0f} read units"
        return Panel(Group(events, answers, f"{totals}; {units}"), title=self.title)


async def play(
    board: Board, stream: Sequence[Interaction], run: Run, *, seed: int, deadline_s: float = 0.05
) -> None:
    """Run a stream through the pipeline in real time, noting on the board what happens."""
    keys, loop = KeyRing.generate(), asyncio.get_running_loop()
    pipeline = Pipeline(
        lambda name: TwoTables(board.store, keys, time.time, hashed_trigrams, name), run=run, writers=2
    )
    start, span_s = loop.time(), pipeline.workers[0].span_s

    async def source() -> AsyncIterator[tuple[float, Event]]:
        for at, event in deliveries(stream, seed=seed):
            await asyncio.sleep(max(0.0, start + at - loop.time()))
            board.seen(event)
            yield start + at, event

    async def follow_up(one: Interaction) -> None:
        await asyncio.sleep(max(0.0, start + one.next_at - loop.time()))
        board.answered(one, await pipeline.read(one.name, deadline_s) is not None)
        await pipeline.submit(Event(one.name, Code.NEXT, one.next_at))

    async with pipeline:
        readers = [asyncio.create_task(follow_up(one)) for one in stream if one.follow_up]
        async for due, event in source():
            await pipeline.submit(event, due)
        await asyncio.gather(*readers)
        await pipeline.drain()
    board.counts["embeddings"] = pipeline.report.embedded
    board.counts["failures"] = len(pipeline.report.failures)
    board.counts["swept"] = sweep(board.store, lambda: time.time() + span_s + 1)


def demonstrate(console: Console, *, seconds: float, rate: float, store: str, seed: int = 0) -> Board:
    """Show a stream of about `seconds`, `rate` interactions a second, and return the final board."""
    stream = interactions(seed=seed, count=max(1, round(rate * seconds)), follow_ups=0.4, rate=rate)
    with ExitStack() as stack:
        if store == "dynalite":
            remote = DynamoStore(connect(stack.enter_context(dynalite(ROOT)), quick=True))
            remote.create(TABLES)
            board = Board(_retrying(remote, seed), "context store on dynalite")
            run: Run = threads(stack.enter_context(ThreadPoolExecutor(4)))
        else:
            folder = stack.enter_context(tempfile.TemporaryDirectory())
            embedded = SqliteStore(Path(folder, "store.db"), durable="process")
            board = Board(_retrying(embedded, seed), "embedded context store, one SQLite file")
            run = inline
        stack.callback(board.store.close)
        with Live(board, console=console, refresh_per_second=8):
            run_real(play(board, stream, run, seed=seed))
    return board


def _retrying(store: Store, seed: int) -> Store:
    return Retrying(store, np.random.default_rng([seed, 4]), sleep=time.sleep)


def _positive(text: str) -> float:
    """Return a number above zero; argparse names the option and shows the message otherwise."""
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0 < number < math.inf:
        raise argparse.ArgumentTypeError(f"expected a number above 0, got {text!r}")
    return number


def main() -> None:
    """Run the demonstration; exit status 1 when dynalite is not there."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--seconds", type=_positive, default=_SECONDS, help="length of the stream (default: %(default)g)"
    )
    parser.add_argument(
        "--rate", type=_positive, default=_RATE, help="interactions a second (default: %(default)g)"
    )
    parser.add_argument("--store", choices=("dynalite", "embedded"), default="dynalite")
    given = parser.parse_args()
    console = Console()
    try:
        demonstrate(console, seconds=given.seconds, rate=given.rate, store=given.store)
    except StoreError as error:
        console.print(f"{error}\nor without a server: --store embedded", highlight=False)
        raise SystemExit(1) from None


if __name__ == "__main__":
    main()
