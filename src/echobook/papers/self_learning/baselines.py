"""The rivals of the chain: the nearest text that succeeds, a generator that writes, and the oracle's table.

The generator is a small pointer-generator trained on the users' own rephrasing.

Training pairs are consecutive turns of a session of which the first was not wanted and the second was. A
GRU reads the request, another writes the rephrase word by word; each word is a mixture of a word from the
vocabulary and one copied from the request (See, Liu and Manning 2017),

    p(w) = g p_vocabulary(w) + (1 - g) sum over t with x_t = w of a_t,    g = sigmoid(v [s; c]),

with decoder state s, attention a = softmax(s A h) over encoder states h, and context c = a h. Unlike the
chain it needs no counts of the very request, but nothing tells it whether what it writes is understood:
rewrites that nobody has ever said are dropped. Axis letters: B requests, T and U words, V vocabulary, D
width. Training takes O(pairs U (V + T) D) time. Word 0 is padding, 1 the end, 2 the start.
"""

from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float, Int
from sklearn.feature_extraction.text import TfidfVectorizer
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence, pad_sequence

from echobook.data.times import check_seconds
from echobook.data.unicode import nfc
from echobook.papers.self_learning.guardrails import sound_key
from echobook.papers.self_learning.material import Catalogue
from echobook.papers.self_learning.method import SessionGraph

PAD, END, START = 0, 1, 2


