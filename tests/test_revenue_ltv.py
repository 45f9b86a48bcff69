"""Realised lifetime value against plain Python, over payments at random: cohorts by the workspace's months, refunds,
currencies without a rate, people who signed up and never paid."""

import random
import uuid
from collections import defaultdict
from datetime import UTC, date, datetime, timedelta
from fractions import Fraction
from zoneinfo import ZoneInfo

import pytest

from gdp_core.analytics import ltv
from gdp_core.analytics.ltv import Asked
from gdp_core.analytics.scope import scope
from gdp_core.db import insert, rows, run
from gdp_core.errors import InvalidInput
from gdp_core.tables.billing import Invoice
from gdp_core.tables.people import Actor, Person

from .conftest import NOW
from .crowd import _invoice, give_back, internal, rate

BERLIN = ZoneInfo("Europe/Berlin")
PERIOD = "2026-01-01..2026-11-18"


@pytest.fixture
def ws(database):
    return database.workspace(timezone="Europe/Berlin")


@pytest.fixture
def stripe(database, ws):
    return database.source(ws, "stripe")


def make(database, ws, count, signups=()):
    """Persons with one identifier each; `signups` by place."""
    ids = [uuid.uuid5(ws, f"person {n}") for n in range(count)]
    actor = {"workspace_id": ws, "namespace": "user", "is_primary": True, "personless": False, "event_count": 0}
    person = {
        "workspace_id": ws,
        "status": "active",
        "tags": [],
        "metadata": {},
        "is_known": True,
        "is_internal": False,
    }
    person |= {"identifiers": 1, "active_days": 0, "core_actions": 0, "total_events": 0}
    person |= {"total_spent_micros": 0, "lifetime_value_micros": 0, "mrr_micros": 0}
    with database.worker.transaction(ws) as session:
        insert(
            session,
            Actor,
            [actor | {"id": i, "external_id": i.hex, "cluster_id": i, "person_id": i, "applied_at": NOW} for i in ids],
        )
        insert(
            session,
            Person,
            [person | {"id": i, "signup_at": at} for i, at in zip(ids, [*signups, *[None] * count], strict=False)],
        )
    return ids


def pay(database, ws, source, told):
    """Paid invoices of (person, micros, currency, at)."""
    with database.worker.transaction(ws) as session:
        insert(
            session,
            Invoice,
            [
                _invoice(
                    {"workspace_id": ws, "source_id": source, "actor_id": who, "currency": currency}, "cus", micros, at
                )
                for who, micros, currency, at in told
            ],
        )


def report(database, ws, text=PERIOD, *, now=NOW, within=None, **asked):
    with database.web.transaction(ws, read_only=True) as session:
        of = scope(ws, timezone="Europe/Berlin", currency="USD", now=now, period=text)
        return ltv.report(session, of, Asked(**asked), within=within)


def people(database, ws, month, text=PERIOD, **asked):
    with database.web.transaction(ws, read_only=True) as session:
        of = scope(ws, timezone="Europe/Berlin", currency="USD", now=NOW, period=text)
        return ltv.people_of(session, of, Asked(**asked), month)


def local(at):
    return at.astimezone(BERLIN).date()


def expected(money, births, rates):
    """{month: (people, cumulative by the mature months, so far)} by the definition."""
    cohorts = defaultdict(list)
    for who, day in births.items():
        cohorts[day.replace(day=1)].append(who)
    found = {}
    for month, members in cohorts.items():
        ends, end = [], month
        while True:
            end = (end + timedelta(days=32)).replace(day=1)
            if datetime(end.year, end.month, 1, tzinfo=BERLIN) > NOW:
                break
            ends.append(end)
        per_day = defaultdict(int)
        for who, micros, currency, at in money:
            if who in members:
                per_day[local(at), currency] += micros
        worth = {key: round(Fraction(micros) * rates[key[1]]) for key, micros in per_day.items() if key[1] in rates}
        cumulative = tuple(sum(amount for (day, _), amount in worth.items() if day < end) for end in ends)
        found[month] = (len(members), cumulative, sum(worth.values()))
    return found


