"""Who is to be told of entries and exits: addresses elsewhere, each with a secret that what it is sent is signed with.

Runs as gdp_web; every change is authorised and audited. The secret is shown once, when it is made, and sealed. An
address is one of the internet: what runs beside the product is not for a subscription to reach.
"""

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, get_args
from urllib.parse import urlsplit
from uuid import UUID

from sqlmodel import Session

from gdp_core import vault
from gdp_core.accounts.audit import audit
from gdp_core.accounts.connections import new_secret
from gdp_core.accounts.roles import Principal, authorise
from gdp_core.db import one, rows, run
from gdp_core.errors import Conflict, InvalidInput, NotFound
from gdp_core.ids import time_ordered
from gdp_core.segments.keeping import read_segment
from gdp_core.segments.membership import Kind

MOST = 50
_LONGEST_URL = 2000
_LOCK_SPACE = 0x686F6F6B  # "hook": its own space, so that it never meets another lock
_KINDS: tuple[Kind, ...] = get_args(Kind)


@dataclass(frozen=True, slots=True)
class Subscription:
    """An address that is told of entries, exits or both (`kinds`), of one segment or, None, of every one.

    `position`: the `seq` of the transition up to which it was told.
    """

    id: UUID
    url: str
    segment_id: UUID | None
    kinds: tuple[Kind, ...]
    enabled: bool
    position: int
    created_at: datetime


@dataclass(frozen=True, slots=True)
class NewSubscription:
    """One just made; `secret` is never to be had again."""

    subscription: Subscription
    secret: str = field(repr=False)


_COLUMNS = "id, url, segment_id, kinds, enabled, position, created_at"


def list_subscriptions(session: Session, principal: Principal) -> list[Subscription]:
    """Every subscription, the oldest first. Raises Forbidden."""
    authorise(session, principal, "segments.write")  # the address may hold what only its owner should know
    return [_told(row) for row in rows(session, f"SELECT {_COLUMNS} FROM webhook_subscription ORDER BY id")]


def subscribe(
    session: Session,
    principal: Principal,
    *,
    url: str,
    segment_id: UUID | None,
    kinds: Sequence[str],
    loopback: bool = False,
    now: datetime,
) -> NewSubscription:
    """Tell an address of what happens from now on. `loopback`: it may be one of this machine, and without https.

    Raises InvalidInput, NotFound for a segment that is not there, Conflict when the address is told of the same already,
    Forbidden.
    """
    authorise(session, principal, "segments.write")
    address, chosen = _address(url, loopback=loopback), tuple(kind for kind in _KINDS if kind in kinds)
    if not chosen or set(kinds) - set(_KINDS):
        raise InvalidInput(f"Say of what it is to be told: {' or '.join(_KINDS)}, or both.")
    if segment_id is not None:
        read_segment(session, segment_id)
    run(session, "SELECT pg_advisory_xact_lock(:space, hashtext(app_ws()::text))", space=_LOCK_SPACE)
    again = one(
        session,
        "SELECT id FROM webhook_subscription WHERE url = :url AND kinds = CAST(:kinds AS text[])"
        " AND segment_id IS NOT DISTINCT FROM CAST(:segment AS uuid)",
        url=address,
        kinds=list(chosen),
        segment=segment_id,
    )
    if again is not None:
        raise Conflict(
            f"This address is told of that already, by the subscription {again.id}: delete it first if its secret was lost."
        )
    if one(session, "SELECT count(*) AS n FROM webhook_subscription").n >= MOST:
        raise InvalidInput(f"A workspace keeps at most {MOST} subscriptions: delete one that nobody needs.")
    made, secret = time_ordered(now), new_secret()
    sealed = vault.seal(
        secret, workspace_id=principal.workspace_id, table="webhook_subscription", row_id=made, column="ciphertext"
    )
    row = one(
        session,
        "INSERT INTO webhook_subscription (id, workspace_id, url, segment_id, kinds, ciphertext, enabled, position,"
        " created_at, created_by, updated_at, updated_by) VALUES (:id, app_ws(), :url, :segment, :kinds, :sealed, true,"
        " (SELECT coalesce(max(seq), 0) FROM segment_transition WHERE workspace_id = app_ws()), :now, :user, :now, :user)"
        f" RETURNING {_COLUMNS}",
        id=made,
        url=address,
        segment=segment_id,
        kinds=list(chosen),
        sealed=sealed,
        now=now,
        user=principal.user_id,
    )
    _record(session, principal, made, now, host=urlsplit(address).hostname, kinds=list(chosen))
    return NewSubscription(_told(row), secret)


def unsubscribe(session: Session, principal: Principal, subscription_id: UUID, *, now: datetime) -> None:
    """Tell an address nothing any more. Raises NotFound, Forbidden."""
    authorise(session, principal, "segments.write")
    if not run(session, "DELETE FROM webhook_subscription WHERE id = :id", id=subscription_id):
        raise NotFound("There is no subscription of this id.")
    _record(session, principal, subscription_id, now, deleted=True)


def _told(row: Any) -> Subscription:
    return Subscription(**{**row._mapping, "kinds": tuple(row.kinds)})


def _address(text: str, *, loopback: bool) -> str:
    url = text.strip()
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        host = ""
    if not host or len(url) > _LONGEST_URL or not url.isascii() or not url.isprintable() or " " in url:
        raise InvalidInput("Give an address like https://hooks.example.com/segments.")
    is_local = _is_local(host)
    if is_local and not (loopback and _is_loopback(host)):
        raise InvalidInput("This address is of a private network: give one that can be reached from the internet.")
    if parts.scheme != "https" and not (is_local and parts.scheme == "http"):
        raise InvalidInput("The address must begin with https://.")
    if parts.username is not None or parts.fragment:
        raise InvalidInput("Leave user name, password and # out of the address: what is sent is signed.")
    return url


def _is_local(host: str) -> bool:
    name = host.rstrip(".").lower()
    try:
        return not ipaddress.ip_address(name).is_global
    except ValueError:
        last = name.rpartition(".")[2]
        return "." not in name or last in ("local", "localhost", "internal") or last.isdigit() or last[:2] == "0x"


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _record(session: Session, principal: Principal, subscription_id: UUID, now: datetime, **detail: object) -> None:
    audit(
        session,
        principal,
        action="segments.write",
        object_kind="webhook_subscription",
        object_id=subscription_id,
        detail=detail,
        now=now,
    )
