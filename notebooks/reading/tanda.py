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
# # TANDA: transfer, then adapt, to choose answers
#
# ## In one minute
#
# A question, and a handful of sentences: which of them answers it? Sets with labels for that task are small, and
# fine-tuning a large encoder on a small set is a gamble. TANDA {cite}`garg2020tanda` takes two steps in place of one:
# fine-tune on a large *general* set of questions and sentences (transfer), then, encoder and head kept, on the small
# *target* set (adapt). The paper reports half the error of earlier systems, steadier training, and less harm from wrong labels.

# %% tags=["remove-input"]
from echobook.report.chapter import Chapter

Chapter("tanda").verdict_box()

# %% [markdown]
# Training all rows of one seed took {result}`tanda:cost/training-cpu-seconds|.0f` of the box's CPU seconds.
#
# :::{important}
# We read the abstract, the introduction, an article by the authors, and their code with its issues; the tables in the body of
# the paper could not be opened. The targets below are the paper's own files. Its encoders and its transfer set are
# replaced by far smaller ones, and the encoder has **already been trained on question-answer pairs**: what is judged here is a
# *second* transfer, at a small budget.
# :::

# %% tags=["hide-input"]
import tempfile
from dataclasses import replace
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch
from torch import nn

from echobook.data.cache import cache_root
from echobook.data.generators.facts import fact_world
from echobook.metrics.ranking import average_precision, both_tie_rules
from echobook.papers.tanda.baselines import baseline_scores
from echobook.papers.tanda.evaluation import ranking, relative_loss, table
from echobook.papers.tanda.experiment import (
    Budget,
    base_rows,
    control_rows,
    main_rows,
    noise_rows,
    rate_rows,
    shared_rows,
)
from echobook.papers.tanda.material import (
    flip_labels,
    generated_material,
    public_material,
)
from echobook.papers.tanda.method import TASK, Bench
from echobook.papers.tanda.own_data import rank_csv
from echobook.papers.tanda.starts import Starts
from echobook.papers.tanda.training import run_rows
from echobook.report.figures import figure_style, palette
from echobook.report.source import show_source
from echobook.text.encoder import SentenceEncoder
from echobook.text.finetuning import Settings, Task, fine_tune
from echobook.text.heads import Classifier, PairHead

# %% tags=["parameters", "hide-input"]
profile: str = "default"  # smoke, default, public or paper
seed: int = 0  # of heads, batches, sampled pairs and the generated world
corpus: str = "generated"  # "generated" (facts, encoder from scratch) or "public"
shared: float = 1.0  # generated: share of the target's wordings in transfer [0, 1]
grid: str = "0"  # generated only: further values of `shared`, commas between
transfer: int = 300  # updates of the transfer step [1, ]
adapt: int = 60  # updates of the adapt step [1, ]
batch_size: int = 32  # pairs of a batch [1, ]
small_transfer: int = 300  # the same three for the ablations [1, ]
small_adapt: int = 60  # [1, ]
small_batch_size: int = 32  # [1, ]
cap: int = 640  # public only: training pairs of the ablations' target [1, ]
max_tokens: int = 64  # longest pair, tokens [5, ]
tune_rate: float = 1e-3  # peak learning rate of the encoder, one step
transfer_rate: float = 1e-3  # the same, transfer step
adapt_rate: float = 1e-3  # the same, adapt step
small_rate: float = 1e-3  # the same, all steps from the small language model
controls: str = "shuffled,random-negatives"  # ablation rows, commas between
noise: str = "40"  # flipped training labels, percent, commas between
rates: str = "3e-3"  # further learning rates on the target, commas between
masked_steps: int = 60  # updates of the small language model [1, ]
width: int = 64  # features of encoders without MiniLM, a multiple of 64 [64, ]
bf16: bool = False  # bfloat16 in training and scoring
checkpoint: str = ""  # public only: folder or cached hub name; empty: bundled MiniLM

# %% tags=["hide-input"]
settings = {
    "corpus": corpus,
    "shared": shared,
    "grid": grid,
    "transfer": transfer,
    "adapt": adapt,
}
settings |= {
    "batch_size": batch_size,
    "small_transfer": small_transfer,
    "small_adapt": small_adapt,
}
settings |= {"small_batch_size": small_batch_size, "cap": cap, "max_tokens": max_tokens}
settings |= {"tune_rate": tune_rate, "small_rate": small_rate}
settings |= {
    "transfer_rate": transfer_rate,
    "adapt_rate": adapt_rate,
    "noise": noise,
    "rates": rates,
}
settings |= {
    "controls": controls,
    "masked_steps": masked_steps,
    "width": width,
    "bf16": bf16,
    "checkpoint": checkpoint,
}
chapter = Chapter("tanda", profile=profile, seed=seed, parameters=settings)

