"""After a choice changed: everything that follows from it is derived again, in small steps, while facts keep coming.

A choice asks for it with `want`, in the transaction that changes it. A job calls `recompute` every few seconds; each
turn is one short transaction under the workspace's lock, so facts that arrive meanwhile are read by the new choice and
an interrupted turn is done again. What is wanted anew while it goes on starts over. The end is the state that the same
facts would have made had the choice been there from the start.

Days whose events retention has dropped keep the roles that were counted then.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, Literal, NamedTuple
from uuid import UUID, uuid4

import orjson
from sqlmodel import Session

from gdp_core import billing, identity, people, pipeline
from gdp_core.db import Database, insert, lock_key, one, rows, run
from gdp_core.event_roles import ROLES, EventRoles, read_roles
from gdp_core.identity import Limits
from gdp_core.tables.people import ActorRoleDay

Step = Literal["roles", "identity", "billing", "people"]
STEPS: tuple[Step, ...] = ("roles", "identity", "billing", "people")
"""In the order of the data flow."""

_WANTED, _PROGRESS = "recompute.wanted", "recompute.progress"
_TURNS = 10  # of one call: seconds, so that other jobs get their turn
_EVENTS, _CLUSTERS, _OWNERS, _PEOPLE = 10_000, 250, 100, 500  # of one turn: facts that arrive wait for no more


@dataclass(frozen=True, slots=True)
class Recomputing:
    """What is being derived again: since when, how many of the steps are done, and how far the running one is."""

    since: datetime
    step: Step
    steps_done: int
    steps: int
    done: int
    total: int

    @property
    def share(self) -> float:
        """How much is done, 0 to 1, taking every step to be as long as the others."""
        running = min(1.0, self.done / self.total) if self.total else 0.0
        return (self.steps_done + running) / self.steps


class _Turn(NamedTuple):
    """What one turn did: where the next one goes on (None: the step is done), and how many things."""

    cursor: str | None
    done: int


def want(session: Session, steps: Iterable[Step], now: datetime, *, roles: Iterable[str] = ()) -> None:
    """Have these steps done, and these roles given again, in the transaction that makes it necessary (gdp_web)."""
    wanted = dict.fromkeys([*steps, *(f"role {role}" for role in roles)], True)
    if not wanted:
        return
    run(
        session,
        "INSERT INTO setting (workspace_id, key, value, updated_at) VALUES (app_ws(), :key, CAST(:value AS jsonb), :now)"
        " ON CONFLICT (workspace_id, key) DO UPDATE SET updated_at = excluded.updated_at,"
        " value = excluded.value || jsonb_build_object('steps', (setting.value -> 'steps') || (excluded.value -> 'steps'))",
        key=_WANTED,
        value=orjson.dumps({"token": uuid4().hex, "at": now.isoformat(), "steps": wanted}).decode(),
        now=now,
    )


def read_recomputing(session: Session) -> Recomputing | None:
    """How far it is; None when everything follows from the choices as they are."""
    found = {
        row.key: row.value
        for row in rows(session, "SELECT key, value FROM setting WHERE key = ANY(:keys)", keys=[_WANTED, _PROGRESS])
    }
    wanted = found.get(_WANTED)
    if wanted is None:
        return None
    steps = _steps(wanted)
    at = found.get(_PROGRESS, {})
    since = datetime.fromisoformat(wanted["at"])
    if at.get("token") != wanted["token"]:
        return Recomputing(since, steps[0], 0, len(steps), 0, 0)
    return Recomputing(since, at["step"], steps.index(at["step"]), len(steps), at["done"], at["total"])


def recompute(database: Database, workspace_id: UUID, now: datetime) -> int:
    """Go on with what is wanted in a workspace, for a few turns; `database` runs as gdp_worker.

    Returns how many things were derived again: 0 when nothing is wanted.
    """
    done = 0
    for _ in range(_TURNS):
        with database.transaction(workspace_id, timeout=120) as session:
            wanted = one(session, "SELECT value FROM setting WHERE key = :key", key=_WANTED)
            if wanted is None:
                break
            run(session, "SELECT pg_advisory_xact_lock(:key)", key=lock_key(workspace_id))
            done += max(1, _go_on(session, workspace_id, wanted.value, now))
    return done


def _steps(wanted: dict[str, Any]) -> list[Step]:
    chosen = set(wanted["steps"])
    if any(name.startswith("role ") for name in chosen):
        chosen.add("roles")
    return [step for step in STEPS if step in chosen]


def _go_on(session: Session, workspace_id: UUID, wanted: dict[str, Any], now: datetime) -> int:
    steps = _steps(wanted)
    found = one(session, "SELECT value FROM setting WHERE key = :key", key=_PROGRESS)
    at = found.value if found else {}
    if at.get("token") != wanted["token"]:
        at = _start(session, wanted, steps[0])
    turn = _TAKE[at["step"]](session, workspace_id, wanted, at["cursor"], now)
    at["done"] += turn.done
    at["cursor"] = turn.cursor
    if turn.cursor is None:
        later = steps[steps.index(at["step"]) + 1 :]
        if not later:
            # A choice made during this very turn has another token and stays wanted.
            run(
                session,
                "DELETE FROM setting WHERE key = :key AND value ->> 'token' = :token",
                key=_WANTED,
                token=wanted["token"],
            )
            run(session, "DELETE FROM setting WHERE key = :key", key=_PROGRESS)
            return turn.done
        at = _start(session, wanted, later[0])
    run(
        session,
        "INSERT INTO setting (workspace_id, key, value, updated_at) VALUES (app_ws(), :key, CAST(:value AS jsonb), :now)"
        " ON CONFLICT (workspace_id, key) DO UPDATE SET value = excluded.value, updated_at = excluded.updated_at",
        key=_PROGRESS,
        value=orjson.dumps(at).decode(),
        now=now,
    )
    return turn.done


def _start(session: Session, wanted: dict[str, Any], step: Step) -> dict[str, Any]:
    if step == "roles":
        days = "SELECT coalesce(sum(events), 0)::bigint AS n FROM event_type_day WHERE name = ANY(:names)"
        total = one(session, days, names=_names(session, wanted)).n
    else:
        total = one(session, _TOTAL[step]).n
    return {"token": wanted["token"], "step": step, "cursor": "", "done": 0, "total": total}


# -------------------------------------------------------------------------------------------------------- steps


def _roles(session: Session, workspace_id: UUID, wanted: dict[str, Any], cursor: str, _now: datetime) -> _Turn:
    """Count again, over some days, which events play the wanted roles."""
    since = date.fromisoformat(cursor) if cursor else _oldest_day(session)
    if since is None:
        return _Turn(None, 0)
    wanted_roles = _wanted_roles(wanted)
    chosen = read_roles(session)
    names = _names(session, wanted)
    until = _until(session, names, since)
    run(
        session,
        "DELETE FROM actor_role_day WHERE role = ANY(:roles) AND day >= :since"
        " AND day < coalesce(CAST(:until AS date), 'infinity')",
        roles=wanted_roles,
        since=since,
        until=until,
    )
    events = rows(
        session,
        "SELECT actor_id, name, occurred_at, properties FROM event WHERE name = ANY(:names)"
        " AND occurred_at >= :since AND (CAST(:until AS timestamptz) IS NULL OR occurred_at < :until)"
        " AND actor_id IS NOT NULL",
        names=names,
        since=_midnight(since),
        until=_midnight(until) if until else None,
    )
    insert(session, ActorRoleDay, _count(workspace_id, events, chosen, frozenset(wanted_roles)))
    return _Turn(until.isoformat() if until else None, len(events))


def _count(
    workspace_id: UUID, events: Iterable[Any], chosen: EventRoles, wanted: frozenset[str]
) -> list[dict[str, Any]]:
    counted: dict[tuple[UUID, str, date], dict[str, Any]] = {}
    for event in events:
        at = event.occurred_at
        day = at.astimezone(UTC).date()
        for role in chosen.of(event.name, event.properties):
            if role not in wanted:
                continue
            row = counted.setdefault(
                (event.actor_id, role, day),
                {"actor_id": event.actor_id, "role": role, "workspace_id": workspace_id, "day": day}
                | {"events": 0, "first_at": at, "last_at": at},
            )
            row["events"] += 1
            row["first_at"], row["last_at"] = min(row["first_at"], at), max(row["last_at"], at)
    return list(counted.values())


def _wanted_roles(wanted: dict[str, Any]) -> list[str]:
    return [role for role in ROLES if f"role {role}" in wanted["steps"]]


def _names(session: Session, wanted: dict[str, Any]) -> list[str]:
    """The names of the events that may play the wanted roles now."""
    roles = set(_wanted_roles(wanted))
    return sorted(
        name for name, parts in read_roles(session).by_name.items() if roles.intersection(role for role, _ in parts)
    )


def _oldest_day(session: Session) -> date | None:
    """The first day whose events are still there."""
    found = one(
        session,
        "SELECT d.day FROM event_type_day d WHERE d.events > 0 AND EXISTS (SELECT FROM event e"
        " WHERE e.workspace_id = app_ws() AND e.name = d.name AND e.occurred_at >= d.day::timestamp AT TIME ZONE 'UTC'"
        " AND e.occurred_at < (d.day + 1)::timestamp AT TIME ZONE 'UTC') ORDER BY d.day LIMIT 1",
    )
    return found.day if found else None


def _until(session: Session, names: list[str], since: date) -> date | None:
    """The day before which lie about as many events as one turn takes; None when fewer are left."""
    found = one(
        session,
        "SELECT day FROM (SELECT day, sum(sum(events)) OVER (ORDER BY day) AS events FROM event_type_day"
        " WHERE name = ANY(:names) AND day >= :since GROUP BY day) d WHERE events >= :most ORDER BY day LIMIT 1",
        names=names,
        since=since,
        most=_EVENTS,
    )
    return found.day + timedelta(days=1) if found else None


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)


def _identity(session: Session, workspace_id: UUID, _wanted: dict[str, Any], cursor: str, now: datetime) -> _Turn:
    """Resolve some groups of linked identifiers again."""
    found = rows(
        session,
        "SELECT DISTINCT cluster_id FROM actor WHERE cluster_id > :after AND id <> cluster_id ORDER BY cluster_id LIMIT :most",
        after=UUID(cursor) if cursor else UUID(int=0),
        most=_CLUSTERS,
    )
    clusters = [row.cluster_id for row in found]
    touched = identity.recompute(session, workspace_id, clusters, read_limits(session), now)
    people.refresh(session, workspace_id, touched, now)
    return _Turn(str(clusters[-1]) if len(clusters) == _CLUSTERS else None, len(clusters))


def read_limits(session: Session) -> Limits:
    """How many identifiers a person may have in this workspace."""
    chosen = one(session, "SELECT value FROM setting WHERE key = 'identity.limits'")
    return Limits(**chosen.value) if chosen else Limits()


def _billing(session: Session, workspace_id: UUID, _wanted: dict[str, Any], cursor: str, now: datetime) -> _Turn:
    """Derive the billing of some customers again, with its events and persons."""
    after = (UUID(cursor[:36]), cursor[37:]) if cursor else (UUID(int=0), "")
    owners = sorted(billing.all_owners(session))
    due = [owner for owner in owners if owner > after][:_OWNERS]
    pipeline.rederive(session, workspace_id, due, now)
    return _Turn("{} {}".format(*due[-1]) if len(due) == _OWNERS else None, len(due))


def _people(session: Session, workspace_id: UUID, _wanted: dict[str, Any], cursor: str, now: datetime) -> _Turn:
    """Refresh some persons."""
    found = rows(
        session,
        "SELECT DISTINCT person_id FROM actor WHERE person_id > :after ORDER BY person_id LIMIT :most",
        after=UUID(cursor) if cursor else UUID(int=0),
        most=_PEOPLE,
    )
    persons = [row.person_id for row in found]
    people.refresh(session, workspace_id, persons, now)
    return _Turn(str(persons[-1]) if len(persons) == _PEOPLE else None, len(persons))


_TAKE: dict[Step, Callable[[Session, UUID, dict[str, Any], str, datetime], _Turn]] = {
    "roles": _roles,
    "identity": _identity,
    "billing": _billing,
    "people": _people,
}
_TOTAL: dict[Step, str] = {
    "identity": "SELECT count(DISTINCT cluster_id) AS n FROM actor WHERE id <> cluster_id",
    "billing": "SELECT count(DISTINCT (source_id, owner)) AS n FROM object_state WHERE owner IS NOT NULL"
    " AND kind LIKE 'stripe.%'",
    "people": "SELECT count(*) AS n FROM person",
}
