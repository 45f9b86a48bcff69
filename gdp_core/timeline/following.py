"""One turn of following Postgres: what changed goes to the lake, and from there to the timeline that reports read."""

from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID

from gdp_core.db import Database, one
from gdp_core.errors import Unavailable
from gdp_core.lake import upkeep, writing
from gdp_core.lake.connection import Lake
from gdp_core.timeline.store import Store

_RESTFUL = 60_000_000  # microseconds: without news, reports are told this often that they are still complete
_SHORT = 0.5  # seconds: who is told to try again so soon lost to another writer


def follow(lake: Lake, pool: Database, folder: Path, workspace_id: UUID, now: datetime) -> int:
    """Bring the lake and the timeline of a workspace up to date. How many events, actors and people changed.

    `pool` runs as gdp_worker. Another process that does the same at the moment does it for us.
    """
    try:
        done = writing.flush(lake, pool, workspace_id, now)
    except Unavailable as lost:
        if lost.retry_after > _SHORT:
            raise
        return 0
    store = Store(folder, workspace_id)
    complete_at = _complete_at(pool, workspace_id)
    latest = store.latest()
    is_due = latest is None or latest.since != done.until or complete_at - latest.complete_at >= _RESTFUL
    if is_due or not store.is_whole():
        store.refresh(lake, since=done.until, complete_at=complete_at)
    return done.events + done.removed + done.actors + done.people


def renew(lake: Lake, pool: Database, folder: Path, workspace_id: UUID, *, wholly: bool = False) -> None:
    """Make the whole timeline again from the lake. `wholly`: what it was made of before is gone then, not kept for readers."""
    Store(folder, workspace_id).refresh(
        lake,
        since=writing.watermark(lake, workspace_id),
        complete_at=_complete_at(pool, workspace_id),
        afresh=True,
        wholly=wholly,
    )


def keep_up(lake: Lake, pool: Database, folder: Path, workspaces: list[UUID], now: datetime) -> dict[str, Any]:
    """The lake's upkeep. Timelines are made again after it: it drops the versions they were made from."""
    done = upkeep.maintain(lake, pool, workspaces, now)
    for workspace_id in workspaces:
        renew(lake, pool, folder, workspace_id)
    return done


def _complete_at(pool: Database, workspace_id: UUID) -> int:
    """Up to when the lake holds all that was applied; microseconds, 0 before it ever did."""
    with pool.transaction(workspace_id, read_only=True) as session:
        found = one(
            session,
            "SELECT (extract(epoch FROM complete_at) * 1000000)::bigint AS at FROM ops.lake_state"
            " WHERE workspace_id = app_ws()",
        )
    return int(found.at) if found and found.at is not None else 0
