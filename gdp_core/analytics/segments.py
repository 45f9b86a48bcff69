"""What pages show of kept segments: how their sizes changed, whom two of them share, their people a page at a time."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from uuid import UUID

from sqlmodel import Session

from gdp_core.db import Database, rows

_EXPORT_PAGE = 5_000


@dataclass(frozen=True, slots=True)
class Member:
    """Somebody in a segment: since when, and for the how manieth time."""

    person_id: UUID
    entered_at: datetime
    entry: int


@dataclass(frozen=True, slots=True)
class Shared:
    """Another segment, how many people it has, and how many of them are in both."""

    segment_id: UUID
    name: str
    people: int
    both: int


@dataclass(frozen=True, slots=True)
class Day:
    """A local day in which somebody entered or left."""

    day: date
    entered: int
    exited: int


def read_sizes(session: Session, segment_id: UUID, since: datetime, until: datetime) -> list[tuple[datetime, int]]:
    """How many people a segment had in [since, until): whenever that changed, and first what it began with, if anything."""
    found = rows(
        session,
        "(SELECT greatest(at, :since) AS at, people FROM segment_size WHERE segment_id = :id AND at < :since"
        " ORDER BY segment_size.at DESC LIMIT 1) UNION ALL (SELECT at, people FROM segment_size WHERE segment_id = :id"
        " AND at >= :since AND at < :until) ORDER BY 1",
        id=segment_id,
        since=since,
        until=until,
    )
    return [(row.at, int(row.people)) for row in found]


def read_flow(session: Session, segment_id: UUID, since: datetime, until: datetime, timezone: str) -> list[Day]:
    """Who entered and left in [since, until) by local day; days without either are left out."""
    found = rows(
        session,
        "SELECT (at AT TIME ZONE :zone)::date AS day, sum(entered)::bigint AS entered, sum(exited)::bigint AS exited"
        " FROM segment_size WHERE segment_id = :id AND at >= :since AND at < :until GROUP BY 1 ORDER BY 1",
        id=segment_id,
        since=since,
        until=until,
        zone=timezone,
    )
    return [Day(row.day, int(row.entered), int(row.exited)) for row in found]


def read_changes(session: Session, since: datetime) -> Mapping[UUID, int]:
    """By segment, by how many people it grew since an instant (rounded to a quarter of an hour); none where nobody moved."""
    found = rows(
        session,
        "SELECT segment_id, sum(entered - exited)::bigint AS grown FROM segment_size WHERE at >= :since GROUP BY 1",
        since=since,
    )
    return {row.segment_id: int(row.grown) for row in found}


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


def read_page(session: Session, segment_id: UUID, *, after: Member | None = None, size: int = 50) -> list[Member]:
    """Who is in it, those who entered last first, after one of them."""
    found = rows(
        session,
        "SELECT person_id, entered_at, entry FROM segment_member WHERE segment_id = :id"
        " AND (CAST(:at AS timestamptz) IS NULL OR (entered_at, person_id) < (:at, :person))"
        " ORDER BY entered_at DESC, person_id DESC LIMIT :size",
        id=segment_id,
        at=after.entered_at if after else None,
        person=after.person_id if after else None,
        size=size,
    )
    return [Member(row.person_id, row.entered_at, int(row.entry)) for row in found]


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


def read_of_person(session: Session, person_id: UUID) -> Mapping[UUID, Member]:
    """The segments somebody is in."""
    found = rows(
        session,
        "SELECT segment_id, person_id, entered_at, entry FROM segment_member WHERE person_id = :person",
        person=person_id,
    )
    return {row.segment_id: Member(row.person_id, row.entered_at, int(row.entry)) for row in found}
