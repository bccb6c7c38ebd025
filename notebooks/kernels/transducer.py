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
# # Kernels: the transducer
#
# A streaming recogniser reads sound frame by frame, from left to right, and writes labels as it goes. The training
# data say *what* was said, never *when*. The transducer loss {cite}`graves2012sequence` gets by without the when:
# it adds up the probabilities of all the ways in which the right labels could have been written, and asks for a
# larger sum. All speech chapters train with it.
#
# This page works through the loss on three frames and two labels. Every number can be checked with a pencil. Beside
# each step stands the code that the chapters run, and its answer for the same three frames.

# %% tags=["hide-input"]
import itertools
import math

import matplotlib.pyplot as plt
import pandas as pd
import torch

from echobook.report.figures import figure_style
from echobook.report.lattice_figure import draw_lattice
from echobook.report.source import show_source
from echobook.report.tables import table
from echobook.speech import transducer
from echobook.speech.lattice import (
    backward_scores,
    forward_scores,
    from_diagonals,
    occupancy,
    to_diagonals,
)
from echobook.speech.transducer import (
    emission_scores,
    end_time_penalty,
    transducer_loss,
)

# %% [markdown]
# ## The lattice
#
# Three frames, $t = 0, 1, 2$. Two labels, the words *five* and *two*. The recogniser may do one of two things at any
# moment: write the next label and stay at the frame, or write the {term}`blank` $\varnothing$, which means "nothing
# more here", and go on to the next frame. Where it stands is therefore a pair: the frame $t$, and the number $u$ of
# labels written so far. All pairs, with the moves between them, are the {term}`lattice`.
#
# At each node the model gives a probability to every class: here the blank, *five* and *two*. A trained model computes
# them from sound and from the labels so far. We make them up, with one decimal or two, so that we can multiply.

# %%
words, labels = ("five", "two"), torch.tensor([[1, 2]])
frames, label_count = torch.tensor([3]), torch.tensor([2])
# blank, five, two: at u = 0, at u = 1, at u = 2
frame_0 = [[0.6, 0.2, 0.2], [0.5, 0.1, 0.4], [0.8, 0.1, 0.1]]
frame_1 = [[0.5, 0.4, 0.1], [0.5, 0.3, 0.2], [0.5, 0.25, 0.25]]
frame_2 = [[0.2, 0.5, 0.3], [0.2, 0.3, 0.5], [0.8, 0.1, 0.1]]
exact = {"dtype": torch.float64}
p = torch.tensor([[frame_0, frame_1, frame_2]], **exact)  # (B, T, U1, V)
stay = p[0, :, :, 0]  # probability of the blank at each node
next_label = [p[0, :, 0, 1], p[0, :, 1, 2], torch.zeros(3)]
write = torch.stack(next_label, dim=1)  # of the next label; none on top

# %% [markdown]
# Blanks go to the right, labels go up. A path starts at the bottom left, must pass the top right node, where both labels
# are written and the last frame is being read, and ends with the blank that leaves it. A blank at the last frame with
# labels missing leads nowhere, so it is not drawn.

# %% tags=["hide-input"] mystnb={"image": {"alt": "Three by three lattice: three frames to the right, rows nothing yet, after five and after two upwards; each arrow carries the probability of its move."}, "figure": {"caption": "The lattice with the probability of each move: blanks to the right, labels upwards. In the nodes: frame, number of labels written.", "name": "fig-transducer-lattice"}}
with figure_style():
    figure, axes = plt.subplots(figsize=(5.0, 3.8))
    draw_lattice(axes, stay.numpy(), write.numpy(), words=words)

# %% [markdown]
# ## Six alignments, multiplied out
#
# A path makes two label moves and three blank moves, and the last move is a blank. So there are as many paths as ways to
# place two labels among the first four moves: six. Each is called an {term}`alignment`. Its probability is the product
# along its arrows; for the one that writes both words at once, $0.2 \cdot 0.4 \cdot 0.8 \cdot 0.5 \cdot 0.8 = 0.0256$.


# %%
def multiplied(writes_at: tuple[int, ...]) -> tuple[str, float]:
    """Follow one path: which of the first four moves write a label."""
    t = u = 0
    said, product = [], 1.0
    for move in range(5):
        if move in writes_at:
            said, product, u = [*said, words[u]], product * float(write[t, u]), u + 1
        else:
            said, product, t = [*said, "∅"], product * float(stay[t, u]), t + 1
    return " ".join(said), product


paths = [multiplied(chosen) for chosen in itertools.combinations(range(4), 2)]

