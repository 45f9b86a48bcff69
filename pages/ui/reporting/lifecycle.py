"""The lifecycle page's parts: who came, stayed, came back and fell silent; how often people come; the customer table."""

from collections.abc import Sequence
from typing import Any, get_args

import streamlit as st
from sqlmodel import Session

from gdp_core.analytics.counting import ANYTHING
from gdp_core.analytics.customers import (
    EVERY,
    CustomerCell,
    StageCell,
    Which,
    average_days,
    read_customers,
)
from gdp_core.analytics.fields import Fields
from gdp_core.analytics.lifecycle import (
    STATES,
    Lifecycle,
    LifecycleCell,
    LifecyclePoint,
    LifecycleResult,
    lifecycle_people,
)
from gdp_core.analytics.metrics import metric
from gdp_core.analytics.stickiness import (
    MONTH,
    WEEK,
    ActiveDay,
    Stickiness,
    StickinessCell,
    StickinessResult,
    stickiness_people,
)
from gdp_core.errors import InvalidInput
from gdp_core.tables.people import FIRST_TOUCH, STAGES
from pages.ui import layout, state
from pages.ui.charts import lifecycle as charts
from pages.ui.charts import trend
from pages.ui.context import Here
from pages.ui.escape import clean
from pages.ui.format import UNKNOWN, label
from pages.ui.reporting import clicking, explaining, picking, usual
from pages.ui.reporting.asking import EVERYBODY
from pages.ui.reporting.behind import Behind
from pages.ui.reporting.clicking import Click
from pages.ui.reporting.drafts import Draft
from pages.ui.reporting.explaining import Command
from pages.ui.reporting.page import Report, Turn
from pages.ui.reporting.sight import Sight

DEFINITION = (
    "Active in a local day, week or month is who did the event in it. New: their first such event of all history is in it."
    " Returning: active in it and in the one before. Resurrecting: active in it, not in the one before, some time earlier."
    " Dormant: active in the one before and not in it. So active = new + returning + resurrecting, and dormant = active"
    " of the one before - returning. DAU, WAU and MAU of a local day: active on it, and in the 7 and 30 days that end with"
    " it; DAU/MAU is the mean DAU of those 30 days by their MAU. What is hatched or dotted is not over, or not all known."
)
_SPANS = {"DAU": 1, "WAU": WEEK, "MAU": MONTH}
_NUMBERS = ("New", "Returning", "Resurrecting", "Dormant", "Active")


def usual_question(place: Here, fields: Fields) -> Lifecycle:
    """Of doing what the product is for; else of anything."""
    return Lifecycle(usual.of_role(place, fields, "core") or ANYTHING)


class Form:
    """The question as it stands in the widgets."""

    def __init__(self, draft: Draft) -> None:
        begins: Lifecycle = draft.asked.question
        self.draft = draft
        self._begins = begins
        self._event = picking.Event(draft, begins.event, "event")

    @property
    def question(self) -> Lifecycle:
        """What it asks. Raises InvalidInput."""
        event = self._event.value
        if event is None:
            raise InvalidInput("Choose the event that makes somebody active.")
        return Lifecycle(
            event,
            self.draft.value(self._begins.interval, "interval"),
            self.draft.value(self._begins.everything, "everything"),
        )

    def draw(self, sight: Sight, fields: Fields, people: picking.People) -> None:
        """What makes active, and how it is counted."""
        draft = self.draft
        with layout.card(key="lifecycle-question"):
            with st.container(horizontal=True, wrap=False, vertical_alignment="center", gap="small"):
                st.caption("Active is who did", width=104)
                self._event.draw(sight, fields, "Event", width="stretch")
            with st.container(horizontal=True, vertical_alignment="center", gap="small"):
                picking.choice(draft, "Interval", picking.INTERVALS, "interval", width=116)
                people.draw(sight, fields)
                with st.popover("More", icon=":material/tune:", key=draft.key("more")):
                    st.toggle("Count what machines did, too", key=draft.key("everything"))


def _named(question: Lifecycle) -> list[str]:
    return [condition.field for condition in question.event.conditions]


VIEW = state.Field("lifecycle", "table", default="people", choices=get_args(Which))
REPORT = Report("lifecycle", "lifecycle", "Lifecycle", usual_question, Form, _named, more=(VIEW,), compares=False)


def stickiness_of(question: Lifecycle) -> Stickiness:
    """How often people did the same."""
    return Stickiness(question.event, question.interval, question.everything)


def command(turn: Turn) -> Command:
    """The command that gives the same numbers."""
    return _told(turn, "lifecycle").option("--interval", turn.question.interval, "week")


