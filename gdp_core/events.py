"""Writes events and the summaries that outlive them: what each actor did per day, roles played, money, event types.

Counts are added for each new event, exactly once because the caller holds the workspace's lock and passes only events
whose key was new. A changed event (an earlier delivery of the same key) is taken back first, out of the registry of
types too; the days it touched are then counted again from the events.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime
from functools import lru_cache
from hashlib import sha1
from operator import attrgetter, itemgetter
from socket import AF_INET, AF_INET6, inet_ntop, inet_pton
from typing import Any, NamedTuple
from uuid import UUID
from weakref import WeakKeyDictionary

from sqlmodel import Session

from gdp_core import event_types
from gdp_core.db import insert, later, records, recordset, rows, run
from gdp_core.event_roles import CAMPAIGN_TOUCH, EventRoles, category_of
from gdp_core.failpoint import failpoint
from gdp_core.sources.facts import EventFact
from gdp_core.tables.ingest import Event, EventGone
from gdp_core.tables.people import Actor, ActorDay, ActorRoleDay, ActorValueDay

_PLAIN = (
    "name type category session_id device_id user_agent referrer url utm_source utm_medium utm_campaign utm_term"
    " utm_content gclid fbclid ttclid value_micros currency is_machine properties metadata"
).split()
_plain = attrgetter(*_PLAIN)
_TOUCH = "utm_source utm_medium utm_campaign gclid fbclid ttclid referrer".split()
_touch = attrgetter(*_TOUCH)
_HOST = r"^[a-z][a-z0-9+.-]*://(?:[^/?#@]*@)?(?:www\.)?([^/?#:]+)"  # Postgres reads it too, see `_retotal`
_host = re.compile(_HOST).match
_MAPPED = bytes(10) + b"\xff\xff"  # an IPv4 address written as IPv6


class NewEvent(NamedTuple):
    """An event to write, with what the pipeline knows of it. `id` is `event_id` of its source and key."""

    id: UUID
    fact: EventFact
    key: str
    source_id: UUID
    actor: UUID | None
    occurred_at: datetime
    received_at: datetime
    counts_money: bool  # its value is revenue: the source has no invoices
    original_at: datetime | None = None

    def row(self) -> dict[str, Any]:
        """Its own columns of the event table, without those that are NULL."""
        values = {name: value for name, value in zip(_PLAIN, _plain(self.fact), strict=True) if value is not None}
        if self.original_at:
            values["metadata"] = {**values["metadata"], "original_at": self.original_at.isoformat()}
        return values | {
            "id": self.id,
            "occurred_at": self.occurred_at,
            "actor_id": self.actor,
            "category": self.category,
            "source": self.fact.channel,
            "source_id": self.source_id,
            "source_event_id": self.key,
            "ip": truncate_ip(self.fact.ip),
            "received_at": self.received_at,
        }

    @property
    def category(self) -> str | None:
        """What the sender said, else what the name usually means."""
        return self.fact.category or category_of(self.fact.name)

    @property
    def day(self) -> date:
        """The UTC day it counts for."""
        at = self.occurred_at
        return at.date() if at.tzinfo is UTC else at.astimezone(UTC).date()

    @property
    def is_human(self) -> bool:
        """Something the person surely did: no scanner, no picture a mail program may have loaded by itself, and not the
        billing system acting for them."""
        return not self.fact.is_machine and self.fact.channel != "stripe" and "weak" not in self.fact.metadata


class Placed(NamedTuple):
    """Where an event row lies."""

    id: UUID
    occurred_at: datetime


def event_id(source_id: UUID, key: str) -> UUID:
    """The id of an event follows from its key; source ids are unique across workspaces. It is `uuid.uuid5`, faster."""
    digest = int.from_bytes(sha1(_bytes_of(source_id) + key.encode(), usedforsecurity=False).digest()[:16])
    return UUID(int=digest & _NO_VERSION | _VERSION_5)


_bytes_of = lru_cache(maxsize=1024)(attrgetter("bytes"))
_VERSION_5 = 5 << 76 | 2 << 62
_NO_VERSION = ~(0xF << 76 | 3 << 62)


@lru_cache(maxsize=4096)
def truncate_ip(address: str | None) -> str | None:
    """The /24 (IPv4) or /48 (IPv6) network address; None for what is no address."""
    if not address:
        return None
    family = AF_INET6 if ":" in address else AF_INET
    try:
        packed = inet_pton(family, address.strip())
    except (OSError, ValueError):
        return None
    packed = packed.removeprefix(_MAPPED)
    return (
        inet_ntop(AF_INET, packed[:3] + bytes(1)) if len(packed) == 4 else inet_ntop(AF_INET6, packed[:6] + bytes(10))
    )


def write(session: Session, workspace_id: UUID, events: Sequence[NewEvent], roles: EventRoles, now: datetime) -> None:
    """Insert events whose keys are new, and add them to every summary."""
    if not events:
        return
    ensure_partitions(session, "event", (event.occurred_at for event in events))
    known = event_types.known(session, {event.fact.name for event in events})  # before writing, which it would wait for
    written = [event.row() for event in events]
    insert(
        session,
        Event,
        written,
        columns=sorted(set().union(*written)),
        shared={"workspace_id": workspace_id, "applied_at": now},
    )
    event_types.add(session, workspace_id, events, known)
    _add_to_actors(session, workspace_id, events, roles)


def take_back(session: Session, workspace_id: UUID, places: Sequence[Placed]) -> list[tuple[UUID, date]]:
    """Delete events that are about to be replaced. Returns the (actor, day) pairs to `recount` once that is done."""
    if not places:
        return []
    gone = rows(
        session,
        "DELETE FROM event e USING unnest(CAST(:ids AS uuid[]), CAST(:ats AS timestamptz[])) AS old(id, at)"
        " WHERE e.id = old.id AND e.occurred_at = old.at"
        " RETURNING e.id, e.actor_id, e.occurred_at, e.name, e.source_id, e.properties",
        ids=[place.id for place in places],
        ats=[place.occurred_at for place in places],
    )
    _note_gone(session, workspace_id, gone)
    _forget_touches(session, [row.id for row in gone], [row.actor_id for row in gone if row.actor_id])
    event_types.take(session, workspace_id, gone)
    return [(row.actor_id, row.occurred_at.astimezone(UTC).date()) for row in gone if row.actor_id]


def _note_gone(session: Session, workspace_id: UUID, gone: Sequence[Any]) -> None:
    """Tell the lake of rows it may have: the same row may go more than once in a transaction."""
    written = [{"event_id": row.id, "occurred_at": row.occurred_at} for row in gone]
    insert(session, EventGone, written, "ON CONFLICT DO NOTHING", shared={"workspace_id": workspace_id})


def _forget_touches(session: Session, events: Sequence[UUID], actors: Sequence[UUID]) -> None:
    """Blank the first touches that these events were; `recount` finds the next ones."""
    if not events:
        return
    run(
        session,
        "UPDATE actor SET first_touch = NULL WHERE id = ANY(:actors)"
        " AND CAST(split_part(first_touch ->> 'order', '|', 3) AS uuid) = ANY(:events)",
        actors=list(set(actors)),
        events=list(events),
    )


def recount(
    session: Session,
    workspace_id: UUID,
    actor_days: Iterable[tuple[UUID, date]],
    roles: EventRoles,
    money: frozenset[UUID],
) -> None:
    """Count some days of some actors again from the events. `money`: the sources whose values are revenue."""
    pairs = sorted(set(actor_days))
    if not pairs:
        return
    actors, days = [actor for actor, _ in pairs], [day for _, day in pairs]
    for table in ("actor_day", "actor_role_day", "actor_value_day"):
        run(
            session,
            f"DELETE FROM {table} t USING unnest(CAST(:actors AS uuid[]), CAST(:days AS date[])) AS old(actor_id, day)"
            " WHERE t.actor_id = old.actor_id AND t.day = old.day",
            actors=actors,
            days=days,
        )
    found = rows(
        session,
        "SELECT e.* FROM unnest(CAST(:actors AS uuid[]), CAST(:days AS date[])) AS d(actor_id, day) JOIN event e"
        " ON e.workspace_id = app_ws() AND e.actor_id = d.actor_id"
        " AND e.occurred_at >= d.day::timestamp AT TIME ZONE 'UTC'"
        " AND e.occurred_at < (d.day + 1)::timestamp AT TIME ZONE 'UTC'",
        actors=actors,
        days=days,
    )
    _add_days(session, workspace_id, _by_actor(_from_row(row, money) for row in found), roles)
    _retotal(session, sorted(set(actors)))


def mark_machine(session: Session, workspace_id: UUID, flags: Sequence[tuple[Placed, bool]]) -> list[tuple[UUID, date]]:
    """Set whether events were a machine's doing. Returns the (actor, day) pairs to `recount`."""
    changed = rows(
        session,
        "UPDATE event e SET is_machine = f.flag, tx = pg_current_xact_id() FROM unnest(CAST(:ids AS uuid[]), CAST(:ats AS timestamptz[]),"
        " CAST(:flags AS boolean[])) AS f(id, at, flag)"
        " WHERE e.id = f.id AND e.occurred_at = f.at AND e.is_machine <> f.flag RETURNING e.id, e.actor_id, e.occurred_at",
        ids=[place.id for place, _ in flags],
        ats=[place.occurred_at for place, _ in flags],
        flags=[flag for _, flag in flags],
    )
    _note_gone(session, workspace_id, changed)
    _forget_touches(session, [row.id for row in changed], [row.actor_id for row in changed if row.actor_id])
    return [(row.actor_id, row.occurred_at.astimezone(UTC).date()) for row in changed if row.actor_id]


