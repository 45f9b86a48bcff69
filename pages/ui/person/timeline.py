"""The tab Timeline: its filters, one page of it, and an event in full in a drawer."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

import streamlit as st

from gdp_core.analytics import timeline
from gdp_core.analytics.timeline import After, Cut, Item, Names
from pages.ui import boundary, layout
from pages.ui.context import Here
from pages.ui.escape import clean, safe_text
from pages.ui.format import UNKNOWN, label
from pages.ui.person import AFTER, CATEGORIES, FROM, HUMAN, NAMES, OPENED, PERIOD, PERIODS, SOURCES, identifier, seen
from pages.ui.rows import Buttons

PAGE_SIZE = 50
_OPEN: Buttons[str] = Buttons("person.open")


def newest() -> None:
    """A callback: begin the timeline at its newest item."""
    AFTER.set("")


def older(after: After) -> None:
    """A callback: go on after an item."""
    AFTER.set(after.text)


def cut(place: Here) -> Cut:
    """What the timeline's fields narrow it to."""
    days = PERIOD.value
    return Cut(
        categories=tuple(CATEGORIES.value),
        sources=tuple(FROM.value),
        names=tuple(NAMES.value),
        since=place.now - timedelta(days=int(days)) if days in PERIODS else None,
        human_only=bool(HUMAN.value),
    )


def filters(names: Names) -> None:
    """The row above the timeline."""
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        for field, title, options, spelt in (
            (CATEGORIES, "Category", names.categories, True),
            (FROM, "Source", SOURCES, True),
            (NAMES, "Event", names.names, False),
        ):
            st.multiselect(
                safe_text(title),
                [*dict.fromkeys([*options, *field.value])],
                key=field.key,
                format_func=label if spelt else clean,
                placeholder=title,
                label_visibility="collapsed",
                on_change=newest,
                width=190,
            )
        st.selectbox(
            "Period",
            [*PERIODS],
            key=PERIOD.key,
            index=None,
            format_func=PERIODS.__getitem__,
            placeholder="Any time",
            label_visibility="collapsed",
            on_change=newest,
            width=160,
        )
        st.toggle("Hide machine events", key=HUMAN.key, on_change=newest)


def table(place: Here, items: Sequence[Item], after: After | None) -> None:
    """One page of the timeline; the button at the left opens an event."""
    write = place.write
    columns: dict[str, list[Any]] = {
        "open": _OPEN.cells([_place(item) if item.kind == "event" else None for item in items]),
        "When": [write.instant(item.at, seconds=True) for item in items],
        "What": [_what(item) for item in items],
        "Source": [[label(item.source)] for item in items],
        "Value": [
            write.money(item.value_micros, item.currency) if item.value_micros is not None else "" for item in items
        ],
        "Detail": [_detail_line(place, item) for item in items],
        "Category": [label(item.category) if item.category else "" for item in items],
    }
    config = {
        "open": _OPEN.column(),
        "When": st.column_config.TextColumn(width=155),
        "What": st.column_config.TextColumn(width=180),
        "Category": st.column_config.TextColumn(width=110),
        "Source": st.column_config.MultiselectColumn(
            options=[label(name) for name in SOURCES],
            color=["blue", "violet", "orange", "green", "blue", "yellow", "red", "gray", "gray", "primary"],
        ),
        "Value": st.column_config.TextColumn(alignment="right", width=95),
        "Detail": st.column_config.TextColumn(width=360),
    }
    order = [name for name in columns if name != "Value" or any(item.value_micros is not None for item in items)]
    layout.table(columns, alt="Timeline, newest first", config=config, height="content", order=order)
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        events = [item for item in items if item.kind == "event"]
        _OPEN.chooser(
            "Open an event by time",
            {_place(item): f"{write.instant(item.at, seconds=True)}  {item.name}" for item in events},
        )
        st.space("stretch")
        if AFTER.value:
            st.button("Newest", icon=":material/first_page:", key="timeline-newest", on_click=newest)
        if after:
            st.button("Older", icon=":material/chevron_right:", key="timeline-older", on_click=older, args=(after,))


def _place(item: Item) -> str:
    return After(item.at, item.kind, item.id).text


def _what(item: Item) -> str:
    if item.kind == "stage":
        return f"Became {label(item.name).lower()}" if item.name else "Left every stage"
    if item.kind == "mail":
        return f"E-mail {label(item.name.removeprefix('email_')).lower()}"
    return clean(item.name)


def _detail_line(place: Here, item: Item) -> str:
    if item.kind == "stage":
        return f"before: {label(item.summary).lower()}" if item.summary else ""
    parts = [place.sees(item.summary), _url(place, item.url), "machine" if item.is_machine else None]
    return clean(" · ".join(part for part in parts if part), longest=200)


def _url(place: Here, url: str | None) -> str | None:
    return url if url is None or place.may("pii.read") else url.partition("?")[0]


def address(where: After) -> tuple[str, str]:
    """How an address begins the timeline at an event (`after`) and has it open (`shown`)."""
    return After(where.at + timedelta(microseconds=1), where.kind, where.id).text, where.text


def opened(place: Here) -> None:
    """Open the item whose button was clicked, or, once, the one that the address names."""
    wanted = After.parse(_OPEN.clicked() or str(OPENED.value))
    OPENED.set("")
    found = place.read(timeline.read_detail, UUID(wanted.id), wanted.at) if wanted else None
    if found is not None:
        _event_drawer(place, found)


def _event_drawer(place: Here, found: timeline.Detail) -> None:
    @boundary.dialog(found.name, drawer=True, icon=":material/bolt:")
    def show() -> None:
        write = place.write
        with st.container(horizontal=True):
            layout.badge(label(found.source), "blue")
            if found.category:
                layout.badge(label(found.category), "gray")
            if found.is_machine:
                layout.badge("Machine", "gray", ":material/smart_toy:")
        layout.facts(
            {
                "When": f"{write.instant(found.occurred_at, seconds=True)} {write.zone_name(found.occurred_at)}",
                "Identifier": identifier(place, found.identifier),
                "Sent by": found.source_name,
                "Received": write.instant(found.received_at, seconds=True),
                "Applied": write.instant(found.applied_at, seconds=True),
                "Value": write.money(found.value_micros, found.currency) if found.currency else UNKNOWN,
            }
        )
        if found.properties:
            layout.heading("Properties")
            st.json(seen(place, found.properties), expanded=2)
        if found.context:
            layout.heading("Context")
            layout.facts({label(name): _context(place, name, value) for name, value in found.context.items()})
        layout.heading("Raw ids")
        layout.facts(
            {"Event": str(found.id), "At the sender": place.sees(found.source_event_id) or UNKNOWN, "Type": found.type}
        )
        if found.metadata:
            layout.heading("Metadata")
            st.json(seen(place, found.metadata), expanded=1)

    show()


def _context(place: Here, name: str, value: str) -> str:
    if name in ("url", "referrer"):
        return _url(place, value) or UNKNOWN
    return value if name.startswith("utm_") else place.sees(value) or UNKNOWN
