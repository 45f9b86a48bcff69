"""The revenue report over what Stripe told: MRR to the micro, whose it is, drill-downs, money, currencies, bad input."""

import random
from collections import defaultdict
from datetime import UTC, date, datetime, timedelta
from fractions import Fraction
from typing import get_args

import pytest

from gdp_core.analytics import overview, revenue
from gdp_core.analytics.movements import KINDS
from gdp_core.analytics.revenue import Asked, Number
from gdp_core.analytics.scope import scope
from gdp_core.db import rows
from gdp_core.errors import InvalidInput

from . import stripe_story as stripe
from .conftest import NOW
from .crowd import internal, person_id, rate
from .till import Till

DAY = timedelta(days=1)
YEAR = "2025-11-01..2026-11-18"


@pytest.fixture
def ws(database):
    return database.workspace(timezone="Europe/Berlin")


@pytest.fixture
def till(database, ws):
    return Till(database, ws)


def at(month, day, hour=12, year=2026):
    return datetime(year, month, day, hour, tzinfo=UTC)


def period(ws, text=YEAR, *, now=NOW, timezone="Europe/Berlin"):
    return scope(ws, timezone=timezone, currency="USD", now=now, period=text)


def report(database, ws, text=YEAR, *, now=NOW, within=None, **asked):
    with database.web.transaction(ws, read_only=True) as session:
        return revenue.report(session, period(ws, text, now=now), Asked(**asked), within=within)


def people(database, ws, number, text=YEAR, *, start=None, within=None, **asked):
    with database.web.transaction(ws, read_only=True) as session:
        return revenue.people_of(session, period(ws, text), Asked(**asked), number, start=start, within=within)


def select(database, ws, sql):
    with database.web.transaction(ws, read_only=True) as session:
        return rows(session, sql)


PRICES = (
    {"amount": 2000},
    {"amount": 19_900, "interval": "year"},
    {"amount": 5_000, "count": 3},
    {"amount": 700, "interval": "week"},
    {"amount": 3_333, "count": 6},
    {"amount": 900, "usage_type": "metered"},
)


def crowd(till, seed, customers=30):
    """Customers who start, change, pause, leave and come back at random, some with two subscriptions, in three
    currencies; every third shares a person with the one before."""
    dice = random.Random(seed)
    for n in range(customers):
        name, user = f"c{n}", f"c{n - 1}" if n % 3 == 2 else f"c{n}"
        currency = dice.choice(("usd", "usd", "eur", "jpy"))
        begun = at(11, 3, year=2025) + timedelta(hours=dice.randrange(24 * 200))
        till.customer(name, begun, user=user)
        for sub in dice.choice((("1",), ("1",), ("1", "2"))):
            moment, status = begun, dice.choice(("active", "active", "trialing"))
            for _ in range(dice.randrange(1, 7)):
                items = [
                    stripe.item(
                        stripe.price(f"price_{k}_{currency}", currency=currency, **PRICES[k]),
                        None if k == 5 else dice.randrange(1, 4),
                        item_id=f"si_{name}_{sub}_{k}",
                    )
                    for k in dice.sample(range(len(PRICES)), dice.choice((1, 1, 2)))
                ]
                leaving = status == "active" and dice.random() < 0.2
                till.subscription(
                    name,
                    moment,
                    status,
                    sub=sub,
                    currency=currency,
                    items=items,
                    started=begun,
                    cancel_at_period_end=leaving,
                )
                if status == "canceled":
                    break
                status = dice.choice(("active", "active", "past_due", "unpaid", "paused", "canceled"))
                moment += timedelta(hours=dice.randrange(1, 24 * 60))
                if moment > NOW - DAY:
                    break


def months_in(item):
    return {"month": Fraction(1), "year": Fraction(12), "week": Fraction(12, 52), "day": Fraction(12, 365)}[
        item.interval
    ] * item.interval_count


def from_items(database, ws):
    """MRR per currency recomputed from the items of the subscriptions that count, rounded once per Stripe customer."""
    found = select(
        database,
        ws,
        "SELECT s.stripe_customer_id AS customer, i.* FROM subscription_item i JOIN subscription s"
        " ON s.id = i.subscription_id AND s.workspace_id = i.workspace_id"
        " WHERE s.status IN ('active', 'past_due') AND i.usage_type = 'licensed'",
    )
    exact = defaultdict(Fraction)
    for item in found:
        exact[item.customer, item.currency] += Fraction(item.unit_amount_micros * item.quantity) / months_in(item)
    per_currency = defaultdict(int)
    for (_, currency), amount in exact.items():
        per_currency[currency] += round(amount)
    return dict(per_currency)


