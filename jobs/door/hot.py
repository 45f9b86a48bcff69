"""The hot path: a delivery's body is read within its limits, accepted, stored, and only then answered."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping

from gdp_core.accept import Accepted, Request, query_of
from gdp_core.addresses import client_address
from gdp_core.errors import GrowthError, Unavailable
from gdp_core.sources.payload import TooLarge
from jobs.door.answers import CORS, JSON, Late, Receive, Scope, Send, preflight, refuse, respond
from jobs.door.door import Door

BODY_SECONDS = 10.0
SLOWEST_BYTES = 512 * 1024  # per second, on top of BODY_SECONDS, for what announces more than a small body
MOST_HELD_BYTES = 128 * 1024 * 1024  # of bodies being read or waiting, together


class Hot:
    """A route that accepts deliveries: reads the body within its limits, has it accepted, stored, and answers."""

    def __init__(
        self,
        door: Door,
        label: str,
        limit: Callable[[Mapping[str, str]], int],
        accept: Callable[[Mapping[str, str], Request], Awaitable[Accepted]],
        reply: Callable[[Accepted], bytes],
        *,
        browsers: bool,
    ) -> None:
        self._door = door
        self._label = label
        self._limit = limit
        self._accept = accept
        self._reply = reply
        self._browsers = browsers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        scope["gdp.label"] = self._label
        if self._browsers:
            scope["gdp.headers"] = CORS
            if scope["method"] == "OPTIONS":
                await respond(scope, send, 204, b"", preflight(scope["headers"]))
                return
        door, path, held = self._door, scope["path_params"], 0
        try:
            headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
            body, held = await read_body(door, headers, receive, self._limit(path))
            peer = scope["client"][0] if scope["client"] else None
            address = client_address(peer, headers.get("x-forwarded-for", ""), door.proxies)
            if address == peer and "x-forwarded-for" in headers:
                door.metrics.forwarded_by_stranger()
            query = query_of(scope["query_string"])
            request = Request(scope["gdp.id"], scope["gdp.now"], headers, query, body, address)
            accepted = await self._accept(path, request)
            door.metrics.seen(accepted.delivery, headers)
            await door.appender.append(accepted.delivery)
            await respond(scope, send, 200, self._reply(accepted), (JSON,))
        except GrowthError as error:
            await refuse(scope, send, error)
        finally:
            door.held -= held


async def read_body(door: Door, headers: Mapping[str, str], receive: Receive, limit: int) -> tuple[bytes, int]:
    """The body, and how many bytes of the door's budget it holds. Raises TooLarge, Late, Unavailable."""
    stated = headers.get("content-length", "")
    announced = int(stated) if stated.isascii() and stated.isdigit() else 0
    if announced > limit:
        raise TooLarge(limit)
    parts: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(BODY_SECONDS + announced / SLOWEST_BYTES):
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise Late
                part = message.get("body", b"")
                size += len(part)
                door.held += len(part)
                if size > limit:
                    raise TooLarge(limit)
                if door.held > MOST_HELD_BYTES:
                    raise Unavailable("More arrives than fits into memory; try again.")
                parts.append(part)
                if not message.get("more_body"):
                    return b"".join(parts), size
    except TimeoutError:
        door.held -= size
        raise Late from None
    except BaseException:
        door.held -= size
        raise
