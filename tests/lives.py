"""Histories for reports, as hypothesis makes them: ties, edges of local days, days of 23 and 25 hours, a leap day.

And how a report's day, week and month are read one event at a time, without the code under test.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from uuid import UUID
from zoneinfo import ZoneInfo

from hypothesis import strategies as st

from gdp_core.analytics.scope import Scope
from gdp_core.timeline.arrays import BILLING, MACHINE, WEAK
from gdp_core.timeline.matching import Match

from .timelines import Happened, Somebody

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
TURNS = {  # days on which something is the matter
    "Europe/London": (date(2024, 3, 31), date(2024, 10, 27)),
    "America/New_York": (date(2024, 3, 10), date(2024, 11, 3)),
    "Africa/Cairo": (date(2024, 4, 26), date(2024, 10, 31)),
    "UTC": (date(2024, 2, 29), date(2024, 12, 31)),
}
_HOUR = 3_600_000_000
_WITHIN_A_DAY = (0, 1, -1, _HOUR, 2 * _HOUR - 1, 12 * _HOUR, 23 * _HOUR, 24 * _HOUR - 1, 24 * _HOUR)


def micros_of(at: datetime) -> int:
    return (at - EPOCH) // timedelta(microseconds=1)


def day_of(at: int, zone: ZoneInfo) -> date:
    """The local day of an instant."""
    return (EPOCH + timedelta(microseconds=at)).astimezone(zone).date()


def first_instant(day: date, zone: ZoneInfo) -> int:
    """The first instant of a local day, checked to be one."""
    found = micros_of(datetime(day.year, day.month, day.day, tzinfo=zone).astimezone(UTC))
    assert day_of(found, zone) == day
    assert day_of(found - 1, zone) < day
    return found


def place(day: date, interval: str) -> int:
    """The number of the day, week (from a Monday on) or month a day is in."""
    if interval == "month":
        return day.year * 12 + day.month - 1
    days = (day - date(1970, 1, 5)).days
    return days // 7 if interval == "week" else days


def first_day(number: int, interval: str) -> date:
    """The first day of that day, week or month."""
    if interval == "month":
        return date(number // 12, number % 12 + 1, 1)
    return date(1970, 1, 5) + timedelta(days=number * (7 if interval == "week" else 1))


def counts_for(event: Happened, match: Match, everything: bool = False) -> bool:
    """Whether an event is one of those asked for: machines never, the billing system and opened mails only when named."""
    if match.names and event.name not in match.names:
        return False
    if not everything and (event.flags & MACHINE or (event.flags and not match.names)):
        return False
    return all(str(event.properties.get(condition.name)) in condition.values for condition in match.conditions)


def in_order(who: Somebody) -> list[Happened]:
    return sorted(who.events, key=lambda event: event.at)


@dataclass(frozen=True)
class World:
    """People, the period asked about, and until when everything is known."""

    people: Sequence[Somebody]
    scope: Scope
    watermark: int
    within: Sequence[bool] | None

    def counting(self) -> list[tuple[int, Somebody]]:
        """(index, person) of those who count."""
        chosen = self.within or [True] * len(self.people)
        return [(index, who) for index, who in enumerate(self.people) if who.live and chosen[index]]

    @property
    def now(self) -> int:
        return micros_of(self.scope.now)

    @property
    def complete(self) -> int:
        return min(self.now, self.watermark)


@st.composite
def worlds(draw, before: int = 40, after: int = 70, longest: int = 60) -> World:
    """A few people around a day that is 23 or 25 hours long, or a leap day."""
    name = draw(st.sampled_from(sorted(TURNS)))
    zone = ZoneInfo(name)
    turn = draw(st.sampled_from(TURNS[name]))
    start = turn - timedelta(days=draw(st.integers(0, longest // 2)))
    end = start + timedelta(days=draw(st.integers(1, longest)))
    offsets = st.sampled_from([0, 1, 7, 28]) | st.integers(-before, after)
    days = st.sampled_from([start, end]).flatmap(lambda day: offsets.map(lambda offset: day + timedelta(days=offset)))
    moments = st.builds(
        lambda day, within: first_instant(day, zone) + within,
        days,
        st.sampled_from(_WITHIN_A_DAY) | st.integers(0, 24 * _HOUR),
    )
    used = draw(st.lists(moments, min_size=3, max_size=15))
    event = st.builds(
        Happened,
        st.sampled_from(used),
        st.sampled_from(["visit", "visit", "buy", "open"]),
        st.fixed_dictionaries(
            {},
            optional={
                "plan": st.sampled_from(["free", "pro", 10, "10", True, "(other)"]),
                "value_micros": st.integers(-5_000_000, 2**53),
                "currency": st.sampled_from(["EUR", "EUR", "USD"]),
                "size": st.sampled_from([1, 2.5, "3", "large", True, -4, 0]),
            },
        ),
        st.sampled_from([0, 0, 0, 0, int(MACHINE), int(BILLING), int(WEAK), int(MACHINE | WEAK)]),
    )
    signup = (
        st.none()
        | st.sampled_from(used)
        | st.sampled_from(used).map(lambda at: (EPOCH + timedelta(microseconds=at)).isoformat())
        | st.just("never")
    )
    source = st.sampled_from([None, "ads", "organic", "sms", "mail"])
    traits = st.fixed_dictionaries({"signup_at": signup, "source": source})
    people = draw(
        st.lists(
            st.builds(Somebody, st.lists(event, max_size=12), traits, st.sampled_from([True] * 5 + [False])), max_size=8
        )
    )
    now = draw(st.sampled_from([first_instant(end, zone), first_instant(end, zone) - 5 * _HOUR, *used]) | moments)
    scope = Scope(UUID(int=0), name, "EUR", start, end, EPOCH + timedelta(microseconds=now))
    within = draw(st.none() | st.lists(st.booleans(), min_size=len(people), max_size=len(people)))
    return World(people, scope, draw(st.just(2**62) | st.sampled_from(used) | moments), within)
