"""What the door accepts, without HTTP and without a database: signatures, keys, origins, limits, envelopes."""

import asyncio
import base64
import gzip
import uuid
import zlib
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import orjson
import pytest
import stripe
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks import Webhook as StandardWebhook

from gdp_core.accept import (
    MOST_VALUES,
    POSTHOG_BYTES,
    SEGMENT_BYTES,
    SEGMENT_EVENT_BYTES,
    SEGMENT_EVENTS,
    Accepted,
    Acceptor,
    Request,
    hook_limit,
    query_of,
)
from gdp_core.addresses import Proxies, client_address, counted_as, truncated
from gdp_core.errors import Forbidden, InvalidInput, Unauthorised
from gdp_core.ids import time_ordered
from gdp_core.limits import Buckets, Limits, TooMany
from gdp_core.senders import Hook, Sender
from gdp_core.sources.payload import TooLarge
from tests.conftest import NOW
from tests.door import generous, sign_standard, sign_stripe

WS, SRC = uuid.uuid4(), uuid.uuid4()
STRIPE_SECRET = "whsec_test_secret"
SVIX_SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
BODY = b'{"id":"evt_1","object":"event","type":"invoice.paid"}'
AT = NOW.timestamp()


class Known:
    """Senders that are simply there."""

    def __init__(self, keys: dict[str, Sender] | None = None, hooks: dict[str, Hook] | None = None) -> None:
        self.keys, self.hooks, self.asked = keys or {}, hooks or {}, 0

    async def by_key(self, key: str, _now: object) -> Sender | None:
        self.asked += 1
        return self.keys.get(key)

    async def by_hook(self, key: str) -> Hook | None:
        self.asked += 1
        return self.hooks.get(key)

    def knows_key(self, key: str) -> bool:
        return key in self.keys

    def knows_hook(self, key: str) -> bool:
        return key in self.hooks


def sender(source: str = "segment", kind: Any = "server", *origins: str) -> Sender:
    return Sender(WS, SRC, source, kind, frozenset(origins), None, uuid.uuid4())


def acceptor(limits: Limits | None = None, hooks: dict[str, Hook] | None = None, **keys: Sender) -> Acceptor:
    return Acceptor(Known(keys, hooks), limits or generous())  # type: ignore[arg-type]


def request(body: bytes = b"{}", address: str | None = "203.0.113.9", query: Any = None, **headers: str) -> Request:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Request(time_ordered(NOW), NOW, named, query or {}, body, address)


def basic(key: str) -> str:
    return "Basic " + base64.b64encode(f"{key}:".encode()).decode()


def accept(coroutine: Awaitable[Accepted]) -> Accepted:
    async def run() -> Accepted:
        return await coroutine

    return asyncio.run(run())


def signed(source: str, secrets: tuple[str, ...], headers: dict[str, str], body: bytes = BODY) -> Accepted:
    door = acceptor(hooks={"k": Hook(WS, SRC, source, secrets)})
    return accept(door.hook(source, "k", replace(request(body), headers=headers)))


# --- webhooks


