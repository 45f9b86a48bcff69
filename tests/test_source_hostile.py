"""Anything at all, through every route: facts or rejects, the same every time, and nothing Postgres refuses."""

import dataclasses
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gdp_core.sources import source
from gdp_core.sources.facts import Delivery, Fact, Reject, Trust
from gdp_core.sources.posthog import event_ids, token_of
from gdp_core.sources.web import AHEAD, OLDEST

RECEIVED = datetime(2026, 11, 20, 8, 0, tzinfo=UTC)
ROUTES = [
    *(("segment", f"v1/{call}") for call in ("track", "identify", "page", "screen", "group", "alias", "batch")),
    *(("posthog", f"posthog/{path}") for path in ("batch", "capture", "e", "v0", "v1")),
    ("posthog", "webhook"),
    ("resend", "webhook"),
    ("generic", "webhook"),
]

RELAYED = [
    ("posthog", "webhook"),
    ("resend", "webhook"),
]  # they name the vendor's own objects, and are signed or secret

scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=12),
    st.sampled_from(
        ["u1", "a1", "undefined", "ada@x.test", "+442079460958", "2026-11-20T08:00:00Z", "\0", "$set", "USD"]
    ),
)
anything = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
WORDS = """type event name userId anonymousId user_id anonymous_id distinct_id messageId uuid id traits properties context
 timestamp sentAt sent_at originalTimestamp previousId groupId batch events data email phone $set $set_once $unset
 $identify $create_alias alias $anon_distinct_id $is_identified $device_id $lib $process_person_profile options offset
 person created_at email_id to from tags click person_id revenue value currency campaign page url token api_key
 track identify screen group email.clicked email.opened contact.updated unsubscribed userAgent link""".split()
known = st.sampled_from(WORDS)
likely = st.recursive(
    scalars | known | st.sampled_from(["track", "identify", "alias", "$identify", "$create_alias", "email.clicked"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(known, inner, max_size=8),
    max_leaves=25,
)
# Shaped like what is expected, with anything in place of every value.
leaf = scalars | st.lists(scalars, max_size=2) | st.dictionaries(known, scalars, max_size=2)
object_ = st.dictionaries(known, leaf, max_size=6)
names = (
    "track identify page screen group alias email.clicked email.opened contact.updated $identify $create_alias".split()
)
name = st.sampled_from([*names, "$merge_dangerously", "$set", "$groupidentify", "$pageview", "x"])
whoever = st.sampled_from(["u1", "a1", "", "undefined", "01a1f81c-68f8-7925-b888-1a545bdb5c3a", 7])


def mostly(expected: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.integers(0, 7).flatmap(lambda turn: expected if turn else leaf)


items = st.fixed_dictionaries(
    {
        **dict.fromkeys(["type", "event"], mostly(name)),
        **dict.fromkeys(["userId", "distinct_id", "user_id"], mostly(whoever)),
        **dict.fromkeys(["properties", "traits", "context", "$set", "data"], mostly(object_)),
        "timestamp": mostly(st.just("2026-11-20T07:59:00Z")),
    },
    optional=dict.fromkeys(["anonymousId", "previousId", "alias"], mostly(whoever))
    | dict.fromkeys(["messageId", "uuid", "offset", "sentAt", "created_at", "groupId", "$unset", "options"], leaf),
)
batches = st.lists(items, min_size=1, max_size=3)
# One payload that the envelopes of all sources find their events in.
shaped = st.one_of(
    items,
    batches,
    batches.map(lambda batch: {"batch": batch, "sentAt": "2026-11-20T08:00:00Z", "context": {}}),
    batches.map(lambda batch: {"events": batch}),
    items.map(lambda item: {"event": item, "person": {"id": "p1", "properties": item}}),
)
bodies = st.integers(0, 5).flatmap(
    lambda turn: (
        (st.binary(max_size=80), (anything | likely).map(orjson.dumps))[turn] if turn < 2 else shaped.map(orjson.dumps)
    )
)


def strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        yield from strings([*value, *value.values()])
    elif isinstance(value, list | tuple):
        for element in value:
            yield from strings(element)
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        yield from strings([getattr(value, field.name) for field in dataclasses.fields(value)])


def storable(fact: Fact | Reject) -> None:
    assert fact.key
    assert all("\0" not in text for text in strings(fact)), fact
    if isinstance(fact, Reject):
        assert fact.code.isidentifier()
        assert fact.reason.endswith(".")
        return
    orjson.dumps([fact.event, [state.data for state in fact.states], [trait.value for trait in fact.traits]])
    assert OLDEST <= fact.occurred_at <= RECEIVED + AHEAD
    assert all(value and len(value) <= 254 for _, value in fact.actors)
    assert len({(trait.of, trait.key) for trait in fact.traits}) == len(fact.traits), (
        "one assertion of a trait per fact"
    )
    assert all(link.a != link.b and {link.a, link.b} <= set(fact.actors) for link in fact.links)
    if fact.event and fact.event.value_micros is not None:
        assert abs(fact.event.value_micros) < 2**63


def claimed_only(fact: Fact) -> bool:
    """A browser names and joins user and anonymous ids only, and never two of a kind."""
    joins = all({link.a.namespace, link.b.namespace} == {"user", "anonymous"} for link in fact.links)
    return joins and {actor.namespace for actor in fact.actors} <= {"user", "anonymous"}


@pytest.mark.parametrize(("key", "route"), ROUTES, ids=lambda value: value)
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    body=bodies,
    trust=st.sampled_from(["signed", "server", "browser"]),
    headers=st.dictionaries(
        st.sampled_from(["svix-id", "webhook-id", "content-encoding", "user-agent", "x-client-ip"]),
        st.text("agzip0.1\\é", max_size=6),
        max_size=3,
    ),
    query=st.dictionaries(
        st.sampled_from(["_", "compression", "data"]), st.text("lz64base0123", max_size=13), max_size=3
    ),
)
def test_anything_becomes_facts_or_rejects(
    key: str, route: str, body: bytes, trust: Trust, headers: dict[str, str], query: dict[str, str]
) -> None:
    delivery = Delivery(UUID(int=1), UUID(int=2), UUID(int=3), key, route, trust, RECEIVED, body, headers, query)
    stated = source(key).normalise(delivery)
    assert stated == source(key).normalise(delivery)
    for fact in stated:
        storable(fact)
        if trust == "browser" and isinstance(fact, Fact) and (key, route) not in RELAYED:
            assert claimed_only(fact), fact


@settings(max_examples=500, deadline=None)
@given(payload=anything | likely)
def test_any_payload_may_be_asked_for_its_token(payload: Any) -> None:
    assert token_of(payload) is None or isinstance(token_of(payload), str)
    assert all(isinstance(uuid, str) for uuid in event_ids(payload))
