"""The registry of event types: what each event is called, its properties with examples, how many came on each day.

`events` adds to it what is new and takes from it what is deleted; nothing else writes it but people who describe a type.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime
from operator import itemgetter
from typing import Any, Literal, Protocol
from uuid import UUID

import orjson
from sqlmodel import Session

from gdp_core.db import insert, records, rows, run
from gdp_core.event_roles import category_of
from gdp_core.sources.facts import EventFact
from gdp_core.tables.ingest import EventType, EventTypeDay

_MOST_PROPERTIES = 200  # of a type whose shape is remembered


class Told(Protocol):
    """What the registry wants to know of an event."""

    @property
    def fact(self) -> EventFact: ...
    @property
    def source_id(self) -> UUID: ...
    @property
    def occurred_at(self) -> datetime: ...
    @property
    def day(self) -> date: ...


def known(session: Session, names: Iterable[str]) -> dict[str, dict[str, Any]]:
    """What is known of the properties of these types of events."""
    found = rows(session, "SELECT name, properties FROM event_type WHERE name = ANY(:names)", names=list(names))
    return {row.name: row.properties for row in found}


def add(session: Session, workspace_id: UUID, events: Sequence[Told], before: Mapping[str, dict[str, Any]]) -> None:
    per_day = Counter((event.fact.name, event.source_id, event.day) for event in events)
    _add_type_days(
        session,
        [
            {"name": name, "source_id": source, "workspace_id": workspace_id, "day": day, "events": count}
            for (name, source, day), count in sorted(per_day.items())
        ],
    )
    named: dict[str, list[Told]] = {}
    for event in events:
        named.setdefault(event.fact.name, []).append(event)
    types = {name: _type(name, theirs) for name, theirs in named.items()}
    for name, kind in types.items():
        kind["properties"] = _merged(before.get(name, {}), kind["properties"])
    insert(
        session,
        EventType,
        [types[name] for name in sorted(types)],
        # The category is what people chose since, or what the name usually means: no sender's word, so no last word.
        "ON CONFLICT (name, workspace_id) DO UPDATE SET properties = excluded.properties,"
        " first_seen_at = least(event_type.first_seen_at, excluded.first_seen_at),"
        " last_seen_at = greatest(event_type.last_seen_at, excluded.last_seen_at)",
        shared={"workspace_id": workspace_id},
    )


def _type(name: str, events: Sequence[Told]) -> dict[str, Any]:
    """What some events tell of their type."""
    told = sorted(((event.occurred_at, event.fact.properties) for event in events), key=itemgetter(0))
    return {
        "name": name,
        "category": category_of(name),
        "properties": _shape(told),
        "required": [],
        "first_seen_at": told[0][0],
        "last_seen_at": told[-1][0],
    }


def take(session: Session, workspace_id: UUID, gone: Sequence[Any]) -> None:
    """Undo what deleted events added to the registry. Where one was the first or the last, the next is looked up."""
    named: dict[str, list[Any]] = {}
    for row in gone:
        named.setdefault(row.name, []).append(row)
    if not named:
        return
    place = {"workspace_id": workspace_id, "events": -1}
    _add_type_days(
        session,
        [
            {"name": row.name, "source_id": row.source_id, "day": row.occurred_at.astimezone(UTC).date(), **place}
            for row in gone
        ],
    )
    run(session, "DELETE FROM event_type_day WHERE name = ANY(:names) AND events = 0", names=list(named))
    run(
        session,
        "DELETE FROM event_type t USING unnest(CAST(:names AS text[]), CAST(:usual AS text[])) AS u(name, category)"
        " WHERE t.name = u.name AND t.owner IS NULL AND t.description IS NULL AND t.required = '{}'"
        " AND t.category IS NOT DISTINCT FROM u.category"
        " AND NOT EXISTS (SELECT FROM event_type_day d WHERE d.workspace_id = app_ws() AND d.name = t.name)",
        names=list(named),
        usual=[category_of(name) for name in named],
    )
    for kind in rows(
        session,
        "SELECT name, properties, first_seen_at, last_seen_at FROM event_type WHERE name = ANY(:names)",
        names=list(named),
    ):
        taken = _shape(sorted(((row.occurred_at, row.properties) for row in named[kind.name]), key=itemgetter(0)))
        first, last = kind.first_seen_at, kind.last_seen_at
        instants = [row.occurred_at for row in named[kind.name]]
        if min(instants) <= first or max(instants) >= last:
            left = rows(
                session, "SELECT min(occurred_at), max(occurred_at) FROM event WHERE name = :name", name=kind.name
            )
            first, last = left[0][0] or first, left[0][1] or last
        run(
            session,
            "UPDATE event_type SET properties = CAST(:properties AS jsonb), first_seen_at = :first, last_seen_at = :last"
            " WHERE name = :name",
            properties=records([_without(session, kind.name, kind.properties, taken)])[1:-1],
            first=first,
            last=last,
            name=kind.name,
        )


def _without(session: Session, name: str, known: Mapping[str, Any], taken: Mapping[str, Any]) -> dict[str, Any]:
    """What is known of an event type's properties, less what some deleted events had told."""
    result = dict(known)
    for prop in taken.keys() & known.keys():
        old, part = known[prop], taken[prop]
        types = dict(Counter(old["types"]) - Counter(part["types"]))
        if not types:
            del result[prop]
            continue
        first_at, example, last_at = old["first_at"], old["example"], old["last_at"]
        if part["first_at"] <= first_at and (found := _edge(session, name, prop, "min")):
            first_at, example = found
        if part["last_at"] >= last_at and (found := _edge(session, name, prop, "max")):
            last_at = found[0]
        result[prop] = {"types": types, "example": example, "first_at": first_at, "last_at": last_at}
    return result


