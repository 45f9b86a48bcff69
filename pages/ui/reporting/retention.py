"""The retention page's parts: the question in widgets, and the answer as a triangle, curves and a table."""

import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from typing import Any

import streamlit as st

from gdp_core.analytics.beginnings import Known, Occurrence
from gdp_core.analytics.breakdown import ALL, Group
from gdp_core.analytics.calendar import Interval
from gdp_core.analytics.cohort_worth import Worth
from gdp_core.analytics.cohorts import Column
from gdp_core.analytics.counting import ANYTHING
from gdp_core.analytics.fields import Fields
from gdp_core.analytics.measures import MONEY
from gdp_core.analytics.retention import (
    MOST_COLUMNS,
    Average,
    Cohort,
    Mode,
    Retention,
    RetentionCell,
    RetentionResult,
    Triangle,
    retention_people,
)
from gdp_core.errors import InvalidInput
from pages.ui import csv, layout, state
from pages.ui.charts import retention as charts
from pages.ui.charts import trend
from pages.ui.charts.style import CONFIG
from pages.ui.context import Here
from pages.ui.escape import clean
from pages.ui.format import UNKNOWN
from pages.ui.reporting import clicking, explaining, picking, usual
from pages.ui.reporting.behind import Behind
from pages.ui.reporting.clicking import Click
from pages.ui.reporting.drafts import Draft
from pages.ui.reporting.explaining import Command
from pages.ui.reporting.page import Report, Turn
from pages.ui.reporting.sight import Sight

EVENT = "event"
STARTS = {
    EVENT: "An event",
    "signup_at": "Signing up",
    "first_seen_at": "The first visit",
    "trial_started_at": "The trial's start",
    "subscribed_at": "Subscribing",
}
OCCURRENCES: dict[Occurrence, str] = {
    "first_ever": "the first ever",
    "first_in_period": "the first in the period",
    "recurring": "in every interval",
}
INTERVALS: dict[Interval, str] = {"day": "Daily", "week": "Weekly", "month": "Monthly"}
MODES: dict[Mode, str] = {"on": "In each", "on_or_after": "In or after", "bracket": "Brackets"}
VALUES = {"people": "People", "value": "Sum of"}
_INTERVALS = {"day": 14, "week": 12, "month": 12}
_MOST_ROWS = 60
_BRACKET = re.compile(r"\s*(\d{1,4})\s*(?:[-–]\s*(\d{1,4})|(\+))?\s*")
GROUP = state.Field("retention", "group", kind="number", default=0)
DEFINITION = (
    "Somebody's start is their first such event of all history, unless another is chosen; a cohort are those who started"
    " in one local day, week or month of the period. They came back in interval N when a return event is in the N-th such"
    " interval after that of their start; in interval 0, when it is after the start itself. From the start itself, a week"
    " is 7 x 24 h and a month 30 x 24 h. A hatched cell is still filling: not everybody in it has had the whole interval."
    " Averages are of full cells only, each cohort by its size."
)


def usual_question(place: Here, fields: Fields) -> Retention:
    """Who signed up, and does what the product is for."""
    signup, core = usual.of_role(place, fields, "signup"), usual.of_role(place, fields, "core")
    return Retention(signup or ANYTHING, core or ANYTHING)


