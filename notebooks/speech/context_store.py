# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Contextual speech recognition: the store
#
# ## In one minute
#
# After "Meg Jones or Meg Bauer?" the answer "Bauer" is easy to mishear, unless the recogniser knows what was just
# said. The context must be kept while the assistant talks, embedded only if the microphone will open again, ready
# before the user answers, and private throughout. The article on this system {cite}`amazon2022contextual` describes
# a store of two tables: one holds the events of an interaction in one entry, the other each private text, encrypted,
# in an entry of its own. Every write of an event asks for the updated entry in return, and that image alone decides
# whether to embed.

# %% tags=["remove-input"]
from echobook.report.chapter import Chapter

Chapter("context-store").verdict_box()

# %% [markdown]
# :::{important}
# The article describes this design in words and prints no figure about it. Which facts are the article's is said
# below; schema, conditions, leases, sealing and the rival designs are ours. Interactions are *generated*. Latencies
# and rates are of this project's code on one machine with loopback servers, not of the deployed service.
# :::

# %% tags=["hide-input"]
import tempfile
from contextlib import ExitStack
from html import escape
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from echobook.papers.context_store import load
from echobook.papers.context_store.experiment import (
    VARIANTS,
    age,
    cost_of,
    cost_table,
    crossover,
    race,
    rates,
    setting,
    trace,
)
from echobook.papers.context_store.faults import (
    MAY_LACK_THE_LIST,
    SCENARIOS,
    SURVIVED,
    count_faults,
)
from echobook.papers.context_store.material import (
    START_S,
    interactions,
    interactions_use,
)
from echobook.papers.context_store.timing import simulate
from echobook.report.display import volatile
from echobook.report.figures import figure_style, palette
from echobook.report.paths import repository_root
from echobook.report.source import show_source
from echobook.report.tables import table as plain_table
from echobook.store.deciding import ENTRIES, TABLES, TEXTS
from echobook.store.designs import DESIGNS
from echobook.store.differential import RANDOM, Operations, compare
from echobook.store.dynamodb import DynamoStore, connect
from echobook.store.events import state
from echobook.store.interleave import Ticks
from echobook.store.items import item_size
from echobook.store.memory import MemoryStore
from echobook.store.protocol import TwoTables, drive
from echobook.store.sealing import KeyRing
from echobook.store.servers import dynalite, moto
from echobook.store.sqlite import SqliteStore
from echobook.store.sweeping import recover
from echobook.store.vectors import hashed_trigrams, pack, unpack

# %% tags=["parameters", "hide-input"]
profile: str = "default"  # smoke, default, public or paper
seed: int = 0  # of streams, schedules and faults
servers: str = "none"  # or "dynalite and moto": check against real servers, too
sizes: str = "500,1000,2000,4000,10000,50000"  # of the context list, bytes
interactions_played: int = 400  # for each cost and each timing
follow_ups: float = 0.1  # share of interactions whose microphone opens again
interleavings: int = 2000  # random schedules for each way to decide
operations: int = 3000  # random operations for each comparison of back-ends
repetitions: int = 30  # of each fault
embed_ms: str = "50,100,200,400,800,1600,3200"  # median embedding time, milliseconds
load_rate: float = 300.0  # interactions a second on the embedded store
power_rates: str = "100"  # the same, flushed to disk at every commit
server_rate: float = 305.0  # interactions a second on the server, held against the bar
server_rates: str = "100,200,400,500"  # further rates on the server
boto3_rates: str = "100,200"  # the same with boto3's own calls
load_seconds: float = 3.0  # length of each load

# %% tags=["hide-input"]
settings = {
    "servers": servers,
    "sizes": sizes,
    "interactions_played": interactions_played,
}
settings |= {
    "follow_ups": follow_ups,
    "interleavings": interleavings,
    "operations": operations,
}
settings |= {"repetitions": repetitions, "embed_ms": embed_ms, "load_rate": load_rate}
settings |= {
    "power_rates": power_rates,
    "server_rate": server_rate,
    "server_rates": server_rates,
}
settings |= {"boto3_rates": boto3_rates, "load_seconds": load_seconds}
chapter = Chapter("context-store", profile=profile, seed=seed, parameters=settings)

# %% [markdown]
# ## Method
#
# **What the article says.** Two DynamoDB tables. The first holds all system events of one interaction in one entry,
# each event a short string, with references into the second. The second holds the encrypted texts (what the user
# said, what the assistant answers, other context), each in an entry of its own, written once and not decrypted until
# an embedding is wanted. Entries are deleted after a fixed span. Every write of an event returns the updated entry.
# If it holds the event that the microphone will reopen, the embedding starts; otherwise the data are dropped. The
# reply is known before it is spoken, so the spoken reply is the time to compute in. A vector that comes too late
# is not waited for.
#
# **What we add.** A text is put *before* it is referenced, so no reference dangles. Events are a *set*: their order
# and repeated delivery leave no trace. The embedding is claimed by a conditional write with a lease, so that one
# worker wins and a dead one is replaced; a claim that has waited in a queue begins its lease anew before it is embedded, so
# that the wait does not use it up. What is delivered after the span begins an entry of its own and brings nothing back. Texts and vectors are sealed with AES-GCM; the reference is authenticated
# with them, so a sealed text cannot be moved to another interaction.
#
# ```{figure} ../../book/_static/context-store-protocol.svg
# :alt: A worker puts the text, adds the event to the entry and gets the entry back, and claims the embedding if it is complete; the embedder reads the texts, opens them, and marks the entry as done.
# :name: fig-context-store-protocol
#
# The two tables and the steps of a write.
# ```
#
# The state of an interaction is a function of the set of its events. The protocol as it runs, one store call between
# two `yield`s:

