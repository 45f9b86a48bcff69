"""What all figures share: no title, thin grid, a legend above, no toolbar, one number format."""

from typing import Any

import plotly.graph_objects as go

CONFIG: dict[str, Any] = {"displayModeBar": False, "scrollZoom": False, "doubleClick": False}
_GRID = "rgba(128, 128, 128, 0.18)"


def styled(figure: go.Figure, *, height: int, legend: bool) -> go.Figure:
    """The figure with the shared layout. Titles belong to the card around it."""
    figure.update_layout(
        height=height,
        margin={"l": 8, "r": 8, "t": 34 if legend else 10, "b": 8},
        showlegend=legend,
        legend={
            "orientation": "h",
            "yanchor": "bottom",
            "y": 1.02,
            "xanchor": "left",
            "x": 0,
            "title": None,
            "traceorder": "normal",
        },
        hovermode="x unified",
        bargap=0.28,
        dragmode=False,
    )
    figure.update_xaxes(showgrid=False, fixedrange=True, automargin=True, title=None)
    figure.update_yaxes(
        gridcolor=_GRID, zerolinecolor=_GRID, fixedrange=True, rangemode="tozero", automargin=True, title=None, nticks=6
    )
    return figure


def hatch(count: int, running: bool) -> dict[str, Any]:
    """Bar patterns that mark the last of `count` intervals as not over."""
    shapes = [""] * count
    if running and count:
        shapes[-1] = "/"
    return {"shape": shapes, "size": 5, "solidity": 0.35}
