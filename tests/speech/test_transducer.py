"""Transducer loss: hand literals, enumeration of every alignment, finite differences, invariances,
refusals."""

import inspect
import itertools
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from echobook.speech.transducer import emission_scores, end_time_penalty, transducer_loss

SEEDS = st.integers(0, 2**31)


def batch(seed, sizes, classes=5, dtype=torch.float64, blank=0, scale=2.0):
    """Random ragged problem; padding cells hold garbage, padding labels are out of range on purpose."""
    g = torch.Generator().manual_seed(seed)
    frames, counts = torch.tensor([s[0] for s in sizes]), torch.tensor([s[1] for s in sizes])
    logits = scale * torch.randn(
        len(sizes), int(frames.max()), int(counts.max()) + 1, classes, generator=g, dtype=dtype
    )
    labels = torch.full((len(sizes), int(counts.max())), -99)
    allowed = torch.tensor([v for v in range(classes) if v != blank])
    for i, (t, u) in enumerate(sizes):
        labels[i, :u] = allowed[torch.randint(len(allowed), (u,), generator=g)]
        logits[i, t:] = math.nan
        logits[i, :, u + 1 :] = math.nan
    return logits, labels, frames, counts


def enumerated(logits, labels, blank=0, boost=0.0, penalty=None):
    """-log of the sum over all alignments, each multiplied out move by move (autograd follows it)."""
    frames, rows, _ = logits.shape
    logp, total = logits.log_softmax(-1), []
    for written_at in itertools.combinations(range(frames - 1 + rows - 1), rows - 1):
        t = u = 0
        score = logits.new_zeros(())
        for step in range(frames - 1 + rows - 1):
            if step in written_at:
                move = logp[t, u, labels[u]]
                score = score + move + boost * (move - move.detach())
                if penalty is not None:
                    score = score - penalty[t, u]
                u += 1
            else:
                score, t = score + logp[t, u, blank], t + 1
        total.append(score + logp[t, u, blank])
    return -torch.stack(total).logsumexp(0)


def reference(logits, labels, frames, counts, **options):
    penalty = options.pop("penalty", None)
    return torch.stack(
        [
            enumerated(
                logits[i, :t, : u + 1],
                labels[i, :u],
                penalty=None if penalty is None else penalty[i, :t, :u],
                **options,
            )
            for i, (t, u) in enumerate(zip(frames.tolist(), counts.tolist(), strict=True))
        ]
    )


def test_by_hand_two_frames_one_label():
    # Fair coin at each node. Paths: label at frame 0, or at frame 1; each has three moves, so P = 2/8.
    logits = torch.zeros(1, 2, 2, 2, requires_grad=True)
    loss = transducer_loss(logits, torch.tensor([[1]]), torch.tensor([2]), torch.tensor([1]))
    assert loss.item() == pytest.approx(math.log(4), abs=1e-6)
    loss.backward()
    # (0,0): half of the mass leaves by blank, half by label -> 0; (0,1): half arrives, all leaves by blank;
    # (1,0): half arrives, all leaves by label; (1,1): all arrives, all leaves by blank.
    expected = torch.tensor([[[[0.0, 0.0], [-0.25, 0.25]], [[0.25, -0.25], [-0.5, 0.5]]]])
    torch.testing.assert_close(logits.grad, expected)


def test_by_hand_unequal_probabilities():
    # P(label) is 0.2 at (0,0) and 0.5 at (1,0); blank is 0.9 at (0,1), 0.6 at (1,1).
    # P = 0.2*0.9*0.6 + 0.8*0.5*0.6 = 0.108 + 0.24 = 0.348.
    logits = torch.tensor([[[[0.8, 0.2], [0.9, 0.1]], [[0.5, 0.5], [0.6, 0.4]]]]).log()
    loss = transducer_loss(logits, torch.tensor([[1]]), torch.tensor([2]), torch.tensor([1]))
    assert loss.item() == pytest.approx(-math.log(0.348), abs=1e-6)


def test_no_labels_is_a_product_of_blanks():
    logits, labels, frames, counts = batch(0, [(4, 0)])
    expected = -logits[0, :, 0].log_softmax(-1)[:, 0].sum()
    torch.testing.assert_close(transducer_loss(logits, labels, frames, counts), expected)


def test_one_frame_is_a_product_down_the_column():
    logits, labels, frames, counts = batch(1, [(1, 3)])
    logp = logits[0, 0].log_softmax(-1)
    expected = -(logp[:3].gather(1, labels[0][:, None]).sum() + logp[3, 0])
    torch.testing.assert_close(transducer_loss(logits, labels, frames, counts), expected)