# %%
show_source(TwoTables.steps)

# %%
show_source(TwoTables.embedding)

# %% [markdown]
# **An example to check by hand.** An item counts the bytes of its names and values: `interaction` and `i1`, `ev`
# with `REQ` and `ASR`, `ttl` with a number of ten digits that ends in two zeros (four pairs and one byte more).

# %%
small = {"interaction": "i1", "ev": frozenset({"REQ", "ASR"}), "ttl": 1_700_000_600}
by_hand = (11 + 2) + (2 + 3 + 3) + (3 + 4 + 1)
print(by_hand, item_size(small))

# %% [markdown]
# **One interaction, call by call**, on the store in memory: what each call costs in capacity units.

# %%
example = interactions(seed=4, count=40, follow_ups=0.5, context_bytes=400)
example = next(one for one in example if one.follow_up)
store, clock, keys = MemoryStore(), Ticks(START_S), KeyRing.generate()
worker = TwoTables(store, keys, clock, hashed_trigrams, "worker")
calls = trace(worker, example.events)

# %% tags=["hide-input"]
chapter.table(
    calls, name="trace", caption="The calls of one follow-up interaction", digits=1
)

# %% tags=["hide-input"]
entry = store.get(ENTRIES, ENTRIES.key(example.name))
texts = store.query(TEXTS, example.name)
shown = [
    {"attribute": name, "value": escape(str(value)[:70])}
    for name, value in sorted(entry.items())
]
sealed = {
    f"text {item['part']}": volatile(item["c"].hex()[:40] + " ...") for item in texts
}  # fresh nonces
shown += [{"attribute": name, "value": value} for name, value in sealed.items()]
print("state:", state(entry), "| vector:", unpack(worker.read(example.name)).shape)
caption = "What the tables hold: codes in the open, texts sealed"
plain_table(
    pd.DataFrame(shown), name="context-store-entry", caption=caption, markup=["value"]
)

# %% [markdown]
# ## Data
#
# Interactions begin as a Poisson process and have five events, three of them with a text. Replies are a few words;
# the reply's length and the user's reaction give the time window. One event in a hundred is delivered twice and
# neighbours change places.

# %% tags=["hide-input"]
stream = interactions(seed=seed, count=interactions_played, follow_ups=follow_ups)
chapter.use(interactions_use(stream, seed=seed, name="generated interactions"))
rows = [
    {
        "at": event.at,
        "code": str(event.code),
        "kind": event.kind,
        "text": (event.text or b"")[:48].decode(),
    }
    for event in stream[0].events
]
chapter.table(
    pd.DataFrame(rows),
    name="rows",
    caption="The events of the first interaction",
    digits=2,
)

# %% [markdown]
# ## Experiment
#
# Four designs see the same events: the two tables; *one fat entry*, sealed as a whole, read, changed and written
# under a version condition; *sealed attributes* in one entry; and the two tables with *transactions*. Costs are
# capacity units by DynamoDB's rules: a write costs a unit for each started KiB of the whole item, a consistent read
# one for each four KiB, a transaction twice as much.

# %%
size_list = [int(size) for size in sizes.split(",")]
costs = cost_table(
    sizes=size_list, count=interactions_played, follow_ups=follow_ups, seed=seed
)

# %% tags=["hide-input"]
for row in costs.to_dict("records"):
    name = f"{row['design']}-{row['context_bytes']}"
    for column in ("write_units", "read_units", "opens", "seals", "calls"):
        metric = f"cost/{column.replace('_', '-')}/{name}"
        chapter.record(
            metric, row[column], unit="per interaction", n=interactions_played
        )

# %% tags=["hide-input"]
at_1000 = interactions(
    seed=seed, count=interactions_played, follow_ups=follow_ups, context_bytes=1000
)
wanted = np.mean(
    [3 * one.follow_up for one in at_1000]
)  # three texts for each follow-up
chapter.record(
    "cost/opens-wanted", wanted, unit="per interaction", n=interactions_played
)
for other in ("fat-entry", "sealed-attributes"):
    meets = crossover(costs, "two-tables", other)
    if meets is not None:
        chapter.record(f"cost/crossover/{other}", meets, unit="bytes of context")

# %% [markdown]
# Random interleavings: every delivery of an event is a worker of its own, and a scheduler picks who makes the next
# call. A way to decide is judged by the embeddings it misses and doubles. Eventual reads meet one of three replicas
# that lags. The schedules are made to collide often, so the counts are no rates of a service: the cell prints with what
# shares and times they are drawn.

