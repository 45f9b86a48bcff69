"""Who and what counts in a report, and until when: the same for every one of them.

Machines do not count unless asked for. "Any event" is what people surely did: what the billing system does on its own is
no act of a person, and a mail that was opened may have been opened by a mail program. An event asked for by its name
counts whoever recorded it, but for machines.
"""

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gdp_core.analytics.calendar import Interval, edges, micros, starts
from gdp_core.analytics.scope import Scope
from gdp_core.errors import InvalidInput
from gdp_core.timeline.arrays import FLAGS, MACHINE, NOTHING, Shard, Timeline, still
from gdp_core.timeline.engine import over
from gdp_core.timeline.kernels.history import History
from gdp_core.timeline.matching import Condition, Match, mark

ANYTHING = Match(())
"""Whatever a person surely did."""
MOST_INTERVALS = 600


@dataclass(frozen=True, slots=True, eq=False)
class Counting:
    """What is looked for in a timeline, and among whom."""

    marks: tuple[NDArray[np.uint16], ...]
    matches: NDArray[np.uint32]
    within: NDArray[np.bool_] | None

    def history(self, number: int, part: Shard) -> History:
        """A part of a shard for a kernel."""
        counted = part.live if self.within is None else part.live & self.within[part.people]
        return History(part.offsets, still(counted), part.at, self.marks[number], part.flags, self.matches)


def counting(
    timeline: Timeline, matches: Sequence[Match], *, everything: bool = False, within: NDArray[np.bool_] | None = None
) -> Counting:
    """Looks for these matches among live people, or those of them `within`. `everything`: all that was recorded.

    Raises InvalidInput for too many matches.
    """
    whole = (1 << len(matches)) - 1
    by_flags = np.full(FLAGS, whole, np.uint32)
    if not everything:
        by_flags[1:] = sum(1 << number for number, match in enumerate(matches) if match.names)
        by_flags[np.arange(FLAGS) & MACHINE > 0] = 0
    marks = mark(timeline, matches)
    return Counting(marks.codes, by_flags[:, None] & marks.bits, within)


def unheard(timeline: Timeline, matches: Sequence[Match], fields: Iterable[str | None] = ()) -> tuple[str, ...]:
    """A sentence for each event asked for by a name which never occurred, and each field that nothing has a value of.

    The fields are those of the matches' conditions, and further ones; None is none.
    """
    names = sorted({name for match in matches for name in match.names} - set(timeline.names))
    conditions = {condition for match in matches for condition in match.conditions}
    asked = conditions | {Condition(field, "set") for field in fields if field}
    missing = sorted({(one.of_person, one.name) for one in asked if not _has_values(timeline, one)})
    return (
        *(f"No event named {name} has ever been recorded." for name in names),
        *(f"No {'person' if of_person else 'event'} has a value for {field}." for of_person, field in missing),
    )


def _has_values(timeline: Timeline, one: Condition) -> bool:
    if not one.of_person:
        return len(timeline.columns.event(one.name).values) > 0
    whole = timeline.columns.whole(one.name)
    return len(timeline.columns.person(one.name).values) > 0 if whole is None else bool((whole != NOTHING).any())


def people_where(
    timeline: Timeline, chosen: Callable[[int, Shard], NDArray[Any]], executor: Executor | None
) -> NDArray[np.int64]:
    """The lasting numbers, ascending, of the people chosen in each part of a timeline: a mask over them, or places."""

    def listed(number: int, part: Shard) -> NDArray[np.int32]:
        people: NDArray[np.int32] = part.people[chosen(number, part)]
        return people

    found = [people for _, _, people in over(timeline, listed, executor)]
    return timeline.numbers[np.sort(np.concatenate(found))] if found else timeline.numbers[:0]


def complete_until(timeline: Timeline, scope: Scope) -> int:
    """The instant, in microseconds, up to which everything is known: what ends later is not mature."""
    return min(timeline.watermark, micros(scope.now))


def days_of(scope: Scope, interval: Interval) -> tuple[date, ...]:
    """The first days of the intervals that meet a period. Raises InvalidInput when they are too many to show."""
    days = starts(scope.start, scope.end, interval)
    if len(days) > MOST_INTERVALS:
        raise InvalidInput(f"These are {len(days)} {interval}s; choose a longer interval or a shorter period.")
    return days


def begun(scope: Scope, interval: Interval) -> tuple[tuple[date, ...], NDArray[np.int64]]:
    """The intervals of a period that have begun, and the edges of each, in microseconds; the first is the period's own.

    Before the period has begun there are no intervals, and two edges. Raises InvalidInput when there are too many.
    """
    days = days_of(scope, interval)
    bounds = edges(days, interval, scope.zone)
    bounds[0] = micros(scope.since)
    there = tuple(day for day in days if max(day, scope.start) <= scope.today)
    return there, bounds[: max(1, len(there)) + 1]
