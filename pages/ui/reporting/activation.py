"""The activation page's parts: the criteria in widgets, the rate over time, and which early events go with coming back."""

from functools import partial
from typing import Any

import streamlit as st

from gdp_core.analytics.activation import (
    MOST_CRITERIA,
    MOST_DAYS,
    SIGNUP,
    Activating,
    Activation,
    ActivationCell,
    ActivationPoint,
    ActivationResult,
    Candidate,
    CandidateCell,
    CandidatesResult,
    Criterion,
    State,
    activation_people,
    candidate_people,
)
from gdp_core.analytics.counting import ANYTHING
from gdp_core.analytics.fields import Fields
from gdp_core.analytics.metrics import metric
from gdp_core.errors import InvalidInput
from gdp_core.timeline.matching import Match
from pages.ui import layout
from pages.ui.charts import activation as charts
from pages.ui.charts import trend
from pages.ui.context import Here
from pages.ui.escape import clean, safe_text
from pages.ui.format import UNKNOWN
from pages.ui.reporting import clicking, explaining, picking, starting, usual
from pages.ui.reporting.behind import Behind
from pages.ui.reporting.clicking import Click
from pages.ui.reporting.drafts import Draft, Rows
from pages.ui.reporting.explaining import Command
from pages.ui.reporting.page import Report, Turn
from pages.ui.reporting.sight import Sight

DEFINITION = (
    "Activated is who met every criterion after their start and no later than so many times 24 h after it. The rate is of"
    " those whose time is over (mature): who started lately is open, or early when they met the criteria already. A"
    " candidate is an event people did in that same time, at least so often. Reach is the share of the mature starts who"
    " did it; lift is by how much more of them came back than of the others, in the days that follow that time, never in"
    " it. Candidates are ranked by reach times lift, those that enough people did and did not do; the interval is of 95 %,"
    " were the candidate the only one. An association is no effect: try it."
)
_MOST_DRAWN = 12
_MOST_LISTED = 100
_STATES: dict[str, State] = {
    "Started": "started",
    "Mature": "mature",
    "Activated": "activated",
    "Not activated": "not_activated",
    "Early": "early",
    "Open": "open",
}


def usual_question(place: Here, fields: Fields) -> Activating:
    """Who reached first value within a week of signing up, as far as the workspace has such an event."""
    first = usual.of_roles(place, fields, ("activation", "core"))
    frequent = [Match((name,)) for name, _ in fields.events[:1]]
    core = usual.of_role(place, fields, "core")
    return Activating(Activation((Criterion([*first, *frequent, ANYTHING][0]),), SIGNUP), core or ANYTHING)


