"""Stages, against the words of the definition asked again for every hour; and time alone moves people, no other way."""

import random
import uuid
from contextlib import suppress
from datetime import datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gdp_core import people
from gdp_core.db import insert, one, rows, run
from gdp_core.stages import Change, Life, Windows, history, stage_at
from gdp_core.tables.billing import FxRate
from gdp_core.tables.people import STAGES

from . import history as histories
from .conftest import NOW
from .door import encryption_keys  # noqa: F401
from .test_pipeline import batch, identify, track
from .test_pipeline import delivery as delivered

START = NOW - timedelta(days=400)
WINDOWS = Windows(timedelta(days=14), timedelta(days=60))
HOUR = timedelta(hours=1)


def hour(number: int) -> datetime:
    return START + number * HOUR


# ---------------------------------------------------------------------------------------------------- one person


class Story:
    """What one person did, as whole hours since the start; and their stage at an hour, read off the definition."""

    def __init__(self, known, signup, touched, acts, payments, trials, bought=None):
        self.known, self.signup, self.touched, self.bought = known, signup, touched, bought
        self.acts, self.payments, self.trials = sorted(acts), sorted(payments), trials

    def stage(self, now: int) -> str | None:
        paid = [amount for at, amount in self.payments if at <= now]
        signed_up = self.signup is not None and self.signup <= now
        known = self.known is not None and self.known <= now
        touched = self.touched is not None and self.touched <= now
        if paid and paid[-1] > 0:
            return "active"
        if any(paid):
            return "churned"
        if any(begin <= now < end for begin, end in self.trials):
            return "trial"
        if signed_up and now < self.signup + 14 * 24 and not (self.bought is not None and self.bought <= now):
            return "trial"
        if known and now - max([at for at in self.acts if at <= now], default=self.known) >= 60 * 24:
            return "dormant"
        if touched and not signed_up:
            return "marketing"
        return "lead" if known else None

    @property
    def life(self) -> Life:
        gaps = list(zip(self.acts, [*self.acts, None][1:], strict=True))
        if self.known is not None and (not self.acts or self.known < self.acts[0]):
            gaps.insert(0, (self.known, self.acts[0] if self.acts else None))
        return Life(
            known_at=None if self.known is None else hour(self.known),
            signup_at=None if self.signup is None else hour(self.signup),
            paid_at=None if self.bought is None else hour(self.bought),
            touched_at=None if self.touched is None else hour(self.touched),
            mrr=[(hour(at), amount) for at, amount in self.payments],
            trials=[(hour(begin), hour(end)) for begin, end in self.trials],
            silences=[
                (hour(last), None if back is None else hour(back))
                for last, back in gaps
                if back is None or back - last > 60 * 24
            ],
        )


hours = st.integers(0, 399 * 24) | st.integers(0, 399).map(lambda day: day * 24)
stories = st.builds(
    Story,
    known=st.none() | hours,
    signup=st.none() | hours,
    touched=st.none() | hours,
    acts=st.sets(hours, max_size=8),
    payments=st.lists(st.tuples(hours, st.sampled_from([0, 0, 5, 9])), max_size=5, unique_by=lambda item: item[0]),
    trials=st.lists(st.tuples(hours, st.integers(1, 60 * 24)).map(lambda item: (item[0], sum(item))), max_size=2),
    bought=st.none() | hours,
)


def by_the_hour(story: Story, until: int) -> list[Change]:
    """Every change, found by asking at every hour."""
    changes: list[Change] = []
    for number in range(until + 1):
        stage = story.stage(number)
        if stage is not None and (not changes or changes[-1].stage != stage):
            changes.append(Change(hour(number), stage))
    return changes


@settings(max_examples=60, deadline=None)
@given(stories, st.integers(0, 400 * 24))
def test_the_history_is_what_asking_every_hour_gives(story, until):
    changes, next_at = history(story.life, WINDOWS, hour(until))
    assert changes == by_the_hour(story, until)
    assert all(stage in STAGES for _, stage in changes)
    later = [number for number in range(until + 1, 470 * 24) if story.stage(number) != story.stage(number - 1)]
    if later:
        assert next_at is not None
        assert next_at <= hour(later[0])


@settings(max_examples=200, deadline=None)
@given(stories, hours)
def test_the_stage_at_an_instant(story, now):
    assert stage_at(story.life, WINDOWS, hour(now)) == story.stage(now)


