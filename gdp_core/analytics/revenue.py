"""Recurring revenue: MRR and what moved it, how much of it and of the customers stays, and the money that came in.

MRR comes from the ledger the worker keeps, per customer; a customer is a person with everything they pay, and internal
people are left out. Amounts are in the workspace's currency by each day's rate, or, asked for one currency, in that one
alone: amounts without a rate are listed by currency and never added. Definitions follow docs/definitions.
"""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from fractions import Fraction
from types import MappingProxyType
from typing import Any, Literal, get_args
from uuid import UUID

import numpy as np
from numpy.typing import NDArray
from sqlmodel import Session

from gdp_core.analytics import ltv, payments
from gdp_core.analytics.calendar import Interval, floor, following
from gdp_core.analytics.ltv import Birth, Realised
from gdp_core.analytics.movements import (
    CHURN,
    CONTRACTION,
    KINDS,
    NEW,
    Flags,
    Flow,
    Ledger,
    Span,
    Stretch,
    closed,
    daily_flows,
    net_flow,
    net_kinds,
    pair_rates,
    read_ledger,
    spans,
    stretches,
    together,
    whole,
    worths,
)
from gdp_core.analytics.payments import Cash, bound, check_currency, daily_cash, rates_for
from gdp_core.analytics.rates import Rates
from gdp_core.analytics.scope import Scope
from gdp_core.analytics.shares import Share, payers, shares, subscribers
from gdp_core.errors import InvalidInput

View = Literal["ledger", "net"]
Number = Literal[
    "start",
    "new",
    "reactivation",
    "expansion",
    "contraction",
    "churn",
    "fx",
    "lost",
    "end",
    "trials",
    "leaving",
    "paid",
    "refunded",
    "disputed",
]
_DAY = timedelta(days=1)
_STRIPE_DAYS = 30
_TRAILING_MONTHS = 6
_LEAST_COHORTS = 12
_LEAST = 0.5  # micros: less is rounding

MEANINGS: Mapping[str, str] = MappingProxyType(
    {
        "mrr": "What the subscriptions that are active or past due are worth a month; trials, usage, one-off payments and"
        " tax are not in it.",
        "arr": "Twelve times MRR.",
        "committed": "MRR without the subscriptions that are set to end.",
        "trial": "What running trials would be worth a month; not in MRR.",
        "customers": "People whose MRR is above zero.",
        "arpa": "MRR divided by paying customers; trials are in neither.",
        "new": "MRR of customers who never paid before.",
        "reactivation": "MRR of customers who paid before, stopped, and came back.",
        "expansion": "More MRR of customers who stayed.",
        "contraction": "Less MRR of customers who stayed; one of two subscriptions ending is this.",
        "churn": "MRR of customers who went to zero, when their access ended.",
        "fx": "What exchange rates alone did to MRR.",
        "customer_churn": "Customers at the start who are at zero at the end, of all customers at the start.",
        "stripe_churn": "Stripe's way: every time somebody went to zero, of customers at the start and new ones together.",
        "gross_mrr_churn": "Churn and contraction of customers at the start, of MRR at the start.",
        "nrr": "MRR now of the customers at the start, of their MRR then.",
        "grr": "The same with no customer counted above what they paid at the start.",
        "realised_ltv": "What the members of a month's cohort paid and did not get back until the end of each month"
        " since then, per member; of months that are over for all of them.",
        "predicted_ltv": "ARPA divided by the mean customer churn of the six months before the current one.",
    }
)


@dataclass(frozen=True, slots=True)
class Asked:
    """How to cut the period and count in it. Raises InvalidInput.

    `view` "ledger" adds up every movement; "net" compares each customer at the two ends of an interval. `currency` None
    is everything in the workspace's own. `margin` is the gross margin for predicted lifetime value, 1 for all of it;
    `birth` what makes somebody a member of a cohort of realised lifetime value.
    """

    interval: Interval = "month"
    view: View = "ledger"
    currency: str | None = None
    margin: float | None = None
    birth: Birth = "first_payment"

    def __post_init__(self) -> None:
        if self.interval not in get_args(Interval):
            raise InvalidInput("Revenue is shown by day, week or month.")
        if self.view not in get_args(View):
            raise InvalidInput("Choose every movement (ledger) or the net change of each customer (net).")
        check_currency(self.currency)
        if self.margin is not None and not 0 < self.margin <= 1:
            raise InvalidInput("A gross margin is more than 0 and at most 1.")
        ltv.Asked(self.birth)  # which says what a birth is