# %% [markdown]
# ## Method
#
# ```{figure} ../../book/_static/tanda-steps.svg
# :name: fig-tanda-steps
# :alt: From the pre-trained encoder one path leads over the transfer set to a transferred model and over the target set to TANDA; another leads straight over the target set to plain fine-tuning.
#
# Two ways to the target. Both take the same number of updates in all.
# ```
#
# **Letters.** $q$ a question, $c$ a candidate sentence, $y \in \{0, 1\}$ whether $c$ answers $q$, $B$ the pairs of a batch, $D$ the
# features of the encoder ($D = 384$, MiniLM). A cross-encoder reads both at once, `[CLS] q [SEP] c [SEP]`, and a head gives two
# logits $z$; with $p = \mathrm{softmax}(z)_1$ the loss is
#
# $$\mathcal{L} = -\frac1B \sum \big[ y \log p + (1 - y) \log (1 - p) \big] ,$$ (eq-tanda-loss)
#
# pair by pair, without class weights. Transfer takes $\theta_0$ (pre-trained) to $\theta_1$, adapt takes $\theta_1$ to $\theta_2$:

# %%
show_source(Budget.two_steps)

# %% [markdown]
# **A healthy head.** The usual head is a linear map on the encoder's *pooler*, which MiniLM's training never used and whose weights
# shrank. In a trial before this chapter such a head, trained at the encoder's small learning rate, left plain fine-tuning below the
# untrained cosine, so that any second step seemed to work wonders. Here each head has a larger learning rate of its own,
# and the rows use the means $u, v$ of the question's and the candidate's last states, scaled to length $\sqrt D$, mapped as
# $[u; v; |u - v|; u \odot v]$ to the logits. The pooler is shown as a control.

# %%
show_source(PairHead)

# %% [markdown]
# **The metric.** Candidates of a question are sorted by score. With $R$ right ones,
# $\mathrm{AP} = \frac1R \sum_k \mathrm{P@}k$ over the ranks $k$ of the right ones; MAP is the mean over questions, MRR that of
# one over the rank of the first right one. Questions without a right or without a wrong candidate are left out
# (*clean*). Right, wrong, right, wrong: $\mathrm{AP} = \frac12 (1 + \frac23) = \frac56$.

# %%
average_precision(np.array([0.9, 0.7, 0.5, 0.1]), np.array([1, 0, 1, 0]))

# %% [markdown]
# Equal scores are the trap. The authors' evaluation sorts (score, label) pairs, which puts right answers first among equals. Four
# candidates with one score are perfect under that rule; an order that does not look at labels gives less.

# %%
tied = both_tie_rules(["q"] * 4, np.zeros(4), np.array([1, 0, 1, 0]))
{rule: round(found.map, 4) for rule, found in tied.items()}

# %% [markdown]
# ## Data
#
# The `public` profile adapts to WikiQA (training questions that have an answer) and to TREC-QA (the hand-labelled training
# set, the development set of 69 questions). It transfers from
# questions on the sentences of SQuAD's development set: the own sentence is right, three from the same neighbourhood are
# wrong. The `default` profile needs no download: a generated world of towns, whose facts are asked in other words, and
# a two-layer encoder that starts from random weights. Its knob `shared` says how much of the target's wording the transfer set has.

# %% tags=["hide-input"]
percents = [int(part) for part in noise.split(",")]
merged = (small_transfer * small_batch_size, small_adapt * small_batch_size)
sizes = {"noise": percents, "merged": merged}
if corpus == "generated":
    material = generated_material(seed=seed, shared=shared, **sizes)
else:
    material = public_material(seed=seed, cap=cap, **sizes)
for used in material.uses:
    chapter.use(used)
cards = [[used.name, used.version, used.licence, used.total] for used in material.uses]
names = ["data set", "version", "licence", "rows"]
chapter.table(
    pd.DataFrame(cards, columns=names), name="data", caption="Data of this run."
)

# %% tags=["hide-input"]
first = material.targets[0]
shown = [
    "transfer",
    *(f"{target}{part}" for target in material.targets for part in ("-all", "-test")),
]
shown += [first, f"{first}-dev"]
counts = [
    [name, frame["question_id"].nunique(), len(frame), frame["label"].mean()]
    for name, frame in ((name, material.frames[name]) for name in shown)
]
chapter.table(
    pd.DataFrame(counts, columns=["frame", "questions", "pairs", "share right"]),
    name="counts",
    caption="Questions and pairs.",
)

# %% [markdown]
# One question for transfer with its candidates (of the public sets no row is shown here, for their licences):

# %% tags=["hide-input"]
sample = fact_world(seed=seed, shared=shared, transfer=2, target=2, held_out=2).rows(
    "transfer"
)
one = sample[sample["question_id"] == "t0"]
chapter.table(
    one[["question", "candidate", "label"]],
    name="sample",
    caption="A generated question.",
)

