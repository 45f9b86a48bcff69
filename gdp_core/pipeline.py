"""One batch of deliveries becomes state, in one transaction under the workspace's lock: all of it or nothing.

The order is the product's data flow: keys -> actors -> events -> traits -> identity -> object states -> billing, mail
-> persons -> outcome. Everything written is a function of the set of facts, so any order, any duplicates and any number
of workers end in the same state. Sources were asked before (they are pure); nobody else writes these tables.
"""

import contextlib
import gc
import sys
import traceback
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from datetime import date, datetime
from typing import Any
from uuid import UUID

import structlog
from sqlalchemy import exc
from sqlmodel import Session

from gdp_core import billing, events, identity, inbox, mail, people
from gdp_core.db import (
    STOOD_STILL,
    TOO_LONG,
    Database,
    insert,
    lock_key,
    one,
    records,
    recordset,
    rows,
    run,
    written_behind,
)
from gdp_core.errors import Unavailable
from gdp_core.event_roles import EventRoles, read_roles
from gdp_core.events import NewEvent, Placed
from gdp_core.failpoint import failpoint
from gdp_core.identity import Edge, Limits, Named, Seen
from gdp_core.inbox import Outcome
from gdp_core.lost import LostState
from gdp_core.sources import source
from gdp_core.sources.chunk import unpack
from gdp_core.sources.facts import Delivery, Fact, Reject, fingerprint, record
from gdp_core.tables.ingest import DerivedEvent, EventKey, FactConflict
from gdp_core.tables.people import ObjectStateRow, TraitAssertion

log = structlog.get_logger()

_TURN = 0.0005  # seconds


@record
class Stated:
    """A fact and the delivery that stated it."""

    fact: Fact
    delivery: Delivery
    key: str  # the fact's identity in its workspace: source id and key in one text, which remembers its hash

    @property
    def order(self) -> tuple[Any, ...]:
        """Which of two statements of one key wins: the smaller."""
        return (self.delivery.received_at, self.fact.hash, self.delivery.id)


@dataclass(frozen=True, slots=True)
class Parsed:
    """What the sources made of a batch of deliveries."""

    facts: list[Stated]
    rejects: dict[UUID, list[Reject]]


@dataclass(slots=True)
class _Keys:
    """The verdict on every key of a batch."""

    winners: list[Stated] = field(default_factory=list)  # to apply now
    mine: list[Stated] = field(default_factory=list)  # applied before by the same delivery: a replay
    replaced: list[tuple[Stated, datetime | None]] = field(default_factory=list)  # winner, where the old event lies
    dethroned: list[inbox.Loss] = field(default_factory=list)  # once for each fact lost
    conflicts: list[dict[str, Any]] = field(default_factory=list)  # losers with another content


@dataclass(slots=True)
class _Lost:
    """What the losers of replaced keys had stated."""

    days: list[tuple[UUID, date]] = field(default_factory=list)  # of actors, to count again
    actors: set[UUID] = field(default_factory=set)  # of whom something was said
    states: list[LostState] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Workspace:
    """What applying needs to know of a workspace."""

    id: UUID
    roles: EventRoles
    limits: Limits
    money: frozenset[UUID]  # sources whose values are revenue


def work(database: Database, workspace_id: UUID, now: datetime, *, limit: int = 500) -> int:
    """Claim and apply what is due in a workspace. Returns how many deliveries were finished.

    A delivery that cannot be applied is found by bisection; it is tried again later and dead after eight times, and
    its neighbours do not notice.
    """
    with for_batches(), database.transaction(workspace_id, timeout=120) as session:
        claimed = inbox.claim(session, limit)
        if not claimed:
            return 0
        outcomes = _apply_or_bisect(session, workspace_id, claimed, now)
        inbox.finish(session, outcomes, now)
    failpoint("apply.committed")
    return len(outcomes)


