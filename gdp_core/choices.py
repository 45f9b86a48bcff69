"""What a workspace chooses: what its events mean, who its own people are, what plans are called, what money is worth.

Each change checks the role, is audited in its own transaction (gdp_web) and has everything that follows from it derived
again (`recompute`). Choices that name what does not exist (an event nobody sent yet) are fine; nonsense is refused.
"""

import csv
import io
import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date, datetime
from decimal import Decimal, InvalidOperation
from operator import itemgetter
from typing import Any, Literal, get_args

import orjson
from babel.numbers import list_currencies
from sqlmodel import Session

from gdp_core.accounts import workspaces
from gdp_core.accounts.audit import audit
from gdp_core.accounts.roles import Principal, authorise
from gdp_core.accounts.workspaces import WorkspaceSettings
from gdp_core.db import insert, one, rows, run
from gdp_core.errors import InvalidInput, NotFound
from gdp_core.event_roles import DEFAULT_NAMES, ROLES, RoleFilter
from gdp_core.identity import Limits
from gdp_core.recompute import Step, read_limits, want
from gdp_core.sources.facts import Category
from gdp_core.tables.billing import FxRate
from gdp_core.words import one_line

CATEGORIES: tuple[Category, ...] = get_args(Category)
RuleKind = Literal["domain", "identifier"]
PlanMatch = Literal["price", "product", "lookup_key"]
PLAN_MATCHES: tuple[PlanMatch, ...] = get_args(PlanMatch)

_MOST_NAMES, _LONGEST = 200, 200
_MOST_RATES = 200_000
_DOMAIN = re.compile(r"(?:[a-z0-9](?:[a-z0-9-]*[a-z0-9])?\.)+[a-z0-9-]{2,}")
_NEEDS: Mapping[str, tuple[Step, ...]] = {
    "base_currency": ("people",),
    "timezone": ("people",),  # a cohort is a month there
    "trial_days": ("people",),
    "dormant_days": ("people",),
}


# ------------------------------------------------------------------------------------------------- the workspace


def change_workspace(session: Session, principal: Principal, wanted: WorkspaceSettings, *, now: datetime) -> None:
    """Change the workspace's settings and derive again what hangs on them. Raises InvalidInput, Forbidden.

    Exchange rates are into the workspace's currency: with another one they are converted, and those that cannot be go.
    """
    before = one(session, f"SELECT {', '.join(_NEEDS)} FROM workspace")
    changed = [name for name in _NEEDS if getattr(wanted, name) not in (None, getattr(before, name))]
    want(session, {step for name in changed for step in _NEEDS[name]}, now)
    workspaces.change(session, principal, wanted, now=now)
    if wanted.base_currency and wanted.base_currency != before.base_currency:
        _convert_rates(session, principal, before.base_currency, wanted.base_currency, now)


@dataclass(frozen=True, slots=True)
class Retention:
    """How long things are kept: bodies of deliveries in days, events in months (None: for ever)."""

    inbox_days: int
    event_months: int | None


def read_retention(session: Session) -> Retention:
    """The open workspace's retention."""
    row = one(session, "SELECT inbox_retention_days, event_retention_months FROM workspace WHERE id = app_ws()")
    return Retention(*row)


def set_retention(session: Session, principal: Principal, wanted: Retention, *, now: datetime) -> None:
    """Keep things shorter or longer; what is past its time goes within hours. Raises InvalidInput, Forbidden."""
    authorise(session, principal, "settings.write")
    if not 1 <= wanted.inbox_days <= 3650:
        raise InvalidInput("Raw deliveries are kept for 1 to 3650 days.")
    if wanted.event_months is not None and not 1 <= wanted.event_months <= 600:
        raise InvalidInput("Events are kept for 1 to 600 months, or for ever.")
    before = read_retention(session)
    run(
        session,
        "UPDATE workspace SET inbox_retention_days = :days, event_retention_months = :months WHERE id = app_ws()",
        days=wanted.inbox_days,
        months=wanted.event_months,
    )
    _record(session, principal, "retention", "workspace", before=asdict(before), after=asdict(wanted), now=now)


# ------------------------------------------------------------------------------------------------------ event roles


@dataclass(frozen=True, slots=True)
class RoleChoice:
    """Which events play a role here. `is_default`: nobody chose; the product's own names hold."""

    role: str
    meaning: str
    event_names: tuple[str, ...]
    filters: tuple[RoleFilter, ...]
    is_default: bool


