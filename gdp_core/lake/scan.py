"""Reads the lake for timelines: who is who, what each did in order, and further columns. At one version of the lake."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from gdp_core.errors import InvalidInput
from gdp_core.lake.connection import Lake
from gdp_core.lake.tables import ACTOR, EVENT_FIELDS, PERSON, PERSON_FIELDS, current, schema_of, written

_BATCH = 1_000_000  # rows
MOST_VALUES = 20_000_000
MOST_BYTES = 1 << 30


@dataclass(frozen=True, slots=True, eq=False)
class Who:
    """Actors and the people they are: `actors` ascending, `owner` their person's number, `people` ascending.

    Actors of nobody are left out: visitors whose events were sent to count in no profile.
    """

    actors: NDArray[np.int64]
    owner: NDArray[np.int64]
    people: NDArray[np.int64]
    internal: NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """Events in the order of (person, occurred_at, rank of source, id). `row` is the lake's lasting number of each."""

    person: NDArray[np.int64]
    at: NDArray[np.int64]
    code: NDArray[np.uint16]
    flags: NDArray[np.uint8]
    row: NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Coded:
    """Different values, as JSON texts, and their codes; -1 is missing. `key`, a row or number, says whose each code is."""

    key: NDArray[np.int64]
    codes: NDArray[np.int32]
    texts: pa.LargeStringArray


def version(lake: Lake) -> int:
    """The newest version of the lake."""
    with lake.reading() as cursor:
        found = cursor.execute("SELECT max(snapshot_id) FROM lake.snapshots()").fetchone()
    return int(found[0]) if found else 0


def has(lake: Lake, at: int) -> bool:
    """Whether a version can still be read."""
    with lake.reading() as cursor:
        return bool(cursor.execute("SELECT 1 FROM lake.snapshots() WHERE snapshot_id = $1", [at]).fetchone())


def who(lake: Lake, workspace_id: UUID, at: int) -> Who:
    """Who is who at a version."""
    with lake.reading() as cursor:
        actors = _arrays(cursor, f"SELECT number, person FROM ({current(workspace_id, ACTOR, at)}) ORDER BY number")
        people = _arrays(
            cursor, f"SELECT number, is_internal FROM ({current(workspace_id, PERSON, at)}) ORDER BY number"
        )
    counted = np.isin(actors["person"], people["number"])
    return Who(
        actors["number"][counted],
        actors["person"][counted],
        people["number"],
        people["is_internal"].astype(np.bool_),
    )


def names(lake: Lake, workspace_id: UUID, at: int) -> list[str]:
    """The names of events there are, in order."""
    with lake.reading() as cursor:
        found = cursor.execute(f"SELECT DISTINCT name FROM {_at(workspace_id, 'event', at)} ORDER BY name").fetchall()
    return [name for (name,) in found]


def events(
    lake: Lake, workspace_id: UUID, at: int, who: Who, known: Sequence[str], only: NDArray[np.int64] | None = None
) -> Rows:
    """The events of everybody, or of some actors, at a version. `known` are the names by code."""
    actors, owner = (who.actors, who.owner) if only is None else _restricted(who, only)
    with lake.reading() as cursor:
        cursor.register("owners", pa.table({"actor": actors, "person": owner}))
        cursor.register("codes", pa.table({"name": list(known), "code": np.arange(len(known), dtype=np.uint16)}))
        found = _arrays(
            cursor,
            f"""
            SELECT o.person, epoch_us(e.occurred_at) AS at, c.code, e.rowid AS row, (e.is_machine::UTINYINT
                + 2 * (e.source = 'stripe')::UTINYINT + 4 * e.is_weak::UTINYINT)::UTINYINT AS flags
            FROM {_at(workspace_id, "event", at)} JOIN owners o ON o.actor = e.actor JOIN codes c ON c.name = e.name
            ORDER BY o.person, e.occurred_at, e.rank, e.id
            """,
        )
    return Rows(found["person"], found["at"], found["code"], found["flags"], found["row"])


def touched(lake: Lake, workspace_id: UUID, before: int, at: int, was: Who, who: Who, since: int) -> NDArray[np.int64]:
    """The people of now whose events or identifiers changed between two versions. `since`: the watermark at the first."""
    schema = schema_of(workspace_id).removeprefix("lake.")
    with lake.reading() as cursor:
        acted = _arrays(
            cursor,
            f"SELECT DISTINCT actor AS number FROM {_at(workspace_id, 'event', at)} WHERE tx >= $1 AND actor IS NOT NULL",
            [since],
        )
        lost = acted["number"][:0]
        if at > before:  # of no version at all, DuckLake would not say
            lost = _arrays(
                cursor,
                f"SELECT DISTINCT actor AS number FROM ducklake_table_deletions('lake', '{schema}', 'event', $1, $2)"
                " WHERE actor IS NOT NULL",
                [before + 1, at],
            )["number"]
    moved = _moved(was, who)
    actors = np.concatenate([acted["number"], lost, moved])
    return _distinct(np.concatenate([_owner_of(who, actors), _owner_of(was, actors)]))


def _distinct(numbers: NDArray[np.int64]) -> NDArray[np.int64]:
    """Each once, ascending: np.unique hashes whole numbers, which takes twenty times as long as sorting them."""
    found = np.sort(numbers)
    return found[np.append(True, found[1:] != found[:-1])] if len(found) else found


def _moved(was: Who, who: Who) -> NDArray[np.int64]:
    """Actors that have another person than before, new ones too."""
    place = np.searchsorted(was.actors, who.actors)
    place = np.minimum(place, max(0, len(was.actors) - 1))
    same = np.zeros(len(who.actors), np.bool_)
    if len(was.actors):
        same = (was.actors[place] == who.actors) & (was.owner[place] == who.owner)
    gone = was.actors[~np.isin(was.actors, who.actors)]
    return np.concatenate([who.actors[~same], gone])


