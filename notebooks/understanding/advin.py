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
# # ADVIN: discovering new intents and domains
#
# ## In one minute
#
# A voice assistant knows the intents it was taught. People ask for others. ADVIN {cite}`vedula2022advin` looks
# through unlabelled utterances in three stages: is the intent *new*, *which* new intents are there (nobody says
# how many), and to which *domains* do they belong. Its idea for the last two: what separates the intents we have
# labels for tells us how far apart two intents are, and that distance is used on utterances without labels.

# %% tags=["remove-input"]
from echobook.report.chapter import Chapter

Chapter("advin").verdict_box()

# %% [markdown]
# :::{important}
# We could not read the full paper: the abstract, its first page, an article by the authors and a later paper's
# summary were at hand. Equations, sizes and margins on this page are our reading of them, and no figure of the
# paper was read. The verdicts judge the claims of the abstract; their sizes were set again after the record (see the changelog).
# :::

# %% tags=["hide-input"]
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch
from sklearn.decomposition import PCA

from echobook.clustering.agglomerative import average_linkage, cut, learn_threshold
from echobook.data.generators.intents import generate_intents
from echobook.metrics.clustering import adjusted_rand_index
from echobook.papers.advin.evaluation import table
from echobook.papers.advin.experiment import (
    detect,
    discover_pool,
    end_to_end,
    no_k_baselines,
    taxonomy,
    transferred,
)
from echobook.papers.advin.losses import (
    CrossEntropyLoss,
    PairwiseMarginLoss,
    TripletLoss,
)
from echobook.papers.advin.material import (
    View,
    generated_material,
    public_material,
    split_intents,
)
from echobook.papers.advin.method import (
    IntentHead,
    Projection,
    filter_proxies,
    half_gaussian_thresholds,
    project,
)
from echobook.papers.advin.own_data import discover
from echobook.papers.advin.training import learn
from echobook.report.figures import figure_style, palette
from echobook.report.source import show_source
from echobook.text.encoder import SentenceEncoder

# %% tags=["parameters", "hide-input"]
profile: str = "default"  # smoke, default, public or paper
seed: int = 0  # which split of the intents
corpus: str = "generated"  # "generated" or a public corpus
overlap: float = 0.25  # generated only: share of templates siblings share, 0 to 1
train: int = 30  # training utterances an intent, at most
test: int = 20  # test utterances an intent, at most
novel_share: float = 0.25  # share of the intents that are novel
novel_domains: int = 1  # stage III: domains that are novel from end to end
pool_cap: int = 20  # utterances an intent in a pool that is clustered
proxy_sources: str = "domain"  # out-of-domain utterances for stage I, commas between
epochs: int = 8  # epochs of the projection
batches: int = 30  # batches an epoch
others: str = ""  # further public corpora for stage II, commas between
curve: str = "0,0.25,0.5,0.75"  # overlaps of the generated curve, commas between

# %% tags=["hide-input"]
settings = {
    "corpus": corpus,
    "overlap": overlap,
    "train": train,
    "test": test,
    "novel_share": novel_share,
}
settings |= {
    "novel_domains": novel_domains,
    "pool_cap": pool_cap,
    "proxy_sources": proxy_sources,
}
settings |= {"epochs": epochs, "batches": batches, "others": others, "curve": curve}
chapter = Chapter("advin", profile=profile, seed=seed, parameters=settings)

# %% [markdown]
# ## Method
#
# ```{figure} ../../book/_static/advin-stages.svg
# :name: fig-advin-stages
# :alt: Three boxes from left to right. Stage I sorts utterances into known and new. Stage II clusters the new ones with a threshold learned on labelled intents. Stage III groups intents into domains the same way.
#
# The three stages. The dashed arrows carry what is learned from labelled intents.
# ```
#
# **Letters.** $x$ an utterance, $h \in \mathbb{R}^D$ its sentence vector ($D = 384$, MiniLM; the paper fine-tunes BERT),
# $m$ known intents, $e$ a projected vector of length one, $d_{ij} = \lVert e_i - e_j \rVert_2 \in [0, 2]$,
# $t_{ij} = 1$ if $i$ and $j$ share an intent, else $0$.
#
# ### Stage I: is it new?
#
# The conference version adds publicly available out-of-domain utterances as a stand-in for the unknown. We train a
# head with $m$ classes, and one more for the stand-ins,
#
# $$z = W\,\mathrm{ReLU}(V h + b) + c, \qquad s(x) = 1 - \max_{c \le m} p_c(x), $$
#
# where $s$ is the novelty score. The stand-ins are weighted so that together they are a quarter of the data. The second
# head is DOC, named with the earlier version: $m$ sigmoids, and class $c$ accepts $x$ only if
# $p_c \ge \max(\tfrac12, 1 - 3 \sigma_c)$, where $\sigma_c$ is measured on the class's own training scores, mirrored around one.

