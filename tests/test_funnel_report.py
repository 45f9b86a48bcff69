"""What the funnel report adds up of its outcomes, the people behind each number, and what it refuses."""

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, date, datetime
from statistics import fmean, quantiles
from types import SimpleNamespace
from uuid import UUID
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gdp_core.analytics.breakdown import NONE, OTHER, Breakdown, Group
from gdp_core.analytics.calendar import instant, micros
from gdp_core.analytics.funnel.outcomes import outcomes
from gdp_core.analytics.funnel.question import Exclusion, FactorQuestion, FunnelQuestion, Step
from gdp_core.analytics.funnel.report import funnel, people
from gdp_core.analytics.scope import Scope
from gdp_core.analytics.window import Window
from gdp_core.errors import InvalidInput
from gdp_core.timeline.arrays import MACHINE
from gdp_core.timeline.matching import Match
from pages.ui.format import Format
from pages.ui.reporting import funnel as page
from pages.ui.reporting.funnel import comparable

from .timelines import Happened, Somebody, timeline_of

BERLIN = ZoneInfo("Europe/Berlin")
SCOPE = Scope(
    UUID(int=1), "Europe/Berlin", "EUR", date(2026, 3, 27), date(2026, 4, 2), datetime(2026, 6, 1, tzinfo=UTC), "none"
)
A, B, C = (Step(Match((name,))) for name in "abc")
AB = FunnelQuestion((A, B), Window(1, "d"))
ABC = FunnelQuestion((A, B, C), Window(1, "d"))
MINUTE = 60 * 1_000_000


def at(day: int, hour: int = 12, minute: int = 0, second: int = 0) -> int:
    """A local instant of March 2026; day 32 is the first of April."""
    month, day = (4, day - 31) if day > 31 else (3, day)
    return micros(datetime(2026, month, day, hour, minute, second, tzinfo=BERLIN))


def went(*steps: tuple[str, int], live: bool = True, traits=None, **properties) -> Somebody:
    """Somebody with these events at these instants."""
    return Somebody([Happened(when, name, properties) for name, when in steps], traits or {}, live)


def numbers(timeline, scope, asked, **chosen) -> list[int]:
    return people(timeline, scope, asked, **chosen).tolist()


def test_a_funnel_of_three_steps():
    crowd = [
        went(("a", at(27)), ("b", at(27, 13)), ("c", at(27, 15))),
        went(("a", at(28)), ("b", at(28, 12, 30))),
        went(("a", at(29))),
        went(("b", at(29))),
        went(("a", at(30)), live=False),
        went(("a", at(33))),
    ]
    result = funnel(timeline_of(crowd, watermark=at(40)), SCOPE, ABC)
    assert [step.name for step in result.steps] == ["a", "b", "c"]
    assert [step.people for step in result.steps] == [3, 2, 1]
    assert [step.rate for step in result.steps] == [1, 2 / 3, 1 / 2]
    assert [step.overall for step in result.steps] == [1, 2 / 3, 1 / 3]
    assert [step.dropped for step in result.steps] == [0, 1, 1]
    assert [step.time.median if step.time else None for step in result.steps] == [None, 45 * 60, 2 * 3600]
    assert (result.total.entered, result.total.converted, result.total.dropped) == (3, 1, 2)
    assert result.total.time.median == result.total.time.mean == 3 * 3600
    assert result.total.rate == result.total.mature_rate == 1 / 3


def test_open_until_the_window_has_passed_and_what_is_over_does_not_change():
    crowd = [went(("a", at(28))), went(("a", at(28)), ("b", at(28, 14))), went(("a", at(29, 18)), ("b", at(29, 19)))]
    asked = replace(AB, window=Window(24, "h"))

    def tally(watermark: int):
        return funnel(timeline_of(crowd, watermark=watermark), SCOPE, asked).total

    edge = at(28) + Window(24, "h").micros
    still = tally(edge)  # exactly at the end of the window is open yet
    assert (still.open, still.dropped, still.converted, still.mature, still.mature_rate) == (1, 0, 2, 0, None)
    passed = tally(edge + 1)
    assert (passed.open, passed.dropped, passed.mature, passed.mature_converted) == (0, 1, 2, 1)
    assert (passed.rate, passed.mature_rate) == (2 / 3, 1 / 2)
    final = [tally(at(31) + Window(days, "d").micros).mature_rate for days in (1, 3, 300)]
    assert final == [2 / 3] * 3


