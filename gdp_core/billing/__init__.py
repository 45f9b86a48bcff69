"""Billing in the database: which owners a change touches, their states in, their rows out.

`derive` says what the rows are; this module finds everything an owner's derivation needs (its docstring lists the
look-ups) and replaces the owner's rows. It writes no events: the pipeline does, from what `refresh` returns.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field, fields
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlmodel import Session, SQLModel

from gdp_core.billing.derive import CATALOGUE, EXPANDED, derive, owner_of, parent_of
from gdp_core.billing.mrr import MrrSettings
from gdp_core.billing.plans import PlanMapping
from gdp_core.billing.rows import Billing, Owner, State
from gdp_core.db import insert, one, rows, run
from gdp_core.events import NewEvent, event_id
from gdp_core.identity import actor_id
from gdp_core.lost import LostState
from gdp_core.tables.billing import Invoice, MrrChange, Refund, Subscription, SubscriptionItem

_STEPS_UP = 3

Object = tuple[UUID, str, str]  # source, kind, object id


@dataclass(slots=True)
class Refreshed:
    """What changed: the owners derived (source, owner), their events (owner, event), and the actors concerned."""

    owners: list[tuple[UUID, str]] = field(default_factory=list)
    events: list[tuple[str, NewEvent]] = field(default_factory=list)
    actors: set[UUID] = field(default_factory=set)


def refresh(
    session: Session, workspace_id: UUID, objects: Collection[Object], now: datetime, lost: Sequence[LostState] = ()
) -> Refreshed:
    """Derive every owner that these objects touch, and those that `lost` versions of objects had touched."""
    gone = [state for state in lost if state.kind.startswith("stripe.")]
    touched = [item for item in objects if item[1].startswith("stripe.")] + [state.object for state in gone]
    if not touched:
        return Refreshed()
    parents = [(state.source_id, "", state.parent) for state in gone if state.parent]
    owners = _owners(session, touched + parents) | {(state.source_id, state.owner) for state in gone if state.owner}
    owners |= _owners_of_catalogue(session, [item for item in touched if item[1] in CATALOGUE])
    return refresh_owners(session, workspace_id, owners, now, gone)


def refresh_owners(
    session: Session,
    workspace_id: UUID,
    owners: Iterable[tuple[UUID, str]],
    now: datetime,
    lost: Sequence[LostState] = (),
) -> Refreshed:
    """Derive these owners (source, owner id) again, as after an edit of the plan mapping."""
    result = Refreshed(owners=sorted(set(owners)))
    if not result.owners and not lost:
        return result
    states = _states(session, result.owners)
    settings, plans = _settings(session), _plans(session)
    catalogue = _catalogue(session, {source for source, _ in result.owners})
    derived = [
        derive(Owner(workspace_id, source, owner), states.get((source, owner), []), catalogue[source], plans, settings)
        for source, owner in result.owners
    ]
    result.actors |= _forget(session, result.owners, states, lost)
    for billing in derived:
        result.events += [(billing.owner.id, _event(billing.owner, item, now)) for item in billing.events]
    _write(session, workspace_id, derived)
    result.actors |= {event.actor for _, event in result.events if event.actor}
    result.actors |= {actor_id(workspace_id, billing.actor) for billing in derived if billing.actor}
    return result


def all_owners(session: Session) -> set[tuple[UUID, str]]:
    """Every owner of the workspace."""
    found = rows(
        session, "SELECT DISTINCT source_id, owner FROM object_state WHERE owner IS NOT NULL AND kind LIKE 'stripe.%'"
    )
    return {(row.source_id, row.owner) for row in found}


# --------------------------------------------------------------------------------------------------- which owners


def _owners(session: Session, touched: Sequence[Object]) -> set[tuple[UUID, str]]:
    """Every owner that a version of these objects, or of what they hang on, has ever named."""
    owners: set[tuple[UUID, str]] = set()
    wanted = {(source, object_id) for source, _, object_id in touched}
    for _ in range(_STEPS_UP + 1):
        found = rows(
            session,
            "SELECT DISTINCT s.source_id, s.owner, s.parent FROM"
            " unnest(CAST(:sources AS uuid[]), CAST(:ids AS text[])) AS w(source_id, id)"
            " JOIN object_state s ON s.workspace_id = app_ws() AND s.source_id = w.source_id AND s.object_id = w.id"
            " AND s.kind LIKE 'stripe.%'",
            sources=[source for source, _ in wanted],
            ids=[object_id for _, object_id in wanted],
        )
        owners |= {(row.source_id, row.owner) for row in found if row.owner}
        wanted = {(row.source_id, row.parent) for row in found if row.parent}
        if not wanted:
            break
    return owners


def _owners_of_catalogue(session: Session, touched: Sequence[Object]) -> set[tuple[UUID, str]]:
    ids = [object_id for _, _, object_id in touched]
    if not ids:
        return set()
    found = rows(
        session,
        "SELECT DISTINCT s.source_id, s.stripe_customer_id FROM subscription s LEFT JOIN subscription_item i"
        " ON i.workspace_id = s.workspace_id AND i.subscription_id = s.id WHERE s.stripe_customer_id IS NOT NULL"
        " AND (i.stripe_price_id = ANY(:ids) OR i.stripe_product_id = ANY(:ids) OR s.problems <> '{}')",
        ids=ids,
    )
    return {(row.source_id, row.stripe_customer_id) for row in found}


# ----------------------------------------------------------------------------------------------- what they derive from


def _states(session: Session, owners: Sequence[tuple[UUID, str]]) -> dict[tuple[UUID, str], list[State]]:
    """Every version of every object that belongs to an owner, directly or by hanging on one that does."""
    named = _versions(
        session,
        "SELECT DISTINCT o.source_id, o.kind, o.object_id FROM"
        " unnest(CAST(:sources AS uuid[]), CAST(:ids AS text[])) AS w(source_id, id)"
        " JOIN object_state o ON o.workspace_id = app_ws() AND o.source_id = w.source_id AND o.owner = w.id",
        owners,
    )
    belongs: dict[tuple[UUID, str], tuple[UUID, str]] = {}  # (source, object id) -> owner
    states: dict[tuple[UUID, str], list[State]] = defaultdict(list)
    layer = []
    for (source, _, object_id), versions in named.items():
        owner = owner_of(versions)
        if owner and (source, owner) in set(owners):
            belongs[source, object_id] = (source, owner)
            states[source, owner] += versions
            layer.append((source, object_id))
    for _ in range(_STEPS_UP):
        children = _versions(
            session,
            "SELECT DISTINCT o.source_id, o.kind, o.object_id FROM"
            " unnest(CAST(:sources AS uuid[]), CAST(:ids AS text[])) AS w(source_id, id)"
            " JOIN object_state o ON o.workspace_id = app_ws() AND o.source_id = w.source_id AND o.parent = w.id",
            layer,
        )
        layer = []
        for (source, _, object_id), versions in children.items():
            parent = parent_of(versions)
            if (
                owner_of(versions) is None
                and parent
                and (source, parent) in belongs
                and (source, object_id) not in belongs
            ):
                owner_key = belongs[source, object_id] = belongs[source, parent]
                states[owner_key] += versions
                layer.append((source, object_id))
        if not layer:
            break
    return states


def _versions(session: Session, which: str, pairs: Sequence[tuple[UUID, str]]) -> dict[Object, list[State]]:
    versions: dict[Object, list[State]] = defaultdict(list)
    if not pairs:
        return versions
    for row in rows(
        session,
        f"SELECT s.* FROM ({which}) w JOIN object_state s ON s.workspace_id = app_ws() AND s.source_id = w.source_id"
        " AND s.kind = w.kind AND s.object_id = w.object_id WHERE s.kind LIKE 'stripe.%'",
        sources=[source for source, _ in pairs],
        ids=[identifier for _, identifier in pairs],
    ):
        versions[row.source_id, row.kind, row.object_id].append(
            State(
                kind=row.kind,
                id=row.object_id,
                owner=row.owner,
                parent=row.parent,
                occurred_at=row.occurred_at,
                rank=row.rank,
                source_event_id=row.source_event_id,
                data=row.data,
            )
        )
    return versions


def _catalogue(session: Session, sources: Iterable[UUID]) -> dict[UUID, dict[tuple[str, str], Any]]:
    catalogue: dict[UUID, dict[tuple[str, str], Any]] = {source: {} for source in sources}
    for which in ("jsonb_exists_any(data, :expanded)", "CAST(:expanded AS text[]) IS NOT NULL"):  # the newest go on top
        for row in rows(
            session,
            "SELECT DISTINCT ON (source_id, kind, object_id) source_id, kind, object_id, data FROM object_state"
            f" WHERE source_id = ANY(:sources) AND kind = ANY(:kinds) AND {which}"
            ' ORDER BY source_id, kind, object_id, occurred_at DESC, rank DESC, source_event_id COLLATE "C" DESC',
            sources=list(catalogue),
            kinds=list(CATALOGUE),
            expanded=list(EXPANDED),
        ):
            of_source, name = catalogue[row.source_id], (row.kind, row.object_id)
            of_source[name] = {**of_source.get(name, {}), **row.data}
    return catalogue


def _settings(session: Session) -> MrrSettings:
    chosen = one(session, "SELECT value FROM setting WHERE key = 'billing.mrr'")
    return MrrSettings(**chosen.value) if chosen else MrrSettings()


def _plans(session: Session) -> PlanMapping:
    found = rows(session, "SELECT match, value, plan_id, plan_name FROM plan_mapping")
    return PlanMapping({(row.match, row.value): (row.plan_id, row.plan_name) for row in found})


# ------------------------------------------------------------------------------------------------------- the rows


def _forget(
    session: Session,
    owners: Sequence[tuple[UUID, str]],
    states: dict[tuple[UUID, str], list[State]],
    lost: Sequence[LostState],
) -> set[UUID]:
    """Delete what was derived for these owners. Returns the actors it was about."""
    sources = [state.source_id for state in lost]
    ids = [state.object_id for state in lost]
    for (source, owner), versions in states.items():
        objects = sorted({version.id for version in versions} | {owner})
        sources += [source] * len(objects)
        ids += objects
    for source, owner in owners:
        if (source, owner) not in states:
            sources.append(source)
            ids.append(owner)
    actors: set[UUID] = set()
    run(
        session,
        "DELETE FROM subscription_item i USING subscription s,"
        " unnest(CAST(:sources AS uuid[]), CAST(:ids AS text[])) AS w(source_id, id)"
        " WHERE s.workspace_id = i.workspace_id AND s.id = i.subscription_id AND s.source_id = w.source_id"
        " AND s.stripe_subscription_id = w.id",
        sources=sources,
        ids=ids,
    )
    for table, column in (
        ("subscription", "stripe_subscription_id"),
        ("invoice", "stripe_invoice_id"),
        ("refund", "stripe_refund_id"),
        ("refund", "stripe_charge_id"),
        ("mrr_change", "stripe_customer_id"),
    ):
        gone = rows(
            session,
            f"DELETE FROM {table} t USING unnest(CAST(:sources AS uuid[]), CAST(:ids AS text[])) AS w(source_id, id)"
            f" WHERE t.workspace_id = app_ws() AND t.source_id = w.source_id AND t.{column} = w.id RETURNING t.actor_id",
            sources=sources,
            ids=ids,
        )
        actors |= {row.actor_id for row in gone if row.actor_id}
    return actors


def _write(session: Session, workspace_id: UUID, derived: Sequence[Billing]) -> None:
    for table, name in (
        (Subscription, "subscriptions"),
        (SubscriptionItem, "items"),
        (Invoice, "invoices"),
        (Refund, "refunds"),
        (MrrChange, "mrr_changes"),
    ):
        _insert(session, workspace_id, table, [row for billing in derived for row in getattr(billing, name)])


def _insert(session: Session, workspace_id: UUID, table: type[SQLModel], values: Sequence[Any]) -> None:
    """Insert derived rows: the columns of the table, with `actor_id` in place of the row's `actor`."""
    records = []
    for value in values:
        record = {item.name: getattr(value, item.name) for item in fields(value) if item.name != "actor"}
        if any(item.name == "actor" for item in fields(value)):
            record["actor_id"] = actor_id(workspace_id, value.actor) if value.actor else None
        records.append(record)
    insert(session, table, records)


def _event(owner: Owner, item: Any, now: datetime) -> NewEvent:
    return NewEvent(
        id=event_id(owner.source_id, item.key),
        fact=item.event,
        key=item.key,
        source_id=owner.source_id,
        actor=actor_id(owner.workspace_id, item.actor) if item.actor else None,
        occurred_at=item.occurred_at,
        received_at=now,
        counts_money=False,  # its money is in the invoices
    )
