"""Stripe: webhooks and the objects a backfill lists. The one home of the Stripe SDK, which only the backfill loads.

A delivery becomes one fact (a backfill chunk one per object) that carries the object's snapshot as Stripe wrote it, in
whatever API version; what it means for money and for the timeline is derived in `billing/`, where all versions are
known. JSON is read from the raw bytes, never through the SDK, which knows one version only. Refuses to guess: a type
that is not known is kept as a fact that states nothing.

Routes: `webhook` (a snapshot event; a thin v2 event is parked) and `backfill` ({"object": {...}, "fetched_at": unix},
or "objects": [...]; with "refetch": true the answer to a GET that settles a conflict, which is a fact of its own).
"""

import random
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple
from urllib.parse import quote

import orjson
from pydantic import SecretStr

from gdp_core.errors import NotFound, Unauthorised, Upstream
from gdp_core.sources import people, web
from gdp_core.sources.base import SigningSecret, Source
from gdp_core.sources.facts import (
    Delivery,
    Fact,
    Identifier,
    Json,
    ObjectState,
    Reject,
    Trait,
    fingerprint,
)
from gdp_core.sources.payload import Unusable, as_object, body_digest, read, unreadable, without_nul
from gdp_core.sources.signatures import stripe as verify

FETCHED = -1
"""Rank of an object that was fetched, not sent: what was sent in the same second may be newer, and never is older."""

_CREATED, _CHANGED, _DELETED = 0, 10, 30
_MAX_CHUNK = 256 * 1024 * 1024

# Objects whose versions are kept, by Stripe's `object`.
_KEPT = frozenset(
    "customer subscription invoice invoice_payment charge refund dispute discount checkout.session price product coupon"
    " promotion_code".split()
)
_OWNERLESS = frozenset({"price", "product", "coupon", "promotion_code"})

# How far along an object is: what tells two snapshots of the same second apart.
_PROGRESS: Mapping[str, Mapping[str, int]] = {
    "invoice": {"open": 1, "uncollectible": 2, "paid": 3, "void": 3},
    "subscription": {"trialing": 1, "active": 2, "past_due": 2, "unpaid": 2, "paused": 2, "canceled": 3},
    "checkout.session": {"complete": 1, "expired": 1},
    "dispute": {"won": 1, "lost": 1, "warning_closed": 1},
    "refund": {"succeeded": 1, "failed": 2, "canceled": 2},
}

_PERSON_KEYS = ("person_id", "personId")
_USER_KEYS = ("user_id", "userId")
_ANONYMOUS_KEYS = ("anonymous_id", "anonymousId", "ajs_anonymous_id")
_POSTHOG_KEYS = ("posthog_distinct_id", "posthogDistinctId", "distinct_id")
_UUID7 = 7


def normalise(delivery: Delivery) -> list[Fact | Reject]:
    """The facts of a delivery: one for a webhook, one for each object of a backfill chunk."""
    try:
        if delivery.route == "backfill":
            return list(_chunk(read(delivery.body, delivery.headers, _MAX_CHUNK), delivery))
        return [_stated(read(delivery.body, delivery.headers), delivery, 0, _webhook)]
    except Unusable as refusal:
        return unreadable(delivery, refusal)


def who(thing: Mapping[str, Json]) -> tuple[Identifier, ...]:
    """Everyone an object says it is about, the surest first: its customer, ids of ours in it, the e-mail address."""
    is_customer = thing.get("object") == "customer"
    details = as_object(thing.get("customer_details"))
    found = [people.identifier("stripe", thing.get("id") if is_customer else _ref(thing.get("customer")))]
    found.append(people.identifier("user", thing.get("client_reference_id")))
    for metadata in _metadata(thing):
        found += [people.person_or_user(metadata.get(key)) for key in _PERSON_KEYS]
        found += [people.identifier("user", metadata.get(key)) for key in _USER_KEYS]
        found += [people.identifier("anonymous", metadata.get(key)) for key in _ANONYMOUS_KEYS]
        found += [_distinct(metadata.get(key)) for key in _POSTHOG_KEYS]
    addresses = (thing.get("email") if is_customer else None, details.get("email"), thing.get("customer_email"))
    found += [people.identifier("email", address) for address in addresses]
    return tuple(dict.fromkeys(one for one in found if one))


