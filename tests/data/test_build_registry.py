"""Registry rows from a mirror's SOURCES.csv."""

import csv
import hashlib
from pathlib import Path

import pytest

from echobook.data.build_registry import main, mirror_rows
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
