"""Writes who entered and who exited segments: current members, transitions and sizes, in one transaction together.

What was written last is remembered in a file beside the timeline, for each segment under a mark that stands in Postgres
too and changes with every writing of its members. Where the two differ (a crash, a restored backup, another machine),
Postgres is asked who is there; and who finds another mark than they expected writes nothing of that segment. Who was
erased enters none again.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import numpy as np
from numpy.typing import NDArray
from sqlmodel import Session

from gdp_core.db import Database, insert, one, rows, run
from gdp_core.failpoint import failpoint
from gdp_core.segments.conditions.base import Mask
from gdp_core.tables.segments import REASONS, SegmentCycle, SegmentSize, SegmentState
from gdp_core.timeline import files
from gdp_core.timeline.files import Damaged

FIRST, FACTS, TIME, RULE, MERGED, RESUMED = range(len(REASONS))
_STATEMENT = 100_000  # entries or exits in one statement
_SECONDS = 600
_LOCK_SPACE = (
    0x73656763  # "segc": who writes members of a workspace is alone, so that transitions are numbered in order
)
_QUIET_KEPT = timedelta(days=2)

Numbers = NDArray[np.int64]
Codes = NDArray[np.int8]


@dataclass(frozen=True, slots=True)
class State:
    """What the last evaluation of a segment came to, as `tables.segments.SegmentState` says it."""

    mark: UUID
    version: int | None
    definition: str | None
    evaluated_at: datetime | None
    seconds: float | None
    pending: int
    tried_at: datetime | None
    tried: str | None


@dataclass(frozen=True, slots=True, eq=False)
class Before:
    """The members of a segment that were written: who of a timeline's people, and numbers of those it knows no more."""

    members: Mask
    away: Numbers


@dataclass(frozen=True, slots=True, eq=False)
class Finding:
    """What an evaluation found of a segment: who enters and who exits, by number, each with a code into REASONS.

    `pending`: so many entries and exits are left for later; `members`, and by number `away`, whom the timeline knows no
    more, are who is in it until then.
    """

    segment_id: UUID
    version: int
    definition: str
    before: State | None
    members: Mask
    entered: Numbers
    why_entered: Codes
    exited: Numbers
    why_exited: Codes
    seconds: float
    is_remembered: bool  # in the file, under the mark it has
    pending: int = 0
    away: Numbers = field(default_factory=lambda: np.empty(0, np.int64))

    @property
    def changes(self) -> int:
        """How many entries and exits."""
        return len(self.entered) + len(self.exited)

    @property
    def people(self) -> int:
        """How many are in it once this is written."""
        return int(np.count_nonzero(self.members)) + len(self.away)

    @property
    def is_first(self) -> bool:
        """Whether nobody was written to be in it ever before."""
        return self.before is None or (self.before.evaluated_at is None and not self.before.pending)

    def first(self, most: int, numbers: Numbers) -> "Finding":
        """At most so many of its changes, exits before entries; `numbers` are those of the timeline."""
        if self.changes <= most:
            return self
        exits = min(len(self.exited), most)
        entries = most - exits
        stay, is_known = self.exited[exits:], np.isin(self.exited[exits:], numbers)
        members = self.members.copy()
        members[np.searchsorted(numbers, self.entered[entries:])] = False
        members[np.searchsorted(numbers, stay[is_known])] = True
        return replace(
            self,
            members=members,
            entered=self.entered[:entries],
            why_entered=self.why_entered[:entries],
            exited=self.exited[:exits],
            why_exited=self.why_exited[:exits],
            pending=self.changes - most,
            away=stay[~is_known],
        )


@dataclass(frozen=True, slots=True)
class Failure:
    """A segment that could not be evaluated, and why."""

    segment_id: UUID
    definition: str
    error: str
    seconds: float


@dataclass(slots=True)
class Written:
    """What was written: of which segments, under which marks, how many entries and exits.

    `unlike`: segments of which not all that was found could be written; who is in them, Postgres alone knows.
    """

    marks: dict[UUID, UUID] = field(default_factory=dict)
    unlike: set[UUID] = field(default_factory=set)
    entered: int = 0
    exited: int = 0


# ---------------------------------------------------------------------------------------------------------- memory


def home_of(folder: Path, workspace_id: UUID) -> Path:
    """Where the cycle of a workspace keeps its file, in the folder of timelines."""
    return folder / workspace_id.hex / "segments"


