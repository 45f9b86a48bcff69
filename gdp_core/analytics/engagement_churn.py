"""Engagement churn: of the people who used the product, how many fell silent, and what they had done before that.

At an instant T, with a quiet time w and a baseline b: active is who had a core event in [T - w - b, T - w); churned, who
of them had none in [T - w, T); kept, the others. The rate is churned / active. This is not subscription churn: somebody
may pay and be away, or use and not pay; `crossed` sets the two side by side. T are the ends of the period's intervals;
the running one is seen as of now.

Factors are measured just before T - w, so none of them can be a consequence of leaving. They say what goes together.
"""

from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from datetime import date, datetime
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from gdp_core.analytics.calendar import Interval, edges, instant, micros
from gdp_core.analytics.counting import begun, complete_until, counting, people_where
from gdp_core.analytics.risk import Risk, risks
from gdp_core.analytics.scope import Scope
from gdp_core.analytics.window import Window
from gdp_core.errors import InvalidInput
from gdp_core.features.base import Feature, Held, Tally
from gdp_core.features.measuring import measure
from gdp_core.timeline.arrays import Shard, Timeline
from gdp_core.timeline.engine import over
from gdp_core.timeline.kernels.churn import CHURNED, KEPT, silences
from gdp_core.timeline.matching import Match

State = Literal["churned", "kept", "active"]
QUIET, BASELINE = Window(30, "d"), Window(60, "d")
LEAST_SUPPORT = 30
"""People that a factor needs on either side."""
SURE = 0.05
_BITS = {"churned": 1 << CHURNED, "kept": 1 << KEPT, "active": 1 << CHURNED | 1 << KEPT}
_NONE = -1


@dataclass(frozen=True, slots=True)
class EngagementChurn:
    """What is asked. `core`: the events that count as using the product, usually those of the event role."""

    core: Match
    quiet: Window = QUIET
    baseline: Window = BASELINE
    interval: Interval = "month"

    def __post_init__(self) -> None:
        """Raise InvalidInput for an unknown interval."""
        if self.interval not in get_args(Interval):
            raise InvalidInput("Churn is shown by day, week or month.")


@dataclass(frozen=True, slots=True)
class ChurnPoint:
    """The interval that begins on `start`, seen at its end `at`, or as of now while it is not `complete`."""

    start: date
    at: datetime
    active: int
    churned: int
    complete: bool

    @property
    def kept(self) -> int:
        """Who was active and still is."""
        return self.active - self.churned

    @property
    def rate(self) -> float | None:
        """The churned among the active; None when nobody was."""
        return self.churned / self.active if self.active else None


@dataclass(frozen=True, slots=True)
class EngagementChurnResult:
    """The intervals of the period that have begun."""

    asked: EngagementChurn
    points: tuple[ChurnPoint, ...]
    complete_until: datetime


@dataclass(frozen=True, slots=True)
class ChurnCell:
    """A number of the result."""

    start: date
    state: State


@dataclass(frozen=True, slots=True)
class Factor:
    """A feature and how it was: not at all, below the median of who had it (`bound`), or at least that much."""

    feature: Feature
    level: Literal["none", "low", "high"]
    bound: float | None
    risk: Risk

    @property
    def support(self) -> int:
        """How many of the active people it was true of."""
        return self.risk.have


@dataclass(frozen=True, slots=True)
class ChurnFactors:
    """Of the churned and the kept at `at`: what explains most first. `primary` and `secondary`: the first two that are
    surer than chance, of two features; None where nothing is."""

    at: datetime
    churned: int
    kept: int
    factors: tuple[Factor, ...]
    primary: Factor | None
    secondary: Factor | None


@dataclass(frozen=True, slots=True)
class Crossed:
    """People who were active at an instant, by whether they fell silent and whether they stopped paying by then."""

    both: int
    silent_only: int
    stopped_paying_only: int
    neither: int


def engagement_churn(
    timeline: Timeline,
    scope: Scope,
    asked: EngagementChurn,
    *,
    within: NDArray[np.bool_] | None = None,
    executor: Executor | None = None,
) -> EngagementChurnResult:
    """Every interval of the period, as defined above. Raises InvalidInput when they are too many to show."""
    days, ends = _instants(timeline, scope, asked)
    looked = counting(timeline, [asked.core], within=within)

    def counts(number: int, part: Shard) -> NDArray[np.int64]:
        history = looked.history(number, part)
        return silences(history, ends, asked.quiet.micros, asked.baseline.micros, 0, _NONE)[0]

    total = np.zeros((2, len(ends)), np.int64)
    for _, _, found in over(timeline, counts, executor):
        total += found
    points = tuple(
        ChurnPoint(day, instant(at), kept + churned, churned, at == end)
        for day, at, kept, churned, end in zip(
            days, ends.tolist(), *total.tolist(), edges(days, asked.interval, scope.zone)[1:].tolist(), strict=True
        )
    )
    return EngagementChurnResult(asked, points, instant(complete_until(timeline, scope)))


def engagement_churn_people(
    timeline: Timeline,
    scope: Scope,
    asked: EngagementChurn,
    cell: ChurnCell,
    *,
    within: NDArray[np.bool_] | None = None,
    executor: Executor | None = None,
) -> NDArray[np.int64]:
    """The lasting numbers of exactly the people a cell counts, ascending. Raises InvalidInput for no such cell."""
    at = _at(timeline, scope, asked, cell.start)
    return people_at(timeline, asked, at, cell.state, within=within, executor=executor)


