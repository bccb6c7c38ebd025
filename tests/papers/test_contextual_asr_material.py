"""Vocabulary, dialogues, lists and material: disjoint splits, traps, distractors, noise, refusals."""

import numpy as np
import pytest
import torch

from echobook.data.generators.spoken_names import spoken_names
from echobook.papers.contextual_asr.material import (
    UNSPOKEN,
    Material,
    draw_lists,
    espeak_material,
    examples,
    fit_front_end,
    flite_material,
    make_turns,
    noisy,
    previous_words,
    split_voices,
    wrong_lists,
)
from echobook.papers.contextual_asr.training import ALL_KINDS, reply_catalogue, scramble
from echobook.papers.contextual_asr.vocabulary import KINDS, SHARES, build_vocabulary
from echobook.speech.biasing.catalogues import Draw, Entry, catalogue
from echobook.speech.biasing.flite import FliteMissing

WORDS = spoken_names()


@pytest.fixture(scope="module")
def vocabulary():
    return build_vocabulary(WORDS.pronunciations, WORDS.common, WORDS.surnames, WORDS.first, seed=0)


def sounds_of(words):
    """The different pronunciations of words: of those that sound alike one is kept."""
    return {WORDS.pronunciations[word] for word in words}


def test_names_are_split_without_overlap(vocabulary):
    names = {split: {e.text.split()[0] for e in entries} for split, entries in vocabulary.entries.items()}
    assert set(names) == set(SHARES)
    listed = [name for found in names.values() for name in found]
    assert (
        len(listed)
        == len(set(listed))
        == len(sounds_of(WORDS.surnames + WORDS.first) - sounds_of(WORDS.common))
    )
    assert all({e.kind for e in entries} == set(KINDS) for entries in vocabulary.entries.values())


def test_names_are_rarer_than_any_common_word(vocabulary):
    priors = vocabulary.lexicon.log_priors
    assert priors["bauer"] < min(priors[word] for word in vocabulary.common)


def test_sound_alikes_are_found_both_ways(vocabulary):
    split = next(
        s for s, entries in vocabulary.entries.items() if "bauer" in {e.text.split()[0] for e in entries}
    )
    assert "bauer" in {entry.text.split()[0] for entry in vocabulary.alike(split, "power")}
    assert vocabulary.alike(split, "coffee") == ()


def test_homophones_are_left_out_and_counted(vocabulary):
    words = dict(WORDS.pronunciations) | {"bower": ("B", "AW", "ER"), "powar": ("P", "AW", "ER")}
    found = build_vocabulary(words, WORDS.common, [*WORDS.surnames, "bower", "powar"], WORDS.first, seed=0)
    assert found.homophones == vocabulary.homophones + 2
    assert "powar" not in found.lexicon.words
    assert len({"bauer", "bower"} & set(found.lexicon.words)) == 1


def test_too_few_names_are_refused():
    with pytest.raises(ValueError, match="lacks a kind of entry; pass more names"):
        build_vocabulary(WORDS.pronunciations, WORDS.common, WORDS.surnames[:4], WORDS.first, seed=0)


def test_turns_mean_what_they_say(vocabulary):
    turns = make_turns(vocabulary, "test", entity=40, general=30, traps=0.5, seed=1)
    assert [turn.truth is not None for turn in turns] == [True] * 40 + [False] * 30
    for turn in turns:
        vocabulary.lexicon.labels(turn.text)  # every word is known
        assert turn.word in turn.text.split()
        if turn.truth is not None:
            assert turn.truth.text in turn.text
            assert turn.truth.text in turn.assistant
            assert turn.biased == set(turn.truth.text.split())
        else:
            assert turn.biased == frozenset()
            assert turn.word in vocabulary.open_words
    assert all(vocabulary.alike("test", turn.word) for turn in turns[40:55])
    assert turns == make_turns(vocabulary, "test", entity=40, general=30, traps=0.5, seed=1)
    assert turns != make_turns(vocabulary, "test", entity=40, general=30, traps=0.5, seed=2)


def test_lists_hold_the_truth_as_often_as_asked(vocabulary):
    turns = make_turns(vocabulary, "test", entity=200, general=20, seed=0)
    shares = {}
    for present in (0.0, 0.5, 1.0):
        lists = draw_lists(vocabulary, "test", turns, Draw(8, 0.3, present), rng=np.random.default_rng(0))
        shares[present] = np.mean([t.truth in own for t, own in zip(turns[:200], lists[:200], strict=True)])
        assert all(len(own) == len(set(own)) == 8 for own in lists)
    assert (shares[0.0], shares[1.0]) == (0, 1)
    assert 0.4 < shares[0.5] < 0.6


def test_a_share_of_the_list_sounds_alike(vocabulary):
    turns = make_turns(vocabulary, "test", entity=0, general=60, traps=1.0, seed=0)
    many, none = (
        draw_lists(vocabulary, "test", turns, Draw(6, share, 1.0), rng=np.random.default_rng(0))
        for share in (0.5, 0.0)
    )

    def alike(lists):
        return sum(
            bool(set(vocabulary.alike("test", t.word)) & set(own))
            for t, own in zip(turns, lists, strict=True)
        )

    assert alike(many) == len(turns) > alike(none)


