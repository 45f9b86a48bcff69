"""What the real SDKs sent, byte for byte, and the people, traits and events it must become."""

import base64
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, urlsplit
from uuid import UUID

import orjson
import pytest

from gdp_core.sources import source
from gdp_core.sources.facts import Delivery, Fact, Identifier, Trust
from gdp_core.sources.payload import read_posthog
from gdp_core.sources.posthog import event_ids, token_of

FIXTURES = Path(__file__).parents[2] / "shared" / "fixtures"
pytestmark = pytest.mark.skipif(not FIXTURES.exists(), reason="the recorded fixtures are not beside this clone")

RECEIVED = datetime(2026, 11, 20, 8, 40, tzinfo=UTC)
ROUTES = {
    "/e/": "posthog/e",
    "/batch/": "posthog/batch",
    "/i/v1/analytics/events": "posthog/v1",
    "/v1/p": "v1/page",
    "/v1/t": "v1/track",
    "/v1/i": "v1/identify",
    "/v1/a": "v1/alias",
    "/v1/b": "v1/batch",
    "/v1/batch": "v1/batch",
}


def deliveries(path: str, key: str, trust: Trust) -> list[Delivery]:
    """The requests of a recording; compressed ones as they were on the wire."""
    found = []
    for request in orjson.loads((FIXTURES / path).read_bytes())["requests"]:
        address = urlsplit(request["path"])
        packed = request.get("body_base64_as_sent")
        body = base64.b64decode(packed) if packed else orjson.dumps(request["body_json"])
        found.append(
            Delivery(
                id=UUID(int=1),
                workspace_id=UUID(int=2),
                source_id=UUID(int=3),
                source=key,
                route=ROUTES[address.path],
                trust=trust,
                received_at=RECEIVED,
                body=body,
                headers=request["headers"],
                query=dict(parse_qsl(address.query)),
            )
        )
    return found


class Story(NamedTuple):
    """What a list of deliveries came to."""

    events: list[tuple[str, str]]  # (who did it, name)
    people: list[set[str]]
    traits: dict[tuple[str, str], Any]


def told(requests: list[Delivery]) -> Story:
    facts = [fact for request in requests for fact in source(request.source).normalise(request)]
    assert all(isinstance(fact, Fact) for fact in facts), facts
    stated = [fact for fact in facts if isinstance(fact, Fact)]
    people: list[set[str]] = []
    for fact in stated:
        for group in [*({_name(a)} for a in fact.actors), *({_name(link.a), _name(link.b)} for link in fact.links)]:
            touching = [person for person in people if person & group]
            people = [person for person in people if not person & group] + [group.union(*touching)]
    return Story(
        events=[(_name(fact.actors[0]), fact.event.name) for fact in stated if fact.event],
        people=sorted(people, key=min),
        traits={(_name(trait.of), trait.key): trait.value for fact in stated for trait in fact.traits},
    )


def _name(identifier: Identifier) -> str:
    return ":".join(identifier)


@pytest.mark.parametrize(
    ("version", "anonymous"),
    [("1.260.0", "01a1f81c-49f0-76a1-9b88-cb70a7b71972"), ("1.434.13", "01a1f81c-68f8-7925-b888-1a545bdb5c3a")],
)
def test_posthog_js(version: str, anonymous: str) -> None:
    requests = deliveries(f"posthog/recorded_posthog_js_{version}.json", "posthog", "browser")
    for request in requests:
        assert token_of(read_posthog(request.body, request.headers, request.query)) == "phc_test"
    story = told(requests)
    assert sorted(story.events) == [
        (f"anonymous:{anonymous}", "custom"),
        ("user:user_1", "alias"),
        ("user:user_1", "group"),
        ("user:user_1", "identify"),
        ("user:user_1", "page_view"),
    ]
    assert story.people == [{"user:user_1", "anonymous:alias_9", f"anonymous:{anonymous}"}]
    assert story.traits["user:user_1", "email"] == "a@b.co"
    assert story.traits["user:user_1", "initial_utm_source"] == "newsletter"
    assert story.traits["user:user_1", "company"] == "Co"
    assert ("user:user_1", "initial_utm_medium") not in story.traits
    assert told(requests[::-1]).people == story.people, "arrival order must not matter"


