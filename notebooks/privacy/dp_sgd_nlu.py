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
# # Efficient DP-SGD for language understanding
#
# ## In one minute
#
# A model that was trained on what people said can give away that they said it. Differential privacy bounds that: clip what one
# example can do to a gradient, then add noise. Clipping example by example is slow on large models, and eDP-SGD {cite}`dupuy2022dpsgd`
# clips the *mean* gradient of one micro-batch a device in its place, scales the clipping layer by layer, and lets the noise decay
# from epoch to epoch. The paper reports competitive accuracy in nearly the time of SGD, and attacks that fail more often although
# the formal budget is loose.

# %% tags=["remove-input"]
from echobook.report.chapter import Chapter

Chapter("dp-sgd-nlu").verdict_box()

# %% [markdown]
# :::{important}
# We read the abstract, the first page and an outline of the mechanism's three parts. The algorithm box, the sizes and all tables were not
# read: equations (1) and (2) below are our specification of these parts, and no figure of the paper stands beside ours.
# :::

# %% tags=["hide-input"]
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import pandas as pd
import seaborn as sns
import torch

from echobook.data.cache import cache_root
from echobook.papers.dp_sgd_nlu.baselines import Plain
from echobook.papers.dp_sgd_nlu.experiment import (
    Bench,
    BiLSTMStart,
    TopLayerStart,
    equal_epsilon_rows,
    standard_rows,
    stopped_epoch,
)
from echobook.papers.dp_sgd_nlu.keeping import Keeper
from echobook.papers.dp_sgd_nlu.material import load_material
from echobook.papers.dp_sgd_nlu.method import MicroBatches
from echobook.papers.dp_sgd_nlu.model import joint_losses
from echobook.papers.dp_sgd_nlu.own_data import train_privately
from echobook.papers.dp_sgd_nlu.training import Schedule
from echobook.privacy.accounting import Phase, epsilon
from echobook.privacy.audit import epsilon_lower_bound, gaussian_scores
from echobook.privacy.mechanism import Clipping, sum_of_clipped_means
from echobook.privacy.taps import LinearLayer, Taps, example_norms
from echobook.report.figures import figure_style
from echobook.report.source import show_source

# %% tags=["parameters", "hide-input"]
profile: str = "default"  # smoke, default, public or paper
seed: int = 0  # of the deal, weights, lots, noise and canaries
corpus: str = "commands"  # commands (generated), nlu_eval_hwu64, snips or atis
start: str = "bilstm"  # bilstm, or top-layer (MiniLM's top layer is tuned)
size: int = 250  # members; as many others and dev utterances [40, ]
test: int = 250  # test utterances [40, ]
canaries: int = 12  # members with a wrong intent [1, ]
epochs: int = 12  # passes over the members [1, ]
lot: int = 25  # expected utterances in a lot [1, ]
parts: int = 5  # G, micro-batches in a lot [1, ]
bound: float = 0.3  # C, clipping bound
noise: float = 0.02  # sigma_0, noise over bound, in the first epoch
middle: float = 2.5  # noise of the row mid-noise, over the main row's
decay: float = 0.9  # gamma, factor of the noise from epoch to epoch (0, 1]
rate_plain: float = 1e-2  # learning rate of SGD
rate_clipped: float = 1e-2  # the same, clipping without noise
rate_noisy: float = 1e-2  # the same, rows with noise
hidden: int = 48  # bilstm only: states of each way [1, ]
second: str = ""  # corpus of a second model, a biLSTM; none if empty
second_epochs: int = 20  # its passes over its members [1, ]
second_plain: float = 1e-2  # its learning rate with SGD
second_noisy: float = 1e-2  # its learning rate with noise
shadows: int = 4  # shadow models of the stronger attack, even [4, ]
audit_runs: int = 4000  # runs on each side of the audit [40, ]

