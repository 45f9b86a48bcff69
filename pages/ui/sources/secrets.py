"""The signing secret of a webhook source: setting it, changing it with overlap, showing the one made here once."""

from uuid import UUID

import streamlit as st
from pydantic import BaseModel, Field, SecretStr

from gdp_core.accounts import connections
from gdp_core.accounts.connections import Connection
from pages.ui import boundary, forms, layout, state
from pages.ui.context import Here, here
from pages.ui.escape import safe_text

NEW: state.Slot[tuple[str, str] | None] = state.Slot("sources.secret", None)
"""(source, text) of the signing secret we made for a source: shown until the page is left."""


class Secret(BaseModel):
    """A signing secret, as the sender shows it."""

    secret: SecretStr = Field(title="Signing secret", description="Stored encrypted, never shown again.")
    overlap_hours: int = Field(
        24, ge=0, le=720, title="Hours the old one counts", description="So that nothing is lost while you change it."
    )


def card(place: Here, found: Connection) -> None:
    """The secrets that count now, and the form that sets another."""
    with layout.card("Signing secret", height="content"):
        active = place.read(connections.list_secrets, place.principal, found.id, now=place.now)
        if not active:
            st.warning("No secret is set yet, so everything is refused.", icon=":material/lock:")
        for item in active:
            until = f", counts until {place.write.instant(item.expires_at)}" if item.expires_at else ""
            with st.container(horizontal=True, vertical_alignment="center"):
                st.caption(safe_text(f"Set {place.write.instant(item.created_at)}{until}"), width="stretch")
                if place.may("sources.write") and item.expires_at:
                    st.button(
                        "End now",
                        key=f"secret-{item.id}",
                        type="tertiary",
                        on_click=_drop,
                        args=(found.id, item.id),
                    )
        if not place.may("sources.write") or found.archived_at:
            return
        if found.source == "generic" and st.button(
            "Make a new secret", icon=":material/autorenew:", key="secret-make", help="The old one counts for 24 hours."
        ):
            _set(place, found, connections.new_secret(), 24, show=True)
        wanted = forms.ask(
            Secret, key="secret", submit="Replace the secret" if active else "Set the secret", border=False, clear=True
        )
        if wanted:
            _set(place, found, wanted.secret.get_secret_value(), wanted.overlap_hours)


def _set(place: Here, found: Connection, text: str, overlap_hours: int, *, show: bool = False) -> None:
    with place.change() as session:
        connections.set_secret(
            session, place.principal, found.id, secret=text, overlap_hours=overlap_hours, now=place.now
        )
    if show:
        NEW.set((str(found.id), text))
    layout.done("The secret counts from now on.")
    st.rerun()


def _drop(source_id: UUID, secret_id: UUID) -> None:
    """A callback."""
    with boundary.guarded("sources.secret"):
        place = here()
        with place.change() as session:
            connections.drop_secret(session, place.principal, source_id, secret_id, now=place.now)
        layout.done("The old secret stopped counting.")


def new_secret(found: Connection) -> None:
    """The secret just made for this source, the only time it is shown."""
    made = NEW.get()
    if made is None or made[0] != str(found.id):
        return
    with layout.card(key="new-secret-card", height="content"):
        layout.heading("Copy the signing secret now")
        st.code(made[1], language=None, wrap_lines=True)
        layout.note("It is not shown again. The guide has it filled in as long as this page is open.")
        st.button("I have it", key="secret-done", on_click=NEW.clear)
