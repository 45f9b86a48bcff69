"""What every condition of a rule is: a frozen model that holds or does not hold for each person at an instant.

A condition sees a workspace through `Facts` alone, and only what happened before `facts.at`. So the same code serves a
preview, the stored membership, an explanation and a look into the past. Nothing here counts machines unless asked.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from gdp_core.analytics.calendar import instant, micros
from gdp_core.analytics.measures import MONEY
from gdp_core.analytics.scope import in_reach, midnight
from gdp_core.analytics.window import Unit, Window
from gdp_core.errors import InvalidInput
from gdp_core.money import MICROS
from gdp_core.timeline import matching
from gdp_core.timeline.matching import Comparison, Match

if TYPE_CHECKING:
    from gdp_core.segments.facts import Facts

Mask = NDArray[np.bool_]
Instants = NDArray[np.int64]

LONGEST_TEXT = 1_000
MOST_VALUES = 1_000
MOST_EVENTS = 50
MOST_WHERE = 10
ALWAYS = int(np.iinfo(np.int64).min)
NEVER_ENDS = int(np.iinfo(np.int64).max)
AHEAD = 365 * 86_400_000_000
"""How far ahead, in microseconds, a condition at least says when it turns."""
LOOKS = 5_000
"""How often conditions are asked ahead at most: of the instants that come next, one need not say more."""
_LARGEST = 10**18


# ---------------------------------------------------------------------------------------------------- small types


def wrong(field: str, message: str) -> PydanticCustomError:
    """What is raised for a field that only the others make wrong, so that the message stands beside it."""
    return PydanticCustomError("at_field", "{message}", {"field": field, "message": message})


def _window(text: str) -> str:
    try:
        return Window.parse(text).text
    except InvalidInput as error:
        raise ValueError(str(error)) from None


def _clean(text: str) -> str:
    if "\x00" in text:
        raise ValueError("A text cannot hold a NUL character.")
    if not text.isascii() and any("\ud800" <= sign <= "\udfff" for sign in text):
        raise ValueError("This text holds half a character: type it again.")
    return text


def _value(given: object) -> object:
    if isinstance(given, str):
        if len(given) > LONGEST_TEXT:
            raise ValueError(f"A value is at most {LONGEST_TEXT:,} characters long: make it shorter.")
        return _clean(given)
    if not isinstance(given, bool | int | float) or not -_LARGEST <= given <= _LARGEST:
        raise ValueError("A value is a text, a number of at most 18 digits, or true or false.")
    return given


def _day(text: str) -> str:
    try:
        day = date.fromisoformat(text)
    except ValueError:
        raise ValueError("Write a day like 2026-01-31.") from None
    if not in_reach(day, day):
        raise ValueError("Choose a day between 1990 and 9000.")
    return day.isoformat()


Length = Annotated[str, Field(max_length=20), AfterValidator(_window)]
"""A length of time as Window.parse reads it: 30d, 4h, 2w, 1mo (30 x 24 h)."""
Day = Annotated[str, Field(max_length=10), AfterValidator(_day)]
"""A local day of the workspace, ISO."""
Text = Annotated[str, Field(max_length=LONGEST_TEXT), AfterValidator(_clean)]
Name = Annotated[str, Field(min_length=1, max_length=200), AfterValidator(_clean)]
Value = Annotated[bool | int | float | str, Field(union_mode="smart"), BeforeValidator(_value)]
"""What a field is compared with. It keeps its type: "1" and 1 compare alike, but never become true."""
Number = Annotated[float, Field(ge=-1e18, le=1e18, allow_inf_nan=False)]
NumberComparison = Literal["is", "is_not", "gt", "gte", "lt", "lte", "between"]

NUMBER_WORDS: dict[str, str] = {
    "is": "exactly",
    "is_not": "other than",
    "gt": "more than",
    "gte": "at least",
    "lt": "less than",
    "lte": "at most",
    "between": "between",
}
_UNITS: dict[Unit, str] = {"s": "second", "min": "minute", "h": "hour", "d": "day", "w": "week", "mo": "month"}


def length(text: str) -> int:
    """A length in microseconds."""
    return Window.parse(text).micros


def spoken(text: str) -> str:
    """A length for people: 30 days, 1 hour."""
    window = Window.parse(text)
    name = _UNITS[window.unit]
    return f"{window.amount:,} {name if window.amount == 1 else name + 's'}"


def in_money(value: Value) -> Value:
    """Micros as people read them; what is no number is itself."""
    found = matching.number(value)
    return value if found is None else found / MICROS


def listed(values: Sequence[object], joined: str = "or") -> str:
    """Values for people: a, b or c."""
    texts = [matching.as_text(value) if isinstance(value, str | int | float) else str(value) for value in values]
    shown = [f"“{text}”" if text == "" or re.search(r"\s|,", text) else text for text in texts]
    if len(shown) > 6:
        return f"{', '.join(shown[:5])} {joined} {len(shown) - 5:,} more"
    return f"{', '.join(shown[:-1])} {joined} {shown[-1]}" if len(shown) > 1 else "".join(shown)


class Model(BaseModel):
    """A part of a rule: it never changes, and knows no other fields."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    @cached_property
    def key(self) -> str:
        """Its JSON: the same for the same part and no other, while Python takes 1 and true for equal."""
        return self.model_dump_json()


