"""The Members page's parts: who is in, who is invited, and the forms that change it."""

from collections.abc import Sequence
from typing import Any, Literal

import streamlit as st
from pydantic import BaseModel, Field

from gdp_core.accounts import members, users
from gdp_core.accounts.members import InvitationRow, MemberRow
from gdp_core.accounts.roles import Role
from gdp_core.settings import settings
from pages.ui import boundary, forms, layout, state
from pages.ui.context import Here, here
from pages.ui.escape import clean, safe_text

ROLE_MEANINGS = {
    Role.OWNER: "Everything, also deleting the workspace and making owners.",
    Role.ADMIN: "Sources, keys, settings and members.",
    Role.MEMBER: "Sees people in full, imports and exports.",
    Role.VIEWER: "Sees numbers, and people with their personal data masked.",
}
LINK: state.Slot[tuple[str, str] | None] = state.Slot("members.link", None)
"""(e-mail, address) of the invitation just made: shown until the page is left."""


class Invite(BaseModel):
    """Whom to invite."""

    email: str = Field(title="E-mail", max_length=254, examples=["ada@example.com"])
    role: Literal["ADMIN", "MEMBER", "VIEWER", "OWNER"] = Field("MEMBER")


def ask_invite(place: Here) -> None:
    """The form that invites somebody."""
    roles = [role.value for role in (Role.MEMBER, Role.VIEWER, Role.ADMIN)]
    if place.may("owners.write"):
        roles.append(Role.OWNER.value)

    @boundary.dialog("Invite somebody", icon=":material/person_add:")
    def show() -> None:
        layout.note("You get a link to send them; it works once, for 7 days.")
        wanted = forms.ask(Invite, key="invite", submit="Make the link", options={"role": roles}, border=False)
        if wanted is None:
            return
        again = here()
        email = users.normal_email(wanted.email)
        with again.change() as session:
            path = members.invite(session, again.principal, email=email, role=Role(wanted.role), now=again.now)
        LINK.set((email, f"{settings().dashboard_address}{path}"))
        st.rerun()

    show()


def new_link() -> None:
    """The invitation just made, until the page is left."""
    made = LINK.get()
    if not made:
        return
    with layout.card(key="new-link", height="content"):
        layout.heading(f"Send this link to {made[0]}")
        st.code(made[1], language=None, wrap_lines=True)
        layout.note("It works once, for 7 days, and is not shown again.")
        st.button("Done", key="link-done", on_click=LINK.clear)


def member_list(place: Here, found: Sequence[MemberRow]) -> None:
    """Every member, with what may be done about them."""
    change = place.may("members.write")
    for row in found:
        mine = row.user_id == place.signed_in.user.id
        with (
            st.container(border=True, key=f"member-{row.user_id}"),
            st.container(horizontal=True, vertical_alignment="center", gap="small"),
        ):
            with st.container(gap=None):
                st.markdown(f"**{safe_text(row.name or row.email)}**{' (you)' if mine else ''}")
                seen = place.write.ago(row.last_sign_in_at, place.now)
                said = [row.email] if row.name else []
                said += [f"Joined {place.write.date_of(row.joined_at)}"]
                said += [f"Signed in {seen}" if row.last_sign_in_at else "Never signed in"]
                st.caption(safe_text(" · ".join(said)))
            editable = change and not mine and (row.role is not Role.OWNER or place.may("owners.write"))
            if editable:
                roles = [role.value for role in Role if role is not Role.OWNER or place.may("owners.write")]
                key = f"role-{row.user_id}"
                st.selectbox(
                    "Role",
                    roles,
                    index=roles.index(row.role.value),
                    key=key,
                    format_func=str.capitalize,
                    label_visibility="collapsed",
                    width=130,
                    on_change=_change_role,
                    args=(row, key),
                )
            else:
                layout.badge(row.role.spelt, "blue" if row.role is Role.OWNER else "gray")
            if editable or mine:
                st.button(
                    "Leave" if mine else "Remove",
                    key=f"remove-{row.user_id}",
                    type="tertiary",
                    icon=":material/logout:" if mine else ":material/person_remove:",
                    on_click=_REMOVE.set,
                    args=((row, mine),),
                )


_REMOVE: state.Slot[tuple[MemberRow, bool] | None] = state.Slot("members.remove", None)


def _change_role(row: MemberRow, key: str) -> None:
    """A callback."""
    wanted: state.Slot[str] = state.Slot(key, row.role.value)
    with boundary.guarded("members.role"):
        place = here()
        with place.change("gdp_gate") as session:
            members.change_role(session, place.principal, row.user_id, role=Role(wanted.get()), now=place.now)
        layout.done(f"{row.name or row.email} has another role, and has to sign in again.")
        return
    wanted.set(row.role.value)


def ask_remove(place: Here) -> None:
    """Ask before somebody is taken out, if their button was clicked."""
    asked = _REMOVE.take()
    if asked is None:
        return
    row, mine = asked

    def act() -> str:
        again = here()
        with again.change("gdp_gate") as session:
            members.remove(session, again.principal, row.user_id, now=again.now)
        return "You left the workspace." if mine else f"{row.name or row.email} is not a member any more."

    layout.confirm(
        "Leave this workspace?" if mine else f"Remove {row.name or row.email}?",
        body=f"{'You lose' if mine else 'They lose'} access to {place.workspace.name} at once and on every device.",
        button="Leave" if mine else "Remove",
        act=act,
        key="member-remove",
    )


def invitations(place: Here, found: Sequence[InvitationRow]) -> None:
    """The open invitations."""
    for row in found:
        with (
            st.container(border=True, key=f"invitation-{row.id}"),
            st.container(horizontal=True, vertical_alignment="center", gap="small"),
        ):
            with st.container(gap=None):
                st.markdown(f"**{safe_text(row.email)}**")
                st.caption(
                    safe_text(
                        f"Invited {place.write.ago(row.created_at, place.now)}, until"
                        f" {place.write.instant(row.expires_at)}"
                    )
                )
            layout.badge(row.role.spelt)
            st.button(
                "Take back",
                key=f"uninvite-{row.id}",
                type="tertiary",
                icon=":material/undo:",
                on_click=_uninvite,
                args=(row,),
            )


def _uninvite(row: InvitationRow) -> None:
    """A callback."""
    with boundary.guarded("members.uninvite"):
        place = here()
        with place.change() as session:
            members.revoke_invitation(session, place.principal, row.id, now=place.now)
        made = LINK.get()
        if made and made[0] == row.email:
            LINK.clear()
        layout.done(f"The invitation of {row.email} stopped working.")


def meanings() -> None:
    """What each role may do."""
    columns: dict[str, list[Any]] = {
        "Role": [role.spelt for role in ROLE_MEANINGS],
        "May": [clean(text) for text in ROLE_MEANINGS.values()],
    }
    layout.table(
        columns,
        alt="What each role may do",
        config={"Role": st.column_config.TextColumn(width="small")},
        height="content",
    )
