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
# # What do you mean I'm funny? Personal jokes
#
# ## In one minute
#
# A voice assistant tells one joke when asked. Nobody rates it, and humour is personal. {cite:t}`mottini2019joke` let later behaviour
# speak: a joke counts as good when the customer asks for another one within five minutes (*reuse*), or comes back between an hour and a
# day later (*return*). A logistic regression with either label went online against a heuristic; deep models were compared offline.

# %% tags=["remove-input"]
from echobook.report.chapter import Chapter

Chapter("joke-skill").verdict_box()

# %% [markdown]
# :::{important}
# We could read the abstract, and what other works quote of the experiments; not the equations, sizes or tables. The deep
# model's *form* is ours. Preferences here are real ratings of jokes; behaviour is simulated, because it never was public: what a knob of the simulator
# decides is shown as a curve over the knob. Texts of the rated jokes are used as features and never shown.
# :::

# %% tags=["hide-input"]
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns

from echobook.metrics.off_policy import snips
from echobook.papers.joke_skill import checks, experiment, material, training
from echobook.papers.joke_skill.deep_training import Settings
from echobook.papers.joke_skill.evaluation import by_bucket, relative_change
from echobook.papers.joke_skill.features import CrossGroup, CrossIdentity, evening
from echobook.papers.joke_skill.history import History
from echobook.papers.joke_skill.method import LABELS, fit_logistic, implicit_labels
from echobook.papers.joke_skill.model import HistoryAttention, JokeRanker, label_loss
from echobook.papers.joke_skill.online import a_a_coverage, off_policy
from echobook.papers.joke_skill.simulator import Behaviour
from echobook.report.figures import figure_style, palette
from echobook.report.source import show_source

# %% tags=["parameters", "hide-input"]
profile: str = "default"  # smoke, default, public or paper
seed: int = 0  # of people, behaviour, training; of generated jokes and tastes too
ratings: str = "generated"  # "generated" or "jester5k": whose taste
texts: str = "generated"  # "generated" or "collected": jokes of the text world
users: int = 500  # customers of the first world [2, ]
text_users: int = 300  # customers of the text world [2, ]
sweep_users: int = 300  # customers of the sweeps over knobs [2, ]
moments: int = 500  # test moments at which all jokes are ranked [1, ]
days: int = 14  # of the online test [1, ]
epochs: int = 5  # of the deep models [0, ]
batch: int = 256  # rows of a training step [1, ]
splits: int = 200  # A/A tests [1, ]

# %% tags=["hide-input"]
settings = {"ratings": ratings, "texts": texts, "users": users, "days": days}
settings |= {"text_users": text_users, "sweep_users": sweep_users, "moments": moments}
settings |= {"epochs": epochs, "batch": batch, "splits": splits}
chapter = Chapter("joke-skill", profile=profile, seed=seed, parameters=settings)

# %% [markdown]
# ## Method
#
# ```{figure} ../../book/_static/joke-labels.svg
# :name: fig-joke-labels
# :alt: A time line after a told joke. Up to five minutes lies the window of reuse, from one hour to twenty-five hours the window of return; between them is a gap that counts for neither.
#
# The two windows after a told joke. A request in the gap makes neither label positive.
# ```
#
# **Labels.** Joke $j$ is told to customer $u$ at time $t$; $\mathcal R_u$ are the times of the customer's later requests:
#
# $$ y^{\text{reuse}} = \mathbb 1[\exists r \in \mathcal R_u:\ 0 < r - t \le 5\,\text{min}], \qquad
# y^{\text{return}} = \mathbb 1[\exists r \in \mathcal R_u:\ 1\,\text{h} \le r - t \le 25\,\text{h}] . $$ (eq-joke-labels)
#
# A label is known only when its window is over, so the last 25 hours of a log are dropped. A request may lie in the return window of several jokes; all of
# them get it here, and *only the last one* is an ablation. For reuse both are the same: if any request is within five minutes, the next one is.

# %%
show_source(implicit_labels)

# %% [markdown]
# **By hand.** Jokes after $0$, $200$, $500$, $4100$ and $80000$ seconds. The gaps of $200$ and $300$ seconds are reuse; the request at $4100$ is a return to all
# three before it, the one at $80000$ to the fourth. Nothing follows the last.

# %%
implicit_labels(checks.HAND_TIMES)

# %% [markdown]
# **What is known when.** A model may use past outcomes only as far as they were known at the request: a joke told two hours ago has no return label yet.
# `History` goes forward in time and settles outcomes as requests come; offline features are made by replaying the log through it.

# %%
show_source(History.ask)

