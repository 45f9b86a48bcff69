"""The Sources page's parts: the list, connecting, one source with its guide and secrets, and importing a file."""

import re
from collections.abc import Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

import streamlit as st
from pydantic import BaseModel, Field, SecretStr

from gdp_core import clock
from gdp_core.accounts import connections, keys
from gdp_core.accounts.connections import Connection
from gdp_core.analytics import sources_view
from gdp_core.analytics.sources_view import ImportRow, SourceRow
from gdp_core.errors import NotFound
from gdp_core.importer.mapping import Mapping as FileMapping
from gdp_core.importer.preview import Preview, preview
from gdp_core.importer.run import ImportResult, prepare_import
from gdp_core.settings import settings
from gdp_core.sources import SOURCES, source
from gdp_core.sources.base import Source
from pages.ui import boundary, data, forms, layout, nav, state, uploads
from pages.ui import keys as key_parts
from pages.ui.context import Here, here
from pages.ui.escape import clean, safe_text
from pages.ui.format import UNKNOWN, label
from pages.ui.guides import Filling, guide_text

TABS = {"sources": "Connected", "import": "Import a file"}
TAB = state.Field("sources", "tab", default="sources", choices=tuple(TABS))
ID = state.Field("sources", "id")
CONNECT = state.Field("sources", "connect", default=None, choices=tuple(item.key for item in SOURCES))
FIELDS = (TAB, ID, CONNECT)

STATES: dict[str, tuple[str, layout.Tone, str]] = {
    "live": ("Live", "green", ":material/check_circle:"),
    "quiet": ("Quiet", "gray", ":material/bedtime:"),
    "never": ("Waiting", "blue", ":material/hourglass_empty:"),
    "rejecting": ("Rejecting", "red", ":material/error:"),
    "by_hand": ("By hand", "gray", ":material/upload_file:"),
}
_SECRET: state.Slot[tuple[str, str] | None] = state.Slot("sources.secret", None)
"""(source, text) of the signing secret we made for a source: shown until the page is left."""


# --------------------------------------------------------------------------------------------------------- the list


@boundary.fragment(every=15)
def source_list() -> None:
    """Every source and how it does, again every 15 seconds."""
    place = here()
    known = place.read(connections.list_connections, place.principal, archived=True)
    found = place.read(sources_view.read_sources, known, place.now)
    for row in (item for item in found if item.archived_at is None):
        _card(place, row)
    archived = [item for item in found if item.archived_at is not None]
    if archived:
        with st.expander(f"{place.write.number(len(archived))} disconnected", icon=":material/link_off:"):
            for row in archived:
                _card(place, row)


def _card(place: Here, row: SourceRow) -> None:
    write = place.write
    name, tone, icon = ("Disconnected", "gray", ":material/link_off:") if row.archived_at else STATES[row.state]
    if row.state == "quiet" and row.received_at and not row.archived_at:
        name = f"Quiet for {write.span(place.now - row.received_at)}"
    with st.container(border=True, key=f"source-{row.id}"):
        first, second, *numbers = st.columns([4, 3, 2, 2, 2], vertical_alignment="center", gap="small")
        with first, st.container(gap=None):
            nav.link(place, "sources", label=row.name, icon="", id=str(row.id))
            st.caption(safe_text(title_of(row.source)))
        with second, st.container(gap=None):
            layout.badge(name, tone, icon)  # type: ignore[arg-type]
            last = f", last: {row.last_event}" if row.last_event else ""
            st.caption(safe_text(f"{_seen(place, row)}{last}", longest=70))
        counts = {
            "Deliveries, 24\u00a0h": row.deliveries,
            "Rejected, 24\u00a0h": row.rejects,
            "Events in all": row.events,
        }
        for column, (title, count) in zip(numbers, counts.items(), strict=True):
            with column, st.container(gap=None):
                st.markdown(f"**{safe_text(write.number(count))}**")
                st.caption(safe_text(title))


def _seen(place: Here, row: SourceRow) -> str:
    if row.received_at is None:
        return "Nothing yet"
    return f"Last seen {place.write.ago(row.received_at, place.now)}"


