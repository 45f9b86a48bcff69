"""What every page shows of its workspace: its settings, how fresh its data is, and when its numbers last changed."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlmodel import Session

from gdp_core.db import one
from gdp_core.errors import NotFound


@dataclass(frozen=True, slots=True)
class Workspace:
    """A workspace's settings, as pages need them."""

    id: UUID
    slug: str
    name: str
    kind: str  # normal or demo
    timezone: str
    locale: str
    base_currency: str
    trial_days: int
    dormant_days: int
    inbox_retention_days: int
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Freshness:
    """How current the numbers are. `received_at`: the newest delivery; None when nothing ever came."""

    received_at: datetime | None
    waiting: int  # deliveries not applied yet, counted up to 1,000
    oldest_waiting_at: datetime | None

    @property
    def version(self) -> str:
        """Changes when data does: part of the key of every cached report."""
        return f"{self.received_at and self.received_at.isoformat()}|{self.waiting}"


def read_workspace(session: Session) -> Workspace:
    """The open transaction's workspace. Raises NotFound when it was deleted or archived."""
    row = one(
        session,
        "SELECT id, slug, name, kind, timezone, locale, base_currency, trial_days, dormant_days, inbox_retention_days,"
        " created_at FROM workspace WHERE id = app_ws() AND archived_at IS NULL",
    )
    if row is None:
        raise NotFound("This workspace does not exist any more: choose another one.")
    return Workspace(**row._mapping)


def read_freshness(session: Session) -> Freshness:
    """How far the workspace's data reaches."""
    row = one(
        session,
        "SELECT (SELECT received_at FROM inbox ORDER BY received_at DESC LIMIT 1) AS received_at,"
        " (SELECT count(*) FROM (SELECT FROM inbox WHERE state = 'pending' LIMIT 1000) p) AS waiting,"
        " (SELECT run_at FROM inbox WHERE state = 'pending' ORDER BY run_at LIMIT 1) AS oldest",
    )
    return Freshness(row.received_at, row.waiting, row.oldest)