class Compared(Model):
    """A comparison with a number: `between` has two, both included; the others one."""

    op: NumberComparison = "gte"
    values: tuple[Number, ...] = Field(default=(1.0,), min_length=1, max_length=2)

    @model_validator(mode="after")
    def _as_many_as_needed(self) -> "Compared":
        needed = 2 if self.op == "between" else 1
        if len(self.values) != needed:
            raise wrong("values", "Give two numbers, the lower one first." if needed == 2 else "Give one number.")
        if needed == 2 and self.values[0] > self.values[1]:
            raise wrong("values", "Give the lower number first.")
        return self

    def of(self, found: NDArray[Any]) -> Mask:
        """For which numbers it holds; never for NaN."""
        low, high = self.values[0], self.values[-1]
        match self.op:
            case "is":
                held = found == low
            case "is_not":
                held = (found != low) & ~np.isnan(found.astype(np.float64))
            case "gt":
                held = found > low
            case "gte":
                held = found >= low
            case "lt":
                held = found < low
            case "lte":
                held = found <= low
            case _:
                held = (found >= low) & (found <= high)
        return np.asarray(held, np.bool_)

    @property
    def sentence(self) -> str:
        """For people: at least 3."""
        numbers = [f"{value:,.10g}" for value in self.values]
        return f"{NUMBER_WORDS[self.op]} {' and '.join(numbers)}"

    @property
    def of_so_much(self) -> str:
        """For people, to stand behind a noun: of at least 3, between 3 and 5."""
        return self.sentence if self.op in ("is_not", "between") else f"of {self.sentence}"

    def over(self, parts: float) -> "Compared":
        """The same of a number so many times smaller: micros as money."""
        return Compared(op=self.op, values=tuple(value / parts for value in self.values))


def check_comparison(field: str, comparison: Comparison, values: tuple[Value, ...]) -> None:
    """Raise for what cannot be compared, beside the part that is to be changed."""
    try:
        matching.Condition(field, comparison, values)
    except InvalidInput as error:
        part = "field" if field in ("person.", "properties.") else "values"
        raise wrong(part, str(error).replace("person.", "")) from None


