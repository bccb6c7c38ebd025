"""The plan of a chapter in words for the terminal, and as entries of its claims file."""

from collections.abc import Sequence

from echobook.report.claims import Claims
from echobook.report.claims_parts import FIRST_PILOT_SEED
from echobook.report.plan import POWER, TestPlan
from echobook.report.results import Results


def number(value: float | None) -> str:
    """Return three significant digits, without an exponent where they fit; a dash for none."""
    return "–" if value is None else f"{value:.3g}"


def minutes_of(results: Sequence[Results]) -> float:
    """Return the mean CPU minutes of one run, with those of kept results that it read."""
    return sum(result.cost.whole_cpu_seconds for result in results) / len(results) / 60


def _span(minutes: float) -> str:
    return f"{minutes:,.1f} CPU minutes" if minutes < 10 else f"{minutes:,.0f} CPU minutes"


def plan_line(plan: TestPlan, minutes: float) -> str:
    """Return what is known of a test and what it takes, in two lines."""
    unit = f" {plan.test.unit}" if plan.test.unit else ""
    now = f"{number(plan.estimate)} ± {number(plan.half_width)}{unit}, {plan.decision}"
    head = f"{plan.finding} {plan.test.name}: " + (now if plan.estimate is not None else "nothing known yet")
    effect = f"at an effect of {number(plan.effect.value)} ({plan.effect.source}): " if plan.effect else ""
    if plan.seeds is None:
        return f"{head}\n    {effect}{plan.reason}"
    return f"{head}\n    {effect}{plan.seeds} seeds, {_span(plan.seeds * minutes)}"


def plan_text(claims: Claims, plans: Sequence[TestPlan], results: Sequence[Results]) -> str:
    """Return the plans of all tests, with the runs behind them first and the number for all of them last."""
    minutes, count = minutes_of(results), len(results)
    kind = "pilot" if results[0].seed >= FIRST_PILOT_SEED else "recorded"
    first = (
        f"{claims.slug}: {count} {kind} run{'' if count == 1 else 's'} of profile {results[0].profile}, "
        f"{_span(minutes)} each; seeds for {POWER:.0%} power"
    )
    known = [plan.seeds for plan in plans if plan.seeds is not None]
    open_tests = sum(plan.decision == "undecided" for plan in plans)
    last = f"{len(plans)} test{'' if len(plans) == 1 else 's'}, {open_tests} undecided"
    if known:
        last += f"; {max(known)} seeds for all within reach, {_span(max(known) * minutes)}"
    return "\n".join([first, *(plan_line(plan, minutes) for plan in plans), last])


def plan_entries(plans: Sequence[TestPlan]) -> str:
    """Return the plans as entries of `plan.tests` in the claims file; tests without a plan are left out."""
    lines = ["  tests:"]
    for plan in plans:
        if plan.effect is None or plan.spread is None or plan.needed is None:
            continue
        seeds = "null" if plan.seeds is None else str(plan.seeds)
        error = "" if plan.item_error is None else f"item_error: {plan.item_error:.3g}, "
        lines.append(
            f"  - {{finding: {plan.finding}, test: {plan.test.name}, effect: {plan.effect.value:.4g}, "
            f"seed_spread: {plan.spread:.3g}, {error}seeds_needed: {seeds}, power: {POWER}}}"
        )
    return "\n".join(lines) if len(lines) > 1 else "  tests: []"
