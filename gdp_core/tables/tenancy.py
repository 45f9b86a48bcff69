"""Who may see what: workspaces, people who sign in, keys, sources, settings and the audit log."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, Column, ForeignKeyConstraint, Identity, Index, UniqueConstraint
from sqlmodel import Field, SQLModel

from gdp_core.tables.base import instant, jsonb, key, one_of, raw, whole, word, word_key, words

ROLES = ("OWNER", "ADMIN", "MEMBER", "VIEWER")


def _in_workspace() -> ForeignKeyConstraint:
    return ForeignKeyConstraint(["workspace_id"], ["workspace.id"], ondelete="CASCADE")


class Workspace(SQLModel, table=True):
    """The unit of isolation: a brand, an organisation."""

    __tablename__ = "workspace"
    __table_args__ = (one_of("kind", "normal", "demo"),)

    id: UUID = key()
    slug: str = word(unique=True)
    name: str = word()
    kind: str = word(default="normal")
    plan: str = word(default="free")
    monthly_event_limit: int | None = whole(default=None)
    monthly_spend_limit_micros: int | None = whole(default=None)
    timezone: str = word(default="UTC")
    locale: str = word(default="en_US")
    base_currency: str = word(default="USD")
    trial_days: int = 14
    dormant_days: int = 60
    inbox_retention_days: int = 90
    event_retention_months: int | None = None
    created_at: datetime = instant()
    archived_at: datetime | None = instant(default=None)


class AppUser(SQLModel, table=True):
    """A person who signs in to the dashboard; not a person of a workspace."""

    __tablename__ = "app_user"

    id: UUID = key()
    email: str = word(unique=True)
    name: str = word(default="")
    password_hash: str | None = word(default=None)
    active_workspace_id: UUID | None = None
    email_verified_at: datetime | None = instant(default=None)
    failed_sign_ins: int = 0
    locked_until: datetime | None = instant(default=None)
    created_at: datetime = instant()
    last_sign_in_at: datetime | None = instant(default=None)
    disabled_at: datetime | None = instant(default=None)


class UserSession(SQLModel, table=True):
    """One signed-in browser. Only the SHA-256 of its token is kept."""

    __tablename__ = "user_session"
    __table_args__ = (ForeignKeyConstraint(["user_id"], ["app_user.id"], ondelete="CASCADE"),)

    id: UUID = key()
    token_hash: bytes = raw(unique=True)
    user_id: UUID = Field(index=True)
    created_at: datetime = instant()
    last_seen_at: datetime = instant()
    expires_at: datetime = instant()
    revoked_at: datetime | None = instant(default=None)
    user_agent: str | None = word(default=None)
    ip: str | None = word(default=None)


class SignInLink(SQLModel, table=True):
    """A link that signs in once: the first owner's, and those of people without a password."""

    __tablename__ = "sign_in_link"
    __table_args__ = (ForeignKeyConstraint(["user_id"], ["app_user.id"], ondelete="CASCADE"),)

    id: UUID = key()
    token_hash: bytes = raw(unique=True)
    user_id: UUID
    created_at: datetime = instant()
    expires_at: datetime = instant()
    used_at: datetime | None = instant(default=None)


class OauthAccount(SQLModel, table=True):
    """A sign-in at an OpenID Connect provider that belongs to a user."""

    __tablename__ = "oauth_account"
    __table_args__ = (
        ForeignKeyConstraint(["user_id"], ["app_user.id"], ondelete="CASCADE"),
        UniqueConstraint("provider", "provider_account_id"),
    )

    id: UUID = key()
    user_id: UUID
    provider: str = word()
    provider_account_id: str = word()
    created_at: datetime = instant()


class Membership(SQLModel, table=True):
    """A user's role in a workspace."""

    __tablename__ = "membership"
    __table_args__ = (
        _in_workspace(),
        ForeignKeyConstraint(["user_id"], ["app_user.id"], ondelete="CASCADE"),
        one_of("role", *ROLES),
    )

    user_id: UUID = key()
    workspace_id: UUID = key()
    role: str = word()
    created_at: datetime = instant()


class Invitation(SQLModel, table=True):
    """A link by which somebody joins a workspace."""

    __tablename__ = "invitation"
    __table_args__ = (_in_workspace(), one_of("role", *ROLES))

    id: UUID = key()
    workspace_id: UUID = key()
    email: str = word()
    role: str = word()
    token_hash: bytes = raw(unique=True)
    invited_by: UUID | None = None
    created_at: datetime = instant()
    expires_at: datetime = instant()
    accepted_at: datetime | None = instant(default=None)
    revoked_at: datetime | None = instant(default=None)


