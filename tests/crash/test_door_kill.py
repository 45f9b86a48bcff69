"""Acknowledged is stored, whatever is killed: the door, Postgres, both, in any order and under load.

Each check is also run against a door that is wrong on purpose, and must fail there.
"""

import os
import random
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from gdp_core import vault
from gdp_core.settings import settings
from tests.crash.rig import Rig, Sender
from tests.door import ENCRYPTION_KEYS

LOCK_SECONDS = 0.5  # on a busy machine a process waits long for its turn


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    """A Postgres and a source."""
    folder = tmp_path_factory.mktemp("crash")
    for parent in (folder, *folder.parents):  # Postgres may run as another user
        if parent == Path("/tmp"):
            break
        parent.chmod(0o755)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GDP_ENCRYPTION_KEYS", ENCRYPTION_KEYS)
        settings.cache_clear()
        vault._keyring.cache_clear()
        rig = Rig(folder)
    settings.cache_clear()
    vault._keyring.cache_clear()
    yield rig
    rig.close()


@pytest.fixture
def rig(cluster: Rig) -> Iterator[Rig]:
    """The same with nothing in it and no door."""
    yield cluster
    cluster.reset()


def kill_the_door(rig: Rig, *, locked: bool, mutant: str | None = None) -> None:
    if locked:
        with rig.locked_inbox(LOCK_SECONDS):
            assert rig.stop_door(signal.SIGKILL) == -signal.SIGKILL
    else:
        assert rig.stop_door(signal.SIGKILL) == -signal.SIGKILL
    rig.start_door(mutant)


def kill_postgres(rig: Rig, *, locked: bool, mutant: str | None = None) -> None:
    if locked:
        with rig.locked_inbox(LOCK_SECONDS):
            rig.kill_postgres()
    else:
        rig.kill_postgres()
    rig.start_postgres()
    assert rig.door
    assert rig.door.poll() is None, "the door must live through it"


def lost(rig: Rig, sender: Sender) -> set[int]:
    """What was acknowledged and is not there, once the door has closed in order. The ledger knows what is there."""
    assert rig.stop_door(signal.SIGTERM) == 0
    stored = rig.stored()
    assert sum(stored.values()) == rig.posted()
    return sender.acked - set(stored)


def crash(rig: Rig, kills: list[tuple[object, bool]], mutant: str | None = None) -> set[int]:
    """Send, kill again and again, and return what was lost."""
    rig.start_door(mutant)
    with Sender(rig) as sender:
        sender.wait_for(200)
        for kill, locked in kills:
            kill(rig, locked=locked, mutant=mutant)  # type: ignore[operator]
            sender.wait_for(100)
    assert set(sender.statuses) <= {200, 503}
    return lost(rig, sender)


def test_a_few_kills(rig):
    assert crash(rig, [(kill_the_door, True), (kill_postgres, False), (kill_postgres, True)]) == set()


@pytest.mark.heavy
def test_many_kills(rig):
    kills = [(kill, locked) for kill in (kill_the_door, kill_postgres) for locked in (True, False)] * 6
    random.Random(7).shuffle(kills)
    assert len(kills) >= 20
    assert crash(rig, kills) == set()


def test_the_door_that_answers_first_is_caught(rig):
    assert crash(rig, [(kill_the_door, True)] * 2, "ack_before_commit")


def test_the_door_that_does_not_wait_for_the_disk_is_caught(rig):
    assert crash(rig, [(kill_postgres, False)] * 2, "asynchronous_commit")


def test_a_restart_loses_nothing_and_is_quick(rig):
    restarts(rig, 2)


@pytest.mark.heavy
def test_ten_rolling_restarts(rig):
    restarts(rig, 10)


def restarts(rig: Rig, times: int) -> None:
    rig.start_door()
    with Sender(rig, retry=True) as sender:
        for _ in range(times):
            sender.wait_for(100)
            began = time.monotonic()
            assert rig.stop_door(signal.SIGTERM) == 0
            assert time.monotonic() - began < 25
            rig.start_door()
        sender.wait_for(100)
    assert set(sender.statuses) <= {200, 503}
    assert lost(rig, sender) == set()
    assert sender.acked == set(range(len(sender.acked))) or len(set(range(max(sender.acked))) - sender.acked) <= 16


