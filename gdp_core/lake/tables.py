"""The lake's tables of a workspace, and the one query that says what a row of each is, asked of Postgres.

An event is written once and replaced only with its row in Postgres. Actors and people are appended whenever they change;
the last row of a number counts.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from uuid import UUID

from gdp_core.sources import SOURCES


@dataclass(frozen=True, slots=True)
class Table:
    """A lake table: its columns with DuckDB's types, and Postgres's text for them over the rows `r` that changed."""

    name: str
    columns: Mapping[str, tuple[str, str]]  # name -> (type, expression)
    origin: str  # FROM and joins
    key: str  # the column by which a row is found again
    actor: str  # the column that says whose it is

    @property
    def definition(self) -> str:
        """For CREATE TABLE."""
        return ", ".join(f'"{name}" {kind}' for name, (kind, _) in self.columns.items())

    @property
    def names(self) -> str:
        """The columns, in order."""
        return ", ".join(f'"{name}"' for name in self.columns)

    def changed(self, since: int, until: int) -> str:
        """The query of what transactions since <= tx < until left, for Postgres."""
        selected = ", ".join(f'{expression} AS "{name}"' for name, (_, expression) in self.columns.items())
        return (
            f"SELECT {selected} FROM {self.origin} WHERE r.workspace_id = app_ws()"
            f" AND r.tx >= '{int(since)}'::xid8 AND r.tx < '{int(until)}'::xid8"
        )


def _utc(column: str) -> tuple[str, str]:
    """Instants are UTC without saying so: DuckDB's zoned type needs an extension to do anything with it."""
    return "TIMESTAMP", f"(r.{column} AT TIME ZONE 'UTC')"


_RANKS = " ".join(f"WHEN '{found.key}' THEN {found.rank}" for found in SOURCES)
_TX = ("BIGINT", "r.tx::text::bigint")
_EVENT_TEXTS = (
    "name type category source session_id device_id ip user_agent referrer url utm_source utm_medium utm_campaign"
    " utm_term utm_content gclid fbclid ttclid"
).split()
EVENT = Table(
    "event",
    {
        "id": ("UUID", "r.id"),
        "actor": ("BIGINT", "a.number"),
        "occurred_at": _utc("occurred_at"),
        "rank": ("SMALLINT", f"(CASE s.source {_RANKS} ELSE 0 END)::smallint"),
        **{name: ("VARCHAR", f"r.{name}") for name in _EVENT_TEXTS},
        "value_micros": ("BIGINT", "r.value_micros"),
        "currency": ("VARCHAR", "r.currency"),
        "is_machine": ("BOOLEAN", "r.is_machine"),
        "is_weak": ("BOOLEAN", "jsonb_exists(r.metadata, 'weak')"),
        "properties": ("VARCHAR", "r.properties::text"),
        "received_at": _utc("received_at"),
        "applied_at": _utc("applied_at"),
        "tx": _TX,
    },
    "event r LEFT JOIN actor a ON a.workspace_id = r.workspace_id AND a.id = r.actor_id"
    " LEFT JOIN source_instance s ON s.workspace_id = r.workspace_id AND s.id = r.source_id",
    key="id",
    actor="actor",
)
ACTOR = Table(
    "actor",
    {"number": ("BIGINT", "r.number"), "person": ("BIGINT", "p.number"), "tx": _TX},
    "actor r JOIN actor p ON p.workspace_id = r.workspace_id AND p.id = r.person_id",
    key="number",
    actor="number",
)
_PERSON_TEXTS = (
    "stage status source medium campaign cohort plan_name subscription_status currency company industry email phone"
    " first_name last_name name"
).split()
_PERSON_NUMBERS = (
    "identifiers active_days core_actions total_events total_spent_micros lifetime_value_micros mrr_micros"
).split()
_PERSON_INSTANTS = (
    "first_seen_at last_seen_at first_action_at last_action_at signup_at marketing_qualified_at trial_started_at"
    " subscribed_at churned_at subscription_started_at subscription_ends_at"
).split()
PERSON = Table(
    "person",
    {
        "number": ("BIGINT", "a.number"),
        "id": ("UUID", "r.id"),
        "is_internal": ("BOOLEAN", "r.is_internal"),
        "is_known": ("BOOLEAN", "r.is_known"),
        **{name: ("VARCHAR", f"r.{name}") for name in _PERSON_TEXTS},
        **{name: ("BIGINT", f"r.{name}::bigint") for name in _PERSON_NUMBERS},
        **{name: _utc(name) for name in _PERSON_INSTANTS},
        "tags": ("VARCHAR", "to_jsonb(r.tags)::text"),
        "traits": ("VARCHAR", "r.metadata::text"),
        "tx": _TX,
    },
    "person r JOIN actor a ON a.workspace_id = r.workspace_id AND a.id = r.id",
    key="number",
    actor="number",
)
TABLES = (EVENT, ACTOR, PERSON)

EVENT_FIELDS = frozenset(_EVENT_TEXTS) - {"name"} | {"value_micros", "currency"}
"""Columns of events a report may filter and break down by; any other field is a property."""

PERSON_FIELDS = (
    frozenset(_PERSON_TEXTS) | frozenset(_PERSON_NUMBERS) | frozenset(_PERSON_INSTANTS) | {"is_known", "tags"}
)
"""Columns of people; any other field is a trait."""

PERSON_WHOLE = frozenset(_PERSON_NUMBERS) | frozenset(_PERSON_INSTANTS)
"""Columns of people that hold whole numbers, or instants."""


def schema_of(workspace_id: UUID) -> str:
    """The lake's schema of a workspace, as SQL names it."""
    return f"lake.w_{workspace_id.hex}"


def current(workspace_id: UUID, table: Table, version: int | None = None) -> str:
    """A query of a table's rows as they are now or were at a version of the lake.

    Of several rows of a number it is the last. A person whose row was written before their own actor's is one no more:
    who stops being one leaves a row here, and their actor is written again.
    """
    schema = schema_of(workspace_id)
    then = "" if version is None else f" AT (VERSION => {int(version)})"
    if table is EVENT:
        return f"SELECT * FROM {schema}.event{then}"
    rows = f"{schema}.{table.name}{then}"
    latest = f"SELECT * FROM {rows} QUALIFY row_number() OVER (PARTITION BY number ORDER BY tx DESC) = 1"
    if table is ACTOR:
        return latest
    actors = f"SELECT number AS n, person, tx AS moved FROM ({current(workspace_id, ACTOR, version)})"
    return (
        f"SELECT p.* FROM ({latest}) p JOIN ({actors}) a ON a.n = p.number AND a.person = p.number AND a.moved <= p.tx"
    )


def written(workspace_id: UUID, version: int, since: int) -> str:
    """A query of the last row of each number that a transaction from `since` on wrote into the table of people."""
    rows = f"{schema_of(workspace_id)}.{PERSON.name} AT (VERSION => {int(version)})"
    return f"SELECT * FROM {rows} WHERE tx >= {int(since)} QUALIFY row_number() OVER (PARTITION BY number ORDER BY tx DESC) = 1"
