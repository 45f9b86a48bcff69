"""What a rule says in English, for every kind of condition and group."""

import re
from random import Random
from typing import Any

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from gdp_core.analytics.calendar import instant
from gdp_core.segments.conditions import KINDS
from gdp_core.segments.conditions.base import Names
from gdp_core.segments.rules import read

from .rule_worlds import rule, world

NAMES = Names(
    segments={"s": "Power users"},
    lists={"l": "VIPs"},
    features={
        "active_days": "Active days, 90 d",
        "core": "Core actions",
        "ltv": "Lifetime value",
        "risk": "Churn risk",
    },
    money=frozenset({"ltv"}),
    shares=frozenset({"risk"}),
)


def said(condition: dict[str, Any]) -> str:
    return read({"match": {"kind": "all", "of": [condition]}}).sentence(NAMES)


SENTENCES: list[tuple[dict[str, Any], str]] = [
    ({"kind": "performed"}, "People who did anything."),
    ({"kind": "performed", "event": {"names": ["order_completed"]}}, "People who did order_completed."),
    (
        {
            "kind": "performed",
            "event": {
                "names": ["paid"],
                "where": [{"field": "properties.value_micros", "comparison": "gte", "values": [29_990_000]}],
            },
        },
        "People who did paid (value is at least 29.99).",
    ),
    ({"kind": "person", "field": "mrr_micros", "op": "is", "values": [29_000_000]}, "People who have the MRR 29."),
    (
        {"kind": "person", "field": "lifetime_value_micros", "op": "between", "values": [1_500_000, "2000000"]},
        "People who have a lifetime value between 1.5 and 2.",
    ),
    (
        {
            "kind": "performed",
            "event": {
                "names": ["order_completed", "purchase"],
                "where": [
                    {"field": "plan", "values": ["pro", "team"]},
                    {"field": "amount", "comparison": "gte", "values": [10]},
                ],
            },
            "how": "at_least",
            "times": 3,
            "when": {"last": "30d"},
        },
        "People who did order_completed or purchase (plan is pro or team and amount is at least 10) at least 3 times in the last 30 days.",
    ),
    (
        {"kind": "performed", "event": {"names": ["order_completed"]}, "how": "exactly", "times": 1},
        "People who did order_completed exactly once.",
    ),
    (
        {
            "kind": "performed",
            "event": {"names": ["order_completed"]},
            "how": "at_most",
            "times": 2,
            "when": {"last": "60d", "ago": "30d"},
        },
        "People who did order_completed at most 2 times between 60 days and 30 days ago.",
    ),
    (
        {
            "kind": "performed",
            "event": {"names": ["order_completed"]},
            "how": "exactly",
            "times": 0,
            "when": {"since": "2026-01-01", "until": "2026-02-01"},
        },
        "People who did not do order_completed from 2026-01-01 to 2026-02-01.",
    ),
    (
        {"kind": "performed", "event": {"names": ["order_completed"], "machines": True}, "how": "at_most", "times": 0},
        "People who never did order_completed (machines included).",
    ),
    (
        {"kind": "performed", "event": {"names": ["order_completed"]}, "how": "first", "when": {"last": "7d"}},
        "People who did order_completed for the first time in the last 7 days.",
    ),
    (
        {"kind": "performed", "event": {"names": ["order_completed"]}, "how": "first"},
        "People who did order_completed for the first time ever.",
    ),
    (
        {
            "kind": "performed",
            "event": {"names": []},
            "how": "at_least",
            "times": 5,
            "when": {"after": "signup_at", "during": "7d"},
        },
        "People who did anything at least 5 times in the 7 days after their signup.",
    ),
    ({"kind": "performed", "event": {"names": []}, "how": "at_most", "times": 0}, "People who never did anything."),
    (
        {"kind": "performed", "event": {"names": ["a"]}, "how": "at_least", "times": 0},
        "People who did a any number of times.",
    ),
    (
        {
            "kind": "performed",
            "event": {"names": ["visit"], "where": [{"field": "url", "comparison": "not_set"}]},
            "when": {"since": "2026-01-01"},
        },
        "People who did visit (url is not known) since 2026-01-01.",
    ),
    (
        {
            "kind": "performed",
            "event": {
                "names": ["visit"],
                "where": [{"field": "url", "comparison": "contains", "values": ["/pricing"]}],
            },
            "when": {"until": "2026-01-01"},
        },
        "People who did visit (url contains /pricing) until 2026-01-01.",
    ),
    ({"kind": "person", "field": "plan", "values": ["pro"]}, "People who have the plan pro."),
    (
        {"kind": "person", "field": "plan", "op": "is_not", "values": ["pro", "team"]},
        "People who do not have the plan pro or team.",
    ),
    (
        {"kind": "person", "field": "company_name", "op": "contains", "values": ["inc"]},
        "People who have a company name that contains inc.",
    ),
    ({"kind": "person", "field": "email", "op": "not_set"}, "People who have no email."),
    ({"kind": "person", "field": "email", "op": "set"}, "People who have an email."),
    ({"kind": "person", "field": "age", "op": "gte", "values": [18]}, "People who have an age of at least 18."),
    (
        {"kind": "person", "field": "age", "op": "between", "values": [18, 30]},
        "People who have an age between 18 and 30.",
    ),
    ({"kind": "person", "field": "tags", "op": "includes", "values": ["vip"]}, "People who have vip among their tags."),
    (
        {"kind": "person", "field": "signup_at", "op": "before", "day": "2026-01-01"},
        "People who signed up before 2026-01-01.",
    ),
    (
        {"kind": "person", "field": "signup_at", "op": "on_or_after", "day": "2026-01-01"},
        "People who signed up on or after 2026-01-01.",
    ),
    (
        {"kind": "person", "field": "signup_at", "op": "within_last", "length": "7d"},
        "People who signed up in the last 7 days.",
    ),
    (
        {"kind": "person", "field": "signup_at", "op": "longer_ago", "length": "1d"},
        "People who signed up more than 1 day ago.",
    ),
    (
        {"kind": "person", "field": "trial_ends_at", "op": "within_next", "length": "3d"},
        "People who have a trial ends date in the next 3 days.",
    ),
    (
        {"kind": "person", "field": "trial_ends_at", "op": "further_ahead", "length": "3d"},
        "People who have a trial ends date more than 3 days ahead.",
    ),
    (
        {"kind": "person", "field": "signup_at", "op": "anniversary"},
        "People who have the anniversary of their signup today.",
    ),
    (
        {"kind": "person", "field": "birthday", "op": "anniversary"},
        "People who have the anniversary of their birthday today.",
    ),
    (
        {"kind": "feature", "feature": "active_days", "op": "gte", "values": [12]},
        "People who have “Active days, 90 d” of at least 12.",
    ),
    (
        {"kind": "feature", "feature": "active_days", "op": "between", "values": [1, 3]},
        "People who have “Active days, 90 d” between 1 and 3.",
    ),
    (
        {"kind": "feature", "feature": "active_days", "op": "lt", "other": "core", "factor": 0.5},
        "People who have “Active days, 90 d” of less than 0.5 times “Core actions”.",
    ),
    (
        {"kind": "feature", "feature": "active_days", "op": "gt", "other": "core"},
        "People who have “Active days, 90 d” of more than “Core actions”.",
    ),
    ({"kind": "feature", "feature": "last_plan", "texts": ["pro"], "op": "is"}, "People who have “last_plan” of pro."),
    (
        {"kind": "feature", "feature": "last_plan", "texts": ["pro", "x"], "op": "is_not"},
        "People who have “last_plan” other than pro or x.",
    ),
    (
        {
            "kind": "not_since",
            "event": {"names": ["checkout_started"]},
            "other": {"names": ["order_completed"]},
            "ago": "4h",
            "within": "7d",
            "same": "checkout_id",
        },
        "People who did checkout_started between 4 hours and 7 days ago and no order_completed with the same checkout_id since.",
    ),
    (
        {
            "kind": "not_since",
            "event": {"names": ["checkout_started"]},
            "other": {"names": ["order_completed"]},
            "ago": "1d",
        },
        "People who did checkout_started at least 1 day ago and no order_completed since.",
    ),
    (
        {
            "kind": "sequence",
            "event": {"names": ["booking_scheduled"]},
            "then": {"names": ["booking_attended"]},
            "within": "3d",
        },
        "People who did booking_scheduled and then booking_attended within 3 days.",
    ),
    (
        {
            "kind": "sequence",
            "event": {"names": ["booking_scheduled"]},
            "then": {"names": ["booking_attended"]},
            "followed": False,
            "within": "3d",
            "same": "booking_id",
            "when": {"last": "30d"},
        },
        "People who did booking_scheduled in the last 30 days and then no booking_attended with the same booking_id within 3 days.",
    ),
    (
        {"kind": "stopped", "event": {"names": ["letter_sent"]}, "active": "30d", "quiet": "14d", "times": 3},
        "People who did not do letter_sent in the last 14 days, but did at least 3 times in the 30 days before.",
    ),
    (
        {"kind": "stopped", "event": {"names": ["letter_sent"]}},
        "People who did not do letter_sent in the last 30 days, but did in the 30 days before.",
    ),
    (
        {"kind": "stopped", "event": {}},
        "People who did not do anything in the last 30 days, but did in the 30 days before.",
    ),
    (
        {"kind": "resumed", "event": {"names": ["letter_sent"]}},
        "People who did letter_sent again in the last 7 days, after 30 days without it.",
    ),
    (
        {"kind": "regularly", "event": {"names": ["letter_sent"]}},
        "People who did letter_sent in at least 3 of the last 4 weeks.",
    ),
    (
        {"kind": "regularly", "event": {"names": ["letter_sent"]}, "period": "2w", "of": 1, "at_least": 1},
        "People who did letter_sent in the last 2 weeks.",
    ),
    (
        {"kind": "regularly", "event": {"names": ["letter_sent"]}, "period": "2w", "of": 4, "at_least": 4},
        "People who did letter_sent in each of the last 4 periods of 2 weeks.",
    ),
    (
        {
            "kind": "amount",
            "event": {"names": ["purchase"]},
            "field": "value_micros",
            "compared": {"op": "gte", "values": [100000000.0]},
            "when": {"last": "30d"},
        },
        "People who have a total value of at least 100 in purchase in the last 30 days.",
    ),
    (
        {
            "kind": "amount",
            "event": {"names": ["purchase"]},
            "field": "sku",
            "by": "distinct",
            "compared": {"op": "between", "values": [2, 3]},
        },
        "People who have between 2 and 3 different values of sku in purchase.",
    ),
    (
        {"kind": "amount", "event": {"names": ["purchase"]}, "field": "weight", "by": "average"},
        "People who have an average weight of at least 1 in purchase.",
    ),
    (
        {
            "kind": "amount",
            "event": {"names": ["purchase"]},
            "field": "weight",
            "by": "min",
            "compared": {"op": "is_not", "values": [2]},
        },
        "People who have a smallest weight other than 2 in purchase.",
    ),
    (
        {"kind": "subscription", "statuses": ["active", "past_due"]},
        "People who have a subscription that is active or past due.",
    ),
    (
        {
            "kind": "subscription",
            "plans": ["Team"],
            "mrr": {"op": "gte", "values": [100000000.0]},
            "started": "longer_ago",
            "length": "30d",
            "ending": True,
        },
        "People who have a subscription that is of the plan Team, is worth at least 100 a month, began more than 30 days ago and is going to end.",
    ),
    (
        {"kind": "subscription", "started": "within_last", "length": "30d", "ending": False},
        "People who have a subscription that began in the last 30 days and is not going to end.",
    ),
    ({"kind": "email"}, "People who opened an e-mail."),
    (
        {"kind": "email", "did": ["opened", "clicked"], "times": 3, "when": {"last": "30d"}, "campaigns": ["spring"]},
        "People who opened or clicked an e-mail of the campaign spring at least 3 times in the last 30 days.",
    ),
    (
        {"kind": "email", "did": ["opened"], "times": 0, "how": "exactly", "when": {"last": "90d"}},
        "People who opened no e-mail in the last 90 days.",
    ),
    (
        {"kind": "email", "did": ["sent"], "times": 2, "how": "at_most", "machines": True},
        "People who were sent an e-mail (machines included) at most 2 times.",
    ),
    ({"kind": "email", "did": ["bounced"]}, "People who had a bounce of an e-mail."),
    ({"kind": "email", "did": ["complained"]}, "People who complained about an e-mail."),
    ({"kind": "email", "did": ["unsubscribed"]}, "People who unsubscribed from an e-mail."),
    ({"kind": "email", "did": ["replied"]}, "People who replied to an e-mail."),
    (
        {"kind": "email", "did": ["delivered"], "how": "exactly", "times": 1},
        "People who received an e-mail exactly once.",
    ),
    (
        {"kind": "email", "did": ["sent", "bounced"], "how": "at_most", "times": 0},
        "People who were sent or had a bounce of no e-mail.",
    ),
    ({"kind": "consent"}, "People who agreed to email."),
    ({"kind": "consent", "state": "opted_out", "topic": "news"}, "People who opted out of email about news."),
    ({"kind": "consent", "state": "unknown", "channel": "sms"}, "People who never said whether they want sms."),
    ({"kind": "suppression"}, "People who have a suppressed address."),
    ({"kind": "suppression", "suppressed": False}, "People who have no suppressed address."),
    ({"kind": "suppression", "reasons": ["bounce"]}, "People who have a suppressed address (bounce)."),
    ({"kind": "deal", "stages": ["won"]}, "People who have a deal in the stage won."),
    (
        {"kind": "deal", "stages": ["proposal", "negotiation"], "least": "7d"},
        "People who have a deal in the stage proposal or negotiation for at least 7 days.",
    ),
    (
        {"kind": "deal", "stages": ["proposal"], "least": "7d", "most": "30d"},
        "People who have a deal in the stage proposal for at least 7 days and at most 30 days.",
    ),
    ({"kind": "segment", "segment": "s"}, "People who are in the segment “Power users”."),
    ({"kind": "segment", "segment": "s", "member": False}, "People who are not in the segment “Power users”."),
    ({"kind": "segment", "segment": "q"}, "People who are in a deleted segment."),
    ({"kind": "list", "people": "l"}, "People who are on the list “VIPs”."),
    ({"kind": "list", "people": "l", "member": False}, "People who are not on the list “VIPs”."),
    (
        {"kind": "cohort", "since": "2026-01-01", "until": "2026-01-31"},
        "People who signed up from 2026-01-01 to 2026-01-31.",
    ),
    ({"kind": "cohort", "since": "2026-01-01"}, "People who signed up on 2026-01-01 or later."),
    (
        {"kind": "cohort", "until": "2026-01-01", "sources": ["ads", "mail"]},
        "People who signed up on 2026-01-01 or earlier and came from ads or mail.",
    ),
    ({"kind": "cohort", "sources": ["ads"]}, "People who came from ads."),
    ({"kind": "churn", "compared": {"op": "gte", "values": [0.7]}}, "People who have a churn score of at least 70 %."),
    (
        {"kind": "churn", "compared": {"op": "between", "values": [0.2, 0.5]}},
        "People who have a churn score between 20 and 50 %.",
    ),
    ({"kind": "random"}, "People who are in a random 10 %."),
    ({"kind": "random", "low": 10, "high": 60.5}, "People who are in a random 50.5 % (from 10 to 60.5)."),
    (
        {"kind": "feature", "feature": "ltv", "op": "gte", "values": [250000000.0]},
        "People who have “Lifetime value” of at least 250.",
    ),
    (
        {"kind": "feature", "feature": "risk", "op": "gt", "values": [0.4]},
        "People who have “Churn risk” of more than 40 %.",
    ),
    (
        {"kind": "feature", "feature": "core", "op": "is_not", "other": "active_days"},
        "People who have “Core actions” other than “Active days, 90 d”.",
    ),
    (
        {"kind": "person", "field": "email", "op": "matches", "values": ["@acme"]},
        "People who have an email that matches @acme.",
    ),
    (
        {"kind": "person", "field": "renewal_date", "op": "within_next", "length": "30d"},
        "People who have a renewal date in the next 30 days.",
    ),
    ({"kind": "random", "low": 0, "high": 5, "seed": "two"}, "People who are in a random 5 % (draw two)."),
]


