"""The Audit page: who changed what, newest first."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlmodel import Session

from gdp_core.accounts.roles import Principal, authorise
from gdp_core.db import rows

PAGE = 50


@dataclass(frozen=True, slots=True)
class AuditFilter:
    """Which rows: an action, or everything of its first part ("settings"); a person; times [since, until); what it was
    done to."""

    action: str | None = None
    user: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    of: str | None = None


@dataclass(frozen=True, slots=True)
class AuditRow:
    """One change."""

    seq: int
    at: datetime
    user: str
    action: str
    object_kind: str
    object_id: str
    detail: tuple[tuple[str, str], ...]
    ip: str | None


def read_audit(
    session: Session, principal: Principal, wanted: AuditFilter, before: int | None = None, limit: int = PAGE
) -> list[AuditRow]:
    """The newest changes, or those before a sequence number. Raises Forbidden."""
    authorise(session, principal, "audit.read")
    found = rows(
        session,
        "SELECT seq, at, user_label, action, object_kind, object_id, detail, ip FROM audit_log"
        " WHERE (:action = '' OR action = :action OR action LIKE :part) AND (:user = '' OR user_label = :user)"
        " AND at >= coalesce(CAST(:since AS timestamptz), '-infinity')"
        " AND (:of = '' OR object_id = :of)"
        " AND at < coalesce(CAST(:until AS timestamptz), 'infinity') AND seq < coalesce(CAST(:before AS bigint), :last)"
        " ORDER BY seq DESC LIMIT :limit",
        action=wanted.action or "",
        part=f"{wanted.action or ''}.%",
        user=wanted.user or "",
        since=wanted.since,
        until=wanted.until,
        of=wanted.of or "",
        before=before,
        last=2**62,
        limit=limit,
    )
    return [
        AuditRow(
            row.seq, row.at, row.user_label, row.action, row.object_kind, row.object_id, _pairs(row.detail), row.ip
        )
        for row in found
    ]


def read_choices(session: Session, principal: Principal) -> tuple[list[str], list[str]]:
    """Every action and every person the log names. Raises Forbidden."""
    authorise(session, principal, "audit.read")
    actions = rows(session, "SELECT DISTINCT action FROM audit_log ORDER BY 1")
    users = rows(session, "SELECT DISTINCT user_label FROM audit_log ORDER BY 1")
    return [row.action for row in actions], [row.user_label for row in users]


def _pairs(detail: dict[str, Any]) -> tuple[tuple[str, str], ...]:
    return tuple(
        (name, ", ".join(map(str, value)) if isinstance(value, list) else str(value)) for name, value in detail.items()
    )
