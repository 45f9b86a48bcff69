"""Who fell silent: at instants T, who did something (match 0) in a baseline, and nothing in the quiet time that followed.

Active at T is who has a row in [T - quiet - baseline, T - quiet); churned who of them has none in [T - quiet, T).
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from gdp_core.timeline.kernels.history import History
from gdp_core.timeline.kernels.search import row_from

KEPT, CHURNED = range(2)


@njit(nogil=True, cache=True)
def silences(
    history: History, instants: NDArray[np.int64], quiet: int, baseline: int, states: int, instant: int
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """counts[state, T] over the ascending `instants`, and who was in one of `states` (bits) at one of them, by place."""
    counted = history.counted
    counts = np.zeros((2, len(instants)), np.int64)
    listed = np.zeros(len(counted), np.bool_)
    if not len(instants):
        return counts, listed
    for person in range(len(counted)):
        if counted[person]:
            listed[person] = states & _state(history, person, instants, quiet, quiet + baseline, instant, counts)
    counts[KEPT] -= counts[CHURNED]
    return counts, listed


@njit(nogil=True, cache=True)
def _state(
    history: History,
    person: int,
    instants: NDArray[np.int64],
    quiet: int,
    whole: int,
    instant: int,
    counts: NDArray[np.int64],
) -> int:
    """The bit of what a person was at one of the instants. Counts the active as KEPT and, of them, the CHURNED.

    A row at t makes its person active at the T of (t + quiet, t + whole], and present at those of (t, t + quiet]. Of rows
    in the order of time each of these begins and ends later than the one before: one look at every row and T is enough.
    """
    _, _, at, marks, flags, matches = history
    end, last = history.offsets[person + 1], len(instants)
    was_active, has_churned = False, False
    active, silent = 0, 0  # the next T to be decided
    before = instants[0] - whole - 1  # the row before: too early to matter
    for row in range(row_from(at, history.offsets[person], end, instants[0] - whole), end + 1):
        if row < end and not matches[flags[row] & 7, marks[row]] & 1:
            continue
        now = at[row] if row < end else instants[last - 1]
        while silent < last and instants[silent] <= now:  # the row before is the last one before this T
            if before + quiet < instants[silent] <= before + whole:
                counts[CHURNED, silent] += 1
                has_churned |= silent == instant
            silent += 1
        if silent == last:
            break
        while active < last and instants[active] <= now + whole:
            if now + quiet < instants[active]:
                counts[KEPT, active] += 1
                was_active |= active == instant
            active += 1
        before = now
    if not was_active:
        return 0
    return 1 << (CHURNED if has_churned else KEPT)
