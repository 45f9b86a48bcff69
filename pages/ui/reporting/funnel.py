"""The funnel page's parts: the question in widgets, and the answer in numbers, charts and tables."""

from functools import partial
from typing import Any

import streamlit as st

from gdp_core.analytics.breakdown import Breakdown, Group
from gdp_core.analytics.counting import ANYTHING
from gdp_core.analytics.fields import Fields
from gdp_core.analytics.funnel.factors import Factor, Factors
from gdp_core.analytics.funnel.outcomes import State
from gdp_core.analytics.funnel.question import (
    FEWEST_STEPS,
    MOST_STEPS,
    Exclusion,
    FactorQuestion,
    FunnelQuestion,
    Order,
    Prefer,
    Step,
)
from gdp_core.analytics.funnel.report import FunnelResult, Tally, people
from gdp_core.analytics.window import Window
from gdp_core.timeline.matching import Match
from pages.ui import layout
from pages.ui.charts import funnel as charts
from pages.ui.charts import trend
from pages.ui.context import Here
from pages.ui.escape import clean, safe_text
from pages.ui.format import UNKNOWN
from pages.ui.reporting import clicking, explaining, picking, usual
from pages.ui.reporting.behind import Behind
from pages.ui.reporting.clicking import Click
from pages.ui.reporting.drafts import Draft, Rows
from pages.ui.reporting.explaining import Command
from pages.ui.reporting.page import Report, Turn
from pages.ui.reporting.sight import Sight

ORDERS: dict[Order, str] = {"ordered": "In this order", "strict": "Strictly", "any": "In any order"}
_PREFERRED: dict[Prefer, str] = {"earliest": "The earliest", "shortest": "The shortest"}
_INTERVALS = {"day": "Day", "week": "Week", "month": "Month"}
_TRAITS = ("source", "medium", "campaign", "cohort", "industry")
_MOST_FACTORS = 25  # of the table; the file has all
_USUAL_PATH = ("signup", "activation", "core")


def usual_question(place: Here, fields: Fields) -> FunnelQuestion:
    """Signing up, first value, doing what the product is for, as far as the workspace has such events; else its most frequent two."""
    found = usual.of_roles(place, fields, _USUAL_PATH)
    if len(found) < FEWEST_STEPS:
        found = [Match((name,)) for name, _ in fields.events[:2]]
    return FunnelQuestion(tuple(map(Step, [*found, ANYTHING, ANYTHING][: max(FEWEST_STEPS, len(found))])))


