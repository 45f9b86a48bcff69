"""Reports on a made-up year against the engines a team would otherwise use, on the same events in the same run.

20 million events of a million people: the ClickHouse engine (chdb, MergeTree sorted by event, person, time) and DuckDB;
Postgres with a covering index on the first 5 million of another crowd, pandas on one of a million. Each is asked warm,
the median of several times. Answers are compared before they are timed.
"""

import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import duckdb
import pandas as pd
import psycopg

from benchmarks import crowd as crowds
from benchmarks.crowd import START
from benchmarks.rig import row
from gdp_core.analytics.funnel.question import FunnelQuestion, Step
from gdp_core.analytics.funnel.report import funnel
from gdp_core.analytics.lifecycle import Lifecycle, lifecycle
from gdp_core.analytics.retention import Retention, retention
from gdp_core.analytics.scope import Scope
from gdp_core.analytics.trends import Trend, trend
from gdp_core.analytics.window import Window
from gdp_core.timeline.arrays import Timeline
from gdp_core.timeline.matching import Match

EVENTS, SOME, FEW = 20_000_000, 5_000_000, 1_000_000
GROWTH = (1_000_000, 5_000_000, 20_000_000, 100_000_000)
REPEATS = 7
WINDOW = 30 * 86_400_000_000
THREE = ("signup", "product_viewed", "purchase")
SIX = ("session_started", "search", "product_viewed", "cart_added", "checkout_started", "purchase")
SCOPE = Scope(UUID(int=1), "UTC", "USD", date(2025, 1, 1), date(2026, 1, 1), datetime(2026, 1, 1, tzinfo=UTC), "none")

Answer = Callable[[], Any]


def run() -> list[dict[str, Any]]:
    """Rows with name, value, unit, peer, peer_value, ratio."""
    return [*_against_columns(), *_against_postgres(), *_against_pandas(), *_growth()]


def ours(timeline: Timeline) -> dict[str, Answer]:
    """The reports that are measured, each returning what the peers' queries do."""

    def steps(names: tuple[str, ...]) -> list[int]:
        asked = FunnelQuestion(tuple(Step(Match((name,))) for name in names), Window(30, "d"))
        return [step.people for step in funnel(timeline, SCOPE, asked).steps]

    def kept() -> dict[tuple[date, int], int]:
        found = retention(timeline, SCOPE, Retention(cohort="week", intervals=12))
        return {
            (cohort.start, number): people
            for cohort in found.triangles[0].cohorts
            for number, people in enumerate(cohort.returned)
            if number and people
        }

    def lives() -> list[tuple[int, int, int]]:
        found = lifecycle(timeline, SCOPE, Lifecycle(interval="week"))
        return [(point.new, point.returning, point.resurrecting) for point in found.points if point.active]

    def days() -> list[float | None]:
        return [people for people in trend(timeline, SCOPE, Trend(measure="people")).lines[0].values if people]

    return {
        "3-step funnel, 30 days": lambda: steps(THREE),
        "6-step funnel, 30 days": lambda: steps(SIX),
        "weekly retention": kept,
        "weekly lifecycle": lives,
        "unique people by day": days,
    }


# -------------------------------------------------------------------------------------------------- column stores


def _against_columns() -> list[dict[str, Any]]:
    mine = ours(crowds.crowd(EVENTS).timeline())
    path = crowds.parquet(EVENTS)
    found = []
    with tempfile.TemporaryDirectory(dir=crowds.FOLDER) as folder:
        theirs = clickhouse(path, Path(folder))
        ducks = duck(path)
        for name, answer in mine.items():
            assert answer() == theirs[name](), name
            value = _median(answer)
            found.append(
                row(f"{name}, 20 M events", value, "ms", "ClickHouse engine, MergeTree", _median(theirs[name]))
            )
            if name in ducks:
                assert answer() == ducks[name](), name
                found.append(row(f"{name}, 20 M events", value, "ms", "DuckDB SQL", _median(ducks[name])))
    return found


