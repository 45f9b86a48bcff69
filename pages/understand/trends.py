"""Trends: how often something happens over time, by how many people, or what it adds up to."""

from gdp_core.analytics.trends import TrendResult
from gdp_core.analytics.trends import trend as count
from pages.ui import layout
from pages.ui.reporting import page, trend

turn = page.begin(trend.REPORT)
place = turn.place
found: TrendResult = turn.count(count)

if not any(line.events and any(line.events) for line in found.lines):
    layout.empty(
        ":material/trending_flat:",
        "Nothing of this happened in the period",
        " ".join([*found.notes, "Choose a longer period, another event, or fewer conditions."]),
    )
else:
    trend.headline(place, found)
    trend.chart(place, found)
    trend.table(place, found)
turn.foot(trend.DEFINITION, trend.command(turn))
turn.open(lambda turn, click: trend.behind(turn, found, click))
