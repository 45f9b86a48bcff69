"""The door over real HTTP and a real Postgres: statuses, headers, limits of size and time, health, metrics, logs."""

import gzip
import io
import json
import logging
import os
import re
import socket
import subprocess
import sys
import threading
import time
import zlib
from concurrent.futures import ThreadPoolExecutor

import httpx
import orjson
import pytest
import structlog

from gdp_core import failpoint as failpoints
from gdp_core.accept import SEGMENT_BYTES
from gdp_core.limits import Buckets, Limits
from gdp_core.settings import settings
from jobs import logs
from jobs.door import edge, hot
from jobs.door import server as serving_door
from jobs.door.app import hot_routes
from tests.conftest import ROOT
from tests.door import (
    add_secret,
    connect,
    encryption_keys,  # noqa: F401 - autouse
    generous,
    inbox,
    issue_key,
    query,
    received,
    serving,
    sign_standard,
    sign_stripe,
    until_ready,
)

SECRET = "whsec_test_secret"
SVIX = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
BODY = b'{"id":"evt_1","object":"event","type":"invoice.paid"}'
EVENT = {"type": "track", "userId": "u1", "event": "x", "messageId": "m1"}


@pytest.fixture
def live(database):
    with serving(database.dsn) as door:
        yield door


def error_code(response: httpx.Response) -> str:
    """The code of the one error form, with its request id checked."""
    body = response.json()
    assert set(body) == {"error", "request_id"}
    assert body["request_id"] == response.headers["x-request-id"]
    return body["error"]["code"]


# --- stored and answered


def test_replies_are_those_the_sdks_insist_on(database, live):
    stripe, resend = connect(database, "stripe", secret=SECRET), connect(database, "resend", secret=SVIX)
    relay = connect(database, "posthog")
    segment, browser = issue_key(database, "segment"), issue_key(database, "posthog", "browser")
    post = live.client.post
    answers = [
        post(stripe.path, content=BODY, headers=sign_stripe(BODY, SECRET)),
        post(resend.path, content=BODY, headers=sign_standard(BODY, SVIX)),
        post(relay.path, content=b'{"event":"{}","person":"{}"}'),
    ]
    assert [(answer.status_code, answer.json()) for answer in answers] == [(200, {"received": True})] * 3
    calls = "track identify page screen group alias t i p s g a".split()
    singles = [post(f"/v1/{call}", json=EVENT | {"writeKey": segment}) for call in calls]
    batches = [post(f"/v1/{call}", json={"batch": [EVENT]}, auth=(segment, "")) for call in ("batch", "b", "import")]
    assert {(answer.status_code, answer.content) for answer in singles + batches} == {(200, b'{"success":true}')}
    paths = "/batch /capture /e /track /engage /i/v0/e".split()
    captured = [
        post(f"{path}{slash}", content=orjson.dumps({"event": "x", "properties": {"token": browser}}))
        for path in paths
        for slash in ("", "/")
    ]
    captured.append(live.client.get("/e/", params={"data": json.dumps({"event": "x", "api_key": browser})}))
    assert {(answer.status_code, answer.content) for answer in captured} == {(200, b'{"status":1}')}
    v1 = post(
        "/i/v1/analytics/events",
        json={"batch": [{"uuid": "a", "event": "x"}]},
        headers={"authorization": f"Bearer {browser}"},
    )
    assert (v1.status_code, v1.json()) == (200, {"results": {"a": {"result": "ok"}}})
    total = 3 + len(singles) + len(batches) + len(captured) + 1
    assert len(inbox(database)) == received(database) == total
    assert {row["route"] for row in inbox(database)} == {
        "webhook",
        *(f"v1/{call}" for call in (*calls[:6], "batch")),
        *(f"posthog/{capture}" for capture in ("batch", "capture", "e", "v0", "v1")),
    }


