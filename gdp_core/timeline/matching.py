"""Which events and which people a question is about: names, and conditions on fields. A closed set of comparisons.

A condition is decided once for every distinct value of a field and then looked up, so it costs a pass over codes. What
was decided of the values of a file is kept with them: of a million e-mail addresses it is not decided anew each time.
"""

import contextlib
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Literal

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from gdp_core.errors import InvalidInput
from gdp_core.timeline.arrays import NOTHING, EventColumn, PersonColumn, Timeline, Value, still
from gdp_core.timeline.values import Block, Values

Comparison = Literal[
    "is",
    "is_not",
    "contains",
    "not_contains",
    "starts_with",
    "ends_with",
    "matches",
    "includes",
    "not_includes",
    "gt",
    "gte",
    "lt",
    "lte",
    "set",
    "not_set",
]
MOST_MATCHES = 24
ANY = "*"
_CODES = 1 << 16
_EXACT = 1 << 53
_PERSON = "person."
_PROPERTY = "properties."


@dataclass(frozen=True, slots=True)
class Condition:
    """One comparison of a field. `is` and `contains` hold when they do for any of `values`, their opposites for none.

    `field` is a column of events or a property ("utm_source", "plan", "properties.plan"), or with "person." before it a
    column of people or a trait. Texts are compared without regard to case; a number equals its text ("10" is 10); more
    and less are for numbers and hold for nothing else. `matches` is one regular expression (RE2); `includes` is for
    lists, of which one element is one of the values.
    """

    field: str
    comparison: Comparison
    values: tuple[Value, ...] = ()

    def __post_init__(self) -> None:
        """Raise InvalidInput for what cannot be compared."""
        if not self.name:
            raise InvalidInput("A condition needs the name of a field.")
        if self.comparison not in _TESTS:
            raise InvalidInput(f"There is no comparison {self.comparison!r}; use one of {', '.join(_TESTS)}.")
        if self.comparison not in ("set", "not_set") and not self.values:
            raise InvalidInput(f"The condition on {self.field} needs a value to compare with.")
        if self.comparison in _ORDERED and (len(self.values) != 1 or number(self.values[0]) is None):
            raise InvalidInput(f"The condition on {self.field} needs a number, and only one.")
        if self.comparison == "matches":
            self._check_pattern()

    def _check_pattern(self) -> None:
        if len(self.values) != 1:
            raise InvalidInput(f"The condition on {self.field} needs one regular expression.")
        try:
            _searched(("",), str(self.values[0]))
        except (pa.ArrowInvalid, UnicodeEncodeError) as error:
            reason = str(error).removeprefix("Invalid regular expression: ")
            raise InvalidInput(f"The regular expression for {self.field} cannot be read: {reason[:200]}.") from None

    @classmethod
    def parse(cls, text: str) -> "Condition":
        """From text such as `plan=pro|team`, `plan!=free`, `amount>=10`, `url~/pricing`, `url!~/blog`, `url^=https`,
        `url$=.pdf`, `url^~/p/[0-9]+` (a regular expression), `tags<>vip` and `tags!<>vip` (a list with and without it),
        `plan?` (set) or `plan!?` (not set). A backslash takes the meaning of a sign: `plan=a\\|b` is one value; `plan=|`
        is the empty text. Raises InvalidInput.
        """
        found = _CONDITION.fullmatch(text)
        if not found:
            raise InvalidInput(f"{text!r} is no condition; write one like plan=pro, amount>=10, url~pricing or plan?.")
        field, sign = _plain(found["field"].strip()), found["sign"] or found["alone"]
        return cls(field, _SIGNS[sign], read_values(found["values"]) if found["sign"] else ())

    @property
    def text(self) -> str:
        """As `parse` reads it."""
        sign = next(sign for sign, comparison in _SIGNS.items() if comparison == self.comparison)
        return f"{_SPECIAL.sub(_ESCAPE, self.field)}{sign}{write_values(self.values)}"

    @property
    def of_person(self) -> bool:
        """Whether it is about the person rather than the event."""
        return self.field.startswith(_PERSON)

    @property
    def name(self) -> str:
        """The field without its prefix."""
        return self.field.removeprefix(_PERSON).removeprefix(_PROPERTY)

    def holds(self, value: Value | None) -> bool:
        """Whether it holds for a value; None is a missing field."""
        return _TESTS[self.comparison](value, self.values)


