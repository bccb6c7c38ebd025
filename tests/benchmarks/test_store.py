"""The store's bounded load, printed: interactions a second and waits, embedded and on DynamoDB's protocol."""

from pathlib import Path

import pytest

from echobook.papers.context_store.load import EMBEDDED, measure
from echobook.store.servers import dynalite, dynalite_script

ROOT = Path(__file__).resolve().parents[2]
SECONDS, P99_MS = 5.0, 50


def report(name, load, bar):
    return (
        f"  {name:9s} {load.rate:6.0f} interactions/s (bar {bar})  waits ms: p50 {load.p50_ms:.1f}, "
        f"p95 {load.p95_ms:.1f}, p99 {load.p99_ms:.1f} (bar {P99_MS})  client CPU {load.cpu_s:.1f} s"
    )


@pytest.mark.benchmark
@pytest.mark.slow
def test_bounded_load(capsys):
    lines = [report("embedded", measure(EMBEDDED, rate=3200.0, seconds=SECONDS, seed=0), 3000)]
    if dynalite_script(ROOT) is not None:
        with dynalite(ROOT) as address:
            load = measure(address, rate=320.0, seconds=SECONDS, seed=0, shards=1)
        lines.append(report("dynalite", load, 300))
        assert load.failures == 0
    with capsys.disabled():
        print(f"\ncontext store, {SECONDS:g} s of Poisson arrivals, five events an interaction")
        print("\n".join(lines))
