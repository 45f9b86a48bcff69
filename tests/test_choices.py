"""Choices: what follows from one is derived again, and ends as if it had been made before the first fact came."""

from datetime import date, timedelta
from decimal import Decimal

import pytest

from gdp_core import choices, recompute
from gdp_core.accounts.roles import Principal, Role
from gdp_core.accounts.workspaces import WorkspaceSettings
from gdp_core.choices import EventMeaning, PlanChoice, Retention
from gdp_core.db import one, rows, run
from gdp_core.errors import Forbidden, InvalidInput, NotFound
from gdp_core.event_roles import ROLES, RoleFilter
from gdp_core.identity import Limits
from gdp_core.recompute import read_recomputing

from . import history
from .conftest import NOW
from .test_pipeline import delivery, put


@pytest.fixture
def tenant(database):
    return history.tenants(database, "acme")[0]


def change(database, tenant, function, *args, role="ADMIN", **named):
    with database.web.transaction(tenant.id) as session:
        return function(session, Principal(None, "ada@acme.example", tenant.id, Role(role)), *args, now=NOW, **named)


def finish(database, tenant):
    """Recompute until nothing is wanted. Returns how often it was asked."""
    for calls in range(200):
        if not recompute.recompute(database.worker, tenant.id, NOW):
            return calls
    raise AssertionError("it never ends")


def pending(database, tenant):
    with database.web.transaction(tenant.id) as session:
        return read_recomputing(session)


def core(session, principal, *, now):
    names = ["letter_sent", "Order Completed"]
    choices.set_event_role(session, principal, "core", event_names=names, now=now)


def filtered(session, principal, *, now):
    only = [RoleFilter(property="n", op="at_least", value=2)]
    choices.set_event_role(session, principal, "activation", event_names=["letter_sent"], filters=only, now=now)


def signup(session, principal, *, now):
    choices.set_event_role(session, principal, "signup", event_names=["video_played"], now=now)


def internal(session, principal, *, now):
    choices.add_internal_rule(session, principal, "domain", "@Acme.example", now=now)


def identifier(session, principal, *, now):
    choices.add_internal_rule(session, principal, "identifier", "user1", now=now)


def rates(session, principal, *, now):
    text = "Date,Currency,Rate,note\n2020-01-01,EUR,1.25,x\n2020-01-01, usd ,2\n"
    choices.change_workspace(session, principal, WorkspaceSettings(base_currency="CHF"), now=now)
    choices.load_rates(session, principal, text, now=now)


def windows(session, principal, *, now):
    choices.change_workspace(session, principal, WorkspaceSettings(trial_days=90, dormant_days=3), now=now)


def plans(session, principal, *, now):
    choices.set_plan(session, principal, PlanChoice("price", "price_0", "", "Gold"), now=now)
    choices.set_plan(session, principal, PlanChoice("product", "prod_1", "pro", "Pro"), now=now)


def limits(session, principal, *, now):
    choices.set_limits(
        session, principal, Limits(total=4, of={"user": 1, "email": 1, "phone": 1, "stripe": 1}), now=now
    )


def everything(session, principal, *, now):
    for choose in (core, filtered, signup, internal, rates, windows, plans, limits):
        choose(session, principal, now=now)


CHOICES = [core, filtered, signup, internal, identifier, rates, windows, plans, limits, everything]


@pytest.mark.parametrize("choose", CHOICES, ids=lambda item: item.__name__)
def test_a_choice_made_later_ends_as_if_made_before(database, tenant, choose, monkeypatch):
    monkeypatch.setattr(recompute, "_EVENTS", 7)
    monkeypatch.setattr(recompute, "_PEOPLE", 3)
    monkeypatch.setattr(recompute, "_CLUSTERS", 2)
    monkeypatch.setattr(recompute, "_OWNERS", 1)
    told = history.history(tenant, seed=3, size=40, customers=3)
    history.put(database, told)
    history.drain(database, [tenant.id])
    before = history.contents(database, [tenant.id])
    change(database, tenant, choose)
    assert pending(database, tenant) is not None
    finish(database, tenant)
    assert pending(database, tenant) is None
    later = history.contents(database, [tenant.id])
    assert later != before, "the choice changes something"
    history.clear(database)
    history.put(database, told)
    history.drain(database, [tenant.id])
    assert not history.difference(history.contents(database, [tenant.id]), later)


def test_facts_that_come_while_it_goes_on_are_read_by_the_new_choice(database, tenant, monkeypatch):
    monkeypatch.setattr(recompute, "_EVENTS", 5)
    monkeypatch.setattr(recompute, "_PEOPLE", 2)
    monkeypatch.setattr(recompute, "_TURNS", 1)
    told = history.history(tenant, seed=5, size=40)
    history.put(database, told[:20])
    history.drain(database, [tenant.id])
    change(database, tenant, everything)
    for later in told[20:]:
        recompute.recompute(database.worker, tenant.id, NOW)
        history.put(database, [later])
        history.drain(database, [tenant.id])
    finish(database, tenant)
    later = history.contents(database, [tenant.id])
    history.clear(database)
    history.put(database, told)
    history.drain(database, [tenant.id])
    assert not history.difference(history.contents(database, [tenant.id]), later)


