"""Engagement churn on the churn page: who fell silent, interval by interval, and what went before."""

from dataclasses import replace
from datetime import date
from functools import partial
from typing import Any

import streamlit as st

from gdp_core.analytics.engagement_churn import (
    ChurnCell,
    ChurnFactors,
    ChurnPoint,
    EngagementChurnResult,
    Factor,
    State,
    churn_factor_people,
    churn_factors,
    engagement_churn,
    engagement_churn_people,
)
from gdp_core.features.definitions import read_features
from gdp_core.features.roles import read_matches
from pages.ui import data, features, layout
from pages.ui.charts import churn as charts
from pages.ui.charts import trend
from pages.ui.escape import clean
from pages.ui.reporting import churn, clicking, explaining
from pages.ui.reporting.behind import Behind
from pages.ui.reporting.clicking import Click
from pages.ui.reporting.page import Turn

_COLUMNS: dict[str, State] = {"Were active": "active", "Fell silent": "churned", "Stayed": "kept"}
_SAID: dict[State, str] = {"active": "Were active before", "churned": "Fell silent", "kept": "Were active and stayed"}
_MOST_DRAWN, _MOST_LISTED = 10, 25


def show(turn: Turn) -> Behind | None:
    """The view, and the people of the number that was clicked."""
    found = churn.engagement(turn)
    if not any(point.active for point in found.points):
        churn.nobody(
            "Nobody used the product in the time before",
            " ".join([*found.notes, "Choose a longer baseline, a later period, or another event that counts as use."]),
        )
        return None
    _headline(turn, found)
    layout.notes(found.notes)
    _over_time(turn, found)
    with layout.card(key="churn-factors"):
        with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"):
            layout.heading("What the silent had in common before")
            start = churn.chosen_start(turn, found)
        factors = _factors(turn, start)
    return _behind(turn, turn.click, found, factors, start) if turn.click else None


def _headline(turn: Turn, found: EngagementChurnResult) -> None:
    write = turn.place.write
    points = _over(found)
    rate = _mean(points)
    earlier = turn.sight.scope.earlier()
    before = None
    if earlier:
        then: EngagementChurnResult = replace(turn.sight, scope=earlier).count(engagement_churn, turn.question)
        before = _mean(_over(then))
    newest = points[-1]
    with layout.numbers():
        layout.metric(
            f"Fell silent, a {found.asked.interval}",
            write.percent(rate),
            change=write.points(rate, before),
            difference=round((rate or 0) - (before or 0), 3) if before is not None else 0,
            good="down",
            help="Of who was active before; over the intervals of the period that are over.",
        )
        named = churn.said(turn, newest.start) + ("" if newest.complete else ", as of now")
        cell = partial(Click, "churn.using.table", len(found.points) - 1 - found.points.index(newest))
        clicking.metric(cell("Fell silent"), f"Fell silent {named}", write.number(newest.churned))
        layout.metric(f"Rate {named}", write.percent(newest.rate))
        clicking.metric(cell("Stayed"), f"Stayed {named}", write.number(newest.kept))


def _over(found: EngagementChurnResult) -> list[ChurnPoint]:
    """The intervals that are over, else the running one."""
    return [point for point in found.points if point.complete] or list(found.points)


def _mean(points: list[ChurnPoint]) -> float | None:
    active = sum(point.active for point in points)
    return sum(point.churned for point in points) / active if active else None


def _over_time(turn: Turn, found: EngagementChurnResult) -> None:
    write, points = turn.place.write, found.points
    with layout.card(f"Who fell silent, by {found.asked.interval}", key="churn-using"):
        final = next((place for place, point in enumerate(points) if not point.complete), len(points))
        texts = [
            f"{write.percent(point.rate)}, {write.number(point.churned)} of {write.number(point.active)}"
            for point in points
        ]
        clicking.chart(
            trend.lines(
                [churn.short(turn, point.start) for point in points],
                [trend.Line("Fell silent", [point.rate for point in points], texts, final)],
                percent=True,
                height=260,
            ),
            "churn.using.chart",
            alt=f"The share of active people who fell silent, by {found.asked.interval}",
        )
        shown = list(reversed(points))
        columns: dict[str, list[Any]] = {
            "When": [churn.when(turn, point.start) + ("" if point.complete else " · as of now") for point in shown],
            "Were active": [write.number(point.active) for point in shown],
            "Fell silent": [write.number(point.churned) for point in shown],
            "Stayed": [write.number(point.kept) for point in shown],
            "Rate": [write.percent(point.rate) for point in shown],
        }
        clicking.table(
            columns,
            "churn.using.table",
            alt="Engagement churn with its people",
            numbers=[*_COLUMNS],
            config={"When": st.column_config.TextColumn(width="medium")} | churn.right(columns, "Rate"),
            height=min(460, 36 * (len(shown) + 1)),
        )
        explaining.below(
            turn.place,
            "engagement churn",
            {
                "start": [point.start for point in shown],
                "complete": [point.complete for point in shown],
                "active": [point.active for point in shown],
                "churned": [point.churned for point in shown],
                "kept": [point.kept for point in shown],
                "rate": [point.rate for point in shown],
            },
            key="churn-using-csv",
        )


