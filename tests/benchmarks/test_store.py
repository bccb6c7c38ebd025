"""The store's bounded load, printed: interactions a second and waits, embedded and on DynamoDB's protocol."""

from pathlib import Path

import pytest

from echobook.papers.context_store.load import embedded_loads, server_loads
from echobook.store.servers import dynalite_script

ROOT = Path(__file__).resolve().parents[2]
SECONDS = 5.0


def report(name, load):
    return (
        f"  {name:22s} {load.rate:6.0f} interactions/s  waits ms: p50 {load.p50_ms:.1f}, "
        f"p95 {load.p95_ms:.1f}, p99 {load.p99_ms:.1f}  processor ms an interaction: "
        f"client {load.client_ms:.2f}, server {load.server_ms:.2f}"
    )


@pytest.mark.benchmark
@pytest.mark.slow
def test_bounded_load(capsys):
    loads = embedded_loads(rate=3050.0, power_rates=(1000.0,), seconds=SECONDS, seed=0)
    if dynalite_script(ROOT) is not None:
        loads |= server_loads(
            ROOT, rates=(100.0, 305.0, 400.0), boto3_rates=(100.0,), seconds=SECONDS, seed=0
        )
    assert all(load.failures == 0 for load in loads.values())
    with capsys.disabled():
        print(f"\ncontext store, {SECONDS:g} s of Poisson arrivals, five events an interaction; bars: 3000/s")
        print("embedded, 300/s on DynamoDB's protocol, both with a 99th percentile below 50 ms")
        print("\n".join(report(*pair) for pair in loads.items()))
