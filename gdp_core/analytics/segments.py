"""What pages show of all segments at once: how their sizes changed, whom two of them share, everybody in one for a file."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

import numpy as np
from numpy.typing import NDArray
from sqlmodel import Session

from gdp_core.db import Database, one, rows

_EXPORT_PAGE = 5_000


@dataclass(frozen=True, slots=True)
class Shared:
    """Another segment, how many people it has, and how many of them are in both."""

    segment_id: UUID
    name: str
    people: int
    both: int


@dataclass(frozen=True, slots=True)
class Growth:
    """By how many people a segment grew in 7 and in 30 days."""

    week: int
    month: int


UNMOVED = Growth(0, 0)


def read_growth(session: Session, now: datetime, segment_id: UUID | None = None) -> Mapping[UUID, Growth]:
    """By segment, or of one, how it grew until now (rounded to a quarter of an hour); none where nobody moved."""
    found = rows(
        session,
        "SELECT segment_id, coalesce(sum(entered - exited) FILTER (WHERE at >= :week), 0)::bigint AS week,"
        " sum(entered - exited)::bigint AS month FROM segment_size"
        " WHERE at >= :month AND (CAST(:id AS uuid) IS NULL OR segment_id = :id) GROUP BY 1",
        id=segment_id,
        week=now - timedelta(days=7),
        month=now - timedelta(days=30),
    )
    return {row.segment_id: Growth(row.week, row.month) for row in found}


def read_shared(session: Session, segment_id: UUID, most: int = 50) -> list[Shared]:
    """The other segments with people of this one, those that share most first."""
    found = rows(
        session,
        "SELECT s.id, s.name, t.people, b.both FROM (SELECT o.segment_id, count(*) AS both FROM segment_member m"
        " JOIN segment_member o ON o.workspace_id = m.workspace_id AND o.person_id = m.person_id"
        " WHERE m.segment_id = :id AND o.segment_id <> :id GROUP BY 1) b"
        " JOIN segment s ON s.id = b.segment_id AND s.archived_at IS NULL"
        " JOIN segment_state t ON t.segment_id = s.id ORDER BY b.both DESC, s.name LIMIT :most",
        id=segment_id,
        most=most,
    )
    return [Shared(row.id, row.name, int(row.people or 0), int(row.both)) for row in found]


def read_numbers(session: Session, segment_id: UUID) -> NDArray[np.int64]:
    """The lasting numbers of the persons its members are now, ascending; nobody for a segment that is gone."""
    found = one(
        session,
        "SELECT string_agg(n::text, ',' ORDER BY n) AS numbers FROM (SELECT DISTINCT p.number AS n FROM segment_member m"
        " JOIN actor a ON a.workspace_id = m.workspace_id AND a.id = m.person_id"
        " JOIN actor p ON p.workspace_id = a.workspace_id AND p.id = a.person_id"
        " WHERE m.workspace_id = app_ws() AND m.segment_id = :id) x",
        id=segment_id,
    )
    return np.fromstring(found.numbers or "", np.int64, sep=",")


def stream_members(database: Database, workspace_id: UUID, segment_id: UUID) -> Iterator[UUID]:
    """Everybody in it, once, by id; each page is read when it is asked for."""
    after: UUID | None = None
    while True:
        with database.transaction(workspace_id, read_only=True) as session:
            found = rows(
                session,
                "SELECT person_id FROM segment_member WHERE segment_id = :id AND person_id > coalesce(CAST(:after AS uuid),"
                " '00000000-0000-0000-0000-000000000000') ORDER BY person_id LIMIT :size",
                id=segment_id,
                after=after,
                size=_EXPORT_PAGE,
            )
        yield from (row.person_id for row in found)
        if len(found) < _EXPORT_PAGE:
            return
        after = found[-1].person_id
