"""Who it was: actors (identifiers), the edges between them, the persons they make up, and what is said of them."""

from datetime import date, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, Column, Identity, Index, Text
from sqlmodel import Field, SQLModel

from gdp_core.tables.base import instant, jsonb, key, one_of, whole, word, word_key, words, written_by

STAGES = ("lead", "marketing", "trial", "active", "churned", "dormant")
FIRST_TOUCH = ("website", "sms_campaign", "email_campaign", "referral", "organic", "paid_ads", "social", "other")


class Actor(SQLModel, table=True):
    """One identifier (an identity link). Its id follows from (workspace, namespace, external id)."""

    __tablename__ = "actor"
    __table_args__ = (
        Index("actor_by_person", "workspace_id", "person_id"),
        Index("actor_by_cluster", "workspace_id", "cluster_id"),
        Index("actor_by_tx", "workspace_id", "tx"),
        Index("actor_by_number", "workspace_id", "number", unique=True),
    )

    id: UUID = key()
    workspace_id: UUID = key()
    number: int = Field(sa_column=Column(BigInteger, Identity(always=True), nullable=False))  # short, never changes
    namespace: str = word()
    external_id: str = word()
    cluster_id: UUID  # smallest actor reachable over every edge, refused ones too: the unit of recomputation
    person_id: UUID  # smallest actor reachable over accepted edges
    is_primary: bool = False
    personless: bool = False  # only events sent with "no person profile" so far
    event_count: int = whole(default=0)
    first_seen_at: datetime | None = instant(default=None)
    last_seen_at: datetime | None = instant(default=None)  # last thing a human did
    first_touch: dict[str, Any] | None = jsonb(default=None)  # earliest event that tells where they came from
    applied_at: datetime = instant()
    tx: str | None = written_by()  # of its row or of its person


class ActorDay(SQLModel, table=True):
    """What an actor did on a UTC day; kept when old events are dropped."""

    __tablename__ = "actor_day"

    actor_id: UUID = key()
    workspace_id: UUID = key()
    day: date = Field(primary_key=True)
    events: int
    human_events: int
    first_at: datetime | None = instant(default=None)  # of human events
    last_at: datetime | None = instant(default=None)


class ActorRoleDay(SQLModel, table=True):
    """How often an actor's events played an event role on a UTC day."""

    __tablename__ = "actor_role_day"

    actor_id: UUID = key()
    role: str = word_key()
    workspace_id: UUID = key()
    day: date = Field(primary_key=True)
    events: int
    first_at: datetime = instant()
    last_at: datetime = instant()


class ActorValueDay(SQLModel, table=True):
    """Money of an actor's valued events on a UTC day, from sources whose money no invoice counts."""

    __tablename__ = "actor_value_day"

    actor_id: UUID = key()
    currency: str = word_key()
    workspace_id: UUID = key()
    day: date = Field(primary_key=True)
    paid_micros: int = whole()
    refunded_micros: int = whole()


class IdentityEdge(SQLModel, table=True):
    """Two identifiers of one person: the merge ledger. `evidence` is the earliest fact that said so."""

    __tablename__ = "identity_edge"
    __table_args__ = (
        Index("identity_edge_by_b", "workspace_id", "b"),
        one_of("state", "accepted", "refused", "cut"),
    )

    a: UUID = key()
    b: UUID = key()
    workspace_id: UUID = key()
    verified: bool = False  # stated by a signature or a server key
    explicit: bool = False  # somebody said so (alias, a reviewer), not merely sent both at once
    occurred_at: datetime = instant()
    source_id: UUID
    source_event_id: str = word()
    state: str = word(default="accepted")
    reason: str | None = word(default=None)
    merged: bool = False  # this edge joined two persons that no earlier edge had joined
    cut_at: datetime | None = instant(default=None)
    cut_by: UUID | None = None
    applied_at: datetime = instant()


class MergeReview(SQLModel, table=True):
    """A refused edge that a person should look at."""

    __tablename__ = "merge_review"
    __table_args__ = (one_of("status", "open", "accepted", "dismissed"),)

    a: UUID = key()
    b: UUID = key()
    workspace_id: UUID = key()
    reason: str = word()
    status: str = word(default="open")
    opened_at: datetime = instant()
    decided_at: datetime | None = instant(default=None)
    decided_by: UUID | None = None


class TraitAssertion(SQLModel, table=True):
    """Something said of an actor, by whom and when. A person's value is the last one said of any of its actors."""

    __tablename__ = "trait_assertion"
    __table_args__ = (
        Index("trait_assertion_by_actor", "workspace_id", "actor_id", "key"),
        one_of("op", "set", "set_once", "unset"),
    )

    source_id: UUID = key()
    workspace_id: UUID = key()
    source_event_id: str = word_key()
    actor_id: UUID = key()
    key: str = word_key()
    op: str = word()
    value: Any = jsonb(default=None, nullable=True)
    occurred_at: datetime = instant()
    rank: int = 0  # of the source, for ties
    applied_at: datetime = instant()