# %% [markdown]
# ## Experiment
#
# Every comparison gives both sides the same number of updates: plain fine-tuning (*ft*) takes those of transfer and adapt together on the
# target. *Transfer only* is the paper's $\theta_1$ and stops earlier. The main rows train on all pairs of the target; the ablations
# have a smaller budget and a sample of the first target's pairs, and are compared among themselves. Learning rates were
# chosen for both ways alike on WikiQA's development set with a seed that is not recorded. There is no early
# stopping: the last weights count.

# %%
starts = Starts(
    checkpoint or None,
    sentences=material.sentences,
    small_steps=masked_steps,
    small_width=width,
)
bench = Bench(material.frames, starts, seed=seed, max_tokens=max_tokens, bf16=bf16)
start = "random" if corpus == "generated" else "pretrained"
peaks = (tune_rate, transfer_rate, adapt_rate)
budget = Budget(transfer, adapt, *peaks, batch_size, start)
small = Budget(small_transfer, small_adapt, *peaks, small_batch_size, start)

# %% tags=["hide-input"]
named_rates = {text: float(text) for text in rates.split(",")}
rows = main_rows(material.targets, budget) | base_rows(first, small)
if (
    corpus == "generated" and budget == small
):  # the ablations' target is the whole target
    rows |= shared_rows(first, small)
own_rates = {
    "tune_rate": small_rate,
    "transfer_rate": small_rate,
    "adapt_rate": small_rate,
}
other_starts = {"reinitialised": small, "small": replace(small, **own_rates)}
every = control_rows(first, small, starts=other_starts, pooler=True)
wanted = [
    part
    for name in controls.split(",")
    for part in (name, f"ft-{name}", f"tanda-{name}")
]
rows |= {name: row for name, row in every.items() if name in wanted}
rows |= noise_rows(first, small, percents) | rate_rows(first, small, named_rates)

# %% tags=["hide-input"]
kept = cache_root() / "tanda" if corpus != "generated" else None
trained = {}
outcomes = run_rows(bench, rows, kept, told=trained.__setitem__)
seconds = sum(outcome.seconds for outcome in outcomes.values())
chapter.add_kept_cost(seconds - sum(outcome.seconds for outcome in trained.values()))
chapter.record(
    "cost/training-cpu-seconds", seconds, unit="s", n=len(outcomes), timing=True
)
weights = chapter.count_parameters(
    "cross-encoder", bench.fresh(rows[f"{first}/ft"].recipe)
)

# %% [markdown]
# Pairs that are longer than the limit are cut at the end of the longer side:

# %% tags=["hide-input"]
cut = {
    name: bench.encoded(name).truncated / len(material.frames[name]) for name in shown
}
chapter.records("truncated/", cut, unit="share")
chapter.table(
    pd.DataFrame([[name, cut[name]] for name in shown], columns=["frame", "share cut"]),
    name="truncated",
    caption="Pairs that were cut.",
)

# %% [markdown]
# ## Results

# %% tags=["hide-input"]
chapter.forest_plot()

# %% tags=["hide-input"]
encoder = SentenceEncoder() if corpus != "generated" else None
untrained, found = {}, {}
for target in material.targets:
    test = material.frames[f"{target}-test"]
    untrained[target] = baseline_scores(test, encoder.encode if encoder else None)
    scores = untrained[target] | {
        "transfer-only": outcomes["transfer-only"].scores[f"{target}-test"]
    }
    scores |= {
        name: outcomes[f"{target}/{name}"].scores[f"{target}-test"]
        for name in ("ft", "tanda")
    }
    found[target] = {name: ranking(test, values) for name, values in scores.items()}

# %% tags=["hide-input"]
for target, rankings in found.items():
    for name, result in rankings.items():
        chapter.record(f"map/{target}/{name}", result.map, unit="MAP", items=result.ap)
        chapter.record(f"mrr/{target}/{name}", result.mrr, unit="MRR", n=len(result.rr))
        chapter.record(f"p1/{target}/{name}", result.p1, unit="P@1", n=len(result.rr))
    for name in ("ft", "tanda", "transfer-only"):
        chapter.record(f"error/{target}/{name}", 1 - rankings[name].map, unit="1 - MAP")


# %% tags=["hide-input"]
def headline(target):
    """The untrained rows, transfer only, plain fine-tuning and TANDA on one target."""
    main = [*untrained[target], "transfer-only", "ft", "tanda"]
    return table({name: found[target][name] for name in main}).assign(target=target)


chapter.table(
    pd.concat([headline(target) for target in material.targets]),
    name="main",
    caption="This run: clean test questions, label-blind ties. random: expected value.",
)


