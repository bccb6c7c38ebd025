"""Tables of findings and checks, tiles, overview, effects and CSV files, in small books."""

import csv

import pytest
from bs4 import BeautifulSoup

from echobook.sphinx import readme
from echobook.sphinx.records import Records
from echobook.sphinx.rows import judged, planned, short

from .conftest import CLAIMS, Checkout

ALL = "\n\n".join(
    f"```{{{name}}}\n```" for name in ("totals", "overview", "effects", "scoreboard", "checks", "chapters")
)


@pytest.fixture
def built(checkout: Checkout) -> BeautifulSoup:
    """The landing page of a small book that shows everything."""
    claims = CLAIMS.replace("smallest_effect: 0", "smallest_effect: 0\n    paper_effect: 2.2")
    checkout.write("data/claims/advin.yml", claims)
    checkout.record(2.0, 2.1, 2.2)
    checkout.index(ALL)
    assert checkout.build() == (0, "")
    assert checkout.check()[0] == 0
    return BeautifulSoup(checkout.page(), "html.parser")


def cells(page: BeautifulSoup, table: str) -> list[str]:
    [row] = page.select(f"#{table} tbody tr")
    return [" ".join(cell.get_text(" ").split()) for cell in row.find_all("td")]


def test_the_table_of_findings(built: BeautifulSoup) -> None:
    assert cells(built, "scoreboard-table") == [
        "ADVIN",
        "C1. The new way beats the old way. (of the paper)",
        "twelve",
        "● gain over the old way: 1.10 [0.852, 1.35] points (3 seeds)",
        "✓ reproduced",
    ]
    row = built.select_one("#scoreboard-table tbody tr")
    assert {"part-understanding", "verdict-reproduced", "origin-paper"} <= set(row["class"])
    assert float(row.select_one("data.ratio")["value"]) == pytest.approx(0.5)
    heads = [head.get_text() for head in built.select("#scoreboard-table thead th")]
    assert heads == ["Chapter", "Finding", "Paper", "Ours [interval]", "Verdict"]


def test_checks_have_a_table_of_their_own(built: BeautifulSoup) -> None:
    assert cells(built, "checks-table") == [
        "ADVIN",
        "K1. The old score is one.",
        "old score: 1.00 points (= 1)",
        "✓ passed",
    ]
    assert "K1" not in built.select_one("#scoreboard-table").get_text()


def test_the_filter_offers_what_is_there(built: BeautifulSoup) -> None:
    form = built.select_one("form.scoreboard-filter")
    options = {
        select["id"]: [option["value"] for option in select.find_all("option")]
        for select in form.find_all("select")
    }
    assert options["scoreboard-verdict"] == ["", "verdict-reproduced"]
    assert options["scoreboard-order"] == ["", "verdict", "ratio"]
    assert options["scoreboard-origin"] == ["", "origin-paper", "origin-derived", "origin-ours"]
    assert {label["for"] for label in form.find_all("label")} == set(options)


def test_tiles_count_papers_ours_and_checks(built: BeautifulSoup) -> None:
    tiles = [" ".join(tile.get_text().split()) for tile in built.select("ul.totals li")]
    assert tiles == ["1 of 2 chapters published", "1 of 1 checks of our own code passed", "✓ 1 reproduced"]
    assert [title.get_text() for title in built.select("p.totals-title")] == ["1 finding of papers"]


def test_overview_and_effects_link_to_the_cells(built: BeautifulSoup) -> None:
    mark = built.select_one("table.overview-papers td a.echobook-verdict")
    assert (mark.get_text(), mark["href"]) == ("✓ C1", "notebooks/understanding/advin.html#advin-c1")
    strip = built.select_one("figure.echobook-forest")
    assert strip["aria-label"].startswith("1 test by our effect in multiples of the paper's: 0 as large")
    assert strip.select_one("tr.test a")["href"] == "notebooks/understanding/advin.html#advin-c1"


def test_cards_show_verdicts_and_checks(built: BeautifulSoup) -> None:
    first, second = (
        card.select_one(".card-verdicts").get_text().split("\n")
        for card in built.select("ul.chapter-cards > li")
    )
    assert "".join(first).strip() == "✓ 1 reproduced 1 of 1 check"
    assert "".join(second).strip() == "to come"


def test_the_tables_can_be_downloaded(built: BeautifulSoup, checkout: Checkout) -> None:
    links = [link["href"] for link in built.find_all("a", download=True)]
    assert links == ["_downloads/findings.csv", "_downloads/checks.csv"]
    rows = {}
    for link in links:
        with (checkout.html / link).open(encoding="utf-8", newline="") as stream:
            [rows[link]] = csv.DictReader(stream)
    assert rows[links[0]]["words"] == "gain over the old way"
    assert float(rows[links[0]]["estimate"]) == pytest.approx(1.1)
    assert (rows[links[1]]["passed"], rows[links[1]]["relation"]) == ("True", "==")


def test_no_files_without_tables(checkout: Checkout) -> None:
    checkout.index("Words.")
    assert checkout.build() == (0, "")
    assert not (checkout.html / "_downloads").exists()


def test_before_any_record_the_page_says_so(checkout: Checkout) -> None:
    checkout.index(ALL)
    assert checkout.build() == (0, "")
    page = BeautifulSoup(checkout.page(), "html.parser")
    assert cells(page, "scoreboard-table")[3:] == ["not yet recorded", "… not yet recorded"]
    assert cells(page, "checks-table")[2:] == ["not yet recorded", "… not yet recorded"]
    assert page.select_one(".overview-surprise").get_text() == "Not yet recorded."


def test_the_readme_has_one_row_a_chapter(checkout: Checkout) -> None:
    checkout.record(2.0, 2.1, 2.2)
    assert readme.chapters_table(checkout.root).split("\n") == [
        "| chapter | title | findings of the paper | ours | checks passed | CPU minutes a seed |",
        "| --- | --- | --- | --- | --- | --- |",
        "| [advin](notebooks/understanding/advin.py) | ADVIN: discovering new intents and domains | ✓ 1 "
        "| none | 1 of 1 | 1 |",
        "",
        "✓ reproduced. In all 1 finding of papers: 1 reproduced; 1 check passed of 1. "
        "To come: incremental-user-embedding.",
    ]


def test_published_and_planned_chapters(checkout: Checkout) -> None:
    records = Records(checkout.root, "default")
    assert [chapter.slug for chapter, _ in judged(records)] == ["advin"]
    assert [chapter.slug for chapter in planned(records)] == ["incremental-user-embedding"]
    (checkout.root / "data/claims/advin.yml").unlink()
    assert len(planned(Records(checkout.root, "default"))) == 2
    assert [short(value) for value in (0.919, 14.93, 1234.5, -3.0)] == ["0.919", "14.9", "1,234", "−3"]
