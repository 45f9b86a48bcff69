"""How sets overlap: every region as a bar, and below it the sets that its people are in, as joined dots (an UpSet plot).

Dots of one region are joined, so a region reads from top to bottom; sets are rows, with how many are in each.
"""

from collections.abc import Sequence

import plotly.graph_objects as go

from gdp_core.analytics.overlap import Overlap, Region
from pages.ui.charts.style import FADED, INK, SERIES, plain, styled
from pages.ui.format import Format

BARS, SETS = 0, 1
"""The traces that can be clicked: a bar for each region, a bar for each set."""
_ROW = 34  # pixels
_BARS = 220
_MOST_TEXTS = 20  # regions; of more, only hovering tells


def upset(found: Overlap, regions: Sequence[Region], write: Format) -> go.Figure:
    """Trace `BARS` has the regions in the order they are given, trace `SETS` the sets in theirs."""
    names, rows = list(found.sizes), len(found.sizes)
    places = list(range(len(regions)))
    figure = go.Figure()
    figure.add_bar(
        x=places,
        y=[region.people for region in regions],
        marker={"color": SERIES[0], "line": {"width": 0}, "cornerradius": 3},
        text=[write.number(region.people) if len(regions) <= _MOST_TEXTS else "" for region in regions],
        textposition="outside",
        textfont={"color": INK},
        cliponaxis=False,
        constraintext="none",
        customdata=[
            f"{write.number(region.people)} only in {plain(' and '.join(region.sets), longest=160)}"
            f"<br>{write.percent(region.of_union)} of everybody"
            for region in regions
        ],
        hovertemplate="%{customdata}<extra></extra>",
        width=0.62,
    )
    figure.add_bar(
        y=list(range(rows)),
        x=[found.sizes[name] for name in names],
        orientation="h",
        xaxis="x2",
        yaxis="y2",
        marker={"color": FADED, "line": {"width": 0}, "cornerradius": 3},
        text=[write.number(found.sizes[name]) for name in names],
        textposition="auto",
        textfont={"color": INK},
        constraintext="none",
        customdata=[f"{write.number(found.sizes[name])} in {plain(name, longest=80)}" for name in names],
        hovertemplate="%{customdata}<extra></extra>",
        width=0.62,
    )
    _dots(figure, names, regions)
    height = _BARS + _ROW * rows
    share = _ROW * rows / height
    figure = styled(figure, height=height, legend=False)
    figure.update_layout(hovermode="closest", margin={"l": 8, "r": 8, "t": 24, "b": 4}, barmode="overlay")
    ends = [-0.6, max(len(regions), 4) - 0.4]
    figure.update_layout(
        xaxis={"domain": [0.36, 1], "range": ends, "visible": False, "anchor": "y"},
        yaxis={"domain": [share + 0.02, 1], "visible": False, "rangemode": "tozero"},
        xaxis2={"domain": [0.22, 0.34], "visible": False, "autorange": "reversed", "anchor": "y2", "fixedrange": True},
        yaxis2={
            "domain": [0, share],
            "range": [rows - 0.5, -0.5],
            "tickvals": list(range(rows)),
            "ticktext": [plain(name, longest=26) for name in names],
            "tickfont": {"size": 13, "color": INK},
            "showgrid": False,
            "zeroline": False,
            "anchor": "free",
            "position": 0.21,
            "fixedrange": True,
        },
        yaxis3={
            "domain": [0, share],
            "range": [rows - 0.5, -0.5],
            "visible": False,
            "anchor": "x",
            "fixedrange": True,
        },
    )
    return figure


def _dots(figure: go.Figure, names: Sequence[str], regions: Sequence[Region]) -> None:
    """The matrix: a dot for each region and set, those the region is in filled and joined."""
    everywhere = [(place, row) for place in range(len(regions)) for row in range(len(names))]
    within = [(place, row) for place, row in everywhere if names[row] in regions[place].sets]
    joined_x: list[int | None] = []
    joined_y: list[int | None] = []
    for place in range(len(regions)):
        rows = [row for at, row in within if at == place]
        joined_x += [place, place, None]
        joined_y += [min(rows), max(rows), None]
    shared = {"yaxis": "y3", "hoverinfo": "skip"}
    figure.add_scatter(
        x=[place for place, _ in everywhere],
        y=[row for _, row in everywhere],
        mode="markers",
        marker={"size": 11, "color": FADED},
        **shared,
    )
    figure.add_scatter(x=joined_x, y=joined_y, mode="lines", line={"width": 3, "color": SERIES[0]}, **shared)
    figure.add_scatter(
        x=[place for place, _ in within],
        y=[row for _, row in within],
        mode="markers",
        marker={"size": 12, "color": SERIES[0]},
        **shared,
    )