def title_of(key: str) -> str:
    """What a kind of source is called, also when it is none of ours any more."""
    try:
        return source(key).title
    except NotFound:
        return label(key)


# ------------------------------------------------------------------------------------------------------- connecting


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
            _SECRET.set((str(made.id), secret))
    data.forget()
    layout.done(f"{name} is connected: now tell the sender where to send.")
    return made.id


# ------------------------------------------------------------------------------------------------------- one source


def source_page(place: Here, identifier: str) -> None:
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
    _new_secret(found)
    left, right = st.columns([5, 3], gap="small")
    with right:
        _health(found.id)
        if kind.kind == "webhook" and kind.verify:
            _secrets(place, found)
        if kind.kind == "tracking":
            _keys(place, found)
        if kind.kind != "file":
            _addresses(place, found, kind)
    with left, layout.card("How to connect", height="content"):
        st.markdown(guide_text(kind, _filling(place, found)))


def _filling(place: Here, found: Connection) -> Filling:
    """What the guide is filled with: the real thing where this page knows it, a word to replace where it does not."""
    made, secret = key_parts.NEW.get(), _SECRET.get()
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
            data.forget()
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
        data.forget()
        layout.done("Connected again, with the same address and keys.")


def _ask_archive(found: Connection) -> None:
    def act() -> str:
        place = here()
        with place.change() as session:
            connections.archive(session, place.principal, found.id, now=place.now)
        data.forget()
        return f"{found.name} is disconnected."

    layout.confirm(
        f"Disconnect {found.name}?",
        body="Its address and keys stop working at once; what it sends from now on is refused. What it sent stays, and"
        " it can be connected again.",
        button="Disconnect",
        act=act,
        key="source-archive",
    )


@boundary.fragment(every=3)
def _waiting(source_id: UUID) -> None:
    place = here()
    arrived = place.read(sources_view.read_arrival, source_id, place.now - timedelta(days=1))
    if arrived is None:
        with st.container(horizontal=True, vertical_alignment="center", key="waiting"):
            layout.badge("Waiting for the first event", "blue", ":material/hourglass_empty:")
        layout.note("Send one now: it appears here within seconds.")
        return
    ago = place.write.ago(arrived.received_at, place.now)
    if arrived.state == "pending":
        layout.badge(f"Received {ago}, being applied", "blue", ":material/autorenew:")
    elif arrived.applied:
        layout.badge(f"Received {ago}", "green", ":material/celebration:")
        if arrived.events:
            layout.note(f"Events: {', '.join(arrived.events)}")
    else:
        layout.badge(f"Received {ago}, but nothing could be used", "orange", ":material/warning:")
    if arrived.problem:
        layout.note(arrived.problem if place.may("inbox.read") else f"Reason: {label(arrived.code)}")
    nav.link(place, "inbox", label="See it in the inbox", icon=":material/inbox:", source=str(source_id))


@boundary.fragment(every=15)
def _numbers(source_id: UUID) -> None:
    place = here()
    known = place.read(connections.list_connections, place.principal, archived=True)
    rows = place.read(sources_view.read_sources, [item for item in known if item.id == source_id], place.now)
    for row in rows:
        name, tone, icon = STATES[row.state]
        layout.badge(name, tone, icon)
        layout.facts(
            {
                "Last seen": place.write.ago(row.received_at, place.now),
                "Deliveries in 24 h": place.write.number(row.deliveries),
                "Items in 24 h": place.write.number(row.facts),
                "Rejected in 24 h": place.write.number(row.rejects),
                "Events in all": place.write.number(row.events),
                "Last event": row.last_event or UNKNOWN,
            }
        )
        if row.rejects:
            nav.link(
                place,
                "inbox",
                label="What was rejected, and why",
                icon=":material/inbox:",
                source=str(source_id),
                state="quarantined",
            )


def _health(source_id: UUID) -> None:
    place = here()
    rows = place.read(
        sources_view.read_sources,
        [
            item
            for item in place.read(connections.list_connections, place.principal, archived=True)
            if item.id == source_id
        ],
        place.now,
    )
    fresh = rows and place.now - rows[0].created_at < timedelta(days=1) and rows[0].source != "import"
    with layout.card("Health", height="content"):
        if rows and (rows[0].state == "never" or (fresh and not rows[0].archived_at)):
            _waiting(source_id)
        if rows and rows[0].state != "never":
            _numbers(source_id)


