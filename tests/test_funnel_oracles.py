"""The funnel against a plain reading of its definition, one attempt at a time, and against ClickHouse's windowFunnel."""

import itertools
from dataclasses import dataclass
from datetime import UTC, date, datetime
from uuid import UUID

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gdp_core.analytics.calendar import micros
from gdp_core.analytics.funnel.outcomes import STATES, outcomes
from gdp_core.analytics.funnel.question import Exclusion, FunnelQuestion, Step
from gdp_core.analytics.funnel.report import funnel, people
from gdp_core.analytics.scope import Scope
from gdp_core.analytics.window import Window
from gdp_core.timeline.arrays import BILLING, MACHINE, WEAK
from gdp_core.timeline.kernels.funnel import NEVER
from gdp_core.timeline.matching import Condition, Match

from .timelines import Happened, Somebody, timeline_of

SECOND = 1_000_000
SCOPE = Scope(  # a day of 23 hours
    UUID(int=1), "Europe/Berlin", "EUR", date(2026, 3, 29), date(2026, 3, 30), datetime(2026, 6, 1, tzinfo=UTC), "none"
)
SINCE, UNTIL = micros(SCOPE.since), micros(SCOPE.until)


@dataclass(frozen=True)
class Read:
    """What the reading makes of one person."""

    state: str
    depth: int  # of the attempt that counts, a voided one if the person is excluded
    mature: bool
    times: tuple[int | None, ...]  # by step


def is_match(event: Happened, match: Match) -> bool:
    if event.flags & MACHINE or (event.flags and not match.names):
        return False
    if match.names and event.name not in match.names:
        return False
    return all(event.properties.get(one.field) in one.values for one in match.conditions)


@dataclass(frozen=True)
class Attempt:
    """One attempt, run alone."""

    began: int
    depth: int
    voided: bool
    took: int
    times: tuple[int | None, ...]


def in_order(rows: list[Happened], start: int, asked: FunnelQuestion) -> Attempt:
    """The next required step first; then, of the optional ones that are still ahead of it, the nearest."""
    times: list[int | None] = [None] * len(asked.steps)
    times[0] = rows[start].at
    reached, last, voided = 0, rows[start].at, False  # the required step reached, and when
    place = 0
    for row in rows[start + 1 :]:
        if row.at > rows[start].at + asked.window.micros or reached == len(asked.steps) - 1:
            break
        if any(one.after - 1 == reached and is_match(row, one.match) for one in asked.exclusions):
            voided = True
            break
        following = next(step for step in range(reached + 1, len(asked.steps)) if not asked.steps[step].optional)
        optional = [
            step
            for step in range(place + 1, following)
            if asked.steps[step].optional and is_match(row, asked.steps[step].match)
        ]
        if is_match(row, asked.steps[following].match):
            place = reached = following
            last = row.at
        elif optional:
            place = optional[0]
        elif asked.order == "strict" and not row.flags & MACHINE:
            break
        else:
            continue
        times[place] = row.at
    depth = sum(not step.optional for step in asked.steps[: reached + 1])
    return Attempt(rows[start].at, depth, voided, last - rows[start].at, tuple(times))


def most_filled(rows: list[Happened], matches: list[Match]) -> int:
    """How many of the steps these rows can fill, each row one: every possibility."""
    if not rows or not matches:
        return 0
    without = most_filled(rows[1:], matches)
    with_it = [
        1 + most_filled(rows[1:], matches[:place] + matches[place + 1 :])
        for place, match in enumerate(matches)
        if is_match(rows[0], match)
    ]
    return max([without, *with_it])


def in_any_order(rows: list[Happened], began: int, asked: FunnelQuestion) -> Attempt:
    inside = [row for row in rows if began <= row.at <= began + asked.window.micros]
    required = [step.match for step in asked.steps if not step.optional]
    places = [place for place, step in enumerate(asked.steps) if not step.optional]
    times: list[int | None] = [None] * len(asked.steps)
    depth, last = 0, began
    for upto, row in enumerate(inside, 1):
        if most_filled(inside[:upto], required) > depth:
            times[places[depth]] = last = row.at
            depth += 1
        else:
            for place, step in enumerate(asked.steps):
                if step.optional and times[place] is None and is_match(row, step.match):
                    times[place] = row.at
                    break
    return Attempt(began, depth, False, last - began, tuple(times))


