"""The gate: nothing of the dashboard is served over HTTP or WebSocket to a browser that is not signed in.

It reads the session afresh for every request and for every message of a WebSocket, so a session that ended, by whatever
way, ends here. Refuses unknown hosts, answers Streamlit's probes under a deep link, and puts the security headers on
every answer. Knows nothing of roles: what a person may see is decided in core.
"""

import re
from datetime import datetime
from urllib.parse import quote
from uuid import uuid4

import structlog
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from streamlit.proto.AuthRedirect_pb2 import AuthRedirect
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ClientState_pb2 import ClientState
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg

from gdp_core import clock
from gdp_core.accounts import sessions
from gdp_core.errors import Unavailable
from gdp_core.runtime import database
from pages.gate.addresses import client_ip, cookie, is_own_host, is_own_page, safe_next
from pages.gate.headers import cookie_name, secure
from pages.gate.html import page

log = structlog.get_logger()

_PUBLIC = re.compile(
    r"/(?:login|logout|favicon\.(?:png|ico)|robots\.txt|oidc/(?:start|callback)|(?:login|invite)/[^/]+|(?:app/)?static/.*)"
)
_MACHINE_PREFIXES = ("/api", "/_stcore", "/media", "/component", "/auth", "/oauth2callback")
_PROBES = ("/_stcore/health", "/_stcore/host-config")
_POLICY_VIOLATION, _TRY_LATER = 1008, 1013


class Gate:
    """Pure ASGI, outermost: `app` sees a request only when somebody is signed in, as scope["signed_in"]."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] in ("http", "websocket") and scope.get("client"):
            # Behind a proxy that is believed the framework, too, is to know whom it talks to.
            scope["client"] = (ip_of(scope), scope["client"][1])
        match scope["type"]:
            case "http":
                await self._http(scope, receive, send)
            case "websocket":
                await self._websocket(scope, receive, send)
            case _:
                await self._app(scope, receive, send)

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope["request_id"] = uuid4().hex[:12]
        path: str = scope["path"]

        async def send_secured(message: Message) -> None:
            if message["type"] == "http.response.start":
                secure(MutableHeaders(scope=message), path=path, request_id=scope["request_id"])
            await send(message)

        answer = await self._refusal(scope)
        await (answer or self._app)(scope, receive, send_secured)

    async def _refusal(self, scope: Scope) -> Response | None:
        """The answer instead of the app's, or None to let the request through."""
        path: str = scope["path"]
        headers = Headers(scope=scope)
        if not is_own_host(headers.get("host")):
            return PlainTextResponse("Set GDP_BASE_URL to the address under which you open the dashboard.\n", 400)
        if path.endswith(_PROBES) and path not in _PROBES:
            # Under /people Streamlit tries /people/_stcore/... before the root. 300 is "not here" to it, and unlike
            # any 4xx no error to the browser's console.
            return PlainTextResponse("The application is served from /.\n", 300)
        if _PUBLIC.fullmatch(path):
            return None
        token = cookie(scope["headers"], cookie_name())
        try:
            who = await _current(token, touch=path not in _PROBES)
        except Unavailable as error:
            return unavailable(scope, error)
        if who is not None:
            scope["signed_in"] = who
            return None
        if path in _PROBES and token:
            return None  # a tab whose session ended asks whether to reconnect; its WebSocket sends it to sign in
        if path.startswith(_MACHINE_PREFIXES):
            return JSONResponse({"error": "Sign in first."}, 401)
        if scope["method"] not in ("GET", "HEAD"):
            return PlainTextResponse("Sign in first.\n", 401)
        return RedirectResponse(login_path(path, scope["query_string"].decode("latin-1")), 303)

    async def _websocket(self, scope: Scope, receive: Receive, send: Send) -> None:
        token = cookie(scope["headers"], cookie_name())
        try:
            headers = Headers(scope=scope)
            own = is_own_host(headers.get("host")) and is_own_page(headers) and scope["path"] == "/_stcore/stream"
            who = await _current(token, touch=False) if own else None
        except Unavailable:
            await send({"type": "websocket.close", "code": _TRY_LATER})
            return
        if who is None and own and token:
            await _send_away(scope, receive, send)
            return
        if who is None:
            await send({"type": "websocket.close", "code": _POLICY_VIOLATION})
            return
        await _Watched(token, receive, send).run(self._app, scope)


