"""Every number of recurring revenue against a reading of the definitions in plain Python, over ledgers and rates at
random: several currencies of one customer, changes at one instant, comings and goings, rates that begin late."""

import itertools
import uuid
from collections import Counter, defaultdict
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gdp_core.analytics.calendar import micros
from gdp_core.analytics.movements import KINDS, Changes, build, stretches
from gdp_core.analytics.rates import Rates
from gdp_core.analytics.revenue import count
from gdp_core.analytics.scope import Scope

CURRENCIES = ("CHF", "EUR", "USD")
DAY = timedelta(days=1)
FIRST = date(2026, 2, 20)
LAST = date(2026, 4, 20)  # a leap day would be at the end of February; clocks change on 29 March in Berlin
ZONES = ("UTC", "Europe/Berlin", "America/New_York")
LOST = {"contraction", "churn"}


@dataclass(frozen=True)
class Change:
    """What a customer pays a month in a currency from an instant on."""

    customer: int
    currency: str
    at: datetime
    level: int


instants = st.integers(0, (LAST - FIRST).days * 8).map(
    lambda n: datetime(2026, 2, 20, tzinfo=UTC) + n * timedelta(hours=3)
)
changes = st.lists(
    st.builds(
        Change,
        customer=st.integers(0, 3),
        currency=st.sampled_from(CURRENCIES),
        at=instants,
        level=st.sampled_from([0, 0, 1, 7_000_000, 12_345_679, 29_000_000]),
    ),
    max_size=24,
)
worths = st.decimals("0.2", "3", places=6)
rates = st.dictionaries(
    st.sampled_from(["CHF", "EUR"]),
    st.dictionaries(st.integers(-30, 70).map(lambda n: FIRST + n * DAY), worths, min_size=1, max_size=5),
)


def rates_of(given_rates):
    steps = {code: sorted(found.items()) for code, found in given_rates.items()}
    return Rates(
        "USD", {code: (tuple(d for d, _ in found), tuple(w for _, w in found)) for code, found in steps.items()}
    )


class Books:
    """The ledger as a plain list of steps (customer, at, {currency: level after}), and questions to it."""

    def __init__(self, told, zone, given_rates):
        self.zone = zone
        self.rates = {code: sorted(found.items()) for code, found in given_rates.items()}
        settled = {(c.customer, c.at, c.currency): c.level for c in told}  # the last word of an instant counts
        self.steps = []
        level = defaultdict(int)
        for customer, at in sorted({(c, at) for c, at, _ in settled}, key=lambda step: (step[1], step[0])):
            moved = {}
            for currency in CURRENCIES:
                after = settled.get((customer, at, currency), level[customer, currency])
                if after != level[customer, currency]:
                    moved[currency] = (level[customer, currency], after)
                    level[customer, currency] = after
            if moved:
                self.steps.append((customer, at, moved))

    def day(self, at):
        return at.astimezone(self.zone).date()

    def rate(self, currency, day):
        """None without one."""
        if currency == "USD":
            return Fraction(1)
        found = [worth for since, worth in self.rates.get(currency, ()) if since <= day]
        return Fraction(found[-1]) if found else None

    def levels(self, end):
        """{(customer, currency): MRR} before the day `end`."""
        found = {}
        for customer, at, moved in self.steps:
            if self.day(at) < end:
                found |= {(customer, currency): after for currency, (_, after) in moved.items()}
        return {key: level for key, level in found.items() if level}

    def worth(self, levels, day, currencies=CURRENCIES):
        """{customer: exact micros in the base currency}."""
        found = defaultdict(Fraction)
        for (customer, currency), level in levels.items():
            if currency in currencies:
                found[customer] += level * (self.rate(currency, day) or 0)
        return dict(found)

    def movements(self, first, end):
        """(customer, kind, exact amount in base, day) of every step of the days [first, end)."""
        level, ever = defaultdict(int), set()
        for customer, at, moved in self.steps:
            had = any(level[customer, currency] for currency in CURRENCIES)
            for currency, (_, after) in moved.items():
                level[customer, currency] = after
            has = any(level[customer, currency] for currency in CURRENCIES)
            day = self.day(at)
            amount = sum((after - before) * (self.rate(c, day) or 0) for c, (before, after) in moved.items())
            if first <= day < end:
                yield customer, self.kind(had, has, customer in ever, amount, moved), amount, day
            if has:
                ever.add(customer)

    @staticmethod
    def kind(had, has, ever, amount, moved):
        if not had:
            return "reactivation" if ever else "new"
        if not has:
            return "churn"
        grown = amount or max(after - before for before, after in moved.values())
        return "expansion" if grown > 0 else "contraction"


