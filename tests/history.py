"""Histories to try the pipeline with: months of two workspaces from every source, in every way senders misbehave; how
to apply one in any order, batches and number of workers; and the digest of everything that was derived."""

import hashlib
import random
import uuid
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import orjson
import psycopg
from psycopg.types.json import Jsonb

from gdp_core import events, inbox, pipeline
from gdp_core.sources.chunk import Part, pack
from gdp_core.sources.facts import Delivery

from . import stripe_story as stripe
from .conftest import NOW, TestDatabase

SOURCES = ("segment", "posthog", "stripe", "resend", "generic", "import")
_RECEIVED = NOW - timedelta(days=2)  # every delivery arrives within the hours after it
_EVENTS = ("signup_completed", "letter_sent", "letter_created", "pricing_view", "Order Completed", "video_played")


@dataclass(frozen=True)
class Tenant:
    """A workspace and its source instances."""

    id: UUID
    sources: dict[str, UUID]


def tenants(database: TestDatabase, *slugs: str) -> list[Tenant]:
    """Make workspaces with every source."""
    made = []
    for slug in slugs:
        ws = database.workspace(slug)
        made.append(Tenant(ws, {name: database.source(ws, name) for name in SOURCES}))
    return made


# ------------------------------------------------------------------------------------------------------ histories