# %% tags=["hide-input"]
def seen(metric):
    """A recorded mean with its interval over seeds, as text."""
    found = chapter.recorded(metric)
    return (
        "–"
        if found is None
        else f"{found.mean:.3f} [{found.low:.3f}, {found.high:.3f}]"
    )


def recorded_table(rows, metrics):
    """Recorded means of several metrics, one row a name."""
    columns = {
        label: [seen(f"{metric}/{name}") for name in rows]
        for label, metric in metrics.items()
    }
    return pd.DataFrame({"row": rows} | columns)


# %% tags=["hide-input"]
main_names = ["random", "idf-overlap", "bm25", "cosine", "transfer-only", "ft", "tanda"]
public = {"WikiQA MAP": "map/wikiqa", "WikiQA MRR": "mrr/wikiqa"}
public |= {"TREC-QA MAP": "map/trecqa", "TREC-QA MRR": "mrr/trecqa"}
caption = "Recorded on the public sets: mean and 95 % t interval over seeds; "
caption += "rows without training do not vary."
chapter.table(recorded_table(main_names, public), name="main-recorded", caption=caption)

# %% [markdown]
# (tanda-c1)=
# **C1** Transfer, then adapt, beats fine-tuning that sees the target as often: {verdict}`tanda:C1` · withdrawn until recorded so.
#
# (tanda-c1b)=
# **C1b** The same at equal updates in all: {verdict}`tanda:C1b` · WikiQA MAP
# {result}`tanda:map/wikiqa/tanda|.3f` against {result}`tanda:map/wikiqa/ft|.3f`, TREC-QA {result}`tanda:map/trecqa/tanda|.3f`
# against {result}`tanda:map/trecqa/ft|.3f`. Fine-tuning sees the target three times as often here, the transfer set never.
#
# :::{warning}
# **Contamination.** MiniLM's published training list holds question-answer pairs, among them Natural Questions (the source of the
# paper's transfer set) and SQuAD's training set. Cosine alone, without any training of ours, reaches
# {result}`tanda:map/wikiqa/cosine|.3f` on WikiQA and {result}`tanda:map/trecqa/cosine|.3f` on TREC-QA. Plain fine-tuning here therefore
# starts from an encoder that has been transferred once. Rows from a less exposed start are among the controls.
# :::
#
# (tanda-c2)=
# **C2** Adapting improves on the transferred model: {verdict}`tanda:C2` · transfer only reaches
# {result}`tanda:map/wikiqa/transfer-only|.3f` and {result}`tanda:map/trecqa/transfer-only|.3f`. The first step is cut short here: on WikiQA it
# stays below the untrained cosine.
#
# (tanda-c3)=
# **C3** The error is half that of the best earlier systems: {verdict}`tanda:C3` · the paper's half is against the *best earlier systems*, and so holds a
# larger encoder too ({printed}`tanda:C3`). Against fine-tuning the same encoder, 1 − MAP goes from {result}`tanda:error/wikiqa/ft|.3f` to
# {result}`tanda:error/wikiqa/tanda|.3f` on WikiQA and from {result}`tanda:error/trecqa/ft|.3f` to
# {result}`tanda:error/trecqa/tanda|.3f` on TREC-QA.

# %% [markdown]
# :::{note}
# **Our reading.** With a healthy head and as many updates in all, the interval of the recorded difference between the two ways holds zero on
# both sets, and a difference that would matter: whether updates on the target are worth as much as updates on the transfer set is open.
# The paper's question, transfer on top of the same target updates, is not recorded yet.
# :::

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-tanda-questions", "caption": "Average precision of each test question of the first target in this run, plain fine-tuning against TANDA; dots above the line are questions that TANDA ranks better."}, "image": {"alt": "Scatter plot of average precision by question, plain fine-tuning on the horizontal and TANDA on the vertical axis, with the diagonal."}}
with figure_style():
    figure, axes = plt.subplots(figsize=(4.2, 4.2))
    axes.plot([0, 1], [0, 1], color=palette("black")[0], linewidth=1)
    axes.scatter(found[first]["ft"].ap, found[first]["tanda"].ap, s=12, alpha=0.5)
    axes.set(
        xlabel="average precision, fine-tuned",
        ylabel="average precision, TANDA",
        aspect="equal",
    )
plt.show()

# %% [markdown]
# ### The tie rule
#
# Coarse scores tie, and the rule for ties then decides the figure. Idf overlap is such a score; so are arg-max labels,
# which one re-run reported in the authors' repository had used in place of probabilities.

