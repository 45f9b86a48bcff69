"""A segment over time: how many people it had, and how many entered and left each day."""

from collections.abc import Sequence
from datetime import date, datetime

import plotly.graph_objects as go

from pages.ui.charts.style import MUTED, SERIES, laid, styled
from pages.ui.format import Format

_HEIGHT = 240


def size(points: Sequence[tuple[datetime, int]], since: datetime, until: datetime, write: Format) -> go.Figure:
    """The number of people in [since, until) as steps: it stays what it was until somebody enters or leaves."""
    figure = go.Figure()
    figure.add_scatter(
        x=[_local(at, write) for at, _ in points],
        y=[people for _, people in points],
        mode="lines+markers",
        marker={"color": SERIES[0], "size": [0] * (len(points) - 1) + [8]},  # a short history is a dot
        cliponaxis=False,
        line={"color": SERIES[0], "width": 2.25, "shape": "hv"},
        text=[f"{write.instant(at)}: {write.number(people)} people" for at, people in points],
        hovertemplate="%{text}<extra></extra>",
    )
    figure = laid(styled(figure, height=_HEIGHT, legend=False), hovermode="closest")
    return laid(
        figure,
        xaxis={
            "type": "date",
            "tickformat": "%-d %b",
            "nticks": 8,
            "range": [_local(since, write), _local(until, write)],
        },
    )


def _local(at: datetime, write: Format) -> datetime:
    return at.astimezone(write.zone).replace(tzinfo=None)


def flow(days: Sequence[tuple[date, int, int]], write: Format) -> go.Figure:
    """Who entered, upwards, and who left, downwards, by local day. Neither is good or bad: some segments are better empty."""
    along = [day for day, _, _ in days]
    figure = go.Figure()
    for name, values, colour, sign in (
        ("Entered", [entered for _, entered, _ in days], SERIES[0], 1),
        ("Left", [left for _, _, left in days], MUTED, -1),
    ):
        figure.add_bar(
            x=along,
            y=[sign * value for value in values],
            name=name,
            marker={"color": colour, "line": {"width": 0}},
            text=[f"{name}: {write.number(value)}" for value in values],
            textposition="none",
            hovertemplate="%{text}<extra></extra>",
        )
    figure = laid(styled(figure, height=_HEIGHT, legend=True), barmode="relative")
    return laid(figure, xaxis={"type": "date", "tickformat": "%-d %b", "nticks": 8}, yaxis={"rangemode": "normal"})