# %% tags=["hide-input"]
settings = {"corpus": corpus, "start": start, "size": size, "test": test}
settings |= {"canaries": canaries, "epochs": epochs, "lot": lot, "parts": parts}
settings |= {"bound": bound, "noise": noise, "decay": decay, "hidden": hidden}
settings |= {"rate_plain": rate_plain, "rate_clipped": rate_clipped}
settings |= {"rate_noisy": rate_noisy, "shadows": shadows, "audit_runs": audit_runs}
settings |= {"second": second, "second_epochs": second_epochs, "middle": middle}
settings |= {"second_plain": second_plain, "second_noisy": second_noisy}
chapter = Chapter("dp-sgd-nlu", profile=profile, seed=seed, parameters=settings)

# %% [markdown]
# ## Method
#
# **Letters.** A lot of examples is drawn, each with probability $q$. $g_i$ is the gradient of example $i$, $C$ the clipping bound, $\sigma$ the noise
# multiplier, $G$ the number of micro-batches $B_j$, $l$ a layer, $e$ an epoch. DP-SGD {cite}`abadi2016deep` clips every $g_i$ to norm $C$ and adds
# $\mathcal{N}(0, \sigma^2 C^2 I)$ to the sum. eDP-SGD clips the mean of each micro-batch:
#
# $$ m_j = \frac{1}{|B_j|} \sum_{i \in B_j} g_i, \qquad \bar m_j^{(l)} = m_j^{(l)} \min\Big(1, \frac{C_l}{\lVert m_j^{(l)} \rVert}\Big), \qquad C_l = C \sqrt{\frac{w_l}{\sum_k w_k}} $$ (eq-dp-clip)
#
# $$ \tilde g = \frac1G \Big( \sum_j \bar m_j + \mathcal{N}(0, \sigma_e^2 C^2 I) \Big), \qquad \sigma_e = \sigma_0 \gamma^e . $$ (eq-dp-noise)
#
# Equation {eq}`eq-dp-clip` in code; a micro-batch costs one ordinary backward pass:

# %%
show_source(sum_of_clipped_means)

# %% [markdown]
# **What one example can do.** It moves one clipped example by at most $C$. A clipped *mean* it can turn round: from $+C$ without it to $-C$ with it. So the
# sum moves by up to $2C$, and noise $\sigma C$ counts as $\sigma / 2$. A toy with one weight shows it: the first example pulls down
# a little, the second up with all its might.

# %%
weight = torch.nn.Linear(1, 1, bias=False)
pull = torch.tensor([-1.0, 1e6])


def toy(numbers):
    return weight(torch.ones(len(numbers), 1)).squeeze(1) * pull[numbers]


both, one = torch.tensor([0, 1]), torch.tensor([0])
clip = Clipping(0.5)
clipped = [sum_of_clipped_means(weight, toy, [x], clip)["weight"] for x in (both, one)]
float((clipped[0] - clipped[1]).abs())  # 2 C

# %% [markdown]
# **Clipping by example without the cost.** The norm of an example's gradient can be had from what a layer read ($a$) and what reached it backwards ($d$), without
# forming the gradient: $\lVert \sum_t d_t a_t^\top \rVert^2 = \sum_{t, t'} (a_t \cdot a_{t'})(d_t \cdot d_{t'})$.

# %%
show_source(LinearLayer.squared_norms)

# %% [markdown]
# ## Data
#
# The `public` profile deals HWU64 anew for every seed: members, as many others that are not trained on, dev and test utterances. The
# `default` profile generates commands. A few members are **canaries**: their intent is drawn at random, so that a model can only know it by heart.

# %% tags=["hide-input"]
material = load_material(corpus, size=size, test=test, canaries=canaries, seed=seed)
chapter.use(material.use)
counts = [[part, len(rows)] for part, rows in material.parts.items()]
counts += [["intents", len(material.intents)], ["tags", len(material.tags)]]
chapter.table(
    pd.DataFrame(counts, columns=["what", "number"]),
    name="data",
    caption=f"{material.use.name}: {material.use.licence}.",
)

# %% tags=["hide-input"]
rows = [
    [" ".join(row.words), " ".join(row.tags), row.intent]
    for row in material.parts["members"][:3]
]
if corpus == "snips":
    rows = []
