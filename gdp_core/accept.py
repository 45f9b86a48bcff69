"""What the door accepts: the parts of a request become a verified Delivery, or an error that says why not.

Knows keys, signatures, limits and the vendors' envelopes just far enough to find a key in them and to answer an SDK
per event. Refuses business meaning, people, and anything that waits for more than one look-up. An unknown address and
a wrong signature are one and the same error, reached by the same work.
"""

import base64
import binascii
import hmac
import secrets
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal
from urllib.parse import parse_qsl, urlsplit
from uuid import UUID

import orjson

from gdp_core.addresses import counted_as, truncated
from gdp_core.errors import Forbidden, InvalidInput, NotFound, Unauthorised
from gdp_core.failpoint import failpoint
from gdp_core.limits import Limits, TooMany
from gdp_core.senders import Hook, Sender, Senders
from gdp_core.sources import posthog, source
from gdp_core.sources.base import Source
from gdp_core.sources.facts import Delivery, Json, Trust
from gdp_core.sources.generic import GENERIC
from gdp_core.sources.payload import TooLarge, read, read_posthog, without_nul
from gdp_core.sources.web import CLIENT_IP

KIB = 1024
WEBHOOK_BYTES = 256 * KIB
SEGMENT_BYTES = 500 * KIB
SEGMENT_EVENT_BYTES = 32 * KIB
SEGMENT_EVENTS = 2_500
POSTHOG_BYTES = 20 * KIB * KIB
UNCOUNTED_BYTES = KIB * KIB
MOST_VALUES = 1_000_000

_HOOK_BYTES = {"stripe": KIB * KIB}
_UNSIGNED_HOOKS = frozenset({"posthog"})  # PostHog's destination cannot sign; its address is the secret

_STORED_HEADERS = frozenset(
    """content-type content-encoding user-agent origin svix-id svix-timestamp webhook-id webhook-timestamp x-retry-count
    posthog-sdk-info posthog-attempt posthog-request-id posthog-request-timestamp""".split()
)
_STORED_QUERY = frozenset("_ ver ip compression beacon sent_at".split())
_KEY_FIELDS = ("writeKey", "api_key", "token")
_LONGEST_VALUE = 1_024
_LONGEST_KEY = 256
_QUERY_FIELDS = 50

# What a signature is checked against where there is no secret. Nobody knows it, so it never matches.
_NOBODY = "whsec_" + base64.b64encode(secrets.token_bytes(24)).decode()

Call = Literal["track", "identify", "page", "screen", "group", "alias", "batch"]
Capture = Literal["batch", "capture", "e", "v0", "v1"]


@dataclass(frozen=True, slots=True)
class Request:
    """The parts of an HTTP request that matter. Header names in lower case; `address` is who sent it, if known."""

    id: UUID
    now: datetime
    headers: Mapping[str, str]
    query: Mapping[str, str]
    body: bytes
    address: str | None


@dataclass(frozen=True, slots=True)
class Accepted:
    """A delivery to append, and the ids of its events where the sender wants an answer for each."""

    delivery: Delivery
    event_ids: Sequence[str] = field(default=())


