"""What pages show of all segments at once: how their sizes changed, who is in one, everybody in one for a file."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import numpy as np
from numpy.typing import NDArray
from sqlmodel import Session

from gdp_core.db import Database, one, rows

_EXPORT_PAGE = 5_000


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


@dataclass(frozen=True, slots=True)
class Change:
    """What somebody did to a segment: `by` as the audit log calls them, `what` in a few words."""

    seq: int
    at: datetime
    by: str
    what: str


def read_history(session: Session, segment_id: UUID, *, before: int | None = None, size: int = 50) -> list[Change]:
    """Who changed a segment, the last change first, or from before a `seq`. It says nothing of what a rule compares with."""
    found = rows(
        session,
        "SELECT seq, at, user_label, detail FROM audit_log WHERE object_kind = 'segment' AND object_id = :id"
        " AND seq < coalesce(CAST(:before AS bigint), :last) ORDER BY seq DESC LIMIT :size",
        id=str(segment_id),
        before=before,
        last=2**62,
        size=size,
    )
    return [Change(row.seq, row.at, _by(row.user_label), _what(row.detail)) for row in found]


def read_authors(session: Session, segment_id: UUID) -> Mapping[int, str]:
    """By version, who saved it, as the audit log calls them."""
    found = rows(
        session,
        "SELECT CAST(detail ->> 'version' AS int) AS version, user_label FROM audit_log"
        " WHERE object_kind = 'segment' AND object_id = :id AND detail ->> 'version' IS NOT NULL",
        id=str(segment_id),
    )
    return {row.version: _by(row.user_label) for row in found}


def _by(label: str) -> str:
    return "a command on the server" if label == "system" else label


def _what(detail: Mapping[str, Any]) -> str:
    match detail:
        case {"version": 1}:
            return "Made it"
        case {"version": version}:
            return f"Saved version {version}"
        case {"deleted": gone}:
            return "Deleted it" if gone else "Restored it"
        case {"enabled": enabled}:
            return "Turned it on" if enabled else "Turned it off"
        case {"name": name}:
            return f"Wrote its name and purpose: “{name}”"
    return "Exported its people" if "segment" in detail else "Changed it"


def stream_members(database: Database, workspace_id: UUID, segment_id: UUID) -> Iterator[tuple[UUID, datetime, int]]:
    """Everybody in it, once, by id, with when they entered and for the how manieth time; each page is read when it is
    asked for."""
    after: UUID | None = None
    while True:
        with database.transaction(workspace_id, read_only=True) as session:
            found = rows(
                session,
                "SELECT person_id, entered_at, entry FROM segment_member WHERE segment_id = :id AND person_id > coalesce(CAST(:after AS uuid),"
                " '00000000-0000-0000-0000-000000000000') ORDER BY person_id LIMIT :size",
                id=segment_id,
                after=after,
                size=_EXPORT_PAGE,
            )
        yield from ((row.person_id, row.entered_at, row.entry) for row in found)
        if len(found) < _EXPORT_PAGE:
            return
        after = found[-1].person_id