@pytest.mark.parametrize("seed", range(3))
def test_mrr_is_what_the_items_of_subscriptions_come_to(database, ws, till, seed):
    crowd(till, seed)
    till.ring()
    expected = from_items(database, ws)
    assert len(expected) == 3
    found = report(database, ws)
    assert {item.currency: item.mrr for item in found.currencies} == expected
    assert found.standing.mrr == expected["USD"]
    assert found.standing.arr == 12 * expected["USD"]
    assert found.standing.rest == {code: amount for code, amount in expected.items() if code != "USD"}
    for currency, amount in expected.items():
        assert report(database, ws, currency=currency).standing.mrr == amount
    (leaving,) = select(
        database, ws, "SELECT sum(mrr_micros) AS mrr FROM subscription WHERE cancel_at_period_end AND currency = 'USD'"
    )
    assert found.standing.committed == found.standing.mrr - (leaving.mrr or 0)


@pytest.mark.parametrize("seed", range(2))
def test_movements_of_a_currency_are_those_of_the_ledger(database, ws, till, seed):
    crowd(till, seed, customers=20)
    till.ring()
    apart = select(
        database,
        ws,
        "SELECT m.currency, m.movement, sum(m.amount_micros)::bigint AS amount FROM mrr_change m JOIN actor a"
        " ON a.id = m.actor_id AND a.workspace_id = m.workspace_id WHERE a.person_id NOT IN (SELECT a.person_id"
        " FROM actor a WHERE a.namespace = 'stripe' GROUP BY 1 HAVING count(*) > 1) GROUP BY 1, 2",
    )
    alone = [
        row.person_id
        for row in select(
            database, ws, "SELECT person_id FROM actor WHERE namespace = 'stripe' GROUP BY 1 HAVING count(*) = 1"
        )
    ]
    assert alone
    for currency in ("USD", "EUR", "JPY"):
        total = report(database, ws, currency=currency, within=alone).total
        ledger = {row.movement: row.amount for row in apart if row.currency == currency}
        assert {kind: getattr(total.flow, kind) for kind in KINDS} == {kind: ledger.get(kind, 0) for kind in KINDS}


@pytest.mark.parametrize("view", ["ledger", "net"])
def test_every_count_is_its_people_and_their_amounts_its_money(database, ws, till, view):
    rate(database, ws, "EUR", "1.1", date(2026, 1, 10))
    rate(database, ws, "EUR", "1.25", date(2026, 6, 1))
    crowd(till, 11)
    till.ring()
    found = report(database, ws, view=view)
    for shown, start in [(found.total, None), *((period, period.start) for period in found.periods)]:
        for number in ("start", *KINDS, "lost", "end"):
            who = people(database, ws, number, start=start, view=view)
            assert len(who) == getattr(shown.customers, number), (number, start)
            assert len({share.person_id for share in who}) == len(who)
            if number != "lost":
                total = sum(share.micros for share in who)
                assert total == pytest.approx(getattr(shown.flow, number), abs=400), (number, start)
        revalued = people(database, ws, "fx", start=start, view=view)
        assert sum(share.micros for share in revalued) == pytest.approx(shown.flow.fx, abs=400)
        assert all(share.micros for share in revalued)
        assert shown.flow.closes
        assert shown.closed_days == shown.days
    assert any(shown.flow.fx for shown in found.periods)
    assert len(people(database, ws, "trials")) == found.standing.trials
    assert sum(share.micros for share in people(database, ws, "trials")) == pytest.approx(found.standing.trial, abs=50)
    leaving = people(database, ws, "leaving")
    assert len(leaving) == found.standing.leaving
    assert found.standing.mrr - sum(share.micros for share in leaving) == pytest.approx(
        found.standing.committed, abs=50
    )


def test_what_it_is_compared_with_is_the_report_of_those_days(database, ws, till):
    rate(database, ws, "EUR", "1.1", date(2026, 1, 10))
    crowd(till, 7, customers=12)
    till.invoice("c0", at(7, 10), 2000)
    till.ring()
    before = report(database, ws, "2026-08-01..2026-10-31").earlier
    assert (before.start, before.end) == (date(2026, 5, 1), date(2026, 8, 1))
    same = report(database, ws, "2026-05-01..2026-07-31")
    assert (before.mrr, before.customers, before.arpa) == (
        same.standing.mrr,
        same.standing.customers,
        same.standing.arpa,
    )
    assert (before.ratios, before.cash) == (same.total.ratios, same.total.cash)
    assert before.customers
    assert before.cash.paid == 20_000_000


