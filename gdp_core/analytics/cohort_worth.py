"""The metrics of retention's cohorts: back on day 7 and on day 30, lifetime value, yearly recurring revenue.

`retention_d7` and `retention_d30`: back on the seventh and thirtieth local day after that of their start. `ltv` is what
each of a cohort has brought on average, `arr` what those who pay now will bring in a year. Both are of the present, from
what is kept of each person, and of one currency: who pays in another one is counted apart.
"""

from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from datetime import date, datetime
from functools import lru_cache
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from gdp_core.analytics.breakdown import ALL, Group
from gdp_core.analytics.cohorts import State
from gdp_core.analytics.measures import read_numbers
from gdp_core.analytics.retention import (
    Average,
    Retention,
    RetentionCell,
    retention,
    retention_people,
    source_columns,
    starters,
)
from gdp_core.analytics.scope import Scope
from gdp_core.errors import InvalidInput
from gdp_core.timeline.arrays import PersonColumn, Timeline

Metric = Literal["people", "retention_d7", "retention_d30", "ltv", "arr"]
METRICS: tuple[Metric, ...] = get_args(Metric)
_DAYS: tuple[Metric, ...] = ("retention_d7", "retention_d30")
_MONTHS = 12


@dataclass(frozen=True, slots=True)
class Worth:
    """One cohort. The retentions are shares so far of `people`, None before their day and for nobody; `states` say of each
    whether it is final. `ltv` (of each, None of nobody) and `arr` (of all) are micros. `paying` are behind `arr`;
    `elsewhere` are those whose money is in another currency: they are in the people only."""

    cohort: date
    people: int
    retention_d7: float | None
    retention_d30: float | None
    states: tuple[State, State]
    ltv: int | None
    arr: int
    paying: int
    elsewhere: int


@dataclass(frozen=True, slots=True)
class WorthResult:
    """Every cohort of the period that has people, and all of them together: of the retentions the mature ones."""

    asked: Retention
    group: Group
    cohorts: tuple[Worth, ...]
    days: tuple[Average, Average]
    currency: str
    complete_until: datetime


def cohort_worth(
    timeline: Timeline,
    scope: Scope,
    asked: Retention,
    group: Group = ALL,
    *,
    within: NDArray[np.bool_] | None = None,
    executor: Executor | None = None,
) -> WorthResult:
    """The metrics of the cohorts of a retention report, of one group of its breakdown. Raises InvalidInput for no such."""
    found = retention(timeline, scope, source_columns(asked), within=within, executor=executor)
    triangle = next((one for one in found.triangles if one.group == group), None)
    if triangle is None:
        raise InvalidInput(f"There is no group {group.label!r} in this report.")
    people, cohorts = starters(timeline, scope, asked, group, within=within, executor=executor)
    value, mrr = (_amounts(timeline.columns.person(name))[people] for name in ("lifetime_value_micros", "mrr_micros"))
    foreign = _foreign(timeline, scope.currency)[people]
    here, bins = ~foreign, len(triangle.cohorts)
    ltv, arr = (_summed(cohorts[here], amount[here], bins) for amount in (value, mrr))
    ours, paying = (np.bincount(cohorts[mask], minlength=bins) for mask in (here, here & (mrr > 0)))
    rows = tuple(
        Worth(
            cohort.start,
            cohort.people,
            cohort.rate(0),
            cohort.rate(1),
            (cohort.states[0], cohort.states[1]),
            round(ltv[row] / int(ours[row])) if ours[row] else None,
            _MONTHS * arr[row],
            int(paying[row]),
            cohort.people - int(ours[row]),
        )
        for row, cohort in enumerate(triangle.cohorts)
        if cohort.people
    )
    days = triangle.averages[0], triangle.averages[1]
    return WorthResult(asked, group, rows, days, scope.currency, found.complete_until)


def worth_people(
    timeline: Timeline,
    scope: Scope,
    asked: Retention,
    cohort: date,
    metric: Metric,
    group: Group = ALL,
    *,
    within: NDArray[np.bool_] | None = None,
    executor: Executor | None = None,
) -> NDArray[np.int64]:
    """The lasting numbers of who is behind a number, ascending: who came back, whose value it is, who pays."""
    if metric in _DAYS:
        cell = RetentionCell(cohort, _DAYS.index(metric), group)
        return retention_people(timeline, scope, source_columns(asked), cell, within=within, executor=executor)
    numbers = retention_people(
        timeline, scope, asked, RetentionCell(cohort, group=group), within=within, executor=executor
    )
    if metric == "people":
        return numbers
    people = np.searchsorted(timeline.numbers, numbers)
    meant = ~_foreign(timeline, scope.currency)[people]
    if metric == "arr":
        meant &= _amounts(timeline.columns.person("mrr_micros"))[people] > 0
    return numbers[meant]


def _foreign(timeline: Timeline, currency: str) -> NDArray[np.bool_]:
    """Whose money is in another currency, aligned with the timeline's people."""
    column = timeline.columns.person("currency")
    foreign = np.array([str(code).casefold() != currency.casefold() for code in column.values] + [False])
    found: NDArray[np.bool_] = foreign[column.codes]
    return found


@lru_cache(maxsize=4)  # reading a million numbers takes longer than the report; a column stands for one snapshot
def _amounts(column: PersonColumn) -> NDArray[np.int64]:
    """A column of micros, aligned with the timeline's people; 0 where it is missing."""
    values = np.append(read_numbers(column.values)[0].astype(np.int64), 0)
    amounts: NDArray[np.int64] = values[column.codes]
    return amounts


def _summed(rows: NDArray[np.int64], amounts: NDArray[np.int64], bins: int) -> Sequence[int]:
    """Of each row the exact sum of its amounts."""
    found = np.zeros(bins, np.int64)
    np.add.at(found, rows, amounts)
    sums: list[int] = found.tolist()
    return sums
