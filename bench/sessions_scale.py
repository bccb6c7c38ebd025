"""Count simulated logs of growing size in DuckDB: python bench/sessions_scale.py FOLDER TURNS... (one thread)

Logs are written to FOLDER as Parquet files of a million turns; each size is counted in a process of its
own. Prints one JSON line a size: turns, processor seconds, turns a second, peak resident memory in MiB.
"""

import json
import resource
import subprocess
import sys
import time
from pathlib import Path

PART = 1_000_000


def write_parts(folder: Path, turns: int) -> None:
    """Parquet parts until the folder holds `turns` turns; parts differ in seed and devices."""
    from echobook.data.generators.requests import request_world
    from echobook.papers.self_learning.users import Users, catalogue, simulate
    from echobook.sessions.program import COLUMNS

    shop = catalogue(request_world(seed=0), half=0, seed=0)
    for part in range(-(-turns // PART)):
        path = folder / str(turns) / f"part-{part}.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        log = simulate(shop, Users(), sessions=int(PART * 0.72), seed=part)[list(COLUMNS)].head(
            min(PART, turns)
        )
        log.assign(device=log.device + part * PART).to_parquet(path, index=False)


def measure(folder: Path) -> dict[str, float]:
    """Count one folder of Parquet parts."""
    from echobook.sessions.backends import duckdb_table
    from echobook.sessions.program import count

    start = time.process_time()
    counts = count(duckdb_table(folder, memory_gb=2.0, spill=folder), gap_s=45.0)
    seconds = time.process_time() - start
    turns = int(counts.emissions.n.sum())
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {
        "turns": turns,
        "cpu_s": round(seconds, 2),
        "turns_per_s": round(turns / seconds),
        "peak_mib": round(peak),
    }


if __name__ == "__main__":
    if len(sys.argv) == 2:
        sys.stdout.write(json.dumps(measure(Path(sys.argv[1]))) + "\n")
    for size in map(int, sys.argv[2:]):
        write_parts(Path(sys.argv[1]), size)
        subprocess.run([sys.executable, __file__, str(Path(sys.argv[1]) / str(size))], check=True)
