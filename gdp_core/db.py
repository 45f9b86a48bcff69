"""Postgres: who connects as what, and the one way to open a transaction.

Every connection takes a role that is neither superuser nor owner, and every transaction names its workspace by a
transaction-local setting that row-level security reads. Nothing else in the project begins, commits or sets either.
"""

import contextlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from datetime import date, datetime
from functools import cache, lru_cache
from typing import Any, Literal
from uuid import UUID

import orjson
from psycopg.abc import Buffer
from psycopg.conninfo import conninfo_to_dict
from psycopg.types.array import ListDumper
from sqlalchemy import URL, Connection, Engine, Table, create_engine, event, exc, make_url, text
from sqlalchemy.dialects import postgresql
from sqlmodel import Session, SQLModel

from gdp_core.errors import BadSetting, NoTenant, Unavailable

Role = Literal["gdp_web", "gdp_worker", "gdp_ingest", "gdp_gate"]
"""web reads and changes settings; worker applies facts; ingest appends to the inbox; gate signs people in."""

MINIMUM_VERSION = 15
STOOD_STILL = frozenset({"25P03", "25P04"})
"""The server ended a transaction whose process did nothing: a laptop that slept, a machine that was paused."""

TOO_LONG = "57014"
"""The state of a statement that was cancelled for its time."""

_BEHIND = "behind"
_CONNECT_SECONDS = 3


def sqlalchemy_url(dsn: str) -> URL:
    """A postgresql:// address for SQLAlchemy with psycopg 3. Raises BadSetting when it cannot be read."""
    try:
        conninfo_to_dict(dsn)
        url = make_url(dsn.replace("postgres://", "postgresql://", 1))
    except Exception as error:  # noqa: BLE001 - libpq and SQLAlchemy raise half a dozen types for a bad address
        raise BadSetting(
            f"DATABASE_URL cannot be read ({type(error).__name__}): write postgresql://user:password@host/database."
        ) from None
    return url.set(drivername="postgresql+psycopg")


class Database:
    """A pool of connections that all run as one role."""

    def __init__(self, dsn: str, role: Role, *, size: int = 4) -> None:
        self.role = role
        self.engine = _engine(dsn, role, size)

    @contextlib.contextmanager
    def transaction(
        self, workspace_id: UUID | None, *, timeout: float = 30.0, read_only: bool = False, still: bool = False
    ) -> Iterator[Session]:
        """One transaction for one workspace; None sees only what has no tenant. Commits on success.

        `timeout` is the longest a statement may take, in seconds. `still`: every statement sees the same state, whatever
        others commit meanwhile. Raises Unavailable when Postgres cannot be reached,
        or when others hold what this needs.
        """
        try:
            with Session(self.engine, expire_on_commit=False) as session, session.begin():
                _checked_out(session, still=still).exec_driver_sql(
                    "SELECT set_config('app.ws', %s, true), set_config('statement_timeout', %s, true)"
                    + (", set_config('transaction_read_only', 'on', true)" if read_only else ""),
                    ("" if workspace_id is None else str(workspace_id), str(int(timeout * 1000))),
                )
                yield session
        except exc.TimeoutError as error:  # every connection of this pool is taken
            raise Unavailable("Too much is asked of the database at once; try again.", retry_after=1.0) from error
        except (exc.OperationalError, exc.InterfaceError, exc.InternalError) as error:
            if _is_outage(error):
                raise Unavailable(
                    "Postgres cannot be reached; it is tried again by itself.", retry_after=1.0
                ) from error
            if _is_contention(error):
                raise Unavailable(
                    "Something else was changing this at the same moment; try again.", retry_after=0.2
                ) from error
            if getattr(error.orig, "sqlstate", None) == TOO_LONG:
                raise Unavailable("Postgres is too busy for this now; try again.", retry_after=2.0) from error
            raise

    def close(self) -> None:
        """Close every idle connection."""
        self.engine.dispose()


def _checked_out(session: Session, *, still: bool) -> Connection:
    """The session's connection. Raises Unavailable when each of two that were opened was dead at once."""
    try:
        return session.connection(execution_options={"isolation_level": "REPEATABLE READ"} if still else None)
    except exc.InvalidRequestError as error:
        raise Unavailable("Postgres cannot be reached; it is tried again by itself.", retry_after=1.0) from error


def rows(session: Session, sql: str, /, **parameters: Any) -> Sequence[Any]:
    """All rows of a statement with bound parameters, as named tuples."""
    return _settled(session).execute(text(sql), parameters).all()


