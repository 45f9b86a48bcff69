"""Rules over histories mean what an independent reader of one history at a time says they mean, and turn when they say."""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from datetime import date, timedelta
from random import Random
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from gdp_core.analytics.calendar import instant
from gdp_core.segments.explaining import Part, Why, explain
from gdp_core.segments.facts import Facts, Surroundings
from gdp_core.segments.rules import Group, Rule, read

from .lives import first_instant
from .rule_oracle import DAY, Asked, belongs, instant_of, long
from .rule_worlds import FEATURES, MODEL, Conditions, World, rule, timeline, world
from .timelines import Happened, Somebody, timeline_of

WORLDS, RULES = 260, 40
SEEDED = (Phase.explicit, Phase.generate)  # another seed is no smaller a case
SEEDS = st.integers(0, 2**48)


def today(w: World) -> date:
    return instant(w.now).astimezone(w.here.zone).date()


def alone(condition: Any) -> Rule:
    return read({"match": {"kind": "all", "of": [condition]}})


def checked(one: Rule, w: World, facts: Facts) -> None:
    """Fails with the history and the condition that is read in two ways."""
    found = one.holds(facts).tolist()
    for (number, who), mine in zip(w.numbered, found, strict=True):
        if mine == belongs(one, who, number, w.now, w.here):
            continue
        for _, condition in one.conditions():
            part = alone(condition.model_dump(mode="json", exclude_none=True))
            theirs = belongs(part, who, number, w.now, w.here)
            place = number - w.timeline.numbers[0]
            assert part.holds(facts)[place] == theirs, f"{condition!r} at {w.now} of {who!r} should be {theirs}"
        pytest.fail(f"{one.json_text} at {w.now} of {who!r} should be {not mine}")


def asked_in_worlds(worlds: int, people: int, conditions: int) -> int:
    """How many rules were read in the same way, of a number of worlds."""
    rules = 0

    @settings(max_examples=worlds, phases=SEEDED)
    @given(SEEDS)
    def ask(seed: int) -> None:
        nonlocal rules
        r = Random(seed)
        w = world(r, people)
        facts = Facts(w.timeline, w.now, w.surroundings)
        for _ in range(RULES):
            checked(rule(r, w.here, today(w), conditions), w, facts)
            rules += 1

    ask()
    return rules


def test_rules_mean_what_a_reader_of_single_histories_says() -> None:
    assert asked_in_worlds(WORLDS, 8, 6) >= 10_000


@pytest.mark.heavy
def test_many_more_rules_mean_what_a_reader_says() -> None:
    assert asked_in_worlds(4000, 20, 12) >= 150_000


@settings(max_examples=60)
@given(st.randoms(use_true_random=False))
def test_one_rule_at_a_time_so_that_a_failure_becomes_small(r: Random) -> None:
    w = world(r, 3)
    checked(rule(r, w.here, today(w), 2), w, Facts(w.timeline, w.now, w.surroundings))


def test_every_kind_holds_of_some_and_not_of_others() -> None:
    seen = Counter[tuple[str, bool]]()
    for seed in range(60):
        r = Random(seed)
        w = world(r)
        facts = Facts(w.timeline, w.now, w.surroundings)
        for kind in Conditions.KINDS * 4:
            one = alone(Conditions(r, w.here, today(w)).of(kind))
            checked(one, w, facts)
            seen.update((kind, held) for held in one.holds(facts).tolist())
    assert min(seen[kind, held] for kind in Conditions.KINDS for held in (True, False)) >= 5, seen


# ------------------------------------------------------------------------------------- what was once read in two ways

AT = 1_772_366_400_000_000
HERE = Surroundings(ZoneInfo("UTC"), features=FEATURES)


def members(condition: dict[str, Any], *people: Somebody, named: str = "") -> list[bool]:
    made = timeline_of(people)
    made = replace(made, shards=tuple(replace(shard, name=named) for shard in made.shards))
    return alone(condition).holds(Facts(made, AT, HERE)).tolist()


