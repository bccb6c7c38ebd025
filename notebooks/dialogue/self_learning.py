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
# # Self-learning: requests repaired from users' own rephrasing
#
# ## In one minute
#
# When an assistant gets a request wrong, many people say it again in other words. The log therefore already
# holds the repair, spread thinly over many users. Self-learning {cite}`ponnusamy2020feedback` reads sessions as
# walks of an *absorbing Markov chain* that end in success or failure, and asks where the users of a failing
# request end up content. That wording becomes its rewrite, with no labels.

# %% tags=["remove-input"]
from echobook.report.chapter import Chapter

Chapter("self-learning").verdict_box()

# %% [markdown]
# :::{important}
# We could not read the full paper: the abstract, the opening of the introduction, a blog article by the authors
# and the patent's claims were at hand. The chain's algebra is textbook, the scorers and margins are our
# derivation, and no table of the paper was read. The errors below are real recordings; the *users are
# simulated*, because no public log of assistant sessions with rephrases exists.
# :::

# %% tags=["hide-input"]
import time
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from scipy import sparse

from echobook.data.fetch import fetch
from echobook.data.generators.requests import request_world
from echobook.data.slurp import load_slurp
from echobook.markov.chain import chain_from_counts, chain_from_matrix
from echobook.markov.solve import absorption_probabilities, expected_steps
from echobook.markov.walks import truncated_visits
from echobook.papers.self_learning.baselines import (
    nearest_successful,
    oracle,
    rephrase_pairs,
    train,
    written_table,
)
from echobook.papers.self_learning.evaluation import judge, measures
from echobook.papers.self_learning.experiment import REMEDIES, rounds
from echobook.papers.self_learning.guardrails import ServingTable, guarded
from echobook.papers.self_learning.material import (
    Users,
    catalogue,
    simulate,
    uneven,
    write_log,
)
from echobook.papers.self_learning.method import MiningRules, mine, session_graph
from echobook.papers.self_learning.own_data import rewrite_table
from echobook.papers.self_learning.training import mined_table
from echobook.report.display import volatile
from echobook.report.figures import figure_style, palette
from echobook.report.records import load_recorded
from echobook.report.source import show_source
from echobook.report.tables import table as plain_table
from echobook.sessions.backends import duckdb_table, local_spark, spark_table
from echobook.sessions.cost import counting_cost
from echobook.sessions.program import COLUMNS, count, turns

# %% tags=["parameters", "hide-input"]
profile: str = "default"  # smoke, default, public or paper
seed: int = 0  # of users, recordings and the generated world
corpus: str = "generated"  # "generated" or "slurp"
sessions: int = 20000  # simulated sessions that are mined
requests: int = 10000  # simulated first requests that are judged
ambiguity: float = 0.1  # probability that a first request is a short, ambiguous one
noise: float = 0.05  # probability that the success signal of a turn is wrong
gap: float = 45.0  # longest silence within a session, seconds
margin: float = 0.15  # least gain of estimated success for a rewrite
rounds_count: int = 6  # rounds of mining with rewrites live
rounds_sessions: int = 10000  # sessions a round
pool_sessions: int = 100000  # largest log of the pooling sweep, sessions
epochs: int = 3  # passes of the pointer-generator over its pairs
scale_turns: str = "10000,100000,300000"  # logs of the scaling curve, turns
spark_turns: int = 0  # turns counted on a local Spark, too (needs Java 17); 0: none

# %% tags=["hide-input"]
settings = {
    "corpus": corpus,
    "sessions": sessions,
    "requests": requests,
    "ambiguity": ambiguity,
    "noise": noise,
}
settings |= {
    "gap": gap,
    "margin": margin,
    "rounds_count": rounds_count,
    "rounds_sessions": rounds_sessions,
}
settings |= {"pool_sessions": pool_sessions, "epochs": epochs}
settings |= {"scale_turns": scale_turns, "spark_turns": spark_turns}
chapter = Chapter("self-learning", profile=profile, seed=seed, parameters=settings)

# %% [markdown]
# ## Method
#
# The transient states are interpretations $h$ (what the assistant understood), the absorbing ones success and
# failure. Counts over the sessions of all users give
#
# $$Q_{ij} = \frac{n(h_i \to h_j)}{n(h_i)}, \quad R_{i\pm} = \frac{n(h_i \to s^\pm)}{n(h_i)}, \quad
# N = (I - Q)^{-1} = \sum_k Q^k, \quad B = NR .$$ (eq-self-learning-chain)
#
# A request $u$ starts the chain in $p(h\mid u)$. Its users are absorbed in success *from* $h$ with probability
#
# $$\pi_u(h) = \Big(\sum_{h_0} p(h_0 \mid u)\, N_{h_0 h}\Big) R_{h+},$$ (eq-self-learning-score)
#
# and $h^* = \arg\max_h \pi_u(h)$ is what they wanted. The rewrite is the commonest wording that reliably yields
# $h^*$; it is kept if estimated success rises by a margin. The solve and the choice, as they run below:

# %%
show_source(absorption_probabilities)

# %%
show_source(mine)

# %% [markdown]
# Counting the sessions of all users is one dataframe program. Its expressions are not tied to a machine: the same
# lines run on one laptop in DuckDB and on a cluster in Spark.

# %%
show_source(turns)

# %% [markdown]
# A session graph to trace by hand: of twenty people who say "play maj", twelve go on to "play imagine" and are
# content, eight give up.

