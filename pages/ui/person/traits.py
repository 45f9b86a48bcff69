"""The tab Traits: what was said of the person, by whom and when."""

from collections.abc import Sequence
from typing import Any

import streamlit as st

from gdp_core.analytics.profile import Assertion
from pages.ui import layout
from pages.ui.context import Here
from pages.ui.escape import clean
from pages.ui.person import identifier, seen


def tab(place: Here, assertions: Sequence[Assertion]) -> None:
    """Each trait with who said it and when; the history below each."""
    write = place.write
    if not assertions:
        with layout.empty(
            ":material/label:", "Nothing was said of this person", "Traits come from identify calls and from billing."
        ):
            return
    show_all = st.toggle("Show what was said before", key="traits-all")
    shown = [item for item in assertions if show_all or item.current]
    layout.table(
        {
            "Trait": [clean(item.key) for item in shown],
            "Value": [_trait(place, item.value) if item.op != "unset" else "(removed)" for item in shown],
            "Holds": [item.current for item in shown],
            "Said by": [clean(item.source) for item in shown],
            "Of": [identifier(place, item.identifier) for item in shown],
            "When": [write.instant(item.occurred_at) for item in shown],
            "Learned": [write.instant(item.applied_at) for item in shown],
        },
        alt="Traits and where each came from",
        config={"Value": st.column_config.TextColumn(width=290), "Of": st.column_config.TextColumn(width=200)},
        order=None if show_all else ["Trait", "Value", "Said by", "Of", "When", "Learned"],
        height="content" if len(shown) <= 25 else 700,
    )


def _trait(place: Here, value: Any) -> str:
    shown = seen(place, value)
    return clean(shown if isinstance(shown, str) else str(shown), longest=300)
