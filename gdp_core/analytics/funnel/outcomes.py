"""What a funnel makes of each person who entered it: arrays that every number is counted from, and every list read from.

It decides who is in which state, as of the timeline's watermark. It adds nothing up.
"""

import itertools
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from gdp_core.analytics.calendar import micros
from gdp_core.analytics.counting import Counting, counting
from gdp_core.analytics.funnel.question import FunnelQuestion
from gdp_core.analytics.scope import Scope
from gdp_core.errors import InvalidInput
from gdp_core.timeline import engine
from gdp_core.timeline.arrays import MACHINE, MISSING, Shard, Timeline
from gdp_core.timeline.kernels import funnel as kernel
from gdp_core.timeline.kernels.history import History

State = Literal["reached", "converted", "open", "dropped", "excluded"]
STATES = get_args(State)
_CONVERTED, _OPEN, _DROPPED, _EXCLUDED = 1, 2, 3, 4  # places in STATES
_DROP, _CONVERT = 0, 1  # groups of the events before


@dataclass(frozen=True, slots=True, eq=False)
class Outcomes:
    """Of each of N people who entered or were excluded; `people` are indices into Timeline.numbers.

    `depth` counts required steps, `stopped` is the one an excluded person was at. `entered_at`: when the attempt that
    counts began, microseconds. `code`: of the field the report is broken down by, where it is one of events. Times of
    steps are known for M of them, at the places `traced`: `times` [step, M], kernel.NEVER for a step not taken; the
    others took the first step alone. `before` [dropped or converted, code of the event]: how many mature people had it
    in the time before they entered.
    """

    required: tuple[int, ...]
    people: NDArray[np.int32]
    depth: NDArray[np.int8]
    stopped: NDArray[np.int8]
    state: NDArray[np.int8]
    mature: NDArray[np.bool_]
    entered_at: NDArray[np.int64]
    traced: NDArray[np.int64]
    times: NDArray[np.int64]
    code: NDArray[np.int32]
    before: NDArray[np.int64]

    def who(self, state: State, step: int | None = None) -> NDArray[np.bool_]:
        """Who is in a state: of all, or at a step (0 is the first).

        At a step, "reached" took it; "converted" did and converted; "dropped" and "open" took the required step before
        and no further one; "excluded" had taken the one before. At an optional step nobody stops.
        """
        everybody = np.ones(len(self.people), np.bool_)
        chosen: NDArray[np.bool_] = self.state != _EXCLUDED if state == "reached" else self.state == STATES.index(state)
        if step is None or state in ("reached", "converted"):
            return chosen & (everybody if step is None else self._took(step))
        if step not in self.required[1:]:
            return ~everybody
        stopped = self.stopped if state == "excluded" else self.depth
        return chosen & np.equal(stopped, self.required.index(step))

    def _took(self, step: int) -> NDArray[np.bool_]:
        took = np.zeros(len(self.people), np.bool_)
        if step in self.required:
            return np.greater(self.depth, self.required.index(step), out=took)
        took[self.traced[self.times[step] > kernel.NEVER]] = True
        return took

    def took(self, step: int, later: int) -> NDArray[np.int64]:
        """Microseconds from one step to a later one, of those who took both and were not excluded."""
        both = (self.times[step] > kernel.NEVER) & (self.times[later] > kernel.NEVER)
        both &= (self.state != _EXCLUDED)[self.traced]
        elapsed: NDArray[np.int64] = self.times[later, both] - self.times[step, both]
        return elapsed

    def part(self, chosen: NDArray[np.bool_]) -> "Outcomes":
        """Those of some people; what they did before they entered is not among it."""
        traced = chosen[self.traced]
        return Outcomes(
            self.required,
            self.people[chosen],
            self.depth[chosen],
            self.stopped[chosen],
            self.state[chosen],
            self.mature[chosen],
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
    parts = [part for _, _, part in engine.over(timeline, _run(timeline, scope, asked, within), executor)]
    if len(parts) == 1:
        return parts[0]
    parts = [_nobody(timeline, asked), *parts]
    places = itertools.accumulate((len(part.people) for part in parts), initial=0)
    return Outcomes(
        asked.required,
        people=np.concatenate([part.people for part in parts]),
        depth=np.concatenate([part.depth for part in parts]),
        stopped=np.concatenate([part.stopped for part in parts]),
        state=np.concatenate([part.state for part in parts]),
        mature=np.concatenate([part.mature for part in parts]),
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
        depth=np.empty(0, np.int8),
        stopped=np.empty(0, np.int8),
        state=np.empty(0, np.int8),
        mature=np.empty(0, np.bool_),
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
    watermark: int
    names: int

    def __call__(self, number: int, part: Shard) -> Outcomes:
        history = self.sought.history(number, part)
        found = self._find(history)
        traced, rows = self._trace(history, found)
        state, mature = self._states(found)
        times = part.at[rows]
        times[rows == MISSING] = kernel.NEVER
        return Outcomes(
            self.asked.required,
            people=part.people[found.person],
            depth=found.depth,
            stopped=found.voided,
            state=state,
            mature=mature,
            entered_at=part.at[found.start],
            traced=traced,
            times=times,
            code=self._codes(number, found, traced, rows),
            before=self._before(history, part, found, state, mature),
        )

    def _find(self, history: History) -> kernel.Found:
        if self.asked.order == "any":
            return kernel.in_any_order(history, self.plan)
        if self.asked.order == "strict":
            return kernel.strictly(history, self.plan)
        if self.asked.exclusions or self.plan.shortest:
            return kernel.patiently(history, self.plan)
        return kernel.swiftly(history, self.plan)

    def _trace(self, history: History, found: kernel.Found) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Whose steps are looked up, and the rows of these [step, person], -1 for none."""
        is_more = np.maximum(found.depth, found.voided) > 1
        traced = np.arange(len(is_more)) if self.plan.optional else np.flatnonzero(is_more)
        person, start = found.person[traced], found.start[traced]
        if self.asked.order == "any":
            return traced, kernel.retrace_in_any_order(history, self.plan, person, start)
        return traced, kernel.retrace(history, self.plan, person, start, self.asked.order == "strict")

    def _states(self, found: kernel.Found) -> tuple[NDArray[np.int8], NDArray[np.bool_]]:
        is_open = found.latest + self.plan.window >= self.watermark
        is_excluded = found.voided > found.depth
        state = np.where(is_open, np.int8(_OPEN), np.int8(_DROPPED))
        state[found.depth == len(self.plan.required)] = _CONVERTED
        state[is_excluded] = _EXCLUDED
        return state, ~is_open & ~is_excluded

    def _codes(
        self, number: int, found: kernel.Found, traced: NDArray[np.int64], rows: NDArray[np.int64]
    ) -> NDArray[np.int32]:
        """What the event that gives an attempt its value has in the field."""
        if self.columns is None:
            return np.empty(0, np.int32)
        touch = self.asked.touch
        row = found.start.copy()
        if touch == "last":
            deepest = np.maximum(found.depth, found.voided)[traced] - 1
            row[traced] = rows[self.plan.required[deepest], np.arange(len(traced))]
        elif touch not in ("first", 1):
            row[:] = MISSING
            row[traced] = rows[int(touch) - 1]
        codes = self.columns[number][row]
        codes[row == MISSING] = MISSING
        return codes

    def _before(
        self,
        history: History,
        part: Shard,
        found: kernel.Found,
        state: NDArray[np.int8],
        mature: NDArray[np.bool_],
    ) -> NDArray[np.int64]:
        counts = np.zeros((2, self.names), np.int64)
        if self.asked.factors:
            group = np.where(mature & (state == _CONVERTED), np.int8(_CONVERT), np.int8(MISSING))
            group[mature & (state == _DROPPED)] = _DROP
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
        present=(np.arange(4) & MACHINE == 0) | asked.everything,
        required=np.array(asked.required, np.int64),
        optional=sum(1 << place for place, step in enumerate(asked.steps) if step.optional),
        since=micros(scope.since),
        until=micros(scope.until),
        window=asked.window.micros,
        shortest=asked.prefer == "shortest",
    )
    columns = None
    if asked.breakdown and not asked.breakdown.of_person:
        columns = timeline.columns.event(asked.breakdown.name).codes
    return _Run(asked, plan, sought, columns, timeline.watermark, len(timeline.names))
