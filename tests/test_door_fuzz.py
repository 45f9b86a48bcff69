"""Hostile requests by the thousand: never a 5xx, never a stuck row, no growing memory.

From the door's own OpenAPI description (schemathesis), and by damaging bodies that SDKs really send.
"""

import base64
import gzip
import os
import subprocess
import sys
import time
import zlib
from collections.abc import Iterator
from typing import Any, NamedTuple

import httpx
import orjson
import psutil
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from gdp_core.sources import source
from gdp_core.sources.facts import Delivery
from jobs import ports
from jobs.door.app import create_app
from jobs.door.door import Door
from tests.conftest import ROOT, TestDatabase
from tests.door import (
    ENCRYPTION_KEYS,
    connect,
    encryption_keys,  # noqa: F401 - autouse
    inbox,
    issue_key,
    received,
    sign_standard,
    sign_stripe,
    until_ready,
)

CHECKS = (not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance)
STRIPE, SVIX = "whsec_test_secret", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
QUICK, HEAVY = 120, 10_000
MEMORY = 100 * 1024 * 1024

# One path per handler; the others are the same handler under another name.
PATHS = (
    "/hooks/{source}/{key}",
    *(f"/v1/{call}" for call in ("track", "identify", "page", "screen", "group", "alias", "batch", "import")),
    *(f"{path}/" for path in ("/batch", "/capture", "/e", "/i/v0/e", "/i/v1/analytics/events", "/flags")),
)


class Fuzzed(NamedTuple):
    """A door in a process of its own, with sources whose keys are known."""

    url: str
    process: psutil.Process
    client: httpx.Client
    segment: str
    posthog: str
    stripe_path: str
    generic_path: str


@pytest.fixture
def door(database: TestDatabase) -> Iterator[Fuzzed]:
    port = ports.choose()
    stripe, generic = connect(database, "stripe", secret=STRIPE), connect(database, "generic", secret=SVIX)
    environment = os.environ | {"DATABASE_URL": database.dsn, "GDP_ENCRYPTION_KEYS": ENCRYPTION_KEYS}
    command = [sys.executable, "-m", "tests.crash.mutants", "none", str(port)]
    process = subprocess.Popen(command, cwd=ROOT, env=environment)
    url = f"http://127.0.0.1:{port}"
    try:
        with httpx.Client(base_url=url, timeout=30, trust_env=False) as client:
            for _ in range(5_000):
                try:
                    client.get("/livez")
                    break
                except httpx.TransportError:
                    time.sleep(0.02)
            yield Fuzzed(
                url,
                psutil.Process(process.pid),
                client,
                issue_key(database, "segment"),
                issue_key(database, "posthog", "browser"),
                stripe.path,
                generic.path,
            )
    finally:
        process.terminate()
        assert process.wait(60) == 0


