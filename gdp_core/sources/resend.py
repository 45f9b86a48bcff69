"""Resend's webhooks: what became of each e-mail, and the contacts of its lists.

Every delivery is a version of an e-mail's (contact's, suppression's, domain's) state; opens and clicks are also events
(an unsubscription is a change, so `mail` tells it from all versions). Whose e-mail it is: the tag `person_id`, if it is a version 5 UUID this product's own person (namespace
`person`), else the sender's user id, as is the tag `user_id`; and the recipient's address, when there is one only. The
delivery is signed, so the two are joined. An inbound e-mail (`email.received`) names its sender instead.
"""

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from gdp_core.sources import people, web
from gdp_core.sources.base import SigningSecret, Source
from gdp_core.sources.facts import (
    Delivery,
    EventFact,
    Fact,
    Identifier,
    Json,
    ObjectState,
    Reject,
    Trait,
    body_key,
    fingerprint,
)
from gdp_core.sources.payload import Unusable, as_object, read, states, unreadable
from gdp_core.sources.signatures import standard_webhooks

_ENGAGED = {"email.opened": "email_opened", "email.clicked": "email_clicked"}


def normalise(delivery: Delivery) -> list[Fact | Reject]:
    """The one fact of a signed delivery on `webhook`."""
    try:
        payload = read(delivery.body, delivery.headers)
    except Unusable as refusal:
        return unreadable(delivery, refusal)
    return states(delivery, [payload], lambda item: _key(item, delivery), lambda item: _fact(item, delivery))


def _key(payload: Mapping[str, Json], delivery: Delivery) -> str:
    sent = delivery.headers.get("svix-id") or delivery.headers.get("webhook-id")
    return people.external_id(sent) or body_key(payload)


def _fact(payload: dict[str, Any], delivery: Delivery) -> Fact:
    kind, data = web.text(payload.get("type")), payload.get("data")
    if not kind or not isinstance(data, dict):
        raise Unusable("not_an_event", 'A Resend delivery has a "type" and an object under "data".')
    occurred_at, original_at = web.when(payload.get("created_at"), None, delivery.received_at)
    family = kind.partition(".")[0]
    actors = recipients(kind, data) if family == "email" else contact(family, data)
    return Fact(
        key=_key(payload, delivery),
        occurred_at=occurred_at,
        original_at=original_at,
        actors=actors,
        hash=fingerprint(payload),
        event=_event(kind, data),
        links=people.joined("signed", actors) if actors else (),
        traits=_traits(kind, actors, data),
        states=_states(kind, family, payload, data),
    )


def recipients(kind: str, data: Mapping[str, Json]) -> tuple[Identifier, ...]:
    """Whose e-mail it is: the tagged person or user first, then the only address it went to."""
    tags = _tags(data)
    addresses = data.get("from") if kind == "email.received" else data.get("to")
    listed = addresses if isinstance(addresses, list) else [addresses]
    candidates = [
        people.person_or_user(tags.get("person_id")),
        people.identifier("user", tags.get("user_id")),
        people.identifier("email", listed[0]) if len(listed) == 1 else None,
    ]
    return tuple(dict.fromkeys(candidate for candidate in candidates if candidate))


def contact(family: str, data: Mapping[str, Json]) -> tuple[Identifier, ...]:
    """Whom a contact, or an entry of the suppression list, is about: the address first."""
    contact_id = data.get("id") if family == "contact" else None
    candidates = (people.identifier("email", data.get("email")), people.identifier("resend", contact_id))
    return tuple(candidate for candidate in candidates if candidate)


def _states(kind: str, family: str, payload: Mapping[str, Json], data: Mapping[str, Json]) -> tuple[ObjectState, ...]:
    object_id = people.external_id(data.get("email_id")) if family == "email" else people.external_id(data.get("id"))
    if family == "contact" and not object_id:
        object_id = people.email(data.get("email"))  # contact.topics.updated names the address alone
    if not object_id:
        if family == "email":
            raise Unusable("no_object", "The delivery names no email_id.")
        return ()
    envelope = {"type": kind, "created_at": payload.get("created_at")}
    created = {"email_created_at": data.get("created_at")} if family == "email" else {}
    state = dict(data) | created | envelope
    if family == "email":
        state |= {"tags": _tags(data), "is_machine": _clicked_by_machine(data)}
        if click := _click(data):
            state["click"] = click | {"ipAddress": web.truncated_ip(click.get("ipAddress"))}
    return (ObjectState(f"resend.{family}", object_id, object_id, None, state),)