# %% tags=["hide-input"]
test = material.frames[f"{first}-test"]
coarse = {
    "idf-overlap": untrained[first]["idf-overlap"],
    "bm25": untrained[first]["bm25"],
}
coarse["tanda"] = outcomes[f"{first}/tanda"].scores[f"{first}-test"]
coarse["tanda-arg-max"] = (coarse["tanda"] > 0).astype(float)
lines = []
for name, values in coarse.items():
    rules = [
        ranking(test, values, ties=rule) for rule in ("expected", "positive-first")
    ]
    chapter.record(
        f"ties/{name}/label-blind", rules[0].map, unit="MAP", n=len(rules[0].ap)
    )
    chapter.record(
        f"ties/{name}/right-first", rules[1].map, unit="MAP", n=len(rules[1].ap)
    )
    lines.append([name, rules[0].map, rules[1].map, rules[0].contested])
heads = [
    "row",
    "MAP, label-blind",
    "MAP, right first",
    "questions with a tie of right and wrong",
]
chapter.table(
    pd.DataFrame(lines, columns=heads),
    name="ties",
    caption="One set of scores, two tie rules.",
)

# %% [markdown]
# Recorded on WikiQA: idf overlap {result}`tanda:ties/idf-overlap/label-blind|.3f` label-blind and
# {result}`tanda:ties/idf-overlap/right-first|.3f` with the right one first; TANDA's arg-max labels
# {result}`tanda:ties/tanda-arg-max/label-blind|.3f` and {result}`tanda:ties/tanda-arg-max/right-first|.3f`, its
# probabilities {result}`tanda:ties/tanda/label-blind|.4f` and {result}`tanda:ties/tanda/right-first|.4f`.
#
# (tanda-k1)=
# Half precision makes distinct candidates tie now and then: a fault of the recorded runs, to be mended before the next.
#
# ## Ablations and controls
#
# All on the first target, with the small budget, judged on its development set (which is half as large as the test set, and had
# a say in the learning rates). The first rows of the table below, *ft* and *tanda*, are those to compare with.

# %% tags=["hide-input"]
ablated = {
    name: row
    for name, row in rows.items()
    if "/" not in name and name != "transfer-only"
}
dev_name = f"{first}-dev"
dev = material.frames[dev_name]
small_found = {name: ranking(dev, outcomes[name].scores[dev_name]) for name in ablated}
for name, result in small_found.items():
    chapter.record(f"ablation/map/{name}", result.map, unit="MAP", items=result.ap)
    chapter.record(f"ablation/mrr/{name}", result.mrr, unit="MRR", n=len(result.rr))

# %% tags=["hide-input"]
listed = [name for name in small_found if "noise" not in name and "rate" not in name]
caption = "This run, development set. Starts and heads stand in pairs, ft and tanda."
chapter.table(
    table({name: small_found[name] for name in listed}),
    name="controls",
    caption=caption,
)

# %% tags=["hide-input"]
caption = "Recorded on WikiQA's development set, small budget: "
caption += "mean and 95 % t interval over seeds."
pair = {"MAP": "ablation/map", "MRR": "ablation/mrr"}
named = ["ft", "tanda", "merged", "reversed", "shuffled", "random-negatives"]
named += [
    f"{way}-{part}"
    for part in ("reinitialised", "small", "pooler")
    for way in ("ft", "tanda")
]
chapter.table(recorded_table(named, pair), name="controls-recorded", caption=caption)

# %% [markdown]
# (tanda-c4)=
# **C4** Results depend less on the learning rate after transfer: {verdict}`tanda:C4` · standard deviation of dev MAP over the
# rates, {result}`tanda:stability/spread/tanda|.3f` for TANDA and {result}`tanda:stability/spread/ft|.3f` for plain fine-tuning. The
# rate was varied over more than twice as many target updates in plain fine-tuning, so that the figures do not tell. Less
# spread is not a better level either: at this budget TANDA is ahead at the lowest rate only.

# %% tags=["hide-input"]
main_rate = {"ft": tune_rate, "tanda": adapt_rate}
stability = {}
for way in ("ft", "tanda"):
    tried = {main_rate[way]: small_found[way].map}
    tried |= {
        rate: small_found[f"{way}-rate-{text}"].map
        for text, rate in named_rates.items()
    }
    stability[way] = dict(sorted(tried.items()))
    for number, value in enumerate(stability[way].values()):
        chapter.record(f"stability/dev/{way}-{number}", value, unit="dev MAP")
    chapter.record(
        f"stability/spread/{way}",
        np.std(list(stability[way].values()), ddof=1),
        unit="dev MAP",
    )
chapter.table(
    pd.DataFrame(stability).rename_axis("rate").reset_index(),
    name="rates",
    digits={"rate": 5, "ft": 3, "tanda": 3},
    caption="This run: dev MAP at each peak learning rate on the target.",
)

# %% tags=["hide-input"]
tried = {"2e-5": "-rate-2e-5", "5e-5": "-rate-5e-5", "1e-4": "", "3e-4": "-rate-3e-4"}
lines = [
    [rate, *(seen(f"ablation/map/{way}{part}") for way in ("ft", "tanda"))]
    for rate, part in tried.items()
]
caption = "Recorded on WikiQA's development set: MAP at each rate, "
caption += "mean and 95 % t interval over seeds."
chapter.table(
    pd.DataFrame(lines, columns=["rate", "ft", "tanda"]),
    name="rates-recorded",
    caption=caption,
)

