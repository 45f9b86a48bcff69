"""The event roles of a workspace as what reports look for: events by name and by conditions on them."""

from collections.abc import Mapping, Sequence

from sqlmodel import Session

from gdp_core.choices import RoleChoice, read_event_roles
from gdp_core.event_roles import RoleFilter
from gdp_core.timeline.matching import Comparison, Condition, Match, number

_COMPARISONS: Mapping[str, Comparison] = {
    "is": "is",
    "is_not": "is_not",
    "contains": "contains",
    "at_least": "gte",
    "at_most": "lte",
    "is_set": "set",
}


def read_matches(session: Session) -> dict[str, Match]:
    """{role: its events}; a role that no event can play is left out."""
    found = {choice.role: match_of(choice) for choice in read_event_roles(session)}
    return {role: match for role, match in found.items() if match}


def match_of(choice: RoleChoice) -> Match | None:
    """A role's events; None when there are none."""
    conditions = _conditions(choice.filters)
    return Match(choice.event_names, conditions) if choice.event_names and conditions is not None else None


def _conditions(filters: Sequence[RoleFilter]) -> tuple[Condition, ...] | None:
    """None when one of them never holds."""
    found = []
    for item in filters:
        if item.op in ("at_least", "at_most") and number(item.value) is None:
            return None
        values = () if item.op == "is_set" else ("" if item.value is None else item.value,)
        found.append(Condition(f"properties.{item.property}", _COMPARISONS[item.op], values))
    return tuple(found)
