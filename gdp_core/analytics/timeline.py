"""One person's timeline, newest first: events of every source, what became of e-mails, and stages entered.

Pages begin after the last item of the one before, by (instant, kind, id), so any depth costs the same. Each identifier
is read by its own index range, newest month first. Holds personal data: not to be cached.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any, Literal
from uuid import UUID

from sqlmodel import Session

from gdp_core.db import one, rows

Kind = Literal["event", "mail", "stage"]
_KINDS: tuple[Kind, ...] = ("event", "mail", "stage")  # at the same instant, in this order
STAGE_SOURCE = "stage"
MAIL_SOURCE = "email"
_WIDER = (1, 8, 64, None)  # how many times a page's worth of events is looked through; None: all of them
_TOLD_BY_EVENTS = ["opened", "clicked"]


@dataclass(frozen=True, slots=True)
class Item:
    """Something on the timeline. `name` is an event's name, what became of an e-mail, or the stage entered."""

    kind: Kind
    id: str
    at: datetime
    name: str
    source: str
    category: str | None
    is_machine: bool
    value_micros: int | None
    currency: str | None
    url: str | None
    summary: str | None


@dataclass(frozen=True, slots=True)
class Cut:
    """What the timeline is narrowed to; empty parts do not narrow."""

    categories: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    since: datetime | None = None
    until: datetime | None = None
    human_only: bool = False


@dataclass(frozen=True, slots=True)
class After:
    """Where a page begins: after this item."""

    at: datetime
    kind: Kind
    id: str

    @property
    def text(self) -> str:
        """For a URL."""
        return f"{self.at.isoformat()}|{self.kind}|{self.id}"

    @classmethod
    def parse(cls, text: str) -> "After | None":
        """What `text` said; None for what cannot be one."""
        at, _, rest = text.partition("|")
        kind, _, key = rest.partition("|")
        try:
            found = datetime.fromisoformat(at)
            if kind == "event":
                UUID(key)
        except ValueError:
            return None
        if found.tzinfo is None or kind not in _KINDS:
            return None
        return cls(found, kind, key)


@dataclass(frozen=True, slots=True)
class Detail:
    """Everything recorded of one event."""

    id: UUID
    name: str
    type: str
    category: str | None
    source: str
    source_name: str
    source_event_id: str
    identifier: str | None
    occurred_at: datetime
    received_at: datetime
    applied_at: datetime
    is_machine: bool
    value_micros: int | None
    currency: str | None
    context: Mapping[str, str]  # session, device, address, page, campaign: those that are known
    properties: Mapping[str, Any]
    metadata: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Names:
    """What a timeline can be narrowed to in this workspace."""

    names: tuple[str, ...]
    categories: tuple[str, ...]


def read_page(
    session: Session,
    person_id: UUID,
    actors: Sequence[UUID],
    cut: Cut,
    *,
    after: After | None = None,
    size: int = 50,
) -> tuple[tuple[Item, ...], After | None]:
    """A page of the timeline, and where the next begins (None: this was the last)."""
    found = [
        *_events(session, actors, cut, after, size + 1),
        *_mails(session, actors, cut, after, size + 1),
        *_stages(session, person_id, cut, after, size + 1),
    ]
    found.sort(key=lambda item: item.id, reverse=True)
    found.sort(key=lambda item: _KINDS.index(item.kind))
    found.sort(key=lambda item: item.at, reverse=True)
    shown = tuple(found[:size])
    last = After(shown[-1].at, shown[-1].kind, shown[-1].id) if len(found) > size else None
    return shown, last