# %% tags=["hide-input"]
path_table = pd.DataFrame(paths, columns=["alignment", "probability"])
path_table.loc[len(path_table)] = ["all six", path_table.probability.sum()]
table(
    path_table,
    name="paths",
    caption="Every alignment of the two words to three frames",
    digits=4,
)

# %% [markdown]
# The sum is the probability of the two words given the sound, $P = 0.1808$, and the loss is its negative
# logarithm. The kernel takes scores before the softmax, called *logits*. Logarithms of probabilities will do, since a softmax
# turns them back into the same probabilities.

# %%
logits = p.log().requires_grad_()
loss = transducer_loss(logits, labels, frames, label_count)
print(f"kernel {loss.item():.6f}, by hand {-math.log(0.1808):.6f}")

# %% [markdown]
# Six paths are easily listed. For two hundred frames and forty labels there are $\binom{239}{40}$, a number with 46 digits,
# and nobody lists them. The lattice does the sum in one sweep, node by node, because paths share their beginnings and
# their ends.

# %% [markdown]
# ## Forward: what leads here
#
# Let $\alpha_{t,u}$ be the summed probability of all ways to get from the start to the node $(t, u)$. There are two last
# steps: a blank from the left, or a label from below. With $b$ for blank moves and $\ell$ for label moves,
#
# $$\begin{aligned}
# \alpha_{0,0} &= 1, \\
# \alpha_{t,u} &= \alpha_{t-1,u}\, b_{t-1,u} + \alpha_{t,u-1}\, \ell_{t,u-1} .
# \end{aligned}$$ (eq-transducer-alpha)
#
# The left column and the bottom row have one way in only:
# $\alpha_{0,1} = 0.2$, $\alpha_{0,2} = 0.2 \cdot 0.4 = 0.08$, $\alpha_{1,0} = 0.6$, $\alpha_{2,0} = 0.6 \cdot 0.5 = 0.3$.
# The other four have two:
#
# $$\begin{aligned}
# \alpha_{1,1} &= 0.2 \cdot 0.5 + 0.6 \cdot 0.4 = 0.34 \\
# \alpha_{1,2} &= 0.08 \cdot 0.8 + 0.34 \cdot 0.2 = 0.132 \\
# \alpha_{2,1} &= 0.34 \cdot 0.5 + 0.3 \cdot 0.5 = 0.32 \\
# \alpha_{2,2} &= 0.132 \cdot 0.5 + 0.32 \cdot 0.5 = 0.226
# \end{aligned}$$
#
# The last blank closes the path: $P = 0.226 \cdot 0.8 = 0.1808$, the sum from above.

# %% tags=["hide-input"] mystnb={"image": {"alt": "The same lattice with alpha in each node, from 1 at the bottom left to 0.226 at the top right."}, "figure": {"caption": "Forward: in each node the summed probability of all ways to get there.", "name": "fig-transducer-alpha"}}
log_b, log_l = stay.log()[None], write.log()[None]  # (B, T, U1)
alpha = from_diagonals(forward_scores(to_diagonals(log_b), to_diagonals(log_l)), 3)[
    0
].exp()
with figure_style():
    figure, axes = plt.subplots(figsize=(5.0, 3.8))
    draw_lattice(axes, stay.numpy(), write.numpy(), words=words, nodes=alpha.numpy())

# %%
by_hand = [[1, 0.2, 0.08], [0.6, 0.34, 0.132], [0.3, 0.32, 0.226]]
torch.testing.assert_close(alpha, torch.tensor(by_hand, **exact))
print("kernel and pencil agree on alpha")

# %% [markdown]
# The kernel does the same in logarithms, for a whole batch, one diagonal at a time; why is told below. `logaddexp` is the
# plus of equation {eq}`eq-transducer-alpha`, and the pluses are its products.

# %%
show_source(forward_scores)

