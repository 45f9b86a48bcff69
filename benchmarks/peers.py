"""The engines a team would otherwise use, asked the same questions of the same events.

Each keeps its table beside the crowd, made once and sorted or indexed for these questions; each question is asked in the
form that was quickest there. Postgres and pandas get smaller crowds: they would take minutes.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import duckdb
import pandas as pd
import psycopg
import pyarrow.parquet as pq

from benchmarks import crowd as crowds
from benchmarks import rules
from benchmarks.crowd import FOLDER, START
from benchmarks.questions import (
    AT,
    COLUMNS,
    DAY,
    FEATURES,
    FIRST_MONDAY,
    FUNNEL_3,
    FUNNEL_6,
    FUNNELS,
    LIFECYCLE,
    REFRESH,
    RETENTION,
    TREND,
    WINDOW,
    Answer,
    Told,
)
from jobs.postgres import running

Rows = list[tuple[int, ...]]


# ------------------------------------------------------------------------------------------------------ ClickHouse


@contextmanager
def clickhouse(events: int) -> Iterator[dict[str, Answer]]:
    """chdb, a MergeTree sorted by event, person, time."""
    from chdb import session

    store = session.Session(str(FOLDER / f"clickhouse-{events}"))
    if str(store.query("EXISTS TABLE ev", "TSV")).strip() == "0":
        store.query(
            "CREATE TABLE making (person UInt32, ts UInt64, event LowCardinality(String),"
            " source LowCardinality(Nullable(String))) ENGINE = MergeTree ORDER BY (event, person, ts)"
        )
        store.query(
            f"INSERT INTO making SELECT person, ts, event, source FROM file('{crowds.parquet(events)}', Parquet)"
        )
        store.query("OPTIMIZE TABLE making FINAL")
        store.query("RENAME TABLE making TO ev")

    if str(store.query("EXISTS TABLE people", "TSV")).strip() == "0":
        store.query(
            "CREATE TABLE naming (person UInt32, plan LowCardinality(String)) ENGINE = MergeTree ORDER BY person"
        )
        store.query(f"INSERT INTO naming SELECT person, plan FROM file('{crowds.people_parquet(events)}', Parquet)")
        store.query("RENAME TABLE naming TO people")

    def rows(query: str) -> Rows:
        return [tuple(map(int, line.split("\t"))) for line in str(store.query(query, "TSV")).splitlines()]

    def steps(names: tuple[str, ...]) -> list[int]:
        listed = ", ".join(f"event = '{name}'" for name in names)
        found = rows(
            f"SELECT level, count() FROM (SELECT person, windowFunnel({WINDOW})(ts, {listed}) AS level FROM ev"
            f" WHERE event IN {names} AND ts >= {START} GROUP BY person) WHERE level > 0 GROUP BY level"
        )
        return [sum(count for level, count in found if level > number) for number in range(len(names))]

    bit = f"bitShiftLeft(toUInt64(1), intDiv(ts - {FIRST_MONDAY}, {7 * DAY}))"  # a year's weeks fit into a word
    weeks = (
        f"(SELECT bitPositionsToArray(m) AS ws, ws[1] AS c, count() AS n FROM (SELECT groupBitOr({bit}) AS m FROM ev"
        " GROUP BY person) GROUP BY m) ARRAY JOIN ws AS w"
    )

    def kept() -> dict[tuple[int, int], int]:
        found = rows(f"SELECT c, w - c, sum(n) FROM {weeks} WHERE w - c BETWEEN 1 AND {COLUMNS} GROUP BY 1, 2")
        return {(cohort, number): people for cohort, number, people in found}

    def lives() -> Rows:
        return rows(
            "SELECT sumIf(n, w = c), sumIf(n, w != c AND has(ws, w - 1)), sumIf(n, w != c AND NOT has(ws, w - 1))"
            f" FROM {weeks} GROUP BY w ORDER BY w"
        )

    def feature(told: Told) -> str:
        holds = f"ts >= {told.since}" + (f" AND event = '{told.event}'" if told.event else "")
        if told.by == "count":
            return f"countIf({holds})"
        if told.by == "days":
            return f"uniqExactIf(toUInt16(intDiv(ts, {DAY})), {holds})"
        return f"intDiv(greatest(maxIf(ts, {holds}), {START}) - {START}, 1000)"

    per_person = ", ".join(f"{feature(told)} AS f{number}" for number, told in enumerate(FEATURES))
    summed = ", ".join(f"sum(f{number})" for number in range(len(FEATURES)))

    def features() -> list[int]:
        return list(rows(f"SELECT {summed} FROM (SELECT {per_person} FROM ev WHERE ts < {AT} GROUP BY person)")[0])

    def days() -> list[int]:
        each = f"(SELECT intDiv(ts, {DAY}) AS d, person FROM ev GROUP BY d, person)"
        return [people for _, people in rows(f"SELECT d, count() FROM {each} GROUP BY d ORDER BY d")]

    try:
        yield {
            **{name: lambda names=names: steps(names) for name, names in FUNNELS.items()},
            RETENTION: kept,
            LIFECYCLE: lives,
            REFRESH: features,
            TREND: days,
            **rules.theirs(rows, "DIV"),
        }
    finally:
        store.close()


# ------------------------------------------------------------------------------------------------------- SQL


class Ask:
    """Runs a query of one engine."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    def __call__(self, query: str) -> Rows:
        return self._connection.execute(query).fetchall()


