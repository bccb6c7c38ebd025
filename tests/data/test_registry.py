"""The registry's form, its refusals, and the registry that is shipped."""

import csv
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


def test_a_registry_cut_short_is_refused_or_loses_whole_rows(tmp_path: Path) -> None:
    """At every byte: no file comes out of a half-written row."""
    rows = [
        make_row(f"{name}.txt", name.encode(), licence='MIT, "text"', commercial="unclear") for name in "ab"
    ]
    path = tmp_path / "registry.csv"
    write_registry(rows, path)
    content = path.read_bytes()
    kept: list[int] = []
    for size in range(len(content)):
        path.write_bytes(content[:size])
        try:
            found = read_registry(path)
        except (RegistryError, csv.Error):
            continue
        assert found == tuple(rows[: len(found)])
        kept.append(len(found))
    assert kept == [0, 0, 1, 1, 2]  # with and without the last line break; the whole text is not cut


def test_an_edited_registry_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "registry.csv"
    write_registry([make_row("a.txt", b"1")], path)
    assert read_registry(path)[0].file == "a.txt"
    write_registry([make_row("a.txt", b"1"), make_row("b.txt", b"2")], path)
    assert [row.file for row in read_registry(path)] == ["a.txt", "b.txt"]


def test_a_refused_write_leaves_the_registry(tmp_path: Path) -> None:
    path = tmp_path / "registry.csv"
    write_registry([make_row("a.txt", b"1")], path)
    before = path.read_bytes()
    with pytest.raises(RegistryError, match="repeats"):
        write_registry([make_row("b.txt", b"1"), make_row("a.txt", b"1"), make_row("b.txt", b"2")], path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_one_file_name_in_two_data_sets_is_no_duplicate(tmp_path: Path) -> None:
    path = tmp_path / "registry.csv"
    rows = [make_row("a.txt", b"1", dataset=name) for name in ("zeta", "alpha", "mid", "beta")]
    write_registry(rows, path)
    assert [row.dataset for row in read_registry(path)] == ["alpha", "beta", "mid", "zeta"]
    assert dataset_rows("mid", path=path) == (rows[2],)
    with pytest.raises(
        RegistryError, match="unknown data set 'huge'; the registry knows: alpha, beta, mid, zeta"
    ):
        dataset_rows("huge", path=path)


def test_every_problem_of_a_row_is_named() -> None:
    assert make_row("a.txt", b"1").problems() == []
    problems = make_row("sub/../a.txt", b"1", dataset=" ", licence="\t", bytes=-1, commit="A" * 40).problems()
    assert [problem.split(":")[0] for problem in problems] == [
        "dataset",
        "file",
        "commit",
        "url",
        "bytes",
        "licence",
    ]
    assert problems[-2] == "bytes: expected >= 0, got '-1'"
    assert make_row("", b"").problems()[0].startswith("file: expected a relative path")


def test_files_come_in_the_order_asked(tmp_path: Path) -> None:
    path = tmp_path / "registry.csv"
    write_registry([make_row(file, b"1") for file in "abc"], path)
    assert [row.file for row in dataset_rows("tiny", iter(["c", "a"]), path)] == ["c", "a"]
    assert dataset_rows("tiny", [], path) == ()


def test_dataset_rows_and_use(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [make_row("a.txt", b"1", licence="MIT"), make_row("b.txt", b"2", licence="CC BY 4.0")]
    (tmp_path / "data").mkdir()
    write_registry(rows, tmp_path / "data" / "registry.csv")
    monkeypatch.setenv("ECHOBOOK_ROOT", str(tmp_path))
    assert dataset_rows("tiny", ["b.txt"]) == (rows[1],)
    use = public_use("tiny", {"train": 4})
    assert (use.version, use.licence, use.total) == (COMMIT[:12], "MIT; CC BY 4.0", 4)
    assert use.source == f"https://github.com/owner/repo/tree/{COMMIT}"
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
    # One commit a data set, so that its DatasetUse names a single version.
    commits: dict[str, set[str]] = {}
    for row in registry:
        commits.setdefault(row.dataset, set()).add(row.commit)
    # The two samples of Hacker News are of two repositories; its loader names both.
    assert {name for name, found in commits.items() if len(found) > 1} == {"hackernews"}
