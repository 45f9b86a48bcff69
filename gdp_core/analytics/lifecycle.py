"""Lifecycle: what the active people of each local interval were, and who fell silent.

For an event E, any act of a person unless another is named: *new*, the person's first E of all history is in the
interval; *returning*, E in it and in the one before; *resurrecting*, E in it, none in the one before, some earlier;
*dormant*, E in the one before and none in it. So active = new + returning + resurrecting, and dormant = active of the
interval before - returning. Intervals are whole: those that the period meets, until now.
"""

from concurrent.futures import Executor
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from gdp_core.analytics.calendar import Interval, edges, floor, instant, micros
from gdp_core.analytics.counting import ANYTHING, complete_until, counting, days_of, people_where, unheard
from gdp_core.analytics.scope import Scope
from gdp_core.errors import InvalidInput
from gdp_core.timeline.arrays import Shard, Timeline
from gdp_core.timeline.engine import over
from gdp_core.timeline.kernels.lifecycle import DORMANT, NEW, RESURRECTING, RETURNING, states_of
from gdp_core.timeline.matching import Match

State = Literal["new", "returning", "resurrecting", "dormant"]
STATES: tuple[State, ...] = ("new", "returning", "resurrecting", "dormant")
_BITS = {"new": 1 << NEW, "returning": 1 << RETURNING, "resurrecting": 1 << RESURRECTING, "dormant": 1 << DORMANT}
_BITS["active"] = _BITS["new"] | _BITS["returning"] | _BITS["resurrecting"]
_NONE = -1


@dataclass(frozen=True, slots=True)
class Lifecycle:
    """What is asked. `everything`: events of machines and of the billing system count too."""

    event: Match = ANYTHING
    interval: Interval = "week"
    everything: bool = False


@dataclass(frozen=True, slots=True)
class LifecyclePoint:
    """One interval. While it is not `complete`, its dormant people may still come."""

    start: date
    new: int
    returning: int
    resurrecting: int
    dormant: int
    complete: bool

    @property
    def active(self) -> int:
        """Who was active in it."""
        return self.new + self.returning + self.resurrecting


@dataclass(frozen=True, slots=True)
class LifecycleResult:
    """The intervals of the period that have begun. `before`: who was active in the one before the first."""

    asked: Lifecycle
    before: int
    points: tuple[LifecyclePoint, ...]
    complete_until: datetime
    notes: tuple[str, ...] = ()  # for the reader


@dataclass(frozen=True, slots=True)
class LifecycleCell:
    """A number of the result."""

    start: date
    state: State | Literal["active"]


def lifecycle(
    timeline: Timeline,
    scope: Scope,
    asked: Lifecycle,
    *,
    within: NDArray[np.bool_] | None = None,
    executor: Executor | None = None,
) -> LifecycleResult:
    """Every interval of the period, as defined above. Raises InvalidInput when they are too many to show."""
    days, bounds = _intervals(scope, asked.interval)
    looked = counting(timeline, [asked.event], everything=asked.everything, within=within)
    now = micros(scope.now)

    def counts(number: int, part: Shard) -> NDArray[np.int64]:
        return states_of(looked.history(number, part), bounds, now, 0, _NONE)[0]

    total = np.zeros((len(STATES), len(bounds) - 1), np.int64)
    for _, _, found in over(timeline, counts, executor):
        total += found
    complete = complete_until(timeline, scope)
    points = tuple(
        LifecyclePoint(day, new, returning, resurrecting, dormant, bool(end <= complete))
        for day, (new, returning, resurrecting, dormant), end in zip(
            days, total.T[1:].tolist(), bounds[2:], strict=True
        )
    )
    return LifecycleResult(
        asked, int(total[:DORMANT, 0].sum()), points, instant(complete), unheard(timeline, [asked.event])
    )


def lifecycle_people(
    timeline: Timeline,
    scope: Scope,
    asked: Lifecycle,
    cell: LifecycleCell,
    *,
    within: NDArray[np.bool_] | None = None,
    executor: Executor | None = None,
) -> NDArray[np.int64]:
    """The lasting numbers of exactly the people a cell counts, ascending. Raises InvalidInput for no such cell."""
    days, bounds = _intervals(scope, asked.interval)
    if cell.start not in days:
        raise InvalidInput(f"No {asked.interval} of this report begins on {cell.start}.")
    looked = counting(timeline, [asked.event], everything=asked.everything, within=within)
    now, place = micros(scope.now), days.index(cell.start) + 1

    def chosen(number: int, part: Shard) -> NDArray[np.bool_]:
        found: NDArray[np.bool_] = states_of(looked.history(number, part), bounds, now, _BITS[cell.state], place)[1]
        return found

    return people_where(timeline, chosen, executor)


def _intervals(scope: Scope, interval: Interval) -> tuple[tuple[date, ...], NDArray[np.int64]]:
    """The intervals that have begun, and the edges of the one before them and of each."""
    days = tuple(day for day in days_of(scope, interval) if max(day, scope.start) <= scope.today)
    before = floor(floor(scope.start, interval) - timedelta(days=1), interval)
    return days, edges((before, *days), interval, scope.zone)
