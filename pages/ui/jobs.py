"""The Jobs page's parts."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import streamlit as st

from gdp_core.analytics.jobs_view import Backlog, JobRow, Process, RunRow
from pages.ui import layout, state
from pages.ui.context import Here
from pages.ui.escape import clean, safe_text
from pages.ui.format import UNKNOWN, label

_STATES = {"done": "Done", "failed": "Failed", "running": "Running"}
_TONES = {"done": "green", "failed": "red", "running": "blue"}
_JOBS = {
    "partitions": "Makes room for the next months",
    "recompute": "Derives again what hangs on a changed setting",
    "stages": "Moves people on whose stage changes by time alone",
    "stripe": "Asks Stripe which of two versions of an object holds",
    "ledger": "Folds the books of finished hours",
    "retention": "Deletes what is past its time",
}
_LAGGING = timedelta(minutes=5)

JOB = state.Field("jobs", "job", default=None)
STATE = state.Field("jobs", "state", default=None, choices=tuple(_STATES))
FIELDS = (JOB, STATE)


def backlog(place: Here, waiting: Backlog, processes: Sequence[Process]) -> None:
    """How far behind applying is, in four numbers."""
    write = place.write
    lag = waiting.lag(place.now)
    alive = sum(item.is_alive for item in processes)
    with layout.numbers():
        st.metric(
            "Processes alive",
            safe_text(f"{alive} of {len(processes)}"),
            border=True,
            height="stretch",
            help="Those that reported within a minute, of those heard of within a week.",
        )
        st.metric("Waiting to be applied", safe_text(write.number(waiting.waiting)), border=True, height="stretch")
        st.metric(
            "Oldest has waited",
            safe_text(write.span(lag) if waiting.oldest_at else UNKNOWN),
            border=True,
            height="stretch",
            help="Usually below a second; nothing waits when it is empty.",
        )
        st.metric(
            "Given up",
            safe_text(write.number(waiting.dead)),
            border=True,
            height="stretch",
            help="Deliveries that failed eight times; replay them from the inbox.",
        )
    if lag > _LAGGING and not any(item.is_alive for item in processes if item.name.startswith("worker")):
        st.error("No worker runs, so nothing is applied. Start the jobs with make run.", icon=":material/error:")


def processes(place: Here, found: Sequence[Process]) -> None:
    """Who is alive."""
    if not found:
        layout.note("No process has reported in a week.")
        return
    columns: dict[str, list[Any]] = {
        "Process": [clean(item.name) for item in found],
        "State": [["Alive" if item.is_alive else "Silent"] for item in found],
        "Last heard of": [place.write.ago(item.at, place.now) for item in found],
        "PID": [str(item.pid) for item in found],
        "Says": [_said(place, item.detail) for item in found],
    }
    config: dict[str, Any] = {
        "State": st.column_config.MultiselectColumn(options=["Alive", "Silent"], color=["green", "red"], width=90),
        "PID": st.column_config.TextColumn(alignment="right", width="small"),
    }
    layout.table(columns, alt="Processes and whether they are alive", config=config, height="content")


def timetable(place: Here, found: Sequence[JobRow]) -> None:
    """What runs when."""
    if not found:
        layout.note("No job has run yet.")
        return
    write = place.write
    columns: dict[str, list[Any]] = {
        "Job": [clean(item.name) for item in found],
        "What it does": [_JOBS.get(item.name, "") for item in found],
        "Last run": [[_STATES[item.last_state]] if item.last_state else [] for item in found],
        "When": [write.ago(item.last_run or item.last_tick, place.now) for item in found],
        "Took": [_took(item.last_took) for item in found],
        "Failed in 24 h": [write.number(item.failures) if item.failures else "" for item in found],
        "Every": [write.span(item.every) if item.every else UNKNOWN for item in found],
        "Next": [write.ago(item.next_tick, place.now) if item.next_tick else UNKNOWN for item in found],
        "Last error": [clean(item.error or "") for item in found],
    }
    config: dict[str, Any] = {"Last run": _state_column(), "When": st.column_config.TextColumn(width=115)}
    for name in ("Every", "Next"):
        config[name] = st.column_config.TextColumn(help="Told from its runs: known from the second one on.")
    for name in ("Took", "Failed in 24 h"):
        config[name] = st.column_config.TextColumn(alignment="right", width=80 if name == "Took" else 100)
    order = [name for name in columns if name != "Last error" or any(item.error for item in found)]
    layout.table(columns, alt="Jobs, their last run and the next", config=config, height="content", order=order)


def filters(names: Sequence[str]) -> None:
    """Which runs."""
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.segmented_control(
            "State", [*_STATES], key=STATE.key, format_func=_STATES.__getitem__, label_visibility="collapsed"
        )
        st.selectbox(
            "Job",
            [*dict.fromkeys([*names, *filter(None, [JOB.value])])],
            key=JOB.key,
            index=None,
            format_func=clean,
            placeholder="Any job",
            label_visibility="collapsed",
            width=190,
        )


def runs(place: Here, found: Sequence[RunRow]) -> None:
    """The newest runs."""
    columns: dict[str, list[Any]] = {
        "Started": [place.write.instant(item.started_at, seconds=True) for item in found],
        "Job": [clean(item.job) for item in found],
        "State": [[_STATES[item.state]] for item in found],
        "Took": [_took(item.took) for item in found],
        "Did": [_said(place, item.detail) for item in found],
        "Error": [clean(item.error or "") for item in found],
    }
    config: dict[str, Any] = {
        "State": _state_column(),
        "Took": st.column_config.TextColumn(alignment="right", width="small"),
    }
    order = [name for name in columns if name != "Error" or any(item.error for item in found)]
    layout.table(columns, alt="The newest runs", config=config, height="content", order=order)


def _state_column() -> Any:
    return st.column_config.MultiselectColumn(options=list(_STATES.values()), color=list(_TONES.values()), width=90)


def _took(span: timedelta | None) -> str:
    if span is None:
        return UNKNOWN
    seconds = span.total_seconds()
    return (
        f"{seconds * 1000:.0f} ms" if seconds < 1 else f"{seconds:.1f} s" if seconds < 90 else f"{seconds / 60:.0f} min"
    )


def _said(place: Here, detail: Sequence[tuple[str, str]]) -> str:
    """What a process or a run tells of itself; the end of a name says its unit."""
    return clean(", ".join(_told(place, name, text) for name, text in detail))


def _told(place: Here, name: str, text: str) -> str:
    if not _is_number(text):
        return f"{label(name)} {text}"
    number, (words, _, unit) = float(text), name.rpartition("_")
    match unit:
        case "ratio":
            return f"{label(words)} {place.write.percent(number)}"
        case "bytes":
            return f"{label(words)} {place.write.size(int(number))}"
        case "seconds":
            return f"{label(words)} {_took(timedelta(seconds=number))}"
    return f"{label(name)} {place.write.number(number)}"


def _is_number(text: str) -> bool:
    try:
        return abs(float(text)) < 1e15
    except ValueError:
        return False
