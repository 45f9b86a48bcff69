"""What the jobs did. No tenants here: these tables live in the schema `ops` and hold no personal data."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlmodel import SQLModel

from gdp_core.tables.base import instant, jsonb, key, one_of, whole, word, word_key


class JobRun(SQLModel, table=True):
    """One run of a job."""

    __tablename__ = "job_run"
    __table_args__ = (one_of("state", "running", "done", "failed"), {"schema": "ops"})

    id: UUID = key()
    job: str = word(index=True)
    started_at: datetime = instant()
    finished_at: datetime | None = instant(default=None)
    state: str = word(default="running")
    detail: dict[str, Any] = jsonb(default_factory=dict)
    error: str | None = word(default=None)


class ScheduleTick(SQLModel, table=True):
    """A tick of a job that some process took; the key makes it happen once."""

    __tablename__ = "schedule_tick"
    __table_args__ = ({"schema": "ops"},)

    job: str = word_key()
    tick: datetime = instant(primary_key=True)
    taken_at: datetime = instant()


class Heartbeat(SQLModel, table=True):
    """A process that is alive, and how far behind it is."""

    __tablename__ = "heartbeat"
    __table_args__ = ({"schema": "ops"},)

    process: str = word_key()
    pid: int
    at: datetime = instant()
    detail: dict[str, Any] = jsonb(default_factory=dict)


class Marker(SQLModel, table=True):
    """Something that was done once for this installation."""

    __tablename__ = "marker"
    __table_args__ = ({"schema": "ops"},)

    key: str = word_key()
    value: dict[str, Any] = jsonb(default_factory=dict)
    at: datetime = instant()


class LakeState(SQLModel, table=True):
    """How far the lake of a workspace is: everything applied before `complete_at` is in it."""

    __tablename__ = "lake_state"
    __table_args__ = ({"schema": "ops"},)

    workspace_id: UUID = key()
    complete_at: datetime | None = instant(default=None)
    next_at: datetime = instant()  # becomes complete_at once every transaction before next_tx is in the lake
    next_tx: int = whole()
    flushed_at: datetime = instant()
