"""Members of a workspace and invitations to it.

Inviting and listing run as gdp_web; changing a role, removing and joining as gdp_gate, because they end sessions and make
accounts in the same transaction. A workspace never loses its last owner.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID, uuid4

from sqlmodel import Session

from gdp_core.accounts import passwords
from gdp_core.accounts.audit import audit
from gdp_core.accounts.roles import Principal, Role, authorise
from gdp_core.accounts.sessions import revoke_all
from gdp_core.accounts.tokens import hash_of, new_token
from gdp_core.db import Database, one, rows, run
from gdp_core.errors import InvalidInput, NotFound, Unauthorised
from gdp_core.words import one_line

INVITATION_LASTS = timedelta(days=7)
_DEAD = "This invitation was used already, taken back or has expired: ask for a new one."


@dataclass(frozen=True, slots=True)
class MemberRow:
    """One member as the members page shows them."""

    user_id: UUID
    email: str
    name: str
    role: Role
    joined_at: datetime
    last_sign_in_at: datetime | None


@dataclass(frozen=True, slots=True)
class InvitationRow:
    """One invitation that is still open."""

    id: UUID
    email: str
    role: Role
    created_at: datetime
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class Invitation:
    """What the holder of an invitation's link may know."""

    id: UUID
    workspace_id: UUID
    workspace_name: str
    email: str
    role: Role
    has_account: bool


def list_members(session: Session, principal: Principal) -> list[MemberRow]:
    """The members, owners first. Raises Forbidden."""
    authorise(session, principal, "members.read")
    found = rows(
        session,
        "SELECT u.id AS user_id, u.email, u.name, m.role, m.created_at AS joined_at, u.last_sign_in_at FROM membership m"
        " JOIN app_user u ON u.id = m.user_id"
        " ORDER BY array_position(ARRAY['OWNER', 'ADMIN', 'MEMBER', 'VIEWER'], m.role), u.email",
    )
    return [MemberRow(**{**row._mapping, "role": Role(row.role)}) for row in found]


def list_invitations(session: Session, principal: Principal, *, now: datetime) -> list[InvitationRow]:
    """The open invitations, latest first. Raises Forbidden."""
    authorise(session, principal, "members.write")
    found = rows(
        session,
        "SELECT id, email, role, created_at, expires_at FROM invitation"
        " WHERE accepted_at IS NULL AND revoked_at IS NULL AND expires_at > :now ORDER BY created_at DESC, id",
        now=now,
    )
    return [InvitationRow(row.id, row.email, Role(row.role), row.created_at, row.expires_at) for row in found]


def invite(session: Session, principal: Principal, *, email: str, role: Role, now: datetime) -> str:
    """The path of a link by which that person joins within 7 days; an earlier invitation of theirs stops working.

    `email` is normalised already. Raises InvalidInput, Forbidden.
    """
    authorise(session, principal, "members.write")
    if role is Role.OWNER:
        principal.require("owners.write")
    if one(
        session, "SELECT 1 FROM membership m JOIN app_user u ON u.id = m.user_id WHERE u.email = :email", email=email
    ):
        raise InvalidInput(f"{email} is a member already: change their role instead.")
    run(
        session,
        "UPDATE invitation SET revoked_at = :now WHERE email = :email AND accepted_at IS NULL AND revoked_at IS NULL",
        now=now,
        email=email,
    )
    token, invitation_id = new_token(), uuid4()
    run(
        session,
        "INSERT INTO invitation (id, workspace_id, email, role, token_hash, invited_by, created_at, expires_at)"
        " VALUES (:id, :ws, :email, :role, :hash, :by, :now, :expires)",
        id=invitation_id,
        ws=principal.workspace_id,
        email=email,
        role=role,
        hash=token.hash,
        by=principal.user_id,
        now=now,
        expires=now + INVITATION_LASTS,
    )
    audit(
        session,
        principal,
        action="members.invite",
        object_kind="invitation",
        object_id=invitation_id,
        after=email,
        detail={"role": role},
        now=now,
    )
    return f"/invite/{token.text}"


def revoke_invitation(session: Session, principal: Principal, invitation_id: UUID, *, now: datetime) -> None:
    """Take an invitation back. Raises NotFound, Forbidden."""
    authorise(session, principal, "members.write")
    touched = run(
        session,
        "UPDATE invitation SET revoked_at = :now WHERE id = :id AND accepted_at IS NULL AND revoked_at IS NULL",
        now=now,
        id=invitation_id,
    )
    if not touched:
        raise NotFound("This invitation is not open any more.")
    audit(
        session,
        principal,
        action="members.uninvite",
        object_kind="invitation",
        object_id=invitation_id,
        now=now,
    )


def change_role(session: Session, principal: Principal, user_id: UUID, *, role: Role, now: datetime) -> None:
    """Give a member another role; they have to sign in again. Raises NotFound, InvalidInput, Forbidden."""
    held = _locked_role(session, user_id)
    authorise(session, principal, "members.write")
    if Role.OWNER in (held, role):
        principal.require("owners.write")
    if held is role:
        return
    if held is Role.OWNER:
        _keep_an_owner(session)
    run(session, "UPDATE membership SET role = :role WHERE user_id = :user", role=role, user=user_id)
    revoke_all(session, user_id, now)
    audit(
        session,
        principal,
        action="members.write",
        object_kind="user",
        object_id=user_id,
        before=held,
        after=role,
        detail={"from": held, "to": role},
        now=now,
    )


