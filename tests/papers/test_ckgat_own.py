"""A reader's own recipes: two small CSV files through the documented call, and every refused row."""

import numpy as np
import pytest

from echobook.data.text_files import MalformedRow
from echobook.papers.ckgat.own_data import read_recipes, read_visits, read_world, recommend_csv

HEADS = "recipe,ingredients,cuisine,minutes", "user,recipe,behaviour,request"


def encode(texts):
    return np.array([[len(text), text.count("e")] for text in texts], dtype=np.float32)


@pytest.fixture
def files(tmp_path):
    """Six recipes with rice, six with beans; five users of each kind."""
    kind = ["rice"] * 6 + ["bean"] * 6
    recipes = [f"dish {i},{kind[i]};oil {i % 2},here,{10 * i}" for i in range(12)]
    visits = [
        f"u{u},dish {(u + step) % 6 + 6 * (u % 2)},{('browse', 'cook')[step % 2]},{kind[6 * (u % 2)]}"
        for step in range(4)
        for u in range(10)
    ]
    return write(tmp_path, recipes, visits)


def write(folder, recipes, visits):
    paths = folder / "recipes.csv", folder / "visits.csv"
    for path, head, lines in zip(paths, HEADS, (recipes, visits), strict=True):
        path.write_text("\n".join([head, *lines]) + "\n")
    return paths


def test_files_in_recommendations_out(files, tmp_path):
    found = recommend_csv(*files, k=2, epochs=60, encode=encode)
    assert (found.users, found.recipes) == (10, 12)
    assert found.table.groupby("user").size().tolist() == [2] * 10
    assert found.table["rank"].tolist() == [1, 2] * 10
    kind = [int(name[1:]) % 2 for name in found.table["user"]]
    got = [int(name[5:]) >= 6 for name in found.table["recipe"]]
    same = np.mean(np.array(kind) == got)
    assert same > 0.6  # bean people get beans; by chance two of eight
    found.write(tmp_path / "out.csv")
    assert (tmp_path / "out.csv").read_text().startswith("user,rank,recipe,score\n")


def test_a_request_narrows_the_answers(files):
    found = recommend_csv(*files, k=3, epochs=2, encode=encode, request="Rice")
    assert {int(name[5:]) for name in found.table["recipe"]} <= set(range(6))
    with pytest.raises(ValueError, match="request 'durian': no recipe has this word"):
        recommend_csv(*files, epochs=1, encode=encode, request="durian")


def test_the_last_visit_of_a_user_is_kept_for_stopping(files):
    world, names = read_world(*files, encode)
    assert names[:2] == ["u0", "u1"]
    assert world.wanted["validation"].nnz == 10
    assert world.wanted["test"].nnz == 0


@pytest.mark.parametrize(
    ("line", "message"),
    [("pie,,,10", "recipes.csv:3: expected an attribute: ingredients, keywords or cuisine, got 'pie'"),
     (",rice,,", "recipes.csv:3: expected a recipe's name"), ("soup,rice,,", "a recipe's name, each once"),
     ("pie,rice,,soon", "minutes as a whole number"), ("pie,rice", "recipes.csv:3: expected 4 fields")],
)  # fmt: skip
def test_bad_recipes_are_named(tmp_path, line, message):
    recipes, _ = write(tmp_path, ["soup,rice,here,10", line], [])
    with pytest.raises(MalformedRow, match=message):
        read_recipes(recipes)


@pytest.mark.parametrize(
    ("line", "message"),
    [("u1,soup,liked,", "visits.csv:3: expected a behaviour: browse, cart, cook, got 'liked'"),
     ("u1,stew,cook,", "visits.csv:3: expected a recipe of the recipes' file, got 'stew'"),
     (",soup,cook,", "visits.csv:3: expected a user"), ("u1,soup", "visits.csv:3: expected 4 fields")],
)  # fmt: skip
def test_bad_visits_are_named(tmp_path, line, message):
    _, visits = write(tmp_path, ["soup,rice,,"], ["u1,soup,browse,", line])
    with pytest.raises(MalformedRow, match=message):
        read_visits(visits, ["soup"])


def test_an_isolated_recipe_is_named(tmp_path, files):
    text = files[0].read_text() + "moon pie,stardust,nowhere,\n"
    files[0].write_text(text)
    with pytest.raises(
        MalformedRow, match=r"recipes.csv:14: expected a training visit .* got 'moon pie, an isolated"
    ):
        read_world(*files, encode)


def test_missing_columns_and_too_few_visits(tmp_path):
    recipes, visits = write(tmp_path, ["soup,rice,,"], ["u1,soup,browse,"])
    with pytest.raises(ValueError, match="at least two users with three visits"):
        read_visits(visits, ["soup"])
    recipes.write_text("recipe,cuisine\nsoup,here\n")
    with pytest.raises(MalformedRow, match="no ingredients in"):
        read_recipes(recipes)
