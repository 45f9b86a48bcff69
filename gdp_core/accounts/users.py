"""People who sign in: the first owner, passwords, sign-in at an OpenID Connect provider. Runs as gdp_gate.

Refuses to say whether an account exists: an unknown address, a wrong password and a switched-off account look alike and
take as long.
"""

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from sqlmodel import Session

from gdp_core.accounts import passwords
from gdp_core.accounts.audit import Stranger, audit
from gdp_core.accounts.members import accept_for, open_invitations
from gdp_core.accounts.record import Record, memberships, on_record
from gdp_core.accounts.roles import Role
from gdp_core.accounts.sessions import User, mint_link, peek_link, revoke_all, use_link
from gdp_core.accounts.throttle import FORGOTTEN_AFTER, Throttle, delay_after
from gdp_core.accounts.workspaces import insert_workspace
from gdp_core.addresses import counted_as
from gdp_core.db import Database, one, rows, run
from gdp_core.errors import GrowthError, InvalidInput, NotFound, Unauthorised
from gdp_core.words import one_line

FIRST_OWNER = "owner@localhost"
_FREE_PER_ACCOUNT = 5
_FREE_PER_ADDRESS = 50  # an office behind one address
_WRONG = "The e-mail address or the password is wrong."
_FIRST_USER_LOCK = 0x6764705F757372  # "gdp_usr": two first starts at once make one owner
_EMAIL = re.compile(r"[^@\s\x00-\x1f<>,;:\"()\[\]\\]{1,64}@[^@\s\x00-\x1f<>,;:\"()\[\]\\/]{1,190}")

_addresses = Throttle(free=_FREE_PER_ADDRESS)
_strangers = Throttle(free=_FREE_PER_ACCOUNT)


class TooManyAttempts(GrowthError):
    """Too many attempts: wait before the next one."""

    def __init__(self, wait: timedelta) -> None:
        self.retry_after = max(1, int(wait.total_seconds() + 0.999))
        super().__init__(f"Too many attempts: try again in {self.retry_after} seconds.")


@dataclass(frozen=True, slots=True)
class Claims:
    """What a provider vouches for."""

    issuer: str
    subject: str
    email: str | None
    email_verified: bool
    name: str


@dataclass(frozen=True, slots=True)
class Vouched:
    """Whom a provider vouched for. `password_ended`: they had a password that counts no more from now on."""

    user_id: UUID
    password_ended: bool = False


def normal_email(text: str) -> str:
    """An e-mail address as it is stored. Raises InvalidInput."""
    email = text.strip().lower()
    if not _EMAIL.fullmatch(email):
        raise InvalidInput("Write an e-mail address like ann@example.com.")
    return email


def first_start(database: Database, *, now: datetime) -> str | None:
    """The path of a sign-in link for the owner, made with a workspace when there is no user at all yet.

    Safe at every start: each call makes a fresh link, until the owner has a password or signs in through a provider;
    then None. Workspaces nobody is a member of (the demo, those made by a command) get the owner as theirs.
    """
    with database.transaction(None) as session:
        run(session, "SELECT pg_advisory_xact_lock(:key)", key=_FIRST_USER_LOCK)
        owner = one(session, "SELECT id, password_hash FROM app_user ORDER BY created_at, id LIMIT 1")
        owner_id = owner.id if owner else _insert_user(session, FIRST_OWNER, "", now)
        vouched = one(session, "SELECT 1 FROM oauth_account WHERE user_id = :user LIMIT 1", user=owner_id)
        link = None if vouched or (owner and owner.password_hash) else mint_link(session, owner_id, now)
    _adopt(database, owner_id, now, first=owner is None)
    return link


def sign_in_link(database: Database, email: str, *, now: datetime) -> str:
    """The path of a one-time link for that account, made by a command on the server. Raises NotFound."""
    user_id = _known(database, normal_email(email))
    with on_record(database, user_id) as record:
        path = mint_link(record.session, user_id, now)
        record.write(None, "sign_in.link", now)
    return path


def create_user(database: Database, email: str, *, name: str = "", now: datetime) -> UUID:
    """An account without a password, made by a command on the server. Raises InvalidInput when it exists."""
    with database.transaction(None) as session:
        if one(session, "SELECT 1 FROM app_user WHERE email = :email", email=normal_email(email)):
            raise InvalidInput(f"{email} has an account already.")
        return _insert_user(session, normal_email(email), name, now)