class Acceptor:
    """The rules, with the two things they look at: who may send, and how often.

    Every method raises Unauthorised, Forbidden, InvalidInput (TooLarge), TooMany or Unavailable.
    """

    def __init__(self, senders: Senders, limits: Limits) -> None:
        self._senders = senders
        self._limits = limits
        self._used: set[UUID] = set()

    async def hook(self, source_key: str, hook_key: str, request: Request) -> Accepted:
        """A webhook: signed by its vendor over the raw bytes, or sent to an address nobody else knows."""
        if not self._senders.knows_hook(hook_key):
            self._limits.failures.check(counted_as(request.address))
        hook = await self._senders.by_hook(hook_key)
        kind = _hook_source(source_key)
        if hook is not None and (kind is None or hook.source != kind.key):
            hook = None
        if not _is_verified(kind or GENERIC, hook, request) or hook is None or kind is None:
            raise self._unauthorised(request)
        self._limits.per_hook.take(hook.source_id)
        trust: Trust = "signed" if kind.verify else "server"
        return Accepted(_delivery(request, hook, "webhook", trust, request.body))

    async def segment(self, call: Call, request: Request, *, servers_only: bool = False) -> Accepted:
        """A call of the Segment tracking API, or a batch of them, by Basic authentication or the write key inside."""
        key = _basic_user(request.headers)
        if key is None:
            self._limits.failures.check(counted_as(request.address))  # before any work for somebody unknown
            payload = _segment_payload(call, request)
            key = _text(payload.get("writeKey"))
            sender = await self._sender("segment", key, request)
        else:
            sender = await self._sender("segment", key, request)
            payload = _segment_payload(call, request)
        if servers_only and sender.kind != "server":
            raise Forbidden("Imports need a server key.")
        return Accepted(self._tracked(request, sender, f"v1/{call}", lambda: payload, key))

    async def posthog(self, capture: Capture, request: Request) -> Accepted:
        """A capture call of a PostHog SDK: the token is in the body, in v1 in the Authorization header."""
        if capture == "v1":
            key = _bearer(request.headers)
            sender = await self._sender("posthog", key, request)
            payload = _posthog_payload(request)
        else:
            self._limits.failures.check(counted_as(request.address))
            # The values may be many times the size of the bytes, so they are not kept while Postgres is asked.
            key = posthog.token_of(_posthog_payload(request))
            sender = await self._sender("posthog", key, request)
            return Accepted(
                self._tracked(request, sender, f"posthog/{capture}", lambda: _posthog_payload(request), key)
            )
        delivery = self._tracked(request, sender, "posthog/v1", lambda: payload, key)
        return Accepted(delivery, posthog.event_ids(payload))

    async def asker(self, request: Request) -> Sender:
        """The server key of a question to the API, as a Bearer token or as the user name of Basic."""
        sender = await self._sender(None, _bearer(request.headers) or _basic_user(request.headers), request)
        if sender.kind == "browser":
            raise Forbidden("A browser key only sends, for everybody can read it in the page: ask with a server key.")
        return sender

    async def _sender(self, family: str | None, key: str | None, request: Request) -> Sender:
        if not key or len(key) > _LONGEST_KEY:
            raise self._unauthorised(request)
        if not self._senders.knows_key(key):
            self._limits.failures.check(counted_as(request.address))
        sender = await self._senders.by_key(key, request.now)
        if sender is None:
            raise self._unauthorised(request)
        if family is not None and sender.source != family:
            raise Forbidden(
                f"This key belongs to a source of another kind ({sender.source}); make one for this address."
            )
        if sender.kind == "browser":
            if sender.allowed_origins and not _allowed(_origin(request.headers), sender.allowed_origins):
                raise Forbidden("This key may not be used from this origin; add it to the key's allowed origins.")
            self._limits.per_address.take(counted_as(request.address))
        self._limits.per_key.take(sender.key_id)
        self._used.add(sender.key_id)
        return sender

    def take_used(self) -> list[UUID]:
        """The keys that were used since this was asked last."""
        used, self._used = self._used, set()
        return list(used)

    def _tracked(
        self, request: Request, sender: Sender, route: str, payload: Callable[[], Json], key: str | None
    ) -> Delivery:
        request = _with_body(request)
        if sender.kind == "server" and key:
            request = _blanked(request, payload(), key)
        return _delivery(request, sender, route, sender.kind, request.body)

    def _unauthorised(self, request: Request) -> Unauthorised | TooMany:
        try:
            self._limits.failures.take(counted_as(request.address))
        except TooMany as error:
            return error
        # One sentence for all of them: which of the three was wrong is what a forger would like to know.
        return Unauthorised("The key, signature or time of signing is not valid here; the Sources page shows what is.")


def hook_limit(source_key: str) -> int:
    """The most bytes a webhook of that source may have; the same for every source that is not known."""
    return _HOOK_BYTES.get(source_key, WEBHOOK_BYTES)


