"""Simulated devices and topics: sizes, mixes, dealing, periods, control setting, refusals."""

import numpy as np
import pytest
from scipy.stats import spearmanr

from echobook.data.generators.devices import (
    DeviceWorld,
    deal,
    device_mixes,
    device_sizes,
    simulate_devices,
    simulate_periods,
)
from echobook.data.generators.topics import WORDS, generate_topics

LABELS = np.repeat(np.arange(30), 100)


def shares(parts, labels, intents):
    return np.stack([np.bincount(labels[part], minlength=intents) for part in parts])


def test_sizes_by_hand():
    """Proportions 1 : 2 : 4 of 14, and of 15 with the odd one for the heaviest."""
    z = np.log(np.array([1.0, 2.0, 4.0]))
    assert device_sizes(z, total=14, tail=1.0).tolist() == [2, 4, 8]
    assert device_sizes(z, total=15, tail=1.0).tolist() == [2, 4, 9]
    assert device_sizes(z, total=12, tail=0.0).tolist() == [4, 4, 4]


@pytest.mark.parametrize("tail", [0.0, 0.5, 1.5, 3.0])
@pytest.mark.parametrize("least", [0, 1])
def test_sizes_sum_to_the_total_and_follow_the_order(tail, least):
    z = np.random.default_rng(0).standard_normal(50)
    sizes = device_sizes(z, total=777, tail=tail, least=least)
    assert sizes.sum() == 777
    assert sizes.min() >= least
    assert (np.diff(sizes[np.argsort(z)]) >= 0).all() or tail == 0


def test_without_a_tail_all_devices_are_alike():
    sizes = simulate_devices(LABELS, DeviceWorld(devices=30, tail=0.0), seed=1).sizes
    assert sizes.tolist() == [100] * 30


def test_every_utterance_is_dealt_once():
    dealt = simulate_devices(LABELS, DeviceWorld(devices=60), seed=0)
    assert sorted(np.concatenate(dealt.parts).tolist()) == list(range(len(LABELS)))
    assert dealt.sizes.min() >= 1


def test_the_tail_is_heavy():
    """The card's calibration for 600 devices: median 7, the heaviest tenth holds about 56 % (sd about 4)."""
    heavy = []
    for seed in range(5):
        sizes = np.sort(simulate_devices(np.repeat(np.arange(150), 100), DeviceWorld(), seed=seed).sizes)
        heavy.append(sizes[-60:].sum() / sizes.sum())
        assert 6 <= np.median(sizes) <= 10
    assert 0.50 <= np.mean(heavy) <= 0.62


def test_a_mix_is_followed_while_it_lasts():
    rng = np.random.default_rng(0)
    mixes = np.array([[1.0, 0.0], [1.0, 0.0]])
    labels = np.array([0, 0, 0, 1, 1])
    parts = deal(labels, np.arange(5), np.array([2, 3]), mixes, rng)
    counts = shares(parts, labels, 2)
    assert counts.sum(axis=0).tolist() == [3, 2]  # the second device had to take what was left
    assert counts[:, 1].tolist() in ([0, 2], [1, 1], [2, 0])


@pytest.mark.parametrize(("skew", "least", "most"), [(0.0, 0.9, 1.01), (0.3, 0.2, 0.75)])
def test_skew_makes_devices_differ(skew, least, most):
    """Normalised entropy of the intents on devices with enough utterances."""
    dealt = simulate_devices(LABELS, DeviceWorld(devices=20, tail=0.0, skew=skew), seed=2)
    share = shares(dealt.parts, LABELS, 30) / 150
    entropy = -(share * np.log(np.maximum(share, 1e-12))).sum(axis=1) / np.log(30)
    assert least < entropy.mean() < most


def test_content_does_not_depend_on_activity_by_default():
    gaps = []
    for seed in range(8):
        world = DeviceWorld(devices=200)
        dealt = simulate_devices(LABELS, world, seed=seed)
        heavy = np.argsort(-dealt.sizes)[:20]
        gaps.append(dealt.mixes[heavy].mean(axis=0) - dealt.mixes.mean(axis=0))
    assert np.abs(np.mean(gaps, axis=0)).max() < 0.02  # a mean of 160 heavy mixes, sd of an intent 0.05


def test_atypical_heavy_devices_have_intents_of_their_own():
    rng = np.random.default_rng(0)
    sizes = np.array([50] + [5] * 10)
    mixes = device_mixes(DeviceWorld(atypical=1.0), sizes, 8, rng)
    theirs = mixes[0] > 1e-9
    assert theirs.sum() == 4  # half of the utterances, so half of the intents
    assert mixes[1:, theirs].max() < 1e-9
    np.testing.assert_allclose(mixes.sum(axis=1), 1)
    partly = device_mixes(DeviceWorld(atypical=0.5, skew=0.0), sizes, 8, np.random.default_rng(0))
    group = partly[0] > 1 / 8
    assert group.sum() == 4
    assert partly[1, group].sum() == pytest.approx(0.25)  # half of the mix is as before, half moved


