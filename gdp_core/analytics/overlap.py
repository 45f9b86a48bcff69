"""How sets of people overlap: every exclusive region, every pair, and all of them together.

A set is an array of lasting ids, so it may come from a saved list, from a segment or from behind any number of any
report. A segment's people are its members, as its own page counts them: those of its last evaluation. Every share names
what it is a share of; a share of nobody is None.
"""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

import numpy as np
from numpy.typing import NDArray
from sqlmodel import Session

from gdp_core import reports
from gdp_core.analytics import segments
from gdp_core.analytics.scope import Scope
from gdp_core.db import rows
from gdp_core.errors import InvalidInput, NotFound

FEWEST, MOST = 2, 5


@dataclass(frozen=True, slots=True)
class Asked:
    """Which saved lists and segments are compared, by their ids. Raises InvalidInput for the same one twice and for too
    many; too few are refused by `report`, so that a page can ask for one more."""

    lists: tuple[UUID, ...] = ()

    def __post_init__(self) -> None:
        if len(self.lists) > MOST or len(set(self.lists)) < len(self.lists):
            raise InvalidInput(f"Compare {FEWEST} to {MOST} different lists and segments.")


@dataclass(frozen=True, slots=True)
class OverlapCell:
    """Who is in all of the sets `inside` and, with `only`, in no other that is compared; `people` are the lasting numbers
    that were counted, ascending."""

    inside: tuple[UUID, ...]
    only: bool = False
    people: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64), compare=False)


@dataclass(frozen=True, slots=True)
class Choice:
    """A saved list or segment that can be compared. `people`: of a list when it was saved, of a segment at its last
    evaluation; None while it has never been evaluated. `mark` changes with every writing of a segment's members."""

    id: UUID
    name: str
    is_segment: bool
    people: int | None
    mark: UUID | None
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Region:
    """The people who are in exactly these sets and in no other."""

    sets: tuple[str, ...]
    people: int
    of_union: float | None


@dataclass(frozen=True, slots=True)
class Pair:
    """The people in two sets, whoever else has them: as a share of each, and of both together (Jaccard)."""

    a: str
    b: str
    people: int
    of_a: float | None
    of_b: float | None
    of_union: float | None


@dataclass(frozen=True, slots=True)
class Overlap:
    """Sets side by side. `people` are in all of them; `of_each` is their share of each set, `of_union` of everybody in
    any. `regions` are the non-empty exclusive ones, largest first: they add up to `union`."""

    sizes: Mapping[str, int]
    union: int
    people: int
    of_each: Mapping[str, float | None]
    of_union: float | None
    regions: tuple[Region, ...]
    pairs: tuple[Pair, ...]


def read_choices(session: Session) -> tuple[Choice, ...]:
    """Everything that can be compared, by name."""
    found = rows(
        session,
        "SELECT id, name, FALSE AS is_segment, people, NULL::uuid AS mark, created_at FROM static_list UNION ALL"
        " SELECT s.id, s.name, TRUE, t.people, t.mark, s.created_at FROM segment s LEFT JOIN segment_state t"
        " ON t.workspace_id = s.workspace_id AND t.segment_id = s.id WHERE s.archived_at IS NULL ORDER BY name, id",
    )
    return tuple(Choice(*row) for row in found)


def report(session: Session, _: Scope, asked: Asked, *, within: Sequence[UUID] | None = None) -> Overlap:
    """How lists and segments overlap, of everybody in them or of the persons `within`; a set is called as its list or
    segment, and where two have one name, as what it is, too.

    They are as their people are now, whatever the period. Raises InvalidInput, NotFound for what was deleted.
    """
    return overlap(read_sets(session, asked, within))


def people_of(
    session: Session,
    _: Scope,
    asked: Asked,
    named: tuple[str, ...],
    *,
    only: bool = True,
    within: Sequence[UUID] | None = None,
) -> NDArray[np.int64]:
    """The lasting numbers of who is in all sets `named`, and, with `only`, in no other. Raises as `report` does."""
    return people_in(read_sets(session, asked, within), named, only=only)


