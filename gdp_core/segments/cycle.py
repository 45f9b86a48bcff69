"""Brings every segment of a workspace up to an instant: who belongs now, who entered and who exited since, and why.

All enabled segments are evaluated of the same facts, and only differences are written. One that fails keeps the members
it had and holds nobody up; one that is slow is evaluated less often, and what changes for a great many people is written
last, a part in each cycle.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import blake2b
from pathlib import Path
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from gdp_core.analytics.calendar import instant, micros
from gdp_core.db import Database, one, rows
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
    segments: tuple[_Kept, ...]
    states: Mapping[UUID, recording.State]
    surroundings: Surroundings
    definitions: Mapping[UUID, str]  # digests of the rules that decide each, those of the segments it is made of too

    def is_due(self, segment: _Kept) -> bool:
        """Whether it is to be evaluated: a slow one rests until it took only a small share of the time."""
        state = self.states.get(segment.id)
        if state is None or state.evaluated_at is None or state.pending or (state.seconds or 0) < _SLOW:
            return True
        changed = state.definition != self.definitions[segment.id]
        return changed or (self.at - state.evaluated_at).total_seconds() >= _SHARE * (state.seconds or 0)


def run_cycle(pool: Database, workspace_id: UUID, timeline: Timeline, folder: Path, now: datetime) -> Cycled:
    """Evaluate the segments of a workspace at `now`, or at the last cycle's instant when that was later.

    `pool` runs as gdp_worker, `folder` is that of timelines. Another process of this machine that does the same at the
    moment does it for us.
    """
    home = folder / workspace_id.hex / "segments"
    with files.alone(home) as mine:
        return _run(pool, workspace_id, timeline, Memory(home), now) if mine else Cycled(now)


def _run(pool: Database, workspace_id: UUID, timeline: Timeline, memory: Memory, now: datetime) -> Cycled:
    began = time.perf_counter()
    known = _known(pool, workspace_id, now)
    if known is None:
        return Cycled(now)
    due = [segment for segment in known.segments if known.is_due(segment)]
    facts = Facts(timeline, micros(known.at), known.surroundings)
    evaluated = evaluate(facts, [str(segment.id) for segment in due])
    before = memory.before(
        pool, workspace_id, known.states, [segment.id for segment in known.segments], timeline.numbers
    )
    failures = [
        Failure(segment.id, told.error, told.seconds)
        for segment in due
        if (told := evaluated[str(segment.id)]).error is not None
    ]
    findings = _found(pool, workspace_id, known, facts, due, evaluated, before, memory)
    parts = list(_parts(findings, timeline.numbers))
    written = _write(pool, workspace_id, parts, known.at, timeline.snapshot)
    _remember(memory, timeline, known, before, parts, written)
    done = Cycled(
        known.at,
        segments=len(written.marks),
        failed=len(failures),
        postponed=sum(part.pending > 0 for part in parts) + len(known.segments) - len(due),
        entered=written.entered,
        exited=written.exited,
        seconds=time.perf_counter() - began,
    )
    _record(pool, workspace_id, timeline, failures, done)
    return done


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
        last = one(session, "SELECT max(at) AS at FROM segment_cycle").at
        segments = tuple(_Kept(*row) for row in found)
        surroundings = read_surroundings(session, timezone=workspace.timezone)
        return _Known(
            max(now, last) if last else now,
            segments,
            recording.read_states(session),
            surroundings,
            dict(_definitions(surroundings.rules, segments)),
        )


def _definitions(rules: Mapping[str, Rule], segments: Sequence[_Kept]) -> Iterator[tuple[UUID, str]]:
    texts = {key: f"{key} {rule.json_text}" for key, rule in rules.items()}
    for segment in segments:
        told = "\n".join(sorted(texts[key] for key in reachable(rules, str(segment.id))))
        yield segment.id, blake2b(told.encode(), digest_size=16).hexdigest()


# ------------------------------------------------------------------------------------------------------ differences


def _found(
    pool: Database,
    workspace_id: UUID,
    known: _Known,
    facts: Facts,
    due: Sequence[_Kept],
    evaluated: Mapping[str, Evaluated],
    before: Mapping[UUID, Before],
    memory: Memory,
) -> list[Finding]:
    away = [before[segment.id].away for segment in due]
    with pool.transaction(workspace_id, read_only=True) as session:
        absorbed = recording.read_absorbed(session, np.concatenate([np.empty(0, np.int64), *away]))
    members = {segment.id: held for segment in due if (held := evaluated[str(segment.id)].members) is not None}
    by_time = _by_time(known, facts, members, before)
    numbers, findings = facts.timeline.numbers, []
    for segment in due:
        if segment.id not in members:
            continue
        state, was, held = known.states.get(segment.id), before[segment.id], members[segment.id]
        definition = known.definitions[segment.id]
        entered, exited = np.flatnonzero(held & ~was.members), np.flatnonzero(was.members & ~held)
        why = _why(state, segment, definition)
        moved = by_time.get(segment.id) if why == FACTS else None
        gone = np.isin(was.away, [*absorbed])
        into = np.array([absorbed[number] for number in was.away[gone].tolist()], np.int64)
        why_entered = _reasons(entered, why, moved)
        why_entered[np.isin(numbers[entered], into)] = MERGED
        why_away = np.where(gone, MERGED, why).astype(np.int8)
        findings.append(
            Finding(
                segment.id,
                segment.version,
                definition,
                state,
                held,
                numbers[entered],
                why_entered,
                np.concatenate([was.away, numbers[exited]]),
                np.concatenate([why_away, _reasons(exited, why, moved)]),
                evaluated[str(segment.id)].seconds,
                state is not None and memory.marks.get(segment.id.hex) == state.mark.hex,
            )
        )
    return findings


def _why(state: recording.State | None, segment: _Kept, definition: str) -> int:
    """The reason that all changes of a segment have, unless they are of the facts."""
    if state is None or state.evaluated_at is None:
        return FIRST
    if state.evaluated_at < segment.resumed_at:
        return RESUMED
    return RULE if state.definition != definition else FACTS


def _reasons(places: NDArray[np.int64], why: int, moved: Mask | None) -> NDArray[np.int8]:
    found = np.full(len(places), why, np.int8)
    if moved is not None:
        found[moved[places]] = TIME
    return found


def _by_time(
    known: _Known, facts: Facts, members: Mapping[UUID, Mask], before: Mapping[UUID, Before]
) -> dict[UUID, Mask]:
    """Whom the passing of time alone moved: at the instant of the last evaluation they were what they were found to be
    then, by what is known now, and nothing happened to them since. Only those who moved are asked about."""
    found = {}
    for at, segments in _by_last(known, members).items():
        moved = {key: members[key] ^ before[key].members for key in segments}
        places = np.flatnonzero(np.any([*moved.values()], axis=0))
        if not len(places):
            continue
        then = Facts(some(facts.timeline, places), at, facts.surroundings)
        still = ~_happened(then, at, facts.at)
        for key, told in evaluate(then, [str(key) for key in segments], threads=1).items():
            if told.members is not None:
                by_time = np.zeros(facts.people, np.bool_)
                by_time[places] = still & (told.members != members[UUID(key)][places])
                found[UUID(key)] = by_time
    return found


def _by_last(known: _Known, members: Mapping[UUID, Mask]) -> dict[int, list[UUID]]:
    """The segments by the instant of their last evaluation; those that had none are left out."""
    found: dict[int, list[UUID]] = {}
    for key in members:
        state = known.states.get(key)
        if state is not None and state.evaluated_at is not None:
            found.setdefault(micros(state.evaluated_at), []).append(key)
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


# ---------------------------------------------------------------------------------------------------------- writing


def _parts(findings: Sequence[Finding], numbers: NDArray[np.int64]) -> Iterator[Finding]:
    """What is to be written now, those with few changes first; those with many share what a cycle has room for."""
    room = _AT_ONCE
    for finding in sorted(findings, key=lambda one: one.changes):
        if finding.changes <= _BATCH:
            yield finding
            continue
        part = finding.first(room, numbers)
        room -= part.changes
        yield part


def _write(
    pool: Database, workspace_id: UUID, parts: Sequence[Finding], at: datetime, snapshot: str
) -> recording.Written:
    done = recording.Written()
    for group in _groups([part for part in parts if part.changes or not part.pending]):
        written = recording.write(pool, workspace_id, group, at, snapshot)
        done.marks |= written.marks
        done.entered += written.entered
        done.exited += written.exited
    return done


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


def _remember(
    memory: Memory,
    timeline: Timeline,
    known: _Known,
    before: Mapping[UUID, Before],
    findings: Sequence[Finding],
    written: recording.Written,
) -> None:
    """Note who is written now; of those that were not, who was."""
    marks = {key: known.states[key].mark for key in before if key in known.states} | written.marks
    if {key.hex: mark.hex for key, mark in marks.items()} == memory.marks:
        return
    members = {key: was for key, was in before.items() if key in marks}
    for finding in findings:
        if finding.segment_id in written.marks:
            members[finding.segment_id] = Before(finding.members, finding.away)
    memory.write(timeline.numbers, members, marks)


def _record(pool: Database, workspace_id: UUID, timeline: Timeline, failures: Sequence[Failure], done: Cycled) -> None:
    with pool.transaction(workspace_id) as session:
        recording.write_failures(session, failures, done.at)
        recording.write_cycle(
            session,
            {
                "at": done.at,
                "snapshot": timeline.snapshot,
                "complete_at": instant(timeline.watermark),
                "seconds": done.seconds,
                "segments": done.segments,
                "failed": done.failed,
                "entered": done.entered,
                "exited": done.exited,
            },
        )
