"""Timelines from arrays: real data sets, and more people than a loop would do."""

from collections.abc import Mapping
from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gdp_core.timeline.arrays import MISSING, EventColumn, PersonColumn, Shard, Timeline


class _Arrays:
    """Columns given as arrays; any other field is all missing."""

    def __init__(
        self, events: Mapping[str, NDArray], people: Mapping[str, NDArray], bounds: NDArray, persons: int
    ) -> None:
        self._events = events
        self._people = people
        self._bounds = bounds
        self._persons = persons

    def event(self, name: str) -> EventColumn:
        codes, values = _coded(self._events.get(name), int(self._bounds[-1]))
        return EventColumn(tuple(np.split(codes, self._bounds[1:-1])), values)

    def person(self, name: str) -> PersonColumn:
        return PersonColumn(*_coded(self._people.get(name), self._persons))

    def whole(self, _name: str) -> None:
        """Everything is coded here."""

    def known(self) -> tuple[NDArray[np.int64], ...]:
        """Nobody asks when these were applied."""
        return ()


def _coded(given: NDArray | None, length: int) -> tuple[NDArray[np.int32], tuple]:
    if given is None:
        return np.full(length, MISSING, np.int32), ()
    values, codes = np.unique(given, return_inverse=True)
    return codes.astype(np.int32), tuple(values.tolist())


def bulk(
    person: ArrayLike,
    at: ArrayLike,
    name: ArrayLike,
    *,
    flags: ArrayLike | None = None,
    properties: Mapping[str, ArrayLike] | None = None,
    traits: Mapping[str, ArrayLike] | None = None,
    shards: int = 1,
    watermark: int = 2**62,
) -> Timeline:
    """A timeline of events (who, microseconds, name) in any order; those of one instant keep the order they come in.

    People are numbered by what identifies them, ascending: `traits` are aligned with that. Shards are ranges of people.
    """
    numbers, index = np.unique(np.asarray(person), return_inverse=True)
    names, code = np.unique(np.asarray(name), return_inverse=True)
    at = np.asarray(at, np.int64)
    order = np.lexsort((at, index))
    starts = np.searchsorted(index[order], np.arange(len(numbers) + 1))
    sorted_at, sorted_code = at[order], code[order].astype(np.uint16)
    sorted_flags = np.zeros(len(at), np.uint8) if flags is None else np.asarray(flags, np.uint8)[order]
    cuts = np.linspace(0, len(numbers), shards + 1).astype(int)
    built = []
    for first, last in pairwise(cuts):
        rows = slice(starts[first], starts[last])
        built.append(
            Shard(
                people=np.arange(first, last, dtype=np.int32),
                offsets=starts[first : last + 1] - starts[first],
                at=sorted_at[rows],
                code=sorted_code[rows],
                flags=sorted_flags[rows],
                live=np.ones(last - first, np.bool_),
            )
        )
    columns = _Arrays(
        {field: np.asarray(given)[order] for field, given in (properties or {}).items()},
        {field: np.asarray(given) for field, given in (traits or {}).items()},
        starts[cuts],
        len(numbers),
    )
    lasting = numbers if numbers.dtype.kind in "iu" else np.arange(len(numbers))
    return Timeline("test", watermark, tuple(names.tolist()), lasting.astype(np.int64), tuple(built), columns)
