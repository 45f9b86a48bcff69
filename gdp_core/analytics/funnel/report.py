"""The funnel report, and the people behind each of its numbers: both read the same outcomes, so they always agree."""

import itertools
from concurrent.futures import Executor
from dataclasses import asdict, dataclass
from datetime import date, datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gdp_core.analytics.breakdown import Group, split
from gdp_core.analytics.calendar import Interval, instant, micros
from gdp_core.analytics.counting import begun, complete_until, unheard
from gdp_core.analytics.funnel.factors import Factor, Factors, factors, had
from gdp_core.analytics.funnel.outcomes import STATES, Outcomes, State, outcomes
from gdp_core.analytics.funnel.question import FunnelQuestion
from gdp_core.analytics.scope import Scope
from gdp_core.analytics.window import Window
from gdp_core.errors import InvalidInput
from gdp_core.timeline.arrays import Timeline
from gdp_core.timeline.kernels.search import intervals_at

_SECOND = 1_000_000
_LADDER = [
    Window.parse(rung).micros
    for rung in "1s 10s 30s 1min 5min 15min 30min 1h 2h 6h 12h 1d 2d 3d 7d 14d 30d 60d 90d 180d 365d 730d".split()
]
_FEW_DAYS, _MANY_DAYS = 92, 730  # up to here a trend is by day, then by week, then by month
_NOT_A_CAUSE = "What goes together with dropping out; it need not be why."


@dataclass(frozen=True, slots=True)
class Spread:
    """How long something took: seconds, by linear interpolation between people."""

    people: int
    median: float
    p25: float
    p75: float
    mean: float


@dataclass(frozen=True, slots=True)
class Bin:
    """How many took at least `since` seconds and less than `until`; the last bin holds those who took its end, too."""

    since: int
    until: int
    people: int


@dataclass(frozen=True, slots=True)
class StepResult:
    """One step. `people` took it; `dropped`, `open` and `excluded` took the required step before it and stopped there.

    Rates are of the required step before (`rate`) and of all who entered (`overall`), None where that is nobody; the
    `mature_` ones are the same among people none of whose windows is open. `time` is from the required step before.
    An optional step has people and rates, but nobody stops at it.
    """

    name: str
    optional: bool
    people: int
    converted: int
    dropped: int
    open: int
    excluded: int
    mature_people: int
    rate: float | None
    overall: float | None
    mature_rate: float | None
    mature_overall: float | None
    time: Spread | None


@dataclass(frozen=True, slots=True)
class Tally:
    """A funnel's numbers, of everybody or of a group. entered = converted + open + dropped; the excluded are apart."""

    entered: int
    converted: int
    open: int
    dropped: int
    excluded: int
    mature: int
    mature_converted: int
    steps: tuple[StepResult, ...]
    time: Spread | None
    histogram: tuple[Bin, ...]

    @property
    def rate(self) -> float | None:
        """Converted of all who entered."""
        return _ratio(self.converted, self.entered)

    @property
    def mature_rate(self) -> float | None:
        """Converted of those none of whose windows is open. Of a period long over it never changes."""
        return _ratio(self.mature_converted, self.mature)


@dataclass(frozen=True, slots=True)
class Point:
    """Those who entered in an interval of the workspace's calendar. Mature: its last attempt's window has passed."""

    start: date
    entered: int
    converted: int
    open: int
    dropped: int
    mature: int
    mature_converted: int
    is_mature: bool

    @property
    def rate(self) -> float | None:
        """Converted of all who entered."""
        return _ratio(self.converted, self.entered)

    @property
    def mature_rate(self) -> float | None:
        """Converted of those none of whose windows is open."""
        return _ratio(self.mature_converted, self.mature)


@dataclass(frozen=True, slots=True)
class Earlier:
    """The period it is compared with, local days [start, end)."""

    start: date
    end: date
    total: Tally


