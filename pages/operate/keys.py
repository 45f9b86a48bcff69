"""API keys: what senders sign in with, made, rotated with overlap, and revoked."""

import streamlit as st

from gdp_core.accounts.connections import list_connections
from gdp_core.accounts.keys import list_keys
from gdp_core.sources import source
from pages.ui import keys, layout, nav
from pages.ui.context import here

place = here()
found = place.read(list_keys, place.principal)
connections = place.read(list_connections, place.principal, archived=True)
tracking = {
    str(item.id): item.name
    for item in connections
    if item.archived_at is None and source(item.source).kind == "tracking"
}
make = False
with layout.head("API keys", "What websites, apps and servers identify themselves with; only hashes are kept"):
    if place.may("keys.write") and tracking:
        make = st.button("New key", type="primary", icon=":material/add:", key="key-new")

keys.new_key()
if not found:
    what_to_do = (
        "Make one for each website, app and server, so that each can be revoked alone."
        if tracking
        else "Keys belong to tracking sources: connect one first, such as the Segment or PostHog SDKs."
    )
    with layout.empty(":material/key:", "No key yet", what_to_do):
        if not tracking:
            nav.link(place, "sources", label="Connect a source")
else:
    names = {item.id: item.name for item in connections}
    keys.key_table(place, found, names)
    chosen = keys.opened(found)
    if chosen and not make:
        keys.drawer(chosen, names.get(chosen.source_id, "Removed source"))
if make:
    keys.ask_key(tracking)