@settings(max_examples=40, deadline=None)
@given(
    seed=SEEDS,
    sizes=st.lists(st.tuples(st.integers(1, 4), st.integers(0, 4)), min_size=1, max_size=4),
    blank=st.integers(0, 4),
    boost=st.sampled_from([0.0, 0.3]),
    penalised=st.booleans(),
)
def test_value_and_gradient_equal_the_enumeration(seed, sizes, blank, boost, penalised):
    logits, labels, frames, counts = batch(seed, sizes, blank=blank)
    cost = 3 * torch.rand(logits.shape[0], logits.shape[1], labels.shape[1], dtype=logits.dtype)
    penalty = cost if penalised else None
    ours, slow = logits.clone().requires_grad_(), logits.clone().requires_grad_()
    losses = transducer_loss(
        ours, labels, frames, counts, blank=blank, fastemit=boost, penalty=penalty, reduction="none"
    )
    expected = reference(slow, labels, frames, counts, blank=blank, boost=boost, penalty=penalty)
    # float64, sums of at most 35 paths of order-1 scores
    torch.testing.assert_close(losses, expected, rtol=1e-11, atol=1e-11)
    weights = torch.linspace(-1.0, 2.0, len(sizes), dtype=logits.dtype)  # a negative weight too
    (losses * weights).sum().backward()
    (expected * weights).sum().backward()
    torch.testing.assert_close(ours.grad, slow.grad.nan_to_num(), rtol=1e-10, atol=1e-11)


def test_finite_differences():
    logits, labels, frames, counts = batch(2, [(4, 3), (3, 3), (4, 0), (1, 2)])
    logits = logits.nan_to_num().requires_grad_()
    penalty = end_time_penalty(torch.tensor([[1.0, 2, 3]] * 4, dtype=torch.float64), 4, early_scale=0.5)
    for reduction in ("mean", "sum", "none"):
        assert torch.autograd.gradcheck(
            lambda z, r=reduction: transducer_loss(z, labels, frames, counts, penalty=penalty, reduction=r),
            (logits,),
        )


def test_padding_gets_a_gradient_of_exactly_zero_and_is_never_read():
    logits, labels, frames, counts = batch(3, [(6, 2), (2, 5), (4, 0)])
    inside = ~logits.isnan()
    logits.requires_grad_()
    transducer_loss(logits, labels, frames, counts).backward()
    assert (logits.grad[~inside] == 0).all()
    assert (logits.grad[inside] != 0).all()


@settings(max_examples=25, deadline=None)
@given(seed=SEEDS)
def test_invariances(seed):
    sizes = [(5, 3), (7, 2), (3, 4)]
    logits, labels, frames, counts = batch(seed, sizes, classes=6)
    losses = transducer_loss(logits, labels, frames, counts, reduction="none")
    g = torch.Generator().manual_seed(seed)
    shifted = logits + torch.randn(logits.shape[:3], generator=g, dtype=logits.dtype)[..., None]
    close = {"rtol": 1e-10, "atol": 1e-10}
    torch.testing.assert_close(
        transducer_loss(shifted, labels, frames, counts, reduction="none"), losses, **close
    )
    new_class = torch.randperm(6, generator=g)  # class v is called new_class[v]
    renamed = torch.empty_like(logits).index_copy_(-1, new_class, logits)
    relabelled = new_class[labels.clamp_min(0)]
    moved = transducer_loss(renamed, relabelled, frames, counts, blank=int(new_class[0]), reduction="none")
    torch.testing.assert_close(moved, losses, **close)
    order = torch.tensor([2, 0, 1])
    permuted = transducer_loss(logits[order], labels[order], frames[order], counts[order], reduction="none")
    assert torch.equal(permuted, losses[order])
    for i, (t, u) in enumerate(sizes):
        alone = transducer_loss(
            logits[i : i + 1, :t, : u + 1], labels[i : i + 1, :u], frames[i : i + 1], counts[i : i + 1]
        )
        torch.testing.assert_close(alone, losses[i], **close)


def test_gradient_sums_to_zero_over_classes():
    logits, labels, frames, counts = batch(4, [(5, 3)])
    logits.requires_grad_()
    transducer_loss(logits, labels, frames, counts, fastemit=0.1).backward()
    torch.testing.assert_close(logits.grad.sum(-1), torch.zeros(1, 5, 4, dtype=torch.float64))