def test_a_choice_made_while_it_goes_on_starts_over(database, tenant, monkeypatch):
    monkeypatch.setattr(recompute, "_PEOPLE", 2)
    monkeypatch.setattr(recompute, "_TURNS", 1)
    told = history.history(tenant, seed=6, size=30)
    history.put(database, told)
    history.drain(database, [tenant.id])
    change(database, tenant, core)
    assert pending(database, tenant).share == 0
    while pending(database, tenant).step != "people":
        recompute.recompute(database.worker, tenant.id, NOW)
    recompute.recompute(database.worker, tenant.id, NOW)
    assert 0.5 <= pending(database, tenant).share < 1
    change(database, tenant, plans)
    again = pending(database, tenant)
    assert (again.step, again.steps, again.done) == ("roles", 3, 0)
    finish(database, tenant)
    later = history.contents(database, [tenant.id])
    history.clear(database)
    history.put(database, told)
    history.drain(database, [tenant.id])
    assert not history.difference(history.contents(database, [tenant.id]), later)


def test_an_interrupted_turn_is_done_again(database, tenant, monkeypatch):
    told = history.history(tenant, seed=7, size=30)
    history.put(database, told)
    history.drain(database, [tenant.id])
    change(database, tenant, core)
    original = recompute.people.refresh

    def fail(*args):
        monkeypatch.setattr(recompute.people, "refresh", original)
        raise RuntimeError("killed")

    monkeypatch.setattr(recompute.people, "refresh", fail)
    with pytest.raises(RuntimeError):
        finish(database, tenant)
    assert pending(database, tenant).step == "people"
    finish(database, tenant)
    later = history.contents(database, [tenant.id])
    history.clear(database)
    history.put(database, told)
    history.drain(database, [tenant.id])
    assert not history.difference(history.contents(database, [tenant.id]), later)


def test_days_whose_events_are_gone_keep_their_roles(database, tenant):
    told = history.history(tenant, seed=8, size=40)
    history.put(database, told)
    history.drain(database, [tenant.id])
    gone = NOW - timedelta(days=60)
    with database.worker.transaction(tenant.id) as session:
        run(session, "DELETE FROM event WHERE occurred_at < :gone", gone=gone)
        kept = rows(
            session, "SELECT * FROM actor_role_day WHERE role = 'core' AND day < :day ORDER BY day", day=gone.date()
        )
    assert kept
    change(database, tenant, choices.set_event_role, "core", event_names=[])
    finish(database, tenant)
    with database.worker.transaction(tenant.id) as session:
        left = rows(session, "SELECT * FROM actor_role_day WHERE role = 'core' ORDER BY day")
    assert [row for row in left if row.day < gone.date()] == kept
    oldest = min((row.day for row in left if row not in kept), default=None)
    assert oldest is None or oldest <= gone.date() + timedelta(days=15), "days with events left are counted again"


def test_nothing_changes_when_the_choice_is_the_same(database, tenant):
    for _ in range(2):
        change(database, tenant, core)
        change(database, tenant, internal)
        change(database, tenant, plans)
        change(database, tenant, limits)
        change(database, tenant, windows)
        finish_state = pending(database, tenant)
        finish(database, tenant)
    assert finish_state is None


def test_a_removed_choice_is_undone(database, tenant):
    told = history.history(tenant, seed=9, size=30, customers=3)
    history.put(database, told)
    history.drain(database, [tenant.id])
    before = history.contents(database, [tenant.id])
    for choose in (core, internal, plans, rates):
        change(database, tenant, choose)
    finish(database, tenant)
    change(database, tenant, choices.reset_event_role, "core")
    change(database, tenant, choices.remove_internal_rule, "domain", "acme.example")
    change(database, tenant, choices.remove_plan, "price", "price_0")
    change(database, tenant, choices.remove_plan, "product", "prod_1")
    change(database, tenant, choices.remove_rates, "EUR")
    change(database, tenant, choices.remove_rates, "USD")
    change(database, tenant, choices.change_workspace, WorkspaceSettings(base_currency="USD"))
    finish(database, tenant)
    assert not history.difference(before, history.contents(database, [tenant.id]))
    with pytest.raises(NotFound):
        change(database, tenant, choices.remove_internal_rule, "domain", "acme.example")
    with pytest.raises(NotFound):
        change(database, tenant, choices.remove_plan, "price", "price_0")
    with pytest.raises(NotFound):
        change(database, tenant, choices.remove_rates, "EUR")


