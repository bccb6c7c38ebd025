"""The lint on typed results: what it finds, what it lets pass, and where it says it is."""

import pytest

from echobook.report.lint import lint_file, lint_markdown, lint_repository, main, markdown_cells


def found(text):
    return [(finding.line, finding.figure) for finding in lint_markdown(text, "page.md")]


@pytest.mark.parametrize(
    ("text", "figure"),
    [
        ("ARI rises to 0.61 here.", "0.61"),
        ("a gain of .61 points", ".61"),
        ("accuracy 94.2%", "94.2%"),
        ("accuracy of 94 %, said", "94 %"),
        ("about 12 percent", "12 percent"),
        ("about 12 per cent", "12 per cent"),
        ("by 3 percentage points", "3 percentage points"),
        ("a change of -0.5 in all", "-0.5"),
        ("a change of −3,4 %", "−3,4 %"),
        ("**0.61**", "0.61"),
        ("| ours | 0.61 |", "0.61"),
        ("(0.61)", "0.61"),
        ("It was 0.61.", "0.61"),
        ("- item 7.5", "7.5"),
        ("# Heading 99.9 %", "99.9 %"),
        ("the 95 % of users", "95 %"),
        ("cost $5 and 0.61 of it", "0.61"),
        ("Python 3.11 gives 0.61", "0.61"),
        ("by 10-12 % here", "12 %"),
        ("a 12-percent gain", "12-percent"),
        ("a 3-percentage-point gain", "3-percentage-point"),
        ("**94** % of all", "94** %"),
        (r"an escaped 12\% sign", r"12\%"),
        ("a 2.5x speed-up", "2.5x"),
        ("within 0.6s", "0.6s"),
        ("a rate of 0.5e-3 was best", "0.5e-3"),
        ("p<0.05", "0.05"),
        ("ratio=1.5", "1.5"),
        ("1,234.5 points", "234.5"),
    ],
)
def test_typed_results_are_found(text, figure):
    assert found(text) == [(1, figure)]


@pytest.mark.parametrize(
    "text",
    [
        "We use 5 seeds, 150 intents and 22,500 utterances in 2022.",
        "{result}`advin:discovery/ari/transfer|.3f` and {fact}`74 % <card>`",
        "{fact}`74 %\nof all <card>` over two lines",
        "`threshold = 0.61` and ``a `0.5` b``",
        "$p < 0.05$ and $$x = 0.61\n+ 0.5$$",
        r"\begin{align}x &= 0.5\end{align}",
        "release 2.0rc1 of wav2vec2.0, file fig.1.png, torch 2.13.0",
        "[our 0.61](https://example.org/1.5) and ![at 0.61](fig-0.61.png)",
        "<https://example.org/0.61> and https://example.org/v0.61/",
        "doi 10.1109/ICASSP43922.2022.9746672",
        "arXiv 2006.01208",
        "Python 3.11, version 1.0.4, v2.13, CC BY 4.0, CC-BY-SA 3.0, Apache-2.0",
        "section 3.2, Table 4.1, equation (2.5)",
        "with its 95 % interval, a 95 % confidence interval",
        "<!-- 0.61 -->",
        "% a comment with 0.61",
        "---\nversion: 0.61\n---\ntext",
        "```python\nx = 0.61\n```",
        "~~~\n0.61\n~~~",
        "```{math}\n:label: eq-1\nx = 0.61\n```",
        "```{code-block} python\nx = 0.61\n```",
        ":::{figure} a.png\n:width: 61.5 %\nA caption.\n:::",
        '<img width="61.5%" alt="a figure">',
        "[1]: https://example.org/0.61",
    ],
)
def test_figures_that_are_no_results_pass(text):
    assert found(text) == []


@pytest.mark.parametrize("mark", ["`", "``", "{fact}`", "$"])
def test_a_mark_left_open_hides_nothing_in_the_next_paragraph(mark):
    text = f"an odd {mark}x\n\nWe reached 0.61.\n \nand another {mark.removeprefix('{fact}')} here"
    assert found(text) == [(3, "0.61")]


