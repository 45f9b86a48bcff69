"""The tab Identity: how large a person may grow."""

from pydantic import BaseModel, Field

from gdp_core import choices
from gdp_core.identity import Limits
from gdp_core.recompute import read_limits
from pages.ui import forms, layout, nav
from pages.ui.context import Here
from pages.ui.settings.changing import change


class IdentityLimits(BaseModel):
    """How many identifiers one person may have."""

    total: int | None = Field(None, ge=1, le=1_000_000, title="In all", description="Empty: no limit.")
    user: int = Field(5, ge=1, le=1_000_000, title="User ids")
    email: int = Field(5, ge=1, le=1_000_000, title="E-mail addresses")
    phone: int = Field(5, ge=1, le=1_000_000, title="Phone numbers")
    stripe: int = Field(20, ge=1, le=1_000_000, title="Stripe customers")


def tab(place: Here) -> None:
    """How large a person may grow."""
    layout.note(
        "Joining two people is refused when they would have more identifiers than this, unless somebody said explicitly"
        " that they are one; refused joins go to the merge reviews. It keeps shared devices and test ids from making one"
        " giant person."
    )
    limits = place.read(read_limits)
    wanted = forms.ask(
        IdentityLimits,
        key="limits",
        initial={"total": limits.total, **limits.of},
        read_only=not place.may("settings.write"),
    )
    if wanted:
        values = wanted.model_dump()
        chosen = Limits(total=values.pop("total"), of={**limits.of, **values})
        change(
            lambda session, who: choices.set_limits(session, who, chosen, now=place.now),
            "Limits saved; people are put together again.",
        )
    nav.link(place, "reviews", label="Merge reviews", icon=":material/call_merge:")
