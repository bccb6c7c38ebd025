"""Material, training on a handful of utterances, streaming checks, bad input."""

import wave
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from echobook.metrics.wer import ErrorCounts, total
from echobook.papers.convrnn_t import evaluation, material, own_data, rates, training
from echobook.papers.convrnn_t.experiment import ABLATIONS, COMPARED, ENCODERS, Sizes, build
from echobook.speech.corpora import DIGITS
from echobook.speech.training import Example, collate

TINY = {"train": 12, "dev": 4, "seen": 4, "unseen": 4, "mels": 8}


def write_digits(folder: Path) -> None:
    """FSDD's layout with tones: a digit is a pitch, a speaker a loudness; takes 0, 5 and 10 make splits."""
    folder.mkdir()
    time = np.arange(1600) / 8000
    for loudness, speaker in enumerate(material.SPEAKERS, 1):
        for digit in range(10):
            tone = np.sin(2 * np.pi * (300 + 300 * digit) * time) * loudness * 3000
            for take in (0, 5, 10):
                with wave.open(str(folder / f"{digit}_{speaker}_{take}.wav"), "wb") as file:
                    file.setnchannels(1), file.setsampwidth(2), file.setframerate(8000)
                    file.writeframes(tone.astype("<i2").tobytes())


@pytest.fixture(scope="module")
def tones(tmp_path_factory: pytest.TempPathFactory) -> material.Material:
    folder = tmp_path_factory.mktemp("fsdd") / "recordings"
    write_digits(folder)
    return material.digits(folder, seed=1, longest=2, **TINY)


def test_held_out_speakers_are_heard_in_no_other_set(tones: material.Material) -> None:
    speakers = {name: {u.speaker for u in rows} for name, rows in tones.utterances.items()}
    assert speakers["unseen-clean"] == speakers["unseen-noisy"] <= {"lucas", "nicolas"}
    assert not speakers["seen-clean"] & {"lucas", "nicolas"}
    assert {name: len(rows) for name, rows in tones.tests.items()} == dict.fromkeys(tones.tests, 4)


def test_three_seeds_hold_out_every_speaker_once() -> None:
    pairs = [material.held_out_pair(seed) for seed in range(3)]
    assert sorted(name for pair in pairs for name in pair) == sorted(material.SPEAKERS)


def test_noisy_tests_hold_the_same_words_at_the_asked_level(tones: material.Material) -> None:
    for clean, noisy in zip(tones.utterances["unseen-clean"], tones.utterances["unseen-noisy"], strict=True):
        added = (noisy.audio - clean.audio).double()
        snr = 10 * torch.log10(clean.audio.double().square().mean() / added.square().mean())
        assert clean.text == noisy.text
        assert 5 - 1e-3 <= snr <= 15 + 1e-3


def test_material_depends_on_the_seed_alone(tmp_path: Path) -> None:
    write_digits(tmp_path / "recordings")
    one, two, other = (material.digits(tmp_path / "recordings", seed=s, longest=2, **TINY) for s in (0, 0, 3))
    assert all(torch.equal(a.features, b.features) for a, b in zip(one.train, two.train, strict=True))
    assert one.use == two.use
    assert [e.labels for e in one.train] != [e.labels for e in other.train]