def list_users(database: Database) -> list[User]:
    """Every account, in order of address."""
    with database.transaction(None, read_only=True) as session:
        found = rows(session, "SELECT id, email, name, password_hash IS NOT NULL FROM app_user ORDER BY email")
    return [User(*row) for row in found]


def check_password(database: Database, email: str, password: str, *, ip: str | None, now: datetime) -> UUID:
    """The user these belong to. Raises Unauthorised, or TooManyAttempts with the seconds to wait.

    A failure is on record with the account it was about, and how long that has to wait from now on.
    """
    origin = counted_as(ip)
    if origin and (wait := _addresses.attempt(origin, now)):
        raise TooManyAttempts(wait)
    address = email.strip().lower()
    user_id = _user_of(database, address)
    if user_id is None:
        wait = _strangers.attempt(address, now)
        passwords.matches(None, "" if wait else password)
        raise TooManyAttempts(wait) if wait else Unauthorised(_WRONG)
    with on_record(database, user_id) as record:
        user = one(
            record.session,
            "SELECT password_hash, failed_sign_ins, locked_until, disabled_at FROM app_user WHERE id = :id FOR UPDATE",
            id=user_id,
        )
        wait = user.locked_until - now if user.locked_until and user.locked_until > now else timedelta(0)
        welcome = not wait and passwords.matches(user.password_hash, password) and user.disabled_at is None
        if not wait and not welcome:
            _count_failure(record, user, ip, now)
        if welcome and passwords.outdated(user.password_hash):
            renewed = passwords.hashed(password, email=address)
            run(record.session, "UPDATE app_user SET password_hash = :hash WHERE id = :id", hash=renewed, id=user_id)
    if wait:
        raise TooManyAttempts(wait)
    if not welcome:
        raise Unauthorised(_WRONG)
    if origin:
        _addresses.succeeded(origin, now)
    return user_id


def _user_of(database: Database, address: str) -> UUID | None:
    with database.transaction(None, read_only=True) as session:
        found = one(session, "SELECT id FROM app_user WHERE email = :email", email=address.replace("\x00", ""))
    return found.id if found else None


def _count_failure(record: Record, user: Any, ip: str | None, now: datetime) -> None:
    forgotten = user.locked_until is None or user.locked_until + FORGOTTEN_AFTER < now
    failures = 1 if forgotten else user.failed_sign_ins + 1
    delay = delay_after(failures, free=_FREE_PER_ACCOUNT)
    run(
        record.session,
        "UPDATE app_user SET failed_sign_ins = :failures, locked_until = :until WHERE id = :id",
        failures=failures,
        until=now + delay,
        id=record.user_id,
    )
    action = "sign_in.throttled" if delay else "sign_in.failed"
    record.write(Stranger(ip), action, now, failures=failures, wait_seconds=int(delay.total_seconds()))


def enter_by_link(
    database: Database,
    token: str,
    *,
    email: str = "",
    name: str = "",
    password: str = "",
    ip: str | None = None,
    now: datetime,
) -> UUID:
    """Use a one-time link; with an e-mail address, a name or a password the account takes them as its own.

    Raises Unauthorised for a dead link and InvalidInput for what cannot be used, which leaves the link alive.
    """
    with on_record(database, peek_link(database, token, now).id) as record:
        user = use_link(record.session, token, now)
        if not user.has_password:
            address = normal_email(email) if email.strip() else user.email
            taken = one(
                record.session, "SELECT 1 FROM app_user WHERE email = :email AND id <> :id", email=address, id=user.id
            )
            if taken:
                raise InvalidInput("Another account has this e-mail address.")
            if password and address == FIRST_OWNER:
                raise InvalidInput("Write your e-mail address too: you sign in with it.")
            run(
                record.session,
                "UPDATE app_user SET email = :email, name = :name, password_hash = :hash WHERE id = :id",
                email=address,
                name=_name(name) or user.name,
                hash=passwords.hashed(password, email=address) if password else None,
                id=user.id,
            )
            if password or address != user.email:
                record.write(record.themselves(ip=ip), "account.claim", now, password="set" if password else "none")
    return user.id