class Where(Model):
    """A condition on a property of an event, as matching.Condition compares it."""

    field: Name
    comparison: Comparison = "is"
    values: tuple[Value, ...] = Field(default=(), max_length=MOST_VALUES)

    @model_validator(mode="after")
    def _comparable(self) -> "Where":
        if self.field.startswith("person."):
            raise wrong("field", "A field of the person is a condition of its own, not a filter of an event.")
        check_comparison(self.field, self.comparison, self.values)
        return self

    @property
    def condition(self) -> matching.Condition:
        """As the timeline compares it."""
        return matching.Condition(self.field, self.comparison, self.values)

    @property
    def sentence(self) -> str:
        """For people: plan is pro or team."""
        name, values = self.field, self.values
        if name.removeprefix("properties.") == MONEY:
            name, values = "value", tuple(map(in_money, values))
        return f"{name} {COMPARISON_WORDS[self.comparison]} {listed(values)}".rstrip()


COMPARISON_WORDS: dict[str, str] = {
    "is": "is",
    "is_not": "is not",
    "contains": "contains",
    "not_contains": "does not contain",
    "starts_with": "starts with",
    "ends_with": "ends with",
    "matches": "matches",
    "includes": "includes",
    "not_includes": "does not include",
    "gt": "is more than",
    "gte": "is at least",
    "lt": "is less than",
    "lte": "is at most",
    "set": "is known",
    "not_set": "is not known",
}


class Event(Model):
    """Events: of any of these names (none: whatever people surely did) for which every filter holds.

    `machines`: opens, clicks and others that a machine did count too.
    """

    names: tuple[Name, ...] = Field(default=(), max_length=MOST_EVENTS)
    where: tuple[Where, ...] = Field(default=(), max_length=MOST_WHERE)
    machines: bool = False

    @property
    def match(self) -> Match:
        """As the timeline looks for them."""
        return Match(tuple(dict.fromkeys(self.names)), tuple(one.condition for one in self.where))

    @classmethod
    def of(cls, match: Match) -> "Event":
        """From what a timeline looks for."""
        where = (Where(field=one.field, comparison=one.comparison, values=one.values) for one in match.conditions)
        return cls(names=match.names, where=tuple(where))

    @property
    def sentence(self) -> str:
        """For people, to stand behind "did": order (plan is pro)."""
        return f"{listed(self.names) or 'anything'}{self._filters}"

    @property
    def denied(self) -> str:
        """For people, that it is not there: no order (plan is pro)."""
        return f"{f'no {listed(self.names)}' if self.names else 'nothing'}{self._filters}"

    @property
    def _filters(self) -> str:
        told = [" and ".join(one.sentence for one in self.where)] if self.where else []
        told += ["machines included"] if self.machines else []
        return f" ({', '.join(told)})" if told else ""


class When(Model):
    """Which events count by their time. All given parts must hold; nothing given: all that ever happened.

    `last`: in [now - last, now). `ago`: before now - ago. `since`, `until`: local days, both included. `after`: not
    before an instant of the person (signup_at, ...), and with `during` less than so long after it.
    """

    last: Length | None = None
    ago: Length | None = None
    since: Day | None = None
    until: Day | None = None
    after: Name | None = None
    during: Length | None = None

    @model_validator(mode="after")
    def _possible(self) -> "When":
        if self.last and self.ago and length(self.last) <= length(self.ago):
            raise wrong("ago", "The window begins after it ends: make this length shorter than the other.")
        if self.since and self.until and self.since > self.until:
            raise wrong("until", "The last day is before the first one.")
        if self.during and not self.after:
            raise wrong("after", "Say after which instant of the person this time runs.")
        return self

    @property
    def lengths(self) -> tuple[int, ...]:
        """How long after an event its counting may change, by time alone."""
        return tuple(length(one) for one in (self.last, self.ago) if one)

    @property
    def sentence(self) -> str:
        """For people, to stand behind: in the last 30 days."""
        parts = []
        if self.last and self.ago:
            parts.append(f"between {spoken(self.last)} and {spoken(self.ago)} ago")
        elif self.last:
            parts.append(f"in the last {spoken(self.last)}")
        elif self.ago:
            parts.append(f"more than {spoken(self.ago)} ago")
        if self.since and self.until:
            parts.append(f"from {self.since} to {self.until}")
        elif self.since or self.until:
            parts.append(f"since {self.since}" if self.since else f"until {self.until}")
        if self.after:
            within = f"in the {spoken(self.during)} after" if self.during else "after"
            parts.append(f"{within} their {instant_name(self.after)}")
        return " and ".join(parts)