def _metadata(thing: Mapping[str, Json]) -> Iterator[dict[str, Json]]:
    """Its own metadata, and for an invoice its subscription's (in `parent` since 2025-03-31)."""
    yield as_object(thing.get("metadata"))
    yield as_object(as_object(as_object(thing.get("parent")).get("subscription_details")).get("metadata"))
    yield as_object(as_object(thing.get("subscription_details")).get("metadata"))


def _distinct(value: Json) -> Identifier | None:
    """A PostHog distinct id: one that posthog-js made up is a UUID of version 7, any other is a user's."""
    identifier = people.identifier("user", value)
    made_up = identifier is not None and people.uuid_version(identifier.value) == _UUID7
    return identifier._replace(namespace="anonymous") if identifier and made_up else identifier


def _stated(
    item: Json, delivery: Delivery, position: int, state: Callable[[dict[str, Any], Delivery], Fact]
) -> Fact | Reject:
    try:
        plain = _plain(item)
        if not isinstance(plain, dict):
            raise Unusable("not_an_object", "A Stripe event must be a JSON object.")
        return state(plain, delivery)
    except Unusable as refusal:
        return Reject(f"{body_digest(delivery)}:{position}", refusal.code, str(refusal), position)


def _plain(value: Json, depth: int = 64) -> Json:
    """A copy that Postgres takes (no U+0000). Raises Unusable beyond 64 levels; Stripe's own stay below 15."""
    if isinstance(value, str):
        return without_nul(value)
    if not isinstance(value, dict | list):
        return value
    if depth == 0:
        raise Unusable("too_deep", "It is nested deeper than 64 levels, so it is not Stripe's.")
    if isinstance(value, list):
        return [_plain(element, depth - 1) for element in value]
    return {without_nul(key): _plain(element, depth - 1) for key, element in value.items()}


def _webhook(event: dict[str, Any], delivery: Delivery) -> Fact:
    key = people.external_id(event.get("id"))
    kind = web.text(event.get("type"))
    if not key or not kind:
        raise Unusable("not_an_event", 'A Stripe event has an "id" and a "type".')
    occurred_at, original_at = web.when(event.get("created"), None, delivery.received_at)
    if event.get("object") == "v2.core.event":
        return Fact(key, occurred_at, _related(event), fingerprint(event), original_at)
    data = as_object(event.get("data"))
    thing = as_object(data.get("object"))
    if kind.endswith(".deleted") and thing.get("object") != "subscription":
        thing = thing | {"deleted": True}
    actors = who(thing)
    return Fact(
        key=key,
        occurred_at=occurred_at,
        original_at=original_at,
        actors=actors,
        hash=fingerprint({name: event[name] for name in event if name != "pending_webhooks"}),
        links=people.joined("signed", actors) if actors else (),
        traits=_traits(actors, thing, as_object(data.get("previous_attributes"))),
        states=(*_states(thing), *_failure(kind, thing)),
        rank=_rank(kind, thing),
    )


def _related(event: Mapping[str, Json]) -> tuple[Identifier, ...]:
    related = as_object(event.get("related_object"))
    customer = people.identifier("stripe", related.get("id")) if related.get("type") == "customer" else None
    return (customer,) if customer else ()


def _chunk(chunk: Json, delivery: Delivery) -> Iterator[Fact | Reject]:
    if not isinstance(chunk, dict):
        raise Unusable("not_an_object", 'A backfill chunk is an object with "object" and "fetched_at".')
    fetched_at, _ = web.when(chunk.get("fetched_at"), None, delivery.received_at)
    refetch = chunk.get("refetch") is True
    listed = chunk.get("objects")
    for position, thing in enumerate(listed if isinstance(listed, list) else [chunk.get("object")]):
        yield _stated(thing, delivery, position, lambda item, _: _fetched(item, delivery, fetched_at, refetch))


