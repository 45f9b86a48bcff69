"""Settings: what this workspace chose, and what is being derived again because of it."""

import streamlit as st

from gdp_core.analytics.catalogue import read_names
from pages.ui import data, layout, settings, state
from pages.ui.context import here

place = here()
state.adopt(settings.FIELDS)
said = "" if place.may("settings.write") else " Your role may look, not change."
layout.title("Settings", f"What {place.workspace.name} chose.{said}")
settings.recomputing(place)
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
            settings.general(place)
        case "roles":
            settings.roles(place, data.remembered(place, read_names))
        case "internal":
            settings.internal(place)
        case "plans":
            settings.plans(place)
        case "rates":
            settings.rates(place)
        case "identity":
            settings.identity(place)
        case "retention":
            settings.retention(place)
        case "danger":
            settings.danger(place)
