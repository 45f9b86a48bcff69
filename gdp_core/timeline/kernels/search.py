"""Finding a place in ascending instants: the row of a person from which a period begins, the interval an instant is in.

Rows of a person are in the order of time, so kernels stay in an interval until a row leaves it and only then look the
next one up. Intervals of a calendar are nearly equally long: the mean length tells where to look, and a step or two
from there ends daylight saving's and February's differences.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray


@njit(nogil=True, cache=True)
def row_from(at: NDArray[np.int64], row: int, end: int, instant: int) -> int:
    """The first of the rows row <= r < end at or after an instant; `end` when there is none."""
    if row < end and at[row] >= instant:
        return row
    while row < end:
        middle = (row + end) >> 1
        if at[middle] < instant:
            row = middle + 1
        else:
            end = middle
    return row


@njit(nogil=True, cache=True)
def density(edges: NDArray[np.int64]) -> float:
    """Intervals for each microsecond, on average: where `interval_at` looks first."""
    return (len(edges) - 1) / (edges[-1] - edges[0]) if len(edges) and edges[-1] > edges[0] else 0.0


@njit(nogil=True, cache=True)
def interval_at(edges: NDArray[np.int64], dense: float, instant: int) -> int:
    """The interval that holds an instant; outside of all of them the nearest."""
    last = len(edges) - 2
    found = min(max(int((instant - edges[0]) * dense), 0), last)
    while found > 0 and instant < edges[found]:
        found -= 1
    while found < last and instant >= edges[found + 1]:
        found += 1
    return found


@njit(nogil=True, cache=True)
def intervals_at(edges: NDArray[np.int64], instants: NDArray[np.int64]) -> NDArray[np.int32]:
    """The interval of each instant."""
    dense = density(edges)
    found = np.empty(len(instants), np.int32)
    for index in range(len(instants)):
        found[index] = interval_at(edges, dense, instants[index])
    return found
