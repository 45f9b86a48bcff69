"""Retention: of those who started in an interval, how many came back in each interval after it, or what they brought.

t0 is a person's start (`beginnings`), a cohort the starts of one local interval of the period. The period chooses the
cohorts alone; returns count until now. Interval 0 is the one t0 is in: only what happened after the start counts there,
and how many started is a number of its own. "On N" is a return in interval N ("day 7" is the seventh local day after
that of t0), "on or after N" one in it or any later one, a bracket one in any of its intervals.

Only mature cells enter averages, so that an average never falls by construction. "On or after N" is mature when
interval N is, and keeps growing as people come back later.
"""

import re
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from gdp_core.analytics.beginnings import Beginnings, Clock, Known, Occurrence, clock
from gdp_core.analytics.breakdown import ALL, Breakdown, Group, split
from gdp_core.analytics.calendar import Interval, instant, micros
from gdp_core.analytics.cohorts import LENGTHS, Column, Grid, State, grid
from gdp_core.analytics.counting import ANYTHING, Counting, complete_until, counting, people_where, unheard
from gdp_core.analytics.measures import Amounts, amounts, in_currency, is_money, nothing
from gdp_core.analytics.scope import Scope
from gdp_core.errors import InvalidInput
from gdp_core.timeline.arrays import Shard, Timeline
from gdp_core.timeline.engine import over
from gdp_core.timeline.kernels.history import History
from gdp_core.timeline.kernels.retention import returns, tally
from gdp_core.timeline.kernels.search import intervals_at
from gdp_core.timeline.matching import Match

Mode = Literal["on", "on_or_after", "bracket"]
MOST_COLUMNS = 367
FARTHEST = 3660
_BRACKET = re.compile(r"\s*(\d{1,4})\s*(?:[-–]\s*(\d{1,4})|(\+))?\s*")


@dataclass(frozen=True, slots=True)
class Retention:
    """What is asked. `cohort` is the interval of the rows, `unit` that of the columns; None: the same.

    Columns are intervals 0 to `intervals`, or the `brackets` (first, last), both included, None: and all later ones.
    With `value`, a field of the returns is added up: "value_micros" in `currency` (None: the workspace's), or a number.
    """

    start: Match | Known = ANYTHING
    returning: Match = ANYTHING
    occurrence: Occurrence = "first_ever"
    cohort: Interval = "week"
    unit: Interval | None = None
    mode: Mode = "on"
    rolling: bool = False
    intervals: int = 12
    brackets: tuple[tuple[int, int | None], ...] = ()
    value: str | None = None
    currency: str | None = None
    breakdown: Breakdown | None = None
    everything: bool = False

    def __post_init__(self) -> None:
        """Raise InvalidInput for what has no columns, or contradicts itself."""
        if not 1 <= self.intervals < MOST_COLUMNS:
            raise InvalidInput(f"Retention looks at between 1 and {MOST_COLUMNS - 1} intervals.")
        if (self.mode == "bracket") != bool(self.brackets):
            raise InvalidInput("Give brackets with the bracket mode, and only with it.")
        if len(self.brackets) > MOST_COLUMNS:
            raise InvalidInput(f"Give at most {MOST_COLUMNS} brackets.")
        if any(not 0 <= first <= (first if last is None else last) <= FARTHEST for first, last in self.brackets):
            raise InvalidInput(
                f"A bracket is two intervals between 0 and {FARTHEST}, the first no later than the last."
            )
        if isinstance(self.start, Known) and self.occurrence == "recurring":
            raise InvalidInput("A person has one such instant; choose an event for starts that recur.")
        if isinstance(self.start, Known) and self.breakdown and not self.breakdown.of_person:
            raise InvalidInput("There is no event at the start to take the value of; break down by a field of people.")

    @property
    def matches(self) -> tuple[Match, ...]:
        """The events it names: that of the start, if it is one, and the return."""
        return (self.start, self.returning) if isinstance(self.start, Match) else (self.returning,)

    @property
    def columns(self) -> tuple[Column, ...]:
        """The columns it asks for."""
        unit = self.unit or self.cohort
        if self.mode == "bracket":
            return tuple(Column(unit, first, last) for first, last in self.brackets)
        is_on = self.mode == "on"
        return tuple(Column(unit, number, number if is_on else None) for number in range(self.intervals + 1))


