"""HTML, tables, figures and source blocks: readable without colour, and the same in every run."""

import io
import re
from pathlib import Path

import matplotlib
import matplotlib.pyplot as plt
import pandas as pd
import pytest
from bs4 import BeautifulSoup

from echobook.metrics import statistics
from echobook.report.claims import parse_claims
from echobook.report.display import (
    CLASSES,
    Html,
    badge,
    figure,
    figures_text,
    outcome_text,
    range_text,
    rounded,
    stamp,
    strip_volatile,
    volatile,
    with_unit,
)
from echobook.report.errors import ReportError
from echobook.report.figures import figure_style, palette
from echobook.report.results import Cost, Dataset
from echobook.report.source import show_source
from echobook.report.tables import table
from echobook.report.verdicts import VERDICTS, TestOutcome


def test_every_verdict_has_words_a_sign_and_its_own_class():
    badges = [BeautifulSoup(badge(verdict), "html.parser").span for verdict in VERDICTS]
    assert [span.get_text().split(" ", 1)[1] for span in badges] == list(VERDICTS)
    assert len({span.get_text()[0] for span in badges}) == len(VERDICTS)
    assert [span["class"] for span in badges] == [
        ["echobook-verdict", CLASSES[verdict]] for verdict in VERDICTS
    ]
    assert all(span.span["aria-hidden"] == "true" for span in badges)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.61234, "0.612"),
        (0.0, "0"),
        (-1.5, "−1.50"),
        (9.3, "9.30"),
        (14.63, "14.6"),
        (0.00012, "0.00012"),
        (1234.5, "1,234"),
        (-4e-7, "−4e−07"),
    ],
)
def test_figures_read_well(value, text):
    assert figure(value) == text


def test_intervals_read_well():
    assert range_text(-0.1, 0.25, 2) == " [−0.10, 0.25]"
    assert range_text(None, None) == ""


def test_stamp_names_everything_and_hides_what_changes(make):
    one, other = make(), make(commit="f" * 40, dirty=True)
    text = BeautifulSoup(stamp(one).markup, "html.parser").get_text(" ")
    for part in (
        "profile public",
        "seed 0",
        "000000000000",
        "bbbbbbbbbbbb",
        "python 3.11.7",
        "1.2 CPU-s",
        "1 thread",
    ):
        assert part in text
    assert stamp(one).markup != stamp(other).markup
    assert strip_volatile(stamp(one).markup) == strip_volatile(stamp(other).markup)
    assert "uncommitted changes" in stamp(other).markup
    assert repr(stamp(one)) == repr(stamp(other))


def test_every_verdict_has_the_class_the_stylesheet_knows():
    assert CLASSES == {
        "reproduced": "verdict-reproduced",
        "partly reproduced": "verdict-partly",
        "not reproduced": "verdict-not",
        "undecided": "verdict-undecided",
        "not testable here": "verdict-untestable",
        "not yet recorded": "verdict-pending",
    }
    style = (Path(__file__).parents[2] / "book" / "_static" / "custom.css").read_text(encoding="utf-8")
    coloured = set(re.findall(r"verdict-(?!box|good|part\b|bad|none)\w+|check-\w+", style))
    wanted = {CLASSES[verdict] for verdict in VERDICTS[:4]} | {"check-passed", "check-failed"}
    assert wanted <= coloured <= wanted | set(CLASSES.values())


@pytest.mark.parametrize(
    ("value", "digits", "text"),
    [(0.001, 3, "0.001"), (-0.001, 3, "−0.001"), (0.00099, 3, "0.00099"), (0.4, 0, "0.4"), (1.0, 0, "1")],
)
def test_figures_at_the_last_digit_shown(value, digits, text):
    assert figure(value, digits) == text