def test_total_probability_of_all_label_strings_is_one():
    # One frame, strings of at most 12 labels, a fair coin: sum over n of 2^-(n+1) -> 1 - 2^-13.
    total = sum(
        transducer_loss(
            torch.zeros(1, 1, n + 1, 2),
            torch.ones(1, n, dtype=torch.long),
            torch.tensor([1]),
            torch.tensor([n]),
        )
        .neg()
        .exp()
        .item()
        for n in range(13)
    )
    assert total == pytest.approx(1 - 2**-13, abs=1e-6)


def test_float32_follows_float64_on_long_peaky_input():
    logits, labels, frames, counts = batch(5, [(200, 40), (150, 10)], classes=12, scale=8.0)
    wide, narrow = logits.clone().requires_grad_(), logits.float().requires_grad_()
    long_loss = transducer_loss(wide, labels, frames, counts)
    short_loss = transducer_loss(narrow, labels, frames, counts)
    assert short_loss.dtype == torch.float32
    # The loss is near 1000; inputs rounded to float32 carry 240 moves x 8 x 6e-8.
    assert short_loss.item() == pytest.approx(long_loss.item(), rel=1e-5)
    long_loss.backward()
    short_loss.backward()
    torch.testing.assert_close(narrow.grad.double(), wide.grad, atol=1e-4, rtol=0)


def test_reductions_agree():
    problem = batch(6, [(4, 2), (3, 1)])
    each = transducer_loss(*problem, reduction="none")
    assert each.shape == (2,)
    torch.testing.assert_close(transducer_loss(*problem, reduction="sum"), each.sum())
    torch.testing.assert_close(transducer_loss(*problem), each.mean())


def test_no_gradient_requested_gives_the_same_value():
    problem = batch(7, [(4, 2), (3, 1)])
    with_gradient = transducer_loss(problem[0].clone().requires_grad_(), *problem[1:])
    assert torch.equal(with_gradient.detach(), transducer_loss(*problem))


def test_fastemit_keeps_the_value_and_moves_mass_to_labels():
    logits, labels, frames, counts = batch(8, [(6, 3)])
    plain, boosted = logits.clone().requires_grad_(), logits.clone().requires_grad_()
    a = transducer_loss(plain, labels, frames, counts)
    b = transducer_loss(boosted, labels, frames, counts, fastemit=0.5)
    assert torch.equal(a, b)
    a.backward()
    b.backward()
    rows = torch.arange(3)
    assert (boosted.grad[0, :, rows, labels[0]] <= plain.grad[0, :, rows, labels[0]]).all()


def test_end_time_penalty_by_hand():
    cost = end_time_penalty(torch.tensor([[2.0, math.nan]]), 6, early_scale=0.5, late_scale=3.0, buffer=1.0)
    assert cost[0, :, 0].tolist() == [1.0, 0.5, 0.0, 0.0, 3.0, 6.0]
    assert cost[0, :, 1].tolist() == [0.0] * 6


def test_late_penalty_pulls_the_emission_forward():
    logits = torch.zeros(1, 8, 2, 3, dtype=torch.float64)
    penalty = end_time_penalty(torch.tensor([[2.0]], dtype=torch.float64), 8, late_scale=5.0)
    problem = torch.tensor([[1]]), torch.tensor([8]), torch.tensor([1])

    def expected_time(cost):
        z = logits.clone().requires_grad_()
        transducer_loss(z, *problem, penalty=cost).backward()
        # the third class is never a target: its gradient is p * occupancy of the node, 1/3 each
        arrive = 3 * z.grad[0, :, 0, 2]
        return (arrive.sum() - 1).item()  # nodes visited on row 0, less one = frame of the label

    assert expected_time(None) == pytest.approx(3.5)  # uniform over frames 0..7
    # frames 0, 1, 2 weigh 1 each, frame 2+d weighs e^-5d
    weights = [math.exp(-5 * max(0, t - 2)) for t in range(8)]
    assert expected_time(penalty) == pytest.approx(sum(t * w for t, w in enumerate(weights)) / sum(weights))


