"""A phoneme transducer with places where context may enter: encodings, predictions, their sum.

Any part of `parts` fits any place; a place without a part leaves its stream alone, and so does a turn whose
context is None (late or absent): then the result is the base's own, to the last bit, by running no part at
all. A trained no-bias row is not the same: it still adds what the part has learnt to add for it.

Axes: B utterances, T frames, U labels, U1 = U+1, E encoding, W hypotheses, H labels remembered, V classes.
"""

from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from echobook.papers.contextual_asr.acts import ActFusion
from echobook.papers.contextual_asr.context import Context, ContextEncoder
from echobook.papers.contextual_asr.parts import Projected
from echobook.speech.biasing.alignment import Paths, path_loss, pick
from echobook.speech.biasing.catalogues import Catalogue
from echobook.speech.biasing.search import Logits
from echobook.speech.model import BLANK, Transducer
from echobook.speech.transducer import transducer_loss

Prepared = Mapping[str, Projected]
PLACES = ("encoder", "predictor", "joint")


class ContextualTransducer(nn.Module):
    """Base, context encoder, parts by place, and a fusion of dialogue acts if any. `frozen` keeps the base as
    it is: weights, dropout, norms."""

    def __init__(
        self,
        base: Transducer,
        context: ContextEncoder,
        parts: Mapping[str, nn.Module],
        *,
        frozen: bool = True,
        acts: ActFusion | None = None,
    ) -> None:
        super().__init__()
        if unknown := sorted(set(parts) - set(PLACES)):
            raise ValueError(f"place {unknown[0]!r} is unknown; expected some of {', '.join(PLACES)}")
        self.base, self.context, self.frozen = base, context, frozen
        self.parts = nn.ModuleDict(dict(parts))
        self.acts = acts
        if frozen:
            base.requires_grad_(False)

    def train(self, mode: bool = True) -> "ContextualTransducer":
        """Training mode, which a frozen base does not follow."""
        super().train(mode)
        if self.frozen:
            self.base.eval()
        return self

    def prepare(self, catalogue: Catalogue | None) -> Prepared | None:
        """Encode and project a catalogue: once per turn, however long the turn is."""
        return None if catalogue is None else self.project(self.context(catalogue))

    def project(self, context: Context) -> Prepared:
        """Keys and values of each part for an encoded context."""
        return {place: self._part(place).attention.project(context) for place in self.parts}

    def _part(self, place: str) -> Any:
        return self.parts[place]

    def apply_part(self, place: str, stream: Float[Tensor, "B *S E"], prepared: Prepared | None) -> Tensor:
        """The stream at one place, with context if the place has a part and the turn a context."""
        if prepared is None or place not in self.parts:
            return stream
        return self._part(place)(stream, prepared[place])

    @property
    def hears_anew(self) -> bool:
        """Whether the base's own encodings will not do: it is trained too, or acts change what it hears."""
        return not self.frozen or (self.acts is not None and self.acts.first is not None)

    def hear(
        self, frames: Float[Tensor, "B T D"], lengths: Int[Tensor, " B"], acts: Int[Tensor, "B 2"] | None
    ) -> tuple[Float[Tensor, "B S E"], Int[Tensor, " B"]]:
        """Encodings before the catalogue. Frames are features, or the base's encodings unless `hears_anew`.

        Acts are ignored by a model without their fusion. Raises ValueError where it has one and gets none.
        """
        if self.acts is None:
            return self.base.encoder(frames, lengths) if self.hears_anew else (frames, lengths)
        if acts is None:
            raise ValueError("this model has a fusion of acts; expected one act for each turn, got none")
        if self.hears_anew:
            frames, lengths = self.base.encoder(self.acts.early(frames, acts), lengths)
        kept = (torch.arange(frames.shape[1]) < lengths[:, None])[..., None]
        return self.acts.late(frames, acts) * kept, lengths  # silence, 0, behind the end: as of the base

    def encode(
        self, frames: Float[Tensor, "B T D"], lengths: Int[Tensor, " B"], prepared: Prepared | None
    ) -> tuple[Float[Tensor, "B S E"], Int[Tensor, " B"]]:
        """Encodings of a batch, biased at the encoder's place."""
        encodings, lengths = self.base.encoder(frames, lengths)
        return self.apply_part("encoder", encodings, prepared), lengths

    def join(
        self,
        encodings: Float[Tensor, "B *a E"],
        predictions: Float[Tensor, "B *b E"],
        prepared: Prepared | None,
    ) -> Float[Tensor, "B *c V"]:
        """Logits from encodings and predictions that broadcast, biased at the joint's place."""
        if prepared is None or "joint" not in self.parts:
            return self.base.joiner(encodings, predictions)
        joint = self.apply_part("joint", encodings + predictions, prepared)
        return self.base.joiner.output(torch.tanh(joint))

    def loss_of_encodings(
        self,
        encodings: Float[Tensor, "B T E"],
        lengths: Int[Tensor, " B"],
        labels: Int[Tensor, "B U"],
        label_lengths: Int[Tensor, " B"],
        prepared: Prepared | None,
    ) -> Float[Tensor, ""]:
        """Mean transducer loss from the base's own encodings, which a frozen base need compute only once."""
        biased = self.apply_part("encoder", encodings, prepared)
        predictions = self.apply_part("predictor", self.base.predictor(labels), prepared)
        logits = self.join(biased[:, :, None], predictions[:, None], prepared)
        return transducer_loss(logits, labels, lengths, label_lengths, blank=BLANK)

    def loss_along(
        self,
        encodings: Float[Tensor, "B T E"],
        labels: Int[Tensor, "B U"],
        paths: Paths,
        prepared: Prepared | None,
    ) -> Float[Tensor, ""]:
        """Mean loss along one path each; `loss_of_encodings` sums over all paths, at many times the cost."""
        biased = self.apply_part("encoder", encodings, prepared)
        predictions = self.apply_part("predictor", self.base.predictor(labels), prepared)
        logits = self.join(pick(biased, paths.times), pick(predictions, paths.rows), prepared)
        return path_loss(logits, paths)

    def looked_at(
        self, encodings: Float[Tensor, "B T E"], labels: Int[Tensor, "B U"], paths: Paths, prepared: Prepared
    ) -> dict[str, Float[Tensor, "B N K1"]]:
        """Attention of each part at the moves of the paths, the mean over its heads."""
        predictions = self.base.predictor(labels)
        streams = {"encoder": (encodings, paths.times), "predictor": (predictions, paths.rows)}
        if "joint" in self.parts:
            biased = self.apply_part("encoder", encodings, prepared)
            guessed = self.apply_part("predictor", predictions, prepared)
            joined = pick(biased, paths.times) + pick(guessed, paths.rows)
            streams["joint"] = (joined, torch.arange(joined.shape[1]).expand(joined.shape[:2]))
        found = {}
        for place in self.parts:
            stream, moves = streams[place]
            weights = self._part(place).attention.weights(stream, prepared[place]).mean(1)
            found[place] = pick(weights, moves)
        return found

    def logits(self, prepared: Prepared | None) -> Logits:
        """What `WordSearch` asks for: logits from one frame's encodings and each hypothesis's last labels."""

        def step(encodings: Float[Tensor, "B E"], history: Int[Tensor, "B W H"]) -> Float[Tensor, "B W V"]:
            predictions = self.apply_part("predictor", self.base.predictor.after(history), prepared)
            return self.join(encodings[:, None], predictions, prepared)

        return step
