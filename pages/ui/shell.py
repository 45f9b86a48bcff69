"""The frame around every page: workspace switcher, navigation, how fresh the data is, the account menu."""

from pathlib import Path

import streamlit as st

from gdp_core.accounts import workspaces
from gdp_core.analytics import overview
from gdp_core.errors import GrowthError
from gdp_core.runtime import database
from pages.ui import data, nav, session, state
from pages.ui.boundary import guard
from pages.ui.context import Here, here
from pages.ui.escape import clean, safe_text

ICON = str(Path(__file__).parent.parent / "static" / "favicon.svg")
WIDTH = 232  # pixels of the sidebar: the rest is for tables
_SWITCHER: state.Slot[str | None] = state.Slot("shell.switcher", None)


def sidebar(place: Here) -> None:
    """Everything in the sidebar."""
    _switcher(place)
    _navigation(place)
    st.space("small")
    _freshness(place)
    _account(place)


def _switcher(place: Here) -> None:
    names = {member.slug: member.name for member in place.signed_in.memberships}
    twice = len(set(names.values())) < len(names)
    _SWITCHER.set(place.member.slug)
    st.selectbox(
        "Workspace",
        [*names],
        key=_SWITCHER.key,
        format_func=lambda slug: clean(f"{names[slug]} ({slug})" if twice else names[slug], longest=60),
        on_change=_switch,
        label_visibility="collapsed",
        filter_mode=None if len(names) < 8 else "fuzzy",
    )
    if place.workspace.kind == "demo":
        st.badge("Demo data", color="violet", icon=":material/science:")


def _switch() -> None:
    """A callback: go to the chosen workspace, and come back to it at the next sign-in."""
    wanted = _SWITCHER.get()
    found = session.signed_in()
    if wanted is None:
        return
    principal = found.principal(wanted, ip=session.address())
    state.forget_all()
    state.WORKSPACE.set(wanted)
    state.replace_query({"ws": wanted})
    try:
        workspaces.enter(database("gdp_gate"), principal, now=here().now)
    except GrowthError as error:
        state.NOTICE.set(str(error))


def _navigation(place: Here) -> None:
    for section in nav.SECTIONS:
        entries = [item for item in section.entries if not item.hidden and place.may(item.action)]
        if not entries:
            continue
        with st.container(gap="xxsmall", key=f"nav-{section.folder}"):
            if section.title:
                st.caption(safe_text(section.title))
            for item in entries:
                nav.link(place, item.name, width="stretch")


@guard
def _freshness(place: Here) -> None:
    fresh = data.freshness(place)
    if fresh.received_at is None:
        st.caption("No data yet." if data.remembered(place, overview.is_empty) else "No recent data.")
        return
    zone = place.write.zone
    today = fresh.received_at.astimezone(zone).date() == place.now.astimezone(zone).date()
    when = place.write.clock(fresh.received_at) if today else place.write.instant(fresh.received_at)
    at = f"{when} {place.write.zone_name(place.now)}"
    waiting = "" if not fresh.waiting else f" · {place.write.number(fresh.waiting)} waiting"
    if fresh.waiting >= 1000:
        waiting = " · 1,000+ waiting"
    st.caption(f"Newest data: {safe_text(at)}{safe_text(waiting)}")


def _account(place: Here) -> None:
    user = place.signed_in.user
    with st.popover(
        safe_text(user.name or user.email, longest=32), icon=":material/account_circle:", width="stretch", key="account"
    ):
        st.text(clean(user.email))
        st.caption(f"{safe_text(place.role.spelt)} of {safe_text(place.workspace.name)}")
        st.link_button("Your account", "/account", icon=":material/manage_accounts:", width="stretch")
        st.button("Sign out", icon=":material/logout:", on_click=session.sign_out, key="sign-out", width="stretch")
