"""What a funnel is asked. A question that has no answer cannot be made: it says why in one sentence."""

from dataclasses import dataclass
from typing import Literal

from gdp_core.analytics.breakdown import Breakdown
from gdp_core.analytics.calendar import Interval
from gdp_core.analytics.window import Window
from gdp_core.errors import InvalidInput
from gdp_core.timeline.matching import MOST_MATCHES, Match

Order = Literal["ordered", "strict", "any"]
Prefer = Literal["earliest", "shortest"]
Touch = Literal["first", "last"] | int
FEWEST_STEPS, MOST_STEPS, MOST_TRAITS = 2, 20, 20
_TWO_WEEKS, _A_WEEK = Window(14, "d"), Window(7, "d")


@dataclass(frozen=True, slots=True)
class Step:
    """Events that fill a step. An optional one is counted, but nobody has to take it."""

    match: Match
    optional: bool = False
    name: str = ""

    @property
    def title(self) -> str:
        """What it is called."""
        return self.name or self.match.title


@dataclass(frozen=True, slots=True)
class Exclusion:
    """Events that void an attempt which has taken step `after` (1 is the first) and not yet the next required one."""

    match: Match
    after: int


@dataclass(frozen=True, slots=True)
class FactorQuestion:
    """What to compare the dropped with the converted by: fields of people, and events in the time before they entered."""

    traits: tuple[str, ...] = ()
    lookback: Window = _A_WEEK

    def __post_init__(self) -> None:
        """Raise InvalidInput for too many fields."""
        if len(self.traits) > MOST_TRAITS:
            raise InvalidInput(f"At most {MOST_TRAITS} fields can be compared at once; leave some out.")


@dataclass(frozen=True, slots=True)
class FunnelQuestion:
    """Steps, the time from the first step within which the others must follow, and how they must follow each other.

    `prefer`: which of the attempts that got equally far counts. `touch`: which step's event gives a breakdown by a
    field of events its value: the first one of the attempt, the last one it reached, or the one of that step (1 is the
    first). `interval` of the trend, None: one that suits the period. `everything`: machines count too.
    """

    steps: tuple[Step, ...]
    window: Window = _TWO_WEEKS
    order: Order = "ordered"
    exclusions: tuple[Exclusion, ...] = ()
    prefer: Prefer = "earliest"
    breakdown: Breakdown | None = None
    touch: Touch = "first"
    interval: Interval | None = None
    factors: FactorQuestion | None = None
    everything: bool = False

    def __post_init__(self) -> None:
        """Raise InvalidInput for what is no funnel."""
        self._check_steps()
        self._check_exclusions()
        if self.prefer not in ("earliest", "shortest"):
            raise InvalidInput("Prefer the earliest or the shortest attempt.")
        if self.touch not in ("first", "last") and self.touch not in range(1, len(self.steps) + 1):
            raise InvalidInput(f"Break down by the first or the last step, or by one of the steps 1-{len(self.steps)}.")
        if self.interval not in (None, "day", "week", "month"):
            raise InvalidInput("A trend is by day, week or month.")

    def _check_steps(self) -> None:
        if not FEWEST_STEPS <= len(self.steps) <= MOST_STEPS:
            given = f"this one has {len(self.steps)}"
            raise InvalidInput(f"A funnel has between {FEWEST_STEPS} and {MOST_STEPS} steps; {given}.")
        if self.order not in ("ordered", "strict", "any"):
            raise InvalidInput("The order of a funnel's steps is ordered, strict or any.")
        if self.steps[0].optional or self.steps[-1].optional:
            raise InvalidInput(
                "The first and the last step say who entered and who converted; they cannot be optional."
            )

    def _check_exclusions(self) -> None:
        if self.exclusions and self.order != "ordered":
            raise InvalidInput("Only a funnel in the order of its steps can have exclusions; choose that order.")
        for exclusion in self.exclusions:
            if not 1 <= exclusion.after < len(self.steps):
                raise InvalidInput(f"An exclusion stands after one of the steps 1-{len(self.steps) - 1}.")
            if self.steps[exclusion.after - 1].optional:
                raise InvalidInput("An exclusion stands after a step that everybody has to take, not an optional one.")
        if len(self.steps) + len(self.exclusions) > MOST_MATCHES:
            raise InvalidInput(f"Steps and exclusions together can be {MOST_MATCHES} at most; leave some out.")

    @property
    def required(self) -> tuple[int, ...]:
        """The places of the required steps, 0 the first."""
        return tuple(place for place, step in enumerate(self.steps) if not step.optional)

    @property
    def matches(self) -> tuple[Match, ...]:
        """Those of the steps, then those of the exclusions."""
        return (*(step.match for step in self.steps), *(exclusion.match for exclusion in self.exclusions))

    @property
    def titles(self) -> tuple[str, ...]:
        """What the steps are called. Required ones in any order are counted by how many were taken."""
        if self.order != "any":
            return tuple(step.title for step in self.steps)
        number = {place: count for count, place in enumerate(self.required, 1)}
        return tuple(
            step.title if step.optional else f"{number[place]} of {len(number)} steps"
            for place, step in enumerate(self.steps)
        )

    @property
    def definition(self) -> str:
        """What the numbers mean, in sentences."""
        steps = [f"{step.title} (optional)" if step.optional else step.title for step in self.steps]
        listed = ", ".join(steps[:-1]) + f" and {steps[-1]}"
        begins = f"the event {steps[0]}" if self.order != "any" else "an event of a required step"
        how = {
            "ordered": f"takes {listed}, in this order, other events between them allowed,",
            "strict": f"takes {listed}, in this order and without any other event between them,",
            "any": f"takes {listed}, in any order,",
        }[self.order]
        which = {
            "earliest": "the one that got furthest counts, and of several of those the earliest",
            "shortest": "the one that got furthest counts, and of several of those the shortest",
        }[self.prefer]
        excluded = [
            f"An attempt ends at {one.match.title} after {self.steps[one.after - 1].title}." for one in self.exclusions
        ]
        return " ".join(
            [
                f"An attempt begins with {begins} in the period. It converts when the person {how}"
                f" within {self.window.text} of its beginning.",
                f"Of a person's attempts {which}.",
                *excluded,
                "Open: not converted, and the window of an attempt has not passed. Mature: no window is open.",
            ]
        )
