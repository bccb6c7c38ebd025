"""TANDA and its relatives as recipes: a start, a head, and stages of fine-tuning one after the other.

TANDA (Garg, Vu and Moschitti 2020) minimises the binary cross-entropy of a cross-encoder first on a large
general set (*transfer*), then, encoder and head kept, on the target set (*adapt*):

    theta_0 --transfer--> theta_1 --adapt--> theta_2,       plain fine-tuning: theta_0 --target--> theta'.

Every row of the chapter is a :class:`Recipe`. Each stage has a learning-rate schedule and an optimiser of its
own, a fixed number of updates, and keeps its last weights: no early stopping. A row that is compared with
another has the same total of updates. Training runs in bfloat16 autocast without dropout, pairs cut at
``max_tokens``. Rows that share their first stage share its weights within a seed.

Letters: N pairs. Cost: the tokens of all batches; memory: one model, its optimiser, and the weights kept.
"""

import time
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
from jaxtyping import Float
from torch import Tensor

from echobook.papers.tanda.starts import Starts
from echobook.text.batches import MULTIPLE, Encoded, encode_texts
from echobook.text.finetuning import Settings, Task, fine_tune
from echobook.text.heads import Classifier, PairHead, PoolerHead
from echobook.text.inference import predict

TASK = "answers"
KEPT = 3  # models of first stages that stay in memory


@dataclass(frozen=True)
class Stage:
    """One run of fine-tuning.

    Attributes:
        data: name of a training frame.
        steps: parameter updates.
        rate: peak learning rate of the encoder; the head's is ``Recipe.head_rate``.
    """

    data: str
    steps: int
    rate: float


@dataclass(frozen=True)
class Recipe:
    """Start, head and stages of one row.

    Attributes:
        stages: in order; the weights pass from one to the next.
        start: name of a starting encoder, see :class:`echobook.papers.tanda.starts.Starts`.
        head: ``pair`` (mean-pooled pair features) or ``pooler`` (the encoder's own pooler).
        batch_size: pairs of a batch.
        head_rate: peak learning rate of the head.
    """

    stages: tuple[Stage, ...]
    start: str = "pretrained"
    head: Literal["pair", "pooler"] = "pair"
    batch_size: int = 32
    head_rate: float = 1e-3

    def first(self) -> "Recipe":
        """The recipe that ends after the first stage."""
        return Recipe(self.stages[:1], self.start, self.head, self.batch_size, self.head_rate)


@dataclass(frozen=True)
class Outcome:
    """Scores of each evaluation frame's pairs, and the CPU seconds spent on this row alone."""

    scores: Mapping[str, Float[np.ndarray, " N"]]
    seconds: float


class Bench:
    """Trains recipes on named training frames and scores named evaluation frames.

    Args:
        frames: question, candidate and label columns, by name; training and evaluation alike.
        starts: where encoders and tokenizer come from.
        seed: of heads, batches and starts.
        max_tokens: longest pair; longer ones are cut and counted in ``truncated``.
        bf16: bfloat16 autocast in training and scoring.
    """

    def __init__(
        self,
        frames: Mapping[str, pd.DataFrame],
        starts: Starts,
        *,
        seed: int,
        max_tokens: int = 64,
        bf16: bool = True,
    ) -> None:
        self.frames, self.starts, self.seed = dict(frames), starts, seed
        self.max_tokens, self.bf16 = max_tokens, bf16
        self.truncated: dict[str, int] = {}
        self._encoded: dict[str, Encoded] = {}
        self._kept: OrderedDict[Recipe, dict[str, Tensor]] = OrderedDict()

    def encoded(self, name: str) -> Encoded:
        """Tokens of a frame's pairs, computed once.

        Raises:
            ValueError: an unknown frame; the known ones are listed.
        """
        if name not in self.frames:
            raise ValueError(f"no frame {name!r}; known: {', '.join(sorted(self.frames))}")
        if name not in self._encoded:
            frame = self.frames[name]
            sides = frame["question"].tolist(), frame["candidate"].tolist()
            encoded = encode_texts(self.starts.tokenizer, *sides, max_tokens=self.max_tokens)
            self._encoded[name], self.truncated[name] = encoded, encoded.truncated
        return self._encoded[name]

    def forget(self, name: str) -> None:
        """Drop a frame's tokens, because the frame was replaced."""
        self._encoded.pop(name, None)

    def run(self, recipe: Recipe, evaluate: tuple[str, ...]) -> Outcome:
        """Train a recipe and score the frames ``evaluate``; higher means a better answer."""
        started = time.process_time()
        model = self.train(recipe)
        scores = {name: self.score(model, name) for name in evaluate}
        return Outcome(scores, time.process_time() - started)

    def score(self, model: Classifier, name: str) -> Float[np.ndarray, " N"]:
        """Log odds of the positive class for each pair of a frame (unlike probabilities, they do not tie)."""
        found = predict(model, self.encoded(name), TASK, bf16=self.bf16, multiple=MULTIPLE)
        with np.errstate(divide="ignore"):
            odds = np.log(found[:, 1]) - np.log(found[:, 0])
        return np.clip(odds, -700, 700)

    def train(self, recipe: Recipe) -> Classifier:
        """The model at the end of a recipe."""
        model = self.fresh(recipe)
        done = 0
        if len(recipe.stages) > 1 or recipe in self._kept:
            model.load_state_dict(self._first_stage(recipe))
            done = 1
        for number, stage in enumerate(recipe.stages[done:], start=done):
            self._fit(model, recipe, stage, number)
        return model

    def _first_stage(self, recipe: Recipe) -> dict[str, Tensor]:
        """Weights after the first stage; the last few different ones are kept."""
        first = recipe.first()
        if first not in self._kept:
            self._kept[first] = self.train(first).state_dict()
        self._kept.move_to_end(first)
        while len(self._kept) > KEPT:
            self._kept.popitem(last=False)
        return self._kept[first]

    def fresh(self, recipe: Recipe) -> Classifier:
        """Start and head of a recipe, before any training."""
        encoder: Any = self.starts.encoder(recipe.start, seed=self.seed)
        width = int(encoder.config.hidden_size)
        head = (
            PairHead(width, 2, seed=self.seed)
            if recipe.head == "pair"
            else PoolerHead(width, 2, seed=self.seed, dropout=0.0)
        )
        return Classifier(encoder, {TASK: head})

    def _fit(self, model: Classifier, recipe: Recipe, stage: Stage, number: int) -> None:
        encoded = self.encoded(stage.data)
        labels = self.frames[stage.data]["label"].to_numpy(dtype=np.int64, copy=True)
        settings = Settings(
            steps=stage.steps,
            batch_size=recipe.batch_size,
            learning_rate=stage.rate,
            head_learning_rate=recipe.head_rate,
            bf16=self.bf16,
            seed=1000 * self.seed + number,
        )
        fine_tune(model, {TASK: Task(encoded, labels)}, settings)