def stickiness_command(turn: Turn) -> Command:
    """That of stickiness."""
    return _told(turn, "stickiness").option("--interval", turn.question.interval, "day")


def _told(turn: Turn, report: str) -> Command:
    question: Lifecycle = turn.question
    made = Command(report, turn.place).events("--event", [question.event])
    return made.option("--everything", question.everything or None)


# ------------------------------------------------------------------------------------------------------ lifecycle


def headline(place: Here, found: LifecycleResult) -> None:
    """The newest interval that is over, against the one before it."""
    write = place.write
    over = [point for point in found.points if point.complete]
    if not over:
        layout.note(
            f"No {found.asked.interval} of this period is over yet, so nothing is final: choose a longer period or a"
            " shorter interval."
        )
        return
    last = over[-1]
    before = over[-2] if len(over) > 1 else None
    declared = {"dormant": "dormant_people", "resurrecting": "resurrected_people"}
    with layout.numbers():
        for name in ("active", *(state for state in STATES if state != "returning")):
            now, then = getattr(last, name), getattr(before, name) if before else None
            clicking.metric(
                Click("lifecycle.table", len(found.points) - 1 - found.points.index(last), name.capitalize()),
                f"{name.capitalize()}, {_when(place, found, last)}",
                write.number(now),
                change=write.change(now, then),
                difference=now - (now if then is None else then),
                good="down" if name == "dormant" else "up",
                help=metric(declared[name]).definition if name in declared else "",
            )
    gained = last.new + last.resurrecting
    kept = write.percent(last.returning / (last.returning + last.dormant)) if last.returning + last.dormant else UNKNOWN
    layout.note(
        f"Of who was active the {found.asked.interval} before, {kept} came again. {write.number(gained)} came new or back,"
        f" {write.number(last.dormant)} fell silent."
    )


def picture(place: Here, found: LifecycleResult) -> None:
    """The intervals as stacked bars, the dormant below zero."""
    names = [_axis(place, found, point) for point in found.points]
    clicking.chart(
        charts.states(found.points, names, place.write),
        "lifecycle.chart",
        alt=f"New, returning, resurrecting and dormant people by {found.asked.interval}",
    )
    if not all(point.complete for point in found.points):
        layout.note("Hatched: not over yet, so who is dormant may still come.")


def table(place: Here, found: LifecycleResult) -> None:
    """Every interval, the newest first."""
    write, points = place.write, list(reversed(found.points))
    columns: dict[str, list[Any]] = {
        "When": [_capital(_when(place, found, point)) + ("" if point.complete else " · running") for point in points]
    }
    for name in _NUMBERS:
        columns[name] = [write.number(getattr(point, name.lower())) for point in points]
    clicking.table(
        columns,
        "lifecycle.table",
        alt="Lifecycle in numbers",
        numbers=_NUMBERS,
        config={"When": st.column_config.TextColumn(pinned=True, width=210)},
        height=min(460, 36 * (len(points) + 1)),
    )
    csv: dict[str, list[Any]] = {"start": [point.start for point in points]}
    for name in _NUMBERS:
        csv[name.lower()] = [getattr(point, name.lower()) for point in points]
    csv["complete"] = [point.complete for point in points]
    explaining.below(place, "lifecycle", csv, key="lifecycle-csv")


def _axis(place: Here, found: LifecycleResult, point: LifecyclePoint) -> str:
    long = found.points[0].start.year != found.points[-1].start.year and found.asked.interval != "month"
    name = place.write.month if found.asked.interval == "month" else place.write.day if long else place.write.short_day
    return name(point.start)


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _when(place: Here, found: LifecycleResult, point: LifecyclePoint) -> str:
    day = place.write.month(point.start) if found.asked.interval == "month" else place.write.day(point.start)
    return f"week of {day}" if found.asked.interval == "week" else day


# ----------------------------------------------------------------------------------------------------- stickiness


def stickiness(place: Here, found: StickinessResult) -> None:
    """Active people by day, and in how many intervals they came."""
    write = place.write
    _ratios(place, found)
    left, right = st.columns([3, 2], gap="small")
    final = next((at for at, day in enumerate(found.days) if not day.complete), len(found.days))
    with left, layout.card("Active people", key="stickiness-days"):
        lines = [
            trend.Line(name, counts, [f"{write.number(count)}" for count in counts], final)
            for name, counts in (
                ("DAU", [day.daily for day in found.days]),
                ("WAU", [day.weekly for day in found.days]),
                ("MAU", [day.monthly for day in found.days]),
            )
        ]
        clicking.chart(
            trend.lines([day.day for day in found.days], lines),
            "stickiness.days",
            alt="Daily, weekly and monthly active people",
        )
    with right, layout.card(f"In how many {found.asked.interval}s people were active", key="stickiness-often"):
        clicking.chart(
            charts.often(found.people, found.asked.interval, write),
            "stickiness.often",
            alt=f"{write.number(found.active)} active people by the number of {found.asked.interval}s they were active in",
        )
    shown = st.expander("Day by day", icon=":material/table:", on_change="rerun", key="stickiness-as-table")
    if shown.open:
        with shown:
            _days_table(place, found)


