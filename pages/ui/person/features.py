"""The tab Features: what is told of the person, what each means, and why the early warning says what it says."""

from collections.abc import Sequence
from typing import Any

import streamlit as st

from gdp_core.analytics.person_features import FeatureValue
from gdp_core.analytics.warning import SLUG, Model, Warned
from pages.ui import layout
from pages.ui.charts import churn as charts
from pages.ui.charts.style import CONFIG
from pages.ui.context import Here
from pages.ui.escape import clean
from pages.ui.features import value_text

_MOST_REASONS = 3


def tab(place: Here, told: Sequence[FeatureValue], warned: Warned | None) -> None:
    """The early warning with its reasons, then every feature."""
    risk = next((one for one in told if one.feature.slug == SLUG), None)
    if risk is not None:
        with layout.card(key="person-risk", height="content"):
            _risk(place, risk, {one.feature.slug: one for one in told}, warned)
    shown = [one for one in told if one.feature.slug != SLUG]
    columns: dict[str, list[Any]] = {
        "Feature": [clean(one.feature.title, longest=80) for one in shown],
        "Value": [value_text(place, one) for one in shown],
        "What it is": [clean(one.feature.definition, longest=300) for one in shown],
    }
    layout.table(
        columns,
        alt="Features of the person",
        config={
            "Feature": st.column_config.TextColumn(width=190, pinned=True),
            "Value": st.column_config.TextColumn(width=150, alignment="right"),
        },
        height="content",
    )
    layout.note("Brought up to date within a minute of what they do.")


def _risk(place: Here, risk: FeatureValue, told: dict[str, FeatureValue], warned: Warned | None) -> None:
    if not isinstance(risk.value, float):
        layout.heading("Churn risk: not told")
        layout.note(_why_none(warned))
        return
    layout.heading(f"Churn risk: {place.write.percent(risk.value)}")
    layout.note(risk.feature.definition)
    parts = [(slug, part) for slug, part in risk.parts if slug in told]
    for title, chosen in (
        ("Likelier, because of", [item for item in parts if item[1] > 0][:_MOST_REASONS]),
        ("Less likely, because of", [item for item in parts if item[1] < 0][:_MOST_REASONS]),
    ):
        if chosen:
            said = ", ".join(f"{told[slug].feature.title} ({value_text(place, told[slug])})" for slug, _ in chosen)
            layout.note(f"{title}: {said}.")
    st.plotly_chart(
        charts.weights([told[slug].feature.title for slug, _ in parts[:8]], [part for _, part in parts[:8]]),
        config=CONFIG,
        key="person-risk-parts",
        alt="What each feature adds to the odds of falling silent",
    )
    good = warned.outcome.judged.auc if warned and isinstance(warned.outcome, Model) else None
    layout.note(
        "What each adds to the log odds, against somebody average."
        + (f" On people it had not seen, the model's AUC is {good:.2f}." if good is not None else "")
    )


def _why_none(warned: Warned | None) -> str:
    if warned is None:
        return "No early warning was learned yet."
    if not isinstance(warned.outcome, Model) or not warned.outcome.is_useful:
        return warned.outcome.sentence
    return "It is told of people who used the product in the last 60 days, as of the last midnight UTC; this person did not."
