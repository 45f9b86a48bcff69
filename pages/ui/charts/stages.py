"""A person's stages as one bar from the first to now."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import plotly.graph_objects as go

from gdp_core.analytics.profile import StageStep
from pages.ui.charts.style import styled
from pages.ui.format import Format, label

# Dark enough for a white name on them.
_COLOURS = {
    "lead": "#64748B",
    "marketing": "#2563EB",
    "trial": "#7C3AED",
    "active": "#047857",
    "churned": "#DC2626",
    "dormant": "#B45309",
}
_DAY = 86_400  # seconds
_SHORTEST = timedelta(minutes=1)  # shorter stays are steps on the way
_TOLD = 4  # stays before the last
_LETTER = 0.01  # of the whole bar, that a letter of a name takes on the narrowest screen


def stage_history(steps: Sequence[StageStep], now: datetime, write: Format) -> go.Figure:
    """One segment for each stay in a stage, named where there is room; hovering tells the days."""
    zone = ZoneInfo(write.timezone)
    ends = [*(step.at for step in steps[1:]), now]
    whole = max((now - steps[0].at).total_seconds(), 1.0)
    figure = go.Figure()
    for step, end in zip(steps, ends, strict=True):
        seconds = (end - step.at).total_seconds()
        name = label(step.stage)
        figure.add_bar(
            y=[""],
            x=[seconds * 1000],
            base=[step.at.astimezone(zone).replace(tzinfo=None)],
            orientation="h",
            marker={"color": _COLOURS.get(step.stage or "", "#64748B"), "line": {"width": 0}, "cornerradius": 4},
            text=name if seconds / whole >= (len(name) + 1) * _LETTER else "",
            textposition="inside",
            insidetextanchor="middle",
            textfont={"color": "white", "size": 12},
            constraintext="none",
            hovertemplate=f"{name}<br>{_from_to(step.at, end, write)}<extra></extra>",
        )
    figure.update_layout(barmode="overlay")
    figure = styled(figure, height=92, legend=False)
    span = [at.astimezone(zone).replace(tzinfo=None) for at in (steps[0].at, now)]
    figure.update_xaxes(type="date", nticks=8, tickformat=_ticks(whole), range=span)
    figure.update_layout(hovermode="closest", bargap=0.1, margin={"l": 2, "r": 2, "t": 4, "b": 26})
    figure.update_yaxes(showgrid=False, showticklabels=False, zeroline=False)
    return figure


def _from_to(start: datetime, end: datetime, write: Format) -> str:
    """Days of weeks, minutes of hours."""
    named = write.instant if (end - start).total_seconds() < 8 * _DAY else write.date_of
    return f"{named(start)} – {named(end)}"


def stage_path(steps: Sequence[StageStep], now: datetime, write: Format) -> str:
    """The same in words, of the last few: a stay of hours within a year is too thin to see."""
    ends = [step.at for step in steps[1:]]
    stays = [
        f"{label(step.stage)} for {write.span(end - step.at)}"
        for step, end in zip(steps, ends, strict=False)
        if end - step.at >= _SHORTEST
    ]
    last = steps[-1]
    since = write.instant(last.at) if now - last.at < timedelta(days=8) else write.date_of(last.at)
    before = ["…"] * (len(stays) > _TOLD) + stays[-_TOLD:]
    return " → ".join([*before, f"{label(last.stage)} since {since}"])


def _ticks(seconds: float) -> str:
    """Months of years, days of months, hours of days."""
    if seconds > 90 * _DAY:
        return "%b %Y"
    return "%-d %b" if seconds > 8 * _DAY else "%-d %b %H:%M"
