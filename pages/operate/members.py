"""Members: who works here, as what, and who is invited."""

import streamlit as st

from gdp_core.accounts.members import list_invitations, list_members
from pages.ui import layout, members
from pages.ui.context import here

place = here()
found = place.read(list_members, place.principal)
said = (
    f"{place.write.number(len(found))} {'person works' if len(found) == 1 else 'people work'} in {place.workspace.name}"
)
with layout.head("Members", said):
    if place.may("members.write") and st.button(
        "Invite somebody", type="primary", icon=":material/person_add:", key="member-invite"
    ):
        members.ask_invite(place)

members.new_link()
members.member_list(place, found)
members.ask_remove(place)

if place.may("members.write"):
    open_ones = place.read(list_invitations, place.principal, now=place.now)
    if open_ones:
        layout.section("Invited")
        members.invitations(place, open_ones)

layout.section("What roles may do")
members.meanings()
