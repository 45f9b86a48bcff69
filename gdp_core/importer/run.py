"""Importing a file: its chunks go through the pipeline one by one, and the run remembers how far it came.

An import is recognised by source, content and mapping. One that was interrupted goes on where it stopped, one that was
finished changes nothing, and of two at once each does what the other has not. Rows that state nothing usable are
written to a rejects file. What an import brings is history: nothing may act on deliveries of the source `import`.
"""

import contextlib
import csv
import re
import secrets
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TextIO
from uuid import UUID, uuid4, uuid5

from sqlalchemy import exc
from sqlmodel import Session

from gdp_core import pipeline
from gdp_core.accounts.audit import audit
from gdp_core.accounts.roles import Principal, authorise
from gdp_core.ahead import ahead
from gdp_core.db import Database, insert, one, run
from gdp_core.errors import GrowthError, InvalidInput, NotFound
from gdp_core.failpoint import failpoint
from gdp_core.importer.chunks import Chunk, Import, RejectedRow, open_import
from gdp_core.importer.mapping import Mapping
from gdp_core.pipeline import Parsed
from gdp_core.sources.facts import Delivery
from gdp_core.tables.ingest import ImportRun
from gdp_core.words import one_line

SOURCE = "import"
_ROUTE = "file"

Progress = Callable[[int, int], None]
"""Called with (rows done, rows in all); the latter is an upper bound where quoted fields hold line breaks."""


@dataclass(frozen=True, slots=True)
class ImportResult:
    """What an import did, its earlier attempts included. `rows` = applied + duplicate + rejected.

    `duplicate` rows were there before, from this file or another. `rejects` is the file of the rejected rows, None
    where there are none. `repeated`: the whole file had been imported before, so nothing was done now.
    """

    run_id: UUID
    rows: int
    applied: int
    duplicate: int
    rejected: int
    rejects: Path | None
    repeated: bool


def prepare_import(session: Session, principal: Principal, *, name: str, file: str, now: datetime) -> UUID:
    """The source that files called `name` come from, connected if need be; the audit log says who imports what.

    A row's id counts once within a source: give files whose ids mean different things different names. `session` runs
    as gdp_web. Raises InvalidInput, Forbidden.
    """
    authorise(session, principal, "imports.run")
    label = one_line(name, 80)
    if not label:
        raise InvalidInput("Give the import a name that says what its rows are, such as orders.")
    found = one(
        session,
        "SELECT id FROM source_instance WHERE source = :source AND name = :name AND archived_at IS NULL"
        " ORDER BY created_at, id LIMIT 1",
        source=SOURCE,
        name=label,
    )
    source_id: UUID = found.id if found else uuid4()
    if not found:
        run(
            session,
            "INSERT INTO source_instance (id, workspace_id, source, name, hook_key, config, has_invoices, created_at)"
            " VALUES (:id, :ws, :source, :name, :hook, '{}', false, :now)",
            id=source_id,
            ws=principal.workspace_id,
            source=SOURCE,
            name=label,
            hook=secrets.token_urlsafe(24),
            now=now,
        )
    audit(
        session,
        principal,
        action="imports.run",
        object_kind="source",
        object_id=source_id,
        detail={"name": label, "file": file[:200]},
        now=now,
    )
    return source_id


def source_name(session: Session, path: Path, key: str) -> str:
    """What the source of a file is called when nobody said.

    Where the same content went before (`key`: that of its preview); else the file's name without its date, so that next
    month's file is of the same source and another kind of file is not.
    """
    known = one(
        session,
        "SELECT s.name FROM import_run r JOIN source_instance s ON s.workspace_id = r.workspace_id"
        " AND s.id::text = r.cursor ->> 'source_id' WHERE r.kind = :source AND r.fingerprint = :key"
        " AND s.archived_at IS NULL ORDER BY r.started_at, r.id LIMIT 1",
        source=SOURCE,
        key=key,
    )
    stem = Path(path.name.removesuffix(".gz")).stem
    return known.name if known else re.sub(r"[\W\d_]+$", "", stem) or stem


