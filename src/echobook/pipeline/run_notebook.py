"""Run one chapter: ``python -m echobook.pipeline.run_notebook SLUG --profile default --seed 0 -p
name=value``.
"""

from __future__ import annotations

import argparse
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from echobook.pipeline.errors import PipelineError
from echobook.pipeline.project import PROFILES, Project

if TYPE_CHECKING:
    from echobook.pipeline.run import Limits, Run


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the runner's options to `parser`."""
    parser.add_argument("slug", help="chapter or kernel page, as `echobook list` names it")
    parser.add_argument(
        "--profile", default="default", choices=PROFILES, help="parameter set (default: default)"
    )
    parser.add_argument("--seed", type=int, help="default: the profile's first seed")
    parser.add_argument(
        "-p",
        "--parameter",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="one value of the parameters cell",
    )
    parser.add_argument("--output-root", type=Path, help="build folder (default: _build)")
    parser.add_argument("--root", type=Path, help="repository (default: found from the working folder)")
    parser.add_argument(
        "--timeout", type=float, default=0.0, metavar="SECONDS", help="wall limit (default: none)"
    )
    parser.add_argument("--memory-mb", type=int, default=0, metavar="MIB", help="memory cap (default: none)")


def overrides(pairs: list[str]) -> dict[str, str]:
    """Return ``name=value`` texts as a mapping; PipelineError for one without ``=``."""
    split = [pair.partition("=") for pair in pairs]
    for name, sign, _ in split:
        if not sign or not name:
            raise PipelineError(f"expected -p NAME=VALUE, found {name!r}")
    return {name.strip(): value for name, _, value in split}


def _chapter(project: Project, options: argparse.Namespace, limits: Limits) -> Run:
    from echobook.pipeline.run import prepare

    values = overrides(options.parameter)
    return prepare(project, options.slug, options.profile, options.seed, values, limits)


def _page(project: Project, options: argparse.Namespace, limits: Limits) -> Run:
    from echobook.pipeline.pages import prepare_page

    if options.parameter or options.seed:
        raise PipelineError(f"{options.slug} is a kernel page: it has neither parameters nor a seed")
    return prepare_page(project, options.slug, options.profile, limits)


def run_from(options: argparse.Namespace) -> int:
    """Run what the command line says; print one line or the error; return the exit status."""
    from echobook.pipeline.pages import is_page
    from echobook.pipeline.run import Limits
    from echobook.pipeline.runner import run_chapter

    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        project = Project.at(options.root, options.output_root)
        limits = Limits(options.timeout, options.memory_mb)
        run = (_page if is_page(options.slug) else _chapter)(project, options, limits)
        seconds = run_chapter(run)
    except PipelineError as error:
        print(error, file=sys.stderr, flush=True)
        return 1
    print(f"{run.name}: done in {seconds:.1f} s")
    for path in (run.executed, *([run.result] if run.results else [])):
        print(f"  {project.relative(path)}")
    return 0


def main(arguments: list[str] | None = None) -> int:
    """Parse `arguments` and run."""
    parser = argparse.ArgumentParser(prog="python -m echobook.pipeline.run_notebook", description=__doc__)
    add_arguments(parser)
    return run_from(parser.parse_args(arguments))


if __name__ == "__main__":
    sys.exit(main())
