"""A file becomes people and events: exactly once, whatever interrupts it, and nobody's automation notices."""

import csv
import os
import signal
import subprocess
import sys
import threading
import uuid

import orjson
import pytest

from gdp_core import failpoint as failpoints
from gdp_core import inbox, pipeline
from gdp_core.accounts.roles import Principal, Role
from gdp_core.db import one, rows, run
from gdp_core.errors import Forbidden, InvalidInput, NotFound
from gdp_core.importer import chunks
from gdp_core.importer.mapping import Mapping
from gdp_core.importer.run import prepare_import, run_import

from .conftest import NOW, ROOT

MAPPING = Mapping(person="customer", event="=order", time="at", value="amount", currency="=EUR", properties=("*",))
DIGESTED = ("event", "person", "actor", "actor_day", "actor_value_day", "event_key", "event_type", "event_type_day")
VOLATILE = ("applied_at", "received_at", "number", "inbox_id", "tx")


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch):
    monkeypatch.setattr(chunks, "CHUNK_ROWS", 4)


@pytest.fixture
def file(tmp_path):
    return written(tmp_path / "orders.csv", 18)


def written(path, count, *, bad=(5, 11)):
    with path.open("w", newline="") as out:
        write = csv.writer(out)
        write.writerow(("customer", "at", "amount", "item"))
        for n in range(count):
            write.writerow((f"c{n % 3}", "yesterday" if n in bad else f"2024-05-{n + 1:02d}", "10.50", f"item {n}"))
    return path


def connect(database, ws, name="orders"):
    with database.web.transaction(ws) as session:
        return prepare_import(session, Principal.system(ws), name=name, file="orders.csv", now=NOW)


def digest(database, ws):
    """Everything derived, without what depends on the moment of applying."""
    with database.worker.transaction(ws) as session:
        return {
            table: sorted(
                orjson.dumps({k: v for k, v in row._mapping.items() if k not in VOLATILE}, default=str)
                for row in rows(session, f"SELECT * FROM {table}")
            )
            for table in DIGESTED
        }


def books(database, ws):
    with database.web.transaction(ws) as session:
        found = inbox.balances(session)
    assert [balance.difference for balance in found] == [0, 0]
    return {balance.ledger: balance for balance in found}


def test_a_file_becomes_people_and_events(database, ws, file):
    seen = []
    result = run_import(
        database.worker,
        ws,
        connect(database, ws),
        file,
        MAPPING,
        now=NOW,
        progress=lambda done, total: seen.append((done, total)),
    )
    assert (result.rows, result.applied, result.duplicate, result.rejected) == (18, 16, 0, 2)
    assert not result.repeated
    assert seen == [(4, 18), (8, 18), (12, 18), (16, 18), (18, 18)]
    with database.web.transaction(ws) as session:
        assert one(session, "SELECT count(*) AS n, sum(value_micros) AS v FROM event")._asdict() == {
            "n": 16,
            "v": 16 * 10_500_000,
        }
        assert one(session, "SELECT count(*) AS n FROM person").n == 3
        (done,) = rows(session, "SELECT * FROM import_run")
    assert (done.state, done.rows_total, done.rows_done, done.rows_rejected) == ("done", 18, 18, 2)
    assert (done.label, done.cursor["source"], done.error) == ("orders.csv", "orders", None)
    assert books(database, ws)["fact"].quarantined == 2


def test_rejected_rows_are_written_with_line_and_reason(database, ws, file):
    result = run_import(database.worker, ws, connect(database, ws), file, MAPPING, now=NOW)
    assert result.rejects == file.with_name("orders.csv.rejects.csv")
    with result.rejects.open(newline="") as found:
        written_rows = list(csv.DictReader(found))
    assert [(row["line"], row["code"]) for row in written_rows] == [("7", "bad_timestamp"), ("13", "bad_timestamp")]
    assert orjson.loads(written_rows[0]["row"])["item"] == "item 5"
    with database.web.transaction(ws) as session:
        assert [row.item for row in rows(session, "SELECT item FROM fact_reject ORDER BY item")] == [7, 13]


