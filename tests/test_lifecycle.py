"""Lifecycle and stickiness as definitions say them, one person at a time, against the kernels."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from uuid import UUID

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gdp_core.analytics.counting import ANYTHING
from gdp_core.analytics.lifecycle import STATES, Lifecycle, LifecycleCell, lifecycle, lifecycle_people
from gdp_core.analytics.scope import Scope
from gdp_core.analytics.stickiness import Stickiness, StickinessCell, stickiness, stickiness_people
from gdp_core.errors import InvalidInput
from gdp_core.timeline import engine
from gdp_core.timeline.arrays import BILLING, MACHINE
from gdp_core.timeline.matching import Match

from .lives import EPOCH, World, counts_for, day_of, first_day, first_instant, micros_of, place, worlds
from .timelines import Happened, Somebody, timeline_of

MATCHES = st.sampled_from([ANYTHING, Match(("visit",)), Match(("buy", "open"))])
INTERVALS = st.sampled_from(["day", "week", "month"])


@pytest.fixture(autouse=True, scope="module")
def small_parts() -> Iterator[None]:
    """Even a handful of rows is worth a part of its own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(engine, "_WORTH_A_PART", 3)
        yield


def active_days(world: World, match: Match, everything: bool) -> dict[int, set[date]]:
    """{person: local days with an event asked for, of all history until now}."""
    return {
        index: {
            day_of(event.at, world.scope.zone)
            for event in who.events
            if event.at < world.now and counts_for(event, match, everything)
        }
        for index, who in world.counting()
    }


def begun_days(world: World) -> list[date]:
    """The days of the period that have begun."""
    scope = world.scope
    days = [scope.start + timedelta(days=number) for number in range(scope.days)]
    return [day for day in days if first_instant(day, scope.zone) <= world.now]


def in_state(state: str, intervals: set[int], number: int) -> bool:
    was, now, earlier = number - 1 in intervals, number in intervals, any(other < number for other in intervals)
    return {
        "new": now and not earlier,
        "returning": now and was,
        "resurrecting": now and earlier and not was,
        "dormant": was and not now,
        "active": now,
    }[state]


@settings(max_examples=100, deadline=None)
@given(worlds(), st.builds(Lifecycle, MATCHES, INTERVALS, st.booleans()), st.integers(1, 3))
def test_every_interval_is_what_the_definition_says(world: World, asked: Lifecycle, shards: int):
    timeline = timeline_of(world.people, shards=shards, watermark=world.watermark)
    within = None if world.within is None else np.array(world.within, np.bool_)
    result = lifecycle(timeline, world.scope, asked, within=within)
    of_person = {
        index: {place(day, asked.interval) for day in days}
        for index, days in active_days(world, asked.event, asked.everything).items()
    }
    numbers = sorted({place(day, asked.interval) for day in begun_days(world)})
    assert [point.start for point in result.points] == [first_day(number, asked.interval) for number in numbers]
    before = result.before
    for number, point in zip(numbers, result.points, strict=True):
        for state in (*STATES, "active"):
            meant = [index for index, intervals in of_person.items() if in_state(state, intervals, number)]
            assert getattr(point, state) == len(meant)
            cell = LifecycleCell(point.start, state)
            listed = lifecycle_people(timeline, world.scope, asked, cell, within=within)
            assert listed.tolist() == [10 + index for index in meant]
        end = first_instant(first_day(number + 1, asked.interval), world.scope.zone)
        assert point.complete == (end <= world.complete)
        assert point.active == point.new + point.returning + point.resurrecting
        assert point.dormant == before - point.returning
        before = point.active