def test_escaped_brackets_are_brackets_and_not_maths():
    assert found(r"an interval \[0.61, 0.63\] and \(0.5\)") == [(1, "0.61"), (1, "0.63"), (1, "0.5")]


def test_three_ticks_in_a_line_open_no_block():
    assert found("```x = 0.61``` is code.\n\nWe reached 0.62.") == [(3, "0.62")]


def test_a_block_that_is_never_closed_is_code_to_the_end():
    assert found("Here 0.61.\n```\nx = 0.62\n\n0.63") == [(1, "0.61")]


def test_a_block_is_closed_only_by_its_own_mark():
    text = "````python\n0.1\n```\n0.2\n~~~~\n0.3\n```` \nWe got 0.4."
    assert found(text) == [(8, "0.4")]


def test_every_figure_of_a_line_is_found():
    assert found("from 0.61±0.02 to 12 %, or 1.5/2.5, or 10 %-15 %") == [
        (1, "0.61"),
        (1, "0.02"),
        (1, "12 %"),
        (1, "1.5"),
        (1, "2.5"),
        (1, "10 %"),
        (1, "-15 %"),
    ]


def test_a_level_passes_only_beside_the_word_it_belongs_to():
    assert found("a 95 % confidence interval, at the 90 % level") == []
    assert found("95 % of the intervals") == [(1, "95 %")]
    assert found("90 % at each level") == [(1, "90 %")]
    assert found("a 94 % interval") == [(1, "94 %")]


def test_prose_in_directives_is_read():
    text = "Before.\n\n:::{note}\n:class: dropdown\nWe got 0.61.\n:::\n\n"
    text += "```{admonition} Title with 50 %\nAnd 0.7.\n```\n"
    assert found(text) == [(5, "0.61"), (8, "50 %"), (9, "0.7")]


def test_code_inside_a_directive_is_left_out():
    text = "````{note}\n```python\nx = 0.61\n```\nWe got 0.62.\n````\nand 0.63"
    assert found(text) == [(5, "0.62"), (7, "0.63")]


def test_lines_stay_true_after_skipped_blocks():
    assert found("$$\n0.1\n$$\n`0.2\n0.3`\n\nhere 0.4") == [(7, "0.4")]


NOTEBOOK = """# ---
# jupyter: {version: 1.16}
# ---
# %% [markdown]
# # Title
# We type 0.61 here.
# %% tags=["parameters"]
rate = 0.61  # 50 %
# %% [markdown] tags=["x"]
#
# Fine: {result}`a:b|.3f`, and `0.5`.
# But 12 %.
"""


def test_cells_of_notebooks(tmp_path):
    assert [line for line, _ in markdown_cells(NOTEBOOK)] == [5, 10]
    path = tmp_path / "chapter.py"
    path.write_text(NOTEBOOK, encoding="utf-8")
    findings = lint_file(path, "notebooks/speech/chapter.py")
    assert [(finding.line, finding.figure) for finding in findings] == [(6, "0.61"), (12, "12 %")]
    assert str(findings[0]).startswith("notebooks/speech/chapter.py:6: typed result '0.61' in prose")
    assert findings[0].context == "We type 0.61 here."


def test_repository_and_exit_status(checkout, capsys):
    assert main([str(checkout)]) == 0
    (checkout / "notebooks" / "speech").mkdir(parents=True)
    (checkout / "notebooks" / "speech" / "chapter.py").write_text(NOTEBOOK, encoding="utf-8")
    (checkout / "book").mkdir()
    (checkout / "book" / "intro.md").write_text("Half: 50 %.\n", encoding="utf-8")
    files = [finding.file for finding in lint_repository(checkout)]
    assert files == ["book/intro.md", "notebooks/speech/chapter.py", "notebooks/speech/chapter.py"]
    assert main([]) == 1
    assert "book/intro.md:1: typed result '50 %'" in capsys.readouterr().out
