"""Persons: one row each, derived from its actors, what was said of them, what they did and what they paid.

Nothing else writes `person`, `person_token` and `stage_change`. A refresh of the same persons at the same `now` gives
the same rows, however often and in whatever order it is done.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import Decimal
from operator import attrgetter
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from sqlmodel import Session

from gdp_core.acquisition import channel_of
from gdp_core.db import insert, later, one, records, recordset, rows
from gdp_core.identity import UNKNOWN
from gdp_core.stages import Change, Life, Windows, history
from gdp_core.tables.people import Actor, Person, StageChange
from gdp_core.words import tokens_of

COLUMN_TRAITS = ("email", "phone", "first_name", "last_name", "name", "company", "industry")
STATUS_OF_STAGE = {"active": "paid", "trial": "trial", "churned": "churned", "dormant": "inactive"}
STATUS_OF_NONE = "active"
"""The status of everybody who is in none of these."""
_NOT_METADATA = frozenset((*COLUMN_TRAITS, "tags"))
_MOST_TOKENS = 400
_CHUNK = 5000  # a join with all of a small workspace costs the same for many persons as for few


@dataclass(slots=True)
class _Gathered:
    """Everything known of one person before it becomes a row."""

    id: UUID
    actors: list[Any] = field(default_factory=list)
    traits: dict[str, Any] = field(default_factory=dict)
    known_by_trait: datetime | None = None
    active_days: int = 0
    first_act: datetime | None = None
    silences: list[tuple[datetime, datetime | None]] = field(default_factory=list)
    roles: dict[str, Any] = field(default_factory=dict)
    money: list[tuple[str, date, int, int]] = field(default_factory=list)  # currency, day, paid, returned (micros)
    first_bill: datetime | None = None
    mrr: list[Any] = field(default_factory=list)
    subscriptions: list[Any] = field(default_factory=list)
    tokens: set[str] = field(default_factory=set)  # as they are stored
    stages: list[tuple[Any, ...]] = field(default_factory=list)  # at, stage, previous, as they are stored


@dataclass(slots=True)
class _Changes:
    """What is to be written for some persons."""

    people: list[dict[str, Any]] = field(default_factory=list)
    gone: list[UUID] = field(default_factory=list)  # ids that are no person any more
    tokens: list[dict[str, Any]] = field(default_factory=list)
    lost_tokens: list[dict[str, Any]] = field(default_factory=list)
    stages: list[dict[str, Any]] = field(default_factory=list)
    lost_stages: list[tuple[UUID, datetime]] = field(default_factory=list)
    primary: list[dict[str, Any]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Choices:
    """What the workspace chose that persons depend on."""

    windows: Windows
    currency: str
    rates: dict[str, list[tuple[date, Decimal]]]
    internal_domains: frozenset[str]
    internal_ids: frozenset[str]
    zone: ZoneInfo

    def in_base(self, micros: int, currency: str, day: date) -> int | None:
        """An amount in the workspace's currency by the newest rate not after `day`; None without one."""
        if currency == self.currency:
            return micros
        rate = None
        for since, value in self.rates.get(currency, ()):
            if since > day:
                break
            rate = value
        return None if rate is None else int((micros * rate).to_integral_value())


def refresh(session: Session, workspace_id: UUID, persons: Iterable[UUID], now: datetime) -> int:
    """Bring the rows of these persons up to date; ids that are no person any more lose their rows.

    Returns how many persons are left of them.
    """
    ids = sorted(set(persons), key=attrgetter("int"))
    if not ids:
        return 0
    choices = _read_choices(session)
    alive, ready = 0, None
    for start in range(0, len(ids), _CHUNK):
        chunk = ids[start : start + _CHUNK]
        gathered = _gather(session, chunk, choices)
        if ready:  # written while the next are worked out, so these are read before
            _write(session, workspace_id, ready)
        ready = _work_out(workspace_id, chunk, gathered, choices, now)
        alive += len(ready.people)
    if ready:
        _write(session, workspace_id, ready)
    return alive


def refresh_due(session: Session, workspace_id: UUID, now: datetime, limit: int = 5000) -> int:
    """Refresh persons whose stage changes by the passing of time alone. Returns how many were due."""
    due = rows(
        session,
        "SELECT id FROM person WHERE stage_next_at <= :now ORDER BY stage_next_at LIMIT :limit",
        now=now,
        limit=limit,
    )
    refresh(session, workspace_id, [row.id for row in due], now)
    return len(due)