chapter.table(
    pd.DataFrame(rows, columns=["words", "tags", "intent"]),
    name="rows",
    caption="Three members (none where the licence is unclear).",
)

# %% [markdown]
# ## Experiment
#
# All rows start from the same weights and see the same lots; Adam sees only the gradient that the row gives it. Each kind of row has
# the learning rate that was best on dev utterances of pilot seeds, from one grid. The accounting takes $\delta = 1 / (2 N)$.

# %%
kinds = {"bilstm": BiLSTMStart, "top-layer": TopLayerStart}
options = {"hidden": hidden} if start == "bilstm" else {}
begin = kinds[start](material, seed=seed, **options)
schedule = Schedule(epochs, lot, rate_plain)
bench = Bench(material, begin, schedule, seed)
delta = 1 / (2 * size)
main = MicroBatches(parts, bound, noise, decay)
estimators = standard_rows(parts=parts, noise=noise, bound=bound, decay=decay)
estimators["mid-noise"] = replace(main, multiplier=middle * noise)
estimators |= equal_epsilon_rows(bench, main, delta=delta)

# %%
rates = dict.fromkeys(estimators, rate_noisy)
rates |= {"sgd": rate_plain, "clip-only": rate_clipped}
watched = ("sgd", "dp-sgd", "edp-sgd")  # after each epoch
kept = cache_root() / "dp-sgd-nlu" if profile in ("public", "paper") else None
keeper = Keeper(bench, kept, chapter.add_kept_cost)
outcomes = {
    name: keeper.run(estimator, rate=rates[name], each_epoch=name in watched)
    for name, estimator in estimators.items()
}

# %% [markdown]
# **A second model on a second corpus.** In the `public` profile a biLSTM learns SNIPS from random weights. Nothing in it is public beforehand: all that
# it knows, members have told it.

# %% tags=["hide-input"]
lstm_rows, more = {}, None
if second:
    more = load_material(second, size=size, test=test, canaries=canaries, seed=seed)
    chapter.use(more.use)
    passes = Schedule(second_epochs, lot, second_plain)
    lstm = Bench(more, BiLSTMStart(more, seed=seed), passes, seed)
    chapter.count_parameters("biLSTM", lstm.start.build())
    lstm_keeper = replace(keeper, bench=lstm)
    for name in ("sgd", "dp-sgd", "edp-sgd"):
        rate = second_plain if name == "sgd" else second_noisy
        lstm_rows[f"second-{name}"] = lstm_keeper.run(estimators[name], rate=rate)

# %% tags=["hide-input"]
model = begin.build()
chapter.count_parameters("tagger", model)
first = begin.parts["members"].batch(range(8))
with Taps(model) as taps:
    layers = taps.layers(joint_losses(model(first), first))
ghost = torch.stack([n.pow(2) for n in example_norms(layers).values()]).sum(0).sqrt()
single = []
for number in range(8):
    alone = begin.parts["members"].batch([number])
    weights = [w for w in model.parameters() if w.requires_grad]
    parts_of = torch.autograd.grad(joint_losses(model(alone), alone).sum(), weights)
    single.append(torch.sqrt(sum(part.pow(2).sum() for part in parts_of)))
gap = ((ghost - torch.stack(single)).abs() / torch.stack(single)).max()
chapter.record("check/ghost-gap", float(gap), unit="relative", n=8)

# %% tags=["hide-input"]
anchor = [Phase(1.0, 0.01, 1000)]
chapter.record(
    "check/rdp-gap", abs(epsilon(anchor, delta=1e-5) - 2.1014), unit="epsilon"
)
prv = epsilon(anchor, delta=1e-5, accountant="prv")
chapter.record("check/prv-gap", abs(prv - 1.8384), unit="epsilon")


# %% tags=["hide-input"]
def record_look(name, look):
    """Record what an attacker gets from a model."""
    chapter.record(f"dev/{name}", look.dev, unit="accuracy", n=size)
    chapter.record(f"auc/{name}", look.attack.auc, unit="AUC", n=2 * size)
    chapter.record(f"advantage/{name}", look.attack.advantage, unit="share")
    chapter.record(f"tpr/{name}", look.attack.tpr_at_1, unit="TPR at 1 % FPR")
    bits = look.exposure.mean()
    chapter.record(f"exposure/{name}", bits, unit="bits", n=canaries)