def test_the_same_seed_gives_the_same_devices():
    one, two, other = (simulate_devices(LABELS, DeviceWorld(devices=20), seed=s) for s in (3, 3, 4))
    assert all(np.array_equal(a, b) for a, b in zip(one.parts, two.parts, strict=True))
    assert not np.array_equal(one.sizes, other.sizes)


def test_periods():
    found = simulate_periods(LABELS, DeviceWorld(devices=80), seed=0, growth=(0.5, 0.8, 1.0))
    rows = [np.concatenate(dealt.parts) for dealt in found.dealt]
    assert sorted(np.concatenate(rows).tolist()) == list(range(len(LABELS)))
    assert found.seen.sum(axis=1).tolist() == [15, 24, 30]
    for period, own in enumerate(rows):
        assert found.seen[period][LABELS[own]].all(), "an utterance before its intent appeared"
    new = found.seen[2] & ~found.seen[1]
    assert np.isin(np.flatnonzero(new), LABELS[rows[2]]).all()
    first = np.bincount(LABELS[rows[0]], minlength=30)
    assert set(first[found.seen[0]].tolist()) <= {33, 34}  # a third of a hundred in each of three periods


@pytest.mark.parametrize("wanted", [0.0, 0.7, 1.0])
def test_activity_keeps_its_rank_correlation(wanted):
    found = simulate_periods(np.repeat(LABELS, 8), DeviceWorld(devices=800), seed=1, correlation=wanted)
    first, second = (dealt.sizes for dealt in found.dealt[:2])
    # sizes are whole numbers with many ties at the bottom, which weakens rank correlation a little
    assert spearmanr(first, second)[0] == pytest.approx(wanted, abs=0.06)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: DeviceWorld(devices=0), "devices >= 1"),
        (lambda: DeviceWorld(tail=-1.0), "tail >= 0"),
        (lambda: DeviceWorld(skew=-0.1), "skew >= 0"),
        (lambda: DeviceWorld(atypical=1.5), r"atypical in \[0, 1\]"),
        (
            lambda: simulate_devices(LABELS[:5], DeviceWorld(devices=6), seed=0),
            "5 utterances are too few for 6",
        ),
        (
            lambda: simulate_periods(LABELS, DeviceWorld(), seed=0, growth=(0.9, 0.5, 1.0)),
            "growth that increases",
        ),
        (
            lambda: simulate_periods(LABELS, DeviceWorld(), seed=0, growth=(0.5, 0.9)),
            "growth that increases to 1",
        ),
        (lambda: simulate_periods(LABELS, DeviceWorld(), seed=0, correlation=2.0), "correlation in"),
        (
            lambda: deal(LABELS, np.arange(3), np.array([1]), np.ones((1, 30)), np.random.default_rng(0)),
            "sizes sum to 1, but there are 3 utterances",
        ),
    ],
)
def test_device_refusals(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_topics_are_what_they_say():
    frame, use = generate_topics(seed=5, intents=4, train=30, test=10)
    assert use.rows == {"train": 120, "test": 40}
    assert frame.groupby(["intent", "split"]).size().unique().tolist() == [10, 30]
    words = {word for text in frame["text"] for word in text.split()}
    assert words <= set(WORDS)
    assert len(set(WORDS)) == len(WORDS) == 40
    again, same = generate_topics(seed=5, intents=4, train=30, test=10)
    assert same == use
    assert again.equals(frame)
    assert generate_topics(seed=6, intents=4, train=30, test=10)[1].sha256 != use.sha256


def test_blur_makes_topics_alike():
    def overlap(blur):
        frame, _ = generate_topics(seed=0, intents=2, train=300, blur=blur)
        one, two = (
            np.array([" ".join(own["text"]).split().count(word) for word in WORDS])
            for _, own in frame.groupby("intent")
        )
        return np.minimum(one / one.sum(), two / two.sum()).sum()

    assert overlap(0.05) < 0.4 < 0.8 < overlap(100.0)


@pytest.mark.parametrize("bad", [{"intents": 1}, {"train": 0}, {"test": 0}, {"blur": 0.0}])
def test_topic_refusals(bad):
    with pytest.raises(ValueError, match="expected intents >= 2, train and test >= 1, blur > 0"):
        generate_topics(seed=0, **bad)
