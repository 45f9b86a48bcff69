"""Whom a segment's rule means now, where its list of people does not say so: it is off, or was never counted."""

import streamlit as st

from gdp_core.segments.keeping import Segment
from gdp_core.segments.previewing import Preview
from pages.ui import layout
from pages.ui.context import Here
from pages.ui.reporting import sight as sights
from pages.ui.segments import counting
from pages.ui.segments.people import people_table


def is_of_use(one: Segment) -> bool:
    """Whether what it means now is not what its list of people says."""
    return not one.enabled or one.evaluated_at is None


def preview(place: Here, one: Segment) -> tuple[Preview | None, str]:
    """How many, of how many, and some of them; or None and why that cannot be said."""
    sight = sights.look(place, None)
    if sight is None:
        return None, "Nothing was received yet: its people are counted once something is."
    found, wrong = counting.preview(sight, counting.surroundings(place), one.rule)
    return found, wrong[0].message if wrong else ""


def card(place: Here, one: Segment) -> None:
    """The number, and some of the people."""
    with layout.card("Whom its rule means now", key="segment-meant"):
        found, problem = preview(place, one)
        if found is None:
            layout.note(problem)
            return
        write = place.write
        with st.container(horizontal=True, vertical_alignment="center", gap="small"):
            st.markdown(f"**{write.number(found.people)}** of {write.number(found.of)} people", width="content")
            if not one.enabled:
                layout.note("They enter once it is turned on. It sends nothing.")
        if found.people:
            rows = place.read(counting.people_of, found.sample.tolist())
            people_table(place, rows, alt="Some of the people its rule means now")