# %% [markdown]
# ## Backward: what can still happen
#
# The same sweep from the other end. Let $\beta_{t,u}$ be the summed probability of all ways to finish from the
# node $(t, u)$, its own moves included:
#
# $$\begin{aligned}
# \beta_{2,2} &= b_{2,2} = 0.8, \\
# \beta_{t,u} &= b_{t,u}\, \beta_{t+1,u} + \ell_{t,u}\, \beta_{t,u+1} .
# \end{aligned}$$ (eq-transducer-beta)
#
# From the top right: $\beta_{2,1} = 0.5 \cdot 0.8 = 0.4$ and $\beta_{1,2} = 0.5 \cdot 0.8 = 0.4$; then
# $\beta_{2,0} = 0.5 \cdot 0.4 = 0.2$, $\beta_{0,2} = 0.8 \cdot 0.4 = 0.32$, and
#
# $$\begin{aligned}
# \beta_{1,1} &= 0.5 \cdot 0.4 + 0.2 \cdot 0.4 = 0.28 \\
# \beta_{1,0} &= 0.5 \cdot 0.2 + 0.4 \cdot 0.28 = 0.212 \\
# \beta_{0,1} &= 0.5 \cdot 0.28 + 0.4 \cdot 0.32 = 0.268 \\
# \beta_{0,0} &= 0.6 \cdot 0.212 + 0.2 \cdot 0.268 = 0.1808
# \end{aligned}$$
#
# From the start, all ways to finish are all paths, so $\beta_{0,0}$ must be $P$ again. That is a check for free, and a test of
# the kernel.

# %% tags=["hide-input"] mystnb={"image": {"alt": "The same lattice with beta in each node, from 0.1808 at the bottom left to 0.8 at the top right."}, "figure": {"caption": "Backward: in each node the summed probability of all ways to finish from there.", "name": "fig-transducer-beta"}}
beta = from_diagonals(
    backward_scores(to_diagonals(log_b), to_diagonals(log_l), frames, label_count), 3
)[0].exp()
with figure_style():
    figure, axes = plt.subplots(figsize=(5.0, 3.8))
    draw_lattice(
        axes, stay.numpy(), write.numpy(), words=words, nodes=beta.numpy(), digits=4
    )

# %%
by_hand = [[0.1808, 0.268, 0.32], [0.212, 0.28, 0.4], [0.2, 0.4, 0.8]]
torch.testing.assert_close(beta, torch.tensor(by_hand, **exact))
print("kernel and pencil agree on beta")

# %%
show_source(backward_scores)

# %% [markdown]
# ## Which way did it go?
#
# Given that the two words were said, how probable is it that the path took a certain arrow? All paths through the arrow
# are a beginning, the arrow, and an end, so their share of the sum is
#
# $$\begin{aligned}
# \gamma^{b}_{t,u} &= \alpha_{t,u}\, b_{t,u}\, \beta_{t+1,u} / P, \\
# \gamma^{\ell}_{t,u} &= \alpha_{t,u}\, \ell_{t,u}\, \beta_{t,u+1} / P .
# \end{aligned}$$ (eq-transducer-occupancy)
#
# These shares are called *occupancies*. At the start, $\gamma^b_{0,0} = 0.6 \cdot 0.212 / 0.1808 \approx 0.704$ and
# $\gamma^\ell_{0,0} = 0.2 \cdot 0.268 / 0.1808 \approx 0.296$: the model thinks that *five* is more likely to come later.
# Each word is written exactly once, so its occupancies sum to one over the frames, and each frame is left exactly once.

# %% tags=["hide-input"] mystnb={"image": {"alt": "The lattice with the share of paths on each arrow as number and width; most of the mass writes five at frame 1 and two at frame 2."}, "figure": {"caption": "The share of paths that take each move. In the nodes: the share that visits them.", "name": "fig-transducer-occupancy"}}
found = occupancy(log_b, log_l, frames, label_count)
taken, wrote = found.blank[0], found.label[0]
with figure_style():
    figure, axes = plt.subplots(figsize=(5.0, 3.8))
    shares = {"nodes": (taken + wrote).numpy(), "shares": True}
    draw_lattice(axes, taken.numpy(), wrote.numpy(), words=words, **shares)

# %%
torch.testing.assert_close(wrote[:, :2].sum(0), torch.ones(2, **exact))
torch.testing.assert_close(taken.sum(1), torch.ones(3, **exact))
print("each word is written once, each frame is left once")

# %%
show_source(occupancy)

# %% [markdown]
# ## The gradient
#
# Training needs to know how the loss changes when a logit $z_{t,u,v}$ moves. With $p$ for the softmax of the logits, the
# answer needs no derivative of the sweep, only the occupancies:
#
# $$\begin{aligned}
# \frac{\partial \mathcal{L}}{\partial z_{t,u,v}} = (\gamma^b_{t,u} + \gamma^\ell_{t,u})\, p_{t,u,v}
# &- \gamma^b_{t,u}\,[v = \varnothing] \\
# &- \gamma^\ell_{t,u}\,[v = y_{u+1}] .
# \end{aligned}$$ (eq-transducer-gradient)
#
# In words: at every node, what the model says *minus* what the paths say, weighted by how many paths pass. A node that no
# path visits learns nothing. At the start all paths pass, so the three numbers are
#
# $$\begin{aligned}
# \text{blank} &: 0.6 - 0.704 = -0.104 \\
# \text{five} &: 0.2 - 0.296 = -0.096 \\
# \text{two} &: 0.2
# \end{aligned}$$
#
# Going against the gradient raises blank and *five* and lowers *two*, which cannot be said first. The three numbers sum to
# zero, as they must: adding a constant to all logits of a node changes no probability.