class PointerGenerator(nn.Module):
    """GRU encoder (both directions), GRU decoder, bilinear attention, and a gate: write or copy."""

    def __init__(self, words: int, *, width: int = 128) -> None:
        super().__init__()
        self.embedding = nn.Embedding(words, width, padding_idx=PAD)
        self.encoder = nn.GRU(width, width // 2, batch_first=True, bidirectional=True)
        self.decoder = nn.GRU(width, width, batch_first=True)
        self.attention = nn.Linear(width, width, bias=False)
        self.writer = nn.Linear(2 * width, words)
        self.gate = nn.Linear(2 * width, 1)

    def read(self, source: Int[Tensor, "B T"]) -> Float[Tensor, "B T D"]:
        """Encoder states, zero at padding; both directions see each request as if it stood alone."""
        lengths = (source != PAD).sum(1)
        packed = pack_padded_sequence(self.embedding(source), lengths, batch_first=True, enforce_sorted=False)
        return pad_packed_sequence(self.encoder(packed)[0], batch_first=True, total_length=source.shape[1])[0]

    def forward(
        self, source: Int[Tensor, "B T"], written: Int[Tensor, "B U"], memory: Float[Tensor, "B T D"]
    ) -> Float[Tensor, "B U V"]:
        """Probability of each next word after each word of `written`, which opens with START."""
        real = (source != PAD).unsqueeze(-1)
        opening = (memory * real).sum(1) / real.sum(1)  # (B, D)
        states, _ = self.decoder(self.embedding(written), opening.unsqueeze(0))
        scores = self.attention(states) @ memory.transpose(1, 2)  # (B, U, T)
        attention = scores.masked_fill(source.unsqueeze(1) == PAD, -torch.inf).softmax(-1)
        joined = torch.cat([states, attention @ memory], dim=-1)  # (B, U, 2 D)
        write = self.gate(joined).sigmoid()
        copied = source.unsqueeze(1).expand_as(attention)
        words = write * self.writer(joined).softmax(-1)
        return words.scatter_add(-1, copied, (1 - write) * attention)


def rephrase_pairs(log: pd.DataFrame, *, gap_s: float) -> list[tuple[str, str]]:
    """Failed requests with the rephrase that was wanted, within `gap_s` seconds (a real log's columns)."""
    check_seconds(float(log.time.abs().max() or 0.0), "column time of the log")
    turns = log.sort_values(["device", "time"], kind="stable", ignore_index=True)
    turns = turns.assign(text=turns.text.map(nfc, na_action="ignore"))
    after = turns.shift(-1)
    near = (turns.device == after.device) & (after.time - turns.time <= gap_s)
    chosen = near & (turns.outcome == 0) & (after.outcome == 1) & (turns.text != after.text)
    return list(zip(turns.text[chosen], after.text[chosen], strict=True))


def train(
    pairs: Sequence[tuple[str, str]], *, seed: int, epochs: int = 4, batch: int = 128, width: int = 128
) -> tuple[PointerGenerator, dict[str, int]]:
    """Fit a generator by Adam at 3e-3; returns it with its vocabulary. Raises ValueError without pairs."""
    if not pairs:
        raise ValueError("no failed request with a successful rephrase: nothing to train on")
    words = sorted({word for pair in pairs for text in pair for word in text.split()})
    places = {word: place for place, word in enumerate(words, start=3)}
    source, target = _coded([a for a, _ in pairs], places), _coded([b for _, b in pairs], places)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = PointerGenerator(len(words) + 3, width=width)
        optimiser = torch.optim.Adam(model.parameters(), lr=3e-3)
        for _ in range(epochs):
            for rows in torch.randperm(len(pairs)).split(batch):
                optimiser.zero_grad()
                _loss(model, source[rows], target[rows]).backward()
                nn.utils.clip_grad_norm_(model.parameters(), 1.0)
                optimiser.step()
    return model, places


def written_table(
    model: PointerGenerator, places: dict[str, int], graph: SessionGraph, *, min_texts: int = 8
) -> dict[str, str]:
    """What is written for texts heard `min_texts` times that mostly fail, where it has been heard before."""
    heard = np.asarray(graph.readings.sum(axis=1)).ravel()
    share = np.asarray(graph.readings @ (graph.good / np.maximum(graph.seen, 1.0))) / heard
    rows = np.flatnonzero((heard >= min_texts) & (share < 0.5))
    texts = [t for t in (graph.texts[r] for r in rows) if t and all(word in places for word in t.split())]
    known, outputs = set(graph.texts), write(model, places, texts)
    return {a: b for a, b in zip(texts, outputs, strict=True) if a != b and b in known}


@torch.no_grad()
def write(
    model: PointerGenerator, places: dict[str, int], texts: Sequence[str], *, longest: int = 20
) -> list[str]:
    """The likeliest next word, again and again, until END or `longest` words; texts of known words."""
    if not texts:
        return []
    source, names = _coded(texts, places), {place: word for word, place in places.items()}
    memory, said = model.read(source), torch.full((len(texts), 1), START)
    for _ in range(longest):
        ahead = model(source, said, memory)[:, -1]  # (B, V)
        ahead[:, [PAD, START]] = 0.0
        said = torch.cat([said, ahead.argmax(-1, keepdim=True)], dim=1)
    return [_text(row, names) for row in said[:, 1:].tolist()]


def _text(places: list[int], names: dict[int, str]) -> str:
    stop = places.index(END) if END in places else len(places)
    return " ".join(names[place] for place in places[:stop])


def _coded(texts: Sequence[str], places: dict[str, int]) -> Int[Tensor, "B T"]:
    rows = [torch.tensor([*(places[word] for word in text.split()), END]) for text in texts]
    return pad_sequence(rows, batch_first=True, padding_value=PAD)


def _loss(
    model: PointerGenerator, source: Int[Tensor, "B T"], target: Int[Tensor, "B U"]
) -> Float[Tensor, ""]:
    """Mean negative log probability of the target's words, padding left out."""
    length = int((target != PAD).sum(1).max())
    source, target = source[:, : int((source != PAD).sum(1).max())], target[:, :length]
    written = torch.cat([torch.full_like(target[:, :1], START), target[:, :-1]], dim=1)
    likely = model(source, written, model.read(source)).gather(-1, target.unsqueeze(-1)).squeeze(-1)
    return -likely[target != PAD].clamp_min(1e-9).log().mean()


def nearest_successful(
    graph: SessionGraph, *, min_texts: int = 8, similarity: float = 0.6, by_sound: bool = False
) -> dict[str, str]:
    """Baseline: the most similar text (character 3-grams, cosine) among those that mostly succeed.

    by_sound compares the words' rough sounds (`sound_key`) instead of their letters.
    """
    heard = np.asarray(graph.readings.sum(axis=1)).ravel()
    share = np.asarray(graph.readings @ (graph.good / np.maximum(graph.seen, 1.0))) / heard
    texts = np.array(graph.texts, dtype=object)
    good, bad = (
        np.flatnonzero((share >= 0.7) & (heard >= min_texts)),
        np.flatnonzero((share < 0.5) & (heard >= min_texts)),
    )
    if good.size == 0 or bad.size == 0:
        return {}
    vectors = TfidfVectorizer(
        analyzer="char_wb", ngram_range=(3, 3), preprocessor=_sounds if by_sound else None
    )
    vectors.fit(texts)
    close = (vectors.transform(texts[bad]) @ vectors.transform(texts[good]).T).toarray()
    best = close.argmax(axis=1)
    pairs = zip(bad, good[best], close.max(axis=1), strict=True)
    return {str(texts[b]): str(texts[g]) for b, g, c in pairs if c >= similarity}


def _sounds(text: str) -> str:
    return " ".join(sound_key(word) for word in text.split())


def oracle(requests: pd.DataFrame, shop: Catalogue, *, within: Iterable[str] | None = None) -> dict[str, str]:
    """Upper bound of any context-free table: each text goes to the goal most of its users want.

    within: the texts that a table may rewrite (those that mining heard often enough); None: all. Of the goals
    that some wording reaches, the one wanted most; a text already understood so is left alone.
    """
    wording = {frame: text for text, frame in shop.understanding.items()}
    allowed = None if within is None else set(within)
    wanted = requests.groupby(["text", "goal"]).size().reset_index(name="n")
    wanted = wanted[wanted.goal.isin(list(wording))].sort_values(["n", "goal"])
    goal = dict(zip(wanted.text, wanted.goal, strict=True))
    return {
        text: wording[target]
        for text, target in goal.items()
        if shop.understanding.get(text) != target and (allowed is None or text in allowed)
    }
