"""The Data quality page: everything that makes numbers less than they could be, counted, and where to look at it.

Counts only: nothing in here is personal data. Recent means the last 30 days, by when things happened.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal
from uuid import UUID

from sqlmodel import Session

from gdp_core import inbox
from gdp_core.analytics.catalogue import read_types
from gdp_core.analytics.health import BY_HAND
from gdp_core.db import one, rows
from gdp_core.inbox import Balance

Severity = Literal["good", "info", "warn", "bad"]
RECENT = timedelta(days=30)
_LATE = timedelta(hours=24)
_SKEW = timedelta(seconds=30)  # a sender's clock this far off soon fails the five minutes a signature lasts


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at. `count` of `total` (None where there is no whole) are not as they should be."""

    kind: str
    count: int
    total: int | None
    severity: Severity
    page: str
    query: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Missing:
    """A required property that recent events of a type lack."""

    event: str
    property: str
    count: int
    total: int


@dataclass(frozen=True, slots=True)
class Conflict:
    """A property that came with several types, the most frequent first."""

    event: str
    property: str
    types: tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True)
class Completeness:
    """How many known people have a field."""

    field: str
    count: int
    total: int


@dataclass(frozen=True, slots=True)
class Timing:
    """How a source's recent events came in: usual delay, how many came a day late, how many had a wrong clock.

    `skew` is the median of what the clocks that had to be corrected were ahead (positive) or behind.
    """

    source_id: UUID
    source: str
    events: int
    delay: timedelta
    slow: timedelta
    late: int
    corrected: int
    skew: timedelta | None

    @property
    def is_skewed(self) -> bool:
        """Whether somebody should look at a sender's clock."""
        return self.skew is not None and abs(self.skew) > _SKEW and self.corrected * 20 > self.events


@dataclass(frozen=True, slots=True)
class Quality:
    """Everything at once."""

    checks: tuple[Check, ...]
    balances: tuple[Balance, ...]
    missing: tuple[Missing, ...]
    conflicts: tuple[Conflict, ...]
    completeness: tuple[Completeness, ...]
    timing: tuple[Timing, ...]


def read_quality(session: Session, now: datetime) -> Quality:
    """What there is to know of the workspace's data."""
    missing, conflicts = _missing(session, now), _conflicts(session)
    timing, balances = _timing(session, now), inbox.balances(session)
    checks = [
        _books(balances),
        *_counted(session, now),
        *_registered(session, now),
        Check("required", sum(item.count for item in missing), None, _warn(missing), "catalogue"),
        Check("types", len(conflicts), None, _warn(conflicts), "catalogue", (("drift", "several_types"),)),
        Check(
            "late",
            sum(item.late for item in timing),
            sum(item.events for item in timing),
            "info" if any(item.late for item in timing) else "good",
            "sources",
        ),
        Check(
            "skew",
            sum(item.is_skewed for item in timing),
            len(timing),
            _warn([item for item in timing if item.is_skewed]),
            "sources",
        ),
    ]
    order = {"bad": 0, "warn": 1, "info": 2, "good": 3}
    return Quality(
        tuple(sorted(checks, key=lambda item: order[item.severity])),
        tuple(balances),
        tuple(missing),
        tuple(conflicts),
        tuple(_completeness(session)),
        tuple(timing),
    )


def _warn(found: object) -> Severity:
    return "warn" if found else "good"


def _books(balances: list[Balance]) -> Check:
    difference = sum(abs(item.difference) for item in balances)
    return Check("conservation", difference, None, "bad" if difference else "good", "inbox")


def _counted(session: Session, now: datetime) -> list[Check]:
    row = one(
        session,
        """
        SELECT (SELECT count(*) FROM person WHERE NOT is_known) AS unknown, (SELECT count(*) FROM person) AS people,
            (SELECT count(*) FROM merge_review WHERE status = 'open') AS reviews,
            (SELECT count(*) FROM fact_conflict) AS conflicts,
            (SELECT count(*) FROM subscription WHERE NOT is_plan_mapped
                AND status IN ('active', 'past_due', 'trialing')) AS unmapped,
            (SELECT count(*) FROM subscription WHERE status IN ('active', 'past_due', 'trialing')) AS live,
            (SELECT count(*) FROM subscription WHERE problems <> '{}') AS problems,
            (SELECT count(*) FROM subscription) AS subscriptions,
            (SELECT count(*) FROM subscription WHERE needs_refetch) + (SELECT count(*) FROM invoice WHERE needs_refetch)
                AS refetch,
            (SELECT count(*) FROM subscription WHERE actor_id IS NULL) AS nobodys
        """,
    )
    books = one(
        session,
        "SELECT coalesce(sum(duplicate) FILTER (WHERE ledger = 'fact'), 0)::bigint AS duplicate,"
        " coalesce(sum(received) FILTER (WHERE ledger = 'fact'), 0)::bigint AS facts,"
        " coalesce(sum(quarantined) FILTER (WHERE ledger = 'fact'), 0)::bigint AS aside,"
        " coalesce(sum(dead) FILTER (WHERE ledger = 'delivery'), 0)::bigint AS dead,"
        " coalesce(sum(received) FILTER (WHERE ledger = 'delivery'), 0)::bigint AS deliveries FROM ledger_entry"
        " WHERE hour >= :since",
        since=now - RECENT,
    )
    return [
        Check("dead", books.dead, books.deliveries, "bad" if books.dead > 0 else "good", "inbox", (("state", "dead"),)),
        Check("rejects", books.aside, books.facts, _warn(books.aside), "inbox", (("state", "quarantined"),)),
        Check("duplicates", books.duplicate, books.facts, "good", "inbox", (("state", "duplicate"),)),
        Check("conflicts", row.conflicts, None, "info" if row.conflicts else "good", "inbox"),
        Check("reviews", row.reviews, None, _warn(row.reviews), "reviews"),
        Check("unknown", row.unknown, row.people, "good", "people"),
        Check("unmapped", row.unmapped, row.live, "info" if row.unmapped else "good", "settings", (("tab", "plans"),)),
        Check("problems", row.problems, row.subscriptions, _warn(row.problems), "settings", (("tab", "plans"),)),
        Check("refetch", row.refetch, None, _warn(row.refetch), "sources"),
        Check("nobodys", row.nobodys, row.subscriptions, _warn(row.nobodys), "sources"),
    ]


