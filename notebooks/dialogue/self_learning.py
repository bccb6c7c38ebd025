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
#
# :::{important}
# We could not read the full paper: the abstract, the opening of the introduction, a blog article by the authors
# and the patent's claims were at hand. The chain's algebra is textbook, the scorers and margins are our
# derivation, and no table of the paper was read. The errors below are real recordings; the *users are
# simulated*, because no public log of assistant sessions with rephrases exists.
# :::

# %% tags=["hide-input"]
import time
from dataclasses import replace

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from scipy import sparse

from echobook.data.fetch import fetch
from echobook.data.generators.requests import request_world
from echobook.data.slurp import load_slurp
from echobook.markov.chain import chain_from_counts, chain_from_matrix
from echobook.markov.solve import absorption_probabilities, expected_steps
from echobook.papers.self_learning.contamination import REMEDIES, mined_table, rounds
from echobook.papers.self_learning.evaluation import judge, measures, nearest_successful, oracle
from echobook.papers.self_learning.guardrails import ServingTable, guarded, rewrite_table
from echobook.papers.self_learning.mining import MiningRules, mine, session_graph
from echobook.papers.self_learning.users import Users, catalogue, simulate
from echobook.report.chapter import Chapter
from echobook.report.figures import figure_style, palette
from echobook.report.source import show_source
from echobook.sessions.backends import duckdb_table
from echobook.sessions.program import COLUMNS, count

# %% tags=["parameters"]
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
scale_turns: str = "20000,60000"  # sizes of the logs of the scaling curve, turns

# %% tags=["hide-input"]
settings = {
    "corpus": corpus,
    "sessions": sessions,
    "requests": requests,
    "ambiguity": ambiguity,
    "noise": noise,
}
settings |= {"gap": gap, "margin": margin, "rounds_count": rounds_count, "rounds_sessions": rounds_sessions}
settings |= {"scale_turns": scale_turns}
chapter = Chapter("self-learning", profile=profile, seed=seed, parameters=settings)
chapter.verdict_box()

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
# A session graph to trace by hand: of twenty people who say "play maj", twelve go on to "play imagine" and are
# content, eight give up.

# %%
small = [(user, 0.0, "play maj", "play:maj", 0) for user in range(20)]
small += [(user, 9.0, "play imagine", "play:imagine", 1) for user in range(12)]
small_log = pd.DataFrame(small, columns=list(COLUMNS))
chapter.table(rewrite_table(small_log), name="traced", caption="The rewrite table of the log above")

# %% tags=["hide-input"] mystnb={"image": {"alt": "Graph: play maj leads to play imagine and to failure; play imagine leads to success."}, "figure": {"caption": "The session graph of the log above, with transition probabilities.", "name": "fig-self-learning-graph"}}
with figure_style():
    figure, axes = plt.subplots(figsize=(6, 2.4))
    places = {"play maj": (0, 0.5), "play imagine": (1, 0.9), "failure": (1, 0.1), "success": (2, 0.9)}
    traced = session_graph(count(duckdb_table(small_log), gap_s=gap), MiningRules()).chain
    edges = [("play maj", "play imagine", traced.q[1, 0]), ("play maj", "failure", traced.r[1, 1])]
    for start, end, share in [*edges, ("play imagine", "success", traced.r[0, 0])]:
        axes.annotate(
            "", places[end], places[start], arrowprops={"arrowstyle": "->", "shrinkA": 32, "shrinkB": 32}
        )
        axes.text(*np.add(places[start], places[end]) / 2 + [0, 0.07], f"{share:.2f}", ha="center")
    for name, place in places.items():
        axes.text(*place, name, ha="center", va="center", bbox={"boxstyle": "round", "fc": "white"})
    axes.set(xlim=(-0.4, 2.4), ylim=(-0.15, 1.15))
    axes.axis("off")

# %% [markdown]
# (self-learning-c10)=
# **The algebra is checked, not trusted**: rows of $B$, the dense inverse, the gambler's closed form, and a
# simulation of the walk.