def take_in(database: Database, delivery: Delivery, now: datetime, parsed: Parsed | None = None) -> Outcome:
    """Store and apply one delivery of a file, a backfill or the demo in one transaction. Raises what applying raises.

    `parsed` is what `parse` made of it, where that was done before.
    """
    with for_batches(), database.transaction(delivery.workspace_id, timeout=300) as session:
        events.ensure_partitions(session, "inbox", [delivery.received_at])
        inbox.store(session, delivery)
        try:
            (outcome,) = apply(session, delivery.workspace_id, [delivery], now, parsed)
        except Exception:
            events.forget_partitions()
            raise
        inbox.finish(session, [outcome], now)
    return outcome


@contextlib.contextmanager
def for_batches() -> Iterator[None]:
    """The interpreter as one batch, or a file of them, wants it.

    A batch makes millions of objects and hardly a cycle: looking for cycles took a quarter of its time. Whoever
    switched that off switches it on again, so batches in several threads leave it on. Threads that had waited for
    Postgres get their turn in half a millisecond instead of five.
    """
    sys.setswitchinterval(_TURN)
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def _apply_or_bisect(
    session: Session, workspace_id: UUID, deliveries: Sequence[Delivery], now: datetime
) -> list[Outcome]:
    try:
        with session.begin_nested():
            return apply(session, workspace_id, deliveries, now)
    except Exception as error:
        events.forget_partitions()
        if _is_passing(error):
            raise
        if len(deliveries) == 1:
            return [_failed(session, deliveries[0], error)]
    middle = len(deliveries) // 2
    return _apply_or_bisect(session, workspace_id, deliveries[:middle], now) + _apply_or_bisect(
        session, workspace_id, deliveries[middle:], now
    )


def _is_passing(error: Exception) -> bool:
    """Not the delivery's fault: the server went away, ran out of room, chose us in a deadlock or tired of waiting.

    A statement that took too long is no such thing: in smaller batches it takes less, or its delivery is found.
    """
    if isinstance(error, Unavailable):
        return True
    state = getattr(getattr(error, "orig", None), "sqlstate", None) if isinstance(error, exc.DBAPIError) else ""
    if state == TOO_LONG:
        return False
    return state is None or state in STOOD_STILL or state[:2] in {"08", "40", "53", "55", "57", "58"}


def _failed(session: Session, delivery: Delivery, error: Exception) -> Outcome:
    attempts = inbox.attempts_of(session, delivery)
    frame = traceback.extract_tb(error.__traceback__)[-1]
    detail = getattr(getattr(error, "orig", None), "diag", None)
    reason = f"{type(error).__name__} in {frame.name}" + (f" ({detail.sqlstate})" if detail else "")
    log.warning(
        "delivery failed", action="inbox.failed", inbox_id=str(delivery.id), attempt=attempts + 1, reason=reason
    )
    return inbox.failed(delivery, attempts, reason)


def parse(deliveries: Iterable[Delivery]) -> Parsed:
    """Ask the sources. Pure; needs no lock."""
    parsed = Parsed([], {})
    for delivery in (part for item in deliveries for part in unpack(item)):
        prefix = f"{delivery.source_id}|"
        for item in source(delivery.source).normalise(delivery):
            if isinstance(item, Reject):
                parsed.rejects.setdefault(delivery.id, []).append(item)
            else:
                parsed.facts.append(Stated(item, delivery, prefix + item.key))
    failpoint("worker.parsed")
    return parsed


def apply(
    session: Session,
    workspace_id: UUID,
    deliveries: Sequence[Delivery],
    now: datetime,
    parsed: Parsed | None = None,
) -> list[Outcome]:
    """Apply deliveries of one workspace inside the caller's transaction. Returns an outcome for each, in order."""
    parsed = parsed or parse(deliveries)
    run(session, "SELECT pg_advisory_xact_lock(:key)", key=lock_key(workspace_id))
    with written_behind(session):
        keys = _write(session, workspace_id, parsed, now)
    failpoint("apply.people")
    return _outcomes(deliveries, parsed, keys)


