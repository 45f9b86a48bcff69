"""A file cut into chunks of rows, each the body of one delivery of the source `import`.

The same file with the same mapping gives the same chunks, byte for byte, from whichever chunk one starts: an
interrupted import goes on where it stopped, and a second one finds everything there already. Writing them down is the
caller's part.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice, repeat
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from gdp_core.errors import InvalidInput
from gdp_core.importer import cells, columns, times
from gdp_core.importer.cells import Cell
from gdp_core.importer.expression import Evaluate, Row
from gdp_core.importer.mapping import Mapping, Part, Plan, bind
from gdp_core.importer.reader import Record, Table, open_table
from gdp_core.money import from_units
from gdp_core.sources import people, web
from gdp_core.sources.facts import fingerprint
from gdp_core.sources.importing import SCALARS
from gdp_core.sources.payload import Unusable

CHUNK_ROWS = 20_000  # 10,700 rows a second against 9,600 with 5,000, for 120 MiB more while a file is imported
_ROW_SHOWN = 2_000  # characters of a rejected row that are kept


@dataclass(frozen=True, slots=True)
class RejectedRow:
    """A row that is not imported: its line in the file (Parquet: row number), a stable code, the reason, its cells."""

    line: int
    code: str
    reason: str
    row: str


@dataclass(frozen=True, slots=True)
class Chunk:
    """`rows` rows of the file from `first_row` (the first is 1) on; `rejects` of them state nothing usable.

    `body` holds them all, mapped, as the source `import` reads them.
    """

    number: int
    first_row: int
    rows: int
    body: bytes
    rejects: tuple[RejectedRow, ...]


@dataclass(frozen=True, slots=True)
class Import:
    """A file and the mapping it is read with, both checked. `key` is the same for the same content and mapping."""

    table: Table
    mapping: Mapping
    profile: tuple[columns.Column, ...]
    day_first: bool | None
    plan: Plan

    @property
    def key(self) -> str:
        """By which an interrupted import recognises itself."""
        return fingerprint([self.table.sha256, self.mapping.model_dump(mode="json")])

    @property
    def total_rows(self) -> int:
        """How many rows there are; an upper bound where quoted fields hold line breaks."""
        return self.table.total_rows

    def chunks(self, start: int = 0, *, rows: int | None = None) -> Iterator[Chunk]:
        """The chunks from number `start` (the first is 0) on, each of `rows` rows, for a look at the first ones, or as
        they are imported. Earlier rows are read, for their hashes, not mapped.
        """
        seen = _Occurrences()
        records, size = self.table.records(), rows or CHUNK_ROWS
        for number, first_row in enumerate(range(1, 1 << 62, size)):
            batch = list(islice(records, size))
            if not batch:
                return
            keys = self._hashed(batch, seen) if self.plan.id is None else None
            if number >= start:
                yield _chunk(self, number, first_row, batch, keys)

    def _hashed(self, batch: list[Record], seen: "_Occurrences") -> list[str]:
        """`row:<hash>:<occurrence in the file>` for each row; the hash is of its present cells by column name."""
        names = self.table.columns
        hashes = [_row_hash(names, row) for _, row in batch]
        occurrences = seen.count(np.array([int(each[:16], 16) for each in hashes], np.uint64))
        return [f"row:{each}:{n}" for each, n in zip(hashes, occurrences, strict=True)]


def open_import(path: Path, mapping: Mapping) -> Import:
    """Reads what the file is and binds the mapping to it. Raises InvalidInput for what cannot be imported."""
    return bound(open_table(path), mapping)


def bound(table: Table, mapping: Mapping, profile: tuple[columns.Column, ...] | None = None) -> Import:
    """`open_import` of a table that is open, and profiled, already."""
    profile = profile or columns.read_columns(table)
    day_first = mapping.day_first if mapping.day_first is not None else _day_first(table, mapping)
    types = {column.name: column.type for column in profile}
    return Import(table, mapping, profile, day_first, bind(mapping, table.columns, types, day_first is not False))


def _day_first(table: Table, mapping: Mapping) -> bool | None:
    """By the first date of the time column that can only be read one way, however far down it is."""
    if mapping.time is None or mapping.time not in table.columns:
        return True
    index = table.columns.index(mapping.time)
    dates = (row[index] for _, row in table.records() if not isinstance(row, Unusable))
    return times.day_first(dates)


def _row_hash(names: Sequence[str], row: Row | Unusable) -> str:
    if isinstance(row, Unusable):
        return "0" * 32
    return fingerprint({name: cell for name, cell in zip(names, row, strict=False) if cell is not None and cell != ""})


class _Occurrences:
    """How often a row's hash came before, in eight bytes a row: sorted runs, merged when they are of a size."""

    def __init__(self) -> None:
        self._runs: list[np.ndarray[Any, np.dtype[np.uint64]]] = []

    def count(self, hashes: np.ndarray[Any, np.dtype[np.uint64]]) -> list[int]:
        """The occurrence number of each, from 1, counting those of this call in their order."""
        order = np.argsort(hashes, kind="stable")
        ranked = hashes[order]
        earlier = np.arange(len(ranked)) - np.searchsorted(ranked, ranked, "left")
        for run in self._runs:
            earlier += np.searchsorted(run, ranked, "right") - np.searchsorted(run, ranked, "left")
        counted = np.empty(len(hashes), np.int64)
        counted[order] = earlier + 1
        self._keep(ranked)
        return [int(n) for n in counted]

    def _keep(self, run: np.ndarray[Any, np.dtype[np.uint64]]) -> None:
        while self._runs and len(self._runs[-1]) <= 2 * len(run):
            run = np.sort(np.concatenate((self._runs.pop(), run)), kind="stable")
        self._runs.append(run)