def many(examples: int) -> Any:
    """Hypothesis settings for a search over a live server: no shrinking of what took long to find, no clock."""
    return settings(
        max_examples=examples,
        deadline=None,
        database=None,
        derandomize=True,
        phases=(Phase.explicit, Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
    )


def check_afterwards(database: TestDatabase, door: Fuzzed, before: int) -> None:
    """Everything stored can be read by its source, the ledger agrees, and the memory is where it was."""
    rows = inbox(database)
    assert received(database) == len(rows)
    for row in rows:
        names = ("id", "workspace_id", "source_id", "source", "route", "trust", "received_at")
        delivery = Delivery(*(row[name] for name in names), bytes(row["body"]), row["headers"], row["query"])
        assert isinstance(source(row["source"]).normalise(delivery), list)
    assert until_ready(door.client).status_code == 200
    assert door.process.memory_info().rss - before < MEMORY


# --- from the description


def explore(door: Fuzzed, path: str, examples: int) -> None:
    description = create_app(Door("postgresql://x/y"))._app.openapi()  # type: ignore[attr-defined]
    schema = schemathesis.openapi.from_dict(description)
    for method in ("post", "get"):
        if method in description["paths"][path]:
            explore_operation(door, path, schema[path][method].as_strategy(), examples)


def explore_operation(door: Fuzzed, path: str, cases: st.SearchStrategy[Any], examples: int) -> None:
    _, _, hook_source, hook_key = door.generic_path.split("/")
    key = {} if "{key}" in path else {"authorization": _authorization(door, path)}

    @many(examples)
    @given(cases, st.booleans())
    def search(case: Any, authorised: bool) -> None:
        if "{key}" in path:
            case.path_parameters = {"source": hook_source, "key": hook_key}
        case.call_and_validate(base_url=door.url, headers=key if authorised else {}, checks=CHECKS)

    search()


def _authorization(door: Fuzzed, path: str) -> str:
    if path.startswith("/i/v1"):
        return f"Bearer {door.posthog}"
    return "Basic " + base64.b64encode(f"{door.segment}:".encode()).decode()


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.heavy
def test_ten_thousand_requests_by_the_description(database, door, path):
    explore(door, path, 50)
    before = door.process.memory_info().rss
    explore(door, path, HEAVY // 2)
    check_afterwards(database, door, before)


def test_requests_by_the_description(database, door):
    before = door.process.memory_info().rss
    for path in PATHS:
        explore(door, path, QUICK // 6)
    check_afterwards(database, door, before)


# --- from what SDKs send, damaged


EVENT = {
    "type": "track",
    "userId": "u1",
    "event": "x",
    "messageId": "m1",
    "properties": {"revenue": 1.5, "list": [1, None]},
}
HOSTILE = (
    b"\x00",
    b"\\u0000",
    b"\\ud800",
    b"\xff\xfe",
    b"\xef\xbb\xbf",
    b"NaN",
    b"-Infinity",
    b"1e400",
    b"9" * 400,
    b"[" * 1_100,
    b'{"a":' * 200,
    b'"' + b"x" * 5_000 + b'"',
    b"null",
    b"{}",
    b"\x1f\x8b\x08",
    b"%00",
    b"data=",
)


def seeds(door: Fuzzed) -> dict[str, bytes]:
    """A good body for each path."""
    single = orjson.dumps(EVENT | {"writeKey": door.segment})
    batch = orjson.dumps({"batch": [EVENT, EVENT], "writeKey": door.segment, "sentAt": "2026-11-20T08:00:00Z"})
    event = {
        "event": "x",
        "uuid": "u",
        "distinct_id": 7,
        "properties": {"token": door.posthog, "$set": {"email": "a@b.c"}},
    }
    capture = orjson.dumps({"api_key": door.posthog, "batch": [event], "sent_at": "2026-11-20T08:00:00Z"})
    segment = {f"/v1/{call}": single for call in ("track", "identify", "page", "screen", "group", "alias")}
    posthog = dict.fromkeys(("/batch/", "/capture/", "/e/", "/i/v0/e/", "/i/v1/analytics/events/"), capture)
    hooks = dict.fromkeys((door.stripe_path, door.generic_path), b'{"id":"evt_1","type":"x","data":{"object":{}}}')
    return segment | {"/v1/batch": batch, "/v1/import": batch} | posthog | hooks


@st.composite
def damage(draw: st.DrawFn) -> tuple[list[tuple[str, float, bytes]], str]:
    """Where to put what, and how to wrap the result."""
    steps = draw(
        st.lists(
            st.tuples(
                st.sampled_from(["insert", "replace", "cut", "repeat"]),
                st.floats(0, 1),
                st.one_of(st.sampled_from(HOSTILE), st.binary(max_size=12)),
            ),
            max_size=4,
        )
    )
    return steps, draw(st.sampled_from(["plain"] * 4 + ["gzip", "deflate", "base64", "form", "gzip-cut", "claimed"]))


def damaged(body: bytes, steps: list[tuple[str, float, bytes]]) -> bytes:
    for kind, where, what in steps:
        at = int(where * len(body))
        match kind:
            case "insert":
                body = body[:at] + what + body[at:]
            case "replace":
                body = body[:at] + what + body[at + len(what) :]
            case "cut":
                body = body[:at]
            case _:
                body = body[:at] + body[: at % 2_000]
    return body


def wrapped(body: bytes, wrapping: str) -> tuple[bytes, dict[str, str], dict[str, str]]:
    """(body, headers, query)."""
    match wrapping:
        case "gzip":
            return gzip.compress(body), {"content-encoding": "gzip"}, {}
        case "deflate":
            return zlib.compress(body), {"content-encoding": "deflate"}, {}
        case "gzip-cut":
            return gzip.compress(body)[:-6], {}, {"compression": "gzip-js"}
        case "base64":
            return base64.b64encode(body), {}, {"compression": "base64"}
        case "form":
            return b"data=" + base64.b64encode(body), {"content-type": "application/x-www-form-urlencoded"}, {}
        case "claimed":
            return body, {"content-encoding": "gzip"}, {"compression": "lz64", "_": "\x00"}
        case _:
            return body, {}, {}


def attack(door: Fuzzed, path: str, seed: bytes, examples: int) -> None:
    @many(examples)
    @given(damage())
    def search(chosen: tuple[list[tuple[str, float, bytes]], str]) -> None:
        steps, wrapping = chosen
        body, headers, query = wrapped(damaged(seed, steps), wrapping)
        if path.startswith("/hooks/stripe"):
            headers |= sign_stripe(body, STRIPE)
        elif path.startswith("/hooks/"):
            headers |= sign_standard(body, SVIX, family="webhook", message_id="msg_1")
        elif path.startswith("/i/v1"):
            headers["authorization"] = f"Bearer {door.posthog}"
        answer = door.client.post(path, content=body, headers=headers, params=query)
        assert answer.status_code in (200, 400, 401, 403, 413), (path, answer.status_code, body[:200])

    search()


def test_damaged_bodies(database, door):
    before = door.process.memory_info().rss
    for path, seed in seeds(door).items():
        attack(door, path, seed, QUICK)
    check_afterwards(database, door, before)


@pytest.mark.heavy
def test_ten_thousand_damaged_bodies_for_each_path(database, door):
    for path, seed in seeds(door).items():
        attack(door, path, seed, 50)
    before = door.process.memory_info().rss
    for path, seed in seeds(door).items():
        attack(door, path, seed, HEAVY)
    check_afterwards(database, door, before)