def _write(session: Session, workspace_id: UUID, parsed: Parsed, now: datetime) -> _Keys:
    workspace = _read_workspace(session, workspace_id)
    keys = _judge_keys(session, workspace, parsed.facts)
    failpoint("apply.keys")
    lost = _take_back(session, workspace, keys)
    named = _write_actors(session, workspace, parsed.facts, now)
    failpoint("apply.actors")
    events.write(session, workspace_id, _events(workspace, keys.winners), workspace.roles, now)
    events.recount(session, workspace_id, lost.days, workspace.roles, workspace.money)
    failpoint("apply.events")
    _write_traits(session, workspace, keys.winners, now)
    failpoint("apply.traits")
    touched = _resolve(session, workspace, parsed.facts, named.revealed, now)
    failpoint("apply.identity")
    actors = named.actors | lost.actors | {actor for actor, _ in lost.days}
    actors |= _derive(session, workspace, keys.winners, lost.states, now)
    people.refresh(session, workspace_id, touched | people.persons_of(session, actors), now)
    return keys


def rederive(session: Session, workspace_id: UUID, owners: Iterable[tuple[UUID, str]], now: datetime) -> None:
    """Derive what these billing owners (source, owner id) pay again, as after an edit of the plan mapping.

    Their events and persons follow. The caller holds the workspace's lock.
    """
    workspace = _read_workspace(session, workspace_id)
    billed = billing.refresh_owners(session, workspace_id, owners, now)
    stale = _replace_derived(session, workspace, billed, now)
    events.recount(session, workspace_id, stale, workspace.roles, workspace.money)
    actors = billed.actors | {actor for actor, _ in stale}
    people.refresh(session, workspace_id, people.persons_of(session, actors), now)


# -------------------------------------------------------------------------------------------------------- steps


def _read_workspace(session: Session, workspace_id: UUID) -> _Workspace:
    limits = one(session, "SELECT value FROM setting WHERE key = 'identity.limits'")
    billed = rows(session, "SELECT id FROM source_instance WHERE NOT has_invoices")
    chosen = Limits(**limits.value) if limits else Limits()
    return _Workspace(workspace_id, read_roles(session), chosen, frozenset(row.id for row in billed))


def _judge_keys(session: Session, workspace: _Workspace, facts: Sequence[Stated]) -> _Keys:
    keys = _Keys()
    best: dict[str, Stated] = {}
    seen: dict[str, dict[str, UUID]] = {}  # contents of each key, and a delivery that has it
    for stated in sorted(facts, key=lambda item: item.order):
        key = stated.key
        best.setdefault(key, stated)
        seen.setdefault(key, {}).setdefault(stated.fact.hash, stated.delivery.id)
    if not best:
        return keys
    known = _enter_keys(session, workspace.id, best.values())
    stored = {f"{row.source_id}|{row.key}": row for row in known}  # from before: without the rows just made
    again = {(stated.key, stated.delivery.id): stated for stated in facts} if stored else {}
    for key, stated in best.items():
        row = stored.get(key)
        standing = row.hash if row else stated.fact.hash
        if row is None:
            keys.winners.append(stated)
        elif row.inbox_id != stated.delivery.id and (stated.delivery.received_at, stated.fact.hash) < (
            row.received_at,
            row.hash,
        ):
            keys.winners.append(stated)
            keys.replaced.append((stated, row.event_at))
            keys.dethroned.append(inbox.Loss(row.inbox_id, row.source_id, row.received_at))
            seen[key].setdefault(row.hash, row.inbox_id)
            standing = stated.fact.hash
        elif holder := again.get((key, row.inbox_id)):
            keys.mine.append(holder)
            seen[key].pop(holder.fact.hash, None)
        keys.conflicts += [
            _conflict(workspace.id, stated, other, inbox_id)
            for other, inbox_id in seen[key].items()
            if other != standing
        ]
    insert(session, FactConflict, keys.conflicts, "ON CONFLICT DO NOTHING")
    return keys


