"""The retention page's parts: the question in widgets, and the answer as a triangle, curves and a table."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from typing import Any

import streamlit as st

from gdp_core.analytics.beginnings import Known, Occurrence
from gdp_core.analytics.breakdown import ALL, Group
from gdp_core.analytics.calendar import Interval
from gdp_core.analytics.cohort_worth import Metric, Worth, WorthResult, cohort_worth, worth_people
from gdp_core.analytics.cohorts import Column, State
from gdp_core.analytics.counting import ANYTHING
from gdp_core.analytics.fields import Fields
from gdp_core.analytics.measures import MONEY, left_out
from gdp_core.analytics.retention import (
    MOST_COLUMNS,
    Average,
    Cohort,
    Mode,
    Retention,
    RetentionCell,
    RetentionResult,
    Triangle,
    bracket_text,
    parse_bracket,
    retention_people,
)
from gdp_core.errors import InvalidInput
from gdp_core.timeline.matching import Match
from pages.ui import layout, state
from pages.ui.charts import retention as charts
from pages.ui.charts import trend
from pages.ui.charts.style import plain
from pages.ui.context import Here
from pages.ui.escape import clean
from pages.ui.format import UNKNOWN
from pages.ui.reporting import clicking, explaining, picking, starting, usual
from pages.ui.reporting.behind import Behind
from pages.ui.reporting.clicking import Click
from pages.ui.reporting.drafts import Draft
from pages.ui.reporting.explaining import Command
from pages.ui.reporting.page import Report, Turn
from pages.ui.reporting.sight import Sight

OCCURRENCES: dict[Occurrence, str] = {
    "first_ever": "the first ever",
    "first_in_period": "the first in the period",
    "recurring": "the first of every interval",
}
INTERVALS: dict[Interval, str] = {"day": "Daily", "week": "Weekly", "month": "Monthly"}
MODES: dict[Mode, str] = {"on": "In each", "on_or_after": "In or after", "bracket": "Brackets"}
UNITS: dict[Interval | None, str] = {None: "as long as the cohorts", "day": "days", "week": "weeks", "month": "months"}
VALUES = {"people": "People", "value": "Sum of"}
_MOST_ROWS = 60
_MOST_CURVES = 5
_MANY_COLUMNS = 9
_FEWEST_COLUMNS = 8
GROUP = state.Field("retention", "group", kind="number", default=0)
DEFINITION = (
    "Somebody's start is their first such event of all history, unless another is chosen; a cohort are those who started"
    " in one local day, week or month of the period. They came back in interval N when a return event is in the N-th such"
    " interval after that of their start; in interval 0, when it is after the start itself. From the start itself, a week"
    " is 7 x 24 h and a month 30 x 24 h. A hatched cell is still filling: not everybody in it has had the whole interval."
    " Averages are of full cells only, each cohort by its size. Counted in or after an interval, a cell is full when its"
    " first interval is over, and still grows when people come back later."
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
        self._start = starting.Start(draft, begins.start)
        self._return = picking.Event(draft, begins.returning, "return")

    @property
    def question(self) -> Retention:
        """What it asks. Raises InvalidInput."""
        draft, begins = self.draft, self._begins
        start, returning = self._start.value, self._return.value
        if start is None or returning is None:
            raise InvalidInput("Choose what begins it and what counts as coming back.")
        mode: Mode = draft.value(begins.mode, "mode")
        occurrence: Occurrence = draft.value(begins.occurrence, "occurrence")
        return Retention(
            start=start,
            returning=returning,
            occurrence=occurrence if self._start.is_event else "first_ever",
            cohort=draft.value(begins.cohort, "cohort"),
            unit=draft.value(begins.unit, "unit"),
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
        begins = ", ".join(map(bracket_text, self._begins.brackets)) or "1-7, 8-30, 31+"
        return tuple(map(parse_bracket, str(self.draft.value(begins, "brackets")).split(",")))

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
                self._start.draw(sight, fields)
            with st.container(horizontal=True, wrap=False, vertical_alignment="center", gap="small"):
                st.caption("and did", width=52)
                self._return.draw(sight, fields, "Return event", width="stretch")
            with st.container(horizontal=True, vertical_alignment="center", gap="small"):
                st.caption("count", width=52)
                picking.choice(draft, "Count", VALUES, "of", width=104)
                if draft.value("people", "of") == "value":
                    picking.number_field(draft, fields, "field")
                picking.choice(draft, "Cohorts", INTERVALS, "cohort", width=112)
                picking.choice(draft, "Counted", MODES, "mode", width=128)
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
                picking.breakdown(draft, sight.place, fields)
                people.draw(sight, fields)
                self._more()

    def _more(self) -> None:
        draft = self.draft
        with st.popover("More", icon=":material/tune:", key=draft.key("more")):
            if self._start.is_event:
                st.selectbox(
                    "Of the start event, take",
                    [*OCCURRENCES],
                    key=draft.key("occurrence"),
                    format_func=OCCURRENCES.__getitem__,
                )
            st.selectbox("Columns are", [*UNITS], key=draft.key("unit"), format_func=UNITS.__getitem__)
            st.toggle("Count from the start itself, not by the calendar", key=draft.key("rolling"))
            st.toggle("Count what machines did, too", key=draft.key("everything"))


def _named(question: Retention) -> list[str]:
    found = [condition.field for condition in question.returning.conditions] + starting.named_by(question.start)
    found += [question.value] if question.value else []
    return found + ([question.breakdown.field] if question.breakdown else [])


REPORT = Report("retention", "retention", "Retention", usual_question, Form, _named, more=(GROUP,), compares=False)


def command(turn: Turn) -> Command:
    """The command that gives the same numbers."""
    question: Retention = turn.question
    made = Command("retention", turn.place)
    starting.told(made, question.start)
    made.option("--return", question.returning.text, "*")
    begins = question.start.conditions if isinstance(question.start, Match) else ()
    if isinstance(question.start, Known) or begins == question.returning.conditions:
        made.options("--where", (condition.text for condition in question.returning.conditions))
    else:
        made.options("--start-where", (condition.text for condition in begins))
        made.options("--return-where", (condition.text for condition in question.returning.conditions))
    made.option("--occurrence", question.occurrence, "first_ever").option("--interval", question.cohort, "week")
    made.option("--unit", question.unit).option("--mode", question.mode, "on")
    made.options("--bracket", map(bracket_text, question.brackets))
    made.option("--rolling", question.rolling or None).option("--intervals", question.intervals, 12)
    made.option("--value", question.value).option("--currency", question.currency)
    return made.breakdown(question.breakdown).option("--everything", question.everything or None)


def worth_command(turn: Turn) -> Command:
    """The command that gives the metrics of the cohorts."""
    return command(turn).option("--metrics", True)


# ------------------------------------------------------------------------------------------------------- the answer


def headline(place: Here, found: RetentionResult) -> None:
    """Who started, and how many came back after one, some and many intervals."""
    whole, write = found.triangles[0], place.write
    told = [index for index, average in enumerate(whole.averages) if average.weighted is not None]
    later = [index for index in told if found.columns[index].first > 0]
    chosen = dict.fromkeys([*later[:1], *later[len(later) // 2 : len(later) // 2 + 1], *later[-1:]])
    with layout.numbers():
        started = write.number(whole.people)
        if found.asked.occurrence == "recurring":  # somebody may start in several cohorts
            layout.metric("Started", started)
        else:
            clicking.metric(Click("retention.total", 0, "Started"), "Started", started)
        for index in chosen:
            average = whole.averages[index]
            layout.metric(
                f"{'Back' if not found.asked.value else 'Brought'} in {found.columns[index].title}",
                _average(place, found, average),
                help=f"Of {write.number(average.people)} people in the cohorts whose {found.columns[index].title} is over.",
            )
    if found.asked.value and not any(any(cohort.sums) for cohort in whole.cohorts):
        layout.note(
            "Nothing was brought: none of these events carries a number there. Choose as what they did an event that does,"
            " such as a payment; what the billing system does counts when it is asked for by its name."
        )
    elif not told:
        layout.note(
            "No cell is full yet, so there is no average: the time of the newest cohorts is still running. Choose an"
            " earlier period, or shorter intervals."
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
        "Average",
        *(f"{_row_name(place, found, cohort)}  ·  {write.number(cohort.people)}" for cohort in rows),
    ]
    clicking.chart(
        charts.triangle(names, _heads(found), cells),
        "retention.triangle",
        alt=f"Of {write.number(triangle.people)} people in {len(rows)} cohorts, the share that came back in each interval",
    )
    said = "At the left: when they started, and how many. Hatched: still filling, so not in the average. Click a cell to see its people."
    if any(cohort.cut for cohort in rows):
        said += f" Cut: only a part of the {found.asked.cohort} is in the period."
    if found.asked.occurrence == "recurring":
        said += " Somebody is in several cohorts when starts recur, so an average is of no list of people."
    if len(triangle.cohorts) > _MOST_ROWS:
        said += f" Shown are the {_MOST_ROWS} newest cohorts."
    layout.note(f"{said} {left_out(found.other_currencies)}")


def _short(column: Column) -> str:
    return column.title.replace(" or later", "+").capitalize()


def _heads(found: RetentionResult) -> list[str]:
    """The names of the columns that are drawn: up to the last one that anybody's time has reached, but not too few."""
    begun = [
        column + 1
        for cohort in found.triangles[0].cohorts
        for column in range(len(found.columns))
        if cohort.people and cohort.states[column] != "ahead"
    ]  # the first triangle is everybody's
    drawn = max([_FEWEST_COLUMNS, *begun])
    return [_shortest(column, len(found.columns)) for column in found.columns[:drawn]]


