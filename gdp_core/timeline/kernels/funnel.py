"""How far each person got through a funnel, and in which of their attempts. The definition of a funnel, as loops.

An *attempt* is one event of step 1 in [since, until). Run alone (`_follow`) it fills each later step with the earliest
row that matches it, after the row of the step before, no later than `window` after the attempt began. A person's
outcome is that of the attempt that got furthest; among equals the one that began earliest, or with `shortest` the one
that took the least time to get there and then began earliest.

People may begin thousands of attempts, so no loop runs them one by one. What each loop relies on:

`swiftly` (in order, nothing excludes). Of two attempts whose windows are open the older one is never behind, for each
of its steps could take the row that the younger one took. So the *youngest* attempt at a depth decides whether a row
leads on from there, and one instant per depth is all there is to keep. Who reaches a depth for the first time is the
*oldest* attempt whose window is open: it is as deep as any, and those before it are over without having been there.

`patiently` (in order, anything). For the same reason the attempts by age are blocks of falling depth. A row moves, or
an exclusion voids, a whole block, and an attempt is touched once for each depth: rows + attempts x steps altogether.
What is voided keeps its place and is passed over.

`strictly`. The next event either fills the next step or ends the attempt, so that each is over after a few rows.

`in_any_order`. Attempts begin at any step. How many steps the rows of [t, t + window] can fill, one row each, is the
rank of these rows in a matroid (rows, matched to steps). Its heaviest basis, where a row weighs the more the later it
is, takes one exchange a row to keep; its members at or after any row are as many as the rank from there on. So one set
of rows answers for every attempt, and again the oldest attempt whose window is open has the most.

The loops are written out, for a call for each person would cost more than that person's rows do.

An optional step takes no part in this. In order it takes the earliest row between those of its neighbours that the
next required step does not match; in any order, a row that does not raise the number of required steps.
"""

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from gdp_core.timeline.kernels.history import History
from gdp_core.timeline.kernels.search import row_from

NEVER = -(2**62)
"""The instant of what did not happen: no window reaches back to it, and no difference with it overflows."""
_LONG = 64  # rows: fewer are walked through sooner than searched


class Plan(NamedTuple):
    """The question, of a history whose match s is step s, the optional ones too.

    Tables are [flags of the row & 7, marks of the row], and rows without flags match the most. `fills`: bit d is set
    where the row fills the required step after depth d, in `voids` where it voids attempts at depth d. `present`, by
    flags: which rows are events at all in strict order. `required`: the required steps, ascending, the first and the
    last step among them. `optional`: bit s is set for the others.
    """

    fills: NDArray[np.uint32]
    voids: NDArray[np.uint32]
    present: NDArray[np.bool_]
    required: NDArray[np.int64]
    optional: int
    since: int
    until: int
    window: int
    watermark: int
    shortest: bool


class Found(NamedTuple):
    """Those who entered or were excluded, in the order of the history, and the attempt that counts.

    `person` is the place in the history. `depth`: required steps reached by a clean attempt; `voided`: by a voided one.
    Where that is more the person is excluded, and the attempt is the voided one. `start`: the row it began with; in any
    order, one of that instant.
    `waiting`: whether the window of a clean attempt of theirs, any, has not passed at the watermark.
    """

    person: NDArray[np.int32]
    depth: NDArray[np.int8]
    voided: NDArray[np.int8]
    start: NDArray[np.int64]
    waiting: NDArray[np.bool_]


@njit(nogil=True, cache=True, inline="always")
def _room(people: int) -> Found:
    """For as many as may enter; memory that is never written is never taken."""
    return Found(
        np.empty(people, np.int32),
        np.empty(people, np.int8),
        np.zeros(people, np.int8),
        np.empty(people, np.int64),
        np.empty(people, np.bool_),
    )


@njit(nogil=True, cache=True, inline="always")
def _written(room: Found, count: int) -> Found:
    return Found(room.person[:count], room.depth[:count], room.voided[:count], room.start[:count], room.waiting[:count])


