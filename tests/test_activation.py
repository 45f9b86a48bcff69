"""Activation and its candidates as definitions say them, one person at a time, against the kernels."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from statistics import median
from uuid import UUID

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gdp_core.analytics.activation import (
    Activating,
    Activation,
    ActivationCell,
    Candidate,
    CandidateCell,
    Candidates,
    Criterion,
    activation,
    activation_people,
    candidate_people,
    candidates,
)
from gdp_core.analytics.beginnings import Known
from gdp_core.analytics.counting import ANYTHING
from gdp_core.analytics.scope import Scope
from gdp_core.errors import InvalidInput
from gdp_core.timeline import engine
from gdp_core.timeline.arrays import BILLING, MACHINE
from gdp_core.timeline.matching import Condition, Match

from .lives import World, counts_for, day_of, first_day, in_order, micros_of, place, worlds
from .timelines import Happened, Somebody, timeline_of

DAY = 86_400_000_000
VISIT, BUY = Match(("visit",)), Match(("buy",))


@pytest.fixture(autouse=True, scope="module")
def small_parts() -> Iterator[None]:
    """Even a handful of rows is worth a part of its own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(engine, "_WORTH_A_PART", 3)
        yield


def start_of(world: World, start: Match | Known, everything: bool, who: Somebody) -> tuple[int, list[Happened]] | None:
    """t0 in the period, and what came after it before now."""
    rows = in_order(who)
    if isinstance(start, Known):
        said = who.traits["signup_at"]
        if said is None or said == "never":
            return None
        t0 = said if isinstance(said, int) else micros_of(datetime.fromisoformat(said))
        after = [event for event in rows if event.at > t0]
    else:
        found = [index for index, event in enumerate(rows) if counts_for(event, start, everything)]
        if not found:
            return None
        t0, after = rows[found[0]].at, rows[found[0] + 1 :]
    inside = micros_of(world.scope.since) <= t0 < micros_of(world.scope.until)
    return (t0, [event for event in after if event.at < world.now]) if inside else None


def met_at(asked: Activation, t0: int, after: list[Happened]) -> int | None:
    """When the last of the criteria was met in time."""
    instants = []
    for criterion in asked.criteria:
        hits = [
            event.at
            for event in after
            if event.at - t0 <= asked.days * DAY and counts_for(event, criterion.event, asked.everything)
        ]
        if len(hits) < criterion.times:
            return None
        instants.append(hits[criterion.times - 1])
    return max(instants)


MATCHES = st.sampled_from(
    [ANYTHING, VISIT, BUY, Match(("buy", "open")), Match((), (Condition("plan", "is", ("free",)),))]
)
STARTS = MATCHES | st.just(Known())


@settings(max_examples=120, deadline=None)
@given(
    worlds(),
    st.builds(
        Activation,
        st.lists(st.builds(Criterion, MATCHES, st.integers(1, 3)), min_size=1, max_size=3).map(tuple),
        STARTS,
        st.sampled_from([1, 7, 30]),
        st.sampled_from(["day", "week", "month"]),
        st.booleans(),
    ),
    st.integers(1, 3),
)
def test_every_rate_is_what_the_definition_says(world: World, asked: Activation, shards: int):
    timeline = timeline_of(world.people, shards=shards, watermark=world.watermark)
    within = None if world.within is None else np.array(world.within, np.bool_)
    result = activation(timeline, world.scope, asked, within=within)
    found: dict[tuple[date, str], list[int]] = {}
    taken = []
    for index, who in world.counting():
        start = start_of(world, asked.start, asked.everything, who)
        if start is None:
            continue
        t0, after = start
        met, mature = met_at(asked, t0, after), t0 + asked.days * DAY < world.complete
        if mature and met is not None:
            taken.append((met - t0) / 1e6)
        cohort = first_day(place(day_of(t0, world.scope.zone), asked.interval), asked.interval)
        states = ["started", *(["mature"] if mature else [])]
        states.append(
            ("activated" if mature else "early") if met is not None else "not_activated" if mature else "open"
        )
        for state in states:
            found.setdefault((cohort, state), []).append(index)
    assert result.seconds == (median(taken) if taken else None)
    for point in result.points:
        for state in ("started", "mature", "activated", "not_activated", "early", "open"):
            meant = found.pop((point.start, state), [])
            if state not in ("not_activated", "open"):
                assert getattr(point, state) == len(meant)
            if meant:
                cell = ActivationCell(state, point.start)
                listed = activation_people(timeline, world.scope, asked, cell, within=within)
                assert listed.tolist() == [10 + index for index in meant]
        assert point.rate == (point.activated / point.mature if point.mature else None)
    assert found == {}
    for state in ("started", "mature", "activated", "early"):
        assert getattr(result.total, state) == sum(getattr(point, state) for point in result.points)
        listed = activation_people(timeline, world.scope, asked, ActivationCell(state), within=within)
        assert len(listed) == getattr(result.total, state)


