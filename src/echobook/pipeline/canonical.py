"""The canonical form of an executed notebook: what two equal runs have in common, byte for byte.

Taken out: papermill's and nbclient's times and paths, random cell ids, object addresses, the kernel's
temporary file names, the repository's absolute path, and where printed text was cut into pieces. What a page
must show but differs from run to run (seconds, memory, dates) stands in elements of class ``volatile``;
`comparable` takes their content out too.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")
_KERNEL_FILE = re.compile(r"\S*?/?ipykernel_\d+/\d+\.py")
_VOLATILE = re.compile(r"(<(\w+)[^>]*class=\"[^\"]*\bvolatile\b[^\"]*\"[^>]*>).*?(</\2>)", re.DOTALL)


def canonical(notebook: Any, root: Path) -> Any:
    """Return `notebook` (an nbformat node, changed in place) in canonical form; `root` is written as ``.``"""
    notebook.metadata.pop("papermill", None)
    notebook.metadata.pop("widgets", None)
    for number, cell in enumerate(notebook.cells):
        cell["id"] = f"cell-{number:04d}"
        for key in ("papermill", "execution", "collapsed"):
            cell.metadata.pop(key, None)
        if "injected-parameters" in cell.metadata.get("tags", []):
            cell.metadata["tags"] = ["injected-parameters", "hide-input"]
            cell.metadata["mystnb"] = {"code_prompt_show": "Parameters of this run"}
        if cell.cell_type == "code":
            outputs = _joined(cell.outputs)
            cell["outputs"] = [_walk(output, lambda text: _clean(text, str(root))) for output in outputs]
    return notebook


def _joined(outputs: list[Any]) -> list[Any]:
    """Join printed text that arrived in pieces: where a busy machine cuts a stream is chance."""
    joined: list[Any] = []
    for output in outputs:
        if joined and output.output_type == "stream" and joined[-1].get("name") == output.name:
            joined[-1]["text"] += output.text
        else:
            joined.append(output)
    return joined


def _clean(text: str, root: str) -> str:
    text = _KERNEL_FILE.sub("<cell>", _ADDRESS.sub("", text))
    return text.replace(f"{root}/", "").replace(root, ".") if len(root) > 1 else text


def _walk(node: Any, change: Callable[[str], str]) -> Any:
    """Apply `change` to every text in `node`; pictures (``image/...`` but SVG) are left as they are."""
    if isinstance(node, str):
        return change(node)
    if isinstance(node, list):
        return [_walk(item, change) for item in node]
    if isinstance(node, dict):
        for key, value in node.items():
            if not key.startswith("image/") or key == "image/svg+xml":
                node[key] = _walk(value, change)
    return node


def dump(notebook: Any) -> str:
    """Return the notebook as text with sorted keys and a newline at the end."""
    import nbformat

    return nbformat.writes(notebook).rstrip("\n") + "\n"


def comparable(text: str) -> str:
    """Return a canonical notebook's text without the content of its ``volatile`` elements."""

    def strip(part: str) -> str:
        return _VOLATILE.sub(r"\1\3", part)

    found = json.loads(text)
    for cell in found["cells"]:
        for output in cell.get("outputs", []):
            for kind, value in output.get("data", {}).items():
                if kind.startswith("text/"):
                    output["data"][kind] = strip("".join(value) if isinstance(value, list) else value)
    return json.dumps(found, sort_keys=True, indent=1, ensure_ascii=False)
