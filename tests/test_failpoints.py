"""kill -9 at every named step: after a restart everything is as if nothing had happened.

A step without a scenario here fails, and so does a name that no code passes.
"""

import ast
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import httpx
import orjson
import psycopg
import pytest

from gdp_core.db import one, rows, run
from gdp_core.failpoint import FAILPOINTS
from jobs import ports

from . import history
from .conftest import NOW, ROOT
from .door import ENCRYPTION_KEYS, encryption_keys, issue_key  # noqa: F401
from .doubles.stripe_api import StripeApi, running
from .stripe_story import customer, invoice, subscription

ELSEWHERE = {
    "import.chunk": "tests/test_import_run.py",
    "segments.written": "tests/test_segment_cycle.py",
    **dict.fromkeys(("lake.written", "lake.committed", "lake.packed", "lake.erased"), "tests/test_lake_crash.py"),
}
"""Steps that are killed in another file."""

APPLYING = [name for name in FAILPOINTS if name.startswith(("worker.", "apply.")) or name == "partition.created"]


class Zygote:
    """Runs a task in a process of its own, to its end or to its death."""

    def __init__(self, process: "subprocess.Popen[bytes]") -> None:
        self._process = process

    def start(self, failpoint: str | None, action: str, *arguments: object) -> int:
        """The child's process id."""
        assert self._process.stdin
        given = [str(item) if not isinstance(item, int) else item for item in arguments]
        self._process.stdin.write(orjson.dumps([failpoint or "", action, given]) + b"\n")
        self._process.stdin.flush()
        return self._line()

    def end(self) -> int:
        """How the child ended."""
        return self._line()

    def run(self, failpoint: str | None, action: str, *arguments: object) -> int:
        """Start and wait."""
        self.start(failpoint, action, *arguments)
        return self.end()

    def _line(self) -> int:
        assert self._process.stdout
        return int(self._process.stdout.readline())