class _Watched:
    """A WebSocket whose every message from the browser asks first whether the session still stands."""

    def __init__(self, token: str | None, receive: Receive, send: Send) -> None:
        self._token = token
        self._receive = receive
        self._send = send
        self._closed = False

    async def run(self, app: ASGIApp, scope: Scope) -> None:
        await app(scope, self._checked, self._open)

    async def _checked(self) -> Message:
        message = await self._receive()
        if message["type"] != "websocket.receive":
            return message
        rerun = _rerun(message.get("bytes") or b"")
        try:
            who = await _current(self._token, touch=rerun is not None and not rerun.is_auto_rerun)
        except Unavailable:
            return await self._close(_TRY_LATER)
        if who is not None:
            return message
        await self._open({"type": "websocket.send", "bytes": _redirect(rerun)})
        return await self._close(_POLICY_VIOLATION)

    async def _close(self, code: int) -> Message:
        await self._open({"type": "websocket.close", "code": code})
        self._closed = True
        return {"type": "websocket.disconnect", "code": code}

    async def _open(self, message: Message) -> None:
        if not self._closed:  # the app may still have something to say to a socket that was closed over its head
            await self._send(message)


async def _send_away(scope: Scope, receive: Receive, send: Send) -> None:
    """Tell a tab whose session ended while it was disconnected to go to the sign-in page, and nothing else."""
    await receive()
    offered = scope.get("subprotocols") or []
    await send({"type": "websocket.accept", "subprotocol": "streamlit" if "streamlit" in offered else None})
    message = await receive()
    if message["type"] == "websocket.receive":
        await send({"type": "websocket.send", "bytes": _redirect(_rerun(message.get("bytes") or b""))})
        await send({"type": "websocket.close", "code": _POLICY_VIOLATION})


def login_path(path: str, query: str = "") -> str:
    """The sign-in page's address that leads back to this one."""
    wanted = safe_next(f"{path}?{query}" if query else path)
    return "/login" if wanted == "/" else f"/login?next={quote(wanted, safe='/')}"


def unavailable(scope: Scope, error: Unavailable) -> Response:
    """What is said while Postgres is away."""
    log.warning("unavailable", action="gate.unavailable", request_id=scope["request_id"])
    headers = {"retry-after": str(max(1, round(error.retry_after)))}
    if scope["path"].startswith(_MACHINE_PREFIXES):
        return JSONResponse({"error": str(error)}, 503, headers)
    answer = page("Back in a moment", status=503, lead=str(error), link=(scope["path"], "Try again"))
    answer.headers.update(headers)
    return answer


async def _current(token: str | None, *, touch: bool) -> sessions.SignedIn | None:
    if token is None:
        return None
    now: datetime = clock.now()
    return await run_in_threadpool(lambda: sessions.current(database("gdp_gate"), token, now, touch=touch))


def _rerun(data: bytes) -> ClientState | None:
    """What the browser asks to run, when the message is that."""
    message = BackMsg()
    try:
        message.ParseFromString(data)
    except DecodeError:
        return None
    return message.rerun_script if message.WhichOneof("type") == "rerun_script" else None


def _redirect(rerun: ClientState | None) -> bytes:
    """Streamlit's own message that makes the browser go to the sign-in page, and afterwards back to where it is."""
    path = "/"
    if rerun is not None:
        _, _, after_scheme = rerun.context_info.url.partition("://")
        path += after_scheme.partition("/")[2].partition("?")[0]
    address = login_path(path, rerun.query_string if rerun is not None else "")
    packed: bytes = ForwardMsg(auth_redirect=AuthRedirect(url=address)).SerializeToString()
    return packed


def ip_of(scope: Scope) -> str | None:
    """Who sent this request."""
    client = scope.get("client")
    return client_ip(client[0] if client else None, Headers(scope=scope))