def ledger_of(books, zone, known, only=None):
    told = [
        (customer, micros(at), CURRENCIES.index(currency), after - before)
        for customer, at, moved in books.steps
        for currency, (before, after) in moved.items()
    ]
    told.sort()
    everybody = sorted({customer for customer, *_ in told})
    return build(
        np.array([uuid.UUID(int=customer) for customer in everybody], object),
        CURRENCIES,
        Changes(
            customer=np.array([everybody.index(row[0]) for row in told], np.int64),
            currency=np.array([row[2] for row in told], np.int64),
            at=np.array([row[1] for row in told], np.int64),
            delta=np.array([row[3] for row in told], np.int64),
            involuntary=np.zeros(len(told), np.bool_),
        ),
        zone,
        known,
        only=only,
    )


def scope_of(zone, start, end):
    return Scope(uuid.UUID(int=1), str(zone), "USD", start, end, datetime(2027, 1, 1, tzinfo=UTC))


periods = st.tuples(st.integers(0, 55), st.integers(1, 40)).map(
    lambda n: (FIRST + n[0] * DAY, FIRST + (n[0] + n[1]) * DAY)
)


@given(changes, rates, periods, st.sampled_from(ZONES), st.sampled_from(["day", "week", "month"]))
@settings(max_examples=300, deadline=None)
def test_every_movement_and_the_identity(told, given_rates, days, zone_name, interval):
    zone, (start, end) = ZoneInfo(zone_name), days
    books, known = Books(told, zone, given_rates), rates_of(given_rates)
    cuts = stretches(scope_of(zone, start, end), interval)
    found, total = count(ledger_of(books, zone, known), cuts, "ledger", known, {})
    assert [(p.start, p.end) for p in found] == [(cut.start, cut.end) for cut in cuts]
    assert (found[0].start, found[-1].end) == (start, end)
    for period in (*found, total):
        check_flow(books, known, period)
        check_counts(books, period)
        check_ratios(books, period)
    for before, after in itertools.pairwise(found):
        assert before.flow.end == after.flow.start
        assert before.customers.end == after.customers.start
    for name in (*KINDS, "fx"):
        assert sum(getattr(period.flow, name) for period in found) == getattr(total.flow, name)


def closes(flow):
    return (
        flow.start + flow.new + flow.reactivation + flow.expansion - flow.contraction - flow.churn + flow.fx == flow.end
    )


def check_flow(books, known, period):
    flow = period.flow
    assert closes(flow)
    for value, day in ((flow.start, period.start - DAY), (flow.end, period.end - DAY)):
        per_currency = Counter()
        for (_, currency), level in books.levels(day + DAY).items():
            per_currency[currency] += level
        assert value == sum(known.in_base(level, currency, day) or 0 for currency, level in per_currency.items())
    assert flow.rest == {
        currency: level for currency, level in per_currency.items() if books.rate(currency, day) is None
    }
    exact = Counter()
    for _, kind, amount, _ in books.movements(period.start, period.end):
        exact[kind] += -amount if kind in LOST else amount
    slack = 3 * (period.end - period.start).days  # a micro of rounding for each currency and day
    for kind in KINDS:
        assert abs(getattr(flow, kind) - exact[kind]) <= slack
    if not books.rates:
        assert flow.fx == 0
        assert all(getattr(flow, kind) == exact[kind] for kind in KINDS)
    revalued, day = Fraction(0), period.start
    while day < period.end:
        before = sum(books.worth(books.levels(day), day - DAY).values())
        revalued += sum(books.worth(books.levels(day), day).values()) - before
        day += DAY
    assert abs(flow.fx - revalued) <= slack


def customers(levels):
    return {customer for customer, _ in levels}


def check_counts(books, period):
    had, has = customers(books.levels(period.start)), customers(books.levels(period.end))
    moved = list(books.movements(period.start, period.end))
    found = period.customers
    assert (found.start, found.end, found.lost) == (len(had), len(has), len(had - has))
    for kind in KINDS:
        assert getattr(found, kind) == len({customer for customer, word, *_ in moved if word == kind})
    times = Counter(word for _, word, *_ in moved)
    assert found.churns == times["churn"]
    assert found.start + times["new"] + times["reactivation"] - times["churn"] == found.end


def check_ratios(books, period):
    opening, closing = books.levels(period.start), books.levels(period.end)
    had, has = customers(opening), customers(closing)
    moved = list(books.movements(period.start, period.end))
    known = [currency for currency in CURRENCIES if books.rate(currency, period.start - DAY) is not None]
    start = {who: worth for who, worth in books.worth(opening, period.start - DAY).items() if worth}
    now = books.worth(closing, period.end - DAY, known)
    begun = {customer for customer, word, *_ in moved if word == "new"}
    churns = sum(word == "churn" for _, word, *_ in moved)
    of_known = defaultdict(Fraction)
    for customer, at, change in books.steps:
        day = books.day(at)
        if period.start <= day < period.end and customer in start:
            of_known[customer, at] = sum(
                (after - before) * books.rate(currency, day)
                for currency, (before, after) in change.items()
                if currency in known
            )
    words = iter(moved)
    lost = Fraction(0)
    for customer, at, _ in books.steps:
        if period.start <= books.day(at) < period.end:
            _, word, *_ = next(words)
            if word in LOST:
                lost -= of_known[customer, at]
    total = sum(start.values())
    expected = {
        "customer_churn": ratio(len(had - has), len(had)),
        "stripe_churn": ratio(churns, len(had) + len(begun)),
        "gross_mrr_churn": ratio(lost, total),
        "nrr": ratio(sum(now.get(who, 0) for who in start), total),
        "grr": ratio(sum(min(now.get(who, 0), worth) for who, worth in start.items()), total),
    }
    for name, value in expected.items():
        found = getattr(period.ratios, name)
        assert found == (None if value is None else pytest.approx(float(value), rel=1e-9, abs=1e-12)), name
    assert period.ratios.grr is None or period.ratios.grr <= 1 + 1e-12
    assert period.ratios.customer_churn is None or period.ratios.customer_churn <= 1


