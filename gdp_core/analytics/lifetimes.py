"""How long customers pay: cohorts by the month of their first MRR, and survival until they first stop, by plan.

A customer who comes back is there again in the cohorts; in the curves the first end counts.
"""

from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
from numpy.typing import NDArray
from sqlmodel import Session

from gdp_core.analytics.calendar import floor, following, starts
from gdp_core.analytics.movements import CHURN, Flags, Ints, Ledger, Stretch, spans
from gdp_core.analytics.scope import Scope, midnight
from gdp_core.analytics.survival import Survival, survival
from gdp_core.db import rows
from gdp_core.errors import InvalidInput

_DAY = timedelta(days=1)
_EPOCH = date(1970, 1, 1).toordinal()
_MOST_PLANS = 8
EVERYBODY = ""
"""Instead of a plan: of whichever."""


@dataclass(frozen=True, slots=True)
class Cohort:
    """Customers by the local month of their first MRR. `gone` are those at zero at the end of month 0, 1, ... since then,
    as far as those months are over."""

    month: date
    people: int
    gone: tuple[int, ...]

    @property
    def rates(self) -> tuple[float, ...]:
        """The share that is gone."""
        return tuple(gone / self.people for gone in self.gone)


@dataclass(frozen=True, slots=True)
class PlanCurve:
    """How long customers pay until they first stop, in days, by the plan of their first subscription; None: no plan is
    known, or one of the many small ones."""

    plan: str | None
    curve: Survival


def cohorts(ledger: Ledger, scope: Scope) -> tuple[Cohort, ...]:
    """The cohorts of the months that the period meets, with what became of them up to now."""
    if not len(ledger.people):
        return ()
    begun = date.fromordinal(int(ledger.since.min()))
    months = starts(begun, scope.today + _DAY, "month")
    cuts = [Stretch(month, following(month, "month")) for month in months]
    over = [cut for cut in cuts if midnight(cut.end, scope.zone) <= scope.now]
    gone = [~ledger.has(span.closing > 0) for span in spans(ledger, over)]
    born = _month_of(ledger)
    found = []
    for place, month in enumerate(months):
        members = born == _number(month)
        if members.any() and floor(scope.start, "month") <= month < scope.end:
            left = tuple(int((members & flags).sum()) for flags in gone[place:])
            found.append(Cohort(month, int(members.sum()), left))
    return tuple(found)


def members(ledger: Ledger, scope: Scope, month: date, after: int | None) -> Flags:
    """The customers of a month's cohort, or those of them at zero at the end of month `after` since then.

    Raises InvalidInput for a month that is not over.
    """
    mine: Flags = _month_of(ledger) == _number(month)
    if after is None:
        return mine
    end = month
    for _ in range(after + 1):
        end = following(end, "month")
    if midnight(end, scope.zone) > scope.now:
        raise InvalidInput("This month is not over yet: choose an earlier one.")
    span = next(spans(ledger, [Stretch(month, end)]))
    return mine & ~ledger.has(span.closing > 0)


def _month_of(ledger: Ledger) -> Ints:
    """The month in which each customer first had MRR, as months since 1970."""
    days: Ints = (ledger.since - _EPOCH).astype("datetime64[D]").astype("datetime64[M]").astype(np.int64)
    return days


def _number(month: date) -> int:
    return (month.year - 1970) * 12 + month.month - 1


def read_curves(session: Session, ledger: Ledger, scope: Scope) -> tuple[PlanCurve, ...]:
    """Of everybody, then by plan, the largest first."""
    days, ended = _lives(ledger, scope)
    return tuple(PlanCurve(name, survival(days[mine], ended[mine])) for name, mine in _groups(session, ledger))


def curve_members(session: Session, ledger: Ledger, scope: Scope, plan: str | None, *, ended: bool = False) -> Flags:
    """The customers of a curve: of EVERYBODY, of a plan that has one, or of the other plans (None); with `ended` those
    who stopped. Raises InvalidInput."""
    (_, everybody), *plans = _groups(session, ledger)
    mine = everybody if plan == EVERYBODY else next((flags for name, flags in plans if name == plan), None)
    if mine is None:
        raise InvalidInput("This plan has no curve any more: choose one of those that are shown.")
    return mine & _lives(ledger, scope)[1] if ended else mine


def _groups(session: Session, ledger: Ledger) -> list[tuple[str | None, Flags]]:
    plans = _plans(session, ledger)
    names, place = np.unique(plans, return_inverse=True)
    sizes = np.bincount(place, minlength=len(names))
    largest = [int(index) for index in np.argsort(-sizes, kind="stable") if names[index]][:_MOST_PLANS]
    groups: list[tuple[str | None, Flags]] = [(None, np.ones(len(plans), np.bool_))]
    groups += [(str(names[index]), place == index) for index in largest]
    rest = ~np.isin(place, largest)
    return [*groups, (None, rest)] if rest.any() else groups


def _lives(ledger: Ledger, scope: Scope) -> tuple[Ints, Flags]:
    """(days from the first MRR to the first churn, or until today; whether they churned)."""
    gone = ledger.kind == CHURN
    last = np.full(len(ledger.people), scope.today.toordinal())
    ended = np.zeros(len(ledger.people), np.bool_)
    customer = ledger.customer[gone][::-1]  # the earliest is written last, and stays
    last[customer] = ledger.day[gone][::-1]
    ended[customer] = True
    return last - ledger.since, ended


def _plans(session: Session, ledger: Ledger) -> NDArray[np.str_]:
    """(C,) what the plan of each customer's first subscription is called now; empty where none is known."""
    found = rows(
        session,
        """
        SELECT DISTINCT ON (c.place) c.place, s.plan_name
        FROM unnest(CAST(:people AS uuid[])) WITH ORDINALITY AS c(person_id, place)
        JOIN actor a ON a.workspace_id = app_ws() AND a.person_id = c.person_id
        JOIN subscription s ON s.workspace_id = app_ws() AND s.actor_id = a.id
        WHERE s.status NOT IN ('incomplete', 'incomplete_expired')
        ORDER BY c.place, s.started_at NULLS LAST, s.id
        """,
        people=ledger.people.tolist(),
    )
    places, names = zip(*found, strict=True) if found else ((), ())
    plans = np.full(len(ledger.people), "", object)
    plans[np.array(places, np.int64) - 1] = names
    return plans.astype(np.str_)