def read_event_roles(session: Session) -> list[RoleChoice]:
    """Every role there is."""
    chosen = {row.role: row for row in rows(session, "SELECT role, event_names, filters FROM event_role")}
    return [
        RoleChoice(
            role,
            meaning,
            tuple(chosen[role].event_names if role in chosen else DEFAULT_NAMES[role]),
            tuple(RoleFilter.model_validate(item) for item in chosen[role].filters) if role in chosen else (),
            role not in chosen,
        )
        for role, meaning in ROLES.items()
    ]


def set_event_role(
    session: Session,
    principal: Principal,
    role: str,
    *,
    event_names: Iterable[str],
    filters: Sequence[RoleFilter] = (),
    now: datetime,
) -> None:
    """Say which events play a role, of those only the ones that meet every filter. Raises InvalidInput, Forbidden."""
    authorise(session, principal, "settings.write")
    before = _role(session, role)
    names = list(dict.fromkeys(filter(None, (_exact(name) for name in event_names))))
    if len(names) > _MOST_NAMES:
        raise InvalidInput(f"A role has at most {_MOST_NAMES} event names.")
    if len(filters) > 20:
        raise InvalidInput("A role has at most 20 filters.")
    stored = [item.model_dump(mode="json") for item in filters]
    run(
        session,
        "INSERT INTO event_role (role, workspace_id, event_names, filters, updated_at)"
        " VALUES (:role, app_ws(), :names, CAST(:filters AS jsonb), :now) ON CONFLICT (role, workspace_id) DO UPDATE SET"
        " event_names = excluded.event_names, filters = excluded.filters, updated_at = excluded.updated_at",
        role=role,
        names=names,
        filters=orjson.dumps(stored).decode(),
        now=now,
    )
    _role_changed(session, principal, before, {"event_names": names, "filters": stored}, now)


def reset_event_role(session: Session, principal: Principal, role: str, *, now: datetime) -> None:
    """Let the product's own names hold again. Raises InvalidInput, Forbidden."""
    authorise(session, principal, "settings.write")
    before = _role(session, role)
    run(session, "DELETE FROM event_role WHERE role = :role", role=role)
    _role_changed(session, principal, before, {"event_names": list(DEFAULT_NAMES[role]), "filters": []}, now)


def _role(session: Session, role: str) -> RoleChoice:
    if role not in ROLES:
        raise InvalidInput(f"There is no event role {role[:40]!r}; there are {', '.join(ROLES)}.")
    return next(item for item in read_event_roles(session) if item.role == role)


def _role_changed(
    session: Session, principal: Principal, before: RoleChoice, after: dict[str, Any], now: datetime
) -> None:
    old = {
        "event_names": list(before.event_names),
        "filters": [item.model_dump(mode="json") for item in before.filters],
    }
    if old != after:
        want(session, ["people"], now, roles=[before.role])
    detail = {"names": after["event_names"][:20], "filters": len(after["filters"])}
    _record(session, principal, "event_role", before.role, before=old, after=after, detail=detail, now=now)


# -------------------------------------------------------------------------------------------------- internal people


@dataclass(frozen=True, slots=True)
class InternalRule:
    """Whose activity counts in no number: everybody at an e-mail domain, or who has an identifier."""

    kind: RuleKind
    value: str
    created_at: datetime


def read_internal_rules(session: Session) -> list[InternalRule]:
    """The rules, domains first. Identifiers are personal data."""
    found = rows(session, "SELECT kind, value, created_at FROM internal_rule ORDER BY kind, value")
    return [InternalRule(*row) for row in found]


def add_internal_rule(session: Session, principal: Principal, kind: RuleKind, value: str, *, now: datetime) -> None:
    """Leave somebody out of every number. Raises InvalidInput, Forbidden."""
    authorise(session, principal, "settings.write")
    text = _domain(value) if kind == "domain" else _exact(value)
    if not text:
        raise InvalidInput("Write an e-mail domain such as example.com, or one of the person's identifiers.")
    made = run(
        session,
        "INSERT INTO internal_rule (kind, value, workspace_id, created_at) VALUES (:kind, :value, app_ws(), :now)"
        " ON CONFLICT DO NOTHING",
        kind=kind,
        value=text,
        now=now,
    )
    if made:
        want(session, ["people"], now)
    _record(session, principal, "internal_rule", kind, after=text, detail=_shown(kind, text), now=now)


def remove_internal_rule(session: Session, principal: Principal, kind: RuleKind, value: str, *, now: datetime) -> None:
    """Count somebody again. Raises NotFound, Forbidden."""
    authorise(session, principal, "settings.write")
    if not run(session, "DELETE FROM internal_rule WHERE kind = :kind AND value = :value", kind=kind, value=value):
        raise NotFound("This rule was removed already.")
    want(session, ["people"], now)
    _record(session, principal, "internal_rule", kind, before=value, detail=_shown(kind, value), now=now)


