"""The tab Danger zone: removing the demo, archiving and deleting the workspace, taking archived ones back."""

from collections.abc import Callable

import streamlit as st

from gdp_core.accounts import workspaces as core
from gdp_core.runtime import database
from pages.ui import layout, workspaces
from pages.ui.context import Here, here
from pages.ui.escape import safe_text


def tab(place: Here) -> None:
    """Removing the demo, archiving, deleting, and taking archived workspaces back."""
    workspace = place.workspace
    if workspace.kind == "demo":
        _offer(
            place,
            "demo.remove",
            "Remove the demo",
            "Deletes this demo workspace with its made-up people and events. It is not made again.",
            _ask_demo,
        )
    _offer(
        place,
        "workspace.archive",
        "Archive the workspace",
        "Puts it away: nobody sees it, its keys and addresses stop working, nothing is deleted. An owner can take it back.",
        _ask_archive,
    )
    _offer(
        place,
        "workspace.delete",
        "Delete the workspace",
        "Deletes everything in it for ever: people, events, billing, settings and its audit log.",
        _ask_delete,
    )
    workspaces.archived(place.signed_in)


def _offer(place: Here, action: str, name: str, meaning: str, ask: Callable[[Here], None]) -> None:
    with (
        layout.card(key=action.replace(".", "-"), height="content"),
        st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"),
    ):
        with st.container(gap=None, width="stretch"):
            layout.heading(name)
            layout.note(meaning if place.may(action) else f"{meaning} Your role may not do this.")
        if place.may(action) and st.button(safe_text(name), icon=":material/warning:", key=f"danger-{action}"):
            ask(place)


def _ask_demo(place: Here) -> None:
    def act() -> None:
        again = here()
        core.remove_demo(database("gdp_web"), database("gdp_worker"), again.principal, now=again.now)
        workspaces.go_to(None, f"{again.workspace.name} is removed.")

    layout.confirm(
        f"Remove {place.workspace.name}?",
        body="All of its made-up people, events and billing are deleted. This takes a few seconds.",
        button="Remove the demo",
        act=act,
        key="demo-remove",
    )


def _ask_archive(place: Here) -> None:
    def act() -> None:
        again = here()
        with again.change() as session:
            core.archive(session, again.principal, confirm=again.workspace.slug, now=again.now)
        workspaces.go_to(None, f"{again.workspace.name} is archived.")

    layout.confirm(
        f"Archive {place.workspace.name}?",
        body="Nobody sees it any more and what its sources send is refused, until an owner takes it back.",
        button="Archive",
        act=act,
        expected=place.workspace.slug,
        key="workspace-archive",
    )


def _ask_delete(place: Here) -> None:
    def act() -> None:
        again = here()
        core.delete(
            database("gdp_web"),
            database("gdp_worker"),
            again.principal,
            confirm=again.workspace.slug,
            now=again.now,
        )
        workspaces.go_to(None, f"{again.workspace.name} is deleted.")

    layout.confirm(
        f"Delete {place.workspace.name} for ever?",
        body="Everything in it is deleted, for every member. This cannot be undone.",
        button="Delete for ever",
        act=act,
        expected=place.workspace.slug,
        key="workspace-delete",
    )