@pytest.mark.parametrize(
    ("source", "secret", "sign"),
    [
        ("stripe", STRIPE_SECRET, sign_stripe),
        ("resend", SVIX_SECRET, sign_standard),
        ("generic", SVIX_SECRET, lambda body, secret, at: sign_standard(body, secret, at, family="webhook")),
    ],
)
class TestSignatures:
    def test_a_valid_one_is_stored_as_it_came(self, source, secret, sign):
        delivery = signed(source, (secret,), sign(BODY, secret, AT)).delivery
        assert (delivery.body, delivery.trust, delivery.route, delivery.source) == (BODY, "signed", "webhook", source)
        assert (delivery.workspace_id, delivery.source_id, delivery.received_at) == (WS, SRC, NOW)
        assert not {"stripe-signature", "svix-signature", "webhook-signature", "authorization"} & set(delivery.headers)

    @pytest.mark.parametrize("offset", [-299, 0, 299])
    def test_within_five_minutes(self, source, secret, sign, offset):
        assert signed(source, (secret,), sign(BODY, secret, AT + offset))

    @pytest.mark.parametrize("offset", [-301, 301, -86_400 * 365, 86_400 * 11])
    def test_stale_and_future_ones_are_refused(self, source, secret, sign, offset):
        with pytest.raises(Unauthorised):
            signed(source, (secret,), sign(BODY, secret, AT + offset))

    def test_forged_ones_are_refused(self, source, secret, sign):
        good = sign(BODY, secret, AT)
        with pytest.raises(Unauthorised):
            signed(source, (secret,), good, BODY + b" ")
        with pytest.raises(Unauthorised):
            signed(source, ("whsec_" + base64.b64encode(b"other" * 6).decode(),), good)
        for name, value in good.items():
            for position in range(0, len(value), 3):
                changed = chr(ord(value[position]) ^ 1)
                if value[:position] + changed + value[position + 1 :] == value:
                    continue
                with pytest.raises(Unauthorised):
                    signed(source, (secret,), good | {name: value[:position] + changed + value[position + 1 :]})
            with pytest.raises(Unauthorised):
                signed(source, (secret,), {key: item for key, item in good.items() if key != name})

    def test_rotation_takes_the_old_and_the_new_secret(self, source, secret, sign):
        newer = "whsec_" + base64.b64encode(b"new" * 8).decode()
        for used in (secret, newer):
            assert signed(source, (secret, newer), sign(BODY, used, AT))
        with pytest.raises(Unauthorised):
            signed(source, (newer,), sign(BODY, secret, AT))

    def test_without_a_secret_nothing_is_valid(self, source, secret, sign):
        with pytest.raises(Unauthorised):
            signed(source, (), sign(BODY, secret, AT))
        with pytest.raises(Unauthorised):
            signed(source, (), sign(BODY, "whsec_", AT))

    def test_an_unknown_address_is_the_same_error(self, source, secret, sign):
        good = replace(request(BODY), headers=sign(BODY, secret, AT))
        errors = []
        for hooks, path_source, key in (
            ({"k": Hook(WS, SRC, source, ("whsec_b3RoZXI=",))}, source, "k"),  # wrong signature
            ({}, source, "k"),  # unknown address
            ({"k": Hook(WS, SRC, "posthog", (secret,))}, source, "k"),  # another source's address
            ({"k": Hook(WS, SRC, source, (secret,))}, "shopify", "k"),  # unknown source
            ({"k": Hook(WS, SRC, "segment", (secret,))}, "segment", "k"),  # a source without webhooks
        ):
            with pytest.raises(Unauthorised) as caught:
                accept(acceptor(hooks=hooks).hook(path_source, key, good))
            errors.append(str(caught.value))
        assert len(set(errors)) == 1


def test_the_vendors_own_helpers_sign_for_us():
    header = stripe.WebhookSignature.generate_signature_header(BODY.decode(), STRIPE_SECRET, timestamp=int(AT))
    assert signed("stripe", (STRIPE_SECRET,), {"stripe-signature": header})
    signature = StandardWebhook(SVIX_SECRET).sign("msg_1", NOW, BODY.decode())
    headers = {"svix-id": "msg_1", "svix-timestamp": str(int(AT)), "svix-signature": signature}
    assert signed("resend", (SVIX_SECRET,), headers)


@given(
    st.dictionaries(
        st.sampled_from(
            [
                "stripe-signature",
                "svix-id",
                "svix-timestamp",
                "svix-signature",
                "webhook-id",
                "webhook-timestamp",
                "webhook-signature",
            ]
        ),
        st.text(max_size=60),
    ),
    st.binary(max_size=80),
    st.sampled_from(["stripe", "resend", "generic"]),
)
def test_hostile_headers_are_refused_and_nothing_else(headers, body, source):
    with pytest.raises(Unauthorised):
        signed(source, (STRIPE_SECRET, SVIX_SECRET), headers, body)


class TestPostHogDestination:
    def test_its_address_is_enough_where_it_has_no_secret(self):
        door = acceptor(hooks={"k": Hook(WS, SRC, "posthog", ())})
        delivery = accept(door.hook("posthog", "k", request(BODY))).delivery
        assert (delivery.trust, delivery.route) == ("server", "webhook")

    @pytest.mark.parametrize("headers", [{"authorization": "Bearer s3cret"}, {"x_webhook_secret": "s3cret"}])
    def test_a_secret_that_is_set_must_be_sent(self, headers):
        door = acceptor(hooks={"k": Hook(WS, SRC, "posthog", ("old", "s3cret"))})
        assert accept(door.hook("posthog", "k", request(BODY, **headers)))

    @pytest.mark.parametrize("headers", [{}, {"authorization": "Bearer wrong"}, {"x_webhook_secret": "ö"}])
    def test_a_wrong_secret_is_refused(self, headers):
        door = acceptor(hooks={"k": Hook(WS, SRC, "posthog", ("s3cret",))})
        with pytest.raises(Unauthorised):
            accept(door.hook("posthog", "k", request(BODY, **headers)))


