"""What people did in the time after their start: whether they met criteria, and which events go with coming back.

Starts are as in `retention`: a person, a row and an instant t0; what follows that row counts, and nothing from `until`.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from gdp_core.timeline.kernels.history import History

NOT_MET = -(2**62)


@njit(nogil=True, cache=True)
def met_at(
    history: History,
    people: NDArray[np.int32],
    rows: NDArray[np.int64],
    instants: NDArray[np.int64],
    window: int,
    times: NDArray[np.int64],
    until: int,
) -> NDArray[np.int64]:
    """When each start had times[k] rows of match k + 1, for every k, no later than `window` after t0; else NOT_MET."""
    offsets, _, at, marks, flags, matches = history
    met = np.full(len(people), NOT_MET, np.int64)
    left = np.empty(len(times), np.int64)
    for start in range(len(people)):
        left[:] = times
        open_criteria = len(times)
        end = min(instants[start] + window + 1, until)
        for row in range(rows[start] + 1, offsets[people[start] + 1]):
            if at[row] >= end:
                break
            found = matches[flags[row] & 7, marks[row]] >> 1
            for criterion in range(len(times)):
                if found >> criterion & 1:
                    left[criterion] -= 1
                    open_criteria -= left[criterion] == 0
            if not open_criteria:
                met[start] = at[row]
                break
    return met


@njit(nogil=True, cache=True)
def early_events(
    history: History,
    codes: NDArray[np.uint16],
    people: NDArray[np.int32],
    rows: NDArray[np.int64],
    instants: NDArray[np.int64],
    window: int,
    span: int,
    times: NDArray[np.int64],
    wanted: tuple[int, int],
    counts: NDArray[np.int64],
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Who came back (match 1) in the `span` after the window, and who did code wanted[0] often enough in the window.

    Adds to counts[code, k, 0] the starts with at least times[k] rows of match 2 with that code no later than `window`
    after t0, and to counts[code, k, 1] those of them who came back. `times` ascend, and wanted[1] is a place in them.
    """
    offsets, _, at, marks, flags, matches = history
    back, did = np.zeros(len(people), np.bool_), np.zeros(len(people), np.bool_)
    often = np.zeros(len(counts), np.int64)
    touched = np.empty(len(counts), np.int64)
    for start in range(len(people)):
        distinct = 0
        early, late = instants[start] + window, instants[start] + window + span
        for row in range(rows[start] + 1, offsets[people[start] + 1]):
            if at[row] > late:
                break
            found = matches[flags[row] & 7, marks[row]]
            if at[row] > early:
                if found & 2:
                    back[start] = True
                    break
            elif found & 4:
                code = codes[row]
                if not often[code]:
                    touched[distinct] = code
                    distinct += 1
                often[code] += 1
        for place in range(distinct):
            code = touched[place]
            for step in range(len(times)):
                if often[code] >= times[step]:
                    counts[code, step, 0] += 1
                    counts[code, step, 1] += back[start]
                    if code == wanted[0] and step == wanted[1]:
                        did[start] = True
            often[code] = 0
    return back, did