@dataclass(frozen=True, slots=True)
class Match:
    """Events of any of these names for which every condition holds. No name: every event."""

    names: tuple[str, ...]
    conditions: tuple[Condition, ...] = ()

    @classmethod
    def parse(cls, text: str, conditions: tuple[Condition, ...] = ()) -> "Match":
        """From names such as `signup` or `viewed|product_viewed`; `*` or nothing for every event. A backslash takes the
        meaning of a sign, as in a condition.
        """
        names = [name for name in map(str.strip, _parts(text)) if name]
        return cls(() if ANY in names else tuple(map(_plain, names)), conditions)

    @property
    def text(self) -> str:
        """Its names as `parse` reads them."""
        return "|".join(rf"\{ANY}" if name == ANY else _BETWEEN.sub(_ESCAPE, name) for name in self.names) or ANY

    @property
    def title(self) -> str:
        """For people."""
        return " or ".join(self.names) or "any event"


@dataclass(frozen=True, slots=True, eq=False)
class Marks:
    """What each row matches, for a kernel: bits[codes[shard][row]] has bit m set where match m does."""

    codes: tuple[NDArray[np.uint16], ...]
    bits: NDArray[np.uint32]

    def __post_init__(self) -> None:
        object.__setattr__(self, "codes", tuple(map(still, self.codes)))


def mark(timeline: Timeline, matches: Sequence[Match]) -> Marks:
    """Which of at most 24 matches each row meets. Raises InvalidInput for more.

    Without conditions a row's marks follow from its event's name alone, and nothing is copied.
    """
    if len(matches) > MOST_MATCHES:
        raise InvalidInput(f"At most {MOST_MATCHES} kinds of events can be looked for at once; leave some out.")
    by_name = np.zeros(max(1, len(timeline.names)), np.uint32)
    for number, match in enumerate(matches):
        by_name[timeline.codes_of(match.names) if match.names else slice(None)] |= np.uint32(1 << number)
    chosen = [bit for bit, match in enumerate(matches) if match.conditions]
    if not chosen:
        return Marks(tuple(shard.code for shard in timeline.shards), by_name)
    held = [
        [_all_hold(timeline, number, matches[bit].conditions) for bit in chosen]
        for number in range(len(timeline.shards))
    ]
    if len(by_name) << len(chosen) <= _CODES:
        return _by_name_and_conditions(timeline, by_name, chosen, held)
    return _by_what_is_met(timeline, by_name, chosen, held)


def _by_name_and_conditions(
    timeline: Timeline, by_name: NDArray[np.uint32], chosen: Sequence[int], held: Sequence[Sequence[NDArray[np.bool_]]]
) -> Marks:
    """A row's code is its name's, followed by a bit for each of the `chosen` matches: whether its conditions hold."""
    per_shard = []
    for shard, holds in zip(timeline.shards, held, strict=True):
        codes = shard.code << np.uint16(len(chosen))
        for place, mask in enumerate(holds):
            codes |= mask.astype(np.uint16) << np.uint16(place)
        per_shard.append(np.asarray(codes))
    code = np.arange(len(by_name) << len(chosen))
    bits = by_name[code >> len(chosen)]
    for place, bit in enumerate(chosen):
        bits[(code >> place & 1) == 0] &= ~np.uint32(1 << bit)
    return Marks(tuple(per_shard), bits)


def _by_what_is_met(
    timeline: Timeline, by_name: NDArray[np.uint32], chosen: Sequence[int], held: Sequence[Sequence[NDArray[np.bool_]]]
) -> Marks:
    """The same where names and conditions are too many for a code: one for each set of matches that some row meets."""
    per_shard = []
    for shard, holds in zip(timeline.shards, held, strict=True):
        marks = by_name[shard.code]
        for bit, mask in zip(chosen, holds, strict=True):
            marks[~mask] &= ~np.uint32(1 << bit)
        per_shard.append(marks)
    distinct = np.unique(np.concatenate([np.unique(marks) for marks in per_shard])) if per_shard else by_name[:1]
    if len(distinct) > np.iinfo(np.uint16).max:
        raise InvalidInput("These conditions are met in too many ways at once; leave some out.")
    return Marks(tuple(np.searchsorted(distinct, marks).astype(np.uint16) for marks in per_shard), distinct)


