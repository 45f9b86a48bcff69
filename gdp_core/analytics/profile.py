"""One person: who they are and how that is known, what was said of them and by whom, what they did, paid and received.

Every id ever issued leads to the person it belongs to now. Holds personal data: not to be cached.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from sqlmodel import Session

from gdp_core import mail
from gdp_core.analytics.people_list import PERSON_COLUMNS, PersonRow
from gdp_core.db import one, rows
from gdp_core.errors import NotFound
from gdp_core.identity import MANUAL

MOST_IDENTIFIERS = 500
_MOST_ASSERTIONS = 1000
_MOST_MAILS = 200


@dataclass(frozen=True, slots=True)
class StageStep:
    """The person entered `stage` at `at`, coming from `previous`."""

    at: datetime
    stage: str | None
    previous: str | None


@dataclass(frozen=True, slots=True)
class Profile:
    """A person's head: the row of the list, more of its dates, and the stages in order."""

    person: PersonRow
    traits: Mapping[str, Any]  # every trait without a column of its own
    marketing_qualified_at: datetime | None
    first_action_at: datetime | None
    last_action_at: datetime | None
    stages: tuple[StageStep, ...]


@dataclass(frozen=True, slots=True)
class IdentifierRow:
    """One identifier of a person."""

    actor_id: UUID
    namespace: str
    value: str
    is_primary: bool
    events: int
    first_seen_at: datetime | None
    last_seen_at: datetime | None


@dataclass(frozen=True, slots=True)
class Evidence:
    """Why two identifiers are, or are not, one person: who said so and when."""

    a: UUID
    b: UUID
    a_label: str  # namespace and value
    b_label: str
    source: str  # the source's name
    verified: bool
    explicit: bool
    occurred_at: datetime
    applied_at: datetime
    state: Literal["accepted", "refused", "cut"]
    reason: str | None
    merged: bool
    cut_at: datetime | None


@dataclass(frozen=True, slots=True)
class Assertion:
    """Something said of the person. `current`: it is what holds now."""

    key: str
    op: str
    value: Any
    source: str
    identifier: str
    occurred_at: datetime
    applied_at: datetime
    current: bool


@dataclass(frozen=True, slots=True)
class SubscriptionRow:
    """A subscription, as the billing page shows it."""

    plan_name: str
    status: str
    mrr_micros: int
    price_micros: int
    billing_cycle: str
    currency: str
    quantity: int | None
    started_at: datetime | None
    trial_end: datetime | None
    renews_at: datetime | None
    cancelled_at: datetime | None
    refunded_at: datetime | None
    cancel_at_period_end: bool
    total_revenue_micros: int
    stripe_subscription_id: str


@dataclass(frozen=True, slots=True)
class Payment:
    """An invoice or one-off checkout, or money given back (`kind` refund or dispute, amount below zero when it counts)."""

    at: datetime | None
    kind: str
    status: str
    amount_micros: int
    currency: str
    number: str
    subscription: str | None


@dataclass(frozen=True, slots=True)
class MrrStep:
    """A change of what the person pays a month."""

    at: datetime
    movement: str
    before_micros: int
    after_micros: int
    currency: str
    reason: str | None


@dataclass(frozen=True, slots=True)
class Billing:
    """Everything about a person's money."""

    subscriptions: tuple[SubscriptionRow, ...]
    payments: tuple[Payment, ...]
    changes: tuple[MrrStep, ...]


@dataclass(frozen=True, slots=True)
class MailEvent:
    """Something that happened to an e-mail."""

    at: datetime
    kind: str
    is_machine: bool
    detail: str | None
    url: str | None


@dataclass(frozen=True, slots=True)
class Mail:
    """An e-mail to the person and what became of it."""

    subject: str | None
    recipient: str | None
    status: str
    campaign: str | None
    sent_at: datetime | None
    delivered_at: datetime | None
    opened_at: datetime | None
    clicked_at: datetime | None
    bounced_at: datetime | None
    complained_at: datetime | None
    happened: tuple[MailEvent, ...]