# %%
small = [(user, 0.0, "play maj", "play:maj", 0) for user in range(20)]
small += [(user, 9.0, "play imagine", "play:imagine", 1) for user in range(12)]
small_log = pd.DataFrame(small, columns=list(COLUMNS))
traced_table = rewrite_table(small_log)

# %% tags=["hide-input"]
chapter.table(
    traced_table,
    name="traced",
    caption="The rewrite table of the log above",
)

# %% tags=["hide-input"] mystnb={"image": {"alt": "Graph: play maj leads to play imagine and to failure; play imagine leads to success."}, "figure": {"caption": "The session graph of the log above, with transition probabilities.", "name": "fig-self-learning-graph"}}
with figure_style():
    figure, axes = plt.subplots(figsize=(6, 2.4))
    places = {
        "play maj": (0, 0.5),
        "play imagine": (1, 0.9),
        "failure": (1, 0.1),
        "success": (2, 0.9),
    }
    traced = session_graph(
        count(duckdb_table(small_log), gap_s=gap), MiningRules()
    ).chain
    edges = [
        ("play maj", "play imagine", traced.q[1, 0]),
        ("play maj", "failure", traced.r[1, 1]),
    ]
    arrow = {"arrowstyle": "->", "shrinkA": 42, "shrinkB": 42, "color": "0.35"}
    for start, end, share in [*edges, ("play imagine", "success", traced.r[0, 0])]:
        axes.annotate("", places[end], places[start], arrowprops=arrow)
        axes.text(
            *np.add(places[start], places[end]) / 2 + [0, 0.07],
            f"{share:.2f}",
            ha="center",
        )
    for name, place in places.items():
        axes.text(
            *place,
            name,
            ha="center",
            va="center",
            bbox={"boxstyle": "round", "fc": "white", "ec": "0.35"},
        )
    axes.set(xlim=(-0.4, 2.4), ylim=(-0.15, 1.15))
    axes.axis("off")

# %% [markdown]
# (self-learning-k1)=
# **The algebra is checked, not trusted**: rows of $B$, the dense inverse, the gambler's closed form, and a
# simulation of the walk.

# %% tags=["hide-input"]
rng = np.random.default_rng(seed)
chain = chain_from_counts(rng.poisson(1.0, (60, 60)), rng.integers(1, 6, (60, 2)))
b = absorption_probabilities(chain)
direct = np.linalg.inv(np.eye(60) - chain.q.toarray()) @ chain.r
ladder = np.diag([0.45] * 20, 1) + np.diag([0.55] * 20, -1)
ladder[0], ladder[-1] = np.eye(21)[0], np.eye(21)[-1]
odds = 0.55 / 0.45
closed = (1 - odds ** np.arange(1, 20)) / (1 - odds**20)
ruin_error = np.abs(
    absorption_probabilities(chain_from_matrix(ladder))[:, 1] - closed
).max()

# %% tags=["hide-input"]
steps = np.cumsum(np.hstack([chain.q.toarray(), chain.r]), axis=1)
walk = np.zeros(40000, dtype=int)
while (walk < 60).any():
    going = np.flatnonzero(walk < 60)
    walk[going] = np.minimum(
        (rng.random(going.size)[:, None] > steps[walk[going]]).sum(axis=1), 61
    )
share = (walk == 60).mean()
z_score = abs(share - b[0, 0]) / np.sqrt(b[0, 0] * (1 - b[0, 0]) / walk.size)

# %% tags=["hide-input"]
checks = {
    "row-sum-error": np.abs(b.sum(axis=1) - 1).max(),
    "dense-inverse-error": np.abs(b - direct).max(),
}
checks |= {"gamblers-ruin-error": ruin_error, "monte-carlo-z": z_score}
for name, value in checks.items():
    chapter.record(
        f"algebra/{name}",
        value,
        unit="standard errors" if name == "monte-carlo-z" else "probability",
    )
chapter.table(
    pd.DataFrame(checks.items(), columns=["check", "value"]),
    name="algebra",
    caption="Checks",
    digits=15,
)

# %% [markdown]
# ## Data
#
# The public profile uses recorded recogniser texts and interpretations of SLURP; the others a generated world
# with its own words and mishearings. One half of each wording's recordings is heard by mining, the other by
# evaluation. Users draw goals from Zipf's law, rephrase after most failures, sometimes change their mind, and
# sometimes use a short request that means different things to different people.

# %% tags=["hide-input"]
world = load_slurp(fetch("slurp")) if corpus == "slurp" else request_world(seed=seed)
chapter.use(world.use)
heard, fresh = catalogue(world, half=0, seed=seed), catalogue(world, half=1, seed=seed)
chapter.table(
    world.recordings.sample(6, random_state=seed),
    name="rows",
    caption="Six recordings of the world",
)

# %%
users = Users(ambiguity=ambiguity, noise=noise)
log = simulate(heard, users, sessions=sessions, seed=1000 + seed)
judged_log = simulate(fresh, users, sessions=requests, seed=2000 + seed)
first = judged_log[judged_log.turn == 0]

# %% tags=["hide-input"]
chapter.record(
    "world/first-turn-defects", 1 - first.success.mean(), unit="share", n=len(first)
)
chapter.table(
    log[list(COLUMNS)].head(6), name="log", caption="The opening of the simulated log"
)