def test_augmentation_masks_channels_only_when_asked(tones: material.Material) -> None:
    features = tones.train[0].features
    generator = torch.Generator().manual_seed(0)
    plain = tones.augment(features, generator)
    assert plain.shape == (len(features) // 3, 24)
    assert torch.equal(plain[0], features[:3].flatten())
    masked = material.Material(**{**vars(tones), "masks": 0.9}).augment(features, generator)
    assert (masked == 0).any()
    assert masked.shape == plain.shape


@pytest.mark.parametrize("name", [*COMPARED, *ABLATIONS])
def test_every_model_overfits_four_utterances(tones: material.Material, name: str) -> None:
    four = material.Material(**{**vars(tones), "train": tones.train[:4]})
    sizes = Sizes(
        24, encoding=24, channels=(4, 4), hidden=32, baseline_hidden=32, conformer=16, contextnet=(16, 16)
    )
    model = build(name, sizes=sizes, classes=four.labels.classes, seed=0)
    settings = training.training_settings(steps=120, batch_size=4, seed=0, peak_rate=4e-3)
    history = training.fit(model, four, settings).history
    assert history.losses[-1] < 0.1 * history.losses[20]


def test_the_first_updates_use_single_words(tones: material.Material) -> None:
    sizes = Sizes(24, encoding=8, channels=(2,), hidden=8)
    settings = training.training_settings(steps=1, batch_size=4, seed=0, peak_rate=4e-3)
    single = [e for e in tones.train if len(e.labels) == 1]
    plain, staged = (build("rnn-t", sizes=sizes, classes=11, seed=0) for _ in range(2))
    training.fit(plain, material.Material(**{**vars(tones), "train": single}), settings)
    kept = training.fit(staged, material.Material(**{**vars(tones), "train": single}), settings, first=2)
    assert single
    assert len(kept.history.losses) == 1
    assert not torch.equal(plain.joiner.output.weight, staged.joiner.output.weight)


def test_development_loss_is_the_mean_over_utterances(tones: material.Material) -> None:
    model = build("rnn-t", sizes=Sizes(24, encoding=8, hidden=8), classes=11, seed=0).eval()
    alone = [float(model.loss(*collate([e])[:4]).detach()) for e in tones.dev]
    assert evaluation.development_loss(model, tones) == pytest.approx(sum(alone) / 4, rel=1e-5)


def test_the_measure_decides_which_weights_are_kept(tones: material.Material) -> None:
    """A measure that rises with every call keeps the weights of the first evaluation, after 100 updates."""
    sizes = Sizes(24, encoding=8, channels=(2,), hidden=8)
    settings = training.training_settings(steps=101, batch_size=4, seed=0, peak_rate=1e-3)
    calls: list[float] = []

    def rising(model: object, data: material.Material) -> float:
        assert data is tones
        calls.append(len(calls))
        return calls[-1]

    found = training.fit(build("rnn-t", sizes=sizes, classes=11, seed=0), tones, settings, measure=rising)
    assert found.history.scores == [(100, 0), (101, 1)]
    assert found.history.best_step == 100


def test_a_rate_is_tried_as_the_experiment_trains(tones: material.Material) -> None:
    """Same weights, data and schedule as `fit`; at a rate of nearly nothing the loss stays as it was."""
    found = rates.try_rates("rnn-t", (1e-9, 4e-3), tones, first=3, steps=3, batch_size=4)
    fresh = build("rnn-t", sizes=Sizes(24), classes=11, seed=0).eval()
    assert found[1e-9] == pytest.approx(evaluation.development_loss(fresh, tones), rel=1e-4)
    settings = training.training_settings(steps=3, batch_size=4, seed=0, peak_rate=4e-3)
    trained = training.fit(build("rnn-t", sizes=Sizes(24), classes=11, seed=0), tones, settings, first=3)
    assert found[4e-3] == pytest.approx(evaluation.development_loss(trained.model, tones), rel=1e-6)


def test_training_twice_gives_the_same_weights(tones: material.Material) -> None:
    settings = training.training_settings(steps=3, batch_size=4, seed=0, peak_rate=4e-3)
    sizes = Sizes(24, encoding=8, channels=(2,), hidden=8)
    one, two = (
        training.fit(build("convrnn-t", sizes=sizes, classes=11, seed=0), tones, settings) for _ in range(2)
    )
    assert one.history.losses == two.history.losses
    for a, b in zip(one.model.parameters(), two.model.parameters(), strict=True):
        assert torch.equal(a, b)


def test_streaming_holds_for_causal_models_and_not_for_the_leaky_one(tones: material.Material) -> None:
    sizes = Sizes(24, encoding=8, channels=(2,), hidden=8, conformer=8, contextnet=(6, 6))
    for name in ENCODERS:
        model = build(name, sizes=sizes, classes=11, seed=0).eval()
        with torch.no_grad():
            model.joiner.output.weight.mul_(8)
        check = evaluation.check_streaming(model, tones.tests)
        assert check.utterances == 16
        if name == "leaky-squeeze":
            assert check.gap > 1e-4
            assert check.exact_gap > 1e-4
        else:
            assert (check.gap < 1e-4, check.exact_gap < 1e-12, check.different) == (True, True, 0), name


def test_what_float32_rounds_is_told_from_a_fault_of_the_code() -> None:
    """Small running variances carry ContextNet's encodings into the thousands: float32 leaves a gap, float64
    does not. A squeeze that forgets what it heard leaves a gap in both.
    """
    sizes = Sizes(24, encoding=8, channels=(2,), hidden=8, contextnet=(6, 6))
    model: Any = build("contextnet", sizes=sizes, classes=11, seed=0).eval()
    for key, buffer in model.encoder.named_buffers():
        if key.endswith("running_var"):
            buffer.fill_(3e-2)
    generator = torch.Generator().manual_seed(0)
    rows = [Example(torch.randn(80 + i, 24, generator=generator), (1, 2)) for i in range(4)]
    check = evaluation.check_streaming(model, {"t": rows})
    assert check.exact_gap < 1e-9 < 1e-4 < check.gap
    for block in model.encoder.blocks:
        block.squeeze = Forgetful(block.squeeze)
    assert evaluation.check_streaming(model, {"t": rows}).exact_gap > 1e-4


class Forgetful(torch.nn.Module):
    """A squeeze that begins anew with every piece."""

    def __init__(self, inner: Any) -> None:
        super().__init__()
        self.inner = inner
        self.initial_state = inner.initial_state

    def forward(self, x: Any, state: Any, valid: Any = None) -> Any:
        return self.inner(x, self.inner.initial_state(len(x)), valid)


def test_scores_and_their_items_agree(tones: material.Material) -> None:
    sizes = Sizes(24, encoding=8, channels=(2,), hidden=8)
    model = build("rnn-t", sizes=sizes, classes=11, seed=0).eval()
    scores = {"rnn-t": evaluation.evaluate(model, tones)}
    frame = evaluation.wer_frame(scores)
    for test, counts in scores["rnn-t"].items():
        parts = evaluation.item_scores(counts)
        mean = np.average(parts["items"], weights=parts["weights"])
        assert mean == pytest.approx(total(counts).rate) == frame[test][0]


def test_tables_compare_models_on_the_same_utterances() -> None:
    better, worse = [ErrorCounts(0, 0, 0, 2)] * 6, [ErrorCounts(1, 0, 0, 2)] * 6
    scores = {"ours": {"t": better}, "theirs": {"t": worse}}
    found = evaluation.against(scores, "ours", "t", seed=0)
    assert list(found) == ["theirs"]
    assert found["theirs"].difference.estimate == -0.5
    assert found["theirs"].share_better == 1
    spoken = evaluation.by_speaker(scores, ["a", "b"] * 3, "t")
    assert spoken.values.tolist() == [["a", 0.0, 0.5], ["b", 0.0, 0.5]]


def test_transcribe_gives_words_and_times(tones: material.Material) -> None:
    sizes = Sizes(24, encoding=8, channels=(2,), hidden=8)
    model = build("rnn-t", sizes=sizes, classes=11, seed=0).eval()
    with torch.no_grad():
        model.joiner.output.bias[0] = -9.0  # never silent
    audio = tones.utterances["seen-clean"][0].audio
    words, times = own_data.transcribe(model, audio, 8000, tones)
    assert set(words.split()) <= set(DIGITS)
    assert len(words.split()) == len(times)
    assert list(times) == sorted(times)
    assert times[-1] <= len(audio) / 8000


@pytest.mark.parametrize(
    ("audio", "rate", "message"),
    [
        (torch.zeros(0), 8000, "audio has 0 samples; one frame of 3 windows needs 360"),
        (torch.zeros(300), 8000, "audio has 300 samples"),
        (torch.ones(4000), 16000, "audio has 16000 samples a second; the model was trained at 8000"),
        (torch.tensor([0.0] * 400 + [float("nan")]), 8000, "audio sample 400 is not finite"),
    ],
)
def test_bad_audio_is_refused(tones: material.Material, audio: torch.Tensor, rate: int, message: str) -> None:
    model = build("rnn-t", sizes=Sizes(24), classes=11, seed=0)
    with pytest.raises(ValueError, match=message):
        own_data.transcribe(model, audio, rate, tones)


def test_the_shortest_audio_is_one_frame(tones: material.Material) -> None:
    """Far below the receptive field: the encoder sees zeros before the start."""
    model = build("convrnn-t", sizes=Sizes(24, channels=(2,)), classes=11, seed=0).eval()
    words, times = own_data.transcribe(model, torch.ones(360), 8000, tones)
    assert len(times) == len(words.split())


def test_a_word_outside_the_vocabulary_is_refused(tones: material.Material) -> None:
    with pytest.raises(ValueError, match="word 'eleven'"):
        tones.labels.encode("one eleven")


def test_sentences_keep_voices_apart() -> None:
    data = material.sentences(seed=0, words=3, longest=2, voices=3, **TINY)
    heard = {name: {u.speaker for u in rows} for name, rows in data.utterances.items()}
    assert not heard["seen-clean"] & heard["unseen-clean"]
    assert data.labels.classes == 4
