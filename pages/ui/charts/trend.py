"""Lines over the intervals of a period. What is not final yet is dashed; points can be clicked."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

import plotly.graph_objects as go

from pages.ui.charts.style import MUTED, SERIES, laid, named_ends, plain, styled

_HEIGHT = 300
_MOST_NAMES = 16
_MANY = 45  # points, beyond which they are small


@dataclass(frozen=True, slots=True)
class Line:
    """A line's values by interval. `texts` say them as the workspace writes them; the first `final` cannot change any
    more. `faded`: it is only compared with."""

    name: str
    values: Sequence[float | None]
    texts: Sequence[str]
    final: int
    faded: bool = False


def lines(
    along: Sequence[date] | Sequence[str], found: Sequence[Line], *, percent: bool = False, height: int = _HEIGHT
) -> go.Figure:
    """The lines, each in two traces: 2 n is what is final of line n, 2 n + 1 the rest of it. `along` are days or names."""
    figure = go.Figure()
    named = [each for each in along if isinstance(each, str)]
    places = list(range(len(named))) if named else list(along)
    own, ends = iter(SERIES), list[tuple[str, float, str]]()
    for line in found:
        colour = MUTED if line.faded else next(own)
        last = next((value for value in reversed(line.values) if value is not None), 0.0)
        ends.append((line.name, last, colour))
        for part, dash in ((slice(0, line.final), "solid"), (slice(max(0, line.final - 1), None), "dot")):
            figure.add_scatter(
                x=places[part],
                y=list(line.values)[part],
                mode="lines+markers",
                line={"color": colour, "dash": "dash" if line.faded else dash, "width": 1.5 if line.faded else 2.25},
                marker={"color": colour, "size": 4 if line.faded or len(along) > _MANY else 6},
                text=[f"{plain(line.name)}: {text}" for text in list(line.texts)[part]],
                hovertemplate="%{text}<extra></extra>",
            )
    figure = laid(styled(figure, height=height, legend=False), hovermode="closest")
    if named:
        step = max(1, -(-len(named) // _MOST_NAMES))
        names = [plain(name) for name in named]
        laid(figure, xaxis={"tickvals": places[::step], "ticktext": names[::step], "tickangle": 0})
    else:
        laid(figure, xaxis={"type": "date", "tickformat": "%-d %b", "hoverformat": "%-d %b %Y", "nticks": 10})
    if percent:
        laid(figure, yaxis={"tickformat": ".0%"})
    highest = max((value for line in found for value in line.values if value is not None), default=0)
    if len(found) > 1:
        named_ends(figure, ends, gap=max(highest, 1e-9) * 0.075)
    return figure
