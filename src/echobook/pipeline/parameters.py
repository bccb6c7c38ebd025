"""A chapter's parameters: read from its parameters cell, merged with a profile, checked before anything runs.

papermill accepts a misspelt parameter without a word. Here a name must occur in the chapter's parameters
cell, and a
value must fit what that cell says:

- the annotation: ``int``, ``float`` (takes an int), ``str``, ``bool``, ``None``, ``list[...]``,
  ``tuple[...]``, ``dict[..., ...]``, ``Literal[...]`` and unions of these with ``|``;
- a range in the comment, in brackets: ``overlap: float = 0.3  # share of words [0, 1]``; a side may be open:
  ``[1, ]``.
"""

from __future__ import annotations

import ast
import difflib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from echobook.pipeline.errors import PipelineError
from echobook.pipeline.project import PROFILES, Project

_NUMBER = r"[-+]?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?"
_RANGE = re.compile(rf"\[\s*({_NUMBER})?\s*,\s*({_NUMBER})?\s*\]")
_RESERVED = ("profile", "seed")


@dataclass(frozen=True)
class Parameter:
    """One line of the parameters cell."""

    name: str
    annotation: str
    default: Any
    comment: str = ""
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class ProfileSettings:
    """What a profile says about a chapter: seeds, values, expected minutes, memory cap, public data sets."""

    seeds: tuple[int, ...]
    parameters: dict[str, Any]
    minutes: float = 1.0
    memory_mb: int | None = None  # None: what records measured, see `plan.requested_memory`
    datasets: tuple[str, ...] = ()


def percent_cells(text: str) -> list[tuple[str, int, str]]:
    """Split percent-format text into (header, number of the first body line, body); lines count from 1."""
    cells: list[tuple[str, int, list[str]]] = []
    for number, line in enumerate(text.splitlines(), start=1):
        if line.startswith("# %%"):
            cells.append((line, number + 1, []))
        elif cells:
            cells[-1][2].append(line)
    return [(header, first, "\n".join(body)) for header, first, body in cells]


def read_parameters(notebook: Path) -> dict[str, Parameter]:
    """Return the parameters of a notebook by name, in the cell's order.

    Raises:
        PipelineError: no cell tagged ``parameters`` or more than one; a line that is not ``name: type =
            literal``; ``profile`` or ``seed`` missing; a default that breaks its own annotation or range.
    """
    cells = [
        cell
        for cell in percent_cells(notebook.read_text(encoding="utf-8"))
        if re.search(r"tags\s*=\s*\[[^\]]*[\"']parameters[\"']", cell[0])
    ]
    if len(cells) != 1:
        raise PipelineError(
            f"{notebook.name}: expected one cell tagged 'parameters', found {len(cells)}",
            'begin the cell with: # %% tags=["parameters"]',
        )
    _, first, body = cells[0]
    try:
        tree = ast.parse(body)
    except SyntaxError as error:
        line = first + (error.lineno or 1) - 1
        raise PipelineError(f"{notebook.name}:{line}: parameters cell is not Python: {error.msg}") from error
    lines = body.splitlines()
    found = [_parameter(node, lines, notebook.name, first) for node in tree.body]
    known = {parameter.name: parameter for parameter in found}
    for name in _RESERVED:
        if name not in known:
            raise PipelineError(
                f"{notebook.name}: the parameters cell lacks {name!r}", "add it as its first lines"
            )
    for parameter in found:
        check_value(parameter, parameter.default, f"{notebook.name}, default of")
    return known


def _parameter(node: ast.stmt, lines: list[str], name: str, first: int) -> Parameter:
    place = f"{name}:{first + node.lineno - 1}"
    if not isinstance(node, ast.AnnAssign) or not isinstance(node.target, ast.Name) or node.value is None:
        raise PipelineError(
            f"{place}: expected 'name: type = literal', found {lines[node.lineno - 1].strip()!r}"
        )
    try:
        default = ast.literal_eval(node.value)
    except ValueError as error:
        raise PipelineError(f"{place}: {node.target.id} must be a plain literal") from error
    last = lines[(node.end_lineno or node.lineno) - 1].encode()[node.end_col_offset or 0 :].decode()
    comment = last.partition("#")[2].strip()
    span = _RANGE.search(comment)
    low, high = (float(side) if side else None for side in span.groups()) if span else (None, None)
    return Parameter(node.target.id, ast.unparse(node.annotation), default, comment, low, high)


def fits(value: Any, annotation: str) -> bool:
    """Say whether `value` has the type that `annotation` names (see the module's list); unknown types fit."""
    return _fits(value, ast.parse(annotation, mode="eval").body)


def _fits(value: Any, node: ast.expr) -> bool:
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
        return _fits(value, node.left) or _fits(value, node.right)
    if isinstance(node, ast.Constant):
        return (
            _fits(value, ast.parse(node.value, mode="eval").body)
            if isinstance(node.value, str)
            else value is None
        )
    if isinstance(node, ast.Subscript):
        return _fits_subscript(value, node)
    match ast.unparse(node):
        case "int":
            return isinstance(value, int) and not isinstance(value, bool)
        case "float":
            return isinstance(value, int | float) and not isinstance(value, bool)
        case "str" | "bool" | "list" | "dict" | "tuple" as kind:
            kinds = {"str": str, "bool": bool, "list": list, "dict": dict, "tuple": (list, tuple)}
            return isinstance(value, kinds[kind])  # type: ignore[arg-type]
    return True


