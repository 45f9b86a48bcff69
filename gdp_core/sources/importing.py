"""Imported files: one delivery is one chunk of rows that the importer has mapped already.

The body is JSON by columns: `key`, `at` (microseconds since 1970 UTC, null where the file has no time), `user`,
`anonymous`, `email`, `phone`, `event`, `value` (micros), `currency`; `traits` and `properties` are such columns by
name; `rejects` are the rows that state nothing usable as [line, key, code, reason]. A column is a list with one cell
per row, or one text or null that holds for every row. Mapping, parsing and hashing happened before; nothing here knows
files.
"""

from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from itertools import repeat
from typing import Any

from gdp_core.sources import people, web
from gdp_core.sources.base import NoConfig, Source
from gdp_core.sources.facts import Delivery, EventFact, Fact, Identifier, Json, Reject, fingerprint
from gdp_core.sources.payload import Unusable, parse, unreadable

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_PAGE = ("url", "referrer", "user_agent", "ip")
_FIELDS = frozenset((*_PAGE, *web.CAMPAIGN_NAMES, "session_id", "device_id"))
"""Properties that are, or tell, fields of the event."""

SCALARS = ("key", "at", "user", "anonymous", "email", "phone", "event", "value", "currency")


def normalise(delivery: Delivery) -> list[Fact | Reject]:
    """The facts of one chunk in the order of its rows, then its rejects."""
    try:
        chunk = parse(delivery.body)
        rejects = [Reject(key, code, reason, line) for line, key, code, reason in chunk["rejects"]]
        return [*_facts(chunk, delivery.received_at), *rejects]
    except Unusable as refusal:
        return unreadable(delivery, refusal)
    except (KeyError, IndexError, TypeError, ValueError, AttributeError, OverflowError):
        return unreadable(delivery, Unusable("unreadable", "The body is no chunk of a file; import the file again."))


def _facts(chunk: Mapping[str, Any], received_at: datetime) -> Iterator[Fact]:
    metadata = {"source": chunk["source"]} if chunk["source"] else {}
    length = chunk["rows"]
    fields = [name for name in chunk["properties"] if name in _FIELDS]
    others = [name for name in chunk["properties"] if name not in _FIELDS]
    rows = zip(
        *(_column(chunk[name], length) for name in SCALARS),
        _dicts(chunk["traits"], list(chunk["traits"]), length),
        _dicts(chunk["properties"], others, length),
        _dicts(chunk["properties"], fields, length),
        strict=True,
    )
    for row in rows:
        key, at, user, anonymous, email, phone, name, value, currency, traits, properties, touch = row
        actors = _actors(user, anonymous, email, phone)
        stated = received_at if at is None else _EPOCH + timedelta(microseconds=at)
        occurred = _not_ahead(stated, received_at)
        yield Fact(
            key,
            occurred,
            actors,
            fingerprint(row[1:]),
            None if occurred is stated else stated,
            None if name is None else _event(name, value, currency, properties, touch, metadata),
            people.joined("server", actors) if len(actors) > 1 else (),
            people.traits(actors[0], {**traits, "email": email, "phone": phone}) if traits or email or phone else (),
        )


def _event(
    name: str,
    value: int | None,
    currency: str | None,
    properties: dict[str, Json],
    touch: Mapping[str, Json],
    metadata: Mapping[str, Json],
) -> EventFact:
    kind, money = web.event_type(name, value), None if value is None else currency
    if not touch:
        return EventFact(name, kind, None, "import", properties, metadata, value_micros=value, currency=money)
    columns, clicks = web.web(**{field: touch.get(field) for field in _PAGE}, stated=touch)
    return EventFact(
        name,
        kind,
        channel="import",
        properties={**properties, **clicks},
        metadata=metadata,
        session_id=web.text(touch.get("session_id")),
        device_id=web.text(touch.get("device_id")),
        value_micros=value,
        currency=money,
        **columns,
    )


def _not_ahead(stated: datetime, received_at: datetime) -> datetime:
    """A row of the future happened, at the latest, about when it was imported: the rule of `web.when`."""
    if stated <= received_at + web.AHEAD:
        return stated
    return received_at if stated > received_at + web.FAR_AHEAD else received_at + web.AHEAD


def _column(cells: Json, length: int) -> Iterable[Json]:
    return cells if isinstance(cells, list) else repeat(cells, length)


def _dicts(columns: Mapping[str, Json], names: list[str], length: int) -> Iterable[dict[str, Json]]:
    """One dict per row of the cells that are there."""
    if not names:
        return ({} for _ in range(length))
    rows = zip(*(_column(columns[name], length) for name in names), strict=True)
    return ({name: cell for name, cell in zip(names, row, strict=True) if cell is not None} for row in rows)


def _actors(user: str | None, anonymous: str | None, email: str | None, phone: str | None) -> tuple[Identifier, ...]:
    """Who did it first. A phone without a country says nothing of a person beyond the row: it is a trait alone."""
    actors = []
    if user is not None:
        actors.append(Identifier("user", user))
    if anonymous is not None:
        actors.append(Identifier("anonymous", anonymous))
    if email is not None:
        actors.append(Identifier("email", email))
    if phone is not None and phone[0] == "+":
        actors.append(Identifier("phone", phone))
    return tuple(actors)


IMPORT = Source(
    key="import",
    title="File import",
    summary="People and events from CSV, TSV, JSON lines or Parquet, once or again and again without duplicates.",
    kind="file",
    config=NoConfig,
    rank=5,
    normalise=normalise,
    guide="""\
Look first, then import. Nothing is written with `--dry-run`; importing the same file again changes nothing.

```sh
python -m jobs import orders.csv --workspace SLUG --dry-run
python -m jobs import orders.csv --workspace SLUG \\
    --person customer_id --event =order --time created_at --timezone Europe/London \\
    --value "quantity * unit_price" --currency =GBP --property '*'
```

Rows that cannot be used are written to a rejects file beside the import, with their line and the reason. Imports never
fire automations.
""",
)
