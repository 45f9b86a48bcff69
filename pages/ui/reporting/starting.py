"""What somebody's clock begins with, in widgets: an event, or an instant known of the person, such as signing up."""

from gdp_core.analytics.beginnings import Known
from gdp_core.analytics.fields import Fields
from gdp_core.timeline.matching import Match
from pages.ui.reporting import picking
from pages.ui.reporting.drafts import Draft
from pages.ui.reporting.explaining import Command
from pages.ui.reporting.sight import Sight

_EVENT = "event"
STARTS = {
    _EVENT: "An event",
    "signup_at": "Signing up",
    "first_seen_at": "The first visit",
    "trial_started_at": "The trial's start",
    "subscribed_at": "Subscribing",
}


class Start:
    """The start of a question as it stands in the widgets."""

    def __init__(self, draft: Draft, begins: Match | Known) -> None:
        self._draft = draft
        self._event = picking.Event(draft, None if isinstance(begins, Known) else begins, "start")
        self._from: str = draft.value(begins.name if isinstance(begins, Known) else _EVENT, "from")

    @property
    def is_event(self) -> bool:
        """Whether it is an event."""
        return self._from == _EVENT

    @property
    def value(self) -> Match | Known | None:
        """What it is; None while no event is picked."""
        return self._event.value if self.is_event else Known(self._from)

    def draw(self, sight: Sight, fields: Fields) -> None:
        """The kind of start, and the event where it is one."""
        named = STARTS if self._from in STARTS else {**STARTS, self._from: self._from}
        picking.choice(self._draft, "Starts with", named, "from", width=168)
        if self.is_event:
            self._event.draw(sight, fields, "Start event", width="stretch")


def title_of(start: Match | Known) -> str:
    """A start in words."""
    return STARTS.get(start.name, start.name) if isinstance(start, Known) else start.title


def named_by(start: Match | Known) -> list[str]:
    """The fields that it names."""
    if isinstance(start, Known):
        return [f"person.{start.name}"]
    return [condition.field for condition in start.conditions]


def told(made: Command, start: Match | Known) -> None:
    """Add it to a command."""
    if isinstance(start, Known):
        made.option("--known", start.name)
    else:
        made.option("--start", start.text)
