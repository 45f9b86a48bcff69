"""The Segment HTTP tracking API, as Segment's, RudderStack's and analytics.js' clients speak it.

One call or a batch of them becomes facts. `identify`, `group` and `alias` are events too, so that the timeline shows
them; what they say of the person is in the traits. Who is believed: a server key joins user id, anonymous id, e-mail
and phone; a browser key joins anonymous id and user id.

`alias`: a `previousId` may be an anonymous id or an older user id, and the message does not say which. An id that is
the message's own anonymousId is that; any other stands for both, each joined to the user: the reading that is wrong
names nobody, so it joins nobody. A browser key gets the anonymous reading alone, or it could join two users.
"""

from collections.abc import Mapping
from typing import Any

from gdp_core.sources import people, web
from gdp_core.sources.base import NoConfig, Source
from gdp_core.sources.facts import Delivery, EventFact, Fact, Identifier, Json, Link, Reject, body_key, fingerprint
from gdp_core.sources.payload import Unusable, as_object, read, states, unreadable

CALLS = ("track", "identify", "page", "screen", "group", "alias")

_EVENT_NAME = {"page": "page_view", "screen": "screen_view"}
_CAMPAIGN = {
    f"utm_{'campaign' if name == 'name' else name}": name for name in "name source medium term content".split()
}
_TRANSPORT = frozenset(["sentAt", "receivedAt", "writeKey", "_metadata"])  # differ between retries of one message
_MAPPED_CONTEXT = frozenset(
    ["page", "campaign", "traits", "ip", "userAgent", "library", "sessionId", "direct", "externalIds"]
)


def normalise(delivery: Delivery) -> list[Fact | Reject]:
    """Facts of one request on `v1/<call>` or `v1/batch`."""
    try:
        messages = _messages(read(delivery.body, delivery.headers), delivery.route.rpartition("/")[2])
    except Unusable as refusal:
        return unreadable(delivery, refusal)
    return states(delivery, messages, _key, lambda message: _fact(message, delivery))


def _messages(payload: Json, call: str) -> list[Json]:
    """The calls of a request, each with its type, sending time and the batch's defaults filled in."""
    if not isinstance(payload, dict):
        raise Unusable("not_an_object", "The body must be a JSON object.")
    if call != "batch":
        return [payload | {"type": call}]
    batch = payload.get("batch")
    if not isinstance(batch, list):
        raise Unusable("no_batch", 'The body must hold a list under "batch".')
    return [_with_defaults(message, payload) if isinstance(message, dict) else message for message in batch]


def _with_defaults(message: dict[str, Json], batch: Mapping[str, Json]) -> dict[str, Json]:
    context = as_object(batch.get("context")) | as_object(message.get("context"))
    integrations = as_object(batch.get("integrations")) | as_object(message.get("integrations"))
    sent_at = message.get("sentAt") or batch.get("sentAt")
    return message | {"context": context, "integrations": integrations, "sentAt": sent_at}


def _content(message: Mapping[str, Json]) -> dict[str, Json]:
    return {name: value for name, value in message.items() if name not in _TRANSPORT}


def _key(message: Mapping[str, Json]) -> str:
    return people.external_id(message.get("messageId")) or body_key(_content(message))


def _fact(message: dict[str, Any], delivery: Delivery) -> Fact:
    call = message.get("type")
    if call not in CALLS:
        raise Unusable("unknown_type", f"{str(call)[:40]!r} is not a call of the tracking API.")
    context = as_object(message.get("context"))
    actors, links = _alias(message, delivery) if call == "alias" else _named(message, context, delivery)
    occurred_at, original_at = _when(message, delivery)
    return Fact(
        key=_key(message),
        occurred_at=occurred_at,
        original_at=original_at,
        actors=actors,
        hash=fingerprint(_content(message)),
        event=_event(call, message, context, delivery),
        links=links,
        traits=people.traits(actors[0], _traits(call, message, context)),
    )


def _when(message: Mapping[str, Json], delivery: Delivery) -> tuple[Any, Any]:
    """A message that Segment forwards carries both times; its `timestamp` is corrected already."""
    original, timestamp = message.get("originalTimestamp"), message.get("timestamp")
    sent_at = None if original and timestamp else message.get("sentAt")
    return web.when(timestamp or original, sent_at, delivery.received_at)


def _named(
    message: Mapping[str, Json], context: Mapping[str, Json], delivery: Delivery
) -> tuple[tuple[Identifier, ...], tuple[Link, ...]]:
    contact = {} if message.get("type") == "group" else _said(message, context)
    actors = people.believed(
        delivery.trust,
        [
            people.identifier("user", message.get("userId")),
            people.identifier("anonymous", message.get("anonymousId")),
            *people.contacts(contact),
        ],
    )
    return actors, people.joined(delivery.trust, actors)


def _alias(message: Mapping[str, Json], delivery: Delivery) -> tuple[tuple[Identifier, ...], tuple[Link, ...]]:
    previous, anonymous = message.get("previousId"), message.get("anonymousId")
    user = people.identifier("user", message.get("userId"))
    as_anonymous = people.identifier("anonymous", previous or anonymous)
    as_user = people.identifier("user", previous)
    if delivery.trust == "browser" or as_anonymous == people.identifier("anonymous", anonymous):
        as_user = None
    if not user:
        raise Unusable("no_identifier", "An alias needs a userId.")
    actors = people.named(user, as_user, as_anonymous)
    return actors, tuple(Link(user, other, explicit=True) for other in actors[1:])


def _said(message: Mapping[str, Json], context: Mapping[str, Json]) -> dict[str, Json]:
    return as_object(context.get("traits")) | (
        as_object(message.get("traits")) if message.get("type") == "identify" else {}
    )


