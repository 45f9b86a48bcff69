"""Subscription churn over what Stripe told: who left and why, what they had in common, cohorts and survival."""

import random
from collections import defaultdict
from datetime import date, timedelta
from typing import get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import fisher_exact
from scipy.stats.contingency import relative_risk

from gdp_core.analytics import subscription_churn
from gdp_core.analytics.risk import risks
from gdp_core.analytics.scope import scope
from gdp_core.analytics.subscription_churn import Asked, Number
from gdp_core.analytics.survival import survival
from gdp_core.db import insert, rows
from gdp_core.errors import InvalidInput
from gdp_core.tables.people import ActorDay, ActorRoleDay

from . import stripe_story as stripe
from .conftest import NOW
from .crowd import internal, person_id
from .test_revenue import at, crowd
from .till import Till

DAY = timedelta(days=1)
YEAR = "2025-11-01..2026-11-18"
SUMMER = "2026-05-01..2026-08-31"
MAY = "2026-05-01..2026-05-31"


@pytest.fixture
def ws(database):
    return database.workspace(timezone="Europe/Berlin")


@pytest.fixture
def till(database, ws):
    return Till(database, ws)


def scope_of(ws, text, now=NOW):
    return scope(ws, timezone="Europe/Berlin", currency="USD", now=now, period=text)


def ask(database, ws, function, *args, text=YEAR, interval="month", **named):
    with database.web.transaction(ws, read_only=True) as session:
        return function(session, scope_of(ws, text), Asked(interval), *args, **named)


def report(database, ws, text=YEAR, **named):
    return ask(database, ws, subscription_churn.report, text=text, **named)


def people(database, ws, number, text=YEAR, **named):
    return [share.person_id for share in ask(database, ws, subscription_churn.people_of, number, text=text, **named)]


def who(database, ws, *names):
    return sorted((person_id(database, ws, name) for name in names), key=lambda identifier: identifier.bytes)


def start(till, *names, when=None, **more):
    for name in names:
        till.customer(name, when or at(1, 5))
        till.subscription(name, when or at(1, 5), **more)


def end(till, name, when, reason="cancellation_requested", **more):
    details = {"reason": reason, "feedback": more.pop("feedback", None), "comment": None}
    till.subscription(name, when, "canceled", cancellation_details=details, started=at(1, 5), **more)


def test_who_wanted_to_leave_and_whose_payments_failed(database, ws, till):
    start(till, "stays", "wanted", "failed", "returned", "unpaid")
    end(till, "wanted", at(5, 10))
    end(till, "failed", at(6, 10), "payment_failed")
    end(till, "returned", at(6, 12))
    till.subscription("returned", at(7, 1), sub="2")
    till.subscription("unpaid", at(8, 1), "unpaid", started=at(1, 5))
    start(till, "short", when=at(6, 2))
    end(till, "short", at(6, 20))
    till.ring()
    found = report(database, ws, SUMMER)
    months = {item.start.month: item for item in found.periods}
    counts = {month: (p.customers, p.lost, p.voluntary, p.involuntary, p.churned) for month, p in months.items()}
    assert counts == {5: (5, 1, 1, 0, 1), 6: (4, 2, 1, 1, 3), 7: (2, 0, 0, 0, 0), 8: (3, 1, 0, 1, 1)}
    total = found.total
    assert (total.customers, total.lost, total.voluntary, total.involuntary, total.churned) == (5, 3, 1, 2, 5)
    assert (total.rate, total.voluntary_rate, total.involuntary_rate) == (3 / 5, 1 / 5, 2 / 5)
    assert total.lost_mrr == 60_000_000
    assert people(database, ws, "lost", SUMMER) == who(database, ws, "wanted", "failed", "unpaid")
    assert people(database, ws, "involuntary", SUMMER) == who(database, ws, "failed", "unpaid")
    assert people(database, ws, "voluntary", SUMMER, start=date(2026, 6, 1)) == who(database, ws, "returned")
    assert people(database, ws, "churned", SUMMER) == who(
        database, ws, "wanted", "failed", "returned", "unpaid", "short"
    )


