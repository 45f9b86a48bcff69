"""What cannot be a rule is refused with a sentence beside the part that is to be changed, whatever was sent."""

from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gdp_core.segments.explaining import explain
from gdp_core.segments.facts import Facts, Surroundings
from gdp_core.segments.rules import LARGEST, BadRule, Rule, check, examine, read

from .lives import micros_of
from .rule_worlds import FEATURES
from .timelines import Happened, Somebody, timeline_of

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
AT = micros_of(NOW)


def inside(condition: object) -> dict[str, Any]:
    """A rule with a condition in the first place of a group in the second place."""
    return {"version": 1, "match": {"kind": "all", "of": [{"kind": "performed"}, {"kind": "any", "of": [condition]}]}}


def alone(condition: object) -> dict[str, Any]:
    return {"match": {"kind": "all", "of": [condition]}}


def person(**given: Any) -> dict[str, Any]:
    return {"kind": "person", "field": "plan", "op": "is", "values": ["x"]} | given


def performed(**given: Any) -> dict[str, Any]:
    return {"kind": "performed"} | given


def where(**given: Any) -> dict[str, Any]:
    return performed(event={"where": [{"field": "plan"} | given]})


def compared(op: str, *values: object) -> dict[str, Any]:
    return {"kind": "amount", "field": "size", "compared": {"op": op, "values": list(values)}}


NO_VALUE = "A value is a text, a number of at most 18 digits, or true or false."
HALF = "This text holds half a character: type it again."
NUL = "A text cannot hold a NUL character."