@njit(nogil=True, cache=True, inline="always")
def _walk_from(at: NDArray[np.int64], first: int, end: int, since: int) -> int:
    """A row from which on to look for the first one of [since, ...): that one, or one before it."""
    return row_from(at, first, end, since) if end - first > _LONG else first


@njit(nogil=True, cache=True)
def swiftly(history: History, plan: Plan) -> Found:  # noqa: C901
    """In order, without exclusions, the earliest attempt. reached[d]: when the youngest one that got to d began."""
    offsets, counted, at, marks, flags, _ = history
    fills, plain = plan.fills, plan.fills[0]
    since, until, window = plan.since, plan.until, plan.window
    goal = len(plan.required)
    reached = np.empty(goal + 1, np.int64)
    found, entered = _room(len(counted)), 0
    for person in range(len(counted)):
        if not counted[person]:
            continue
        end = offsets[person + 1]
        start = _walk_from(at, offsets[person], end, since)
        while start < end and not (
            plain[marks[start]] & 1 and at[start] >= since and fills[flags[start] & 7, marks[start]] & 1
        ):
            start += 1
        if start == end or at[start] >= until:
            continue
        depth, latest = 1, at[start]
        reached[1] = latest
        for row in range(start + 1, end):
            filling = plain[marks[row]] & ((2 << depth) - 1)
            if not filling:
                continue
            if flags[row]:
                filling &= fills[flags[row] & 7, marks[row]]
            now = at[row]
            if filling >> depth & 1:
                if now - reached[depth] <= window:
                    while now - at[start] > window or not fills[flags[start] & 7, marks[start]] & 1:
                        start += 1
                    depth += 1
                    if depth == goal:
                        latest = max(latest, _last_start(row, end, at, marks, flags, fills, until))
                        break
                elif now >= until and now - latest > window:
                    break
            for deeper in range(depth, 1, -1):
                if filling >> (deeper - 1) & 1:
                    reached[deeper] = reached[deeper - 1]
            if filling & 1 and now < until:
                reached[1] = latest = now
        found.person[entered] = person
        found.depth[entered] = depth
        found.start[entered] = start
        found.waiting[entered] = latest + plan.window >= plan.watermark
        entered += 1
    return _written(found, entered)


@njit(nogil=True, cache=True)
def _last_start(
    first: int,
    end: int,
    at: NDArray[np.int64],
    marks: NDArray[np.uint16],
    flags: NDArray[np.uint8],
    fills: NDArray[np.uint32],
    until: int,
) -> int:
    """When the last attempt in these rows began, else NEVER."""
    row = row_from(at, first, end, until) - 1
    while row >= first and not fills[flags[row] & 7, marks[row]] & 1:
        row -= 1
    return int(at[row]) if row >= first else NEVER


@njit(nogil=True, cache=True)
def patiently(history: History, plan: Plan) -> Found:
    """In order. `queue` holds the starts by age, those that got to depth d or deeper before upto[d]."""
    offsets, counted, at, marks, flags, _ = history
    fills, voids, window = plan.fills, plan.voids, plan.window
    goal = len(plan.required)
    longest = _longest(offsets)
    queue = np.empty(longest, np.int64)
    got_to = np.empty(longest, np.int8)  # the depth; less than 0 when voided there
    got_at = np.empty(longest, np.int64)
    upto = np.empty(goal + 1, np.int64)
    found, entered = _room(len(counted)), 0
    for person in range(len(counted)):
        if not counted[person]:
            continue
        end = offsets[person + 1]
        upto[:] = 0
        oldest = begun = 0  # of the attempts: the first whose window is open, and how many there are
        for row in range(_walk_from(at, offsets[person], end, plan.since), end):
            if not fills[0, marks[row]] | voids[0, marks[row]]:
                continue
            filling, voiding = fills[flags[row] & 7, marks[row]], voids[flags[row] & 7, marks[row]]
            now = at[row]
            while oldest < begun and now - at[queue[oldest]] > window:
                oldest += 1
            for depth in range(goal - 1, 0, -1):
                if (filling | voiding) >> depth & 1:
                    to = -depth if voiding >> depth & 1 else depth + 1
                    for attempt in range(max(upto[depth + 1], oldest), upto[depth]):
                        if got_to[attempt] > 0:
                            got_to[attempt] = to
                            got_at[attempt] = now
                    upto[depth + 1] = upto[depth]
            if filling & 1 and plan.since <= now < plan.until:
                queue[begun] = row
                got_to[begun] = 1
                got_at[begun] = now
                begun += 1
                upto[1] = begun
        if begun:
            depth, voided, start, latest = _best(at, queue[:begun], got_to, got_at, plan.shortest)
            found.person[entered] = person
            found.depth[entered] = depth
            found.voided[entered] = voided
            found.start[entered] = start
            found.waiting[entered] = latest + plan.window >= plan.watermark
            entered += 1
    return _written(found, entered)


