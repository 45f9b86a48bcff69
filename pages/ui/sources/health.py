"""How one source does: what came last, live, and its numbers."""

from datetime import timedelta
from uuid import UUID

import streamlit as st

from gdp_core.accounts import connections
from gdp_core.analytics import sources_view
from pages.ui import boundary, layout, nav
from pages.ui.context import here
from pages.ui.format import UNKNOWN, label
from pages.ui.sources import STATES


def card(source_id: UUID) -> None:
    """What came last, for as long as the source is new, and its numbers."""
    place = here()
    rows = place.read(
        sources_view.read_sources,
        [
            item
            for item in place.read(connections.list_connections, place.principal, archived=True)
            if item.id == source_id
        ],
        place.now,
    )
    fresh = rows and place.now - rows[0].created_at < timedelta(days=1) and rows[0].source != "import"
    with layout.card("Health", height="content"):
        if rows and (rows[0].state == "never" or (fresh and not rows[0].archived_at)):
            _waiting(source_id)
        if rows and rows[0].state != "never":
            _numbers(source_id)


@boundary.fragment(every=3)
def _waiting(source_id: UUID) -> None:
    place = here()
    arrived = place.read(sources_view.read_arrival, source_id, place.now - timedelta(days=1))
    if arrived is None:
        with st.container(horizontal=True, vertical_alignment="center", key="waiting"):
            layout.badge("Waiting for the first event", "blue", ":material/hourglass_empty:")
        layout.note("Send one now: it appears here within seconds.")
        return
    ago = place.write.ago(arrived.received_at, place.now)
    if arrived.state == "pending":
        layout.badge(f"Received {ago}, being applied", "blue", ":material/autorenew:")
    elif arrived.applied:
        layout.badge(f"Received {ago}", "green", ":material/celebration:")
        if arrived.events:
            layout.note(f"Events: {', '.join(arrived.events)}")
    else:
        layout.badge(f"Received {ago}, but nothing could be used", "orange", ":material/warning:")
    if arrived.problem:
        reason = arrived.problem if place.may("inbox.read") else label(arrived.code)
        layout.note(f"Something was set aside: {reason}")
    nav.link(place, "inbox", label="See it in the inbox", icon=":material/inbox:", source=str(source_id))


@boundary.fragment(every=15)
def _numbers(source_id: UUID) -> None:
    place = here()
    known = place.read(connections.list_connections, place.principal, archived=True)
    rows = place.read(sources_view.read_sources, [item for item in known if item.id == source_id], place.now)
    for row in rows:
        name, tone, icon = STATES[row.state]
        layout.badge(name, tone, icon)
        layout.facts(
            {
                "Last seen": place.write.ago(row.received_at, place.now),
                "Deliveries in 24 h": place.write.number(row.deliveries),
                "Items in 24 h": place.write.number(row.facts),
                "Rejected in 24 h": place.write.number(row.rejects),
                "Events in all": place.write.number(row.events),
                "Last event": row.last_event or UNKNOWN,
            }
        )
        if row.rejects:
            nav.link(
                place,
                "inbox",
                label="What was rejected, and why",
                icon=":material/inbox:",
                source=str(source_id),
                state="quarantined",
            )