def test_asking_to_cancel_is_not_churn_and_the_end_of_access_is(database, ws, till):
    start(till, "a", "b", "stayed", "failed")
    for name in ("a", "b", "stayed"):
        asked = {"cancel_at_period_end": True, "canceled_at": int(at(5, 20).timestamp())}
        till.subscription(name, at(5, 20), started=at(1, 5), **asked)
    till.subscription("stayed", at(5, 25), started=at(1, 5))  # changed their mind
    end(till, "a", at(6, 5), canceled_at=int(at(5, 20).timestamp()))
    end(till, "failed", at(6, 9), "payment_failed")
    till.ring()
    months = {item.start.month: item for item in report(database, ws, SUMMER).periods}
    assert [(months[m].requested, months[m].effective, months[m].lost) for m in (5, 6)] == [(2, 0, 0), (0, 1, 2)]
    assert people(database, ws, "requested", SUMMER) == who(database, ws, "a", "b")
    assert people(database, ws, "effective", SUMMER) == who(database, ws, "a")
    now = report(database, ws)
    assert (now.leaving.people, now.leaving.mrr) == (1, 20_000_000)
    assert people(database, ws, "leaving") == who(database, ws, "b")


def test_leaving_a_trial_is_no_churn(database, ws, till):
    trial = {"trial_start": int(at(5, 1).timestamp()), "trial_end": int(at(5, 15).timestamp())}
    till.customer("a", at(5, 1))
    till.subscription("a", at(5, 1), "trialing", **trial)
    till.subscription(
        "a", at(5, 3), "trialing", cancel_at_period_end=True, canceled_at=int(at(5, 3).timestamp()), **trial
    )
    till.subscription("a", at(5, 15, 13), "canceled", started=at(5, 1), **trial)
    till.ring()
    found = report(database, ws, SUMMER).total
    assert (found.customers, found.churned, found.requested, found.effective) == (0, 0, 0, 0)


def test_payments_that_are_tried_again(database, ws, till):
    start(till, "fine", "late")
    till.subscription("late", NOW - DAY, "past_due", started=at(1, 5))
    till.ring()
    found = report(database, ws)
    assert (found.past_due.people, found.past_due.mrr, found.total.lost) == (1, 20_000_000, 0)
    assert people(database, ws, "past_due") == who(database, ws, "late")
    past = report(database, ws, SUMMER)
    assert (past.leaving, past.past_due) == (None, None)


def test_reasons_people_gave(database, ws, till):
    start(till, "a", "b", "c", "d", "inside")
    for name, feedback in (("a", "too_expensive"), ("b", "unused"), ("c", "unused"), ("d", None), ("inside", "unused")):
        end(till, name, at(6, 5), feedback=feedback)
    till.ring()
    internal(database, ws, person_id(database, ws, "inside"))
    assert report(database, ws, SUMMER).stated == (("unused", 2), ("too_expensive", 1))
    assert report(database, ws, "2026-07-01..2026-08-31").stated == ()


def levels(database, ws):
    """{person: [(local day, whether they have MRR then)]} of every change, in order, from the stored ledger."""
    with database.web.transaction(ws, read_only=True) as session:
        found = rows(
            session,
            "SELECT a.person_id, m.stripe_customer_id, m.currency, m.changed_at, m.after_micros,"
            " (m.changed_at AT TIME ZONE 'Europe/Berlin')::date AS day FROM mrr_change m JOIN actor a"
            " ON a.id = m.actor_id AND a.workspace_id = m.workspace_id ORDER BY m.changed_at",
        )
    now, told = defaultdict(dict), defaultdict(dict)
    for row in found:
        now[row.person_id][row.stripe_customer_id, row.currency] = row.after_micros
        told[row.person_id][row.changed_at] = (row.day, any(now[row.person_id].values()))
    return {person: list(steps.values()) for person, steps in told.items()}


def paying(steps, end_day):
    return ([False] + [has for day, has in steps if day < end_day])[-1]