def _events(session: Session, actors: Sequence[UUID], cut: Cut, after: After | None, limit: int) -> list[Item]:
    if cut.sources and not set(cut.sources) - {STAGE_SOURCE}:
        return []
    where, values = _bounds("e.occurred_at", "e.id", "event", cut, after)
    if cut.sources:
        where.append("e.source = ANY(:sources)")
        values["sources"] = list(cut.sources)
    if cut.names:
        where.append("e.name = ANY(:names)")
        values["names"] = list(cut.names)
    if cut.categories:
        where.append("(e.category = ANY(:categories) OR (e.category IS NULL AND e.name = ANY(:category_names)))")
        values |= {"categories": list(cut.categories), "category_names": _names_in(session, cut.categories)}
    if cut.human_only:
        where.append("NOT e.is_machine")
    found: Sequence[Any] = ()
    for factor in _WIDER:
        floor = _floor(session, actors, after, limit * factor) if factor else None
        found = _fetch(session, actors, where, values, floor, limit)
        if len(found) >= limit or floor is None or (cut.since and floor <= cut.since):
            break
    known = _categories(session, {row.name for row in found if row.category is None})
    return [
        Item("event", str(row.id), row.occurred_at, row.name, row.source, row.category or known.get(row.name), *row[5:])
        for row in found
    ]


def _categories(session: Session, names: Collection[str]) -> dict[str, str | None]:
    """What the catalogue says of events that came without a category."""
    found = rows(session, "SELECT name, category FROM event_type WHERE name = ANY(:names)", names=sorted(names))
    return {row.name: row.category for row in found}


def _fetch(
    session: Session, actors: Sequence[UUID], where: Sequence[str], values: Mapping[str, Any], floor: Any, limit: int
) -> Sequence[Any]:
    conditions = [*where, "e.occurred_at >= :floor"] if floor else where
    return rows(
        session,
        f"""
        SELECT e.* FROM unnest(CAST(:actors AS uuid[])) AS w(actor_id) CROSS JOIN LATERAL (
            SELECT e.id, e.occurred_at, e.name, e.source, e.category, e.is_machine, e.value_micros, e.currency, e.url,
                coalesce(e.properties ->> 'subject', e.properties ->> 'plan_name', e.properties ->> 'title',
                    e.properties ->> 'name') AS summary
            FROM event e WHERE e.workspace_id = app_ws() AND e.actor_id = w.actor_id
                AND {" AND ".join(conditions) or "true"}
            ORDER BY e.occurred_at DESC, e.id DESC LIMIT :limit
        ) e ORDER BY e.occurred_at DESC, e.id DESC LIMIT :limit
        """,
        actors=list(actors),
        limit=limit,
        **values,
        **({"floor": floor} if floor else {}),
    )


def _floor(session: Session, actors: Sequence[UUID], after: After | None, wanted: int) -> datetime | None:
    """The start of the UTC day from which on the person has `wanted` events; None: they have not that many.

    The planner cannot know how dense one person's events are and would sort all of them; the days' counts do.
    """
    row = one(
        session,
        """
        WITH counted AS (
            SELECT day, sum(events) AS n FROM actor_day WHERE actor_id = ANY(:actors) AND day < :top GROUP BY day
        ), running AS (SELECT day, sum(n) OVER (ORDER BY day DESC) AS total FROM counted)
        SELECT max(day) AS day FROM running WHERE total >= :wanted
        """,
        actors=list(actors),
        top=after.at.astimezone(UTC).date() if after else date.max,
        wanted=wanted,
    )
    return datetime(row.day.year, row.day.month, row.day.day, tzinfo=UTC) if row.day else None


def _mails(session: Session, actors: Sequence[UUID], cut: Cut, after: After | None, limit: int) -> list[Item]:
    """What became of e-mails, but for opens and clicks, which are events already."""
    if cut.categories or cut.names or (cut.sources and MAIL_SOURCE not in cut.sources):
        return []
    where, values = _bounds("e.occurred_at", 'e.source_event_id COLLATE "C"', "mail", cut, after)
    found = rows(
        session,
        f"""
        SELECT e.source_event_id, e.occurred_at, e.event_type, m.subject, e.detail FROM email_message m
        JOIN email_event e ON e.workspace_id = m.workspace_id AND e.source_id = m.source_id AND e.resend_id = m.resend_id
        WHERE m.actor_id = ANY(:actors) AND e.event_type <> ALL(:told) AND {" AND ".join(where) or "true"}
        ORDER BY e.occurred_at DESC, e.source_event_id COLLATE "C" DESC LIMIT :limit
        """,
        actors=list(actors),
        told=_TOLD_BY_EVENTS,
        limit=limit,
        **values,
    )
    return [
        Item(
            "mail",
            row.source_event_id,
            row.occurred_at,
            f"email_{row.event_type}",
            MAIL_SOURCE,
            None,
            False,
            None,
            None,
            None,
            " · ".join(part for part in (row.subject, row.detail) if part) or None,
        )
        for row in found
    ]


