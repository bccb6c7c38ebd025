"""The live view plays a stream, shows it, and stops its server."""

import io
import socket
import sys

import pytest
from rich.console import Console

from echobook.store import demonstration
from echobook.store.demonstration import ROOT, demonstrate
from echobook.store.servers import dynalite


def test_the_board_counts_what_happened():
    text = io.StringIO()
    board = demonstrate(Console(file=text, width=90), seconds=0.6, rate=8.0, store="embedded")
    assert board.counts["events"] >= 25
    assert board.counts["embeddings"] == board.counts["hits"] + board.counts["late or missing"] > 0
    shown = text.getvalue()
    for word in ("events, newest last", "follow-ups", "sealed", "write units"):
        assert word in shown


def test_without_dynalite_it_says_what_to_do(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(demonstration, "ROOT", tmp_path)
    monkeypatch.setattr(sys, "argv", ["demonstration"])
    with pytest.raises(SystemExit, match="1"):
        demonstration.main()
    said = " ".join(capsys.readouterr().out.split())
    assert "dynalite is not installed" in said
    assert "--store embedded" in said


def test_dynalite_stops_with_its_block(dynalite_address):
    with dynalite(ROOT) as address:
        port = int(address.rsplit(":", 1)[1])
        assert address != dynalite_address
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", port)) != 0
