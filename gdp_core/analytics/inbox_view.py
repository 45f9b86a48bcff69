"""The Inbox page: what arrived, what became of it and why, one delivery in full, and the books that must add up.

Bodies and reasons quote what senders wrote: personal data. Who may not read raw deliveries gets neither.
"""

import zlib
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, NamedTuple
from uuid import UUID

import orjson
from sqlmodel import Session

from gdp_core.accounts.roles import Principal, authorise
from gdp_core.db import one, rows
from gdp_core.errors import NotFound

State = Literal["pending", "applied", "duplicate", "quarantined", "dead"]
STATES: tuple[State, ...] = ("pending", "applied", "duplicate", "quarantined", "dead")
PAGE = 50
_SHOWN_BYTES = 100_000
_MOST_REJECTS = 200
_GZIP = b"\x1f\x8b"


@dataclass(frozen=True, slots=True)
class InboxFilter:
    """Which deliveries. `quarantined` has those of which any item was set aside. Times: [since, until)."""

    state: State | None = None
    source_id: UUID | None = None
    since: datetime | None = None
    until: datetime | None = None

    def where(self) -> tuple[str, dict[str, Any]]:
        """SQL of constants, and what is bound."""
        parts, bound = ["true"], {}
        if self.state == "quarantined":
            parts.append("(state = 'quarantined' OR facts_quarantined > 0)")
        elif self.state:
            parts.append("state = :state")
            bound["state"] = self.state
        for name, column, operator in (
            ("source_id", "source_id", "="),
            ("since", "received_at", ">="),
            ("until", "received_at", "<"),
        ):
            value = getattr(self, name)
            if value is not None:
                parts.append(f"{column} {operator} :{name}")
                bound[name] = value
        return " AND ".join(parts), bound


class Place(NamedTuple):
    """Where a delivery lies: pages go on after it."""

    received_at: datetime
    id: UUID


@dataclass(frozen=True, slots=True)
class DeliveryRow:
    """One delivery of the list. `size` is in bytes, as received."""

    id: UUID
    received_at: datetime
    source_id: UUID
    source: str
    source_name: str | None
    route: str
    trust: str
    state: State
    attempts: int
    run_at: datetime
    facts: int
    applied: int
    duplicate: int
    aside: int
    size: int
    error: str | None

    @property
    def place(self) -> Place:
        """Where it lies."""
        return Place(self.received_at, self.id)


_COLUMNS = (
    "i.id, i.received_at, i.source_id, i.source, s.name AS source_name, i.route, i.trust, i.state, i.attempts, i.run_at,"
    " i.facts, i.facts_applied AS applied, i.facts_duplicate AS duplicate, i.facts_quarantined AS aside,"
    " octet_length(i.body) AS size, i.error"
)
_SOURCE = "LEFT JOIN source_instance s ON s.workspace_id = i.workspace_id AND s.id = i.source_id"


def read_page(
    session: Session, wanted: InboxFilter, after: Place | None = None, limit: int = PAGE
) -> list[DeliveryRow]:
    """The newest deliveries of a filter, or those after (older than) a place."""
    where, bound = wanted.where()
    if after:
        where += " AND (received_at, id) < (:after_at, :after_id)"
        bound |= {"after_at": after.received_at, "after_id": after.id}
    found = rows(
        session,
        f"SELECT {_COLUMNS} FROM (SELECT * FROM inbox WHERE {where} ORDER BY received_at DESC, id DESC LIMIT :limit) i"
        f" {_SOURCE} ORDER BY i.received_at DESC, i.id DESC",
        **bound,
        limit=limit,
    )
    return [DeliveryRow(**row._mapping) for row in found]


def count(session: Session, wanted: InboxFilter, most: int = 10_000) -> int:
    """How many deliveries a filter has, counted up to `most`."""
    where, bound = wanted.where()
    row = one(session, f"SELECT count(*) AS n FROM (SELECT FROM inbox WHERE {where} LIMIT :most) f", **bound, most=most)
    return int(row.n)


@dataclass(frozen=True, slots=True)
class RejectRow:
    """One item of a delivery that could not be used. `reason` is None for who may not read raw deliveries."""

    item: int
    code: str
    reason: str | None


@dataclass(frozen=True, slots=True)
class Body:
    """What was sent, decompressed. `text` holds at most 100,000 characters of `size` bytes."""

    text: str
    language: Literal["json", "text"]
    size: int
    is_cut: bool


@dataclass(frozen=True, slots=True)
class DeliveryDetail:
    """One delivery in full. `headers`, `query` and `body` are None for who may not read raw deliveries."""

    row: DeliveryRow
    applied_at: datetime | None
    rejects: tuple[RejectRow, ...]
    headers: dict[str, str] | None
    query: dict[str, str] | None
    body: Body | None


def read_delivery(session: Session, principal: Principal, place: Place) -> DeliveryDetail:
    """One delivery. Raises NotFound, Forbidden."""
    authorise(session, principal, "sources.read")
    in_full = principal.may("inbox.read")
    row = one(
        session,
        f"SELECT {_COLUMNS}, i.applied_at, i.headers, i.query, substring(i.body for :most) AS body FROM inbox i {_SOURCE}"
        " WHERE i.received_at = :at AND i.id = :id",
        at=place.received_at,
        id=place.id,
        most=2 * _SHOWN_BYTES if in_full else 0,
    )
    if row is None:
        raise NotFound("This delivery is not kept any more, or it belongs to another workspace.")
    values = dict(row._mapping)
    applied_at, headers, query, body = (values.pop(name) for name in ("applied_at", "headers", "query", "body"))
    rejects = rows(
        session,
        "SELECT item, code, reason FROM fact_reject WHERE inbox_id = :id ORDER BY item, id LIMIT :most",
        id=place.id,
        most=_MOST_REJECTS,
    )
    return DeliveryDetail(
        row=DeliveryRow(**values),
        applied_at=applied_at,
        rejects=tuple(RejectRow(item.item, item.code, item.reason if in_full else None) for item in rejects),
        headers=headers if in_full else None,
        query=query if in_full else None,
        body=shown(bytes(body), values["size"]) if in_full else None,
    )


def shown(body: bytes, size: int) -> Body:
    """The first part of a body as text to read: unpacked, JSON indented, never more than the cap however it unpacks."""
    plain = _unpacked(body)
    is_cut = len(plain) > _SHOWN_BYTES or size > len(body)
    if not is_cut:
        try:
            pretty = orjson.dumps(orjson.loads(plain), option=orjson.OPT_INDENT_2).decode()
            return Body(pretty[:_SHOWN_BYTES], "json", size, len(pretty) > _SHOWN_BYTES)
        except orjson.JSONDecodeError:
            pass
    text = plain[:_SHOWN_BYTES].decode("utf-8", "replace").replace("\x00", "\ufffd")
    return Body(text, "text", size, is_cut)


def _unpacked(body: bytes) -> bytes:
    if not body.startswith(_GZIP):
        return body
    try:
        return zlib.decompressobj(31).decompress(body, _SHOWN_BYTES + 1)
    except zlib.error:
        return body


def find(session: Session, delivery_id: UUID) -> Place:
    """Where a delivery lies, by its id alone. Raises NotFound."""
    row = one(session, "SELECT received_at, id FROM inbox WHERE id = :id LIMIT 1", id=delivery_id)
    if row is None:
        raise NotFound("This delivery is not kept any more, or it belongs to another workspace.")
    return Place(*row)
