"""Segments and saved lists as fields of people, so that every report filters and breaks down by them like by any field.

The field is "in:" and the id of a segment or list; its values say whether somebody is in it. Of a segment its rule is
asked, at the instant that everything is known up to; nothing is read before somebody asks.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from uuid import UUID

import numpy as np
from numpy.typing import NDArray
from sqlmodel import Session

from gdp_core import reports
from gdp_core.db import one
from gdp_core.errors import InvalidInput, NotFound
from gdp_core.segments.conditions.base import Mask
from gdp_core.segments.facts import Facts, Surroundings
from gdp_core.segments.rules import Rule
from gdp_core.segments.surroundings import read_surroundings
from gdp_core.timeline.arrays import EventColumn, PersonColumn, Timeline

PREFIX = "in:"


@dataclass(frozen=True, slots=True, eq=False)
class Belonging:
    """Who is in a segment or else a list: a mask over the people of a timeline, and what it is called."""

    name: str
    members: Mask
    is_segment: bool = True

    @property
    def words(self) -> tuple[str, str]:
        """The values of its field: of who is in it, and of who is not."""
        return f"In {self.name}", f"Not in {self.name}"


@dataclass(frozen=True, slots=True, eq=False)
class Group:
    """A segment, with what its rule may name, or else a saved list with its people, ascending: all that has to be read."""

    name: str
    told: Surroundings | None = None
    rule: Rule | None = None
    people: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))

    def belonging(self, timeline: Timeline, at: int) -> Belonging:
        """Who is in it at an instant in microseconds; of a list, now. Raises InvalidInput. Reads nothing more."""
        if self.rule is not None and self.told is not None:
            return Belonging(self.name, self.rule.holds(Facts(timeline, at, self.told)))
        return Belonging(self.name, np.isin(timeline.numbers, self.people), is_segment=False)


def read_group(session: Session, key: UUID, *, timezone: str) -> Group:
    """A segment or saved list by its id. Raises NotFound."""
    told = read_surroundings(session, timezone=timezone)
    rule = told.rules.get(str(key))
    if rule is not None:
        return Group(told.names.segment(str(key)), told, rule)
    if str(key) not in told.names.lists:
        raise NotFound("This segment or list was deleted: choose another.")
    return Group(told.names.static_list(str(key)), people=reports.read_numbers(session, key))


def read_stamp(session: Session) -> str:
    """A text that is another one after any change of a segment or saved list, whoever made it."""
    found = one(
        session,
        "SELECT (SELECT ARRAY[count(*)::text, sum(version)::text, max(updated_at)::text] FROM segment"
        " WHERE archived_at IS NULL) AS segments,"
        " (SELECT ARRAY[count(*)::text, max(updated_at)::text] FROM static_list) AS lists",
    )
    return repr((found.segments, found.lists))


def grouped(timeline: Timeline, belonging: Callable[[UUID], Belonging]) -> Timeline:
    """The same timeline, whose people have such fields; `belonging` answers for one when it is asked for."""
    return replace(timeline, columns=_Grouped(timeline, belonging))


def key_of(field: str) -> UUID | None:
    """The segment or list that a field of people names; None for any other field. Raises InvalidInput."""
    name = field.removeprefix("person.")
    if not name.startswith(PREFIX):
        return None
    try:
        return UUID(name.removeprefix(PREFIX))
    except ValueError:
        raise InvalidInput(f"{PREFIX} takes the id of a segment or a saved list, not {name[3:40]!r}.") from None


def belonging_of(timeline: Timeline, key: UUID) -> Belonging:
    """Who is in a segment or list, of a timeline whose people have such fields."""
    if not isinstance(timeline.columns, _Grouped):
        raise TypeError("Only a grouped timeline knows who is in a segment or list.")
    return timeline.columns.belonging(key)


@dataclass(frozen=True, slots=True, eq=False)
class _Grouped:
    """The columns of a timeline, and one for each segment and list."""

    timeline: Timeline
    belonging: Callable[[UUID], Belonging]

    def event(self, field: str) -> EventColumn:
        """See arrays.Columns."""
        return self.timeline.columns.event(field)

    def known(self) -> tuple[NDArray[np.int64], ...]:
        """See arrays.Columns."""
        return self.timeline.columns.known()

    def person(self, field: str) -> PersonColumn:
        """See arrays.Columns."""
        key = key_of(field)
        if key is None:
            return self.timeline.columns.person(field)
        found = self.belonging(key)
        return PersonColumn((~found.members).astype(np.int32), found.words)

    def whole(self, field: str) -> NDArray[np.int64] | None:
        """See arrays.Columns."""
        return self.timeline.columns.whole(field)