@dataclass(frozen=True, slots=True)
class Headcount:
    """Customers: at the start, with such a movement (once each), lost (there at the start, at zero at the end), at the
    end. `churns` counts every time somebody went to zero."""

    start: int
    new: int
    reactivation: int
    expansion: int
    contraction: int
    churn: int
    lost: int
    end: int
    churns: int


@dataclass(frozen=True, slots=True)
class Ratios:
    """Of a stretch of days; None where there was nothing to divide by. MRR is in the reported currency by each day's
    rate, of currencies that had one at the start."""

    customer_churn: float | None
    stripe_churn: float | None
    gross_mrr_churn: float | None
    nrr: float | None
    grr: float | None


@dataclass(frozen=True, slots=True)
class Period:
    """Local days [start, end). `cut`: only a part of its day, week or month, or not over. `closed_days` are those of
    its days whose lines lead to the micro from where the day before ended to where they end: all of them."""

    start: date
    end: date
    cut: bool
    closed_days: int
    flow: Flow
    customers: Headcount
    ratios: Ratios
    cash: Cash

    @property
    def days(self) -> int:
        """How many days it has."""
        return (self.end - self.start).days


@dataclass(frozen=True, slots=True)
class Standing:
    """Where it stands when the period ends, in micros. Committed and trial MRR are known of the present only."""

    mrr: int
    arr: int
    committed: int | None
    trial: int | None
    trials: int | None  # people
    leaving: int | None  # people whose subscription is set to end
    customers: int
    arpa: int | None
    rest: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class InCurrency:
    """MRR at the end in one currency, and what that is in the workspace's: None without a rate."""

    currency: str
    mrr: int
    in_base: int | None
    customers: int


@dataclass(frozen=True, slots=True)
class Earlier:
    """What the period is compared with, local days [start, end): where it stood at their end, and what became of it."""

    start: date
    end: date
    mrr: int
    customers: int
    arpa: int | None
    ratios: Ratios
    cash: Cash


@dataclass(frozen=True, slots=True)
class Month:
    """Customers when a month began, those of them at zero at its end, and their share."""

    start: date
    customers: int
    lost: int
    churn: float | None


@dataclass(frozen=True, slots=True)
class Predicted:
    """Lifetime value by the churn of the months before the current one. None when nobody left, or nothing is known."""

    value: int | None
    arpa: int | None
    churn: float | None  # the mean of the months that have one
    months: tuple[Month, ...]
    margin: float | None