# %% tags=["hide-input"]
loss.backward()
nodes = [(t, u) for t in range(3) for u in range(3)]
gradient = pd.DataFrame([[t, u, *logits.grad[0, t, u].tolist()] for t, u in nodes])
gradient.columns = ["frame", "labels written", "blank", "five", "two"]
table(
    gradient,
    name="gradient",
    caption="Gradient of the loss with respect to each logit, from the kernel",
)

# %% [markdown]
# Two checks. The first applies equation {eq}`eq-transducer-gradient` to the occupancies of the pencil; the second moves
# one logit by a millionth and looks at the loss (the two numbers of the second line).

# %%
target = torch.zeros(3, 3, 3, dtype=torch.float64)
target[:, :, 0] = taken
target[:, 0, 1], target[:, 1, 2] = wrote[:, 0], wrote[:, 1]
formula = (taken + wrote)[:, :, None] * p[0] - target
moved = p.log()
moved[0, 1, 1, 0] += 1e-6
changed = transducer_loss(moved, labels, frames, label_count)
slope, ours = (changed - loss).item() / 1e-6, logits.grad[0, 1, 1, 0].item()
torch.testing.assert_close(formula, logits.grad[0])
print("formula and kernel agree")
print(f"frame 1, one label written, blank: {slope:.5f} and {ours:.5f}")

# %% [markdown]
# In the kernel, the forward pass keeps the two occupancies, and the backward pass is this one function, run on each
# utterance's own part of the batch. Padding is never read and gets a gradient of exactly zero.

# %%
show_source(transducer._fill_gradient)

# %% [markdown]
# ## Logarithms and diagonals
#
# Two things differ from the pencil. **Logarithms.** A product of a thousand probabilities is smaller than any number a
# computer can hold, so the kernel adds logarithms. The softmax runs in the precision of the logits; the lattice is much
# smaller than the logits, so its sums are made in double precision at no cost.

# %%
half = torch.tensor(0.5, **exact)
silence, nobody = torch.zeros(1, 1200, 1, 2), torch.zeros(1, 0).long()
quiet = transducer_loss(silence, nobody, torch.tensor([1200]), torch.tensor([0]))
print("product of 1,200 halves:", (half**1200).item())
print(f"as a loss: {quiet.item():.4f} = 1200 log 2 = {1200 * math.log(2):.4f}")

# %% [markdown]
# **Diagonals.** A node needs its left and its lower neighbour, so the nodes of one frame wait for each other. Those with the same
# $t + u$ do not: the sweep takes one diagonal at a time, for all utterances at once, and needs $T + U$ steps in place
# of $T \cdot U$. Below, nodes are numbered along the frames; each line is one step of the sweep.

# %%
numbered = torch.arange(9.0).reshape(1, 3, 3)  # node (t, u) is 3 t + u
for step, line in enumerate(to_diagonals(numbered)[:, 0].tolist()):
    cells = [int(cell) for cell in line if cell > -math.inf]
    print(f"step {step}: nodes", cells or "none, only the end")

# %% [markdown]
# ## Two ways to hurry
#
# The loss does not care when a word is written, and a model that waits sees more sound. For a recogniser that people wait for, two
# changes pull labels forward. *FastEmit* {cite}`yu2021fastemit` multiplies the label part of the gradient by
# $1 + \lambda$ and leaves the value alone. An *end-time penalty* subtracts a cost from the score of each label move that comes later
# than the word's own end. The formula for the gradient stays the same; the occupancies are then those of the
# penalised lattice.

# %%
ends = torch.tensor([[0.0, 1.0]], **exact)  # frames: five, two
cost = end_time_penalty(ends, 3, late_scale=2.0)  # nats, (B, T, U)
penalised = log_l - torch.nn.functional.pad(cost, (0, 1))
hurried = occupancy(log_b, penalised, frames, label_count).label[0]
time = torch.arange(3, **exact)
late = pd.DataFrame(
    {
        "word": words,
        "plain": (time @ wrote)[:2],
        "with the penalty": (time @ hurried)[:2],
    }
)
caption = "The frame in which each word is written, on average over the paths"
table(late, name="late", caption=caption, digits=2)

