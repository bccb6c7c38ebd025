"""Fetching against a server on the loopback: faults, resuming, hashes, mirror, cache, messages."""

import hashlib
from dataclasses import replace
from pathlib import Path

import pytest

from echobook.data.fetch import (
    FetchError,
    MissingFiles,
    WrongHash,
    describe_missing,
    fetch,
    licence_notice,
    main_fetch,
)
from echobook.data.registry import dataset_rows, read_registry, write_registry

from .conftest import CONTENT, Server, make_row

SECOND = "sub/b é.txt"


def path_of(file: str) -> str:
    return dataset_rows("tiny", [file])[0].url.split("/", 3)[3].join(["/", ""])


def change_rows(tmp_path: Path, **changes: object) -> None:
    path = tmp_path / "root" / "data" / "registry.csv"
    write_registry([replace(row, **changes) for row in read_registry(path)], path)


def fill(folder: Path, files: dict[str, bytes] = CONTENT) -> Path:
    for file, content in files.items():
        (folder / "tiny" / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / "tiny" / file).write_bytes(content)
    return folder


def assert_complete(folder: Path) -> None:
    assert {file: (folder / file).read_bytes() for file in CONTENT} == CONTENT
    strays = [
        path for path in folder.rglob("*") if path.is_file() and str(path.relative_to(folder)) not in CONTENT
    ]
    assert strays == []


def test_downloads_once_then_reads_the_cache(tiny: Server, tmp_path: Path) -> None:
    folder = fetch("tiny")
    assert folder == tmp_path / "cache" / "data" / "tiny"
    assert_complete(folder)
    assert len(tiny.requests) == 2
    tiny.files.clear()
    assert fetch("tiny") == folder
    assert len(tiny.requests) == 2


def test_only_the_named_files(tiny: Server) -> None:
    folder = fetch("tiny", files=[SECOND])
    assert [path for path, _ in tiny.requests] == [path_of(SECOND)]
    assert not (folder / "a.txt").exists()


def test_server_error_then_success(tiny: Server) -> None:
    tiny.faults[path_of("a.txt")] = ["500", "500"]
    assert_complete(fetch("tiny"))
    assert [path for path, _ in tiny.requests].count(path_of("a.txt")) == 3


@pytest.mark.parametrize("fault", ["cut", "no length"])
def test_truncated_transfer_is_resumed(tiny: Server, fault: str) -> None:
    tiny.faults[path_of("a.txt")] = [fault]
    assert_complete(fetch("tiny"))
    ranges = [wanted for path, wanted in tiny.requests if path == path_of("a.txt")]
    assert ranges == [None, f"bytes={len(CONTENT['a.txt']) // 2}-"]


def test_server_without_ranges_starts_anew(tiny: Server) -> None:
    tiny.ranges = False
    tiny.faults[path_of("a.txt")] = ["cut"]
    assert_complete(fetch("tiny"))


def test_a_broken_run_is_resumed_by_the_next(tiny: Server, tmp_path: Path) -> None:
    tiny.faults[path_of("a.txt")] = ["cut"] + ["500"] * 10
    with pytest.raises(MissingFiles, match=r"1 file\(s\) missing"):
        fetch("tiny")
    folder = tmp_path / "cache" / "data" / "tiny"
    assert not (folder / "a.txt").exists()
    tiny.faults.clear()
    tiny.requests.clear()
    assert_complete(fetch("tiny"))
    assert tiny.requests == [(path_of("a.txt"), f"bytes={len(CONTENT['a.txt']) // 2}-")]


@pytest.mark.parametrize("content", [b"other file\n" * 5000, b"first file\n" * 5001])
def test_wrong_download_is_removed_and_both_hashes_named(
    tiny: Server, tmp_path: Path, content: bytes
) -> None:
    tiny.files[path_of("a.txt")] = content
    with pytest.raises(WrongHash) as caught:
        fetch("tiny")
    row = dataset_rows("tiny", ["a.txt"])[0]
    assert f"expected sha256 {row.sha256}" in str(caught.value)
    assert "tiny/a.txt" in str(caught.value)
    if len(content) == row.bytes:
        assert f"got {hashlib.sha256(content).hexdigest()}" in str(caught.value)
    left = [path.name for path in (tmp_path / "cache" / "data" / "tiny").rglob("*") if path.is_file()]
    assert left == [Path(SECOND).name]


