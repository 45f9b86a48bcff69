"""What a report asks before anybody has asked anything: by the roles that the workspace's events play."""

from collections.abc import Sequence

from gdp_core.analytics.fields import Fields
from gdp_core.event_roles import RoleFilter, read_roles
from gdp_core.timeline.matching import Comparison, Condition, Match
from pages.ui import data
from pages.ui.context import Here

_COMPARISONS: dict[str, Comparison] = {
    "is": "is",
    "is_not": "is_not",
    "contains": "contains",
    "at_least": "gte",
    "at_most": "lte",
    "is_set": "set",
}


def of_role(place: Here, fields: Fields, role: str) -> Match | None:
    """The events of a role that were ever received; None when none was."""
    known = {name for name, _ in fields.events}
    names, conditions = [], tuple[Condition, ...]()
    for name, roles in data.remembered(place, read_roles).by_name.items():
        for found, filters in roles:
            if found == role and name in known:
                names.append(name)
                conditions = tuple(map(_condition, filters))
    return Match(tuple(names), conditions) if names else None


def of_roles(place: Here, fields: Fields, roles: Sequence[str]) -> list[Match]:
    """Those of these roles that have events."""
    return [match for role in roles if (match := of_role(place, fields, role))]


def _condition(found: RoleFilter) -> Condition:
    return Condition(found.property, _COMPARISONS[found.op], () if found.op == "is_set" else (found.value or "",))
