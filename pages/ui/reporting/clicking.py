"""Clicks on the numbers of a report: a bar of a chart, a cell of a table, a headline. One at a time, and only in the run it causes.

A chart is drawn anew after a click, so that the same bar can be clicked again. A page takes the click at its top, and
says what was meant after it has counted.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import plotly.graph_objects as go
import streamlit as st

from pages.ui import layout, state
from pages.ui.charts.style import CONFIG
from pages.ui.escape import safe_text

_NOTHING = ("", "0", "–")


@dataclass(frozen=True, slots=True)
class Click:
    """What was clicked: `of` names the chart or table; a chart's `column` is the number of its trace as text."""

    of: str
    row: int
    column: str


_CLICK: state.Slot[Click | None] = state.Slot("report.click", None)


def taken() -> Click | None:
    """The click that caused this run, once."""
    return _CLICK.take()


def metric(click: Click, name: str, value: str, **more: Any) -> None:
    """A headline number as `layout.metric` shows it, with a button that opens its people: those that `click` means."""
    if value in _NOTHING:
        layout.metric(name, value, **more)
        return
    with st.container(
        border=True, height="stretch", horizontal=True, wrap=False, vertical_alignment="center", gap=None
    ):
        layout.metric(name, value, border=False, **more)
        st.button(
            "",
            icon=":material/group:",
            type="tertiary",
            help="See who",
            width=32,
            key=f"{click.of}.{click.row}.{click.column}.card",
            on_click=partial(_CLICK.set, click),
        )


def chart(figure: go.Figure, name: str, *, alt: str) -> None:
    """A figure whose bars and points can be clicked. `alt` says in one sentence what it shows."""
    turn = state.Slot(f"report.turn.{name}", 0).get()
    key = f"{name}.{turn}"
    st.plotly_chart(
        figure,
        config=CONFIG,
        alt=safe_text(alt, longest=500),
        key=key,
        on_select=partial(_chosen, name, key, turn),
        selection_mode="points",
    )


def _chosen(name: str, key: str, turn: int) -> None:
    found = state.held(key)
    points = found["selection"]["points"] if found else []
    if points:
        _CLICK.set(Click(name, int(points[0]["point_index"]), str(points[0]["curve_number"])))
        state.Slot(f"report.turn.{name}", 0).set(turn + 1)


def table(
    columns: Mapping[str, Sequence[Any]],
    name: str,
    *,
    alt: str,
    numbers: Sequence[str] = (),
    config: Mapping[str, Any] | None = None,
    height: Any = "content",
) -> None:
    """A table; each cell of the columns `numbers`, which hold text, is a button that opens its people."""
    made = dict(config or {})
    for column in numbers:
        key = f"{name}.{column}"
        made[column] = st.column_config.ButtonColumn(
            type="tertiary", alignment="right", key=key, on_click=partial(_pressed, name, key, column)
        )
    layout.table(columns, alt=alt, config=made, height=height, key=f"{name}.table")


def _pressed(name: str, key: str, column: str) -> None:
    hit = state.clicked(key)
    if hit and hit[1] not in _NOTHING:
        _CLICK.set(Click(name, hit[0], column))
