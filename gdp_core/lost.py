"""A version of a vendor's object that stands no more: another delivery of the same key was received before it.

What was derived from it is derived again without it, by billing and by mail.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID


class LostState(NamedTuple):
    """The columns of the deleted row of `object_state`."""

    source_id: UUID
    source_event_id: str
    kind: str
    object_id: str
    owner: str | None
    parent: str | None
    occurred_at: datetime
    data: Mapping[str, Any]

    @property
    def object(self) -> tuple[UUID, str, str]:
        """Which object it was a version of: source, kind, id."""
        return (self.source_id, self.kind, self.object_id)