def _edge(session: Session, name: str, prop: str, which: Literal["min", "max"]) -> tuple[str, str] | None:
    """(instant, example) of the first or last event of a type that has a property."""
    order = "ASC" if which == "min" else "DESC"
    has = "name = :name AND jsonb_typeof(properties -> :prop) <> 'null'"
    found = rows(
        session,
        f"SELECT occurred_at, properties -> :prop AS value FROM event WHERE {has} AND occurred_at ="
        f" (SELECT occurred_at FROM event WHERE {has} ORDER BY occurred_at {order} LIMIT 1)",
        name=name,
        prop=prop,
    )
    if not found:
        return None
    return found[0].occurred_at.astimezone(UTC).isoformat(), min(_example(row.value) for row in found)


def _add_type_days(session: Session, days: Sequence[dict[str, Any]]) -> None:
    merged: dict[tuple[Any, ...], dict[str, Any]] = {}
    for value in days:
        key = (value["name"], value["source_id"], value["day"])
        if key in merged:
            merged[key]["events"] += value["events"]
        else:
            merged[key] = dict(value)
    insert(
        session,
        EventTypeDay,
        list(merged.values()),
        "ON CONFLICT (name, source_id, workspace_id, day)"
        " DO UPDATE SET events = event_type_day.events + excluded.events",
    )


_TYPE_NAMES = {str: "string", bool: "boolean", int: "number", float: "number", list: "array", dict: "object"}


class _Property:
    """What is known of a property of some events, told in the order of time."""

    __slots__ = ("example", "first", "last", "types")

    def __init__(self, at: datetime, value: Any) -> None:
        self.types: dict[type, int] = {}
        self.first = self.last = at
        self.example = _example(value)


def _shape(told: Iterable[tuple[datetime, Mapping[str, Any]]]) -> dict[str, Any]:
    """Properties by name from (instant, properties), the earliest first: types with counts, example, first and last."""
    shape: dict[str, _Property] = {}
    for at, properties in told:
        for name, value in properties.items():
            if value is None:
                continue
            known = shape.get(name)
            if known is None:
                known = shape[name] = _Property(at, value)
                _cap(shape)
            elif at == known.first:
                known.example = min(known.example, _example(value))
            known.types[value.__class__] = known.types.get(value.__class__, 0) + 1
            known.last = at
    return {name: _as_json(known) for name, known in shape.items()}


def _as_json(known: _Property) -> dict[str, Any]:
    types = Counter[str]()
    for kind, count in known.types.items():
        types[_TYPE_NAMES.get(kind, "string")] += count
    first, last = (at.astimezone(UTC).isoformat() for at in (known.first, known.last))
    return {"types": dict(types), "example": known.example, "first_at": first, "last_at": last}


def _example(value: Any) -> str:
    text = value if isinstance(value, str) else orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()
    return text[:80]


def _cap(shape: dict[str, Any]) -> None:
    """Keep the first names in the order of the alphabet: which came first would depend on the order of arrival."""
    while len(shape) > _MOST_PROPERTIES:
        del shape[max(shape)]


def _merged(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(old)
    for name, value in new.items():
        known = merged.get(name)
        if known is None:
            merged[name] = value
            continue
        earlier, _ = sorted((known, value), key=lambda item: (item["first_at"], item["example"]))
        merged[name] = {
            "types": dict(Counter(known["types"]) + Counter(value["types"])),
            "example": earlier["example"],
            "first_at": earlier["first_at"],
            "last_at": max(known["last_at"], value["last_at"]),
        }
    _cap(merged)
    return merged
