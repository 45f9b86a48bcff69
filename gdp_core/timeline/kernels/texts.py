"""Finds texts among many by their bytes. Text k of some is texts[starts[k]:starts[k + 1]]."""

import numpy as np
from numba import njit
from numpy.typing import NDArray

_NONE = -1


@njit(nogil=True, cache=True)
def _slot(
    table: NDArray[np.int32],
    starts: NDArray[np.int64],
    texts: NDArray[np.uint8],
    sought: NDArray[np.uint8],
    first: int,
    end: int,
) -> int:
    """Where in the table a text is, or would be."""
    mixed = np.uint64(14695981039346656037)
    for place in range(first, end):
        mixed = (mixed ^ np.uint64(sought[place])) * np.uint64(1099511628211)
    last = np.uint64(len(table) - 1)
    slot = (mixed ^ (mixed >> np.uint64(32))) & last
    while table[slot] != _NONE:
        begins = starts[table[slot]]
        if starts[table[slot] + 1] - begins == end - first:
            same = True
            for place in range(end - first):
                if texts[begins + place] != sought[first + place]:
                    same = False
                    break
            if same:
                break
        slot = (slot + np.uint64(1)) & last
    return int(slot)


@njit(nogil=True, cache=True)
def table_of(starts: NDArray[np.int64], texts: NDArray[np.uint8]) -> NDArray[np.int32]:
    """A table for `places`: which text is where, by a hash of it."""
    size = 2
    while size < 2 * len(starts):
        size *= 2
    table = np.full(size, _NONE, np.int32)
    for one in range(len(starts) - 1):
        slot = _slot(table, starts, texts, texts, starts[one], starts[one + 1])
        if table[slot] == _NONE:
            table[slot] = one
    return table


@njit(nogil=True, cache=True)
def places(
    table: NDArray[np.int32],
    starts: NDArray[np.int64],
    texts: NDArray[np.uint8],
    sought_starts: NDArray[np.int64],
    sought: NDArray[np.uint8],
) -> NDArray[np.int32]:
    """Which of the texts of a table each sought one is; -1 for none."""
    found = np.empty(len(sought_starts) - 1, np.int32)
    for one in range(len(found)):
        found[one] = table[_slot(table, starts, texts, sought, sought_starts[one], sought_starts[one + 1])]
    return found
