"""How likely somebody is to fall silent, by the workspace's early-warning model."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Literal

from gdp_core.segments.conditions.base import Compared, Condition, Evidence, Instants, Mask, Names, Uses
from gdp_core.segments.conditions.feature import turns_of_score

if TYPE_CHECKING:
    from gdp_core.segments.facts import Facts

_SLUG = "churn_risk"


class Churn(Condition):
    """The score, from 0 to 1, compared. Who has none, or where there is no model, nothing holds."""

    title = "Churn score"
    icon = "warning"
    help = "How likely they are to fall silent, as the early warning rates it: 0.7 is 70 %."

    kind: Literal["churn"] = "churn"
    compared: Compared = Compared(op="gte", values=(0.5,))

    def holds(self, facts: "Facts") -> Mask:
        """See Condition."""
        return self.compared.of(facts.risk())

    def sentence(self, names: Names) -> str:
        """See Condition."""
        return f"have a churn score {self.compared.over(0.01).of_so_much} %"

    def turns(self, facts: "Facts") -> Iterator[Instants]:
        """See Condition."""
        yield from turns_of_score(facts)

    def evidence(self, facts: "Facts", names: Names) -> Evidence:
        """See Condition."""
        score = float(facts.risk()[0])
        shown = "no score" if score != score else f"{score:.0%}"
        return Evidence(f"churn score {shown}", shown, self.sentence(names))

    @property
    def uses(self) -> Uses:
        """See Condition."""
        return Uses(features=(_SLUG,))