def test_no_range_from_one_end():
    assert range_text(1.0, None) == range_text(None, 1.0) == ""


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({}, "gain over the old way: 0.500 [0.100, 0.900] points"),
        ({"seeds": (3,), "low": None, "high": None}, "gain over the old way: 0.500 points"),
        ({"unit": ""}, "gain over the old way: 0.500 [0.100, 0.900]"),
        ({"unit": "gain"}, "gain over the old way: 0.500 [0.100, 0.900]"),
        ({"estimate": -0.25, "low": -0.5}, "gain over the old way: −0.250 [−0.500, 0.900] points"),
    ],
)
def test_figure_of_a_test(claims_text, fields, text):
    test = parse_claims(claims_text, "x.yml").findings[0].tests[0]
    test = test.model_copy(update={"unit": fields.pop("unit", "points")})
    shown = {"estimate": 0.5, "low": 0.1, "high": 0.9, "seeds": (0, 1), "values": (0.4, 0.6), **fields}
    made = TestOutcome(test=test, decision="holds", **shown)
    assert outcome_text(made) == text
    assert figures_text(made) == text.split(": ")[1]


@pytest.mark.parametrize(
    ("unit", "words", "text"),
    [
        ("AUROC", "AUROC gain over softmax", "0.1"),
        ("auroc", "AUROC gain over softmax", "0.1"),
        ("s", "time spent", "0.1 s"),
        ("points", "gain", "0.1 points"),
        ("%", "10 % more", "0.1"),
        ("", "gain", "0.1"),
    ],
)
def test_a_unit_that_the_words_name_is_not_said_twice(unit, words, text):
    assert with_unit("0.1", unit, words) == text


@pytest.mark.parametrize(
    ("value", "text"), [(0.02, "0.02"), (0.0, "0"), (-0.05, "−0.05"), (1e-12, "1e−12"), (6.4, "6.4")]
)
def test_numbers_that_were_set_have_no_zeros_at_the_end(value, text):
    assert rounded(value) == text


def stamped(results):
    section = BeautifulSoup(stamp(results).markup, "html.parser").section
    names, texts = (([cell.get_text() for cell in section.find_all(tag)]) for tag in ("dt", "dd"))
    changing = {dt.get_text() for dt in section.find_all("dt") if dt.find_next("dd").find("data")}
    return dict(zip(names, texts, strict=True)), changing


def test_every_line_of_the_stamp(make):
    results = make(commit="1234567890" * 4, dirty=True)
    results.environment.threads = 2
    results.environment.packages = {"python": "3.11.7", "torch": "2.1<3"}
    results.cost = Cost(wall_seconds=2.5, cpu_seconds=1.25, peak_memory_mib=99.6, kept_cpu_seconds=7.0)
    use = {"version": "v1", "sha256": "c" * 64, "source": "s"}
    results.datasets = [
        Dataset(name="talk", licence="CC0 & more", rows={"train": 12_345, "test": 6}, **use),
        Dataset(name="words", licence="MIT", rows={"all": 7}, **use),
    ]
    lines, changing = stamped(results)
    assert lines == {
        "Run": "small-talk, profile public, seed 0",
        "Commit": "123456789012, with uncommitted changes",
        "Sources": "sha256 aaaaaaaaaaaa",
        "Lock": "sha256 bbbbbbbbbbbb",
        "Data": "talk v1 (sha256 cccccccccccc; CC0 & more; rows: train 12,345, test 6); "
        "words v1 (sha256 cccccccccccc; MIT; rows: all 7)",
        "Packages": "python 3.11.7, torch 2.1<3",
        "Hardware": "some CPU, 2 cores, 2 threads",
        "Cost": "1.2 CPU-s, 2.5 s, 100 MiB; read results that took 7.0 CPU-s",
        "Date": "2025-01-01",
    }
    assert changing == {"Commit", "Sources", "Hardware", "Cost", "Date"}


def test_a_clean_stamp_without_data_on_one_thread(make):
    lines, _ = stamped(make())
    assert (lines["Commit"], lines["Data"]) == ("000000000000", "none")
    assert lines["Hardware"] == "some CPU, 2 cores, 1 thread"
    assert lines["Cost"] == "1.2 CPU-s, 1.5 s, 100 MiB"


def test_only_the_content_of_changing_figures_is_stripped():
    markup = f"<p>{volatile('5 s')} and 6 s, {volatile('7' + chr(10) + 's')}</p>"
    empty = '<data class="echobook-volatile" value=""></data>'
    assert strip_volatile(markup) == f"<p>{empty} and 6 s, {empty}</p>"
    assert repr(Html(markup)) == "and 6 s,"