for name, outcome in (outcomes | lstm_rows).items():
    record_look(name, outcome.last)
    chapter.record(f"accuracy/{name}", outcome.hits.mean(), unit="accuracy", n=test)
    chapter.record(f"f1/{name}", outcome.f1, unit="F1", n=test)
    chapter.record(f"time/{name}", outcome.milliseconds, unit="ms", timing=True)

# %% tags=["hide-input"]
for name, estimator in estimators.items():
    if estimator.multiplier:
        spent = bench.epsilon(estimator, delta=delta)
        chapter.record(f"epsilon/{name}", spent, unit="epsilon")

# %% [markdown]
# ## Results
#
# **Stopping, the control.** SGD can leak less simply by learning less. *Stopped* is SGD at the first epoch that is as accurate on dev
# utterances as eDP-SGD is in the end; *stopped-mid* the same for *mid-noise*, eDP-SGD with more noise. *Early* is eDP-SGD itself at the
# first epoch that is as accurate as its last: it too may stop.


# %% tags=["hide-input"]
def stopped_look(plain, private, name):
    """SGD at the first epoch as accurate as a private row, and that epoch."""
    epoch = stopped_epoch(plain.dev, private.last.dev)
    record_look(name, plain.looks[epoch])
    chapter.record(f"epochs/{name}", epoch + 1, unit="epochs")
    return plain.looks[epoch], epoch + 1


sgd, edp = outcomes["sgd"], outcomes["edp-sgd"]
stopped_look(sgd, edp, "stopped")
stopped_look(edp, edp, "early")
stopped, stopped_epochs = stopped_look(sgd, outcomes["mid-noise"], "stopped-mid")
if lstm_rows:
    plain, private = (lstm_rows[f"second-{name}"] for name in ("sgd", "edp-sgd"))
    stopped_look(plain, private, "second-stopped")
    stopped_look(private, private, "second-early")

# %% tags=["hide-input"]
table = pd.DataFrame(
    [
        {
            "row": name,
            "intent accuracy": outcome.hits.mean(),
            "slot F1": outcome.f1,
            "attack AUC": outcome.last.attack.auc,
            "TPR at 1 % FPR": outcome.last.attack.tpr_at_1,
            "exposure": outcome.last.exposure.mean(),
        }
        for name, outcome in (outcomes | lstm_rows).items()
    ]
)
chapter.table(table, name="main", caption="This run: utility and leakage of all rows.")

# %% tags=["hide-input"]
added = [f"second-{name}" for name in ("sgd", "dp-sgd", "edp-sgd", "stopped", "early")]
names = [*estimators, "stopped", "early", "stopped-mid", *added]
kinds_shown = ("accuracy", "f1", "auc", "exposure")


def seen(metric):
    found = chapter.recorded(metric)
    if found is None:
        return "–"
    return f"{found.mean:.3f} [{found.low:.3f}, {found.high:.3f}]"


lines = [[name, *(seen(f"{kind}/{name}") for kind in kinds_shown)] for name in names]
chapter.table(
    pd.DataFrame(
        lines, columns=["row", "intent accuracy", "slot F1", "attack AUC", "exposure"]
    ),
    name="recorded",
    caption="Recorded on HWU64 (second: a biLSTM on SNIPS): mean, 95 % t interval.",
)

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-dp-curves", "caption": "Dev accuracy after each epoch of this run: are the rows trained?"}, "image": {"alt": "Lines of dev intent accuracy over epochs for SGD, DP-SGD and eDP-SGD."}}
curves = pd.DataFrame(
    [
        {"epoch": step + 1, "dev accuracy": accuracy, "row": name}
        for name in watched
        for step, accuracy in enumerate(outcomes[name].dev)
    ]
)
with figure_style():
    axes = sns.lineplot(curves, x="epoch", y="dev accuracy", hue="row", style="row")
    axes.set(ylim=(0, 1))

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-dp-leak", "caption": "Leakage against accuracy as training goes on, this run: a point an epoch. Below a line at the same accuracy is better."}, "image": {"alt": "Attack AUC over dev accuracy, one line for SGD and one for eDP-SGD, a point for each epoch."}}
path = pd.DataFrame(
    [
        {"dev accuracy": look.dev, "attack AUC": look.attack.auc, "row": name}
        for name in ("sgd", "edp-sgd")
        for look in outcomes[name].looks
    ]
)
with figure_style():
    axes = sns.lineplot(
        path, x="dev accuracy", y="attack AUC", hue="row", marker="o", sort=False
    )

