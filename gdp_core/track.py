"""Events of Python code that runs inside the installation, straight into the inbox: no HTTP and no key.

    from gdp_core.track import track

    track("acme", "order_completed", user_id="user_1", properties={"revenue": 39.95, "currency": "USD"})

The rules are those of a server key of the Segment API. What breaks them is refused at once, because the caller is here
to hear it. Code on other machines uses a Segment or PostHog SDK; files are for `importer`.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import orjson
from sqlmodel import Session

from gdp_core import clock, events, inbox
from gdp_core.accept import SEGMENT_EVENT_BYTES
from gdp_core.accounts import connections, workspaces
from gdp_core.accounts.roles import Principal
from gdp_core.db import one
from gdp_core.errors import InvalidInput
from gdp_core.ids import time_ordered
from gdp_core.runtime import database
from gdp_core.sources.facts import Delivery, Reject
from gdp_core.sources.payload import TooLarge
from gdp_core.sources.segment import SEGMENT

NAME = "Python"


def track(
    workspace: str,
    event: str,
    *,
    user_id: str | None = None,
    anonymous_id: str | None = None,
    properties: Mapping[str, Any] | None = None,
    traits: Mapping[str, Any] | None = None,
    at: datetime | None = None,
    message_id: str | None = None,
) -> str:
    """Say that somebody did something; it is on disk when this returns. Returns the message id.

    `workspace` is its short name, `at` an aware instant (now, if left out). The same `message_id` counts once for ever;
    left out, each call is an event of its own. Raises InvalidInput, NotFound for the workspace, Unavailable.
    """
    now = clock.now()
    message = message_id or str(uuid4())
    stated = {
        "type": "track",
        "messageId": message,
        "event": event,
        "userId": user_id,
        "anonymousId": anonymous_id,
        "timestamp": _instant(at or now),
        "properties": dict(properties or {}),
        "context": {"traits": dict(traits or {})},
    }
    body = _packed({name: value for name, value in stated.items() if value is not None})
    workspace_id = workspaces.find(database("gdp_gate"), workspace)
    with database("gdp_web").transaction(workspace_id) as session:
        source_id = _source(session, workspace_id, now)
    delivery = Delivery(
        time_ordered(now), workspace_id, source_id, SEGMENT.key, "v1/track", "server", received_at=now, body=body
    )
    for found in SEGMENT.normalise(delivery):
        if isinstance(found, Reject):
            raise InvalidInput(found.reason)
    with database("gdp_worker").transaction(workspace_id) as session:
        events.ensure_partitions(session, "inbox", [now])
        inbox.store(session, delivery)
    return message


def _instant(at: datetime) -> str:
    if at.tzinfo is None:
        raise InvalidInput("Give `at` a time zone: datetime.now(UTC), not datetime.now().")
    return at.astimezone(UTC).isoformat()


def _packed(stated: Mapping[str, Any]) -> bytes:
    try:
        body = orjson.dumps(stated)
    except TypeError as error:
        raise InvalidInput(f"The properties must be plain JSON values: {error}.") from None
    if len(body) > SEGMENT_EVENT_BYTES:
        raise TooLarge(SEGMENT_EVENT_BYTES)
    return body


def _source(session: Session, workspace_id: UUID, now: datetime) -> UUID:
    """The workspace's source of that name, connected at its first event."""
    found = one(
        session,
        "SELECT id FROM source_instance WHERE source = :source AND name = :name AND archived_at IS NULL"
        " ORDER BY created_at, id LIMIT 1",
        source=SEGMENT.key,
        name=NAME,
    )
    if found:
        source_id: UUID = found.id
        return source_id
    who = Principal.system(workspace_id)
    return connections.connect(session, who, source=SEGMENT.key, name=NAME, now=now).id
