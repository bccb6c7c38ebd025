"""Claims files: what parses, and how each mistake is named."""

import pytest

from echobook.report.claims import Test, load_claims, parse_claims
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


@pytest.mark.parametrize(
    ("reproduced", "not_reproduced", "used"),
    [("p_value", "low", True), ("low", "p_value", True), ("low", "high", False)],
)
def test_a_p_value_in_either_rule_is_noticed(reproduced, not_reproduced, used):
    test = one("metric: a, comparison: value").model_dump(by_alias=True)
    for field, quantity in (("reproduced", reproduced), ("not_reproduced", not_reproduced)):
        test[field] = {"any": [{"quantity": quantity, "is": "<", "value": 0.05}]}
    assert Test.model_validate(test).uses_p_value is used


def test_conditions_of_both_kinds_of_rule():
    rule = '{any: [{quantity: low, is: ">", value: 0}, {quantity: seeds, is: "==", value: 5}]}'
    found = one("metric: a, comparison: value", rule).reproduced.conditions
    assert [(each.quantity, each.relation, each.value) for each in found] == [
        ("low", ">", 0.0),
        ("seeds", "==", 5.0),
    ]


def test_intervals_that_fit_their_comparison():
    fields = "metric: a, against: b, comparison: difference, aggregate: median"
    found = one(f"{fields}, interval: {{method: bootstrap, over: groups, level: 0.9}}").interval
    assert (found.method, found.over, found.level) == ("bootstrap", "groups", 0.9)
    assert one("metric: [a, b], comparison: order").null == 0
    assert one("metric: a, against: b, comparison: equality, tolerance: 0").tolerance == 0


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
        ("metric: a, comparison: value, interval: {level: 0.5}", "interval.level: .*greater than 0.5"),
        ("metric: a, comparison: value, interval: {level: 1.0}", "interval.level: .*less than 1"),
        ("metric: a, comparison: value, tolerance: 1", "tolerance: expected for comparison"),
        ("metric: a, against: b, comparison: equality, tolerance: -1", "tolerance: .*greater than or equal"),
        ("metric: [a, b], against: c, comparison: order", "at least two metrics and no `against`"),
        ("metric: a, comparison: value, null_value: .nan", "null_value: .*finite"),
        ("metric: a, comparison: value, aggregate: best", "aggregate: .*found 'best'"),
        ("metric: a, comparison: value, p_value: {over: groups}", "p_value.over: .*found 'groups'"),
        (
            "metric: a, against: b, comparison: equality, tolerance: 1, "
            "interval: {method: bootstrap, over: groups}",
            "equality has intervals over seeds only",
        ),
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
        ('{all: [{quantity: low, is: ">", value: 0}], any: []}', "exactly one of `all` and `any`"),
        (
            '{all: [{quantity: low, is: ">", value: 0}], any: [{quantity: low, is: ">", value: 0}]}',
            "exactly one of `all` and `any`",
        ),
        ("{all: [{quantity: low, value: 0}]}", "is: Field required"),
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
        (
            "  statement: It scales",
            "  combine: {at_least: 0}\n  statement: It scales",
            "claim C2: combine.*greater than or equal to 1",
        ),
        ("- id: C2\n  statement", "- statement", r"claims\.1\.id: Field required"),
        ("provenance: read", "provenance: read, proof: none", "claim C1: printed.proof: Extra inputs"),
        (
            "against: score/old",
            "against: score/old\n    against: score/new",
            "line 10: 'against' appears twice",
        ),
        ("value: 2.0", "value: .nan", "claim C1: printed.value: .*finite"),
        ("claims:", "claims: [", "not a claims file"),
    ],
)
def test_mistake_in_a_file_is_named(claims_text, old, new, message):
    assert old in claims_text
    with pytest.raises(ClaimsError, match=message) as caught:
        parse_claims(claims_text.replace(old, new), "x.yml")
    assert str(caught.value).startswith("x.yml: ")


def test_tests_of_one_claim_have_names_of_their_own(claims_text):
    start, end = claims_text.index("  - name: gain"), claims_text.index("- id: C2")
    twice = claims_text[:end] + claims_text[start:end] + claims_text[end:]
    with pytest.raises(ClaimsError, match=r"claim C1: .*names appear twice in \['gain', 'gain'\]"):
        parse_claims(twice, "x.yml")
    second = claims_text[start:end].replace("name: gain", "name: again")
    both = claims_text[:end] + second + "  combine: {at_least: 2}\n" + claims_text[end:]
    claim = parse_claims(both, "x.yml").claim("C1")
    assert ([test.name for test in claim.tests], claim.combine.at_least) == (["gain", "again"], 2)


@pytest.mark.parametrize("text", ["", "- a", "words", "slug: a\nclaims: 3", "claims: [3]", "claims: {C1: x}"])
def test_text_of_another_form_is_refused_by_name(text):
    with pytest.raises(ClaimsError, match=r"^x\.yml: "):
        parse_claims(text, "x.yml")


def test_code_in_a_claims_file_is_not_run():
    with pytest.raises(ClaimsError, match=r"x\.yml: not a claims file: could not determine a constructor"):
        parse_claims("slug: !!python/object/apply:os.getcwd []", "x.yml")


def test_a_file_cut_short_is_refused_or_loses_whole_claims(claims_text):
    whole = parse_claims(claims_text, "x.yml")
    lines = claims_text.split("\n")
    kept = set()
    for count in range(len(lines)):
        try:
            found = parse_claims("\n".join(lines[:count]), "x.yml")
        except ClaimsError:
            continue
        assert found.claims == whole.claims[: len(found.claims)]
        kept.add(len(found.claims))
    assert kept == {1, 2}


def test_unknown_claim_lists_the_known_ones(claims_text):
    with pytest.raises(ClaimsError, match="no claim 'C9'; known: C1, C2"):
        parse_claims(claims_text, "x.yml").claim("C9")


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