def _ratios(place: Here, found: StickinessResult) -> None:
    over = [day for day in found.days if day.complete]
    if not over:
        layout.note("No day of this period is over yet: choose a longer period.")
        return
    write, last = place.write, over[-1]
    slugs = ("daily_active", "weekly_active", "monthly_active")
    with layout.numbers():
        for (name, span), slug in zip(_SPANS.items(), slugs, strict=True):
            clicking.metric(
                Click("stickiness.table", len(found.days) - 1 - found.days.index(last), name),
                f"{name}, {write.day(last.day)}",
                write.number(_active(last, span)),
                help=metric(slug).definition,
            )
        layout.metric("DAU / MAU", write.percent(last.ratio), help=metric("stickiness").definition)


def _active(day: ActiveDay, span: int) -> int:
    return {1: day.daily, WEEK: day.weekly, MONTH: day.monthly}[span]


def _days_table(place: Here, found: StickinessResult) -> None:
    write, days = place.write, list(reversed(found.days))
    columns: dict[str, list[Any]] = {
        "Day": [write.day(day.day) + ("" if day.complete else " · running") for day in days]
    }
    columns |= {name: [write.number(_active(day, span)) for day in days] for name, span in _SPANS.items()}
    columns["DAU / WAU"] = [write.percent(day.daily / day.weekly if day.weekly else None) for day in days]
    columns["DAU / MAU"] = [write.percent(day.ratio) for day in days]
    right = st.column_config.TextColumn(alignment="right")
    clicking.table(
        columns,
        "stickiness.table",
        alt="Active people day by day",
        numbers=[*_SPANS],
        config={
            "Day": st.column_config.TextColumn(pinned=True, width=170),
            "DAU / WAU": st.column_config.TextColumn(alignment="right", help="Of the day itself."),
            "DAU / MAU": right,
        },
        height=min(460, 36 * (len(days) + 1)),
    )
    csv: dict[str, list[Any]] = {
        "day": [day.day for day in days],
        "dau": [day.daily for day in days],
        "wau": [day.weekly for day in days],
        "mau": [day.monthly for day in days],
        "dau_mau": [day.ratio for day in days],
        "complete": [day.complete for day in days],
    }
    explaining.below(place, "stickiness", csv, key="stickiness-csv")


# ------------------------------------------------------------------------------------------------------ customers

_VIEWS: dict[Which, str] = {
    "people": "People",
    "last_30_days": "First seen in the last 30 days",
    "subscribed": "Days to subscription",
}
_ALL_SOURCES = "All sources"


def customers(place: Here, cells: Sequence[StageCell]) -> None:
    """Stages down, first-touch sources across: how many, how many lately, how long until they paid."""
    with layout.card("Customers by stage and source", key="lifecycle-customers"):
        chosen = st.segmented_control(
            "Shown",
            [*_VIEWS],
            format_func=_VIEWS.__getitem__,
            key=VIEW.key,
            required=True,
            label_visibility="collapsed",
        )
        view: Which = chosen or "people"
        stages, sources = _stages(cells), _sources(cells)
        columns: dict[str, list[Any]] = {"Stage": [_stage_name(stage) for stage in stages]}
        for source in sources:
            columns[_source_name(source)] = [_customers(place, _of(cells, stage, source), view) for stage in stages]
        clicking.table(
            columns,
            f"customers.{view}",
            alt=f"Customers by stage and source: {_VIEWS[view]}",
            numbers=[name for name in columns if name != "Stage"],
            config={"Stage": st.column_config.TextColumn(pinned=True, width=110)},
        )
        csv: dict[str, list[Any]] = {
            "stage": [cell.stage for cell in cells],
            "source": [cell.source for cell in cells],
            "count": [cell.people for cell in cells],
            "count_30d": [cell.last_30_days for cell in cells],
            "avg_days_to_subscription": [average_days([cell]) for cell in cells],
        }
        explaining.below(place, "customers", csv, key="customers-csv", hint="Click a number to see its people.")
        layout.note(
            "Everybody as of now, whatever is asked above. The source is that of the first touch; days to subscription are"
            " from first seen to first paid, on average of those who ever paid."
        )


