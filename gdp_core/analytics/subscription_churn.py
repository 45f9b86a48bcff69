"""Customers who stopped paying: how many, whether they wanted to, after how long, and what they had in common.

A customer churns when their MRR goes to zero, which is when access ends; asking to cancel is counted apart. Involuntary
is what ended because payments failed. This is not engagement churn: somebody may pay and be away, or use and not pay.
Internal people are left out; days are the workspace's own. Definitions follow docs/definitions.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from types import MappingProxyType
from typing import Any, Literal, get_args
from uuid import UUID

import numpy as np
from numpy.typing import NDArray
from sqlmodel import Session

from gdp_core.analytics.calendar import Interval
from gdp_core.analytics.lifetimes import Cohort, PlanCurve, cohorts, curve_members, members, read_curves
from gdp_core.analytics.movements import (
    CHURN,
    Flags,
    Ints,
    Ledger,
    Span,
    Stretch,
    firsts,
    read_ledger,
    spans,
    stretches,
    whole,
    worths,
)
from gdp_core.analytics.rates import Rates, read_rates
from gdp_core.analytics.scope import Scope, midnight
from gdp_core.analytics.shares import Share, shares, subscribers
from gdp_core.analytics.subscription_factors import Factors, read_factors
from gdp_core.analytics.survival import Survival
from gdp_core.db import rows
from gdp_core.errors import InvalidInput

Number = Literal[
    "start", "lost", "voluntary", "involuntary", "churned", "requested", "effective", "leaving", "past_due"
]
_DAY = timedelta(days=1)
_EPOCH = date(1970, 1, 1).toordinal()

MEANINGS: Mapping[str, str] = MappingProxyType(
    {
        "lost": "Customers who paid when the period began and are at zero when it ends.",
        "rate": "The lost, of all customers at the start.",
        "voluntary": "Of the lost, those who wanted to leave.",
        "involuntary": "Of the lost, those whose payments failed until access ended.",
        "churned": "People whose MRR went to zero in the period, whatever they did before and after.",
        "requested": "People who asked to cancel a subscription in the period; access goes on until it is paid for.",
        "effective": "People with a subscription they had cancelled that ended in the period.",
        "leaving": "People whose subscription is set to end; they still pay.",
        "past_due": "People whose last payment failed and is tried again; they still count.",
        "survival": "The share of customers that still pays so many days after their first payment (Kaplan-Meier).",
    }
)


@dataclass(frozen=True, slots=True)
class Asked:
    """How to cut the period. Raises InvalidInput."""

    interval: Interval = "month"

    def __post_init__(self) -> None:
        if self.interval not in get_args(Interval):
            raise InvalidInput("Churn is shown by day, week or month.")


@dataclass(frozen=True, slots=True)
class Period:
    """Local days [start, end): people, and the MRR the lost had at the start, in micros. Rates are of the customers at the
    start, None without any. lost = voluntary + involuntary."""

    start: date
    end: date
    cut: bool
    customers: int
    lost: int
    voluntary: int
    involuntary: int
    rate: float | None
    voluntary_rate: float | None
    involuntary_rate: float | None
    lost_mrr: int
    churned: int
    requested: int
    effective: int


@dataclass(frozen=True, slots=True)
class Subscribed:
    """People of the present and their MRR, in micros of the reported currency."""

    people: int
    mrr: int


@dataclass(frozen=True, slots=True, eq=False)
class SubscriptionChurn:
    """The report. `leaving` and `past_due` are of the present, None for a period that is over. `stated` are reasons that
    people gave when they cancelled, in Stripe's words, most frequent first. `factors` None: too few to tell."""

    currency: str
    periods: tuple[Period, ...]
    total: Period
    leaving: Subscribed | None
    past_due: Subscribed | None
    cohorts: tuple[Cohort, ...]
    stated: tuple[tuple[str, int], ...]
    factors: Factors | None
    everybody: Survival
    plans: tuple[PlanCurve, ...]


@dataclass(frozen=True, slots=True)
class Leaver:
    """A lost customer: what they paid a month at the start, whether they wanted to leave, and which of the report's
    reasons hold for them."""

    person_id: UUID
    micros: int
    involuntary: bool
    primary: str | None
    secondary: str | None