class Memory:
    """What this machine wrote last, of the segments of a workspace: a file in `home`."""

    def __init__(self, home: Path) -> None:
        self._path = home / "written"
        try:
            arrays, self.marks = files.read(self._path)
        except Damaged:
            arrays, self.marks = {}, {}
        self._numbers: Numbers = arrays.pop("numbers", np.empty(0, np.int64))
        self._bits: Mapping[str, NDArray[np.uint8]] = arrays

    def before(
        self, pool: Database, workspace_id: UUID, states: Mapping[UUID, State], wanted: Iterable[UUID], numbers: Numbers
    ) -> dict[UUID, Before]:
        """Who was written to be in each of these segments, over a timeline's numbers."""
        aligned = _Aligned(self._numbers, numbers)
        found = {}
        for segment_id in wanted:
            state = states.get(segment_id)
            if state is None:
                found[segment_id] = Before(np.zeros(len(numbers), np.bool_), numbers[:0])
            elif self.marks.get(segment_id.hex) == state.mark.hex:
                bits = np.unpackbits(self._bits[segment_id.hex], count=len(self._numbers)).view(np.bool_)
                found[segment_id] = aligned.of(bits)
            else:
                there = _read(pool, workspace_id, segment_id)
                found[segment_id] = _Aligned(there, numbers).of(np.ones(len(there), np.bool_))
        return found

    def shared(self, segment_id: UUID, states: Mapping[UUID, State]) -> dict[UUID, int]:
        """How many people a segment has in common with each other one, of those that are remembered as they stand now."""
        known = [key for key, state in states.items() if self.marks.get(key.hex) == state.mark.hex]
        if segment_id not in known:
            return {}
        mine = self._bits[segment_id.hex]
        return {key: int(np.bitwise_count(mine & self._bits[key.hex]).sum()) for key in known if key != segment_id}

    def write(self, numbers: Numbers, members: Mapping[UUID, Before], marks: Mapping[UUID, UUID]) -> None:
        """Remember these members from now on."""
        gone = [was.away for was in members.values() if len(was.away)]
        everybody = _union(numbers, *gone) if gone else numbers
        aligned = _Aligned(numbers, everybody)
        bits = {}
        for segment_id, was in members.items():
            held = aligned.of(was.members).members
            held[np.searchsorted(everybody, was.away)] = True
            bits[segment_id.hex] = np.packbits(held)
        known = {segment_id.hex: mark.hex for segment_id, mark in marks.items()}
        files.write(self._path, {"numbers": everybody, **bits}, known)


class _Aligned:
    """From masks over some numbers to masks over others; both ascending."""

    def __init__(self, before: Numbers, now: Numbers) -> None:
        self._before = before
        self._same = len(before) == len(now) and bool(np.array_equal(before, now))
        if not self._same:
            place = np.minimum(np.searchsorted(before, now), max(0, len(before) - 1))
            self._known = before[place] == now if len(before) else np.zeros(len(now), np.bool_)
            self._place = place[self._known]
            kept = np.zeros(len(before), np.bool_)
            kept[self._place] = True
            self._away = ~kept

    def of(self, mask: Mask) -> Before:
        """The mask over the numbers of now, and the numbers it holds for that are not among them."""
        if self._same:
            return Before(mask.copy(), self._before[:0])
        members = np.zeros(len(self._known), np.bool_)
        members[self._known] = mask[self._place]
        return Before(members, np.asarray(self._before[mask & self._away]))


def _union(*parts: Numbers) -> Numbers:
    found = np.sort(np.concatenate(parts))
    return np.asarray(found[np.append(True, found[1:] != found[:-1])])


def _read(pool: Database, workspace_id: UUID, segment_id: UUID) -> Numbers:
    """The numbers of a segment's members in Postgres, ascending."""
    with pool.transaction(workspace_id, timeout=_SECONDS, read_only=True) as session:
        found = one(
            session,
            "SELECT string_agg(a.number::text, ',') AS numbers FROM segment_member m JOIN actor a"
            " ON a.workspace_id = m.workspace_id AND a.id = m.person_id WHERE m.segment_id = :id",
            id=segment_id,
        )
    return np.sort(np.fromstring(found.numbers or "", np.int64, sep=","))


