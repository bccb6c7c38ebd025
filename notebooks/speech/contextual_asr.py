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
# # Contextual speech recognition: the models
#
# ## In one minute
#
# "Call Meg." "Meg Jones or Meg Bauer?" "Bauer." The reply is one short word, and a recogniser that knows only
# how often words occur hears *power*. The assistant, though, has just said both names. Contextual recognition
# {cite}`amazon2022contextual` lets the recogniser attend to what is listed and what was said, and to ignore it
# when the user changes the subject. Three families are built here side by side: attention inside the network
# (the combiner of CATT {cite}`chang2021catt`, contextual adapters {cite}`sathyendra2022adapters`, carry-over
# {cite}`wei2021carryover`), a bonus during the search (shallow fusion {cite}`wang2023kmp`), and rescoring.

# %% tags=["remove-input"]
from echobook.report.chapter import Chapter

Chapter("contextual-asr").verdict_box()

# %% [markdown]
# :::{important}
# No deployed model is described in full by its authors. We read the article and the papers on CATT, on adapters,
# on dialogue acts {cite}`chang2023dialog` and on trie-based biasing {cite}`le2021contextualized` in full, and of
# carry-over the abstract. Speech is *synthetic* here, test and training come from one synthesiser, the recogniser
# is tens of times smaller than theirs and has heard an hour or two of speech, and names come from lists.
# :::
#
# With twenty entries listed, shallow fusion lowers the errors of follow-up turns by a share of
# {result}`contextual-asr:follow-up/reduction/fusion|.2f` (interval over seeds
# {interval}`contextual-asr:follow-up/reduction/fusion|.2f`), adapters alone by
# {result}`contextual-asr:follow-up/reduction/enc-pred|.2f`
# ({interval}`contextual-asr:follow-up/reduction/enc-pred|.2f`), both together by
# {result}`contextual-asr:follow-up/reduction/enc-pred-fusion|.2f`
# ({interval}`contextual-asr:follow-up/reduction/enc-pred-fusion|.2f`). The article reports
# {printed}`contextual-asr:C1`. Adapters gain most on short lists. The word error rate on names is
# {result}`contextual-asr:names/wer/none|.2f` without context, {result}`contextual-asr:size/wer/enc-pred-2|.2f` with
# two entries listed, {result}`contextual-asr:size/wer/enc-pred-20|.2f` with twenty, and
# {result}`contextual-asr:size/wer/enc-pred-100|.2f` with a hundred.

# %% tags=["hide-input"]
import time
from dataclasses import replace

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch
from IPython.display import Audio, display

from echobook.data.deep_bias import load_deep_bias
from echobook.data.fetch import fetch
from echobook.papers.contextual_asr.baselines import (
    Rescorer,
    choices,
    rescored,
    train_rescorer,
)
from echobook.papers.contextual_asr.context import Context
from echobook.papers.contextual_asr.evaluation import (
    comparison,
    error_rate,
    outcome,
    recognise,
    search_batch,
    with_items,
)
from echobook.papers.contextual_asr.experiment import (
    Bench,
    Sizes,
    build_world,
    train_recogniser,
)
from echobook.papers.contextual_asr.guidance import attention_targets
from echobook.papers.contextual_asr.material import (
    load_vocabulary,
    previous_words,
    wrong_lists,
)
from echobook.papers.contextual_asr.parts import (
    Adapter,
    CarryOver,
    Combiner,
    ContextAttention,
)
from echobook.papers.contextual_asr.serving import (
    SetClock,
    embedder,
    events_of,
    read_turns,
    recognise_all_stored,
    recognise_stored,
)
from echobook.papers.contextual_asr.training import ALL_KINDS, Listing
from echobook.report.display import volatile
from echobook.report.errors import ReportError
from echobook.report.figures import figure_style
from echobook.report.source import show_source
from echobook.report.tables import table as plain_table
from echobook.speech.biasing.catalogues import catalogue
from echobook.speech.biasing.fusion import fusion_table
from echobook.speech.biasing.phonemes import CLASSES, classes_of, join_words, spelled
from echobook.speech.biasing.scorer import (
    biased_word_errors,
    count_biased_errors,
    total_biased,
)
from echobook.speech.biasing.search import SearchSettings
from echobook.speech.training import TrainingSettings
from echobook.store.memory import MemoryStore
from echobook.store.protocol import TwoTables, drive
from echobook.store.sealing import KeyRing
from echobook.store.vectors import read_within

# %% tags=["parameters", "hide-input"]
profile: str = "default"  # smoke, default, public or paper
seed: int = 0  # of names, voices, noise, weights and lists
corpus: str = "embedded"  # "embedded" or "public" words and names
test_voices: str = "espeak"  # "espeak" (other voices) or "flite" (another synthesiser)
other_voices: str = "none"  # "flite" speaks the test once more; "none" does not
snr_db: float = 15.0  # signal-to-noise ratio of the test turns, dB
base_turns: int = 600  # turns that train the recogniser
adapt_turns: int = 480  # turns that train what uses context
dev_turns: int = 48  # turns on which weights and bonuses are chosen
entity_turns: int = 48  # test turns that mean a listed entry
general_turns: int = 32  # test turns that mean none
first_turns: int = 16  # test turns of each sort that open a dialogue
base_steps: int = 300  # of 32 turns each
context_steps: int = 60  # of 32 turns each
context_rate: float = 6e-3  # peak learning rate of parts on the frozen recogniser
rescoring_steps: int = 40  # of 16 lists each
rows: int = 20  # entries listed in the main comparison
follow_up_rows: int = 5  # entries listed in a dialogue
sizes: str = "2,100"  # further sizes of the catalogue
snrs: str = "5"  # further signal-to-noise ratios, dB
bonuses: str = "0.5,1,2"  # fusion bonuses to choose from, nats per phoneme
prior_weights: str = "0.1,0.3"  # weights of the words' log priors to choose from
early_acts: bool = False  # whether acts are joined to the features, too
embed_medians: str = "0.5,2,4"  # median times to embed a context, s

# %% tags=["hide-input"]
names = "corpus test_voices other_voices snr_db base_turns adapt_turns dev_turns"
names += " entity_turns general_turns first_turns base_steps context_steps context_rate"
names += " rescoring_steps rows follow_up_rows sizes snrs bonuses prior_weights"
names += " early_acts embed_medians"
settings = {name: globals()[name] for name in names.split()}
chapter = Chapter("contextual-asr", profile=profile, seed=seed, parameters=settings)

