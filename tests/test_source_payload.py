"""Bytes from anybody: every encoding the SDKs use is read, every limit holds, and nothing but Unusable comes out."""

import base64
import gzip
import tracemalloc
import zlib
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gdp_core.sources import payload
from gdp_core.sources.payload import MAX_DEPTH, MAX_KEYS, TooLarge, Unusable

FIXTURES = Path(__file__).parents[2] / "shared" / "fixtures"
EVENT = {"event": "e1", "distinct_id": "u1", "note": "Zoë 👋"}
JSON = orjson.dumps(EVENT)
# LZString.compressToBase64 of [{"event":"e1","properties":{"token":"phc_test","distinct_id":"u1","note":"Zoë"}}]
LZ64 = "NobwRApgbhB2AuYBckCMYA0YAOAnA9thLvAJYQDOy48+A1nMjgBYDGA+vJYlgCakUysVvHaleTAK7ossfFyYAtfAGuwAX3UBdIA="
LZ64_PLAIN = [{"event": "e1", "properties": {"token": "phc_test", "distinct_id": "u1", "note": "Zoë"}}]


def lz_compressed(text: str) -> str:
    """LZString's compressToBase64, written from its description: the other half of what is tested."""
    units = text.encode("utf-16-le", "surrogatepass")
    characters = [chr(int.from_bytes(units[i : i + 2], "little")) for i in range(0, len(units), 2)]
    codes: dict[str, int] = {}
    fresh: set[str] = set()
    bits: list[str] = []
    width, room, word = 2, 2, ""

    def put(value: int, count: int) -> None:
        bits.append(format(value, f"0{count}b")[::-1])

    def spend() -> None:
        nonlocal width, room
        room -= 1
        if room == 0:
            room = 1 << width
            width += 1

    def emit(entry: str) -> None:
        if entry in fresh:
            size = 8 if ord(entry) < 256 else 16
            put(0 if size == 8 else 1, width)
            put(ord(entry), size)
            spend()
            fresh.discard(entry)
        else:
            put(codes[entry], width)
        spend()

    for character in characters:
        if character not in codes:
            codes[character] = len(codes) + 3
            fresh.add(character)
        if word + character in codes:
            word += character
            continue
        emit(word)
        codes[word + character] = len(codes) + 3
        word = character
    if word:
        emit(word)
    put(2, width)
    stream = "".join(bits)
    stream += "0" * (-len(stream) % 8)
    return base64.b64encode(int(stream, 2).to_bytes(len(stream) // 8, "big")).decode()


def test_gzip_is_told_by_its_first_bytes_whatever_the_header_says() -> None:
    packed = gzip.compress(JSON)
    for headers in ({}, {"content-type": "text/plain"}, {"content-encoding": "gzip"}, {"content-encoding": "identity"}):
        assert payload.read(packed, headers) == EVENT
    assert payload.read(zlib.compress(JSON), {"content-encoding": "deflate"}) == EVENT
    assert payload.read(b"\xef\xbb\xbf" + JSON, {}) == EVENT


@pytest.mark.parametrize(
    ("body", "query"),
    [
        (JSON, {}),
        (JSON, {"compression": "gzip-js"}),
        (gzip.compress(JSON), {"compression": "gzip-js"}),
        (gzip.compress(JSON), {"compression": "gzip"}),
        (base64.b64encode(JSON), {"compression": "base64"}),
        (base64.b64encode(JSON), {"compression": "b64"}),
        (base64.b64encode(JSON), {}),
        (base64.urlsafe_b64encode(JSON).rstrip(b"="), {}),
        (urlencode({"data": base64.b64encode(JSON).decode()}).encode(), {}),
        (b"data=" + base64.b64encode(JSON), {}),
        (urlencode({"data": JSON.decode(), "compression": ""}).encode(), {}),
        (urlencode({"compression": "base64", "data": base64.b64encode(JSON).decode()}).encode(), {}),
        (b"", {"data": base64.b64encode(JSON).decode()}),
        (lz_compressed(JSON.decode()).encode(), {"compression": "lz64"}),
        (urlencode({"data": lz_compressed(JSON.decode()), "compression": "lz-string"}).encode(), {}),
    ],
)
def test_every_posthog_encoding_is_read(body: bytes, query: dict[str, str]) -> None:
    assert payload.read_posthog(body, {}, query) == EVENT


def test_lz_string_vector() -> None:
    assert payload.read_posthog(LZ64.encode(), {}, {"compression": "lz64"}) == LZ64_PLAIN


@pytest.mark.skipif(not FIXTURES.exists(), reason="the recorded fixtures are not beside this clone")
def test_recorded_encodings() -> None:
    for vector in orjson.loads((FIXTURES / "posthog/encodings.json").read_bytes())["vectors"]:
        for compression in ("lz64", "base64"):
            read = payload.read_posthog(vector[compression].encode(), {}, {"compression": compression})
            assert read == orjson.loads(vector["plain"])


@settings(max_examples=400, deadline=None)
@given(st.text(max_size=300))
def test_lz_string_returns_what_was_compressed(text: str) -> None:
    assert payload.lz_string(lz_compressed(text).encode()) == text


@settings(max_examples=1_000, deadline=None)
@given(st.one_of(st.binary(max_size=200), st.text("ABCDwxyz0189+/=", max_size=400).map(str.encode)))
def test_lz_string_of_anything_is_text_or_unusable(encoded: bytes) -> None:
    with suppress(Unusable):
        assert isinstance(payload.lz_string(encoded, cap=10_000), str)


def test_a_decompression_bomb_is_stopped_at_the_cap() -> None:
    bomb = gzip.compress(b" " * 200_000_000, compresslevel=9)
    tracemalloc.start()
    for headers in ({}, {"content-encoding": "gzip"}):
        with pytest.raises(TooLarge, match="smaller batches"):
            payload.read(bomb, headers, cap=262_144)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4_000_000
    repeated = lz_compressed("a" * 200_000).encode()
    assert len(repeated) < 2_000
    with pytest.raises(TooLarge):
        payload.lz_string(repeated, cap=100_000)
    with pytest.raises(TooLarge):
        payload.lz_string(b"A" * (payload.MAX_LZ_BYTES + 1))
    with pytest.raises(TooLarge):
        payload.read(b"[" + b" " * 100 + b"]", {}, cap=100)


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (gzip.compress(JSON, mtime=0)[:-9], {}),
        (gzip.compress(JSON, mtime=0) + b"more", {}),
        (gzip.compress(gzip.compress(JSON, mtime=0), mtime=0), {}),
        (JSON, {"content-encoding": "gzip"}),
        (JSON, {"content-encoding": "br"}),
        (JSON, {"content-encoding": "gzip, gzip"}),
        (b"\x1f\x8b\x08nonsense", {}),
    ],
)
def test_a_broken_or_doubled_encoding_is_unusable(body: bytes, headers: dict[str, str]) -> None:
    with pytest.raises(Unusable) as refused:
        payload.read(body, headers)
    assert refused.value.code == "unreadable"