@dataclass(frozen=True, slots=True)
class Cohort:
    """One row. `returned`, `states` and `sums` by column; `cut`: the period holds only a part of its interval."""

    start: date
    people: int
    returned: tuple[int, ...]
    states: tuple[State, ...]
    sums: tuple[float, ...]  # of the value asked for, exact integers where it is; empty when none was
    cut: bool

    def rate(self, column: int) -> float | None:
        """The share that came back so far; None for nobody, and for what has not begun."""
        if not self.people or self.states[column] == "ahead":
            return None
        return self.returned[column] / self.people


@dataclass(frozen=True, slots=True)
class Average:
    """Of one column, over the mature cells alone: `returned` of the `people` who started in those cohorts."""

    people: int
    returned: int
    simple: float | None  # the mean of the cohorts' rates, each cohort once
    total: float | None  # of the value asked for

    @property
    def weighted(self) -> float | None:
        """The mean of the rates by the sizes of the cohorts."""
        return self.returned / self.people if self.people else None

    @property
    def value(self) -> float | None:
        """What each of the people brought on average."""
        return self.total / self.people if self.people and self.total is not None else None


@dataclass(frozen=True, slots=True)
class Triangle:
    """The cohorts of one group, and the average of each column: the group's curve."""

    group: Group
    people: int
    cohorts: tuple[Cohort, ...]
    averages: tuple[Average, ...]


@dataclass(frozen=True, slots=True)
class RetentionResult:
    """Everybody first, then the groups of the breakdown, which are disjoint and sum to everybody.

    With recurring starts a person counts once in each cohort they are in.
    """

    asked: Retention
    columns: tuple[Column, ...]
    triangles: tuple[Triangle, ...]
    complete_until: datetime
    currency: str | None  # of the sums
    other_currencies: tuple[str, ...]  # whose amounts are in no sum
    notes: tuple[str, ...] = ()  # for the reader


@dataclass(frozen=True, slots=True)
class RetentionCell:
    """A number of the result: who of a cohort came back in a column, or did not. Without a column: who started.

    Without a cohort: those of all cohorts, with a column of those that are mature in it, which its average is of.
    """

    cohort: date | None = None
    column: int | None = None
    group: Group = ALL
    returned: bool = True


def parse_bracket(text: str) -> tuple[int, int | None]:
    """A bracket from "1-7", "8" or "31+". Raises InvalidInput."""
    hit = _BRACKET.fullmatch(text)
    if not hit:
        raise InvalidInput(f"{text[:40]!r} is no bracket; write brackets like 1-7, 8-30 or 31+.")
    return int(hit[1]), None if hit[3] else int(hit[2] or hit[1])


def bracket_text(bracket: tuple[int, int | None]) -> str:
    """As `parse_bracket` reads it."""
    first, last = bracket
    return f"{first}+" if last is None else str(first) if first == last else f"{first}-{last}"


def source_columns(asked: Retention) -> Retention:
    """The same cohorts with the columns retention_d7 and retention_d30: back on the seventh, the thirtieth local day."""
    return replace(asked, unit="day", mode="bracket", rolling=False, brackets=((7, 7), (30, 30)), value=None)


def retention(
    timeline: Timeline,
    scope: Scope,
    asked: Retention,
    *,
    within: NDArray[np.bool_] | None = None,
    executor: Executor | None = None,
) -> RetentionResult:
    """Cohorts by columns, as defined above. Raises InvalidInput when the period has too many cohorts to show."""
    plan = _plan(timeline, scope, asked, within, executor)
    shape = (len(plan.groups), len(plan.grid.days), len(plan.grid.columns))

    def counts(number: int, part: Shard) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[Any]]:
        returned = np.zeros((shape[0] * shape[1], shape[2]), np.int64)
        sums = np.zeros(returned.shape, plan.amounts.numbers.dtype)
        found = plan.outcomes(number, part, sums, adding=asked.value is not None)
        tally(found.kept, found.slots, returned)
        return np.bincount(found.slots, minlength=shape[0] * shape[1]), returned, sums

    people = np.zeros(shape[:2], np.int64)
    returned = np.zeros(shape, np.int64)
    sums = np.zeros(shape, plan.amounts.numbers.dtype)
    for _, _, (size, back, total) in over(timeline, counts, executor):
        people += size.reshape(people.shape)
        returned += back.reshape(shape)
        sums += total.reshape(shape)
    triangles = [_triangle(plan, ALL, people.sum(0), returned.sum(0), sums.sum(0))]
    if asked.breakdown:
        for row, group in enumerate(plan.groups):
            triangles.append(_triangle(plan, group, people[row], returned[row], sums[row]))
    return RetentionResult(
        asked,
        plan.grid.columns,
        tuple(triangles),
        instant(complete_until(timeline, scope)),
        plan.currency,
        plan.other_currencies,
        unheard(timeline, asked.matches, (asked.value, asked.breakdown.field if asked.breakdown else None)),
    )


