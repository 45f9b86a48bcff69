"""E-mails and what became of them, and who must not be written to."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Index
from sqlmodel import SQLModel

from gdp_core.tables.base import instant, jsonb, key, one_of, raw, word, word_key


class EmailMessage(SQLModel, table=True):
    """An e-mail sent to one person. Derived from the states of its provider's object."""

    __tablename__ = "email_message"
    __table_args__ = (Index("email_message_by_actor", "workspace_id", "actor_id"),)

    source_id: UUID = key()
    resend_id: str = word_key()
    workspace_id: UUID = key()
    actor_id: UUID | None = None
    sender: str | None = word(default=None)
    recipient: str | None = word(default=None)
    subject: str | None = word(default=None)
    tags: dict[str, Any] = jsonb(default_factory=dict)
    campaign: str | None = word(default=None)
    segment_id: str | None = word(default=None)
    funnel: str | None = word(default=None)
    status: str = word()
    sent_at: datetime | None = instant(default=None)
    delivered_at: datetime | None = instant(default=None)
    opened_at: datetime | None = instant(default=None)  # first by a human
    clicked_at: datetime | None = instant(default=None)  # first by a human
    bounced_at: datetime | None = instant(default=None)
    complained_at: datetime | None = instant(default=None)


class EmailEvent(SQLModel, table=True):
    """Something that happened to an e-mail."""

    __tablename__ = "email_event"
    __table_args__ = (Index("email_event_by_message", "workspace_id", "source_id", "resend_id"),)

    source_id: UUID = key()
    source_event_id: str = word_key()
    workspace_id: UUID = key()
    resend_id: str = word()
    event_type: str = word()
    occurred_at: datetime = instant()
    clicked_url: str | None = word(default=None)
    user_agent: str | None = word(default=None)
    ip: str | None = word(default=None)
    is_machine: bool = False
    detail: str | None = word(default=None)


class Suppression(SQLModel, table=True):
    """An address that must not be written to. Keyed by a keyed hash, so that it outlives the person's erasure."""

    __tablename__ = "suppression"
    __table_args__ = (one_of("reason", "bounce", "complaint", "unsubscribe", "manual"),)

    digest: bytes = raw(primary_key=True)
    channel: str = word_key()
    workspace_id: UUID = key()
    reason: str = word()
    since: datetime = instant()  # the newest reason to stop
    lifted_at: datetime | None = instant(default=None)  # the newest all-clear; it counts when later than `since`
    address: str | None = word(default=None)  # blank after an erasure
    source_event_id: str | None = word(default=None)


class Consent(SQLModel, table=True):
    """A person's choice for a channel and topic, the last one made."""

    __tablename__ = "consent"
    __table_args__ = (one_of("state", "opted_in", "opted_out"),)

    actor_id: UUID = key()
    channel: str = word_key()
    topic: str = word_key()
    workspace_id: UUID = key()
    state: str = word()
    occurred_at: datetime = instant()
    source_event_id: str = word()
