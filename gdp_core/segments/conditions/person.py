"""A field or trait of the person, as it is now: texts, numbers, lists, and days relative to today."""

from collections.abc import Iterator
from datetime import date
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np
from pydantic import Field, model_validator

from gdp_core.analytics.beginnings import NEVER
from gdp_core.analytics.calendar import instant, micros
from gdp_core.analytics.scope import midnight
from gdp_core.segments.conditions.base import (
    COMPARISON_WORDS,
    MOST_VALUES,
    NUMBER_WORDS,
    Compared,
    Condition,
    Day,
    Evidence,
    Instants,
    Length,
    Mask,
    Name,
    Names,
    Uses,
    Value,
    a,
    check_comparison,
    in_money,
    instant_name,
    length,
    listed,
    local,
    shown,
    spoken,
    wrong,
)
from gdp_core.timeline import matching
from gdp_core.timeline.matching import Comparison, as_text

if TYPE_CHECKING:
    from gdp_core.segments.facts import Facts

Dated = Literal["before", "on_or_after", "within_last", "longer_ago", "within_next", "further_ahead", "anniversary"]
DATED: tuple[str, ...] = get_args(Dated)
_DONE = {
    "signup_at": "signed up",
    "first_seen_at": "were first seen",
    "last_seen_at": "were last seen",
    "first_action_at": "first used the product",
    "last_action_at": "last used the product",
    "trial_started_at": "started a trial",
    "subscribed_at": "subscribed",
    "subscription_started_at": "started their subscription",
    "subscription_ends_at": "have a subscription that ends",
    "marketing_qualified_at": "became marketing qualified",
}
"""What people did at instants that everybody can have."""
RELATIVE = ("within_last", "longer_ago", "within_next", "further_ahead")


_SPELT = {"mrr_micros": "MRR"}


def is_in_micros(field: str) -> bool:
    """Whether a field of people holds money."""
    return field.endswith("_micros")


