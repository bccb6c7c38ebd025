"""Claims files: what parses, and how each mistake is named."""

import pytest
import yaml

from echobook.report.claims import load_claims, parse_claims
from echobook.report.errors import ClaimsError


def changed(text, change):
    """The claims file after `change` was applied to its plain form."""
    plain = yaml.safe_load(text)
    change(plain)
    return parse_claims(yaml.safe_dump(plain), "x.yml")


def one(text, **fields):
    """The test of finding C1 with other fields; None takes a field out."""

    def change(plain):
        test = plain["findings"][0]["tests"][0]
        test.update(fields)
        for name in [name for name, value in fields.items() if value is None]:
            del test[name]

    return changed(text, change).findings[0].tests[0]


def check(text, **fields):
    """The test of check K1 with other fields; None takes a field out."""

    def change(plain):
        test = plain["checks"][0]["tests"][0]
        test.update({name.rstrip("_"): value for name, value in fields.items()})
        for name in [name for name, value in test.items() if value is None]:
            del test[name]

    return changed(text, change).checks[0].tests[0]


def test_fields_of_a_whole_file(claims_text):
    claims = parse_claims(claims_text, "x.yml")
    first, second = claims.findings
    assert (first.combine, first.origin, first.stands_on, first.not_testable) == ("all", "paper", [], None)
    assert second.not_testable == "The live system is not public."
    assert (first.printed.value, second.printed.value) == (2.0, None)
    [test] = first.tests
    assert (test.direction, test.bound, test.smallest_effect, test.paper_effect) == ("above", 0, 0.02, 0.04)
    assert (test.aggregate, test.words, test.unit) == ("mean", "gain over the old way", "points")
    assert (test.resampling.unit, test.resampling.seeds, test.resampling.level) == ("seeds", None, 0.95)
    assert test.metrics == first.metrics == ["score/new", "score/old"]
    assert claims.checks[0].tests[0].limit == ("<=", 1.0)
    assert [part.status for part in claims.coverage] == ["done", "absent"]
    assert (claims.fidelity.model.grade, claims.fidelity.details.words) == ("smaller", "not told")
    assert (claims.plan.seeds, claims.plan.minutes, claims.plan.pilot_seeds) == (3, 0.5, [1000, 1001])
    assert (claims.plan.tests[0].power, claims.plan.tests[0].item_error) == (0.8, None)
    assert claims.touched_after_results == []


def test_findings_and_checks_by_id(claims_text):
    claims = parse_claims(claims_text, "x.yml")
    assert claims.finding("C2") is claims.findings[1]
    assert claims.check("K1") is claims.checks[0]
    assert [one.id for one in claims.statements] == ["C1", "C2", "K1"]
    with pytest.raises(ClaimsError, match="small-talk: no finding 'K1'; known: C1, C2"):
        claims.finding("K1")
    with pytest.raises(ClaimsError, match="small-talk: no check 'C9'; known: K1"):
        claims.check("C9")
    with pytest.raises(ClaimsError, match="no check 'K1'; known: none"):
        changed(claims_text, lambda plain: plain.update(checks=[])).check("K1")


def test_metrics_are_listed_once_and_only_where_they_are_needed(claims_text):
    def change(plain):
        first, second = plain["findings"]
        second["tests"] = first["tests"]
        first["tests"].append({**first["tests"][0], "name": "again", "against": 0.5})
        first["tests"].append({**first["tests"][0], "name": "other", "metric": "score/other"})

    first, second = changed(claims_text, change).findings
    assert first.metrics == ["score/new", "score/old", "score/other"]
    assert (len(second.tests), second.metrics) == (3, [])  # not testable: nothing is needed


def test_no_worse_than_and_within(claims_text):
    equal = one(claims_text, bound=-0.01, smallest_effect=-0.01)
    assert (equal.bound, equal.smallest_effect) == (-0.01, -0.01)
    below = one(claims_text, direction="below", bound=0, smallest_effect=-0.5)
    assert below.smallest_effect == -0.5
    inside = one(claims_text, direction="within", bound=[-0.1, 0.1], smallest_effect=None)
    assert (inside.bound, inside.smallest_effect) == ([-0.1, 0.1], None)


def test_null_of_each_comparison(claims_text):
    assert one(claims_text).null == 0
    assert one(claims_text, comparison="relative_change").null == 0
    assert one(claims_text, comparison="ratio").null == 1


def test_order_number_as_against_and_one_arm(claims_text):
    assert one(claims_text, comparison="order", metric=["a", "b", "c"], against=None).metrics == [
        "a",
        "b",
        "c",
    ]
    alone = one(claims_text, against=0.5, differs=None, otherwise=None)
    assert (alone.metrics, alone.against, alone.differs) == (["score/new"], 0.5, "")
    assert one(claims_text, comparison="value", against=None).against is None


