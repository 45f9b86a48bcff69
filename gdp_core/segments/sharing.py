"""Whom a segment shares with every other one: told from what the cycle of this machine remembers of who is written to be
where, and from Postgres of segments it does not remember. Joining millions of members takes Postgres minutes.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from sqlmodel import Session

from gdp_core.db import rows, workspace_of
from gdp_core.segments import recording
from gdp_core.segments.recording import Memory


@dataclass(frozen=True, slots=True)
class Shared:
    """Another segment, how many people it has, and how many of them are in both."""

    segment_id: UUID
    name: str
    people: int
    both: int


def read_shared(session: Session, segment_id: UUID, folder: Path, most: int = 50) -> list[Shared]:
    """The other segments with people of this one, those that share most first; `folder` is that of timelines."""
    others = rows(
        session,
        "SELECT s.id, s.name, coalesce(t.people, 0) AS people FROM segment s JOIN segment_state t"
        " ON t.workspace_id = s.workspace_id AND t.segment_id = s.id"
        " WHERE s.archived_at IS NULL AND s.id <> :id ORDER BY s.name, s.id",
        id=segment_id,
    )
    memory = Memory(recording.home_of(folder, workspace_of(session)))
    both = memory.shared(segment_id, recording.read_states(session))
    both |= _counted(session, segment_id, [other.id for other in others if other.id not in both])
    found = [Shared(one.id, one.name, one.people, both[one.id]) for one in others if both.get(one.id)]
    return sorted(found, key=lambda one: -one.both)[:most]


def _counted(session: Session, segment_id: UUID, others: Iterable[UUID]) -> Mapping[UUID, int]:
    found = rows(
        session,
        "SELECT o.segment_id, count(*) AS both FROM segment_member m JOIN segment_member o"
        " ON o.workspace_id = m.workspace_id AND o.person_id = m.person_id"
        " WHERE m.segment_id = :id AND o.segment_id = ANY(CAST(:others AS uuid[])) GROUP BY 1",
        id=segment_id,
        others=list(others),
    )
    return {row.segment_id: row.both for row in found}