def test_posthog_js_pages_carry_their_campaign() -> None:
    request = deliveries("posthog/recorded_posthog_js_1.434.13.json", "posthog", "browser")[0]
    (fact,) = source("posthog").normalise(request)
    assert isinstance(fact, Fact)
    event = fact.event
    assert event
    assert (event.type, event.channel, event.utm_source, event.utm_campaign) == ("PAGE_VIEW", "web", "newsletter", "c1")
    assert (event.gclid, event.fbclid, event.referrer) == ("G1", "F1", "https://www.google.com/")
    assert event.session_id == "01a1f81c-690c-7f0c-9675-3545cd763e32"
    assert fact.key == "01a1f81c-6925-71dd-ae3a-76ee34521d3a"
    assert not {"token", "$set", "$session_id", "gclid", "$sdk_debug_retry_queue_size"} & event.properties.keys()


@pytest.mark.parametrize("request_number", range(4))
def test_posthog_python(request_number: int) -> None:
    request = deliveries("posthog/recorded_posthog_python_7.91.1.json", "posthog", "server")[request_number]
    story = told([request])
    assert [name for _, name in story.events] == ["page viewed", "anon event", "user signed up", "alias", "group"]
    assert {"user:user_1", "user:anon_1", "anonymous:anon_1", "anonymous:user_1", "email:a@b.co"} in story.people
    assert len(story.people) == 3, "the personless event and the group have ids of their own"
    assert story.traits == {
        ("user:user_1", "email"): "a@b.co",
        ("user:user_1", "first"): "x",
        ("user:user_1", "plan0"): "free",
    }
    facts = source("posthog").normalise(request)
    personless = [f.event.name for f in facts if isinstance(f, Fact) and f.event and f.event.metadata.get("personless")]
    assert personless == ["anon event", "group"]
    first = facts[0]
    assert isinstance(first, Fact)
    assert first.original_at == datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def test_posthog_python_v1_needs_every_uuid_in_the_reply() -> None:
    request = deliveries("posthog/recorded_posthog_python_7.91.1.json", "posthog", "server")[2]
    payload = read_posthog(request.body, request.headers, request.query)
    assert len(event_ids(payload)) == len(payload["batch"]) == 7
    assert token_of(payload) is None


def test_posthog_node() -> None:
    story = told(deliveries("posthog/recorded_posthog_node_5.70.0.json", "posthog", "server"))
    assert story.events == [("user:user_1", "e1"), ("user:user_1", "identify"), ("user:user_1", "alias")]
    assert story.people == [{"user:user_1", "email:a@b.co", "user:anon_1", "anonymous:anon_1", "anonymous:user_1"}]
    assert story.traits == {("user:user_1", "email"): "a@b.co"}


def test_segment_python() -> None:
    plain, zipped = deliveries("segment/recorded_segment_analytics_python_2.4.0.json", "segment", "server")
    for request in (plain, zipped):
        story = told([request])
        assert story.events == [
            ("user:u1", "identify"),
            ("user:u1", "Order Completed"),
            ("anonymous:anon1", "Anon"),
            ("user:u1", "page_view"),
            ("user:u1", "screen_view"),
            ("user:u1", "group"),
            ("user:u1", "alias"),
        ]
        assert story.people == [{"user:u1", "anonymous:anon1", "user:anon1", "email:a@b.co"}]
        assert story.traits == {
            ("user:u1", "email"): "a@b.co",
            ("user:u1", "created_at"): "2026-01-02T00:00:00",
            ("user:u1", "company"): "Co",
            ("user:u1", "group_id"): "g1",
        }
    order = source("segment").normalise(plain)[1]
    assert isinstance(order, Fact)
    assert order.event
    assert order.key == "mid-1"
    assert (order.event.value_micros, order.event.currency, order.event.type) == (39_950_000, "USD", "CONVERSION")
    assert (order.event.utm_campaign, order.event.utm_content) == ("c", "x")
    assert order.original_at == datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def test_segment_node() -> None:
    story = told(deliveries("segment/recorded_segment_analytics_node_3.1.0.json", "segment", "server"))
    assert [name for _, name in story.events] == ["identify", "E", "page_view", "alias"]
    assert story.people == [{"user:u1", "email:a@b.co", "user:anon1", "anonymous:anon1"}]