# %%
print(setting())
outcomes = {
    name: rates(race(one, runs=interleavings, seed=seed))
    for name, one in VARIANTS.items()
}
outcomes["killed"] = rates(
    race(VARIANTS["returned"], runs=interleavings, seed=seed, kill=0.1)
)

# %% tags=["hide-input"]
for name, row in outcomes.items():
    for measure in ("missed", "doubled"):
        chapter.record(
            f"race/{measure}/{name}",
            row[measure],
            unit="interleavings",
            n=row["wanted"],
        )
unready = outcomes["killed"]["wanted"] - outcomes["killed"]["ready"]
_ = chapter.record(
    "race/unready/killed", unready, unit="interleavings", n=outcomes["killed"]["wanted"]
)

# %% [markdown]
# Timing: the real pipeline (event source, bounded queue, writers, embedders, the recogniser's read with a deadline)
# runs on a clock that jumps from timer to timer. Store calls and embeddings take log-normal times.

# %%
timings = {
    int(ms): simulate(
        seed=seed,
        count=interactions_played,
        embed_s=int(ms) / 1000,
        follow_ups=follow_ups,
    )
    for ms in embed_ms.split(",")
}

# %% tags=["hide-input"]
for ms, timing in timings.items():
    chapter.record(
        f"timing/hit-rate/embed-{ms}", timing.hit_rate, unit="share", items=timing.hits
    )
    chapter.record(
        f"timing/embed-p99/embed-{ms}",
        timing.embed_p99_s,
        unit="s",
        n=timing.embeddings,
    )
first = next(iter(timings.values()))
chapter.record(
    "timing/embeddings-saved", 1 - first.embeddings / first.interactions, unit="share"
)
chapter.record(
    "timing/share-without-follow-up",
    1 - len(first.hits) / first.interactions,
    unit="share",
)
_ = chapter.record(
    "timing/shortest-window", min(first.windows), unit="s", n=len(first.windows)
)

# %% [markdown]
# Faults, and what is left after the time span:

# %%
faults = {
    name: count_faults(name, repetitions=repetitions, seed=seed) for name in SCENARIOS
}

# %% tags=["hide-input"]
chapter.record("fault/raised", sum(one.raised for one in faults.values()), unit="reads")
chapter.record("fault/wrong", sum(one.wrong for one in faults.values()), unit="reads")
unrepaired = sum(repetitions - faults[name].right for name in SURVIVED)
chapter.record(
    "fault/unrepaired", unrepaired, unit="reads", n=repetitions * len(SURVIVED)
)
left = age(count=interactions_played, seed=seed)
chapter.record("expiry/old-readable", left.old_readable, unit="vectors")
chapter.record("expiry/old-left", left.left_after, unit="items", n=left.left_before)
chapter.record(
    "expiry/revived", left.revived, unit="codes and references", n=left.delivered_late
)
chapter.record(
    "expiry/late-lost", left.late_expected - left.embedded_late, unit="vectors"
)
_ = chapter.record(
    "expiry/young-lost", left.young_expected - left.young_readable, unit="vectors"
)

# %% [markdown]
# The same random operations go to the embedded store and to its peers: answers, errors and capacity units are
# compared one by one. moto reports units of its own kind and fails on comparisons of unlike types, so neither is
# asked of it; dynalite knows no transactions.

# %% tags=["hide-input"]
differing, stack = {}, ExitStack()
folder = stack.enter_context(tempfile.TemporaryDirectory())


def against(name, other, kinds, units=True):
    mine = SqliteStore(Path(folder, f"{name}.db"), durable="process")
    found = compare(
        mine, other, np.random.default_rng(seed), operations, kinds=kinds, units=units
    )
    mine.close()
    differing[name] = len(found)
    chapter.record(
        f"differential/differing/{name}", len(found), unit="answers", n=operations
    )


against("memory", MemoryStore(), Operations(transactions=True))

# %% tags=["hide-input"]
addresses = {}
if servers != "none":
    addresses["dynalite"] = stack.enter_context(dynalite(repository_root()))
    remote = DynamoStore(connect(addresses["dynalite"]))
    remote.create([RANDOM])
    against("dynalite", remote, Operations())
    with moto() as address:
        remote = DynamoStore(connect(address))
        remote.create([RANDOM])
        against(
            "moto", remote, Operations(clashes=False, transactions=True), units=False
        )

# %% [markdown]
# The capacity units above are our calculator's. Where a server reports units, they must be the same to the last one:

# %% tags=["hide-input"]
gaps = {}
for number, design in enumerate(("two-tables", "fat-entry", "sealed-attributes")):
    if "dynalite" not in addresses:
        break
    remote = DynamoStore(connect(addresses["dynalite"]), prefix=f"cost{number}-")
    remote.create(TABLES)
    part = interactions(seed=seed, count=40, follow_ups=follow_ups, context_bytes=3000)
    ours, theirs = (
        cost_of(design, part),
        cost_of(design, part, opened=lambda served=remote: served),
    )
    gaps[design] = abs(ours.write_units - theirs.write_units) + abs(
        ours.read_units - theirs.read_units
    )
if gaps:
    chapter.record("cost/unit-difference-to-server", max(gaps.values()), unit="units")

