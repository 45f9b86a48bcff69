"""Use of letters: those that went out."""

from gdp_core.analytics.window import Window
from gdp_core.features.base import Feature, Tally
from gdp_core.timeline.matching import Match

FEATURE = Feature(
    slug="letters_sent",
    title="Letters sent, 90 d",
    unit="",
    definition="How many letters they sent (letter_sent), in the last 90 days.",
    made=Tally(Match(("letter_sent",)), "count", Window(90, "d")),
)
