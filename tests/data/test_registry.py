"""The registry's form, its refusals, and the registry that is shipped."""

from dataclasses import replace
from pathlib import Path

import pytest

from echobook.data.registry import (
    COLUMNS,
    RegistryError,
    dataset_rows,
    public_use,
    raw_address,
    read_registry,
    write_registry,
)
from echobook.data.types import combined_digest

from .conftest import COMMIT, make_row


def test_round_trip_sorted(tmp_path: Path) -> None:
    rows = [make_row('b,"quoted".txt', b"2"), make_row("a.txt", b"1", licence='MIT, "text" only')]
    path = tmp_path / "registry.csv"
    write_registry(rows, path)
    assert read_registry(path) == (rows[1], rows[0])
    assert path.read_text().splitlines()[0] == ",".join(COLUMNS)
    assert list(tmp_path.iterdir()) == [path]


def test_address_is_quoted() -> None:
    address = raw_address("owner/repo", COMMIT, "a b/ü#1.txt")
    assert address == f"https://raw.githubusercontent.com/owner/repo/{COMMIT}/a%20b/%C3%BC%231.txt"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sha256": "x" * 64}, "sha256: expected 64"),
        ({"sha256": "AB" * 32}, "sha256: expected 64"),
        ({"commit": "main"}, "commit: expected 40"),
        ({"url": "http://raw.githubusercontent.com/x"}, "url: expected https://"),
        ({"url": raw_address("owner/repo", "main", "folder one/a.txt")}, "pinned to the row's commit"),
        ({"file": "../a.txt"}, "file: expected a relative path"),
        ({"file": "/a.txt"}, "file: expected a relative path"),
        ({"repo": "repo"}, "repo: expected owner/name"),
        ({"licence": ""}, "licence: expected text"),
        ({"redistribution": "maybe"}, "redistribution: expected"),
        ({"commercial": ""}, "commercial: expected"),
        ({"bytes": -3}, "bytes: expected a whole number, got '-3'"),
    ],
)
def test_malformed_row_names_line_and_field(tmp_path: Path, change: dict[str, object], message: str) -> None:
    path = tmp_path / "registry.csv"
    write_registry([make_row("0.txt", b""), replace(make_row("a.txt", b"1"), **change)], path)
    expected_line = 2 if str(change.get("file", "a")) < "0" else 3  # rows are sorted by file
    with pytest.raises(RegistryError, match=message) as caught:
        read_registry(path)
    assert f"registry.csv:{expected_line}: " in str(caught.value)


def test_refuses_duplicates_columns_and_short_rows(tmp_path: Path) -> None:
    path = tmp_path / "registry.csv"
    with pytest.raises(RegistryError, match=r"row 2 repeats row 1: tiny/a\.txt"):
        write_registry([make_row("a.txt", b"1"), make_row("a.txt", b"2")], path)
    write_registry([make_row("a.txt", b"1")], path)
    line = path.read_text().splitlines()[1]
    path.write_text(path.read_text() + line + "\n")
    with pytest.raises(RegistryError, match="row 2 repeats row 1"):
        read_registry(path)
    path.write_text(",".join(COLUMNS) + "\ntiny,a.txt\n")
    with pytest.raises(RegistryError, match=r"registry.csv:2: expected 11 fields, got 2"):
        read_registry(path)
    path.write_text("dataset,file\n")
    with pytest.raises(RegistryError, match="expected the columns dataset,file,url"):
        read_registry(path)
    with pytest.raises(RegistryError, match="no registry at"):
        read_registry(tmp_path / "absent.csv")


def test_dataset_rows_and_use(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [make_row("a.txt", b"1", licence="MIT"), make_row("b.txt", b"2", licence="CC BY 4.0")]
    (tmp_path / "data").mkdir()
    write_registry(rows, tmp_path / "data" / "registry.csv")
    monkeypatch.setenv("ECHOBOOK_ROOT", str(tmp_path))
    assert dataset_rows("tiny", ["b.txt"]) == (rows[1],)
    use = public_use("tiny", {"train": 4})
    assert (use.version, use.licence, use.total) == (COMMIT[:12], "MIT; CC BY 4.0", 4)
    assert use.sha256 == combined_digest({row.file: row.sha256 for row in rows})
    assert public_use("tiny", {}, ["a.txt"]).licence == "MIT"
    with pytest.raises(RegistryError, match="unknown data set 'huge'; the registry knows: tiny"):
        dataset_rows("huge")
    with pytest.raises(RegistryError, match=r"tiny has no file 'c.txt'; it has a.txt, b.txt"):
        dataset_rows("tiny", ["c.txt"])


def test_shipped_registry_is_valid_and_complete(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ECHOBOOK_ROOT", raising=False)
    registry = read_registry()
    expected = {
        "clinc150",
        "snips",
        "atis",
        "fb_multilingual_en",
        "nlu_eval_hwu64",
        "stackoverflow20",
        "slurp",
    }
    expected |= {"wikiqa", "trecqa", "squad_nqg", "fsdd", "an4-mfcc", "speechocean762"}
    assert {row.dataset for row in registry} >= expected
    assert list(registry) == sorted(registry, key=lambda row: (row.dataset, row.file))
    # One commit a data set: its DatasetUse names a single version.
    commits: dict[str, set[str]] = {}
    for row in registry:
        commits.setdefault(row.dataset, set()).add(row.commit)
    assert {name for name, found in commits.items() if len(found) > 1} == set()