def test_html_escapes_and_prints_as_text():
    shown = Html(f"<p>a &lt; b {volatile('1 < 2')}</p>")
    assert "1 &lt; 2" in shown._repr_html_()
    assert repr(shown) == "a < b"


def test_table_is_accessible():
    frame = pd.DataFrame({"system": ["a < b", "c"], "ARI": [0.61234, None]})
    soup = BeautifulSoup(table(frame, name="discovery", caption="Discovery.").to_html(), "html.parser")
    assert soup.table["class"] == ["dataframe"]
    assert soup.table["id"] == "T_discovery"
    assert soup.caption.get_text() == "Discovery."
    assert [cell.get_text() for cell in soup.find_all("th")] == ["system", "ARI"]
    assert [cell.get_text() for cell in soup.find_all("td")] == ["a < b", "0.612", "c", "–"]


def test_named_index_and_grouped_columns_become_columns():
    frame = pd.DataFrame({("x", "mean"): [1.0]}, index=pd.Index(["a"], name="system"))
    soup = BeautifulSoup(table(frame, name="t", caption="T.", digits={"x mean": 1}).to_html(), "html.parser")
    assert [cell.get_text() for cell in soup.find_all("th")] == ["system", "x mean"]
    assert [cell.get_text() for cell in soup.find_all("td")] == ["a", "1.0"]


def test_only_named_columns_may_hold_markup():
    frame = pd.DataFrame({"a": ["<b>x</b>"], "b": ["<b>x</b>"]})
    html = table(frame, name="t", caption="T.", markup=["b"]).to_html()
    assert html.count("<b>x</b>") == 1
    assert "&lt;b&gt;x&lt;/b&gt;" in html


def test_table_is_the_same_twice_and_refuses_bad_names():
    frame = pd.DataFrame({"a": [1.0]})
    assert table(frame, name="t", caption="T.").to_html() == table(frame, name="t", caption="T.").to_html()
    with pytest.raises(ReportError, match="table name 'My Table'"):
        table(frame, name="My Table", caption="T.")
    with pytest.raises(ReportError, match="table 't': expected a caption"):
        table(frame, name="t", caption=" ")


def _contrast(colour):
    """WCAG contrast of a colour with white."""
    channels = [int(colour[k : k + 2], 16) / 255 for k in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 1.05 / (0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2] + 0.05)


def test_palettes():
    assert len(set(palette())) == 7
    assert all(re.fullmatch("#[0-9A-F]{6}", colour) for colour in palette())
    assert palette("blue") == [palette()[0]]
    assert all(_contrast(colour) >= 3 for colour in palette("pair"))  # WCAG 1.4.11 for graphics
    palette().append("red")
    assert len(palette()) == 7
    with pytest.raises(ReportError, match="palette 'rainbow': expected one of default, pair, blue"):
        palette("rainbow")


def test_figures_have_the_same_bytes_and_leave_no_settings_behind():
    matplotlib.use("Agg")
    before, files = matplotlib.rcParams["axes.facecolor"], []
    for _ in range(2):
        with figure_style():
            drawn, axes = plt.subplots()
            axes.plot([0, 1], [0, 1])
            file = io.BytesIO()
            drawn.savefig(file, format="png")
            plt.close(drawn)
            files.append(file.getvalue())
            assert matplotlib.colors.to_hex(drawn.get_facecolor()) == "#ffffff"
    assert files[0] == files[1]
    assert matplotlib.rcParams["axes.facecolor"] == before


def test_source_is_shown_with_its_name():
    shown = show_source(statistics.holm)
    assert shown._repr_markdown_().startswith("`echobook.metrics.statistics.holm`\n\n```python\ndef holm(")
    assert "np.minimum(1.0" in repr(shown)
    assert show_source(statistics.Interval).caption == "echobook.metrics.statistics.Interval"


def test_source_with_fences_gets_a_longer_one():
    shown = show_source(show_source)
    shown.code += "\n```"
    assert "\n````python\n" in shown._repr_markdown_()


def test_foreign_source_is_refused():
    with pytest.raises(ReportError, match="expected a function or class of echobook"):
        show_source(re.compile)
