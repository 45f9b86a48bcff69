"""A feature of the person compared with a number, a text or another feature."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from gdp_core.analytics.beginnings import NEVER
from gdp_core.features.base import Feature, Scored, Tally
from gdp_core.features.measuring import DAY
from gdp_core.segments.conditions.base import (
    AHEAD,
    LOOKS,
    NUMBER_WORDS,
    Compared,
    Condition,
    Event,
    Evidence,
    Instants,
    Mask,
    Name,
    Names,
    Number,
    NumberComparison,
    Text,
    Uses,
    instants_of,
    listed,
    turns_after,
    wrong,
)
from gdp_core.timeline.matching import Match, as_text

if TYPE_CHECKING:
    from gdp_core.segments.facts import Facts


class FeatureIs(Condition):
    """`feature` compared with `values`; with `other`, with that feature `factor` times; a text is one of `texts`.

    Money is in micros, a share from 0 to 1, instants are whole days since then. Where there is nothing, nothing holds.
    """

    title = "A feature"
    icon = "insights"
    help = "A number that is kept of each person, such as active days, compared with a value or another feature."

    kind: Literal["feature"] = "feature"
    feature: Name
    op: NumberComparison = "gte"
    values: tuple[Number, ...] = Field(default=(1.0,), max_length=2)
    other: Name | None = None
    factor: Number = 1.0
    texts: tuple[Text, ...] = Field(default=(), max_length=1000)

    @model_validator(mode="after")
    def _comparable(self) -> "FeatureIs":
        if self.other:
            if self.op == "between":
                raise wrong("op", "Compare with another feature by more, less or exactly.")
        elif not self.texts:
            Compared(op=self.op, values=self.values)
        return self

    def holds(self, facts: "Facts") -> Mask:
        """See Condition."""
        told = facts.feature(self.feature)
        if self.texts:
            held = told.is_one_of(self.texts)
            is_text = ~np.isnan(told.values) if told.words is not None else facts.nobody()
            return np.asarray(~held & is_text if self.op == "is_not" else held)
        if self.other:
            return _compare(self.op, told.numbers, facts.feature(self.other).numbers * self.factor)
        return Compared(op=self.op, values=self.values).of(told.numbers)

    def sentence(self, names: Names) -> str:
        """See Condition."""
        title = f"“{names.feature(self.feature)}”"
        if self.texts:
            return f"have {title} {'other than' if self.op == 'is_not' else 'of'} {listed(self.texts)}"
        if self.other:
            factor = "" if self.factor == 1 else f"{self.factor:,.10g} times "
            of = "" if self.op == "is_not" else "of "
            return f"have {title} {of}{NUMBER_WORDS[self.op]} {factor}“{names.feature(self.other)}”"
        compared = Compared(op=self.op, values=self.values)
        if self.feature in names.shares:
            return f"have {title} {compared.over(0.01).of_so_much} %"
        return f"have {title} {(compared.over(1e6) if self.feature in names.money else compared).of_so_much}"

    def turns(self, facts: "Facts") -> Iterator[Instants]:
        """See Condition."""
        for slug in filter(None, (self.feature, self.other)):
            yield from turns_of(facts, facts.surroundings.features.get(slug), [] if self.other else self.values)

    def evidence(self, facts: "Facts", names: Names) -> Evidence:
        """See Condition."""
        shown = [_shown(facts, slug) for slug in (self.feature, self.other) if slug]
        told = " against ".join(shown)
        return Evidence(
            f"{names.feature(self.feature)} is {told}", shown[0], self.sentence(names).removeprefix("have ")
        )

    @property
    def uses(self) -> Uses:
        """See Condition."""
        return Uses(features=tuple(slug for slug in (self.feature, self.other) if slug))


def _compare(op: str, left: NDArray[np.float64], right: NDArray[np.float64]) -> Mask:
    known = ~np.isnan(left) & ~np.isnan(right)
    compared = {
        "is": np.equal,
        "is_not": np.not_equal,
        "gt": np.greater,
        "gte": np.greater_equal,
        "lt": np.less,
        "lte": np.less_equal,
    }[op]
    return np.asarray(known & compared(left, right))


def _shown(facts: "Facts", slug: str) -> str:
    told = facts.feature(slug)
    number = float(told.values[0])
    if number != number:
        return "nothing"
    names = facts.surroundings.names
    if slug in names.shares:
        return f"{number:.1%}"
    if slug in names.money:
        return f"{number / 1e6:,.2f}"
    return f"{number:,.10g}" if told.words is None else as_text(told.words[int(number)])


def turns_of(
    facts: "Facts", feature: Feature | None, values: "tuple[float, ...] | list[float]" = ()
) -> Iterator[Instants]:
    """When a feature may become another by time alone, of a timeline of one person; `values` it is compared with."""
    if feature is None:
        return
    made = feature.made
    if isinstance(made, Scored):
        yield from turns_of_score(facts)
        return
    if feature.column:
        if feature.column.kind in ("since", "instant"):
            found = facts.instants(feature.column.column)
            yield from _days_after(facts, found[found != NEVER], values)
    elif isinstance(made, Tally):
        yield from _of_tally(facts, made, values)


def turns_of_score(facts: "Facts") -> Iterator[Instants]:
    """Every midnight UTC at which somebody has a churn score, and the one at which they have none any more."""
    model = facts.surroundings.model
    core = instants_of(facts, Event.of(model.core)) if model else np.empty(0, np.int64)
    if model and len(core):
        last = min(int(core[-1]) + model.baseline.micros + DAY, facts.at + AHEAD)
        yield np.arange(facts.at // DAY + 1, last // DAY + 1, dtype=np.int64) * DAY


def _of_tally(facts: "Facts", made: Tally, values: "tuple[float, ...] | list[float]") -> Iterator[Instants]:
    match = made.of if isinstance(made.of, Match) else facts.surroundings.roles.get(made.of.name)
    if match is None:
        return
    found = instants_of(facts, Event.of(match))
    yield from turns_after(facts, found, [made.window.micros] if made.window else [])
    if made.kind in ("since", "instant"):
        yield from _days_after(facts, found, values)


def _days_after(facts: "Facts", found: Instants, values: "tuple[float, ...] | list[float]") -> Iterator[Instants]:
    """When so many whole days have passed; of no particular number, every day from now on."""
    if values:
        wanted = {int(np.floor(value)) + more for value in values if abs(value) < 1e6 for more in (0, 1)}
        yield from turns_after(facts, found, [day * DAY - 1 for day in wanted])
        return
    yield from turns_after(facts, found)
    passed = np.maximum(0, (facts.at - found) // DAY)
    coming = np.sort(found + (passed + 1) * DAY)
    coming = coming[np.diff(coming, prepend=coming[:1] - 1) > 0][: LOOKS + 1]  # each day again
    for day in range(AHEAD // DAY + 1):
        yield coming + day * DAY