def test_a_file_without_bad_rows_leaves_no_rejects_file(database, ws, tmp_path):
    file = written(tmp_path / "good.csv", 5, bad=())
    stale = tmp_path / "good.csv.rejects.csv"
    stale.write_text("from an earlier try")
    assert run_import(database.worker, ws, connect(database, ws), file, MAPPING, now=NOW).rejects is None
    assert sorted(path.name for path in tmp_path.iterdir()) == ["good.csv"]


def test_importing_again_changes_nothing(database, ws, file):
    source_id = connect(database, ws)
    first = run_import(database.worker, ws, source_id, file, MAPPING, now=NOW)
    before, books_before = digest(database, ws), books(database, ws)
    file.with_name("orders.csv.rejects.csv").unlink()
    again = run_import(database.worker, ws, source_id, file, MAPPING, now=NOW.replace(hour=20))
    assert again.repeated
    assert (again.applied, again.rejected) == (first.applied, first.rejected)
    assert again.rejects is not None
    assert again.rejects.exists()
    assert digest(database, ws) == before
    assert books(database, ws) == books_before


def test_an_overlapping_file_of_the_same_source_adds_only_what_is_new(database, ws, tmp_path):
    source_id = connect(database, ws)
    run_import(database.worker, ws, source_id, written(tmp_path / "may.csv", 6, bad=()), MAPPING, now=NOW)
    result = run_import(database.worker, ws, source_id, written(tmp_path / "june.csv", 9, bad=()), MAPPING, now=NOW)
    assert (result.applied, result.duplicate) == (3, 6)
    books(database, ws)
    with database.web.transaction(ws) as session:
        assert one(session, "SELECT count(*) AS n FROM event").n == 9


def test_another_name_is_another_source(database, ws):
    assert connect(database, ws) == connect(database, ws, " orders ")
    assert connect(database, ws) != connect(database, ws, "refunds")


@pytest.mark.parametrize("stops", range(5))
def test_an_interrupted_import_goes_on(database, ws, file, stops, monkeypatch):
    whole = database.workspace("whole")
    run_import(database.worker, whole, connect(database, whole), file, MAPPING, now=NOW)
    source_id, passed = connect(database, ws), []
    original = failpoints.failpoint

    def stop(name):
        passed.append(name)
        if passed.count("import.chunk") == stops + 1:
            raise failpoints.Failed(name)
        original(name)

    monkeypatch.setattr("gdp_core.importer.run.failpoint", stop)
    with pytest.raises(failpoints.Failed):
        run_import(database.worker, ws, source_id, file, MAPPING, now=NOW)
    with database.web.transaction(ws) as session:
        stopped = one(session, "SELECT state, error, rows_done FROM import_run")
    assert (stopped.state, stopped.error) == ("failed", "It stopped with Failed.")
    assert stopped.rows_done == min(18, 4 * (stops + 1))
    assert not file.with_name("orders.csv.rejects.csv.part").exists()
    monkeypatch.setattr("gdp_core.importer.run.failpoint", original)
    result = run_import(database.worker, ws, source_id, file, MAPPING, now=NOW.replace(hour=15))
    assert (result.rows, result.applied, result.duplicate, result.rejected) == (18, 16, 0, 2)
    counts = books(database, ws)["fact"]
    assert (counts.received, counts.applied, counts.quarantined) == (18, 16, 2)
    assert books(database, ws)["fact"] == books(database, whole)["fact"]


