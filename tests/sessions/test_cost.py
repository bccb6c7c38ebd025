"""What counting costs: a log of known size, memory of the child alone, refusals, and spilling to disk."""

import json
import resource
from pathlib import Path

import pandas as pd
import pytest

from echobook.sessions.cost import Cost, counting_cost, main, own_peak_mib
from echobook.sessions.program import COLUMNS


def write(path: Path, rows: int) -> Path:
    """Rows of a log in which every third turn opens a session."""
    turns = [(row // 3, float(row), f"text {row % 50}", f"state {row % 50}", row % 2) for row in range(rows)]
    pd.DataFrame(turns, columns=list(COLUMNS)).to_parquet(path, index=False)
    return path


def test_turns_are_counted_and_seconds_and_memory_are_real(tmp_path: Path) -> None:
    cost = counting_cost(write(tmp_path / "log.parquet", 3000))
    assert (cost.turns, cost.texts, cost.states) == (3000, 50, 50)
    assert 0 < cost.seconds < 60
    assert 20 < cost.peak_mib < 4000


def test_memory_of_the_caller_is_not_counted(tmp_path: Path) -> None:
    log = write(tmp_path / "log.parquet", 300)
    before = counting_cost(log).peak_mib
    held = bytearray(400 * 2**20)
    held[:: 2**12] = bytes([1]) * len(range(0, len(held), 2**12))
    assert own_peak_mib() > 400
    assert (
        own_peak_mib() <= resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024 + 50
    )  # resident, not mapped
    assert counting_cost(log).peak_mib < before + 100


def test_the_command_prints_one_line(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    log = write(tmp_path / "log.parquet", 30)
    assert main([str(log), "--gap", "5", "--memory-gb", "0.5"]) == 0
    assert Cost(**json.loads(capsys.readouterr().out)).turns == 30


def test_a_failure_carries_its_reason(tmp_path: Path) -> None:
    with pytest.raises(
        RuntimeError, match=r"counting none.csv failed: FileNotFoundError: no log at .*none.csv"
    ):
        counting_cost(tmp_path / "none.csv")


@pytest.mark.slow
def test_a_log_larger_than_the_memory_allowed_is_counted_whole(tmp_path: Path) -> None:
    """Half a million distinct texts need more than the memory given; DuckDB spills and stays right."""
    rows = 500_000
    frame = pd.DataFrame(
        {"device": range(rows), "time": 0.0, "text": [f"request number {n}" for n in range(rows)]}
    )
    frame.assign(interpretation=frame.text, outcome=1).to_parquet(tmp_path / "log.parquet", index=False)
    assert counting_cost(tmp_path / "log.parquet", memory_gb=0.12).turns == rows