def _fetched(thing: dict[str, Any], delivery: Delivery, fetched_at: datetime, refetch: bool) -> Fact:
    if web.text(thing.get("object")) in ("event", "v2.core.event"):
        return _webhook(thing, delivery)  # the list of events holds what webhooks carry, under the same ids
    object_id = people.external_id(thing.get("id"))
    if not object_id:
        raise Unusable("no_object", 'A fetched object has an "id".')
    content = fingerprint(thing)
    created, _ = web.when(thing.get("created"), None, fetched_at)
    actors = who(thing)
    version = f"refetch:{object_id}:{int(fetched_at.timestamp())}" if refetch else f"backfill:{object_id}:{content}"
    return Fact(
        key=version,
        occurred_at=fetched_at,
        original_at=created if created != fetched_at else None,
        actors=actors,
        hash=content,
        links=people.joined("signed", actors) if actors else (),
        traits=_traits(actors, thing, {}),
        states=_states(thing),
        rank=FETCHED,
    )


def _rank(kind: str, thing: Mapping[str, Json]) -> int:
    """Orders facts of one second: created, then by how far along the object is, then deleted."""
    if kind.endswith(".deleted"):
        return _DELETED
    if kind.endswith(".created"):
        return _CREATED
    progress = _PROGRESS.get(str(thing.get("object")), {}).get(str(thing.get("status")), 0)
    return _CHANGED + progress + (thing.get("payment_status") == "paid")


def _states(thing: dict[str, Any]) -> tuple[ObjectState, ...]:
    """The snapshot, and for a checkout its payment intent, through which a guest's charges find their owner."""
    kind, object_id = web.text(thing.get("object")), people.external_id(thing.get("id"))
    if kind not in _KEPT or not object_id:
        return ()
    if kind in _OWNERLESS:
        return (ObjectState(f"stripe.{kind}", object_id, None, None, thing),)
    owner = object_id if kind == "customer" else _ref(thing.get("customer"))
    if kind == "checkout.session":
        owner = owner or object_id
        intent = _ref(thing.get("payment_intent"))
        link = {"id": intent, "object": "payment_intent", "checkout_session": object_id}
        intents = (ObjectState("stripe.payment_intent", intent, owner, object_id, link),) if intent else ()
        return (ObjectState("stripe.checkout.session", object_id, owner, None, thing), *intents)
    return (ObjectState(f"stripe.{kind}", object_id, owner, _parent(kind, thing), thing),)


def _parent(kind: str, thing: Mapping[str, Json]) -> str | None:
    """What leads to the owner when the object does not name one."""
    if kind in ("refund", "dispute"):
        return _ref(thing.get("charge")) or _ref(thing.get("payment_intent"))
    if kind == "charge":
        return _ref(thing.get("payment_intent"))
    if kind == "invoice_payment":
        return _ref(thing.get("invoice"))
    return _ref(thing.get("subscription")) if kind == "discount" else None


def _failure(kind: str, thing: Mapping[str, Json]) -> tuple[ObjectState, ...]:
    """A failed attempt to pay: the event says so, the snapshot alone does not (an open invoice may be processing)."""
    object_id = people.external_id(thing.get("id"))
    if not object_id:
        return ()
    owner = _ref(thing.get("customer"))
    if kind == "invoice.payment_failed":
        attempt = thing.get("attempt_count") or 1
        details = as_object(as_object(thing.get("parent")).get("subscription_details"))
        data = {
            "invoice": object_id,
            "subscription": _ref(details.get("subscription")) or _ref(thing.get("subscription")),
            "attempt_count": attempt,
            "next_payment_attempt": thing.get("next_payment_attempt"),
            "amount": thing.get("amount_remaining") or thing.get("amount_due"),
            "currency": thing.get("currency"),
        }
        return (ObjectState("stripe.payment_failure", f"{object_id}:{attempt}"[:200], owner, object_id, data),)
    if kind == "checkout.session.async_payment_failed":
        data = {"checkout_session": object_id, "amount": thing.get("amount_total"), "currency": thing.get("currency")}
        return (ObjectState("stripe.payment_failure", object_id, owner or object_id, object_id, data),)
    return ()