class Form:
    """The question as it stands in the widgets."""

    def __init__(self, draft: Draft) -> None:
        begins: Activating = draft.asked.question
        self.draft = draft
        self._begins = begins
        self._start = starting.Start(draft, begins.activation.start)
        self._criteria = Rows[Criterion | None](draft, "criteria", begins.activation.criteria)
        self._events = {
            number: picking.Event(draft, given.event if given else None, f"criterion.{number}")
            for number, given in self._criteria
        }
        self._return = picking.Event(draft, begins.returning, "return")

    @property
    def question(self) -> Activating:
        """What it asks. Raises InvalidInput."""
        draft, begins = self.draft, self._begins
        start, returning = self._start.value, self._return.value
        criteria = tuple(found for number, given in self._criteria if (found := self._criterion(number, given)))
        if start is None or not criteria or returning is None:
            raise InvalidInput("Choose what begins it, what activates, and what counts as coming back.")
        return Activating(
            Activation(
                criteria,
                start,
                int(draft.value(begins.activation.days, "days") or 1),
                draft.value(begins.activation.interval, "interval"),
                draft.value(begins.activation.everything, "everything"),
            ),
            returning,
            int(draft.value(begins.back_within, "back") or 1),
            begins.times,
            int(draft.value(begins.support, "support") or 1),
        )

    def _criterion(self, number: int, given: Criterion | None) -> Criterion | None:
        event = self._events[number].value
        times = self.draft.value(given.times if given else 1, "criterion", number, "times")
        return Criterion(event, int(times or 1)) if event else None

    def draw(self, sight: Sight, fields: Fields, people: picking.People) -> None:
        """What begins it, the criteria, a row each, and the time there is."""
        draft = self.draft
        with layout.card(key="activation-question"):
            with st.container(horizontal=True, wrap=False, vertical_alignment="center", gap="small"):
                st.caption("After", width=52)
                self._start.draw(sight, fields)
            for place, (number, _) in enumerate(self._criteria):
                self._row(sight, fields, place, number)
            with st.container(horizontal=True, vertical_alignment="center", gap="small"):
                st.button(
                    "Add a criterion",
                    icon=":material/add:",
                    type="tertiary",
                    key=draft.key("criteria", "add"),
                    on_click=partial(self._criteria.add, None),
                    disabled=len(self._criteria) >= MOST_CRITERIA,
                )
                st.caption("within", width="content")
                _whole(draft, "Days", MOST_DAYS, "days")
                st.caption("days, shown", width="content")
                picking.choice(draft, "Interval", picking.INTERVALS, "interval", width=116)
                people.draw(sight, fields)
                with st.popover("More", icon=":material/tune:", key=draft.key("more")):
                    st.toggle("Count what machines did, too", key=draft.key("everything"))

    def _row(self, sight: Sight, fields: Fields, place: int, number: int) -> None:
        with st.container(horizontal=True, wrap=False, vertical_alignment="center", gap="small"):
            st.caption("who did" if place == 0 else "and did", width=52)
            self._events[number].draw(sight, fields, f"Criterion {place + 1}", width="stretch")
            st.caption("at least", width="content")
            _whole(self.draft, "Times", 1000, "criterion", number, "times")
            remove = partial(self._criteria.remove, number)
            picking.removal(self.draft, "criterion", remove, "criterion", number, disabled=len(self._criteria) < 2)

    def ranking(self, sight: Sight, fields: Fields) -> None:
        """What coming back is, and how many people are enough."""
        draft = self.draft
        with st.container(horizontal=True, wrap=False, vertical_alignment="center", gap="small"):
            st.caption("back is", width=52)
            self._return.draw(sight, fields, "Return event", width="stretch")
        with st.container(horizontal=True, vertical_alignment="center", gap="small"):
            st.caption("in the", width=52)
            _whole(draft, "Days after", MOST_DAYS, "back")
            st.caption("days after; at least", width="content")
            _whole(draft, "People", 1_000_000, "support")
            st.caption("people", width="content")


def _whole(draft: Draft, title: str, most: int, *path: object) -> None:
    st.number_input(
        safe_text(title),
        min_value=1,
        max_value=most,
        step=1,
        key=draft.key(*path),
        label_visibility="collapsed",
        width=96,
    )


def _named(question: Activating) -> list[str]:
    asked = question.activation
    matches = [question.returning, *(criterion.event for criterion in asked.criteria)]
    return [condition.field for match in matches for condition in match.conditions] + starting.named_by(asked.start)


REPORT = Report("activation", "activation", "Activation", usual_question, Form, _named, compares=False)


def command(turn: Turn) -> Command:
    """The command that gives the same numbers."""
    question: Activating = turn.question
    asked = question.activation
    made = Command("activation", turn.place)
    if asked.start != SIGNUP:
        starting.told(made, asked.start)
    for criterion in asked.criteria:
        names, times = criterion.event.text, criterion.times
        made.option("--event", f"{names}:{times}" if times > 1 or ":" in names else names)
    made.where([criterion.event for criterion in asked.criteria])
    if isinstance(asked.start, Match):
        made.options("--start-where", (condition.text for condition in asked.start.conditions))
    made.option("--return", question.returning.text, "*")
    made.options("--return-where", (condition.text for condition in question.returning.conditions))
    made.option("--days", asked.days, 7).option("--back-within", question.back_within, 30)
    made.options("--times", () if question.times == (1, 2, 3) else question.times)
    made.option("--support", question.support, 30).option("--interval", asked.interval, "week")
    return made.option("--everything", asked.everything or None)


# ------------------------------------------------------------------------------------------------------ the rate


