"""What those who stopped paying had in common beforehand, against those who went on.

A case is a customer at the start of a month: lost by its end or not. Every feature is of the time before that month, so
none of them can be a consequence of leaving. It says what goes together; a reason in this sense is a feature that
explains leaving better than chance would.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray
from sqlmodel import Session

from gdp_core.analytics.movements import CHURN, CONTRACTION, Flags, Ints, Ledger, Span, spans, stretches, worths
from gdp_core.analytics.rates import Rates
from gdp_core.analytics.risk import Risk, risks
from gdp_core.analytics.scope import Scope, midnight
from gdp_core.db import rows

FACTORS: Mapping[str, str] = MappingProxyType(
    {
        "low_usage": "active on fewer than 4 of the 30 days before",
        "no_core_action": "did nothing the product is for in the 30 days before",
        "payment_failed": "a payment failed in the 60 days before",
        "high_cost": "paid more than three of four customers",
        "downgraded": "paid less than before since 90 days or less",
        "refunded": "got money back in the 90 days before",
        "new_customer": "a customer for less than 90 days",
        "came_back": "had left once already",
        "billed_monthly": "billed every month or more often",
    }
)
"""What is looked at, in words; all of it before the month begins."""

SURE = 0.05
_LEAST = 10
_MOST_CASES = 100_000  # about a second of the database's time; of more, the newest months
_FEW_DAYS = 4


@dataclass(frozen=True, slots=True)
class Factor:
    """A feature by the name it has in FACTORS, and how much oftener those who had it left: in customers and months."""

    name: str
    risk: Risk


@dataclass(frozen=True, slots=True, eq=False)
class Factors:
    """What goes with leaving, what explains most of it first, of `cases` customers and months, `left` of them lost.

    `primary` and `secondary` are the two that explain most of those that are surely no chance. `reasons` are, for every
    customer of the ledger who was lost, the first two of these that held before (places in `factors`, -1 for none).
    """

    factors: tuple[Factor, ...]
    cases: int
    left: int
    primary: str | None
    secondary: str | None
    reasons: NDArray[np.int64]  # (C, 2)


@dataclass(frozen=True, slots=True, eq=False)
class _Cases:
    """The customers at the start of a month, who of them was lost, and their features (F, n)."""

    customer: Ints
    left: Flags
    features: Flags


def read_factors(session: Session, scope: Scope, ledger: Ledger, rates: Rates) -> Factors | None:
    """Of the months of a period. None when fewer than ten were lost, or fewer than ten were not: too few to tell."""
    months = _months(scope, ledger)
    told = _told(session, scope, ledger, [span.start for span in months])
    cases = []
    for place, span in enumerate(months):
        there = ledger.has(span.opening > 0)
        left = there & ~ledger.has(span.closing > 0)
        features = _features(ledger, span, rates, {name: counts[place] for name, counts in told.items()})
        cases.append(_Cases(np.flatnonzero(there), left[there], np.array([features[name][there] for name in FACTORS])))
    left = np.concatenate([month.left for month in cases]) if cases else np.zeros(0, np.bool_)
    if left.sum() < _LEAST or (~left).sum() < _LEAST:
        return None
    names = tuple(FACTORS)
    found = risks(np.concatenate([month.features for month in cases], axis=1), left, least=_LEAST)
    sure = [place for place, risk in enumerate(found) if risk.corrected <= SURE and risk.excess > 0]
    return Factors(
        factors=tuple(Factor(names[risk.place], risk) for risk in found),
        cases=len(left),
        left=int(left.sum()),
        primary=names[found[sure[0]].place] if sure else None,
        secondary=names[found[sure[1]].place] if len(sure) > 1 else None,
        reasons=_reasons(cases, found, sure, len(ledger.people)),
    )


def _months(scope: Scope, ledger: Ledger) -> list[Span]:
    """The months of the period that began with customers, oldest first; the newest of too many."""
    found = list[Span]()
    count = 0
    for span in reversed(list(spans(ledger, stretches(scope, "month")))):
        customers = int(ledger.has(span.opening > 0).sum())
        count += customers
        if count > _MOST_CASES and found:
            break
        if customers:
            found.insert(0, span)
    return found


def _reasons(cases: Sequence[_Cases], found: Sequence[Risk], sure: Sequence[int], people: int) -> NDArray[np.int64]:
    """By the last month in which somebody was lost."""
    reasons = np.full((people, 2), -1, np.int64)
    for month in cases:
        lost = month.customer[month.left]
        reasons[lost] = -1
        for place in sure:
            has = month.features[found[place].place][month.left]
            second = has & (reasons[lost, 0] >= 0) & (reasons[lost, 1] < 0)
            first = has & (reasons[lost, 0] < 0)
            reasons[lost[second], 1] = place
            reasons[lost[first], 0] = place
    return reasons


def _features(ledger: Ledger, span: Span, rates: Rates, told: Mapping[str, Ints]) -> dict[str, Flags]:
    """(C,) flags by name, of the time before a month."""
    start = span.start
    worth = worths(ledger, span.opening, rates, start - timedelta(days=1))
    there = ledger.has(span.opening > 0)
    return {
        "low_usage": told["active_days"] < _FEW_DAYS,
        "no_core_action": told["core_days"] == 0,
        "payment_failed": told["failed"] > 0,
        "high_cost": worth > np.quantile(worth[there], 0.75),
        "downgraded": _moved(ledger, CONTRACTION, start - timedelta(days=90), start),
        "refunded": told["refunds"] > 0,
        "new_customer": ledger.since >= (start - timedelta(days=90)).toordinal(),
        "came_back": _moved(ledger, CHURN, date.min, start),
        "billed_monthly": told["often"] > 0,
    }


def _moved(ledger: Ledger, kind: int, first: date, end: date) -> Flags:
    """The customers with a movement of a kind in days [first, end)."""
    part = slice(*np.searchsorted(ledger.day, [first.toordinal(), end.toordinal()]).tolist())
    found = np.zeros(len(ledger.people), np.bool_)
    found[ledger.customer[part][ledger.kind[part] == kind]] = True
    return found


def _told(session: Session, scope: Scope, ledger: Ledger, months: Sequence[date]) -> dict[str, Ints]:
    """(M, C) counts by name: what each customer did, and what was billed, before each of these days."""
    found = rows(
        session,
        """
        WITH month AS (
            SELECT * FROM unnest(CAST(:days AS date[]), CAST(:instants AS timestamptz[])) WITH ORDINALITY
                AS month(day, at, place)
        ), customer AS MATERIALIZED (
            SELECT c.place, a.id AS actor_id FROM unnest(CAST(:people AS uuid[])) WITH ORDINALITY AS c(person_id, place)
            JOIN actor a ON a.workspace_id = app_ws() AND a.person_id = c.person_id
        ), acted AS (
            SELECT 'active_days' AS name, d.actor_id, d.day FROM actor_day d
            WHERE d.human_events > 0 AND d.day >= CAST(:first AS date) - 30 AND d.day < :last
            UNION ALL SELECT 'core_days', d.actor_id, d.day FROM actor_role_day d
            WHERE d.role = 'core' AND d.day >= CAST(:first AS date) - 30 AND d.day < :last
        ), billed AS (
            SELECT 'failed' AS name, e.actor_id, e.occurred_at AS at, interval '60 days' AS counts FROM event e
            WHERE e.name = 'payment_failed' AND e.occurred_at < :until
                AND e.occurred_at >= CAST(:since AS timestamptz) - interval '60 days'
            UNION ALL SELECT 'refunds', r.actor_id, r.refunded_at, interval '90 days' FROM refund r WHERE r.counts
        )
        SELECT e.name, m.place - 1, c.place - 1, count(DISTINCT e.day) FROM acted e JOIN customer c USING (actor_id)
            JOIN month m ON e.day >= m.day - 30 AND e.day < m.day GROUP BY 1, 2, 3
        UNION ALL SELECT e.name, m.place - 1, c.place - 1, count(*) FROM billed e JOIN customer c USING (actor_id)
            JOIN month m ON e.at >= m.at - e.counts AND e.at < m.at GROUP BY 1, 2, 3
        UNION ALL SELECT 'often', m.place - 1, c.place - 1, count(*) FROM subscription s JOIN customer c USING (actor_id)
            JOIN month m ON s.started_at < m.at AND (s.ended_at IS NULL OR s.ended_at >= m.at)
            WHERE s.billing_cycle IN ('daily', 'weekly', 'monthly') GROUP BY 1, 2, 3
        """,
        people=ledger.people.tolist(),
        days=list(months),
        instants=[midnight(day, scope.zone) for day in months],
        first=min(months, default=scope.start),
        last=max(months, default=scope.start),
        since=midnight(min(months, default=scope.start), scope.zone),
        until=midnight(max(months, default=scope.start), scope.zone),
    )
    names, month, customer, counts = zip(*found, strict=True) if found else ((),) * 4
    name, place, n = np.array(names, np.str_), np.array([month, customer], np.int64), np.array(counts, np.int64)
    told = {}
    for counted in ("active_days", "core_days", "failed", "refunds", "often"):
        told[counted] = np.zeros((len(months), len(ledger.people)), np.int64)
        told[counted][tuple(place[:, name == counted])] = n[name == counted]
    return told
