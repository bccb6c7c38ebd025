"""Starting, waiting for and stopping servers, and what is said when one is missing."""

import builtins
import os
import socket

import pytest

from echobook.store import servers
from echobook.store.deciding import ENTRIES
from echobook.store.dynamodb import DynamoStore, connect
from echobook.store.errors import StoreError
from echobook.store.servers import Address, dynalite, dynalite_script, loopback_credentials, moto


def test_an_address_is_text_with_a_process():
    made = Address.of(4567, 12)
    assert (made, made.process) == ("http://127.0.0.1:4567", 12)
    assert isinstance(made, str)


def test_placeholders_replace_nothing(monkeypatch):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "mine")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY", raising=False)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "here")
    loopback_credentials()
    assert os.environ["AWS_ACCESS_KEY_ID"] == "mine"
    assert os.environ["AWS_SECRET_ACCESS_KEY"] == "loopback"
    assert os.environ["AWS_DEFAULT_REGION"] == "here"


def test_a_script_needs_both_files_and_node(tmp_path, monkeypatch):
    assert dynalite_script(tmp_path) is None
    script = tmp_path / "workflow" / "dynalite" / "node_modules" / "dynalite" / "cli.js"
    script.parent.mkdir(parents=True)
    script.touch()
    monkeypatch.setattr(servers.shutil, "which", lambda name: "/usr/bin/node" if name == "node" else None)
    assert dynalite_script(tmp_path) == script
    monkeypatch.setattr(servers.shutil, "which", lambda name: None)
    assert dynalite_script(tmp_path) is None


def test_without_dynalite_or_moto_the_message_says_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setattr(servers.shutil, "which", lambda name: "/usr/bin/node")
    with pytest.raises(StoreError, match="npm ci --prefix workflow/dynalite"), dynalite(tmp_path):
        pass
    monkeypatch.setattr(servers.shutil, "which", lambda name: None)
    with (
        pytest.raises(StoreError, match="needs Node 18 or newer: no 'node'"),
        dynalite(tmp_path),
    ):
        pass
    real = builtins.__import__

    def no_moto(name, *rest, **more):
        if name.startswith("moto"):
            raise ImportError(name)
        return real(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", no_moto)
    with pytest.raises(StoreError, match="pip install"), moto():
        pass


def test_a_server_that_dies_or_stays_silent_is_given_up(tmp_path, monkeypatch):
    script = tmp_path / "cli.js"
    script.write_text("process.exit(3)")
    monkeypatch.setattr(servers, "dynalite_script", lambda root: script)
    monkeypatch.setattr(servers.subprocess, "Popen", _popen_of("false"))
    with pytest.raises(StoreError, match="did not answer within 5 s"), dynalite(tmp_path, wait_s=5.0):
        pass
    monkeypatch.setattr(servers.subprocess, "Popen", _popen_of("sleep", "30"))
    with pytest.raises(StoreError, match=r"did not answer within 0\.2 s"), dynalite(tmp_path, wait_s=0.2):
        pass


def _popen_of(*command):
    real = servers.subprocess.Popen
    return lambda _, **more: real(list(command), **more)


def test_moto_answers_until_its_block_ends(moto_address):
    with moto() as address:
        assert address != moto_address
        store = DynamoStore(connect(address, timeout_s=60.0))
        store.create([ENTRIES])
        store.put(ENTRIES, ENTRIES.key("i"))
        assert store.get(ENTRIES, ENTRIES.key("i")) == ENTRIES.key("i")
        store.close()
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", int(address.rsplit(":", 1)[1]))) != 0


def test_each_dynalite_is_empty_and_its_process_known(dynalite_address):
    assert dynalite_address.process > 1
    with dynalite(servers_root()) as other:
        assert other.process != dynalite_address.process
        client = connect(other)
        assert client.list_tables()["TableNames"] == []
        client.close()


def servers_root():
    from echobook.papers.context_store.demonstration import ROOT

    return ROOT
