"""Revenue: recurring revenue and what moved it, how much of it stays, and what customers have brought."""

from gdp_core.analytics.revenue import Revenue
from gdp_core.analytics.revenue import report as count
from pages.ui import layout, nav
from pages.ui.reporting import page, revenue

turn = page.begin(revenue.REPORT)
place = turn.place
found: Revenue
found, opened = turn.ask(count, revenue.behind, height=700)

if found.is_empty:
    code = turn.question.currency
    with layout.empty(
        ":material/payments:",
        f"No revenue in {code}" if code else "No revenue yet",
        "Choose another currency, more people, or a longer period."
        if code or not turn.asked.who.is_everybody
        else "Revenue begins with the first subscription or payment: connect Stripe, or send events with a value.",
    ):
        if nav.may_open(place, "sources") and not code:
            nav.link(place, "sources", label="Connect a source", icon=":material/power:")
else:
    revenue.headline(place, found)
    revenue.without_rate(place, found)
    revenue.over_time(place, found)
    revenue.movements(place, found)
    revenue.standing(place, found)
    revenue.staying(place, found)
    revenue.money(place, found)
    revenue.worth(place, found, turn.question.birth)
    revenue.predicted(place, found)
turn.foot(revenue.DEFINITION, revenue.command(turn))
turn.drawer(opened)