# %%
rng = np.random.default_rng(seed)
chain = chain_from_counts(rng.poisson(1.0, (60, 60)), rng.integers(1, 6, (60, 2)))
b = absorption_probabilities(chain)
direct = np.linalg.inv(np.eye(60) - chain.q.toarray()) @ chain.r
ladder = np.diag([0.45] * 20, 1) + np.diag([0.55] * 20, -1)
ladder[0], ladder[-1] = np.eye(21)[0], np.eye(21)[-1]
odds = 0.55 / 0.45
closed = (1 - odds ** np.arange(1, 20)) / (1 - odds**20)
ruin_error = np.abs(absorption_probabilities(chain_from_matrix(ladder))[:, 1] - closed).max()

# %%
steps = np.cumsum(np.hstack([chain.q.toarray(), chain.r]), axis=1)
walk = np.zeros(40000, dtype=int)
while (walk < 60).any():
    going = np.flatnonzero(walk < 60)
    walk[going] = np.minimum((rng.random(going.size)[:, None] > steps[walk[going]]).sum(axis=1), 61)
share = (walk == 60).mean()
z_score = abs(share - b[0, 0]) / np.sqrt(b[0, 0] * (1 - b[0, 0]) / walk.size)

# %%
checks = {"row-sum-error": np.abs(b.sum(axis=1) - 1).max(), "dense-inverse-error": np.abs(b - direct).max()}
checks |= {"gamblers-ruin-error": ruin_error, "monte-carlo-z": z_score}
for name, value in checks.items():
    chapter.record(
        f"algebra/{name}", value, unit="standard errors" if name == "monte-carlo-z" else "probability"
    )
chapter.table(
    pd.DataFrame(checks.items(), columns=["check", "value"]), name="algebra", caption="Checks", digits=15
)

# %% [markdown]
# ## Data
#
# The public profile uses recorded recogniser texts and interpretations of SLURP; the others a generated world
# with its own words and mishearings. One half of each wording's recordings is heard by mining, the other by
# evaluation. Users draw goals from Zipf's law, rephrase after most failures, sometimes change their mind, and
# sometimes use a short request that means different things to different people.

# %%
world = load_slurp(fetch("slurp")) if corpus == "slurp" else request_world(seed=seed)
chapter.use(world.use)
heard, fresh = catalogue(world, half=0, seed=seed), catalogue(world, half=1, seed=seed)
chapter.table(
    world.recordings.sample(6, random_state=seed), name="rows", caption="Six recordings of the world"
)

# %%
users = Users(ambiguity=ambiguity, noise=noise)
log = simulate(heard, users, sessions=sessions, seed=1000 + seed)
judged_log = simulate(fresh, users, sessions=requests, seed=2000 + seed)
first = judged_log[judged_log.turn == 0]
chapter.record("world/first-turn-defects", 1 - first.success.mean(), unit="share", n=len(first))
chapter.table(log[list(COLUMNS)].head(6), name="log", caption="The opening of the simulated log")

# %% [markdown]
# ## Experiment
#
# One dataframe program counts the sessions; mining, guardrails and judging follow. The rivals: the chain with
# other scorers, the *pairwise* next request with and without the margin, the chain *without* success and failure
# (`no-signal`), the nearest successful text by its letters, and an oracle that knows the goals.

# %%
rules = MiningRules(margin=margin)
variants = {
    "chain": rules,
    "path": replace(rules, scorer="best-path"),
    "wilson": replace(rules, wilson_z=1.0),
    "pairwise": replace(rules, scorer="next-state"),
    "pairwise-no-margin": replace(rules, scorer="next-state", margin=-9.0),
    "no-signal": replace(rules, scorer="last-state", margin=-9.0),
}
counts = count(duckdb_table(log[list(COLUMNS)]), gap_s=gap)
tables = {name: guarded(mine(session_graph(counts, rule), rule)) for name, rule in variants.items()}
tables["utterance"] = mined_table(log, rules, gap_s=gap, by_text=True)
tables["nearest"] = nearest_successful(session_graph(counts, rules))
tables["oracle"] = oracle(first, fresh)
tables["none"] = {}

# %%
found = {name: measures(judge(first, table, fresh.understanding)) for name, table in tables.items()}
for name, row in found.items():
    for measure, value in row.items():
        chapter.record(
            f"rewrite/{measure}/{name}", value, unit="pairs" if measure == "pairs" else "ratio", n=len(first)
        )
