"""A workspace for somebody who belongs to none: after the demo is removed, nobody is left who could invite them.

Refuses everybody but the first account and, while there is no workspace at all, whoever is signed in. Runs as gdp_gate.
"""

from datetime import datetime
from uuid import UUID, uuid4

from sqlmodel import Session

from gdp_core.accounts.record import memberships
from gdp_core.accounts.roles import Principal, Role
from gdp_core.accounts.sessions import User
from gdp_core.accounts.workspaces import make, valid_slug
from gdp_core.db import Database, one
from gdp_core.errors import Forbidden


def may_found(database: Database, user_id: UUID) -> bool:
    """Whether this user may make a workspace without being asked to by a role."""
    with database.transaction(None, read_only=True) as session:
        return _may_found(session, user_id)


def found(database: Database, user: User, *, slug: str, name: str, ip: str | None, now: datetime) -> UUID:
    """Make a workspace of theirs; they become its owner. Raises InvalidInput, Forbidden."""
    slug = valid_slug(slug)
    workspace_id = uuid4()
    with database.transaction(workspace_id) as session:
        if not _may_found(session, user.id):
            raise Forbidden("Only a member with the role OWNER or ADMIN makes workspaces: ask one for an invitation.")
        founder = Principal(user.id, user.email, workspace_id, Role.OWNER, ip)
        make(session, founder, workspace_id, slug=slug, name=name, now=now)
    return workspace_id


def _may_found(session: Session, user_id: UUID) -> bool:
    if memberships(session, user_id):
        return False
    first = one(session, "SELECT id FROM app_user WHERE disabled_at IS NULL ORDER BY created_at, id LIMIT 1")
    if first is not None and first.id == user_id:
        return True
    return one(session, "SELECT FROM workspace WHERE archived_at IS NULL LIMIT 1") is None