@pytest.mark.parametrize(
    ("condition", "field", "message"),
    [
        (person(values=["x" * 100_000]), "values.0", "A value is at most 1,000 characters long: make it shorter."),
        (person(field="x" * 100_000), "field", "This text is too long: make it shorter."),
        (person(values=["x"] * 1001), "values", "These are too many: leave some out."),
        (person(values=["a\0b"]), "values.0", NUL),
        (person(field="a\0b"), "field", NUL),
        (performed(event={"names": ["a\0b"]}), "event.names.0", NUL),
        (person(values=["\ud800"]), "values.0", HALF),
        (person(field="\ud800"), "field", HALF),
        (performed(event={"names": ["\udfff"]}), "event.names.0", HALF),
        (person(values=[10**30]), "values.0", NO_VALUE),
        (person(values=[float("nan")]), "values.0", NO_VALUE),
        (person(values=[float("inf")]), "values.0", NO_VALUE),
        (person(values=[None]), "values.0", NO_VALUE),
        (person(values=[["a"]]), "values.0", NO_VALUE),
        (person(values=[]), "values", "The condition on plan needs a value to compare with."),
        (person(values="abc"), "values", "This must be a list."),
        (person(op="matches", values=["(("]), "values", "The regular expression for plan cannot be read: missing )"),
        (person(op="matches", values=["((a{1,1000}){1,1000})"]), "values", "The regular expression for plan cannot"),
        (person(op="matches", values=["(?=a)"]), "values", "The regular expression for plan cannot be read: invalid"),
        (person(op="between", values=[5, 1]), "values", "Give the lower number first."),
        (person(op="between", values=["a", "b"]), "values", "Give two numbers, the lower one first."),
        (person(op="gt", values=["a"]), "values", "The condition on plan needs a number, and only one."),
        (person(op="nope"), "op", "This is none of the choices there are: choose another."),
        (person(op="before"), "day", "Choose a day."),
        (person(op="within_last"), "length", "Say how long, like 7d."),
        ({"kind": "nope"}, "", "There is no condition of this kind."),
        ({"kind": ["person"]}, "", "There is no condition of this kind."),
        ({}, "", "Say of which kind this condition is."),
        (5, "", "This must be an object."),
        (performed(foo=1), "foo", "There is no such field here."),
        (performed(event={"foo": 1}), "event.foo", "There is no such field here."),
        (performed(event="signup"), "event", "This must be an object."),
        (performed(event={"names": ["a"] * 51}), "event.names", "These are too many: leave some out."),
        (where(comparison="gt", values=["a"]), "event.where.0.values", "The condition on plan needs a number"),
        (where(comparison="matches", values=["["]), "event.where.0.values", "The regular expression for plan"),
        (where(field="person.plan"), "event.where.0.field", "A field of the person is a condition of its own"),
        (where(field=""), "event.where.0.field", "Fill this in: it is empty."),
        (where(field="properties."), "event.where.0.field", "A condition needs the name of a field."),
        (performed(when={"last": "abc"}), "when.last", "'abc' is no window; write a number and s, min, h"),
        (performed(when={"last": "0d"}), "when.last", "A window needs a length of at least 1"),
        (performed(when={"last": "999999999mo"}), "when.last", "A window can be ten years long at most."),
        (performed(when={"last": "1d", "ago": "2d"}), "when.ago", "The window begins after it ends"),
        (performed(when={"since": "2026-02-30"}), "when.since", "Write a day like 2026-01-31."),
        (performed(when={"since": "0001-01-01"}), "when.since", "Choose a day between 1990 and 9000."),
        (performed(when={"since": "2026-02-02", "until": "2026-02-01"}), "when.until", "The last day is before"),
        (performed(when={"during": "3d"}), "when.after", "Say after which instant of the person this time runs."),
        (performed(times=-1), "times", "This must be 0 or more."),
        (performed(times=10**40), "times", "This must be 1,000,000 or less."),
        (performed(times="x"), "times", "This must be a whole number."),
        (performed(times=float("nan")), "times", "This must be a number."),
        (performed(how="often"), "how", "This is none of the choices there are: choose another."),
        (compared("gte", float("nan")), "compared.values.0", "This must be a number."),
        (compared("gte", 10**30), "compared.values.0", "This must be 1e+18 or less."),
        (compared("gte", 1, 2), "compared.values", "Give one number."),
        (compared("between", 2, 1), "compared.values", "Give the lower number first."),
        ({"kind": "feature"}, "feature", "This is needed."),
        ({"kind": "feature", "feature": ""}, "feature", "Fill this in: it is empty."),
        ({"kind": "feature", "feature": "a", "op": "between", "other": "b"}, "op", "Compare with another feature by"),
        ({"kind": "cohort"}, "", "Choose the first or last day of signing up, or a source."),
        ({"kind": "subscription"}, "", "Choose a status, a plan, an MRR"),
        ({"kind": "subscription", "started": "within_last"}, "length", "Say how long, like 7d."),
        ({"kind": "random", "low": 50, "high": 10}, "high", "The share ends before it begins"),
        ({"kind": "random", "high": 101}, "high", "This must be 100 or less."),
        ({"kind": "deal", "stages": []}, "stages", "Add something here: it is empty."),
        ({"kind": "deal", "stages": ["a"], "least": "3d", "most": "1d"}, "most", "At most so long must not be shorter"),
        ({"kind": "not_since", "ago": "3d", "within": "1d"}, "within", "At most so long ago must not be shorter"),
        ({"kind": "regularly", "of": 2, "at_least": 3}, "at_least", "So many periods are more than there are"),
        ({"kind": "regularly", "of": 300, "period": "1mo"}, "of", "These periods are too long together."),
        ({"kind": "any", "of": []}, "of", "Add a condition to this group, or remove it."),
        ({"kind": "any", "of": "abc"}, "of", "This must be a list."),
    ],
)
def test_a_bad_condition_is_told_at_its_place(condition: object, field: str, message: str) -> None:
    found, problems = examine(inside(condition))
    assert found is None
    assert [(one.path, one.field) for one in problems] == [((1, 0), field)]
    assert problems[0].message.startswith(message)
    with pytest.raises(BadRule, match=r"^Condition 2\.1: ") as caught:
        read(inside(condition))
    assert caught.value.problems == problems


def deep(groups: int) -> dict[str, Any]:
    node: dict[str, Any] = {"kind": "performed"}
    for _ in range(groups):
        node = {"kind": "all", "of": [node]}
    return {"match": node}


MANY = {"match": {"kind": "all", "of": [{"kind": "performed"}] * 101}}
LARGE = {"match": {"kind": "all", "of": [person(values=["x" * 999] * 300)]}}


