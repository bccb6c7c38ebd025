"""The method: hand-made updates, loops, reach in time, gradients, one step at a time, baselines."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from echobook.papers.incremental_user_embedding import baselines, checks
from echobook.papers.incremental_user_embedding.experiment import (
    ABLATIONS,
    MAIN,
    UNLABELLED,
    Sizes,
    build,
)
from echobook.papers.incremental_user_embedding.model import (
    AGES,
    Accumulated,
    Gate,
    IncrementalUpdate,
    Interactions,
    NoGate,
    QueryAttention,
    age_bucket,
    one_way,
)
from echobook.papers.incremental_user_embedding.serving import (
    classify,
    new_profile,
    observe,
    replay,
)

SMALL = Sizes(width=8, slots=2, block=3, layers=1, heads=2)
EVERY = (*MAIN, *UNLABELLED, *ABLATIONS)


def world(name="incremental", users=2, steps=11, seed=0, sizes=SMALL):
    generator = torch.Generator().manual_seed(seed)
    model = build(name, features=5, classes=3, sizes=sizes, seed=seed).eval()
    x = torch.randn(users, steps, 5, generator=generator)
    return model, x, torch.randint(0, 4, (users, steps), generator=generator)


class Summing(nn.Module):
    """A state that adds up its blocks: every step can be done by hand."""

    def __init__(self, width, slots=1):
        super().__init__()
        self.start = nn.Parameter(torch.zeros(slots, width))

    def forward(self, state, block):
        return state + block.sum(dim=1, keepdim=True)


def test_states_by_hand():
    """Interactions 1..6 in blocks of two: the states before the blocks are 0, 1 + 2, 1 + 2 + 3 + 4."""
    history = Accumulated(Summing(2), QueryAttention(2, heads=1), block=2)
    h = torch.arange(1.0, 7.0)[None, :, None].expand(1, 6, 2)
    assert history.states(h)[0, :, 0, 0].tolist() == [0.0, 3.0, 10.0]


def test_gate_by_hand():
    """With zero weights g is one half; with a large bias the new state wins."""
    gate = Gate(2)
    nn.init.zeros_(gate.weight.weight)
    nn.init.zeros_(gate.weight.bias)
    new, old = torch.full((1, 1, 2), 4.0), torch.zeros(1, 1, 2)
    assert gate(new, old).tolist() == [[[2.0, 2.0]]]
    nn.init.constant_(gate.weight.bias, 50.0)
    assert gate(new, old).tolist() == [[[4.0, 4.0]]]
    assert NoGate()(new, old) is new


def test_ages_by_hand():
    ages = torch.tensor([[-1, 0, 1, 2, 3, 4, 5, 8, 9, 64, 65, 10_000]])
    assert age_bucket(ages).tolist() == [[0, 0, 1, 2, 3, 3, 4, 4, 5, 7, 8, AGES]]


def test_reach_by_hand():
    age, allowed = Accumulated.reach(1, 3)
    assert allowed.tolist() == [
        [True, False, False, False],
        [True, True, False, False],
        [True, True, True, False],
    ]
    assert age.tolist() == [[0, 0, 0, 0], [0, 1, 0, 0], [0, 2, 1, 0]]


def test_interactions_by_hand():
    part = Interactions(2, 3, 2)
    assert part.label is not None
    with torch.no_grad():
        part.text.weight.copy_(torch.eye(2))
        part.text.bias.zero_()
        part.label.weight.copy_(torch.arange(8.0).view(4, 2))
    x = torch.tensor([[[1.0, 2.0]]])
    assert part(x, torch.tensor([[3]])).tolist() == [[[7.0, 9.0]]]
    assert Interactions(2, 3, 2, labels=False).label is None


def slow_attention(part, q, memory, allowed, age):
    """One query, one head and one token at a time, in float64."""
    memory = part.norm(memory)
    key, value = part.key_value(memory).chunk(2, dim=-1)
    query = part.query(q)
    size = q.shape[-1] // part.heads
    rows = []
    for row in range(len(q)):
        heads = []
        for head in range(part.heads):
            at = slice(head * size, (head + 1) * size)
            weights = []
            for token in range(len(memory)):
                score = (query[row, at] @ key[token, at]) / math.sqrt(size)
                score = score + part.age[head, age_bucket(age[row, token].view(1, 1))[0, 0]]
                weights.append(score.exp() if allowed[row, token] else score.new_zeros(()))
            total = torch.stack(weights)
            heads.append((total / total.sum()) @ value[:, at])
        rows.append(part.out(torch.cat(heads)))
    return torch.stack(rows)


@pytest.mark.parametrize("seed", range(3))
def test_query_attention_equals_a_loop(seed):
    torch.manual_seed(seed)
    part = QueryAttention(6, heads=2).double()
    nn.init.normal_(part.age)
    q, memory = torch.randn(4, 6).double(), torch.randn(5, 6).double()
    allowed = torch.rand(4, 5) < 0.6
    allowed[:, 0] = True
    age = torch.randint(0, 20, (4, 5))
    fast = part(q[None], memory[None], allowed[None], age)[0]
    gap = (fast - slow_attention(part, q, memory, allowed, age)).abs().max()
    assert gap < 1e-12  # float64 sums of a few terms


def test_update_equals_its_equations():
    """Encoder, gate and segment vectors put together by hand."""
    torch.manual_seed(0)
    update = IncrementalUpdate(8, slots=2, block=3, heads=2).eval()
    state, block = torch.randn(1, 2, 8), torch.randn(1, 3, 8)
    both = torch.cat([state + update.of_state, block + update.of_block], dim=1)
    merged = update.encoder(both)[:, :2]
    g = torch.sigmoid(update.gate.weight(torch.cat([merged, state], dim=-1)))
    assert torch.allclose(update(state, block), g * merged + (1 - g) * state, atol=1e-6)


def test_one_way_hides_the_state_from_the_block_only():
    mask = one_way(1, 2)
    assert mask.tolist() == [[False, False, False], [True, False, False], [True, False, False]]


def test_the_block_hears_the_state_only_when_attention_goes_both_ways():
    """With one layer the direction cannot matter for the state; with two it does."""
    for layers, differs in ((1, False), (2, True)):
        torch.manual_seed(1)
        joint = IncrementalUpdate(8, slots=2, block=3, layers=layers, heads=2).eval()
        single = IncrementalUpdate(8, slots=2, block=3, layers=layers, heads=2, mask=one_way(2, 3)).eval()
        single.load_state_dict(joint.state_dict(), strict=False)
        state, block = torch.randn(1, 2, 8), torch.randn(1, 3, 8)
        gap = (joint(state, block) - single(state, block)).abs().max()
        assert (gap > 1e-4) == differs


@pytest.mark.parametrize("name", EVERY)
def test_an_answer_sees_only_what_came_before(name):
    model, x, y = world(name)
    at = 7
    later_x, later_y = x.clone(), y.clone()
    later_x[:, at + 1 :] += 3.0
    later_y[:, at:] = (y[:, at:] + 1) % 4
    with torch.no_grad():
        assert torch.equal(model(x, y)[:, : at + 1], model(later_x, later_y)[:, : at + 1])


@pytest.mark.parametrize("name", [name for name in EVERY if name != "text"])
def test_an_answer_sees_what_came_just_before(name):
    model, x, y = world(name)
    other_x, other_y = x.clone(), y.clone()
    other_x[:, 6] += 3.0
    other_y[:, 6] = (y[:, 6] + 1) % 4
    with torch.no_grad():
        gap = (model(x, y)[:, 7] - model(other_x, other_y)[:, 7]).abs().max()
    assert gap > 1e-6


@pytest.mark.parametrize("name", EVERY)
def test_padding_and_neighbours_change_nothing(name):
    model, x, y = world(name, users=3)
    with torch.no_grad():
        alone, together = model(x[1:2, :7], y[1:2, :7]), model(x, y)[1:2, :7]
    assert torch.allclose(alone, together, atol=1e-5)  # float32, other batch sizes


@pytest.mark.parametrize("name", EVERY)
def test_a_hidden_past_is_no_past(name):
    """A user whose past is not kept is answered like one without any."""
    model, x, y = world(name)
    with torch.no_grad():
        hidden = model(x, y, torch.tensor([False, True]))
        alone = torch.cat([model(x[:1, s : s + 1], y[:1, s : s + 1]) for s in range(x.shape[1])], dim=1)
        seen = model(x, y)
    assert torch.allclose(hidden[:1], alone, atol=1e-5)
    assert torch.equal(hidden[1], seen[1])


@pytest.mark.parametrize("name", ["incremental-unlabelled", "mean-unlabelled", "text"])
def test_labels_do_not_matter_where_they_are_not_used(name):
    model, x, y = world(name)
    with torch.no_grad():
        assert torch.equal(model(x, y), model(x, (y + 1) % 4))


@pytest.mark.parametrize("name", ["incremental", "ema", "gru", "one-slot", "no-gate"])
def test_one_at_a_time_equals_the_whole_history(name):
    model, x, y = world(name, steps=13)
    with torch.no_grad():
        whole = model(x, y).log_softmax(dim=-1)
    for user in range(len(x)):
        steps, profile = replay(model, new_profile(model), x[user], y[user].tolist())
        assert torch.allclose(steps, whole[user], atol=1e-5)
        assert profile.seen == 13


def test_the_state_after_many_updates_is_the_recomputed_one():
    model, x, y = world(users=1, steps=12)
    profile = new_profile(model)
    for s in range(12):
        profile = observe(model, profile, x[0, s], int(y[0, s]))
    assert isinstance(model.history, Accumulated)
    with torch.no_grad():
        h = model.interactions(x, y)
        state = model.history.update.start[None]
        for block in h.split(3, dim=1):
            state = model.history.update(state, block)
    assert torch.allclose(profile.state, state[0], atol=1e-6)
    assert len(profile.recent) == 0


def test_a_profile_never_grows():
    model, x, y = world(users=1, steps=12)
    profile, most = new_profile(model), (SMALL.slots + SMALL.block - 1) * SMALL.width
    sizes = []
    for s in range(60):
        profile = observe(model, profile, x[0, s % 12], int(y[0, s % 12]))
        sizes.append(profile.floats)
    assert max(sizes) == most
    assert sizes[:3] == sizes[-3:]


def test_a_new_user_is_answered():
    model, x, y = world()
    with torch.no_grad():
        expected = model(x[:1, :1], y[:1, :1]).log_softmax(dim=-1)[0, 0]
    assert torch.allclose(classify(model, new_profile(model), x[0, 0]), expected, atol=1e-6)


def test_a_profile_needs_an_accumulated_history():
    model, _, _ = world("mean")
    with pytest.raises(TypeError, match="needs a model with an Accumulated history, got MeanOfAll"):
        new_profile(model)


@pytest.mark.parametrize("truncation", [1, 2, 3])
def test_gradients_stop_where_the_state_is_cut(truncation):
    """Blocks of 3, an answer at the start of block 7 (from 0): the last cut is before block 6, 6 or 6."""
    model, x, y = world(users=1, steps=22)
    model.history.truncation = truncation
    x = x.clone().requires_grad_()
    model(x, y)[0, 21].sum().backward()
    reached = x.grad[0].abs().amax(dim=1)
    last_cut = truncation * (6 // truncation)
    assert reached[: 3 * last_cut].max() == 0
    assert reached[3 * last_cut : 21].min() > 0


def test_without_a_cut_gradients_reach_the_first_interaction():
    model, x, y = world(users=1, steps=22)
    model.history.truncation = 100
    x = x.clone().requires_grad_()
    model(x, y)[0, 21].sum().backward()
    assert x.grad[0].abs().amax(dim=1).min() > 0


def test_gradients_of_the_whole_model_are_right():
    torch.manual_seed(0)
    model = build("incremental", features=3, classes=2, sizes=Sizes(4, 2, 2, 1, 2), seed=0).double().eval()
    x = torch.randn(1, 5, 3).double().requires_grad_()
    y = torch.tensor([[0, 1, 2, 0, 1]])
    assert torch.autograd.gradcheck(lambda z: model(z, y), (x,))


def test_counts_by_hand():
    y = torch.tensor([[1, 1, 0, 2]])
    assert baselines.past_counts(y, 2)[0].tolist() == [[0, 0, 0], [0, 1, 0], [0, 2, 0], [1, 2, 0]]
    fading = baselines.past_counts(y, 2, fading=0.5)[0]
    assert fading.tolist() == [[0, 0, 0], [0, 1, 0], [0, 1.5, 0], [1, 0.75, 0]]


def test_last_items_reach_n_back_and_no_further():
    model, x, y = world("last", steps=12)
    other = x.clone()
    other[:, 3] += 5.0
    with torch.no_grad():
        gap = (model(x, y) - model(other, y)).abs().amax(dim=(0, 2))
    n = SMALL.slots + SMALL.block
    assert gap[4 : 4 + n].min() > 1e-6
    assert gap[4 + n :].max() == 0


def test_a_frozen_mean_knows_only_the_beginning():
    model, x, y = world("mean", steps=10)
    other = x.clone()
    other[:, 6] += 5.0
    with torch.no_grad():
        model.history.frozen_at = torch.tensor([5, 5])
        gap = (model(x, y) - model(other, y)).abs().amax(dim=(0, 2))
        model.history.frozen_at = torch.tensor([10, 10])
        same = model(x, y)
        model.history.frozen_at = None
        assert torch.allclose(same, model(x, y), atol=1e-6)
    assert gap[7:].max() == 0


def test_moving_averages_by_hand():
    part = baselines.MovingAverage(2, slots=2)
    with torch.no_grad():
        part.rate.copy_(torch.tensor([0.0, 50.0]))  # lambda one half, and one
    state = torch.full((1, 2, 2), 4.0)
    assert part(state, torch.zeros(1, 3, 2)).tolist() == [[[2.0, 2.0], [4.0, 4.0]]]


def test_the_grus_slots_are_its_hidden_vector():
    part = baselines.Recurrent(4, slots=2)
    state, block = torch.randn(3, 2, 4), torch.randn(3, 5, 4)
    hidden = state.flatten(1)
    cell = nn.GRUCell(4, 8)
    cell.load_state_dict({name.removesuffix("_l0"): value for name, value in part.cell.state_dict().items()})
    for step in range(5):
        hidden = cell(block[:, step], hidden)
    assert torch.allclose(part(state, block).flatten(1), hidden, atol=1e-6)


def test_the_chapters_checks_hold():
    assert checks.steps_against_whole(3) < 1e-5
    assert checks.resumed_against_whole(3) == 0
    assert checks.future_reach(3) == 0
    beyond, within = checks.gradient_beyond(3)
    assert beyond == 0
    assert within > 0
    assert checks.work_share(Sizes()) < 0.2


def test_an_unknown_arm():
    with pytest.raises(ValueError, match="arm 'best': expected one of text, counts"):
        build("best", features=2, classes=2, sizes=SMALL, seed=0)


def test_weights_come_from_the_seed_alone():
    before = torch.random.get_rng_state()
    first, again = (build("incremental", features=3, classes=2, sizes=SMALL, seed=4) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), again.parameters(), strict=True))
    assert torch.equal(before, torch.random.get_rng_state())
    assert np.isfinite(sum(float(p.detach().sum()) for p in first.parameters()))
