"""Does something regularly: in at least k of the last n periods."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Literal

import numpy as np
from pydantic import Field, model_validator

from gdp_core.analytics.window import Window
from gdp_core.errors import InvalidInput
from gdp_core.segments.conditions.base import (
    Condition,
    Event,
    Evidence,
    Instants,
    Length,
    Mask,
    Names,
    Uses,
    happenings,
    instants_of,
    length,
    spoken,
    turns_after,
    wrong,
)

if TYPE_CHECKING:
    from gdp_core.segments.facts import Facts


class Regularly(Condition):
    """At least once in `at_least` of the last `of` periods of the length `period`, the newest of which ends now."""

    title = "Does something regularly"
    icon = "event_repeat"
    help = "In at least so many of the last periods, such as 3 of the last 4 weeks."

    kind: Literal["regularly"] = "regularly"
    event: Event = Event()
    period: Length = "1w"
    of: int = Field(default=4, ge=1, le=366)
    at_least: int = Field(default=3, ge=1, le=366)

    @model_validator(mode="after")
    def _possible(self) -> "Regularly":
        if self.at_least > self.of:
            raise wrong("at_least", "So many periods are more than there are: choose fewer.")
        window = Window.parse(self.period)
        try:
            Window(window.amount * self.of, window.unit)
        except InvalidInput as error:
            raise wrong("of", f"These periods are too long together. {error}") from None
        return self

    def holds(self, facts: "Facts") -> Mask:
        """See Condition."""
        return np.asarray(facts.periods(self.event, length(self.period), self.of) >= self.at_least)

    def sentence(self, names: Names) -> str:
        """See Condition."""
        amount, _, unit = spoken(self.period).partition(" ")
        periods = f"{unit}s" if amount == "1" else f"periods of {amount} {unit}"
        if self.of == 1:
            return f"did {self.event.sentence} in the last {spoken(self.period)}"
        share = "each" if self.at_least == self.of else f"at least {self.at_least:,}"
        return f"did {self.event.sentence} in {share} of the last {self.of:,} {periods}"

    def turns(self, facts: "Facts") -> Iterator[Instants]:
        """See Condition."""
        each = length(self.period)
        yield from turns_after(
            facts, instants_of(facts, self.event), [number * each for number in range(1, self.of + 1)]
        )

    def evidence(self, facts: "Facts", names: Names) -> Evidence:
        """See Condition."""
        found = int(facts.periods(self.event, length(self.period), self.of)[0])
        shown, times = happenings(facts, self.event)
        return Evidence(
            f"in {found:,} of {self.of:,} periods", f"{found:,}", f"at least {self.at_least:,}", shown, times
        )

    @property
    def uses(self) -> Uses:
        """See Condition."""
        return Uses(events=(self.event,))
