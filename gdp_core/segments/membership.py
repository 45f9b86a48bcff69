"""Who is in a segment, who was at any instant, and every entry and exit; read from what the cycle wrote.

A person is found by any id they ever had. It evaluates nothing: a segment is as it was at its last good evaluation.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Literal
from uuid import UUID
from zoneinfo import ZoneInfo

from sqlmodel import Session

from gdp_core.analytics.scope import midnight
from gdp_core.db import one, rows
from gdp_core.errors import InvalidInput

Kind = Literal["entered", "exited"]
Reason = Literal["first", "facts", "time", "rule", "merged", "resumed"]
_PAGE = 5_000  # members in one question


@dataclass(frozen=True, slots=True)
class Member:
    """Somebody in a segment since `entered_at`, for the `entry`-th time."""

    person_id: UUID
    entered_at: datetime
    entry: int


@dataclass(frozen=True, slots=True)
class Transition:
    """Somebody entered or exited. `seq` is where the feed goes on from; `version` is that of the rule."""

    seq: int
    segment_id: UUID
    person_id: UUID
    kind: Kind
    at: datetime
    entry: int
    version: int
    reason: Reason


@dataclass(frozen=True, slots=True)
class Size:
    """How many people a segment had from `at` until the next of these."""

    at: datetime
    people: int


@dataclass(frozen=True, slots=True)
class Flow:
    """How many entered and exited on a local day."""

    day: date
    entered: int
    exited: int


Place = tuple[datetime, UUID]
"""Where a page of members ended: when that member entered, and who it is."""


def read_members(session: Session, segment_id: UUID, *, after: Place | None = None, size: int = 100) -> list[Member]:
    """Members, who entered last first, from behind where the last page ended: (its last entered_at, person_id)."""
    place = "" if after is None else " AND (entered_at, person_id) < (:at, :person)"
    found = rows(
        session,
        f"SELECT person_id, entered_at, entry FROM segment_member WHERE workspace_id = app_ws() AND segment_id = :id{place}"
        " ORDER BY entered_at DESC, person_id DESC LIMIT :size",
        id=segment_id,
        size=size,
        **({"at": after[0], "person": after[1]} if after else {}),
    )
    return [Member(*row) for row in found]


def find_member(session: Session, segment_id: UUID, person_id: UUID) -> Member | None:
    """Since when somebody is in it; None for who is not."""
    row = one(
        session,
        "SELECT m.person_id, m.entered_at, m.entry FROM actor a JOIN segment_member m ON m.workspace_id = a.workspace_id"
        " AND m.person_id = a.person_id WHERE a.id = :person AND m.segment_id = :id",
        id=segment_id,
        person=person_id,
    )
    return Member(*row) if row else None


def segments_of(session: Session, person_id: UUID) -> dict[UUID, Member]:
    """The segments that somebody is in, deleted ones left out: by the segment's id."""
    found = rows(
        session,
        "SELECT m.segment_id, m.person_id, m.entered_at, m.entry FROM actor a JOIN segment_member m"
        " ON m.workspace_id = a.workspace_id AND m.person_id = a.person_id JOIN segment s"
        " ON s.workspace_id = m.workspace_id AND s.id = m.segment_id"
        " WHERE a.id = :person AND s.archived_at IS NULL ORDER BY m.entered_at DESC, m.segment_id",
        person=person_id,
    )
    return {row.segment_id: Member(*row[1:]) for row in found}


def read_transitions(
    session: Session,
    *,
    after: int = 0,
    size: int = 100,
    segment_id: UUID | None = None,
    person_id: UUID | None = None,
    newest_first: bool = False,
) -> list[Transition]:
    """Entries and exits in the order in which they were written, from behind a `seq`; of a segment or a person or both.

    A person's are also those of everybody who became part of them. `newest_first` goes back from before `after`, or from
    the end.
    """
    conditions = ["workspace_id = app_ws()"]
    if not newest_first:
        conditions.append("seq > :after")
    elif after:
        conditions.append("seq < :after")
    if segment_id:
        conditions.append("segment_id = :segment")
    if person_id:
        conditions.append(
            "person_id IN (SELECT mine.id FROM actor a JOIN actor mine ON mine.workspace_id = a.workspace_id"
            " AND mine.person_id = a.person_id WHERE a.workspace_id = app_ws() AND a.id = :person)"
        )
    found = rows(
        session,
        "SELECT seq, segment_id, person_id, kind, at, entry, version, reason FROM segment_transition"
        f" WHERE {' AND '.join(conditions)} ORDER BY seq {'DESC' if newest_first else ''} LIMIT :size",
        after=after,
        size=size,
        segment=segment_id,
        person=person_id,
    )
    return [Transition(*row) for row in found]


