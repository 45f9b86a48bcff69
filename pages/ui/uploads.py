"""Files uploaded in a browser: where they lie meanwhile, their imports in the background, and the mapping as a form.

An import runs in a thread of this process, one at a time, so that it goes on while its user looks at other pages; how
far it is stands in the database. Files and rejects are deleted when they are done with, and all at the end of the
process: an import that was cut off goes on when the same file is uploaded again.
"""

import contextlib
import re
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4
from zoneinfo import available_timezones

import streamlit as st

from gdp_core import clock
from gdp_core.importer.mapping import Mapping, mapping_of
from gdp_core.importer.preview import Preview
from gdp_core.importer.run import ImportResult, run_import
from gdp_core.runtime import database
from pages.ui import layout
from pages.ui.context import Here
from pages.ui.escape import clean, safe_text
from pages.ui.format import UNKNOWN, label

TYPES = ["csv", "tsv", "txt", "jsonl", "ndjson", "json", "parquet", "gz"]
MOST_MB = 50
_KEPT_SECONDS = 6 * 3600
_FOLDER = tempfile.TemporaryDirectory(prefix="gdp-uploads-", ignore_cleanup_errors=True)
_POOL = ThreadPoolExecutor(max_workers=1, thread_name_prefix="import")


@dataclass(frozen=True, slots=True)
class Upload:
    """An uploaded file: the uploader's id for it, and where it lies."""

    id: str
    path: Path


@dataclass(slots=True)
class Running:
    """An import in the background; `rows` of `total` are done."""

    name: str
    rows: int = 0
    total: int = 0
    _future: Future[ImportResult] = field(default_factory=Future)

    @property
    def is_done(self) -> bool:
        """Whether it ended, well or not."""
        return self._future.done()

    def result(self) -> ImportResult:
        """What it did. Raises what it raised."""
        return self._future.result()

    @property
    def share(self) -> float:
        """How much is done, 0 to 1."""
        return min(1.0, self.rows / self.total) if self.total else 0.0


def keep(given: Any) -> Upload:
    """Write an uploaded file down, so that it can be read more than once."""
    _forget_old()
    folder = Path(_FOLDER.name) / uuid4().hex
    folder.mkdir(mode=0o700)
    name = re.sub(r"[^\w.\- ]", "_", Path(given.name).name)[-120:].lstrip(".") or "file"
    path = folder / name
    with path.open("wb") as file:
        file.write(given.getbuffer())
    return Upload(given.file_id, path)


def drop(upload: Upload | None) -> None:
    """Delete an uploaded file."""
    if upload is not None:
        upload.path.unlink(missing_ok=True)


def start(workspace_id: UUID, source_id: UUID, upload: Upload, mapping: Mapping) -> Running:
    """Import an uploaded file in the background, and delete it afterwards."""
    running = Running(upload.path.name)

    def progress(done: int, total: int) -> None:
        running.rows, running.total = done, total

    def work() -> ImportResult:
        try:
            return run_import(
                database("gdp_worker"),
                workspace_id,
                source_id,
                upload.path,
                mapping,
                now=clock.now(),
                progress=progress,
            )
        finally:
            upload.path.unlink(missing_ok=True)

    running._future = _POOL.submit(work)
    return running


def _forget_old() -> None:
    """Delete what was uploaded hours ago and never imported, and rejects nobody took away."""
    old = time.time() - _KEPT_SECONDS
    for folder in Path(_FOLDER.name).iterdir():
        with contextlib.suppress(OSError):
            if folder.stat().st_mtime < old:
                for file in folder.iterdir():
                    file.unlink(missing_ok=True)
                folder.rmdir()


# -------------------------------------------------------------------------------------------------------- what is in it


def columns(place: Here, found: Preview) -> None:
    """The file's columns as they were read."""
    write = place.write
    shown: dict[str, list[Any]] = {
        "Column": [clean(item.name) for item in found.columns],
        "Type": [label(item.type) for item in found.columns],
        "Examples": [clean(", ".join(item.examples), longest=120) for item in found.columns],
        "Empty": [write.number(item.nulls) if item.nulls else "" for item in found.columns],
        "Different": [write.number(item.distinct) for item in found.columns],
    }
    config: dict[str, Any] = {
        "Column": st.column_config.TextColumn(pinned=True),
        "Examples": st.column_config.TextColumn(width="large"),
        "Empty": st.column_config.TextColumn(alignment="right", width="small"),
        "Different": st.column_config.TextColumn(alignment="right", width="small"),
    }
    layout.table(shown, alt="Columns of the file", config=config, height="content")


