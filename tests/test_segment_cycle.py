"""The cycle: only differences are written, whatever happened meanwhile, and every entry and exit is told with its reason."""

import os
import random
import shutil
import signal
import subprocess
import sys
import uuid
from datetime import timedelta

import pytest

from gdp_core.accounts.roles import Principal
from gdp_core.db import one, rows, run
from gdp_core.errors import TooMuch, Unavailable
from gdp_core.segments import cycle as cycling
from gdp_core.segments import keeping, membership, recording
from gdp_core.segments.conditions.performed import Performed
from gdp_core.segments.sharing import read_shared
from gdp_core.timeline import files

from .conftest import ROOT
from .segment_life import HOUR, Ledger, Life, performed, rule_of, within

DAY = 24 * HOUR
STEP = "segments.written"


@pytest.fixture
def life(database, ws, tmp_path):
    return Life(database, ws, tmp_path)


def told(life, segment):
    """[(person, kind, entry, reason)] of a segment, in order."""
    return [(row[1], row[2], row[4], row[6]) for row in life.transitions() if row[0] == segment.id]


# ------------------------------------------------------------------------------------------------- step by step


def test_who_enters_and_exits_is_told_with_the_reason(life):
    a, b, c = life.born(3)
    life.does(a, "order", life.now - HOUR)
    buyers = life.segment("Buyers", performed("order", "2d"))
    done = life.cycle()
    assert (done.segments, done.entered, done.exited, done.failed) == (1, 1, 0, 0)
    first = life.now
    assert life.members() == {(buyers.id, a.id): (first, 1)}
    life.now += HOUR
    life.does(b, "order", life.now - timedelta(minutes=1))
    life.cycle()
    life.now += 2 * DAY
    life.cycle()
    life.now += HOUR
    life.does(a, "order", life.now - timedelta(minutes=1))
    life.cycle()
    changed = life.keeps(
        keeping.change,
        buyers.id,
        rule_of(performed("order", "1h"), {"kind": "not", "of": [performed("x")]}),
        expected_version=1,
    )
    life.does(c, "order", life.now)
    life.now += HOUR
    life.cycle()
    assert changed.version == 2
    assert [(row[1], *row[2:]) for row in life.transitions()] == sorted(
        [
            (a.id, "entered", first, 1, 1, "first"),
            (b.id, "entered", first + HOUR, 1, 1, "facts"),
            (a.id, "exited", first + HOUR + 2 * DAY, 1, 1, "time"),
            (b.id, "exited", first + HOUR + 2 * DAY, 1, 1, "time"),
            (a.id, "entered", first + 2 * HOUR + 2 * DAY, 2, 1, "facts"),
            (a.id, "exited", first + 3 * HOUR + 2 * DAY, 2, 2, "rule"),
            (c.id, "entered", first + 3 * HOUR + 2 * DAY, 1, 2, "rule"),
        ],
        key=lambda row: (row[2], row[0]),
    )
    assert len(life.who(buyers)) == 1
    assert life.reads(keeping.read_segment, buyers.id).people == 1


def test_nothing_is_written_where_nothing_changed(life):
    people = life.born(5)
    for who in people:
        life.does(who, "order", life.now - HOUR)
    life.segment("Buyers", performed("order"))
    life.cycle()
    before = life.members(), life.transitions()
    life.now += HOUR
    done = life.cycle()
    assert (done.entered, done.exited, done.segments) == (0, 0, 1)
    assert (life.members(), life.transitions()) == before
    (kept,) = life.reads(keeping.list_segments)
    assert (kept.people, kept.evaluated_at) == (5, life.now)
    assert kept.seconds is not None


def test_a_merge_moves_the_membership_and_counts_entries_on(life):
    a, b, c = life.born(3)
    life.does(a, "order", life.now - HOUR)
    life.does(a, "view", life.now - HOUR)
    life.does(c, "order", life.now - HOUR)
    buyers = life.segment("Buyers", performed("order", "30d"))
    only_viewers = life.segment("Viewers", performed("view", "30d"), {"kind": "not", "of": [performed("visit")]})
    life.does(b, "visit", life.now - HOUR)
    life.cycle()
    life.now += HOUR
    life.merge(a, b)
    life.cycle()
    assert life.who(buyers) == {b.id, c.id}
    assert told(life, buyers)[2:] == sorted(
        [(a.id, "exited", 1, "merged"), (b.id, "entered", 2, "merged")], key=lambda row: row[0]
    )
    assert told(life, only_viewers)[1:] == [(a.id, "exited", 1, "merged")]
    life.now += HOUR
    life.merge(c, b)
    life.cycle()
    assert life.who(buyers) == {b.id}
    assert told(life, buyers)[4:] == [(c.id, "exited", 1, "merged")]
    life.now += HOUR
    life.split(a)
    life.cycle()
    assert told(life, buyers)[5:] == [(a.id, "entered", 2, "facts")]
    assert life.who(only_viewers) == {a.id}