def test_what_is_stored(database, live):
    hook = connect(database, "stripe", secret=SECRET)
    answer = live.client.post(hook.path, content=BODY, headers=sign_stripe(BODY, SECRET) | {"user-agent": "Stripe/1.0"})
    (row,) = inbox(database)
    assert str(row["id"]) == answer.headers["x-request-id"]
    assert (row["workspace_id"], row["source_id"]) == (hook.workspace_id, hook.source_id)
    assert (row["source"], row["route"], row["trust"], row["state"]) == ("stripe", "webhook", "signed", "pending")
    assert (bytes(row["body"]), row["run_at"]) == (BODY, row["received_at"])
    assert row["headers"] == {"user-agent": "Stripe/1.0", "x-client-ip": "127.0.0.0"}
    (posting,) = query(database, "SELECT * FROM ledger_entry")
    assert (posting["ledger"], posting["source_id"], posting["received"]) == ("delivery", hook.source_id, 1)
    assert posting["hour"] == row["received_at"].replace(minute=0, second=0, microsecond=0)


def test_many_at_once_are_stored_once_each(database, live):
    hook = connect(database, "generic", secret=SVIX)

    def send(number: int) -> int:
        body = b'{"n":%d}' % number
        headers = sign_standard(body, SVIX, family="webhook", message_id=f"msg_{number}")
        return live.client.post(hook.path, content=body, headers=headers).status_code

    with ThreadPoolExecutor(16) as pool:
        assert set(pool.map(send, range(200))) == {200}
    assert sorted(orjson.loads(bytes(row["body"]))["n"] for row in inbox(database)) == list(range(200))
    assert received(database) == 200


# --- refused


def test_refusals_have_one_form_and_store_nothing(database, live):
    hook, key = connect(database, "stripe", secret=SECRET), issue_key(database, "segment")
    public = issue_key(database, "segment", "browser", origins=("https://shop.test",))
    post = live.client.post
    cases = [
        (post(hook.path, content=BODY, headers=sign_stripe(BODY, "other")), 401, "unauthorised"),
        (post("/hooks/stripe/nobody", content=BODY, headers=sign_stripe(BODY, SECRET)), 401, "unauthorised"),
        (post("/hooks/nothing/nobody", content=BODY), 401, "unauthorised"),
        (post("/v1/track", json=EVENT), 401, "unauthorised"),
        (post("/v1/track", content=b"{", auth=(key, "")), 400, "malformed"),
        (post("/v1/batch?a=%ff", json={}, auth=(key, "")), 400, "malformed"),
        (post("/e/", content=b""), 400, "malformed"),
        (post("/v1/import", json={"batch": []}, auth=(public, "")), 403, "forbidden"),
        (post("/v1/track", json=EVENT, auth=(public, ""), headers={"origin": "https://evil.test"}), 403, "forbidden"),
        (post("/v1/track", content=b"x" * (SEGMENT_BYTES + 1), auth=(key, "")), 413, "too_large"),
        (live.client.get(hook.path), 405, "method_not_allowed"),
        (live.client.get("/v1/nothing"), 404, "not_found"),
        (live.client.get("/"), 404, "not_found"),
    ]
    assert [(answer.status_code, error_code(answer)) for answer, _, _ in cases] == [case[1:] for case in cases]
    assert inbox(database) == []
    assert received(database) == 0
    unknown, wrong = cases[1][0], cases[0][0]
    assert all("not valid here" in answer.json()["error"]["message"] for answer, _, _ in cases[:4])
    ignored = {"date", "x-request-id"}
    assert unknown.json()["error"] == wrong.json()["error"]
    assert {k: v for k, v in unknown.headers.items() if k not in ignored} == {
        k: v for k, v in wrong.headers.items() if k not in ignored
    }


def test_a_revoked_an_expired_and_an_archived_key(database, live):
    for columns in ({"revoked_at": "2020-01-01"}, {"expires_at": "2020-01-01"}):
        key = issue_key(database, "segment", **columns)
        assert live.client.post("/v1/track", json=EVENT, auth=(key, "")).status_code == 401
    hook = connect(database, "stripe", secret=SECRET)
    query(database, "UPDATE source_instance SET archived_at = now() WHERE id = %s", hook.source_id)
    assert live.client.post(hook.path, content=BODY, headers=sign_stripe(BODY, SECRET)).status_code == 401


