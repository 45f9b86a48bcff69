"""What a file says about itself: the type, examples and gaps of each column, and a mapping that its names suggest."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from gdp_core.importer import times
from gdp_core.importer.cells import Cell, Type, present, quoted, text, type_of
from gdp_core.importer.mapping import Mapping
from gdp_core.importer.reader import Table
from gdp_core.sources import people
from gdp_core.sources.payload import Unusable

SAMPLE_ROWS = 10_000
_TIMES_TRIED = 200
_EXAMPLES = 3


@dataclass(frozen=True, slots=True)
class Column:
    """One column as the first rows show it. `nulls` of `rows` sampled cells are empty; `distinct` are different."""

    name: str
    type: Type
    examples: tuple[str, ...]
    nulls: int
    rows: int
    distinct: int


def read_columns(table: Table, rows: int = SAMPLE_ROWS) -> tuple[Column, ...]:
    """The columns by the first `rows` readable rows."""
    readable = (row for _, row in islice(table.records(), rows) if not isinstance(row, Unusable))
    sample = [row[: len(table.columns)] for row in readable]
    cells: Sequence[Sequence[Cell]] = list(zip(*sample, strict=True)) or [()] * len(table.columns)
    return tuple(_column(name, column) for name, column in zip(table.columns, cells, strict=True))


def _column(name: str, cells: Sequence[Cell]) -> Column:
    there = [cell for cell in cells if present(cell) is not None]
    shown = list(dict.fromkeys(text(cell) or "" for cell in there))
    examples = tuple(quoted(each)[1:-1] for each in shown[:_EXAMPLES])
    return Column(name, _type(there), examples, len(cells) - len(there), len(cells), len(shown))


def _type(cells: Sequence[Cell]) -> Type:
    kinds: set[Type] = set()
    for cell in cells:
        kinds.add(type_of(cell))
        if len(kinds) > 1 and kinds != {"whole", "number"}:
            return "text"
    if kinds == {"whole", "number"}:
        return "number"
    kind = kinds.pop() if kinds else "empty"
    return "time" if kind == "text" and _all_times(cells[:_TIMES_TRIED]) else kind


def _all_times(cells: Sequence[Cell]) -> bool:
    for day_first in (True, False):
        reader = times.Times(day_first=day_first)
        try:
            for cell in cells:
                reader.micros(cell)
            return True
        except Unusable:
            continue
    return False


_NAMES: dict[str, str] = {
    "email": "email emailaddress mail useremail customeremail",
    "phone": "phone phonenumber mobile telephone",
    "person": "userid customerid personid memberid contactid accountid clientid uid distinctid user customer person",
    "anonymous": "anonymousid visitorid deviceid cookieid sessionid",
    "event": "event eventname eventtype action activity",
    "time": "timestamp time occurredat eventtime createdat created datetime date eventdate orderdate invoicedate "
    "purchasedate signupdate signedupat",
    "id": "eventid messageid rowid uuid id",
    "value": "value amount revenue total totalamount price ordervalue",
    "currency": "currency currencycode",
}
_TRAITS = frozenset(
    "name firstname lastname fullname company companyname industry country city plan title jobtitle language gender "
    "source medium campaign signupsource".split()
)


def suggest(columns: Sequence[Column], path: Path) -> Mapping | None:
    """A mapping by the names of the columns, or None where they suggest none. A start, to be looked at."""
    by_name = {re.sub(r"[\W_]", "", column.name.casefold()): column for column in reversed(columns)}
    found: dict[str, str] = {}
    for part, names in _NAMES.items():
        for name in names.split():
            column = by_name.get(name)
            if column is not None and column.name not in found.values() and _fits(part, column):
                found[part] = column.name
                break
    if "person" not in found and "email" not in found and "anonymous" not in found:
        return None
    if "time" not in found:
        who = {part: found[part] for part in ("person", "anonymous", "email", "phone") if part in found}
        rest = tuple(column.name for column in columns if column.name not in who.values())
        return Mapping(**who, traits=rest) if rest or "email" in who else None
    traits = tuple(column.name for key, column in by_name.items() if key in _TRAITS)[::-1]
    if "event" not in found:
        found["event"] = f"={_slug(path)}"
    if "value" in found and "currency" not in found:
        found["currency"] = "=USD"
    return Mapping.model_validate({**found, "traits": traits, "properties": ("*",)})


def _fits(part: str, column: Column) -> bool:
    if part == "time":
        return column.type in ("time", "whole", "number")
    if part == "value":
        return column.type in ("whole", "number")
    if part == "email":
        return any(people.email(example) for example in column.examples)
    return part != "id" or (column.distinct == column.rows > 0)


def _slug(path: Path) -> str:
    """An event's name from the file's, without dates: "Orders 2024-05.csv.gz" is orders."""
    stem = path.name.lower().removesuffix(".gz").rsplit(".", 1)[0]
    return re.sub(r"[\W_]+", "_", re.sub(r"[\W\d_]+$", "", stem)).strip("_") or "imported"