def test_a_killed_import_goes_on(database, ws, tmp_path):
    file = written(tmp_path / "orders.csv", 18)
    source_id = connect(database, ws)
    code = (
        "import sys, uuid, pathlib, datetime\n"
        "from gdp_core.db import Database\n"
        "from gdp_core.importer import chunks\n"
        "from gdp_core.importer.mapping import Mapping\n"
        "from gdp_core.importer.run import run_import\n"
        "chunks.CHUNK_ROWS = 4\n"
        "dsn, ws, source, path, mapping, now = sys.argv[1:]\n"
        "run_import(Database(dsn, 'gdp_worker'), uuid.UUID(ws), uuid.UUID(source), pathlib.Path(path),"
        " Mapping.model_validate_json(mapping), now=datetime.datetime.fromisoformat(now))\n"
    )
    given = [database.dsn, str(ws), str(source_id), str(file), MAPPING.model_dump_json(), NOW.isoformat()]
    for point in ("apply.events", "apply.ledger", "import.chunk"):
        child = subprocess.run(
            [sys.executable, "-c", code, *given],
            cwd=ROOT,
            env={**os.environ, "GDP_FAILPOINT": f"{point}:kill"},
            check=False,
        )
        assert child.returncode == -signal.SIGKILL
    result = run_import(database.worker, ws, source_id, file, MAPPING, now=NOW)
    assert (result.rows, result.applied, result.duplicate, result.rejected) == (18, 16, 0, 2)
    assert books(database, ws)["fact"].applied == 16
    assert not file.with_name("orders.csv.rejects.csv.part").exists()


def test_two_at_once_do_each_chunk_once(database, ws, file):
    source_id = connect(database, ws)
    results, together = [], threading.Barrier(2)

    def work(target):
        together.wait()
        results.append(run_import(database.worker, ws, source_id, file, MAPPING, now=NOW, rejects=target))

    threads = [threading.Thread(target=work, args=(file.with_name(f"{n}.csv"),)) for n in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [(item.rows, item.applied, item.rejected) for item in results] == [(18, 16, 2)] * 2
    assert books(database, ws)["delivery"].received == 5


def test_nothing_is_written_when_the_mapping_does_not_fit(database, ws, file):
    source_id = connect(database, ws)
    with pytest.raises(InvalidInput, match="price"):
        run_import(database.worker, ws, source_id, file, MAPPING.model_copy(update={"value": "price"}), now=NOW)
    with database.web.transaction(ws) as session:
        assert not rows(session, "SELECT 1 FROM import_run")
        assert not rows(session, "SELECT 1 FROM inbox")


def test_the_source_must_be_an_import_of_this_workspace(database, ws, file):
    theirs = connect(database, database.workspace("other"))
    for source_id in (theirs, database.source(ws, "segment"), uuid.uuid4()):
        with pytest.raises(NotFound):
            run_import(database.worker, ws, source_id, file, MAPPING, now=NOW)


def test_an_unwritable_rejects_file_is_one_sentence(database, ws, file, tmp_path):
    source_id = connect(database, ws)
    target = tmp_path / "missing" / "rejects.csv"
    with pytest.raises(InvalidInput, match="cannot be written"):
        run_import(database.worker, ws, source_id, file, MAPPING, now=NOW, rejects=target)
    with database.web.transaction(ws) as session:
        assert one(session, "SELECT state FROM import_run").state == "failed"
    assert run_import(database.worker, ws, source_id, file, MAPPING, now=NOW).applied == 16


def test_a_viewer_may_not_import_and_imports_are_audited(database, ws):
    viewer = Principal(None, "viewer@acme.example", ws, Role.VIEWER)
    with database.web.transaction(ws) as session, pytest.raises(Forbidden):
        prepare_import(session, viewer, name="orders", file="orders.csv", now=NOW)
    connect(database, ws)
    with database.web.transaction(ws) as session:
        (entry,) = rows(session, "SELECT action, detail FROM audit_log")
    assert (entry.action, entry.detail) == ("imports.run", {"name": "orders", "file": "orders.csv"})


def test_an_import_can_be_replayed_like_any_delivery(database, ws, file):
    run_import(database.worker, ws, connect(database, ws), file, MAPPING, now=NOW)
    before, counts = digest(database, ws), books(database, ws)
    with database.worker.transaction(ws) as session:
        assert inbox.replay(session, state="applied") == 5
        run(session, "UPDATE inbox SET run_at = :now", now=NOW)
    while pipeline.work(database.worker, ws, NOW):
        pass
    assert digest(database, ws) == before
    assert books(database, ws) == counts
