"""What all figures share: no title, thin grid, a legend above, no toolbar, one number format."""

from collections.abc import Sequence
from typing import Any

import plotly.graph_objects as go

CONFIG: dict[str, Any] = {"displayModeBar": False, "scrollZoom": False, "doubleClick": False}
_GRID = "rgba(128, 128, 128, 0.18)"
FADED = "rgba(128, 128, 128, 0.22)"
"""Ground of what was lost or is only compared with; reads on light and on dark."""
MUTED = "rgba(128, 128, 128, 0.85)"
"""Lines of what is only compared with."""
SERIES = tuple(f"#{number:06d}" for number in range(1, 11))
SCALE = tuple(f"#{number:06d}" for number in range(11, 21))
GOOD, BAD, INK, GROUND = "#000032", "#000033", "#000037", "#000038"
"""Names of the theme's colours: of series, from little to much, green, red, of writing, the ground. Streamlit's frontend puts the
colours of the mode in their place; a trace that names none takes them in order."""


def styled(figure: go.Figure, *, height: int, legend: bool) -> go.Figure:
    """The figure with the shared layout. Titles belong to the card around it."""
    return laid(
        figure,
        height=height,
        margin={"l": 8, "r": 8, "t": 34 if legend else 10, "b": 8},
        showlegend=legend,
        legend={"orientation": "h", "yanchor": "bottom", "y": 1.02, "xanchor": "left", "x": 0, "traceorder": "normal"},
        hovermode="x unified",
        bargap=0.28,
        dragmode=False,
        xaxis={"showgrid": False, "fixedrange": True, "automargin": True},
        yaxis={
            "gridcolor": _GRID,
            "zerolinecolor": _GRID,
            "fixedrange": True,
            "rangemode": "tozero",
            "automargin": True,
            "nticks": 6,
        },
    )


def laid(figure: go.Figure, **layout: Any) -> go.Figure:
    """The figure with these parts of the layout, what else they hold kept. Plotly's own updating takes ten times as long."""
    for name, value in layout.items():
        is_part = isinstance(value, dict)
        figure.layout[name] = {**figure.layout[name].to_plotly_json(), **value} if is_part else value
    return figure


def hatch(count: int, running: bool) -> dict[str, Any]:
    """Bar patterns that mark the last of `count` intervals as not over."""
    shapes = [""] * count
    if running and count:
        shapes[-1] = "/"
    return {"shape": shapes, "size": 5, "solidity": 0.35}


def plain(text: str, *, longest: int = 40) -> str:
    """Other people's text for a figure, where < and & would be markup. Cut to `longest` characters."""
    cut = text if len(text) <= longest else f"{text[: longest - 1]}…"
    return cut.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def named_ends(figure: go.Figure, ends: Sequence[tuple[str, float, str]], *, gap: float) -> None:
    """Names at the right end of lines, instead of a legend: (name, last value, colour), moved apart by at least `gap`."""
    placed: list[float] = []
    for name, value, colour in sorted(ends, key=lambda end: end[1]):
        at = value if not placed else max(value, placed[-1] + gap)
        placed.append(at)
        figure.add_annotation(
            x=1,
            xref="paper",
            xanchor="left",
            xshift=6,
            y=at,
            text=f"<span style='color:{colour}'>●</span> {plain(name, longest=24)}",
            showarrow=False,
            font_size=12,
        )
    figure.update_layout(margin_r=150)
