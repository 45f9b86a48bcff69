"""The audit log: who changed what, when and from where, written in the transaction that changes it.

Rows are append-only and chained by hash within a workspace, so that altering or removing one shows. Values before and
after a change are kept as keyed digests only. Refuses to record outside a workspace.

What happens to an account (sign-ins that failed, passwords, sessions) belongs to no workspace; it is recorded in the one
the user enters at sign-in, by `accounts.record`.
"""

import hashlib
from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

import orjson
from sqlmodel import Session

from gdp_core import vault
from gdp_core.accounts.roles import Principal
from gdp_core.db import one, rows, run, workspace_of

_GENESIS = "0" * 64
_LOCK_SPACE = 0x61756474  # "audt": its own space, so that it never meets the identity lock
_COLUMNS = (
    "workspace_id at user_id user_label action object_kind object_id before_hash after_hash detail ip previous_hash"
).split()
_PAGE = 1000


class Stranger(NamedTuple):
    """Somebody who is not signed in, at an address. Recorded, and allowed nothing."""

    ip: str | None
    user_id: None = None
    label: str = "not signed in"


def audit(
    session: Session,
    principal: Principal | Stranger | None,
    *,
    action: str,
    object_kind: str,
    object_id: object,
    before: object = None,
    after: object = None,
    detail: Mapping[str, Any] | None = None,
    now: datetime,
) -> None:
    """Append one row to the open transaction's workspace; None is the system itself.

    `detail` is shown as it is: ids, names and numbers, never secrets. The workspace's chain stays locked until the
    transaction ends, so audit last.
    """
    workspace_id = workspace_of(session)
    run(
        session,
        "SELECT pg_advisory_xact_lock(:space, hashtext(:workspace))",
        space=_LOCK_SPACE,
        workspace=str(workspace_id),
    )
    last = one(session, "SELECT hash FROM audit_log ORDER BY seq DESC LIMIT 1")
    stored = _text(detail or {})
    row = {
        "workspace_id": workspace_id,
        "at": now,
        "user_id": principal.user_id if principal else None,
        "user_label": principal.label if principal else "system",
        "action": action,
        "object_kind": object_kind,
        "object_id": str(object_id),
        "before_hash": _digest(workspace_id, before),
        "after_hash": _digest(workspace_id, after),
        "detail": stored,
        "ip": principal.ip if principal else None,
        "previous_hash": last.hash if last else _GENESIS,
    }
    names = [*_COLUMNS, "hash"]
    run(
        session,
        f"INSERT INTO audit_log ({', '.join(names)}) VALUES ({', '.join(f':{name}' for name in names)})",
        **row,
        hash=_chained({**row, "detail": orjson.loads(stored)}),
    )


def verify(session: Session) -> int | None:
    """The seq of the first row of the open workspace's log that was altered or follows a missing one; None: intact."""
    previous, seq = _GENESIS, -1
    while True:
        page = rows(
            session,
            f"SELECT seq, hash, {', '.join(_COLUMNS)} FROM audit_log WHERE seq > :seq ORDER BY seq LIMIT :page",
            seq=seq,
            page=_PAGE,
        )
        for row in page:
            values = row._mapping
            if row.previous_hash != previous or row.hash != _chained({name: values[name] for name in _COLUMNS}):
                return int(row.seq)
            previous, seq = row.hash, row.seq
        if len(page) < _PAGE:
            return None


def _digest(workspace_id: UUID, value: object) -> str | None:
    return None if value is None else vault.digest(workspace_id, _text(value)).hex()


def _chained(row: Mapping[str, Any]) -> str:
    return hashlib.sha256(_text({name: row[name] for name in _COLUMNS}).encode()).hexdigest()


def _text(value: object) -> str:
    """Canonical JSON: the same value gives the same text, also after a round trip through jsonb."""
    packed = orjson.dumps(value, default=_plain, option=orjson.OPT_SORT_KEYS | orjson.OPT_UTC_Z)
    return packed.decode().replace("\\u0000", "\\ufffd")


def _plain(value: object) -> object:
    if isinstance(value, set | frozenset):
        return sorted(value)
    if isinstance(value, bytes):
        return value.hex()
    raise TypeError(f"{type(value).__name__} cannot be audited")
