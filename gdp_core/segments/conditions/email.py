"""What somebody did with e-mails: opened, clicked, replied to, or had delivered, bounced and so on. Humans only by default."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from gdp_core.segments.conditions.base import (
    EVER,
    Condition,
    Event,
    Evidence,
    Instants,
    Mask,
    Name,
    Names,
    Uses,
    When,
    Where,
    listed,
    often,
)
from gdp_core.segments.conditions.performed import Performed

if TYPE_CHECKING:
    from gdp_core.segments.facts import Facts

Did = Literal["sent", "delivered", "opened", "clicked", "bounced", "complained", "unsubscribed", "replied"]
EVENT_NAMES: dict[str, tuple[str, ...]] = {
    "replied": ("reply_received",),
    **{
        did: (f"email_{did}",)
        for did in ("sent", "delivered", "opened", "clicked", "bounced", "complained", "unsubscribed")
    },
}
_WORDS = {
    "sent": "were sent",
    "delivered": "received",
    "opened": "opened",
    "clicked": "clicked",
    "bounced": "had a bounce of",
    "complained": "complained about",
    "unsubscribed": "unsubscribed from",
    "replied": "replied to",
}


class Email(Condition):
    """E-mails with one of `did`, `times` within `when`; of these `campaigns` only, where some are named."""

    title = "E-mail engagement"
    icon = "mail"
    help = "Opened, clicked, replied, bounced: so often, in so many days, of all e-mails or of some campaigns."

    kind: Literal["email"] = "email"
    did: tuple[Did, ...] = Field(default=("opened",), min_length=1, max_length=8)
    how: Literal["at_least", "exactly", "at_most"] = "at_least"
    times: int = Field(default=1, ge=0, le=1_000_000)
    when: When = EVER
    campaigns: tuple[Name, ...] = Field(default=(), max_length=50)
    machines: bool = False

    @property
    def performed(self) -> Performed:
        """The same as a condition on events."""
        names = tuple(name for did in self.did for name in EVENT_NAMES[did])
        where = (Where(field="utm_campaign", comparison="is", values=self.campaigns),) if self.campaigns else ()
        event = Event(names=names, where=where, machines=self.machines)
        return Performed(event=event, how=self.how, times=self.times, when=self.when)

    def holds(self, facts: "Facts") -> Mask:
        """See Condition."""
        return self.performed.holds(facts)

    def sentence(self, names: Names) -> str:
        """See Condition."""
        did = " or ".join(_WORDS[one] for one in dict.fromkeys(self.did))
        none = self.times == 0 and self.how != "at_least"
        what = f"e-mail of the campaign {listed(self.campaigns)}" if self.campaigns else "e-mail"
        when = f" {self.when.sentence}" if self.when != EVER else ""
        machines = " (machines included)" if self.machines else ""
        return f"{did} {'no' if none else 'an'} {what}{machines}{'' if none else often(self.how, self.times)}{when}"

    def turns(self, facts: "Facts") -> Iterator[Instants]:
        """See Condition."""
        yield from self.performed.turns(facts)

    def evidence(self, facts: "Facts", names: Names) -> Evidence:
        """See Condition."""
        return self.performed.evidence(facts, names)

    @property
    def uses(self) -> Uses:
        """See Condition."""
        return self.performed.uses