def test_who_is_erased_leaves_nothing_behind(life):
    a, b = life.born(2)
    part = life.born()[0]
    for who in (a, b, part):
        life.does(who, "order", life.now - HOUR)
    buyers = life.segment("Buyers", performed("order"))
    life.cycle()
    life.now += HOUR
    life.merge(part, a)
    life.cycle()
    life.now += HOUR
    life.erase(a)
    assert life.reads(keeping.read_segment, buyers.id).people == 1
    life.cycle()
    assert life.who(buyers) == {b.id}
    assert [row[0] for row in told(life, buyers)] == [b.id]


def test_what_was_evaluated_before_somebody_was_erased_is_not_written_after(life, monkeypatch):
    a, b = life.born(2)
    for who in (a, b):
        life.does(who, "order", life.now - HOUR)
    buyers = life.segment("Buyers", performed("order"))
    visitors = life.segment("Visitors", performed("visit"))
    life.cycle()
    life.now += HOUR
    for who in (a, b):
        life.does(who, "visit", life.now - timedelta(minutes=1))
    write = recording.write

    def erased_meanwhile(*args):
        monkeypatch.setattr(recording, "write", write)
        life.erase(a)
        return write(*args)

    monkeypatch.setattr(recording, "write", erased_meanwhile)
    life.cycle()
    assert {kept.people for kept in life.reads(keeping.list_segments)} == {1}
    life.cycle()
    assert life.who(buyers) == {b.id}
    assert life.who(visitors) == {b.id}
    assert {row[1] for row in life.transitions()} == {b.id}


def test_no_older_timeline_brings_back_who_was_erased(life):
    a, b, part = life.born(3)
    for who in (a, b, part):
        life.does(who, "order", life.now - HOUR)
    buyers = life.segment("Buyers", performed("order"))
    quiet = life.segment("Quiet", performed("visit"))
    life.cycle()
    life.now += HOUR
    life.merge(part, a)
    for who in (a, b):
        life.does(who, "visit", life.now - timedelta(minutes=1))
    older = life.timeline()
    state = life.reads(recording.read_states)
    life.erase(a)
    assert life.reads(recording.read_states)[quiet.id] == state[quiet.id]  # they were not in it: nobody is read again
    for timeline in (older, older, life.timeline()):
        life.cycle(timeline)
        assert life.who(buyers) == life.who(quiet) == {b.id}
        assert {kept.people for kept in life.reads(keeping.list_segments)} == {1}
        life.now += HOUR
    late = life.segment("Late", performed("order"))
    life.cycle(older)
    assert life.who(late) == {b.id}
    assert {row[1] for row in life.transitions()} == {b.id}
    sizes = life.reads(membership.read_sizes, late.id, life.now - DAY, life.now + DAY)
    assert [size.people for size in sizes] == [1]


def test_forgetting_waits_for_a_cycle_that_writes_for_long_and_may_be_repeated(life, monkeypatch):
    (a,) = life.born()
    life.does(a, "order", life.now - HOUR)
    life.segment("Buyers", performed("order"))
    life.cycle()
    lock, waits = recording._lock, []

    def locked(session):
        waits.append(one(session, "SHOW lock_timeout").lock_timeout)
        lock(session)

    monkeypatch.setattr(recording, "_lock", locked)
    life.erase(a)
    life.erase(a)
    assert waits == ["10min", "10min"]
    assert life.members() == {}


def test_a_disabled_segment_keeps_its_people_and_is_caught_up_when_enabled(life):
    a, b = life.born(2)
    life.does(a, "order", life.now - HOUR)
    buyers = life.segment("Buyers", performed("order", "2d"))
    life.cycle()
    life.now += HOUR
    life.keeps(keeping.set_enabled, buyers.id, False)
    life.does(b, "order", life.now - timedelta(minutes=1))
    life.now += HOUR
    assert life.cycle().segments == 0
    assert life.who(buyers) == {a.id}
    life.now += HOUR
    life.keeps(keeping.set_enabled, buyers.id, True)
    life.now += HOUR
    life.cycle()
    assert told(life, buyers) == [(a.id, "entered", 1, "first"), (b.id, "entered", 1, "resumed")]
    life.keeps(keeping.delete, buyers.id)
    life.now += 3 * DAY
    life.cycle()
    assert len(life.transitions()) == 2
    life.keeps(keeping.restore, buyers.id)
    life.now += HOUR
    life.cycle()
    assert {row[1:] for row in told(life, buyers)[2:]} == {("exited", 1, "resumed")}


