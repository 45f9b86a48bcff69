"""When a row happened: a cell into microseconds since 1970 UTC.

Read are ISO 8601, day and month in either order or by English name, twelve hours with AM / PM, and Unix seconds,
milliseconds or microseconds. What carries no zone is wall-clock time of the mapping's zone: an hour that happens twice
is taken as the first, an hour that is skipped as if the clocks had not moved yet.
"""

import re
from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta, timezone, tzinfo
from decimal import Decimal
from functools import lru_cache
from typing import Literal
from zoneinfo import ZoneInfo

from gdp_core.errors import InvalidInput
from gdp_core.importer.cells import NULLS, Cell, number, quoted
from gdp_core.sources.payload import Unusable
from gdp_core.sources.web import OLDEST

Unit = Literal["s", "ms", "us"]

_MICROS: dict[Unit, int] = {"s": 1_000_000, "ms": 1_000, "us": 1}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_EARLIEST = (OLDEST - _EPOCH) // timedelta(microseconds=1)
_LATEST = 4_102_444_800_000_000  # the year 2100: beyond is another unit, not another time
_MONTHS = "jan feb mar apr may jun jul aug sep oct nov dec".split()
_DATES_ASKED = 1_000
_UNIX = re.compile(r"-?[0-9]{1,17}(?:\.[0-9]{1,9})?")
_COMPACT = re.compile(r"(?:19|20)[0-9]{2}(?:0[1-9]|1[0-2])(?:0[1-9]|[12][0-9]|3[01])")
_ISO = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}(?:[T ].+)?|[0-9]{8}T[0-9]{4}.*")
_EITHER_ORDER = re.compile(r"([0-9]{1,2})[-/.]([0-9]{1,2})[-/.](?:[0-9]{4}|[0-9]{2})(?![0-9])")
_WRITTEN = re.compile(
    r"""(?:(?:mon|tue|wed|thu|fri|sat|sun)[a-z]*,?\ )?
    (?: (?P<year>[0-9]{4})[-/.](?P<month>[0-9]{1,2})[-/.](?P<day>[0-9]{1,2})
      | (?P<first>[0-9]{1,2})[-/.](?P<second>[0-9]{1,2})[-/.](?P<year2>[0-9]{4}|[0-9]{2})
      | (?P<day3>[0-9]{1,2})[- ](?P<name3>[a-z]{3,9})\.?,?[- ](?P<year3>[0-9]{4}|[0-9]{2})
      | (?P<name4>[a-z]{3,9})\.?\ (?P<day4>[0-9]{1,2})(?:st|nd|rd|th)?,?\ (?P<year4>[0-9]{4}) )
    (?:[T,]?\ ?(?P<hour>[0-9]{1,2}):(?P<minute>[0-9]{2})(?::(?P<second_>[0-9]{2})(?:[.,](?P<fraction>[0-9]{1,9}))?)?
      (?:\ ?(?P<half>[ap])\.?m\.?)?)?
    (?:\ ?(?P<zone>z|(?:utc|gmt)?[+-][0-9]{2}:?[0-9]{2}|utc|gmt))?(?:\ \([^)]{0,40}\))?""",
    re.VERBOSE | re.IGNORECASE,
)