def test_every_choice_is_read_back(database, tenant):
    with database.web.transaction(tenant.id) as session:
        assert {item.role for item in choices.read_event_roles(session)} == set(ROLES)
        assert all(item.is_default for item in choices.read_event_roles(session))
    for choose in (filtered, internal, identifier, plans, rates, limits):
        change(database, tenant, choose)
    change(database, tenant, choices.set_retention, Retention(30, 24))
    with database.web.transaction(tenant.id) as session:
        role = next(item for item in choices.read_event_roles(session) if item.role == "activation")
        assert (role.event_names, role.filters[0].value, role.is_default) == (("letter_sent",), 2, False)
        assert [(item.kind, item.value) for item in choices.read_internal_rules(session)] == [
            ("domain", "acme.example"),
            ("identifier", "user1"),
        ]
        assert choices.read_plans(session) == [
            PlanChoice("price", "price_0", "gold", "Gold"),
            PlanChoice("product", "prod_1", "pro", "Pro"),
        ]
        assert [(item.currency, item.days, item.newest) for item in choices.read_rates(session)] == [
            ("EUR", 1, Decimal("1.25")),
            ("USD", 1, Decimal(2)),
        ]
        assert recompute.read_limits(session).of["user"] == 1
        assert choices.read_retention(session) == Retention(30, 24)
        assert choices.read_rates(session)[0].first == date(2020, 1, 1)


WRONG_RATES = {
    "": "first line must name",
    "date,currency\n": "first line must name",
    "date,currency,rate\n": "no rates",
    "date,currency,rate\n2026-01-01,EUR": "Line 2 has too few",
    "date,currency,rate\n2026-01-01,XXY,1": "no currency code",
    "date,currency,rate\n2026-01-01,USD,1": "own currency",
    "date,currency,rate\n2026-01-01,EUR,0": "is no rate",
    "date,currency,rate\n2026-01-01,EUR,-1": "is no rate",
    "date,currency,rate\n2026-01-01,EUR,nan": "is no rate",
    "date,currency,rate\n2026-01-01,EUR,1e400": "is no rate",
    "date,currency,rate\n2026-01-01,EUR,x": "is no rate",
    "date,currency,rate\n01/02/2026,EUR,1": "no date",
    'date,currency,rate\n2026-01-01,EUR,"1\x00': "Line",
}


def test_a_wrong_rates_file_names_its_line_and_changes_nothing(database, tenant):
    for text, said in WRONG_RATES.items():
        with pytest.raises(InvalidInput, match=said):
            change(database, tenant, choices.load_rates, text)
    assert pending(database, tenant) is None


WRONG = [
    (choices.set_event_role, ("nonsense",), {"event_names": []}),
    (choices.set_event_role, ("core",), {"event_names": [str(n) for n in range(201)]}),
    (
        choices.set_event_role,
        ("core",),
        {"event_names": ["a"], "filters": [RoleFilter(property="a", op="is_set")] * 21},
    ),
    (choices.reset_event_role, ("nonsense",), {}),
    (choices.add_internal_rule, ("domain", "localhost"), {}),
    (choices.add_internal_rule, ("domain", "a b.example"), {}),
    (choices.add_internal_rule, ("identifier", "  "), {}),
    (choices.set_plan, (PlanChoice("price", "", "a", "A"),), {}),
    (choices.set_plan, (PlanChoice("price", "price_1", "", " "),), {}),
    (choices.set_plan, (PlanChoice("colour", "price_1", "a", "A"),), {}),  # type: ignore[arg-type]
    (choices.set_limits, (Limits(total=0),), {}),
    (choices.set_limits, (Limits(of={"user": 2_000_000}),), {}),
    (choices.set_retention, (Retention(0, None),), {}),
    (choices.set_retention, (Retention(90, 0),), {}),
    (choices.change_workspace, (WorkspaceSettings(trial_days=-1),), {}),
]


def test_nonsense_is_refused(database, tenant):
    for function, args, named in WRONG:
        with pytest.raises(InvalidInput):
            change(database, tenant, function, *args, **named)
    assert pending(database, tenant) is None


RIGHT = [
    (choices.set_event_role, ("core",), {"event_names": ["a"]}),
    (choices.reset_event_role, ("core",), {}),
    (choices.add_internal_rule, ("domain", "acme.example"), {}),
    (choices.remove_internal_rule, ("domain", "other.example"), {}),
    (choices.set_plan, (PlanChoice("price", "price_1", "a", "A"),), {}),
    (choices.remove_plan, ("price", "price_9"), {}),
    (choices.load_rates, ("date,currency,rate\n2026-01-01,EUR,1",), {}),
    (choices.remove_rates, ("GBP",), {}),
    (choices.set_limits, (Limits(total=9),), {}),
    (choices.set_retention, (Retention(30, 12),), {}),
    (choices.change_workspace, (WorkspaceSettings(trial_days=7),), {}),
]