# %%
show_source(IntentHead)

# %%
show_source(half_gaussian_thresholds)

# %% [markdown]
# Two training scores of a class, $0.9$ and $1.0$: mirrored around one they are $0.9, 1.1, 1, 1$, whose deviation is
# $\sqrt{(0.01 + 0.01) / 4} \approx 0.0707$, so that the threshold is $1 - 3 \cdot 0.0707 \approx 0.788$.

# %%
half_gaussian_thresholds(np.array([[0.9], [1.0]]), np.array([0, 0]))

# %% [markdown]
# ### Stage II: which new intents?
#
# A projection is trained on labelled intents with a pairwise margin loss, over the pairs of a batch,
#
# $$\mathcal{L} = \frac{1}{|\mathcal{B}|} \sum_{(i,j)} t_{ij} [d_{ij} - m_+]_+^2 + (1 - t_{ij}) [m_- - d_{ij}]_+^2,
# \qquad m_+ = 0.3,\ m_- = 1, $$
#
# where of the pairs of different intents only the closest quarter takes part. Then the labelled intents **kept out of
# that training** are clustered by average linkage, and the cut with the best adjusted Rand index,
#
# $$\tau^\star = \arg\max_\tau \mathrm{ARI}\big(\mathrm{cut}(\mathrm{linkage}(\mathcal{D}_\mathrm{val}), \tau), y\big), $$
#
# is made in the tree of the unlabelled utterances. The number of clusters follows.

# %%
show_source(PairwiseMarginLoss)

# %% [markdown]
# By hand: three points on the unit circle, at angles $0$, $0$ and $\pi/2$, the last of another intent. The pair of one intent is at
# distance $0 < m_+$ and costs nothing; both others are at $\sqrt2 > m_-$ and cost nothing. Give the second point the other label
# instead: its pair at distance zero costs $m_-^2 = 1$, the pair of one intent costs $(\sqrt2 - 0.3)^2 \approx 1.242$. With
# one hard negative, the mean over two pairs is about $1.121$.

# %%
points, loss = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]]), PairwiseMarginLoss()
(
    loss(points, torch.tensor([0, 0, 1])).item(),
    loss(points, torch.tensor([0, 1, 1])).item(),
)

# %%
show_source(learn_threshold)

# %% [markdown]
# Four numbers, $0, 1, 4, 6$, in two classes: the joins are at $1$, at $2$ and at $(4 + 6 + 3 + 5) / 4 = 4.5$, so any cut
# between $2$ and $4.5$ is perfect.

# %%
line = np.array([[0.0], [1.0], [4.0], [6.0]])
average_linkage(line)[:, 2], learn_threshold(line, np.array([0, 0, 1, 1])).height

# %% [markdown]
# ### Stage III: which domains?
#
# The same once more, one level higher: each intent becomes the normalised mean of its utterances under a second projection,
# trained on domain labels, and the threshold comes from the domains of intents kept out of that training.

# %%
show_source(taxonomy)

# %% [markdown]
# ## Data
#
# The `default` profile needs no download: a grammar of ours generates utterances of known intents, with an `overlap` knob that
# makes sibling intents alike. One of its domains is out of scope and plays the stand-in. The `public` profile uses CLINC150,
# with HWU64, Wikipedia sentences and CLINC150's own out-of-scope queries as stand-ins, and SNIPS, Facebook's English
# task data and StackOverflow titles for the headline claim.

# %% tags=["hide-input"]
sources = tuple(name for name in proxy_sources.split(",") if name)
if corpus == "generated":
    material = generated_material(seed=seed, overlap=overlap, train=train, test=test)
else:
    material = public_material(corpus, train=train, test=test, proxies=sources)
for used in material.uses:
    chapter.use(used)
cards = [[used.name, used.version, used.licence, used.total] for used in material.uses]
chapter.table(
    pd.DataFrame(cards, columns=["data set", "version", "licence", "rows"]),
    name="data",
    caption="Data of this run.",
)

# %% tags=["hide-input"]
frame = material.frame
chapter.table(
    frame.groupby("domain").sample(1, random_state=seed)[
        ["domain", "intent", "text", "split"]
    ],
    name="rows",
    caption="One row of each domain.",
)

# %% tags=["hide-input"]
counts = frame.groupby("split").agg(
    utterances=("text", "size"),
    intents=("intent", "nunique"),
    domains=("domain", "nunique"),
)
chapter.table(
    counts.reset_index(),
    name="counts",
    caption="Rows in scope after dropping repeated texts.",
)

