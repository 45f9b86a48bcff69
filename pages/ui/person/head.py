"""The head of a person's page: name, badges, how to reach them, the facts in a row, and the stages as a picture."""

import streamlit as st

from gdp_core.analytics.profile import Profile
from pages.ui import layout
from pages.ui.charts.stages import stage_history, stage_path
from pages.ui.charts.style import CONFIG
from pages.ui.context import Here
from pages.ui.escape import clean, safe_text
from pages.ui.format import UNKNOWN, label
from pages.ui.people import STAGE_TONES, name_of


def show(place: Here, found: Profile) -> None:
    """Name, badges, how to reach them, the facts in a row, and the stages as a picture."""
    person, write = found.person, place.write
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.title(safe_text(name_of(place, person)), anchor=False, width="content")
        if person.stage:
            layout.badge(label(person.stage), STAGE_TONES[person.stage])
        if person.plan_name:
            layout.badge(person.plan_name, "blue")
        if person.is_internal:
            layout.badge("Internal: in no number", "gray", ":material/visibility_off:")
        if not person.is_known:
            layout.badge("Anonymous", "gray")
    reached = [place.sees(person.email), place.sees(person.phone), person.company]
    if any(reached):
        st.text(clean("   ·   ".join(text for text in reached if text)))
    currency = person.currency
    facts = {
        "Spent": write.money(person.total_spent_micros, currency) if currency else UNKNOWN,
        "MRR": write.money(person.mrr_micros, currency) if currency else UNKNOWN,
        "Events": write.number(person.total_events),
        "Last seen": write.ago(person.last_seen_at, place.now),
        "First seen": write.date_of(person.first_seen_at),
        "Came by": label(person.source),
    }
    with layout.card(key="person-head"):
        with st.grid(6, min_column_width=130, gap="small"):
            for name, value in facts.items():
                with st.container(gap=None):
                    st.caption(safe_text(name))
                    st.text(clean(value))
        if found.stages:
            path = stage_path(found.stages, place.now, write)
            st.plotly_chart(
                stage_history(found.stages, place.now, write),
                config=CONFIG,
                key="stage-history",
                alt=f"Stages over time: {safe_text(path)}",
            )
            layout.note(path)