# %% [markdown]
# **The regression** is one linear score of joke, customer and context features $\phi$,
#
# $$ \hat y = \sigma(w^\top \phi(u, j, x) + b), \qquad
# \mathcal L = -\sum_n \big[y_n \log \hat y_n + (1 - y_n) \log (1 - \hat y_n)\big] + \tfrac{\lambda}{2} \lVert w \rVert^2 . $$ (eq-joke-regression)
#
# Whatever $\phi$ says about the customer alone adds the same to all jokes and cancels in the list. Only *crosses*, products of customer and
# joke features, make it personal. Ours multiply what came of past jokes, less the customer's own rate, with the joke to be told.

# %%
show_source(fit_logistic)

# %%
show_source(CrossIdentity)

# %% [markdown]
# **The deep model** encodes a joke by self-attention over its words (or by convolutions, the paper's benchmark), reads the customer's last
# jokes $j_m$ with their outcomes by attention, and learns both labels, the joke's category and its kind together:
#
# $$ s_m = z_{j_m} + e_{y_m} + e_{\Delta t_m}, \qquad z_u = \sum_m \operatorname{softmax}_m(z_j^\top W s_m)\, s_m, \qquad
# g = \operatorname{ReLU}(W [z_u; z_j; z_u \odot z_j; z_x]) . $$ (eq-joke-deep)
#
# The loss is weighted cross-entropy of the labels plus a tenth of that of category and kind.

# %%
show_source(HistoryAttention.forward)

# %%
show_source(JokeRanker.score)

# %%
show_source(label_loss)

# %% [markdown]
# ## Data
#
# **Whose taste.** In the `public` profile customers are people who rated a hundred jokes on Jester {cite}`goldberg2001eigentaste`; a joke that
# somebody never rated is never told to them. Without a download, tastes are drawn over generated jokes: how much somebody enjoys jokes at all, how good a
# joke is, what follows from its text, and noise.
#
# **Behaviour.** With standardised liking $r$, talkativeness $c$, place $\ell$ in the session, and a knob $s$,
#
# $$ \Pr(\text{again within 5 min}) = \sigma(a_0 + s\,a_1 r + a_2 c - a_3 \ell + a_4\,\text{evening} - s\,a_5\,\text{interrupted}), $$ (eq-joke-again)
#
# and likewise for the return. $a_0$ and its sibling are set so that the labels have the paper's rates, one half and one fifth. At $s = 0$ asking again says nothing
# about taste; below it people ask again because the joke was *bad*. Jokes of the log are chosen half at random, half by an editor's
# guess, and the probability of every choice is kept.

# %%
show_source(Behaviour.again)

# %%
if ratings == "jester5k":
    rated = material.jester_world(users=users)
else:
    rated = material.generated_world(users=users, jokes=60, seed=seed)
study = training.make_study(rated, seed=seed)

# %%
new = {"held_back": 0.25, "release": training.TEST_FROM, "seed": seed}
if texts == "collected":
    by_text = material.collected_world(users=text_users, **new)
else:
    by_text = material.generated_world(users=text_users, jokes=120, name="texts", **new)
text_study = training.make_study(by_text, seed=seed)

# %% tags=["hide-input"]
noted = set()
for used in (*rated.uses, *by_text.uses):
    if used.name not in noted and not (texts == ratings and used in by_text.uses):
        chapter.use(used)
        noted.add(used.name)
rows = []
for name, one in (("ratings", study), ("texts", text_study)):
    heard = np.bincount(one.log.moments.user)
    row = {
        "world": name,
        "customers": len(one.world.liking),
        "jokes": len(one.world.jokes),
    }
    row |= {"told": len(one.log), "training": len(one.train), "test": len(one.test)}
    row |= {"median heard": int(np.median(heard)), "most heard": int(heard.max())}
    for label in LABELS:
        rate = one.labels[label].mean()
        row[label] = chapter.record(f"{name}/{label}/rate", rate, unit="share")
    rows.append(row)
caption = "The worlds of this run: sizes, and how often each label is positive."
chapter.table(pd.DataFrame(rows), name="worlds", caption=caption)

# %% tags=["hide-input"]
shown = [j for j in by_text.jokes.jokes if j.shown and len(j.text) < 110][:4]
chapter.table(
    pd.DataFrame(
        [{"joke": j.text, "category": j.category, "kind": j.kind} for j in shown]
    ),
    name="jokes",
    caption="Four jokes of the text world, all of them marked as safe.",
)

# %% [markdown]
# The last quarter of the text world's jokes is told only in the test days: for them a model has nothing but the text.
#
# (joke-k1)=
# (joke-k2)=
# (joke-k3)=
# (joke-k4)=
# (joke-k5)=
# (joke-k6)=
# (joke-k7)=
# (joke-k8)=
# **Checks** of our own code, each one figure.

