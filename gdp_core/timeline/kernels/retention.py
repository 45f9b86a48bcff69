"""Who started when, and in which intervals after that they came back.

A start is a person, the row they started with (the last one at or before the instant, when the start is no event) and
the instant t0. Rows after that row, and they alone, can be returns. Interval 0 is the one t0 is in.
"""

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from gdp_core.timeline.kernels.history import History
from gdp_core.timeline.kernels.search import density, interval_at, row_from


@njit(nogil=True, cache=True)
def first_starts(history: History, since: int, until: int, ever: bool) -> NDArray[np.int64]:
    """The row of each person's start (match 0) in [since, until), else -1: their first one at all, or there."""
    offsets, counted, at, marks, flags, matches = history
    rows = np.full(len(counted), -1, np.int64)
    for person in range(len(counted)):
        if not counted[person]:
            continue
        first, end = offsets[person], offsets[person + 1]
        if not ever:
            first = row_from(at, first, end, since)
        for row in range(first, end):
            if matches[flags[row] & 7, marks[row]] & 1:
                if since <= at[row] < until:
                    rows[person] = row
                break
    return rows


@njit(nogil=True, cache=True)
def recurring_starts(
    history: History, since: int, until: int, edges: NDArray[np.int64]
) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """(person, row) of everybody's first start in each of the intervals between `edges`, within [since, until)."""
    offsets, counted, at, marks, flags, matches = history
    dense = density(edges)
    people = np.empty(0, np.int32)
    rows = np.empty(0, np.int64)
    for filling in range(2):  # count, then fill
        found = 0
        for person in range(len(counted)):
            if not counted[person]:
                continue
            end = offsets[person + 1]
            over = since  # where the interval of the last start ends
            for row in range(row_from(at, offsets[person], end, since), end):
                if at[row] >= until:
                    break
                if at[row] < over or not matches[flags[row] & 7, marks[row]] & 1:
                    continue
                over = edges[interval_at(edges, dense, at[row]) + 1]
                if filling:
                    people[found] = person
                    rows[found] = row
                found += 1
        if not filling:
            people = np.empty(found, np.int32)
            rows = np.empty(found, np.int64)
    return people, rows


@njit(nogil=True, cache=True)
def rows_at(history: History, people: NDArray[np.int32], instants: NDArray[np.int64]) -> NDArray[np.int64]:
    """Each person's last row at or before an instant; the row before their first one when there is none."""
    offsets, at = history.offsets, history.at
    rows = np.empty(len(people), np.int64)
    for start in range(len(people)):
        person = people[start]
        rows[start] = row_from(at, offsets[person], offsets[person + 1], instants[start] + 1) - 1
    return rows


@njit(nogil=True, cache=True)
def add(sums: NDArray[Any], slot: int, columns: NDArray[np.uint64], interval: int, amount: float) -> None:
    """Add an amount to the columns an interval is in."""
    for column in range(sums.shape[1]):
        if columns[interval, column >> 6] >> np.uint64(column & 63) & np.uint64(1):
            sums[slot, column] += amount


@njit(nogil=True, cache=True)
def returns(
    history: History,
    people: NDArray[np.int32],
    rows: NDArray[np.int64],
    instants: NDArray[np.int64],
    homes: NDArray[np.int32],
    edges: NDArray[np.int64],
    unit: int,
    columns: NDArray[np.uint64],
    until: int,
    amount_codes: NDArray[np.int32],
    numbers: NDArray[Any],
    adding: bool,
    slots: NDArray[np.int32],
    sums: NDArray[Any],
) -> NDArray[np.uint64]:
    """Which columns each start came back in (match 1, before `until`): bit c % 64 of word c // 64.

    `columns` (M, words) says by interval which columns it is in; the last row is for all later intervals. Intervals are
    those between `edges`, counted from `homes`, or `unit` microseconds each from `instants` where there are no edges.
    With `adding`, numbers[amount_codes[row]] of every return of match 2 is added to sums[slots[start]] of its columns.
    """
    offsets, _, at, marks, flags, matches = history
    last, words = columns.shape[0] - 1, columns.shape[1]
    open_ended = columns[last].any()
    rolling = len(edges) == 0
    dense = density(edges)
    wanted = np.uint32(6 if adding else 2)
    kept = np.zeros((len(people), words), np.uint64)
    for start in range(len(people)):
        over = instants[start]  # where the interval of the last return ends
        interval = 0
        for row in range(rows[start] + 1, offsets[people[start] + 1]):
            met = matches[flags[row] & 7, marks[row]] & wanted
            if not met:
                continue
            now = at[row]
            if now >= over:
                if now >= until:
                    break
                if rolling:
                    interval = (now - instants[start]) // unit
                    over = instants[start] + (interval + 1) * unit
                else:
                    found = interval_at(edges, dense, now)
                    interval = found - homes[start]
                    over = edges[found + 1]
                if interval >= last and not open_ended:
                    break
                interval = min(interval, last)
                over = min(over, until)
            if met & 2:
                for word in range(words):
                    kept[start, word] |= columns[interval, word]
            if met & 4:
                amount = numbers[amount_codes[row]]
                if amount:
                    add(sums, slots[start], columns, interval, amount)
    return kept


@njit(nogil=True, cache=True)
def tally(kept: NDArray[np.uint64], slots: NDArray[np.int32], counts: NDArray[np.int64]) -> None:
    """Add to counts[slot, column] the starts that came back in each column."""
    for start in range(len(slots)):
        slot = slots[start]
        for word in range(kept.shape[1]):
            first = word * 64
            for bit in range(min(64, counts.shape[1] - first)):
                counts[slot, first + bit] += np.int64(kept[start, word] >> np.uint64(bit) & np.uint64(1))
