"""Doors that are wrong on purpose: the crash tests must catch each of them.

python -m tests.crash.mutants ack_before_commit|asynchronous_commit PORT
"""

import asyncio
import sys
from typing import Any

import uvloop
from psycopg import AsyncConnection

from gdp_core.appender import Appender
from gdp_core.line import Line
from gdp_core.settings import settings
from gdp_core.sources.facts import Delivery
from jobs.door.door import Door
from jobs.door.server import server
from tests.door import generous


class AckBeforeCommit(Appender):
    """Says yes when the delivery is queued."""

    async def append(self, delivery: Delivery) -> None:
        self._later = getattr(self, "_later", set())
        task = asyncio.create_task(super().append(delivery))
        self._later.add(task)
        task.add_done_callback(lambda done: done.cancelled() or done.exception())


class AsynchronousCommit(Line):
    """Takes Postgres' word before it is on disk."""

    options = Line.options.replace("synchronous_commit=on", "synchronous_commit=off")

    async def check(self, connection: AsyncConnection[Any]) -> None:
        await connection.execute("SET ROLE gdp_ingest")


MUTANTS: dict[str, dict[str, Any]] = {
    "none": {},
    "ack_before_commit": {"appender": AckBeforeCommit},
    "asynchronous_commit": {"line": AsynchronousCommit},
}


async def main(mutant: str, port: int) -> None:
    address = settings().database_url
    assert address is not None
    door = Door(address.get_secret_value(), limits=generous(), **MUTANTS[mutant])
    await server(door, port=port).serve()


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1], int(sys.argv[2])))