# %% tags=["hide-input"]
fast = Bench(material, begin, Schedule(1, lot, rate_noisy), seed)
generator = torch.Generator().manual_seed(seed)
numbers = torch.arange(lot)


def formed_step():
    """Clip gradients that are formed one by one, with the model's own loss."""
    found = []
    for number in numbers:
        alone = begin.parts["members"].batch([int(number)])
        weights = [w for w in model.parameters() if w.requires_grad]
        found.append(
            torch.autograd.grad(joint_losses(model(alone), alone).sum(), weights)
        )
    return found


formed_step()
begun = time.process_time()
formed_step()
milliseconds = 1000 * (time.process_time() - begun)
chapter.record("time/formed", milliseconds, unit="ms", timing=True)

# %% [markdown]
# (dp-sgd-nlu-c1)=
# **C1** One micro-batch a device costs about a step of SGD: {verdict}`dp-sgd-nlu:C1` · {result}`dp-sgd-nlu:time/one-part|.0f` ms against
# {result}`dp-sgd-nlu:time/sgd|.0f` ms for SGD and {result}`dp-sgd-nlu:time/formed|.0f` ms for gradients formed one by one. Nothing else could
# come out: a micro-batch *is* one ordinary backward pass, and clipping and noise touch each weight once.
#
# (dp-sgd-nlu-c1b)=
# **C1b** Ghost norms make clipping by example affordable: {verdict}`dp-sgd-nlu:C1b` · {result}`dp-sgd-nlu:time/dp-sgd|.0f` ms. The problem that eDP-SGD was
# made for has since found another answer, one that clips by example and keeps the sensitivity at $C$.
#
# (dp-sgd-nlu-c2)=
# **C2** Accuracy stays close to SGD's: {verdict}`dp-sgd-nlu:C2` · intents {result}`dp-sgd-nlu:accuracy/edp-sgd|.3f` against
# {result}`dp-sgd-nlu:accuracy/sgd|.3f`, slots {result}`dp-sgd-nlu:f1/edp-sgd|.3f` against {result}`dp-sgd-nlu:f1/sgd|.3f`. With more noise, *mid-noise* and *more-noise*, intents
# come to {result}`dp-sgd-nlu:accuracy/mid-noise|.3f` and {result}`dp-sgd-nlu:accuracy/more-noise|.3f`. The biLSTM on SNIPS: intents {result}`dp-sgd-nlu:accuracy/second-edp-sgd|.3f` against
# {result}`dp-sgd-nlu:accuracy/second-sgd|.3f`, slots {result}`dp-sgd-nlu:f1/second-edp-sgd|.3f` against {result}`dp-sgd-nlu:f1/second-sgd|.3f`.
#
# (dp-sgd-nlu-c3)=
# **C3** Attacks succeed less often than against SGD, even stopped at the same accuracy: {verdict}`dp-sgd-nlu:C3` · AUC
# {result}`dp-sgd-nlu:auc/edp-sgd|.3f` against {result}`dp-sgd-nlu:auc/sgd|.3f` for SGD, and {result}`dp-sgd-nlu:auc/stopped|.3f` for SGD stopped after
# {result}`dp-sgd-nlu:epochs/stopped|.1f` epochs; stopped itself as early as it can be, eDP-SGD has {result}`dp-sgd-nlu:auc/early|.3f`. With more noise {result}`dp-sgd-nlu:auc/mid-noise|.3f`, against {result}`dp-sgd-nlu:auc/stopped-mid|.3f` for SGD stopped at *its*
# accuracy. Stopping is the control that counts: what it brings alone needs no privacy mechanism. The biLSTM on SNIPS:
# {result}`dp-sgd-nlu:auc/second-edp-sgd|.3f`, stopped early {result}`dp-sgd-nlu:auc/second-early|.3f`, against {result}`dp-sgd-nlu:auc/second-stopped|.3f` for stopped SGD.