def read_states(session: Session) -> dict[UUID, State]:
    """What the last evaluation of each segment came to."""
    found = rows(
        session,
        "SELECT segment_id, mark, version, definition, evaluated_at, seconds, pending, tried_at, tried FROM segment_state",
    )
    return {row.segment_id: State(*row[1:]) for row in found}


def read_absorbed(session: Session, numbers: Numbers) -> dict[int, int]:
    """{number: the number of the person it became a part of} of those of these that are no persons any more."""
    if not len(numbers):
        return {}
    found = rows(
        session,
        "SELECT a.number, p.number AS into FROM actor a JOIN actor p ON p.workspace_id = a.workspace_id"
        " AND p.id = a.person_id WHERE a.number = ANY(CAST(:numbers AS bigint[])) AND a.person_id <> a.id",
        numbers=numbers.tolist(),
    )
    return {row.number: row.into for row in found}


# --------------------------------------------------------------------------------------------------------- writing


def write(pool: Database, workspace_id: UUID, group: Sequence[Finding], at: datetime, snapshot: str) -> Written:
    """Write what was found of some segments, in one transaction. Those that somebody else wrote meanwhile are left out."""
    written = Written()
    with pool.transaction(workspace_id, timeout=_SECONDS) as session:
        _lock(session)
        marks = {key: state.mark for key, state in read_states(session).items()}
        mine = [one for one in group if marks.get(one.segment_id) == (one.before.mark if one.before else None)]
        exited = _exits(session, mine, at)
        entered = _entries(session, mine, at)
        written.unlike = {
            one.segment_id
            for one in mine
            if one.changes != entered.get(one.segment_id, 0) + exited.get(one.segment_id, 0)
        }
        people = {one.segment_id: one.people for one in mine} | _counted(session, written.unlike)
        _put_sizes(session, mine, people, entered, exited, at)
        for finding in mine:
            keeps = finding.is_remembered and not finding.changes and finding.before is not None
            written.marks[finding.segment_id] = finding.before.mark if keeps and finding.before else uuid4()
        _put_states(session, mine, written.marks, people, at, snapshot)
        written.entered, written.exited = sum(entered.values()), sum(exited.values())
    failpoint("segments.written")
    return written


def _lock(session: Session) -> None:
    run(
        session,
        "SELECT pg_advisory_xact_lock(:space, hashtext(app_ws()::text))",
        space=_LOCK_SPACE,
    )


_GIVEN = """
given AS MATERIALIZED (
    SELECT g.place, (CAST(:segments AS uuid[]))[g.place] AS segment_id, (CAST(:versions AS int[]))[g.place] AS version,
        (CAST(:reasons AS text[]))[g.reason + 1] AS reason, a.number, a.id AS person_id, a.person_id AS became
    FROM unnest(CAST(:places AS int[]), CAST(:numbers AS bigint[]), CAST(:codes AS int[])) AS g(place, number, reason)
    JOIN actor a ON a.workspace_id = app_ws() AND a.number = g.number
)
"""
_TOLD = """
INSERT INTO segment_transition (workspace_id, segment_id, person_id, kind, at, entry, version, reason)
SELECT app_ws(), g.segment_id, g.person_id, :kind, :at, c.entry, g.version, g.reason
FROM changed c JOIN given g USING (segment_id, person_id)
"""
_EXITS = f"""
WITH {_GIVEN}, changed AS (
    DELETE FROM segment_member m USING given g
    WHERE m.workspace_id = app_ws() AND m.segment_id = g.segment_id AND m.person_id = g.person_id
    RETURNING m.segment_id, m.person_id, m.entry
), told AS ({_TOLD})
SELECT segment_id, count(*) AS people FROM changed GROUP BY 1
"""
# OFFSET 0 has Postgres look by person, as it must, also while it has no statistics of a log that was just filled.
_ENTRY = """1 + coalesce((
    SELECT max(t.entry) FROM actor mine CROSS JOIN LATERAL (
        SELECT segment_id, entry FROM segment_transition
        WHERE workspace_id = mine.workspace_id AND person_id = mine.id OFFSET 0
    ) t WHERE mine.workspace_id = app_ws() AND mine.person_id = g.became AND t.segment_id = g.segment_id
), 0)"""
_ENTRIES = """
WITH {given}, changed AS (
    INSERT INTO segment_member (segment_id, workspace_id, person_id, entered_at, entry)
    SELECT g.segment_id, app_ws(), g.person_id, :at, {entry} FROM given g
    WHERE NOT EXISTS (SELECT FROM segment_forgotten f WHERE f.workspace_id = app_ws() AND f.number = g.number)
    ORDER BY 1, 3 ON CONFLICT DO NOTHING
    RETURNING segment_id, person_id, entry
), told AS ({told})
SELECT segment_id, count(*) AS people FROM changed GROUP BY 1
"""