def _all_hold(timeline: Timeline, shard: int, conditions: Sequence[Condition]) -> NDArray[np.bool_]:
    found = _rows_of(timeline, shard, conditions[0])
    for condition in conditions[1:]:
        found &= _rows_of(timeline, shard, condition)
    return found


def _rows_of(timeline: Timeline, shard: int, condition: Condition) -> NDArray[np.bool_]:
    if condition.of_person:
        whole = people(timeline, (condition,))
        part = timeline.shards[shard]
        return np.repeat(whole[part.people], np.diff(part.offsets))
    column = timeline.columns.event(condition.name)
    return decided(column, condition)[column.codes[shard]]


def people(timeline: Timeline, conditions: Sequence[Condition]) -> NDArray[np.bool_]:
    """For whom every condition on the person holds, aligned with Timeline.numbers."""
    chosen = np.ones(timeline.people, np.bool_)
    for condition in conditions:
        if not condition.of_person:
            raise InvalidInput(f"{condition.field} is a field of events; write person.{condition.field} for people.")
        chosen &= _of_people(timeline, condition)
    return chosen


def _of_people(timeline: Timeline, condition: Condition) -> NDArray[np.bool_]:
    whole = timeline.columns.whole(condition.name) if condition.comparison in _OF_NUMBERS else None
    if whole is None:
        column = timeline.columns.person(condition.name)
        return decided(column, condition)[column.codes]
    if condition.comparison in ("set", "not_set"):
        return np.asarray((whole != NOTHING) == (condition.comparison == "set"))
    limits = [limit for limit in map(number, condition.values) if limit is not None]
    return np.asarray((whole != NOTHING) & _ORDERED[condition.comparison](whole.astype(np.float64), limits[0]))


def decided(column: EventColumn | PersonColumn, condition: Condition) -> NDArray[np.bool_]:
    """Whether it holds, by code; the last one, which code -1 finds, is for a missing value."""
    return np.append(held_by(column.values, condition), condition.holds(None))


def held_by(values: Sequence[Value], condition: Condition) -> NDArray[np.bool_]:
    """Whether it holds for each of these values."""
    if isinstance(values, Values):
        return np.concatenate([np.empty(0, np.bool_), *(_remembered(block, condition) for block in values.blocks)])
    return _decided(values, condition)


def _remembered(block: Block, condition: Condition) -> NDArray[np.bool_]:
    # Of 1, True and "1" Python says that the first two are equal; as texts they are three.
    key = ("decided", condition.comparison, repr(condition.values))
    bits = block.remember(key, lambda: np.packbits(_decided(block, condition)), lambda made: made.nbytes)
    return np.unpackbits(bits, count=len(block)).view(np.bool_)


def _decided(values: Sequence[Value] | Block, condition: Condition) -> NDArray[np.bool_]:
    comparison, wanted = condition.comparison, condition.values
    if comparison == "matches":
        parts = [_searched(part, str(wanted[0])) for part in _slices(values)]
        return np.concatenate([np.empty(0, np.bool_), *parts])
    if comparison in _SOUGHT and len(values) * len(wanted) > _FEW:
        with contextlib.suppress(UnicodeEncodeError):  # half of a sign, which no database keeps
            return _SOUGHT[comparison](_folded(values), _sought(wanted))
    if comparison in _ORDERED and isinstance(values, Block):
        limits = [limit for limit in map(number, wanted) if limit is not None]
        return np.asarray(_ORDERED[comparison](numbers_of(values), limits[0]))  # NaN is neither more nor less
    return np.fromiter(map(condition.holds, values), np.bool_, len(values))