def headline(place: Here, found: ActivationResult) -> None:
    """The rate in four numbers, and who is still on their way."""
    write, total = place.write, found.total
    with layout.numbers():
        layout.metric("Activation rate", write.percent(total.rate), help=metric("activation_rate").definition)
        whole = partial(Click, "activation.table", 0)
        clicking.metric(whole("Activated"), "Activated", write.number(total.activated))
        clicking.metric(whole("Mature"), "Of mature starts", write.number(total.mature))
        layout.metric("Time to activate", write.lasting(found.seconds), help=metric("time_to_activate").definition)
    waiting = total.started - total.mature
    if not total.mature:
        layout.note(
            f"Nobody's {write.number(found.asked.days)} days are over yet, so there is no rate: choose an earlier or longer"
            f" period, or a shorter time. {write.number(total.early)} of {write.number(total.started)} met the criteria"
            " already."
        )
    elif waiting:
        layout.note(
            f"{write.number(waiting)} started less than {write.number(found.asked.days)} days ago and are not in the rate;"
            f" {write.number(total.early)} of them met the criteria already."
        )


def over_time(place: Here, found: ActivationResult) -> None:
    """The rate by when people started, and everybody in numbers."""
    write, points = place.write, found.points
    final = next((at for at, point in enumerate(points) if point.mature < point.started), len(points))
    texts = [
        f"{write.percent(point.rate)}, {write.number(point.activated)} of {write.number(point.mature)}"
        + (", cut" if point.cut else "")
        for point in points
    ]
    with layout.card(f"Activation by {found.asked.interval} of the start", key="activation-rate"):
        clicking.chart(
            trend.lines(
                [point.start for point in points],
                [trend.Line("Activated", [point.rate for point in points], texts, final)],
                percent=True,
                height=260,
            ),
            "activation.rate",
            alt=f"Activation rate by {found.asked.interval} of the start",
        )
        said = []
        if final < len(points):
            said.append("Dotted: the time of some who started then is not over, and they are not in the rate yet.")
        if any(point.cut for point in points):
            said.append(f"Cut: only a part of the {found.asked.interval} is in the period.")
        layout.notes(said)
        _table(place, found)


def _table(place: Here, found: ActivationResult) -> None:
    write, rows = place.write, _rows(found)
    columns: dict[str, list[Any]] = {
        "Started in": ["Whole period", *(_when(place, found, point) for point in rows[1:])]
    }
    for name, state in _STATES.items():
        columns[name] = [write.number(_count(point, state)) for point in rows]
    columns["Rate"] = [write.percent(point.rate) for point in rows]
    clicking.table(
        columns,
        "activation.table",
        alt="Activation in numbers",
        numbers=[*_STATES],
        config={
            "Started in": st.column_config.TextColumn(pinned=True, width=150),
            "Rate": st.column_config.TextColumn(alignment="right"),
        },
        height=min(460, 36 * (len(rows) + 1)),
    )
    csv: dict[str, list[Any]] = {"start": [None, *(point.start for point in rows[1:])]}
    for state in _STATES.values():
        csv[state] = [_count(point, state) for point in rows]
    csv["rate"] = [point.rate for point in rows]
    csv["cut"] = [point.cut for point in rows]
    explaining.below(place, "activation", csv, key="activation-csv")


def _rows(found: ActivationResult) -> list[ActivationPoint]:
    """The whole period, then the newest first."""
    return [found.total, *reversed(found.points)]


def _count(point: ActivationPoint, state: State) -> int:
    return {
        "started": point.started,
        "mature": point.mature,
        "activated": point.activated,
        "not_activated": point.mature - point.activated,
        "early": point.early,
        "open": point.started - point.mature - point.early,
    }[state]


def _when(place: Here, found: ActivationResult, point: ActivationPoint) -> str:
    day = place.write.month(point.start) if found.asked.interval == "month" else place.write.day(point.start)
    return f"{day} · cut" if point.cut else day


# --------------------------------------------------------------------------------------------------- the ranking