def test_emission_scores_are_log_probabilities():
    logits, labels, frames, counts = batch(9, [(3, 2), (2, 1)])
    norm, stay, write = emission_scores(logits, labels, frames, counts)
    logp = logits.log_softmax(-1)
    torch.testing.assert_close(stay[0], logp[0, :, :, 0])
    torch.testing.assert_close(write[0, :, 1], logp[0, :, 1, labels[0, 1]])
    torch.testing.assert_close(norm[0], logits[0].logsumexp(-1))
    assert (write[1, :, 1:] == -math.inf).all()
    assert (stay[1, 2:] == -math.inf).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"labels": torch.tensor([[1, 0], [1, 2]])},
            r"labels\[0, 1\] is 0; expected 0\.\.4 and not the blank",
        ),
        ({"labels": torch.tensor([[1, 2], [5, 2]])}, r"labels\[1, 0\] is 5; expected 0\.\.4"),
        ({"labels": torch.tensor([[1, 2], [-1, 2]])}, r"labels\[1, 0\] is -1"),
        ({"frame_lengths": torch.tensor([3, 0])}, r"frame_lengths are \[3, 0\]; expected 1\.\.3"),
        ({"frame_lengths": torch.tensor([3, 4])}, r"expected 1\.\.3"),
        ({"label_lengths": torch.tensor([2, 3])}, r"label_lengths are \[2, 3\]; expected 0\.\.2"),
        ({"label_lengths": torch.tensor([2, -1])}, r"expected 0\.\.2"),
        (
            {"logits": torch.zeros(2, 3, 3, 5, dtype=torch.float16)},
            "logits are torch.float16; expected float32",
        ),
        ({"logits": torch.zeros(2, 3, 3, 5).fill_(math.nan)}, "utterance 0 of the batch"),
        ({"logits": torch.zeros(2, 3, 3, 5).fill_(math.inf)}, "utterance 0 of the batch"),
        ({"blank": 5}, r"blank is 5; expected 0\.\.4"),
        ({"fastemit": -0.1}, "fastemit is -0.1; expected a number >= 0"),
        ({"fastemit": math.nan}, "fastemit is nan"),
        ({"penalty": torch.full((2, 3, 2), math.inf)}, "penalty has a value that is not finite"),
    ],
)
def test_refusals(change, message):
    arguments = {
        "logits": torch.zeros(2, 3, 3, 5),
        "labels": torch.tensor([[1, 2], [3, 4]]),
        "frame_lengths": torch.tensor([3, 2]),
        "label_lengths": torch.tensor([2, 1]),
    }
    with pytest.raises(ValueError, match=message):
        transducer_loss(**(arguments | change))


def test_impossible_utterance_is_named():
    logits = torch.zeros(2, 3, 2, 3)
    logits[1, :, 0, 1] = -math.inf  # the only label can never be written
    with pytest.raises(ValueError, match="utterance 1 of the batch: log-likelihood is -inf"):
        transducer_loss(logits, torch.tensor([[1], [1]]), torch.tensor([3, 3]), torch.tensor([1, 1]))


def test_a_forbidden_class_is_allowed_and_gets_no_gradient():
    logits, labels, frames, counts = batch(10, [(3, 2)])
    logits[..., 4] = -math.inf
    labels.clamp_max_(3)
    logits.requires_grad_()
    transducer_loss(logits, labels, frames, counts).backward()
    assert (logits.grad[..., 4] == 0).all()


def test_penalty_refuses_bad_scales():
    with pytest.raises(ValueError, match="early_scale=-1"):
        end_time_penalty(torch.zeros(1, 1), 3, early_scale=-1.0)


def test_by_hand_three_frames_two_labels():
    # the lattice of the page about the transducer: (blank, five, two) at each node, P = 0.1808
    p = torch.tensor(
        [
            [[0.6, 0.2, 0.2], [0.5, 0.1, 0.4], [0.8, 0.1, 0.1]],
            [[0.5, 0.4, 0.1], [0.5, 0.3, 0.2], [0.5, 0.25, 0.25]],
            [[0.2, 0.5, 0.3], [0.2, 0.3, 0.5], [0.8, 0.1, 0.1]],
        ],
        dtype=torch.float64,
    )[None]
    problem, logits = (torch.tensor([[1, 2]]), torch.tensor([3]), torch.tensor([2])), p.log().requires_grad_()
    loss = transducer_loss(logits, *problem)
    assert loss.item() == pytest.approx(-math.log(0.1808), abs=1e-12)
    loss.backward()
    blank, label = 0.6 * 0.212 / 0.1808, 0.2 * 0.268 / 0.1808  # shares of the two moves out of the start
    assert logits.grad[0, 0, 0].tolist() == pytest.approx([0.6 - blank, 0.2 - label, 0.2])
    visits = 0.226 * 0.8 / 0.1808  # all paths end by the blank of the last node
    assert logits.grad[0, 2, 2].tolist() == pytest.approx([visits * 0.8 - 1, 0.1, 0.1])


