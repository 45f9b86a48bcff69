"""Churn in one answer: who fell silent, who stopped paying, the two side by side, and how good the early warning is.

Neither is the other: somebody may pay and be away, or use and not pay. They are crossed at an instant T of engagement
churn, with its quiet time w: fell silent by T, against paid at T - w and does not at T. Payments are known by local days,
so the days in which T - w and T fall are what counts.
"""

from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import asdict, dataclass
from datetime import date, datetime, timedelta
from typing import Any, Literal, get_args
from uuid import UUID

import numpy as np
from numpy.typing import NDArray
from sqlmodel import Session

from gdp_core import reports
from gdp_core.analytics import subscription_churn
from gdp_core.analytics.calendar import instant
from gdp_core.analytics.engagement_churn import (
    ChurnFactors,
    EngagementChurn,
    EngagementChurnResult,
    Factor,
    churn_factors,
    engagement_churn,
    moment,
    people_at,
)
from gdp_core.analytics.scope import Scope
from gdp_core.analytics.subscription_churn import SubscriptionChurn
from gdp_core.analytics.subscription_factors import FACTORS
from gdp_core.analytics.survival import Survival
from gdp_core.analytics.warning import Model, Warned, read_warned
from gdp_core.db import rows
from gdp_core.errors import InvalidInput
from gdp_core.features.base import ANYTHING
from gdp_core.features.definitions import read_features
from gdp_core.features.roles import read_matches
from gdp_core.timeline.arrays import Timeline
from gdp_core.timeline.matching import Match

Use = Literal["silent", "active", "away"]
"""Used the product in the baseline and fell silent; and went on; did not use it in the baseline."""
Pay = Literal["stopped", "paying", "not"]
"""Paid when the quiet time began and stopped by its end; and still pays; did not pay when it began."""
CELLS: tuple[tuple[Use, Pay], ...] = tuple(
    (use, pay) for use in get_args(Use) for pay in get_args(Pay) if (use, pay) != ("away", "not")
)
"""Everybody else neither used the product nor paid."""
_DAY = timedelta(days=1)

Numbers = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class CrossedCell:
    """How many people both are true of."""

    use: Use
    pay: Pay
    people: int


@dataclass(frozen=True, slots=True)
class Crossed:
    """Using against paying, of the interval that begins on `start`: from `since` (T - w) to `at` (T)."""

    start: date
    since: datetime
    at: datetime
    cells: tuple[CrossedCell, ...]

    def people(self, use: Use, pay: Pay | None = None) -> int:
        """The people of a cell, or of a whole row."""
        return sum(cell.people for cell in self.cells if cell.use == use and pay in (None, cell.pay))


@dataclass(frozen=True, slots=True, eq=False)
class Churn:
    """The whole report. `factors` and `crossed` are of the newest interval that is over, else of the running one; None
    before there is any."""

    engagement: EngagementChurnResult
    factors: ChurnFactors | None
    subscription: SubscriptionChurn
    crossed: Crossed | None
    warned: Warned | None

    def to_json(self) -> dict[str, Any]:
        """As the command prints it; amounts in micros."""
        asked = self.engagement.asked
        return {
            "asked": {
                "core": asdict(asked.core),
                "quiet": asked.quiet.text,
                "baseline": asked.baseline.text,
                "interval": asked.interval,
            },
            "complete_until": self.engagement.complete_until,
            "notes": list(self.engagement.notes),
            "engagement": {
                "points": [asdict(one) | {"kept": one.kept, "rate": one.rate} for one in self.engagement.points],
                "factors": self.factors and _factors(self.factors),
            },
            "subscription": _subscription(self.subscription),
            "crossed": self.crossed and asdict(self.crossed),
            "early_warning": self.warned and _warning(self.warned),
        }


def churn(
    session: Session,
    timeline: Timeline,
    scope: Scope,
    asked: EngagementChurn,
    *,
    within: NDArray[np.bool_] | None = None,
    executor: Executor | None = None,
) -> Churn:
    """Everything there is to say of a period. Raises InvalidInput."""
    engagement = engagement_churn(timeline, scope, asked, within=within, executor=executor)
    start = newest(engagement)
    factors = cross = None
    if start is not None:
        told, roles = read_features(session), read_matches(session)
        factors = churn_factors(timeline, scope, asked, start, told, roles, within=within, executor=executor)
        cross = crossed(session, timeline, scope, asked, start, within=within, executor=executor)
    return Churn(
        engagement,
        factors,
        subscription_churn.report(
            session, scope, subscription_churn.Asked(asked.interval), within=persons(session, timeline, within)
        ),
        cross,
        read_warned(session),
    )


def core_of(session: Session) -> Match:
    """What using the product is here: the events of the role core that were ever received, else whatever people do."""
    core = read_matches(session).get("core")
    if core is None:
        return ANYTHING
    received = rows(session, "SELECT name FROM event_type WHERE name = ANY(:names)", names=list(core.names))
    known = {row.name for row in received}
    names = tuple(name for name in core.names if name in known)
    return Match(names, core.conditions) if names else ANYTHING


def newest(found: EngagementChurnResult) -> date | None:
    """The newest interval that is over, else the running one; None when none has begun."""
    over = [point.start for point in found.points if point.complete] or [point.start for point in found.points]
    return over[-1] if over else None


def persons(session: Session, timeline: Timeline, within: NDArray[np.bool_] | None) -> Sequence[UUID] | None:
    """Who counts, as reports of payments name people; None for everybody."""
    return None if within is None else reports.persons_of(session, timeline.numbers[within].tolist())


# ------------------------------------------------------------------------------------------------------ side by side


