"""Churn: who fell silent, who stopped paying, why, for how long customers stay, and who is likely to be next."""

from pages.ui.reporting import churn, churn_crossed, churn_paying, churn_using, churn_warning, page

turn = page.begin(churn.REPORT)
view = churn.choose_view()
match view:
    case "paying":
        opened = churn_paying.show(turn)
    case "both":
        opened = churn_crossed.show(turn)
    case "warning":
        opened = churn_warning.show(turn)
    case _:
        opened = churn_using.show(turn)
turn.foot(churn.DEFINITIONS[view], churn.command(turn))
turn.drawer(opened)
