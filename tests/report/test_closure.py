"""The import scan, on a small tree of packages and on the project's own sources."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from echobook.report.closure import closure
from echobook.report.errors import ReportError

ROOT = Path(__file__).resolve().parents[2]


def write(folder: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


def names(paths: list[Path], top: Path) -> list[str]:
    return [path.relative_to(top).as_posix() for path in paths]


@pytest.fixture
def tree(tmp_path):
    write(
        tmp_path,
        {
            "src/pack/__init__.py": "",
            "src/pack/a.py": "from . import b\nimport os\n",
            "src/pack/b.py": "def f():\n    from .sub.c import value\n    return value\n",
            "src/pack/sub/__init__.py": "",
            "src/pack/sub/c.py": "from ..d import x\nimport pack.a\n",
            "src/pack/d.py": "if False:\n    import pack.e as e\n",
            "src/pack/e.py": "",
            "src/pack/alone.py": "",
            "src/spaced/deep/f.py": "",
            "notebook.py": "# %%\nimport numpy\nfrom pack import a\n",
        },
    )
    return tmp_path


def test_follows_relative_nested_and_circular_imports(tree):
    found = names(closure(tree / "notebook.py", tree / "src"), tree / "src")
    init = ["pack/__init__.py", "pack/a.py", "pack/b.py", "pack/d.py", "pack/e.py"]
    assert found == [*init, "pack/sub/__init__.py", "pack/sub/c.py"]


def test_leaves_itself_out_even_in_a_circle(tree):
    assert "pack/a.py" not in names(closure(tree / "src/pack/a.py", tree / "src"), tree / "src")


def test_namespace_folders_and_missing_modules(tree):
    write(tree, {"n.py": "import spaced.deep.f\nimport pack.nothing\nfrom spaced import deep\n"})
    assert names(closure(tree / "n.py", tree / "src"), tree / "src") == [
        "pack/__init__.py",
        "spaced/deep/f.py",
    ]


def test_relative_import_outside_the_sources_is_ignored(tree):
    write(tree, {"n.py": "from .pack import a\nfrom ..x import y\n"})
    assert closure(tree / "n.py", tree / "src") == []


def test_names_file_and_line_of_a_syntax_error(tree):
    write(tree, {"src/pack/e.py": "x = 1\ny = (\n"})
    with pytest.raises(ReportError, match=r"e\.py:2: not Python"):
        closure(tree / "notebook.py", tree / "src")


def test_agrees_with_what_python_really_loads():
    """Oracle: run an import in a fresh interpreter and compare with the modules that were loaded."""
    import subprocess
    import sys

    module = "echobook.pipeline.plan"
    loaded_files = "[m.__file__ for n, m in sys.modules.items() if n.startswith('echobook')]"
    script = f"import sys, {module}; print({loaded_files})"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    loaded = {Path(name).resolve() for name in ast.literal_eval(done.stdout)}
    path = ROOT / "src/echobook/pipeline/plan.py"
    found = set(closure(path, ROOT / "src")) | {path}
    assert loaded <= found
