"""Exact transducer (RNN-T) loss with its closed-form gradient.

The loss is -log of the summed probability of every alignment of the labels to the frames (Graves 2012, eq.
17; the sums are in `echobook.speech.lattice`). With p = softmax(z) and gb, gl the posterior occupancies of
the blank and label moves at node (t, u), the gradient with respect to the logits is (Graves 2012, eqs. 19-20)

    dL/dz[t, u, v] = (gb + gl) p[v] - gb [v = blank] - gl [v = label u+1]

so no graph over the lattice is kept. FastEmit (Yu et al. 2021, eq. 9) multiplies gl by 1 + lambda in that
formula and leaves the value as it is. A penalty added to the label moves leaves the formula as it is too: the
occupancies are then those of the penalised lattice.

Axes: B utterances, T frames, U labels, U1 = U+1 rows, V classes, blank included.
Cost: O(B T U1 V) time. Beyond the logits: one copy for the gradient, and one utterance's share of
temporaries. Numerical choices: normalisation in the logits' dtype, lattice in float64. Utterances are
normalised one by one, so that padding costs nothing and never reaches the result. torchaudio and
warp-transducer compute the same value; where "mean" divides by the label count elsewhere, here it averages
over utterances.
"""

from typing import Any, Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.autograd.function import once_differentiable

from echobook.speech.lattice import NEVER, Occupancy, occupancy

Reduction = Literal["mean", "sum", "none"]


def transducer_loss(
    logits: Float[Tensor, "B T U1 V"],
    labels: Int[Tensor, "B U"],
    frame_lengths: Int[Tensor, " B"],
    label_lengths: Int[Tensor, " B"],
    *,
    blank: int = 0,
    fastemit: float = 0.0,
    penalty: Float[Tensor, "B T U"] | None = None,
    reduction: Reduction = "mean",
) -> Float[Tensor, "..."]:
    """-log P(labels | frames), in nats.

    logits: unnormalised scores of the joiner, float32 or float64; row u follows u
        labels.
    labels: class indices, never `blank`; what stands at and after `label_lengths` is
        ignored.
    frame_lengths, label_lengths: from 1 to T and from 0 to U.
    fastemit: lambda >= 0, extra gradient for the label moves.
    penalty: subtracted from the score of label u+1 at frame t (see `end_time_penalty`);
        finite, not trained.
    reduction: "mean" over utterances, "sum", or "none" for shape (B,).

    The gradient outside each utterance's own T_i x (U_i + 1) cells is exactly 0, and
    values there are never read. Raises ValueError for shapes, lengths, labels or
    options out of range, and for an utterance whose loss is not finite (NaN or infinite
    logits); the message names the utterance.
    """
    _check_shapes(logits, labels, frame_lengths, label_lengths, penalty)
    _check_values(labels, frame_lengths, label_lengths, logits.shape, blank)
    if not fastemit >= 0:
        raise ValueError(f"fastemit is {fastemit}; expected a number >= 0")
    if reduction not in ("mean", "sum", "none"):
        found = f"reduction is {reduction!r}"
        raise ValueError(f"{found}; expected 'mean', 'sum' or 'none'")
    losses: Tensor = _TransducerLoss.apply(
        logits,
        labels.long(),
        frame_lengths.long(),
        label_lengths.long(),
        penalty,
        blank,
        fastemit,
    )
    return losses if reduction == "none" else getattr(losses, reduction)()


def end_time_penalty(
    end_times: Float[Tensor, "B U"],
    frames: int,
    *,
    early_scale: float = 0.0,
    late_scale: float = 1.0,
    buffer: float = 0.0,
) -> Float[Tensor, "B T U"]:
    """Cost of writing each label before or after its own end time (Li et al. 2020, arXiv 2004.11544).

        early_scale * max(0, end - t) + late_scale * max(0, t - end - buffer)

    end_times: frame at which the label truly ends; NaN for a label that is free to come at any time.
    buffer: frames of grace after the end. Scales are nats per frame and, like the buffer, >= 0.
    """
    if min(early_scale, late_scale, buffer) < 0 or frames < 1:
        raise ValueError(
            f"expected scales and buffer >= 0 and frames >= 1; "
            f"got {early_scale=}, {late_scale=}, {buffer=}, {frames=}"
        )
    time = torch.arange(frames, dtype=end_times.dtype, device=end_times.device)[None, :, None]
    delay = time - end_times[:, None, :]  # (B, T, U)
    cost = early_scale * (-delay).clamp_min(0) + late_scale * (delay - buffer).clamp_min(0)
    return cost.nan_to_num(nan=0.0)


class _TransducerLoss(torch.autograd.Function):
    """Value in forward, occupancies kept; gradient with respect to the logits in backward."""

    @staticmethod
    def forward(
        ctx: Any,
        logits: Tensor,
        labels: Tensor,
        frame_lengths: Tensor,
        label_lengths: Tensor,
        penalty: Tensor | None,
        blank: int,
        fastemit: float,
    ) -> Tensor:
        norm, stay, write = emission_scores(logits, labels, frame_lengths, label_lengths, blank=blank)
        if penalty is not None:
            write[:, :, :-1] -= penalty
        found = occupancy(stay, write, frame_lengths, label_lengths, moves=ctx.needs_input_grad[0])
        _check_evidence(found, norm)
        ctx.save_for_backward(logits, labels, frame_lengths, label_lengths, norm, found.blank, found.label)
        ctx.blank, ctx.boost = blank, 1 + fastemit
        return -found.log_likelihood.to(logits.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *upstream: Tensor) -> tuple[Tensor | None, ...]:
        logits, labels, frame_lengths, label_lengths, norm, stay, write = ctx.saved_tensors
        gradient = torch.zeros_like(logits)
        stay, write = (g * upstream[0][:, None, None].double() for g in (stay, write * ctx.boost))
        for i, (frames, count) in enumerate(zip(frame_lengths.tolist(), label_lengths.tolist(), strict=True)):
            own = (i, slice(frames), slice(count + 1))
            _fill_gradient(
                gradient[own], logits[own], norm[own], stay[own], write[own], labels[i, :count], ctx.blank
            )
        return gradient, None, None, None, None, None, None


