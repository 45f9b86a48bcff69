"""The list of segments: a row for each, found by its name or what it says."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

import streamlit as st

from gdp_core.analytics import segments as reads
from gdp_core.analytics.segments import Growth
from gdp_core.segments import keeping
from gdp_core.segments.conditions.base import Names
from gdp_core.segments.keeping import Segment
from gdp_core.segments.surroundings import read_names
from pages.ui import boundary, layout, nav, state
from pages.ui.context import Here, here
from pages.ui.escape import clean, safe_text
from pages.ui.format import UNKNOWN
from pages.ui.segments import drafting, telling

WORDS = state.Field("segments", "q")
AT = state.Field("segments", "n", kind="number", default=1)
FIELDS = (WORDS, AT)
_PAGE = 20
_COLUMNS = (4.4, 1.1, 1.1, 1.2, 1.5, 1.5)


@dataclass(frozen=True, slots=True)
class Listed:
    """Every segment, what things are called, by a segment's id how its size changed and which others are made of it, and
    of which whoever asks has a draft."""

    segments: Sequence[Segment]
    names: Names
    growth: Mapping[UUID, Growth]
    users: Mapping[str, Sequence[str]]
    drafted: Collection[UUID]


def read(place: Here) -> Listed:
    """The list as it is now."""
    with place.still() as session:
        segments = keeping.list_segments(session)
        return Listed(
            segments,
            read_names(session),
            reads.read_growth(session, place.now),
            _users(segments),
            keeping.read_drafted(session, place.principal),
        )


def _users(segments: Sequence[Segment]) -> Mapping[str, Sequence[str]]:
    found: dict[str, list[str]] = {}
    for one in segments:
        for key in one.rule.uses.segments:
            found.setdefault(key, []).append(one.name)
    return found


def draft_of(place: Here) -> bool:
    """Whether somebody left a new segment unfinished."""
    return drafting.begun(place) is not None


def new_button(place: Here, *, has_draft: bool) -> None:
    """The way to the builder."""
    if place.may("segments.write"):
        nav.link(
            place,
            "builder",
            label="Go on with your draft" if has_draft else "New segment",
            icon=":material/edit_note:" if has_draft else ":material/add:",
        )


def none_yet(place: Here, *, has_draft: bool) -> None:
    """Instead of the list, while there is no segment."""
    with layout.empty(
        ":material/group_work:",
        "No segment yet",
        "A segment is a rule, such as: did checkout_started at least 4 hours ago and not purchase since. Build one by clicking"
        " and watch whom it means; once it is saved, it is kept up to date.",
    ):
        new_button(place, has_draft=has_draft)


@boundary.fragment()
def searched(found: Listed) -> None:
    """The field that narrows the list, and a page of it: what somebody types asks for nothing but what is here."""
    place = here()
    st.text_input(
        "Find a segment",
        key=WORDS.key,
        type="search",
        placeholder="Find by name or by what it says",
        label_visibility="collapsed",
        live="300ms",
        on_change=AT.set,
        args=(1,),
        width=320,
    )
    chosen = _matching(place, found)
    if chosen:
        _table(place, found, chosen)
    else:
        layout.empty(":material/search_off:", "No segment matches", "Search for other words.")
    state.publish(FIELDS)


def _matching(place: Here, found: Listed) -> Sequence[Segment]:
    """Those with all words in their name, description or sentence."""
    words = str(WORDS.value).casefold().split()
    if not words:
        return found.segments
    told = (
        (one, f"{one.name} {one.description} {telling.sentence(place, found.names, one.rule)}".casefold())
        for one in found.segments
    )
    return [one for one, text in told if all(word in text for word in words)]


def _table(place: Here, found: Listed, chosen: Sequence[Segment]) -> None:
    first = min(max(1, int(AT.value)), max(1, -(-len(chosen) // _PAGE)))
    with layout.card(key="segments-list"):
        titles = st.columns(_COLUMNS, gap="small")
        for column, title in zip(titles, ("Segment", "People", "7 days", "30 days", "Counted", "Used by"), strict=True):
            with column:
                st.caption(safe_text(title))
        for one in chosen[_PAGE * (first - 1) : _PAGE * first]:
            _row(place, found, one)
    if len(chosen) > _PAGE:
        st.pagination(-(-len(chosen) // _PAGE), key=AT.key)


def _row(place: Here, found: Listed, one: Segment) -> None:
    write = place.write
    name, people, week, month, counted, used = st.columns(_COLUMNS, gap="small", vertical_alignment="center")
    with name, st.container(gap=None):
        with st.container(horizontal=True, vertical_alignment="center", gap="small"):
            nav.link(place, "segment", label=clean(one.name, longest=80), icon="", id=one.id.hex)
            telling.badges(place, one)
            if one.id in found.drafted:
                layout.badge("Your draft", "orange", ":material/edit_note:")
        layout.note(clean(telling.sentence(place, found.names, one.rule), longest=110))
    with people:
        st.text(write.number(one.people))
    grown = found.growth.get(one.id, reads.UNMOVED)
    for column, by in ((week, grown.week), (month, grown.month)):
        with column:
            st.text(_change(place, one, by))
    with counted:
        layout.note(write.ago(one.evaluated_at, place.now) if one.evaluated_at else "not yet")
    with used:
        layout.note(clean(", ".join(found.users.get(str(one.id), ())), longest=40) or UNKNOWN)


def _change(place: Here, one: Segment, by: int) -> str:
    if one.people is None:
        return UNKNOWN
    sign = "+" if by > 0 else "−" if by < 0 else ""
    return f"{sign}{place.write.number(abs(by))}"
