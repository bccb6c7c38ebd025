"""The whole workflow on a small project: what runs again and what does not, failures, locks, progress."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from echobook.pipeline.build import main as build
from echobook.pipeline.build import snakemake_command
from echobook.pipeline.errors import PipelineError
from echobook.pipeline.lock import exclusive
from echobook.pipeline.plan import plan
from echobook.pipeline.progress import Progress
from echobook.pipeline.project import PROFILES
from echobook.pipeline.request import asked_for

HERE = Path(__file__).resolve().parents[2]
CLOSURE = {"alpha": "from tiny import shared, one", "beta-two": "from tiny import shared"}


@pytest.fixture
def built(small):
    """A project with three chapters over two sources, ready to be built."""
    for name in ("__init__", "shared", "one"):
        (small.root / "src" / "tiny" / f"{name}.py").write_text("value = 1\n")
    for slug, line in CLOSURE.items():
        small.chapter(line, slug)
    shutil.copy(HERE / "workflow" / "Snakefile", small.root / "workflow" / "Snakefile")
    shutil.copytree(HERE / "workflow" / "profiles", small.root / "workflow" / "profiles")
    return small


def make(small, capsys, *arguments: str) -> tuple[int, str]:
    status = build(["--root", str(small.root), "--no-book", "--cores", "2", *arguments])
    shown = capsys.readouterr()
    return status, shown.out + shown.err


def done(text: str) -> list[str]:
    """Return the chapters that were run, sorted."""
    return sorted(line.split("] ")[1].split(":")[0] for line in text.splitlines() if ": done in" in line)


def later(path: Path) -> None:
    """Date `path` after every output (a date in the future would make new outputs look old)."""
    os.utime(path)


@pytest.mark.slow
def test_content_decides_what_runs_again(built, capsys):
    status, text = make(built, capsys)
    assert (status, done(text)) == (0, ["alpha", "beta-two"])
    assert "2 of 2 chapter runs to do" in text

    for name in ("notebooks/part/alpha.py", "src/tiny/shared.py", "constraints.txt"):
        later(built.root / name)
    (built.root / "src" / "tiny" / "unused.py").write_text("# a comment\n")
    (built.root / "data" / "registry.csv").write_text("dataset,file,sha256\nthree,c.txt,22\n")
    settings = built.root / "workflow" / "parameters" / "beta-two.yml"
    settings.write_text(f"# a comment\n{settings.read_text()}public: {{seeds: [1], parameters: {{}}}}\n")
    status, text = make(built, capsys)
    assert (status, done(text)) == (0, [])
    assert "nothing to run again" in text

    (built.root / "src" / "tiny" / "one.py").write_text("value = 2\n")  # one byte, imported by alpha alone
    later(built.root / "src" / "tiny" / "one.py")
    status, text = make(built, capsys)
    assert done(text) == ["alpha"], text

    built.parameters("default: {seeds: [0], parameters: {words: 5}}", "beta-two")
    assert done(make(built, capsys)[1]) == ["beta-two"]

    (built.root / "src" / "tiny" / "shared.py").write_text("value = 2\n")
    later(built.root / "src" / "tiny" / "shared.py")
    stale = [job.slug for job in plan(built.project, "default") if "src/tiny/shared.py" in job.inputs]
    assert stale == ["alpha", "beta-two"]
    command = snakemake_command(built.project, "default", [], cores=1, book=False)
    told = subprocess.run(
        [*command[:-2], "--dry-run", *command[-2:]],
        cwd=built.root,
        capture_output=True,
        text=True,
        check=True,
    )
    for rule in ("alpha_seed_0", "beta_two_seed_0"):
        assert f"rule {rule}:" in told.stdout + told.stderr


@pytest.mark.slow
def test_one_failure_does_not_stop_the_others_and_is_shown(built, capsys):
    built.chapter("bad = 1 / 0", "beta-two")
    status, text = make(built, capsys)
    assert status == 1
    assert done(text) == ["alpha"]
    for words in ("beta-two: FAILED after", "code cell 3", "first line: bad = 1 / 0", "FAILED: beta-two"):
        assert words in text
    built.chapter("", "beta-two")
    status, text = make(built, capsys)
    assert (status, done(text)) == (0, ["beta-two"]), text


def test_two_builds_at_once(built, capsys):
    held = built.root / "_build" / "default" / "build.lock"
    held.parent.mkdir(parents=True)
    with held.open("w") as stream:
        stream.write("4711")
        stream.flush()
        fcntl.flock(stream, fcntl.LOCK_EX)
        status, text = make(built, capsys)
    assert status == 1
    assert "a build of the profile default is already running (process 4711)" in text
    assert "wait until it has ended" in text


def test_a_lock_goes_with_its_holder(tmp_path):
    for _ in range(2):
        with exclusive(tmp_path / "lock", "it"):
            assert (tmp_path / "lock").read_text() == str(os.getpid())


def test_a_chapter_without_notebook_stops_the_build_and_is_named(built, capsys):
    (built.root / "notebooks" / "part" / "beta_two.py").unlink()
    status, text = make(built, capsys)
    assert status == 1
    assert "chapter beta-two (published) has no notebook" in text


def test_an_unknown_chapter_or_profile_is_refused(built, capsys):
    for arguments in (("--slug", "nosuch"), ("--profile", "public")):
        status, text = make(built, capsys, *arguments)
        assert (status, "no published chapter" in text) == (1, True)


def test_plan_names_every_input(built):
    built.parameters("default: {seeds: [0, 4], parameters: {}, minutes: 3, datasets: [one], memory_mb: 99}")
    (built.root / "data" / "claims" / "alpha.yml").write_text("slug: alpha\n")
    record = built.root / "data" / "recorded" / "public" / "alpha" / "seed-0.json"
    record.parent.mkdir(parents=True)
    record.write_text("{}")
    first, second = plan(built.project, "default", ["alpha"])
    assert first.inputs == (
        "constraints.txt",
        "data/claims/alpha.yml",
        "data/recorded/public/alpha/seed-0.json",
        "notebooks/part/alpha.py",
        "src/tiny/__init__.py",
        "src/tiny/one.py",
        "src/tiny/shared.py",
    )
    assert (first.rule, second.rule) == ("alpha_seed_0", "alpha_seed_4")
    assert (first.seconds, first.memory_mb, first.cap_mb) == (1800, 99, 99)
    assert second.executed.endswith("part/alpha.seed-4.ipynb")
    digest = first.digest
    registry = built.root / "data" / "registry.csv"
    registry.write_text(registry.read_text().replace("two,b.txt,11", "two,b.txt,99"))
    assert plan(built.project, "default", ["alpha"])[0].digest == digest
    registry.write_text(registry.read_text().replace("one,a.txt,00", "one,a.txt,99"))
    assert plan(built.project, "default", ["alpha"])[0].digest != digest


def test_plan_refuses_a_data_set_that_is_not_registered(built, capsys):
    built.parameters("default: {seeds: [0], parameters: {}, datasets: [nine]}")
    status, text = make(built, capsys)
    assert (status, "has no row of data set 'nine'" in text) == (1, True)


OUTPUT = """\
Job stats:
job             count
------------  -------
alpha_seed_0        1
bad_seed_0          1
book                1
total               3

