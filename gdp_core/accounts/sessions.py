"""Signed-in browsers: server-side sessions that end by idleness, age, sign-out or a change of role, and the one-time
links that start one without a password.

Every function takes a `Database` (or an open session) that runs as gdp_gate. A cookie's token is never stored.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from uuid import UUID, uuid4

from sqlmodel import Session

from gdp_core.accounts.record import Member, memberships, on_record
from gdp_core.accounts.roles import Principal
from gdp_core.accounts.tokens import hash_of, new_token
from gdp_core.db import Database, one, rows, run
from gdp_core.errors import Forbidden, Unauthorised

IDLE = timedelta(minutes=30)
LONGEST = timedelta(hours=12)
LINK_LASTS = timedelta(hours=24)
_TOUCH_EVERY = timedelta(minutes=1)
_LONGEST_AGENT = 300


@dataclass(frozen=True, slots=True)
class User:
    """Somebody who signs in."""

    id: UUID
    email: str
    name: str
    has_password: bool


@dataclass(frozen=True, slots=True)
class SignedIn:
    """Who a browser is, and where they may go; `memberships` has the workspace they were in last first."""

    session_id: UUID
    user: User
    memberships: tuple[Member, ...]

    def principal(self, slug: str | None = None, *, ip: str | None = None) -> Principal:
        """The person in the workspace of that slug, by default the one they were in last. Raises Forbidden."""
        found = next((member for member in self.memberships if slug in (None, member.slug)), None)
        if found is None:
            raise Forbidden("You are not a member of this workspace: ask one of its owners for an invitation.")
        return Principal(self.user.id, self.user.email, found.workspace_id, found.role, ip)


@dataclass(frozen=True, slots=True)
class OpenSession:
    """One row of the list of a user's own sessions."""

    id: UUID
    created_at: datetime
    last_seen_at: datetime
    user_agent: str | None
    ip: str | None


def current(database: Database, token: str | None, now: datetime, *, touch: bool = False) -> SignedIn | None:
    """Who holds this cookie, read afresh; None when nobody does. `touch`: what they do counts as activity."""
    if not token:
        return None
    with database.transaction(None) as session:
        row = one(
            session,
            "SELECT s.id, s.last_seen_at, u.id AS user_id, u.email, u.name, u.password_hash IS NOT NULL AS has_password"
            " FROM user_session s JOIN app_user u ON u.id = s.user_id"
            " WHERE s.token_hash = :hash AND s.revoked_at IS NULL AND s.expires_at > :now AND s.last_seen_at > :idle"
            " AND u.disabled_at IS NULL",
            hash=hash_of(token),
            now=now,
            idle=now - IDLE,
        )
        if row is None:
            return None
        if touch and now - row.last_seen_at > _TOUCH_EVERY:
            run(session, "UPDATE user_session SET last_seen_at = :now WHERE id = :id", now=now, id=row.id)
        return SignedIn(
            session_id=row.id,
            user=User(row.user_id, row.email, row.name, row.has_password),
            memberships=memberships(session, row.user_id),
        )


def reread(database: Database, signed_in: SignedIn) -> SignedIn:
    """The same session with the user as they are now."""
    with database.transaction(None, read_only=True) as session:
        row = one(
            session,
            "SELECT id, email, name, password_hash IS NOT NULL FROM app_user WHERE id = :id",
            id=signed_in.user.id,
        )
    return replace(signed_in, user=User(*row))


def start(
    database: Database, user_id: UUID, *, how: str, now: datetime, ip: str | None = None, user_agent: str | None = None
) -> str:
    """Sign a user in and return the cookie's token. `how` (password, link, ...) goes into the audit log of the
    workspace they enter. Raises Unauthorised for an account that was switched off.
    """
    token = new_token()
    with on_record(database, user_id) as record:
        session = record.session
        user = one(
            session,
            "UPDATE app_user SET last_sign_in_at = :now, failed_sign_ins = 0, locked_until = NULL"
            " WHERE id = :id AND disabled_at IS NULL RETURNING email",
            now=now,
            id=user_id,
        )
        if user is None:
            raise Unauthorised("This account was switched off: ask an owner of your workspace.")
        session_id = uuid4()
        run(
            session,
            "INSERT INTO user_session (id, token_hash, user_id, created_at, last_seen_at, expires_at, user_agent, ip)"
            " VALUES (:id, :hash, :user, :now, :now, :expires, :agent, :ip)",
            id=session_id,
            hash=token.hash,
            user=user_id,
            now=now,
            expires=now + LONGEST,
            agent=(user_agent or "").replace("\x00", "")[:_LONGEST_AGENT] or None,
            ip=ip,
        )
        run(session, "DELETE FROM user_session WHERE expires_at < :old", old=now - LONGEST)
        record.write(record.themselves(ip=ip), "sign_in", now, object_kind="session", object_id=session_id, how=how)
    return token.text