# %% [markdown]
# ## Method
#
# **The recogniser** is a transducer over phonemes: an encoder gives $h_t$ for each frame of audio, a predictor
# $g_u$ after each written label, and
#
# $$p(y\mid t,u) = \mathrm{softmax}\big(W\tanh(h_t + g_u) + b\big).$$ (eq-contextual-asr-joint)
#
# Words come from a beam search through a lexicon tree with unigram priors. All names share one low prior. That
# is how *Bauer* becomes *power*: the acoustics hardly differ, the priors do.
#
# The predictor emits one phoneme at a time.
#
# **Context** is a list of entries. Their phonemes go through a small bidirectional LSTM; each phoneme of an entry is a
# row $c_k$, with a vector for the entry's kind, and a learned row `<no_bias>` is always listed first. (In the paper an
# entry of a few word-pieces is one row.) **An adapter** adds to a stream $s$ of the frozen
# recogniser (the encoder's, the predictor's, or their sum) what that stream attends to:
#
# $$\alpha_k = \mathrm{softmax}_k\frac{(W_k c_k)\cdot(W_q s)}{\sqrt d}, \qquad s' = s + W_o\sum_k \alpha_k W_v c_k .$$ (eq-contextual-asr-adapter)

# %%
show_source(ContextAttention.weights)

# %%
show_source(Adapter)

# %% [markdown]
# **Training.** The frozen recogniser is aligned once: its best path says at which frame each phoneme is written. Parts
# are trained along that path, and guided: where a listed entry is spoken, the attention should lie on its phonemes,
# elsewhere on `<no_bias>`. Guidance is ours. Without it, in pilots of up to 1200 steps, adapters did not learn to use
# their lists.

# %%
show_source(attention_targets)

# %% [markdown]
# **CATT's combiner** is trained together with the whole model. With $c$ for what the stream attends to (the sum over
# $k$ above, from several heads), LN for layer normalisation and FF for a small feed-forward network,
#
# $$s' = s + \mathrm{FF}\big([\mathrm{LN}(s); \mathrm{LN}(c)]\big),$$ (eq-contextual-asr-combiner)
#
# **Carry-over** attends to the words of the assistant's last reply, through a gate,
#
# $$s' = s + \sigma\big(W_g[s; c]\big)\odot W c .$$ (eq-contextual-asr-carry-over)
#
# **A dialogue act** $a$ (what the assistant has just asked for, as a learned vector) is concatenated with the
# features or with the encodings before the adapter asks its question: late fusion is $h' = h + W\,\mathrm{ReLU}(
# \mathrm{FF}([h; a]))$. **Rescoring** adds to the recogniser's score of each candidate $y$ of a list a second one from
# the words said before, $\log p(y\mid x) + f(y, \text{reply})$, where $f$ sums over the words of $y$ and is trained to
# prefer the right candidate; the idea is in a patent on dialogue history (US 11,043,214), of which we read the first
# claim.
#
# **Shallow fusion** leaves the network alone. Let $i_b$ be the number of phonemes of entry $b$ that have just been
# matched. The potential $\mu = \delta\max_b i_b$ grows while a match goes on, each phoneme earns the change of $\mu$, and
# so a match that breaks off gives its bonus back; a completed one keeps it. Worked by hand for one entry, *bauer*:

# %%
bauer = classes_of(["B", "AW", "ER"])
power = classes_of(["P", "AW", "ER"])
matcher = fusion_table([bauer], CLASSES)
heard = {
    "bauer": bauer,
    "bau": bauer[:2],
    "power": power,
    "power bauer": join_words([power, bauer]),
}

# %% tags=["hide-input"]
worked = [
    {"heard": text, "phonemes": spelled(labels), "bonus": matcher.run(labels)}
    for text, labels in heard.items()
]
chapter.table(
    pd.DataFrame(worked),
    name="fusion",
    caption="Bonus in phonemes when bauer is listed",
    digits=0,
)

# %% tags=["hide-input"] mystnb={"image": {"alt": "Diagram: audio to encoder to joiner to search; catalogue to context encoder to two adapters, which add to encoder and predictor; the catalogue also feeds fusion at the search."}, "figure": {"caption": "Where context enters. Shaded parts are trained on a frozen recogniser; fusion needs no training.", "name": "fig-contextual-asr-parts"}}
places = "audio 0 2;encoder 1 2;adapter 2 2;joiner 3 1;search 4 1;labels 0 0"
places += ";predictor 1 0;adapter. 2 0;catalogue 0 1;context 1 1"
boxes = {
    name: (int(x), int(y)) for name, x, y in (row.split() for row in places.split(";"))
}
arrows = "audio encoder,encoder adapter,adapter joiner,joiner search,labels predictor"
arrows += ",predictor adapter.,adapter. joiner,catalogue context,context adapter"
arrows += ",context adapter."
with figure_style():
    figure, axes = plt.subplots(figsize=(7.5, 2.8))
    for start, end in (pair.split() for pair in arrows.split(",")):
        style = {"arrowstyle": "->", "shrinkA": 28, "shrinkB": 26, "color": "0.35"}
        axes.annotate("", boxes[end], boxes[start], arrowprops=style)
    for name, place in boxes.items():
        shade = {
            "boxstyle": "round",
            "fc": "0.8" if name[:3] in ("ada", "con") else "white",
        }
        axes.text(*place, name.strip("."), ha="center", va="center", bbox=shade)
    axes.set(xlim=(-0.4, 4.4), ylim=(-0.4, 2.4))
    axes.axis("off")

# %% [markdown]
# ## Data
#
# Common words and names come from our own small vocabulary, or in the public profile from the CMU dictionary, a
# list of first names and surnames and the commonest words of LibriSpeech. First names are what devices are called,
# surnames are contacts or, with a noun such as *street*, places. Names are split first: those that train the recogniser,
# those that train the context parts, and those of the test are different names. A share of the entries listed sounds
# like what is said. In the public profile two test turns in three mean a listed entry. Half of the others are *traps*: a
# common word one phoneme away from a name of the test.
#
# All turns are spoken by eSpeak NG, those of the test by combinations of accent and variant that training never used
# (each accent and each variant it has heard, in other combinations). The public profile has the
# test spoken once more by flite, another synthesiser with voices built from recordings; where the Debian package
# `flite` is missing, that profile refuses to run.

# %% tags=["hide-input"]
start = time.process_time()
vocabulary, uses = load_vocabulary(corpus, seed=seed)
size = Sizes(
    base_turns, adapt_turns, dev_turns, entity_turns, general_turns, first_turns
)
voices = {"test_voices": test_voices, "other_voices": other_voices}
world = build_world(vocabulary, uses, size, **voices, snr_db=snr_db, seed=seed)
for use in world.uses:
    chapter.use(use)
chapter.record(
    "world/seconds", time.process_time() - start, unit="CPU seconds", timing=True
)
turns = world.turns("test")

# %% tags=["hide-input"]
counts = {"words": len(vocabulary.lexicon.words), "common": len(vocabulary.common)}
counts |= {
    f"entries, {split}": len(entries) for split, entries in vocabulary.entries.items()
}
counts |= {"homophones left out": vocabulary.homophones}
chapter.table(
    pd.DataFrame(counts.items(), columns=["what", "count"]),
    name="vocabulary",
    caption="Vocabulary",
    digits=0,
)