def _enter_keys(session: Session, workspace_id: UUID, facts: Iterable[Stated]) -> Sequence[Any]:
    """Enter the keys that are new; returns the rows of the others. Facts name their delivery by a number."""
    numbers: dict[int, int] = {}
    deliveries: list[Delivery] = []
    values = []
    for stated in facts:
        number = numbers.setdefault(id(stated.delivery), len(deliveries))
        if number == len(deliveries):
            deliveries.append(stated.delivery)
        at = stated.fact.occurred_at if stated.fact.event else None
        values.append({"n": number, "key": stated.fact.key, "hash": stated.fact.hash, "event_at": at})
    return rows(
        session,
        """
        WITH delivery AS (
            SELECT * FROM jsonb_to_recordset(CAST(:deliveries AS jsonb))
                AS d(n int, source_id uuid, received_at timestamptz, inbox_id uuid)
        ), given AS (
            SELECT source_id, key, hash, received_at, inbox_id, event_at FROM delivery JOIN
                jsonb_to_recordset(CAST(:rows AS jsonb)) AS f(n int, key text, hash text, event_at timestamptz) USING (n)
        ), made AS (
            INSERT INTO event_key (workspace_id, source_id, key, hash, received_at, inbox_id, event_at)
            SELECT CAST(:ws AS uuid), * FROM given ON CONFLICT DO NOTHING RETURNING source_id, key
        )
        SELECT k.source_id, k.key, k.hash, k.received_at, k.inbox_id, k.event_at
        FROM (SELECT source_id, key FROM given EXCEPT ALL SELECT source_id, key FROM made) again
        JOIN event_key k ON k.workspace_id = :ws AND k.source_id = again.source_id AND k.key = again.key
        """,
        deliveries=records(
            [
                {"n": number, "source_id": item.source_id, "received_at": item.received_at, "inbox_id": item.id}
                for number, item in enumerate(deliveries)
            ]
        ),
        rows=records(values),
        ws=workspace_id,
    )


def _key_row(workspace_id: UUID, stated: Stated) -> dict[str, Any]:
    return {
        "source_id": stated.delivery.source_id,
        "workspace_id": workspace_id,
        "key": stated.fact.key,
        "hash": stated.fact.hash,
        "received_at": stated.delivery.received_at,
        "inbox_id": stated.delivery.id,
        "event_at": stated.fact.occurred_at if stated.fact.event else None,
    }


def _conflict(workspace_id: UUID, stated: Stated, other_hash: str, inbox_id: UUID) -> dict[str, Any]:
    return {
        "source_id": stated.delivery.source_id,
        "workspace_id": workspace_id,
        "key": stated.fact.key,
        "other_hash": other_hash,
        "other_inbox_id": inbox_id,
    }


def _take_back(session: Session, workspace: _Workspace, keys: _Keys) -> _Lost:
    """Undo what the losers of replaced keys had stated, except edges: an authenticated pair stays stated."""
    lost = _Lost()
    if not keys.replaced:
        return lost
    values = [_key_row(workspace.id, stated) for stated, _ in keys.replaced]
    run(
        session,
        "UPDATE event_key k SET hash = incoming.hash, received_at = incoming.received_at, inbox_id = incoming.inbox_id,"
        f" event_at = incoming.event_at FROM {recordset(EventKey, values[0])}"
        " WHERE k.source_id = incoming.source_id AND k.workspace_id = incoming.workspace_id AND k.key = incoming.key",
        rows=records(values),
    )
    # What stands now is no conflict, though it may have been one before.
    gone = _delete_stated(session, "fact_conflict", keys.replaced, "key", "other_hash = old.hash", "other_hash")
    gone = _delete_stated(session, "trait_assertion", keys.replaced, "source_event_id", "true", "actor_id")
    lost.actors = {row.actor_id for row in gone}
    gone = _delete_stated(
        session, "object_state", keys.replaced, "source_event_id", "true", ", ".join(LostState._fields)
    )
    lost.states = [LostState(*row) for row in gone]
    inbox.moved(session, workspace.id, keys.dethroned)
    places = [
        Placed(events.event_id(stated.delivery.source_id, stated.fact.key), at) for stated, at in keys.replaced if at
    ]
    lost.days = events.take_back(session, workspace.id, places)
    return lost


