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
    while row < end:
        middle = (row + end) >> 1
        if at[middle] < instant:
            row = middle + 1
        else:
            end = middle
    return row


@njit(nogil=True, cache=True)
def interval_at(edges: NDArray[np.int64], instant: int) -> int:
    """The interval that holds an instant; edges[0] <= instant < edges[-1] is the caller's promise."""
    last = len(edges) - 2
    guess = int((instant - edges[0]) * ((last + 1) / (edges[-1] - edges[0])))
    found = min(max(guess, 0), last)
    while instant < edges[found]:
        found -= 1
    while instant >= edges[found + 1]:
        found += 1
    return found


@njit(nogil=True, cache=True)
def intervals_at(edges: NDArray[np.int64], instants: NDArray[np.int64]) -> NDArray[np.int32]:
    """The interval of each instant, under the same promise."""
    found = np.empty(len(instants), np.int32)
    for index in range(len(instants)):
        found[index] = interval_at(edges, instants[index])
    return found