# --- keys


EVENT = {"type": "track", "userId": "u1", "event": "x", "messageId": "m1"}


def segment(key_in: str, kind: Any, call: Any = "track", *, origins: tuple[str, ...] = (), **more: Any) -> Accepted:
    door = acceptor(KEY=sender("segment", kind, *origins))
    body: dict[str, Any] = {"batch": [EVENT]} if call == "batch" else dict(EVENT)
    headers = {"authorization": basic("KEY")} if key_in == "header" else {}
    if key_in == "body":
        body["writeKey"] = "KEY"
    origin = more.pop("origin", None)
    headers |= {"origin": origin} if origin else {}
    return accept(door.segment(call, request(orjson.dumps(body), **headers), **more))


CALLS = ("track", "identify", "page", "screen", "group", "alias", "batch")


class TestKeys:
    @pytest.mark.parametrize("kind", ["browser", "server"])
    @pytest.mark.parametrize("key_in", ["header", "body"])
    @pytest.mark.parametrize("call", CALLS)
    def test_both_kinds_may_track_and_are_trusted_as_what_they_are(self, kind, key_in, call):
        delivery = segment(key_in, kind, call).delivery
        assert (delivery.trust, delivery.route) == (kind, f"v1/{call}")

    def test_only_a_server_key_imports(self):
        assert segment("header", "server", "batch", servers_only=True)
        with pytest.raises(Forbidden):
            segment("header", "browser", "batch", servers_only=True)

    def test_no_key_and_unknown_keys_are_refused_alike(self):
        for body, headers in (
            (EVENT, {}),
            (EVENT | {"writeKey": "NOBODY"}, {}),
            (EVENT | {"writeKey": 7}, {}),
            (EVENT, {"authorization": basic("NOBODY")}),
            (EVENT, {"authorization": "Basic ***"}),
            (EVENT, {"authorization": "Bearer KEY"}),
            (EVENT, {"authorization": basic("K" * 300)}),
        ):
            with pytest.raises(Unauthorised):
                accept(acceptor(KEY=sender()).segment("track", request(orjson.dumps(body), **headers)))

    def test_a_key_of_another_kind_of_source_is_told_so(self):
        with pytest.raises(Forbidden, match="posthog"):
            accept(acceptor(KEY=sender("posthog")).segment("track", request(b"{}", authorization=basic("KEY"))))

    @pytest.mark.parametrize(
        ("allowed", "origin", "fine"),
        [
            ((), None, True),
            ((), "https://evil.test", True),
            (("https://shop.test",), "https://shop.test", True),
            (("https://shop.test",), "https://SHOP.test", True),
            (("https://shop.test",), "https://shop.test.evil.test", False),
            (("https://shop.test",), "http://shop.test", False),
            (("https://shop.test",), "https://shop.test:8443", False),
            (("https://shop.test",), "null", False),
            (("https://shop.test",), None, False),
            (("https://*.shop.test",), "https://www.shop.test", True),
            (("https://*.shop.test",), "https://shop.test", False),
            (("https://*.shop.test",), "https://evilshop.test", False),
            (("https://*.shop.test",), "https://evil.test/.shop.test", False),
        ],
    )
    def test_a_browser_key_keeps_to_its_origins(self, allowed, origin, fine):
        if fine:
            assert segment("body", "browser", origins=allowed, origin=origin)
        else:
            with pytest.raises(Forbidden):
                segment("body", "browser", origins=allowed, origin=origin)

    def test_a_server_key_has_no_origins(self):
        assert segment("header", "server", origins=("https://shop.test",), origin=None)

    def test_an_image_is_known_by_its_page(self):
        door = acceptor(KEY=sender("posthog", "browser", "https://shop.test"))
        data = base64.b64encode(b'{"event":"x","api_key":"KEY"}').decode()
        fields = {"data": data, "compression": "base64"}
        assert accept(door.posthog("e", request(b"", query=fields, referer="https://shop.test/pricing?x=1")))
        with pytest.raises(Forbidden):
            accept(door.posthog("e", request(b"", query=fields, referer="https://other.test/")))
        with pytest.raises(Forbidden):
            accept(door.posthog("e", request(b"", query=fields, referer="http://[")))


