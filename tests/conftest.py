"""One Postgres for the whole run, migrated once; each test gets a database of its own, cloned from that template.

The server is the one at GDP_TEST_SERVER (an administrator's address), else an embedded one in a temporary folder.
"""

import os
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest

from gdp_core.db import Database, run
from gdp_core.schema import prepare

ROOT = Path(__file__).parent.parent
BROWSER = "tests/browser/"
NOW = datetime(2026, 11, 18, 12, 0, tzinfo=UTC)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """A file belongs to one worker, and so do all browser tests together: they share one started product."""
    from xdist.scheduler import LoadFileScheduling

    class ByFile(LoadFileScheduling):  # type: ignore[misc]
        def _split_scope(self, nodeid: str) -> str:
            return BROWSER if nodeid.startswith(BROWSER) else str(super()._split_scope(nodeid))

    return ByFile(config, log) if config.getvalue("dist") == "loadfile" else None


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """An administrator's address of a Postgres server."""
    given = os.environ.get("GDP_TEST_SERVER")
    if given:
        yield given
        return
    from jobs.postgres import running

    with running(tmp_path_factory.mktemp("postgres")) as urls:
        yield urls.admin_url


def _admin(server: str, statement: str) -> None:
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(statement)


def _database(server: str, name: str) -> str:
    base, _, query = server.partition("?")
    return f"{base.rsplit('/', 1)[0]}/{name}{'?' + query if query else ''}"


@pytest.fixture(scope="session")
def template(server: str) -> Iterator[str]:
    """The name of a migrated, empty database."""
    name = f"gdp_template_{uuid.uuid4().hex[:8]}"
    _admin(server, f"CREATE DATABASE {name}")
    prepare(_database(server, name), login=(f"{name}_login", "test"))
    yield name
    _admin(server, f"DROP DATABASE {name} WITH (FORCE)")
    _admin(server, f"DROP ROLE {name}_login")


@dataclass
class TestDatabase:
    """A database of one test and the pools of its roles."""

    __test__ = False
    admin: str  # administrator's address
    dsn: str  # runtime address
    worker: Database
    web: Database
    ingest: Database
    gate: Database

    def workspace(self, slug: str = "acme", **columns: object) -> uuid.UUID:
        """Make a workspace and return its id."""
        workspace_id = uuid.uuid5(uuid.NAMESPACE_DNS, slug)
        values = {"slug": slug, "name": slug.title(), "kind": "normal", "plan": "free", "timezone": "UTC"}
        values |= {"locale": "en_US", "base_currency": "USD", "trial_days": 14, "dormant_days": 60}
        values |= {"inbox_retention_days": 90, "created_at": NOW, **columns}
        names = ", ".join(values)
        with self.gate.transaction(workspace_id) as session:
            run(
                session,
                f"INSERT INTO workspace (id, {names}) VALUES (:id, {', '.join(':' + name for name in values)})",
                id=workspace_id,
                **values,
            )
        return workspace_id

    def source(self, workspace_id: uuid.UUID, source: str, *, name: str | None = None) -> uuid.UUID:
        """Connect a source and return its id."""
        source_id = uuid.uuid5(workspace_id, f"{source}:{name}")
        with self.web.transaction(workspace_id) as session:
            run(
                session,
                "INSERT INTO source_instance (id, workspace_id, source, name, hook_key, config, has_invoices, created_at)"
                " VALUES (:id, :ws, :source, :name, :hook, '{}', :invoices, :now)",
                id=source_id,
                ws=workspace_id,
                source=source,
                name=name or source,
                hook=uuid.uuid4().hex,
                invoices=source == "stripe",
                now=NOW,
            )
        return source_id


@pytest.fixture
def database(server: str, template: str) -> Iterator[TestDatabase]:
    """A fresh migrated database."""
    name = f"gdp_test_{uuid.uuid4().hex[:12]}"
    _admin(server, f"CREATE DATABASE {name} TEMPLATE {template}")
    admin = _database(server, name)
    host = admin.split("@", 1)[1]
    dsn = f"postgresql://{template}_login:test@{host}"
    pools = {role: Database(dsn, f"gdp_{role}") for role in ("worker", "web", "ingest", "gate")}
    yield TestDatabase(admin=admin, dsn=dsn, **pools)
    for pool in pools.values():
        pool.close()
    _admin(server, f"DROP DATABASE {name} WITH (FORCE)")