def persons_of(session: Session, actors: Collection[UUID]) -> set[UUID]:
    """The persons these actors belong to now."""
    found = rows(session, "SELECT DISTINCT person_id FROM actor WHERE id = ANY(:ids)", ids=list(actors))
    return {row.person_id for row in found}


def _work_out(
    workspace_id: UUID, ids: Sequence[UUID], gathered: dict[int, _Gathered], choices: _Choices, now: datetime
) -> _Changes:
    changes = _Changes()
    for facts in gathered.values():
        if all(actor.personless for actor in facts.actors):
            continue
        row, stages = _row(workspace_id, facts, choices, now)
        changes.people.append(row)
        _compare_tokens(changes, row, facts)
        _compare_stages(changes, workspace_id, facts, stages, now)
        _compare_primary(changes, facts)
    alive = {row["id"].int for row in changes.people}
    changes.gone = [identifier for identifier in ids if identifier.int not in alive]
    return changes


# ---------------------------------------------------------------------------------------------------- gathering


def _read_choices(session: Session) -> _Choices:
    workspace = one(
        session, "SELECT trial_days, dormant_days, base_currency, timezone FROM workspace WHERE id = app_ws()"
    )
    rates: dict[str, list[tuple[date, Decimal]]] = defaultdict(list)
    for row in rows(session, "SELECT currency, date, rate FROM fx_rate ORDER BY currency, date"):
        rates[row.currency].append((row.date, row.rate))
    rules = rows(session, "SELECT kind, value FROM internal_rule")
    return _Choices(
        Windows(timedelta(days=workspace.trial_days), timedelta(days=workspace.dormant_days)),
        workspace.base_currency,
        dict(rates),
        frozenset(row.value.lower() for row in rules if row.kind == "domain"),
        frozenset(row.value for row in rules if row.kind == "identifier"),
        ZoneInfo(workspace.timezone),
    )


def _gather(session: Session, ids: Sequence[UUID], choices: _Choices) -> dict[int, _Gathered]:
    """By the number of the id: a UUID as a key costs Python code for every look-up, of which there are dozens."""
    people: dict[int, _Gathered] = {}
    for row in rows(
        session,
        "SELECT person_id, id, namespace, external_id, personless, event_count, first_seen_at, last_seen_at,"
        " first_touch, is_primary FROM actor WHERE person_id = ANY(:ids) ORDER BY person_id, id",
        ids=list(ids),
    ):
        person = people.get(row.person_id.int)
        if person is None:
            person = people[row.person_id.int] = _Gathered(row.person_id)
        person.actors.append(row)
    if not people:
        return people
    alive = [person.id for person in people.values()]
    _gather_traits(session, people, alive)
    _gather_activity(session, people, alive, choices)
    _gather_money(session, people, alive)
    _gather_written(session, people, alive)
    return people


def _gather_traits(session: Session, people: dict[int, _Gathered], ids: Sequence[UUID]) -> None:
    found = rows(
        session,
        """
        SELECT DISTINCT ON (a.person_id, t.key) a.person_id, t.key, t.op, t.value,
            min(t.occurred_at) FILTER (WHERE t.key IN ('email', 'phone')) OVER (PARTITION BY a.person_id) AS contact_at
        FROM actor a JOIN trait_assertion t ON t.workspace_id = a.workspace_id AND t.actor_id = a.id
        WHERE a.person_id = ANY(:ids)
        ORDER BY a.person_id, t.key, t.op = 'set_once',
            CASE WHEN t.op <> 'set_once' THEN t.occurred_at END DESC, CASE WHEN t.op = 'set_once' THEN t.occurred_at END,
            t.rank DESC, t.source_event_id COLLATE "C" DESC, t.source_id, a.id
        """,
        ids=ids,
    )
    for row in found:
        person = people[row.person_id.int]
        person.known_by_trait = row.contact_at
        if row.op != "unset" and row.value is not None:
            person.traits[row.key] = row.value