def read(events: list[Happened], asked: FunnelQuestion, watermark: int) -> Read | None:
    rows = sorted(events, key=lambda event: event.at)
    if asked.order == "any":
        starting = [step.match for step in asked.steps if not step.optional]
    else:
        starting = [asked.steps[0].match]
    begun = [
        (number, row)
        for number, row in enumerate(rows)
        if SINCE <= row.at < UNTIL and any(is_match(row, match) for match in starting)
    ]
    if asked.order == "any":
        attempts = [in_any_order(rows, row.at, asked) for _, row in begun]
    else:
        attempts = [in_order(rows, number, asked) for number, _ in begun]
    if not attempts:
        return None
    clean = [attempt for attempt in attempts if not attempt.voided]
    furthest = max((attempt.depth for attempt in clean), default=0)
    spoiled = [attempt for attempt in attempts if attempt.voided and attempt.depth > furthest]
    if spoiled:
        worst = max(attempt.depth for attempt in spoiled)
        first = next(attempt for attempt in spoiled if attempt.depth == worst)
        return Read("excluded", worst, False, first.times)
    best = [attempt for attempt in clean if attempt.depth == furthest]
    chosen = min(best, key=lambda attempt: attempt.took if asked.prefer == "shortest" else attempt.began)
    waiting = any(attempt.began + asked.window.micros >= watermark for attempt in clean)
    state = "open" if waiting else "dropped"
    if furthest == sum(not step.optional for step in asked.steps):
        state = "converted"
    return Read(state, furthest, not waiting, chosen.times)


NAMES = ("a", "b", "c", "d")
INSTANTS = [
    edge + seconds * SECOND + extra
    for edge, range_ in ((SINCE, range(-2, 9)), (UNTIL, range(-3, 7)))
    for seconds in range_
    for extra in (0, 1)
]


@st.composite
def happened(draw, instants=INSTANTS):
    return Happened(
        draw(st.sampled_from(instants)),
        draw(st.sampled_from(NAMES)),
        draw(st.sampled_from([{}, {"p": 1}, {"p": 2}])),
        draw(st.sampled_from([0, 0, 0, 0, int(MACHINE), int(BILLING), int(WEAK), int(MACHINE | WEAK)])),
    )


histories = st.lists(
    st.one_of(st.lists(happened(), max_size=9), st.lists(happened(), max_size=4).map(lambda events: events * 2)),
    min_size=1,
    max_size=4,
)
matches = st.one_of(
    st.sampled_from([Match((name,)) for name in NAMES]),
    st.sampled_from([Match(("a", "b")), Match(("b", "c")), Match(()), Match(("never",))]),
    st.sampled_from([Match((name,), (Condition("p", "is", (1,)),)) for name in ("a", "b", "c")]),
)
windows = st.sampled_from([Window(1, "s"), Window(2, "s"), Window(5, "s"), Window(1, "d"), Window(1, "mo")])


def crowded(edge: int, seconds: range):
    """Histories of a few seconds: most of what happens stands exactly a window apart, or at an edge of the period."""
    return st.lists(happened([edge + second * SECOND for second in seconds]), min_size=3, max_size=9)


close = st.one_of(crowded(SINCE, range(-1, 6)), crowded(UNTIL, range(-3, 4))).map(lambda events: [events])


@st.composite
def plain_questions(draw, order):
    count = draw(st.integers(2, 3))
    exclusions = (Exclusion(Match(("d",)), 1),) if order == "ordered" and draw(st.booleans()) else ()
    return FunnelQuestion(
        tuple(Step(Match((name,))) for name in draw(st.permutations(NAMES[:3]))[:count]),
        draw(st.sampled_from([Window(1, "s"), Window(2, "s"), Window(5, "s")])),
        order,
        exclusions,
        draw(st.sampled_from(["earliest", "shortest"])),
    )


@st.composite
def questions(draw, order):
    count = draw(st.integers(2, 5))
    steps = [
        Step(draw(matches), optional=0 < place < count - 1 and draw(st.booleans()) and draw(st.booleans()))
        for place in range(count)
    ]
    exclusions = ()
    if order == "ordered":
        required = [place for place, step in enumerate(steps[:-1], 1) if not step.optional]
        exclusions = tuple(
            Exclusion(draw(matches), draw(st.sampled_from(required)))
            for _ in range(draw(st.sampled_from([0, 0, 1, 2])))
        )
    return FunnelQuestion(
        tuple(steps), draw(windows), order, exclusions, draw(st.sampled_from(["earliest", "shortest"]))
    )


watermarks = st.sampled_from(
    [SINCE + 3 * SECOND, SINCE + 5 * SECOND, SINCE + 6 * SECOND + 1, UNTIL + 2 * SECOND, UNTIL + 10**14]
)


@pytest.mark.parametrize("order", ["ordered", "strict", "any"])
def test_everybody_is_read_as_the_definition_says(order):
    asking = st.tuples(questions(order), histories) | st.tuples(plain_questions(order), close)

    @settings(max_examples=600, deadline=None)
    @given(asking, watermarks, st.integers(1, 3))
    def check(asking, watermark, shards):
        asked, events = asking
        timeline = timeline_of([Somebody(one) for one in events], shards=shards, watermark=watermark, names=NAMES)
        expected = {number: read(one, asked, watermark) for number, one in enumerate(events)}
        assert found_in(timeline, asked) == {number: one for number, one in expected.items() if one}

    check()


