"""Kernel pages: found by their folder, run by the runner's rules, planned and built with the chapters."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from echobook import cli
from echobook.pipeline.build import main as build
from echobook.pipeline.errors import PipelineError
from echobook.pipeline.pages import is_page, plan_pages, prepare_page, read_pages
from echobook.pipeline.run import Limits, prepare
from echobook.pipeline.run_notebook import main as command
from echobook.pipeline.runner import run_chapter

HERE = Path(__file__).resolve().parents[2]
HEAD = """\
# ---
# jupyter:
#   kernelspec: {display_name: Python 3, language: python, name: python3}
# ---

# %% [markdown]
# # A small page
"""


def page(small, body: str = "print('six')", name: str = "some_lattice") -> Path:
    path = small.root / "notebooks" / "kernels" / f"{name}.py"
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"{HEAD}\n# %%\n{body}\n", encoding="utf-8")
    return path


def test_pages_are_found_by_their_folder(small):
    assert read_pages(small.project) == []
    page(small)
    page(small, name="a_first")
    assert [entry.slug for entry in read_pages(small.project)] == ["kernels/a-first", "kernels/some-lattice"]
    assert [is_page(slug) for slug in ("kernels/a-first", "advin")] == [True, False]


def test_a_page_leaves_an_executed_notebook_and_no_result(small):
    page(small)
    run = prepare_page(small.project, "kernels/some_lattice")
    run_chapter(run)
    assert run.executed == small.root / "_build/default/executed/notebooks/kernels/some_lattice.ipynb"
    cells = json.loads(run.executed.read_text())["cells"]
    assert [cell["outputs"][0]["text"] for cell in cells if cell["cell_type"] == "code"] == [["six\n"]]
    assert len(cells) == 2  # no injected parameters
    assert not (small.root / "_build/default/results").exists()
    first = run.executed.read_bytes()
    run_chapter(run)
    assert run.executed.read_bytes() == first


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("1 / 0", ["code cell 1 (some_lattice.py:10)", "first line: 1 / 0", "ZeroDivisionError"]),
        ("raise SystemExit(0)", ["SystemExit: 0"]),
        (
            "import urllib.request\ntry:\n    urllib.request.urlopen('http://example.com')\n"
            "except Exception:\n    pass",
            ["asked for the network: example.com"],
        ),
    ],
)
def test_a_bad_page_is_named_and_leaves_its_preview_only(small, body, words):
    page(small, body)
    run = prepare_page(small.project, "kernels/some-lattice", limits=Limits(100.0))
    run.executed.parent.mkdir(parents=True)
    run.executed.write_text("old")
    with pytest.raises(PipelineError) as caught:
        run_chapter(run)
    for word in ["kernels/some-lattice", *words]:
        assert word in str(caught.value)
    assert not run.executed.exists()
    assert small.project.failed(run.executed).is_file()


def test_the_command_line_runs_and_lists_a_page(small, capsys):
    small.chapter()
    page(small)
    assert command(["kernels/some-lattice", "--root", str(small.root)]) == 0
    said = capsys.readouterr().out
    assert "notebooks/kernels/some_lattice.ipynb" in said
    assert "results" not in said
    assert cli.main(["list", "--root", str(small.root)]) == 0
    assert "kernels/some-lattice" in capsys.readouterr().out


def test_refusals(small, capsys):
    small.chapter()
    page(small)
    with pytest.raises(
        PipelineError, match=r"no kernel page is called 'kernels/x'(.|\n)*kernels/some-lattice"
    ):
        prepare_page(small.project, "kernels/x")
    with pytest.raises(PipelineError, match="no profile is called 'fast'"):
        prepare_page(small.project, "kernels/some-lattice", "fast")
    for extra in (["-p", "words=3"], ["--seed", "2"]):
        assert command(["kernels/some-lattice", "--root", str(small.root), *extra]) == 1
        assert "has neither parameters nor a seed" in capsys.readouterr().err
    for name in ("record", "verify", "twice"):  # a page has nothing to record or compare
        assert cli.main([name, "kernels/some-lattice", "--root", str(small.root)]) == 1
        assert "no chapter is called 'kernels/some-lattice'" in capsys.readouterr().err
    with pytest.raises(PipelineError, match="no chapter is called"):
        prepare(small.project, "kernels/some-lattice")


def test_plan_names_every_input_and_no_result(small):
    (small.root / "src" / "tiny" / "one.py").write_text("value = 1\n")
    (small.root / "src" / "tiny" / "other.py").write_text("value = 1\n")
    page(small, "from tiny import one")
    (job,) = plan_pages(small.project, "public")
    assert job.inputs == ("constraints.txt", "notebooks/kernels/some_lattice.py", "src/tiny/one.py")
    kept = small.root / "data" / "kernels" / "some_lattice.csv"
    kept.parent.mkdir()
    kept.write_text("a,b\n1,2\n")
    (kept.parent / "other.csv").write_text("a\n")
    assert plan_pages(small.project, "public")[0].inputs == (
        "constraints.txt",
        "data/kernels/some_lattice.csv",
        "notebooks/kernels/some_lattice.py",
        "src/tiny/one.py",
    )
    assert (job.rule, job.result) == ("kernels_some_lattice", "")
    assert job.executed == "_build/public/executed/notebooks/kernels/some_lattice.ipynb"
    assert plan_pages(small.project, "default", ["alpha"]) == []
    assert plan_pages(small.project, "default", ["kernels/some-lattice"]) != []


@pytest.mark.slow
def test_the_workflow_runs_a_page_when_its_code_changed(small, capsys):
    shutil.copy(HERE / "workflow" / "Snakefile", small.root / "workflow" / "Snakefile")
    shutil.copytree(HERE / "workflow" / "profiles", small.root / "workflow" / "profiles")
    source = small.root / "src" / "tiny" / "one.py"
    source.write_text("value = 1\n")
    small.chapter()
    page(small, "from tiny import one\nprint(one.value)")

    def made(*arguments: str) -> str:
        assert build(["--root", str(small.root), "--no-book", "--cores", "2", *arguments]) == 0
        return capsys.readouterr().out

    said = made()
    assert "alpha: done in" in said
    assert "kernels/some-lattice: done in" in said
    assert "nothing to run again" in made()
    source.write_text("value = 2\n")
    said = made("--slug", "kernels/some-lattice")
    assert "kernels/some-lattice: done in" in said
    assert "alpha" not in said
