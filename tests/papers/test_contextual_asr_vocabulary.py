"""Vocabulary and material on small lists of our own: splits, priors, places, neighbours, voices, noise."""

import numpy as np
import pytest
import torch

from echobook.papers.contextual_asr.material import (
    CARRIERS,
    SAMPLE_RATE,
    STACK,
    Material,
    Turn,
    examples,
    fit_front_end,
    make_turns,
    noisy,
    previous_words,
    split_voices,
)
from echobook.papers.contextual_asr.vocabulary import KINDS, PLACE_NOUNS, SHARES, build_vocabulary
from echobook.speech.biasing.lexicon import Lexicon
from echobook.speech.biasing.phonemes import classes_of, edit_distance

CONSONANTS = ["B", "D", "F", "G", "K", "L", "M", "N", "P", "R", "S", "T", "V", "W", "Z"]
VOWELS = ["AA", "AE", "AO", "EH", "IY", "OW", "UW"]
COMMON = {"power": "P AW ER", "the": "DH AH", "call": "K AO L", "street": "S T R IY T", "tell": "T EH L"}
COMMON |= {
    "park": "P AA R K",
    "hill": "HH IH L",
    "house": "HH AW S",
    "school": "S K UW L",
    "stop": "S T AA P",
}
COMMON |= {
    "please": "P L IY Z",
    "turn": "T ER N",
    "on": "AO N",
    "off": "AO F",
    "find": "F AY N D",
    "to": "T UW",
}
COMMON |= {"drive": "D R AY V", "how": "HH AW", "far": "F AA R", "is": "IH Z", "play": "P L EY", "me": "M IY"}
COMMON |= {"what": "W AH T", "about": "AH B AW T", "look": "L UH K", "for": "F AO R"}


def names(count, vowels):
    """Made-up names of four phonemes; none sounds like another."""
    found = {}
    for first in CONSONANTS:
        for vowel in vowels:
            for last in CONSONANTS[:4]:
                found[f"{first}{vowel}{last}ee".lower()] = f"{first} {vowel} {last} IY"
    return dict(list(found.items())[:count])


SURNAMES = {"bauer": "B AW ER"} | names(80, VOWELS[:4])
FIRST = names(60, VOWELS[4:])
SPOKEN = {word: tuple(sounds.split()) for word, sounds in (COMMON | SURNAMES | FIRST).items()}


def built(seed=0, **limits):
    return build_vocabulary(SPOKEN, list(COMMON), list(SURNAMES), list(FIRST), seed=seed, **limits)


class TestVocabulary:
    def test_every_split_gets_its_share_of_each_sort_of_name(self):
        found = built()
        for sort, total in (("device", len(FIRST)), ("other", len(SURNAMES))):
            for split, entries in found.entries.items():
                count = sum((entry.kind == "device") == (sort == "device") for entry in entries)
                assert count == pytest.approx(SHARES[split] / sum(SHARES.values()) * total, abs=1)

    def test_a_third_of_the_surnames_are_places_with_a_noun(self):
        for entries in built().entries.values():
            places = [entry.text.split() for entry in entries if entry.kind == "place"]
            contacts = [entry for entry in entries if entry.kind == "contact"]
            assert all(len(words) == 2 and words[1] in PLACE_NOUNS for words in places)
            assert abs(2 * len(places) - len(contacts)) <= 2

    def test_limits_bound_the_names(self):
        found = built(most_surnames=40, most_first=30)
        kinds = [entry.kind for entries in found.entries.values() for entry in entries]
        assert kinds.count("device") == 30
        assert len(kinds) == 70

    def test_the_seed_moves_names_between_splits_and_nothing_else(self):
        one, two = built(0), built(1)
        assert built(0).entries == one.entries != two.entries
        assert set(one.lexicon.words) == set(two.lexicon.words)
        assert one.common == two.common == tuple(COMMON)

    def test_what_a_turn_may_ask_for_is_long_enough(self):
        found = built()
        assert {"the", "on", "to", "how", "is", "me"} & set(found.open_words) == set()
        assert "power" in found.open_words

    def test_neighbours_are_one_substitution_away_and_complete(self):
        found = built()
        for split in SHARES:
            alike = {entry.text for entry in found.alike(split, "power")}
            sound = found.lexicon.words["power"]
            for entry in found.entries[split]:
                own = found.lexicon.words[entry.text.split()[0]]
                near = len(own) == len(sound) and edit_distance(own, sound) == 1
                assert (entry.text in alike) == near

    def test_labels_of_entries_and_words(self):
        found = built()
        place = next(e for entries in found.entries.values() for e in entries if e.kind == "place")
        assert found.labels[place.text] == found.lexicon.labels(place.text)
        assert found.labels["power"] == classes_of(["P", "AW", "ER"])

    def test_words_without_a_pronunciation_are_passed_over(self):
        found = build_vocabulary(SPOKEN, [*COMMON, "qqq"], [*SURNAMES, "zzz"], list(FIRST), seed=0)
        assert {"qqq", "zzz"} & set(found.lexicon.words) == set()

    def test_priors_fall_with_rank_and_names_share_one(self):
        found = built()
        ranked = [found.lexicon.log_priors[word] for word in COMMON]
        assert ranked == sorted(ranked, reverse=True)
        assert len({found.lexicon.log_priors[name] for name in (SURNAMES | FIRST)}) == 1
        assert np.exp(list(found.lexicon.log_priors.values())).sum() == pytest.approx(1)


