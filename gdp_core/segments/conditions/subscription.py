"""What somebody subscribes to: the status, plan and worth of their subscription, when it began, and whether it will end.

Of several subscriptions it is the live one worth most, else the last.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Literal

from pydantic import Field, model_validator

from gdp_core.segments.conditions.base import (
    Compared,
    Condition,
    Evidence,
    Instants,
    Length,
    Mask,
    Names,
    Text,
    Uses,
    joined,
    listed,
    spoken,
    wrong,
)
from gdp_core.segments.conditions.person import Person

if TYPE_CHECKING:
    from gdp_core.segments.facts import Facts

STATUS, PLAN, MRR = "subscription_status", "plan_name", "mrr_micros"
STARTED, ENDS = "subscription_started_at", "subscription_ends_at"


class Subscription(Condition):
    """All that is said holds: `statuses` and `plans` (one of them), `mrr` in micros a month, `started` so long ago, and
    `ending`: a cancellation is scheduled (true) or none is (false).
    """

    title = "Their subscription"
    icon = "credit_card"
    help = "Status, plan, MRR, how long it runs, and whether it is going to end."

    kind: Literal["subscription"] = "subscription"
    statuses: tuple[Text, ...] = Field(default=(), max_length=20)
    plans: tuple[Text, ...] = Field(default=(), max_length=100)
    mrr: Compared | None = None
    started: Literal["within_last", "longer_ago"] | None = None
    length: Length | None = None
    ending: bool | None = None

    @model_validator(mode="after")
    def _says_something(self) -> "Subscription":
        if not (self.statuses or self.plans or self.mrr or self.started) and self.ending is None:
            raise ValueError("Choose a status, a plan, an MRR, how long it runs or whether it ends.")
        if self.started and not self.length:
            raise wrong("length", "Say how long, like 7d.")
        return self

    @property
    def parts(self) -> tuple[Person, ...]:
        """The same as conditions on fields of the person; `mrr` is not among them."""
        found = []
        if self.statuses:
            found.append(Person(field=STATUS, op="is", values=self.statuses))
        if self.plans:
            found += [Person(field=STATUS, op="set"), Person(field=PLAN, op="is", values=self.plans)]
        if self.started:
            found.append(Person(field=STARTED, op=self.started, length=self.length))
        if self.ending is not None:
            found += [Person(field=STATUS, op="set"), Person(field=ENDS, op="set" if self.ending else "not_set")]
        return tuple(found)

    def holds(self, facts: "Facts") -> Mask:
        """See Condition."""
        held = ~facts.nobody()
        for part in self.parts:
            held &= part.holds(facts)
        return held & self.mrr.of(facts.numbers(MRR)) if self.mrr else held

    def sentence(self, names: Names) -> str:
        """See Condition."""
        parts = []
        if self.statuses:
            parts.append(f"is {' or '.join(status.replace('_', ' ') for status in self.statuses)}")
        if self.plans:
            parts.append(f"is of the plan {listed(self.plans)}")
        if self.mrr:
            parts.append(f"is worth {self.mrr.over(1e6).sentence} a month")
        if self.started and self.length:
            parts.append(
                f"began {'in the last' if self.started == 'within_last' else 'more than'} {spoken(self.length)}"
            )
            parts[-1] += " ago" if self.started == "longer_ago" else ""
        if self.ending is not None:
            parts.append("is going to end" if self.ending else "is not going to end")
        return f"have a subscription that {joined(parts)}"

    def turns(self, facts: "Facts") -> Iterator[Instants]:
        """See Condition."""
        for part in self.parts:
            yield from part.turns(facts)

    def evidence(self, facts: "Facts", names: Names) -> Evidence:
        """See Condition."""
        told = [Person(field=name, op="set").evidence(facts, names).found for name in (STATUS, PLAN)]
        mrr = float(facts.numbers(MRR)[0])
        worth = "" if mrr != mrr else f", MRR {mrr / 1e6:,.2f}"
        begun = Person(field=STARTED, op="longer_ago", length="1s").evidence(facts, names).found
        return Evidence(f"subscription {told[0]}, plan {told[1]}{worth}, began {begun}", told[0])

    @property
    def uses(self) -> Uses:
        """See Condition."""
        fields = [part.field for part in self.parts]
        return Uses(fields=tuple(dict.fromkeys([*fields, *([MRR] if self.mrr else [])])))
