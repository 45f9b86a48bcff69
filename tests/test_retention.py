"""Retention as definitions say it, one person at a time, against the kernels; and its corners by hand."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from uuid import UUID

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gdp_core.analytics.beginnings import Known
from gdp_core.analytics.breakdown import ALL, NONE, OTHER, Breakdown, Group
from gdp_core.analytics.counting import ANYTHING
from gdp_core.analytics.retention import (
    Retention,
    RetentionCell,
    retention,
    retention_people,
    source_columns,
)
from gdp_core.analytics.scope import Scope
from gdp_core.errors import InvalidInput
from gdp_core.timeline import engine
from gdp_core.timeline.arrays import BILLING, MACHINE
from gdp_core.timeline.matching import Condition, Match

from .lives import EPOCH, World, counts_for, day_of, first_day, first_instant, in_order, micros_of, place, worlds
from .timelines import Happened, Somebody, timeline_of

DAY = 86_400_000_000
LENGTH = {"day": DAY, "week": 7 * DAY, "month": 30 * DAY}
VISIT, BUY = Match(("visit",)), Match(("buy",))


@pytest.fixture(autouse=True, scope="module")
def small_parts() -> Iterator[None]:
    """Even a handful of rows is worth a part of its own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(engine, "_WORTH_A_PART", 3)
        yield


def starts_of(world: World, asked: Retention, who: Somebody) -> list[tuple[int, int]]:
    """(t0, how many rows are not after it) of each of a person's starts in the period."""
    since, until = micros_of(world.scope.since), micros_of(world.scope.until)
    rows = in_order(who)
    if isinstance(asked.start, Known):
        said = who.traits.get("signup_at")
        if said is None or said == "never":
            return []
        t0 = said if isinstance(said, int) else micros_of(datetime.fromisoformat(said))
        return [(t0, sum(event.at <= t0 for event in rows))] if since <= t0 < until else []
    found = [
        (event.at, index + 1) for index, event in enumerate(rows) if counts_for(event, asked.start, asked.everything)
    ]
    if asked.occurrence == "first_ever":
        return [start for start in found[:1] if since <= start[0] < until]
    inside = [start for start in found if since <= start[0] < until]
    if asked.occurrence == "first_in_period":
        return inside[:1]
    of_interval = {}
    for start in inside:
        of_interval.setdefault(place(day_of(start[0], world.scope.zone), asked.cohort), start)
    return [*of_interval.values()]


def interval_of(world: World, asked: Retention, t0: int, at: int) -> int:
    unit = asked.unit or asked.cohort
    if asked.rolling:
        return (at - t0) // LENGTH[unit]
    return place(day_of(at, world.scope.zone), unit) - place(day_of(t0, world.scope.zone), unit)


def is_in(asked: Retention, column: int, interval: int) -> bool:
    if asked.mode == "on":
        return interval == column
    if asked.mode == "on_or_after":
        return interval >= column
    first, last = asked.brackets[column]
    return interval >= first and (last is None or interval <= last)


def group_of(asked: Retention, who: Somebody, rows: list[Happened], after: int) -> Group:
    if asked.breakdown is None:
        return ALL
    found = who.traits["source"] if asked.breakdown.of_person else rows[after - 1].properties.get("plan")
    return NONE if found is None else Group("value", "true" if found is True else str(found))


def worth(world: World, asked: Retention, event: Happened) -> float:
    found = event.properties.get(asked.value) if asked.value else None
    if asked.value == "value_micros":
        used = {one.properties.get("currency") for who in world.people for one in who.events}
        is_ours = event.properties.get("currency") == "EUR" or not used - {None, "EUR"}
        return found if found is not None and is_ours else 0
    if isinstance(found, str):
        return int(found) if found.isdigit() else 0
    return 0 if found is None or found is True else found