class Form:
    """The question as it stands in the widgets."""

    def __init__(self, draft: Draft) -> None:
        begins: FunnelQuestion = draft.asked.question
        self.draft = draft
        self._begins = begins
        self._steps = Rows[Step | None](draft, "steps", begins.steps)
        self._exclusions = Rows[Exclusion | None](draft, "exclusions", begins.exclusions)
        self._events = {
            number: picking.Event(draft, step.match if step else None, f"step.{number}") for number, step in self._steps
        }
        self._enders = {
            number: picking.Event(draft, given.match if given else None, f"exclusion.{number}")
            for number, given in self._exclusions
        }

    @property
    def question(self) -> FunnelQuestion:
        """What it asks. Raises InvalidInput."""
        draft, begins = self.draft, self._begins
        order: Order = draft.value(begins.order, "order") or "ordered"
        steps = tuple(step for number, given in self._steps if (step := self._step(number, given)))
        by = picking.broken_down(draft, begins.breakdown)
        touch = draft.value(begins.touch, "touch")
        return FunnelQuestion(
            steps=tuple(
                step if 0 < place < len(steps) - 1 else Step(step.match, name=step.name)
                for place, step in enumerate(steps)
            ),
            window=picking.window(draft, begins.window),
            order=order,
            exclusions=self._ruled_out(len(steps)) if self._is_ordered else (),
            prefer=draft.value(begins.prefer, "prefer") or "earliest",
            breakdown=by,
            touch=touch if by and (isinstance(touch, str) or touch <= len(steps)) else "first",
            interval=draft.value(begins.interval, "interval"),
            factors=self._factors,
            everything=draft.value(begins.everything, "everything"),
        )

    def _step(self, number: int, given: Step | None) -> Step | None:
        match = self._events[number].value
        optional = self.draft.value(given.optional if given else False, "step", number, "optional")
        return Step(match, optional, given.name if given else "") if match else None

    def _ruled_out(self, steps: int) -> tuple[Exclusion, ...]:
        found = []
        for number, given in self._exclusions:
            match = self._enders[number].value
            after = self.draft.value(given.after if given else 1, "exclusion", number, "after")
            if match is not None:
                found.append(Exclusion(match, min(after, steps - 1)))
        return tuple(found)

    @property
    def _is_ordered(self) -> bool:
        return (self.draft.value(self._begins.order, "order") or "ordered") == "ordered"

    @property
    def _factors(self) -> FactorQuestion | None:
        begins = self._begins.factors
        wanted = self.draft.value(begins is not None, "factors")
        traits = self.draft.value(list(begins.traits if begins else _TRAITS), "factors", "traits")
        return FactorQuestion(tuple(traits), *((begins.lookback,) if begins else ())) if wanted else None

    def draw(self, sight: Sight, fields: Fields, people: picking.People) -> None:
        """The steps, a row each, and below them how they count."""
        with layout.card(key="funnel-question"):
            for place, (number, _) in enumerate(self._steps):
                self._row(sight, fields, place, number)
            for number, _ in self._exclusions if self._is_ordered else ():
                self._exclusion(sight, fields, number)
            with st.container(horizontal=True, vertical_alignment="center", gap="small"):
                st.button(
                    "Add a step",
                    icon=":material/add:",
                    type="tertiary",
                    key=self.draft.key("steps", "add"),
                    on_click=partial(self._steps.add, None),
                    disabled=len(self._steps) >= MOST_STEPS,
                )
                st.selectbox(
                    "Order",
                    [*ORDERS],
                    key=self.draft.key("order"),
                    format_func=ORDERS.__getitem__,
                    label_visibility="collapsed",
                    width=142,
                )
                st.caption("within", width="content")
                picking.window_fields(self.draft, "Within")
                picking.breakdown(self.draft, sight.place, fields)
                people.draw(sight, fields)
                self._more()

    def _row(self, sight: Sight, fields: Fields, place: int, number: int) -> None:
        draft, last, key = self.draft, len(self._steps) - 1, f"step.{number}"
        inner = 0 < place < last

        def optional() -> None:
            st.checkbox(
                "Optional: counted, but nobody has to take it",
                key=draft.key("step", number, "optional"),
                disabled=not inner,
            )

        with st.container(horizontal=True, wrap=False, vertical_alignment="center", gap="small"):
            st.markdown(f"**{safe_text(place + 1)}**", width=18)
            also = "optional" if inner and draft.value(False, "step", number, "optional") else ""
            self._events[number].draw(sight, fields, f"Step {place + 1}", also=also, extra=optional, width="stretch")
            for icon, name, by, off in (
                (":material/arrow_upward:", "Move up", -1, place == 0),
                (":material/arrow_downward:", "Move down", 1, place == last),
            ):
                picking.icon_button(draft, icon, name, partial(self._steps.move, number, by), key, by, disabled=off)
            picking.removal(draft, "step", partial(self._steps.remove, number), key, disabled=last < 1)

    def _more(self) -> None:
        draft = self.draft
        with st.popover("More", icon=":material/tune:", key=draft.key("more")):
            if self._is_ordered:
                st.button(
                    "Add an event that ends an attempt",
                    icon=":material/block:",
                    type="tertiary",
                    key=draft.key("exclusions", "add"),
                    on_click=partial(self._exclusions.add, None),
                )
            st.segmented_control(
                "Of attempts that got equally far, count",
                [*_PREFERRED],
                key=draft.key("prefer"),
                format_func=_PREFERRED.__getitem__,
                required=True,
            )
            if draft.value(None, "by"):
                st.selectbox(
                    "A breakdown by a field of events takes it from",
                    ["first", "last", *range(1, len(self._steps) + 1)],
                    key=draft.key("touch"),
                    format_func=lambda item: {"first": "The first step", "last": "The last step reached"}.get(
                        item, f"Step {item}"
                    ),
                )
            st.selectbox(
                "Trend by",
                [*_INTERVALS],
                index=None,
                key=draft.key("interval"),
                format_func=_INTERVALS.__getitem__,
                placeholder="What suits the period",
            )
            st.toggle("Count what machines did, too", key=draft.key("everything"))

    def _exclusion(self, sight: Sight, fields: Fields, number: int) -> None:
        draft = self.draft
        with st.container(horizontal=True, wrap=False, vertical_alignment="center", gap="small"):
            st.markdown(":material/block:", width=18)
            self._enders[number].draw(sight, fields, "Ends an attempt", width="stretch")
            st.selectbox(
                "After",
                [*range(1, max(2, len(self._steps)))],
                key=draft.key("exclusion", number, "after"),
                format_func=lambda item: f"not after step {item}",
                label_visibility="collapsed",
                width=170,
            )
            picking.removal(draft, "event", partial(self._exclusions.remove, number), "exclusion", number)

    def factors(self, sight: Sight, fields: Fields) -> None:
        """The switch for comparing the dropped with the converted, and by what."""
        draft = self.draft
        with st.container(horizontal=True, vertical_alignment="center", gap="small"):
            st.toggle("Compare the dropped with the converted", key=draft.key("factors"))
            if draft.value(False, "factors"):
                offered = [name.removeprefix("person.") for name in picking.allowed(sight.place, fields.of_people)]
                st.multiselect(
                    "By",
                    [*dict.fromkeys([*offered, *draft.value([], "factors", "traits")])],
                    key=draft.key("factors", "traits"),
                    format_func=clean,
                    placeholder="Fields of the person",
                    label_visibility="collapsed",
                    max_selections=20,
                )


