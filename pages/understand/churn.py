"""Churn: who fell silent, who stopped paying, why, for how long customers stay, and who is likely to be next."""

from pages.ui.reporting import churn, churn_crossed, churn_paying, churn_using, churn_warning, page

turn = page.begin(churn.REPORT)
view = churn.choose_view()
match view:
    case "paying":
        shown = churn_paying.show(turn)
    case "both":
        shown = churn_crossed.show(turn)
    case "warning":
        shown = churn_warning.show(turn)
    case _:
        shown = churn_using.show(turn)
turn.foot(churn.DEFINITIONS[view], churn.command(turn))
turn.open(shown)