def test_what_was_kept_of_true_is_not_given_for_one() -> None:
    people = [Somebody([Happened(AT - 1, "buy", {"plan": plan})]) for plan in (1, True, "1", 1.0, "true")]

    def of(plan: Any) -> list[bool]:
        where = [{"field": "plan", "values": [plan]}]
        return members({"kind": "performed", "event": {"names": ["buy"], "where": where}}, *people, named="kept")

    assert of(True) == of("TRUE") == [False, True, False, False, True]
    assert of(1) == of("1") == of(1.0) == [True, False, True, True, False]


def test_a_feature_is_compared_as_what_it_is() -> None:
    people = [Somebody([Happened(AT - 1, "visit", {"plan": plan})]) for plan in ("Pro", 10, "12")] + [Somebody([])]
    plan = {"kind": "feature", "feature": "last_plan"}
    assert members({**plan, "texts": ["pro", "10"]}, *people) == [True, True, False, False]
    assert members({**plan, "op": "is_not", "texts": ["pro"]}, *people) == [False, True, True, False]
    assert members({**plan, "op": "gte", "values": [11]}, *people) == [False, False, True, False]
    visits = {"kind": "feature", "feature": "visits"}
    assert members({**visits, "texts": ["1"]}, *people) == [False] * 4
    assert members({**visits, "op": "is_not", "texts": ["1"]}, *people) == [False] * 4


def test_a_churn_score_turns_at_midnight_utc_as_long_as_there_is_one() -> None:
    who = Somebody([Happened(AT - 3 * DAY, "visit")])
    here = replace(HERE, model=MODEL)
    one = alone({"kind": "churn", "compared": {"op": "gte", "values": [0.0]}})
    why = explain(timeline_of([who]), one, here, 10, instant(AT))
    last = (AT - 3 * DAY + MODEL.baseline.micros) // DAY * DAY
    assert (why.belongs, why.turns_at) == (True, last + DAY)


def test_somebody_whose_history_was_replaced_is_shown_the_newer_one() -> None:
    r = Random(5)
    who = Somebody([Happened(AT - 5, "visit"), Happened(AT - 4, "visit")])
    one = alone({"kind": "performed", "event": {"names": ["visit"]}, "times": 2})
    for _ in range(10):  # some of these have an older shard
        why = explain(timeline(r, [who]), one, HERE, 10, instant(AT))
        assert [(part.holds, part.evidence and part.evidence.events) for part in why.parts] == [(True, None), (True, 2)]


# ----------------------------------------------------------------------------------------------------- explanations


def explained(one: Rule, w: World, number: int) -> Why:
    return explain(w.timeline, one, w.surroundings, number, instant(w.now))


def nodes(one: Rule) -> Iterator[tuple[tuple[int, ...], Any]]:
    waiting: list[tuple[tuple[int, ...], Any]] = [((), one.match)]
    while waiting:
        path, node = waiting.pop()
        yield path, node
        if isinstance(node, Group):
            waiting += [((*path, place), part) for place, part in enumerate(node.of)]


@settings(max_examples=50, phases=SEEDED)
@given(SEEDS)
def test_an_explanation_says_what_membership_says(seed: int) -> None:
    r = Random(seed)
    w = world(r, 6)
    facts = Facts(w.timeline, w.now, w.surroundings)
    for _ in range(3):
        one = rule(r, w.here, today(w))
        for (number, who), member in zip(w.numbered, one.holds(facts).tolist(), strict=True):
            why = explained(one, w, number)
            assert why.belongs == member
            assert why.counts == who.live
            assert [part.path for part in why.parts] == sorted(path for path, _ in nodes(one))
            if who.live:
                asked = Asked(who, number, w.now, w.here)
                assert {part.path: part.holds for part in why.parts} == {
                    path: asked.holds(node) for path, node in nodes(one)
                }
            check_words(why.tree)


def check_words(part: Part) -> None:
    assert part.sentence
    assert (part.evidence is None) == bool(part.of)
    if part.evidence:
        assert part.evidence.sentence
        assert len(part.evidence.happenings) <= max(part.evidence.events, 0)
    for below in part.of:
        check_words(below)


# ------------------------------------------------------------------------------------------------------------ turns


