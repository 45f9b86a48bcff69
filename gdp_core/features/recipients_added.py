"""Use of the address book."""

from gdp_core.analytics.window import Window
from gdp_core.features.base import Feature, Tally
from gdp_core.timeline.matching import Match

FEATURE = Feature(
    slug="recipients_added",
    title="Recipients added, 90 d",
    unit="",
    definition="How many recipients they added (recipient_added), in the last 90 days.",
    made=Tally(Match(("recipient_added",)), "count", Window(90, "d")),
)
