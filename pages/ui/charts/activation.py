"""Activation: by how much more of those who did something early came back, with how sure that is."""

from collections.abc import Sequence

import plotly.graph_objects as go

from gdp_core.analytics.activation import Candidate
from pages.ui.charts.style import INK, MUTED, SERIES, plain, styled
from pages.ui.format import Format

_ROW = 34  # pixels


def lifts(found: Sequence[Candidate], names: Sequence[str], write: Format) -> go.Figure:
    """A dot for each candidate at its lift in percentage points, the larger the more did it, with its 95 % interval."""
    places = list(range(len(found)))
    figure = go.Figure()
    figure.add_scatter(
        x=[one.lift * 100 for one in found],
        y=places,
        mode="markers",
        marker={"color": SERIES[0], "size": [8 + 12 * one.reach for one in found], "line": {"width": 0}, "opacity": 1},
        error_x={
            "type": "data",
            "symmetric": False,
            "array": [(one.interval[1] - one.lift) * 100 for one in found],
            "arrayminus": [(one.lift - one.interval[0]) * 100 for one in found],
            "color": MUTED,
            "thickness": 1.5,
            "width": 4,
        },
        text=[
            f"{plain(name)}: {write.percent(one.did_back / one.did)} of the {write.number(one.did)} who did it came back,"
            f"<br>{write.percent(one.others_back / one.others)} of the {write.number(one.others)} others"
            for name, one in zip(names, found, strict=True)
        ],
        hovertemplate="%{text}<extra></extra>",
    )
    figure = styled(figure, height=_ROW * len(found) + 56, legend=False)
    figure.update_layout(hovermode="closest", margin={"l": 8, "r": 16, "t": 6, "b": 8})
    figure.update_xaxes(
        ticksuffix=" pp", rangemode="tozero", zeroline=True, zerolinewidth=1.5, zerolinecolor=MUTED, nticks=8
    )
    figure.update_yaxes(
        range=[len(found) - 0.5, -0.5],
        tickvals=places,
        ticktext=[plain(name, longest=36) for name in names],
        tickfont={"size": 13, "color": INK},
        showgrid=False,
        ticklabelstandoff=8,
        nticks=len(found),
    )
    return figure
