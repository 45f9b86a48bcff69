"""The features that a workspace defines for itself: what of which events, and how far back.

Each change checks the role and is audited in its own transaction (gdp_web); values follow at the next recomputation.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, get_args

from sqlmodel import Session

from gdp_core import in_use
from gdp_core.accounts.audit import audit
from gdp_core.accounts.roles import Principal, authorise
from gdp_core.analytics.measures import CURRENCY, MONEY
from gdp_core.analytics.window import Unit, Window
from gdp_core.db import one, rows, run
from gdp_core.errors import InvalidInput, NotFound
from gdp_core.features import FEATURES
from gdp_core.features.base import Aggregate, Feature, Tally
from gdp_core.timeline.matching import Condition, Match
from gdp_core.words import one_line

MOST = 50
_MOST_EVENTS, _MOST_CONDITIONS = 50, 10
_LONGEST_TITLE, _LONGEST_UNIT, _LONGEST = 60, 20, 200
_NEEDS_FIELD: tuple[Aggregate, ...] = ("sum", "distinct")
_MAY_HAVE_FIELD: tuple[Aggregate, ...] = (*_NEEDS_FIELD, "first", "last")
_UNITS: dict[Unit, str] = {"s": "second", "min": "minute", "h": "hour", "d": "day", "w": "week"}


@dataclass(frozen=True, slots=True)
class Wanted:
    """A feature to define. No events: whatever people do. `field` is what is added up, told apart or quoted.

    Money (value_micros) is added up in one currency: the one a condition names, else the workspace's own.
    """

    title: str
    by: Aggregate
    events: tuple[str, ...] = ()
    conditions: tuple[Condition, ...] = ()
    window: Window | None = None
    field: str | None = None
    unit: str = ""


def read_features(session: Session) -> tuple[Feature, ...]:
    """Every feature of the workspace: those there always are, then its own by title."""
    return (*FEATURES, *read_defined(session))


def read_defined(session: Session) -> tuple[Feature, ...]:
    """The workspace's own features, by title."""
    found = rows(
        session,
        "SELECT slug, title, unit, event_names, conditions, aggregate, lookback, field FROM feature_definition"
        " ORDER BY title, slug",
    )
    return tuple(_feature(row) for row in found)


def define(session: Session, principal: Principal, wanted: Wanted, *, now: datetime) -> Feature:
    """Make a feature. Its slug follows from its title. Raises InvalidInput, Forbidden."""
    authorise(session, principal, "features.write")
    asked = _checked(session, wanted)
    slug = re.sub(r"\W+", "_", asked.title.casefold()).strip("_")
    if not slug:
        raise InvalidInput("Give the feature a title with a letter or a digit in it.")
    if any(feature.slug == slug for feature in FEATURES):
        raise _taken(slug)
    if len(read_defined(session)) >= MOST:
        raise InvalidInput(f"A workspace defines at most {MOST} features: remove one that nobody needs.")
    stored = _stored(asked)
    made = run(
        session,
        "INSERT INTO feature_definition (slug, workspace_id, title, unit, event_names, conditions, aggregate, lookback,"
        " field, created_at, created_by, updated_at, updated_by) VALUES (:slug, app_ws(), :title, :unit, :event_names,"
        " :conditions, :aggregate, :lookback, :field, :now, :user, :now, :user) ON CONFLICT DO NOTHING",
        slug=slug,
        now=now,
        user=principal.user_id,
        **stored,
    )
    if not made:
        raise _taken(slug)
    _record(session, principal, slug, None, stored, now)
    return _read(session, slug)


def redefine(session: Session, principal: Principal, slug: str, wanted: Wanted, *, now: datetime) -> Feature:
    """Change what a feature is; its slug stays. Raises InvalidInput, NotFound, Forbidden."""
    authorise(session, principal, "features.write")
    before = _row(session, slug)
    stored = _stored(_checked(session, wanted))
    run(
        session,
        "UPDATE feature_definition SET title = :title, unit = :unit, event_names = :event_names,"
        " conditions = :conditions, aggregate = :aggregate, lookback = :lookback, field = :field, updated_at = :now,"
        " updated_by = :user WHERE slug = :slug",
        slug=slug,
        now=now,
        user=principal.user_id,
        **stored,
    )
    _record(session, principal, slug, {name: getattr(before, name) for name in stored}, stored, now)
    return _read(session, slug)


def remove(session: Session, principal: Principal, slug: str, *, now: datetime) -> None:
    """Forget a feature; its values go at the next recomputation. Raises NotFound, Conflict while a segment's rule names it,
    Forbidden."""
    authorise(session, principal, "features.write")
    before = _row(session, slug)
    in_use.refuse_while_named(session, "feature", slug)
    run(session, "DELETE FROM feature_definition WHERE slug = :slug", slug=slug)
    _record(session, principal, slug, {"title": before.title}, None, now)


