"""Attention to e-mail; a mail program may have opened some of them."""

from gdp_core.analytics.window import Window
from gdp_core.features.base import Feature, Tally
from gdp_core.timeline.matching import Match

FEATURE = Feature(
    slug="email_opens",
    title="E-mail opens, 90 d",
    unit="",
    definition="How often they opened an e-mail, in the last 90 days, without opens that were a machine's.",
    made=Tally(Match(("email_opened",)), "count", Window(90, "d")),
)
