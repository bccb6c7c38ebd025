"""The form check: a good chapter has no fault, and each way to break it is named with its line."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from echobook.pipeline.form import SECTIONS, form_faults, read_cells, shown_source

MODULE = '''\
"""A kernel."""


@plain
def narrow(x):
    """Short."""
    return x


class Box:
    """A box."""

    def wide(self, x):
        return x + 1  # {}


class Other:
    """Another."""
'''

BODY = "\n".join(f"# %% [markdown]\n# ## {name}\n#\n# Words.\n" for name in SECTIONS[2:-1])
GOOD = f"""\
# ---
# jupyter: x
# ---

# %% [markdown]
# # A chapter
#
# ## In one minute
#
# One paragraph
# of two lines.

# %% tags=["remove-input"]
from echobook.report.chapter import Chapter

Chapter("a").verdict_box()

# %% [markdown]
# :::{{important}}
# What was read.
# :::

# %% tags=["hide-input"]
from echobook.kernel import Box, narrow

# %% tags=["parameters", "hide-input"]
seed: int = 0

# %% tags=["hide-input"]
chapter = Chapter("a", seed=seed)

# %% [markdown]
# ## Method

# %%
show_source(narrow)

# %%
value = narrow(seed)

# %% tags=["hide-input"]
chapter.record("a", value, unit="x")

{BODY}
# %% tags=["exercise"]
plt.plot(value)

# %% [markdown]
# ## What did we learn?
#
# One thing is worth {{result}}`a:b|.1f`, no less. Another. And a third?

# %% tags=["hide-input"]
chapter.finish()
"""


def check(tmp_path: Path, text: str, *, chapter: bool = True, comment: str = "fine") -> list[str]:
    """Write the notebook and the kernel it shows, and return the faults."""
    kernel = tmp_path / "echobook" / "kernel.py"
    kernel.parent.mkdir(exist_ok=True)
    kernel.write_text(MODULE.format(comment), encoding="utf-8")
    notebook = tmp_path / "a.py"
    notebook.write_text(text, encoding="utf-8")
    return form_faults(notebook, tmp_path, chapter=chapter)


def test_a_good_chapter_has_no_fault(tmp_path):
    assert check(tmp_path, GOOD) == []


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ("# of two lines.", "#\n# Of two paragraphs.", "one paragraph before the verdict box"),
        ("# # A chapter\n#\n", "", "expected a title"),
        ('"remove-input"', '"hide-input"', "expected the verdict box"),
        ('["parameters", "hide-input"]', '["parameters"]', "set-up are folded"),
        ('# %% tags=["hide-input"]\nchapter = ', "# %%\nchapter = ", "set-up are folded"),
        (
            '# %% tags=["hide-input"]\nchapter.record(',
            "# %%\nchapter.record(",
            "chapter.record in a shown cell",
        ),
        ("value = narrow(seed)", "chapter.claims_table()", "chapter.claims_table in a shown cell"),
        ("value = narrow(seed)", "with figure_style():\n    pass", "figure_style in a shown cell"),
        ("value = narrow(seed)", "plt.show()", "plt. in a shown cell"),
        (
            '# %% tags=["hide-input"]\nchapter.finish()',
            "# %%\nchapter.finish()",
            "chapter.finish in a shown cell",
        ),
        ("# ## Data", "# ## The data", "sections are"),
        ("# ## Adapt it\n", "# ## Adapt it\n#\n# ## Claims\n", "sections are"),
        ("# ## What did we learn?", "# ## Last words", "sections are"),
        (" Another.", "", "2 sentences, expected three to five"),
        (" Another.", " Yes. No. Perhaps. Surely.", "6 sentences, expected three to five"),
        ("{result}`a:b|.1f`", "much", "a {result} role"),
        ("value = narrow(seed)", "value = " + " + ".join(["seed"] * 14), "characters of code"),
        ("value = narrow(seed)", "\n".join(f"v{n} = {n}" for n in range(16)), "16 lines in one cell"),
        (
            "chapter.record(",
            "\n".join(f"v{n} = {n}" for n in range(40)) + "\nchapter.record(",
            "41 lines in one",
        ),
    ],
)
def test_each_fault_is_named(tmp_path, old, new, fault):
    assert GOOD.count(old) >= 1
    found = check(tmp_path, GOOD.replace(old, new, 1))
    assert len([line for line in found if fault in line]) == 1, found
    assert re.match(r"a\.py:\d+: ", found[0])


def test_the_line_of_a_fault_is_that_of_the_code(tmp_path):
    text = GOOD.replace("value = narrow(seed)", "value = 1\nwide = " + " + ".join(["seed"] * 14))
    line = next(number for number, row in enumerate(text.splitlines(), 1) if row.startswith("wide = "))
    assert check(tmp_path, text) == [f"a.py:{line}: 102 characters of code, expected at most 88"]


def test_eighty_eight_characters_fit_and_folded_code_counts_too(tmp_path):
    fits = "value = " + "1" * 80
    assert check(tmp_path, GOOD.replace("value = narrow(seed)", fits)) == []
    assert check(tmp_path, GOOD.replace("chapter = Chapter", f"{fits}1\nchapter = Chapter")) != []


def test_a_kernel_page_has_no_order_but_the_width(tmp_path):
    page = '# %% [markdown]\n# # Kernel\n\n# %%\nchapter.table(1)\n\n# %%\nx = "' + "a" * 90 + '"\n'
    assert check(tmp_path, page, chapter=False) == ["a.py:8: 96 characters of code, expected at most 88"]


@pytest.mark.parametrize(("shown", "comment", "wide"), [("Box.wide", "x" * 70, 90), ("Other", "x" * 70, 0)])
def test_code_from_the_package_counts_as_the_page_shows_it(tmp_path, shown, comment, wide):
    text = GOOD.replace("show_source(narrow)", f"show_source({shown})").replace(
        "Box, narrow", "Box, Other, narrow"
    )
    found = check(tmp_path, text, comment=comment)
    assert len(found) == bool(wide)
    if wide:
        assert f"echobook.kernel.Box.wide: {wide} characters" in found[0]


def test_shown_source_is_what_show_source_shows():
    from echobook.report import source as module
    from echobook.report.source import SourceBlock, show_source
    from echobook.speech import transducer

    root = Path(module.__file__).parents[2]
    for thing, place, names in (
        (show_source, "echobook.report.source", ["show_source"]),
        (SourceBlock._repr_markdown_, "echobook.report.source", ["SourceBlock", "_repr_markdown_"]),
        (transducer._fill_gradient, "echobook.speech", ["transducer", "_fill_gradient"]),
    ):
        assert "\n".join(shown_source(root, place, names)) == show_source(thing).code
    assert shown_source(root, "echobook.report.source", ["missing"]) == []


def test_prose_comes_without_comment_signs():
    first, second = read_cells("# %% [markdown]\n# # A\n#\n# b\n\n# %% tags=['a-b', \"c\"]\nx = 1\n")
    assert (first.prose, first.text, first.line) == (True, "# A\n\nb\n", 2)
    assert (second.prose, second.shown, second.tags) == (False, True, {"a-b", "c"})