def _named(question: FunnelQuestion) -> list[str]:
    """Every field that a question names."""
    found = [condition.field for match in question.matches for condition in match.conditions]
    found += [question.breakdown.field] if question.breakdown else []
    return found + [f"person.{name.removeprefix('person.')}" for name in (question.factors or FactorQuestion()).traits]


REPORT = Report("funnels", "funnel", "Funnels", usual_question, Form, _named)


def command(turn: Turn) -> Command:
    """The command that gives the same numbers."""
    question: FunnelQuestion = turn.question
    made = Command("funnel", turn.place).events("--step", [step.match for step in question.steps])
    made.options("--optional", [place for place, step in enumerate(question.steps, 1) if step.optional])
    made.options("--exclude", [f"{one.after}:{one.match.text}" for one in question.exclusions])
    made.where([one.match for one in question.exclusions], "--exclude-where")
    made.option("--window", question.window.text).option("--order", question.order)
    made.option("--prefer", question.prefer, "earliest").option("--touch", question.touch, "first")
    made.breakdown(question.breakdown).option("--interval", question.interval)
    if question.factors:
        made.option("--factors", True).options("--factor", question.factors.traits)
        made.option("--lookback", question.factors.lookback.text, FactorQuestion().lookback.text)
    made.option("--everything", question.everything or None)
    return made.compared(turn.sight.scope)


# ------------------------------------------------------------------------------------------------------- the answer


def headline(place: Here, found: FunnelResult) -> None:
    """The conversion in four numbers, and what is still open."""
    write, total = place.write, found.total
    before = found.earlier.total if found.earlier else None
    over = before if not total.open else None  # while some may still convert, there are too few, and the quick ones
    took, took_before = _median(total), _median(over) if over else None
    entered, converted = before.entered if before else None, over.converted if over else None
    rate, rate_before = comparable(total, before)
    with layout.numbers():
        layout.metric(
            "Conversion",
            write.percent(total.rate),
            change=write.points(rate, rate_before),
            difference=round((rate or 0) - (rate_before or 0), 3),
            help="Converted of all who entered."
            + (" Compared are those whose time is over, now and before." if total.open and before else ""),
        )
        for name, now, then in (("Entered", total.entered, entered), ("Converted", total.converted, converted)):
            clicking.metric(
                Click("funnel.total", 0, name),
                name,
                write.number(now),
                change=write.change(now, then),
                difference=now - (now if then is None else then),
            )
        layout.metric(
            "Time to convert",
            write.lasting(took),
            change=write.change(took, took_before),
            difference=took - took_before if took and took_before else 0,
            good="neither",
            help="The median: half of the converted took less.",
        )
    said = []
    if total.open and total.mature:
        said.append(
            f"{write.number(total.open)} may still convert; of the {write.number(total.mature)} whose time is over"
            f" {write.percent(total.mature_rate)} did."
        )
    elif total.open:
        said.append(f"{write.number(total.open)} may still convert: nobody's time is over yet.")
    if total.excluded:
        said.append(f"{write.number(total.excluded)} are left out, by an event that ended their attempt.")
    if before is None and total.time:
        said.append(f"Half of the converted took {write.lasting(total.time.p25)} to {write.lasting(total.time.p75)}.")
    layout.note(" ".join([*said, *found.notes]))


