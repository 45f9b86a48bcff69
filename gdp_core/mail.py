"""E-mails and what became of them, derived from the states of the provider's objects.

An e-mail is recomputed from all its states, so they may come in any order. Opens and clicks that no person made are
told by their user agent, or by coming before the delivery or within two seconds of it, as scanners do. Addresses that
bounced for good or complained are suppressed; a suppression is a keyed digest, so that it can outlive its person.
"""

from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from sqlmodel import Session

from gdp_core import vault
from gdp_core.db import insert, rows, run
from gdp_core.events import NewEvent, Placed, event_id
from gdp_core.identity import actor_id
from gdp_core.lost import LostState
from gdp_core.sources.facts import EventFact
from gdp_core.sources.resend import contact, recipients
from gdp_core.tables.mail import Consent, EmailEvent, EmailMessage
from gdp_core.words import fold

_TOO_FAST = timedelta(seconds=2)
_NEVER = datetime(1970, 1, 1, tzinfo=UTC)  # since when to stop, of an address that was only ever lifted
_RANK = "scheduled sent delivery_delayed delivered opened clicked failed suppressed bounced complained received".split()
_REPLACE_MESSAGE = (
    "actor_id sender recipient subject tags campaign segment_id funnel status sent_at delivered_at"
    " opened_at clicked_at bounced_at complained_at"
).split()


@dataclass(slots=True)
class Derived:
    """What the pipeline must know: actors whose rows changed, which open and click events were machines', and the
    events of the contacts (source, id) that were derived."""

    actors: set[UUID] = field(default_factory=set)
    machine: list[tuple[Placed, bool]] = field(default_factory=list)
    owners: list[tuple[UUID, str]] = field(default_factory=list)
    events: list[tuple[str, NewEvent]] = field(default_factory=list)


def refresh(
    session: Session,
    workspace_id: UUID,
    objects: Collection[tuple[UUID, str, str]],
    lost: Sequence[LostState] = (),
) -> Derived:
    """Derive e-mails, consents and suppressions of the touched objects (source, kind, object id).

    `lost` are versions that stand no more; what only they had said is undone first.
    """
    derived = Derived()
    wanted = {item for item in objects if item[1].startswith("resend.")}
    gone = [state for state in lost if state.kind.startswith("resend.")]
    if gone:
        wanted |= {state.object for state in gone} | _undo(session, workspace_id, gone)
    if not wanted:
        return derived
    states: dict[tuple[UUID, str, str], list[Any]] = defaultdict(list)
    for row in rows(
        session,
        "SELECT s.source_id, s.kind, s.object_id, s.source_event_id, s.occurred_at, s.data, s.applied_at FROM"
        " unnest(CAST(:sources AS uuid[]), CAST(:kinds AS text[]), CAST(:ids AS text[])) AS w(source_id, kind, id)"
        " JOIN object_state s ON s.workspace_id = app_ws() AND s.source_id = w.source_id AND s.kind = w.kind"
        ' AND s.object_id = w.id ORDER BY s.occurred_at, s.source_event_id COLLATE "C"',
        sources=[item[0] for item in wanted],
        kinds=[item[1] for item in wanted],
        ids=[item[2] for item in wanted],
    ):
        states[row.source_id, row.kind, row.object_id].append(row)
    derived.owners = sorted((source_id, object_id) for source_id, kind, object_id in wanted if kind == "resend.contact")
    messages, mail_events, stops, consents = [], [], [], []
    for (source_id, kind, object_id), versions in sorted(states.items()):
        if kind == "resend.email":
            message, happened = _email(workspace_id, source_id, object_id, versions)
            messages.append(message)
            mail_events += happened
            derived.actors |= {message["actor_id"]} - {None}
            derived.machine += [
                (
                    Placed(event_id(source_id, item["source_event_id"]), item["occurred_at"]),
                    item["is_machine"],
                )
                for item in happened
                if item["event_type"] in {"opened", "clicked"}
            ]
            stops += _stops_of_email(versions)
        elif kind == "resend.contact":
            consents += _consents(workspace_id, versions)
            derived.events += [(object_id, event) for event in _unsubscriptions(workspace_id, source_id, versions)]
        elif kind == "resend.suppression":
            stops += _stops_of_list(versions)
    updates = ", ".join(f"{name} = excluded.{name}" for name in _REPLACE_MESSAGE)
    insert(session, EmailMessage, messages, f"ON CONFLICT (source_id, resend_id, workspace_id) DO UPDATE SET {updates}")
    insert(
        session,
        EmailEvent,
        mail_events,
        "ON CONFLICT (source_id, source_event_id, workspace_id) DO UPDATE SET is_machine = excluded.is_machine",
    )
    _write_consents(session, consents)
    _write_stops(session, workspace_id, stops)
    if gone:
        run(session, "DELETE FROM suppression WHERE since = :never AND lifted_at IS NULL", never=_NEVER)
    return derived


