"""DatasetUse and the digests."""

import hashlib
from dataclasses import FrozenInstanceError

import pytest

from echobook.data.types import DatasetUse, combined_digest, rows_digest

GOOD = {
    "name": "toy",
    "version": "1",
    "sha256": "0" * 64,
    "licence": "CC0-1.0 (generated)",
    "rows": {"train": 2, "test": 1},
    "source": "a.module",
}


def test_total_and_dict() -> None:
    use = DatasetUse(**GOOD)
    assert use.total == 3
    assert list(use.to_dict()["rows"]) == ["test", "train"]
    assert use.to_dict() == GOOD
    assert DatasetUse(**(GOOD | {"rows": {"train": 0}})).total == 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"name": " "}, "DatasetUse.name is empty"),
        ({"licence": ""}, "DatasetUse.licence is empty"),
        ({"sha256": "0" * 63}, "sha256 of toy: expected 64 lower-case"),
        ({"sha256": "A" * 64}, "expected 64 lower-case"),
        ({"version": "\t"}, "DatasetUse.version is empty; expected text naming the data set's version"),
        ({"source": ""}, "DatasetUse.source is empty"),
        ({"sha256": "0" * 65}, "expected 64 lower-case"),
        ({"sha256": "0" * 64 + "\n"}, "expected 64 lower-case"),
        ({"rows": {"train": -1, "test": 4}}, r"expected counts >= 0, got \{'train': -1\}"),
    ],
)
def test_refuses(change: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        DatasetUse(**(GOOD | change))


def test_a_use_cannot_be_changed_after_it_was_checked() -> None:
    use = DatasetUse(**GOOD)
    with pytest.raises(FrozenInstanceError):
        use.licence = "none"  # type: ignore[misc]


def test_combined_digest_is_the_digest_of_sorted_lines() -> None:
    expected = hashlib.sha256(b"11  a\n22  b\n").hexdigest()
    assert combined_digest({"b": "22", "a": "11"}) == expected


def test_rows_digest_separates_fields_and_rows() -> None:
    digests = {
        rows_digest(rows)
        for rows in ([["ab", "c"]], [["a", "bc"]], [["abc"]], [["ab"], ["c"]], [], [[]], [["", ""]])
    }
    assert len(digests) == 7
    assert rows_digest([["ab", "c"]]) == rows_digest(iter([("ab", "c")]))