@dataclass(frozen=True, slots=True)
class Revenue:
    """The report. Amounts are micros of `currency`."""

    currency: str
    standing: Standing
    currencies: tuple[InCurrency, ...]
    periods: tuple[Period, ...]
    total: Period
    earlier: Earlier | None
    stripe_churn: float | None  # of the last 30 days, to compare with Stripe's own page
    predicted: Predicted
    realised: Realised  # of the period's months, and at least of twelve

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to report: no recurring revenue, no trial, no payment of the period or a cohort."""
        flow = self.total.flow
        told = (flow.start, flow.end, flow.rest, self.total.customers.churns, self.standing.trials)
        return not any(told) and self.total.cash == Cash() and not self.realised.cohorts


def report(session: Session, scope: Scope, asked: Asked, *, within: Sequence[UUID] | None = None) -> Revenue:
    """Recurring revenue of a period, of everybody or of the persons `within`. Raises InvalidInput."""
    rates = rates_for(session, scope, asked.currency)
    ledger = read_ledger(session, scope, rates, only=asked.currency, within=within)
    cuts = stretches(scope, asked.interval)
    cash = daily_cash(session, rates, _bound(scope, whole(cuts), asked, within))
    over = next(spans(ledger, [whole(cuts)]))
    month = next(spans(ledger, [Stretch(over.end - _STRIPE_DAYS * _DAY, over.end)]))
    standing = _standing(session, ledger, over, scope, asked, rates, within)
    periods, total = count(ledger, cuts, asked.view, rates, cash)
    worth = ltv.report(session, _cohort_scope(scope), ltv.Asked(asked.birth, asked.currency), within=within)
    return Revenue(
        currency=rates.base,
        standing=standing,
        currencies=_currencies(ledger, over, rates),
        periods=periods,
        total=total,
        earlier=_earlier(session, ledger, scope, asked, rates, within),
        stripe_churn=_ratios(ledger, month, rates).stripe_churn,
        predicted=_predicted(ledger, standing.arpa, over.last, asked.margin),
        realised=worth,
    )


def count(
    ledger: Ledger, cuts: Sequence[Stretch], view: View, rates: Rates, cash: Mapping[date, Cash]
) -> tuple[tuple[Period, ...], Period]:
    """The numbers of stretches that follow each other without a gap, and of all of them as one."""
    over = next(spans(ledger, [whole(cuts)]))
    days = daily_flows(ledger, over, rates)
    periods = []
    for span, cut in zip(spans(ledger, cuts), cuts, strict=True):
        mine = slice((cut.start - over.start).days, (cut.end - over.start).days)
        periods.append(_period(ledger, span, cut, view, rates, days[mine], cash))
    return tuple(periods), _period(ledger, over, whole(cuts), view, rates, days, cash)


def people_of(
    session: Session,
    scope: Scope,
    asked: Asked,
    number: Number,
    *,
    start: date | None = None,
    within: Sequence[UUID] | None = None,
) -> tuple[Share, ...]:
    """Exactly the people of a number of the report: of the period that begins at `start`, or of the whole.

    `trials` and `leaving` are of the present. By person id. Raises InvalidInput for a number or period it does not have.
    """
    if number not in get_args(Number):
        raise InvalidInput(f"Choose one of {', '.join(get_args(Number))}.")
    rates = rates_for(session, scope, asked.currency)
    cuts = stretches(scope, asked.interval)
    chosen = next((cut for cut in cuts if cut.start == start), None)
    if start is None:
        chosen = whole(cuts)
    if chosen is None:
        raise InvalidInput("Choose the first day of one of the report's periods.")
    if number == "trials" or number == "leaving":
        return subscribers(session, number, rates, scope.today, within=within, only=asked.currency).shares
    if number == "paid" or number == "refunded" or number == "disputed":
        return payers(session, number, rates, _bound(scope, chosen, asked, within))
    ledger = read_ledger(session, scope, rates, only=asked.currency, within=within)
    span = next(spans(ledger, [chosen]))
    who, worth = _chosen(ledger, span, asked, rates, number)
    return shares(ledger.people[who], worth[who])


def cohort_of(
    session: Session,
    scope: Scope,
    asked: Asked,
    month: date,
    *,
    until: int | None = None,
    within: Sequence[UUID] | None = None,
) -> tuple[Share, ...]:
    """The members of a cohort of realised lifetime value, and what each brought until the end of month `until` since
    then, or until now."""
    wanted = ltv.Asked(asked.birth, asked.currency)
    return ltv.brought(session, _cohort_scope(scope), wanted, month, until=until, within=within)


def people_of_month(
    session: Session, scope: Scope, asked: Asked, number: Number, month: date, *, within: Sequence[UUID] | None = None
) -> tuple[Share, ...]:
    """Exactly the people of a number of a whole month, which need not be in the period."""
    days = replace(scope, start=month, end=following(month, "month"))
    return people_of(session, days, asked, number, within=within)


def _cohort_scope(scope: Scope) -> Scope:
    """The days whose months have a cohort: a period of a few weeks would show nothing that is old enough to tell."""
    first = floor(min(scope.end, scope.today + _DAY) - _DAY, "month")
    for _ in range(_LEAST_COHORTS - 1):
        first = floor(first - _DAY, "month")
    return replace(scope, start=min(scope.start, first))


def _bound(scope: Scope, days: Stretch, asked: Asked, within: Sequence[UUID] | None) -> dict[str, Any]:
    return bound(scope, days.start, days.end, within=within, only=asked.currency)


# ------------------------------------------------------------------------------------------------------ a period


def _period(
    ledger: Ledger,
    span: Span,
    cut: Stretch,
    view: View,
    rates: Rates,
    days: Sequence[Flow],
    cash: Mapping[date, Cash],
) -> Period:
    net = net_kinds(ledger, span, rates) if view == "net" else None
    return Period(
        start=cut.start,
        end=cut.end,
        cut=cut.cut,
        closed_days=closed(days),
        flow=together(days) if net is None else net_flow(ledger, span, net, rates),
        customers=_headcount(ledger, span, net),
        ratios=_ratios(ledger, span, rates),
        cash=payments.together([cash[day] for day in _days(cut) if day in cash]),
    )


def _days(cut: Stretch) -> Iterator[date]:
    return (cut.start + offset * _DAY for offset in range((cut.end - cut.start).days))


def _headcount(ledger: Ledger, span: Span, net: NDArray[np.int8] | None) -> Headcount:
    """`net`: what became of each customer; None to count their movements."""
    had, has = ledger.has(span.opening > 0), ledger.has(span.closing > 0)
    moved = {
        kind: int((_moving(ledger, span, place) if net is None else net == place).sum())
        for place, kind in enumerate(KINDS)
    }
    return Headcount(
        start=int(had.sum()), **moved, lost=int((had & ~has).sum()), end=int(has.sum()), churns=_churns(ledger, span)
    )


def _moving(ledger: Ledger, span: Span, kind: int) -> Flags:
    """The customers with a movement of a kind."""
    found = np.zeros(len(ledger.people), np.bool_)
    found[ledger.customer[span.rows][ledger.kind[span.rows] == kind]] = True
    return found


def _churns(ledger: Ledger, span: Span) -> int:
    """How often somebody went to zero: changes of several currencies at one instant are one."""
    gone = ledger.kind[span.rows] == CHURN
    return int(np.count_nonzero(ledger.leads[span.rows] & gone))


def _ratios(ledger: Ledger, span: Span, rates: Rates) -> Ratios:
    had, has = ledger.has(span.opening > 0), ledger.has(span.closing > 0)
    began = _moving(ledger, span, NEW)
    known = ~np.isnan(pair_rates(ledger, rates, span.start - _DAY))
    start = worths(ledger, span.opening, rates, span.start - _DAY)
    now = np.where(start > 0, worths(ledger, np.where(known, span.closing, 0), rates, span.last), 0)
    part = span.rows
    shrunk = (
        np.isin(ledger.kind[part], (CHURN, CONTRACTION)) & (start > 0)[ledger.customer[part]] & known[ledger.pair[part]]
    )
    lost = -float((ledger.delta[part] * ledger.rate[part])[shrunk].sum())
    total = float(start.sum())
    return Ratios(
        customer_churn=_ratio(float((had & ~has).sum()), float(had.sum())),
        stripe_churn=_ratio(_churns(ledger, span), float(had.sum() + began.sum())),
        gross_mrr_churn=_ratio(lost, total),
        nrr=_ratio(float(now.sum()), total),
        grr=_ratio(float(np.minimum(now, start).sum()), total),
    )


def _ratio(part: float, whole: float) -> float | None:
    return part / whole if whole else None


# ------------------------------------------------------------------------------------------------- where it stands


def _standing(
    session: Session,
    ledger: Ledger,
    over: Span,
    scope: Scope,
    asked: Asked,
    rates: Rates,
    within: Sequence[UUID] | None,
) -> Standing:
    mrr, customers, arpa = _level(ledger, over, rates)
    leaving = (
        subscribers(session, "leaving", rates, over.last, within=within, only=asked.currency)
        if scope.is_running
        else None
    )
    trials = (
        subscribers(session, "trials", rates, over.last, within=within, only=asked.currency)
        if scope.is_running
        else None
    )
    return Standing(
        mrr=mrr,
        arr=12 * mrr,
        committed=mrr - leaving.total if leaving else None,
        trial=trials.total if trials else None,
        trials=len(trials.shares) if trials else None,
        leaving=len(leaving.shares) if leaving else None,
        customers=customers,
        arpa=arpa,
        rest={
            code: level
            for code, level in _levels(ledger, over).items()
            if level and rates.in_base(level, code, over.last) is None
        },
    )


def _level(ledger: Ledger, over: Span, rates: Rates) -> tuple[int, int, int | None]:
    """(MRR, customers, MRR per customer who has some in a currency with a rate) at the end of a stretch."""
    there = over.closing > 0
    mrr = sum(rates.in_base(level, code, over.last) or 0 for code, level in _levels(ledger, over).items())
    counted = int(ledger.has(there & ~np.isnan(pair_rates(ledger, rates, over.last))).sum())
    return mrr, int(ledger.has(there).sum()), round(Fraction(mrr, counted)) if counted else None


def _earlier(
    session: Session, ledger: Ledger, scope: Scope, asked: Asked, rates: Rates, within: Sequence[UUID] | None
) -> Earlier | None:
    before = scope.earlier()
    if before is None:
        return None
    days = Stretch(before.start, before.end)
    span = next(spans(ledger, [days]))
    mrr, customers, arpa = _level(ledger, span, rates)
    cash = payments.together([*daily_cash(session, rates, _bound(before, days, asked, within)).values()])
    return Earlier(before.start, before.end, mrr, customers, arpa, _ratios(ledger, span, rates), cash)


def _levels(ledger: Ledger, over: Span) -> dict[str, int]:
    return {code: int(over.closing[ledger.currency_of == place].sum()) for place, code in enumerate(ledger.currencies)}


def _currencies(ledger: Ledger, over: Span, rates: Rates) -> tuple[InCurrency, ...]:
    found = []
    for place, (code, level) in enumerate(_levels(ledger, over).items()):
        customers = int(ledger.has((over.closing > 0) & (ledger.currency_of == place)).sum())
        if customers:
            found.append(InCurrency(code, level, rates.in_base(level, code, over.last), customers))
    return tuple(sorted(found, key=lambda item: (-(item.in_base or 0), item.currency)))


def _predicted(ledger: Ledger, arpa: int | None, last: date, margin: float | None) -> Predicted:
    months = [last.replace(day=1)]
    for _ in range(_TRAILING_MONTHS):
        months.insert(0, (months[0] - _DAY).replace(day=1))
    cuts = [Stretch(start, end) for start, end in itertools.pairwise(months)]
    churns = []
    for span in spans(ledger, cuts):
        had, has = ledger.has(span.opening > 0), ledger.has(span.closing > 0)
        customers, lost = int(had.sum()), int((had & ~has).sum())
        churns.append(Month(span.start, customers, lost, _ratio(lost, customers)))
    known = [month.churn for month in churns if month.churn is not None]
    mean = sum(known) / len(known) if known else None
    value = round(arpa / mean * (margin or 1)) if arpa is not None and mean else None
    return Predicted(value, arpa, mean, tuple(churns), margin)


# ------------------------------------------------------------------------------------------------ who is behind it


def _moved(ledger: Ledger, span: Span, asked: Asked, rates: Rates) -> NDArray[np.float64]:
    """What every customer's movements come to, without what rates did."""
    if asked.view == "net":
        return worths(ledger, span.closing - span.opening, rates, span.last)
    part = span.rows
    amounts = np.nan_to_num(ledger.delta[part] * ledger.rate[part])
    return np.bincount(ledger.customer[part], amounts, len(ledger.people)).astype(np.float64)


