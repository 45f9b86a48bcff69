"""How much somebody uses the product for what it is for."""

from gdp_core.analytics.window import Window
from gdp_core.features.base import Feature, Role, Tally

FEATURE = Feature(
    slug="core_actions",
    title="Core actions, 90 d",
    unit="",
    definition="How often they did what the product is for (the event role “core”), in the last 90 days.",
    made=Tally(Role("core"), "count", Window(90, "d")),
)