# %% [markdown]
# ## Experiment
#
# The intents are split at random: novel, and known; of the known, a fifth is kept out of the projection's training to choose
# the threshold. Which intents are novel decides more than anything else, so a seed is a split, and five are recorded.

# %%
encoder = SentenceEncoder()
vectors = encoder.encode(frame["text"].tolist())
domain_of = frame.drop_duplicates("intent").set_index("intent")["domain"]
split = split_intents(domain_of, seed=seed, novel_share=novel_share)
view = View(frame, vectors, split, seed)

# %% tags=["hide-input"]
sizes = {
    "training": len(split.training),
    "threshold": len(split.threshold),
    "novel": len(split.novel),
}
chapter.table(
    pd.Series(sizes, name="intents").rename_axis("group").reset_index(),
    name="split",
    caption="Intents in each group of this split.",
)

# %% [markdown]
# Stand-ins that look like known intents are dropped: other corpora also know alarms and weather.

# %%
proxies, dropped = {}, {}
known_vectors, known_classes = view.part("train", split.known)
for name, (for_training, for_threshold) in material.proxies.items():
    pairs = [encoder.encode(texts) for texts in (for_training, for_threshold)]
    kept = [filter_proxies(part, known_vectors, known_classes) for part in pairs]
    proxies[name] = tuple(
        part[choice.kept] for part, choice in zip(pairs, kept, strict=True)
    )
    dropped[name] = kept[0].dropped_share

# %% tags=["hide-input"]
chapter.records("novelty/proxies-dropped/", dropped, unit="share")
chapter.table(
    pd.Series(dropped, name="share dropped").rename_axis("stand-ins").reset_index(),
    name="dropped",
    caption="Stand-ins dropped because they resemble a known intent.",
)

# %%
novelty_scores, detections = detect(view, proxies)

# %%
losses = {
    "transfer": lambda classes: PairwiseMarginLoss(),
    "contrastive": lambda classes: PairwiseMarginLoss(inner=0.0),
    "triplet": lambda classes: TripletLoss(),
    "cross-entropy": lambda classes: CrossEntropyLoss(384, classes),
}
budget = {"epochs": epochs, "batches": batches, "cap": pool_cap}
learned = {name: learn(view, loss, **budget) for name, loss in losses.items()}
learned["random-start"] = learn(
    view, losses["transfer"], **budget, projection=Projection, learning_rate=1e-3
)
learned["shuffled"] = learn(view, losses["transfer"], **budget, shuffle=True)

# %% tags=["hide-input"]
chapter.count_parameters("head", IntentHead(384, len(split.known)))
projection_weights = chapter.count_parameters(
    "projection", learned["transfer"].projection
)

# %%
pool_scores, clusters = discover_pool(view, learned, cap=pool_cap)
pool_size = len(view.part("test", split.novel, cap=pool_cap)[1])

# %% [markdown]
# ## Results

# %% tags=["hide-input"]
chapter.forest_plot()

# %% [markdown]
# ### Stage I
# (advin-c1)=
# **C1**: {verdict}`advin:C1` · recorded AUROC of the softmax threshold {result}`advin:novelty/auroc/msp|.3f`, with HWU64 stand-ins
# {result}`advin:novelty/auroc/proxy-hwu64|.3f` (paper: {printed}`advin:C1`).
#
# (advin-c2)=
# **C2**: {verdict}`advin:C2` · with Wikipedia {result}`advin:novelty/auroc/proxy-wikipedia|.3f`, with out-of-scope queries
# {result}`advin:novelty/auroc/proxy-oos|.3f`, without any {result}`advin:novelty/auroc/proxy-none|.3f`.

# %% tags=["hide-input"]
for name, scores in novelty_scores.items():
    for metric, value in scores.items():
        chapter.record(
            f"novelty/{metric}/{name}",
            value,
            unit=metric,
            n=int((frame["split"] == "test").sum()),
        )
caption = "Stage I on the whole test split. open-f1-matched: open F1 at equal known F1."
chapter.table(table(novelty_scores).reset_index(), name="novelty", caption=caption)


# %% tags=["hide-input"]
def recorded_table(names, metrics):
    """Recorded means with their intervals over splits, one row a method."""
    rows = []
    for name in names:
        cells = {"method": name}
        for metric in metrics:
            found = chapter.recorded(f"{metric}/{name}")
            cells[metric] = (
                "–"
                if found is None
                else f"{found.mean:.3f} [{found.low:.3f}, {found.high:.3f}]"
            )
        rows.append(cells)
    return pd.DataFrame(rows)


