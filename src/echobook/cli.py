"""The command line, ``echobook``: list, run, fetch, verify, plan, scoreboard, record, twice, release,
compare.

Thin: it reads arguments, calls the module that does the work, and turns a refusal into a message and a
status.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from echobook.pipeline.chapters import find_chapter, read_chapters
from echobook.pipeline.errors import PipelineError
from echobook.pipeline.pages import read_pages
from echobook.pipeline.project import PROFILES, Project


def _list(options: argparse.Namespace) -> int:
    project = Project.at(options.root)
    for entry in read_chapters(project):
        print(f"{entry.slug:<28} {entry.part:<14} {entry.status:<10} {entry.title}")
    for entry in read_pages(project):
        print(f"{entry.slug:<28} {entry.part:<14} {entry.status:<10} page about a kernel, without claims")
    return 0


def _run(options: argparse.Namespace) -> int:
    from echobook.pipeline.run_notebook import run_from

    return run_from(options)


def _fetch(options: argparse.Namespace) -> int:
    import os

    from echobook.data.fetch import fetch

    if options.mirror:
        os.environ["ECHOBOOK_MIRROR"] = str(options.mirror.resolve())
    for dataset in options.datasets:
        print(f"{dataset}: {fetch(dataset)}")
    return 0


def _verify(options: argparse.Namespace) -> int:
    from echobook.pipeline.verify import verify

    return verify(Project.at(options.root), options.slug, options.profile, _seeds(options.seeds))


def _record(options: argparse.Namespace) -> int:
    from echobook.pipeline.verify import record

    return record(Project.at(options.root), options.slug, options.profile, _seeds(options.seeds))


def _twice(options: argparse.Namespace) -> int:
    from echobook.pipeline.twice import twice

    return twice(Project.at(options.root), options.slug, options.profile, options.seed)


def _plan(options: argparse.Namespace) -> int:
    from echobook.report.claims import load_claims
    from echobook.report.plan import plan_tests, runs_to_plan_from
    from echobook.report.plan_text import plan_entries, plan_text

    project = Project.at(options.root)
    slug = find_chapter(project, options.slug).slug
    claims = load_claims(project.root, slug)
    results = runs_to_plan_from(project.root, slug, options.pilots)
    plans = plan_tests(claims, results)
    print(plan_entries(plans) if options.entries else plan_text(claims, plans, results))
    return 0


def _scoreboard(options: argparse.Namespace) -> int:
    from echobook.report.scoreboard import plain_scoreboard, scoreboard

    project = Project.at(options.root)
    slugs = [find_chapter(project, options.slug).slug] if options.slug else None
    chosen = slugs or [entry.slug for entry in read_chapters(project) if entry.published]
    print(plain_scoreboard(scoreboard(project.root, slugs=chosen)))
    return 0


def _release(options: argparse.Namespace) -> int:
    from echobook.pipeline.build import main as build
    from echobook.pipeline.release import pack

    where = ["--root", str(options.root)] if options.root else []
    if build(["--profile", options.profile, *where]):
        return 1
    archive = pack(Project.at(options.root), options.version, options.profile)
    print(f"{archive} ({archive.stat().st_size / 1e6:.1f} MB)")
    return 0


def _compare(options: argparse.Namespace) -> int:
    import tempfile

    from echobook.pipeline.release import unpack
    from echobook.report.differences import changes, differences_page

    with tempfile.TemporaryDirectory(prefix="echobook-compare-") as folder:
        trees = []
        for index, archive in enumerate((options.before, options.after)):
            (place := Path(folder, str(index))).mkdir()
            trees.append(unpack(archive, place))
        print(differences_page((trees[0].name, trees[1].name), changes(*trees)), end="")
    return 0


def _seeds(text: str | None) -> list[int] | None:
    """Return the seeds that ``0,1,2`` names; None for all of the profile."""
    if text is None:
        return None
    try:
        return [int(part) for part in text.split(",")]
    except ValueError as error:
        raise PipelineError(f"expected --seeds 0,1,2, found {text!r}") from error


def parser() -> argparse.ArgumentParser:
    """Return the parser of all commands."""
    from echobook.pipeline.run_notebook import add_arguments

    top = argparse.ArgumentParser(
        prog="echobook", description="Run, check and compare the chapters of Echobook."
    )
    commands = top.add_subparsers(dest="command", required=True)
    root = argparse.ArgumentParser(add_help=False)
    root.add_argument("--root", type=Path, help="repository (default: found from the working folder)")
    profile = argparse.ArgumentParser(add_help=False)
    profile.add_argument("--profile", default="default", choices=PROFILES)

    commands.add_parser("list", parents=[root], help="all chapters").set_defaults(do=_list)
    run = commands.add_parser("run", help="run one chapter")
    add_arguments(run)
    run.set_defaults(do=_run)
    fetch = commands.add_parser("fetch", parents=[root], help="get public data sets and check their hashes")
    fetch.add_argument("datasets", nargs="+", metavar="DATASET")
    fetch.add_argument("--mirror", type=Path, help="folder to take the files from instead of the network")
    fetch.set_defaults(do=_fetch)
    for name, do, text in (
        ("verify", _verify, "run again and compare with the recorded results"),
        ("record", _record, "run and keep as recorded results"),
    ):
        command = commands.add_parser(name, parents=[root, profile], help=text)
        command.add_argument("slug")
        command.add_argument("--seeds", metavar="0,1,2", help="default: all seeds of the profile")
        command.set_defaults(do=do)
    twice = commands.add_parser(
        "twice", parents=[root, profile], help="run twice and compare to the last bit"
    )
    twice.add_argument("slug")
    twice.add_argument("--seed", type=int)
    twice.set_defaults(do=_twice)
    plan = commands.add_parser(
        "plan", parents=[root], help="how many seeds decide each test, and what they cost"
    )
    plan.add_argument("slug")
    plan.add_argument(
        "--pilots", type=Path, metavar="FOLDER", help="results of pilot runs (default: the recorded ones)"
    )
    plan.add_argument("--entries", action="store_true", help="print the entries of the claims file's plan")
    plan.set_defaults(do=_plan)
    release = commands.add_parser(
        "release", parents=[root, profile], help="pack a clean, built tree into one archive"
    )
    release.add_argument("version")
    release.set_defaults(do=_release)
    compare = commands.add_parser("compare", help="what changed between two releases, in Markdown")
    compare.add_argument("before", type=Path)
    compare.add_argument("after", type=Path)
    compare.set_defaults(do=_compare)
    board = commands.add_parser("scoreboard", parents=[root], help="findings, checks and verdicts")
    board.add_argument("slug", nargs="?")
    board.set_defaults(do=_scoreboard)
    return top


def _refusals() -> tuple[type[Exception], ...]:
    """Return the error types that are messages to the user rather than faults of the program."""
    from echobook.report import errors as report_errors

    found = [value for value in vars(report_errors).values() if isinstance(value, type)]
    kinds = [kind for kind in found if issubclass(kind, Exception)]
    return (PipelineError, *kinds)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; return the exit status."""
    options = parser().parse_args(arguments)
    try:
        return int(options.do(options))
    except KeyboardInterrupt:
        return 130
    except Exception as error:
        if isinstance(error, _refusals()) or type(error).__module__.startswith("echobook."):
            print(error, file=sys.stderr)
            return 1
        raise


if __name__ == "__main__":
    sys.exit(main())