localrule alpha_seed_0:
    input: x
rule bad_seed_0:
Finished jobid: 1 (Rule: alpha_seed_0)
Error in rule bad_seed_0:
Error in rule bad_seed_0:
localrule book:
Finished jobid: 0 (Rule: book)
"""


def test_progress_lines(tmp_path):
    said: list[str] = []
    ticks = iter(range(0, 1000, 2))
    log = tmp_path / "bad.log"
    log.write_text("of the last build\n")
    names = {"alpha_seed_0": "alpha", "bad_seed_0": "bad", "old_seed_0": "old"}
    progress = Progress(names, {"bad_seed_0": log}, said.append, lambda: float(next(ticks)))
    log.write_text("chapter bad failed\n")
    progress.follow(OUTPUT.splitlines())
    assert said[0] == "2 of 3 chapter runs to do, the others are up to date"
    assert said[1].startswith("[1/2] alpha: done in ")
    assert said[2].startswith("[2/2] bad: FAILED after ")
    assert said[3] == "    chapter bad failed"
    assert said[5:6] == ["building the pages ..."]
    assert said[6].startswith("pages built and checked in ")
    assert (progress.done, progress.failed) == (["alpha_seed_0"], ["bad_seed_0"])


SUBMISSION = """\
rule bad_seed_0:
[Sun Nov 29 07:00:00 2026]
Error in rule bad_seed_0:
    message: SLURM sbatch failed. The error was 'sbatch: error: Memory specification can not be satisfied
sbatch: error: Batch job submission failed: Requested node configuration is not available'.
    sbatch call:
        sbatch --parsable --mem 8000
For further error details see the cluster/cloud log and the log files of the involved rule(s).
    jobid: 1
    input: x
    log: bad.log (check log file(s) for error details)
    shell:
        python -m it

Trying to restart job 1.
Error in rule bad_seed_0:
    message: SLURM-job '7' failed, SLURM status is: 'OUT_OF_MEMORY'.
