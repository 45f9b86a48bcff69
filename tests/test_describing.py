"""What is behind a number as a rule: whenever there is one, it means exactly the people that the report lists."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from uuid import UUID
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gdp_core.analytics.activation import Activation, ActivationCell, Criterion, activation, activation_people
from gdp_core.analytics.beginnings import Known
from gdp_core.analytics.breakdown import ALL, NONE, OTHER, Breakdown, Group
from gdp_core.analytics.calendar import micros
from gdp_core.analytics.counting import ANYTHING
from gdp_core.analytics.customers import CustomerCell
from gdp_core.analytics.engagement_churn import (
    ChurnCell,
    EngagementChurn,
    engagement_churn,
    engagement_churn_people,
)
from gdp_core.analytics.funnel.question import Exclusion, FunnelQuestion, Step
from gdp_core.analytics.funnel.report import funnel
from gdp_core.analytics.funnel.report import people as funnel_people
from gdp_core.analytics.lifecycle import STATES, Lifecycle, LifecycleCell, lifecycle, lifecycle_people
from gdp_core.analytics.retention import Retention, RetentionCell, retention, retention_people
from gdp_core.analytics.scope import Scope
from gdp_core.analytics.stickiness import Stickiness, StickinessCell, stickiness, stickiness_people
from gdp_core.analytics.trends import Trend, TrendCell, trend, trend_people
from gdp_core.analytics.window import Window
from gdp_core.segments import rules
from gdp_core.segments.conditions.base import Names
from gdp_core.segments.describing import Counted, rule_of
from gdp_core.segments.facts import Facts, Surroundings
from gdp_core.segments.grouping import Belonging, grouped
from gdp_core.timeline.matching import Condition, Match, people

from .lives import EPOCH, World, worlds
from .timelines import Happened, Somebody, timeline_of

SEGMENT, LIST = UUID(int=1), UUID(int=2)
VISIT, BUY = Match(("visit",)), Match(("buy",))
ADS = Condition("person.source", "is", ("ads",))
IN_SEGMENT, IN_LIST = (Condition(f"person.in:{key}", "is", (f"In {key}",)) for key in (SEGMENT, LIST))
OUTSIDE = Condition(f"person.in:{LIST}", "is_not", (f"In {LIST}",))

CONDITIONS = st.sampled_from(
    [(), (), (Condition("plan", "is", ("pro",)),), (ADS,), (OUTSIDE, Condition("size", "gte", (1,)))]
)
MATCHES = st.builds(Match, st.sampled_from([("visit",), ("buy", "open"), ("visit", "buy"), ()]), CONDITIONS)
INTERVALS = st.sampled_from(["day", "week", "month"])
BY = st.sampled_from(["plan", "person.source", f"person.in:{SEGMENT}", "size"]).flatmap(
    lambda field: st.builds(Breakdown, st.just(field), st.integers(1, 3))
)
WHO = st.sampled_from([(), (), (ADS,), (IN_LIST,), (Condition("person.source", "is_not", ("mail",)), IN_SEGMENT)])


def seen(world: World, shards: int, who=(), belong=None) -> tuple[Counted, object]:
    """A world as a report page sees it: of what is known, with one segment and one list, of some people."""
    plain = timeline_of(world.people, shards=shards, watermark=world.watermark)
    every = np.arange(plain.people)
    members = {
        SEGMENT: Belonging(str(SEGMENT), every % 3 != 0),
        LIST: Belonging(str(LIST), every % 2 == 0, is_segment=False),
    }
    timeline = grouped(plain, members.__getitem__)
    scope = replace(world.scope, now=EPOCH + timedelta(microseconds=world.complete))
    counted = Counted(timeline, scope, who, belong)
    within = people(timeline, who)
    if belong is not None:
        within &= members[belong].members
    return counted, within


THEIRS = rules.read({"version": 1, "match": {"kind": "all", "of": [{"kind": "list", "people": "theirs"}]}})


def members_of(rule, counted: Counted) -> list[int]:
    timeline = counted.timeline
    lists = {str(LIST): timeline.numbers[::2], "theirs": timeline.numbers[np.arange(timeline.people) % 3 != 0]}
    names = Names({str(SEGMENT): "A"}, {str(LIST): "B"})
    around = Surroundings(counted.scope.zone, rules={str(SEGMENT): THEIRS}, lists=lists, names=names)
    assert rule.sentence(names)
    return timeline.numbers[rule.holds(Facts(timeline, micros(counted.scope.now), around))].tolist()


def check(counted: Counted, asked, cell, listed) -> bool:
    """Whether there is a rule; it means whom the report lists."""
    rule = rule_of(counted, asked, cell)
    if rule is not None:
        assert members_of(rule, counted) == listed.tolist(), (asked, cell, rule)
    return rule is not None


@settings(max_examples=100, deadline=None)
@given(worlds(), MATCHES, INTERVALS, st.none() | BY, st.integers(0, 15), WHO, st.sampled_from([None, SEGMENT, LIST]))
def test_of_a_trend(world: World, match, interval, by, kind, who, belong):
    measure = ["people", "sum", "average", "events"][kind & 3]
    field = {"sum": "value_micros", "average": "size"}.get(measure)
    compare = ["previous", "year", "none"][kind % 3]
    world = replace(world, scope=replace(world.scope, compare=compare))
    counted, within = seen(world, 1 + (kind & 1), who, belong)
    asked = Trend((BUY, match), measure, field, None, interval, by, bool(kind & 4), bool(kind & 8))
    found = trend(counted.timeline, counted.scope, asked, within=within)
    for line in found.lines:
        compared = (False, True) if found.earlier else (False,)
        for cell in [
            TrendCell(start, line.series, line.group, earlier)
            for earlier in compared
            for start in (None, *dates(found, earlier))
        ]:
            check(counted, asked, cell, trend_people(counted.timeline, counted.scope, asked, cell, within=within))


def dates(found, earlier: bool) -> list[date]:
    of = found.earlier if earlier else found
    return [point.start for point in of.points[-3:]] if of else []


@settings(max_examples=60, deadline=None)
@given(worlds(), MATCHES, INTERVALS, st.booleans(), WHO)
def test_of_a_lifecycle_and_of_stickiness(world: World, match, interval, everything, who):
    counted, within = seen(world, 2, who)
    asked = Lifecycle(match, interval, everything)
    for point in lifecycle(counted.timeline, counted.scope, asked, within=within).points[-4:]:
        for state in (*STATES, "active"):
            cell = LifecycleCell(point.start, state)
            listed = lifecycle_people(counted.timeline, counted.scope, asked, cell, within=within)
            assert check(counted, asked, cell, listed) or (everything and not match.names)
    sticky = Stickiness(match, interval, everything)
    for one in stickiness(counted.timeline, counted.scope, sticky, within=within).days[-3:]:
        for span in (1, 7, 30):
            cell = StickinessCell(day=one.day, span=span)
            listed = stickiness_people(counted.timeline, counted.scope, sticky, cell, within=within)
            assert check(counted, sticky, cell, listed) or (everything and not match.names)


@settings(max_examples=100, deadline=None)
@given(
    worlds(),
    st.lists(st.tuples(MATCHES, st.booleans()), min_size=2, max_size=4),
    st.sampled_from([Window(1, "s"), Window(1, "h"), Window(1, "d"), Window(14, "d"), Window(2, "mo")]),
    st.sampled_from(["ordered", "ordered", "ordered", "strict", "any"]),
    st.none() | BY,
    st.booleans(),
    WHO,
)
def test_of_a_funnel(world: World, chosen, window, order, by, more, who):
    counted, within = seen(world, 2, who)
    last = len(chosen) - 1
    steps = tuple(Step(match, optional and 0 < place < last) for place, (match, optional) in enumerate(chosen))
    excluding = (Exclusion(BUY, 1),) if more and order == "ordered" else ()
    asked = FunnelQuestion(steps, window, order, excluding, breakdown=by, everything=more)
    groups = [group for group, _ in funnel(counted.timeline, counted.scope, asked, within=within).groups]
    for state in ("reached", "converted", "open", "dropped", "excluded"):
        for step in (None, *range(1, len(steps) + 1)):
            for group in (None, *groups):
                cell = {"state": state} | ({"step": step} if step else {}) | ({"group": group} if group else {})
                listed = funnel_people(counted.timeline, counted.scope, asked, within=within, **cell)
                check(counted, asked, cell, listed)


@settings(max_examples=100, deadline=None)
@given(
    worlds(),
    MATCHES | st.just(Known("signup_at")),
    MATCHES,
    st.sampled_from(["first_ever", "first_in_period", "recurring"]),
    INTERVALS,
    st.integers(0, 15),
    st.none() | BY,
    WHO,
)
def test_of_retention(world: World, start, returning, occurrence, cohort, kind, by, who):
    counted, within = seen(world, 2, who)
    if isinstance(start, Known):
        occurrence, by = "first_ever", by if by and by.of_person else None
    brackets = {"mode": "bracket", "brackets": ((1, 2), (0, 1), (2, None))}
    how = [{"mode": "on"}, {"mode": "on_or_after"}, brackets, {"rolling": True}][kind & 3]
    unit = {"unit": "day"} if kind & 4 else {}
    asked = Retention(
        start, returning, occurrence, cohort, intervals=3, breakdown=by, everything=bool(kind & 8), **how, **unit
    )
    found = retention(counted.timeline, counted.scope, asked, within=within)
    cohorts = [one.start for one in found.triangles[0].cohorts[-3:]]
    for cohort_start in (*cohorts, *([None] if occurrence != "recurring" else [])):
        for column in (None, *range(len(found.columns))):
            for group in [triangle.group for triangle in found.triangles]:
                for returned in (True, False):
                    cell = RetentionCell(cohort_start, column, group, returned)
                    listed = retention_people(counted.timeline, counted.scope, asked, cell, within=within)
                    check(counted, asked, cell, listed)


@settings(max_examples=60, deadline=None)
@given(
    worlds(),
    MATCHES,
    st.sampled_from([Window(30, "d"), Window(7, "d"), Window(1, "d"), Window(5, "h"), Window(1, "mo")]),
    INTERVALS,
    WHO,
)
def test_of_engagement_churn(world: World, core, quiet, interval, who):
    counted, within = seen(world, 2, who)
    asked = EngagementChurn(core, quiet, Window(14, "d"), interval)
    for point in engagement_churn(counted.timeline, counted.scope, asked, within=within).points[-4:]:
        for state in ("churned", "kept", "active"):
            cell = ChurnCell(point.start, state)
            listed = engagement_churn_people(counted.timeline, counted.scope, asked, cell, within=within)
            assert check(counted, asked, cell, listed) or micros(point.at) != micros(counted.scope.now)


@settings(max_examples=60, deadline=None)
@given(
    worlds(),
    st.lists(st.builds(Criterion, MATCHES, st.integers(1, 2)), min_size=1, max_size=2),
    MATCHES | st.just(Known("signup_at")),
    st.sampled_from([1, 7, 30]),
    INTERVALS,
    WHO,
)
def test_of_activation(world: World, criteria, start, days, interval, who):
    counted, within = seen(world, 2, who)
    asked = Activation(tuple(criteria), start, days, interval)
    found = activation(counted.timeline, counted.scope, asked, within=within)
    for first in (None, *(point.start for point in found.points[-3:])):
        for state in ("started", "mature", "activated", "not_activated", "early", "open"):
            cell = ActivationCell(state, first)
            listed = activation_people(counted.timeline, counted.scope, asked, cell, within=within)
            check(counted, asked, cell, listed)


# ----------------------------------------------------------------------------------------------- which have a rule

DAY = 86_400_000_000
NOW = datetime(2026, 3, 20, 15, tzinfo=UTC)
AT = micros(NOW)
SCOPE = Scope(UUID(int=0), "Europe/Berlin", "EUR", date(2026, 2, 19), date(2026, 3, 21), NOW)
PEOPLE = [
    Somebody([Happened(AT - 3 * DAY, "visit"), Happened(AT - 2 * DAY, "buy", {"plan": "pro"})], {"source": "ads"}),
    Somebody([Happened(AT - 30 * DAY, "visit", {"plan": "Pro"})], {"source": "mail", "signup_at": AT - 9 * DAY}),
    Somebody([Happened(AT - 5 * DAY, "visit", {"plan": "free"})], {"signup_at": AT + DAY}),
]
FUNNEL = FunnelQuestion((Step(VISIT), Step(BUY)), Window(14, "d"))
WEEKLY = Retention(VISIT, BUY, intervals=2)
SIGNED_UP = Retention(Known("signup_at"), BUY, intervals=2)
WEEK = date(2026, 3, 9)
MARCH = date(2026, 3, 1)
SILENT = EngagementChurn(VISIT, Window(7, "d"), Window(5, "d"))
SOON = Activation((Criterion(BUY),), days=3)
LONG = replace(SCOPE, end=date(2026, 3, 2))


def counted_as(scope=SCOPE, watermark=AT, **people) -> Counted:
    return Counted(timeline_of(PEOPLE, watermark=watermark), scope, **people)


@pytest.mark.parametrize(
    ("asked", "cell", "sentence"),
    [
        (Trend((VISIT,)), TrendCell(), "did visit from 2026-02-19 to 2026-03-20"),
        (Trend((VISIT,)), TrendCell(WEEK), "did visit from 2026-03-09 to 2026-03-09"),
        (Trend((VISIT,), interval="week"), TrendCell(date(2026, 2, 16)), "did visit from 2026-02-19 to 2026-02-22"),
        (Trend((VISIT,), cumulative=True), TrendCell(WEEK), "did visit from 2026-02-19 to 2026-03-09"),
        (Trend((VISIT,), breakdown=Breakdown("plan")), TrendCell(group=NONE), "(plan is not known) from"),
        (Trend((VISIT,), breakdown=Breakdown("plan")), TrendCell(group=Group("value", "free")), "(plan is free) from"),
        (Trend((VISIT,), "sum", "value_micros"), TrendCell(), "(value is known) from"),
        (Lifecycle(VISIT), LifecycleCell(WEEK, "new"), "for the first time from 2026-03-09 to 2026-03-15"),
        (Lifecycle(VISIT), LifecycleCell(WEEK, "dormant"), "did not do visit from 2026-03-09 to 2026-03-15 and did"),
        (Lifecycle(VISIT), LifecycleCell(WEEK, "resurrecting"), "and did visit until 2026-03-01"),
        (Stickiness(VISIT), StickinessCell(day=WEEK, span=30), "did visit from 2026-02-08 to 2026-03-09"),
        (FUNNEL, {"step": 1}, "did visit from 2026-02-19 to 2026-03-20"),
        (FUNNEL, {"state": "converted"}, "and then buy within 14 days"),
        (FUNNEL, {"state": "dropped", "step": 2}, "did not do visit in the last 14 days and from"),
        (FUNNEL, {"state": "open", "step": 2}, "did visit in the last 14 days and from"),
        (replace(FUNNEL, order="any"), {"step": 1}, "did visit from 2026-02-19 to 2026-03-20 or did buy"),
        (WEEKLY, RetentionCell(WEEK), "did visit for the first time from 2026-03-09 to 2026-03-15"),
        (WEEKLY, RetentionCell(WEEK, 1), "and did buy from 2026-03-16 to 2026-03-22"),
        (WEEKLY, RetentionCell(WEEK, 1, returned=False), "and did not do buy from 2026-03-16 to 2026-03-22"),
        (SIGNED_UP, RetentionCell(WEEK), "signed up from 2026-03-09 to 2026-03-15"),
        (SILENT, ChurnCell(MARCH, "churned"), "between 12 days and 7 days ago and did not do visit in the last 7 days"),
        (
            SILENT,
            ChurnCell(date(2026, 2, 1), "kept"),
            "from 2026-02-17 to 2026-02-21 and did visit from 2026-02-22 to",
        ),
        (
            SOON,
            ActivationCell("not_activated", WEEK),
            "are not among those who did buy in the 3 days after their signup",
        ),
        (SOON, ActivationCell("open"), "signed up more than 3 days ago"),
        (replace(SOON, start=VISIT), ActivationCell("started"), "did visit for the first time from"),
    ],
)
def test_numbers_that_are_rules(asked, cell, sentence):
    found = rule_of(counted_as(), asked, cell)
    assert found is not None
    assert sentence in found.sentence(Names())


@pytest.mark.parametrize(
    ("asked", "cell"),
    [
        (Trend((VISIT,), breakdown=Breakdown("plan")), TrendCell(group=OTHER)),
        (Trend((VISIT,), breakdown=Breakdown("plan")), TrendCell(group=Group("value", "pro"))),  # "Pro" is another
        (Trend((VISIT,), "sum", "plan"), TrendCell()),  # a text is no number
        (Trend((ANYTHING,), everything=True), TrendCell()),
        (Trend((VISIT,)), TrendCell(earlier=True)),  # it ends in the middle of a day
        (Stickiness(VISIT), StickinessCell(intervals=2)),
        (FUNNEL, {"took": None}),
        (FUNNEL, {"step": 1, "since": WEEK}),
        (replace(FUNNEL, exclusions=(Exclusion(ANYTHING, 1),)), {"step": 1}),
        (replace(FUNNEL, order="strict"), {"step": 2}),
        (replace(FUNNEL, steps=(*FUNNEL.steps, Step(VISIT))), {"state": "converted"}),
        (replace(FUNNEL, breakdown=Breakdown("plan")), {"step": 1, "group": NONE}),
        (WEEKLY, RetentionCell(WEEK, 0)),
        (WEEKLY, RetentionCell(None, 1)),
        (replace(WEEKLY, unit="day"), RetentionCell(WEEK, 1)),
        (replace(WEEKLY, rolling=True), RetentionCell(WEEK, 1)),
        (SIGNED_UP, RetentionCell()),  # somebody signs up tomorrow, as far as is known
        (WEEKLY, "no cell"),
        (replace(SOON, start=VISIT), ActivationCell("activated")),
        (replace(SILENT, quiet=Window(5, "h")), ChurnCell(date(2026, 2, 1), "churned")),
    ],
)
def test_numbers_that_are_none(asked, cell):
    scope = replace(SCOPE, end=date(2026, 3, 25))
    assert rule_of(counted_as(scope), asked, cell) is None


def test_a_rule_has_no_groups_that_say_nothing():
    asked = Trend((Match(("visit",), (ADS,)),))
    for found in (rule_of(counted_as(), asked, TrendCell()), rule_of(counted_as(), FUNNEL, {"step": 1})):
        assert found is not None
        assert all(node.kind in ("performed", "person") for node in found.match.of)


def test_whose_window_is_over_is_told_without_now():
    found = rule_of(counted_as(LONG), FUNNEL, {"state": "dropped", "step": 2})
    assert found is not None
    assert "in the last" not in found.sentence(Names())
    assert rule_of(counted_as(LONG, AT + DAY), FUNNEL, {"state": "dropped", "step": 2}) is not None
    assert rule_of(counted_as(watermark=AT + DAY), FUNNEL, {"state": "dropped", "step": 2}) is None


def test_what_is_known_of_the_future_makes_a_funnel_no_rule():
    people = [*PEOPLE, Somebody([Happened(AT - DAY, "visit"), Happened(AT, "buy")])]
    counted = Counted(timeline_of(people, watermark=AT), SCOPE)
    assert rule_of(counted, FUNNEL, {"state": "converted"}) is None
    assert rule_of(counted, FUNNEL, {"step": 1}) is not None


def test_whom_it_was_asked_of_is_part_of_it():
    words = (f"In {SEGMENT}", f"Not in {SEGMENT}")
    plain = timeline_of(PEOPLE, watermark=AT)
    everybody = np.ones(3, np.bool_)
    members = {SEGMENT: Belonging(str(SEGMENT), everybody), LIST: Belonging("B", everybody, is_segment=False)}
    timeline = grouped(plain, members.__getitem__)

    def told(*conditions, belong=None):
        found = rule_of(Counted(timeline, SCOPE, conditions, belong), Trend((VISIT,)), TrendCell())
        return found and [node.model_dump(exclude={"kind"}) for node in found.match.of[1:]]

    by = f"person.in:{SEGMENT}"
    assert told(belong=SEGMENT) == [{"segment": str(SEGMENT), "member": True}]
    assert told(belong=LIST) == [{"people": str(LIST), "member": True}]
    assert told(Condition(by, "is", words[1:])) == [{"segment": str(SEGMENT), "member": False}]
    assert told(Condition(by, "is_not", words[1:])) == [{"segment": str(SEGMENT), "member": True}]
    assert told(Condition(by, "set")) == []
    assert told(Condition(by, "is", ("Elsewhere",))) is None
    group = TrendCell(group=Group("value", words[1]))
    asked = Trend((VISIT,), breakdown=Breakdown(by))
    found = rule_of(Counted(timeline, SCOPE), asked, group)
    assert found is not None
    assert [node.member for node in found.match.of[1:]] == [False]
    assert rule_of(Counted(timeline, SCOPE), asked, TrendCell(group=ALL)) is not None


STANDING = [
    Somebody([], {"stage": "lead", "source": "ads", "first_seen_at": AT - DAY, "subscription_status": "trialing"}),
    Somebody([], {"stage": "lead", "first_seen_at": AT - 40 * DAY, "subscribed_at": AT - DAY}),
    Somebody([], {"source": "ads", "subscription_status": "past_due", "subscription_ends_at": AT + DAY}),
]


@pytest.mark.parametrize(
    ("asked", "numbers", "sentence"),
    [
        (CustomerCell("lead"), [10, 11], "have the stage lead"),
        (CustomerCell("lead", None), [11], "have the stage lead and have no source"),
        (CustomerCell(None, "ads"), [12], "have no stage and have the source ads"),
        (CustomerCell("lead", which="last_30_days"), [10], "were first seen in the last 30 days"),
        (CustomerCell(which="subscribed"), [11], "have a subscribed date"),
        ("trials", [10], "have a subscription that is trialing"),
        ("past_due", [12], "past due"),
        ("leaving", [12], "is going to end"),
    ],
)
def test_what_postgres_counts_of_now_is_a_rule_where_the_timeline_agrees(asked, numbers, sentence):
    counted = Counted(timeline_of(STANDING, watermark=AT), SCOPE)
    rule = rule_of(counted, asked, np.array(numbers))
    assert rule is not None
    assert sentence in rule.sentence(Names())
    assert members_of(rule, counted) == numbers
    for others in ([], [10, 11, 12], [numbers[0] + 50]):
        assert rule_of(counted, asked, np.array(others, np.int64)) is None
    some = Counted(counted.timeline, SCOPE, (ADS,))
    theirs = [number for number in numbers if number != 11]
    assert (rule_of(some, asked, np.array(theirs, np.int64)) is None) == (asked == CustomerCell(None))


def test_everybody_and_other_numbers_of_revenue_are_no_rule():
    counted = Counted(timeline_of(STANDING, watermark=AT), SCOPE)
    assert rule_of(counted, CustomerCell(), np.array([10, 11, 12])) is None
    assert rule_of(counted, "new", np.array([10])) is None


def test_days_of_another_zone_are_its_own():
    zone = ZoneInfo("America/New_York")
    scope = Scope(UUID(int=0), zone.key, "EUR", date(2026, 3, 8), date(2026, 3, 9), NOW)
    people = [Somebody([Happened(micros(datetime(2026, 3, 9, 3, 59, tzinfo=UTC)), "visit")])]
    counted = Counted(timeline_of(people, watermark=AT), scope)
    rule = rule_of(counted, Trend((VISIT,)), TrendCell())
    assert rule is not None
    assert members_of(rule, counted) == [10]