def comparable(total: Tally, before: Tally | None) -> tuple[float | None, float | None]:
    """The rates that can be compared: while people may still convert, only of those whose time is over, who had as long."""
    if before is None:
        return None, None
    return (total.mature_rate, before.mature_rate) if total.open else (total.rate, before.rate)


def _median(tally: Tally) -> float | None:
    return tally.time.median if tally.time else None


def steps(place: Here, found: FunnelResult) -> None:
    """The steps as bars, and as a table whose numbers open their people."""
    write, total = place.write, found.total
    with layout.card("Steps", key="funnel-steps"):
        clicking.chart(
            charts.steps(total.steps, write),
            "funnel.steps",
            alt=f"{write.number(total.entered)} entered, {write.percent(total.rate)} of them converted",
        )
        columns: dict[str, list[Any]] = {
            "Step": [f"{number}. {clean(step.name)}" for number, step in enumerate(total.steps, 1)],
            "People": [write.number(step.people) for step in total.steps],
            "Of the step before": [UNKNOWN, *(write.percent(step.rate) for step in total.steps[1:])],
            "Of all": [write.percent(step.overall) for step in total.steps],
            "Mature": [write.percent(step.mature_overall) for step in total.steps],
        }
        if found.earlier:
            columns["Before"] = [write.percent(step.overall) for step in found.earlier.total.steps]
        columns["Stopped before it"] = ["", *(write.number(step.dropped) for step in total.steps[1:])]
        columns["Still open"] = ["", *(write.number(step.open) for step in total.steps[1:])]
        if total.excluded:
            columns["Left out"] = ["", *(write.number(step.excluded) for step in total.steps[1:])]
        columns["Median time"] = [
            "",
            *(write.lasting(step.time.median if step.time else None) for step in total.steps[1:]),
        ]
        clicking.table(
            columns,
            "funnel.step-table",
            alt="Steps with their people",
            numbers=[name for name in ("People", "Stopped before it", "Still open", "Left out") if name in columns],
            config={"Step": st.column_config.TextColumn(width="medium")}
            | _right(columns, "Of the step before", "Of all", "Mature", "Before", "Median time"),
        )
        explaining.below(place, "funnel steps", _steps_csv(total), key="funnel-steps-csv")


def _right(columns: dict[str, list[Any]], *names: str) -> dict[str, Any]:
    return {name: st.column_config.TextColumn(alignment="right") for name in names if name in columns}


def _steps_csv(total: Tally) -> dict[str, list[Any]]:
    names = "people rate overall mature_rate mature_overall converted dropped open excluded".split()
    times = [step.time for step in total.steps]
    return (
        {"step": [step.name for step in total.steps]}
        | {name: [getattr(step, name) for step in total.steps] for name in names}
        | {f"{name}_seconds": [time and getattr(time, name) for time in times] for name in ("median", "p25", "p75")}
    )


def over_time(place: Here, found: FunnelResult) -> None:
    """The conversion by the day, week or month of entry, and how long it took."""
    write, total = place.write, found.total
    left, right = st.columns([3, 2], gap="small")
    with (
        left,
        layout.card(
            "Conversion by day of entry" if found.interval == "day" else f"Conversion by {found.interval} of entry",
            key="funnel-trend",
        ),
    ):
        points = found.trend
        final = next((place for place, point in enumerate(points) if not point.is_mature), len(points))
        texts = [
            f"{write.percent(point.rate)}, {write.number(point.converted)} of {write.number(point.entered)}"
            for point in points
        ]
        clicking.chart(
            trend.lines(
                [point.start for point in points],
                [trend.Line("Converted", [point.rate for point in points], texts, final)],
                percent=True,
                height=260,
            ),
            "funnel.trend",
            alt="Conversion by when people entered",
        )
        if final < len(points):
            layout.note("Dotted: the time of some who entered then is not over yet, so it may still rise.")
    with right, layout.card("Time to convert", key="funnel-times"):
        if total.time:
            clicking.chart(
                charts.times(total.histogram, write),
                "funnel.times",
                alt=f"Time to convert: median {write.lasting(total.time.median)}",
            )
            layout.note(
                f"Half took {write.lasting(total.time.p25)} to {write.lasting(total.time.p75)}; on average"
                f" {write.lasting(total.time.mean)}."
            )
        else:
            layout.note("Nobody has converted yet.")