EVER = When()


def local(at: int, zone: ZoneInfo) -> datetime | None:
    """An instant, microseconds, on the clock of a workspace; None beyond the calendar's end."""
    try:
        return instant(at).astimezone(zone)
    except OverflowError:
        return None


def shown(at: int, zone: ZoneInfo) -> str:
    """An instant for people: 19 Nov 2026, 09:00."""
    found = local(at, zone)
    return f"{found.day} {found:%b %Y, %H:%M}" if found else "not known"


def instant_name(field: str) -> str:
    """An instant of the person for people: signup_at is "signup"."""
    return field.removeprefix("person.").removesuffix("_at").replace("_", " ")


def often(how: str, times: int) -> str:
    """So many times, for people, to stand behind what is done: at least 3 times; nothing for at least once."""
    if how == "at_least" and times < 2:
        return "" if times else " any number of times"
    return f" {how.replace('_', ' ')} {'once' if times == 1 else f'{times:,} times'}"


def a(noun: str) -> str:
    """A noun behind its article."""
    return f"{'an' if noun[:1].lower() in 'aeiou' or noun == 'MRR' else 'a'} {noun}"


def joined(parts: Sequence[str]) -> str:
    """Parts of a sentence that all hold: a, b and c."""
    return f"{', '.join(parts[:-1])} and {parts[-1]}" if len(parts) > 1 else "".join(parts)


# ------------------------------------------------------------------------------------------------------ evidence


@dataclass(frozen=True, slots=True)
class Happening:
    """An event that speaks for or against a condition: its name and instant (microseconds)."""

    name: str
    at: int


@dataclass(frozen=True, slots=True)
class Evidence:
    """What a condition found of one person: a sentence, and the newest of the events behind it, of `events` in all.

    `found` and `wanted`: a value and what it is compared with, where there is one.
    """

    sentence: str
    found: str = ""
    wanted: str = ""
    happenings: tuple[Happening, ...] = ()
    events: int = 0


# ----------------------------------------------------------------------------------------------------- conditions


@dataclass(frozen=True, slots=True)
class Uses:
    """What a condition names: so that a rule can be checked, listed under "used by", and ordered by dependency."""

    events: tuple[Event, ...] = ()
    fields: tuple[str, ...] = ()  # of people, without a prefix
    properties: tuple[str, ...] = ()  # of events, besides those filters name
    features: tuple[str, ...] = ()
    segments: tuple[str, ...] = ()
    lists: tuple[str, ...] = ()
    stops: bool = False  # suppressed addresses

    @property
    def people(self) -> bool:
        """Whether it asks for people of whom the timeline knows nothing: who is on a list, whose address is suppressed."""
        return bool(self.lists) or self.stops


@dataclass(frozen=True, slots=True)
class Names:
    """What things are called, for sentences: by id or slug."""

    segments: dict[str, str] = field(default_factory=dict)
    lists: dict[str, str] = field(default_factory=dict)
    features: dict[str, str] = field(default_factory=dict)
    money: frozenset[str] = frozenset()
    """Features that are kept in micros."""
    shares: frozenset[str] = frozenset()
    """Features from 0 to 1, shown as percentages."""
    texts: frozenset[str] = frozenset()
    """Features that are texts."""
    personal: frozenset[str] = frozenset()
    """Features that say who somebody is."""

    def segment(self, key: str) -> str:
        """Its name, or that it is gone."""
        return self.segments.get(key, "a deleted segment")

    def static_list(self, key: str) -> str:
        """Its name, or that it is gone."""
        return self.lists.get(key, "a deleted list")

    def feature(self, slug: str) -> str:
        """Its title, or its slug."""
        return self.features.get(slug, slug)


