"""The results file of one chapter run: schema, canonical text, atomic writing, refusing reader.

A results file is JSON with sorted keys, two-space indents, one line for each scalar and one line for each
list. Floats are written with `repr`, so they read back to the same bits. Per-item scores (`items`) and their
`weights` are rounded to six significant digits when recorded, and whole numbers are written without a point.

A metric's `value` is what tables show. When `items` are present, the value is their mean, or their mean
weighted by `weights` (word error rate: errors over words for each utterance, weighted by words). `groups`
names the resampling unit of each item (a speaker, a dialogue), so that items of one group stay together.

A metric marked `timing` depends on the machine's speed; digests and comparisons of runs leave it out.

NaN, infinities, repeated names, unknown fields and files whose content contradicts their place are refused.
"""

import hashlib
import json
import os
import tempfile
from pathlib import Path
from typing import Annotated, Any, Literal

import pydantic

from echobook.report.errors import ResultsError

RECORDED_BYTES = 200 * 1024
METRIC_NAME = r"^[a-z0-9]+(-[a-z0-9]+)*(/[a-z0-9]+(-[a-z0-9]+)*)*$"
COMMIT = r"^([0-9a-f]{40}|unknown)$"
SHA256 = r"^[0-9a-f]{64}$"

MetricName = Annotated[str, pydantic.StringConstraints(pattern=METRIC_NAME)]
Count = Annotated[int, pydantic.Field(ge=0)]
Amount = Annotated[float, pydantic.Field(ge=0)]
Scalar = bool | int | float | str | None


class Strict(pydantic.BaseModel):
    """Base of every record: exact types, no unknown fields, no NaN or infinity."""

    model_config = pydantic.ConfigDict(strict=True, extra="forbid", allow_inf_nan=False)


class Metric(Strict):
    """One figure: value in `unit` over `n` items, with per-item scores where an interval needs them."""

    value: float
    unit: str
    n: Annotated[int, pydantic.Field(ge=1)] | None = None
    items: list[float] | None = None
    weights: list[Amount] | None = None
    groups: list[int] | None = None
    timing: bool = False

    @pydantic.model_validator(mode="after")
    def _lengths_agree(self) -> "Metric":
        for field in ("weights", "groups"):
            listed = getattr(self, field)
            if listed is not None and (self.items is None or len(listed) != len(self.items)):
                raise ValueError(f"{field} has {len(listed)} entries, items {len(self.items or [])}")
        if self.items is not None and self.n is not None and len(self.items) != self.n:
            raise ValueError(f"n is {self.n}, but there are {len(self.items)} items")
        return self


class Dataset(Strict):
    """A data set the run used: name, version or commit, digest, licence, rows in each part, where from."""

    name: str
    version: str
    sha256: str
    licence: str
    rows: dict[str, Count]
    source: str


class Cost(Strict):
    """What the run cost: seconds of wall clock and CPU, peak resident memory in MiB.

    `kept_cpu_seconds` are those of earlier runs whose kept results this run read instead of computing them.
    """

    wall_seconds: Amount
    cpu_seconds: Amount
    peak_memory_mib: Amount
    kept_cpu_seconds: Amount = 0.0

    @property
    def whole_cpu_seconds(self) -> float:
        """CPU seconds that a run needs where nothing was kept before."""
        return self.cpu_seconds + self.kept_cpu_seconds


class Environment(Strict):
    """What the run ran on: commit and state of the sources, digests, versions, threads, hardware."""

    commit: Annotated[str, pydantic.StringConstraints(pattern=COMMIT)]
    dirty: bool
    closure_sha256: Annotated[str, pydantic.StringConstraints(pattern=SHA256)]
    lock_sha256: str
    packages: dict[str, str]
    threads: Annotated[int, pydantic.Field(ge=1)]
    hardware: str
    date: str


class Results(Strict):
    """One run of one chapter with one seed."""

    format: Literal[1] = 1
    slug: str
    profile: Literal["smoke", "default", "public", "paper"]
    seed: Count
    parameters: dict[str, Scalar | list[Scalar]]
    metrics: dict[MetricName, Metric]
    parameter_counts: dict[str, Count]
    datasets: list[Dataset]
    cost: Cost
    environment: Environment

    def value(self, name: str) -> float:
        """Return the value of one metric; an unknown name is an error that lists the nearest names."""
        return self.metric(name).value

    def metric(self, name: str) -> Metric:
        """Return one metric; an unknown name is an error that lists names with the same first segment."""
        if name not in self.metrics:
            head = name.split("/")[0]
            known = [other for other in sorted(self.metrics) if other.startswith(head)] or sorted(
                self.metrics
            )
            raise ResultsError(
                f"{self.slug} ({self.profile}, seed {self.seed}): no metric {name!r}; "
                f"known: {', '.join(known[:12])}"
            )
        return self.metrics[name]


