"""Is on a saved list of people, or is not."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Literal

from gdp_core.segments.conditions.base import Condition, Evidence, Instants, Mask, Name, Names, Uses

if TYPE_CHECKING:
    from gdp_core.segments.facts import Facts


class OnList(Condition):
    """`people` is the id of a static list; `member` false means those who are not on it."""

    title = "On a saved list"
    icon = "list_alt"
    help = "On a list that was saved from a report or imported, or not on it."

    kind: Literal["list"] = "list"
    people: Name
    member: bool = True

    def holds(self, facts: "Facts") -> Mask:
        """See Condition."""
        held = facts.listed(self.people)
        return held if self.member else ~held

    def sentence(self, names: Names) -> str:
        """See Condition."""
        name = names.static_list(self.people)
        which = f"the list “{name}”" if self.people in names.lists else name
        return f"are {'' if self.member else 'not '}on {which}"

    def turns(self, facts: "Facts") -> Iterator[Instants]:
        """See Condition. Time alone changes nothing."""
        yield from ()

    def evidence(self, facts: "Facts", names: Names) -> Evidence:
        """See Condition."""
        held = bool(facts.listed(self.people)[0])
        return Evidence("is on it" if held else "is not on it", "on" if held else "off", "on" if self.member else "off")

    @property
    def uses(self) -> Uses:
        """See Condition."""
        return Uses(lists=(self.people,))
