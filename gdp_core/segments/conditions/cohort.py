"""When somebody signed up, and where they came from."""

from collections.abc import Iterator
from datetime import date
from typing import TYPE_CHECKING, Literal

import numpy as np
from pydantic import Field, model_validator

from gdp_core.analytics.beginnings import NEVER
from gdp_core.analytics.calendar import micros
from gdp_core.analytics.scope import midnight
from gdp_core.segments.conditions.base import (
    Condition,
    Day,
    Evidence,
    Instants,
    Mask,
    Names,
    Text,
    Uses,
    joined,
    listed,
    local,
    wrong,
)
from gdp_core.segments.conditions.person import Person

if TYPE_CHECKING:
    from gdp_core.segments.facts import Facts

_SIGNUP = "signup_at"


class Cohort(Condition):
    """Signed up on local days from `since` to `until`, both included, and came from one of `sources` (first touch)."""

    title = "Cohort"
    icon = "calendar_month"
    help = "Signed up in a period, and where they came from first."

    kind: Literal["cohort"] = "cohort"
    since: Day | None = None
    until: Day | None = None
    sources: tuple[Text, ...] = Field(default=(), max_length=20)

    @model_validator(mode="after")
    def _says_something(self) -> "Cohort":
        if not (self.since or self.until or self.sources):
            raise ValueError("Choose the first or last day of signing up, or a source.")
        if self.since and self.until and self.since > self.until:
            raise wrong("until", "The last day is before the first one.")
        return self

    def holds(self, facts: "Facts") -> Mask:
        """See Condition."""
        signed_up = facts.instants(_SIGNUP)
        held = np.asarray(signed_up != NEVER)
        if self.since:
            held = held & (signed_up >= micros(midnight(date.fromisoformat(self.since), facts.zone)))
        if self.until:
            following = date.fromordinal(date.fromisoformat(self.until).toordinal() + 1)
            held = held & (signed_up < micros(midnight(following, facts.zone)))
        if self.sources:
            of_source = Person(field="source", op="is", values=self.sources).holds(facts)
            held = held & of_source if self.since or self.until else of_source
        return np.asarray(held)

    def sentence(self, names: Names) -> str:
        """See Condition."""
        when = f"on {self.since} or later" if self.since else f"on {self.until} or earlier" if self.until else ""
        if self.since and self.until:
            when = f"on {self.since}" if self.since == self.until else f"from {self.since} to {self.until}"
        came = f"came from {listed(self.sources)}" if self.sources else ""
        return joined([part for part in (when and f"signed up {when}", came) if part])

    def turns(self, facts: "Facts") -> Iterator[Instants]:
        """See Condition. Days of the calendar do not move."""
        yield from ()

    def evidence(self, facts: "Facts", names: Names) -> Evidence:
        """See Condition."""
        at = int(facts.instants(_SIGNUP)[0])
        signed_up = local(at, facts.zone)
        day = f"{signed_up.day} {signed_up:%b %Y}" if signed_up else ""
        column = facts.person("source")
        source = str(column.values[column.codes[0]]) if column.codes[0] >= 0 else "unknown"
        return Evidence(f"{f'signed up on {day}' if day else 'never signed up'}, came from {source}", day)

    @property
    def uses(self) -> Uses:
        """See Condition."""
        return Uses(fields=((_SIGNUP,) if self.since or self.until else ()) + (("source",) if self.sources else ()))