def _domain(value: str) -> str:
    domain = _line(value).lower().rpartition("@")[2]
    if not _DOMAIN.fullmatch(domain):
        raise InvalidInput("Write an e-mail domain such as example.com.")
    return domain


def _shown(kind: RuleKind, value: str) -> dict[str, Any]:
    return {"domain": value} if kind == "domain" else {}  # an identifier is personal: its digest is enough


# ------------------------------------------------------------------------------------------------------------ plans


@dataclass(frozen=True, slots=True)
class PlanChoice:
    """What a Stripe price, product or lookup key is called here."""

    match: PlanMatch
    value: str
    plan_id: str
    plan_name: str


def read_plans(session: Session) -> list[PlanChoice]:
    """The mapping, by plan."""
    found = rows(session, "SELECT match, value, plan_id, plan_name FROM plan_mapping ORDER BY plan_name, match, value")
    return [PlanChoice(*row) for row in found]


@dataclass(frozen=True, slots=True)
class UnmappedPrice:
    """A price of live subscriptions that nobody has called by a plan: what Stripe calls it, how many, their MRR."""

    price_id: str | None
    product_id: str | None
    stripe_name: str
    subscriptions: int
    mrr: tuple[tuple[str, int], ...]


def read_unmapped(session: Session) -> list[UnmappedPrice]:
    """Prices that live subscriptions pay and no plan names, the most used first. `mrr` is (currency, micros)."""
    found = rows(
        session,
        "SELECT stripe_price_id, stripe_product_id, min(plan_name) AS name, sum(n)::bigint AS n,"
        " jsonb_object_agg(currency, mrr) AS mrr FROM (SELECT stripe_price_id, stripe_product_id, currency,"
        " min(plan_name) AS plan_name, count(*) AS n, sum(mrr_micros)::bigint AS mrr FROM subscription"
        " WHERE NOT is_plan_mapped AND status IN ('active', 'past_due', 'trialing') GROUP BY 1, 2, 3) s"
        " GROUP BY 1, 2 ORDER BY n DESC, 1, 2 LIMIT 200",
    )
    return [
        UnmappedPrice(row.stripe_price_id, row.stripe_product_id, row.name, row.n, tuple(sorted(row.mrr.items())))
        for row in found
    ]


def set_plan(session: Session, principal: Principal, wanted: PlanChoice, *, now: datetime) -> None:
    """Call a price by the plan it is. A price wins over its product. Raises InvalidInput, Forbidden."""
    authorise(session, principal, "settings.write")
    value, name = _line(wanted.value), _line(wanted.plan_name)
    plan_id = _line(wanted.plan_id) or re.sub(r"\W+", "_", name.casefold()).strip("_")
    if wanted.match not in PLAN_MATCHES or not value or not plan_id or not name:
        raise InvalidInput("Say which price, product or lookup key it is, and give the plan a name.")
    before = one(
        session, "SELECT plan_id, plan_name FROM plan_mapping WHERE match = :m AND value = :v", m=wanted.match, v=value
    )
    run(
        session,
        "INSERT INTO plan_mapping (match, workspace_id, value, plan_id, plan_name, updated_at)"
        " VALUES (:match, app_ws(), :value, :id, :name, :now) ON CONFLICT (match, workspace_id, value) DO UPDATE SET"
        " plan_id = excluded.plan_id, plan_name = excluded.plan_name, updated_at = excluded.updated_at",
        match=wanted.match,
        value=value,
        id=plan_id,
        name=name,
        now=now,
    )
    if before is None or tuple(before) != (plan_id, name):
        want(session, ["billing"], now)
    after = {"plan_id": plan_id, "plan_name": name}
    old = dict(before._mapping) if before else None
    _record(
        session, principal, "plan_mapping", f"{wanted.match}:{value}", before=old, after=after, detail=after, now=now
    )


def remove_plan(session: Session, principal: Principal, match: PlanMatch, value: str, *, now: datetime) -> None:
    """Let Stripe's own name hold again. Raises NotFound, Forbidden."""
    authorise(session, principal, "settings.write")
    if not run(session, "DELETE FROM plan_mapping WHERE match = :match AND value = :value", match=match, value=value):
        raise NotFound("This plan was removed already.")
    want(session, ["billing"], now)
    _record(session, principal, "plan_mapping", f"{match}:{value}", detail={"removed": True}, now=now)


# --------------------------------------------------------------------------------------------------- exchange rates


