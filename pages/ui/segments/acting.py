"""What is done with a segment as a whole: renamed, copied, turned on and off, deleted and brought back."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from uuid import UUID

import streamlit as st

from gdp_core.segments import keeping, using
from gdp_core.segments.keeping import Deleted, Segment
from gdp_core.segments.using import Users
from pages.ui import boundary, layout, nav, state
from pages.ui.context import Here, here
from pages.ui.escape import clean, safe_text
from pages.ui.segments import meant

_ACTIONS = {
    "rename": ":material/edit: Rename…",
    "copy": ":material/content_copy: Duplicate",
    "off": ":material/pause_circle: Turn off",
    "delete": ":material/delete: Delete…",
}
_OFFERED = timedelta(minutes=2)
_SHOWN = 20


@dataclass(frozen=True, slots=True)
class _Gone:
    """What this tab deleted last, and when."""

    id: UUID
    name: str
    at: datetime


_GONE: state.Slot[_Gone | None] = state.Slot("segments.gone", None)


def menu(place: Here, one: Segment) -> None:
    """The buttons in a segment's head; what a click asks stands in a dialog."""
    if not one.enabled and st.button("Turn on…", icon=":material/play_circle:", key="segment.on"):
        _ask_on(place, one)
    chosen = st.menu_button(
        "More",
        [name for name in _ACTIONS if one.enabled or name != "off"],
        key=f"segment.menu.{one.id.hex}",
        format_func=_ACTIONS.__getitem__,
    )
    match chosen:
        case "rename":
            _rename(one)
        case "copy":
            _copy(one)
        case "off":
            _turn_off(one)
        case "delete":
            _ask_delete(place, one)


# ------------------------------------------------------------------------------------------------------ what it is


def _rename(one: Segment) -> None:
    @boundary.dialog("Name and purpose")
    def ask() -> None:
        name = st.text_input("Name", value=one.name, max_chars=120, key="segment.rename")
        about = st.text_area("What it is for", value=one.description, max_chars=1000, key="segment.about", height=80)
        goal = st.text_area("Goal of its people", value=one.goal, max_chars=1000, key="segment.goal", height=80)
        if not st.button("Save", type="primary", key="segment.renamed"):
            return
        place = here()
        with place.change() as session:
            keeping.rename(session, place.principal, one.id, name, description=about, goal=goal, now=place.now)
        _done("Saved.")

    ask()


@boundary.guard
def _copy(one: Segment) -> None:
    place = here()
    taken = {each.name for each in place.read(keeping.list_segments)}
    names = (f"{one.name[:100]} (copy{f' {number}' if number > 1 else ''})" for number in range(1, 1000))
    with place.change() as session:
        made = keeping.create(
            session,
            place.principal,
            next(name for name in names if name not in taken),
            one.rule,
            description=one.description,
            enabled=False,
            goal=one.goal,
            action=one.action,
            now=place.now,
        )
    layout.done(clean(f"This is “{made.name}”. It is off until you turn it on."))
    nav.go(place, "segment", id=made.id.hex)


# ------------------------------------------------------------------------------------------------------- on and off


def _ask_on(place: Here, one: Segment) -> None:
    found, problem = meant.preview(place, one)
    write = place.write
    said = f"Its rule means {write.number(found.people)} of {write.number(found.of)} people now." if found else problem
    if one.evaluated_at:
        said += f" It has the {write.number(one.people)} people of {write.instant(one.evaluated_at)}."
    layout.confirm(
        f"Turn on “{one.name}”?",
        body=f"{said} They enter and leave by themselves from the next counting on. It sends nothing.",
        button="Turn on",
        act=partial(_turn_on, one),
        key="segment.turn",
    )


def _turn_on(one: Segment) -> str:
    place = here()
    with place.change() as session:
        keeping.set_enabled(session, place.principal, one.id, True, now=place.now)
    return "It is on: its people are counted in a moment."


