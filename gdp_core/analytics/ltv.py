"""What a customer has brought in so far: revenue per member of a monthly cohort, cumulated month by month.

This is the realised lifetime value, the headline; the predicted one is part of the revenue report. Months are the
workspace's own, a cohort's cell is shown when its month is over for all of its members, and only those are averaged.
"""

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from fractions import Fraction
from typing import Any, Literal, get_args
from uuid import UUID

from sqlmodel import Session

from gdp_core.analytics.calendar import floor, following
from gdp_core.analytics.payments import MONEY, bound, check_currency, rates_for
from gdp_core.analytics.rates import Rates
from gdp_core.analytics.scope import Scope, midnight
from gdp_core.analytics.shares import Share, shares_of
from gdp_core.db import rows
from gdp_core.errors import InvalidInput

Birth = Literal["first_payment", "signup"]
_EARLIEST = date(1990, 1, 1)


@dataclass(frozen=True, slots=True)
class Asked:
    """What makes somebody a member of a cohort, at t0: their first payment (customers), or their signup (everybody who
    signed up, who never paid too). `currency` None is everything in the workspace's own. Raises InvalidInput."""

    birth: Birth = "first_payment"
    currency: str | None = None

    def __post_init__(self) -> None:
        if self.birth not in get_args(Birth):
            raise InvalidInput("A cohort begins with the first payment (first_payment) or the signup (signup).")
        check_currency(self.currency)


@dataclass(frozen=True, slots=True)
class Cohort:
    """The people of a month. `cumulative` is what they paid and did not get back until the end of month 0, 1, ... since
    then, as far as those months are over, and `so_far` until now: micros of all members together. `rest` could not be
    converted."""

    month: date
    people: int
    cumulative: tuple[int, ...]
    so_far: int
    rest: Mapping[str, int]

    @property
    def per_member(self) -> tuple[int, ...]:
        """The lifetime value: `cumulative` per member."""
        return tuple(round(Fraction(micros, self.people)) for micros in self.cumulative)

    @property
    def so_far_per_member(self) -> int:
        """The same until now."""
        return round(Fraction(self.so_far, self.people))


@dataclass(frozen=True, slots=True)
class Realised:
    """Cohorts, oldest first, in micros of `currency`. `mean` is per member of all the cohorts that are so old."""

    currency: str
    cohorts: tuple[Cohort, ...]
    mean: tuple[int, ...]


_BIRTHS = {
    "first_payment": "SELECT person, min(day) AS day FROM money WHERE paid > 0 AND person IS NOT NULL GROUP BY 1",
    "signup": "SELECT id AS person, (signup_at AT TIME ZONE :tz)::date AS day FROM person WHERE NOT is_internal"
    " AND signup_at < :until AND (CAST(:within AS uuid[]) IS NULL OR id = ANY(CAST(:within AS uuid[])))",
}
_BORN = f"""
    WITH money AS MATERIALIZED ({MONEY}), born AS MATERIALIZED ({{births}}), member AS (
        SELECT person, date_trunc('month', day)::date AS month,
            count(*) OVER (PARTITION BY date_trunc('month', day)) AS people FROM born WHERE day < :end
            AND date_trunc('month', day)::date >= :cohorts_from AND date_trunc('month', day)::date < :cohorts_to
    )
"""


def report(session: Session, scope: Scope, asked: Asked, *, within: Sequence[UUID] | None = None) -> Realised:
    """Cohorts of the months that the period meets, with their money up to now, of everybody or of persons `within`."""
    rates = rates_for(session, scope, asked.currency)
    found = rows(
        session,
        f"{_BORN.format(births=_BIRTHS[asked.birth])} SELECT b.month, b.people, m.day, m.currency,"
        " sum(m.paid - m.refunded - m.disputed)::bigint AS kept FROM member b LEFT JOIN money m USING (person)"
        " GROUP BY 1, 2, 3, 4 ORDER BY 1, 3, 4",
        **_values(scope, asked, within),
    )
    months = itertools.groupby(found, key=lambda row: (row.month, row.people))
    cohorts = tuple(_cohort(month, people, money, rates, scope) for (month, people), money in months)
    return Realised(rates.base, cohorts, _mean(cohorts))


def people_of(
    session: Session, scope: Scope, asked: Asked, month: date, *, within: Sequence[UUID] | None = None
) -> tuple[UUID, ...]:
    """The members of the cohort of a month, by id."""
    values = _values(scope, asked, within) | {"month": month}
    with_members = _BORN.format(births=_BIRTHS[asked.birth])
    found = rows(session, f"{with_members} SELECT person FROM member WHERE month = :month ORDER BY 1", **values)
    return tuple(row.person for row in found)


def brought(
    session: Session,
    scope: Scope,
    asked: Asked,
    month: date,
    *,
    until: int | None = None,
    within: Sequence[UUID] | None = None,
) -> tuple[Share, ...]:
    """The members of the cohort of a month, and what each of them paid and did not get back until the end of month
    `until` since then, or until now. By id."""
    rates = rates_for(session, scope, asked.currency)
    end = scope.today + timedelta(days=1)
    if until is not None:
        end = month
        for _ in range(until + 1):
            end = following(end, "month")
    found = rows(
        session,
        f"{_BORN.format(births=_BIRTHS[asked.birth])} SELECT b.person, coalesce(m.currency, :base) AS currency,"
        " coalesce(m.day, b.month) AS day, coalesce(sum(m.paid - m.refunded - m.disputed), 0)::bigint AS amount"
        " FROM member b LEFT JOIN money m ON m.person = b.person AND m.day < :before WHERE b.month = :month"
        " GROUP BY 1, 2, 3 ORDER BY 1",
        **_values(scope, asked, within),
        base=rates.base,
        month=month,
        before=end,
    )
    return shares_of(found, rates)


def _values(scope: Scope, asked: Asked, within: Sequence[UUID] | None) -> dict[str, Any]:
    tomorrow = scope.today + timedelta(days=1)
    values = bound(scope, _EARLIEST, tomorrow, within=within, only=asked.currency)
    last = min(scope.end, tomorrow) - timedelta(days=1)
    return values | {
        "until": scope.now,
        "end": tomorrow,
        "cohorts_from": floor(scope.start, "month"),
        "cohorts_to": following(floor(last, "month"), "month"),
    }


def _cohort(month: date, people: int, money: Iterable[Any], rates: Rates, scope: Scope) -> Cohort:
    sums, end = [0], following(month, "month")
    while midnight(end, scope.zone) <= scope.now:
        sums.append(0)
        end = following(end, "month")
    rest: dict[str, int] = {}
    for row in money:
        amount = None if row.day is None else rates.in_base(row.kept, row.currency, row.day)
        if amount is not None:
            sums[_month_of(month, row.day)] += amount
        elif row.day:
            rest[row.currency] = rest.get(row.currency, 0) + row.kept
    *cumulative, so_far = itertools.accumulate(sums)
    return Cohort(month, people, tuple(cumulative), so_far, {code: left for code, left in rest.items() if left})


def _month_of(first: date, day: date) -> int:
    """Months since the cohort's own; what was paid before that (before signing up) counts for it."""
    return max(0, (day.year - first.year) * 12 + day.month - first.month)


def _mean(cohorts: Sequence[Cohort]) -> tuple[int, ...]:
    found = []
    for month in range(max((len(cohort.cumulative) for cohort in cohorts), default=0)):
        old = [cohort for cohort in cohorts if len(cohort.cumulative) > month]
        total = sum(cohort.cumulative[month] for cohort in old)
        found.append(round(Fraction(total, sum(cohort.people for cohort in old))))
    return tuple(found)
