"""How the door answers: one form for every error, the headers of every response, CORS."""

import math
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from typing import Any

import orjson

from gdp_core.errors import Conflict, Forbidden, GrowthError, InvalidInput, NotFound, Unauthorised, Unavailable
from gdp_core.limits import TooMany
from gdp_core.sources.payload import TooLarge

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

_HEADER_LIST = frozenset(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_, ")


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
    (NotFound, 404, "not_found"),
    (Conflict, 409, "conflict"),
    (InvalidInput, 400, "malformed"),
)


async def respond(scope: Scope, send: Send, status: int, body: bytes, headers: Sequence[Header]) -> None:
    """Send a whole response."""
    head = [*headers, *scope.get("gdp.headers", ())]
    if status != 204:
        head.append((b"content-length", str(len(body)).encode()))
    await send({"type": "http.response.start", "status": status, "headers": head})
    await send({"type": "http.response.body", "body": body})


async def refuse(scope: Scope, send: Send, error: GrowthError) -> None:
    """Say no in the one form all errors have. Where the body was not read to its end the connection closes."""
    status, code = status_of(error)
    headers = [JSON]
    if isinstance(error, Unavailable):
        headers.append((b"retry-after", str(max(1, math.ceil(error.retry_after))).encode()))
    if status == 401:
        headers.append((b"www-authenticate", b"Bearer"))
    if status in (408, 413, 503):
        headers.append(CLOSE)
    await respond(scope, send, status, error_body(scope, code, str(error)), headers)


def status_of(error: GrowthError) -> tuple[int, str]:
    """The HTTP status of an error and its short name."""
    return next(((status, code) for kind, status, code in _STATUS if isinstance(error, kind)), (500, "internal"))


def error_body(scope: Scope, code: str, message: str, **more: Any) -> bytes:
    """The JSON of every error; `more` goes beside its message."""
    return orjson.dumps(
        {"error": {"code": code, "message": message, **more}, "request_id": str(scope.get("gdp.id", ""))}
    )


def preflight(headers: Sequence[Header]) -> tuple[Header, ...]:
    """The headers that let a page of any site send what it asks to send."""
    asked = next((value for name, value in headers if name == b"access-control-request-headers"), b"")
    # "*" would not cover Authorization, so what is asked for is what is allowed.
    names = asked if len(asked) < 1024 and all(byte in _HEADER_LIST for byte in asked) else b""
    return (*PREFLIGHT, (b"access-control-allow-headers", names or b"authorization, content-type, content-encoding"))