def test_damaged_cache_file_is_removed(tiny: Server) -> None:
    folder = fetch("tiny")
    (folder / "a.txt").write_bytes(b"flipped")
    with pytest.raises(WrongHash, match="it was removed; fetch it again") as caught:
        fetch("tiny")
    assert hashlib.sha256(b"flipped").hexdigest() in str(caught.value)
    assert not (folder / "a.txt").exists()
    assert_complete(fetch("tiny"))


def test_full_mirror_is_used_in_place(tiny: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mirror = fill(tmp_path / "mirror")
    monkeypatch.setenv("ECHOBOOK_MIRROR", str(mirror))
    assert fetch("tiny") == mirror / "tiny"
    assert tiny.requests == []
    assert not (tmp_path / "cache").exists()


def test_wrong_mirror_file_is_refused_and_left(
    tiny: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mirror = fill(tmp_path / "mirror", CONTENT | {"a.txt": b"forged"})
    monkeypatch.setenv("ECHOBOOK_MIRROR", str(mirror))
    for call in (fetch, lambda name: fetch(name, files=["a.txt"])):
        with pytest.raises(WrongHash, match="left in place and refused"):
            call("tiny")
    assert (mirror / "tiny" / "a.txt").read_bytes() == b"forged"


def test_partial_mirror_is_completed_by_download(
    tiny: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ECHOBOOK_MIRROR", str(fill(tmp_path / "mirror", {"a.txt": CONTENT["a.txt"]})))
    assert_complete(fetch("tiny"))
    assert [path for path, _ in tiny.requests] == [path_of(SECOND)]


def test_forged_file_of_a_partial_mirror_is_not_copied(
    tiny: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mirror = fill(tmp_path / "mirror", {"a.txt": b"forged"})
    monkeypatch.setenv("ECHOBOOK_MIRROR", str(mirror))
    with pytest.raises(WrongHash, match="left in place and refused"):
        fetch("tiny")
    assert (mirror / "tiny" / "a.txt").read_bytes() == b"forged"
    assert not (tmp_path / "cache" / "data" / "tiny" / "a.txt").exists()
    assert tiny.requests == []


def test_without_download_only_what_the_mirror_lacks_is_missing(
    tiny: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ECHOBOOK_MIRROR", str(fill(tmp_path / "mirror", {"a.txt": CONTENT["a.txt"]})))
    with pytest.raises(MissingFiles, match=r"tiny: 1 file\(s\) missing, 21 bytes\n  sub/b é.txt") as caught:
        fetch("tiny", download=False)
    assert "a.txt (" not in str(caught.value)
    assert tiny.requests == []
    monkeypatch.setenv("ECHOBOOK_MIRROR", str(fill(tmp_path / "other", {SECOND: CONTENT[SECOND]})))
    assert_complete(fetch("tiny", download=False))


def test_a_mirror_without_the_data_set_is_passed_over(
    tiny: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mirror").mkdir()
    monkeypatch.setenv("ECHOBOOK_MIRROR", str(tmp_path / "mirror"))
    folder = fetch("tiny")
    assert folder == tmp_path / "cache" / "data" / "tiny"
    assert_complete(folder)


def test_a_mirror_is_checked_again_every_time(
    tiny: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mirror = fill(tmp_path / "mirror")
    monkeypatch.setenv("ECHOBOOK_MIRROR", str(mirror))
    fetch("tiny")
    (mirror / "tiny" / SECOND).write_bytes(b"secomd\n" * 3)  # same size
    with pytest.raises(WrongHash, match=r"tiny/sub/b é\.txt at"):
        fetch("tiny")
    assert fetch("tiny", files=["a.txt"]) == mirror / "tiny"


def test_a_wrong_file_is_told_before_missing_ones(tiny: Server) -> None:
    tiny.files[path_of(SECOND)] = b"secomd\n" * 3
    tiny.faults[path_of("a.txt")] = ["500"] * 10
    with pytest.raises(WrongHash, match=r"tiny/sub/b é\.txt"):
        fetch("tiny")


def test_missing_files_are_listed_up_to_ten() -> None:
    rows = [make_row(f"{k:02}.txt", b"x" * 1000, licence="MIT" if k else "BSD") for k in range(12)]
    lines = describe_missing(rows).split("\n")
    assert lines[:2] == ["tiny: 12 file(s) missing, 12,000 bytes", "  00.txt (1,000 bytes)"]
    assert lines[10:13] == ["  09.txt (1,000 bytes)", "  and 2 more", "  licence: BSD | MIT"]
    assert len(lines) == 14
    assert "more" not in describe_missing(rows[:10])
    reason = describe_missing(rows[:1], reason=OSError("no route")).split("\n")[3]
    assert reason == f"  could not download {rows[0].url}: OSError: no route"


def test_licence_notice_of_files_under_several_licences() -> None:
    rows = [
        make_row("a", b"", licence="L", redistribution="unclear", commercial="yes"),
        make_row("b", b"", licence="M", redistribution="no", commercial="yes"),
        make_row("c", b"", licence="L", redistribution="yes", commercial="yes"),
    ]
    assert licence_notice(rows) == "tiny: redistribution not permitted / unclear. Licence: L | M"


def test_offline_message(tiny: Server, tmp_path: Path) -> None:
    change_rows(tmp_path, licence="research only")
    tiny.faults = {path: ["500"] * 20 for path in tiny.files}
    for download in (True, False):
        with pytest.raises(MissingFiles) as caught:
            fetch("tiny", download=download)
        text = str(caught.value)
        total = sum(map(len, CONTENT.values()))
        assert f"tiny: 2 file(s) missing, {total:,} bytes" in text
        assert "a.txt (55,000 bytes)" in text
        assert "licence: research only" in text
        assert "run `echobook fetch tiny`" in text
        assert "run `echobook fetch tiny --mirror <folder>`" in text
        assert ("could not download" in text) == download
    assert isinstance(caught.value, FetchError)


@pytest.mark.parametrize(
    ("redistribution", "commercial", "expected"),
    [
        ("yes", "yes", ""),
        ("no", "yes", "tiny: redistribution not permitted. Licence: L"),
        ("unclear", "no", "tiny: redistribution unclear; commercial use not permitted. Licence: L"),
    ],
)
def test_licence_notice(redistribution: str, commercial: str, expected: str) -> None:
    row = make_row("a.txt", b"", licence="L", redistribution=redistribution, commercial=commercial)
    assert licence_notice([row]) == expected


def test_notice_comes_before_the_first_download_only(tiny: Server, tmp_path: Path) -> None:
    change_rows(tmp_path, redistribution="no")
    seen: list[tuple[str, int]] = []
    for _ in range(2):
        fetch("tiny", notice=lambda text: seen.append((text, len(tiny.requests))))
    assert seen == [("tiny: redistribution not permitted. Licence: CC0-1.0", 0)]


def test_main_fetch_fills_the_cache_from_a_mirror(
    tiny: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main_fetch(["absent", "tiny"], fill(tmp_path / "mirror")) == 1
    text = capsys.readouterr().err
    assert "unknown data set 'absent'" in text
    assert "tiny: 2 file(s), 55,021 bytes verified in" in text
    assert tiny.requests == []
    assert_complete(fetch("tiny", download=False))
    assert main_fetch(["tiny"], tmp_path / "nowhere") == 1
    assert "nowhere is not a folder" in capsys.readouterr().err
    assert main_fetch(["tiny"]) == 0


def test_main_fetch_does_not_trust_a_damaged_cache(
    tiny: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    damaged = fetch("tiny") / "a.txt"
    damaged.write_bytes(b"flipped")
    assert main_fetch(["tiny"]) == 1
    text = capsys.readouterr().err
    assert "tiny/a.txt at" in text
    assert "verified" not in text
    assert not damaged.exists()
    assert main_fetch(["tiny"]) == 0


def test_main_fetch_refuses_a_forged_mirror(
    tiny: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mirror = fill(tmp_path / "mirror", CONTENT | {SECOND: b"forged"})
    assert main_fetch(["tiny"], mirror) == 1
    assert "left in place and refused; repair the mirror" in capsys.readouterr().err
    assert not (tmp_path / "cache" / "data" / "tiny" / SECOND).exists()
    assert (mirror / "tiny" / SECOND).read_bytes() == b"forged"


def test_main_fetch_takes_the_mirror_named_before_that_of_the_environment(
    tiny: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ECHOBOOK_MIRROR", str(fill(tmp_path / "forged", CONTENT | {"a.txt": b"forged"})))
    assert main_fetch(["tiny"]) == 1
    assert main_fetch(["tiny"], fill(tmp_path / "mirror")) == 0
    assert tiny.requests == []
    assert_complete(tmp_path / "cache" / "data" / "tiny")