def ratio(part, whole):
    return Fraction(part) / Fraction(whole) if whole else None


@given(changes, rates, periods, st.sampled_from(ZONES), st.sampled_from(["day", "week", "month"]))
@settings(max_examples=200, deadline=None)
def test_the_net_change_of_each_customer(told, given_rates, days, zone_name, interval):
    zone, (start, end) = ZoneInfo(zone_name), days
    books, known = Books(told, zone, given_rates), rates_of(given_rates)
    cuts = stretches(scope_of(zone, start, end), interval)
    ledger = ledger_of(books, zone, known)
    found, total = count(ledger, cuts, "net", known, {})
    gross, _ = count(ledger, cuts, "ledger", known, {})
    for period, of_ledger in zip(found, gross, strict=True):
        assert (period.flow.start, period.flow.end) == (of_ledger.flow.start, of_ledger.flow.end)
        assert period.ratios == of_ledger.ratios
    for period in (*found, total):
        assert closes(period.flow)
        opening, closing = books.levels(period.start), books.levels(period.end)
        paid_before = {customer for customer, at, _ in books.steps if books.day(at) < period.start}
        last = period.end - DAY
        exact, who = Counter(), defaultdict(set)
        for customer in customers(opening) | customers(closing):
            moved = {
                currency: (opening.get((customer, currency), 0), closing.get((customer, currency), 0))
                for currency in CURRENCIES
            }
            if all(before == after for before, after in moved.values()):
                continue
            had, has = customer in customers(opening), customer in customers(closing)
            amount = sum((after - before) * (books.rate(c, last) or 0) for c, (before, after) in moved.items())
            kind = Books.kind(had, has, customer in paid_before, amount, moved)
            exact[kind] += -amount if kind in LOST else amount
            who[kind].add(customer)
        for kind in KINDS:
            assert abs(getattr(period.flow, kind) - exact[kind]) <= 3
            assert getattr(period.customers, kind) == len(who[kind])


@given(changes, periods, st.sampled_from(CURRENCIES))
@settings(max_examples=200, deadline=None)
def test_one_currency_alone_is_exact(told, days, currency):
    """Movements are those within the currency, but new is only who never paid in any; rates do not matter."""
    zone, (start, end) = ZoneInfo("Europe/Berlin"), days
    books = Books(told, zone, {})
    alone = Rates(currency, {})
    cuts = stretches(scope_of(zone, start, end), "week")
    found, total = count(ledger_of(books, zone, alone, only=currency), cuts, "ledger", alone, {})
    for period in (*found, total):
        exact, level, ever = Counter(), defaultdict(int), set()
        for customer, at, moved in books.steps:
            if currency in moved:
                before, after = moved[currency]
                kind = Books.kind(before, after, customer in ever, after - before, {currency: moved[currency]})
                if period.start <= books.day(at) < period.end:
                    exact[kind] += abs(after - before)
            level |= {(customer, code): after for code, (_, after) in moved.items()}
            if any(level[customer, code] for code in CURRENCIES):
                ever.add(customer)
        assert {kind: getattr(period.flow, kind) for kind in KINDS} == {kind: exact[kind] for kind in KINDS}
        mine = [amount for (_, code), amount in books.levels(period.end).items() if code == currency]
        assert (period.flow.end, period.flow.fx, period.flow.rest) == (sum(mine), 0, {})
        assert period.customers.end == len(mine)
        assert closes(period.flow)


def test_a_switch_of_currency_within_an_instant_is_no_churn():
    at = datetime(2026, 3, 3, tzinfo=UTC)
    told = [Change(0, "USD", at, 10_000_000), Change(0, "USD", at + DAY, 0), Change(0, "EUR", at + DAY, 10_000_000)]
    given_rates = {"EUR": {FIRST: Decimal("1.2")}}
    zone = ZoneInfo("UTC")
    books, known = Books(told, zone, given_rates), rates_of(given_rates)
    _, total = count(
        ledger_of(books, zone, known), stretches(scope_of(zone, FIRST, LAST), "month"), "ledger", known, {}
    )
    assert (total.flow.new, total.flow.expansion, total.flow.churn) == (10_000_000, 2_000_000, 0)
    assert (total.customers.new, total.customers.expansion, total.customers.churn) == (1, 1, 0)
