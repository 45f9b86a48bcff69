"""Whether nobody may write to an address of theirs any more: it bounced for good, they complained, or somebody said so."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Literal

import numpy as np
from pydantic import Field

from gdp_core.segments.conditions.base import Condition, Evidence, Instants, Mask, Names, Uses, listed

if TYPE_CHECKING:
    from gdp_core.segments.facts import Facts

Reason = Literal["bounce", "complaint", "unsubscribe", "manual"]


class Suppression(Condition):
    """`suppressed`: an address of the person is (for one of `reasons`, where some are named), or, when false, none is."""

    title = "Suppressed addresses"
    icon = "block"
    help = "An address that bounced for good, complained or was suppressed by hand."

    kind: Literal["suppression"] = "suppression"
    suppressed: bool = True
    reasons: tuple[Reason, ...] = Field(default=(), max_length=4)

    def holds(self, facts: "Facts") -> Mask:
        """See Condition."""
        stopped = facts.stopped(self.reasons)
        return stopped if self.suppressed else ~stopped

    def sentence(self, names: Names) -> str:
        """See Condition."""
        why = f" ({listed(self.reasons)})" if self.reasons else ""
        return f"have {'a' if self.suppressed else 'no'} suppressed address{why}"

    @property
    def uses(self) -> Uses:
        """See Condition."""
        return Uses(stops=True)

    def turns(self, facts: "Facts") -> Iterator[Instants]:
        """See Condition."""
        stops = facts.surroundings.stops
        mine = np.isin(stops.numbers, facts.timeline.numbers)
        yield stops.since[mine] + 1
        yield stops.lifted[mine] + 1

    def evidence(self, facts: "Facts", names: Names) -> Evidence:
        """See Condition."""
        stops = facts.surroundings.stops
        mine = facts.timeline.numbers[0]
        held = facts.surroundings.stops.at(facts.at, ())
        reasons = {
            reason for number, reason in zip(stops.numbers.tolist(), stops.reasons, strict=True) if number == mine
        }
        shown = listed(sorted(reasons), "and") if mine in held else "not suppressed"
        return Evidence(shown, shown)
