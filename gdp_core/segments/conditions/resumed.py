"""Does something again that they had not done for some time."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Literal

import numpy as np

from gdp_core.segments.conditions.base import (
    ALWAYS,
    Condition,
    Event,
    Evidence,
    Instants,
    Length,
    Mask,
    Names,
    Uses,
    When,
    happenings,
    instants_of,
    length,
    spoken,
    turns_after,
)

if TYPE_CHECKING:
    from gdp_core.segments.facts import Facts


class Resumed(Condition):
    """In [now - recent, now), not once in [now - recent - quiet, now - recent), and at some time before that."""

    title = "Took something up again"
    icon = "trending_up"
    help = "Did it before, then not for some time, and now does it again."

    kind: Literal["resumed"] = "resumed"
    event: Event = Event()
    recent: Length = "7d"
    quiet: Length = "30d"

    def holds(self, facts: "Facts") -> Mask:
        """See Condition."""
        began = facts.at - length(self.recent)
        quiet = began - length(self.quiet)
        again = facts.counts(self.event, When(last=self.recent)) > 0
        between = facts.counts_between(self.event, quiet, began) == 0
        return np.asarray(again & between & (facts.counts_between(self.event, ALWAYS, quiet) > 0))

    def sentence(self, names: Names) -> str:
        """See Condition."""
        return (
            f"did {self.event.sentence} again in the last {spoken(self.recent)}, after {spoken(self.quiet)} without it"
        )

    def turns(self, facts: "Facts") -> Iterator[Instants]:
        """See Condition."""
        recent, quiet = length(self.recent), length(self.quiet)
        yield from turns_after(facts, instants_of(facts, self.event), [recent, recent + quiet])

    def evidence(self, facts: "Facts", names: Names) -> Evidence:
        """See Condition."""
        shown, times = happenings(facts, self.event)
        recent = int(facts.counts(self.event, When(last=self.recent))[0])
        return Evidence(f"{recent:,} times lately, {times:,} in all", f"{recent:,}", "at least 1", shown, times)

    @property
    def uses(self) -> Uses:
        """See Condition."""
        return Uses(events=(self.event,))
