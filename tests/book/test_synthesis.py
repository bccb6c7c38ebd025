"""The tables of the page over all chapters, in a small book."""

from bs4 import BeautifulSoup

from .conftest import CLAIMS, Checkout

NAMES = ("verdicts", "effects", "controls", "cost", "open")


def test_each_table_is_on_the_page(checkout: Checkout) -> None:
    claims = CLAIMS.replace(
        "smallest_effect: 0", "smallest_effect: 0\n    paper_effect: 2.2\n    control: no training"
    )
    checkout.write("data/claims/advin.yml", claims)
    checkout.record(2.0, 2.1, 2.2)
    checkout.index("\n\n".join(f"```{{synthesis}} {name}\n```" for name in NAMES))
    assert checkout.build() == (0, "")
    page = BeautifulSoup(checkout.page(), "html.parser")
    captions = [caption.get_text() for caption in page.find_all("caption")]
    assert len(captions) == 7  # four of verdicts, effects, controls, cost; nothing is open
    assert "Of 1 finding of 1 paper, 1 are decided here" in page.get_text()
    assert "No recorded finding is undecided." in page.get_text()
    assert page.select_one("#T_controls td").get_text() == "no training"


def test_an_unknown_table_is_named(checkout: Checkout) -> None:
    checkout.index("```{synthesis} everything\n```")
    status, said = checkout.build()
    assert status != 0
    assert "synthesis: expected one of verdicts, effects, controls, cost, open; found 'everything'" in said
