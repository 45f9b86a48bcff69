"""Trends as definitions say them, one event at a time, against the kernel."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from statistics import mean, median
from typing import Any
from uuid import UUID

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gdp_core.analytics.breakdown import ALL, NONE, OTHER, Breakdown, Group
from gdp_core.analytics.counting import ANYTHING
from gdp_core.analytics.scope import Scope
from gdp_core.analytics.trends import Trend, TrendCell, TrendResult, trend, trend_people
from gdp_core.errors import InvalidInput
from gdp_core.timeline import engine
from gdp_core.timeline.arrays import BILLING, MACHINE
from gdp_core.timeline.matching import Condition, Match

from .lives import EPOCH, World, counts_for, day_of, first_day, first_instant, micros_of, place, worlds
from .timelines import Happened, Somebody, timeline_of

VISIT, BUY = Match(("visit",)), Match(("buy",))
OF_FIELD = ("sum", "average", "minimum", "maximum", "median")


@pytest.fixture(autouse=True, scope="module")
def small_parts() -> Iterator[None]:
    """Even a handful of rows is worth a part of its own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(engine, "_WORTH_A_PART", 3)
        yield


Row = tuple[int, int, Group, int, Any]
"""One event as a series counts it: (person, series, group, interval, number)."""


def number_of(world: World, asked: Trend, event: Happened) -> float | None:
    found = event.properties.get(asked.field)
    if asked.field == "value_micros":
        used = {one.properties.get("currency") for who in world.people for one in who.events}
        return found if event.properties.get("currency") == "EUR" or not used - {None, "EUR"} else None
    if isinstance(found, str):
        return int(found) if found.isdigit() else None
    return None if found is True else found


def group_of(asked: Trend, who: Somebody, event: Happened) -> Group:
    if asked.breakdown is None:
        return ALL
    found = who.traits["source"] if asked.breakdown.of_person else event.properties.get("plan")
    return NONE if found is None else Group("value", "true" if found is True else str(found))


def rows_of(world: World, asked: Trend, scope: Scope, series: list[tuple[Match, ...]]) -> list[Row]:
    """The events of each series, which are those of any of its matches."""
    since, until = micros_of(scope.since), micros_of(scope.until)
    return [
        (index, place_, group_of(asked, who, event), place(day_of(event.at, scope.zone), asked.interval), number)
        for index, who in world.counting()
        for event in who.events
        for place_, matches in enumerate(series)
        for number in [number_of(world, asked, event) if asked.field else 1]
        if since <= event.at < until
        and any(counts_for(event, match, asked.everything) for match in matches)
        and number is not None
    ]


def measured(measure: str, rows: list[Row]) -> Any:
    numbers = [row[4] for row in rows]
    if measure == "people":
        return len({row[0] for row in rows})
    if measure in ("events", "sum"):
        return len(rows) if measure == "events" else sum(numbers)
    read = {"average": mean, "minimum": min, "maximum": max, "median": median}[measure]
    return float(read(numbers)) if numbers else None


def ranked(world: World, asked: Trend) -> tuple[list[Group], bool]:
    """Every value there is, by what all series together have of it in the period; and whether any event has none."""
    before = world.scope.earlier()
    now = rows_of(world, asked, world.scope, [asked.series])
    every = now + (rows_of(world, asked, before, [asked.series]) if before else [])
    measure = asked.measure if asked.measure in ("people", "sum") else "events"
    groups = {row[2] for row in every}
    weights = {group: measured(measure, [row for row in now if row[2] == group]) for group in groups}
    return sorted(groups - {NONE}, key=lambda group: (-weights[group], group.label)), NONE in groups


def nearly(number: Any) -> Any:
    """Whole numbers are exact."""
    return pytest.approx(number, rel=1e-12) if isinstance(number, float) else number