def ensure_partitions(session: Session, table: str, instants: Iterable[datetime]) -> None:
    """Make the monthly partitions that these instants fall into.

    What exists is remembered per pool, but not what this transaction made: it may be undone, and others cannot see it.
    """
    known = _known_partitions.setdefault(session.get_bind(), set())
    made = session.info.setdefault("partitions", set())
    for month in sorted({(instant.year, instant.month) for instant in (at.astimezone(UTC) for at in instants)}):
        if (table, month) in known:
            continue
        at = datetime(*month, 1, tzinfo=UTC)
        if rows(session, "SELECT partition_ensure(:parent, :at) AS made", parent=table, at=at)[0].made:
            made.add((table, month))
            failpoint("partition.created")
        if (table, month) not in made:
            known.add((table, month))


_known_partitions: WeakKeyDictionary[Any, set[tuple[str, tuple[int, int]]]] = WeakKeyDictionary()


def forget_partitions() -> None:
    """Ask the database again which partitions exist."""
    _known_partitions.clear()


# ------------------------------------------------------------------------------------------------- summaries


def _by_actor(events: Iterable[NewEvent]) -> dict[UUID, list[NewEvent]]:
    theirs: dict[UUID, list[NewEvent]] = {}
    for event in events:
        if event.actor:
            theirs.setdefault(event.actor, []).append(event)
    return theirs