def chain(names: tuple[str, ...]) -> str:
    """An ordered funnel in window functions: the youngest attempt that can be at each step goes along with the rows."""
    places = " ".join(f"WHEN '{name}' THEN {number}" for number, name in enumerate(names))
    listed = ", ".join(f"'{name}'" for name in names)
    query = (
        f"SELECT person, ts, CASE event {places} END AS step, CASE WHEN event = '{names[0]}' THEN ts END AS t0"
        f" FROM ev WHERE event IN ({listed})"
    )
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


def _weeks(over: str) -> str:
    return f"(SELECT DISTINCT person, (ts - {FIRST_MONDAY}) {over} {7 * DAY} AS w FROM ev) weeks"


def _retention(over: str) -> str:
    return (
        "SELECT c, w - c, count(*) FROM (SELECT w, min(w) OVER (PARTITION BY person) AS c FROM"
        f" {_weeks(over)}) q WHERE w - c BETWEEN 1 AND {COLUMNS} GROUP BY 1, 2"
    )


def _lifecycle(over: str) -> str:
    return (
        "SELECT count(*) FILTER (WHERE before IS NULL), count(*) FILTER (WHERE before = w - 1),"
        " count(*) FILTER (WHERE before < w - 1) FROM (SELECT w, lag(w) OVER (PARTITION BY person ORDER BY w) AS before"
        f" FROM {_weeks(over)}) q GROUP BY w ORDER BY w"
    )


def _features(over: str) -> str:
    def feature(told: Told) -> str:
        holds = f"ts >= {told.since}" + (f" AND event = '{told.event}'" if told.event else "")
        if told.by == "count":
            return f"count(*) FILTER (WHERE {holds})"
        if told.by == "days":
            return f"count(DISTINCT CASE WHEN {holds} THEN ts {over} {DAY} END)"
        return f"(max(ts) FILTER (WHERE {holds}) - {START}) {over} 1000"

    told = ", ".join(f"{feature(one)} AS f{number}" for number, one in enumerate(FEATURES))
    summed = ", ".join(f"sum(f{number})" for number in range(len(FEATURES)))
    return f"SELECT {summed} FROM (SELECT {told} FROM ev WHERE ts < {AT} GROUP BY person) q"


def _days(over: str) -> str:
    return f"SELECT count(DISTINCT person) FROM ev GROUP BY ts {over} {DAY} ORDER BY ts {over} {DAY}"


def _sql(ask: Ask, over: str) -> dict[str, Answer]:
    """The six questions in SQL; `over` divides integers."""

    def kept() -> dict[tuple[int, int], int]:
        return {(cohort, number): people for cohort, number, people in ask(_retention(over))}

    return {
        **{name: lambda names=names: list(ask(chain(names))[0]) for name, names in FUNNELS.items()},
        RETENTION: kept,
        LIFECYCLE: lambda: ask(_lifecycle(over)),
        REFRESH: lambda: list(map(int, ask(_features(over))[0])),
        TREND: lambda: [people for (people,) in ask(_days(over))],
        **rules.theirs(ask, over),
    }


@contextmanager
def duck(events: int) -> Iterator[dict[str, Answer]]:
    """DuckDB, a table of its own sorted by event, person and time."""
    path = FOLDER / f"duckdb-{events}"
    if not path.exists():
        making = path.with_suffix(".making")
        making.unlink(missing_ok=True)
        with duckdb.connect(making) as connection:
            connection.execute(
                f"CREATE TABLE ev AS SELECT * FROM '{crowds.parquet(events)}' ORDER BY event, person, ts"
            )
        making.rename(path)
    with duckdb.connect(path, read_only=True) as connection:
        connection.execute(f"CREATE TEMPORARY VIEW people AS SELECT * FROM '{crowds.people_parquet(events)}'")
        yield _sql(Ask(connection), "//")


