"""The list of sources: how each does, again every 15 seconds."""

import streamlit as st

from gdp_core.accounts import connections
from gdp_core.analytics import sources_view
from gdp_core.analytics.sources_view import SourceRow
from pages.ui import boundary, layout, nav
from pages.ui.context import Here, here
from pages.ui.escape import safe_text
from pages.ui.sources import STATES, title_of


@boundary.fragment(every=15)
def source_list() -> None:
    """Every source and how it does, again every 15 seconds."""
    place = here()
    known = place.read(connections.list_connections, place.principal, archived=True)
    found = place.read(sources_view.read_sources, known, place.now)
    for row in (item for item in found if item.archived_at is None):
        _card(place, row)
    archived = [item for item in found if item.archived_at is not None]
    if archived:
        with st.expander(f"{place.write.number(len(archived))} disconnected", icon=":material/link_off:"):
            for row in archived:
                _card(place, row)


def _card(place: Here, row: SourceRow) -> None:
    write = place.write
    name, tone, icon = ("Disconnected", "gray", ":material/link_off:") if row.archived_at else STATES[row.state]
    with st.container(border=True, key=f"source-{row.id}"):
        first, second, *numbers = st.columns([6, 7, 5, 5, 5], vertical_alignment="center", gap="small")
        with first, st.container(gap=None):
            nav.link(place, "sources", label=row.name, icon="", id=str(row.id))
            st.caption(safe_text(title_of(row.source)))
        with second, st.container(gap=None):
            layout.badge(name, tone, icon)  # type: ignore[arg-type]
            st.caption(safe_text(_seen(place, row), longest=70))
        counts = {"Deliveries, 24h": row.deliveries, "Rejected, 24h": row.rejects, "Events in all": row.events}
        for column, (title, count) in zip(numbers, counts.items(), strict=True):
            with column, st.container(gap=None):
                st.markdown(f"**{safe_text(write.number(count))}**")
                st.caption(safe_text(title))


def _seen(place: Here, row: SourceRow) -> str:
    if row.received_at is None:
        return "Nothing yet"
    ago = place.write.ago(row.received_at, place.now)
    return f"{row.last_event}, {ago}" if row.last_event else ago
