"""The repository's own claims files: each one parses, and its records answer every test, within seconds."""

import time
from pathlib import Path

import pytest

from echobook.pipeline.parameters import read_profile
from echobook.pipeline.project import Project
from echobook.report.claims import load_claims
from echobook.report.claims_parts import FIRST_PILOT_SEED
from echobook.report.records import load_recorded
from echobook.report.verdicts import judge_checks, judge_findings

ROOT = Path(__file__).parents[2]
SLUGS = sorted(path.stem for path in (ROOT / "data" / "claims").glob("*.yml"))


@pytest.mark.parametrize("slug", SLUGS)
def test_records_answer_every_test(slug):
    claims, recorded = load_claims(ROOT, slug), load_recorded(ROOT, slug)
    outcomes = judge_findings(claims, recorded)
    assert [outcome.finding.id for outcome in outcomes] == [finding.id for finding in claims.findings]
    assert [outcome.check.id for outcome in judge_checks(claims, recorded)] == [
        check.id for check in claims.checks
    ]
    assert all(run.seed < FIRST_PILOT_SEED for run in recorded)
    for outcome in outcomes:
        wanted = 0 if outcome.finding.not_testable or not recorded else len(outcome.finding.tests)
        assert len(outcome.tests) == wanted


def test_all_chapters_are_judged_within_seconds():
    chapters = [(load_claims(ROOT, slug), load_recorded(ROOT, slug)) for slug in SLUGS]
    start = time.process_time()
    for claims, recorded in chapters:
        judge_findings(claims, recorded), judge_checks(claims, recorded)
    assert time.process_time() - start < 5  # CPU seconds; about a tenth of one as measured


@pytest.mark.parametrize("slug", SLUGS)
def test_the_plan_and_the_parameters_name_the_same_seeds(slug):
    plan, project = load_claims(ROOT, slug).plan, Project.at(ROOT)
    seeds = read_profile(project, slug, plan.profile).seeds
    assert (len(seeds), len(set(seeds))) == (plan.seeds, plan.seeds)
    assert max(seeds) < FIRST_PILOT_SEED
    assert {run.seed for run in load_recorded(ROOT, slug)} <= set(seeds)
