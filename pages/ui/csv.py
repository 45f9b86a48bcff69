"""CSV that a spreadsheet opens without running anything in it: RFC 4180, UTF-8, CRLF, streamed row by row.

A text cell that a spreadsheet might read as a formula gets a leading apostrophe; numbers stay numbers.
"""

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal

_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
_QUOTED = frozenset('",\r\n')
_BOM = "\ufeff"

Cell = str | int | float | Decimal | bool | date | None


def cell(value: Cell) -> str:
    """One field as it stands in the file."""
    match value:
        case None:
            return ""
        case bool():
            return "true" if value else "false"
        case int() | float() | Decimal():
            return str(value)
        case datetime():
            return value.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
        case date():
            return value.isoformat()
    text = value.replace("\x00", "")
    if text.startswith(_FORMULA) or text.lstrip().startswith(_FORMULA):
        text = f"'{text}"
    if _QUOTED.intersection(text) or text != text.strip():
        return '"' + text.replace('"', '""') + '"'
    return text


def stream(header: Sequence[str], rows: Iterable[Iterable[Cell]], *, chunk: int = 500) -> Iterator[bytes]:
    """The file in pieces of about `chunk` rows, with a byte order mark for spreadsheets that guess otherwise."""
    lines = [_BOM + _line(header)]
    for row in rows:
        lines.append(_line(row))
        if len(lines) >= chunk:
            yield "".join(lines).encode()
            lines.clear()
    if lines:
        yield "".join(lines).encode()


def _line(row: Iterable[Cell]) -> str:
    return ",".join(cell(value) for value in row) + "\r\n"
