"""The workflow through a real Slurm of two nodes on this machine, set up as `book/scale-out.md` says.

Skipped where Slurm and munge are not installed, or where `/etc/slurm/slurm.conf` is taken: the executor
clears `SLURM_CONF` within jobs, so that the file must be there. The rest is in a temporary folder.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from echobook.pipeline.build import main as build

HERE = Path(__file__).resolve().parents[2]
PROGRAMS = ("slurmctld", "slurmd", "squeue", "sbatch", "munged")
SETTINGS = Path("/etc/slurm/slurm.conf")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not all(map(shutil.which, PROGRAMS)), reason="no Slurm with munge"),
    pytest.mark.skipif(SETTINGS.exists(), reason=f"{SETTINGS} belongs to a cluster"),
    pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="needs root"),
]


def printed_settings() -> str:
    """Return the slurm.conf that the page prints."""
    page = (HERE / "book" / "scale-out.md").read_text(encoding="utf-8")
    found = re.search(r"^```\n(ClusterName=.*?)^```", page, re.MULTILINE | re.DOTALL)
    assert found is not None
    return found[1]


def settings_for(folder: Path) -> str:
    """Return the page's slurm.conf for a folder and this machine; one core and 3000 MiB a node."""
    text = printed_settings().replace("/srv/slurm", str(folder)).replace("RealMemory=6000", "RealMemory=3000")
    name = socket.gethostname().split(".")[0]
    text = text.replace("=here(", f"={name}(").replace("NodeHostname=here", f"NodeHostname={name}")
    return text + os.environ.get("ECHOBOOK_SLURM_EXTRA", "") + "\n"  # such as PluginDir=... of a private copy


def start(folder: Path) -> None:
    """Start munge, the controller and two nodes."""
    for name in ("munge", "log", "state", "spool-n1", "spool-n2"):
        (folder / name).mkdir()
    (folder / "munge").chmod(0o700)
    key = folder / "munge" / "key"
    key.write_bytes(os.urandom(128))
    key.chmod(0o400)
    files = {"socket": "sock", "key-file": "key", "pid-file": "pid", "log-file": "log", "seed-file": "seed"}
    options = [f"--{option}={folder / 'munge' / name}" for option, name in files.items()]
    subprocess.run(["munged", "--force", *options], check=True, capture_output=True)
    SETTINGS.parent.mkdir(exist_ok=True)
    SETTINGS.symlink_to(folder / "slurm.conf")
    for command in (["slurmctld", "-c"], ["slurmd", "-N", "n1"], ["slurmd", "-N", "n2"]):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{command}: {done.stdout} {done.stderr}"


def stop(folder: Path) -> None:
    """End the daemons that were started here, by the ids they wrote, and take the link away."""
    for path in (*folder.glob("*.pid"), folder / "munge" / "pid"):
        if path.is_file():
            os.kill(int(path.read_text().strip()), signal.SIGTERM)
    if SETTINGS.is_symlink() and SETTINGS.readlink() == folder / "slurm.conf":
        SETTINGS.unlink()


def wait_for_nodes() -> None:
    """Wait until both nodes are idle."""
    end = time.monotonic() + 60
    while time.monotonic() < end:
        found = subprocess.run(["sinfo", "-h", "-o", "%t %D"], capture_output=True, text=True, check=False)
        if "idle 2" in found.stdout:
            return
        time.sleep(0.5)
    pytest.fail(f"the nodes did not come up: {found.stdout} {found.stderr}")


@pytest.fixture(scope="module")
def cluster() -> Iterator[Path]:
    """A Slurm of two nodes; its folder has a short name, for the length of socket paths."""
    folder = Path(f"/tmp/eb-slurm-{os.getpid()}")
    folder.mkdir()
    (folder / "slurm.conf").write_text(settings_for(folder), encoding="utf-8")
    try:
        start(folder)
        wait_for_nodes()
        yield folder
    finally:
        stop(folder)
        time.sleep(1)
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def ready(small):
    """Two small chapters with the repository's own workflow."""
    (small.root / "src" / "tiny" / "__init__.py").write_text("")
    for slug in ("alpha", "beta-two"):
        small.chapter("", slug)
    for name in ("Snakefile", "profiles"):
        source, target = HERE / "workflow" / name, small.root / "workflow" / name
        shutil.copytree(source, target) if source.is_dir() else shutil.copy(source, target)
    return small


def run(ready, capsys, *arguments: str) -> tuple[int, str]:
    status = build(["--root", str(ready.root), "--no-book", "--slurm", *arguments])
    shown = capsys.readouterr()
    return status, shown.out + shown.err


def test_a_job_that_no_node_can_take_is_refused_with_slurms_own_words(cluster, ready, capsys):
    ready.parameters("default: {seeds: [0], parameters: {}, memory_mb: 900000}", "alpha")
    status, text = run(ready, capsys, "--slug", "alpha")
    assert status == 1
    assert "alpha: FAILED after" in text
    assert "node configuration is not available" in text, text
    assert "this is the workflow engine's message" in text


def test_chapters_run_as_jobs(cluster, ready, capsys):
    for slug in ("alpha", "beta-two"):
        ready.parameters("default: {seeds: [0], parameters: {}, memory_mb: 1500}", slug)
    status, text = run(ready, capsys)
    assert status == 0, text
    assert "2 chapter runs in" in text
    jobs = (cluster / "log" / "ctld.log").read_text(encoding="utf-8", errors="replace")
    assert jobs.count("Allocate JobId") + jobs.count("Started JobId") >= 2