def test_members_of_a_cohort_brought_what_its_cells_say(database, ws, till):
    rate(database, ws, "EUR", "1.1", date(2026, 1, 10))
    for number, currency in enumerate(("usd", "eur", "usd", "jpy")):
        till.customer(f"c{number}", at(6, 5))
        for month in (6, 7, 9):
            till.invoice(f"c{number}", at(month, 6), 1111 * (number + 1), number=str(month), currency=currency)
    till.refund("c0", at(8, 1), 500, number="6")
    till.ring()
    seen = {}
    for birth in ("first_payment", "signup"):
        found = report(database, ws, "2026-10-20..2026-11-18", birth=birth).realised
        seen[birth] = len(found.cohorts)
        for cohort in found.cohorts:
            for until in (*range(len(cohort.cumulative)), None):
                with database.web.transaction(ws, read_only=True) as session:
                    asked = Asked(birth=birth)
                    who = revenue.cohort_of(session, period(ws), asked, cohort.month, until=until)
                assert len(who) == cohort.people
                told = cohort.so_far if until is None else cohort.cumulative[until]
                assert sum(share.micros for share in who) == pytest.approx(told, abs=len(who))
    assert seen["first_payment"] == 1


def test_whom_a_month_of_the_prediction_lost(database, ws, till):
    for n in range(4):
        till.customer(f"c{n}", at(1, 5))
        till.subscription(f"c{n}", at(1, 5))
    till.subscription("c1", at(8, 10), "canceled")
    till.ring()
    (august,) = [month for month in report(database, ws, "2026-11-01..2026-11-18").predicted.months if month.lost]
    with database.web.transaction(ws, read_only=True) as session:
        whole = period(ws, "2026-11-01..2026-11-18")
        (lost,) = revenue.people_of_month(session, whole, Asked(), "lost", august.start)
    assert (august.start, august.customers, lost.micros) == (date(2026, 8, 1), 4, 20_000_000)


def test_mrr_is_the_overviews_to_the_micro(database, ws, till):
    rate(database, ws, "EUR", "1.123457", date(2026, 1, 10))
    rate(database, ws, "EUR", "1.234567", date(2026, 6, 1))
    crowd(till, 12)
    till.ring()
    with database.web.transaction(ws, read_only=True) as session:
        shown = {item.name: item for item in overview.read_metrics(session, period(ws))}["mrr"]
    found = report(database, ws, interval="day")
    assert found.standing.mrr == shown.value
    assert tuple(float(period.flow.end) for period in found.periods) == shown.days
    assert dict(found.standing.rest) == dict(shown.rest)


def test_two_stripe_customers_of_a_person_are_one_customer(database, ws, till):
    for name in ("a", "b"):
        till.customer(name, at(1, 5), user="ada")
    till.subscription("a", at(1, 5))
    till.subscription("b", at(2, 5), priced=stripe.price("price_2", 500))
    till.subscription("b", at(3, 5), "canceled", priced=stripe.price("price_2", 500))
    till.subscription("a", at(4, 5), "canceled")
    till.ring()
    found = {item.start.month: item for item in report(database, ws, "2026-01-01..2026-04-30").periods}
    assert (found[1].flow.new, found[1].customers.end) == (20_000_000, 1)
    assert (found[2].flow.expansion, found[2].customers.end) == (5_000_000, 1)
    assert (found[3].flow.contraction, found[3].customers.churn) == (5_000_000, 0)
    assert (found[4].flow.churn, found[4].customers.churn, found[4].customers.lost) == (20_000_000, 1, 1)
    assert [found[month].ratios.customer_churn for month in (1, 2, 3, 4)] == [None, 0, 0, 1]


def test_days_are_the_workspaces_own(database, ws, till):
    till.customer("a", at(1, 5))
    till.subscription("a", at(6, 30, 22))  # the first of July in Berlin
    till.invoice("a", at(6, 30, 22), 2000)
    till.ring()
    found = report(database, ws, "2026-06-30..2026-07-01", interval="day")
    assert [item.flow.new for item in found.periods] == [0, 20_000_000]
    assert [item.cash.paid for item in found.periods] == [0, 20_000_000]
    assert not any(item.cut for item in found.periods)


def test_a_period_cuts_its_first_and_last_interval(database, ws, till):
    found = report(database, ws, "2026-10-15..2026-11-18")
    assert [(item.start, item.end, item.cut) for item in found.periods] == [
        (date(2026, 10, 15), date(2026, 11, 1), True),
        (date(2026, 11, 1), date(2026, 11, 19), True),
    ]
    whole = report(database, ws, "2026-09-01..2026-10-31")
    assert [item.cut for item in whole.periods] == [False, False]
    assert not whole.total.cut
    assert report(database, ws, "2026-11-18..2027-02-01").periods[-1].end == date(2026, 11, 19)


