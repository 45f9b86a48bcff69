"""What a question can name: events, the fields they and people have, and the values of a field. For pickers only.

Names come from what was received, so a picker offers what there is; counts are of the books, internal people included.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import numpy as np
from numpy.typing import NDArray
from sqlmodel import Session

from gdp_core.analytics.breakdown import split
from gdp_core.analytics.catalogue import DAYS
from gdp_core.db import rows
from gdp_core.lake.tables import EVENT_FIELDS, PERSON_FIELDS
from gdp_core.timeline.arrays import EventColumn, PersonColumn, Timeline
from gdp_core.timeline.matching import Condition

_PERSONAL = frozenset(
    "address birthdate birthday dob email fax firstname fullname iban ip lastname mail maidenname mobile nick nickname"
    " passport phone ssn street surname tel telephone username".split()
)
_NAMED = frozenset("display family first full given last maiden middle nick user".split())
_OF_SOMEBODY = frozenset("anonymous client customer device distinct external person session user visitor".split())
_NUMBERED = frozenset("address hash line no nr number".split())
_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
_CONTACT = re.compile(r"@|\+?\d[\d\s()/.-]{7,}\d")
_DAY = re.compile(r"(?<!\d)(?<!\d[/.-])\d{4}([/.-])[01]?\d\1[0-3]?\d(?![\d-])")
_ASKED_PEOPLE = 2_000  # whose traits are looked at, those seen last
_MOST_NAMES = 500


def is_personal(field: str) -> bool:
    """Whether the values of a field say who somebody is, by its name, in whichever way that is written: email, userEmail,
    work_email, phone-number, first_name, deviceId, a person's name.
    """
    asked = Condition(field, "set")
    words = [word.lower() for word in _WORDS.findall(asked.name)]
    if asked.of_person and words == ["name"]:
        return True
    while len(words) > 1 and (words[-1] in _NUMBERED - _PERSONAL or words[-1].isdecimal()):
        words.pop()
    before, last = ["", "", *words][-2:]
    return last in _PERSONAL or (last == "name" and before in _NAMED) or (last == "id" and before in _OF_SOMEBODY)


def names_somebody(text: str) -> bool:
    """Whether a value looks like somebody's address or telephone number, whatever its field is called; a day does not."""
    return _CONTACT.search(_DAY.sub("", text)) is not None


@dataclass(frozen=True, slots=True)
class Fields:
    """Events with their volume of the last 30 days, the most frequent first; the properties each carries, and the
    traits of people, likewise."""

    events: tuple[tuple[str, int], ...]
    properties: Mapping[str, tuple[str, ...]]
    traits: tuple[str, ...]
    groups: Mapping[str, str] = field(default_factory=dict)
    """What `read_groups` reads, which is not remembered with the rest: a list is offered as soon as it is saved."""

    def of_events(self, names: tuple[str, ...] = ()) -> tuple[str, ...]:
        """The columns of events, then the properties of these events, or of all."""
        chosen = names or tuple(name for name, _ in self.events)
        found = dict.fromkeys(item for name in chosen for item in self.properties.get(name, ()))
        return (*_EVENT, *(name for name in found if name not in EVENT_FIELDS))

    @property
    def of_people(self) -> tuple[str, ...]:
        """The columns of people, then their traits, as conditions name them."""
        names = (*_PERSON, *(x for x in self.traits if x not in PERSON_FIELDS))
        return tuple(f"person.{name}" for name in names)


_FIRST_EVENT = ("utm_source", "utm_medium", "utm_campaign", "source", "category", "referrer", "url")
_FIRST_PERSON = ("stage", "source", "plan_name", "medium", "campaign", "cohort", "status", "company", "industry")
_EVENT = (*_FIRST_EVENT, *sorted(EVENT_FIELDS - {*_FIRST_EVENT}))
_PERSON = (*_FIRST_PERSON, *sorted(PERSON_FIELDS - {*_FIRST_PERSON}))


def read_fields(session: Session, now: datetime) -> Fields:
    """Everything a question of this workspace can name, but for segments and lists."""
    events = rows(
        session,
        "SELECT t.name, coalesce(sum(d.events), 0)::bigint AS events FROM event_type t LEFT JOIN event_type_day d"
        " ON d.workspace_id = t.workspace_id AND d.name = t.name AND d.day >= :since"
        " GROUP BY t.name ORDER BY 2 DESC, 1 LIMIT :most",
        since=now.date() - timedelta(days=DAYS - 1),
        most=_MOST_NAMES,
    )
    properties: dict[str, list[str]] = {}
    for row in rows(
        session,
        "SELECT name, key, (SELECT sum(n::bigint) FROM jsonb_each_text(shape -> 'types') AS t(type, n)) AS often"
        " FROM event_type, jsonb_each(properties) AS p(key, shape) ORDER BY name, often DESC, key",
    ):
        properties.setdefault(row.name, []).append(row.key)
    traits = rows(
        session,
        "SELECT key, count(*) FROM (SELECT metadata FROM person ORDER BY last_seen_at DESC NULLS LAST LIMIT :people) p,"
        " jsonb_object_keys(p.metadata) AS key GROUP BY key ORDER BY 2 DESC, 1 LIMIT :most",
        people=_ASKED_PEOPLE,
        most=_MOST_NAMES,
    )
    return Fields(
        tuple((row.name, max(0, row.events)) for row in events),
        {name: tuple(found) for name, found in properties.items()},
        tuple(row.key for row in traits),
    )


def read_groups(session: Session) -> dict[str, str]:
    """All segments and saved lists by the field of people that says who is in them, by name: what they are called."""
    found = rows(
        session,
        "SELECT id, name FROM (SELECT id, name FROM segment WHERE archived_at IS NULL UNION ALL"
        " SELECT id, name FROM static_list) g ORDER BY name, id",
    )
    return {f"person.in:{row.id}": f"In {row.name}" for row in found}


def values_of(timeline: Timeline, field: str, most: int = 100) -> tuple[str, ...]:
    """The most frequent values of a field as text: among all events, or among people."""
    condition = Condition(field, "set")
    column: EventColumn | PersonColumn
    if condition.of_person:
        column = timeline.columns.person(condition.name)
        parts: tuple[NDArray[np.int32], ...] = (column.codes,)
    else:
        column = timeline.columns.event(condition.name)
        parts = column.codes
    counts = np.zeros(len(column.values) + 1, np.int64)
    for codes in parts:
        counts += np.bincount(codes % len(counts), minlength=len(counts))  # a missing value is the last
    found = split(column.values, counts > 0, counts, most)
    return tuple(group.label for group in found.groups if group.kind == "value")
