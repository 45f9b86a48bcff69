"""API keys: the list, making one, showing its text once, rotating and revoking. Sources show theirs with the same parts."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

import streamlit as st
from pydantic import BaseModel, Field

from gdp_core.accounts import keys
from gdp_core.accounts.keys import KeyRow, NewKey
from gdp_core.accounts.roles import Role
from pages.ui import boundary, forms, layout, state
from pages.ui.context import Here, here
from pages.ui.escape import button_text, clean
from pages.ui.rows import Buttons

KINDS = {"browser": "Browser key", "server": "Server key"}
NEW: state.Slot[tuple[UUID, str, str] | None] = state.Slot("keys.new", None)
"""(source, name, text) of the key just made: shown until the page is left."""

_OPEN: Buttons[UUID] = Buttons("keys.open")
_TONES: dict[str, layout.Tone] = {"Works": "green", "Ends": "orange", "Ended": "gray", "Revoked": "red"}


class WantedKey(BaseModel):
    """A key to make."""

    source: str = Field(description="What is sent with it belongs to this source.")
    kind: Literal["browser", "server"] = Field(
        "browser", description="A browser key may be read by anybody; a server key must stay secret."
    )
    name: str = Field(max_length=80, description="Who uses it.", examples=["Website"])
    role: Literal["Only sends", "Viewer", "Member"] = Field(
        "Only sends",
        title="May ask the API as",
        description="Of a server key: a Viewer reads segments; a Member changes them too, and reads people's addresses.",
    )
    allowed_origins: list[str] = Field(
        default_factory=list,
        title="Allowed origins",
        description="Of a browser key: sites it works on, such as https://www.example.com. None: every site.",
    )


def ask_key(sources: Mapping[str, str], *, source_id: str | None = None) -> None:
    """The form that makes a key; `sources` are id -> name."""
    twice = len(set(sources.values())) < len(sources)
    named = {f"{name} ({found[:8]})" if twice else name: found for found, name in sources.items()}
    first = next((name for name, found in named.items() if found == source_id), next(iter(named)))

    @boundary.dialog("New key", icon=":material/key:")
    def show() -> None:
        wanted = forms.ask(
            WantedKey,
            key="new-key",
            submit="Make the key",
            initial={"source": first},
            options={"source": [*named]},
            border=False,
        )
        if wanted is None:
            return
        again, chosen = here(), UUID(named[wanted.source])
        with again.change() as session:
            made = keys.create(
                session,
                again.principal,
                source_id=chosen,
                name=wanted.name,
                kind=wanted.kind,
                allowed_origins=wanted.allowed_origins,
                role=None if wanted.role == "Only sends" else Role(wanted.role.upper()),
                now=again.now,
            )
        remember(chosen, wanted.name, made)
        st.rerun()

    show()


def remember(source_id: UUID, name: str, made: NewKey) -> None:
    """Keep the text of a new key for as long as its page is open."""
    NEW.set((source_id, name, made.secret))


def new_key(source_id: UUID | None = None) -> None:
    """The key just made (of a source), the only time its text is shown."""
    made = NEW.get()
    if made is None or source_id not in (None, made[0]):
        return
    with layout.card(key="new-key-card", height="content"):
        layout.heading(f"Copy the key {made[1]} now")
        st.code(made[2], language=None, wrap_lines=True)
        layout.note("It is not shown again: only a hash of it is kept.")
        st.button("I have it", key="key-done", on_click=NEW.clear)


def key_table(place: Here, found: Sequence[KeyRow], sources: Mapping[UUID, str]) -> None:
    """Every key; the name and the icon before it open one."""
    write = place.write
    columns: dict[str, list[Any]] = {
        "open": _OPEN.cells([row.id for row in found]),
        "Name": [button_text(clean(row.name)) for row in found],
        "Key": [f"{row.prefix}…" for row in found],
        "Kind": [KINDS[row.kind] for row in found],
        "API": [row.role.spelt if row.role else "" for row in found],
        "Source": [clean(sources.get(row.source_id, "Removed source")) for row in found],
        "State": [[state_of(row, place.now)] for row in found],
        "Last used": [write.ago(row.last_used_at, place.now) for row in found],
        "Made": [write.date_of(row.created_at) for row in found],
        "Ends": [write.instant(row.expires_at) if row.expires_at and not row.revoked_at else "" for row in found],
        "Origins": [[clean(item) for item in row.allowed_origins] for row in found],
    }
    config: dict[str, Any] = {
        "open": _OPEN.column(),
        "Name": _OPEN.text_column(width=180),
        "State": st.column_config.MultiselectColumn(options=[*_TONES], color=[*_TONES.values()], width=90),
        "Origins": st.column_config.ListColumn(),
    }
    order = [name for name in columns if name != "Origins" or any(row.allowed_origins for row in found)]
    layout.table(columns, alt="Keys and whether they work", config=config, height="content", order=order)
    _OPEN.chooser("Open a key by name", {row.id: f"{row.name} ({row.prefix}…)" for row in found})


def state_of(row: KeyRow, now: datetime) -> str:
    """Works, Ends (a newer one took over), Ended, Revoked."""
    if row.revoked_at:
        return "Revoked"
    if row.expires_at is None:
        return "Works"
    return "Ends" if row.expires_at > now else "Ended"


def opened(found: Sequence[KeyRow]) -> KeyRow | None:
    """The key whose button was clicked."""
    wanted = _OPEN.clicked()
    return next((row for row in found if row.id == wanted), None)


class Rotation(BaseModel):
    """How long the old key works on."""

    overlap_hours: int = Field(24, ge=0, le=720, title="Hours the old key works on")


def drawer(row: KeyRow, source: str) -> None:
    """One key: what it is, rotating and revoking."""

    @boundary.dialog(row.name, drawer=True, icon=":material/key:")
    def show() -> None:
        place = here()
        write = place.write
        said = state_of(row, place.now)
        layout.badge(said, _TONES[said])
        layout.facts(
            {
                "Key": f"{row.prefix}…",
                "Kind": KINDS[row.kind],
                "Source": source,
                "Made": write.instant(row.created_at),
                "Last used": write.ago(row.last_used_at, place.now),
                "Ends": write.instant(row.expires_at),
                "Origins": ", ".join(row.allowed_origins) or ("Every site" if row.kind == "browser" else "Servers"),
            }
        )
        if not place.may("keys.write") or said in ("Revoked", "Ended"):
            return
        layout.heading("Rotate")
        layout.note("Makes a new key of the same kind. The old one works on for a while, so that nothing is lost.")
        wanted = forms.ask(Rotation, key=f"rotate-{row.id}", submit="Rotate", border=False)
        if wanted:
            with place.change() as session:
                made = keys.rotate(session, place.principal, row.id, overlap_hours=wanted.overlap_hours, now=place.now)
            remember(row.source_id, row.name, made)
            st.rerun()
        layout.heading("Revoke")
        layout.note("What is sent with it is refused from now on, and lost unless its sender tries again.")
        if st.button("Revoke at once", key=f"revoke-{row.id}", icon=":material/block:"):
            with place.change() as session:
                keys.revoke(session, place.principal, row.id, now=place.now)
            layout.done(f"The key {row.name} stopped working.")
            st.rerun()

    show()
