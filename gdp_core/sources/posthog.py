"""The PostHog capture API in every form its SDKs use, and PostHog's own HTTP webhook destination.

PostHog has one space of distinct ids; here an identified id is a `user` and an id a browser made up is `anonymous`.
Which of the two follows from the event alone (see `_distinct`), never from what arrived before: posthog-js sends
`$identify` at once and anonymous events seconds later. Aliases are symmetric, because the SDKs disagree on which id
comes first. As everywhere, a browser key joins anonymous and user ids only.

`$set`, `$set_once` and `$unset` state traits without an event: nobody did anything, so nobody becomes active by it.
"""

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from gdp_core.sources import people, web
from gdp_core.sources.base import NoConfig, Source
from gdp_core.sources.facts import (
    Delivery,
    EventFact,
    Fact,
    Identifier,
    Json,
    Link,
    Reject,
    Trait,
    Trust,
    body_key,
    fingerprint,
)
from gdp_core.sources.payload import Unusable, as_object, clean, parse, read, read_posthog, states, unreadable

_EVENT_NAME = {
    "$pageview": "page_view",
    "$screen": "screen_view",
    "$identify": "identify",
    "$create_alias": "alias",
    "$merge_dangerously": "alias",
    "$groupidentify": "group",
}
_ALIAS = frozenset(["$create_alias", "$merge_dangerously"])
_TRAITS_ONLY = frozenset(["$set", "$set_once", "$unset"])

# Properties that are columns of the event, say who it was, or describe the SDK's own state.
_NOT_A_PROPERTY = frozenset(
    """token distinct_id alias $set $set_once $unset $anon_distinct_id $user_id $is_identified $process_person_profile
    $current_url $referrer $session_id $device_id $ip $raw_user_agent $useragent $user_agent $lib $lib_version
    $is_server $insert_id $time $sent_at $ignore_sent_at $config_defaults $initialization_time
    $configured_session_timeout_ms $recording_status $lib_custom_api_host $lib_rate_limit_remaining_tokens
    $sdk_dist_channel $geoip_disable $process_person $fbc $fbp""".split()
)
_NOISE = re.compile(r"\$(sdk_debug_|session_entry_|feature_flag_payloads)")
_SERVER_SDK = frozenset(f"posthog-{name}" for name in "python node ruby php go java dotnet elixir rust".split())

_TRANSPORT = frozenset(["sent_at", "offset", "api_key", "token", "$token"])  # may differ between retries of one event
_UUID4, _UUID7 = 4, 7


def token_of(payload: Json) -> str | None:
    """The project token a capture body names; None when it names none, or several (which PostHog refuses too)."""
    holders = [payload] if isinstance(payload, dict) else []
    for event in _events(payload):
        if isinstance(event, dict):
            properties = event.get("properties")
            holders += [event, properties] if isinstance(properties, dict) else [event]
    named = (holder.get(name) for holder in holders for name in ("api_key", "token", "$token"))
    tokens = {token for token in named if isinstance(token, str) and token}
    return tokens.pop() if len(tokens) == 1 else None


def event_ids(payload: Json) -> list[str]:
    """The uuid of each event that has one, in order: the v1 reply names them."""
    events = (event for event in _events(payload) if isinstance(event, dict))
    return [event["uuid"] for event in events if isinstance(event.get("uuid"), str)]


def normalise(delivery: Delivery) -> list[Fact | Reject]:
    """Facts of one request on `posthog/{batch,capture,e,v0,v1}`, or of the destination's `webhook`."""
    try:
        if delivery.route == "webhook":
            event, person = _relayed(delivery)
            return states(delivery, [event], _key, lambda event: _fact(event, delivery, None, person))
        payload = read_posthog(delivery.body, delivery.headers, delivery.query)
        events = _events(payload)
        if not events:
            raise Unusable("no_batch", 'The body must be an event, a list of events or an object with a "batch".')
    except Unusable as refusal:
        return unreadable(delivery, refusal)
    sent_at = _sent_at(payload, delivery)
    return states(delivery, events, _key, lambda event: _fact(event, delivery, sent_at, {}))