def edges(one: Rule, who: Any, w: World) -> list[int]:
    """Instants after now at which anything might turn, in order: made of every length that is mentioned anywhere."""
    texts = " ".join([one.json_text, *(other.json_text for other in w.here.rules.values())])
    lengths = {long(found) for found in re.findall(r'"(\d+(?:s|min|h|d|w|mo))"', texts)}
    windows = [getattr(feature.made, "window", None) for feature in FEATURES.values() if feature.slug in texts]
    lengths |= {window.micros for window in windows if window}
    most = max([1, *(int(found) for found in re.findall(r'"of":(\d+),"period"', texts))])
    reaches = {0} | {length * times for length in lengths for times in range(1, most + 1)}
    reaches |= {one + other for one in lengths for other in lengths}
    stops = [at for mine in w.here.stops.values() for _, *ats in mine for at in ats if at is not None]
    bases = {event.at for event in who.events} | {*map(instant_of, who.traits.values())} - {None} | set(stops)
    found = {base + sign * reach + late for base in bases for reach in reaches for sign in (1, -1) for late in (0, 1)}
    if '"feature"' in texts or '"churn"' in texts:
        found |= {base + days * DAY + late for base in bases for days in range(40) for late in (0, 1)}
        found |= {(w.now // DAY + days) * DAY for days in range(40)}
    if '"anniversary"' in texts:
        found |= {first_instant(today(w) + timedelta(days=days), w.here.zone) for days in range(370)}
    return sorted(at for at in found if w.now < at < w.now + 400 * DAY)


@settings(max_examples=120, phases=SEEDED)
@given(SEEDS)
def test_what_is_foretold_comes_true_and_nothing_else(seed: int) -> None:
    r = Random(seed)
    w = world(r, 2)
    for _ in range(2):
        one = rule(r, w.here, today(w), 3)
        number, who = r.choice(w.numbered)
        why = explained(one, w, number)

        def state(at: int, node: Any = one.match, who: Any = who, number: int = number) -> bool:
            return who.live and Asked(who, number, at, w.here).holds(node)

        told = why.turns_at
        if told is not None:
            assert told > w.now
            assert state(told) is not why.belongs, one.json_text
            assert state(told - 1) is why.belongs, one.json_text
            turned = one.holds(Facts(w.timeline, told, w.surroundings))
            assert turned[np.searchsorted(w.timeline.numbers, number)] != why.belongs
        until = told or why.looked_until or 2**62
        turned_before = [at for at in edges(one, who, w) if at < until and state(at) is not why.belongs]
        assert turned_before == [], one.json_text
        at_path = dict(nodes(one))
        for part in why.parts if who.live else ():
            if part.until is not None:
                assert state(part.until, at_path[part.path]) is not part.holds
                assert state(part.until - 1, at_path[part.path]) is part.holds


@pytest.mark.parametrize("zone", ["UTC", "America/Havana", "America/Sao_Paulo"])
@pytest.mark.parametrize("today", ["2023-02-28", "2024-02-28", "2024-02-29", "2024-03-01", "2023-12-31"])
def test_every_day_of_earlier_years_has_its_anniversary_once_a_year(zone: str, today: str) -> None:
    """29 February on the 28th of other years; also where a day has no midnight, or has two."""
    here, day = ZoneInfo(zone), date.fromisoformat(today)
    edges = [first_instant(date(2010, 12, 25) + timedelta(days=more), here) for more in range(800)]
    born = [edge + more for edge in edges for more in (0, -1)] + [first_instant(date(1, 7, 1), here), -(2**62), 2**62]
    people = [Somebody([], {"birthday": at}) for at in born]
    facts = Facts(timeline_of(people), first_instant(day, here) + 1, Surroundings(here))
    held = alone({"kind": "person", "field": "birthday", "op": "anniversary"}).holds(facts).tolist()
    found = [instant(at).astimezone(here).date() for at in born[:-3]]
    kept = [(one.month, one.day) if (one.month, one.day) != (2, 29) or day.year % 4 == 0 else (2, 28) for one in found]
    assert held[:-3] == [
        one.year < day.year and on == (day.month, day.day) for one, on in zip(found, kept, strict=True)
    ]
    assert held[-3:] == [False] * 3