# --- what is stored


class TestBlanking:
    def test_a_browser_key_is_public_and_stays(self):
        assert b"KEY" in segment("body", "browser").delivery.body

    def test_a_server_key_is_never_stored(self):
        body = segment("body", "server").delivery.body
        assert orjson.loads(body) == EVENT | {"writeKey": "***"}
        assert b"KEY" not in body

    def test_in_a_compressed_body_it_is_opened_for_that(self):
        key = "sk_" + "x" * 30
        body = gzip.compress(orjson.dumps({"batch": [EVENT], "writeKey": key}))
        door = acceptor(**{key: sender()})
        headers = {"content_encoding": "gzip", "content_type": "application/json"}
        delivery = accept(door.segment("batch", request(body, **headers))).delivery
        assert orjson.loads(delivery.body) == {"batch": [EVENT], "writeKey": "*" * len(key)}
        assert dict(delivery.headers) == {"content-type": "application/json", "x-client-ip": "203.0.113.0"}

    def test_the_same_bytes_where_there_is_no_key_inside(self):
        body = gzip.compress(orjson.dumps({"batch": [EVENT]}))
        delivery = accept(
            acceptor(KEY=sender()).segment("batch", request(body, authorization=basic("KEY"), content_encoding="gzip"))
        ).delivery
        assert delivery.body == body
        assert delivery.headers["content-encoding"] == "gzip"

    def test_another_write_key_beside_the_header(self):
        body = orjson.dumps(EVENT | {"writeKey": "sk_other"})
        delivery = accept(acceptor(KEY=sender()).segment("track", request(body, authorization=basic("KEY")))).delivery
        assert orjson.loads(delivery.body)["writeKey"] == "********"

    @pytest.mark.parametrize("encoding", ["json", "gzip", "base64", "form", "escaped"])
    def test_posthog_in_every_encoding(self, encoding):
        plain = b'{"api_key":"phs_secret","batch":[{"event":"x","properties":{"token":"phs_secret"}}]}'
        query = {}
        if encoding == "gzip":
            body = gzip.compress(plain)
        elif encoding == "base64":
            body, query = base64.b64encode(plain), {"compression": "base64"}
        elif encoding == "form":
            body = b"data=" + base64.b64encode(plain).replace(b"+", b"%2B").replace(b"=", b"%3D")
        elif encoding == "escaped":
            body = plain.replace(b"phs_", b"\\u0070hs_")
        else:
            body = plain
        delivery = accept(acceptor(phs_secret=sender("posthog")).posthog("batch", request(body, query=query))).delivery
        assert orjson.loads(delivery.body) == orjson.loads(plain.replace(b"phs_secret", b"*" * 10))
        assert "compression" not in delivery.query

    def test_only_harmless_headers_and_parameters(self):
        headers = dict.fromkeys(("cookie", "x_api_key", "x_forwarded_for", "x_client_ip", "proxy_authorization"), "v")
        request_ = request(
            orjson.dumps(EVENT),
            query={"writeKey": "KEY", "_": "1", "compression": "", "token": "KEY"},
            authorization=basic("KEY"),
            user_agent="Mozilla/5.0\0" + "x" * 2_000,
            x_retry_count="2",
            **headers,
        )
        delivery = accept(acceptor(KEY=sender()).segment("track", request_)).delivery
        assert set(delivery.headers) == {"user-agent", "x-retry-count", "x-client-ip"}
        assert delivery.headers["x-client-ip"] == "203.0.113.0"
        assert len(delivery.headers["user-agent"]) == 1_024
        assert "\0" not in delivery.headers["user-agent"]
        assert delivery.query == {"_": "1", "compression": ""}


# --- envelopes


