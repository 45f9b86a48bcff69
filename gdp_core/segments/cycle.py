"""Brings every segment of a workspace up to an instant: who belongs now, who entered and who exited since, and why.

All enabled segments are evaluated of the same facts, and only differences are written. One that fails keeps the members
it had and holds nobody up; one that is slow is evaluated less often, and what changes for a great many people is written
last, a part in each cycle.
"""

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import blake2b
from pathlib import Path
from uuid import UUID

import numpy as np
import structlog
from numpy.typing import NDArray
from sqlalchemy import exc
from sqlmodel import Session

from gdp_core.analytics.calendar import instant, micros
from gdp_core.db import Database, one, rows
from gdp_core.errors import Unavailable
from gdp_core.segments import recording
from gdp_core.segments.conditions.base import Mask
from gdp_core.segments.evaluate import Evaluated, evaluate
from gdp_core.segments.facts import Facts, Surroundings
from gdp_core.segments.recording import FACTS, FIRST, MERGED, RESUMED, RULE, TIME, Before, Failure, Finding, Memory
from gdp_core.segments.rules import Rule, reachable
from gdp_core.segments.surroundings import read_surroundings
from gdp_core.timeline import files
from gdp_core.timeline.arrays import Timeline
from gdp_core.timeline.some import some

_BATCH = 20_000  # entries and exits that are written together
_AT_ONCE = 200_000  # of those that have more than a batch, in a cycle: about 8 seconds
_SLOW, _SHARE = 2.0, 4.0  # seconds from which a segment is slow, and how many times as long it rests
_SKEW = timedelta(minutes=5)  # by so much two clocks that are right may differ
log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Cycled:
    """What a cycle did at `at`. `postponed`: segments that are slow, or of whose many changes some wait for the next
    cycle."""

    at: datetime
    segments: int = 0
    failed: int = 0
    postponed: int = 0
    entered: int = 0
    exited: int = 0
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class _Kept:
    """An enabled segment."""

    id: UUID
    version: int
    resumed_at: datetime


@dataclass(frozen=True, slots=True)
class _Known:
    """What stands in Postgres before a cycle at `at`."""

    at: datetime
    last: datetime | None  # the cycle before it
    segments: tuple[_Kept, ...]
    states: Mapping[UUID, recording.State]
    surroundings: Surroundings
    definitions: Mapping[UUID, str]  # digests of the rules that decide each, those of the segments it is made of too

    def seconds(self, segment: _Kept) -> float:
        """How long its conditions took the last time."""
        state = self.states.get(segment.id)
        return (state.seconds if state else None) or 0.0

    def is_due(self, segment: _Kept) -> bool:
        """Whether it is to be evaluated: a slow one rests until it took only a small share of the time, also where it
        came to nothing."""
        state, seconds = self.states.get(segment.id), self.seconds(segment)
        if state is None or state.tried_at is None or state.pending or seconds < _SLOW:
            return True
        rested = abs((self.at - state.tried_at).total_seconds())
        return state.tried != self.definitions[segment.id] or rested >= _SHARE * seconds


def run_cycle(pool: Database, workspace_id: UUID, timeline: Timeline, folder: Path, now: datetime) -> Cycled:
    """Evaluate the segments of a workspace at `now`, or at the last cycle's instant when that was a little later.

    `pool` runs as gdp_worker, `folder` is that of timelines. Another process of this machine that does the same at the
    moment does it for us. Raises Unavailable when the lake or Postgres stands still; what was written before is kept.
    """
    home = recording.home_of(folder, workspace_id)
    with files.alone(home) as mine:
        return _run(pool, workspace_id, timeline, Memory(home), now) if mine else Cycled(now)


