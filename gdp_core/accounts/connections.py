"""Connected sources and their signing secrets. Runs as gdp_web.

Secrets are sealed to their row and never read back here: the page shows when they were set and until when they count.
"""

import base64
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import orjson
from sqlmodel import Session

from gdp_core import vault
from gdp_core.accounts.audit import audit
from gdp_core.accounts.roles import Principal, authorise
from gdp_core.db import one, rows, run
from gdp_core.errors import InvalidInput, NotFound
from gdp_core.words import one_line

_HOOK_BYTES = 24
_LONGEST_SECRET = 500
_LONGEST_OVERLAP = 24 * 30


@dataclass(frozen=True, slots=True)
class Connection:
    """One connected source. `hook_key` ends its webhook address."""

    id: UUID
    source: str
    name: str
    hook_key: str
    config: Mapping[str, Any]
    created_at: datetime
    archived_at: datetime | None


@dataclass(frozen=True, slots=True)
class SecretRow:
    """When a signing secret was set and until when it counts; None: until it is replaced."""

    id: UUID
    created_at: datetime
    expires_at: datetime | None


def list_connections(session: Session, principal: Principal, *, archived: bool = False) -> list[Connection]:
    """The workspace's sources by name. Without sources.write the addresses' keys are left out. Raises Forbidden."""
    authorise(session, principal, "sources.read")
    found = rows(
        session,
        "SELECT id, source, name, hook_key, config, created_at, archived_at FROM source_instance"
        " WHERE :archived OR archived_at IS NULL ORDER BY name, id",
        archived=archived,
    )
    shown = principal.may("sources.write")
    return [Connection(**{**row._mapping, "hook_key": row.hook_key if shown else ""}) for row in found]


def connect(
    session: Session,
    principal: Principal,
    *,
    source: str,
    name: str,
    config: Mapping[str, Any] | None = None,
    has_invoices: bool = False,
    now: datetime,
) -> Connection:
    """Connect a source, with an address nobody can guess. Raises InvalidInput, Forbidden."""
    authorise(session, principal, "sources.write")
    made = Connection(uuid4(), source, _name(name), secrets.token_urlsafe(_HOOK_BYTES), dict(config or {}), now, None)
    run(
        session,
        "INSERT INTO source_instance (id, workspace_id, source, name, hook_key, config, has_invoices, created_at)"
        " VALUES (:id, :ws, :source, :name, :hook, :config, :invoices, :now)",
        id=made.id,
        ws=principal.workspace_id,
        source=source,
        name=made.name,
        hook=made.hook_key,
        config=orjson.dumps(made.config).decode(),
        invoices=has_invoices,
        now=now,
    )
    _record(session, principal, "sources.connect", made.id, now, source=source, name=made.name)
    return made


def rename(session: Session, principal: Principal, source_id: UUID, *, name: str, now: datetime) -> None:
    """Give a source another name. Raises NotFound, InvalidInput, Forbidden."""
    authorise(session, principal, "sources.write")
    label = _name(name)
    if not run(session, "UPDATE source_instance SET name = :name WHERE id = :id", name=label, id=source_id):
        raise NotFound("This source is not in this workspace.")
    _record(session, principal, "sources.rename", source_id, now, name=label)


def archive(session: Session, principal: Principal, source_id: UUID, *, now: datetime) -> None:
    """Disconnect a source: its address and keys stop working, what it sent stays. Raises NotFound, Forbidden."""
    authorise(session, principal, "sources.write")
    if not run(
        session,
        "UPDATE source_instance SET archived_at = :now WHERE id = :id AND archived_at IS NULL",
        now=now,
        id=source_id,
    ):
        raise NotFound("This source is not connected any more.")
    _record(session, principal, "sources.archive", source_id, now)


def restore(session: Session, principal: Principal, source_id: UUID, *, now: datetime) -> None:
    """Connect an archived source again, with the same address and keys. Raises NotFound, Forbidden."""
    authorise(session, principal, "sources.write")
    if not run(
        session,
        "UPDATE source_instance SET archived_at = NULL WHERE id = :id AND archived_at IS NOT NULL",
        id=source_id,
    ):
        raise NotFound("This source is connected already.")
    _record(session, principal, "sources.restore", source_id, now)