def _chosen(
    ledger: Ledger, span: Span, asked: Asked, rates: Rates, number: Number
) -> tuple[Flags, NDArray[np.float64]]:
    """(who is in a number, what of it is theirs)."""
    had, has = ledger.has(span.opening > 0), ledger.has(span.closing > 0)
    before, after = (
        worths(ledger, span.opening, rates, span.start - _DAY),
        worths(ledger, span.closing, rates, span.last),
    )
    if number in ("start", "lost"):
        return (had if number == "start" else had & ~has), before
    if number == "end":
        return has, after
    if number == "fx":
        revalued = after - before - _moved(ledger, span, asked, rates)
        return np.abs(revalued) >= _LEAST, revalued
    kind = KINDS.index(number)
    sign = -1 if kind in (CHURN, CONTRACTION) else 1
    if asked.view == "net":
        moved = worths(ledger, span.closing - span.opening, rates, span.last)
        return net_kinds(ledger, span, rates) == kind, sign * moved
    part = span.rows
    mine = ledger.kind[part] == kind
    amounts = np.nan_to_num(ledger.delta[part] * ledger.rate[part])[mine]
    worth = np.bincount(ledger.customer[part][mine], amounts, len(ledger.people)).astype(np.float64)
    return _moving(ledger, span, kind), sign * worth
