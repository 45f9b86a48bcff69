"""uvicorn for the door: connections that do not get on with their request are given up."""

import asyncio
import contextlib
import math
from collections.abc import Iterator
from typing import Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from jobs.door.app import create_app
from jobs.door.door import Door
from jobs.ports import HOST

HEAD_SECONDS = 5.0
HEAD_BYTES = 64 * 1024
MOST_CONNECTIONS = 4_000
GRACE_SECONDS = 5


class Patient(HttpToolsProtocol):
    """uvicorn's protocol, except that a head must be complete within HEAD_SECONDS and HEAD_BYTES."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A connection that says nothing is given up as well."""
        super().connection_made(transport)
        self.waiting_since: float | None = self.loop.time()
        self._head_bytes = 0

    def on_message_begin(self) -> None:
        """A request has begun."""
        super().on_message_begin()
        self.waiting_since = self.loop.time()

    def on_headers_complete(self) -> None:
        """Its head is there; the rest has its own time limit."""
        self.waiting_since = None
        self._head_bytes = 0
        super().on_headers_complete()

    def data_received(self, data: bytes) -> None:
        """Parse, unless the head grows without end."""
        super().data_received(data)
        if self.waiting_since is not None:
            self._head_bytes += len(data)
            if self._head_bytes > HEAD_BYTES:
                self.give_up(431)

    def give_up(self, status: int) -> None:
        """Answer and hang up."""
        if not self.transport.is_closing():
            self.transport.write(STATUS_LINE[status] + b"content-length: 0\r\nconnection: close\r\n\r\n")
            self.transport.close()

    def send_400_response(self, _msg: str) -> None:
        """Not HTTP at all."""
        self.give_up(400)


class Server(uvicorn.Server):
    """uvicorn's server, except that SIGTERM ends the process with code 0 and slow heads are given up."""

    async def on_tick(self, counter: int) -> bool:
        """Look once a second for connections whose request does not begin or go on."""
        if counter % 10 == 0:
            limit = asyncio.get_running_loop().time() - HEAD_SECONDS
            for connection in list(self.server_state.connections):
                if isinstance(connection, Patient) and (connection.waiting_since or math.inf) < limit:
                    connection.give_up(408)
        return await super().on_tick(counter)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Stop on SIGINT and SIGTERM, without raising them again afterwards."""
        with super().capture_signals():
            yield
            self._captured_signals.clear()


def server(door: Door, **options: Any) -> Server:
    """A server for this door that has not been started; `options` go to uvicorn."""
    return Server(
        uvicorn.Config(
            create_app(door),
            host=HOST,
            loop="uvloop",
            http=Patient,
            ws="none",
            lifespan="on",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            limit_concurrency=MOST_CONNECTIONS,
            timeout_graceful_shutdown=GRACE_SECONDS,
            **options,
        )
    )