@pytest.mark.parametrize("seed", range(3))
def test_cohorts_counts_and_curves_follow_from_the_ledger(database, ws, till, seed):
    crowd(till, seed, customers=40)
    till.ring()
    told = levels(database, ws)
    found = report(database, ws)
    for period in (found.total, *found.periods):
        had = {person for person, steps in told.items() if paying(steps, period.start)}
        has = {person for person, steps in told.items() if paying(steps, period.end)}
        assert (period.customers, period.lost) == (len(had), len(had - has))
        assert period.voluntary + period.involuntary == period.lost
    for period, named in ((found.total, {}), (found.periods[7], {"start": found.periods[7].start})):
        for number in ("start", "lost", "voluntary", "involuntary", "churned", "requested", "effective"):
            expected = period.customers if number == "start" else getattr(period, number)
            assert len(set(people(database, ws, number, **named))) == expected
    born = {person: steps[0][0] for person, steps in told.items()}
    assert sum(cohort.people for cohort in found.cohorts) == len(told)
    for cohort in found.cohorts:
        members = {person for person, day in born.items() if day.replace(day=1) == cohort.month}
        assert cohort.people == len(members)
        end_day = cohort.month
        for gone in cohort.gone:
            end_day = (end_day + timedelta(days=32)).replace(day=1)
            left = {person for person in members if not paying(told[person], end_day)}
            assert gone == len(left)
        assert end_day == (date(2026, 11, 1) if cohort.gone else cohort.month)  # November is not over
        if cohort.gone:
            with database.web.transaction(ws, read_only=True) as session:
                shown = subscription_churn.cohort_people(
                    session, scope_of(ws, YEAR), cohort.month, len(cohort.gone) - 1
                )
            assert set(shown) == left
    today = date(2026, 11, 18)
    lasted = [next((day for day, has in steps if not has), None) for steps in told.values()]
    days = [((last or today) - steps[0][0]).days for last, steps in zip(lasted, told.values(), strict=True)]
    assert found.everybody == survival(days, [last is not None for last in lasted])


def test_survival_by_the_plan_somebody_began_with(database, ws, till):
    cheap, dear = stripe.price("price_a", 500, nickname="Basic"), stripe.price("price_b", 5000, nickname="Pro")
    for n in range(4):
        till.customer(f"c{n}", at(1, 5))
        till.subscription(f"c{n}", at(1, 5), priced=cheap if n else dear)
    till.subscription("c0", at(2, 4), "canceled", priced=dear, started=at(1, 5))
    till.subscription("c1", at(3, 6), "canceled", priced=cheap, started=at(1, 5))
    till.subscription("c1", at(5, 6), priced=dear, sub="2")  # comes back on another plan
    till.ring()
    found = report(database, ws)
    assert [(plan.plan, plan.curve.people, plan.curve.ended) for plan in found.plans] == [
        ("Basic", 3, 1),
        ("Pro", 1, 1),
    ]
    assert found.plans[0].curve.at == (60.0, 317.0)
    assert found.plans[1].curve.median == 30.0
    assert found.everybody.people == 4


def active(database, ws, name, days, *, core=True):
    """The customer did something on so many of the days before May."""
    actor = rows_of(database, ws, f"SELECT id FROM actor WHERE external_id = 'cus_{name}'")[0].id
    told = [
        {"actor_id": actor, "workspace_id": ws, "day": date(2026, 4, 30) - n * DAY, "events": 1}
        | {"first_at": at(4, 1), "last_at": at(4, 1)}
        for n in range(days)
    ]
    merged = "ON CONFLICT (actor_id, workspace_id, day) DO UPDATE SET human_events = 1"
    with database.worker.transaction(ws) as session:
        insert(session, ActorDay, [row | {"human_events": 1} for row in told], merged)
        insert(session, ActorRoleDay, [row | {"role": "core"} for row in told if core])


def rows_of(database, ws, sql):
    with database.web.transaction(ws, read_only=True) as session:
        return rows(session, sql)


