"""Brings a database to the state this version needs: roles, schemas, migrations. Safe to run at every start, by many.

It is the only code that connects as an administrator. Runtime processes get an address whose user can do nothing but
SET ROLE to one of the runtime roles.
"""

import contextlib
import secrets
import time
from collections.abc import Iterator
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, create_engine, exc, text

from gdp_core.db import check_server, sqlalchemy_url, unreachable
from gdp_core.errors import BadSetting, Unavailable

RUNTIME_ROLES = ("gdp_web", "gdp_worker", "gdp_ingest", "gdp_gate", "gdp_lake")
_MIGRATIONS = Path(__file__).parent.parent / "migrations"
_TRIES = 20
_IN_THE_WAY = frozenset({"55P03", "40P01"})  # no lock in time, a deadlock: somebody is at work, try again
_MIGRATOR_LOCK = 0x6764705F6D6967  # "gdp_mig": one migrator at a time


def prepare(admin_dsn: str, *, login: tuple[str, str] | None = None) -> None:
    """Create what is missing and migrate to the newest version.

    `login` = (name, password) of a role to create for the runtime processes (embedded server); None: they use
    `admin_dsn` itself and SET ROLE. Raises BadSetting or Unavailable.
    """
    check_server(admin_dsn)
    with _connection(admin_dsn) as connection:
        if login is None and _is_ready(connection):
            return  # a user who may only SET ROLE can start what an administrator prepared
        connection.execute(text("SELECT pg_advisory_lock(:key)"), {"key": _MIGRATOR_LOCK})
        try:
            _create_roles(connection, login)
            _migrate(connection)
        finally:
            connection.rollback()
            connection.execute(text("RESET ROLE"))
            connection.execute(text("SELECT pg_advisory_unlock(:key)"), {"key": _MIGRATOR_LOCK})


def version(admin_dsn: str) -> tuple[str | None, str | None]:
    """(revision of the database, newest revision)."""
    with _connection(admin_dsn) as connection:
        current = MigrationContext.configure(connection).get_current_revision()
    return current, ScriptDirectory.from_config(_alembic()).get_current_head()


@contextlib.contextmanager
def _connection(admin_dsn: str) -> Iterator[Connection]:
    engine = create_engine(
        sqlalchemy_url(admin_dsn),
        connect_args={"connect_timeout": 5, "options": "-c timezone=UTC -c client_min_messages=warning"},
    )
    try:
        with engine.connect() as connection:
            yield connection
    except exc.OperationalError as error:
        raise unreachable(error) from error
    finally:
        engine.dispose()


def _is_ready(connection: Connection) -> bool:
    known = connection.execute(
        text("SELECT count(*) FROM pg_roles WHERE rolname = ANY(:roles)"), {"roles": list(RUNTIME_ROLES)}
    )
    if known.scalar_one() < len(RUNTIME_ROLES) or not all(_member(connection, role) for role in RUNTIME_ROLES):
        return False
    connection.execute(text("SET ROLE gdp_web"))
    exists = connection.execute(text("SELECT to_regclass('public.alembic_version') IS NOT NULL")).scalar()
    current = connection.execute(text("SELECT version_num FROM alembic_version")).scalar() if exists else None
    connection.rollback()
    connection.execute(text("RESET ROLE"))
    return current is not None and current == ScriptDirectory.from_config(_alembic()).get_current_head()


def _create_roles(connection: Connection, login: tuple[str, str] | None) -> None:
    try:
        for role in ("gdp_owner", *RUNTIME_ROLES):
            if not connection.execute(text("SELECT 1 FROM pg_roles WHERE rolname = :role"), {"role": role}).first():
                connection.execute(text(f"CREATE ROLE {role} NOLOGIN NOINHERIT"))
        if login:
            _create_login(connection, *login)
        else:
            _grant(connection, "CURRENT_USER")
        if not _member(connection, "gdp_owner"):
            connection.execute(text("GRANT gdp_owner TO CURRENT_USER"))
        database = connection.execute(text("SELECT quote_ident(current_database())")).scalar_one()
        connection.execute(text(f"GRANT CREATE ON DATABASE {database} TO gdp_owner"))
        connection.execute(text("GRANT USAGE, CREATE ON SCHEMA public TO gdp_owner"))
        connection.commit()
    except exc.ProgrammingError as error:
        raise BadSetting(
            "DATABASE_URL's user may not create or use the roles this product runs as: give it CREATEROLE and ownership"
            f" of the database, or, where the roles exist, have their owner run GRANT gdp_owner, {', '.join(RUNTIME_ROLES)}"
            f" TO it ({str(error.orig).splitlines()[0]})."
        ) from error


def _create_login(connection: Connection, name: str, password: str) -> None:
    # The name is ours; the password is generated, and quoted by the server.
    quoted = connection.execute(text("SELECT quote_literal(:password)"), {"password": password}).scalar_one()
    exists = connection.execute(text("SELECT 1 FROM pg_roles WHERE rolname = :name"), {"name": name}).first()
    verb = "ALTER" if exists else "CREATE"
    connection.exec_driver_sql(f"{verb} ROLE {name} LOGIN NOINHERIT NOSUPERUSER NOBYPASSRLS PASSWORD {quoted}")
    _grant(connection, name)


def _grant(connection: Connection, member: str) -> None:
    for role in RUNTIME_ROLES:
        if member != "CURRENT_USER" or not _member(connection, role):
            connection.execute(text(f"GRANT {role} TO {member}"))


def _member(connection: Connection, role: str) -> bool:
    """Whether we may SET ROLE to it. From 16 on, whoever makes a role may administer it but not become it."""
    newer = (connection.dialect.server_version_info or (0,)) >= (16,)
    query = text("SELECT pg_has_role(current_user, :role, :privilege)")
    return bool(connection.execute(query, {"role": role, "privilege": "SET" if newer else "MEMBER"}).scalar())


def _migrate(connection: Connection) -> None:
    for attempt in range(_TRIES):
        try:
            connection.execute(text("SET ROLE gdp_owner"))
            connection.execute(text("SET lock_timeout = '1s'"))
            connection.commit()
            _refuse_a_later_release(connection)
            config = _alembic()
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
            connection.commit()
            return
        except exc.OperationalError as error:
            connection.rollback()
            if getattr(error.orig, "sqlstate", "") not in _IN_THE_WAY:
                raise
            time.sleep(min(2.0, 0.2 * (attempt + 1)) * (0.5 + secrets.randbelow(100) / 100))
    raise Unavailable(
        f"A migration could not get its lock in {_TRIES} tries: end the long-running queries and start again."
    )


def _refuse_a_later_release(connection: Connection) -> None:
    current = MigrationContext.configure(connection).get_current_revision()
    known = {revision.revision for revision in ScriptDirectory.from_config(_alembic()).walk_revisions()}
    if current is not None and current not in known:
        raise BadSetting(
            f"The database is at revision {current}, of a later release than this one: run that release, or restore the"
            " backup made before the upgrade."
        )


def _alembic() -> Config:
    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS))
    config.set_main_option("path_separator", "os")
    return config
