"""What those who stopped paying had in common before the period began, against those who went on.

Every feature is of the time before the period, so none of them can be a consequence of leaving. It says what goes
together; a reason in this sense is a feature that explains leaving better than chance would.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray
from sqlmodel import Session

from gdp_core.analytics.movements import CHURN, CONTRACTION, Flags, Ledger, Span, worths
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
"""What is looked at, in words; all of it before the period begins."""

SURE = 0.05
_LEAST = 10
_FEW_DAYS = 4


@dataclass(frozen=True, slots=True)
class Factor:
    """A feature of customers and how often they left, by the name it has in FACTORS."""

    name: str
    risk: Risk


@dataclass(frozen=True, slots=True, eq=False)
class Factors:
    """What goes with leaving, what explains most of it first. `primary` and `secondary` are the two surest reasons that
    explain most; None where nothing is better than chance. `reasons` are, for every customer at the start, the first two
    that hold for them (places in `factors`, -1 for none)."""

    factors: tuple[Factor, ...]
    primary: str | None
    secondary: str | None
    reasons: NDArray[np.int64]  # (C, 2), aligned with the ledger's people


def read_factors(session: Session, scope: Scope, ledger: Ledger, span: Span, rates: Rates) -> Factors | None:
    """Of the customers at the start of a stretch, those who were at zero at its end against the others.

    None when fewer than ten left, or fewer than ten stayed: too few to tell.
    """
    had = ledger.has(span.opening > 0)
    left = (had & ~ledger.has(span.closing > 0))[had]
    if left.sum() < _LEAST or (~left).sum() < _LEAST:
        return None
    features = _features(session, scope, ledger, span, rates)
    names = tuple(FACTORS)
    table = np.array([features[name][had] for name in names])
    found = [Factor(names[risk.place], risk) for risk in risks(table, left, least=_LEAST)]
    sure = [place for place, one in enumerate(found) if one.risk.corrected <= SURE and one.risk.excess > 0]
    return Factors(
        factors=tuple(found),
        primary=found[sure[0]].name if sure else None,
        secondary=found[sure[1]].name if len(sure) > 1 else None,
        reasons=_first_two([features[found[place].name] & had for place in sure], sure, len(had)),
    )


def _first_two(holds: list[Flags], places: list[int], people: int) -> NDArray[np.int64]:
    reasons = np.full((people, 2), -1, np.int64)
    for flags, place in zip(holds, places, strict=True):
        reasons[flags & (reasons[:, 0] >= 0) & (reasons[:, 1] < 0), 1] = place
        reasons[flags & (reasons[:, 0] < 0), 0] = place
    return reasons


def _features(session: Session, scope: Scope, ledger: Ledger, span: Span, rates: Rates) -> dict[str, Flags]:
    """(C,) flags by name, of the time before the stretch."""
    start = span.start
    worth = worths(ledger, span.opening, rates, start - timedelta(days=1))
    there = ledger.has(span.opening > 0)
    told = _told(session, scope, ledger, start)
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


def _told(session: Session, scope: Scope, ledger: Ledger, start: date) -> dict[str, NDArray[np.int64]]:
    """(C,) counts by name: what each customer did and what was billed before a day."""
    found = rows(
        session,
        """
        WITH customer AS (
            SELECT c.place, a.id AS actor_id FROM unnest(CAST(:people AS uuid[])) WITH ORDINALITY AS c(person_id, place)
            JOIN actor a ON a.workspace_id = app_ws() AND a.person_id = c.person_id
        )
        SELECT 'active_days' AS name, c.place, count(DISTINCT d.day) AS n FROM customer c JOIN actor_day d
            ON d.workspace_id = app_ws() AND d.actor_id = c.actor_id AND d.human_events > 0
            AND d.day >= :start - 30 AND d.day < :start GROUP BY 2
        UNION ALL SELECT 'core_days', c.place, count(DISTINCT d.day) FROM customer c JOIN actor_role_day d
            ON d.workspace_id = app_ws() AND d.actor_id = c.actor_id AND d.role = 'core'
            AND d.day >= :start - 30 AND d.day < :start GROUP BY 2
        UNION ALL SELECT 'failed', c.place, count(*) FROM event e JOIN customer c ON c.actor_id = e.actor_id
            WHERE e.name = 'payment_failed' AND e.occurred_at < :at
            AND e.occurred_at >= CAST(:at AS timestamptz) - interval '60 days' GROUP BY 2
        UNION ALL SELECT 'refunds', c.place, count(*) FROM refund r JOIN customer c ON c.actor_id = r.actor_id
            WHERE r.counts AND r.refunded_at < :at
            AND r.refunded_at >= CAST(:at AS timestamptz) - interval '90 days' GROUP BY 2
        UNION ALL SELECT 'often', c.place, count(*) FROM subscription s JOIN customer c ON c.actor_id = s.actor_id
            WHERE s.started_at < :at AND (s.ended_at IS NULL OR s.ended_at >= :at)
            AND s.billing_cycle IN ('daily', 'weekly', 'monthly') GROUP BY 2
        """,
        people=ledger.people.tolist(),
        start=start,
        at=midnight(start, scope.zone),
    )
    names, places, counts = zip(*found, strict=True) if found else ((), (), ())
    name, place, n = np.array(names, np.str_), np.array(places, np.int64) - 1, np.array(counts, np.int64)
    told = {}
    for counted in ("active_days", "core_days", "failed", "refunds", "often"):
        told[counted] = np.zeros(len(ledger.people), np.int64)
        told[counted][place[name == counted]] = n[name == counted]
    return told
