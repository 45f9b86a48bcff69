"""On how many days somebody was there lately."""

from gdp_core.analytics.window import Window
from gdp_core.features.base import ANYTHING, Feature, Tally

FEATURE = Feature(
    slug="active_days",
    title="Active days, 90 d",
    unit="days",
    definition="Days (UTC) on which they did something themselves, in the last 90 days.",
    made=Tally(ANYTHING, "days", Window(90, "d")),
)