@pytest.mark.parametrize("unit", ["items", "groups"])
@pytest.mark.parametrize("seeds", ["crossed", "nested"])
def test_resampling_of_items(claims_text, unit, seeds):
    found = one(claims_text, resampling={"unit": unit, "seeds": seeds, "level": 0.9}).resampling
    assert (found.unit, found.seeds, found.level) == (unit, seeds, 0.9)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"direction": None}, "direction: expected above, below or within beside the bound, found none"),
        ({"direction": "up"}, "direction: .*found 'up'"),
        ({"bound": None}, "bound: Field required"),
        ({"bound": [0, 1]}, r"bound: expected one number for direction above, found \[0.0, 1.0\]"),
        ({"bound": "0"}, "bound"),
        (
            {"direction": "within"},
            r"bound: expected \[low, high\] for direction within, found 0.0",
        ),
        ({"direction": "within", "bound": [0.0, 0.1]}, "smallest_effect: not allowed for direction within"),
        (
            {"direction": "within", "bound": [0.1, 0.1], "smallest_effect": None},
            "bound: expected the lower number first",
        ),
        ({"direction": "within", "bound": [0.0, 0.1, 0.2], "smallest_effect": None}, "bound"),
        ({"smallest_effect": None}, "smallest_effect: expected a number for direction above"),
        (
            {"smallest_effect": -0.01},
            "smallest_effect: -0.01 is on the wrong side of the bound 0.0; expected it above",
        ),
        (
            {"direction": "below"},
            "smallest_effect: 0.02 is on the wrong side of the bound 0.0; expected it below",
        ),
        ({"smallest_effect": float("nan")}, "smallest_effect.*finite"),
        ({"metric": "A b"}, "metric.*String should match pattern"),
        ({"comparison": "bigger"}, "comparison: .*found 'bigger'"),
        ({"comparison": "equality"}, "comparison: .*found 'equality'"),
        ({"comparison": "order"}, "metric: expected a list for comparison order"),
        ({"comparison": "order", "metric": ["a"], "against": None}, "metric: expected at least two"),
        ({"comparison": "order", "metric": ["a", "b"]}, "metric: .*no `against`"),
        ({"metric": ["a", "b"], "against": None}, "metric: expected a list for comparison order, one name"),
        ({"against": None}, "against: expected for comparison difference"),
        ({"comparison": "value"}, "against: not allowed for comparison value"),
        (
            {"comparison": "ratio", "against": 0},
            "against: expected a number other than 0 for comparison ratio",
        ),
        ({"comparison": "relative_change", "against": 0.0}, "against: expected a number other than 0"),
        ({"words": " "}, "words: "),
        (
            {"words": "score/new"},
            "words: expected what readers understand, found a metric's name 'score/new'",
        ),
        ({"words": None}, "words: Field required"),
        ({"unit": None}, "unit: Field required"),
        ({"differs": None}, "differs: expected a sentence, as two metrics are compared"),
        ({"otherwise": " "}, "otherwise: expected a sentence"),
        ({"aggregate": "min"}, "aggregate: .*found 'min'"),
        ({"resampling": None}, "resampling: Field required"),
        ({"resampling": {"unit": "words"}}, "resampling.unit: .*found 'words'"),
        ({"resampling": {"unit": "items"}}, "seeds: expected crossed or nested for unit items, found none"),
        ({"resampling": {"unit": "groups"}}, "seeds: expected crossed or nested for unit groups"),
        ({"resampling": {"unit": "seeds", "seeds": "nested"}}, "seeds: not allowed for unit seeds"),
        ({"resampling": {"unit": "seeds", "level": 95}}, "resampling.level: .*less than 1, found '95'"),
        ({"resampling": {"unit": "seeds", "level": 0.5}}, "resampling.level: .*greater than 0.5"),
        ({"resampling": {"unit": "seeds", "level": 1.0}}, "resampling.level: .*less than 1"),
        (
            {"aggregate": "median", "resampling": {"unit": "items", "seeds": "nested"}},
            "aggregate: expected mean for unit items",
        ),
        (
            {
                "comparison": "order",
                "metric": ["a", "b"],
                "against": None,
                "resampling": {"unit": "groups", "seeds": "crossed"},
            },
            "resampling: order is over seeds",
        ),
        ({"reproduced": {}}, "reproduced: Extra inputs"),
        ({"levle": 1}, "levle: Extra inputs"),
    ],
)
def test_mistake_in_a_test_names_file_finding_test_and_field(claims_text, fields, message):
    with pytest.raises(ClaimsError, match=message) as caught:
        one(claims_text, **fields)
    assert str(caught.value).startswith("x.yml: finding C1: test gain: ")


