"""A workspace whose people live: what they do, become and are forgotten, in plain lists, as a timeline and in Postgres.

And what its segments should have come to, reckoned anew at every cycle without anything that was kept.
"""

import json
import uuid
from dataclasses import dataclass, field, replace
from datetime import timedelta

import numpy as np

from gdp_core import reports
from gdp_core.accounts.roles import Principal
from gdp_core.analytics.calendar import micros
from gdp_core.db import insert, rows, run
from gdp_core.segments import keeping, membership
from gdp_core.segments.cycle import run_cycle
from gdp_core.segments.facts import Facts
from gdp_core.segments.recording import forget
from gdp_core.segments.rules import read
from gdp_core.segments.surroundings import read_surroundings
from gdp_core.tables.people import Actor

from .conftest import NOW
from .timelines import Happened, Somebody, timeline_of

HOUR = timedelta(hours=1)


def rule_of(*conditions, kind="all"):
    return read({"version": 1, "match": {"kind": kind, "of": list(conditions)}})


def performed(name, last=None, **more):
    when = {"when": {"last": last}} if last else {}
    return {"kind": "performed", "event": {"names": [name]}, **when, **more}


def within(segment_id, *, member=True):
    return {"kind": "segment", "segment": str(segment_id), "member": member}


@dataclass(eq=False)
class Being:
    """Somebody: events, traits, and whom they became part of."""

    id: uuid.UUID
    number: int
    events: list = field(default_factory=list)
    traits: dict = field(default_factory=dict)
    live: bool = True
    into: "Being | None" = None
    parts: list = field(default_factory=list)
    gone: bool = False


class Life:
    """A workspace with people, segments and a clock that the test moves."""

    def __init__(self, database, ws, folder):
        self.database, self.ws, self.folder = database, ws, folder
        self.now = NOW
        self.people: list[Being] = []

    # ------------------------------------------------------------------------------------------------- people

    def born(self, count=1):
        ids = [uuid.uuid5(self.ws, f"being {len(self.people) + n}") for n in range(count)]
        base = {"workspace_id": self.ws, "namespace": "user", "is_primary": True, "personless": False, "event_count": 0}
        made = [
            base | {"id": i, "external_id": i.hex, "cluster_id": i, "person_id": i, "applied_at": NOW.isoformat()}
            for i in ids
        ]
        with self.database.worker.transaction(self.ws) as session:
            insert(session, Actor, made)
            numbers = {row.id: row.number for row in rows(session, "SELECT id, number FROM actor")}
        found = [Being(i, numbers[i]) for i in ids]
        self.people += found
        return found

    def present(self):
        return sorted((one for one in self.people if one.into is None and not one.gone), key=lambda one: one.number)

    def does(self, who, name, at=None, **properties):
        who.events.append(Happened(micros(at or self.now), name, properties))

    def merge(self, absorbed, into):
        absorbed.into = into
        into.parts += [absorbed, *absorbed.parts]
        self._belong([absorbed, *absorbed.parts], into)

    def split(self, part):
        """Who became part of another is somebody again, with whoever was part of them."""
        whole = part.into
        part.into = None
        whole.parts = [one for one in whole.parts if one is not part and one not in part.parts]
        self._belong([part, *part.parts], part)

    def _belong(self, parts, into):
        with self.database.worker.transaction(self.ws) as session:
            ids = [one.id for one in parts]
            run(session, "UPDATE actor SET person_id = :into WHERE id = ANY(:ids)", into=into.id, ids=ids)

    def erase(self, who):
        for one in (who, *who.parts):
            one.gone = True
        forget(self.database.worker, self.ws, who.id)

    def timeline(self):
        told = [
            Somebody([event for one in (who, *who.parts) for event in one.events], who.traits, who.live)
            for who in self.present()
        ]
        found = timeline_of(told, shards=2, watermark=micros(self.now), names=("order", "visit", "view"))
        return replace(found, numbers=np.array([who.number for who in self.present()], np.int64))

    # ----------------------------------------------------------------------------------------------- segments

    def keeps(self, act, *args, **more):
        with self.database.web.transaction(self.ws) as session:
            return act(session, Principal.system(self.ws), *args, now=self.now, **more)

    def reads(self, ask, *args, **more):
        with self.database.web.transaction(self.ws, read_only=True) as session:
            return ask(session, *args, **more)

    def segment(self, name, *conditions, **more):
        return self.keeps(keeping.create, name, rule_of(*conditions), **more)

    def unread(self, segment, **given):
        """A rule of another release is kept as the next version of a segment."""
        with self.database.web.transaction(self.ws) as session:
            version = segment.version + 1
            run(
                session,
                "INSERT INTO segment_version (segment_id, workspace_id, version, rule, note, created_at)"
                " VALUES (:id, app_ws(), :version, CAST(:rule AS jsonb), '', :now)",
                id=segment.id,
                version=version,
                rule=json.dumps(given),
                now=self.now,
            )
            run(session, "UPDATE segment SET version = :version WHERE id = :id", id=segment.id, version=version)

    def list_of(self, name, people):
        return self.keeps(reports.save_list, name, [one.id for one in people])

    def cycle(self, timeline=None):
        return run_cycle(self.database.worker, self.ws, timeline or self.timeline(), self.folder, self.now)

    def surroundings(self):
        return self.reads(read_surroundings, timezone="UTC")

    def members(self):
        """{(segment, person): (since when, which entry)}"""
        with self.database.web.transaction(self.ws, read_only=True) as session:
            found = rows(session, "SELECT segment_id, person_id, entered_at, entry FROM segment_member")
        return {(row.segment_id, row.person_id): (row.entered_at, row.entry) for row in found}

    def transitions(self):
        """Every one, in order of what it says."""
        with self.database.web.transaction(self.ws, read_only=True) as session:
            found = rows(
                session,
                "SELECT segment_id, person_id, kind, at, entry, version, reason FROM segment_transition"
                " ORDER BY at, segment_id, person_id, kind DESC",
            )
        return [tuple(row) for row in found]

    def who_at(self, segment, at):
        """The ids of who was in a segment at an instant."""
        return {
            one.person_id for one in self.reads(lambda session: [*membership.every_member(session, segment.id, at)])
        }

    def cycles(self):
        """What was recorded of every cycle, the newest first."""
        return self.reads(rows, "SELECT * FROM segment_cycle ORDER BY at DESC")

    def who(self, segment):
        """The ids of a segment's members."""
        return {person for key, person in self.members() if key == segment.id}