def _owner_of(who: Who, actors: NDArray[np.int64]) -> NDArray[np.int64]:
    return who.owner[np.isin(who.actors, actors)]


def _restricted(who: Who, only: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    chosen = np.isin(who.owner, only)
    return who.actors[chosen], who.owner[chosen]


def event_column(
    lake: Lake, workspace_id: UUID, at: int, field: str, who: Who, only: NDArray[np.int64] | None = None
) -> Coded:
    """A field of events of everybody or of some people: a column by its name, else a property. Keyed by row number.

    Raises InvalidInput for one whose different values are more than 20 million, or a gigabyte.
    """
    actors, _ = (who.actors, who.owner) if only is None else _restricted(who, only)
    is_column = field in EVENT_FIELDS
    text = f"to_json(e.{field})" if is_column else "json_extract(e.properties, $1)"
    with lake.reading() as cursor:
        cursor.register("owners", pa.table({"actor": actors}))
        return _coded(
            cursor,
            f"SELECT e.rowid AS key, {text} AS value FROM {_at(workspace_id, 'event', at)} SEMI JOIN owners o"
            " ON o.actor = e.actor",
            [] if is_column else [_path(field)],
            field,
        )


def events_known(
    lake: Lake, workspace_id: UUID, at: int, who: Who, only: NDArray[np.int64] | None = None
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(row numbers, ascending, when each was applied in microseconds) of events of everybody or of some people."""
    actors, _ = (who.actors, who.owner) if only is None else _restricted(who, only)
    with lake.reading() as cursor:
        cursor.register("owners", pa.table({"actor": actors}))
        found = _arrays(
            cursor,
            f"SELECT e.rowid AS row, epoch_us(e.applied_at) AS known FROM {_at(workspace_id, 'event', at)}"
            " SEMI JOIN owners o ON o.actor = e.actor ORDER BY 1",
        )
    return found["row"], found["known"]


def person_column(lake: Lake, workspace_id: UUID, at: int, field: str, *, since: int | None = None) -> Coded:
    """A field of people: a column by its name, else a trait. Keyed by the person's number. Instants are microseconds.

    `since`: only of who was written by this transaction or a later one; some of them may be people no more.
    """
    is_column = field in PERSON_FIELDS
    text = "json_extract(traits, $1)"
    if is_column:
        text = f"to_json(epoch_us({field}))" if field.endswith("_at") else f"to_json({field})"
    people = current(workspace_id, PERSON, at) if since is None else written(workspace_id, at, since)
    with lake.reading() as cursor:
        return _coded(
            cursor,
            f"SELECT number AS key, {text} AS value FROM ({people})",
            [] if is_column else [_path(field)],
            field,
        )


def person_whole(
    lake: Lake, workspace_id: UUID, at: int, field: str, *, since: int | None = None
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(numbers of people, what each has) of a column of PERSON_WHOLE, the least of all integers for nothing; `since` as above.

    Numbers ascend.
    """
    people = current(workspace_id, PERSON, at) if since is None else written(workspace_id, at, since)
    told = f"epoch_us({field})" if field.endswith("_at") else field
    with lake.reading() as cursor:
        found = _arrays(
            cursor,
            f"SELECT number, coalesce({told}, -9223372036854775808)::BIGINT AS told FROM ({people}) ORDER BY number",
        )
    return found["number"], found["told"]


def _path(field: str) -> str:
    """A property's place in JSON, as a pointer (RFC 6901): a path would read the name "*" as every property."""
    return "/" + field.replace("~", "~0").replace("/", "~1")


def _coded(cursor: duckdb.DuckDBPyConnection, query: str, given: list[str], field: str) -> Coded:
    keys, parts, size = [np.empty(0, np.int64)], list[pa.DictionaryArray](), 0
    for batch in cursor.execute(query, given).to_arrow_reader(_BATCH):
        texts = batch.column("value").cast(pa.large_string())
        parts.append(pc.if_else(pc.equal(texts, "null"), None, texts).dictionary_encode())
        keys.append(batch.column("key").to_numpy())
        size += parts[-1].dictionary.nbytes
        if size > MOST_BYTES:  # what comes again and again is in many of them
            parts = _together(parts)
            size = parts[0].dictionary.nbytes
            _check(field, parts[0].dictionary)
    parts = _together(parts)
    texts = parts[0].dictionary
    _check(field, texts)
    codes = [part.indices.fill_null(-1).to_numpy() for part in parts]
    return Coded(np.concatenate(keys), np.concatenate(codes), texts)


def _together(parts: list[pa.DictionaryArray]) -> list[pa.DictionaryArray]:
    """The same with one dictionary, of one part at least."""
    whole = pa.chunked_array(parts, pa.dictionary(pa.int32(), pa.large_string())).unify_dictionaries()
    return list(whole.chunks) or [pa.array([], pa.large_string()).dictionary_encode()]


def _check(field: str, texts: pa.LargeStringArray) -> None:
    """Codes of that many are no short way: every process that asks for them has them in memory."""
    if len(texts) > MOST_VALUES or texts.nbytes > MOST_BYTES:
        raise InvalidInput(f"{field} has too many different values, {len(texts):,}: choose another field.")


def _at(workspace_id: UUID, table: str, at: int) -> str:
    return f"{schema_of(workspace_id)}.{table} AS e AT (VERSION => {int(at)})"


def _arrays(cursor: duckdb.DuckDBPyConnection, query: str, given: Sequence[object] = ()) -> dict[str, Any]:
    """A query's columns by name, in the types it gives them."""
    return cursor.execute(query, list(given)).fetchnumpy()