def _events(payload: Json) -> list[Json]:
    if isinstance(payload, list):
        return payload
    if not isinstance(payload, dict):
        return []
    batch = payload.get("batch")
    return batch if isinstance(batch, list) else [payload] if "event" in payload else []


def _sent_at(payload: Json, delivery: Delivery) -> Json:
    """When the batch left: in the body (v1 says created_at), else posthog-js' `_` in milliseconds."""
    body = payload if isinstance(payload, dict) else {}
    return body.get("sent_at") or (body.get("created_at") if "batch" in body else None) or delivery.query.get("_")


def _relayed(delivery: Delivery) -> tuple[Json, dict[str, Json]]:
    """The event and the person of a destination's body; templates send either of them as text or as an object."""
    body = read(delivery.body, delivery.headers)
    if not isinstance(body, dict):
        raise Unusable("not_an_object", "The body must be a JSON object.")
    event = _unwrapped(body.get("event"))
    if not isinstance(event, dict):
        raise Unusable("no_event", 'The body must hold the event under "event".')
    return event, as_object(clean(_unwrapped(body.get("person"))))


def _unwrapped(value: Json) -> Json:
    return parse(value.encode()) if isinstance(value, str) and value.strip() else value


def _content(event: Mapping[str, Json]) -> dict[str, Json]:
    return {name: value for name, value in event.items() if name not in _TRANSPORT}


def _key(event: Mapping[str, Json]) -> str:
    return people.external_id(event.get("uuid")) or body_key(_content(event))


def _fact(event: dict[str, Any], delivery: Delivery, sent_at: Json, person: Mapping[str, Json]) -> Fact:
    properties = as_object(event.get("properties"))
    name = web.event_name(event.get("event"))
    actors, links = _identity(name, event, properties, delivery, person)
    occurred_at, original_at = _when(event, properties, delivery, sent_at)
    return Fact(
        key=_key(event),
        occurred_at=occurred_at,
        original_at=original_at,
        actors=actors,
        hash=fingerprint(_content(event)),
        event=None if name in _TRAITS_ONLY else _event(name, event, properties, delivery),
        links=links,
        traits=_traits(name, actors[0], event, properties, person),
    )


def _when(
    event: Mapping[str, Json], properties: Mapping[str, Json], delivery: Delivery, sent_at: Json
) -> tuple[datetime, datetime | None]:
    ignore = (
        event.get("$ignore_sent_at")
        or properties.get("$ignore_sent_at")
        or as_object(event.get("options")).get("disable_skew_correction")
    )
    timestamp = event.get("timestamp") or properties.get("$time")
    return web.when(
        timestamp,
        None if ignore else event.get("sent_at") or sent_at,
        delivery.received_at,
        offset=event.get("offset"),
    )


def _identity(
    name: str,
    event: Mapping[str, Json],
    properties: Mapping[str, Json],
    delivery: Delivery,
    person: Mapping[str, Json],
) -> tuple[tuple[Identifier, ...], tuple[Link, ...]]:
    """Who an event names, the doer first, and what it joins."""
    doer = _distinct(name, event, properties)
    if not doer:
        raise Unusable("no_identifier", "It names nobody: its distinct_id is missing or means nobody.")
    others = [people.identifier("anonymous", properties.get("$anon_distinct_id"))]
    if doer.namespace == "user" and _from_server(properties) and people.uuid_version(doer.value) == _UUID7:
        others.append(Identifier("anonymous", doer.value))  # the id posthog-js gave a visitor, handed to a backend
    if not _is_nobody(event, properties):
        others += people.contacts(_set(event, properties))
    trust = _trust(delivery)
    links = list(people.joined(trust, people.believed(trust, [doer, *others])))
    if relayed := people.identifier("posthog", person.get("id")):
        links.append(Link(doer, relayed))
    if name in _ALIAS:
        sure = properties.get("$is_identified") is True
        links += _alias(doer, people.external_id(event.get("alias") or properties.get("alias")), sure, trust)
    return people.named(doer, *(one for link in links for one in (link.a, link.b))), tuple(dict.fromkeys(links))