def named(place: Here, field_name: str, group: Group) -> str:
    """A group as it is shown."""
    return explaining.shown(place, field_name, group.label) if group.kind == "value" else group.label


def groups(turn: Turn, found: FunnelResult, by: Breakdown) -> None:
    """The groups of the breakdown; they add up to everybody."""
    if not found.groups:
        return
    place, called = turn.place, picking.field_name(by.field, turn.fields.groups)
    write = place.write
    names = [named(place, by.field, group) for group, _ in found.groups]
    with layout.card(f"By {called}", key="funnel-groups"):
        clicking.chart(
            charts.groups(list(zip(names, (tally for _, tally in found.groups), strict=True)), write),
            "funnel.groups",
            alt=f"Conversion by {called}",
        )
        tallies = [tally for _, tally in found.groups]
        columns: dict[str, list[Any]] = {"Group": names}
        columns["Entered"] = [write.number(tally.entered) for tally in tallies]
        columns |= {
            f"{number}. {clean(step.name, longest=30)}": [
                write.number(tally.steps[number - 1].people) for tally in tallies
            ]
            for number, step in enumerate(found.total.steps, 1)
            if number > 1
        }
        numbers = [name for name in columns if name != "Group"]
        columns["Conversion"] = [write.percent(tally.rate) for tally in tallies]
        columns["Mature"] = [write.percent(tally.mature_rate) for tally in tallies]
        columns["Median time"] = [write.lasting(tally.time.median if tally.time else None) for tally in tallies]
        clicking.table(
            columns,
            "funnel.group-table",
            alt="Groups with their people",
            numbers=numbers,
            config={"Group": st.column_config.TextColumn(width="medium")}
            | _right(columns, "Conversion", "Mature", "Median time"),
        )
        explaining.below(place, "funnel groups", _groups_csv(names, tallies), key="funnel-groups-csv")


def _groups_csv(names: list[str], tallies: list[Tally]) -> dict[str, list[Any]]:
    steps = {
        f"step_{number}": [tally.steps[number - 1].people for tally in tallies]
        for number in range(1, len(tallies[0].steps) + 1)
    }
    return {"group": names, **steps, "rate": [tally.rate for tally in tallies]}


def factors(place: Here, found: Factors, lookback: Window) -> None:
    """What the dropped have more or less often than the converted, in events of the `lookback` before they entered."""
    write = place.write
    if not found.found:
        layout.note(
            f"Nothing can be told from {write.number(found.dropped)} dropped and {write.number(found.converted)}"
            " converted people whose time is over: a trait or an earlier event counts when at least 30 of them have it."
        )
        return
    rows = found.found[:_MOST_FACTORS]
    columns: dict[str, list[Any]] = {
        "What": [_factor_name(place, factor) for factor in rows],
        "Of the dropped": [write.percent(factor.found.first / found.dropped) for factor in rows],
        "Of the converted": [write.percent(factor.found.second / found.converted) for factor in rows],
        "Ratio": [
            UNKNOWN if factor.found.ratio is None else f"×{write.number(factor.found.ratio, decimals=2)}"
            for factor in rows
        ],
        "95 % interval": [
            f"×{write.number(factor.found.low, decimals=2)} – ×{write.number(factor.found.high, decimals=2)}"
            for factor in rows
        ],
        "People": [write.number(factor.support) for factor in rows],
        "By chance": [_chance(factor.found.corrected) for factor in rows],
    }
    clicking.table(
        columns,
        "funnel.factors",
        alt="What the dropped have more or less often than the converted",
        numbers=["People"],
        config={"What": st.column_config.TextColumn(width="medium")}
        | _right(columns, *(name for name in columns if name not in ("What", "People"))),
    )
    layout.note(
        f"{write.number(found.dropped)} dropped and {write.number(found.converted)} converted people whose time is over,"
        f" compared by {write.number(found.compared)} traits and events of the {write.number(lookback.amount)}"
        f" {picking.UNITS[lookback.unit]} before they entered. By chance:"
        " corrected for looking at so many. It goes together with dropping out; it need not be why."
    )
    explaining.below(place, "funnel factors", _factors_csv(place, found), key="funnel-factors-csv")


