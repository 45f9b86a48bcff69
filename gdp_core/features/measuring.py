"""What the features of everybody are at an instant: made from the timeline, for the present or any time before."""

from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from gdp_core.analytics.beginnings import NEVER, instants_of
from gdp_core.analytics.measures import amounts
from gdp_core.features.base import Feature, Held, Tally
from gdp_core.timeline.arrays import FLAGS, MACHINE, EventColumn, Shard, Timeline, Value
from gdp_core.timeline.engine import over
from gdp_core.timeline.kernels.features import (
    ALWAYS,
    COUNT,
    DAYS,
    DISTINCT,
    FIRST,
    FIRST_CODE,
    LAST,
    LAST_CODE,
    SUM,
    Asked,
    tallies,
)
from gdp_core.timeline.matching import MOST_MATCHES, Marks, Match, mark
from gdp_core.timeline.values import types_of

DAY = 86_400_000_000
_KINDS = {"count": COUNT, "sum": SUM, "distinct": DISTINCT, "days": DAYS, "since": LAST, "first": FIRST, "last": LAST}
_OF_FIELD = {"first": FIRST_CODE, "last": LAST_CODE}


@dataclass(frozen=True, slots=True, eq=False)
class Measured:
    """F features of the P people of a timeline at an instant `at`, microseconds.

    `values` (P, F), people as in Timeline.numbers: numbers; instants in microseconds; for texts codes into words[slug]. NaN is nothing:
    never, not said, or of nobody who counts.
    """

    features: tuple[Feature, ...]
    at: int
    values: NDArray[np.float64]
    words: Mapping[str, Sequence[Value]] = field(default_factory=dict)

    def numbers(self, feature: int) -> NDArray[np.float64]:
        """A feature as numbers one can compare: for instants the whole days since then."""
        found = self.values[:, feature]
        if self.features[feature].kind in ("since", "instant"):
            found = np.floor((self.at - found) / DAY)
        return np.asarray(found)


def measure(
    timeline: Timeline,
    features: Sequence[Feature],
    roles: Mapping[str, Match],
    at: int,
    *,
    executor: Executor | None = None,
) -> Measured:
    """What the features of everybody who counts were just before `at`, microseconds.

    Those made from events are, and instants that a person keeps for ever; others cannot be known of an earlier time and
    must not be among them. An event role that is not in `roles` is played by no event.
    """
    values = np.full((timeline.people, len(features)), np.nan)
    words: dict[str, Sequence[Value]] = {}
    live = _live(timeline)
    passes = _passes(features, roles)
    reached = {place for group in passes for place in group.places}
    for place, feature in enumerate(features):
        if isinstance(feature.made, Held):
            values[:, place] = _held(timeline, feature.made, at, live)
        elif feature.kind in ("number", "money") and place not in reached:
            values[live, place] = 0
    for group in passes:
        column = timeline.columns.event(group.field) if group.field else None
        if column is not None:
            words |= {features[place].slug: column.values for place in group.places if features[place].kind == "text"}
        for people, found in _counted(timeline, group, column, at, executor):
            _put(values, people, group.places, found)
    return Measured(tuple(features), at, values, words)


def _put(values: NDArray[np.float64], people: NDArray[np.int32], places: list[int], found: NDArray[np.float64]) -> None:
    """Rows of `found` into the rows `people` and the columns `places` of all values."""
    if len(places) == values.shape[1]:
        values[people] = found
    else:
        values[people[:, None], np.array(places)] = found


def _live(timeline: Timeline) -> NDArray[np.bool_]:
    found = np.zeros(timeline.people, np.bool_)
    for shard in timeline.shards:
        found[shard.people[shard.live]] = True
    return found


def _held(timeline: Timeline, made: Held, at: int, live: NDArray[np.bool_]) -> NDArray[np.float64]:
    """An instant that people keep: who has it later had nothing yet."""
    if made.kind not in ("since", "instant"):
        raise ValueError(f"What {made.column} was at an earlier time is not known.")
    found = instants_of(timeline, made.column)
    return np.where(live & (found != NEVER) & (found < at), found.astype(np.float64), np.nan)


# ------------------------------------------------------------------------------------------------------- passes


