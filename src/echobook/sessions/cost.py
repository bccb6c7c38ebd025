"""What counting a log costs: processor seconds and peak memory of a process that does nothing else.

A meter, not a kernel: it starts a Python process, counts the log in DuckDB on one thread, and reads that
process's own clock and resident memory, so that nothing the caller holds is measured along. From a shell:

    python -m echobook.sessions.cost LOG [--gap 45] [--memory-gb 2]

prints one line of JSON. Seconds are of the count alone, not of starting Python and its libraries; memory is
of the whole process, of which the libraries are the part that an empty log needs too.
"""

import argparse
import json
import re
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from echobook.sessions.backends import duckdb_table
from echobook.sessions.program import count

STATUS = Path("/proc/self/status")  # on Linux; elsewhere getrusage, which is in bytes on macOS


@dataclass(frozen=True)
class Cost:
    """Turns counted, processor seconds, peak resident memory in MiB, and numbers of texts and states."""

    turns: int
    seconds: float
    peak_mib: float
    texts: int
    states: int


def counting_cost(log: Path, *, gap_s: float = 45.0, memory_gb: float = 2.0) -> Cost:
    """Count `log` (a file or a folder of Parquet files) in a fresh process and return what that took.

    memory_gb bounds DuckDB's own memory; it spills to a temporary folder beyond. Raises RuntimeError with the
    process's last line when counting fails there.
    """
    options = ["--gap", str(gap_s), "--memory-gb", str(memory_gb)]
    command = [sys.executable, "-P", "-m", "echobook.sessions.cost", str(log.resolve()), *options]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        said = done.stderr.strip().splitlines() or ["no message"]
        raise RuntimeError(f"counting {log.name} failed: {said[-1]}")
    return Cost(**json.loads(done.stdout.splitlines()[-1]))


def main(arguments: Sequence[str] | None = None) -> int:
    """Count one log in this process and print its cost as JSON."""
    parser = argparse.ArgumentParser(prog="python -m echobook.sessions.cost")
    parser.add_argument("log", type=Path, help="a .csv or .parquet file, or a folder of .parquet files")
    parser.add_argument("--gap", type=float, default=45.0, help="longest silence within a session, seconds")
    parser.add_argument("--memory-gb", type=float, default=2.0, help="memory DuckDB may use before it spills")
    chosen = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as spill:
        table = duckdb_table(chosen.log, memory_gb=chosen.memory_gb, spill=Path(spill))
        start = time.process_time()
        counts = count(table, gap_s=chosen.gap)
        seconds = time.process_time() - start
    said = counts.emissions
    cost = Cost(int(said.n.sum()), seconds, own_peak_mib(), said.text.nunique(), said.state.nunique())
    sys.stdout.write(json.dumps(asdict(cost)) + "\n")
    return 0


def own_peak_mib() -> float:
    """Peak resident memory of this process, in MiB.

    Linux's getrusage would also count what the parent held when it started this process; the status file of
    the process does not.
    """
    if not STATUS.exists():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    found = re.search(r"VmHWM:\s+(\d+) kB", STATUS.read_text(encoding="utf-8"))
    return int(found[1]) / 1024 if found else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    sys.exit(main())
