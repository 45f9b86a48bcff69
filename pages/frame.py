"""The entry script: who asks, where, the navigation around every page, and the one guard that catches what fails.

It runs before every page, deep links included. Pages are scripts in the section folders; `pages/ui` says how to write
one. Nothing here decides what a role may do: it asks core.
"""

import streamlit as st

from gdp_core.errors import Forbidden
from pages.ui import layout, nav, shell, state, workspaces
from pages.ui.boundary import guarded
from pages.ui.context import SCOPE_FIELDS, Homeless, arrive

# The icon before the navigation, which would fetch its own from elsewhere.
st.set_page_config(page_icon=shell.ICON, layout="wide", initial_sidebar_state=shell.WIDTH)
chosen = st.navigation(nav.pages(), position="hidden")
name = chosen.url_path or nav.HOME
st.set_page_config(page_title=f"{nav.entry(name).title} · Growth Data Plane")

with guarded(f"frame {name}"):
    state.enter_workspace()
    state.enter_page(name)
    state.adopt(SCOPE_FIELDS)
    state.publish(SCOPE_FIELDS)  # before anything is read or linked: a period just chosen counts for the whole page
    try:
        place = arrive()
    except Homeless as nobody:
        workspaces.of_nobody(nobody.signed_in)
        st.stop()
    with st.sidebar:
        shell.sidebar(place)
    layout.say_what_was_done()
    entry = nav.entry(name)
    if not place.may(entry.action):
        layout.title(entry.title)
        place.principal.require(entry.action)
        raise Forbidden
    with guarded(name):
        chosen.run()
