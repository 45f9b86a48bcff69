"""Stands for what another release wrote into a rule: nobody knows for whom it holds. No rule is read or kept with it."""

from typing import TYPE_CHECKING, Literal

from gdp_core.errors import InvalidInput
from gdp_core.segments.conditions.base import Condition, Mask, Names

if TYPE_CHECKING:
    from gdp_core.segments.facts import Facts

UNREADABLE = "This release cannot read the rule of this segment: write it anew."


class Unreadable(Condition):
    """Conditions that this release cannot read. No kind that the builder offers."""

    title = "A rule of another release"

    kind: Literal["unreadable"] = "unreadable"

    def holds(self, facts: "Facts") -> Mask:
        """Raises InvalidInput."""
        raise InvalidInput(UNREADABLE)

    def sentence(self, names: Names) -> str:
        """See Condition."""
        return "meet a rule that this release cannot read"