def _distinct(name: str, event: Mapping[str, Json], properties: Mapping[str, Json]) -> Identifier | None:
    """The event's distinct id in the namespace that it alone tells.

    `$identify` and `$is_identified` say user; a personless event, `$is_identified: false`, an id equal to the device's,
    and an UUID a browser did not mark say anonymous; any other, a server's above all, is a user.
    """
    value = people.external_id(event.get("distinct_id")) or people.external_id(properties.get("distinct_id"))
    if not value:
        return None
    identified = properties.get("$is_identified")
    if name == "$identify" or identified is True or properties.get("$user_id") == value:
        return Identifier("user", value)
    made_up = (
        identified is False
        or _personless(event, properties)
        or properties.get("$device_id") == value
        or (not _from_server(properties) and people.uuid_version(value) is not None)
        or (name == "$groupidentify" and people.uuid_version(value) == _UUID4)
    )
    return Identifier("anonymous" if made_up else "user", value)


def _alias(doer: Identifier, other: str | None, sure: bool, trust: Trust) -> list[Link]:
    """Two distinct ids are one person. Each may be a user's or a browser's, so both readings are joined.

    `sure`: the doer is a user and nothing else. With a browser key only across namespaces: it must not join two users.
    """
    if not other or other == doer.value:
        return []
    user, anonymous = Identifier("user", other), Identifier("anonymous", other)
    if doer.namespace == "anonymous":
        return [Link(doer, user, explicit=True)]
    doer_as_anonymous = Identifier("anonymous", doer.value)
    links = [Link(doer, anonymous, explicit=True)]
    if trust != "browser":
        links.append(Link(doer, user, explicit=True))
    if not sure:
        links.append(Link(user if trust == "browser" else doer, doer_as_anonymous, explicit=True))
    return links


def _trust(delivery: Delivery) -> Trust:
    """A destination relays what anybody's browser told PostHog, whatever secret it knocks with."""
    return "browser" if delivery.route == "webhook" else delivery.trust


def _from_server(properties: Mapping[str, Json]) -> bool:
    return properties.get("$is_server") is True or str(properties.get("$lib")) in _SERVER_SDK


def _personless(event: Mapping[str, Json], properties: Mapping[str, Json]) -> bool:
    options = as_object(event.get("options"))
    return properties.get("$process_person_profile") is False or options.get("process_person_profile") is False


def _set(event: Mapping[str, Json], properties: Mapping[str, Json]) -> dict[str, Json]:
    return as_object(properties.get("$set")) | as_object(event.get("$set"))


def _traits(
    name: str,
    of: Identifier,
    event: Mapping[str, Json],
    properties: Mapping[str, Json],
    person: Mapping[str, Json],
) -> tuple[Trait, ...]:
    """Traits from `$set`, `$set_once` and `$unset`, which SDKs put beside the properties or inside them."""
    if _is_nobody(event, properties):
        return ()
    stated = as_object(person.get("properties")) | _set(event, properties)
    if name == "$groupidentify" and properties.get("$group_type") in ("company", "organization", "account"):
        group = as_object(properties.get("$group_set"))
        stated |= {"company": group.get("name"), "group_id": properties.get("$group_key")}
    once = as_object(properties.get("$set_once")) | as_object(event.get("$set_once"))
    removed = [*_list(event.get("$unset")), *_list(properties.get("$unset"))]
    return people.traits(of, stated, once, removed)


