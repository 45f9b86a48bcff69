"""Reports on a made-up year against the engines a team would otherwise use, on the same events in the same run.

20 million events of a million people for this product, the ClickHouse engine and DuckDB; 5 million for Postgres, a
million for pandas. Everything is asked warm and by turns, ours and theirs, and the ratio is the median of those of the
turns: so it holds on a machine that is busy with other things, too. Answers are compared before they are timed.

`analytics:clickhouse`, `:duckdb`, `:postgres` and `:pandas` run one engine alone; tables are made once and kept.
"""

import statistics
import sys
import time
from typing import Any

from benchmarks import crowd as crowds
from benchmarks import peers
from benchmarks.questions import Answer, ours

EVENTS, SOME, FEW = 20_000_000, 5_000_000, 1_000_000
PEERS = {
    "clickhouse": ("ClickHouse engine (chdb), MergeTree", peers.clickhouse, EVENTS),
    "duckdb": ("DuckDB, window functions", peers.duck, EVENTS),
    "postgres": ("Postgres, covering index", peers.postgres, SOME),
    "pandas": ("pandas", peers.frames, FEW),
}
TURNS, FEWEST, ENOUGH = 7, 3, 6.0
"""Turns of a question: so many, but after three no more than fit into so many seconds."""


def run(peer: str = "") -> list[dict[str, Any]]:
    """Rows with name, value, unit, peer, peer_value, ratio, against one engine or all."""
    found = []
    for name in [peer] if peer else PEERS:
        title, opened, events = PEERS[name]
        mine = ours(crowds.crowd(events).timeline())
        say(f"{title}: {events // 1_000_000} M events")
        with opened(events) as theirs:
            for question, answer in mine.items():
                found.append(turns(f"{question}, {events // 1_000_000} M events", answer, title, theirs[question]))
    return found


def turns(name: str, answer: Answer, peer: str, other: Answer) -> dict[str, Any]:
    """Milliseconds of both, in turns. Raises ValueError where they do not say the same."""
    if answer() != other():
        raise ValueError(f"{name}: {peer} finds something else.")
    taken: list[tuple[float, float]] = []
    began = time.perf_counter()
    while len(taken) < FEWEST or (len(taken) < TURNS and time.perf_counter() - began < ENOUGH):
        taken.append((_milliseconds(answer), _milliseconds(other)))
    value, peer_value = (statistics.median(each) for each in zip(*taken, strict=True))
    ratio = statistics.median(mine / theirs for mine, theirs in taken)
    say(f"  {name}: {value:,.1f} ms against {peer_value:,.1f}, {ratio:.2f}")
    return {"name": name, "value": value, "unit": "ms", "peer": peer, "peer_value": peer_value, "ratio": ratio}


def _milliseconds(answer: Answer) -> float:
    began = time.perf_counter()
    answer()
    return (time.perf_counter() - began) * 1000


def say(text: str) -> None:
    """To whoever waits."""
    print(text, file=sys.stderr, flush=True)