def numbers_of(values: Sequence[Value] | Block) -> NDArray[np.float64]:
    """The numbers that values are, or read as; NaN for what is none."""
    if isinstance(values, Values):
        return np.concatenate([np.empty(0), *map(numbers_of, values.blocks)])

    def make() -> NDArray[np.float64]:
        read = map(number, values)
        return np.fromiter((np.nan if one is None else one for one in read), np.float64, len(values))

    return values.remember(("numbers",), make, lambda made: made.nbytes) if isinstance(values, Block) else make()


def _folded(values: Sequence[Value] | Block) -> pa.ChunkedArray:
    """The values as texts without regard to case."""

    def make() -> pa.ChunkedArray:
        parts = [pa.array(map(_text, part), pa.large_string()) for part in _slices(values)]
        return pa.chunked_array(parts, pa.large_string())

    return values.remember(("folded",), make, lambda made: int(made.nbytes)) if isinstance(values, Block) else make()


def _slices(values: Sequence[Value] | Block) -> Iterator[Sequence[Value]]:
    return values.slices() if isinstance(values, Block) else iter([values])


def _sought(wanted: Sequence[Value]) -> list[str]:
    """What is looked for, each once. Half of a sign is nowhere."""
    texts = dict.fromkeys(map(_text, wanted))
    return [text for text in texts if text.isascii() or text == text.encode(errors="ignore").decode()]


def _is(texts: pa.ChunkedArray, sought: Sequence[str]) -> NDArray[np.bool_]:
    return _mask(pc.is_in(texts, value_set=pa.array(sought, pa.large_string())))


def _each(find: Callable[..., pa.ChunkedArray]) -> Callable[[pa.ChunkedArray, Sequence[str]], NDArray[np.bool_]]:
    def found(texts: pa.ChunkedArray, sought: Sequence[str]) -> NDArray[np.bool_]:
        held = np.zeros(len(texts), np.bool_)
        for one in sought:
            held |= _mask(find(texts, pattern=one))
        return held

    return found


def _not(
    found: Callable[[pa.ChunkedArray, Sequence[str]], NDArray[np.bool_]],
) -> Callable[[pa.ChunkedArray, Sequence[str]], NDArray[np.bool_]]:
    return lambda texts, sought: ~found(texts, sought)


def _mask(found: pa.ChunkedArray) -> NDArray[np.bool_]:
    return np.asarray(found.to_numpy(zero_copy_only=False), np.bool_)


_SOUGHT: dict[str, Callable[[pa.ChunkedArray, Sequence[str]], NDArray[np.bool_]]] = {
    "is": _is,
    "is_not": _not(_is),
    "contains": _each(pc.match_substring),
    "not_contains": _not(_each(pc.match_substring)),
    "starts_with": _each(pc.starts_with),
    "ends_with": _each(pc.ends_with),
}
"""Of many values at once, in the texts of `_folded`: what `_TESTS` say of one."""
_FEW = 256  # pairs of texts that are compared sooner than Arrow is asked


def _searched(values: Sequence[Value], pattern: str) -> NDArray[np.bool_]:
    """Which values a regular expression finds something in, without regard to case. RE2: its time is linear in the text."""
    texts = pa.array(map(as_text, values), pa.string())
    found = pc.match_substring_regex(texts, pattern, ignore_case=True)
    return np.asarray(found.to_numpy(zero_copy_only=False), np.bool_)


_SIGNS: dict[str, Comparison] = {
    "=": "is",
    "!=": "is_not",
    "~": "contains",
    "!~": "not_contains",
    "^=": "starts_with",
    "$=": "ends_with",
    "^~": "matches",
    "<>": "includes",
    "!<>": "not_includes",
    ">=": "gte",
    "<=": "lte",
    ">": "gt",
    "<": "lt",
    "?": "set",
    "!?": "not_set",
}
_CONDITION = re.compile(
    r"(?P<field>(?:\\.|[^\\=!~^$<>?|])+)(?:(?P<sign>!<>|<>|!=|!~|\^=|\^~|\$=|>=|<=|=|~|>|<)(?P<values>.+)|(?P<alone>!?\?)\s*)",
    re.DOTALL,
)
_SPECIAL, _BETWEEN = re.compile(r"[\\=!~^$<>?|:]"), re.compile(r"[\\|]")  # what stands before a : commands may read
_ESCAPE, _ESCAPED = r"\\\g<0>", re.compile(r"\\([\\=!~^$<>?|*:])")