def _run(pool: Database, workspace_id: UUID, timeline: Timeline, memory: Memory, now: datetime) -> Cycled:
    """Those that are slow come after the others were written."""
    began = time.perf_counter()
    known = _known(pool, workspace_id, now)
    if known is None:
        return Cycled(now)
    due = [segment for segment in known.segments if known.is_due(segment)]
    cycle = _Cycle(pool, workspace_id, timeline, memory, known)
    try:
        for is_slow in (False, True):
            if segments := [segment for segment in due if (known.seconds(segment) >= _SLOW) == is_slow]:
                cycle.bring_up(segments)
    except Unavailable:
        if cycle.written.marks:
            cycle.close(len(due), began)
        raise
    return cycle.close(len(due), began)


def _known(pool: Database, workspace_id: UUID, now: datetime) -> _Known | None:
    """None where no segment is enabled."""
    with pool.transaction(workspace_id, timeout=120, read_only=True, still=True) as session:
        found = rows(
            session,
            "SELECT id, version, resumed_at FROM segment WHERE enabled AND archived_at IS NULL ORDER BY created_at, id",
        )
        if not found:
            return None
        workspace = one(session, "SELECT timezone FROM workspace WHERE id = app_ws()")
        segments = tuple(_Kept(*row) for row in found)
        surroundings = read_surroundings(session, timezone=workspace.timezone)
        last = _last(session, now)
        return _Known(
            max(now, last) if last else now,
            last,
            segments,
            recording.read_states(session),
            surroundings,
            dict(_definitions(surroundings.rules, segments)),
        )


def _last(session: Session, now: datetime) -> datetime | None:
    """The instant of the last cycle. One that is far ahead was of a clock that was wrong, and is not waited for."""
    last = "SELECT at FROM segment_cycle WHERE workspace_id = app_ws() AND at <= :most ORDER BY at DESC LIMIT 1"
    found, ahead = (one(session, last, most=most) for most in (now + _SKEW, datetime.max.replace(tzinfo=now.tzinfo)))
    if ahead != found and (found is None or recording.quarter_of(found.at) != recording.quarter_of(now)):
        log.warning("cycles are ahead of the clock", action="segments.clock", at=str(now), ahead=str(ahead.at))
    return found.at if found else None


def _definitions(rules: Mapping[str, Rule], segments: Sequence[_Kept]) -> Iterator[tuple[UUID, str]]:
    texts = {key: f"{key} {rule.json_text}" for key, rule in rules.items()}
    for segment in segments:
        told = "\n".join(sorted(texts[key] for key in reachable(rules, str(segment.id))))
        yield segment.id, blake2b(told.encode(), digest_size=16).hexdigest()


