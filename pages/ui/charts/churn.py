"""Churn: the lost by why, what goes with leaving, how long customers stay, using against paying, and how good a score is."""

from collections.abc import Sequence
from dataclasses import dataclass

import plotly.graph_objects as go

from gdp_core.analytics.logistic import Bin
from gdp_core.analytics.survival import Survival
from pages.ui.charts.style import BAD, FADED, GOOD, GROUND, INK, MUTED, SERIES, plain, styled

_ROW = 30  # pixels
_TICKS = (0.2, 0.33, 0.5, 0.75, 1, 1.5, 2, 3, 5, 8)
_FEW_TICKS = (0.01, 0.1, 0.3, 1, 3, 10, 30, 100)
_BAND = "rgba(128, 128, 128, 0.18)"


@dataclass(frozen=True, slots=True)
class Ratio:
    """A risk ratio with its interval. `text` is what hovering tells."""

    name: str
    ratio: float
    low: float
    high: float
    text: str


def lost(when: Sequence[str], voluntary: Sequence[int], involuntary: Sequence[int], cut: Sequence[bool]) -> go.Figure:
    """The lost customers of each interval: trace 0 who wanted to leave, trace 1 whose payments failed."""
    figure = go.Figure()
    places = list(range(len(when)))
    pattern = {"shape": ["/" if part else "" for part in cut], "size": 5, "solidity": 0.35}
    for name, values, colour in (
        ("Wanted to leave", voluntary, SERIES[0]),
        ("Payments failed", involuntary, SERIES[1]),
    ):
        figure.add_bar(
            x=places,
            y=list(values),
            name=name,
            marker={"color": colour, "pattern": pattern, "cornerradius": 3},
            text=[f"{name}: {value}" for value in values],
            textposition="none",
            hovertemplate="%{text}<extra></extra>",
        )
    figure = styled(figure, height=280, legend=True)
    figure.update_layout(barmode="stack", hovermode="closest")
    step = max(1, -(-len(when) // 14))
    figure.update_xaxes(tickvals=places[::step], ticktext=[plain(name) for name in when][::step], tickangle=0)
    return figure


def ratios(found: Sequence[Ratio]) -> go.Figure:
    """How much oftener people leave with something than without it, the first at the top, on a logarithmic axis."""
    figure = go.Figure()
    rows = list(range(len(found)))
    colours = [BAD if one.low > 1 else GOOD if one.high < 1 else MUTED for one in found]
    for row, one, colour in zip(rows, found, colours, strict=True):
        figure.add_shape(
            type="line",
            x0=one.low,
            x1=one.high,
            y0=row,
            y1=row,
            line={"color": colour, "width": 2.5},
            opacity=0.55,
        )
    figure.add_scatter(
        x=[one.ratio for one in found],
        y=rows,
        mode="markers",
        marker={"color": colours, "size": 11},
        text=[plain(one.text, longest=200) for one in found],
        hovertemplate="%{text}<extra></extra>",
    )
    figure = styled(figure, height=_ROW * len(found) + 44, legend=False)
    figure.update_layout(hovermode="closest")
    low, high = min([1.0, *(one.low for one in found)]), max([1.0, *(one.high for one in found)])
    wide = high / low > 12
    ticks = [value for value in (_FEW_TICKS if wide else _TICKS) if low / 1.6 <= value <= high * 1.6]
    figure.update_xaxes(
        type="log",
        tickvals=ticks,
        ticktext=[f"×{value:g}" for value in ticks],
        showgrid=True,
        gridcolor=_BAND,
        tickangle=0,
    )
    figure.add_vline(x=1, line={"color": MUTED, "width": 1, "dash": "dot"})
    figure.update_yaxes(
        tickvals=rows,
        ticktext=[plain(one.name, longest=60) for one in found],
        range=[len(found) - 0.4, -0.6],
        showgrid=False,
        zeroline=False,
        tickfont={"color": INK},
        nticks=len(found) + 1,
    )
    return figure


def staying(curve: Survival, others: Sequence[tuple[str, Survival]]) -> go.Figure:
    """The share that still pays after so many days, with its interval; the curves of plans without theirs."""
    figure = go.Figure()
    days = [0.0, *curve.at]
    for bound, fill in ((curve.low, None), (curve.high, "tonexty")):
        figure.add_scatter(
            x=days,
            y=[1.0, *bound],
            mode="lines",
            line={"width": 0, "shape": "hv"},
            fill=fill,
            fillcolor=_BAND,
            hoverinfo="skip",
            showlegend=False,
        )
    drawn = [("Everybody", curve), *others]
    for (name, one), colour in zip(drawn, (INK, *SERIES), strict=False):
        figure.add_scatter(
            x=[0.0, *one.at],
            y=[1.0, *one.share],
            mode="lines",
            name=plain(name),
            line={"color": colour, "width": 2.5 if one is curve else 1.5, "shape": "hv"},
            hovertemplate=f"{plain(name)}, day %{{x}}: %{{y:.1%}}<extra></extra>",
        )
    figure = styled(figure, height=320, legend=len(drawn) > 1)
    figure.update_layout(hovermode="closest")
    figure.update_yaxes(tickformat=".0%", range=[0, 1.02])
    figure.update_xaxes(ticksuffix=" d", rangemode="tozero")
    return figure


def sides(
    rows: Sequence[str], columns: Sequence[str], people: Sequence[Sequence[int]], texts: Sequence[Sequence[str]]
) -> go.Figure:
    """A bar for each row, made of its columns: a trace for each column."""
    figure = go.Figure()
    for place, (name, colour) in enumerate(zip(columns, (SERIES[1], SERIES[0], FADED), strict=True)):
        figure.add_bar(
            y=list(range(len(rows))),
            x=[row[place] for row in people],
            name=plain(name),
            orientation="h",
            marker={"color": colour, "cornerradius": 3, "line": {"color": GROUND, "width": 1}},
            text=[row[place] for row in texts],
            textposition="none",
            hovertemplate="%{text}<extra></extra>",
        )
    figure = styled(figure, height=52 * len(rows) + 60, legend=True)
    figure.update_layout(barmode="stack", hovermode="closest")
    figure.update_xaxes(showgrid=True, gridcolor=_BAND)
    figure.update_yaxes(
        tickvals=list(range(len(rows))),
        ticktext=[plain(name) for name in rows],
        range=[len(rows) - 0.5, -0.5],
        showgrid=False,
        tickfont={"color": INK},
    )
    return figure


def held(bins: Sequence[Bin]) -> go.Figure:
    """What was said of tenths of the people against what came true; on the line it was right."""
    figure = go.Figure()
    top = max(0.05, *(max(one.said, one.happened) for one in bins)) * 1.08
    figure.add_scatter(
        x=[0, top], y=[0, top], mode="lines", line={"color": MUTED, "width": 1, "dash": "dot"}, hoverinfo="skip"
    )
    figure.add_scatter(
        x=[one.said for one in bins],
        y=[one.happened for one in bins],
        mode="lines+markers",
        line={"color": SERIES[0], "width": 2},
        marker={"color": SERIES[0], "size": 9},
        text=[f"{one.people} people: said {one.said:.0%}, came true {one.happened:.0%}" for one in bins],
        hovertemplate="%{text}<extra></extra>",
    )
    figure = styled(figure, height=300, legend=False)
    figure.update_layout(hovermode="closest")
    figure.update_xaxes(tickformat=".0%", title={"text": "said", "font": {"size": 12}}, range=[0, top])
    figure.update_yaxes(tickformat=".0%", title={"text": "came true", "font": {"size": 12}}, range=[0, top])
    return figure


def weights(names: Sequence[str], values: Sequence[float]) -> go.Figure:
    """What each feature adds to the odds, largest first."""
    figure = go.Figure()
    rows = list(range(len(names)))
    figure.add_bar(
        x=list(values),
        y=rows,
        orientation="h",
        marker={"color": [BAD if value > 0 else GOOD for value in values], "cornerradius": 3},
        text=[f"{plain(name)}: {value:+.2f}" for name, value in zip(names, values, strict=True)],
        textposition="none",
        hovertemplate="%{text}<extra></extra>",
    )
    figure = styled(figure, height=_ROW * len(names) + 44, legend=False)
    figure.update_layout(hovermode="closest")
    figure.update_xaxes(showgrid=True, gridcolor=_BAND, zeroline=True)
    figure.update_yaxes(
        tickvals=rows,
        ticktext=[plain(name, longest=50) for name in names],
        range=[len(names) - 0.4, -0.6],
        showgrid=False,
        tickfont={"color": INK},
        nticks=len(names) + 1,
    )
    return figure