# %% [markdown]
# (tanda-c5)=
# **C5** Wrong labels harm less after transfer: {verdict}`tanda:C5` · plain fine-tuning has more than twice as many updates on the wrong
# labels, which by itself costs more. Share of MAP lost with a fifth of the target's training labels flipped,
# {result}`tanda:noise/loss-20/tanda|.3f` for TANDA and {result}`tanda:noise/loss-20/ft|.3f` for plain fine-tuning; with two fifths,
# {result}`tanda:noise/loss-40/tanda|.3f` and {result}`tanda:noise/loss-40/ft|.3f`; with a tenth,
# {result}`tanda:noise/loss-10/tanda|.3f` and {result}`tanda:noise/loss-10/ft|.3f`. At this small budget TANDA starts lower with clean labels
# ({result}`tanda:ablation/map/tanda|.3f` against {result}`tanda:ablation/map/ft|.3f`), and in the mean, though not in every seed, it is ahead
# with wrong ones: with a fifth flipped
# {result}`tanda:ablation/map/tanda-noise-20|.3f` against {result}`tanda:ablation/map/ft-noise-20|.3f`, with two fifths
# {result}`tanda:ablation/map/tanda-noise-40|.3f` against {result}`tanda:ablation/map/ft-noise-40|.3f`.

# %% tags=["hide-input"]
for percent in percents:
    for way in ("ft", "tanda"):
        lost = relative_loss(
            small_found[way].map, small_found[f"{way}-noise-{percent}"].map
        )
        chapter.record(f"noise/loss-{percent}/{way}", lost, unit="share of MAP")

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-tanda-noise", "caption": "Dev MAP of this run by the share of flipped training labels of the target."}, "image": {"alt": "Two lines of dev MAP over the percentage of flipped labels, one for plain fine-tuning and one for TANDA."}}
with figure_style():
    figure, axes = plt.subplots()
    for way, style in (("ft", "o-"), ("tanda", "s--")):
        line = [
            small_found[f"{way}{part}"].map
            for part in ("", *(f"-noise-{p}" for p in percents))
        ]
        axes.plot(
            [0, *percents],
            line,
            style,
            label={"ft": "fine-tuned", "tanda": "TANDA"}[way],
        )
    axes.set(xlabel="flipped training labels (percent)", ylabel="dev MAP")
    axes.legend()
plt.show()

# %% [markdown]
# (tanda-c6)=
# **C6** The transfer set's labels matter: {verdict}`tanda:C6` · true ones {result}`tanda:ablation/map/tanda|.3f`, permuted ones
# {result}`tanda:ablation/map/shuffled|.3f`.
#
# (tanda-c6b)=
# **C6b** Hard negatives beat random ones: {verdict}`tanda:C6b` · with negatives from anywhere
# {result}`tanda:ablation/map/random-negatives|.3f`, better in every seed, but a few
# hundred pairs are too few to learn from fine distinctions. The paper's transfer set is thousands of times larger.
#
# (tanda-c7)=
# **C7** Two steps beat one step on the merged sets: {verdict}`tanda:C7` · merged {result}`tanda:ablation/map/merged|.3f`, the
# two sets in reverse order {result}`tanda:ablation/map/reversed|.3f`.

# %% [markdown]
# **Starts.** With the top two layers drawn anew, plain fine-tuning reaches {result}`tanda:ablation/map/ft-reinitialised|.3f` and TANDA
# {result}`tanda:ablation/map/tanda-reinitialised|.3f`, against {result}`tanda:ablation/map/ft|.3f` and
# {result}`tanda:ablation/map/tanda|.3f` from the layers as they were: what these layers had learned of questions and answers is not
# what the figures rest on.
#
# **A start that has seen no pair**: a two-layer language model, trained here to fill masked words of the transfer set's sentences,
# with a learning rate of its own that was set beforehand and not tuned. Plain fine-tuning reaches {result}`tanda:ablation/map/ft-small|.3f` and TANDA
# {result}`tanda:ablation/map/tanda-small|.3f`. Both stay far
# below the rows from MiniLM, and from this start too the first step costs more in the mean, at this budget, than it brings.
#
# **The pooler.** With the usual head and the head's own learning rate, plain fine-tuning reaches
# {result}`tanda:ablation/map/ft-pooler|.3f` and TANDA {result}`tanda:ablation/map/tanda-pooler|.3f`. The pooler does not fail plain fine-tuning
# here; the trial had changed head and learning rate together, and the rate may have done more of the harm.
#
# **The generated world.** Where the target shares no wording with the transfer set, nothing obliges transfer to help, and updates
# spent on it are missing on the target. What the knob does:

