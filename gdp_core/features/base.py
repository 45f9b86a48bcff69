"""What a feature is: something told of one person, what it is called, what it means, and what it is made from.

A feature that counts days since something keeps the instant; the days follow from `now` when they are read. So nothing
has to be written because a day went by.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from gdp_core.analytics.measures import MONEY
from gdp_core.analytics.window import Window
from gdp_core.timeline.matching import Match

Aggregate = Literal["count", "sum", "distinct", "days", "since", "first", "last"]
Kind = Literal["number", "money", "since", "instant", "text", "share"]
"""How a value is kept and shown: a number, micros (of the currency `unit` names, else the person's), the instant that days
are counted from, an instant, a text, a share from 0 to 1."""
Told = float | str | datetime
"""A value as it is read: a number, micros, whole days, a text, an instant, a share."""


@dataclass(frozen=True, slots=True)
class Role:
    """The events that play an event role in the workspace."""

    name: str


ANYTHING = Match(())
"""Whatever a person surely did: no machine, no billing system, no picture that a mail program may have loaded."""


@dataclass(frozen=True, slots=True)
class Tally:
    """Made from events: how many (count), a field added up (sum), its different values (distinct), on how many days
    (days, UTC), how long ago the last one was (since), when the first or last was, or with a field what it said then.

    Only events of the `window` before `now` count, half-open: [now - window, now). None: all there are. An event that is
    asked for by name counts unless a machine did it.
    """

    of: Match | Role
    by: Aggregate
    window: Window | None = None
    field: str | None = None

    @property
    def kind(self) -> Kind:
        """What comes of it."""
        if self.by == "since":
            return "since"
        if self.by in ("first", "last"):
            return "text" if self.field else "instant"
        return "money" if self.by == "sum" and self.field == MONEY else "number"


@dataclass(frozen=True, slots=True)
class Held:
    """A column of the person, which keeps it: nothing is stored twice."""

    column: str
    kind: Kind


@dataclass(frozen=True, slots=True)
class Scored:
    """Told by a model of the workspace; see gdp_core/early_warning.py."""

    kind: Kind = "share"


@dataclass(frozen=True, slots=True)
class Feature:
    """Something told of a person. `unit` follows a number; `definition` is the sentence people read.

    `held`: the column of the person in which the present value stands anyway. `made` still says what it was at any
    earlier instant.
    """

    slug: str
    title: str
    unit: str
    definition: str
    made: Tally | Held | Scored
    held: Held | None = None
    is_defined: bool = False  # by the workspace

    @property
    def kind(self) -> Kind:
        """How its values are kept and shown."""
        return self.made.kind

    @property
    def column(self) -> Held | None:
        """Where the present value stands among the person's columns; None where it is stored as a feature."""
        return self.made if isinstance(self.made, Held) else self.held