def _event(name: str, event: Mapping[str, Json], properties: Mapping[str, Json], delivery: Delivery) -> EventFact:
    public_name = _EVENT_NAME.get(name, name)
    value_micros, currency = web.worth(properties)
    from_server = _from_server(properties)
    direct = delivery.trust == "browser" and delivery.route != "webhook" and not from_server
    browser = delivery.headers if direct else {}
    visit, clicks = web.web(
        url=properties.get("$current_url"),
        referrer=properties.get("$referrer"),
        user_agent=_first(properties, "$raw_user_agent", "$user_agent", "$useragent") or browser.get("user-agent"),
        ip=properties.get("$ip") or browser.get(web.CLIENT_IP),
        stated=properties,
    )
    in_page = properties.get("$lib") == "web" or (not from_server and bool(visit["url"]))
    return EventFact(
        name=public_name,
        type=web.event_type(public_name, value_micros),
        channel="web" if in_page else "app",
        properties={key: value for key, value in properties.items() if _is_property(key, value)},
        metadata=_metadata(event, properties) | clicks,
        session_id=web.text(event.get("session_id") or properties.get("$session_id"), people.MAX_ID),
        device_id=web.text(properties.get("$device_id"), people.MAX_ID),
        value_micros=value_micros,
        currency=currency,
        **visit,
    )


def _is_property(key: str, value: Json) -> bool:
    known = key in _NOT_A_PROPERTY or key in web.CAMPAIGN_NAMES
    return value is not None and not known and not _NOISE.match(key)


def _metadata(event: Mapping[str, Json], properties: Mapping[str, Json]) -> dict[str, Json]:
    library = "/".join(str(part) for part in (properties.get("$lib"), properties.get("$lib_version")) if part)
    cookies = {name: properties[f"${name}"] for name in ("fbc", "fbp") if isinstance(properties.get(f"${name}"), str)}
    personless = {"personless": True} if _is_nobody(event, properties) else {}
    return cookies | ({"library": library} if library else {}) | personless


def _is_nobody(event: Mapping[str, Json], properties: Mapping[str, Json]) -> bool:
    """No person may come of it: PostHog said so, or a server named a group under a random id."""
    distinct = people.external_id(event.get("distinct_id")) or ""
    of_group = event.get("event") == "$groupidentify" and people.uuid_version(distinct) == _UUID4
    return _personless(event, properties) or of_group


def _first(properties: Mapping[str, Json], *names: str) -> Json:
    return next((properties[name] for name in names if properties.get(name)), None)


def _list(value: Json) -> list[Json]:
    return value if isinstance(value, list) else list(value) if isinstance(value, dict) else []


GUIDE = """\
PostHog's own SDKs work unchanged: give them this address and key. Use a **server key** in backend code and a
**browser key** in pages and apps.

**Browser** (`npm install posthog-js`)

```js
import posthog from 'posthog-js'

posthog.init('{key}', { api_host: '{door}', person_profiles: 'identified_only' })
posthog.identify('user_1', { email: 'ada@example.org' })
posthog.capture('signup_completed', { plan: 'pro' })
```

**Node** (`npm install posthog-node`)

```js
import { PostHog } from 'posthog-node'

const posthog = new PostHog('{key}', { host: '{door}' })
posthog.identify({ distinctId: 'user_1', properties: { email: 'ada@example.org' } })
posthog.capture({ distinctId: 'user_1', event: 'order_completed', properties: { revenue: 39.95, currency: 'USD' } })
await posthog.shutdown()
```

**Python** (`pip install posthog`)

```python
from posthog import Posthog

posthog = Posthog("{key}", host="{door}")
posthog.set(distinct_id="user_1", properties={"email": "ada@example.org"})
posthog.capture("order_completed", distinct_id="user_1", properties={"revenue": 39.95, "currency": "USD"})
posthog.shutdown()
```

**Already on PostHog?** Add a destination *HTTP Webhook* with the URL `{door}/hooks/posthog/{key}`, method POST and the
default body; what PostHog receives arrives here too.
"""

POSTHOG = Source(
    key="posthog",
    title="PostHog SDKs and destination",
    summary="Product events through the PostHog capture API, or forwarded by PostHog.",
    kind="tracking",
    config=NoConfig,
    rank=10,
    normalise=normalise,
    guide=GUIDE,
)
