r"""The command of reports: what the pages show, as a table or as JSON.

A step or an event is a name, or several with | between them: --step signup --step "trial_started|purchase", or * for
any. Conditions are like plan=pro|team, plan!=free, amount>=10, url~/pricing or plan? (set); 2:plan=pro is for the second
step or event alone. A backslash before such a sign takes its meaning: "a\|b" is one name. A period is half-open: --to is
not in it.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from typing import Annotated, Any, Literal, TypeVar, get_args
from uuid import UUID
from zoneinfo import ZoneInfo

import numpy as np
import orjson
import typer
from numpy.typing import NDArray
from sqlmodel import Session

from gdp_core import clock, reports
from gdp_core.accounts import workspaces
from gdp_core.analytics import overlap as overlaps
from gdp_core.analytics import revenue as revenue_report
from gdp_core.analytics.activation import SIGNUP, Activating, Activation, Criterion, activating
from gdp_core.analytics.beginnings import Known, Occurrence
from gdp_core.analytics.breakdown import Breakdown
from gdp_core.analytics.calendar import Interval
from gdp_core.analytics.churn import CELLS, Churn, Pay, Use, core_of
from gdp_core.analytics.churn import churn as churn_report
from gdp_core.analytics.cohort_worth import WorthResult, cohort_worth
from gdp_core.analytics.counting import unheard
from gdp_core.analytics.customers import average_days, read_stages, table_json
from gdp_core.analytics.engagement_churn import EngagementChurn
from gdp_core.analytics.funnel.question import (
    Exclusion,
    FactorQuestion,
    FunnelQuestion,
    Order,
    Prefer,
    Step,
)
from gdp_core.analytics.funnel.report import funnel as funnel_report
from gdp_core.analytics.lifecycle import Lifecycle
from gdp_core.analytics.lifecycle import lifecycle as lifecycle_report
from gdp_core.analytics.ltv import Birth
from gdp_core.analytics.measures import left_out
from gdp_core.analytics.overlap import Overlap
from gdp_core.analytics.payments import read_currencies
from gdp_core.analytics.retention import Mode, Retention, parse_bracket
from gdp_core.analytics.retention import retention as retention_report
from gdp_core.analytics.scope import Scope, in_reach
from gdp_core.analytics.stickiness import Stickiness
from gdp_core.analytics.stickiness import stickiness as stickiness_report
from gdp_core.analytics.trends import Measure, Trend
from gdp_core.analytics.trends import trend as trend_report
from gdp_core.analytics.window import Window
from gdp_core.analytics.workspace import read_workspace
from gdp_core.errors import InvalidInput
from gdp_core.lake.process import lake
from gdp_core.runtime import database
from gdp_core.segments import grouping, keeping
from gdp_core.settings import settings
from gdp_core.timeline import following
from gdp_core.timeline.arrays import Timeline
from gdp_core.timeline.matching import Condition, Match, people
from gdp_core.timeline.store import Store
from jobs import terminal
from jobs.calling import Questions
from jobs.session import connected
from jobs.terminal import note, result

app = typer.Typer(
    cls=Questions,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help=__doc__,
)

_DAYS = 30
_ALONE = re.compile(r"(?P<number>[0-9]{1,2}):(?P<condition>.+)", re.DOTALL)
R = TypeVar("R")

WorkspaceOption = Annotated[str, typer.Option("--workspace", "-w", metavar="SLUG", help="The workspace's short name.")]
FromOption = Annotated[str, typer.Option("--from", metavar="DAY", help="First day, like 2026-01-01; 30 days ago else.")]
ToOption = Annotated[str, typer.Option("--to", metavar="DAY", help="The day after the last one; tomorrow else.")]
WhereOption = Annotated[
    list[str] | None, typer.Option("--where", metavar="COND", help="Only events for which this holds. Several: all do.")
]
EachWhereOption = Annotated[
    list[str] | None,
    typer.Option("--where", metavar="[N:]COND", help="Only events for which this holds; N: of the Nth alone."),
]
PeopleOption = Annotated[
    list[str] | None,
    typer.Option(
        "--people",
        metavar="COND|in:ID",
        help="Only people like stage=active, or in a segment or saved list, by its id.",
    ),
]
BreakdownOption = Annotated[
    str,
    typer.Option("--breakdown", metavar="FIELD", help="Split by a field of events, or of people: person.plan_name."),
]
TopOption = Annotated[int, typer.Option("--top", help="How many values of the breakdown get a line of their own.")]
CompareOption = Annotated[str, typer.Option("--compare", metavar="previous|year|none", help="Which earlier period.")]
IntervalOption = Annotated[str, typer.Option("--interval", metavar="day|week|month", help="Of the time axis.")]
StartOption = Annotated[str, typer.Option("--start", metavar="EVENT", help="What begins it; any event else.")]
KnownOption = Annotated[
    str, typer.Option("--known", metavar="FIELD", help="Or an instant of the person, such as signup_at.")
]
ReturnOption = Annotated[str, typer.Option("--return", metavar="EVENT", help="What counts as coming back.")]
StartWhereOption = Annotated[
    list[str] | None, typer.Option("--start-where", metavar="COND", help="Only starts for which this holds.")
]
ReturnWhereOption = Annotated[
    list[str] | None, typer.Option("--return-where", metavar="COND", help="Only returns for which this holds.")
]
EverythingOption = Annotated[bool, typer.Option("--everything", help="What machines did counts, too.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Everything, as JSON on standard output.")]


@dataclass(frozen=True, slots=True)
class _Asked:
    """What every report is asked: where, when, of whom."""

    workspace: str
    since: str
    until: str
    compare: str = "none"
    people: tuple[str, ...] = ()


@app.command()
def funnel(
    workspace: WorkspaceOption,
    step: Annotated[list[str], typer.Option("--step", metavar="EVENT", help="A step; give at least two, in order.")],
    window: Annotated[str, typer.Option(metavar="TIME", help="From the first step to the last: 1h, 14d, 1mo.")] = "14d",
    order: Annotated[str, typer.Option(metavar="ordered|strict|any", help="How steps must follow.")] = "ordered",
    optional: Annotated[list[int] | None, typer.Option(metavar="N", help="Step N may be left out.")] = None,
    exclude: Annotated[
        list[str] | None, typer.Option(metavar="N:EVENT", help="EVENT between step N and the next ends an attempt.")
    ] = None,
    exclude_where: Annotated[
        list[str] | None,
        typer.Option(metavar="[N:]COND", help="An excluded event is only one for which this holds; N: the Nth alone."),
    ] = None,
    prefer: Annotated[
        str, typer.Option(metavar="earliest|shortest", help="Of attempts that got equally far.")
    ] = "earliest",
    touch: Annotated[
        str, typer.Option(metavar="first|last|N", help="Whose event's value a breakdown takes.")
    ] = "first",
    factor: Annotated[list[str] | None, typer.Option(metavar="FIELD", help="Compare the dropped by a trait.")] = None,
    factors: Annotated[bool, typer.Option("--factors", help="Compare the dropped by what they did before.")] = False,
    lookback: Annotated[
        str, typer.Option(metavar="TIME", help="How long before: 7d, 36h.")
    ] = FactorQuestion().lookback.text,
    everything: EverythingOption = False,
    breakdown: BreakdownOption = "",
    top: TopOption = 10,
    where: EachWhereOption = None,
    of: PeopleOption = None,
    since: FromOption = "",
    until: ToOption = "",
    compare: CompareOption = "none",
    interval: IntervalOption = "",
    as_json: JsonOption = False,
) -> None:
    """How many people take these steps within a time."""
    left_out = set(optional or ())
    asked = FunnelQuestion(
        steps=tuple(Step(match, number in left_out) for number, match in enumerate(_matches(step, where), 1)),
        window=Window.parse(window),
        order=_choice("--order", order, Order),
        exclusions=_exclusions(exclude or (), exclude_where),
        prefer=_choice("--prefer", prefer, Prefer),
        breakdown=Breakdown(breakdown, top) if breakdown else None,
        touch=int(touch) if touch.isdecimal() else _choice("--touch", touch, Literal["first", "last"]),
        interval=_choice("--interval", interval, Interval) if interval else None,
        factors=FactorQuestion(tuple(factor or ()), Window.parse(lookback)) if factor or factors else None,
        everything=everything,
    )
    found = _of_timeline(_Asked(workspace, since, until, compare, tuple(of or ())), asked, funnel_report)
    if as_json:
        _print_json(found.to_json())
        return
    lines = [(group.label, tally) for group, tally in found.groups] or [("", found.total)]
    for label, tally in lines:
        terminal.table(
            ((label or "Step"), "People", "Of the step before", "Of all", "Dropped", "Open", "Median time"),
            [
                (
                    one.name,
                    f"{one.people:,}",
                    _share(one.rate),
                    _share(one.overall),
                    f"{one.dropped:,}",
                    f"{one.open:,}",
                    _lasting(one.time.median) if one.time else "-",
                )
                for one in tally.steps
            ],
        )
    _remarks(found.notes, found.complete_until, asked.definition)


@app.command()
def trend(
    workspace: WorkspaceOption,
    event: Annotated[
        list[str] | None, typer.Option("--event", metavar="EVENT", help="A series; any event else.")
    ] = None,
    measure: Annotated[
        str, typer.Option(metavar="events|people|sum|average|minimum|maximum|median", help="What is counted.")
    ] = "events",
    field: Annotated[str, typer.Option(metavar="FIELD", help="What is added up: value_micros, or a property.")] = "",
    currency: Annotated[str, typer.Option(metavar="CODE", help="Of money; the workspace's else.")] = "",
    cumulative: Annotated[bool, typer.Option("--cumulative", help="Each interval with all before it.")] = False,
    everything: EverythingOption = False,
    breakdown: BreakdownOption = "",
    top: TopOption = 10,
    where: EachWhereOption = None,
    of: PeopleOption = None,
    since: FromOption = "",
    until: ToOption = "",
    compare: CompareOption = "none",
    interval: IntervalOption = "day",
    as_json: JsonOption = False,
) -> None:
    """Events, people or a sum over time."""
    asked = Trend(
        series=_matches(event or ("",), where),
        measure=_choice("--measure", measure, Measure),
        field=field or None,
        currency=currency or None,
        interval=_choice("--interval", interval, Interval),
        breakdown=Breakdown(breakdown, top) if breakdown else None,
        cumulative=cumulative,
        everything=everything,
    )
    found = _of_timeline(_Asked(workspace, since, until, compare, tuple(of or ())), asked, trend_report)
    if as_json:
        _print_json(found)
        return
    names = [f"{asked.series[line.series].title}: {line.group.label}" for line in found.lines]
    terminal.table(
        ("", *names),
        [
            (point.start.isoformat(), *(_number(line.values[place]) for line in found.lines))
            for place, point in enumerate(found.points)
        ]
        + [("total", *(_number(line.total) for line in found.lines))],
    )
    _remarks((*found.notes, left_out(found.other_currencies)), found.complete_until)


@app.command()
def retention(
    workspace: WorkspaceOption,
    start: StartOption = "",
    known: KnownOption = "",
    returning: ReturnOption = "",
    occurrence: Annotated[
        str, typer.Option(metavar="first_ever|first_in_period|recurring", help="Which start.")
    ] = "first_ever",
    interval: IntervalOption = "week",
    unit: Annotated[str, typer.Option(metavar="day|week|month", help="Of the columns, if not that of the rows.")] = "",
    mode: Annotated[str, typer.Option(metavar="on|on_or_after|bracket", help="When a return counts.")] = "on",
    bracket: Annotated[
        list[str] | None, typer.Option(metavar="N-M", help="A column of the bracket mode: 1-7, 8 or 31+.")
    ] = None,
    rolling: Annotated[
        bool, typer.Option("--rolling", help="Count from the start itself, not by the calendar.")
    ] = False,
    intervals: Annotated[int, typer.Option(help="How many columns after the first.")] = 12,
    value: Annotated[str, typer.Option(metavar="FIELD", help="Add up what returns brought: value_micros.")] = "",
    currency: Annotated[str, typer.Option(metavar="CODE", help="Of the money; the workspace's else.")] = "",
    metrics: Annotated[
        bool, typer.Option("--metrics", help="Of each cohort retention_d7, retention_d30, ltv and arr instead.")
    ] = False,
    breakdown: BreakdownOption = "",
    top: TopOption = 10,
    where: WhereOption = None,
    start_where: StartWhereOption = None,
    return_where: ReturnWhereOption = None,
    everything: EverythingOption = False,
    of: PeopleOption = None,
    since: FromOption = "",
    until: ToOption = "",
    as_json: JsonOption = False,
) -> None:
    """Of those who started, how many came back in each interval after."""
    conditions = _conditions(where)
    asked = Retention(
        start=_start(start, known, (*conditions, *_conditions(start_where))),
        returning=Match.parse(returning, (*conditions, *_conditions(return_where))),
        occurrence=_choice("--occurrence", occurrence, Occurrence),
        cohort=_choice("--interval", interval, Interval),
        unit=_choice("--unit", unit, Interval) if unit else None,
        mode=_choice("--mode", mode, Mode),
        rolling=rolling,
        intervals=intervals,
        brackets=tuple(map(parse_bracket, bracket or ())),
        value=value or None,
        currency=currency or None,
        breakdown=Breakdown(breakdown, top) if breakdown else None,
        everything=everything,
    )
    where_and_when = _Asked(workspace, since, until, people=tuple(of or ()))
    if metrics:
        _metrics(_of_timeline(where_and_when, asked, cohort_worth), as_json=as_json)
        return
    found = _of_timeline(where_and_when, asked, retention_report)
    if as_json:
        _print_json(found)
        return
    for triangle in found.triangles:
        terminal.table(
            (triangle.group.label, "People", *(str(number) for number in range(len(found.columns)))),
            [
                (
                    cohort.start.isoformat(),
                    f"{cohort.people:,}",
                    *(
                        "" if state == "ahead" else f"{n:,}"
                        for n, state in zip(cohort.returned, cohort.states, strict=True)
                    ),
                )
                for cohort in triangle.cohorts
            ],
        )
    _remarks((*found.notes, left_out(found.other_currencies)), found.complete_until)


def _metrics(found: WorthResult, *, as_json: bool) -> None:
    if as_json:
        _print_json(found)
        return
    terminal.table(
        ("Cohort", "People", "retention_d7", "retention_d30", f"ltv, {found.currency}", f"arr, {found.currency}"),
        [
            (
                each.cohort.isoformat(),
                f"{each.people:,}",
                _share(each.retention_d7),
                _share(each.retention_d30),
                "-" if each.ltv is None else f"{each.ltv / 1_000_000:,.2f}",
                f"{each.arr / 1_000_000:,.2f}",
            )
            for each in found.cohorts
        ],
    )
    _remarks((), found.complete_until)


@app.command()
def lifecycle(
    workspace: WorkspaceOption,
    event: Annotated[str, typer.Option("--event", metavar="EVENT", help="What counts as active; any event else.")] = "",
    where: WhereOption = None,
    everything: EverythingOption = False,
    of: PeopleOption = None,
    since: FromOption = "",
    until: ToOption = "",
    interval: IntervalOption = "week",
    as_json: JsonOption = False,
) -> None:
    """New, returning, resurrecting and dormant people in each interval."""
    asked = Lifecycle(Match.parse(event, _conditions(where)), _choice("--interval", interval, Interval), everything)
    found = _of_timeline(_Asked(workspace, since, until, people=tuple(of or ())), asked, lifecycle_report)
    if as_json:
        _print_json(found)
        return
    terminal.table(
        ("", "New", "Returning", "Resurrecting", "Dormant", "Active"),
        [
            (
                point.start.isoformat() + ("" if point.complete else " (running)"),
                *(f"{n:,}" for n in (point.new, point.returning, point.resurrecting, point.dormant, point.active)),
            )
            for point in found.points
        ],
    )
    _remarks(found.notes, found.complete_until)


@app.command()
def stickiness(
    workspace: WorkspaceOption,
    event: Annotated[str, typer.Option("--event", metavar="EVENT", help="What counts as active; any event else.")] = "",
    where: WhereOption = None,
    everything: EverythingOption = False,
    of: PeopleOption = None,
    since: FromOption = "",
    until: ToOption = "",
    interval: IntervalOption = "day",
    as_json: JsonOption = False,
) -> None:
    """In how many intervals people were active, and DAU, WAU and MAU."""
    asked = Stickiness(Match.parse(event, _conditions(where)), _choice("--interval", interval, Interval), everything)
    found = _of_timeline(_Asked(workspace, since, until, people=tuple(of or ())), asked, stickiness_report)
    if as_json:
        _print_json(found)
        return
    terminal.table((f"{interval}s active", "People"), [(n, f"{count:,}") for n, count in enumerate(found.people, 1)])
    terminal.table(
        ("Day", "DAU", "WAU", "MAU", "DAU/MAU"),
        [
            (day.day.isoformat(), f"{day.daily:,}", f"{day.weekly:,}", f"{day.monthly:,}", _share(day.ratio))
            for day in found.days
        ],
    )
    _remarks(found.notes, found.complete_until)


@app.command()
def activation(
    workspace: WorkspaceOption,
    event: Annotated[
        list[str], typer.Option("--event", metavar="EVENT[:N]", help="A criterion, at least N times; all are needed.")
    ],
    days: Annotated[int, typer.Option(help="Within so many times 24 h of the start.")] = 7,
    start: StartOption = "",
    known: KnownOption = "",
    returning: ReturnOption = "",
    back_within: Annotated[int, typer.Option(help="Back in so many times 24 h after that time.")] = 30,
    times: Annotated[list[int] | None, typer.Option(metavar="N", help="Rank events done at least N times.")] = None,
    support: Annotated[int, typer.Option(help="How many people who did, and who did not, are enough to compare.")] = 30,
    where: EachWhereOption = None,
    start_where: StartWhereOption = None,
    return_where: ReturnWhereOption = None,
    everything: EverythingOption = False,
    of: PeopleOption = None,
    since: FromOption = "",
    until: ToOption = "",
    interval: IntervalOption = "week",
    as_json: JsonOption = False,
) -> None:
    """Who met the criteria soon after they started, which is signing up else, and which early events go with coming back."""
    names, needed = zip(*map(_repeated, event), strict=True)
    asked = Activating(
        Activation(
            criteria=tuple(map(Criterion, _matches(names, where), needed)),
            start=_start(start, known, _conditions(start_where)) if start or known else SIGNUP,
            days=days,
            interval=_choice("--interval", interval, Interval),
            everything=everything,
        ),
        Match.parse(returning, _conditions(return_where)),
        back_within,
        tuple(times or (1, 2, 3)),
        support,
    )
    found = _of_timeline(_Asked(workspace, since, until, people=tuple(of or ())), asked, activating)
    if as_json:
        _print_json(found)
        return
    rate, ranking = found.activation, found.candidates
    terminal.table(
        ("Started", "People", "Mature", "Activated", "Rate"),
        [
            (
                "total" if point is rate.total else point.start.isoformat(),
                *(f"{n:,}" for n in (point.started, point.mature, point.activated)),
                _share(point.rate),
            )
            for point in (*rate.points, rate.total)
        ],
    )
    terminal.table(
        ("Event", "Times", "Did it", "Of them back", "Of the others", "Score"),
        [
            (
                one.name,
                one.times,
                f"{one.did:,}",
                _share(one.did_back / one.did),
                _share(one.others_back / one.others),
                f"{one.score:.4f}",
            )
            for one in ranking.candidates
        ],
    )
    _remarks((*rate.notes, ranking.label), rate.complete_until)


@app.command()
def customers(workspace: WorkspaceOption, as_json: JsonOption = False) -> None:
    """People by stage and first-touch source, now: how many, of the last 30 days, and days to subscription."""
    now = clock.now()
    with connected():
        workspace_id = workspaces.find(database("gdp_gate"), workspace)
        with database("gdp_web").transaction(workspace_id, read_only=True, timeout=120) as session:
            cells = read_stages(session, now)
    if as_json:
        _print_json(table_json(cells, now))
        return
    terminal.table(
        ("Stage", "Source", "People", "Last 30 days", "Days to subscription"),
        [
            (
                cell.stage or "-",
                cell.source or "-",
                f"{cell.people:,}",
                f"{cell.last_30_days:,}",
                "-" if (days := average_days([cell])) is None else f"{days:.1f}",
            )
            for cell in cells
        ],
    )


@app.command()
def churn(
    workspace: WorkspaceOption,
    event: Annotated[
        str, typer.Option("--event", metavar="EVENT", help="What counts as use; the events of the role core else.")
    ] = "",
    any_event: Annotated[bool, typer.Option("--any-event", help="Anything people do counts as use.")] = False,
    quiet: Annotated[str, typer.Option(metavar="TIME", help="How long nothing must have happened.")] = "30d",
    baseline: Annotated[str, typer.Option(metavar="TIME", help="In which time before they had to use it.")] = "60d",
    where: WhereOption = None,
    of: PeopleOption = None,
    since: FromOption = "",
    until: ToOption = "",
    interval: IntervalOption = "month",
    as_json: JsonOption = False,
) -> None:
    """Who fell silent, who stopped paying, both side by side, why, and how good the early warning is."""

    def report(session: Session, timeline: Timeline, scope: Scope, within: NDArray[np.bool_] | None) -> Churn:
        core = Match.parse(event) if event or any_event else core_of(session)
        core = replace(core, conditions=(*core.conditions, *_conditions(where)))
        asked = EngagementChurn(
            core, Window.parse(quiet), Window.parse(baseline), _choice("--interval", interval, Interval)
        )
        return churn_report(session, timeline, scope, asked, within=within)

    found: Churn = _of_both(_Asked(workspace, since, until, people=tuple(of or ())), report)
    if as_json:
        _print_json(found.to_json())
        return
    terminal.table(
        ("Use", "Were active", "Fell silent", "Rate"),
        [
            (
                point.start.isoformat() + ("" if point.complete else " (running)"),
                f"{point.active:,}",
                f"{point.churned:,}",
                _share(point.rate),
            )
            for point in found.engagement.points
        ],
    )
    terminal.table(
        ("Payment", "Customers", "Lost", "Rate", "Voluntary", "Involuntary"),
        [
            (
                period.start.isoformat() + (" (cut)" if period.cut else ""),
                *(f"{n:,}" for n in (period.customers, period.lost)),
                _share(period.rate),
                *(f"{n:,}" for n in (period.voluntary, period.involuntary)),
            )
            for period in found.subscription.periods
        ],
    )
    if found.crossed:
        terminal.table(
            (found.crossed.start.isoformat(), "Stopped paying", "Still pay", "Did not pay"),
            [
                (
                    title,
                    *(f"{found.crossed.people(use, pay):,}" if (use, pay) in CELLS else "-" for pay in get_args(Pay)),
                )
                for use, title in zip(get_args(Use), ("Fell silent", "Still active", "Was not active"), strict=True)
            ],
        )
    if found.warned:
        note(found.warned.outcome.sentence)
    _remarks(found.engagement.notes, found.engagement.complete_until)


@app.command()
def revenue(
    workspace: WorkspaceOption,
    currency: Annotated[str, typer.Option(metavar="CODE", help="Of this currency alone; the workspace's else.")] = "",
    view: Annotated[
        str, typer.Option(metavar="ledger|net", help="Every movement, or each customer's net one.")
    ] = "ledger",
    margin: Annotated[
        float | None, typer.Option(metavar="SHARE", help="Gross margin for predicted lifetime value, like 0.8.")
    ] = None,
    birth: Annotated[
        str, typer.Option(metavar="first_payment|signup", help="What begins a cohort of realised lifetime value.")
    ] = "first_payment",
    of: PeopleOption = None,
    since: FromOption = "",
    until: ToOption = "",
    compare: CompareOption = "none",
    interval: IntervalOption = "month",
    as_json: JsonOption = False,
) -> None:
    """MRR and what moved it."""
    asked = revenue_report.Asked(
        interval=_choice("--interval", interval, Interval),
        view=_choice("--view", view, revenue_report.View),
        currency=currency or None,
        margin=margin,
        birth=_choice("--birth", birth, Birth),
    )

    def told(session: Session, scope: Scope, question: Any, *, within: list[UUID] | None) -> Any:
        if asked.currency and asked.currency not in read_currencies(session):
            note(f"Nobody ever paid in {asked.currency}.")
        return revenue_report.report(session, scope, question, within=within)

    found = _of_postgres(_Asked(workspace, since, until, compare, tuple(of or ())), asked, told)
    if as_json:
        _print_json(found)
        return
    parts = ("start", "new", "reactivation", "expansion", "contraction", "churn", "fx", "end")
    terminal.table(
        (f"MRR, {found.currency}", *(part.capitalize() for part in parts)),
        [
            (
                "total" if period is found.total else period.start.isoformat(),
                *(f"{getattr(period.flow, part) / 1_000_000:,.2f}" for part in parts),
            )
            for period in (*found.periods, found.total)
        ],
    )


@app.command()
def overlap(
    workspace: WorkspaceOption,
    lists: Annotated[
        list[str] | None, typer.Option("--list", metavar="NAME", help="A saved list of people; several: each.")
    ] = None,
    segments: Annotated[
        list[str] | None, typer.Option("--segment", metavar="NAME", help="A segment; together two to five.")
    ] = None,
    of: PeopleOption = None,
    as_json: JsonOption = False,
) -> None:
    """How many people are in several lists and segments at once."""

    def compared(session: Session, scope: Scope, _: None, *, within: list[UUID] | None) -> Overlap:
        chosen = [reports.find_list(session, name).id for name in lists or ()]
        chosen += [keeping.find_segment(session, name).id for name in segments or ()]
        return overlaps.report(session, scope, overlaps.Asked(tuple(chosen)), within=within)

    found = _of_postgres(_Asked(workspace, "", "", people=tuple(of or ())), None, compared)
    if as_json:
        _print_json(found)
        return
    terminal.table(
        ("In all of, and in no other", "People", "Of the union"),
        [(", ".join(region.sets), f"{region.people:,}", _share(region.of_union)) for region in found.regions],
    )
    terminal.table(
        ("Two of them", "", "In both", "Of the first", "Of the second", "Of both together"),
        [
            (pair.a, pair.b, f"{pair.people:,}", _share(pair.of_a), _share(pair.of_b), _share(pair.of_union))
            for pair in found.pairs
        ],
    )


# ----------------------------------------------------------------------------------------------------- questions


def _matches(events: Sequence[str], where: Iterable[str] | None, option: str = "--where") -> tuple[Match, ...]:
    """Each event with the conditions for all of them, and those for it alone."""
    conditions: list[list[Condition]] = [[] for _ in events]
    for text in where or ():
        alone = _ALONE.fullmatch(text)
        if alone and not 1 <= int(alone["number"]) <= len(events):
            raise InvalidInput(f"{option} {text}: there is no event {alone['number']}; they are 1-{len(events)}.")
        condition = Condition.parse(alone["condition"] if alone else text)
        for each in [conditions[int(alone["number"]) - 1]] if alone else conditions:
            each.append(condition)
    return tuple(Match.parse(names, tuple(each)) for names, each in zip(events, conditions, strict=True))


def _conditions(texts: Iterable[str] | None) -> tuple[Condition, ...]:
    return tuple(map(Condition.parse, texts or ()))


def _start(names: str, known: str, conditions: tuple[Condition, ...]) -> Match | Known:
    return Known(known) if known else Match.parse(names, conditions)


def _repeated(text: str) -> tuple[str, int]:
    """An event, and how often it has to happen."""
    names, colon, times = text.rpartition(":")
    return (names, int(times)) if colon and times.isdecimal() else (text, 1)


def _exclusions(texts: Sequence[str], where: Iterable[str] | None) -> tuple[Exclusion, ...]:
    if where and not texts:
        raise InvalidInput("--exclude-where is about excluded events: give one with --exclude.")
    parts = [text.partition(":") for text in texts]
    for text, (after, _, names) in zip(texts, parts, strict=True):
        if not after.isdecimal() or not names:
            raise InvalidInput(
                f"{text!r} is no exclusion; write 1:EVENT for one between the first step and the second."
            )
    found = _matches([names for _, _, names in parts], where, "--exclude-where")
    return tuple(Exclusion(match, int(after)) for match, (after, _, _) in zip(found, parts, strict=True))


def _choice(option: str, given: str, kind: Any) -> Any:
    """The text, if it is one of a Literal's."""
    if given not in get_args(kind):
        raise InvalidInput(f"{option} is one of {', '.join(get_args(kind))}, not {given[:40]!r}.")
    return given


