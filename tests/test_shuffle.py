"""Any order, any batches, any duplicates, any number of workers: every derived row is the same, byte for byte.

The check is also run against pipelines that are wrong on purpose, and must fail there.
"""

import contextlib
import dataclasses
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from itertools import permutations
from types import SimpleNamespace
from uuid import UUID

import pytest
from sqlalchemy import event

from gdp_core import clock, events, identity, inbox, people, pipeline
from gdp_core.db import Database, lock_key, rows
from gdp_core.errors import Unavailable
from gdp_core.tables.people import Person, TraitAssertion

from . import history
from . import stripe_story as stripe
from .conftest import NOW
from .door import encryption_keys  # noqa: F401
from .test_pipeline import batch, delivery, track


@pytest.fixture
def tenants(database):
    return history.tenants(database, "acme", "globex")


def told(tenants, seed, *, size=18, customers=1):
    return [item for tenant in tenants for item in history.history(tenant, seed, size, customers)]


def reference(database, tenants, deliveries):
    """What the deliveries derive to when they come in the order they were received, in one batch."""
    ids = [tenant.id for tenant in tenants]
    history.clear(database)
    history.put(database, sorted(deliveries, key=lambda item: (item.received_at, item.id)))
    history.drain(database, ids)
    return history.contents(database, ids)


def differences(database, tenants, deliveries, expected, seeds, workers=1):
    """What differs after each shuffle."""
    ids = [tenant.id for tenant in tenants]
    found = []
    for seed in seeds:
        history.clear(database)
        history.shuffled(database, deliveries, seed, workers=workers)
        derived = history.contents(database, ids)
        if history.digest(derived) != history.digest(expected):
            found.append(f"shuffle {seed}: {history.difference(expected, derived)}")
    return found


@pytest.fixture
def balanced(database, tenants):
    """After the test the books explain everything."""
    yield
    history.books(database, [tenant.id for tenant in tenants])


@pytest.mark.usefixtures("balanced")
@pytest.mark.parametrize(("seed", "workers", "shuffles"), [(1, 1, 4), (2, 2, 3), (3, 4, 3)])
def test_a_few_shuffles_end_the_same(database, tenants, seed, workers, shuffles):
    deliveries = told(tenants, seed)
    expected = reference(database, tenants, deliveries)
    history.books(database, [tenant.id for tenant in tenants])
    assert differences(database, tenants, deliveries, expected, range(shuffles), workers) == []


def test_the_histories_reach_every_derived_table(database, tenants):
    reached = set()
    for seed in (1, 2, 3):
        expected = reference(database, tenants, told(tenants, seed))
        reached |= {table for table, lines in expected.items() if lines}
    assert reached == set(expected)


@pytest.mark.heavy
@pytest.mark.timeout(3600)
@pytest.mark.usefixtures("balanced")
@pytest.mark.parametrize("seed", range(100, 120))
def test_two_hundred_shuffles_end_the_same(database, tenants, seed):
    deliveries = told(tenants, seed, size=60, customers=2)
    expected = reference(database, tenants, deliveries)
    for workers, seeds in ((1, range(4)), (2, range(4, 7)), (4, range(7, 10))):
        assert differences(database, tenants, deliveries, expected, seeds, workers) == []


def test_the_two_workspaces_do_not_touch(database, tenants):
    """The same identifiers in both; what one derives does not depend on the other being there."""
    deliveries = told(tenants, 1)
    one = [item for item in deliveries if item.workspace_id == tenants[0].id]
    alone = reference(database, tenants[:1], one)
    reference(database, tenants, deliveries)
    assert history.contents(database, [tenants[0].id]) == alone


def test_a_history_is_the_same_every_time(tenants):
    assert [dataclasses.astuple(item) for item in told(tenants, 5)] == [
        dataclasses.astuple(item) for item in told(tenants, 5)
    ]


# ------------------------------------------------------------------------------------------------------- mutants


def arrival_order_of_traits(monkeypatch):
    """The trait that arrived last wins."""
    count = iter(range(10**9))
    insert = pipeline.insert

    def arriving(session, table, values, on_conflict=""):
        if table is TraitAssertion:
            values = [value | {"occurred_at": NOW + timedelta(seconds=next(count))} for value in values]
        return insert(session, table, values, on_conflict)

    monkeypatch.setattr(pipeline, "insert", arriving)


def the_clock_in_what_is_derived(monkeypatch):
    """A person was last seen when it was last derived."""
    insert = people.insert

    def stamping(session, table, values, on_conflict=""):
        if table is Person:
            values = [value | {"last_seen_at": clock.now()} for value in values]
        return insert(session, table, values, on_conflict)

    monkeypatch.setattr(people, "insert", stamping)


def the_newest_arrival_wins(monkeypatch):
    """Of two contents of a key the one that arrived last stands, as an upsert would have it."""

    def always_later(session, sql, /, **parameters):
        found = rows(session, sql, **parameters)
        if "INSERT INTO event_key" not in sql:
            return found
        last = NOW + timedelta(days=9999)
        return [SimpleNamespace(**row._asdict() | {"received_at": last}) for row in found]

    monkeypatch.setattr(pipeline, "rows", always_later)