@contextmanager
def postgres(events: int) -> Iterator[dict[str, Answer]]:
    """PostgreSQL, a table with a covering index."""
    home = FOLDER / "postgres"
    home.mkdir(parents=True, exist_ok=True)
    with running(home) as urls, psycopg.connect(urls.admin_url, autocommit=True) as connection:
        table = f"ev_{events}"
        if not connection.execute("SELECT to_regclass(%s)", (table,)).fetchone()[0]:
            with connection.transaction():
                connection.execute(f"CREATE TABLE {table} (person int, ts bigint, event text, source text)")
                with connection.cursor().copy(f"COPY {table} FROM STDIN") as copy:
                    for batch in crowds.crowd(events).table().to_batches(max_chunksize=100_000):
                        copy.write(batch.to_pandas().to_csv(sep="\t", header=False, index=False, na_rep="\\N"))
                connection.execute(f"CREATE INDEX ON {table} (event, person, ts)")
            connection.execute(f"VACUUM ANALYZE {table}")
        people = f"people_{events}"
        if not connection.execute("SELECT to_regclass(%s)", (people,)).fetchone()[0]:
            with connection.transaction():
                connection.execute(f"CREATE TABLE {people} (person int PRIMARY KEY, plan text)")
                named = pq.read_table(crowds.people_parquet(events)).to_pandas()
                with connection.cursor().copy(f"COPY {people} FROM STDIN") as copy:
                    copy.write(named.to_csv(sep="\t", header=False, index=False))
            connection.execute(f"VACUUM ANALYZE {people}")
        connection.execute(f"CREATE TEMPORARY VIEW ev AS SELECT * FROM {table}")
        connection.execute(f"CREATE TEMPORARY VIEW people AS SELECT * FROM {people}")
        connection.execute("SET work_mem = '1GB'")
        yield _sql(Ask(connection), "/")


# -------------------------------------------------------------------------------------------------------- pandas


@contextmanager
def frames(events: int) -> Iterator[dict[str, Answer]]:
    """A data frame in memory, sorted by person and time."""
    ev = crowds.crowd(events).table().to_pandas()

    def steps(names: tuple[str, ...]) -> list[int]:
        one = ev.loc[ev["event"] == names[0], ["person", "ts"]]
        left = one.assign(t0=one["ts"]).sort_values("ts")
        counts = [left["person"].nunique()]
        for name in names[1:]:
            step = ev.loc[ev["event"] == name, ["person", "ts"]].sort_values("ts")
            step = step.assign(at=step["ts"])
            left = pd.merge_asof(left, step, on="ts", by="person", allow_exact_matches=False, direction="forward")
            left = left[left["at"] - left["t0"] <= WINDOW]
            left = left.assign(ts=left["at"].astype("int64")).drop(columns="at").sort_values("ts")
            counts.append(left["person"].nunique())
        return counts

    def weeks() -> pd.DataFrame:
        all_weeks = pd.DataFrame({"person": ev["person"], "w": (ev["ts"] - FIRST_MONDAY) // (7 * DAY)})
        return all_weeks.drop_duplicates()

    def kept() -> dict[tuple[int, int], int]:
        found = weeks()
        cohort = found.groupby("person")["w"].transform("min")
        counts = pd.DataFrame({"c": cohort, "n": found["w"] - cohort}).value_counts()
        return {key: int(people) for key, people in counts.items() if 1 <= key[1] <= COLUMNS}

    def lives() -> Rows:
        found = weeks()
        before = found["w"] - found.groupby("person")["w"].shift()
        states = {"new": before.isna(), "returning": before == 1, "resurrecting": before > 1}
        counts = pd.DataFrame({"w": found["w"], **states}).groupby("w").sum()
        return [tuple(map(int, row)) for row in counts.itertuples(index=False)]

    def features() -> list[int]:
        known = ev[ev["ts"] < AT]
        return [feature(known, told) for told in FEATURES]

    def feature(known: pd.DataFrame, told: Told) -> int:
        rows = known[known["ts"] >= told.since]
        rows = rows[rows["event"] == told.event] if told.event else rows
        if told.by == "count":
            return int(rows.groupby("person").size().sum())
        if told.by == "days":
            days = pd.DataFrame({"person": rows["person"], "day": rows["ts"] // DAY}).drop_duplicates()
            return int(days.groupby("person").size().sum())
        return int(((rows.groupby("person")["ts"].max() - START) // 1000).sum())

    def days() -> list[int]:
        return [int(people) for people in ev.groupby(ev["ts"] // DAY)["person"].nunique()]

    yield {
        FUNNEL_3: lambda: steps(FUNNELS[FUNNEL_3]),
        FUNNEL_6: lambda: steps(FUNNELS[FUNNEL_6]),
        RETENTION: kept,
        LIFECYCLE: lives,
        REFRESH: features,
        TREND: days,
    }
