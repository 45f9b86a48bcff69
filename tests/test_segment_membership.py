"""Reading who is in a segment: pages, the feed of entries and exits, sizes and flows by day, and who was in it when."""

import uuid
from datetime import UTC, date, datetime, timedelta

import pytest

from gdp_core import clock
from gdp_core.accounts.roles import Principal
from gdp_core.db import one, rows
from gdp_core.lake.connection import Lake
from gdp_core.lake.upkeep import erase
from gdp_core.segments import keeping, membership
from gdp_core.segments.cycle import run_cycle
from gdp_core.segments.membership import Flow, Size
from gdp_core.segments.recording import forget, quarter_of
from gdp_core.tables.segments import REASONS

from .conftest import NOW
from .segment_life import HOUR, Life, performed, rule_of
from .test_features_kept import World
from .test_pipeline import identify, track

DAY = 24 * HOUR


@pytest.fixture
def life(database, ws, tmp_path):
    return Life(database, ws, tmp_path)


def in_steps(life, steps):
    """A segment of who ordered in two days; at each step so many new people order, and an hour passes."""
    buyers = life.segment("Buyers", performed("order", "2d"))
    for many in steps:
        for who in life.born(many):
            life.does(who, "order", life.now - timedelta(seconds=1))
        life.cycle()
        life.now += HOUR
    return buyers


def test_pages_lead_through_everybody_once_the_newest_first(life):
    buyers = in_steps(life, [5, 4, 3])
    found, after = [], None
    while page := life.reads(membership.read_members, buyers.id, after=after, size=5):
        assert len(page) == 5 or len(found) == 10
        found += page
        after = page[-1].entered_at, page[-1].person_id
    assert [one.entered_at for one in found] == [NOW + 2 * HOUR] * 3 + [NOW + HOUR] * 4 + [NOW] * 5
    assert {one.person_id for one in found} == life.who(buyers)
    assert len(found) == 12


def test_somebody_is_found_by_any_id_they_had(life):
    buyers = in_steps(life, [2])
    a, b = life.people
    (stranger,) = life.born()
    other = life.segment("All", performed("order"))
    life.merge(a, b)
    life.now += HOUR
    life.cycle()
    for who in (a, b):
        assert life.reads(membership.find_member, buyers.id, who.id).person_id == b.id
        assert set(life.reads(membership.segments_of, who.id)) == {buyers.id, other.id}
        told = life.reads(membership.read_transitions, segment_id=buyers.id, person_id=who.id)
        assert {(one.person_id, one.kind) for one in told} == {(a.id, "entered"), (a.id, "exited"), (b.id, "entered")}
    for who in (stranger.id, uuid.uuid4()):
        assert life.reads(membership.find_member, buyers.id, who) is None
        assert life.reads(membership.segments_of, who) == {}
    life.keeps(keeping.delete, other.id)
    assert set(life.reads(membership.segments_of, a.id)) == {buyers.id}


def test_the_feed_tells_each_transition_once_in_order(life):
    buyers = in_steps(life, [3, 2, 2])
    life.segment("Others", performed("visit", how="exactly", times=0))
    life.now += 2 * DAY
    life.cycle()
    found, after = [], 0
    while page := life.reads(membership.read_transitions, after=after, size=4):
        found += page
        after = page[-1].seq
    assert len(found) == len(life.transitions()) == 7 + 7 + 7
    assert [one.seq for one in found] == sorted({one.seq for one in found})
    assert [one.at for one in found] == sorted(one.at for one in found)
    of_one = life.reads(membership.read_transitions, segment_id=buyers.id)
    assert of_one == [one for one in found if one.segment_id == buyers.id]
    back = life.reads(membership.read_transitions, segment_id=buyers.id, newest_first=True, size=5)
    again = life.reads(
        membership.read_transitions, segment_id=buyers.id, newest_first=True, size=50, after=back[-1].seq
    )
    assert [*back, *again] == of_one[::-1]
    assert {one.reason for one in found} <= set(REASONS)


def test_sizes_are_those_after_each_change_and_what_was_before(life):
    buyers = in_steps(life, [3, 2])
    life.now += 2 * DAY
    life.cycle()
    whole = life.reads(membership.read_sizes, buyers.id, NOW - DAY, NOW + 10 * DAY)
    assert whole == [Size(NOW, 3), Size(NOW + HOUR, 5), Size(NOW + 2 * DAY + 2 * HOUR, 0)]
    part = life.reads(membership.read_sizes, buyers.id, NOW + DAY, NOW + 10 * DAY)
    assert part == [Size(NOW + DAY, 5), whole[-1]]
    assert life.reads(membership.read_sizes, buyers.id, NOW - DAY, NOW) == []


