"""Provenance: commits, digests, threads, hardware, cost."""

import hashlib
import importlib.metadata
import os
import platform
import re
import subprocess
import sys
import time
from pathlib import Path

import numpy
import pandas
import pytest
import scipy
import sklearn
import threadpoolctl
import torch
import transformers

from echobook.report import provenance
from echobook.report.errors import ReportError
from echobook.report.paths import module_stem, notebook_file, repository_root

from .conftest import git


def test_commit_is_that_of_the_checkout(checkout, head, tmp_path):
    assert provenance.commit(checkout) == head
    bare = tmp_path / "bare"
    bare.mkdir()
    assert provenance.commit(bare) == "unknown"


def test_foreign_commits(checkout, head):
    assert not provenance.commit_is_foreign(checkout, head)
    assert provenance.commit_is_foreign(checkout, "1" * 40)


def test_only_commits_are_commits(checkout):
    tree = git(checkout, "rev-parse", "HEAD^{tree}")
    assert provenance.commit_is_foreign(checkout, tree)


def test_a_shallow_clone_cannot_tell_older_commits(checkout, head, tmp_path):
    (checkout / "later").write_text("", encoding="utf-8")
    git(checkout, "add", "later")
    git(checkout, "commit", "-q", "-m", "second")
    shallow = tmp_path / "shallow"
    git(tmp_path, "clone", "-q", "--depth", "1", checkout.as_uri(), str(shallow))
    assert not provenance.commit_is_foreign(shallow, head)
    assert not provenance.commit_is_foreign(shallow, "1" * 40)
    whole = tmp_path / "whole"
    git(tmp_path, "clone", "-q", checkout.as_uri(), str(whole))
    assert not provenance.commit_is_foreign(whole, head)
    assert provenance.commit_is_foreign(whole, "1" * 40)


def test_a_repository_without_a_commit_has_none(tmp_path):
    git(tmp_path, "init", "-q")
    assert provenance.commit(tmp_path) == "unknown"


def test_without_git_nothing_is_known(checkout, monkeypatch):
    monkeypatch.setenv("PATH", "")
    assert provenance.commit(checkout) == "unknown"
    assert provenance.is_dirty(checkout, [checkout / "pyproject.toml"])


def test_dirty_looks_at_the_files_named(checkout):
    inside = checkout / "pyproject.toml"
    assert not provenance.is_dirty(checkout, [inside])
    assert not provenance.is_dirty(checkout, [])
    fresh = checkout / "ünew.py"
    fresh.write_text("", encoding="utf-8")
    assert provenance.is_dirty(checkout, [fresh])
    assert not provenance.is_dirty(checkout, [inside])


@pytest.mark.parametrize("change", ["edit", "stage", "delete"])
def test_every_kind_of_change_is_dirty(checkout, change):
    path = checkout / "pyproject.toml"
    if change == "delete":
        path.unlink()
    else:
        path.write_text("[project]\nname = 'x'\n", encoding="utf-8")
    if change == "stage":
        git(checkout, "add", "pyproject.toml")
    assert provenance.is_dirty(checkout, [checkout / "constraints.txt", path])
    assert not provenance.is_dirty(checkout, [checkout / "constraints.txt"])


def test_digest_does_not_depend_on_the_order_given(checkout):
    files = [checkout / "pyproject.toml", checkout / "constraints.txt", checkout / ".gitignore"]
    lines = [f"{path.name}\0{hashlib.sha256(path.read_bytes()).hexdigest()}\n" for path in files]
    expected = hashlib.sha256("".join(reversed(lines)).encode()).hexdigest()
    assert {
        provenance.files_digest(checkout, order)
        for order in (files, files[::-1], iter(files[1:] + files[:1]))
    } == {expected}


def test_digest_follows_names_and_contents(checkout):
    one, two = checkout / "one", checkout / "two"
    one.write_text("a", encoding="utf-8")
    first = provenance.files_digest(checkout, [one])
    inner = hashlib.sha256(b"a").hexdigest()
    assert first == hashlib.sha256(f"one\0{inner}\n".encode()).hexdigest()
    one.rename(two)
    assert provenance.files_digest(checkout, [two]) != first
    two.rename(one)
    one.write_text("b", encoding="utf-8")
    assert provenance.files_digest(checkout, [one]) != first


