"""Connecting a source: the kinds there are, and the question what to call it."""

from uuid import UUID

import streamlit as st
from pydantic import BaseModel, Field

from gdp_core.accounts import connections, keys
from gdp_core.sources import SOURCES, source
from gdp_core.sources.base import Source
from pages.ui import boundary, data, forms, layout, state
from pages.ui import keys as key_parts
from pages.ui.context import Here, here
from pages.ui.sources import CONNECT, ID, TAB, secrets


def kinds() -> None:
    """Every kind of source as a card with its button."""
    with st.grid(3, min_column_width=260, gap="small"):
        for kind in SOURCES:
            with layout.card(kind.title, key=f"kind-{kind.key}"):
                layout.note(kind.summary)
                st.button(
                    "Import a file" if kind.kind == "file" else "Connect",
                    key=f"connect-{kind.key}",
                    icon=":material/upload_file:" if kind.kind == "file" else ":material/power:",
                    on_click=_choose,
                    args=(kind.key, kind.kind == "file"),
                )


def _choose(key: str, is_file: bool) -> None:
    """A callback."""
    if is_file:
        TAB.set("import")
    else:
        _ASKED.set(key)


_ASKED: state.Slot[str | None] = state.Slot("sources.asked", None)


class Named(BaseModel):
    """A source to connect."""

    name: str = Field(min_length=1, max_length=80, description="So that you know it again.")


def ask_connect() -> None:
    """Ask for the name of the source whose button was clicked, or that the address asks for, and connect it."""
    asked = _ASKED.take() or CONNECT.value
    if not asked:
        return
    kind = source(asked)

    @boundary.dialog(f"Connect {kind.title}", icon=":material/power:")
    def show() -> None:
        layout.note(kind.summary)
        wanted = forms.ask(Named, key="connect", submit="Connect", initial={"name": kind.title}, border=False)
        if wanted:
            CONNECT.set(None)
            ID.set(str(_connect(here(), kind, wanted.name)))
            st.rerun()

    CONNECT.set(None)
    show()


def _connect(place: Here, kind: Source, name: str) -> UUID:
    with place.change() as session:
        made = connections.connect(
            session, place.principal, source=kind.key, name=name, has_invoices=kind.has_invoices, now=place.now
        )
        if kind.kind == "tracking":
            key = keys.create(session, place.principal, source_id=made.id, name=name, kind="browser", now=place.now)
            key_parts.remember(made.id, name, key)
        elif kind.key == "generic":
            secret = connections.new_secret()
            connections.set_secret(session, place.principal, made.id, secret=secret, now=place.now)
            secrets.NEW.set((str(made.id), secret))
    data.forget(place)
    layout.done(f"{name} is connected: now tell the sender where to send.")
    return made.id