def read(world: World, asked: Retention):
    """{(group, cohort): (people, who was back in each column, what they brought in it)}; people by index."""
    cells = {}
    width = len(asked.brackets) or asked.intervals + 1
    for index, who in world.counting():
        rows = in_order(who)
        for t0, after in starts_of(world, asked, who):
            cohort = first_day(place(day_of(t0, world.scope.zone), asked.cohort), asked.cohort)
            key = group_of(asked, who, rows, after), cohort
            people, back, sums = cells.setdefault(key, ([], [set() for _ in range(width)], [0] * width))
            people.append(index)
            for event in rows[after:]:
                if event.at >= world.now or not counts_for(event, asked.returning, asked.everything):
                    continue
                interval = interval_of(world, asked, t0, event.at)
                for column in range(width):
                    if is_in(asked, column, interval):
                        back[column].add(index)
                        sums[column] += worth(world, asked, event)
    return cells


def named(cells, most: int):
    """The same with the smaller groups put together, and the groups in their order."""
    sizes = {}
    for (group, _), (people, _, _) in cells.items():
        sizes[group] = sizes.get(group, 0) + len(people)
    ranked = sorted((group for group in sizes if group != NONE), key=lambda group: (-sizes[group], group.label))
    shown, rest = ranked[:most], ranked[most:]
    merged = {}
    for (group, cohort), (people, back, sums) in cells.items():
        key = OTHER if group in rest else group, cohort
        if key not in merged:
            merged[key] = people, back, sums
        else:
            old = merged[key]
            merged[key] = (
                old[0] + people,
                [one | other for one, other in zip(old[1], back, strict=True)],
                [one + other for one, other in zip(old[2], sums, strict=True)],
            )
    return merged, [*shown, *([OTHER] if rest else []), *([NONE] if NONE in sizes else [])]


def state_of(world: World, asked: Retention, cohort: date, column: int) -> str:
    zone, unit = world.scope.zone, asked.unit or asked.cohort
    first, last = asked.brackets[column] if asked.brackets else (column, column)
    last = first if last is None else last
    following = first_day(place(cohort, asked.cohort) + 1, asked.cohort)
    begin = max(first_instant(cohort, zone), first_instant(world.scope.start, zone))
    end = min(first_instant(following, zone), first_instant(world.scope.end, zone))
    if asked.rolling:
        begins, ends = begin + first * LENGTH[unit], end + (last + 1) * LENGTH[unit]
    else:
        earliest, latest = place(day_of(begin, zone), unit), place(day_of(end - 1, zone), unit)
        begins = first_instant(first_day(earliest + first, unit), zone)
        ends = first_instant(first_day(latest + last + 1, unit), zone)
    return "mature" if ends <= world.complete else "open" if begins < world.now else "ahead"


def questions() -> st.SearchStrategy[Retention]:
    match = st.sampled_from(
        [ANYTHING, VISIT, BUY, Match(("buy", "open")), Match((), (Condition("plan", "is", ("free",)),))]
    )

    def build(start, occurrence, mode, breakdown, **rest) -> Retention:
        if isinstance(start, Known):
            occurrence = "first_ever"
            breakdown = Breakdown("person.source", 2) if breakdown else None
        brackets = ((0, 0), (1, 3), (2, 6), (7, 7), (5, None)) if mode == "bracket" else ()
        return Retention(start, occurrence=occurrence, mode=mode, brackets=brackets, breakdown=breakdown, **rest)

    return st.builds(
        build,
        start=match | st.just(Known()),
        occurrence=st.sampled_from(["first_ever", "first_in_period", "recurring"]),
        mode=st.sampled_from(["on", "on_or_after", "bracket"]),
        breakdown=st.sampled_from(
            [None, Breakdown("person.source", 2), Breakdown("plan", 2), Breakdown("properties.plan")]
        ),
        returning=match,
        cohort=st.sampled_from(["day", "week", "month"]),
        unit=st.sampled_from([None, "day", "week", "month"]),
        rolling=st.booleans(),
        intervals=st.sampled_from([1, 4, 70]),
        value=st.sampled_from([None, "value_micros", "size"]),
        everything=st.booleans(),
    )