class _Teller:
    """Makes the deliveries of one workspace. Few people, few ids and few instants, so that everything collides."""

    def __init__(self, tenant: Tenant, rng: random.Random) -> None:
        self.tenant, self.rng = tenant, rng
        self.instants = [NOW - timedelta(days=rng.randrange(3, 200), seconds=rng.randrange(86_400)) for _ in range(12)]
        self.used: dict[str, list[str]] = {name: [] for name in SOURCES}

    def delivery(
        self, source: str, body: Any, route: str, trust: str, headers: dict[str, str] | None = None
    ) -> Delivery:
        received = _RECEIVED + timedelta(seconds=self.rng.choice((0, 0, 60, self.rng.randrange(40_000))))
        return Delivery(
            id=UUID(int=self.rng.getrandbits(128), version=4),
            workspace_id=self.tenant.id,
            source_id=self.tenant.sources[source],
            source=source,
            route=route,
            trust=trust,
            received_at=received,
            body=orjson.dumps(body),
            headers=headers or {},
        )

    def at(self) -> datetime:
        """Often an instant at which something else happened too; rarely in the future."""
        if self.rng.random() < 0.04:
            return NOW + timedelta(days=self.rng.randrange(1, 300))
        chosen = self.rng.choice(self.instants)
        return chosen if self.rng.random() < 0.4 else chosen + timedelta(minutes=self.rng.randrange(-5000, 5000))

    def key(self, source: str) -> str:
        """Mostly new; sometimes one that was used before, so that two contents compete for it."""
        used = self.used[source]
        if used and self.rng.random() < 0.12:
            return self.rng.choice(used)
        used.append(f"{source}-{len(used)}")
        return used[-1]

    def one(self, kind: str, count: int) -> str:
        return f"{kind}{self.rng.randrange(count)}"

    def email(self) -> str:
        return f"{self.one('ada', 8)}@acme.example"

    # ---- sources

    def segment(self) -> Delivery:
        trust = self.rng.choice(("browser", "server"))
        messages = [self.call(trust) for _ in range(self.rng.randrange(1, 4))]
        sent = self.rng.choice((None, None, _RECEIVED.isoformat()))
        return self.delivery("segment", {"batch": messages, "sentAt": sent}, "v1/batch", trust)

    def call(self, trust: str) -> dict[str, Any]:
        rng = self.rng
        kind = rng.choice(("page", "page", "identify", "identify", "track", "track", "track", "alias", "group"))
        message: dict[str, Any] = {"type": kind, "messageId": self.key("segment"), "timestamp": self.at().isoformat()}
        who = rng.choice(("anonymous", "user", "both", "both")) if kind in ("page", "track") else "both"
        if who != "user":
            message["anonymousId"] = self.one("anon", 9)
        if who != "anonymous":
            message["userId"] = self.one("user", 8)
        if kind == "identify":
            message["traits"] = {"email": self.email(), "firstName": self.one("Ada", 9), "plan": rng.choice(("a", "b"))}
            if rng.random() < 0.3:
                message["traits"]["phone"] = f"+3160000000{rng.randrange(4)}"
        if kind == "page":
            query = rng.choice(("", "?utm_source=news&utm_medium=email&utm_campaign=c1", "?gclid=g1", "?utm_source=x"))
            message["context"] = {"page": {"url": f"https://acme.example/{query}", "path": "/"}}
        if kind == "track":
            message["event"] = rng.choice(_EVENTS)
            message["properties"] = {"colour": rng.choice(("red", 7, None, True)), "n": rng.randrange(4)}
            if rng.random() < 0.3:
                message["properties"] |= {"revenue": rng.choice((12.5, -3, 40)), "currency": rng.choice(("USD", "EUR"))}
        if kind == "alias":
            message["previousId"] = rng.choice((self.one("user", 8), self.one("anon", 9)))
        if kind == "group":
            message |= {"groupId": "g1", "traits": {"name": self.one("Acme", 3)}}
        return message

    def posthog(self) -> Delivery:
        rng = self.rng
        trust = rng.choice(("browser", "server"))
        batch = []
        for _ in range(rng.randrange(1, 3)):
            name = rng.choice(("$pageview", "$identify", "letter_sent", "$set", "$create_alias", "video_played"))
            known = name in ("$identify", "$create_alias") or rng.random() < 0.5
            properties: dict[str, Any] = {"$is_identified": known, "$lib": "web", "n": rng.randrange(3)}
            if name == "$identify":
                properties |= {"$anon_distinct_id": self.one("anon", 9), "$set": {"email": self.email()}}
            if name == "$set":
                properties |= {"$set": {"tier": rng.randrange(4)}, "$set_once": {"origin": self.one("o", 4)}}
                properties["$unset"] = rng.choice(([], ["plan"], ["tier"]))
            if name == "$create_alias":
                properties["alias"] = rng.choice((self.one("user", 8), self.one("anon", 9)))
            if rng.random() < 0.2:
                properties["$process_person_profile"] = False
            who = self.one("user", 8) if known else self.one("anon", 9)
            batch.append(
                {"event": name, "distinct_id": who, "uuid": self.key("posthog"), "properties": properties}
                | {"timestamp": self.at().isoformat()}
            )
        return self.delivery("posthog", {"batch": batch}, "posthog/batch", trust)

    def resend(self) -> Delivery:
        rng = self.rng
        kind = rng.choice(
            "email.sent email.delivered email.opened email.clicked email.bounced email.complained contact.updated"
            " suppression.added suppression.removed".split()
        )
        at = self.at()
        data: dict[str, Any] = {"created_at": at.isoformat()}
        if kind.startswith("email."):
            email_id = self.one("em", 5)
            owner = rng.choice(({}, {"user_id": self.one("user", 8)}, {"person_id": str(self.tagged())}))
            data |= {"email_id": email_id, "from": "hi@acme.example", "to": [self.email()], "subject": f"Re {email_id}"}
            data["tags"] = owner | {"campaign_id": self.one("c", 2)}
            if kind == "email.clicked":
                agent = rng.choice(("Mozilla/5.0", "Barracuda Link Scanner bot"))
                data["click"] = {"link": "https://acme.example/x", "userAgent": agent, "ipAddress": "203.0.113.9"}
            if kind == "email.bounced":
                data["bounce"] = {"type": rng.choice(("Permanent", "Transient")), "message": "no such user"}
        elif kind == "contact.updated":
            data |= {"id": self.one("contact", 3), "email": self.email(), "unsubscribed": rng.random() < 0.5}
            data["first_name"] = self.one("Eve", 4)
            data["topics"] = [{"id": "news", "subscription": rng.choice(("opt_in", "opt_out"))}]
        else:
            data |= {"id": self.one("supp", 3), "email": self.email(), "origin": rng.choice(("bounce", "manual"))}
        body = {"type": kind, "created_at": at.isoformat(), "data": data}
        return self.delivery("resend", body, "webhook", "signed", {"svix-id": self.key("resend")})

    def tagged(self) -> UUID:
        """A person id as an e-mail tag carries it: that of an identifier that may be known later, or never."""
        return uuid.uuid5(
            self.tenant.id, self.rng.choice(("user|user1", "anonymous|anon2", "email|ada1@acme.example", "user|x"))
        )

    def generic(self) -> Delivery:
        rng = self.rng
        body = {"event": rng.choice(("deal_stage_changed", "booking_created")), "timestamp": self.at().isoformat()}
        body |= rng.choice(({"email": self.email()}, {"user_id": self.one("user", 8), "email": self.email()}))
        body |= {"properties": {"stage": self.one("s", 3)}, "traits": {"company": self.one("Co", 4)}}
        if rng.random() < 0.3:
            body |= {"value": rng.randrange(1, 90), "currency": "EUR"}
        return self.delivery("generic", body, "webhook", "signed", {"webhook-id": self.key("generic")})

    def imported(self) -> Delivery:
        """Rows of a file, mapped already."""
        rng, count = self.rng, self.rng.randrange(1, 6)
        body = {
            "rows": count,
            "source": None,
            "key": [self.key("import") for _ in range(count)],
            "at": [rng.choice((None, int(self.at().timestamp() * 1e6))) for _ in range(count)],
            "user": [self.one("user", 8) for _ in range(count)],
            "anonymous": [rng.choice((None, self.one("anon", 9))) for _ in range(count)],
            "email": None,
            "phone": None,
            "event": rng.choice((None, "order")),
            "value": [rng.randrange(1_000_000, 9_000_000) for _ in range(count)],
            "currency": "USD",
            "traits": {"company": [self.one("Co", 4) for _ in range(count)]},
            "properties": {"sku": [self.one("sku", 3) for _ in range(count)]},
            "rejects": [],
        }
        return self.delivery("import", body, "rows", "server")

    def billing(self, number: int) -> list[Delivery]:
        """A Stripe customer's life, in one shape, the other or both."""
        rng = self.rng
        told = _stripe_life(number, rng)
        deliveries = [self.delivery("stripe", event, "webhook", "signed") for event in told]
        if rng.random() < 0.7:  # the same ids again in another version's words, as a second endpoint sends them
            again = rng.choice(told)
            other = again | {"api_version": "2020-08-27", "created": again["created"] + rng.choice((0, 0, 5))}
            deliveries.append(self.delivery("stripe", other, "webhook", "signed"))
        if rng.random() < 0.5:  # and once about somebody else altogether
            stolen = rng.choice(_stripe_life(number + 6, rng)) | {"id": rng.choice(told)["id"]}
            deliveries.append(self.delivery("stripe", stolen, "webhook", "signed"))
        things = [event["data"]["object"] for event in rng.sample(told, 2)]
        fetched = {"objects": things, "fetched_at": stripe.T0 + 90 * stripe.DAY}
        return [*deliveries, self.delivery("stripe", fetched, "backfill", "signed")]