# %% tags=["hide-input"]
brief = replace(bench, schedule=replace(schedule, epochs=stopped_epochs))
attacked = {  # who trains the shadows, by which estimator, the target
    "sgd": (keeper, "sgd", outcomes["sgd"].last),
    "mid-noise": (keeper, "mid-noise", outcomes["mid-noise"].last),
    "stopped-mid": (replace(keeper, bench=brief), "sgd", stopped),
}
strong = {
    name: one.attack(estimators[row], look, shadows=shadows, rate=rates[row])
    for name, (one, row, look) in attacked.items()
}
for name, attack in strong.items():
    chapter.record(f"lira/{name}", attack.auc, unit="AUC", n=2 * size)
    chapter.record(f"lira-tpr/{name}", attack.tpr_at_1, unit="TPR at 1 % FPR")

# %% [markdown]
# (dp-sgd-nlu-c4)=
# **C4** Loose budgets still protect: {verdict}`dp-sgd-nlu:C4` · with shadow models {cite}`carlini2022membership` and with more noise, the AUC is {result}`dp-sgd-nlu:lira/mid-noise|.3f` against
# {result}`dp-sgd-nlu:lira/sgd|.3f` for SGD, and {result}`dp-sgd-nlu:lira/stopped-mid|.3f` for SGD stopped as accurate; a canary's exposure
# {result}`dp-sgd-nlu:exposure/mid-noise|.2f` against {result}`dp-sgd-nlu:exposure/sgd|.2f` and {result}`dp-sgd-nlu:exposure/stopped-mid|.2f` bits.
# The formal epsilon is {result}`dp-sgd-nlu:epsilon/mid-noise|,.0f`: as a guarantee that is none. Whatever protection is seen was measured against
# these attacks, and a better attack may undo it.
#
# ## Ablations and controls
#
# (dp-sgd-nlu-c5)=
# **C5** Clipping layer by layer helps: {verdict}`dp-sgd-nlu:C5` · {result}`dp-sgd-nlu:accuracy/edp-sgd|.3f` against
# {result}`dp-sgd-nlu:accuracy/whole-norm|.3f` with one norm for all layers, at equal noise and bound.
#
# (dp-sgd-nlu-c6)=
# **C6** Decay helps at the same budget: {verdict}`dp-sgd-nlu:C6` · {result}`dp-sgd-nlu:accuracy/edp-sgd|.3f` with decay; without it
# {result}`dp-sgd-nlu:accuracy/no-decay|.3f` at equal first noise, {result}`dp-sgd-nlu:accuracy/equal-steady|.3f` at equal epsilon. The last epochs, in which the
# noise is least, spend nearly the whole budget.
#
# (dp-sgd-nlu-c7)=
# **C7** By example beats by mean at the same epsilon: {verdict}`dp-sgd-nlu:C7` · {result}`dp-sgd-nlu:accuracy/equal-dp-sgd|.3f` against
# {result}`dp-sgd-nlu:accuracy/equal-steady|.3f`. A clipped mean counts with twice the sensitivity, and the signal of a
# whole micro-batch is cut to what one example may have; whether that shows depends on how much of the gradient is noise.

