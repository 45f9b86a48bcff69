"""A look into the past finds what was found then: nothing that happened later, and of what was known nothing that came late."""

import random
from datetime import timedelta
from uuid import UUID
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gdp_core.analytics.calendar import micros
from gdp_core.analytics.scope import scope
from gdp_core.db import rows
from gdp_core.lake.connection import Lake
from gdp_core.lake.writing import flush, watermark
from gdp_core.people import refresh_due
from gdp_core.segments import rules
from gdp_core.segments.backtesting import MOST_DAYS, backtest
from gdp_core.segments.facts import Facts, Surroundings
from gdp_core.segments.past import History, facts_of, read_history
from gdp_core.segments.rules import BadRule
from gdp_core.segments.surroundings import read_surroundings
from gdp_core.timeline.store import Store

from .conftest import NOW
from .crowd import actor_id, identify, page_view, subscription, track
from .test_pipeline import batch, delivery, drain, put
from .timelines import Happened, Somebody, timeline_of

DAY = timedelta(days=1)
WORLD = Surroundings(ZoneInfo("UTC"))


def rule_of(*nodes, kind="all"):
    return rules.read({"version": 1, "match": {"kind": kind, "of": list(nodes)}})


def did(name, times=1, **more):
    return {"kind": "performed", "event": {"names": [name]}, "times": times} | more


def person(field, op="is", *values, **more):
    return {"kind": "person", "field": field, "op": op, "values": list(values)} | more


RULES = {
    "often": rule_of(did("letter_sent", 2, when={"last": "3d"})),
    "never": rule_of(did("letter_sent", 0, how="exactly"), person("email", "set")),
    "plan": rule_of(person("plan", "is", "pro"), {"kind": "not", "of": [did("video_rendered")]}),
    "company": rule_of(person("company", "is_not", "Acme"), person("tier", "gte", 2), kind="any"),
    "stage": rule_of(person("stage", "is", "trial", "dormant"), person("status", "is", "paid"), kind="any"),
    "signup": rule_of(person("signup_at", "within_last", length="4d")),
    "days": rule_of({"kind": "feature", "feature": "active_days", "op": "gte", "values": [2]}),
    "core": rule_of(person("core_actions", "gte", 2), did("letter_sent", when={"after": "signup_at"})),
    "nobody": rule_of(person("status", "is", "active"), did("letter_sent")),
    "idle": rule_of({"kind": "feature", "feature": "days_since_core_action", "op": "gte", "values": [2]}),
}


@pytest.fixture
def lake(database, tmp_path):
    with Lake(database.dsn, str(tmp_path / "lake"), memory="500MB") as opened:
        yield opened


WRITTEN_ANEW = {"stage", "nobody"}
"""Of stages only what is known of them now is kept."""


def a_day(rng, number, now, latest):
    """What arrives on a day: of that day, and some of it days late."""
    told = []
    for place in range(14):
        user, late = f"u{rng.randrange(6)}", rng.choice([0, 0, 0, 1, latest])
        late = min(late, latest)
        at = now - late * DAY - timedelta(minutes=rng.randrange(1, 1000))
        common = {"user": user, "message": f"m{number}.{place}", "at": at}
        told.append(
            rng.choice(
                [
                    lambda c=common: track(**c),
                    lambda c=common: track("video_rendered", **c),
                    lambda c=common: track("signup_completed", **c),
                    lambda c=common, r=rng: identify(**c, plan=r.choice(["free", "pro"]), tier=r.choice([1, 2, "3"])),
                    lambda c=common, u=user: identify(
                        **c, email=f"{u}@acme.example", company=rng.choice(["Acme", "Globex"])
                    ),
                ]
            )()
        )
    return told


