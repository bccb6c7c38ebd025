"""Generated commands: same seed same rows, well-formed tags, knobs that do what they say."""

from collections import Counter

import pytest

from echobook.data.generators.commands import TEMPLATES, generate_commands
from echobook.data.slots import check_tags, spans

SIZES = {"train": 400, "test": 50}


def test_the_seed_decides_everything() -> None:
    first, again, other = (generate_commands(seed=seed, sizes=SIZES) for seed in (1, 1, 2))
    assert first.splits == again.splits
    assert first.use.sha256 == again.use.sha256 != other.use.sha256


def test_tags_are_well_formed_and_all_intents_occur() -> None:
    rows = generate_commands(seed=0, sizes=SIZES, noise=0.0).splits["train"]
    for row in rows:
        check_tags(row.tags, " ".join(row.words))
        assert len(row.words) == len(row.tags)
    assert {row.intent for row in rows} == set(TEMPLATES)
    assert {slot for row in rows for _, _, slot in spans(row.tags)} == {
        "when",
        "count",
        "room",
        "name",
        "item",
        "title",
    }


def test_variety_sets_how_often_a_name_returns() -> None:
    def most(variety: int) -> int:
        rows = generate_commands(seed=0, sizes=SIZES, variety=variety).splits["train"]
        names = Counter(w for row in rows for w, t in zip(row.words, row.tags, strict=True) if t == "B-name")
        return names.most_common(1)[0][1]

    assert most(3) > 4 * most(300)


def test_noise_is_the_share_of_random_intents() -> None:
    clean = generate_commands(seed=0, sizes={"a": 3000}, noise=0.0).splits["a"]
    wordings = {}
    for row in clean:
        frame = tuple(w if t == "O" else "_" for w, t in zip(row.words, row.tags, strict=True))
        assert wordings.setdefault(frame, row.intent) == row.intent
    noisy = generate_commands(seed=1, sizes={"a": 3000}, noise=0.4).splits["a"]
    wrong = 0
    for row in noisy:
        frame = tuple(w if t == "O" else "_" for w, t in zip(row.words, row.tags, strict=True))
        wrong += wordings.get(frame, row.intent) != row.intent
    assert wrong / 3000 == pytest.approx(0.4 * 0.9, abs=0.04)


@pytest.mark.parametrize(("variety", "noise"), [(1, 0.0), (5, 1.5), (5, -0.1)])
def test_refusals(variety: int, noise: float) -> None:
    with pytest.raises(ValueError, match=r"variety >= 2 and noise in \[0, 1\]"):
        generate_commands(seed=0, sizes=SIZES, variety=variety, noise=noise)
