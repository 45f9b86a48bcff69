"""Bars over time: people by source, revenue by month."""

import plotly.graph_objects as go

from gdp_core.analytics.overview import Bars, Money
from pages.ui.charts.style import hatch, styled
from pages.ui.format import Format, label

_HEIGHT = 280
_MOST_TICKS = 8


def people_by_source(bars: Bars, write: Format) -> go.Figure:
    """Stacked counts, the largest source at the bottom."""
    names = [write.month(start) if bars.interval == "month" else write.short_day(start) for start in bars.starts]
    figure = go.Figure()
    for source, values in bars.series:
        figure.add_bar(
            x=names,
            y=list(values),
            name=label(source),
            marker={"pattern": hatch(len(values), bars.cut), "line": {"width": 0}},
            hovertemplate="%{y:,}",
        )
    figure.update_layout(barmode="stack")
    step = max(1, -(-len(names) // _MOST_TICKS))
    figure.update_xaxes(type="category", tickvals=names[::step], tickangle=0)
    return styled(figure, height=_HEIGHT, legend=len(bars.series) > 1)


def revenue_by_month(money: Money, write: Format) -> go.Figure:
    """Net revenue of each month; hovering tells what was paid and what was given back."""
    net = [month.paid - month.returned for month in money.months]
    names = [write.short_month(month.month).replace(" ", "<br>") for month in money.months]
    figure = go.Figure()
    figure.add_bar(
        x=names,
        y=[micros / 1_000_000 for micros in net],
        marker={"pattern": hatch(len(net), money.running), "line": {"width": 0}},
        text=[write.money_compact(micros) if micros else "" for micros in net],
        textposition="outside",
        constraintext="none",
        cliponaxis=False,
        customdata=[[write.money(item.paid), write.money(item.returned)] for item in money.months],
        hovertemplate="Paid %{customdata[0]}<br>Given back %{customdata[1]}<extra></extra>",
    )
    figure.update_xaxes(type="category", tickangle=0)
    figure.update_yaxes(showticklabels=False, showgrid=False)
    return styled(figure, height=_HEIGHT, legend=False)