"""


@pytest.mark.parametrize("older", [False, True])
def test_a_job_that_failed_before_its_log_shows_the_engines_own_words(tmp_path, older):
    said: list[str] = []
    log = tmp_path / "bad.log"
    if older:
        log.write_text("of the last build\n")
    progress = Progress({"bad_seed_0": "bad"}, {"bad_seed_0": log}, said.append)
    progress.follow(SUBMISSION.splitlines())
    assert said[0].startswith("[1/1] bad: FAILED after ")
    assert "Memory specification can not be satisfied" in said[1]
    assert "Requested node configuration is not available" in said[1]
    assert "input: x" not in said[1]
    assert said[2] == "    (the job failed before its own log began; this is the workflow engine's message)"
    assert said[3] == "bad: trying once more"
    assert said[4].startswith("[1/1] bad: FAILED after ")
    assert "OUT_OF_MEMORY" in said[5]
    assert progress.failed == ["bad_seed_0"]
    assert not any("of the last build" in line for line in said)


def test_a_failure_that_a_second_try_repaired_is_none(tmp_path):
    said: list[str] = []
    progress = Progress({"bad_seed_0": "bad"}, {}, said.append)
    text = "Error in rule bad_seed_0:\n\nTrying to restart job 1.\nFinished jobid: 1 (Rule: bad_seed_0)\n"
    progress.follow(text.splitlines())
    assert said[1] == "    no reason was given"
    assert (progress.failed, progress.done) == ([], ["bad_seed_0"])
    assert said[-1].startswith("[1/1] bad: done in ")


def record_peak(built, profile: str, seed: int, mib: float) -> None:
    """Write a record of the chapter alpha that measured a peak."""
    path = built.root / "data" / "recorded" / profile / "alpha" / f"seed-{seed}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"cost": {"peak_memory_mib": mib}}))


def test_a_cluster_is_asked_for_what_records_measured(built):
    built.parameters("smoke: {seeds: [0]}\ndefault: {seeds: [0]}\npublic: {seeds: [0]}\npaper: {seeds: [0]}")
    record_peak(built, "public", 0, 2001.0)
    record_peak(built, "public", 1, 1000.0)
    record_peak(built, "default", 0, 100.0)
    asked = {profile: plan(built.project, profile, ["alpha"])[0] for profile in PROFILES}
    found = {profile: (job.memory_mb, job.cap_mb) for profile, job in asked.items()}
    assert found == {
        "smoke": (1500, 8000),  # never recorded: the least
        "default": (1500, 8000),  # 1.5 times 100 is less than the least
        "public": (3100, 8000),  # 1.5 times the higher peak, in full hundreds
        "paper": (8000, 8000),  # nothing recorded: the cap
    }
    built.parameters("public: {seeds: [0], memory_mb: 5000}")
    job = plan(built.project, "public", ["alpha"])[0]
    assert (job.memory_mb, job.cap_mb) == (5000, 5000)


def snakemake(built, *config: str) -> subprocess.CompletedProcess[str]:
    """Ask Snakemake for a dry run, as by hand."""
    command = [sys.executable, "-m", "snakemake", "--workflow-profile", "workflow/profiles/local"]
    command += ["--cores", "1", "--nolock", "--dry-run", "--config", *config, "--", "chapters"]
    environment = {**os.environ, "ECHOBOOK_ROOT": str(built.root)}
    return subprocess.run(
        command, cwd=built.root, env=environment, capture_output=True, text=True, check=False
    )


@pytest.mark.slow
def test_config_by_hand_takes_the_documented_keys_and_no_other(built):
    built.parameters("default: {seeds: [0]}\npublic: {seeds: [3]}", "alpha")
    told = snakemake(built, "profile=public", "slugs=alpha")
    assert "alpha_seed_3" in told.stdout + told.stderr, told.stderr
    told = snakemake(built, "echobook_profile=public", "slugs=alpha")
    assert "alpha_seed_3" in told.stdout + told.stderr
    told = snakemake(built, "profil=public")
    assert told.returncode != 0
    assert "unknown key 'profil'" in told.stdout + told.stderr
    assert "did you mean 'profile'?" in told.stdout + told.stderr


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"profile": "public", "echobook_profile": "smoke"}, "profile is 'public' and 'smoke'"),
        ({"profile": "pubic"}, "no profile is called 'pubic'"),
        ({"slug": "advin"}, "unknown key 'slug'"),
        ({"echobook_seed": 1}, "unknown key 'echobook_seed'"),
    ],
)
def test_config_is_refused(config, message):
    with pytest.raises(PipelineError, match=message):
        asked_for(config)


def test_config_without_keys_is_the_default_profile():
    assert asked_for({}) == ("default", [])
    assert asked_for({"echobook_profile": "public", "profile": "public", "slugs": "a b"}) == (
        "public",
        ["a", "b"],
    )