@njit(nogil=True, cache=True)
def _longest(offsets: NDArray[np.int64]) -> int:
    rows = 0
    for person in range(len(offsets) - 1):
        rows = max(rows, offsets[person + 1] - offsets[person])
    return rows


@njit(nogil=True, cache=True)
def _best(
    at: NDArray[np.int64],
    queue: NDArray[np.int64],
    got_to: NDArray[np.int8],
    got_at: NDArray[np.int64],
    shortest: bool,
) -> tuple[int, int, int, int]:
    """(depth, voided, start, latest) of the attempts of a person by age."""
    depth, voided, start, latest, took = 0, 0, -1, NEVER, 0
    for attempt, row in enumerate(queue):
        if got_to[attempt] > 0:
            latest = at[row]
            is_quicker = shortest and got_at[attempt] - latest < took
            if got_to[attempt] > depth or (got_to[attempt] == depth and is_quicker):
                depth, start, took = got_to[attempt], row, got_at[attempt] - latest
    for attempt, row in enumerate(queue):
        if -got_to[attempt] > max(depth, voided):
            voided, start = -got_to[attempt], row
    return depth, voided, start, latest


@njit(nogil=True, cache=True)
def strictly(history: History, plan: Plan) -> Found:
    """In order, and no other event between two steps."""
    offsets, counted, at, marks, flags, _ = history
    goal = len(plan.required)
    taken = np.empty(plan.required[-1] + 1, np.int64)
    found, entered = _room(len(counted)), 0
    for person in range(len(counted)):
        if not counted[person]:
            continue
        end = offsets[person + 1]
        depth, start, latest, took = 0, -1, NEVER, 0
        for row in range(_walk_from(at, offsets[person], end, plan.since), end):
            if not plan.fills[0, marks[row]] & plan.fills[flags[row] & 7, marks[row]] & 1 or at[row] < plan.since:
                continue
            if at[row] >= plan.until:
                break
            latest = at[row]
            if depth < goal or plan.shortest:
                far, last = _follow(history, plan, row, end, taken, True)
                if far > depth or (plan.shortest and far == depth and at[last] - latest < took):
                    depth, start, took = far, row, at[last] - latest
        if start >= 0:
            found.person[entered] = person
            found.depth[entered] = depth
            found.start[entered] = start
            found.waiting[entered] = latest + plan.window >= plan.watermark
            entered += 1
    return _written(found, entered)


@njit(nogil=True, cache=True, inline="always")
def _follow(
    history: History, plan: Plan, start: int, end: int, taken: NDArray[np.int64], strict: bool
) -> tuple[int, int]:
    """One attempt alone: (its depth, the row it got there with). Writes the row of each step to `taken`, -1 for none."""
    at, marks, flags = history.at, history.marks, history.flags
    required = plan.required
    taken[:] = -1
    taken[0] = start
    depth, last, place = 1, start, 0
    for row in range(start + 1, end):
        kind, flag = marks[row], flags[row] & 7
        if not strict and not history.matches[0, kind]:
            continue
        if depth == len(required) or at[row] - at[start] > plan.window:
            break
        if plan.voids[flag, kind] >> depth & 1:
            break
        filling = history.matches[flag, kind]
        step = required[depth]
        if not filling >> step & 1:
            step = place + 1
            while step < required[depth] and not filling >> step & 1:
                step += 1
        if step < required[depth] or filling >> step & 1:
            taken[step] = row
            place = step
            if step == required[depth]:
                depth += 1
                last = row
        elif strict and plan.present[flag]:
            break
    return depth, last