def test_wrong_lists_never_hold_the_truth(vocabulary):
    turns = make_turns(vocabulary, "test", entity=30, general=0, seed=0)
    lists = draw_lists(vocabulary, "test", turns, Draw(8), rng=np.random.default_rng(0))
    assert all(t.truth not in own for t, own in zip(turns, wrong_lists(lists, turns), strict=True))


def test_catalogues_share_entries_and_pad(vocabulary):
    one, two = vocabulary.entries["test"][:2]
    found = catalogue([[one, two], [two]], vocabulary.labels, ALL_KINDS)
    assert found.rows.tolist() == [[0, 1], [1, -1]]
    assert found.labels == (vocabulary.labels[one.text], vocabulary.labels[two.text])
    with pytest.raises(ValueError, match="expected a text with labels and a kind of contact"):
        catalogue([[Entry("nobody", "contact")]], vocabulary.labels, ALL_KINDS)


def test_scrambled_entries_keep_their_lengths(vocabulary):
    found = catalogue([vocabulary.entries["test"][:5]], vocabulary.labels, ALL_KINDS)
    random = scramble(found, np.random.default_rng(0))
    assert [len(x) for x in random.labels] == [len(x) for x in found.labels]
    assert random.labels != found.labels


def test_the_reply_is_carried_over_word_by_word(vocabulary):
    turn = make_turns(vocabulary, "test", entity=1, general=0, seed=0)[0]
    words = [entry.text for entry in previous_words(turn, vocabulary)]
    assert set(turn.truth.text.split()) <= set(words)
    assert "or" not in words  # not a word of this vocabulary
    assert reply_catalogue(vocabulary, [turn]).kinds.tolist() == [ALL_KINDS.index("reply")] * len(words)


def test_no_voice_speaks_in_two_splits(vocabulary):
    voices = split_voices({"base": 5, "test": 3}, seed=0)
    names = [(v.accent, v.variant) for found in voices.values() for v in found]
    assert len(set(names)) == 8
    turns = make_turns(vocabulary, "test", entity=2, general=1, seed=0)
    material = espeak_material(turns, voices["test"])
    assert 0.5 < material.seconds < 10
    front_end = fit_front_end(material.audio)
    for example, turn in zip(
        examples(material, material.audio, front_end, vocabulary.lexicon), turns, strict=True
    ):
        assert example.features.shape[1] == 160
        assert vocabulary.lexicon.text(example.labels) == turn.text
    with pytest.raises(ValueError, match="no voices to speak with"):
        espeak_material(turns, [])


@pytest.mark.parametrize("name", sorted(UNSPOKEN))
def test_names_are_left_out_because_espeak_is_silent_on_them(vocabulary, name):
    """Alone in every variant; should eSpeak learn to say one, it may come back."""
    turn = make_turns(vocabulary, "test", entity=1, general=0, seed=0)[0]._replace(text=name)
    for voice in split_voices({"any": 6}, seed=1)["any"]:
        with pytest.raises(ValueError, match=f"eSpeak says nothing for '{name}' .*leave its name out"):
            espeak_material([turn], [voice])


def test_noise_has_the_level_asked_for(vocabulary):
    turns = make_turns(vocabulary, "test", entity=4, general=0, seed=0)
    audio = tuple(torch.randn(4000, generator=torch.Generator().manual_seed(i)) for i in range(4))
    mixed = noisy(Material(tuple(turns), audio, ("x",) * 4), (10.0, 10.0), seed=0)
    for clean, dirty in zip(audio, mixed, strict=True):
        assert 10 * torch.log10(clean.var() / (dirty - clean).var()) == pytest.approx(10, abs=0.3)


def test_the_noise_of_a_turn_is_never_the_turn_itself(vocabulary):
    """Two turns with different tones: half of the draws would be the turn itself, and leave no trace."""
    turns = make_turns(vocabulary, "test", entity=2, general=0, seed=0)
    tone = torch.sin(torch.arange(4000) * 0.3), torch.sin(torch.arange(4000) * 1.1)
    for seed in range(20):
        mixed = noisy(Material(tuple(turns), tone, ("x", "y")), (0.0, 0.0), seed=seed)
        heard = torch.fft.rfft(mixed[1]).abs()
        places = [round(angle / (2 * torch.pi) * 4000) for angle in (0.3, 1.1)]
        assert min(float(heard[p - 3 : p + 4].max()) for p in places) > 50


def test_without_flite_the_refusal_names_the_package(vocabulary, monkeypatch):
    monkeypatch.setenv("PATH", "")
    turns = make_turns(vocabulary, "test", entity=1, general=0, seed=0)
    with pytest.raises(FliteMissing, match="package `flite`"):
        flite_material(turns, seed=0)


@pytest.mark.parametrize(("entity", "general", "traps"), [(0, 0, 0.0), (-1, 5, 0.0), (1, 1, 1.5)])
def test_bad_counts_are_refused(vocabulary, entity, general, traps):
    with pytest.raises(ValueError, match="expected turns and a share of traps"):
        make_turns(vocabulary, "test", entity=entity, general=general, traps=traps, seed=0)


def test_bad_draws_are_refused():
    with pytest.raises(ValueError, match="expected rows >= 1 and shares in"):
        Draw(0)