def test_what_those_who_left_had_in_common(database, ws, till):
    """80 customers: of 40 who hardly used it 24 leave, of the others 4; failed payments go with leaving, age does not."""
    dice = random.Random(5)
    names = [f"c{n}" for n in range(80)]
    start(till, *names)
    idle, leaving = names[:40], [*names[:24], *names[40:44]]
    for name in [*names[:14], *names[24:26], *names[40:43], "c60"]:
        till.failed(name, at(4, 20))
    till.failed("c70", at(5, 20))  # after the month began: no feature of before
    for name in leaving:
        end(till, name, at(5, 2) + dice.randrange(28) * DAY)
    till.ring()
    for name in names:
        active(database, ws, name, 2 if name in idle else 20)
    factors = report(database, ws, MAY).factors
    assert (factors.primary, factors.secondary, factors.cases, factors.left) == ("low_usage", "payment_failed", 80, 28)
    risk = {one.name: one.risk for one in factors.factors}
    assert (risk["low_usage"].have, risk["low_usage"].have_left) == (40, 24)
    assert risk["low_usage"].ratio == pytest.approx((24 / 40) / (4 / 40))
    assert (risk["payment_failed"].have, risk["payment_failed"].have_left) == (20, 17)
    assert risk["payment_failed"].low > 1
    assert set(risk) == {"low_usage", "payment_failed"}  # the others hold for everybody or for nobody
    told = {leaver.person_id: leaver for leaver in ask(database, ws, subscription_churn.leavers, text=MAY)}
    assert sorted(told, key=lambda i: i.bytes) == who(database, ws, *leaving)
    reasons = {name: told[person_id(database, ws, name)] for name in leaving}
    assert (reasons["c0"].primary, reasons["c0"].secondary) == ("low_usage", "payment_failed")
    assert (reasons["c20"].primary, reasons["c20"].secondary) == ("low_usage", None)
    assert (reasons["c40"].primary, reasons["c40"].secondary) == ("payment_failed", None)
    assert (reasons["c43"].primary, reasons["c43"].secondary) == (None, None)
    assert {leaver.micros for leaver in told.values()} == {20_000_000}


def test_every_month_is_judged_by_what_came_before_it(database, ws, till):
    """Of 30 customers, ten lose a payment in May and leave in June, ten in June and leave in July."""
    names = [f"c{n}" for n in range(30)]
    start(till, *names)
    for n, name in enumerate(names[:20]):
        month = 5 if n < 10 else 6
        till.failed(name, at(month, 25))
        end(till, name, at(month + 1, 10))
    till.ring()
    found = report(database, ws, "2026-05-01..2026-07-31")
    (failed,) = (one.risk for one in found.factors.factors if one.name == "payment_failed")
    assert (found.factors.cases, found.factors.left) == (30 + 30 + 20, 20)
    assert (failed.have, failed.have_left, failed.others_left) == (20, 20, 0)
    assert found.factors.primary == "payment_failed"
    told = ask(database, ws, subscription_churn.leavers, text="2026-05-01..2026-07-31")
    assert [leaver.primary for leaver in told] == ["payment_failed"] * 20


def test_every_feature_is_read_from_the_time_before(database, ws, till):
    """Half of forty customers have a feature and leave: the feature, and no other, is what they have in common."""
    names = [f"c{n}" for n in range(40)]
    half = names[:20]
    for n, name in enumerate(names):
        dear = stripe.price("price_b", 12 * 2500 if name in half[:10] else 12 * 2000, interval="year")
        till.customer(name, at(1, 5))
        till.subscription(name, at(1, 5), priced=dear if n % 2 else stripe.price())
        till.invoice(name, at(1, 5), 2000)
    for name in half:
        till.refund(name, at(3, 20), 100)
        till.subscription(name, at(4, 1), started=at(1, 5), priced=stripe.price("price_c", 1500))
        end(till, name, at(5, 10))
    till.ring()
    for name in names:
        active(database, ws, name, 20, core=name not in half)
    risk = {one.name: one.risk for one in report(database, ws, MAY).factors.factors}
    for name in ("refunded", "downgraded", "no_core_action"):
        assert (risk[name].have, risk[name].have_left, risk[name].others_left) == (20, 20, 0), name
    assert not {"low_usage", "payment_failed", "came_back", "new_customer"} & set(risk)
    assert report(database, ws, "2026-02-01..2026-02-28").factors is None


