"""What of a stream happened when: rows of one kind of event, of the people who have any, each a range of it.

Stream person k's rows are rows[starts[k]:starts[k + 1]] of a shard, ascending, which is the order of time and of ties.
Nothing here reads a row that is not of the stream, so a question about a rare event is quick however long histories are.
"""

from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

SUM, MEAN, LEAST, MOST, DISTINCT = range(5)


class Keyed(NamedTuple):
    """Ranges of a stream's rows, by some list of people: theirs are rows[first[i]:end[i]], at the instants `at`."""

    rows: NDArray[np.int32]
    at: NDArray[np.int64]
    first: NDArray[np.int32]
    end: NDArray[np.int32]


@njit(nogil=True, cache=True)
def by_code(code: NDArray[np.uint16], kinds: int) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """The rows of each code, ascending: those of c are rows[starts[c]:starts[c + 1]]."""
    starts = np.zeros(kinds + 1, np.int64)
    for row in range(len(code)):
        starts[code[row] + 1] += 1
    starts = np.cumsum(starts)
    place, rows = starts[:-1].copy(), np.empty(len(code), np.int32)
    for row in range(len(code)):
        rows[place[code[row]]] = row
        place[code[row]] += 1
    return rows, starts


@njit(nogil=True, cache=True)
def by_person(rows: NDArray[np.int32], offsets: NDArray[np.int64]) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """(people, starts) of ascending rows: who has any, and where theirs begin."""
    most = min(len(rows), len(offsets) - 1)
    people, starts = np.empty(most, np.int32), np.empty(most + 1, np.int32)
    found, person, end = 0, -1, np.int64(-1)
    for place in range(len(rows)):
        if rows[place] >= end:
            person += 1
            while offsets[person + 1] <= rows[place]:
                person += 1
            end = offsets[person + 1]
            people[found], starts[found] = person, place
            found += 1
    starts[found] = len(rows)
    return people[:found].copy(), starts[: found + 1].copy()


@njit(nogil=True, cache=True)
def _from(at: NDArray[np.int64], first: int, end: int, instant: int) -> int:
    """The first place first <= p < end at or after an instant; `end` when there is none."""
    if first < end and at[end - 1] < instant:  # most have done nothing lately
        return end
    while first < end:
        middle = (first + end) >> 1
        if at[middle] < instant:
            first = middle + 1
        else:
            end = middle
    return first


@njit(nogil=True, cache=True)
def between(
    starts: NDArray[np.int32], at: NDArray[np.int64], since: NDArray[np.int64], until: NDArray[np.int64]
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """The range of places of each person's rows in [since, until); one instant is everybody's."""
    people = len(starts) - 1
    first, end = np.empty(people, np.int32), np.empty(people, np.int32)
    for person in range(people):
        begins = since[person if len(since) > 1 else 0]
        over = max(begins, until[person if len(until) > 1 else 0])
        low, high = starts[person], starts[person + 1]
        if at[low] < begins:
            low = _from(at, low, high, begins)
        if low < high and at[high - 1] >= over:
            high = _from(at, low, high, over)
        first[person], end[person] = low, high
    return first, end


@njit(nogil=True, cache=True)
def matched(
    people: NDArray[np.int32], others: NDArray[np.int32], starts: NDArray[np.int32], at: NDArray[np.int64], until: int
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """The range of places before `until`, in the stream of `others`, of each of `people`; both ascend."""
    first, end = np.zeros(len(people), np.int32), np.zeros(len(people), np.int32)
    place = 0
    for person in range(len(people)):
        while place < len(others) and others[place] < people[person]:
            place += 1
        if place == len(others):
            break
        if others[place] == people[person]:
            low, high = starts[place], starts[place + 1]
            first[person] = low
            end[person] = high if at[high - 1] < until else _from(at, low, high, until)
    return first, end


@njit(nogil=True, cache=True)
def _table(stream: Keyed) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.int32]]:
    """(keys, whose, what) of a table with room for the keys of whoever has most rows; every person starts it anew."""
    most = 1
    for person in range(len(stream.first)):
        most = max(most, stream.end[person] - stream.first[person])
    size = 2
    while size < 2 * most:
        size *= 2
    return np.empty(size, np.int32), np.full(size, -1, np.int32), np.empty(size, np.int32)


@njit(nogil=True, cache=True)
def _slot(keys: NDArray[np.int32], whose: NDArray[np.int32], person: int, key: int) -> int:
    """Where in a table a key of a person is, or would be."""
    last = len(keys) - 1
    slot = int(((np.int64(key) * 0x9E3779B1) >> 7) & last)
    while whose[slot] == person and keys[slot] != key:
        slot = (slot + 1) & last
    return slot


@njit(nogil=True, cache=True)
def spread(
    told: NDArray[Any],
    values: NDArray[Any],
    people: NDArray[np.int32],
    places: NDArray[np.int32],
    live: NDArray[np.bool_],
) -> None:
    """Values of a stream's people into an array over everybody: places[i] is that of the shard's person i."""
    for index in range(len(people)):
        person = people[index]
        if live[person]:
            told[places[person]] = values[index]