def clickhouse(path: Path, folder: Path) -> dict[str, Answer]:
    """The same questions to chdb, each in the form that was quickest."""
    from chdb import session

    store = session.Session(str(folder / "chdb"))
    store.query(
        "CREATE TABLE ev (person UInt32, ts UInt64, event LowCardinality(String), source LowCardinality(Nullable(String)))"
        " ENGINE = MergeTree ORDER BY (event, person, ts)"
    )
    store.query(f"INSERT INTO ev SELECT person, ts, event, source FROM file('{path}', Parquet)")
    store.query("OPTIMIZE TABLE ev FINAL")

    def rows(query: str) -> list[list[int]]:
        text = str(store.query(query, "TSV"))
        return [list(map(int, line.split("\t"))) for line in text.splitlines()]

    def steps(names: tuple[str, ...]) -> list[int]:
        listed = ", ".join(f"event = '{name}'" for name in names)
        found = dict(
            rows(
                f"SELECT level, count() FROM (SELECT person, windowFunnel({WINDOW})(ts, {listed}) AS level FROM ev"
                f" WHERE event IN {names} AND ts >= {START} GROUP BY person) WHERE level > 0 GROUP BY level"
            )
        )
        return [sum(count for level, count in found.items() if level > number) for number in range(len(names))]

    week = f"intDiv(ts - {START - 2 * 86_400_000_000}, {7 * 86_400_000_000})"  # weeks begin on Monday 2024-12-30

    def kept() -> dict[tuple[date, int], int]:
        found = rows(
            f"SELECT c, w - c, count() FROM (SELECT min({week}) AS c, groupUniqArray({week}) AS ws FROM ev GROUP BY person)"
            " ARRAY JOIN ws AS w WHERE w - c BETWEEN 1 AND 12 GROUP BY 1, 2"
        )
        return {(date.fromordinal(_MONDAY + 7 * cohort), number): people for cohort, number, people in found}

    def lives() -> list[tuple[int, int, int]]:
        found = rows(
            f"SELECT w, countIf(w = c), countIf(w != c AND has(ws, w - 1)), countIf(w != c AND NOT has(ws, w - 1)) FROM"
            f" (SELECT min({week}) AS c, groupUniqArray({week}) AS ws FROM ev GROUP BY person) ARRAY JOIN ws AS w"
            " GROUP BY w ORDER BY w"
        )
        return [(new, returning, back) for _, new, returning, back in found]

    def days() -> list[float | None]:
        return [
            people
            for _, people in rows(
                f"SELECT intDiv(ts - {START}, 86400000000) AS d, uniqExact(person) FROM ev GROUP BY d ORDER BY d"
            )
        ]

    return {
        "3-step funnel, 30 days": lambda: steps(THREE),
        "6-step funnel, 30 days": lambda: steps(SIX),
        "weekly retention": kept,
        "weekly lifecycle": lives,
        "unique people by day": days,
    }


_MONDAY = date(2024, 12, 30).toordinal()


def chain(names: tuple[str, ...]) -> str:
    """An ordered funnel in window functions: the youngest attempt that can be at each step goes along with the rows."""
    places = " ".join(f"WHEN '{name}' THEN {number}" for number, name in enumerate(names))
    listed = ", ".join(f"'{name}'" for name in names)
    query = f"SELECT person, ts, CASE event {places} END AS step, CASE WHEN event = '{names[0]}' THEN ts END AS t0 FROM ev WHERE event IN ({listed})"
    window = "OVER (PARTITION BY person ORDER BY ts ROWS UNBOUNDED PRECEDING)"
    for number in range(1, len(names)):
        kept = ", ".join(f"t{earlier}" for earlier in range(number))
        query = (
            f"SELECT person, ts, step, {kept}, CASE WHEN step = {number} AND ts - m <= {WINDOW} THEN m END AS t{number}"
            f" FROM (SELECT *, max(t{number - 1}) {window} AS m FROM ({query}) q{number}) r{number}"
        )
    counts = ", ".join(
        f"count(DISTINCT CASE WHEN t{number} IS NOT NULL THEN person END)" for number in range(len(names))
    )
    return f"SELECT {counts} FROM ({query}) q"


