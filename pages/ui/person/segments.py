"""The tab Segments: those the person is in, and why; and any other, to ask why they are not in it."""

from collections.abc import Mapping
from uuid import UUID

import streamlit as st

from gdp_core.segments import keeping, membership
from pages.ui import boundary, layout, nav, state
from pages.ui.context import Here, here
from pages.ui.escape import clean, safe_text
from pages.ui.reporting import sight as sights
from pages.ui.segments import telling, why

_ASKED: state.Slot[UUID | None] = state.Slot("person.segment", None)


def tab(place: Here, person_id: UUID) -> None:
    """Both, one below the other; only what is open is explained."""
    segments = {one.id: one for one in place.read(keeping.list_segments)}
    mine = place.read(membership.segments_of, person_id)
    inside = [segments[key] for key in mine if key in segments]
    if not segments:
        with layout.empty(":material/group_work:", "No segment yet", "Segments are rules; whoever meets one is in it."):
            if nav.may_open(place, "segments"):
                nav.link(place, "segments")
        return
    if not inside:
        layout.note("In no segment now.")
    for one in sorted(inside, key=lambda one: one.name):
        _inside(one.id, one.name, person_id)
    others = {key: one.name for key, one in segments.items() if key not in mine}
    if others:
        _outside(others, person_id)


@boundary.fragment()
def _inside(segment_id: UUID, name: str, person_id: UUID) -> None:
    opened = st.expander(safe_text(name), icon=":material/group_work:", on_change="rerun", key=f"in-{segment_id.hex}")
    with opened:
        if opened.open:
            _why(here(), segment_id, person_id)


@boundary.fragment()
def _outside(others: Mapping[UUID, str], person_id: UUID) -> None:
    st.selectbox(
        "Why is this person not in",
        [*others],
        index=None,
        key=_ASKED.key,
        format_func=lambda key: clean(others[key], longest=80) if key in others else "",
        placeholder="Another segment",
        width=320,
    )
    asked = _ASKED.get()
    if asked is not None and asked in others:
        _why(here(), asked, person_id)


def _why(place: Here, segment_id: UUID, person_id: UUID) -> None:
    with place.still() as session:
        one = keeping.read_segment(session, segment_id)
        stored = membership.find_member(session, segment_id, person_id)
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        nav.link(place, "segment", label=clean(one.name, longest=80), icon=":material/group_work:", id=one.id.hex)
        telling.badges(place, one)
    why.answer(place, sights.look(place, None), one, person_id, stored)
