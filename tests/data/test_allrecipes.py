"""Joining cooks and recipes by number: a small copy of the published form, and every refused row."""

import importlib.util
from pathlib import Path

import pytest

from echobook.data import allrecipes
from echobook.data.allrecipes import ingredients_of, load_cookbook, read_cuisines, require_rdata
from echobook.data.registry import dataset_rows
from echobook.data.text_files import MalformedRow

HEADER = "name,country,url,ingredients,total_time"


def recipe(number, name="Soup", cuisine="Thai", parts='"1 cup rice, 2 eggs"', time="30"):
    return f"{name},{cuisine},https://www.allrecipes.com/recipe/{number}/x/,{parts},{time}"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Four users; recipes 10, 11, 12 are in both sets, course 3 is in one only."""
    (tmp_path / "cuisines.csv").write_text("\n".join([HEADER, *(recipe(n) for n in (110, 111, 112))]) + "\n")
    (tmp_path / "course2index.txt").write_text("110\t0\n111\t1\n112\t2\n999\t3\n")
    (tmp_path / "course_category.txt").write_text("0\t1\n9999\t2\n")
    (tmp_path / "course_fsa.txt").write_text("9\n8\n7\n6\n")
    pairs = [(u, c) for u in range(3) for c in range(3)] + [(3, 0), (3, 3), (0, 0)]
    (tmp_path / "user_course.txt").write_text("".join(f"{u}\t{c}\n" for u, c in pairs))
    return tmp_path


def test_join_by_hand(folder):
    book = load_cookbook(folder, folder, least_user=2, least_recipe=2)
    assert len(book.recipes) == 3
    assert sorted(zip(book.user.tolist(), book.recipe.tolist(), strict=True)) == [
        (u, c) for u in range(3) for c in range(3)
    ]
    assert book.recipes["category"].tolist() == ["main dish", "", ""]
    assert book.recipes["health"].tolist() == [9, 8, 7]
    assert book.recipes["minutes"].tolist() == [30] * 3
    assert book.recipes["ingredients"][0] == ("eggs", "rice")
    with pytest.raises(ValueError, match="no pair left with 9 a user"):
        load_cookbook(folder, folder, least_user=9)


def test_ingredients_without_amounts_and_handling():
    assert ingredients_of("2 (4 ounce) cans tomato sauce, ½ cup chopped onion, or to taste") == (
        "onion", "sauce", "tomato", "tomato sauce",
    )  # fmt: skip
    assert ingredients_of("") == ()


def test_rows_without_a_number_are_left_out(folder):
    path = folder / "cuisines.csv"
    path.write_text(f"{HEADER}\nPie,French,https://www.allrecipes.com/pie-7/,flour,\n{recipe(5, time='')}\n")
    found = read_cuisines(path)
    assert list(found) == [5]
    assert found[5]["minutes"] == 0


@pytest.mark.parametrize(
    ("file", "text", "message"),
    [("cuisines.csv", "name,url\na,b\n", "cuisines.csv:1: expected the columns name, country"),
     ("cuisines.csv", f"{HEADER}\n{recipe(1, name='')}\n", "cuisines.csv:2: expected a row"),
     ("user_course.txt", "0\t1\n0\n", "user_course.txt:2: expected 2 whole number"),
     ("course_fsa.txt", "9\nx\n", "course_fsa.txt:2: expected 1 whole number")],
)  # fmt: skip
def test_malformed_rows_are_named(folder, file, text, message):
    (folder / file).write_text(text)
    with pytest.raises(MalformedRow, match=message):
        load_cookbook(folder, folder, least_user=2, least_recipe=2)


def test_the_r_data_file_needs_a_package(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match="needs the package rdata"):
        require_rdata()


def test_meals_are_never_read():
    """They are derived from the same pairs, test ones included."""
    listed = {row.file for row in dataset_rows(allrecipes.COOKS)}
    assert {"user_meal_train.txt", "user_meal_test.txt"} <= listed
    assert not any("meal" in name for name in allrecipes.COOKS_FILES)
