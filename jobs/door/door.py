"""What one door process holds: its connections, the rules, the queue, the counters, and the proof that it can commit."""

import asyncio
import contextlib
import os
from collections.abc import Callable
from datetime import datetime

import orjson
import psycopg

from gdp_core import clock
from gdp_core.accept import Acceptor
from gdp_core.addresses import Proxies
from gdp_core.appender import Appender
from gdp_core.errors import BadSetting, GrowthError, Unavailable
from gdp_core.limits import Limits
from gdp_core.line import Line
from gdp_core.senders import Senders
from jobs.door.metrics import Metrics, Pulse

READY_SECONDS = 2.0
HEARTBEAT_SECONDS = 10.0


class Door:
    """What one door process holds: its two connections, the rules, the queue and the counters."""

    def __init__(
        self,
        dsn: str,
        *,
        limits: Limits | None = None,
        trusted_proxies: str = "",
        line: Callable[[str, str], Line] = Line,
        appender: Callable[..., Appender] = Appender,
        now: Callable[[], datetime] = clock.now,
    ) -> None:
        self.now = now
        self.dsn = dsn
        self.proxies = Proxies(trusted_proxies)
        self.line = line(dsn, "door look-ups")
        self._storing = line(dsn, "door")
        self.metrics = Metrics()
        self.appender = appender(self._storing, observe=self.metrics.flushed)
        self.metrics.watch(self.appender)
        self.acceptor = Acceptor(Senders(self.line), limits or Limits.standard())
        self.held = 0
        self._beating: asyncio.Task[None] | None = None
        self._proof: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin to store. Raises BadSetting when Postgres would lose what is acknowledged; waits for no Postgres."""
        with contextlib.suppress(Unavailable):
            await self.line.connection()
        self.appender.start()
        self._beating = asyncio.create_task(self._beat())

    async def stop(self) -> None:
        """Store what waits and hang up."""
        await self.appender.close()
        for task in (self._beating, self._proof):
            if task is not None:
                task.cancel()
        await self.line.close()
        await self._storing.close()

    async def prove(self) -> None:
        """Return when a COMMIT has just succeeded. Raises Unavailable within two seconds otherwise."""
        if self._proof is None or self._proof.done():
            self._proof = asyncio.create_task(self._commit_heartbeat())
        done, _ = await asyncio.wait((self._proof,), timeout=READY_SECONDS)
        if not done:
            raise Unavailable("Postgres does not answer; it is tried again by itself.")
        self._proof.result()

    async def _beat(self) -> None:
        while True:
            with contextlib.suppress(GrowthError):
                await self.prove()
            with contextlib.suppress(GrowthError, psycopg.Error):  # when a key was used last may be forgotten
                await self.note_keys()
            await asyncio.sleep(HEARTBEAT_SECONDS)

    async def note_keys(self) -> None:
        """Write down which keys are in use."""
        if used := self.acceptor.take_used():
            connection = await self.line.connection()
            await connection.execute("SELECT keys_used(%s, %s)", (used, self.now()))

    async def pulses(self) -> list[Pulse]:
        """The latest heartbeat of every process; none while Postgres does not answer."""
        reading = asyncio.create_task(self._read_pulses())
        done, _ = await asyncio.wait((reading,), timeout=READY_SECONDS)
        return reading.result() if done else []

    async def _read_pulses(self) -> list[Pulse]:
        try:
            connection = await self.line.connection()
            cursor = await connection.execute(
                "SELECT process, extract(epoch FROM clock_timestamp() - at)::float, detail FROM ops.heartbeat"
            )
            return [Pulse(*row) for row in await cursor.fetchall()]
        except (psycopg.Error, GrowthError):
            return []

    async def _commit_heartbeat(self) -> None:
        detail = {"queued": self.appender.depth, "oldest_seconds": round(self.appender.oldest, 3)}
        try:
            connection = await self.line.connection()
            await connection.execute(
                "INSERT INTO ops.heartbeat (process, pid, at, detail) VALUES ('door', %s, %s, %s::jsonb)"
                " ON CONFLICT (process) DO UPDATE SET pid = excluded.pid, at = excluded.at, detail = excluded.detail",
                (os.getpid(), self.now(), orjson.dumps(detail).decode()),
            )
        except (psycopg.Error, BadSetting) as error:
            raise Unavailable("Postgres cannot commit; it is tried again by itself.") from error
