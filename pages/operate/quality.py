"""Data quality: what makes the numbers less than they could be, how much of it there is, and where to look."""

from gdp_core.analytics import quality as reads
from pages.ui import data, layout, quality
from pages.ui.context import here

place = here()
found = data.remembered(place, reads.read_quality, place.now)
layout.title("Data quality", quality.verdict(place, found))

quality.checks(place, found)

layout.section("Completeness")
quality.completeness(place, found)

layout.section("Timing of the last 30 days")
quality.timing(place, found)

if found.missing:
    layout.section("Missing required properties")
    quality.missing(place, found)
if found.conflicts:
    layout.section("Properties with several types")
    quality.conflicts(place, found)