def test_lock_digest(checkout, tmp_path):
    assert provenance.lock_digest(checkout) == hashlib.sha256(b"numpy==1.0\n").hexdigest()
    assert provenance.lock_digest(tmp_path) == "none"


def test_chapter_files_follow_the_imports_of_the_notebook(checkout):
    notebook = checkout / "notebooks" / "dialogue" / "small_talk.py"
    module = checkout / "src" / "echobook" / "talk.py"
    for path, text in (
        (notebook, "import echobook.talk\n"),
        (module, ""),
        (module.with_name("__init__.py"), ""),
    ):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    assert notebook_file(checkout, "small-talk") == notebook
    names = {
        path.relative_to(checkout).as_posix() for path in provenance.chapter_files(checkout, "small-talk")
    }
    imported = {"src/echobook/__init__.py", "src/echobook/talk.py"}
    assert names == {"notebooks/dialogue/small_talk.py", "data/claims/small-talk.yml", *imported}
    parameters = checkout / "workflow" / "parameters" / "small-talk.yml"
    parameters.parent.mkdir(parents=True)
    parameters.write_text("", encoding="utf-8")
    files = provenance.chapter_files(checkout, "small-talk")
    assert files == sorted(files)
    assert parameters.resolve() in files
    assert len(files) == 5


def test_a_chapter_without_a_notebook_depends_on_its_claims(checkout):
    claims = checkout / "data" / "claims" / "small-talk.yml"
    assert provenance.chapter_files(checkout, "small-talk") == [claims.resolve()]
    assert provenance.chapter_files(checkout, "big-talk") == []


def test_one_thread():
    torch.set_num_threads(2)
    assert provenance.one_thread() == 1
    assert torch.get_num_threads() == 1
    assert os.environ["OMP_NUM_THREADS"] == "1"


def test_hardware_and_versions_identify_nobody():
    assert provenance.hardware().endswith(" cores")
    assert os.uname().nodename not in provenance.hardware()
    versions = provenance.package_versions()
    assert versions["torch"].startswith("2.")
    assert set(versions) <= {"python", *provenance.PACKAGES}
    assert versions["python"] == sys.version.split()[0]
    for module in (numpy, pandas, scipy, sklearn, transformers, torch):
        assert versions[importlib.metadata.packages_distributions()[module.__name__][0]] == module.__version__


def test_hardware_names_the_processor_where_it_is_told():
    told = Path("/proc/cpuinfo").read_text(encoding="utf-8") if Path("/proc/cpuinfo").is_file() else ""
    models = re.findall(r"^model name\s*:\s*(.*)$", told, re.MULTILINE)
    expected = models[0] if models else platform.machine()
    assert provenance.hardware() == f"{expected}, {os.cpu_count()} cores"


def test_one_thread_holds_the_linear_algebra_too():
    with threadpoolctl.threadpool_limits(2):
        provenance.one_thread()
        assert {pool["num_threads"] for pool in threadpoolctl.threadpool_info()} <= {1}


def test_meter_counts_finished_children():
    meter = provenance.Meter()
    burn = "import time\nwhile time.process_time() < 0.3: pass"
    before = time.process_time()
    subprocess.run([sys.executable, "-c", burn], check=True)
    own = time.process_time() - before
    assert meter.cost().cpu_seconds >= 0.3
    assert own < 0.25


def test_meter_keeps_milliseconds_of_kept_results():
    cost = provenance.Meter().cost(kept_cpu_seconds=1.23456)
    assert cost.kept_cpu_seconds == 1.235
    assert all(value == round(value, 3) for value in (cost.wall_seconds, cost.cpu_seconds))


def test_meter_counts_work_and_waiting():
    meter = provenance.Meter()
    until = time.process_time() + 0.05
    while time.process_time() < until:
        pass
    cost = meter.cost()
    assert cost.cpu_seconds >= 0.05
    assert cost.wall_seconds >= 0.05
    assert cost.peak_memory_mib > 10


def test_root_is_found_from_inside(checkout, monkeypatch):
    assert repository_root() == checkout
    monkeypatch.delenv("ECHOBOOK_ROOT")
    monkeypatch.chdir(checkout / "data")
    assert repository_root() == checkout
    assert module_stem("self-learning") == "self_learning"
    assert notebook_file(checkout, "small-talk") is None
    with pytest.raises(ReportError, match=r"slug .\.\./x"):
        module_stem("../x")