def people_at(
    timeline: Timeline,
    asked: EngagementChurn,
    at: int,
    state: State,
    *,
    within: NDArray[np.bool_] | None = None,
    executor: Executor | None = None,
) -> NDArray[np.int64]:
    """The lasting numbers, ascending, of who was in a state at an instant, in microseconds."""
    looked = counting(timeline, [asked.core], within=within)
    only = np.array([at], np.int64)

    def chosen(number: int, part: Shard) -> NDArray[np.bool_]:
        history = looked.history(number, part)
        found: NDArray[np.bool_] = silences(history, only, asked.quiet.micros, asked.baseline.micros, _BITS[state], 0)[
            1
        ]
        return found

    return people_where(timeline, chosen, executor)


def crossed(
    timeline: Timeline,
    scope: Scope,
    asked: EngagementChurn,
    start: date,
    stopped_paying: NDArray[np.int64],
    *,
    within: NDArray[np.bool_] | None = None,
    executor: Executor | None = None,
) -> Crossed:
    """The active people of an interval against those who stopped paying, given by their lasting numbers.

    Raises InvalidInput for no such interval.
    """
    at = _at(timeline, scope, asked, start)
    churned = people_at(timeline, asked, at, "churned", within=within, executor=executor)
    kept = people_at(timeline, asked, at, "kept", within=within, executor=executor)
    both = int(np.isin(churned, stopped_paying).sum())
    stopped = int(np.isin(kept, stopped_paying).sum())
    return Crossed(both, len(churned) - both, stopped, len(kept) - stopped)


# -------------------------------------------------------------------------------------------------------- factors


def churn_factors(
    timeline: Timeline,
    scope: Scope,
    asked: EngagementChurn,
    start: date,
    features: Sequence[Feature],
    roles: Mapping[str, Match],
    *,
    within: NDArray[np.bool_] | None = None,
    executor: Executor | None = None,
) -> ChurnFactors:
    """What the active people of an interval who fell silent had in common before they did, against those who stayed.

    Of every feature that is a number, and was known before T - w, three questions are asked: was there none of it, less
    than the median of those who had any, or at least that. Raises InvalidInput for no such interval.
    """
    at = _at(timeline, scope, asked, start)
    churned = people_at(timeline, asked, at, "churned", within=within, executor=executor)
    kept = people_at(timeline, asked, at, "kept", within=within, executor=executor)
    known = [one for one in features if is_of_any_time(one)]
    found = measure(timeline, known, roles, at - asked.quiet.micros, executor=executor)
    people = np.searchsorted(timeline.numbers, np.concatenate([churned, kept]))
    left = np.arange(len(people)) < len(churned)
    questions: list[tuple[Feature, Literal["none", "low", "high"], float | None]] = []
    answers = []
    for place, feature in enumerate(known):
        values = found.numbers(place)[people]
        none = np.isnan(values) | ((values == 0) & (feature.kind in ("number", "money")))
        bound = float(np.median(values[~none])) if not none.all() else None
        questions += [(feature, "none", None), (feature, "low", bound), (feature, "high", bound)]
        answers += [none, ~none & (values < (bound or 0)), ~none & (values >= (bound or 0))]
    compared = risks(np.array(answers).reshape(-1, len(people)), left, least=LEAST_SUPPORT)
    factors = tuple(Factor(*questions[risk.place], risk) for risk in compared)
    primary, secondary = _reasons(factors)
    return ChurnFactors(instant(at), len(churned), len(kept), factors, primary, secondary)


def _reasons(factors: Sequence[Factor]) -> tuple[Factor | None, Factor | None]:
    """The two features that explain most of the leaving and are surer than chance."""
    first: dict[str, Factor] = {}
    for factor in factors:
        if factor.risk.corrected <= SURE and factor.risk.excess > 0:
            first.setdefault(factor.feature.slug, factor)
    found = [*first.values(), None, None]
    return found[0], found[1]


def is_of_any_time(feature: Feature) -> bool:
    """Whether what a feature was at an earlier instant is known, and can be compared."""
    if isinstance(feature.made, Held):
        return feature.kind in ("since", "instant")
    return isinstance(feature.made, Tally) and feature.kind != "text"


# ------------------------------------------------------------------------------------------------------- instants


def _instants(timeline: Timeline, scope: Scope, asked: EngagementChurn) -> tuple[tuple[date, ...], NDArray[np.int64]]:
    """The intervals that have begun, and the T of each: its end, as far as the period goes and everything is known."""
    days, bounds = begun(scope, asked.interval)
    until = min(complete_until(timeline, scope), micros(scope.until))
    there = bounds[: len(days)] < until
    return days[: there.sum()], np.minimum(bounds[1 : len(days) + 1][there], until)


def _at(timeline: Timeline, scope: Scope, asked: EngagementChurn, start: date) -> int:
    days, ends = _instants(timeline, scope, asked)
    if start not in days:
        raise InvalidInput(f"No {asked.interval} of this report begins on {start}.")
    return int(ends[days.index(start)])