def _undo(session: Session, workspace_id: UUID, gone: Sequence[LostState]) -> set[tuple[UUID, str, str]]:
    """Delete what lost versions had said. Returns the objects whose other versions may say it too."""
    sources = [state.source_id for state in gone]
    keys = [state.source_event_id for state in gone]
    for table in ("email_event", "consent"):
        same_source = " AND t.source_id = old.source_id" if table == "email_event" else ""
        run(
            session,
            f"DELETE FROM {table} t USING unnest(CAST(:sources AS uuid[]), CAST(:keys AS text[]))"
            f" AS old(source_id, key) WHERE t.source_event_id = old.key{same_source}",
            sources=sources,
            keys=keys,
        )
    run(
        session,
        "DELETE FROM email_message m USING unnest(CAST(:sources AS uuid[]), CAST(:ids AS text[])) AS old(source_id, id)"
        " WHERE m.source_id = old.source_id AND m.resend_id = old.id",
        sources=sources,
        ids=[state.object_id for state in gone],
    )
    lists = [state for state in gone if state.kind == "resend.suppression"]
    lifted = [stop for stop in _stops_of_list(lists) if not stop.reason]
    run(
        session,
        "UPDATE suppression SET reason = 'manual', since = :never, source_event_id = '' WHERE source_event_id = ANY(:keys)",
        never=_NEVER,
        keys=keys,
    )
    run(
        session,
        "UPDATE suppression SET lifted_at = NULL WHERE digest = ANY(:digests)",
        digests=[vault.digest(workspace_id, _bare(stop.address)) for stop in lifted],
    )
    others = rows(
        session,
        "SELECT DISTINCT source_id, kind, object_id FROM object_state WHERE kind IN ('resend.contact',"
        " 'resend.suppression') OR (kind = 'resend.email' AND data ->> 'type' IN ('email.bounced', 'email.complained'))",
    )
    return {(row.source_id, row.kind, row.object_id) for row in others}


def is_suppressed(session: Session, workspace_id: UUID, address: str) -> bool:
    """Whether an e-mail address must not be written to."""
    return bool(
        rows(
            session,
            "SELECT 1 FROM suppression WHERE digest = :digest AND channel = 'email'"
            " AND (lifted_at IS NULL OR since > lifted_at)",
            digest=vault.digest(workspace_id, address.strip().lower()),
        )
    )


@dataclass(frozen=True, slots=True)
class Stopped:
    """A person, by lasting number, one of whose addresses must not be written to; `lifted_at` counts when it is later."""

    number: int
    reason: str
    since: datetime
    lifted_at: datetime | None


def read_stopped(session: Session) -> list[Stopped]:
    """Who has an address that was ever suppressed: of their identifiers, or the one they say is theirs.

    Those of an address that was erased are found only by `is_suppressed`.
    """
    stops = rows(session, "SELECT address, reason, since, lifted_at FROM suppression WHERE address IS NOT NULL")
    found = rows(
        session,
        "SELECT a.number, s.place FROM unnest(CAST(:tokens AS text[])) WITH ORDINALITY AS s(token, place)"
        " JOIN person_token t ON t.workspace_id = app_ws() AND t.token = s.token"
        " JOIN actor a ON a.workspace_id = t.workspace_id AND a.id = t.person_id ORDER BY 1, 2",
        tokens=[fold(stop.address)[:200] for stop in stops],
    )
    return [Stopped(row.number, *stops[row.place - 1][1:]) for row in found]