@settings(max_examples=100, deadline=None)
@given(worlds(), st.builds(Stickiness, MATCHES, INTERVALS, st.booleans()), st.integers(1, 3))
def test_every_day_and_every_count_is_what_the_definition_says(world: World, asked: Stickiness, shards: int):
    timeline = timeline_of(world.people, shards=shards, watermark=world.watermark)
    within = None if world.within is None else np.array(world.within, np.bool_)
    result = stickiness(timeline, world.scope, asked, within=within)
    of_person = active_days(world, asked.event, asked.everything)
    period = begun_days(world)

    counts = {
        index: len({place(day, asked.interval) for day in days if day in period}) for index, days in of_person.items()
    }
    assert len(result.people) == len({place(day, asked.interval) for day in period})
    for number, people in enumerate(result.people, 1):
        meant = [index for index, count in counts.items() if count == number]
        assert people == len(meant)
        listed = stickiness_people(timeline, world.scope, asked, StickinessCell(number), within=within)
        assert listed.tolist() == [10 + index for index in meant]
    assert result.active == sum(count > 0 for count in counts.values())

    def active(day: date, span: int) -> list[int]:
        last = {day - timedelta(days=back) for back in range(span)}
        return [index for index, days in of_person.items() if days & last]

    assert [one.day for one in result.days] == period
    for one in result.days:
        assert (one.daily, one.weekly, one.monthly) == tuple(len(active(one.day, span)) for span in (1, 7, 30))
        daily = [len(active(one.day - timedelta(days=back), 1)) for back in range(30)]
        assert one.ratio == (pytest.approx(sum(daily) / 30 / one.monthly) if one.monthly else None)
        assert one.complete == (first_instant(one.day + timedelta(days=1), world.scope.zone) <= world.complete)
    for one, span in zip(result.days[-3:], (1, 7, 30), strict=False):
        listed = stickiness_people(timeline, world.scope, asked, StickinessCell(day=one.day, span=span), within=within)
        assert listed.tolist() == [10 + index for index in active(one.day, span)]


def scope_of(start: date, end: date, *, zone: str = "UTC", now: datetime = datetime(2025, 6, 1, tzinfo=UTC)) -> Scope:
    return Scope(UUID(int=0), zone, "EUR", start, end, now)


def on(*days: str, hour: int = 12, flags: int = 0) -> list[Happened]:
    """An event on each of these days of 2024."""
    return [
        Happened(micros_of(datetime.fromisoformat(f"2024-{day}T{hour:02}:00+00:00")), "visit", {}, flags)
        for day in days
    ]


MARCH = scope_of(date(2024, 3, 4), date(2024, 3, 18))


def test_who_was_there_years_ago_is_not_new():
    people = [
        Somebody([Happened(0, "visit"), *on("03-05")]),
        Somebody(on("02-26", "03-05", "03-12")),
        Somebody(on("03-06")),
        Somebody(on("03-01")),
    ]
    result = lifecycle(timeline_of(people), MARCH, Lifecycle())
    first, second = result.points
    assert result.before == 2
    assert (first.new, first.returning, first.resurrecting, first.dormant) == (1, 1, 1, 1)
    assert (second.new, second.returning, second.resurrecting, second.dormant) == (0, 1, 0, 2)


def test_every_edge_belongs_to_what_begins_there():
    week = 7 * 86_400_000_000
    first, second = (micros_of(datetime(2024, 3, day, tzinfo=UTC)) for day in (4, 11))
    moments = [(first - 1,), (first,), (second - 1,), (second,), (second - 1, second), (first - week,)]
    moments.append((second + week,))  # the period's end
    people = [Somebody([Happened(at, "visit") for at in each]) for each in moments]
    result = lifecycle(timeline_of(people), MARCH, Lifecycle())
    assert result.before == 2
    assert [(point.new, point.returning, point.dormant) for point in result.points] == [(3, 0, 2), (1, 1, 2)]
    assert stickiness(timeline_of(people), MARCH, Stickiness(interval="week")).people == (3, 1)
    by_day = {one.day.day: one for one in stickiness(timeline_of(people), MARCH, Stickiness()).days}
    assert [by_day[day].daily for day in (4, 5, 10, 11)] == [1, 0, 2, 2]
    assert [by_day[day].weekly for day in (4, 10, 11, 17)] == [2, 3, 3, 2]
    for now, new in ((second, 0), (second + 1, 1)):
        running = replace(MARCH, now=EPOCH + timedelta(microseconds=now))
        assert lifecycle(timeline_of(people), running, Lifecycle()).points[1].new == new


def test_the_running_interval_is_not_complete_and_the_future_is_not_there():
    running = replace(scope_of(date(2024, 3, 4), date(2024, 4, 4)), now=datetime(2024, 3, 13, tzinfo=UTC))
    result = lifecycle(timeline_of([Somebody(on("03-05", "03-14"))]), running, Lifecycle())
    assert [(point.start.day, point.active, point.dormant, point.complete) for point in result.points] == [
        (4, 1, 0, True),
        (11, 0, 1, False),
    ]