# %% [markdown]
# ## Experiment
#
# One dataframe program counts the sessions; mining, guardrails and judging follow. The rivals: the chain with
# other scorers (`path`, `wilson`, `absorption-gain`), the *pairwise* next request with and without the margin and
# with its outcome (`pairwise-success`), the chain *without* success and failure (`no-signal`), the chain without
# guardrails, the nearest successful text by its letters and by its sound, a small pointer-generator network trained
# on the same users' rephrasing, and an oracle that knows the goals.

# %%
rules = MiningRules(margin=margin)
variants = {
    "chain": rules,
    "path": replace(rules, scorer="best-path"),
    "wilson": replace(rules, wilson_z=1.0),
    "pairwise": replace(rules, scorer="next-state"),
    "pairwise-no-margin": replace(rules, scorer="next-state", margin=-9.0),
    "no-signal": replace(rules, scorer="last-state", margin=-9.0),
    "pairwise-success": replace(rules, scorer="next-success"),
    "absorption-gain": replace(rules, scorer="absorption-gain"),
}

# %%
counts = count(duckdb_table(log[list(COLUMNS)]), gap_s=gap)
tables = {
    name: guarded(mine(session_graph(counts, rule), rule))
    for name, rule in variants.items()
}
tables["utterance"] = mined_table(log, rules, gap_s=gap, by_text=True)
graph = session_graph(counts, rules)
proposed = mine(graph, rules)
tables["unguarded"] = dict(zip(proposed.text, proposed.rewrite, strict=True))
tables["nearest"] = nearest_successful(graph)
tables["nearest-sound"] = nearest_successful(graph, by_sound=True)
tables["oracle"] = oracle(first, fresh)
tables["none"] = {}

# %%
pairs = rephrase_pairs(log[list(COLUMNS)], gap_s=gap)
generator, vocabulary = train(pairs, seed=seed, epochs=epochs)
chapter.count_parameters("pointer-generator", generator)
tables["pointer-generator"] = written_table(generator, vocabulary, graph)

# %% tags=["hide-input"]
found = {
    name: measures(judge(first, table, fresh.understanding))
    for name, table in tables.items()
}
for name, row in found.items():
    for measure, value in row.items():
        chapter.record(
            f"rewrite/{measure}/{name}",
            value,
            unit="pairs" if measure == "pairs" else "ratio",
            n=len(first),
        )
comparison = pd.DataFrame(found).T.reset_index(names="method")


# %% tags=["hide-input"]
public = load_recorded(chapter.root, "self-learning")


def recorded(metric):
    """A metric's recorded mean over seeds on SLURP, NaN where it is not recorded."""
    return (
        chapter.recorded(metric).mean
        if public and metric in public[0].metrics
        else np.nan
    )


def noted(group, setting, got):
    """Record one setting of a sweep; its row, the recorded means beside this run's."""
    row = {"setting": setting}
    for measure in ("coverage", "defect-cut", "win-loss-pairs"):
        metric = f"{group}/{measure}/{setting.replace(' ', '-').replace('.', '')}"
        row[measure] = chapter.record(metric, got[measure], unit="ratio", n=len(first))
        row[f"{measure}, SLURP"] = recorded(metric)
    return {
        name: value for name, value in row.items() if not name.startswith("defect-cut")
    }


# %% [markdown]
# ## Results

# %% tags=["hide-input"]
chapter.forest_plot()

# %% tags=["hide-input"]
chapter.claims_table()

# %% [markdown]
# (self-learning-c1)=
# (self-learning-c2)=
# (self-learning-c2b)=
# (self-learning-c3)=
# (self-learning-c4)=
# Every rival on requests whose recordings mining never heard. Ratios count at least one loss, so a method that
# never loses shows its number of wins.

# %% tags=["hide-input"]
chapter.table(
    comparison,
    name="comparison",
    caption="Rewriting methods on unheard recordings, this run",
)

# %% tags=["hide-input"]
known = {
    name: {measure: recorded(f"rewrite/{measure}/{name}") for measure in row}
    for name, row in found.items()
}
caption = "The same on SLURP, recorded: means over the seeds"
chapter.table(
    pd.DataFrame(known).T.reset_index(names="method"),
    name="comparison-recorded",
    caption=caption,
)

# %% tags=["hide-input"] mystnb={"image": {"alt": "Bars of the first-turn defect rate without rewriting and with each method."}, "figure": {"caption": "Defect rate of first requests after rewriting; lower is better.", "name": "fig-self-learning-before-after"}}
rates = {
    name: 1 - judge(first, table, fresh.understanding).after.mean()
    for name, table in tables.items()
}
with figure_style():
    figure, axes = plt.subplots(figsize=(7, 3.2))
    axes.barh(list(rates), list(rates.values()), color=palette("default")[0])
    axes.axvline(rates["none"], color="black", linestyle=":")
    axes.set(xlabel="share of first requests that fail", ylabel="method")

# %% [markdown]
# **One rewrite traced.** The request that was rewritten most often in this run, and the states its users reach. The
# score is the expected number of visits times the share of sessions that end there content; the largest is chosen.