@settings(max_examples=60, deadline=None)
@given(worlds(), st.builds(Activation, st.just((Criterion(BUY),)), STARTS), st.integers(0, 30))
def test_who_is_mature_stays_what_they_are(world: World, asked: Activation, later: int):
    timeline = timeline_of(world.people)
    then = replace(world.scope, now=world.scope.now + timedelta(days=later))
    for state in ("activated", "not_activated"):
        was = activation_people(timeline, world.scope, asked, ActivationCell(state))
        assert set(was) <= set(activation_people(timeline, then, asked, ActivationCell(state)))


@settings(max_examples=120, deadline=None)
@given(
    worlds(),
    st.builds(
        Candidates,
        STARTS,
        st.sampled_from([1, 7, 30]),
        MATCHES,
        st.sampled_from([1, 30]),
        st.sampled_from([(1,), (1, 3), (2,)]),
        st.just(1),
    ),
    st.integers(1, 3),
)
def test_every_candidate_is_what_the_definition_says(world: World, asked: Candidates, shards: int):
    timeline = timeline_of(world.people, shards=shards, watermark=world.watermark)
    within = None if world.within is None else np.array(world.within, np.bool_)
    result = candidates(timeline, world.scope, asked, within=within)
    came_back, did = {}, {}
    for index, who in world.counting():
        start = start_of(world, asked.start, False, who)
        if start is None or start[0] + (asked.days + asked.back_within) * DAY >= world.complete:
            continue
        t0, after = start
        end, horizon = t0 + asked.days * DAY, t0 + (asked.days + asked.back_within) * DAY
        came_back[index] = any(end < event.at <= horizon and counts_for(event, asked.returning) for event in after)
        for event in after:
            if event.at <= end and counts_for(event, ANYTHING):
                did.setdefault(event.name, []).append(index)
    assert (result.mature, result.back) == (len(came_back), sum(came_back.values()))
    meant, too_few = [], 0
    for name, by in did.items():
        for times in asked.times:
            doers = {index for index in by if by.count(index) >= times}
            others = set(came_back) - doers
            if not doers or (isinstance(asked.start, Match) and name in asked.start.names):
                continue
            if not others:
                too_few += 1
                continue
            back = {index for index, came in came_back.items() if came}
            meant.append(Candidate(name, times, len(doers), len(doers & back), len(others), len(others & back)))
            for cell, people in (
                (CandidateCell(name, times), doers),
                (CandidateCell(name, times, False, True), others & back),
                (CandidateCell(name, times, True, False), doers - back),
            ):
                listed = candidate_people(timeline, world.scope, asked, cell, within=within)
                assert listed.tolist() == [10 + index for index in sorted(people)]
    assert set(result.candidates) == set(meant)
    assert result.too_few == too_few
    scores = [
        one.did / result.mature * (one.did_back / one.did - one.others_back / one.others) for one in result.candidates
    ]
    assert scores == pytest.approx(sorted(scores, reverse=True))


def at(text: str) -> int:
    """An instant of 2024, UTC."""
    return micros_of(datetime.fromisoformat(f"2024-{text}+00:00"))


def scope_of(now: datetime = datetime(2025, 6, 1, tzinfo=UTC)) -> Scope:
    return Scope(UUID(int=0), "UTC", "EUR", date(2024, 3, 1), date(2024, 4, 1), now)


def signed_up(when: str, *events: Happened) -> Somebody:
    return Somebody([Happened(at(when), "signed up"), *events], {"signup_at": at(when)})


def test_the_window_is_hours_and_its_last_microsecond_counts():
    """A week in which the clocks go forward is 167 hours on the wall, and 168 hours here."""
    people = [
        signed_up("03-28T10:00", Happened(at("04-04T10:00"), "buy")),
        signed_up("03-28T10:00", Happened(at("04-04T10:00") + 1, "buy")),
        signed_up("03-28T10:00", Happened(at("03-28T10:00"), "buy")),
    ]
    asked = Activation((Criterion(BUY),))
    london = replace(scope_of(), timezone="Europe/London")
    assert activation(timeline_of(people), london, asked).total.activated == 1
    by_event = replace(asked, start=Match(("signed up",)))
    assert activation(timeline_of(people), london, by_event).total.activated == 2  # the row after counts


def test_a_rate_is_of_those_whose_time_is_over():
    people = [
        signed_up("03-01T10:00", Happened(at("03-02T10:00"), "buy")),
        signed_up("03-02T10:00"),
        signed_up("03-08T09:59", Happened(at("03-08T11:00"), "buy")),
        signed_up("03-09T10:00"),
    ]
    now = scope_of(datetime(2024, 3, 9, 12, tzinfo=UTC))
    total = activation(timeline_of(people), now, Activation((Criterion(BUY),), days=7)).total
    assert (total.started, total.mature, total.activated, total.early, total.rate) == (4, 2, 1, 1, 0.5)
    at_the_edge = scope_of(datetime(2024, 3, 9, 10, tzinfo=UTC))
    assert activation(timeline_of(people), at_the_edge, Activation((Criterion(BUY),), days=7)).total.mature == 1
    behind = timeline_of(people, watermark=at("03-08T12:00"))
    assert activation(behind, now, Activation((Criterion(BUY),), days=7)).total.mature == 1


