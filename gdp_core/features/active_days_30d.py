"""On how many days of the last month somebody was there."""

from gdp_core.analytics.window import Window
from gdp_core.features.base import ANYTHING, Feature, Tally

FEATURE = Feature(
    slug="active_days_30d",
    title="Active days, 30 d",
    unit="days",
    definition="Days (UTC) on which they did something themselves, in the last 30 days.",
    made=Tally(ANYTHING, "days", Window(30, "d")),
)
