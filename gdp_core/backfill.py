"""Reads what Stripe holds into a workspace: everything once, or single objects whose newest state is in doubt.

Pages become chunks that go through the inbox and the pipeline like webhooks. Where it stands is kept with every chunk,
so an interrupted backfill goes on there; a page that is read twice states the same facts.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

from sqlmodel import Session

from gdp_core import clock, pipeline
from gdp_core.db import Database, insert, one, records, rows, run
from gdp_core.errors import BadSetting, InvalidInput, NotFound, Upstream
from gdp_core.failpoint import failpoint
from gdp_core.settings import Settings
from gdp_core.sources import stripe
from gdp_core.sources.chunk import ROUTE, Part, pack
from gdp_core.sources.facts import Delivery
from gdp_core.tables.ingest import ImportRun

_PAGES_PER_CHUNK = 50  # of 100 objects

Progress = Callable[[str, int], None]
"""progress(object type, objects read so far)."""


@dataclass(frozen=True, slots=True)
class Done:
    """What a backfill did."""

    objects: int
    applied: int


def account_of(chosen: Settings) -> stripe.Account:
    """The Stripe account to read from. Raises BadSetting without a key."""
    if chosen.stripe_api_key is None:
        raise BadSetting("Set STRIPE_API_KEY to a restricted key that may read; then run the backfill again.")
    return stripe.Account(chosen.stripe_api_key, base_url=chosen.stripe_api_base)


def stripe_source(session: Session, name: str | None = None) -> UUID:
    """The workspace's Stripe source. Raises NotFound, or InvalidInput when there are several and none is named."""
    found = rows(
        session,
        "SELECT id, name FROM source_instance WHERE source = 'stripe' AND archived_at IS NULL"
        " AND (:name = '' OR name = :name)",
        name=name or "",
    )
    if not found:
        raise NotFound("No Stripe source is connected here: connect one on the Sources page first.")
    if len(found) > 1:
        raise InvalidInput(
            "Several Stripe sources are connected: name one with --source: "
            + ", ".join(row.name for row in found)
            + "."
        )
    identifier: UUID = found[0].id
    return identifier


def backfill(
    database: Database,
    workspace_id: UUID,
    source_id: UUID,
    account: stripe.Account,
    *,
    since: datetime | None = None,
    progress: Progress = lambda *_: None,
) -> Done:
    """Read everything (made after `since`) and apply it. Goes on where the last one stopped."""
    run_id, cursors = _begin(database, workspace_id, source_id, since)
    objects = applied = 0
    counts: dict[str, int] = {}
    parts: list[Part] = []
    for page in stripe.backfill(account, cursors, clock.now, since=since):
        parts.append(Part("backfill", page.fetched_at, page.body()))
        cursors[page.object_type] = page.cursor
        objects += len(page.objects)
        counts[page.object_type] = counts.get(page.object_type, 0) + len(page.objects)
        progress(page.object_type, counts[page.object_type])
        if len(parts) >= _PAGES_PER_CHUNK or page.cursor == stripe.DONE:
            applied += _apply(database, workspace_id, source_id, parts)
            failpoint("backfill.page")
            _keep(database, workspace_id, run_id, cursors, objects)
            parts = []
    with database.transaction(workspace_id) as session:
        run(
            session,
            "UPDATE import_run SET state = 'done', updated_at = :now WHERE id = :id",
            now=clock.now(),
            id=run_id,
        )
    return Done(objects, applied)


def settle(database: Database, workspace_id: UUID, account: stripe.Account, limit: int = 50) -> int:
    """Ask Stripe for objects in doubt: two versions carry the same second, or their worth cannot be told.

    Each is asked for once per version; an answer that settles nothing is not asked for again. Returns how many were.
    """
    with database.transaction(workspace_id, read_only=True) as session:
        doubtful = rows(
            session,
            "SELECT d.source_id, d.kind, d.id FROM ("
            "SELECT source_id, 'stripe.subscription' AS kind, stripe_subscription_id AS id FROM subscription"
            " WHERE needs_refetch UNION ALL SELECT source_id, 'stripe.invoice', stripe_invoice_id FROM invoice"
            " WHERE needs_refetch AND kind = 'invoice') d CROSS JOIN LATERAL (SELECT s.source_event_id FROM object_state s"
            " WHERE s.workspace_id = app_ws() AND s.source_id = d.source_id AND s.kind = d.kind AND s.object_id = d.id"
            ' ORDER BY s.occurred_at DESC, s.rank DESC, s.source_event_id COLLATE "C" DESC LIMIT 1) newest'
            # At random: those that are gone at Stripe must not keep the others waiting.
            " WHERE NOT starts_with(newest.source_event_id, 'refetch:') ORDER BY random() LIMIT :limit",
            limit=limit,
        )
    for row in doubtful:
        try:
            body = stripe.refetch(account, row.kind, row.id, clock.now)
        except (NotFound, Upstream):
            continue  # gone at Stripe, or out of reach: what is known stands
        _apply(database, workspace_id, row.source_id, [Part("backfill", clock.now(), body)])
    return len(doubtful)


def _apply(database: Database, workspace_id: UUID, source_id: UUID, parts: list[Part]) -> int:
    now = clock.now()
    chunk = Delivery(
        id=uuid4(),
        workspace_id=workspace_id,
        source_id=source_id,
        source="stripe",
        route=ROUTE,
        trust="signed",
        received_at=now,
        body=pack(parts),
    )
    return pipeline.take_in(database, chunk, now).applied


def _begin(
    database: Database, workspace_id: UUID, source_id: UUID, since: datetime | None
) -> tuple[UUID, dict[str, Any]]:
    """The unfinished run to go on with, or a new one."""
    mark = f"stripe|{source_id}|{since.isoformat() if since else ''}"
    with database.transaction(workspace_id) as session:
        open_run = one(
            session,
            "SELECT id, cursor FROM import_run WHERE kind = 'backfill' AND fingerprint = :mark AND state = 'running'"
            " ORDER BY started_at DESC LIMIT 1",
            mark=mark,
        )
        if open_run:
            return open_run.id, dict(open_run.cursor)
        now = clock.now()
        identifier = uuid4()
        row = {"id": identifier, "workspace_id": workspace_id, "kind": "backfill", "label": "Stripe", "cursor": {}}
        row |= {"fingerprint": mark, "rows_done": 0, "rows_rejected": 0, "state": "running"}
        insert(session, ImportRun, [row | {"started_at": now, "updated_at": now}])
    return identifier, {}


def _keep(database: Database, workspace_id: UUID, run_id: UUID, cursors: dict[str, Any], objects: int) -> None:
    with database.transaction(workspace_id) as session:
        run(
            session,
            "UPDATE import_run SET cursor = CAST(:cursor AS jsonb), rows_done = :done, updated_at = :now WHERE id = :id",
            cursor=records([cursors])[1:-1],
            done=objects,
            now=clock.now(),
            id=run_id,
        )