def check(world: World, asked: Trend, scope: Scope, result: TrendResult, shown: list[Group], within, earlier: bool):
    rest = OTHER if asked.breakdown else ALL
    every = rows_of(world, asked, scope, [(match,) for match in asked.series])
    rows = [(one[0], one[1], one[2] if one[2] in (*shown, NONE) else rest, *one[3:]) for one in every]
    timeline = timeline_of(world.people, watermark=world.watermark)
    days = [scope.start + timedelta(days=number) for number in range(scope.days)]
    begun = [day for day in days if first_instant(day, scope.zone) <= micros_of(scope.now)]
    numbers = sorted({place(day, asked.interval) for day in begun})
    assert [point.start for point in result.points] == [first_day(number, asked.interval) for number in numbers]
    complete = min(micros_of(scope.now), world.watermark)
    for number, point in zip(numbers, result.points, strict=True):
        whole = {first_day(number, asked.interval), first_day(number + 1, asked.interval) - timedelta(days=1)} <= set(
            days
        )
        end = min(
            first_instant(first_day(number + 1, asked.interval), scope.zone), first_instant(scope.end, scope.zone)
        )
        assert point.state == ("running" if end > complete else "whole" if whole else "cut")
    for line in result.lines:
        mine = [row for row in rows if row[1] == line.series and line.group in (ALL, row[2])]
        assert line.total == nearly(measured(asked.measure, mine))
        cell = TrendCell(None, line.series, line.group, earlier)
        listed = trend_people(timeline, world.scope, asked, cell, within=within)
        assert listed.tolist() == [10 + index for index in sorted({row[0] for row in mine})]
        for at, number in enumerate(numbers):
            here = [row for row in mine if row[3] == number]
            meant = [row for row in mine if row[3] <= number] if asked.cumulative else here
            assert line.values[at] == nearly(measured(asked.measure, meant))
            assert (line.events[at], line.people[at]) == (len(here), len({row[0] for row in here}))
            if meant and at == len(numbers) // 2:
                cell = replace(cell, start=result.points[at].start)
                listed = trend_people(timeline, world.scope, asked, cell, within=within)
                assert listed.tolist() == [10 + index for index in sorted({row[0] for row in meant})]


def questions() -> st.SearchStrategy[Trend]:
    match = st.sampled_from(
        [ANYTHING, VISIT, BUY, Match(("buy", "open")), Match((), (Condition("plan", "is", ("free",)),))]
    )

    def build(measure: str, cumulative: bool, field: str, **rest: Any) -> Trend:
        return Trend(
            measure=measure,
            cumulative=cumulative and measure != "median",
            field=field if measure in OF_FIELD else None,
            **rest,
        )

    return st.builds(
        build,
        measure=st.sampled_from(["events", "people", *OF_FIELD]),
        cumulative=st.booleans(),
        field=st.sampled_from(["value_micros", "size"]),
        series=st.lists(match, min_size=1, max_size=3).map(tuple),
        interval=st.sampled_from(["day", "week", "month"]),
        breakdown=st.sampled_from(
            [None, Breakdown("person.source", 2), Breakdown("plan", 2), Breakdown("properties.plan")]
        ),
        everything=st.booleans(),
    )


@settings(max_examples=150, deadline=None)
@given(worlds(longest=40), questions(), st.sampled_from(["previous", "year", "none"]), st.integers(1, 3))
def test_every_point_is_what_the_definition_says(world: World, asked: Trend, compare: str, shards: int):
    world = replace(world, scope=replace(world.scope, compare=compare))
    timeline = timeline_of(world.people, shards=shards, watermark=world.watermark)
    within = None if world.within is None else np.array(world.within, np.bool_)
    result = trend(timeline, world.scope, asked, within=within)
    before = world.scope.earlier()
    assert (result.earlier is None) == (before is None)
    groups, has_none = ranked(world, asked)
    most = asked.breakdown.most if asked.breakdown else 1
    lines = [ALL]
    if asked.breakdown:
        lines += [*groups[:most], *([OTHER] if groups[most:] else []), *([NONE] if has_none else [])]
    assert [(line.series, line.group) for line in result.lines] == [
        (series, group) for series in range(len(asked.series)) for group in lines
    ]
    check(world, asked, world.scope, result, groups[:most], within, False)
    if before:
        check(world, asked, before, result.earlier, groups[:most], within, True)


def at(text: str) -> int:
    """An instant of 2024, UTC."""
    return micros_of(datetime.fromisoformat(f"2024-{text}+00:00"))


def scope_of(start: date, end: date, *, now: datetime = datetime(2025, 6, 1, tzinfo=UTC), **how: Any) -> Scope:
    return Scope(UUID(int=0), "UTC", "EUR", start, end, now, **how)


MARCH = scope_of(date(2024, 3, 1), date(2024, 4, 1))