# %% [markdown]
# Last, bounded loads in real time. Arrival times are drawn beforehand and waits are counted from when an event was
# *due*, so that a store that stalls cannot hide it. The embedded store runs as two processes with a file each, once so
# that a commit survives a killed process, and once flushed to disk at every commit (SQLite's `synchronous=FULL`), so
# that it survives a loss of power as far as the disk keeps its word. The server is one process, with one client process
# beside it, each on a core of its own where the system can do that. A first load warms it up and is not counted.
# Machines that share their processors with others vary in speed, so the cell first times a fixed loop.

# %% tags=["hide-input"]
stack.close()
chapter.record(
    "load/fixed-loop", load.fixed_loop_ms(), unit="ms of processor time", timing=True
)
power = [float(rate) for rate in power_rates.split(",")]
loads = load.embedded_loads(
    rate=load_rate, power_rates=power, seconds=load_seconds, seed=seed
)
if servers != "none":
    more = [float(rate) for rate in server_rates.split(",")]
    plain = [float(rate) for rate in boto3_rates.split(",")]
    loads |= load.server_loads(
        repository_root(),
        rates=sorted([*more, server_rate]),
        boto3_rates=plain,
        seconds=load_seconds,
        seed=seed,
    )
    loads["dynamodb-protocol"] = loads[f"dynamodb-protocol-{server_rate:g}"]

# %% tags=["hide-input"]
for name, one in loads.items():
    chapter.record(
        f"load/rate/{name}", one.rate, unit="interactions/s", n=one.events, timing=True
    )
    for level in ("p50", "p95", "p99"):
        value = getattr(one, f"{level}_ms")
        chapter.record(
            f"load/{level}/{name}", value, unit="ms", n=one.events, timing=True
        )
    chapter.record(f"load/failures/{name}", one.failures, unit="events", n=one.events)
    cost = "ms of processor time per interaction"
    chapter.record(f"load/client-time/{name}", one.client_ms, unit=cost, timing=True)
    if not name.startswith("embedded"):
        chapter.record(
            f"load/server-time/{name}", one.server_ms, unit=cost, timing=True
        )

# %% [markdown]
# ## Results

# %% tags=["hide-input"]
chapter.forest_plot()

# %% tags=["hide-input"]
chapter.claims_table()

# %% [markdown]
# (context-store-c1)=
# (context-store-k1)=
# (context-store-c2)=
# **What it costs.** The fat entry opens its content at every event; the two tables open only what a follow-up needs.
# On writes the two tables *lose* for small contexts, since each text is an item of its own that costs at least one
# unit, and win where the context is larger: the fat entry pays for its whole content with every event. The lines cross
# at {result}`context-store:cost/crossover/fat-entry|.0f` bytes of context.

# %% tags=["hide-input"]
chapter.table(
    costs,
    name="costs",
    caption="Means an interaction, by design and size of the context list",
    digits=2,
)

# %% tags=["hide-input"] mystnb={"image": {"alt": "Two panels of lines on logarithmic axes: write units and read units an interaction against the size of the context, four designs."}, "figure": {"caption": "Capacity units an interaction against the size of the context list.", "name": "fig-context-store-cost"}}
with figure_style():
    figure, panels = plt.subplots(1, 2, figsize=(8.4, 3.4), sharex=True)
    for axes, column in zip(panels, ("write_units", "read_units"), strict=True):
        for name, marker in zip(DESIGNS, "osD^", strict=True):
            part = costs[costs.design == name]
            axes.plot(part.context_bytes, part[column], marker=marker, label=name)
        label = f"{column.replace('_', ' ')} per interaction"
        axes.set(
            xscale="log", yscale="symlog", xlabel="context list, bytes", ylabel=label
        )
    panels[0].legend()
    figure.tight_layout()

