"""A Postgres and a door of their own to be killed, and a sender that remembers what was acknowledged."""

import asyncio
import contextlib
import itertools
import os
import re
import secrets
import signal
import socket
import subprocess
import sys
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import psycopg

from gdp_core import vault
from gdp_core.schema import prepare
from jobs import ports
from jobs.postgres import EmbeddedPostgres, ServerUrls
from tests.conftest import ROOT
from tests.door import ENCRYPTION_KEYS, sign_standard
from tests.processes import kill

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
PATIENCE = 60.0
LOGIN = "gdp_crash"


class Rig:
    """One cluster with one connected source, and at most one door."""

    def __init__(self, folder: Path) -> None:
        self.postgres = EmbeddedPostgres(folder)
        self.urls: ServerUrls = self.postgres.start()
        self._password = secrets.token_hex(16)
        prepare(self.urls.admin_url, login=(LOGIN, self._password))
        self.port = ports.choose()
        self.door: subprocess.Popen[bytes] | None = None
        self.path = self._connect()
        self._log = (folder / "door.log").open("ab")
        self._frozen: list[psutil.Process] = []

    def reset(self) -> None:
        """End the door and forget what arrived."""
        if self.door:
            self.door.kill()
            self.door.wait()
            self.door = None
        with self.admin() as connection:
            connection.execute("TRUNCATE inbox, ledger_entry")

    def close(self) -> None:
        """End everything."""
        self.postgres.stop()
        self._log.close()

    def admin(self) -> "psycopg.Connection[tuple[object, ...]]":
        """A connection past all roles."""
        return psycopg.connect(self.urls.admin_url, autocommit=True, connect_timeout=10)

    def start_door(self, mutant: str | None = None) -> None:
        """Start the door, or one that is wrong on purpose, and wait until it listens."""
        command = [sys.executable, "-m", "jobs.web"]
        if mutant:
            command = [sys.executable, "-m", "tests.crash.mutants", mutant, str(self.port)]
        environment = os.environ | {
            "DATABASE_URL": self.urls.url(LOGIN, self._password),
            "GDP_DOOR_PORT": str(self.port),
            "GDP_ENCRYPTION_KEYS": ENCRYPTION_KEYS,
        }
        self.door = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=self._log, stderr=self._log)
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline and self.door.poll() is None:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=1):
                return
            time.sleep(0.02)
        raise RuntimeError("the door did not start")

    def stop_door(self, sign: signal.Signals) -> int:
        """Send the door a signal and return its exit code."""
        assert self.door
        self.door.send_signal(sign)
        return self.door.wait(60)

    def kill_postgres(self) -> None:
        """kill -9 every process of the server."""
        kill(self._stopped())
        assert self.postgres.process
        deadline = time.monotonic() + PATIENCE
        while not self.postgres.ended and time.monotonic() < deadline:
            time.sleep(0.01)

    def start_postgres(self) -> None:
        """Start it again, at the same address."""
        assert self.postgres.start() == self.urls

    def freeze_postgres(self) -> None:
        """Stop every process of the server without ending it."""
        self._frozen = self._stopped()

    def thaw_postgres(self) -> None:
        """Let it go on."""
        for process in reversed(self._frozen):
            with contextlib.suppress(psutil.NoSuchProcess):
                process.resume()

    def _stopped(self) -> list[psutil.Process]:
        """Every process of the server, the first of them first: one that is stopped starts no other meanwhile."""
        assert self.postgres.process
        postmaster = psutil.Process(self.postgres.process.pid)
        postmaster.suspend()
        children = postmaster.children(recursive=True)
        for process in children:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.suspend()
        return [postmaster, *children]

    @contextlib.contextmanager
    def locked_inbox(self, seconds: float) -> Iterator[None]:
        """Hold a lock nobody can write past, so that the time between queue and COMMIT is long."""
        with psycopg.connect(self.urls.admin_url) as holder:
            holder.execute("LOCK TABLE inbox IN ACCESS EXCLUSIVE MODE")
            time.sleep(seconds)
            yield
            with contextlib.suppress(psycopg.Error):
                holder.rollback()

    def stored(self) -> Counter[int]:
        """How often each number is in the inbox."""
        with self.admin() as connection:
            rows = connection.execute(
                "SELECT (convert_from(body, 'UTF8')::jsonb ->> 'n')::bigint FROM inbox"
            ).fetchall()
        return Counter(int(str(row[0])) for row in rows)

    def posted(self) -> int:
        """How many the ledger says were received."""
        with self.admin() as connection:
            row = connection.execute("SELECT coalesce(sum(received), 0)::bigint FROM ledger_entry").fetchone()
        assert row
        return int(str(row[0]))

    def _connect(self) -> str:
        workspace, source, secret = uuid.uuid4(), uuid.uuid4(), uuid.uuid4()
        sealed = vault.seal(SECRET, workspace_id=workspace, table="source_secret", row_id=secret, column="ciphertext")
        with self.admin() as connection:
            # Committed but unwritten pages stay in memory for seconds, so that losing them shows.
            connection.execute("ALTER SYSTEM SET wal_writer_delay = '10s'")
            connection.execute("SELECT pg_reload_conf()")
            connection.execute(
                "INSERT INTO workspace (id, slug, name, kind, plan, timezone, locale, base_currency, trial_days,"
                " dormant_days, inbox_retention_days, created_at)"
                " VALUES (%s, 'acme', 'Acme', 'normal', 'free', 'UTC', 'en_US', 'USD', 14, 60, 90, now())",
                (workspace,),
            )
            connection.execute(
                "INSERT INTO source_instance (id, workspace_id, source, name, hook_key, config, has_invoices, created_at)"
                " VALUES (%s, %s, 'generic', 'generic', 'crash', '{}', false, now())",
                (source, workspace),
            )
            connection.execute(
                "INSERT INTO source_secret (id, workspace_id, source_id, ciphertext, created_at)"
                " VALUES (%s, %s, %s, %s, now())",
                (secret, workspace, source, sealed),
            )
        return "/hooks/generic/crash"


