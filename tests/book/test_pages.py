"""Small books: the good one passes, each bad one fails and names the culprit."""

import pytest

from .conftest import Checkout, executed

NOTEBOOK = "_build/default/executed/notebooks/understanding/advin.ipynb"


def test_a_sound_book_builds_and_passes_the_check(checkout: Checkout) -> None:
    checkout.record(2.0, 2.1, 2.2)
    checkout.index(
        "Ours is {result}`advin:score/new|.2f` ({interval}`advin:score/new|.2f`), the paper's "
        "{printed}`advin:C1`: {verdict}`advin:C1`; {verdict}`advin:K1`. "
        "Elsewhere {fact}`74 % <Author 2020>`.\n\n"
        "```{totals}\n```\n\n```{scoreboard}\n```\n\n```{chapters}\n```\n\n```{datacards}\n```"
    )
    status, said = checkout.build()
    assert (status, said) == (0, "")
    page = checkout.page()
    # The mean of 2.0, 2.1 and 2.2; t quantile 4.3027 with two degrees of freedom, s = 0.1.
    assert ">2.10</abbr>" in page
    assert ">1.85 to 2.35</abbr>" in page
    assert 'title="Author 2020">74 %</abbr>' in page
    assert ">twelve</abbr>" in page
    assert 'class="echobook-verdict verdict-reproduced"' in page
    assert 'title="K1: The old score is one.">passed</abbr>' in page
    assert 'href="notebooks/understanding/advin.html#advin-c1"' in page
    assert "part-understanding" in page
    assert "1 of 2" in page
    status, said = checkout.check()
    assert status == 0, said


BAD_ROLES = {
    "See {ref}`nowhere`.": "nowhere",
    "See {doc}`no/such/page`.": "no/such/page",
    "{result}`advin:score/newest|.2f`": "score/newest",
    "{result}`advent:score/new`": "no chapter 'advent'",
    "{result}`advin:score/new|.2q`": "format '.2q'",
    "{result}`just words`": "expected slug:name",
    "{verdict}`advin:C9`": "no finding or check 'C9'; known: C1, K1",
    "{fact}`74 %`": "source in angle brackets",
    "{interval}`advin:score/new`": "needs two or more",
}


def test_bad_pages_fail_and_name_the_culprit(checkout: Checkout) -> None:
    checkout.record(2.0)
    checkout.index("\n\n".join(BAD_ROLES))
    status, said = checkout.build()
    assert status == 1
    assert [culprit for culprit in BAD_ROLES.values() if culprit not in said] == []
    assert said.count("index.md") >= len(BAD_ROLES)


def test_a_figure_without_record_fails_on_a_published_chapter_only(checkout: Checkout) -> None:
    checkout.index("{result}`advin:score/new`")
    status, said = checkout.build()
    assert status == 1
    assert "no recorded public results of published chapter advin" in said
    checkout.index("{result}`incremental-user-embedding:score/new`")
    status, said = checkout.build()
    assert status == 0, said
    assert "not yet recorded" in checkout.page()


def test_a_missing_anchor_fails_build_and_check(checkout: Checkout) -> None:
    checkout.write(NOTEBOOK, executed(anchor=False))
    checkout.index("```{scoreboard}\n```")
    status, said = checkout.build()
    assert status == 1
    assert "advin-c1" in said
    status, said = checkout.check()
    assert status == 1
    assert "no anchor advin-c1 of finding C1" in said


def fail(checkout: Checkout) -> None:
    """Leave what a failed run leaves."""
    path = checkout.root / NOTEBOOK
    path.rename(path.with_suffix(".failed.ipynb"))


@pytest.mark.parametrize(
    ("setup", "culprit"),
    [
        (lambda c: (c.root / NOTEBOOK).unlink(), "notebook not executed"),
        (fail, "notebook failed"),
        (lambda c: c.write(NOTEBOOK, executed("smoke")), "executed with profile smoke, expected default"),
    ],
)  # fmt: skip
def test_a_chapter_that_was_not_run_well_fails_the_build(checkout: Checkout, setup, culprit: str) -> None:
    setup(checkout)
    status, said = checkout.build()
    assert status == 1
    assert culprit in said
    assert "notebooks/understanding/advin" in said


def test_no_book_is_built_of_smoke_runs(checkout: Checkout) -> None:
    status, said = checkout.build("smoke")
    assert status != 0
    assert "ECHOBOOK_PROFILE 'smoke'" in said


BAD_PAGE = {
    '<script src="https://example.org/x.js"></script>': "https://example.org/x.js",
    '<img alt="x" src="//example.org/x.png">': "<img> is loaded from outside",
    '<p style="background: url(https://example.org/x)">x</p>': "a style is loaded from outside",
    '<a href="gone.html">x</a>': "link to a missing file: gone.html",
    '<a href="#gone">x</a>': "link to a missing anchor: #gone",
}


def test_the_check_names_what_is_wrong(checkout: Checkout) -> None:
    checkout.index("\n\n".join(BAD_PAGE))
    checkout.write(NOTEBOOK, executed(stamp=False))
    checkout.write("book/page.md", "---\norphan: true\n---\n# Page\n\nWe got 0.93 here.\n")
    status, said = checkout.build()
    assert status == 0, said
    checkout.write("_toc.yml", "root: index\n")
    status, said = checkout.check()
    assert status == 1
    wanted = [*BAD_PAGE.values(), "no provenance stamp", "published chapter advin", "0.93"]
    assert [culprit for culprit in wanted if culprit not in said] == []
    folder = checkout.html / "notebooks" / "understanding"
    (folder / "advin.html").rename(folder / "incremental_user_embedding.html")
    status, said = checkout.check()
    assert status == 1
    assert "notebooks/understanding/advin.html: missing; advin is published" in said
    assert "incremental-user-embedding is planned, but has a page" in said


def test_no_pages_at_all_is_a_fault(checkout: Checkout) -> None:
    status, said = checkout.check()
    assert status == 1
    assert "no index.html" in said


def test_a_kernel_page_must_be_there_and_show_its_outputs(checkout: Checkout) -> None:
    checkout.write("notebooks/kernels/lattice.py", "# %% [markdown]\n# # Lattice\n")
    toc = checkout.root / "_toc.yml"
    toc.write_text(toc.read_text(encoding="utf-8") + "- file: notebooks/kernels/lattice\n", encoding="utf-8")
    status, said = checkout.build()
    assert "notebooks/kernels/lattice" in said
    assert "notebook not executed" in said
    status, said = checkout.check()
    assert status == 1
    assert "notebooks/kernels/lattice.html: shows no output; the notebook was not executed" in said
    place = "_build/default/executed/notebooks/kernels/lattice.ipynb"
    checkout.write(place, executed(anchor=False).replace("# Advin", "# Lattice"))
    checkout.index("```{toctree}\nnotebooks/kernels/lattice\n```")
    status, said = checkout.build()
    assert status == 0, said
    status, said = checkout.check()
    assert status == 0, said
    (checkout.html / "notebooks/kernels/lattice.html").unlink()
    status, said = checkout.check()
    assert "notebooks/kernels/lattice.html: missing; its notebook is in notebooks/kernels" in said
