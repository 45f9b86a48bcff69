"""Overlap: how many people are in several saved lists and segments at once, and who they are."""

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

compared = overlap.chosen(turn)  # before what is remembered: one of them may be gone since
overlap.remarks(compared)
found: Overlap
found, opened = turn.ask(count, overlap.behind, state=tuple(compared.values()))
if not found.union:
    layout.empty(":material/join_inner:", "Nobody is in any of them", "Choose others, or more people.")
else:
    overlap.headline(place, found)
    overlap.picture(place, found)
overlap.sets(place, found)
command = overlap.command(turn, compared).of(turn.asked.who)
explaining.foot(overlap.DEFINITION, command)  # they have no period
turn.drawer(opened)