class TestPostHog:
    def test_v1_takes_the_header_and_answers_each_event(self):
        body = orjson.dumps({"batch": [{"uuid": "a", "event": "x"}, {"uuid": "b", "event": "y"}]})
        accepted = accept(acceptor(KEY=sender("posthog")).posthog("v1", request(body, authorization="Bearer KEY")))
        assert list(accepted.event_ids) == ["a", "b"]
        assert accepted.delivery.route == "posthog/v1"

    @pytest.mark.parametrize(
        "body",
        [
            b'{"event":"x"}',
            b'{"api_key":"KEY","batch":[{"event":"x","token":"OTHER"}]}',
            b'{"api_key":"phx_personal","event":"x"}',
            b"[]",
        ],
    )
    def test_no_token_two_tokens_and_personal_keys_are_refused(self, body):
        with pytest.raises(Unauthorised):
            accept(acceptor(KEY=sender("posthog"), OTHER=sender("posthog")).posthog("batch", request(body)))

    def test_a_get_carries_its_body_as_data(self):
        data = base64.b64encode(b'{"event":"x","api_key":"KEY"}').decode()
        door = acceptor(KEY=sender("posthog", "browser"))
        delivery = accept(door.posthog("e", request(b"", query={"data": data, "compression": "base64"}))).delivery
        assert (delivery.body, delivery.query) == (data.encode(), {"compression": "base64"})

    @pytest.mark.parametrize("body", [b"", b"7", b'"x"', b"nonsense", b"{", b"\x1f\x8b\x08broken", b'{"a":"\\ud8"}'])
    def test_what_is_no_capture_is_malformed(self, body):
        with pytest.raises(InvalidInput):
            accept(acceptor(KEY=sender("posthog")).posthog("batch", request(body)))


