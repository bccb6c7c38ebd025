"""Strings of words: trimming and levels by hand, SNRs measured, speakers apart, prefixes equal, refusals."""

import time
from itertools import pairwise

import pytest
import torch

from echobook.data.recordings import Spoken
from echobook.speech.features import LogMel
from echobook.speech.noise import power
from echobook.speech.strings import (
    RMS,
    TRAINING,
    Noise,
    StringSettings,
    WordPool,
    add_noise,
    at_speed,
    compose,
    level,
    single_words,
    trim,
    word_pool,
)

RATE = 16000
WORDS = ("no", "yes", "left")


def tone(hertz: float, seconds: float = 0.4, loudness: float = 0.2) -> torch.Tensor:
    return loudness * torch.sin(2 * torch.pi * hertz * torch.arange(round(seconds * RATE)) / RATE)


def recording(word: str, speaker: str, take: int = 1) -> Spoken:
    """A tone whose pitch is the word's and whose loudness the speaker's, with silence around it."""
    silence = torch.zeros(3200)
    hertz = 300.0 + 400 * WORDS.index(word)
    sound = tone(hertz, 0.3 + 0.01 * take, 0.05 * (1 + ord(speaker[-1]) % 5))
    return Spoken(word, speaker, take, torch.cat([silence, sound, silence]))


def pool(speakers: tuple[str, ...] = ("ann", "bob", "cy")) -> WordPool:
    rows = [recording(word, speaker, take) for speaker in speakers for word in WORDS for take in (1, 2)]
    return word_pool(rows, sample_rate=RATE)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_trim_by_hand() -> None:
    audio = torch.zeros(1000)
    audio[400:500] = 0.5
    cut = trim(audio, sample_rate=1000, margin_seconds=0.03)  # frames of 10 samples: 40 to 49 are loud
    assert len(cut) == 160
    assert torch.equal(cut, audio[370:530])
    assert torch.equal(trim(audio[380:], sample_rate=1000), audio[380:530])  # no margin left to take


def test_trim_keeps_what_is_less_than_the_bound_below_the_loudest() -> None:
    audio = torch.zeros(300)
    audio[100:200] = 1.0
    audio[40:50] = 10 ** (-29 / 20)
    assert len(trim(audio, sample_rate=1000, margin_seconds=0.0)) == 160
    audio[40:50] = 10 ** (-31 / 20)
    assert len(trim(audio, sample_rate=1000, margin_seconds=0.0)) == 100


def test_level_by_hand() -> None:
    assert level(torch.tensor([3.0, -3.0]), 0.5).tolist() == [0.5, -0.5]


def test_every_word_of_a_pool_has_the_same_level() -> None:
    words = [row for rows in pool().by_speaker.values() for row in rows]
    assert len(words) == 18
    for row in words:
        assert power(row.audio) ** 0.5 == pytest.approx(RMS, rel=1e-5)
        assert len(row.audio) < 0.45 * RATE  # silence is gone


@pytest.mark.parametrize("speed", [0.9, 1.1, 0.8])
def test_speed_shifts_the_pitch_and_keeps_the_level(speed: float) -> None:
    """Against the tone made at the other pitch: the filter (Kaiser, beta 5) ripples by 1e-3 of it."""
    audio = at_speed(tone(500.0, 1.0), speed)
    oracle = tone(500.0 * speed, 1.0 / speed)
    assert len(audio) == pytest.approx(RATE / speed, abs=1)
    inner = slice(400, 12000)
    assert (audio[inner] - oracle[inner]).abs().max() < 4e-4  # of a tone of 0.2


def test_speed_removes_what_would_alias() -> None:
    assert at_speed(tone(7900.0, 0.5), 1.25)[500:-500].abs().max() < 0.01
    assert torch.equal(at_speed(tone(300.0), 1.0), tone(300.0))


def test_pure_and_a_longer_set_begins_with_the_shorter() -> None:
    few = compose(pool(), 4, TRAINING, seed=3, name="train")
    state = torch.random.get_rng_state()
    many = compose(pool(), 9, TRAINING, seed=3, name="train")
    assert torch.equal(state, torch.random.get_rng_state())
    for one, other in zip(few, many, strict=False):
        assert one.text == other.text
        assert torch.equal(one.audio, other.audio)
    for changed in ({"seed": 4, "name": "train"}, {"seed": 3, "name": "dev"}):
        assert [u.text for u in compose(pool(), 9, TRAINING, **changed)] != [u.text for u in many]


def test_one_speaker_a_string_and_counts_within_bounds() -> None:
    settings = StringSettings((2, 4), (0.05, 0.3))
    found = compose(pool(), 200, settings, seed=0, name="x")
    sizes = [len(u.text.split()) for u in found]
    assert {u.speaker for u in found} == {"ann", "bob", "cy"}
    assert set(sizes) == {2, 3, 4}
    words = pool()
    for utterance, size in zip(found[:50], sizes, strict=False):
        own = words.by_speaker[utterance.speaker]
        shortest = {w: min(len(r.audio) for r in own if r.word == w) for w in WORDS}
        longest = {w: max(len(r.audio) for r in own if r.word == w) for w in WORDS}
        said = utterance.text.split()
        assert len(utterance.audio) >= sum(shortest[w] for w in said) + (size + 1) * 0.05 * RATE - 5
        assert len(utterance.audio) <= sum(longest[w] for w in said) + (size + 1) * 0.3 * RATE + 5