# %% tags=["hide-input"]
novelty_names = ["msp", "lof", "doc", "proxy-hwu64", "proxy-wikipedia", "proxy-oos"]
chapter.table(
    recorded_table(
        novelty_names, ["novelty/auroc", "novelty/known-f1", "novelty/open-f1"]
    ),
    name="novelty-recorded",
    caption="Recorded on CLINC150: mean and 95 % interval over five splits.",
)

# %% [markdown]
# As context, TEXTOIR's published table for CLINC150 with its out-of-scope queries, BERT fine-tuned, three quarters of the intents known, gives
# known F1 and open F1 of {fact}`88.97 and 84.85 <TEXTOIR, commit 82212b0, results.md>` for ADB,
# {fact}`87.91 and 83.87 <TEXTOIR, commit 82212b0, results.md>` for DOC and
# {fact}`83.65 and 63.86 <TEXTOIR, commit 82212b0, results.md>` for MSP. Its encoder is fine-tuned, its splits are others, and
# its open class holds out-of-scope queries too: not comparable figure by figure.
#
# ### Stage II
# (advin-c3)=
# **C3**: {verdict}`advin:C3` · recorded ARI {result}`advin:discovery/ari/transfer|.3f` {interval}`advin:discovery/ari/transfer|.3f` with
# transfer, {result}`advin:discovery/ari/raw|.3f` {interval}`advin:discovery/ari/raw|.3f` without, and
# {result}`advin:discovery/ari/shuffled|.3f` {interval}`advin:discovery/ari/shuffled|.3f` after the same training on shuffled labels.
#
# (advin-c4)=
# **C4**: {verdict}`advin:C4` · relative error of the number of intents {result}`advin:discovery/k-error/transfer|.2f`; from raw vectors
# {result}`advin:discovery/k-error/raw|.2f`, after training on shuffled labels {result}`advin:discovery/k-error/shuffled|.2f`.
#
# (advin-c5)=
# **C5**: {verdict}`advin:C5` · k-means on the same vectors, told the number of intents: ARI {result}`advin:discovery/ari/kmeans-true-k|.3f`;
# on the raw vectors {result}`advin:discovery/ari/raw-kmeans-true-k|.3f`.

# %% tags=["hide-input"]
for name, scores in pool_scores.items():
    for metric, value in scores.items():
        chapter.record(f"discovery/{metric}/{name}", value, unit=metric, n=pool_size)
system = ["transfer", "raw", "raw-hdbscan", "raw-kmeans-estimated-k"]
system += ["kmeans-true-k", "raw-kmeans-true-k", "agglomerative-true-k"]
shown = ["ari", "nmi", "accuracy", "found", "k-error", "coverage", "ari-assigned"]
chapter.table(
    table({name: pool_scores[name] for name in system})[shown].reset_index(),
    name="discovery",
    caption="Stage II on the novel intents' utterances (oracle pool), small clusters "
    "merged. NMI with the arithmetic mean. ari-assigned: small clusters left out.",
)

# %% tags=["hide-input"]
chapter.table(
    recorded_table(
        system,
        ["discovery/ari", "discovery/nmi", "discovery/accuracy", "discovery/k-error"],
    ),
    name="discovery-recorded",
    caption="Recorded on CLINC150: mean and 95 % interval over five splits.",
)

# %% [markdown]
# The transferred threshold against what would have been best for the novel intents (which nobody knows in use):


# %% tags=["hide-input"]
def ari_curve(vectors, classes, grid):
    """Adjusted Rand index of each cut on a grid of heights."""
    tree = average_linkage(vectors)
    return [adjusted_rand_index(classes, cut(tree, height)) for height in grid]


embed = learned["transfer"].projection
held, held_classes = view.part("train", split.threshold, cap=pool_cap)
pool, pool_classes = view.part("test", split.novel, cap=pool_cap)
grid = np.linspace(0.05, 1.3, 60)
curves = {
    "held-out known intents": ari_curve(project(embed, held), held_classes, grid),
    "novel intents": ari_curve(project(embed, pool), pool_classes, grid),
}

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-advin-threshold", "caption": "ARI of each cut. The threshold is chosen on the first curve and used on the second."}, "image": {"alt": "Two hump-shaped curves of ARI over the threshold, one for held-out known intents and one for novel intents, with a vertical line at the chosen threshold."}}
with figure_style():
    figure, axes = plt.subplots()
    for (label, values), style in zip(curves.items(), ("-", "--"), strict=True):
        axes.plot(grid, values, style, label=label)
    axes.axvline(
        clusters["transfer"].threshold,
        color=palette("black")[0],
        linewidth=1,
        label="threshold used",
    )
    axes.set(xlabel="threshold (distance)", ylabel="ARI")
    axes.legend()
