"""The door: webhooks and tracking calls over HTTP, answered with 2xx only when they are on disk.

Owns HTTP: routes, reading a body within its limit and its time, status codes, headers, CORS, health and metrics. What
is accepted is `gdp_core.accept`; storing is `gdp_core.appender`. Logs no body, key, address or e-mail.

    python -m jobs.web        serves on 127.0.0.1:GDP_DOOR_PORT until SIGTERM
"""

import asyncio
import contextlib
import math
import os
import socket
import sys
import time
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, MutableMapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson
import psycopg
import structlog
import uvicorn
from fastapi import FastAPI
from fastapi import Request as HttpRequest
from fastapi.responses import HTMLResponse, Response
from starlette.exceptions import HTTPException
from starlette.routing import BaseRoute, Route
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from gdp_core import clock
from gdp_core.accept import (
    POSTHOG_BYTES,
    SEGMENT_BYTES,
    Accepted,
    Acceptor,
    Call,
    Capture,
    Proxies,
    Request,
    client_address,
    hook_limit,
    query_of,
)
from gdp_core.appender import Appender
from gdp_core.db import check_server
from gdp_core.errors import BadSetting, Forbidden, GrowthError, InvalidInput, Unauthorised, Unavailable
from gdp_core.ids import time_ordered
from gdp_core.limits import Limits, TooMany
from gdp_core.line import Line
from gdp_core.senders import Senders
from gdp_core.settings import settings
from gdp_core.sources.payload import TooLarge
from jobs import door_docs
from jobs.door_metrics import Metrics
from jobs.logs import log_json

HOST = "127.0.0.1"
HEAD_SECONDS = 5.0
HEAD_BYTES = 64 * 1024
HEADERS = 100
BODY_SECONDS = 10.0
SLOWEST_BYTES = 512 * 1024  # per second, on top of BODY_SECONDS, for what announces more than a small body
MOST_CONNECTIONS = 4_000
MOST_REQUESTS = 1_000
MOST_HELD_BYTES = 128 * 1024 * 1024  # of bodies being read or waiting, together
GRACE_SECONDS = 5
READY_SECONDS = 2.0
HEARTBEAT_SECONDS = 10.0

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Header = tuple[bytes, bytes]

JSON: Header = (b"content-type", b"application/json")
CLOSE: Header = (b"connection", b"close")
SECURITY: tuple[Header, ...] = (
    (b"x-content-type-options", b"nosniff"),
    (b"content-security-policy", b"default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"),
    (b"referrer-policy", b"no-referrer"),
    (b"cache-control", b"no-store"),
)
CORS: tuple[Header, ...] = (
    (b"access-control-allow-origin", b"*"),
    (b"access-control-expose-headers", b"retry-after, x-request-id"),
)
PREFLIGHT: tuple[Header, ...] = (
    (b"access-control-allow-methods", b"GET, POST, OPTIONS"),
    (b"access-control-max-age", b"86400"),
)

log = structlog.get_logger()


class Late(GrowthError):
    """The request did not arrive in time; send it again."""


# The first class that an error is an instance of decides; their order matters.
_STATUS: tuple[tuple[type[GrowthError], int, str], ...] = (
    (TooMany, 429, "too_many_requests"),
    (Unavailable, 503, "unavailable"),
    (TooLarge, 413, "too_large"),
    (Unauthorised, 401, "unauthorised"),
    (Forbidden, 403, "forbidden"),
    (Late, 408, "timeout"),
    (InvalidInput, 400, "malformed"),
)


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
            await asyncio.sleep(HEARTBEAT_SECONDS)

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
                await respond(scope, send, 204, b"", _preflight(scope["headers"]))
                return
        door, path, held = self._door, scope["path_params"], 0
        try:
            headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
            body, held = await _body(door, headers, receive, self._limit(path))
            peer = scope["client"][0] if scope["client"] else None
            address = client_address(peer, headers, door.proxies)
            if address == peer and "x-forwarded-for" in headers:
                door.metrics.forwarded_by_stranger()
            query = query_of(scope["query_string"])
            request = Request(scope["gdp.id"], scope["gdp.now"], headers, query, body, address)
            accepted = await self._accept(path, request)
            door.metrics.seen(accepted.delivery.source, headers, scope["gdp.now"])
            await door.appender.append(accepted.delivery)
            await respond(scope, send, 200, self._reply(accepted), (JSON,))
        except GrowthError as error:
            await refuse(scope, send, error)
        finally:
            door.held -= held


async def _body(door: Door, headers: Mapping[str, str], receive: Receive, limit: int) -> tuple[bytes, int]:
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


async def respond(scope: Scope, send: Send, status: int, body: bytes, headers: Sequence[Header]) -> None:
    """Send a whole response."""
    head = [*headers, *scope.get("gdp.headers", ())]
    if status != 204:
        head.append((b"content-length", str(len(body)).encode()))
    await send({"type": "http.response.start", "status": status, "headers": head})
    await send({"type": "http.response.body", "body": body})