def report(session: Session, scope: Scope, asked: Asked, *, within: Sequence[UUID] | None = None) -> SubscriptionChurn:
    """Subscription churn of a period, of everybody or of the persons `within`. Raises InvalidInput."""
    rates = read_rates(session, scope.currency)
    ledger = read_ledger(session, scope, rates, within=within)
    cuts = stretches(scope, asked.interval)
    over = next(spans(ledger, [whole(cuts)]))
    endings = _endings(session, scope, over, within)
    curves = read_curves(session, ledger, scope)
    return SubscriptionChurn(
        currency=rates.base,
        periods=tuple(
            _period(ledger, span, cut, rates, endings) for span, cut in zip(spans(ledger, cuts), cuts, strict=True)
        ),
        total=_period(ledger, over, whole(cuts), rates, endings),
        leaving=_subscribed(session, "leaving", scope, rates, within),
        past_due=_subscribed(session, "past_due", scope, rates, within),
        cohorts=cohorts(ledger, scope),
        stated=_stated(session, scope, over, within),
        factors=read_factors(session, scope, ledger, rates),
        everybody=curves[0].curve,
        plans=curves[1:],
    )


def total(session: Session, scope: Scope, asked: Asked, *, within: Sequence[UUID] | None = None) -> Period:
    """The whole period alone, for a comparison. Raises InvalidInput."""
    rates = read_rates(session, scope.currency)
    ledger = read_ledger(session, scope, rates, within=within)
    cut = whole(stretches(scope, asked.interval))
    span = next(spans(ledger, [cut]))
    return _period(ledger, span, cut, rates, _endings(session, scope, span, within))


def people_of(
    session: Session,
    scope: Scope,
    asked: Asked,
    number: Number,
    *,
    start: date | None = None,
    within: Sequence[UUID] | None = None,
) -> tuple[Share, ...]:
    """Exactly the people of a number: of the period that begins at `start`, or of the whole. Their share is what they paid
    a month when it began. `leaving` and `past_due` are of the present. By person id. Raises InvalidInput."""
    if number not in get_args(Number):
        raise InvalidInput(f"Choose one of {', '.join(get_args(Number))}.")
    rates = read_rates(session, scope.currency)
    chosen = _chosen(scope, asked, start)
    if number == "leaving" or number == "past_due":
        return subscribers(session, number, rates, scope.today, within=within).shares
    ledger = read_ledger(session, scope, rates, within=within)
    span = next(spans(ledger, [chosen]))
    worth = worths(ledger, span.opening, rates, span.start - _DAY)
    if number == "requested" or number == "effective":
        endings = _endings(session, scope, span, within)
        who = endings.people[endings.of(number, span)]
        known = np.isin(who, ledger.people)
        micros = np.zeros(len(who))
        micros[known] = worth[np.searchsorted(ledger.people, who[known])]
        return shares(who, micros)
    mine = _who(ledger, span)[number]
    return shares(ledger.people[mine], worth[mine])


def leavers(
    session: Session, scope: Scope, asked: Asked, *, within: Sequence[UUID] | None = None
) -> tuple[Leaver, ...]:
    """The lost of the whole period with why they left, by person id: as many as the report counts."""
    rates = read_rates(session, scope.currency)
    ledger = read_ledger(session, scope, rates, within=within)
    span = next(spans(ledger, [_chosen(scope, asked, None)]))
    factors = read_factors(session, scope, ledger, rates)
    names = [*(factor.name for factor in factors.factors), None] if factors else [None]
    who = _who(ledger, span)
    lost = np.flatnonzero(who["lost"])
    reasons = factors.reasons[lost] if factors else np.full((len(lost), 2), -1)
    worth = np.rint(worths(ledger, span.opening, rates, span.start - _DAY)[lost]).astype(np.int64)
    return tuple(
        Leaver(person, micros, involuntary, names[first], names[second])
        for person, micros, involuntary, (first, second) in zip(
            ledger.people[lost].tolist(),
            worth.tolist(),
            who["involuntary"][lost].tolist(),
            reasons.tolist(),
            strict=True,
        )
    )


