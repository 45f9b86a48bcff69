"""The loops of the funnel: corner by corner, each against another, and on histories that would stop a slower one."""

from datetime import UTC, date, datetime
from uuid import UUID

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gdp_core.analytics.calendar import micros
from gdp_core.analytics.funnel.outcomes import STATES, outcomes
from gdp_core.analytics.funnel.question import Exclusion, FunnelQuestion, Step
from gdp_core.analytics.scope import Scope
from gdp_core.analytics.window import Window
from gdp_core.timeline.arrays import BILLING, FLAGS, MACHINE, WEAK
from gdp_core.timeline.kernels import funnel as kernel
from gdp_core.timeline.kernels.history import History
from gdp_core.timeline.matching import Match

from .timelines import Happened, Somebody, timeline_of

SECOND = 1_000_000
SCOPE = Scope(UUID(int=1), "UTC", "EUR", date(2026, 3, 1), date(2026, 3, 2), datetime(2026, 6, 1, tzinfo=UTC), "none")
SINCE, UNTIL = micros(SCOPE.since), micros(SCOPE.until)


def history(text: str) -> Somebody:
    """ "a0 b5 a|b" is a at second 0 of the period and b at 5; a second without a name before it repeats the instant."""
    return Somebody([Happened(SINCE + int(word[1:]) * SECOND, word[0]) for word in text.split()])


def ask(steps: str, window: str = "10s", order: str = "ordered", **more) -> FunnelQuestion:
    """ "a b? c|d": b is optional, c or d is the last step; exclusions are given as {after: name}."""
    exclusions = tuple(Exclusion(Match((name,)), after) for after, name in more.pop("without", {}).items())
    built = tuple(
        Step(Match(tuple(word.rstrip("?").split("|"))), optional=word.endswith("?")) for word in steps.split()
    )
    return FunnelQuestion(built, Window.parse(window), order, exclusions, **more)


