"""Brings the lake up to Postgres, exactly once: what transactions changed, and up to which one, in one commit.

Postgres's transactions do not commit in the order they began. Each row carries the number of the transaction that wrote
it (`tx`), and a flush takes what lies between its watermark and the oldest transaction that still runs: below that
nothing can appear any more. Numbers are the server's, so one that is seen to be another database's holds nobody up. A second writer of a workspace meets the first one's watermark at COMMIT and writes nothing.
"""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import duckdb

from gdp_core.db import Database, one, run
from gdp_core.errors import Unavailable
from gdp_core.failpoint import failpoint
from gdp_core.lake.connection import FilesGone, Lake, asked
from gdp_core.lake.tables import ACTOR, EVENT, PERSON, TABLES, Table, current, schema_of


@dataclass(frozen=True, slots=True)
class Flushed:
    """What a flush wrote. `until` is the watermark after it."""

    events: int
    removed: int
    actors: int
    people: int
    until: int

    @property
    def is_nothing(self) -> bool:
        """Whether the lake is as it was."""
        return not (self.events or self.removed or self.actors or self.people)


@dataclass(frozen=True, slots=True)
class Compared:
    """A table of the lake beside Postgres: rows there, rows here, and whether each is the same."""

    table: str
    there: int
    here: int
    same: bool


@dataclass(frozen=True, slots=True)
class _Horizon:
    """Transactions before `until` are all over; `newest` comes next. `waiting`: the oldest delivery nobody has tried."""

    until: int
    newest: int
    waiting: datetime | None
    changed: bool


def flush(lake: Lake, pool: Database, workspace_id: UUID, now: datetime) -> Flushed:
    """Append what changed since the last flush. `pool` runs as gdp_worker. Safe to kill, to repeat and to run twice.

    Raises Unavailable when another flush of the workspace won, or when Postgres is older than the lake.
    """
    ensure(lake, workspace_id)
    since = watermark(lake, workspace_id)
    horizon = _look(pool, workspace_id, since)
    if horizon.until < since:
        raise Unavailable(
            "Postgres is older than the lake, as after a backup was restored: run python -m jobs lake rebuild."
        )
    done = Flushed(0, 0, 0, 0, since)
    if horizon.changed:
        with lake.writing(), lake.source(workspace_id) as source, lake.transaction() as cursor:
            done = _write(cursor, workspace_id, source, since, horizon.until)
            failpoint("lake.written")
        failpoint("lake.committed")
    _note(pool, workspace_id, horizon, now)
    return done


def rebuild(lake: Lake, pool: Database, workspace_id: UUID, now: datetime) -> Flushed:
    """Everything again from Postgres, in one commit: readers see the old lake or the new one.

    It needs no file that is there. Without those that name who was erased, these people are back.
    """
    ensure(lake, workspace_id)
    _adopt(pool, workspace_id)
    horizon, schema = _look(pool, workspace_id, 0), schema_of(workspace_id)
    with lake.writing(), lake.source(workspace_id) as source, lake.transaction() as cursor:
        erased = _erased(lake, workspace_id)
        for name in (*(table.name for table in TABLES), "erased", "progress"):
            cursor.execute(f"DROP TABLE {schema}.{name}")
        _make(cursor, schema)
        cursor.execute(f"INSERT INTO {schema}.erased SELECT unnest($1::BIGINT[])", [erased])
        done = _write(cursor, workspace_id, source, 0, horizon.until)
    _note(pool, workspace_id, horizon, now)
    return done


def exists(lake: Lake, workspace_id: UUID) -> bool:
    """Whether the workspace has tables in the lake."""
    with lake.reading() as cursor:
        known = cursor.execute(
            "SELECT count(*) FROM duckdb_tables() WHERE database_name = 'lake' AND schema_name = $1 AND table_name = 'progress'",
            [schema_of(workspace_id).removeprefix("lake.")],
        ).fetchone()
    return bool(known and known[0])


def ensure(lake: Lake, workspace_id: UUID) -> None:
    """Make the workspace's tables where they are missing, and columns that an earlier release did not have."""
    schema = schema_of(workspace_id)
    with lake.reading() as cursor:
        known = cursor.execute(
            "SELECT table_name, column_name FROM duckdb_columns() WHERE database_name = 'lake' AND schema_name = $1",
            [schema.removeprefix("lake.")],
        ).fetchall()
    if not known:
        with lake.transaction() as cursor:
            cursor.execute(f"CREATE SCHEMA IF NOT EXISTS {schema}")
            _make(cursor, schema)
        return
    new = [
        f'ALTER TABLE {schema}.{table.name} ADD COLUMN "{name}" {kind}'
        for table in TABLES
        for name, (kind, _) in table.columns.items()
        if (table.name, name) not in known
    ]
    if new:
        with lake.transaction() as cursor:
            for statement in new:
                cursor.execute(statement)


