"""The meter of large fleets, on a small one."""

import json

import pytest

from echobook.federated import cost


def test_a_large_fleet_has_heavy_and_light_devices():
    fleet = cost.large_fleet(500)
    assert fleet.clients == 500
    assert fleet.counts.min() >= 1
    assert 15 <= fleet.counts.mean() <= 35
    assert fleet.counts.max() > 10 * fleet.counts.mean()


def test_the_process_measures_itself(capsys):
    assert cost.main(["--devices", "300", "--m", "5", "--rounds", "2"]) == 0
    found = cost.FleetCost(**json.loads(capsys.readouterr().out))
    assert (found.devices, found.updates) == (300, 10)
    assert found.seconds > 0
    assert found.updates_per_second == 10 / found.seconds


@pytest.mark.slow
def test_a_process_of_its_own_and_its_refusal():
    found = cost.fleet_cost(300, m=5, rounds=1, uniform=True)
    assert found.updates == 5
    assert found.peak_mib == 0 or 40 < found.peak_mib < 2000
    with pytest.raises(RuntimeError, match="a fleet of 3 devices failed: ValueError: m: expected between 1"):
        cost.fleet_cost(3, m=5, rounds=1)
