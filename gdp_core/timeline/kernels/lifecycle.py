"""When people were active: what each interval was to them, how many intervals they were active in, and day by day.

Active in an interval is whoever has a row of match 0 in it. Only the first such row of an interval matters.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from gdp_core.timeline.kernels.history import History
from gdp_core.timeline.kernels.search import density, interval_at, row_from

NEW, RETURNING, RESURRECTING, DORMANT = range(4)
_NEVER, _EARLIER = -2, -1  # the last active interval of somebody new, and of somebody active before the first edge


@njit(nogil=True, cache=True)
def states_of(
    history: History, edges: NDArray[np.int64], until: int, states: int, interval: int
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """counts[state, interval between edges], and who was in one of `states` (bits) in an interval.

    Every interval has begun. Rows at or after `until` do not count. A person's first row of all decides who is new. What came just before the
    first edge is not looked at: of the first interval only the number of the active is right, not what they were.
    """
    offsets, counted, at, marks, flags, matches = history
    intervals, dense = len(edges) - 1, density(edges)
    until = min(until, edges[-1])
    counts = np.zeros((4, intervals), np.int64)
    listed = np.zeros(len(counted), np.bool_)
    for person in range(len(counted)):
        if not counted[person]:
            continue
        end = offsets[person + 1]
        first = row_from(at, offsets[person], end, edges[0])
        previous, over = _NEVER, edges[0]
        for row in range(first, end):
            now = at[row]
            if now < over or not matches[flags[row] & 7, marks[row]] & 1:
                continue
            if now >= until:
                break
            found = interval_at(edges, dense, now)
            over = edges[found + 1]
            if previous == _NEVER and _first_active(history, offsets[person], first) < first:
                previous = _EARLIER
            state = NEW if previous == _NEVER else RETURNING if previous == found - 1 else RESURRECTING
            counts[state, found] += 1
            listed[person] |= _is_wanted(state, found, states, interval)
            if 0 <= previous < found - 1:
                counts[DORMANT, previous + 1] += 1
                listed[person] |= _is_wanted(DORMANT, previous + 1, states, interval)
            previous = found
        if 0 <= previous < intervals - 1:
            counts[DORMANT, previous + 1] += 1
            listed[person] |= _is_wanted(DORMANT, previous + 1, states, interval)
    return counts, listed


@njit(nogil=True, cache=True)
def _is_wanted(state: int, found: int, states: int, interval: int) -> bool:
    return found == interval and (states >> state) & 1 == 1


@njit(nogil=True, cache=True)
def _first_active(history: History, first: int, end: int) -> int:
    """The first of the rows first <= row < end that is of match 0; `end` when there is none."""
    for row in range(first, end):
        if history.matches[history.flags[row] & 7, history.marks[row]] & 1:
            return row
    return end


@njit(nogil=True, cache=True)
def active_intervals(history: History, edges: NDArray[np.int64], until: int) -> NDArray[np.int32]:
    """In how many of the intervals between edges each person was active, before `until`."""
    offsets, counted, at, marks, flags, matches = history
    dense = density(edges)
    until = min(until, edges[-1])
    found = np.zeros(len(counted), np.int32)
    for person in range(len(counted)):
        if not counted[person]:
            continue
        over, end = edges[0], offsets[person + 1]
        for row in range(row_from(at, offsets[person], end, over), end):
            now = at[row]
            if now < over or not matches[flags[row] & 7, marks[row]] & 1:
                continue
            if now >= until:
                break
            over = edges[interval_at(edges, dense, now) + 1]
            found[person] += 1
    return found


@njit(nogil=True, cache=True)
def trailing(history: History, edges: NDArray[np.int64], until: int, spans: NDArray[np.int64]) -> NDArray[np.int64]:
    """How many people were active in the `spans[s]` days that end with each day between edges: (spans, days).

    An active day counts for itself and the days after it, as far as the last active day has not covered them yet.
    """
    offsets, counted, at, marks, flags, matches = history
    days, dense = len(edges) - 1, density(edges)
    until = min(until, edges[-1])
    steps = np.zeros((len(spans), days + spans.max() + 1), np.int64)
    for person in range(len(counted)):
        if not counted[person]:
            continue
        over, end = edges[0], offsets[person + 1]
        previous = -spans.max()
        for row in range(row_from(at, offsets[person], end, over), end):
            now = at[row]
            if now < over or not matches[flags[row] & 7, marks[row]] & 1:
                continue
            if now >= until:
                break
            day = interval_at(edges, dense, now)
            over = edges[day + 1]
            for span in range(len(spans)):
                steps[span, max(day, previous + spans[span])] += 1
                steps[span, day + spans[span]] -= 1
            previous = day
    for span in range(len(spans)):
        steps[span] = np.cumsum(steps[span])
    return steps[:, :days]
