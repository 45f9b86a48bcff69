"""What a rule may name besides events and people, read from Postgres: features, roles, the churn model, other segments
and saved lists, and what they are called. Of a list its people are read only where a rule names it.
"""

from collections.abc import Iterable, Mapping, Sequence
from uuid import UUID
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray
from sqlmodel import Session

from gdp_core import mail, reports
from gdp_core.analytics.beginnings import NEVER
from gdp_core.analytics.calendar import micros
from gdp_core.analytics.warning import Model, read_warned
from gdp_core.db import rows
from gdp_core.features.base import Feature
from gdp_core.features.definitions import read_features
from gdp_core.features.roles import read_matches
from gdp_core.segments import rules
from gdp_core.segments.conditions.base import Names
from gdp_core.segments.facts import NO_STOPS, Stops, Surroundings
from gdp_core.segments.personal import is_personal_feature
from gdp_core.segments.rules import Rule


def read_surroundings(
    session: Session, *, timezone: str, rule: Rule | None = None, people: bool = True
) -> Surroundings:
    """Everything that rules of this workspace may name, each segment's rule by its id, disabled ones too.

    `people`: where some segment names suppressed addresses or a list, or `rule`, one that is not saved, who has such an
    address is read and who is on that list. On all other lists, and without it, is nobody.
    """
    features, warned = read_features(session), read_warned(session)
    found = rows(
        session,
        "SELECT s.id, s.name, v.rule FROM segment s JOIN segment_version v ON v.workspace_id = s.workspace_id"
        " AND v.segment_id = s.id AND v.version = s.version WHERE s.archived_at IS NULL ORDER BY s.name, s.id",
    )
    known = {str(row.id): rules.kept(row.rule) for row in found}
    lists = {str(one.id): one.name for one in reports.list_lists(session)}
    uses = [one.uses for one in (*known.values(), *([rule] if rule else ()))] if people else []
    named = {key for one in uses for key in one.lists}
    return Surroundings(
        zone=ZoneInfo(timezone),
        features={one.slug: one for one in features},
        roles=read_matches(session),
        model=warned.outcome if warned and isinstance(warned.outcome, Model) else None,
        rules=known,
        lists=_people(session, lists, named),
        stops=_stops(session) if any(one.stops for one in uses) else NO_STOPS,
        names=_names({str(row.id): row.name for row in found}, lists, features),
    )


def read_names(session: Session) -> Names:
    """What everything that rules may name is called: all that a sentence asks, and far less to read."""
    found = rows(session, "SELECT id, name FROM segment WHERE archived_at IS NULL ORDER BY name, id")
    lists = {str(one.id): one.name for one in reports.list_lists(session)}
    return _names({str(row.id): row.name for row in found}, lists, read_features(session))


def _names(segments: dict[str, str], lists: dict[str, str], features: Sequence[Feature]) -> Names:
    return Names(
        segments,
        lists,
        {one.slug: one.title for one in features},
        money=frozenset(one.slug for one in features if one.kind == "money"),
        shares=frozenset(one.slug for one in features if one.kind == "share"),
        texts=frozenset(one.slug for one in features if one.kind == "text"),
        personal=frozenset(one.slug for one in features if is_personal_feature(one)),
    )


def _stops(session: Session) -> Stops:
    found = mail.read_stopped(session)
    return Stops(
        np.array([one.number for one in found], np.int64),
        tuple(one.reason for one in found),
        np.array([micros(one.since) for one in found], np.int64),
        np.array([micros(one.lifted_at) if one.lifted_at else NEVER for one in found], np.int64),
    )


def _people(session: Session, lists: Iterable[str], named: Iterable[str]) -> Mapping[str, NDArray[np.int64]]:
    nobody = np.empty(0, np.int64)
    return {key: reports.read_numbers(session, UUID(key)) if key in named else nobody for key in lists}
