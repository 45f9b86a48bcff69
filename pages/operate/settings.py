"""Settings: what this workspace chose, and what is being derived again because of it."""

import streamlit as st

from gdp_core.analytics.catalogue import read_names
from pages.ui import data, layout, settings, state
from pages.ui.context import here
from pages.ui.settings import danger, features, general, identity, internal, plans, rates, recomputing, retention, roles

place = here()
state.adopt(settings.FIELDS)
said = "" if place.may("settings.write") else " Your role may look, not change."
layout.title("Settings", f"What {place.workspace.name} chose.{said}")
recomputing.progress(place)
st.segmented_control(
    "Section",
    [*settings.TABS],
    key=settings.TAB.key,
    format_func=settings.TABS.__getitem__,
    required=True,
    label_visibility="collapsed",
)
state.publish(settings.FIELDS)

with st.container(width=settings.WIDTHS.get(settings.TAB.value, "stretch")):
    match settings.TAB.value:
        case "general":
            general.tab(place)
        case "roles":
            roles.tab(place, data.remembered(place, read_names))
        case "features":
            features.tab(place, data.remembered(place, read_names))
        case "internal":
            internal.tab(place)
        case "plans":
            plans.tab(place)
        case "rates":
            rates.tab(place)
        case "identity":
            identity.tab(place)
        case "retention":
            retention.tab(place)
        case "danger":
            danger.tab(place)