def found_in(timeline, asked) -> dict[int, Read]:
    found = outcomes(timeline, SCOPE, asked)
    state, mature, depth = np.unravel_index(found.cell, found.shape)
    times = np.full((len(asked.steps), len(found.people)), NEVER)
    times[0] = found.entered_at
    times[:, found.traced] = found.times
    return {
        int(number): Read(
            STATES[state[place]],
            int(depth[place]),
            bool(mature[place]) and STATES[state[place]] != "excluded",
            tuple(None if at == NEVER else int(at) for at in times[:, place]),
        )
        for place, number in enumerate(found.people)
    }


@settings(max_examples=100, deadline=None)
@given(st.sampled_from(["ordered", "strict", "any"]).flatmap(questions), histories, watermarks)
def test_every_number_is_the_count_of_those_it_says(asked, events, watermark):
    timeline = timeline_of([Somebody(one) for one in events], watermark=watermark, names=NAMES)
    expected = [one for one in (read(one, asked, watermark) for one in events) if one]
    entered = [one for one in expected if one.state != "excluded"]
    total = funnel(timeline, SCOPE, asked).total
    assert total.entered == len(entered)
    for state in ("converted", "open", "dropped", "excluded"):
        assert getattr(total, state) == sum(one.state == state for one in expected)
    assert total.mature == sum(one.mature for one in entered)
    before = total.entered
    for place, step in enumerate(total.steps):
        took = [one for one in entered if one.times[place] is not None]
        assert step.people == len(took)
        assert step.mature_people == sum(one.mature for one in took)
        assert step.rate == (len(took) / before if before else None)
        assert step.overall == (len(took) / len(entered) if entered else None)
        for state in ("reached", "converted", "open", "dropped", "excluded"):
            number = step.people if state == "reached" else getattr(step, state)
            assert len(people(timeline, SCOPE, asked, state=state, step=place + 1)) == number
        before = before if asked.steps[place].optional else len(took)
    stopped = [step for step, of in zip(total.steps, asked.steps, strict=True) if not of.optional]
    assert sum(step.dropped for step in stopped) == total.dropped
    assert sum(step.open for step in stopped) == total.open
    assert sum(step.excluded for step in stopped) == total.excluded
    for step, following in itertools.pairwise(stopped):
        assert step.people == following.people + following.dropped + following.open


@pytest.fixture(scope="module")
def clickhouse():
    return pytest.importorskip("chdb", reason="chdb, the ClickHouse engine, is not installed")


@pytest.mark.parametrize("steps", [("a", "b"), ("a", "b", "c"), ("d", "b", "c", "a"), ("a", "b", "c", "d", "e", "f")])
@pytest.mark.parametrize("window", [Window(10, "min"), Window(1, "d"), Window(1, "mo")])
def test_as_many_get_as_far_as_in_clickhouse(clickhouse, tmp_path, steps, window):
    """Where both mean the same: in order, nothing excluded, each event one step, no two at one instant."""
    import pyarrow as pa
    from pyarrow import parquet

    rng = np.random.default_rng(7)
    crowd, slots = 3_000, 6_000  # of ten minutes, so that many a gap is exactly a window
    who, slot = np.divmod(np.sort(rng.choice(crowd * slots, 20 * crowd, replace=False)), slots)
    at = SINCE + slot * 600 * SECOND
    names = rng.choice(list("abcdefgh"), len(who))
    events = [[] for _ in range(crowd)]
    for person, instant, name in zip(who.tolist(), at.tolist(), names.tolist(), strict=True):
        events[person].append(Happened(instant, name))
    whole = Scope(
        SCOPE.workspace_id, "UTC", "EUR", date(2020, 1, 1), date(2027, 1, 1), datetime(2027, 6, 1, tzinfo=UTC)
    )
    asked = FunnelQuestion(tuple(Step(Match((name,))) for name in steps), window)
    found = outcomes(timeline_of([Somebody(one) for one in events]), whole, asked)
    depth = np.zeros(crowd, np.int64)
    depth[found.people] = np.unravel_index(found.cell, found.shape)[2]

    path = tmp_path / "events.parquet"
    parquet.write_table(pa.table({"who": who, "ts": at.astype(np.uint64), "name": names}), path)
    conditions = ", ".join(f"name = '{name}'" for name in steps)
    answer = clickhouse.query(
        f"SELECT who, windowFunnel({window.micros})(ts, {conditions}) AS level FROM file('{path}', Parquet)"
        " GROUP BY who ORDER BY who FORMAT CSV"
    )
    theirs = np.zeros(crowd, np.int64)
    for line in str(answer).split():
        person, level = line.split(",")
        theirs[int(person)] = int(level)
    assert depth.max() > 1
    assert depth.tolist() == theirs.tolist()
