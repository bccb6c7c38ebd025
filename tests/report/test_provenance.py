"""Provenance: commits, digests, threads, hardware, cost."""

import hashlib
import os
import time

import pytest
import torch

from echobook.report import provenance
from echobook.report.errors import ReportError
from echobook.report.paths import module_stem, notebook_file, repository_root


def test_commit_is_that_of_the_checkout(checkout, head, tmp_path):
    assert provenance.commit(checkout) == head
    bare = tmp_path / "bare"
    bare.mkdir()
    assert provenance.commit(bare) == "unknown"


def test_foreign_commits(checkout, head):
    assert not provenance.commit_is_foreign(checkout, head)
    assert provenance.commit_is_foreign(checkout, "1" * 40)


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
    assert {"notebooks/dialogue/small_talk.py", "src/echobook/talk.py", "data/claims/small-talk.yml"} <= names


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