def _registered(session: Session, now: datetime) -> list[Check]:
    types = read_types(session, now)
    fresh = [item for item in types if "new" in item.drift]
    gone = [item for item in types if "vanished" in item.drift]
    nameless = [item for item in types if item.category is None]
    return [
        Check("new", len(fresh), len(types), "info" if fresh else "good", "catalogue", (("drift", "new"),)),
        Check("vanished", len(gone), len(types), "info" if gone else "good", "catalogue", (("drift", "vanished"),)),
        Check("uncategorised", len(nameless), len(types), "good", "catalogue", (("category", "none"),)),
    ]


def _missing(session: Session, now: datetime) -> list[Missing]:
    found = rows(
        session,
        """
        SELECT t.name, p.property, count(*) FILTER (WHERE NOT jsonb_exists(e.properties, p.property)) AS missing,
            count(*) AS total
        FROM event_type t CROSS JOIN LATERAL unnest(t.required) AS p(property)
        JOIN event e ON e.workspace_id = t.workspace_id AND e.name = t.name AND e.occurred_at >= :since
        GROUP BY 1, 2 HAVING count(*) FILTER (WHERE NOT jsonb_exists(e.properties, p.property)) > 0 ORDER BY 3 DESC, 1, 2
        """,
        since=now - RECENT,
    )
    return [Missing(*row) for row in found]


def _conflicts(session: Session) -> list[Conflict]:
    found = rows(
        session,
        "SELECT t.name, p.key, p.value -> 'types' AS types FROM event_type t, jsonb_each(t.properties) p"
        " WHERE (SELECT count(*) FROM jsonb_object_keys(p.value -> 'types')) > 1 ORDER BY t.name, p.key",
    )
    return [
        Conflict(row.name, row.key, tuple(sorted(row.types.items(), key=lambda item: (-item[1], item[0]))))
        for row in found
    ]


_FIELDS = ("email", "name", "phone", "company", "source", "signup_at", "plan_name")


def _completeness(session: Session) -> list[Completeness]:
    counted = ", ".join(f"count({field}) AS {field}" for field in _FIELDS)
    row = one(session, f"SELECT count(*) AS total, {counted} FROM person WHERE is_known AND NOT is_internal")
    return [Completeness(field, getattr(row, field), row.total) for field in _FIELDS]


def _timing(session: Session, now: datetime) -> list[Timing]:
    found = rows(
        session,
        """
        SELECT e.source_id, s.name, count(*) AS events,
            percentile_cont(0.5) WITHIN GROUP (ORDER BY e.received_at - e.occurred_at) AS delay,
            percentile_cont(0.95) WITHIN GROUP (ORDER BY e.received_at - e.occurred_at) AS slow,
            count(*) FILTER (WHERE e.received_at - e.occurred_at > :late) AS late,
            count(*) FILTER (WHERE jsonb_exists(e.metadata, 'original_at')) AS corrected,
            percentile_cont(0.5) WITHIN GROUP (ORDER BY CAST(e.metadata ->> 'original_at' AS timestamptz) - e.occurred_at)
                FILTER (WHERE jsonb_exists(e.metadata, 'original_at')) AS skew
        FROM event e JOIN source_instance s ON s.workspace_id = e.workspace_id AND s.id = e.source_id
        WHERE e.occurred_at >= :since AND e.source <> 'stripe' AND s.source <> ALL(:by_hand) GROUP BY 1, 2 ORDER BY 2
        """,
        since=now - RECENT,
        late=_LATE,
        by_hand=list(BY_HAND),
    )
    return [Timing(*row) for row in found]
