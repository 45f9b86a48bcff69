"""Activation: who reached first value soon after they started, and what else goes with coming back."""

from gdp_core.analytics.activation import ActivatingResult, activating
from pages.ui import layout
from pages.ui.reporting import activation, page

turn = page.begin(activation.REPORT)
place = turn.place
found: ActivatingResult = turn.count(activating)

rate, ranked = found.activation, found.candidates
if not rate.total.started:
    layout.empty(
        ":material/event_busy:",
        "Nobody started in this period",
        " ".join([*rate.notes, "Choose a longer period, another start, or fewer conditions."]),
    )
else:
    activation.headline(place, rate)
    layout.notes(rate.notes)
    activation.over_time(place, rate)
    with layout.card("What people do early who come back", key="activation-ranking"):
        turn.form.ranking(turn.sight, turn.fields)
        activation.ranking(place, ranked)
turn.foot(activation.DEFINITION, activation.command(turn))
turn.open(lambda turn, click: activation.behind(turn, rate, ranked, click))
