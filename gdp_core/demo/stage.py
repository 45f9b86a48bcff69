"""Where the demo plays: two brands, their plans and prices, and the exchange rates of their currencies.

Constants only. Everything here is fiction; every domain ends in .example.
"""

import math
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Literal, NamedTuple

BrandKey = Literal["main", "second"]
Interval = Literal["month", "year"]

YEARLY_MONTHS = 10  # a yearly plan costs ten months


class Plan(NamedTuple):
    """What is sold. `cents` is the monthly price of one unit by currency."""

    key: str
    name: str
    share: float  # of new customers
    per_seat: bool
    cents: dict[str, int]

    def unit_amount(self, currency: str, interval: Interval) -> int:
        """Price of one unit for one interval in minor units."""
        return self.cents[currency] * (YEARLY_MONTHS if interval == "year" else 1)


@dataclass(frozen=True, slots=True)
class Brand:
    """One workspace of the demo: what the caller writes as its settings, and what the story needs to know."""

    key: BrandKey
    name: str
    slug: str
    domain: str
    timezone: str
    currency: str
    people: int
    tracker: Literal["segment", "posthog"]  # what its website and app report with
    plans: tuple[Plan, ...]

    def price_id(self, plan: Plan, interval: Interval, currency: str) -> str:
        """The payment provider's id of a price."""
        return f"price_{self.slug}_{plan.key}_{interval}_{currency}"

    @property
    def plan_names(self) -> dict[str, str]:
        """Every price id and the name of its plan."""
        return {
            self.price_id(plan, interval, currency): plan.name
            for plan in self.plans
            for interval in INTERVALS
            for currency in plan.cents
        }


INTERVALS: tuple[Interval, ...] = ("month", "year")

MAIN = Brand(
    key="main",
    name="Paperlark",
    slug="paperlark",
    domain="paperlark.example",
    timezone="America/New_York",
    currency="USD",
    people=4_600,
    tracker="segment",
    plans=(
        Plan("starter", "Starter", 0.47, False, {"usd": 1_900, "eur": 1_900, "gbp": 1_600}),
        Plan("growth", "Growth", 0.38, True, {"usd": 2_900, "eur": 2_700, "gbp": 2_300}),
        Plan("scale", "Scale", 0.15, True, {"usd": 4_900, "eur": 4_500, "gbp": 3_900}),
    ),
)
SECOND = Brand(
    key="second",
    name="Hearthnote",
    slug="hearthnote",
    domain="hearthnote.example",
    timezone="Europe/Berlin",
    currency="EUR",
    people=400,
    tracker="posthog",
    plans=(
        Plan("notes", "Notes", 0.7, False, {"usd": 900, "eur": 900, "gbp": 800}),
        Plan("studio", "Studio", 0.3, True, {"usd": 2_400, "eur": 2_200, "gbp": 1_900}),
    ),
)
BRANDS = (MAIN, SECOND)

PLAN_NAMES: dict[str, str] = {**MAIN.plan_names, **SECOND.plan_names}
INTERNAL_DOMAINS: tuple[str, ...] = (MAIN.domain, SECOND.domain)


class FxRate(NamedTuple):
    """From `on`, one unit of `currency` is worth `rate` US dollars."""

    on: date
    currency: str
    rate: Decimal


def fx_rates(until: datetime, months: int = 19) -> list[FxRate]:
    """Invented but plausible rates of EUR and GBP to USD, one per month up to the month of `until`."""
    last = until.year * 12 + until.month - 1
    rates = []
    for month in range(last - months + 1, last + 1):
        on = date(month // 12, month % 12 + 1, 1)
        for currency, centre, swing in (("EUR", 1.09, 0.025), ("GBP", 1.27, 0.03)):
            rate = centre + swing * math.sin(month * 0.7) + swing / 3 * math.sin(month * 1.9)
            rates.append(FxRate(on, currency, Decimal(f"{rate:.4f}")))
    return rates