class Secret(BaseModel):
    """A signing secret, as the sender shows it."""

    secret: SecretStr = Field(title="Signing secret", description="Stored encrypted, never shown again.")
    overlap_hours: int = Field(
        24, ge=0, le=720, title="Hours the old one counts", description="So that nothing is lost while you change it."
    )


def _secrets(place: Here, found: Connection) -> None:
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
                        on_click=_drop_secret,
                        args=(found.id, item.id),
                    )
        if not place.may("sources.write") or found.archived_at:
            return
        if found.source == "generic" and st.button(
            "Make a new secret", icon=":material/autorenew:", key="secret-make", help="The old one counts for 24 hours."
        ):
            _set_secret(place, found, connections.new_secret(), 24, show=True)
        wanted = forms.ask(
            Secret, key="secret", submit="Replace the secret" if active else "Set the secret", border=False, clear=True
        )
        if wanted:
            _set_secret(place, found, wanted.secret.get_secret_value(), wanted.overlap_hours)


def _set_secret(place: Here, found: Connection, text: str, overlap_hours: int, *, show: bool = False) -> None:
    with place.change() as session:
        connections.set_secret(
            session, place.principal, found.id, secret=text, overlap_hours=overlap_hours, now=place.now
        )
    if show:
        _SECRET.set((str(found.id), text))
    layout.done("The secret counts from now on.")
    st.rerun()


def _drop_secret(source_id: UUID, secret_id: UUID) -> None:
    """A callback."""
    with boundary.guarded("sources.secret"):
        place = here()
        with place.change() as session:
            connections.drop_secret(session, place.principal, source_id, secret_id, now=place.now)
        layout.done("The old secret stopped counting.")


def _new_secret(found: Connection) -> None:
    made = _SECRET.get()
    if made is None or made[0] != str(found.id):
        return
    with layout.card(key="new-secret-card", height="content"):
        layout.heading("Copy the signing secret now")
        st.code(made[1], language=None, wrap_lines=True)
        layout.note("It is not shown again. The examples below have it filled in as long as this page is open.")
        st.button("I have it", key="secret-done", on_click=_SECRET.clear)


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


# ------------------------------------------------------------------------------------------------ files

_UPLOAD: state.Slot[uploads.Upload | None] = state.Slot("sources.upload", None)
_PREVIEW: state.Slot[Preview | None] = state.Slot("sources.preview", None)
_RUNNING: state.Slot[uploads.Running | None] = state.Slot("sources.running", None)


def import_page(place: Here) -> None:
    """Upload, look, try, import."""
    if not place.may("imports.run"):
        layout.empty(":material/block:", "Your role may look, not import", "Ask somebody who is at least a member.")
        return
    running = _RUNNING.get()
    if running is not None:
        if running.is_done:
            _finished(place, running)
        else:
            _import_progress()
        return
    given = st.file_uploader(
        "A file of people or events",
        type=uploads.TYPES,
        key="import-file",
        max_upload_size=uploads.MOST_MB,
        help="CSV, TSV, JSON lines or Parquet, gzipped or not. Larger ones: python -m jobs import FILE.",
    )
    if given is None:
        uploads.drop(_UPLOAD.get())
        _UPLOAD.clear()
        _PREVIEW.clear()
        layout.note("Nothing is written before you press Import. Importing the same file again changes nothing.")
        return
    _look(place, given)


def _look(place: Here, given: Any) -> None:
    upload = _UPLOAD.get()
    if upload is None or upload.id != given.file_id:
        uploads.drop(upload)
        upload = uploads.keep(given)
        _UPLOAD.set(upload)
        _PREVIEW.set(preview(upload.path, now=place.now))
    found = _PREVIEW.get() or preview(upload.path, now=place.now)
    layout.section("What is in it")
    uploads.columns(place, found)
    layout.section("What it means")
    with st.container():  # always there, so that what follows keeps its place on the page
        if found.suggested and found.mapping:
            layout.note("A suggestion by the names of the columns: look at it before you use it.")
    mapping, button = uploads.mapping_form(found, found.mapping)
    if mapping is None:
        if found.mapping:
            layout.section("What importing would do")
            uploads.outcome(place, found)
        return
    tried = preview(upload.path, mapping, now=place.now)
    _PREVIEW.set(tried)
    if button == "import":
        _start(place, upload, mapping)
    layout.section("What importing would do")
    uploads.outcome(place, tried)


