"""What people decide about identities: taking a person apart, joining two, and taking either back.

Every decision is made in one worker transaction under the workspace's lock: edges, components, persons and the audit
log change together. Statements are never deleted: a cut is a mark on the edge, a merge is an edge of its own.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlmodel import Session

from gdp_core import people
from gdp_core.accounts.audit import audit
from gdp_core.accounts.roles import Principal, authorise
from gdp_core.db import lock_key, one, rows, run
from gdp_core.errors import InvalidInput, NotFound
from gdp_core.identity import MANUAL, UNKNOWN, Edge, Limits, assert_edges, recompute


@dataclass(frozen=True, slots=True)
class Side:
    """A person as a review shows them."""

    actor_id: UUID
    identifier: str  # namespace and value of the identifier the statement is about
    person_id: UUID
    name: str | None
    email: str | None
    stage: str | None
    identifiers: int
    total_events: int
    first_seen_at: datetime | None
    last_seen_at: datetime | None


@dataclass(frozen=True, slots=True)
class Review:
    """A merge that was refused and waits for somebody's decision."""

    a: Side
    b: Side
    reason: str
    source: str
    opened_at: datetime


@dataclass(frozen=True, slots=True)
class Split:
    """Identifiers that somebody took apart at one time, so that it can be taken back."""

    at: datetime
    by: str
    pairs: tuple[tuple[str, str], ...]


def split(session: Session, principal: Principal, person_id: UUID, actors: Collection[UUID], *, now: datetime) -> UUID:
    """Take identifiers off a person and make them another one. Returns the person of those that stay.

    Either of the two may keep the id: a person is the smallest of their actors. `session` runs as gdp_worker. Raises InvalidInput, NotFound, Forbidden.
    """
    authorise(session, principal, "identity.merge")
    _lock(session, principal)
    members = {row.id for row in rows(session, "SELECT id FROM actor WHERE person_id = :id", id=person_id)}
    if not members:
        raise NotFound("This person was merged or taken apart meanwhile: open them again.")
    off = set(actors)
    if not off or not off < members:
        raise InvalidInput("Choose at least one identifier to split off, and leave at least one.")
    cut = run(
        session,
        "UPDATE identity_edge SET cut_at = :now, cut_by = :user WHERE state = 'accepted'"
        " AND ((a = ANY(:off) AND b = ANY(:rest)) OR (a = ANY(:rest) AND b = ANY(:off)))",
        now=now,
        user=principal.user_id,
        off=sorted(off),
        rest=sorted(members - off),
    )
    _settle(session, principal.workspace_id, members, now)
    homes = {
        row.id: row.person_id
        for row in rows(session, "SELECT id, person_id FROM actor WHERE id = ANY(:ids)", ids=sorted(members))
    }
    if {homes[actor] for actor in off} & {homes[actor] for actor in members - off}:
        raise InvalidInput("These identifiers belong together through another person: take that one apart first.")
    audit(
        session,
        principal,
        action="identity.split",
        object_kind="person",
        object_id=person_id,
        detail={"split_off": sorted(str(actor) for actor in off), "edges": cut},
        now=now,
    )
    stays: UUID = homes[min(members - off)]
    return stays


def undo_split(session: Session, principal: Principal, person_id: UUID, at: datetime, *, now: datetime) -> None:
    """Take back what was split off this person at an instant. Raises NotFound, Forbidden."""
    authorise(session, principal, "identity.merge")
    _lock(session, principal)
    touched = rows(
        session,
        "UPDATE identity_edge e SET cut_at = NULL, cut_by = NULL FROM actor x WHERE e.cut_at = :at"
        " AND x.workspace_id = e.workspace_id AND x.person_id = :person AND x.id IN (e.a, e.b) RETURNING e.a, e.b",
        at=at,
        person=person_id,
    )
    if not touched:
        raise NotFound("There is nothing to take back any more: open the person again.")
    _settle(session, principal.workspace_id, {actor for row in touched for actor in row}, now)
    audit(
        session,
        principal,
        action="identity.rejoin",
        object_kind="person",
        object_id=person_id,
        detail={"split_at": at.isoformat(), "edges": len(touched)},
        now=now,
    )


def accept_review(session: Session, principal: Principal, a: UUID, b: UUID, *, now: datetime) -> UUID:
    """Join what a review is about, on the word of whoever decides. Returns the person. Raises InvalidInput, NotFound, Forbidden."""
    authorise(session, principal, "identity.merge")
    _lock(session, principal)
    _decide(session, principal, a, b, "accepted", now)
    pair = [_known_actor(session, actor) for actor in (a, b)]
    said_by = f"review:{principal.user_id or 'system'}"
    # Between what each is known by: joining only the pair would win over the evidence that made one of them a person.
    edge = Edge(min(pair), max(pair), True, True, now, MANUAL, said_by)
    edges = [edge] if edge.a != edge.b else []
    changed = assert_edges(session, principal.workspace_id, edges, _limits(session), now)
    people.refresh(session, principal.workspace_id, changed, now)
    homes = rows(session, "SELECT DISTINCT person_id FROM actor WHERE id = ANY(:ids)", ids=[a, b])
    if len(homes) != 1:
        raise InvalidInput(
            "Together they would have more identifiers than a person may have: raise the limit in the settings first."
        )
    person: UUID = homes[0].person_id
    audit(
        session,
        principal,
        action="identity.merge",
        object_kind="person",
        object_id=person,
        detail={"a": str(a), "b": str(b)},
        now=now,
    )
    return person