@dataclass(frozen=True, slots=True)
class Mailbox:
    """The newest e-mails, and addresses of the person that must not be written to."""

    mails: tuple[Mail, ...]
    suppressed: tuple[str, ...]
    consents: tuple[tuple[str, str, datetime], ...]  # topic, state, since


def person_of(session: Session, any_id: UUID) -> UUID:
    """The person an id belongs to now, be it of a person that was merged away or of an identifier. Raises NotFound."""
    row = one(session, "SELECT person_id FROM actor WHERE id = :id", id=any_id)
    if row is None:
        raise NotFound("There is no such person in this workspace: the address may be of another workspace.")
    found: UUID = row.person_id
    return found


def read_profile(session: Session, person_id: UUID) -> Profile:
    """The head of a person's page. Raises NotFound for one without a profile."""
    row = one(
        session,
        f"SELECT {', '.join(PERSON_COLUMNS)}, metadata, marketing_qualified_at, first_action_at, last_action_at"
        " FROM person WHERE id = :id",
        id=person_id,
    )
    if row is None:
        raise NotFound("This visitor has no profile: their events were sent without one.")
    steps = rows(
        session, "SELECT at, stage, previous FROM stage_change WHERE person_id = :id ORDER BY at", id=person_id
    )
    count = len(PERSON_COLUMNS)
    return Profile(*(PersonRow(*row[:count]), *row[count:], tuple(StageStep(*step) for step in steps)))


def read_identifiers(session: Session, person_id: UUID) -> tuple[IdentifierRow, ...]:
    """The person's identifiers, the primary ones first, at most MOST_IDENTIFIERS."""
    found = rows(
        session,
        "SELECT id, namespace, external_id, is_primary, event_count, first_seen_at, last_seen_at FROM actor"
        " WHERE person_id = :id ORDER BY NOT is_primary, first_seen_at, id LIMIT :most",
        id=person_id,
        most=MOST_IDENTIFIERS,
    )
    return tuple(IdentifierRow(*row) for row in found)


def read_evidence(session: Session, actors: Sequence[UUID]) -> tuple[Evidence, ...]:
    """The statements that join these identifiers with each other and with those of others, the newest first."""
    found = rows(
        session,
        """
        WITH edge AS (
            SELECT * FROM identity_edge WHERE a = ANY(:ids) UNION SELECT * FROM identity_edge WHERE b = ANY(:ids)
        )
        SELECT e.a, e.b, x.namespace || ' ' || x.external_id, y.namespace || ' ' || y.external_id,
            coalesce(s.name, CASE WHEN e.source_id = :manual THEN 'Decided in the dashboard' ELSE 'A removed source' END),
            e.verified, e.explicit, e.occurred_at, e.applied_at, e.state, e.reason, e.merged, e.cut_at
        FROM edge e
        JOIN actor x ON x.id = e.a AND x.workspace_id = e.workspace_id
        JOIN actor y ON y.id = e.b AND y.workspace_id = e.workspace_id
        LEFT JOIN source_instance s ON s.id = e.source_id AND s.workspace_id = e.workspace_id
        ORDER BY e.occurred_at DESC, e.a, e.b LIMIT 1000
        """,
        ids=list(actors),
        manual=MANUAL,
    )
    return tuple(Evidence(*row) for row in found)


def read_assertions(session: Session, actors: Sequence[UUID]) -> tuple[Assertion, ...]:
    """What was said of the person, by trait, what holds first. The rule is that of `people`: the last one said."""
    found = rows(
        session,
        """
        SELECT t.key, t.op, t.value, coalesce(s.name, 'A removed source'), a.namespace || ' ' || a.external_id,
            t.occurred_at, t.applied_at, row_number() OVER (
                PARTITION BY t.key ORDER BY t.op = 'set_once',
                CASE WHEN t.op <> 'set_once' THEN t.occurred_at END DESC,
                CASE WHEN t.op = 'set_once' THEN t.occurred_at END,
                t.rank DESC, t.source_event_id COLLATE "C" DESC, t.source_id, a.id
            ) = 1
        FROM trait_assertion t
        JOIN actor a ON a.id = t.actor_id AND a.workspace_id = t.workspace_id
        LEFT JOIN source_instance s ON s.id = t.source_id AND s.workspace_id = t.workspace_id
        WHERE t.actor_id = ANY(:ids)
        ORDER BY t.key COLLATE "C", 8 DESC, t.occurred_at DESC LIMIT :most
        """,
        ids=list(actors),
        most=_MOST_ASSERTIONS,
    )
    return tuple(Assertion(*row) for row in found)