def _make(cursor: duckdb.DuckDBPyConnection, schema: str) -> None:
    for table in TABLES:
        cursor.execute(f"CREATE TABLE IF NOT EXISTS {schema}.{table.name} ({table.definition})")
    cursor.execute(f"CREATE TABLE IF NOT EXISTS {schema}.erased (actor BIGINT)")
    cursor.execute(f"CREATE TABLE IF NOT EXISTS {schema}.progress (tx BIGINT)")
    cursor.execute(f"ALTER TABLE {schema}.event SET PARTITIONED BY (year(occurred_at), month(occurred_at))")
    cursor.execute(f"ALTER TABLE {schema}.event SET SORTED BY (name ASC, actor ASC, occurred_at ASC)")
    cursor.execute(f"INSERT INTO {schema}.progress VALUES (0)")


def _erased(lake: Lake, workspace_id: UUID) -> list[int]:
    """The numbers of who was erased; nobody's where the files that hold them are gone."""
    try:
        with lake.reading() as cursor:
            found = cursor.execute(f"SELECT actor FROM {schema_of(workspace_id)}.erased").fetchall()
    except FilesGone:
        return []
    return [actor for (actor,) in found]


def _adopt(pool: Database, workspace_id: UUID) -> None:
    """Rows of transactions that this server has yet to begin were restored from another's dump.

    They count as written by the first transaction, or the lake would not have them until the numbers are reached.
    """
    with pool.transaction(workspace_id, timeout=_ADOPTION) as session:
        for table in ("event", "actor", "person"):
            run(session, f"UPDATE {table} SET tx = '3' WHERE workspace_id = app_ws() AND {_FOREIGN}")
        run(session, f"DELETE FROM event_gone WHERE workspace_id = app_ws() AND {_FOREIGN}")
        run(
            session,
            f"DELETE FROM ops.lake_state WHERE workspace_id = app_ws() AND CAST(CAST(next_tx AS text) AS xid8) > {_NEXT}",
        )


def watermark(lake: Lake, workspace_id: UUID) -> int:
    """Every transaction before this one is in the lake."""
    with lake.reading() as cursor:
        found = cursor.execute(f"SELECT tx FROM {schema_of(workspace_id)}.progress").fetchone()
    return int(found[0]) if found else 0


def compare(lake: Lake, workspace_id: UUID) -> tuple[Compared, ...]:
    """Every row of the lake against Postgres as of the watermark, by a hash over all columns.

    Rows that changed in Postgres since are left out on both sides: the next flush brings them.
    """
    until = watermark(lake, workspace_id)
    erased = f"(SELECT actor FROM {schema_of(workspace_id)}.erased)"
    found = []
    with lake.source(workspace_id) as source, lake.reading() as cursor:
        _, newest = cursor.execute(f"SELECT * FROM {asked(source, _XIDS)}").fetchone() or (0, 0)
        for table in TABLES:
            columns = ", ".join(f'"{name}"' for name in table.columns if name != "tx")
            since = _gone(until, newest + 1) if table is EVENT else table.changed(until, newest + 1)
            here, there = (
                cursor.execute(
                    f"SELECT count(*), sum(hash(t))::VARCHAR FROM (SELECT {columns} FROM ({rows_of}) WHERE"
                    f" coalesce({table.actor} NOT IN {erased}, true)"
                    f" AND {table.key} NOT IN (SELECT {table.key} FROM {asked(source, since)})) t"
                ).fetchone()
                or (0, None)
                for rows_of in (current(workspace_id, table), f"FROM {asked(source, table.changed(0, until))}")
            )
            found.append(Compared(table.name, there[0], here[0], there == here))
    return tuple(found)


_ADOPTION = 3600  # seconds: once after a restore, every row may have to be written again
_NEXT = "pg_snapshot_xmax(pg_current_snapshot())"
_FOREIGN = f"tx >= {_NEXT}"

_XIDS = """
    WITH now AS (SELECT pg_current_snapshot() AS snapshot), elsewhere AS (
        SELECT l.transactionid AS id FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid
        JOIN pg_database d ON d.datname = current_database()
        WHERE l.locktype = 'transactionid' AND l.mode = 'ExclusiveLock' AND a.datid <> d.oid)
    SELECT coalesce((SELECT min(id::text::bigint) FROM pg_snapshot_xip(snapshot) AS id
            WHERE id::xid NOT IN (SELECT elsewhere.id FROM elsewhere)), pg_snapshot_xmax(snapshot)::text::bigint),
        pg_snapshot_xmax(snapshot)::text::bigint FROM now
"""


