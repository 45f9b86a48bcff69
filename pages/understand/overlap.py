"""Overlap: how many people are in several saved lists at once, and who they are."""

import streamlit as st

from gdp_core.analytics.overlap import FEWEST, Overlap
from gdp_core.analytics.overlap import report as count
from pages.ui import layout
from pages.ui.reporting import explaining, overlap, page

turn = page.begin(overlap.REPORT)
place = turn.place
if len(turn.question.lists) < FEWEST:
    overlap.wanting(place, turn.question)
    st.stop()

command = overlap.command(turn)  # before what is remembered: a list may be gone since
found: Overlap
found, opened = turn.ask(count, overlap.behind)
if not found.union:
    layout.empty(":material/join_inner:", "Nobody is in these lists", "Choose other lists, or more people.")
else:
    overlap.headline(place, found)
    overlap.picture(place, found)
overlap.lists(place, found)
explaining.foot(overlap.DEFINITION, command.of(turn.asked.who))  # lists have no period
turn.drawer(opened)