def read_sizes(session: Session, segment_id: UUID, since: datetime, until: datetime) -> list[Size]:
    """How many members it had: at the end of each quarter of an hour in [since, until) in which that changed, and before
    it at `since`, if it was evaluated by then."""
    found = rows(
        session,
        "SELECT greatest(at, :since) AS at, people FROM segment_size WHERE segment_id = :id AND at < :until AND at >= coalesce("
        " (SELECT max(at) FROM segment_size WHERE segment_id = :id AND at < :since), :since) ORDER BY at",
        id=segment_id,
        since=since,
        until=until,
    )
    return [Size(*row) for row in found]


def read_flow(session: Session, segment_id: UUID, since: date, until: date, timezone: str) -> list[Flow]:
    """How many entered and exited on each local day from `since` to `until`, both included."""
    zone = ZoneInfo(timezone)
    found = rows(
        session,
        "SELECT CAST(at AT TIME ZONE :zone AS date) AS day, sum(entered)::bigint AS entered, sum(exited)::bigint AS exited"
        " FROM segment_size WHERE segment_id = :id AND at >= :since AND at < :until GROUP BY 1",
        id=segment_id,
        zone=timezone,
        since=midnight(since, zone),
        until=midnight(until + timedelta(days=1), zone),
    )
    told = {row.day: Flow(*row) for row in found}
    days = [date.fromordinal(day) for day in range(since.toordinal(), until.toordinal() + 1)]
    return [told.get(day, Flow(day, 0, 0)) for day in days]


_THEN = """
SELECT t.seq, t.person_id, t.at, t.entry FROM segment_transition t
WHERE t.workspace_id = app_ws() AND t.segment_id = :id AND t.at <= :at AND t.kind = 'entered' AND t.seq > :after{}
    AND NOT EXISTS (SELECT FROM segment_transition l WHERE l.workspace_id = t.workspace_id AND l.person_id = t.person_id
        AND l.segment_id = t.segment_id AND l.seq > t.seq AND l.at <= :at)
ORDER BY t.seq LIMIT :size
"""
"""An entry that nothing followed by then."""


def check_past(at: datetime, now: datetime) -> None:
    """Raises InvalidInput for an instant at which nobody knows yet who is in a segment."""
    if at > now or at.year < 1990:
        raise InvalidInput("Ask about an instant that is not ahead of now, from 1990 on.")


def read_members_at(
    session: Session, segment_id: UUID, at: datetime, *, after: int = 0, size: int = 100
) -> tuple[list[Member], int | None]:
    """Who was in it at an instant, by the last evaluation that was not after it, and where the next page begins after.

    Who entered first comes first. Ids of persons are as they were then; None: this is the last page.
    """
    found = rows(session, _THEN.format(""), id=segment_id, at=at, after=after, size=size + 1)
    members = [Member(row.person_id, row.at, row.entry) for row in found[:size]]
    return members, found[size - 1].seq if len(found) > size else None


def find_member_at(session: Session, segment_id: UUID, person_id: UUID, at: datetime) -> Member | None:
    """Since when somebody, or anybody who is part of them now, was in it at an instant; None for who was not."""
    theirs = (
        " AND t.person_id IN (SELECT mine.id FROM actor a JOIN actor mine ON mine.workspace_id = a.workspace_id"
        " AND mine.person_id = a.person_id WHERE a.workspace_id = app_ws() AND a.id = :person)"
    )
    found = rows(session, _THEN.format(theirs), id=segment_id, at=at, after=0, size=1, person=person_id)
    return Member(found[0].person_id, found[0].at, found[0].entry) if found else None


def every_member(session: Session, segment_id: UUID, at: datetime | None = None) -> Iterator[Member]:
    """Everybody who is in it, read page by page; in a transaction that stands still. Or who was at an instant, at once:
    all entries have to be looked at for that, and page by page again and again."""
    if at is not None:
        found = rows(session, _THEN.format(""), id=segment_id, at=at, after=0, size=None)
        yield from (Member(row.person_id, row.at, row.entry) for row in found)
        return
    after = None
    while page := read_members(session, segment_id, after=after, size=_PAGE):
        yield from page
        after = page[-1].entered_at, page[-1].person_id