def set_password(
    database: Database,
    user_id: UUID,
    *,
    current: str,
    new: str,
    keep_session: UUID | None,
    ip: str | None = None,
    now: datetime,
) -> None:
    """Choose a password; `current` is asked for when there is one. Every other session of the user ends.

    Raises Unauthorised for a wrong current password, InvalidInput for a weak new one, TooManyAttempts.
    """
    with database.transaction(None, read_only=True) as session:
        user = one(session, "SELECT email, password_hash FROM app_user WHERE id = :id", id=user_id)
    if user is None:
        raise NotFound("This account does not exist any more.")
    if user.password_hash is not None:
        check_password(database, user.email, current, ip=ip, now=now)
    stored = passwords.hashed(new, email=user.email)
    with on_record(database, user_id) as record:
        ended = _store_password(record.session, user_id, stored, now, keep=keep_session)
        record.write(record.themselves(ip=ip), "password.change", now, sessions_ended=ended)


def reset_password(database: Database, email: str, new: str, *, now: datetime) -> None:
    """Set a password from a command on the server and end every session. Raises NotFound, InvalidInput."""
    address = normal_email(email)
    user_id = _known(database, address)
    stored = passwords.hashed(new, email=address)
    with on_record(database, user_id) as record:
        ended = _store_password(record.session, user_id, stored, now, keep=None)
        record.write(None, "password.reset", now, sessions_ended=ended)


def rename(database: Database, user_id: UUID, name: str) -> None:
    """Change the name others see. Raises InvalidInput."""
    with database.transaction(None) as session:
        run(session, "UPDATE app_user SET name = :name WHERE id = :id", name=_name(name), id=user_id)


def disable(database: Database, email: str, *, now: datetime) -> None:
    """Switch an account off from a command on the server and end its sessions. Raises NotFound."""
    user_id = _known(database, normal_email(email))
    with on_record(database, user_id) as record:
        run(
            record.session,
            "UPDATE app_user SET disabled_at = coalesce(disabled_at, :now) WHERE id = :id",
            now=now,
            id=user_id,
        )
        ended = revoke_all(record.session, user_id, now)
        record.write(None, "account.disable", now, sessions_ended=ended)


def _known(database: Database, address: str) -> UUID:
    user_id = _user_of(database, address)
    if user_id is None:
        raise NotFound(f"Nobody signs in as {address}: see `python -m jobs user list`.")
    return user_id


def user_of_claims(database: Database, claims: Claims, *, ip: str | None = None, now: datetime) -> Vouched:
    """The user a provider vouches for: one who came that way before, else by verified e-mail address an existing user
    or somebody invited, else the owner when there is no user at all. Raises Unauthorised.
    """
    known = _linked(database, claims)
    if known is not None:
        return Vouched(known)
    if not claims.email or not claims.email_verified:
        raise Unauthorised("Your provider does not vouch for an e-mail address: verify it there, then try again.")
    email = normal_email(claims.email)
    user_id, first, ended = _user_of(database, email), False, False
    if user_id is not None:
        ended = _vouch(database, user_id, claims, ip, now)
    else:
        with database.transaction(None) as session:
            run(session, "SELECT pg_advisory_xact_lock(:key)", key=_FIRST_USER_LOCK)
            user_id, first = _newcomer(session, email, claims.name, now)
            _link(session, user_id, claims, now)
    for invitation in open_invitations(database, email, now):
        accept_for(database, invitation, user_id, now=now, ip=ip)
    if first:
        _adopt(database, user_id, now, first=True)
    return Vouched(user_id, ended)


def _linked(database: Database, claims: Claims) -> UUID | None:
    with database.transaction(None, read_only=True) as session:
        found = one(
            session,
            "SELECT user_id FROM oauth_account WHERE provider = :issuer AND provider_account_id = :subject",
            issuer=claims.issuer,
            subject=claims.subject,
        )
    return found.user_id if found else None


def _link(session: Session, user_id: UUID, claims: Claims, now: datetime) -> None:
    run(
        session,
        "INSERT INTO oauth_account (id, user_id, provider, provider_account_id, created_at)"
        " VALUES (:id, :user, :issuer, :subject, :now) ON CONFLICT DO NOTHING",
        id=uuid4(),
        user=user_id,
        issuer=claims.issuer,
        subject=claims.subject,
        now=now,
    )