def read_billing(session: Session, actors: Sequence[UUID]) -> Billing:
    """Subscriptions, payments and MRR changes of these identifiers, the newest first."""
    subscriptions = rows(
        session,
        "SELECT plan_name, status, mrr_micros, price_micros, billing_cycle, currency, quantity, started_at, trial_end,"
        " renews_at, cancelled_at, refunded_at, cancel_at_period_end, total_revenue_micros, stripe_subscription_id"
        " FROM subscription WHERE actor_id = ANY(:ids) ORDER BY started_at DESC NULLS LAST, id LIMIT 100",
        ids=list(actors),
    )
    payments = rows(
        session,
        """
        SELECT coalesce(i.paid_at, i.finalized_at, i.created_at) AS at, i.kind, i.status,
            CASE WHEN i.status = 'paid' THEN i.amount_paid_micros ELSE i.amount_due_micros END, i.currency,
            coalesce(i.number, i.stripe_invoice_id), i.stripe_subscription_id
        FROM invoice i WHERE i.actor_id = ANY(:ids)
        UNION ALL
        SELECT r.refunded_at, r.kind, r.status, CASE WHEN r.counts THEN -r.amount_micros ELSE 0 END, r.currency,
            r.stripe_refund_id, r.stripe_subscription_id
        FROM refund r WHERE r.actor_id = ANY(:ids)
        ORDER BY 1 DESC NULLS LAST, 6 LIMIT 500
        """,
        ids=list(actors),
    )
    changes = rows(
        session,
        "SELECT changed_at, movement, before_micros, after_micros, currency, reason FROM mrr_change"
        " WHERE actor_id = ANY(:ids) ORDER BY changed_at DESC, id LIMIT 500",
        ids=list(actors),
    )
    return Billing(
        tuple(SubscriptionRow(*row) for row in subscriptions),
        tuple(Payment(*row) for row in payments),
        tuple(MrrStep(*row) for row in changes),
    )


def read_mailbox(session: Session, workspace_id: UUID, actors: Sequence[UUID], addresses: Sequence[str]) -> Mailbox:
    """The person's newest e-mails with what happened to each, and which of `addresses` are suppressed."""
    messages = rows(
        session,
        "SELECT source_id, resend_id, subject, recipient, status, campaign, sent_at, delivered_at, opened_at, clicked_at,"
        " bounced_at, complained_at FROM email_message WHERE actor_id = ANY(:ids)"
        " ORDER BY sent_at DESC NULLS LAST, resend_id LIMIT :most",
        ids=list(actors),
        most=_MOST_MAILS,
    )
    happened: dict[tuple[UUID, str], list[MailEvent]] = {}
    for row in rows(
        session,
        "SELECT e.source_id, e.resend_id, e.occurred_at, e.event_type, e.is_machine, e.detail, e.clicked_url FROM"
        " unnest(CAST(:sources AS uuid[]), CAST(:ids AS text[])) AS w(source_id, id) JOIN email_event e"
        " ON e.workspace_id = app_ws() AND e.source_id = w.source_id AND e.resend_id = w.id ORDER BY e.occurred_at",
        sources=[row.source_id for row in messages],
        ids=[row.resend_id for row in messages],
    ):
        happened.setdefault((row.source_id, row.resend_id), []).append(MailEvent(*row[2:]))
    consents = rows(
        session,
        "SELECT topic, state, occurred_at FROM consent WHERE actor_id = ANY(:ids) ORDER BY topic",
        ids=list(actors),
    )
    return Mailbox(
        tuple(Mail(*(*row[2:], tuple(happened.get((row.source_id, row.resend_id), ())))) for row in messages),
        tuple(address for address in addresses if mail.is_suppressed(session, workspace_id, address)),
        tuple((row.topic, row.state, row.occurred_at) for row in consents),
    )
