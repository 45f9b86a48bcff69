"""A Postgres we do not administer: its owner with CREATEROLE is enough, and the runtime roles are the same."""

import uuid

import psycopg
import pytest

from gdp_core.db import Database, check_server, one, rows
from gdp_core.errors import BadSetting, Unavailable
from gdp_core.schema import prepare, version
from jobs.postgres import running


@pytest.fixture(scope="module")
def owned(tmp_path_factory):
    """The address of a database whose owner is no superuser."""
    with running(tmp_path_factory.mktemp("managed")) as urls:
        with psycopg.connect(urls.admin_url, autocommit=True) as admin:
            admin.execute("CREATE ROLE manager LOGIN PASSWORD 'x' CREATEROLE NOSUPERUSER")
            admin.execute("CREATE ROLE stranger LOGIN PASSWORD 'x' NOSUPERUSER")
            admin.execute("CREATE DATABASE managed OWNER manager")
            admin.execute("CREATE DATABASE unsafe")
            admin.execute("ALTER DATABASE unsafe SET synchronous_commit = off")
        yield urls


def test_an_owner_without_superuser_is_enough(owned):
    dsn = f"postgresql://manager:x@{owned.host}:{owned.port}/managed"
    prepare(dsn)
    prepare(dsn)
    assert version(dsn)[0] == version(dsn)[1]
    workspace_id = uuid.uuid4()
    for role in ("gdp_web", "gdp_worker", "gdp_ingest", "gdp_gate"):
        pool = Database(dsn, role)
        with pool.transaction(workspace_id) as session:
            assert one(session, "SELECT current_user AS me").me == role
        pool.close()
    pool = Database(dsn, "gdp_worker")
    with pool.transaction(None) as session:
        assert rows(session, "SELECT partition_ensure('event', '2010-01-05')")
    pool.close()


def test_who_may_only_become_the_runtime_roles_can_start_what_is_prepared(owned):
    owner = f"postgresql://manager:x@{owned.host}:{owned.port}/managed"
    prepare(owner)
    with psycopg.connect(owner, autocommit=True) as connection:
        connection.execute("CREATE ROLE runner LOGIN PASSWORD 'x' NOINHERIT")
        connection.execute("GRANT gdp_web, gdp_worker, gdp_ingest, gdp_gate, gdp_lake TO runner")
    prepare(f"postgresql://runner:x@{owned.host}:{owned.port}/managed")


def test_a_database_of_a_later_release_is_left_alone(owned):
    owner = f"postgresql://manager:x@{owned.host}:{owned.port}/managed"
    prepare(owner)
    newest = version(owner)[1]
    with psycopg.connect(owned.admin_url.rsplit("/", 1)[0] + "/managed", autocommit=True) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
        with pytest.raises(BadSetting, match="9999, of a later release"):
            prepare(owner)
        connection.execute("UPDATE alembic_version SET version_num = %s", (newest,))
    prepare(owner)


def test_a_user_who_may_not_is_told_what_to_do(owned):
    dsn = f"postgresql://stranger:x@{owned.host}:{owned.port}/managed"
    with pytest.raises(BadSetting, match="CREATEROLE"):
        prepare(dsn)


def test_a_wrong_password_and_database_are_told(owned):
    with pytest.raises((BadSetting, Unavailable), match="DATABASE_URL"):
        check_server(f"postgresql://manager:wrong@{owned.host}:{owned.port}/managed")
    with pytest.raises(BadSetting, match="does not exist"):
        check_server(f"postgresql://manager:x@{owned.host}:{owned.port}/nowhere")


def test_a_server_that_may_lose_acknowledged_data_is_refused(owned):
    with pytest.raises(BadSetting, match="synchronous_commit=off"):
        check_server(owned.admin_url.rsplit("/", 1)[0] + "/unsafe")
