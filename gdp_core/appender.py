"""Group commit: deliveries that arrive together are stored together, and nobody is told so before COMMIT.

One task drains a bounded queue into one INSERT and one ledger row per source and hour, in one transaction. What cannot
be stored now is refused as Unavailable, never kept beyond what fits the queue; what can never be stored is refused
alone (Unstorable), its neighbours are not. Browser traffic is shed first, signed webhooks last.
"""

import asyncio
import contextlib
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson
import psycopg
import structlog
from psycopg import AsyncConnection, errors

from gdp_core.errors import InvalidInput, Unavailable
from gdp_core.failpoint import failpoint
from gdp_core.ids import time_ordered
from gdp_core.line import Line
from gdp_core.sources.facts import Delivery, Trust

PATIENCE = 1.8  # seconds a delivery may wait for its COMMIT before its sender is told to come back
BATCH_ROWS = 500
BATCH_BYTES = 8 * 1024 * 1024
QUEUE_ROWS = 10_000
QUEUE_BYTES = 64 * 1024 * 1024

_SHARE: dict[Trust, float] = {"browser": 0.5, "server": 0.75, "signed": 1.0}  # of the queue, for each trust

# Data Postgres will never take: data exception, integrity, program limit. Everything else may pass.
_POISON = ("22", "23", "54")

_INSERT = """
WITH stored AS (
    INSERT INTO inbox (id, workspace_id, received_at, source_id, source, route, trust, headers, query, body,
        state, attempts, run_at, facts, facts_applied, facts_duplicate, facts_quarantined)
    SELECT id, workspace_id, received_at, source_id, source, route, trust, headers::jsonb, query::jsonb, body,
        'pending', 0, received_at, 0, 0, 0, 0
    FROM unnest(%b::uuid[], %b::uuid[], %b::timestamptz[], %b::uuid[], %b::text[], %b::text[], %b::text[], %b::text[],
        %b::text[], %b::bytea[])
        AS incoming(id, workspace_id, received_at, source_id, source, route, trust, headers, query, body)
)
INSERT INTO ledger_entry (id, workspace_id, ledger, source_id, hour,
    received, applied, duplicate, quarantined, dead, erased)
SELECT id, workspace_id, 'delivery', source_id, hour, received, 0, 0, 0, 0, 0
FROM unnest(%b::uuid[], %b::uuid[], %b::uuid[], %b::timestamptz[], %b::bigint[])
    AS posting(id, workspace_id, source_id, hour, received)
"""

log = structlog.get_logger()


class Unstorable(InvalidInput):
    """This request holds data that cannot be stored; it will not help to send it again."""


@dataclass(slots=True, eq=False)
class _Waiting:
    delivery: Delivery
    stored: asyncio.Future[None]
    since: float
    size: int