def one(session: Session, sql: str, /, **parameters: Any) -> Any:
    """The first row of a statement, or None."""
    return _settled(session).execute(text(sql), parameters).first()


def run(session: Session, sql: str, /, **parameters: Any) -> int:
    """Run a statement; the number of rows it touched."""
    return _settled(session).execute(text(sql), parameters).rowcount


class _Behind:
    """The thread that writes behind a session, and what it has not finished."""

    def __init__(self, thread: ThreadPoolExecutor) -> None:
        self.thread = thread
        self.pending: list[Future[Any]] = []


@contextlib.contextmanager
def written_behind(session: Session) -> Iterator[None]:
    """Inside, `later` and `insert` return at once: their statements run in order while the caller computes on.

    The next statement that is waited for, and the end of the block, wait for them and raise their first error.
    """
    with ThreadPoolExecutor(1, "behind") as thread:
        session.info[_BEHIND] = behind = _Behind(thread)
        try:
            yield
            _settled(session)
        finally:
            wait(behind.pending)
            del session.info[_BEHIND]


def later(session: Session, sql: str, /, **parameters: Any) -> None:
    """Run a statement of whose outcome nothing is wanted but that it succeeds: behind, where that is allowed."""
    behind = session.info.get(_BEHIND)
    if behind is None:
        run(session, sql, **parameters)
    else:
        behind.pending.append(behind.thread.submit(session.connection().execute, text(sql), parameters))


def _settled(session: Session) -> Connection:
    """The session's connection, once everything written behind is there."""
    behind = session.info.get(_BEHIND)
    while behind and behind.pending:
        behind.pending.pop(0).result()
    return session.connection()


def workspace_of(session: Session) -> UUID:
    """The workspace the open transaction is for. Raises NoTenant."""
    row = one(session, "SELECT app_ws()")
    if row is None or row[0] is None:
        raise NoTenant
    found: UUID = row[0]
    return found


def records(values: Sequence[Any]) -> str:
    """Rows (dicts) as the JSON text that `jsonb_to_recordset` reads; NUL, which Postgres refuses, becomes U+FFFD."""
    return orjson.dumps(values, default=_json_default).decode().replace("\\u0000", "\\ufffd")


def insert(
    session: Session,
    table: type[SQLModel],
    values: Sequence[dict[str, Any]],
    on_conflict: str = "",
    *,
    columns: Iterable[str] = (),
    shared: Mapping[str, Any] | None = None,
) -> None:
    """Insert many rows (column name -> value) in one statement; `on_conflict` is the clause's constant text.

    `columns` names them all where rows leave out those that are NULL; `shared` are columns with the same value in
    every row.
    """
    if not values:
        return
    own, same = list(columns or values[0]), shared or {}
    types = _column_types(table)
    names = ", ".join(f'"{name}"' for name in (*own, *same))
    cells = ", ".join([*(f'"{name}"' for name in own), *(f"CAST(:same_{name} AS {types[name]})" for name in same)])
    sql = f"INSERT INTO {_name(table)} ({names}) SELECT {cells} FROM {recordset(table, own)} {on_conflict}"
    later(session, sql, rows=records(values), **{f"same_{name}": value for name, value in same.items()})


def recordset(table: type[SQLModel], columns: Iterable[str]) -> str:
    """`jsonb_to_recordset(:rows) AS incoming(...)` typed as the table's columns are."""
    types = _column_types(table)
    typed = ", ".join(f'"{name}" {types[name]}' for name in columns)
    return f"jsonb_to_recordset(CAST(:rows AS jsonb)) AS incoming({typed})"


@cache
def _column_types(table: type[SQLModel]) -> dict[str, str]:
    dialect = postgresql.dialect()  # type: ignore[no-untyped-call]
    return {column.name: column.type.compile(dialect) for column in _table(table).columns}


def _table(table: type[SQLModel]) -> Table:
    return table.__table__  # type: ignore[attr-defined,no-any-return]


def _name(table: type[SQLModel]) -> str:
    return str(_table(table).fullname)


def _json_default(value: Any) -> Any:
    if isinstance(value, frozenset | set):
        return list(value)
    raise TypeError(f"{type(value).__name__} cannot be stored")


@lru_cache(maxsize=1024)
def lock_key(workspace_id: UUID) -> int:
    """The advisory lock under which a workspace's identities change: one writer at a time, no deadlocks."""
    return int.from_bytes(workspace_id.bytes[:8], "big", signed=True)