# -------------------------------------------------------------------------------------------------------- factors


def _asked_of(turn: Turn) -> tuple[Any, Any]:
    return data.remembered(turn.place, read_features), data.remembered(turn.place, read_matches)


def _factors(turn: Turn, start: date) -> ChurnFactors:
    place, write = turn.place, turn.place.write
    with st.skeleton(height=300):
        found: ChurnFactors = turn.sight.count(churn_factors, turn.question, start, *_asked_of(turn))
    if not found.factors:
        layout.note(
            f"Not enough data: {write.number(found.churned)} fell silent and {write.number(found.kept)} stayed. A feature"
            " is compared when at least 30 of them have it and 30 do not."
        )
        return found
    churn.reasons(
        [(_name(turn, one), _text(turn, one)) if one else None for one in (found.primary, found.secondary)],
        "Nothing of what went before tells the silent from the others better than chance.",
        "churn-using",
    )
    drawn = [one for one in found.factors if one.risk.ratio is not None][:_MOST_DRAWN]
    clicking.chart(
        charts.ratios(
            [
                charts.Ratio(_name(turn, one), one.risk.ratio or 0, one.risk.low, one.risk.high, _text(turn, one))
                for one in drawn
            ]
        ),
        "churn.factors.chart",
        alt="How much oftener people fell silent with a feature than without it",
    )
    listed = found.factors[:_MOST_LISTED]
    columns: dict[str, list[Any]] = {
        "Before the quiet time": [_name(turn, one) for one in listed],
        "People": [write.number(one.support) for one in listed],
        "Of them silent": [write.number(one.risk.have_left) for one in listed],
        "Rate": [write.percent(one.risk.have_left / one.risk.have) for one in listed],
        "Rate of the others": [write.percent(one.risk.others_left / one.risk.others) for one in listed],
        "Ratio": [churn.multiple(place, one.risk.ratio) for one in listed],
        "95 % interval": [_interval(turn, one) for one in listed],
        "By chance": [churn.chance(one.risk.corrected) for one in listed],
    }
    clicking.table(
        columns,
        "churn.factors.table",
        alt="What people who fell silent had in common before",
        numbers=["People", "Of them silent"],
        config={"Before the quiet time": st.column_config.TextColumn(width="large")}
        | churn.right(columns, "Rate", "Rate of the others", "Ratio", "95 % interval", "By chance"),
        height=min(460, 36 * (len(listed) + 1)),
    )
    explaining.below(
        place,
        "engagement churn factors",
        {
            "feature": [one.feature.slug for one in found.factors],
            "level": [one.level for one in found.factors],
            "bound": [one.bound for one in found.factors],
            **{
                name: [getattr(one.risk, name) for one in found.factors]
                for name in ("have", "have_left", "others", "others_left", "ratio", "low", "high", "p", "corrected")
            },
        },
        key="churn-factors-csv",
        hint=f"{write.number(found.churned)} fell silent, {write.number(found.kept)} stayed. By chance: corrected for"
        " looking at so many. It goes together with falling silent; it need not be why.",
    )
    return found


def _name(turn: Turn, one: Factor) -> str:
    return clean(features.level_text(turn.place, one.feature, one.level, one.bound), longest=90)


def _text(turn: Turn, one: Factor) -> str:
    write, risk = turn.place.write, one.risk
    return (
        f"{write.percent(risk.have_left / risk.have)} of {write.number(risk.have)} fell silent, of the others"
        f" {write.percent(risk.others_left / risk.others)}: {churn.multiple(turn.place, risk.ratio)}"
        f" ({_interval(turn, one)})"
    )


def _interval(turn: Turn, one: Factor) -> str:
    return f"{churn.multiple(turn.place, one.risk.low)} – {churn.multiple(turn.place, one.risk.high)}"


# ------------------------------------------------------------------------------------------------------- the people


def _behind(
    turn: Turn, click: Click, found: EngagementChurnResult, factors: ChurnFactors, start: date
) -> Behind | None:
    question, asked = churn.asks(turn.question), turn.question
    if click.of in ("churn.factors.chart", "churn.factors.table"):
        drawn = (
            [one for one in factors.factors if one.risk.ratio is not None]
            if click.of.endswith("chart")
            else factors.factors
        )
        one = drawn[click.row]
        left = click.column != "People"
        people = turn.sight.people(
            churn_factor_people, asked, start, *_asked_of(turn), (one.feature.slug, one.level), left=left
        )
        title = f"{_name(turn, one)}{', and fell silent' if left else ''} {churn.said(turn, start)}"
        return turn.behind(title, question, people)
    if click.of == "churn.using.table":
        point, state = found.points[len(found.points) - 1 - click.row], _COLUMNS[click.column]
    elif click.of == "churn.using.chart":
        final = next((place for place, one in enumerate(found.points) if not one.complete), len(found.points))
        point, state = found.points[click.row + (max(0, final - 1) if click.column == "1" else 0)], "churned"
    else:
        return None
    cell = ChurnCell(point.start, state)
    people = turn.sight.people(engagement_churn_people, asked, cell)
    return turn.behind(f"{_SAID[state]} {churn.said(turn, point.start)}", question, people, rule=turn.rule(cell))
