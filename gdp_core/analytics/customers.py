"""The customer table: people by stage and first-touch source, now. How many, how many of the last 30 days, and how long
it took those who subscribed. Who is internal is not in it; a person in no stage, or of no known source, has None there.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal
from uuid import UUID

from sqlmodel import Session

from gdp_core.db import rows
from gdp_core.tables.people import FIRST_TOUCH, STAGES

Which = Literal["people", "last_30_days", "subscribed"]
EVERY = "*"
"""In a question for people: of whichever stage or source."""
_RECENT = timedelta(days=30)
_WHICH: dict[Which, str] = {
    "people": "true",
    "last_30_days": "first_seen_at >= :since",
    "subscribed": "subscribed_at IS NOT NULL",
}


@dataclass(frozen=True, slots=True)
class StageCell:
    """How many people are in a stage and came from a source; None: no stage yet, no known source."""

    stage: str | None
    source: str | None
    people: int
    last_30_days: int  # of them, first seen in the last 30 days
    subscribed: int  # of them, ever paid for a subscription
    days_to_subscribe: float  # from first seen to first paid, summed over the subscribed


@dataclass(frozen=True, slots=True)
class CustomerCell:
    """A number of the table: of a stage or EVERY, of a source or EVERY."""

    stage: str | None = EVERY
    source: str | None = EVERY
    which: Which = "people"


def read_stages(session: Session, now: datetime) -> tuple[StageCell, ...]:
    """Every stage by every first-touch source that has people, in the order of a customer's life."""
    found = rows(
        session,
        "SELECT stage, source, count(*) AS people, count(*) FILTER (WHERE first_seen_at >= :since) AS last_30_days,"
        " count(subscribed_at) AS subscribed,"
        " coalesce(sum(greatest(0, extract(epoch FROM subscribed_at - first_seen_at))) / 86400, 0)::float8 AS days"
        " FROM person WHERE NOT is_internal GROUP BY 1, 2",
        since=now - _RECENT,
    )
    order: dict[str | None, int] = {name: index for index, name in enumerate((*STAGES, None))}
    places: dict[str | None, int] = {name: index for index, name in enumerate((*FIRST_TOUCH, None))}
    cells = [StageCell(*row) for row in found]
    return tuple(sorted(cells, key=lambda cell: (order[cell.stage], places[cell.source])))


def read_customers(session: Session, cell: CustomerCell, now: datetime) -> tuple[UUID, ...]:
    """Exactly the people a number of the table counts, the newest first."""
    found = rows(
        session,
        "SELECT id FROM person WHERE NOT is_internal AND (:any_stage OR stage IS NOT DISTINCT FROM CAST(:stage AS text))"
        f" AND (:any_source OR source IS NOT DISTINCT FROM CAST(:source AS text)) AND {_WHICH[cell.which]}"
        " AND CAST(:since AS timestamptz) IS NOT NULL ORDER BY first_seen_at DESC, id",
        any_stage=cell.stage == EVERY,
        stage=cell.stage,
        any_source=cell.source == EVERY,
        source=cell.source,
        since=now - _RECENT,
    )
    return tuple(row.id for row in found)


def average_days(cells: Sequence[StageCell]) -> float | None:
    """The mean of the days from first seen to first paid; None when nobody of them ever paid."""
    subscribed = sum(cell.subscribed for cell in cells)
    return sum(cell.days_to_subscribe for cell in cells) / subscribed if subscribed else None


def table_json(cells: Sequence[StageCell], at: datetime) -> dict[str, Any]:
    """As other programs read it: {at, rows: [{stage, source, count, count_30d, avg_days_to_subscription}]}."""
    return {
        "at": at.isoformat(),
        "rows": [
            {
                "stage": cell.stage,
                "source": cell.source,
                "count": cell.people,
                "count_30d": cell.last_30_days,
                "avg_days_to_subscription": average_days([cell]),
            }
            for cell in cells
        ],
    }