def check_server(dsn: str) -> None:
    """Refuse a server that is too old or that acknowledges what it has not written. Raises BadSetting, Unavailable."""
    engine = create_engine(sqlalchemy_url(dsn), connect_args={"connect_timeout": _CONNECT_SECONDS})
    try:
        with engine.connect() as connection:
            version = int(connection.exec_driver_sql("SHOW server_version_num").scalar_one()) // 10_000
            if version < MINIMUM_VERSION:
                raise BadSetting(f"DATABASE_URL leads to Postgres {version}; use {MINIMUM_VERSION} or later.")
            for name in ("fsync", "synchronous_commit", "full_page_writes"):
                value = connection.exec_driver_sql(f"SHOW {name}").scalar_one()
                if value == "off":
                    raise BadSetting(
                        f"Postgres runs with {name}=off and could lose what was acknowledged: set it to on."
                    )
    except exc.OperationalError as error:
        raise unreachable(error) from error
    finally:
        engine.dispose()


def unreachable(error: Exception) -> Unavailable | BadSetting:
    """The sentence for a server that cannot be used, without the address's password."""
    message = str(getattr(error, "orig", error)).strip().splitlines()
    reason = message[0].removeprefix("connection failed: ").strip() if message else type(error).__name__
    if "password authentication failed" in reason or "does not exist" in reason:
        return BadSetting(f"DATABASE_URL is refused by the server ({reason}); correct it, or create what is missing.")
    return Unavailable(
        f"Postgres cannot be reached ({reason}); start it, or correct DATABASE_URL if that leads elsewhere."
    )


class _Lists(ListDumper):
    """Arrays of ids, instants, days and whole numbers in one go: psycopg calls Python once for every element."""

    def dump(self, obj: list[Any]) -> Buffer | None:
        if obj and obj[0].__class__ in (UUID, datetime, date, int):
            return b"{" + orjson.dumps(obj)[1:-1] + b"}"
        return super().dump(obj)


def _engine(dsn: str, role: Role, size: int) -> Engine:
    engine = create_engine(
        sqlalchemy_url(dsn),
        pool_size=size,
        max_overflow=size,
        pool_timeout=5,
        pool_recycle=1800,
        hide_parameters=True,  # an error's text goes to logs; what people sent does not
        json_serializer=lambda value: orjson.dumps(value).decode(),
        json_deserializer=orjson.loads,
        connect_args={
            "connect_timeout": _CONNECT_SECONDS,
            "options": "-c timezone=UTC -c idle_in_transaction_session_timeout=60000 -c lock_timeout=20000",
            "prepare_threshold": 3,
        },
    )

    @event.listens_for(engine, "connect")
    def _become(connection: Any, _record: Any) -> None:
        connection.adapters.register_dumper(list, _Lists)
        connection.autocommit = True
        try:
            with connection.cursor() as cursor:
                cursor.execute(f"SET ROLE {role}")  # role is one of four constants
                cursor.execute(
                    "SELECT rolname = %s AND NOT rolsuper AND NOT rolbypassrls"
                    " FROM pg_roles WHERE rolname = current_user",
                    (role,),
                )
                if cursor.fetchone() != (True,):
                    raise BadSetting(f"The role {role} must be neither superuser nor exempt from row-level security.")
        finally:
            connection.autocommit = False

    @event.listens_for(engine, "checkout")
    def _check(connection: Any, _record: Any, _proxy: Any) -> None:
        # One round trip that is liveness check and hygiene check in one: a dead or dirty connection is replaced.
        try:
            with connection.cursor() as cursor:
                cursor.execute(
                    "SELECT current_user = %s AND coalesce(current_setting('app.ws', true), '') = ''", (role,)
                )
                clean = cursor.fetchone() == (True,)
            connection.rollback()
        except Exception as error:
            raise exc.DisconnectionError from error
        if not clean:
            raise exc.DisconnectionError

    return engine


def _is_contention(error: exc.DBAPIError) -> bool:
    """A deadlock, a serialisation failure or a lock that did not come in time."""
    return (getattr(error.orig, "sqlstate", None) or "")[:2] in {"40", "55"}


def _is_outage(error: exc.DBAPIError) -> bool:
    state = getattr(error.orig, "sqlstate", None)
    if state == TOO_LONG:  # the server is well
        return False
    if state in STOOD_STILL:
        return True
    return error.connection_invalidated or state is None or state[:2] in {"08", "57", "53"}
