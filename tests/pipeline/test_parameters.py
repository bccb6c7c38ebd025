"""The parameters cell and the profile file: what is read, what is refused, and in which words."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from echobook.pipeline.errors import PipelineError
from echobook.pipeline.parameters import (
    check_value,
    fits,
    parse_override,
    percent_cells,
    read_parameters,
    read_profile,
    resolve,
)


def test_reads_names_types_defaults_comments_and_ranges(small):
    known = read_parameters(small.chapter())
    assert list(known) == ["profile", "seed", "noise", "words", "corpus", "sizes"]
    assert known["noise"].annotation == "float"
    assert (known["noise"].default, known["noise"].low, known["noise"].high) == (0.1, 0.0, 1.0)
    assert (known["words"].low, known["words"].high) == (1.0, None)
    assert known["words"].comment == "words a sentence [1, ]"
    assert known["sizes"].default == [1, 2]


def test_a_hash_in_a_string_is_no_comment(small):
    path = small.chapter()
    path.write_text(path.read_text().replace('corpus: str = "embedded"', 'corpus: str = "a # b"  # name'))
    corpus = read_parameters(path)["corpus"]
    assert (corpus.default, corpus.comment) == ("a # b", "name")


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('["parameters"]', '["other"]', "expected one cell tagged 'parameters', found 0"),
        ("seed: int = 0\n", "", "lacks 'seed'"),
        ("noise: float = 0.1", "noise = 0.1", "alpha.py:18: expected 'name: type = literal'"),
        ("noise: float = 0.1", "noise: float = 2 * 3", "noise must be a plain literal"),
        ("noise: float = 0.1", "noise: float = 'x'", "expected float, found str"),
        ("noise: float = 0.1", "noise: float = 1.5", "out of range, expected 0 to 1"),
        ("noise: float = 0.1", "noise: float = (", "parameters cell is not Python"),
    ],
)
def test_refuses_a_bad_cell(small, old, new, words):
    path = small.chapter()
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    with pytest.raises(PipelineError) as caught:
        read_parameters(path)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("value", "annotation", "good"),
    [
        (1, "int", True),
        (True, "int", False),
        (1.0, "int", False),
        (1, "float", True),
        (True, "float", False),
        ("a", "str", True),
        (None, "str | None", True),
        (3, "str | None", False),
        ([1, 2], "list[int]", True),
        ([1, "a"], "list[int]", False),
        ((1, 2.0), "tuple[int, float]", True),
        ((1,), "tuple[int, float]", False),
        ((1, 2, 3), "tuple[int, ...]", True),
        ({"a": 1}, "dict[str, int]", True),
        ({1: 1}, "dict[str, int]", False),
        ("a", "Literal['a', 'b']", True),
        ("c", "Literal['a', 'b']", False),
        (True, "Literal[1]", False),
        (1, "'int'", True),
        (object(), "Something", True),
    ],
)
def test_fits(value, annotation, good):
    assert fits(value, annotation) is good


@given(st.integers() | st.floats(allow_nan=False) | st.booleans() | st.text() | st.lists(st.integers()))
def test_every_literal_fits_its_own_type_only(value):
    own = {int: "int", float: "float", bool: "bool", str: "str", list: "list[int]"}[type(value)]
    others = {"int", "bool", "str", "list[int]"} - {own}
    assert fits(value, own)
    assert not any(fits(value, other) for other in others)


@pytest.mark.parametrize("value", [0.0, 1.0, 0.5])
def test_range_holds_its_ends(small, value):
    check_value(read_parameters(small.chapter())["noise"], value, "x")


@pytest.mark.parametrize("value", [-0.001, 1.001, float("nan"), float("inf")])
def test_range_refuses_what_is_outside(small, value):
    with pytest.raises(PipelineError, match=r"noise = .*: out of range, expected 0 to 1"):
        check_value(read_parameters(small.chapter())["noise"], value, "x")


def test_unknown_name_suggests_the_nearest(small):
    known = read_parameters(small.chapter())
    with pytest.raises(PipelineError) as caught:
        resolve(known, "alpha", "default", 0, ("file.yml", {"wrods": 3}))
    assert "chapter alpha, file.yml: unknown parameter 'wrods'" in str(caught.value)
    assert "did you mean 'words'?" in str(caught.value)
    assert "known: noise, words, corpus, sizes" in str(caught.value)


def test_profile_and_seed_are_not_parameters(small):
    known = read_parameters(small.chapter())
    for name in ("profile", "seed"):
        with pytest.raises(PipelineError, match=f"set by --{name}"):
            resolve(known, "alpha", "default", 0, ("command line", {name: 1}))


def test_later_layers_win(small):
    known = read_parameters(small.chapter())
    values = resolve(
        known, "alpha", "public", 7, ("file", {"words": 3, "noise": 0.2}), ("line", {"words": 9})
    )
    assert values == {"profile": "public", "seed": 7, "words": 9, "noise": 0.2}


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("words", "7", 7),
        ("words", "seven", "seven"),
        ("noise", "1e-3", 0.001),
        ("corpus", "12", "12"),
        ("sizes", "[3, 4]", [3, 4]),
    ],
)
def test_command_line_text_takes_the_declared_type(small, name, text, value):
    assert parse_override(read_parameters(small.chapter())[name], text) == value


def test_profile_file(small):
    small.chapter()
    small.parameters("public: {seeds: [1, 2], parameters: {words: 5}, minutes: 3, datasets: [one]}\n")
    found = read_profile(small.project, "alpha", "public")
    assert (found.seeds, found.parameters, found.minutes, found.datasets) == (
        (1, 2),
        {"words": 5},
        3.0,
        ("one",),
    )


@pytest.mark.parametrize(
    ("text", "profile", "words"),
    [
        ("default: {}\n", "public", "has no profile 'public'"),
        ("default: {}\n", "fast", "no profile is called 'fast'"),
        ("default: {sedes: [0]}\n", "default", "unknown key 'sedes'"),
        ("default: {seeds: [0, 0]}\n", "default", "expected distinct integers"),
        ("default: {seeds: [a]}\n", "default", "expected distinct integers"),
        ("default: {seeds: []}\n", "default", "expected distinct integers"),
    ],
)
def test_refuses_a_bad_profile_file(small, text, profile, words):
    small.chapter()
    small.parameters(text)
    with pytest.raises(PipelineError) as caught:
        read_profile(small.project, "alpha", profile)
    assert words in str(caught.value)


def test_a_chapter_without_file_has_a_default_profile_only(small):
    small.chapter()
    small.project.parameters("alpha").unlink()
    assert read_profile(small.project, "alpha", "default").seeds == (0,)
    with pytest.raises(PipelineError, match="has no parameter file"):
        read_profile(small.project, "alpha", "smoke")


def test_percent_cells_count_lines():
    cells = percent_cells("# head\n# %% [markdown]\n# # Title\n\n# %%\na = 1\nb = 2\n")
    assert cells == [("# %% [markdown]", 3, "# # Title\n"), ("# %%", 6, "a = 1\nb = 2")]
