"""Timelines from plain histories, for kernels and reports."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from gdp_core.timeline.arrays import MISSING, EventColumn, PersonColumn, Shard, Timeline


@dataclass(frozen=True)
class Happened:
    """An event of a history. `at` in microseconds; events of one instant keep the order they are listed in."""

    at: int
    name: str
    properties: Mapping[str, Any] = field(default_factory=dict)
    flags: int = 0
    known: int | None = None


@dataclass(frozen=True)
class Somebody:
    """A person: what they did, what is known of them, and whether they count."""

    events: Sequence[Happened]
    traits: Mapping[str, Any] = field(default_factory=dict)
    live: bool = True


class _Given:
    """Columns read from the histories themselves."""

    def __init__(self, shards: Sequence[Sequence[tuple[int, Somebody]]], people: Sequence[Somebody]) -> None:
        self._shards = shards
        self._people = people

    def event(self, name: str) -> EventColumn:
        columns = [
            [event.properties.get(name) for _, who in shard for event in _in_order(who)] for shard in self._shards
        ]
        values, codes = _coded(columns)
        return EventColumn(codes, values)

    def person(self, name: str) -> PersonColumn:
        values, (codes,) = _coded([[who.traits.get(name) for who in self._people]])
        return PersonColumn(codes, values)

    def whole(self, name: str) -> None:
        """Everything is coded here."""

    def known(self) -> tuple:
        """An event is known when it happened, or when it says so."""
        return tuple(
            np.array(
                [event.at if event.known is None else event.known for _, who in shard for event in _in_order(who)],
                np.int64,
            )
            for shard in self._shards
        )


def _coded(columns):
    found = {(type(value), value): value for column in columns for value in column if value is not None}
    place = {key: code for code, key in enumerate(found)}
    codes = tuple(
        np.array([MISSING if value is None else place[type(value), value] for value in column], np.int32)
        for column in columns
    )
    return tuple(found.values()), codes


def _in_order(who: Somebody) -> list[Happened]:
    return sorted(who.events, key=lambda event: event.at)


def timeline_of(
    people: Sequence[Somebody], *, shards: int = 1, watermark: int = 2**62, names: Sequence[str] = ()
) -> Timeline:
    """A timeline of these people, dealt out to `shards` shards one after the other."""
    known = sorted({*names, *(event.name for who in people for event in who.events)})
    code = {name: number for number, name in enumerate(known)}
    dealt = [[(index, who) for index, who in enumerate(people) if index % shards == part] for part in range(shards)]
    built = []
    for part in dealt:
        events = [event for _, who in part for event in _in_order(who)]
        counts = [len(who.events) for _, who in part]
        built.append(
            Shard(
                people=np.array([index for index, _ in part], np.int32),
                offsets=np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
                at=np.array([event.at for event in events], np.int64),
                code=np.array([code[event.name] for event in events], np.uint16),
                flags=np.array([event.flags for event in events], np.uint8),
                live=np.array([who.live for _, who in part], np.bool_),
            )
        )
    return Timeline(
        snapshot="test",
        watermark=watermark,
        names=tuple(known),
        numbers=np.arange(10, 10 + len(people), dtype=np.int64),
        shards=tuple(built),
        columns=_Given(dealt, people),
    )