class TestDenseBodies:
    """Few bytes that would be many values are refused before they are parsed."""

    def call(self, body: bytes, query: Any = None, **headers: str) -> Accepted:
        return accept(acceptor(KEY=sender("posthog")).posthog("e", request(body, query=query, **headers)))

    @pytest.mark.parametrize("unit", [b"[],", b"{},", b"0,", b"[[[[[[]]]]]],"])
    @pytest.mark.parametrize("wrapping", ["plain", "gzip", "deflate"])
    def test_they_are_counted(self, unit, wrapping):
        dense = b'{"api_key":"KEY","batch":[' + unit * (3 * MOST_VALUES // 2) + b"0]}"
        assert len(dense) < POSTHOG_BYTES
        body = {"plain": bytes, "gzip": gzip.compress, "deflate": zlib.compress}[wrapping](dense)
        headers = {} if wrapping == "plain" else {"content_encoding": wrapping}
        with pytest.raises(InvalidInput, match="values"):
            self.call(body, **headers)

    @pytest.mark.parametrize("wrapping", ["plain", "gzip", "deflate"])
    def test_a_large_batch_of_ordinary_events_is_fine(self, wrapping):
        events = [{"event": "x", "properties": {"text": "y" * 1_000}} for _ in range(5_000)]
        plain = orjson.dumps({"api_key": "KEY", "batch": events})
        body = {"plain": bytes, "gzip": gzip.compress, "deflate": zlib.compress}[wrapping](plain)
        headers = {} if wrapping == "plain" else {"content_encoding": wrapping}
        assert self.call(body, **headers)

    def test_what_cannot_be_counted_is_kept_small(self):
        dense = b'{"api_key":"KEY","batch":[' + b"[]," * 500_000 + b"0]}"
        encoded = base64.b64encode(dense)
        for body, query in (
            (encoded, {"compression": "base64"}),
            (gzip.compress(encoded), {"compression": "base64"}),
            (b"data=" + encoded, {}),
        ):
            with pytest.raises(TooLarge):
                self.call(body, query)

    def test_a_size_that_lies_is_found_out(self):
        body = gzip.compress(b'{"api_key":"KEY","x":"' + b"y" * 5_000_000 + b'"}')
        with pytest.raises(InvalidInput):
            self.call(body[:-4] + b"\x10\x00\x00\x00")


class TestSegmentLimits:
    def call(self, call: Any, payload: Any, *, zipped: bool = False) -> Accepted:
        body = payload if isinstance(payload, bytes) else orjson.dumps(payload)
        body = gzip.compress(body) if zipped else body
        headers = {"authorization": basic("KEY")} | ({"content_encoding": "gzip"} if zipped else {})
        return accept(acceptor(KEY=sender()).segment(call, request(body, **headers)))

    @pytest.mark.parametrize("zipped", [False, True])
    def test_an_event_of_more_than_32_kilobytes(self, zipped):
        fits = EVENT | {"properties": {"x": "y" * (SEGMENT_EVENT_BYTES - 200)}}
        too_large = EVENT | {"properties": {"x": "y" * SEGMENT_EVENT_BYTES}}
        assert self.call("track", fits, zipped=zipped)
        assert self.call("batch", {"batch": [fits, EVENT, fits]}, zipped=zipped)
        for call, payload in (("track", too_large), ("batch", {"batch": [EVENT, too_large]})):
            with pytest.raises(TooLarge):
                self.call(call, payload, zipped=zipped)

    def test_a_batch_of_more_than_2500_events(self):
        assert self.call("batch", {"batch": [{}] * SEGMENT_EVENTS})
        with pytest.raises(InvalidInput, match="2,500"):
            self.call("batch", {"batch": [{}] * (SEGMENT_EVENTS + 1)})

    def test_a_bomb_is_refused_before_it_is_open(self):
        with pytest.raises(TooLarge):
            self.call("batch", b'{"batch":[' + b" " * (64 * SEGMENT_BYTES) + b"]}", zipped=True)

    @pytest.mark.parametrize(
        "body", [b"", b"[]", b"null", b"{", b"\xff", b'{"batch":{}}', b"[" * 100_000, b'{"a":NaN}']
    )
    def test_what_is_no_batch_is_malformed(self, body):
        with pytest.raises(InvalidInput):
            self.call("batch", body)


def test_limits_of_webhooks_are_those_of_their_vendors():
    assert hook_limit("stripe") == 1024 * 1024
    assert hook_limit("resend") == hook_limit("generic") == hook_limit("nobody") == 256 * 1024


# --- how often


def few(**changed: Buckets) -> Limits:
    return replace(generous(), **changed)


def buckets(burst: float, clock: Callable[[], float] = lambda: 0.0) -> Buckets:
    return Buckets(1.0, burst, clock=clock)


class TestLimits:
    def test_a_key_that_is_used_too_often_is_told_when_to_come_back(self):
        door = acceptor(few(per_key=buckets(2)), KEY=sender())
        ask = request(orjson.dumps(EVENT), authorization=basic("KEY"))

        async def calls() -> None:
            await door.segment("track", ask)
            await door.segment("track", ask)
            with pytest.raises(TooMany) as caught:
                await door.segment("track", ask)
            assert caught.value.retry_after == 1.0

        asyncio.run(calls())

    def test_the_addresses_of_one_network_buy_nothing(self):
        door = Acceptor(Known(), few(failures=buckets(3), per_address=buckets(1)))  # type: ignore[arg-type]

        async def calls() -> None:
            for number in range(3):
                with pytest.raises(Unauthorised):
                    await door.segment("track", request(b"{}", f"2001:db8::{number}", authorization=basic("guess")))
            with pytest.raises(TooMany):
                await door.segment("track", request(b"{}", "2001:db8::ffff:1", authorization=basic("guess")))
            with pytest.raises(Unauthorised):
                await door.segment("track", request(b"{}", "2001:db8:0:1::1", authorization=basic("guess")))

        asyncio.run(calls())

    def test_browsers_of_one_address_share_a_limit_and_servers_do_not(self):
        door = acceptor(few(per_address=buckets(1)), PUBLIC=sender(kind="browser"), SECRET=sender())

        async def call(key: str, address: str) -> None:
            await door.segment("track", request(orjson.dumps(EVENT), address, authorization=basic(key)))

        async def calls() -> None:
            await call("PUBLIC", "198.51.100.1")
            await call("PUBLIC", "198.51.100.2")
            with pytest.raises(TooMany):
                await call("PUBLIC", "198.51.100.1")
            for _ in range(3):
                await call("SECRET", "198.51.100.1")

        asyncio.run(calls())

    def test_whoever_guesses_is_stopped_before_any_work_and_known_webhooks_are_not(self):
        known = Known(hooks={"k": Hook(WS, SRC, "stripe", (STRIPE_SECRET,))})
        door = Acceptor(known, few(failures=buckets(3)))  # type: ignore[arg-type]
        good = replace(request(BODY), headers=sign_stripe(BODY, STRIPE_SECRET, AT))

        async def calls() -> None:
            for attempt in range(3):
                with pytest.raises(Unauthorised):
                    await door.hook("stripe", f"guess{attempt}", request(BODY))
            asked = known.asked
            with pytest.raises(TooMany):
                await door.hook("stripe", "guess", request(BODY))
            with pytest.raises(TooMany):
                await door.posthog("e", request(b"\x1f\x8b\x08 no work is done for this"))
            assert known.asked == asked
            await door.hook("stripe", "k", good)
            with pytest.raises(TooMany):
                await door.hook("stripe", "k", request(BODY))

        asyncio.run(calls())

    @given(st.lists(st.floats(0, 5, allow_nan=False), max_size=60), st.integers(1, 20), st.integers(1, 10))
    def test_no_more_than_burst_plus_rate_times_time(self, pauses, burst, rate):
        now = 0.0
        tokens = Buckets(rate, burst, clock=lambda: now)
        passed = 0
        waits = []
        for pause in pauses:
            now += pause
            try:
                tokens.take("k")
                passed += 1
            except TooMany as refused:
                waits.append(refused.retry_after)
        assert all(wait > 0 for wait in waits)
        assert passed <= burst + rate * now + 1e-6

    def test_the_memory_of_buckets_is_bounded(self):
        tokens = Buckets(1, 1, size=100, clock=lambda: 0.0)
        for key in range(1_000):
            tokens.take(key)
        assert len(tokens._levels) == 100


# --- addresses and queries


class TestAddresses:
    @pytest.mark.parametrize(
        ("peer", "forwarded", "expected"),
        [
            ("10.0.0.1", "198.51.100.7", "198.51.100.7"),
            ("10.0.0.1", "1.1.1.1, 198.51.100.7", "198.51.100.7"),  # what a client adds in front is not believed
            ("10.0.0.1", "198.51.100.7, 10.0.0.2", "198.51.100.7"),
            ("10.0.0.1", "", "10.0.0.1"),
            ("10.0.0.1", "unknown", "10.0.0.1"),
            ("203.0.113.5", "198.51.100.7", "203.0.113.5"),  # not our proxy
            ("::1", "2001:db8::1", "::1"),
            (None, "198.51.100.7", None),
        ],
    )
    def test_only_trusted_proxies_say_who_it_was(self, peer, forwarded, expected):
        assert client_address(peer, forwarded, Proxies("10.0.0.0/8, 192.0.2.1")) == expected

    def test_nobody_is_trusted_by_default(self):
        assert client_address("127.0.0.1", "1.2.3.4", Proxies("")) == "127.0.0.1"

    def test_a_wrong_setting_names_itself(self):
        with pytest.raises(InvalidInput, match="GDP_TRUSTED_PROXIES"):
            Proxies("10.0.0.0/8, proxy.local")

    @pytest.mark.parametrize(
        ("address", "counted"),
        [
            ("203.0.113.77", "203.0.113.77"),
            ("::ffff:203.0.113.77", "203.0.113.77"),
            ("2001:db8:1:2:3::4", "2001:db8:1:2::/64"),
            ("2001:db8:1:2:ffff::1", "2001:db8:1:2::/64"),
            ("testclient", "testclient"),
            (None, None),
        ],
    )
    def test_a_network_of_addresses_counts_as_one(self, address, counted):
        assert counted_as(address) == counted

    @pytest.mark.parametrize(
        ("address", "kept"),
        [
            ("203.0.113.77", "203.0.113.0"),
            ("2001:db8:1:2:3::4", "2001:db8:1::"),
            ("::ffff:203.0.113.77", "203.0.113.0"),
            ("testclient", None),
            (None, None),
        ],
    )
    def test_addresses_are_stored_without_their_end(self, address, kept):
        assert truncated(address) == kept


def test_queries():
    assert query_of(b"") == {}
    assert query_of(b"a=1&a=2&b=%C3%A4&c") == {"a": "1", "b": "ä", "c": ""}
    for hostile in (b"&".join(b"a=1" for _ in range(60)), b"\xff=1"):
        with pytest.raises(InvalidInput):
            query_of(hostile)


def test_ids_sort_by_time():
    ids = [time_ordered(NOW + timedelta(milliseconds=n)) for n in range(50)]
    assert ids == sorted(ids)
    assert {(each.version, each.variant) for each in ids} == {(7, uuid.RFC_4122)}