@njit(nogil=True, cache=True)
def in_any_order(history: History, plan: Plan) -> Found:  # noqa: C901
    """`holder`: the rows of the heaviest basis, by the step each of them fills."""
    offsets, counted, at, marks, flags, _ = history
    fills, window = plan.fills, plan.window
    goal = len(plan.required)
    holder, via = np.empty(goal, np.int64), np.empty(goal, np.int64)
    found, entered = _room(len(counted)), 0
    for person in range(len(counted)):
        if not counted[person]:
            continue
        end = offsets[person + 1]
        depth, start, took = 0, -1, 0
        oldest = youngest = -1  # of the attempts whose window is open
        holder[:] = -1
        for row in range(_walk_from(at, offsets[person], end, plan.since), end):
            if not fills[0, marks[row]] or not fills[flags[row] & 7, marks[row]] or at[row] < plan.since:
                continue
            now = at[row]
            if now < plan.until:
                youngest = row
                oldest = row if oldest < 0 else oldest
            elif youngest < 0 or now - at[youngest] > window:
                break
            if depth == goal and not plan.shortest:
                continue
            _seat(history, plan, row, holder, via)
            while now - at[oldest] > window or not fills[flags[oldest] & 7, marks[oldest]]:
                oldest += 1
            far = 0
            for step in range(goal):
                far += holder[step] >= oldest
            if far > depth:
                depth, start, took = far, oldest, now - at[oldest]
            if plan.shortest and far == depth:
                late = min(_nth_youngest(holder, depth), youngest)
                if now - at[late] < took:
                    start, took = late, now - at[late]
        if start >= 0:
            found.person[entered] = person
            found.depth[entered] = depth
            found.start[entered] = start
            found.waiting[entered] = at[youngest] + window >= plan.watermark
            entered += 1
    return _written(found, entered)


@njit(nogil=True, cache=True)
def _nth_youngest(holder: NDArray[np.int64], nth: int) -> int:
    """The row of the basis that `nth` - 1 others come after."""
    found = -1
    for row in holder:
        if row >= 0 and (holder > row).sum() == nth - 1:
            found = row
    return found


@njit(nogil=True, cache=True, inline="always")
def _seat(history: History, plan: Plan, row: int, holder: NDArray[np.int64], via: NDArray[np.int64]) -> bool:
    """Takes a row, later than all, into the basis, and says whether that has one more now.

    Where it does not, the earliest of the rows that the new one can displace, at once or by moving others, makes way.
    """
    marks, flags, fills = history.marks, history.flags, plan.fills
    offered = np.int64(fills[flags[row] & 7, marks[row]])
    waiting, seen = offered, offered
    free = leaving = -1
    for step in range(len(holder)):
        via[step] = -1
    while waiting and free < 0:
        step = 0
        while not waiting >> step & 1:
            step += 1
        waiting &= ~(1 << step)
        held = holder[step]
        if held < 0:
            free = step
        else:
            if leaving < 0 or held < holder[leaving]:
                leaving = step
            offered = np.int64(fills[flags[held] & 7, marks[held]]) & ~seen
            for other in range(len(holder)):
                if offered >> other & 1:
                    via[other] = step
            seen |= offered
            waiting |= offered
    step = free if free >= 0 else leaving
    while via[step] >= 0:
        holder[step] = holder[via[step]]
        step = via[step]
    holder[step] = row
    return free >= 0


class Traced(NamedTuple):
    """Attempts step by step: `times` [step, attempt], NEVER for a step not taken. `row`: of the touched step, else -1."""

    times: NDArray[np.int64]
    row: NDArray[np.int64]


