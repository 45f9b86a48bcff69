"""Where a person's clock begins: the instant t0 that retention and activation count from, and the row it stands at.

It is an event (their first ever, their first in the period, or the first of every interval), or an instant known of the
person, such as when they signed up. What is after t0 is what follows that row; for an instant, what is later than it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from gdp_core.analytics.calendar import micros
from gdp_core.analytics.scope import Scope
from gdp_core.timeline.arrays import NOTHING, PersonColumn, Shard, Timeline, Value
from gdp_core.timeline.kernels.history import History
from gdp_core.timeline.kernels.retention import first_starts, recurring_starts, rows_at
from gdp_core.timeline.matching import Condition, Match

Occurrence = Literal["first_ever", "first_in_period", "recurring"]
NEVER = NOTHING  # also how numpy stores an instant that is none


@dataclass(frozen=True, slots=True)
class Known:
    """An instant known of a person: ISO text (UTC where it names no zone), or microseconds since 1970."""

    field: str = "signup_at"

    @property
    def name(self) -> str:
        """The field without its prefix."""
        return Condition(self.field, "set").name


@dataclass(frozen=True, slots=True, eq=False)
class Beginnings:
    """Starts in a part of a shard: person (index in the part), row in the shard, and t0, in order of (person, t0)."""

    people: NDArray[np.int32]
    rows: NDArray[np.int64]
    instants: NDArray[np.int64]


def instants_of(timeline: Timeline, field: str) -> NDArray[np.int64]:
    """An instant of everybody, microseconds, aligned with Timeline.numbers; NEVER for who has none."""
    whole = timeline.columns.whole(field)
    if whole is not None:
        return whole
    column = timeline.columns.person(field)
    return instants(column)[column.codes]


@lru_cache(maxsize=2)  # reading a million texts takes longer than the report; a column stands for one snapshot
def instants(column: PersonColumn) -> NDArray[np.int64]:
    """The instant each code of a column stands for, in microseconds; NEVER for what is none, and last for a missing."""
    found = np.full(len(column.values) + 1, NEVER, np.int64)
    is_text = np.fromiter((isinstance(value, str) for value in column.values), np.bool_, len(column.values))
    texts = [value for value in column.values if isinstance(value, str)]
    if texts:
        found[:-1][is_text] = _read(texts)
    found[:-1][~is_text] = [_counted_up(value) for value in column.values if not isinstance(value, str)]
    return found


def _read(texts: Sequence[str]) -> NDArray[np.int64]:
    """ISO 8601 as microseconds; what cannot be read becomes NEVER."""
    import pandas as pd  # half a second and fifty megabytes, which few reports need

    read = pd.to_datetime(pd.Series(texts, dtype=object), utc=True, format="ISO8601", errors="coerce")
    found: NDArray[np.int64] = read.to_numpy("datetime64[us]").astype(np.int64)
    return found


def _counted_up(value: Value) -> int:
    is_count = isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 2**62
    return int(value) if is_count else int(NEVER)


@dataclass(frozen=True, slots=True, eq=False)
class Clock:
    """Finds the starts in [since, until), microseconds, of who counts. Match 0 is the start."""

    occurrence: Occurrence
    since: int
    until: int
    edges: NDArray[np.int64]  # of the intervals in each of which a recurring start begins anew
    known: NDArray[np.int64] | None  # t0 by index into Timeline.numbers, where it is no event

    def beginnings(self, part: Shard, history: History) -> Beginnings:
        """The starts in one part."""
        if self.known is not None:
            found = self.known[part.people]
            people = np.flatnonzero(history.counted & (found >= self.since) & (found < self.until)).astype(np.int32)
            return Beginnings(people, rows_at(history, people, found[people]), found[people])
        if self.occurrence == "recurring":
            people, rows = recurring_starts(history, self.since, self.until, self.edges)
        else:
            of_person = first_starts(history, self.since, self.until, self.occurrence == "first_ever")
            people = np.flatnonzero(of_person >= 0).astype(np.int32)
            rows = of_person[people]
        return Beginnings(people, rows, part.at[rows])


def clock(
    timeline: Timeline, scope: Scope, start: Match | Known, occurrence: Occurrence, edges: NDArray[np.int64]
) -> Clock:
    """The clock of a question over a period."""
    known = None
    if isinstance(start, Known):
        known = instants_of(timeline, start.name)
    return Clock(occurrence, micros(scope.since), micros(scope.until), edges, known)
