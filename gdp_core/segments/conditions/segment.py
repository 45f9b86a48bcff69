"""Belongs to another segment, or does not: that segment's own rule, asked at the same instant."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Literal

from gdp_core.segments.conditions.base import Condition, Evidence, Instants, Mask, Name, Names, Uses

if TYPE_CHECKING:
    from gdp_core.segments.facts import Facts


class Segment(Condition):
    """`segment` is the id of another segment; `member` false means those outside of it."""

    title = "Member of a segment"
    icon = "group_work"
    help = "In another segment, or not in it. A segment cannot be made of itself."

    kind: Literal["segment"] = "segment"
    segment: Name
    member: bool = True

    def holds(self, facts: "Facts") -> Mask:
        """See Condition."""
        held = facts.belongs(self.segment)
        return held if self.member else ~held

    def sentence(self, names: Names) -> str:
        """See Condition."""
        name = names.segment(self.segment)
        which = f"the segment “{name}”" if self.segment in names.segments else name
        return f"are {'' if self.member else 'not '}in {which}"

    def turns(self, facts: "Facts") -> Iterator[Instants]:
        """See Condition."""
        for condition in facts.made_of(self.segment):
            yield from condition.turns(facts)

    def evidence(self, facts: "Facts", names: Names) -> Evidence:
        """See Condition."""
        held = bool(facts.belongs(self.segment)[0])
        return Evidence("is in it" if held else "is not in it", "in" if held else "out", "in" if self.member else "out")

    @property
    def uses(self) -> Uses:
        """See Condition."""
        return Uses(segments=(self.segment,))