def _shortest(column: Column, beside: int) -> str:
    """Week 3, or W3 where there are many `beside` it."""
    return (
        _short(column)
        if beside < _MANY_COLUMNS
        else _short(column).replace(f"{column.unit.capitalize()} ", column.unit[0].upper())
    )


def _row_name(place: Here, found: RetentionResult, cohort: Cohort) -> str:
    return _cohort_name(place, found, cohort.start) + (" · cut" if cohort.cut else "")


def _cohort_name(place: Here, found: RetentionResult, start: date) -> str:
    return place.write.month(start) if found.asked.cohort == "month" else place.write.day(start)


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
    most = _most(shares, found.columns)
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


def groups(turn: Turn, found: RetentionResult) -> None:
    """The groups of the breakdown, a row each: the averages of their full cells."""
    by = found.asked.breakdown
    if by is None:
        return
    place, called = turn.place, picking.field_name(by.field, turn.fields.groups)
    write, triangles = place.write, found.triangles
    names = [group_name(place, by.field, triangle.group) for triangle in triangles]
    with layout.card(f"By {called}", key="retention-groups"):
        clicking.chart(
            charts.triangle(
                [f"{name}  ·  {write.number(one.people)}" for name, one in zip(names, triangles, strict=True)],
                _heads(found),
                [cell for cell, _ in _group_cells(place, found, names)],
            ),
            "retention.groups",
            alt=f"Who came back on average, by {called}",
        )
        csv: dict[str, list[Any]] = {"group": names, "started": [triangle.people for triangle in triangles]}
        for index, column in enumerate(found.columns):
            averages = [triangle.averages[index] for triangle in triangles]
            csv[column.name] = [average.weighted for average in averages]
            if found.asked.value:
                csv[f"{column.name}_value"] = [average.value for average in averages]
        explaining.below(place, "retention groups", csv, key="retention-groups-csv", hint="Averages of full cells.")


