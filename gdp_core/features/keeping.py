"""Writes the features of a workspace's people: what became another value since it was last written, and nothing else.

What was written last is remembered in a file beside the timeline, under a mark that stands in Postgres too and changes
with every writing. Where the two differ (a crash, a restored backup, another machine), Postgres is asked what is there.
Days since something are kept as the instant they are counted from, so time alone writes only what leaves a window.
"""

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from datetime import datetime
from hashlib import md5
from pathlib import Path
from uuid import UUID, uuid4

import numpy as np
import orjson
from numpy.typing import NDArray
from sqlmodel import Session

from gdp_core.analytics.calendar import micros
from gdp_core.db import Database, one, rows, run
from gdp_core.features.base import Kind, Tally
from gdp_core.features.definitions import read_features
from gdp_core.features.measuring import Measured, measure
from gdp_core.features.roles import read_matches
from gdp_core.timeline import files
from gdp_core.timeline.arrays import Timeline, Value
from gdp_core.timeline.files import Damaged

_MARK = "features.written"
_BATCH = 20_000  # values a statement: a second or so on a slow day
_SECONDS = 300
_LONGEST = 500  # characters of a text

Numbers = NDArray[np.int64]
Values = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Scores:
    """What a model says of the people of a timeline, NaN of whom it says nothing, and what each score is made of."""

    slug: str
    values: Values  # (P,)
    names: tuple[str, ...]
    parts: Values  # (P, names)


@dataclass(frozen=True, slots=True)
class Recomputed:
    """What a recomputation did: how many values it wrote, and how many it removed because they are nothing any more."""

    features: int
    written: int
    removed: int


@dataclass(frozen=True, slots=True, eq=False)
class _Column:
    """A feature of the people of a timeline (P,), NaN for nothing. `signs` is what is compared: a text's is a number."""

    slug: str
    kind: Kind
    values: Values
    signs: Values
    words: Sequence[Value] = ()
    scores: Scores | None = None


@dataclass(frozen=True, slots=True, eq=False)
class _Written:
    """The signs that were written, by feature: of people by their numbers, ascending."""

    numbers: Numbers
    signs: Mapping[str, Values]


def recompute(
    pool: Database,
    workspace_id: UUID,
    timeline: Timeline,
    folder: Path,
    now: datetime,
    *,
    scores: Sequence[Scores] = (),
    executor: Executor | None = None,
) -> Recomputed:
    """Bring the features of everybody up to `now`. `pool` runs as gdp_worker, `folder` is that of timelines.

    Another process of this machine that does the same at the moment does it for us.
    """
    with pool.transaction(workspace_id, read_only=True) as session:
        features, roles = read_features(session), read_matches(session)
    kept = [one for one in features if isinstance(one.made, Tally) and one.column is None]
    found = measure(timeline, kept, roles, micros(now), executor=executor)
    columns = [*_measured(found), *(_Column(one.slug, "share", one.values, one.values, (), one) for one in scores)]
    home = folder / workspace_id.hex / "features"
    with files.alone(home) as mine:
        if not mine:
            return Recomputed(len(columns), 0, 0)
        remembered = _remembered(pool, workspace_id, home / "written")
        before = remembered or _read(pool, workspace_id)
        changes = _changes(columns, timeline.numbers, before)
        stale = [slug for slug in before.signs if slug not in {one.slug for one in columns}]
        if remembered is None or changes or stale:
            mark = _write(pool, workspace_id, timeline.numbers, changes, stale, now)
            signs = {str(place): one.signs for place, one in enumerate(columns)}
            slugs = [one.slug for one in columns]
            files.write(home / "written", {"numbers": timeline.numbers, **signs}, {"slugs": slugs, "mark": mark})
    return Recomputed(len(columns), sum(len(one.people) for one in changes), sum(len(one.gone) for one in changes))