def _delete_stated(
    session: Session,
    table: str,
    replaced: Sequence[tuple[Stated, datetime | None]],
    key: str,
    condition: str,
    returning: str,
) -> Sequence[Any]:
    columns = ", ".join(f"t.{name}" for name in returning.split(", "))
    return rows(
        session,
        f"DELETE FROM {table} t USING unnest(CAST(:sources AS uuid[]), CAST(:keys AS text[]), CAST(:hashes AS text[]))"
        f" AS old(source_id, key, hash) WHERE t.source_id = old.source_id AND t.{key} = old.key AND {condition}"
        f" RETURNING {columns}",
        sources=[stated.delivery.source_id for stated, _ in replaced],
        keys=[stated.fact.key for stated, _ in replaced],
        hashes=[stated.fact.hash for stated, _ in replaced],
    )


def _write_actors(session: Session, workspace: _Workspace, facts: Sequence[Stated], now: datetime) -> Named:
    """Actors come from every statement of a key, like edges: what an authenticated sender named once exists."""
    seen = []
    for stated in facts:
        fact = stated.fact
        personless = bool(fact.event and fact.event.metadata.get("personless"))
        linked = [who for link in fact.links for who in link[:2] if who not in fact.actors]
        about = [trait.of for trait in fact.traits if trait.of not in fact.actors]
        seen += [Seen(who, fact.occurred_at, personless) for who in (*fact.actors, *linked, *about)]
    return identity.ensure_actors(session, workspace.id, seen, now)


def _events(workspace: _Workspace, winners: Iterable[Stated]) -> list[NewEvent]:
    return [
        NewEvent(
            id=events.event_id(stated.delivery.source_id, stated.fact.key),
            fact=stated.fact.event,
            key=stated.fact.key,
            source_id=stated.delivery.source_id,
            actor=identity.actor_id(workspace.id, stated.fact.actors[0]) if stated.fact.actors else None,
            occurred_at=stated.fact.occurred_at,
            received_at=stated.delivery.received_at,
            counts_money=stated.delivery.source_id in workspace.money,
            original_at=stated.fact.original_at,
        )
        for stated in winners
        if stated.fact.event
    ]


def _write_traits(session: Session, workspace: _Workspace, winners: Iterable[Stated], now: datetime) -> None:
    values = {}
    for stated in winners:
        for trait in stated.fact.traits:
            actor = identity.actor_id(workspace.id, trait.of)
            values[stated.key, actor, trait.key] = {
                "source_id": stated.delivery.source_id,
                "workspace_id": workspace.id,
                "source_event_id": stated.fact.key,
                "actor_id": actor,
                "key": trait.key,
                "op": trait.op,
                "value": trait.value,
                "occurred_at": stated.fact.occurred_at,
                "rank": source(stated.delivery.source).rank,
                "applied_at": now,
            }
    insert(session, TraitAssertion, list(values.values()), "ON CONFLICT DO NOTHING")


def _resolve(
    session: Session, workspace: _Workspace, facts: Iterable[Stated], revealed: set[UUID], now: datetime
) -> set[UUID]:
    """Edges come from every statement of a key, also the losing ones: a set that only grows needs no order."""
    found: list[Edge] = []
    for stated in facts:
        for link in stated.fact.links:
            edge = identity.edge_of(
                workspace.id,
                link,
                stated.delivery.trust,
                stated.fact.occurred_at,
                stated.delivery.source_id,
                stated.fact.key,
            )
            if edge:
                found.append(edge)
    return identity.assert_edges(session, workspace.id, found, workspace.limits, now, revealed=revealed)


def _derive(
    session: Session, workspace: _Workspace, winners: Sequence[Stated], lost: Sequence[LostState], now: datetime
) -> set[UUID]:
    """Keep the states of vendors' objects and derive billing and mail from them. Returns the actors concerned."""
    values: dict[tuple[str, str, str], dict[str, Any]] = {}
    for stated in winners:
        for state in stated.fact.states:
            values[stated.key, state.kind, state.id] = {
                "source_id": stated.delivery.source_id,
                "source_event_id": stated.fact.key,
                "kind": state.kind,
                "object_id": state.id,
                "workspace_id": workspace.id,
                "owner": state.owner,
                "parent": state.parent,
                "occurred_at": stated.fact.occurred_at,
                "rank": stated.fact.rank,
                "data": dict(state.data),
                "applied_at": now,
            }
    insert(session, ObjectStateRow, list(values.values()), "ON CONFLICT DO NOTHING")
    failpoint("apply.states")
    if not values and not lost:
        return set()
    objects = {(value["source_id"], value["kind"], value["object_id"]) for value in values.values()}
    billed = billing.refresh(session, workspace.id, objects, now, lost)
    stale = _replace_derived(session, workspace, billed, now)
    failpoint("apply.billing")
    mailed = mail.refresh(session, workspace.id, objects, lost)
    if mailed.owners:
        stale += _replace_derived(session, workspace, mailed, now)
    stale += events.mark_machine(session, workspace.id, mailed.machine)
    events.recount(session, workspace.id, stale, workspace.roles, workspace.money)
    failpoint("apply.mail")
    told = {event.actor for _, event in mailed.events if event.actor}
    return billed.actors | mailed.actors | told | {actor for actor, _ in stale}