def outcome(text: str, asked: FunnelQuestion) -> str:
    """The seconds at which the steps were taken, "-" for none; "excluded" and the step waited at; or "nobody"."""
    found = outcomes(timeline_of([history(text)], names="abcdx"), SCOPE, asked)
    if not len(found.people):
        return "nobody"
    state, _, depth = np.unravel_index(found.cell[0], found.shape)
    if STATES[state] == "excluded":
        return f"excluded {depth}"
    times = found.times[:, 0] if len(found.traced) else [found.entered_at[0]] + [kernel.NEVER] * (len(asked.steps) - 1)
    return " ".join("-" if at == kernel.NEVER else str((at - SINCE) // SECOND) for at in times)


@pytest.mark.parametrize(
    ("text", "asked", "expected"),
    [
        ("a0 b10", ask("a b"), "0 10"),  # the window's end is in it
        ("a0 b11", ask("a b"), "0 -"),
        ("a0 b8 c11", ask("a b c"), "0 8 -"),  # it counts from the first step, not from the one before
        ("b0 a0", ask("a b"), "0 -"),  # at one instant the order of the rows decides
        ("a0 b0", ask("a b"), "0 0"),
        ("a0", ask("a a"), "0 -"),  # a row fills one step
        ("a0 a1", ask("a a"), "0 1"),
        ("a0 a1 a2", ask("a a|b a"), "0 1 2"),
        ("a0 b3 b4 c5", ask("a b c"), "0 3 5"),  # the earliest of several
        ("a0 a5 b12", ask("a b"), "5 12"),  # the attempt that got furthest
        ("a0 a5 b8", ask("a b"), "0 8"),  # of two, the earliest
        ("a0 a5 b8", ask("a b", prefer="shortest"), "5 8"),
        ("a0 b1 a5 b6", ask("a b", prefer="shortest"), "0 1"),  # equally short: the earliest
        ("a0 b2 a8 b12 c15", ask("a b c"), "8 12 15"),
        ("a0 b2 a4 c11", ask("a b c"), "0 2 -"),  # another attempt's step is not taken over
        ("a86399 b86405", ask("a b"), "86399 86405"),  # the period is for the first step alone
        ("a86400 b86405", ask("a b"), "nobody"),
        ("a86395 a86400 b86407", ask("a b"), "86395 -"),  # what begins at the period's end is no attempt
        ("a0 b1 a5 b6 d12", ask("a b|c c|b d"), "0 1 6 -"),  # a row takes each attempt one step further
        ("b5", ask("a b"), "nobody"),
    ],
)
def test_in_order(text, asked, expected):
    assert outcome(text, asked) == expected


@pytest.mark.parametrize(
    ("text", "asked", "expected"),
    [
        ("a0 x1 b2", ask("a b", without={1: "x"}), "excluded 1"),
        ("a0 x1", ask("a b", without={1: "x"}), "excluded 1"),  # even if no later step comes
        ("a0 x11 b12", ask("a b", without={1: "x"}), "0 -"),  # after the window there is no attempt left to void
        ("a0 x1 a2 b3", ask("a b", without={1: "x"}), "2 3"),  # a new beginning rescues
        ("a0 b1 x2 b3 c4", ask("a b c", without={2: "x"}), "excluded 2"),  # a repeated step does not
        ("a0 b1 x2 a3", ask("a b c", without={2: "x"}), "excluded 2"),  # and neither does one that got less far
        ("a0 b1 x2 a3 b4", ask("a b c", without={2: "x"}), "3 4 -"),
        ("a0 b1 x2 a3 b4 c5", ask("a b c", without={2: "x"}), "3 4 5"),
        ("a0 x1 b2", ask("a b c", without={2: "x"}), "0 2 -"),  # it stands between two steps, not elsewhere
        ("a0 b1 c2 x3", ask("a b c", without={2: "x"}), "0 1 2"),
        ("a0 b1", ask("a b", without={1: "b"}), "excluded 1"),  # it beats the step on one row
        ("a0 a1 b2", ask("a b", without={1: "a"}), "1 2"),  # the row that voids begins anew
        ("a0 a3 b4 x5 c6", ask("a b c", without={2: "x"}), "excluded 2"),  # both attempts had come together
        ("a0 b1 a2 x3 b4 c5", ask("a b c", without={1: "x"}), "0 1 5"),  # only the one that waited there
        ("a0 b1 a2 x3 b4 c12", ask("a b c", without={1: "x"}), "0 1 -"),
    ],
)
def test_exclusions(text, asked, expected):
    assert outcome(text, asked) == expected


@pytest.mark.parametrize(
    ("text", "asked", "expected"),
    [
        ("a0 b1 c2", ask("a b? c"), "0 1 2"),
        ("a0 c2", ask("a b? c"), "0 - 2"),
        ("a0 c2 b3", ask("a b? c"), "0 - 2"),  # it has its place
        ("a0 b1", ask("a b? c"), "0 1 -"),
        ("a0 b1", ask("a b? b"), "0 - 1"),  # it leaves the row to the required step
        ("a0 b1 b2", ask("a b|c? b? c"), "0 1 2 -"),
        ("a0 b1 x2 c3", ask("a b? c", without={1: "x"}), "excluded 1"),  # up to the next required step
        ("a0 b1 c2", ask("a b? c", order="strict"), "0 1 2"),
        ("a0 c1 b2", ask("a b? c", order="any"), "0 2 1"),
        ("b0 a1 c2", ask("a b? c", order="any"), "1 - 2"),  # an optional step begins nothing
    ],
)
def test_optional_steps(text, asked, expected):
    assert outcome(text, asked) == expected


@pytest.mark.parametrize(
    ("text", "asked", "expected"),
    [
        ("a0 b1 c2", ask("a b c", order="strict"), "0 1 2"),
        ("a0 x1 b2", ask("a b", order="strict"), "0 -"),
        ("a0 a1 b2", ask("a b", order="strict"), "1 2"),
        ("a0 b1 a2 b3 c4", ask("a b c", order="strict"), "2 3 4"),
        ("a0 b0 c0", ask("a b c", order="strict"), "0 0 0"),
        ("a0 b11", ask("a b", order="strict"), "0 -"),
        ("a0 b3 a5 b6", ask("a b", order="strict"), "0 3"),
        ("a0 b3 a5 b6", ask("a b", order="strict", prefer="shortest"), "5 6"),
    ],
)
def test_strict_order(text, asked, expected):
    assert outcome(text, asked) == expected


@pytest.mark.parametrize(
    ("text", "asked", "expected"),
    [
        ("b0 c1 a2", ask("a b c", order="any"), "0 1 2"),  # times are those of the first, second, third one
        ("b0 b1 a2", ask("a b c", order="any"), "0 2 -"),  # of those that reach two, the earliest
        ("b0 a12", ask("a b", order="any"), "0 -"),
        ("b0 b6 a12", ask("a b", order="any"), "6 12"),
        ("b0 b6 a10", ask("a b", order="any", prefer="shortest"), "6 10"),
        ("a0", ask("a a", order="any"), "0 -"),  # a row fills one step
        ("a0 b1", ask("a|b a", order="any"), "0 1"),  # whichever lets the other fill one, too
        ("a0 b1", ask("a a|b", order="any"), "0 1"),
        ("a0 b1 c2", ask("a|b|c a|b a", order="any"), "0 1 2"),
        ("a0 a1 b2", ask("a|b b b|c", order="any"), "0 2 -"),
        ("a86399 b86405", ask("a b", order="any"), "86399 86405"),
        ("a86400 b86405", ask("a b", order="any"), "nobody"),
    ],
)
def test_any_order(text, asked, expected):
    assert outcome(text, asked) == expected


@pytest.mark.parametrize("order", ["ordered", "strict", "any"])
def test_machines_neither_count_nor_come_between(order):
    def depth(events: list[Happened], everything: bool = False) -> int:
        asked = ask("a b", order=order, everything=everything)
        found = outcomes(timeline_of([Somebody(events)], names="ab"), SCOPE, asked)
        return int(np.unravel_index(found.cell, found.shape)[2].max(initial=0))

    first, last = Happened(SINCE, "a"), Happened(SINCE + 2, "b")
    assert depth([first, Happened(SINCE + 1, "x", flags=int(MACHINE)), last]) == 2
    assert depth([first, Happened(SINCE + 2, "b", flags=int(MACHINE))]) == 1
    assert depth([first, Happened(SINCE + 2, "b", flags=int(MACHINE))], everything=True) == 2
    assert depth([first, Happened(SINCE + 2, "b", flags=int(BILLING))]) == 2
    assert depth([first, Happened(SINCE + 2, "b", flags=int(WEAK))]) == 2
    assert depth([Happened(SINCE, "a", flags=int(MACHINE)), last]) == (1 if order == "any" else 0)


def drawn(seed: int, people: int, rows: int, kinds: int, span: int) -> History:
    """People with random rows of random kinds; many at one instant, some flagged."""
    rng = np.random.default_rng(seed)
    counts = rng.integers(0, rows, people)
    offsets = np.concatenate([[0], np.cumsum(counts)])
    at = np.concatenate([np.sort(rng.integers(0, span, count)) for count in counts])
    whole = rng.integers(0, 2**kinds, 2**kinds).astype(np.uint32)
    table = np.stack([whole, whole & 1, whole & 6, whole, whole & 2, whole & 3, whole & 5, whole])
    marks = rng.integers(0, len(whole), len(at)).astype(np.uint16)
    flags = np.where(rng.random(len(at)) < 0.2, rng.integers(1, FLAGS, len(at)), 0).astype(np.uint8)
    return History(offsets, rng.random(people) < 0.9, at, marks, flags, table)


def planned(given_: History, steps: int, since: int, until: int, window: int, *, shortest: bool = False) -> kernel.Plan:
    """Every match a required step, and the watermark where some windows are open and some are not."""
    fills = given_.matches & np.uint32((1 << steps) - 1)
    required = np.arange(steps)
    return kernel.Plan(
        fills,
        np.zeros_like(fills),
        np.ones(FLAGS, np.bool_),
        required,
        0,
        since,
        until,
        window,
        (since + until) // 2 + window,
        shortest,
    )


@settings(max_examples=300, deadline=None)
@given(st.integers(0, 2**32), st.integers(2, 6), st.sampled_from([5, 30, 200]), st.integers(0, 60), st.integers(1, 90))
def test_the_swift_loop_finds_what_the_patient_one_does(seed, steps, rows, since, window):
    crowd = drawn(seed, 8, rows, steps, 100)
    plan = planned(crowd, steps, since, since + 40, window)
    for one, other in zip(kernel.swiftly(crowd, plan), kernel.patiently(crowd, plan), strict=True):
        np.testing.assert_array_equal(one, other)


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 2**32), st.integers(2, 5), st.booleans(), st.integers(1, 90))
def test_what_was_before_the_period_changes_nothing(seed, steps, shortest, window):
    """Not even so many rows that the first of the period is searched rather than walked to."""
    crowd = drawn(seed, 8, 40, steps, 100)
    rng = np.random.default_rng(seed)
    kept = crowd.at >= 30
    before = np.repeat(np.arange(8), 200)
    who = np.concatenate([before, np.repeat(np.arange(8), np.diff(crowd.offsets))[kept]])
    order = np.argsort(who, kind="stable")
    longer = History(
        np.searchsorted(who[order], np.arange(9)),
        crowd.counted,
        np.concatenate([np.tile(np.sort(rng.integers(-500, 30, 200)), 8), crowd.at[kept]])[order],
        np.concatenate([rng.integers(0, 2**steps, 1600).astype(np.uint16), crowd.marks[kept]])[order],
        np.concatenate([np.zeros(1600, np.uint8), crowd.flags[kept]])[order],
        crowd.matches,
    )
    plan = planned(crowd, steps, 30, 70, window, shortest=shortest)
    for loop in (kernel.swiftly, kernel.patiently, kernel.strictly, kernel.in_any_order):
        one, other = loop(crowd, plan), loop(longer, plan)
        np.testing.assert_array_equal(one.person, other.person)
        np.testing.assert_array_equal(one.depth, other.depth)
        np.testing.assert_array_equal(one.waiting, other.waiting)
        np.testing.assert_array_equal(crowd.at[one.start], longer.at[other.start])


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 2**32), st.integers(2, 6), st.integers(1, 90))
def test_an_attempt_looked_up_got_as_far_as_it_was_found_to(seed, steps, window):
    crowd = drawn(seed, 8, 60, steps, 100)
    plan = planned(crowd, steps, 20, 60, window)
    for loop in (kernel.swiftly, kernel.strictly, kernel.in_any_order):
        found = loop(crowd, plan)
        for touch in (-1, 0):
            attempts = (crowd, plan, found.person, found.start, found.depth, touch)
            if loop is kernel.in_any_order:
                traced = kernel.retrace_in_any_order(*attempts)
            else:
                traced = kernel.retrace(*attempts, loop is kernel.strictly)
            assert (traced.times > kernel.NEVER).sum(axis=0).tolist() == found.depth.tolist()
            assert traced.times[0].tolist() == crowd.at[found.start].tolist()
            deepest = traced.times[found.depth - 1, np.arange(len(found.depth))]
            assert crowd.at[traced.row].tolist() == (deepest if touch else traced.times[0]).tolist()
            assert touch or traced.row.tolist() == found.start.tolist()