class _Cycle:
    """A cycle under way: what was written to be in each segment before it, and what it did so far."""

    def __init__(self, pool: Database, workspace_id: UUID, timeline: Timeline, memory: Memory, known: _Known) -> None:
        self._pool, self._workspace_id, self._timeline = pool, workspace_id, timeline
        self._memory, self._known = memory, known
        self._facts = Facts(timeline, micros(known.at), known.surroundings)
        wanted = [segment.id for segment in known.segments]
        self._before = memory.before(pool, workspace_id, known.states, wanted, timeline.numbers)
        self._now: dict[UUID, Before] = {}
        self._failures: list[Failure] = []
        self._in_parts = 0
        self._room = _AT_ONCE
        self.written = recording.Written()

    def bring_up(self, segments: Sequence[_Kept]) -> None:
        """Evaluate these segments and write who entered and exited. Raises Unavailable when the lake stands still."""
        evaluated = evaluate(self._facts, [str(segment.id) for segment in segments])
        for segment in segments:
            told = evaluated[str(segment.id)]
            if told.error is not None:
                self._fails(segment.id, told.error, told.seconds)
        parts = list(self._parts(self._found(segments, evaluated)))
        for group in _groups([part for part in parts if part.changes or not part.pending]):
            self._write(group)
        self._in_parts += sum(part.pending > 0 for part in parts)

    def close(self, due: int, began: float) -> Cycled:
        """Remember who is written now, say what failed, and record the cycle. Raises Unavailable."""
        self._remember()
        done = Cycled(
            self._known.at,
            segments=len(self.written.marks),
            failed=len(self._failures),
            postponed=self._in_parts + len(self._known.segments) - due,
            entered=self.written.entered,
            exited=self.written.exited,
            seconds=time.perf_counter() - began,
        )
        self._record(done)
        return done

    def _fails(self, segment_id: UUID, error: str, seconds: float) -> None:
        self._failures.append(Failure(segment_id, self._known.definitions[segment_id], error, seconds))

    # ---------------------------------------------------------------------------------------------- differences

    def _found(self, segments: Sequence[_Kept], evaluated: Mapping[str, Evaluated]) -> list[Finding]:
        members = {one.id: held for one in segments if (held := evaluated[str(one.id)].members) is not None}
        why = {one.id: self._why(one) for one in segments if one.id in members}
        by_time = self._by_time({key: held for key, held in members.items() if why[key] == FACTS})
        absorbed = self._absorbed(members)
        return [
            self._finding(one, evaluated[str(one.id)], members[one.id], why[one.id], by_time.get(one.id), absorbed)
            for one in segments
            if one.id in members
        ]

    def _finding(
        self,
        segment: _Kept,
        evaluated: Evaluated,
        held: Mask,
        why: int,
        moved: Mask | None,
        absorbed: Mapping[int, int],
    ) -> Finding:
        numbers, was, state = self._timeline.numbers, self._before[segment.id], self._known.states.get(segment.id)
        entered, exited = np.flatnonzero(held & ~was.members), np.flatnonzero(was.members & ~held)
        gone = np.isin(was.away, [*absorbed])
        into = np.array([absorbed[number] for number in was.away[gone].tolist()], np.int64)
        why_entered = _reasons(entered, why, moved)
        why_entered[np.isin(numbers[entered], into)] = MERGED
        why_away = np.where(gone, MERGED, why).astype(np.int8)
        return Finding(
            segment.id,
            segment.version,
            self._known.definitions[segment.id],
            state,
            held,
            numbers[entered],
            why_entered,
            np.concatenate([was.away, numbers[exited]]),
            np.concatenate([why_away, _reasons(exited, why, moved)]),
            evaluated.seconds,
            state is not None and self._memory.marks.get(segment.id.hex) == state.mark.hex,
        )

    def _absorbed(self, keys: Iterable[UUID]) -> Mapping[int, int]:
        """Who of those whom the timeline knows no more became part of whom."""
        away = [self._before[key].away for key in keys]
        with self._pool.transaction(self._workspace_id, read_only=True) as session:
            return recording.read_absorbed(session, np.concatenate([np.empty(0, np.int64), *away]))

    def _why(self, segment: _Kept) -> int:
        """The reason that all changes of a segment have, unless they are of the facts."""
        state = self._known.states.get(segment.id)
        if state is None or state.evaluated_at is None:
            return FIRST
        if state.evaluated_at < segment.resumed_at:
            return RESUMED
        return RULE if state.definition != self._known.definitions[segment.id] else FACTS

    def _by_time(self, members: Mapping[UUID, Mask]) -> dict[UUID, Mask]:
        """Whom the passing of time alone moved: at the instant of the last evaluation they were what they were found to
        be then, by what is known now, and nothing happened to them since. Only those who moved are asked about."""
        found = {}
        moved = {key: held ^ self._before[key].members for key, held in members.items()}
        for at, keys in self._together(moved):
            places = np.flatnonzero(np.any([moved[key] for key in keys], axis=0))
            then = Facts(some(self._timeline, places), at, self._facts.surroundings)
            still = ~_happened(then, at, self._facts.at)
            for key, told in evaluate(then, [str(key) for key in keys], threads=1).items():
                if told.members is not None:
                    by_time = np.zeros(self._facts.people, np.bool_)
                    by_time[places] = still & (told.members != members[UUID(key)][places])
                    found[UUID(key)] = by_time
        return found

    def _together(self, moved: Mapping[UUID, Mask]) -> Iterator[tuple[int, list[UUID]]]:
        """The segments that are asked of the same people at the instant of their last evaluation: those that somebody
        moved in; those that very many did alone."""
        found: dict[int, list[UUID]] = {}
        for key, mask in moved.items():
            state, people = self._known.states[key], np.count_nonzero(mask)
            if state.evaluated_at is None or not people:
                continue
            if people > _BATCH:
                yield micros(state.evaluated_at), [key]
            else:
                found.setdefault(micros(state.evaluated_at), []).append(key)
        yield from found.items()

    # -------------------------------------------------------------------------------------------------- writing

    def _parts(self, findings: Sequence[Finding]) -> Iterator[Finding]:
        """What is to be written now, those with few changes first; those with many share what a cycle has room for."""
        for finding in sorted(findings, key=lambda one: one.changes):
            if finding.changes <= _BATCH:
                yield finding
                continue
            part = finding.first(self._room, self._timeline.numbers)
            self._room -= part.changes
            yield part

    def _write(self, group: Sequence[Finding]) -> None:
        """One group that cannot be written holds no other up."""
        try:
            done = recording.write(self._pool, self._workspace_id, group, self._known.at, self._timeline.snapshot)
        except (Unavailable, exc.DBAPIError) as error:
            log.warning("entries and exits could not be written", action="segments.unwritten", exc_info=error)
            said = str(error) if isinstance(error, Unavailable) else f"Postgres refused it ({type(error).__name__})."
            for finding in group:
                self._fails(finding.segment_id, f"Its entries and exits could not be written: {said}", finding.seconds)
            return
        self.written.marks |= done.marks
        self.written.unlike |= done.unlike
        self.written.entered += done.entered
        self.written.exited += done.exited
        self._now |= {one.segment_id: Before(one.members, one.away) for one in group if one.segment_id in done.marks}

    def _remember(self) -> None:
        """Note who is written now; of those that were not, who was."""
        known = {key: self._known.states[key].mark for key in self._before if key in self._known.states}
        marks = {key: mark for key, mark in (known | self.written.marks).items() if key not in self.written.unlike}
        if {key.hex: mark.hex for key, mark in marks.items()} == self._memory.marks:
            return
        members = {key: was for key, was in (self._before | self._now).items() if key in marks}
        self._memory.write(self._timeline.numbers, members, marks)

    def _record(self, done: Cycled) -> None:
        last = self._known.last
        with self._pool.transaction(self._workspace_id) as session:
            recording.write_failures(session, self._failures, done.at)
            recording.write_cycle(
                session,
                {
                    "at": done.at,
                    "snapshot": self._timeline.snapshot,
                    "complete_at": instant(self._timeline.watermark),
                    "seconds": done.seconds,
                    "segments": done.segments,
                    "failed": done.failed,
                    "entered": done.entered,
                    "exited": done.exited,
                },
                tidy=last is None or recording.quarter_of(last) != recording.quarter_of(done.at),
            )


def _reasons(places: NDArray[np.int64], why: int, moved: Mask | None) -> NDArray[np.int8]:
    found = np.full(len(places), why, np.int8)
    if moved is not None:
        found[moved[places]] = TIME
    return found


def _happened(facts: Facts, since: int, until: int) -> Mask:
    """To whom anything happened in [since, until)."""
    found = facts.nobody()
    for shard in facts.timeline.shards:
        inside = (shard.at >= since) & (shard.at < until)
        found[shard.people[np.repeat(np.arange(len(shard.people)), np.diff(shard.offsets))[inside]]] = True
    stops = facts.surroundings.stops
    new = ((stops.since >= since) & (stops.since < until)) | ((stops.lifted >= since) & (stops.lifted < until))
    return np.asarray(found | np.isin(facts.timeline.numbers, stops.numbers[new]))


def _groups(findings: Sequence[Finding]) -> Iterator[list[Finding]]:
    group: list[Finding] = []
    changes = 0
    for finding in findings:
        if group and changes + finding.changes > _BATCH:
            yield group
            group, changes = [], 0
        group.append(finding)
        changes += finding.changes
    if group:
        yield group