plt.show()

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-advin-k", "caption": "Number of intents found by each method that is not told; the line is the true number."}, "image": {"alt": "Horizontal bars with the number of clusters found by each method, and a vertical line at the true number of novel intents."}}
unaided = ["transfer", "raw", "training-threshold", "fixed"]
unaided += ["hdbscan", "raw-hdbscan", "raw-kmeans-estimated-k"]
with figure_style():
    figure, axes = plt.subplots()
    axes.barh(
        unaided[::-1],
        [pool_scores[name]["found"] for name in unaided[::-1]],
        color=palette("sky")[0],
    )
    axes.axvline(len(split.novel), color=palette("black")[0], linewidth=1)
    axes.set(xlabel="intents found (clusters of at least three utterances)")
plt.show()

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-advin-map", "caption": "The pool on its first two principal components, coloured by true intent (colours repeat)."}, "image": {"alt": "Two scatter plots side by side, raw encoder and after transfer; points of one intent lie in groups."}}
with figure_style():
    figure, panels = plt.subplots(1, 2, figsize=(8, 3.6))
    sides = {"raw encoder": pool, "after transfer": project(embed, pool)}
    for axes, (title, data) in zip(panels, sides.items(), strict=True):
        flat = PCA(2, random_state=0).fit_transform(data)
        axes.scatter(*flat.T, c=[palette()[k % 7] for k in pool_classes], s=8)
        axes.set(title=title, xlabel="first component", ylabel="second component")
    figure.tight_layout()
plt.show()

# %% [markdown]
# **End to end.** The pool above is an oracle's: only novel utterances. In use, stage II sees what stage I flags. Here a known
# utterance that leaked is always wrong, and so is a novel one that was missed.

# %%
stage_one = f"proxy-{next(iter(proxies))}"
whole = {
    "system": end_to_end(
        view, detections[stage_one], learned["transfer"], cap=pool_cap
    ),
    "msp + raw encoder": end_to_end(view, detections["msp"], None, cap=pool_cap),
}

# %% tags=["hide-input"]
for name, scores in zip(("system", "msp-raw"), whole.values(), strict=True):
    for metric, value in scores.items():
        chapter.record(f"end-to-end/{metric}/{name}", value, unit=metric)
chapter.table(
    table(whole).reset_index(), name="end-to-end", caption="Both stages together."
)

# %% [markdown]
# Recorded end-to-end ARI: {result}`advin:end-to-end/ari/system|.3f` for the system,
# {result}`advin:end-to-end/ari/msp-raw|.3f` for the softmax threshold with the raw encoder.
#
# ### Stage III
# (advin-c6)=
# **C6**: {verdict}`advin:C6` · recorded ARI {result}`advin:taxonomy/ari/transfer|.3f` {interval}`advin:taxonomy/ari/transfer|.3f` with
# transfer, {result}`advin:taxonomy/ari/raw|.3f` from raw centroids, {result}`advin:taxonomy/ari/chance|.3f` by chance.
# This split makes whole domains novel. The intents are given; only their grouping is judged.

# %%
shares = {"novel_share": novel_share, "whole_domains": novel_domains}
upper = View(frame, vectors, split_intents(domain_of, seed=seed, **shares), seed)
domain_codes = np.unique(upper.domains(upper.split.known), return_inverse=True)[1]
by_domain = learn(
    upper, losses["transfer"], **budget, labels=lambda classes: domain_codes[classes]
)
# %%
levels = {"transfer": taxonomy(upper, by_domain), "raw": taxonomy(upper, None)}

# %% tags=["hide-input"]
for name, (scores, _) in levels.items():
    for metric in ("ari", "nmi", "accuracy", "edge-f1", "found"):
        chapter.record(
            f"taxonomy/{metric}/{name}",
            scores[metric],
            unit=metric,
            n=len(upper.split.novel),
        )
chapter.record(
    "taxonomy/ari/chance",
    levels["transfer"][0]["chance"],
    unit="ari",
    n=len(upper.split.novel),
)
chapter.table(
    table({name: scores for name, (scores, _) in levels.items()}).reset_index(),
    name="taxonomy",
    caption="Domains of the novel intents.",
)

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-advin-taxonomy", "caption": "Novel intents by true domain (rows) and found cluster (columns)."}, "image": {"alt": "A grid of counts: true domains in rows, found clusters in columns; darker cells hold more intents."}}
found_table = levels["transfer"][1]
cross = pd.crosstab(found_table["domain"], found_table["cluster"])
with figure_style():
    figure, axes = plt.subplots(figsize=(6.4, 0.6 + 0.4 * len(cross)))
    axes.imshow(cross, cmap="Blues", aspect="auto")
    for (row, column), count in np.ndenumerate(cross.to_numpy()):
        shade = "white" if count > cross.to_numpy().max() / 2 else "black"
        axes.text(column, row, count, ha="center", va="center", color=shade)
    axes.set(
        xlabel="cluster found",
        yticks=range(len(cross)),
        yticklabels=cross.index,
        xticks=[],
    )
    axes.grid(False)
