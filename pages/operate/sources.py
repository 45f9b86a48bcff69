"""Sources: where data comes from, whether it still comes, connecting more of it, and importing files."""

import streamlit as st

from gdp_core.accounts.connections import list_connections
from gdp_core.analytics import sources_view
from pages.ui import layout, sources, state
from pages.ui.context import here
from pages.ui.sources import connecting, importing, listed, one

place = here()
state.adopt(sources.FIELDS)
if sources.ID.value:
    state.publish(sources.FIELDS)
    one.page(place, sources.ID.value)
    st.stop()

connected = place.read(list_connections, place.principal)
more = False
with layout.head("Sources", "Where data comes from, and whether it still comes"):
    st.segmented_control(
        "View",
        [*sources.TABS],
        key=sources.TAB.key,
        format_func=sources.TABS.__getitem__,
        required=True,
        label_visibility="collapsed",
    )

if place.may("sources.write"):
    connecting.ask_connect()
state.publish(sources.FIELDS)

if sources.TAB.value == "import":
    importing.page(place)
    past = place.read(sources_view.read_imports)
    if past:
        layout.section("Imported before")
        importing.past(place, past)
    st.stop()

if connected:
    listed.source_list()
elif not place.may("sources.write"):
    layout.empty(":material/power:", "No source is connected yet", "An owner or admin of the workspace connects one.")
if place.may("sources.write"):
    layout.section("Connect a source" if connected else "Connect the first source")
    if not connected:
        layout.note("Choose where your data is: people appear within seconds of the first event.")
    connecting.kinds()