def _traits(
    actors: tuple[Identifier, ...], thing: Mapping[str, Json], previous: Mapping[str, Json]
) -> tuple[Trait, ...]:
    """What Stripe's customer record says; what a buyer typed at a checkout only where nothing is known."""
    if not actors:
        return ()
    if thing.get("object") != "customer":
        details = as_object(thing.get("customer_details"))
        return people.traits(actors[0], None, {name: details.get(name) for name in ("email", "name", "phone")})
    stated = {name: thing.get(name) for name in ("email", "name", "phone")}
    removed = [name for name in stated if previous.get(name) and not stated[name]]
    deleted = {"stripe_customer_deleted": True} if thing.get("deleted") is True else {}
    return people.traits(actors[0], stated | deleted, removed=removed)


def _ref(value: Json) -> str | None:
    """The id of an object given by id or expanded."""
    return people.external_id(value.get("id") if isinstance(value, dict) else value)


class Chunk(NamedTuple):
    """One page of a list. Store the objects, then keep `cursor` under `object_type`: that is all it takes to resume."""

    object_type: str
    objects: list[dict[str, Json]]
    cursor: str
    fetched_at: datetime

    def body(self) -> bytes:
        """The body of a delivery on route `backfill`."""
        return orjson.dumps({"objects": self.objects, "fetched_at": int(self.fetched_at.timestamp())})


DONE = "done"
"""The cursor of a list that has been read to its end."""

# What is listed, in this order: the catalogue first, so that prices are known when subscriptions arrive. Lists leave
# out tiers, coupons and payments unless asked; an expand path may have four segments at most.
_LISTS: Mapping[str, tuple[str, Mapping[str, Json]]] = {
    "products": ("/v1/products", {}),
    "prices": ("/v1/prices", {"expand": ["data.tiers", "data.currency_options"]}),
    "coupons": ("/v1/coupons", {"expand": ["data.applies_to", "data.currency_options"]}),
    "customers": ("/v1/customers", {"expand": ["data.discount.source.coupon"]}),
    "subscriptions": ("/v1/subscriptions", {"status": "all", "expand": ["data.discounts.source.coupon"]}),
    "invoices": ("/v1/invoices", {"expand": ["data.payments"]}),
    "charges": ("/v1/charges", {}),
    "refunds": ("/v1/refunds", {}),
    "disputes": ("/v1/disputes", {}),
    "checkout_sessions": ("/v1/checkout/sessions", {}),
    "events": ("/v1/events", {}),  # Stripe keeps 30 days
}
OBJECT_TYPES = tuple(_LISTS)
_OF_PRICES = ("data.price.tiers", "data.price.currency_options")

_LIST_OF = {
    "stripe.product": "products",
    "stripe.price": "prices",
    "stripe.coupon": "coupons",
    "stripe.customer": "customers",
    "stripe.subscription": "subscriptions",
    "stripe.invoice": "invoices",
    "stripe.charge": "charges",
    "stripe.refund": "refunds",
    "stripe.dispute": "disputes",
    "stripe.checkout.session": "checkout_sessions",
}

Get = Callable[[str, Mapping[str, Json]], dict[str, Any]]

_PAGE = 100
_ATTEMPTS = 8
_LONGEST_WAIT = 60.0


@dataclass(slots=True)
class Account:
    """A Stripe account to read from. Stripe allows 25 requests a second on one endpoint."""

    api_key: SecretStr
    base_url: str = "https://api.stripe.com"
    per_second: float = 25.0
    sleep: Callable[[float], None] = time.sleep
    monotonic: Callable[[], float] = time.monotonic
    _free_at: float = field(default=float("-inf"), init=False)

    def pace(self) -> None:
        """Wait until the next request is allowed."""
        wait = self._free_at - self.monotonic()
        if wait > 0:
            self.sleep(wait)
        self._free_at = max(self._free_at, self.monotonic()) + 1 / self.per_second


