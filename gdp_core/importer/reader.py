"""A file as a table: named columns and a stream of rows with their line numbers, the same for every format.

A row that cannot be read (ragged, bad bytes, bad JSON) comes as a Unusable in its place, so that nothing is skipped
silently; a file that cannot be read raises InvalidInput. Files are streamed: memory does not grow with their size.
"""

import csv
import io
import itertools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from gdp_core.errors import InvalidInput
from gdp_core.importer import sniff
from gdp_core.importer.cells import Cell
from gdp_core.sources import payload
from gdp_core.sources.payload import Unusable

Record = tuple[int, Sequence[Cell] | Unusable]
"""The line (Parquet: row) number, from 1 and with the header counted, and the cells in the order of the columns."""

_MOST_COLUMNS = 2_000
_BATCH = 5_000
_BAD_TEXT = re.compile("[\x00\udc80-\udcff]")
_FORMATS = {"csv": "Delimited text", "jsonl": "JSON lines", "parquet": "Parquet"}
_SEPARATORS = {",": "comma", "\t": "tab", ";": "semicolon", "|": "bar", " ": "blank"}
_ENCODINGS = {"utf-8-sig": "UTF-8", "cp1252": "Windows-1252", "latin-1": "Latin-1"}


@dataclass(frozen=True, slots=True)
class Table:
    """An opened file. `total_rows` is exact but for line breaks inside quotes, which make it an upper bound."""

    path: Path
    format: sniff.Format
    columns: tuple[str, ...]
    total_rows: int
    sha256: str
    gzipped: bool = False
    encoding: str = "utf-8-sig"
    separator: str = ","

    def records(self) -> Iterator[Record]:
        """Every row in the order of the file; the same each time."""
        with sniff.reading(self.path):
            if self.format == "parquet":
                yield from _parquet(self)
            elif self.format == "jsonl":
                yield from _jsonl(self)
            else:
                yield from _delimited(self)

    def describe(self) -> str:
        """The format in words: "Delimited text, gzipped, semicolon, UTF-8"."""
        words = [_FORMATS[self.format], "gzipped" if self.gzipped else ""]
        if self.format == "csv":
            words += [_SEPARATORS.get(self.separator, repr(self.separator)), _ENCODINGS[self.encoding]]
        return ", ".join(filter(None, words))


def open_table(path: Path) -> Table:
    """Finds out what the file is and which columns it has. Raises InvalidInput where it has no rows to give."""
    with sniff.reading(path):
        kind, gzipped = sniff.format_of(path)
        if kind == "parquet":
            table = _open_parquet(path)
        elif kind == "jsonl":
            table = _open_jsonl(path, gzipped)
        else:
            table = _open_delimited(path, gzipped)
    if len(table.columns) > _MOST_COLUMNS:
        raise InvalidInput(f"{path.name} has more than {_MOST_COLUMNS:,} columns; it is no table of rows.")
    if table.total_rows < 1:
        raise InvalidInput(f"{path.name} has column names but no rows.")
    return table


def _open_delimited(path: Path, gzipped: bool) -> Table:
    found = sniff.survey(path, gzipped)
    separator = sniff.separator_of(path, gzipped, found.encoding)
    bare = Table(path, "csv", (), 0, found.sha256, gzipped, found.encoding, separator)
    with _lines(bare) as lines:
        reader = csv.reader(lines, delimiter=separator)
        try:
            names = next((row for row in reader if row), [])
        except csv.Error as error:
            raise InvalidInput(f"The header of {path.name} cannot be read: {error}.") from None
        rows = found.lines - reader.line_num
    return Table(path, "csv", sniff.header(names), rows, found.sha256, gzipped, found.encoding, separator)


def _lines(table: Table) -> io.TextIOWrapper:
    return io.TextIOWrapper(
        sniff.opened(table.path, table.gzipped), encoding=table.encoding, errors="surrogateescape", newline=""
    )


def _delimited(table: Table) -> Iterator[Record]:
    width = len(table.columns)
    damaged: list[int] = []  # lines with bytes that are no text, until their record has come
    with _lines(table) as lines:
        reader = csv.reader(_watched(lines, damaged), delimiter=table.separator)
        named = False
        while True:
            first = reader.line_num + 1
            try:
                row = next(reader, None)
            except csv.Error as error:
                yield first, _unreadable(str(error), first, reader.line_num)
                damaged.clear()
                continue
            if row is None:
                return
            if not row:
                continue
            if not named:
                named = True
            elif damaged:
                yield first, Unusable("bad_bytes", f"The row has bytes that are no {_ENCODINGS[table.encoding]} text.")
            elif len(row) == width or (len(row) > width and not any(row[width:])):
                yield first, row
            else:
                yield first, _ragged(len(row), width, first, reader.line_num)
            damaged.clear()