def test_internal_people_are_in_no_number(database, ws, till):
    for name in ("a", "b"):
        till.customer(name, at(1, 5))
        till.subscription(name, at(1, 5), cancel_at_period_end=True)
        till.invoice(name, at(1, 5), 2000)
        till.refund(name, at(1, 9), 500)
    till.ring()
    internal(database, ws, person_id(database, ws, "a"))
    found = report(database, ws)
    assert (found.standing.mrr, found.standing.customers, found.standing.leaving) == (20_000_000, 1, 1)
    assert (found.total.cash.paid, found.total.cash.refunded) == (20_000_000, 5_000_000)
    for number in ("end", "new", "paid", "refunded", "leaving"):
        assert [share.person_id for share in people(database, ws, number)] == [person_id(database, ws, "b")]


def test_somebodys_list_narrows_every_number(database, ws, till):
    for name, amount in (("a", 2000), ("b", 700)):
        till.customer(name, at(1, 5))
        till.subscription(name, at(1, 5), priced=stripe.price(f"price_{name}", amount))
        till.invoice(name, at(1, 5), amount)
    till.ring()
    only = [person_id(database, ws, "b")]
    found = report(database, ws, within=only)
    assert (found.standing.mrr, found.total.cash.paid, found.standing.customers) == (7_000_000, 7_000_000, 1)
    assert report(database, ws, within=[]).standing.mrr == 0
    assert [share.person_id for share in people(database, ws, "end", within=only)] == only


def test_money_in_and_back_out(database, ws, till):
    till.customer("a", at(1, 5))
    till.subscription("a", at(1, 5))
    till.invoice("a", at(1, 5), 2000, number="1")
    till.invoice("a", at(2, 5), 2000, number="2")
    till.refund("a", at(2, 20), 700, number="1")
    till.customer("b", at(2, 5))
    till.invoice("b", at(2, 5), 4000, currency="eur")
    till.ring()
    found = {item.start.month: item.cash for item in report(database, ws, "2026-01-01..2026-03-31").periods}
    assert (found[1].paid, found[1].kept) == (20_000_000, 20_000_000)
    assert (found[2].paid, found[2].refunded, found[2].kept) == (20_000_000, 7_000_000, 13_000_000)
    assert found[2].rest == {"EUR": 40_000_000}
    rate(database, ws, "EUR", "1.5", date(2026, 2, 1))
    total = report(database, ws, "2026-01-01..2026-03-31").total.cash
    assert (total.paid, total.rest) == (100_000_000, {})
    paid = people(database, ws, "paid", "2026-01-01..2026-03-31", start=date(2026, 2, 1))
    assert sorted(share.micros for share in paid) == [20_000_000, 60_000_000]


def test_a_lost_dispute_is_money_back(database, ws, till):
    till.customer("a", at(1, 5))
    till.invoice("a", at(1, 5), 2000)
    dispute = stripe.refund("dp_1", 2000, 0, charge="ch_a_1", payment_intent="pi_a_1")
    dispute |= {"object": "dispute", "status": "lost", "reason": "fraudulent", "created": int(at(1, 20).timestamp())}
    till.event("charge.dispute.closed", at(1, 25), dispute)
    till.ring()
    cash = report(database, ws, "2026-01-01..2026-01-31").total.cash
    assert (cash.paid, cash.refunded, cash.disputed, cash.kept) == (20_000_000, 0, 20_000_000, 0)
    assert [share.micros for share in people(database, ws, "disputed")] == [20_000_000]


def test_a_first_rate_brings_a_currency_in_by_the_line_of_rates(database, ws, till):
    till.customer("a", at(1, 5))
    till.subscription("a", at(1, 5), currency="eur")
    till.ring()
    rate(database, ws, "EUR", "1.5", date(2026, 3, 10))
    months = {item.start.month: item for item in report(database, ws, "2026-01-01..2026-03-31").periods}
    assert (months[1].flow.new, months[1].flow.rest, months[1].customers.new) == (0, {"EUR": 20_000_000}, 1)
    assert (months[3].flow.fx, months[3].flow.end, months[3].flow.rest) == (30_000_000, 30_000_000, {})


