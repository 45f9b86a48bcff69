"""Did something so often: at least, exactly or at most n times, never, or for the first time ever; within a time."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Literal

import numpy as np
from pydantic import Field

from gdp_core.segments.conditions.base import (
    EVER,
    Condition,
    Event,
    Evidence,
    Instants,
    Mask,
    Names,
    Uses,
    When,
    edges_of,
    happenings,
    instants_of,
    often,
    shown,
    turns_after,
)

if TYPE_CHECKING:
    from gdp_core.segments.facts import Facts

_WORDS = {"at_least": "at least", "exactly": "exactly", "at_most": "at most"}


class Performed(Condition):
    """`how` often the events happened: `times`; "first": their first one ever lies within the time."""

    title = "Did something"
    icon = "bolt"
    help = "How often somebody did something, never included, and when."

    kind: Literal["performed"] = "performed"
    event: Event = Event()
    how: Literal["at_least", "exactly", "at_most", "first"] = "at_least"
    times: int = Field(default=1, ge=0, le=1_000_000)
    when: When = EVER

    def holds(self, facts: "Facts") -> Mask:
        """See Condition."""
        if self.how == "first":
            return self._first(facts)
        counts = facts.counts(self.event, self.when)
        if self.how == "at_least":
            return np.asarray(counts >= self.times)
        return np.asarray(counts == self.times if self.how == "exactly" else counts <= self.times)

    def _first(self, facts: "Facts") -> Mask:
        since, until = edges_of(self.when, facts)
        ever, within = facts.counts(self.event, EVER), facts.counts(self.event, self.when)
        if self.when.after is None and until == facts.at:
            return np.asarray((within > 0) & (within == ever))
        firsts = facts.firsts(self.event)
        found = (firsts >= since) & (firsts < until)
        return np.asarray(found & (within > 0) & (facts.firsts(self.event, self.when) == firsts))

    def sentence(self, names: Names) -> str:
        """See Condition."""
        when = f" {self.when.sentence}" if self.when != EVER else ""
        if self.how == "first":
            return f"did {self.event.sentence} for the first time{when or ' ever'}"
        if self.times == 0 and self.how != "at_least":
            return f"{'did not do' if when else 'never did'} {self.event.sentence}{when}"
        return f"did {self.event.sentence}{often(self.how, self.times)}{when}"

    def turns(self, facts: "Facts") -> Iterator[Instants]:
        """See Condition."""
        yield from turns_after(facts, instants_of(facts, self.event), self.when.lengths)

    def evidence(self, facts: "Facts", names: Names) -> Evidence:
        """See Condition."""
        if self.how == "first":
            found, count = happenings(facts, self.event, oldest=True)
            told = f"did it for the first time on {shown(found[0].at, facts.zone)}" if found else "never did it"
            return Evidence(told, happenings=found[:1], events=count)
        found, count = happenings(facts, self.event, self.when)
        wanted = f"{_WORDS[self.how]} {self.times:,}"
        told = "did it once" if count == 1 else f"did it {count:,} times" if count else "did not do it"
        return Evidence(told, f"{count:,}", wanted, found, count)

    @property
    def uses(self) -> Uses:
        """See Condition."""
        return Uses(events=(self.event,), fields=(self.when.after,) if self.when.after else ())