@settings(max_examples=150, deadline=None)
@given(worlds(), questions(), st.integers(1, 3))
def test_every_cell_is_what_the_definition_says(world: World, asked: Retention, shards: int):
    timeline = timeline_of(world.people, shards=shards, watermark=world.watermark)
    within = None if world.within is None else np.array(world.within, np.bool_)
    result = retention(timeline, world.scope, asked, within=within)
    cells, groups = named(read(world, asked), asked.breakdown.most if asked.breakdown else 1)
    first, *others = result.triangles
    assert first.group == ALL
    assert [triangle.group for triangle in others] == ([] if asked.breakdown is None else groups)
    for triangle in others or [first]:
        for cohort in triangle.cohorts:
            people, back, sums = cells.pop(
                (triangle.group, cohort.start), ([], [set()] * len(result.columns), [0] * len(result.columns))
            )
            assert cohort.people == len(people)
            assert cohort.returned == tuple(map(len, back))
            assert cohort.sums == (() if asked.value is None else pytest.approx(tuple(sums), rel=1e-12))
            assert cohort.states == tuple(state_of(world, asked, cohort.start, column) for column in range(len(back)))
            if triangle.group == (groups[0] if groups else ALL) and people:
                for column in (None, 0, len(back) - 1):
                    for returned in (True, False):
                        cell = RetentionCell(cohort.start, column, triangle.group, returned)
                        meant = (
                            set(people) if column is None else back[column] if returned else set(people) - back[column]
                        )
                        listed = retention_people(timeline, world.scope, asked, cell, within=within)
                        assert listed.tolist() == [10 + index for index in sorted(meant)]
    assert cells == {}
    for row, cohort in enumerate(first.cohorts):
        parts = [triangle.cohorts[row] for triangle in others] or [cohort]
        assert cohort.people == sum(part.people for part in parts)
        assert cohort.returned == tuple(map(sum, zip(*(part.returned for part in parts), strict=True)))


@settings(max_examples=100, deadline=None)
@given(worlds(), questions())
def test_averages_are_over_mature_cells_alone(world: World, asked: Retention):
    timeline = timeline_of(world.people, watermark=world.watermark)
    result = retention(timeline, world.scope, asked)
    for triangle in result.triangles:
        assert triangle.people == sum(cohort.people for cohort in triangle.cohorts)
        for column, average in enumerate(triangle.averages):
            mature = [one for one in triangle.cohorts if one.states[column] == "mature" and one.people]
            assert average.people == sum(one.people for one in mature)
            assert average.returned == sum(one.returned[column] for one in mature)
            rates = [one.returned[column] / one.people for one in mature]
            assert average.simple == (pytest.approx(sum(rates) / len(rates)) if rates else None)
            assert average.weighted == (average.returned / average.people if mature else None)
            if asked.value:
                assert average.total == pytest.approx(sum(one.sums[column] for one in mature))
            if asked.occurrence != "recurring":
                cell = RetentionCell(None, column, triangle.group)
                assert len(retention_people(timeline, world.scope, asked, cell)) == average.returned


@settings(max_examples=100, deadline=None)
@given(
    worlds(),
    questions().filter(lambda asked: asked.mode != "on_or_after" and (None not in dict(asked.brackets).values())),
    st.integers(0, 30),
)
def test_a_mature_cell_never_changes(world: World, asked: Retention, later: int):
    timeline = timeline_of(world.people)
    then = replace(world.scope, now=world.scope.now + timedelta(days=later))
    before = retention(timeline, world.scope, asked).triangles[0]
    after = retention(timeline, then, asked).triangles[0]
    for one, other in zip(before.cohorts, after.cohorts, strict=True):
        for column, state in enumerate(one.states):
            if state == "mature":
                assert other.states[column] == "mature"
                assert (one.people, one.returned[column], one.sums[column : column + 1]) == (
                    other.people,
                    other.returned[column],
                    other.sums[column : column + 1],
                )


