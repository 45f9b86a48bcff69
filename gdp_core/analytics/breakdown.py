"""Splitting a report by the values of a field: the largest by name, the others together, and those without a value."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from gdp_core.errors import InvalidInput
from gdp_core.timeline.arrays import MISSING, Value
from gdp_core.timeline.matching import Condition
from gdp_core.timeline.values import types_of

MOST_GROUPS = 50


@dataclass(frozen=True, slots=True)
class Breakdown:
    """By which field: of events ("utm_source"), or of people ("person.plan"). The `most` largest values get a name."""

    field: str
    most: int = 10

    def __post_init__(self) -> None:
        """Raise InvalidInput for no field, and for too few or too many groups."""
        if not self.name:
            raise InvalidInput("A breakdown needs the name of a field.")
        if not 1 <= self.most <= MOST_GROUPS:
            raise InvalidInput(f"A breakdown shows between 1 and {MOST_GROUPS} values.")

    @property
    def of_person(self) -> bool:
        """Whether it is a field of the person rather than of the event."""
        return Condition(self.field, "set").of_person

    @property
    def name(self) -> str:
        """The field without its prefix."""
        return Condition(self.field, "set").name


@dataclass(frozen=True, slots=True)
class Group:
    """One line of a breakdown. A value that reads "(other)" and the others together are two groups."""

    kind: Literal["all", "value", "other", "none"]
    label: str


ALL = Group("all", "all")
OTHER = Group("other", "(other)")
NONE = Group("none", "(none)")


@dataclass(frozen=True, slots=True, eq=False)
class Split:
    """The groups, and which one each code is in: of_code[code], the last one for a missing value; -1: nowhere seen."""

    groups: tuple[Group, ...]
    of_code: NDArray[np.int32]


def split(values: Sequence[Value], seen: NDArray[np.bool_], weights: NDArray[np.generic], most: int) -> Split:
    """Groups by descending weight, ties by label, then "(other)" and "(none)" where any such was seen.

    `seen` and `weights` have one entry for each value and a last one for the missing. Values that read the same are one.
    """
    place_of, first = _places(values)
    present = np.zeros(len(first), np.bool_)
    present[place_of[seen[:-1]]] = True
    totals = np.bincount(place_of, weights[:-1].astype(np.float64), len(first))
    found = np.flatnonzero(present)
    if len(found) > most:  # only what is as heavy as the last one to be named needs its label
        found = found[totals[found] >= np.partition(totals[found], -most)[-most]]
    labels = {place: label(values[first[place]]) for place in found.tolist()}
    named = sorted(labels, key=lambda place: (-totals[place], labels[place]))[:most]
    groups = [Group("value", labels[place]) for place in named]
    of_place = np.where(present, len(groups), -1)
    of_place[named] = np.arange(len(named))
    if present.sum() > len(named):
        groups.append(OTHER)
    of_missing = len(groups) if seen[MISSING] else -1
    if seen[MISSING]:
        groups.append(NONE)
    return Split(tuple(groups), np.append(of_place[place_of], of_missing).astype(np.int32))


def _places(values: Sequence[Value]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """For each value the place it shares with those that read the same, and of each place the first value."""
    if len(types_of(values)) <= 1:
        return np.arange(len(values)), np.arange(len(values))
    places: dict[str, int] = {}
    place_of = np.array([places.setdefault(label(value), len(places)) for value in values])
    return place_of, np.unique(place_of, return_index=True)[1]


def label(value: Value) -> str:
    """What the group of a value is called; values that read the same are one."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)