def _stages(session: Session, person_id: UUID, cut: Cut, after: After | None, limit: int) -> list[Item]:
    if cut.categories or cut.names or (cut.sources and STAGE_SOURCE not in cut.sources):
        return []
    where, values = _bounds("at", "coalesce(stage, '')", "stage", cut, after)
    found = rows(
        session,
        f"SELECT at, stage, previous FROM stage_change WHERE person_id = :person AND {' AND '.join(where) or 'true'}"
        " ORDER BY at DESC LIMIT :limit",
        person=person_id,
        limit=limit,
        **values,
    )
    return [
        Item(
            "stage", row.stage or "", row.at, row.stage or "", STAGE_SOURCE, None, False, None, None, None, row.previous
        )
        for row in found
    ]


def _bounds(at: str, key: str, kind: Kind, cut: Cut, after: After | None) -> tuple[list[str], dict[str, Any]]:
    where: list[str] = []
    values: dict[str, Any] = {}
    if cut.since:
        where.append(f"{at} >= :since")
        values["since"] = cut.since
    if cut.until:
        where.append(f"{at} < :until")
        values["until"] = cut.until
    if after:
        values["after_at"] = after.at
        if after.kind == kind:
            where.append(f"({at}, {key}) < (:after_at, :after_id)")
            values["after_id"] = UUID(after.id) if kind == "event" else after.id
        else:
            where.append(f"{at} {'<=' if _KINDS.index(kind) > _KINDS.index(after.kind) else '<'} :after_at")
    return where, values


def _names_in(session: Session, categories: Sequence[str]) -> list[str]:
    found = rows(session, "SELECT name FROM event_type WHERE category = ANY(:categories)", categories=list(categories))
    return [row.name for row in found]


def read_names(session: Session) -> Names:
    """The event names and categories of the workspace."""
    found = rows(session, "SELECT name, category FROM event_type ORDER BY name LIMIT 1000")
    known = "acquisition activation core_value monetization retention referral".split()
    extra = sorted({row.category for row in found if row.category} - set(known))
    return Names(tuple(row.name for row in found), (*known, *extra))


_CONTEXT = (
    "session_id device_id ip user_agent referrer url utm_source utm_medium utm_campaign utm_term utm_content gclid"
    " fbclid ttclid"
).split()


def read_detail(session: Session, event_id: UUID, at: datetime) -> Detail | None:
    """Everything of one event; `at` says in which month it lies. None when it is gone."""
    row = one(
        session,
        f"""
        SELECT e.id, e.name, e.type, coalesce(e.category, t.category) AS category, e.source,
            coalesce(s.name, 'A removed source') AS source_name, e.source_event_id,
            a.namespace || ' ' || a.external_id AS identifier, e.occurred_at, e.received_at, e.applied_at, e.is_machine,
            e.value_micros, e.currency, e.properties, e.metadata, {", ".join(f"e.{name}" for name in _CONTEXT)}
        FROM event e
        LEFT JOIN event_type t ON t.name = e.name AND t.workspace_id = e.workspace_id
        LEFT JOIN source_instance s ON s.id = e.source_id AND s.workspace_id = e.workspace_id
        LEFT JOIN actor a ON a.id = e.actor_id AND a.workspace_id = e.workspace_id
        WHERE e.id = :id AND e.occurred_at = :at
        """,
        id=event_id,
        at=at,
    )
    if row is None:
        return None
    context = {name: str(getattr(row, name)) for name in _CONTEXT if getattr(row, name)}
    return Detail(*(*row[:14], context, row.properties, row.metadata))
