"""Using against paying on the churn page: who fell silent, who stopped paying, and who did only one of the two."""

from datetime import date
from functools import partial
from typing import Any, get_args

import streamlit as st
from sqlmodel import Session

from gdp_core.analytics.churn import CELLS, Crossed, Pay, Use, crossed, crossed_people
from gdp_core.analytics.engagement_churn import ChurnCell, State
from pages.ui import layout
from pages.ui.charts import churn as charts
from pages.ui.format import UNKNOWN
from pages.ui.reporting import churn, clicking, explaining
from pages.ui.reporting.behind import Behind
from pages.ui.reporting.clicking import Click
from pages.ui.reporting.page import Turn

_USES: dict[Use, str] = {"silent": "Fell silent", "active": "Still active", "away": "Was not active before"}
_PAYS: dict[Pay, str] = {"stopped": "Stopped paying", "paying": "Still pay", "not": "Did not pay"}
_ALL = "All"
_STATES: dict[Use, State] = {"silent": "churned", "active": "kept"}
_HEADLINES: tuple[tuple[str, Use, Pay, str], ...] = (
    ("Silent, and still pay", "silent", "paying", "They may be the next to stop paying."),
    ("Silent, and stopped paying", "silent", "stopped", ""),
    ("Active, and stopped paying", "active", "stopped", "They use it without paying: ask them why."),
    ("Active, and still pay", "active", "paying", ""),
)


def show(turn: Turn) -> Behind | None:
    """The view, and the people of the number that was clicked."""
    found = churn.engagement(turn)
    if not found.points:
        churn.nobody("No interval of this period has begun", "Choose an earlier period.")
        return None
    with layout.card(key="churn-crossed"):
        with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"):
            layout.heading("Using against paying")
            start = churn.chosen_start(turn, found)
        sight, question = turn.sight, turn.question
        told, opened = turn.read(
            (crossed.__module__, crossed.__qualname__, question, start),
            lambda session: crossed(session, sight.timeline, sight.scope, question, start, within=sight.within()),
            partial(_behind, start=start),
            height=400,
        )
        _picture(turn, told)
    return opened


def _picture(turn: Turn, told: Crossed) -> None:
    write = turn.place.write
    uses, pays = get_args(Use), get_args(Pay)
    with layout.numbers():
        for name, use, pay, hint in _HEADLINES:
            click = Click("churn.crossed.table", uses.index(use), _PAYS[pay])
            clicking.metric(click, name, write.number(told.people(use, pay)), help=hint)
    clicking.chart(
        charts.sides(
            [_USES[use] for use in uses],
            [_PAYS[pay] for pay in pays],
            [[told.people(use, pay) for pay in pays] for use in uses],
            [
                [f"{_USES[use]}, {_PAYS[pay].lower()}: {write.number(told.people(use, pay))}" for pay in pays]
                for use in uses
            ],
        ),
        "churn.crossed.chart",
        alt="People by whether they use the product and whether they pay",
    )
    columns: dict[str, list[Any]] = {"Use": [_USES[use] for use in uses]}
    for pay in pays:
        columns[_PAYS[pay]] = [write.number(told.people(use, pay)) if (use, pay) in CELLS else UNKNOWN for use in uses]
    columns[_ALL] = [write.number(told.people(use)) for use in uses]
    clicking.table(
        columns,
        "churn.crossed.table",
        alt="Using against paying with their people",
        numbers=[*_PAYS.values(), _ALL],
        config={"Use": st.column_config.TextColumn(width="medium")},
    )
    layout.note(
        f"The quiet time is {write.instant(told.since)} to {write.instant(told.at)}. Who neither used the product before"
        " nor paid is left out."
    )
    explaining.below(
        turn.place,
        "using against paying",
        {
            "use": [cell.use for cell in told.cells],
            "pay": [cell.pay for cell in told.cells],
            "people": [cell.people for cell in told.cells],
        },
        key="churn-crossed-csv",
    )


def _behind(turn: Turn, session: Session, _: Crossed, click: Click, *, start: date) -> Behind | None:
    if click.of not in ("churn.crossed.chart", "churn.crossed.table"):
        return None
    use = get_args(Use)[click.row]
    by_name: dict[str, Pay | None] = {title: pay for pay, title in _PAYS.items()} | {_ALL: None}
    pay = get_args(Pay)[int(click.column)] if click.of.endswith("chart") else by_name[click.column]
    sight = turn.sight
    people = crossed_people(session, sight.timeline, sight.scope, turn.question, start, use, pay, within=sight.within())
    title = _USES[use] if pay is None else f"{_USES[use]}, {_PAYS[pay].lower()}"
    state = _STATES.get(use) if pay is None else None
    rule = turn.rule(ChurnCell(start, state)) if state else None
    return turn.behind(f"{title} {churn.said(turn, start)}", churn.asks(turn.question), people, rule=rule)
