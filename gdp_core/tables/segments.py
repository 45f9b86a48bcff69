"""Segments: what people wrote of them, and what the cycle that evaluates them found, kept and logged."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, Column, Identity, Index, text
from sqlmodel import Field, SQLModel

from gdp_core.tables.base import instant, jsonb, key, one_of, raw, whole, word, words

REASONS = ("first", "facts", "time", "rule", "merged", "resumed")


class Segment(SQLModel, table=True):
    """Who is meant, under a name. Its rule is that of its newest version."""

    __tablename__ = "segment"
    __table_args__ = (
        Index("segment_by_name", "workspace_id", "name", unique=True, postgresql_where=text("archived_at IS NULL")),
    )

    id: UUID = key()
    workspace_id: UUID = key()
    name: str = word()
    description: str = word()
    version: int
    enabled: bool
    resumed_at: datetime = instant()  # since when it is evaluated; of a disabled one, was last
    goal: str = word()  # what its people should do
    action: dict[str, Any] | None = jsonb(default=None)  # what somebody intends to do for them
    starter: str | None = word(default=None)  # the one of the starter set it was made from
    created_at: datetime = instant()
    created_by: UUID | None = None
    updated_at: datetime = instant()
    updated_by: UUID | None = None
    archived_at: datetime | None = instant(default=None)


class SegmentVersion(SQLModel, table=True):
    """A rule that a segment had, from when it was written until the next one was."""

    __tablename__ = "segment_version"

    segment_id: UUID = key()
    workspace_id: UUID = key()
    version: int = key()
    rule: dict[str, Any] = jsonb()
    note: str = word()
    created_at: datetime = instant()
    created_by: UUID | None = None


class SegmentDraft(SQLModel, table=True):
    """What somebody is writing, finished or not. Of a new segment, and of a command's user, the id is all zeros."""

    __tablename__ = "segment_draft"

    segment_id: UUID = key()
    workspace_id: UUID = key()
    user_id: UUID = key()
    content: dict[str, Any] = jsonb()
    updated_at: datetime = instant()


class SegmentState(SQLModel, table=True):
    """What the last evaluation of a segment came to."""

    __tablename__ = "segment_state"

    segment_id: UUID = key()
    workspace_id: UUID = key()
    mark: UUID  # changes with every writing of its members; what a file remembers of them stands under the same
    version: int | None = None  # of the rule its members are by
    definition: str | None = word(default=None)  # digest of that rule and those of the segments it is made of
    people: int | None = whole(default=None)
    pending: int = whole(default=0)  # entries and exits that are found and not yet written
    evaluated_at: datetime | None = instant(default=None)
    snapshot: str | None = word(default=None)  # the lake's
    seconds: float | None = None
    tried_at: datetime | None = instant(default=None)  # when it was last tried, well or not
    tried: str | None = word(default=None)  # the digest it was tried by
    error: str | None = word(default=None)  # why it could not be evaluated
    failed_at: datetime | None = instant(default=None)  # since when


class SegmentMember(SQLModel, table=True):
    """Somebody in a segment. `entry` counts how often they entered it."""

    __tablename__ = "segment_member"
    __table_args__ = (
        Index("segment_member_by_person", "workspace_id", "person_id"),
        Index("segment_member_by_entered", "workspace_id", "segment_id", "entered_at", "person_id"),
    )

    segment_id: UUID = key()
    workspace_id: UUID = key()
    person_id: UUID = key()
    entered_at: datetime = instant()
    entry: int


class SegmentTransition(SQLModel, table=True):
    """Somebody entered or exited a segment: `at` is the instant of the evaluation that found it. Only added to.

    `seq` grows in the order of commits within a workspace, so that who reads on from one misses none.
    """

    __tablename__ = "segment_transition"
    __table_args__ = (
        one_of("kind", "entered", "exited"),
        one_of("reason", *REASONS),
        Index("segment_transition_by_segment", "workspace_id", "segment_id", "seq"),
        Index("segment_transition_by_person", "workspace_id", "person_id", "segment_id", "seq"),
    )

    workspace_id: UUID = key()
    seq: int = Field(sa_column=Column(BigInteger, Identity(always=True), primary_key=True))
    segment_id: UUID
    person_id: UUID
    kind: str = word()
    at: datetime = instant()
    entry: int
    version: int  # of the rule
    reason: str = word()


class SegmentSize(SQLModel, table=True):
    """How many people a segment had at the end of a quarter of an hour in which somebody entered or exited."""

    __tablename__ = "segment_size"

    segment_id: UUID = key()
    workspace_id: UUID = key()
    at: datetime = instant(primary_key=True)  # the beginning of the quarter of an hour
    people: int = whole()
    entered: int = whole()
    exited: int = whole()


class SegmentCycle(SQLModel, table=True):
    """One evaluation of all segments, at an instant and a state of the lake."""

    __tablename__ = "segment_cycle"
    __table_args__ = (
        Index("segment_cycle_quiet", "workspace_id", "at", postgresql_where=text("entered = 0 AND exited = 0")),
    )

    workspace_id: UUID = key()
    at: datetime = instant(primary_key=True)
    snapshot: str = word()
    complete_at: datetime = instant()  # everything applied before it was looked at
    seconds: float
    segments: int
    failed: int
    entered: int = whole()
    exited: int = whole()


class SegmentForgotten(SQLModel, table=True):
    """An actor of somebody who was erased, by lasting number: they enter no segment again."""

    __tablename__ = "segment_forgotten"

    workspace_id: UUID = key()
    number: int = Field(sa_column=Column(BigInteger, primary_key=True, autoincrement=False))


class WebhookSubscription(SQLModel, table=True):
    """Where entries and exits are to be told. `position`: the transition up to which they were."""

    __tablename__ = "webhook_subscription"

    id: UUID = key()
    workspace_id: UUID = key()
    url: str = word()
    segment_id: UUID | None = None  # NULL: of every segment
    kinds: list[str] = words()  # entered, exited
    ciphertext: bytes = raw()  # of the signing secret
    enabled: bool
    position: int = whole()
    created_at: datetime = instant()
    created_by: UUID | None = None
    updated_at: datetime = instant()
    updated_by: UUID | None = None