def duck(path: Path) -> dict[str, Answer]:
    """The same questions to DuckDB, from a table of its own sorted by event, person and time."""
    connection = duckdb.connect()
    connection.execute(f"CREATE TABLE ev AS SELECT * FROM '{path}' ORDER BY event, person, ts")

    def steps(names: tuple[str, ...]) -> list[int]:
        return list(connection.execute(chain(names)).fetchone() or ())

    def days() -> list[float | None]:
        found = connection.execute(
            f"SELECT (ts - {START}) // 86400000000 AS d, count(DISTINCT person) FROM ev GROUP BY d ORDER BY d"
        ).fetchall()
        return [people for _, people in found]

    return {
        "3-step funnel, 30 days": lambda: steps(THREE),
        "6-step funnel, 30 days": lambda: steps(SIX),
        "unique people by day": days,
    }


# ----------------------------------------------------------------------------------------------- Postgres, pandas


def _against_postgres() -> list[dict[str, Any]]:
    from benchmarks.rig import rig

    mine = ours(crowds.crowd(SOME).timeline())
    found = []
    with rig("segment") as bench, psycopg.connect(bench.admin, autocommit=True) as connection:
        connection.execute("CREATE UNLOGGED TABLE ev (person int, ts bigint, event text, source text)")
        with connection.cursor().copy("COPY ev FROM STDIN") as copy:
            for batch in crowds.crowd(SOME).table().to_batches(max_chunksize=100_000):
                copy.write(batch.to_pandas().to_csv(sep="\t", header=False, index=False, na_rep="\\N"))
        connection.execute("CREATE INDEX ON ev (event, person, ts)")
        connection.execute("VACUUM ANALYZE ev")
        connection.execute("SET work_mem = '1GB'")
        for name, steps in (("3-step funnel, 30 days", THREE), ("6-step funnel, 30 days", SIX)):

            def answer(query: str = chain(steps)) -> list[int]:
                return list(connection.execute(query.encode()).fetchone() or ())

            assert mine[name]() == answer(), name
            found.append(
                row(f"{name}, 5 M events", _median(mine[name]), "ms", "Postgres, covering index", _median(answer, 3))
            )
    return found


def _against_pandas() -> list[dict[str, Any]]:
    mine = ours(crowds.crowd(FEW).timeline())
    events = crowds.crowd(FEW).table().to_pandas()

    def answer() -> list[int]:
        left = (
            events[events["event"] == THREE[0]][["person", "ts"]].assign(t0=lambda frame: frame["ts"]).sort_values("ts")
        )
        counts = [left["person"].nunique()]
        for name in THREE[1:]:
            step = events[events["event"] == name][["person", "ts"]].sort_values("ts")
            left = pd.merge_asof(step, left, on="ts", by="person", allow_exact_matches=False).dropna()
            left = left[left["ts"] - left["t0"] <= WINDOW]
            counts.append(left["person"].nunique())
        return counts

    assert mine["3-step funnel, 30 days"]() == answer()
    return [
        row(
            "3-step funnel, 30 days, 1 M events",
            _median(mine["3-step funnel, 30 days"]),
            "ms",
            "pandas",
            _median(answer, 3),
        )
    ]


# ---------------------------------------------------------------------------------------------------------- growth


def _growth() -> list[dict[str, Any]]:
    """Time and peak memory of both funnels in a process of its own for each size."""
    found = []
    for events in GROWTH:
        crowds.crowd(events)
        code = f"from benchmarks.analytics import alone; alone({events})"
        said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
        three, six, peak = map(float, said.split())
        size = f"{events // 1_000_000} M events"
        found += [
            row(f"3-step funnel, {size}", three, "ms", None, None),
            row(f"6-step funnel, {size}", six, "ms", None, None),
            row(f"peak resident memory of a process with funnels, {size}", peak, "MiB", None, None),
        ]
    return found


def alone(events: int) -> None:
    """Print the medians of both funnels (ms) and the peak of this process's memory (MiB)."""
    mine = ours(crowds.crowd(events).timeline())
    times = [_median(mine[name]) for name in ("3-step funnel, 30 days", "6-step funnel, 30 days")]
    print(*times, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


def _median(answer: Answer, repeats: int = REPEATS) -> float:
    """Milliseconds, warm."""
    answer()
    taken = []
    for _ in range(repeats):
        began = time.perf_counter()
        answer()
        taken.append((time.perf_counter() - began) * 1000)
    return statistics.median(taken)