def ranking(place: Here, found: CandidatesResult) -> None:
    """The candidates by reach times lift: the first as dots with their intervals, all of them as a table."""
    write = place.write
    if not found.candidates:
        over = found.asked.days + found.asked.back_within
        layout.note(
            f"Nothing can be ranked yet: {write.number(found.mature)} people of this period started at least"
            f" {write.number(over)} days ago, and an event counts when {write.number(found.asked.support)} of them did it"
            f" and {write.number(found.asked.support)} did not. Choose a longer or earlier period, or fewer people."
        )
        return
    drawn = found.candidates[:_MOST_DRAWN]
    clicking.chart(
        charts.lifts(drawn, [_candidate(one) for one in drawn], write),
        "activation.lifts",
        alt="By how much more of those who did something came back, with 95 % intervals",
    )
    listed = found.candidates[:_MOST_LISTED]
    columns: dict[str, list[Any]] = {
        "Event": [clean(one.name, longest=80) for one in listed],
        "At least": [f"{write.number(one.times)}×" for one in listed],
        "Did it": [write.number(one.did) for one in listed],
        "Reach": [write.percent(one.reach) for one in listed],
        "Came back": [write.number(one.did_back) for one in listed],
        "Of who did": [write.percent(one.did_back / one.did) for one in listed],
        "Of the others": [write.percent(one.others_back / one.others) for one in listed],
        "Lift": [write.points(one.lift, 0) or UNKNOWN for one in listed],
        "95 % interval": [
            f"{write.points(low, 0)} – {write.points(high, 0)}" for low, high in (one.interval for one in listed)
        ],
        "Score": [write.number(one.score, decimals=3) for one in listed],
    }
    right = [name for name in columns if name not in ("Event", "Did it", "Came back")]
    clicking.table(
        columns,
        "activation.ranking",
        alt="Early events by reach times lift",
        numbers=["Did it", "Came back"],
        config={"Event": st.column_config.TextColumn(pinned=True)}
        | {name: st.column_config.TextColumn(alignment="right") for name in right},
        height=min(460, 36 * (len(listed) + 1)),
    )
    csv: dict[str, list[Any]] = {
        name: [getattr(one, name) for one in found.candidates]
        for name in ("name", "times", "did", "did_back", "others", "others_back", "reach", "lift", "score")
    }
    csv |= {"low": [one.interval[0] for one in found.candidates], "high": [one.interval[1] for one in found.candidates]}
    explaining.below(place, "activation candidates", csv, key="activation-ranking-csv")
    said = f"Of {write.number(found.mature)} people whose days are over {write.number(found.back)} came back. {found.label}"
    if found.too_few:
        said += f" {write.number(found.too_few)} more are left out: too few people did or did not do them."
    layout.note(said)


def _candidate(one: Candidate) -> str:
    return one.name if one.times == 1 else f"{one.name} {one.times}×"


# ---------------------------------------------------------------------------------------------------- the people


def behind(turn: Turn, rate: ActivationResult, ranked: CandidatesResult, click: Click) -> Behind | None:
    """The people of the number that was clicked."""
    asked: Activating = turn.question
    criteria = " and ".join(criterion.event.title for criterion in asked.activation.criteria)
    report = f"{starting.title_of(asked.activation.start)} → {criteria}"
    if click.of in ("activation.lifts", "activation.ranking"):
        one = ranked.candidates[click.row]
        cell = CandidateCell(one.name, one.times, back=True if click.column == "Came back" else None)
        title = f"Did {_candidate(one)}{' and came back' if cell.back else ''}"
        return turn.behind(clean(title, longest=200), report, turn.sight.people(candidate_people, ranked.asked, cell))
    chosen = _clicked(rate, click)
    if chosen is None:
        return None
    name, point = chosen
    start = None if point is rate.total else point.start
    counted = ActivationCell(_STATES[name], start)
    people = turn.sight.people(activation_people, rate.asked, counted)
    when = "in the period" if start is None else f"in the {rate.asked.interval} of {turn.place.write.day(start)}"
    return turn.behind(f"{name}, started {when}", report, people, rule=turn.rule(counted, rate.asked))


def _clicked(found: ActivationResult, click: Click) -> tuple[str, ActivationPoint] | None:
    if click.of == "activation.table":
        return click.column, _rows(found)[click.row]
    if click.of == "activation.rate":
        final = next((at for at, one in enumerate(found.points) if one.mature < one.started), len(found.points))
        return "Activated", found.points[click.row + (max(0, final - 1) if click.column == "1" else 0)]
    return None
