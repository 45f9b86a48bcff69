"""Amounts of several currencies in the workspace's own, by its exchange rates; what has no rate stays apart."""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from sqlmodel import Session

from gdp_core.db import rows


@dataclass(frozen=True, slots=True)
class Sum:
    """Micros in the base currency, and per currency what could not be converted."""

    micros: int
    rest: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Rates:
    """A workspace's exchange rates: one unit of a currency in `base` from a day on."""

    base: str
    steps: Mapping[str, tuple[tuple[date, ...], tuple[Decimal, ...]]]

    def in_base(self, micros: int, currency: str, day: date) -> int | None:
        """An amount by the newest rate not after `day`; None without one."""
        if currency == self.base:
            return micros
        days, rates = self.steps.get(currency, ((), ()))
        index = bisect_right(days, day) - 1
        return None if index < 0 else int((micros * rates[index]).to_integral_value())

    def total(self, amounts: Iterable[tuple[int, str, date]]) -> Sum:
        """The sum of (micros, currency, day)."""
        micros, rest = 0, defaultdict[str, int](int)
        for amount, currency, day in amounts:
            converted = self.in_base(amount, currency, day)
            if converted is None:
                rest[currency] += amount
            else:
                micros += converted
        return Sum(micros, {currency: left for currency, left in sorted(rest.items()) if left})


def read_rates(session: Session, base: str) -> Rates:
    """The open workspace's rates."""
    found: dict[str, list[tuple[date, Decimal]]] = defaultdict(list)
    for row in rows(session, "SELECT currency, date, rate FROM fx_rate ORDER BY currency, date"):
        found[row.currency].append((row.date, row.rate))
    return Rates(
        base,
        {
            currency: (tuple(day for day, _ in steps), tuple(rate for _, rate in steps))
            for currency, steps in found.items()
        },
    )