class Ledger:
    """What every cycle should have written, from one evaluation of everybody each: no memory but its own."""

    def __init__(self, life):
        self.life = life
        self.members = {}  # (segment, person) -> (since, entry)
        self.transitions = []
        self.last = {}  # segment -> (evaluated at, rules that decided it, resumed at)

    def cycle(self):
        life = self.life
        surroundings, timeline = life.surroundings(), life.timeline()
        facts = Facts(timeline, micros(life.now), surroundings)
        present = life.present()
        for segment in life.reads(keeping.list_segments):
            if not segment.enabled:
                continue
            held = surroundings.rules[str(segment.id)].holds(facts)
            found = {who.id for who, is_in in zip(present, held, strict=True) if is_in}
            self._differences(segment, found, facts, present)

    def _differences(self, segment, found, facts, present):
        was = {person for key, person in self.members if key == segment.id}
        reasons = self._reasons(segment, was ^ found, was, found, facts, present)
        whole = {one.id: one for one in self.life.people}
        for person in sorted(was - found):
            _, entry = self.members.pop((segment.id, person))
            self._tell(segment, person, "exited", entry, reasons[person])
        for person in sorted(found - was):
            mine = {person, *(one.id for one in whole[person].parts)}
            before = [row[4] for row in self.transitions if row[0] == segment.id and row[1] in mine]
            entry = max(before, default=0) + 1
            self.members[segment.id, person] = (self.life.now, entry)
            self._tell(segment, person, "entered", entry, reasons[person])
        self.last[segment.id] = (self.life.now, self._decided_by(segment), self._resumed(segment))

    def _tell(self, segment, person, kind, entry, reason):
        self.transitions.append((segment.id, person, kind, self.life.now, entry, segment.version, reason))

    def _decided_by(self, segment):
        rules, seen, waiting = self.life.surroundings().rules, {}, [str(segment.id)]
        while waiting:
            key = waiting.pop()
            if key not in seen:
                seen[key] = rules[key].json_text
                waiting += rules[key].uses.segments
        return seen

    def _resumed(self, segment):
        with self.life.database.web.transaction(self.life.ws, read_only=True) as session:
            return rows(session, "SELECT resumed_at FROM segment WHERE id = :id", id=segment.id)[0].resumed_at

    def _reasons(self, segment, moved, was, found, facts, present):
        whole = {one.id: one for one in self.life.people}
        joined = {whole[person].into for person in was - found if whole[person].into}
        if segment.id not in self.last:
            return dict.fromkeys(moved, "first")
        before, rules, _ = self.last[segment.id]
        same = "facts"
        if self._decided_by(segment) != rules:
            same = "rule"
        if before < self._resumed(segment):
            same = "resumed"
        then = Facts(facts.timeline, micros(before), facts.surroundings)
        held = dict(
            zip(
                (who.id for who in present), facts.surroundings.rules[str(segment.id)].holds(then).tolist(), strict=True
            )
        )
        return {
            person: self._reason(whole[person], same, joined, held, person in found, micros(before)) for person in moved
        }

    def _reason(self, who, same, joined, held, is_in, before):
        if (who.into and not is_in) or (who in _ends(joined) and is_in):
            return "merged"
        if same != "facts" or who.id not in held:
            return same
        events = [event.at for one in (who, *who.parts) for event in one.events]
        if held[who.id] != is_in and not any(before <= at < micros(self.life.now) for at in events):
            return "time"
        return "facts"


def _ends(people):
    """Whom these became part of in the end."""
    found = []
    for one in people:
        while one.into:
            one = one.into
        found.append(one)
    return found