def _stripe_life(n: int, rng: random.Random) -> list[dict[str, Any]]:
    def shape() -> Any:
        return rng.choice(("legacy", "basil"))

    month, day = stripe.MONTH, stripe.DAY
    about: dict[str, Any] = {"customer": f"cus_{n}"}
    price = stripe.price(f"price_{n % 2}", 2000 + n, product=f"prod_{n % 2}")
    items = [stripe.item(price, item_id=f"si_{n}")]
    more = [stripe.item(price, quantity=3, item_id=f"si_{n}")]
    mail = f"ada{n}@acme.example"

    def sub(status: str, lines: list[Any], **extra: Any) -> Any:
        return stripe.subscription(status, shape=shape(), sub_id=f"sub_{n}", items=lines, **about, **extra)

    def bill(number: int, status: str = "paid", **extra: Any) -> Any:
        ids = {"invoice_id": f"in_{n}_{number}", "sub_id": f"sub_{n}", "pi": f"pi_{n}_{number}"}
        return stripe.invoice(
            status, shape=shape(), charge_id=f"ch_{n}_{number}", customer_email=mail, **ids, **about, **extra
        )

    def event(name: str, kind: str, seconds: int, thing: Any, previous: Any = None) -> dict[str, Any]:
        return stripe.event(f"evt_{n}_{name}", kind, seconds, thing, previous)

    trial = {"trial_start": stripe.T0, "trial_end": stripe.T0 + 14 * day} if n % 3 == 0 else {}
    over = {"canceled_at": stripe.T0 + 2 * month, "ended_at": stripe.T0 + 2 * month}
    charged = {"charge_id": f"ch_{n}_1", "pi": f"pi_{n}_1", **about}
    guest = {"id": f"cs_{n}", "payment_intent": f"pi_{n}_g", "client_reference_id": f"user{n}"}
    back = {"charge": f"ch_{n}_1", "payment_intent": f"pi_{n}_1"}
    told = [
        event("c", "customer.created", 0, stripe.customer(id=f"cus_{n}", email=mail, metadata={"user_id": f"user{n}"})),
        event("cu", "customer.updated", 50, stripe.customer(id=f"cus_{n}", email=mail, name=f"Ada {n}", metadata={})),
        event("s1", "customer.subscription.created", 0, sub("trialing" if trial else "incomplete", items, **trial)),
        event("s2", "customer.subscription.updated", 14 * day + 9, sub("active", items, **trial)),
        event("s3", "customer.subscription.updated", month, sub("active", more, **trial)),
        event("i1", "invoice.paid", 15 * day, bill(1, created=15 * day, paid=15 * day)),
        event("i2", "invoice.payment_failed", month, bill(2, "open", created=month, amount=6000)),
        event("i3", "invoice.paid", month + day, bill(2, created=month, paid=month + day, amount=6000)),
        event("ch", "charge.refunded", month + 2 * day, stripe.charge(shape=shape(), refunded=500, **charged)),
        event("re", "refund.created", month + 2 * day, stripe.refund(f"re_{n}", 500, month + 2 * day, **back)),
        event("p", "product.updated", day, {"id": f"prod_{n % 2}", "object": "product", "name": f"Plan {n % 2}"}),
        event("g1", "checkout.session.completed", 9, stripe.session(**guest)),
        event("g2", "charge.succeeded", 10, stripe.charge(charge_id=f"ch_{n}_g", pi=f"pi_{n}_g", customer=None)),
        event(
            "g3", "refund.created", day, stripe.refund(f"re_{n}_g", 900, day, charge=f"ch_{n}_g", payment_intent=None)
        ),
    ]
    told += _tiered_life(n, event)
    if n % 2:
        told.append(event("s4", "customer.subscription.deleted", 2 * month, sub("canceled", more, **trial, **over)))
        told.append(event("g4", "checkout.session.async_payment_succeeded", 99, stripe.session(**guest, **about)))
    return told