class Condition(Model):
    """A leaf of a rule. A kind is a file of this folder and a line of its registry."""

    title: ClassVar[str]
    """What the builder calls the kind."""
    icon: ClassVar[str] = "filter_alt"
    """A Material symbol."""
    help: ClassVar[str] = ""
    """One sentence for whoever chooses a kind."""

    kind: str

    def holds(self, facts: "Facts") -> Mask:
        """For whom it holds at facts.at, aligned with facts.timeline.numbers. Who does not count is left out later."""
        raise NotImplementedError

    def sentence(self, names: Names) -> str:
        """In English, to stand behind "People who ..."."""
        raise NotImplementedError

    def turns(self, facts: "Facts") -> Iterator[Instants]:
        """Instants after which it may hold otherwise though nothing happens, of a timeline of one person.

        They may be in any order, and may change nothing. Microseconds; each is the first at which the new state holds. Of
        the AHEAD after facts.at none may be missing but behind LOOKS others; where none is after it, it never changes again.
        """
        raise NotImplementedError

    def evidence(self, facts: "Facts", names: Names) -> Evidence:
        """What speaks for it or against it, of a timeline of one person."""
        raise NotImplementedError

    @property
    def uses(self) -> Uses:
        """What it names."""
        return Uses()


def edges_of(when: When, facts: "Facts") -> tuple[int, int]:
    """[since, until) in microseconds of the parts of a When that are the same for everybody; until is never after now."""
    since, until = ALWAYS, facts.at
    if when.last:
        since = max(since, facts.at - length(when.last))
    if when.ago:
        until = min(until, facts.at - length(when.ago))
    if when.since:
        since = max(since, micros(midnight(date.fromisoformat(when.since), facts.zone)))
    if when.until:
        following = date.fromordinal(date.fromisoformat(when.until).toordinal() + 1)
        until = min(until, micros(midnight(following, facts.zone)))
    return since, until


def instants_of(facts: "Facts", event: Event) -> Instants:
    """When these events happened or will have, of a timeline of one person: ascending, each once."""
    found = np.sort(np.concatenate([stream.at for stream in facts.streams(event)]))
    return found[np.append(True, found[1:] != found[:-1])] if len(found) else found


def turns_after(facts: "Facts", instants: Instants, lengths: Sequence[int] = ()) -> Iterator[Instants]:
    """When events come into view, and when so many microseconds have passed since: the next of them. `instants` ascend,
    each once; of somebody with a million of them no more than LOOKS come before another is looked at."""
    for one in {0, *lengths}:
        first = int(np.searchsorted(instants, facts.at - one))
        yield instants[first : first + LOOKS + 1] + (one + 1)


def happenings(
    facts: "Facts", event: Event, when: When = EVER, *, oldest: bool = False
) -> tuple[tuple[Happening, ...], int]:
    """The newest (or oldest) of the events within their time, and how many there are, of a timeline of one person."""
    found = facts.found(event, when)
    told, times = [], 0
    for stream, rows in zip(found.streams, found.rows, strict=True):
        for first, end in zip(rows.first.tolist(), rows.end.tolist(), strict=True):
            times += end - first
            shown = slice(first, min(end, first + MOST_SHOWN)) if oldest else slice(max(first, end - MOST_SHOWN), end)
            told += [happening(facts, stream, row) for row in rows.rows[shown].tolist()]
    told.sort(key=lambda one: one.at if oldest else -one.at)
    return tuple(told[:MOST_SHOWN]), times


def happening(facts: "Facts", stream: Any, row: int) -> Happening:
    """A row of a stream's shard."""
    return Happening(facts.timeline.names[stream.shard.code[row]], int(stream.shard.at[row]))


MOST_SHOWN = 10