class Person(Condition):
    """`field` compared: with `values` as matching.Condition does, `between` two numbers (both included), or as an instant.

    Instants: `before` and `on_or_after` a local `day`; `within_last` in [now - length, now); `longer_ago` before
    now - length; `within_next` in [now, now + length); `further_ahead` not before now + length; `anniversary`: its local
    month and day are today's, in a later year; 29 February is kept on the 28th of other years.
    """

    title = "A field of the person"
    icon = "badge"
    help = "Stage, plan, company or any other trait, compared with a value or with today."

    kind: Literal["person"] = "person"
    field: Name
    op: Comparison | Literal["between"] | Dated = "is"
    values: tuple[Value, ...] = Field(default=(), max_length=MOST_VALUES)
    day: Day | None = None
    length: Length | None = None

    @model_validator(mode="after")
    def _comparable(self) -> "Person":
        if self.op in ("before", "on_or_after") and not self.day:
            raise wrong("day", "Choose a day.")
        if self.op in RELATIVE and not self.length:
            raise wrong("length", "Say how long, like 7d.")
        if self.op == "between":
            self._between()
        elif self.op not in DATED:
            check_comparison(f"person.{self.field.removeprefix('person.')}", self.op, self.values)  # type: ignore[arg-type]
        return self

    def _between(self) -> Compared:
        numbers = [matching.number(value) for value in self.values]
        if len(numbers) != 2 or None in numbers:
            raise wrong("values", "Give two numbers, the lower one first.")
        low, high = (number for number in numbers if number is not None)
        if low > high:
            raise wrong("values", "Give the lower number first.")
        return Compared(op="between", values=(low, high))

    def holds(self, facts: "Facts") -> Mask:
        """See Condition."""
        if self.op == "between":
            return self._between().of(facts.numbers(self.field))
        if self.op not in DATED:
            return facts.compared(self.field, self.op, self.values)  # type: ignore[arg-type]
        found = facts.instants(self.field)
        known = found != NEVER
        if self.op == "anniversary":
            return np.asarray(known & self._is_today(found, facts))
        since, until = self._range(facts)
        held = known & (found >= since) if since is not None else known
        return np.asarray(held & (found < until) if until is not None else held)

    def _range(self, facts: "Facts") -> tuple[int | None, int | None]:
        """The instants [since, until) that are meant."""
        if self.day:
            edge = micros(midnight(date.fromisoformat(self.day), facts.zone))
            return (None, edge) if self.op == "before" else (edge, None)
        long = length(self.length or "1d")
        if self.op in ("within_last", "longer_ago"):
            return (facts.at - long, facts.at) if self.op == "within_last" else (None, facts.at - long)
        return (facts.at, facts.at + long) if self.op == "within_next" else (facts.at + long, None)

    def _is_today(self, found: Instants, facts: "Facts") -> Mask:
        """Whose local day is one of the days of earlier years of which today is the anniversary."""
        today = instant(facts.at).astimezone(facts.zone).date()
        days = [day for year in range(_FIRST_YEAR, today.year) for day in _kept_on(today, year)]
        edges = [
            micros(midnight(date.fromordinal(day.toordinal() + more), facts.zone)) for day in days for more in (0, 1)
        ]
        return np.asarray(np.searchsorted(np.array(edges, np.int64), found, "right") % 2 == 1)

    def sentence(self, names: Names) -> str:
        """See Condition."""
        if self.op == "anniversary":
            return f"have the anniversary of their {instant_name(self.field)} today"
        if self.op in DATED:
            long = spoken(self.length) if self.length else ""
            told = {
                "before": f"before {self.day}",
                "on_or_after": f"on or after {self.day}",
                "within_last": f"in the last {long}",
                "longer_ago": f"more than {long} ago",
                "within_next": f"in the next {long}",
                "further_ahead": f"more than {long} ahead",
            }[self.op]
            name = self.field.removeprefix("person.")
            return f"{_DONE[name]} {told}" if name in _DONE else f"have {a(self._noun)} {told}"
        return self._valued(self._noun)

    @property
    def _noun(self) -> str:
        name = self.field.removeprefix("person.")
        if name.endswith("_at"):
            return f"{instant_name(name)} date"
        return _SPELT.get(name) or name.removesuffix("_micros").replace("_", " ")

    @property
    def _shown(self) -> tuple[Value, ...]:
        """The values as people read them: money not in micros."""
        return tuple(map(in_money, self.values)) if is_in_micros(self.field) else self.values

    def _valued(self, name: str) -> str:
        values = listed(self._shown)
        match self.op:
            case "is" | "is_not":
                return f"{'have' if self.op == 'is' else 'do not have'} the {name} {values}"
            case "set" | "not_set":
                return f"have {a(name) if self.op == 'set' else f'no {name}'}"
            case "includes" | "not_includes":
                return f"{'have' if self.op == 'includes' else 'do not have'} {values} among their {name}"
            case "gt" | "gte" | "lt" | "lte" | "between":
                of = "" if self.op == "between" else "of "
                return f"have {a(name)} {of}{NUMBER_WORDS[self.op]} {listed(self._shown, 'and')}"
            case "not_contains":
                return f"have no {name} that contains {values}"
        return f"have {a(name)} that {COMPARISON_WORDS[self.op]} {values}"

    def turns(self, facts: "Facts") -> Iterator[Instants]:
        """See Condition."""
        if self.op not in DATED or self.day:
            return
        found = facts.instants(self.field)
        found = found[found != NEVER]
        if self.op == "anniversary":
            year = instant(facts.at).astimezone(facts.zone).year
            born = filter(None, (local(int(at), facts.zone) for at in found))
            days = [_in_year(one.date(), year + more) for one in born for more in (0, 1)]
            bounds = [day for one in days for day in (one, date.fromordinal(one.toordinal() + 1))]
            yield np.array([micros(midnight(day, facts.zone)) for day in bounds], np.int64)
            return
        long = length(self.length or "1d")
        yield found + 1
        yield found + (long if self.op in ("within_last", "longer_ago") else -long) + 1

    def evidence(self, facts: "Facts", names: Names) -> Evidence:
        """See Condition."""
        if self.op in DATED:
            found = int(facts.instants(self.field)[0])
            told = shown(found, facts.zone)
        else:
            column = facts.person(self.field)
            told = self._told(column.values[column.codes[0]]) if column.codes[0] >= 0 else "not known"
        return Evidence(f"{self._noun} is {told}", told, self.sentence(names))

    def _told(self, value: Value) -> str:
        return as_text(in_money(value) if is_in_micros(self.field) else value)

    @property
    def uses(self) -> Uses:
        """See Condition."""
        return Uses(fields=(self.field.removeprefix("person."),))


_FIRST_YEAR = 2  # of the first one some instants are before the calendar begins


def _in_year(day: date, year: int) -> date:
    """The anniversary of a day in a year."""
    try:
        return day.replace(year=year)
    except ValueError:
        return date(year, 2, 28)


def _kept_on(day: date, year: int) -> Iterator[date]:
    """The days of a year of which a day is the anniversary, in order."""
    ordinals = date(year, 2, 28).toordinal(), _in_year(day, year).toordinal()
    for ordinal in sorted({*ordinals, ordinals[0] + 1}):
        if _in_year(found := date.fromordinal(ordinal), day.year) == day:
            yield found