def retention_people(
    timeline: Timeline,
    scope: Scope,
    asked: Retention,
    cell: RetentionCell,
    *,
    within: NDArray[np.bool_] | None = None,
    executor: Executor | None = None,
) -> NDArray[np.int64]:
    """The lasting numbers of exactly the people a cell counts, ascending. Raises InvalidInput for no such cell."""
    if cell.cohort is None and asked.occurrence == "recurring":
        raise InvalidInput("A person is in several cohorts when starts recur; choose one cohort.")
    plan = _plan(timeline, scope, asked, within, executor)
    is_meant = plan.slots_of(cell)
    unsummed = np.zeros((0, 0), plan.amounts.numbers.dtype)

    def chosen(number: int, part: Shard) -> NDArray[np.int32]:
        found = plan.outcomes(number, part, unsummed, adding=False)
        meant = is_meant[found.slots]
        if cell.column is not None:
            came = found.kept[:, cell.column >> 6] >> np.uint64(cell.column & 63) & np.uint64(1)
            meant &= came.astype(np.bool_) == cell.returned
        return found.beginnings.people[meant]

    return people_where(timeline, chosen, executor)


def starters(
    timeline: Timeline,
    scope: Scope,
    asked: Retention,
    group: Group = ALL,
    *,
    within: NDArray[np.bool_] | None = None,
    executor: Executor | None = None,
) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """Everybody who started, of one group: indices into Timeline.numbers, and the place of each one's cohort."""
    plan = _plan(timeline, scope, asked, within, executor)
    is_meant = plan.slots_of(RetentionCell(group=group))

    def begun(number: int, part: Shard) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        starts, slots = plan.starts(number, part, plan.counting.history(number, part))
        meant = is_meant[slots]
        return part.people[starts.people[meant]], slots[meant]

    found = [each for _, _, each in over(timeline, begun, executor)]
    if not found:
        return np.empty(0, np.int32), np.empty(0, np.int64)
    people, slots = (np.concatenate(parts) for parts in zip(*found, strict=True))
    return people, slots % len(plan.grid.days)


@dataclass(frozen=True, slots=True, eq=False)
class _Outcomes:
    beginnings: Beginnings
    slots: NDArray[np.int32]  # group * cohorts + cohort
    kept: NDArray[np.uint64]


@dataclass(frozen=True, slots=True, eq=False)
class _Plan:
    """A question made ready for any part of a timeline."""

    asked: Retention
    clock: Clock
    grid: Grid
    counting: Counting
    amounts: Amounts
    currency: str | None
    other_currencies: tuple[str, ...]
    until: int
    codes: "_Codes"
    groups: tuple[Group, ...]
    group_of: NDArray[np.int32]

    def starts(self, number: int, part: Shard, history: History) -> tuple[Beginnings, NDArray[np.int32]]:
        """The starts of one part, and the slot each is in."""
        begun = self.clock.beginnings(part, history)
        group = self.group_of[self.codes.of(number, part, begun)]
        return begun, group * np.int32(len(self.grid.days)) + intervals_at(self.grid.edges, begun.instants)

    def outcomes(self, number: int, part: Shard, sums: NDArray[Any], *, adding: bool) -> _Outcomes:
        """What became of the starts of one part; with `adding`, their values are added to `sums`."""
        history = self.counting.history(number, part)
        begun, slots = self.starts(number, part, history)
        rolling = self.asked.rolling
        kept = returns(
            history,
            begun.people,
            begun.rows,
            begun.instants,
            intervals_at(self.grid.units, begun.instants),
            self.grid.units[:0] if rolling else self.grid.units,
            LENGTHS[self.grid.columns[0].unit],
            self.grid.table,
            self.until,
            self.amounts.codes[number],
            self.amounts.numbers,
            adding,
            slots,
            sums,
        )
        return _Outcomes(begun, slots, kept)

    def slots_of(self, cell: RetentionCell) -> NDArray[np.bool_]:
        """Which slots a cell is about."""
        if cell.group not in (ALL, *self.groups):
            raise InvalidInput(f"There is no group {cell.group.label!r} in this report.")
        if cell.column is not None and not 0 <= cell.column < len(self.grid.columns):
            raise InvalidInput(f"There is no column {cell.column} in this report.")
        if cell.cohort is not None and cell.cohort not in self.grid.days:
            raise InvalidInput(f"There is no cohort of {cell.cohort} in this report.")
        days = np.array([self._is_meant(cell, row) for row in range(len(self.grid.days))], np.bool_)
        groups = np.array([cell.group in (ALL, group) for group in self.groups], np.bool_)
        return np.outer(groups, days).ravel()

    def _is_meant(self, cell: RetentionCell, row: int) -> bool:
        if cell.cohort is not None:
            return self.grid.days[row] == cell.cohort
        return cell.column is None or self.grid.states[row][cell.column] == "mature"


