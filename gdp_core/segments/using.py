"""What uses a segment: what would miss it if it were deleted."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

import orjson
from sqlmodel import Session

from gdp_core import reports
from gdp_core.db import one
from gdp_core.reports import SavedReport
from gdp_core.segments import keeping
from gdp_core.segments.keeping import Segment


@dataclass(frozen=True, slots=True)
class Users:
    """The segments that are made of one, the saved reports that filter or break down by it, and how many webhook
    subscriptions are told of it alone."""

    segments: Sequence[Segment]
    reports: Sequence[SavedReport]
    subscriptions: int

    @property
    def are_none(self) -> bool:
        """Whether nothing uses it."""
        return not (self.segments or self.reports or self.subscriptions)


def read_users(session: Session, segment_id: UUID) -> Users:
    """Everything that uses a segment."""
    saved = [one for one in reports.list_reports(session) if _names(one, segment_id)]
    told = one(session, "SELECT count(*) AS n FROM webhook_subscription WHERE segment_id = :id", id=segment_id)
    return Users(keeping.used_by(session, segment_id), saved, int(told.n))


def _names(report: SavedReport, segment_id: UUID) -> bool:
    asked = orjson.dumps(dict(report.question.content)).decode()
    return str(segment_id) in asked or segment_id.hex in asked