def _measured(found: Measured) -> Iterator[_Column]:
    """What is 0 is nothing: most people never did most things."""
    for place, feature in enumerate(found.features):
        values = found.values[:, place]
        words = found.words.get(feature.slug, ())
        if feature.kind == "text":
            signs = np.array([*map(_sign, words), np.nan])[np.nan_to_num(values, nan=-1).astype(np.int64)]
            yield _Column(feature.slug, feature.kind, values, signs, words)
        else:
            told = np.where(values == 0, np.nan, values) if feature.kind in ("number", "money") else values
            yield _Column(feature.slug, feature.kind, told, told)


def _text(value: Value) -> str:
    shown = value if isinstance(value, str) else orjson.dumps(value).decode()
    return shown.replace("\x00", "\ufffd")[:_LONGEST]


def _sign(value: Value) -> float:
    """A number that stands for a text. `_read` makes the same in SQL."""
    return float(int(md5(_text(value).encode(), usedforsecurity=False).hexdigest()[:13], 16))


# ------------------------------------------------------------------------------------------- what was written before


def _remembered(pool: Database, workspace_id: UUID, memory: Path) -> _Written | None:
    """What this machine wrote last; None when Postgres may hold something else."""
    with pool.transaction(workspace_id, read_only=True) as session:
        found = one(session, "SELECT value ->> 'mark' AS mark FROM setting WHERE key = :key", key=_MARK)
    try:
        arrays, facts = files.read(memory)
    except Damaged:
        return None
    if found is None or found.mark != facts["mark"]:
        return None
    return _Written(arrays["numbers"], {slug: arrays[str(place)] for place, slug in enumerate(facts["slugs"])})


def _read(pool: Database, workspace_id: UUID) -> _Written:
    """What Postgres holds."""
    with pool.transaction(workspace_id, timeout=_SECONDS, read_only=True) as session:
        found = rows(
            session,
            """
            SELECT f.feature, string_agg(a.number::text, ',') AS numbers, string_agg(coalesce(
                f.number::text, (extract(epoch FROM f.at) * 1000000)::bigint::text,
                (('x' || left(md5(f.word), 13))::bit(52)::bigint)::text
            ), ',') AS signs
            FROM person_feature f JOIN actor a ON a.workspace_id = f.workspace_id AND a.id = f.person_id GROUP BY 1
            """,
        )
    whose = [np.fromstring(row.numbers, np.int64, sep=",") for row in found]
    numbers = np.unique(np.concatenate(whose)) if whose else np.empty(0, np.int64)
    signs = {}
    for row, mine in zip(found, whose, strict=True):
        signs[row.feature] = np.full(len(numbers), np.nan)
        signs[row.feature][np.searchsorted(numbers, mine)] = np.fromstring(row.signs, np.float64, sep=",")
    return _Written(numbers, signs)


# --------------------------------------------------------------------------------------------------------- writing


@dataclass(frozen=True, slots=True, eq=False)
class _Change:
    """What is to be written of a feature: places of people in the timeline, and numbers of people who lose theirs."""

    column: _Column
    people: Numbers
    gone: Numbers


def _changes(columns: Sequence[_Column], numbers: Numbers, before: _Written) -> list[_Change]:
    """What differs from before, feature by feature; features that are no more lose everybody."""
    known = np.isin(numbers, before.numbers, assume_unique=True)
    place = np.searchsorted(before.numbers, numbers[known])
    away = ~np.isin(before.numbers, numbers, assume_unique=True)
    found = []
    for column in columns:
        was = np.full(len(numbers), np.nan)
        left = before.numbers[:0]
        if column.slug in before.signs:
            signs = before.signs[column.slug]
            was[known] = signs[place]
            left = before.numbers[away & ~np.isnan(signs)]
        empty = np.isnan(column.signs)
        gone = np.concatenate([numbers[empty & ~np.isnan(was)], left])
        found.append(_Change(column, np.flatnonzero((column.signs != was) & ~empty), gone))
    return [one for one in found if len(one.people) or len(one.gone)]


