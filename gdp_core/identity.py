"""Who is who. Identifiers are actors with ids that follow from their names; edges between them make persons.

The result is a function of the set of edges, not of the order in which they came: a component is recomputed from its
sorted edges, verified ones first. A person is the smallest actor of a component, so every id ever issued keeps
resolving. It refuses to join two known people on the word of a browser, and to grow a person beyond the limits; what
it refuses goes to a review queue.
"""

import contextlib
import uuid
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from operator import attrgetter
from typing import Any, NamedTuple
from uuid import UUID

from sqlmodel import Session

from gdp_core.db import insert, later, records, recordset, rows
from gdp_core.sources.facts import Identifier, Link, Trust
from gdp_core.tables.people import Actor, IdentityEdge, MergeReview

MANUAL = UUID(int=0)
"""The source id of what a person decided in the dashboard."""

_number = attrgetter("int")
"""An id's number orders and finds as the id does; a UUID as a key costs Python code for every look-up."""

UNKNOWN = frozenset({"anonymous", "meta", "posthog", "person"})
"""Namespaces that do not say who somebody is."""

_BROWSER_MAY_JOIN = frozenset({"anonymous", "user"})


@dataclass(frozen=True, slots=True)
class Limits:
    """How many identifiers a person may have: in all (None: no limit), and of a namespace unless somebody said so."""

    total: int | None = 500
    of: Mapping[str, int] = field(default_factory=lambda: {"user": 5, "email": 5, "phone": 5, "stripe": 20})


class Edge(NamedTuple):
    """Evidence that two actors are one person; a < b."""

    a: UUID
    b: UUID
    verified: bool
    explicit: bool
    occurred_at: datetime
    source_id: UUID
    source_event_id: str
    cut: bool = False

    @property
    def order(self) -> tuple[Any, ...]:
        """Verified evidence first, then the earliest."""
        return (not self.verified, self.occurred_at, self.source_id, self.source_event_id, self.a, self.b)


class Verdict(NamedTuple):
    """What became of an edge."""

    state: str  # accepted, refused, cut
    reason: str | None
    merged: bool


@dataclass(frozen=True, slots=True)
class Resolution:
    """cluster and person of every actor, and a verdict for every edge (keyed by its pair)."""

    cluster: dict[UUID, UUID]
    person: dict[UUID, UUID]
    verdicts: dict[tuple[UUID, UUID], Verdict]


@lru_cache(maxsize=1 << 16)  # an identifier is asked for several times in each of its facts
def actor_id(workspace_id: UUID, identifier: Identifier) -> UUID:
    """The id of an identifier's actor: the same for ever, in whatever order identifiers come.

    The namespace `person` names an actor by an id we issued (an e-mail tag carries it), so it is that actor.
    """
    if identifier.namespace == "person":
        with contextlib.suppress(ValueError):
            return UUID(identifier.value)
    return uuid.uuid5(workspace_id, f"{identifier.namespace}|{identifier.value}")


def edge_of(
    workspace_id: UUID, link: Link, trust: Trust, occurred_at: datetime, source_id: UUID, source_event_id: str
) -> Edge | None:
    """The edge a link states, or None when such a sender may not state it (or it says nothing)."""
    a, b = actor_id(workspace_id, link.a), actor_id(workspace_id, link.b)
    if a == b:
        return None
    if trust == "browser" and not {link.a.namespace, link.b.namespace} <= _BROWSER_MAY_JOIN:
        return None
    if b.int < a.int:
        a, b = b, a
    return Edge(a, b, trust != "browser", link.explicit, occurred_at, source_id, source_event_id)


