"""Rules of other systems: what their documents show is read, means what it says there, and what cannot be meant is said."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import orjson
import pytest

from gdp_core.features import FEATURES
from gdp_core.segments.facts import Facts, Surroundings
from gdp_core.segments.importing import read_any
from gdp_core.segments.rules import BadRule, check, read

from .lives import micros_of
from .timelines import Happened, Somebody, timeline_of

AT = micros_of(datetime(2026, 3, 1, 12, tzinfo=UTC))
DAY = 86_400_000_000
HERE = Surroundings(ZoneInfo("UTC"), features={one.slug: one for one in FEATURES})

AT_RISK = {
    "name": "At-Risk Churners",
    "rules": {
        "operator": "AND",
        "conditions": [
            {"field": "features.daysSinceLastActive", "operator": "gt", "value": 60},
            {"field": "features.lettersSent", "operator": "gt", "value": 0},
        ],
    },
    "actionType": "email",
    "actionConfig": {"campaign": "win-back", "template": "we-miss-you"},
}
POWER_USERS = {
    "name": "Power Users",
    "rules": [
        {"condition": "event", "eventType": "video_rendered", "eventCount": {"gte": 10}, "eventWindow": "30d"},
        {"condition": "event", "eventType": "batch_render_completed", "eventCount": {"gte": 1}, "eventWindow": "30d"},
    ],
}
CHURN_RISK = {
    "name": "Churn Risk (30 days inactive)",
    "rules": [
        {"condition": "property", "property": "lastActionDate", "operator": "lte", "value": "now - 30d"},
        {"condition": "property", "property": "status", "operator": "equals", "value": "active"},
    ],
}
TRIAL_TO_PAID = {
    "name": "Trial to Paid Converters",
    "rules": [
        {"condition": "property", "property": "status", "operator": "equals", "value": "paid"},
        {"condition": "event", "eventType": "purchase_completed", "eventWindow": "7d"},
    ],
}
FLAT = {
    "name": "Power Users",
    "rules": [{"eventType": "video_rendered", "eventCount": {"gte": 10}, "eventWindow": "30d"}],
}


def members(given, *people):
    """Whom an imported rule means, by their place."""
    rule = read_any(given)
    assert read(rule.json_text) == rule
    assert check(rule, HERE) == ()
    held = rule.holds(Facts(timeline_of(people), AT, HERE))
    return [place for place, inside in enumerate(held.tolist()) if inside]


def did(*, days, name="letter_sent", times=1):
    return [Happened(AT - days * DAY - number, name) for number in range(times)]


def performed(name, times, last):
    return {"kind": "performed", "event": {"names": [name]}, "times": times, "when": {"last": last}}


@pytest.mark.parametrize(
    ("given", "conditions"),
    [
        (
            AT_RISK,
            [
                {"kind": "feature", "feature": "days_since_last_active", "op": "gt", "values": [60]},
                {"kind": "feature", "feature": "letters_sent", "op": "gt", "values": [0]},
            ],
        ),
        (POWER_USERS, [performed("video_rendered", 10, "30d"), performed("batch_render_completed", 1, "30d")]),
        (
            CHURN_RISK,
            [
                {"kind": "person", "field": "last_action_at", "op": "longer_ago", "length": "30d"},
                {"kind": "person", "field": "status", "op": "is", "values": ["active"]},
            ],
        ),
        (
            TRIAL_TO_PAID,
            [
                {"kind": "person", "field": "status", "op": "is", "values": ["paid"]},
                performed("purchase_completed", 1, "7d"),
            ],
        ),
        (FLAT, [performed("video_rendered", 10, "30d")]),
    ],
    ids=["at risk", "power users", "churn risk", "trial to paid", "flat"],
)
def test_what_the_documents_show_is_read(given, conditions):
    meant = read({"match": {"kind": "all", "of": conditions}})
    inner = given["rules"]
    for written in (given, inner, orjson.dumps(given), orjson.dumps(inner).decode()):
        assert read_any(written) == meant


def test_our_own_format_is_read_too():
    own = {"version": 1, "match": {"kind": "all", "of": [{"kind": "performed", "event": {"names": ["visit"]}}]}}
    assert read_any(own) == read(own)
    assert read_any({"name": "Visitors", "rules": own}) == read(own)
    with pytest.raises(BadRule, match="rules of version 1"):
        read_any({**own, "version": 2})


def test_imported_rules_find_whom_they_mean():
    silent = Somebody(did(days=70), {"last_seen_at": "2025-12-21T12:00:00Z"})
    active = Somebody(did(days=59), {"last_seen_at": "2026-01-01T12:00:00Z"})
    assert members(AT_RISK, silent, active, Somebody([], {"last_seen_at": "2025-01-01T12:00:00Z"})) == [0]

    rendered = did(days=3, name="video_rendered", times=10)
    power = Somebody([*rendered, *did(days=29, name="batch_render_completed")])
    late = Somebody([*rendered, *did(days=31, name="batch_render_completed")])
    assert members(POWER_USERS, power, late, Somebody(rendered[1:])) == [0]
    assert members(FLAT, power, late, Somebody(rendered[1:])) == [0, 1]

    gone = {"last_action_at": "2026-01-30T11:59:00Z", "status": "active"}
    assert members(CHURN_RISK, Somebody([], gone), Somebody([], gone | {"last_action_at": "2026-02-01T00:00:00Z"})) == [
        0
    ]
    assert members(CHURN_RISK, Somebody([], gone | {"status": "churned"}), Somebody([], {"status": "active"})) == []


@pytest.mark.parametrize(
    ("condition", "inside"),
    [
        ({"field": "plan", "operator": "in", "value": ["Pro", "team"]}, [0]),
        ({"field": "person.company", "operator": "contains", "value": "acm"}, [0, 2]),
        ({"field": "metadata.favouriteColour", "operator": "eq", "value": "red"}, [1]),
        ({"field": "favouriteColour", "operator": "eq", "value": None}, [0, 2]),
        ({"field": "totalSpent", "operator": "gte", "value": 49.99}, [0]),
        ({"field": "totalSpent", "operator": "eq", "value": 49.99}, [0]),
        ({"field": "totalEvents", "operator": "in", "value": [3, 5]}, [1, 2]),
        ({"field": "signupDate", "operator": "gte", "value": "2026-01-31"}, [0, 1]),
        ({"field": "signupDate", "operator": "gt", "value": "2026-01-31"}, [1]),
        ({"field": "signupDate", "operator": "lte", "value": "2026-01-31"}, [0, 2]),
        ({"field": "signupDate", "operator": "lt", "value": "2026-01-31"}, [2]),
        ({"field": "signupDate", "operator": "eq", "value": "2026-01-31"}, [0]),
        ({"field": "signupDate", "operator": "gt", "value": "NOW-28d"}, [1]),
        ({"field": "subscription.cancelAt", "operator": "lte", "value": "now + 7d"}, [2]),
        ({"field": "subscription.cancelAt", "operator": "gt", "value": "now + 7d"}, [1]),
        ({"field": "subscription.status", "operator": "eq", "value": "active"}, [1]),
        ({"field": "features.lettersSent", "operator": "in", "value": [0, 2]}, [0, 1, 2]),
        ({"field": "features.lifetimeValue", "operator": "lt", "value": 49.5}, [1, 2]),
        ({"condition": "event", "eventType": "open", "eventCount": {"lte": 1}}, [1, 2]),
        ({"condition": "event", "eventType": "open", "eventCount": {"gte": 1, "lte": 2}}, [0, 1]),
        ({"condition": "event", "eventType": "open", "eventCount": {"gte": 2, "lte": 2}}, [0]),
        ({"condition": "event", "eventType": "open", "eventCount": {"lte": 0}, "eventWindow": "24h"}, [1, 2]),
        ({"condition": "cohort", "cohortId": "2026-01"}, [0]),
    ],
    ids=lambda one: orjson.dumps(one).decode() if isinstance(one, dict) else "",
)
def test_each_field_and_operator_means_what_it_says(condition, inside):
    people = [
        Somebody(
            did(days=0.5, name="open", times=2),
            {
                "plan_name": "pro",
                "company": "Acme",
                "total_spent_micros": 49_990_000,
                "lifetime_value_micros": 49_990_000,
                "total_events": 1,
                "signup_at": "2026-01-31T23:00:00Z",
                "cohort": "2026-01",
            },
        ),
        Somebody(
            did(days=2, name="open"),
            {
                "company": "Globex",
                "favouriteColour": "red",
                "total_events": 3,
                "signup_at": "2026-02-02T00:00:00Z",
                "subscription_status": "active",
                "subscription_ends_at": "2026-03-09T00:00:00Z",
            },
        ),
        Somebody(
            [],
            {
                "company": "acme",
                "total_events": 5,
                "signup_at": "2025-12-31T00:00:00Z",
                "cohort": "2025-12",
                "subscription_ends_at": "2026-03-02T00:00:00Z",
            },
        ),
    ]
    assert members(condition, *people) == inside


def test_groups_join_as_they_say():
    red, team = (
        {"field": "colour", "operator": "eq", "value": "red"},
        {"field": "plan", "operator": "eq", "value": "t"},
    )
    old = {"field": "age", "operator": "gt", "value": 50}
    given = {"operator": "OR", "conditions": [red, {"operator": "AND", "conditions": [team, old]}]}
    people = [{"colour": "red"}, {"plan_name": "t", "age": 51}, {"plan_name": "t", "age": 50}, {"age": 60}]
    assert members(given, *(Somebody([], traits) for traits in people)) == [0, 1]


def test_a_cohort_by_id_is_a_segment():
    key = "0199f1b2-0000-7000-8000-000000000001"
    rule = read_any([{"condition": "cohort", "cohortId": key.upper()}])
    assert rule.uses.segments == (key,)
    assert [one.message for one in check(rule, HERE)] == ["This segment was deleted: choose another."]


@pytest.mark.parametrize(
    ("condition", "field", "message"),
    [
        (
            {"field": "plan", "operator": "like", "value": "p"},
            "operator",
            "no operator 'like'; use one of eq, equals, in",
        ),
        ({"field": "plan", "operator": ["eq"], "value": "p"}, "operator", "There is no operator"),
        ({"field": "plan", "operator": "eq"}, "value", "Give a value"),
        ({"field": " ", "operator": "eq", "value": 1}, "field", "field is missing"),
        ({"field": "plan", "operator": "in", "value": "pro"}, "value", "give a list"),
        ({"field": "plan", "operator": "eq", "value": {"a": 1}}, "value", "A value is a text, a number"),
        ({"field": "plan", "operator": "gt", "value": "many"}, "value", "'many' is none"),
        (
            {"field": "plan", "operator": "eq", "value": "p", "weight": 2},
            "weight",
            "“weight” is nothing that can be read",
        ),
        (
            {"field": "personId", "operator": "eq", "value": "p1"},
            "field",
            "personId cannot be read: ids of another system",
        ),
        ({"field": "features.computedAt", "operator": "gt", "value": 1}, "field", "features are always as of now"),
        ({"field": "features.lettersSent", "operator": "contains", "value": 1}, "operator", "compared as a number"),
        ({"field": "features.lettersSent", "operator": "gt", "value": True}, "value", "'True' is none"),
        ({"property": "signupDate", "operator": "gt", "value": "yesterday"}, "value", "neither “now - 30d” nor a day"),
        ({"property": "signupDate", "operator": "gt", "value": 1700000000}, "value", "Compare an instant with"),
        ({"property": "signupDate", "operator": "gt", "value": "now - 3 moons"}, "value", "is no window"),
        ({"property": "signupDate", "operator": "equals", "value": "now - 3d"}, "operator", "use gt, gte, lt or lte"),
        ({"property": "signupDate", "operator": "in", "value": "2026-01-01"}, "operator", "A day is compared by"),
        ({"condition": "event"}, "eventType", "eventType is missing"),
        ({"condition": "event", "eventType": "x", "eventCount": 3}, "eventCount", "Say how often like"),
        ({"condition": "event", "eventType": "x", "eventCount": {"gte": "3"}}, "eventCount", "a whole number from 0"),
        ({"condition": "event", "eventType": "x", "eventCount": {"gte": 3, "lte": 2}}, "eventCount", "Nothing happens"),
        ({"condition": "event", "eventType": "x", "eventWindow": "soon"}, "eventWindow", "is no window"),
        ({"condition": "event", "eventType": "x", "value": 1}, "value", "“value” is nothing that can be read"),
        ({"condition": "cohort", "cohortId": "spring"}, "cohortId", "give the month of signing up"),
        ({"condition": "moon"}, "condition", "one of event, property and cohort"),
        ({"operator": "XOR", "conditions": [POWER_USERS["rules"][0]]}, "operator", "joined by AND or OR"),
        ({"operator": "AND", "conditions": []}, "", "at least one"),
        ("plan = pro", "", "A condition is an object"),
        (None, "", "A condition is an object"),
    ],
)
def test_what_cannot_be_read_is_said_at_its_condition(condition, field, message):
    good = {"eventType": "visit"}
    with pytest.raises(BadRule) as caught:
        read_any([good, condition, good])
    (problem,) = caught.value.problems
    assert problem.path == (1,)
    assert problem.field == field
    assert message in problem.message
    assert str(caught.value).startswith("Condition 2: ")


def test_every_problem_is_said():
    with pytest.raises(BadRule) as caught:
        read_any(
            {"operator": "AND", "conditions": [{"field": "a"}, {"operator": "OR", "conditions": [{"condition": "x"}]}]}
        )
    assert [one.path for one in caught.value.problems] == [(0,), (1, 0)]


def test_what_is_no_rule_or_too_much_is_refused():
    event = {"eventType": "visit"}
    deep = {"conditions": [event]}
    for _ in range(2000):
        deep = {"conditions": [deep]}
    for given, message in (
        ({}, "no rule of a format that can be read"),
        (None, "no rule of a format that can be read"),
        (7, "no rule of a format that can be read"),
        ("{'rules': 1}", "This is no JSON"),
        (orjson.dumps([{"eventType": "x" * 300_000}]), "at most 256 kB"),
        ([], "at least one"),
        ([event] * 101, "at most 100 conditions"),
        ([{"conditions": [event] * 60}, {"conditions": [event] * 60}], "at most 100 conditions, and this one 120"),
        (deep, "at most 8 deep"),
        ([{"eventType": "x" * 300}], "too long"),
        ([{"field": "signupDate", "operator": "gt", "value": "9999-12-31"}], "day"),
    ):
        with pytest.raises(BadRule, match=message):
            read_any(given)