plt.show()

# %% tags=["hide-input"]
chapter.table(
    found_table.groupby("domain").head(2),
    name="joined",
    caption="Some novel intents, their true domain, and the known domain they joined.",
)

# %% [markdown]
# ### Three data sets
# (advin-c7)=
# **C7**: {verdict}`advin:C7` · the paper's system fine-tunes its encoder, and its three sets could not be read.
#
# (advin-c8)=
# **C8**: {verdict}`advin:C8` · asked of frozen vectors; the best baseline is the best, split by split, of the raw encoder with a transferred threshold,
# HDBSCAN and k-means with an estimated number of clusters, none of them told the number of intents.


# %% tags=["hide-input"]
def summary(scores):
    """ARI of the system, the best baseline not told the number, and k-means that is."""
    best = max(scores[name]["ari"] for name in no_k_baselines())
    aided = scores["raw-kmeans-true-k"]["ari"]
    return {
        "transfer": scores["transfer"]["ari"],
        "best-baseline": best,
        "kmeans-true-k": aided,
    }


# %% tags=["hide-input"]
def headline(view):
    """ARI of the system and of the best baseline that is not told the number."""
    scores, _ = discover_pool(
        view, {"transfer": learn(view, losses["transfer"], **budget)}, cap=pool_cap
    )
    return summary(scores)


def other_view(name):
    """An encoded public corpus under a split of its own intents."""
    extra = public_material(name, train=train, test=pool_cap)
    chapter.use(extra.uses[0])
    owners = extra.frame.drop_duplicates("intent").set_index("intent")["domain"]
    found = encoder.encode(extra.frame["text"].tolist())
    return View(extra.frame, found, split_intents(owners, seed=seed), seed)


# %% tags=["hide-input"]
short = {"fb_multilingual_en": "fb-en", "generated": "generated"}
lines = {corpus: summary(pool_scores)}
lines |= {name: headline(other_view(name)) for name in others.split(",") if name}
for name, scores in lines.items():
    chapter.records(f"headline/{short.get(name, name)}/", scores, unit="ARI")
chapter.table(
    table(lines).rename_axis("data set").reset_index(),
    name="headline",
    caption="ARI on each data set.",
)

# %% tags=["hide-input"]
kinds = ["transfer", "best-baseline", "kmeans-true-k"]
names = ["clinc150", "snips", "fb-en", "stackoverflow20"]
by_kind = recorded_table(kinds, [f"headline/{name}" for name in names])
caption = "Recorded ARI: mean and 95 % interval over five splits."
chapter.table(by_kind, name="headline-recorded", caption=caption)

# %% tags=["hide-input"]
chapter.claims_table()

# %% [markdown]
# ## Ablations and controls
#
# Same pool, same encoder. Each loss has its own threshold from held-out intents. *training-threshold* takes it from the intents
# the projection was trained on; *fixed* is half-way between the margins; *random-start* is a projection that does not begin in the
# encoder's space; *shuffled* is trained on labels dealt out at random, so nothing can be learned about intents.

# %% tags=["hide-input"]
ablations = [
    "transfer",
    "contrastive",
    "triplet",
    "cross-entropy",
    "random-start",
    "raw",
]
ablations += [
    "training-threshold",
    "fixed",
    "shuffled",
    "hdbscan",
    "kmeans-estimated-k",
]
chapter.table(
    table({name: pool_scores[name] for name in ablations})[shown].reset_index(),
    name="ablations",
    caption="Ablations and controls, this run.",
)

# %% tags=["hide-input"]
chapter.table(
    recorded_table(
        ablations, ["discovery/ari", "discovery/k-error", "discovery/coverage"]
    ),
    name="ablations-recorded",
    caption="Recorded on CLINC150: mean and 95 % interval over five splits.",
)

# %% [markdown]
# :::{warning}
# Read *transfer* beside *shuffled*. Recorded ARI: {result}`advin:discovery/ari/raw|.3f` raw, {result}`advin:discovery/ari/shuffled|.3f`
# with shuffled labels, {result}`advin:discovery/ari/transfer|.3f` with the true ones. What shuffled labels gain over the raw encoder cannot
# be knowledge about intents: pushing any hard pairs apart spreads the space evenly, and the early stop keeps the epoch at which
# held-out intents cluster best. Only the rest is transfer of knowledge in the paper's sense.
# :::
#
# **When should it fail?** The generated corpus with more and more overlap, and once with templates dealt to the intents at random
# (*dealt*): what goes together in labelled intents then says nothing about the others, and transfer should bring nothing.


