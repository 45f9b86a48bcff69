"""Many requests in one inbox row: what backfills and the demo store, so that their volume costs few rows.

A chunk is a delivery of route "chunk" whose body lists the requests it stands for; each is read by the same source as
if it had come alone. Nothing else knows chunks.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

import orjson

from gdp_core.sources.facts import Delivery

ROUTE = "chunk"


@dataclass(frozen=True, slots=True)
class Part:
    """One request of a chunk."""

    route: str
    received_at: datetime
    body: bytes  # UTF-8
    headers: Mapping[str, str] = field(default_factory=dict)


def pack(parts: Iterable[Part]) -> bytes:
    """The body of a chunk."""
    return orjson.dumps(
        [[part.route, part.received_at.isoformat(), dict(part.headers), part.body.decode()] for part in parts]
    )


def unpack(delivery: Delivery) -> Iterator[Delivery]:
    """The requests a delivery stands for: itself, or the parts of a chunk under the chunk's id."""
    if delivery.route != ROUTE:
        yield delivery
        return
    for route, received_at, headers, body in orjson.loads(delivery.body):
        yield replace(
            delivery,
            route=route,
            received_at=datetime.fromisoformat(received_at),
            headers=headers,
            body=body.encode(),
        )