@pytest.mark.parametrize("more", [{}, {"prefer": "shortest"}, {"order": "strict"}, {"order": "any"}], ids=str)
def test_a_window_is_open_at_its_last_instant(more):
    asked = replace(AB, window=Window(24, "h"), **more)
    edge = at(28) + Window(24, "h").micros
    for watermark, state in ((edge, "open"), (edge + 1, "dropped")):
        timeline = timeline_of([went(("a", at(28)))], watermark=watermark)
        assert numbers(timeline, SCOPE, asked, state=state) == [10]


def test_another_attempt_keeps_a_person_open_but_not_when_it_is_voided():
    crowd = [
        went(("a", at(27)), ("b", at(27, 13)), ("a", at(29))),
        went(("a", at(27)), ("a", at(29)), ("x", at(29, 13))),
    ]
    asked = FunnelQuestion((A, B, C), Window(24, "h"), exclusions=(Exclusion(Match(("x",)), 1),))
    timeline = timeline_of(crowd, watermark=at(29, 20))
    assert numbers(timeline, SCOPE, asked, state="open", step=3) == [10]
    assert numbers(timeline, SCOPE, asked, state="dropped", step=2) == [11]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 24 * 60), min_size=2, max_size=40))
def test_times_are_those_of_the_converted(minutes):
    crowd = [went(("a", at(28, 0)), ("b", at(28, 0) + taken * MINUTE)) for taken in minutes]
    crowd.append(went(("a", at(28))))
    timeline = timeline_of(crowd)
    total = funnel(timeline, SCOPE, AB).total
    p25, median, p75 = quantiles([taken * 60 for taken in minutes], n=4, method="inclusive")
    assert (total.time.p25, total.time.median, total.time.p75) == pytest.approx((p25, median, p75))
    assert total.time.mean == pytest.approx(fmean(minutes) * 60)
    assert total.time == total.steps[1].time
    for number, one in enumerate(total.histogram):
        is_last = number == len(total.histogram) - 1
        inside = [place for place, taken in enumerate(minutes) if one.since <= taken * 60 < one.until + is_last]
        assert one.people == len(inside)
        assert numbers(timeline, SCOPE, AB, state="converted", took=one) == [10 + place for place in inside]
    assert total.histogram[-1].until == 86_400


def test_the_trend_has_one_point_for_each_local_day_and_says_which_are_mature():
    crowd = [
        went(("a", at(27, 0))),
        went(("a", at(28, 23, 59, 59)), ("b", at(29, 1))),
        went(("a", at(29, 0))),  # the day has 23 hours
        went(("a", at(29, 23, 59, 59))),
        went(("a", at(30, 0)), ("b", at(30, 1))),
    ]
    timeline = timeline_of(crowd, watermark=at(30, 23, 59, 59))
    trend = funnel(timeline, SCOPE, AB).trend
    assert [point.start.day for point in trend] == [27, 28, 29, 30, 31, 1]
    assert [point.entered for point in trend] == [1, 1, 2, 1, 0, 0]
    assert [point.converted for point in trend] == [0, 1, 0, 1, 0, 0]
    assert [point.open for point in trend] == [0, 0, 1, 0, 0, 0]
    assert [point.is_mature for point in trend] == [True, True, False, False, False, False]
    assert [point.mature for point in trend] == [1, 1, 1, 0, 0, 0]
    assert [point.rate for point in trend] == [0, 1, 0, 1, None, None]
    for point in trend:
        assert len(numbers(timeline, SCOPE, AB, since=point.start)) == point.entered
        assert len(numbers(timeline, SCOPE, AB, since=point.start, state="converted")) == point.converted
    later = funnel(timeline_of(crowd, watermark=at(31, 0)), SCOPE, AB).trend
    assert [point.is_mature for point in later] == [True, True, True, False, False, False]
    assert [point.open for point in later] == [0, 0, 0, 0, 0, 0]


