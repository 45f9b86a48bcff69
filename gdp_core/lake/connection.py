"""DuckDB with the lake attached. It owns extensions, limits and addresses; what is in the lake is not its business."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from urllib.parse import urlsplit
from uuid import UUID

import duckdb
import psycopg
from psycopg.conninfo import make_conninfo

from gdp_core.errors import BadSetting, TooMuch, Unavailable

_INLINED_ROWS = 1000  # smaller appends stay in the catalogue until maintenance writes them out as files
_CATALOGUE = "-c role=gdp_lake -c timezone=UTC"
_FILES_LOCK = 0x6764705F6C616B  # "gdp_lak": files of the lake that no version names yet
_OPENING_LOCK = 0x6F70656E  # while a catalogue is opened, and made where there is none
_WRITER_WAITS, _REMOVER_WAITS, _OPENER_WAITS = 30, 600, 60  # seconds
_EXTENSIONS = {"ducklake": "duckdb_extension_ducklake", "postgres_scanner": "duckdb_extension_postgres_scanner"}
_HTTPFS = "httpfs"


@dataclass(frozen=True, slots=True)
class Bucket:
    """How an S3-compatible bucket is reached. `endpoint`: where it is served when not by AWS, an address; else empty."""

    key_id: str
    secret: str = field(repr=False)
    region: str = "us-east-1"
    endpoint: str = ""

    @property
    def statement(self) -> str:
        """What tells DuckDB. Raises BadSetting without a key, or for an endpoint that is no address."""
        if not self.key_id or not self.secret:
            raise BadSetting(
                "GDP_LAKE_URL names a bucket: set GDP_LAKE_KEY_ID and GDP_LAKE_SECRET too, or leave it empty for a folder."
            )
        said = f"TYPE s3, KEY_ID {_quoted(self.key_id)}, SECRET {_quoted(self.secret)}, REGION {_quoted(self.region)}"
        if self.endpoint:
            parts = urlsplit(self.endpoint)
            if parts.scheme not in ("http", "https") or not parts.netloc:
                raise BadSetting("GDP_LAKE_ENDPOINT must be an address like https://minio.example.com:9000.")
            ssl = "true" if parts.scheme == "https" else "false"
            said += f", ENDPOINT {_quoted(parts.netloc)}, URL_STYLE 'path', USE_SSL {ssl}"
        return f"CREATE SECRET bucket ({said})"


class FilesGone(Unavailable):
    """A file that a version of the lake names is not in its folder."""


class Lake:
    """This process's way into the lake. Threads take `cursor`s of it.

    `folder` is a local folder, or an s3:// address in a `bucket`; `spill` is a folder for what a query cannot hold in `memory`. Raises
    Unavailable when Postgres or the folder cannot be reached, BadSetting where an extension is missing.
    """

    def __init__(
        self,
        dsn: str,
        folder: str,
        *,
        read_only: bool = False,
        memory: str = "1GB",
        threads: int = 2,
        spill: Path | None = None,
        bucket: Bucket | None = None,
    ) -> None:
        self.folder = folder
        self._bucket = bucket
        self._dsn = dsn
        config: dict[str, str | bool | int | float | list[str]] = {"threads": threads, "memory_limit": memory}
        if spill:
            config["temp_directory"] = str(spill)
        self._connection = duckdb.connect(config=config)
        try:
            self._load()
            self._attach(read_only)
        except BaseException:
            self._connection.close()
            raise

    def __enter__(self) -> "Lake":
        """Itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close it."""
        self.close()

    def close(self) -> None:
        """Let go of Postgres and of the memory."""
        self._connection.close()

    def cursor(self) -> duckdb.DuckDBPyConnection:
        """A connection of its own, for one thread at a time."""
        return self._connection.cursor()

    @contextlib.contextmanager
    def transaction(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """One transaction of the lake. Raises Unavailable when another writer was first; nothing is written then."""
        cursor = self.cursor()
        try:
            cursor.execute("BEGIN")
            yield cursor
            cursor.execute("COMMIT")
        except duckdb.Error as error:
            _roll_back(cursor)
            raise _as_ours(error) from None
        except BaseException:
            _roll_back(cursor)
            raise
        finally:
            cursor.close()

    @contextlib.contextmanager
    def writing(self, *, alone: bool = False) -> Iterator[None]:
        """Hold the lake's new files, which no version names before their commit, against who removes such files.

        `alone` is to remove them: it waits for every writer, of any process, and they wait for it. Raises Unavailable.
        """
        seconds, kind = (_REMOVER_WAITS, "") if alone else (_WRITER_WAITS, "_shared")
        options = f"{_CATALOGUE} -c lock_timeout={seconds}s"
        try:
            held = psycopg.connect(self._dsn, options=options, autocommit=True)
        except psycopg.OperationalError:
            raise Unavailable("Postgres cannot be reached; it is tried again by itself.") from None
        with held:
            try:
                held.execute(f"SELECT pg_advisory_lock{kind}(%s)".encode(), (_FILES_LOCK,))
            except psycopg.OperationalError:
                raise Unavailable(
                    "The lake is being written to by somebody who takes long; it is tried again."
                ) from None
            yield

    @contextlib.contextmanager
    def reading(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """A cursor for queries. Raises Unavailable when the lake cannot be read, TooMuch for what its memory cannot hold."""
        cursor = self.cursor()
        try:
            yield cursor
        except duckdb.Error as error:
            raise _as_ours(error) from None
        finally:
            cursor.close()

    @contextlib.contextmanager
    def source(self, workspace_id: UUID) -> Iterator[str]:
        """The name under which queries read Postgres as the worker of one workspace, see `asked`."""
        name = f"source_{workspace_id.hex}"
        options = f"-c role=gdp_worker -c app.ws={workspace_id} -c timezone=UTC -c default_transaction_read_only=on"
        with self.reading() as cursor:
            cursor.execute(
                f"ATTACH IF NOT EXISTS {_quoted(make_conninfo(self._dsn, options=options))} AS {name} (TYPE postgres, READ_ONLY)"
            )
            yield name
            cursor.execute(f"DETACH {name}")

    def vacuum(self, *, wholly: bool = False) -> None:
        """What was deleted leaves the catalogue in Postgres too; `wholly`, not a byte of it stays in a page.

        Then go the extremes of columns as well, which DuckLake keeps for as long as a table lives.
        """
        with psycopg.connect(self._dsn, options=_CATALOGUE, autocommit=True) as connection:
            if wholly:
                connection.execute("UPDATE lake.ducklake_table_column_stats SET min_value = NULL, max_value = NULL")
            found = connection.execute(
                "SELECT quote_ident(tablename) FROM pg_tables WHERE schemaname = 'lake'"
            ).fetchall()
            for (table,) in found:
                connection.execute(f"VACUUM {'(FULL)' if wholly else ''} lake.{table}".encode())

    def _load(self) -> None:
        for extension, package in _EXTENSIONS.items():
            self._connection.execute(f"LOAD {_quoted(_file_of(extension, package))}")
        if "://" not in self.folder:
            return
        secret = (self._bucket or Bucket("", "")).statement
        package = f"duckdb_extension_{_HTTPFS}"
        try:
            if find_spec(package):
                self._connection.execute(f"LOAD {_quoted(_file_of(_HTTPFS, package))}")
            else:
                self._connection.execute(f"INSTALL {_HTTPFS}")
                self._connection.execute(f"LOAD {_HTTPFS}")
        except duckdb.Error:
            raise BadSetting(
                f"GDP_LAKE_URL names a bucket, which needs DuckDB's {_HTTPFS}: pip install"
                f" duckdb-extension-{_HTTPFS}=={duckdb.__version__}, or leave GDP_LAKE_URL empty for a local folder."
            ) from None
        self._connection.execute(secret)

    def _attach(self, read_only: bool) -> None:
        if "://" not in self.folder:
            try:
                Path(self.folder).mkdir(parents=True, exist_ok=True, mode=0o700)
            except OSError as error:
                raise BadSetting(f"The lake's folder {self.folder} cannot be made: {error.strerror}.") from None
        catalogue = make_conninfo(self._dsn, options=_CATALOGUE, application_name="lake")
        options = f"DATA_PATH {_quoted(self.folder)}, OVERRIDE_DATA_PATH true, METADATA_SCHEMA 'lake'"
        options += (
            ", READ_ONLY" if read_only else f", DATA_INLINING_ROW_LIMIT {_INLINED_ROWS}, AUTOMATIC_MIGRATION true"
        )
        waiting = f"{_CATALOGUE} -c lock_timeout={_OPENER_WAITS}s"
        try:  # one at a time: of two that make a new catalogue at once, one fails
            with psycopg.connect(self._dsn, options=waiting, autocommit=True) as opening:
                opening.execute("SELECT pg_advisory_lock(%s)", (_OPENING_LOCK,))
                self._connection.execute(f"ATTACH {_quoted('ducklake:postgres:' + catalogue)} AS lake ({options})")
        except psycopg.errors.LockNotAvailable:
            raise Unavailable("Somebody else takes long to open the lake; it is tried again.") from None
        except psycopg.OperationalError:
            raise Unavailable("Postgres cannot be reached; it is tried again by itself.") from None
        except duckdb.Error as error:
            if "DuckLake" in str(error) and "version" in str(error):
                raise BadSetting(
                    "The lake's catalogue was written by another release of DuckLake: install the requirements of the"
                    " release that wrote it, or drop the tables in Postgres's schema lake, and all is made again."
                ) from None
            raise Unavailable("The lake's catalogue in Postgres cannot be opened; it is tried again.") from None


def _file_of(extension: str, package: str) -> str:
    """Where the wheel put DuckDB's own signed binary; LOAD verifies the signature."""
    found = find_spec(package)
    if found is None or found.origin is None:
        raise BadSetting(f"The package {package} is missing: install requirements.txt again.")
    return str(Path(found.origin).parent / "extensions" / f"v{duckdb.__version__}" / f"{extension}.duckdb_extension")


def asked(source: str, query: str) -> str:
    """What Postgres answers to a query, as a table of DuckDB's. `source` is from `Lake.source`."""
    return f"postgres_query('{source}', {_quoted(query)})"


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _roll_back(cursor: duckdb.DuckDBPyConnection) -> None:
    with contextlib.suppress(duckdb.Error):
        cursor.execute("ROLLBACK")


def _as_ours(error: duckdb.Error) -> Exception:
    """What to raise for DuckDB's error: its text may hold the address of Postgres with its password."""
    if isinstance(error, duckdb.IOException) and "No such file" in str(error):
        return FilesGone(
            "Files of the lake are missing from its folder: if it stays so, run python -m jobs lake rebuild."
        )
    if isinstance(error, duckdb.OutOfMemoryException):
        return TooMuch()
    if isinstance(error, duckdb.TransactionException):
        return Unavailable("Somebody else was writing to the lake at the same moment; it is tried again.", 0.2)
    if "No snapshot found" in str(error):
        return Unavailable("What this was counted from is kept no longer: load the page again.", 0.2)
    if isinstance(error, duckdb.IOException | duckdb.ConnectionException | duckdb.FatalException):
        return Unavailable("The lake cannot be read or written now; it is tried again.")
    return error