class _Components:
    """Union-find over numbered members whose representative is the smallest member, with sizes."""

    def __init__(self, namespaces: Sequence[str]) -> None:
        self._parent = {member: member for member in range(len(namespaces))}
        self.counts: dict[int, dict[str, int]] = {member: {name: 1} for member, name in enumerate(namespaces)}

    def find(self, member: int) -> int:
        root = member
        while self._parent[root] != root:
            root = self._parent[root]
        while self._parent[member] != root:
            self._parent[member], member = root, self._parent[member]
        return root

    def joined(self, a: int, b: int) -> dict[str, int]:
        """The namespace counts the two components would have together."""
        small, large = sorted((self.counts[a], self.counts[b]), key=len)
        return {**large, **{name: large.get(name, 0) + count for name, count in small.items()}}

    def join(self, a: int, b: int) -> None:
        keep, drop = min(a, b), max(a, b)
        self.counts[keep] = self.joined(a, b)
        del self.counts[drop]
        self._parent[drop] = keep


def resolve(namespaces: Mapping[UUID, str], edges: Iterable[Edge], limits: Limits) -> Resolution:
    """Persons from actors (id -> namespace) and edges. Pure; any order of the edges gives the same result."""
    members = sorted(namespaces, key=_number)
    numbers = {member: n for n, member in enumerate(members)}  # compare as the ids do, and much faster
    names = [namespaces[member] for member in members]
    raw, persons = _Components(names), _Components(names)
    verdicts: dict[tuple[UUID, UUID], Verdict] = {}
    for edge in sorted(edges, key=lambda item: item.order):
        a, b = numbers[edge.a], numbers[edge.b]
        ra, rb = raw.find(a), raw.find(b)
        if ra != rb:
            raw.join(ra, rb)
        pa, pb = persons.find(a), persons.find(b)
        reason = None if pa == pb else _objection(persons, pa, pb, edge, limits)
        if edge.cut:
            verdicts[edge.a, edge.b] = Verdict("cut", None, merged=False)
        elif reason:
            verdicts[edge.a, edge.b] = Verdict("refused", reason, merged=False)
        else:
            verdicts[edge.a, edge.b] = Verdict("accepted", None, merged=pa != pb)
            if pa != pb:
                persons.join(pa, pb)
    return Resolution(
        {member: members[raw.find(n)] for n, member in enumerate(members)},
        {member: members[persons.find(n)] for n, member in enumerate(members)},
        verdicts,
    )


def _objection(persons: _Components, a: int, b: int, edge: Edge, limits: Limits) -> str | None:
    if not edge.verified and _is_known(persons.counts[a]) and _is_known(persons.counts[b]):
        return "two_known_people"
    together = persons.joined(a, b)
    if limits.total is not None and sum(together.values()) > limits.total:
        return "too_many_identifiers"
    if not edge.explicit:
        for namespace, most in limits.of.items():
            if together.get(namespace, 0) > most:
                return f"too_many_{namespace}_ids"
    return None


def _is_known(counts: Mapping[str, int]) -> bool:
    return any(namespace not in UNKNOWN for namespace in counts)


def better(first: Edge | None, second: Edge) -> Edge:
    """One edge from two statements of the same pair: the earlier evidence, explicit if either was."""
    if first is None:
        return second
    winner = min(first, second, key=lambda item: item.order)
    explicit = first.explicit or second.explicit
    return winner if winner.explicit == explicit else winner._replace(explicit=explicit)


# ------------------------------------------------------------------------------------------------ in the database


class Seen(NamedTuple):
    """An identifier in a fact: when, and whether the fact asked for no person profile."""

    identifier: Identifier
    at: datetime
    personless: bool


class Named(NamedTuple):
    """The actors of some facts, and those of them that had been known by an id of ours only until now."""

    actors: set[UUID]
    revealed: set[UUID]