def backfill(
    account: Account,
    cursors: Mapping[str, str],
    now: Callable[[], datetime],
    *,
    since: datetime | None = None,
    object_types: tuple[str, ...] = OBJECT_TYPES,
) -> Iterator[Chunk]:
    """Everything Stripe holds, newest first per type, page by page; `cursors` says where to go on.

    A page that is yielded twice (after a crash between storing and keeping the cursor) states the same facts. `since`
    leaves out objects made before. Raises Unauthorised for a key Stripe refuses, Upstream when it stays unreachable.
    """
    with _reader(account) as get:
        for object_type in object_types:
            path, options = _LISTS[object_type]
            if since is not None:
                options = {**options, "created": {"gte": int(since.timestamp())}}
            cursor = cursors.get(object_type)
            while cursor != DONE:
                fetched_at = now()  # before asking: what happens meanwhile is newer
                after = {"starting_after": cursor} if cursor else {}
                page = get(path, {"limit": _PAGE, **options, **after})
                objects = [thing for thing in page.get("data") or [] if isinstance(thing, dict) and thing.get("id")]
                cursor = str(objects[-1]["id"]) if page.get("has_more") is True and objects else DONE
                if object_type == "events":
                    objects = [event for event in objects if _subject(event) in _KEPT]
                elif object_type == "subscriptions":
                    objects = [_with_items(thing, get) for thing in objects]
                yield Chunk(object_type, objects, cursor, fetched_at)


def refetch(account: Account, kind: str, object_id: str, now: Callable[[], datetime]) -> bytes:
    """The body of a `backfill` delivery that settles what an object is now (rows with `needs_refetch`).

    `kind` as in states: stripe.subscription, stripe.invoice, ... Raises NotFound for a kind that cannot be asked for,
    else as `backfill`.
    """
    listed = _LIST_OF.get(kind)
    if listed is None:
        raise NotFound(f"A {kind} cannot be fetched from Stripe by itself.")
    path, options = _LISTS[listed]
    expand = [str(field).removeprefix("data.") for field in options.get("expand", ())]
    if listed == "subscriptions":
        expand += [f"items.{field}" for field in _OF_PRICES]  # its list may not be asked: that is five segments
    fetched_at = now()
    with _reader(account) as get:
        thing = get(f"{path}/{quote(object_id, safe='')}", {"expand": expand} if expand else {})
        if listed == "subscriptions":
            thing = _with_items(thing, get)
    return orjson.dumps({"object": thing, "fetched_at": int(fetched_at.timestamp()), "refetch": True})


@contextmanager
def _reader(account: Account) -> Iterator[Get]:
    """GETs that are paced and tried again, over one connection."""
    import stripe  # 0.5 s and 60 MB that the door and the worker do not need

    http = stripe.RequestsClient(timeout=(10, 80))
    client = stripe.StripeClient(
        account.api_key.get_secret_value(),
        base_addresses={"api": account.base_url.rstrip("/")},
        max_network_retries=0,
        http_client=http,
    )
    try:
        yield lambda path, params: _get(account, path, lambda: client.raw_request("get", path, **params).body)
    finally:
        http.close()  # type: ignore[no-untyped-call]


def _subject(event: Mapping[str, Json]) -> str | None:
    return web.text(as_object(as_object(event.get("data")).get("object")).get("object"))


def _with_items(subscription: dict[str, Json], get: Get) -> dict[str, Json]:
    """A subscription with all its items and the coupons of their discounts, which its list leaves out."""
    listed = as_object(subscription.get("items"))
    stated = listed.get("data")
    items: list[Json] = stated if isinstance(stated, list) else []
    if listed.get("has_more") is not True and not any(as_object(item).get("discounts") for item in items):
        return subscription
    items = []
    params: dict[str, Json] = {"subscription": subscription["id"], "limit": _PAGE}
    params["expand"] = ["data.discounts.source.coupon", *_OF_PRICES]
    while True:
        page = get("/v1/subscription_items", params)
        items += page.get("data", [])
        if page.get("has_more") is not True or not page.get("data"):
            return subscription | {"items": listed | {"data": items, "has_more": False}}
        params["starting_after"] = items[-1]["id"]


