"""What a segment's rule was, and who changed what of the segment: two tabs of its page, a page at a time."""

from collections.abc import Mapping
from functools import partial
from uuid import UUID

import streamlit as st

from gdp_core.accounts import members
from gdp_core.analytics import segments as reads
from gdp_core.segments import keeping
from gdp_core.segments.conditions.base import Names
from gdp_core.segments.keeping import Segment, Version
from pages.ui import layout, state
from pages.ui.context import Here, here
from pages.ui.escape import clean, safe_text
from pages.ui.reporting import sight as sights
from pages.ui.segments import changes, counting, telling

AT = state.Field("segment", "n", kind="number", default=1)
BEFORE = state.Field("segment", "before", pattern=r"[0-9]{1,18}")
_PAGE, _CHANGES = 10, 50


def show(place: Here, one: Segment) -> None:
    """Every rule it had, and what each changed."""
    found = place.read(keeping.read_versions, one.id)
    pages = -(-len(found) // _PAGE)
    first = _PAGE * (min(max(1, int(AT.value)), pages) - 1)
    who, known = _authors(place, one, found[first : first + _PAGE]), telling.names(place)
    for number, version in enumerate(found[first : first + _PAGE], first + 1):
        before = found[number] if number < len(found) else None
        _version(place, one, version, before, who[version.version], known)
    if pages > 1:
        st.pagination(pages, key=AT.key)


def _version(place: Here, one: Segment, version: Version, before: Version | None, who: str, known: Names) -> None:
    write = place.write
    with layout.card(key=f"version-{version.version}"):
        with st.container(horizontal=True, vertical_alignment="center", gap="small"):
            layout.heading(f"Version {write.number(version.version)}")
            if version.version == one.version:
                layout.badge("In use", "green")
            layout.note(f"{write.instant(version.created_at)} · {clean(who, longest=80)}")
            st.space("stretch")
            may_restore = place.may("segments.write") and version.version != one.version
            if may_restore and st.button("Restore", icon=":material/history:", key=f"restore-{version.version}"):
                layout.confirm(
                    f"Restore version {version.version}?",
                    body=f"Its rule becomes version {one.version + 1}. Nothing is lost.{_effect(place, one, version)}",
                    button="Restore",
                    act=partial(_restore, one, version.version),
                    key="segment.restore",
                )
        if version.note:
            layout.note(version.note)
        if before is None:
            st.markdown(safe_text(telling.sentence(place, known, version.rule), longest=3000))
            return
        changes.show(telling.lines(place, known, before.rule), telling.lines(place, known, version.rule))


def _effect(place: Here, one: Segment, version: Version) -> str:
    """How many its rule would take in and leave out, where that can be counted."""
    sight = sights.look(place, None)
    found = counting.effect(sight, counting.surroundings(place), one.rule, version.rule) if sight else None
    if found is None:
        return ""
    write = place.write
    return f" +{write.number(found.added)} enter and −{write.number(found.removed)} leave once it is counted."


def _restore(one: Segment, version: int) -> str:
    place = here()
    with place.change() as session:
        made = keeping.restore_version(
            session, place.principal, one.id, version, expected_version=one.version, now=place.now
        )
    return f"Version {made.version} says what version {version} said."


def _authors(place: Here, one: Segment, shown: list[Version]) -> Mapping[int, str]:
    """By version, who saved it: a member by name, a key by its own, whoever left as the audit log calls them."""
    found = place.read(members.list_members, place.principal) if place.may("members.read") else ()
    named: dict[UUID, str] = {each.user_id: each.name or each.email for each in found}
    logged = place.read(reads.read_authors, one.id)
    return {
        each.version: (named.get(each.created_by) if each.created_by else None)
        or logged.get(each.version, "a command on the server")
        for each in shown
    }


def history(place: Here, one: Segment) -> None:
    """Who changed what of it."""
    before = int(BEFORE.value) if BEFORE.value else None
    found = place.read(reads.read_history, one.id, before=before, size=_CHANGES + 1)
    shown = found[:_CHANGES]
    if not shown:
        layout.note("Nothing is recorded.")
        return
    layout.table(
        {
            "When": [place.write.instant(each.at, seconds=True) for each in shown],
            "Who": [clean(each.by, longest=120) for each in shown],
            "What": [clean(each.what, longest=300) for each in shown],
        },
        alt=f"Changes of {clean(one.name)}, newest first",
        config={
            "When": st.column_config.TextColumn(width=170),
            "Who": st.column_config.TextColumn(width=260),
            "What": st.column_config.TextColumn(width="large"),
        },
        height="content",
    )
    with st.container(horizontal=True, horizontal_alignment="right", gap="small"):
        if before:
            st.button("Newest", icon=":material/first_page:", key="segment-newest", on_click=BEFORE.set, args=("",))
        if len(found) > _CHANGES:
            last = str(shown[-1].seq)
            st.button("Older", icon=":material/chevron_right:", key="segment-older", on_click=BEFORE.set, args=(last,))