def test_a_trend_by_week_begins_with_the_week_and_one_of_a_long_period_has_few_points():
    timeline = timeline_of([went(("a", at(27))), went(("a", at(30)))])
    weekly = replace(AB, interval="week")
    assert [(point.start, point.entered) for point in funnel(timeline, SCOPE, weekly).trend] == [
        (date(2026, 3, 23), 1),
        (date(2026, 3, 30), 1),
    ]
    year, decade = replace(SCOPE, start=date(2025, 6, 1)), replace(SCOPE, start=date(2016, 6, 1))
    assert funnel(timeline, year, AB).interval == "week"
    assert funnel(timeline, decade, AB).interval == "month"
    with pytest.raises(InvalidInput, match="longer interval"):
        funnel(timeline, decade, replace(AB, interval="day"))


def test_days_that_have_not_begun_have_no_point():
    scope = replace(SCOPE, now=datetime(2026, 3, 29, 12, tzinfo=UTC))
    assert len(funnel(timeline_of([went(("a", at(27)))]), scope, AB).trend) == 3
    ahead = replace(SCOPE, now=datetime(2026, 3, 1, tzinfo=UTC))
    result = funnel(timeline_of([went(("a", at(27)))]), ahead, AB)
    assert (result.trend, result.total.entered) == ((), 0)


def by(field: str, most: int = 10, **more) -> FunnelQuestion:
    return replace(AB, breakdown=Breakdown(field, most), **more)


def groups_of(timeline, asked) -> dict[str, tuple[int, int]]:
    result = funnel(timeline, SCOPE, asked)
    for number in ("entered", "converted", "open", "dropped", "excluded", "mature", "mature_converted"):
        assert sum(getattr(tally, number) for _, tally in result.groups) == getattr(result.total, number)
    listed = [numbers(timeline, SCOPE, asked, group=group) for group, _ in result.groups]
    assert [len(one) for one in listed] == [tally.entered for _, tally in result.groups]
    assert sorted(number for one in listed for number in one) == numbers(timeline, SCOPE, asked)
    for group, tally in result.groups:
        for state in ("converted", "dropped", "open"):
            assert len(numbers(timeline, SCOPE, asked, group=group, state=state, step=2)) == (
                getattr(tally.steps[1], state)
            )
    return {group.label: (tally.entered, tally.converted) for group, tally in result.groups}


def test_broken_down_by_the_value_of_the_first_the_last_or_any_steps_event():
    def one(*values: str | None) -> Somebody:
        names = "ab"[: len(values)]
        return Somebody(
            [
                Happened(at(28, 12, minute), name, {} if value is None else {"utm": value})
                for minute, (name, value) in enumerate(zip(names, values, strict=True))
            ]
        )

    timeline = timeline_of([one("x", "y"), one("x"), one(None, "y"), one("z", None)], shards=2)
    assert groups_of(timeline, by("utm")) == {"x": (2, 1), "z": (1, 1), "(none)": (1, 1)}
    assert groups_of(timeline, by("utm", touch=1)) == {"x": (2, 1), "z": (1, 1), "(none)": (1, 1)}
    assert groups_of(timeline, by("utm", touch="last")) == {"y": (2, 2), "x": (1, 0), "(none)": (1, 1)}
    assert groups_of(timeline, by("utm", touch=2)) == {"y": (2, 2), "(none)": (2, 1)}
    assert groups_of(timeline, by("nothing")) == {"(none)": (4, 3)}


def test_broken_down_by_what_is_known_of_the_person_now():
    crowd = [
        went(("a", at(28)), ("b", at(28, 13)), traits={"plan": "pro"}),
        went(("a", at(28)), traits={"plan": "pro"}),
        went(("a", at(28)), traits={"plan": 10}),
        went(("a", at(28)), traits={"plan": "10"}),
        went(("a", at(28))),
        went(("b", at(28)), traits={"plan": "never entered"}),
    ]
    assert groups_of(timeline_of(crowd), by("person.plan")) == {"10": (2, 0), "pro": (2, 1), "(none)": (1, 0)}