# ------------------------------------------------------------------------------------------------------- answers


def _of_timeline(asked: _Asked, question: Any, report: Callable[..., Any]) -> Any:
    """The answer of a report on the timeline, which is brought up to date first."""
    return _of_both(asked, lambda _, timeline, scope, within: report(timeline, scope, question, within=within))


def _of_both(asked: _Asked, report: Callable[[Session, Timeline, Scope, NDArray[np.bool_] | None], R]) -> R:
    """The answer of a report on the timeline, which is brought up to date first, and on Postgres."""
    with connected():
        workspace_id, now = workspaces.find(database("gdp_gate"), asked.workspace), clock.now()
        found = _timeline(workspace_id, now)
        with database("gdp_web").transaction(workspace_id, read_only=True, timeout=120) as session:
            timeline = _grouped(session, found)
            return report(session, timeline, _scope(session, asked, now), _within(timeline, asked.people))


def _of_postgres(asked: _Asked, question: Any, report: Callable[..., Any]) -> Any:
    with connected():
        workspace_id, now = workspaces.find(database("gdp_gate"), asked.workspace), clock.now()
        timeline = _timeline(workspace_id, now) if asked.people else None
        with database("gdp_web").transaction(workspace_id, read_only=True, timeout=120) as session:
            within = None
            if timeline is not None:
                timeline = _grouped(session, timeline)
                chosen = timeline.numbers[_within(timeline, asked.people)]
                within = reports.persons_of(session, chosen.tolist())
            return report(session, _scope(session, asked, now), question, within=within)