def merging_into_the_last(monkeypatch):
    """A person keeps the id of whoever was merged last, in the order in which edges arrived."""

    def join(self, a, b):
        self.counts[b] = self.joined(a, b)
        del self.counts[a]
        self._parent[a] = b

    monkeypatch.setattr(identity.Edge, "order", property(lambda self: ()))
    monkeypatch.setattr(identity._Components, "join", join)


@pytest.mark.parametrize(
    "mutant", [arrival_order_of_traits, the_clock_in_what_is_derived, the_newest_arrival_wins, merging_into_the_last]
)
def test_a_pipeline_that_minds_the_order_is_caught(database, tenants, monkeypatch, mutant):
    mutant(monkeypatch)
    deliveries = told(tenants[:1], 1)
    expected = reference(database, tenants[:1], deliveries)
    assert any(differences(database, tenants[:1], deliveries, expected, [shuffle]) for shuffle in range(8))


# ------------------------------------------------------------------------------------------------- competing contents


def competing(tenant):
    """Triples of deliveries that state other things under one key: the first stands, whatever came first."""

    def stated(source, second, body, route, trust="server"):
        at = NOW - timedelta(hours=2) + timedelta(seconds=second)
        return delivery(tenant.id, tenant.sources[source], body, at=at, source=source, route=route, trust=trust)

    def tier(user, value):
        return {
            "batch": [{"event": "$set", "distinct_id": user, "uuid": "p1", "properties": {"$set": {"tier": value}}}]
        }

    def call(user, colour):
        return {"batch": [track(user=user, colour=colour, at=NOW - timedelta(days=1))]}

    def subscribed(customer, name):
        thing = stripe.subscription(sub_id=f"sub_{customer}", customer=f"cus_{customer}")
        return stripe.event(name, "customer.subscription.created", 0, thing)

    def refunded(charge, name):
        return stripe.event(name, "refund.created", 99, stripe.refund("re_1", charge=charge, payment_intent=None))

    def charged(number):
        return stripe.event(f"evt_ch_{number}", "charge.succeeded", 9, stripe.charge(charge_id=f"ch_{number}", pi=None))

    return [
        # what was said of somebody, without an event
        [
            stated("posthog", second, tier(*said), "posthog/batch")
            for second, said in ((1, ("v1", 1)), (5, ("v2", 2)), (9, ("v1", 1)))
        ],
        # an event, its retry, and another content between them
        [
            stated("segment", second, call(*said), "v1/batch")
            for second, said in ((1, ("u1", "red")), (5, ("u2", 7)), (9, ("u1", "red")))
        ],
        # subscriptions of two customers, the second of whom has nothing else
        [
            stated("stripe", 1, subscribed(1, "evt_s"), "webhook", "signed"),
            stated("stripe", 5, subscribed(2, "evt_s"), "webhook", "signed"),
            stated("stripe", 9, subscribed(1, "evt_t"), "webhook", "signed"),
        ],
        # a refund that finds its customer through a charge
        [
            stated("stripe", 3, charged(2), "webhook", "signed"),
            stated("stripe", 5, refunded("ch_2", "evt_r"), "webhook", "signed"),
            stated("stripe", 1, refunded("ch_9", "evt_r"), "webhook", "signed"),
        ],
    ]


def test_what_loses_its_key_leaves_no_trace(database, tenants):
    """Every order of three competing contents, from every kind of source at once, one delivery after the other."""
    tenant, seen = tenants[0], {}
    triples = competing(tenant)
    for order in permutations(range(3)):
        history.clear(database)
        for position in order:
            for triple in triples:
                history.put(database, [triple[position]])
            history.drain(database, [tenant.id])
            history.books(database, [tenant.id])
        seen[order] = history.contents(database, [tenant.id])
    expected = seen[0, 1, 2]
    for order, derived in seen.items():
        assert history.difference(expected, derived) == "", order
    assert len(expected["fact_conflict"]) == 4
    assert [len(expected[table]) for table in ("subscription", "refund", "mrr_change")] == [1, 0, 1]


def test_what_happens_at_one_instant_needs_no_order(database, tenants):
    """Together or one by one, the registry shows the same example of a property."""
    tenant = tenants[0]
    calls = [batch(track(message=f"m{n}", colour=colour, at=NOW)) for n, colour in enumerate("cab" * 4)]
    deliveries = [delivery(tenant.id, tenant.sources["segment"], call) for call in calls]
    seen = []
    for limit in (1, 2, 5, 500):
        history.clear(database)
        history.put(database, deliveries)
        history.drain(database, [tenant.id], limit=lambda: limit)  # noqa: B023
        seen.append(history.contents(database, [tenant.id])["event_type"])
    assert all(rows_seen == seen[0] for rows_seen in seen)
    assert '"example": "a"' in seen[0][0]