@dataclass(frozen=True, slots=True)
class FunnelResult:
    """The answer. `complete_until`: what began a window before it has come to its end. `notes` are for the reader."""

    asked: FunnelQuestion
    start: date
    end: date
    timezone: str
    interval: Interval
    snapshot: str
    complete_until: datetime
    total: Tally
    trend: tuple[Point, ...]
    groups: tuple[tuple[Group, Tally], ...]
    earlier: Earlier | None
    factors: Factors | None
    notes: tuple[str, ...]

    @property
    def steps(self) -> tuple[StepResult, ...]:
        """Everybody's."""
        return self.total.steps

    def to_json(self) -> dict[str, Any]:
        """What the command prints. Days are local, `to` is exclusive, times are seconds, a rate of nobody is null.

        {report, snapshot, complete_until, definition, timezone, from, to, order, window, interval, notes: [text],
        entered, converted, open, dropped, excluded, mature, mature_converted, rate, mature_rate,
        steps: [{name, optional, people, converted, dropped, open, excluded, mature_people, rate, overall, mature_rate,
        mature_overall, time}], time: {people, median, p25, p75, mean} | null, histogram: [{since, until, people}],
        trend: [{start, entered, converted, open, dropped, mature, mature_converted, rate, mature_rate, is_mature}],
        breakdown: field | null, groups: [{kind: value | other | none, name, entered, ..., steps, time, histogram}],
        earlier: {from, to, entered, ..., steps, time, histogram} | null,
        factors: {note, dropped, converted, compared, found: [{kind: trait | event, field, value, dropped, converted,
        support, ratio, low, high, p, corrected}]} | null}
        """
        return {
            "report": "funnel",
            "snapshot": self.snapshot,
            "complete_until": self.complete_until.isoformat(),
            "definition": self.asked.definition,
            "timezone": self.timezone,
            "from": self.start.isoformat(),
            "to": self.end.isoformat(),
            "order": self.asked.order,
            "window": self.asked.window.text,
            "interval": self.interval,
            "notes": list(self.notes),
            **_tally_json(self.total),
            "trend": [
                asdict(point) | {"start": point.start.isoformat(), "rate": point.rate, "mature_rate": point.mature_rate}
                for point in self.trend
            ],
            "breakdown": self.asked.breakdown.field if self.asked.breakdown else None,
            "groups": [{"kind": group.kind, "name": group.label, **_tally_json(tally)} for group, tally in self.groups],
            "earlier": self.earlier
            and {
                "from": self.earlier.start.isoformat(),
                "to": self.earlier.end.isoformat(),
                **_tally_json(self.earlier.total),
            },
            "factors": self.factors and _factors_json(self.factors),
        }


def funnel(
    timeline: Timeline,
    scope: Scope,
    asked: FunnelQuestion,
    *,
    within: NDArray[np.bool_] | None = None,
    executor: Executor | None = None,
) -> FunnelResult:
    """Who entered in the period and how far they got, then or later, as of the timeline's watermark.

    `within` (aligned with Timeline.numbers) leaves others out. Raises InvalidInput for a period that ends before it
    begins, and for more intervals than can be shown.
    """
    interval = asked.interval or _interval(scope)
    found = outcomes(timeline, scope, asked, within=within, executor=executor)
    groups, place = _groups(timeline, asked, found)
    before = scope.earlier()
    found_before = outcomes(timeline, before, asked, within=within, executor=executor) if before else None
    return FunnelResult(
        asked=asked,
        start=scope.start,
        end=scope.end,
        timezone=scope.timezone,
        interval=interval,
        snapshot=timeline.snapshot,
        complete_until=instant(complete_until(timeline, scope)),
        total=_tally(asked, found),
        trend=_trend(scope, interval, asked, found, timeline.watermark),
        groups=tuple((group, _tally(asked, found.part(place == number))) for number, group in enumerate(groups)),
        earlier=Earlier(before.start, before.end, _tally(asked, found_before)) if found_before and before else None,
        factors=factors(timeline, found, asked.factors) if asked.factors else None,
        notes=unheard(timeline, asked.matches, (asked.breakdown.field if asked.breakdown else None,)),
    )


def people(
    timeline: Timeline,
    scope: Scope,
    asked: FunnelQuestion,
    *,
    state: State = "reached",
    step: int | None = None,
    group: Group | None = None,
    since: date | None = None,
    mature: bool = False,
    took: Bin | None = None,
    factor: Factor | None = None,
    within: NDArray[np.bool_] | None = None,
    executor: Executor | None = None,
) -> NDArray[np.int64]:
    """The lasting numbers, ascending, of exactly those whom a number of the report counts.

    `state` alone is of the whole funnel ("reached": who entered); with `step` (1 is the first) the number of that name
    in the step, "reached" being its `people`. `group`: of a group of the report. `since`: of the point of the trend that
    starts on that day. `mature`: only those none of whose windows is open. `took`: of a bin of the histogram. `factor`:
    only those who had it; with `mature` and "reached" its support. With `scope.earlier()` it is the people of the
    compared period. Raises InvalidInput for what the report does not have.
    """
    if state not in STATES:
        raise InvalidInput(f"There is no state {state!r}; use one of {', '.join(STATES)}.")
    if step is not None and not 1 <= step <= len(asked.steps):
        raise InvalidInput(f"This funnel has the steps 1-{len(asked.steps)}.")
    found = outcomes(timeline, scope, asked, within=within, executor=executor)
    chosen = found.who(state, None if step is None else step - 1, mature=mature)
    if group is not None:
        groups, place = _groups(timeline, asked, found)
        if group not in groups:
            raise InvalidInput(f"The report has no group {group.label!r}; choose one that it shows.")
        chosen &= place == groups.index(group)
    if since is not None:
        days, bounds = begun(scope, asked.interval or _interval(scope))
        if since not in days:
            raise InvalidInput(f"No point of the trend starts on {since.isoformat()}; choose one that it shows.")
        number = days.index(since)
        chosen &= (found.entered_at >= bounds[number]) & (found.entered_at < bounds[number + 1])
    if took is not None:
        chosen &= _within_bin(asked, found, took)
    if factor is not None:
        chosen &= had(timeline, found, asked, factor)
    return np.sort(timeline.numbers[found.people[chosen]])


