"""The grid of a retention report: its cohorts, its columns, and which cells are complete.

A cohort is one local interval of the period, a column the intervals first..last after the one t0 is in. On the calendar
an interval is a local day, week or month; on the rolling clock whole units after t0, a week 7 x 24 h, a month 30 x 24 h.
A cell is mature when the last member's last interval is over and everything up to there is known.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from gdp_core.analytics.calendar import Interval, cut, edges, micros, starts
from gdp_core.analytics.counting import days_of
from gdp_core.analytics.scope import Scope, midnight

State = Literal["mature", "open", "ahead"]
"""Of a cell: complete, still filling, or not begun."""
LENGTHS: dict[Interval, int] = {"day": 86_400_000_000, "week": 7 * 86_400_000_000, "month": 30 * 86_400_000_000}
_STATES: tuple[State, ...] = ("mature", "open", "ahead")
_BEYOND = np.iinfo(np.int64).max
_WORD = 64


@dataclass(frozen=True, slots=True)
class Column:
    """Intervals first..last after t0, both included; last None: and all later ones."""

    unit: Interval
    first: int
    last: int | None

    @property
    def name(self) -> str:
        """As in exports: retention_d7, retention_w1_4, retention_m3_on."""
        end = "_on" if self.last is None else "" if self.last == self.first else f"_{self.last}"
        return f"retention_{self.unit[0]}{self.first}{end}"

    @property
    def title(self) -> str:
        """For people."""
        if self.last is None:
            return f"{self.unit} {self.first} or later"
        return f"{self.unit} {self.first}" if self.last == self.first else f"{self.unit}s {self.first}–{self.last}"


@dataclass(frozen=True, slots=True, eq=False)
class Grid:
    """C cohorts by K columns. `edges` bound the cohorts, `units` the columns' local intervals, in microseconds."""

    days: tuple[date, ...]
    columns: tuple[Column, ...]
    states: tuple[tuple[State, ...], ...]
    cut: tuple[bool, ...]  # the period holds only a part of the cohort's interval
    edges: NDArray[np.int64]
    units: NDArray[np.int64]
    table: NDArray[
        np.uint64
    ]  # (interval, word): bit c % 64 of word c // 64: the interval, or any later, is in column c


def grid(scope: Scope, complete: int, cohort: Interval, columns: Sequence[Column], *, rolling: bool) -> Grid:
    """The grid of a period, everything being known up to `complete`. The columns share one unit.

    Raises InvalidInput when there are too many cohorts to show.
    """
    days = days_of(scope, cohort)
    unit = columns[0].unit
    bounds = edges(days, cohort, scope.zone)
    units = edges(starts(scope.start, max(scope.end, scope.today + timedelta(days=1)), unit), unit, scope.zone)
    earliest = np.maximum(bounds[:-1], micros(scope.since))
    end = np.minimum(bounds[1:], micros(midnight(scope.end, scope.zone)))
    begins, ends = _spans(earliest, end, columns, None if rolling else units)
    state = np.where(ends <= complete, 0, np.where(begins < micros(scope.now), 1, 2))
    return Grid(
        days,
        tuple(columns),
        tuple(tuple(_STATES[cell] for cell in row) for row in state.tolist()),
        cut(scope, bounds),
        bounds,
        units,
        _table(columns),
    )


def _spans(
    earliest: NDArray[np.int64], end: NDArray[np.int64], columns: Sequence[Column], units: NDArray[np.int64] | None
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Where each cell of the cohorts earliest <= t0 < end begins for its first member and ends for its last one."""
    first = np.array([column.first for column in columns], np.int64)
    last = np.array([column.first if column.last is None else column.last for column in columns], np.int64)
    if units is None:
        length = LENGTHS[columns[0].unit]
        return earliest[:, None] + first * length, end[:, None] + (last + 1) * length
    beyond = np.append(units, _BEYOND)
    homes = np.searchsorted(units, earliest, "right") - 1, np.searchsorted(units, end - 1, "right") - 1
    return (
        beyond[np.minimum(homes[0][:, None] + first, len(units))],
        beyond[np.minimum(homes[1][:, None] + last + 1, len(units))],
    )


def _table(columns: Sequence[Column]) -> NDArray[np.uint64]:
    """One row for each interval up to the farthest that is named, and one for all later ones."""
    farthest = max(column.last or column.first for column in columns)
    table = np.zeros((farthest + 2, -(-len(columns) // _WORD)), np.uint64)
    for number, column in enumerate(columns):
        span = slice(column.first, None if column.last is None else column.last + 1)
        table[span, number // _WORD] |= np.uint64(1 << number % _WORD)
    return table