def _add_to_actors(session: Session, workspace_id: UUID, events: Iterable[NewEvent], roles: EventRoles) -> None:
    by_actor = _by_actor(events)
    if not by_actor:
        return
    _add_days(session, workspace_id, by_actor, roles)
    values = []
    for actor, theirs in by_actor.items():
        touches = [touch for touch in map(first_touch, theirs) if touch]
        values.append(
            {
                "id": actor,
                "event_count": len(theirs),
                "last_seen_at": max((event.occurred_at for event in theirs if event.is_human), default=None),
                "first_touch": min(touches, key=itemgetter("order"), default=None),
            }
        )
    later(
        session,
        f"""
        UPDATE actor SET
            event_count = actor.event_count + incoming.event_count,
            last_seen_at = greatest(actor.last_seen_at, incoming.last_seen_at),
            first_touch = CASE WHEN actor.first_touch IS NULL
                OR (incoming.first_touch ->> 'order') COLLATE "C" < (actor.first_touch ->> 'order') COLLATE "C"
                THEN coalesce(incoming.first_touch, actor.first_touch) ELSE actor.first_touch END
        FROM {recordset(Actor, values[0])}
        WHERE actor.id = incoming.id AND actor.workspace_id = :ws
        """,
        rows=records(values),
        ws=workspace_id,
    )


