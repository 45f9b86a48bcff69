"""A person's page: its fields in the URL, how somebody who may not see everything sees what was sent, a module for each tab."""

from collections.abc import Mapping
from typing import Any

import streamlit as st

from gdp_core.analytics.timeline import STAGE_SOURCE
from pages.ui import state
from pages.ui.context import Here
from pages.ui.escape import clean
from pages.ui.format import UNKNOWN

TABS = {
    "timeline": "Timeline",
    "identity": "Identity",
    "traits": "Traits",
    "features": "Features",
    "segments": "Segments",
    "billing": "Billing",
    "mail": "E-mails",
}
PERIODS = {"7": "Last 7 days", "30": "Last 30 days", "90": "Last 90 days", "365": "Last 12 months"}
SOURCES = ("web", "app", "email", "stripe", "meta", "sms", "sales", "import", "custom", STAGE_SOURCE)
TAB = state.Field("person", "tab", default="timeline", choices=tuple(TABS))
CATEGORIES = state.Field("person", "category", kind="list", default=[])
FROM = state.Field("person", "from", kind="list", default=[], choices=SOURCES)
NAMES = state.Field("person", "event", kind="list", default=[])
PERIOD = state.Field("person", "days", default=None, choices=tuple(PERIODS))
HUMAN = state.Field("person", "human", kind="flag", default=False)
AFTER = state.Field("person", "after")
OPENED = state.Field("person", "shown")
FIELDS = (TAB, CATEGORIES, FROM, NAMES, PERIOD, HUMAN, AFTER, OPENED)


def tabs() -> str:
    """The choice of what to see below the head."""
    st.segmented_control(
        "Show", [*TABS], key=TAB.key, format_func=TABS.__getitem__, label_visibility="collapsed", required=True
    )
    return str(TAB.value)


def identifier(place: Here, text: str | None) -> str:
    """A kind and a value ("user usr_1"), the value as this role may see it."""
    kind, _, value = (text or "").partition(" ")
    return clean(f"{kind} {place.sees(value)}") if value else UNKNOWN


def seen(place: Here, value: Any) -> Any:
    """A JSON value with its texts masked for who may not see them."""
    if isinstance(value, str):
        return place.sees(value)
    if isinstance(value, Mapping):
        return {str(name): seen(place, item) for name, item in value.items()}
    if isinstance(value, list):
        return [seen(place, item) for item in value]
    return value