# %% tags=["hide-input"]
target = {"multiplier": 1.0, "rate": 0.05, "steps": 100}
scores = gaussian_scores(shift=2.0, runs=audit_runs, seed=seed, **target)
lower = epsilon_lower_bound(*scores, delta=1e-4)
run = [Phase(**target)]
honest = epsilon(run, delta=1e-4, sensitivity=2.0)
naive = epsilon(run, delta=1e-4)
chapter.record("audit/lower", lower, unit="epsilon", n=2 * audit_runs)
chapter.record("audit/honest", honest, unit="epsilon")
chapter.record("audit/naive", naive, unit="epsilon")

# %% [markdown]
# **Checks.**
# (dp-sgd-nlu-k1)=
# Ghost norms equal formed ones: {verdict}`dp-sgd-nlu:K1`.
#
# (dp-sgd-nlu-k2)=
# The accountant gives published values: {verdict}`dp-sgd-nlu:K2`.
#
# (dp-sgd-nlu-k3)=
# An audit: the strongest test between two worst-case inputs bounds epsilon from below at {result}`dp-sgd-nlu:audit/lower|.2f`. The honest count says at
# most {result}`dp-sgd-nlu:audit/honest|.2f`; a count that forgets the factor of two says {result}`dp-sgd-nlu:audit/naive|.2f`, which the attack
# refutes: {verdict}`dp-sgd-nlu:K3`.
#
# (dp-sgd-nlu-k4)=
# Rows at equal epsilon spend no more than the main one: {verdict}`dp-sgd-nlu:K4`.
#
# (dp-sgd-nlu-k5)=
# **A model that saw neither.** Trained on *dev* utterances of generated commands, it cannot know members from others; an AUC clear of a half would be a
# fault of ours, in the deal or in the scores: {verdict}`dp-sgd-nlu:K5`.

# %% tags=["hide-input"]
from echobook.data.generators.commands import generate_commands
from echobook.papers.dp_sgd_nlu.material import build_material
from echobook.papers.dp_sgd_nlu.training import train

sizes = dict.fromkeys(("members", "others", "dev", "test"), min(size, 300))
plain = generate_commands(seed=seed, sizes={"all": sum(sizes.values())})
strange = build_material(plain, sizes=sizes, canaries=0, seed=seed)
eight = Schedule(8, min(size, 25), 1e-2)
apart = Bench(strange, BiLSTMStart(strange, seed=seed, hidden=32), eight, seed)
stranger = apart.start.build()
train(stranger, strange.coded["dev"], Plain(), eight, seed=seed)
look = apart.look(stranger)
chapter.record("control/auc", look.attack.auc, unit="AUC", n=2 * sizes["members"])
away = abs(look.attack.auc - 0.5)
chapter.record("control/away", away, unit="AUC", n=2 * sizes["members"])
chapter.table(
    pd.DataFrame([[look.dev, look.attack.auc]], columns=["accuracy", "attack AUC"]),
    name="control",
    caption="A model trained on dev utterances (accuracy on these).",
)

# %% tags=["hide-input"]
chapter.claims_table()

# %% [markdown]
# ## Where this departs from the paper
#
# - **Not read**: the algorithm box, formulas of clipping and noise, model sizes, all tables, the attack. Equations (1) and (2) are ours.
# - **Data**: HWU64 with a few hundred members, dealt anew for each seed, in place of the paper's public sets (recalled: ATIS, SNIPS)
#   and its internal ones. A small set leaks more, which makes leakage measurable.
# - **Model**: MiniLM of which the top layer and the heads are tuned. Its lower layers are public and frozen and cannot leak.
# - **Optimiser**: Adam on private gradients, for every row alike.
# - **Lots** are Poisson and each example picks its micro-batch by a die of its own, so that the accounting is exact. The paper's lots are, as far as we
#   know, shuffled epochs.
# - **Tuning** on dev utterances is not accounted for, in no row.
# - **Devices**: one core. Micro-batches run one after the other; what many devices gain is not measured.
#
# ## Adapt it
#
# ### Exercise 1: your own utterances
#
# `train_privately` reads a CSV with the columns utterance and intent, slots marked as `[words](slot)`, and trains a private tagger. Set `mine` to what
# it returns for the file below, with micro-batches of your choice.

