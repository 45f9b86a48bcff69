"""How much somebody used the product in the last month."""

from gdp_core.analytics.window import Window
from gdp_core.features.base import Feature, Role, Tally

FEATURE = Feature(
    slug="core_actions_30d",
    title="Core actions, 30 d",
    unit="",
    definition="How often they did what the product is for (the event role “core”), in the last 30 days.",
    made=Tally(Role("core"), "count", Window(30, "d")),
)