def run_import(
    database: Database,
    workspace_id: UUID,
    source_id: UUID,
    path: Path,
    mapping: Mapping,
    *,
    now: datetime,
    progress: Progress = lambda _done, _total: None,
    rejects: Path | None = None,
) -> ImportResult:
    """Import a file into a workspace; `database` runs as gdp_worker.

    `rejects` is where rejected rows go, by default `<file>.rejects.csv` beside the file. Raises, before anything is
    written, InvalidInput for a file that cannot be read or a mapping that does not fit it, and NotFound for a source
    that is no import of this workspace; later whatever applying raises, and then the same call goes on.
    """
    source = open_import(path, mapping)
    attempt = _begin(database, workspace_id, source_id, source, now)
    target = rejects or path.with_name(f"{path.name}.rejects.csv")
    rejected = _Rejects(target)
    try:
        with pipeline.for_batches():
            for chunk, (delivery, parsed) in ahead(source.chunks(), attempt.read):
                if not attempt.is_repeated:
                    attempt.take_in(chunk, delivery, parsed, now)
                rejected.write(chunk.rejects)
                progress(chunk.first_row + chunk.rows - 1, source.total_rows)
        rejected.finish()
    except Exception as error:
        attempt.failed(error, now)
        raise
    finally:
        rejected.close()
    return attempt.finish(target, now)


class _Attempt:
    """One going-over of a run's chunks."""

    def __init__(
        self, database: Database, workspace_id: UUID, source_id: UUID, run_id: UUID, started_at: datetime, state: str
    ) -> None:
        self.database = database
        self.workspace_id = workspace_id
        self.source_id = source_id
        self.run_id = run_id
        self.started_at = started_at
        self.is_repeated = state == "done"
        self.applied = self.duplicate = self.rejected = 0

    def read(self, chunk: Chunk) -> tuple[Delivery, Parsed | None]:
        """The delivery that a chunk is, and what it states; the latter matters only where it is not there yet."""
        delivery = Delivery(
            id=uuid5(self.run_id, str(chunk.number)),
            workspace_id=self.workspace_id,
            source_id=self.source_id,
            source=SOURCE,
            route=_ROUTE,
            trust="server",
            received_at=self.started_at,  # the same at every attempt, so that every attempt states the same
            body=chunk.body,
        )
        return delivery, None if self.is_repeated else pipeline.parse([delivery])

    def take_in(self, chunk: Chunk, delivery: Delivery, parsed: Parsed | None, now: datetime) -> None:
        """Apply a chunk unless an earlier attempt, or one that runs beside this, has."""
        if not self._count(delivery):
            try:
                pipeline.take_in(self.database, delivery, now, parsed)
            except exc.IntegrityError:
                if not self._count(delivery):
                    raise
            else:
                self._count(delivery)
        self._note("running", chunk.first_row + chunk.rows - 1, now)
        failpoint("import.chunk")

    def _count(self, delivery: Delivery) -> bool:
        """Whether the delivery is there, adding what became of it if so."""
        with self.database.transaction(self.workspace_id, read_only=True) as session:
            row = one(
                session,
                "SELECT facts_applied, facts_duplicate, facts_quarantined FROM inbox"
                " WHERE id = :id AND received_at = :at",
                id=delivery.id,
                at=delivery.received_at,
            )
        if row is None:
            return False
        self.applied += row.facts_applied
        self.duplicate += row.facts_duplicate
        self.rejected += row.facts_quarantined
        return True

    def _note(self, state: str, rows_done: int | None, now: datetime, error: str | None = None) -> None:
        with self.database.transaction(self.workspace_id) as session:
            run(
                session,
                "UPDATE import_run SET state = :state, error = :error, updated_at = :now,"
                " rows_done = coalesce(:done, rows_done), rows_rejected = :rejected,"
                " cursor = cursor || jsonb_build_object('applied', CAST(:applied AS bigint),"
                " 'duplicate', CAST(:duplicate AS bigint)) WHERE id = :id AND state <> 'done'",
                id=self.run_id,
                state=state,
                error=error,
                now=now,
                done=rows_done,
                rejected=self.rejected,
                applied=self.applied,
                duplicate=self.duplicate,
            )

    def failed(self, error: Exception, now: datetime) -> None:
        """Leave a reason behind, if the database still listens."""
        said = str(error) if isinstance(error, GrowthError) else f"It stopped with {type(error).__name__}."
        with contextlib.suppress(GrowthError, exc.SQLAlchemyError):
            self._note("failed", None, now, said)

    def finish(self, target: Path, now: datetime) -> ImportResult:
        """Mark the run done and say what it did."""
        self._note("done", None, now)
        with self.database.transaction(self.workspace_id, read_only=True) as session:
            row = one(session, "SELECT cursor, rows_done, rows_rejected FROM import_run WHERE id = :id", id=self.run_id)
        return ImportResult(
            run_id=self.run_id,
            rows=row.rows_done,
            applied=row.cursor.get("applied", 0),
            duplicate=row.cursor.get("duplicate", 0),
            rejected=row.rows_rejected,
            rejects=target if row.rows_rejected else None,
            repeated=self.is_repeated,
        )


