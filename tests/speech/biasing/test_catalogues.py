"""Catalogues by hand; drawn lists: sizes, the truth, sound-alikes, order, repeatability, refusals."""

from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from echobook.speech.biasing.catalogues import Catalogue, Draw, Entry, catalogue, draw_entries

KINDS = ("contact", "device")
POOL = tuple(Entry(f"name{i}", KINDS[i % 2]) for i in range(30))
LABELS = {entry.text: (2 + i % 39, 3 + i % 38) for i, entry in enumerate(POOL)}
TRUTH, ALIKE = POOL[0], POOL[1:6]


def drawn(draw, seed=0, truth=TRUTH, alike=ALIKE, others=POOL):
    return draw_entries(draw, truth, alike, others, rng=np.random.default_rng(seed))


class TestCatalogue:
    def test_by_hand(self):
        found = catalogue([[POOL[0], POOL[3]], [POOL[3]], []], LABELS, KINDS)
        assert found.labels == (LABELS["name0"], LABELS["name3"])
        assert found.kinds.tolist() == [0, 1]
        assert found.rows.tolist() == [[0, 1], [1, -1], [-1, -1]]

    def test_one_text_of_two_kinds_is_two_entries(self):
        twins = [Entry("name0", "contact"), Entry("name0", "device")]
        found = catalogue([twins], LABELS, KINDS)
        assert found.labels == (LABELS["name0"],) * 2
        assert found.kinds.tolist() == [0, 1]

    def test_no_lists_and_empty_lists(self):
        assert catalogue([], LABELS, KINDS).rows.shape == (0, 0)
        assert catalogue([[], []], LABELS, KINDS).rows.shape == (2, 0)

    def test_every_entry_is_kept_once_and_can_be_read_back(self):
        rng = np.random.default_rng(1)
        lists = [[POOL[i] for i in rng.permutation(30)[: rng.integers(0, 9)]] for _ in range(20)]
        found = catalogue(lists, LABELS, KINDS)
        for row, entries in zip(found.rows.tolist(), lists, strict=True):
            read = [(found.labels[i], KINDS[int(found.kinds[i])]) for i in row if i >= 0]
            assert read == [(LABELS[entry.text], entry.kind) for entry in entries]
        assert len(found.labels) == len({entry for entries in lists for entry in entries})

    @pytest.mark.parametrize("entry", [Entry("nobody", "contact"), Entry("name0", "song")])
    def test_unknown_entries_are_refused(self, entry):
        with pytest.raises(ValueError, match="expected a text with labels and a kind of contact, device"):
            catalogue([[entry]], LABELS, KINDS)

    def test_rows_must_name_entries(self):
        one = torch.tensor([0])
        with pytest.raises(ValueError, match="rows name entries up to 1; there are 1"):
            Catalogue(((2,),), one, torch.tensor([[1]]))
        with pytest.raises(ValueError, match="rows name entries up to"):
            Catalogue(((2,),), one, torch.tensor([[-2]]))
        with pytest.raises(ValueError, match="2 entries but 1 kinds; expected one each"):
            Catalogue(((2,), (3,)), one, torch.tensor([[0]]))


class TestDraw:
    @settings(max_examples=60, deadline=None)
    @given(
        rows=st.integers(1, 20),
        alike=st.floats(0, 1),
        present=st.floats(0, 1),
        seed=st.integers(0, 10_000),
        meant=st.booleans(),
    )
    def test_whatever_is_asked_the_list_is_full_and_without_repetition(
        self, rows, alike, present, seed, meant
    ):
        found = drawn(Draw(rows, alike, present), seed, TRUTH if meant else None)
        assert len(found) == len(set(found)) == rows
        assert set(found) <= set(POOL)

    def test_the_truth_is_in_with_its_chance_and_never_a_distractor(self):
        for present, low, high in ((0.0, 0, 0), (0.5, 60, 140), (1.0, 200, 200)):
            count = sum(TRUTH in drawn(Draw(8, 0.3, present), seed) for seed in range(200))
            assert low <= count <= high

    def test_the_share_of_sound_alikes(self):
        for share, expected in ((0.0, 0), (0.5, 2), (1.0, 5)):
            found = drawn(Draw(6, share), alike=ALIKE, others=POOL[6:])
            assert len(set(found) & set(ALIKE)) == expected

    def test_without_a_truth_all_rows_are_distractors(self):
        found = drawn(Draw(6, 0.5), truth=None, others=POOL[6:])
        assert len(set(found) & set(ALIKE)) == 3
        assert len(set(found) - set(ALIKE)) == 3

    def test_the_truth_stands_anywhere(self):
        places = Counter(drawn(Draw(5), seed).index(TRUTH) for seed in range(300))
        assert set(places) == set(range(5))
        assert min(places.values()) > 30

    def test_a_seed_repeats_and_another_differs(self):
        assert drawn(Draw(8), 3) == drawn(Draw(8), 3)
        assert drawn(Draw(8), 3) != drawn(Draw(8), 4)

    def test_a_truth_among_its_sound_alikes_is_listed_once(self):
        found = drawn(Draw(4, 1.0), alike=(TRUTH, *ALIKE))
        assert found.count(TRUTH) == 1

    def test_too_few_others_are_refused(self):
        with pytest.raises(ValueError, match="2 other entries are too few for a list of 9"):
            drawn(Draw(9, 0.0), others=POOL[:2])

    @pytest.mark.parametrize("bad", [{"rows": 0}, {"rows": 2, "alike": 1.5}, {"rows": 2, "present": -0.1}])
    def test_bad_settings_are_refused(self, bad):
        with pytest.raises(ValueError, match="expected rows >= 1 and shares in"):
            Draw(**bad)