def test_secrets_of_a_rotation_come_from_the_database(database, live):
    hook = connect(database, "stripe", secret="whsec_old")
    add_secret(database, hook, "whsec_new")
    add_secret(database, hook, "whsec_expired", expires="2020-01-01")
    statuses = {
        secret: live.client.post(hook.path, content=BODY, headers=sign_stripe(BODY, f"whsec_{secret}")).status_code
        for secret in ("old", "new", "expired")
    }
    assert statuses == {"old": 200, "new": 200, "expired": 401}


def test_a_secret_that_does_not_open_fails_closed(database, live):
    hook = connect(database, "stripe", secret=SECRET)
    query(database, "UPDATE source_secret SET ciphertext = '\\x00'")
    assert live.client.post(hook.path, content=BODY, headers=sign_stripe(BODY, SECRET)).status_code == 401


def test_too_many_requests(database):
    limits = Limits(Buckets(0.001, 3), *(Buckets(1e6, 1e6) for _ in range(3)))
    key = issue_key(database, "segment")
    with serving(database.dsn, limits=limits) as live:
        answers = [live.client.post("/v1/track", json=EVENT, auth=(key, "")) for _ in range(4)]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
    assert error_code(answers[-1]) == "too_many_requests"
    assert int(answers[-1].headers["retry-after"]) >= 1


def test_a_spoofed_address_buys_nothing(database):
    limits = Limits(generous().per_key, Buckets(0.001, 2), generous().per_hook, generous().failures)
    key = issue_key(database, "segment", "browser")
    spoofed = [{"x-forwarded-for": f"198.51.100.{number}"} for number in range(4)]
    with serving(database.dsn, limits=limits) as live:
        seen = [live.client.post("/v1/track", json=EVENT, auth=(key, ""), headers=h).status_code for h in spoofed]
    assert seen == [200, 200, 429, 429]
    limits = Limits(generous().per_key, Buckets(0.001, 2), generous().per_hook, generous().failures)
    with serving(database.dsn, limits=limits, trusted_proxies="127.0.0.1") as live:
        seen = [live.client.post("/v1/track", json=EVENT, auth=(key, ""), headers=h).status_code for h in spoofed]
    assert seen == [200] * 4


# --- browsers


def test_preflight_and_cross_origin_answers(database, live):
    key = issue_key(database, "segment", "browser")
    for path in ("/v1/t", "/v1/batch", "/e/", "/i/v1/analytics/events", "/flags/", "/decide/"):
        preflight = live.client.options(
            path,
            headers={
                "origin": "https://shop.test",
                "access-control-request-method": "POST",
                "access-control-request-headers": "authorization,content-type,x-custom",
            },
        )
        assert preflight.status_code == 204
        assert preflight.headers["access-control-allow-origin"] == "*"
        assert "POST" in preflight.headers["access-control-allow-methods"]
        assert preflight.headers["access-control-allow-headers"] == "authorization,content-type,x-custom"
    fine = live.client.post("/v1/t", json=EVENT | {"writeKey": key}, headers={"origin": "https://shop.test"})
    refused = live.client.post("/v1/t", json=EVENT, headers={"origin": "https://shop.test"})
    assert fine.headers["access-control-allow-origin"] == refused.headers["access-control-allow-origin"] == "*"
    hook = live.client.post("/hooks/stripe/x", content=b"", headers={"origin": "https://shop.test"})
    assert "access-control-allow-origin" not in hook.headers
    assert live.client.options("/hooks/stripe/x").status_code == 405


def test_a_preflight_cannot_put_words_in_our_mouth(live):
    answer = live.client.options("/e/", headers={"access-control-request-headers": "x: y<script>"})
    assert answer.headers["access-control-allow-headers"] == "authorization, content-type, content-encoding"