def test_a_person_with_two_values_counts_once_in_each_and_once_in_all():
    people = [Somebody([Happened(at("03-04T10:00"), "visit", {"ref": ref}) for ref in ("ads", "mail", "ads")])]
    timeline = timeline_of(people)
    result = trend(timeline, MARCH, Trend(measure="people", interval="month", breakdown=Breakdown("ref")))
    assert result.overlapping
    assert [(line.group.label, line.total, line.values) for line in result.lines] == [
        ("all", 1, (1,)),
        ("ads", 1, (1,)),
        ("mail", 1, (1,)),
    ]
    events = trend(timeline, MARCH, Trend(interval="month", breakdown=Breakdown("ref")))
    assert not events.overlapping
    assert [line.total for line in events.lines] == [3, 2, 1]


def test_every_edge_belongs_to_what_begins_there():
    since, day, until = at("03-01T00:00"), at("03-05T00:00"), at("04-01T00:00")
    moments = [(since - 1,), (since,), (day - 1,), (day,), (until - 1,), (until,), (day - 1, day), (since, day)]
    timeline = timeline_of([Somebody([Happened(when, "visit") for when in each]) for each in moments])
    asked = Trend(measure="people")
    [line] = trend(timeline, MARCH, asked).lines
    assert ({place + 1: n for place, n in enumerate(line.values) if n}, line.total) == ({1: 2, 4: 2, 5: 3, 31: 1}, 6)

    def listed(question: Trend, cell: TrendCell) -> list[int]:
        return [number - 10 for number in trend_people(timeline, MARCH, question, cell)]

    assert listed(asked, TrendCell()) == [1, 2, 3, 4, 6, 7]
    assert listed(asked, TrendCell(date(2024, 3, 4))) == [2, 6]
    assert listed(asked, TrendCell(date(2024, 3, 5))) == [3, 6, 7]
    assert listed(replace(asked, cumulative=True), TrendCell(date(2024, 3, 5))) == [1, 2, 3, 6, 7]
    for now, total in ((day, 4), (day + 1, 5)):
        scope = replace(MARCH, now=EPOCH + timedelta(microseconds=now))
        assert trend(timeline, scope, asked).lines[0].total == total


def test_people_of_the_period_are_not_the_sum_of_its_days():
    people = [Somebody([Happened(at(f"03-0{day}T10:00"), "visit") for day in (4, 5, 6)])]
    timeline = timeline_of([*people, Somebody([Happened(at("03-06T23:00"), "visit")])])
    asked = Trend(measure="people")
    [line] = trend(timeline, MARCH, asked).lines
    assert (line.total, line.values[2:7]) == (2, (0, 1, 1, 2, 0))
    [line] = trend(timeline, MARCH, replace(asked, cumulative=True)).lines
    assert (line.total, line.values[2:7], line.values[-1]) == (2, (0, 1, 1, 2, 2), 2)


def test_money_adds_up_to_the_micro_in_one_currency():
    paid = [2**53 + 1, 1, 5]
    people = [
        Somebody([Happened(at("03-04T10:00"), "buy", {"value_micros": micros, "currency": "EUR"}) for micros in paid]),
        Somebody([Happened(at("03-04T10:00"), "buy", {"value_micros": 7, "currency": "USD"})]),
    ]
    asked = Trend((BUY,), "sum", "value_micros", interval="month")
    result = trend(timeline_of(people), MARCH, asked)
    assert (result.lines[0].total, result.currency, result.other_currencies) == (2**53 + 7, "EUR", ("USD",))
    assert trend(timeline_of(people), MARCH, replace(asked, currency="USD")).lines[0].total == 7
    mean_ = trend(timeline_of(people), MARCH, replace(asked, measure="average")).lines[0].total
    assert mean_ == pytest.approx((2**53 + 7) / 3)
    assert trend(timeline_of(people), MARCH, replace(asked, measure="median")).lines[0].total == 5
    one = trend(timeline_of(people[:1]), MARCH, replace(asked, currency="USD"))
    assert one.lines[0].total == 0


