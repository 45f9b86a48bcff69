"""One asyncio connection to Postgres as the role gdp_ingest, opened again by itself.

It makes sure, at every opening, that what it commits is on disk. A coroutine of psycopg is never cancelled: on a
frozen server the cancelling would hang too. Who cannot wait waits on a future of its own.
"""

import asyncio
import random
import time
from typing import Any

import psycopg
import structlog
from psycopg import AsyncConnection

from gdp_core.db import unreachable
from gdp_core.errors import BadSetting, Unavailable

ROLE = "gdp_ingest"

_CONNECT_SECONDS = 3
_FIRST_PAUSE, _LONGEST_PAUSE = 0.05, 1.0

log = structlog.get_logger()


class Line:
    """A connection that any number of coroutines may share; psycopg takes their statements in turn."""

    options = "-c timezone=UTC -c synchronous_commit=on -c statement_timeout=15000 -c idle_in_transaction_session_timeout=15000"

    def __init__(self, dsn: str, name: str) -> None:
        self._dsn = dsn
        self._name = name
        self._connection: AsyncConnection[Any] | None = None
        self._opening = asyncio.Lock()
        self._not_before = 0.0
        self._pause = 0.0

    async def connection(self) -> AsyncConnection[Any]:
        """The open connection, opened if need be. Raises Unavailable (at once while it backs off), BadSetting."""
        connection = self._connection
        if connection is not None and not connection.closed:
            return connection
        async with self._opening:
            if self._connection is None or self._connection.closed:
                self._connection = await self._open()
            return self._connection

    async def wait_until_open(self) -> AsyncConnection[Any]:
        """The open connection, however long that takes."""
        while True:
            try:
                return await self.connection()
            except Unavailable as error:
                await asyncio.sleep(error.retry_after)
            except BadSetting as error:
                log.error("refusing to store", action="line.refused", reason=str(error))
                await asyncio.sleep(_LONGEST_PAUSE)

    async def close(self) -> None:
        """Hang up. A later use opens it again."""
        if self._connection is not None:
            await self._connection.close()

    async def check(self, connection: AsyncConnection[Any]) -> None:
        """Become gdp_ingest and refuse a server that acknowledges what it has not written. Raises BadSetting."""
        await connection.execute(f"SET ROLE {ROLE}")  # a constant
        cursor = await connection.execute(
            "SELECT rolname = %s AND NOT rolsuper AND NOT rolbypassrls FROM pg_roles WHERE rolname = current_user",
            (ROLE,),
        )
        if await cursor.fetchone() != (True,):
            raise BadSetting(f"The role {ROLE} must be neither superuser nor exempt from row-level security.")
        for name in ("fsync", "synchronous_commit", "full_page_writes"):
            cursor = await connection.execute("SELECT current_setting(%s)", (name,))
            if await cursor.fetchone() == ("off",):
                raise BadSetting(f"Postgres runs with {name}=off and could lose what was acknowledged: set it to on.")

    async def _open(self) -> AsyncConnection[Any]:
        if time.monotonic() < self._not_before:
            raise self._unavailable()
        try:
            connection = await AsyncConnection.connect(
                self._dsn,
                autocommit=True,
                prepare_threshold=1,
                options=self.options,
                application_name=f"gdp {self._name}",
                connect_timeout=_CONNECT_SECONDS,
                keepalives_idle=10,
                keepalives_interval=3,
                keepalives_count=3,
                tcp_user_timeout=10_000,
            )
            try:
                await self.check(connection)
            except BaseException:
                await connection.close()
                raise
        except psycopg.Error as error:
            if not self._pause:
                log.warning("no connection", action="line.down", line=self._name, reason=str(unreachable(error)))
            self._pause = min(_LONGEST_PAUSE, max(_FIRST_PAUSE, self._pause * 2))
            self._not_before = time.monotonic() + self._pause * random.uniform(0.5, 1)  # noqa: S311 - not a secret
            raise self._unavailable() from error
        if self._pause:
            log.info("Postgres is back", action="line.up", line=self._name)
        self._pause = 0.0
        return connection

    def _unavailable(self) -> Unavailable:
        wait = max(0.01, self._not_before - time.monotonic())
        return Unavailable("Postgres cannot be reached; it is tried again by itself.", retry_after=wait)