@pytest.mark.parametrize(("condition", "sentence"), SENTENCES, ids=range(len(SENTENCES)))
def test_a_condition_reads_as_english(condition: dict[str, Any], sentence: str) -> None:
    assert said(condition) == sentence


def test_every_kind_is_read_aloud() -> None:
    assert {condition["kind"] for condition, _ in SENTENCES} == {kind.model_fields["kind"].default for kind in KINDS}


A = {"kind": "performed", "event": {"names": ["order"]}}
B = {"kind": "person", "field": "plan", "values": ["pro"]}
C = {"kind": "segment", "segment": "s"}


def every(*of: Any) -> dict[str, Any]:
    return {"kind": "all", "of": of}


def some(*of: Any) -> dict[str, Any]:
    return {"kind": "any", "of": of}


def none(*of: Any) -> dict[str, Any]:
    return {"kind": "not", "of": of}


@pytest.mark.parametrize(
    ("match", "sentence"),
    [
        (every(A, B), "People who did order and have the plan pro."),
        (some(A, B), "People who did order or have the plan pro."),
        (none(A), "People except those who did order."),
        (none(A, B), "People except those who did order or have the plan pro."),
        (every(A, some(B, C)), "People who did order and (have the plan pro or are in the segment “Power users”)."),
        (some(A, every(B, C)), "People who did order or (have the plan pro and are in the segment “Power users”)."),
        (every(A, none(B)), "People who did order and are not among those who have the plan pro."),
        (
            every(A, none(B, C)),
            "People who did order and are not among those who (have the plan pro or are in the segment “Power users”).",
        ),
        (
            every(A, none(every(B, C))),
            "People who did order and are not among those who (have the plan pro and are in the segment “Power users”).",
        ),
        (every(A, some(every(B))), "People who did order and have the plan pro."),
        (
            every(A, some(every(B, C))),
            "People who did order and ((have the plan pro and are in the segment “Power users”)).",
        ),
        (
            none(none(A), every(B, C)),
            "People except those who are not among those who did order or (have the plan pro and are in the segment “Power users”).",
        ),
    ],
)
def test_groups_read_as_english(match: dict[str, Any], sentence: str) -> None:
    assert read({"match": match}).sentence(NAMES) == sentence


@settings(max_examples=100, phases=(Phase.explicit, Phase.generate))
@given(st.integers(0, 2**48))
def test_no_sentence_falls_apart(seed: int) -> None:
    r = Random(seed)
    w = world(r, 1)
    for _ in range(10):
        sentence = rule(r, w.here, instant(w.now).date()).sentence(w.surroundings.names)
        assert re.fullmatch(r"People (who|except) .*[^ .]\.", sentence)
        assert not re.search(r"  | ,| \)|\( |None", re.sub("“.*?”", "“”", sentence))
        assert sentence.count("(") == sentence.count(")")
