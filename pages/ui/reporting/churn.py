"""The churn page's question in widgets, and what its views share."""

from collections.abc import Sequence
from datetime import date
from typing import Any, Literal

import streamlit as st

from gdp_core.analytics import churn
from gdp_core.analytics.counting import ANYTHING
from gdp_core.analytics.engagement_churn import EngagementChurn, EngagementChurnResult, engagement_churn
from gdp_core.analytics.fields import Fields
from gdp_core.errors import InvalidInput
from pages.ui import layout, state
from pages.ui.context import Here
from pages.ui.reporting import picking, usual
from pages.ui.reporting.drafts import Draft
from pages.ui.reporting.explaining import Command
from pages.ui.reporting.page import Report, Turn
from pages.ui.reporting.sight import Sight

View = Literal["using", "paying", "both", "warning"]
VIEWS: dict[View, str] = {
    "using": "Fell silent",
    "paying": "Stopped paying",
    "both": "Side by side",
    "warning": "Early warning",
}
VIEW = state.Field("churn", "view", default="using", choices=tuple(VIEWS))
OF = state.Field("churn", "of", default="", pattern=r"\d{4}-\d\d-\d\d")
_NEWEST = ""
_SILENT = (
    "Somebody was active when they used the product in the baseline, the time before the quiet time, and fell silent when"
    " they did not in the quiet time that follows, up to the end of the interval. The rate is the silent among the active."
)
DEFINITIONS: dict[View, str] = {
    "using": _SILENT
    + " What went before is measured before the quiet time began, so none of it can follow from leaving; how often people"
    " fell silent with it is compared with how often they did without it. It goes together; it need not be why. A running"
    " interval is seen as of now.",
    "paying": "A customer is lost when their MRR was above zero when the period began and is zero when it ends, which is"
    " when access ends; asking to cancel is counted apart. Involuntary is what ended because payments failed. Rates are of"
    " the customers at the start. Survival is the share of customers that still pays so many days after their first"
    " payment (Kaplan-Meier, with a 95 % interval); who has not left counts as long as they were seen. Reasons are what"
    " was so before the month in which they left, and goes together with leaving better than chance. Days are the"
    " workspace's own; internal people are left out.",
    "both": _SILENT
    + " Beside it, who paid when the quiet time began and who of them did not any more when it ended, by"
    " whole local days. Falling silent is not to stop paying: somebody may pay and be away, or use and not pay.",
    "warning": "How likely somebody who used the product in the last 60 days does not in the next 30. A logistic regression"
    " learns it from what people did at earlier dates and whether they then fell silent; the newest date whose outcome is"
    " known is held out, and only there it is judged. AUC is how often it rates one who fell silent above one who stayed;"
    " 50 % would be chance. Said against came true shows whether its numbers mean what they say.",
}


def usual_question(place: Here, fields: Fields) -> EngagementChurn:
    """What the product is for, else anything."""
    return EngagementChurn(usual.of_role(place, fields, "core") or ANYTHING)


class Form:
    """The question as it stands in the widgets."""

    def __init__(self, draft: Draft) -> None:
        begins: EngagementChurn = draft.asked.question
        self.draft = draft
        self._begins = begins
        self._core = picking.Event(draft, begins.core, "core")

    @property
    def question(self) -> EngagementChurn:
        """What it asks. Raises InvalidInput."""
        core = self._core.value
        if core is None:
            raise InvalidInput("Choose what counts as using the product.")
        return EngagementChurn(
            core,
            picking.window(self.draft, self._begins.quiet, "quiet"),
            picking.window(self.draft, self._begins.baseline, "baseline"),
            self.draft.value(self._begins.interval, "interval"),
        )

    def draw(self, sight: Sight, fields: Fields, people: picking.People) -> None:
        """What using the product is, how long nothing of it must have happened, and after which time of use."""
        draft = self.draft
        with layout.card(key="churn-question"):
            with st.container(horizontal=True, wrap=False, vertical_alignment="center", gap="small"):
                st.caption("Use is", width=52)
                self._core.draw(sight, fields, "What counts as use", width="stretch")
            with st.container(horizontal=True, vertical_alignment="center", gap="small"):
                with st.container(horizontal=True, vertical_alignment="center", gap="small", width="content"):
                    st.caption("none for", width=52)
                    picking.window_fields(draft, "Quiet time", "quiet")
                with st.container(horizontal=True, vertical_alignment="center", gap="small", width="content"):
                    st.caption("after some in the", width="content")
                    picking.window_fields(draft, "Baseline", "baseline")
                    st.caption("before", width="content")
                picking.choice(draft, "Interval", picking.INTERVALS, "interval", width=116)
                people.draw(sight, fields)