def test_machines_do_not_activate_and_a_named_event_of_the_billing_system_does():
    people = [
        signed_up("03-02T10:00", Happened(at("03-03T10:00"), "buy", flags=int(BILLING))),
        signed_up("03-02T10:00", Happened(at("03-03T10:00"), "buy", flags=int(MACHINE))),
    ]
    timeline = timeline_of(people)
    assert activation(timeline, scope_of(), Activation((Criterion(BUY),))).total.activated == 1
    assert activation(timeline, scope_of(), Activation((Criterion(ANYTHING),))).total.activated == 0
    assert candidates(timeline, scope_of(), Candidates(support=1)).candidates == ()


def test_candidates_are_ranked_by_reach_times_lift():
    """Everybody who invites stays, but few do; most open it, and stay more often than the others; a tour is no help."""
    people = []
    for number in range(100):
        did = [name for name, does in (("invite", number < 10), ("open", number < 60), ("tour", number % 2)) if does]
        stays = number < 45 or number >= 95
        events = [Happened(at("03-03T10:00"), name) for name in did] + [Happened(at("03-20T10:00"), "visit")] * stays
        people.append(signed_up("03-02T10:00", *events))
    result = candidates(timeline_of(people), scope_of(), Candidates(support=10))
    assert (result.mature, result.back) == (100, 50)
    assert [one.name for one in result.candidates] == ["open", "invite", "tour"]
    opened = result.candidates[0]
    assert (opened.did, opened.did_back, opened.others, opened.others_back) == (60, 45, 40, 5)
    assert (opened.reach, opened.lift, opened.ratio) == (0.6, pytest.approx(0.625), pytest.approx(6))
    assert "not effect" in result.label
    few = candidates(timeline_of(people), scope_of(), Candidates(support=30))
    assert ([one.name for one in few.candidates], few.too_few) == (["open", "tour"], 1)


def test_both_windows_of_a_candidate_include_their_last_microsecond():
    start = at("03-02T10:00")
    early, late = start + 7 * DAY, start + 37 * DAY
    people = [
        signed_up("03-02T10:00", Happened(early, "open"), Happened(early + 1, "visit")),
        signed_up("03-02T10:00", Happened(early, "open"), Happened(late + 1, "visit")),
        signed_up("03-02T10:00", Happened(early + 1, "open")),
        signed_up("03-02T10:00", Happened(late, "visit")),
        signed_up("03-02T10:00"),
    ]
    result = candidates(timeline_of(people), scope_of(), Candidates(support=1))
    assert result.candidates == (Candidate("open", 1, did=2, did_back=1, others=3, others_back=2),)


@pytest.mark.parametrize(("everything", "did"), [(False, 1), (True, 2)])
def test_what_machines_did_is_ranked_where_it_is_asked_for(everything, did):
    opened = at("03-03T10:00")
    people = [
        signed_up("03-02T10:00", Happened(opened, "open")),
        signed_up("03-02T10:00", Happened(opened, "open", flags=MACHINE)),
        signed_up("03-02T10:00"),
    ]
    asked = Activating(Activation((Criterion(VISIT),), everything=everything), times=(1,), support=1)
    result = candidates(timeline_of(people), scope_of(), asked.candidates)
    assert [(one.name, one.did) for one in result.candidates] == [("open", did)]


def test_the_interval_of_a_lift_is_newcombes():
    """His example: 56 of 70 against 48 of 80, the difference 0.2 within 0.0524 to 0.3339 (method 10, 1998, table II a)."""
    low, high = Candidate("", 1, 70, 56, 80, 48).interval
    assert (round(low, 4), round(high, 4)) == (0.0524, 0.3339)


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (lambda: Activation(()), "between 1 and 8 criteria"),
        (lambda: Activation((Criterion(BUY),), days=0), "between 1 and 365 days"),
        (lambda: Criterion(BUY, 0), "at least once"),
        (lambda: Candidates(times=(3, 1)), "ascending counts"),
        (lambda: Candidates(times=()), "ascending counts"),
        (lambda: Candidates(support=0), "At least one person"),
        (lambda: Candidates(back_within=1000), "between 1 and 365 days"),
    ],
)
def test_what_cannot_be_asked(wrong, says):
    with pytest.raises(InvalidInput, match=says):
        wrong()


def test_nothing_and_nobody():
    asked = Activation((Criterion(Match(("typo",))),))
    for timeline in (timeline_of([]), timeline_of([], shards=0), timeline_of([Somebody([])])):
        result = activation(timeline, scope_of(), asked)
        assert (result.total.started, result.total.rate, result.seconds) == (0, None, None)
        assert candidates(timeline, scope_of(), Candidates()).candidates == ()
        assert activation(timeline, scope_of(datetime(2020, 1, 1, tzinfo=UTC)), asked).points == ()
    timeline = timeline_of([signed_up("03-02T10:00")])
    with pytest.raises(InvalidInput, match="No week of this report begins on 2024-03-02"):
        activation_people(timeline, scope_of(), asked, ActivationCell("started", date(2024, 3, 2)))
    with pytest.raises(InvalidInput, match="is no candidate"):
        candidate_people(timeline, scope_of(), Candidates(), CandidateCell("typo", 1))