def _exits(session: Session, group: Sequence[Finding], at: datetime) -> dict[UUID, int]:
    given = [(one, one.exited, one.why_exited) for one in group]
    return _change(session, _EXITS, given, "exited", at)


def _entries(session: Session, group: Sequence[Finding], at: datetime) -> dict[UUID, int]:
    """Somebody's entries are counted on from those of whoever became part of them. Nobody entered a new segment before."""
    found: dict[UUID, int] = {}
    for is_first, entry in ((False, _ENTRY), (True, "1")):
        given = [(one, one.entered, one.why_entered) for one in group if one.is_first == is_first]
        statement = _ENTRIES.format(given=_GIVEN, entry=entry, told=_TOLD)
        found |= _change(session, statement, given, "entered", at)
    return found


def _change(
    session: Session, statement: str, given: Sequence[tuple[Finding, Numbers, Codes]], kind: str, at: datetime
) -> dict[UUID, int]:
    """{segment: how many it became true of}"""
    places = np.repeat(np.arange(1, len(given) + 1), [len(numbers) for _, numbers, _ in given])
    if not len(places):
        return {}
    numbers = np.concatenate([numbers for _, numbers, _ in given])
    codes = np.concatenate([codes for _, _, codes in given])
    found: dict[UUID, int] = {}
    for first in range(0, len(places), _STATEMENT):
        part = slice(first, first + _STATEMENT)
        done = rows(
            session,
            statement,
            segments=[one.segment_id for one, _, _ in given],
            versions=[one.version for one, _, _ in given],
            reasons=list(REASONS),
            places=places[part].tolist(),
            numbers=numbers[part].tolist(),
            codes=codes[part].tolist(),
            kind=kind,
            at=at,
        )
        for row in done:
            found[row.segment_id] = found.get(row.segment_id, 0) + row.people
    return found


def _put_sizes(
    session: Session,
    group: Sequence[Finding],
    people: Mapping[UUID, int],
    entered: Mapping[UUID, int],
    exited: Mapping[UUID, int],
    at: datetime,
) -> None:
    changed = [one for one in group if one.segment_id in entered or one.segment_id in exited or one.is_first]
    insert(
        session,
        SegmentSize,
        [
            {
                "segment_id": one.segment_id,
                "people": people[one.segment_id],
                "entered": entered.get(one.segment_id, 0),
                "exited": exited.get(one.segment_id, 0),
            }
            for one in changed
        ],
        "ON CONFLICT (segment_id, workspace_id, at) DO UPDATE SET people = excluded.people,"
        " entered = segment_size.entered + excluded.entered, exited = segment_size.exited + excluded.exited",
        shared={"workspace_id": _workspace(session), "at": quarter_of(at)} if changed else {},
    )


def _counted(session: Session, segments: Iterable[UUID]) -> dict[UUID, int]:
    """How many are written to be in these."""
    if not (wanted := list(segments)):
        return {}
    found = rows(
        session,
        "SELECT s.id, (SELECT count(*) FROM segment_member m WHERE m.workspace_id = app_ws() AND m.segment_id = s.id)"
        " AS people FROM unnest(CAST(:segments AS uuid[])) AS s(id)",
        segments=wanted,
    )
    return {row.id: row.people for row in found}


def quarter_of(at: datetime) -> datetime:
    """The beginning of its quarter of an hour: local days of every time zone begin with one."""
    return at - timedelta(minutes=at.minute % 15, seconds=at.second, microseconds=at.microsecond)


def _workspace(session: Session) -> UUID:
    found: UUID = one(session, "SELECT app_ws() AS id").id
    return found


