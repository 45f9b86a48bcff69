"""The tab Internal people: whose activity counts in no number."""

import streamlit as st
from pydantic import BaseModel, Field

from gdp_core import choices
from gdp_core.choices import RuleKind
from pages.ui import forms, layout
from pages.ui.context import Here, here
from pages.ui.escape import clean
from pages.ui.format import label
from pages.ui.settings.changing import change, change_in_callback


class Internal(BaseModel):
    """Whom to leave out."""

    kind: RuleKind = Field("domain", title="Leave out by")
    value: str = Field(title="E-mail domain or identifier", max_length=200, examples=["example.com"])


def tab(place: Here) -> None:
    """Whose activity counts in no number."""
    layout.note("Your own people: their visits, sign-ups and tests are kept, but left out of every number.")
    if place.may("settings.write"):
        wanted = forms.ask(Internal, key="internal", submit="Leave out", clear=True)
        if wanted:
            change(
                lambda session, who: choices.add_internal_rule(session, who, wanted.kind, wanted.value, now=place.now),
                "Left out; people are refreshed.",
            )
    found = place.read(choices.read_internal_rules)
    if not found:
        layout.note("Nobody is left out.")
    for item in found:
        shown = item.value if item.kind == "domain" else place.sees(item.value)
        with (
            st.container(border=True, key=f"internal-{item.kind}-{item.value}"),
            st.container(horizontal=True, vertical_alignment="center", gap="small"),
        ):
            layout.badge(label(item.kind))
            st.text(clean(shown or ""), width="stretch")
            if place.may("settings.write"):
                st.button(
                    "Count again",
                    key=f"internal-remove-{item.kind}-{item.value}",
                    type="tertiary",
                    on_click=_remove,
                    args=(item.kind, item.value),
                )


def _remove(kind: RuleKind, value: str) -> None:
    change_in_callback(
        lambda session, who: choices.remove_internal_rule(session, who, kind, value, now=here().now), "Counted again."
    )
