"""Stickiness: in how many intervals of a period people were active, and the active people of each day, week and month.

Active is who did E, any act of a person unless another is named. Of a local day: *DAU*, active on it; *WAU* and *MAU*,
active in the 7 and in the 30 local days that end with it; DAU/MAU is the mean DAU of those 30 days by their MAU.
"""

from concurrent.futures import Executor
from dataclasses import dataclass
from datetime import date, datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from gdp_core.analytics.calendar import Interval, edges, instant, micros, starts
from gdp_core.analytics.counting import ANYTHING, begun, complete_until, counting, days_of, people_where, unheard
from gdp_core.analytics.scope import Scope
from gdp_core.errors import InvalidInput
from gdp_core.timeline.arrays import Shard, Timeline
from gdp_core.timeline.engine import over
from gdp_core.timeline.kernels.lifecycle import active_intervals, trailing
from gdp_core.timeline.matching import Match

WEEK, MONTH = 7, 30
_SPANS = (1, WEEK, MONTH)


@dataclass(frozen=True, slots=True)
class Stickiness:
    """What is asked. `interval` is that of the distribution; `everything`: machines and the billing system count too."""

    event: Match = ANYTHING
    interval: Interval = "day"
    everything: bool = False


@dataclass(frozen=True, slots=True)
class ActiveDay:
    """The active people of a local day, and of the 7 and 30 days up to it. A day that is not `complete` may still grow."""

    day: date
    daily: int
    weekly: int
    monthly: int
    ratio: float | None  # DAU/MAU; None when nobody was active
    complete: bool


@dataclass(frozen=True, slots=True)
class StickinessResult:
    """`people[n - 1]` were active in exactly n of the period's intervals that have begun."""

    asked: Stickiness
    people: tuple[int, ...]
    days: tuple[ActiveDay, ...]
    complete_until: datetime
    notes: tuple[str, ...] = ()  # for the reader

    @property
    def active(self) -> int:
        """Everybody active in the period."""
        return sum(self.people)


@dataclass(frozen=True, slots=True)
class StickinessCell:
    """A number of the result: who was active in exactly that many intervals, or in the last `span` days up to a day."""

    intervals: int | None = None
    day: date | None = None
    span: int = 1

    def __post_init__(self) -> None:
        """Raise InvalidInput unless it is one of the two."""
        if (self.intervals is None) == (self.day is None) or self.span not in _SPANS or self.intervals == 0:
            raise InvalidInput("Choose a number of intervals, or a day and the 1, 7 or 30 days that end with it.")


def stickiness(
    timeline: Timeline,
    scope: Scope,
    asked: Stickiness,
    *,
    within: NDArray[np.bool_] | None = None,
    executor: Executor | None = None,
) -> StickinessResult:
    """The distribution over the period, and each of its days. Raises InvalidInput when they are too many to show."""
    looked = counting(timeline, [asked.event], everything=asked.everything, within=within)
    intervals, bounds = begun(scope, asked.interval)
    days, day_bounds = _days(scope)
    until, now = micros(scope.until), micros(scope.now)

    def counts(number: int, part: Shard) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        history = looked.history(number, part)
        active = active_intervals(history, bounds, until)
        return np.bincount(active, minlength=len(intervals) + 1), trailing(history, day_bounds, now, np.array(_SPANS))

    people = np.zeros(len(intervals) + 1, np.int64)
    active = np.zeros((len(_SPANS), len(day_bounds) - 1), np.int64)
    for _, _, (distribution, trails) in over(timeline, counts, executor):
        people += distribution
        active += trails
    complete = complete_until(timeline, scope)
    return StickinessResult(
        asked,
        tuple(people[1:].tolist()),
        _active_days(days, active, day_bounds, complete),
        instant(complete),
        unheard(timeline, [asked.event]),
    )


def stickiness_people(
    timeline: Timeline,
    scope: Scope,
    asked: Stickiness,
    cell: StickinessCell,
    *,
    within: NDArray[np.bool_] | None = None,
    executor: Executor | None = None,
) -> NDArray[np.int64]:
    """The lasting numbers of exactly the people a cell counts, ascending. Raises InvalidInput for no such cell."""
    looked = counting(timeline, [asked.event], everything=asked.everything, within=within)
    if cell.day is None:
        bounds, until, wanted = begun(scope, asked.interval)[1], micros(scope.until), cell.intervals
    else:
        days, every = _days(scope)
        if cell.day not in days:
            raise InvalidInput(f"{cell.day} is no day of this report.")
        end = days.index(cell.day) + MONTH
        bounds, until, wanted = every[[end - cell.span, end]], micros(scope.now), 1

    def chosen(number: int, part: Shard) -> NDArray[np.bool_]:
        history = looked.history(number, part)
        found: NDArray[np.bool_] = history.counted & (active_intervals(history, bounds, until) == wanted)
        return found

    return people_where(timeline, chosen, executor)


def _days(scope: Scope) -> tuple[tuple[date, ...], NDArray[np.int64]]:
    """The days of the period that have begun, and the edges of those before that their month takes in and of each."""
    days = tuple(day for day in days_of(scope, "day") if day <= scope.today)
    first = scope.start - timedelta(days=MONTH - 1)
    return days, edges(starts(first, scope.start + timedelta(days=len(days)), "day"), "day", scope.zone)


def _active_days(
    days: tuple[date, ...], active: NDArray[np.int64], bounds: NDArray[np.int64], complete: int
) -> tuple[ActiveDay, ...]:
    """From active (spans, days), which begins with the days before the period."""
    summed = np.concatenate([[0], np.cumsum(active[0])])
    month_of_days = summed[MONTH:] - summed[:-MONTH]
    shown = zip(days, active.T[MONTH - 1 :].tolist(), month_of_days.tolist(), bounds[MONTH:], strict=True)
    return tuple(
        ActiveDay(day, daily, weekly, monthly, total / MONTH / monthly if monthly else None, bool(end <= complete))
        for day, (daily, weekly, monthly), total, end in shown
    )
