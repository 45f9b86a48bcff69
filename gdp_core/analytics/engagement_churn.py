"""Engagement churn: of the people who used the product, how many fell silent, and what they had done before that.

At an instant T, with a quiet time w and a baseline b: active is who had a core event in [T - w - b, T - w); churned, who
of them had none in [T - w, T); kept, the others. The rate is churned / active. This is not subscription churn: somebody
may pay and be away, or use and not pay; `churn.crossed` sets the two side by side. T are the ends of the period's intervals;
the running one is seen as of now.

Factors are measured just before T - w, so none of them can be a consequence of leaving. They say what goes together.
"""

from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from gdp_core.analytics.calendar import Interval, edges, instant, micros
from gdp_core.analytics.counting import begun, complete_until, counting, people_where, unheard
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
Level = Literal["none", "low", "high"]
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
    notes: tuple[str, ...] = ()  # for the reader


@dataclass(frozen=True, slots=True)
class ChurnCell:
    """A number of the result."""

    start: date
    state: State


@dataclass(frozen=True, slots=True)
class Factor:
    """A feature and how it was: not at all, below the median of who had it (`bound`), or at least that much."""

    feature: Feature
    level: Level
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
    return EngagementChurnResult(
        asked, points, instant(complete_until(timeline, scope)), unheard(timeline, (asked.core,))
    )


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
    at = moment(timeline, scope, asked, cell.start)
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
    compared = _compared(timeline, scope, asked, start, features, roles, within, executor)
    found = risks(compared.answers, compared.left, least=LEAST_SUPPORT)
    factors = tuple(Factor(*compared.questions[risk.place], risk) for risk in found)
    primary, secondary = _reasons(factors)
    churned = int(compared.left.sum())
    return ChurnFactors(instant(compared.at), churned, len(compared.left) - churned, factors, primary, secondary)


def churn_factor_people(
    timeline: Timeline,
    scope: Scope,
    asked: EngagementChurn,
    start: date,
    features: Sequence[Feature],
    roles: Mapping[str, Match],
    factor: tuple[str, Level],
    *,
    left: bool = False,
    within: NDArray[np.bool_] | None = None,
    executor: Executor | None = None,
) -> NDArray[np.int64]:
    """The lasting numbers, ascending, of the active people of whom a factor, a feature's slug and a level, is true.

    With `left`, only those of them who fell silent. Raises InvalidInput for no such interval or factor.
    """
    known = [one for one in features if one.slug == factor[0]]
    compared = _compared(timeline, scope, asked, start, known, roles, within, executor)
    place = next((at for at, asks in enumerate(compared.questions) if asks[1] == factor[1]), None)
    if place is None:
        raise InvalidInput("This feature is not among what was compared.")
    chosen = compared.answers[place] & (compared.left | (not left))
    return np.sort(compared.numbers[chosen])


@dataclass(frozen=True, slots=True, eq=False)
class _Compared:
    """The N active people of T, who of them fell silent, and what was asked of each (Q) with the answers (Q, N)."""

    at: int
    numbers: NDArray[np.int64]
    left: NDArray[np.bool_]
    questions: Sequence[tuple[Feature, Level, float | None]]
    answers: NDArray[np.bool_]


def _compared(
    timeline: Timeline,
    scope: Scope,
    asked: EngagementChurn,
    start: date,
    features: Sequence[Feature],
    roles: Mapping[str, Match],
    within: NDArray[np.bool_] | None,
    executor: Executor | None,
) -> _Compared:
    at = moment(timeline, scope, asked, start)
    churned = people_at(timeline, asked, at, "churned", within=within, executor=executor)
    kept = people_at(timeline, asked, at, "kept", within=within, executor=executor)
    known = told_apart(features, roles)
    found = measure(timeline, known, {}, at - asked.quiet.micros, executor=executor)
    numbers = np.concatenate([churned, kept])
    people = np.searchsorted(timeline.numbers, numbers)
    questions: list[tuple[Feature, Level, float | None]] = []
    answers, seen = [], set[bytes]()
    for place, feature in enumerate(known):
        values = found.numbers(place)[people]
        if values.tobytes() in seen:  # under another name it is the same here, and no second reason
            continue
        seen.add(values.tobytes())
        none = np.isnan(values) | ((values == 0) & (feature.kind in ("number", "money")))
        bound = float(np.median(values[~none])) if not none.all() else None
        questions += [(feature, "none", None), (feature, "low", bound), (feature, "high", bound)]
        answers += [none, ~none & (values < (bound or 0)), ~none & (values >= (bound or 0))]
    left = np.arange(len(people)) < len(churned)
    return _Compared(at, numbers, left, questions, np.array(answers, np.bool_).reshape(len(questions), len(people)))


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


def told_apart(features: Sequence[Feature], roles: Mapping[str, Match]) -> list[Feature]:
    """What can be known of earlier dates; of features that are made alike here the first."""
    told: dict[object, Feature] = {}
    for given in filter(is_of_any_time, features):
        feature = _with_roles(given, roles)
        if feature is not None:
            told.setdefault(feature.made, feature)
    return list(told.values())


def _with_roles(feature: Feature, roles: Mapping[str, Match]) -> Feature | None:
    """The feature with the events its role means now; None when there are none."""
    made = feature.made
    if not isinstance(made, Tally) or isinstance(made.of, Match):
        return feature
    return replace(feature, made=replace(made, of=roles[made.of.name])) if made.of.name in roles else None


# ------------------------------------------------------------------------------------------------------- instants


def _instants(timeline: Timeline, scope: Scope, asked: EngagementChurn) -> tuple[tuple[date, ...], NDArray[np.int64]]:
    """The intervals that have begun, and the T of each: its end, as far as the period goes and everything is known."""
    days, bounds = begun(scope, asked.interval)
    until = min(complete_until(timeline, scope), micros(scope.until))
    there = bounds[: len(days)] < until
    return days[: there.sum()], np.minimum(bounds[1 : len(days) + 1][there], until)


def moment(timeline: Timeline, scope: Scope, asked: EngagementChurn, start: date) -> int:
    """The instant T of the interval that begins on a day, in microseconds. Raises InvalidInput for no such interval."""
    days, ends = _instants(timeline, scope, asked)
    if start not in days:
        raise InvalidInput(f"No {asked.interval} of this report begins on {start}.")
    return int(ends[days.index(start)])