@pytest.mark.parametrize("latest", [0, 3])
def test_what_was_known_then_is_what_was_found_then(database, lake, tmp_path, ws, latest):
    segment, store, rng = database.source(ws, "segment"), Store(tmp_path / "timeline", ws), random.Random(7)
    found = {}
    for number in range(7):
        now = NOW - (7 - number) * DAY
        put(database, delivery(ws, segment, batch(*a_day(rng, number, now, latest), at=now), at=now))
        drain(database, ws, now)
        seen = now + timedelta(hours=6)  # the stages that time alone changes included
        with database.worker.transaction(ws) as session:
            refresh_due(session, ws, seen)
        flush(lake, database.worker, ws, seen)
        store.refresh(lake, since=watermark(lake, ws), complete_at=micros(seen))
        timeline = store.open(lake)
        with database.web.transaction(ws) as session:
            surroundings = read_surroundings(session, timezone="UTC")
        facts = Facts(timeline, micros(seen), surroundings)
        found[seen] = {name: set(timeline.numbers[rule.holds(facts)].tolist()) for name, rule in RULES.items()}
    assert all(any(of_day[name] for of_day in found.values()) for name in RULES)
    with database.web.transaction(ws) as session:
        actors = rows(session, "SELECT a.number, p.number AS person FROM actor a JOIN actor p ON p.id = a.person_id")
    now_is = {row.number: row.person for row in actors}  # an e-mail address may have made another actor the first
    found = {
        seen: {name: {now_is[number] for number in members} for name, members in of_day.items()}
        for seen, of_day in found.items()
    }
    for name, rule in RULES.items():
        if name in WRITTEN_ANEW:
            with pytest.raises(BadRule, match="known by then is not kept"):
                read_history_of(database, ws, rule, surroundings, known=True)
        for known in (False, True):
            if (known and name in WRITTEN_ANEW) or (latest and not known):
                continue
            history = read_history_of(database, ws, rule, surroundings, known=known)
            for seen, members in found.items():
                then = facts_of(timeline, surroundings, history, micros(seen), known=known)
                assert set(timeline.numbers[rule.holds(then)].tolist()) == members[name], (name, known, seen)
    happened = {
        (name, seen): set(
            timeline.numbers[RULES[name].holds(facts_of(timeline, surroundings, history, micros(seen)))].tolist()
        )
        for seen in found
        for name in ("often", "never")
        if (history := read_history_of(database, ws, RULES[name], surroundings))
    }
    differs = [key for key, members in happened.items() if members != found[key[1]][key[0]]]
    assert bool(differs) is bool(latest)  # or nothing came late, and the test shows nothing


def read_history_of(database, ws, rule, surroundings, **more):
    with database.web.transaction(ws) as session:
        return read_history(session, rule, surroundings, **more)


def test_what_is_kept_of_money_and_of_where_they_came_from(database, lake, tmp_path, ws):
    """Who is found of an earlier day is whom the rule would have found then, of what is known now."""
    segment, stripe = database.source(ws, "segment"), database.source(ws, "stripe")
    told = [
        identify("u1", message="1", at=NOW - 9 * DAY, email="ada@acme.example"),
        identify("u1", message="2", at=NOW - 7 * DAY, email=None),  # what is left is the identifier
        page_view("a2", message="3", at=NOW - 9 * DAY),
        page_view("a2", message="4", at=NOW - 5 * DAY, source="google", medium="cpc", name="autumn"),
        identify("u2", message="5", at=NOW - 4 * DAY, anonymous="a2"),
        identify("u3", message="6", at=NOW - 9 * DAY),
    ]
    put(database, delivery(ws, segment, batch(*told)))
    drain(database, ws, NOW)
    subscription(database, ws, stripe, actor_id(database, ws, "u3"), mrr=29_000_000, at=NOW - 6 * DAY)
    flush(lake, database.worker, ws, NOW)
    store = Store(tmp_path / "timeline", ws)
    store.refresh(lake, since=watermark(lake, ws), complete_at=micros(NOW))
    timeline = store.open(lake)
    with database.web.transaction(ws) as session:
        surroundings = read_surroundings(session, timezone="UTC")
    for node, days in (
        (person("email", "is", "ada@acme.example"), 9),
        (person("medium", "is", "cpc"), 5),
        (person("source", "is", "paid_ads"), 5),
        ({"kind": "cohort", "sources": ["paid_ads"]}, 5),
        (person("campaign", "set"), 5),
        (person("mrr_micros", "gte", 29_000_000), 6),
        (person("subscription_status", "is", "active"), 6),
        ({"kind": "subscription", "statuses": ["active", "trialing"], "mrr": {"values": [1_000_000]}}, 6),
    ):
        rule = rule_of(node)
        history = read_history_of(database, ws, rule, surroundings)
        for ago in (8.5, 6.5, 5.5, 4.5, 3.5, 0):
            at = micros(NOW - ago * DAY)
            assert rule.holds(facts_of(timeline, surroundings, history, at)).sum() == (ago < days), (node, ago)
    now = Facts(timeline, micros(NOW), surroundings)
    assert rule.holds(now).sum() == 1


