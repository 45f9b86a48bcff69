"""Making a workspace, going to another one, taking an archived one back: in the settings, and for who belongs to none."""

from uuid import UUID

import streamlit as st
from pydantic import BaseModel, Field

from gdp_core import clock
from gdp_core.accounts import founding
from gdp_core.accounts import workspaces as core
from gdp_core.accounts.roles import Principal, Role
from gdp_core.accounts.sessions import SignedIn
from gdp_core.runtime import database
from pages.ui import boundary, forms, layout, session, state
from pages.ui.context import here
from pages.ui.escape import clean


class NewWorkspace(BaseModel):
    """A workspace to make."""

    name: str = Field(min_length=1, max_length=80, examples=["Acme Europe"])
    slug: str = Field(
        title="Short name", max_length=40, examples=["acme-eu"], description="Letters, digits and hyphens; it stays."
    )


def ask_new() -> None:
    """Ask what a further workspace is called, make it, and go there."""

    @boundary.dialog("New workspace", icon=":material/add:")
    def show() -> None:
        layout.note("A brand or company of its own: nothing is shared between workspaces. You become its owner.")
        wanted = forms.ask(NewWorkspace, key="new-workspace", submit="Make it", border=False)
        if wanted is None:
            return
        place = here()
        core.create(database("gdp_gate"), place.principal, slug=wanted.slug, name=wanted.name, now=place.now)
        _arrive(wanted)

    show()


def of_nobody(signed_in: SignedIn) -> None:
    """The page of somebody who belongs to no workspace: make one or take one back, where they may."""
    may_found = founding.may_found(database("gdp_gate"), signed_in.user.id)
    with st.container(horizontal_alignment="center"), st.container(width=640):
        st.space("large")
        with layout.empty(
            ":material/door_open:",
            "You belong to no workspace",
            f"You are signed in as {signed_in.user.email}. "
            + (
                "Make one: people and events then appear in it as soon as you connect a source."
                if may_found
                else "Ask the person who invited you to invite you again, or sign in with another account."
            ),
            key="no-workspace",
        ):
            st.button("Sign out", icon=":material/logout:", on_click=session.sign_out, key="no-workspace-sign-out")
        if may_found:
            wanted = forms.ask(NewWorkspace, key="first-workspace", submit="Make a workspace")
            if wanted:
                founding.found(
                    database("gdp_gate"),
                    signed_in.user,
                    slug=wanted.slug,
                    name=wanted.name,
                    ip=session.address(),
                    now=clock.now(),
                )
                _arrive(wanted)
        archived(signed_in)


def _arrive(made: NewWorkspace) -> None:
    go_to(core.valid_slug(made.slug), f"{made.name} is ready: connect a source.")


def go_to(slug: str | None, said: str) -> None:
    """Start this tab afresh in that workspace, or in the one that comes first."""
    state.forget_all()
    state.replace_query({"ws": slug} if slug else {})
    layout.done(said)
    st.rerun()


def archived(signed_in: SignedIn) -> None:
    """The archived workspaces somebody owns, each with its way back."""
    found = core.list_archived(database("gdp_gate"), signed_in.user.id)
    if not found:
        return
    layout.heading("Archived workspaces of yours")
    for workspace_id, slug, name in found:
        with st.container(border=True, horizontal=True, vertical_alignment="center", key=f"archived-{slug}"):
            st.text(clean(f"{name} ({slug})"), width="stretch")
            st.button(
                "Take back",
                key=f"restore-{slug}",
                icon=":material/unarchive:",
                on_click=_restore,
                args=(workspace_id, name),
            )


def _restore(workspace_id: UUID, name: str) -> None:
    """A callback."""
    with boundary.guarded("workspace.restore"):
        user = session.signed_in().user
        owner = Principal(user.id, user.email, workspace_id, Role.OWNER, session.address())
        with database("gdp_web").transaction(workspace_id) as opened:
            core.restore(opened, owner, now=clock.now())
        layout.done(f"{name} is back.")