def _start(place: Here, upload: uploads.Upload, mapping: FileMapping) -> None:
    name = mapping.source or _name_of(upload)
    with place.change() as session:
        source_id = prepare_import(session, place.principal, name=name, file=upload.path.name, now=place.now)
    _RUNNING.set(uploads.start(place.workspace.id, source_id, upload, mapping))
    _UPLOAD.clear()
    _PREVIEW.clear()
    st.rerun()


def _name_of(upload: uploads.Upload) -> str:
    """What the import's source is called: by the file without its dates, so that next month's is the same source."""
    stem = upload.path.name.split(".")[0]
    return re.sub(r"[\W\d_]+$", "", stem) or stem


@boundary.fragment(every=1)
def _import_progress() -> None:
    place, running = here(), _RUNNING.get()
    if running is None or running.is_done:
        data.forget()
        st.rerun()
        return
    write = place.write
    rows = f"{write.number(running.rows)} of {write.number(running.total)} rows" if running.total else "reading it"
    st.progress(running.share, text=f"Importing {safe_text(running.name, longest=60)}: {safe_text(rows)}")
    layout.note("It goes on when you leave this page.")


def _finished(place: Here, running: uploads.Running) -> None:
    with layout.card(key="import-result", height="content"):
        with boundary.guarded("import"):
            _result(place, running.name, running.result())
        st.button("Import another file", key="import-again", icon=":material/upload_file:", on_click=_RUNNING.clear)


def _result(place: Here, name: str, result: ImportResult) -> None:
    write = place.write
    layout.badge("Imported" if not result.repeated else "Imported before", "green", ":material/check_circle:")
    if result.repeated:
        layout.note("This file had been imported with this mapping before, so nothing changed.")
    layout.facts(
        {
            "File": name,
            "Rows": write.number(result.rows),
            "Applied": write.number(result.applied),
            "Known already": write.number(result.duplicate),
            "Rejected": write.number(result.rejected),
        }
    )
    if result.rejects and result.rejects.exists():
        st.download_button(
            "Rejected rows with reasons",
            result.rejects.read_bytes(),
            file_name=result.rejects.name,
            mime="text/csv",
            icon=":material/download:",
            on_click="ignore",
            key="import-rejects",
        )


def imports(place: Here, found: Sequence[ImportRow]) -> None:
    """What was imported before."""
    write = place.write
    columns: dict[str, list[Any]] = {
        "File": [clean(row.label) for row in found],
        "Source": [clean(row.source or label(row.kind)) for row in found],
        "State": [[_import_state(row)] for row in found],
        "Done": [row.share for row in found],
        "Rows": [write.number(row.rows_done) for row in found],
        "Applied": [write.number(row.applied) for row in found],
        "Known already": [write.number(row.duplicate) for row in found],
        "Rejected": [write.number(row.rows_rejected) for row in found],
        "Started": [write.instant(row.started_at) for row in found],
        "Problem": [clean(row.error or "") for row in found],
    }
    config: dict[str, Any] = {
        "File": st.column_config.TextColumn(pinned=True),
        "State": st.column_config.MultiselectColumn(
            options=["Done", "Running", "Interrupted", "Failed"], color=["green", "blue", "orange", "red"], width=100
        ),
        "Done": st.column_config.ProgressColumn(format="percent", width="small"),
    }
    for name in ("Rows", "Applied", "Known already", "Rejected"):
        config[name] = st.column_config.TextColumn(alignment="right", width="small")
    order = [name for name in columns if name != "Problem" or any(row.error for row in found)]
    layout.table(columns, alt="Imports and backfills", config=config, height="content", order=order)


def _import_state(row: ImportRow) -> str:
    if row.state == "running" and clock.now() - row.updated_at > timedelta(minutes=5):
        return "Interrupted"
    return label(row.state)
