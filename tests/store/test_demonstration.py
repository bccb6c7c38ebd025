"""The live view plays a stream, shows it, and stops its server."""

import io
import socket
import sys

import numpy as np
import pytest
from rich.console import Console

from echobook.papers.context_store import demonstration
from echobook.papers.context_store.demonstration import ROOT, demonstrate
from echobook.papers.context_store.material import interactions
from echobook.store.faults import Flaky
from echobook.store.memory import MemoryStore
from echobook.store.pipeline import inline
from echobook.store.servers import dynalite
from echobook.store.simulated_time import run_real


def test_the_board_counts_what_happened():
    text = io.StringIO()
    board = demonstrate(Console(file=text, width=90), seconds=0.6, rate=8.0, store="embedded")
    assert board.counts["events"] >= 25
    assert board.counts["embeddings"] == board.counts["hits"] + board.counts["late or missing"] > 0
    assert board.counts["failures"] == 0
    assert board.counts["swept"] > board.counts["embeddings"]
    shown = " ".join(text.getvalue().replace("│", " ").split())
    for word in ("events, newest last", "follow-ups", "sealed", "write units", "SQLite", "swept"):
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


@pytest.mark.parametrize("option", ["--rate", "--seconds"])
@pytest.mark.parametrize("value", ["0", "-2", "nan", "inf", "many"])
def test_numbers_that_make_no_stream_are_refused(option, value, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["demonstration", "--store", "embedded", f"{option}={value}"])
    with pytest.raises(SystemExit, match="2"):
        demonstration.main()
    assert f"argument {option}: expected a number above 0, got '{value}'" in capsys.readouterr().err


def test_the_help_the_docstring_and_the_defaults_agree(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["demonstration", "--help"])
    with pytest.raises(SystemExit, match="0"):
        demonstration.main()
    said = " ".join(capsys.readouterr().out.split())
    assert (demonstration._SECONDS, demonstration._RATE) == (20.0, 4.0)
    assert "[--seconds 20] [--rate 4]" in said
    assert "length of the stream (default: 20)" in said
    assert "interactions a second (default: 4)" in said


def test_throttled_calls_are_repeated():
    """A stream over a store that throttles: nothing of it is lost."""
    rng = np.random.default_rng(0)
    store = demonstration._retrying(Flaky(MemoryStore(), rng, throttled=0.2), 0)
    stream = interactions(seed=0, count=3, follow_ups=1.0, rate=20.0)
    board = demonstration.Board(store, "flaky")
    run_real(demonstration.play(board, stream[:1], inline, seed=0))
    assert board.counts["failures"] == 0
    assert board.counts["embeddings"] == 1
    assert store.repeats > 0
