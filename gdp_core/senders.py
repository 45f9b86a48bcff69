"""Who may send: from a key or a hook address to the source it belongs to.

Asks Postgres at most every few seconds per key, so a revoked key works for five seconds more and a new one within two.
Keeps no key, only hashes; secrets stay in memory as long as the answer does.
"""

import asyncio
import hashlib
import time
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Generic, Literal, TypeVar
from uuid import UUID

import psycopg
import structlog

from gdp_core import vault
from gdp_core.errors import BadSetting, Unavailable
from gdp_core.line import Line

KNOWN_SECONDS = 5.0
UNKNOWN_SECONDS = 2.0
PATIENCE = 1.8  # seconds a request waits for Postgres before it is told to come back

_SIZE = 10_000

log = structlog.get_logger()
Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True)
class Sender:
    """A source instance, and what its key may do."""

    workspace_id: UUID
    source_id: UUID
    source: str
    kind: Literal["browser", "server"]
    allowed_origins: frozenset[str]
    expires_at: datetime | None
    key_id: UUID


@dataclass(frozen=True, slots=True)
class Hook:
    """A webhook address and the secrets its sender may sign with."""

    workspace_id: UUID
    source_id: UUID
    source: str
    secrets: tuple[str, ...] = field(repr=False)


class Senders:
    """Cached look-ups over one connection."""

    def __init__(self, line: Line, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._line = line
        self._keys: _Memory[Sender] = _Memory(clock)
        self._hooks: _Memory[Hook] = _Memory(clock)

    async def by_key(self, key: str, now: datetime) -> Sender | None:
        """The holder of an unexpired tracking key, or None. Raises Unavailable."""
        digest = hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest()
        sender = await self._keys.recall(digest, lambda: self._ask_key(digest))
        return None if sender is None or (sender.expires_at and sender.expires_at <= now) else sender

    async def by_hook(self, hook_key: str) -> Hook | None:
        """The hook at that address, or None. Raises Unavailable."""
        # An unknown address may be of any length; what is remembered of it is not.
        digest = hashlib.sha256(hook_key.encode("utf-8", "surrogatepass")).digest()
        return await self._hooks.recall(digest, lambda: self._ask_hook(hook_key))

    def knows_key(self, key: str) -> bool:
        """Whether the key was good a moment ago, without asking."""
        return self._keys.knows(hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest())

    def knows_hook(self, hook_key: str) -> bool:
        """Whether the address was good a moment ago, without asking."""
        return self._hooks.knows(hashlib.sha256(hook_key.encode("utf-8", "surrogatepass")).digest())

    async def _ask_key(self, digest: bytes) -> Sender | None:
        connection = await self._line.connection()
        row = await (await connection.execute("SELECT * FROM door_key(%b)", (digest,))).fetchone()
        if row is None:
            return None
        workspace_id, source_id, source, kind, origins, expires_at, key_id = row
        origins = frozenset(origin.strip().rstrip("/").lower() for origin in origins)
        return Sender(workspace_id, source_id, source, kind, origins, expires_at, key_id)

    async def _ask_hook(self, hook_key: str) -> Hook | None:
        if "\0" in hook_key or not hook_key.isascii():  # ours are ASCII, and Postgres refuses NUL
            return None
        connection = await self._line.connection()
        rows = await (await connection.execute("SELECT * FROM door_hook(%s)", (hook_key,))).fetchall()
        if not rows:
            return None
        workspace_id, source_id, source = rows[0][:3]
        secrets = (_open(workspace_id, secret_id, sealed) for *_, secret_id, sealed in rows if sealed is not None)
        return Hook(workspace_id, source_id, source, tuple(secret for secret in secrets if secret))


def _open(workspace_id: UUID, secret_id: UUID, sealed: bytes) -> str | None:
    try:
        return vault.unseal(
            sealed, workspace_id=workspace_id, table="source_secret", row_id=secret_id, column="ciphertext"
        )
    except (vault.Sealed, BadSetting) as error:
        # Fails closed: without its secret nothing verifies.
        log.error("a signing secret does not open", action="senders.sealed", secret=str(secret_id), reason=str(error))
        return None


class _Memory(Generic[Answer]):
    """Answers for a few seconds; one question per key at a time. Unknown keys cannot push out known ones."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._known: dict[Hashable, tuple[float, Answer]] = {}
        self._unknown: dict[Hashable, float] = {}
        self._asking: dict[Hashable, asyncio.Task[Answer | None]] = {}

    def knows(self, key: Hashable) -> bool:
        return key in self._known

    async def recall(self, key: Hashable, ask: Callable[[], Awaitable[Answer | None]]) -> Answer | None:
        now = self._clock()
        known = self._known.get(key)
        if known is not None and known[0] > now:
            return known[1]
        if self._unknown.get(key, 0.0) > now:
            return None
        task = self._asking.get(key)
        if task is None:
            if len(self._asking) >= _SIZE:
                raise Unavailable("Too many look-ups wait for Postgres; try again.")
            task = asyncio.create_task(self._ask(key, ask))
            self._asking[key] = task
            task.add_done_callback(lambda done: self._asked(key, done))
        # The task is shared and goes on: only the waiting has an end.
        done, _ = await asyncio.wait((task,), timeout=PATIENCE)
        if not done:
            raise Unavailable("Postgres does not answer; it is tried again by itself.")
        return task.result()

    def _asked(self, key: Hashable, task: asyncio.Task[Answer | None]) -> None:
        del self._asking[key]
        if not task.cancelled():
            task.exception()  # nobody may be waiting for it any more

    async def _ask(self, key: Hashable, ask: Callable[[], Awaitable[Answer | None]]) -> Answer | None:
        try:
            answer = await ask()
        except (psycopg.Error, BadSetting) as error:
            raise Unavailable("Postgres cannot be reached; it is tried again by itself.") from error
        self._known.pop(key, None)
        self._unknown.pop(key, None)
        if answer is None:
            _put(self._unknown, key, self._clock() + UNKNOWN_SECONDS)
        else:
            _put(self._known, key, (self._clock() + KNOWN_SECONDS, answer))
        return answer


Kept = TypeVar("Kept")


def _put(entries: dict[Hashable, Kept], key: Hashable, value: Kept) -> None:
    if len(entries) >= _SIZE:
        entries.pop(next(iter(entries)))
    entries[key] = value