@njit(nogil=True, cache=True)
def retrace(
    history: History,
    plan: Plan,
    person: NDArray[np.int32],
    start: NDArray[np.int64],
    depth: NDArray[np.int8],
    touch: int,
    strict: bool,
) -> Traced:
    """Attempts in order that are known to have got to `depth`. `touch`: a step, -1 for the last required one taken."""
    at, marks, flags, fills, plain = history.at, history.marks, history.flags, plan.fills, plan.fills[0]
    taken = np.empty(plan.required[-1] + 1, np.int64)
    times = np.empty((len(taken), len(person)), np.int64)
    touched = np.empty(len(person), np.int64)
    for index in range(len(person)):
        last = start[index]
        if plan.optional:
            end = history.offsets[person[index] + 1]
            _, last = _follow(history, plan, last, end, taken, strict)
        else:  # every step is known to be there, so it is the next row that fills it
            taken[0] = last
            taken[depth[index] :] = -1
            for step in range(1, depth[index]):
                last += 1
                while not (plain[marks[last]] >> step & 1 and fills[flags[last] & 7, marks[last]] >> step & 1):
                    last += 1
                taken[step] = last
        touched[index] = last if touch < 0 else taken[touch]
        for step in range(len(taken)):
            times[step, index] = at[taken[step]] if taken[step] >= 0 else NEVER
    return Traced(times, touched)


@njit(nogil=True, cache=True)
def retrace_in_any_order(
    history: History,
    plan: Plan,
    person: NDArray[np.int32],
    start: NDArray[np.int64],
    depth: NDArray[np.int8],
    touch: int,
) -> Traced:
    """Attempts in any order: the places of the required steps are those of the 1st, 2nd, ... of them to be taken."""
    at, marks, flags, required = history.at, history.marks, history.flags, plan.required
    holder, via = np.empty(len(required), np.int64), np.empty(len(required), np.int64)
    times = np.full((required[-1] + 1, len(person)), NEVER)
    touched = np.full(len(person), -1)
    for index in range(len(person)):
        holder[:] = -1
        count = 0
        first, end = history.offsets[person[index]], history.offsets[person[index] + 1]
        for row in range(row_from(at, first, start[index], at[start[index]]), end):
            if at[row] - at[start[index]] > plan.window or (count == depth[index] and not plan.optional):
                break
            if not history.matches[0, marks[row]]:
                continue
            is_next = plan.fills[flags[row] & 7, marks[row]] and _seat(history, plan, row, holder, via)
            spare = history.matches[flags[row] & 7, marks[row]] & plan.optional
            step = required[count] if is_next else 0
            while not is_next and step < len(times) and not (spare >> step & 1 and times[step, index] == NEVER):
                step += 1
            if step < len(times):
                count += is_next
                times[step, index] = at[row]
                if step == touch or (touch < 0 and is_next):
                    touched[index] = row
    return Traced(times, touched)


@njit(nogil=True, cache=True)
def events_before(
    history: History,
    person: NDArray[np.int32],
    start: NDArray[np.int64],
    group: NDArray[np.int8],
    lookback: int,
    code: NDArray[np.uint16],
    ignored: int,
    counts: NDArray[np.int64],
) -> None:
    """Add to counts[group, code] the people with such an event in [t - lookback, t), t being the instant of their start.

    `person`, `start` (a row) and `group` are aligned; a group below 0 is left out. Rows with a flag in `ignored` do not
    count.
    """
    at, flags = history.at, history.flags
    last = np.full(counts.shape[1], -1, np.int64)
    for index in range(len(person)):
        if group[index] < 0:
            continue
        began = at[start[index]]
        for row in range(start[index] - 1, history.offsets[person[index]] - 1, -1):
            if began - at[row] > lookback:
                break
            if at[row] < began and not flags[row] & ignored and last[code[row]] != index:
                last[code[row]] = index
                counts[group[index], code[row]] += 1
