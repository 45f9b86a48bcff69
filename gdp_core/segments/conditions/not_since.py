"""Did something at least so long ago, and another thing not since: who waits for an answer, and for how long."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Literal

import numpy as np
from pydantic import model_validator

from gdp_core.segments.conditions.base import (
    ALWAYS,
    Condition,
    Event,
    Evidence,
    Happening,
    Instants,
    Length,
    Mask,
    Name,
    Names,
    Uses,
    happening,
    happenings,
    instants_of,
    length,
    spoken,
    turns_after,
    wrong,
)

if TYPE_CHECKING:
    from gdp_core.segments.facts import Facts


class NotSince(Condition):
    """Some `event` happened at least `ago` ago (and, with `within`, at most so long ago) and no `other` after it.

    With `same` only another of the same value of that property answers it, and events without the property ask nothing.
    Of two events at one instant the one that comes later in the order of ties is after the other.
    """

    title = "Did this, and not that since"
    icon = "hourglass_empty"
    help = "Something happened at least so long ago and something else did not follow: checkout started, no purchase."

    kind: Literal["not_since"] = "not_since"
    event: Event = Event()
    other: Event = Event()
    ago: Length = "24h"
    within: Length | None = None
    same: Name | None = None

    @model_validator(mode="after")
    def _possible(self) -> "NotSince":
        if self.within and length(self.within) < length(self.ago):
            raise wrong("within", "At most so long ago must not be shorter than at least so long ago.")
        return self

    def holds(self, facts: "Facts") -> Mask:
        """See Condition."""
        return np.asarray(facts.unanswered(self.event, self.other, *self._edges(facts), self.same) >= 0)

    def _edges(self, facts: "Facts") -> tuple[int, int]:
        """[since, until) of the event."""
        since = facts.at - length(self.within) if self.within else ALWAYS
        return since, min(facts.at, facts.at - length(self.ago) + 1)

    def sentence(self, names: Names) -> str:
        """See Condition."""
        when = (
            f"between {spoken(self.ago)} and {spoken(self.within)}" if self.within else f"at least {spoken(self.ago)}"
        )
        same = f" with the same {self.same}" if self.same else ""
        return f"did {self.event.sentence} {when} ago and {self.other.denied}{same} since"

    def turns(self, facts: "Facts") -> Iterator[Instants]:
        """See Condition."""
        asked = instants_of(facts, self.event)
        within = [length(self.within)] if self.within else []
        yield from turns_after(facts, asked, [length(self.ago) - 1, *within])
        yield from turns_after(facts, instants_of(facts, self.other))

    def evidence(self, facts: "Facts", names: Names) -> Evidence:
        """See Condition."""
        asked: tuple[Happening, ...] = tuple(
            happening(facts, stream, row)
            for stream, row in facts.unanswered_rows(self.event, self.other, *self._edges(facts), self.same)
        )
        if asked:
            return Evidence("did it, and nothing followed", happenings=asked, events=1)
        did, times = happenings(facts, self.event)
        answers, many = happenings(facts, self.other)
        if not times:
            return Evidence("never did it")
        waiting = facts.unanswered_rows(self.event, self.other, ALWAYS, facts.at, self.same)
        if waiting:
            last = tuple(happening(facts, stream, row) for stream, row in waiting)
            is_new = last[0].at > facts.at - length(self.ago)
            told = (
                "nothing followed yet, but it is not so long ago"
                if is_new
                else "nothing followed, but it is too long ago"
            )
            return Evidence(told, happenings=last, events=1)
        told = f"it was followed, or had no {self.same}" if self.same else "it was followed"
        return Evidence(told, happenings=(*did[:3], *answers[:3]), events=times + many)

    @property
    def uses(self) -> Uses:
        """See Condition."""
        return Uses(events=(self.event, self.other), properties=(self.same,) if self.same else ())
