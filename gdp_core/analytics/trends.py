"""Trends: events, people, or a number of the events over the local intervals of a period, for one or several events.

People count once in each interval, once in each group of it, and once in the whole period: whoever has several values
of an event's field is in several groups, so that groups of people may sum to more than all. A sum, average, minimum,
maximum or median is over the events that have the number; the others are left out. Cumulated, an interval holds all
those up to it. An interval the period holds only a part of is "cut", one that is not over or not all known "running".
"""

from concurrent.futures import Executor
from dataclasses import dataclass, replace
from datetime import date, datetime
from functools import reduce
from itertools import pairwise
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from gdp_core.analytics.breakdown import ALL, Breakdown, Group, split
from gdp_core.analytics.calendar import Interval, edges, instant, micros
from gdp_core.analytics.counting import ANYTHING, Counting, begun, complete_until, counting, people_where, unheard
from gdp_core.analytics.measures import Amounts, amounts, in_currency, is_money, nothing
from gdp_core.analytics.scope import Scope, midnight
from gdp_core.errors import InvalidInput
from gdp_core.timeline.arrays import EventColumn, PersonColumn, Shard, Timeline, still
from gdp_core.timeline.engine import over
from gdp_core.timeline.kernels.trend import Adding, Counted, Grouping, Room, Wanted, count_rows
from gdp_core.timeline.matching import Match

Measure = Literal["events", "people", "sum", "average", "minimum", "maximum", "median"]
State = Literal["whole", "cut", "running"]
_OF_FIELD = ("sum", "average", "minimum", "maximum", "median")
MOST_SERIES = 10
_NOBODY = Wanted(-1, 0, -1)


@dataclass(frozen=True, slots=True)
class Trend:
    """What is asked. `field` is what is added up: "value_micros" in `currency` (None: the workspace's), or a number.

    Groups of the breakdown are ranked by the measure over all series; by events for an average, a minimum and the like.
    """

    series: tuple[Match, ...] = (ANYTHING,)
    measure: Measure = "events"
    field: str | None = None
    currency: str | None = None
    interval: Interval = "day"
    breakdown: Breakdown | None = None
    cumulative: bool = False
    everything: bool = False

    def __post_init__(self) -> None:
        """Raise InvalidInput for no or too many series, and for a measure that cannot be."""
        if not 1 <= len(self.series) <= MOST_SERIES:
            raise InvalidInput(f"A trend shows between 1 and {MOST_SERIES} events.")
        if (self.measure in _OF_FIELD) != (self.field is not None):
            raise InvalidInput("Give a field with a sum, average, minimum, maximum or median, and only with them.")
        if self.cumulative and self.measure == "median":
            raise InvalidInput("A median cannot be cumulated; choose an average.")


@dataclass(frozen=True, slots=True)
class TrendPoint:
    """An interval, and whether it can be compared with the others."""

    start: date
    state: State


@dataclass(frozen=True, slots=True)
class TrendLine:
    """The values of one series and group by point; None where there is nothing to average. `total`: of the period.

    `events` and `people` are what the values are of, by point, never cumulated.
    """

    series: int
    group: Group
    values: tuple[float | None, ...]
    total: float | None
    events: tuple[int, ...]
    people: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class TrendResult:
    """Points that have begun, and for every series the line of all, then those of its groups, largest first.

    `earlier` has the same lines over the period it is compared with; its points are its own. `overlapping`: groups may
    share people.
    """

    asked: Trend
    points: tuple[TrendPoint, ...]
    lines: tuple[TrendLine, ...]
    overlapping: bool
    complete_until: datetime
    currency: str | None  # of the values
    other_currencies: tuple[str, ...]  # whose amounts are in no value
    notes: tuple[str, ...] = ()  # for the reader
    earlier: "TrendResult | None" = None


@dataclass(frozen=True, slots=True)
class TrendCell:
    """A number of the result, of a point or (None) of the period; `earlier`: of the one it is compared with."""

    start: date | None = None
    series: int = 0
    group: Group = ALL
    earlier: bool = False


def trend(
    timeline: Timeline,
    scope: Scope,
    asked: Trend,
    *,
    within: NDArray[np.bool_] | None = None,
    executor: Executor | None = None,
) -> TrendResult:
    """The lines of the period and of the one it is compared with. Raises InvalidInput for too many intervals to show."""
    plan = _plan(timeline, scope, asked, within, executor)
    before = scope.earlier()
    fields = (asked.field, asked.breakdown.field if asked.breakdown else None)
    return replace(
        _result(plan, scope),
        notes=unheard(timeline, asked.series, fields),
        earlier=None if before is None else _result(plan, before),
    )


