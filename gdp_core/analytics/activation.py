"""Activation: who met the criteria soon after they started, and which early events go with coming back later.

A person is *activated* when every criterion, an event at least so many times, was met after their start t0 and no later
than N x 24 h after it. A start is *mature* when that time is over and all of it is known; the rate is of mature starts
only, so that it never falls because people are still on their way.

Candidates are what people did in that window, ranked by *reach*, the share of starts who did it, times *lift*, by how
much more of them came back than of those who did not. Coming back is measured after the window: whoever stays longer
has more time to do things, and would seem to be kept by all of them. An association is no effect: try it.
"""

from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass
from datetime import date, datetime
from math import sqrt
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from gdp_core.analytics.beginnings import Beginnings, Clock, Known, clock
from gdp_core.analytics.calendar import Interval, cut, edges, instant, micros
from gdp_core.analytics.counting import ANYTHING, begun, complete_until, counting, people_where, unheard
from gdp_core.analytics.scope import Scope
from gdp_core.errors import InvalidInput
from gdp_core.timeline.arrays import Shard, Timeline
from gdp_core.timeline.engine import over
from gdp_core.timeline.kernels.activation import NOT_MET, early_events, met_at
from gdp_core.timeline.kernels.search import intervals_at
from gdp_core.timeline.matching import Match

State = Literal["started", "mature", "activated", "not_activated", "early", "open"]
ASSOCIATION = "Association, not effect: people who did this came back more or less often; it may not be why."
MOST_CRITERIA = 8
MOST_DAYS = 365
_MOST_TIMES = 1_000_000
SIGNUP = Known("signup_at")
_DAY = 86_400_000_000
_95_PERCENT = 1.959963984540054  # of a normal distribution is within so many deviations


@dataclass(frozen=True, slots=True)
class Criterion:
    """An event, at least so many times."""

    event: Match
    times: int = 1

    def __post_init__(self) -> None:
        """Raise InvalidInput for less than once, and for more often than anything happens."""
        if not 1 <= self.times <= _MOST_TIMES:
            raise InvalidInput(
                f"A criterion is an event that happens at least once, and at most {_MOST_TIMES:,} times."
            )


@dataclass(frozen=True, slots=True)
class Activation:
    """What is asked: all criteria within `days` x 24 h of a start, by the interval people started in."""

    criteria: tuple[Criterion, ...]
    start: Match | Known = SIGNUP
    days: int = 7
    interval: Interval = "week"
    everything: bool = False

    def __post_init__(self) -> None:
        """Raise InvalidInput for no criteria, too many, or no time."""
        if not 1 <= len(self.criteria) <= MOST_CRITERIA:
            raise InvalidInput(f"Activation has between 1 and {MOST_CRITERIA} criteria.")
        _check_days(self.days)

    @property
    def matches(self) -> tuple[Match, ...]:
        """The events it names: that of the start, if it is one, and those of the criteria."""
        starts = (self.start,) if isinstance(self.start, Match) else ()
        return (*starts, *(criterion.event for criterion in self.criteria))


@dataclass(frozen=True, slots=True)
class ActivationPoint:
    """Who started in an interval (of the period). `activated` are of the mature, `early` of the others. `cut`: the
    period holds only a part of the interval.
    """

    start: date
    started: int
    mature: int
    activated: int
    early: int
    cut: bool = False

    @property
    def rate(self) -> float | None:
        """The share of the mature who are activated; None where there are none."""
        return self.activated / self.mature if self.mature else None


@dataclass(frozen=True, slots=True)
class ActivationResult:
    """`total` is of all points. `seconds` is the median from start to activation of the mature activated."""

    asked: Activation
    total: ActivationPoint
    points: tuple[ActivationPoint, ...]
    seconds: float | None
    complete_until: datetime
    notes: tuple[str, ...] = ()  # for the reader


@dataclass(frozen=True, slots=True)
class ActivationCell:
    """A number of the result, of an interval or (None) of the period: the started are mature, early or still open."""

    state: State
    start: date | None = None


