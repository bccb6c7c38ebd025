"""Who may import whom: notebooks -> papers -> kernels; nothing below imports what is above."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "src" / "echobook"
FILES = sorted(SOURCE.rglob("*.py"))
MACHINERY = {"pipeline", "report", "sphinx", "cli"}
BASE = {"data", "metrics"}
KERNELS = {path.parent.name for path in SOURCE.glob("*/__init__.py")} - MACHINERY - BASE - {"papers"}
ROOMS = {
    "__init__",
    "model",
    "method",
    "baselines",
    "material",
    "training",
    "evaluation",
    "experiment",
    "own_data",
}
PAPERS = sorted(path.parent for path in SOURCE.glob("papers/*/__init__.py"))


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
        assert not heads & {"papers", "pipeline", "sphinx", "cli"}
    elif part(path) == "papers":
        assert not heads & MACHINERY
        others = {name.split(".")[1] for name in imported(path) if name.startswith("papers.")}
        assert others <= {paper(path)}, "papers share kernels, they do not import each other"
    elif part(path) not in MACHINERY | {"__init__"}:
        assert not heads & (MACHINERY | {"papers"}), "a kernel imports neither papers nor machinery"
    if part(path) == "data":
        assert not heads & KERNELS, "data imports no kernel; what needs one lives beside its paper"


@pytest.mark.parametrize("folder", PAPERS, ids=lambda folder: folder.name)
def test_rooms_of_a_paper(folder):
    """A stranger finds the model at once; a module of another name says in `__init__` why it is there."""
    modules = {path.stem for path in folder.rglob("*.py")}
    text = ast.get_docstring(ast.parse((folder / "__init__.py").read_text(encoding="utf-8"))) or ""
    strange = sorted(name for name in modules - ROOMS if f"`{name}.py`:" not in text)
    assert not strange, (
        f"papers/{folder.name}: {', '.join(strange)}: expected only {', '.join(sorted(ROOMS))}; rename it, "
        f"or explain it in __init__.py with a line '- `{strange[0]}.py`: why'"
    )
    named = set(re.findall(r"`(\w+)\.py`:", text))
    assert named <= modules, f"papers/{folder.name}/__init__.py explains modules that are not there"
    if not modules & {"model", "method"}:
        assert "echobook." in text, "no model.py or method.py: __init__ names the kernel that is the method"
    assert {"material", "experiment"} <= modules


@pytest.mark.parametrize("path", sorted((ROOT / "notebooks").rglob("*.py")), ids=lambda path: path.stem)
def test_notebooks_import_their_own_paper(path):
    others = {name.split(".")[1] for name in imported(path) if name.startswith("papers.")}
    assert others <= {path.stem}, "a notebook imports its own paper; what two share is a kernel"


@pytest.mark.parametrize("path", [p for p in FILES if p.name == "__init__.py"], ids=lambda p: p.parent.name)
def test_packages_load_nothing(path):
    """Else every notebook would depend on every module of a package."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    assert not [node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(SOURCE).as_posix())
def test_no_module_is_hidden_from_the_import_scan(path):
    text = path.read_text(encoding="utf-8")
    assert "import_module(" not in text or "echobook" not in text.split("import_module(", 1)[1][:60]