@pytest.fixture(scope="module")
def zygote() -> Iterator[Zygote]:
    environment = os.environ | {"GDP_ENCRYPTION_KEYS": ENCRYPTION_KEYS}
    environment.pop("GDP_FAILPOINT", None)
    command = [sys.executable, "-m", "tests.zygote"]
    with subprocess.Popen(command, cwd=ROOT, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        yield Zygote(process)
        assert process.stdin
        process.stdin.close()


KILLED = -signal.SIGKILL


def test_every_step_is_killed_somewhere():
    passed = set()
    for path in (*(ROOT / "gdp_core").rglob("*.py"), *(ROOT / "jobs").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "failpoint":
                passed.add(ast.literal_eval(node.args[0]))
    assert passed == set(FAILPOINTS)
    mine = (ROOT / "tests" / "test_failpoints.py").read_text()
    for name in set(FAILPOINTS) - set(APPLYING):
        text = (ROOT / ELSEWHERE[name]).read_text() if name in ELSEWHERE else mine
        assert f'"{name}"' in text, f"nothing kills {name}"


# ------------------------------------------------------------------------------------------------------ applying


@pytest.fixture(scope="module")
def told():
    """One history, told in every database."""
    made = {}

    def tell(tenant):
        if tenant.id not in made:
            made[tenant.id] = sorted(history.history(tenant, 4, 20, 1), key=lambda item: item.received_at)
        return made[tenant.id]

    return tell


def test_killed_while_applying(database, zygote, told):
    """Every step of applying in turn, in one database that is emptied in between."""
    (tenant,) = history.tenants(database, "acme")
    deliveries = told(tenant)
    history.put(database, deliveries)
    history.drain(database, [tenant.id], limit=lambda: 25)
    expected = history.contents(database, [tenant.id])
    for name in APPLYING:
        history.clear(database)
        if name == "partition.created":
            _drop_partitions(database)
        history.put(database, deliveries)
        assert zygote.run(name, "work", database.dsn, tenant.id) == KILLED, name
        assert zygote.run(None, "work", database.dsn, tenant.id) == 0
        history.books(database, [tenant.id])
        assert history.difference(expected, history.contents(database, [tenant.id])) == "", name


def _drop_partitions(database):
    with psycopg.connect(database.admin) as connection:
        for (name,) in connection.execute("SELECT name FROM partition_list('event')").fetchall():
            connection.execute(f"ALTER TABLE event DETACH PARTITION part.{name}")
            connection.execute(f"DROP TABLE part.{name}")


def test_killed_while_replaying(database, zygote, told):
    (tenant,) = history.tenants(database, "acme")
    history.put(database, told(tenant))
    history.drain(database, [tenant.id])
    expected = history.contents(database, [tenant.id])
    assert zygote.run("replay.reset", "replay", database.dsn, tenant.id) == KILLED
    history.books(database, [tenant.id])
    assert zygote.run(None, "replay", database.dsn, tenant.id) == 0
    assert zygote.run("apply.ledger", "work", database.dsn, tenant.id) == KILLED
    history.drain(database, [tenant.id])
    history.books(database, [tenant.id])
    assert history.difference(expected, history.contents(database, [tenant.id])) == ""


def test_killed_while_dropping_partitions(database, zygote, told):
    (tenant,) = history.tenants(database, "acme")
    history.put(database, told(tenant))
    history.drain(database, [tenant.id])
    for year in (2010, 2011):
        with database.worker.transaction(tenant.id) as session:
            run(session, "SELECT partition_ensure('event', :at)", at=NOW.replace(year=year))
    expected = history.contents(database, [tenant.id])
    assert zygote.run("partition.dropped", "retain", database.dsn) == KILLED
    assert zygote.run(None, "retain", database.dsn) == 0
    with database.worker.transaction(None) as session:
        names = {row.name for row in rows(session, "SELECT name FROM partition_list('event')")}
    assert not {name for name in names if re.search("_201[01]_", name)}
    assert history.difference(expected, history.contents(database, [tenant.id])) == ""


# ----------------------------------------------------------------------------------------------- what brings in


def test_killed_while_reading_a_stripe_account(database, zygote):
    (tenant,) = history.tenants(database, "acme")
    api = StripeApi(
        {
            "/v1/customers": [customer(id=f"cus_{n}", email=f"ada{n}@acme.example") for n in range(150)],
            "/v1/subscriptions": [subscription(sub_id=f"sub_{n}", customer=f"cus_{n}") for n in range(40)],
            "/v1/invoices": [
                invoice(invoice_id=f"in_{n}", customer=f"cus_{n}", customer_email=None) for n in range(40)
            ],
        }
    )
    with running(api):
        given = (database.dsn, tenant.id, tenant.sources["stripe"], api.url)
        for _ in range(3):
            assert zygote.run("backfill.page", "fetch", *given) == KILLED
        assert zygote.run(None, "fetch", *given) == 0
    history.books(database, [tenant.id])
    with database.web.transaction(tenant.id) as session:
        for table, count in (("event_key", 230), ("subscription", 40), ("invoice", 40), ("person", 150)):
            assert one(session, f"SELECT count(*) AS n FROM {table}").n == count, table


@contextmanager
def door(database, zygote, port, failpoint=None) -> Iterator[int]:
    """A door that listens; yields its process id, and ends it if it lives."""
    child = zygote.start(failpoint, "door", database.dsn, port)
    while True:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            break
        time.sleep(0.01)
    yield child
    with suppress(ProcessLookupError):
        os.kill(child, signal.SIGTERM)


@pytest.mark.parametrize("name", ["door.verified", "door.appended", "door.committed"])
def test_killed_before_the_answer(database, zygote, name):
    """The sender hears nothing, sends again, and it counts once."""
    key = issue_key(database, "segment")
    port = ports.choose()
    message = {"userId": "u1", "event": "letter_sent", "messageId": "m1", "timestamp": NOW.isoformat()}

    def send():
        url = f"http://127.0.0.1:{port}/v1/track"
        return httpx.post(url, json=message, auth=(key, ""), timeout=20, trust_env=False).status_code

    with door(database, zygote, port, name):
        with pytest.raises(httpx.TransportError):
            send()
        assert zygote.end() == KILLED
    with door(database, zygote, port):
        assert send() == 200
    assert zygote.end() == 0
    with psycopg.connect(database.admin) as connection:
        ((ws, stored),) = connection.execute("SELECT workspace_id, count(*) FROM inbox GROUP BY 1").fetchall()
    assert stored == (2 if name == "door.committed" else 1)
    history.drain(database, [ws])
    history.books(database, [ws])
    with database.web.transaction(ws) as session:
        assert one(session, "SELECT total_events FROM person").total_events == 1
