"""How long somebody has not used the product for what it is for."""

from gdp_core.features.base import Feature, Held, Role, Tally

FEATURE = Feature(
    slug="days_since_core_action",
    title="Days since core action",
    unit="days",
    definition="Whole days of 24 h since they last did what the product is for (the event role “core”).",
    made=Tally(Role("core"), "since"),
    held=Held("last_action_at", "since"),
)
