"""Did one thing and then another within a time, or let that time pass without it."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Literal

import numpy as np

from gdp_core.segments.conditions.base import (
    EVER,
    Condition,
    Event,
    Evidence,
    Instants,
    Length,
    Mask,
    Name,
    Names,
    Uses,
    When,
    happening,
    happenings,
    instants_of,
    length,
    spoken,
    turns_after,
)

if TYPE_CHECKING:
    from gdp_core.segments.facts import Facts


class Sequence(Condition):
    """Some `event` of the time `when` is followed by `then` at most `within` later (inclusive); or, with `followed` false,
    `within` has passed since it and nothing followed in that time.

    With `same` only one of the same value of that property follows, and events without the property start nothing. A
    follower is a later row; of one instant, later in the order of ties.
    """

    title = "Did this, then that"
    icon = "arrow_right_alt"
    help = "One event followed by another within a time, or not followed; with the same order, checkout or booking."

    kind: Literal["sequence"] = "sequence"
    event: Event = Event()
    then: Event = Event()
    followed: bool = True
    within: Length = "4h"
    when: When = EVER
    same: Name | None = None

    def holds(self, facts: "Facts") -> Mask:
        """See Condition."""
        found = facts.followed(self.event, self.then, self.when, length(self.within), self.same, self.followed)
        return np.asarray(found >= 0)

    def sentence(self, names: Names) -> str:
        """See Condition."""
        same = f" with the same {self.same}" if self.same else ""
        when = f" {self.when.sentence}" if self.when != EVER else ""
        then = self.then.sentence if self.followed else self.then.denied
        return f"did {self.event.sentence}{when} and then {then}{same} within {spoken(self.within)}"

    def turns(self, facts: "Facts") -> Iterator[Instants]:
        """See Condition."""
        yield from turns_after(facts, instants_of(facts, self.event), [*self.when.lengths, length(self.within)])
        yield from turns_after(facts, instants_of(facts, self.then))

    def evidence(self, facts: "Facts", names: Names) -> Evidence:
        """See Condition."""
        rows = facts.followed_rows(self.event, self.then, self.when, length(self.within), self.same, self.followed)
        first = tuple(happening(facts, stream, row) for stream, row in rows)
        if first:
            if not self.followed:
                return Evidence("it was not followed in time", happenings=first, events=1)
            answers = tuple(
                happening(facts, stream, facts.follower(self.then, stream, row, self.same)) for stream, row in rows
            )
            return Evidence("one followed the other in time", happenings=(*first, *answers), events=2)
        did, times = happenings(facts, self.event, self.when)
        told = (
            "did not do the first"
            if not times
            else "not in time"
            if self.followed
            else "it was followed, or may be yet"
        )
        return Evidence(told, happenings=did[:5], events=times)

    @property
    def uses(self) -> Uses:
        """See Condition."""
        fields = (self.when.after,) if self.when.after else ()
        return Uses(events=(self.event, self.then), properties=(self.same,) if self.same else (), fields=fields)