def remove(session: Session, principal: Principal, user_id: UUID, *, now: datetime) -> None:
    """Take a member out of the workspace and end their sessions; anybody may leave themselves.

    Raises NotFound, InvalidInput for the last owner, Forbidden.
    """
    held = _locked_role(session, user_id)
    authorise(session, principal, "overview.read" if principal.user_id == user_id else "members.write")
    if held is Role.OWNER:
        principal.require("owners.write")
        _keep_an_owner(session)
    run(session, "DELETE FROM membership WHERE user_id = :user", user=user_id)
    revoke_all(session, user_id, now)
    audit(
        session,
        principal,
        action="members.remove",
        object_kind="user",
        object_id=user_id,
        before=held,
        detail={"role": held},
        now=now,
    )


def peek_invitation(database: Database, token: str, *, now: datetime) -> Invitation:
    """What a link invites to, without using it up. Raises Unauthorised."""
    with database.transaction(None, read_only=True) as session:
        row = one(
            session,
            "SELECT i.id, i.workspace_id, w.name, i.email, i.role,"
            " EXISTS (SELECT FROM app_user u WHERE u.email = i.email) AS has_account"
            " FROM invitation i JOIN workspace w ON w.id = i.workspace_id"
            " WHERE i.token_hash = :hash AND i.accepted_at IS NULL AND i.revoked_at IS NULL AND i.expires_at > :now"
            " AND w.archived_at IS NULL",
            hash=hash_of(token),
            now=now,
        )
    if row is None:
        raise Unauthorised(_DEAD)
    return Invitation(row.id, row.workspace_id, row.name, row.email, Role(row.role), row.has_account)


def accept_as_new(
    database: Database, token: str, *, name: str, password: str, now: datetime, ip: str | None = None
) -> UUID:
    """Make an account for whoever was invited and join. Raises Unauthorised, InvalidInput for a weak password, and
    InvalidInput when the address has an account: then its owner signs in and uses `accept_for`.
    """
    invitation = peek_invitation(database, token, now=now)
    if invitation.has_account:
        raise InvalidInput("This e-mail address has an account already: sign in with it, then open the link again.")
    stored = passwords.hashed(password, email=invitation.email)
    user_id = uuid4()
    with database.transaction(invitation.workspace_id) as session:
        made = run(
            session,
            "INSERT INTO app_user (id, email, name, password_hash, failed_sign_ins, created_at)"
            " VALUES (:id, :email, :name, :hash, 0, :now) ON CONFLICT (email) DO NOTHING",
            id=user_id,
            email=invitation.email,
            name=one_line(name, 100),
            hash=stored,
            now=now,
        )
        if not made:
            raise Unauthorised(_DEAD)
        _join(session, invitation, user_id, now, ip)
    return user_id


def accept_for(database: Database, invitation: Invitation, user_id: UUID, *, now: datetime, ip: str | None) -> None:
    """Join as the signed-in user whose address was invited. Raises Unauthorised."""
    with database.transaction(invitation.workspace_id) as session:
        _join(session, invitation, user_id, now, ip)


def open_invitations(database: Database, email: str, now: datetime) -> list[Invitation]:
    """Every open invitation of an address that was verified."""
    with database.transaction(None, read_only=True) as session:
        found = rows(
            session,
            "SELECT i.id, i.workspace_id, w.name, i.email, i.role FROM invitation i"
            " JOIN workspace w ON w.id = i.workspace_id"
            " WHERE i.email = :email AND i.accepted_at IS NULL AND i.revoked_at IS NULL AND i.expires_at > :now"
            " AND w.archived_at IS NULL ORDER BY i.created_at, i.id",
            email=email,
            now=now,
        )
    return [
        Invitation(row.id, row.workspace_id, row.name, row.email, Role(row.role), has_account=True) for row in found
    ]


def _join(session: Session, invitation: Invitation, user_id: UUID, now: datetime, ip: str | None) -> None:
    used = run(
        session,
        "UPDATE invitation SET accepted_at = :now WHERE id = :id AND accepted_at IS NULL AND revoked_at IS NULL"
        " AND expires_at > :now",
        now=now,
        id=invitation.id,
    )
    user = one(session, "SELECT email FROM app_user WHERE id = :id AND disabled_at IS NULL", id=user_id)
    if not used or user is None or user.email != invitation.email:
        raise Unauthorised(_DEAD)
    run(
        session,
        "INSERT INTO membership (user_id, workspace_id, role, created_at) VALUES (:user, :ws, :role, :now)"
        " ON CONFLICT DO NOTHING",
        user=user_id,
        ws=invitation.workspace_id,
        role=invitation.role,
        now=now,
    )
    run(session, "UPDATE app_user SET active_workspace_id = :ws WHERE id = :id", ws=invitation.workspace_id, id=user_id)
    audit(
        session,
        Principal(user_id, user.email, invitation.workspace_id, invitation.role, ip),
        action="members.join",
        object_kind="user",
        object_id=user_id,
        detail={"role": invitation.role},
        now=now,
    )


def _locked_role(session: Session, user_id: UUID) -> Role:
    """The member's role, with the whole list of members locked so that two owners cannot demote each other."""
    found = rows(
        session, "SELECT user_id, role FROM membership WHERE workspace_id = app_ws() ORDER BY user_id FOR UPDATE"
    )
    held = next((row.role for row in found if row.user_id == user_id), None)
    if held is None:
        raise NotFound("This person is not a member any more.")
    return Role(held)


def _keep_an_owner(session: Session) -> None:
    owners = one(session, "SELECT count(*) AS n FROM membership WHERE workspace_id = app_ws() AND role = 'OWNER'")
    if owners.n < 2:
        raise InvalidInput("A workspace needs an owner: make somebody else one first.")