def _vouch(database: Database, user_id: UUID, claims: Claims, ip: str | None, now: datetime) -> bool:
    """Link an account to the provider that vouches for its address; whether that ended a password it had.

    Until now anybody may have chosen that address, so a password and sessions from before do not count any more.
    """
    with on_record(database, user_id) as record:
        before = one(
            record.session,
            "SELECT email_verified_at, password_hash FROM app_user WHERE id = :id FOR UPDATE",
            id=user_id,
        )
        run(record.session, "UPDATE app_user SET email_verified_at = :now WHERE id = :id", now=now, id=user_id)
        if before.email_verified_at is None:
            _store_password(record.session, user_id, None, now, keep=None)
        _link(record.session, user_id, claims, now)
        ended = before.email_verified_at is None and before.password_hash is not None
        said: dict[str, Any] = {"provider": claims.issuer} | ({"password": "ended"} if ended else {})
        record.write(record.themselves(ip=ip), "account.link", now, **said)
    return ended


def _newcomer(session: Session, email: str, name: str, now: datetime) -> tuple[UUID, bool]:
    """(a new user of that verified address, whether they are the first one); under the lock of first users."""
    user = one(session, "SELECT id FROM app_user WHERE email = :email", email=email)
    if user is not None:  # made a moment ago, by the same provider's word
        return user.id, False
    first = one(session, "SELECT 1 FROM app_user LIMIT 1") is None
    unclaimed = one(
        session,
        "SELECT id FROM app_user WHERE email = :first AND password_hash IS NULL AND last_sign_in_at IS NULL"
        " AND (SELECT count(*) FROM app_user) = 1",
        first=FIRST_OWNER,
    )
    if unclaimed is not None:  # made at the first start and never used: the first to come through the provider owns it
        run(
            session,
            "UPDATE app_user SET email = :email, name = :name, email_verified_at = :now WHERE id = :id",
            email=email,
            name=_name(name),
            now=now,
            id=unclaimed.id,
        )
        run(session, "DELETE FROM sign_in_link WHERE user_id = :id", id=unclaimed.id)
        return unclaimed.id, False
    invited = one(
        session,
        "SELECT 1 FROM invitation WHERE email = :email AND accepted_at IS NULL AND revoked_at IS NULL AND expires_at > :now",
        email=email,
        now=now,
    )
    if not first and invited is None:
        raise Unauthorised("Nobody invited this e-mail address: ask an owner of your workspace for an invitation.")
    user_id = _insert_user(session, email, name, now)
    run(session, "UPDATE app_user SET email_verified_at = :now WHERE id = :id", now=now, id=user_id)
    return user_id, first


def _adopt(database: Database, owner_id: UUID, now: datetime, *, first: bool) -> None:
    with database.transaction(None, read_only=True) as session:
        orphans = rows(
            session,
            "SELECT id FROM workspace w WHERE archived_at IS NULL"
            " AND NOT EXISTS (SELECT FROM membership m WHERE m.workspace_id = w.id) ORDER BY id",
        )
        lonely = first and not memberships(session, owner_id) and not orphans
    adopted = [row.id for row in orphans]
    if lonely:
        workspace_id = uuid4()
        with database.transaction(workspace_id) as session:
            insert_workspace(session, workspace_id, slug="main", name="Main", now=now)
        adopted.append(workspace_id)
    for workspace_id in adopted:
        with database.transaction(workspace_id) as session:
            made = run(
                session,
                "INSERT INTO membership (user_id, workspace_id, role, created_at) VALUES (:user, :ws, :role, :now)"
                " ON CONFLICT DO NOTHING",
                user=owner_id,
                ws=workspace_id,
                role=Role.OWNER,
                now=now,
            )
            if made:
                detail = {"role": Role.OWNER}
                audit(
                    session, None, action="members.join", object_kind="user", object_id=owner_id, detail=detail, now=now
                )


def _insert_user(session: Session, email: str, name: str, now: datetime) -> UUID:
    user_id = uuid4()
    run(
        session,
        "INSERT INTO app_user (id, email, name, failed_sign_ins, created_at) VALUES (:id, :email, :name, 0, :now)",
        id=user_id,
        email=email,
        name=_name(name),
        now=now,
    )
    return user_id


def _store_password(session: Session, user_id: UUID, stored: str | None, now: datetime, *, keep: UUID | None) -> int:
    """Put a password (None: none) in place and end sessions and links from before; how many sessions that were."""
    run(
        session,
        "UPDATE app_user SET password_hash = :hash, failed_sign_ins = 0, locked_until = NULL WHERE id = :id",
        hash=stored,
        id=user_id,
    )
    run(session, "DELETE FROM sign_in_link WHERE user_id = :user AND used_at IS NULL", user=user_id)
    return revoke_all(session, user_id, now, keep=keep)


def _name(text: str) -> str:
    return one_line(text, 100)
