"""Importing a file: upload it, look at it, say what it means, try, import; and what was imported before."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import streamlit as st

from gdp_core import clock
from gdp_core.analytics.sources_view import ImportRow
from gdp_core.importer.mapping import Mapping as FileMapping
from gdp_core.importer.preview import Preview, preview
from gdp_core.importer.run import ImportResult, prepare_import, source_name
from pages.ui import boundary, data, layout, state, uploads
from pages.ui.context import Here, here
from pages.ui.escape import clean, safe_text
from pages.ui.format import label

_UPLOAD: state.Slot[uploads.Upload | None] = state.Slot("sources.upload", None)


_PREVIEW: state.Slot[Preview | None] = state.Slot("sources.preview", None)


_RUNNING: state.Slot[uploads.Running | None] = state.Slot("sources.running", None)


def page(place: Here) -> None:
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
        _start(place, upload, mapping, tried.key)
    layout.section("What importing would do")
    uploads.outcome(place, tried)


def _start(place: Here, upload: uploads.Upload, mapping: FileMapping, key: str) -> None:
    with place.change() as session:
        name = mapping.source or source_name(session, upload.path, key)
        source_id = prepare_import(session, place.principal, name=name, file=upload.path.name, now=place.now)
    _RUNNING.set(uploads.start(place.workspace.id, source_id, upload, mapping))
    _UPLOAD.clear()
    _PREVIEW.clear()
    st.rerun()


@boundary.fragment(every=1)
def _import_progress() -> None:
    place, running = here(), _RUNNING.get()
    if running is None or running.is_done:
        data.forget(place)
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


def past(place: Here, found: Sequence[ImportRow]) -> None:
    """What was imported before."""
    write = place.write
    columns: dict[str, list[Any]] = {
        "File": [clean(row.label) for row in found],
        "Source": [clean(row.source or label(row.kind)) for row in found],
        "State": [[_import_state(row)] for row in found],
        "Done": layout.shares([row.share for row in found]),
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
        "Done": layout.share_column(width="small"),
    }
    for name in ("Rows", "Applied", "Known already", "Rejected"):
        config[name] = st.column_config.TextColumn(alignment="right", width="small")
    order = [name for name in columns if name != "Problem" or any(row.error for row in found)]
    layout.table(columns, alt="Imports and backfills", config=config, height="content", order=order)


def _import_state(row: ImportRow) -> str:
    if row.state == "running" and clock.now() - row.updated_at > timedelta(minutes=5):
        return "Interrupted"
    return label(row.state)
