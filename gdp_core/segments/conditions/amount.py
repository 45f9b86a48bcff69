"""A number of the events somebody did: a property added up, its average, least or greatest, or how many values it had."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Literal

from gdp_core.analytics.measures import is_money
from gdp_core.segments.conditions.base import (
    EVER,
    Compared,
    Condition,
    Event,
    Evidence,
    Instants,
    Mask,
    Name,
    Names,
    Uses,
    When,
    a,
    happenings,
    instants_of,
    turns_after,
)

if TYPE_CHECKING:
    from gdp_core.segments.facts import Facts

_WORDS = {
    "sum": "total {}",
    "average": "average {}",
    "min": "smallest {}",
    "max": "greatest {}",
    "distinct": "number of different values of {}",
}


class Amount(Condition):
    """`by` of the property `field` compared. Money (value_micros) is in micros; filter by currency where there are several.

    Nothing adds up to 0 and has 0 different values; it has no average, least or greatest, and then nothing holds.
    """

    title = "An amount of what they did"
    icon = "functions"
    help = "A property of events added up, averaged, its extremes, or how many different values it had."

    kind: Literal["amount"] = "amount"
    event: Event = Event()
    field: Name
    by: Literal["sum", "average", "min", "max", "distinct"] = "sum"
    compared: Compared = Compared()
    when: When = EVER

    def holds(self, facts: "Facts") -> Mask:
        """See Condition."""
        return self.compared.of(facts.numbers_of(self.event, self.when, self.field, self.by))

    def sentence(self, names: Names) -> str:
        """See Condition."""
        when = f" {self.when.sentence}" if self.when != EVER else ""
        of = self.event.sentence if self.event.names else f"{self.event.sentence} they did"
        if self.by == "distinct":
            return f"have {self.compared.sentence} different values of {self.field} in {of}{when}"
        return f"have {a(self._noun)} {self._shown.of_so_much} in {of}{when}"

    @property
    def _noun(self) -> str:
        return _WORDS[self.by].format(self.field.removesuffix("_micros").replace("_", " "))

    @property
    def _shown(self) -> Compared:
        return self.compared.over(1e6) if self.by != "distinct" and is_money(self.field) else self.compared

    def turns(self, facts: "Facts") -> Iterator[Instants]:
        """See Condition."""
        yield from turns_after(facts, instants_of(facts, self.event), self.when.lengths)

    def evidence(self, facts: "Facts", names: Names) -> Evidence:
        """See Condition."""
        found, count = happenings(facts, self.event, self.when)
        number = float(facts.numbers_of(self.event, self.when, self.field, self.by)[0])
        is_micros = self.by != "distinct" and is_money(self.field)
        shown = "nothing" if number != number else f"{number / 1e6 if is_micros else number:,.10g}"
        return Evidence(f"the {self._noun} is {shown}", shown, self._shown.sentence, found, count)

    @property
    def uses(self) -> Uses:
        """See Condition."""
        fields = (self.when.after,) if self.when.after else ()
        return Uses(events=(self.event,), properties=(self.field,), fields=fields)