def end(database: Database, token: str, now: datetime, *, ip: str | None = None) -> None:
    """Sign out; a token nobody holds is no error."""
    who = current(database, token, now)
    if who is not None:
        _end(database, who.user.id, who.session_id, "sign_out", now, ip)


def list_own(database: Database, user_id: UUID, now: datetime) -> list[OpenSession]:
    """A user's own sessions that are still open, latest first."""
    with database.transaction(None, read_only=True) as session:
        found = rows(
            session,
            "SELECT id, created_at, last_seen_at, user_agent, ip FROM user_session WHERE user_id = :user"
            " AND revoked_at IS NULL AND expires_at > :now AND last_seen_at > :idle ORDER BY last_seen_at DESC, id",
            user=user_id,
            now=now,
            idle=now - IDLE,
        )
    return [OpenSession(*row) for row in found]


def end_others(database: Database, signed_in: SignedIn, now: datetime, *, ip: str | None = None) -> int:
    """Sign the user out everywhere but here; how many sessions that ended."""
    with on_record(database, signed_in.user.id) as record:
        ended = revoke_all(record.session, signed_in.user.id, now, keep=signed_in.session_id)
        if ended:
            record.write(record.themselves(ip=ip), "sessions.end", now, ended=ended)
    return ended


def end_one(database: Database, user_id: UUID, session_id: UUID, now: datetime, *, ip: str | None = None) -> None:
    """Sign out one of the user's own sessions."""
    _end(database, user_id, session_id, "sessions.end", now, ip)


def _end(database: Database, user_id: UUID, session_id: UUID, action: str, now: datetime, ip: str | None) -> None:
    with on_record(database, user_id) as record:
        ended = run(
            record.session,
            "UPDATE user_session SET revoked_at = :now WHERE id = :id AND user_id = :user AND revoked_at IS NULL",
            now=now,
            id=session_id,
            user=user_id,
        )
        if ended:
            record.write(record.themselves(ip=ip), action, now, object_kind="session", object_id=session_id)


def revoke_all(session: Session, user_id: UUID, now: datetime, *, keep: UUID | None = None) -> int:
    """End a user's sessions in the open transaction of gdp_gate, except `keep`; how many that were."""
    return run(
        session,
        "UPDATE user_session SET revoked_at = :now"
        " WHERE user_id = :user AND revoked_at IS NULL AND id IS DISTINCT FROM :keep",
        now=now,
        user=user_id,
        keep=keep,
    )


def mint_link(session: Session, user_id: UUID, now: datetime) -> str:
    """The path of a link that signs this user in once, within 24 hours; earlier unused ones stop working."""
    token = new_token()
    run(session, "DELETE FROM sign_in_link WHERE user_id = :user AND used_at IS NULL", user=user_id)
    run(
        session,
        "INSERT INTO sign_in_link (id, token_hash, user_id, created_at, expires_at)"
        " VALUES (:id, :hash, :user, :now, :expires)",
        id=uuid4(),
        hash=token.hash,
        user=user_id,
        now=now,
        expires=now + LINK_LASTS,
    )
    return f"/login/{token.text}"


def peek_link(database: Database, token: str, now: datetime) -> User:
    """Whose link this is, without using it up. Raises Unauthorised."""
    with database.transaction(None, read_only=True) as session:
        return _link_owner(session, token, now)


def use_link(session: Session, token: str, now: datetime) -> User:
    """Use a link up in the open transaction of gdp_gate. Raises Unauthorised, also for the second of two at once."""
    user = _link_owner(session, token, now)
    used = run(
        session,
        "UPDATE sign_in_link SET used_at = :now WHERE token_hash = :hash AND used_at IS NULL",
        now=now,
        hash=hash_of(token),
    )
    if not used:
        raise Unauthorised(_DEAD_LINK)
    return user


_DEAD_LINK = "This link was used already or has expired: make a new one with `python -m jobs user link`."


def _link_owner(session: Session, token: str, now: datetime) -> User:
    row = one(
        session,
        "SELECT u.id, u.email, u.name, u.password_hash IS NOT NULL FROM sign_in_link l JOIN app_user u ON u.id = l.user_id"
        " WHERE l.token_hash = :hash AND l.used_at IS NULL AND l.expires_at > :now AND u.disabled_at IS NULL",
        hash=hash_of(token),
        now=now,
    )
    if row is None:
        raise Unauthorised(_DEAD_LINK)
    return User(*row)
