"""What a condition may ask of a workspace at an instant: the one way from rules to the timeline.

`Facts` answers with arrays over all people and remembers each answer, so that rules share what they have in common. It
knows nothing of rules; only what happened before `at` is in any answer. What is said of events is not remembered: of a
million people it would take a hundred times the room of the masks that conditions make of it.
"""

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from gdp_core.analytics.beginnings import NEVER, instants_of
from gdp_core.analytics.calendar import instant
from gdp_core.analytics.warning import Model, scores
from gdp_core.errors import InvalidInput
from gdp_core.features.base import Feature, Held, Scored
from gdp_core.features.measuring import DAY, measure
from gdp_core.segments.conditions import Condition
from gdp_core.segments.conditions.base import EVER, NEVER_ENDS, Event, Instants, Mask, Names, When, edges_of, length
from gdp_core.segments.rules import Rule, in_order
from gdp_core.timeline import matching
from gdp_core.timeline.arrays import EventColumn, PersonColumn, Timeline, Value, still
from gdp_core.timeline.kept import Kept
from gdp_core.timeline.kernels.streams import (
    DISTINCT,
    LEAST,
    MEAN,
    MOST,
    SUM,
    Keyed,
    followed,
    periods,
    reckon,
    spread,
    standing,
    unanswered,
)
from gdp_core.timeline.matching import Comparison, Match, decided, held_by, numbers_of
from gdp_core.timeline.some import some
from gdp_core.timeline.streams import Stream, streams
from gdp_core.timeline.values import types_of

Floats = NDArray[np.float64]
Answer = TypeVar("Answer")
Number = TypeVar("Number", bound=np.generic)
Placed = tuple[tuple[Stream, ...], list[NDArray[np.int32]]]
"""By shard and person of its stream, the place in the stream of a row; -1 without one."""
_MOST_BYTES = 1 << 30
_KINDS = {"sum": SUM, "average": MEAN, "min": LEAST, "max": MOST, "distinct": DISTINCT}


@dataclass(frozen=True, slots=True, eq=False)
class Stops:
    """Addresses that must not be written to, by the number of the person who has each: why, since when, and until when
    (microseconds; NEVER where it was not lifted since)."""

    numbers: NDArray[np.int64]
    reasons: tuple[str, ...]
    since: NDArray[np.int64]
    lifted: NDArray[np.int64]

    def at(self, instant: int, reasons: Sequence[str]) -> NDArray[np.int64]:
        """The numbers of who is stopped at an instant, for one of the reasons or, without any, for whatever reason."""
        held = (self.since < instant) & ((self.lifted < self.since) | (self.lifted >= instant))
        if reasons:
            held &= np.array([reason in reasons for reason in self.reasons], np.bool_)
        return self.numbers[held]


