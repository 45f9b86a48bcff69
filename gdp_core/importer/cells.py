"""What one cell of a file means: as a number, as text, as a currency, as a property.

A cell is whatever the file's format gives: text in CSV, any JSON value in JSONL, a Python value in Parquet. None always
means "nothing here". Nothing in here knows columns or rows.
"""

import math
import re
from collections.abc import Callable
from datetime import date, datetime
from decimal import Decimal
from functools import lru_cache
from typing import Any, Literal

import orjson

from gdp_core.sources import web
from gdp_core.sources.payload import Unusable

Cell = Any

NULLS = frozenset(("", "\\N", "NULL", "null", "NaN", "nan"))
"""Texts that mean "nothing here": the empty field, and what Postgres, MySQL and pandas write for it."""

_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d{1,3})?", re.ASCII)
_GROUPED = re.compile(r"([+-]?)[$£€¥]?\s?([+-]?\d{1,3}(?:,\d{3})+(?:\.\d+)?|[+-]?\d+(?:\.\d+)?)", re.ASCII)
_WHOLE = re.compile(r"-?\d+\.0", re.ASCII)
_SHOWN = 40  # characters of a bad cell that its reason quotes


def present(cell: Cell) -> Cell:
    """The cell, or None where it says that nothing is there."""
    return None if cell is None or (cell.__class__ is str and (cell in NULLS or cell.isspace())) else cell


def quoted(cell: Cell) -> str:
    """The cell for an error message, shortened."""
    shown = cell if isinstance(cell, str) else text(cell) or ""
    return f"“{shown[:_SHOWN]}{'…' if len(shown) > _SHOWN else ''}”"


def number(cell: Cell) -> Decimal | None:
    """The exact decimal a cell writes; a binary float is the shortest decimal that reads back as it.

    Text may carry a currency sign and thousands commas. Raises Unusable for anything else.
    """
    kind = cell.__class__
    if cell is None or kind is Decimal:
        return cell if cell is None or cell.is_finite() else None
    if kind is str or kind is float:
        return _number(cell)
    if kind is int:
        return Decimal(cell)
    raise Unusable("bad_number", f"{quoted(cell)} is not a number.")


@lru_cache(maxsize=65_536)
def _number(cell: str | float) -> Decimal | None:
    if isinstance(cell, float):
        return Decimal(repr(cell)) if math.isfinite(cell) else None
    written = cell.strip()
    if written in NULLS:
        return None
    if _NUMBER.fullmatch(written):
        return Decimal(written)
    grouped = _GROUPED.fullmatch(written)
    if not grouped or (grouped[1] and grouped[2][0] in "+-"):
        raise Unusable("bad_number", f"{quoted(cell)} is not a number.")
    return Decimal(grouped[1] + grouped[2].replace(",", ""))


def text(cell: Cell) -> str | None:
    """A cell as a name or an id, without surrounding blanks; whole floats lose their ".0" (17850.0 is "17850")."""
    kind = cell.__class__
    if kind is str:
        if cell in NULLS:
            return None
        trimmed: str = cell.strip()
        if trimmed.endswith(".0") and _WHOLE.fullmatch(trimmed):
            return trimmed[:-2]
        return trimmed or None
    if cell is None:
        return None
    if kind is float:
        return _float_text(cell)
    if kind is bool:
        return "true" if cell else "false"
    if kind is int:
        return str(cell)
    if kind is Decimal:
        return format(cell.to_integral_value() if cell == cell.to_integral_value() else cell, "f")
    if isinstance(cell, date):
        return cell.isoformat()
    return orjson.dumps(cell, default=str).decode()


def _float_text(cell: float) -> str | None:
    if not math.isfinite(cell):
        return None
    return str(int(cell)) if cell.is_integer() else repr(cell)


def currency(cell: Cell) -> str | None:
    """An ISO 4217 code in upper case. Raises Unusable for what has not its shape."""
    return _currency(text(cell))


@lru_cache(maxsize=1_024)
def _currency(written: str | None) -> str | None:
    code = web.currency_code(written)
    if code is None and written is not None:
        raise Unusable("bad_currency", f"{quoted(written)} is not a currency code such as USD.")
    return code


def plain(cell: Cell) -> Cell:
    """A cell as a JSON value, for traits and properties."""
    kind = cell.__class__
    if kind is str:
        return None if cell in NULLS or cell.isspace() else cell
    if cell is None or kind is bool:
        return cell
    if kind is int:
        return cell if -(2**63) <= cell < 2**63 else str(cell)
    if kind is float:
        return cell if math.isfinite(cell) else None
    if kind is Decimal:
        return plain(int(cell) if cell == cell.to_integral_value() else float(cell))
    if isinstance(cell, (list, dict)):
        return cell
    return cell.isoformat() if isinstance(cell, (date, datetime)) else str(cell)


Type = Literal["empty", "whole", "number", "boolean", "time", "text", "json"]

_WHOLE_TEXT = re.compile(r"0|-?[1-9]\d{0,17}", re.ASCII)  # "007" is a name
_NUMBER_TEXT = re.compile(r"-?(?:0|[1-9]\d{0,17})(?:\.\d{1,17})?(?:[eE][+-]?\d{1,2})?", re.ASCII)
_BOOLEANS = {"true": True, "false": False}


def type_of(cell: Cell) -> Type:
    """The narrowest type of one present cell; texts that write a number or a boolean count as such."""
    if isinstance(cell, str):
        if _WHOLE_TEXT.fullmatch(cell):
            return "whole"
        if _NUMBER_TEXT.fullmatch(cell):
            return "number"
        return "boolean" if cell.lower() in _BOOLEANS else "text"
    if isinstance(cell, bool):
        return "boolean"
    if isinstance(cell, int):
        return "whole"
    if isinstance(cell, (float, Decimal)):
        return "number"
    return "time" if isinstance(cell, date) else "json"


def _whole(cell: Cell) -> Cell:
    return int(cell) if cell.__class__ is str and _WHOLE_TEXT.fullmatch(cell) else plain(cell)


def _fraction(cell: Cell) -> Cell:
    return float(cell) if cell.__class__ is str and _NUMBER_TEXT.fullmatch(cell) else plain(cell)


def _boolean(cell: Cell) -> Cell:
    return _BOOLEANS.get(cell.lower(), plain(cell)) if cell.__class__ is str else plain(cell)


TYPED: dict[Type, Callable[[Cell], Cell]] = {
    "empty": plain,
    "whole": _whole,
    "number": _fraction,
    "boolean": _boolean,
    "time": plain,
    "text": plain,
    "json": plain,
}
"""A cell of a column of that type as a JSON value; a cell that does not fit its column stays as it is written."""
