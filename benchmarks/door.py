"""How many deliveries the door acknowledges per second, on disk, beside Postgres and the load on the same cores.

Signed webhooks are measured against the same process verifying but not storing; that ratio is what a change is judged
by, the absolute numbers are for orientation. The load comes from a process of its own.
"""

import asyncio
import base64
import contextlib
import hashlib
import hmac
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import psycopg

ROOT = Path(__file__).parent.parent
CONNECTIONS = 64
SECONDS = 6.0
WARM_UP = 2.0
BATCH = 50
SECRET = "whsec_benchmark"


class Measured(NamedTuple):
    """Answers per second after the warm-up, and the 99th percentile of their latency in milliseconds."""

    rate: float
    p99: float
    refused: int


def run() -> list[dict[str, Any]]:
    """Rows with name, value, unit, peer, peer_value, ratio."""
    with tempfile.TemporaryDirectory(prefix="gdp-bench-") as folder:
        Path(folder).chmod(0o755)  # Postgres may run as another user
        return _run(Path(folder))


def _run(folder: Path) -> list[dict[str, Any]]:
    from gdp_core.schema import prepare
    from jobs.postgres import running

    os.environ["GDP_ENCRYPTION_KEYS"] = "bench:" + base64.b64encode(secrets.token_bytes(32)).decode()
    with running(folder) as urls:
        password = secrets.token_hex(16)
        prepare(urls.admin_url, login=("gdp_bench", password))
        hook_path, key = _connect(urls.admin_url)
        dsn = urls.url("gdp_bench", password)
        webhook = _webhook(hook_path)
        batch = _batch(key)
        with _door(dsn, "verify-only") as port:
            verified = _load(port, webhook)
        with _door(dsn, "store") as port:
            stored = _load(port, webhook)
            tracked = _load(port, batch, connections=16)
        _check(urls.admin_url, stored, tracked)
    peer = "the same process verifying but not storing"
    return [
        _row("door.webhooks", stored.rate, "req/s", peer, verified.rate),
        _row("door.webhooks.p99", stored.p99, "ms", peer, verified.p99),
        _row("door.tracked", tracked.rate * BATCH, "events/s", "signed webhooks stored", stored.rate),
    ]


def _row(name: str, value: float, unit: str, peer: str, peer_value: float) -> dict[str, Any]:
    ratio = round(value / peer_value, 3) if peer_value else None
    return {
        "name": name,
        "value": round(value, 1),
        "unit": unit,
        "peer": peer,
        "peer_value": round(peer_value, 1),
        "ratio": ratio,
    }


def _check(admin_url: str, *measured: Measured) -> None:
    """A number for something that did not happen is worse than none."""
    with psycopg.connect(admin_url) as connection:
        row = connection.execute("SELECT count(*), (SELECT sum(received) FROM ledger_entry) FROM inbox").fetchone()
    if row is None or row[0] != row[1] or any(result.refused for result in measured):
        raise RuntimeError(f"the door refused or lost something: {row}, {measured}")


def _connect(admin_url: str) -> tuple[str, str]:
    """A workspace with a Stripe hook and a Segment server key: (path of the hook, key)."""
    from gdp_core import vault

    workspace, stripe, segment, secret = (uuid.uuid4() for _ in range(4))
    hook, key = secrets.token_urlsafe(18), secrets.token_urlsafe(24)
    sealed = vault.seal(SECRET, workspace_id=workspace, table="source_secret", row_id=secret, column="ciphertext")
    with psycopg.connect(admin_url) as connection:
        connection.execute(
            "INSERT INTO workspace (id, slug, name, kind, plan, timezone, locale, base_currency, trial_days,"
            " dormant_days, inbox_retention_days, created_at)"
            " VALUES (%s, 'bench', 'Bench', 'normal', 'free', 'UTC', 'en_US', 'USD', 14, 60, 90, now())",
            (workspace,),
        )
        for source_id, source, hook_key in ((stripe, "stripe", hook), (segment, "segment", secrets.token_hex())):
            connection.execute(
                "INSERT INTO source_instance (id, workspace_id, source, name, hook_key, config, has_invoices, created_at)"
                " VALUES (%s, %s, %s, %s, %s, '{}', false, now())",
                (source_id, workspace, source, source, hook_key),
            )
        connection.execute(
            "INSERT INTO source_secret (id, workspace_id, source_id, ciphertext, created_at)"
            " VALUES (%s, %s, %s, %s, now())",
            (secret, workspace, stripe, sealed),
        )
        connection.execute(
            "INSERT INTO api_key (id, workspace_id, source_id, name, kind, prefix, key_hash, allowed_origins, created_at)"
            " VALUES (%s, %s, %s, 'bench', 'server', 'sk', %s, '{}', now())",
            (uuid.uuid4(), workspace, segment, hashlib.sha256(key.encode()).digest()),
        )
    return f"/hooks/stripe/{hook}", key


def _webhook(path: str) -> bytes:
    data = {"object": {"id": "sub_1", "object": "subscription", "status": "active", "metadata": {"note": "x" * 1300}}}
    event = {"id": "evt_1", "object": "event", "type": "customer.subscription.updated", "data": data}
    body = json.dumps(event).encode()
    stamp = int(time.time())
    digest = hmac.new(SECRET.encode(), f"{stamp}.".encode() + body, hashlib.sha256).hexdigest()
    return _request(path, body, f"Stripe-Signature: t={stamp},v1={digest}")


