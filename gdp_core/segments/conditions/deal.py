"""Where a deal of theirs stands, and for how long: the last `deal_stage_changed` of each deal says so."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Literal

import numpy as np
from pydantic import Field, model_validator

from gdp_core.segments.conditions.base import (
    ALWAYS,
    Condition,
    Event,
    Evidence,
    Instants,
    Length,
    Mask,
    Names,
    Text,
    Uses,
    happening,
    happenings,
    instants_of,
    joined,
    length,
    listed,
    spoken,
    turns_after,
    wrong,
)

if TYPE_CHECKING:
    from gdp_core.segments.facts import Facts

EVENT = Event(names=("deal_stage_changed",))
STAGE, DEAL = "stage", "deal_id"


class Deal(Condition):
    """Some deal (deal_id; events without one are of one deal) stands in one of `stages`, at least `least` and at most `most`.

    Stages are compared without regard to case.
    """

    title = "Deal stage"
    icon = "handshake"
    help = "A deal of theirs stands in a stage, and for how long."

    kind: Literal["deal"] = "deal"
    stages: tuple[Text, ...] = Field(min_length=1, max_length=50)
    least: Length | None = None
    most: Length | None = None

    @model_validator(mode="after")
    def _possible(self) -> "Deal":
        if self.least and self.most and length(self.most) < length(self.least):
            raise wrong("most", "At most so long must not be shorter than at least so long.")
        return self

    def _edges(self, facts: "Facts") -> tuple[int, int]:
        since = facts.at - length(self.most) if self.most else ALWAYS
        return since, min(facts.at, facts.at - length(self.least) + 1) if self.least else facts.at

    def holds(self, facts: "Facts") -> Mask:
        """See Condition."""
        return np.asarray(facts.standing(EVENT, STAGE, self.stages, DEAL, *self._edges(facts)) >= 0)

    def sentence(self, names: Names) -> str:
        """See Condition."""
        long = [f"at least {spoken(self.least)}"] if self.least else []
        long += [f"at most {spoken(self.most)}"] if self.most else []
        return f"have a deal in the stage {listed(self.stages)}{f' for {joined(long)}' if long else ''}"

    def turns(self, facts: "Facts") -> Iterator[Instants]:
        """See Condition."""
        found = instants_of(facts, EVENT)
        most, least = ([length(one)] if one else [] for one in (self.most, self.least))
        yield from turns_after(facts, found, [*most, *(one - 1 for one in least)])

    def evidence(self, facts: "Facts", names: Names) -> Evidence:
        """See Condition."""
        rows = facts.standing_rows(EVENT, STAGE, self.stages, DEAL, *self._edges(facts))
        shown = tuple(happening(facts, stream, row) for stream, row in rows)
        if shown:
            return Evidence("a deal stands there", happenings=shown, events=len(shown))
        found, times = happenings(facts, EVENT)
        return Evidence("no deal stands there" if times else "has no deal", happenings=found, events=times)

    @property
    def uses(self) -> Uses:
        """See Condition."""
        return Uses(events=(EVENT,), properties=(STAGE, DEAL))