def test_one_that_fails_says_why_keeps_its_people_and_holds_nobody_up(life):
    a, b = life.born(2)
    life.does(a, "order", life.now - HOUR)
    chosen = life.list_of("Chosen", [a])
    on_it = life.segment("On it", {"kind": "list", "people": str(chosen.id)})
    made_of_it = life.segment("Made of it", within(on_it.id), performed("order"))
    buyers = life.segment("Buyers", performed("order"))
    life.cycle()
    good = life.now
    with life.database.web.transaction(life.ws) as session:
        run(session, "DELETE FROM static_list WHERE id = :id", id=chosen.id)
    life.does(b, "order", life.now)
    life.now += HOUR
    failed = life.now
    assert life.cycle().failed == 2
    life.now += HOUR
    done = life.cycle()
    assert (done.segments, done.failed, done.entered) == (1, 2, 0)
    assert life.who(buyers) == {a.id, b.id}
    for segment in (on_it, made_of_it):
        found = life.reads(keeping.read_segment, segment.id)
        assert (found.error, found.failed_at) == ("This list was deleted: choose another.", failed)
        assert (found.people, found.evaluated_at) == (1, good)
        assert life.who(segment) == {a.id}
    life.keeps(keeping.change, on_it.id, rule_of(performed("order")), expected_version=1)
    life.now += HOUR
    assert life.cycle().failed == 0
    found = life.reads(keeping.read_segment, on_it.id)
    assert (found.error, found.failed_at, found.people) == (None, None, 2)


def test_an_error_nobody_thought_of_is_the_segments_own(life, monkeypatch):
    (a,) = life.born()
    life.does(a, "order", life.now - HOUR)
    life.segment("Odd", performed("visit"))
    fine = life.segment("Fine", performed("order"))
    holds = Performed.holds
    monkeypatch.setattr(
        Performed, "holds", lambda self, facts: 1 / 0 if "visit" in self.event.names else holds(self, facts)
    )
    assert life.cycle().failed == 1
    assert life.who(fine) == {a.id}
    assert "ZeroDivisionError" in life.reads(keeping.find_segment, "Odd").error


def test_only_a_lake_that_stands_still_ends_a_cycle(life, monkeypatch):
    (a,) = life.born()
    life.does(a, "order", life.now - HOUR)
    life.segment("Heavy", performed("visit"))
    fine = life.segment("Fine", performed("order"))
    holds, raised = Performed.holds, TooMuch()

    def asked(self, facts):
        if "visit" in self.event.names:
            raise raised
        return holds(self, facts)

    monkeypatch.setattr(Performed, "holds", asked)
    assert life.cycle().failed == 1
    assert life.who(fine) == {a.id}
    assert "more memory" in life.reads(keeping.find_segment, "Heavy").error
    raised = Unavailable("The lake is away.")
    life.now += HOUR
    with pytest.raises(Unavailable):
        life.cycle()
    assert life.reads(keeping.read_segment, fine.id).evaluated_at == life.now - HOUR


def test_a_rule_that_cannot_be_read_any_more_is_the_segments_own(life):
    (a,) = life.born()
    life.does(a, "order", life.now - HOUR)
    odd, fine = life.segment("Odd", performed("order")), life.segment("Fine", performed("order"))
    made_of_it = life.segment("Made of it", within(odd.id))
    life.cycle()
    life.unread(odd, version=9)
    life.now += DAY
    done = life.cycle()
    assert (done.segments, done.failed) == (1, 2)
    assert life.who(odd) == life.who(made_of_it) == life.who(fine) == {a.id}
    with life.database.web.transaction(life.ws) as session:
        found = rows(session, "SELECT error FROM segment_state WHERE segment_id = :id", id=odd.id)
    assert "cannot read the rule" in found[0].error


def test_a_circle_that_came_to_be_is_told_of_those_in_it(life):
    (a,) = life.born()
    life.does(a, "order", life.now - HOUR)
    one = life.segment("One", performed("order"))
    two = life.segment("Two", within(one.id))
    with life.database.web.transaction(life.ws) as session:
        keeping._write(session, Principal.system(life.ws), one.id, 2, rule_of(within(two.id)), "", life.now)
        keeping._touch(session, Principal.system(life.ws), one.id, "version = 2", life.now)
    life.segment("Fine", performed("order"))
    done = life.cycle()
    assert (done.failed, done.segments) == (2, 1)
    assert "made of itself" in life.reads(keeping.find_segment, "One").error