@pytest.mark.parametrize("relation", ["<", "<=", ">", ">=", "=="])
def test_limits_of_checks(claims_text, relation):
    assert check(claims_text, is_=relation, value=0.5).limit == (relation, 0.5)
    equal = {"comparison": "equality", "against": 0.5, "is_": None, "value": None}
    assert check(claims_text, **equal, tolerance=0).limit == ("<=", 0.0)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"tolerance": 0.1}, "tolerance: only for comparison equality, not for comparison value"),
        ({"comparison": "difference", "against": 1, "tolerance": 0.1}, "tolerance: only for .* difference"),
        (
            {"comparison": "equality", "against": 1, "is_": None, "value": None},
            "tolerance: expected for comparison equality",
        ),
        ({"comparison": "equality", "against": 1, "tolerance": 0.1}, "is: not allowed beside a tolerance"),
        (
            {"comparison": "equality", "against": 1, "tolerance": 0.1, "is_": None},
            "value: not allowed beside a tolerance",
        ),
        (
            {"comparison": "equality", "against": 1, "tolerance": -1, "is_": None, "value": None},
            "tolerance: .*greater than or equal",
        ),
        ({"is_": None}, "is: expected for comparison value"),
        ({"value": None}, "value: expected for comparison value"),
        ({"is_": "=>"}, "is: .*found '=>'"),
        ({"comparison": "equality"}, "against: expected for comparison equality"),
        ({"comparison": "order", "metric": ["a", "b"]}, "comparison: .*found 'order'"),
        ({"direction": "above"}, "direction: Extra inputs"),
    ],
)
def test_mistake_in_a_check_names_file_check_test_and_field(claims_text, fields, message):
    with pytest.raises(ClaimsError, match=message) as caught:
        check(claims_text, **fields)
    assert str(caught.value).startswith("x.yml: check K1: test at-most-one: ")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("id: C2", "id: C1", "id appears twice"),
        ("id: K1", "id: C1", r"id appears twice in \['C1', 'C2', 'C1'\]"),
        ("small-talk-c2", "small-talk-c1", "anchor appears twice"),
        ("id: C2", "id: two", "finding two: id: String should match pattern"),
        ("not_testable: The live system is not public.", "combine: all", "finding C2: .*at least one, or a"),
        (
            "  tests:\n  - {name: at",
            "  tests: []\n  more:\n  - {name: at",
            "check K1: tests: .*at least 1 item",
        ),
        ("provenance: recalled", "provenance: guessed", "finding C2: printed.provenance: .*found 'guessed'"),
        ("paper: someone2020small", "paper: 3", "paper: Input should be a valid string, found '3'"),
        ("paper: someone2020small", "slug: again", "'slug' appears twice"),
        ("- id: C2\n  statement", "- statement", r"findings\.1\.id: Field required"),
        ("origin: paper", "origin: theirs", "finding C1: origin: .*found 'theirs'"),
        ("  origin: paper\n", "", "finding C1: origin: Field required"),
        ("  origin: paper\n", "  origin: paper\n  combine: worst\n", "finding C1: combine: .*found 'worst'"),
        (
            "  origin: paper\n",
            "  origin: paper\n  stands_on: [gian]\n",
            "finding C1: stands_on: no test 'gian'; known: gain",
        ),
        (
            "  origin: paper\n",
            "  origin: paper\n  combine: any\n  stands_on: [gain]\n",
            "stands_on: not allowed beside combine any",
        ),
        ("provenance: read", "provenance: read, proof: none", "finding C1: printed.proof: Extra inputs"),
        ("against: score/old", "against: score/old\n    against: a", "'against' appears twice"),
        ("value: 2.0", "value: .nan", "finding C1: printed.value: .*finite"),
        ("findings:", "findings: [", "not a claims file"),
        ("  details: {grade: inferred, words: not told}\n", "", "fidelity.details: Field required"),
        ("grade: smaller", "grade: tiny", "fidelity.model.grade: .*found 'tiny'"),
        ("words: a tenth", "words: ''", "fidelity.model.words"),
        (", why: not public", "", "coverage.1: .*why: expected a reason, as the status is absent"),
        ("status: done", "status: finished", "coverage.0.status: .*found 'finished'"),
        ("kind: baseline", "kind: rival", "coverage.1.kind: .*found 'rival'"),
        ("[1000, 1001]", "[0, 1]", "plan.pilot_seeds.0: .*greater than or equal to 1000, found '0'"),
        ("  seeds: 3\n", "  seeds: 0\n", "plan.seeds: .*greater than or equal to 1"),
        ("minutes: 0.5", "minutes: 0", "plan.minutes: .*greater than 0"),
        ("profile: public", "profile: smoke", "plan.profile: .*found 'smoke'"),
        ("test: gain", "test: gian", "plan.tests: finding C1 has no test 'gian'; known: gain"),
        ("finding: C1", "finding: C3", "plan.tests: finding C3 has no test 'gain'; known: none"),
        ("finding: C1", "finding: C2", "plan.tests: finding C2 has no test 'gain'; known: none"),
        ("touched_after_results: []", "", "touched_after_results: Field required"),
        (
            "touched_after_results: []",
            "touched_after_results:\n- {what: a, when: soon, why: b}",
            r"touched_after_results\.0\.when: .*found 'soon'",
        ),
    ],
)
def test_mistake_in_a_file_is_named(claims_text, old, new, message):
    assert old in claims_text
    with pytest.raises(ClaimsError, match=message) as caught:
        parse_claims(claims_text.replace(old, new, 1), "x.yml")
    assert str(caught.value).startswith("x.yml: ")