def test_words_stand_in_the_order_of_the_text() -> None:
    """Oracle: the pitch of each stretch between pauses, by counting sign changes."""
    for utterance in compose(pool(("ann",)), 5, StringSettings((3, 3)), seed=1, name="x"):
        loud = (utterance.audio.abs() > 1e-6).float()
        smooth = torch.nn.functional.max_pool1d(loud[None], 201, 1, 100)[0]
        edges = [0, *((smooth[1:] != smooth[:-1]).nonzero()[:, 0] + 1).tolist(), len(smooth)]
        found = []
        for start, end in pairwise(edges):
            if smooth[start] == 0 or end - start < 800:
                continue
            signs = utterance.audio[start:end].sign()
            hertz = float((signs[1:] * signs[:-1] < 0).sum()) / 2 / ((end - start - 200) / RATE)
            found.append(min(WORDS, key=lambda w: abs(300 + 400 * WORDS.index(w) - hertz)))
        assert " ".join(found) == utterance.text


@pytest.mark.parametrize("kind", ["white", "babble"])
def test_snr_is_the_one_asked_for(kind: str) -> None:
    clean = compose(pool(), 1, StringSettings(), seed=0, name="x")[0].audio
    others = [pool().by_speaker["bob"]]
    noisy = add_noise(clean, Noise(kind, (5.0, 5.0)), others, generator())  # type: ignore[arg-type]
    snr = 10 * torch.log10(torch.tensor(power(clean) / power(noisy - clean)))
    assert float(snr) == pytest.approx(5.0, abs=1e-3)


def test_snr_is_drawn_from_the_whole_range() -> None:
    clean = torch.ones(2000)
    gen = generator()
    found = [power(add_noise(clean, Noise("white", (0.0, 20.0)), [], gen) - clean) for _ in range(100)]
    snrs = -10 * torch.tensor(found).log10()
    assert -0.01 <= float(snrs.min()) < 2
    assert 18 < float(snrs.max()) <= 20.01


def test_babble_is_never_the_strings_own_speaker() -> None:
    """The loud speaker babbles words of her own pitch; a pool in which each has another pitch shows who."""
    rows = {s: [Spoken("no", s, 1, level(tone(h)))] for s, h in (("a", 500.0), ("b", 1500.0), ("c", 2500.0))}
    apart = WordPool(rows, RATE)
    babbled = StringSettings((1, 1), (0.0, 0.0), noises=(Noise("babble", (0.0, 0.0)),))
    pitch = {"a": 500, "b": 1500, "c": 2500}
    for utterance in compose(apart, 20, babbled, seed=0, name="x"):
        noise = utterance.audio - rows[utterance.speaker][0].audio
        spectrum = torch.fft.rfft(noise).abs()
        hertz = {s: float(spectrum[round(h * len(noise) / RATE)]) for s, h in pitch.items()}
        assert hertz[utterance.speaker] < 0.05 * max(hertz.values())


def test_single_words_are_single() -> None:
    assert {len(u.text.split()) for u in single_words(pool(), 20, TRAINING, seed=0, name="w")} == {1}


def test_level_of_a_string_does_not_depend_on_the_recordings_level() -> None:
    loud = [row._replace(audio=4 * row.audio) for row in (recording("no", "ann"), recording("yes", "ann"))]
    quiet = [row._replace(audio=row.audio / 4) for row in loud]
    made = [
        compose(word_pool(rows, sample_rate=RATE), 3, StringSettings(), seed=0, name="x")
        for rows in (loud, quiet)
    ]
    for one, other in zip(*made, strict=True):
        assert torch.allclose(one.audio, other.audio, atol=1e-6)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"words": (0, 2)}, "1 <= words"),
        ({"words": (3, 2)}, "low before high"),
        ({"pauses": (0.3, 0.1)}, "0 <= pauses"),
        ({"speeds": ()}, "speeds > 0"),
        ({"speeds": (0.0,)}, "speeds > 0"),
        ({"noises": ()}, "at least one each"),
        ({"noises": (Noise("pink"),)}, "white or babble.*pink"),  # type: ignore[arg-type]
        ({"noises": (Noise("white", (9.0, 1.0)),)}, "SNR low before high"),
    ],
)
def test_settings_are_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        StringSettings(**change)  # type: ignore[arg-type]


def test_refusals() -> None:
    with pytest.raises(ValueError, match="no recordings"):
        word_pool([], sample_rate=RATE)
    with pytest.raises(ValueError, match="no of speaker ann, take 7: audio of 100 samples is silent"):
        word_pool([Spoken("no", "ann", 7, torch.zeros(100))], sample_rate=RATE)
    with pytest.raises(ValueError, match="empty or silent"):
        level(torch.zeros(5))
    with pytest.raises(ValueError, match="speed > 0"):
        at_speed(tone(300.0), 0.0)
    with pytest.raises(ValueError, match="babble behind ann needs another speaker"):
        compose(pool(("ann",)), 1, TRAINING, seed=0, name="x")
    with pytest.raises(ValueError, match="at least one speaker other"):
        add_noise(tone(300.0), Noise("babble", (0.0, 0.0)), [], generator())


@pytest.mark.benchmark
def test_features_of_2500_strings(capsys: pytest.CaptureFixture[str]) -> None:
    """Words of the corpus' length; printed, the bar is 10 CPU-s on an idle core."""
    gen = generator()
    rows = [
        Spoken("no", f"s{i % 18}", i, 0.1 * torch.randn(9300, generator=gen)) for i in range(300)
    ]  # .58 s
    words, log_mel = WordPool({f"s{k}": rows[k::18] for k in range(18)}, RATE), LogMel(RATE, floor=1e-3)
    start = time.process_time()
    strings = compose(words, 2500, TRAINING, seed=0, name="x")
    between = time.process_time()
    frames = sum(len(log_mel(u.audio)) for u in strings)
    end = time.process_time()
    with capsys.disabled():
        print(f"\n2,500 strings ({frames / 6000:.0f} min): {between - start:.1f} + {end - between:.1f} CPU-s")
    assert frames > 2500
