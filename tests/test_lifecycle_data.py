"""Lifecycle, stickiness and a trend of a real social app, against pandas."""

from collections import defaultdict
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from uuid import UUID

import numpy as np
import pandas as pd
import pytest

from gdp_core.analytics.lifecycle import Lifecycle, LifecycleCell, lifecycle, lifecycle_people
from gdp_core.analytics.scope import Scope
from gdp_core.analytics.stickiness import Stickiness, stickiness
from gdp_core.analytics.trends import Trend, trend
from gdp_core.timeline.arrays import Timeline

from .timelines_bulk import bulk

MESSAGES = Path(__file__).parents[2] / "shared" / "datasets" / "CollegeMsg.txt"
ZONE = "America/Los_Angeles"
SUMMER = Scope(UUID(int=0), ZONE, "USD", date(2004, 5, 3), date(2004, 9, 6), datetime(2004, 12, 31, tzinfo=UTC), "none")


@pytest.fixture(scope="module")
def messages() -> pd.DataFrame:
    if not MESSAGES.exists():
        pytest.skip("the CollegeMsg dataset is not beside the repository")
    frame = pd.read_csv(MESSAGES, sep=" ")
    frame["day"] = (
        pd.to_datetime(frame.time, unit="s", utc=True).dt.tz_convert(ZONE).dt.tz_localize(None).dt.normalize()
    )
    return frame


@pytest.fixture(scope="module")
def timeline(messages: pd.DataFrame) -> Timeline:
    return bulk(messages.src, messages.time * 1_000_000, np.full(len(messages), "message"), shards=2)


def active(messages: pd.DataFrame, interval: str) -> pd.DataFrame:
    """People by intervals: who sent something in each, empty intervals too."""
    kept = messages.day.dt.to_period({"day": "D", "week": "W-SUN", "month": "M"}[interval])
    table = messages.groupby([messages.src, kept]).size().unstack(fill_value=0) > 0
    return table.reindex(columns=pd.period_range(kept.min(), kept.max()), fill_value=False)


@pytest.mark.parametrize("interval", ["day", "week", "month"])
def test_lifecycle(messages: pd.DataFrame, timeline: Timeline, interval: str):
    result = lifecycle(timeline, SUMMER, Lifecycle(interval=interval))
    table = active(messages, interval)
    was = table.shift(1, axis=1, fill_value=False)
    earlier = was.cummax(axis=1)
    known = pd.DataFrame(
        {
            "new": (table & ~earlier).sum(),
            "returning": (table & was).sum(),
            "resurrecting": (table & ~was & earlier).sum(),
            "dormant": (was & ~table).sum(),
        }
    )
    starts = [period.start_time.date() for period in known.index]
    first, last = starts.index(result.points[0].start), starts.index(result.points[-1].start)
    assert [[one.new, one.returning, one.resurrecting, one.dormant] for one in result.points] == (
        known.iloc[first : last + 1].to_numpy().tolist()
    )
    assert result.before == table.iloc[:, first - 1].sum()
    assert all(point.complete for point in result.points)
    middle = (first + last) // 2
    gone = lifecycle_people(timeline, SUMMER, Lifecycle(interval=interval), LifecycleCell(starts[middle], "dormant"))
    assert gone.tolist() == table.index[(was & ~table).iloc[:, middle]].tolist()


def test_stickiness(messages: pd.DataFrame, timeline: Timeline):
    result = stickiness(timeline, SUMMER, Stickiness())
    table = active(messages, "day")
    days = pd.period_range("2004-05-03", "2004-09-05", freq="D")
    distinct = table[days].sum(axis=1)
    assert result.people == tuple((distinct == number).sum() for number in range(1, len(days) + 1))
    daily = table.sum()
    for span, field in ((1, "daily"), (7, "weekly"), (30, "monthly")):
        back = sum(table.shift(number, axis=1, fill_value=False).astype(int) for number in range(span))
        assert [getattr(one, field) for one in result.days] == (back > 0).sum()[days].tolist()
    mean = daily.reindex(pd.period_range("2004-01-01", "2004-12-31", freq="D"), fill_value=0).rolling(30).mean()[days]
    assert [one.ratio for one in result.days] == pytest.approx((mean / [one.monthly for one in result.days]).tolist())


@pytest.mark.parametrize("interval", ["day", "week", "month"])
def test_a_trend_of_messages_and_of_who_sent_them(messages: pd.DataFrame, timeline: Timeline, interval: str):
    inside = messages[(messages.day >= "2004-05-03") & (messages.day < "2004-09-06")]
    kept = inside.day.dt.to_period({"day": "D", "week": "W-SUN", "month": "M"}[interval])
    events, people = inside.groupby(kept).size(), inside.groupby(kept).src.nunique()
    [line] = trend(timeline, SUMMER, Trend(interval=interval)).lines
    assert (line.total, list(line.values)) == (len(inside), events.tolist())
    [line] = trend(timeline, SUMMER, Trend(measure="people", interval=interval)).lines
    assert (line.total, list(line.values)) == (inside.src.nunique(), people.tolist())


def test_lifecycle_and_stickiness_read_plainly(messages: pd.DataFrame, timeline: Timeline):
    """The definitions word by word, in sets of people, day by day."""
    on = defaultdict(set)
    for person, day in zip(messages.src.tolist(), messages.day.dt.date.tolist(), strict=True):
        on[day].add(person)
    ever, known, sticky = set(), [], []
    one = min(on)
    while one < SUMMER.end:
        today, yesterday = on[one], on[one - timedelta(days=1)]
        if one >= SUMMER.start:
            states = today - ever, today & yesterday, (today & ever) - yesterday, yesterday - today
            known.append([len(people) for people in states])
            week, month = (set().union(*(on[one - timedelta(days=back)] for back in range(span))) for span in (7, 30))
            mean = sum(len(on[one - timedelta(days=back)]) for back in range(30)) / 30
            sticky.append((len(today), len(week), len(month), pytest.approx(mean / len(month))))
        ever |= today
        one += timedelta(days=1)
    points = lifecycle(timeline, SUMMER, Lifecycle(interval="day")).points
    assert [[point.new, point.returning, point.resurrecting, point.dormant] for point in points] == known
    days = stickiness(timeline, SUMMER, Stickiness()).days
    assert [(day.daily, day.weekly, day.monthly, day.ratio) for day in days] == sticky
