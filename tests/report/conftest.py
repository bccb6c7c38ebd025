"""A small checkout and ready-made results for the tests of the report."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from echobook.report.claims import Finding, Test, parse_claims
from echobook.report.results import Cost, Environment, Metric, Results
from echobook.report.scoreboard import Board
from echobook.report.verdicts import FindingOutcome, TestOutcome, combine, decide

CLAIMS = """
slug: small-talk
paper: someone2020small
findings:
- id: C1
  statement: The new way beats the old one.
  anchor: small-talk-c1
  origin: paper
  printed: {value: 2.0, unit: points, text: "2.0 points", source: abstract, provenance: read}
  tests:
  - name: gain
    words: gain over the old way
    metric: score/new
    against: score/old
    comparison: difference
    unit: points
    direction: above
    bound: 0
    smallest_effect: 0.02
    paper_effect: 0.04
    resampling: {unit: seeds}
    differs: The way alone.
    otherwise: Nothing that we know of.
- id: C2
  statement: It scales to < 1 s.
  anchor: small-talk-c2
  origin: paper
  printed: {value: null, unit: s, text: no figure, source: abstract, provenance: recalled}
  not_testable: The live system is not public.
checks:
- id: K1
  statement: No score is above 1.
  anchor: small-talk-k1
  tests:
  - {name: at-most-one, words: old, metric: score/old, comparison: value, unit: points, is: <=, value: 1}
fidelity:
  data: {grade: same, words: the paper's own}
  model: {grade: smaller, words: a tenth}
  training: {grade: stand-in, words: least squares}
  evaluation: {grade: same, words: the same}
  details: {grade: inferred, words: not told}
coverage:
- {kind: component, part: the new way, status: done}
- {kind: baseline, part: a large model, status: absent, why: not public}
plan:
  profile: public
  pilot_seeds: [1000, 1001]
  seeds: 3
  minutes: 0.5
  tests:
  - {finding: C1, test: gain, effect: 0.04, seed_spread: 0.01, seeds_needed: 3}
touched_after_results: []
"""


def build(
    values: dict[str, float] | None = None,
    *,
    slug: str = "small-talk",
    profile: str = "public",
    seed: int = 0,
    items: dict[str, list[float]] | None = None,
    weights: dict[str, list[float]] | None = None,
    groups: dict[str, list[int]] | None = None,
    timing: tuple[str, ...] = (),
    commit: str = "0" * 40,
    dirty: bool = False,
    parameters: dict[str, object] | None = None,
) -> Results:
    """Make a results record; metrics are in points."""
    items, weights, groups = items or {}, weights or {}, groups or {}
    return Results(
        slug=slug,
        profile=profile,
        seed=seed,
        parameters=dict(parameters or {"size": 3}),
        metrics={
            name: Metric(
                value=value,
                unit="points",
                n=len(items[name]) if name in items else 4,
                items=items.get(name),
                weights=weights.get(name),
                groups=groups.get(name),
                timing=name in timing,
            )
            for name, value in (values or {"score/new": 0.6, "score/old": 0.5}).items()
        },
        parameter_counts={"head": 12},
        datasets=[],
        cost=Cost(wall_seconds=1.5, cpu_seconds=1.25, peak_memory_mib=100.0),
        environment=Environment(
            commit=commit,
            dirty=dirty,
            closure_sha256="a" * 64,
            lock_sha256="b" * 64,
            packages={"python": "3.11.7"},
            threads=1,
            hardware="some CPU, 2 cores",
            date="2025-01-01",
        ),
    )


@pytest.fixture(name="make")
def _make() -> Callable[..., Results]:
    return build


def git(root: Path, *arguments: str) -> str:
    """Run git in `root` as a fixed author."""
    who = ["-c", "user.name=Test", "-c", "user.email=test@example.org"]
    done = subprocess.run(["git", *who, *arguments], cwd=root, check=True, capture_output=True, text=True)
    return done.stdout.strip()


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with one chapter's claims, committed; its path has a space and a letter beyond ASCII."""
    root = tmp_path / "a böok"
    (root / "data" / "claims").mkdir(parents=True)
    (root / "data" / "claims" / "small-talk.yml").write_text(CLAIMS, encoding="utf-8")
    (root / "pyproject.toml").write_text("[project]\n", encoding="utf-8")
    (root / "constraints.txt").write_text("numpy==1.0\n", encoding="utf-8")
    (root / ".gitignore").write_text("_build/\n", encoding="utf-8")
    git(root, "init", "-q")
    git(root, "add", ".")
    git(root, "commit", "-q", "-m", "first")
    monkeypatch.setenv("ECHOBOOK_ROOT", str(root))
    monkeypatch.delenv("ECHOBOOK_RESULT", raising=False)
    return root


@pytest.fixture
def head(checkout: Path) -> str:
    """The commit of the small checkout."""
    return git(checkout, "rev-parse", "HEAD")


@pytest.fixture
def claims_text() -> str:
    """The claims file of the small checkout."""
    return CLAIMS


def outcome(
    estimate: float, low: float | None = None, high: float | None = None, *, seeds: int = 3, **fields: object
) -> TestOutcome:
    """Make the outcome of a test: gain in points, above 0, where 0.02 matters, unless `fields` say other."""
    plain: dict[str, object] = {
        "name": "gain", "words": "gain over the old way", "metric": "score/new", "against": "score/old",
        "comparison": "difference", "unit": "points", "direction": "above", "bound": 0,
        "smallest_effect": 0.02, "resampling": {"unit": "seeds"}, "differs": "the way", "otherwise": "luck",
    }  # fmt: skip
    test = Test.model_validate(plain | fields)
    return TestOutcome(
        test, estimate, low, high, tuple(range(seeds)), (estimate,) * seeds, decide(test, low, high)
    )


def finding(
    identity: str, *outcomes: TestOutcome, origin: str = "paper", reason: str | None = None
) -> FindingOutcome:
    """Make the outcome of a finding from those of its tests."""
    printed = {"value": None, "unit": "points", "text": "more", "source": "s", "provenance": "read"}
    made = Finding.model_validate(
        {
            "id": identity, "statement": f"Statement {identity}.", "anchor": identity.lower(),
            "origin": origin, "printed": printed, "not_testable": reason,
            "tests": [one.test.model_dump() | {"name": f"t{k}"} for k, one in enumerate(outcomes)],
        }
    )  # fmt: skip
    if reason:
        return FindingOutcome(made, "not testable here", ())
    return FindingOutcome(made, combine(made, [one.decision for one in outcomes]), outcomes)


def board_of(*findings: FindingOutcome, slug: str = "small-talk", runs: int = 3) -> Board:
    """Make a chapter's board of findings alone."""
    claims = parse_claims(CLAIMS, "x.yml").model_copy(update={"slug": slug})
    return Board(claims, [build(slug=slug, seed=seed) for seed in range(runs)], findings, [])


@pytest.fixture(name="outcome")
def _outcome() -> Callable[..., TestOutcome]:
    return outcome


@pytest.fixture(name="finding")
def _finding() -> Callable[..., FindingOutcome]:
    return finding


@pytest.fixture(name="board_of")
def _board_of() -> Callable[..., Board]:
    return board_of