def first_touch(event: NewEvent) -> dict[str, Any] | None:
    """What an event tells of where its person came from; None for events that tell nothing (billing, e-mail opens)."""
    fact = event.fact
    if fact.channel == "stripe" or fact.is_machine:
        return None
    told = {name: value for name, value in zip(_TOUCH, _touch(fact), strict=True) if value}
    if "referrer" in told and not _from_elsewhere(fact.referrer, fact.url):
        del told["referrer"]
    if not told and fact.type != "PAGE_VIEW":
        return None
    # Campaigns beat a bare page view of the same person whenever it came: an unmarked visit tells nothing.
    rank = 0 if told else 1
    return {"order": f"{rank}|{event.occurred_at.astimezone(UTC).isoformat()}|{event.id}", **told}


def _from_elsewhere(referrer: str | None, url: str | None) -> bool:
    """Whether a referrer is another site: going from page to page tells nothing of where somebody came from."""
    site, own = _host((referrer or "").lower()), _host((url or "").lower())
    if not site or not own:
        return bool(site)
    short, long = sorted((site[1], own[1]), key=len)
    return short != long and not long.endswith(f".{short}")


def _roles_of(event: NewEvent, roles: EventRoles) -> list[str]:
    fact = event.fact
    played = roles.of(fact.name, fact.properties)
    campaign = fact.utm_source or fact.utm_campaign or fact.gclid or fact.fbclid or fact.ttclid
    if not fact.is_machine and (campaign or fact.name == "email_clicked"):
        return [*played, CAMPAIGN_TOUCH]
    return played


def _add_days(
    session: Session, workspace_id: UUID, by_actor: Mapping[UUID, Sequence[NewEvent]], roles: EventRoles
) -> None:
    days: list[dict[str, Any]] = []
    played: list[dict[str, Any]] = []
    money: list[dict[str, Any]] = []
    for actor, theirs in by_actor.items():
        per_day: dict[date, list[NewEvent]] = {}
        for event in theirs:
            per_day.setdefault(event.day, []).append(event)
        for day, acts in per_day.items():
            key = {"actor_id": actor, "day": day}
            human = [event.occurred_at for event in acts if event.is_human]
            first, last = min(human, default=None), max(human, default=None)
            days.append({**key, "events": len(acts), "human_events": len(human), "first_at": first, "last_at": last})
            played += [
                {**key, "role": role, "events": len(instants), "first_at": min(instants), "last_at": max(instants)}
                for role, instants in _instants_of_roles(acts, roles).items()
            ]
            money += [{**key, **purse} for purse in _purses(acts)]
    shared = {"workspace_id": workspace_id}
    insert(
        session,
        ActorDay,
        days,
        "ON CONFLICT (actor_id, workspace_id, day) DO UPDATE SET events = actor_day.events + excluded.events,"
        " human_events = actor_day.human_events + excluded.human_events,"
        " first_at = least(actor_day.first_at, excluded.first_at),"
        " last_at = greatest(actor_day.last_at, excluded.last_at)",
        shared=shared,
    )
    insert(
        session,
        ActorRoleDay,
        played,
        "ON CONFLICT (actor_id, role, workspace_id, day) DO UPDATE SET"
        " events = actor_role_day.events + excluded.events,"
        " first_at = least(actor_role_day.first_at, excluded.first_at),"
        " last_at = greatest(actor_role_day.last_at, excluded.last_at)",
        shared=shared,
    )
    insert(
        session,
        ActorValueDay,
        money,
        "ON CONFLICT (actor_id, currency, workspace_id, day) DO UPDATE SET"
        " paid_micros = actor_value_day.paid_micros + excluded.paid_micros,"
        " refunded_micros = actor_value_day.refunded_micros + excluded.refunded_micros",
        shared=shared,
    )