def test_a_slow_segment_rests(life):
    (a,) = life.born()
    life.does(a, "order", life.now - HOUR)
    slow, fine = life.segment("Slow", performed("order", "2d")), life.segment("Fine", performed("order"))
    life.cycle()
    with life.database.worker.transaction(life.ws) as session:
        run(session, "UPDATE segment_state SET seconds = 30 WHERE segment_id = :id", id=slow.id)
    life.now += timedelta(seconds=100)
    done = life.cycle()
    assert (done.segments, done.postponed) == (1, 1)
    assert life.reads(keeping.read_segment, fine.id).evaluated_at == life.now
    life.now += timedelta(seconds=21)
    assert life.cycle().segments == 2
    with life.database.worker.transaction(life.ws) as session:
        run(session, "UPDATE segment_state SET seconds = 30 WHERE segment_id = :id", id=slow.id)
    life.keeps(keeping.change, slow.id, rule_of(performed("order", "3d")), expected_version=1)
    life.now += timedelta(seconds=1)
    assert life.cycle().segments == 2


def test_a_slow_segment_that_fails_rests_too(life, monkeypatch):
    (a,) = life.born()
    life.does(a, "order", life.now - HOUR)
    odd = life.segment("Odd", performed("visit"))
    life.segment("Fine", performed("order"))
    holds = Performed.holds
    monkeypatch.setattr(
        Performed, "holds", lambda self, facts: 1 / 0 if "visit" in self.event.names else holds(self, facts)
    )
    for before in (None, life.now):  # it never was counted; it was, but for its new rule
        assert life.cycle().failed == 1
        with life.database.worker.transaction(life.ws) as session:
            run(session, "UPDATE segment_state SET seconds = 30 WHERE segment_id = :id", id=odd.id)
            if before:
                run(session, "UPDATE segment_state SET evaluated_at = :at, definition = 'x'", at=before)
        life.now += timedelta(seconds=100)
        done = life.cycle()
        assert (done.segments, done.failed, done.postponed) == (1, 0, 1)
        life.now += timedelta(seconds=21)
    assert "ZeroDivisionError" in life.reads(keeping.find_segment, "Odd").error
    life.cycle()
    with life.database.worker.transaction(life.ws) as session:
        run(session, "UPDATE segment_state SET seconds = 30 WHERE segment_id = :id", id=odd.id)
    life.keeps(keeping.change, odd.id, rule_of(performed("order")), expected_version=1)
    life.now += timedelta(seconds=1)
    assert life.cycle().segments == 2


def test_those_that_are_slow_come_after_the_others_were_written(life, monkeypatch):
    (a,) = life.born()
    slow, fine = life.segment("Slow", performed("visit", "2d")), life.segment("Fine", performed("order"))
    life.cycle()
    with life.database.worker.transaction(life.ws) as session:
        run(session, "UPDATE segment_state SET seconds = 30 WHERE segment_id = :id", id=slow.id)
    life.does(a, "order", life.now)
    life.does(a, "visit", life.now)
    life.now += HOUR
    holds = Performed.holds

    def asked(self, facts):
        if "visit" in self.event.names:
            assert life.who(fine) == {a.id}
            raise Unavailable("The lake is away.")
        return holds(self, facts)

    with monkeypatch.context() as patched:
        patched.setattr(Performed, "holds", asked)
        with pytest.raises(Unavailable):
            life.cycle()
    last = life.cycles()[0]
    assert (last.at, last.segments, last.entered) == (life.now, 1, 1)
    life.now += timedelta(seconds=10)
    done = life.cycle()
    assert (done.segments, done.entered) == (2, 1)
    assert life.who(slow) == {a.id}


def test_what_cannot_be_written_is_told_and_holds_nobody_up(life, monkeypatch):
    monkeypatch.setattr(cycling, "_BATCH", 1)
    a, b = life.born(2)
    first, odd, last = (life.segment(name, performed("order")) for name in ("First", "Odd", "Last"))
    life.cycle()
    life.does(a, "order", life.now)
    life.now += HOUR
    write, read = recording.write, recording._read

    def refused(pool, ws, group, *more):
        if any(one.segment_id == odd.id for one in group):
            raise Unavailable("Something else was changing this.")
        return write(pool, ws, group, *more)

    with monkeypatch.context() as patched:
        patched.setattr(recording, "write", refused)
        done = life.cycle()
    assert (done.segments, done.failed, done.entered) == (2, 1, 2)
    assert life.who(first) == life.who(last) == {a.id}
    found = life.reads(keeping.read_segment, odd.id)
    assert found.error == "Its entries and exits could not be written: Something else was changing this."
    assert (found.failed_at, found.people) == (life.now, 0)
    life.does(b, "order", life.now)
    life.now += HOUR
    asked = []
    monkeypatch.setattr(recording, "_read", lambda *args: asked.append(args[2]) or read(*args))
    monkeypatch.setattr(cycling, "_BATCH", 10)
    assert life.cycle().entered == 4
    assert life.who(odd) == {a.id, b.id}
    assert asked == []  # what was written was remembered
    assert life.reads(keeping.read_segment, odd.id).error is None