@pytest.mark.parametrize(
    ("given", "path", "field", "message"),
    [
        (deep(9), (0,) * 8, "", "Groups can be at most 8 deep: take this one out of another."),
        (deep(3000), (0,) * 8, "", "Groups can be at most 8 deep: take this one out of another."),
        (MANY, (), "", "A rule has at most 100 conditions, and this one 101: split it into segments."),
        (LARGE, (), "", "A rule is at most 256 kB of JSON: make it shorter."),
        ("x" * 300_000, (), "", "A rule is at most 256 kB of JSON: make it shorter."),
        ({"match": {"kind": "all", "of": []}}, (), "of", "Add a condition: a rule without one means nobody"),
        ({"match": {"kind": "all", "of": 5}}, (), "of", "Add a condition: a rule without one means nobody"),
        ({"match": {"kind": "performed", "of": [{"kind": "performed"}]}}, (), "kind", "A rule begins with a group"),
        (
            {"match": {"kind": "all", "of": [{"kind": "performed"}]}, "foo": 1},
            (),
            "foo",
            "There is no such field here.",
        ),
        ({"version": 2, "match": {}}, (), "version", "This release reads rules of version 1."),
        ({}, (), "", "A rule is an object like"),
        ([], (), "", "A rule is an object like"),
        (None, (), "", "A rule is an object like"),
        ("{", (), "", "This is no JSON: "),
        (b"\xff", (), "", "This is no JSON: "),
        ('{"match": {"kind": "all", "of": [{"kind": "person", "field": "\\ud800"}]}}', (), "", "This is no JSON: "),
        ("[" * 3000 + "]" * 3000, (), "", "This is no JSON: "),
    ],
    ids=range(17),
)
def test_a_bad_rule_is_told(given: object, path: tuple[int, ...], field: str, message: str) -> None:
    found, problems = examine(given)
    assert found is None
    assert (problems[0].path, problems[0].field) == (path, field)
    assert problems[0].message.startswith(message)


def test_eight_groups_and_a_hundred_conditions_are_a_rule() -> None:
    assert len(list(read(deep(8)).conditions())) == 1
    assert len(list(read({"match": {"kind": "all", "of": [{"kind": "performed"}] * 100}}).conditions())) == 100


def test_everything_that_is_wrong_is_told_at_once() -> None:
    _, problems = examine(
        {"match": {"kind": "all", "of": [performed(times=-1), {"kind": "any", "of": [{"kind": "x"}]}]}}
    )
    assert [(one.path, one.field) for one in problems] == [((0,), "times"), ((1, 0), "")]


ANYTHING = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=5)
    | st.sampled_from(["performed", "1d"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["kind", "of", "event", "when", "values", "field", "op"]), inner, max_size=4)
    ),
    max_leaves=8,
)


@settings(max_examples=300)
@given(ANYTHING | ANYTHING.map(inside) | ANYTHING.map(lambda given: inside(person(values=given))))
def test_whatever_is_sent_is_a_rule_or_is_told_what_is_wrong(given: object) -> None:
    found, problems = examine(given)
    assert (found is None) == bool(problems)
    for one in problems:
        assert one.message.endswith((".", ")"))
    if found:
        assert read(found.json_text) == found


def test_a_value_keeps_its_type_through_json() -> None:
    values = ["10", 10, 10.0, 10.5, True, False, "true", "1", 1, "yes", "", " "]
    rule = read(inside(person(values=values)))
    for again in (rule, read(rule.json_text), read(rule.plain)):
        kept = list(again.conditions())[1][1].values
        assert [(type(one), one) for one in kept] == [(type(one), one) for one in values]
        assert again.json_text == rule.json_text
    assert len(rule.json_text) < LARGEST


# ---------------------------------------------------------------------------------- what a rule names and is not there

HERE = Surroundings(ZoneInfo("UTC"), features=FEATURES)


def named(**condition: Any) -> Rule:
    return read(inside(condition))


@pytest.mark.parametrize(
    ("rule", "field", "message"),
    [
        (named(kind="feature", feature="gone"), "feature", "There is no feature 'gone' any more: choose another."),
        (
            named(kind="feature", feature="visits", other="gone", op="gt"),
            "other",
            "There is no feature 'gone' any more",
        ),
        (named(kind="list", people="gone"), "people", "This list was deleted: choose another."),
        (named(kind="segment", segment="gone"), "segment", "This segment was deleted: choose another."),
    ],
)
def test_what_is_gone_is_told_at_its_field(rule: Rule, field: str, message: str) -> None:
    (problem,) = check(rule, HERE)
    assert (problem.path, problem.field) == ((1, 0), field)
    assert problem.message.startswith(message)