def stopped_and_paying(
    session: Session, scope: Scope, start: date, end: date, *, within: Sequence[UUID] | None = None
) -> tuple[tuple[UUID, ...], tuple[UUID, ...]]:
    """The customers when the local day `start` began, by id: those at zero when `end` begins, and those who still pay."""
    ledger = read_ledger(session, scope, read_rates(session, scope.currency), within=within)
    who = _who(ledger, next(spans(ledger, [Stretch(start, end)])))
    return tuple(ledger.people[who["lost"]].tolist()), tuple(ledger.people[who["start"] & ~who["lost"]].tolist())


def cohort_people(
    session: Session, scope: Scope, month: date, after: int | None = None, *, within: Sequence[UUID] | None = None
) -> tuple[UUID, ...]:
    """The customers of a month's cohort by id, or those of them at zero at the end of month `after` since then.

    Raises InvalidInput for a month that is not over.
    """
    ledger = read_ledger(session, scope, read_rates(session, scope.currency), within=within)
    return tuple(ledger.people[members(ledger, scope, month, after)].tolist())


def curve_people(
    session: Session, scope: Scope, plan: str | None, *, ended: bool = False, within: Sequence[UUID] | None = None
) -> tuple[UUID, ...]:
    """The customers of a survival curve by id: of EVERYBODY, of a plan, or of the other plans (None). With `ended`, those
    who stopped paying. Raises InvalidInput for no such curve.
    """
    ledger = read_ledger(session, scope, read_rates(session, scope.currency), within=within)
    return tuple(ledger.people[curve_members(session, ledger, scope, plan, ended=ended)].tolist())


def stated_people(
    session: Session, scope: Scope, reason: str, *, within: Sequence[UUID] | None = None
) -> tuple[UUID, ...]:
    """Who gave a reason when they cancelled in the period, by id."""
    span = whole(stretches(scope, "month"))
    found = rows(
        session,
        f"SELECT DISTINCT {_PERSON} AS id {_STATED} AND e.properties->>'feedback' = :reason ORDER BY 1",
        reason=reason,
        **_when_stated(scope, span, within),
    )
    return tuple(row.id for row in found)


def _chosen(scope: Scope, asked: Asked, start: date | None) -> Stretch:
    cuts = stretches(scope, asked.interval)
    found = whole(cuts) if start is None else next((cut for cut in cuts if cut.start == start), None)
    if found is None:
        raise InvalidInput("Choose the first day of one of the report's periods.")
    return found


# ------------------------------------------------------------------------------------------------------ a period


def _period(ledger: Ledger, span: Span, cut: Stretch, rates: Rates, endings: "_Endings") -> Period:
    who = _who(ledger, span)
    count = {number: int(flags.sum()) for number, flags in who.items()}
    worth = worths(ledger, span.opening, rates, span.start - _DAY)
    customers = count["start"]
    return Period(
        start=cut.start,
        end=cut.end,
        cut=cut.cut,
        customers=customers,
        lost=count["lost"],
        voluntary=count["voluntary"],
        involuntary=count["involuntary"],
        rate=_ratio(count["lost"], customers),
        voluntary_rate=_ratio(count["voluntary"], customers),
        involuntary_rate=_ratio(count["involuntary"], customers),
        lost_mrr=round(float(worth[who["lost"]].sum())),
        churned=count["churned"],
        requested=int(endings.of("requested", span).sum()),
        effective=int(endings.of("effective", span).sum()),
    )


def _who(ledger: Ledger, span: Span) -> dict[Number, Flags]:
    """Which customers are in each number of the ledger. Why somebody left is why they last went to zero."""
    had, has = ledger.has(span.opening > 0), ledger.has(span.closing > 0)
    gone = ledger.kind[span.rows] == CHURN
    customer = ledger.customer[span.rows][gone]
    churned, forced = np.zeros(len(had), np.bool_), np.zeros(len(had), np.bool_)
    churned[customer] = True
    forced[customer] = ledger.involuntary[span.rows][gone]
    lost = had & ~has
    return {
        "start": had,
        "lost": lost,
        "voluntary": lost & ~forced,
        "involuntary": lost & forced,
        "churned": churned,
    }


def _ratio(part: int, of: int) -> float | None:
    return part / of if of else None


