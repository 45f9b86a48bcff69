"""Keys of events that have no id of their own: what was sent twice counts once, what happened twice counts twice."""

import uuid
from datetime import UTC, datetime

import orjson
import pytest

from gdp_core.sources.facts import Delivery, Fact
from gdp_core.sources.generic import normalise

SEAT = {"event": "seat_added", "user_id": "u1"}


def keys(body: object, message: str | None) -> list[str]:
    delivery = Delivery(
        id=uuid.uuid4(),
        workspace_id=uuid.UUID(int=1),
        source_id=uuid.UUID(int=2),
        source="generic",
        route="webhook",
        trust="signed",
        received_at=datetime(2026, 11, 20, tzinfo=UTC),
        body=orjson.dumps(body),
        headers={"webhook-id": message} if message else {},
    )
    return [found.key for found in normalise(delivery) if isinstance(found, Fact)]


@pytest.mark.parametrize(
    ("body", "events"),
    [(SEAT, 1), ({"events": [SEAT]}, 1), ({"events": [SEAT, SEAT]}, 2), ({"events": [SEAT, 7, SEAT]}, 2)],
)
def test_a_message_counts_once_and_each_of_its_events_too(body: dict[str, object], events: int) -> None:
    first, again, later = keys(body, "msg_1"), keys(body, "msg_1"), keys(body, "msg_2")
    assert first == again
    assert len({*first, *later}) == 2 * len(first) == 2 * events


def test_an_event_s_own_id_is_worth_more_than_the_message_s() -> None:
    told = {"events": [SEAT | {"id": "e1"}, SEAT | {"id": "e2"}]}
    assert keys(told, "msg_1") == keys(told, "msg_2") == keys(told, None) == ["e1", "e2"]


def test_without_any_id_the_content_is_the_key() -> None:
    (one,) = keys(SEAT, None)
    assert one.startswith("hash:")
    assert keys({"events": [SEAT, SEAT | {"n": 1}]}, None)[0] == one
