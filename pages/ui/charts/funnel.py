"""A funnel: its steps as bars with what was lost between them, the time it took, and the groups of a breakdown."""

from collections.abc import Sequence

import plotly.graph_objects as go

from gdp_core.analytics.funnel.report import Bin, StepResult, Tally
from pages.ui.charts.style import FADED, INK, SERIES, laid, plain, styled
from pages.ui.format import Format

REACHED, OPEN, DROPPED = 0, 1, 2
"""The traces of `steps`."""
_ROW = 58  # pixels


def steps(found: Sequence[StepResult], write: Format) -> go.Figure:
    """A bar for each step: who took it, who still may, who stopped before it; at the right what that is in numbers."""
    names = [f"<b>{number}</b>  {plain(step.name, longest=26)}" for number, step in enumerate(found, 1)]
    figure = go.Figure()
    figure.add_bar(
        y=names,
        x=[step.people for step in found],
        orientation="h",
        marker={"line": {"width": 0}},
        hovertemplate="%{x:,} took this step<extra></extra>",
    )
    figure.add_bar(
        y=names,
        x=[step.open for step in found],
        orientation="h",
        marker={
            "color": SERIES[0],
            "opacity": 0.45,
            "line": {"width": 0},
            "pattern": {"shape": "/", "size": 6, "solidity": 0.35},
        },
        hovertemplate="%{x:,} may still take it<extra></extra>",
    )
    figure.add_bar(
        y=names,
        x=[step.dropped for step in found],
        orientation="h",
        marker={"color": FADED, "line": {"width": 0}},
        hovertemplate="%{x:,} stopped before it<extra></extra>",
    )
    numbers = [
        {
            "x": 1,
            "xref": "paper",
            "xanchor": "left",
            "xshift": 12,
            "y": name,
            "align": "left",
            "text": _numbers(step, write, is_first=step is found[0]),
            "font": {"size": 13, "color": INK},
            "showarrow": False,
        }
        for name, step in zip(names, found, strict=True)
    ]
    return laid(
        styled(figure, height=_ROW * len(found) + 12, legend=False),
        barmode="stack",
        annotations=numbers,
        hovermode="closest",
        bargap=0.34,
        margin={"l": 8, "r": 240, "t": 6, "b": 6},
        xaxis={"visible": False},
        yaxis={
            "autorange": "reversed",
            "showgrid": False,
            "ticks": "",
            "ticklabelstandoff": 8,
            "tickfont": {"size": 13, "color": INK},
        },
    )


def _numbers(step: StepResult, write: Format, *, is_first: bool) -> str:
    optional = " · optional" if step.optional else ""
    counted = f"<b>{write.number(step.people)}</b>"
    if is_first:
        return f"{counted} entered"
    time = f", in {write.lasting(step.time.median)}" if step.time else ""
    return (
        f"{counted} · {write.percent(step.overall)} of all{optional}"
        f"<br><span style='font-size:12px; opacity:0.75'>{write.percent(step.rate)} of the step before{time}</span>"
    )


def times(found: Sequence[Bin], write: Format) -> go.Figure:
    """How many took how long from the first step to the last."""
    shown = trimmed(found)
    figure = go.Figure()
    figure.add_bar(
        y=[span(item, write) for item in shown],
        x=[item.people for item in shown],
        orientation="h",
        text=[write.number(item.people) if item.people else "" for item in shown],
        textposition="outside",
        cliponaxis=False,
        marker={"line": {"width": 0}},
        hovertemplate="%{x:,} people<extra></extra>",
    )
    return laid(
        styled(figure, height=260, legend=False),
        hovermode="closest",
        margin={"l": 8, "r": 40, "t": 4, "b": 4},
        xaxis={"visible": False},
        yaxis={
            "autorange": "reversed",
            "type": "category",
            "showgrid": False,
            "nticks": len(shown),
            "ticklabelstandoff": 6,
        },
    )


def span(item: Bin, write: Format) -> str:
    """15 – 30 min, or 12 h – 1 day."""
    since, until = write.lasting(item.since), write.lasting(item.until)
    unit = until.split(" ")[1]
    return f"{since.removesuffix(f' {unit}')} – {until}"


def trimmed(found: Sequence[Bin]) -> Sequence[Bin]:
    """The bins that are shown: without the empty ones at both ends."""
    there = [place for place, item in enumerate(found) if item.people]
    return found[there[0] : there[-1] + 1] if there else ()


def groups(found: Sequence[tuple[str, Tally]], write: Format) -> go.Figure:
    """The conversion of each group as a bar with its numbers."""
    names = [plain(name, longest=32) for name, _ in found]
    figure = go.Figure()
    figure.add_bar(
        y=list(range(len(found))),
        x=[tally.rate or 0 for _, tally in found],
        orientation="h",
        marker={"line": {"width": 0}},
        text=[
            f"  {write.percent(tally.rate)} · {write.number(tally.converted)} of {write.number(tally.entered)}"
            for _, tally in found
        ],
        textposition="outside",
        cliponaxis=False,
        hovertemplate="%{x:.1%} converted<extra></extra>",
    )
    return laid(
        styled(figure, height=32 * len(found) + 20, legend=False),
        hovermode="closest",
        margin={"l": 8, "r": 130, "t": 4, "b": 4},
        xaxis={"visible": False},
        yaxis={
            "autorange": "reversed",
            "showgrid": False,
            "zeroline": False,
            "tickfont": {"size": 13, "color": INK},
            "tickvals": list(range(len(found))),
            "ticktext": names,
            "ticklabelstandoff": 8,
        },
    )
