"""What the door's tests share: connected sources with real keys and secrets, a live door in a thread, the inbox."""

import base64
import contextlib
import hashlib
import hmac
import secrets
import threading
import time
import uuid
from collections.abc import Iterator
from functools import partial
from typing import Any, NamedTuple

import httpx
import psycopg
import pytest
from psycopg.rows import dict_row

from gdp_core import vault
from gdp_core.appender import Appender
from gdp_core.db import run
from gdp_core.limits import Buckets, Limits
from gdp_core.settings import settings
from jobs.door.door import Door
from jobs.door.server import server
from tests.conftest import NOW, TestDatabase

ENCRYPTION_KEYS = "k1:" + base64.b64encode(bytes(range(32))).decode()


@pytest.fixture(autouse=True)
def encryption_keys(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Imported where secrets are sealed: keys of the test's own."""
    monkeypatch.setenv("GDP_ENCRYPTION_KEYS", ENCRYPTION_KEYS)
    settings.cache_clear()
    vault._keyring.cache_clear()
    yield
    settings.cache_clear()
    vault._keyring.cache_clear()


def generous() -> Limits:
    """Limits no test runs into by accident."""
    return Limits(*(Buckets(1e6, 1e6) for _ in range(4)))


class Connected(NamedTuple):
    """A source whose address is known and, where it signs, its secret."""

    workspace_id: uuid.UUID
    source_id: uuid.UUID
    path: str
    secret: str


def connect(database: TestDatabase, source: str, *, secret: str | None = None, workspace: str = "acme") -> Connected:
    """A webhook source of a workspace; without a secret it has none."""
    workspace_id = database.workspace(workspace) if not _exists(database, workspace) else _id(workspace)
    source_id = database.source(workspace_id, source, name=secrets.token_hex(4))
    hook_key = secrets.token_urlsafe(18)
    with database.web.transaction(workspace_id) as session:
        run(session, "UPDATE source_instance SET hook_key = :key WHERE id = :id", key=hook_key, id=source_id)
    connected = Connected(workspace_id, source_id, f"/hooks/{source}/{hook_key}", secret or "")
    if secret:
        add_secret(database, connected, secret)
    return connected


def add_secret(database: TestDatabase, connected: Connected, secret: str, *, expires: str | None = None) -> None:
    """One more active secret, as during a rotation."""
    row_id = uuid.uuid4()
    sealed = vault.seal(
        secret, workspace_id=connected.workspace_id, table="source_secret", row_id=row_id, column="ciphertext"
    )
    with database.web.transaction(connected.workspace_id) as session:
        run(
            session,
            "INSERT INTO source_secret (id, workspace_id, source_id, ciphertext, created_at, expires_at)"
            " VALUES (:id, :ws, :source, :sealed, :now, CAST(:expires AS timestamptz))",
            id=row_id,
            ws=connected.workspace_id,
            source=connected.source_id,
            sealed=sealed,
            now=NOW,
            expires=expires,
        )


def issue_key(
    database: TestDatabase,
    source: str,
    kind: str = "server",
    *,
    origins: tuple[str, ...] = (),
    workspace: str = "acme",
    **columns: Any,
) -> str:
    """A tracking key of a new source."""
    workspace_id = database.workspace(workspace) if not _exists(database, workspace) else _id(workspace)
    source_id = database.source(workspace_id, source, name=secrets.token_hex(4))
    key = f"{'pk' if kind == 'browser' else 'sk'}_{secrets.token_urlsafe(24)}"
    values = {"revoked_at": None, "expires_at": None, **columns}
    with database.web.transaction(workspace_id) as session:
        run(
            session,
            "INSERT INTO api_key (id, workspace_id, source_id, name, kind, prefix, key_hash, allowed_origins,"
            " created_at, expires_at, revoked_at) VALUES (:id, :ws, :source, 'test', :kind, :prefix, :hash, :origins,"
            " :now, CAST(:expires_at AS timestamptz), CAST(:revoked_at AS timestamptz))",
            id=uuid.uuid4(),
            ws=workspace_id,
            source=source_id,
            kind=kind,
            prefix=key[:6],
            hash=hashlib.sha256(key.encode()).digest(),
            origins=list(origins),
            now=NOW,
            **values,
        )
    return key


def _id(workspace: str) -> uuid.UUID:
    return uuid.uuid5(uuid.NAMESPACE_DNS, workspace)


def _exists(database: TestDatabase, workspace: str) -> bool:
    return bool(query(database, "SELECT 1 FROM workspace WHERE id = %s", _id(workspace)))


def query(database: TestDatabase, sql: str, *parameters: Any) -> list[dict[str, Any]]:
    """Rows as the administrator sees them; none for a statement without any."""
    with psycopg.connect(database.admin, row_factory=dict_row) as connection:
        cursor = connection.execute(sql, parameters)
        return cursor.fetchall() if cursor.description else []


def inbox(database: TestDatabase) -> list[dict[str, Any]]:
    """Every delivery, in order of arrival."""
    return query(database, "SELECT * FROM inbox ORDER BY received_at, id")


def received(database: TestDatabase) -> int:
    """What the ledger of deliveries says."""
    return int(
        query(database, "SELECT coalesce(sum(received), 0) AS n FROM ledger_entry WHERE ledger = 'delivery'")[0]["n"]
    )


class Live(NamedTuple):
    """A door that listens."""

    door: Door
    url: str
    client: httpx.Client


@contextlib.contextmanager
def serving(dsn: str, *, patience: float = 15.0, **options: Any) -> Iterator[Live]:
    """A door on a free port, in a thread with a loop of its own. `options` are Door's; `patience` is its appender's, more
    than it has by itself: a disk that is busy for two seconds would be a 503 where none is meant.
    """
    ready = threading.Event()
    state: dict[str, Any] = {}

    async def serve() -> None:
        door = Door(dsn, **{"limits": generous(), "appender": partial(Appender, patience=patience), **options})
        running = server(door, port=0)
        state.update(door=door, server=running)
        await running.serve()

    def run_loop() -> None:
        import uvloop

        try:
            uvloop.run(serve())
        finally:
            ready.set()

    thread = threading.Thread(target=run_loop, daemon=True)
    thread.start()
    deadline = time.monotonic() + 60
    while not (state.get("server") and state["server"].started):
        if ready.is_set() or time.monotonic() > deadline:
            raise RuntimeError("the door did not start")
        time.sleep(0.01)
    port = state["server"].servers[0].sockets[0].getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    try:
        with httpx.Client(base_url=url, timeout=30, trust_env=False) as client:
            yield Live(state["door"], url, client)
    finally:
        state["server"].should_exit = True
        thread.join(60)


def until_ready(client: httpx.Client) -> httpx.Response:
    """The door's answer once it is ready, or its last: a disk that is busy for two seconds makes it not ready."""
    deadline = time.monotonic() + 60
    while (answer := client.get("/readyz")).status_code != 200 and time.monotonic() < deadline:
        time.sleep(0.05)
    return answer


def sign_stripe(body: bytes, secret: str, at: float | None = None) -> dict[str, str]:
    """The header Stripe would send."""
    stamp = int(time.time() if at is None else at)
    digest = hmac.new(secret.encode(), f"{stamp}.".encode() + body, hashlib.sha256).hexdigest()
    return {"stripe-signature": f"t={stamp},v1={digest}"}


def sign_standard(
    body: bytes, secret: str, at: float | None = None, *, family: str = "svix", message_id: str = "msg_1"
) -> dict[str, str]:
    """The headers of Svix (Resend) or, with family `webhook`, of Standard Webhooks."""
    stamp = int(time.time() if at is None else at)
    key = base64.b64decode(secret.removeprefix("whsec_"))
    digest = hmac.new(key, f"{message_id}.{stamp}.".encode() + body, hashlib.sha256).digest()
    signature = "v1," + base64.b64encode(digest).decode()
    return {f"{family}-id": message_id, f"{family}-timestamp": str(stamp), f"{family}-signature": signature}