def test_an_interval_that_begins_now_has_everybody_dormant():
    """The identities hold at its first instant too."""
    midnight = replace(MARCH, now=datetime(2024, 3, 11, tzinfo=UTC))
    first, second = lifecycle(timeline_of([Somebody(on("03-05"))]), midnight, Lifecycle()).points
    assert (first.active, second.active, second.dormant, second.complete) == (1, 0, 1, False)


def test_machines_and_the_billing_system_are_not_active():
    people = [Somebody(on("03-05", flags=int(MACHINE))), Somebody(on("03-05", flags=int(BILLING)))]
    timeline = timeline_of(people)
    assert lifecycle(timeline, MARCH, Lifecycle()).points[0].active == 0
    assert lifecycle(timeline, MARCH, Lifecycle(Match(("visit",)))).points[0].active == 1
    assert lifecycle(timeline, MARCH, Lifecycle(everything=True)).points[0].active == 2
    assert stickiness(timeline, MARCH, Stickiness()).active == 0


def test_a_day_is_the_local_one():
    """23:30 UTC on 30 March is the last half hour of that day in London; a day later it is the day after the change."""
    london = scope_of(date(2024, 3, 30), date(2024, 4, 2), zone="Europe/London")
    people = [Somebody([Happened(micros_of(datetime(2024, 3, day, 23, 30, tzinfo=UTC)), "visit") for day in (30, 31)])]
    days = stickiness(timeline_of(people), london, Stickiness()).days
    assert [(one.day.day, one.daily, one.weekly) for one in days] == [(30, 1, 1), (31, 0, 1), (1, 1, 1)]


def test_a_day_that_a_place_left_out_is_a_day_nobody_was_active_on():
    """Samoa had no 30 December 2011."""
    samoa = scope_of(date(2011, 12, 29), date(2012, 1, 1), zone="Pacific/Apia")
    at = [datetime(2011, 12, 30, 9, 59, tzinfo=UTC), datetime(2011, 12, 30, 10, tzinfo=UTC)]
    timeline = timeline_of([Somebody([Happened(micros_of(one), "visit") for one in at])])
    assert [one.daily for one in stickiness(timeline, samoa, Stickiness()).days] == [1, 0, 1]
    nobody = stickiness_people(timeline, samoa, Stickiness(), StickinessCell(day=date(2011, 12, 30)))
    assert nobody.tolist() == []


def test_what_cannot_be_asked():
    timeline = timeline_of([Somebody(on("03-05"))])
    with pytest.raises(InvalidInput, match="No week of this report begins on 2024-03-05"):
        lifecycle_people(timeline, MARCH, Lifecycle(), LifecycleCell(date(2024, 3, 5), "new"))
    with pytest.raises(InvalidInput, match="no day of this report"):
        stickiness_people(timeline, MARCH, Stickiness(), StickinessCell(day=date(2024, 5, 1)))
    with pytest.raises(InvalidInput, match="a longer interval"):
        lifecycle(timeline, scope_of(date(2020, 1, 1), date(2024, 1, 1)), Lifecycle(interval="day"))
    for wrong in (
        {},
        {"intervals": 0},
        {"intervals": 1, "day": date(2024, 3, 5)},
        {"day": date(2024, 3, 5), "span": 28},
    ):
        with pytest.raises(InvalidInput, match="Choose a number of intervals"):
            StickinessCell(**wrong)


def test_nobody_and_nothing():
    ahead = scope_of(date(2026, 3, 1), date(2026, 4, 1))
    for timeline in (timeline_of([]), timeline_of([], shards=0), timeline_of([Somebody(on("03-05"))])):
        for match in (Match(("typo",)), ANYTHING):
            assert lifecycle(timeline, ahead, Lifecycle(match)).points == ()
            empty = stickiness(timeline, ahead, Stickiness(match))
            assert (empty.active, empty.people, empty.days) == (0, (), ())
        assert {point.active for point in lifecycle(timeline, MARCH, Lifecycle(Match(("typo",)))).points} == {0}
        assert stickiness(timeline, MARCH, Stickiness(Match(("typo",)))).days[0].ratio is None
