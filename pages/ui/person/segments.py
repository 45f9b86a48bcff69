"""The tab Segments: those the person is in, and why; and any other, to ask why they are not in it."""

from uuid import UUID

import streamlit as st

from gdp_core.errors import InvalidInput
from gdp_core.segments import keeping, membership
from gdp_core.segments.keeping import Segment
from gdp_core.segments.membership import Member
from pages.ui import layout, nav, state
from pages.ui.context import Here
from pages.ui.escape import clean, safe_text
from pages.ui.reporting import sight as sights
from pages.ui.reporting.sight import Sight
from pages.ui.segments import telling, why

_ASKED: state.Slot[UUID | None] = state.Slot("person.segment", None)


def tab(place: Here, person_id: UUID) -> None:
    """Both, one below the other; only what is open is explained."""
    segments = {one.id: one for one in place.read(keeping.list_segments)}
    mine = place.read(membership.segments_of, person_id)
    inside = [segments[key] for key in mine if key in segments]
    sight = sights.look(place, None)
    if not segments:
        with layout.empty(":material/group_work:", "No segment yet", "Segments are rules; whoever meets one is in it."):
            if nav.may_open(place, "segments"):
                nav.link(place, "segments")
        return
    if not inside:
        layout.note("In no segment now.")
    for one in sorted(inside, key=lambda one: one.name):
        opened = st.expander(
            safe_text(one.name), icon=":material/group_work:", on_change="rerun", key=f"in-{one.id.hex}"
        )
        with opened:
            if opened.open:
                _why(place, sight, one, person_id, mine[one.id])
    others = {one.id: one for one in segments.values() if one.id not in mine}
    if others:
        st.selectbox(
            "Why is this person not in",
            [*others],
            index=None,
            key=_ASKED.key,
            format_func=lambda key: clean(others[key].name, longest=80) if key in others else "",
            placeholder="Another segment",
            width=320,
        )
        asked = _ASKED.get()
        if asked in others:
            _why(place, sight, others[asked], person_id, None)


def _why(place: Here, sight: Sight | None, one: Segment, person_id: UUID, since: Member | None) -> None:
    write = place.write
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        nav.link(place, "segment", label=clean(one.name, longest=80), icon=":material/group_work:", id=one.id.hex)
        telling.badges(place, one)
        if since is not None:
            times = "" if since.entry == 1 else f", for the {write.number(since.entry)}th time"
            layout.note(f"Entered {write.instant(since.entered_at)}{times}")
    if sight is None:
        layout.note("Counting begins in a few seconds.")
        return
    try:
        told = why.explain(place, sight, one, person_id)
    except InvalidInput as error:
        layout.note(str(error))
        return
    if told is None:
        layout.note("This person is not in the reports yet: try again in some seconds.")
    else:
        why.show(place, one, told)
