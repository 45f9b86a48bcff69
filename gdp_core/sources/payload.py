"""Hostile bytes to plain JSON values, within fixed limits.

Owns decompression (one layer, never beyond a cap), PostHog's body encodings, the parser, and the walk over items that
turns an unusable one into a Reject. Refuses everything else with Unusable, which carries a stable code; nothing a
sender writes raises anything else.
"""

import base64
import binascii
import hashlib
import re
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any
from urllib.parse import parse_qs

import orjson

from gdp_core.errors import InvalidInput
from gdp_core.sources.facts import Delivery, Fact, Json, Reject

MAX_BYTES = 20 * 1024 * 1024  # decoded; the widest of the vendors' limits (PostHog). Routes pass smaller ones.
MAX_LZ_BYTES = 1024 * 1024  # lz-string is decoded in Python, so its input is capped too
MAX_DEPTH = 64
MAX_KEYS = 2_000

_GZIP = b"\x1f\x8b\x08"
_BOM = b"\xef\xbb\xbf"
_WBITS = {"gzip": 31, "x-gzip": 31, "deflate": 15}
_BASE64 = frozenset({"base64", "b64"})
_LZ = frozenset({"lz64", "lz-string"})


class Unusable(InvalidInput):
    """This cannot be used."""

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(reason)
        self.code = code


class TooLarge(Unusable):
    """More bytes than this route takes."""

    def __init__(self, cap: int) -> None:
        super().__init__("too_large", f"The body holds more than {cap:,} bytes once decoded; send smaller batches.")


def read(body: bytes, headers: Mapping[str, str], cap: int = MAX_BYTES) -> Json:
    """The JSON value of a body, gzip or not. `headers` in lower case. Raises Unusable, TooLarge."""
    return parse(_inflated(body, headers, cap))


def read_posthog(body: bytes, headers: Mapping[str, str], query: Mapping[str, str], cap: int = MAX_BYTES) -> Json:
    """The JSON value of a PostHog capture body in any encoding its SDKs ever used. Raises Unusable, TooLarge.

    The bytes decide before the labels do: posthog-js sends gzip as text/plain, and plain JSON under `compression=`.
    """
    plain = _inflated(body or query.get("data", "").encode(errors="replace"), headers, cap)
    compression = query.get("compression", "")
    if plain.startswith((b"data=", b"compression=")):
        form = _form(plain)
        plain, compression = form.get("data", "").encode(), form.get("compression", compression)
    head = plain.removeprefix(_BOM).lstrip()[:1]
    if head in (b"{", b"["):
        return parse(plain)
    if compression in _LZ:
        return parse(lz_string(plain, cap).encode())
    if compression in _BASE64 or head:
        return parse(_from_base64(plain))
    raise Unusable("unreadable", "The body is empty; send JSON.")


_ESCAPES = re.compile(
    rb"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(u[dD][89a-fA-F][0-9a-fA-F]{2})|[^u]|u)"
)
"""An escape in JSON; the group is a surrogate without its other half."""


def _without_halves(escape: re.Match[bytes]) -> bytes:
    return b"\\ufffd" if escape.group(1) else escape.group()


def parse(text: bytes) -> Json:
    """JSON, with a byte order mark or without. Raises Unusable for NaN, 1e400 and other non-JSON.

    Half an emoji, which is what a browser sends of a title it has cut, becomes U+FFFD.
    """
    try:
        try:
            return orjson.loads(text.removeprefix(_BOM))
        except orjson.JSONDecodeError:
            whole = _ESCAPES.sub(_without_halves, text)
            if whole == text:
                raise
            return orjson.loads(whole.removeprefix(_BOM))
    except orjson.JSONDecodeError as error:
        raise Unusable("unreadable", f"The body is not JSON ({error.msg}, character {error.pos}).") from None


def clean(item: Json) -> Json:
    """The item as Postgres takes it: U+0000 replaced. Raises Unusable beyond 64 levels or 2,000 keys."""
    try:
        text = orjson.dumps(item)
    except orjson.JSONEncodeError:
        raise _too_deep() from None
    # Nearly every item is far below the limits; counting bytes tells so at a tenth of the price of a walk.
    if text.count(b"{") + text.count(b"[") <= MAX_DEPTH and text.count(b":") <= MAX_KEYS and b"\\u0000" not in text:
        return item
    return _walked(item)


def _walked(item: Json) -> Json:
    keys = 0

    def copy(value: Json, depth: int) -> Json:
        nonlocal keys
        if isinstance(value, str):
            return without_nul(value)
        if not isinstance(value, dict | list):
            return value
        if depth > MAX_DEPTH:
            raise _too_deep()
        if isinstance(value, list):
            return [copy(element, depth + 1) for element in value]
        keys += len(value)
        if keys > MAX_KEYS:
            raise Unusable("too_many_keys", f"It has more than {MAX_KEYS:,} keys; send fewer properties.")
        return {without_nul(key): copy(element, depth + 1) for key, element in value.items()}

    return copy(item, 1)


def _too_deep() -> Unusable:
    return Unusable("too_deep", f"It is nested deeper than {MAX_DEPTH} levels; flatten it.")


def without_nul(text: str) -> str:
    """Text with U+0000, which Postgres refuses, replaced by U+FFFD."""
    return text.replace("\0", "\ufffd") if "\0" in text else text


def as_object(value: Json) -> dict[str, Json]:
    """The value if it is an object, else an empty one."""
    return value if isinstance(value, dict) else {}


