"""What of a rule only those read who may see personal data."""

import uuid

import pytest

from gdp_core.accounts.roles import Principal, Role
from gdp_core.errors import Forbidden
from gdp_core.features.base import Feature, Tally
from gdp_core.segments import rules
from gdp_core.segments.conditions.base import Evidence, Names
from gdp_core.segments.personal import Reader, is_personal_feature, says_personal
from gdp_core.timeline.matching import Match

NAMES = Names(
    features={"last_email": "Last address"}, texts=frozenset({"last_email", "word"}), personal=frozenset({"last_email"})
)
WS = uuid.uuid4()
VIEWER = Reader(Principal(uuid.uuid4(), "v@x.test", WS, Role.VIEWER), NAMES)
MEMBER = Reader(Principal(uuid.uuid4(), "m@x.test", WS, Role.MEMBER), NAMES)


def person(field, op, *values, **more):
    return {"kind": "person", "field": field, "op": op, "values": list(values), **more}


def did(**where):
    return {"kind": "performed", "event": {"names": ["sent"], "where": [{"comparison": "is", **where}]}}


def rule_of(*nodes, kind="all"):
    return rules.read({"version": 1, "match": {"kind": kind, "of": list(nodes)}})


def condition(node):
    ((_, found),) = rule_of(node).conditions()
    return found


@pytest.mark.parametrize(
    "node",
    [
        person("email", "set"),
        person("work_phone", "starts_with", "+49"),
        person("birthday", "before", day="1990-05-01"),
        person("contact", "is", "bob@acme.com"),
        person("contact", "contains", "+49 (0)151 234567"),
        person("contact", "is", 4915112345678),
        did(field="to", values=["ada@example.com"]),
        did(field="user_email", values=["x"]),
        {"kind": "feature", "feature": "last_email", "op": "is", "texts": ["a"]},
        {"kind": "feature", "feature": "word", "op": "is", "texts": ["ada@example.com"]},
        {"kind": "sequence", "event": {"names": ["a"]}, "then": did(field="email", values=["x"])["event"]},
    ],
)
def test_what_is_personal(node):
    assert says_personal(condition(node), NAMES)
    rule = rule_of(node, person("plan", "is", "pro"), kind="any")
    assert MEMBER.plain(rule) == rule.plain
    assert VIEWER.plain(rule) != rule.plain or not node.get("values")
    assert (
        rules.read(VIEWER.plain(rule_of(person("plan", "is", "pro")))).plain
        == rule_of(person("plan", "is", "pro")).plain
    )
    assert VIEWER.sentence(rule).startswith("People who meet a condition on personal data")
    assert VIEWER.sentence(rule).endswith("or have the plan pro.")
    MEMBER.check(rule)
    with pytest.raises(Forbidden, match=r"Condition 1 asks"):
        VIEWER.check(rule)


@pytest.mark.parametrize(
    "node",
    [
        person("plan", "is", "pro"),
        person("mrr_micros", "gte", 123456789012),
        person("revenue", "gt", 123456789012),
        person("signup_at", "before", day="2026-01-31"),
        person("renewed_on", "is", "2026-01-31"),
        did(field="value_micros", values=[290000000]),
        {"kind": "cohort", "since": "2026-01-01", "until": "2026-03-31"},
        {"kind": "feature", "feature": "word", "op": "is", "texts": ["yes"]},
        {"kind": "segment", "segment": "01975551-2345-7890-8123-012345678901"},
    ],
)
def test_what_is_not(node):
    assert not says_personal(condition(node), NAMES)
    rule = rule_of(node)
    VIEWER.check(rule)
    assert (VIEWER.plain(rule), VIEWER.sentence(rule)) == (rule.plain, rule.sentence(NAMES))


def test_a_rule_that_cannot_be_read_is_covered_whole():
    rule = rules.kept({"version": 9, "who": "ada@example.com"})
    assert (MEMBER.plain(rule)["who"], VIEWER.plain(rule)) == ("ada@example.com", {})
    assert "ada" not in VIEWER.sentence(rule)


def test_what_was_found_is_masked_as_on_the_profile():
    asked, found = condition(person("contact", "set")), Evidence("contact is bob@acme.com", "bob@acme.com")
    assert MEMBER.evidence(asked, found) == found
    assert VIEWER.evidence(asked, found) == Evidence("contact is b•••@a•••.com", "b•••@a•••.com")
    text = condition({"kind": "feature", "feature": "word", "op": "is", "texts": ["yes"]})
    told = VIEWER.evidence(text, Evidence("Word is gold", "gold"))
    assert told is not None
    assert told.found == "g•••"
    for node in (person("email", "set"), {"kind": "feature", "feature": "last_email", "op": "is", "texts": ["a"]}):
        hidden = VIEWER.evidence(condition(node), Evidence("email is ada@example.com", "ada@example.com"))
        assert hidden is not None
        assert "ada" not in hidden.sentence + hidden.found + hidden.wanted
    for node, one in (
        (person("mrr_micros", "gte", 1), Evidence("mrr_micros is 290000000", "290000000")),
        (person("stage", "is", "paying"), Evidence("stage is subscribed", "subscribed")),
        (did(field="plan", values=["pro"]), Evidence("did it once", "1")),
    ):
        assert VIEWER.evidence(condition(node), one) == one
    assert VIEWER.evidence(asked, None) is None


def test_a_feature_is_personal_when_it_repeats_a_field_that_is():
    def made(by, field=None):
        return Feature("x", "X", "", "", Tally(Match(("sent",)), by, field=field))

    assert is_personal_feature(made("last", "email"))
    assert not any(map(is_personal_feature, (made("last", "plan"), made("distinct", "email"), made("last"))))
