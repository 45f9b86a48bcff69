"""Segments: who is meant by rules, kept up to date."""

import streamlit as st

from pages.ui import layout, state
from pages.ui.context import arrived
from pages.ui.segments import listed

place = arrived()
state.adopt(listed.FIELDS)
found, has_draft = listed.read(place), listed.draft_of(place)
with layout.head("Segments", "People who meet a rule, counted again and again"):
    if found.segments:
        listed.new_button(place, has_draft=has_draft)
if not found.segments:
    listed.none_yet(place, has_draft=has_draft)
    state.publish(listed.FIELDS)
    st.stop()
listed.search()
listed.table(place, found, listed.matching(place, found))
state.publish(listed.FIELDS)
