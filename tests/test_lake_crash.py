"""kill -9 of who writes the lake, at every named step and at any moment: afterwards each row is there once."""

import os
import random
import subprocess
import sys
import time
from contextlib import contextmanager

import pytest

from gdp_core import clock
from gdp_core.lake.connection import Lake
from gdp_core.lake.writing import compare, flush

from .conftest import NOW, ROOT
from .test_pipeline import batch, delivery, drain, identify, put, track


@pytest.fixture
def segment(database, ws):
    return database.source(ws, "segment")


@contextmanager
def writer(database, folder, ws, what="flush", *, failpoint="", mutant="none"):
    environment = os.environ | {"DATABASE_URL": database.dsn, "GDP_FAILPOINT": failpoint}
    command = [sys.executable, "-m", "tests.lake_writer", str(folder), str(ws), what, mutant]
    with subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def told(database, ws, segment, part, many=40):
    calls = [track(message=f"{part}-{n}", user=f"u{n % 9}") for n in range(many)]
    put(
        database,
        delivery(ws, segment, batch(identify("victim", message=f"{part}-i", email="victim@acme.example"), *calls)),
    )
    drain(database, ws)
    return many + 1


def is_right(database, folder, ws, events):
    with Lake(database.dsn, str(folder), memory="300MB") as lake:
        flush(lake, database.worker, ws, NOW)
        found = compare(lake, ws)
    return all(table.same for table in found) and found[0].here == events


@pytest.mark.parametrize("step", ["lake.written", "lake.committed"])
def test_a_flush_that_dies_is_made_good_by_the_next(database, tmp_path, ws, segment, step):
    events = told(database, ws, segment, 0)
    with writer(database, tmp_path / "lake", ws, failpoint=f"{step}:kill") as process:
        assert process.wait(120) == -9
    assert is_right(database, tmp_path / "lake", ws, events)


def test_a_watermark_of_its_own_commit_is_caught(database, tmp_path, ws, segment):
    """The mutant: the same death, and rows are there twice."""
    events = told(database, ws, segment, 0)
    with writer(database, tmp_path / "lake", ws, failpoint="lake.written:kill", mutant="watermark_apart") as process:
        assert process.wait(120) == -9
    assert not is_right(database, tmp_path / "lake", ws, events)


@pytest.mark.parametrize(("what", "step"), [("maintain", "lake.packed"), ("erase", "lake.erased")])
def test_upkeep_and_erasure_that_die_are_made_good(database, tmp_path, ws, segment, what, step):
    events = told(database, ws, segment, 0)
    assert is_right(database, tmp_path / "lake", ws, events)
    with writer(database, tmp_path / "lake", ws, what, failpoint=f"{step}:kill") as process:
        assert process.wait(120) == -9
    with writer(database, tmp_path / "lake", ws, what) as process:
        assert process.wait(120) == 0, process.stderr.read().decode()
    assert is_right(database, tmp_path / "lake", ws, events if what == "maintain" else 40)


@pytest.mark.heavy
def test_twenty_deaths_at_any_moment_under_load(database, tmp_path, ws, segment):
    rng, events = random.Random(7), 0
    folder = tmp_path / "lake"
    with Lake(database.dsn, str(folder), memory="300MB") as lake:
        flush(lake, database.worker, ws, clock.now())
    for death in range(20):
        with writer(database, folder, ws) as process:
            assert process.stdout.readline() == b"ready\n"
            until = time.monotonic() + rng.uniform(0.05, 1.5)
            part = 0
            while time.monotonic() < until:
                events += told(database, ws, segment, f"{death}-{part}")
                part += 1
            process.kill()
    assert events > 1000
    assert is_right(database, folder, ws, events)
