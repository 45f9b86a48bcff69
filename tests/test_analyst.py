"""The analyst's real timetable: what was applied is in reports after the next turn, whatever else is being done."""

import threading
from datetime import timedelta

import pytest

from gdp_core import clock
from gdp_core.accounts.roles import Principal
from gdp_core.errors import Unavailable
from gdp_core.lake.connection import Lake
from gdp_core.segments import keeping, membership
from gdp_core.segments.rules import read
from gdp_core.settings import settings
from gdp_core.timeline.store import Store
from jobs import timetable
from jobs.runner import Job, run_job

from .conftest import NOW
from .test_pipeline import batch, delivery, drain, put, track

PROMISED = timedelta(seconds=15)


@pytest.fixture
def lake(database, tmp_path, monkeypatch):
    monkeypatch.setenv("GDP_DATA_DIR", str(tmp_path))
    settings.cache_clear()
    with Lake(database.dsn, str(tmp_path / "lake"), memory="300MB") as opened:
        monkeypatch.setattr(timetable, "lake", lambda: opened)
        yield opened
    settings.cache_clear()


def test_one_turn_of_the_timetable_makes_an_event_countable(database, lake, ws):
    segment = database.source(ws, "segment")
    [follows] = [job for job in timetable.timetable(database.worker) if job.name == "lake"]
    assert follows.every + timedelta(seconds=max(1, int(follows.every.total_seconds()) // 5)) < PROMISED
    put(database, delivery(ws, segment, batch(*(track(message=f"m{n}", user=f"u{n}") for n in range(3)))))
    drain(database, ws)
    assert run_job(database.worker, follows)
    timeline = Store(settings().timeline_folder, ws).open(lake)
    assert (timeline.people, timeline.shards[0].rows + timeline.shards[1].rows) == (3, 3)
    assert timeline.watermark > NOW.timestamp() - 1  # and reports know until when they are complete


def test_the_next_turn_brings_people_into_segments(database, lake, ws):
    segment, rule = database.source(ws, "segment"), {"kind": "performed", "event": {"names": ["letter_sent"]}}
    with database.web.transaction(ws) as session:
        who, given = Principal.system(ws), read({"match": {"kind": "all", "of": [rule]}})
        kept = keeping.create(session, who, "Senders", given, now=NOW)
    put(
        database, delivery(ws, segment, batch(track("letter_sent", "u1", message="m1"), track("x", "u2", message="m2")))
    )
    drain(database, ws)
    warm = threading.Event()
    jobs = {job.name: job for job in timetable.timetable(database.worker, warm.is_set)}
    assert jobs["segments"].prompt
    assert run_job(database.worker, jobs["lake"])
    jobs["segments"].task(clock.now())
    with database.web.transaction(ws) as session:
        assert membership.read_members(session, kept.id) == []  # kernels are being compiled
    warm.set()
    assert run_job(database.worker, jobs["segments"])
    with database.web.transaction(ws) as session:
        assert len(membership.read_members(session, kept.id)) == 1
        assert keeping.read_segment(session, kept.id).people == 1


def test_a_workspace_that_fails_holds_no_other_up(database, lake, monkeypatch):
    spaces = [database.workspace(slug) for slug in ("one", "two", "three")]
    for ws in spaces:
        put(database, delivery(ws, database.source(ws, "segment"), batch(track(message="m1", user="u1"))))
        drain(database, ws)
    follow, failing = timetable.following.follow, timetable._workspaces(database.worker)[0]

    def broken(lake, pool, folder, workspace_id, now):
        if workspace_id == failing:
            raise Unavailable("Its files are gone.")
        return follow(lake, pool, folder, workspace_id, now)

    monkeypatch.setattr(timetable.following, "follow", broken)
    [follows] = [job for job in timetable.timetable(database.worker) if job.name == "lake"]
    assert not run_job(database.worker, follows)
    there = {ws: Store(settings().timeline_folder, ws).is_whole() for ws in spaces}
    assert there == {ws: ws != failing for ws in spaces}


def test_a_job_that_takes_long_holds_the_lake_up_for_no_moment(database):
    stuck, followed, stopping = threading.Event(), threading.Event(), threading.Event()

    def long(now):
        stuck.set()
        assert followed.wait(60)
        stopping.set()
        return {}

    def follow(now):
        assert stuck.wait(60)
        followed.set()
        return {}

    jobs = (Job("long", timedelta(seconds=5), long), Job("lake", timedelta(seconds=5), follow, prompt=True))
    timetable.work(database.worker, jobs, stopping)
    assert followed.is_set()


def test_nothing_goes_on_without_the_lake(database, monkeypatch):
    """The supervisor starts the analyst again when it ends."""

    def dies(pool, job):
        assert job.name != "lake", "dead"

    monkeypatch.setattr(timetable, "run_job", dies)
    jobs = (Job("other", timedelta(seconds=5), dict), Job("lake", timedelta(seconds=5), dict, prompt=True))
    with pytest.raises(AssertionError, match="dead"):
        timetable.work(database.worker, jobs, threading.Event())