def outcome(place: Here, found: Preview) -> None:
    """What importing would do, by the rows that were looked at."""
    counts, write = found.counts, place.write
    with layout.numbers():
        st.metric("Rows looked at", write.number(counts.rows), border=True, height="stretch")
        st.metric("Would be applied", write.number(counts.facts - counts.repeated), border=True, height="stretch")
        st.metric("People and visitors", write.number(counts.people), border=True, height="stretch")
        st.metric("Would be rejected", write.number(counts.rejected), border=True, height="stretch")
    pairs = {
        "Rows in the file": write.number(found.total_rows),
        "Format": found.format,
        "From": write.instant(counts.earliest),
        "To": write.instant(counts.latest),
        "Events": ", ".join(f"{name} ({write.number(count)})" for name, count in counts.events[:8]) or UNKNOWN,
    }
    if counts.value:
        pairs["Value"] = ", ".join(write.money(micros, currency) for currency, micros in counts.value)
    layout.facts(pairs)
    for problem in found.problems:
        st.warning(safe_text(problem, longest=600), icon=":material/warning:")


_UNITS = {None: "Told from their size", "s": "Seconds", "ms": "Milliseconds", "us": "Microseconds"}
_ORDERS = {None: "Told from the file", True: "Day first: 3/4 is 3 April", False: "Month first: 3/4 is March 4"}
_WHO = ("person", "email", "anonymous", "phone")
_MEANS = {
    "person": "Person id",
    "email": "E-mail",
    "anonymous": "Anonymous id",
    "phone": "Phone",
    "event": "Event",
    "time": "Time",
    "id": "Row id",
    "value": "Value",
    "currency": "Currency",
}
_EXPRESSIONS = frozenset({"anonymous", "event", "value", "currency"})


def mapping_form(found: Preview, start_from: Mapping | None) -> tuple[Mapping | None, str]:
    """The mapping as a form. Returns the mapping of this run's submit, and which button it was: try, import or none.

    Raises InvalidInput naming the field that is wrong.
    """
    names = [column.name for column in found.columns]
    initial = start_from or Mapping()
    with st.form("mapping"):
        given: dict[str, Any] = {}
        layout.heading("Whom a row is about")
        given |= _row(_WHO, names, initial)
        layout.heading("What it says")
        given |= _row(("event", "time", "id"), names, initial)
        given |= _row(("value", "currency"), names, initial)
        with st.grid(2, min_column_width=260, gap="small"):
            given["traits"] = _columns("Traits of the person", names, initial.traits, "traits")
            given["properties"] = _columns("Properties of the event", ["*", *names], initial.properties, "properties")
        with st.expander("How times are read"), st.grid(3, min_column_width=180, gap="small"):
            zones = sorted(available_timezones())
            given["timezone"] = st.selectbox(
                "Zone of times without one", zones, index=zones.index(initial.timezone), key="map-timezone"
            )
            given["unit"] = st.selectbox("Numbers are", [*_UNITS], format_func=_UNITS.__getitem__, key="map-unit")
            given["day_first"] = st.selectbox(
                "Dates with slashes", [*_ORDERS], format_func=_ORDERS.__getitem__, key="map-order"
            )
        with st.container(horizontal=True):
            tried = st.form_submit_button("Dry run", icon=":material/science:", key="map-try")
            sent = st.form_submit_button("Import", type="primary", icon=":material/upload:", key="map-import")
    if not tried and not sent:
        return None, ""
    return mapping_of({name: value for name, value in given.items() if value is not None}), "import" if sent else "try"


def _row(parts: Sequence[str], names: Sequence[str], initial: Mapping) -> dict[str, Any]:
    chosen = {}
    with st.grid(len(parts), min_column_width=130, gap="small"):
        for part in parts:
            value: str | None = getattr(initial, part)
            options = [*dict.fromkeys([*names, *([value] if value else [])])]
            help_text = Mapping.model_fields[part].description
            chosen[part] = st.selectbox(
                _MEANS[part],
                options,
                index=options.index(value) if value else None,
                key=f"map-{part}",
                accept_new_options=part in _EXPRESSIONS,
                placeholder="Column, or type =name" if part in ("event", "currency") else "None",
                help=safe_text(help_text) if help_text else None,
                format_func=clean,
            )
    return chosen


def _columns(name: str, options: Sequence[str], initial: Sequence[str], key: str) -> tuple[str, ...]:
    listed = [*dict.fromkeys([*options, *initial])]
    return tuple(
        st.multiselect(
            safe_text(name),
            listed,
            default=list(initial),
            key=f"map-{key}",
            format_func=lambda item: "All not used otherwise" if item == "*" else clean(item),
        )
    )