def test_too_few_are_no_reason(database, ws, till):
    start(till, *(f"c{n}" for n in range(12)))
    for n in range(3):
        end(till, f"c{n}", at(6, 1))
    till.ring()
    assert report(database, ws, SUMMER).factors is None
    assert [leaver.primary for leaver in ask(database, ws, subscription_churn.leavers, text=SUMMER)] == [None] * 3


def test_internal_people_and_a_list(database, ws, till):
    start(till, "a", "b", "inside")
    for name in ("a", "b", "inside"):
        end(till, name, at(6, 1))
    till.ring()
    internal(database, ws, person_id(database, ws, "inside"))
    found = report(database, ws, SUMMER)
    assert (found.total.customers, found.total.lost, found.everybody.people) == (2, 2, 2)
    assert people(database, ws, "effective", SUMMER) == who(database, ws, "a", "b")
    only = who(database, ws, "b")
    assert report(database, ws, SUMMER, within=only).total.effective == 1
    assert people(database, ws, "lost", SUMMER, within=only) == only


def test_an_empty_workspace(database, ws):
    found = report(database, ws)
    assert (found.total.customers, found.total.rate, found.cohorts, found.plans) == (0, None, (), ())
    assert (found.everybody.people, found.factors, found.stated) == (0, None, ())
    assert (found.leaving.people, found.past_due.people) == (0, 0)
    for number in get_args(Number):
        assert people(database, ws, number) == []
    assert ask(database, ws, subscription_churn.leavers) == ()


def test_nonsense_is_refused_in_a_sentence(database, ws):
    with pytest.raises(InvalidInput, match="day, week or month"):
        Asked("hour")
    with pytest.raises(InvalidInput, match="Choose one of"):
        people(database, ws, "everybody")
    with pytest.raises(InvalidInput, match="first day"):
        people(database, ws, "lost", start=date(2026, 2, 2))
    with (
        pytest.raises(InvalidInput, match="not over"),
        database.web.transaction(ws, read_only=True) as session,
    ):
        subscription_churn.cohort_people(session, scope_of(ws, YEAR), date(2026, 10, 1), 1)


# ------------------------------------------------------------------------------------------------------------ risks


@given(st.integers(0, 2**32), st.integers(2, 40), st.integers(1, 6))
@settings(max_examples=100, deadline=None)
def test_risks_are_the_libraries(seed, people_count, feature_count):
    dice = np.random.default_rng(seed)
    features = dice.random((feature_count, people_count)) < dice.random((feature_count, 1))
    left = dice.random(people_count) < dice.random()
    found = risks(features, left, least=1)
    told = (
        [n for n in range(feature_count) if 0 < features[n].sum() < people_count]
        if 0 < left.sum() < people_count
        else []
    )
    assert sorted(risk.place for risk in found) == told
    assert [risk.excess for risk in found] == sorted((risk.excess for risk in found), reverse=True)
    for risk in found:
        have = features[risk.place]
        a, m, b, n = (left & have).sum(), have.sum(), (left & ~have).sum(), (~have).sum()
        assert (risk.have_left, risk.have, risk.others_left, risk.others) == (a, m, b, n)
        assert risk.p == pytest.approx(fisher_exact([[a, m - a], [b, n - b]]).pvalue)
        if a and b:
            library = relative_risk(int(a), int(m), int(b), int(n))
            interval = library.confidence_interval(0.95)
            assert (risk.ratio, risk.low, risk.high) == pytest.approx(
                (library.relative_risk, interval.low, interval.high)
            )
        assert risk.ratio is None or risk.low - 1e-9 <= risk.ratio <= risk.high + 1e-9 or a == 0
    for risk in found:  # Benjamini and Hochberg, by their definition
        sharper = [other.p * len(found) / sum(o.p <= other.p for o in found) for other in found if other.p >= risk.p]
        assert risk.corrected == pytest.approx(min(1.0, *sharper))


def test_a_feature_that_too_few_have_is_left_out():
    features = np.array([[True] * 9 + [False] * 91, [True] * 10 + [False] * 90, [True] * 95 + [False] * 5])
    left = np.arange(100) < 30
    assert [risk.place for risk in risks(features, left, least=10)] == [1]