def test_what_very_many_moved_by_is_asked_of_each_segment_alone(life, monkeypatch):
    a, b, c = life.born(3)
    for who in (a, b, c):
        life.does(who, "order", life.now - HOUR)
    life.does(a, "visit", life.now - HOUR)
    many, few = life.segment("Many", performed("order", "2d")), life.segment("Few", performed("visit", "2d"))
    edited = life.segment("Edited", performed("order", "2d"))
    life.cycle()
    life.keeps(keeping.change, edited.id, rule_of(performed("order", "1d")), expected_version=1)
    life.now += 3 * DAY
    monkeypatch.setattr(cycling, "_BATCH", 2)
    asked, some = [], cycling.some
    monkeypatch.setattr(cycling, "some", lambda line, places: asked.append(len(places)) or some(line, places))
    life.cycle()
    assert sorted(asked) == [1, 3]
    assert {row[3] for row in told(life, many) + told(life, few)} == {"first", "time"}
    assert {row[3] for row in told(life, edited)} == {"first", "rule"}


def test_who_becomes_somebody_else_while_a_segment_rests_is_still_known_to_be_in_it(life):
    a, b, c = life.born(3)
    for who in (a, b):
        life.does(who, "order", life.now - HOUR)
    slow, other = life.segment("Slow", performed("order")), life.segment("Other", performed("visit"))
    life.cycle()
    with life.database.worker.transaction(life.ws) as session:
        run(session, "UPDATE segment_state SET seconds = 600 WHERE segment_id = :id", id=slow.id)
    life.merge(a, c)
    life.does(b, "visit", life.now)
    life.now += timedelta(seconds=10)
    assert life.cycle().postponed == 1
    assert life.who(other) == {b.id}
    assert life.who(slow) == {a.id, b.id}
    life.now += HOUR
    life.cycle()
    assert life.who(slow) == {b.id, c.id}
    assert {row[1:] for row in told(life, slow)[2:]} == {("exited", 1, "merged"), ("entered", 2, "merged")}


def test_what_changes_for_very_many_is_written_in_parts_and_holds_nobody_up(life, monkeypatch):
    monkeypatch.setattr(cycling, "_BATCH", 3)
    monkeypatch.setattr(cycling, "_AT_ONCE", 4)
    monkeypatch.setattr(recording, "_STATEMENT", 2)
    people = life.born(11)
    for number, who in enumerate(people):
        life.does(who, "order", life.now - HOUR)
        life.does(who, "visit" if number < 2 else "view", life.now - HOUR)
    large, small = life.segment("Large", performed("order", "3d")), life.segment("Small", performed("visit"))
    other = life.segment("Other", performed("view"))
    began = life.now
    done = life.cycle()
    assert (done.segments, done.postponed, done.entered) == (2, 2, 6)
    assert len(life.who(small)) == 2
    assert len(life.who(other)) == 4
    assert life.who(large) == set()
    first = life.reads(keeping.read_segment, other.id)
    assert (first.people, first.pending, first.evaluated_at) == (4, 5, None)
    life.merge(people[3], people[4])  # both are in it, or one of them is not yet
    for _ in range(6):
        life.now += timedelta(seconds=10)
        if not life.cycle().postponed:
            break
    assert life.who(large) == {who.id for who in people if not who.into}
    assert life.who(other) == {who.id for who in people[2:] if not who.into}
    whole = life.reads(keeping.read_segment, large.id)
    assert (whole.people, whole.pending, whole.evaluated_at) == (10, 0, life.now)
    assert whole.evaluated_at > began
    life.now += timedelta(days=4)
    left = []
    while life.cycle().postponed:
        now = life.reads(keeping.read_segment, large.id)
        left.append((now.people, now.pending, now.evaluated_at))
        life.now += timedelta(seconds=10)
    assert left == [(6, 6, whole.evaluated_at), (2, 2, whole.evaluated_at)]
    assert life.who(large) == set()
    assert [row[1:] for row in told(life, large)].count(("exited", 1, "time")) == 10
    assert {row[2] for row in told(life, large)} == {1}