comparison = pd.DataFrame(found).T.reset_index(names="method")

# %% [markdown]
# ## Results

# %%
chapter.claims_table()

# %% [markdown]
# (self-learning-c1)=
# (self-learning-c2)=
# (self-learning-c3)=
# (self-learning-c4)=
# Every rival on requests whose recordings mining never heard. Ratios count at least one loss, so a method that
# never loses shows its number of wins.

# %%
chapter.table(comparison, name="comparison", caption="Rewriting methods on unheard recordings")

# %% tags=["hide-input"] mystnb={"image": {"alt": "Bars of the first-turn defect rate without rewriting and with each method."}, "figure": {"caption": "Defect rate of first requests after rewriting; lower is better.", "name": "fig-self-learning-before-after"}}
rates = {name: 1 - judge(first, table, fresh.understanding).after.mean() for name, table in tables.items()}
with figure_style():
    figure, axes = plt.subplots(figsize=(7, 3.2))
    axes.barh(list(rates), list(rates.values()), color=palette("default")[0])
    axes.axvline(rates["none"], color="black", linestyle=":")
    axes.set(xlabel="share of first requests that fail", ylabel="method")

# %% [markdown]
# ## Ablations and controls
#
# **Ambiguity** is where losses come from: a request right for some users and wrong for others.