def _begin(database: Database, workspace_id: UUID, source_id: UUID, source: Import, now: datetime) -> _Attempt:
    """Find or make the run of this source, content and mapping."""
    run_id = uuid5(source_id, source.key)
    with database.transaction(workspace_id) as session:
        known = one(
            session, "SELECT name FROM source_instance WHERE id = :id AND source = :source", id=source_id, source=SOURCE
        )
        if known is None:
            raise NotFound("There is no such import source in this workspace.")
        values = {
            "id": run_id,
            "workspace_id": workspace_id,
            "kind": SOURCE,
            "label": source.table.path.name[:200],
            "fingerprint": source.key,
            "cursor": {"source_id": str(source_id), "source": known.name},
            "rows_total": source.total_rows,
            "rows_done": 0,
            "rows_rejected": 0,
            "state": "running",
            "started_at": now,
            "updated_at": now,
        }
        insert(session, ImportRun, [values], "ON CONFLICT DO NOTHING")
        run(
            session,
            "UPDATE import_run SET state = 'running', error = NULL, updated_at = :now WHERE id = :id AND state <> 'done'",
            id=run_id,
            now=now,
        )
        row = one(session, "SELECT started_at, state FROM import_run WHERE id = :id", id=run_id)
    return _Attempt(database, workspace_id, source_id, run_id, row.started_at, row.state)


class _Rejects:
    """The rejected rows as CSV. The file appears when all is done, and only if there are any."""

    def __init__(self, target: Path) -> None:
        self.target = target
        self._unfinished = target.with_name(f"{target.name}.part")
        self._file: TextIO | None = None

    def write(self, rows: Sequence[RejectedRow]) -> None:
        """Add rows. Raises InvalidInput where the file cannot be written."""
        if not rows:
            return
        with _writing(self.target):
            if self._file is None:
                self._file = self._unfinished.open("w", encoding="utf-8", newline="")
                csv.writer(self._file).writerow(("line", "code", "reason", "row"))
            csv.writer(self._file).writerows((row.line, row.code, row.reason, row.row) for row in rows)

    def finish(self) -> None:
        """Put the file where it belongs."""
        with _writing(self.target):
            if self._file is None:
                self.target.unlink(missing_ok=True)
            else:
                self._file.close()
                self._unfinished.replace(self.target)

    def close(self) -> None:
        """Leave nothing unfinished behind."""
        if self._file is not None:
            self._file.close()
            self._unfinished.unlink(missing_ok=True)


@contextlib.contextmanager
def _writing(target: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise InvalidInput(f"The rejected rows cannot be written to {target}: {error.strerror or error}.") from None
