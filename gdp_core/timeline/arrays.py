"""What reports read: a timeline is shards, a shard is the whole history of some people in four arrays.

A person's rows are adjacent and in the order of (occurred_at, rank of the source, event id), the order of ties in every
definition. Everything is per person, so shards never need each other. It knows nothing of files or of SQL.

What a kernel reads cannot be written to, wherever it comes from: a kernel is compiled for the types of its arrays, and
one that can be written to is of another type.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Value = str | float | int | bool
"""What a field can hold. Lists and objects are their JSON text."""

MACHINE = np.uint8(1)
"""Flag of a row: a scanner or a mail program did it."""
BILLING = np.uint8(2)
"""Flag of a row: the billing system did it on the person's behalf."""
WEAK = np.uint8(4)
"""Flag of a row: perhaps a person did it, such as opening an e-mail whose picture a mail program may have loaded."""

FLAGS = 8
"""How many sets of flags there are: what a kernel looks up by a row's flags is so long."""

NOTHING = int(np.iinfo(np.int64).min)
"""A whole number or instant that a person does not have."""

MISSING = -1
"""The code of a row or person without the field."""


def still(array: NDArray[Any]) -> NDArray[Any]:
    """A view of an array that cannot be written to."""
    if not array.flags.writeable:
        return array
    found = array.view()
    found.flags.writeable = False
    return found


@dataclass(frozen=True, slots=True, eq=False)
class Shard:
    """Whole histories of P people with N events.

    `people` (P, ascending) are indices into Timeline.numbers; person i's rows are offsets[i] <= row < offsets[i + 1].
    `at` is microseconds since 1970 UTC, `code` an index into Timeline.names. `live` says who counts in this shard: not
    internal people, and not those whose history a later shard holds. `name` says which shard it is, for whoever keeps what they
    made of it; none: nothing is kept.
    """

    people: NDArray[np.int32]
    offsets: NDArray[np.int64]
    at: NDArray[np.int64]
    code: NDArray[np.uint16]
    flags: NDArray[np.uint8]
    live: NDArray[np.bool_]
    name: str = ""

    def __post_init__(self) -> None:
        for name in self.__slots__[:-1]:
            object.__setattr__(self, name, still(getattr(self, name)))

    @property
    def rows(self) -> int:
        """How many events it holds."""
        return len(self.at)

    def part(self, first: int, last: int) -> "Shard":
        """People first <= i < last of it, without copying; `offsets` stay those of the whole, so rows stay whole too."""
        return Shard(
            self.people[first:last],
            self.offsets[first : last + 1],
            self.at,
            self.code,
            self.flags,
            self.live[first:last],
        )


@dataclass(frozen=True, slots=True, eq=False)
class EventColumn:
    """A field of events as codes into `values`: one array per shard, aligned with its rows."""

    codes: tuple[NDArray[np.int32], ...]
    values: Sequence[Value]

    def __post_init__(self) -> None:
        object.__setattr__(self, "codes", tuple(map(still, self.codes)))


@dataclass(frozen=True, slots=True, eq=False)
class PersonColumn:
    """A field of people as codes into `values`, aligned with Timeline.numbers."""

    codes: NDArray[np.int32]
    values: Sequence[Value]

    def __post_init__(self) -> None:
        object.__setattr__(self, "codes", still(self.codes))


class Columns(Protocol):
    """Further fields, read when first asked for. A field nobody ever sent is all missing."""

    def event(self, field: str) -> EventColumn:
        """A column of the event table by its name, else a property."""

    def person(self, field: str) -> PersonColumn:
        """A column of the person table by its name, else a trait."""

    def whole(self, field: str) -> NDArray[np.int64] | None:
        """A column of the person table that holds whole numbers or instants (microseconds), NOTHING for none, aligned with
        Timeline.numbers; None for any other field. Codes of a million different instants would be no short way."""

    def known(self) -> tuple[NDArray[np.int64], ...]:
        """When each row was applied, microseconds: one array per shard, aligned with its rows."""


@dataclass(frozen=True, slots=True, eq=False)
class Timeline:
    """A workspace at one lake snapshot. `snapshot` names it in cache keys and saved reports.

    `numbers` are the people's lasting numbers, ascending: index -> actor number of the person. `names` are the events'
    names by code. `watermark`, microseconds: everything that was applied before it is in here.
    """

    snapshot: str
    watermark: int
    names: tuple[str, ...]
    numbers: NDArray[np.int64]
    shards: tuple[Shard, ...]
    columns: Columns

    @property
    def people(self) -> int:
        """How many people it can name, those left out of reports too."""
        return len(self.numbers)

    def codes_of(self, names: Sequence[str]) -> list[int]:
        """The codes of these events; a name that never occurred has none."""
        known = {name: code for code, name in enumerate(self.names)}
        return [known[name] for name in names if name in known]

    def members(self, chosen: Mapping[int, NDArray[np.bool_]]) -> NDArray[np.int64]:
        """The lasting numbers of chosen people: shard -> mask over its people. Ascending."""
        found = [self.shards[shard].people[mask] for shard, mask in chosen.items()]
        return self.numbers[np.sort(np.concatenate(found))] if found else self.numbers[:0]