def _chunk(source: Import, number: int, first_row: int, batch: list[Record], keys: list[str] | None) -> Chunk:
    plan, names = source.plan, source.table.columns
    mapped: list[tuple[Cell, ...]] = []
    rows: list[Row] = []
    rejects: list[tuple[RejectedRow, str]] = []
    for position, (line, row) in enumerate(batch):
        try:
            if isinstance(row, Unusable):
                raise row
            mapped.append(_mapped(plan, row, keys[position] if keys else _id(plan.id, row)))
            rows.append(row)
        except Unusable as problem:
            shown = "" if isinstance(row, Unusable) else _shown(names, row)
            key = f"line:{source.table.sha256[:32]}:{line}"
            rejects.append((RejectedRow(line, problem.code, str(problem), shown), key))
    content = {
        "source": source.mapping.source,
        "chunk": number,
        "first_row": first_row,
        "rows": len(mapped),
        **dict(zip(SCALARS, map(_packed, zip(*mapped, strict=True)) if mapped else repeat(None), strict=False)),
        "traits": _by_name(plan.traits, rows),
        "properties": _by_name(plan.properties, rows),
        "rejects": [(reject.line, key, reject.code, reject.reason) for reject, key in rejects],
    }
    return Chunk(number, first_row, len(batch), orjson.dumps(content), tuple(reject for reject, _ in rejects))


def _mapped(plan: Plan, row: Row, key: str) -> tuple[Cell, ...]:
    """The cells of one row of the body. Raises Unusable for what states nothing usable."""
    user, anonymous = _who(plan.person, row), _who(plan.anonymous, row)
    email = _email(cells.text(plan.email(row))) if plan.email else None
    phone = _phone(cells.text(plan.phone(row))) if plan.phone else None
    if user is None and anonymous is None and email is None and (phone is None or phone[0] != "+"):
        raise Unusable("no_identifier", "The row names nobody: person and anonymous id are blank.")
    at = plan.times.micros(plan.time(row)) if plan.time else None
    if plan.time and at is None:
        raise Unusable("no_time", "The time is blank.")
    event = _event_name(cells.text(plan.event(row))) if plan.event else None
    value, currency = _money(plan, row)
    return key, at, user, anonymous, email, phone, event, value, currency


def _id(read: Evaluate | None, row: Row) -> str:
    key = cells.text(read(row)) if read else None
    if key is None:
        raise Unusable("no_id", "The row's id is blank.")
    if len(key) > people.MAX_ID:
        raise Unusable("long_id", f"{cells.quoted(key)} has more than {people.MAX_ID} characters; it is no id.")
    return key


def _who(read: Evaluate | None, row: Row) -> str | None:
    return _external_id(cells.text(read(row))) if read else None


# The same ids, addresses and names come back row after row; their rules cost more than remembering them.
_external_id = lru_cache(maxsize=65_536)(people.external_id)
_email = lru_cache(maxsize=65_536)(people.email)
_event_name = lru_cache(maxsize=1_024)(web.event_name)


@lru_cache(maxsize=65_536)
def _phone(written: str | None) -> str | None:
    """E.164, or the text as it is where that cannot be known: a trait, but nobody's identifier."""
    return people.phone(written) or ((written or "").lstrip("+")[:40] or None)


def _money(plan: Plan, row: Row) -> tuple[int | None, str | None]:
    amount = cells.number(plan.value(row)) if plan.value else None
    if amount is None:
        return None, None
    currency = cells.currency(plan.currency(row)) if plan.currency else None
    if currency is None:
        raise Unusable("no_currency", "The value has no currency.")
    try:
        return from_units(amount), currency
    except InvalidInput as error:
        raise Unusable("bad_number", str(error)) from None


def _shown(names: Sequence[str], row: Row) -> str:
    cells_by_name = dict(zip(names, row, strict=False))
    return orjson.dumps(cells_by_name, default=str).decode()[:_ROW_SHOWN]


def _by_name(parts: Sequence[Part], rows: Sequence[Row]) -> dict[str, Cell]:
    return {name: _packed([convert(row[index]) for row in rows]) for name, index, convert in parts}


def _packed(column: Sequence[Cell]) -> Cell:
    """A text or null that is the same in every row, once; else the cells."""
    first = column[0] if column else None
    same = (first is None or first.__class__ is str) and column.count(first) == len(column)
    return first if same else column