def _instants_of_roles(acts: Iterable[NewEvent], roles: EventRoles) -> dict[str, list[datetime]]:
    instants: dict[str, list[datetime]] = {}
    for event in acts:
        for role in _roles_of(event, roles):
            instants.setdefault(role, []).append(event.occurred_at)
    return instants


def _purses(acts: Iterable[NewEvent]) -> Iterable[dict[str, Any]]:
    """What valued events paid and returned, per currency."""
    purses: dict[str, dict[str, Any]] = {}
    for event in acts:
        value, currency = event.fact.value_micros, event.fact.currency
        if event.counts_money and value and currency:
            purse = purses.setdefault(currency, {"currency": currency, "paid_micros": 0, "refunded_micros": 0})
            purse["paid_micros" if value > 0 else "refunded_micros"] += abs(value)
    return purses.values()


def _retotal(session: Session, actors: Sequence[UUID]) -> None:
    """An actor's totals again from its days, and its first touch from its events where an earlier one is not known."""
    touches = rows(
        session,
        """
        SELECT DISTINCT ON (e.actor_id) e.* FROM event e
        CROSS JOIN LATERAL (SELECT substring(lower(e.referrer) FROM :host) AS site, substring(lower(e.url) FROM :host) AS own) h
        CROSS JOIN LATERAL (SELECT coalesce(e.utm_source, e.utm_medium, e.utm_campaign, e.gclid, e.fbclid, e.ttclid)
            IS NOT NULL OR (site IS NOT NULL AND coalesce(site <> own AND right(site, length(own) + 1) <> '.' || own
            AND right(own, length(site) + 1) <> '.' || site, true)) AS told) t
        WHERE e.actor_id = ANY(:ids) AND e.source <> 'stripe' AND NOT e.is_machine AND (e.type = 'PAGE_VIEW' OR t.told)
        ORDER BY e.actor_id, NOT t.told, e.occurred_at, e.id
        """,
        ids=list(actors),
        host=_HOST,
    )
    first = {row.actor_id: first_touch(_from_row(row, frozenset())) for row in touches}
    values = [{"id": actor, "first_touch": first.get(actor)} for actor in actors]
    run(
        session,
        f"""
        UPDATE actor SET event_count = coalesce(d.events, 0), last_seen_at = d.last_at,
            first_touch = CASE WHEN actor.first_touch IS NULL
                OR (incoming.first_touch ->> 'order') COLLATE "C" < (actor.first_touch ->> 'order') COLLATE "C"
                THEN nullif(incoming.first_touch, 'null') ELSE actor.first_touch END
        FROM {recordset(Actor, values[0])}
        LEFT JOIN LATERAL (SELECT sum(events) AS events, max(last_at) AS last_at
            FROM actor_day WHERE workspace_id = app_ws() AND actor_id = incoming.id) d ON true
        WHERE actor.id = incoming.id
        """,
        rows=records(values),
    )


def _from_row(row: Any, money: frozenset[UUID]) -> NewEvent:
    values = {name: getattr(row, name) for name in _PLAIN}
    return NewEvent(
        id=row.id,
        fact=EventFact(channel=row.source, ip=row.ip, **values),
        key=row.source_event_id,
        source_id=row.source_id,
        actor=row.actor_id,
        occurred_at=row.occurred_at,
        received_at=row.received_at,
        counts_money=row.source_id in money,
    )