def states(
    delivery: Delivery,
    items: Iterable[Json],
    key: Callable[[dict[str, Any]], str],
    state: Callable[[dict[str, Any]], Fact],
) -> list[Fact | Reject]:
    """What each item states; an item that raises Unusable becomes a Reject under its own key and position."""
    return list(_states(delivery, items, key, state))


def _states(
    delivery: Delivery,
    items: Iterable[Json],
    key: Callable[[dict[str, Any]], str],
    state: Callable[[dict[str, Any]], Fact],
) -> Iterator[Fact | Reject]:
    for position, raw in enumerate(items):
        name = None
        try:
            item = clean(raw)
            if not isinstance(item, dict):
                raise Unusable("not_an_object", "An event must be a JSON object.")
            name = key(item)
            yield state(item)
        except Unusable as refusal:
            yield Reject(name or f"{body_digest(delivery)}:{position}", refusal.code, str(refusal), position)


def unreadable(delivery: Delivery, refusal: Unusable) -> list[Fact | Reject]:
    """The only outcome of a body that could not be opened."""
    return [Reject(body_digest(delivery), refusal.code, str(refusal))]


def body_digest(delivery: Delivery) -> str:
    """A key for what has none: the same bytes, the same key."""
    return f"body:{hashlib.sha256(delivery.body).hexdigest()[:32]}"


def lz_string(encoded: bytes, cap: int = MAX_BYTES) -> str:
    """What JavaScript's `LZString.decompressFromBase64` returns, up to `cap` characters. Raises Unusable, TooLarge."""
    if len(encoded) > MAX_LZ_BYTES:
        raise TooLarge(MAX_LZ_BYTES)
    try:
        return "".join(_lz_entries(_Bits(encoded), cap)).encode("utf-16-le", "surrogatepass").decode("utf-16-le")
    except (ValueError, IndexError):
        raise Unusable("unreadable", "The body is not LZString in base64.") from None


class _Bits:
    """LZString's bit stream: most significant bit first, each number least significant bit first."""

    def __init__(self, encoded: bytes) -> None:
        sextets = encoded.strip().rstrip(b"=")
        raw = base64.b64decode(sextets + b"A" * (-len(sextets) % 4), validate=True)
        self._bits = format(int.from_bytes(raw, "big"), f"0{len(raw) * 8}b") if raw else ""
        self._at = 0

    def take(self, count: int) -> int:
        chunk = self._bits[self._at : self._at + count]
        if len(chunk) < count:
            raise IndexError("out of bits")
        self._at += count
        return int(chunk[::-1], 2)


_NEW_CHARACTER = {0: 8, 1: 16}  # these codes announce a character of so many bits
_END = 2


def _lz_entries(bits: _Bits, cap: int) -> Iterator[str]:
    """The entries that make up the text. LZ78 with codes that widen as the dictionary grows."""
    first = bits.take(2)
    if first == _END:
        return
    last = chr(bits.take(_NEW_CHARACTER[first])) if first in _NEW_CHARACTER else _fail()
    entries = ["", "", "", last]
    width, room, size = 3, 4, len(last)

    def add(entry: str) -> None:
        nonlocal width, room
        entries.append(entry)
        room -= 1
        if room == 0:
            room = 1 << width
            width += 1

    yield last
    while (code := bits.take(width)) != _END:
        if code in _NEW_CHARACTER:
            add(chr(bits.take(_NEW_CHARACTER[code])))
            code = len(entries) - 1
        entry = entries[code] if code < len(entries) else last + last[0] if code == len(entries) else _fail()
        size += len(entry)
        if size > cap:
            raise TooLarge(cap)
        yield entry
        add(last + entry[0])
        last = entry


def _fail() -> str:
    raise ValueError("not LZString")


def _inflated(body: bytes, headers: Mapping[str, str], cap: int) -> bytes:
    encoding = headers.get("content-encoding", "").strip().lower()
    if body.startswith(_GZIP):
        encoding = "gzip"
    if encoding in ("", "identity"):
        if len(body) > cap:
            raise TooLarge(cap)
        return body
    if encoding not in _WBITS:
        raise Unusable("unreadable", f"The encoding {encoding[:40]!r} is not supported; send gzip or plain JSON.")
    stream = zlib.decompressobj(_WBITS[encoding])
    try:
        plain = stream.decompress(body, cap + 1)
    except zlib.error:
        raise Unusable("unreadable", f"The body is not valid {encoding}; send it again.") from None
    if len(plain) > cap:
        raise TooLarge(cap)
    if not stream.eof or stream.unused_data:
        raise Unusable("unreadable", f"The {encoding} body is cut off or followed by other bytes; send it again.")
    return plain


def _form(body: bytes) -> dict[str, str]:
    try:
        fields = parse_qs(body.decode("ascii"), max_num_fields=20)
    except ValueError:
        raise Unusable("unreadable", "The form is not valid; send JSON.") from None
    return {name: values[0] for name, values in fields.items()}


def _from_base64(text: bytes) -> bytes:
    # A form turns "+" into a space, and some clients use the URL alphabet.
    compact = text.strip().replace(b" ", b"+").replace(b"-", b"+").replace(b"_", b"/").rstrip(b"=")
    try:
        return base64.b64decode(compact + b"=" * (-len(compact) % 4), validate=True)
    except binascii.Error:
        raise Unusable("unreadable", "The body is neither JSON nor base64 of it.") from None