def test_penalised_value_by_hand():
    # as in test_by_hand_unequal_probabilities, the label costs 1 nat at frame 0 and 3 at frame 1
    logits = torch.tensor([[[[0.8, 0.2], [0.9, 0.1]], [[0.5, 0.5], [0.6, 0.4]]]], dtype=torch.float64).log()
    penalty = torch.tensor([[[1.0], [3.0]]], dtype=torch.float64)
    problem = torch.tensor([[1]]), torch.tensor([2]), torch.tensor([1])
    loss = transducer_loss(logits, *problem, penalty=penalty)
    assert loss.item() == pytest.approx(-math.log(0.108 * math.exp(-1) + 0.24 * math.exp(-3)))
    free = transducer_loss(logits, *problem, penalty=torch.zeros_like(penalty))
    assert torch.equal(free, transducer_loss(logits, *problem))


@settings(max_examples=20, deadline=None)
@given(seed=SEEDS, boost=st.floats(0.0, 2.0))
def test_fastemit_adds_a_multiple_of_the_label_part(seed, boost):
    # the gradient is linear in lambda, and the part that grows is zero where no label can be written
    logits, labels, frames, counts = batch(seed, [(4, 2), (3, 0), (1, 2)])
    grads = []
    for weight in (0.0, 1.0, boost):
        z = logits.clone().requires_grad_()
        transducer_loss(z, labels, frames, counts, fastemit=weight, reduction="sum").backward()
        grads.append(z.grad)
    grown = grads[1] - grads[0]
    torch.testing.assert_close(grads[2], grads[0] + boost * grown, atol=1e-12, rtol=0)
    assert grown[1].abs().sum() == 0
    assert grown[0, :, 2].abs().sum() == 0


def test_end_times_may_differ_between_utterances_and_need_not_be_known():
    ends = torch.tensor([[0.0, 2.0], [3.0, math.nan]])
    cost = end_time_penalty(ends, 4)
    assert cost.shape == (2, 4, 2)
    assert cost[1, :, 0].tolist() == [0, 0, 0, 0]
    assert cost[0, :, 0].tolist() == [0, 1, 2, 3]
    assert cost[0, :, 1].tolist() == [0, 0, 0, 1]
    assert cost[1, :, 1].tolist() == [0, 0, 0, 0]


@settings(max_examples=20, deadline=None)
@given(seed=SEEDS)
def test_more_penalty_never_lowers_the_loss(seed):
    logits, labels, frames, counts = batch(seed, [(5, 3), (4, 2)])
    g = torch.Generator().manual_seed(seed)
    some = torch.rand(2, 5, 3, generator=g, dtype=torch.float64)
    more = some + torch.rand(2, 5, 3, generator=g, dtype=torch.float64)
    losses = [
        transducer_loss(logits, labels, frames, counts, penalty=cost, reduction="none")
        for cost in (None, some, more)
    ]
    assert (losses[0] < losses[1]).all()
    assert (losses[1] < losses[2]).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"logits": torch.zeros(2, 3, 5)}, r"logits have shape \(2, 3, 5\); expected \(B, T, U\+1, V\)"),
        ({"logits": torch.zeros(2, 0, 3, 5)}, r"logits have shape \(2, 0, 3, 5\)"),
        ({"labels": torch.ones(2, 3).long()}, r"labels has shape \(2, 3\); .* need \(2, 2\)"),
        ({"frame_lengths": torch.tensor([3])}, r"frame_lengths has shape \(1,\); .* need \(2,\)"),
        ({"label_lengths": torch.tensor([[2, 1]])}, r"label_lengths has shape \(1, 2\)"),
        ({"penalty": torch.zeros(2, 3, 3)}, r"penalty has shape \(2, 3, 3\); .* need \(2, 3, 2\)"),
        ({"reduction": "average"}, "reduction is 'average'; expected 'mean', 'sum' or 'none'"),
    ],
)
def test_refusals_of_shapes_without_the_shape_checks_of_tests(change, message):
    # jaxtyping refuses these first under pytest; a notebook has only the kernel's own messages
    arguments = {
        "logits": torch.zeros(2, 3, 3, 5),
        "labels": torch.tensor([[1, 2], [3, 4]]),
        "frame_lengths": torch.tensor([3, 2]),
        "label_lengths": torch.tensor([2, 1]),
    }
    with pytest.raises(ValueError, match=message):
        inspect.unwrap(transducer_loss)(**(arguments | change))