def test_ten_thousand_values_are_the_largest_and_the_others():
    crowd = [went(("a", at(28)), ("b", at(28, 13)), utm=f"v{number:05}") for number in range(10_000)]
    crowd += [went(("a", at(28)), utm="v09999"), went(("a", at(28)))]
    found = groups_of(timeline_of(crowd), by("utm", 3))
    assert found == {
        "v09999": (2, 1),
        "v00000": (1, 1),
        "v00001": (1, 1),
        "(other)": (9_997, 9_997),
        "(none)": (1, 0),
    }
    result = funnel(timeline_of(crowd), SCOPE, by("utm", 3))
    assert [group for group, _ in result.groups][-2:] == [OTHER, NONE]


def test_the_excluded_have_a_group_too():
    crowd = [went(("a", at(28)), ("x", at(28, 13)), utm="u"), went(("a", at(28)), utm="w")]
    asked = by("utm", exclusions=(Exclusion(Match(("x",)), 1),))
    result = funnel(timeline_of(crowd), SCOPE, asked)
    assert {group.label: (tally.entered, tally.excluded) for group, tally in result.groups} == {
        "w": (1, 0),
        "u": (0, 1),
    }
    excluded = Group("value", "u")
    assert numbers(timeline_of(crowd), SCOPE, asked, state="excluded", group=excluded) == [10]
    assert result.steps[1].excluded == result.total.excluded == 1


def test_compared_with_the_period_before():
    scope = replace(SCOPE, compare="previous")  # six days: 21-26 March
    crowd = [
        went(("a", at(22)), ("b", at(22, 13))),
        went(("a", at(26, 23, 59)), ("b", at(27, 1))),
        went(("a", at(20))),
        went(("a", at(27)), ("b", at(27, 13))),
        went(("a", at(28))),
    ]
    timeline = timeline_of(crowd, watermark=at(40))
    result = funnel(timeline, scope, AB)
    assert (result.total.entered, result.total.converted) == (2, 1)
    assert (result.earlier.start, result.earlier.end) == (date(2026, 3, 21), date(2026, 3, 27))
    assert (result.earlier.total.entered, result.earlier.total.converted) == (2, 2)
    assert numbers(timeline, scope.earlier(), AB, state="converted") == [10, 11]
    assert funnel(timeline, SCOPE, AB).earlier is None


def test_what_the_dropped_have_more_often():
    def one(number: int, converts: bool, before: str | None, plan: str | None) -> Somebody:
        began = at(28) + number * 1_000_000
        events = [Happened(began, "a")]
        if before:
            events += [Happened(began - 6 * 86_400_000_000, before), Happened(began - 5, before)]
        events.append(Happened(began - 8 * 86_400_000_000, "long ago"))
        events.append(Happened(began, "at once"))
        if converts:
            events += [Happened(began + 5, "b"), Happened(began + 6, "thanks")]
        return Somebody(events, {"plan": plan} if plan else {})

    crowd = [one(number, False, "error" if number % 2 else None, "free") for number in range(200)]
    crowd += [
        one(number, True, "error" if number % 10 == 0 else None, ["free", None][number % 2]) for number in range(100)
    ]
    waiting = [went(("error", at(45)), ("a", at(46)), traits={"plan": "free"}) for _ in range(50)]
    scope = replace(SCOPE, end=date(2026, 6, 1))
    asked = replace(AB, factors=FactorQuestion(("person.plan",)))
    timeline = timeline_of(crowd + waiting, watermark=at(46, 13), shards=2)
    result = funnel(timeline, scope, asked)
    assert (result.total.open, result.factors.dropped, result.factors.converted) == (50, 200, 100)
    found = {(one.kind, one.field, one.value): one.found for one in result.factors.found}
    assert set(found) == {
        ("event", "event", "error"),
        ("trait", "person.plan", "free"),
        ("trait", "person.plan", "(none)"),
    }
    error = found["event", "event", "error"]
    assert (error.first, error.second, error.ratio) == (100, 10, pytest.approx(0.5 / 0.1))
    assert error.low < 5 < error.high
    assert error.corrected < 0.001
    free = found["trait", "person.plan", "free"]
    assert (free.first, free.second, free.ratio) == (200, 50, pytest.approx(2))
    missing = found["trait", "person.plan", "(none)"]
    assert (missing.first, missing.second, missing.ratio) == (0, 50, 0)
    assert result.to_json()["factors"]["note"]
    for factor in result.factors.found:
        for state, count in (("dropped", factor.found.first), ("converted", factor.found.second)):
            chosen = numbers(timeline, scope, asked, state=state, mature=True, factor=factor)
            assert len(chosen) == count
            assert {number < 10 + 200 for number in chosen} <= {state == "dropped"}
        assert len(numbers(timeline, scope, asked, mature=True, factor=factor)) == factor.support
    longer = replace(asked, factors=FactorQuestion(lookback=Window(9, "d")))
    compared = funnel(timeline_of(crowd, watermark=at(46)), scope, longer).factors
    assert [one.value for one in compared.found] == ["error"]  # everybody had the one of long ago: it tells nothing