class Appender:
    """The only writer of the inbox at the door. `observe(rows, seconds)` is called after every COMMIT."""

    def __init__(
        self,
        line: Line,
        *,
        rows: int = QUEUE_ROWS,
        size: int = QUEUE_BYTES,
        patience: float = PATIENCE,
        observe: Callable[[int, float], None] = lambda _rows, _seconds: None,
    ) -> None:
        self._line = line
        self._rows = rows
        self._size = size
        self._patience = patience
        self._observe = observe
        self._queue: deque[_Waiting] = deque()
        self._queued_bytes = 0
        self._wake = asyncio.Event()
        self._closing = False
        self._task: asyncio.Task[None] | None = None

    @property
    def depth(self) -> int:
        """Deliveries that wait to be sent to Postgres."""
        return len(self._queue)

    @property
    def queued_bytes(self) -> int:
        """The size of their bodies."""
        return self._queued_bytes

    @property
    def oldest(self) -> float:
        """Seconds the first of them has waited; 0 when none waits."""
        return time.monotonic() - self._queue[0].since if self._queue else 0.0

    def start(self) -> None:
        """Begin to drain the queue on the running loop."""
        self._task = asyncio.get_running_loop().create_task(self._drain())

    async def close(self, patience: float = 5.0) -> None:
        """Store what waits, for at most `patience` seconds, and stop."""
        self._closing = True
        self._wake.set()
        if self._task is not None:
            await asyncio.wait((self._task,), timeout=patience)
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
            self._task = None

    async def append(self, delivery: Delivery) -> None:
        """Return once the delivery is on disk. Raises Unavailable (it may be stored all the same), Unstorable."""
        size = len(delivery.body)
        share = _SHARE[delivery.trust]
        if self._closing or len(self._queue) >= self._rows * share or self._queued_bytes + size > self._size * share:
            raise Unavailable("More arrives than can be stored at the moment; try again.")
        waiting = _Waiting(delivery, asyncio.get_running_loop().create_future(), time.monotonic(), size)
        self._queue.append(waiting)
        self._queued_bytes += size
        self._wake.set()
        try:
            async with asyncio.timeout(self._patience):
                await waiting.stored
        except TimeoutError:
            raise Unavailable("Postgres does not answer; it is tried again by itself.") from None

    async def _drain(self) -> None:
        while not (self._closing and not self._queue):
            if not self._queue:
                self._wake.clear()
                await self._wake.wait()
                continue
            connection = await self._line.wait_until_open()
            if batch := self._take():
                started = time.monotonic()
                await self._store(connection, batch)
                self._observe(len(batch), time.monotonic() - started)

    def _take(self) -> list[_Waiting]:
        """The next batch, without those whose senders were told to come back."""
        batch: list[_Waiting] = []
        size = 0
        while self._queue and len(batch) < BATCH_ROWS and (not batch or size + self._queue[0].size <= BATCH_BYTES):
            waiting = self._queue.popleft()
            self._queued_bytes -= waiting.size
            if not waiting.stored.done():
                batch.append(waiting)
                size += waiting.size
        return batch

    async def _store(self, connection: AsyncConnection[Any], batch: Sequence[_Waiting]) -> None:
        """Store a batch; the outcome is in the futures. Raises nothing."""
        try:
            await self._commit(connection, [waiting.delivery for waiting in batch])
            failpoint("door.committed")
        except Exception as error:  # noqa: BLE001 - whatever it is, the senders must hear of it and the next must go on
            await self._refuse(connection, batch, error)
        else:
            for waiting in batch:
                if not waiting.stored.done():
                    waiting.stored.set_result(None)

    async def _commit(self, connection: AsyncConnection[Any], deliveries: Sequence[Delivery]) -> None:
        columns = _columns(deliveries)
        try:
            await self._insert(connection, columns)
        except errors.CheckViolation:
            months = {delivery.received_at.replace(day=1) for delivery in deliveries}
            made = [await self._ensure_partition(connection, month) for month in months]
            if not any(made):
                raise
            await self._insert(connection, columns)

    async def _insert(self, connection: AsyncConnection[Any], columns: Sequence[Any]) -> None:
        async with connection.transaction():
            await connection.execute(_INSERT, columns, prepare=True)
            failpoint("door.appended")

    async def _ensure_partition(self, connection: AsyncConnection[Any], month: datetime) -> bool:
        cursor = await connection.execute("SELECT partition_ensure('inbox', %b::timestamptz)", (month,))
        row = await cursor.fetchone()
        return bool(row and row[0])

    async def _refuse(self, connection: AsyncConnection[Any], batch: Sequence[_Waiting], error: Exception) -> None:
        if not _is_poison(error):
            state = getattr(error, "sqlstate", None)
            log.warning(
                "not stored", action="appender.failed", error=type(error).__name__, sqlstate=state, rows=len(batch)
            )
            _fail(batch, Unavailable("Postgres could not store this now; try again."))
            if not isinstance(error, psycopg.Error):  # whatever state it is in
                await self._line.close()
        elif len(batch) == 1:
            log.warning("refused for ever", action="appender.poison", error=type(error).__name__)
            _fail(batch, Unstorable())
        else:
            middle = len(batch) // 2
            await self._store(connection, batch[:middle])
            await self._store(connection, batch[middle:])


def _columns(deliveries: Sequence[Delivery]) -> list[Any]:
    postings: Counter[tuple[UUID, UUID, datetime]] = Counter(
        (delivery.workspace_id, delivery.source_id, delivery.received_at.replace(minute=0, second=0, microsecond=0))
        for delivery in deliveries
    )
    now = deliveries[0].received_at
    return [
        [delivery.id for delivery in deliveries],
        [delivery.workspace_id for delivery in deliveries],
        [delivery.received_at for delivery in deliveries],
        [delivery.source_id for delivery in deliveries],
        [delivery.source for delivery in deliveries],
        [delivery.route for delivery in deliveries],
        [delivery.trust for delivery in deliveries],
        [orjson.dumps(delivery.headers).decode() for delivery in deliveries],
        [orjson.dumps(delivery.query).decode() for delivery in deliveries],
        [delivery.body for delivery in deliveries],
        [time_ordered(now) for _ in postings],
        [workspace_id for workspace_id, _, _ in postings],
        [source_id for _, source_id, _ in postings],
        [hour for _, _, hour in postings],
        list(postings.values()),
    ]


def _is_poison(error: Exception) -> bool:
    if isinstance(error, psycopg.Error) and error.sqlstate:
        return error.sqlstate[:2] in _POISON
    # Raised before anything was sent: a value that cannot be put into the wire format.
    return isinstance(error, ValueError | TypeError | psycopg.DataError)


def _fail(batch: Sequence[_Waiting], error: Exception) -> None:
    for waiting in batch:
        if not waiting.stored.done():
            waiting.stored.set_exception(error)