def test_dates_and_small_numbers_are_read_as_written(claims_text):
    text = claims_text.replace(
        "touched_after_results: []", "touched_after_results:\n- {what: a, when: 2026-11-29, why: b}"
    ).replace("bound: 0\n", "bound: 1e-6\n")
    claims = parse_claims(text, "x.yml")
    assert (claims.touched_after_results[0].when, claims.findings[0].tests[0].bound) == ("2026-11-29", 1e-6)


OLD = """
slug: small-talk
paper: someone2020small
claims:
- id: C1
  statement: s
"""


def test_the_old_form_is_named_with_the_way_out():
    with pytest.raises(
        ClaimsError, match=r"^x\.yml: this is the old form.*`findings:` and `checks:`"
    ) as caught:
        parse_claims(OLD, "x.yml")
    assert "'From the old form' in book/claims-format.md" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_several_mistakes_are_each_named(claims_text):
    text = claims_text.replace("unit: points\n    direction", "unti: points\n    direction")
    with pytest.raises(ClaimsError) as caught:
        parse_claims(text.replace("id: K1", "id: key"), "x.yml")
    assert str(caught.value).count("finding C1: test gain: ") == 2  # unit is missing, unti is unknown
    assert "; check key: id: " in str(caught.value)


def test_tests_of_one_finding_have_names_of_their_own(claims_text):
    def twice(plain, kind):
        plain[kind][0]["tests"] *= 2

    with pytest.raises(ClaimsError, match=r"finding C1: .*names appear twice in \['gain', 'gain'\]"):
        changed(claims_text, lambda plain: twice(plain, "findings"))
    with pytest.raises(ClaimsError, match=r"check K1: .*names appear twice in \['at-most-one', 'at-most"):
        changed(claims_text, lambda plain: twice(plain, "checks"))


@pytest.mark.parametrize(
    "text", ["", "- a", "words", "slug: a\nfindings: 3", "findings: [3]", "findings: {C1: x}", "claims: 3"]
)
def test_text_of_another_form_is_refused_by_name(text):
    with pytest.raises(ClaimsError, match=r"^x\.yml: "):
        parse_claims(text, "x.yml")


def test_code_in_a_claims_file_is_not_run():
    with pytest.raises(ClaimsError, match=r"x\.yml: not a claims file: could not determine a constructor"):
        parse_claims("slug: !!python/object/apply:os.getcwd []", "x.yml")


def test_a_file_cut_short_is_refused(claims_text):
    lines = claims_text.rstrip().split("\n")
    for count in range(len(lines)):
        with pytest.raises(ClaimsError, match=r"^x\.yml: "):
            parse_claims("\n".join(lines[:count]), "x.yml")


def test_missing_and_misplaced_files(checkout):
    assert load_claims(checkout, "small-talk").paper == "someone2020small"
    folder = checkout / "data" / "claims"
    for other in ("zebra", "ant", "mule", "bee"):
        (folder / f"{other}.yml").write_text("", encoding="utf-8")
    with pytest.raises(
        ClaimsError, match=r"big-talk\.yml: no such file.*claims: ant, bee, mule, small-talk, zebra\)"
    ):
        load_claims(checkout, "big-talk")
    with pytest.raises(ClaimsError, match=r"ant\.yml: "):
        load_claims(checkout, "ant")
    for path in folder.glob("*.yml"):
        if path.stem != "small-talk":
            path.unlink()
    path = checkout / "data" / "claims" / "small-talk.yml"
    path.rename(path.with_name("big-talk.yml"))
    with pytest.raises(ClaimsError, match=r"big-talk\.yml: slug: expected 'big-talk', found 'small-talk'"):
        load_claims(checkout, "big-talk")