def test_what_was_before_begins_with_the_lookback_and_ends_before_the_entry():
    began, week = at(28), Window(7, "d").micros
    moments = {"early": began - week - 1, "first": began - week, "last": began - 1, "at once": began, "a": began}
    events = [Happened(moment, name) for name, moment in moments.items()]
    events.append(Happened(began - 2, "scanned", flags=int(MACHINE)))
    timeline = timeline_of([Somebody(events)])
    found = outcomes(timeline, SCOPE, replace(AB, factors=FactorQuestion((), Window(7, "d"))))
    dropped = dict(zip(timeline.names, found.before[0].tolist(), strict=True))
    assert {name for name, count in dropped.items() if count} == {"first", "last"}


def test_only_those_within_are_counted():
    timeline = timeline_of([went(("a", at(28))), went(("a", at(28)), ("b", at(28, 13)))], shards=2)
    within = np.array([False, True])
    assert funnel(timeline, SCOPE, AB, within=within).total.entered == 1
    assert people(timeline, SCOPE, AB, within=within).tolist() == [11]


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32))
def test_shards_and_executors_change_nothing(seed):
    rng = np.random.default_rng(seed)
    crowd = [
        Somebody(
            [
                Happened(
                    at(27) + int(rng.integers(0, 200)) * 30 * MINUTE, str(rng.choice(list("abcx"))), {"u": int(value)}
                )
                for value in rng.integers(0, 4, rng.integers(0, 12))
            ],
            {"plan": str(rng.choice(["p", "q"]))},
        )
        for _ in range(25)
    ]
    asked = FunnelQuestion(
        (A, replace(B, optional=True), C),
        Window(1, "d"),
        exclusions=(Exclusion(Match(("x",)), 1),),
        breakdown=Breakdown("u", 2),
        touch="last",
        factors=FactorQuestion(("plan",)),
    )
    whole = funnel(timeline_of(crowd, watermark=at(30)), SCOPE, asked)
    with ThreadPoolExecutor(2) as executor:
        for shards in (2, 5):
            parts = timeline_of(crowd, shards=shards, watermark=at(30))
            assert funnel(parts, SCOPE, asked, executor=executor) == whole


@pytest.mark.parametrize("order", ["ordered", "strict", "any"])
def test_an_event_that_never_was_takes_nobody_further_and_is_named(order):
    asked = FunnelQuestion((A, Step(Match(("bought", "b")))), Window(1, "d"), order)
    result = funnel(timeline_of([went(("a", at(28)))]), SCOPE, asked)
    assert [step.people for step in result.steps] == [1, 0]
    assert result.notes == (
        "No event named b has ever been recorded.",
        "No event named bought has ever been recorded.",
    )