def _write(
    pool: Database, workspace_id: UUID, numbers: Numbers, changes: Sequence[_Change], stale: list[str], now: datetime
) -> str:
    """Write in batches, each a statement and a transaction. The first sets a new mark: no memory of before holds then."""
    mark = uuid4().hex
    with pool.transaction(workspace_id, timeout=_SECONDS) as session:
        run(
            session,
            "INSERT INTO setting (workspace_id, key, value, updated_at) VALUES (app_ws(), :key,"
            " jsonb_build_object('mark', CAST(:mark AS text)), :now) ON CONFLICT (workspace_id, key)"
            " DO UPDATE SET value = excluded.value, updated_at = excluded.updated_at",
            key=_MARK,
            mark=mark,
            now=now,
        )
        run(session, "DELETE FROM person_feature WHERE feature = ANY(:slugs)", slugs=stale)
    for change in changes:
        for first in range(0, len(change.people), _BATCH):
            people = change.people[first : first + _BATCH]
            with pool.transaction(workspace_id, timeout=_SECONDS) as session:
                _put(session, change.column, numbers, people, now)
        for first in range(0, len(change.gone), _BATCH):
            with pool.transaction(workspace_id, timeout=_SECONDS) as session:
                _drop(session, change.column.slug, change.gone[first : first + _BATCH])
    return mark


def _put(session: Session, column: _Column, numbers: Numbers, people: Numbers, now: datetime) -> None:
    values = column.values[people]
    given = {"values": values.tolist(), "words": [], "names": [], "parts": "[]"}
    if column.kind == "text":
        codes, place = np.unique(values.astype(np.int64), return_inverse=True)
        given["words"] = np.array([_text(column.words[code]) for code in codes.tolist()], object)[place].tolist()
    if column.scores:
        given["names"] = list(column.scores.names)
        given["parts"] = orjson.dumps(column.scores.parts[people], option=orjson.OPT_SERIALIZE_NUMPY).decode()
    run(
        session,
        f"""
        INSERT INTO person_feature AS f (person_id, workspace_id, feature, number, word, at, parts, computed_at)
        SELECT a.id, a.workspace_id, :slug, {_STORED[_place(column.kind)]}, CASE WHEN jsonb_array_length(g.parts) > 0
            THEN jsonb_object(CAST(:names AS text[]), ARRAY(SELECT jsonb_array_elements_text(g.parts))) END, :now
        FROM ROWS FROM (
            unnest(CAST(:numbers AS bigint[])), unnest(CAST(:values AS float8[])), unnest(CAST(:words AS text[])),
            jsonb_array_elements(CAST(:parts AS jsonb))
        ) AS g(actor, value, word, parts)
        JOIN actor a ON a.workspace_id = app_ws() AND a.number = g.actor
        ON CONFLICT (person_id, workspace_id, feature) DO UPDATE SET number = excluded.number, word = excluded.word,
            at = excluded.at, parts = excluded.parts, computed_at = excluded.computed_at
        WHERE (f.number, f.word, f.at) IS DISTINCT FROM (excluded.number, excluded.word, excluded.at)
        """,
        slug=column.slug,
        numbers=numbers[people].tolist(),
        now=now,
        **given,
    )


_STORED = {
    "number": "g.value, NULL, NULL",
    "word": "NULL, g.word, NULL",
    "at": "NULL, NULL, timestamptz 'epoch' + g.value * interval '1 microsecond'",
}


def _place(kind: Kind) -> str:
    """The column that holds it."""
    return "word" if kind == "text" else "at" if kind in ("since", "instant") else "number"


def _drop(session: Session, slug: str, numbers: Numbers) -> None:
    run(
        session,
        "DELETE FROM person_feature f USING actor a WHERE a.workspace_id = f.workspace_id AND a.id = f.person_id"
        " AND a.number = ANY(CAST(:numbers AS bigint[])) AND f.feature = :slug",
        slug=slug,
        numbers=numbers.tolist(),
    )