@pytest.mark.parametrize("role", ["MEMBER", "VIEWER"])
def test_only_admins_choose(database, tenant, role):
    for function, args, named in RIGHT:
        with pytest.raises(Forbidden):
            change(database, tenant, function, *args, role=role, **named)


def test_each_choice_is_audited_once_without_personal_data(database, tenant):
    with database.web.transaction(tenant.id) as session:
        run(session, "INSERT INTO internal_rule VALUES ('domain', 'other.example', app_ws(), :now)", now=NOW)
        run(session, "INSERT INTO plan_mapping VALUES ('price', app_ws(), 'price_9', 'a', 'A', :now)", now=NOW)
        run(session, "INSERT INTO fx_rate VALUES ('2026-01-01', app_ws(), 'GBP', 1)")
    for function, args, named in RIGHT:
        change(database, tenant, function, *args, **named)
    change(database, tenant, choices.add_internal_rule, "identifier", "user-secret-7")
    with database.web.transaction(tenant.id) as session:
        written = rows(session, "SELECT action, detail::text AS detail FROM audit_log ORDER BY seq")
    assert len(written) == len(RIGHT) + 1
    assert {row.action for row in written} == {"settings.write"}
    assert "user-secret-7" not in "".join(row.detail for row in written)


def test_an_event_type_is_described(database, tenant):
    history.put(database, history.history(tenant, seed=2))
    history.drain(database, [tenant.id])
    wanted = EventMeaning("core_value", " Growth ", "What it\nmeans", ("n", "n", " colour "))
    change(database, tenant, choices.describe_event, "letter_sent", wanted, role="MEMBER")
    with database.web.transaction(tenant.id) as session:
        row = one(session, "SELECT category, owner, description, required FROM event_type WHERE name = 'letter_sent'")
    assert tuple(row) == ("core_value", "Growth", "What it means", ["n", "colour"])
    with pytest.raises(NotFound):
        change(database, tenant, choices.describe_event, "never_sent", wanted)
    with pytest.raises(InvalidInput):
        change(database, tenant, choices.describe_event, "letter_sent", EventMeaning("colour"))  # type: ignore[arg-type]
    with pytest.raises(Forbidden):
        change(database, tenant, choices.describe_event, "letter_sent", wanted, role="VIEWER")


def test_a_cohort_moves_with_the_time_zone(database, tenant):
    message = {
        "type": "track",
        "event": "signup_completed",
        "userId": "u1",
        "messageId": "m",
        "timestamp": "2026-11-01T02:30Z",
    }
    put(database, delivery(tenant.id, tenant.sources["segment"], {"batch": [message]}))
    history.drain(database, [tenant.id])
    for zone, cohort in (("America/New_York", "2026-10"), ("Pacific/Apia", "2026-11")):
        change(database, tenant, choices.change_workspace, WorkspaceSettings(timezone=zone))
        finish(database, tenant)
        with database.web.transaction(tenant.id) as session:
            assert one(session, "SELECT cohort FROM person").cohort == cohort


def _worths(database, tenant):
    with database.web.transaction(tenant.id) as session:
        found = rows(session, "SELECT currency, date, rate FROM fx_rate ORDER BY currency, date")
    return [(row.currency, row.date.isoformat(), round(row.rate, 6)) for row in found]


def test_rates_follow_the_currency_of_the_workspace(database, tenant):
    """1 EUR = 1.10 USD and 1 GBP = 1.32 USD are 1 GBP = 1.20 EUR; to leave them would make 1 GBP worth 1.32 EUR."""
    text = "date,currency,rate\n2026-01-01,EUR,1.10\n2026-01-01,GBP,1.32\n2025-06-01,GBP,1.2\n2026-02-01,EUR,1.20\n"
    change(database, tenant, choices.load_rates, text)
    change(database, tenant, choices.change_workspace, WorkspaceSettings(base_currency="EUR"))
    assert _worths(database, tenant) == [
        ("GBP", "2026-01-01", Decimal("1.2")),
        ("GBP", "2026-02-01", Decimal("1.1")),
        ("USD", "2026-01-01", Decimal("0.909091")),
        ("USD", "2026-02-01", Decimal("0.833333")),
    ]
    change(database, tenant, choices.change_workspace, WorkspaceSettings(base_currency="USD"))
    assert ("EUR", "2026-01-01", Decimal("1.1")) in _worths(database, tenant)
    assert ("GBP", "2026-02-01", Decimal("1.32")) in _worths(database, tenant)
    change(database, tenant, choices.change_workspace, WorkspaceSettings(base_currency="JPY"))
    assert _worths(database, tenant) == []