def six_digits(value: float) -> float:
    """Round to six significant digits, the precision of recorded per-item scores."""
    return float(f"{value:.6g}")


def _compact(value: float) -> float | int:
    """Whole scores are written as integers; other values (and minus zero) pass."""
    whole = value.is_integer() and abs(value) < 2**53 and repr(value) != "-0.0"
    return int(value) if whole else value


def _lines(value: object, indent: str) -> str:
    if isinstance(value, dict) and value:
        inner = indent + "  "
        body = ",\n".join(f"{inner}{json.dumps(key)}: {_lines(value[key], inner)}" for key in sorted(value))
        return "{\n" + body + "\n" + indent + "}"
    if isinstance(value, list) and any(isinstance(entry, dict) for entry in value):
        inner = indent + "  "
        return "[\n" + ",\n".join(inner + _lines(entry, inner) for entry in value) + "\n" + indent + "]"
    return json.dumps(value, allow_nan=False, ensure_ascii=False, separators=(",", ":"))


def dumps(results: Results) -> str:
    """Return the canonical text of a results file (see the module's first lines), newline at the end."""
    plain = results.model_dump(mode="json")
    for metric in plain["metrics"].values():
        for field in [field for field, content in metric.items() if content is None or content is False]:
            del metric[field]
        for field in ("items", "weights"):
            if field in metric:
                metric[field] = [_compact(entry) for entry in metric[field]]
    return _lines(plain, "") + "\n"


def write_results(results: Results, path: Path) -> Path:
    """Write atomically: a temporary file in the same folder, flushed to disk, then renamed over `path`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            stream.write(dumps(results))
            stream.flush()
            os.fsync(stream.fileno())
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    return path


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} found, expected a finite number")


def _refuse_repeated(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    seen: dict[str, Any] = {}
    for key, value in pairs:
        if key in seen:
            raise ValueError(f"{key!r} appears twice, expected each name once")
        seen[key] = value
    return seen


def explain(error: pydantic.ValidationError) -> str:
    """Return one line for each problem: field, what was expected, what was found."""
    lines = []
    for problem in error.errors(include_url=False):
        field = ".".join(str(part) for part in problem["loc"]) or "(whole record)"
        own = problem["type"] == "value_error"  # our own words, which say what was found
        found = "" if own or problem["type"] == "missing" else f", found {str(problem['input'])[:80]!r}"
        lines.append(f"{field}: {problem['msg'].removeprefix('Value error, ')}{found}")
    return "; ".join(lines)


def loads(text: str, source: str) -> Results:
    """Parse and check the text of a results file; `source` is the name used in errors."""
    try:
        plain = json.loads(text, parse_constant=_refuse_constant, object_pairs_hook=_refuse_repeated)
        return Results.model_validate(plain)
    except pydantic.ValidationError as error:
        raise ResultsError(f"{source}: {explain(error)}") from error
    except ValueError as error:
        raise ResultsError(f"{source}: not a results file: {error}") from error


def read_results(
    path: Path, *, slug: str | None = None, profile: str | None = None, seed: int | None = None
) -> Results:
    """Read a results file and refuse one whose slug, profile or seed is not the expected one.

    Raises ResultsError naming the file, the field, what was expected and what was found.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ResultsError(f"{path}: cannot be read: {error}") from error
    results = loads(text, str(path))
    for field, expected in (("slug", slug), ("profile", profile), ("seed", seed)):
        found = getattr(results, field)
        if expected is not None and found != expected:
            raise ResultsError(f"{path}: {field}: expected {expected!r}, found {found!r}")
    return results


def metrics_digest(results: Results) -> str:
    """Return the sha256 of what a run measured: everything but cost, environment and timing metrics."""
    measured = results.model_dump(mode="json", exclude={"cost", "environment"})
    measured["metrics"] = {name: kept for name, kept in measured["metrics"].items() if not kept["timing"]}
    return hashlib.sha256(json.dumps(measured, sort_keys=True).encode()).hexdigest()


def differences(left: Results, right: Results) -> list[str]:
    """Return a line for each difference between two runs, ignoring cost, environment and timing metrics."""
    found = []
    for field in ("slug", "profile", "seed", "parameters", "parameter_counts", "datasets"):
        if getattr(left, field) != getattr(right, field):
            found.append(f"{field}: {getattr(left, field)!r} against {getattr(right, field)!r}")
    for name in sorted(left.metrics.keys() | right.metrics.keys()):
        one, other = left.metrics.get(name), right.metrics.get(name)
        if one is None or other is None:
            found.append(f"{name}: only in the {'second' if one is None else 'first'} run")
        elif one != other and not (one.timing and other.timing):
            what = (
                f"{one.value!r} against {other.value!r}"
                if one.value != other.value
                else "per-item scores differ"
            )
            found.append(f"{name}: {what}")
    return found
