"""Every command that a page prints, taken from the page's own text: it exists, and so does what it names.

Read are the fenced shell blocks and the code in sentences of the README, of CONTRIBUTING and of all pages of
the book. What is cheap is run; of the rest, targets, flags, keys, chapters, records and paths are checked. A
command of an unknown kind fails, so that a new kind gets a check.
"""

from __future__ import annotations

import contextlib
import csv
import importlib.util
import io
import re
import shlex
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from echobook import cli
from echobook.pipeline.chapters import read_chapters
from echobook.pipeline.pages import read_pages
from echobook.pipeline.parameters import read_parameters
from echobook.pipeline.project import PROFILES, Project
from echobook.pipeline.request import asked_for

from .conftest import REPOSITORY

PROJECT = Project.at(REPOSITORY)
PAGES = [
    REPOSITORY / "README.md",
    REPOSITORY / "CONTRIBUTING.md",
    *sorted((REPOSITORY / "book").glob("*.md")),
]
SHELLS = {"bash", "sh", "console", "shell"}
KINDS = ("make", "echobook", "snakemake", "python", "jupytext", "papermill", "npm")
FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
VARIABLE = re.compile(r"[A-Z]+=.*")


@dataclass(frozen=True)
class Command:
    """A command and the page that prints it."""

    page: str
    text: str

    def __str__(self) -> str:
        return f"{self.page}: {self.text}"

    @property
    def words(self) -> list[str]:
        """The command's words, as a shell would split them."""
        return shlex.split(self.text)


def block_commands(body: str) -> list[str]:
    """Return the commands of a shell block: continued lines joined, pipes taken apart; comments, prompts and
    the words of a loop left out.
    """
    joined = re.sub(r"\\\n\s*", "", body)
    lines = [re.sub(r"(^|\s)#.*$|^[$>] +", "", line).strip() for line in joined.splitlines()]
    plain = [line for line in lines if line and not re.match(r"for |do$|done$", line)]
    return [part.strip() for line in plain for part in line.split(" | ")]


def sentence_commands(text: str) -> list[str]:
    """Return the code in sentences that is a command; a name alone, such as `make`, is none."""
    spans = re.findall(r"(?<!`)`([^`]+)`(?!`)", text)
    found = [re.sub(r"\s+", " ", span).strip() for span in spans]
    return [span for span in found if re.match(rf"(?:{'|'.join(KINDS)}) \S", span)]


def commands() -> list[Command]:
    """Return every command that is printed, each once a page."""
    found = []
    for page in PAGES:
        text, name = page.read_text(encoding="utf-8"), page.relative_to(REPOSITORY).as_posix()
        for language, body in FENCE.findall(text):
            found += [Command(name, line) for line in block_commands(body) if language in SHELLS]
        found += [Command(name, line) for line in sentence_commands(FENCE.sub("", text))]
    return list(dict.fromkeys(found))


COMMANDS = commands()
SLUGS = {entry.slug for entry in [*read_chapters(PROJECT), *read_pages(PROJECT)]}


def of_kind(kind: str) -> list[Command]:
    """Return the commands whose first word is `kind`."""
    return [command for command in COMMANDS if command.words[0] == kind]


def placeholder(value: str) -> bool:
    """Say whether a value stands for one that the reader fills in."""
    return "<" in value or "..." in value or value.isupper()


def test_the_pages_print_commands_and_each_kind_is_known():
    assert len(COMMANDS) > 20
    shells = [command for command in COMMANDS if command.words[0] not in KINDS]
    assert [str(command) for command in shells if command.page != "book/scale-out.md"] == []
    assert {"make", "echobook", "snakemake", "python", "jupytext", "papermill"} <= {
        command.words[0] for command in COMMANDS
    }


def test_commands_are_read_as_a_shell_would():
    body = "make book   # all\njupytext --to ipynb x.py \\\n  | papermill - y.ipynb\n\n# a comment\n"
    assert block_commands(body) == ["make book", "jupytext --to ipynb x.py", "papermill - y.ipynb"]
    loop = "$ for seed in 1 2; do\n>    echobook run a --seed $seed\n> done\n"
    assert block_commands(loop) == ["echobook run a --seed $seed"]
    prose = "`make` and `make\nserve`, `make_one x`, ``make `odd` ``, `python -m a`"
    assert sentence_commands(prose) == ["make serve", "python -m a"]


@pytest.mark.parametrize("command", of_kind("make"), ids=str)
def test_make_has_the_target_and_knows_the_variables(command):
    makefile = (REPOSITORY / "Makefile").read_text(encoding="utf-8")
    words = command.words[1:]
    targets = [word for word in words if not VARIABLE.fullmatch(word)]
    given = dict(word.split("=", 1) for word in words if VARIABLE.fullmatch(word))
    for target in targets:
        assert re.search(rf"^{re.escape(target)}:.*##", makefile, re.MULTILINE), f"no target {target}"
    for name, value in given.items():
        assert f"$({name})" in makefile or f"$(if $({name})" in makefile, f"no variable {name}"
        if name == "SLUG" and not placeholder(value):
            assert value in SLUGS
        if name == "PROFILE" and not placeholder(value):
            assert value in PROFILES