# --------------------------------------------------------------------------------------------------------- replays


@pytest.mark.parametrize("at", [timedelta(0), timedelta(seconds=-5), timedelta(seconds=5)])
@pytest.mark.parametrize("colour", ["red", "blue"])
@pytest.mark.parametrize("together", [True, False])
def test_a_replay_that_meets_another_statement_of_its_keys(database, tenants, at, colour, together):
    """The delivery that holds a key is put back; another one, earlier, later or at the same time, comes meanwhile."""
    tenant = tenants[0]
    first = delivery(tenant.id, tenant.sources["segment"], batch(track(colour="red"), track(message="m2")))
    first = dataclasses.replace(first, id=UUID(int=2**127))
    history.put(database, [first])
    history.drain(database, [tenant.id])
    with database.worker.transaction(tenant.id) as session:
        assert inbox.replay(session, ids=[first.id]) == 1
    other = delivery(tenant.id, tenant.sources["segment"], batch(track(colour=colour)), at=first.received_at + at)
    history.put(database, [dataclasses.replace(other, id=UUID(int=5))])
    history.drain(database, [tenant.id], limit=lambda: 500 if together else 1)
    history.books(database, [tenant.id])
    with database.web.transaction(tenant.id) as session:
        assert {row.total_events for row in rows(session, "SELECT total_events FROM person")} == {2}
        (found,) = rows(session, "SELECT properties FROM event WHERE source_event_id = 'm1'")
        assert found.properties["colour"] in (
            {"red", "blue"} if at == timedelta(0) else {colour if at < timedelta(0) else "red"}
        )


# --------------------------------------------------------------------------------------------------- concurrency


_WAITING = """SELECT FROM pg_locks l JOIN pg_database d ON d.oid = l.database
    WHERE NOT l.granted AND d.datname = current_database()"""


def test_partitions_made_at_once_in_any_order_do_not_deadlock(database):
    """One transaction makes a month and then another one, while a second makes the other one first."""
    months = [NOW.replace(year=2011, month=month) for month in (1, 2)]

    def make(order):
        with database.worker.transaction(None) as session:
            for month in order:
                events.ensure_partitions(session, "event", [month])

    with ThreadPoolExecutor(1) as pool:
        with database.worker.transaction(None) as session:
            events.ensure_partitions(session, "event", months[:1])
            other = pool.submit(make, months[::-1])
            with database.web.transaction(None) as watch:
                while not rows(watch, _WAITING) and not other.done():
                    time.sleep(0.01)
            events.ensure_partitions(session, "event", months[1:])
        other.result()


def test_what_a_transaction_made_is_remembered_only_once_it_is_kept(database):
    ws = database.workspace()
    at = NOW.replace(year=2011)
    with contextlib.suppress(ZeroDivisionError), database.worker.transaction(ws) as session:
        events.ensure_partitions(session, "event", [at])
        events.ensure_partitions(session, "event", [at])
        raise ZeroDivisionError
    with database.worker.transaction(ws) as session:
        events.ensure_partitions(session, "event", [at])
        assert f"event_{at:%Y_%m}" in {row.name for row in rows(session, "SELECT name FROM partition_list('event')")}


def test_the_books_add_up_at_every_instant(database, tenants):
    """Whoever looks while a worker works sees everything explained too."""
    ws = tenants[0].id
    deliveries = [item for item in told(tenants, 1) if item.workspace_id == ws]
    history.put(database, deliveries)
    seen = []
    with ThreadPoolExecutor(1) as pool:
        working = pool.submit(history.drain, database, [ws], limit=lambda: 1)
        while not working.done():
            with database.web.transaction(ws) as session:
                seen.append(inbox.balances(session))
        working.result()
    assert {balance.difference for balances in seen for balance in balances} == {0}
    assert len({balances[0].pending for balances in seen}) > 1, "nobody looked in between"


def test_a_worker_that_does_not_get_the_lock_waits_for_its_turn(database, tenants):
    """A long import holds the workspace: others are told to come back, and nothing counts as a failed attempt."""
    ws = tenants[0].id
    history.put(database, [item for item in told(tenants, 1) if item.workspace_id == ws][:3])
    impatient = Database(database.dsn, "gdp_worker")
    event.listen(impatient.engine, "begin", lambda conn: conn.exec_driver_sql("SET LOCAL lock_timeout = '50ms'"))
    with database.worker.transaction(ws) as holder:
        rows(holder, "SELECT pg_advisory_xact_lock(:key)", key=lock_key(ws))
        with pytest.raises(Unavailable) as told_off:
            pipeline.work(impatient, ws, NOW)
    assert told_off.value.retry_after
    impatient.close()
    history.drain(database, [ws])
    history.books(database, [ws])
    with database.worker.transaction(ws) as session:
        assert {row.attempts for row in rows(session, "SELECT attempts FROM inbox")} == {1}