@pytest.mark.parametrize("seed", range(2))
def test_every_cell_is_what_its_people_paid(database, ws, stripe, seed):
    dice = random.Random(seed)
    begin = datetime(2026, 1, 1, tzinfo=UTC)
    signups = [begin + timedelta(hours=dice.randrange(320 * 24)) for _ in range(40)]
    ids = make(database, ws, 60, signups)
    rate(database, ws, "EUR", "1.2345", date(2025, 1, 1))
    rates = {"USD": Fraction(1), "EUR": Fraction("1.2345")}
    paid, back = [], []
    for who in ids[5:]:
        for _ in range(dice.choice((0, 1, 3, 8))):
            at = begin + timedelta(minutes=dice.randrange(321 * 24 * 60))
            currency = dice.choice(("USD", "EUR", "EUR", "JPY"))
            paid.append((who, dice.choice((0, 9_990_001, 29_000_000)), currency, at))
            if dice.random() < 0.3:
                back.append((who, 5_000_003, currency, at + timedelta(days=1)))
    pay(database, ws, stripe, paid)
    for who, micros, currency, at in back:
        give_back(database, ws, stripe, who, micros, currency=currency, at=at)
    money = [*((*told[:3], told[3]) for told in paid), *((who, -m, c, at) for who, m, c, at in back if at < NOW)]
    first = {}
    for who, micros, _, at in sorted(paid, key=lambda told: told[3]):
        if micros:
            first.setdefault(who, local(at))
    for births, asked in (
        (first, {}),
        ({w: local(at) for w, at in zip(ids, signups, strict=False)}, {"birth": "signup"}),
    ):
        found = report(database, ws, **asked)
        wanted = expected(money, births, rates)
        assert {c.month: (c.people, c.cumulative, c.so_far) for c in found.cohorts} == wanted
        for cohort in found.cohorts:
            assert cohort.per_member == tuple(round(Fraction(c, cohort.people)) for c in cohort.cumulative)
            assert people(database, ws, cohort.month, **asked) == tuple(
                sorted((w for w, day in births.items() if day.replace(day=1) == cohort.month), key=lambda i: i.bytes)
            )
        for place, mean in enumerate(found.mean):
            old = [c for c in found.cohorts if len(c.cumulative) > place]
            assert mean == round(Fraction(sum(c.cumulative[place] for c in old), sum(c.people for c in old)))
    (kept,) = {sum(c.rest.get("JPY", 0) for c in report(database, ws).cohorts)}
    assert kept == sum(micros for who, micros, currency, _ in money if currency == "JPY" and who in first)


def test_a_month_is_shown_when_it_is_over(database, ws, stripe):
    (who,) = make(database, ws, 1)
    pay(database, ws, stripe, [(who, 10_000_000, "USD", datetime(2026, 8, 31, 22, 30, tzinfo=UTC))])  # September
    (cohort,) = report(database, ws, now=datetime(2026, 10, 31, 22, 59, tzinfo=UTC)).cohorts
    assert (cohort.month, cohort.cumulative) == (date(2026, 9, 1), (10_000_000,))
    (cohort,) = report(database, ws, now=datetime(2026, 10, 31, 23, 0, tzinfo=UTC)).cohorts
    assert cohort.cumulative == (10_000_000, 10_000_000)


def test_the_youngest_cohort_has_no_cell_yet(database, ws, stripe):
    (who,) = make(database, ws, 1)
    pay(database, ws, stripe, [(who, 10_000_000, "USD", NOW - timedelta(days=2))])
    found = report(database, ws)
    assert [(c.people, c.cumulative, c.so_far) for c in found.cohorts] == [(1, (), 10_000_000)]
    assert found.mean == ()


def test_a_payment_before_signing_up_counts_for_the_first_month(database, ws, stripe):
    (who,) = make(database, ws, 1, [datetime(2026, 6, 5, tzinfo=UTC)])
    pay(database, ws, stripe, [(who, 10_000_000, "USD", datetime(2026, 2, 5, tzinfo=UTC))])
    (cohort,) = report(database, ws, birth="signup").cohorts
    assert (cohort.month, cohort.cumulative) == (date(2026, 6, 1), (10_000_000,) * 5)
    (cohort,) = report(database, ws).cohorts
    assert cohort.month == date(2026, 2, 1)


def test_cohorts_are_those_of_the_period_and_without_internal_people(database, ws, stripe):
    ids = make(database, ws, 3)
    pay(
        database,
        ws,
        stripe,
        [
            (who, 10_000_000, "USD", datetime(2026, month, 5, tzinfo=UTC))
            for who, month in zip(ids, (2, 3, 3), strict=True)
        ],
    )
    internal(database, ws, ids[1])
    assert [(c.month.month, c.people) for c in report(database, ws).cohorts] == [(2, 1), (3, 1)]
    assert [(c.month.month, c.people) for c in report(database, ws, "2026-03-20..2026-04-01").cohorts] == [(3, 1)]
    assert [c.month.month for c in report(database, ws, within=[ids[0]]).cohorts] == [2]


def test_merged_people_are_one_member(database, ws, stripe):
    ids = make(database, ws, 2)
    pay(database, ws, stripe, [(who, 10_000_000, "USD", datetime(2026, 2, 5, tzinfo=UTC)) for who in ids])
    with database.worker.transaction(ws) as session:
        run(session, "UPDATE actor SET person_id = :a WHERE id = :b", a=ids[0], b=ids[1])
        assert rows(session, "SELECT count(DISTINCT person_id) AS n FROM actor")[0].n == 1
    (cohort,) = report(database, ws).cohorts
    assert (cohort.people, cohort.so_far) == (1, 20_000_000)


def test_one_currency_alone(database, ws, stripe):
    ids = make(database, ws, 2)
    at = datetime(2026, 2, 5, tzinfo=UTC)
    pay(database, ws, stripe, [(ids[0], 10_000_000, "JPY", at), (ids[1], 7_000_000, "USD", at)])
    found = report(database, ws, currency="JPY")
    assert (found.currency, [(c.people, c.so_far, c.rest) for c in found.cohorts]) == ("JPY", [(1, 10_000_000, {})])


@pytest.mark.parametrize("asked", [{"birth": "first_visit"}, {"currency": "yen"}])
def test_nonsense_is_refused(asked):
    with pytest.raises(InvalidInput):
        Asked(**asked)
