"""The page of dependencies lists exactly what pyproject.toml asks for, group by group, each with a reason."""

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]


def asked_for() -> list[list[str]]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    groups = [project["dependencies"], *project["optional-dependencies"].values()]
    return [[re.match(r"[A-Za-z0-9._-]+", entry)[0] for entry in group] for group in groups]


def test_the_page_and_the_project_agree() -> None:
    page = (ROOT / "book" / "dependencies.md").read_text(encoding="utf-8")
    listed = []
    for section in page.split("\n## ")[1:]:
        rows = re.findall(r"^\| (?!package|---)(\S+) \| (.+) \|$", section, re.MULTILINE)
        assert all(len(why.split()) >= 2 for _, why in rows)
        listed.append([name for name, _ in rows])
    assert listed == asked_for()


def test_everything_asked_for_is_pinned() -> None:
    pins = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    pinned = {
        re.sub(r"[-_.]+", "-", line.split("==")[0]).lower() for line in pins.splitlines() if "==" in line
    }
    names = {re.sub(r"[-_.]+", "-", name).lower() for group in asked_for() for name in group}
    assert names <= pinned