def _traits(call: str, message: Mapping[str, Json], context: Mapping[str, Json]) -> dict[str, Json]:
    if call == "group":
        group = as_object(message.get("traits"))
        company = {"company": group.get("name"), "industry": group.get("industry")}
        return as_object(context.get("traits")) | company | {"group_id": people.external_id(message.get("groupId"))}
    return _said(message, context)


def _event(call: str, message: Mapping[str, Json], context: Mapping[str, Json], delivery: Delivery) -> EventFact:
    properties = _properties(call, message)
    name = web.event_name(message.get("event")) if call == "track" else _EVENT_NAME.get(call, call)
    value_micros, currency = web.worth(properties) if call == "track" else (None, None)
    visit, clicks = _visit(message, context, delivery)
    return EventFact(
        name=name,
        type=web.event_type(name, value_micros),
        channel=_channel(call, visit["url"], context, delivery),
        properties=properties,
        metadata=_metadata(message, context) | clicks,
        session_id=web.text(context.get("sessionId"), people.MAX_ID),
        device_id=web.text(as_object(context.get("device")).get("id"), people.MAX_ID),
        value_micros=value_micros,
        currency=currency,
        **visit,
    )


def _properties(call: str, message: Mapping[str, Json]) -> dict[str, Json]:
    """What happened; for calls about the person, which traits were said, as their values are kept with the person."""
    if call == "alias":
        return {}
    if call == "identify":
        return {"traits": sorted(key for key, value in as_object(message.get("traits")).items() if value is not None)}
    if call == "group":
        return {"group_id": people.external_id(message.get("groupId"))} | as_object(message.get("traits"))
    stated = {name: message[name] for name in ("name", "category") if call != "track" and message.get(name)}
    return stated | as_object(message.get("properties"))


def _visit(
    message: Mapping[str, Json], context: Mapping[str, Json], delivery: Delivery
) -> tuple[web.Web, dict[str, str]]:
    page, campaign = as_object(context.get("page")), as_object(context.get("campaign"))
    own = as_object(message.get("properties")) if message.get("type") == "page" else {}
    from_browser = delivery.trust == "browser"
    return web.web(
        url=own.get("url") or page.get("url"),
        referrer=own.get("referrer") or page.get("referrer"),
        search=own.get("search") or page.get("search"),
        user_agent=context.get("userAgent") or (delivery.headers.get("user-agent") if from_browser else None),
        ip=context.get("ip") or (delivery.headers.get(web.CLIENT_IP) if from_browser else None),
        stated={column: campaign.get(name) for column, name in _CAMPAIGN.items()} if campaign else None,
    )


def _channel(call: str, url: str | None, context: Mapping[str, Json], delivery: Delivery) -> str:
    library = str(as_object(context.get("library")).get("name", ""))
    in_browser = call == "page" or bool(url) or library in ("analytics.js", "RudderLabs JavaScript SDK")
    if call == "screen":
        return "app"
    return "web" if in_browser or delivery.trust == "browser" else "app"


def _metadata(message: Mapping[str, Json], context: Mapping[str, Json]) -> dict[str, Json]:
    library = as_object(context.get("library"))
    name = "/".join(str(part) for part in (library.get("name"), library.get("version")) if part)
    rest = {key: value for key, value in context.items() if key not in _MAPPED_CONTEXT and value is not None}
    integrations = as_object(message.get("integrations"))
    return rest | ({"library": name} if name else {}) | ({"integrations": integrations} if integrations else {})


GUIDE = """\
Segment's own clients work unchanged: give them this address and key. Use a **server key** where nobody can read it
(backend code) and a **browser key** in pages and apps.

**Browser** (`npm install @segment/analytics-next`)

```js
import { AnalyticsBrowser } from '@segment/analytics-next'

const door = new URL('{door}')
export const analytics = AnalyticsBrowser.load(
  { writeKey: '{key}', cdnSettings: { integrations: { 'Segment.io': { apiKey: '{key}' } } } },
  { integrations: { 'Segment.io': { apiHost: door.host + '/v1', protocol: door.protocol.replace(':', '') } } },
)
analytics.page()
analytics.identify('user_1', { email: 'ada@example.org', firstName: 'Ada' })
analytics.track('signup_completed', { plan: 'pro' })
```

**Node** (`npm install @segment/analytics-node`)

```js
import { Analytics } from '@segment/analytics-node'

const analytics = new Analytics({ writeKey: '{key}', host: '{door}' })
analytics.identify({ userId: 'user_1', traits: { email: 'ada@example.org' } })
analytics.track({ userId: 'user_1', event: 'order_completed', properties: { revenue: 39.95, currency: 'USD' } })
await analytics.closeAndFlush()
```

**Python** (`pip install segment-analytics-python`)

```python
import segment.analytics as analytics

analytics.write_key = "{key}"
analytics.host = "{door}"
analytics.identify("user_1", {"email": "ada@example.org", "firstName": "Ada"})
analytics.track("user_1", "order_completed", {"revenue": 39.95, "currency": "USD"})
analytics.flush()
```

**Anything else**

```sh
curl {door}/v1/track -u '{key}:' -H 'content-type: application/json' \\
  -d '{"userId": "user_1", "event": "signup_completed", "messageId": "a-new-id-each-time"}'
```
"""

SEGMENT = Source(
    key="segment",
    title="Segment and RudderStack SDKs",
    summary="Website, app and backend events through the Segment tracking API.",
    kind="tracking",
    config=NoConfig,
    rank=20,
    normalise=normalise,
    guide=GUIDE,
)