def test_whom_segments_share_is_told_from_what_is_remembered_and_else_from_postgres(life):
    people = life.born(9)
    for place, who in enumerate(people):
        life.does(who, "order", life.now - HOUR)
        life.does(who, "visit" if place < 4 else "view", life.now - HOUR)
    names = ("order", "visit", "view", "nothing")
    buyers, visitors, viewers, nobody = (life.segment(name, performed(name)) for name in names)
    gone = life.segment("Gone", performed("order"))
    life.cycle()
    life.keeps(keeping.delete, gone.id)
    life.keeps(keeping.set_enabled, viewers.id, False)

    def shared(segment):
        return [(one.name, one.people, one.both) for one in life.reads(read_shared, segment.id, life.folder)]

    def expected():
        return [("view", 5, 5), ("visit", 4, 4)], [("order", 9, 4)]

    assert (shared(buyers), shared(visitors)) == expected()
    assert shared(nobody) == []
    with life.database.worker.transaction(life.ws) as session:
        kept = rows(session, "DELETE FROM segment_member WHERE segment_id = :id RETURNING 1", id=visitors.id)
        assert len(kept) == 4
    assert (shared(buyers), shared(visitors)) == expected()  # from memory: its mark says that nobody wrote since
    with life.database.worker.transaction(life.ws) as session:
        run(session, "UPDATE segment_state SET mark = gen_random_uuid() WHERE segment_id = :id", id=visitors.id)
    assert (shared(buyers), shared(visitors)) == ([("view", 5, 5)], [])
    shutil.rmtree(life.folder)
    assert shared(buyers) == [("view", 5, 5)]


@pytest.mark.parametrize("forgets", [False, True])
def test_a_part_that_was_written_is_known_to_be_whoever_remembers_it(life, monkeypatch, forgets):
    monkeypatch.setattr(cycling, "_BATCH", 1)
    monkeypatch.setattr(cycling, "_AT_ONCE", 2)
    people = life.born(5)
    for who in people:
        life.does(who, "order", life.now - HOUR)
    all_of_them = life.segment("All", performed("order"))
    while life.cycle().postponed:
        if forgets:
            shutil.rmtree(life.folder)
        life.now += timedelta(seconds=10)
    assert life.who(all_of_them) == {who.id for who in people}
    assert [row[1:] for row in told(life, all_of_them)] == [("entered", 1, "first")] * 5


def test_entries_are_counted_on_while_parts_of_the_first_wait(life, monkeypatch):
    monkeypatch.setattr(cycling, "_BATCH", 1)
    monkeypatch.setattr(cycling, "_AT_ONCE", 1)
    a, b, c = life.born(3)
    for who in (a, b):
        life.does(who, "order", life.now - HOUR)
    segment = life.segment("All", performed("order"))
    assert life.cycle().entered == 1
    assert life.who(segment) == {a.id}
    life.merge(a, c)
    monkeypatch.setattr(cycling, "_BATCH", 10)
    life.now += timedelta(seconds=10)
    assert life.cycle().postponed == 0
    assert life.members()[segment.id, c.id][1] == 2
    assert life.members()[segment.id, b.id][1] == 1


def test_who_becomes_somebody_else_while_parts_wait_stays_known(life, monkeypatch):
    a, b, c, *others = life.born(6)
    for who in (a, b, c):
        life.does(who, "order", life.now - HOUR)
    large = life.segment("Large", performed("order", "2d"))
    life.cycle()
    monkeypatch.setattr(cycling, "_BATCH", 1)
    monkeypatch.setattr(cycling, "_AT_ONCE", 1)
    for who, into in zip((a, b, c), others, strict=True):
        life.merge(who, into)
    life.now += timedelta(days=3)
    while life.cycle().postponed:
        life.now += timedelta(seconds=10)
    assert life.who(large) == set()
    assert [row[1] for row in told(life, large)] == ["entered"] * 3 + ["exited"] * 3


def test_a_clock_that_goes_back_undoes_nothing(life):
    (a,) = life.born()
    life.does(a, "order", life.now - HOUR)
    life.segment("Buyers", performed("order", "2d"))
    life.cycle()
    first = life.now
    life.now -= timedelta(minutes=4)
    done = life.cycle()
    assert (done.at, done.entered, done.exited) == (first, 0, 0)


