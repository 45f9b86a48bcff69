"""Engagement churn as definitions say it, one person at a time, against the kernel; and what went with it."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from uuid import UUID

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gdp_core.analytics.engagement_churn import (
    ChurnCell,
    EngagementChurn,
    churn_factor_people,
    churn_factors,
    engagement_churn,
    engagement_churn_people,
)
from gdp_core.analytics.scope import Scope
from gdp_core.analytics.window import Window
from gdp_core.errors import InvalidInput
from gdp_core.features import FEATURES
from gdp_core.timeline import engine
from gdp_core.timeline.matching import Match

from .lives import EPOCH, World, counts_for, first_day, first_instant, micros_of, place, worlds
from .timelines import Happened, Somebody, timeline_of
from .timelines_bulk import bulk

CORE = Match(("buy",))
DAY = 86_400_000_000


@pytest.fixture(autouse=True, scope="module")
def small_parts() -> Iterator[None]:
    """Even a handful of rows is worth a part of its own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(engine, "_WORTH_A_PART", 3)
        yield


def state(who: Somebody, asked: EngagementChurn, at: int) -> str | None:
    """What somebody was at T; None: not active in the baseline."""
    core = [event.at for event in who.events if counts_for(event, asked.core)]
    quiet, baseline = asked.quiet.micros, asked.baseline.micros
    if not any(at - quiet - baseline <= t < at - quiet for t in core):
        return None
    return "kept" if any(at - quiet <= t < at for t in core) else "churned"


@settings(max_examples=200, deadline=None)
@given(
    worlds(),
    st.builds(
        EngagementChurn,
        st.sampled_from([CORE, Match(("visit", "buy"))]),
        st.sampled_from([Window(5, "d"), Window(24, "h"), Window(2, "w")]),
        st.sampled_from([Window(10, "d"), Window(1, "d"), Window(1, "mo")]),
        st.sampled_from(["day", "week", "month"]),
    ),
    st.integers(1, 3),
)
def test_every_number_is_what_the_definition_says(world: World, asked: EngagementChurn, shards: int):
    timeline = timeline_of(world.people, shards=shards, watermark=world.watermark)
    within = None if world.within is None else np.array(world.within, np.bool_)
    result = engagement_churn(timeline, world.scope, asked, within=within)
    scope = world.scope
    until = min(world.complete, first_instant(scope.end, scope.zone))
    days = [scope.start + timedelta(days=number) for number in range(scope.days)]
    numbers = sorted({place(day, asked.interval) for day in days if first_instant(day, scope.zone) < until})
    assert [point.start for point in result.points] == [first_day(number, asked.interval) for number in numbers]
    for number, point in zip(numbers, result.points, strict=True):
        end = first_instant(first_day(number + 1, asked.interval), scope.zone)
        at = min(end, until)
        assert micros_of(point.at) == at
        assert point.complete == (at == end)
        told = {index: state(who, asked, at) for index, who in world.counting()}
        meant = {name: [10 + i for i, found in told.items() if found == name] for name in ("churned", "kept")}
        meant["active"] = sorted(meant["churned"] + meant["kept"])
        assert (point.churned, point.kept, point.active) == tuple(map(len, meant.values()))
        assert point.rate == (len(meant["churned"]) / len(meant["active"]) if meant["active"] else None)
        for name, people in meant.items():
            cell = ChurnCell(point.start, name)
            listed = engagement_churn_people(timeline, scope, asked, cell, within=within)
            assert listed.tolist() == people