def recorded(slug: str, profile: str) -> bool:
    """Say whether results of a chapter are recorded."""
    return any(PROJECT.recorded(profile, slug).glob("seed-*.json"))


@pytest.mark.parametrize("command", [c for c in COMMANDS if c.text.startswith("make verify ")], ids=str)
def test_what_is_verified_has_been_recorded(command):
    given = dict(word.split("=", 1) for word in command.words if "=" in word)
    slugs = [entry.slug for entry in read_chapters(PROJECT) if entry.published]
    wanted = slugs if placeholder(given["SLUG"]) else [given["SLUG"]]
    missing = [slug for slug in wanted if not recorded(slug, given.get("PROFILE", "default"))]
    assert missing == []


@pytest.mark.parametrize("command", of_kind("echobook"), ids=str)
def test_echobook_takes_the_arguments(command):
    words = ["advin" if placeholder(word) else word for word in command.words[1:]]
    words = ["0" if word.startswith("$") else word for word in words]
    if len(words) == 1 and words[0] in ("record", "verify", "run", "twice", "plan"):
        words.append("advin")  # named without its argument
    said = io.StringIO()
    with contextlib.redirect_stderr(said):
        try:
            found = cli.parser().parse_args(words)
        except SystemExit:
            pytest.fail(said.getvalue())
    if slug := getattr(found, "slug", None):
        assert slug in SLUGS
    with (REPOSITORY / "data" / "registry.csv").open(encoding="utf-8") as stream:
        known = {row["dataset"] for row in csv.DictReader(stream)}
    assert set(getattr(found, "datasets", [])) <= known


@pytest.mark.parametrize("command", of_kind("snakemake"), ids=str)
def test_snakemake_knows_flags_and_keys(command):
    from snakemake.cli import get_argument_parser

    flags = {flag for action in get_argument_parser()._actions for flag in action.option_strings}
    words = command.words[1:]
    assert {word for word in words if word.startswith("-")} <= flags
    if "--workflow-profile" in words:
        profile = REPOSITORY / words[words.index("--workflow-profile") + 1]
        assert (profile / "config.yaml").is_file()
    if "--config" in words:
        start = words.index("--config") + 1
        pairs = [word for word in words[start:] if "=" in word]
        assert pairs
        asked_for(dict(pair.split("=", 1) for pair in pairs))


@pytest.mark.parametrize("command", of_kind("python"), ids=str)
def test_python_finds_the_module_and_its_flags(command):
    words = command.words
    assert words[1] == "-m"
    spec = importlib.util.find_spec(words[2])
    assert spec is not None
    assert spec.origin is not None
    source = Path(spec.origin).read_text(encoding="utf-8")
    for word in words[3:]:
        if word.startswith("--"):
            assert f'"{word}"' in source, f"{words[2]} has no {word}"
    if words[2] == "echobook.pipeline.run_notebook":
        assert words[3] in SLUGS


@pytest.mark.parametrize("command", of_kind("papermill"), ids=str)
def test_papermill_gets_parameters_of_the_notebook_before_it(command):
    notebook = next(word for other in of_kind("jupytext") for word in other.words if word.endswith(".py"))
    assert (REPOSITORY / notebook).is_file()
    words = command.words
    folder = words[words.index("--cwd") + 1]
    assert (REPOSITORY / notebook).parent == REPOSITORY / folder
    names = [words[place + 1] for place, word in enumerate(words) if word == "-p"]
    assert names
    assert set(names) <= set(read_parameters(REPOSITORY / notebook))


@pytest.mark.parametrize("command", of_kind("npm"), ids=str)
def test_npm_finds_its_folder(command):
    words = command.words
    assert (REPOSITORY / words[words.index("--prefix") + 1] / "package.json").is_file()


def test_make_help_lists_every_target_that_a_page_prints():
    done = subprocess.run(["make", "help"], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    listed = set(re.findall(r"^  make ([a-z-]+)", done.stdout, re.MULTILINE))
    printed = {word for c in of_kind("make") for word in c.words[1:] if not VARIABLE.fullmatch(word)}
    assert printed <= listed


def test_echobook_list_runs(capsys):
    assert cli.main(["list"]) == 0
    listed = capsys.readouterr().out
    assert all(slug in listed for slug in ("advin", "kernels/transducer"))


@pytest.mark.slow
def test_verify_repeats_a_record_without_a_network(capsys):
    """The cheapest chapter stands for all: the command is the same."""
    assert cli.main(["verify", "context-store"]) == 0
    assert "context-store" in capsys.readouterr().out