def at(text: str) -> int:
    """An instant of a day of 2024, UTC."""
    return micros_of(datetime.fromisoformat(f"2024-{text}+00:00"))


def scope_of(start: date, end: date, *, zone: str = "UTC", now: datetime = datetime(2025, 6, 1, tzinfo=UTC)) -> Scope:
    return Scope(UUID(int=0), zone, "EUR", start, end, now)


MARCH = scope_of(date(2024, 3, 1), date(2024, 4, 1))


def only(people: list[Somebody], asked: Retention, scope: Scope = MARCH, **how) -> tuple[int, tuple[int, ...]]:
    """The size of the one cohort there is, and who returned to it."""
    result = retention(timeline_of(people, **how), scope, asked)
    [cohort] = [one for one in result.triangles[0].cohorts if one.people] or result.triangles[0].cohorts[:1]
    return cohort.people, cohort.returned


def test_interval_0_needs_a_return_after_the_start():
    """Who only ever did the starting event is not back, whoever did two at the same instant is."""
    once = Somebody([Happened(at("03-04T10:00"), "visit")])
    twice = Somebody([Happened(at("03-04T10:00"), "visit"), Happened(at("03-04T10:00"), "visit")])
    before = Somebody([Happened(at("03-04T10:00"), "buy"), Happened(at("03-04T10:00"), "visit")])
    asked = Retention(VISIT, intervals=1)
    assert only([once, twice, before], asked) == (3, (1, 0))


def test_every_edge_belongs_to_what_begins_there():
    """Of intervals, of the rolling clock, of recurring starts, and of what is known by now."""
    day = at("03-05T00:00")
    rolling = [Somebody([Happened(day + after, "visit") for after in (0, DAY - 1, DAY, 2 * DAY)])]
    assert only(rolling, Retention(cohort="month", unit="day", rolling=True, intervals=3)) == (1, (1, 1, 1, 0))
    calendar = [Somebody([Happened(when, "visit") for when in (day - 1, day, day + DAY - 1)])]
    assert only(calendar, Retention(cohort="month", unit="day", intervals=2)) == (1, (0, 1, 0))
    assert only(calendar, Retention(cohort="month", unit="day", intervals=2, rolling=True)) == (1, (1, 1, 0))
    recurring = retention(timeline_of(calendar), MARCH, Retention(cohort="day", intervals=1, occurrence="recurring"))
    assert [(one.start.day, one.returned) for one in recurring.triangles[0].cohorts if one.people] == [
        (4, (0, 1)),
        (5, (1, 0)),
    ]
    spent = [Somebody([Happened(day + after, "buy", {"value_micros": 1, "currency": "EUR"}) for after in (0, 1, 2, 3)])]
    valued = Retention(cohort="month", unit="day", intervals=1, value="value_micros")
    for now, back in ((day, 0), (day + 1, 1)):
        scope = replace(MARCH, now=EPOCH + timedelta(microseconds=now))
        worth = retention(timeline_of(spent), replace(scope, now=scope.now + timedelta(microseconds=2)), valued)
        assert worth.triangles[0].cohorts[0].sums == (1 + back, 0)
        assert only(calendar, Retention(cohort="month", unit="day", intervals=1), scope) == (1, (0, back))


@pytest.mark.parametrize(
    "asked",
    [
        Retention(VISIT, cohort="month"),
        Retention(VISIT, cohort="month", occurrence="first_in_period"),
        Retention(VISIT, cohort="month", occurrence="recurring"),
        Retention(Known(), cohort="month"),
    ],
    ids=lambda asked: asked.occurrence if asked.start == VISIT else "known",
)
def test_the_period_holds_its_first_instant_and_not_its_end(asked):
    since, until = at("03-01T00:00"), at("04-01T00:00")
    moments = (since - 1, since, until - 1, until)
    timeline = timeline_of([Somebody([Happened(when, "visit")], {"signup_at": when}) for when in moments])
    assert retention(timeline, MARCH, asked).triangles[0].people == 2
    assert retention_people(timeline, MARCH, asked, RetentionCell(date(2024, 3, 1))).tolist() == [11, 12]


