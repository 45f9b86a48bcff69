"""One cycle of a workspace's segments in a process of its own, so that tests can kill it; right, or wrong on purpose.

Everybody has ordered just before it. python -m tests.segment_writer FOLDER WORKSPACE INSTANT none|lasting_mark
"""

import sys
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from uuid import UUID

import numpy as np

from gdp_core.analytics.calendar import micros
from gdp_core.db import Database, rows
from gdp_core.runtime import runtime_dsn
from gdp_core.segments import recording
from gdp_core.segments.cycle import run_cycle

from .timelines import Happened, Somebody, timeline_of


def main(folder: str, workspace: str, instant: str, mutant: str) -> None:
    ws, now, pool = UUID(workspace), datetime.fromisoformat(instant), Database(runtime_dsn(), "gdp_worker", size=2)
    with pool.transaction(ws, read_only=True) as session:
        numbers = [row.number for row in rows(session, "SELECT number FROM actor ORDER BY number")]
    everybody = [Somebody([Happened(micros(now) - 1, "order")]) for _ in numbers]
    timeline = replace(timeline_of(everybody, watermark=micros(now)), numbers=np.array(numbers, np.int64))
    if mutant == "lasting_mark":  # what was written is not told from what is remembered
        recording.uuid4 = lambda: UUID(int=1)  # type: ignore[attr-defined]
    run_cycle(pool, ws, timeline, Path(folder), now)


if __name__ == "__main__":
    main(*sys.argv[1:])