def test_predicted_lifetime_value_is_arpa_by_the_churn_of_six_months_before_this_one(database, ws, till):
    for n in range(10):
        till.customer(f"c{n}", at(1, 5))
        till.subscription(f"c{n}", at(1, 5))
    for n, month in ((0, 5), (1, 7)):
        till.subscription(f"c{n}", at(month, 10), "canceled")
    till.subscription("c2", at(11, 2), "canceled")  # this month: not in the mean
    till.ring()
    found = report(database, ws, margin=0.8).predicted
    assert [month.start for month in found.months] == [date(2026, month, 1) for month in range(5, 11)]
    assert [month.churn for month in found.months] == pytest.approx([1 / 10, 0, 1 / 9, 0, 0, 0])
    assert [(month.customers, month.lost) for month in found.months][:3] == [(10, 1), (9, 0), (9, 1)]
    mean = (1 / 10 + 1 / 9) / 6
    assert found.arpa == 20_000_000
    assert found.churn == pytest.approx(mean)
    assert found.value == pytest.approx(20_000_000 / mean * 0.8)
    assert report(database, ws).predicted.value == pytest.approx(20_000_000 / mean)


def test_there_is_no_prediction_when_nobody_left(database, ws, till):
    assert report(database, ws).predicted.churn is None
    till.customer("a", at(1, 5))
    till.subscription("a", at(1, 5))
    till.ring()
    found = report(database, ws).predicted
    assert (found.arpa, found.churn, found.value) == (20_000_000, 0, None)


def test_churn_in_stripes_own_way_counts_who_came_and_went(database, ws, till):
    """4 at the start; one leaves, returns and leaves again, one comes and goes: 3 churns of 4 + 1 new."""
    for n in range(4):
        till.customer(f"c{n}", at(1, 5))
        till.subscription(f"c{n}", at(1, 5))
    for day, status in ((22, "paused"), (25, "active"), (28, "paused")):
        till.subscription("c0", at(10, day), status, started=at(1, 5))
    till.customer("new", at(10, 25))
    till.subscription("new", at(10, 25))
    till.subscription("new", at(11, 5), "canceled", started=at(10, 25))
    till.ring()
    found = report(database, ws, "2026-10-20..2026-11-18")
    assert found.total.ratios.stripe_churn == pytest.approx(3 / 5)
    assert found.total.ratios.customer_churn == pytest.approx(1 / 4)
    assert found.stripe_churn == pytest.approx(3 / 5)
    assert (found.total.customers.churns, found.total.customers.churn, found.total.customers.lost) == (3, 2, 1)
    net = report(database, ws, "2026-10-20..2026-11-18", view="net").total
    assert (net.customers.new, net.customers.churn, net.flow.new, net.flow.churn) == (0, 1, 0, 20_000_000)


def test_trials_are_worth_something_and_not_in_mrr(database, ws, till):
    till.customer("a", at(11, 15))
    till.subscription("a", at(11, 15), "trialing", trial_end=int(at(11, 29).timestamp()))
    till.ring()
    found = report(database, ws).standing
    assert (found.mrr, found.trial, found.trials, found.customers, found.arpa) == (0, 20_000_000, 1, 0, None)
    past = report(database, ws, "2026-10-01..2026-10-31").standing
    assert (past.trial, past.committed, past.leaving) == (None, None, None)


def test_an_empty_workspace_has_numbers_of_nothing(database, ws):
    found = report(database, ws, "2026-10-01..2026-11-18")
    assert (found.standing.mrr, found.standing.arpa, found.currencies) == (0, None, ())
    assert (found.total.flow.end, found.total.ratios.nrr, found.total.ratios.customer_churn) == (0, None, None)
    for number in get_args(Number):
        assert people(database, ws, number) == ()


def test_another_workspaces_money_is_not_here(database, ws, till):
    till.customer("a", at(1, 5))
    till.subscription("a", at(1, 5))
    till.invoice("a", at(1, 5), 2000)
    till.ring()
    other = database.workspace("other", timezone="Europe/Berlin")
    found = report(database, other)
    assert (found.standing.mrr, found.total.cash.paid) == (0, 0)


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"interval": "hour"}, "day, week or month"),
        ({"view": "gross"}, "ledger"),
        ({"currency": "dollars"}, "code"),
        ({"currency": "usd"}, "code"),
        ({"margin": 0}, "margin"),
        ({"margin": 1.5}, "margin"),
    ],
)
def test_a_question_without_sense_is_refused_in_a_sentence(asked, words):
    with pytest.raises(InvalidInput, match=words):
        Asked(**asked)


def test_numbers_and_periods_that_are_not_there(database, ws):
    with pytest.raises(InvalidInput, match="not begun"):
        report(database, ws, "2027-01-01..2027-02-01")
    with pytest.raises(InvalidInput, match="Choose one of"):
        people(database, ws, "everybody")
    with pytest.raises(InvalidInput, match="first day"):
        people(database, ws, "end", start=date(2026, 2, 2))