def _replace_derived(
    session: Session, workspace: _Workspace, billed: billing.Refreshed | mail.Derived, now: datetime
) -> list[tuple[UUID, date]]:
    """Bring the events that follow from states to what they are now. Returns the (actor, day) pairs to recount."""
    rows_now = {
        (item.source_id, item.key): {
            "source_id": item.source_id,
            "workspace_id": workspace.id,
            "key": item.key,
            "owner": owner,
            "hash": fingerprint([item.occurred_at, asdict(item.fact), item.actor]),
            "event_at": item.occurred_at,
        }
        for owner, item in billed.events
    }
    stored = {
        (row.source_id, row.key): row
        for row in rows(
            session,
            "SELECT d.source_id, d.key, d.hash, d.event_at FROM"
            " unnest(CAST(:sources AS uuid[]), CAST(:owners AS text[])) AS w(source_id, owner)"
            " JOIN derived_event d ON d.workspace_id = app_ws() AND d.source_id = w.source_id AND d.owner = w.owner"
            " UNION SELECT d.source_id, d.key, d.hash, d.event_at FROM"
            " unnest(CAST(:key_sources AS uuid[]), CAST(:keys AS text[])) AS w(source_id, key)"
            " JOIN derived_event d ON d.workspace_id = app_ws() AND d.source_id = w.source_id AND d.key = w.key",
            sources=[source_id for source_id, _ in billed.owners],
            owners=[owner for _, owner in billed.owners],
            key_sources=[source_id for source_id, _ in rows_now],
            keys=[key for _, key in rows_now],
        )
    }
    gone = [key for key, row in stored.items() if rows_now.get(key, {}).get("hash") != row.hash]
    changed = [item for _, item in billed.events if (item.source_id, item.key) not in stored.keys() - set(gone)]
    run(
        session,
        "DELETE FROM derived_event d USING unnest(CAST(:sources AS uuid[]), CAST(:keys AS text[])) AS w(source_id, key)"
        " WHERE d.source_id = w.source_id AND d.key = w.key",
        sources=[source_id for source_id, _ in gone],
        keys=[key for _, key in gone],
    )
    old = [Placed(events.event_id(*key), stored[key].event_at) for key in gone]
    stale = events.take_back(session, workspace.id, old)
    insert(session, DerivedEvent, [rows_now[item.source_id, item.key] for item in changed])
    events.write(session, workspace.id, changed, workspace.roles, now)
    return stale


def _outcomes(deliveries: Sequence[Delivery], parsed: Parsed, keys: _Keys) -> list[Outcome]:
    outcomes = {delivery.id: Outcome(delivery) for delivery in deliveries}
    # Of several statements of a key in the batch only one is there; the others are duplicates.
    won = {id(stated) for stated in (*keys.winners, *keys.mine)}
    for stated in parsed.facts:
        outcome = outcomes[stated.delivery.id]
        outcome.facts += 1
        if id(stated) in won:
            outcome.applied += 1
        else:
            outcome.duplicate += 1
    for delivery_id, rejects in parsed.rejects.items():
        outcomes[delivery_id].rejects = rejects
        outcomes[delivery_id].facts += len(rejects)
    for outcome in outcomes.values():
        outcome.settle()
    return [outcomes[delivery.id] for delivery in deliveries]
