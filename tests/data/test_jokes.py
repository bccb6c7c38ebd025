"""Joke texts and ratings: kinds, both collections, the sparse matrix, and the generator of tastes."""

import json
from pathlib import Path

import numpy as np
import pytest

from echobook.data.fetch import fetch
from echobook.data.generators.jokes import FRAMES, TOPICS, Taste, draw_tastes, generate_jokes
from echobook.data.jokes import KINDS, dense_of_columns, kind_of, load_jester, load_texts
from echobook.data.r_files import RValue
from echobook.data.text_files import MalformedRow


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("Knock, knock. Who is there? Comet.", "exchange"),
        ('"A?" "B." "C?" "D."', "exchange"),
        ("What is red? A brick.", "riddle"),
        ("My goat has a bell.", "line"),
        ("A long one. " * 20, "story"),
    ],
)
def test_kinds_by_form(text: str, kind: str) -> None:
    assert kind_of(text) == kind
    assert kind in KINDS


def matrix(**slots: object) -> RValue:
    base = {
        "i": np.array([1, 0]),
        "p": np.array([0, 1, 1, 2]),
        "x": np.array([2.5, -1.0]),
        "Dim": np.array([2, 3]),
    }
    return RValue(None, base | slots)


def test_a_matrix_by_columns() -> None:
    dense = dense_of_columns(matrix())
    np.testing.assert_array_equal(dense, [[np.nan, np.nan, -1.0], [2.5, np.nan, np.nan]])


@pytest.mark.parametrize(
    "slots", [{"p": np.array([0, 1, 2])}, {"x": np.array([1.0])}, {"p": np.array([0, 1, 1, 1])}]
)
def test_slots_that_contradict_each_other(slots: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"matrix of \(2, 3\)"):
        dense_of_columns(matrix(**slots))


def write(folder: Path, api: object, official: object) -> tuple[Path, Path]:
    first, second = folder / "a", folder / "b"
    for path, name, content in ((first, "jokes-en.json", api), (second, "index.json", official)):
        path.mkdir()
        (path / name).write_text(json.dumps(content), encoding="utf-8")
    return first, second


def entry(text: str, *, safe: bool = True, flag: bool = False) -> dict[str, object]:
    return {"category": "Pun", "joke": text, "flags": {"nsfw": flag}, "safe": safe}


@pytest.fixture
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ECHOBOOK_ROOT", raising=False)


@pytest.mark.usefixtures("registered")
def test_only_safe_texts_are_kept_and_each_once(tmp_path: Path) -> None:
    api = {"jokes": [entry("One"), entry("two", safe=False), entry("three", flag=True)]}
    folders = write(
        tmp_path,
        api,
        [
            {"type": "general", "setup": "o", "punchline": "ne"},
            {"type": "x", "setup": "ONE", "punchline": ""} | {"punchline": "."},
        ],
    )
    jokes, uses = load_texts(*folders)
    assert [(joke.text, joke.category, joke.shown) for joke in jokes] == [
        ("One", "pun", True),
        ("o ne", "general", False),
        ("ONE .", "x", False),
    ]
    assert [use.total for use in uses] == [1, 2]


@pytest.mark.usefixtures("registered")
@pytest.mark.parametrize(
    ("api", "official", "message"),
    [
        ({"jokes": [{"category": "Pun", "flags": {}}]}, [], r"jokes-en.json:\d+: expected a joke"),
        ({"jokes": [{"category": 3, "joke": "x", "flags": {}}]}, [], "category and flags"),
        ([], [], "a list under 'jokes'"),
        ({"jokes": []}, {}, "index.json:1: expected a list"),
        ({"jokes": []}, [{"setup": "x"}], "setup and punchline in entry 0"),
    ],
)
def test_other_entries_are_refused(tmp_path: Path, api: object, official: object, message: str) -> None:
    with pytest.raises(MalformedRow, match=message):
        load_texts(*write(tmp_path, api, official))


def test_generated_jokes() -> None:
    jokes, use = generate_jokes(seed=3, jokes=40)
    assert len(jokes) == use.total == 40
    assert {joke.category for joke in jokes} == set(TOPICS)
    assert {joke.kind for joke in jokes} == set(FRAMES)
    assert all(kind_of(joke.text) == joke.kind for joke in jokes)
    assert generate_jokes(seed=3, jokes=40) == (jokes, use)
    assert generate_jokes(seed=4, jokes=40)[1].sha256 != use.sha256
    with pytest.raises(ValueError, match="at least 1, got 0"):
        generate_jokes(seed=0, jokes=0)


def features() -> np.ndarray:
    return np.random.default_rng(0).standard_normal((50, 6))


@pytest.mark.parametrize("part", ["own", "quality", "personal", "noise"])
def test_each_part_of_a_taste_has_its_spread(part: str) -> None:
    none = {"own": 0.0, "quality": 0.0, "personal": 0.0, "noise": 0.0}
    liking = draw_tastes(features(), Taste(**(none | {part: 0.7})), users=400, seed=1)
    assert abs(liking.std() - 0.7) < 0.12
    same_joke = np.ptp(liking, axis=0).max() < 1e-9
    same_user = np.ptp(liking, axis=1).max() < 1e-9
    assert (same_joke, same_user) == (part == "quality", part == "own")


def test_personal_taste_follows_the_features() -> None:
    """With nothing else, likings of a customer lie in the span of the centred features."""
    liking = draw_tastes(features(), Taste(0.0, 0.0, 1.0, 0.0), users=20, seed=2)
    centred = features() - features().mean(axis=0)
    rest = liking.T - centred @ np.linalg.lstsq(centred, liking.T, rcond=None)[0]
    assert np.abs(rest).max() < 1e-9


def test_bad_tastes_are_refused() -> None:
    with pytest.raises(ValueError, match="standard deviations >= 0"):
        Taste(noise=-1.0)
    with pytest.raises(ValueError, match="users >= 1"):
        draw_tastes(features(), Taste(), users=0, seed=0)
    with pytest.raises(ValueError, match="jokes that differ"):
        draw_tastes(np.ones((4, 2)), Taste(), users=2, seed=0)


def test_the_real_ratings(public: Path) -> None:
    ratings = load_jester(fetch("jester5k", files=["Jester5k.rda"]))
    assert ratings.values.shape == (5000, 100)
    assert int(np.isfinite(ratings.values).sum()) == ratings.use.rows["ratings"] == 363_209
    assert np.nanmin(ratings.values) == -9.95
    assert abs(np.nanmean(ratings.values > 0) * 5000 * 100 / 363_209 - 0.5988) < 1e-4
    assert len(ratings.texts) == 100
