"""Keeps the lake small and quick, and forgets people in it so that no byte of them is left.

DuckLake's own calls do the work: inlined rows become files, small files are merged, deleted rows written out of them,
old versions expired and their files removed after a grace for readers. Versions are of the whole catalogue.
"""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from gdp_core.db import Database, one, rows, run
from gdp_core.errors import GrowthError, NotFound, TooMuch, Unavailable
from gdp_core.failpoint import failpoint
from gdp_core.lake.connection import Lake
from gdp_core.lake.tables import ACTOR, EVENT, PERSON, TABLES, schema_of
from gdp_core.lake.writing import ensure, watermark

GRACE = timedelta(days=2)
"""How long an old version can still be read."""

_DELETED_SHARE = 0.1  # of a file's rows, from which on it is written again
_SUPERSEDED = 1.5  # rows for each actor or person, from which on only the last of each is kept


def maintain(lake: Lake, pool: Database, workspaces: list[UUID], now: datetime) -> dict[str, Any]:
    """Tidy every workspace's tables, then what no reader can want any more. Safe to kill and to repeat.

    Raises Unavailable or TooMuch where a workspace's could not be tidied, after the others were.
    """
    trimmed, failed = 0, list[GrowthError]()
    for workspace_id in workspaces:
        try:
            trimmed += _tidy(lake, pool, workspace_id, now)
        except (Unavailable, TooMuch) as error:
            failed.append(error)
    expired = _expire(lake, now - GRACE)
    lake.vacuum()
    if failed:
        raise failed[0]
    return {"trimmed": trimmed, "expired": expired}


def _tidy(lake: Lake, pool: Database, workspace_id: UUID, now: datetime) -> int:
    ensure(lake, workspace_id)
    with lake.writing():
        trimmed = _trim(lake, pool, workspace_id, now)
        _keep_the_last(lake, workspace_id)
        _pack(lake, workspace_id, _DELETED_SHARE)
    _forget_the_gone(lake, pool, workspace_id)
    failpoint("lake.packed")
    return trimmed


def erase(lake: Lake, pool: Database, workspace_id: UUID, person_id: UUID, now: datetime) -> int:
    """Forget a person: their events, their identifiers and their row, in every version. Returns the events erased.

    Their numbers are remembered, so that no flush or rebuild brings them back. Old versions of the lake go at once, for
    every workspace: timelines are made again. Raises NotFound.
    """
    with pool.transaction(workspace_id, read_only=True) as session:
        found = rows(
            session,
            "SELECT number FROM actor WHERE workspace_id = app_ws() AND person_id = :id",
            id=person_id,
        )
    actors = [row.number for row in found]
    if not actors:
        raise NotFound("There is no such person in this workspace.")
    ensure(lake, workspace_id)
    schema = schema_of(workspace_id)
    with lake.writing(alone=True):  # files that no version names go however new, and no flush still reads who is erased
        erased = _delete(lake, schema, actors)
        failpoint("lake.erased")
        _pack(lake, workspace_id, 0.0)
        _expire(lake, now + timedelta(minutes=1))
    lake.vacuum(wholly=True)
    return erased


def _delete(lake: Lake, schema: str, actors: list[int]) -> int:
    """Delete what is of these actors, and remember them. How many events were."""
    with lake.transaction() as cursor:
        cursor.execute(f"INSERT INTO {schema}.erased SELECT unnest($1::BIGINT[])", [actors])
        done = {
            table.name: cursor.execute(
                f"DELETE FROM {schema}.{table.name} WHERE {table.actor} IN (SELECT unnest($1::BIGINT[]))", [actors]
            ).fetchone()
            for table in TABLES
        }
    events = done[EVENT.name]
    return int(events[0]) if events else 0


def _trim(lake: Lake, pool: Database, workspace_id: UUID, now: datetime) -> int:
    """Delete the events that the workspace keeps no longer, as gdp_core.retention does in Postgres."""
    with pool.transaction(workspace_id, read_only=True) as session:
        months = one(session, "SELECT event_retention_months FROM workspace WHERE id = app_ws()")
    if months is None or months[0] is None:
        return 0
    month = now.year * 12 + now.month - 1 - months[0]
    oldest = datetime(month // 12, month % 12 + 1, 1)  # noqa: DTZ001 - the lake's instants are UTC without saying so
    with lake.transaction() as cursor:
        done = cursor.execute(
            f"DELETE FROM {schema_of(workspace_id)}.event WHERE occurred_at < $1", [oldest]
        ).fetchone()
    return int(done[0]) if done else 0


def _keep_the_last(lake: Lake, workspace_id: UUID) -> None:
    """Of several rows of an actor or a person, keep the one that counts."""
    schema = schema_of(workspace_id)
    for table in (ACTOR, PERSON):
        with lake.transaction() as cursor:
            found = cursor.execute(f"SELECT count(*), count(DISTINCT number) FROM {schema}.{table.name}").fetchone()
            if found and found[0] > found[1] * _SUPERSEDED:
                cursor.execute(
                    f"DELETE FROM {schema}.{table.name} WHERE rowid NOT IN (SELECT arg_max(rowid, tx) FROM"
                    f" {schema}.{table.name} GROUP BY number)"
                )


def _pack(lake: Lake, workspace_id: UUID, deleted_share: float) -> None:
    """Inlined rows become files, deleted rows leave theirs, small files become large ones."""
    name = schema_of(workspace_id).removeprefix("lake.")
    with lake.reading() as cursor:
        cursor.execute(f"CALL ducklake_flush_inlined_data('lake', schema_name => '{name}')")
        for table in (*(table.name for table in TABLES), "progress", "erased"):
            cursor.execute(
                f"CALL ducklake_rewrite_data_files('lake', '{table}', schema => '{name}', delete_threshold => {deleted_share})"
            )
            cursor.execute(f"CALL ducklake_merge_adjacent_files('lake', '{table}', schema => '{name}')")


def _expire(lake: Lake, before: datetime) -> int:
    """Drop versions older than that but the newest, and remove the files that only they need."""
    instant = f"'{before.astimezone(UTC):%Y-%m-%d %H:%M:%S}+00'::TIMESTAMPTZ"
    with lake.reading() as cursor:
        expired = cursor.execute(f"CALL ducklake_expire_snapshots('lake', older_than => {instant})").fetchall()
        cursor.execute(f"CALL ducklake_cleanup_old_files('lake', older_than => {instant})")
        cursor.execute(f"CALL ducklake_delete_orphaned_files('lake', older_than => {instant})")
    return len(expired)


def _forget_the_gone(lake: Lake, pool: Database, workspace_id: UUID) -> None:
    """What the lake has forgotten need not be told again."""
    until = watermark(lake, workspace_id)
    with pool.transaction(workspace_id, timeout=300) as session:
        run(
            session,
            "DELETE FROM event_gone WHERE workspace_id = app_ws() AND tx < CAST(CAST(:until AS text) AS xid8)",
            until=str(until),
        )