@dataclass(frozen=True, slots=True, eq=False)
class _Endings:
    """People who asked for the end of a subscription, or had it, on local days (ordinals)."""

    people: NDArray[Any]
    person: Ints
    day: Ints
    requested: Flags

    def of(self, number: Literal["requested", "effective"], span: Span) -> Flags:
        """Which of the people did so in a stretch."""
        mine = (self.day >= span.start.toordinal()) & (self.day < span.end.toordinal())
        found = np.zeros(len(self.people), np.bool_)
        found[self.person[mine & (self.requested == (number == "requested"))]] = True
        return found


def _endings(session: Session, scope: Scope, span: Span, within: Sequence[UUID] | None) -> _Endings:
    """Of subscriptions that had MRR before and were to end at their owner's wish: nobody asks for failed payments."""
    found = rows(
        session,
        """
        SELECT coalesce(a.person_id, s.actor_id) AS person, (e.at AT TIME ZONE :tz)::date AS day, e.requested
        FROM subscription s
        CROSS JOIN LATERAL (VALUES (s.cancel_requested_at, true), (s.cancelled_at, false)) AS e(at, requested)
        LEFT JOIN actor a ON a.id = s.actor_id AND a.workspace_id = s.workspace_id
        LEFT JOIN person p ON p.id = a.person_id AND p.workspace_id = a.workspace_id
        WHERE p.is_internal IS NOT TRUE AND s.actor_id IS NOT NULL
            AND s.cancellation_reason IS DISTINCT FROM 'involuntary'
            AND e.at >= :since AND e.at < :until AND EXISTS (
                SELECT FROM mrr_change m WHERE m.workspace_id = s.workspace_id AND m.source_id = s.source_id
                AND m.stripe_customer_id = s.stripe_customer_id AND m.changed_at < e.at
                AND s.stripe_subscription_id = ANY(m.stripe_subscription_ids)
            )
            AND (CAST(:within AS uuid[]) IS NULL OR a.person_id = ANY(CAST(:within AS uuid[])))
        ORDER BY 1
        """,
        tz=scope.timezone,
        since=midnight(span.start, scope.zone),
        until=min(midnight(span.end, scope.zone), scope.now),
        within=None if within is None else list(within),
    )
    persons, days, requested = zip(*found, strict=True) if found else ((), (), ())
    people = np.array(persons, object)
    first = firsts(people)
    day = np.array(days, "datetime64[D]").astype(np.int64) + _EPOCH
    return _Endings(people[first], np.cumsum(first) - 1, day, np.array(requested, np.bool_))


def _subscribed(
    session: Session,
    number: Literal["leaving", "past_due"],
    scope: Scope,
    rates: Rates,
    within: Sequence[UUID] | None,
) -> Subscribed | None:
    if not scope.is_running:
        return None
    found = subscribers(session, number, rates, scope.today, within=within)
    return Subscribed(len(found.shares), found.total)


def _stated(session: Session, scope: Scope, span: Span, within: Sequence[UUID] | None) -> tuple[tuple[str, int], ...]:
    found = rows(
        session,
        f"SELECT e.properties->>'feedback' AS reason, count(DISTINCT {_PERSON}) AS people {_STATED}"
        " GROUP BY 1 ORDER BY 2 DESC, 1",
        **_when_stated(scope, span, within),
    )
    return tuple((row.reason, row.people) for row in found)


_PERSON = "coalesce(a.person_id, e.actor_id)"
_STATED = """
    FROM event e
    LEFT JOIN actor a ON a.id = e.actor_id AND a.workspace_id = e.workspace_id
    LEFT JOIN person p ON p.id = a.person_id AND p.workspace_id = a.workspace_id
    WHERE e.name = 'subscription_cancelled' AND e.occurred_at >= :since AND e.occurred_at < :until
        AND e.properties->>'feedback' <> '' AND e.actor_id IS NOT NULL AND p.is_internal IS NOT TRUE
        AND (CAST(:within AS uuid[]) IS NULL OR a.person_id = ANY(CAST(:within AS uuid[])))
"""


def _when_stated(scope: Scope, span: Span | Stretch, within: Sequence[UUID] | None) -> dict[str, Any]:
    return {
        "since": midnight(span.start, scope.zone),
        "until": min(midnight(span.end, scope.zone), scope.now),
        "within": None if within is None else list(within),
    }
