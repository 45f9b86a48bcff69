"""What a funnel makes of each person who entered it: arrays that every number is counted from, and every list read from.

It decides who is in which state, as of the timeline's watermark. It adds nothing up.
"""

import itertools
import math
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass, field
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from gdp_core.analytics.calendar import micros
from gdp_core.analytics.counting import Counting, counting
from gdp_core.analytics.funnel.question import FunnelQuestion
from gdp_core.analytics.scope import Scope
from gdp_core.errors import InvalidInput
from gdp_core.timeline import engine
from gdp_core.timeline.arrays import FLAGS, MACHINE, MISSING, Shard, Timeline
from gdp_core.timeline.kernels import funnel as kernel
from gdp_core.timeline.kernels.history import History

State = Literal["reached", "converted", "open", "dropped", "excluded"]
STATES = get_args(State)
_REACHED, _CONVERTED, _OPEN, _DROPPED, _EXCLUDED = range(len(STATES))  # nobody's own state is "reached"
_TOUCH = {"first": 0, "last": -1}
_DROP, _CONVERT = 0, 1  # groups of the events before
_AT_ONCE = 16_384  # people: what one loop has read of them is still in the processor's cache for the next one


@dataclass(frozen=True, slots=True, eq=False)
class Outcomes:
    """Of each of N people who entered or were excluded; `people` are indices into Timeline.numbers.

    `cell` is where each stands in a tally, which is [state, mature, depth], flat: depth is how many required steps they
    took in the attempt that counts, and `entered_at` when that began, microseconds. `code`: of the field the report is
    broken down by, where it is one of events. Times of steps are known for M people, at the places `traced`: `times`
    [step, M], kernel.NEVER for a step not taken; the others took the first step alone. `before` [dropped or converted,
    code of the event]: how many mature people had it in the time before they entered.
    """

    required: tuple[int, ...]
    people: NDArray[np.int32]
    cell: NDArray[np.int16]
    entered_at: NDArray[np.int64]
    traced: NDArray[np.int64]
    times: NDArray[np.int64]
    code: NDArray[np.int32]
    before: NDArray[np.int64]
    tally: NDArray[np.int64] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "tally", np.bincount(self.cell, minlength=math.prod(self.shape)))

    @property
    def shape(self) -> tuple[int, int, int]:
        """Of a tally."""
        return len(STATES), 2, len(self.required) + 1

    def who(self, state: State, step: int | None = None, *, mature: bool = False) -> NDArray[np.bool_]:
        """Who is in a state: of all, or at a step (0 is the first).

        At a step, "reached" took it; "converted" did and converted; "dropped" and "open" took the required step before
        and no further one; "excluded" had taken the one before. At an optional step nobody stops.
        """
        if step is None or step in self.required:
            return np.take(self._cells(state, step, mature), self.cell)
        chosen = np.zeros(len(self.people), np.bool_)
        if state in ("reached", "converted"):
            took = self.traced[self.times[step] > kernel.NEVER]
            chosen[took] = self._cells(state, None, mature)[self.cell[took]]
        return chosen

    def count(self, state: State, step: int | None = None, *, mature: bool = False) -> int:
        """How many those of `who` are."""
        if step is None or step in self.required:
            return int(self.tally[self._cells(state, step, mature)].sum())
        return int(np.count_nonzero(self.who(state, step, mature=mature)))

    def counts(self, part: NDArray[np.int32], parts: int) -> Callable[[State, bool], tuple[int, ...]]:
        """The same by the part each person is in: a function of the state and whether they are mature."""
        size = len(self.tally)
        tally = np.bincount(part * size + self.cell, minlength=parts * size).reshape(parts, size)
        return lambda state, mature: tuple(tally[:, self._cells(state, None, mature)].sum(axis=1).tolist())

    def _cells(self, state: State, step: int | None, mature: bool) -> NDArray[np.bool_]:
        """In which cells of a tally those of `who` are. Of an optional step they do not tell."""
        cells = np.zeros(self.shape, np.bool_)
        depths = slice(None)
        if step is not None:
            rank = self.required.index(step)
            depths = slice(rank + 1, None) if state in ("reached", "converted") else slice(rank, rank + (rank > 0))
        states = slice(_CONVERTED, _EXCLUDED) if state == "reached" else STATES.index(state)
        cells[states, int(mature) :, depths] = True
        return cells.ravel()

    def took(self, step: int, later: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Microseconds from a required step to a later one, of those who took both and were not excluded; their places."""
        both = self.times[later] > kernel.NEVER
        if self.count("excluded"):
            both &= self.who("reached")[self.traced]
        return (self.times[later] - self.times[step])[both], self.traced[both]

    def part(self, chosen: NDArray[np.bool_]) -> "Outcomes":
        """Those of some people; what they did before they entered is not among it."""
        traced = chosen[self.traced]
        return Outcomes(
            self.required,
            self.people[chosen],
            self.cell[chosen],
            self.entered_at[chosen],
            (np.cumsum(chosen) - 1)[self.traced[traced]],
            self.times[:, traced],
            self.code[chosen] if len(self.code) else self.code,
            self.before[:, :0],
        )


def outcomes(
    timeline: Timeline,
    scope: Scope,
    asked: FunnelQuestion,
    *,
    within: NDArray[np.bool_] | None = None,
    executor: Executor | None = None,
) -> Outcomes:
    """Everybody's outcome. Raises InvalidInput for a period that ends before it begins."""
    if scope.days < 1:
        raise InvalidInput("The period ends before it begins; choose a last day that is not before the first one.")
    run = _run(timeline, scope, asked, within)
    parts = [_nobody(timeline, asked)]
    for _, _, found in engine.over(timeline, run, executor):
        parts += found
    places = itertools.accumulate((len(part.people) for part in parts), initial=0)
    return Outcomes(
        asked.required,
        people=np.concatenate([part.people for part in parts]),
        cell=np.concatenate([part.cell for part in parts]),
        entered_at=np.concatenate([part.entered_at for part in parts]),
        traced=np.concatenate([part.traced + place for part, place in zip(parts, places, strict=False)]),
        times=np.concatenate([part.times for part in parts], axis=1),
        code=np.concatenate([part.code for part in parts]),
        before=np.sum([part.before for part in parts], axis=0),
    )


def _nobody(timeline: Timeline, asked: FunnelQuestion) -> Outcomes:
    return Outcomes(
        asked.required,
        people=np.empty(0, np.int32),
        cell=np.empty(0, np.int16),
        entered_at=np.empty(0, np.int64),
        traced=np.empty(0, np.int64),
        times=np.empty((len(asked.steps), 0), np.int64),
        code=np.empty(0, np.int32),
        before=np.zeros((2, len(timeline.names)), np.int64),
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Run:
    """Finds the outcomes in a part of a timeline. `columns`: codes of the field events are broken down by, by shard."""

    asked: FunnelQuestion
    plan: kernel.Plan
    sought: Counting
    columns: tuple[NDArray[np.int32], ...] | None
    names: int

    def __call__(self, number: int, part: Shard) -> list[Outcomes]:
        people = range(0, len(part.people), _AT_ONCE)
        return [self._outcomes(number, part.part(first, first + _AT_ONCE)) for first in people]

    def _outcomes(self, number: int, part: Shard) -> Outcomes:
        history = self.sought.history(number, part)
        found = self._find(history)
        depth = np.maximum(found.depth, found.voided)
        state = self._states(found)
        taken = np.arange(len(depth)) if self.plan.optional else np.flatnonzero(depth > 1)
        traced = self._trace(history, found.person[taken], found.start[taken], depth[taken])
        return Outcomes(
            self.asked.required,
            people=part.people[found.person],
            cell=(state * np.int16(2) + ~found.waiting) * np.int16(len(self.plan.required) + 1) + depth,
            entered_at=part.at[found.start],
            traced=taken,
            times=traced.times,
            code=self._codes(number, found.start, taken, traced.row),
            before=self._before(history, part, found, state),
        )

    def _find(self, history: History) -> kernel.Found:
        if self.asked.order == "any":
            return kernel.in_any_order(history, self.plan)
        if self.asked.order == "strict":
            return kernel.strictly(history, self.plan)
        if self.asked.exclusions or self.plan.shortest:
            return kernel.patiently(history, self.plan)
        return kernel.swiftly(history, self.plan)

    def _trace(
        self, history: History, person: NDArray[np.int32], start: NDArray[np.int64], depth: NDArray[np.int8]
    ) -> kernel.Traced:
        touch = _TOUCH[self.asked.touch] if isinstance(self.asked.touch, str) else self.asked.touch - 1
        attempts = (history, self.plan, person, start, depth, touch)
        if self.asked.order == "any":
            return kernel.retrace_in_any_order(*attempts)
        return kernel.retrace(*attempts, self.asked.order == "strict")

    def _states(self, found: kernel.Found) -> NDArray[np.int8]:
        state = np.where(found.waiting, np.int8(_OPEN), np.int8(_DROPPED))
        state[found.depth == len(self.plan.required)] = _CONVERTED
        state[found.voided > found.depth] = _EXCLUDED
        return state

    def _codes(
        self, number: int, start: NDArray[np.int64], traced: NDArray[np.int64], touched: NDArray[np.int64]
    ) -> NDArray[np.int32]:
        """What the event that gives an attempt its value has in the field."""
        if self.columns is None:
            return np.empty(0, np.int32)
        row = start.copy() if self.asked.touch in ("first", "last", 1) else np.full_like(start, MISSING)
        row[traced] = touched
        codes = self.columns[number][row]
        codes[row == MISSING] = MISSING
        return codes

    def _before(self, history: History, part: Shard, found: kernel.Found, state: NDArray[np.int8]) -> NDArray[np.int64]:
        counts = np.zeros((2, self.names), np.int64)
        if self.asked.factors:
            group = np.full(len(state), MISSING, np.int8)
            group[~found.waiting & (state == _DROPPED)] = _DROP
            group[~found.waiting & (state == _CONVERTED)] = _CONVERT
            ignored = 0 if self.asked.everything else int(MACHINE)
            lookback = self.asked.factors.lookback.micros
            kernel.events_before(history, found.person, found.start, group, lookback, part.code, ignored, counts)
        return counts


def _run(timeline: Timeline, scope: Scope, asked: FunnelQuestion, within: NDArray[np.bool_] | None) -> _Run:
    sought = counting(timeline, asked.matches, everything=asked.everything, within=within)
    bits = sought.matches
    fills, voids = np.zeros_like(bits), np.zeros_like(bits)
    for depth, step in enumerate(asked.required):
        fills |= (bits >> np.uint32(step) & np.uint32(1)) << np.uint32(depth)
    for number, exclusion in enumerate(asked.exclusions, len(asked.steps)):
        depth = asked.required.index(exclusion.after - 1) + 1
        voids |= (bits >> np.uint32(number) & np.uint32(1)) << np.uint32(depth)
    plan = kernel.Plan(
        fills,
        voids,
        present=(np.arange(FLAGS) & MACHINE == 0) | asked.everything,
        required=np.array(asked.required, np.int64),
        optional=sum(1 << place for place, step in enumerate(asked.steps) if step.optional),
        since=micros(scope.since),
        until=micros(scope.until),
        window=asked.window.micros,
        watermark=timeline.watermark,
        shortest=asked.prefer == "shortest",
    )
    columns = None
    if asked.breakdown and not asked.breakdown.of_person:
        columns = timeline.columns.event(asked.breakdown.name).codes
    return _Run(asked, plan, sought, columns, len(timeline.names))
