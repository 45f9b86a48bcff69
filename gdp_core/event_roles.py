"""What events mean: signup, activation, core use and so on are roles that a workspace gives to event names.

Owns the defaults (the names of the documents this product grew from) and the classification of one event.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from sqlmodel import Session

from gdp_core.db import rows
from gdp_core.sources.facts import Category

ROLES: Mapping[str, str] = {
    "signup": "Created an account",
    "activation": "Reached first value",
    "core": "Did what the product is for",
    "pricing_view": "Looked at prices",
    "checkout_started": "Began to pay",
    "purchase": "Paid",
}
CAMPAIGN_TOUCH = "campaign_touch"
"""The role nobody configures: the event carries campaign parameters or a click id, or is a human e-mail click."""

DEFAULT_NAMES: Mapping[str, tuple[str, ...]] = {
    "signup": ("signup_completed", "user_signed_up", "Signed Up"),
    "activation": ("letter_created", "first_video_created", "activated"),
    "core": ("letter_sent", "video_rendered", "batch_render_completed"),
    "pricing_view": ("pricing_view", "pricing_viewed"),
    "checkout_started": ("checkout_started", "Checkout Started"),
    "purchase": ("purchase_completed", "order", "Order Completed"),
}

_CATEGORY_OF_ROLE: Mapping[str, Category] = {
    "signup": "acquisition",
    "activation": "activation",
    "core": "core_value",
    "pricing_view": "acquisition",
    "checkout_started": "monetization",
    "purchase": "monetization",
}
_CATEGORIES: Mapping[str, Category] = {
    **{name: _CATEGORY_OF_ROLE[role] for role, names in DEFAULT_NAMES.items() for name in names},
    **dict.fromkeys(("page_view", "screen_view", "landing_view", "newsletter_subscribed"), "acquisition"),
    **dict.fromkeys(
        "subscription_started trial_started subscription_updated payment_failed refund_issued dispute_lost"
        " checkout_expired".split(),
        "monetization",
    ),
    **dict.fromkeys(("email_opened", "email_clicked", "email_unsubscribed", "subscription_cancelled"), "retention"),
    **dict.fromkeys(("invite_sent", "invite_accepted", "referral_completed"), "referral"),
}


def category_of(name: str) -> Category | None:
    """The usual category of an event whose sender named none; None for names only this company knows."""
    return _CATEGORIES.get(name)


class RoleFilter(BaseModel):
    """A condition on one property of the event."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    property: str = Field(min_length=1, max_length=200)
    op: Literal["is", "is_not", "contains", "at_least", "at_most", "is_set"]
    value: str | float | bool | None = None

    def holds(self, properties: Mapping[str, Any]) -> bool:
        """Whether the event's properties meet it; a missing property meets only `is_not`."""
        found = properties.get(self.property)
        match self.op:
            case "is_set":
                return found is not None
            case "is":
                return found == self.value or str(found) == str(self.value)
            case "is_not":
                return str(found) != str(self.value)
            case "contains":
                return found is not None and str(self.value).casefold() in str(found).casefold()
            case _:
                return _compares(found, self.value, at_least=self.op == "at_least")


def _compares(found: Any, limit: Any, *, at_least: bool) -> bool:
    try:
        return float(found) >= float(limit) if at_least else float(found) <= float(limit)
    except (TypeError, ValueError):
        return False


@dataclass(frozen=True, slots=True)
class EventRoles:
    """The roles of one workspace, by event name."""

    by_name: Mapping[str, Sequence[tuple[str, tuple[RoleFilter, ...]]]]

    def of(self, name: str, properties: Mapping[str, Any]) -> list[str]:
        """Every role an event plays."""
        candidates = self.by_name.get(name)
        if not candidates:
            return []
        return [role for role, filters in candidates if all(item.holds(properties) for item in filters)]


def read_roles(session: Session) -> EventRoles:
    """The workspace's roles: its own choice where it made one, else the defaults."""
    chosen = {row.role: row for row in rows(session, "SELECT role, event_names, filters FROM event_role")}
    by_name: dict[str, list[tuple[str, tuple[RoleFilter, ...]]]] = {}
    for role in ROLES:
        row = chosen.get(role)
        names = row.event_names if row else DEFAULT_NAMES[role]
        filters = tuple(RoleFilter.model_validate(item) for item in row.filters) if row else ()
        for name in names:
            by_name.setdefault(name, []).append((role, filters))
    return EventRoles(by_name)