def _get(account: Account, path: str, request: Callable[[], str | bytes]) -> dict[str, Any]:
    """One GET, tried again as long as it makes sense: on 429 and 5xx, on a lost connection."""
    import stripe

    for attempt in range(_ATTEMPTS):
        account.pace()
        try:
            return as_object(orjson.loads(request()))
        except (stripe.AuthenticationError, stripe.PermissionError) as error:
            raise Unauthorised(
                f"Stripe refused the key for {path}: set STRIPE_API_KEY to a secret key, or a restricted one that may "
                "read it."
            ) from error
        except (stripe.RateLimitError, stripe.APIConnectionError, stripe.APIError) as error:
            wait = _retry_after(error.headers, attempt)
            if attempt + 1 == _ATTEMPTS:
                raise Upstream(f"Stripe does not answer {path}; run the backfill again to go on.", wait) from error
            account.sleep(wait)
        except stripe.StripeError as error:
            raise Upstream(f"Stripe did not accept the request for {path}: {error.user_message}") from error
    raise AssertionError("the last attempt returns or raises")


def _retry_after(headers: Mapping[str, str] | None, attempt: int) -> float:
    """What Stripe asks for, else twice as long each time; spread, so that two backfills do not march in step."""
    asked = {name.lower(): value for name, value in (headers or {}).items()}.get("retry-after", "")
    if asked.isascii() and asked.isdigit():
        return min(float(asked), _LONGEST_WAIT)
    return min(0.5 * float(2**attempt), _LONGEST_WAIT) * random.uniform(0.5, 1.0)  # noqa: S311 - jitter, not a secret


GUIDE = """\
1. In Stripe open **Developers > Webhooks** and add the endpoint `{door}/hooks/stripe/{key}` with these events:
   `customer.*`, `invoice.*`, `invoice_payment.paid`, `charge.refunded`, `refund.*`, `charge.dispute.*`,
   `checkout.session.*`, `coupon.*`, `price.*`, `product.*`.
2. Copy the signing secret (`whsec_...`) of that endpoint into the form above.
3. Tell Stripe who is buying, so that what they did before they paid is theirs:

**Python** (`pip install stripe`)

```python
import stripe

user_id, anonymous_id = "user_1", "the id your tracking gave the visitor"
client = stripe.StripeClient("sk_...")
client.v1.checkout.sessions.create({
    "mode": "subscription",
    "line_items": [{"price": "price_...", "quantity": 1}],
    "client_reference_id": user_id,
    "metadata": {"anonymous_id": anonymous_id},
    "subscription_data": {"metadata": {"user_id": user_id}},
    "success_url": "https://app.example.com/welcome",
})
```

**Node** (`npm install stripe`)

```js
import Stripe from 'stripe'

const userId = 'user_1', anonymousId = 'the id your tracking gave the visitor'
await new Stripe('sk_...').checkout.sessions.create({
  mode: 'subscription',
  line_items: [{ price: 'price_...', quantity: 1 }],
  client_reference_id: userId,
  metadata: { anonymous_id: anonymousId },
  subscription_data: { metadata: { user_id: userId } },
  success_url: 'https://app.example.com/welcome',
})
```

4. Bring in what happened before: set `STRIPE_API_KEY` to a restricted key that may read, and run
   `python -m jobs backfill stripe --workspace SLUG`. It can be stopped and started again at any time.

Metadata that joins people: `user_id`, `userId`; `person_id`, `personId` (a user id of yours, or the id that a person
has here); `anonymous_id`, `anonymousId`, `ajs_anonymous_id`; `posthog_distinct_id`, `posthogDistinctId`, `distinct_id`.
"""

STRIPE = Source(
    key="stripe",
    title="Stripe",
    summary="Customers, subscriptions, invoices, payments, refunds, disputes and checkouts.",
    kind="webhook",
    config=SigningSecret,
    rank=40,
    normalise=normalise,
    guide=GUIDE,
    verify=verify,
    has_invoices=True,
)
