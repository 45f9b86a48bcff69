"""The same answers from a cluster: two worker processes that map the same files, one of them killed on the way."""

import gc
import os
import re
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager, suppress
from datetime import UTC, date, datetime, timedelta
from uuid import UUID

import numpy as np
import pytest

from gdp_core.analytics.calendar import micros
from gdp_core.analytics.funnel.question import FunnelQuestion, Step
from gdp_core.analytics.funnel.report import funnel
from gdp_core.analytics.lifecycle import Lifecycle, lifecycle
from gdp_core.analytics.scope import Scope
from gdp_core.errors import BadSetting, Unavailable
from gdp_core.timeline import engine, files
from gdp_core.timeline.arrays import Shard, Timeline
from gdp_core.timeline.matching import Match

from .conftest import ROOT
from .timelines import timeline_of

distributed = pytest.importorskip("distributed", reason="Dask is an extra")

START = datetime(2026, 1, 1, tzinfo=UTC)
SCOPE = Scope(UUID(int=1), "UTC", "USD", date(2026, 1, 1), date(2026, 4, 1), START + timedelta(days=120), "none")
QUESTION = FunnelQuestion((Step(Match(("a",))), Step(Match(("b",))), Step(Match(("c",)))))


@pytest.fixture
def timeline(tmp_path):
    """Half a million events of 20,000 people, in files."""
    rng = np.random.default_rng(5)
    people, events = 20_000, 1_000_000
    owner = np.sort(rng.integers(0, people, events))
    at = micros(START) + rng.integers(0, 90 * 86_400_000_000, events)
    at = at[np.lexsort((at, owner))]
    arrays = {
        "people": np.arange(people, dtype=np.int32),
        "offsets": np.searchsorted(owner, np.arange(people + 1)).astype(np.int64),
        "at": at,
        "code": rng.integers(0, 4, events).astype(np.uint16),
        "flags": np.zeros(events, np.uint8),
        "live": np.ones(people, np.bool_),
    }
    files.write(tmp_path / "shard", arrays, {})
    found, _ = files.read(tmp_path / "shard")
    numbers = np.arange(people, dtype=np.int64)
    nothing = timeline_of([]).columns
    return Timeline("files", micros(SCOPE.now), ("a", "b", "c", "d"), numbers, (Shard(**found),), nothing)


@pytest.fixture(autouse=True)
def swept():
    """What Dask's clients leave open goes here, where it warns nobody, and not in the midst of another test."""
    yield
    gc.collect()


@contextmanager
def cluster(folder):
    """(scheduler's address, workers): a scheduler and two worker processes on loopback."""
    environment = os.environ | {"PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "ignore"}
    command = [sys.executable, "-m", "distributed.cli.dask_scheduler"]
    options = ["--host", "127.0.0.1", "--port", "0", "--no-dashboard"]
    said = folder / "scheduler.log"
    with said.open("w") as log:
        scheduler = subprocess.Popen([*command, *options], cwd=folder, env=environment, stderr=log)
    started = [scheduler]
    try:
        while not (found := re.search(r"tcp://127\.0\.0\.1:\d+", said.read_text())):
            assert scheduler.poll() is None, said.read_text()
            time.sleep(0.05)
        address = found[0]
        for name in ("one", "two"):
            worker = [sys.executable, "-m", "distributed.cli.dask_worker", address, "--name", name, "--nthreads", "1"]
            options = ["--no-nanny", "--no-dashboard", "--local-directory", str(folder)]
            started.append(subprocess.Popen([*worker, *options], cwd=ROOT, env=environment, stderr=subprocess.DEVNULL))
        with distributed.Client(address, set_as_default=False) as client:
            client.wait_for_workers(2, timeout=120)
        yield address, started[1:]
    finally:
        for process in reversed(started):
            with suppress(ProcessLookupError):
                process.send_signal(signal.SIGKILL)
            process.wait()


@pytest.mark.filterwarnings("ignore")  # Dask's own, of its versions and its sockets
def test_two_workers_answer_as_threads_do_and_one_may_die(timeline, tmp_path, monkeypatch):
    monkeypatch.setattr(engine, "_SECONDS", 60)
    expected = funnel(timeline, SCOPE, QUESTION), lifecycle(timeline, SCOPE, Lifecycle())
    assert len(list(engine._cuts(timeline.shards[0]))) > 2
    with cluster(tmp_path) as (address, workers):
        executor = engine._cluster(address)
        assert funnel(timeline, SCOPE, QUESTION, executor=executor) == expected[0]
        assert lifecycle(timeline, SCOPE, Lifecycle(), executor=executor) == expected[1]
        killer = threading.Timer(0.05, lambda: workers[0].send_signal(signal.SIGKILL))
        killer.start()
        asked = 0
        while workers[0].poll() is None or asked < 3:
            assert funnel(timeline, SCOPE, QUESTION, executor=executor) == expected[0]
            asked += 1
        killer.join()
        assert funnel(timeline, SCOPE, QUESTION, executor=executor) == expected[0]
        executor._client.close()


def test_arrays_travel_as_names_of_files(timeline):
    import pickle

    part = timeline.shards[0].part(100, 5000)
    sent = pickle.dumps(part)
    assert len(sent) < 2000
    back = pickle.loads(sent)
    assert all(np.array_equal(getattr(part, name), getattr(back, name)) for name in Shard.__slots__)
    assert isinstance(part.at + 1, np.ndarray)
    assert not isinstance(part.at + 1, files.Mapped)
    assert not isinstance(part.at[np.array([1, 2])], files.Mapped)
    assert pickle.loads(pickle.dumps(part.at[::3])).tolist() == part.at[::3].tolist()


@pytest.mark.filterwarnings("ignore")
def test_a_scheduler_that_is_not_there(monkeypatch):
    monkeypatch.setattr(engine, "_SECONDS", 1)
    began = time.monotonic()
    with pytest.raises(Unavailable, match="GDP_DASK_SCHEDULER"):
        engine._cluster("tcp://127.0.0.1:9")
    assert time.monotonic() - began < 60


def test_dask_that_is_not_installed(monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(BadSetting, match="dask"):
        engine._cluster("tcp://127.0.0.1:9")
