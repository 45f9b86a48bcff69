"""Around every route: a request id, the security headers, a limit on what runs at once, and no reasons in a 500."""

import asyncio
import time
import traceback
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from uuid import UUID

import structlog

from gdp_core.errors import InvalidInput, Unavailable
from gdp_core.ids import time_ordered
from jobs.door.answers import JSON, SECURITY, Receive, Scope, Send, error_body, refuse, respond
from jobs.door.door import Door

HEADERS = 100
MOST_REQUESTS = 1_000

log = structlog.get_logger()


class Edge:
    """Around everything: an id and security headers for each response, one error form, a limit on what runs at once."""

    def __init__(self, app: Callable[[Scope, Receive, Send], Awaitable[None]], door: Door) -> None:
        self._app = app
        self._door = door
        self._running = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self._app(scope, receive, send)
            return
        door = self._door
        began = time.perf_counter()
        now = door.now()
        request_id: UUID = time_ordered(now)
        scope["gdp.now"], scope["gdp.id"], scope["gdp.label"] = now, request_id, "other"
        status = 0

        async def outgoing(message: MutableMapping[str, Any]) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], *SECURITY, (b"x-request-id", str(request_id).encode())]
            await send(message)

        self._running += 1
        try:
            if self._running > MOST_REQUESTS:
                await refuse(scope, outgoing, Unavailable("The door is busy; try again."))
            elif len(scope["headers"]) > HEADERS:
                await refuse(scope, outgoing, InvalidInput(f"A request may have {HEADERS} headers."))
            else:
                await self._app(scope, receive, outgoing)
        except asyncio.CancelledError:  # the door closes and has waited long enough
            if not status:
                await refuse(scope, outgoing, Unavailable("The door is closing; try again."))
        except Exception as error:  # noqa: BLE001 - the last line: a sender hears nothing of what went wrong
            _report(error, request_id)
            if not status:
                await respond(
                    scope, outgoing, 500, error_body(scope, "internal", "Something went wrong here."), (JSON,)
                )
        finally:
            self._running -= 1
            door.metrics.answered(scope["gdp.label"], status, time.perf_counter() - began)


def _report(error: Exception, request_id: UUID) -> None:
    # The type and the place, not the message: it may quote what was sent.
    frame = traceback.extract_tb(error.__traceback__)[-1]
    place = f"{frame.filename.rpartition('/')[2]}:{frame.lineno}"
    log.error("unexpected", action="door.failed", error=type(error).__name__, at=place, request_id=str(request_id))