class Form:
    """The question as it stands in the widgets."""

    def __init__(self, draft: Draft) -> None:
        begins: Retention = draft.asked.question
        self.draft = draft
        self._begins = begins
        self._start = picking.Event(draft, None if isinstance(begins.start, Known) else begins.start, "start")
        self._return = picking.Event(draft, begins.returning, "return")
        self._from = draft.value(begins.start.name if isinstance(begins.start, Known) else EVENT, "from")

    @property
    def question(self) -> Retention:
        """What it asks. Raises InvalidInput."""
        draft, begins = self.draft, self._begins
        is_event = self._from == EVENT
        start, returning = self._start.value, self._return.value
        if (is_event and start is None) or returning is None:
            raise InvalidInput("Choose what begins it and what counts as coming back.")
        cohort: Interval = draft.value(begins.cohort, "cohort")
        mode: Mode = draft.value(begins.mode, "mode")
        occurrence: Occurrence = draft.value(begins.occurrence, "occurrence")
        return Retention(
            start=start if is_event and start else Known(self._from),
            returning=returning,
            occurrence=occurrence if is_event else "first_ever",
            cohort=cohort,
            unit=begins.unit if begins.cohort == cohort else None,
            mode=mode,
            rolling=draft.value(begins.rolling, "rolling"),
            intervals=int(draft.value(begins.intervals, "intervals") or 1),
            brackets=self._brackets if mode == "bracket" else (),
            value=self._value,
            currency=begins.currency if self._value == begins.value else None,
            breakdown=picking.broken_down(draft, begins.breakdown),
            everything=draft.value(begins.everything, "everything"),
        )

    @property
    def _brackets(self) -> tuple[tuple[int, int | None], ...]:
        return brackets_of(self.draft.value(brackets_text(self._begins.brackets) or "1-7, 8-30, 31+", "brackets"))

    @property
    def _value(self) -> str | None:
        wanted = self.draft.value("value" if self._begins.value else "people", "of")
        field: str = self.draft.value(self._begins.value or MONEY, "field")
        return field if wanted == "value" else None

    def draw(self, sight: Sight, fields: Fields, people: picking.People) -> None:
        """What begins it, what counts as coming back, and how it is counted."""
        draft = self.draft
        with layout.card(key="retention-question"):
            with st.container(horizontal=True, wrap=False, vertical_alignment="center", gap="small"):
                st.caption("Who", width=52)
                picking.choice(draft, "Starts with", self._starts(), "from", width=168)
                if self._from == EVENT:
                    self._start.draw(sight, fields, "Start event", width="stretch")
                    picking.choice(draft, "Which one", OCCURRENCES, "occurrence", width=186)
            with st.container(horizontal=True, wrap=False, vertical_alignment="center", gap="small"):
                st.caption("and did", width=52)
                self._return.draw(sight, fields, "Return event", width="stretch")
                picking.choice(draft, "Cohorts", INTERVALS, "cohort", width=116)
                picking.choice(draft, "Counted", MODES, "mode", width=130)
                if draft.value("on", "mode") == "bracket":
                    st.text_input("Brackets", key=draft.key("brackets"), label_visibility="collapsed", width=150)
                else:
                    st.number_input(
                        "How many",
                        min_value=1,
                        max_value=MOST_COLUMNS - 1,
                        step=1,
                        key=draft.key("intervals"),
                        label_visibility="collapsed",
                        width=104,
                    )
            with st.container(horizontal=True, vertical_alignment="center", gap="small"):
                st.caption("count", width=52)
                picking.choice(draft, "Count", VALUES, "of", width=116)
                if draft.value("people", "of") == "value":
                    picking.number_field(draft, fields, "field")
                picking.breakdown(draft, sight.place, [*fields.of_events(), *fields.of_people])
                people.draw(sight, fields)
                with st.popover("More", icon=":material/tune:", key=draft.key("more")):
                    st.toggle("Count from the start itself, not by the calendar", key=draft.key("rolling"))
                    st.toggle("Count what machines did, too", key=draft.key("everything"))

    def _starts(self) -> dict[str, str]:
        return STARTS if self._from in STARTS else {**STARTS, self._from: self._from}


def brackets_of(text: str) -> tuple[tuple[int, int | None], ...]:
    """Brackets from "1-7, 8-30, 31+". Raises InvalidInput."""
    found = []
    for part in str(text).split(","):
        hit = _BRACKET.fullmatch(part)
        if not hit:
            raise InvalidInput("Write brackets like 1-7, 8-30, 31+.")
        last = None if hit[3] else int(hit[2] or hit[1])
        found.append((int(hit[1]), last))
    return tuple(found)


def brackets_text(brackets: Sequence[tuple[int, int | None]]) -> str:
    """As `brackets_of` reads them."""
    return ", ".join(
        f"{first}+" if last is None else str(first) if first == last else f"{first}-{last}" for first, last in brackets
    )


def _named(question: Retention) -> list[str]:
    matches = [question.returning, *([] if isinstance(question.start, Known) else [question.start])]
    found = [condition.field for match in matches for condition in match.conditions]
    found += [f"person.{question.start.name}"] if isinstance(question.start, Known) else []
    found += [question.value] if question.value else []
    return found + ([question.breakdown.field] if question.breakdown else [])


REPORT = Report("retention", "retention", "Retention", usual_question, Form, _named, more=(GROUP,))