MANY = 600_000


@pytest.mark.parametrize("kinds", [1, 20])
@pytest.mark.parametrize("window", [1, 10_000, 2 * MANY])
def test_a_person_with_very_many_events_takes_one_pass(kinds, window):
    """Looking at each attempt alone, or at each pair of rows, would take longer than a test may."""
    steps = 20
    at = np.arange(MANY)
    table = np.tile(
        np.array([(1 << steps) - 1] if kinds == 1 else [1 << kind for kind in range(steps)], np.uint32), (FLAGS, 1)
    )
    marks = (at % kinds)[::-1].astype(np.uint16)
    crowd = History(np.array([0, MANY]), np.ones(1, np.bool_), at, marks, np.zeros(MANY, np.uint8), table)
    plan = planned(crowd, steps, 0, MANY, window)
    voids = np.zeros_like(plan.fills)
    voids[:, -1] = 1 << 3
    reached = min(steps, window + 1)
    expected = {
        kernel.swiftly: reached if kinds == 1 else min(steps, 1 + window // (steps - 1)),
        kernel.patiently: reached if kinds == 1 else min(steps, 1 + window // (steps - 1)),
        kernel.strictly: reached if kinds == 1 else 1,
        kernel.in_any_order: reached,
    }
    for loop, depth in expected.items():
        assert loop(crowd, plan).depth.tolist() == [depth]
        assert loop(crowd, plan._replace(shortest=True)).depth.tolist() == [depth]
    assert len(kernel.patiently(crowd, plan._replace(voids=voids)).person) == 1


def test_nobody_and_nothing():
    nobody = History(
        np.zeros(1, np.int64),
        np.empty(0, np.bool_),
        np.empty(0, np.int64),
        np.empty(0, np.uint16),
        np.empty(0, np.uint8),
        np.ones((FLAGS, 1), np.uint32),
    )
    silent = nobody._replace(offsets=np.zeros(4, np.int64), counted=np.ones(3, np.bool_))
    for crowd in (nobody, silent):
        for loop in (kernel.swiftly, kernel.patiently, kernel.strictly, kernel.in_any_order):
            assert len(loop(crowd, planned(crowd, 2, 0, 10, 5)).person) == 0