def query_of(text: bytes) -> dict[str, str]:
    """The fields of a query string, the first of each name. Raises InvalidInput."""
    if not text:
        return {}
    try:
        pairs = parse_qsl(text.decode("ascii"), keep_blank_values=True, max_num_fields=_QUERY_FIELDS)
    except ValueError:
        raise InvalidInput("The query string cannot be read; send fewer and properly encoded parameters.") from None
    fields: dict[str, str] = {}
    for name, value in pairs:
        fields.setdefault(name, value)
    return fields


def _hook_source(key: str) -> Source | None:
    try:
        found = source(key)
    except NotFound:
        return None
    return found if found.verify or found.key in _UNSIGNED_HOOKS else None


def _is_verified(kind: Source, hook: Hook | None, request: Request) -> bool:
    known = hook.secrets if hook is not None else ()
    if kind.verify is not None:
        verified = kind.verify(request.headers, request.body, known or (_NOBODY,), request.now)
        return verified and bool(known)
    given = (_bearer(request.headers) or request.headers.get("x-webhook-secret", "")).encode()
    matches = [hmac.compare_digest(given, secret.encode()) for secret in known or (_NOBODY,)]
    return hook is not None and (any(matches) or not known)


def _segment_payload(call: Call, request: Request) -> dict[str, Json]:
    payload = read(request.body, request.headers, SEGMENT_BYTES)
    if not isinstance(payload, dict):
        raise InvalidInput("The body must be a JSON object.")
    if call != "batch":
        if len(orjson.dumps(payload)) > SEGMENT_EVENT_BYTES:
            raise TooLarge(SEGMENT_EVENT_BYTES)
        return payload
    batch = payload.get("batch")
    if not isinstance(batch, list):
        raise InvalidInput('The body must hold a list under "batch".')
    if len(batch) > SEGMENT_EVENTS:
        raise InvalidInput(f"A batch may hold {SEGMENT_EVENTS:,} events; send smaller ones.")
    # A compressed body may hold a large event, too.
    small = len(request.body) <= SEGMENT_EVENT_BYTES and request.body[:1] == b"{"
    if not small and any(len(orjson.dumps(event)) > SEGMENT_EVENT_BYTES for event in batch):
        raise TooLarge(SEGMENT_EVENT_BYTES)
    return payload


def _posthog_payload(request: Request) -> Json:
    payload = read_posthog(request.body, request.headers, request.query, _posthog_cap(request))
    if not isinstance(payload, dict | list):
        raise InvalidInput("The body must be an event, a list of events or an object with a batch.")
    return payload


def _posthog_cap(request: Request) -> int:
    """How many decoded bytes may be parsed: a megabyte, or all that PostHog takes where their values were counted.

    Twenty megabytes of `[],[],[]...` are twenty kilobytes to send and half a gigabyte of objects.
    """
    body = request.body
    encoding = "gzip" if body.startswith(b"\x1f\x8b") else request.headers.get("content-encoding", "").strip().lower()
    # gzip ends with the size of what it holds; if that is a lie, the cap finds out.
    size = int.from_bytes(body[-4:], "little") if encoding == "gzip" else len(body)
    if size <= UNCOUNTED_BYTES and encoding != "deflate":
        return UNCOUNTED_BYTES
    values = 0
    try:
        for number, piece in enumerate(_pieces(body, encoding)):
            if number == 0 and piece.removeprefix(b"\xef\xbb\xbf").lstrip()[:1] not in (b"{", b"["):
                return UNCOUNTED_BYTES  # still encoded; its values cannot be seen
            values += piece.count(b",") + piece.count(b"[") + piece.count(b"{")
            if values > MOST_VALUES:
                raise InvalidInput(f"The body holds more than {MOST_VALUES:,} values; send smaller batches.")
    except zlib.error:
        return UNCOUNTED_BYTES  # it will be refused for what it is
    return POSTHOG_BYTES