# %% tags=["hide-input"]
def generated_gain(overlap, grouping):
    """ARI with and without transfer on a generated corpus of all six domains."""
    rows = {"train": 12, "validation": 1, "test": 12}
    made = generate_intents(seed=seed, overlap=overlap, grouping=grouping, **rows).frame
    owners = made.drop_duplicates("intent").set_index("intent")["domain"]
    small = View(
        made,
        encoder.encode(made["text"].tolist()),
        split_intents(owners, seed=seed),
        seed,
    )
    gained = learn(
        small,
        losses["transfer"],
        epochs=min(epochs, 8),
        batches=min(batches, 30),
        cap=12,
    )
    data, classes = small.part("test", small.split.novel, cap=12)
    parts = {"transfer": gained, "raw": None}
    found = {
        name: transferred(small, part, data, cap=12).merged
        for name, part in parts.items()
    }
    return {
        name: adjusted_rand_index(classes, answers) for name, answers in found.items()
    }


gains = {
    f"{100 * float(level):.0f}": generated_gain(float(level), "meaning")
    for level in curve.split(",")
}
gains["dealt"] = generated_gain(0.0, "dealt")

# %% tags=["hide-input"]
for name, scores in gains.items():
    chapter.records(f"overlap/{name}/", scores, unit="ARI")
chapter.table(
    table(gains).rename_axis("overlap in percent").reset_index(),
    name="overlap",
    caption="ARI on generated utterances, this run's seed.",
)

# %% tags=["hide-input"] mystnb={"figure": {"name": "fig-advin-overlap", "caption": "ARI over the overlap of sibling intents; diamonds: templates dealt at random (control)."}, "image": {"alt": "Two lines of ARI falling with the overlap, with and without transfer, and two diamonds at the right for the control."}}
steps = [name for name in gains if name != "dealt"]
with figure_style():
    figure, axes = plt.subplots()
    for kind, style in (("transfer", "o-"), ("raw", "s--")):
        (drawn,) = axes.plot(
            [float(s) for s in steps],
            [gains[s][kind] for s in steps],
            style,
            label=kind,
        )
        axes.plot(90, gains["dealt"][kind], "D", color=drawn.get_color())
    axes.set(
        xlabel="overlap of sibling intents (percent of templates)",
        ylabel="ARI",
        ylim=(0, 1.03),
    )
    axes.legend()
plt.show()

# %% [markdown]
# ## Where this departs from the paper
#
# - **Not read**: equations, layer sizes, margins, optimiser, data-set names and all result tables. The pairwise margin loss, the
#   threshold from labelled intents, the stand-ins and the three stages are described in what we read; everything else is ours.
# - **Encoder**: MiniLM sentence vectors, frozen, with a trained projection; the paper fine-tunes BERT. MiniLM was trained so that
#   similar sentences are close. The row *raw* is therefore a far stronger baseline than an untuned BERT, and gains are smaller.
# - **Where training starts**: the projection begins as the identity. On three extra splits that are not among the recorded
#   ones, held-out *known* intents favoured this over a random start. The choice was made on these, but scores of novel
#   intents on one of the three had been seen shortly before. The row *random-start* also has another learning rate.
# - **Data**: the commercial utterances are not public. ATIS is left out of the headline: three quarters of it is one
#   intent, so that any figure depends on whether that one is novel.
# - **Stage III** judges intents whose utterances are known, so that errors of stage II do not mix in.
# - **A fault was mended after a first look**: stage III at first stopped its training early by how well intents were
#   separated, not domains. A poor figure led us to look; all five splits were run again, and C6 rose with it.
# - **Small intent sets**: SNIPS leaves two novel intents, so a split is all or nothing there; neither it nor Facebook's set decides C8.
# - CLINC150's domains *meta*, *small talk* and *utility* are mixed bags; no method can be expected to find them from words.
# - The stand-ins from other corpora are filtered by likeness to known intents; the share dropped is in the table above.
#   Some that are left may still be novel intents in disguise, which would flatter C1 and C2.
#
# ## Adapt it
#
# ### Exercise 1: your own utterances
#
# `discover` takes labelled and unlabelled texts. Read your own CSV with columns `text` and `label` (empty: unlabelled) in
# place of the frame below. Aim: a table `mine` with a cluster for each utterance that looks new.

