"""A small workspace whose events are in a real lake and timeline, which the dashboard's pages count."""

import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from gdp_core import clock
from gdp_core.analytics.calendar import micros
from gdp_core.db import one, rows
from gdp_core.events import ensure_partitions
from gdp_core.lake import process
from gdp_core.lake.connection import Lake
from gdp_core.lake.tables import schema_of
from gdp_core.lake.writing import flush, watermark
from gdp_core.timeline.store import Store
from pages.ui import data

from .conftest import TestDatabase
from .test_pipeline import batch, delivery, drain, put

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
"""What the clock says to the pages, whenever the tests run: rows are told by how many days ago they are, and reports cut
them by weeks and months."""
PATIENCE = 120  # seconds: on a shared server other transactions hold the lake back


class Counted:
    """One workspace, its lake and its timeline."""

    def __init__(self, database: TestDatabase, folder: Path, lake: Lake, workspace_id: uuid.UUID) -> None:
        self.database = database
        self.id = workspace_id
        self.lake = lake
        self.store = Store(folder / "timeline", workspace_id)
        self.now = clock.now()

    def send(self, source_id: uuid.UUID, *messages: dict[str, object]) -> None:
        """Apply Segment messages, which happened when they say."""
        with self.database.worker.transaction(self.id) as session:
            ensure_partitions(session, "inbox", [self.now])
        put(self.database, delivery(self.id, source_id, batch(*messages, at=self.now), at=self.now))
        drain(self.database, self.id, self.now)

    def count(self) -> None:
        """Bring everything that was applied to the lake and to the timeline, complete until now."""
        began = time.monotonic()
        while flush(self.lake, self.database.worker, self.id, clock.now()).events or self._lacking():
            assert time.monotonic() - began < PATIENCE, "the lake did not catch up"
            time.sleep(0.05)
        self.store.refresh(self.lake, since=watermark(self.lake, self.id), complete_at=micros(clock.now()))

    def _lacking(self) -> int:
        with self.database.web.transaction(self.id, read_only=True) as session:
            there = one(session, "SELECT count(*) AS events, (SELECT count(*) FROM actor) AS actors FROM event")
        with self.lake.reading() as cursor:
            here = [
                cursor.execute(f"SELECT count(*) FROM {schema_of(self.id)}.{table}").fetchone()[0]
                for table in ("event", "actor")
            ]
        return int(there.events - here[0] + max(0, there.actors - here[1]))

    def members(self, name: str) -> list[str]:
        """Who is in a saved list, by their user ids."""
        with self.database.web.transaction(self.id, read_only=True) as session:
            found = rows(
                session,
                "SELECT a.external_id FROM static_list l JOIN static_list_member m ON m.list_id = l.id JOIN actor a"
                " ON a.person_id = m.person_id WHERE l.name = :name AND a.namespace = 'user' ORDER BY 1",
                name=name,
            )
        return [row.external_id for row in found]


def ago(days: float) -> timedelta:
    """So long before now."""
    return timedelta(days=days)


@contextmanager
def counted(
    database: TestDatabase, folder: Path, workspace_id: uuid.UUID, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Counted]:
    """What the pages of a `browsing` browser count, at NOW."""
    monkeypatch.setattr(clock, "now", lambda: NOW)
    with Lake(database.dsn, str(folder / "lake"), memory="500MB") as lake:
        made = Counted(database, folder, lake, workspace_id)
        monkeypatch.setattr(process, "lake", lambda **_: lake)
        monkeypatch.setattr(data, "_store", lambda wanted: Store(folder / "timeline", wanted))
        data._timeline.clear()
        data._counted.clear()
        yield made
