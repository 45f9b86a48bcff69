"""Use of letters: those that were begun."""

from gdp_core.analytics.window import Window
from gdp_core.features.base import Feature, Tally
from gdp_core.timeline.matching import Match

FEATURE = Feature(
    slug="letters_created",
    title="Letters created, 90 d",
    unit="",
    definition="How many letters they created (letter_created), in the last 90 days.",
    made=Tally(Match(("letter_created",)), "count", Window(90, "d")),
)
