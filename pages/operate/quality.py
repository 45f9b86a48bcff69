"""Data quality: what makes the numbers less than they could be, how much of it there is, and where to look."""

import streamlit as st

from gdp_core.analytics import quality as reads
from gdp_core.analytics.overview import is_empty
from pages.ui import data, layout, nav, quality
from pages.ui.context import here

place = here()
if place.read(is_empty):
    layout.title("Data quality")
    with layout.empty(
        ":material/fact_check:", "Nothing to check yet", "Every delivery is checked from the first one on."
    ):
        nav.link(place, "sources", label="Connect a source")
    st.stop()
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
