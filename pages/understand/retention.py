"""Retention: of those who started together, how many came back, and what they are worth."""

import streamlit as st

from gdp_core.analytics.cohort_worth import cohort_worth
from gdp_core.analytics.retention import RetentionResult, source_columns
from gdp_core.analytics.retention import retention as count
from pages.ui import layout
from pages.ui.reporting import page, retention

turn = page.begin(retention.REPORT)
place = turn.place
found: RetentionResult = turn.count(count)

triangle = found.triangles[0]
if not triangle.people:
    layout.empty(
        ":material/event_busy:",
        "Nobody started in this period",
        "Choose a longer period, another start, or fewer conditions.",
    )
else:
    retention.headline(place, found)
    with layout.card("Who came back" if not found.asked.value else "What they brought", key="retention-triangle"):
        triangle = retention.chosen_group(place, found)
        retention.picture(place, found, triangle)
        table = st.expander("As a table", icon=":material/table:", on_change="rerun", key="retention-as-table")
        if table.open:
            with table:
                retention.table(place, found, triangle)
    retention.curves(place, found)
    worth = st.expander("Cohorts and what they are worth", icon=":material/payments:", on_change="rerun", key="worth")
    if worth.open and found.asked.occurrence != "recurring":
        with worth, st.skeleton(height=300):
            plain = retention.monthly(found.asked)
            days = turn.sight.count(count, source_columns(plain))
            cohorts = tuple(cohort.start for cohort in triangle.cohorts)
            retention.worth(place, days, turn.sight.count(cohort_worth, plain, cohorts), place.scope.currency)
turn.foot(retention.DEFINITION, retention.command(turn))
turn.open(lambda turn, click: retention.behind(turn, found, triangle, click))