def _tags(data: Mapping[str, Json]) -> dict[str, Json]:
    """Tags as an object; older deliveries carry a list of name and value."""
    tags = data.get("tags")
    if isinstance(tags, list):
        pairs = (tag for tag in tags if isinstance(tag, dict))
        return {tag["name"]: tag.get("value") for tag in pairs if isinstance(tag.get("name"), str)}
    return as_object(tags)


def _clicked_by_machine(data: Mapping[str, Json]) -> bool:
    return web.is_machine(web.text(_click(data).get("userAgent")))


def _click(data: Mapping[str, Json]) -> dict[str, Json]:
    return as_object(data.get("click"))


def _event(kind: str, data: Mapping[str, Json]) -> EventFact | None:
    return _engagement(_ENGAGED[kind], data) if kind in _ENGAGED else None


def _engagement(name: str, data: Mapping[str, Json]) -> EventFact:
    """An open or a click. An open carries no address and no browser, so nothing tells people from machines: `weak`, which
    is no sign of life."""
    click = _click(data)
    visit, clicks = web.web(url=click.get("link"), user_agent=click.get("userAgent"), ip=click.get("ipAddress"))
    tags = {key: value for key, value in _tags(data).items() if key not in ("person_id", "user_id")}
    properties = _only(data, "email_id", "subject", "broadcast_id") | tags
    if visit["url"]:
        properties |= {"link": visit["url"], "domain": _host(visit["url"])}
    weak = {"weak": True} if name == "email_opened" else {}
    return EventFact(name=name, channel="email", properties=properties, metadata=weak | clicks, **visit)


def _host(url: str) -> str | None:
    try:
        return urlsplit(url).hostname
    except ValueError:
        return None


def _only(data: Mapping[str, Json], *names: str) -> dict[str, Json]:
    return {name: data[name] for name in names if data.get(name)}


def _traits(kind: str, actors: tuple[Identifier, ...], data: Mapping[str, Json]) -> tuple[Trait, ...]:
    if not actors or kind not in ("contact.created", "contact.updated"):
        return ()
    stated = {name: data.get(name) or None for name in ("email", "first_name", "last_name")}
    return people.traits(actors[0], stated)


GUIDE = """\
1. In Resend open **Webhooks** and add the endpoint `{door}/hooks/resend/{key}` with all `email.*` and `contact.*`
   events.
2. Copy the signing secret (`whsec_...`) of that endpoint into the form above.
3. Tag what you send, so that an e-mail finds its person even before the address is known here. A tag may hold letters,
   digits, `_` and `-` only: send ids, never addresses.

**Python** (`pip install resend`)

```python
import resend

resend.Emails.send({
    "from": "Acme <hi@acme.example>",
    "to": ["ada@example.org"],
    "subject": "Welcome",
    "html": "<p>Hello</p>",
    "tags": [{"name": "user_id", "value": "user_1"}, {"name": "campaign_id", "value": "welcome"}],
})
```

**Node** (`npm install resend`)

```js
import { Resend } from 'resend'

await new Resend(process.env.RESEND_API_KEY).emails.send({
  from: 'Acme <hi@acme.example>',
  to: ['ada@example.org'],
  subject: 'Welcome',
  html: '<p>Hello</p>',
  tags: [{ name: 'user_id', value: 'user_1' }, { name: 'campaign_id', value: 'welcome' }],
})
```

Opens are shown and counted, but make nobody active: many mail programs load pictures without anybody looking. Turn
click tracking on in Resend's domain settings for clicks.
"""

RESEND = Source(
    key="resend",
    title="Resend",
    summary="Deliveries, opens, clicks, bounces, complaints and contacts of your e-mail.",
    kind="webhook",
    config=SigningSecret,
    rank=30,
    normalise=normalise,
    guide=GUIDE,
    verify=standard_webhooks,
)
