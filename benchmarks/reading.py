"""How fast people are found among a million, and how fast the timeline of a person with 100,000 events is read.

The peer is a look-up of one person by primary key through the same pool.
"""

import statistics
import time
from collections.abc import Callable
from typing import Any

import psycopg
from sqlmodel import Session

from benchmarks.rig import Rig, rig, row
from gdp_core import clock
from gdp_core.analytics import people_list, timeline
from gdp_core.db import one

PEOPLE = 1_000_000
EVENTS = 100_000
REPEATS = 15

_FILL = """
INSERT INTO person (id, workspace_id, name, email, stage, status, source, tags, metadata, is_known, is_internal,
    identifiers, active_days, core_actions, total_events, total_spent_micros, lifetime_value_micros, mrr_micros,
    first_seen_at, last_seen_at)
SELECT md5('p' || n)::uuid, %(ws)s, 'Ann' || n %% 5000 || ' Lee' || n %% 700, 'ann' || n || '@mail' || n %% 50 || '.example',
    (ARRAY['lead', 'trial', 'active', 'dormant'])[n %% 4 + 1], 'active', 'organic', '{}', '{}', true, false, 2, 1, 0, 3,
    0, 0, 0, now() - n * interval '20 seconds', now() - n * interval '7 seconds' FROM generate_series(1, %(people)s) n;
INSERT INTO person_token (workspace_id, token, person_id)
SELECT %(ws)s, t, md5('p' || n)::uuid FROM generate_series(1, %(people)s) n, LATERAL unnest(ARRAY['ann' || n %% 5000,
    'lee' || n %% 700, 'ann' || n || '@mail' || n %% 50 || '.example', 'ann' || n, 'user_' || n]) t ON CONFLICT DO NOTHING;
INSERT INTO actor (id, workspace_id, namespace, external_id, cluster_id, person_id, is_primary, personless, event_count,
    first_seen_at, last_seen_at, applied_at)
SELECT md5('p1')::uuid, %(ws)s, 'user', 'user_1', md5('p1')::uuid, md5('p1')::uuid, true, false, %(events)s, now(),
    now(), now();
INSERT INTO event (id, workspace_id, occurred_at, actor_id, name, type, source, source_id, source_event_id, is_machine,
    properties, metadata, received_at, applied_at)
SELECT gen_random_uuid(), %(ws)s, now() - n * interval '250 seconds', md5('p1')::uuid, 'letter_sent', 'CUSTOM', 'app',
    %(source)s, 'e' || n, false, '{"plan": "growth"}', '{}', now(), now() FROM generate_series(1, %(events)s) n;
"""


def run() -> list[dict[str, Any]]:
    """Rows with name, value, unit, peer, peer_value, ratio."""
    with rig("segment") as bench:
        person = _fill(bench)
        now = clock.now()
        by_key = _median(bench, lambda session: one(session, "SELECT name FROM person WHERE id = :id", id=person))
        searches = {
            "a rare word": "ann777777",
            "a common word": "lee12",
            "two words": "ann123 lee3",
            "the start of everybody": "ann",
            "an e-mail address": "ann500000@mail0.example",
        }
        found = [
            row(
                f"search among {PEOPLE:,} people: {name}",
                _median(
                    bench,
                    lambda session, words=words: people_list.read_page(session, people_list.Filter(words=words), now),
                ),
                "ms",
                "one person by key",
                by_key,
            )
            for name, words in searches.items()
        ]
        newest = _median(bench, lambda session: timeline.read_page(session, person, [person], timeline.Cut()))
        return [*found, row(f"timeline of a person with {EVENTS:,} events", newest, "ms", "one person by key", by_key)]


def _fill(bench: Rig) -> Any:
    values = {"ws": bench.workspace_id, "people": PEOPLE, "events": EVENTS, "source": bench.source_id}
    with psycopg.connect(bench.admin, autocommit=True, cursor_factory=psycopg.ClientCursor) as admin:
        for months in range(12):
            admin.execute(f"SELECT partition_ensure('event', now() - interval '{months} months')")
        for statement in _FILL.strip().split(";\n"):
            if statement.strip():
                admin.execute(statement, values)
        admin.execute("VACUUM ANALYZE person")
        admin.execute("VACUUM ANALYZE person_token")
        admin.execute("VACUUM ANALYZE event")
        found = admin.execute("SELECT md5('p1')::uuid").fetchone()
    return found[0] if found else None


def _median(bench: Rig, read: Callable[[Session], Any]) -> float:
    """Milliseconds of a read in a transaction of its own, the first two not counted."""
    times = []
    for _ in range(REPEATS + 2):
        begun = time.perf_counter()
        with bench.web.transaction(bench.workspace_id, read_only=True) as session:
            read(session)
        times.append((time.perf_counter() - begun) * 1000)
    return statistics.median(times[2:])