# %%
boosted = p.log().requires_grad_()
transducer_loss(boosted, labels, frames, label_count, fastemit=0.5).backward()
start = pd.DataFrame({"class": ["blank", *words]})
start["plain"], start["with FastEmit"] = logits.grad[0, 0, 0], boosted.grad[0, 0, 0]
table(
    start, name="fastemit", caption="Gradient at the first node, plain and with λ = 0.5"
)

# %% [markdown]
# ## The whole kernel
#
# This is what the chapters call. It checks its inputs at the door: a label that is the blank, a length out of range, or a
# NaN is refused with the name of the culprit. Its value and gradient are tested against the enumeration of
# all alignments, against finite differences, and on the lattice of this page.

# %%
show_source(transducer_loss)

# %% [markdown]
# ## Try it
#
# **Exercise 1.** Nothing was said: no labels, three frames. Which path is left, and what is its probability on our lattice?

# %% tags=["exercise"]
my_answer = 0.0  # a product of three numbers from the bottom row
bottom = p[:, :, :1].log()
right = math.exp(-transducer_loss(bottom, nobody, frames, torch.tensor([0])).item())
good = abs(my_answer - right) < 1e-9
print("pass" if good else "not yet: multiply the blanks of the bottom row")

# %% [markdown]
# :::{admonition} Solution
# :class: dropdown
# Only blanks: $0.6 \cdot 0.5 \cdot 0.2 = 0.06$. The cell below checks it.
# :::

# %% tags=["solution", "hide-cell"]
my_answer = 0.6 * 0.5 * 0.2
good = abs(my_answer - right) < 1e-9
print("pass" if good else "not yet: multiply the blanks of the bottom row")

# %% [markdown]
# **Exercise 2.** Write the forward sweep as two plain loops. In: blank and label probabilities, three by three each. Out:
# $\alpha$, three by three.


# %% tags=["exercise"]
def my_alpha(blank: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
    """Fill in the recursion; this version knows the start only."""
    out = torch.zeros_like(blank)
    out[0, 0] = 1
    return out


good = torch.allclose(my_alpha(stay, write), alpha)
print("pass" if good else "not yet: compare with the figure of alpha")

# %% [markdown]
# :::{admonition} Solution
# :class: dropdown
# The cell below does it. The order matters: a node's left and lower neighbours come first.
# :::


# %% tags=["solution", "hide-cell"]
def my_alpha(blank: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
    """The recursion, node by node."""
    out = torch.zeros_like(blank)
    out[0, 0] = 1
    for t, u in nodes[1:]:
        left = out[t - 1, u] * blank[t - 1, u] if t else 0
        out[t, u] = left + (out[t, u - 1] * label[t, u - 1] if u else 0)
    return out


good = torch.allclose(my_alpha(stay, write), alpha)
print("pass" if good else "not yet: compare with the figure of alpha")

# %% [markdown]
# **Exercise 3.** Change one probability so that *five* is written at frame 0 on more than half of the paths (by weight).
# The three probabilities of a node must still sum to one.

# %% tags=["exercise"]
mine = p.clone()
mine[0, 0, 0] = torch.tensor([0.6, 0.2, 0.2])  # blank, five, two at the first node
_, my_b, my_l = emission_scores(mine.log(), labels, frames, label_count)
share = occupancy(my_b, my_l, frames, label_count).label[0, 0, 0].item()
print("pass" if share > 0.5 else f"not yet: the share is {share:.2f}")

# %% [markdown]
# :::{admonition} Solution
# :class: dropdown
# The share is $\ell \beta_{0,1} / (\ell \beta_{0,1} + b \beta_{1,0})$, so the label needs more than
# $0.212 / 0.268 \approx 0.79$ of the blank's probability.
# :::

# %% tags=["solution", "hide-cell"]
mine[0, 0, 0] = torch.tensor([0.4, 0.4, 0.2])
_, my_b, my_l = emission_scores(mine.log(), labels, frames, label_count)
share = occupancy(my_b, my_l, frames, label_count).label[0, 0, 0].item()
print("pass" if share > 0.5 else f"not yet: the share is {share:.2f}")

# %% [markdown]
# The letters are those of [the notation page](../../book/notation.md), the words those of [the
# glossary](../../book/glossary.md).