@dataclass(frozen=True, slots=True)
class _Pass:
    """Features that one pass over the rows tells: those of one field, and of no more kinds of events than fit."""

    field: str | None
    places: list[int]
    tallies: list[Tally]
    matches: list[Match]
    of: list[int]  # which match each feature is about


def _passes(features: Sequence[Feature], roles: Mapping[str, Match]) -> list[_Pass]:
    """Usually one: features without a field, of at most 24 kinds of events. Those of no event at all are in none."""
    found: list[_Pass] = []
    for place, feature in enumerate(features):
        made = feature.made
        match = None
        if isinstance(made, Tally):
            match = made.of if isinstance(made.of, Match) else roles.get(made.of.name)
        if match is None or not isinstance(made, Tally):
            continue
        room = (
            one
            for one in found
            if one.field == made.field and (match in one.matches or len(one.matches) < MOST_MATCHES)
        )
        fitting = next(room, None)
        if fitting is None:
            fitting = _Pass(made.field, [], [], [], [])
            found.append(fitting)
        if match not in fitting.matches:
            fitting.matches.append(match)
        fitting.places.append(place)
        fitting.tallies.append(made)
        fitting.of.append(fitting.matches.index(match))
    return found


def _counted(
    timeline: Timeline, group: _Pass, column: EventColumn | None, at: int, executor: Executor | None
) -> list[tuple[NDArray[np.int32], NDArray[np.float64]]]:
    """(people, values (people, F)) of every part of the timeline: of who counts there."""
    marks = mark(timeline, group.matches)
    starts, which = _lists(marks, group)
    kinds = [_OF_FIELD.get(made.by, _KINDS[made.by]) if made.field else _KINDS[made.by] for made in group.tallies]
    since = [ALWAYS if made.window is None else at - made.window.micros for made in group.tallies]
    numbers, codes = _of_field(timeline, group, column)
    no_codes = np.empty(0, np.int32)

    def run(number: int, part: Shard) -> NDArray[np.float64]:
        asked = Asked(
            starts,
            which,
            len(marks.bits),
            np.array(kinds, np.int64),
            np.array(since, np.int64),
            codes[number] if codes else no_codes,
            numbers,
        )
        found: NDArray[np.float64] = tallies(
            part.offsets, part.live, part.at, marks.codes[number], part.flags, asked, at
        )
        return found

    told = []
    for number, first, found in over(timeline, run, executor):
        part = slice(first, first + len(found))
        people, live = timeline.shards[number].people[part], timeline.shards[number].live[part]
        told.append((people, found) if live.all() else (people[live], found[live]))
    return told


def _lists(marks: Marks, group: _Pass) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """The features each row is of, by its flags and marks: starts and which of the kernel's Asked.

    The same as when a person is said to have been there (events.NewEvent.is_human), unless the event is asked for by
    its name.
    """
    bits = np.array(group.of, np.uint32)
    meets = (marks.bits[:, None] >> bits) & 1 > 0
    flags = np.arange(FLAGS)
    named = np.array([bool(group.matches[of].names) for of in group.of])
    counts = np.where(named, (flags & int(MACHINE) == 0)[:, None], (flags == 0)[:, None])
    whole = (counts[:, None, :] & meets[None, :, :]).reshape(FLAGS * len(marks.bits), len(group.of))
    return np.concatenate([[0], np.cumsum(whole.sum(axis=1))]), np.nonzero(whole)[1].astype(np.int32)


def _of_field(
    timeline: Timeline, group: _Pass, column: EventColumn | None
) -> tuple[NDArray[np.float64], tuple[NDArray[np.int32], ...]]:
    """(numbers by code, the codes of each shard): of values that read the same the first one's code."""
    if column is None or group.field is None:
        return np.zeros(1), ()
    numbers = np.full(len(column.values) + 1, np.nan)
    if any(made.by == "sum" for made in group.tallies):
        read = amounts(timeline, group.field)
        numbers = np.where(read.known, read.numbers.astype(np.float64), np.nan)
    if len(types_of(column.values)) <= 1:
        return numbers, column.codes
    first: dict[str, int] = {}
    same = np.array([first.setdefault(_read(value), code) for code, value in enumerate(column.values)] + [-1], np.int32)
    return numbers, tuple(same[codes] for codes in column.codes)


def _read(value: Value) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)
