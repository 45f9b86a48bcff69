"""The door's way to the API: who asks is known here, and the answer comes from a process of its own.

Evaluating a rule keeps a process busy for as long as it takes, and the door must answer senders in milliseconds: so the
API runs beside it, at a lower priority, started by the first question and ended with the door. It listens on a socket
that nobody but this user reaches, and believes what the door says of who asks. No workspace can take all places, and a
process that does not answer at all is ended, so that the next question starts another.
"""

import asyncio
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import structlog
from starlette.routing import BaseRoute, Route

from gdp_core.accept import Request, query_of
from gdp_core.addresses import client_address
from gdp_core.errors import GrowthError, Unavailable
from gdp_core.limits import TooMany
from jobs.door.answers import JSON, Receive, Scope, Send, refuse, respond
from jobs.door.door import Door
from jobs.door.hot import read_body

PATH = "/api/v1"
BODY_BYTES = 512 * 1024
MOST_ASKED, MOST_OF_ONE = 32, 8  # at once, of all workspaces and of one
START_SECONDS, ANSWER_SECONDS, ALIVE_SECONDS = 30.0, 60.0, 5.0
_LOOK_EVERY = 0.05
_PAUSE = 2.0  # seconds between two attempts to start it
_PASSED_ON = ("content-type",)

log = structlog.get_logger()


class Api:
    """The process that answers, started when first asked and again when it died."""

    def __init__(self, dsn: str, argv: tuple[str, ...] = (sys.executable, "-m", "jobs.api")) -> None:
        self._dsn = dsn
        self._argv = argv
        self._process: subprocess.Popen[bytes] | None = None
        self._client: httpx.AsyncClient | None = None
        self._folder: Path | None = None
        self._starting = asyncio.Lock()
        self._not_before = 0.0

    async def ask(self, method: str, target: str, headers: Mapping[str, str], body: bytes) -> httpx.Response:
        """Its answer. Raises Unavailable when there is none."""
        client = await self._running()
        try:
            return await client.request(method, target, headers=dict(headers), content=body)
        except httpx.HTTPError as error:
            log.warning("no answer", action="api.silent", error=type(error).__name__)
            if isinstance(error, httpx.TimeoutException):
                await self._end_if_dead(client)
            raise Unavailable("The API does not answer; try again.", retry_after=_PAUSE) from None

    async def _end_if_dead(self, client: httpx.AsyncClient) -> None:
        """It may be busy with a rule and answer all the same; or it hangs as a whole."""
        try:
            await client.get("/livez", timeout=ALIVE_SECONDS)
        except httpx.HTTPError:
            if client is self._client and self._process is not None:
                log.error("it hangs, and is started again", action="api.hung")
                self._process.kill()

    async def close(self) -> None:
        """End it."""
        if self._client is not None:
            await self._client.aclose()
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            if self._process.stdin:
                self._process.stdin.close()
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
        self._process = self._client = self._folder = None

    async def _running(self) -> httpx.AsyncClient:
        async with self._starting:
            if self._client is not None and self._process is not None and self._process.poll() is None:
                return self._client
            if time.monotonic() < self._not_before:
                raise Unavailable("The API is starting; try again.", retry_after=_PAUSE)
            self._not_before = time.monotonic() + _PAUSE
            await self.close()
            return await self._started()

    async def _started(self) -> httpx.AsyncClient:
        self._folder = Path(tempfile.mkdtemp(prefix="gdp-api-"))  # short: a socket's path has at most 107 bytes
        socket = self._folder / "socket"
        argv = [*self._argv, str(socket)]
        self._process = subprocess.Popen(argv, stdin=subprocess.PIPE, start_new_session=True)  # noqa: S603 - our own
        if self._process.stdin:
            self._process.stdin.write(self._dsn.encode() + b"\n")
            self._process.stdin.flush()
        transport = httpx.AsyncHTTPTransport(uds=str(socket))
        self._client = httpx.AsyncClient(transport=transport, base_url="http://api", timeout=ANSWER_SECONDS)
        until = time.monotonic() + START_SECONDS
        while self._process.poll() is None and time.monotonic() < until:
            try:
                await self._client.get("/livez")
            except httpx.TransportError:
                await asyncio.sleep(_LOOK_EVERY)
            else:
                log.info("started", action="api.started")
                return self._client
        log.error("the API does not start", action="api.failed", code=self._process.poll())
        await self.close()
        raise Unavailable("The API does not start; see the door's log.", retry_after=_PAUSE)


class _Question:
    """The route of every question: its key, its size, and on to the process that answers."""

    def __init__(self, door: Door, api: Api) -> None:
        self._door = door
        self._api = api
        self._asked: Counter[UUID] = Counter()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one question."""
        scope["gdp.label"] = "api"
        held = 0
        try:
            headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
            peer = scope["client"][0] if scope["client"] else None
            address = client_address(peer, headers.get("x-forwarded-for", ""), self._door.proxies)
            query = query_of(scope["query_string"])
            request = Request(scope["gdp.id"], scope["gdp.now"], headers, query, b"", address)
            sender = await self._door.acceptor.asker(request)
            body, held = await read_body(self._door, headers, receive, BODY_BYTES)
            answer = await self._ask(
                scope,
                sender.workspace_id,
                body,
                {name: headers[name] for name in _PASSED_ON if name in headers}
                | {
                    "x-gdp-workspace": str(sender.workspace_id),
                    "x-gdp-key": str(sender.key_id),
                    "x-gdp-address": address or "",
                    "x-request-id": str(scope["gdp.id"]),
                },
            )
            more = [(b"retry-after", answer.headers["retry-after"].encode())] if "retry-after" in answer.headers else []
            kind = [JSON] if answer.content else []
            await respond(scope, send, answer.status_code, answer.content, [*kind, *more])
        except GrowthError as error:
            await refuse(scope, send, error)
        finally:
            self._door.held -= held

    async def _ask(self, scope: Scope, workspace_id: UUID, body: bytes, headers: Mapping[str, str]) -> httpx.Response:
        if self._asked[workspace_id] >= MOST_OF_ONE:
            raise TooMany(f"Ask at most {MOST_OF_ONE} questions at once.", retry_after=_PAUSE)
        if self._asked.total() >= MOST_ASKED:
            raise Unavailable("The API is busy; try again.", retry_after=_PAUSE)
        self._asked[workspace_id] += 1
        try:
            target = scope["raw_path"].decode("latin-1").partition("?")[0]
            if scope["query_string"]:
                target += "?" + scope["query_string"].decode("latin-1")
            return await self._api.ask(scope["method"], target, headers, body)
        finally:
            self._asked[workspace_id] -= 1
            if not self._asked[workspace_id]:
                del self._asked[workspace_id]


def routes(door: Door, api: Api) -> list[BaseRoute]:
    """Where questions are asked."""
    return [Route(PATH + "/{rest:path}", _Question(door, api), methods=["GET", "POST", "PATCH", "DELETE"])]


async def description(api: Api) -> dict[str, Any]:
    """The OpenAPI description of its routes; nothing when it does not answer."""
    try:
        answer = await api.ask("GET", "/openapi.json", {}, b"")
    except Unavailable:
        return {}
    return dict(answer.json()) if answer.status_code == 200 else {}
