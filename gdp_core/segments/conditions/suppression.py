"""Whether nobody may write to an address of theirs any more: it bounced for good, they complained, or somebody said so."""

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from gdp_core.segments.conditions.base import Condition, Evidence, Instants, Mask, Names, Uses, listed
from gdp_core.segments.conditions.person import Person
from gdp_core.timeline.matching import as_text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gdp_core.segments.facts import Facts

FIELD = "suppression"


class Suppression(Condition):
    """`suppressed`: an address of the person is (for one of `reasons`, where some are named), or, when false, none is."""

    title = "Suppressed addresses"
    icon = "block"
    help = "An address that bounced for good, complained or was suppressed by hand."

    kind: Literal["suppression"] = "suppression"
    suppressed: bool = True
    reasons: tuple[Literal["bounced", "complained", "unsubscribed", "manual"], ...] = Field(default=(), max_length=4)

    @property
    def _person(self) -> Person:
        if not self.suppressed:
            return Person(field=FIELD, op="not_set")
        return Person(field=FIELD, op="is", values=self.reasons) if self.reasons else Person(field=FIELD, op="set")

    def holds(self, facts: "Facts") -> Mask:
        """See Condition."""
        return self._person.holds(facts)

    def sentence(self, names: Names) -> str:
        """See Condition."""
        if not self.suppressed:
            return "have no suppressed address"
        return f"have a suppressed address{f' ({listed(self.reasons)})' if self.reasons else ''}"

    def turns(self, facts: "Facts") -> "Iterator[Instants]":
        """See Condition. Time alone changes nothing."""
        yield from ()

    def evidence(self, facts: "Facts", names: Names) -> Evidence:
        """See Condition."""
        column = facts.person(FIELD)
        shown = as_text(column.values[column.codes[0]]) if column.codes[0] >= 0 else "not suppressed"
        return Evidence(shown, shown)

    @property
    def uses(self) -> Uses:
        """See Condition."""
        return Uses(fields=(FIELD,))
