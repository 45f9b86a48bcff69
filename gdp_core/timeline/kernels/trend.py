"""Events and people counted, and a number of the events added up, by interval and by the value of a field.

What is counted together is a *slot*: all events of a series (a match), or those of one group of it. People count once
in a slot and interval, however many events they have there.
"""

from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from gdp_core.timeline.kernels.history import History
from gdp_core.timeline.kernels.search import density, interval_at, row_from


class Grouping(NamedTuple):
    """Which of `groups` groups a row is in: group_of[code], of its own codes or else of its person's; -1: in none.

    Both kinds of codes empty: there are no groups. The last element of `group_of` is for the code -1.
    """

    of_rows: NDArray[np.int32]
    of_people: NDArray[np.int32]
    group_of: NDArray[np.int32]
    groups: int


class Adding(NamedTuple):
    """The number of a row: numbers[codes[row]] where known, and rows without are left out. No codes: no numbers."""

    codes: NDArray[np.int32]
    numbers: NDArray[Any]
    known: NDArray[np.bool_]


class Wanted(NamedTuple):
    """Whom to list: the people of a slot in any of the intervals first..last. Slot -1: nobody."""

    slot: int
    first: int
    last: int


class Counted(NamedTuple):
    """By slot and interval. `firsts`: the people who are in the slot in no earlier interval of the period.

    A series has the slot series * (1 + groups), and its groups those that follow. `lowest` and `highest` mean nothing
    where there are no events. `listed` (P): the people wanted.
    """

    events: NDArray[np.int64]
    people: NDArray[np.int64]
    firsts: NDArray[np.int64]
    sums: NDArray[Any]
    lowest: NDArray[Any]
    highest: NDArray[Any]
    listed: NDArray[np.bool_]


class Room(NamedTuple):
    """Where the cell (slot * intervals + interval) and the number of each counted row go, as long as there is room."""

    cells: NDArray[np.int64]
    numbers: NDArray[Any]


@njit(nogil=True, cache=True)
def count_rows(  # noqa: C901
    history: History,
    series: int,
    edges: NDArray[np.int64],
    until: int,
    by: Grouping,
    adding: Adding,
    wanted: Wanted,
    room: Room,
) -> Counted:
    """Counts the rows of matches 0..series - 1 in the intervals between edges, before `until`."""
    offsets, counted, at, marks, flags, matches = history
    of_rows, of_people, group_of, groups = by
    codes, numbers, known = adding
    intervals, dense, slots = len(edges) - 1, density(edges), series * (1 + groups)
    until = min(until, edges[-1])
    shape = slots, intervals
    events, people, firsts = np.zeros(shape, np.int64), np.zeros(shape, np.int64), np.zeros(shape, np.int64)
    sums = np.zeros(shape, numbers.dtype)
    lowest, highest = np.full(shape, numbers.max(), numbers.dtype), np.full(shape, numbers.min(), numbers.dtype)
    listed = np.zeros(len(counted), np.bool_)
    latest = np.full(slots, -1, np.int64)  # person * intervals + interval of the last row of each slot
    filled = 0
    for person in range(len(counted)):
        if not counted[person]:
            continue
        group = group_of[of_people[person]] if len(of_people) else -1
        over, interval, end = edges[0], 0, offsets[person + 1]
        for row in range(row_from(at, offsets[person], end, over), end):
            met = matches[flags[row] & 7, marks[row]]
            if not met:
                continue
            now = at[row]
            if now >= over:
                if now >= until:
                    break
                interval = interval_at(edges, dense, now)
                over = min(edges[interval + 1], until)
            if len(codes) and not known[codes[row]]:
                continue
            if len(of_rows):
                group = group_of[of_rows[row]]
            for place in range(2 * series):  # of each series all, and its group
                if not met >> (place >> 1) & 1 or (place & 1 and group < 0):
                    continue
                slot = (place >> 1) * (1 + groups) + (place & 1) * (1 + group)
                events[slot, interval] += 1
                stamp = person * intervals + interval
                if latest[slot] != stamp:
                    people[slot, interval] += 1
                    if latest[slot] < person * intervals:
                        firsts[slot, interval] += 1
                    latest[slot] = stamp
                    if slot == wanted.slot and wanted.first <= interval <= wanted.last:
                        listed[person] = True
                if len(codes):
                    number = numbers[codes[row]]
                    sums[slot, interval] += number
                    lowest[slot, interval] = min(lowest[slot, interval], number)
                    highest[slot, interval] = max(highest[slot, interval], number)
                    if filled < len(room.cells):
                        room.cells[filled] = slot * intervals + interval
                        room.numbers[filled] = number
                        filled += 1
    return Counted(events, people, firsts, sums, lowest, highest, listed)