@pytest.mark.parametrize(
    ("moments", "expected"),
    [
        ((-15 * DAY - 1,), None),
        ((-15 * DAY,), "churned"),
        ((-5 * DAY - 1,), "churned"),
        ((-5 * DAY,), None),
        ((-6 * DAY, -5 * DAY), "kept"),
        ((-6 * DAY, -1), "kept"),
        ((-6 * DAY, 0), "churned"),
        ((-15 * DAY - 1, -5 * DAY), None),
        ((-15 * DAY - 1, 0), None),
        ((0,), None),
    ],
)
def test_every_edge_belongs_to_what_begins_there(moments, expected):
    """Active in [T - 15 d, T - 5 d), silent in [T - 5 d, T)."""
    at = micros_of(datetime(2024, 6, 2, tzinfo=UTC))
    scope = Scope(UUID(int=0), "UTC", "EUR", date(2024, 6, 1), date(2024, 6, 2), datetime(2024, 7, 1, tzinfo=UTC))
    somebody = Somebody([Happened(at + moment, "buy") for moment in moments])
    asked = EngagementChurn(CORE, Window(5, "d"), Window(10, "d"), "day")
    assert state(somebody, asked, at) == expected
    (point,) = engagement_churn(timeline_of([somebody]), scope, asked).points
    assert (point.churned, point.kept) == (expected == "churned", expected == "kept")


def test_factors_are_what_was_so_before_the_silence():
    """Who had looked at prices before leaves twice as often; what the leavers did not do while silent is no factor."""
    at = micros_of(datetime(2024, 6, 1, tzinfo=UTC))
    rng = np.random.default_rng(1)
    person, when, name = [], [], []

    def happens(who: int, days: float, what: str) -> None:
        person.append(who), when.append(at - int(days * DAY)), name.append(what)

    for who in range(900):
        happens(who, 40 + who % 7, "buy")
        viewed = who % 3 == 0
        for _ in range(3 if viewed else 0):
            happens(who, rng.uniform(31, 80), "pricing_view")
        if rng.random() > (0.6 if viewed else 0.3):
            happens(who, rng.uniform(1, 29), "buy")
            happens(who, rng.uniform(1, 29), "email_opened")
    timeline = bulk(person, when, name, watermark=at)
    scope = Scope(UUID(int=0), "UTC", "EUR", date(2024, 5, 1), date(2024, 6, 1), EPOCH + timedelta(microseconds=at))
    asked, roles = EngagementChurn(CORE), {"core": CORE, "pricing_view": Match(("pricing_view",))}
    start = date(2024, 5, 1)
    found = churn_factors(timeline, scope, asked, start, FEATURES, roles)
    (point,) = engagement_churn(timeline, scope, asked).points
    assert (found.churned, found.kept) == (point.churned, point.kept)
    assert found.churned + found.kept == 900
    assert found.primary is not None
    viewers = [one for one in found.factors if one.feature.slug == "pricing_views" and one.level == "high"]
    (one,) = viewers
    assert one.bound == 3
    assert one.support == 300
    assert one.risk.low < 2 < one.risk.high
    assert one.risk.corrected < 0.001
    assert found.primary.feature.slug in ("pricing_views", "active_days", "active_days_30d", "days_since_last_active")
    assert not [one for one in found.factors if one.feature.slug == "email_opens"]
    churned = engagement_churn_people(timeline, scope, asked, ChurnCell(start, "churned"))
    viewers_left = set(range(0, 900, 3)) & set(churned.tolist())
    assert one.risk.have_left == len(viewers_left)
    for factor in found.factors:
        named = (factor.feature.slug, factor.level)
        listed = [
            churn_factor_people(timeline, scope, asked, start, FEATURES, roles, named, left=left)
            for left in (False, True)
        ]
        assert [*map(len, listed)] == [factor.support, factor.risk.have_left]
        assert set(listed[1].tolist()) <= set(churned.tolist()) & set(listed[0].tolist())
    with pytest.raises(InvalidInput, match="not among"):
        churn_factor_people(timeline, scope, asked, start, FEATURES, roles, ("lifetime_value", "high"))
    with pytest.raises(InvalidInput, match="No month"):
        churn_factors(timeline, scope, asked, date(2024, 4, 1), FEATURES, roles)
    few = churn_factors(timeline, scope, asked, start, FEATURES, roles, within=np.arange(900) < 20)
    assert few.factors == ()
    assert few.primary is few.secondary is None
