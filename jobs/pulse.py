"""Says that a process is alive, for the Jobs page, the metrics and the alarms."""

import os
import threading
from collections.abc import Callable, Mapping

import structlog
from sqlalchemy import exc

from gdp_core.db import Database, records, run
from gdp_core.errors import Unavailable

BEAT = 10.0

log = structlog.get_logger()


def beat(pool: Database, process: str, detail: Mapping[str, object]) -> None:
    """One heartbeat, by the server's clock. Raises Unavailable."""
    with pool.transaction(None) as session:
        run(
            session,
            "INSERT INTO ops.heartbeat (process, pid, at, detail) VALUES (:process, :pid, clock_timestamp(),"
            " CAST(:detail AS jsonb)) ON CONFLICT (process) DO UPDATE SET pid = excluded.pid, at = excluded.at,"
            " detail = excluded.detail",
            process=process,
            pid=os.getpid(),
            detail=records([dict(detail)])[1:-1],
        )


def keep_beating(
    pool: Database, process: str, detail: Callable[[], Mapping[str, object]], stopping: threading.Event
) -> threading.Thread:
    """Beat beside the work until `stopping`: a job may take hours, and its process is well."""

    def beating() -> None:
        while True:
            try:
                beat(pool, process, detail())
            except (Unavailable, exc.SQLAlchemyError) as error:  # the next beat may be well again
                log.warning("no heartbeat", action="pulse.waiting", process=process, reason=type(error).__name__)
            if stopping.wait(BEAT):
                return

    thread = threading.Thread(target=beating, name="pulse", daemon=True)
    thread.start()
    return thread