def _timeline(workspace_id: UUID, now: datetime) -> Timeline:
    """The workspace's timeline, brought up to date."""
    folder = settings().timeline_folder
    following.follow(lake(), database("gdp_worker"), folder, workspace_id, now)
    return Store(folder, workspace_id).open(lake())


def _grouped(session: Session, timeline: Timeline) -> Timeline:
    """People have a field for each segment and saved list."""
    zone = read_workspace(session).timezone
    return grouping.grouped(
        timeline, lambda key: grouping.read_group(session, key, timezone=zone).belonging(timeline, timeline.watermark)
    )


def _scope(session: Session, asked: _Asked, now: datetime) -> Scope:
    workspace = read_workspace(session)
    tomorrow = now.astimezone(ZoneInfo(workspace.timezone)).date() + timedelta(days=1)
    end = _day("--to", asked.until) if asked.until else tomorrow
    earlier = date.fromordinal(max(1, end.toordinal() - _DAYS))
    start = _day("--from", asked.since) if asked.since else earlier
    if start >= end:
        raise InvalidInput(f"The period ends before it begins: --from {start} --to {end}, and --to is not in it.")
    if not in_reach(start, end):
        raise InvalidInput(f"No event is so early or so late: choose days between 1990 and 9000, not {start} to {end}.")
    compare = _choice("--compare", asked.compare, Literal["previous", "year", "none"])
    return Scope(workspace.id, workspace.timezone, workspace.base_currency, start, end, now, compare)


