"""Who may import whom: notebooks -> papers -> kernels; nothing below imports what is above."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "src" / "echobook"
FILES = sorted(SOURCE.rglob("*.py"))
MACHINERY = {"pipeline", "report", "sphinx", "cli"}


def imported(path: Path) -> set[str]:
    """Return the dotted names below ``echobook`` that a file imports, without the first part."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return {name.removeprefix("echobook.") for name in found if name.startswith("echobook.")}


def part(path: Path) -> str:
    """Return the subpackage of a file: ``papers``, ``metrics``, ..."""
    return path.relative_to(SOURCE).parts[0].removesuffix(".py")


def paper(path: Path) -> str:
    """Return which paper a file below ``papers`` belongs to."""
    return path.relative_to(SOURCE).parts[1].removesuffix(".py")


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(SOURCE).as_posix())
def test_import_direction(path):
    heads = {name.split(".")[0] for name in imported(path)}
    if part(path) == "report":
        assert not heads & {"papers", "sphinx", "cli"}
    elif part(path) == "papers":
        assert not heads & MACHINERY
        others = {name.split(".")[1] for name in imported(path) if name.startswith("papers.")}
        assert others <= {paper(path)}, "papers share kernels, they do not import each other"
    elif part(path) not in MACHINERY | {"__init__"}:
        assert not heads & (MACHINERY | {"papers"}), "a kernel imports neither papers nor machinery"


@pytest.mark.parametrize("path", [p for p in FILES if p.name == "__init__.py"], ids=lambda p: p.parent.name)
def test_packages_load_nothing(path):
    """Else every notebook would depend on every module of a package."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    assert not [node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(SOURCE).as_posix())
def test_no_module_is_hidden_from_the_import_scan(path):
    text = path.read_text(encoding="utf-8")
    assert "import_module(" not in text or "echobook" not in text.split("import_module(", 1)[1][:60]