def test_an_empty_workspace_has_a_funnel_of_nobody():
    timeline = replace(timeline_of([]), shards=())
    for empty in (timeline, timeline_of([])):
        asked = replace(ABC, breakdown=Breakdown("utm"), factors=FactorQuestion(("plan",)))
        result = funnel(empty, replace(SCOPE, compare="previous"), asked)
        assert [step.people for step in result.steps] == [0, 0, 0]
        assert (result.total.rate, result.total.time, result.total.histogram, result.groups) == (None, None, (), ())
        assert people(empty, SCOPE, asked).tolist() == []
        json.dumps(result.to_json())


def test_its_json():
    crowd = [went(("a", at(28)), ("b", at(28, 13)), utm="x"), went(("a", at(29)), utm="y")]
    asked = replace(AB, breakdown=Breakdown("utm"), factors=FactorQuestion())
    found = json.loads(json.dumps(funnel(timeline_of(crowd), replace(SCOPE, compare="previous"), asked).to_json()))
    assert found["steps"][1] == {
        "name": "b",
        "optional": False,
        "people": 1,
        "converted": 1,
        "dropped": 1,
        "open": 0,
        "excluded": 0,
        "mature_people": 1,
        "rate": 0.5,
        "overall": 0.5,
        "mature_rate": 0.5,
        "mature_overall": 0.5,
        "time": {"people": 1, "median": 3600.0, "p25": 3600.0, "p75": 3600.0, "mean": 3600.0},
    }
    assert (found["from"], found["to"], found["timezone"]) == ("2026-03-27", "2026-04-02", "Europe/Berlin")
    assert (found["entered"], found["rate"], found["window"], found["order"]) == (2, 0.5, "1d", "ordered")
    assert found["trend"][1] == {
        "start": "2026-03-28",
        "entered": 1,
        "converted": 1,
        "open": 0,
        "dropped": 0,
        "mature": 1,
        "mature_converted": 1,
        "is_mature": True,
        "rate": 1.0,
        "mature_rate": 1.0,
    }
    assert [(group["kind"], group["name"], group["entered"]) for group in found["groups"]] == [
        ("value", "x", 1),
        ("value", "y", 1),
    ]
    assert found["earlier"]["entered"] == 0
    assert found["factors"]["found"] == []
    assert found["complete_until"] == "2026-06-01T00:00:00+00:00"


def test_the_steps_of_any_order_are_called_by_their_number():
    crowd = [went(("c", at(28)), ("a", at(28, 13)), ("o", at(28, 14)))]
    asked = FunnelQuestion((A, Step(Match(("o",)), optional=True), B, C), Window(1, "d"), "any")
    steps = funnel(timeline_of(crowd), SCOPE, asked).steps
    assert [(step.name, step.people) for step in steps] == [
        ("1 of 3 steps", 1),
        ("o", 1),
        ("2 of 3 steps", 1),
        ("3 of 3 steps", 0),
    ]


def test_the_definition_names_what_was_asked():
    asked = FunnelQuestion(
        (A, replace(B, optional=True), C), Window(2, "h"), exclusions=(Exclusion(Match(("x",)), 1),), prefer="shortest"
    )
    text = asked.definition
    for word in ("begins with the event a", "a, b (optional) and c", "2h", "the shortest", "x after a"):
        assert word in text


