"""How long one evaluation of fifty segments takes with everything that is written of it: a million people, 20 M events.

Each turn moves the clock on to where five thousand further events have happened, as ten seconds at 500 events a second
would bring, so that people enter and exit. The first load of all members stands apart. Without peers: no other engine
keeps members and a log of them.
"""

import statistics
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import crowd as crowds
from benchmarks.analytics import say
from benchmarks.questions import AT
from benchmarks.rig import Rig, rig
from benchmarks.rules import segments
from gdp_core.accounts.roles import Principal
from gdp_core.analytics.calendar import instant
from gdp_core.db import one
from gdp_core.db import run as execute
from gdp_core.segments import keeping
from gdp_core.segments.cycle import run_cycle
from gdp_core.timeline.arrays import Timeline

EVENTS = 20_000_000
TURNS = 12
_EVENTS_A_TURN = 5_000


def run() -> list[dict[str, Any]]:
    """Rows with name, value and unit; there is no peer."""
    with rig("segment") as rigged, tempfile.TemporaryDirectory(prefix="gdp-bench-") as folder:
        timeline = _timeline(rigged)
        now = instant(AT)
        with rigged.web.transaction(rigged.workspace_id) as session:
            for number, named in enumerate(segments()):
                keeping.create(session, Principal.system(rigged.workspace_id), f"Segment {number}", named.rule, now=now)
        found = [_row("first load of fifty segments", *_load(rigged, timeline, Path(folder)))]
        taken, moved = [], []
        at = np.sort(timeline.shards[0].at)
        place = int(np.searchsorted(at, AT))
        for turn in range(1, TURNS + 1):
            then = instant(int(at[place + turn * _EVENTS_A_TURN]))
            began = time.perf_counter()
            done = run_cycle(rigged.worker, rigged.workspace_id, timeline, Path(folder), then)
            taken.append(time.perf_counter() - began)
            moved.append(done.entered + done.exited)
            say(f"  {taken[-1]:.2f} s, {moved[-1]:,} entered or exited, {done.postponed} postponed")
        found.append(_row("entered and exited in a cycle, median", statistics.median(moved), "people"))
        found.append(_row("one cycle of fifty segments, median", statistics.median(taken), "s"))
        found.append(_row("one cycle of fifty segments, longest", max(taken), "s"))
        return found


def _timeline(rigged: Rig) -> Timeline:
    """The crowd, as people of a workspace."""
    people = crowds.crowd(EVENTS).timeline()
    with rigged.worker.transaction(rigged.workspace_id, timeout=600) as session:
        execute(
            session,
            "INSERT INTO actor (id, workspace_id, namespace, external_id, cluster_id, person_id, is_primary, personless,"
            " event_count, applied_at) SELECT id, app_ws(), 'user', n::text, id, id, true, false, 0, now() FROM"
            " (SELECT n, gen_random_uuid() AS id FROM generate_series(1, :people) AS n) given ORDER BY n",
            people=people.people,
        )
        execute(
            session,
            "INSERT INTO person (id, workspace_id, status, tags, metadata, is_known, is_internal, identifiers, active_days,"
            " core_actions, total_events, total_spent_micros, lifetime_value_micros, mrr_micros)"
            " SELECT id, app_ws(), 'active', '{}', '{}', true, false, 1, 0, 0, 0, 0, 0, 0 FROM actor",
        )
        first = one(session, "SELECT min(number) AS number FROM actor").number
    shards = tuple(replace(shard, name="crowd") for shard in people.shards)
    return replace(people, numbers=people.numbers + first, shards=shards)


def _load(rigged: Rig, timeline: Timeline, folder: Path) -> tuple[float, str]:
    """Seconds until everybody is written, and of how many members."""
    began = time.perf_counter()
    entered = 0
    while True:
        done = run_cycle(rigged.worker, rigged.workspace_id, timeline, folder, instant(AT))
        entered += done.entered
        say(f"  {done.seconds:.1f} s, {done.entered:,} entered, {done.postponed} postponed, {done.failed} failed")
        if not done.postponed:
            return time.perf_counter() - began, f"s for {entered:,} members"


def _row(name: str, value: float, unit: str) -> dict[str, Any]:
    return {
        "name": f"{name}, 20 M events",
        "value": value,
        "unit": unit,
        "peer": None,
        "peer_value": None,
        "ratio": None,
    }