def _named(question: EngagementChurn) -> list[str]:
    return [condition.field for condition in question.core.conditions]


REPORT = Report("churn", "churn", "Churn", usual_question, Form, _named, more=(VIEW, OF))


def command(turn: Turn) -> Command:
    """The command that gives the same numbers."""
    question: EngagementChurn = turn.question
    made = Command("churn", turn.place).events("--event", [question.core])
    made.option("--any-event", None if question.core.names else True)
    made.option("--quiet", question.quiet.text).option("--baseline", question.baseline.text)
    return made.option("--interval", question.interval, "month")


# --------------------------------------------------------------------------------------------------------- shared


def choose_view() -> View:
    """Which part of the report is shown; the others are not counted."""
    st.segmented_control(
        "View",
        [*VIEWS],
        key=VIEW.key,
        format_func=VIEWS.__getitem__,
        label_visibility="collapsed",
        required=True,
    )
    chosen: View = VIEW.value
    return chosen


def engagement(turn: Turn) -> EngagementChurnResult:
    """The intervals of the period."""
    found: EngagementChurnResult = turn.count(engagement_churn)
    return found


def chosen_start(turn: Turn, found: EngagementChurnResult) -> date:
    """The interval that is looked at: the newest that is over unless another is chosen. There must be one."""
    newest = churn.newest(found) or found.points[0].start
    starts = [str(point.start) for point in reversed(found.points)]
    if OF.value not in starts:
        OF.set(_NEWEST)
    st.selectbox(
        "Interval",
        [_NEWEST, *starts],
        key=OF.key,
        format_func=lambda text: when(turn, date.fromisoformat(text)) if text else f"Newest: {when(turn, newest)}",
        label_visibility="collapsed",
        width=190,
    )
    return date.fromisoformat(OF.value) if OF.value else newest


def when(turn: Turn, start: date) -> str:
    """An interval by its name."""
    write = turn.place.write
    return write.month(start) if turn.question.interval == "month" else write.day(start)


def short(turn: Turn, start: date) -> str:
    """The same for an axis."""
    write = turn.place.write
    return write.short_month(start) if turn.question.interval == "month" else write.short_day(start)


def said(turn: Turn, start: date) -> str:
    """An interval within a sentence."""
    interval = turn.question.interval
    name = when(turn, start)
    return f"on {name}" if interval == "day" else f"in {name}" if interval == "month" else f"in the week of {name}"


def asks(question: EngagementChurn) -> str:
    """The question in a few words."""
    return f"{question.core.title}, none for {question.quiet.text} after some in {question.baseline.text}"


def nobody(sentence: str, hint: str) -> None:
    """Instead of a part, where there is nobody."""
    layout.empty(":material/person_off:", sentence, hint)


def reasons(found: Sequence[tuple[str, str] | None], none: str, key: str) -> None:
    """The primary and the secondary reason, each what it is and how much it matters; `none` where there is no first."""
    if not any(found):
        layout.note(none)
        return
    for box, title, one in zip(st.columns(2, gap="small"), ("Primary reason", "Secondary reason"), found, strict=True):
        with box, layout.card(key=f"{key}-{title.partition(' ')[0].lower()}"):
            layout.note(title)
            layout.heading(one[0] if one else "None that is surer than chance")
            layout.note(one[1] if one else "")


def multiple(place: Here, ratio: float | None) -> str:
    """×1.8"""
    return "–" if ratio is None else f"×{place.write.number(ratio, decimals=2)}"


def chance(corrected: float) -> str:
    """How often chance alone would do it."""
    return "< 0.001" if corrected < 0.001 else f"{corrected:.3f}"


def right(columns: dict[str, list[Any]], *names: Sequence[str] | str) -> dict[str, Any]:
    """Columns of numbers as text."""
    return {str(name): st.column_config.TextColumn(alignment="right") for name in names if name in columns}