def test_the_stubs_of_posthog(live):
    for path in ("/flags", "/flags/?v=2", "/decide/?v=3"):
        answer = live.client.post(path, content=b"anything")
        assert answer.status_code == 200
        assert (answer.json()["flags"], answer.json()["featureFlags"]) == ({}, {})
        assert answer.headers["access-control-allow-origin"] == "*"
    assert live.client.get("/array/phc_x/config").json()["hasFeatureFlags"] is False
    script = live.client.get("/array/phc_x%3Cscript%3E%22%27/config.js")
    assert script.headers["content-type"].startswith("application/javascript")
    assert "<script>" not in script.text
    assert "phc_x\\u003cscript>\\\"'" in script.text
    assert "_POSTHOG_REMOTE_CONFIG" in script.text


def test_every_response_carries_the_security_headers(live):
    for answer in (
        live.client.get("/livez"),
        live.client.get("/nowhere"),
        live.client.post("/e/"),
        live.client.get("/docs"),
    ):
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["cache-control"] == "no-store"
        assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
        assert "server" not in answer.headers


# --- sizes


def raw(live, *chunks: bytes, pause: float = 0.0, read: int = 65_536) -> bytes:
    """Send bytes as they are and return what comes back until the door hangs up or is done."""
    host, port = live.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=20) as connection:
        for chunk in chunks:
            try:
                connection.sendall(chunk)
            except OSError:
                break
            time.sleep(pause)
        received_bytes = b""
        while True:
            try:
                part = connection.recv(read)
            except ConnectionResetError:
                return received_bytes
            received_bytes += part
            if not part or received_bytes.endswith(b"}"):
                return received_bytes


HEAD = b"POST /hooks/generic/x HTTP/1.1\r\nhost: x\r\n"


def test_a_chunked_body_without_a_length_is_capped(live):
    chunk = b"10000\r\n" + b"x" * 65_536 + b"\r\n"
    answer = raw(live, HEAD + b"transfer-encoding: chunked\r\n\r\n", *[chunk] * 8)
    assert answer.startswith(b"HTTP/1.1 413")


def test_a_length_that_says_too_much_is_refused_at_once(live):
    answer = raw(live, HEAD + b"content-length: 99999999999\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 413")
    assert b"connection: close" in answer


def test_a_length_that_lies_is_no_request(live):
    answer = raw(live, HEAD + b"content-length: 2\r\n\r\nxxGARBAGE\r\n\r\n")
    assert answer[:12] in (b"HTTP/1.1 400", b"HTTP/1.1 401", b"")  # hung up on, whichever is noticed first
    assert live.client.get("/livez").status_code == 200


@pytest.mark.parametrize(
    "smuggled", [b"content-length: 1\r\ncontent-length: 2\r\n", b"content-length: 5\r\ntransfer-encoding: chunked\r\n"]
)
def test_two_lengths_are_no_request(live, smuggled):
    assert raw(live, HEAD + smuggled + b"\r\nx").startswith(b"HTTP/1.1 400")


def test_a_head_without_end_and_ten_thousand_headers(live):
    assert raw(live, HEAD + b"x: ", *[b"y" * 65_536] * 4).startswith(b"HTTP/1.1 431")
    many = b"".join(b"x-%d: y\r\n" % number for number in range(101))
    assert raw(live, HEAD + many + b"content-length: 0\r\n\r\n").startswith(b"HTTP/1.1 400")
    flood = b"".join(b"x-%d: y\r\n" % number for number in range(10_000))
    assert raw(live, HEAD + flood + b"content-length: 0\r\n\r\n")[:12] in (b"HTTP/1.1 400", b"HTTP/1.1 431")
    assert live.client.get("/livez").status_code == 200


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
def test_bombs_are_refused_without_being_opened(database, live, encoding):
    key = issue_key(database, "posthog")
    packer = zlib.compressobj(9, wbits=31 if encoding == "gzip" else 15)
    bomb = b"".join(packer.compress(b" " * 1_000_000) for _ in range(64)) + packer.flush()
    answer = live.client.post(
        "/i/v1/analytics/events",
        content=bomb,
        headers={"content-encoding": encoding, "authorization": f"Bearer {key}"},
    )
    assert (answer.status_code, error_code(answer)) == (413, "too_large")
    twice = live.client.post("/e/", content=gzip.compress(gzip.compress(b'{"event":"x"}')))
    assert twice.status_code == 400
    assert live.client.post("/e/", content=b"x", headers={"content-encoding": "zstd"}).status_code == 400


