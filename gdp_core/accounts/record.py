"""What happens to somebody's account, recorded where those who answer for them look.

An account belongs to no workspace and the audit log to one, so such a row goes to the workspace the user enters at
sign-in. Somebody who is in none leaves no row. Runs as gdp_gate.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlmodel import Session

from gdp_core.accounts.audit import Stranger, audit
from gdp_core.accounts.roles import Principal, Role
from gdp_core.db import Database, one, rows


@dataclass(frozen=True, slots=True)
class Member:
    """A workspace somebody may enter, and their role there."""

    workspace_id: UUID
    slug: str
    name: str
    kind: str  # normal or demo
    role: Role


def memberships(session: Session, user_id: UUID) -> tuple[Member, ...]:
    """The workspaces a user may enter: the one they were in last, then the demo, the oldest first, then by name."""
    found = rows(
        session,
        "SELECT w.id, w.slug, w.name, w.kind, m.role FROM membership m JOIN workspace w ON w.id = m.workspace_id"
        " JOIN app_user u ON u.id = m.user_id WHERE m.user_id = :user AND w.archived_at IS NULL"
        " ORDER BY (w.id = u.active_workspace_id) IS TRUE DESC, w.kind = 'demo' DESC,"
        " CASE w.kind WHEN 'demo' THEN w.created_at END, w.name, w.id",
        user=user_id,
    )
    return tuple(Member(row.id, row.slug, row.name, row.kind, Role(row.role)) for row in found)


@dataclass(frozen=True, slots=True)
class Record:
    """An open transaction about one user, and the log their doings go to."""

    session: Session
    user_id: UUID
    entered: Member | None

    def themselves(self, *, ip: str | None = None) -> Principal | None:
        """The user as the one who acts; None when they are in no workspace."""
        if self.entered is None:
            return None
        email = one(self.session, "SELECT email FROM app_user WHERE id = :id", id=self.user_id).email
        return Principal(self.user_id, email, self.entered.workspace_id, self.entered.role, ip)

    def write(
        self,
        who: Principal | Stranger | None,
        action: str,
        now: datetime,
        *,
        object_kind: str = "user",
        object_id: UUID | None = None,
        **detail: object,
    ) -> None:
        """Record what was done; None for `who` is a command on the server."""
        if self.entered is not None:
            audit(
                self.session,
                who,
                action=action,
                object_kind=object_kind,
                object_id=object_id or self.user_id,
                detail=detail,
                now=now,
            )


@contextmanager
def on_record(database: Database, user_id: UUID) -> Iterator[Record]:
    """One transaction in which something happens to a user's account."""
    with database.transaction(None, read_only=True) as session:
        entered = next(iter(memberships(session, user_id)), None)
    with database.transaction(entered.workspace_id if entered else None) as session:
        yield Record(session, user_id, entered)
