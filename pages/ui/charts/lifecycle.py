"""Lifecycle and stickiness: who was active and who fell silent, how often people come."""

from collections.abc import Sequence

import plotly.graph_objects as go

from gdp_core.analytics.lifecycle import STATES, LifecyclePoint
from pages.ui.charts.style import MUTED, SERIES, styled
from pages.ui.format import Format

_COLOURS = dict(zip(STATES, (SERIES[0], SERIES[1], SERIES[2], MUTED), strict=True))
_MOST_TICKS = 12


def states(found: Sequence[LifecyclePoint], names: Sequence[str], write: Format) -> go.Figure:
    """A bar for each interval: new, returning and resurrecting people upwards, dormant ones below zero. A trace for each
    state, in the order of STATES; what may still change is hatched."""
    figure = go.Figure()
    shapes = ["" if point.complete else "/" for point in found]
    for state in STATES:
        counts = [getattr(point, state) for point in found]
        figure.add_bar(
            x=names,
            y=[-count for count in counts] if state == "dormant" else counts,
            name=state.capitalize(),
            marker={
                "color": _COLOURS[state],
                "line": {"width": 0},
                "pattern": {"shape": shapes, "size": 5, "solidity": 0.35},
            },
            customdata=[write.number(count) for count in counts],
            hovertemplate=f"%{{customdata}} {state}",
        )
    figure = styled(figure, height=340, legend=True)
    figure.update_layout(barmode="relative")
    step = max(1, -(-len(names) // _MOST_TICKS))
    figure.update_xaxes(type="category", tickvals=list(names)[::step], tickangle=0)
    most = max((max(point.active, point.dormant) for point in found), default=0)
    figure.update_yaxes(rangemode="normal", tickformat=",d", nticks=min(8, max(3, most + 1)), zerolinewidth=2)
    return figure


def often(people: Sequence[int], interval: str, write: Format) -> go.Figure:
    """How many people were active in exactly so many intervals."""
    figure = go.Figure()
    figure.add_bar(
        x=list(range(1, len(people) + 1)),
        y=list(people),
        marker={"color": SERIES[0], "line": {"width": 0}},
        customdata=[write.number(count) for count in people],
        hovertemplate=f"%{{customdata}} people, active in %{{x}} {interval}s<extra></extra>",
    )
    figure = styled(figure, height=300, legend=False)
    figure.update_layout(hovermode="closest")
    figure.update_xaxes(tickformat="d", nticks=10, tick0=1)
    figure.update_yaxes(tickformat=",d")
    return figure
