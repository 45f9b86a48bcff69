"""Flushes a workspace's lake over and over in a process of its own, so that tests can kill it; right, or wrong on purpose.

python -m tests.lake_writer FOLDER WORKSPACE flush|maintain|erase none|watermark_apart
"""

import sys
from uuid import UUID

import duckdb

from gdp_core import clock
from gdp_core.db import Database, one
from gdp_core.errors import Unavailable
from gdp_core.failpoint import failpoint
from gdp_core.lake import upkeep, writing
from gdp_core.lake.connection import Lake
from gdp_core.lake.tables import ACTOR, EVENT, PERSON, schema_of
from gdp_core.runtime import runtime_dsn


def watermark_apart(lake: Lake, pool: Database, workspace_id: UUID) -> None:
    """Writes the rows in one commit and the watermark in the next."""
    since = writing.watermark(lake, workspace_id)
    until = writing._look(pool, workspace_id, since).until
    with lake.source(workspace_id) as source:
        with lake.transaction() as cursor:
            for table in (EVENT, ACTOR, PERSON):
                writing._append(cursor, schema_of(workspace_id), source, table, since, until)
        failpoint("lake.written")
        with lake.transaction() as cursor:
            cursor.execute(f"UPDATE {schema_of(workspace_id)}.progress SET tx = {until}")


def main(folder: str, workspace: str, what: str, mutant: str) -> None:
    """Until killed for `flush`, else once."""
    ws, pool = UUID(workspace), Database(runtime_dsn(), "gdp_worker", size=2)
    with Lake(runtime_dsn(), folder, memory="300MB", threads=1) as lake:
        writing.ensure(lake, ws)
        print("ready", flush=True)
        while what == "flush":
            try:
                if mutant == "watermark_apart":
                    watermark_apart(lake, pool, ws)
                else:
                    writing.flush(lake, pool, ws, clock.now())
            except (Unavailable, duckdb.Error):
                continue
            print("flushed", flush=True)
        if what == "maintain":
            upkeep.maintain(lake, pool, [ws], clock.now() + 2 * upkeep.GRACE)
        if what == "erase":
            with pool.transaction(ws, read_only=True) as session:
                person = one(session, "SELECT id FROM person WHERE email = 'victim@acme.example'").id
            upkeep.erase(lake, pool, ws, person, clock.now())


if __name__ == "__main__":
    main(*sys.argv[1:])
