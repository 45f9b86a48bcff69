"""One source: how it does, how to connect it, its secret, keys and addresses."""

from uuid import UUID

import streamlit as st

from gdp_core.accounts import connections, keys
from gdp_core.accounts.connections import Connection
from gdp_core.errors import NotFound
from gdp_core.settings import settings
from gdp_core.sources import source
from gdp_core.sources.base import Source
from pages.ui import boundary, data, forms, layout, nav
from pages.ui import keys as key_parts
from pages.ui.context import Here, here
from pages.ui.escape import clean, safe_text
from pages.ui.guides import Filling, guide_text
from pages.ui.sources import health, secrets
from pages.ui.sources.connecting import Named


def page(place: Here, identifier: str) -> None:
    """One source: how it does, how to connect it, its secrets and keys."""
    known = place.read(connections.list_connections, place.principal, archived=True)
    found = next((item for item in known if str(item.id) == identifier), None)
    nav.link(place, "sources", label="All sources", icon=":material/arrow_back:")
    if found is None:
        raise NotFound("This source is not in this workspace.")
    kind = source(found.source)
    with layout.head(found.name, f"{kind.title}, connected {place.write.date_of(found.created_at)}"):
        if place.may("sources.write"):
            _menu(place, found)
    if found.archived_at:
        st.warning(
            "This source is disconnected: its address and keys do not work. What it sent stays.",
            icon=":material/link_off:",
        )
    key_parts.new_key(found.id)
    secrets.new_secret(found)
    left, right = st.columns([3, 2], gap="small")
    with right:
        health.card(found.id)
        if kind.kind == "tracking":
            _keys(place, found)
        if kind.kind != "file":
            _addresses(place, found, kind)
    with left:
        if kind.kind == "webhook" and kind.verify:
            secrets.card(place, found)  # the guide speaks of it as the form above
        with layout.card("How to connect", height="content"):
            st.markdown(guide_text(kind, _filling(place, found)))


def _filling(place: Here, found: Connection) -> Filling:
    """What the guide is filled with: the real thing where this page knows it, a word to replace where it does not."""
    made, secret = key_parts.NEW.get(), secrets.NEW.get()
    return Filling(
        door=settings().door_address,
        slug=place.workspace.slug,
        hook=found.hook_key or "ADDRESS_KEY",
        key=made[2] if made and made[0] == found.id else "YOUR_KEY",
        secret=secret[1] if secret and secret[0] == str(found.id) else "whsec_...",
    )


def _menu(place: Here, found: Connection) -> None:
    with st.popover("Change", icon=":material/more_horiz:", key="source-menu"):
        wanted = forms.ask(Named, key="rename", submit="Rename", initial={"name": found.name}, border=False)
        if wanted:
            with place.change() as session:
                connections.rename(session, place.principal, found.id, name=wanted.name, now=place.now)
            data.forget(place)
            layout.done("Renamed.")
            st.rerun()
        if found.archived_at:
            st.button(
                "Connect again", icon=":material/link:", key="source-restore", on_click=_restore, args=(found.id,)
            )
        elif st.button("Disconnect", icon=":material/link_off:", key="source-archive"):
            _ask_archive(found)


def _restore(source_id: UUID) -> None:
    """A callback."""
    with boundary.guarded("sources.restore"):
        place = here()
        with place.change() as session:
            connections.restore(session, place.principal, source_id, now=place.now)
        data.forget(place)
        layout.done("Connected again, with the same address and keys.")


def _ask_archive(found: Connection) -> None:
    def act() -> str:
        place = here()
        with place.change() as session:
            connections.archive(session, place.principal, found.id, now=place.now)
        data.forget(place)
        return f"{found.name} is disconnected."

    layout.confirm(
        f"Disconnect {found.name}?",
        body="Its address and keys stop working at once; what it sends from now on is refused. What it sent stays, and"
        " it can be connected again.",
        button="Disconnect",
        act=act,
        key="source-archive",
    )


def _keys(place: Here, found: Connection) -> None:
    if not place.may("keys.read"):
        return
    mine = [row for row in place.read(keys.list_keys, place.principal) if row.source_id == found.id]
    working = [row for row in mine if key_parts.state_of(row, place.now) in ("Works", "Ends")]
    with layout.card("Keys", height="content"):
        for row in working:
            used = place.write.ago(row.last_used_at, place.now)
            st.text(clean(f"{row.prefix}…  {row.name}"))
            st.caption(safe_text(f"{key_parts.KINDS[row.kind]}, last used {used}"))
        if not working:
            layout.note("No key works. Make one: without it nothing is accepted.")
        with st.container(horizontal=True):
            if place.may("keys.write") and not found.archived_at:
                if st.button("New key", icon=":material/add:", key="source-key"):
                    key_parts.ask_key({str(found.id): found.name})
                nav.link(place, "keys", label="Rotate and revoke", icon=":material/key:")


def _addresses(place: Here, found: Connection, kind: Source) -> None:
    door = settings().door_address
    with layout.card("Addresses", height="content"):
        if kind.kind == "tracking":
            layout.note("Of the SDKs")
            st.code(door, language=None)
        if kind.kind == "webhook" or kind.key == "posthog":
            layout.note("Of the webhook" if kind.kind == "webhook" else "Of PostHog's own webhook destination")
            hook = found.hook_key or "hidden from your role"
            st.code(f"{door}/hooks/{kind.key}/{hook}", language=None, wrap_lines=True)
            if (
                place.may("sources.write")
                and not found.archived_at
                and st.button("New address", icon=":material/autorenew:", key="address-new", type="tertiary")
            ):
                _ask_address(found)


def _ask_address(found: Connection) -> None:
    def act() -> str:
        place = here()
        with place.change() as session:
            connections.change_address(session, place.principal, found.id, now=place.now)
        return "The source has a new address."

    layout.confirm(
        "Give it a new address?",
        body="For an address that got into wrong hands. The old one stops working at once: change it at the sender too.",
        button="New address",
        act=act,
        key="address",
    )