# ------------------------------------------------------------------------------------------------------- reading


def _read(session: Session, slug: str) -> Feature:
    return _feature(_row(session, slug))


def _row(session: Session, slug: str) -> Any:
    row = one(
        session,
        "SELECT slug, title, unit, event_names, conditions, aggregate, lookback, field FROM feature_definition"
        " WHERE slug = :slug",
        slug=slug,
    )
    if row is None:
        raise NotFound(f"This workspace has no feature {slug[:60]!r} of its own.")
    return row


def _feature(row: Any) -> Feature:
    of = Match(tuple(row.event_names), tuple(map(Condition.parse, row.conditions)))
    window = Window.parse(row.lookback) if row.lookback else None
    made = Tally(of, row.aggregate, window, row.field)
    return Feature(row.slug, row.title, row.unit, _sentence(of, made), made, is_defined=True)


def _sentence(of: Match, made: Tally) -> str:
    """What a tally of events is, as people read it."""
    events = " or ".join(of.names) or "anything"
    conditions = " and ".join(condition.text for condition in of.conditions)
    with_conditions = f"{events} with {conditions}" if conditions else events
    told = {
        "count": f"How often they did {with_conditions}",
        "sum": f"{made.field} of {with_conditions}, added up",
        "distinct": f"How many different values of {made.field} came with {with_conditions}",
        "days": f"On how many days (UTC) they did {with_conditions}",
        "since": f"Whole days of 24 h since they last did {with_conditions}",
        "first": f"When they first did {with_conditions}",
        "last": f"When they last did {with_conditions}",
    }[made.by]
    if made.field and made.by in ("first", "last"):
        told = f"{made.field} of the {made.by} {with_conditions} that has one"
    return f"{told}{_within(made.window)}."


def _within(window: Window | None) -> str:
    if window is None:
        return ""
    if window.unit == "mo":
        return f", in the last {30 * window.amount} days"
    name = _UNITS[window.unit]
    return f", in the last {name}" if window.amount == 1 else f", in the last {window.amount} {name}s"


# ------------------------------------------------------------------------------------------------------ checking


def _checked(session: Session, wanted: Wanted) -> Wanted:
    """As it is stored. Raises InvalidInput."""
    asked = replace(
        wanted,
        title=one_line(wanted.title, _LONGEST_TITLE),
        unit=one_line(wanted.unit, _LONGEST_UNIT),
        events=_names(wanted.events),
        field=one_line(wanted.field or "", _LONGEST).removeprefix("properties.") or None,
    )
    if asked.by not in get_args(Aggregate):
        raise InvalidInput(f"A feature is one of {', '.join(get_args(Aggregate))}.")
    if not asked.title:
        raise InvalidInput("Give the feature a title.")
    if asked.by in _NEEDS_FIELD and not asked.field:
        raise InvalidInput("Say which field of the events: a property, or value_micros for money.")
    if asked.field and asked.by not in _MAY_HAVE_FIELD:
        raise InvalidInput(f"A field is for {', '.join(_MAY_HAVE_FIELD)}; leave it out here.")
    if len(asked.events) > _MOST_EVENTS or len(asked.conditions) > _MOST_CONDITIONS:
        raise InvalidInput(f"A feature has at most {_MOST_EVENTS} events and {_MOST_CONDITIONS} conditions.")
    return _of_one_currency(session, asked) if asked.by == "sum" and asked.field == MONEY else asked


def _of_one_currency(session: Session, asked: Wanted) -> Wanted:
    named = [condition for condition in asked.conditions if condition.name == CURRENCY and condition.comparison == "is"]
    if not named:
        currency = str(one(session, "SELECT base_currency FROM workspace WHERE id = app_ws()").base_currency)
        named = [Condition(CURRENCY, "is", (currency,))]
        asked = replace(asked, conditions=(*asked.conditions, *named))
    if len(named) > 1 or len(named[0].values) > 1:
        raise InvalidInput("Amounts of two currencies are never added: name one.")
    return replace(asked, unit=str(named[0].values[0]).upper())


def _taken(slug: str) -> InvalidInput:
    return InvalidInput(f"There is a feature {slug} already: choose another title.")


def _names(given: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name for one in given if (name := one.replace("\x00", "").strip()[:_LONGEST])))


def _stored(asked: Wanted) -> dict[str, Any]:
    return {
        "title": asked.title,
        "unit": asked.unit,
        "event_names": list(asked.events),
        "conditions": [condition.text for condition in asked.conditions],
        "aggregate": asked.by,
        "lookback": asked.window.text if asked.window else None,
        "field": asked.field,
    }


def _record(session: Session, principal: Principal, slug: str, before: object, after: object, now: datetime) -> None:
    audit(
        session,
        principal,
        action="features.write",
        object_kind="feature",
        object_id=slug,
        before=before,
        after=after,
        detail={"removed": True} if after is None else {},
        now=now,
    )
