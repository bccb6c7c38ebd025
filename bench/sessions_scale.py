"""Count simulated logs of growing size in DuckDB: python bench/sessions_scale.py FOLDER TURNS... (one thread)

Logs are written to FOLDER as Parquet files of a million turns; each size is counted in a process of its own,
the largest once more with DuckDB held to half a gigabyte. Prints one JSON line a count: turns, memory limit,
processor seconds, turns a second, peak resident memory in MiB.
"""

import json
import sys
from pathlib import Path

from echobook.data.generators.requests import request_world
from echobook.papers.self_learning.material import Users, catalogue, write_log
from echobook.sessions.cost import counting_cost


def line(folder: Path, memory_gb: float) -> str:
    """One count as JSON."""
    cost = counting_cost(folder, memory_gb=memory_gb)
    found = {"turns": cost.turns, "memory_gb": memory_gb, "cpu_s": round(cost.seconds, 2)}
    return json.dumps(
        found | {"turns_per_s": round(cost.turns / cost.seconds), "peak_mib": round(cost.peak_mib)}
    )


if __name__ == "__main__":
    shop = catalogue(request_world(seed=0), half=0, seed=0)
    sizes = sorted(map(int, sys.argv[2:]))
    for size in sizes:
        log = Path(sys.argv[1]) / str(size)
        if not log.exists():
            write_log(shop, Users(), log, turns=size, seed=0)
        for memory_gb in (2.0, 0.5) if size == sizes[-1] else (2.0,):
            sys.stdout.write(line(log, memory_gb) + "\n")