@dataclass(frozen=True, slots=True, eq=False)
class _Codes:
    """The code of the value each start is broken down by: of its event, of its person, or always 0."""

    events: tuple[NDArray[np.int32], ...] | None
    people: NDArray[np.int32] | None

    def of(self, number: int, part: Shard, begun: Beginnings) -> NDArray[np.int32]:
        if self.events is not None:
            return self.events[number][begun.rows]
        if self.people is not None:
            return self.people[part.people[begun.people]]
        return np.zeros(len(begun.people), np.int32)


def _plan(
    timeline: Timeline, scope: Scope, asked: Retention, within: NDArray[np.bool_] | None, executor: Executor | None
) -> _Plan:
    cells = grid(scope, complete_until(timeline, scope), asked.cohort, asked.columns, rolling=asked.rolling)
    matches = [asked.start if isinstance(asked.start, Match) else ANYTHING, asked.returning]
    currency, others, added = None, tuple[str, ...](), nothing(timeline)
    if asked.value is not None:
        valued, added = asked.returning, amounts(timeline, asked.value)
        if is_money(asked.value):
            currency = asked.currency or scope.currency
            valued, others = in_currency(timeline, asked.returning, currency)
        matches.append(valued)
    looked = counting(timeline, matches, everything=asked.everything, within=within)
    times = clock(timeline, scope, asked.start, asked.occurrence, cells.edges)
    codes, groups, group_of = _groups(timeline, asked.breakdown, times, looked, executor)
    return _Plan(asked, times, cells, looked, added, currency, others, micros(scope.now), codes, groups, group_of)


def _groups(
    timeline: Timeline, by: Breakdown | None, times: Clock, looked: Counting, executor: Executor | None
) -> tuple[_Codes, tuple[Group, ...], NDArray[np.int32]]:
    """The groups by how many started in them, and which one each code is in."""
    if by is None:
        return _Codes(None, None), (ALL,), np.zeros(1, np.int32)
    if by.of_person:
        people = timeline.columns.person(by.name)
        codes, values = _Codes(None, people.codes), people.values
    else:
        events = timeline.columns.event(by.name)
        codes, values = _Codes(events.codes, None), events.values

    def sizes(number: int, part: Shard) -> NDArray[np.int64]:
        of_start = codes.of(number, part, times.beginnings(part, looked.history(number, part)))
        return np.bincount(np.where(of_start < 0, len(values), of_start), minlength=len(values) + 1)

    weights = np.zeros(len(values) + 1, np.int64)
    for _, _, size in over(timeline, sizes, executor):
        weights += size
    found = split(values, weights > 0, weights, by.most)
    return codes, found.groups, found.of_code


def _triangle(
    plan: _Plan, group: Group, people: NDArray[np.int64], returned: NDArray[np.int64], sums: NDArray[Any]
) -> Triangle:
    """Of one group: people (C), returned (C, K), sums (C, K)."""
    cells, summed = plan.grid, plan.asked.value is not None
    rows = zip(cells.days, people.tolist(), returned.tolist(), cells.states, sums.tolist(), cells.cut, strict=True)
    cohorts = tuple(
        Cohort(day, size, tuple(back), states, tuple(total) if summed else (), cut)
        for day, size, back, states, total, cut in rows
    )
    mature = np.array([[state == "mature" for state in states] for states in cells.states], np.bool_)
    averages = []
    for column in range(len(cells.columns)):
        among = mature[:, column] & (people > 0)
        rates = returned[among, column] / people[among]
        averages.append(
            Average(
                int(people[among].sum()),
                int(returned[among, column].sum()),
                float(rates.mean()) if len(rates) else None,
                sums[among, column].sum().item() if summed else None,
            )
        )
    return Triangle(group, int(people.sum()), cohorts, tuple(averages))