def _watched(lines: io.TextIOWrapper, damaged: list[int]) -> Iterator[str]:
    for number, line in enumerate(lines, start=1):
        if (not line.isascii() or "\x00" in line) and _BAD_TEXT.search(line):
            damaged.append(number)
        yield line


def _ragged(found: int, width: int, first: int, last: int) -> Unusable:
    open_quote = f"; it runs to line {last}, so a quotation mark may be missing" if last > first else ""
    return Unusable("ragged_row", f"The row has {found} fields where the header has {width}{open_quote}.")


def _unreadable(error: str, first: int, last: int) -> Unusable:
    lines = f"Line {first}" if last <= first else f"Lines {first} to {last}"
    return Unusable("bad_row", f"{lines} cannot be read as fields ({error}); is a quotation mark missing?")


def _open_jsonl(path: Path, gzipped: bool) -> Table:
    columns: dict[str, None] = {}
    rows = 0
    with sniff.opened(path, gzipped) as stream:
        for line in _json_lines(path, stream):
            rows += not line.isspace()
            try:
                item = orjson.loads(line)
            except orjson.JSONDecodeError:
                continue
            if isinstance(item, dict):
                columns.update(dict.fromkeys(map(payload.without_nul, item)))
            if len(columns) > _MOST_COLUMNS:
                break
    if not columns:
        raise InvalidInput(f"{path.name} has no line that is a JSON object.")
    return Table(path, "jsonl", tuple(columns), rows, sniff.checksum(path), gzipped)


def _json_lines(path: Path, stream: Any) -> Iterator[bytes]:
    first = True
    while line := stream.readline(sniff.LONGEST_LINE):
        if len(line) == sniff.LONGEST_LINE:
            raise InvalidInput(f"{path.name} has a line of more than 8 MiB; write one object per line (JSONL).")
        yield line.removeprefix(b"\xef\xbb\xbf") if first else line
        first = False


def _jsonl(table: Table) -> Iterator[Record]:
    with sniff.opened(table.path, table.gzipped) as stream:
        for number, line in enumerate(_json_lines(table.path, stream), start=1):
            if line.isspace():
                continue
            try:
                item = orjson.loads(line)
            except orjson.JSONDecodeError as error:
                yield number, Unusable("bad_json", f"The line is not valid JSON: {error.msg}.")
                continue
            if not isinstance(item, dict):
                yield number, Unusable("bad_json", "The line is not a JSON object.")
                continue
            try:
                if b"\\u0000" in line or _nested(item):
                    item = payload.clean(item)
                yield number, [item.get(column) for column in table.columns]
            except Unusable as problem:
                yield number, problem


def _nested(item: dict[str, Cell]) -> bool:
    return any(cell.__class__ in (dict, list) for cell in item.values())


def _open_parquet(path: Path) -> Table:
    try:
        with pq.ParquetFile(path) as file:
            columns, rows = sniff.header(file.schema_arrow.names), file.metadata.num_rows
    except (pa.ArrowException, OSError) as error:
        raise _damaged(path) from error
    return Table(path, "parquet", columns, rows, sniff.checksum(path))


def _parquet(table: Table) -> Iterator[Record]:
    numbers = itertools.count(1)
    try:
        with pq.ParquetFile(table.path) as file:
            for batch in file.iter_batches(batch_size=_BATCH, use_threads=False):
                columns = [_cells(column) for column in batch.columns]
                yield from zip(numbers, zip(*columns, strict=True), strict=False)
    except (pa.ArrowException, OSError, ValueError, OverflowError) as error:
        raise _damaged(table.path) from error


def _damaged(path: Path) -> InvalidInput:
    return InvalidInput(f"{path.name} is a damaged Parquet file; make or download it again.")


def _cells(column: Any) -> list[Cell]:
    """An Arrow column as Python values that JSON knows, times as datetimes, NaN as None."""
    kind = column.type
    if pa.types.is_dictionary(kind):
        return _cells(column.cast(kind.value_type))
    if pa.types.is_floating(kind):
        column = pc.if_else(pc.is_nan(column), None, column)
    elif pa.types.is_timestamp(kind):
        column = column.cast(pa.timestamp("us", "UTC" if kind.tz else None), safe=False)
    elif pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_fixed_size_binary(kind):
        return [cell if cell is None else _decoded(cell) for cell in column.to_pylist()]
    elif pa.types.is_decimal(kind) or pa.types.is_time(kind) or pa.types.is_duration(kind):
        column = column.cast(pa.string())
    elif pa.types.is_string(kind) or pa.types.is_large_string(kind):
        column = pc.replace_substring(column, "\0", "\ufffd")
    values: list[Cell] = column.to_pylist()
    if pa.types.is_nested(kind):
        return [payload.clean(orjson.loads(orjson.dumps(value, default=str))) for value in values]
    return values


def _decoded(cell: bytes) -> str:
    try:
        return payload.without_nul(cell.decode())
    except UnicodeDecodeError:
        return cell.hex()