def _day(option: str, text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise InvalidInput(f"{option} is a day like 2026-01-31, not {text[:40]!r}.") from None


def _within(timeline: Timeline, texts: Iterable[str]) -> NDArray[np.bool_] | None:
    """Of whom the report counts; None for everybody."""
    if not texts:
        return None
    lists = [text for text in texts if text.startswith(grouping.PREFIX)]
    conditions = [text for text in texts if text not in lists]
    of = tuple(Condition.parse(f"person.{text.removeprefix('person.')}") for text in conditions)
    for sentence in unheard(timeline, [Match((), of)]):
        note(sentence)
    chosen = people(timeline, of)
    for key in filter(None, map(grouping.key_of, lists)):
        chosen &= timeline.columns.person(f"{grouping.PREFIX}{key}").codes == 0
    return chosen


# ------------------------------------------------------------------------------------------------------- telling


def _print_json(found: Any) -> None:
    """Dataclasses as objects, days and instants as ISO text, amounts in micros; keys as the result's fields."""
    result(orjson.dumps(found, option=orjson.OPT_INDENT_2 | orjson.OPT_NON_STR_KEYS, default=_plain).decode())


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, set | frozenset):
        return sorted(value)
    return dict(value)


def _remarks(notes: Iterable[str], complete_until: datetime, definition: str = "") -> None:
    for text in filter(None, notes):
        note(text)
    if definition:
        note(definition)
    note(f"Complete until {complete_until:%Y-%m-%d %H:%M:%S} UTC.")


def _share(rate: float | None) -> str:
    return "-" if rate is None else f"{rate:.1%}"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:,.10g}" if value != int(value) else f"{int(value):,}"


def _lasting(seconds: float) -> str:
    for unit, size in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.0f} s"