def _group_cells(place: Here, found: RetentionResult, names: Sequence[str]) -> list[tuple[charts.Cell, RetentionCell]]:
    """The cells of the groups' picture, and whom each counts."""
    is_sum, made = found.asked.value is not None, []
    levels = [
        [(average.value if is_sum else average.weighted) or 0 for average in triangle.averages]
        for triangle in found.triangles
    ]
    most = _most(levels, found.columns)
    for row, (name, triangle) in enumerate(zip(names, found.triangles, strict=True)):
        for column, average in enumerate(triangle.averages):
            if not average.people:
                continue
            said = _average(place, found, average)
            hover = (
                f"{plain(name)}, {found.columns[column].title}, on average: {said}"
                f"<br>of {place.write.number(average.people)} people in full cells"
            )
            text = said if is_sum else _whole_percent(average.weighted)
            level = min(1.0, levels[row][column] / most)
            cell = charts.Cell(row, column, level, "mature", text, hover)
            made.append((cell, RetentionCell(None, column, triangle.group)))
    return made


def _most(levels: Sequence[Sequence[float]], columns: Sequence[Column]) -> float:
    """The level of a full cell: the highest one after interval 0, which would leave the others pale."""
    later = [row[place] for row in levels for place, column in enumerate(columns) if column.first > 0]
    return max(later, default=0) or max((level for row in levels for level in row), default=0) or 1