def _gather_activity(session: Session, people: dict[int, _Gathered], ids: Sequence[UUID], choices: _Choices) -> None:
    for row in rows(
        session,
        """
        WITH day AS (
            SELECT a.person_id, d.day, min(d.first_at) AS first_at, max(d.last_at) AS last_at
            FROM actor a JOIN actor_day d ON d.workspace_id = a.workspace_id AND d.actor_id = a.id
            WHERE a.person_id = ANY(:ids) AND d.human_events > 0 GROUP BY 1, 2
        ), gap AS (
            SELECT person_id, last_at, lead(first_at) OVER (PARTITION BY person_id ORDER BY day) AS back,
                count(*) OVER (PARTITION BY person_id) AS days, min(first_at) OVER (PARTITION BY person_id) AS first_act
            FROM day
        )
        SELECT * FROM gap WHERE back IS NULL OR back - last_at > make_interval(days => :dormant)
        ORDER BY person_id, last_at
        """,
        ids=ids,
        dormant=choices.windows.dormant.days,
    ):
        person = people[row.person_id.int]
        person.active_days, person.first_act = row.days, row.first_act
        person.silences.append((row.last_at, row.back))
    for row in rows(
        session,
        "SELECT a.person_id, r.role, sum(r.events) AS events, min(r.first_at) AS first_at, max(r.last_at) AS last_at"
        " FROM actor a JOIN actor_role_day r ON r.workspace_id = a.workspace_id AND r.actor_id = a.id"
        " WHERE a.person_id = ANY(:ids) GROUP BY 1, 2",
        ids=ids,
    ):
        people[row.person_id.int].roles[row.role] = row


def _gather_money(session: Session, people: dict[int, _Gathered], ids: Sequence[UUID]) -> None:
    for row in rows(
        session,
        """
        SELECT a.person_id, m.currency, m.day, sum(m.paid)::bigint AS paid, sum(m.returned)::bigint AS returned,
            min(m.bill_at) AS bill_at
        FROM actor a JOIN (
            SELECT i.actor_id, i.currency, (i.paid_at AT TIME ZONE 'UTC')::date AS day, i.amount_paid_micros AS paid,
                0 AS returned, least(i.created_at, i.paid_at) AS bill_at
            FROM invoice i WHERE i.status = 'paid'
            UNION ALL
            SELECT r.actor_id, r.currency, (r.refunded_at AT TIME ZONE 'UTC')::date, 0, r.amount_micros, NULL
            FROM refund r WHERE r.counts
            UNION ALL
            SELECT v.actor_id, v.currency, v.day, v.paid_micros, v.refunded_micros, NULL FROM actor_value_day v
        ) m ON m.actor_id = a.id
        WHERE a.person_id = ANY(:ids) AND m.day IS NOT NULL GROUP BY 1, 2, 3 ORDER BY 1, 2, 3
        """,
        ids=ids,
    ):
        person = people[row.person_id.int]
        person.money.append((row.currency, row.day, row.paid, row.returned))
        person.first_bill = _earliest(person.first_bill, row.bill_at)
    for row in rows(
        session,
        "SELECT a.person_id, m.source_id, m.stripe_customer_id, m.currency, m.changed_at, m.after_micros FROM actor a"
        " JOIN mrr_change m ON m.workspace_id = a.workspace_id AND m.actor_id = a.id WHERE a.person_id = ANY(:ids)"
        " ORDER BY m.changed_at, m.id",
        ids=ids,
    ):
        people[row.person_id.int].mrr.append(row)
    for row in rows(
        session,
        "SELECT a.person_id, s.status, s.plan_name, s.mrr_micros, s.started_at, s.trial_start, s.trial_end, s.ended_at,"
        " s.cancel_at, s.cancel_at_period_end, s.current_period_end"
        " FROM actor a JOIN subscription s ON s.workspace_id = a.workspace_id AND s.actor_id = a.id"
        " WHERE a.person_id = ANY(:ids) ORDER BY s.started_at, s.id",
        ids=ids,
    ):
        people[row.person_id.int].subscriptions.append(row)
        people[row.person_id.int].first_bill = _earliest(people[row.person_id.int].first_bill, row.started_at)


def _gather_written(session: Session, people: dict[int, _Gathered], ids: Sequence[UUID]) -> None:
    for row in rows(
        session,
        "SELECT person_id, array_agg(token) AS tokens FROM person_token WHERE person_id = ANY(:ids) GROUP BY 1",
        ids=ids,
    ):
        people[row.person_id.int].tokens = set(row.tokens)
    for row in rows(
        session,
        "SELECT person_id, at, stage, previous FROM stage_change WHERE person_id = ANY(:ids) ORDER BY person_id, at",
        ids=ids,
    ):
        people[row.person_id.int].stages.append(tuple(row)[1:])


