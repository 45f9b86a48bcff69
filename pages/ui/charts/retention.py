"""Retention: cohorts by columns as a triangle of cells, and the averages as curves.

A cell that is still filling is hatched, one that has not begun is left out. Cells are bars, so that they can be hatched
and clicked.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import plotly.graph_objects as go

from gdp_core.analytics.cohorts import State
from pages.ui.charts.style import GROUND, INK, SCALE, plain, styled

_ROW = 28  # pixels
_MOST_TEXTS = 18  # columns; of more, only hovering tells
_HATCH, _FILLING = "rgba(128, 128, 128, 0.38)", "rgba(128, 128, 128, 0.06)"
_GAP = 0.06  # of a cell


@dataclass(frozen=True, slots=True)
class Cell:
    """One cell: how full it is from 0 to 1, what stands in it and what hovering tells."""

    row: int
    column: int
    level: float
    state: State
    text: str
    hover: str


def triangle(rows: Sequence[str], columns: Sequence[str], cells: Sequence[Cell]) -> go.Figure:
    """The cells in one trace, in the order they are given; `rows` are the names of the cohorts."""
    figure = go.Figure()
    figure.add_bar(
        y=[cell.row for cell in cells],
        base=[cell.column + _GAP / 2 for cell in cells],
        x=[1 - _GAP] * len(cells),
        width=0.9,
        orientation="h",
        marker={
            "color": [_FILLING if cell.state == "open" else SCALE[_shade(cell)] for cell in cells],
            "line": {"width": [int(cell.state == "open") for cell in cells], "color": _HATCH},
            "cornerradius": 3,
            "pattern": {
                "shape": ["/" if cell.state == "open" else "" for cell in cells],
                "fillmode": "overlay",
                "fgcolor": _HATCH,
                "size": 6,
                "solidity": 0.18,
            },
        },
        text=[cell.text if len(columns) <= _MOST_TEXTS else "" for cell in cells],
        insidetextfont={"color": [_ink(cell) for cell in cells]},
        textposition="inside",
        insidetextanchor="middle",
        textangle=0,
        constraintext="none",
        customdata=[cell.hover for cell in cells],
        hovertemplate="%{customdata}<extra></extra>",
    )
    figure = styled(figure, height=_ROW * len(rows) + 44, legend=False)
    figure.update_layout(hovermode="closest", margin={"l": 8, "r": 4, "t": 30, "b": 4}, bargap=0)
    middle = [place + 0.5 for place in range(len(columns))]
    step = max(1, -(-len(columns) // _MOST_TEXTS))
    figure.update_xaxes(
        side="top",
        range=[0, len(columns)],
        tickvals=middle[::step],
        ticktext=[plain(name) for name in columns][::step],
        tickangle=0,
        showgrid=False,
        zeroline=False,
    )
    figure.update_yaxes(
        range=[len(rows) - 0.5, -0.5],
        tickvals=list(range(len(rows))),
        ticktext=[plain(name, longest=60) for name in rows],
        tickfont={"color": INK},
        showgrid=False,
        zeroline=False,
        nticks=len(rows),
    )
    return figure


def _shade(cell: Cell) -> int:
    return min(len(SCALE) - 1, int(cell.level * len(SCALE)))


def _ink(cell: Cell) -> str:
    """Reads on the cell, in light and in dark: a hatched one shows the ground."""
    return INK if cell.state == "open" or _shade(cell) < len(SCALE) // 2 else GROUND
