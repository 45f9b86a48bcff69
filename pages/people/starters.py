"""Starters: segments that others begin with, installed by one click and turned off until somebody looked."""

from gdp_core.segments import starters as core
from pages.ui import layout, nav
from pages.ui.context import arrived
from pages.ui.segments import starting

place = arrived()
nav.link(place, "segments", label="Segments", icon=":material/arrow_back:")
there = place.read(core.installed)
with layout.head("Starter segments", "Installed with one click, turned off until you have looked at them"):
    starting.all_of_them(there, place)
for funnel, title in starting.FUNNELS.items():
    layout.section(title)
    for one in core.STARTERS:
        if one.funnel == funnel:
            starting.row(place, one, there.get(one.key))
