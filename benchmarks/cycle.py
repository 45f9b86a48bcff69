"""How long one evaluation of fifty segments takes with everything that is written of it: a million people, 20 M events.

Each turn moves the clock on to where five thousand further events have happened, as ten seconds at 500 events a second
would bring, so that people enter and exit: first alone, then beside a whole product whose door is sent as many. The first
load stands apart, as do four segments of almost everybody, which bring the members to more than five million. Without peers: no
other engine keeps members and a log of them.
"""

import statistics
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import crowd as crowds
from benchmarks.analytics import say
from benchmarks.busy import A_SECOND, busy
from benchmarks.questions import AT
from benchmarks.rig import Rig, rig
from benchmarks.rules import Named, ever, segments
from gdp_core.accounts.roles import Principal
from gdp_core.analytics.calendar import instant
from gdp_core.db import one
from gdp_core.db import run as execute
from gdp_core.segments import keeping
from gdp_core.segments.cycle import run_cycle
from gdp_core.segments.rules import Rule
from gdp_core.timeline.arrays import Timeline

EVENTS = 20_000_000
TURNS = 12
_EVENTS_A_TURN = 5_000
_ALMOST_EVERYBODY = ("page_view", "session_started", "product_viewed", "search")


def run() -> list[dict[str, Any]]:
    """Rows with name, value and unit; there is no peer."""
    with rig("segment") as rigged, tempfile.TemporaryDirectory(prefix="gdp-bench-") as folder:
        timeline = _timeline(rigged)
        _keep(rigged, {f"Segment {number}": named.rule for number, named in enumerate(segments())})
        found = _load(rigged, timeline, Path(folder), instant(AT), "first load of fifty segments")
        places = _moments(timeline)
        found += _cycles(rigged, timeline, Path(folder), places[:TURNS], "one cycle of fifty segments")
        with busy() as load:
            beside = f"one cycle of fifty segments beside {A_SECOND} events/s"
            found += _cycles(rigged, timeline, Path(folder), places[TURNS:], beside)
        say(f"  the door beside it: 99 of 100 in {load.slowest:.0f} ms, {load.refused} of {len(load.taken)} refused")
        found.append(_row("requests of 100 events at the door beside it, 99 of 100", load.slowest, "ms"))
        whole = {name: Named((("all", (ever(name, 1),)),)).rule for name in _ALMOST_EVERYBODY}
        _keep(rigged, whole)
        return found + _load(
            rigged, timeline, Path(folder), places[-1], "first load of four segments of almost everybody"
        )


def _keep(rigged: Rig, rules: Mapping[str, Rule]) -> None:
    with rigged.web.transaction(rigged.workspace_id) as session:
        for name, rule in rules.items():
            keeping.create(session, Principal.system(rigged.workspace_id), name, rule, now=instant(AT))


def _moments(timeline: Timeline) -> list[datetime]:
    """The instants of the turns."""
    at = np.sort(timeline.shards[0].at)
    place = int(np.searchsorted(at, AT))
    return [instant(int(at[place + turn * _EVENTS_A_TURN])) for turn in range(1, 2 * TURNS + 1)]


def _cycles(
    rigged: Rig, timeline: Timeline, folder: Path, moments: Sequence[datetime], name: str
) -> list[dict[str, Any]]:
    taken, moved = [], []
    for then in moments:
        began = time.perf_counter()
        done = run_cycle(rigged.worker, rigged.workspace_id, timeline, folder, then)
        taken.append(time.perf_counter() - began)
        moved.append(done.entered + done.exited)
        say(f"  {taken[-1]:.2f} s, {moved[-1]:,} entered or exited, {done.postponed} postponed")
    return [
        _row(f"{name}, entered and exited, median", statistics.median(moved), "people"),
        _row(f"{name}, median", statistics.median(taken), "s"),
        _row(f"{name}, longest", max(taken), "s"),
    ]


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


def _load(rigged: Rig, timeline: Timeline, folder: Path, at: datetime, name: str) -> list[dict[str, Any]]:
    """Until everybody is written: how long, of how many, and the longest cycle, which is what others waited."""
    taken, entered = [], 0
    while True:
        began = time.perf_counter()
        done = run_cycle(rigged.worker, rigged.workspace_id, timeline, folder, at)
        taken.append(time.perf_counter() - began)
        entered += done.entered
        say(f"  {taken[-1]:.1f} s, {done.entered:,} entered, {done.postponed} postponed, {done.failed} failed")
        if not done.postponed:
            return [
                _row(f"{name}, {entered:,} members", sum(taken), "s"),
                _row(f"{name}, longest cycle", max(taken), "s"),
            ]


def _row(name: str, value: float, unit: str) -> dict[str, Any]:
    return {
        "name": f"{name}, 20 M events",
        "value": value,
        "unit": unit,
        "peer": None,
        "peer_value": None,
        "ratio": None,
    }