class TestTurns:
    def test_carriers_hold_one_place_and_known_words(self):
        words = set(COMMON)
        assert set(CARRIERS) == {*KINDS, "general"}
        for carriers in CARRIERS.values():
            for carrier in carriers:
                assert carrier.count("{}") == 1
                assert set(carrier.replace("{}", "").split()) <= words

    def test_every_name_has_its_turn_before_any_has_two(self):
        found = built()
        count = len(found.entries["test"])
        turns = make_turns(found, "test", entity=count, general=0, seed=3)
        assert {turn.truth for turn in turns} == set(found.entries["test"])

    def test_the_assistant_offers_two_and_the_truth_is_one(self):
        for turn in make_turns(built(), "test", entity=30, general=0, seed=3):
            assert turn.truth.text in turn.assistant.split(" or ")

    def test_words_of_the_reply_come_once(self):
        found = built()
        name = found.entries["test"][0].text.split()[0]
        turn = Turn(name, None, name, f"{name} or {name} qqq")
        assert [entry.text for entry in previous_words(turn, found)] == [name]
        assert previous_words(Turn(name, None, name, ""), found) == ()


def tones(count=6, seconds=0.5):
    times = torch.arange(int(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    return tuple(0.1 * torch.sin(2 * torch.pi * 200 * (i + 1) * times) for i in range(count))


def material(count=6):
    lexicon = Lexicon({"power": classes_of(["P", "AW", "ER"])}, {"power": -1.0})
    turns = tuple(Turn("power", None, "power", "") for _ in range(count))
    return Material(turns, tones(count), ("tone",) * count), lexicon


class TestMaterial:
    def test_seconds_add_up(self):
        assert material()[0].seconds == pytest.approx(3.0)

    def test_noise_is_white_or_another_turn(self):
        spoken, _ = material()
        mixed = noisy(spoken, (10.0, 10.0), seed=0)
        noises = [dirty - clean for clean, dirty in zip(spoken.audio, mixed, strict=True)]
        peaks = [
            float(torch.fft.rfft(noise).abs().max() / torch.fft.rfft(noise).abs().mean()) for noise in noises
        ]
        assert max(peaks[0::2]) < 10 < min(peaks[1::2])  # every other one is a tone

    def test_the_level_is_drawn_from_its_range(self):
        spoken, _ = material(40)
        mixed = noisy(spoken, (5.0, 20.0), seed=1)
        levels = [
            float(10 * torch.log10(clean.var() / (dirty - clean).var()))
            for clean, dirty in zip(spoken.audio, mixed, strict=True)
        ]
        assert 4.5 < min(levels) < 8
        assert 17 < max(levels) < 20.5

    def test_noise_follows_its_seed(self):
        spoken, _ = material()
        one, two, other = (noisy(spoken, (5.0, 20.0), seed=seed) for seed in (0, 0, 1))
        assert all(torch.equal(a, b) for a, b in zip(one, two, strict=True))
        assert not any(torch.equal(a, b) for a, b in zip(one, other, strict=True))

    def test_features_are_stacked_and_normalised_by_what_they_were_fitted_on(self):
        spoken, lexicon = material()
        front_end = fit_front_end(spoken.audio)
        found = examples(spoken, spoken.audio, front_end, lexicon)
        assert [example.name for example in found] == list("012345")
        assert found[0].features.shape[1] == 40 * STACK
        assert len(found[0].features) == pytest.approx(0.5 / 0.04, abs=1)
        joined = torch.cat([example.features for example in found])
        assert abs(float(joined.mean())) < 0.3

    def test_voices_are_split_without_overlap_and_by_seed(self):
        counts = {"base": 40, "adapt": 20, "dev": 8, "test": 10}
        one, two = split_voices(counts, seed=0), split_voices(counts, seed=1)
        assert {split: len(voices) for split, voices in one.items()} == counts
        pairs = [(voice.accent, voice.variant) for voices in one.values() for voice in voices]
        assert len(pairs) == len(set(pairs))
        assert one != two
