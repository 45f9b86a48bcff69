"""Whether somebody agreed to be written to: the last thing they, or a system they told, said of a channel."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from gdp_core.segments.conditions.base import (
    Condition,
    Event,
    Evidence,
    Instants,
    Mask,
    Name,
    Names,
    Uses,
    Where,
    happenings,
    instants_of,
    turns_after,
)

if TYPE_CHECKING:
    from gdp_core.segments.facts import Facts

_LEFT = Event(names=("email_unsubscribed",))
_STATES = ("unknown", "opted_in", "opted_out")
_IN, _OUT = ("opted_in", "granted", "subscribed", "true"), ("opted_out", "denied", "revoked", "unsubscribed", "false")


class Consent(Condition):
    """The last `consent_changed` of the `channel` (and `topic`, where one is named) says `state`; of e-mail an
    unsubscription says opted out. Who never said anything is `unknown`.
    """

    title = "Consent"
    icon = "verified_user"
    help = "Opted in, opted out or never asked, by channel and topic."

    kind: Literal["consent"] = "consent"
    channel: Name = "email"
    topic: Name | None = None
    state: Literal["opted_in", "opted_out", "unknown"] = "opted_in"

    @property
    def event(self) -> Event:
        """What changes it."""
        where = [Where(field="channel", comparison="is", values=(self.channel,))]
        if self.topic:
            where.append(Where(field="topic", comparison="is", values=(self.topic,)))
        return Event(names=("consent_changed",), where=tuple(where))

    @property
    def _left(self) -> Event | None:
        return _LEFT if self.channel == "email" and not self.topic else None

    def _states(self, facts: "Facts") -> NDArray[np.int64]:
        """A place in _STATES for everybody. Of one instant an unsubscription counts."""
        said_at, said = facts.last_value(self.event, "state")
        words = np.array([_state(value) for value in facts.column("state").values] + [0], np.int8)
        state = np.where(said_at > np.iinfo(np.int64).min, words[said], 0)
        if self._left:
            left_at = facts.lasts(self._left)
            state = np.where(left_at >= np.maximum(said_at, np.iinfo(np.int64).min + 1), 2, state)
        return np.asarray(state, np.int64)

    def holds(self, facts: "Facts") -> Mask:
        """See Condition."""
        return np.asarray(self._states(facts) == _STATES.index(self.state))

    def sentence(self, names: Names) -> str:
        """See Condition."""
        of = f"{self.channel} about {self.topic}" if self.topic else self.channel
        if self.state == "unknown":
            return f"never said whether they want {of}"
        return f"{'agreed to' if self.state == 'opted_in' else 'opted out of'} {of}"

    def turns(self, facts: "Facts") -> Iterator[Instants]:
        """See Condition."""
        yield from turns_after(facts, instants_of(facts, self.event))
        if self._left:
            yield from turns_after(facts, instants_of(facts, self._left))

    def evidence(self, facts: "Facts", names: Names) -> Evidence:
        """See Condition."""
        said, times = happenings(facts, self.event)
        left, more = happenings(facts, self._left) if self._left else ((), 0)
        newest = tuple(sorted((*said, *left), key=lambda one: -one.at))[:5]
        state = _STATES[self._states(facts)[0]].replace("_", " ")
        told = state if newest else "never said anything"
        return Evidence(told, state, self.state.replace("_", " "), newest, times + more)

    @property
    def uses(self) -> Uses:
        """See Condition."""
        return Uses(
            events=(self.event, *([self._left] if self._left else [])), properties=("state",), fields=(), features=()
        )


def _state(value: object) -> int:
    text = str(value).casefold()
    return 1 if text in _IN else 2 if text in _OUT else 0
