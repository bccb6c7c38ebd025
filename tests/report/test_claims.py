"""Claims files: what parses, and how each mistake is named."""

import pytest

from echobook.report.claims import load_claims, parse_claims
from echobook.report.errors import ClaimsError

TEST = """
slug: small-talk
paper: someone2020small
claims:
- id: C7
  statement: s
  anchor: a-c7
  printed: {{value: null, unit: u, text: t, source: s, provenance: read}}
  tests:
  - {{name: t, {fields}, reproduced: {rule}, not_reproduced: {{any: [{{quantity: low, is: "<", value: 0}}]}}}}
"""
RULE = '{all: [{quantity: low, is: ">", value: 0}]}'


def one(fields, rule=RULE):
    return parse_claims(TEST.format(fields=fields, rule=rule), "x.yml").claims[0].tests[0]


def test_defaults_and_fields(claims_text):
    claims = parse_claims(claims_text, "x.yml")
    first, second = claims.claims
    assert (first.combine, first.not_testable, second.not_testable) == (
        "all",
        None,
        "The live system is not public.",
    )
    assert first.printed.value == 2.0
    test = first.tests[0]
    assert (test.aggregate, test.interval.method, test.interval.over, test.interval.level) == (
        "mean",
        "t",
        "seeds",
        0.95,
    )
    assert test.metrics == ["score/new", "score/old"]
    assert [(c.quantity, c.relation, c.value) for c in test.reproduced.conditions] == [
        ("estimate", ">=", 0.02),
        ("low", ">", 0.0),
    ]
    assert not test.uses_p_value
    assert claims.claim("C2") is second


def test_null_values():
    assert one("metric: a, against: b, comparison: ratio").null == 1
    assert one("metric: a, against: b, comparison: difference").null == 0
    assert one("metric: a, comparison: value, null_value: 0.5").null == 0.5


def test_order_and_number_as_against():
    assert one("metric: [a, b, c], comparison: order").metrics == ["a", "b", "c"]
    assert one("metric: a, against: 0.5, comparison: difference").metrics == ["a"]


def test_p_value_is_noticed():
    assert one(
        "metric: a, comparison: value", '{any: [{quantity: p_value, is: "<", value: 0.05}]}'
    ).uses_p_value


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ("metric: A b, comparison: value", "metric.*String should match pattern"),
        ("metric: a, comparison: bigger", "comparison: .*found 'bigger'"),
        ("metric: a, comparison: order", "a list for comparison `order`"),
        ("metric: [a], comparison: order", "at least two metrics"),
        ("metric: [a, b], comparison: value", "a list for comparison `order`"),
        ("metric: a, comparison: difference", "against: expected for comparison difference"),
        ("metric: a, against: b, comparison: value", "against: not allowed for comparison value"),
        ("metric: a, against: b, comparison: equality", "tolerance: expected for comparison `equality`"),
        ("metric: a, against: b, comparison: ratio, tolerance: 1", "tolerance: expected for comparison"),
        ("metric: a, comparison: value, aggregate: median", "method t is for the mean, not the median"),
        ("metric: a, comparison: value, interval: {method: t, over: items}", "method t is over seeds"),
        ("metric: a, comparison: value, interval: {level: 95}", "interval.level: .*less than 1, found '95'"),
        ("metric: a, comparison: value, levle: 1", "levle: Extra inputs"),
        (
            "metric: [a, b], comparison: order, interval: {method: bootstrap, over: items}",
            "order has intervals over seeds only",
        ),
    ],
)
def test_mistake_in_a_test_names_file_claim_and_field(fields, message):
    with pytest.raises(ClaimsError, match=message) as caught:
        one(fields)
    assert str(caught.value).startswith("x.yml: claim C7: tests.0")


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ("{}", "exactly one of `all` and `any`"),
        ("{all: []}", "at least one condition"),
        ('{all: [{quantity: mean, is: ">", value: 0}]}', "quantity: .*found 'mean'"),
        ('{all: [{quantity: low, is: "=>", value: 0}]}', "is: .*found '=>'"),
        ('{all: [{quantity: low, is: ">", value: .nan}]}', "value: .*finite"),
        ('{all: [{quantity: low, is: ">", value: "0"}]}', "value: .*valid number"),
    ],
)
def test_mistake_in_a_rule_is_named(rule, message):
    with pytest.raises(ClaimsError, match=message):
        one("metric: a, comparison: value", rule)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("id: C2", "id: C1", "id appears twice"),
        ("small-talk-c2", "small-talk-c1", "anchor appears twice"),
        ("id: C2", "id: two", "claim two: id: String should match pattern"),
        (
            "not_testable: The live system is not public.",
            "combine: all",
            "claim C2: .*at least one, or a reason",
        ),
        ("provenance: recalled", "provenance: guessed", "claim C2: printed.provenance: .*found 'guessed'"),
        ("paper: someone2020small", "paper: 3", "paper: Input should be a valid string, found '3'"),
        ("paper: someone2020small", "slug: again", "'slug' appears twice"),
        (
            "  statement: It scales",
            "  combine: {at_least: 2}\n  statement: It scales",
            "at_least 2 of 0 tests",
        ),
        ("claims:", "claims: [", "not a claims file"),
    ],
)
def test_mistake_in_a_file_is_named(claims_text, old, new, message):
    assert old in claims_text
    with pytest.raises(ClaimsError, match=message) as caught:
        parse_claims(claims_text.replace(old, new), "x.yml")
    assert str(caught.value).startswith("x.yml: ")


def test_unknown_claim_lists_the_known_ones(claims_text):
    with pytest.raises(ClaimsError, match="no claim 'C9'; known: C1, C2"):
        parse_claims(claims_text, "x.yml").claim("C9")


def test_missing_and_misplaced_files(checkout):
    assert load_claims(checkout, "small-talk").paper == "someone2020small"
    with pytest.raises(ClaimsError, match=r"big-talk\.yml: no such file.*small-talk"):
        load_claims(checkout, "big-talk")
    path = checkout / "data" / "claims" / "small-talk.yml"
    path.rename(path.with_name("big-talk.yml"))
    with pytest.raises(ClaimsError, match=r"big-talk\.yml: slug: expected 'big-talk', found 'small-talk'"):
        load_claims(checkout, "big-talk")
