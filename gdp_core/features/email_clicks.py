"""Interest that e-mail raised."""

from gdp_core.analytics.window import Window
from gdp_core.features.base import Feature, Tally
from gdp_core.timeline.matching import Match

FEATURE = Feature(
    slug="email_clicks",
    title="E-mail clicks, 90 d",
    unit="",
    definition="How often they clicked a link in an e-mail, in the last 90 days, without clicks that were a machine's.",
    made=Tally(Match(("email_clicked",)), "count", Window(90, "d")),
)