def _batch(key: str) -> bytes:
    event = {
        "type": "track",
        "event": "Order Completed",
        "userId": "user_1",
        "anonymousId": None,
        "timestamp": "2026-11-20T08:00:00.000+00:00",
        "properties": {"revenue": 39.95, "currency": "USD", "products": ["sku_1", "sku_2"], "coupon": None},
        "context": {"library": {"name": "analytics-python", "version": "2.4.0"}},
        "integrations": {},
    }
    batch = [event | {"messageId": str(uuid.uuid4())} for _ in range(BATCH)]
    body = json.dumps({"batch": batch, "sentAt": "2026-11-20T08:00:00.500+00:00"}).encode()
    credentials = base64.b64encode(f"{key}:".encode()).decode()
    return _request("/v1/batch", body, f"Authorization: Basic {credentials}")


def _request(path: str, body: bytes, *headers: str) -> bytes:
    lines = [
        f"POST {path} HTTP/1.1",
        "Host: 127.0.0.1",
        "Content-Type: application/json",
        "User-Agent: bench",
        f"Content-Length: {len(body)}",
        *headers,
    ]
    return "\r\n".join((*lines, "", "")).encode() + body


@contextlib.contextmanager
def _door(dsn: str, mode: str) -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    environment = os.environ | {"GDP_BENCH_DSN": dsn}
    door = subprocess.Popen([sys.executable, "-m", "benchmarks.door", mode, str(port)], cwd=ROOT, env=environment)
    try:
        for _ in range(200):
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
                break
            time.sleep(0.05)
        yield port
    finally:
        door.send_signal(signal.SIGTERM)
        try:
            door.wait(15)
        except subprocess.TimeoutExpired:
            door.kill()
            door.wait()


def _serve(mode: str, port: int) -> None:
    """The door under test: as in production, except for the bench's limits and, for the peer, what storing does."""
    from gdp_core.appender import Appender
    from gdp_core.limits import Buckets, Limits
    from gdp_core.sources.facts import Delivery
    from jobs.door.door import Door
    from jobs.door.server import server

    class VerifyOnly(Appender):
        async def append(self, delivery: Delivery) -> None:
            pass

    limits = Limits(*(Buckets(1e9, 1e9) for _ in range(4)))
    appender = Appender if mode == "store" else VerifyOnly

    async def serve() -> None:
        running = server(Door(os.environ["GDP_BENCH_DSN"], limits=limits, appender=appender), port=port)
        await running.serve()

    import uvloop

    uvloop.run(serve())


def _load(port: int, request: bytes, connections: int = CONNECTIONS) -> Measured:
    """Measure with a client process, so that its work is not the door's."""
    command = [sys.executable, "-m", "benchmarks.door", "load", str(port), str(connections)]
    client = subprocess.run(command, cwd=ROOT, input=request, stdout=subprocess.PIPE, check=True, timeout=60)
    return Measured(*json.loads(client.stdout))


class _Client(asyncio.Protocol):
    """One connection that sends the next request when the last one is answered."""

    def __init__(self, request: bytes, latencies: list[float], counts: dict[str, int]) -> None:
        self._request = request
        self._latencies = latencies
        self._counts = counts
        self.measuring = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: Any = transport
        self._send()

    def data_received(self, data: bytes) -> None:
        self._answer += data
        if not self._answer.endswith(b"}"):  # every answer of the door is a JSON object without one inside its headers
            return
        now = time.perf_counter()
        if self.measuring:
            if self._answer.startswith(b"HTTP/1.1 200"):
                self._latencies.append(now - self._sent)
            else:
                self._counts["refused"] += 1
        self._send()

    def _send(self) -> None:
        self._answer = b""
        self._sent = time.perf_counter()
        self._transport.write(self._request)


async def _measure(port: int, connections: int, request: bytes) -> Measured:
    loop = asyncio.get_running_loop()
    latencies: list[float] = []
    counts = {"refused": 0}
    clients = [_Client(request, latencies, counts) for _ in range(connections)]
    for client in clients:
        await loop.create_connection(lambda client=client: client, "127.0.0.1", port)  # type: ignore[misc]
    await asyncio.sleep(WARM_UP)
    began = time.perf_counter()
    for client in clients:
        client.measuring = True
    await asyncio.sleep(SECONDS)
    took = time.perf_counter() - began
    latencies.sort()
    p99 = latencies[int(len(latencies) * 0.99)] if latencies else float("inf")
    return Measured(len(latencies) / took, p99 * 1000, counts["refused"])


def main(arguments: list[str]) -> None:
    """The bench's own child processes; without arguments the bench itself."""
    match arguments:
        case ["load", port, connections]:
            import uvloop

            print(json.dumps(uvloop.run(_measure(int(port), int(connections), sys.stdin.buffer.read()))))
        case ["store" | "verify-only" as mode, port]:
            _serve(mode, int(port))
        case _:
            for row in run():
                print(row)


if __name__ == "__main__":
    main(sys.argv[1:])
