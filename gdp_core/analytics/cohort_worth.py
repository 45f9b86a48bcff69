"""What the people of retention's cohorts are worth: lifetime value and yearly recurring revenue per cohort.

Both are of the present, from what is kept of each person, and of one currency: who pays in another one is counted apart.
"""

from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from datetime import date

import numpy as np
from numpy.typing import NDArray

from gdp_core.analytics.retention import Retention, RetentionCell, retention_people
from gdp_core.analytics.scope import Scope
from gdp_core.timeline.arrays import PersonColumn, Timeline
from gdp_core.timeline.matching import number

_MONTHS = 12


@dataclass(frozen=True, slots=True)
class Worth:
    """Of one cohort, in micros of the currency: `ltv` is what each of its people has brought on average, `arr` what
    those who pay now will bring in a year. `elsewhere`: how many pay in another currency; they are in the people only."""

    cohort: date
    people: int
    ltv: int | None
    arr: int
    elsewhere: int


def cohort_worth(
    timeline: Timeline,
    scope: Scope,
    asked: Retention,
    cohorts: Sequence[date],
    *,
    within: NDArray[np.bool_] | None = None,
    executor: Executor | None = None,
) -> tuple[Worth, ...]:
    """The worth of these cohorts of a retention report. Raises InvalidInput for a cohort it does not have."""
    value, mrr = (_amounts(timeline.columns.person(name)) for name in ("lifetime_value_micros", "mrr_micros"))
    currency = timeline.columns.person("currency")
    foreign = np.array([str(code).casefold() != scope.currency.casefold() for code in currency.values] + [False])
    is_foreign = foreign[currency.codes]
    found = []
    for cohort in cohorts:
        numbers = retention_people(timeline, scope, asked, RetentionCell(cohort), within=within, executor=executor)
        people = np.searchsorted(timeline.numbers, numbers)
        ours = people[~is_foreign[people]]
        ltv = round(int(value[ours].sum()) / len(ours)) if len(ours) else None
        arr = _MONTHS * int(mrr[ours].sum())
        found.append(Worth(cohort, len(people), ltv, arr, len(people) - len(ours)))
    return tuple(found)


def _amounts(column: PersonColumn) -> NDArray[np.int64]:
    """A column of micros, aligned with the timeline's people; 0 where it is missing."""
    known = [number(value) for value in column.values]
    values = np.array([*(0 if value is None else int(value) for value in known), 0], np.int64)
    amounts: NDArray[np.int64] = values[column.codes]
    return amounts