# --- slow clients


def test_stalled_heads_and_bodies_are_given_up_and_others_are_not_held_up(database, live, monkeypatch):
    hook = connect(database, "stripe", secret=SECRET)
    monkeypatch.setattr(serving_door, "HEAD_SECONDS", 2.0)  # more than all of them take to be opened
    monkeypatch.setattr(hot, "BODY_SECONDS", 0.5)
    host, port = live.url.removeprefix("http://").split(":")
    slow = [socket.create_connection((host, int(port)), timeout=20) for _ in range(60)]
    try:
        for number, connection in enumerate(slow):
            head = (b"", HEAD[:20], HEAD + b"content-length: 10\r\n\r\nhalf")[number % 3]
            connection.sendall(head) if head else None
        assert live.client.post(hook.path, content=BODY, headers=sign_stripe(BODY, SECRET)).status_code == 200
        answers = [connection.recv(4096)[:12] for connection in slow]
    finally:
        for connection in slow:
            connection.close()
    assert set(answers) == {b"HTTP/1.1 408"}
    assert live.door.held == 0


def test_a_body_in_small_pieces_is_fine(database, live):
    hook = connect(database, "stripe", secret=SECRET)
    signature = sign_stripe(BODY, SECRET)["stripe-signature"].encode()
    head = b"POST %s HTTP/1.1\r\nhost: x\r\nstripe-signature: %s\r\ncontent-length: %d\r\n\r\n"
    pieces = [BODY[index : index + 10] for index in range(0, len(BODY), 10)]
    answer = raw(live, head % (hook.path.encode(), signature, len(BODY)), *pieces, pause=0.01)
    assert answer.startswith(b"HTTP/1.1 200")
    assert bytes(inbox(database)[0]["body"]) == BODY


def test_a_client_that_goes_away_leaves_nothing(live):
    host, port = live.url.removeprefix("http://").split(":")
    for _ in range(5):
        with socket.create_connection((host, int(port))) as connection:
            connection.sendall(HEAD + b"content-length: 1000\r\n\r\nhalf")
    assert live.client.get("/livez").status_code == 200
    deadline = time.monotonic() + 30
    while live.door.held and time.monotonic() < deadline:
        time.sleep(0.01)
    assert live.door.held == 0


# --- health, metrics, documentation, logs


def test_health_and_metrics(database, live):
    hook, key = connect(database, "generic", secret=SVIX), issue_key(database, "segment")
    assert live.client.get("/livez").json() == {"status": "ok"}
    assert until_ready(live.client).json() == {"status": "ok"}
    (beat,) = query(database, "SELECT process, detail FROM ops.heartbeat")
    assert (beat["process"], beat["detail"]["queued"]) == ("door", 0)
    headers = sign_standard(BODY, SVIX, time.time() - 100, family="webhook")
    live.client.post(hook.path, content=BODY, headers=headers)
    live.client.post("/v1/track", json=EVENT | {"userId": "secret-person@example.test"}, auth=(key, ""))
    live.client.post("/v1/track", json=EVENT)
    text = live.client.get("/metrics").text
    assert 'gdp_door_requests_total{route="hooks",status="200"} 1.0' in text
    assert 'gdp_door_requests_total{route="v1/track",status="200"} 1.0' in text
    assert 'gdp_door_requests_total{route="v1/track",status="401"} 1.0' in text
    assert "gdp_door_flush_rows_count 2.0" in text
    assert "gdp_door_queue_deliveries 0.0" in text
    skew = float(re.search(r'clock_skew_seconds{source="generic"} (\S+)', text)[1])
    assert -130 < skew < -99
    assert "secret-person" not in text
    assert key not in text
    assert hook.path.rpartition("/")[2] not in text