def crossed(
    session: Session,
    timeline: Timeline,
    scope: Scope,
    asked: EngagementChurn,
    start: date,
    *,
    within: NDArray[np.bool_] | None = None,
    executor: Executor | None = None,
) -> Crossed:
    """The people of an interval by whether they use and whether they pay. Raises InvalidInput for no such interval."""
    at = moment(timeline, scope, asked, start)
    found = _cells(session, timeline, scope, asked, at, within, executor)
    cells = tuple(CrossedCell(use, pay, len(found[use, pay])) for use, pay in CELLS)
    return Crossed(start, instant(at - asked.quiet.micros), instant(at), cells)


def crossed_people(
    session: Session,
    timeline: Timeline,
    scope: Scope,
    asked: EngagementChurn,
    start: date,
    use: Use,
    pay: Pay | None = None,
    *,
    within: NDArray[np.bool_] | None = None,
    executor: Executor | None = None,
) -> Numbers:
    """The lasting numbers, ascending, of exactly the people of a cell, or of a whole row. Raises InvalidInput."""
    at = moment(timeline, scope, asked, start)
    found = _cells(session, timeline, scope, asked, at, within, executor)
    chosen = [found[cell] for cell in CELLS if cell[0] == use and pay in (None, cell[1])]
    if not chosen:
        raise InvalidInput("Choose a cell of the table.")
    return np.sort(np.concatenate(chosen))


def _cells(
    session: Session,
    timeline: Timeline,
    scope: Scope,
    asked: EngagementChurn,
    at: int,
    within: NDArray[np.bool_] | None,
    executor: Executor | None,
) -> Mapping[tuple[Use, Pay], Numbers]:
    """The people of every cell by their lasting numbers, ascending."""
    first = instant(at - asked.quiet.micros).astimezone(scope.zone).date()
    last = instant(at - 1).astimezone(scope.zone).date()
    sides = subscription_churn.stopped_and_paying(
        session, scope, first, last + _DAY, within=persons(session, timeline, within)
    )
    stopped, paying = (_numbers(session, side) for side in sides)
    silent = people_at(timeline, asked, at, "churned", within=within, executor=executor)
    active = people_at(timeline, asked, at, "kept", within=within, executor=executor)
    used = np.concatenate([silent, active])
    found: dict[tuple[Use, Pay], Numbers] = {}
    for use, people in (("silent", silent), ("active", active)):
        found[use, "stopped"] = people[np.isin(people, stopped)]  # type: ignore[index]
        found[use, "paying"] = people[np.isin(people, paying)]  # type: ignore[index]
        found[use, "not"] = people[~np.isin(people, stopped) & ~np.isin(people, paying)]  # type: ignore[index]
    found["away", "stopped"] = stopped[~np.isin(stopped, used)]
    found["away", "paying"] = paying[~np.isin(paying, used)]
    return found


def _numbers(session: Session, people: Sequence[UUID]) -> Numbers:
    found = rows(session, "SELECT number FROM actor WHERE id = ANY(:ids) ORDER BY 1", ids=list(people))
    return np.array([row.number for row in found], np.int64)


# ---------------------------------------------------------------------------------------------------------- as JSON


def _factors(found: ChurnFactors) -> dict[str, Any]:
    return {
        "at": found.at,
        "churned": found.churned,
        "kept": found.kept,
        "primary": found.primary and found.primary.feature.slug,
        "secondary": found.secondary and found.secondary.feature.slug,
        "found": [_factor(one) for one in found.factors],
    }


def _factor(found: Factor) -> dict[str, Any]:
    told = asdict(found.risk)
    del told["place"]
    return {"feature": found.feature.slug, "level": found.level, "bound": found.bound, **told}


def _subscription(found: SubscriptionChurn) -> dict[str, Any]:
    factors = found.factors
    return {
        "currency": found.currency,
        "periods": [asdict(period) for period in found.periods],
        "total": asdict(found.total),
        "leaving": found.leaving and asdict(found.leaving),
        "past_due": found.past_due and asdict(found.past_due),
        "stated": [{"reason": reason, "people": people} for reason, people in found.stated],
        "factors": factors
        and {
            "cases": factors.cases,
            "left": factors.left,
            "primary": factors.primary,
            "secondary": factors.secondary,
            "found": [
                {"name": one.name, "meaning": FACTORS[one.name]}
                | {name: value for name, value in asdict(one.risk).items() if name != "place"}
                for one in factors.factors
            ],
        },
        "cohorts": [asdict(cohort) for cohort in found.cohorts],
        "survival": _survival(found.everybody),
        "survival_by_plan": [{"plan": one.plan} | _survival(one.curve) for one in found.plans],
    }


def _survival(found: Survival) -> dict[str, Any]:
    names = ("at", "share", "low", "high", "at_risk")
    steps = zip(*(getattr(found, name) for name in names), strict=True)
    return {
        "people": found.people,
        "ended": found.ended,
        "median": found.median,
        "median_low": found.median_low,
        "median_high": found.median_high,
        "steps": [dict(zip(("days", *names[1:]), step, strict=True)) for step in steps],
    }


def _warning(found: Warned) -> dict[str, Any]:
    told = {"version": found.version, "trained_at": found.trained_at, "checked_at": found.checked_at}
    outcome = found.outcome
    if not isinstance(outcome, Model):
        return told | {"enough": False, "sentence": outcome.sentence}
    return told | {
        "enough": True,
        "is_useful": outcome.is_useful,
        "sentence": outcome.sentence,
        "judged_at": outcome.at,
        "judged": asdict(outcome.judged),
    }