async def refuse(scope: Scope, send: Send, error: GrowthError) -> None:
    """Say no in the one form all errors have. Where the body was not read to its end the connection closes."""
    status, code = next(
        ((status, code) for kind, status, code in _STATUS if isinstance(error, kind)), (500, "internal")
    )
    headers = [JSON]
    if isinstance(error, Unavailable):
        headers.append((b"retry-after", str(max(1, math.ceil(error.retry_after))).encode()))
    if status == 401:
        headers.append((b"www-authenticate", b"Bearer"))
    if status in (408, 413, 503):
        headers.append(CLOSE)
    await respond(scope, send, status, error_body(scope, code, str(error)), headers)


def error_body(scope: Scope, code: str, message: str) -> bytes:
    """The JSON of every error."""
    return orjson.dumps({"error": {"code": code, "message": message}, "request_id": str(scope.get("gdp.id", ""))})


def _preflight(headers: Sequence[Header]) -> tuple[Header, ...]:
    asked = next((value for name, value in headers if name == b"access-control-request-headers"), b"")
    # "*" would not cover Authorization, so what is asked for is what is allowed.
    names = asked if len(asked) < 1024 and all(byte in _HEADER_LIST for byte in asked) else b""
    return (*PREFLIGHT, (b"access-control-allow-headers", names or b"authorization, content-type, content-encoding"))