# %% tags=["hide-input"] mystnb={"image": {"alt": "Lines of decryptions an interaction against the share of follow-ups: rising from zero for the two tables, flat near four for the fat entry."}, "figure": {"caption": "Decryptions an interaction against the share of follow-ups.", "name": "fig-context-store-opens"}}
shares = (0.0, 0.05, 0.1, 0.2, 0.35, 0.5)
streams = [
    interactions(seed=seed, count=interactions_played // 2, follow_ups=share)
    for share in shares
]
with figure_style():
    figure, axes = plt.subplots(figsize=(6, 3))
    for name, marker in zip(("two-tables", "fat-entry"), "os", strict=True):
        axes.plot(
            shares,
            [cost_of(name, part).opens for part in streams],
            marker=marker,
            label=name,
        )
    axes.set(
        xlabel="share of interactions with a follow-up",
        ylabel="decryptions per interaction",
        ylim=(0, None),
    )
    axes.legend()

# %% [markdown]
# (context-store-k2)=
# **Races.** Deciding on the returned image, with a conditional claim, neither misses nor doubles. A *consistent* read
# after the write is as safe, for one more call and its read units; an eventual read misses. Without the claim, two
# workers that both see a complete entry both embed. With workers killed at random between calls, doubles are
# repeated work after a death, not wrong results; the table shows how many vectors are ready in the end. One bound remains
# without deaths: an embedding that takes longer than its lease may be made twice, and the last owner's mark counts.

# %% tags=["hide-input"]
race_table = pd.DataFrame(outcomes).T.reset_index(names="way to decide")
chapter.table(
    race_table,
    name="races",
    caption="Random interleavings by what a worker decides on",
    digits=0,
)

# %% [markdown]
# (context-store-c4)=
# (context-store-k3)=
# (context-store-k4)=
# **Time.** The shortest window is that of the shortest reply,
# {result}`context-store:timing/shortest-window|.2f` s. An embedding that is quicker hides; with slower ones the hit rate falls
# along the distribution of windows, and queueing for embedders adds to it. C4 calls a median of 200 ms quick; its 99th
# percentile is {result}`context-store:timing/embed-p99/embed-200|.2f` s. K4 compares what is saved with the share of interactions
# without a follow-up.

# %% tags=["hide-input"] mystnb={"image": {"alt": "Line of the hit rate against the median embedding time, near one up to about a second, then falling."}, "figure": {"caption": "Share of follow-ups whose vector was there, against the median embedding time; the dotted line is the shortest window.", "name": "fig-context-store-hits"}}
with figure_style():
    figure, axes = plt.subplots(figsize=(6, 3))
    axes.plot(
        list(timings),
        [one.hit_rate for one in timings.values()],
        marker="o",
        color=palette("default")[0],
    )
    axes.axvline(1000 * min(first.windows), color="black", linestyle=":")
    axes.set(
        xscale="log",
        xlabel="median embedding time, ms",
        ylabel="hit rate",
        ylim=(0, 1.05),
    )

# %% [markdown]
# (context-store-k5)=
# (context-store-k6)=
# **Faults.** Each row repeats one fault. *Right* means the vector of all texts; only where the context list may come too late
# or get lost, the column *list optional*, may it be missing. *Nothing* is recognition without context. No fault may raise an
# error at the recogniser, of whatever type, or hand it a wrong vector. K6 counts what can be read after the time span, and
# what the sweeper leaves. Half of the old interactions get their last event once more after it: *revived* counts the codes
# and references from before that their entries then hold. Those that get all events again must have a vector again.

# %% tags=["hide-input"]
optional = {name: "yes" if name in MAY_LACK_THE_LIST else "" for name in faults}
fault_table = pd.DataFrame(
    [
        {"fault": name, **vars(one), "list optional": optional[name]}
        for name, one in faults.items()
    ]
)
chapter.table(
    fault_table, name="faults", caption="What the recogniser gets, by fault", digits=0
)

# %% tags=["hide-input"]
leftovers = pd.DataFrame(
    [
        {"after the time span": name.replace("_", " "), "count": value}
        for name, value in vars(left).items()
    ]
)
chapter.table(
    leftovers,
    name="expiry",
    caption="Old and young interactions after the time span",
    digits=0,
)

# %% [markdown]
# (context-store-k7)=
# **Load.** The bars are this project's: interactions a second, and milliseconds from an event's being due to its being
# written. This run's loads, at the rates of this profile:

# %% tags=["hide-input"]
columns = {
    "rate": "interactions/s",
    "p50_ms": "p50, ms",
    "p95_ms": "p95, ms",
    "p99_ms": "p99, ms",
}
columns |= {
    "client_ms": "client, ms/interaction",
    "server_ms": "server, ms/interaction",
}
columns |= {"failures": "failures"}
own = {
    name: one for name, one in loads.items() if name != "dynamodb-protocol"
}  # it is there with its rate
rows = [
    {
        "load": name,
        **{
            shown: volatile(f"{getattr(one, field):.1f}")
            for field, shown in columns.items()
        },
    }
    for name, one in own.items()
]
caption, timed = "This run's bounded loads in real time", list(columns.values())
plain_table(
    pd.DataFrame(rows), name="context-store-load", caption=caption, markup=timed
)

# %% [markdown]
# The recorded loads: the embedded store with commits that survive a *killed process* or a *loss of power*, and the server
# by two kinds of the same client, with *quick* calls and *boto3's own*.

# %% tags=["hide-input"]
kinds = {"embedded": "killed process", "embedded-power": "loss of power"}
kinds |= {"dynamodb-protocol": "quick calls", "boto3": "boto3's own calls"}
offered = {"embedded": [""], "embedded-power": ["-1000", "-2000", "-3050"]}
offered |= {
    "dynamodb-protocol": ["-100", "-200", "-305", "-400", "-500"],
    "boto3": ["-100", "-200"],
}
measures = ("rate", "p50", "p95", "p99", "client-time", "server-time")
kept = []
for kind, name in [
    (kind, kind + rate) for kind, rates_of in offered.items() for rate in rates_of
]:
    there = (
        measures[:-1] if kind.startswith("embedded") else measures
    )  # no server behind the embedded store
    found = {measure: chapter.recorded(f"load/{measure}/{name}") for measure in there}
    if found["rate"] is not None:
        shown = {measure: one.mean for measure, one in found.items()}
        kept.append({"kind": kind, "load": kinds[kind], **shown})
recorded = pd.DataFrame(kept, columns=["kind", "load", *measures])
shown = recorded.drop(columns="kind").rename(
    columns=dict(zip(measures, columns.values(), strict=False))
)
chapter.table(
    shown, name="recorded-load", caption="Recorded loads, means over seeds", digits=1
)

# %% tags=["hide-input"] mystnb={"image": {"alt": "Two panels, embedded store and server: lines of the median and 99th percentile wait in milliseconds against interactions a second, for two kinds of durability and two kinds of client."}, "figure": {"caption": "Wait of an event against the rate that was reached, recorded runs: solid the 99th percentile, dashed the median; dotted lines are the bars.", "name": "fig-context-store-load"}}
with figure_style():
    figure, panels = plt.subplots(1, 2, figsize=(8.4, 3.4), sharey=True)
    for axes, part, bar in zip(
        panels,
        (("embedded", "embedded-power"), tuple(kinds)[2:]),
        (3000, 300),
        strict=True,
    ):
        for number, kind in enumerate(part):
            line, colour = recorded[recorded.kind == kind], palette("default")[number]
            axes.plot(
                line["rate"],
                line["p99"],
                marker="os"[number],
                color=colour,
                label=kinds[kind],
            )
            axes.plot(
                line["rate"],
                line["p50"],
                marker="os"[number],
                color=colour,
                linestyle="--",
            )
        axes.axhline(50, color="black", linestyle=":")
        axes.axvline(bar, color="black", linestyle=":")
        axes.set(xlabel="interactions a second", yscale="log")
        axes.legend()
    panels[0].set_ylabel("wait of an event, ms")
    figure.tight_layout()

# %% [markdown]
# **Where the time goes.** On the server's side of the figure two things bound the rate. With boto3's own calls the client
# process needs {result}`context-store:load/client-time/boto3-100|.1f` ms of processor time an interaction in all (sealing, pipeline
# and JSON included), with quick calls {result}`context-store:load/client-time/dynamodb-protocol-100|.1f` ms at the same rate; what
# lies between is boto3's general layers. Asked for 200 a second,
# boto3's own calls reach {result}`context-store:load/rate/boto3-200|.0f`. dynalite, which answers on one thread, takes
# {result}`context-store:load/server-time/dynamodb-protocol|.1f` ms at the bar's rate, its compiler's and collector's threads
# included. Waits grow as these sums near the processors' time. The quick client is boto3's own client class with its
# `_make_api_call` replaced: no events, endpoint rules or header objects, one write and one read a call.
#
# Flushed to disk at every commit, the embedded store has a 99th percentile of
# {result}`context-store:load/p99/embedded-power-1000|.0f`, {result}`context-store:load/p99/embedded-power-2000|.0f` and
# {result}`context-store:load/p99/embedded-power-3050|.0f` ms at a thousand, two thousand and 3,050 interactions a second. The
# bars must be met in every seed: the mean 99th percentile is {result}`context-store:load/p99/dynamodb-protocol|.0f` ms
# ({interval}`context-store:load/p99/dynamodb-protocol|.0f`) through dynalite and
# {result}`context-store:load/p99/embedded|.0f` ms ({interval}`context-store:load/p99/embedded|.0f`) embedded; the bar is
# 50 ms. Where an interval reaches beyond the bar, a further run may well be above it.
#
# **What had made waits long.** In an earlier record of this chapter both percentiles were far above the bar, and the page
# could not say why. Older and newer code run in turn, and profiles of both sides, then showed four causes, none of them in
# the protocol:
#
# - *How a condition was written.* The write of every event asks whether its entry still lives. dynalite's parser tries
#   alternatives at every pair of parentheses, and conditions of this form took nearly half of the server's busy time.
#   Written as one comparison, negated, the question costs next to nothing.
# - *The server's collector.* From the start that Node gives its heap, collections of old objects stalled all calls for tens of
#   milliseconds, again and again. With room from the start they nearly vanish, and the 99th percentile with them.
# - *Checkpoints* of the embedded store took processor time from its writers. Their thread now has a lower priority, pages are
#   smaller, and bodies are appended in place of being inserted among others.
# - *Turns of threads.* In Python a thread with an answer waits for the interpreter for up to five milliseconds before it
#   asks for it; in these loads it asks ten times as early.
#
# Server and client now have a core each. The machine shares its processors with others, and its speed varies by more than
# half: the fixed loop took {result}`context-store:load/fixed-loop|.0f` ms in the mean over the recorded seeds, and one of them
# met the machine in a slow spell.

# %% [markdown]
# (context-store-k8)=
# **Servers.** Answers that differ from the embedded store's, over the same random operations:

# %% tags=["hide-input"]
peers = pd.DataFrame(
    [
        {"peer": name, "operations": operations, "differing": count}
        for name, count in differing.items()
    ]
)
chapter.table(
    peers,
    name="peers",
    caption="The embedded store beside its peers, this run",
    digits=0,
)

# %% [markdown]
# ## Ablations and controls
#
# **Control**: without follow-ups nothing may be opened or embedded. **Ablation**: *early* embeds as soon as the user's words
# and the reply are stored, without waiting for the microphone's event; the reply is stored two milliseconds before that
# event, so there is little time to gain. **Back-pressure**: one embedder of two seconds, and queues of four. Once these are
# full, the writers wait for the embedder and the source for the writers; the table shows how far that went in this run.
# Counted as *lost* are events that were not written and embeddings that were not made.

# %% tags=["hide-input"]
silent = cost_of(
    "two-tables", interactions(seed=seed, count=interactions_played, follow_ups=0.0)
)
chapter.record(
    "control/opens", silent.opens, unit="per interaction", n=interactions_played
)
chapter.record(
    "control/embeddings",
    silent.embeddings,
    unit="per interaction",
    n=interactions_played,
)
given = {"seed": seed, "count": interactions_played, "follow_ups": follow_ups}
early = simulate(embed_s=next(iter(timings)) / 1000, trigger_early=True, **given)
slow = simulate(embed_s=2.0, rate=20.0, embedders=1, queue=4, **given)
for name, one in (("waiting", first), ("early", early)):
    share = one.embeddings / one.interactions
    chapter.record(
        f"ablation/embeddings/{name}", share, unit="per interaction", n=one.interactions
    )
    chapter.record(
        f"ablation/hit-rate/{name}", one.hit_rate, unit="share", n=len(one.hits)
    )

# %% tags=["hide-input"]
unmade = len(slow.hits) - slow.embeddings
chapter.record(
    "control/slow-embedder-hit-rate", slow.hit_rate, unit="share", n=len(slow.hits)
)
chapter.record(
    "control/slow-embedder-lost", slow.lost + unmade, unit="events and embeddings"
)
chapter.record("control/slow-embedder-longest-queue", slow.longest_queue, unit="events")
chapter.record(
    "control/slow-embedder-longest-claims", slow.longest_claims, unit="claims"
)
chapter.record("control/slow-embedder-longest-wait", slow.longest_wait_s, unit="s")
rows = [
    {
        "setting": "no follow-ups",
        "embeddings": f"{silent.embeddings * interactions_played:.0f}",
    }
]
for name, one in (
    ("waiting", first),
    ("early", early),
    ("slow embedder, short queues", slow),
):
    row = {
        "setting": name,
        "embeddings": str(one.embeddings),
        "hit rate": f"{one.hit_rate:.3f}",
    }
    row |= {"longest queue": f"{one.longest_queue} events, {one.longest_claims} claims"}
    row |= {
        "longest wait, s": f"{one.longest_wait_s:.2f}",
        "lost": f"{one.lost + (one is slow) * unmade}",
    }
    rows.append(row)
controls = pd.DataFrame(rows).fillna("-")
chapter.table(controls, name="controls", caption="Controls and ablation", digits=0)

# %% [markdown]
# **See it run**: `make context-demo` starts dynalite, plays a dialogue stream and shows events, windows and hits in the
# terminal, then stops.
#
# ## Where this departs from the paper
#
# - *The article has no figures* on the store, so every criterion is ours, and most are of the kind "never".
# - *Schema and conditions are ours*: sets of codes, references, an owner with a lease, a `done` mark.
# - *The service is not DynamoDB* but dynalite and moto on loopback. Neither lags on eventual reads, so lag is simulated by
#   a proxy. Neither deletes what expired: reads filter, and a sweeper deletes.
# - *Load is measured on a small machine*, client and server on a core each. dynalite's heap begins larger than Node's
#   default (`--initial-old-space-size`). The recorded loads ran at ordinary priority; those of the first record had real-time
#   priority (`chrt -r 1`), because other programs were at work there. What the machine did besides is in the figures'
#   tails.
# - *The embedded store's bar* is held against commits that survive a killed process. Those that survive a loss of power
#   are measured beside it.
# - *The embedder is a stand-in* that hashes trigrams; embedding times are simulated in the timing experiment. The
#   recogniser's own encoder takes its place in the chapter on the models.
# - *A context list that arrives after the trigger is not embedded*, and an entry that expires before the follow-up is gone:
#   both mean recognition with less context, never an error.
# - *Throttled calls are repeated* in the fault scenarios, in the loads and in the demonstration. The timing experiment's store
#   never throttles. Sweeping and recovery are jobs of their own: the pipeline runs neither. The code of the next turn is
#   written by the demonstration only, so the states *used* and *late* do not occur in the experiments.
# - *Rates, batches, writers and the time they gather for were chosen after trial runs* with generated streams of other
#   seeds, well over two hundred in all; when versions of the code were compared, the streams of seeds 1 and 2 were played too.
#   These also showed that moving the write-ahead log in a thread of its own shortens the
#   longest waits, that boto3's own work bounds the rate on two cores, and that writers which gather in turn wait
#   less than writers with a share of the interactions each.
# - *Claims and criteria were written after trials*: about fifteen load trials, and trial runs of the cost, race and timing
#   experiments on generated streams, had been seen. They shaped the rates, the queues, the batches and the lag of the
#   simulated replica, which K2's share of missed triggers depends on. Seed 1 was run once before its sources were final
#   and looked at. The offered rates were then set nearer to the bars (3,050 and 305 interactions a second, before 3,200
#   and 320).
# - *Criteria were made stricter after the first record*, with the same verdicts there, and most claims became checks (K1 to K8)
#   after the third: they are properties of our own code. The store was mended
#   at the same time (late events begin a new entry, leases are renewed, damaged items are refused) and recorded again; it
#   had become slower, and missed two bars of K7, which are unchanged.
# - *The record is the third.* The causes named under *Load* were looked for because the second record missed the bars. A run of the
#   same three seeds with every change but the server's larger heap came before it: rates were met, the embedded store was
#   just below the bar, dynalite's 99th percentile a quarter above it. It is not kept. In this record the bars are met again.
#
# ## Adapt it
#
# **Exercise 1.** Pass in your own embedder: one row of eight features a text, for example counts of eight letters.


# %% tags=["exercise"]
def my_embedder(texts):
    return pack(np.zeros((0, 8), dtype=np.float16))


mine = TwoTables(MemoryStore(), keys, clock, my_embedder)
for event in example.events:
    drive(mine.steps(event))
shape = unpack(mine.read(example.name)).shape
print(
    "pass"
    if shape == (3, 8)
    else f"not yet: three texts and eight features give (3, 8), not {shape}"
)

# %% [markdown]
# :::{admonition} Hint
# :class: dropdown
# `texts` maps references to bytes; `text.count(letter)` counts.
# :::


# %% tags=["solution", "hide-cell"]
def my_embedder(texts):
    rows = [
        [text.count(letter.encode()) for letter in "aeioulnr"]
        for text in texts.values()
    ]
    return pack(np.array(rows, dtype=np.float16))


mine = TwoTables(MemoryStore(), keys, clock, my_embedder)
for event in example.events:
    drive(mine.steps(event))
shape = unpack(mine.read(example.name)).shape
print(
    "pass"
    if shape == (3, 8)
    else f"not yet: three texts and eight features give (3, 8), not {shape}"
)

# %% [markdown]
# **Exercise 2.** From which size of the context list, to the nearest hundred bytes, do the two tables need fewer write units
# than the fat entry on this stream?

# %% tags=["exercise"]
my_size = 300
pair = {
    name: interactions(seed=7, count=200, context_bytes=my_size)
    for name in ("two-tables", "fat-entry")
}
units = {name: cost_of(name, part).write_units for name, part in pair.items()}
print(
    "pass"
    if units["two-tables"] < units["fat-entry"] and my_size <= 2000
    else f"not yet: {units}"
)

# %% [markdown]
# :::{admonition} Hint
# :class: dropdown
# The figure of costs shows where the lines cross.
# :::

# %% tags=["solution", "hide-cell"]
my_size = 1900
pair = {
    name: interactions(seed=7, count=200, context_bytes=my_size)
    for name in ("two-tables", "fat-entry")
}
units = {name: cost_of(name, part).write_units for name, part in pair.items()}
print(
    "pass"
    if units["two-tables"] < units["fat-entry"] and my_size <= 2000
    else f"not yet: {units}"
)

# %% [markdown]
# **Exercise 3.** A worker claims an embedding and dies. Choose the lease so that another worker can finish it two seconds
# later.

# %% tags=["exercise"]
my_lease_s = 30.0
time, shelf = Ticks(), MemoryStore()
dying = TwoTables(shelf, keys, time, hashed_trigrams, "dying", lease_s=my_lease_s)
image = [dying.note([event]) for event in example.events if not dying.save([event])][-1]
dying.claim(example.name, "dying.1")
time.now += 2
recovered = recover(TwoTables(shelf, keys, time, hashed_trigrams, "heir"))
print("pass" if recovered == 1 else "not yet: the lease still holds")

# %% [markdown]
# :::{admonition} Hint
# :class: dropdown
# The lease must end before the heir looks; yet not be so short that a slow embedding loses its claim.
# :::

# %% tags=["solution", "hide-cell"]
my_lease_s = 1.0
time, shelf = Ticks(), MemoryStore()
dying = TwoTables(shelf, keys, time, hashed_trigrams, "dying", lease_s=my_lease_s)
image = [dying.note([event]) for event in example.events if not dying.save([event])][-1]
dying.claim(example.name, "dying.1")
time.now += 2
recovered = recover(TwoTables(shelf, keys, time, hashed_trigrams, "heir"))
print("pass" if recovered == 1 else "not yet: the lease still holds")

# %% [markdown]
# ## What did we learn?
#
# Two small ideas carry the design: write the text before the reference, and decide on the entry that the write itself returns.
# With them, no interleaving that we tried missed or doubled an embedding, without a lock and without a read.
# Privacy is then nearly free: an interaction opens {result}`context-store:cost/opens/two-tables-1000|.2f` texts, against
# {result}`context-store:cost/opens/fat-entry-1000|.1f` openings of one fat entry, at the price of dearer writes for contexts below
# {result}`context-store:cost/crossover/fat-entry|.0f` bytes. The time to compute in is the time that the assistant speaks, and its
# shortest reply, {result}`context-store:timing/shortest-window|.1f` s, sets the bound. The tail of the waits was decided by
# parsers, collectors and checkpoints, not by the protocol.

# %% tags=["hide-input"]
chapter.finish()
