"""Retention: of those who started together, how many came back, and what they are worth."""

import streamlit as st

from gdp_core.analytics.retention import RetentionResult
from gdp_core.analytics.retention import retention as count
from pages.ui import layout
from pages.ui.reporting import page, retention

turn = page.begin(retention.REPORT)
place = turn.place
found: RetentionResult = turn.count(count)

triangle, worths = found.triangles[0], None
if not triangle.people:
    layout.empty(
        ":material/event_busy:",
        "Nobody started in this period",
        " ".join([*found.notes, "Choose a longer period, another start, or fewer conditions."]),
    )
else:
    retention.headline(place, found)
    layout.notes(found.notes)
    with layout.card("What they brought" if found.asked.value else "Who came back", key="retention-triangle"):
        triangle = retention.chosen_group(place, found)
        retention.picture(place, found, triangle)
        table = st.expander("As a table", icon=":material/table:", on_change="rerun", key="retention-as-table")
        if table.open:
            with table:
                retention.table(place, found, triangle)
    retention.groups(turn, found)
    retention.curves(place, found)
    if found.asked.occurrence != "recurring":
        worths = retention.worth(turn, triangle)
turn.foot(retention.DEFINITION, retention.command(turn), *([retention.worth_command(turn)] if worths else []))
turn.open(lambda turn, click: retention.behind(turn, found, triangle, worths, click))