NO_STOPS = Stops(np.empty(0, np.int64), (), np.empty(0, np.int64), np.empty(0, np.int64))


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a workspace says besides its timeline: of its segments by id, of its lists who is on them by number."""

    zone: ZoneInfo
    features: Mapping[str, Feature] = field(default_factory=dict)
    roles: Mapping[str, Match] = field(default_factory=dict)
    model: Model | None = None
    rules: Mapping[str, Rule] = field(default_factory=dict)
    lists: Mapping[str, NDArray[np.int64]] = field(default_factory=dict)
    stops: Stops = NO_STOPS
    names: Names = field(default_factory=Names)


@dataclass(frozen=True, slots=True, eq=False)
class Told:
    """A feature of everybody: numbers, NaN for nothing; whole days for instants; for texts codes into `words`."""

    values: Floats
    words: Sequence[Value] | None = None

    @property
    def numbers(self) -> Floats:
        """As numbers: of texts, those they read as."""
        if self.words is None:
            return self.values
        return self._by_word(np.append(numbers_of(self.words), np.nan))

    def is_one_of(self, texts: Sequence[str]) -> Mask:
        """Whose text is one of these, without regard to case. A number is no text."""
        if self.words is None:
            return np.zeros(len(self.values), np.bool_)
        return self._by_word(np.append(held_by(self.words, matching.Condition("word", "is", tuple(texts))), False))

    def _by_word(self, found: NDArray[Number]) -> NDArray[Number]:
        """What is found of each word, and last of none, for everybody."""
        return found[np.nan_to_num(self.values, nan=-1).astype(np.int64)]


@dataclass(frozen=True, slots=True, eq=False)
class Found:
    """The rows of some events by shard, within their time: of who has any in the shard."""

    streams: tuple[Stream, ...]
    rows: tuple[Keyed, ...]


class Facts:
    """The people of a timeline at an instant `at`, microseconds."""

    def __init__(self, timeline: Timeline, at: int, surroundings: Surroundings) -> None:
        self.timeline = timeline
        self.at = at
        self.surroundings = surroundings
        self.zone = surroundings.zone
        self._remembered = Kept(_MOST_BYTES)
        self._lasting = Kept(_MOST_BYTES)  # what is the same at every instant

    def remember(self, key: tuple[Hashable, ...], make: Callable[[], Answer]) -> Answer:
        """What was made under a key before, or is made now, by one thread while others wait for it. Beyond a gigabyte, what
        is asked least is made again."""
        return self._remembered.get(key, make, _size)

    def mask(self, key: tuple[Hashable, ...], make: Callable[[], Mask]) -> Mask:
        """The same of a mask over all people, of which there may be very many: a bit for each."""
        bits = self.remember(key, lambda: np.packbits(make()))
        return np.unpackbits(bits, count=self.people).view(np.bool_)

    def _last(self, key: tuple[Hashable, ...], make: Callable[[], Answer]) -> Answer:
        """The same for what does not depend on the instant."""
        return self._lasting.get(key, make, _size)

    @property
    def people(self) -> int:
        """How many people the arrays are about."""
        return self.timeline.people

    @property
    def live(self) -> Mask:
        """Who counts: not internal people."""
        return self._last(("live",), self._live)

    def _live(self) -> Mask:
        found = self.nobody()
        for shard in self.timeline.shards:
            found[shard.people[shard.live]] = True
        return found

    def nobody(self) -> Mask:
        """A mask of nobody, to be filled."""
        return np.zeros(self.people, np.bool_)

    # --------------------------------------------------------------------------------------------------- events

    def found(self, event: Event, when: When) -> Found:
        """The rows of these events within their time."""
        rows = []
        made = self.streams(event)
        since, until = edges_of(when, self)
        begins, ends = np.array([since], np.int64), np.array([until], np.int64)
        for number, stream in enumerate(made):
            if when.after:
                begun = self.instants(when.after)[self.timeline.shards[number].people[stream.people]]
                known = begun != NEVER
                begins = np.where(known, np.maximum(since, begun), NEVER_ENDS)
                if when.during:
                    ends = np.minimum(until, np.where(known, begun, 0) + length(when.during))
            rows.append(stream.within(begins, ends))
        return Found(made, tuple(rows))

    def spread(self, made: Sequence[Stream], values: Sequence[NDArray[Number]], empty: float) -> NDArray[Number]:
        """Values of each shard's stream people as one array over all people; `empty` for everybody else."""
        told = np.full(self.people, empty, values[0].dtype)
        for stream, part in zip(made, values, strict=True):
            spread(told, part, stream.people, stream.shard.people, stream.shard.live)
        return told

    def counts(self, event: Event, when: When) -> NDArray[np.int32]:
        """How many of these events each person has."""
        found = self.found(event, when)
        return self.spread(found.streams, [rows.end - rows.first for rows in found.rows], 0)

    def counts_between(self, event: Event, since: int, until: int) -> NDArray[np.int32]:
        """How many of these events each person has in [since, until), microseconds."""
        made = self.streams(event)
        parts = []
        begins, ends = np.array([since], np.int64), np.array([min(until, self.at)], np.int64)
        for stream in made:
            rows = stream.within(begins, ends)
            parts.append(rows.end - rows.first)
        return self.spread(made, parts, 0)

    def firsts(self, event: Event, when: When = EVER) -> Instants:
        """When each person first did one of these; beginnings.NEVER for who did not."""
        return self._edge(event, when, last=False)

    def lasts(self, event: Event, when: When = EVER) -> Instants:
        """When each person last did one of these; beginnings.NEVER for who did not."""
        return self._edge(event, when, last=True)

    def _edge(self, event: Event, when: When, *, last: bool) -> Instants:
        found = self.found(event, when)
        parts = []
        for stream, rows in zip(found.streams, found.rows, strict=True):
            told = np.full(len(stream.people), NEVER, np.int64)
            has = rows.end > rows.first
            places = (rows.end - 1 if last else rows.first)[has]
            told[has] = rows.at[places]
            parts.append(told)
        return self.spread(found.streams, parts, NEVER)

    def last_value(self, event: Event, column: str) -> tuple[Instants, NDArray[np.int32]]:
        """When each person last did one of these, and the code of a field it had then; -1 without one."""
        found = self.found(event, EVER)
        codes = self.column(column).codes
        parts = []
        for number, (stream, rows) in enumerate(zip(found.streams, found.rows, strict=True)):
            told = np.full(len(stream.people), -1, np.int32)
            has = rows.end > rows.first
            told[has] = codes[number][rows.rows[rows.end[has] - 1]]
            parts.append(told)
        return self.lasts(event), self.spread(found.streams, parts, -1)

    def periods(self, event: Event, period: int, number: int) -> NDArray[np.int64]:
        """In how many of the last periods of this length each person did one of these."""
        made, parts = self.streams(event), []
        begins, ends = np.array([self.at - number * period], np.int64), np.array([self.at], np.int64)
        for stream in made:
            parts.append(periods(stream.within(begins, ends), self.at, period))
        return self.spread(made, parts, 0)

    def streams(self, event: Event) -> tuple[Stream, ...]:
        """All rows of these events, also those after now."""
        return self._last(("streams", event.key), lambda: streams(self.timeline, event.match, machines=event.machines))

    # ------------------------------------------------------------------------------------------------ two events

    def unanswered(self, event: Event, other: Event, since: int, until: int, same: str | None) -> Instants:
        """0 or more for whom an event in [since, until) was not followed by another (of the same value); else -1."""
        return self._placed(self._unanswered(event, other, since, until, same))

    def unanswered_rows(
        self, event: Event, other: Event, since: int, until: int, same: str | None
    ) -> list[tuple[Stream, int]]:
        """The rows behind it."""
        return _rows_of(self._unanswered(event, other, since, until, same))

    def _unanswered(self, event: Event, other: Event, since: int, until: int, same: str | None) -> Placed:
        asked, answers = self.streams(event), self.streams(other)
        keys = self._keys(same)
        parts = []
        for number, stream in enumerate(asked):
            replies = answers[number].of(stream.people, self.at)
            parts.append(unanswered(stream.everything, replies, since, until, keys[number]))
        return asked, parts

    def followed(self, event: Event, then: Event, when: When, within: int, same: str | None, want: bool) -> Instants:
        """0 or more for whom an event was (or, without `want`, surely was not) followed by another in time; else -1."""
        return self._placed(self._followed(event, then, when, within, same, want))

    def followed_rows(
        self, event: Event, then: Event, when: When, within: int, same: str | None, want: bool
    ) -> list[tuple[Stream, int]]:
        """The rows behind it."""
        return _rows_of(self._followed(event, then, when, within, same, want))

    def _followed(self, event: Event, then: Event, when: When, within: int, same: str | None, want: bool) -> Placed:
        found, answers, keys = self.found(event, when), self.streams(then), self._keys(same)
        parts = []
        for number, (stream, rows) in enumerate(zip(found.streams, found.rows, strict=True)):
            replies = answers[number].of(stream.people, self.at)
            parts.append(followed(rows, replies, within, keys[number], want, self.at - within))
        return found.streams, parts

    def follower(self, then: Event, stream: Stream, row: int, same: str | None) -> int:
        """The first row of these events after a row that is followed, of the same value where one is named."""
        number = next(place for place, shard in enumerate(self.timeline.shards) if shard is stream.shard)
        rows = self.streams(then)[number].rows
        rows = rows[rows > row]
        keys = self._keys(same)[number]
        return int(rows[keys[rows] == keys[row]][0] if same else rows[0])

    def standing(
        self, event: Event, column: str, values: tuple[str, ...], key: str, since: int, until: int
    ) -> Instants:
        """0 or more for whom the last event of some key has one of these values and is in [since, until); else -1."""
        return self._placed(self._standing(event, column, values, key, since, until))

    def standing_rows(
        self, event: Event, column: str, values: tuple[str, ...], key: str, since: int, until: int
    ) -> list[tuple[Stream, int]]:
        """The rows behind it."""
        return _rows_of(self._standing(event, column, values, key, since, until))

    def _standing(self, event: Event, column: str, values: tuple[str, ...], key: str, since: int, until: int) -> Placed:
        found, keys = self.found(event, EVER), self.alike(key)
        told = self.column(column)
        chosen = decided(told, matching.Condition(column, "is", values))
        parts = []
        for number, rows in enumerate(found.rows):
            wanted = chosen[told.codes[number][rows.rows]]
            parts.append(standing(rows, keys[number], wanted, since, until))
        return found.streams, parts

    def _placed(self, placed: Placed) -> Instants:
        return self.spread(placed[0], [part.astype(np.int64) for part in placed[1]], -1)

    def _keys(self, same: str | None) -> tuple[NDArray[np.int32], ...]:
        return self.alike(same) if same else (still(np.empty(0, np.int32)),) * len(self.timeline.shards)

    def numbers_of(self, event: Event, when: When, column: str, by: str) -> Floats:
        """The sum, average, min, max or distinct values of a field of these events; NaN for what is of nothing."""
        found = self.found(event, when)
        codes, numbers = self._coded(column, by)
        empty = 0.0 if by in ("sum", "distinct") else np.nan
        parts = [
            reckon(rows, codes[number], numbers, _KINDS[by])[0] if len(rows.first) else np.empty(0)
            for number, rows in enumerate(found.rows)
        ]
        return self.spread(found.streams, parts, empty)

    def _coded(self, name: str, by: str) -> tuple[tuple[NDArray[np.int32], ...], Floats]:
        """(codes by shard, number by code and last for code -1). Values that read the same have one code."""
        column = self.column(name)
        if by != "distinct":
            return column.codes, np.append(numbers_of(column.values), np.nan)
        return self.alike(name), np.empty(0)

    def column(self, name: str) -> EventColumn:
        """A field of events."""
        return self.timeline.columns.event(matching.Condition(name, "set").name)

    def alike(self, name: str) -> tuple[NDArray[np.int32], ...]:
        """A field of events as codes that are the same for values that read the same: 10 and "10"."""

        def make() -> tuple[NDArray[np.int32], ...]:
            column = self.column(name)
            if len(types_of(column.values)) <= 1:
                return column.codes
            first: dict[str, int] = {}
            texts = map(_text, column.values)
            same = np.array([first.setdefault(text, code) for code, text in enumerate(texts)] + [-1], np.int32)
            return tuple(still(same[codes]) for codes in column.codes)

        return self._last(("alike", name), make)

    # --------------------------------------------------------------------------------------------------- people

    def person(self, name: str) -> PersonColumn:
        """A field of people."""
        return self.timeline.columns.person(name.removeprefix("person."))

    def instants(self, name: str) -> Instants:
        """An instant of everybody, microseconds; beginnings.NEVER where there is none."""

        return self._last(("instants", name), lambda: instants_of(self.timeline, name.removeprefix("person.")))

    def numbers(self, name: str) -> Floats:
        """A field of people as numbers; NaN for what is none."""

        def make() -> Floats:
            whole = self.timeline.columns.whole(name.removeprefix("person."))
            if whole is not None:
                return np.where(whole == NEVER, np.nan, whole.astype(np.float64))
            column = self.person(name)
            return np.append(numbers_of(column.values), np.nan)[column.codes]

        return self._last(("person", name), make)

    def compared(self, name: str, comparison: Comparison, values: tuple[Value, ...]) -> Mask:
        """For whom a comparison of a field holds."""
        condition = matching.Condition(f"person.{name.removeprefix('person.')}", comparison, values)
        return matching.people(self.timeline, (condition,))

    # ------------------------------------------------------------------------------------------ features, scores

    def feature(self, slug: str) -> Told:
        """A feature of everybody. Raises InvalidInput for one that was removed."""
        if slug not in self.surroundings.features:
            raise InvalidInput(f"There is no feature {slug!r} any more: choose another.")
        return self.remember(("feature", slug), lambda: self._feature(self.surroundings.features[slug]))

    def _feature(self, feature: Feature) -> Told:
        made = feature.made
        if isinstance(made, Scored):
            return Told(self.risk())
        if feature.column:
            return Told(self._standing_of(feature.column))
        measured = measure(self.timeline, [feature], self.surroundings.roles, self.at)
        return Told(measured.numbers(0), measured.words.get(feature.slug, ()) if feature.kind == "text" else None)

    def _standing_of(self, held: Held) -> Floats:
        """A column of people as the feature it is: whole days since an instant that is not ahead, else a number."""
        if held.kind not in ("since", "instant"):
            found = self.numbers(held.column)
            return np.where(np.isnan(found) & self.live, 0.0, found)
        since = self.instants(held.column)
        return np.where((since != NEVER) & (since < self.at), (self.at - since) // DAY, np.nan)

    def risk(self) -> Floats:
        """The churn score of everybody, from 0 to 1; NaN where there is none."""

        def make() -> Floats:
            model = self.surroundings.model
            found = scores(self.timeline, model, instant(self.at)) if model else None
            return np.full(self.people, np.nan) if found is None else found.values

        return self.remember(("risk",), make)

    # ----------------------------------------------------------------------------------------------- membership

    def belongs(self, key: str) -> Mask:
        """Who is in another segment, by its rule. Raises InvalidInput for one that was deleted or leads back to itself."""
        rules = self.surroundings.rules
        found = self.nobody()
        for one in in_order(rules, key):  # however long the chain, none is asked before those it is made of
            found = self.mask(("segment", one), partial(rules[one].holds, self))
        return found

    def made_of(self, key: str) -> Iterator[Condition]:
        """The conditions that decide another segment, each time it is named: its own, and of those it is made of."""
        rules = self.surroundings.rules
        for one in in_order(rules, key):
            yield from (condition for _, condition in rules[one].conditions() if not condition.uses.segments)

    def listed(self, key: str) -> Mask:
        """Who is on a static list. Raises InvalidInput for one that was deleted."""
        if key not in self.surroundings.lists:
            raise InvalidInput("This list was deleted: choose another.")
        return np.isin(self.timeline.numbers, self.surroundings.lists[key])

    def stopped(self, reasons: Sequence[str] = ()) -> Mask:
        """Who has an address that must not be written to."""
        return np.isin(self.timeline.numbers, self.surroundings.stops.at(self.at, reasons))

    # ------------------------------------------------------------------------------------------------ other facts

    def then(self, at: int) -> "Facts":
        """The same people at another instant."""
        found = Facts(self.timeline, at, self.surroundings)
        found._lasting = self._lasting
        return found

    def of_one(self, number: int) -> "Facts":
        """One person alone, by their lasting number. Raises InvalidInput for who is not there."""
        return Facts(only(self.timeline, number), self.at, self.surroundings)


def _size(made: object) -> int:
    """About how many bytes something takes."""
    if isinstance(made, np.ndarray):
        return made.nbytes
    if isinstance(made, tuple):
        return sum(map(_size, made))
    if isinstance(made, Stream):
        return made.nbytes
    return made.values.nbytes if isinstance(made, Told) else 0


def _rows_of(placed: Placed) -> list[tuple[Stream, int]]:
    return [
        (stream, int(stream.rows[place]))
        for stream, places in zip(*placed, strict=True)
        for place in places.tolist()
        if place >= 0
    ]


def _text(value: Value) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def only(timeline: Timeline, number: int) -> Timeline:
    """A timeline of one of its people. Raises InvalidInput for who is not there."""
    place = int(np.searchsorted(timeline.numbers, number))
    if place >= timeline.people or timeline.numbers[place] != number:
        raise InvalidInput("This person is not in the reports yet: try again in some seconds.")
    return some(timeline, np.array([place]))