# %% tags=["hide-input"]
knob = {}
if corpus == "generated":
    knob[shared] = {
        name: found[first][name].map for name in ("transfer-only", "ft", "tanda")
    }
    for value in (float(part) for part in grid.split(",")):
        world = generated_material(seed=seed, shared=value, **sizes)
        chapter.use(world.uses[0])
        trial = Bench(world.frames, starts, seed=seed, max_tokens=max_tokens, bf16=bf16)
        knob[value] = {
            name.removeprefix("facts/"): ranking(
                world.frames["facts-test"], outcome.scores["facts-test"]
            ).map
            for name, outcome in run_rows(
                trial, main_rows(world.targets, budget), None
            ).items()
        }
for value, figures in sorted(knob.items()):
    chapter.records(f"knob/{round(100 * value)}/", figures, unit="MAP")

# %% tags=["hide-input"]
knob_frame = pd.DataFrame(knob).T.sort_index().rename_axis("shared").reset_index()
empty = "The knob belongs to the generated world, which this run did not use."
chapter.table(
    knob_frame, name="knob", caption="Test MAP by shared wording." if knob else empty
)

# %% tags=["hide-input"]
chapter.claims_table()

# %% [markdown]
# ## Where this departs from the paper
#
# - **Not read**: the body's tables, among them the rows with the base model, the noise and the stability figures. Where a claim
#   shows no printed figure, we had none to show.
# - **Encoder**: MiniLM, six layers, twenty-three million parameters, in place of BERT and RoBERTa up to the large ones. The paper's
#   error cut is against earlier systems with smaller encoders, so that a part of it is the encoder's; which part was not measured.
# - **Transfer set**: one quarter right, from SQuAD's sentences, a few thousand pairs, in place of ASNQ's twenty million. The negatives are
#   neighbours; ASNQ's kinds of negatives cannot be told apart without answer spans. The sentences are lower-cased.
# - **Budget**: main rows have 150 updates of 32 pairs for transfer and 75 to adapt, so 225 for plain fine-tuning, about one pass over
#   the target. Ablations have 40 and 30 of 16 pairs and 480 pairs of WikiQA. Five seeds. The paper trains for several passes
#   over far more. A result here says what a *small* second transfer does, not what ASNQ does.
# - **Seeds**: the figures of the first three seeds were published before the last two were added, with the same rows, settings and
#   criteria, but for C4: it then read three learning rates, and reads a fourth, between two of them, since (with three it would be
#   judged the same). New for all five seeds
#   are that rate, the rows with a tenth of wrong labels and those of the small language model; no claim reads the latter two.
# - **What was seen before**: the main rows first had a small budget. Test figures of one seed and of a part of another had been
#   seen, all trained rows below cosine, when it was raised; the main figures of one seed had been seen, and none of the
#   ablations, when these were cut and moved to the development set to save time. No threshold was changed, but what the tests
#   of C5 to C7 read became figures of the development set by that move.
# - **Stability** (C4) is the spread over four learning rates within a seed, at the small budget; not a
#   full grid of rates and seeds.
# - **Learning rates**: the paper adapts at a rate far below the transfer rate. On WikiQA's dev set (one seed that is not recorded) a
#   lower rate was worse for adapting at this budget, so all three rates are equal.
# - **No dropout, no early stopping, no warm-up search**; bfloat16; pairs cut at 64 tokens (shares in the table above).
# - **TREC-QA**: trained on the hand-labelled set, not on the automatically labelled one, and judged on 68 questions, where a
#   difference of three points is within one standard error.
# - **Idf overlap**: a much higher figure than ours can be had for it by putting right answers first among ties. The
#   files list right candidates first, so that a stable sort does so by accident.
# - **Rows kept**: a row is trained once and kept; the recorded run read rows that had been trained shortly before. The rows of the
#   first three seeds were trained before the tokeniser was changed to read each pair once. The change left every token of their
#   frames as it was, and the second seed, trained again as a whole with the new code and nothing kept, gave every
#   metric and every score of a question to the last bit.
#
# ## Adapt it
#
# ### Exercise 1: your own questions
#
# `rank_csv` reads a CSV with the columns question, candidate and label, writes a ranked one, and returns MAP. Put your own file
# in place of the one below, and set `mine` to the result of the call.

# %% tags=["exercise"]
folder = Path(tempfile.mkdtemp())
(folder / "mine.csv").write_text(
    "question,candidate,label\n"
    "who founded barton ?,anna miller laid the first stone of barton .,1\n"
    "who founded barton ?,traders buy glass in barton .,0\n"
    "what does kelwick export ?,"
    "most of the wool in the country is shipped from kelwick .,1\n"
    "what does kelwick export ?,kelwick has existed since 1404 .,0\n"
)
brief = Budget(6, 4, *peaks, small_batch_size, start).two_steps("transfer", first)
model = bench.train(rows["tanda"].recipe if corpus == "generated" else brief)
mine = None  # your call here