@pytest.mark.parametrize(
    "text",
    [b"", b"{", b"NaN", b"[1e400]", b'"\\ud8"', b'"\xff"', b"[" * 100_000, b"1" * 5_000, b"'a'", b"\xef\xbb\xbf"],
)
def test_what_is_not_json_is_unusable(text: bytes) -> None:
    with pytest.raises(Unusable, match="not JSON"):
        payload.parse(text)
    with pytest.raises(Unusable):
        payload.read_posthog(text, {}, {})


def nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = {"a": value}
    return value


def test_depth_and_keys_have_limits() -> None:
    assert payload.clean(nested(MAX_DEPTH)) == nested(MAX_DEPTH)
    wide = {f"k{n}": {} for n in range(MAX_KEYS)}
    assert payload.clean(wide) == wide
    assert payload.clean({"colons": ":" * 5_000, "braces": "{[" * 500}) == {"colons": ":" * 5_000, "braces": "{[" * 500}
    for item, code in [
        (nested(MAX_DEPTH + 1), "too_deep"),
        (nested(1_000), "too_deep"),
        (wide | {"one more": 1}, "too_many_keys"),
        ({"a": wide}, "too_many_keys"),
    ]:
        with pytest.raises(Unusable) as refused:
            payload.clean(item)
        assert refused.value.code == code


def test_nul_is_replaced_in_keys_and_texts() -> None:
    item = payload.parse(b'{"a\\u0000": ["x\\u0000y", "\\\\u0000"]}')
    assert payload.clean(item) == {"a\ufffd": ["x\ufffdy", "\\u0000"]}


def texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for element in [*value, *value.values()] if isinstance(value, dict) else value:
            yield from texts(element)


anything = st.one_of(
    st.binary(max_size=300),
    st.binary(max_size=100).map(gzip.compress),
    st.binary(max_size=100).map(base64.b64encode),
    st.text(max_size=100).map(lambda text: b"data=" + text.encode("utf-8", "replace")),
    st.text('[]{}":,0123456789eE+-.\\u nulltruefalse', max_size=100).map(str.encode),
)


@settings(max_examples=2_000, deadline=None)
@given(
    body=anything,
    encoding=st.sampled_from(["", "gzip", "deflate", "br", "identity"]),
    compression=st.sampled_from(["", "gzip", "gzip-js", "lz64", "base64", "zstd"]),
    data=st.text(max_size=20),
)
def test_any_bytes_are_json_or_unusable(body: bytes, encoding: str, compression: str, data: str) -> None:
    headers, query = {"content-encoding": encoding}, {"compression": compression, "data": data}
    for read in (lambda: payload.read(body, headers), lambda: payload.read_posthog(body, headers, query)):
        with suppress(Unusable):
            assert all("\0" not in text for text in texts(payload.clean(read())))


@pytest.mark.parametrize(
    ("written", "read"),
    [
        (rb'"cut \ud83d"', "cut \ufffd"),
        (rb'"\udE00 late"', "\ufffd late"),
        (rb'"\ud83d\ud83d\ude00"', "\ufffd\U0001f600"),
        (rb'"\uD83D\uDE00\ud83d"', "\U0001f600\ufffd"),
        (rb'"\\ud83d \ud83d"', "\\ud83d \ufffd"),
        (rb'{"\ud83d": 1}', {"\ufffd": 1}),
    ],
)
def test_half_an_emoji_does_not_cost_its_neighbours(written, read):
    assert payload.parse(written) == read
