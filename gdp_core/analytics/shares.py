"""Who is behind an amount of money, and how much of it is theirs: subscribers of the present, and payers of a time.

Internal people are left out, and so is money that nobody is known to have paid.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, Literal
from uuid import UUID

import numpy as np
from numpy.typing import NDArray
from sqlmodel import Session

from gdp_core.analytics.movements import firsts, rates_on
from gdp_core.analytics.payments import MONEY
from gdp_core.analytics.rates import Rates
from gdp_core.db import rows

Subscribed = Literal["trials", "leaving", "past_due"]
"""A running trial; set to end; a payment failed and is tried again."""

_EPOCH = date(1970, 1, 1).toordinal()


@dataclass(frozen=True, slots=True)
class Share:
    """Somebody behind a number, and what of its money is theirs in micros (0 where there is no rate)."""

    person_id: UUID
    micros: int


def shares(people: NDArray[Any], worth: NDArray[np.float64]) -> tuple[Share, ...]:
    """A share for each of these persons, rounded to micros."""
    return tuple(map(Share, people.tolist(), np.rint(worth).astype(np.int64).tolist()))


@dataclass(frozen=True, slots=True)
class Behind:
    """The people behind an amount of money, which is in the reported currency as far as there are rates."""

    total: int
    shares: tuple[Share, ...]


def subscribers(
    session: Session,
    number: Subscribed,
    rates: Rates,
    today: date,
    *,
    within: Sequence[UUID] | None = None,
    only: str | None = None,
) -> Behind:
    """Who has such a subscription now, and what it is worth a month."""
    found = rows(
        session,
        """
        SELECT person, currency, CAST(:today AS date) AS day, sum(amount)::bigint AS amount FROM (
            SELECT coalesce(a.person_id, s.actor_id) AS person, s.currency, CASE :number
                WHEN 'trials' THEN s.trial_mrr_micros WHEN 'past_due' THEN s.mrr_micros
                ELSE s.mrr_micros - s.committed_mrr_micros END AS amount
            FROM subscription s
            LEFT JOIN actor a ON a.id = s.actor_id AND a.workspace_id = s.workspace_id
            LEFT JOIN person p ON p.id = a.person_id AND p.workspace_id = a.workspace_id
            WHERE p.is_internal IS NOT TRUE
                AND CASE :number WHEN 'trials' THEN s.status = 'trialing' WHEN 'past_due' THEN s.status = 'past_due'
                    ELSE s.mrr_micros <> s.committed_mrr_micros END
                AND (CAST(:within AS uuid[]) IS NULL OR a.person_id = ANY(CAST(:within AS uuid[])))
                AND (CAST(:only AS text) IS NULL OR s.currency = :only)
        ) subscribed GROUP BY 1, 2 ORDER BY 1, 2
        """,
        today=today,
        number=number,
        within=None if within is None else list(within),
        only=only,
    )
    amounts = np.array([row.amount for row in found], np.int64)
    codes = np.array([row.currency for row in found], np.str_)
    total = sum(
        rates.in_base(int(amounts[codes == currency].sum()), currency, today) or 0 for currency in set(codes.tolist())
    )
    return Behind(total, shares_of(found, rates))


def payers(
    session: Session, number: Literal["paid", "refunded", "disputed"], rates: Rates, values: Mapping[str, Any]
) -> tuple[Share, ...]:
    """Who paid or got money back, by the values of `payments.bound`."""
    found = rows(
        session,
        "SELECT person, currency, day, sum(CASE :number WHEN 'paid' THEN paid WHEN 'refunded' THEN refunded"
        f" ELSE disputed END)::bigint AS amount FROM ({MONEY}) money WHERE person IS NOT NULL AND"
        " CASE :number WHEN 'paid' THEN paid WHEN 'refunded' THEN refunded ELSE disputed END <> 0"
        " GROUP BY 1, 2, 3 ORDER BY 1",
        number=number,
        **values,
    )
    return shares_of(found, rates)


def shares_of(found: Sequence[Any], rates: Rates) -> tuple[Share, ...]:
    """Rows of (person, currency, day, amount), by person, as shares."""
    if not found:
        return ()
    persons, codes, days, amounts = zip(*found, strict=True)
    people, currencies = np.array(persons, object), sorted(set(codes))
    day = np.array(days, "datetime64[D]").astype(np.int64) + _EPOCH
    rate = rates_on(rates, currencies, np.searchsorted(currencies, codes), day)
    first = firsts(people)
    worth = np.bincount(np.cumsum(first) - 1, np.nan_to_num(np.array(amounts, np.int64) * rate))
    return shares(people[first], worth.astype(np.float64))
