"""The workspace's calendar as instants: where its local days, weeks and months begin. Daylight saving is in it."""

from datetime import UTC, date, datetime, timedelta
from typing import Literal
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from gdp_core.analytics.scope import Scope, midnight

Interval = Literal["day", "week", "month"]
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def micros(at: datetime) -> int:
    """An aware instant as microseconds since 1970 UTC, exactly."""
    return (at - _EPOCH) // timedelta(microseconds=1)


def instant(at: int) -> datetime:
    """Microseconds since 1970 as an aware instant, UTC."""
    return _EPOCH + timedelta(microseconds=int(at))


def floor(day: date, interval: Interval) -> date:
    """The first day of the interval that holds a day; weeks begin on Monday."""
    if interval == "week":
        return day - timedelta(days=day.weekday())
    return day.replace(day=1) if interval == "month" else day


def following(day: date, interval: Interval) -> date:
    """The first day of the next interval, from the first day of one."""
    if interval == "month":
        return (day.replace(day=28) + timedelta(days=4)).replace(day=1)
    return day + timedelta(days=7 if interval == "week" else 1)


def starts(first: date, end: date, interval: Interval) -> tuple[date, ...]:
    """The first days of every interval that meets [first, end)."""
    found = []
    day = floor(first, interval)
    while day < end:
        found.append(day)
        day = following(day, interval)
    return tuple(found)


def cut(scope: Scope, bounds: NDArray[np.int64]) -> tuple[bool, ...]:
    """Of which intervals, between these `edges`, the period holds only a part."""
    since, until = micros(scope.since), micros(midnight(scope.end, scope.zone))
    return tuple(((bounds[:-1] < since) | (bounds[1:] > until)).tolist())


def edges(days: tuple[date, ...], interval: Interval, zone: ZoneInfo) -> NDArray[np.int64]:
    """Where each of these intervals begins, and where the last one ends: len(days) + 1 instants in microseconds."""
    bounds = [*days, following(days[-1], interval)] if days else []
    return np.array([micros(midnight(day, zone)) for day in bounds], np.int64)