@njit(nogil=True, cache=True)
def reckon(
    stream: Keyed, codes: NDArray[np.int32], numbers: NDArray[np.float64], kind: int
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """A number of the rows of each person, and how many rows have one. Nothing adds up to 0; of nothing else is NaN.

    `numbers` by code, NaN for what is none, and last for code -1; DISTINCT asks for none, and counts codes that are not -1.
    """
    rows, _, first, end = stream
    found, had = np.zeros(len(first)), np.zeros(len(first), np.int64)
    table, whose, _ = _table(stream)
    for person in range(len(first)):
        total, count = 0.0, 0
        for place in range(first[person], end[person]):
            code = codes[rows[place]]
            if kind == DISTINCT:
                slot = _slot(table, whose, person, code)
                if code >= 0 and whose[slot] != person:
                    table[slot], whose[slot] = code, person
                    count += 1
                continue
            number = numbers[code]
            if np.isnan(number):
                continue
            if kind <= MEAN:
                total += number
            elif count == 0 or (number < total if kind == LEAST else number > total):
                total = number
            count += 1
        if kind == DISTINCT:
            total = count
        elif kind != SUM:
            total = np.nan if count == 0 else total / count if kind == MEAN else total
        found[person], had[person] = total, count
    return found, had


@njit(nogil=True, cache=True)
def unanswered(asked: Keyed, answers: Keyed, since: int, until: int, keys: NDArray[np.int32]) -> NDArray[np.int32]:
    """The place of each person's last row in [since, until) that no answer follows; -1 without one.

    With `keys` (by row; else empty) only an answer of the same key follows, and rows without a key ask nothing.
    """
    found = np.full(len(asked.first), -1, np.int32)
    table, whose, _ = _table(answers)
    for person in range(len(asked.first)):
        low = _from(asked.at, asked.first[person], asked.end[person], since)
        high = _from(asked.at, low, asked.end[person], until)
        answer = answers.end[person] - 1
        for place in range(high - 1, low - 1, -1):
            row = asked.rows[place]
            if len(keys) == 0:
                if answer < answers.first[person] or answers.rows[answer] <= row:
                    found[person] = place
                break
            if keys[row] < 0:
                continue
            while answer >= answers.first[person] and answers.rows[answer] > row:  # those that follow, by key
                key = keys[answers.rows[answer]]
                slot = _slot(table, whose, person, key)
                table[slot], whose[slot] = key, person
                answer -= 1
            if whose[_slot(table, whose, person, keys[row])] != person:
                found[person] = place
                break
    return found


@njit(nogil=True, cache=True)
def followed(
    asked: Keyed,
    answers: Keyed,
    within: int,
    keys: NDArray[np.int32],
    want: bool,
    over_before: int,
) -> NDArray[np.int32]:
    """The place of each person's last row that an answer follows `within` so long (inclusive), or, without `want`, that
    lies before `over_before` and none follows; -1 without one. `keys` as in `unanswered`.
    """
    found = np.full(len(asked.first), -1, np.int32)
    table, whose, soonest = _table(answers)
    for person in range(len(asked.first)):
        answer = answers.end[person] - 1
        for place in range(asked.end[person] - 1, asked.first[person] - 1, -1):
            row = asked.rows[place]
            key = keys[row] if len(keys) else 0
            if key < 0 or (not want and asked.at[place] >= over_before):
                continue
            while answer >= answers.first[person] and answers.rows[answer] > row:  # the first that follows, by key
                its = keys[answers.rows[answer]] if len(keys) else 0
                slot = _slot(table, whose, person, its)
                table[slot], whose[slot], soonest[slot] = its, person, answer
                answer -= 1
            slot = _slot(table, whose, person, key)
            met = whose[slot] == person and answers.at[soonest[slot]] - asked.at[place] <= within
            if met == want:
                found[person] = place
                break
    return found


@njit(nogil=True, cache=True)
def periods(stream: Keyed, until: int, period: int) -> NDArray[np.int64]:
    """In how many periods of this length, counted back from `until`, each person has rows."""
    found = np.zeros(len(stream.first), np.int64)
    for person in range(len(stream.first)):
        last = np.int64(-1)
        for place in range(stream.first[person], stream.end[person]):
            period_of = (until - 1 - stream.at[place]) // period
            found[person] += period_of != last
            last = period_of
    return found


@njit(nogil=True, cache=True)
def standing(
    stream: Keyed,
    keys: NDArray[np.int32],
    wanted: NDArray[np.bool_],
    since: int,
    until: int,
) -> NDArray[np.int32]:
    """The place of a row of each person that is the last of its key, `wanted` and in [since, until); -1 without one.

    `wanted` by place. `keys` by row; rows without a key are of one more.
    """
    found = np.full(len(stream.first), -1, np.int32)
    table, whose, _ = _table(stream)
    for person in range(len(stream.first)):
        for place in range(stream.end[person] - 1, stream.first[person] - 1, -1):
            key = keys[stream.rows[place]]
            slot = _slot(table, whose, person, key)
            if whose[slot] == person:
                continue
            table[slot], whose[slot] = key, person
            if wanted[place] and since <= stream.at[place] < until:
                found[person] = place
                break
    return found