# ------------------------------------------------------------------------------------------------------ one row


def _row(workspace_id: UUID, facts: _Gathered, choices: _Choices, now: datetime) -> tuple[dict[str, Any], list[Any]]:
    traits = facts.traits
    known_at = _earliest(
        facts.known_by_trait,
        facts.first_bill,
        *(actor.first_seen_at for actor in facts.actors if actor.namespace not in UNKNOWN),
    )
    signup, core, purchase = (facts.roles.get(role) for role in ("signup", "core", "purchase"))
    touch = facts.roles.get("campaign_touch")
    life = Life(
        known_at=known_at,
        signup_at=signup.first_at if signup else None,
        paid_at=purchase.first_at if purchase else None,
        touched_at=touch.first_at if touch else None,
        mrr=_total_mrr(facts.mrr),
        trials=[
            (item.trial_start, min(filter(None, (item.trial_end, item.ended_at))))
            for item in facts.subscriptions
            if item.trial_start and (item.trial_end or item.ended_at)
        ],
        silences=_silences(facts, known_at),
    )
    changes, next_at = history(life, choices.windows, now)
    stage = changes[-1].stage if changes else None
    entered = {change.stage: change.at for change in reversed(changes)}
    name = traits.get("name") or " ".join(str(traits[part]) for part in ("first_name", "last_name") if traits.get(part))
    email = traits.get("email") or _named(facts.actors, "email")
    first_seen = _earliest(facts.first_bill, *(actor.first_seen_at for actor in facts.actors))
    row = {
        "id": facts.id,
        "workspace_id": workspace_id,
        **{column: _text(traits.get(column)) for column in COLUMN_TRAITS},
        "email": _text(email),
        "phone": _text(traits.get("phone") or _named(facts.actors, "phone")),
        "name": _text(name or None),
        "stage": stage,
        "status": STATUS_OF_STAGE.get(stage or "", STATUS_OF_NONE),
        **_acquisition(facts.actors),
        "cohort": f"{life.signup_at.astimezone(choices.zone):%Y-%m}" if life.signup_at else None,
        "tags": [str(tag) for tag in traits["tags"]] if isinstance(traits.get("tags"), list) else [],
        "metadata": {key: value for key, value in traits.items() if key not in _NOT_METADATA},
        "is_known": known_at is not None,
        "is_internal": _is_internal(facts.actors, email, choices),
        "identifiers": len(facts.actors),
        "active_days": facts.active_days,
        "core_actions": int(core.events) if core else 0,
        "total_events": sum(actor.event_count for actor in facts.actors),
        **_money(facts, choices),
        **_subscription(facts.subscriptions),
        "first_seen_at": first_seen,
        "last_seen_at": max((actor.last_seen_at for actor in facts.actors if actor.last_seen_at), default=first_seen),
        "first_action_at": core.first_at if core else None,
        "last_action_at": core.last_at if core else None,
        "signup_at": life.signup_at,
        "marketing_qualified_at": life.touched_at,
        "trial_started_at": entered.get("trial") if life.signup_at or life.trials else None,
        "subscribed_at": next((at for at, after in life.mrr if after > 0), None),
        "churned_at": next((at for at, after in reversed(life.mrr) if after == 0), None)
        if stage == "churned"
        else None,
        "stage_next_at": next_at,
    }
    return row, changes


def _silences(facts: _Gathered, known_at: datetime | None) -> list[tuple[datetime, datetime | None]]:
    """Gaps between acts; somebody known before acting at all was silent since then."""
    if known_at and (facts.first_act is None or known_at < facts.first_act):
        return [(known_at, facts.first_act), *facts.silences]
    return facts.silences


def _earliest(*instants: datetime | None) -> datetime | None:
    return min((at for at in instants if at), default=None)


def _named(actors: Sequence[Any], namespace: str) -> str | None:
    found = [actor for actor in actors if actor.namespace == namespace]
    return min(found, key=_primary_order).external_id if found else None


def _primary_order(actor: Any) -> tuple[Any, ...]:
    return (actor.first_seen_at is None, actor.first_seen_at, actor.id)


def _text(value: Any) -> str | None:
    return None if value is None or isinstance(value, dict | list) else str(value)[:500] or None