# %% tags=["hide-input"]
found = {"by-hand": checks.by_hand(), "by-loop": checks.by_loop(seed)}
found |= {"by-replay": checks.by_replay(study), "peeks": checks.peeks(study)}
found |= {"area": checks.area(seed), "coefficients": checks.coefficients(seed)}
found |= {"all-at-once": checks.all_at_once(study), "chances": checks.chances(study)}
found |= {"unbiased": checks.unbiased(seed), "repeats": checks.repeats(study)}
for label, wanted in (("reuse", 0.5), ("back", 0.2)):
    found[f"rate-gap-{label}"] = abs(study.labels[label].mean() - wanted)
chapter.records("checks/", found, unit="largest gap")
chapter.table(
    pd.DataFrame(found.items(), columns=["check", "gap"]),
    name="checks",
    caption="What each check found in this run.",
    digits=12,
)

# %% [markdown]
# ## Experiment
#
# Train, validation and test rows follow each other in time. Penalties come from one grid, the deep model's epoch from its validation curve, both by the AUC over
# all validation rows, as in the paper.
#
# | name | knows |
# |---|---|
# | `random`, `rotation`, `oracle` | nothing; a list that goes round, our heuristic; the true liking |
# | `popularity` | the joke: a smoothed rate in which old tellings count less |
# | `factors` | popularity, and factors of past outcomes by alternating least squares |
# | `who-and-when` | customer and moment, *no joke*: the control |
# | `without-crosses` | both, added up |
# | `regression`, `regression-text` | with crosses of past jokes and groups; and of their texts |
# | `transformer`, `convolution`, `single-task` | the deep models |
#
# Three readings of the same scores: AUC over all told jokes (*pooled*), inside each customer's told jokes (*customer*), and at one moment over all jokes
# that could be told, liked above disliked by the true ratings (*choice*).

# %%
which = ("who-and-when", "without-crosses", "regression", "regression-text")
scored = {
    label: experiment.simple_scorers(study, label, seed=seed)
    | experiment.regressions(study, label, which)
    for label in LABELS
}

# %%
how = Settings(epochs=epochs, batch=batch)
networks = {
    name: experiment.train_network(study, network, how, seed=seed)
    for name, network in experiment.NETWORKS.items()
}
for label in LABELS:
    scored[label] |= {name: deep.of(label) for name, deep in networks.items()}

# %% tags=["hide-input"]
for name, deep in networks.items():
    chapter.count_parameters(name, deep.trained.model)
    chapter.record(f"ratings/epoch/{name}", deep.trained.epoch, unit="epochs")
sampled = study.sample(moments, seed=seed)
askers = study.log.moments.user[sampled]


def record_groups(metric, values, who, unit, weights=None):
    """Record a mean over customers with the means of fixed groups of customers."""
    items, weight = by_bucket(values, who, weights)
    kept = {"items": items, "weights": weight}
    return chapter.record(metric, items @ weight / weight.sum(), unit=unit, **kept)


# %% tags=["hide-input"]
measured, chosen = {}, {}
for label in LABELS:
    for name, one in scored[label].items():
        if name == "single-task" and label == "reuse":
            continue
        measures = experiment.measure(study, label, one)
        choice = experiment.choose(study, one.scorer, sampled)
        means = dict(measures.means)
        kept = np.isfinite(choice.auc)
        at = f"ratings/{label}"
        auc = choice.auc[kept]
        means["choice"] = record_groups(f"{at}/choice/{name}", auc, askers[kept], "AUC")
        inside = measures.customer
        means["customer"] = record_groups(
            f"{at}/customer/{name}", inside.values, inside.groups, "AUC"
        )
        for what in ("pooled", "top-1", "accuracy", "accuracy-tuned"):
            chapter.record(f"{at}/{what}/{name}", means[what], unit=what)
        measured[label, name], chosen[label, name] = means, choice
    yes = study.labels[label][study.test].mean()
    chapter.record(f"ratings/{label}/accuracy/constant-no", 1 - yes, unit="accuracy")

# %% tags=["hide-input"]
for label in LABELS:
    base, no_joke, full = (
        measured[label, name]["pooled"]
        for name in ("popularity", "who-and-when", "regression")
    )
    share = (no_joke - base) / (full - base)
    chapter.record(f"ratings/{label}/share-from-who-and-when", share, unit="share")

# %% [markdown]
# **New jokes.** In the text world, models that know jokes by text alone, on jokes that were in the training rows and on jokes that were not.

# %%
text_scored = experiment.regressions(text_study, "reuse", ("by-text",))
text_scored["popularity"] = experiment.simple_scorers(text_study, "reuse", seed=seed)[
    "popularity"
]
for name in ("transformer", "convolution"):
    network = experiment.NETWORKS[name]
    deep = experiment.train_network(text_study, network, how, seed=seed)
    text_scored[name] = deep.of("reuse")