def dismiss_review(session: Session, principal: Principal, a: UUID, b: UUID, *, now: datetime) -> None:
    """Leave the two apart. Raises NotFound, Forbidden."""
    authorise(session, principal, "identity.merge")
    _decide(session, principal, a, b, "dismissed", now)
    audit(
        session,
        principal,
        action="identity.dismiss",
        object_kind="review",
        object_id=f"{a}|{b}",
        now=now,
    )


def reopen_review(session: Session, principal: Principal, a: UUID, b: UUID, *, now: datetime) -> None:
    """Take a dismissal back. Raises NotFound, Forbidden."""
    authorise(session, principal, "identity.merge")
    found = run(
        session,
        "UPDATE merge_review SET status = 'open', decided_at = NULL, decided_by = NULL"
        " WHERE a = :a AND b = :b AND status = 'dismissed'",
        a=a,
        b=b,
    )
    if not found:
        raise NotFound("This review was decided meanwhile.")
    audit(session, principal, action="identity.reopen", object_kind="review", object_id=f"{a}|{b}", now=now)


def read_reviews(session: Session, status: str = "open", limit: int = 50) -> tuple[Review, ...]:
    """Reviews of a status, the newest first."""
    found = rows(session, _REVIEWS, status=status, limit=limit)
    return tuple(Review(Side(*row[:10]), Side(*row[10:20]), *row[20:]) for row in found)


def count_reviews(session: Session) -> int:
    """How many reviews wait."""
    return int(one(session, "SELECT count(*) AS n FROM merge_review WHERE status = 'open'").n)


def read_splits(session: Session, person_id: UUID) -> tuple[Split, ...]:
    """What was split off this person and not taken back, the newest first."""
    found = rows(
        session,
        """
        SELECT e.cut_at, coalesce(u.email, 'system') AS by, x.namespace || ' ' || x.external_id AS a,
            y.namespace || ' ' || y.external_id AS b
        FROM identity_edge e
        JOIN actor x ON x.id = e.a AND x.workspace_id = e.workspace_id
        JOIN actor y ON y.id = e.b AND y.workspace_id = e.workspace_id
        LEFT JOIN app_user u ON u.id = e.cut_by
        WHERE e.cut_at IS NOT NULL AND (x.person_id = :person OR y.person_id = :person)
            AND (e.a IN (SELECT id FROM actor WHERE person_id = :person)
                OR e.b IN (SELECT id FROM actor WHERE person_id = :person))
        ORDER BY e.cut_at DESC, e.a, e.b LIMIT 200
        """,
        person=person_id,
    )
    splits: dict[datetime, list[tuple[str, str]]] = {}
    names = {row.cut_at: row.by for row in found}
    for row in found:
        splits.setdefault(row.cut_at, []).append((row.a, row.b))
    return tuple(Split(at, names[at], tuple(pairs)) for at, pairs in splits.items())


def _lock(session: Session, principal: Principal) -> None:
    run(session, "SELECT pg_advisory_xact_lock(:key)", key=lock_key(principal.workspace_id))


def _limits(session: Session) -> Limits:
    chosen = one(session, "SELECT value FROM setting WHERE key = 'identity.limits'")
    return Limits(**chosen.value) if chosen else Limits()


def _settle(session: Session, workspace_id: UUID, actors: Iterable[UUID], now: datetime) -> None:
    ids = set(actors)
    changed = recompute(session, workspace_id, ids, _limits(session), now)
    people.refresh(session, workspace_id, changed | people.persons_of(session, ids), now)


def _known_actor(session: Session, actor: UUID) -> UUID:
    """The identifier that says who the actor's person is, the earliest one; the actor itself of a person nobody knows."""
    row = one(
        session,
        "SELECT k.id FROM actor x JOIN actor k ON k.person_id = x.person_id AND k.workspace_id = x.workspace_id"
        " WHERE x.id = :id AND k.namespace <> ALL(:unknown) ORDER BY k.id <> x.id, k.first_seen_at, k.id LIMIT 1",
        id=actor,
        unknown=sorted(UNKNOWN),
    )
    return row.id if row else actor


def _decide(session: Session, principal: Principal, a: UUID, b: UUID, status: str, now: datetime) -> None:
    found = run(
        session,
        "UPDATE merge_review SET status = :status, decided_at = :now, decided_by = :user"
        " WHERE a = :a AND b = :b AND status = 'open'",
        status=status,
        now=now,
        user=principal.user_id,
        a=a,
        b=b,
    )
    if not found:
        raise NotFound("This review was decided meanwhile.")


def _side(letter: str) -> str:
    return (
        f"{letter}.id, {letter}.namespace || ' ' || {letter}.external_id, {letter}.person_id, p{letter}.name,"
        f" p{letter}.email, p{letter}.stage, coalesce(p{letter}.identifiers, 1), coalesce(p{letter}.total_events, 0),"
        f" p{letter}.first_seen_at, p{letter}.last_seen_at"
    )


_REVIEWS = f"""
    SELECT {_side("x")}, {_side("y")}, r.reason, coalesce(s.name, 'A removed source'), r.opened_at
    FROM merge_review r
    JOIN actor x ON x.id = r.a AND x.workspace_id = r.workspace_id
    JOIN actor y ON y.id = r.b AND y.workspace_id = r.workspace_id
    LEFT JOIN person px ON px.id = x.person_id AND px.workspace_id = r.workspace_id
    LEFT JOIN person py ON py.id = y.person_id AND py.workspace_id = r.workspace_id
    LEFT JOIN identity_edge e ON e.a = r.a AND e.b = r.b AND e.workspace_id = r.workspace_id
    LEFT JOIN source_instance s ON s.id = e.source_id AND s.workspace_id = r.workspace_id
    WHERE r.status = :status ORDER BY r.opened_at DESC, r.a, r.b LIMIT :limit
"""