@pytest.mark.parametrize("stamp", ["1", "9" * 400, "9" * 5000])
def test_nobody_but_a_signature_tells_the_time(database, live, stamp):
    """Whoever has a page's key could raise the alarm about clocks, and a number too long for Python was a 500."""
    key = issue_key(database, "segment", "browser")
    headers = {"svix-timestamp": stamp, "webhook-timestamp": stamp, "stripe-signature": f"t={stamp},v1=x"}
    assert live.client.post("/v1/track", json=EVENT, auth=(key, ""), headers=headers).status_code == 200
    assert "clock_skew_seconds{" not in live.client.get("/metrics").text


def test_through_a_proxy_there_is_neither_description_nor_metrics(live):
    for path in ("/docs", "/openapi.json", "/metrics"):
        assert live.client.get(path).status_code == 200
        answer = live.client.get(path, headers={"x-forwarded-for": "1.2.3.4"})
        assert (answer.status_code, error_code(answer)) == (404, "not_found")


def test_the_description_names_every_route(live):
    schema = live.client.get("/openapi.json").json()
    accepted = {route.path for route in hot_routes(live.door)}
    assert accepted <= set(schema["paths"])
    page = live.client.get("/docs").text
    for path in ("/hooks/{source}/{key}", "/v1/batch", "/i/v1/analytics/events"):
        assert path in page
    assert "<script" not in page


def test_nothing_of_a_request_is_logged(database, monkeypatch):
    out = io.StringIO()
    canaries = {"body": "canary-body", "mail": "canary@example.test", "agent": "canary-agent", "origin": "canary.test"}
    before = structlog.get_config(), list(logging.getLogger().handlers)
    try:
        monkeypatch.setattr("sys.stderr", out)
        logs.log_json("debug")
        hook, key = connect(database, "stripe", secret=SECRET), issue_key(database, "segment")
        body = orjson.dumps({"userId": canaries["mail"], "event": canaries["body"]})
        headers = {"user-agent": canaries["agent"], "origin": f"https://{canaries['origin']}"}
        with serving(database.dsn) as live:
            live.client.post("/v1/track", content=body, auth=(key, ""), headers=headers)
            live.client.post("/v1/track", content=body, auth=("canary-key", ""), headers=headers)
            live.client.post("/v1/track", content=body[:-1], auth=(key, ""), headers=headers)
            live.client.post(hook.path, content=body, headers=sign_stripe(body, "canary-secret"))
            monkeypatch.setenv("GDP_FAILPOINT", "door.verified:raise")
            settings.cache_clear()
            failed = live.client.post("/v1/track", content=body, auth=(key, ""), headers=headers)
            monkeypatch.delenv("GDP_FAILPOINT")
            settings.cache_clear()
            query(database, "ALTER TABLE inbox ADD CONSTRAINT no CHECK (source <> 'segment') NOT VALID")
            refused = live.client.post("/v1/track", content=body, auth=(key, ""), headers=headers)
    finally:
        structlog.configure(**before[0])
        logging.getLogger().handlers = before[1]
    assert (failed.status_code, error_code(failed)) == (500, "internal")
    assert refused.status_code == 400
    entries = [json.loads(line) for line in out.getvalue().splitlines()]
    logged = json.dumps([entry for entry in entries if entry.get("logger") != "httpx"])  # the test's own client
    assert "door.failed" in {entry.get("action") for entry in entries}
    assert "appender.poison" in {entry.get("action") for entry in entries}
    assert failpoints.Failed.__name__ in logged
    for secret in (*canaries.values(), "canary", key, SECRET, hook.path):
        assert secret not in logged