# %% tags=["hide-input"]
chosen = proposed[proposed.text.isin(list(tables["chain"]))].sort_values(
    "n", kind="stable"
)
traced_text = chosen.text.iloc[-1] if len(chosen) else graph.texts[0]
readings = graph.readings[[graph.texts.index(traced_text)]]
visits = truncated_visits(
    graph.chain, readings / readings.sum(), depth=rules.depth
).toarray()[0]
reached = {
    "state": graph.chain.states,
    "expected visits": visits,
    "ends here content": graph.chain.r[:, 0],
}
best = pd.DataFrame(reached).assign(score=visits * graph.chain.r[:, 0])
best = best.sort_values("score", ascending=False, kind="stable").head(5)
rewrite = tables["chain"].get(traced_text, traced_text)
caption = f"From “{traced_text}” to “{rewrite}”: the states with the highest score"
chapter.table(best, name="traced-run", caption=caption)

# %% [markdown]
# ## Ablations and controls
#
# **Ambiguity** is where losses come from: a request right for some users and wrong for others.

# %% tags=["hide-input"]
rows = []
for share in (0.0, 0.1, 0.2, 0.4):
    mixed = replace(users, ambiguity=share)
    mixed_log = simulate(heard, mixed, sessions=sessions // 2, seed=3000 + seed)
    asked = simulate(fresh, mixed, sessions=requests, seed=4000 + seed).query(
        "turn == 0"
    )
    for name in ("chain", "pairwise"):
        table = mined_table(mixed_log, variants[name], gap_s=gap)
        got = measures(judge(asked, table, fresh.understanding))
        rows.append(
            {"ambiguity": share, "method": name, "win-loss": got["win-loss-traffic"]}
        )
        chapter.record(
            f"ambiguity/win-loss-traffic/{name}-{round(100 * share)}",
            got["win-loss-traffic"],
            unit="ratio",
        )
ambiguous = pd.DataFrame(rows)

# %% tags=["hide-input"] mystnb={"image": {"alt": "Lines of wins per loss against the share of ambiguous requests for chain and pairwise."}, "figure": {"caption": "Wins per loss by traffic against ambiguity (logarithmic).", "name": "fig-self-learning-ambiguity"}}
with figure_style():
    figure, axes = plt.subplots(figsize=(6, 3))
    for (name, part), marker in zip(ambiguous.groupby("method"), "os", strict=True):
        axes.plot(part.ambiguity, part["win-loss"], marker=marker, label=name)
    axes.set(
        xlabel="probability of an ambiguous first request",
        ylabel="wins per loss",
        yscale="log",
    )
    axes.legend()

# %% [markdown]
# (self-learning-c5)=
# (self-learning-c6)=
# (self-learning-c7)=
# **Pooling, rare requests, noisy signals.** *Small* is a tenth of the sessions. Rare requests were heard at most
# ten times in the small log and are mined from three on. Signals are flipped for the given share of turns.

# %% tags=["hide-input"]
few = log[log.session < sessions // 10]
for size, part in {"small": few, "large": log}.items():
    got = measures(
        judge(first, mined_table(part, rules, gap_s=gap), fresh.understanding)
    )
    for measure in ("coverage", "win-loss-pairs", "defect-cut"):
        chapter.record(
            f"pooling/{measure}/{size}", got[measure], unit="ratio", n=len(first)
        )
times = few.text.value_counts()
rare = first[first.text.map(times).between(1, 10)]
for state, by_text in {"interpretation": False, "utterance": True}.items():
    table = mined_table(few, replace(rules, min_texts=3), gap_s=gap, by_text=by_text)
    got = measures(judge(rare, table, fresh.understanding))
    chapter.record(
        f"rare/coverage/{state}", got["coverage"], unit="share of defects", n=len(rare)
    )

# %% tags=["hide-input"]
rows = []
for flipped in (0.0, 0.1, 0.2, 0.4):
    noisy = simulate(
        heard, replace(users, noise=flipped), sessions=sessions, seed=1000 + seed
    )
    got = measures(
        judge(first, mined_table(noisy, rules, gap_s=gap), fresh.understanding)
    )
    chapter.record(
        f"noise/defect-cut/flipped-{round(100 * flipped)}",
        got["defect-cut"],
        unit="ratio",
        n=len(first),
    )
    rows.append({"flipped": flipped, **got})
chapter.table(
    pd.DataFrame(rows), name="noise", caption="The chain under a flipped success signal"
)

# %% tags=["hide-input"]
grid = {f"depth {d}": replace(rules, depth=d) for d in (1, 2, 3, 4, 5)}
grid |= {f"prune {n}": replace(rules, min_moves=n) for n in (1, 3, 10)}
grid |= {f"margin {m}": replace(rules, margin=m) for m in (0.0, 0.15, 0.3, 0.5)}
rows = []
for name, rule in grid.items():
    mined = guarded(mine(session_graph(counts, rule), rule))
    rows.append(noted("grid", name, measures(judge(first, mined, fresh.understanding))))
chapter.table(
    pd.DataFrame(rows),
    name="grid",
    caption="One knob at a time, in this run and recorded on SLURP",
)

# %% [markdown]
# **How many sessions?** Corrections are spread thinly, so pooling more sessions finds more of them.

# %% tags=["hide-input"]
pooled = simulate(heard, users, sessions=pool_sessions, seed=7000 + seed)
rows = []
for size in (5000, 20000, 100000, 300000):
    if size <= pool_sessions:
        mined = mined_table(pooled[pooled.session < size], rules, gap_s=gap)
        rows.append(
            noted(
                "sessions",
                f"n {size}",
                measures(judge(first, mined, fresh.understanding)),
            )
        )
    else:
        names = {m: f"{m}, SLURP" for m in ("coverage", "win-loss-pairs")}
        rows.append(
            {"setting": f"n {size}"}
            | {names[m]: recorded(f"sessions/{m}/n-{size}") for m in names}
        )
sweep_sessions = pd.DataFrame(rows)
chapter.table(
    sweep_sessions,
    name="sessions",
    caption="Rewrites mined from growing logs, in this run and recorded on SLURP",
)

# %% [markdown]
# **Which gap ends a session?** So far silences were even and any sensible gap was right. Here silences within a
# session are log-normal with a median of twelve seconds and rests between sessions exponential with a mean of ten
# minutes: a short gap cuts rephrases off, a long one joins strangers.

# %% tags=["hide-input"]
spread = uneven(log, seed=8000 + seed)
rows = []
for seconds in (5, 15, 30, 45, 60, 120, 600):
    mined = mined_table(spread, rules, gap_s=float(seconds))
    rows.append(
        noted(
            "gap",
            f"seconds {seconds}",
            measures(judge(first, mined, fresh.understanding)),
        )
    )
sweep_gap = pd.DataFrame(rows)
chapter.table(sweep_gap, name="gap", caption="The session gap, with uneven silences")

# %% [markdown]
# (self-learning-k3)=
# **Control**: in a world without errors, mining must bring nothing.

# %% tags=["hide-input"]
perfect = catalogue(request_world(seed=seed, confusion=0.0), half=0, seed=seed)
calm = simulate(
    perfect, replace(users, ambiguity=0.0, noise=0.0), sessions=2000, seed=seed
)
control = len(mined_table(calm, rules, gap_s=gap))
chapter.record("control/rewrites-without-errors", control, unit="rewrites")
print("rewrites mined where nothing fails:", control)

# %% [markdown]
# (self-learning-c9)=
# (self-learning-c9b)=
# **Self-contamination**: rewrites are live while the next log is made, and tastes change.

# %% tags=["hide-input"]
served = {
    "count_rounds": rounds_count,
    "sessions": rounds_sessions,
    "seed": 5000 + 100 * seed,
}
history = {
    remedy: rounds(heard, fresh, users, rules, remedy=remedy, **served)
    for remedy in REMEDIES
}
for remedy, frame in history.items():
    chapter.record(
        f"contamination/recall-first/{remedy}",
        frame.coverage[0],
        unit="share of defects",
    )
    chapter.record(
        f"contamination/recall-last/{remedy}",
        frame.coverage[1:].mean(),
        unit="share of defects",
    )
    chapter.record(
        f"contamination/live-defects/{remedy}",
        frame["live-defects"][1:].mean(),
        unit="share of turns",
    )

# %% tags=["hide-input"] mystnb={"image": {"alt": "Lines of the live defect rate and coverage over rounds for plain mining, hold-out and superposition."}, "figure": {"caption": "Rounds with rewrites live: what the newly mined table would repair, and the defects users met.", "name": "fig-self-learning-rounds"}}
with figure_style():
    figure, panels = plt.subplots(1, 2, figsize=(8, 3))
    for (remedy, frame), marker in zip(history.items(), "os^", strict=True):
        panels[0].plot(frame["round"], frame.coverage, marker=marker, label=remedy)
        panels[1].plot(
            frame["round"], frame["live-defects"], marker=marker, label=remedy
        )
    panels[0].set(xlabel="round", ylabel="coverage of the mined table")
    panels[1].set(xlabel="round", ylabel="share of turns that fail")
    panels[0].legend()
    figure.tight_layout()

# %% [markdown]
# **How much traffic must be held out?** Too little teaches too little; too much leaves users with their defects. The
# means are over the rounds after the first.

# %% tags=["hide-input"]
rows = []
for percent in (5, 10, 20, 40):
    kept = rounds(
        heard, fresh, users, rules, remedy="hold-out", hold_out=percent / 100, **served
    )[1:]
    chapter.record(
        f"hold-out/coverage/of-a-hundred-{percent}",
        kept.coverage.mean(),
        unit="share of defects",
    )
    live = chapter.record(
        f"hold-out/live-defects/of-a-hundred-{percent}",
        kept["live-defects"].mean(),
        unit="share of turns",
    )
    row = {
        "held out of a hundred": percent,
        "coverage": kept.coverage.mean(),
        "live defects": live,
    }
    for measure in ("coverage", "live-defects"):
        row[f"{measure}, SLURP"] = recorded(
            f"hold-out/{measure}/of-a-hundred-{percent}"
        )
    rows.append(row)
sweep_hold_out = pd.DataFrame(rows)
chapter.table(
    sweep_hold_out, name="hold-out", caption="Share of sessions without rewriting"
)

# %% tags=["hide-input"] mystnb={"image": {"alt": "Three lines of coverage: against the number of sessions, against the session gap, against the share held out."}, "figure": {"caption": "Coverage against the size of the log, the session gap, and the share of traffic held out, in this run.", "name": "fig-self-learning-sweeps"}}
with figure_style():
    figure, panels = plt.subplots(1, 3, figsize=(9, 2.8), sharey=True)
    for axes, frame in zip(panels, (sweep_sessions, sweep_gap), strict=False):
        axes.plot(
            frame.setting.str.split().str[-1].astype(float), frame.coverage, marker="o"
        )
        axes.set(xscale="log")
    panels[2].plot(sweep_hold_out.iloc[:, 0] / 100, sweep_hold_out.coverage, marker="o")
    labels = ("sessions mined", "session gap, seconds", "share held out")
    for axes, label in zip(panels, labels, strict=True):
        axes.set(xlabel=label)
    panels[0].set(ylabel="coverage", ylim=(0, None))
    figure.tight_layout()

# %% [markdown]
# (self-learning-k2)=
# (self-learning-k4)=
# **Scale.** Logs of growing size are written as Parquet files (from a million turns on, the same turns on ever new
# devices) and counted in DuckDB on one thread, each in a process of its own, so that seconds and memory are of the
# count alone. DuckDB is held to half a gigabyte, so that the largest has to spill to disk. On SLURP's texts, ten
# million turns were counted at {result}`self-learning:scale/turns-per-second|,.0f` turns per processor second with a
# peak of {result}`self-learning:scale/peak-mib/turns-10000000|,.0f` MiB for the whole process. Seconds grow as a power of
# the number of turns with exponent {result}`self-learning:scale/seconds-exponent|.2f`.

# %% tags=["hide-input"]
sizes, costs = [int(size) for size in scale_turns.split(",")], {}
with TemporaryDirectory() as folder:
    for size in sizes:
        write_log(heard, users, Path(folder) / str(size), turns=size, seed=6000 + seed)
        costs[f"turns-{size}"] = counting_cost(
            Path(folder) / str(size), gap_s=gap, memory_gb=0.5
        )
for name, cost in costs.items():
    chapter.record(
        f"scale/seconds/{name}", cost.seconds, unit="s", n=cost.turns, timing=True
    )
    chapter.record(
        f"scale/peak-mib/{name}", cost.peak_mib, unit="MiB", n=cost.turns, timing=True
    )
seconds = [costs[f"turns-{size}"].seconds for size in sizes]
slope = float(np.polyfit(np.log(sizes), np.log(seconds), 1)[0])
chapter.record("scale/seconds-exponent", slope, unit="exponent", timing=True)
speed = chapter.record(
    "scale/turns-per-second", sizes[-1] / seconds[-1], unit="turns/s", timing=True
)

# %% [markdown]
# Solving a chain of ten thousand states and a hundred thousand edges, and looking up one request in the table that
# is served:

# %% tags=["hide-input"]
ends = rng.integers(1, 9, (10_000, 2)).astype(float)
where = (np.repeat(np.arange(10_000), 10), rng.integers(0, 10_000, 100_000))
wide = chain_from_counts(
    sparse.coo_array((rng.integers(1, 9, 100_000), where), shape=(10_000, 10_000)), ends
)
start = time.process_time()
absorption_probabilities(wide)
solved = chapter.record(
    "scale/solve-seconds", time.process_time() - start, unit="s", timing=True
)

# %% tags=["hide-input"]
server = ServingTable(dict(tables["chain"]), {})
start = time.process_time()
for text in first.text:
    server.rewrite(text)
each = 1e6 * (time.process_time() - start) / len(first)
looked_up = chapter.record("scale/lookup-microseconds", each, unit="us", timing=True)

# %% [markdown]
# The same program runs on Spark; only the table comes from elsewhere. Below, a slice of the log is counted on a local
# Spark and compared with DuckDB's counts, cell by cell. That needs Java, so generated runs leave it out; on the public
# profile set `spark_turns` to nought where there is none. Its seconds are by the wall clock of a busy machine: on a
# small slice they say what Spark costs before it pays.

# %% tags=["hide-input"]
if spark_turns:
    with TemporaryDirectory() as folder:
        write_log(
            heard, users, Path(folder) / "slice", turns=spark_turns, seed=9000 + seed
        )
        one, session, start = (
            count(duckdb_table(Path(folder) / "slice"), gap_s=gap),
            local_spark(),
            time.perf_counter(),
        )
        other = count(spark_table(Path(folder) / "slice", session), gap_s=gap)
        chapter.record(
            "scale/spark-seconds", time.perf_counter() - start, unit="s", timing=True
        )
        session.stop()
    names = ("emissions", "moves", "ends", "visits")
    different = sum(
        not getattr(one, name).equals(getattr(other, name)) for name in names
    )
    chapter.record("scale/spark-differences", different, unit="tables", n=len(names))
    chapter.record("scale/spark-turns", int(other.emissions.n.sum()), unit="turns")

# %% [markdown]
# On a cluster, give the address of its master and of the log; the turns never come to your machine, only the counts:
#
# ```python
# from pyspark.sql import SparkSession
# from echobook.papers.self_learning.own_data import rewrite_table
# from echobook.sessions.backends import spark_table
#
# session = SparkSession.builder.master("spark://head-node:7077").getOrCreate()
# table = rewrite_table(spark_table("hdfs:///logs/requests", session), gap_s=45.0)
# ```

# %% tags=["hide-input"]
words = {"seconds": "processor seconds", "peak-mib": "peak memory, MiB"}
counted = {f"turns-{n}": f"{n:,} turns" for n in (100000, 1000000, 10000000)}
shown = {
    f"scale/{kind}/{name}": f"{words[kind]}, {what}"
    for kind in words
    for name, what in counted.items()
}
shown["scale/turns-per-second"] = "turns per processor second, largest log"
shown["scale/solve-seconds"] = (
    "processor seconds to solve the chain of ten thousand states"
)
shown["scale/lookup-microseconds"] = "microseconds to look up a request"
shown["scale/spark-turns"] = "turns counted on Spark"
shown["scale/spark-seconds"] = "seconds by the wall clock on Spark"
shown["scale/spark-differences"] = "count tables that differ between Spark and DuckDB"

# %% tags=["hide-input"]
now = {name: metric.value for name, metric in chapter.results().metrics.items()}


def said(value):
    """A cost in words: whole numbers from a hundred on, a dash where there is none."""
    return (
        "–" if np.isnan(value) else f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
    )


rows = [
    (shown[name], volatile(said(now.get(name, np.nan))), said(recorded(name)))
    for name in shown
]
costs_table = pd.DataFrame(
    rows, columns=["cost", "this run", "recorded on SLURP's texts"]
)
machine = public[0].environment.hardware if public else "no machine yet"
caption = (
    f"What counting, solving and serving cost; recorded on one thread of: {machine}"
)
plain_table(
    costs_table, name="self-learning-scale", caption=caption, markup=["this run"]
)

# %% tags=["hide-input"] mystnb={"image": {"alt": "Two lines on logarithmic axes: processor seconds rise in step with the number of turns; peak memory rises more slowly."}, "figure": {"caption": "Recorded cost of counting against the number of turns, with the line of proportional growth. DuckDB was held to half a gigabyte.", "name": "fig-self-learning-scale"}}
with figure_style():
    figure, panels = plt.subplots(1, 2, figsize=(8, 3))
    points = np.array([100000, 1000000, 10000000])
    for axes, kind, unit in zip(
        panels,
        ("seconds", "peak-mib"),
        ("processor seconds", "peak memory, MiB"),
        strict=True,
    ):
        values = np.array([recorded(f"scale/{kind}/turns-{n}") for n in points])
        axes.plot(points, values, marker="o")
        axes.set(xlabel="turns", ylabel=unit, xscale="log")
        axes.set_yscale("log" if np.isfinite(values).all() else "linear")
    panels[0].plot(
        points,
        recorded("scale/seconds/turns-1000000") * points / 1e6,
        linestyle=":",
        color="black",
    )
    figure.tight_layout()

# %% [markdown]
# ## Where this departs from the paper
#
# - *Users are simulated.* The paper's log is of millions of real users; ours draw real recorded errors but behave
#   as the page says. A ratio of wins to losses depends on ambiguity, which is a knob here.
# - *Success is strict*: intent and every entity must be right. On SLURP most requests then fail at first, many in
#   ways no fixed rewrite repairs, because the next recording of the same words is heard differently.
# - *Scorers, margins and guardrails are derived*, since the full text was out of reach; so is the session gap.
# - *Sessions are told apart without errors* in all but the sweep of the gap: simulated silences are even.
# - *The pointer-generator* is recalled as one of the paper's baselines; its size and training are ours. It may only
#   write what somebody has said before, since nothing here could interpret a new wording.
# - *A turn nobody understood* is its own state per text; otherwise all of them would share one meaning.
# - *Guardrails on numbers and dates* use a word list; names are protected only where a caller lists
#   them (`names` of `rewrite_table`).
# - *Ratios of wins to losses* divide by at least one loss, so that a ratio without losses is the number of wins.
# - *The last contamination figure* is the mean over all rounds after the first, because plain mining may swing
#   from round to round. That was settled on generated data after the claims were written and before the recorded
#   runs; C9 rests on it.
# - *Sizes were cut for time* after one trial run on SLURP, from three hundred thousand sessions to a third of that;
#   no parameter of the method was changed after it.
# - *The criterion of C2 was tightened after the runs.* It first let a good figure on triggered traffic make up for
#   a poor one on all traffic; then too small a cut on all traffic decided by itself. The abstract speaks of rewritten
#   traffic alone, so C2 is judged there now, and all traffic is C2b, a question of ours.
# - *A second record.* The sweeps, the further rivals, the logs above a million turns and Spark were added after a
#   first record of the same five seeds. No criterion and no setting of the method changed with them. Three faults were
#   mended on the way: turns that differ in nothing but their outcome had no fixed order, the letters ph did not count
#   as the sound of f among the guardrails, and chains that fall apart were solved slowly.
# - The annotators' judgement of wins is replaced by the simulated user's goal, which is exact.
#
# ## Adapt it
#
# ### Your own log
#
# A CSV or Parquet file (or a folder of the latter) with one row a turn gives a rewrite table from one call:
#
# ```python
# from echobook.papers.self_learning.own_data import rewrite_table
#
# table = rewrite_table("requests.parquet", gap_s=45.0, blocked=["purchase|", "call|"], names=["anna", "berlin"])
# table.to_csv("rewrites.csv", index=False)
# ```
#
# | column | meaning |
# |---|---|
# | `device` | who spoke; sessions never cross devices |
# | `time` | seconds, or timestamps |
# | `text` | what the recogniser heard |
# | `interpretation` | what was understood, as one text such as `play:north pier`; may be empty |
# | `outcome` | 1 wanted, 0 not wanted, empty unknown |
# | `sequence` | optional: the device's own counter, trusted above the clock |
#
# `blocked` lists beginnings of interpretations that no rewrite may reach; `names` are words that, like numbers and
# dates, may only change into what sounds alike. Look the table up with `ServingTable`, which switches a rewrite off
# when its live outcomes are worse than none. What a damaged log does, run on the traced one:

# %% tags=["hide-input"]
nobody = small_log.interpretation.where(small_log.text != "play maj")
damaged = {
    "rows out of order": small_log.sample(frac=1, random_state=0),
    "every row twice": pd.concat([small_log, small_log]),
    "clock running backwards": small_log.assign(
        time=-small_log.time, sequence=range(len(small_log))
    ),
    "empty interpretation": small_log.assign(interpretation=nobody),
    "no device known": small_log.assign(device=None),
    "no outcome known": small_log.assign(
        outcome=pd.array([None] * len(small_log), dtype="Int64")
    ),
    "an outcome of two": small_log.assign(outcome=small_log.outcome * 2),
    "a column missing": small_log.drop(columns="outcome"),
}


# %% tags=["hide-input"]
def outcome_of(damage):
    """The rewrites a damaged log still gives, or the words with which it is refused."""
    try:
        mined = rewrite_table(damage)
    except ValueError as refusal:
        return f"refused: {refusal}"
    return (
        "; ".join(
            f"{row.text} → {row.rewrite} ({row.n:.0f} heard)"
            for row in mined.itertuples()
        )
        or "no rewrite"
    )


answers = pd.DataFrame(
    {
        "damage": list(damaged),
        "what comes of it": [outcome_of(d) for d in damaged.values()],
    }
)
chapter.table(answers, name="damage", caption="Damaged logs")

# %% [markdown]
# A clock that runs backwards cuts sessions, and turns of an unknown device are linked to none; both leave no
# rephrase to learn from.
#
# **Exercise 1.** Add six users who say "play majj" and then "play imagine", and mine with `min_texts=6`.

# %% tags=["exercise"]
my_log = small_log.copy()
my_table = rewrite_table(my_log, rules=MiningRules(min_texts=6))
print(
    "pass"
    if "play majj" in set(my_table.text)
    else "not yet: the log has no rewrite for 'play majj'"
)

# %% [markdown]
# :::{admonition} Solution
# :class: dropdown
# The cell below does it.
# :::

# %% tags=["solution", "hide-cell"]
extra = [(100 + user, 0.0, "play majj", "play:majj", 0) for user in range(6)]
extra += [(100 + user, 5.0, "play imagine", "play:imagine", 1) for user in range(6)]
my_log = pd.concat([small_log, pd.DataFrame(extra, columns=list(COLUMNS))])
my_table = rewrite_table(my_log, rules=MiningRules(min_texts=6))
print(
    "pass"
    if "play majj" in set(my_table.text)
    else "not yet: the log has no rewrite for 'play majj'"
)

# %% [markdown]
# **Exercise 2.** Protect an intent: mine the traced log so that no rewrite may reach `play:`.

# %% tags=["exercise"]
blocked = []  # prefixes of interpretations
print(
    "pass"
    if rewrite_table(small_log, blocked=blocked).empty
    else "not yet: a rewrite still reaches play:"
)

# %% tags=["solution", "hide-cell"]
blocked = ["play:"]
print(
    "pass"
    if rewrite_table(small_log, blocked=blocked).empty
    else "not yet: a rewrite still reaches play:"
)

# %% [markdown]
# **Exercise 3.** How long is a game of two-faced snakes and ladders with three squares and a ladder from the first
# to the last? Fill in the chain (states: start, second square) so that its expected length is two throws.

# %% tags=["exercise"]
# counts of throws; columns of q: start, second square
q_game, r_game = [[0, 1], [0, 1]], [[0], [1]]
length = expected_steps(chain_from_counts(q_game, r_game))[0]
print(
    "pass"
    if abs(length - 2) < 1e-12
    else f"not yet: the game takes {length:.2f} throws"
)

# %% [markdown]
# :::{admonition} Hint
# :class: dropdown
# From the start a throw of one climbs the ladder and ends the game: the first row of `r_game` counts it.
# :::

# %% tags=["solution", "hide-cell"]
q_game, r_game = [[0, 1], [0, 1]], [[1], [1]]
length = expected_steps(chain_from_counts(q_game, r_game))[0]
print(
    "pass"
    if abs(length - 2) < 1e-12
    else f"not yet: the game takes {length:.2f} throws"
)

# %% [markdown]
# ## What did we learn?
#
# People who rephrase label the data for us: no rewrite on this page has seen an annotation. Knowing how a session *ended*, and
# not only what was said next, is what keeps rewrites from doing harm: among requests with a rewrite the chain has
# {result}`self-learning:rewrite/win-loss-pairs/chain|.1f` wins for each loss, the plain next request
# {result}`self-learning:rewrite/win-loss-pairs/pairwise|.1f`; but the next request *with* its outcome, without any chain, has
# {result}`self-learning:rewrite/win-loss-pairs/pairwise-success|.1f`. Such care has a price: the chain repairs a share of
# {result}`self-learning:rewrite/defect-cut/chain|.3f` of all defects, an oracle that knows the goals
# {result}`self-learning:rewrite/defect-cut/oracle|.3f`. More traffic is the plain remedy; ten times as many sessions raise the
# coverage from {result}`self-learning:pooling/coverage/small|.3f` to {result}`self-learning:pooling/coverage/large|.3f`. And a
# system that repairs its own log learns less from it, round by round, unless that is countered.

# %% tags=["hide-input"]
chapter.finish()
