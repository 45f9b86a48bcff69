"""The tab Retention: what is deleted when."""

from pydantic import BaseModel, Field

from gdp_core import choices
from gdp_core.choices import Retention
from pages.ui import forms, layout
from pages.ui.context import Here, here
from pages.ui.settings.changing import change


class Kept(BaseModel):
    """How long things are kept."""

    inbox_days: int = Field(
        90,
        ge=1,
        le=3650,
        title="Raw deliveries (days)",
        description="What arrived, byte for byte: needed to replay it.",
    )
    event_months: int | None = Field(
        None,
        ge=1,
        le=600,
        title="Events (months)",
        examples=["For ever"],
        description="Empty: for ever. Daily counts and money stay either way.",
    )


def tab(place: Here) -> None:
    """What is deleted when."""
    layout.note("Older data is deleted for good within hours of saving. A common choice is 24 months of events.")
    found = place.read(choices.read_retention)
    wanted = forms.ask(
        Kept,
        key="retention",
        initial={"inbox_days": found.inbox_days, "event_months": found.event_months},
        read_only=not place.may("settings.write"),
    )
    if not wanted:
        return
    chosen = Retention(wanted.inbox_days, wanted.event_months)
    shorter = chosen.inbox_days < found.inbox_days or (
        chosen.event_months is not None and (found.event_months is None or chosen.event_months < found.event_months)
    )
    if shorter:
        _ask_shorter(place, chosen)
    else:
        change(lambda session, who: choices.set_retention(session, who, chosen, now=place.now), "Retention saved.")


def _ask_shorter(place: Here, chosen: Retention) -> None:
    def act() -> str:
        again = here()
        with again.change() as session:
            choices.set_retention(session, again.principal, chosen, now=again.now)
        return "Retention saved."

    events = f"events older than {chosen.event_months} months" if chosen.event_months else "no events"
    layout.confirm(
        "Keep less?",
        body=f"Deliveries older than {place.write.number(chosen.inbox_days)} days and {events} are deleted for good.",
        button="Delete what is older",
        act=act,
        key="retention-shorter",
    )
