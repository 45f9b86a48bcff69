"""What arrived and what became of it: the inbox, the dedupe keys, the events, the rejects and the two ledgers."""

from datetime import date, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Index, text
from sqlmodel import Field, SQLModel

from gdp_core.tables.base import instant, jsonb, key, one_of, raw, whole, word, word_key, words, written_by

INBOX_STATES = ("pending", "applied", "duplicate", "quarantined", "dead")


class Inbox(SQLModel, table=True):
    """A delivery, byte for byte. Partitioned by month of `received_at`."""

    __tablename__ = "inbox"
    __table_args__ = (
        one_of("state", *INBOX_STATES),
        one_of("trust", "signed", "server", "browser"),
        Index("inbox_pending", "workspace_id", "run_at", "id", postgresql_where=text("state = 'pending'")),
        Index("inbox_by_time", "workspace_id", "received_at"),
        {"postgresql_partition_by": "RANGE (received_at)"},
    )

    id: UUID = key()
    workspace_id: UUID = key()
    received_at: datetime = instant(primary_key=True)
    source_id: UUID
    source: str = word()
    route: str = word()
    trust: str = word()
    headers: dict[str, Any] = jsonb(default_factory=dict)
    query: dict[str, Any] = jsonb(default_factory=dict)
    body: bytes = raw()
    state: str = word(default="pending")
    attempts: int = 0
    run_at: datetime = instant()
    applied_at: datetime | None = instant(default=None)
    error: str | None = word(default=None)  # one sentence; never the body
    facts: int = 0
    facts_applied: int = 0
    facts_duplicate: int = 0
    facts_quarantined: int = 0


class FactReject(SQLModel, table=True):
    """An item of a delivery that could not be used, with the reason."""

    __tablename__ = "fact_reject"
    __table_args__ = (Index("fact_reject_by_time", "workspace_id", "received_at"),)

    id: UUID = key()
    workspace_id: UUID = key()
    inbox_id: UUID = Field(index=True)
    source_id: UUID
    received_at: datetime = instant()
    item: int
    code: str = word()
    reason: str = word()


class FactConflict(SQLModel, table=True):
    """Another content that arrived under a key; the earliest delivery of the key stands."""

    __tablename__ = "fact_conflict"

    source_id: UUID = key()
    workspace_id: UUID = key()
    key: str = word_key()
    other_hash: str = word_key()
    other_inbox_id: UUID


class LedgerEntry(SQLModel, table=True):
    """A posting to the books of deliveries or facts; a balance is the sum. Insert-only, folded per hour by a job."""

    __tablename__ = "ledger_entry"
    __table_args__ = (
        one_of("ledger", "delivery", "fact"),
        Index("ledger_entry_by_hour", "workspace_id", "ledger", "hour"),
    )

    id: UUID = key()
    workspace_id: UUID = key()
    ledger: str = word()
    source_id: UUID
    hour: datetime = instant()
    received: int = whole(default=0)
    applied: int = whole(default=0)
    duplicate: int = whole(default=0)
    quarantined: int = whole(default=0)
    dead: int = whole(default=0)
    erased: int = whole(default=0)


class EventKey(SQLModel, table=True):
    """One fact per (workspace, source instance, sender's id), for ever. Not partitioned: that is the point."""

    __tablename__ = "event_key"

    source_id: UUID = key()
    workspace_id: UUID = key()
    key: str = word_key()
    hash: str = word()
    received_at: datetime = instant()
    inbox_id: UUID | None = None
    event_at: datetime | None = instant(default=None)  # where the event row lies, if the fact has one