def _total_mrr(ledger: Sequence[Any]) -> list[tuple[datetime, int]]:
    """The sum over customers and currencies at each change; only whether it is 0 matters across currencies."""
    current: dict[tuple[Any, ...], int] = {}
    totals: list[tuple[datetime, int]] = []
    for row in ledger:
        current[row.source_id, row.stripe_customer_id, row.currency] = row.after_micros
        total = (row.changed_at, sum(current.values()))
        if totals and totals[-1][0] == row.changed_at:
            totals[-1] = total
        else:
            totals.append(total)
    return totals


def _money(facts: _Gathered, choices: _Choices) -> dict[str, Any]:
    """The person's amounts in the workspace's currency, or, without rates, in the currency they paid most in.

    MRR is worth what the newest rate says: it must not change by the mere passing of days.
    """
    if not facts.money and not facts.mrr:
        return {"currency": None, "total_spent_micros": 0, "lifetime_value_micros": 0, "mrr_micros": 0}
    mrr = {(row.source_id, row.stripe_customer_id, row.currency): row.after_micros for row in facts.mrr}
    entries = [(currency, day, paid, returned, 0) for currency, day, paid, returned in facts.money]
    entries += [(currency, date.max, 0, 0, micros) for (_, _, currency), micros in mrr.items() if micros]
    if not entries:
        return {"currency": None, "total_spent_micros": 0, "lifetime_value_micros": 0, "mrr_micros": 0}
    sums = [
        tuple(choices.in_base(micros, currency, day) for micros in (paid, returned, monthly))
        for currency, day, paid, returned, monthly in entries
    ]
    unit = choices.currency
    if any(None in part for part in sums):
        weight: dict[str, int] = defaultdict(int)
        for currency, _, paid, _, monthly in entries:
            weight[currency] += paid + monthly
        unit = min(weight, key=lambda currency: (-weight[currency], currency))
        sums = [entry[2:] for entry in entries if entry[0] == unit]
    paid, returned, monthly = (sum(part[index] or 0 for part in sums) for index in range(3))
    return {
        "currency": unit,
        "total_spent_micros": paid,
        "lifetime_value_micros": paid - returned,
        "mrr_micros": monthly,
    }


def _subscription(subscriptions: Sequence[Any]) -> dict[str, Any]:
    """The one that speaks for the person: the live one worth most, else the last."""
    live = [item for item in subscriptions if item.status in {"active", "past_due", "trialing"}]
    chosen = max(live, key=lambda item: item.mrr_micros) if live else subscriptions[-1] if subscriptions else None
    if chosen is None:
        return dict.fromkeys(_SUBSCRIPTION)
    at_period_end = chosen.current_period_end if chosen.cancel_at_period_end else None
    ends = chosen.ended_at or chosen.cancel_at or at_period_end
    return dict(zip(_SUBSCRIPTION, (chosen.plan_name, chosen.status, chosen.started_at, ends), strict=True))


_SUBSCRIPTION = ("plan_name", "subscription_status", "subscription_started_at", "subscription_ends_at")


def _is_internal(actors: Sequence[Any], email: Any, choices: _Choices) -> bool:
    if not choices.internal_domains and not choices.internal_ids:
        return False
    domains = {str(email).rpartition("@")[2].lower()} if email else set()
    domains |= {actor.external_id.rpartition("@")[2] for actor in actors if actor.namespace == "email"}
    return bool(domains & choices.internal_domains) or any(
        actor.external_id in choices.internal_ids for actor in actors
    )


def _acquisition(actors: Sequence[Any]) -> dict[str, str | None]:
    touches = [actor.first_touch for actor in actors if actor.first_touch]
    if not touches:
        return {"source": None, "medium": None, "campaign": None}
    touch = min(touches, key=lambda item: item["order"])
    return {
        "source": channel_of(touch),
        "medium": touch.get("utm_medium"),
        "campaign": touch.get("utm_campaign"),
    }


# ---------------------------------------------------------------------------------------------------- comparing


def _compare_tokens(changes: _Changes, row: dict[str, Any], facts: _Gathered) -> None:
    texts = [row["name"], row["first_name"], row["last_name"], row["email"], row["phone"], row["company"]]
    texts += [actor.external_id for actor in facts.actors]
    wanted = tokens_of(texts)
    if len(wanted) > _MOST_TOKENS:
        wanted = set(sorted(wanted)[:_MOST_TOKENS])
    if facts.tokens - wanted:
        changes.lost_tokens.append({"person_id": row["id"], "tokens": facts.tokens - wanted})
    if wanted - facts.tokens:
        changes.tokens.append({"person_id": row["id"], "tokens": wanted - facts.tokens})