# %% tags=["exercise"]
folder = Path(tempfile.mkdtemp())
lines = ["utterance,intent"]
for number in range(60):
    verb = ("call", "ring")[number % 2]
    lines.append(f"{verb} [name{number % 7}](person) now,phone")
    lines.append(f"wake me at [{number % 9} o'clock](time),alarm")
(folder / "mine.csv").write_text("\n".join(lines))
mine = None  # your call here

# %% tags=["exercise"]
done = mine is not None and 0 < mine.table["epsilon"][0] < float("inf")
print("pass" if done else "not yet: a finite epsilon is expected in mine.table")

# %% [markdown]
# :::{admonition} Solution
# :class: dropdown
# `mine = train_privately(folder / "mine.csv", MicroBatches(2, 0.5, 0.3))`
# :::

# %% tags=["solution", "hide-cell"]
mine = train_privately(folder / "mine.csv", MicroBatches(2, 0.5, 0.3), epochs=4)
chapter.table(mine.table, name="mine", caption="A private tagger of one's own.")

# %% [markdown]
# ### Exercise 2: half the budget
#
# Find a noise multiplier at which the chapter's main row spends at most half the epsilon that it spends now, and not less than a third.

# %% tags=["exercise"]
sigma = noise  # change this number

# %% tags=["exercise"]
now = bench.epsilon(main, delta=delta)
then = bench.epsilon(replace(main, multiplier=sigma), delta=delta)
print("pass" if now / 3 <= then <= now / 2 else f"not yet: {then / now:.2f} of it")

# %% [markdown]
# :::{admonition} Solution
# :class: dropdown
# Where noise is small, epsilon falls with its square: `sigma = 1.55 * noise`.
# :::

# %% tags=["solution", "hide-cell"]
sigma = 1.55 * noise
bench.epsilon(replace(main, multiplier=sigma), delta=delta) / now

# %% [markdown]
# ### Exercise 3: shares of the bound
#
# `Clipping` takes a share of $C^2$ for each layer. Write `by_size`: the share of a layer is its number of weights. The bounds must still
# satisfy $\sum_l C_l^2 = C^2$.


# %% tags=["exercise"]
def by_size(model):
    return dict.fromkeys(example_norms(layers), 1.0)  # change this line


# %% tags=["exercise"]
wanted = {
    name: float(sum(w.numel() for w in model.get_submodule(name).parameters(False)))
    for name in example_norms(layers)
}
same = by_size(model) == wanted
print("pass" if same else "not yet: a layer's share should be its number of weights")

# %% [markdown]
# :::{admonition} Solution
# :class: dropdown
# Sum `w.numel()` over `model.get_submodule(name).parameters(recurse=False)` for each name.
# :::


# %% tags=["solution", "hide-cell"]
def by_size(model):
    named = {name: model.get_submodule(name) for name in example_norms(layers)}
    return {
        name: float(sum(w.numel() for w in module.parameters(recurse=False)))
        for name, module in named.items()
    }


bounds = Clipping(bound, by_size(model)).bounds(list(example_norms(layers)))
round(sum(value**2 for value in bounds.values()) / bound**2, 6)

# %% [markdown]
# ## What did we learn?
#
# One micro-batch a device is SGD's own backward pass, clipped: {result}`dp-sgd-nlu:time/one-part|.0f` ms a step against
# {result}`dp-sgd-nlu:time/sgd|.0f`. The price is paid elsewhere: one example can turn a clipped mean
# round, so the honest epsilon is that of half the noise, and an attack that was run refutes the naive count. Norms from activations make clipping by
# example affordable too ({result}`dp-sgd-nlu:time/dp-sgd|.0f` ms), at half the sensitivity. Whether noise protects is decided against a model
# that was merely stopped as early ({result}`dp-sgd-nlu:auc/stopped|.3f` against {result}`dp-sgd-nlu:auc/edp-sgd|.3f` for eDP-SGD), not
# against one that was trained to the end ({result}`dp-sgd-nlu:auc/sgd|.3f`). Where epsilon is in the thousands, say what was measured, and promise nothing.

# %% tags=["hide-input"]
chapter.finish()
