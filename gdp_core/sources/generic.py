"""Signed JSON of any backend: one event, a list of them, or a Standard Webhooks envelope.

    {"event": "deal_stage_changed", "user_id": "u1", "timestamp": "...", "properties": {...}, "traits": {...}}
    {"events": [{...}, {...}]}
    {"type": "booking_created", "timestamp": "...", "data": {"email": "ada@example.org", ...}}

Sales, booking, reply and consent systems need nothing else: their events are simply events. The signature proves the
sender, so the identifiers of one event are joined. What is not a known field of `data` is a property.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from gdp_core.sources import people, web
from gdp_core.sources.base import SigningSecret, Source
from gdp_core.sources.facts import Delivery, EventFact, Fact, Json, Reject, body_key, fingerprint
from gdp_core.sources.payload import Unusable, as_object, read, states, unreadable
from gdp_core.sources.signatures import standard_webhooks

CHANNELS = ("web", "app", "email", "meta", "sms", "sales", "custom")

_SALES = ("deal_", "booking_", "meeting_", "reply_", "call_")
_FIELDS = frozenset(
    """event name type user_id userId anonymous_id anonymousId email phone timestamp occurred_at properties traits value
    currency id channel session_id device_id url referrer user_agent ip""".split()
)


def normalise(delivery: Delivery) -> list[Fact | Reject]:
    """Facts of one signed delivery on `webhook`."""
    try:
        items = _items(read(delivery.body, delivery.headers))
    except Unusable as refusal:
        return unreadable(delivery, refusal)
    place = "" if len(items) == 1 else ":{}"
    return [
        found if isinstance(found, Fact) else replace(found, item=number)
        for number, item in enumerate(items)
        for found in _stated(item, delivery, place.format(number))
    ]


def _stated(item: Json, delivery: Delivery, place: str) -> list[Fact | Reject]:
    return states(delivery, [item], lambda one: _key(one, delivery, place), lambda one: _fact(one, delivery, place))


def _items(payload: Json) -> list[Json]:
    if not isinstance(payload, dict):
        raise Unusable("not_an_object", "The body must be a JSON object.")
    events = payload.get("events")
    if events is None:
        return [payload]
    if not isinstance(events, list):
        raise Unusable("no_batch", '"events" must be a list.')
    return events


def _key(item: Mapping[str, Json], delivery: Delivery, place: str) -> str:
    """The event's own id; else the message's (kept over its retries) and its place in it; else its hash.

    The id inside an envelope's `data` is that of a deal or a booking, not of the event.
    """
    message = people.external_id(delivery.headers.get("webhook-id") or delivery.headers.get("svix-id"))
    return people.external_id(item.get("id")) or (f"{message}{place}" if message else body_key(item))


def _fact(item: dict[str, Any], delivery: Delivery, place: str) -> Fact:
    fields, properties = _opened(item)
    stated = as_object(fields.get("traits"))
    actors = people.believed(
        delivery.trust,
        [
            people.identifier("user", fields.get("user_id") or fields.get("userId")),
            people.identifier("anonymous", fields.get("anonymous_id") or fields.get("anonymousId")),
            people.identifier("email", fields.get("email")),
            people.identifier("phone", fields.get("phone")),
            *people.contacts(stated),
        ],
    )
    timestamp = fields.get("timestamp") or fields.get("occurred_at")
    occurred_at, original_at = web.when(timestamp, None, delivery.received_at)
    contact = {name: fields[name] for name in ("email", "phone") if fields.get(name)}
    traits = people.traits(actors[0], contact | stated)
    return Fact(
        key=_key(item, delivery, place),
        occurred_at=occurred_at,
        original_at=original_at,
        actors=actors,
        hash=fingerprint(item),
        event=_event(fields, properties, only_traits=bool(traits)),
        links=people.joined(delivery.trust, actors),
        traits=traits,
    )


def _opened(item: Mapping[str, Json]) -> tuple[dict[str, Json], dict[str, Json]]:
    """(known fields, properties) of an event, flat or in an envelope."""
    data = item.get("data")
    if not isinstance(data, dict):
        return dict(item), as_object(item.get("properties"))
    # In an envelope `type` names the event; a `name` or `type` inside is the thing's.
    inner = {name: data[name] for name in _FIELDS - {"event", "name", "type", "timestamp", "id"} if name in data}
    rest = {name: value for name, value in data.items() if name not in inner}
    return inner | dict(item), rest | as_object(data.get("properties"))


def _event(fields: Mapping[str, Json], properties: dict[str, Json], *, only_traits: bool) -> EventFact | None:
    """The event, or None for an item that has no name and states traits only."""
    given = fields.get("event") or fields.get("name") or fields.get("type")
    if given is None and only_traits:
        return None
    name = web.event_name(given)
    value_micros, currency = _worth(fields, properties)
    visit, clicks = web.web(
        url=fields.get("url"),
        referrer=fields.get("referrer"),
        user_agent=fields.get("user_agent"),
        ip=fields.get("ip"),
        stated=properties,
    )
    return EventFact(
        name=name,
        type=web.event_type(name, value_micros),
        channel=_channel(name, fields.get("channel")),
        properties=properties,
        metadata=clicks,
        session_id=web.text(fields.get("session_id"), people.MAX_ID),
        device_id=web.text(fields.get("device_id"), people.MAX_ID),
        value_micros=value_micros,
        currency=currency,
        **visit,
    )


def _worth(fields: Mapping[str, Json], properties: Mapping[str, Json]) -> tuple[int | None, str | None]:
    """Here `value` is documented as money, so it counts without a currency too."""
    micros = web.amount(fields.get("value"))
    if micros is None:
        return web.worth(properties)
    return micros, web.currency_code(fields.get("currency"))


def _channel(name: str, stated: Json) -> str:
    if stated in CHANNELS:
        return str(stated)
    return "sales" if name.startswith(_SALES) else "custom"


GUIDE = """\
Send JSON to `{door}/hooks/generic/{key}`, signed as [Standard Webhooks](https://www.standardwebhooks.com) with the
secret above. Name who it is (`user_id`, `email`, `phone` or `anonymous_id`; those sent together become one person) and
what happened.

**Python** (`pip install standardwebhooks httpx`)

```python
import json, uuid
from datetime import datetime, timezone

import httpx
from standardwebhooks import Webhook

body = json.dumps({
    "event": "deal_stage_changed",
    "email": "ada@example.org",
    "timestamp": datetime.now(timezone.utc).isoformat(),
    "properties": {"deal": "d_1", "stage": "won"},
    "value": 1200,
    "currency": "EUR",
})
message_id, sent_at = f"msg_{uuid.uuid4().hex}", datetime.now(timezone.utc)
httpx.post("{door}/hooks/generic/{key}", content=body, headers={
    "content-type": "application/json",
    "webhook-id": message_id,
    "webhook-timestamp": str(int(sent_at.timestamp())),
    "webhook-signature": Webhook("{secret}").sign(message_id, sent_at, body),
})
```

**Node** (`npm install standardwebhooks`)

```js
import { Webhook } from 'standardwebhooks'

const body = JSON.stringify({ event: 'booking_created', user_id: 'user_1', properties: { room: 'A' } })
const id = 'msg_' + crypto.randomUUID()
const sentAt = new Date()
await fetch('{door}/hooks/generic/{key}', {
  method: 'POST',
  body,
  headers: {
    'content-type': 'application/json',
    'webhook-id': id,
    'webhook-timestamp': String(Math.floor(sentAt / 1000)),
    'webhook-signature': new Webhook('{secret}').sign(id, sentAt, body),
  },
})
```

Retry with the same `webhook-id` (or the event's own `id`) and it counts once. Many at a time: `{"events": [...]}`.
"""

GENERIC = Source(
    key="generic",
    title="Any backend (signed JSON)",
    summary="Deals, bookings, replies, consent or anything else, as Standard Webhooks.",
    kind="webhook",
    config=SigningSecret,
    rank=40,
    normalise=normalise,
    guide=GUIDE,
    verify=standard_webhooks,
)
