"""The vendors' own clients, unchanged, against a live door: what they send is there, once."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import orjson
import posthog
import pytest
from segment.analytics.client import Client as SegmentClient

from gdp_core.sources import source
from gdp_core.sources.facts import Delivery, Fact
from tests.door import (
    encryption_keys,  # noqa: F401 - autouse
    inbox,
    issue_key,
    received,
    serving,
)

NODE_PACKAGES = {"@segment/analytics-node": "3.1.0", "posthog-node": "5.70.0"}
CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "growth-data-plane" / "npm-clients"


def facts(database) -> list[Fact]:
    """Everything the sources read from what the door stored, each key once."""
    found: dict[str, Fact] = {}
    for row in inbox(database):
        delivery = Delivery(
            row["id"],
            row["workspace_id"],
            row["source_id"],
            row["source"],
            row["route"],
            row["trust"],
            row["received_at"],
            bytes(row["body"]),
            row["headers"],
            row["query"],
        )
        for fact in source(row["source"]).normalise(delivery):
            assert isinstance(fact, Fact), fact
            found.setdefault(fact.key, fact)
    return list(found.values())


def names(stated: list[Fact]) -> list[str]:
    return sorted(fact.event.name for fact in stated if fact.event)


@pytest.mark.parametrize("gzip", [False, True])
def test_segment_for_python(database, gzip):
    key = issue_key(database, "segment")
    with serving(database.dsn) as live:
        errors: list[Exception] = []
        client = SegmentClient(key, host=live.url, gzip=gzip, on_error=lambda error, _items: errors.append(error))
        client.identify("user_1", {"email": "ada@example.test"})
        client.group("user_1", "company_1", {"name": "Acme"})
        client.alias("anon_1", "user_1")
        client.page("user_1", "Docs", "Pricing")
        client.screen("user_1", None, "Home")
        for number in range(250):
            client.track("user_1", "order_completed", {"revenue": number})
        client.flush()
        client.join()
    assert errors == []
    stated = facts(database)
    assert names(stated) == sorted(
        ["identify", "group", "alias", "page_view", "screen_view"] + ["order_completed"] * 250
    )
    assert received(database) == len(inbox(database)) >= 3
    assert all(key.encode() not in bytes(row["body"]) for row in inbox(database))


@pytest.mark.parametrize("options", [{}, {"gzip": True}, {"capture_mode": "v1"}])
@pytest.mark.parametrize("kind", ["browser", "server"])
def test_posthog_for_python(database, options, kind):
    key = issue_key(database, "posthog", kind)
    with serving(database.dsn) as live:
        errors: list[Exception] = []
        client = posthog.Posthog(key, host=live.url, on_error=lambda error, _items: errors.append(error), **options)
        for number in range(120):
            client.capture("report exported", distinct_id="user_1", properties={"n": number})
        client.set(distinct_id="user_1", properties={"email": "ada@example.test"})
        client.alias("anon_1", "user_1")
        client.flush()
        client.shutdown()
    assert errors == []
    stated = facts(database)
    assert names(stated) == ["alias"] + ["report exported"] * 120
    assert len(stated) == 122
    assert {row["trust"] for row in inbox(database)} == {kind}
    route = "posthog/v1" if "capture_mode" in options else "posthog/batch"
    assert {row["route"] for row in inbox(database)} == {route}


def node() -> str:
    """Node with the two clients, installed once into a cache folder; skips with the reason."""
    program, npm = shutil.which("node"), shutil.which("npm")
    if not program or not npm:
        pytest.skip("needs Node 20 or later and npm")
    version = subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout.strip()
    if int(version.lstrip("v").split(".")[0]) < 20:
        pytest.skip(f"needs Node 20 or later, found {version}")
    manifest = {"private": True, "dependencies": NODE_PACKAGES}
    marker = CACHE / "package.json"
    if not marker.exists() or json.loads(marker.read_text()) != manifest:
        CACHE.mkdir(parents=True, exist_ok=True)
        packages = [f"{name}@{version}" for name, version in NODE_PACKAGES.items()]
        command = [npm, "install", "--no-save", "--no-audit", "--no-fund", "--prefix", str(CACHE), *packages]
        try:
            installed = subprocess.run(command, capture_output=True, text=True, timeout=240)
        except subprocess.TimeoutExpired:
            pytest.skip("npm could not install the clients: the registry does not answer")
        if installed.returncode:
            reason = (installed.stderr.strip().splitlines() or ["no reason given"])[-1]
            pytest.skip(f"npm could not install the clients: {reason}")
        marker.write_text(json.dumps(manifest))
    return program


def run_node(script: str, **environment: str) -> None:
    result = subprocess.run(
        [node(), "--input-type=commonjs", "-e", script],
        cwd=CACHE,
        env={"PATH": os.environ["PATH"], "HOME": str(CACHE), **environment},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert result.returncode == 0, result.stderr


SEGMENT_NODE = """
const { Analytics } = require('@segment/analytics-node')
const analytics = new Analytics({ writeKey: process.env.KEY, host: process.env.DOOR })
analytics.on('error', (error) => { console.error(error); process.exit(1) })
analytics.identify({ userId: 'user_1', traits: { email: 'ada@example.test' } })
analytics.alias({ previousId: 'anon_1', userId: 'user_1' })
analytics.page({ userId: 'user_1', name: 'Pricing' })
for (let n = 0; n < 40; n++) analytics.track({ userId: 'user_1', event: 'order_completed', properties: { n } })
analytics.closeAndFlush()
"""

POSTHOG_NODE = """
const { PostHog } = require('posthog-node')
const posthog = new PostHog(process.env.KEY, { host: process.env.DOOR, flushAt: 20 })
posthog.on('error', (error) => { console.error(error); process.exit(1) })
posthog.identify({ distinctId: 'user_1', properties: { email: 'ada@example.test' } })
posthog.alias({ distinctId: 'user_1', alias: 'anon_1' })
for (let n = 0; n < 40; n++) posthog.capture({ distinctId: 'user_1', event: 'report exported', properties: { n } })
posthog.shutdown()
"""


def test_segment_for_node(database):
    node()
    key = issue_key(database, "segment")
    with serving(database.dsn) as live:
        run_node(SEGMENT_NODE, KEY=key, DOOR=live.url)
    assert names(facts(database)) == sorted(["identify", "alias", "page_view"] + ["order_completed"] * 40)


def test_posthog_for_node(database):
    node()
    key = issue_key(database, "posthog")
    with serving(database.dsn) as live:
        run_node(POSTHOG_NODE, KEY=key, DOOR=live.url)
    assert names(facts(database)) == sorted(["identify", "alias"] + ["report exported"] * 40)
    assert all(key.encode() not in bytes(row["body"]) for row in inbox(database))


FIXTURES = Path(__file__).parent.parent.parent / "shared" / "fixtures"


@pytest.mark.skipif(not FIXTURES.exists(), reason="the recorded requests are not here")
@pytest.mark.parametrize(
    "file",
    [
        "posthog/recorded_posthog_js_1.260.0.json",
        "posthog/recorded_posthog_js_1.434.13.json",
        "posthog/recorded_posthog_node_5.70.0.json",
        "posthog/recorded_posthog_python_7.91.1.json",
        "segment/recorded_analytics_next_1.84.3_browser.json",
        "segment/recorded_analytics_next_1.84.3_browser_batching.json",
        "segment/recorded_segment_analytics_node_3.1.0.json",
        "segment/recorded_segment_analytics_python_2.4.0.json",
        "rudderstack/recorded_rudder_sdk_node_3.0.13.json",
    ],
)
def test_recorded_requests_are_taken_as_they_were_sent(database, file):
    """Every recorded request but for its key, which is put in place of the one it was recorded with."""
    import base64
    import gzip as gzip_module

    family = "posthog" if file.startswith("posthog") else "segment"
    key = issue_key(database, family, "browser")
    answers = []
    with serving(database.dsn) as live:
        for recorded in json.loads((FIXTURES / file).read_text())["requests"]:
            if recorded["method"] != "POST" or recorded["path"].startswith(("/flags", "/decide")):
                continue
            sent = recorded.get("body_base64_as_sent")
            plain = recorded.get("body_text", "").encode() or orjson.dumps(recorded["body_json"])
            old = next(old for old in (b"phc_test", b"wk_test", b"") if old in plain or not old)
            body = plain.replace(old, key.encode()) if old else plain
            headers = {
                k: v for k, v in recorded["headers"].items() if k not in ("host", "content-length", "authorization")
            }
            if "authorization" in recorded["headers"]:
                basic = "Basic " + base64.b64encode(f"{key}:".encode()).decode()
                headers["authorization"] = f"Bearer {key}" if family == "posthog" else basic
            body = gzip_module.compress(body) if sent else body
            answers.append(live.client.post(recorded["path"], content=body, headers=headers))
    assert answers
    assert {answer.status_code for answer in answers} == {200}
    assert len(inbox(database)) == len(answers)
    assert facts(database)
