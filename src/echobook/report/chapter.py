"""The only way results leave a chapter: record figures, show them beside the paper's, write one results file.

chapter = Chapter("advin", profile=profile, seed=seed, parameters={"corpus": corpus})
chapter.use(corpus.use)
chapter.record("discovery/ari/transfer", 0.61, unit="ARI", n=900)
chapter.claims_table()
chapter.finish()
"""

import math
import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Protocol, SupportsFloat, cast, runtime_checkable

import pandas as pd
import pydantic
from pandas.io.formats.style import Styler

from echobook.report import display, provenance, tables, verdict_box
from echobook.report.claims import load_claims
from echobook.report.claims_table import claims_frame
from echobook.report.errors import ReportError
from echobook.report.forest import forest_plot
from echobook.report.paths import check_profile, check_slug, repository_root, seed_file
from echobook.report.records import load_recorded
from echobook.report.results import (
    METRIC_NAME,
    Dataset,
    Metric,
    Results,
    explain,
    six_digits,
    write_results,
)
from echobook.report.scoreboard import board
from echobook.report.verdicts import Estimate, estimate


@runtime_checkable
class DatasetUse(Protocol):
    """What `use` needs to know of a data set; `echobook.data.types.DatasetUse` has it."""

    @property
    def name(self) -> str: ...
    @property
    def version(self) -> str: ...
    @property
    def sha256(self) -> str: ...
    @property
    def licence(self) -> str: ...
    @property
    def rows(self) -> Mapping[str, int]: ...
    @property
    def source(self) -> str: ...


def _plain(value: object) -> Any:
    """Turn numpy scalars, tuples and paths into what a results file holds."""
    if isinstance(value, list | tuple):
        return [_plain(entry) for entry in value]
    return value.item() if hasattr(value, "item") else value


def _listed(scores: Iterable[Any] | None) -> list[float] | None:
    return None if scores is None else [six_digits(float(score)) for score in scores]