def command(turn: Turn) -> Command:
    """The command that gives the same numbers."""
    question: Retention = turn.question
    made = Command("retention", turn.place)
    matches = [question.returning]
    if isinstance(question.start, Known):
        made.option("--known", question.start.name)
    else:
        matches.append(question.start)
        made.option("--start", "|".join(question.start.names))
    made.option("--return", "|".join(question.returning.names))
    if len({match.conditions for match in matches}) == 1:
        made.options("--where", (condition.text for condition in matches[0].conditions))
    else:
        made.partial = True
    made.partial |= question.everything or question.value is not None or bool(question.brackets)
    made.option("--occurrence", question.occurrence, "first_ever").option("--interval", question.cohort, "week")
    made.option("--unit", question.unit)
    made.option("--mode", "on" if question.mode == "bracket" else question.mode, "on")
    made.option("--rolling", question.rolling or None).option("--intervals", question.intervals, 12)
    return made.breakdown(question.breakdown)


# ------------------------------------------------------------------------------------------------------- the answer


def headline(place: Here, found: RetentionResult) -> None:
    """Who started, and how many came back after one, some and many intervals."""
    whole, write = found.triangles[0], place.write
    told = [index for index, average in enumerate(whole.averages) if average.weighted is not None]
    later = [index for index in told if found.columns[index].first > 0]
    chosen = dict.fromkeys([*later[:1], *later[len(later) // 2 : len(later) // 2 + 1], *later[-1:]])
    with layout.numbers():
        layout.metric("Started", write.number(whole.people))
        for index in chosen:
            average = whole.averages[index]
            layout.metric(
                f"{'Back' if not found.asked.value else 'Brought'} in {found.columns[index].title}",
                _average(place, found, average),
                help=f"Of {write.number(average.people)} people in the cohorts whose {found.columns[index].title} is over.",
            )


def _average(place: Here, found: RetentionResult, average: Average) -> str:
    if found.asked.value is None:
        return place.write.percent(average.weighted)
    return _value(place, found, average.value)


def _value(place: Here, found: RetentionResult, value: float | None) -> str:
    """What one person brought."""
    if value is None:
        return UNKNOWN
    return place.write.money(round(value), found.currency) if found.currency else place.write.number(value, decimals=2)


def chosen_group(place: Here, found: RetentionResult) -> Triangle:
    """The group whose triangle is shown, and its picker where there are several."""
    if len(found.triangles) == 1:
        return found.triangles[0]
    by = found.asked.breakdown
    names = [group_name(place, by.field if by else "", triangle.group) for triangle in found.triangles]
    GROUP.set(min(int(GROUP.value or 0), len(names) - 1))
    st.selectbox(
        "Group",
        [*range(len(names))],
        key=GROUP.key,
        format_func=lambda index: f"{names[index]} · {place.write.number(found.triangles[index].people)}",
        label_visibility="collapsed",
        width=300,
    )
    return found.triangles[int(GROUP.value or 0)]


def group_name(place: Here, field: str, group: Group) -> str:
    """A group as it is shown."""
    if group == ALL:
        return "Everybody"
    return explaining.shown(place, field, group.label) if group.kind == "value" else group.label


def rows_of(triangle: Triangle) -> list[Cohort]:
    """The cohorts that are drawn: the newest ones, those of nobody left out."""
    return [cohort for cohort in triangle.cohorts if cohort.people][-_MOST_ROWS:]


def picture(place: Here, found: RetentionResult, triangle: Triangle) -> None:
    """The triangle; its first row is the average."""
    write, rows = place.write, rows_of(triangle)
    cells = [cell for cell, _ in _cells(place, found, triangle)]
    names = [
        "<b>Average</b>",
        *(f"{_cohort_name(place, found, cohort.start)}   {write.number(cohort.people)}" for cohort in rows),
    ]
    clicking.chart(
        charts.triangle(
            [name.replace("<b>", "").replace("</b>", "") for name in names],
            [_short(column) for column in found.columns],
            cells,
        ),
        "retention.triangle",
        alt=f"Of {write.number(triangle.people)} people in {len(rows)} cohorts, the share that came back in each interval",
    )
    said = "At the left: when they started, and how many. Hatched: still filling. Click a cell to see its people."
    if len(triangle.cohorts) > _MOST_ROWS:
        said += f" Shown are the {_MOST_ROWS} newest cohorts."
    if found.other_currencies:
        said += f" Amounts in {', '.join(found.other_currencies)} are not in it."
    layout.note(said)


def _short(column: Column) -> str:
    return column.title.replace(" or later", "+").capitalize()


def _cohort_name(place: Here, found: RetentionResult, start: date) -> str:
    return place.write.month(start) if found.asked.cohort == "month" else place.write.short_day(start)


def _cells(place: Here, found: RetentionResult, triangle: Triangle) -> list[tuple[charts.Cell, RetentionCell]]:
    """The cells of the picture, and whom each counts."""
    write, rows = place.write, rows_of(triangle)
    per_person = [
        [
            cohort.sums[column] / cohort.people if cohort.sums and cohort.people else 0
            for column in range(len(found.columns))
        ]
        for cohort in rows
    ]
    is_sum = found.asked.value is not None
    shares = [
        [(per_person[at][column] if is_sum else cohort.rate(column) or 0) for column in range(len(found.columns))]
        for at, cohort in enumerate(rows)
    ]
    most = max((share for row in shares for share in row), default=0) or 1
    if not is_sum:
        later = [row[place_of] for row in shares for place_of, column in enumerate(found.columns) if column.first > 0]
        most = max(later, default=0) or most
    made = []
    for column, average in enumerate(triangle.averages):
        if average.people:
            level = (average.value if is_sum else average.weighted) or 0
            text = _average(place, found, average) if is_sum else _whole_percent(average.weighted)
            hover = f"{found.columns[column].title.capitalize()}, on average: {_average(place, found, average)}<br>of {write.number(average.people)} people in full cells"
            made.append(
                (
                    charts.Cell(0, column, min(1, level / most), "mature", text, hover),
                    RetentionCell(None, column, triangle.group),
                )
            )
    for at, cohort in enumerate(rows):
        for column, cell_state in enumerate(cohort.states):
            if cell_state == "ahead":
                continue
            level = min(1.0, shares[at][column] / most)
            value = _value(place, found, per_person[at][column]) if is_sum else write.percent(cohort.rate(column))
            hover = (
                f"Started {_cohort_name(place, found, cohort.start)}, {found.columns[column].title}:"
                f"<br>{value}, {write.number(cohort.returned[column])} of {write.number(cohort.people)}"
                f"{' so far' if cell_state == 'open' else ''}"
            )
            text = value if is_sum else _whole_percent(cohort.rate(column))
            made.append(
                (
                    charts.Cell(at + 1, column, level, cell_state, text, hover),
                    RetentionCell(cohort.start, column, triangle.group),
                )
            )
    return made


def _whole_percent(rate: float | None) -> str:
    return UNKNOWN if rate is None else f"{round(rate * 100)}%" if rate >= 0.01 or rate == 0 else "<1%"


def curves(place: Here, found: RetentionResult) -> None:
    """The averages by column, of everybody or of the largest groups."""
    by = found.asked.breakdown
    shown = found.triangles[1:6] if len(found.triangles) > 1 else found.triangles
    lines = []
    for triangle in shown:
        values = [
            average.weighted
            if found.asked.value is None
            else average.value and average.value / (1_000_000 if found.currency else 1)
            for average in triangle.averages
        ]
        texts = [
            f"{found.columns[column].title}: {_average(place, found, average)} of {place.write.number(average.people)}"
            for column, average in enumerate(triangle.averages)
        ]
        lines.append(trend.Line(group_name(place, by.field if by else "", triangle.group), values, texts, len(values)))
    with layout.card("Average of full cells", key="retention-curves"):
        st.plotly_chart(
            trend.lines([_short(column) for column in found.columns], lines, percent=found.asked.value is None),
            config=CONFIG,
            alt="How many came back on average, by interval",
        )


def table(place: Here, found: RetentionResult, triangle: Triangle) -> None:
    """The cohorts in numbers: who started, and who came back in each interval."""
    write, rows = place.write, [cohort for cohort in triangle.cohorts if cohort.people]
    columns: dict[str, list[Any]] = {
        "Cohort": [
            write.month(cohort.start) if found.asked.cohort == "month" else write.day(cohort.start) for cohort in rows
        ],
        "Started": [write.number(cohort.people) for cohort in rows],
    }
    for index, column in enumerate(found.columns):
        columns[_short(column)] = [
            "" if cohort.states[index] == "ahead" else write.number(cohort.returned[index]) for cohort in rows
        ]
    clicking.table(
        columns,
        "retention.table",
        alt="Cohorts with who came back",
        numbers=[name for name in columns if name != "Cohort"],
        config={"Cohort": st.column_config.TextColumn(pinned=True, width=110)},
        height=min(560, 36 * (len(rows) + 1)),
    )
    file: dict[str, list[Any]] = {
        "cohort": [cohort.start for cohort in rows],
        "started": [cohort.people for cohort in rows],
    }
    for index, column in enumerate(found.columns):
        file[column.name] = [None if cohort.states[index] == "ahead" else cohort.returned[index] for cohort in rows]
        file[f"{column.name}_complete"] = [cohort.states[index] == "mature" for cohort in rows]
        if found.asked.value:
            file[f"{column.name}_sum"] = [cohort.sums[index] for cohort in rows]
    explaining.below(place, "retention", file, key="retention-csv")


def worth(place: Here, days: RetentionResult, found: Sequence[Worth], currency: str) -> None:
    """Each cohort with its metrics: back on day 7 and 30, lifetime value, yearly revenue."""
    write = place.write
    cohorts = {cohort.start: cohort for cohort in days.triangles[0].cohorts}
    rows = [(each, cohorts[each.cohort]) for each in found if each.people]
    columns: dict[str, list[Any]] = {
        "Cohort": [
            write.month(each.cohort) if days.asked.cohort == "month" else write.day(each.cohort) for each, _ in rows
        ],
        "People": [write.number(each.people) for each, _ in rows],
    }
    for index, name in enumerate(("retention_d7", "retention_d30")):
        columns[name] = [
            (write.percent(cohort.rate(index)) + ("" if cohort.states[index] == "mature" else " so far"))
            if cohort.states[index] != "ahead"
            else UNKNOWN
            for _, cohort in rows
        ]
    columns["ltv"] = [write.money(each.ltv, currency) for each, _ in rows]
    columns["arr"] = [write.money(each.arr, currency) for each, _ in rows]
    layout.table(
        columns,
        alt="Cohorts with their metrics",
        config={name: st.column_config.TextColumn(alignment="right") for name in columns if name != "Cohort"},
        height=min(560, 36 * (len(rows) + 1)),
    )
    file: dict[str, list[csv.Cell]] = {
        "cohort": [each.cohort for each, _ in rows],
        "people": [each.people for each, _ in rows],
        "retention_d7": [cohort.rate(0) for _, cohort in rows],
        "retention_d30": [cohort.rate(1) for _, cohort in rows],
        "ltv": [None if each.ltv is None else each.ltv / 1_000_000 for each, _ in rows],
        "arr": [each.arr / 1_000_000 for each, _ in rows],
    }
    explaining.below(
        place,
        "cohorts",
        file,
        key="cohorts-csv",
        hint="Back on the 7th and 30th local day; ltv: what each has brought on average; arr: what they pay a year now.",
    )


# ------------------------------------------------------------------------------------------------------- the people


def behind(turn: Turn, found: RetentionResult, triangle: Triangle, click: Click) -> Behind | None:
    """The people of the number that was clicked."""
    place = turn.place
    if click.of == "retention.triangle":
        cell = _cells(place, found, triangle)[click.row][1]
    elif click.of == "retention.table":
        cohort = [cohort for cohort in triangle.cohorts if cohort.people][click.row]
        column = None if click.column == "Started" else [_short(each) for each in found.columns].index(click.column)
        cell = RetentionCell(cohort.start, column, triangle.group)
    else:
        return None
    started = f"started {_cohort_name(place, found, cell.cohort)}" if cell.cohort else "in full cohorts"
    title = f"Who {started}" if cell.column is None else f"Back in {found.columns[cell.column].title}, {started}"
    by = found.asked.breakdown
    title += f", {group_name(place, by.field, triangle.group)}" if by and triangle.group != ALL else ""
    start = found.asked.start
    begins = STARTS.get(start.name, start.name) if isinstance(start, Known) else start.title
    people = turn.sight.people(retention_people, found.asked, cell)
    return turn.behind(clean(title, longest=200), f"{begins} → {found.asked.returning.title}", people)


def monthly(question: Retention) -> Retention:
    """The same cohorts without what only the columns need."""
    return replace(question, value=None, breakdown=None)
