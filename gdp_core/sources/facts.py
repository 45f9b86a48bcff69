"""The language between sources and the pipeline: what was delivered, and the facts it states.

A source is a pure function `normalise(delivery) -> list[Fact | Reject]`: no clock, no database, no network. The same
delivery always gives the same facts, whatever came before it.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, NamedTuple, TypeVar, dataclass_transform
from uuid import UUID

import orjson

Json = Any
Trust = Literal["signed", "server", "browser"]
"""How far a sender is believed: a vendor's signature, a secret server key (imports too), or a key anyone can read."""

Category = Literal["acquisition", "activation", "core_value", "monetization", "retention", "referral"]


_Record = TypeVar("_Record")


@dataclass_transform(frozen_default=True, field_specifiers=(field,))
def record(kind: type[_Record]) -> type[_Record]:
    """A dataclass that the type checker keeps frozen: at run time that made one five times as dear, for every event."""
    return dataclass(slots=True)(kind)


@dataclass(frozen=True, slots=True)
class Delivery:
    """One request as it was received, byte for byte, and what the door knew of it."""

    id: UUID
    workspace_id: UUID
    source_id: UUID
    source: str  # the registry key: stripe, resend, segment, posthog, generic, import, demo
    route: str  # which wire format of that source: "webhook", "v1/batch", "posthog/e", ...
    trust: Trust
    received_at: datetime
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)  # the door's allow-list, lower case
    query: Mapping[str, str] = field(default_factory=dict)


class Identifier(NamedTuple):
    """An external id: namespace is user, anonymous, email, phone, stripe, posthog, meta, resend or a custom word."""

    namespace: str
    value: str


class Link(NamedTuple):
    """Two identifiers of one person. `explicit` when somebody said so (alias), not merely sent both at once."""

    a: Identifier
    b: Identifier
    explicit: bool = False


class Trait(NamedTuple):
    """What is said of a person. `set_once` loses to any `set`; `unset` removes."""

    of: Identifier
    key: str
    value: Json
    op: Literal["set", "set_once", "unset"] = "set"


class ObjectState(NamedTuple):
    """One version of a vendor's object as it was when the fact occurred (a Stripe subscription, a Resend e-mail).

    `owner` is the unit that is derived together (a Stripe customer, an e-mail id); None where the object itself does
    not say (a refund names only its charge: that is its `parent`).
    """

    kind: str  # stripe.subscription, stripe.invoice, resend.email, ...
    id: str
    owner: str | None
    parent: str | None
    data: Mapping[str, Json]


@record
class EventFact:
    """The visible event of a fact, in the names of the schema. Money in micros, `ip` as received."""

    name: str
    type: Literal["PAGE_VIEW", "CONVERSION", "CUSTOM"] = "CUSTOM"
    category: Category | None = None
    channel: str = "web"  # web, app, email, stripe, meta, sms, sales, import, custom
    properties: Mapping[str, Json] = field(default_factory=dict)
    metadata: Mapping[str, Json] = field(default_factory=dict)
    session_id: str | None = None
    device_id: str | None = None
    ip: str | None = None
    user_agent: str | None = None
    referrer: str | None = None
    url: str | None = None
    utm_source: str | None = None
    utm_medium: str | None = None
    utm_campaign: str | None = None
    utm_term: str | None = None
    utm_content: str | None = None
    gclid: str | None = None
    fbclid: str | None = None
    ttclid: str | None = None
    value_micros: int | None = None
    currency: str | None = None
    is_machine: bool = False


@record
class Fact:
    """One thing that happened or was said, once for ever per (workspace, source instance, key)."""

    key: str  # the sender's own id of it, else `body_key(item)`
    occurred_at: datetime  # aware UTC; see `when` for how a sender's clock is corrected
    actors: tuple[Identifier, ...]  # every identifier it names; the first is who did it. Empty: nobody known
    hash: str  # `fingerprint` of the item, so that the same key with another content is noticed
    original_at: datetime | None = None  # the sender's own timestamp where `occurred_at` differs from it
    event: EventFact | None = None
    links: tuple[Link, ...] = ()
    traits: tuple[Trait, ...] = ()
    states: tuple[ObjectState, ...] = ()
    rank: int = 0  # orders facts of one source in the same second (Stripe: created < updated < deleted)


@dataclass(frozen=True, slots=True)
class Reject:
    """An item that states nothing usable; kept with its reason, shown, and retried by a replay."""

    key: str
    code: str  # stable, snake_case: no_identifier, blank_name, bad_timestamp, ...
    reason: str  # one sentence for a person
    item: int = 0  # position in the delivery


def fingerprint(item: Json) -> str:
    """A 32-character hash of the canonical form of an item (keys sorted, so a re-serialised copy is the same)."""
    return hashlib.sha256(orjson.dumps(item, option=orjson.OPT_SORT_KEYS | orjson.OPT_NON_STR_KEYS)).hexdigest()[:32]


def body_key(item: Json) -> str:
    """The key of a fact whose sender gave none."""
    return f"hash:{fingerprint(item)}"