class Event(SQLModel, table=True):
    """What somebody did. `actor_id` never changes; the person is the actor's person. Partitioned by month."""

    __tablename__ = "event"
    __table_args__ = (
        one_of("type", "PAGE_VIEW", "CONVERSION", "CUSTOM"),
        Index("event_by_actor", "workspace_id", "actor_id", "occurred_at"),
        Index("event_by_name", "workspace_id", "name", "occurred_at"),
        Index("event_by_tx", "workspace_id", "tx"),
        {"postgresql_partition_by": "RANGE (occurred_at)"},
    )

    id: UUID = key()
    workspace_id: UUID = key()
    occurred_at: datetime = instant(primary_key=True)
    actor_id: UUID | None = None
    name: str = word()
    type: str = word(default="CUSTOM")
    category: str | None = word(default=None)
    source: str = word()  # web, app, email, stripe, meta, sms, sales, import, custom
    source_id: UUID
    source_event_id: str = word()
    session_id: str | None = word(default=None)
    device_id: str | None = word(default=None)
    ip: str | None = word(default=None)  # truncated to /24 or /48
    user_agent: str | None = word(default=None)
    referrer: str | None = word(default=None)
    url: str | None = word(default=None)
    utm_source: str | None = word(default=None)
    utm_medium: str | None = word(default=None)
    utm_campaign: str | None = word(default=None)
    utm_term: str | None = word(default=None)
    utm_content: str | None = word(default=None)
    gclid: str | None = word(default=None)
    fbclid: str | None = word(default=None)
    ttclid: str | None = word(default=None)
    value_micros: int | None = whole(default=None)
    currency: str | None = word(default=None)
    is_machine: bool = False
    properties: dict[str, Any] = jsonb(default_factory=dict)
    metadata_: dict[str, Any] = jsonb(default_factory=dict, sa_column_kwargs={"name": "metadata"})
    received_at: datetime = instant()
    applied_at: datetime = instant()
    tx: str | None = written_by()


class EventGone(SQLModel, table=True):
    """An event row that was deleted or written again: the lake must forget what it had of it. Kept until it has."""

    __tablename__ = "event_gone"
    __table_args__ = (Index("event_gone_by_tx", "workspace_id", "tx"),)

    event_id: UUID = key()
    workspace_id: UUID = key()
    tx: str | None = written_by(primary_key=True)
    occurred_at: datetime = instant()


class DerivedEvent(SQLModel, table=True):
    """An event that follows from states rather than from one fact: which it is now, so that it can be replaced."""

    __tablename__ = "derived_event"
    __table_args__ = (Index("derived_event_by_owner", "workspace_id", "source_id", "owner"),)

    source_id: UUID = key()
    workspace_id: UUID = key()
    key: str = word_key()
    owner: str = word()
    hash: str = word()
    event_at: datetime = instant()


class EventType(SQLModel, table=True):
    """The registry of event names: what each means and what its properties look like."""

    __tablename__ = "event_type"

    name: str = word_key()
    workspace_id: UUID = key()
    category: str | None = word(default=None)
    owner: str | None = word(default=None)
    description: str | None = word(default=None)
    required: list[str] = words(default_factory=list)
    # property -> {"types": {"string": 12}, "example": ..., "first_at": iso, "last_at": iso}
    properties: dict[str, Any] = jsonb(default_factory=dict)
    first_seen_at: datetime = instant()
    last_seen_at: datetime = instant()


class EventTypeDay(SQLModel, table=True):
    """How many events of a name a source sent on a UTC day; kept when old events are dropped."""

    __tablename__ = "event_type_day"

    name: str = word_key()
    source_id: UUID = key()
    workspace_id: UUID = key()
    day: date = Field(primary_key=True)
    events: int = whole()


class ImportRun(SQLModel, table=True):
    """A file import or a backfill, so that it can go on where it stopped."""

    __tablename__ = "import_run"
    __table_args__ = (one_of("state", "running", "done", "failed"),)

    id: UUID = key()
    workspace_id: UUID = key()
    kind: str = word()  # import, backfill, demo
    label: str = word()
    fingerprint: str = word()  # of the file and mapping, or of the account
    cursor: dict[str, Any] = jsonb(default_factory=dict)
    rows_total: int | None = whole(default=None)
    rows_done: int = whole(default=0)
    rows_rejected: int = whole(default=0)
    state: str = word(default="running")
    error: str | None = word(default=None)
    started_at: datetime = instant()
    updated_at: datetime = instant()