def read_values(text: str) -> tuple[str, ...]:
    """What stands between |, or the empty text for a lone |; a backslash takes the meaning of a sign."""
    return ("",) if text == "|" else tuple(map(_plain, _parts(text)))


def write_values(values: Sequence[Value]) -> str:
    """As `read_values` reads them."""
    written = "|".join(_BETWEEN.sub(_ESCAPE, as_text(value)) for value in values)
    return written if written or not values else "|"


def as_text(value: Value) -> str:
    """A value as somebody writes it: a text as it is."""
    return value if isinstance(value, str) else _text(value)


def _parts(text: str) -> list[str]:
    """What stands between |, still as it was written."""
    parts, escaped = [""], False
    for sign in text:
        if sign == "|" and not escaped:
            parts.append("")
        else:
            parts[-1] += sign
        escaped = sign == "\\" and not escaped
    return parts


def _plain(written: str) -> str:
    return _ESCAPED.sub(r"\1", written)


def _text(value: Value) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer() and abs(value) < _EXACT:
        return str(int(value))
    return str(value).casefold()


def number(value: Value | None) -> float | None:
    """The number a value is, or reads as; None for everything else."""
    if isinstance(value, bool) or value is None:
        return None
    read = value.strip() if isinstance(value, str) else value
    if isinstance(read, str) and not _NUMBER.fullmatch(read):
        return None
    found = float(read)
    return found if isfinite(found) else None


_NUMBER = re.compile(r"[+-]?(\d{1,40}(\.\d{0,40})?|\.\d{1,40})([eE][+-]?\d{1,3})?")


def _any(test: Callable[[str, str], bool]) -> Callable[[Value | None, tuple[Value, ...]], bool]:
    return lambda value, wanted: value is not None and any(test(_text(value), _text(one)) for one in wanted)


def _none(test: Callable[[str, str], bool]) -> Callable[[Value | None, tuple[Value, ...]], bool]:
    return lambda value, wanted: value is None or not any(test(_text(value), _text(one)) for one in wanted)


def _any_element(value: Value | None, wanted: tuple[Value, ...]) -> bool:
    """Whether a list, which stands as its JSON text, has one of these; a single value is a list of one."""
    if value is None:
        return False
    elements = [value]
    if isinstance(value, str) and value.startswith("["):
        with contextlib.suppress(orjson.JSONDecodeError):
            elements = [one for one in orjson.loads(value) if isinstance(one, str | int | float | bool)]
    return bool({*map(_text, elements)} & {*map(_text, wanted)})


def _ordered(test: Callable[[float, float], bool]) -> Callable[[Value | None, tuple[Value, ...]], bool]:
    def holds(value: Value | None, wanted: tuple[Value, ...]) -> bool:
        mine = number(value)
        return mine is not None and any(test(mine, other) for other in map(number, wanted) if other is not None)

    return holds


_ORDERED: dict[str, Callable[[NDArray[np.float64], float], NDArray[np.bool_]]] = {
    "gt": np.greater,
    "gte": np.greater_equal,
    "lt": np.less,
    "lte": np.less_equal,
}
_OF_NUMBERS = {*_ORDERED, "set", "not_set"}  # what is asked of numbers without their texts
_TESTS: dict[str, Callable[[Value | None, tuple[Value, ...]], bool]] = {
    "is": _any(str.__eq__),
    "is_not": _none(str.__eq__),
    "contains": _any(str.__contains__),
    "not_contains": _none(str.__contains__),
    "starts_with": _any(str.startswith),
    "ends_with": _any(str.endswith),
    "matches": lambda value, wanted: value is not None and bool(_searched((value,), str(wanted[0]))[0]),
    "includes": _any_element,
    "not_includes": lambda value, wanted: not _any_element(value, wanted),
    "gt": _ordered(float.__gt__),
    "gte": _ordered(float.__ge__),
    "lt": _ordered(float.__lt__),
    "lte": _ordered(float.__le__),
    "set": lambda value, _: value is not None,
    "not_set": lambda value, _: value is None,
}