def _fits_subscript(value: Any, node: ast.Subscript) -> bool:
    inner = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
    match ast.unparse(node.value).rpartition(".")[2]:
        case "Literal":
            return any(value == (o := ast.literal_eval(e)) and type(value) is type(o) for e in inner)
        case "list":
            return isinstance(value, list) and all(_fits(item, inner[0]) for item in value)
        case "dict":
            ok = isinstance(value, dict) and len(inner) == 2
            return ok and all(_fits(k, inner[0]) and _fits(v, inner[1]) for k, v in value.items())
        case "tuple":
            if not isinstance(value, list | tuple):
                return False
            if ast.unparse(inner[-1]) == "...":
                return all(_fits(item, inner[0]) for item in value)
            return len(value) == len(inner) and all(map(_fits, value, inner))
    return True


def check_value(parameter: Parameter, value: Any, whose: str) -> None:
    """Raise PipelineError unless `value` fits the annotation and the range of `parameter`."""
    shown = f"{whose} {parameter.name} = {value!r}"
    if not fits(value, parameter.annotation):
        raise PipelineError(
            f"{shown}: expected {parameter.annotation}, found {type(value).__name__}",
            f"a value like {parameter.default!r}" + (f"  # {parameter.comment}" if parameter.comment else ""),
        )
    for item in value if isinstance(value, list | tuple) else [value]:
        if not isinstance(item, int | float) or isinstance(item, bool):
            continue
        low = parameter.low if parameter.low is not None else float("-inf")
        high = parameter.high if parameter.high is not None else float("inf")
        if not low <= item <= high:
            raise PipelineError(f"{shown}: out of range, expected {low:g} to {high:g}  # {parameter.comment}")


def read_profile(project: Project, slug: str, profile: str) -> ProfileSettings:
    """Return what ``workflow/parameters/<slug>.yml`` says about `profile`.

    A chapter without the file runs on its parameters cell alone, with seed 0, in the profile ``default``.
    """
    import yaml

    path = project.parameters(slug)
    if profile not in PROFILES:
        raise PipelineError(f"no profile is called {profile!r}", f"one of: {', '.join(PROFILES)}")
    if not path.is_file():
        if profile == "default":
            return ProfileSettings((0,), {})
        raise PipelineError(f"chapter {slug} has no parameter file {project.relative(path)}")
    found = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    section = found.get(profile)
    if not isinstance(section, dict):
        known = ", ".join(found) or "none"
        raise PipelineError(f"{project.relative(path)} has no profile {profile!r}", f"it has: {known}")
    known_keys = {"seeds", "parameters", "minutes", "memory_mb", "datasets"}
    if strange := sorted(set(section) - known_keys):
        raise PipelineError(
            f"{project.relative(path)}: {profile}: unknown key {strange[0]!r}", ", ".join(known_keys)
        )
    seeds = section.get("seeds", [0])
    if (
        not isinstance(seeds, list)
        or not seeds
        or not all(fits(s, "int") for s in seeds)
        or len(set(seeds)) < len(seeds)
    ):
        raise PipelineError(
            f"{project.relative(path)}: {profile}: seeds: expected distinct integers, found {seeds!r}"
        )
    return ProfileSettings(
        seeds=tuple(seeds),
        parameters=dict(section.get("parameters") or {}),
        minutes=float(section.get("minutes", 1.0)),
        memory_mb=int(section["memory_mb"]) if section.get("memory_mb") else None,
        datasets=tuple(section.get("datasets") or ()),
    )


def parse_override(parameter: Parameter, text: str) -> Any:
    """Return the value that a command line's `text` means for `parameter`; text that is no literal stays
    text.
    """
    if parameter.annotation == "str":
        return text
    try:
        return ast.literal_eval({"true": "True", "false": "False", "null": "None"}.get(text, text))
    except (ValueError, SyntaxError):
        return text


def resolve(
    known: dict[str, Parameter], slug: str, profile: str, seed: int, *layers: tuple[str, dict[str, Any]]
) -> dict[str, Any]:
    """Return the values to hand to the notebook: `layers` merged in order, then profile and seed.

    Args:
        known: the parameters cell.
        slug: chapter, for messages.
        profile: profile name.
        seed: seed of the run.
        layers: (where it comes from, values); a later layer wins.

    Raises:
        PipelineError: a name that the cell does not have, or a value that does not fit.
    """
    merged: dict[str, Any] = {}
    for origin, values in layers:
        for name, value in values.items():
            if name in _RESERVED:
                raise PipelineError(
                    f"chapter {slug}, {origin}: {name} is set by --{name}, not as a parameter"
                )
            if name not in known:
                raise PipelineError(*_unknown(slug, origin, name, known))
            check_value(known[name], value, f"chapter {slug}, {origin}:")
            merged[name] = value
    check_value(known["seed"], seed, f"chapter {slug}:")
    return {"profile": profile, "seed": seed, **merged}


def _unknown(slug: str, origin: str, name: str, known: dict[str, Parameter]) -> tuple[str, str]:
    names = [n for n in known if n not in _RESERVED]
    near = difflib.get_close_matches(name, names, n=1)
    guess = f"did you mean {near[0]!r}? " if near else ""
    return (
        f"chapter {slug}, {origin}: unknown parameter {name!r}",
        f"{guess}known: {', '.join(names) or 'none'}",
    )