def test_a_frozen_postgres_costs_no_memory_and_no_truth(rig):
    frozen(rig, 300, connections=200)


@pytest.mark.heavy
def test_a_frozen_postgres_and_twenty_thousand_requests(rig):
    frozen(rig, 20_000, connections=900)


def frozen(rig: Rig, requests: int, connections: int) -> None:
    """Every request that meets a frozen server is told to come back within two seconds or so; then all is well."""
    rig.start_door()
    assert rig.door
    door = psutil.Process(rig.door.pid)
    with Sender(rig, connections=connections, padding=4_000) as sender:
        sender.wait_for(500)
        before = door.memory_info().rss
        sender.slowest = 0.0
        rig.freeze_postgres()
        try:
            acked = len(sender.acked)
            sender.wait_until(lambda: sender.statuses[503] >= requests, patience=240)
            grown = door.memory_info().rss - before
            assert len(sender.acked) - acked <= connections, (
                "what had been committed may still be answered, nothing else"
            )
        finally:
            rig.thaw_postgres()
        slowest = sender.slowest
        sender.wait_for(500)
    assert grown < 150 * 1024 * 1024
    assert slowest < 8  # a look-up and a COMMIT that both wait in vain, on a machine that is busy
    assert set(sender.statuses) == {200, 503}
    assert rig.door.poll() is None
    assert lost(rig, sender) == set()


@pytest.mark.heavy
def test_a_monkey_that_stops_postgres(rig):
    """Down for up to three seconds, again and again: no exit, no lie, and back in time."""
    chance = random.Random(11)
    rig.start_door()
    with Sender(rig) as sender:
        for _ in range(8):
            sender.wait_for(200)
            rig.kill_postgres()
            time.sleep(chance.uniform(0, 3))
            rig.start_postgres()
            began, acked = time.monotonic(), len(sender.acked)
            sender.wait_until(lambda acked=acked: len(sender.acked) > acked)
            assert time.monotonic() - began < 3
    assert rig.door
    assert rig.door.poll() is None
    assert set(sender.statuses) <= {200, 503}
    assert lost(rig, sender) == set()


@pytest.mark.heavy
def test_a_full_disk(rig, tmp_path):
    """The partition lies on a few megabytes that fill up: refusals, then all is well again when there is room."""
    disk = tmp_path / "disk"
    disk.mkdir()
    if os.geteuid() != 0 or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=6m", "tmpfs", disk]).returncode:
        pytest.skip("needs the right to mount a small file system")
    try:
        for parent in (tmp_path, *list(tmp_path.parents)[:-2]):
            parent.chmod(0o755)
        home = rig.postgres.cluster.stat()
        (disk / "space").mkdir()
        os.chown(disk / "space", home.st_uid, home.st_gid)
        move_inbox(rig, f"CREATE TABLESPACE small LOCATION '{disk}/space'", "small")
        rig.start_door()
        with Sender(rig, padding=1_400) as sender:
            sender.wait_until(lambda: sender.statuses[503] >= 100)
            subprocess.run(["mount", "-o", "remount,size=200m", disk], check=True)
            sender.wait_for(300)
        assert set(sender.statuses) == {200, 503}
        assert rig.door
        assert rig.door.poll() is None
        assert lost(rig, sender) == set()
    finally:
        rig.reset()
        move_inbox(rig, "SELECT", "pg_default")
        with rig.admin() as connection:
            connection.execute("DROP TABLESPACE IF EXISTS small")
        subprocess.run(["umount", disk], check=True)


def move_inbox(rig: Rig, first: str, tablespace: str) -> None:
    with rig.admin() as connection:
        connection.execute(first)
        for (name,) in connection.execute("SELECT name FROM partition_list('inbox')").fetchall():
            connection.execute(f"ALTER TABLE part.{name} SET TABLESPACE {tablespace}")
