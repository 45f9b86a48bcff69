"""Segments on a made-up year against SQL: fifty of mixed conditions, and what a rule would mean while it is edited.

The same people as `analytics` and the same engines: 20 million events of a million people, 5 million for Postgres. Counts
are compared before anything is timed. A preview at 2 million events of a hundred thousand people has no peer.
"""

import statistics
import time
from typing import Any

from benchmarks import crowd as crowds
from benchmarks.analytics import PEERS, say, turns
from benchmarks.rules import EDITED, PREVIEW, ours

SMALL = 2_000_000
REPEATS = 15


def run(peer: str = "") -> list[dict[str, Any]]:
    """Rows with name, value, unit, peer, peer_value, ratio, against one engine or all."""
    found = []
    for name in [peer] if peer else ("clickhouse", "duckdb", "postgres"):
        title, opened, events = PEERS[name]
        mine = ours(crowds.crowd(events).timeline())
        say(f"{title}: {events // 1_000_000} M events")
        with opened(events) as theirs:
            for question, answer in mine.items():
                found.append(turns(f"{question}, {events // 1_000_000} M events", answer, title, theirs[question]))
    return found if peer else [*found, *_small()]


def _small() -> list[dict[str, Any]]:
    mine = ours(crowds.crowd(SMALL).timeline())
    size = f"{SMALL // 1_000_000} M events"
    return [_alone(f"{question}, {size}", mine[question]) for question in (PREVIEW, EDITED)]


def _alone(name: str, answer: Any) -> dict[str, Any]:
    answer()
    taken = []
    for _ in range(REPEATS):
        began = time.perf_counter()
        answer()
        taken.append((time.perf_counter() - began) * 1000)
    value = statistics.median(taken)
    say(f"  {name}: {value:,.1f} ms")
    return {"name": name, "value": value, "unit": "ms", "peer": None, "peer_value": None, "ratio": None}
