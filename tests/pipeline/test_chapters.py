"""The registry of chapters, read and refused."""

from __future__ import annotations

import pytest

from echobook.pipeline.chapters import find_chapter, published_chapters, read_chapters
from echobook.pipeline.errors import PipelineError
from echobook.pipeline.project import find_root


def test_reads_entries_in_order_with_defaults(small):
    small.chapter(slug="beta-two")
    small.chapter(slug="alpha", status="planned")
    first, second = read_chapters(small.project)
    assert (first.slug, first.notebook, first.published) == ("beta-two", "notebooks/part/beta_two.py", True)
    assert (second.slug, second.published) == ("alpha", False)
    assert [entry.slug for entry in published_chapters(small.project)] == ["beta-two"]


def test_underscores_find_a_chapter_too(small):
    small.chapter(slug="beta-two")
    assert find_chapter(small.project, "beta_two").slug == "beta-two"


def test_unknown_chapter_suggests_the_nearest(small):
    small.chapter(slug="beta-two")
    with pytest.raises(PipelineError, match=r"no chapter is called 'beta-tow'(.|\n)*one of: beta-two"):
        find_chapter(small.project, "beta-tow")


def test_a_published_chapter_without_notebook_is_named(small):
    small.chapter().unlink()
    with pytest.raises(
        PipelineError, match=r"chapter alpha \(published\) has no notebook: notebooks/part/alpha.py"
    ):
        published_chapters(small.project)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "expected a list of chapters"),
        ("a: 1\n", "expected a list of chapters"),
        ("- {slug: a}\n", "slug and part"),
        ("- {slug: a, part: p}\n- {slug: a, part: p}\n", "listed more than once: a"),
        ("- {slug: a, part: p, status: done}\n", "status is 'published' or 'planned'"),
        ("- {slug: a, part: p, notebook: n/a.ipynb}\n", "the notebook is the .py file"),
    ],
)
def test_refuses_a_bad_registry(small, text, words):
    small.project.registry.write_text(text, encoding="utf-8")
    with pytest.raises(PipelineError) as caught:
        read_chapters(small.project)
    assert words in str(caught.value)


def test_missing_registry(small):
    with pytest.raises(PipelineError, match="no registry of chapters"):
        read_chapters(small.project)


def test_root_is_found_from_below_and_by_variable(small, monkeypatch, tmp_path):
    small.chapter()
    assert find_root(small.root / "notebooks" / "part") == small.root
    monkeypatch.setenv("ECHOBOOK_ROOT", str(tmp_path))
    assert find_root(small.root) == tmp_path
