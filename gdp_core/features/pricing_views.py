"""Interest in buying."""

from gdp_core.analytics.window import Window
from gdp_core.features.base import Feature, Role, Tally

FEATURE = Feature(
    slug="pricing_views",
    title="Pricing views, 90 d",
    unit="",
    definition="How often they looked at prices (the event role “pricing view”), in the last 90 days.",
    made=Tally(Role("pricing_view"), "count", Window(90, "d")),
)