@pytest.mark.parametrize("mode", ["browser", "browser_batching"])
def test_analytics_js(mode: str) -> None:
    requests = deliveries(f"segment/recorded_analytics_next_1.84.3_{mode}.json", "segment", "browser")
    story = told(requests)
    (person,) = story.people
    (anonymous,) = person - {"user:u1", "anonymous:anon9"}
    assert story.events == [(anonymous, "page_view"), (anonymous, "E"), ("user:u1", "identify"), ("user:u1", "alias")]
    assert story.traits == {("user:u1", "email"): "a@b.co"}
    assert told(requests[::-1]).people == story.people
    page = source("segment").normalise(requests[0])[0]
    assert isinstance(page, Fact)
    assert page.event
    assert (page.event.utm_medium, page.event.gclid, page.event.channel) == ("email", "G1", "web")


def test_rudderstack_node() -> None:
    story = told(deliveries("rudderstack/recorded_rudder_sdk_node_3.0.13.json", "segment", "server"))
    assert story.events == [("user:u1", "identify"), ("user:u1", "E")]
    assert story.people == [{"user:u1", "email:a@b.co"}]
    assert story.traits == {("user:u1", "email"): "a@b.co"}


def resend_examples() -> list[str]:
    if not FIXTURES.exists():
        return []
    return list(orjson.loads((FIXTURES / "resend/webhook_and_send_schemas.json").read_bytes())["webhooks"])


@pytest.mark.parametrize("kind", resend_examples())
def test_every_type_of_resends_schema_is_one_fact(kind: str) -> None:
    """A body made of the schema's own required fields and examples."""
    document = orjson.loads((FIXTURES / "resend/webhook_and_send_schemas.json").read_bytes())

    def example(schema: dict[str, Any]) -> Any:
        if "$ref" in schema:
            return example(document["components"]["schemas"][schema["$ref"].rpartition("/")[2]])
        if "allOf" in schema:
            return {name: value for part in schema["allOf"] for name, value in example(part).items()}
        if "const" in schema or "example" in schema:
            return schema.get("const", schema.get("example"))
        if schema.get("type") == "object":
            return {name: example(part) for name, part in schema.get("properties", {}).items()}
        if schema.get("type") == "array":
            return [example(schema["items"])]
        return {"boolean": True, "number": 1, "integer": 1}.get(schema.get("type", ""), "x@y.test")

    content = document["webhooks"][kind]["post"]["requestBody"]["content"]["application/json"]["schema"]
    body = example(content)
    assert body["type"] == kind
    delivery = Delivery(
        id=UUID(int=1),
        workspace_id=UUID(int=2),
        source_id=UUID(int=3),
        source="resend",
        route="webhook",
        trust="signed",
        received_at=RECEIVED,
        body=orjson.dumps(body),
        headers={"svix-id": "msg_1"},
    )
    (fact,) = source("resend").normalise(delivery)
    assert isinstance(fact, Fact), fact
    assert fact.key == "msg_1"
    (state,) = fact.states
    assert (state.kind, state.data["type"]) == (f"resend.{kind.partition('.')[0]}", kind)
    name = {"email.opened": "email_opened", "email.clicked": "email_clicked"}
    assert (fact.event and fact.event.name) == name.get(kind)
