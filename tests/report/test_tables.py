"""Tables: which cells may hold markup, which digits they show, and what becomes of the index."""

import pandas as pd
import pytest
from bs4 import BeautifulSoup
from hypothesis import given, settings
from hypothesis import strategies as st

from echobook.report.errors import ReportError
from echobook.report.tables import table


def parsed(frame, **options):
    options = {"name": "t", "caption": "T.", **options}
    return BeautifulSoup(table(frame, **options).to_html(), "html.parser")


def texts(soup, tag="td"):
    return [cell.get_text() for cell in soup.find_all(tag)]


def test_markup_is_kept_in_the_named_column_and_escaped_in_the_others():
    frame = pd.DataFrame({"a": ["<b>x</b>"], "b": ["<b>x</b>"], "c": ["& <i>y</i>"]})
    plain, markup, other = parsed(frame, markup=["b"]).find_all("td")
    assert (plain.find("b"), plain.get_text()) == (None, "<b>x</b>")
    assert markup.find("b").get_text() == "x"
    assert (other.find("i"), other.get_text()) == (None, "& <i>y</i>")


@settings(max_examples=40, deadline=None)
@given(st.text(st.characters(codec="utf-8", exclude_categories=["C"]), max_size=12))
def test_any_text_comes_through_unchanged(text):
    [cell] = texts(parsed(pd.DataFrame({"a": [f"|{text}|"]})))
    assert cell == f"|{text}|"


def test_digits_by_column_and_three_for_the_rest():
    frame = pd.DataFrame({"a": [1.23456], "b": [1.23456], "c": [2], "d": ["x"]})
    assert texts(parsed(frame)) == ["1.235", "1.235", "2", "x"]
    assert texts(parsed(frame, digits=1)) == ["1.2", "1.2", "2", "x"]
    assert texts(parsed(frame, digits={"a": 0})) == ["1", "1.235", "2", "x"]
    assert texts(parsed(frame, digits={"b": 5, "a": 2})) == ["1.23", "1.23456", "2", "x"]


def test_missing_values_are_dashes_and_never_nan():
    frame = pd.DataFrame({"a": [1.0, None], "b": ["x", None]})
    assert texts(parsed(frame)) == ["1.000", "x", "–", "–"]


def test_an_index_without_a_name_is_left_out_and_a_named_one_comes_first():
    frame = pd.DataFrame({"a": [1, 2]}, index=[7, 8])
    assert (texts(parsed(frame), "th"), texts(parsed(frame))) == (["a"], ["1", "2"])
    named = parsed(frame.rename_axis("seed"))
    assert (texts(named, "th"), texts(named)) == (["seed", "a"], ["7", "1", "8", "2"])
    both = frame.set_index(pd.MultiIndex.from_tuples([("x", 7), ("y", 8)], names=["set", "seed"]))
    assert texts(parsed(both), "th") == ["set", "seed", "a"]


def test_a_name_over_the_columns_makes_no_empty_header():
    frame = pd.DataFrame({"a": [1]}).rename_axis(columns="system")
    assert texts(parsed(frame), "th") == ["a"]


def test_grouped_columns_are_joined_without_empty_parts():
    frame = pd.DataFrame(
        [[1.0, 2.0, 3.0]], columns=pd.MultiIndex.from_tuples([("x", "a"), ("x", "b"), ("y", "")])
    )
    assert texts(parsed(frame), "th") == ["x a", "x b", "y"]


@pytest.mark.parametrize("name", ["", "A", "a_b", "a--b", "-a", "a-", "a b", "a\n"])
def test_names_that_are_no_ids_are_refused(name):
    with pytest.raises(ReportError, match="expected lower-case words joined by hyphens"):
        table(pd.DataFrame({"a": [1]}), name=name, caption="T.")


def test_the_frame_given_is_left_as_it_was():
    frame = pd.DataFrame({("x", "a"): [1.5]}, index=pd.Index(["r"], name="row"))
    before = frame.copy()
    table(frame, name="t", caption="T.")
    pd.testing.assert_frame_equal(frame, before)
