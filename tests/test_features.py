"""Features of people: what each is, one event at a time in plain Python, against one pass of the kernel over all of them."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gdp_core.analytics.window import Window
from gdp_core.choices import RoleChoice
from gdp_core.event_roles import RoleFilter
from gdp_core.features import FEATURES
from gdp_core.features.base import ANYTHING, Feature, Held, Role, Tally
from gdp_core.features.measuring import measure
from gdp_core.features.roles import match_of
from gdp_core.timeline import engine
from gdp_core.timeline.arrays import BILLING, MACHINE, WEAK
from gdp_core.timeline.matching import MOST_MATCHES, Condition, Match

from .lives import EPOCH, micros_of
from .timelines import Happened, Somebody, timeline_of

DAY = timedelta(days=1)
AT = micros_of(datetime(2024, 3, 1, 12, tzinfo=UTC))  # the day after a leap day
ROLES = {"core": Match(("buy",), (Condition("properties.plan", "is", ("pro",)),))}


@pytest.fixture(autouse=True, scope="module")
def small_parts() -> Iterator[None]:
    """Even a handful of rows is worth a part of its own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(engine, "_WORTH_A_PART", 3)
        yield


# ------------------------------------------------------------------------------------------------ a plain reading


def counts(event: Happened, of: Match | Role) -> bool:
    """Whether a feature is about an event."""
    if isinstance(of, Role):
        return (
            of.name == "core" and event.name == "buy" and event.properties.get("plan") == "pro" and human(event, True)
        )
    if of.names and event.name not in of.names:
        return False
    plans = [condition.values for condition in of.conditions]
    return human(event, bool(of.names)) and all(event.properties.get("plan") in values for values in plans)


def human(event: Happened, named: bool) -> bool:
    """No machine; and, unless the event was asked for by name, surely the person themselves."""
    return not event.flags & MACHINE and (named or event.flags == 0)


def spelt(value):
    return (
        "true" if value is True else str(int(value)) if isinstance(value, float) and value == int(value) else str(value)
    )


def told(who: Somebody, made: Tally, at: int):
    """What the feature is; None for nothing."""
    since = (
        None
        if made.window is None
        else EPOCH
        + timedelta(microseconds=at)
        - timedelta(**{{"h": "hours", "d": "days", "w": "weeks"}[made.window.unit]: made.window.amount})
    )
    events = [
        event
        for event in sorted(who.events, key=lambda event: event.at)
        if event.at < at
        and (since is None or EPOCH + timedelta(microseconds=event.at) >= since)
        and counts(event, made.of)
    ]
    if made.by == "count":
        return len(events)
    if made.by == "days":
        return len({(EPOCH + timedelta(microseconds=event.at)).date() for event in events})
    if made.field is None:
        found = [event.at for event in events]
    else:
        found = [event.properties[made.field] for event in events if made.field in event.properties]
    if made.by == "sum":
        return sum(float(value) for value in found if not isinstance(value, bool) and value != "large")
    if made.by == "distinct":
        return len({spelt(value) for value in found})
    if not found:
        return None
    return found[0] if made.by == "first" else found[-1]


# ------------------------------------------------------------------------------------------------------ histories

_WINDOWS = [Window(1, "h"), Window(1, "d"), Window(30, "d"), Window(2, "w")]
_EDGES = [window.micros for window in _WINDOWS]
moments = st.sampled_from(
    [AT, AT - 1, AT + 1, *(AT - edge + off for edge in _EDGES for off in (-1, 0, 1))]
) | st.integers(AT - 90 * 86_400_000_000, AT + 3_600_000_000)
happened = st.builds(
    Happened,
    moments,
    st.sampled_from(["visit", "visit", "buy", "open"]),
    st.fixed_dictionaries(
        {},
        optional={
            "plan": st.sampled_from(["free", "pro"]),
            "size": st.sampled_from([1, 2.5, "3", 3, "large", True, -4, 0]),
            "amount": st.integers(-5_000_000, 2**40),
        },
    ),
    st.sampled_from([0, 0, 0, 0, int(MACHINE), int(BILLING), int(WEAK), int(MACHINE | WEAK)]),
)
somebody = st.builds(Somebody, st.lists(happened, max_size=14), st.just({}), st.sampled_from([True] * 5 + [False]))
matches = st.sampled_from(
    [
        ANYTHING,
        Match(("visit",)),
        Match(("buy", "open")),
        Match(("never",)),
        Match((), (Condition("plan", "is", ("pro",)),)),
        Role("core"),
        Role("nobody_plays_it"),
    ]
)
windows = st.sampled_from([None, *_WINDOWS])
plain = st.builds(Tally, matches, st.sampled_from(["count", "days", "since", "first", "last"]), windows)
of_field = st.builds(
    Tally,
    matches,
    st.sampled_from(["sum", "distinct", "first", "last"]),
    windows,
    st.sampled_from(["size", "amount", "plan", "absent"]),
).filter(lambda made: made.by != "sum" or made.field != "plan")