class Times:
    """Reads the cells of one time column, always the same way.

    Without a unit, a number's size tells it: below 10^11 seconds, below 10^14 milliseconds, else microseconds.
    `day_first` decides 3/4/2024 where only the order could tell.
    """

    def __init__(self, unit: Unit | None = None, zone: str = "UTC", day_first: bool = True) -> None:
        self._unit = unit
        self._zone = zone_named(zone)
        self._day_first = day_first
        self._text = lru_cache(maxsize=65_536)(self._parsed)

    def micros(self, cell: Cell) -> int | None:
        """Microseconds since 1970 UTC, or None for an empty cell. Raises Unusable for what is no time."""
        kind = cell.__class__
        if kind is str:
            return self._text(cell)
        if cell is None:
            return None
        if isinstance(cell, datetime):
            return self._instant(cell, cell)
        if isinstance(cell, date):
            return self._instant(datetime(cell.year, cell.month, cell.day), cell)  # noqa: DTZ001 (zone comes next)
        if kind in (int, float, Decimal):
            return self._unix(number(cell), cell)
        raise _no_time(cell)

    def _parsed(self, cell: str) -> int | None:
        written = " ".join(cell.split())
        if written in NULLS:
            return None
        if _UNIX.fullmatch(written) and not (self._unit is None and _COMPACT.fullmatch(written)):
            return self._unix(Decimal(written), cell)
        if _ISO.fullmatch(written) or _COMPACT.fullmatch(written):
            try:
                return self._instant(datetime.fromisoformat(written), cell)
            except ValueError:
                pass  # 2024-01-01 8:05 is no ISO 8601, but may be read below
        match = _WRITTEN.fullmatch(written) if len(written) <= 80 else None
        if match is None:
            raise _no_time(cell)
        try:
            return self._instant(self._assembled(match), cell)
        except ValueError:
            raise _no_time(cell) from None

    def _assembled(self, match: re.Match[str]) -> datetime:
        part = match.groupdict()
        year = int(part["year"] or part["year2"] or part["year3"] or part["year4"])
        if not part["year"] and year < 100:
            year += 2000 if year < 69 else 1900  # as POSIX does
        month, day = self._month_and_day(part)
        hour = int(part["hour"] or 0)
        if part["half"]:
            if not 1 <= hour <= 12:
                raise ValueError(hour)
            hour = hour % 12 + (12 if part["half"].lower() == "p" else 0)
        fraction = int((part["fraction"] or "0").ljust(6, "0")[:6])
        minute, second = int(part["minute"] or 0), int(part["second_"] or 0)
        return datetime(year, month, day, hour, minute, second, fraction, tzinfo=_offset(part["zone"]))

    def _month_and_day(self, part: dict[str, str | None]) -> tuple[int, int]:
        name = part["name3"] or part["name4"]
        if name:
            return _MONTHS.index(name[:3].lower()) + 1, int(part["day3"] or part["day4"] or 0)
        if part["month"]:
            return int(part["month"]), int(part["day"] or 0)
        first, second = int(part["first"] or 0), int(part["second"] or 0)
        return (second, first) if self._day_first else (first, second)

    def _unix(self, amount: Decimal | None, cell: Cell) -> int | None:
        if amount is None:
            return None
        size = abs(amount)
        unit: Unit = self._unit or ("s" if size < 10**11 else "ms" if size < 10**14 else "us")
        if size > 10**17:
            raise _no_time(cell)
        return _within(int(amount * _MICROS[unit]), cell)

    def _instant(self, moment: datetime, cell: Cell) -> int:
        aware = moment if moment.tzinfo else moment.replace(tzinfo=self._zone)
        try:
            return _within((aware - _EPOCH) // timedelta(microseconds=1), cell)
        except OverflowError:
            raise _no_time(cell) from None


def zone_named(name: str) -> ZoneInfo:
    """An IANA time zone. Raises InvalidInput for a name that is none."""
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):  # ZoneInfoNotFoundError is a KeyError; a folder's name gives OSError
        raise InvalidInput(f"“{name}” is not a time zone; write one such as Europe/London or UTC.") from None


def day_first(cells: Iterable[Cell]) -> bool | None:
    """Whether dates such as 31/12/2024 put the day first, by the first that can only be read one way.

    None: no cell tells, and there is a choice. True also where no cell begins in such a way at all, for which the first
    thousand are asked.
    """
    open_question = False
    for position, cell in enumerate(cells):
        match = _EITHER_ORDER.match(cell.strip()) if isinstance(cell, str) else None
        if match is None:
            if position > _DATES_ASKED and not open_question:
                break
            continue
        first, second = int(match[1]), int(match[2])
        if first > 12 >= second:
            return True
        if second > 12 >= first:
            return False
        open_question = open_question or first != second
    return None if open_question else True


def _offset(zone: str | None) -> tzinfo | None:
    if zone is None:
        return None
    digits = re.sub(r"[^-+0-9]", "", zone)
    if not digits:
        return UTC
    minutes = int(digits[1:3]) * 60 + int(digits[3:5])
    return timezone(timedelta(minutes=-minutes if digits[0] == "-" else minutes))


def _within(micros: int, cell: Cell) -> int:
    if _EARLIEST <= micros < _LATEST:
        return micros
    raise Unusable("bad_timestamp", f"{quoted(cell)} is not between the years 1990 and 2100; is the unit right?")


def _no_time(cell: Cell) -> Unusable:
    return Unusable("bad_timestamp", f"{quoted(cell)} is not a time that can be read.")