# %% tags=["hide-input"]
shown = [*turns[:4], *turns[-4:]]
look = [
    {
        "said before": t.assistant,
        "the user says": t.text,
        "meant": t.truth.text if t.truth else "nothing listed",
    }
    for t in shown
]
chapter.table(
    pd.DataFrame(look),
    name="turns",
    caption="Four entity turns and four general turns of the test",
)

# %% [markdown]
# One test turn to listen to, before the noise is added:

# %% tags=["hide-input"]
Audio(world.material["test"].audio[0].numpy(), rate=8000)

# %% [markdown]
# ## Experiment
#
# The recogniser is trained first, on general speech. It is then frozen, and every model with context is trained
# on turns with other names. In these the truth is left out one time in ten, so that a model must listen. The default profile
# trains for a few steps only: all of this runs, and fusion shows what context is worth, but adapters learn little.

# %% tags=["hide-input"]
start = time.process_time()
base_plan = TrainingSettings(
    steps=base_steps, peak_rate=3e-3, warmup=100, evaluate_every=150, seed=seed
)
base = train_recogniser(world, base_plan)
brisk = {
    "peak_rate": context_rate,
    "warmup": max(1, context_steps // 7),
    "evaluate_every": 80,
}
plan = TrainingSettings(steps=context_steps, **brisk, seed=seed)
slower = {
    name: replace(plan, peak_rate=rate)
    for name, rate in {"catt": 1e-3, "fine-tuned": 3e-3}.items()
}
grid = tuple(sorted({2, 5, min(20, rows), rows}))
bench = Bench(world, base, plan, grid)
chapter.record(
    "base/seconds", time.process_time() - start, unit="CPU seconds", timing=True
)
_ = chapter.count_parameters("recogniser", sum(p.numel() for p in base.parameters()))

# %%
start = time.process_time()
both = ("encoder", "predictor")
models = {
    "none": bench.plain,
    "enc": bench.trained(["encoder"]),
    "pred": bench.trained(["predictor"]),
}
models |= {"enc-pred": bench.trained(both), "joint": bench.trained(["joint"])}
models["no-null"] = bench.trained(both, null_row=False)
models["no-types"] = bench.trained(both, kinds=False)
models["no-alike"] = bench.trained(both, listing=Listing(rows=grid, alike=0.0))
models["random"] = bench.trained(both, listing=Listing(rows=grid, scrambled=True))

# %%
models["catt-audio"] = bench.trained(
    ["encoder"], kind=Combiner, frozen=False, settings=slower["catt"]
)
models["catt-both"] = bench.trained(
    both, kind=Combiner, frozen=False, settings=slower["catt"]
)
models["carry-over"] = bench.trained(["encoder"], kind=CarryOver)
models["fine-tuned"] = bench.trained([], frozen=False, settings=slower["fine-tuned"])
models["acts"] = bench.trained([], acts=["late"])
by_act = Listing(rows=grid, by_act=True)
models["guided"] = bench.trained(["encoder"], acts=["late"], listing=by_act)
if early_acts:
    models["guided-early-late"] = bench.trained(
        ["encoder"], acts=["early", "late"], listing=by_act
    )

# %% tags=["hide-input"]
chapter.record(
    "context/seconds", time.process_time() - start, unit="CPU seconds", timing=True
)
added = [
    *models["enc-pred"].parts.parameters(),
    *models["enc-pred"].context.parameters(),
]
_ = chapter.count_parameters("adapters", sum(p.numel() for p in added))

# %% [markdown]
# Two numbers are chosen on the development turns, names and general speech together: the weight of the words'
# priors, without context, and then the bonus of shallow fusion, once alone and once on top of the adapter.


# %% tags=["hide-input"]
def hear(
    name,
    split="test",
    *,
    lists=None,
    fused=None,
    bonus=0.0,
    heard=None,
    part=slice(None),
):
    """Recognise a split, or a part of it, with one model."""
    model = models[name]
    search = SearchSettings(cap=2, lm_weight=prior_weight, fusion_weight=bonus)
    found = (bench.own_heard(model, split) if heard is None else heard)[part]
    own = world.turns(split)[part]
    return recognise(model, vocabulary, own, found, search, lists=lists, fused=fused)


def chosen(weights, wrong_at):
    """The weight with the fewest wrong development turns; of equals the first."""
    wrong = {
        weight: np.mean(wrong_at(weight).wrong)
        for weight in map(float, weights.split(","))
    }
    return min(wrong, key=wrong.get)


# %% tags=["hide-input"]
heard_dev = bench.heard("dev")


def at_prior(weight):
    """Development turns without context, at a weight of the priors."""
    search = SearchSettings(cap=2, lm_weight=weight)
    return recognise(models["none"], vocabulary, world.turns("dev"), heard_dev, search)


prior_weight = chosen(prior_weights, at_prior)
_ = chapter.record(
    "search/prior-weight", prior_weight, unit="weight of log priors", n=dev_turns
)

# %% tags=["hide-input"]
dev_lists = bench.lists("dev", rows, seed=seed)
tuned = {}
for name in ("none", "enc-pred"):
    options = {"lists": None if name == "none" else dev_lists, "fused": dev_lists}
    tuned[name] = chosen(
        bonuses, lambda weight, n=name, o=options: hear(n, "dev", bonus=weight, **o)
    )
    chapter.record(
        f"fusion/bonus/{name}", tuned[name], unit="nats per phoneme", n=dev_turns
    )

# %% [markdown]
# Carry-over attends to the assistant's words and not to a list; rescoring learns from lists of candidates.


# %% tags=["hide-input"]
def carried(split):
    """Recognise with the words of the last reply."""
    replies_of = [previous_words(turn, vocabulary) for turn in world.turns(split)]
    return hear("carry-over", split, lists=replies_of)


def listed(result):
    """Candidates with what was said before and what is right."""
    own = result.turns
    return choices(
        result.candidates, [t.assistant.split() for t in own], [t.text for t in own]
    )


# %% tags=["hide-input"]
torch.manual_seed(seed)
rescorer = Rescorer(CLASSES)
again = TrainingSettings(
    steps=rescoring_steps, batch_size=16, peak_rate=3e-3, warmup=20, seed=seed
)
some = slice(None, None, max(1, adapt_turns // 600))  # enough to learn from
lessons = listed(hear("none", "adapt", part=some))
if any(choice.right is not None and len(choice.candidates) > 1 for choice in lessons):
    train_rescorer(rescorer, lessons, vocabulary.labels, again)
else:
    print("no list of candidates holds its reference: the rescorer stays untrained")

# %% tags=["hide-input"]
lists = bench.lists("test", rows, seed=1000 + seed)
found = {"none": hear("none")}
for name in [
    "enc",
    "pred",
    "enc-pred",
    "joint",
    "no-null",
    "no-types",
    "no-alike",
    "random",
]:
    found[name] = hear(name, lists=lists)
found |= {name: hear(name, lists=lists) for name in ("catt-audio", "catt-both")}
found |= {"fine-tuned": hear("fine-tuned"), "carry-over": carried("test")}
for name, first_pass in {"rescoring": "none", "enc-pred-rescoring": "enc-pred"}.items():
    order = rescored(rescorer, listed(found[first_pass]), vocabulary.labels)
    found[name] = outcome(turns, order)
found["fusion"] = hear("none", fused=lists, bonus=tuned["none"])
for name in ("enc-pred", "catt-both"):
    found[f"{name}-fusion"] = hear(
        name, lists=lists, fused=lists, bonus=tuned["enc-pred"]
    )

# %% tags=["hide-input"]
trapped = np.array(
    [t.truth is None and bool(vocabulary.alike("test", t.word)) for t in turns]
)
for name, result in found.items():
    chapter.record(
        f"names/wer/{name}", **with_items(result.part(entity=True)), unit="WER"
    )
    chapter.record(
        f"general/wer/{name}", **with_items(result.part(entity=False)), unit="WER"
    )
    chapter.record(
        f"names/b-wer/{name}", result.biased.rate, unit="B-WER", n=result.biased.words
    )
    share = np.mean(np.asarray(result.wrong)[trapped])
    chapter.record(
        f"traps/turn-error/{name}", share, unit="share of turns", n=int(trapped.sum())
    )

# %% tags=["hide-input"]
gain = {
    name: 1 - error_rate(r, entity=True) / error_rate(found["none"], entity=True)
    for name, r in found.items()
}
general = {name: error_rate(result, entity=False) for name, result in found.items()}
harm = {name: rate - general["none"] for name, rate in general.items()}
for name in found:
    chapter.record(f"names/reduction/{name}", gain[name], unit="relative WER reduction")
    chapter.record(f"general/degradation/{name}", harm[name], unit="WER difference")

# %% tags=["hide-input"]
limit = 3 * max(harm["enc-pred"], 0.0)
excess = {name: harm[name] - limit for name in ("no-null", "fine-tuned")}
chapter.record(
    "no-bias/excess-over-three-times", excess["no-null"], unit="WER difference"
)
chapter.record(
    "fine-tuning/excess-over-three-times", excess["fine-tuned"], unit="WER difference"
)
content = gain["enc-pred"] / 3 - gain["random"]
_ = chapter.record(
    "content/third-of-gain-less-random-gain", content, unit="relative WER reduction"
)

# %% [markdown]
# ## Results

# %% tags=["hide-input"]
chapter.forest_plot()

# %% [markdown]
# (contextual-asr-c2)=
# (contextual-asr-c3)=
# (contextual-asr-c4)=
# (contextual-asr-c9)=
# **The comparison.** *Names* are entity turns, *general* are turns that mean nothing listed, *entity words* are the
# words of the entry alone. Every method sees the same lists; carry-over and rescoring see the assistant's last reply.

# %% tags=["hide-input"]
order = "none fusion enc pred enc-pred joint enc-pred-fusion catt-audio catt-both"
order += " catt-both-fusion carry-over rescoring enc-pred-rescoring"
frame = comparison(found, order.split())
chapter.table(frame, name="comparison", caption="Word error rates of the test turns")

# %% [markdown]
# In the public profile a hundred entries are listed, as many as in the longest lists of training. Recorded word error
# rates on names are {result}`contextual-asr:names/wer/none|.2f` without context,
# {result}`contextual-asr:names/wer/enc|.2f` (encoder), {result}`contextual-asr:names/wer/pred|.2f` (predictor) and
# {result}`contextual-asr:names/wer/enc-pred|.2f` (both), against {result}`contextual-asr:names/wer/fusion|.2f` of fusion. In
# the paper the encoder's query is far ahead of the predictor's; here it is not. The combiner reaches
# {result}`contextual-asr:names/wer/catt-both|.2f`; the recogniser tuned on the same turns without any context reaches
# {result}`contextual-asr:names/wer/fine-tuned|.2f`, so that little of it is context at this length of lists. With fusion on top the
# combiner reaches {result}`contextual-asr:names/wer/catt-both-fusion|.2f`.

# %% [markdown]
# (contextual-asr-c1)=
# **Follow-up turns.** In a dialogue few entries are listed. A turn is wrong when any word of it is.

# %% tags=["hide-input"]
few = bench.lists("test", follow_up_rows, seed=2000 + seed)
replies = {
    "none": found["none"],
    "carry-over": found["carry-over"],
    "enc-pred": hear("enc-pred", lists=few),
}
replies["fusion"] = hear("none", fused=few, bonus=tuned["none"])
replies["enc-pred-fusion"] = hear(
    "enc-pred", lists=few, fused=few, bonus=tuned["enc-pred"]
)
for name, result in replies.items():
    wrong_turns = {"value": np.mean(result.wrong), "items": result.wrong}
    chapter.record(f"follow-up/turn-error/{name}", **wrong_turns, unit="share of turns")
    fewer = 1 - np.mean(result.wrong) / np.mean(replies["none"].wrong)
    chapter.record(
        f"follow-up/reduction/{name}", fewer, unit="relative reduction of turn errors"
    )
chapter.table(
    comparison(replies, list(replies)),
    name="follow-up",
    caption="Follow-up turns, few entries listed",
)

# %% [markdown]
# The article's figure beside ours: by how much context lowers the errors of follow-up turns, with the interval over the
# recorded seeds. Theirs is of a deployed service and counts errors of its own kind; ours counts turns.


# %% tags=["hide-input"]
def beside(name):
    """This build's and the recorded reduction of one method."""
    now = 1 - np.mean(replies[name].wrong) / np.mean(replies["none"].wrong)
    kept = chapter.recorded(f"follow-up/reduction/{name}")
    figures = (None, None, None) if kept is None else (kept.mean, kept.low, kept.high)
    return {"system": name, "this build": now} | dict(
        zip(("recorded", "low", "high"), figures, strict=True)
    )


article = chapter.claims.finding("C1").printed
printed = {"system": "the article", "recorded": -article.value}
frame = pd.DataFrame([printed, *(beside(name) for name in replies if name != "none")])
chapter.table(
    frame,
    name="beside",
    caption="Relative reduction of errors in follow-up turns (the article: almost)",
)

# %% [markdown]
# (contextual-asr-c7)=
# **The size of the list.** In training lists have at most a hundred entries (public profile); here they grow to a thousand.

# %% tags=["hide-input"]
counts_listed = sorted({rows, *(int(k) for k in sizes.split(","))})
grown, named = {}, slice(entity_turns)
for k in counts_listed:
    own = (lists if k == rows else bench.lists("test", k, seed=3000 + seed))[named]
    grown["fusion", k] = hear("none", fused=own, bonus=tuned["none"], part=named)
    grown["enc-pred", k] = hear("enc-pred", lists=own, part=named)
    options = {"lists": own, "fused": own, "bonus": tuned["enc-pred"]}
    grown["enc-pred-fusion", k] = hear("enc-pred", **options, part=named)
for (name, k), result in grown.items():
    chapter.record(
        f"size/wer/{name}-{k}", **with_items(result.part(entity=True)), unit="WER"
    )


# %% tags=["hide-input"]
curve = {key: error_rate(result, entity=True) for key, result in grown.items()}
loss = {
    name: curve[name, counts_listed[-1]] - curve[name, rows]
    for name in ("fusion", "enc-pred")
}
for name, value in loss.items():
    chapter.record(f"size/loss/{name}", value, unit="WER difference")
_ = chapter.record(
    "size/excess-over-twice",
    loss["fusion"] - 2 * max(loss["enc-pred"], 0.0),
    unit="WER difference",
)

# %% tags=["hide-input"] mystnb={"image": {"alt": "Lines of the word error rate on names against the number of listed entries for fusion, adapters and both."}, "figure": {"caption": "Names: word error rate against the number of entries listed (logarithmic); the dotted line is no context.", "name": "fig-contextual-asr-size"}}
with figure_style():
    figure, axes = plt.subplots(figsize=(6.5, 3.2))
    for name, marker in zip(
        ("fusion", "enc-pred", "enc-pred-fusion"), "os^", strict=True
    ):
        axes.plot(
            counts_listed,
            [curve[name, k] for k in counts_listed],
            marker=marker,
            label=name,
        )
    axes.axhline(error_rate(found["none"], entity=True), color="0.4", linestyle=":")
    axes.set(xscale="log", xlabel="entries listed", ylabel="word error rate")
    axes.set_xticks(counts_listed, labels=[str(k) for k in counts_listed], minor=False)
    axes.minorticks_off()
    axes.legend()

# %% [markdown]
# Recorded: with two entries the adapter on top of fusion takes names from
# {result}`contextual-asr:size/wer/fusion-2|.2f` to {result}`contextual-asr:size/wer/enc-pred-fusion-2|.2f`, with twenty from
# {result}`contextual-asr:size/wer/fusion-20|.2f` to {result}`contextual-asr:size/wer/enc-pred-fusion-20|.2f`; with a hundred it is in the way
# ({result}`contextual-asr:size/wer/fusion-100|.2f` and {result}`contextual-asr:size/wer/enc-pred-fusion-100|.2f`). At a thousand
# adapters alone are back at {result}`contextual-asr:size/wer/enc-pred-1000|.2f`, which is what no context gives. That they lose less from a
# hundred entries to a thousand than fusion does is therefore no merit: they had less to lose.

# %% [markdown]
# (contextual-asr-c10)=
# (contextual-asr-k2)=
# **Late and wrong context.** Context that is not ready when the user speaks is not used: for adapters on the frozen
# recogniser no part runs then, and the result is the recogniser's own to the last bit. Wrong context is the list of another dialogue: recorded, the share
# of wrong turns is {result}`contextual-asr:wrong/turn-error/enc-pred|.2f` with it and
# {result}`contextual-asr:follow-up/turn-error/none|.2f` without any, so it does some harm.

# %% tags=["hide-input"]
part = models["enc-pred"]
example = bench.encodings["test"][0]
labels = torch.tensor([example.labels])
ends = (
    torch.tensor([len(example.features)]),
    labels,
    torch.tensor([len(example.labels)]),
)
late = [
    m.loss_of_encodings(example.features[None], *ends, m.prepare(None))
    for m in (part, models["none"])
]
same = [
    a == b
    for a, b in zip(hear("enc-pred").candidates, found["none"].candidates, strict=True)
]
gap = max(abs(float(late[0] - late[1])), 1.0 - np.mean(same))
chapter.record(
    "late/largest-difference", gap, unit="nats, or share of turns", n=len(same)
)
astray = hear("enc-pred", lists=wrong_lists(few, turns))
_ = chapter.record(
    "wrong/turn-error/enc-pred",
    np.mean(astray.wrong),
    unit="share of turns",
    items=astray.wrong,
)

# %% [markdown]
# **With the store of the next chapter.** While the assistant speaks, the store's worker embeds the lists; when the
# user speaks, the recogniser reads the bytes. For one turn first: read before the last event, so that nothing is
# ready, and read again after it.


# %% tags=["hide-input"]
def store_of(model, clock):
    """The two tables in memory, with a worker that embeds for a model."""
    return TwoTables(
        MemoryStore(), KeyRing.generate(), clock, embedder(model, vocabulary)
    )


design = store_of(part, SetClock())
*told, last = events_of("turn-1", turns[0], few[0])
for event in told:
    drive(design.steps(event))
ways = {"before the last event": read_within(lambda: design.read("turn-1"), 0.0)}
drive(design.steps(last))
ways["after it"] = read_within(lambda: design.read("turn-1"), 0.0)

# %% tags=["hide-input"]
search = SearchSettings(cap=2, lm_weight=prior_weight)
heard_one = bench.heard()[0]
answers = {
    w: recognise_stored(part, vocabulary, heard_one, search, data)
    for w, data in ways.items()
}
texts = {way: [c.text for c in answer] for way, answer in answers.items()}
stored_late = texts["before the last event"] == [
    c.text for c in found["none"].candidates[0]
]
chapter.record("store/late-is-the-baseline", stored_late, unit="truth value", n=1)
rows_of = [
    {
        "read": way,
        "bytes": len(data or b""),
        "best texts": ", ".join(texts[way][:2]) or "nothing",
    }
    for way, data in ways.items()
]
frame = pd.DataFrame(rows_of)
chapter.table(
    frame, name="store", caption="One turn, read before and after the last event"
)

# %% [markdown]
# Then every turn of the test, on a clock that is set: embedding takes a log-normal time, and the user answers when
# the reply is over and a moment of thought has passed (both assumed, see the source of `serving`). The slower the
# embedding, the more turns are heard without context.

# %%
show_source(read_turns)

# %% tags=["hide-input"]
late_at = {}
for median in map(float, embed_medians.split(",")):
    clock = SetClock()
    answers = read_turns(
        store_of(part, clock), clock, turns, few, median_s=median, seed=seed
    )
    served = recognise_all_stored(
        part, vocabulary, turns, bench.heard(), search, answers
    )
    late_at[median] = (
        np.mean([answer is None for answer in answers]),
        np.mean(served.wrong),
    )
    for name, value in zip(("late", "turn-error"), late_at[median], strict=True):
        figure = f"lateness/{name}/median-{round(1000 * median)}-ms"
        chapter.record(figure, value, unit="share of turns", n=len(turns))
rows_of = [(median, *shares) for median, shares in late_at.items()]
frame = pd.DataFrame(
    rows_of, columns=["embedding, median s", "turns late", "turns wrong"]
)
chapter.table(
    frame, name="lateness", caption="Turn errors against lateness, through the store"
)

# %% tags=["hide-input"] mystnb={"image": {"alt": "Line of the share of wrong turns against the share of turns whose context came late, with dotted lines for context always in time and for no context."}, "figure": {"caption": "What a slow store costs: turns wrong against turns whose context is late. Dotted: always in time, and never.", "name": "fig-contextual-asr-lateness"}}
with figure_style():
    figure, axes = plt.subplots(figsize=(6.5, 3.0))
    axes.plot(*zip(*late_at.values(), strict=True), marker="o")
    for name in ("enc-pred", "none"):
        axes.axhline(np.mean(replies[name].wrong), color="0.4", linestyle=":")
    axes.set(
        xlabel="share of turns whose context is late", ylabel="share of turns wrong"
    )

# %% [markdown]
# (contextual-asr-c16)=
# **Dialogue acts.** What the assistant has just done, here whether and what it asked for, is concatenated with the
# encodings (*guided*) or with features and encodings (*guided-early-late*, public profile) and so guides the query; and
# of the list only entries of the kind asked for are read {cite}`chang2023dialog`.
# *acts* has no list at all, *enc-selected* reads the selected list without being guided, *guided-all* is guided but
# reads the whole list. A first turn has the default act, which leaves the list whole.


# %% tags=["hide-input"]
def act_conditions(split):
    """Recognise a split under each condition of the acts."""
    whole = lists if split == "test" else bench.lists(split, rows, seed=4000 + seed)
    chosen_lists = bench.selected(split, whole)
    result = {name: hear(name, split) for name in ("none", "acts")}
    result |= {
        "enc": hear("enc", split, lists=whole),
        "guided-all": hear("guided", split, lists=whole),
    }
    result["enc-selected"] = hear("enc", split, lists=chosen_lists)
    for name in [n for n in ("guided", "guided-early-late") if n in models]:
        result[name] = hear(name, split, lists=chosen_lists)
    return result


# %% tags=["hide-input"]
acted = {"follow-up": act_conditions("test"), "first": act_conditions("first")}
worth = {}
for sort, results in acted.items():
    none = error_rate(results["none"], entity=True)
    for name, result in results.items():
        chapter.record(
            f"acts/{sort}/{name}", **with_items(result.part(entity=True)), unit="WER"
        )
        chapter.record(
            f"acts/{sort}-general/{name}", error_rate(result, entity=False), unit="WER"
        )
        worth[sort, name] = 1 - error_rate(result, entity=True) / none

# %% tags=["hide-input"]
above = {key: worth[key] - worth[key[0], "enc"] for key in worth}
# the published best form, where it is trained
best = "guided-early-late" if early_acts else "guided"
more = above["follow-up", best] - above["first", best]
chapter.record("acts/follow-up-less-first", more, unit="relative WER reduction")
little = above["follow-up", best] / 2 - above["follow-up", "enc-selected"]
chapter.record("acts/half-gain-less-selection", little, unit="relative WER reduction")
tables = [
    comparison(results, list(results)).assign(turns=sort)
    for sort, results in acted.items()
]
frame = pd.concat(tables)[["turns", "method", "names", "general", "names, relative"]]
chapter.table(
    frame, name="acts", caption="Dialogue acts: word error rates by sort of turn"
)

# %% [markdown]
# Recorded: in follow-ups the word error rate on names goes from {result}`contextual-asr:acts/follow-up/enc|.2f` with the
# adapter to {result}`contextual-asr:acts/follow-up/enc-selected|.2f` when the act only selects, and to
# {result}`contextual-asr:acts/follow-up/guided|.2f` or {result}`contextual-asr:acts/follow-up/guided-early-late|.2f` when it guides, too
# (late; early and late); in first turns from {result}`contextual-asr:acts/first/enc|.2f` to
# {result}`contextual-asr:acts/first/guided|.2f` or {result}`contextual-asr:acts/first/guided-early-late|.2f`. About half of the gain in
# follow-ups comes from the choice of the list.

# %% [markdown]
# (contextual-asr-k1)=
# **The scorer.** B-WER counts words of a list apart from all others. The published scorer's figures for three
# systems on LibriSpeech come with the hypotheses; ours must give each of them. By hand first, then (public profile) theirs:

# %%
by_hand = count_biased_errors(
    "call meg bauer now", "call meg power now please", {"meg", "bauer"}
)
print(
    {
        name: f"{counts.errors} of {counts.words}"
        for name, counts in by_hand._asdict().items()
    }
)

# %% tags=["hide-input"]
if corpus == "public":
    stored = load_deep_bias(fetch("fbai_deep_bias"))
    chapter.use(stored.use)
    said = list(stored.references.values())
    gaps = []
    for system, published in stored.published.items():
        texts = [stored.hypotheses[system][name] for name in stored.references]
        errors = biased_word_errors(
            [r.text for r in said], texts, [r.biased for r in said]
        )
        ours = zip(("WER", "U-WER", "B-WER"), total_biased(errors), strict=True)
        gaps += [abs(100 * counts.rate - published[kind].rate) for kind, counts in ours]
    chapter.record(
        "scorer/largest-difference", max(gaps), unit="percentage points", n=len(gaps)
    )

# %% [markdown]
# ## Ablations and controls
#
# (contextual-asr-c5)=
# (contextual-asr-c6)=
# (contextual-asr-c6b)=
# (contextual-asr-c8)=
# **What the adapter needs.** *no-null*: without the `<no_bias>` row. *random*: trained with lists of random phonemes, so
# that it can learn nothing from content, and without guidance, which would only teach it to look away. *no-types*, *no-alike*: without the vector of the kind, without sound-alikes in
# training. *fine-tuned*: no context at all, the whole recogniser trained on the same turns. Recorded word error rates on
# general turns: {result}`contextual-asr:general/wer/none|.2f` without context, {result}`contextual-asr:general/wer/enc-pred|.2f`
# with the adapter, {result}`contextual-asr:general/wer/no-null|.2f` with the adapter that has no such row,
# {result}`contextual-asr:general/wer/fine-tuned|.2f` fine-tuned.

# %% tags=["hide-input"]
ablations = [
    "none",
    "enc-pred",
    "no-null",
    "random",
    "no-types",
    "no-alike",
    "fine-tuned",
]
chapter.table(
    comparison(found, ablations), name="ablations", caption="Ablations of the adapter"
)

# %% [markdown]
# **Traps.** The user says a common word one phoneme away from a name of the test. Context that wins here is context
# that was copied, not heard.

# %% tags=["hide-input"]
methods = ["none", "fusion", "enc-pred", "enc-pred-fusion", "no-null"]
tricky = {name: np.mean(np.asarray(found[name].wrong)[trapped]) for name in methods}
frame = pd.DataFrame(tricky.items(), columns=["method", "turns wrong"])
chapter.table(
    frame,
    name="traps",
    caption=f"Turn errors on {int(trapped.sum())} turns that are traps",
)

# %% [markdown]
# **Noise.** Is context worth more where less is heard? Recorded: at fifteen decibels fusion takes the word error rate on
# names from {result}`contextual-asr:noise/wer/none-15-db|.2f` to {result}`contextual-asr:noise/wer/fusion-15-db|.2f`, at five
# from {result}`contextual-asr:noise/wer/none-5-db|.2f` to {result}`contextual-asr:noise/wer/fusion-5-db|.2f`. One
# reason may be that fusion can only pick what is still among the candidates.

# %% tags=["hide-input"]
options = {
    "none": {},
    "enc-pred": {"lists": lists},
    "fusion": {"fused": lists, "bonus": tuned["none"]},
}
curves = []
for level in sorted({snr_db, *map(float, snrs.split(","))}):
    again_heard = (
        bench.heard() if level == snr_db else bench.noisy_heard(level, seed=seed)
    )
    for name, option in options.items():
        result = hear(name if name in models else "none", heard=again_heard, **option)
        chapter.record(
            f"noise/wer/{name}-{round(level)}-db",
            error_rate(result, entity=True),
            unit="WER",
        )
        curves.append(
            {"SNR, dB": level, "method": name, "names": error_rate(result, entity=True)}
        )
frame = (
    pd.DataFrame(curves)
    .pivot(index="SNR, dB", columns="method", values="names")
    .reset_index()
)
chapter.table(frame, name="noise", caption="Word error rate on names against noise")

# %% [markdown]
# **Another synthesiser.** The test's turns spoken by flite (public profile only). A recogniser that has heard one
# synthesiser alone knows that synthesiser's sounds: recorded, the word error rate on names is
# {result}`contextual-asr:other-voices/names/none|.2f` without context and
# {result}`contextual-asr:other-voices/names/fusion|.2f` with fusion.

# %% tags=["hide-input"]
if other_voices == "flite":
    elsewhere = {
        "none": hear("none", "other"),
        "enc-pred": hear("enc-pred", "other", lists=lists),
    }
    elsewhere["fusion"] = hear("none", "other", fused=lists, bonus=tuned["none"])
    for name, result in elsewhere.items():
        chapter.record(
            f"other-voices/names/{name}", error_rate(result, entity=True), unit="WER"
        )
        chapter.record(
            f"other-voices/general/{name}", error_rate(result, entity=False), unit="WER"
        )
    frame = comparison(elsewhere, list(elsewhere))
    display(
        chapter.table(
            frame, name="other-voices", caption="The same turns in flite's voices"
        )
    )

# %% [markdown]
# **Cost.** A list is encoded once per turn, before the user speaks, and kept. What is left in the turn is one
# attention per frame (*frame*) and one per step of the search; *whole turn* is the CPU time of the search with both
# adapters, from encodings and a list that are ready, as a share of the time that the turn lasts; recorded, it is
# {result}`contextual-asr:cost/real-time/1000|.3f` with a thousand entries.


# %% tags=["hide-input"]
def cpu_ms(work, repeats=5):
    """Median CPU time of a call in milliseconds."""
    spent = []
    for _ in range(repeats):
        start = time.process_time()
        with torch.no_grad():
            work()
        spent.append(1e3 * (time.process_time() - start))
    return float(np.median(spent))


def search_one(ready):
    """Recognise one turn whose list is encoded already."""
    return search_batch(part, vocabulary, [example.features], search, ready, None)


# %% tags=["hide-input"]
costs = []
frames = len(example.features)
for k in sorted({1, *counts_listed}):
    one = catalogue(
        [bench.lists("test", k, seed=seed)[0]], vocabulary.labels, ALL_KINDS
    )
    with torch.no_grad():
        ready = part.prepare(one)
    spent = {"list, ms": cpu_ms(lambda one=one: part.prepare(one))}
    whole = cpu_ms(
        lambda ready=ready: part.apply_part("encoder", example.features[None], ready)
    )
    spent["frame, ms"] = whole / frames
    spent["whole turn"] = cpu_ms(lambda ready=ready: search_one(ready), 3) / (
        40 * frames
    )
    costs.append({"entries": k} | spent)

# %% tags=["hide-input"]
units = {"list, ms": ("list-ms", "ms"), "frame, ms": ("frame-ms", "ms")}
units["whole turn"] = "real-time", "share of real time"
for row in costs:
    for column, (name, unit) in units.items():
        chapter.record(
            f"cost/{name}/{row['entries']}", row[column], unit=unit, timing=True
        )


# %% tags=["hide-input"]
def noted(metric):
    """A recorded figure in words; a dash where none was recorded."""
    try:
        found = chapter.recorded(metric)
    except ReportError:  # this run lists other numbers of entries than the record
        found = None
    return "–" if found is None else f"{found.mean:.3f}"


frame = pd.DataFrame(costs)
for column, (name, _) in units.items():
    frame[f"{column}, recorded"] = [noted(f"cost/{name}/{k}") for k in frame["entries"]]
    frame[column] = [volatile(f"{value:.3f}") for value in frame[column]]
caption = "CPU time of the context, one thread"
plain_table(
    frame, name="contextual-asr-cost", caption=caption, markup=list(units), digits=0
)

# %% [markdown]
# **The claims**:

# %% tags=["hide-input"]
chapter.claims_table()

# %% [markdown]
# ## Where this departs from the paper
#
# - **Scale.** The published systems learn from thousands of hours of real speech with millions of weights and
#   word-pieces; this one from minutes of synthetic speech with phonemes and a lexicon. Relative figures can be set
#   beside theirs, absolute ones cannot.
# - **The recogniser** looks at the whole utterance (theirs streams), its predictor sees two phonemes, and a CTC
#   loss helps in training.
# - **Adapters** start at zero (theirs at random), so that the untrained model is the base exactly. Their rows are
#   phonemes (theirs whole entries), the encoder's query sees five frames, and they are trained along one path with
#   guided attention (theirs: by the transducer loss alone). Guidance may favour one place over another.
# - **Training lists** have at most a hundred entries, also where the test lists more (theirs: 300).
# - **CATT** is trained from the trained recogniser on, guided, and along the one path that this recogniser took at
#   first, with a residual path around one block of attention, without biases and activations in its maps; the
#   paper trains four blocks from scratch with a pre-trained text encoder. Fine-tuning follows that one path, too.
# - **Learning rates.** Adapters, CATT and fine-tuning have a rate each: of two or three tried on development turns of
#   seeds that are not recorded, the one with the fewest wrong turns.
# - **Size.** The adapters have nearly half as many weights as our small recogniser; in the paper they are a very small
#   part of it.
# - **Dialogues.** Carry-over and rescoring see the assistant's last reply; what the user said before (in the article
#   and in the patent) does not exist here. A reply always offers two names and, where the user means an entry, names it,
#   so carry-over chooses among fewer than adapters do. There is no "no" and no "the second one". Common words that *equal*
#   a listed name are replaced by those one phoneme away.
# - **Shallow fusion** has no boost for carrier phrases such as "call", and was not compared with other programs' fusion.
#   On top of CATT it takes the bonus that was chosen on top of the adapter.
# - **Carry-over and rescoring** are forms of our own: of the first we could read the abstract only, of the
#   second a patent's claim.
# - **Random lists.** The paper's table does not say whether its random-catalogue adapter was also tested with random
#   lists; ours is tested with true ones.
# - **Dialogue acts** are four here, forty-nine there, and known without error. The paper trains its recogniser with
#   them; ours joins them to a finished one, starting at zero, and trains them together with the adapter.
# - **The truth is always listed** in the test, as in CATT; in the wrong-context condition it never is.
# - **Lateness** follows from times that are assumed. How long a store takes is the subject of the next chapter.
# - **Criteria.** After an earlier record had been seen (below), C3, C9 and C16 were changed: one test that
#   fails settles the claim, and C16 was moved to the form of acts whose figures the
#   paper reports as its best. New seeds were run afterwards. After the record all bounds were set again, from the papers'
#   tables; the [changelog](../../book/changelog.md) has old and new verdicts.
# - **Homophones** are left out: only context can tell them apart, and they would flatter every method. One public name
#   is left out because eSpeak says nothing for it.
# - **Test voices.** We meant to test with another synthesiser. In pilots on development turns a recogniser trained as
#   here got nearly every word of flite's voices wrong, with any context and without, so the test has eSpeak voices
#   that training never used, and flite is shown apart. Gains here are gains within one synthesiser. We looked for a
#   fault: flite's silence at either end, which training never has, is now cut, and in one pilot training audio was
#   tilted, equalised and set in silence at random and the mean of each utterance taken off. Most words stayed wrong:
#   the spectra of the two synthesisers differ by more than that.
# - **Earlier records.** Three seeds had been recorded with smaller settings (fewer than half as many turns and steps for
#   the recogniser, 300 steps for what uses context, lists of at most twenty entries in training) and were looked at; at
#   a hundred entries, five times what they had been trained for, adapters brought next to nothing. The settings were
#   then enlarged on development turns of a seed that is not recorded, and bonuses of fusion up to four nats were offered
#   (it had taken the largest). Four new seeds showed adapters that had learnt nothing in three of them. That was a fault:
#   the weights to keep were chosen by the loss on development turns with a hundred entries listed and without guidance,
#   which hardly tells a trained part from an untrained one. They are now chosen over all sizes of lists with the loss
#   that is trained; on development turns of two of those four seeds the adapters learn. All seven seeds were withdrawn,
#   and the seeds of this page are others, run once.
# - **Pilots.** Rows by phoneme, window, guidance and step counts were settled on development turns of seeds that are
#   not recorded, with public names. Earlier pilots on generated data also printed errors on seed 0's generated test turns.
#
# ## Adapt it
#
# **Exercise 1.** List the two-word entry *power tower* so that shallow fusion gives the spoken words "power tower" seven
# phonemes of bonus and "power" alone none.

# %% tags=["exercise"]
tower = classes_of(["T", "AW", "ER"])
my_table = fusion_table([power], CLASSES)
got = my_table.run(join_words([power, tower])), my_table.run(power)
print(
    "pass"
    if got == (7, 0)
    else f"not yet: {got[0]:.0f} for both words and {got[1]:.0f} for the first alone"
)

# %% tags=["solution", "hide-cell"]
my_table = fusion_table([join_words([power, tower])], CLASSES)
got = my_table.run(join_words([power, tower])), my_table.run(power)
print(
    "pass"
    if got == (7, 0)
    else f"not yet: {got[0]:.0f} for both words and {got[1]:.0f} for the first alone"
)

# %% [markdown]
# **Exercise 2.** Write a part of your own: an adapter that trusts context half as much. Streams go in and out in the
# same shape.


# %% tags=["exercise"]
class HalfAdapter(Adapter):
    """An adapter whose bias is halved."""

    def forward(self, stream, projected):
        return super().forward(stream, projected)


mine, stream = HalfAdapter(8, 4), torch.zeros(1, 3, 8)
torch.nn.init.ones_(mine.output.weight)
shared = mine.attention.project(
    Context(torch.ones(1, 2, 4), torch.ones(1, 2, dtype=torch.bool))
)
whole = Adapter.forward(mine, stream, shared)
print(
    "pass"
    if torch.allclose(mine(stream, shared), whole / 2)
    else "not yet: the bias is not half of it"
)


# %% tags=["solution", "hide-cell"]
class HalfAdapter(Adapter):
    """An adapter whose bias is halved."""

    def forward(self, stream, projected):
        return (stream + super().forward(stream, projected)) / 2


other = HalfAdapter(8, 4)
other.load_state_dict(mine.state_dict())
print(
    "pass"
    if torch.allclose(other(stream, shared), whole / 2)
    else "not yet: the bias is not half of it"
)

# %% [markdown]
# **Exercise 3.** Whose words count as biased? Choose the list so that B-WER of the turn below is one error in one word.

# %% tags=["exercise"]
my_list = {"call"}
mine_errors = count_biased_errors("call bauer", "call power", my_list).biased
print(
    "pass"
    if (mine_errors.errors, mine_errors.words) == (1, 1)
    else f"not yet: {mine_errors.errors} of {mine_errors.words}"
)

# %% tags=["solution", "hide-cell"]
my_list = {"bauer"}
mine_errors = count_biased_errors("call bauer", "call power", my_list).biased
print(
    "pass"
    if (mine_errors.errors, mine_errors.words) == (1, 1)
    else f"not yet: {mine_errors.errors} of {mine_errors.words}"
)

# %% [markdown]
# ## What did we learn?
#
# Telling a recogniser what has just been said pays, and the simplest way pays most here: a bonus in the search lowers the errors
# of follow-up turns by a share of {result}`contextual-asr:follow-up/reduction/fusion|.2f`, attention inside a frozen network by
# {result}`contextual-asr:follow-up/reduction/enc-pred|.2f`. Attention is good at short lists and loses its way in long ones: on
# names its word error rate is {result}`contextual-asr:size/wer/enc-pred-2|.2f` with two entries listed and
# {result}`contextual-asr:size/wer/enc-pred-1000|.2f` with a thousand. Context that helps with names pulls at
# other words, too: on traps, turn errors go from {result}`contextual-asr:traps/turn-error/none|.2f` to
# {result}`contextual-asr:traps/turn-error/fusion|.2f` with fusion. A synthesiser is no world: on another one's voices
# the recogniser's word error rate on names is {result}`contextual-asr:other-voices/names/none|.2f`.

# %% tags=["hide-input"]
chapter.finish()