def test_first_ever_looks_at_all_history_and_first_in_the_period_does_not():
    early = Somebody([Happened(at("02-20T10:00"), "visit"), Happened(at("03-04T10:00"), "visit")])
    late = Somebody([Happened(at("03-05T10:00"), "visit"), Happened(at("03-12T10:00"), "visit")])
    assert only([early, late], Retention(VISIT, intervals=1)) == (1, (0, 1))
    assert only([early, late], Retention(VISIT, occurrence="first_in_period", intervals=1)) == (2, (0, 1))


def test_a_day_of_25_hours_is_one_day_on_the_calendar_and_more_than_one_on_the_rolling_clock():
    people = [Somebody([Happened(at("11-03T04:30"), "visit"), Happened(at("11-04T04:45"), "visit")])]
    scope = scope_of(date(2024, 11, 3), date(2024, 11, 4), zone="America/New_York")
    asked = Retention(cohort="day", intervals=1)
    assert only(people, asked, scope) == (1, (1, 0))  # 00:30 and 23:45 of the same local day
    assert only(people, replace(asked, rolling=True), scope) == (1, (0, 1))


def test_day_7_and_day_30_of_weekly_cohorts():
    people = [
        Somebody([Happened(at("03-06T23:59"), "visit"), Happened(at("03-13T00:00"), "open")]),
        Somebody(
            [
                Happened(at("03-05T10:00"), "visit"),
                Happened(at("03-12T23:59"), "buy"),
                Happened(at("04-04T09:00"), "buy"),
            ]
        ),
        Somebody(
            [
                Happened(at("03-05T10:00"), "visit"),
                Happened(at("03-11T23:59"), "buy"),
                Happened(at("03-13T00:00"), "buy"),
            ]
        ),
    ]
    result = retention(timeline_of(people), MARCH, source_columns(Retention(VISIT, mode="on_or_after", rolling=True)))
    assert [column.name for column in result.columns] == ["retention_d7", "retention_d30"]
    [cohort] = [one for one in result.triangles[0].cohorts if one.people]
    assert (cohort.start, cohort.people, cohort.returned) == (date(2024, 3, 4), 3, (2, 1))
    assert (cohort.rate(0), cohort.rate(1)) == (2 / 3, 1 / 3)


def test_machines_and_the_billing_system_are_nobody():
    opened = Somebody([Happened(at("03-04T10:00"), "open", flags=int(MACHINE)), Happened(at("03-05T10:00"), "open")])
    billed = Somebody([Happened(at("03-04T10:00"), "visit"), Happened(at("03-12T10:00"), "buy", flags=int(BILLING))])
    asked = Retention(cohort="month", unit="day", intervals=8)
    assert only([opened], asked)[1][1] == 0
    assert only([opened], replace(asked, everything=True))[1][1] == 1
    assert only([billed], asked)[1][8] == 0
    assert only([billed], replace(asked, returning=BUY))[1][8] == 1
    assert only([replace(billed, live=False)], asked)[0] == 0


def test_signing_up_is_an_instant_of_the_person():
    known = {"signup_at": "2024-03-04T10:00:00+01:00"}
    people = [
        Somebody([Happened(at("03-04T09:00"), "signed up"), Happened(at("03-04T09:00"), "visit")], known),
        Somebody([Happened(at("03-04T09:00") + 1, "visit"), Happened(at("03-11T09:00"), "visit")], known),
        Somebody([Happened(at("03-04T08:00"), "visit")], {"signup_at": at("03-04T09:00")}),
        Somebody([Happened(at("03-04T08:00"), "visit")], {"signup_at": "soon"}),
        Somebody([], known),
    ]
    assert only(people, Retention(Known(), intervals=1)) == (4, (1, 1))