@dataclass(frozen=True, slots=True)
class Candidates:
    """What is asked: events done at least so many `times` within `days` x 24 h of a start, and who came back after.

    Back is who did `returning` in the `back_within` x 24 h that follow. Fewer than `support` people who did, or did not,
    are too few to compare. `everything`: machines count too.
    """

    start: Match | Known = SIGNUP
    days: int = 7
    returning: Match = ANYTHING
    back_within: int = 30
    times: tuple[int, ...] = (1,)
    support: int = 30
    everything: bool = False

    def __post_init__(self) -> None:
        """Raise InvalidInput for no time, and for times that are no counts."""
        _check_days(self.days)
        _check_days(self.back_within)
        if not 1 <= len(self.times) <= MOST_CRITERIA or list(self.times) != sorted({*self.times}) or self.times[0] < 1:
            raise InvalidInput(f"Give between 1 and {MOST_CRITERIA} ascending counts of at least 1.")
        if self.support < 1:
            raise InvalidInput("At least one person is needed to compare.")


@dataclass(frozen=True, slots=True)
class Candidate:
    """An event at least so many times: of those who did it and those who did not, how many came back."""

    name: str
    times: int
    did: int
    did_back: int
    others: int
    others_back: int

    @property
    def reach(self) -> float:
        """The share of the mature starts who did it."""
        return self.did / (self.did + self.others)

    @property
    def lift(self) -> float:
        """By how much the share that came back is larger among those who did it."""
        return self.did_back / self.did - self.others_back / self.others

    @property
    def ratio(self) -> float | None:
        """How many times as often they came back; None when nobody else did."""
        return self.did_back / self.did / (self.others_back / self.others) if self.others_back else None

    @property
    def interval(self) -> tuple[float, float]:
        """Where the lift is with 95 % confidence, were this the only candidate: Newcombe's hybrid score interval."""
        (p, low_p, high_p), (q, low_q, high_q) = (
            _wilson(self.did_back, self.did),
            _wilson(self.others_back, self.others),
        )
        return (
            p - q - sqrt((p - low_p) ** 2 + (high_q - q) ** 2),
            p - q + sqrt((high_p - p) ** 2 + (q - low_q) ** 2),
        )

    @property
    def score(self) -> float:
        """Reach x lift."""
        return self.reach * self.lift


@dataclass(frozen=True, slots=True)
class CandidatesResult:
    """Candidates by descending score. `too_few`: how many were left out for too little support."""

    asked: Candidates
    mature: int
    back: int
    candidates: tuple[Candidate, ...]
    too_few: int
    complete_until: datetime
    label: str = ASSOCIATION


@dataclass(frozen=True, slots=True)
class CandidateCell:
    """Who did an event so often, or did not; of them who came back, or did not (None: all)."""

    name: str
    times: int
    did: bool = True
    back: bool | None = None


@dataclass(frozen=True, slots=True)
class Activating:
    """Both questions of the same starts: who met the criteria, and what else people did in that time who came back."""

    activation: Activation
    returning: Match = ANYTHING
    back_within: int = 30
    times: tuple[int, ...] = (1, 2, 3)
    support: int = 30

    def __post_init__(self) -> None:
        """Raise InvalidInput for what cannot be ranked."""
        _ = self.candidates

    @property
    def candidates(self) -> Candidates:
        """What is asked of the candidates."""
        asked = self.activation
        return Candidates(
            asked.start, asked.days, self.returning, self.back_within, self.times, self.support, asked.everything
        )


@dataclass(frozen=True, slots=True)
class ActivatingResult:
    """The answers to both."""

    activation: ActivationResult
    candidates: CandidatesResult


def activating(
    timeline: Timeline,
    scope: Scope,
    asked: Activating,
    *,
    within: NDArray[np.bool_] | None = None,
    executor: Executor | None = None,
) -> ActivatingResult:
    """The rate, and the ranking of candidates. Raises InvalidInput for too many intervals."""
    return ActivatingResult(
        activation(timeline, scope, asked.activation, within=within, executor=executor),
        candidates(timeline, scope, asked.candidates, within=within, executor=executor),
    )


