"""Use of templates."""

from gdp_core.analytics.window import Window
from gdp_core.features.base import Feature, Tally
from gdp_core.timeline.matching import Match

FEATURE = Feature(
    slug="templates_created",
    title="Templates created, 90 d",
    unit="",
    definition="How many templates they created (template_created), in the last 90 days.",
    made=Tally(Match(("template_created",)), "count", Window(90, "d")),
)
