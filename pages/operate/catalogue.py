"""Event catalogue: which events there are, what they mean, what they carry, and where their shape drifts."""

import streamlit as st

from gdp_core.analytics import catalogue as reads
from pages.ui import catalogue, data, layout, nav, state
from pages.ui.context import here

place = here()
state.adopt(catalogue.FIELDS)

if catalogue.NAME.value:
    state.publish(catalogue.FIELDS)
    detail = place.read(reads.read_type, catalogue.NAME.value, place.now)
    nav.link(place, "catalogue", label="All events", icon=":material/arrow_back:")
    layout.title(detail.row.name, detail.row.description or "Nobody has said yet what this event means")
    catalogue.head(place, detail.row)
    left, right = st.columns([2, 1], gap="small")
    with left, layout.card("Meaning"):
        catalogue.meaning(place, detail.row, detail.properties)
    with right:
        with layout.card("Roles"):
            catalogue.roles(place, detail.row)
        with layout.card("Sources"):
            catalogue.by_source(place, detail)
    layout.section("Properties")
    if detail.properties:
        catalogue.properties(place, detail.properties, detail.row.total)
    else:
        layout.note("It carries no properties.")
    st.stop()

found = data.remembered(place, reads.read_types, place.now)
layout.title("Event catalogue", f"{place.write.number(len(found))} event types; volume in UTC days")
if not found:
    state.publish(catalogue.FIELDS)
    with layout.empty(
        ":material/category:", "No event has arrived yet", "Events appear here by themselves as sources send them."
    ):
        nav.link(place, "sources", label="Connect a source")
    st.stop()

catalogue.totals(place, data.remembered(place, reads.read_totals))
catalogue.filters()
state.publish(catalogue.FIELDS)
shown = catalogue.matching(found)
if shown:
    catalogue.types(place, shown)
else:
    with layout.empty(":material/search_off:", "No event matches", "Change the search or remove a filter."):
        st.button("Clear filters", on_click=catalogue.clear, key="catalogue-clear")
