"""Packing a release and reading it back: what is in it, what is refused, the same bytes twice."""

import shutil
import subprocess
import zipfile
from pathlib import Path

import pytest

from echobook.pipeline.errors import PipelineError
from echobook.pipeline.project import Project
from echobook.pipeline.release import MANIFEST, pack, unpack


def git(root: Path, *arguments: str) -> None:
    who = ["-c", "user.name=Test", "-c", "user.email=test@example.org"]
    subprocess.run(["git", *who, *arguments], cwd=root, check=True, capture_output=True)


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A committed tree with finished pages; its path has a space."""
    root = tmp_path / "a tree"
    for name, text in {
        "LICENSE": "MIT", "CITATION.cff": "title: x", "book/chapters.yml": "[]", ".gitignore": "_build/\n",
        "data/claims/one.yml": "slug: one", "data/recorded/public/one/seed-0.json": "{}",
        "_build/default/book.stamp": "built", "_build/default/html/index.html": "<p>é</p>",
        "_build/default/html/_static/a.css": "a {}",
    }.items():  # fmt: skip
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    git(root, "init", "-q")
    git(root, "add", ".")
    git(root, "commit", "-q", "-m", "first")
    return Project.at(root)


def test_the_archive_holds_pages_record_claims_and_a_manifest(project, tmp_path):
    archive = pack(project, "1.0")
    assert archive.name == "echobook-1.0.zip"
    with zipfile.ZipFile(archive) as packed:
        names = packed.namelist()
    assert names == [*sorted(names[:-1]), f"echobook-1.0/{MANIFEST}"]
    held = {name.removeprefix("echobook-1.0/") for name in names}
    assert held == {
        "LICENSE", "CITATION.cff", "book/chapters.yml", "data/claims/one.yml", MANIFEST,
        "data/recorded/public/one/seed-0.json", "html/index.html", "html/_static/a.css",
    }  # fmt: skip
    top = unpack(archive, tmp_path / "out")
    assert (top / "html" / "index.html").read_text(encoding="utf-8") == "<p>é</p>"


def test_packed_twice_the_bytes_are_equal(project, tmp_path):
    first = pack(project, "1.0").read_bytes()
    for path in (project.build / "default" / "html").rglob("*"):
        path.touch()
    assert pack(project, "1.0", target=tmp_path / "other").read_bytes() == first
    (project.build / "default" / "html" / "index.html").write_text("<p>e</p>", encoding="utf-8")
    assert pack(project, "1.0").read_bytes() != first


@pytest.mark.parametrize("version", ["", "one", "1", "1.0-x", "../1.0", "1.0 "])
def test_an_ill_formed_version_is_refused(project, version):
    with pytest.raises(PipelineError, match="expected digits such as"):
        pack(project, version)


def test_a_tree_with_changes_is_refused_and_nothing_is_left(project):
    (project.root / "LICENSE").write_text("other", encoding="utf-8")
    with pytest.raises(PipelineError, match="the tree has changes: LICENSE"):
        pack(project, "1.0")
    assert not (project.build / "release").exists()


def test_a_tree_without_git_or_pages_is_refused(project):
    shutil.rmtree(project.build / "default" / "html")
    with pytest.raises(PipelineError, match="no finished pages of profile default"):
        pack(project, "1.0")
    shutil.rmtree(project.root / ".git")
    with pytest.raises(PipelineError, match="no git checkout"):
        pack(project, "1.0")


def test_a_failed_write_leaves_the_old_archive(project, monkeypatch):
    archive = pack(project, "1.0")
    before = archive.read_bytes()

    def full(*_: object) -> None:
        raise OSError("no space left")

    monkeypatch.setattr("echobook.pipeline.release._entry", full)
    with pytest.raises(OSError, match="no space left"):
        pack(project, "1.0")
    assert archive.read_bytes() == before
    assert [path.name for path in archive.parent.iterdir()] == [archive.name]


def rewritten(archive: Path, target: Path, change: dict[str, str | None]) -> Path:
    with zipfile.ZipFile(archive) as old, zipfile.ZipFile(target, "w") as new:
        for name in old.namelist():
            short = name.split("/", 1)[1]
            if change.get(short, "") is not None:
                new.writestr(name, change.get(short) or old.read(name))
    return target


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"LICENSE": "other"}, "LICENSE differs from the manifest"),
        ({"LICENSE": None}, "files and manifest differ: LICENSE"),
        ({MANIFEST: None}, "expected one folder with MANIFEST.sha256, found 0"),
    ],
)
def test_an_archive_that_was_changed_is_refused(project, tmp_path, change, said):
    changed = rewritten(pack(project, "1.0"), tmp_path / "changed.zip", change)
    with pytest.raises(PipelineError, match=said):
        unpack(changed, tmp_path / "out")


def test_what_is_no_archive_is_refused(tmp_path):
    (tmp_path / "x.zip").write_text("hello", encoding="utf-8")
    with pytest.raises(PipelineError, match=r"x\.zip: cannot be read as a release"):
        unpack(tmp_path / "x.zip", tmp_path / "out")