@settings(max_examples=100, deadline=None)
@given(stories, hours, hours)
def test_a_later_look_only_adds(story, one_time, another):
    early, late = sorted((one_time, another))
    before, _ = history(story.life, WINDOWS, hour(early))
    after, _ = history(story.life, WINDOWS, hour(late))
    assert after[: len(before)] == before


@settings(max_examples=60, deadline=None)
@given(stories)
def test_following_next_at_misses_nothing(story):
    """Looking only when the last look said so finds the same history as looking all the time."""
    now = hour(0)
    for _ in range(200):
        changes, next_at = history(story.life, WINDOWS, now)
        if next_at is None:
            break
        assert next_at > now
        now = next_at
    assert next_at is None
    assert changes == by_the_hour(story, 470 * 24)


# ---------------------------------------------------------------------------------------------------- in the books


def tell(database, *deliveries):
    histories.put(database, deliveries)
    histories.drain(database, sorted({item.workspace_id for item in deliveries}), now=START)


def at_day(day: float) -> datetime:
    return START + timedelta(days=day)


def calls(ws, source_id, *messages, at):
    """Some calls that were sent and received at an instant."""
    return delivered(ws, source_id, batch(*messages, at=at), at=at)


def refresh(database, ws, now, *, everyone=False):
    with database.worker.transaction(ws) as session:
        if everyone:
            ids = [row.id for row in rows(session, "SELECT DISTINCT person_id AS id FROM actor")]
            return people.refresh(session, ws, ids, now)
        return people.refresh_due(session, ws, now)


def rows_of(session):
    """Everything that a refresh writes, but when it did."""
    changes = rows(session, "SELECT person_id, at, stage, previous FROM stage_change ORDER BY person_id, at")
    return rows(session, "SELECT to_jsonb(p) - 'tx' FROM person p ORDER BY id"), changes


def derived(database, ws):
    with database.worker.transaction(ws) as session:
        return rows_of(session)


def test_time_alone_moves_a_person_through_the_stages(database, ws):
    segment = database.source(ws, "segment")
    visit = {"type": "page", "anonymousId": "a1", "messageId": "p", "timestamp": at_day(0).isoformat()}
    visit["context"] = {"page": {"url": "https://acme.example/?utm_source=x&utm_campaign=spring"}}
    told = [
        visit,
        identify("u1", message="i", anonymous="a1", at=at_day(10)),
        track("signup_completed", "u1", message="s", at=at_day(20)),
    ]
    tell(database, calls(ws, segment, *told, at=at_day(21)))
    steps = [(0, "marketing"), (20, "trial"), (34, "lead"), (80, "dormant")]
    for day in (0, 19, 20, 33.99, 34, 79.99, 80, 300):
        refresh(database, ws, at_day(day))
        expected = [stage for since, stage in steps if since <= day]
        with database.web.transaction(ws) as session:
            person = one(session, "SELECT stage, status, stage_next_at FROM person")
            logged = rows(session, "SELECT stage, previous, at FROM stage_change ORDER BY at")
        if day >= 21:  # the rows were first made when the delivery came, which was on day 21
            assert person.stage == expected[-1]
            assert [row.stage for row in logged] == expected
            assert [row.previous for row in logged] == [None, *expected[:-1]]
            assert [row.at for row in logged] == [at_day(since) for since, _ in steps if since <= day]
    assert (person.status, person.stage_next_at) == ("inactive", None)


def test_who_has_paid_for_something_is_in_no_trial_of_the_window(database, ws):
    source_id = database.source(ws, "segment")
    order = track("Order Completed", message="m2", at=NOW - timedelta(days=9), revenue=12, currency="USD")
    signup = track("signup_completed", message="m1", at=NOW - timedelta(days=10))
    histories.put(database, [delivered(ws, source_id, batch(signup, order))])
    histories.drain(database, [ws])
    with database.web.transaction(ws) as session:
        entered = rows(session, "SELECT stage, at FROM stage_change ORDER BY at")
        assert [tuple(row) for row in entered] == [
            ("trial", NOW - timedelta(days=10)),
            ("lead", NOW - timedelta(days=9)),
        ]