def feature(number: int, made: Tally | Held) -> Feature:
    return Feature(f"f{number}", f"Feature {number}", "", "", made)


@settings(max_examples=300, deadline=None)
@given(st.lists(somebody, max_size=8), st.lists(plain | of_field, min_size=1, max_size=9), st.integers(1, 3))
def test_every_feature_is_what_its_definition_says(people, tallies, shards):
    timeline = timeline_of(people, shards=shards)
    features = [feature(number, made) for number, made in enumerate(tallies)]
    found = measure(timeline, features, ROLES, AT)
    assert found.values.shape == (len(people), len(features))
    for index, who in enumerate(people):
        for place, one in enumerate(features):
            value = found.values[index, place]
            expected = told(who, one.made, AT) if who.live else None
            if expected is None:
                assert np.isnan(value)
            elif one.kind == "text":
                assert spelt(found.words[one.slug][int(value)]) == spelt(expected)
            else:
                assert value == expected


def test_more_kinds_of_events_than_fit_in_one_pass():
    names = [f"e{number}" for number in range(MOST_MATCHES + 10)]
    who = Somebody([Happened(AT - 5 + number % 3, name) for number, name in enumerate(names)])
    features = [feature(number, Tally(Match((name,)), "count")) for number, name in enumerate(names)]
    assert measure(timeline_of([who]), features, {}, AT).values.tolist() == [[1.0] * len(names)]


def test_an_instant_that_people_keep_is_known_of_any_time():
    traits = [{"signup_at": AT - 1}, {"signup_at": AT}, {"signup_at": (EPOCH + DAY).isoformat()}, {}]
    timeline = timeline_of([Somebody([], one) for one in traits])
    found = measure(timeline, [feature(0, Held("signup_at", "since"))], {}, AT)
    assert found.values[[0, 2], 0].tolist() == [AT - 1, 86_400_000_000]
    assert np.isnan(found.values[[1, 3], 0]).all()
    assert found.numbers(0)[2] == (AT - 86_400_000_000) // 86_400_000_000
    with pytest.raises(ValueError, match="not known"):
        measure(timeline, [feature(0, Held("lifetime_value_micros", "money"))], {}, AT)


def test_days_since_are_whole_days():
    who = [Somebody([Happened(AT - 86_400_000_000 + off, "visit")]) for off in (1, 0, -1)]
    found = measure(timeline_of(who), [feature(0, Tally(ANYTHING, "since"))], {}, AT)
    assert found.numbers(0).tolist() == [0, 1, 1]


def test_the_features_of_the_source_document_are_there_under_their_names():
    named = (
        "active_days core_actions pricing_views email_opens email_clicks letters_created letters_sent templates_created"
        " recipients_added days_since_signup days_since_last_active"
    ).split()
    known = {feature.slug: feature for feature in FEATURES}
    assert set(named) <= set(known)
    assert all(feature.title and feature.definition.endswith(".") for feature in FEATURES)


@pytest.mark.parametrize(
    ("op", "value", "conditions"),
    [
        ("is", "pro", (Condition("properties.plan", "is", ("pro",)),)),
        ("at_least", 3, (Condition("properties.plan", "gte", (3,)),)),
        ("at_most", "2.5", (Condition("properties.plan", "lte", ("2.5",)),)),
        ("is_set", None, (Condition("properties.plan", "set"),)),
    ],
)
def test_an_event_role_is_its_names_and_filters(op, value, conditions):
    filters = (RoleFilter(property="plan", op=op, value=value),)
    found = match_of(RoleChoice("core", "", ("buy", "rent"), filters, is_default=False))
    assert found == Match(("buy", "rent"), conditions)


def test_a_role_that_nothing_can_play_is_no_events_and_not_all_of_them():
    never = RoleFilter(property="plan", op="at_least", value="much")
    assert match_of(RoleChoice("core", "", (), (), is_default=False)) is None
    assert match_of(RoleChoice("core", "", ("buy",), (never,), is_default=False)) is None