def _put_states(
    session: Session,
    group: Sequence[Finding],
    marks: Mapping[UUID, UUID],
    people: Mapping[UUID, int],
    at: datetime,
    snapshot: str,
) -> None:
    """Of which instant and rule its members are is said once all of them are written."""
    if not group:
        return
    insert(
        session,
        SegmentState,
        [
            {
                "segment_id": one.segment_id,
                "mark": marks[one.segment_id],
                "version": None if one.pending else one.version,
                "definition": None if one.pending else one.definition,
                "people": people[one.segment_id],
                "pending": one.pending,
                "evaluated_at": None if one.pending else at,
                "snapshot": None if one.pending else snapshot,
                "seconds": one.seconds,
                "tried": one.definition,
            }
            for one in group
        ],
        "ON CONFLICT (segment_id, workspace_id) DO UPDATE SET mark = excluded.mark, people = excluded.people,"
        " pending = excluded.pending, seconds = excluded.seconds, error = NULL, failed_at = NULL,"
        " tried_at = excluded.tried_at, tried = excluded.tried,"
        " version = coalesce(excluded.version, segment_state.version),"
        " definition = coalesce(excluded.definition, segment_state.definition),"
        " evaluated_at = coalesce(excluded.evaluated_at, segment_state.evaluated_at),"
        " snapshot = coalesce(excluded.snapshot, segment_state.snapshot)",
        shared={"workspace_id": _workspace(session), "tried_at": at},
    )


def write_failures(session: Session, failures: Sequence[Failure], at: datetime) -> None:
    """Say of segments why they could not be evaluated; the members they had stay."""
    if not failures:
        return
    insert(
        session,
        SegmentState,
        [
            {
                "segment_id": one.segment_id,
                "mark": uuid4(),
                "error": one.error,
                "seconds": one.seconds,
                "pending": 0,
                "tried": one.definition,
            }
            for one in failures
        ],
        "ON CONFLICT (segment_id, workspace_id) DO UPDATE SET error = excluded.error, seconds = excluded.seconds,"
        " tried_at = excluded.tried_at, tried = excluded.tried,"
        " failed_at = coalesce(segment_state.failed_at, excluded.failed_at)",
        shared={"workspace_id": _workspace(session), "failed_at": at, "tried_at": at},
    )


def write_cycle(session: Session, cycle: Mapping[str, Any], *, tidy: bool) -> None:
    """Record a cycle. `tidy`: of those that changed nothing only the latest stay."""
    insert(
        session,
        SegmentCycle,
        [dict(cycle)],
        "ON CONFLICT (workspace_id, at) DO UPDATE SET snapshot = excluded.snapshot,"
        " complete_at = excluded.complete_at, seconds = excluded.seconds, segments = excluded.segments,"
        " failed = excluded.failed, entered = segment_cycle.entered + excluded.entered,"
        " exited = segment_cycle.exited + excluded.exited",
        shared={"workspace_id": _workspace(session)},
    )
    if tidy:
        run(
            session,
            "DELETE FROM segment_cycle WHERE workspace_id = app_ws() AND at < :old AND entered = 0 AND exited = 0",
            old=cycle["at"] - _QUIET_KEPT,
        )


def forget(pool: Database, workspace_id: UUID, person_id: UUID) -> int:
    """Forget a person and every identifier of theirs: what they were in, and every entry and exit. Returns how many rows.

    They enter no segment after it, whatever was evaluated before. It may be repeated. Raises Unavailable when others write
    for too long.
    """
    with pool.transaction(workspace_id, timeout=_SECONDS) as session:
        run(session, f"SET LOCAL lock_timeout = '{_SECONDS}s'")
        _lock(session)
        theirs = "workspace_id = app_ws() AND person_id = :id"
        run(
            session,
            f"INSERT INTO segment_forgotten (workspace_id, number) SELECT workspace_id, number FROM actor WHERE {theirs}"
            " ON CONFLICT DO NOTHING",
            id=person_id,
        )
        whose = f"person_id IN (SELECT id FROM actor WHERE {theirs})"
        left = rows(session, f"DELETE FROM segment_member WHERE {whose} RETURNING segment_id", id=person_id)
        told = run(session, f"DELETE FROM segment_transition WHERE {whose}", id=person_id)
        for segment_id, people in _counted(session, {row.segment_id for row in left}).items():
            run(
                session,
                "UPDATE segment_state SET mark = gen_random_uuid(), people = :people WHERE segment_id = :id",
                id=segment_id,
                people=people,
            )
        return len(left) + told