# %% tags=["exercise"]
done = mine is not None and len(mine.frame) == 4 and mine.result is not None
print(
    "pass"
    if done
    else "not yet: `mine` should be what rank_csv returns for folder / 'mine.csv'"
)

# %% [markdown]
# :::{admonition} Solution
# :class: dropdown
# `mine = rank_csv(folder / "mine.csv", folder / "ranked.csv", bench, model)`; MAP is `mine.result.map`.
# :::

# %% tags=["solution", "hide-cell"]
mine = rank_csv(folder / "mine.csv", folder / "ranked.csv", bench, model)
caption = f"Ranked, MAP {mine.result.map:.2f}; {mine.truncated} pairs were cut."
chapter.table(
    mine.frame[["question", "candidate", "label", "rank"]], name="mine", caption=caption
)

# %% [markdown]
# ### Exercise 2: a head of your own
#
# A head maps the encoder's outputs and the batch to logits `(B, 2)`, and has its linear map in `output`. Write one that sees the
# first token's last state only, without the pooler.


# %% tags=["exercise"]
class MyHead(nn.Module):
    def __init__(self, features):
        super().__init__()
        self.output = nn.Linear(features, 2)

    def forward(self, outputs, batch):
        return self.output(
            outputs.last_hidden_state.float().mean(dim=1)
        )  # (B, 2); change this line


# %% tags=["exercise"]
states = torch.randn(2, 5, 8, generator=torch.Generator().manual_seed(0))
changed = states.clone()
changed[:, 1:] += 1.0
mine_head = MyHead(8)
same = [
    mine_head(type("Outputs", (), {"last_hidden_state": s}), None)
    for s in (states, changed)
]
print(
    "pass"
    if torch.equal(*same)
    else "not yet: the logits should depend on the first token's state only"
)

# %% [markdown]
# :::{admonition} Solution
# :class: dropdown
# `return self.output(outputs.last_hidden_state.float()[:, 0])`. The next cell trains it for a few updates.
# :::


# %% tags=["solution", "hide-cell"]
class FirstToken(MyHead):
    def forward(self, outputs, batch):
        return self.output(outputs.last_hidden_state.float()[:, 0])


built = starts.encoder(start, seed=seed)
swapped = Classifier(built, {TASK: FirstToken(built.config.hidden_size)})
labels = material.frames[first]["label"].to_numpy(dtype=np.int64, copy=True)
task = Task(bench.encoded(first), labels)
fine_tune(
    swapped, {TASK: task}, Settings(steps=2, batch_size=8, learning_rate=tune_rate)
).losses[-1]

# %% [markdown]
# ### Exercise 3: one-sided noise
#
# `flip_labels` turns labels of both classes over, so that most of the wrong labels are false positives. Make `one_sided` hide
# half of the right answers in place of that: no zero becomes a one.

# %% tags=["exercise"]
right = (np.arange(20) % 4 == 0).astype(np.int64)
one_sided = flip_labels(right, 0.5, seed=seed)  # change this line

# %% tags=["exercise"]
fair = (
    one_sided.sum() == right.sum() // 2 + right.sum() % 2
    and not one_sided[right == 0].any()
)
print(
    "pass"
    if fair
    else "not yet: half of the ones (rounded up) should stay, and every zero"
)

# %% [markdown]
# :::{admonition} Solution
# :class: dropdown
# Flip only among the ones: `one_sided = right.copy()`, then `one_sided[right == 1] = flip_labels(right[right == 1], 0.5, seed=seed)`.
# :::

# %% tags=["solution", "hide-cell"]
one_sided = right.copy()
one_sided[right == 1] = flip_labels(right[right == 1], 0.5, seed=seed)
int(right.sum()), int(one_sided.sum())

# %% [markdown]
# ## What did we learn?
#
# An encoder that has seen question-answer pairs has been transferred once. At an equal number of updates in all, a small second
# transfer comes out level with plain fine-tuning, which sees the target three times as often: WikiQA MAP is
# {result}`tanda:map/wikiqa/tanda|.3f` with it and {result}`tanda:map/wikiqa/ft|.3f` without. The labels of the transfer set
# matter: with them permuted, MAP falls from {result}`tanda:ablation/map/tanda|.3f` to {result}`tanda:ablation/map/shuffled|.3f`.
# What looks like robustness to wrong labels may come from having seen them less often, so match the exposure first and compare
# then. And settle the rule for ties, which alone moves the same scores from {result}`tanda:ties/tanda-arg-max/label-blind|.2f`
# to {result}`tanda:ties/tanda-arg-max/right-first|.2f`.

# %% tags=["hide-input"]
chapter.finish()
