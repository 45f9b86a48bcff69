"""Streams: the rows of one kind of event, by person. What a segment asks of events, it asks of these.

A stream of a shard depends on nothing but the shard, so those of a base serve every later snapshot that stands on it,
whatever `now` is. They are kept in memory up to a limit; what is asked least goes first.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gdp_core.timeline.arrays import MACHINE, Shard, Timeline
from gdp_core.timeline.kept import Kept
from gdp_core.timeline.kernels.streams import Keyed, between, by_code, by_person, matched
from gdp_core.timeline.matching import Match, decided

_MOST_BYTES = 1 << 30


@dataclass(frozen=True, slots=True, eq=False)
class Stream:
    """The rows of a match in a shard, ascending, and their instants: people[k], a place in the shard, has those at the
    places starts[k] <= p < starts[k + 1]."""

    shard: Shard
    rows: NDArray[np.int32]
    at: NDArray[np.int64]
    people: NDArray[np.int32]
    starts: NDArray[np.int32]

    @property
    def nbytes(self) -> int:
        """What it takes in memory, without its shard."""
        return self.rows.nbytes + self.at.nbytes + self.people.nbytes + self.starts.nbytes

    @property
    def everything(self) -> Keyed:
        """All rows of everybody who has any."""
        return Keyed(self.rows, self.at, self.starts[:-1], self.starts[1:])

    def within(self, since: NDArray[np.int64], until: NDArray[np.int64]) -> Keyed:
        """The rows in [since, until) of everybody who has any: microseconds, by person or one for all."""
        return Keyed(self.rows, self.at, *between(self.starts, self.at, since, until))

    def of(self, people: NDArray[np.int32], until: int) -> Keyed:
        """The rows before `until` of these people of the shard, ascending; nothing of who has none."""
        return Keyed(self.rows, self.at, *matched(people, self.people, self.starts, self.at, until))


@dataclass(frozen=True, slots=True, eq=False)
class _ByCode:
    """The rows of a shard by the code of their event."""

    rows: NDArray[np.int32]
    starts: NDArray[np.int64]


_kept = Kept(_MOST_BYTES)


def streams(timeline: Timeline, match: Match, *, machines: bool = False) -> tuple[Stream, ...]:
    """A match's rows in every shard. Without names: whatever people surely did; by name: whoever but a machine did it.

    `machines` counts what machines did too.
    """
    return tuple(_stream(timeline, number, match, machines) for number in range(len(timeline.shards)))


def drop(shard: str) -> None:
    """Let go of what was made of a shard that was replaced."""
    _kept.drop(shard)


def _stream(timeline: Timeline, number: int, match: Match, machines: bool) -> Stream:
    shard = timeline.shards[number]

    def make() -> Stream:
        rows = _rows(timeline, number, match, machines)
        return Stream(shard, rows, shard.at[rows], *by_person(rows, shard.offsets))

    if not shard.name:
        return make()
    # Of 1, True and "1" Python says that the first two are equal; as texts they are three.
    found = _kept.get((shard.name, repr(match), machines), make, lambda one: one.nbytes)
    return Stream(shard, found.rows, found.at, found.people, found.starts)


def _rows(timeline: Timeline, number: int, match: Match, machines: bool) -> NDArray[np.int32]:
    shard = timeline.shards[number]
    if match.names:
        ordered = _by_code(shard, len(timeline.names))
        parts = [
            ordered.rows[ordered.starts[code] : ordered.starts[code + 1]]
            for code in timeline.codes_of(match.names)
            if code + 1 < len(ordered.starts)
        ]
        rows = _together(parts)
        flags = np.uint8(0 if machines else MACHINE)
    else:
        rows, flags = np.arange(shard.rows, dtype=np.int32), np.uint8(0xFF - (MACHINE if machines else 0))
    unwanted = shard.flags[rows] & flags
    if unwanted.any():
        rows = rows[unwanted == 0]
    for condition in match.conditions:
        column = timeline.columns.event(condition.name)
        rows = rows[decided(column, condition)[column.codes[number][rows]]]
    return rows


def _together(parts: Sequence[NDArray[np.int32]]) -> NDArray[np.int32]:
    if len(parts) == 1:
        return parts[0]
    return np.sort(np.concatenate(parts)) if parts else np.empty(0, np.int32)


def _by_code(shard: Shard, kinds: int) -> _ByCode:
    if not shard.name:
        return _ByCode(*by_code(shard.code, kinds))
    return _kept.get((shard.name,), lambda: _ByCode(*by_code(shard.code, kinds)), lambda one: one.rows.nbytes)