def _compare_stages(
    changes: _Changes, workspace_id: UUID, facts: _Gathered, entered: list[Change], now: datetime
) -> None:
    before = [None, *(change.stage for change in entered)]
    wanted = [(change.at, change.stage, previous) for change, previous in zip(entered, before, strict=False)]
    if wanted == facts.stages:
        return
    changes.lost_stages += [(facts.id, stored[0]) for stored in facts.stages if stored not in wanted]
    changes.stages += [
        {"person_id": facts.id, "workspace_id": workspace_id, "at": at, "stage": stage}
        | {"previous": previous, "applied_at": now}
        for at, stage, previous in wanted
        if (at, stage, previous) not in facts.stages
    ]


def _compare_primary(changes: _Changes, facts: _Gathered) -> None:
    first: dict[str, Any] = {}
    for actor in facts.actors:
        rival = first.setdefault(actor.namespace, actor)
        if rival is not actor and _primary_order(actor) < _primary_order(rival):
            first[actor.namespace] = actor
    changes.primary += [
        {"id": actor.id, "is_primary": first[actor.namespace] is actor}
        for actor in facts.actors
        if actor.is_primary != (first[actor.namespace] is actor)
    ]


# ------------------------------------------------------------------------------------------------------ writing


def _write(session: Session, workspace_id: UUID, changes: _Changes) -> None:
    if changes.gone:
        for table in ("person_token", "stage_change"):
            later(session, f"DELETE FROM {table} WHERE person_id = ANY(:ids)", ids=changes.gone)
        later(
            session,
            "WITH gone AS (DELETE FROM person WHERE id = ANY(:ids) RETURNING id, workspace_id)"
            " UPDATE actor SET tx = pg_current_xact_id() FROM gone"  # tells the lake, see lake/tables.py
            " WHERE actor.id = gone.id AND actor.workspace_id = gone.workspace_id",
            ids=changes.gone,
        )
    if changes.people:
        names = [name for name in changes.people[0] if name not in {"id", "workspace_id"}]
        insert(session, Person, changes.people, f"ON CONFLICT (id, workspace_id) DO UPDATE {_where_changed(names)}")
    _write_tokens(session, workspace_id, changes)
    if changes.lost_stages:
        later(
            session,
            "DELETE FROM stage_change s USING unnest(CAST(:ids AS uuid[]), CAST(:ats AS timestamptz[])) AS old(id, at)"
            " WHERE s.person_id = old.id AND s.at = old.at",
            ids=[person for person, _ in changes.lost_stages],
            ats=[at for _, at in changes.lost_stages],
        )
    insert(session, StageChange, changes.stages)
    if changes.primary:
        later(
            session,
            f"UPDATE actor SET is_primary = incoming.is_primary FROM {recordset(Actor, changes.primary[0])}"
            " WHERE actor.id = incoming.id",
            rows=records(changes.primary),
        )


def _where_changed(names: Sequence[str]) -> str:
    """Set these columns where one differs: a row that is written again goes to the lake again.

    So it must where the person's own actor was written since, or the lake takes the person for gone (lake/tables.py).
    """
    updates = ", ".join(f'"{name}" = excluded."{name}"' for name in (*names, "tx"))
    now, then = (", ".join(f'{row}."{name}"' for name in names) for row in ("excluded", "person"))
    return (
        f"SET {updates} WHERE ({now}) IS DISTINCT FROM ({then}) OR EXISTS (SELECT FROM actor a"
        " WHERE a.id = person.id AND a.workspace_id = person.workspace_id AND a.tx > person.tx)"
    )


def _write_tokens(session: Session, workspace_id: UUID, changes: _Changes) -> None:
    given = "jsonb_to_recordset(CAST(:rows AS jsonb)) AS incoming(person_id uuid, tokens text[])"
    if changes.lost_tokens:
        later(
            session,
            f"DELETE FROM person_token t USING {given} WHERE t.person_id = incoming.person_id"
            " AND t.token = ANY(incoming.tokens)",
            rows=records(changes.lost_tokens),
        )
    if changes.tokens:
        later(
            session,
            "INSERT INTO person_token (workspace_id, token, person_id)"
            f" SELECT :ws, token, person_id FROM {given}, unnest(tokens) AS token ON CONFLICT DO NOTHING",
            rows=records(changes.tokens),
            ws=workspace_id,
        )
