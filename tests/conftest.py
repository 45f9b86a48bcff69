"""One Postgres for the whole run, migrated once; each test has a database to itself, cloned from that template.

A test that leaves the tables as they were made hands its database, emptied, to the next test: to empty one takes a
tenth of the time of cloning one. Any other is dropped.

The server is the one at GDP_TEST_SERVER (an administrator's address), else an embedded one in a temporary folder.
"""

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from hypothesis import HealthCheck, settings

from gdp_core.db import Database, run
from gdp_core.schema import prepare

if TYPE_CHECKING:
    from .browsing import Browser

ROOT = Path(__file__).parent.parent
NOW = datetime(2026, 11, 18, 12, 0, tzinfo=UTC)

# The same examples at every run, however slow the machine is: `--hypothesis-profile default` draws others.
settings.register_profile("same", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("same")


def pytest_make_parametrize_id(config: pytest.Config, val: object, argname: str) -> str | None:
    """Bytes are named by their argument: a gzip knows its hour, and both workers must collect the same names."""
    return argname if isinstance(val, bytes) else None


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """An administrator's address of a Postgres server."""
    given = os.environ.get("GDP_TEST_SERVER")
    if given:
        yield given
        return
    from jobs.postgres import running

    with running(tmp_path_factory.mktemp("postgres")) as urls:
        # Its transactions would hold the lake back, and what was just deleted in its pages, for a moment now and then.
        _admin(urls.admin_url, "ALTER SYSTEM SET autovacuum = off")
        _admin(urls.admin_url, "SELECT pg_reload_conf()")
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
    for parent in ("event", "inbox"):  # migrations make room around the day they run on, tests live around NOW
        _admin(
            _database(server, name),
            f"SELECT partition_ensure('{parent}', timestamptz '{NOW}' + make_interval(months => n))"
            " FROM generate_series(-1, 3) n",
        )
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


# What a test may not leave changed: relations, columns, policies, functions, settings, and the rows the template has.
_SHAPE = """
SELECT md5(string_agg(part, '|' ORDER BY part)) FROM (
    SELECT concat_ws(' ', c.oid, relname, relkind, relacl, relowner, relrowsecurity, relforcerowsecurity, reloptions,
        relpartbound, (SELECT string_agg(concat(attname, atttypid, attnotnull, attacl), ',') FROM pg_attribute
            WHERE attrelid = c.oid)) FROM pg_class c WHERE relnamespace = ANY(:spaces) AND relkind <> 't'
        AND NOT relispartition
    UNION ALL SELECT concat_ws(' ', polrelid, polname, polqual, polwithcheck) FROM pg_policy
    UNION ALL SELECT concat_ws(' ', oid, md5(prosrc), proacl, proconfig) FROM pg_proc WHERE pronamespace = ANY(:spaces)
    UNION ALL SELECT concat_ws(' ', tgrelid, tgname, tgenabled) FROM pg_trigger t JOIN pg_class c ON c.oid = tgrelid
        WHERE NOT relispartition AND tgparentid = 0 AND NOT tgisinternal
    UNION ALL SELECT concat_ws(' ', conrelid, conname, convalidated) FROM pg_constraint k
        JOIN pg_class c ON c.oid = conrelid WHERE NOT relispartition AND conparentid = 0
    UNION ALL SELECT concat_ws(' ', setdatabase, setrole, setconfig) FROM pg_db_role_setting
        WHERE setdatabase IN (0, (SELECT oid FROM pg_database WHERE datname = current_database()))
) AS parts(part)
""".replace(":spaces", "ARRAY(SELECT oid FROM pg_namespace WHERE nspname !~ '^(pg_|information_schema)')")
_TABLES = (
    "SELECT c.oid::regclass::text FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace"
    " WHERE relkind IN ('r', 'p') AND NOT relispartition AND nspname !~ '^(pg_|information_schema)' ORDER BY 1"
)
_LAKE = "SELECT c.oid::regclass::text FROM pg_class c WHERE relnamespace = 'lake'::regnamespace AND relkind = 'r'"
_PARTITIONS = "SELECT oid::regclass::text FROM pg_class WHERE relispartition AND relkind = 'r'"
_SEQUENCES = (
    "SELECT setval(c.oid, seqstart, false) FROM pg_class c JOIN pg_sequence ON seqrelid = c.oid"
    " JOIN pg_namespace n ON n.oid = relnamespace WHERE nspname !~ '^(pg_|information_schema)'"
)


class Databases:
    """Clones of the template: those that are empty again, and new ones when there are none."""

    def __init__(self, server: str, template: str) -> None:
        self._server = server
        self._template = template
        self._free: list[str] = []
        with psycopg.connect(_database(server, template), autocommit=True) as admin:
            tables = [row[0] for row in admin.execute(_TABLES)]
            rowless = {name: not admin.execute(f"SELECT 1 FROM {name} LIMIT 1").fetchone() for name in tables}
            self._empty = "; ".join(f"DELETE FROM {name}" for name, is_rowless in rowless.items() if is_rowless)
            self._seeded = [name for name, is_rowless in rowless.items() if not is_rowless]
            self._partitions = {row[0] for row in admin.execute(_PARTITIONS)}
            self._shape = self._shape_of(admin)

    def take(self) -> str:
        """The name of a migrated, empty database."""
        if self._free:
            return self._free.pop()
        name = f"gdp_test_{uuid.uuid4().hex[:12]}"
        _admin(self._server, f"CREATE DATABASE {name} TEMPLATE {self._template}")
        return name

    def give_back(self, name: str) -> None:
        """Empty the database for the next test, or drop it where that cannot be."""
        if self._is_emptied(name):
            self._free.append(name)
        else:
            self._drop(name)

    def close(self) -> None:
        """Drop what is left."""
        for name in self._free:
            self._drop(name)

    def _is_emptied(self, name: str) -> bool:
        try:
            with psycopg.connect(_database(self._server, name), autocommit=True) as admin:
                admin.execute("SET session_replication_role = replica; SET lock_timeout = '1s'")
                admin.execute(
                    "SELECT pg_terminate_backend(pid, 2000) FROM pg_stat_activity"
                    " WHERE datname = current_database() AND pid <> pg_backend_pid()"
                )
                if lake := [row[0] for row in admin.execute(_LAKE)]:
                    admin.execute(f"DROP TABLE {', '.join(lake)}")
                partitions = {row[0] for row in admin.execute(_PARTITIONS)}
                if self._shape_of(admin) != self._shape or not partitions >= self._partitions:
                    return False
                if made := partitions - self._partitions:
                    admin.execute(f"DROP TABLE {', '.join(made)}")
                admin.execute(f"BEGIN; {self._empty}; COMMIT")
                admin.execute(_SEQUENCES)
        except psycopg.Error:
            return False
        return True

    def _shape_of(self, admin: psycopg.Connection[Any]) -> list[Any]:
        seeds = [f"SELECT md5(string_agg(t::text, '|' ORDER BY t::text)) FROM {name} t" for name in self._seeded]
        return [admin.execute(statement).fetchone() for statement in (_SHAPE, *seeds)]

    def _drop(self, name: str) -> None:
        _admin(self._server, f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


@pytest.fixture(scope="session")
def databases(server: str, template: str) -> Iterator[Databases]:
    """The databases of this run's tests."""
    found = Databases(server, template)
    yield found
    found.close()


@pytest.fixture
def database(server: str, template: str, databases: Databases) -> Iterator[TestDatabase]:
    """A migrated, empty database."""
    with taken(server, template, databases) as found:
        yield found


@contextmanager
def taken(server: str, template: str, databases: Databases) -> Iterator[TestDatabase]:
    """A migrated, empty database for as long as its tests need it."""
    name = databases.take()
    admin = _database(server, name)
    host = admin.split("@", 1)[1]
    dsn = f"postgresql://{template}_login:test@{host}"
    pools = {role: Database(dsn, f"gdp_{role}") for role in ("worker", "web", "ingest", "gate")}
    yield TestDatabase(admin=admin, dsn=dsn, **pools)
    for pool in pools.values():
        pool.close()
    databases.give_back(name)


@pytest.fixture
def ws(database: TestDatabase) -> uuid.UUID:
    """A workspace of the test's database."""
    return database.workspace()


@pytest.fixture
def browser(database: TestDatabase, monkeypatch: pytest.MonkeyPatch) -> "Iterator[Browser]":
    """Somebody at the dashboard of the test's database."""
    from .browsing import browsing  # Streamlit takes a second to import, and most tests need none

    with browsing(database, monkeypatch) as made:
        yield made