def test_a_segment_cannot_be_made_of_itself() -> None:
    rules = {"a": named(kind="segment", segment="b"), "b": named(kind="segment", segment="c"), "c": read(deep(1))}
    here = Surroundings(ZoneInfo("UTC"), rules=rules)
    for leading_back in ("a", "b", "c"):
        (problem,) = check(named(kind="segment", segment=leading_back), here, own="c")
        assert (problem.path, problem.field) == ((1, 0), "segment")
        assert problem.message == "A segment cannot be made of itself: choose another."
    assert check(named(kind="segment", segment="c"), here, own="a") == ()


def test_a_cycle_that_was_saved_all_the_same_is_told() -> None:
    rules = {"a": named(kind="segment", segment="b"), "b": named(kind="segment", segment="a")}
    facts = Facts(timeline_of([Somebody([])]), AT, Surroundings(ZoneInfo("UTC"), rules=rules))
    with pytest.raises(Exception, match="This segment is made of itself: take that condition out") as caught:
        facts.belongs("a")
    assert caught.typename == "InvalidInput"


def test_a_long_chain_of_segments_is_followed_to_its_end() -> None:
    last = {"kind": "performed", "event": {"names": ["buy"]}, "when": {"last": "7d"}}
    timeline = timeline_of([Somebody([Happened(AT - 1, "buy")]), Somebody([])])
    rule = read(alone({"kind": "segment", "segment": "0"}))
    rules = {str(link): read(alone({"kind": "segment", "segment": str(link + 1)})) for link in range(400)}
    here = Surroundings(ZoneInfo("UTC"), rules=rules | {"400": read(alone(last))})
    assert rule.holds(Facts(timeline, AT, here)).tolist() == [True, False]
    assert explain(timeline, rule, here, 10, NOW).turns_at == AT + 7 * 86_400_000_000


# ------------------------------------------------------------------------------------------------------ hostile data

HOSTILE = (
    *(2**61, -(2**61), 10**15, -1, 1e300, -1e300, 0.1, "9" * 400, "1e999", "\u0000", "\U0001f600", "a" * 100_000),
    *("9999-12-31T23:59:59Z", "0001-01-01", "2026-02-30", "[", "[[]]", '["a", {"b": 1}, null]', "{}", True, ""),
)


@pytest.mark.parametrize("value", HOSTILE, ids=range(len(HOSTILE)))
def test_no_value_of_a_field_breaks_a_condition(value: Any) -> None:
    who = Somebody(
        [
            Happened(AT - 5, "buy", dict.fromkeys(["plan", "size", "order", "stage", "deal_id", "channel"], value)),
            Happened(AT - 4, "deal_stage_changed", {"stage": value, "deal_id": value}),
            Happened(AT - 3, "consent_changed", {"channel": "email", "state": value}),
        ],
        dict.fromkeys(["plan", "signup_at", "birthday", "mrr_micros", "subscription_started_at", "source"], value),
    )
    timeline = timeline_of([Somebody([]), who], shards=2)
    asked = [
        *(person(field="plan", op=op) for op in ("is", "contains", "matches", "includes", "is_not", "not_set")),
        *(person(field="plan", op=op, values=[1]) for op in ("gt", "lte")),
        person(op="between", values=[0, 10]),
        *(person(field="birthday", op=op, length="3660d") for op in ("within_last", "longer_ago", "within_next")),
        person(field="birthday", op="further_ahead", length="1s"),
        person(field="birthday", op="anniversary"),
        person(field="birthday", op="before", day="9000-12-31"),
        *({"kind": "amount", "field": "size", "by": by} for by in ("sum", "average", "min", "max", "distinct")),
        where(comparison="is", values=["x"]),
        performed(when={"after": "signup_at", "during": "3660d"}),
        {"kind": "feature", "feature": "since_signup"},
        {"kind": "feature", "feature": "sizes", "other": "plans", "op": "gt"},
        {"kind": "subscription", "started": "longer_ago", "length": "1d"},
        {"kind": "cohort", "since": "1990-01-01", "sources": ["x"]},
        {"kind": "deal", "stages": ["x"], "least": "1s"},
        {"kind": "consent"},
        {"kind": "sequence", "same": "order", "when": {"after": "birthday"}},
    ]
    for condition in asked:
        rule = read({"match": {"kind": "any", "of": [condition]}})
        member = bool(rule.holds(Facts(timeline, AT, HERE))[np.searchsorted(timeline.numbers, 11)])
        why = explain(timeline, rule, HERE, 11, NOW)
        assert why.belongs == member
        assert why.parts[1].evidence is not None