def curves(place: Here, found: RetentionResult) -> None:
    """The averages by column, of everybody or of the largest groups."""
    by, heads = found.asked.breakdown, _heads(found)
    lines = []
    for triangle in _drawn(found):
        values = [
            average.weighted
            if found.asked.value is None
            else average.value and average.value / (1_000_000 if found.currency else 1)
            for average in triangle.averages[: len(heads)]
        ]
        texts = [
            f"{found.columns[column].title}: {_average(place, found, average)} of {place.write.number(average.people)}"
            for column, average in enumerate(triangle.averages[: len(heads)])
        ]
        lines.append(trend.Line(group_name(place, by.field if by else "", triangle.group), values, texts, len(values)))
    with layout.card("Average of full cells", key="retention-curves"):
        clicking.chart(
            trend.lines(
                heads,
                lines,
                percent=found.asked.value is None,
            ),
            "retention.curves",
            alt="How many came back on average, by interval",
        )


def _drawn(found: RetentionResult) -> tuple[Triangle, ...]:
    """Whose curves are drawn."""
    return found.triangles[1 : _MOST_CURVES + 1] if len(found.triangles) > 1 else found.triangles


def table(place: Here, found: RetentionResult, triangle: Triangle) -> None:
    """The cohorts in numbers: who started, and who came back in each interval."""
    write, rows = place.write, [cohort for cohort in triangle.cohorts if cohort.people]
    columns: dict[str, list[Any]] = {
        "Cohort": [_row_name(place, found, cohort) for cohort in rows],
        "Started": [write.number(cohort.people) for cohort in rows],
    }
    for index, column in enumerate(found.columns):
        columns[_short(column)] = [
            _with_state(write.number(cohort.returned[index]), cohort.states[index]) for cohort in rows
        ]
    clicking.table(
        columns,
        "retention.table",
        alt="Cohorts with who came back",
        numbers=[name for name in columns if name != "Cohort"],
        config={"Cohort": st.column_config.TextColumn(pinned=True, width=150)},
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


def worth(turn: Turn, triangle: Triangle) -> WorthResult:
    """Each cohort with its metrics: back on day 7 and 30, lifetime value, yearly revenue."""
    place = turn.place
    with layout.card("Cohorts and what they are worth", key="retention-worth"), st.skeleton(height=280):
        found: WorthResult = turn.sight.count(cohort_worth, _plain(turn.question), triangle.group)
        _worth_table(place, found)
        elsewhere = sum(each.elsewhere for each in found.cohorts)
        known = [
            f"{place.write.percent(average.weighted)} on day {day}"
            for day, average in zip((7, 30), found.days, strict=True)
            if average.weighted is not None
        ]
        said = "LTV: what each has brought so far; ARR: what those who pay now bring in a year."
        if known:
            said = f"Back on average: {' and '.join(known)}, of the cohorts whose day is over. {said}"
        if elsewhere:
            said += (
                f" {place.write.number(elsewhere)} pay in another currency than {found.currency} and are in neither."
            )
        layout.note(said)
    return found


_METRICS: dict[str, Metric] = {
    "People": "people",
    "Back on day 7": "retention_d7",
    "Back on day 30": "retention_d30",
    "LTV": "ltv",
    "ARR": "arr",
}


def _worth_table(place: Here, found: WorthResult) -> None:
    write, rows = place.write, found.cohorts
    columns: dict[str, list[Any]] = {
        "Cohort": [
            write.month(each.cohort) if found.asked.cohort == "month" else write.day(each.cohort) for each in rows
        ],
        "People": [write.number(each.people) for each in rows],
        "Back on day 7": [_so_far(place, each.retention_d7, each.states[0]) for each in rows],
        "Back on day 30": [_so_far(place, each.retention_d30, each.states[1]) for each in rows],
        "LTV": [write.money(each.ltv, found.currency) for each in rows],
        "ARR": [write.money(each.arr, found.currency) if each.paying else UNKNOWN for each in rows],
    }
    clicking.table(
        columns,
        "retention.worth",
        alt="Cohorts with their metrics",
        numbers=[*_METRICS],
        config={"Cohort": st.column_config.TextColumn(pinned=True)},
        height=min(460, 36 * (len(rows) + 1)),
    )
    csv: dict[str, list[Any]] = {
        "cohort": [each.cohort for each in rows],
        "people": [each.people for each in rows],
        "retention_d7": [each.retention_d7 for each in rows],
        "retention_d7_complete": [each.states[0] == "mature" for each in rows],
        "retention_d30": [each.retention_d30 for each in rows],
        "retention_d30_complete": [each.states[1] == "mature" for each in rows],
        "ltv": [None if each.ltv is None else each.ltv / 1_000_000 for each in rows],
        "arr": [each.arr / 1_000_000 for each in rows],
    }
    explaining.below(place, "cohorts", csv, key="cohorts-csv", hint="Click a number to see its people.")


def _so_far(place: Here, rate: float | None, state_of: State) -> str:
    return place.write.percent(rate) if rate is None else _with_state(place.write.percent(rate), state_of)


def _with_state(number: str, state_of: State) -> str:
    """A number of a cell: one that still fills says so, and one whose time has not begun says nothing."""
    return {"ahead": "", "open": f"{number} so far"}.get(state_of, number)


def _plain(question: Retention) -> Retention:
    """The same cohorts without what only the columns need."""
    return replace(question, value=None, currency=None)


# ------------------------------------------------------------------------------------------------------- the people


def behind(
    turn: Turn, found: RetentionResult, triangle: Triangle, worths: WorthResult | None, click: Click
) -> Behind | None:
    """The people of the number that was clicked."""
    place, question = turn.place, found.asked
    report = f"{starting.title_of(question.start)} → {question.returning.title}"
    if click.of == "retention.worth" and worths:
        each, metric = worths.cohorts[click.row], _METRICS[click.column]
        people = turn.sight.people(worth_people, _plain(question), each.cohort, metric, triangle.group)
        return turn.behind(_worth_title(place, found, each, metric, triangle.group), report, people)
    cell = _clicked(place, found, triangle, click)
    if cell is None:
        return None
    started = f"started {_cohort_name(place, found, cell.cohort)}" if cell.cohort else "in full cohorts"
    if cell == RetentionCell():
        started = "started in the period"
    title = f"Who {started}" if cell.column is None else f"Back in {found.columns[cell.column].title}, {started}"
    title += _of_group(place, found, cell.group)
    people = turn.sight.people(retention_people, question, cell)
    return turn.behind(clean(title, longest=200), report, people, rule=turn.rule(cell, question))


def _clicked(place: Here, found: RetentionResult, triangle: Triangle, click: Click) -> RetentionCell | None:
    if click.of == "retention.total":
        return RetentionCell()
    if click.of == "retention.triangle":
        cell = _cells(place, found, triangle)[click.row][1]
        return None if cell.cohort is None and found.asked.occurrence == "recurring" else cell
    if click.of == "retention.table":
        cohort = [cohort for cohort in triangle.cohorts if cohort.people][click.row]
        column = None if click.column == "Started" else [_short(each) for each in found.columns].index(click.column)
        return RetentionCell(cohort.start, column, triangle.group)
    if click.of == "retention.groups" and found.asked.breakdown and found.asked.occurrence != "recurring":
        names = [group_name(place, found.asked.breakdown.field, one.group) for one in found.triangles]
        return _group_cells(place, found, names)[click.row][1]
    if click.of == "retention.curves" and found.asked.occurrence != "recurring":
        return RetentionCell(None, click.row, _drawn(found)[int(click.column) // 2].group)
    return None


def _worth_title(place: Here, found: RetentionResult, each: Worth, metric: Metric, group: Group) -> str:
    started = f"who started {_cohort_name(place, found, each.cohort)}{_of_group(place, found, group)}"
    said = {
        "people": f"All {started}",
        "retention_d7": f"Back on day 7, of those {started}",
        "retention_d30": f"Back on day 30, of those {started}",
        "ltv": f"Whose lifetime value it is: all {started}",
        "arr": f"Pay now, of those {started}",
    }[metric]
    return clean(said, longest=200)


def _of_group(place: Here, found: RetentionResult, group: Group) -> str:
    by = found.asked.breakdown
    return f", {group_name(place, by.field, group)}" if by and group != ALL else ""