@dataclass(frozen=True, slots=True)
class Rates:
    """The exchange rates of one currency: how many days, from when to when, and the newest one."""

    currency: str
    days: int
    first: date
    last: date
    newest: Decimal


def read_rates(session: Session) -> list[Rates]:
    """The currencies that have rates into the workspace's own."""
    found = rows(
        session,
        "SELECT currency, count(*) AS days, min(date) AS first, max(date) AS last,"
        " (array_agg(rate ORDER BY date DESC))[1] AS newest FROM fx_rate GROUP BY currency ORDER BY currency",
    )
    return [Rates(*row) for row in found]


def load_rates(session: Session, principal: Principal, text: str, *, now: datetime) -> int:
    """Take over rates from CSV with the columns date, currency, rate: what one unit was worth in the workspace's currency.

    Rates of the same day are replaced, others stay. Returns how many there were. Raises InvalidInput naming the line.
    """
    authorise(session, principal, "settings.write")
    base = one(session, "SELECT base_currency FROM workspace WHERE id = app_ws()").base_currency
    read = {(day, currency): rate for day, currency, rate in _read_rates(text, base)}
    insert(
        session,
        FxRate,
        [
            {"date": day, "workspace_id": principal.workspace_id, "currency": currency, "rate": str(rate)}
            for (day, currency), rate in sorted(read.items())
        ],
        "ON CONFLICT (date, workspace_id, currency) DO UPDATE SET rate = excluded.rate",
    )
    want(session, ["people"], now)
    currencies = sorted({currency for _, currency in read})
    _record(session, principal, "fx_rate", base, detail={"rates": len(read), "currencies": currencies}, now=now)
    return len(read)


def _convert_rates(session: Session, principal: Principal, old: str, new: str, now: datetime) -> None:
    """Rates into `old` as rates into `new`, from the day on which `new` first had one."""
    stored: dict[str, list[tuple[date, Decimal]]] = {}
    for row in rows(session, "SELECT currency, date, rate FROM fx_rate ORDER BY currency, date"):
        stored.setdefault(row.currency, []).append((row.date, row.rate))
    if not stored:
        return
    pivot = stored.pop(new, [])
    stored[old] = [(date.min, Decimal(1))]
    converted = [
        {"date": day, "workspace_id": principal.workspace_id, "currency": currency, "rate": str(worth)}
        for currency, rates in stored.items()
        for day in sorted({day for day, _ in (*rates, *pivot) if day > date.min})
        if (of_new := _newest(pivot, day)) and (of_this := _newest(rates, day))
        if (worth := round(of_this / of_new, 12))
    ]
    run(session, "DELETE FROM fx_rate")
    insert(session, FxRate, converted)
    detail = {"rates": len(converted), "converted_from": old}
    _record(session, principal, "fx_rate", new, detail=detail, now=now)


def _newest(rates: Sequence[tuple[date, Decimal]], day: date) -> Decimal | None:
    """The newest rate not after a day."""
    place = bisect_right(rates, day, key=itemgetter(0))
    return rates[place - 1][1] if place else None


def remove_rates(session: Session, principal: Principal, currency: str, *, now: datetime) -> None:
    """Forget the rates of a currency. Raises NotFound, Forbidden."""
    authorise(session, principal, "settings.write")
    gone = run(session, "DELETE FROM fx_rate WHERE currency = :currency", currency=currency)
    if not gone:
        raise NotFound("There are no rates of this currency.")
    want(session, ["people"], now)
    _record(session, principal, "fx_rate", currency, detail={"removed": gone}, now=now)


def _read_rates(text: str, base: str) -> Iterator[tuple[date, str, Decimal]]:
    lines = csv.reader(io.StringIO(text.removeprefix("\ufeff")), skipinitialspace=True)
    try:
        header = [name.strip().casefold() for name in next(lines, [])]
        if not {"date", "currency", "rate"} <= set(header):
            raise InvalidInput("The first line must name the columns: date,currency,rate.")
        places = [header.index(name) for name in ("date", "currency", "rate")]
        known, number = list_currencies(), 0
        for row in filter(None, lines):
            number += 1
            if number > _MOST_RATES:
                raise InvalidInput(f"The file has more than {_MOST_RATES:,} rates; split it.")
            if len(row) <= max(places):
                raise InvalidInput(f"Line {lines.line_num} has too few columns; write date,currency,rate.")
            yield _rate(*(row[place].strip() for place in places), line=lines.line_num, base=base, known=known)
    except csv.Error as error:
        raise InvalidInput(f"Line {lines.line_num} cannot be read: {error}.") from None
    if not number:
        raise InvalidInput("The file has no rates; write lines such as 2026-01-31,EUR,1.08.")