def change_address(session: Session, principal: Principal, source_id: UUID, *, now: datetime) -> str:
    """A new hook_key, for an address that got into wrong hands; the old one stops working. Raises NotFound, Forbidden."""
    authorise(session, principal, "sources.write")
    _connected(session, source_id)
    hook_key = secrets.token_urlsafe(_HOOK_BYTES)
    run(session, "UPDATE source_instance SET hook_key = :hook WHERE id = :id", hook=hook_key, id=source_id)
    _record(session, principal, "sources.address", source_id, now)
    return hook_key


def set_secret(
    session: Session, principal: Principal, source_id: UUID, *, secret: str, overlap_hours: int = 0, now: datetime
) -> UUID:
    """Set the signing secret; the ones before it count for `overlap_hours` more. Raises InvalidInput, NotFound, Forbidden."""
    authorise(session, principal, "sources.write")
    if not 0 <= overlap_hours <= _LONGEST_OVERLAP:
        raise InvalidInput(f"The old secret may count for 0 to {_LONGEST_OVERLAP} hours more.")
    text = secret.strip()
    if not 8 <= len(text) <= _LONGEST_SECRET or not text.isascii() or not text.isprintable():
        raise InvalidInput("Paste the signing secret as the sender shows it: at least 8 printable characters.")
    _connected(session, source_id)
    run(
        session,
        "UPDATE source_secret SET expires_at = :until"
        " WHERE source_id = :source AND (expires_at IS NULL OR expires_at > :until)",
        until=now + timedelta(hours=overlap_hours),
        source=source_id,
    )
    secret_id = uuid4()
    sealed = vault.seal(
        text, workspace_id=principal.workspace_id, table="source_secret", row_id=secret_id, column="ciphertext"
    )
    run(
        session,
        "INSERT INTO source_secret (id, workspace_id, source_id, ciphertext, created_at)"
        " VALUES (:id, :ws, :source, :sealed, :now)",
        id=secret_id,
        ws=principal.workspace_id,
        source=source_id,
        sealed=sealed,
        now=now,
    )
    _record(session, principal, "sources.secret", source_id, now, overlap_hours=overlap_hours)
    return secret_id


def new_secret() -> str:
    """A signing secret nobody can guess, for a sender that takes ours: `whsec_` and 24 random bytes in base64."""
    return f"whsec_{base64.b64encode(secrets.token_bytes(24)).decode()}"


def drop_secret(session: Session, principal: Principal, source_id: UUID, secret_id: UUID, *, now: datetime) -> None:
    """Make one signing secret stop counting at once. Raises NotFound, Forbidden."""
    authorise(session, principal, "sources.write")
    if not run(
        session, "DELETE FROM source_secret WHERE id = :id AND source_id = :source", id=secret_id, source=source_id
    ):
        raise NotFound("This secret does not count any more.")
    _record(session, principal, "sources.secret", source_id, now, dropped=str(secret_id))


def list_secrets(session: Session, principal: Principal, source_id: UUID, *, now: datetime) -> list[SecretRow]:
    """The signing secrets that count now, latest first, without their text. Raises Forbidden."""
    authorise(session, principal, "sources.read")
    found = rows(
        session,
        "SELECT id, created_at, expires_at FROM source_secret"
        " WHERE source_id = :source AND (expires_at IS NULL OR expires_at > :now) ORDER BY created_at DESC, id",
        source=source_id,
        now=now,
    )
    return [SecretRow(*row) for row in found]


def _connected(session: Session, source_id: UUID) -> None:
    if not one(session, "SELECT 1 FROM source_instance WHERE id = :id AND archived_at IS NULL", id=source_id):
        raise NotFound("This source is not connected any more.")


def _record(
    session: Session, principal: Principal, action: str, source_id: UUID, now: datetime, **detail: object
) -> None:
    audit(session, principal, action=action, object_kind="source", object_id=source_id, detail=detail, now=now)


def _name(text: str) -> str:
    name = one_line(text, 80)
    if not name:
        raise InvalidInput("Give the source a name.")
    return name
