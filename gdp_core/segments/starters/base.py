"""What a starter is: a segment that is ready but for what a workspace calls its events and how long it waits.

A starter names event roles where it means them, so that a workspace's own events stand in the rule that is made of it.
Its thresholds have defaults and are read before anything is made of them.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import ValidationError

from gdp_core.analytics.window import Window
from gdp_core.errors import InvalidInput
from gdp_core.event_roles import ROLES
from gdp_core.segments.conditions.base import LONGEST_TEXT, Event
from gdp_core.segments.rules import Group, Rule
from gdp_core.timeline.matching import Match

Setting = str | int
"""The value of a threshold."""
Doing = Literal["email", "meta", "outbound", "suppress", "stop", "route", "tag"]
_MOST = 1_000_000


@dataclass(frozen=True, slots=True)
class Threshold:
    """Something of a rule that a workspace may set: a length of time ("4h"), a whole number from 1, words between commas,
    or one word, which may be empty.
    """

    name: str
    title: str
    default: Setting
    kind: Literal["length", "whole", "words", "word"] = "length"
    help: str = ""

    def read(self, given: object) -> Setting:
        """A value as the rule has it. Raises InvalidInput."""
        if self.kind == "whole":
            text = str(given).strip()
            if isinstance(given, bool) or not (text.isascii() and text.isdecimal()) or not 1 <= int(text[:9]) <= _MOST:
                raise InvalidInput(f"{self.title}: write a whole number from 1 to {_MOST:,}.")
            return int(text[:9])
        if not isinstance(given, str) or len(given) > LONGEST_TEXT:
            raise InvalidInput(f"{self.title}: write a text of at most {LONGEST_TEXT:,} characters.")
        if self.kind == "length":
            try:
                return Window.parse(given).text
            except InvalidInput as error:
                raise InvalidInput(f"{self.title}: {error}") from None
        words = _words(given)
        if self.kind == "words" and not words:
            raise InvalidInput(f"{self.title}: write one or more words with commas between them.")
        return ", ".join(words) if self.kind == "words" else given.replace("\x00", "").strip()


@dataclass(frozen=True, slots=True)
class Given:
    """What a rule is made from: the events that play a role in the workspace, and every threshold's value."""

    roles: Mapping[str, Match]
    values: Mapping[str, Setting]

    def role(self, name: str) -> Event:
        """The workspace's events of a role. Raises InvalidInput where nothing plays it."""
        if name not in self.roles:
            raise InvalidInput(f"No event plays the role “{ROLES[name]}”: name one in Settings, under Event roles.")
        try:
            return Event.of(self.roles[name])
        except ValidationError:
            raise InvalidInput(
                f"The role “{ROLES[name]}” has too many events or filters for a rule: name fewer in Settings."
            ) from None

    def length(self, name: str) -> str:
        """A length of time."""
        return str(self.values[name])

    def whole(self, name: str) -> int:
        """A whole number."""
        return int(self.values[name])

    def words(self, name: str) -> tuple[str, ...]:
        """Words, at least one."""
        return _words(str(self.values[name]))

    def word(self, name: str) -> str:
        """A word, or nothing."""
        return str(self.values[name])


@dataclass(frozen=True, slots=True)
class Step:
    """Something that is meant to be done for the people of a segment."""

    kind: Doing
    text: str


@dataclass(frozen=True, slots=True)
class Starter:
    """A segment of the starter set. `about` says whom it finds and what for; `goal` what they should do, `reached` the
    role or events by which they do it. `steps` is what is intended for them: nothing happens by itself.
    """

    key: str
    title: str
    funnel: Literal["newsletter", "outbound"]
    about: str
    goal: str
    steps: tuple[Step, ...]
    match: Callable[[Given], Group]
    reached: str | tuple[str, ...] = ()
    thresholds: tuple[Threshold, ...] = ()

    def given(self, roles: Mapping[str, Match], chosen: Mapping[str, object]) -> Given:
        """The defaults with what somebody chose. Raises InvalidInput for values and thresholds that make no sense."""
        known = {one.name: one for one in self.thresholds}
        for name in chosen:
            if name not in known:
                offered = f"there are {', '.join(known)}" if known else "it has none"
                raise InvalidInput(f"“{self.title}” has no threshold {str(name)[:60]!r}; {offered}.")
        return Given(roles, {name: one.read(chosen.get(name, one.default)) for name, one in known.items()})

    def rule(self, given: Given) -> Rule:
        """The rule it becomes. Raises InvalidInput for values that do not go together."""
        try:
            return Rule(match=self.match(given))
        except ValidationError as error:
            said = str(error.errors(include_url=False)[0]["msg"]).removeprefix("Value error, ")
            raise InvalidInput(f"“{self.title}” cannot be made with these thresholds: {said}") from None

    def action(self, given: Given) -> dict[str, Any]:
        """The intended action as a draft that is turned off, with the events that say the goal is reached."""
        reached = given.role(self.reached) if isinstance(self.reached, str) else Event(names=self.reached)
        return {
            "enabled": False,
            "steps": [{"kind": step.kind, "text": step.text} for step in self.steps],
            "reached": reached.model_dump(mode="json") if self.reached else None,
        }


def _words(text: str) -> tuple[str, ...]:
    found = (" ".join(part.replace("\x00", "").split()) for part in text.split(","))
    return tuple(dict.fromkeys(part for part in found if part))
