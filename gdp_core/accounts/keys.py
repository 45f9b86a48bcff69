"""Keys: public ones for browsers, secret ones for servers. Runs as gdp_web.

Every key sends, and only that unless it is given a role: a server key with one also asks and changes what that role may, by
the API, people's addresses included for a Member. A key's text is shown once, when it is made; only its SHA-256 and its first characters are kept.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal
from uuid import UUID, uuid4

from sqlmodel import Session

from gdp_core.accounts.audit import audit
from gdp_core.accounts.roles import Principal, Role, authorise
from gdp_core.accounts.tokens import new_token
from gdp_core.db import one, rows, run
from gdp_core.errors import Forbidden, InvalidInput, NotFound
from gdp_core.words import one_line

Kind = Literal["browser", "server"]
PREFIXES: dict[Kind, str] = {"browser": "gdpb_", "server": "gdps_"}
ROLES = (Role.MEMBER, Role.VIEWER)
"""What a server key may be given."""
_SHOWN = 11
_ORIGIN = re.compile(r"https?://(?:[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?|\[[0-9a-f:]+\])(?::\d{1,5})?")
_LONGEST_OVERLAP = 24 * 30


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key just made; `secret` is never to be had again."""

    id: UUID
    secret: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class KeyRow:
    """One key as the keys page shows it. `role`: what it may ask and change; None: it only sends."""

    id: UUID
    source_id: UUID
    name: str
    kind: Kind
    prefix: str
    allowed_origins: tuple[str, ...]
    created_at: datetime
    last_used_at: datetime | None
    expires_at: datetime | None
    revoked_at: datetime | None
    role: Role | None


def list_keys(session: Session, principal: Principal) -> list[KeyRow]:
    """Every key of the workspace, latest first, revoked ones included. Raises Forbidden."""
    authorise(session, principal, "keys.read")
    found = rows(
        session,
        "SELECT id, source_id, name, kind, prefix, allowed_origins, created_at, last_used_at, expires_at, revoked_at,"
        " role FROM api_key ORDER BY created_at DESC, id",
    )
    return [
        KeyRow(
            **{
                **row._mapping,
                "allowed_origins": tuple(row.allowed_origins),
                "role": Role(row.role) if row.role else None,
            }
        )
        for row in found
    ]


def acting(session: Session, workspace_id: UUID, key_id: UUID, *, ip: str | None) -> Principal:
    """The key as somebody who asks. Raises Forbidden for one that only sends."""
    row = one(
        session,
        "SELECT name, prefix, role FROM api_key WHERE id = :id AND kind = 'server' AND revoked_at IS NULL",
        id=key_id,
    )
    if row is None or row.role is None:
        raise Forbidden("This key only sends: make a server key with a role, on the Keys page or with `key create`.")
    return Principal(None, f"key {row.name} ({row.prefix})", workspace_id, Role(row.role), ip)


def create(
    session: Session,
    principal: Principal,
    *,
    source_id: UUID,
    name: str,
    kind: Kind,
    allowed_origins: Sequence[str] = (),
    role: Role | None = None,
    now: datetime,
) -> NewKey:
    """Make a key of a source. A browser key without origins is accepted from every site, and has no role.

    Raises InvalidInput, NotFound for a source that is not in use, Forbidden.
    """
    authorise(session, principal, "keys.write")
    origins = [_origin(text) for text in allowed_origins]
    if kind == "server" and origins:
        raise InvalidInput("Origins are for browser keys: a server sends none.")
    if role not in (None, *ROLES):
        raise InvalidInput("A key can be a Member or a Viewer, or only send.")
    if not one(session, "SELECT 1 FROM source_instance WHERE id = :id AND archived_at IS NULL", id=source_id):
        raise NotFound("This source is not connected any more.")
    label = one_line(name, 80)
    if not label:
        raise InvalidInput("Give the key a name that says who uses it.")
    chosen = role if kind == "server" else None
    return _insert(session, principal, source_id, label, kind, origins, chosen, "keys.create", now)


def rotate(session: Session, principal: Principal, key_id: UUID, *, overlap_hours: int = 24, now: datetime) -> NewKey:
    """A new key in place of an old one, which works for `overlap_hours` more. Raises NotFound, InvalidInput, Forbidden."""
    authorise(session, principal, "keys.write")
    if not 0 <= overlap_hours <= _LONGEST_OVERLAP:
        raise InvalidInput(f"The old key may live on for 0 to {_LONGEST_OVERLAP} hours.")
    old = one(
        session,
        "UPDATE api_key SET expires_at = least(expires_at, :until) WHERE id = :id AND revoked_at IS NULL"
        " AND (expires_at IS NULL OR expires_at > :now) RETURNING source_id, name, kind, allowed_origins, role",
        until=now + timedelta(hours=overlap_hours),
        id=key_id,
        now=now,
    )
    if old is None:
        raise NotFound("This key does not work any more: make a new one.")
    role = Role(old.role) if old.role else None
    return _insert(session, principal, old.source_id, old.name, old.kind, old.allowed_origins, role, "keys.rotate", now)


def revoke(session: Session, principal: Principal, key_id: UUID, *, now: datetime) -> None:
    """Make a key stop working at once. Raises NotFound, Forbidden."""
    authorise(session, principal, "keys.write")
    if not run(
        session, "UPDATE api_key SET revoked_at = :now WHERE id = :id AND revoked_at IS NULL", now=now, id=key_id
    ):
        raise NotFound("This key was revoked already.")
    audit(session, principal, action="keys.revoke", object_kind="api_key", object_id=key_id, now=now)


def _insert(
    session: Session,
    principal: Principal,
    source_id: UUID,
    name: str,
    kind: Kind,
    origins: list[str],
    role: Role | None,
    action: str,
    now: datetime,
) -> NewKey:
    token, key_id = new_token(PREFIXES[kind]), uuid4()
    run(
        session,
        "INSERT INTO api_key (id, workspace_id, source_id, name, kind, prefix, key_hash, allowed_origins, created_by,"
        " created_at, role) VALUES (:id, :ws, :source, :name, :kind, :prefix, :hash, :origins, :by, :now, :role)",
        id=key_id,
        ws=principal.workspace_id,
        source=source_id,
        name=name,
        kind=kind,
        prefix=token.text[:_SHOWN],
        hash=token.hash,
        origins=origins,
        by=principal.user_id,
        now=now,
        role=role,
    )
    detail = {"name": name, "kind": kind, "source": str(source_id), "role": role}
    audit(session, principal, action=action, object_kind="api_key", object_id=key_id, detail=detail, now=now)
    return NewKey(key_id, token.text)


def _origin(text: str) -> str:
    origin = text.strip().lower().rstrip("/")
    if not _ORIGIN.fullmatch(origin):
        raise InvalidInput("Write an origin like https://www.example.com, without a path.")
    return origin