def test_numbers_beyond_64_bits_and_a_field_that_holds_everything():
    size = [3, "4", "many", True, None, 2.5, 10**30]
    people = [Somebody([Happened(at("03-04T10:00"), "visit", {"size": one}) for one in size])]
    asked = Trend(measure="sum", field="size", interval="month")
    [line] = trend(timeline_of(people), MARCH, asked).lines
    assert (line.total, line.events) == (pytest.approx(10**30 + 9.5), (4,))
    huge = [Somebody([Happened(at("03-04T10:00"), "visit", {"size": 2**62})])] * 3
    assert trend(timeline_of(huge), MARCH, asked).lines[0].total == pytest.approx(3 * 2**62)
    assert trend(timeline_of(people), MARCH, replace(asked, field="colour")).lines[0].total == 0
    assert trend(timeline_of(people), MARCH, replace(asked, field="colour", measure="median")).lines[0].total is None


def test_machines_and_the_billing_system():
    people = [
        Somebody([Happened(at("03-04T10:00"), "visit", flags=flags) for flags in (0, int(MACHINE), int(BILLING))])
    ]
    totals = [
        trend(timeline_of(people), MARCH, Trend((match,), everything=everything)).lines[0].total
        for match, everything in ((ANYTHING, False), (VISIT, False), (ANYTHING, True), (VISIT, True))
    ]
    assert totals == [1, 2, 3, 3]


def test_a_morning_is_compared_with_a_morning():
    noon = scope_of(date(2024, 3, 5), date(2024, 3, 6), now=datetime(2024, 3, 5, 12, tzinfo=UTC))
    people = [Somebody([Happened(at(when), "visit") for when in ("03-04T11:59", "03-04T12:00", "03-05T11:00")])]
    result = trend(timeline_of(people), noon, Trend())
    assert (result.lines[0].total, result.earlier.lines[0].total) == (1, 1)
    assert [point.state for point in result.points] == ["running"]
    listed = trend_people(timeline_of(people), noon, Trend(), TrendCell(earlier=True))
    assert listed.tolist() == [10]


def test_ten_thousand_values_are_ten_lines_and_the_others():
    people = [Somebody([Happened(at("03-04T10:00"), "visit", {"ref": f"r{min(n, 9_990):04}"})]) for n in range(10_000)]
    result = trend(timeline_of(people), MARCH, Trend(interval="month", breakdown=Breakdown("ref")))
    assert [(line.group.label, line.total) for line in result.lines[:3]] == [
        ("all", 10_000),
        ("r9990", 10),
        ("r0000", 1),
    ]
    assert (len(result.lines), result.lines[-1].group, result.lines[-1].total) == (12, OTHER, 10_000 - 10 - 9)


def test_nothing_and_nobody():
    ahead = scope_of(date(2026, 3, 1), date(2026, 4, 1))
    for timeline in (timeline_of([]), timeline_of([], shards=0), timeline_of([Somebody([])])):
        for asked in (
            Trend(breakdown=Breakdown("ref")),
            Trend(breakdown=Breakdown("person.source"), measure="people", cumulative=True),
            Trend((VISIT, BUY), measure="average", field="size"),
            Trend(measure="median", field="value_micros"),
        ):
            assert {line.total for line in trend(timeline, MARCH, asked).lines} <= {0, None}
            assert trend(timeline, ahead, asked).points == ()
    somebody = timeline_of([Somebody([Happened(at("03-04T10:00"), "visit")])])
    assert trend(somebody, MARCH, Trend((Match(("typo",)),))).lines[0].total == 0
    for wrong, says in (
        (TrendCell(date(2024, 3, 5)), "No month of this report"),
        (TrendCell(series=1), "no series 1"),
        (TrendCell(group=NONE), "no group"),
    ):
        with pytest.raises(InvalidInput, match=says):
            trend_people(somebody, MARCH, Trend(interval="month"), wrong)
    with pytest.raises(InvalidInput, match="compared with nothing"):
        trend_people(somebody, replace(MARCH, compare="none"), Trend(), TrendCell(earlier=True))


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"series": ()}, "between 1 and"),
        ({"measure": "sum"}, "Give a field"),
        ({"field": "size"}, "Give a field"),
        ({"measure": "median", "field": "size", "cumulative": True}, "median cannot be cumulated"),
    ],
)
def test_what_cannot_be_asked(wrong, says):
    with pytest.raises(InvalidInput, match=says):
        Trend(**wrong)
    with pytest.raises(InvalidInput, match="between 1 and 50 values"):
        Breakdown("plan", 0)