def activation(
    timeline: Timeline,
    scope: Scope,
    asked: Activation,
    *,
    within: NDArray[np.bool_] | None = None,
    executor: Executor | None = None,
) -> ActivationResult:
    """The rate over the period, and by the interval people started in. Raises InvalidInput for too many intervals."""
    met = _met(timeline, scope, asked, within)
    days, bounds = begun(scope, asked.interval)

    def counts(number: int, part: Shard) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        starts, mature, at = met(number, part)
        in_interval = intervals_at(bounds, starts.instants)
        kinds = np.array([np.ones(len(mature), np.bool_), mature, mature & (at != NOT_MET), ~mature & (at != NOT_MET)])
        found = np.array([np.bincount(in_interval[kind], minlength=len(days)) for kind in kinds])
        return found, (at - starts.instants)[kinds[2]]

    parts = [found for _, _, found in over(timeline, counts, executor)]
    totals = sum((found for found, _ in parts), np.zeros((4, len(days)), np.int64))
    taken = np.concatenate([np.empty(0, np.int64), *(found for _, found in parts)])
    spans = cut(scope, edges(days, asked.interval, scope.zone))
    return ActivationResult(
        asked,
        ActivationPoint(scope.start, *totals.sum(1).tolist()),
        tuple(ActivationPoint(*row) for row in zip(days, *totals.tolist(), spans, strict=True)),
        float(np.median(taken)) / 1e6 if len(taken) else None,
        instant(complete_until(timeline, scope)),
        unheard(timeline, asked.matches),
    )


def activation_people(
    timeline: Timeline,
    scope: Scope,
    asked: Activation,
    cell: ActivationCell,
    *,
    within: NDArray[np.bool_] | None = None,
    executor: Executor | None = None,
) -> NDArray[np.int64]:
    """The lasting numbers of exactly the people a cell counts, ascending. Raises InvalidInput for no such cell."""
    met = _met(timeline, scope, asked, within)
    days, bounds = begun(scope, asked.interval)
    if cell.start is not None and cell.start not in days:
        raise InvalidInput(f"No {asked.interval} of this report begins on {cell.start}.")

    def chosen(number: int, part: Shard) -> NDArray[np.int32]:
        starts, mature, at = met(number, part)
        of_state = {
            "started": np.ones(len(mature), np.bool_),
            "mature": mature,
            "activated": mature & (at != NOT_MET),
            "not_activated": mature & (at == NOT_MET),
            "early": ~mature & (at != NOT_MET),
            "open": ~mature & (at == NOT_MET),
        }[cell.state]
        if cell.start is not None:
            of_state &= intervals_at(bounds, starts.instants) == days.index(cell.start)
        people: NDArray[np.int32] = starts.people[of_state]
        return people

    return people_where(timeline, chosen, executor)


def candidates(
    timeline: Timeline,
    scope: Scope,
    asked: Candidates,
    *,
    within: NDArray[np.bool_] | None = None,
    executor: Executor | None = None,
) -> CandidatesResult:
    """Every event people did in the window, ranked, but for those they start with."""
    early = _early(timeline, scope, asked, within)
    counts = np.zeros((len(timeline.names), len(asked.times), 2), np.int64)
    mature = back = 0
    for _, _, (starts, came, _, found) in over(timeline, lambda number, part: early(number, part, _NOBODY), executor):
        counts += found
        mature += len(starts.people)
        back += int(came.sum())
    left_out = asked.start.names if isinstance(asked.start, Match) else ()
    every = [
        Candidate(name, times, did, did_back, mature - did, back - did_back)
        for name, of_name in zip(timeline.names, counts.tolist(), strict=True)
        for times, (did, did_back) in zip(asked.times, of_name, strict=True)
        if did and name not in left_out
    ]
    enough = [one for one in every if min(one.did, one.others) >= asked.support]
    ranked = sorted(enough, key=lambda one: (-one.score, one.name, one.times))
    complete = instant(complete_until(timeline, scope))
    return CandidatesResult(asked, mature, back, tuple(ranked), len(every) - len(enough), complete)