class Sender(threading.Thread):
    """Sends numbered webhooks over several connections until told to stop; reconnects when hung up on.

    With `retry` a number is sent again until it is acknowledged, as vendors do.
    """

    def __init__(self, rig: Rig, *, connections: int = 16, retry: bool = False, padding: int = 0) -> None:
        super().__init__(daemon=True)
        self.acked: set[int] = set()
        self.statuses: Counter[int] = Counter()
        self.slowest = 0.0
        self._rig = rig
        self._connections = connections
        self._retry = retry
        self._padding = "x" * padding
        self._numbers = itertools.count()
        self._stopping = False

    def __enter__(self) -> "Sender":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping = True
        self.join(60)

    def wait_for(self, more: int) -> None:
        """Return when so many more have been acknowledged."""
        goal = len(self.acked) + more
        self.wait_until(lambda: len(self.acked) >= goal)

    def wait_until(self, reached: Callable[[], bool], patience: float = PATIENCE) -> None:
        """Return when that is so."""
        deadline = time.monotonic() + patience
        while not reached():
            assert time.monotonic() < deadline, f"nothing moves: {self.statuses}"
            time.sleep(0.01)

    def run(self) -> None:
        """The thread."""
        asyncio.run(self._send_all())

    async def _send_all(self) -> None:
        await asyncio.gather(*(self._send_on_one() for _ in range(self._connections)))

    async def _send_on_one(self) -> None:
        number: int | None = None
        while not self._stopping:
            try:
                reader, writer = await asyncio.open_connection("127.0.0.1", self._rig.port)
            except OSError:
                await asyncio.sleep(0.02)
                continue
            with contextlib.suppress(OSError, asyncio.IncompleteReadError):
                while not self._stopping:
                    number = next(self._numbers) if number is None or not self._retry else number
                    if await self._send(number, reader, writer):
                        number = None
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    async def _send(self, number: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        body = b'{"n":%d,"id":"%d","p":"%s"}' % (number, number, self._padding.encode())
        signature = sign_standard(body, SECRET, family="webhook", message_id=str(number))
        lines = [f"POST {self._rig.path} HTTP/1.1", "host: x", f"content-length: {len(body)}"]
        lines += [f"{name}: {value}" for name, value in signature.items()]
        began = time.monotonic()
        writer.write("\r\n".join((*lines, "", "")).encode() + body)
        head = await reader.readuntil(b"\r\n\r\n")
        length = re.search(rb"content-length: (\d+)", head)
        await reader.readexactly(int(length[1]) if length else 0)
        self.slowest = max(self.slowest, time.monotonic() - began)
        status = int(head[9:12])
        self.statuses[status] += 1
        if status == 200:
            self.acked.add(number)
        if b"connection: close" in head:
            raise ConnectionResetError
        if status >= 500:
            await asyncio.sleep(0.02)
        return status == 200
