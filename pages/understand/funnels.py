"""Funnels: how many people take these steps within a time, where they stop, and who they are."""

from gdp_core.analytics.funnel.report import FunnelResult
from gdp_core.analytics.funnel.report import funnel as count
from pages.ui import layout
from pages.ui.reporting import funnel, page

turn = page.begin(funnel.REPORT)
place = turn.place
found: FunnelResult = turn.count(count, height=700)

funnel.headline(place, found)
if not found.total.entered:
    layout.empty(
        ":material/filter_alt_off:",
        "Nobody entered in this period",
        "Choose a longer period, another first step, or fewer conditions.",
    )
else:
    funnel.steps(place, found)
    funnel.over_time(place, found)
    if found.asked.breakdown:
        funnel.groups(turn, found, found.asked.breakdown)
    with layout.card("What the dropped have in common", key="funnel-factors"):
        turn.form.factors(turn.sight, turn.fields)
        if found.factors and found.asked.factors:
            funnel.factors(place, found.factors, found.asked.factors.lookback)
turn.foot(found.asked.definition, funnel.command(turn))
turn.open(lambda turn, click: funnel.behind(turn, found, click))