def ensure_actors(session: Session, workspace_id: UUID, seen: Iterable[Seen], now: datetime) -> Named:
    """Make the actors that are new, each a person of its own, and remember when the others were first seen."""
    stated = _by_actor(workspace_id, seen)
    stored = {
        row.id: row
        for row in rows(
            session,
            "SELECT id, namespace, first_seen_at, personless FROM actor WHERE id = ANY(:ids)",
            ids=list(stated),
        )
    }
    revealed = {
        actor
        for actor, row in stored.items()
        if row.namespace == "person" and stated[actor].identifier.namespace != "person"
    }
    insert(
        session,
        Actor,
        [
            {"id": actor, "cluster_id": actor, "person_id": actor}
            | {"namespace": one.identifier.namespace, "external_id": one.identifier.value}
            | {"first_seen_at": one.at, "personless": one.personless, "is_primary": not one.personless}
            for actor, one in sorted(stated.items(), key=lambda item: item[0].int)
            if actor in revealed or _says_more(one, stored.get(actor))
        ],
        """ON CONFLICT (id, workspace_id) DO UPDATE SET
            first_seen_at = least(actor.first_seen_at, excluded.first_seen_at),
            personless = actor.personless AND excluded.personless,
            namespace = CASE actor.namespace WHEN 'person' THEN excluded.namespace ELSE actor.namespace END,
            external_id = CASE actor.namespace WHEN 'person' THEN excluded.external_id ELSE actor.external_id END
        """,
        shared={"workspace_id": workspace_id, "event_count": 0, "applied_at": now},
    )
    return Named(set(stated), revealed)


def _by_actor(workspace_id: UUID, seen: Iterable[Seen]) -> dict[UUID, Seen]:
    once: dict[Identifier, Seen] = {}
    for one in seen:
        known = once.get(one.identifier)
        if known is None or one.at < known.at or one.personless < known.personless:
            once[one.identifier] = _both(known, one) if known else one
    actors: dict[UUID, Seen] = {}
    for one in once.values():
        actor = actor_id(workspace_id, one.identifier)
        actors[actor] = _both(actors[actor], one) if actor in actors else one
    return actors


def _both(first: Seen, second: Seen) -> Seen:
    """Two sightings of an actor as one; its own name is worth more than an id of ours."""
    name = second.identifier if first.identifier.namespace == "person" else first.identifier
    return Seen(name, min(first.at, second.at), first.personless and second.personless)


def _says_more(one: Seen, row: Any) -> bool:
    """Whether an actor's row is not there, or would change."""
    if row is None or row.first_seen_at is None:
        return True
    return bool(one.at < row.first_seen_at or one.personless < row.personless)


def assert_edges(
    session: Session,
    workspace_id: UUID,
    edges: Iterable[Edge],
    limits: Limits,
    now: datetime,
    *,
    revealed: Collection[UUID] = (),
) -> set[UUID]:
    """Add edges and recompute the components they touch. Returns the persons, old and new, that may have changed.

    `revealed` actors have got another namespace, on which the limits depend: theirs are recomputed too.
    """
    pairs: dict[tuple[int, int], Edge] = {}  # by the numbers of the ids: see `_number`
    for edge in edges:
        pair = (edge.a.int, edge.b.int)
        pairs[pair] = better(pairs.get(pair), edge)
    if not pairs:
        return recompute(session, workspace_id, revealed, limits, now)
    known = {
        (row.a.int, row.b.int): Edge(*row)
        for row in rows(
            session,
            "SELECT a, b, verified, explicit, occurred_at, source_id, source_event_id FROM identity_edge"
            " WHERE (a, b) IN (SELECT * FROM unnest(CAST(:a AS uuid[]), CAST(:b AS uuid[])))",
            a=[edge.a for edge in pairs.values()],
            b=[edge.b for edge in pairs.values()],
        )
    }
    changed = []
    for pair, edge in pairs.items():
        before = known.get(pair)
        after = better(before, edge)
        if after is not before and after != before:
            changed.append(after)
    values = [
        dict(zip(Edge._fields[:7], edge, strict=False))  # all but `cut`, which is not for facts to say
        for edge in changed
    ]
    insert(
        session,
        IdentityEdge,
        values,
        "ON CONFLICT (a, b, workspace_id) DO UPDATE SET verified = excluded.verified, explicit = excluded.explicit,"
        " occurred_at = excluded.occurred_at, source_id = excluded.source_id,"
        " source_event_id = excluded.source_event_id",
        shared={"workspace_id": workspace_id, "state": "accepted", "merged": False, "applied_at": now},
    )
    return recompute(
        session, workspace_id, {actor for edge in changed for actor in (edge.a, edge.b)}.union(revealed), limits, now
    )


