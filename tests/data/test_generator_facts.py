"""The generated fact world: counts, kinds of negatives, the knob, determinism, refusals."""

import pytest

from echobook.data.generators.facts import GENERAL, SPECIAL, fact_world


def small(**changes):
    return fact_world(**({"seed": 0, "shared": 0.5, "transfer": 40, "target": 24, "held_out": 24} | changes))


def carriers(attributes):
    """Beginnings and ends of the statements of attributes, without town and value."""
    return [
        tuple(part.strip() for part in text.replace("{v}", "{e}").split("{e}"))
        for _, _, texts in attributes
        for text in texts
    ]


def wordings(frame, attributes):
    """Share of the right sentences that are worded as one of the attributes' statements."""
    right = frame.loc[frame["label"] == 1, "candidate"]
    found = [any(all(part in text for part in parts) for parts in carriers(attributes)) for text in right]
    return sum(found) / len(found)


def test_six_candidates_one_right():
    world = small()
    assert dict(world.use.rows) == {
        "transfer": 240,
        "transfer-random": 240,
        "train": 144,
        "validation": 144,
        "test": 144,
    }
    groups = world.frame.groupby("question_id")["label"]
    assert (groups.size() == 6).all()
    assert (groups.sum() == 1).all()


def test_the_right_sentence_names_the_town():
    frame = small().rows("test")
    for _, rows in frame.groupby("question_id"):
        right = rows.loc[rows["label"] == 1, "candidate"].item()
        shared = set(rows["question"].iloc[0].split()) & set(right.split())
        assert any(
            word.endswith(
                (
                    "burg",
                    "dale",
                    "field",
                    "ford",
                    "ham",
                    "mouth",
                    "stad",
                    "ton",
                    "ville",
                    "wick",
                    "wood",
                    "gate",
                )
            )
            for word in shared
        )


def test_hard_negatives_name_the_town_and_unrelated_ones_do_not():
    world = small()
    for split, expected in (("transfer", 2), ("transfer-random", 0)):
        rows = world.rows(split)
        wrong = rows[rows["label"] == 0]
        towns = wrong["question"].str.extract(
            r"\b(\w+(?:burg|dale|field|ford|ham|mouth|stad|ton|ville|wick|wood|gate))\b"
        )[0]
        named = [town in text.split() for town, text in zip(towns, wrong["candidate"], strict=True)]
        assert sum(named) == expected * rows["question_id"].nunique()


@pytest.mark.parametrize("shared", [0.0, 0.5, 1.0])
def test_the_knob_is_the_share_of_shared_wordings(shared):
    world = small(shared=shared, target=400)
    train = world.rows("train")
    assert wordings(world.rows("transfer"), GENERAL) == 1
    assert wordings(train, GENERAL) == pytest.approx(shared, abs=0.1)  # four standard errors of 400 draws
    assert wordings(train, SPECIAL) == pytest.approx(1 - shared, abs=0.1)


def test_towns_of_the_splits_differ():
    world = small()
    towns = {}
    for split in ("transfer", "train", "validation", "test"):
        found = world.rows(split)["question"].str.extract(r"\b(\w{3,}(?:burg|dale|ford|stad|ville|wick))\b")[
            0
        ]
        towns[split] = set(found.dropna())
    names = list(towns)
    assert all(towns[a].isdisjoint(towns[b]) for i, a in enumerate(names) for b in names[:i])


def test_a_seed_is_a_world():
    assert small().frame.equals(small().frame)
    assert not small().frame.equals(small(seed=1).frame)
    assert small().use.sha256 != small(shared=1.0).use.sha256


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"shared": 1.5}, r"shared in \[0, 1\] and at least 2 questions, got 1.5"),
        ({"target": 1}, "at least 2 questions"),
        ({"transfer": 100_000}, "towns are needed and 1080 can be named"),
    ],
)
def test_refusals(changes, message):
    with pytest.raises(ValueError, match=message):
        small(**changes)