def _factors_csv(place: Here, found: Factors) -> dict[str, list[Any]]:
    columns: dict[str, list[Any]] = {"factor": [_factor_name(place, factor) for factor in found.found]}
    columns |= {
        "dropped": [factor.found.first for factor in found.found],
        "converted": [factor.found.second for factor in found.found],
    }
    for name in ("ratio", "low", "high", "p", "corrected"):
        columns[name] = [getattr(factor.found, name) for factor in found.found]
    return columns


def _factor_name(place: Here, factor: Factor) -> str:
    if factor.kind == "event":
        return clean(f"did {factor.value} before", longest=80)
    return clean(f"{factor.field} is {explaining.shown(place, f'person.{factor.field}', factor.value)}", longest=80)


def _chance(corrected: float) -> str:
    return "< 0.001" if corrected < 0.001 else f"{corrected:.3f}"


# ------------------------------------------------------------------------------------------------------- the people


def behind(turn: Turn, found: FunnelResult, click: Click) -> Behind | None:
    """The people of the number that was clicked."""
    question: FunnelQuestion = turn.question
    cell = _cell(turn.place, question, found, click)
    if cell is None:
        return None
    title, named_cell = cell
    steps = " → ".join(step.title for step in question.steps)
    return turn.behind(title, steps, turn.sight.people(people, question, **named_cell), rule=turn.rule(named_cell))


_TRACES: dict[str, State] = {
    str(charts.REACHED): "reached",
    str(charts.OPEN): "open",
    str(charts.DROPPED): "dropped",
}
_COLUMNS: dict[str, State] = {
    "People": "reached",
    "Stopped before it": "dropped",
    "Still open": "open",
    "Left out": "excluded",
}
_SAID: dict[State, str] = {
    "reached": "Took step {number}: {name}",
    "open": "May still take step {number}: {name}",
    "dropped": "Stopped before step {number}: {name}",
    "excluded": "Left out before step {number}: {name}",
}


def _cell(
    place: Here, question: FunnelQuestion, found: FunnelResult, click: Click
) -> tuple[str, dict[str, Any]] | None:
    """What a number is called, and how `people` is asked for it."""
    by = question.breakdown.field if question.breakdown else ""
    if click.of in ("funnel.steps", "funnel.step-table"):
        state_of = _TRACES.get(click.column) or _COLUMNS[click.column]
        said = _SAID[state_of].format(number=click.row + 1, name=found.steps[click.row].name)
        return said, {"state": state_of, "step": click.row + 1}
    if click.of == "funnel.total":
        return click.column, {"step": 1} if click.column == "Entered" else {"state": "converted"}
    if click.of == "funnel.groups":
        group = found.groups[click.row][0]
        return f"Converted, {named(place, by, group)}", {"state": "converted", "group": group}
    if click.of == "funnel.group-table":
        group = found.groups[click.row][0]
        step = 1 if click.column == "Entered" else int(click.column.partition(".")[0])
        return f"Took step {step}, {named(place, by, group)}", {"step": step, "group": group}
    if click.of == "funnel.times":
        took = charts.trimmed(found.total.histogram)[click.row]
        return f"Converted in {charts.span(took, place.write)}", {"state": "converted", "took": took}
    if click.of == "funnel.factors" and found.factors:
        factor = found.factors.found[click.row]
        return f"Dropped or converted, {_factor_name(place, factor)}", {"factor": factor, "mature": True}
    if click.of == "funnel.trend":
        mature = next((at for at, point in enumerate(found.trend) if not point.is_mature), len(found.trend))
        point = found.trend[click.row if click.column == "0" else click.row + max(0, mature - 1)]
        return f"Converted of those who entered {_when(place, found, point.start)}", {
            "state": "converted",
            "since": point.start,
        }
    return None


def _when(place: Here, found: FunnelResult, start: Any) -> str:
    day = place.write.day(start)
    return f"on {day}" if found.interval == "day" else f"in the {found.interval} of {day}"