class Chapter:
    """One run of one chapter: collects figures, data sets and parameter counts, then writes them."""

    def __init__(
        self,
        slug: str,
        *,
        profile: str = "default",
        seed: int = 0,
        parameters: Mapping[str, object] | None = None,
        root: Path | None = None,
    ) -> None:
        """Start clocks, hold computing to one thread, and read the chapter's claims.

        `parameters`: the notebook's parameters by name. `root`: repository root, found if not given. Raises
        ReportError for an unknown profile, a bad slug or a missing or malformed claims file.
        """
        self.slug, self.profile, self.seed = check_slug(slug), check_profile(profile), int(seed)
        self.root = root or repository_root()
        self.claims = load_claims(self.root, slug)
        self._parameters = {name: _plain(value) for name, value in (parameters or {}).items()}
        self._metrics: dict[str, Metric] = {}
        self._counts: dict[str, int] = {}
        self._datasets: dict[str, Dataset] = {}
        self._threads = provenance.one_thread()
        self._meter = provenance.Meter()
        self._kept_cpu_seconds = 0.0

    def use(self, used: DatasetUse) -> None:
        """Note a data set as used: it goes into the results file and onto the stamp. Twice is once."""
        rows = {str(part): int(count) for part, count in used.rows.items()}
        noted = Dataset(
            name=used.name,
            version=used.version,
            sha256=used.sha256,
            licence=used.licence,
            rows=rows,
            source=used.source,
        )
        if self._datasets.setdefault(used.name, noted) != noted:
            raise ReportError(f"{self.slug}: data set {used.name!r} is used in two forms; name them apart")

    def count_parameters(self, name: str, module: Any) -> int:
        """Note and return the number of trainable parameters of a torch module (or an integer given)."""
        if isinstance(module, int):
            count = module
        else:
            count = sum(weight.numel() for weight in module.parameters() if weight.requires_grad)
        self._counts[name] = count
        return count

    def add_kept_cost(self, cpu_seconds: float) -> None:
        """Count CPU seconds of an earlier run whose kept results this run read; repeated calls add up."""
        if not (math.isfinite(cpu_seconds) and cpu_seconds >= 0):
            raise ReportError(f"{self.slug}: kept cost {cpu_seconds!r} is not a number of seconds, 0 or more")
        self._kept_cpu_seconds += float(cpu_seconds)

    def record(
        self,
        name: str,
        value: SupportsFloat,
        *,
        unit: str,
        n: int | None = None,
        items: Iterable[Any] | None = None,
        weights: Iterable[Any] | None = None,
        groups: Iterable[Any] | None = None,
        timing: bool = False,
    ) -> float:
        """Record one figure under a name such as `discovery/ari/transfer`, and return it as a float.

        `n`: number of items behind it. `items`: per-item scores in a fixed order (kept to six digits), whose
        mean, weighted by `weights` if given, is the value. `groups`: whole-number labels of items that belong
        together. `timing`: the figure depends on the machine's speed, so comparisons of runs leave it out.
        Raises ReportError for a NaN or infinite value, a repeated or ill-formed name, ragged lists.
        """
        figure = float(value)
        if not re.fullmatch(METRIC_NAME, name):
            raise ReportError(f"metric name {name!r}: expected lower-kebab segments joined by '/'")
        if name in self._metrics:
            raise ReportError(
                f"metric {name!r}: recorded twice in {self.slug}; give each figure its own name"
            )
        if not math.isfinite(figure):
            raise ReportError(
                f"metric {name!r}: expected a finite number, found {figure} ({self.slug}, n={n})"
            )
        listed, labels = _listed(items), None if groups is None else [int(label) for label in groups]
        size = len(listed) if n is None and listed is not None else n
        try:
            self._metrics[name] = Metric(
                value=figure,
                unit=unit,
                n=size,
                items=listed,
                weights=_listed(weights),
                groups=labels,
                timing=timing,
            )
        except pydantic.ValidationError as error:
            raise ReportError(f"metric {name!r}: {explain(error)}") from error
        return figure

    def records(
        self, prefix: str, values: Mapping[str, SupportsFloat], *, unit: str, n: int | None = None
    ) -> None:
        """Record several figures of one unit; each name is put behind `prefix`, which ends in '/'."""
        for name, value in values.items():
            self.record(f"{prefix}{name}", value, unit=unit, n=n)

    def recorded(self, metric: str, profile: str = "public") -> Estimate | None:
        """Return a metric's recorded mean over seeds with its 95 % t interval, or None when not recorded."""
        return estimate(load_recorded(self.root, self.slug, profile), metric)

    def verdict_box(self) -> display.Html:
        """Return the box that opens the page: verdicts, closeness to the paper, checks, and the cost."""
        return verdict_box.verdict_box(board(self.claims, load_recorded(self.root, self.slug)))

    def forest_plot(self) -> display.Html:
        """Return the forest plot of the recorded runs: one row a test, ours beside the paper's effect."""
        return forest_plot(board(self.claims, load_recorded(self.root, self.slug)).findings, self.slug)

    def claims_table(self) -> Styler:
        """Return the table of findings and checks: the paper's figure, the recorded one, this run's."""
        frame = claims_frame(self.claims, load_recorded(self.root, self.slug), [self.results()])
        caption = "Claims, the paper's figures and ours."
        return tables.table(frame, name=f"{self.slug}-claims", caption=caption, markup=list(frame.columns))

    def table(
        self, frame: pd.DataFrame, *, name: str, caption: str, digits: int | Mapping[str, int] = 3
    ) -> Styler:
        """Return a frame as an accessible table (see `echobook.report.tables.table`)."""
        return tables.table(frame, name=f"{self.slug}-{name}", caption=caption, digits=digits)

    def results(self) -> Results:
        """Return what has been recorded so far as a results record."""
        try:
            return Results(
                slug=self.slug,
                profile=cast(Any, self.profile),
                seed=self.seed,
                parameters=self._parameters,
                metrics=dict(self._metrics),
                parameter_counts=dict(self._counts),
                datasets=[self._datasets[name] for name in sorted(self._datasets)],
                cost=self._meter.cost(kept_cpu_seconds=self._kept_cpu_seconds),
                environment=provenance.environment(self.root, self.slug, threads=self._threads),
            )
        except pydantic.ValidationError as error:
            raise ReportError(f"{self.slug}: {explain(error)}") from error

    def finish(self) -> display.Html:
        """Write the results file atomically and return the provenance stamp.

        The file is `ECHOBOOK_RESULT`, or without it `_build/interactive/results/<slug>/seed-<n>.json`. Raises
        ReportError when a `public` or `paper` run did not record a metric that a finding or check names.
        """
        results = self.results()
        if self.profile in ("public", "paper"):
            self._check_complete(results)
        named = os.environ.get("ECHOBOOK_RESULT")
        interactive = self.root / "_build" / "interactive" / "results" / self.slug
        write_results(results, Path(named) if named else seed_file(interactive, self.seed))
        return display.stamp(results)

    def _check_complete(self, results: Results) -> None:
        for statement in self.claims.statements:
            missing = [name for name in statement.metrics if name not in results.metrics]
            if missing:
                raise ReportError(
                    f"{self.slug}, {statement.kind} {statement.id}: this run did not record "
                    f"{', '.join(missing)}"
                )