def test_a_clock_that_was_far_ahead_is_not_waited_for(life):
    (a,) = life.born()
    life.does(a, "order", life.now - HOUR)
    buyers = life.segment("Buyers", performed("order", "2d"))
    slow = life.segment("Slow", performed("order", "3d"))
    life.cycle()
    right = life.now
    life.now += 30 * DAY
    life.cycle()
    assert life.who(buyers) == set()
    with life.database.worker.transaction(life.ws) as session:
        run(session, "UPDATE segment_state SET seconds = 600 WHERE segment_id = :id", id=slow.id)
    life.now = right + HOUR
    done = life.cycle()
    assert (done.at, done.entered, done.postponed) == (life.now, 2, 0)
    assert told(life, buyers)[-1][1:] == ("exited", 1, "time")  # by its instant, which is ahead
    assert life.members()[buyers.id, a.id] == (life.now, 2)
    life.now += HOUR
    assert life.cycle().at == life.now
    assert life.reads(keeping.read_segment, buyers.id).evaluated_at == life.now


# ------------------------------------------------------------------------------------- whatever happens meanwhile


def test_two_cycles_at_once_do_it_once(life):
    (a,) = life.born()
    life.does(a, "order", life.now - HOUR)
    buyers = life.segment("Buyers", performed("order"))
    with files.alone(life.folder / life.ws.hex / "segments"):
        assert life.cycle().segments == 0
    assert life.who(buyers) == set()
    life.cycle()
    assert life.who(buyers) == {a.id}


def test_of_two_machines_one_writes(life, tmp_path, monkeypatch):
    a, b = life.born(2)
    life.does(a, "order", life.now - HOUR)
    buyers = life.segment("Buyers", performed("order"))
    life.cycle()
    life.now += HOUR
    life.does(b, "order", life.now - timedelta(minutes=1))
    other = Life(life.database, life.ws, tmp_path / "another machine")
    other.people, other.now = life.people, life.now
    write = recording.write

    def overtaken(*args):
        monkeypatch.setattr(recording, "write", write)
        assert other.cycle().entered == 1
        return write(*args)

    monkeypatch.setattr(recording, "write", overtaken)
    assert life.cycle().entered == 0
    assert told(life, buyers) == [(a.id, "entered", 1, "first"), (b.id, "entered", 1, "facts")]
    life.now += HOUR
    assert life.cycle().entered == 0
    assert life.who(buyers) == {a.id, b.id}


@pytest.mark.parametrize("lost", ["file", "postgres", "mark"])
def test_where_file_and_postgres_differ_postgres_is_asked(life, lost):
    people = life.born(4)
    for who in people:
        life.does(who, "order", life.now - HOUR)
    buyers = life.segment("Buyers", performed("order"))
    life.cycle()
    before = life.transitions()
    if lost == "file":
        for path in (life.folder / life.ws.hex / "segments" / "written").iterdir():
            path.unlink()
    else:  # as after a restored backup
        with life.database.worker.transaction(life.ws) as session:
            run(session, "UPDATE segment_state SET mark = gen_random_uuid()")
            if lost == "postgres":
                run(session, "DELETE FROM segment_member WHERE person_id = :id", id=people[0].id)
    life.now += HOUR
    life.cycle()
    assert life.who(buyers) == {who.id for who in people}
    assert len(life.transitions()) == len(before) + (1 if lost == "postgres" else 0)
    life.now += HOUR
    life.cycle()
    assert len(life.transitions()) == len(before) + (1 if lost == "postgres" else 0)


