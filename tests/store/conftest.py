"""Back-ends for the store's tests; dynalite and moto are started once a session."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from echobook.store.deciding import TABLES
from echobook.store.dynamodb import DynamoStore, connect
from echobook.store.memory import MemoryStore
from echobook.store.servers import dynalite, dynalite_script, moto
from echobook.store.sqlite import SqliteStore

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def dynalite_address():
    if dynalite_script(ROOT) is None:
        if os.environ.get("ECHOBOOK_REQUIRE_DYNALITE") == "1":
            pytest.fail("dynalite is required here but not installed: npm ci --prefix workflow/dynalite")
        pytest.skip("needs dynalite: npm ci --prefix workflow/dynalite --ignore-scripts (Node 18 or newer)")
    with dynalite(ROOT) as address:
        yield address


@pytest.fixture(scope="session")
def moto_address():
    with moto() as address:
        yield address


def open_dynamo(address: str, request: pytest.FixtureRequest, tables=TABLES) -> DynamoStore:
    """A store of its own tables on a shared server."""
    store = DynamoStore(connect(address, timeout_s=60.0), prefix=f"t{abs(hash(request.node.nodeid))}_")
    store.create(tables)
    request.addfinalizer(store.close)
    return store


@pytest.fixture
def open_store(request, tmp_path):
    """Open a back-end by name: memory, sqlite, dynalite or moto."""

    def opened(name: str, tables=TABLES):
        if name == "memory":
            return MemoryStore()
        if name == "sqlite":
            store = SqliteStore(tmp_path / "store.db", durable="process")
            request.addfinalizer(store.close)
            return store
        return open_dynamo(request.getfixturevalue(f"{name}_address"), request, tables)

    return opened


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)