def test_somebody_known_and_never_seen_is_dormant_until_they_come(database, ws):
    """Known by an import, silent for long, then back: the silence before the first act counts too."""
    generic = database.source(ws, "generic")
    known = {"traits": {"company": "Acme"}, "user_id": "u1", "timestamp": at_day(0).isoformat()}
    tell(
        database,
        delivered(
            ws,
            generic,
            known,
            source="generic",
            route="webhook",
            trust="signed",
            headers={"webhook-id": "1"},
            at=at_day(0),
        ),
    )
    segment = database.source(ws, "segment")
    tell(database, calls(ws, segment, track("page", "u1", at=at_day(200)), at=at_day(200)))
    refresh(database, ws, at_day(250), everyone=True)
    with database.web.transaction(ws) as session:
        logged = rows(session, "SELECT at, stage FROM stage_change ORDER BY at")
    assert logged == [(at_day(0), "lead"), (at_day(60), "dormant"), (at_day(200), "lead")]


class TakenBack(Exception):
    """Ends a transaction without a trace."""


@pytest.mark.parametrize("seed", range(2))
def test_only_those_who_are_due_need_a_refresh(database, seed):
    """Month after month, refreshing whom time moves leaves the same rows as deriving everybody from scratch."""
    (tenant,) = histories.tenants(database, "acme")
    rng = random.Random(seed)
    with database.web.transaction(tenant.id) as session:
        run(session, "UPDATE workspace SET base_currency = 'EUR'")
        dates = [(START + timedelta(days=40 * n)).date() for n in range(-2, 12)]
        rates = [
            {"date": at, "workspace_id": tenant.id, "currency": "USD", "rate": f"0.{n + 70}"}
            for n, at in enumerate(dates)
        ]
        insert(session, FxRate, rates)
    histories.put(database, histories.history(tenant, seed, 30, 2))
    histories.drain(database, [tenant.id], now=START)
    moved = 0
    for step in sorted(rng.sample(range(1, 470), 12)):
        now = START + timedelta(days=step)
        moved += refresh(database, tenant.id, now)
        with suppress(TakenBack), database.worker.transaction(tenant.id) as session:
            due = rows_of(session)
            everybody = {row.person_id for row in rows(session, "SELECT person_id FROM actor")}
            people.refresh(session, tenant.id, everybody, now)
            assert rows_of(session) == due
            raise TakenBack
    assert moved
    with database.web.transaction(tenant.id) as session:
        assert one(session, "SELECT max(mrr_micros) AS most FROM person WHERE currency = 'EUR'").most


def test_a_refresh_is_the_same_however_often(database, ws):
    segment = database.source(ws, "segment")
    tell(
        database,
        calls(ws, segment, track(at=at_day(1)), identify(email="a@acme.example", at=at_day(0)), at=at_day(2)),
    )
    refresh(database, ws, at_day(90), everyone=True)
    before = derived(database, ws)
    for _ in range(3):
        refresh(database, ws, at_day(90), everyone=True)
        assert refresh(database, ws, at_day(90)) == 0
        assert derived(database, ws) == before


def test_thresholds_are_the_workspaces_own(database):
    ws = database.workspace("slow", trial_days=30, dormant_days=10)
    segment = database.source(ws, "segment")
    tell(database, calls(ws, segment, track("signup_completed", "u1", at=at_day(0)), at=at_day(0)))
    refresh(database, ws, at_day(100), everyone=True)
    with database.web.transaction(ws) as session:
        logged = rows(session, "SELECT at, stage FROM stage_change ORDER BY at")
    assert logged == [(at_day(0), "trial"), (at_day(30), "dormant")]


def test_a_persons_life_is_that_of_all_their_identifiers(database, ws):
    """Two halves of a life, merged late: the stages are those of the whole."""
    segment = database.source(ws, "segment")
    halves = [
        track("signup_completed", "u1", message="s", at=at_day(0)),
        track("letter_sent", "u1", message="m1", at=at_day(50)),
        track("letter_sent", None, message="m2", anonymous="a1", at=at_day(100)),
        track("letter_sent", None, message="m3", anonymous="a1", at=at_day(150)),
    ]
    tell(database, calls(ws, segment, *halves, at=at_day(150)))
    refresh(database, ws, at_day(180), everyone=True)
    with database.web.transaction(ws) as session:
        assert one(session, "SELECT stage FROM person WHERE is_known").stage == "dormant"
    tell(
        database,
        calls(ws, segment, identify("u1", message=uuid.uuid4().hex, anonymous="a1", at=at_day(151)), at=at_day(151)),
    )
    refresh(database, ws, at_day(180), everyone=True)
    with database.web.transaction(ws) as session:
        logged = rows(session, "SELECT at, stage FROM stage_change ORDER BY at")
        person = one(session, "SELECT stage, active_days, core_actions FROM person")
    assert logged == [(at_day(0), "trial"), (at_day(14), "lead")]
    assert person == ("lead", 5, 3)