def _tiered_life(n: int, event: Callable[..., dict[str, Any]]) -> list[dict[str, Any]]:
    """A subscription whose worth hangs on what other objects say: tiers of a price, a coupon behind a discount's id."""
    priced = stripe.price("price_t", None, billing_scheme="tiered", tiers_mode="graduated")
    tiers = [{"up_to": 1, "unit_amount": 500, "flat_amount": 100}, {"up_to": None, "unit_amount": 300}]
    coupon = {"id": "co_1", "object": "coupon", "duration": "forever", "percent_off": 25}
    cut = {"id": f"di_{n}", "object": "discount", "customer": f"cus_{n}", "subscription": f"sub_{n}_t", "end": None}
    cut |= {"start": stripe.T0, "source": {"type": "coupon", "coupon": "co_1"}}

    def sub(*prices: Any, **extra: Any) -> Any:
        lines = [stripe.item(each, 2, f"si_{n}_t{place}") for place, each in enumerate(prices)]
        return stripe.subscription(sub_id=f"sub_{n}_t", items=lines, customer=f"cus_{n}", **extra)

    day = stripe.DAY
    disputed = stripe.refund(f"dp_{n}", 300, 20 * day, charge=f"ch_{n}_1", payment_intent=f"pi_{n}_1")
    return [
        event("t1", "customer.subscription.created", 5, sub(priced, discounts=[f"di_{n}"])),
        event("t2", "customer.subscription.updated", 3 * day, sub(stripe.price(), priced, discounts=[f"di_{n}"])),
        event("t3", "customer.subscription.updated", 60 * day, sub(stripe.price())),
        event("t4", "price.created", 10, priced | {"tiers": tiers}),
        event("t5", "price.updated", 30, priced | {"nickname": f"Seats {n % 2}"}),
        event("t6", "coupon.created", 10, coupon),
        event("t7", "customer.discount.created", 5, cut),
        event("t8", "customer.discount.deleted", 40 * day, cut),
        event("t9", "charge.dispute.closed", 30 * day, disputed | {"object": "dispute", "status": "lost"}),
    ]