def _look(pool: Database, workspace_id: UUID, since: int) -> _Horizon:
    with pool.transaction(workspace_id, read_only=True) as session:
        oldest, newest = one(session, _XIDS)
        changed = one(
            session,
            "SELECT "
            + " OR ".join(
                f"EXISTS (SELECT FROM {name} WHERE workspace_id = app_ws() AND tx >= CAST(CAST(:since AS text) AS xid8)"
                " AND tx < CAST(CAST(:until AS text) AS xid8))"
                for name in ("event", "event_gone", "actor", "person")
            ),
            since=str(since),
            until=str(oldest),
        )
        waiting = one(
            session,
            "SELECT min(received_at) FROM inbox WHERE workspace_id = app_ws() AND state = 'pending' AND attempts = 0",
        )
    return _Horizon(oldest, newest, waiting[0], changed[0])


def _write(cursor: duckdb.DuckDBPyConnection, workspace_id: UUID, source: str, since: int, until: int) -> Flushed:
    """What transactions since <= tx < until left, within the open transaction."""
    schema = schema_of(workspace_id)
    removed = 0
    if since:
        gone = cursor.execute(f"FROM {asked(source, _gone(since, until))}").fetchall()
        removed = _remove(cursor, schema, gone)
    written = [_append(cursor, schema, source, table, since, until) for table in (EVENT, ACTOR, PERSON)]
    cursor.execute(f"UPDATE {schema}.progress SET tx = $1", [until])
    return Flushed(written[0], removed, written[1], written[2], until)


def _append(cursor: duckdb.DuckDBPyConnection, schema: str, source: str, table: Table, since: int, until: int) -> int:
    done = cursor.execute(
        f"INSERT INTO {schema}.{table.name} ({table.names}) SELECT {table.names} FROM {asked(source, table.changed(since, until))}"
        f" WHERE coalesce({table.actor} NOT IN (SELECT actor FROM {schema}.erased), true)"
    ).fetchone()
    return int(done[0]) if done else 0


def _gone(since: int, until: int) -> str:
    return (
        "SELECT event_id AS id, occurred_at AT TIME ZONE 'UTC' AS at FROM event_gone WHERE workspace_id = app_ws()"
        f" AND tx >= '{int(since)}'::xid8 AND tx < '{int(until)}'::xid8"
    )


def _remove(cursor: duckdb.DuckDBPyConnection, schema: str, gone: list[tuple[UUID, datetime]]) -> int:
    """Delete events by id. Their instants tell which files to look into."""
    if not gone:
        return 0
    instants = [at for _, at in gone]
    done = cursor.execute(
        f"DELETE FROM {schema}.event WHERE occurred_at >= $1 AND occurred_at <= $2 AND id IN (SELECT unnest($3::UUID[]))",
        [min(instants), max(instants), [str(event) for event, _ in gone]],
    ).fetchone()
    return int(done[0]) if done else 0


def _note(pool: Database, workspace_id: UUID, horizon: _Horizon, now: datetime) -> None:
    """Remember since when the lake holds everything that was applied.

    An instant is complete once every transaction that had begun at it is in the lake. One that still runs keeps a flush
    from saying so of its own instant; the first flush after its end says it of the instant that was waiting.
    """
    with pool.transaction(workspace_id) as session:
        run(
            session,
            """
            INSERT INTO ops.lake_state AS s (workspace_id, complete_at, next_at, next_tx, flushed_at)
            VALUES (:ws, CASE WHEN :until >= :newest THEN CAST(:seen AS timestamptz) END, :seen, :newest, :now)
            ON CONFLICT (workspace_id) DO UPDATE SET
                complete_at = greatest(s.complete_at, CASE WHEN :until >= :newest THEN CAST(:seen AS timestamptz)
                    WHEN :until >= s.next_tx THEN s.next_at END),
                next_at = CASE WHEN :until >= s.next_tx THEN excluded.next_at ELSE s.next_at END,
                next_tx = CASE WHEN :until >= s.next_tx THEN excluded.next_tx ELSE s.next_tx END,
                flushed_at = :now
            """,
            ws=workspace_id,
            until=horizon.until,
            newest=horizon.newest,
            seen=min(now, horizon.waiting) if horizon.waiting else now,
            now=now,
        )