def _email(
    workspace_id: UUID, source_id: UUID, resend_id: str, versions: Sequence[Any]
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    happened = _happened(workspace_id, source_id, resend_id, versions)
    first: dict[str, datetime] = {}
    for item in happened:
        if not item["is_machine"]:
            first.setdefault(item["event_type"], item["occurred_at"])
    newest = versions[-1].data
    tags: dict[str, Any] = {}
    for version in versions:
        tags |= version.data.get("tags") or {}
    who = recipients(newest["type"], {**newest, "tags": tags})
    to = newest.get("to")
    message = {
        "source_id": source_id,
        "resend_id": resend_id,
        "workspace_id": workspace_id,
        "actor_id": actor_id(workspace_id, who[0]) if who else None,
        "sender": newest.get("from"),
        "recipient": ", ".join(map(str, to)) if isinstance(to, list) else to,
        "subject": newest.get("subject"),
        "tags": tags,
        "campaign": tags.get("campaign") or tags.get("campaign_id"),
        "segment_id": tags.get("segment_id"),
        "funnel": tags.get("funnel"),
        "status": max((_told(item) for item in happened), key=_progress),
        "sent_at": first.get("sent") or _instant(newest.get("email_created_at")) or versions[0].occurred_at,
        **{f"{name}_at": first.get(name) for name in ("delivered", "opened", "clicked", "bounced", "complained")},
    }
    return message, happened


def _happened(workspace_id: UUID, source_id: UUID, resend_id: str, versions: Sequence[Any]) -> list[dict[str, Any]]:
    delivered = min((v.occurred_at for v in versions if v.data["type"] == "email.delivered"), default=None)
    events = []
    for version in versions:
        data, name = version.data, version.data["type"].removeprefix("email.")
        click = data.get("click") if isinstance(data.get("click"), dict) else {}
        fast = delivered is not None and version.occurred_at < delivered + _TOO_FAST
        events.append(
            {
                "source_id": source_id,
                "source_event_id": version.source_event_id,
                "workspace_id": workspace_id,
                "resend_id": resend_id,
                "event_type": name,
                "occurred_at": version.occurred_at,
                "clicked_url": click.get("link"),
                "user_agent": click.get("userAgent"),
                "ip": click.get("ipAddress"),  # its network: no whole address was kept
                "is_machine": name in {"opened", "clicked"} and (bool(data.get("is_machine")) or fast),
                "detail": _detail(data),
            }
        )
    return events


def _told(item: dict[str, Any]) -> str:
    """How far something shows the e-mail to have come: what a scanner opened was delivered, no more."""
    return "delivered" if item["is_machine"] else str(item["event_type"])


def _progress(name: str) -> int:
    return _RANK.index(name) if name in _RANK else -1


def _detail(data: dict[str, Any]) -> str | None:
    for part in ("bounce", "failed", "suppressed"):
        value = data.get(part)
        if isinstance(value, dict):
            words = [str(value[name]) for name in ("type", "subType", "reason", "message") if value.get(name)]
            return " · ".join(words)[:300]
    return None


def _instant(value: Any) -> datetime | None:
    try:
        parsed = datetime.fromisoformat(str(value))
    except ValueError:
        return None
    return parsed if parsed.tzinfo else None


# ------------------------------------------------------------------------------------- who must not be written to


@dataclass(frozen=True, slots=True)
class _Stop:
    """An address to stop for, or (reason None) to write to again."""

    address: str
    reason: str | None
    at: datetime
    source_event_id: str


def _stops_of_email(versions: Sequence[Any]) -> list[_Stop]:
    stops = []
    for version in versions:
        data = version.data
        bounce = data.get("bounce") if isinstance(data.get("bounce"), dict) else {}
        reason = None
        if data["type"] == "email.bounced" and bounce.get("type") == "Permanent":
            reason = "bounce"
        elif data["type"] == "email.complained":
            reason = "complaint"
        to = data.get("to") if isinstance(data.get("to"), list) else [data.get("to")]
        if reason and len(to) == 1 and to[0]:  # of several recipients nobody knows which one it was
            stops.append(_Stop(str(to[0]), reason, version.occurred_at, version.source_event_id))
    return stops


def _stops_of_list(versions: Sequence[Any]) -> list[_Stop]:
    stops = []
    for version in versions:
        address = version.data.get("email")
        if address:
            origin = str(version.data.get("origin"))
            reason = origin if origin in {"bounce", "complaint"} else "manual"
            added = version.data["type"] == "suppression.added"
            stops.append(_Stop(str(address), reason if added else None, version.occurred_at, version.source_event_id))
    return stops


def _write_stops(session: Session, workspace_id: UUID, stops: Sequence[_Stop]) -> None:
    for stop in sorted(stops, key=lambda item: (item.at, item.source_event_id)):
        address = _bare(stop.address)
        value = {
            "digest": vault.digest(workspace_id, address),
            "ws": workspace_id,
            "address": address,
            "at": stop.at,
            "reason": stop.reason,
            "event": stop.source_event_id,
        }
        _upsert_stop(session, value)


def _upsert_stop(session: Session, value: dict[str, Any]) -> None:
    """A last-writer-wins register for stopping and one for lifting; both only move forward, so order is no matter."""
    if value["reason"]:
        rows(
            session,
            "INSERT INTO suppression (digest, channel, workspace_id, reason, since, address, source_event_id)"
            " VALUES (:digest, 'email', :ws, :reason, :at, :address, :event)"
            " ON CONFLICT (digest, channel, workspace_id) DO UPDATE SET reason = excluded.reason, since = excluded.since,"
            " source_event_id = excluded.source_event_id WHERE (suppression.since, suppression.source_event_id"
            ' COLLATE "C") < (excluded.since, excluded.source_event_id COLLATE "C") RETURNING 1',
            **value,
        )
    else:
        rows(
            session,
            "INSERT INTO suppression (digest, channel, workspace_id, reason, since, lifted_at, address, source_event_id)"
            " VALUES (:digest, 'email', :ws, 'manual', :never, :at, :address, '')"
            " ON CONFLICT (digest, channel, workspace_id) DO UPDATE SET"
            " lifted_at = greatest(suppression.lifted_at, excluded.lifted_at) RETURNING 1",
            never=_NEVER,
            **{name: item for name, item in value.items() if name not in {"reason", "event"}},
        )


def _bare(address: str) -> str:
    inner = address.rpartition("<")[2].partition(">")[0] if "<" in address else address
    return inner.strip().lower()


# --------------------------------------------------------------------------------------------------------- consent


def _consents(workspace_id: UUID, versions: Sequence[Any]) -> list[dict[str, Any]]:
    choices = []
    for version in versions:
        data = version.data
        address = data.get("email")
        topics = data.get("topics") if isinstance(data.get("topics"), list) else []
        stated = [(str(t.get("id")), t.get("subscription") == "opt_in") for t in topics if isinstance(t, dict)]
        if isinstance(data.get("unsubscribed"), bool):
            stated.append(("all", not data["unsubscribed"]))
        who = recipients("contact", {"to": address}) if address else ()
        if who:
            choices += [
                {
                    "actor_id": actor_id(workspace_id, who[0]),
                    "channel": "email",
                    "topic": topic,
                    "workspace_id": workspace_id,
                    "state": "opted_in" if agreed else "opted_out",
                    "occurred_at": version.occurred_at,
                    "source_event_id": version.source_event_id,
                }
                for topic, agreed in stated
            ]
    return choices


def _unsubscriptions(workspace_id: UUID, source_id: UUID, versions: Sequence[Any]) -> Iterator[NewEvent]:
    """When a contact left: every later update says that it is gone, but only the first is the leaving."""
    was_out = False
    for version in versions:
        stated = version.data.get("unsubscribed")
        if stated is True and not was_out and version.data["type"] == "contact.updated":
            who = contact("contact", version.data)
            key = f"email_unsubscribed:{version.source_event_id}"
            audience = {name: version.data[name] for name in ("audience_id",) if version.data.get(name)}
            yield NewEvent(
                id=event_id(source_id, key),
                fact=EventFact(name="email_unsubscribed", channel="email", properties=audience),
                key=key,
                source_id=source_id,
                actor=actor_id(workspace_id, who[0]) if who else None,
                occurred_at=version.occurred_at,
                received_at=version.applied_at,
                counts_money=False,
            )
        was_out = stated if isinstance(stated, bool) else was_out


def _write_consents(session: Session, choices: Sequence[dict[str, Any]]) -> None:
    latest: dict[tuple[Any, ...], dict[str, Any]] = {}
    for choice in sorted(choices, key=lambda item: (item["occurred_at"], item["source_event_id"])):
        latest[choice["actor_id"], choice["topic"]] = choice
    insert(
        session,
        Consent,
        list(latest.values()),
        "ON CONFLICT (actor_id, channel, topic, workspace_id) DO UPDATE SET state = excluded.state,"
        " occurred_at = excluded.occurred_at, source_event_id = excluded.source_event_id WHERE"
        ' (consent.occurred_at, consent.source_event_id COLLATE "C")'
        ' < (excluded.occurred_at, excluded.source_event_id COLLATE "C")',
    )
