"""The trend page's parts: the question in widgets, and the answer in numbers, lines and a table."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import streamlit as st

from gdp_core.analytics.breakdown import ALL
from gdp_core.analytics.counting import ANYTHING
from gdp_core.analytics.fields import Fields
from gdp_core.analytics.measures import MONEY, left_out
from gdp_core.analytics.trends import MOST_SERIES, Measure, Trend, TrendCell, TrendLine, TrendResult, trend_people
from gdp_core.errors import InvalidInput
from gdp_core.timeline.matching import Match
from pages.ui import csv, layout
from pages.ui.charts import trend as charts
from pages.ui.context import Here
from pages.ui.escape import clean
from pages.ui.format import UNKNOWN, label
from pages.ui.reporting import clicking, explaining, picking, usual
from pages.ui.reporting.behind import Behind
from pages.ui.reporting.clicking import Click
from pages.ui.reporting.drafts import Draft, Rows
from pages.ui.reporting.explaining import Command
from pages.ui.reporting.page import Report, Turn
from pages.ui.reporting.sight import Sight

MEASURES: dict[Measure, str] = {
    "events": "Number of events",
    "people": "Unique people",
    "sum": "Sum of",
    "average": "Average of",
    "median": "Median of",
    "minimum": "Minimum of",
    "maximum": "Maximum of",
}
_OF_FIELD = ("sum", "average", "median", "minimum", "maximum")
_BEFORE = "Before"
_DRAWN = 6  # lines; the table has all
DEFINITION = (
    "Events of an interval, the people who did them, each once in every interval, once in every group of it and once in"
    " the whole period, or a number that the events carry; events without the number are left out. Cumulated, an interval"
    " holds all those up to it. What machines did is not counted unless it is asked for. A running interval is not over,"
    " or not all of it is known; a cut one is only partly in the period."
)


def usual_question(place: Here, fields: Fields) -> Trend:
    """Who did what the product is for, day by day; else anything."""
    core = usual.of_role(place, fields, "core")
    return Trend((core or ANYTHING,), "people")


class Form:
    """The question as it stands in the widgets."""

    def __init__(self, draft: Draft) -> None:
        begins: Trend = draft.asked.question
        self.draft = draft
        self._begins = begins
        self._series = Rows[Match | None](draft, "series", begins.series)
        self._events = {number: picking.Event(draft, match, f"series.{number}") for number, match in self._series}

    @property
    def question(self) -> Trend:
        """What it asks. Raises InvalidInput."""
        draft, begins = self.draft, self._begins
        series = tuple(match for number, _ in self._series if (match := self._events[number].value))
        measure: Measure = draft.value(begins.measure, "measure")
        field = draft.value(begins.field or MONEY, "field") if measure in _OF_FIELD else None
        if not series:
            raise InvalidInput("Choose an event to count.")
        return Trend(
            series,
            measure,
            field,
            begins.currency if field == begins.field else None,
            draft.value(begins.interval, "interval") or "day",
            picking.broken_down(draft, begins.breakdown),
            draft.value(begins.cumulative, "cumulative") and measure != "median",
            draft.value(begins.everything, "everything"),
        )

    def draw(self, sight: Sight, fields: Fields, people: picking.People) -> None:
        """The series, a row each, and below them what is counted of them."""
        draft = self.draft
        with layout.card(key="trend-question"):
            for number, _ in self._series:
                with st.container(horizontal=True, wrap=False, vertical_alignment="center", gap="small"):
                    self._events[number].draw(sight, fields, "Event", width="stretch")
                    remove = partial(self._series.remove, number)
                    picking.removal(draft, "event", remove, "series", number, disabled=len(self._series) < 2)
            with st.container(horizontal=True, vertical_alignment="center", gap="small"):
                st.button(
                    "Add an event",
                    icon=":material/add:",
                    type="tertiary",
                    key=draft.key("series", "add"),
                    on_click=partial(self._series.add, None),
                    disabled=len(self._series) >= MOST_SERIES,
                )
                picking.choice(draft, "Count", MEASURES, "measure", width=168)
                if draft.value("events", "measure") in _OF_FIELD:
                    picking.number_field(draft, fields, "field")
                picking.choice(draft, "Interval", picking.INTERVALS, "interval", width=116)
                picking.breakdown(draft, sight.place, fields)
                people.draw(sight, fields)
                with st.popover("More", icon=":material/tune:", key=draft.key("more")):
                    st.toggle("Cumulate: each interval with all before it", key=draft.key("cumulative"))
                    st.toggle("Count what machines did, too", key=draft.key("everything"))


def _named(question: Trend) -> list[str]:
    found = [condition.field for match in question.series for condition in match.conditions]
    found += [question.field] if question.field else []
    return found + ([question.breakdown.field] if question.breakdown else [])


REPORT = Report("trends", "trend", "Trends", usual_question, Form, _named)


def command(turn: Turn) -> Command:
    """The command that gives the same numbers."""
    question: Trend = turn.question
    made = Command("trend", turn.place).events("--event", question.series)
    made.option("--measure", question.measure, "events").option("--field", question.field)
    made.option("--cumulative", question.cumulative or None).breakdown(question.breakdown)
    made.option("--currency", question.currency).option("--everything", question.everything or None)
    return made.option("--interval", question.interval, "day").compared(turn.sight.scope)


# ------------------------------------------------------------------------------------------------------- the answer


def written(place: Here, found: TrendResult, value: float | None) -> str:
    """A value of the report."""
    if value is None:
        return UNKNOWN
    if found.currency:
        return place.write.money(round(value), found.currency)
    return place.write.number(value, decimals=0 if value == int(value) else 2)


def names(place: Here, found: TrendResult) -> list[str]:
    """What the lines are called."""
    by = found.asked.breakdown
    many = len(found.asked.series) > 1

    def name(line: TrendLine) -> str:
        series = found.asked.series[line.series].title
        if line.group == ALL or by is None:
            return clean(f"{series}, all" if by and many else "all" if by else series, longest=60)
        group = explaining.shown(place, by.field, line.group.label) if line.group.kind == "value" else line.group.label
        return clean(f"{series}, {group}" if many else group, longest=60)

    return [name(line) for line in found.lines]


def headline(place: Here, found: TrendResult) -> None:
    """The period in numbers, where there is one line."""
    if len(found.asked.series) > 1:
        return
    write, line = place.write, found.lines[0]
    before = found.earlier.lines[0].total if found.earlier else None
    whole = [value or 0 for point, value in zip(found.points, line.values, strict=True) if point.state == "whole"]
    interval = found.asked.interval
    adds_up = found.asked.measure in ("events", "people", "sum") and not found.asked.cumulative
    with layout.numbers(3):
        layout.metric(
            f"{MEASURES[found.asked.measure].removesuffix(' of')}, whole period",
            written(place, found, line.total),
            change=write.change(line.total, before),
            difference=(line.total or 0) - (before or 0) if before else 0,
            good="neither",
        )
        if adds_up and whole:
            mean = sum(whole) / len(whole)
            layout.metric(f"On average a {interval}", written(place, found, round(mean, 1)))
            layout.metric(f"Most in a {interval}", written(place, found, max(whole)))


def chart(place: Here, found: TrendResult) -> None:
    """The largest lines; with a breakdown those of its groups."""
    called = names(place, found)
    chosen = drawn(found)
    final = next((at for at, point in enumerate(found.points) if point.state == "running"), len(found.points))
    scale = 1_000_000 if found.currency else 1

    def line(place_of: int, of: TrendResult, name: str, *, faded: bool = False) -> charts.Line:
        values = of.lines[place_of].values[: len(found.points)]
        texts = [
            f"{written(place, of, value)} ({point.state})" if point.state != "whole" else written(place, of, value)
            for point, value in zip(of.points, values, strict=False)
        ]
        return charts.Line(
            name,
            [value if value is None else value / scale for value in values],
            texts,
            len(values) if faded else final,
            faded,
        )

    shown = [line(index, found, called[index]) for index in chosen]
    if found.earlier and len(chosen) == 1:
        shown.append(line(chosen[0], found.earlier, "before", faded=True))
    with layout.card(
        f"{MEASURES[found.asked.measure].removesuffix(' of')} by {found.asked.interval}", key="trend-chart"
    ):
        clicking.chart(
            charts.lines([point.start for point in found.points], shown),
            "trend.chart",
            alt=f"{', '.join(called[index] for index in chosen)} by {found.asked.interval}",
        )
        said = []
        if final < len(found.points):
            said.append("Dotted: not over yet, or not all known.")
        if len(_lines(found)) > len(chosen):
            said.append(f"Drawn are the {_DRAWN} largest; the table has all.")
        if found.overlapping:
            said.append("Somebody with several values is in several groups, so groups may add up to more than all.")
        layout.note(" ".join([*said, left_out(found.other_currencies), *found.notes]))


def drawn(found: TrendResult) -> list[int]:
    """Which lines are in the chart: of all, or with a breakdown of the groups."""
    largest = sorted(_lines(found), key=lambda index: -(found.lines[index].total or 0))[:_DRAWN]
    return sorted(largest)


def _lines(found: TrendResult) -> list[int]:
    is_split = found.asked.breakdown is not None and any(line.group != ALL for line in found.lines)
    return [index for index, line in enumerate(found.lines) if (line.group != ALL) == is_split]


def table(place: Here, found: TrendResult) -> None:
    """Every interval, the newest first, below the whole period; with one line beside the one it is compared with."""
    called = _columns(names(place, found))
    points = list(reversed(found.points))
    with layout.card("Table", key="trend-table"):
        columns: dict[str, list[Any]] = {"When": ["Whole period", *(_when(place, found, point) for point in points)]}
        for name, line in zip(called, found.lines, strict=True):
            columns[name] = [written(place, found, value) for value in (line.total, *reversed(line.values))]
        if found.earlier and len(found.lines) == 1:
            line = found.earlier.lines[0]
            before = [*line.values, *[None] * len(points)][: len(points)]
            columns[_BEFORE] = [written(place, found, value) for value in (line.total, *reversed(before))]
        clicking.table(
            columns,
            "trend.table",
            alt="The trend in numbers",
            numbers=[name for name in columns if name != "When"],
            config={"When": st.column_config.TextColumn(width=170, pinned=True)},
            height=min(560, 36 * (len(points) + 2)),
        )
        scale = 1_000_000 if found.currency else 1
        file: dict[str, list[csv.Cell]] = {
            "start": [None, *(point.start for point in points)],
            "state": ["total", *(point.state for point in points)],
        }
        for name, line in zip(called, found.lines, strict=True):
            values = (line.total, *reversed(line.values))
            file[name] = [value if value is None or scale == 1 else value / scale for value in values]
        explaining.below(place, "trend", file, key="trend-csv")


def _columns(called: Sequence[str]) -> list[str]:
    """Names that are unique, as columns have to be."""
    taken = ["When", _BEFORE]
    for name in called:
        taken.append(name if name not in taken else f"{name} ({len(taken) - 1})")
    return taken[2:]


def _when(place: Here, found: TrendResult, point: Any) -> str:
    name = place.write.month(point.start) if found.asked.interval == "month" else place.write.day(point.start)
    return name if point.state == "whole" else f"{name} · {label(point.state).lower()}"


# ------------------------------------------------------------------------------------------------------- the people


def behind(turn: Turn, found: TrendResult, click: Click) -> Behind | None:
    """The people of the number that was clicked."""
    place, called = turn.place, names(turn.place, found)
    if click.of == "trend.table":
        earlier = click.column == _BEFORE
        index = 0 if earlier else _columns(called).index(click.column)
        of = found.earlier if earlier and found.earlier else found
        start = None if click.row == 0 else of.points[len(found.points) - click.row].start
    elif click.of == "trend.chart":
        trace, chosen = int(click.column), drawn(found)
        earlier = trace // 2 >= len(chosen)
        index = chosen[0] if earlier else chosen[trace // 2]
        of = found.earlier if earlier and found.earlier else found
        final = next((at for at, point in enumerate(found.points) if point.state == "running"), len(found.points))
        final = len(of.points) if earlier else final
        start = of.points[click.row + (max(0, final - 1) if trace % 2 else 0)].start
    else:
        return None
    line = found.lines[index]
    cell = TrendCell(start, line.series, line.group, earlier)
    when = (
        "in the period"
        if start is None
        else f"{'on' if found.asked.interval == 'day' else f'in the {found.asked.interval} of'} {place.write.day(start)}"
    )
    people = turn.sight.people(trend_people, turn.question, cell)
    title = " and ".join(match.title for match in found.asked.series)
    return turn.behind(f"{called[index]}, {when}", title, people, rule=turn.rule(cell))
