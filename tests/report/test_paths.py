"""Where files lie, and which names are refused before they become a path."""

from pathlib import Path

import pytest

from echobook.report import paths
from echobook.report.errors import ReportError


@pytest.mark.parametrize("slug", ["a", "self-learning", "convrnn-t", "tanda2", "a-1-b"])
def test_slugs(slug):
    assert paths.check_slug(slug) == slug
    assert paths.module_stem(slug) == slug.replace("-", "_")


@pytest.mark.parametrize(
    "slug", ["", "A", "self_learning", "-a", "a-", "a--b", "1a", "../x", "a/b", "a.b", "a\n", "zoë"]
)
def test_names_that_are_no_slugs_never_become_a_path(slug, tmp_path):
    for use in (
        lambda: paths.check_slug(slug),
        lambda: paths.module_stem(slug),
        lambda: paths.claims_file(tmp_path, slug),
        lambda: paths.recorded_folder(tmp_path, "public", slug),
        lambda: paths.results_folder(tmp_path, "public", slug),
        lambda: paths.notebook_file(tmp_path, slug),
    ):
        with pytest.raises(ReportError, match="expected lower-case words joined by hyphens, such as"):
            use()


def test_places():
    root = Path("root")
    assert paths.claims_file(root, "self-learning") == Path("root/data/claims/self-learning.yml")
    assert paths.recorded_folder(root, "public", "advin") == Path("root/data/recorded/public/advin")
    assert paths.results_folder(root, "smoke", "advin") == Path("root/_build/smoke/results/advin")
    assert paths.seed_file(Path("f"), 12) == Path("f/seed-12.json")
    for place in (paths.recorded_folder, paths.results_folder):
        with pytest.raises(
            ReportError, match="profile 'best': expected one of smoke, default, public, paper"
        ):
            place(root, "best", "advin")


def test_the_notebook_of_a_slug(tmp_path):
    assert paths.notebook_file(tmp_path, "small-talk") is None
    for part in ("speech", "dialogue", "reading", "graphs", "understanding"):
        (tmp_path / "notebooks" / part).mkdir(parents=True)
        (tmp_path / "notebooks" / part / "other.py").touch()
    (tmp_path / "notebooks" / "small_talk.py").touch()  # not in a part
    assert paths.notebook_file(tmp_path, "small-talk") is None
    (tmp_path / "notebooks" / "speech" / "small_talk.py").touch()
    assert paths.notebook_file(tmp_path, "small-talk") == tmp_path / "notebooks/speech/small_talk.py"
    assert paths.notebook_file(tmp_path, "other") == tmp_path / "notebooks/dialogue/other.py"


def test_the_root_named_wins_over_the_one_at_hand(checkout, monkeypatch, tmp_path):
    monkeypatch.chdir(checkout)
    monkeypatch.setenv("ECHOBOOK_ROOT", str(tmp_path))
    assert paths.repository_root() == tmp_path
    monkeypatch.setenv("ECHOBOOK_ROOT", "")
    assert paths.repository_root() == checkout


def test_a_folder_is_a_checkout_only_with_both_marks(checkout, monkeypatch, tmp_path):
    monkeypatch.delenv("ECHOBOOK_ROOT")
    monkeypatch.setattr(paths, "__file__", str(tmp_path / "site-packages" / "paths.py"))
    inner = checkout / "notebooks" / "speech"
    inner.mkdir(parents=True)
    monkeypatch.chdir(inner)
    assert paths.repository_root() == checkout
    (inner / "pyproject.toml").touch()  # a project of its own inside, without claims
    (checkout / "notebooks" / "data" / "claims").mkdir(parents=True)  # claims without a project
    assert paths.repository_root() == checkout
    (checkout / "pyproject.toml").unlink()
    with pytest.raises(ReportError, match=r"no Echobook checkout at or above .*set ECHOBOOK_ROOT"):
        paths.repository_root()


def test_the_root_is_found_from_where_the_package_lies(checkout, monkeypatch, tmp_path):
    monkeypatch.delenv("ECHOBOOK_ROOT")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(paths, "__file__", str(checkout / "src" / "echobook" / "report" / "paths.py"))
    assert paths.repository_root() == checkout