def test_a_cycle_that_died_before_it_remembered_is_made_good(life, monkeypatch):
    a, b = life.born(2)
    life.does(a, "order", life.now - HOUR)
    buyers, visitors = life.segment("Buyers", performed("order")), life.segment("Visitors", performed("visit"))
    life.cycle()
    life.does(b, "order", life.now)
    life.does(b, "visit", life.now)
    life.now += HOUR

    def dies(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(recording.Memory, "write", dies)
        with pytest.raises(KeyboardInterrupt):
            life.cycle()
    assert life.who(buyers) == {a.id, b.id}
    for who in (a, b):
        life.does(who, "view", life.now)
    life.now += HOUR
    assert life.cycle().entered == 0
    assert told(life, buyers) == [(a.id, "entered", 1, "first"), (b.id, "entered", 1, "facts")]
    assert told(life, visitors) == [(b.id, "entered", 1, "facts")]


@pytest.mark.parametrize("mutant", ["none", "lasting_mark"])
def test_a_cycle_killed_between_postgres_and_the_file_leaves_nobody_in_for_good(life, monkeypatch, mutant):
    """Who entered just before the death and is out again by the next cycle; the mutant remembers they never were in."""
    people = life.born(3)
    buyers = life.segment("Buyers", performed("order", "1h"))
    if mutant != "none":
        monkeypatch.setattr(recording, "uuid4", lambda: uuid.UUID(int=1))
    life.cycle()
    life.now += HOUR
    environment = os.environ | {"DATABASE_URL": life.database.dsn, "GDP_FAILPOINT": f"{STEP}:kill"}
    command = [
        sys.executable,
        "-m",
        "tests.segment_writer",
        str(life.folder),
        str(life.ws),
        life.now.isoformat(),
        mutant,
    ]
    done = subprocess.run(command, cwd=ROOT, env=environment, check=False, capture_output=True, timeout=240)
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()
    assert life.who(buyers) == {who.id for who in people}
    life.now += DAY
    life.cycle()
    is_right = life.who(buyers) == set() and len(life.transitions()) == 6
    assert is_right == (mutant == "none")


# ------------------------------------------------------------------------------------------------- any life at all


def _lives_on(life, rng):
    """Something happens, often several things at once."""
    present = life.present()
    for _ in range(rng.randrange(4)):
        who = rng.choice(present)
        ago = rng.choice([timedelta(0), timedelta(minutes=rng.randrange(600)), rng.randrange(5) * DAY])
        life.does(who, rng.choice(["order", "visit", "view"]), life.now - ago + rng.choice([timedelta(0), HOUR]))
    happening = rng.randrange(12)
    if happening == 0:
        life.born(rng.randrange(1, 3))
    elif happening in (1, 2) and len(present) > 3:
        life.merge(*rng.sample(present, 2))
    elif happening == 3 and (parts := [one for one in life.people if one.into in present]):
        life.split(rng.choice(parts))
    elif happening == 4 and len(present) > 6:
        return rng.choice(present)
    elif happening == 5:
        who = rng.choice(present)
        who.live = not who.live
    elif happening == 6:
        rng.choice(present).traits["plan"] = rng.choice(["pro", "free"])
    elif happening == 7:
        for path in (life.folder / life.ws.hex / "segments" / "written").glob("*"):
            path.unlink()
    return None


def _edits(life, rng):
    segments = life.reads(keeping.list_segments)
    chosen = rng.choice(segments)
    match rng.randrange(8):
        case 0 if chosen.enabled:
            window = f"{rng.randrange(1, 6)}d"
            rule = rule_of(performed(rng.choice(["order", "visit"]), window))
            if not chosen.rule.uses.segments:
                life.keeps(keeping.change, chosen.id, rule, expected_version=chosen.version)
        case 1:
            life.keeps(keeping.set_enabled, chosen.id, not chosen.enabled)


@pytest.mark.parametrize("seed", [0, 1, *(pytest.param(seed, marks=pytest.mark.heavy) for seed in range(2, 12))])
def test_a_life_in_cycles_ends_as_if_each_was_reckoned_from_scratch(life, seed):
    rng = random.Random(seed)
    life.born(8)
    ledger = Ledger(life)
    buyers = life.segment("Buyers", performed("order", "2d"))
    life.segment("Not buyers who visit", within(buyers.id, member=False), performed("visit", "4d"))
    life.segment("Never", performed("view", how="exactly", times=0))
    life.segment("Pro", {"kind": "person", "field": "plan", "op": "is", "values": ["pro"]})
    life.segment("Half", {"kind": "random", "low": 0, "high": 50, "seed": "x"}, performed("visit", "3d"))
    life.segment("Sleepy", {"kind": "feature", "feature": "days_since_last_active", "op": "gte", "values": [2]})
    stored = {}
    for _ in range(30):
        erased = _lives_on(life, rng)
        _edits(life, rng)
        life.now += rng.choice([timedelta(seconds=10), HOUR, timedelta(hours=rng.randrange(1, 40))])
        life.cycle()
        ledger.cycle()
        assert life.members() == ledger.members
        stored[life.now] = set(life.members())
        if erased:
            gone = {one.id for one in (erased, *erased.parts)}
            life.erase(erased)
            ledger.members = {key: told for key, told in ledger.members.items() if key[1] not in gone}
            ledger.transitions = [row for row in ledger.transitions if row[1] not in gone]
            stored = {at: {key for key in keys if key[1] not in gone} for at, keys in stored.items()}
    order = lambda row: (row[3], row[0], row[1], row[2] == "entered")  # noqa: E731
    assert sorted(life.transitions(), key=order) == sorted(ledger.transitions, key=order)
    assert {row[6] for row in ledger.transitions} >= {"facts", "time"}
    for segment in life.reads(keeping.list_segments):
        assert life.reads(keeping.read_segment, segment.id).people == len(life.who(segment))
        for at in rng.sample(sorted(stored), 6):
            found = life.who_at(segment, at + timedelta(seconds=1))
            assert found == {person for key, person in stored[at] if key == segment.id}