class SourceInstance(SQLModel, table=True):
    """One connected sender. `hook_key` is the unguessable part of its webhook address."""

    __tablename__ = "source_instance"
    __table_args__ = (_in_workspace(),)

    id: UUID = key()
    workspace_id: UUID = key()
    source: str = word()
    name: str = word()
    hook_key: str = word(unique=True)
    config: dict[str, Any] = jsonb(default_factory=dict)
    has_invoices: bool = False
    created_at: datetime = instant()
    archived_at: datetime | None = instant(default=None)


class SourceSecret(SQLModel, table=True):
    """A signing secret, encrypted; several are active during a rotation."""

    __tablename__ = "source_secret"
    __table_args__ = (
        _in_workspace(),
        ForeignKeyConstraint(
            ["source_id", "workspace_id"], ["source_instance.id", "source_instance.workspace_id"], ondelete="CASCADE"
        ),
    )

    id: UUID = key()
    workspace_id: UUID = key()
    source_id: UUID
    ciphertext: bytes = raw()
    created_at: datetime = instant()
    expires_at: datetime | None = instant(default=None)


class ApiKey(SQLModel, table=True):
    """A tracking key. Browser keys are public by nature; of server keys only the hash is kept."""

    __tablename__ = "api_key"
    __table_args__ = (
        _in_workspace(),
        ForeignKeyConstraint(
            ["source_id", "workspace_id"], ["source_instance.id", "source_instance.workspace_id"], ondelete="CASCADE"
        ),
        one_of("kind", "browser", "server"),
        one_of("role", "MEMBER", "VIEWER"),
    )

    id: UUID = key()
    workspace_id: UUID = key()
    source_id: UUID
    name: str = word()
    kind: str = word()
    prefix: str = word()
    key_hash: bytes = raw(unique=True)
    allowed_origins: list[str] = words(default_factory=list)
    created_by: UUID | None = None
    created_at: datetime = instant()
    last_used_at: datetime | None = instant(default=None)
    expires_at: datetime | None = instant(default=None)
    revoked_at: datetime | None = instant(default=None)
    role: str | None = word(default=None)  # what its holder may ask and change; NULL: it only sends


class AuditLog(SQLModel, table=True):
    """What somebody changed. Append-only; each row carries the hash of the one before it."""

    __tablename__ = "audit_log"
    __table_args__ = (_in_workspace(),)

    seq: int = Field(sa_column=Column(BigInteger, Identity(always=True), primary_key=True))
    workspace_id: UUID = key()
    at: datetime = instant()
    user_id: UUID | None = None
    user_label: str = word()
    action: str = word()
    object_kind: str = word()
    object_id: str = word()
    before_hash: str | None = word(default=None)
    after_hash: str | None = word(default=None)
    detail: dict[str, Any] = jsonb(default_factory=dict)
    ip: str | None = word(default=None)
    previous_hash: str = word()
    hash: str = word()


class Setting(SQLModel, table=True):
    """A workspace's choice that no column holds (identity limits, table layouts)."""

    __tablename__ = "setting"
    __table_args__ = (_in_workspace(),)

    workspace_id: UUID = key()
    key: str = word_key()
    value: Any = jsonb()
    updated_at: datetime = instant()
    updated_by: UUID | None = None


class EventRole(SQLModel, table=True):
    """Which events mean signup, activation, core use ... in this workspace."""

    __tablename__ = "event_role"
    __table_args__ = (_in_workspace(),)

    role: str = word_key()
    workspace_id: UUID = key()
    event_names: list[str] = words(default_factory=list)
    filters: list[dict[str, Any]] = jsonb(default_factory=list)
    updated_at: datetime = instant()


class InternalRule(SQLModel, table=True):
    """An e-mail domain or identifier of the company's own people, left out of every number."""

    __tablename__ = "internal_rule"
    __table_args__ = (_in_workspace(), one_of("kind", "domain", "identifier"))

    kind: str = word_key()
    value: str = word_key()
    workspace_id: UUID = key()
    created_at: datetime = instant()


Index("membership_by_workspace", Membership.workspace_id)  # type: ignore[arg-type]
Index("audit_log_by_time", AuditLog.workspace_id, AuditLog.at)  # type: ignore[arg-type]