def emission_scores(
    logits: Float[Tensor, "B T U1 V"],
    labels: Int[Tensor, "B U"],
    frame_lengths: Int[Tensor, " B"],
    label_lengths: Int[Tensor, " B"],
    *,
    blank: int = 0,
) -> tuple[Float[Tensor, "B T U1"], Float[Tensor, "B T U1"], Float[Tensor, "B T U1"]]:
    """Normaliser log sum exp(z), and log-probability of the blank and of the next label, at every node.

    Nodes outside an utterance hold 0 (normaliser) and -inf (moves), as does the label move of the last row.
    """
    shape = logits.shape[:3]
    norm, stay, write = logits.new_zeros(shape), logits.new_full(shape, NEVER), logits.new_full(shape, NEVER)
    for i, (frames, count) in enumerate(zip(frame_lengths.tolist(), label_lengths.tolist(), strict=True)):
        own = logits[i, :frames, : count + 1]  # (T, U1, V)
        norm[i, :frames, : count + 1] = own.logsumexp(-1)
        stay[i, :frames, : count + 1] = own[..., blank]
        write[i, :frames, :count] = own[:, torch.arange(count), labels[i, :count]]
    return norm, stay.sub_(norm), write.sub_(norm)


def _fill_gradient(
    out: Tensor,
    logits: Tensor,
    norm: Tensor,
    stay: Tensor,
    write: Tensor,
    labels: Tensor,
    blank: int,
) -> None:
    """In place: (stay + write) * softmax(logits) - stay on blanks - write on labels."""
    total = (stay + write).to(out.dtype)
    torch.sub(logits, norm[..., None], out=out)
    out.exp_().mul_(total[..., None])
    out[..., blank] -= stay
    rows = torch.arange(len(labels))
    out[:, rows, labels] -= write[:, :-1].to(out.dtype)


def _check_shapes(
    logits: Tensor, labels: Tensor, frame_lengths: Tensor, label_lengths: Tensor, penalty: Tensor | None
) -> None:
    if logits.ndim != 4 or 0 in logits.shape:
        raise ValueError(f"logits have shape {tuple(logits.shape)}; expected (B, T, U+1, V), none of them 0")
    if logits.dtype not in (torch.float32, torch.float64):
        raise ValueError(f"logits are {logits.dtype}; expected float32 or float64: convert with .float()")
    batch, frames, rows, _ = logits.shape
    expected: dict[str, tuple[Tensor | None, tuple[int, ...]]] = {
        "labels": (labels, (batch, rows - 1)),
        "frame_lengths": (frame_lengths, (batch,)),
        "label_lengths": (label_lengths, (batch,)),
        "penalty": (penalty, (batch, frames, rows - 1)),
    }
    for name, (tensor, shape) in expected.items():
        if tensor is not None and tuple(tensor.shape) != shape:
            raise ValueError(
                f"{name} has shape {tuple(tensor.shape)}; logits of shape {tuple(logits.shape)} need {shape}"
            )
    if penalty is not None and not penalty.isfinite().all():
        raise ValueError("penalty has a value that is not finite; write 0 where a label is free")


def _check_values(
    labels: Tensor, frame_lengths: Tensor, label_lengths: Tensor, shape: torch.Size, blank: int
) -> None:
    _, frames, rows, classes = shape
    if not 0 <= blank < classes:
        raise ValueError(f"blank is {blank}; expected 0..{classes - 1} for {classes} classes")
    for name, lengths, low, high in (
        ("frame_lengths", frame_lengths, 1, frames),
        ("label_lengths", label_lengths, 0, rows - 1),
    ):
        if lengths.min() < low or lengths.max() > high:
            raise ValueError(f"{name} are {lengths.tolist()}; expected {low}..{high}")
    used = torch.arange(rows - 1, device=labels.device) < label_lengths[:, None]  # (B, U)
    wrong = used & ((labels < 0) | (labels >= classes) | (labels == blank))
    if wrong.any():
        i, u = wrong.nonzero()[0].tolist()
        raise ValueError(
            f"labels[{i}, {u}] is {labels[i, u].item()}; "
            f"expected 0..{classes - 1} and not the blank ({blank})"
        )


def _check_evidence(found: Occupancy, norm: Tensor) -> None:
    bad = ~found.log_likelihood.isfinite() | ~norm.isfinite().flatten(1).all(1)
    if bad.any():
        i = int(bad.nonzero()[0])
        raise ValueError(
            f"utterance {i} of the batch: log-likelihood is {found.log_likelihood[i].item()}; "
            "its logits hold NaN or infinity, or forbid every alignment; "
            "look at the inputs and the learning rate"
        )