# %% tags=["exercise"]
own = (
    frame.groupby("intent")
    .head(12)[["text", "intent"]]
    .rename(columns={"intent": "label"})
)
own.loc[own["label"].isin(split.novel[:3]), "label"] = ""
labelled, unlabelled = own[own["label"] != ""], own[own["label"] == ""]
mine = None  # your call of discover here

# %% tags=["exercise"]
done = isinstance(mine, pd.DataFrame) and len(mine) == len(unlabelled)
print(
    "pass"
    if done
    else "not yet: `mine` should be a table with one row for each unlabelled utterance"
)

# %% [markdown]
# :::{admonition} Solution
# :class: dropdown
# ```python
# mine = discover(labelled["text"].tolist(), labelled["label"].tolist(), unlabelled["text"].tolist(),
#                 encode=encoder.encode, seed=0)
# ```
# :::

# %% tags=["solution", "hide-cell"]
said, meant = labelled["text"].tolist(), labelled["label"].tolist()
unknown = unlabelled["text"].tolist()
mine = discover(said, meant, unknown, encode=encoder.encode, seed=0, epochs=2)
chapter.table(
    mine.groupby("cluster").head(2).head(8),
    name="mine",
    caption="First utterances of each cluster (-1: none).",
)

# %% [markdown]
# ### Exercise 2: a loss of your own
#
# Write a loss as a class: called with projected vectors `(B, D)` and class numbers `(B,)`, it returns a scalar. Hint: pull
# each vector to the mean of its class in the batch, and push the means apart.


# %% tags=["exercise"]
class MyLoss(torch.nn.Module):
    def forward(self, vectors, labels):
        return vectors.sum() * 0  # nothing is learned yet


# %% tags=["exercise"]
drawn = torch.randn(8, 384, generator=torch.Generator().manual_seed(0))
trial = torch.nn.functional.normalize(drawn, dim=1).requires_grad_()
MyLoss()(trial, torch.arange(8) % 2).backward()
print("pass" if trial.grad.abs().sum() > 0 else "not yet: the loss has no gradient")


# %% [markdown]
# :::{admonition} Solution
# :class: dropdown
# The next cell, folded, holds one: mean distance to the class mean, less the distance between the means.
# :::


# %% tags=["solution", "hide-cell"]
class CentreLoss(torch.nn.Module):
    def forward(self, vectors, labels):
        means = torch.stack([vectors[labels == k].mean(0) for k in labels.unique()])
        own = (
            (vectors - means[torch.unique(labels, return_inverse=True)[1]])
            .square()
            .sum(1)
        )
        return own.mean() + (1 - torch.pdist(means)).clamp_min(0).square().mean()


swapped = learn(
    view, lambda classes: CentreLoss(), epochs=2, batches=min(batches, 20), cap=pool_cap
)
transferred(view, swapped, pool, cap=pool_cap).count

# %% [markdown]
# ### Exercise 3: more that is new
#
# Let half of the intents be novel. What happens to the number of intents found, and why would the threshold suffer first?

# %% tags=["exercise"]
half = split_intents(
    domain_of, seed=seed, novel_share=novel_share
)  # change one argument

# %% tags=["exercise"]
right = abs(len(half.novel) - len(domain_of) / 2) <= 1
print(
    "pass"
    if right
    else f"not yet: {len(half.novel)} of {len(domain_of)} intents are novel"
)

# %% [markdown]
# :::{admonition} Solution
# :class: dropdown
# `split_intents(domain_of, seed=seed, novel_share=0.5)`. Fewer known intents are left for the threshold, so that a single odd pair of
# them moves it.
# :::

# %% tags=["solution", "hide-cell"]
half = split_intents(domain_of, seed=seed, novel_share=0.5)
wider = View(frame, vectors, half, seed)
many, _ = wider.part("test", half.novel, cap=pool_cap)
len(half.novel), transferred(wider, None, many, cap=pool_cap).count

# %% [markdown]
# ## What did we learn?
#
# A cut that is learned on intents kept aside comes within a share of {result}`advin:discovery/k-error/transfer|.2f` of the true
# number of new intents. That knowledge of intents is the reason is not shown: a space trained on labels dealt out at random gives
# an ARI of {result}`advin:discovery/ari/shuffled|.3f`, one trained on the true ones {result}`advin:discovery/ari/transfer|.3f`.
# Telling new from known is the harder half. With what stage I really flags, the ARI of the whole system is
# {result}`advin:end-to-end/ari/system|.3f`, so an oracle's pool flatters every method on this page. Which intents happen to
# be novel moves these figures by more than transfer gains.

# %% tags=["hide-input"]
chapter.finish()
