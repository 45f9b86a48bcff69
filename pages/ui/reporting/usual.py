"""What a report asks before anybody has asked anything: by the roles that the workspace's events play."""

from collections.abc import Sequence

from gdp_core.analytics.fields import Fields
from gdp_core.features.roles import read_matches
from gdp_core.timeline.matching import Match
from pages.ui import data
from pages.ui.context import Here


def of_role(place: Here, fields: Fields, role: str) -> Match | None:
    """The events of a role that were ever received; None when none was."""
    known = {name for name, _ in fields.events}
    match = data.remembered(place, read_matches).get(role)
    names = tuple(name for name in match.names if name in known) if match else ()
    return Match(names, match.conditions) if match and names else None


def of_roles(place: Here, fields: Fields, roles: Sequence[str]) -> list[Match]:
    """Those of these roles that have events."""
    return [match for role in roles if (match := of_role(place, fields, role))]