@pytest.mark.parametrize(
    ("asked", "sentence"),
    [
        (lambda: FunnelQuestion((A,)), "between 2 and 20 steps"),
        (lambda: FunnelQuestion((A,) * 21), "between 2 and 20 steps"),
        (lambda: FunnelQuestion((A, B), order="sorted"), "ordered, strict or any"),
        (lambda: FunnelQuestion((replace(A, optional=True), B)), "cannot be optional"),
        (lambda: FunnelQuestion((A, replace(B, optional=True))), "cannot be optional"),
        (lambda: FunnelQuestion((A, B), exclusions=(Exclusion(Match(("x",)), 2),)), "after one of the steps 1-1"),
        (lambda: FunnelQuestion((A, B), exclusions=(Exclusion(Match(("x",)), 0),)), "after one of the steps 1-1"),
        (lambda: FunnelQuestion((A, B), order="any", exclusions=(Exclusion(Match(("x",)), 1),)), "order of its steps"),
        (lambda: FunnelQuestion((A, B), order="strict", exclusions=(Exclusion(Match(("x",)), 1),)), "order of its"),
        (
            lambda: FunnelQuestion((A, replace(B, optional=True), C), exclusions=(Exclusion(Match(("x",)), 2),)),
            "not an optional one",
        ),
        (lambda: FunnelQuestion((A,) * 20, exclusions=(Exclusion(Match(("x",)), 1),) * 5), "24 at most"),
        (lambda: FunnelQuestion((A, B), prefer="latest"), "earliest or the shortest"),
        (lambda: FunnelQuestion((A, B), touch=3), "steps 1-2"),
        (lambda: FunnelQuestion((A, B), touch="middle"), "first or the last"),
        (lambda: FunnelQuestion((A, B), interval="hour"), "day, week or month"),
        (lambda: FactorQuestion(("plan",) * 21), "At most 20"),
        (lambda: Window(0, "h"), "at least 1"),
        (lambda: Window(11, "y"), "no unit"),
        (lambda: Window(123, "mo"), "ten years"),
        (lambda: Window.parse("0d"), "at least 1"),
        (lambda: Window.parse("1 year"), "is no window"),
        (lambda: Window.parse("-1h"), "is no window"),
        (lambda: Window.parse(""), "is no window"),
        (lambda: Window.parse("1.5h"), "is no window"),
        (lambda: Breakdown("utm", 0), "between 1 and 50"),
    ],
)
def test_what_is_no_question(asked, sentence):
    with pytest.raises(InvalidInput, match=sentence):
        asked()


def test_what_no_report_has():
    timeline = timeline_of([went(("a", at(28)))])
    backwards = replace(SCOPE, end=SCOPE.start)
    for refused in (
        lambda: funnel(timeline, backwards, AB),
        lambda: funnel(timeline, replace(SCOPE, end=date(2026, 3, 1)), AB),
        lambda: people(timeline, backwards, AB),
        lambda: people(timeline, SCOPE, AB, state="lost"),
        lambda: people(timeline, SCOPE, AB, step=3),
        lambda: people(timeline, SCOPE, AB, step=0),
        lambda: people(timeline, SCOPE, AB, group=NONE),
        lambda: people(timeline, SCOPE, AB, since=date(2026, 3, 1)),
    ):
        with pytest.raises(InvalidInput):
            refused()


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("30s", 30), ("15min", 900), ("1h", 3600), (" 14 D ", 1_209_600), ("2w", 1_209_600), ("1mo", 2_592_000)],
)
def test_windows_are_read_as_people_write_them(text, seconds):
    window = Window.parse(text)
    assert window.micros == seconds * 1_000_000
    assert Window.parse(window.text) == window


@pytest.mark.parametrize(("watermark", "now"), [(at(32, 23), 1 / 2), (at(40), 1 / 4)])
def test_what_may_still_rise_is_not_compared_with_what_is_over(monkeypatch, watermark, now):
    """One of four converted in either period; of the later one two may still do so, as long as little is known."""
    crowd = [
        person
        for first, last in ((22, 26), (28, 32))
        for person in (
            went(("a", at(first)), ("b", at(first, 13))),
            went(("a", at(first))),
            went(("a", at(last))),
            went(("a", at(last))),
        )
    ]
    scope = replace(SCOPE, compare="previous", now=instant(watermark))
    found = funnel(timeline_of(crowd, watermark=watermark), scope, AB)
    assert found.total.rate == 1 / 4
    assert comparable(found.total, found.earlier.total) == (now, 1 / 4)
    assert comparable(found.total, None) == (None, None)
    said = {}
    monkeypatch.setattr(page.layout, "metric", lambda name, _, **more: said.update({name: more}))
    monkeypatch.setattr(page.clicking, "metric", lambda _, name, __, **more: said.update({name: more}))
    page.headline(SimpleNamespace(write=Format("en_GB", "UTC", "EUR")), found)
    changes = {name: more["change"] for name, more in said.items()}
    assert changes["Entered"] == "0%"
    assert (changes["Converted"], changes["Time to convert"]) == ((None, None) if found.total.open else ("0%", "0%"))
