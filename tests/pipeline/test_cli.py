"""The command line: every command reaches its module, refusals become a message and a status."""

from __future__ import annotations

import pytest

from echobook import cli
from echobook.pipeline.errors import PipelineError


def test_list(small, capsys):
    small.chapter(slug="alpha")
    small.chapter(slug="beta-two", status="planned")
    assert cli.main(["list", "--root", str(small.root)]) == 0
    rows = [line.split()[:3] for line in capsys.readouterr().out.splitlines()]
    assert rows == [["alpha", "part", "published"], ["beta-two", "part", "planned"]]


def test_run_reaches_the_runner(small, capsys):
    small.chapter("1 / 0")
    assert cli.main(["run", "alpha", "--root", str(small.root)]) == 1
    assert "ZeroDivisionError" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["verify", "record", "twice", "plan"])
def test_an_unknown_chapter_is_a_message_not_a_traceback(small, capsys, command):
    small.chapter()
    assert cli.main([command, "alhpa", "--root", str(small.root)]) == 1
    assert "no chapter is called 'alhpa'" in capsys.readouterr().err


def test_plan_reads_pilot_runs(small, alpha_claims, capsys):
    small.chapter()
    (small.root / "data/claims/alpha.yml").write_text(alpha_claims)
    where = ["--root", str(small.root)]
    assert cli.main(["plan", "alpha", *where]) == 1
    assert "alpha: nothing is recorded to plan from" in capsys.readouterr().err
    pilots = small.root / "_build/pilots"
    for seed, noise in ((1000, "0.1"), (1001, "0.2")):
        run = ["run", "alpha", *where, "--seed", str(seed), "-p", f"noise={noise}"]
        assert cli.main([*run, "--output-root", str(pilots)]) == 0
    capsys.readouterr()
    folder = ["--pilots", str(pilots / "default/results/alpha")]
    assert cli.main(["plan", "alpha", *where, *folder]) == 1
    assert "seeds 1000 and 1001 differ in parameters: noise" in capsys.readouterr().err


@pytest.mark.parametrize(("text", "seeds"), [(None, None), ("3", [3]), ("0,1,2", [0, 1, 2])])
def test_seeds(text, seeds):
    assert cli._seeds(text) == seeds


def test_bad_seeds():
    with pytest.raises(PipelineError, match=r"expected --seeds 0,1,2, found '0-2'"):
        cli._seeds("0-2")


def test_a_fault_of_the_program_is_not_hidden(monkeypatch):
    monkeypatch.setattr(cli, "_list", lambda _: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        cli.main(["list"])


@pytest.mark.parametrize("arguments", [[], ["nosuch"], ["run"], ["run", "a", "--profile", "fast"]])
def test_usage_errors(arguments, capsys):
    with pytest.raises(SystemExit) as caught:
        cli.main(arguments)
    assert caught.value.code == 2
    assert "usage: echobook" in capsys.readouterr().err
