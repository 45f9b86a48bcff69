"""Some of a timeline's people as a timeline of their own: whoever asks about few need not ask about everybody."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gdp_core.timeline.arrays import EventColumn, PersonColumn, Shard, Timeline, Value


def some(timeline: Timeline, places: NDArray[np.int64]) -> Timeline:
    """The people at these places of timeline.numbers (ascending, each once), with what they did; who does not count keeps
    no events."""
    wanted = np.zeros(timeline.people, np.bool_)
    wanted[places] = True
    parts, rows = zip(*(_part(shard, wanted, places) for shard in timeline.shards), strict=True)
    columns = _Cut(timeline, places, rows)
    return replace(timeline, numbers=timeline.numbers[places], shards=parts, columns=columns)


def _part(shard: Shard, wanted: NDArray[np.bool_], places: NDArray[np.int64]) -> tuple[Shard, NDArray[np.int64]]:
    """Those of a shard, and which of its rows are theirs. Who does not count in a shard may stand at another's place."""
    inside = np.flatnonzero(shard.live & wanted[shard.people])
    first = shard.offsets[inside]
    counts = shard.offsets[inside + 1] - first
    offsets = np.append(0, np.cumsum(counts))
    rows = np.repeat(first - offsets[:-1], counts) + np.arange(offsets[-1])
    people = np.searchsorted(places, shard.people[inside]).astype(np.int32)
    live = np.ones(len(inside), np.bool_)
    return Shard(people, offsets, shard.at[rows], shard.code[rows], shard.flags[rows], live), rows


@dataclass(frozen=True, slots=True, eq=False)
class _Cut:
    """The columns of everybody, cut out for some. Only the values they have: what is decided is decided for each."""

    timeline: Timeline
    places: NDArray[np.int64]
    rows: Sequence[NDArray[np.int64]]

    def event(self, field: str) -> EventColumn:
        """See arrays.Columns."""
        whole = self.timeline.columns.event(field)
        codes = [part[rows] for part, rows in zip(whole.codes, self.rows, strict=True)]
        again, values = _numbered(np.concatenate(codes), whole.values)
        cuts = np.cumsum([len(part) for part in codes])[:-1]
        return EventColumn(tuple(np.split(again, cuts)), values)

    def person(self, field: str) -> PersonColumn:
        """See arrays.Columns."""
        whole = self.timeline.columns.person(field)
        return PersonColumn(*_numbered(whole.codes[self.places], whole.values))

    def known(self) -> tuple[NDArray[np.int64], ...]:
        """See arrays.Columns."""
        return tuple(part[rows] for part, rows in zip(self.timeline.columns.known(), self.rows, strict=True))

    def whole(self, field: str) -> NDArray[Any] | None:
        """See arrays.Columns."""
        found = self.timeline.columns.whole(field)
        return None if found is None else found[self.places]


def _numbered(codes: NDArray[np.int32], values: Sequence[Value]) -> tuple[NDArray[np.int32], tuple[Value, ...]]:
    """The same codes numbered anew, and the values that are left."""
    present, again = np.unique(codes, return_inverse=True)
    shift = 1 if len(present) and present[0] < 0 else 0
    kept = tuple(values[code] for code in present.tolist() if code >= 0)
    return (again.reshape(-1) - shift).astype(np.int32), kept
