"""Registry rows from a mirror's SOURCES.csv."""

import csv
import hashlib
import re
from pathlib import Path

import pytest

from echobook.data.build_registry import PERMISSIONS_OF, main, mirror_rows
from echobook.data.registry import RegistryError, read_registry, write_registry

from .conftest import COMMIT, make_row

FIELDS = ["dataset", "file", "repo", "commit", "path_in_repo", "sha256", "bytes", "licence", "used_by"]


@pytest.fixture
def mirror(tmp_path: Path) -> Path:
    (tmp_path / "snips").mkdir()
    (tmp_path / "snips" / "train").write_bytes(b"rows\n")
    _sources(tmp_path)
    return tmp_path


def _sources(mirror: Path, **changes: str) -> None:
    row = {"dataset": "snips", "file": "train", "repo": "o/r", "commit": COMMIT, "path_in_repo": "d/train"}
    row |= {
        "sha256": hashlib.sha256(b"rows\n").hexdigest(),
        "bytes": "5",
        "licence": "none, stated",
        "used_by": "x",
    }
    with (mirror / "SOURCES.csv").open("w", newline="") as handle:
        writer = csv.DictWriter(handle, FIELDS)
        writer.writeheader()
        writer.writerow(row | changes)


def test_adds_and_replaces(
    mirror: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ECHOBOOK_MIRROR", str(mirror))
    path = mirror / "registry.csv"
    stale = make_row("gone", b"", dataset="snips")
    write_registry([make_row("a.txt", b"1"), stale], path)
    assert main(["snips", "--registry", str(path)]) == 0
    kept, built = sorted(read_registry(path), key=lambda row: row.dataset != "tiny")
    assert (kept.dataset, built.file, built.bytes) == ("tiny", "train", 5)
    assert (built.redistribution, built.licence) == ("unclear", "none, stated")
    assert "1 rows written, 1 kept" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"bytes": "6"}, "SOURCES.csv says 6 bytes, the file has 5"),
        (
            {"sha256": "0" * 64},
            f"says sha256 {'0' * 64}, the file has {hashlib.sha256(b'rows' + chr(10).encode()).hexdigest()}",
        ),
        ({"file": "valid"}, "is listed in SOURCES.csv but is not there"),
        ({"commit": "master"}, "commit: expected 40"),
        ({"dataset": "other"}, "has no rows of data set 'snips'"),
    ],
)
def test_refuses(mirror: Path, changes: dict[str, str], message: str) -> None:
    _sources(mirror, **changes)
    with pytest.raises(RegistryError, match=message):
        mirror_rows("snips", mirror)


def test_permissions_are_those_decided_and_unclear_where_none_is(mirror: Path) -> None:
    for dataset, (redistribution, commercial) in {**PERMISSIONS_OF, "undecided": ("unclear",) * 2}.items():
        (mirror / dataset).mkdir(exist_ok=True)
        (mirror / dataset / "train").write_bytes(b"rows\n")
        _sources(mirror, dataset=dataset)
        [row] = mirror_rows(dataset, mirror)
        assert (row.redistribution, row.commercial) == (redistribution, commercial)
        assert row.problems() == []


def test_shipped_registry_states_the_permissions_decided(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ECHOBOOK_ROOT", raising=False)
    stated = {(row.dataset, row.redistribution, row.commercial) for row in read_registry()}
    assert stated == {(dataset, *permissions) for dataset, permissions in PERMISSIONS_OF.items()}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "SOURCES.csv:1: expected the columns dataset, file, .*; no dataset"),
        ("dataset,file,repo,commit,path_in_repo,sha256,licence\n", "no bytes"),
        ("HEADER\nsnips,train,o/r\n", "SOURCES.csv:2: the row ends before commit"),
        ("HEADER\nother,t,o/r,c,p,s,1,l\nsnips,train,o/r,c,p,s,5.0,l\n", "SOURCES.csv:3: bytes: .*got '5.0'"),
        ("HEADER\nsnips,train,o/r,c,p,s,-5,l\n", "bytes: expected a whole number, got '-5'"),
    ],
)
def test_malformed_sources_are_named_and_leave_the_registry(
    mirror: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], text: str, message: str
) -> None:
    header = "dataset,file,repo,commit,path_in_repo,sha256,bytes,licence"
    (mirror / "SOURCES.csv").write_text(text.replace("HEADER", header))
    monkeypatch.setenv("ECHOBOOK_MIRROR", str(mirror))
    path = mirror / "registry.csv"
    assert main(["snips", "--registry", str(path)]) == 1
    assert re.search(message, capsys.readouterr().err)
    assert not path.exists()


def test_a_file_listed_twice_is_refused(
    mirror: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = (mirror / "SOURCES.csv").read_text().splitlines()
    (mirror / "SOURCES.csv").write_text("\n".join([*lines, lines[1], ""]))
    monkeypatch.setenv("ECHOBOOK_MIRROR", str(mirror))
    path = mirror / "registry.csv"
    assert main(["snips", "--registry", str(path)]) == 1
    assert "row 2 repeats row 1: snips/train" in capsys.readouterr().err
    assert not path.exists()


def test_a_damaged_registry_is_not_overwritten(
    mirror: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ECHOBOOK_MIRROR", str(mirror))
    path = mirror / "registry.csv"
    path.write_text("dataset,file\n")
    assert main(["snips", "--registry", str(path)]) == 1
    assert "build_registry: " in capsys.readouterr().err
    assert path.read_text() == "dataset,file\n"


def test_failure_leaves_the_registry(
    mirror: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = mirror / "registry.csv"
    write_registry([make_row("a.txt", b"1")], path)
    before = path.read_bytes()
    assert main(["snips", "--registry", str(path)]) == 1
    assert "set ECHOBOOK_MIRROR" in capsys.readouterr().err
    monkeypatch.setenv("ECHOBOOK_MIRROR", str(mirror))
    assert main(["absent", "--registry", str(path)]) == 1
    assert path.read_bytes() == before
