"""Features as people read them: their values, and how much of them counts as much."""

from datetime import datetime

from gdp_core.analytics.engagement_churn import Level
from gdp_core.analytics.person_features import FeatureValue
from gdp_core.features.base import Feature
from pages.ui.context import Here
from pages.ui.escape import clean
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
    return clean(f"{number} {unit}".strip(), longest=60)
