"""Which source files does a Python file depend on? An import scan, without running anything.

Every ``import`` in the syntax tree (in functions and branches too) that names a module below ``<root>/src``
is followed, relative imports included, until nothing new is found. Names that are not files there (the
standard library, installed packages) are left out. ``importlib`` calls with strings cannot be seen; the
project uses none for its own modules.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

from echobook.report.errors import ReportError


def closure(path: Path | str, source: Path) -> list[Path]:
    """Return every file below `source` that `path` imports, directly or not, sorted; `path` itself is left
    out.

    Args:
        path: a Python file (a notebook in percent format is one).
        source: folder that holds the packages, ``<repository root>/src``.

    Raises:
        ReportError: a file that cannot be parsed; file and line are named.
    """
    start = Path(path).resolve()
    top = source.resolve()
    seen: set[Path] = set()
    queue = [start]
    while queue:
        for found in _imports(queue.pop(), top):
            if found not in seen:
                seen.add(found)
                queue.append(found)
    return sorted(seen - {start})


def _imports(path: Path, top: Path) -> Iterator[Path]:
    """Yield the files below `top` that the import statements of `path` load."""
    try:
        statements = _import_statements(path.read_text(encoding="utf-8"))
    except SyntaxError as error:
        raise ReportError(f"{path}:{error.lineno}: not Python: {error.msg}; correct the line") from error
    for node in statements:
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield from _files(top, alias.name)
        else:
            module = _absolute(node, path, top)
            yield from _files(top, module)
            for alias in node.names:
                yield from _files(top, f"{module}.{alias.name}")


@lru_cache(maxsize=4096)
def _import_statements(text: str) -> tuple[ast.Import | ast.ImportFrom, ...]:
    """Return the import statements of a source text; chapters share most modules, so texts are kept."""
    return tuple(node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Import | ast.ImportFrom))


def _absolute(node: ast.ImportFrom, path: Path, top: Path) -> str:
    """Return the dotted name of the module that a ``from`` statement in `path` names."""
    if not node.level:
        return node.module or ""
    package = path.parent
    for _ in range(node.level - 1):
        package = package.parent
    if not package.is_relative_to(top):
        return ""
    return ".".join([*package.relative_to(top).parts, *filter(None, [node.module])])


def _files(top: Path, module: str) -> Iterator[Path]:
    """Yield the file of a dotted module name and the ``__init__.py`` of each package above it."""
    parts = [part for part in module.split(".") if part]
    for depth in range(1, len(parts) + 1):
        base = top.joinpath(*parts[:depth])
        if (init := base / "__init__.py").is_file():
            yield init
        elif (leaf := base.with_suffix(".py")).is_file():
            yield leaf
            return
        elif not base.is_dir():
            return