def candidate_people(
    timeline: Timeline,
    scope: Scope,
    asked: Candidates,
    cell: CandidateCell,
    *,
    within: NDArray[np.bool_] | None = None,
    executor: Executor | None = None,
) -> NDArray[np.int64]:
    """The lasting numbers of exactly the people a number of a candidate counts, ascending. InvalidInput for none such."""
    if cell.name not in timeline.names or cell.times not in asked.times:
        raise InvalidInput(f"{cell.name}, at least {cell.times} times, is no candidate of this report.")
    early = _early(timeline, scope, asked, within)
    wanted = timeline.names.index(cell.name), asked.times.index(cell.times)

    def chosen(number: int, part: Shard) -> NDArray[np.int32]:
        starts, back, did, _ = early(number, part, wanted)
        people: NDArray[np.int32] = starts.people[(did == cell.did) & ((cell.back is None) | (back == cell.back))]
        return people

    return people_where(timeline, chosen, executor)


_NOBODY = (-1, -1)
_Met = tuple[Beginnings, NDArray[np.bool_], NDArray[np.int64]]
_Early = tuple[Beginnings, NDArray[np.bool_], NDArray[np.bool_], NDArray[np.int64]]


def _met(
    timeline: Timeline, scope: Scope, asked: Activation, within: NDArray[np.bool_] | None
) -> Callable[[int, Shard], _Met]:
    """Of a part: its starts, which are mature, and when each met the criteria."""
    matches = [_start(asked.start), *(criterion.event for criterion in asked.criteria)]
    looked = counting(timeline, matches, everything=asked.everything, within=within)
    times = np.array([criterion.times for criterion in asked.criteria], np.int64)
    begins = _clock(timeline, scope, asked.start)
    window, complete, now = asked.days * _DAY, complete_until(timeline, scope), micros(scope.now)

    def met(number: int, part: Shard) -> _Met:
        history = looked.history(number, part)
        starts = begins.beginnings(part, history)
        at = met_at(history, starts.people, starts.rows, starts.instants, window, times, now)
        return starts, starts.instants + window < complete, at

    return met


def _early(
    timeline: Timeline, scope: Scope, asked: Candidates, within: NDArray[np.bool_] | None
) -> Callable[[int, Shard, tuple[int, int]], _Early]:
    """Of a part: its mature starts, who came back, who did what is wanted, and the counts of every event."""
    matches = [_start(asked.start), asked.returning, ANYTHING]
    looked = counting(timeline, matches, everything=asked.everything, within=within)
    begins = _clock(timeline, scope, asked.start)
    window, span, complete = asked.days * _DAY, asked.back_within * _DAY, complete_until(timeline, scope)
    times, names = np.array(asked.times, np.int64), len(timeline.names)

    def early(number: int, part: Shard, wanted: tuple[int, int]) -> _Early:
        history = looked.history(number, part)
        every = begins.beginnings(part, history)
        mature = every.instants + window + span < complete
        starts = Beginnings(every.people[mature], every.rows[mature], every.instants[mature])
        counts = np.zeros((names, len(times), 2), np.int64)
        back, did = early_events(
            history, part.code, starts.people, starts.rows, starts.instants, window, span, times, wanted, counts
        )
        return starts, back, did, counts

    return early


def _start(start: Match | Known) -> Match:
    return start if isinstance(start, Match) else ANYTHING


def _clock(timeline: Timeline, scope: Scope, start: Match | Known) -> Clock:
    return clock(timeline, scope, start, "first_ever", np.empty(0, np.int64))


def _wilson(hits: int, of: int) -> tuple[float, float, float]:
    """A share, and Wilson's score interval of it."""
    share, z2 = hits / of, _95_PERCENT**2
    middle = (share + z2 / (2 * of)) / (1 + z2 / of)
    half = _95_PERCENT * sqrt(share * (1 - share) / of + z2 / (4 * of * of)) / (1 + z2 / of)
    return share, middle - half, middle + half


def _check_days(days: int) -> None:
    if not 1 <= days <= MOST_DAYS:
        raise InvalidInput(f"Choose a time of between 1 and {MOST_DAYS} days.")
