"""What is added up in a report: money, or a number in a field of events, looked up by its code.

Integers are added exactly. What is not a number and does not read as one is left out. Amounts of two currencies are
never added: a report takes one, and says which others there are.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from gdp_core.timeline.arrays import Timeline, Value
from gdp_core.timeline.matching import Condition, Match, numbers_of
from gdp_core.timeline.values import types_of

MONEY = "value_micros"
CURRENCY = "currency"
Numbers = NDArray[np.int64] | NDArray[np.float64]
_EXACT = 2**62


@dataclass(frozen=True, slots=True, eq=False)
class Amounts:
    """A field of events as numbers: numbers[codes[shard][row]] where known there. Micros for money."""

    codes: tuple[NDArray[np.int32], ...]
    numbers: Numbers
    known: NDArray[np.bool_]


def amounts(timeline: Timeline, field: str) -> Amounts:
    """The numbers of a field. The last ones, which code -1 finds, are for rows without it."""
    column = timeline.columns.event(Condition(field, "set").name)
    found, known = read_numbers(column.values)
    padded = np.append(found, 0)
    exact = _is_whole(found) and _fits(found, column.codes)
    numbers: Numbers = padded.astype(np.int64) if exact else padded.astype(np.float64)
    return Amounts(column.codes, numbers, np.append(known, False))


def nothing(timeline: Timeline) -> Amounts:
    """For reports that add nothing up."""
    none = np.empty(0, np.int32)
    return Amounts((none,) * len(timeline.shards), np.zeros(1, np.int64), np.zeros(1, np.bool_))


def is_money(field: str) -> bool:
    """Whether a field holds micros of a currency."""
    return Condition(field, "set").name == MONEY


def in_currency(timeline: Timeline, match: Match, currency: str) -> tuple[Match, tuple[str, ...]]:
    """The events whose money can be added up, and the other currencies there are.

    Where there is no other currency, money of events that name none is in the one there is.
    """
    present = sorted(str(value) for value in timeline.columns.event(CURRENCY).values)
    others = tuple(name for name in present if name.casefold() != currency.casefold())
    if not others:
        return match, ()
    return replace(match, conditions=(*match.conditions, Condition(CURRENCY, "is", (currency,)))), others


def left_out(others: Sequence[str]) -> str:
    """What to say of amounts in other currencies; nothing where there are none."""
    return f"Amounts in {', '.join(others)} are not in it." if others else ""


def read_numbers(values: Sequence[Value]) -> tuple[Numbers, NDArray[np.bool_]]:
    """The values as numbers, 0 for what is none, and which are. Whole numbers of 64 bits stay exact."""
    if types_of(values) <= {int}:
        try:
            return np.array(list(values), np.int64), np.ones(len(values), np.bool_)
        except OverflowError:
            pass  # beyond 64 bits: as floats, like every other number
    read = numbers_of(values)
    known = ~np.isnan(read)
    return np.where(known, read, 0.0), known


def _is_whole(found: Numbers) -> bool:
    return found.dtype == np.int64 or np.array_equal(found, np.trunc(found))


def _fits(found: Numbers, codes: tuple[NDArray[np.int32], ...]) -> bool:
    """Whether no sum of theirs, whichever rows it is over, can leave 64 bits."""
    sizes = np.append(np.abs(found.astype(np.float64)), 0)
    if sizes.max() * max(1, sum(map(len, codes))) < _EXACT:
        return True
    return sum(float(sizes[part].sum()) for part in codes) < _EXACT
