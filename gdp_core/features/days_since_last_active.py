"""How long somebody has been silent."""

from gdp_core.features.base import ANYTHING, Feature, Held, Tally

FEATURE = Feature(
    slug="days_since_last_active",
    title="Days since last active",
    unit="days",
    definition="Whole days of 24 h since they last did something themselves, or were first seen if they never did.",
    made=Tally(ANYTHING, "since"),
    held=Held("last_seen_at", "since"),
)