_HEADER_LIST = frozenset(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_, ")


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


_SEGMENT_CALLS: Mapping[Call, tuple[str, ...]] = {
    "batch": ("batch", "b", "import"),
    "track": ("track", "t"),
    "identify": ("identify", "i"),
    "page": ("page", "p"),
    "screen": ("screen", "s"),
    "group": ("group", "g"),
    "alias": ("alias", "a"),
}
_POSTHOG_PATHS: Mapping[str, Capture] = {
    "/batch": "batch",
    "/capture": "capture",
    "/e": "e",
    "/track": "capture",
    "/engage": "capture",
    "/i/v0/e": "v0",
    "/i/v1/analytics/events": "v1",
}


def hot_routes(door: Door) -> list[BaseRoute]:
    """Where deliveries arrive."""
    hook = Hot(
        door,
        "hooks",
        lambda path: hook_limit(path["source"]),
        lambda path, request: door.acceptor.hook(path["source"], path["key"], request),
        lambda _: b'{"received":true}',
        browsers=False,
    )
    routes: list[BaseRoute] = [Route("/hooks/{source}/{key}", hook, methods=["POST"])]
    for call, names in _SEGMENT_CALLS.items():
        routes += [_segment_route(door, call, name) for name in names]
    for path, capture in _POSTHOG_PATHS.items():
        endpoint = _posthog_endpoint(door, capture)
        methods = ["POST", "OPTIONS"] if capture == "v1" else ["GET", "POST", "OPTIONS"]
        routes += [Route(form, endpoint, methods=methods) for form in (f"{path}/", path)]
    return routes


def _segment_route(door: Door, call: Call, name: str) -> BaseRoute:
    endpoint = Hot(
        door,
        f"v1/{call}",
        lambda _: SEGMENT_BYTES,
        lambda _, request: door.acceptor.segment(call, request, servers_only=name == "import"),
        lambda _: b'{"success":true}',
        browsers=True,
    )
    return Route(f"/v1/{name}", endpoint, methods=["POST", "OPTIONS"])


def _posthog_endpoint(door: Door, capture: Capture) -> Hot:
    return Hot(
        door,
        f"posthog/{capture}",
        lambda _: POSTHOG_BYTES,
        lambda _, request: door.acceptor.posthog(capture, request),
        _v1_reply if capture == "v1" else lambda _: b'{"status":1}',
        browsers=True,
    )


def _v1_reply(accepted: Accepted) -> bytes:
    return orjson.dumps({"results": {event_id: {"result": "ok"} for event_id in accepted.event_ids}})


def create_app(door: Door) -> Edge:
    """The whole door as an ASGI app."""

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        await door.start()
        yield
        await door.stop()

    app = FastAPI(
        title="Door of the Growth Data Plane",
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        lifespan=lifespan,
        exception_handlers={HTTPException: _http_error, Exception: _http_error},
        telemetry={"tracing": False, "metrics": False, "logs": False},
    )
    app.router.routes[:0] = hot_routes(door)
    _health_routes(app, door)
    _posthog_stubs(app)
    describe = app.openapi
    app.openapi = lambda: door_docs.with_hot_routes(describe())  # type: ignore[method-assign]
    return Edge(app, door)


def _health_routes(app: FastAPI, door: Door) -> None:
    @app.get("/livez", tags=["health"], summary="The process answers")
    async def livez() -> dict[str, str]:
        return {"status": "ok"}

    @app.get("/readyz", tags=["health"], summary="A COMMIT has just succeeded", responses=door_docs.UNAVAILABLE)
    async def readyz(request: HttpRequest) -> Response:
        try:
            await door.prove()
        except Unavailable as error:
            body = error_body(request.scope, "unavailable", str(error))
            return Response(body, 503, {"retry-after": "1"}, "application/json")
        return Response(b'{"status":"ok"}', media_type="application/json")

    @app.get("/metrics", tags=["health"], summary="Prometheus metrics", response_class=Response)
    async def metrics(request: HttpRequest) -> Response:
        if "x-forwarded-for" in request.headers:  # the machine's own business, not the internet's
            raise HTTPException(404)
        return Response(door.metrics.exposition(), media_type="text/plain; version=0.0.4; charset=utf-8")

    @app.get("/docs", include_in_schema=False)
    async def docs() -> HTMLResponse:
        return HTMLResponse(door_docs.page(app.openapi()))


# What a PostHog SDK reads as "everything is off".
_REMOTE_CONFIG = {
    "supportedCompression": ["gzip", "gzip-js"],
    "hasFeatureFlags": False,
    "captureDeadClicks": False,
    "capturePerformance": False,
    "autocaptureExceptions": False,
    "analytics": {"endpoint": "/i/v0/e/"},
    "elementsChainAsString": True,
    "sessionRecording": False,
    "heatmaps": False,
    "surveys": False,
    "defaultIdentifiedOnly": True,
    "isAuthenticated": False,
    "siteApps": [],
    "toolbarParams": {},
}
_NO_FLAGS = {
    **_REMOTE_CONFIG,
    "flags": {},
    "featureFlags": {},
    "featureFlagPayloads": {},
    "errorsWhileComputingFlags": False,
}


def _posthog_stubs(app: FastAPI) -> None:
    cors = {name.decode(): value.decode() for name, value in CORS}

    async def flags(request: HttpRequest) -> Response:
        if request.method == "OPTIONS":
            preflight = _preflight(request.scope["headers"])
            return Response(None, 204, cors | {name.decode(): value.decode() for name, value in preflight})
        return Response(orjson.dumps(_NO_FLAGS), headers=cors, media_type="application/json")

    for path in ("/flags", "/flags/", "/decide", "/decide/"):
        app.add_route(path, flags, methods=["GET", "POST", "OPTIONS"], include_in_schema=False)

    @app.get("/array/{token}/config", tags=["PostHog SDKs"], summary="Everything off", response_class=Response)
    async def config(token: str) -> Response:
        return Response(orjson.dumps({"token": token} | _REMOTE_CONFIG), headers=cors, media_type="application/json")

    @app.get("/array/{token}/config.js", tags=["PostHog SDKs"], summary="Everything off", response_class=Response)
    async def config_script(token: str) -> Response:
        # A script in the site's page: the token is somebody's input, so it goes in as JSON that cannot end the script.
        name = orjson.dumps(token).decode().replace("<", "\\u003c").replace("\u2028", "").replace("\u2029", "")
        options = orjson.dumps({"config": {"token": "", **_REMOTE_CONFIG}, "siteApps": []}).decode()
        script = (
            "(function(){var c=window._POSTHOG_REMOTE_CONFIG=window._POSTHOG_REMOTE_CONFIG||{};"
            f"c[{name}]={options};c[{name}].config.token={name};}})();"
        )
        return Response(script, headers=cors, media_type="application/javascript")


async def _http_error(request: HttpRequest, error: Exception) -> Response:
    status, headers = 500, None
    if isinstance(error, HTTPException):
        status, headers = error.status_code, error.headers
    code, message = {
        404: ("not_found", "There is nothing at this address; see /docs."),
        405: ("method_not_allowed", "This address does not take that method; see /docs."),
        500: ("internal", "Something went wrong here."),
    }.get(status, ("malformed", "The request cannot be used; see /docs."))
    return Response(error_body(request.scope, code, message), status, headers, "application/json")


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


def main() -> int:
    """Serve until told to stop. Returns the exit code."""
    try:
        chosen = settings()
        log_json(chosen.verbosity)
        if chosen.database_url is None:
            raise BadSetting("DATABASE_URL is not set: start everything with `python -m jobs`, or set it for the door.")
        dsn = chosen.database_url.get_secret_value()
        with contextlib.suppress(Unavailable):  # it may come later
            check_server(dsn)
        door = Door(dsn, trusted_proxies=chosen.trusted_proxies)
        listener = _listen(chosen.door_port)
    except GrowthError as error:
        print(error, file=sys.stderr)
        return 1
    with listener:
        running = server(door)
        running.run(sockets=[listener])
    log.info("closed", action="door.closed")
    return 0


def _listen(port: int) -> socket.socket:
    try:
        return socket.create_server((HOST, port), backlog=2048)
    except OSError as error:
        raise BadSetting(
            f"The door cannot listen on port {port} ({error.strerror}): stop what uses it, or set GDP_DOOR_PORT."
        ) from None


if __name__ == "__main__":
    sys.exit(main())