# %% tags=["hide-input"]
text_rows = text_study.sample(moments // 3 + 1, seed=seed)
unseen = by_text.released > 0
text_found = []
for name, one in text_scored.items():
    row = {"model": name, "pooled": experiment.measure(text_study, "reuse", one).pooled}
    for part, only in (("choice-known", ~unseen), ("choice-new", unseen)):
        auc = experiment.choose(text_study, one.scorer, text_rows, only=only).auc
        row[part] = np.nanmean(auc)
    for what in ("pooled", "choice-known", "choice-new"):
        chapter.record(f"texts/reuse/{what}/{name}", row[what], unit="AUC")
    text_found.append(row)

# %% [markdown]
# **Online.** From the end of the month all arms go on with the same customers and the same luck; only the policy differs.

# %%
served = {f"regression-{label}": scored[label]["regression"].scorer for label in LABELS}
served["popularity"] = scored["reuse"]["popularity"].scorer
arms = experiment.online_arms(study, served, seed=seed, days=days)

# %% tags=["hide-input"]
people = np.arange(len(rated.liking))
for name, arm in arms.items():
    told = np.maximum(arm.told, 1)
    for what, sums in (("liking", arm.liking), ("interruptions", arm.cut)):
        record_groups(
            f"online/{what}/{name}", sums / told, people, what, arm.told * 1.0
        )
    day = arm.means["jokes-a-day"]
    chapter.record(f"online/jokes-a-day/{name}", day, unit="jokes")
turned = arms["rotation"]
coverage = a_a_coverage(turned, rated.liking, splits=splits, seed=seed)
chapter.records("a-a/", coverage, unit="share")

# %% [markdown]
# **From the log alone.** The value of a softened version of the regression's policy, against the truth that only the simulator knows.

# %%
values = off_policy(study, scored["reuse"]["regression"].scorer)

# %% tags=["hide-input"]
off_rows = []
for name, estimate in values.items():
    value = getattr(estimate, "value", estimate)
    chapter.record(f"off-policy/value/{name}", value, unit="reuse a joke")
    row = {"estimate": name, "value": value, "error": value - values["truth"]}
    if name != "truth":
        chapter.record(f"off-policy/error/{name}", row["error"], unit="reuse a joke")
        size = abs(row["error"])
        chapter.record(f"off-policy/absolute-error/{name}", size, unit="reuse a joke")
    if hasattr(estimate, "low"):
        covered = estimate.covers(values["truth"])
        chapter.record(f"off-policy/covered/{name}", covered, unit="runs")
        row |= {"low": estimate.low, "high": estimate.high}
    off_rows.append(row)

# %% [markdown]
# ## Results

# %% tags=["hide-input"]
chapter.forest_plot()


# %% tags=["hide-input"]
def said(metric, digits=3):
    """A recorded mean with its interval over seeds, or a dash."""
    found = chapter.recorded(metric)
    if found is None:
        return "–"
    return f"{found.mean:.{digits}f} [{found.low:.{digits}f}, {found.high:.{digits}f}]"


# %% tags=["hide-input"]
readings = ("pooled", "customer", "choice", "top-1", "accuracy", "accuracy-tuned")


def offline_table(label):
    """This run's measures of all models on one label."""
    names = [name for one, name in measured if one == label]
    rows = [
        {"model": name} | {r: measured[label, name][r] for r in readings}
        for name in names
    ]
    base = measured[label, "popularity"]["pooled"]
    for row in rows:
        row["pooled, change in %"] = relative_change(row["pooled"], base)
    return pd.DataFrame(rows)


chapter.table(
    offline_table("reuse"),
    name="offline-reuse",
    caption="This run, five-minute reuse: and the change as the paper prints it.",
)

# %% tags=["hide-input"]
chapter.table(
    offline_table("back"),
    name="offline-back",
    caption="This run, one-day return.",
)

# %% tags=["hide-input"] mystnb={"image": {"alt": "Two panels, one a label. Each model is a point: AUC over all told jokes to the right, AUC at a moment upwards, lines at one half."}, "figure": {"caption": "This run: what the paper's measure says of a model, and how well it ranks the jokes that a customer can be told.", "name": "fig-joke-two-readings"}}
with figure_style():
    figure, panels = plt.subplots(1, 2, figsize=(10, 3.6))
    points = pd.DataFrame(
        {"label": label, "model": name, "pooled": m["pooled"], "choice": m["choice"]}
        for (label, name), m in measured.items()
        if name != "oracle"
    )
    names = points[points.label == "back"].model.tolist()
    colours = dict(zip(names, palette() * 2, strict=False))
    for axes, label in zip(panels, LABELS, strict=True):
        part = points[points.label == label]
        sns.scatterplot(
            part, x="pooled", y="choice", hue="model", style="model", s=45,
            hue_order=names, style_order=names, palette=colours,
            ax=axes, legend=label == "back",
        )  # fmt: skip
        axes.axhline(0.5, color="0.5", linewidth=0.8)
        axes.axvline(0.5, color="0.5", linewidth=0.8)
        axes.set(
            xlabel="AUC over all told jokes", ylabel="AUC at a moment", title=label
        )
    sns.move_legend(panels[1], "center left", bbox_to_anchor=(1.02, 0.5), fontsize=7)
    figure.tight_layout()

# %% [markdown]
# (joke-c4)=
# **C4**, {verdict}`joke-skill:C4`. `who-and-when` knows no joke at all. Over all told jokes it has {result}`joke-skill:ratings/reuse/pooled/who-and-when|.3f` on
# reuse, popularity {result}`joke-skill:ratings/reuse/pooled/popularity|.3f`, the regression {result}`joke-skill:ratings/reuse/pooled/regression|.3f`. At a moment, where a
# joke has to be chosen, the order of the first two is {result}`joke-skill:ratings/reuse/choice/who-and-when|.3f` against
# {result}`joke-skill:ratings/reuse/choice/popularity|.3f`. A pooled AUC asks whether *this* telling was more probably followed by a request than *that* one; who
# talks much, and when, is part of the answer and no part of the choice.
#
# (joke-c2)=
# **C2**, {verdict}`joke-skill:C2`. By the paper's measure on the return label: regression {result}`joke-skill:ratings/back/pooled/regression|.3f`, popularity
# {result}`joke-skill:ratings/back/pooled/popularity|.3f`, no joke known {result}`joke-skill:ratings/back/pooled/who-and-when|.3f`.
#
# (joke-c3)=
# **C3**, {verdict}`joke-skill:C3`. At a moment: regression {result}`joke-skill:ratings/reuse/choice/regression|.3f`, without crosses
# {result}`joke-skill:ratings/reuse/choice/without-crosses|.3f`. One outcome is a coin that liking bends by a few points, and a customer hears a dozen or two of
# jokes in a month: that is all there is to learn one person's taste from.
#
# (joke-c8)=
# **C8**, {verdict}`joke-skill:C8`. On the return label *always no* is right in {result}`joke-skill:ratings/back/accuracy/constant-no|.3f` of the test rows, the regression in
# {result}`joke-skill:ratings/back/accuracy/regression|.3f`.
#
# (joke-c5)=
# (joke-c6)=
# (joke-c7)=
# **C5**, {verdict}`joke-skill:C5`; **C6**, {verdict}`joke-skill:C6`; **C7**, {verdict}`joke-skill:C7`. The transformer has
# {result}`joke-skill:ratings/reuse/pooled/transformer|.3f` over all told jokes and {result}`joke-skill:ratings/reuse/choice/transformer|.3f` at a moment, the convolution
# {result}`joke-skill:ratings/reuse/pooled/convolution|.3f` and {result}`joke-skill:ratings/reuse/choice/convolution|.3f`. On the return label one task gives
# {result}`joke-skill:ratings/back/pooled/single-task|.3f`, several {result}`joke-skill:ratings/back/pooled/transformer|.3f`.

# %% tags=["hide-input"] mystnb={"image": {"alt": "Lines of validation AUC against epochs, one a deep model, from the untrained state on."}, "figure": {"caption": "This run: validation AUC of each deep model's main label after every epoch; epoch 0 is untrained.", "name": "fig-joke-curves"}}
with figure_style():
    figure, axes = plt.subplots(figsize=(5, 3))
    for name, deep in networks.items():
        axes.plot(range(len(deep.trained.curve)), deep.trained.curve, "o-", label=name)
    axes.set(xlabel="epoch", ylabel="validation AUC")
    axes.legend(fontsize=8)

# %% tags=["hide-input"]
chapter.table(
    pd.DataFrame(text_found),
    name="texts",
    caption="This run, text world: all told jokes; known and new ones at a moment.",
)

# %% [markdown]
# (joke-c1)=
# **C1**, {verdict}`joke-skill:C1`. Liking of a told joke, in standard deviations of all ratings: rotation {result}`joke-skill:online/liking/rotation|.3f`, model of reuse
# {result}`joke-skill:online/liking/regression-reuse|.3f`, model of return {result}`joke-skill:online/liking/regression-back|.3f`, popularity
# {result}`joke-skill:online/liking/popularity|.3f`. Interruptions: {result}`joke-skill:online/interruptions/rotation|.3f`,
# {result}`joke-skill:online/interruptions/regression-reuse|.3f`, {result}`joke-skill:online/interruptions/regression-back|.3f`.
#
# (joke-c12)=
# **C12**, {verdict}`joke-skill:C12`. Two halves of one arm differ by nothing. With customers as units
# {result}`joke-skill:a-a/customers|.3f` of such tests find nothing, with told jokes as units {result}`joke-skill:a-a/tellings|.3f`.

# %% tags=["hide-input"]
rows = []
for name, arm in arms.items():
    row = {"arm": name} | dict(arm.means)
    row["liking, recorded"] = said(f"online/liking/{name}")
    row["interruptions, recorded"] = said(f"online/interruptions/{name}")
    rows.append(row)
chapter.table(
    pd.DataFrame(rows),
    name="online",
    caption="Arms of the simulated test: this run, and recorded means with intervals.",
)

# %% [markdown]
# (joke-c11)=
# **C11**, {verdict}`joke-skill:C11`. The policy's true reuse is {result}`joke-skill:off-policy/value/truth|.3f`. The self-normalised estimate says
# {result}`joke-skill:off-policy/value/snips|.3f`; weighing rows by the new policy without dividing by the log's own probabilities
# {result}`joke-skill:off-policy/value/no-propensities|.3f`; the model, asked for its own opinion, {result}`joke-skill:off-policy/value/model|.3f`.

# %% tags=["hide-input"]
chapter.table(
    pd.DataFrame(off_rows),
    name="off-policy",
    caption="This run: reuse a joke under the new policy, from the log alone.",
)

# %% [markdown]
# (joke-c13)=
# **C13**, {verdict}`joke-skill:C13`: the rates are what the simulator was set to.
#
# ## Ablations and controls
#
# (joke-c9)=
# **C9**, {verdict}`joke-skill:C9`. The knob is how strongly, and in which direction, satisfaction drives asking again. Does AUC over all
# told jokes notice? Does what customers hear?

# %%
if ratings == "jester5k":
    small = material.jester_world(users=sweep_users)
else:
    small = material.generated_world(users=sweep_users, jokes=60, seed=seed)
knob = [
    experiment.strength_row(small, strength, seed=seed, days=days)
    for strength in experiment.STRENGTHS
]

# %% tags=["hide-input"]
for row in knob:
    value = f"{row['strength']:g}".replace("-", "minus-").replace(".", "-")
    for what in ("pooled", "choice", "liking-gain", "interruption-gain"):
        chapter.record(f"strength/{what}/{value}", row[what], unit=what)

# %% tags=["hide-input"] mystnb={"image": {"alt": "Two panels over the strength of the satisfaction effect, from reversed to strong: pooled AUC and AUC at a moment; gain in liking over the rotation, with a line at nothing."}, "figure": {"caption": "This run: the regression on reuse while the satisfaction effect goes from reversed over none to strong.", "name": "fig-joke-strength"}}
with figure_style():
    figure, panels = plt.subplots(1, 2, figsize=(8, 3))
    swept = pd.DataFrame(knob).rename(columns={"choice": "at a moment"})
    long = swept.melt("strength", ["pooled", "at a moment"], "reading", "AUC")
    sns.lineplot(
        long, x="strength", y="AUC", hue="reading", marker="o",
        palette=palette("pair"), ax=panels[0],
    )  # fmt: skip
    panels[0].axhline(0.5, color="0.5", linewidth=0.8)
    panels[1].plot(swept["strength"], swept["liking-gain"], "o-")
    panels[1].axhline(0, color="0.5", linewidth=0.8)
    panels[1].set(xlabel="strength", ylabel="gain in liking, sd")
    figure.tight_layout()

# %% [markdown]
# **Windows, credit, confounders.** Reuse within one minute to an hour; return credited to all jokes in the window or to the last one; and a world in which all are equally
# talkative, nobody tires, and there is no evening.

# %%
windows = [
    experiment.window_row(study, minutes, seed=seed)
    for minutes in experiment.WINDOW_MINUTES
]
credit = {c: experiment.credit_row(study, c, seed=seed) for c in ("all", "last")}
plain = experiment.unconfounded(small, seed=seed)
plain_scored = experiment.regressions(plain, "reuse", ("who-and-when", "regression"))

# %% tags=["hide-input"]
rows = []
for row in windows:
    rows.append({"what": f"reuse within {row['minutes']:.0f} min", **row})
    del rows[-1]["minutes"]
    for what in ("rate", "pooled", "choice"):
        chapter.record(f"window/{what}/{row['minutes']:.0f}", row[what], unit=what)
for name, row in credit.items():
    rows.append({"what": f"return, credit to {name}", **row})
    for what in ("rate", "pooled", "choice"):
        chapter.record(f"credit/{what}/{name}", row[what], unit=what)
for name, one in plain_scored.items():
    row = {"what": f"no confounders, {name}", "rate": plain.labels["reuse"].mean()}
    row["pooled"] = experiment.measure(plain, "reuse", one).pooled
    auc = experiment.choose(plain, one.scorer, plain.sample(500, seed=seed)).auc
    row["choice"] = np.nanmean(auc)
    rows.append(row)
    for what in ("pooled", "choice"):
        chapter.record(f"unconfounded/{what}/{name}", row[what], unit="AUC")
caption = "This run: the regression with other labels, and without confounders."
chapter.table(pd.DataFrame(rows), name="labels", caption=caption)

# %% [markdown]
# **Blocks, weights, history.** The table of models above takes blocks of features away one after the other. Here: class weights in the regression, a focal loss, no
# weights and no history in the deep model, and quality at a moment by the number of jokes heard before.

# %%
weighted = training.train_regression(
    study, "back", experiment.CROSSED, balanced=True, penalties=(30.0,)
)
variants = {
    name: experiment.train_network(study, network, how, seed=seed)
    for name, network in experiment.FURTHER.items()
}

# %% tags=["hide-input"]
rows = []
further = {"regression, class weights": experiment.Scored(weighted.told, weighted)}
further |= {f"convolution, {name}": deep.of("back") for name, deep in variants.items()}
for name, one in further.items():
    row = {"model": name, **experiment.measure(study, "back", one).means}
    auc = experiment.choose(study, one.scorer, sampled).auc
    row["choice"] = np.nanmean(auc)
    slug = name.replace(", ", "-").replace(" ", "-")
    for what in ("pooled", "accuracy", "choice"):
        chapter.record(f"variants/{what}/{slug}", row[what], unit=what)
    rows.append(row)
caption = "This run, one-day return: variants of the loss and of the history."
chapter.table(pd.DataFrame(rows), name="variants", caption=caption)

# %% tags=["hide-input"]
rows = []
for name in ("popularity", "regression", "regression-text", "transformer"):
    by_count = experiment.history_rows(study, chosen["reuse", name], sampled)
    for heard, auc in by_count.items():
        chapter.record(f"history/{heard}/{name}", auc, unit="AUC")
    rows.append({"model": name, **by_count})
caption = "This run: AUC at a moment by the number of jokes heard before."
chapter.table(pd.DataFrame(rows), name="history", caption=caption)

# %% [markdown]
# (joke-c10)=
# **C10**, {verdict}`joke-skill:C10`. The same regression when rows are split by time, at random, and at random with each customer's rate over the whole log as a feature, the
# row's own label included: reuse {result}`joke-skill:split/reuse/by-time|.3f`, {result}`joke-skill:split/reuse/random|.3f`,
# {result}`joke-skill:split/reuse/random-whole-log|.3f`; return {result}`joke-skill:split/back/by-time|.3f`, {result}`joke-skill:split/back/random|.3f`,
# {result}`joke-skill:split/back/random-whole-log|.3f`.

# %%
by_split = {label: experiment.split_row(study, label, seed=seed) for label in LABELS}

# %% tags=["hide-input"]
for label, row in by_split.items():
    chapter.records(f"split/{label}/", row, unit="AUC")
rows = [{"label": label, **row} for label, row in by_split.items()]
caption = "This run: AUC over all told jokes by kind of split."
chapter.table(pd.DataFrame(rows), name="splits", caption=caption)

# %% [markdown]
# ## Where this departs from the paper
#
# - *Behaviour is simulated.* Whether people ask again because a joke was good cannot be learnt from a simulator; what can be learnt is which measure would notice.
# - *Form and sizes of the models* are ours; the paper's were not read. Its loss is said to be special; ours has class weights, and a focal form as an ablation.
# - *The heuristic* is a rotation, because the paper's is not described. Popularity is an arm of its own.
# - *Exposure of the rated jokes* is not uniform: some were rated by nearly everybody, and a joke without a rating is never told.
# - *Categories of the rated jokes* are clusters of their texts.
# - *Inside a customer* the running rate of past outcomes is biased against the next one (whoever has had many positives has fewer left), so the *customer* reading can fall below one
#   half for models that use it. The *choice* reading has no such effect.
# - *Interruptions* are not used as a label; they follow taste at every strength of the knob, so they would be a better one here.
# - *Use of other skills and active dialogs*, which the paper watched, are not simulated.
#
# ## Adapt it
#
# ### Your own log
#
# Three CSV files: your jokes (`joke,category,text`), who was told which when (`customer,time,joke`), and the requests to answer (`customer,time`).
#
# ```python
# from pathlib import Path
# from echobook.papers.joke_skill.own_data import rank_csv
#
# found = rank_csv(Path("jokes.csv"), Path("log.csv"), Path("requests.csv"))
# found.ranked
# ```
#
# A customer without history gets what everybody likes, and the row says so. An unknown joke, a joke told twice, or a clock that goes backwards is
# refused with file and line.
#
# ### Exercise 1: from the log alone
#
# Write the self-normalised estimate: rewards, the new policy's probabilities of what was told, and the log's own in; the estimate out.


# %% tags=["exercise"]
def my_estimate(reward, target, logged):
    return reward.mean()  # change this line


# %% tags=["exercise"]
def estimate_fault(function):
    """What is wrong with an estimate, or nothing."""
    got = function(np.array([1.0, 0.0]), np.array([0.5, 0.5]), np.array([0.25, 0.5]))
    if got is None or abs(float(got) - 2 / 3) > 1e-9:
        return "weights of 2 and 1 should give two thirds"
    same = function(np.ones(3), np.array([0.1, 0.2, 0.9]), np.array([0.3, 0.3, 0.3]))
    return "" if abs(float(same) - 1) < 1e-9 else "a constant reward should come out"


print(estimate_fault(my_estimate) or "pass")

# %% [markdown]
# :::{admonition} Solution
# :class: dropdown
# Weights are the quotients of the probabilities; the estimate is the weighted mean.
# :::


# %% tags=["solution", "hide-cell"]
def self_normalised(reward, target, logged):
    weight = target / logged
    return snips(reward, weight, np.arange(len(reward))).value


print(estimate_fault(self_normalised) or "pass")

# %% [markdown]
# ### Exercise 2: a cross of your own
#
# Some jokes may be better in the evening. Write the columns *evening times category*: `late` `(N,)` is 1 in the evening, `category` `(N,)` the number of the
# joke's category; the result is `(N, K)`. Without the product the evening would add the same to every joke.


# %% tags=["exercise"]
def my_cross(late, category, categories):
    return np.zeros((len(late), categories))  # change this line


# %% tags=["exercise"]
def cross_fault(function):
    """What is wrong with the columns, or nothing."""
    got = np.asarray(function(np.array([1.0, 0.0]), np.array([2, 1]), 3))
    if got.shape != (2, 3):
        return f"two rows of three columns are wanted, not {got.shape}"
    if got[1].any():
        return "by day all columns should be 0"
    return "" if got[0].tolist() == [0, 0, 1] else "the joke's own column should be 1"


print(cross_fault(my_cross) or "pass")

# %% [markdown]
# :::{admonition} Solution
# :class: dropdown
# One row of the unit matrix a joke, times the evening. In our simulator the evening is the same for all jokes, so this cross brings nothing.
# :::


# %% tags=["solution", "hide-cell"]
def evening_cross(late, category, categories):
    return late[:, None] * np.eye(categories)[category]


class EveningCategory(CrossGroup):
    def rows(self, past, joke):
        group = past.jokes.groups[self.what]
        late = evening(past.moments.time)
        return evening_cross(late, group[joke], group.max() + 1)

    def scores(self, weights, past):
        late = evening(past.moments.time)
        return late[:, None] * weights[past.jokes.groups[self.what]][None, :]


print(cross_fault(evening_cross) or "pass")
own = (*experiment.PLAIN, EveningCategory("category"))
fitted = training.train_regression(study, "reuse", own, penalties=(30.0,))
one = experiment.Scored(fitted.told, fitted)
round(experiment.measure(study, "reuse", one).pooled, 3)

# %% [markdown]
# ### Exercise 3: a label that says nothing
#
# Change one argument so that asking again has nothing to do with the joke. What can the regression still do well?

# %% tags=["exercise"]
deaf = Behaviour(strength=1.0)  # change this

# %% tags=["exercise"]
gap = deaf.again(
    np.array([2.0]), np.zeros(1), np.zeros(1, dtype=int), np.zeros(1), False
)
gap = gap - deaf.again(
    np.array([-2.0]), np.zeros(1), np.zeros(1, dtype=int), np.zeros(1), True
)
print(
    "pass" if abs(gap[0]) < 1e-9 else "not yet: a good joke still makes them ask again"
)

# %% [markdown]
# :::{admonition} Solution
# :class: dropdown
# `strength=0.0`. People are as different as before, so AUC over all told jokes need not fall; at a moment there is nothing to learn.
# :::

# %% tags=["solution", "hide-cell"]
deaf = Behaviour(strength=0.0)
deaf_study = training.make_study(small, seed=seed, behaviour=deaf)
one = experiment.regressions(deaf_study, "reuse", ("regression",))["regression"]
auc = experiment.choose(deaf_study, one.scorer, deaf_study.sample(300, seed=seed)).auc
pooled = experiment.measure(deaf_study, "reuse", one).pooled
round(pooled, 3), round(float(np.nanmean(auc)), 3)

# %% [markdown]
# ## What did we learn?
#
# - Ask of every ranking measure what a model without items would get: on reuse `who-and-when` has
#   {result}`joke-skill:ratings/reuse/pooled/who-and-when|.3f` pooled and cannot choose a joke.
# - Rank inside one customer's list of the moment, where whatever is the same for the whole list must cancel.
# - An implicit label is a hypothesis about behaviour: turn the effect round, and look at what the model would tell then.
# - Keep the probability of every choice, for a log without it cannot be asked what another policy would have done.

# %% tags=["hide-input"]
chapter.finish()