def test_ten_thousand_values_are_ten_groups_and_the_others():
    people = [Somebody([Happened(at("03-04T10:00"), "visit", {"ref": f"r{min(n, 9_990):04}"})]) for n in range(10_000)]
    result = retention(timeline_of(people), MARCH, Retention(breakdown=Breakdown("ref")))
    everybody, *groups = result.triangles
    assert [(one.group.label, one.people) for one in groups[:3]] == [("r9990", 10), ("r0000", 1), ("r0001", 1)]
    assert (len(groups), groups[-1].group, groups[-1].people) == (11, OTHER, 10_000 - 10 - 9)
    assert everybody.people == 10_000


def test_money_is_of_one_currency():
    people = [
        Somebody(
            [
                Happened(at("03-04T10:00"), "visit"),
                Happened(at("03-05T10:00"), "buy", {"value_micros": 2**53 + 1, "currency": "EUR"}),
            ]
        ),
        Somebody(
            [
                Happened(at("03-04T10:00"), "visit"),
                Happened(at("03-05T10:00"), "buy", {"value_micros": 5, "currency": "usd"}),
            ]
        ),
    ]
    asked = Retention(VISIT, BUY, cohort="month", intervals=1, value="value_micros")
    result = retention(timeline_of(people), MARCH, asked)
    assert (result.currency, result.other_currencies) == ("EUR", ("usd",))
    assert result.triangles[0].cohorts[0].sums == (2**53 + 1, 0)
    assert result.triangles[0].averages[0].value == (2**53 + 1) / 2
    dollars = retention(timeline_of(people), MARCH, replace(asked, currency="USD"))
    assert dollars.triangles[0].cohorts[0].sums == (5, 0)


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"intervals": 0}, "between 1 and"),
        ({"mode": "bracket"}, "Give brackets"),
        ({"brackets": ((1, 2),)}, "Give brackets"),
        ({"mode": "bracket", "brackets": ((5, 2),)}, "no later than the last"),
        ({"mode": "bracket", "brackets": ((-1, None),)}, "between 0"),
        ({"start": Known(), "occurrence": "recurring"}, "one such instant"),
        ({"start": Known(), "breakdown": Breakdown("plan")}, "field of people"),
    ],
)
def test_what_cannot_be_asked(wrong, says):
    with pytest.raises(InvalidInput, match=says):
        Retention(**wrong)


def test_nothing_and_nobody():
    asked = Retention(breakdown=Breakdown("plan"), value="value_micros")
    for timeline in (timeline_of([]), timeline_of([], shards=0), timeline_of([Somebody([])])):
        result = retention(timeline, MARCH, asked)
        assert [one.people for one in result.triangles] == [0]
        assert result.triangles[0].averages[0].weighted is None
        assert retention_people(timeline, MARCH, asked, RetentionCell()).tolist() == []
    somebody = timeline_of([Somebody([Happened(at("03-04T10:00"), "visit")])])
    assert retention(somebody, MARCH, Retention(Match(("typo",)))).triangles[0].people == 0
    with pytest.raises(InvalidInput, match="no group 'pro'"):
        retention_people(somebody, MARCH, asked, RetentionCell(group=Group("value", "pro")))
    with pytest.raises(InvalidInput, match="no column 99"):
        retention_people(somebody, MARCH, asked, RetentionCell(column=99))
    with pytest.raises(InvalidInput, match="no cohort"):
        retention_people(somebody, MARCH, asked, RetentionCell(date(2024, 3, 5)))
    with pytest.raises(InvalidInput, match="choose one cohort"):
        retention_people(somebody, MARCH, replace(asked, occurrence="recurring"), RetentionCell())
    with pytest.raises(InvalidInput, match="a longer interval"):
        retention(somebody, scope_of(date(2020, 1, 1), date(2024, 1, 1)), Retention(cohort="day"))
