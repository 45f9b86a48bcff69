"""Used to do something, and has not done it for some time."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Literal

import numpy as np
from pydantic import Field

from gdp_core.segments.conditions.base import (
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
    often,
    spoken,
    turns_after,
)

if TYPE_CHECKING:
    from gdp_core.segments.facts import Facts


class Stopped(Condition):
    """At least `times` in [now - quiet - active, now - quiet), and not once in [now - quiet, now)."""

    title = "Stopped doing something"
    icon = "trending_down"
    help = "Did it in one period and not once in the time since."

    kind: Literal["stopped"] = "stopped"
    event: Event = Event()
    active: Length = "30d"
    quiet: Length = "30d"
    times: int = Field(default=1, ge=1, le=1_000_000)

    def _periods(self, facts: "Facts") -> tuple[int, int]:
        """How long ago, in microseconds, the active period began and the quiet one did."""
        return length(self.active) + length(self.quiet), length(self.quiet)

    def holds(self, facts: "Facts") -> Mask:
        """See Condition."""
        began, quiet = self._periods(facts)
        before = facts.counts_between(self.event, facts.at - began, facts.at - quiet)
        return np.asarray((before >= self.times) & (facts.counts(self.event, When(last=self.quiet)) == 0))

    def sentence(self, names: Names) -> str:
        """See Condition."""
        before = f"but did{often('at_least', self.times)} in the {spoken(self.active)} before"
        return f"did not do {self.event.sentence} in the last {spoken(self.quiet)}, {before}"

    def turns(self, facts: "Facts") -> Iterator[Instants]:
        """See Condition."""
        yield from turns_after(facts, instants_of(facts, self.event), self._periods(facts))

    def evidence(self, facts: "Facts", names: Names) -> Evidence:
        """See Condition."""
        began, quiet = self._periods(facts)
        before = int(facts.counts_between(self.event, facts.at - began, facts.at - quiet)[0])
        since = int(facts.counts(self.event, When(last=self.quiet))[0])
        shown, times = happenings(facts, self.event)
        return Evidence(
            f"{before:,} times before, {since:,} times since", f"{before:,}", f"at least {self.times:,}", shown, times
        )

    @property
    def uses(self) -> Uses:
        """See Condition."""
        return Uses(events=(self.event,))
