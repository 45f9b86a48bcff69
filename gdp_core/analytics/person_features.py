"""Features as they are read: of one person with their meanings, as columns of a list, and as a condition of a filter.

What is stored as nothing is 0 where it is a number. Days since something follow from `now`.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice
from typing import Any, Literal, Protocol, TypeVar
from uuid import UUID

from sqlmodel import Session

from gdp_core.db import Database, one, rows
from gdp_core.features.base import Feature, Told
from gdp_core.features.definitions import read_features
from gdp_core.money import MICROS
from gdp_core.timeline.matching import number

HowMuch = Literal["at_least", "at_most"]
_DAY = timedelta(days=1)
_MOST_DAYS = 100_000
_COLUMNS = "feature, number, word, at, parts"
_PART = 1_000
_HELD = "signup_at, last_seen_at, last_action_at, lifetime_value_micros, currency"


class _Listed(Protocol):
    @property
    def id(self) -> UUID: ...


P = TypeVar("P", bound=_Listed)


@dataclass(frozen=True, slots=True)
class FeatureValue:
    """A feature and what it is of somebody: None is nothing. `currency`: of an amount. `parts`: what each feature adds to
    a score, by slug, what adds or takes most first."""

    feature: Feature
    value: Told | None
    currency: str | None = None
    parts: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True, slots=True)
class FeatureFilter:
    """Who has at least or at most so much of a feature; of a text, who has exactly it.

    `value` is what somebody typed: amounts in whole units of money, shares in percent, days for days since.
    """

    feature: str
    how: HowMuch
    value: str


def read_person(session: Session, person_id: UUID, now: datetime) -> tuple[FeatureValue, ...]:
    """Every feature of the workspace, of one person."""
    person = one(session, f"SELECT {_HELD}, is_internal FROM person WHERE id = :id", id=person_id)
    stored = rows(session, f"SELECT {_COLUMNS} FROM person_feature WHERE person_id = :id", id=person_id)
    by_slug = {row.feature: row for row in stored}
    return tuple(_value(feature, by_slug.get(feature.slug), person, now) for feature in read_features(session))


def read_listed(
    session: Session, people: Sequence[UUID], slugs: Sequence[str], now: datetime
) -> dict[UUID, dict[str, FeatureValue]]:
    """Some features of some people, by person and slug; slugs that name none are left out."""
    features = [feature for feature in read_features(session) if feature.slug in slugs]
    stored: dict[UUID, dict[str, Any]] = {person: {} for person in people}
    for row in rows(
        session,
        f"SELECT person_id, {_COLUMNS} FROM person_feature WHERE person_id = ANY(:people) AND feature = ANY(:slugs)",
        people=list(people),
        slugs=list(slugs),
    ):
        stored[row.person_id][row.feature] = row
    found = rows(session, f"SELECT id, {_HELD}, is_internal FROM person WHERE id = ANY(:people)", people=list(people))
    return {
        person.id: {one.slug: _value(one, stored[person.id].get(one.slug), person, now) for one in features}
        for person in found
    }


def stream_listed(
    database: Database, workspace_id: UUID, people: Iterable[P], slugs: Sequence[str], now: datetime
) -> Iterator[tuple[P, Mapping[str, FeatureValue]]]:
    """People of a list, each with these features of theirs; read in parts, each in a short transaction of its own."""
    rest = iter(people)
    while part := list(islice(rest, _PART)):
        having: Mapping[UUID, Mapping[str, FeatureValue]] = {}
        if slugs:
            with database.transaction(workspace_id, read_only=True) as session:
                having = read_listed(session, [person.id for person in part], slugs, now)
        yield from ((person, having.get(person.id, {})) for person in part)


def _value(feature: Feature, row: Any, person: Any, now: datetime) -> FeatureValue:
    """What is stored, or what the person's own column says."""
    column = feature.column
    if column:
        told = getattr(person, column.column) if person else None
        return FeatureValue(feature, _since(told, now) if column.kind == "since" else told, _currency(feature, person))
    if row is None:
        is_zero = feature.kind in ("number", "money") and person and not person.is_internal
        return FeatureValue(feature, 0.0 if is_zero else None, _currency(feature, person))
    if feature.kind == "since":
        return FeatureValue(feature, _since(row.at, now))
    parts = sorted(((name, float(part)) for name, part in (row.parts or {}).items()), key=lambda one: -abs(one[1]))
    told = next(value for value in (row.number, row.word, row.at) if value is not None)
    return FeatureValue(feature, told, _currency(feature, person), tuple(parts))


def _since(at: datetime | None, now: datetime) -> int | None:
    """Whole days of 24 h."""
    return None if at is None else max(0, (now - at) // _DAY)


def _currency(feature: Feature, person: Any) -> str | None:
    if feature.kind != "money":
        return None
    return feature.unit or (person.currency if person else None)


# --------------------------------------------------------------------------------------------------- as a condition


def conditions(session: Session, wanted: Sequence[FeatureFilter], now: datetime) -> tuple[list[str], dict[str, Any]]:
    """What each asks of a person `p`, in SQL, and all their values. What makes no sense holds for nobody."""
    known = {feature.slug: feature for feature in read_features(session)} if wanted else {}
    found: list[str] = []
    values: dict[str, Any] = {}
    for place, one_of in enumerate(wanted):
        text, named = _condition(known.get(one_of.feature), one_of, now)
        found.append(text.replace(":feature", f":wanted{place}_feature"))
        values |= {f"wanted{place}_{name}": value for name, value in named.items()}
    return found, values


def _condition(feature: Feature | None, wanted: FeatureFilter, now: datetime) -> tuple[str, dict[str, Any]]:
    if feature is None:
        return "false", {}
    named = {"feature": feature.slug}
    if feature.kind == "text":
        return f"EXISTS ({_OF_PERSON} AND f.word = :feature_word)", named | {"feature_word": wanted.value}
    amount = number(wanted.value)
    if amount is None:
        return "false", {}
    return _compared(feature, amount, wanted.how == "at_least", now, named)


_OF_PERSON = "SELECT FROM person_feature f WHERE f.person_id = p.id AND f.feature = :feature"


def _compared(
    feature: Feature, amount: float, is_least: bool, now: datetime, named: Mapping[str, Any]
) -> tuple[str, dict[str, Any]]:
    column = feature.column
    if feature.kind in ("since", "instant"):
        # so many whole days ago or more: at that instant or before; so many or fewer: less than a day more
        days = max(-1.0, min(amount, _MOST_DAYS))
        bound: dict[str, Any] = {"feature_bound": now - timedelta(days=days if is_least else int(days // 1) + 1)}
        compared = "<= :feature_bound" if is_least else "> :feature_bound"
        if column:
            return f"p.{column.column} {compared}", bound
        return f"EXISTS ({_OF_PERSON} AND f.at {compared})", {**named, **bound}
    units = {"money": amount * MICROS, "share": amount / 100}.get(feature.kind, amount)
    amounts = {"feature_bound": units}
    if column:
        return f"p.{column.column} {'>=' if is_least else '<='} :feature_bound", amounts
    is_zero_outside = units > 0 if is_least else units < 0
    if feature.kind == "share" or is_zero_outside:
        return f"EXISTS ({_OF_PERSON} AND f.number {'>=' if is_least else '<='} :feature_bound)", {**named, **amounts}
    # 0 is within, and nothing is stored of who has none
    return f"NOT EXISTS ({_OF_PERSON} AND f.number {'<' if is_least else '>'} :feature_bound)", {**named, **amounts}
