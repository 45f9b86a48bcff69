"""Fills the demo workspaces: the made-up story goes through the same sources and the same pipeline as real input."""

import secrets
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from datetime import date, datetime, timedelta
from decimal import Decimal
from uuid import UUID, uuid5

from sqlmodel import Session

from gdp_core import pipeline
from gdp_core.accounts.workspaces import insert_workspace
from gdp_core.ahead import ahead
from gdp_core.db import Database, insert, one, run
from gdp_core.demo.stage import BRANDS, Brand, fx_rates
from gdp_core.demo.wire import DemoDelivery, stories
from gdp_core.sources import source
from gdp_core.sources.chunk import ROUTE, Part, pack
from gdp_core.sources.facts import Delivery
from gdp_core.tables.billing import FxRate, PlanMapping
from gdp_core.tables.operations import Marker
from gdp_core.tables.tenancy import InternalRule

_NAMESPACE = UUID("7d0c2f9e-1b0f-4f6c-9d0a-6f3a1c5b8e21")
_CHUNK_BYTES = 6 << 20  # about 5,000 facts
_CHUNK_PARTS = 5000
_NAMES = {"segment": "Website", "posthog": "Mobile app", "stripe": "Stripe", "resend": "Resend"}
EXPECTED_BYTES = 150 << 20  # of all bodies: what progress is measured against


def workspace_id_of(slug: str) -> UUID:
    """The id of a demo workspace is the same everywhere."""
    return uuid5(_NAMESPACE, slug)


def is_done(worker: Database) -> bool:
    """Whether the demo was filled to its end once; one that was removed is not made again."""
    with worker.transaction(None, read_only=True) as session:
        found = one(session, "SELECT value FROM ops.marker WHERE key = 'demo'")
    return bool(found and found.value.get("done"))


def fill(
    gate: Database,
    web: Database,
    worker: Database,
    *,
    now: datetime,
    progress: Callable[[int], None] = lambda _: None,
    seed: int = 1,
) -> list[UUID]:
    """Make both brands and apply their eighteen months up to `now`. Goes on where it was interrupted.

    `progress` is called with the bytes applied so far, of about EXPECTED_BYTES. Returns the workspaces.
    """
    until = _until(worker, now)
    done = 0
    for number, brand in enumerate(BRANDS):
        _prepare(gate, web, brand, until, made_at=until + timedelta(seconds=number))
        story = (item for item in stories(until, seed) if item.brand == brand.key)
        with pipeline.for_batches():
            for chunk, parsed in ahead(_chunks(brand, story, until), lambda chunk: pipeline.parse([chunk])):
                if not _is_stored(worker, chunk):
                    pipeline.take_in(worker, chunk, now, parsed)
                done += len(chunk.body)
                progress(done)
    with worker.transaction(None) as session:
        run(session, "UPDATE ops.marker SET value = value || '{\"done\": true}' WHERE key = 'demo'")
    return [workspace_id_of(brand.slug) for brand in BRANDS]


def _until(worker: Database, now: datetime) -> datetime:
    """The end of the story: the hour of the first attempt, so that a second one tells the same."""
    with worker.transaction(None) as session:
        insert(
            session,
            Marker,
            [{"key": "demo", "value": {"until": now.isoformat()}, "at": now}],
            "ON CONFLICT DO NOTHING",
        )
        found = one(session, "SELECT value FROM ops.marker WHERE key = 'demo'")
    return datetime.fromisoformat(found.value["until"])


def _prepare(gate: Database, web: Database, brand: Brand, until: datetime, *, made_at: datetime) -> None:
    workspace_id = workspace_id_of(brand.slug)
    with gate.transaction(workspace_id) as session:
        if one(session, "SELECT 1 FROM workspace WHERE id = :id", id=workspace_id):
            return
        insert_workspace(session, workspace_id, slug=brand.slug, name=brand.name, kind="demo", now=made_at)
    with web.transaction(workspace_id) as session:
        run(
            session,
            "UPDATE workspace SET timezone = :zone, base_currency = :currency WHERE id = :id",
            zone=brand.timezone,
            currency=brand.currency,
            id=workspace_id,
        )
        for key in sorted({brand.tracker, "posthog", "stripe", "resend"}):  # the mobile app reports by PostHog
            run(
                session,
                "INSERT INTO source_instance (id, workspace_id, source, name, hook_key, config, has_invoices, created_at)"
                " VALUES (:id, :ws, :source, :name, :hook, '{}', :invoices, :at)",
                id=uuid5(workspace_id, key),
                ws=workspace_id,
                source=key,
                name="Website and app" if key == brand.tracker == "posthog" else _NAMES[key],
                hook=secrets.token_urlsafe(24),
                invoices=source(key).has_invoices,
                at=until,
            )
        _prepare_choices(session, workspace_id, brand, until)


def _prepare_choices(session: Session, workspace_id: UUID, brand: Brand, until: datetime) -> None:
    in_dollars = fx_rates(until)
    per_day: dict[date, dict[str, Decimal]] = defaultdict(lambda: {"USD": Decimal(1)})
    for rate in in_dollars:
        per_day[rate.on][rate.currency] = rate.rate
    insert(
        session,
        FxRate,
        [
            {
                "date": on,
                "workspace_id": workspace_id,
                "currency": code,
                "rate": str(round(worth / known[brand.currency], 6)),
            }
            for on, known in per_day.items()
            for code, worth in known.items()
            if code != brand.currency and brand.currency in known
        ],
    )
    insert(
        session,
        PlanMapping,
        [
            {"match": "price", "workspace_id": workspace_id, "value": price, "updated_at": until}
            | {"plan_id": name.lower(), "plan_name": name}
            for price, name in brand.plan_names.items()
        ],
    )
    insert(
        session,
        InternalRule,
        [{"kind": "domain", "value": brand.domain, "workspace_id": workspace_id, "created_at": until}],
    )


def _chunks(brand: Brand, story: Iterable[DemoDelivery], until: datetime) -> Iterator[Delivery]:
    """The story as chunks of one source each, in the order of time."""
    waiting: dict[str, list[Part]] = defaultdict(list)
    sizes: Counter[str] = Counter()
    numbers: Counter[str] = Counter()
    for item in story:
        waiting[item.source].append(Part(item.route, item.received_at, item.body, item.headers))
        sizes[item.source] += len(item.body)
        if sizes[item.source] >= _CHUNK_BYTES or len(waiting[item.source]) >= _CHUNK_PARTS:
            yield _chunk(brand, item.source, numbers[item.source], waiting.pop(item.source), until)
            numbers[item.source] += 1
            del sizes[item.source]
    for key, parts in waiting.items():
        yield _chunk(brand, key, numbers[key], parts, until)


def _chunk(brand: Brand, key: str, number: int, parts: list[Part], until: datetime) -> Delivery:
    workspace_id = workspace_id_of(brand.slug)
    return Delivery(
        id=uuid5(workspace_id, f"{key}|{number}|{until.isoformat()}"),
        workspace_id=workspace_id,
        source_id=uuid5(workspace_id, key),
        source=key,
        route=ROUTE,
        trust="browser" if source(key).kind == "tracking" else "signed",
        received_at=max(part.received_at for part in parts),
        body=pack(parts),
    )


def _is_stored(worker: Database, chunk: Delivery) -> bool:
    with worker.transaction(chunk.workspace_id, read_only=True) as session:
        return bool(
            one(session, "SELECT 1 FROM inbox WHERE id = :id AND received_at = :at", id=chunk.id, at=chunk.received_at)
        )