def read_sets(session: Session, asked: Asked, within: Sequence[UUID] | None = None) -> dict[str, NDArray[np.int64]]:
    """The lasting numbers of the people of each set, by what it is called. Raises NotFound for what was deleted."""
    chosen = None if within is None else reports.numbers_of(session, within)
    found = {}
    for name, one in named(read_choices(session), asked).items():
        numbers = (segments.read_numbers if one.is_segment else reports.read_numbers)(session, one.id)
        found[name] = numbers if chosen is None else numbers[np.isin(numbers, chosen)]
    return found


def named(known: Sequence[Choice], asked: Asked) -> dict[str, Choice]:
    """What is compared, by names that are all different. Raises NotFound for what was deleted."""
    by_id = {one.id: one for one in known}
    if not by_id.keys() >= set(asked.lists):
        raise NotFound("This list or segment was deleted: choose another.")
    chosen = [by_id[key] for key in asked.lists]
    if len({one.name for one in chosen}) == len(chosen):
        return {one.name: one for one in chosen}
    return {f"{one.name} ({'segment' if one.is_segment else 'list'})": one for one in chosen}


def overlap(sets: Mapping[str, NDArray[Any]]) -> Overlap:
    """The overlap of two to five sets of ids by name; an id counts once in a set. Raises InvalidInput."""
    names = _checked(sets)
    _, member = _members(sets)
    counts = np.bincount(member, minlength=1 << len(names))
    marks = np.arange(len(counts))
    union = int(counts.sum())
    sizes = {name: int(counts[marks >> place & 1 == 1].sum()) for place, name in enumerate(names)}
    people = int(counts[-1])
    regions = [
        Region(tuple(name for place, name in enumerate(names) if mark >> place & 1), int(count), _share(count, union))
        for mark, count in enumerate(counts)
        if count
    ]
    pairs = []
    for (i, a), (j, b) in itertools.combinations(enumerate(names), 2):
        both = int(counts[(marks >> i & marks >> j & 1) == 1].sum())
        either = sizes[a] + sizes[b] - both
        pairs.append(Pair(a, b, both, _share(both, sizes[a]), _share(both, sizes[b]), _share(both, either)))
    return Overlap(
        sizes=sizes,
        union=union,
        people=people,
        of_each={name: _share(people, size) for name, size in sizes.items()},
        of_union=_share(people, union),
        regions=tuple(sorted(regions, key=lambda region: (-region.people, len(region.sets), region.sets))),
        pairs=tuple(pairs),
    )


def people_in(sets: Mapping[str, NDArray[Any]], within: tuple[str, ...], *, only: bool = True) -> NDArray[Any]:
    """The ids in all sets of `within`, ascending; with `only`, those of them in no other set: a region's people.

    Raises InvalidInput for a set that is not there.
    """
    names = _checked(sets)
    if not within or not set(within) <= set(names):
        raise InvalidInput("Choose one or more of the sets that are compared.")
    ids, member = _members(sets)
    wanted = sum(1 << place for place, name in enumerate(names) if name in within)
    found: NDArray[Any] = ids[member == wanted] if only else ids[member & wanted == wanted]
    return found


def _checked(sets: Mapping[str, NDArray[Any]]) -> tuple[str, ...]:
    if not FEWEST <= len(sets) <= MOST:
        raise InvalidInput(f"Compare {FEWEST} to {MOST} different lists and segments.")
    return tuple(sets)


def _members(sets: Mapping[str, NDArray[Any]]) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """(everybody in any set, ascending; which sets, as bits)."""
    distinct = [_distinct(ids) for ids in sets.values()]
    ids = _distinct(np.concatenate(distinct))
    member = np.zeros(len(ids), np.int64)
    for bit, one in enumerate(distinct):
        member[np.searchsorted(ids, one)] |= 1 << bit
    return ids, member


def _distinct(ids: NDArray[Any]) -> NDArray[Any]:
    """Each id once, ascending. (np.unique hashes whole numbers and is thirty times slower than sorting them.)"""
    ordered = np.sort(ids)
    first = np.ones(len(ordered), np.bool_)
    first[1:] = ordered[1:] != ordered[:-1]
    return ordered[first]


def _share(part: int, whole: int) -> float | None:
    return float(part / whole) if whole else None
