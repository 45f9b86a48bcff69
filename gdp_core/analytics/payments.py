"""Money that moved, by person, local day and currency: paid, refunded, and lost in disputes. Internal people are left out.

Paid are paid invoices and one-off checkouts, and valued events of sources that have no invoices (of which only the UTC
day is known).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any
from uuid import UUID

from sqlmodel import Session

from gdp_core.analytics.rates import Rates, read_rates
from gdp_core.analytics.scope import Scope, midnight
from gdp_core.db import rows
from gdp_core.errors import InvalidInput

MONEY = """
    SELECT coalesce(a.person_id, m.actor_id) AS person, m.day, m.currency, m.paid, m.refunded, m.disputed FROM (
        SELECT actor_id, (paid_at AT TIME ZONE :tz)::date AS day, currency,
            amount_paid_micros AS paid, 0::bigint AS refunded, 0::bigint AS disputed
        FROM invoice WHERE status = 'paid' AND paid_at >= :since AND paid_at < :until
        UNION ALL
        SELECT actor_id, (refunded_at AT TIME ZONE :tz)::date, currency, 0,
            CASE kind WHEN 'refund' THEN amount_micros ELSE 0 END, CASE kind WHEN 'refund' THEN 0 ELSE amount_micros END
        FROM refund WHERE counts AND refunded_at >= :since AND refunded_at < :until
        UNION ALL
        SELECT actor_id, day, currency, paid_micros, refunded_micros, 0
        FROM actor_value_day WHERE day >= :first AND day < :end
    ) m
    LEFT JOIN actor a ON a.id = m.actor_id AND a.workspace_id = app_ws()
    LEFT JOIN person p ON p.id = a.person_id AND p.workspace_id = app_ws()
    WHERE p.is_internal IS NOT TRUE
        AND (CAST(:within AS uuid[]) IS NULL OR a.person_id = ANY(CAST(:within AS uuid[])))
        AND (CAST(:only AS text) IS NULL OR m.currency = :only)
"""
"""One row for each amount. Bind what `bound` gives."""


@dataclass(frozen=True, slots=True)
class Cash:
    """Money of some days in micros. `rest` is what remained of it in currencies without an exchange rate."""

    paid: int = 0
    refunded: int = 0
    disputed: int = 0
    rest: Mapping[str, int] = field(default_factory=dict)

    @property
    def kept(self) -> int:
        """Revenue: what was paid and not given back."""
        return self.paid - self.refunded - self.disputed


def check_currency(code: str | None) -> None:
    """Raises InvalidInput for what is no currency's code."""
    if code is not None and not (len(code) == 3 and code.isascii() and code.isalpha() and code.isupper()):
        raise InvalidInput("Choose a currency by its code, like USD.")


def read_currencies(session: Session) -> tuple[str, ...]:
    """The currencies in which anybody ever paid or had recurring revenue, by code."""
    found = rows(
        session,
        "SELECT currency FROM mrr_change UNION SELECT currency FROM invoice WHERE status = 'paid'"
        " UNION SELECT currency FROM actor_value_day ORDER BY 1",
    )
    return tuple(row.currency for row in found)


def rates_for(session: Session, scope: Scope, currency: str | None) -> Rates:
    """The rates of a report in the workspace's own currency (None), or in a single one, where there is none to convert."""
    return read_rates(session, scope.currency) if currency is None else Rates(currency, {})


def bound(
    scope: Scope, first: date, end: date, *, within: Sequence[UUID] | None = None, only: str | None = None
) -> dict[str, Any]:
    """The values of MONEY for local days [first, end) up to the scope's end, of persons `within`, in a currency `only`."""
    return {
        "tz": scope.timezone,
        "since": midnight(first, scope.zone),
        "until": min(midnight(end, scope.zone), scope.until),
        "first": first,
        "end": min(end, scope.end),
        "within": None if within is None else list(within),
        "only": only,
    }


def daily_cash(session: Session, rates: Rates, values: Mapping[str, Any]) -> dict[date, Cash]:
    """The money of each day on which some moved, converted at that day's rate."""
    found = rows(
        session,
        "SELECT day, currency, sum(paid)::bigint AS paid, sum(refunded)::bigint AS refunded,"
        f" sum(disputed)::bigint AS disputed FROM ({MONEY}) money GROUP BY 1, 2",
        **values,
    )
    days: dict[date, Cash] = {}
    for row in found:
        paid, refunded, disputed = (
            rates.in_base(amount, row.currency, row.day) for amount in (row.paid, row.refunded, row.disputed)
        )
        if paid is None or refunded is None or disputed is None:
            part = Cash(rest={row.currency: row.paid - row.refunded - row.disputed})
        else:
            part = Cash(paid, refunded, disputed)
        days[row.day] = together([days.get(row.day, Cash()), part])
    return days


def together(parts: Sequence[Cash]) -> Cash:
    """Their sum; amounts of a currency without a rate stay by themselves."""
    rest: dict[str, int] = {}
    for part in parts:
        for currency, amount in part.rest.items():
            rest[currency] = rest.get(currency, 0) + amount
    return Cash(
        sum(part.paid for part in parts),
        sum(part.refunded for part in parts),
        sum(part.disputed for part in parts),
        {currency: amount for currency, amount in sorted(rest.items()) if amount},
    )