def _within_bin(asked: FunnelQuestion, found: Outcomes, wanted: Bin) -> NDArray[np.bool_]:
    elapsed, places = found.took(0, len(asked.steps) - 1)
    since, until = wanted.since * _SECOND, wanted.until * _SECOND
    chosen = np.zeros(len(found.people), np.bool_)
    last = until == asked.window.micros
    chosen[places[(elapsed >= since) & ((elapsed <= until) if last else (elapsed < until))]] = True
    return chosen


def _interval(scope: Scope) -> Interval:
    if scope.days <= _FEW_DAYS:
        return "day"
    return "week" if scope.days <= _MANY_DAYS else "month"


def _tally(asked: FunnelQuestion, found: Outcomes) -> Tally:
    count = found.count
    entered, mature = count("reached"), count("reached", mature=True)
    steps: list[StepResult] = []
    before = 0  # the required step before
    for step, asked_step in enumerate(asked.steps):
        reached, matured = count("reached", step), count("reached", step, mature=True)
        previous = steps[before] if step else None
        steps.append(
            StepResult(
                name=asked.titles[step],
                optional=asked_step.optional,
                people=reached,
                **{state: count(state, step) for state in ("converted", "dropped", "open", "excluded")},
                mature_people=matured,
                rate=_ratio(reached, previous.people if previous else entered),
                overall=_ratio(reached, entered),
                mature_rate=_ratio(matured, previous.mature_people if previous else mature),
                mature_overall=_ratio(matured, mature),
                time=_spread(found.took(before, step)[0]) if step else None,
            )
        )
        before = before if asked_step.optional else step
    took, _ = found.took(0, len(asked.steps) - 1)
    return Tally(
        entered=entered,
        converted=count("converted"),
        open=count("open"),
        dropped=count("dropped"),
        excluded=count("excluded"),
        mature=mature,
        mature_converted=count("converted", mature=True),
        steps=tuple(steps),
        time=_spread(took),
        histogram=_histogram(took, asked.window.micros),
    )


def _spread(took: NDArray[np.int64]) -> Spread | None:
    if not len(took):
        return None
    p25, median, p75 = np.percentile(took, (25, 50, 75)) / _SECOND
    return Spread(len(took), float(median), float(p25), float(p75), float(took.mean() / _SECOND))


def _histogram(took: NDArray[np.int64], window: int) -> tuple[Bin, ...]:
    """Over a ladder of times that does not depend on the data, up to the window."""
    if not len(took):
        return ()
    ends = [0, *(rung for rung in _LADDER if rung < window), window]
    counts, _ = np.histogram(took, np.array(ends))
    return tuple(
        Bin(since // _SECOND, until // _SECOND, int(number))
        for (since, until), number in zip(itertools.pairwise(ends), counts, strict=True)
    )


def _trend(
    scope: Scope, interval: Interval, asked: FunnelQuestion, found: Outcomes, watermark: int
) -> tuple[Point, ...]:
    days, bounds = begun(scope, interval)
    counts = found.counts(intervals_at(bounds, found.entered_at), len(days))
    columns = {
        "entered": counts("reached", False),
        "converted": counts("converted", False),
        "open": counts("open", False),
        "dropped": counts("dropped", False),
        "mature": counts("reached", True),
        "mature_converted": counts("converted", True),
    }
    is_over = np.minimum(bounds[1:], micros(scope.until)) + asked.window.micros <= watermark
    return tuple(
        Point(day, is_mature=bool(is_over[number]), **{name: column[number] for name, column in columns.items()})
        for number, day in enumerate(days)
    )


def _groups(timeline: Timeline, asked: FunnelQuestion, found: Outcomes) -> tuple[tuple[Group, ...], NDArray[np.int32]]:
    """The groups of the breakdown, by how many entered, and the place among them of each outcome."""
    if asked.breakdown is None:
        return (), np.empty(0, np.int32)
    if asked.breakdown.of_person:
        column = timeline.columns.person(asked.breakdown.name)
        values, codes = column.values, column.codes[found.people]
    else:
        values, codes = timeline.columns.event(asked.breakdown.name).values, found.code
    places = codes % (len(values) + 1)  # a missing value is the last
    seen = np.bincount(places, minlength=len(values) + 1) > 0
    entered = np.bincount(places[found.who("reached")], minlength=len(values) + 1)
    parts = split(values, seen, entered, asked.breakdown.most)
    return parts.groups, parts.of_code[places]


def _ratio(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def _tally_json(tally: Tally) -> dict[str, Any]:
    return asdict(tally) | {"rate": tally.rate, "mature_rate": tally.mature_rate}


def _factors_json(found: Factors) -> dict[str, Any]:
    return {
        "note": _NOT_A_CAUSE,
        "dropped": found.dropped,
        "converted": found.converted,
        "compared": found.compared,
        "found": [
            {
                "kind": factor.kind,
                "field": factor.field,
                "value": factor.value,
                "dropped": factor.found.first,
                "converted": factor.found.second,
                "support": factor.support,
                "ratio": factor.found.ratio,
                "low": factor.found.low,
                "high": factor.found.high,
                "p": factor.found.p,
                "corrected": factor.found.corrected,
            }
            for factor in found.found
        ],
    }
