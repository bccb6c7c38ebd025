"""The runner on small chapters: what a good run leaves, and that each bad run ends without a result."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from echobook.pipeline.errors import PipelineError
from echobook.pipeline.execution import kernel_environment
from echobook.pipeline.project import Project
from echobook.pipeline.run import Limits, prepare
from echobook.pipeline.run_notebook import main as command
from echobook.pipeline.runner import place, run_chapter

NAN = "found['metrics']['score']['value'] = float('nan')"


def run(small, slug="alpha", limits=None, **overrides):
    chosen = prepare(small.project, slug, overrides=overrides, limits=limits)
    run_chapter(chosen)
    return chosen


def failing(small, words, limits=None, preview=True):
    """Run the chapter, check that it fails with `words` and leaves no success behind; return the message."""
    chosen = prepare(small.project, "alpha", limits=limits)
    for old in (chosen.executed, chosen.result):  # a success of yesterday
        old.parent.mkdir(parents=True, exist_ok=True)
        old.write_text("old")
    with pytest.raises(PipelineError) as caught:
        run_chapter(chosen)
    message = str(caught.value)
    for word in ("alpha", *words):
        assert word in message, message
    assert not chosen.executed.exists()
    assert not chosen.result.exists()
    assert small.project.failed(chosen.executed).exists() is preview
    leftovers = [path for path in chosen.executed.parent.iterdir() if path.suffix == ".part"]
    assert leftovers == []
    return message


def test_a_good_run_leaves_both_outputs_with_the_merged_parameters(small):
    small.chapter("print(words, corpus)")
    done = run(small, corpus="12")
    assert done.executed == small.root / "_build/default/executed/notebooks/part/alpha.ipynb"
    notebook = json.loads(done.executed.read_text())
    texts = [output["text"] for cell in notebook["cells"] for output in cell.get("outputs", [])]
    assert texts == [["3 12\n"]]  # 3 is the profile's, not the cell's 4
    results = json.loads(done.result.read_text())
    assert results["metrics"]["score"]["value"] == pytest.approx(0.3)
    assert results["profile"] == "default"


def test_other_seeds_have_their_own_files(small):
    small.chapter()
    small.parameters("default: {seeds: [3, 5], parameters: {}}")
    for seed, stem in ((3, "alpha"), (5, "alpha.seed-5")):
        chosen = prepare(small.project, "alpha", seed=seed)
        assert (chosen.executed.stem, chosen.result.name) == (stem, f"seed-{seed}.json")
    assert prepare(small.project, "alpha").seed == 3


def test_two_runs_are_byte_identical(small):
    small.chapter("import sys, warnings\nwarnings.warn('here', stacklevel=1)\nx = object()\nx")
    first = run(small)
    texts = [first.executed.read_bytes(), first.result.read_bytes()]
    again = run(small)
    assert [again.executed.read_bytes(), again.result.read_bytes()] == texts
    assert b"0x" not in texts[0]
    assert str(small.root).encode() not in texts[0]


def test_the_kernel_has_one_thread_a_fixed_hash_seed_and_no_hub(small):
    shown = (
        "[os.environ[n] for n in ('OMP_NUM_THREADS', 'PYTHONHASHSEED', 'HF_HUB_OFFLINE', 'ECHOBOOK_ROOT')]"
    )
    small.chapter(f"print({shown}, Path.cwd().name)")
    text = run(small).executed.read_text()
    assert "['1', '0', '1', '.'] part" in text  # the root is written as '.'


def test_an_old_failure_is_cleared_by_a_success(small):
    small.chapter("1 / 0")
    failing(small, ["ZeroDivisionError"])
    small.chapter("")
    done = run(small)
    assert not small.project.failed(done.executed).exists()


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (
            "# why\nvalue = 1 / 0",
            ["code cell 3 (alpha.py:24)", "first line: value = 1 / 0", "ZeroDivisionError"],
        ),
        ("raise SystemExit(0)", ["code cell 3", "raise SystemExit(0)", "SystemExit: 0"]),
        ("import sys\nsys.exit()", ["code cell 3", "first line: import sys", "SystemExit"]),
        ("os.kill(os.getpid(), 9)", ["kernel died", "code cell 3", "os.kill"]),
        ("import ctypes\nctypes.string_at(0)", ["kernel died", "first line: import ctypes"]),
        (
            "import urllib.request\ntry:\n    urllib.request.urlopen('http://example.com')\n"
            "except Exception:\n    pass",
            ["asked for the network: example.com", "offline"],
        ),
        (
            "import socket\nsocket.create_connection(('192.0.2.1', 80))",
            ["chapter alpha asked for the network"],
        ),
    ],
    ids=["exception", "exit-zero", "exit-none", "sigkill", "crash", "swallowed-network", "network"],
)
def test_a_bad_cell_fails_the_run(small, body, words):
    small.chapter(body)
    failing(small, words)


@pytest.mark.slow
def test_time_limit(small):
    small.chapter("import subprocess, time\nsubprocess.Popen(['sleep', '987'])\ntime.sleep(60)")
    failing(small, ["time limit of 4 s", "code cell 3", "--timeout"], Limits(seconds=4.0))
    listed = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
    assert "sleep 987" not in listed  # what the chapter started is gone too


def test_memory_cap(small):
    small.chapter("block = bytearray(3 * 2**30)")
    failing(small, ["MemoryError", "memory cap is 800 MiB"], Limits(memory_mb=800))


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("noise * words", "float('nan')", ["NaN", "finite"]),
        ("noise * words", "float('inf')", ["Infinity", "finite"]),
        ("profile=profile", 'profile="public"', ["profile", "expected 'default', found 'public'"]),
        ("seed=seed", "seed=9", ["seed", "expected 0, found 9"]),
        ("slug='alpha'", "slug='beta'", ["slug", "expected 'alpha', found 'beta'"]),
        ('"words": words', '"words": 99', ["words was set to 3", "says 99"]),
        ('{"score": {', '{"Bad Name": {', ["Bad Name"]),
        (
            "json.dumps(found)",
            """json.dumps(found).replace('"score"', '"a": {"value": 1, "unit": "x"}, "a"')""",
            ["twice"],
        ),
        ("json.dumps(found)", "json.dumps(found)[:40]", ["not a results file"]),
        ('["metrics"] = {"score"', '["metrics"] = {} and {"score"', ["recorded no metric"]),
    ],
    ids=["nan", "inf", "profile", "seed", "slug", "parameter", "name", "duplicate", "truncated", "empty"],
)
def test_a_bad_results_file_fails_the_run(small, old, new, words):
    path = small.chapter()
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    failing(small, words)


def test_a_missing_results_file_fails_the_run(small):
    small.chapter(finish="\n# %%\nlast = 1\n")
    failing(small, ["wrote no results file", "chapter.finish()"])


def test_raises_exception_cells_may_show_their_error_but_not_exit(small):
    small.chapter('# %% tags=["raises-exception"]\n1 / 0\n')
    run(small)
    small.chapter('# %% tags=["raises-exception"]\nraise SystemExit(0)\n')
    failing(small, ["SystemExit"])


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ({"nois": "0.5"}, "did you mean 'noise'?"),
        ({"words": "many"}, "expected int, found str"),
        ({"noise": "1.5"}, "out of range, expected 0 to 1"),
    ],
)
def test_bad_parameters_are_refused_before_anything_runs(small, override, words):
    small.chapter()
    with pytest.raises(PipelineError) as caught:
        prepare(small.project, "alpha", overrides=override)
    assert words in str(caught.value)
    assert not (small.root / "_build").exists()


def test_a_path_with_spaces_and_other_letters(tmp_path, lay_out):
    small = lay_out(tmp_path / "año 年 {x}'s folder")
    small.chapter("print(Path.cwd())")
    assert "part" in run(small).executed.read_text()


def test_an_output_folder_that_cannot_be_made(small):
    small.chapter()
    (small.root / "file").write_text("in the way")
    for place_ in (Path("/proc/echobook"), small.root / "file"):
        chosen = prepare(Project.at(small.root, place_), "alpha")
        with pytest.raises(PipelineError, match=r"alpha .*: cannot write its outputs(.|\n)*write permission"):
            run_chapter(chosen)


def test_a_full_disk_leaves_nothing(small, monkeypatch):
    small.chapter()
    chosen = prepare(small.project, "alpha")
    synced = []

    def full(handle: int) -> None:
        synced.append(handle)
        if len(synced) == 2:  # the results file is written, the notebook finds no space
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(PipelineError, match="No space left on device"):
        run_chapter(chosen)
    assert [path for path in (small.root / "_build").rglob("*") if path.is_file()] == []


def test_place_replaces_whole_files_only(tmp_path, monkeypatch):
    target = tmp_path / "a.json"
    place("one", target)
    monkeypatch.setattr(os, "replace", lambda *_: (_ for _ in ()).throw(OSError("no")))
    with pytest.raises(OSError, match="no"):
        place("two", target)
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]
    assert target.read_text() == "one"


def test_extra_environment_reaches_the_kernel(small, tmp_path):
    small.chapter()
    chosen = prepare(small.project, "alpha")
    assert kernel_environment(chosen, tmp_path)["MKL_NUM_THREADS"] == "1"


def test_command_prints_and_returns_a_status(small, capsys):
    small.chapter()
    assert command(["alpha", "--root", str(small.root)]) == 0
    assert "alpha (default, seed 0): done in" in capsys.readouterr().out
    assert command(["alpha", "--root", str(small.root), "-p", "x"]) == 1
    assert "expected -p NAME=VALUE" in capsys.readouterr().err


def test_the_module_runs_as_a_program_and_exits_non_zero(small):
    small.chapter()
    base = [sys.executable, "-m", "echobook.pipeline.run_notebook", "--root", str(small.root)]
    done = subprocess.run([*base, "alpah"], capture_output=True, text=True, check=False)
    assert (done.returncode, "one of: alpha" in done.stderr) == (1, True)