# %%
rows = []
for share in (0.0, 0.1, 0.2, 0.4):
    mixed = replace(users, ambiguity=share)
    mixed_log = simulate(heard, mixed, sessions=sessions // 2, seed=3000 + seed)
    asked = simulate(fresh, mixed, sessions=requests, seed=4000 + seed).query("turn == 0")
    for name in ("chain", "pairwise"):
        table = mined_table(mixed_log, variants[name], gap_s=gap)
        got = measures(judge(asked, table, fresh.understanding))
        rows.append({"ambiguity": share, "method": name, "win-loss": got["win-loss-traffic"]})
        chapter.record(
            f"ambiguity/win-loss-traffic/{name}-{round(100 * share)}", got["win-loss-traffic"], unit="ratio"
        )
ambiguous = pd.DataFrame(rows)

# %% tags=["hide-input"] mystnb={"image": {"alt": "Lines of wins per loss against the share of ambiguous requests for chain and pairwise."}, "figure": {"caption": "Wins per loss by traffic against ambiguity (logarithmic).", "name": "fig-self-learning-ambiguity"}}
with figure_style():
    figure, axes = plt.subplots(figsize=(6, 3))
    for (name, part), marker in zip(ambiguous.groupby("method"), "os", strict=True):
        axes.plot(part.ambiguity, part["win-loss"], marker=marker, label=name)
    axes.set(xlabel="probability of an ambiguous first request", ylabel="wins per loss", yscale="log")
    axes.legend()

# %% [markdown]
# (self-learning-c5)=
# (self-learning-c6)=
# (self-learning-c7)=
# **Pooling, rare requests, noisy signals.** *Small* is a tenth of the sessions. Rare requests were heard at most
# ten times in the small log and are mined from three on. Signals are flipped for the given share of turns.

# %%
few = log[log.session < sessions // 10]
for size, part in {"small": few, "large": log}.items():
    got = measures(judge(first, mined_table(part, rules, gap_s=gap), fresh.understanding))
    for measure in ("coverage", "win-loss-pairs", "defect-cut"):
        chapter.record(f"pooling/{measure}/{size}", got[measure], unit="ratio", n=len(first))
times = few.text.value_counts()
rare = first[first.text.map(times).between(1, 10)]
for state, by_text in {"interpretation": False, "utterance": True}.items():
    table = mined_table(few, replace(rules, min_texts=3), gap_s=gap, by_text=by_text)
    got = measures(judge(rare, table, fresh.understanding))
    chapter.record(f"rare/coverage/{state}", got["coverage"], unit="share of defects", n=len(rare))

# %%
rows = []
for flipped in (0.0, 0.1, 0.2, 0.4):
    noisy = simulate(heard, replace(users, noise=flipped), sessions=sessions, seed=1000 + seed)
    got = measures(judge(first, mined_table(noisy, rules, gap_s=gap), fresh.understanding))
    chapter.record(
        f"noise/defect-cut/flipped-{round(100 * flipped)}", got["defect-cut"], unit="ratio", n=len(first)
    )
    rows.append({"flipped": flipped, **got})
chapter.table(pd.DataFrame(rows), name="noise", caption="The chain under a flipped success signal")

# %%
grid = {f"depth {d}": replace(rules, depth=d) for d in (1, 2, 5)}
grid |= {f"prune {n}": replace(rules, min_moves=n) for n in (1, 3, 10)}
grid |= {f"margin {m}": replace(rules, margin=m) for m in (0.0, 0.15, 0.3)}
rows = []
for name, rule in grid.items():
    got = measures(judge(first, guarded(mine(session_graph(counts, rule), rule)), fresh.understanding))
    rows.append(
        {"setting": name, **{k: got[k] for k in ("pairs", "coverage", "defect-cut", "win-loss-traffic")}}
    )
chapter.table(pd.DataFrame(rows), name="grid", caption="One knob at a time")

# %% [markdown]
# **Control**: in a world without errors, mining must bring nothing.

# %%
perfect = catalogue(request_world(seed=seed, confusion=0.0), half=0, seed=seed)
calm = simulate(perfect, replace(users, ambiguity=0.0, noise=0.0), sessions=2000, seed=seed)
control = len(mined_table(calm, rules, gap_s=gap))
chapter.record("control/rewrites-without-errors", control, unit="rewrites")
print("rewrites mined where nothing fails:", control)

# %% [markdown]
# (self-learning-c9)=
# **Self-contamination**: rewrites are live while the next log is made, and tastes change.

# %%
served = {"count_rounds": rounds_count, "sessions": rounds_sessions, "seed": 5000 + 100 * seed}
history = {remedy: rounds(heard, fresh, users, rules, remedy=remedy, **served) for remedy in REMEDIES}
for remedy, frame in history.items():
    chapter.record(f"contamination/recall-first/{remedy}", frame.coverage[0], unit="share of defects")
    chapter.record(f"contamination/recall-last/{remedy}", frame.coverage[1:].mean(), unit="share of defects")
    chapter.record(
        f"contamination/live-defects/{remedy}", frame["live-defects"][1:].mean(), unit="share of turns"
    )

# %% tags=["hide-input"] mystnb={"image": {"alt": "Lines of the live defect rate and coverage over rounds for plain mining, hold-out and superposition."}, "figure": {"caption": "Rounds with rewrites live: what the newly mined table would repair, and the defects users met.", "name": "fig-self-learning-rounds"}}
with figure_style():
    figure, panels = plt.subplots(1, 2, figsize=(8, 3))
    for (remedy, frame), marker in zip(history.items(), "os^", strict=True):
        panels[0].plot(frame["round"], frame.coverage, marker=marker, label=remedy)
        panels[1].plot(frame["round"], frame["live-defects"], marker=marker, label=remedy)
    panels[0].set(xlabel="round", ylabel="coverage of the mined table")
    panels[1].set(xlabel="round", ylabel="share of turns that fail")
    panels[0].legend()
    figure.tight_layout()

# %% [markdown]
# (self-learning-c8)=
# **Scale**: seconds of this process to count logs of growing size in DuckDB, and to solve a chain of ten
# thousand states and a hundred thousand edges. Times depend on the machine and are left out of comparisons.

# %%
sizes, seconds = [int(size) for size in scale_turns.split(",")], []
for size in sizes:
    big = simulate(heard, users, sessions=int(size * sessions / len(log)), seed=6000 + seed)[list(COLUMNS)]
    source, start = duckdb_table(big), time.process_time()
    count(source, gap_s=gap)
    seconds.append(time.process_time() - start)
slope = float(np.polyfit(np.log(sizes), np.log(seconds), 1)[0])
chapter.record("scale/seconds-exponent", slope, unit="exponent", timing=True)
chapter.record("scale/turns-per-second", sizes[-1] / seconds[-1], unit="turns/s", timing=True)

# %%
ends = rng.integers(1, 9, (10_000, 2)).astype(float)
where = (np.repeat(np.arange(10_000), 10), rng.integers(0, 10_000, 100_000))
wide = chain_from_counts(sparse.coo_array((rng.integers(1, 9, 100_000), where), shape=(10_000, 10_000)), ends)
start = time.process_time()
absorption_probabilities(wide)
chapter.record("scale/solve-seconds", time.process_time() - start, unit="s", timing=True)
server = ServingTable(dict(tables["chain"]), {})
start = time.process_time()
for text in first.text:
    server.rewrite(text)
chapter.record(
    "scale/lookup-microseconds", 1e6 * (time.process_time() - start) / len(first), unit="us", timing=True
)
# %% [markdown]
# The same program runs on Spark: `spark_table(path, session)` in place of `duckdb_table(path)`, with a session of
# your cluster (`SparkSession.builder.master("spark://...")`). A test holds the two to equal counts.
#
# ## Where this departs from the paper
#
# - *Users are simulated.* The paper's log is of millions of real users; ours draw real recorded errors but behave
#   as the page says. A ratio of wins to losses depends on ambiguity, which is a knob here.
# - *Success is strict*: intent and every entity must be right. On SLURP most requests then fail at first, many in
#   ways no fixed rewrite repairs, because the next recording of the same words is heard differently.
# - *Scorers, margins and guardrails are derived*, since the full text was out of reach; so is the session gap.
# - *A turn nobody understood* is its own state per text; otherwise all of them would share one meaning.
# - *Guardrails on numbers and dates* use a word list; names are protected only where a caller lists them.
# - *Ratios of wins to losses* divide by at least one loss, so that a ratio without losses is the number of wins.
# - *The last contamination figure* is the mean over all rounds after the first, because plain mining may swing
#   from round to round. That was settled on generated data after the claims were written and before the recorded
#   runs; C9 rests on it.
# - *Sizes were cut for time* after one trial run on SLURP, from three hundred thousand sessions to a third of that;
#   no parameter of the method was changed after it.
# - *The criterion of C2 was tightened after the runs.* It first let a good figure on triggered traffic make up for
#   a poor one on all traffic; what we had meant to write down is that under five in a hundred on all traffic
#   is a failure by itself.
# - The annotators' judgement of wins is replaced by the simulated user's goal, which is exact.
#
# ## Adapt it
#
# **Exercise 1.** Your own log: a CSV or Parquet file with columns device, time, text, interpretation, outcome gives
# a rewrite table from one call. Add six users who say "play majj" and then "play imagine", and mine with
# `min_texts=6`.

# %% tags=["exercise"]
my_log = small_log.copy()
my_table = rewrite_table(my_log, rules=MiningRules(min_texts=6))
print("pass" if "play majj" in set(my_table.text) else "not yet: the log has no rewrite for 'play majj'")

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
print("pass" if "play majj" in set(my_table.text) else "not yet: the log has no rewrite for 'play majj'")

# %% [markdown]
# **Exercise 2.** Protect an intent: mine the traced log so that no rewrite may reach `play:`.

# %% tags=["exercise"]
blocked = []  # prefixes of interpretations
print("pass" if rewrite_table(small_log, blocked=blocked).empty else "not yet: a rewrite still reaches play:")

# %% tags=["solution", "hide-cell"]
blocked = ["play:"]
print("pass" if rewrite_table(small_log, blocked=blocked).empty else "not yet: a rewrite still reaches play:")

# %% [markdown]
# **Exercise 3.** How long is a game of two-faced snakes and ladders with three squares and a ladder from the first
# to the last? Fill in the chain (states: start, second square) so that its expected length is two throws.

# %% tags=["exercise"]
q_game, r_game = [[0, 1], [0, 1]], [[0], [1]]  # counts of throws; columns of q: start, second square
length = expected_steps(chain_from_counts(q_game, r_game))[0]
print("pass" if abs(length - 2) < 1e-12 else f"not yet: the game takes {length:.2f} throws")

# %% [markdown]
# :::{admonition} Hint
# :class: dropdown
# From the start a throw of one climbs the ladder and ends the game: the first row of `r_game` counts it.
# :::

# %% tags=["solution", "hide-cell"]
q_game, r_game = [[0, 1], [0, 1]], [[1], [1]]
length = expected_steps(chain_from_counts(q_game, r_game))[0]
print("pass" if abs(length - 2) < 1e-12 else f"not yet: the game takes {length:.2f} throws")

# %% tags=["hide-input"]
chapter.finish()