@given(st.data())
def test_events_that_came_late_are_not_seen_before_they_came(data):
    instants = st.integers(1, 20)
    event = st.builds(
        lambda at, late, name, p: Happened(at, name, {"p": p}, 0, at + late),
        instants,
        st.sampled_from([0, 0, 1, 5]),
        st.sampled_from(["a", "b"]),
        st.sampled_from([1, 2]),
    )
    people = data.draw(st.lists(st.builds(Somebody, st.lists(event, max_size=6)), min_size=1, max_size=5))
    at = data.draw(st.integers(1, 26))
    rule = rule_of(
        did("a", 2, how="exactly"),
        {
            "kind": "amount",
            "event": {"names": ["b"]},
            "field": "p",
            "by": "sum",
            "compared": {"op": "gte", "values": [2]},
        },
        {"kind": "not_since", "event": {"names": ["a"]}, "other": {"names": ["b"]}, "ago": "1s"},
        kind="any",
    )
    whole = timeline_of(people, shards=2, names=("a", "b"))
    known = timeline_of(
        [Somebody([one for one in who.events if one.known < at]) for who in people], shards=2, names=("a", "b")
    )
    then = facts_of(whole, WORLD, History(), at, known=True)
    assert rule.holds(then).tolist() == rule.holds(Facts(known, at, WORLD)).tolist()


def test_a_curve_counts_who_comes_and_goes_by_local_day():
    day = 86_400_000_000
    start = micros(NOW) // day * day - 9 * day
    events = [Happened(start + 2 * day + 5, "a"), Happened(start + 4 * day, "a")]
    timeline = timeline_of([Somebody(events), Somebody([Happened(start + 3 * day, "a")]), Somebody([])])
    asked = scope(UUID(int=0), timezone="UTC", currency="USD", now=NOW, period="7d")
    days = backtest(timeline, rule_of(did("a", when={"last": "2d"})), WORLD, History(), asked)
    assert [one.day for one in days] == [asked.start + timedelta(days=number) for number in range(7)]
    changes = [(one.people, one.entered, one.exited) for one in days]
    masks = np.array([one.people for one in days])
    before = len([1 for who in (events, [Happened(start + 3 * day, "a")]) if any(asked_before(who, asked, day))])
    assert masks.tolist() == [before + sum(e - x for _, e, x in changes[: n + 1]) for n in range(7)]
    assert masks.max() == 2
    assert changes[-1][0] == 0
    long = scope(UUID(int=0), timezone="UTC", currency="USD", now=NOW, period="2019-01-01..2026-12-31")
    assert len(backtest(timeline, rule_of(did("a")), WORLD, History(), long)) <= MOST_DAYS


def asked_before(events, asked, day):
    since = micros(asked.since)
    return [since - 2 * day <= one.at < since for one in events]


def test_what_was_not_kept_is_refused_and_nothing_is_looked_ahead(database, ws):
    with database.web.transaction(ws) as session:
        surroundings = read_surroundings(session, timezone="UTC")
        for node in (
            person("lifetime_value_micros", "gte", 1),
            person("plan_name", "is", "Pro"),
            {"kind": "feature", "feature": "lifetime_value"},
            {"kind": "suppression"},
            {"kind": "suppression", "suppressed": False},
            {"kind": "subscription", "statuses": ["past_due"]},
            {"kind": "subscription", "statuses": ["active", "unpaid"]},
            {"kind": "subscription", "ending": True},
            person("subscription_status", "is_not", "active"),
            person("person.subscription_status", "contains", "due"),
            person("subscription_ends_at", "within_next", length="7d"),
            person("source", "is", "website"),
            person("source", "is_not", "paid_ads"),
            person("name", "set"),
        ):
            with pytest.raises(BadRule, match=r"is (not )?kept") as caught:
                read_history(session, rule_of(did("a"), node), surroundings)
            assert caught.value.problems[0].path == (1,)
        for node in (
            person("stage", "is", "trial"),
            person("subscribed_at", "set"),
            person("first_seen_at", "set"),
            person("last_seen_at", "longer_ago", length="7d"),
            person("mrr_micros", "gte", 1),
            person("medium", "is", "cpc"),
            person("cohort", "is", "2026-10"),
            {"kind": "subscription", "statuses": ["active"]},
            {"kind": "feature", "feature": "days_since_last_active"},
            did("a", when={"after": "subscribed_at"}),
        ):
            read_history(session, rule_of(node), surroundings)
            with pytest.raises(BadRule, match="known by then is not kept"):
                read_history(session, rule_of(node), surroundings, known=True)
        assert rows(session, "SELECT 1 FROM segment") == []
