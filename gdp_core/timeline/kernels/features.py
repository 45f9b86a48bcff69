"""What people's events add up to before an instant: all features of a workspace in one pass over each person's rows.

Rows are read from the newest back, so a person's pass ends where nothing older can change anything: those who only ask
for the last ninety days never touch the years before.
"""

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from gdp_core.timeline.kernels.search import row_from

COUNT, SUM, DISTINCT, DAYS, FIRST, LAST, FIRST_CODE, LAST_CODE = range(8)
ALWAYS = np.iinfo(np.int64).min
"""The `since` of a feature that all of history counts for."""
_DAY = 86_400_000_000


class Asked(NamedTuple):
    """F features. Row r is of those which[starts[k]:starts[k + 1]] with k = flags[r] * width + marks[r].

    `kinds` (F): what is told; `since` (F): rows before it do not count, in microseconds. `codes` are those of the field
    that SUM, DISTINCT, FIRST_CODE and LAST_CODE read, aligned with rows (empty when none does); `numbers` by code, NaN
    for what is no number. -1 is for rows without the field.
    """

    starts: NDArray[np.int64]
    which: NDArray[np.int32]
    width: int
    kinds: NDArray[np.int64]
    since: NDArray[np.int64]
    codes: NDArray[np.int32]
    numbers: NDArray[np.float64]


@njit(nogil=True, cache=True)
def tallies(
    offsets: NDArray[np.int64],
    counted: NDArray[np.bool_],
    at: NDArray[np.int64],
    marks: NDArray[np.uint16],
    flags: NDArray[np.uint8],
    asked: Asked,
    until: int,
) -> NDArray[np.float64]:
    """(P, F): what each feature is of the rows before `until`; NaN for who does not count.

    Of no row it is 0 for what is counted or added up, NaN for an instant (FIRST, LAST) and for a code. Whole numbers
    below 2**53 are exact, and so are instants in microseconds.
    """
    starts, which, width, kinds, since, codes, numbers = asked
    features = len(kinds)
    found = np.full((len(counted), features), np.nan)
    seen = np.zeros((features, len(numbers) if (kinds == DISTINCT).any() else 0), np.int32)
    day = np.zeros(features, np.int64)
    sought = (since == ALWAYS) & ((kinds == LAST) | (kinds == LAST_CODE))
    from_zero, lasts = kinds <= DAYS, sought.sum()
    # Older than this only what is sought in all of history, and was not found yet, can change anything.
    deep = np.where(sought, until, since).min() if features else until
    for person in range(len(counted)):
        if not counted[person]:
            continue
        told, missing = found[person], lasts
        told[from_zero] = 0
        day[:] = ALWAYS
        first, end = offsets[person], offsets[person + 1]
        if first < end and at[end - 1] >= until:
            end = row_from(at, first, end, until)
        for row in range(end - 1, first - 1, -1):
            now = at[row]
            if now < deep and missing == 0:
                break
            kept = flags[row] * width + marks[row]
            for place in range(starts[kept], starts[kept + 1]):
                feature = which[place]
                kind = kinds[feature]
                if now < since[feature]:
                    continue
                if kind == COUNT:
                    told[feature] += 1
                elif kind == DAYS:
                    told[feature] += day[feature] != now // _DAY
                    day[feature] = now // _DAY
                elif kind <= DISTINCT:
                    told[feature] += _amount(kind, codes[row], numbers, seen[feature], person + 1)
                else:
                    code = codes[row] if kind >= FIRST_CODE else 0
                    missing -= _keep(told, feature, kind, now, code, sought[feature])
    return found


@njit(nogil=True, cache=True)
def _amount(kind: int, code: int, numbers: NDArray[np.float64], seen: NDArray[np.int32], person: int) -> float:
    """What a row with this value of the field adds to a sum, or to the number of different values of a person."""
    if code < 0:
        return 0.0
    if kind == SUM:
        return 0.0 if np.isnan(numbers[code]) else numbers[code]
    new = seen[code] != person
    seen[code] = person
    return 1.0 if new else 0.0


@njit(nogil=True, cache=True)
def _keep(told: NDArray[np.float64], feature: int, kind: int, now: int, code: int, sought: bool) -> int:
    """Keep the instant or code of a row: of the rows read, newest first, the first or the last. 1: the sought is found."""
    if kind >= FIRST_CODE and code < 0:
        return 0
    new = np.isnan(told[feature])
    if new or kind % 2 == 0:  # FIRST and FIRST_CODE are even
        told[feature] = code if kind >= FIRST_CODE else now
    return 1 if new and sought else 0