def trend_people(
    timeline: Timeline,
    scope: Scope,
    asked: Trend,
    cell: TrendCell,
    *,
    within: NDArray[np.bool_] | None = None,
    executor: Executor | None = None,
) -> NDArray[np.int64]:
    """The lasting numbers of exactly the people a cell counts, ascending: for a number, of those whose events it is of.

    Raises InvalidInput for no such cell.
    """
    before = scope.earlier()
    if cell.earlier and before is None:
        raise InvalidInput("This report is compared with nothing.")
    of = before if before is not None and cell.earlier else scope
    plan = _plan(timeline, scope, asked, within, executor)
    days, bounds = begun(of, asked.interval)
    wanted = _wanted(plan, cell, days)

    def chosen(number: int, part: Shard) -> NDArray[np.bool_]:
        return plan.counter.count(number, part, bounds, micros(of.until), wanted)[0].listed

    return people_where(timeline, chosen, executor)


@dataclass(frozen=True, slots=True, eq=False)
class _Counter:
    """Counts any part of a timeline over any period, by series and group."""

    counting: Counting
    series: int
    amounts: Amounts
    column: EventColumn | PersonColumn | None = None
    group_of: NDArray[np.int32] | None = None
    groups: int = 0

    def count(
        self, number: int, part: Shard, bounds: NDArray[np.int64], until: int, wanted: Wanted = _NOBODY, room: int = 0
    ) -> tuple[Counted, Room]:
        """One part counted, and where there is `room`, the numbers of its rows."""
        none = np.empty(0, np.int32)
        by = Grouping(
            self.column.codes[number] if isinstance(self.column, EventColumn) else still(none),
            self.column.codes[part.people] if isinstance(self.column, PersonColumn) else none,
            none if self.group_of is None else self.group_of,
            self.groups,
        )
        adding = Adding(still(self.amounts.codes[number]), self.amounts.numbers, self.amounts.known)
        kept = Room(np.empty(room, np.int64), np.empty(room, self.amounts.numbers.dtype))
        history = self.counting.history(number, part)
        return count_rows(history, self.series, bounds, until, by, adding, wanted, kept), kept

    def total(self, timeline: Timeline, bounds: NDArray[np.int64], until: int, executor: Executor | None) -> Counted:
        """All parts together; nobody is listed."""

        def run(number: int, part: Shard) -> Counted:
            return self.count(number, part, bounds, until)[0]

        shape, numbers = (self.series * (1 + self.groups), len(bounds) - 1), self.amounts.numbers
        none, zero = np.zeros(shape, np.int64), np.zeros(shape, numbers.dtype)
        start = Counted(none, none, none, zero, zero + numbers.max(), zero + numbers.min(), np.zeros(0, np.bool_))
        return reduce(_together, (found for _, _, found in over(timeline, run, executor)), start)

    def medians(
        self, timeline: Timeline, bounds: NDArray[np.int64], until: int, executor: Executor | None
    ) -> tuple[NDArray[Any], NDArray[Any]]:
        """The median of each (slot, interval), and of each slot over the period; None of no events."""

        def run(number: int, part: Shard) -> Room:
            events = self.count(number, part, bounds, until)[0].events
            return self.count(number, part, bounds, until, room=int(events.sum()))[1]

        parts = [found for _, _, found in over(timeline, run, executor)]
        cells = np.concatenate([np.empty(0, np.int64), *(part.cells for part in parts)])
        values = np.concatenate([np.empty(0, self.amounts.numbers.dtype), *(part.numbers for part in parts)])
        slots, intervals = self.series * (1 + self.groups), len(bounds) - 1
        by_cell = _medians(cells, values, slots * intervals).reshape(slots, intervals)
        return by_cell, _medians(cells // intervals, values, slots)


def _together(one: Counted, other: Counted) -> Counted:
    return Counted(
        one.events + other.events,
        one.people + other.people,
        one.firsts + other.firsts,
        one.sums + other.sums,
        np.minimum(one.lowest, other.lowest),
        np.maximum(one.highest, other.highest),
        one.listed,
    )


def _medians(keys: NDArray[np.int64], values: NDArray[Any], many: int) -> NDArray[Any]:
    """The median of the values of each key below `many`; None for none."""
    order = np.lexsort((values, keys))
    keys, values = keys[order], np.append(values[order], 0).astype(np.float64)
    first, end = np.searchsorted(keys, np.arange(many)), np.searchsorted(keys, np.arange(many), "right")
    return _or_none((values[(first + end - 1) // 2] + values[(first + end) // 2]) / 2, first < end)


@dataclass(frozen=True, slots=True, eq=False)
class _Plan:
    """A question made ready for any period."""

    timeline: Timeline
    asked: Trend
    counter: _Counter
    groups: tuple[Group, ...]
    currency: str | None
    other_currencies: tuple[str, ...]
    executor: Executor | None


def _plan(
    timeline: Timeline, scope: Scope, asked: Trend, within: NDArray[np.bool_] | None, executor: Executor | None
) -> _Plan:
    series, currency, others, added = asked.series, None, tuple[str, ...](), nothing(timeline)
    if asked.field is not None:
        added = amounts(timeline, asked.field)
        if is_money(asked.field):
            currency = asked.currency or scope.currency
            limited = [in_currency(timeline, match, currency) for match in series]
            series, others = tuple(match for match, _ in limited), limited[0][1]
    looked = counting(timeline, series, everything=asked.everything, within=within)
    counter, groups = _Counter(looked, len(series), added), tuple[Group, ...]()
    if asked.breakdown is not None:
        of = timeline.columns.person if asked.breakdown.of_person else timeline.columns.event
        column: EventColumn | PersonColumn = of(asked.breakdown.name)
        weights, seen = _weights(timeline, scope, asked.measure, replace(counter, column=column), executor)
        found = split(column.values, seen, weights, asked.breakdown.most)
        groups = found.groups
        counter = replace(counter, column=column, group_of=found.of_code, groups=len(groups))
    return _Plan(timeline, asked, counter, groups, currency, others, executor)


def _weights(
    timeline: Timeline, scope: Scope, measure: Measure, counter: _Counter, executor: Executor | None
) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """The measure of each value, and last of the missing, over all series and the whole period; and which were seen."""
    many = len(counter.column.values) + 1 if counter.column else 0
    any_series = replace(counter.counting, matches=(counter.counting.matches != 0).astype(np.uint32))
    by_value = np.arange(many, dtype=np.int32)
    each = replace(counter, counting=any_series, series=1, group_of=by_value, groups=many)

    def of(period: Scope) -> Counted:
        since, until = micros(period.since), micros(period.until)
        return each.total(timeline, np.array([since, max(until, since + 1)]), until, executor)

    now, before = of(scope), scope.earlier()
    seen = now.events[1:, 0] > 0
    if before is not None:
        seen |= of(before).events[1:, 0] > 0
    weights = {"people": now.people, "sum": now.sums}.get(measure, now.events)
    return weights[1:, 0], seen


def _result(plan: _Plan, scope: Scope) -> TrendResult:
    asked = plan.asked
    days, bounds = begun(scope, asked.interval)
    complete, until = complete_until(plan.timeline, scope), micros(scope.until)
    found = plan.counter.total(plan.timeline, bounds, until, plan.executor)
    if asked.measure == "median":
        of_cell, of_period = plan.counter.medians(plan.timeline, bounds, until, plan.executor)
    else:
        of_cell = _read(asked.measure, _up_to_each(found) if asked.cumulative else found)
        of_period = _read(asked.measure, _up_to_each(found))[:, -1]
    labels = [(series, group) for series in range(len(asked.series)) for group in (ALL, *plan.groups)]
    shown = [[tuple(row[: len(days)]) for row in grid.tolist()] for grid in (of_cell, found.events, found.people)]
    lines = tuple(
        TrendLine(series, group, values, total, events, people)
        for (series, group), values, events, people, total in zip(labels, *shown, of_period.tolist(), strict=True)
    )
    return TrendResult(
        asked,
        _points(scope, asked.interval, days, complete),
        lines,
        isinstance(plan.counter.column, EventColumn) and asked.measure == "people",
        instant(complete),
        plan.currency,
        plan.other_currencies,
    )


def _points(scope: Scope, interval: Interval, days: tuple[date, ...], complete: int) -> tuple[TrendPoint, ...]:
    since, end = micros(scope.since), micros(midnight(scope.end, scope.zone))

    def state(begins: int, ends: int) -> State:
        if min(ends, end) > complete:
            return "running"
        return "cut" if begins < since or ends > end else "whole"

    spans = pairwise(edges(days, interval, scope.zone).tolist())
    return tuple(TrendPoint(day, state(*span)) for day, span in zip(days, spans, strict=True))


def _up_to_each(found: Counted) -> Counted:
    """Each interval together with those before it."""
    return found._replace(
        events=np.cumsum(found.events, 1),
        people=np.cumsum(found.firsts, 1),
        sums=np.cumsum(found.sums, 1),
        lowest=np.minimum.accumulate(found.lowest, 1),
        highest=np.maximum.accumulate(found.highest, 1),
    )


def _read(measure: Measure, found: Counted) -> NDArray[Any]:
    """A measure of counts; None, in an array of objects, of no events."""
    if measure in ("events", "people", "sum"):
        return {"events": found.events, "people": found.people, "sum": found.sums}[measure]
    if measure == "average":
        return _or_none(found.sums / np.maximum(found.events, 1), found.events > 0)
    return _or_none(found.lowest if measure == "minimum" else found.highest, found.events > 0)


def _or_none(values: NDArray[Any], there: NDArray[np.bool_]) -> NDArray[Any]:
    known = values.astype(object)
    known[~there] = None
    return known


def _wanted(plan: _Plan, cell: TrendCell, days: tuple[date, ...]) -> Wanted:
    """Whom a cell is about. Raises InvalidInput for no such cell."""
    groups = (ALL, *plan.groups)
    if cell.group not in groups:
        raise InvalidInput(f"There is no group {cell.group.label!r} in this report.")
    if not 0 <= cell.series < len(plan.asked.series):
        raise InvalidInput(f"There is no series {cell.series} in this report.")
    if cell.start is not None and cell.start not in days:
        raise InvalidInput(f"No {plan.asked.interval} of this report begins on {cell.start}.")
    slot = cell.series * len(groups) + groups.index(cell.group)
    if cell.start is None:
        return Wanted(slot, 0, len(days))
    place = days.index(cell.start)
    return Wanted(slot, 0 if plan.asked.cumulative else place, place)
