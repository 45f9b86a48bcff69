"""The metrics of cohorts against a plain reading of what each is."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from uuid import UUID

import numpy as np
import pytest

from gdp_core.analytics.breakdown import ALL, Breakdown, Group
from gdp_core.analytics.calendar import floor, micros
from gdp_core.analytics.cohort_worth import METRICS, cohort_worth, worth_people
from gdp_core.analytics.retention import Retention
from gdp_core.analytics.scope import Scope
from gdp_core.errors import InvalidInput
from gdp_core.timeline.matching import Match

from .timelines import Happened, Somebody, timeline_of

SPRING = Scope(UUID(int=0), "UTC", "USD", date(2024, 3, 4), date(2024, 4, 29), datetime(2024, 5, 10, tzinfo=UTC))
ASKED = Retention(Match(("visit",)), Match(("buy",)), breakdown=Breakdown("person.plan"))
BEGAN = datetime(2024, 3, 4, 12, tzinfo=UTC)


def lives(seed: int, count: int = 300) -> list[Somebody]:
    """People who start in the spring, come back on some later days, and are worth something in some currency."""
    random = np.random.default_rng(seed)
    found = []
    for _ in range(count):
        start = BEGAN + timedelta(days=int(random.integers(0, 56)))
        days = random.choice([1, 6, 7, 8, 29, 30, 31], 3)
        later = [start + timedelta(days=int(day)) for day in days]
        traits = {"plan": str(random.choice(["pro", "free"]))}
        if random.random() < 0.7:
            traits |= {
                "lifetime_value_micros": int(random.integers(0, 2**40)),
                "mrr_micros": int(random.choice([0, 29_000_000])),
                "currency": str(random.choice(["USD", "usd", "EUR"])),
            }
        events = [Happened(micros(start), "visit"), *(Happened(micros(at), "buy") for at in later if at < SPRING.now)]
        found.append(Somebody(events, traits, live=bool(random.random() < 0.95)))
    return found


def starts(who: Somebody) -> datetime:
    return datetime.fromtimestamp(who.events[0].at / 1e6, UTC)


def back_on(who: Somebody, day: int) -> bool:
    wanted = starts(who).date() + timedelta(days=day)
    return any(datetime.fromtimestamp(event.at / 1e6, UTC).date() == wanted for event in who.events[1:])


def is_ours(who: Somebody) -> bool:
    return who.traits.get("currency", "USD").upper() == "USD"


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("interval", ["day", "week", "month"])
@pytest.mark.parametrize("plan", [None, "pro"])
def test_every_metric_is_what_it_says(seed: int, interval, plan: str | None):
    people = lives(seed)
    timeline, group = timeline_of(people, shards=3), Group("value", plan) if plan else ALL
    asked = replace(ASKED, cohort=interval)
    result = cohort_worth(timeline, SPRING, asked, group)
    among = [(number, who) for number, who in enumerate(people) if who.live and plan in (None, who.traits["plan"])]
    cohorts: dict[date, list[tuple[int, Somebody]]] = {}
    for number, who in among:
        cohorts.setdefault(floor(starts(who).date(), interval), []).append((number, who))
    assert [each.cohort for each in result.cohorts] == sorted(cohorts)
    for each in result.cohorts:
        members = cohorts[each.cohort]
        ours = [(number, who) for number, who in members if is_ours(who)]
        paying = [(number, who) for number, who in ours if who.traits.get("mrr_micros", 0) > 0]
        value = sum(who.traits.get("lifetime_value_micros", 0) for _, who in ours)
        assert (each.people, each.elsewhere, each.paying) == (len(members), len(members) - len(ours), len(paying))
        assert each.ltv == (round(value / len(ours)) if ours else None)
        assert each.arr == 12 * sum(who.traits["mrr_micros"] for _, who in paying)
        for day, rate, state in zip((7, 30), (each.retention_d7, each.retention_d30), each.states, strict=True):
            back = [number for number, who in members if back_on(who, day)]
            assert rate == (None if state == "ahead" else len(back) / len(members))
            listed = worth_people(timeline, SPRING, asked, each.cohort, METRICS[1 if day == 7 else 2], group)
            assert listed.tolist() == [10 + number for number in back]
        for metric, known in (("people", members), ("ltv", ours), ("arr", paying)):
            listed = worth_people(timeline, SPRING, asked, each.cohort, metric, group)
            assert listed.tolist() == [10 + number for number, _ in known]


def test_only_some_people_and_nobody():
    people = lives(9, 50)
    within = np.arange(50) % 2 == 0
    result = cohort_worth(timeline_of(people), SPRING, ASKED, within=within)
    assert sum(each.people for each in result.cohorts) == sum(who.live for who in people[::2])
    assert cohort_worth(timeline_of([]), SPRING, replace(ASKED, breakdown=None)).cohorts == ()
    with pytest.raises(InvalidInput, match="no group 'gold'"):
        cohort_worth(timeline_of(people), SPRING, ASKED, Group("value", "gold"))