@boundary.guard
def _turn_off(one: Segment) -> None:
    place = here()
    with place.change() as session:
        keeping.set_enabled(session, place.principal, one.id, False, now=place.now)
    _done("It is off: its people stay as they are.")


# ------------------------------------------------------------------------------------------------ deleted and back


def _ask_delete(place: Here, one: Segment) -> None:
    users = place.read(using.read_users, one.id)
    if users.segments:
        _refuse(one, users.segments)
        return
    layout.confirm(
        f"Delete “{one.name}”?",
        body=" ".join(_consequences(place, one, users)),
        button="Delete",
        act=partial(_delete, one),
        key="segment.delete",
    )


def _refuse(one: Segment, users: Sequence[Segment]) -> None:
    @boundary.dialog(f"“{one.name}” is needed")
    def tell() -> None:
        place = here()
        st.markdown("It cannot be deleted while other segments are made of it: take it out of their rules first.")
        for user in users:
            nav.link(place, "segment", label=clean(user.name, longest=80), icon=":material/group_work:", id=user.id.hex)

    tell()


def _consequences(place: Here, one: Segment, users: Users) -> list[str]:
    write = place.write
    said = []
    if one.people:
        said.append(f"{write.number(one.people)} {'person is' if one.people == 1 else 'people are'} in it.")
    if users.reports:
        names = ", ".join(f"“{each.name}”" for each in users.reports[:3])
        more = f" and {len(users.reports) - 3} more" if users.reports[3:] else ""
        said.append(f"Saved reports ask by it, and will say that it is gone: {names}{more}.")
    if users.subscriptions:
        said.append(
            "One webhook subscription of it hears nothing more."
            if users.subscriptions == 1
            else f"{write.number(users.subscriptions)} webhook subscriptions of it hear nothing more."
        )
    return [*said, "Nobody enters or leaves it any more. Its history is kept, and it can be restored from the list."]


def _delete(one: Segment) -> None:
    place = here()
    with place.change() as session:
        keeping.delete(session, place.principal, one.id, now=place.now)
    _GONE.set(_Gone(one.id, one.name, place.now))
    layout.done(clean(f"“{one.name}” is deleted."))
    nav.go(place, "segments")


def undo(place: Here) -> None:
    """On the list: what was deleted a moment ago, and the way back."""
    gone = _GONE.get()
    if gone is None or place.now - gone.at > _OFFERED:
        return
    with st.container(horizontal=True, vertical_alignment="center", gap="small", key="segments-undo"):
        layout.note(f"“{gone.name}” is deleted.")
        st.button("Undo", icon=":material/undo:", key="segments.undo", on_click=_restore, args=(gone.id, gone.name))


def deleted(place: Here) -> None:
    """Below the list: what was deleted, to be restored."""
    found = place.read(keeping.list_deleted)
    if not found:
        return
    shown = st.expander(
        f"Deleted · {place.write.number(len(found))}",
        icon=":material/delete:",
        on_change="rerun",
        key="segments.deleted.open",
    )
    if shown.open:
        with shown:
            for one in found[:_SHOWN]:
                _deleted(place, one)
            if len(found) > _SHOWN:
                layout.note(f"And {place.write.number(len(found) - _SHOWN)} before them.")


def _deleted(place: Here, one: Deleted) -> None:
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.markdown(safe_text(one.name, longest=80), width="content")
        layout.note(f"deleted {place.write.ago(one.at, place.now)}")
        st.space("stretch")
        if place.may("segments.write"):
            st.button(
                "Restore",
                icon=":material/restore_from_trash:",
                type="tertiary",
                key=f"segments.restore.{one.id.hex}",
                on_click=_restore,
                args=(one.id, one.name),
            )


def _restore(segment_id: UUID, name: str) -> None:
    """A callback."""
    with boundary.guarded("segments.restore"):
        place = here()
        with place.change() as session:
            keeping.restore(session, place.principal, segment_id, now=place.now)
        _GONE.clear()
        layout.done(clean(f"“{name}” is back."))


def _done(said: str) -> None:
    layout.done(clean(said))
    st.rerun()