def test_flows_are_by_local_day(life):
    life.now = datetime(2026, 3, 7, 17, 0, tzinfo=UTC)  # half past ten in the evening in India
    buyers = in_steps(life, [3, 2])  # 17:00 and 18:00
    life.now = datetime(2026, 3, 7, 18, 40, tzinfo=UTC)  # ten past midnight
    life.does(life.born()[0], "order", life.now - HOUR)
    life.cycle()
    life.now += 2 * DAY
    life.cycle()
    days = [date(2026, 3, day) for day in (7, 8, 9, 10)]
    told = life.reads(membership.read_flow, buyers.id, days[0], days[-1], "Asia/Kolkata")
    assert told == [Flow(days[0], 5, 0), Flow(days[1], 1, 0), Flow(days[2], 0, 0), Flow(days[3], 0, 6)]
    told = life.reads(membership.read_flow, buyers.id, days[0], days[-1], "UTC")
    assert told == [Flow(days[0], 6, 0), Flow(days[1], 0, 0), Flow(days[2], 0, 6), Flow(days[3], 0, 0)]


@pytest.mark.parametrize("offset", [0, 1, 14, 15, 29, 59])
def test_a_quarter_begins_with_every_local_day(offset):
    at = datetime(2026, 3, 7, 18, offset, 59, 999_999, tzinfo=UTC)
    found = quarter_of(at)
    assert found <= at < found + timedelta(minutes=15)
    assert (found.minute % 15, found.second, found.microsecond) == (0, 0, 0)


def test_who_was_in_it_at_any_instant(life):
    buyers = in_steps(life, [2, 1])
    first, second = life.people[:2], life.people[2:]
    life.now += 2 * DAY - 2 * HOUR
    life.cycle()  # the first two are out
    out = life.now
    everybody = {who.id for who in life.people}
    for at, expected in (
        (NOW - timedelta(microseconds=1), set()),
        (NOW, {who.id for who in first}),
        (NOW + HOUR - timedelta(microseconds=1), {who.id for who in first}),
        (NOW + HOUR, everybody),
        (out, {who.id for who in second}),
        (out + 100 * DAY, {who.id for who in second}),
    ):
        assert life.who_at(buyers, at) == expected
    cycles = life.cycles()
    assert [(one.at, one.entered, one.exited) for one in cycles] == [(out, 0, 2), (NOW + HOUR, 1, 0), (NOW, 2, 0)]
    assert cycles[0].complete_at == out


def test_quiet_cycles_are_kept_for_two_days(life):
    in_steps(life, [1])
    for _ in range(5):
        life.now += 12 * HOUR
        life.cycle()
    life.now += 2 * DAY
    life.cycle()
    kept = life.cycles()
    assert [one.at for one in kept if one.entered or one.exited] == [NOW + HOUR + 2 * DAY, NOW]
    assert min(one.at for one in kept if not one.entered and not one.exited) >= life.now - 2 * DAY


# ------------------------------------------------------------------------------- of a lake, merges and an erasure


def test_people_of_the_lake_become_one_and_are_forgotten(database, tmp_path):
    with Lake(database.dsn, str(tmp_path / "lake"), memory="500MB") as lake:
        world = World(database, lake, tmp_path / "timeline", database.workspace())
        with database.web.transaction(world.ws) as session:
            rule = rule_of(performed("letter_sent", "90d"))
            kept = keeping.create(session, Principal.system(world.ws), "Senders", rule, now=NOW)

        def cycle(now):
            return run_cycle(database.worker, world.ws, world.timeline(), world.folder, now)

        def read(ask, *args, **more):
            with database.web.transaction(world.ws, read_only=True) as session:
                return ask(session, *args, **more)

        world.hears(
            track("letter_sent", "u1", message="m1", at=NOW - DAY),
            {**track("letter_sent", message="m2", at=NOW - 2 * DAY), "anonymousId": "a1", "userId": None},
            track("letter_sent", "u2", message="m3", at=NOW - DAY),
        )
        assert cycle(NOW).entered == 3
        world.hears({**identify("u1", message="i1"), "anonymousId": "a1"})
        later = NOW + timedelta(seconds=10)
        done = cycle(later)
        assert (done.entered, done.exited) == (0, 1)
        (exited,) = [one for one in read(membership.read_transitions) if one.kind == "exited"]
        assert (exited.reason, exited.at) == ("merged", later)
        found = read(rows, "SELECT person_id, external_id FROM actor WHERE external_id IN ('u1', 'u2', 'a1')")
        person = {row.external_id: row.person_id for row in found}
        assert exited.person_id != person["u1"] == person["a1"]
        assert read(membership.read_members, kept.id, size=9)[0].entered_at == NOW
        erase(lake, database.worker, world.ws, person["u1"], clock.now())
        world.timeline()
        assert forget(database.worker, world.ws, person["u1"]) == 4
        cycle(NOW + HOUR)
        assert [one.person_id for one in read(membership.read_transitions)] == [person["u2"]]
        assert [one.person_id for one in read(membership.read_members_at, kept.id, NOW + DAY)[0]] == [person["u2"]]
        assert read(one, "SELECT people FROM segment_state").people == 1
