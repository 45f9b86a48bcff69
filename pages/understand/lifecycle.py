"""Lifecycle: who came, stayed, came back and fell silent; how often people come; where customers stand."""

import streamlit as st

from gdp_core.analytics.customers import read_stages
from gdp_core.analytics.lifecycle import LifecycleResult
from gdp_core.analytics.lifecycle import lifecycle as count
from gdp_core.analytics.stickiness import StickinessResult
from gdp_core.analytics.stickiness import stickiness as count_days
from pages.ui import layout
from pages.ui.reporting import lifecycle, page

turn = page.begin(lifecycle.REPORT)
place = turn.place
found: LifecycleResult = turn.count(count)

sticky: StickinessResult | None = None
if not found.before and not any(point.active or point.dormant for point in found.points):
    layout.empty(
        ":material/bedtime:",
        "Nobody was active in this period",
        " ".join([*found.notes, "Choose a longer period, another event, or fewer conditions."]),
    )
else:
    lifecycle.headline(place, found)
    layout.notes(found.notes)
    with layout.card(f"People by {found.asked.interval}", key="lifecycle-chart"):
        lifecycle.picture(place, found)
        lifecycle.table(place, found)
    layout.section("Stickiness")
    with st.skeleton(height=420):
        sticky = turn.sight.count(count_days, lifecycle.stickiness_of(turn.question))
        lifecycle.stickiness(place, sticky)
stages, customers = turn.read(
    (read_stages.__module__, read_stages.__qualname__),
    lambda session: read_stages(session, turn.sight.scope.now),
    lifecycle.customers_behind,
    of="customers.",
    height=300,
)
lifecycle.customers(place, stages)
turn.foot(lifecycle.DEFINITION, lifecycle.command(turn), lifecycle.stickiness_command(turn))
turn.open(lambda turn, click: customers or lifecycle.behind(turn, found, sticky, click))