def test_a_proxy_that_is_not_believed_is_mentioned_once(database, live, capsys):
    key = issue_key(database, "segment")
    for _ in range(3):
        live.client.post("/v1/track", json=EVENT, auth=(key, ""), headers={"x-forwarded-for": "1.2.3.4"})
    assert capsys.readouterr().out.count("GDP_TRUSTED_PROXIES") == 1


def test_more_at_once_than_the_door_takes(database, live, monkeypatch):
    monkeypatch.setattr(edge, "MOST_REQUESTS", 0)
    answer = live.client.get("/livez")
    assert (answer.status_code, error_code(answer), answer.headers["retry-after"]) == (503, "unavailable", "1")
    monkeypatch.undo()
    monkeypatch.setattr(hot, "MOST_HELD_BYTES", 100)
    key = issue_key(database, "segment")
    answer = live.client.post("/v1/track", content=b"x" * 200, auth=(key, ""))
    assert answer.status_code == 503
    assert live.door.held == 0


def test_a_door_that_closes_stores_what_it_has_begun(database):
    hook = connect(database, "stripe", secret=SECRET)
    statuses: list[int] = []
    with serving(database.dsn) as live:

        def send() -> None:
            with httpx.Client(base_url=live.url, timeout=20, trust_env=False) as client:
                try:
                    while True:
                        answer = client.post(hook.path, content=BODY, headers=sign_stripe(BODY, SECRET))
                        statuses.append(answer.status_code)
                except httpx.HTTPError:
                    pass

        senders = [threading.Thread(target=send) for _ in range(8)]
        for sender in senders:
            sender.start()
        while statuses.count(200) < 50:
            time.sleep(0.01)
    for sender in senders:
        sender.join(20)
    assert set(statuses) <= {200, 503}
    assert len(inbox(database)) == received(database) >= statuses.count(200) >= 50


# --- when something is missing


def test_without_postgres_the_door_lives_and_lies_to_nobody():
    with serving("postgresql://nobody:x@127.0.0.1:1/none") as live:
        began = time.monotonic()
        hook = live.client.post("/hooks/stripe/x", content=BODY, headers=sign_stripe(BODY, SECRET))
        tracked = live.client.post("/v1/track", json=EVENT, auth=("key", ""))
        ready = live.client.get("/readyz")
        assert time.monotonic() - began < 20
        assert live.client.get("/livez").status_code == 200
    for answer in (hook, tracked, ready):
        assert (answer.status_code, error_code(answer)) == (503, "unavailable")
        assert int(answer.headers["retry-after"]) >= 1


@pytest.mark.parametrize(
    ("environment", "sentence"),
    [
        ({}, "DATABASE_URL is not set"),
        ({"DATABASE_URL": "mysql://x"}, "DATABASE_URL: must start with postgresql://"),
        ({"DATABASE_URL": "postgresql://x:hunter2@h:port/db"}, "DATABASE_URL cannot be read"),
        ({"GDP_DOOR_PORT": "ninety"}, "GDP_DOOR_PORT"),
        ({"DATABASE_URL": "postgresql://x@127.0.0.1:1/x", "GDP_TRUSTED_PROXIES": "proxy.local"}, "GDP_TRUSTED_PROXIES"),
        ({"DATABASE_URL": "postgresql://x@127.0.0.1:1/x"}, "cannot listen on port"),
    ],
)
def test_a_start_that_cannot_work_is_one_sentence(environment, sentence, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        result = subprocess.run(
            [sys.executable, "-m", "jobs.web"],
            cwd=tmp_path,
            env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "GDP_DOOR_PORT": port, **environment},
            capture_output=True,
            text=True,
            timeout=300,
        )
    assert result.returncode == 1
    assert sentence in result.stderr
    assert "Traceback" not in result.stderr
    assert "hunter2" not in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1
