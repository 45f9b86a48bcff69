"""The event catalogue: which events there are, how many, what they carry, and where their shape drifts.

What a property's shape tells is kept per event type as events are applied: how often it came with each type, an
example, and when it was first and last there. Examples are what senders wrote: personal data.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, Literal
from uuid import UUID

from sqlmodel import Session

from gdp_core.db import one, rows
from gdp_core.errors import NotFound
from gdp_core.event_roles import read_roles
from gdp_core.identity import UNKNOWN

DAYS = 30
_RECENT = timedelta(days=7)
Drift = Literal["several_types", "new", "vanished"]


@dataclass(frozen=True, slots=True)
class PropertyRow:
    """A property as events carried it. `types` are (type, how often), the most frequent first.

    Drift: `several_types`; `new`: first there in the last 7 days, on an event known for longer; `vanished`: not there
    in the event's own last 7 days.
    """

    name: str
    types: tuple[tuple[str, int], ...]
    example: str
    first_at: datetime
    last_at: datetime
    required: bool
    drift: tuple[Drift, ...]

    @property
    def count(self) -> int:
        """How many events carried it."""
        return sum(number for _, number in self.types)


@dataclass(frozen=True, slots=True)
class TypeRow:
    """An event type. `daily` is its volume on each of the last 30 UTC days, oldest first; `total` of all time."""

    name: str
    category: str | None
    owner: str | None
    description: str | None
    first_seen_at: datetime
    last_seen_at: datetime
    total: int
    daily: tuple[int, ...]
    sources: tuple[str, ...]
    properties: int
    required: tuple[str, ...]
    roles: tuple[str, ...]
    drift: tuple[Drift, ...]

    @property
    def recent(self) -> int:
        """How many in the last 30 days."""
        return sum(self.daily)


@dataclass(frozen=True, slots=True)
class TypeDetail:
    """An event type and its properties, the most frequent first; `by_source`: (source id, name, events, last day)."""

    row: TypeRow
    properties: tuple[PropertyRow, ...]
    by_source: tuple[tuple[UUID, str, int, date], ...]


@dataclass(frozen=True, slots=True)
class Totals:
    """All events of all time. `of_visitors`: by identifiers that do not say who. `value`: (currency, micros) of the
    events that carry money, refunds taken off, from sources without invoices; the largest first."""

    events: int
    people: int
    of_visitors: int
    value: tuple[tuple[str, int], ...]


def read_totals(session: Session) -> Totals:
    """What all events together amount to; internal people included, as these are the books of what arrived."""
    counted = one(
        session,
        "SELECT coalesce(sum(event_count), 0)::bigint AS events,"
        " coalesce(sum(event_count) FILTER (WHERE namespace = ANY(:unknown)), 0)::bigint AS of_visitors FROM actor",
        unknown=sorted(UNKNOWN),
    )
    people = one(session, "SELECT count(*) AS n FROM person WHERE is_known").n
    money = rows(
        session,
        "SELECT currency, sum(paid_micros - refunded_micros)::bigint AS micros FROM actor_value_day"
        " GROUP BY currency ORDER BY abs(sum(paid_micros - refunded_micros)) DESC, currency",
    )
    return Totals(counted.events, people, counted.of_visitors, tuple((row.currency, row.micros) for row in money))


def read_types(session: Session, now: datetime, name: str | None = None) -> list[TypeRow]:
    """Every event type (or the one of a name), the most frequent of the last 30 days first."""
    since = now.date() - timedelta(days=DAYS - 1)
    daily: dict[str, list[int]] = {}
    totals: dict[str, int] = {}
    sources: dict[str, list[str]] = {}
    for row in rows(
        session,
        "SELECT d.name, d.day - CAST(:since AS date) AS at, sum(d.events)::bigint AS events FROM event_type_day d"
        " WHERE d.day >= :since AND (CAST(:name AS text) IS NULL OR d.name = :name) GROUP BY 1, 2",
        since=since,
        name=name,
    ):
        series = daily.setdefault(row.name, [0] * DAYS)
        if row.at < DAYS:
            series[row.at] = max(0, row.events)
    for row in rows(
        session,
        "SELECT d.name, sum(d.events)::bigint AS events, array_agg(DISTINCT coalesce(s.name, 'Removed source')) AS sources"
        " FROM event_type_day d LEFT JOIN source_instance s ON s.workspace_id = d.workspace_id AND s.id = d.source_id"
        " WHERE CAST(:name AS text) IS NULL OR d.name = :name GROUP BY d.name",
        name=name,
    ):
        totals[row.name], sources[row.name] = row.events, sorted(row.sources)
    roles = read_roles(session).by_name
    found = [
        TypeRow(
            name=row.name,
            category=row.category,
            owner=row.owner,
            description=row.description,
            first_seen_at=row.first_seen_at,
            last_seen_at=row.last_seen_at,
            total=totals.get(row.name, 0),
            daily=tuple(daily.get(row.name, [0] * DAYS)),
            sources=tuple(sources.get(row.name, ())),
            properties=len(row.properties),
            required=tuple(row.required),
            roles=tuple(role for role, _ in roles.get(row.name, ())),
            drift=_all_drift(row, now),
        )
        for row in rows(
            session,
            "SELECT name, category, owner, description, required, properties, first_seen_at, last_seen_at"
            " FROM event_type WHERE CAST(:name AS text) IS NULL OR name = :name",
            name=name,
        )
    ]
    return sorted(found, key=lambda item: (-item.recent, -item.total, item.name))


def read_type(session: Session, name: str, now: datetime) -> TypeDetail:
    """One event type. Raises NotFound."""
    found = read_types(session, now, name)
    if not found:
        raise NotFound("No event of this name was ever received.")
    row = one(
        session,
        "SELECT properties, required, first_seen_at, last_seen_at FROM event_type WHERE name = :name",
        name=name,
    )
    properties = [_property(key, value, row, now) for key, value in row.properties.items()]
    by_source = rows(
        session,
        "SELECT d.source_id, coalesce(s.name, 'Removed source') AS name, sum(d.events)::bigint AS events,"
        " max(d.day) AS day FROM event_type_day d LEFT JOIN source_instance s ON s.workspace_id = d.workspace_id"
        " AND s.id = d.source_id WHERE d.name = :name GROUP BY 1, 2 ORDER BY 3 DESC, 2",
        name=name,
    )
    return TypeDetail(
        found[0],
        tuple(sorted(properties, key=lambda item: (-item.count, item.name))),
        tuple((item.source_id, item.name, item.events, item.day) for item in by_source),
    )


def _property(name: str, shape: Mapping[str, Any], row: Any, now: datetime) -> PropertyRow:
    types = sorted(shape["types"].items(), key=lambda item: (-item[1], item[0]))
    return PropertyRow(
        name=name,
        types=tuple(types),
        example=str(shape["example"]),
        first_at=datetime.fromisoformat(shape["first_at"]),
        last_at=datetime.fromisoformat(shape["last_at"]),
        required=name in row.required,
        drift=_drift(shape, row, now),
    )


def _drift(shape: Mapping[str, Any], row: Any, now: datetime) -> tuple[Drift, ...]:
    first, last = (datetime.fromisoformat(shape[name]) for name in ("first_at", "last_at"))
    found: list[Drift] = []
    if len(shape["types"]) > 1:
        found.append("several_types")
    if now - first <= _RECENT and first - row.first_seen_at > _RECENT:
        found.append("new")
    if row.last_seen_at - last > _RECENT:
        found.append("vanished")
    return tuple(found)


def _all_drift(row: Any, now: datetime) -> tuple[Drift, ...]:
    seen = {kind for shape in row.properties.values() for kind in _drift(shape, row, now)}
    return tuple(kind for kind in ("several_types", "new", "vanished") if kind in seen)


def read_names(session: Session) -> list[str]:
    """The names of all event types, the most recent first."""
    found = rows(session, "SELECT name FROM event_type ORDER BY last_seen_at DESC, name LIMIT 1000")
    return [row.name for row in found]