def _rate(day: str, currency: str, rate: str, *, line: int, base: str, known: set[str]) -> tuple[date, str, Decimal]:
    code = currency.upper()
    if code not in known:
        raise InvalidInput(f"Line {line}: {currency[:20]!r} is no currency code such as EUR.")
    if code == base:
        raise InvalidInput(f"Line {line}: {code} is the workspace's own currency and needs no rate.")
    try:
        value = Decimal(rate)
        if not value.is_finite() or not Decimal("1e-12") <= value < Decimal("1e12"):
            raise InvalidOperation
    except InvalidOperation:
        raise InvalidInput(f"Line {line}: {rate[:20]!r} is no rate; write a number such as 1.0825.") from None
    try:
        return date.fromisoformat(day), code, value
    except ValueError:
        raise InvalidInput(f"Line {line}: {day[:20]!r} is no date such as 2026-01-31.") from None


# --------------------------------------------------------------------------------------------------------- identity


def set_limits(session: Session, principal: Principal, wanted: Limits, *, now: datetime) -> None:
    """Change how many identifiers a person may have; people are put together again. Raises InvalidInput, Forbidden."""
    authorise(session, principal, "settings.write")
    limits = [item for item in (wanted.total, *wanted.of.values()) if item is not None]
    if any(not 1 <= item <= 1_000_000 for item in limits):
        raise InvalidInput("A limit is 1 to 1,000,000 identifiers.")
    before = read_limits(session)
    value = {"total": wanted.total, "of": dict(wanted.of)}
    run(
        session,
        "INSERT INTO setting (workspace_id, key, value, updated_at, updated_by)"
        " VALUES (app_ws(), 'identity.limits', CAST(:value AS jsonb), :now, :by) ON CONFLICT (workspace_id, key)"
        " DO UPDATE SET value = excluded.value, updated_at = excluded.updated_at, updated_by = excluded.updated_by",
        value=orjson.dumps(value).decode(),
        now=now,
        by=principal.user_id,
    )
    old = {"total": before.total, "of": dict(before.of)}
    if old != value:
        want(session, ["identity"], now)
    _record(session, principal, "setting", "identity.limits", before=old, after=value, detail=value, now=now)


# ------------------------------------------------------------------------------------------------------ event types


@dataclass(frozen=True, slots=True)
class EventMeaning:
    """What is said of an event type by people: its category, who looks after it, what it means, what it must carry."""

    category: Category | None = None
    owner: str | None = None
    description: str | None = None
    required: tuple[str, ...] = ()


def describe_event(session: Session, principal: Principal, name: str, wanted: EventMeaning, *, now: datetime) -> None:
    """Say what an event type means. Raises NotFound, InvalidInput, Forbidden."""
    authorise(session, principal, "events.write")
    if wanted.category is not None and wanted.category not in CATEGORIES:
        raise InvalidInput(f"A category is one of {', '.join(CATEGORIES)}.")
    required = list(dict.fromkeys(filter(None, (_exact(item) for item in wanted.required))))
    if len(required) > _MOST_NAMES:
        raise InvalidInput(f"An event has at most {_MOST_NAMES} required properties.")
    before = one(session, "SELECT category, owner, description, required FROM event_type WHERE name = :name", name=name)
    if before is None:
        raise NotFound("No such event was ever received.")
    after = {
        "category": wanted.category,
        "owner": _line(wanted.owner or "") or None,
        "description": _line(wanted.description or "", longest=1000) or None,
        "required": required,
    }
    run(
        session,
        "UPDATE event_type SET category = :category, owner = :owner, description = :description, required = :required"
        " WHERE name = :name",
        **after,
        name=name,
    )
    audit(
        session,
        principal,
        action="events.write",
        object_kind="event_type",
        object_id=name[:_LONGEST],
        before=dict(before._mapping),
        after=after,
        detail={"category": wanted.category, "required": required[:20]},
        now=now,
    )


def _record(
    session: Session,
    principal: Principal,
    kind: str,
    identifier: str,
    *,
    before: object = None,
    after: object = None,
    detail: Mapping[str, Any] | None = None,
    now: datetime,
) -> None:
    audit(
        session,
        principal,
        action="settings.write",
        object_kind=kind,
        object_id=identifier[:_LONGEST],
        before=before,
        after=after,
        detail=detail,
        now=now,
    )


def _line(text: str, *, longest: int = _LONGEST) -> str:
    return one_line(text, longest)


def _exact(text: str) -> str:
    """A name that is compared letter by letter, so nothing inside it is changed."""
    return text.replace("\x00", "").strip()[:_LONGEST]
