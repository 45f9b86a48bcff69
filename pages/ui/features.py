"""Features as people read them and ask by them: their values, how much of them, filters in words and in an address."""

import re
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Any
from urllib.parse import quote, unquote

import streamlit as st

from gdp_core.analytics.engagement_churn import Level
from gdp_core.analytics.person_features import FeatureFilter, FeatureValue, HowMuch
from gdp_core.features.base import Feature
from gdp_core.timeline.matching import number
from pages.ui import state
from pages.ui.context import Here
from pages.ui.escape import clean, safe_text
from pages.ui.format import UNKNOWN, Format


def value_text(place: Here, found: FeatureValue) -> str:
    """A value of somebody; text that may name them is masked where the role may not see it."""
    value, feature, write = found.value, found.feature, place.write
    if value is None:
        return UNKNOWN
    if isinstance(value, datetime):
        return write.instant(value)
    if isinstance(value, str):
        return clean(place.sees(value) or "", longest=200) or UNKNOWN
    if feature.kind == "money":
        return write.money(round(value), found.currency) if found.currency or value else write.number(value)
    if feature.kind == "share":
        return write.percent(value)
    return _amount(write, feature, value)


def level_text(place: Here, feature: Feature, level: Level, bound: float | None) -> str:
    """How much of a feature, after its name: none, fewer than 5, 5 or more."""
    is_since = feature.kind in ("since", "instant")
    if level == "none" or bound is None:
        return f"{feature.title}: {'never' if is_since else 'none'}"
    much = (
        place.write.money(round(bound), feature.unit or None)
        if feature.kind == "money"
        else _amount(place.write, feature, bound)
    )
    if level == "low":
        return f"{feature.title}: less than {much}"
    return f"{feature.title}: {much} or more"


def _amount(write: Format, feature: Feature, value: float) -> str:
    number = write.number(value, decimals=0 if value == int(value) else 1)
    unit = "days" if feature.kind in ("since", "instant") else feature.unit
    unit = "day" if unit == "days" and value == 1 else unit
    return clean(f"{number} {unit}".strip(), longest=60)


# ----------------------------------------------------------------------------------------------------- as a filter

_HOW: dict[HowMuch, str] = {"at_least": "at least", "at_most": "at most"}
_SIGNS: dict[HowMuch, str] = {"at_least": ">=", "at_most": "<="}
_WRITTEN = re.compile(r"(\w{1,80})(>=|<=)(.{1,300})")
_ASKED: state.Slot[str | None] = state.Slot("features.asked", None)
_VALUE: state.Slot[str] = state.Slot("features.value", "")
_MUCH: state.Slot[HowMuch] = state.Slot("features.how", "at_least")


def filter_text(wanted: FeatureFilter) -> str:
    """As an address says it: churn_risk>=50."""
    return f"{wanted.feature}{_SIGNS[wanted.how]}{quote(wanted.value, safe='')}"


def filters_of(texts: Iterable[str]) -> tuple[FeatureFilter, ...]:
    """What `filter_text` wrote; what is none is left out."""
    hits = filter(None, map(_WRITTEN.fullmatch, texts))
    by_sign: dict[str, HowMuch] = {sign: how for how, sign in _SIGNS.items()}
    return tuple(FeatureFilter(hit[1], by_sign[hit[2]], unquote(hit[3])) for hit in hits)


def filter_words(place: Here, told: Sequence[Feature], wanted: FeatureFilter) -> str:
    """A filter as people read it: Churn risk at least 50%."""
    feature = next((one for one in told if one.slug == wanted.feature), None)
    if feature is None:
        return clean(f"{wanted.feature}, which is not there any more", longest=80)
    if feature.kind == "text":
        return clean(f"{feature.title} is {wanted.value}", longest=80)
    amount = number(wanted.value)
    told_value = wanted.value if amount is None else _asked_amount(place, feature, amount)
    return clean(f"{feature.title} {_HOW[wanted.how]} {told_value}", longest=80)


def _asked_amount(place: Here, feature: Feature, amount: float) -> str:
    if feature.kind == "share":
        return place.write.percent(amount / 100)
    if feature.kind == "money":
        return place.write.money(round(amount * 1_000_000), feature.unit or None)
    return _amount(place.write, feature, amount)


def ask(told: Sequence[Feature], then: Callable[[FeatureFilter], None]) -> None:
    """The fields for one more filter; `then` is called with it in a callback."""
    by_slug = {feature.slug: feature for feature in told}
    feature = by_slug.get(state.held(_ASKED.key) or "")
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small", width=620):
        st.selectbox(
            "Feature",
            [*by_slug],
            index=None,
            key=_ASKED.key,
            format_func=lambda slug: clean(by_slug[slug].title, longest=60),
            placeholder="Choose a feature",
            width=230,
        )
        if feature is None or feature.kind != "text":
            st.selectbox("How much", [*_HOW], key=_MUCH.key, format_func=_HOW.__getitem__, width=120)
        st.text_input(safe_text(_value_name(feature)), key=_VALUE.key, max_chars=200, width=140)
        st.button(
            "Add",
            type="primary",
            key="features.add",
            disabled=feature is None,
            on_click=_added,
            args=(feature, then),
        )
    if feature is not None:
        st.caption(safe_text(feature.definition, longest=400))


def _value_name(feature: Feature | None) -> str:
    if feature is None:
        return "Value"
    names: dict[str, Any] = {"share": "Percent", "since": "Days", "instant": "Days ago", "text": "Is exactly"}
    return str(names.get(feature.kind, feature.unit or "Number"))


def _added(feature: Feature, then: Callable[[FeatureFilter], None]) -> None:
    """A callback. A value that is no number where one is needed stays in its field."""
    value = (state.held(_VALUE.key) or "").strip()
    if not value or (feature.kind != "text" and number(value) is None):
        return
    then(FeatureFilter(feature.slug, state.held(_MUCH.key) or "at_least", value))
    _VALUE.set("")