class Person(SQLModel, table=True):
    """Everything derived about one person. Rebuilt from actors, assertions, events and billing; never edited."""

    __tablename__ = "person"
    __table_args__ = (
        one_of("stage", *STAGES),
        one_of("source", *FIRST_TOUCH),
        Index("person_by_last_seen", "workspace_id", "last_seen_at", "id"),
        Index("person_by_first_seen", "workspace_id", "first_seen_at", "id"),
        Index("person_by_spent", "workspace_id", "total_spent_micros", "id"),
        Index("person_by_mrr", "workspace_id", "mrr_micros", "id"),
        Index("person_by_stage", "workspace_id", "stage", "last_seen_at", "id"),
        Index("person_by_next_stage", "workspace_id", "stage_next_at"),
        Index("person_by_tx", "workspace_id", "tx"),
    )

    id: UUID = key()
    workspace_id: UUID = key()
    email: str | None = word(default=None)
    phone: str | None = word(default=None)
    first_name: str | None = word(default=None)
    last_name: str | None = word(default=None)
    name: str | None = word(default=None)
    company: str | None = word(default=None)
    industry: str | None = word(default=None)
    stage: str | None = word(default=None)
    status: str = word(default="active")
    source: str | None = word(default=None)
    medium: str | None = word(default=None)
    campaign: str | None = word(default=None)
    cohort: str | None = word(default=None)  # month of signup in the workspace's time zone, "2026-03"
    tags: list[str] = words(default_factory=list)
    metadata_: dict[str, Any] = jsonb(default_factory=dict, sa_column_kwargs={"name": "metadata"})
    is_known: bool = False
    is_internal: bool = False
    identifiers: int = 1
    active_days: int = 0
    core_actions: int = whole(default=0)
    total_events: int = whole(default=0)
    currency: str | None = word(default=None)  # unit of the four amounts below
    total_spent_micros: int = whole(default=0)
    lifetime_value_micros: int = whole(default=0)
    mrr_micros: int = whole(default=0)
    plan_name: str | None = word(
        default=None
    )  # this and the next three: of the live subscription worth most, else the last
    subscription_status: str | None = word(default=None)
    subscription_started_at: datetime | None = instant(default=None)
    subscription_ends_at: datetime | None = instant(default=None)  # when it ended or is going to; None: it goes on
    first_seen_at: datetime | None = instant(default=None)
    last_seen_at: datetime | None = instant(default=None)
    first_action_at: datetime | None = instant(default=None)
    last_action_at: datetime | None = instant(default=None)
    signup_at: datetime | None = instant(default=None)
    marketing_qualified_at: datetime | None = instant(default=None)
    trial_started_at: datetime | None = instant(default=None)
    subscribed_at: datetime | None = instant(default=None)
    churned_at: datetime | None = instant(default=None)
    stage_next_at: datetime | None = instant(default=None)  # when time alone will change the stage
    tx: str | None = written_by()


class PersonToken(SQLModel, table=True):
    """A lower-case word by which a person is found; searched by prefix, so collated bytewise."""

    __tablename__ = "person_token"
    __table_args__ = (Index("person_token_by_person", "workspace_id", "person_id"),)

    workspace_id: UUID = key()
    token: str = Field(sa_column=Column(Text(collation="C"), primary_key=True))
    person_id: UUID = key()


class StageChange(SQLModel, table=True):
    """A person entered a stage. A function of what happened and of time, so it is the same however facts arrived."""

    __tablename__ = "stage_change"
    __table_args__ = (one_of("stage", *STAGES), one_of("previous", *STAGES))

    person_id: UUID = key()
    workspace_id: UUID = key()
    at: datetime = instant(primary_key=True)
    stage: str | None = word(default=None)
    previous: str | None = word(default=None)
    applied_at: datetime = instant()


class ObjectStateRow(SQLModel, table=True):
    """One version of a vendor's object (a Stripe subscription, a Resend e-mail): what billing and mail derive from."""

    __tablename__ = "object_state"
    __table_args__ = (
        Index("object_state_by_owner", "workspace_id", "source_id", "owner"),
        Index("object_state_by_object", "workspace_id", "source_id", "kind", "object_id"),
        Index("object_state_by_parent", "workspace_id", "source_id", "parent"),
    )

    source_id: UUID = key()
    source_event_id: str = word_key()
    kind: str = word_key()
    object_id: str = word_key()
    workspace_id: UUID = key()
    owner: str | None = word(default=None)
    parent: str | None = word(default=None)
    occurred_at: datetime = instant()
    rank: int = 0
    data: dict[str, Any] = jsonb()
    applied_at: datetime = instant()