def history(tenant: Tenant, seed: int, size: int = 30, customers: int = 2) -> list[Delivery]:
    """Deliveries of one workspace: `size` from trackers and mail, and the lives of some customers in Stripe.

    Some contents compete for one key, some deliveries came again at another time, a few came in a chunk.
    """
    rng = random.Random(f"{seed}|{tenant.id}")
    teller = _Teller(tenant, rng)
    tellers = [teller.segment, teller.segment, teller.posthog, teller.resend, teller.generic, teller.imported]
    told = [rng.choice(tellers)() for _ in range(size)]
    for number in rng.sample(range(6), customers):
        told += teller.billing(number)
    for again in rng.sample(told, len(told) // 8):
        later = again.received_at + timedelta(seconds=rng.choice((-7, 0, 7, 3000)))
        told.append(replace(again, id=UUID(int=rng.getrandbits(128), version=4), received_at=later))
    told.append(_chunked(rng, [item for item in told if item.source == "segment" and item.trust == "server"][:3], told))
    return told


def _chunked(rng: random.Random, parts: Sequence[Delivery], told: list[Delivery]) -> Delivery:
    """Some of the deliveries as one chunk, in their place."""
    for part in parts:
        told.remove(part)
    body = pack(Part(part.route, part.received_at, part.body, part.headers) for part in parts)
    first = parts[0] if parts else told.pop()
    if not parts:
        return first
    latest = max(part.received_at for part in parts)
    return replace(first, id=UUID(int=rng.getrandbits(128), version=4), route="chunk", body=body, received_at=latest)


# ------------------------------------------------------------------------------------------------------- applying


def put(database: TestDatabase, deliveries: Sequence[Delivery]) -> None:
    """Store deliveries as the door does, to be claimed in this order."""
    with psycopg.connect(database.admin) as connection, connection.cursor() as cursor:
        for month in sorted({(item.received_at.year, item.received_at.month) for item in deliveries}):
            cursor.execute("SELECT partition_ensure('inbox', %s)", (NOW.replace(year=month[0], month=month[1], day=1),))
        cursor.executemany(
            "INSERT INTO inbox (id, workspace_id, received_at, source_id, source, route, trust, headers, query, body,"
            " state, attempts, run_at, facts, facts_applied, facts_duplicate, facts_quarantined)"
            " VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, 'pending', 0, %s, 0, 0, 0, 0)",
            [
                (
                    item.id,
                    item.workspace_id,
                    item.received_at,
                    item.source_id,
                    item.source,
                    item.route,
                    item.trust,
                    Jsonb(dict(item.headers)),
                    Jsonb(dict(item.query)),
                    item.body,
                    NOW - timedelta(days=1) + timedelta(seconds=position),
                )
                for position, item in enumerate(deliveries)
            ],
        )
        cursor.executemany(
            "INSERT INTO ledger_entry (id, workspace_id, ledger, source_id, hour, received, applied, duplicate,"
            " quarantined, dead, erased) VALUES (gen_random_uuid(), %s, 'delivery', %s, date_trunc('hour', %s), 1,"
            " 0, 0, 0, 0, 0)",
            [(item.workspace_id, item.source_id, item.received_at) for item in deliveries],
        )


def drain(
    database: TestDatabase,
    workspaces: Sequence[UUID],
    *,
    now: datetime = NOW,
    limit: Callable[[], int] = lambda: 500,
    workers: int = 1,
) -> None:
    """Apply everything that is due with some workers at once. Raises what any of them raised."""

    def work() -> None:
        # One round more than needed: what another worker still holds is not due for this one.
        while any(pipeline.work(database.worker, ws, now, limit=limit()) for ws in workspaces):
            pass

    with ThreadPoolExecutor(workers) as pool:
        for done in [pool.submit(work) for _ in range(workers)]:
            done.result()


def shuffled(database: TestDatabase, deliveries: Sequence[Delivery], seed: int, *, workers: int = 1) -> None:
    """Apply deliveries in a random order, in random batches, some of them twice, some of them replayed."""
    rng = random.Random(seed)
    copies = [
        replace(item, id=UUID(int=rng.getrandbits(128), version=4))
        for item in rng.sample(deliveries, len(deliveries) // 10)
    ]
    order = [*deliveries, *copies]
    rng.shuffle(order)
    workspaces = sorted({item.workspace_id for item in order})
    most = rng.choice((1, 3, 8, 40, 500)) if workers == 1 else rng.choice((3, 8, 40))
    cut = rng.randrange(len(order))
    for part in (order[:cut], order[cut:]):
        put(database, part)
        drain(database, workspaces, limit=lambda: rng.randint(1, most), workers=workers)
        for ws in workspaces:
            again = [item.id for item in rng.sample(part, len(part) // 10) if item.workspace_id == ws]
            with database.worker.transaction(ws) as session:
                inbox.replay(session, ids=again)
    drain(database, workspaces, workers=workers)


def clear(database: TestDatabase) -> None:
    """Forget everything that was delivered and derived; workspaces, sources and settings stay."""
    with psycopg.connect(database.admin) as connection:
        for table in tables(connection):
            if table not in CONFIGURED:
                connection.execute(f"DELETE FROM {table}")
    events.forget_partitions()


# --------------------------------------------------------------------------------------------------------- digest

CONFIGURED = frozenset(
    """api_key audit_log event_role feature_definition fx_rate internal_rule invitation membership plan_mapping
    saved_report segment segment_cycle segment_draft segment_forgotten segment_member segment_size segment_state segment_transition
    segment_version setting source_instance source_secret static_list static_list_member webhook_subscription
    workspace""".split()
)
"""Tables that people write, or that follow from what they wrote; not the pipeline."""

ARRIVAL: dict[str, str] = {
    "inbox": "the deliveries themselves",
    "ledger_entry": "postings; their sums are checked instead",
    "fact_reject": "names the delivery, of which there may be copies",
    "import_run": "progress of a command",
    "event_gone": "what the lake must forget of what it may have seen",
    "person_feature": "reckoned from the lake by the clock",
    "churn_model": "learnt from the lake by the clock",
}
"""Tables that depend on how things arrived, and why they may."""

ARRIVAL_COLUMNS: dict[tuple[str, str], str] = {
    ("actor", "number"): "a surrogate, in the order of arrival",
    ("actor", "tx"): "the transaction that wrote it last",
    ("event", "tx"): "the transaction that wrote it last",
    ("person", "tx"): "the transaction that wrote it last",
    ("event_key", "inbox_id"): "of two copies of a delivery either may stand",
    ("fact_conflict", "other_inbox_id"): "of two copies of a delivery either may stand",
}


def tables(connection: psycopg.Connection[Any]) -> list[str]:
    """Every table of tenants."""
    found = connection.execute(
        "SELECT c.relname FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'workspace_id'"
        " WHERE c.relkind IN ('r', 'p') AND c.relnamespace = 'public'::regnamespace ORDER BY 1"
    )
    return [name for (name,) in found]


def contents(database: TestDatabase, workspaces: Sequence[UUID]) -> dict[str, list[str]]:
    """Every derived row as text, by table, in the order of its key."""
    derived = {}
    with psycopg.connect(database.admin) as connection:
        for table in tables(connection):
            if table not in CONFIGURED and table not in ARRIVAL:
                derived[table] = list(_rows(connection, table, workspaces))
    return derived


def _rows(connection: psycopg.Connection[Any], table: str, workspaces: Sequence[UUID]) -> Iterator[str]:
    columns = [
        name
        for (name,) in connection.execute(
            "SELECT attname FROM pg_attribute WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped"
            " ORDER BY attnum",
            (table,),
        )
        if (table, name) not in ARRIVAL_COLUMNS
    ]
    listed = ", ".join(f'"{name}"' for name in columns)
    chosen = ", ".join(f"'{ws}'" for ws in workspaces)
    query = f"COPY (SELECT {listed} FROM {table} WHERE workspace_id IN ({chosen})) TO STDOUT"
    with connection.cursor() as cursor, cursor.copy(query) as copy:
        text = b"".join(bytes(block) for block in copy).decode()
    return iter(sorted(text.splitlines()))


def digest(derived: dict[str, list[str]]) -> str:
    """SHA-256 of derived contents."""
    return hashlib.sha256(orjson.dumps(derived, option=orjson.OPT_SORT_KEYS)).hexdigest()


def difference(one: dict[str, list[str]], other: dict[str, list[str]]) -> str:
    """The first rows in which two contents differ, for a person to read."""
    lines = []
    for table in one:
        missing, added = sorted(set(one[table]) - set(other[table])), sorted(set(other[table]) - set(one[table]))
        lines += [f"{table} - {row}" for row in missing[:3]] + [f"{table} + {row}" for row in added[:3]]
        if len(one[table]) != len(other[table]):
            lines.append(f"{table}: {len(one[table])} rows, then {len(other[table])}")
    return "\n".join(lines)


def books(database: TestDatabase, workspaces: Sequence[UUID]) -> None:
    """Both ledgers explain everything, nothing waits, and as many facts were applied as there are keys."""
    for ws in workspaces:
        with database.worker.transaction(ws) as session:
            balances = {balance.ledger: balance for balance in inbox.balances(session)}
            keys = session.connection().exec_driver_sql("SELECT count(*) FROM event_key").scalar_one()
        assert [balance.difference for balance in balances.values()] == [0, 0], balances
        assert (balances["delivery"].pending, balances["delivery"].dead) == (0, 0), balances
        assert balances["fact"].applied == keys, balances
