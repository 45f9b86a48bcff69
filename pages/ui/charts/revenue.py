"""Recurring revenue: what moved it, line by line and over time, and money in and out."""

from collections.abc import Sequence
from typing import Any

import plotly.graph_objects as go

from gdp_core.analytics.movements import Flow
from gdp_core.analytics.payments import Cash
from gdp_core.analytics.revenue import Number
from gdp_core.money import MICROS
from pages.ui.charts.style import BAD, GOOD, INK, MUTED, SERIES, styled
from pages.ui.format import Format

LINES: tuple[Number, ...] = ("new", "reactivation", "expansion", "contraction", "churn", "fx")
"""The traces of `movements`, and the bars of `bridge`."""
CASH: tuple[Number, ...] = ("paid", "refunded", "disputed")
"""The traces of `cash`."""
TITLES = {
    "new": "New",
    "reactivation": "Reactivation",
    "expansion": "Expansion",
    "contraction": "Contraction",
    "churn": "Churn",
    "fx": "Exchange rates",
    "paid": "Paid",
    "refunded": "Refunded",
    "disputed": "Lost in disputes",
}
_TAKEN = ("contraction", "churn", "refunded", "disputed")
_COLOURS = {
    "new": SERIES[0],
    "reactivation": SERIES[1],
    "expansion": SERIES[2],
    "contraction": SERIES[3],
    "churn": BAD,
    "fx": MUTED,
    "paid": SERIES[0],
    "refunded": SERIES[3],
    "disputed": BAD,
}
_HEIGHT = 300
_MOST_TICKS = 12


def _signed(found: Flow | Cash, name: str) -> int:
    amount: int = getattr(found, name)
    return -amount if name in _TAKEN else amount


def bridge(flow: Flow, write: Format, currency: str) -> go.Figure:
    """One trace of bars: every line of `LINES` from where the one before ended, and what they come to."""
    amounts, base = [_signed(flow, name) for name in LINES], [0]
    for amount in amounts:
        base.append(base[-1] + amount)
    amounts, base = [*amounts, base[-1]], [*base[:-1], 0]
    names = [*(TITLES[name].replace("Exchange rates", "Rates") for name in LINES), "Together"]
    figure = go.Figure()
    figure.add_bar(
        y=names,
        x=[amount / MICROS for amount in amounts],
        base=[level / MICROS for level in base],
        orientation="h",
        marker={
            "color": [*(GOOD if amount >= 0 else BAD for amount in amounts[:-1]), MUTED],
            "line": {"width": 0},
            "cornerradius": 2,
        },
        text=[f" {write.money_compact(amount, currency)} " if amount else "" for amount in amounts],
        textposition="outside",
        textfont={"color": INK},
        cliponaxis=False,
        constraintext="none",
        customdata=[f"{name}: {write.money(amount, currency)}" for name, amount in zip(names, amounts, strict=True)],
        hovertemplate="%{customdata}<extra></extra>",
    )
    figure = styled(figure, height=_HEIGHT, legend=False)
    figure.update_layout(hovermode="closest", margin={"l": 8, "r": 56, "t": 4, "b": 4})
    figure.update_xaxes(showticklabels=False, zeroline=True, zerolinecolor=MUTED)
    figure.update_yaxes(
        autorange="reversed",
        showgrid=False,
        tickfont={"size": 13, "color": INK},
        ticklabelstandoff=8,
        nticks=len(names),
    )
    return figure


def movements(names: Sequence[str], flows: Sequence[Flow], write: Format, currency: str) -> go.Figure:
    """A bar for each interval: what was gained above the line, what was lost below it."""
    return _stacked(names, flows, LINES, write, currency)


def cash(names: Sequence[str], found: Sequence[Cash], write: Format, currency: str) -> go.Figure:
    """A bar for each interval: what was paid above the line, what was given back below it."""
    return _stacked(names, found, CASH, write, currency)


def _stacked(
    names: Sequence[str], found: Sequence[Any], lines: Sequence[str], write: Format, currency: str
) -> go.Figure:
    figure = go.Figure()
    for line in lines:
        amounts = [_signed(item, line) for item in found]
        figure.add_bar(
            x=list(range(len(names))),
            y=[amount / MICROS for amount in amounts],
            name=TITLES[line],
            marker={"color": _COLOURS[line], "line": {"width": 0}},
            customdata=[
                f"{name}<br>{TITLES[line]}: {write.money(amount, currency)}"
                for name, amount in zip(names, amounts, strict=True)
            ],
            hovertemplate="%{customdata}<extra></extra>",
            visible=True if any(amounts) else "legendonly",
            showlegend=any(amounts),
        )
    figure.update_layout(barmode="relative")
    figure = styled(figure, height=_HEIGHT, legend=True)
    figure.update_layout(hovermode="closest")
    step = max(1, -(-len(names) // _MOST_TICKS))
    figure.update_xaxes(tickvals=list(range(len(names)))[::step], ticktext=list(names)[::step], tickangle=0)
    figure.update_yaxes(tickformat="~s", zeroline=True, rangemode="normal")
    return figure