def recompute(session: Session, workspace_id: UUID, actors: Iterable[UUID], limits: Limits, now: datetime) -> set[UUID]:
    """Resolve again the components of these actors. Returns the persons, old and new, that may have changed."""
    ids = list(set(actors))
    if not ids:
        return set()
    members = rows(
        session,
        "SELECT id, namespace, cluster_id, person_id FROM actor WHERE cluster_id IN"
        " (SELECT cluster_id FROM actor WHERE id = ANY(:ids))",
        ids=ids,
    )
    found = rows(
        session,
        "SELECT a, b, verified, explicit, occurred_at, source_id, source_event_id, cut_at IS NOT NULL AS cut,"
        " state, reason, merged FROM identity_edge WHERE a = ANY(:ids)",
        ids=[row.id for row in members],
    )
    edges = [Edge._make(row[:8]) for row in found]
    result = resolve({row.id: row.namespace for row in members}, edges, limits)
    judged = [(row, result.verdicts[row.a, row.b]) for row in found]
    _write_verdicts(session, workspace_id, judged)
    _sync_reviews(session, workspace_id, judged, now)
    return _move(session, workspace_id, members, result) | {result.person[one] for one in ids if one in result.person}


def _move(session: Session, workspace_id: UUID, members: Sequence[Any], result: Resolution) -> set[UUID]:
    """Write where the members belong now. Returns the persons, old and new, that lost or won one."""
    moved, touched = [], set()
    for row in members:
        home = {"cluster_id": result.cluster[row.id], "person_id": result.person[row.id]}
        if home["person_id"] != row.person_id:
            touched |= {row.person_id, home["person_id"]}
        if home["person_id"] != row.person_id or home["cluster_id"] != row.cluster_id:
            moved.append({"id": row.id, **home})
    if moved:
        later(
            session,
            # The lake hears of a move to another person alone: after an actor's row it expects the person's (lake/tables.py).
            "UPDATE actor SET cluster_id = incoming.cluster_id, person_id = incoming.person_id, tx = CASE WHEN"
            " actor.person_id = incoming.person_id THEN actor.tx ELSE pg_current_xact_id() END"
            f" FROM {recordset(Actor, moved[0])} WHERE actor.id = incoming.id AND actor.workspace_id = :ws",
            rows=records(moved),
            ws=workspace_id,
        )
    return touched


def _write_verdicts(session: Session, workspace_id: UUID, judged: Sequence[tuple[Any, Verdict]]) -> None:
    changed = [
        {"a": row.a, "b": row.b, **verdict._asdict()}
        for row, verdict in judged
        if (row.state, row.reason, row.merged) != verdict
    ]
    if changed:
        later(
            session,
            f"UPDATE identity_edge e SET state = incoming.state, reason = incoming.reason, merged = incoming.merged"
            f" FROM {recordset(IdentityEdge, changed[0])} WHERE e.a = incoming.a AND e.b = incoming.b"
            " AND e.workspace_id = :ws",
            rows=records(changed),
            ws=workspace_id,
        )


def _sync_reviews(session: Session, workspace_id: UUID, judged: Sequence[tuple[Any, Verdict]], now: datetime) -> None:
    refused = [
        {"a": row.a, "b": row.b, "workspace_id": workspace_id}
        | {"reason": verdict.reason, "status": "open", "opened_at": now}
        for row, verdict in judged
        if verdict.state == "refused"
    ]
    insert(session, MergeReview, refused, "ON CONFLICT (a, b, workspace_id) DO UPDATE SET reason = excluded.reason")
    settled = [row for row, verdict in judged if verdict.state != "refused"]
    if settled:
        later(
            session,
            "DELETE FROM merge_review r USING unnest(CAST(:a AS uuid[]), CAST(:b AS uuid[])) AS gone(a, b)"
            " WHERE r.a = gone.a AND r.b = gone.b AND r.status = 'open'",
            a=[row.a for row in settled],
            b=[row.b for row in settled],
        )