def _pieces(body: bytes, encoding: str) -> Iterator[bytes]:
    if encoding not in ("gzip", "deflate"):
        yield body
        return
    stream = zlib.decompressobj(31 if encoding == "gzip" else 15)
    for _ in range(POSTHOG_BYTES // UNCOUNTED_BYTES):
        piece = stream.decompress(body, UNCOUNTED_BYTES)
        if not piece:
            return
        yield piece
        body = stream.unconsumed_tail


def _with_body(request: Request) -> Request:
    """PostHog's GET carries its body as `data`; from here on it is one."""
    if request.body or "data" not in request.query:
        return request
    return _replaced(request, request.headers, request.query, request.query["data"].encode(errors="replace"))


def _blanked(request: Request, payload: Json, key: str) -> Request:
    """The request without its server key: as sent where the key can be seen, else opened and without it."""
    stated = [payload.get(name) for name in _KEY_FIELDS] if isinstance(payload, dict) else []
    words = [key] + [f'"{word}"' for word in stated if isinstance(word, str) and word and word != key]
    body = _starred(request.body, words)
    if body != request.body:
        return _replaced(request, request.headers, request.query, body)
    opened = orjson.dumps(payload)
    body = _starred(opened, words)
    if body == opened:
        return request
    headers = {name: value for name, value in request.headers.items() if name != "content-encoding"}
    query = {name: value for name, value in request.query.items() if name != "compression"}
    return _replaced(request, headers, query, body)


def _starred(body: bytes, words: Sequence[str]) -> bytes:
    for word in words:
        secret = word.encode("utf-8", "surrogatepass")
        stars = b'"' + b"*" * (len(secret) - 2) + b'"' if word.startswith('"') else b"*" * len(secret)
        body = body.replace(secret, stars)
    return body


def _replaced(request: Request, headers: Mapping[str, str], query: Mapping[str, str], body: bytes) -> Request:
    return Request(request.id, request.now, headers, query, body, request.address)


def _delivery(request: Request, owner: Sender | Hook, route: str, trust: Trust, body: bytes) -> Delivery:
    failpoint("door.verified")
    headers = {
        name: without_nul(value[:_LONGEST_VALUE]) for name, value in request.headers.items() if name in _STORED_HEADERS
    }
    if (address := truncated(request.address)) is not None:
        headers[CLIENT_IP] = address
    query = {
        name: without_nul(value[:_LONGEST_VALUE]) for name, value in request.query.items() if name in _STORED_QUERY
    }
    return Delivery(
        request.id,
        owner.workspace_id,
        owner.source_id,
        owner.source,
        route,
        trust,
        request.now,
        body,
        headers,
        query,
    )


def _basic_user(headers: Mapping[str, str]) -> str | None:
    scheme, _, credentials = headers.get("authorization", "").partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        return base64.b64decode(credentials.strip(), validate=True).decode().partition(":")[0] or None
    except (binascii.Error, ValueError):
        return None


def _bearer(headers: Mapping[str, str]) -> str | None:
    scheme, _, token = headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else None


def _text(value: Json) -> str | None:
    return value if isinstance(value, str) else None


def _origin(headers: Mapping[str, str]) -> str | None:
    """The page a browser request comes from. An image has no Origin, but a Referer."""
    stated = headers.get("origin")
    if stated is not None:
        return stated.strip().rstrip("/").lower()
    try:
        parts = urlsplit(headers.get("referer", ""))
    except ValueError:
        return None
    return f"{parts.scheme}://{parts.netloc}".lower() if parts.netloc else None


def _allowed(origin: str | None, allowed: frozenset[str]) -> bool:
    """Whether an origin is listed; `https://*.acme.test` lists every subdomain."""
    if origin is None:
        return False
    if origin in allowed or "*" in allowed:
        return True
    scheme, _, host = origin.partition("://")
    return any(
        pattern.startswith(f"{scheme}://*.") and host.endswith(pattern[len(scheme) + 4 :]) and "/" not in host
        for pattern in allowed
    )