def _stages(cells: Sequence[StageCell]) -> list[str | None]:
    return [*(name for name in (*STAGES, None) if any(cell.stage == name for cell in cells)), EVERY]


def _sources(cells: Sequence[StageCell]) -> list[str | None]:
    return [EVERY, *(name for name in (*FIRST_TOUCH, None) if any(cell.source == name for cell in cells))]


def _stage_name(stage: str | None) -> str:
    return "All stages" if stage == EVERY else label(stage) if stage else "Anonymous"


def _source_name(source: str | None) -> str:
    return _ALL_SOURCES if source == EVERY else label(source) if source else "Unknown"


def _of(cells: Sequence[StageCell], stage: str | None, source: str | None) -> list[StageCell]:
    return [cell for cell in cells if stage in (EVERY, cell.stage) and source in (EVERY, cell.source)]


def _customers(place: Here, cells: Sequence[StageCell], view: Which) -> str:
    if view == "subscribed":
        days = average_days(cells)
        return "" if days is None else place.write.number(days, decimals=1)
    count = sum(getattr(cell, view) for cell in cells)
    return place.write.number(count) if count else ""


# ----------------------------------------------------------------------------------------------------- the people


def behind(turn: Turn, found: LifecycleResult, sticky: StickinessResult | None, click: Click) -> Behind | None:
    """The people of the number of the timeline that was clicked."""
    kind = click.of.partition(".")[0]
    if kind == "stickiness" and sticky:
        return _of_stickiness(turn, sticky, click)
    return _of_lifecycle(turn, found, click) if kind == "lifecycle" else None


def _of_lifecycle(turn: Turn, found: LifecycleResult, click: Click) -> Behind:
    if click.of == "lifecycle.chart":
        point, state = found.points[click.row], STATES[int(click.column)]
        cell = LifecycleCell(point.start, state)
    else:
        point = found.points[len(found.points) - 1 - click.row]
        name = click.column.lower()
        cell = LifecycleCell(point.start, next((state for state in STATES if state == name), "active"))
    people = turn.sight.people(lifecycle_people, turn.question, cell)
    title = f"{cell.state.capitalize()}, {_when(turn.place, found, point)}"
    return turn.behind(title, turn.question.event.title, people, rule=turn.rule(cell))


def _of_stickiness(turn: Turn, found: StickinessResult, click: Click) -> Behind:
    if click.of == "stickiness.often":
        count = click.row + 1
        cell, unit = StickinessCell(intervals=count), found.asked.interval
        title = f"Active in {count} {unit}" if count == 1 else f"Active in {count} {unit}s"
    else:
        day, name = _day_of(found, click)
        cell, shown = StickinessCell(day=day.day, span=_SPANS[name]), turn.place.write.day(day.day)
        title = f"Active on {shown}" if name == "DAU" else f"Active in the {_SPANS[name]} days to {shown}"
    people = turn.sight.people(stickiness_people, found.asked, cell)
    return turn.behind(title, found.asked.event.title, people, rule=turn.rule(cell, found.asked))


def _day_of(found: StickinessResult, click: Click) -> tuple[ActiveDay, str]:
    if click.of == "stickiness.table":
        return found.days[len(found.days) - 1 - click.row], click.column
    trace = int(click.column)
    final = next((at for at, day in enumerate(found.days) if not day.complete), len(found.days))
    return found.days[click.row + (max(0, final - 1) if trace % 2 else 0)], [*_SPANS][trace // 2]


def customers_behind(turn: Turn, session: Session, cells: Sequence[StageCell], click: Click) -> Behind | None:
    """The people of the number of the customer table that was clicked."""
    view = click.of.partition(".")[2]
    which = next((each for each in get_args(Which) if each == view), None)
    source = next((each for each in _sources(cells) if _source_name(each) == click.column), EVERY)
    if which is None:
        return None
    stage = _stages(cells)[click.row]
    cell = CustomerCell(stage, source, which)
    people = read_customers(session, cell, turn.sight.scope.now)
    said = {"people": "", "last_30_days": ", first seen in the last 30 days", "subscribed": ", ever paid"}[which]
    return Behind(
        turn.place.workspace.id,
        clean(f"{_stage_name(stage)}, {_source_name(source).lower()}{said}", longest=200),
        "Customers by stage and source",
        people,
        rule=turn.rule_of_now(session, cell, people, who=EVERYBODY),
    )
