"""Inbox: every delivery, what became of it and why, and doing it again."""

import streamlit as st

from gdp_core import inbox as books
from gdp_core.accounts.connections import list_connections
from gdp_core.analytics import inbox_view
from pages.ui import data, inbox, layout, state
from pages.ui.context import here

place = here()
state.adopt(inbox.FIELDS)
if inbox.ID.value:
    inbox.detail_page(place, inbox.ID.value)
    st.stop()

wanted = inbox.chosen(place)
total = place.read(inbox_view.count, wanted)
replay = False
with layout.head("Inbox", "Every delivery as it arrived, what became of it, and why"):
    if place.may("inbox.replay") and total and wanted.state != "pending":
        replay = st.button(
            "Replay all" if wanted == inbox_view.InboxFilter() else "Replay these",
            icon=":material/replay:",
            key="inbox-replay-all",
        )

balances = data.remembered(place, books.balances)
inbox.books(place, balances)
found = place.read(inbox_view.read_page, wanted, inbox.place_of_page())
if not found and wanted == inbox_view.InboxFilter():
    state.publish(inbox.FIELDS)
    inbox.nothing(place, any(item.received for item in balances))
    st.stop()

sources = place.read(list_connections, place.principal, archived=True)
inbox.filters([(str(item.id), item.name) for item in sources])
state.publish(inbox.FIELDS)
if not found:
    with layout.empty(":material/search_off:", "No delivery matches", "Remove a filter to see more."):
        st.button("Clear filters", on_click=inbox.clear, key="inbox-clear")
    st.stop()

inbox.deliveries(place, found)
inbox.pager(place, found, total)

opened = inbox.OPEN.clicked()
if replay:
    inbox.ask_replay(place, wanted, total)
elif opened:
    inbox.drawer(opened)
