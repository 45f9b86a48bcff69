"""The event catalogue's parts: its fields in the URL, the list, and one event type with its properties."""

from collections.abc import Sequence
from typing import Any

import streamlit as st
from pydantic import BaseModel, Field

from gdp_core import choices
from gdp_core.analytics.catalogue import DAYS, PropertyRow, Totals, TypeDetail, TypeRow
from gdp_core.choices import CATEGORIES, EventMeaning
from gdp_core.event_roles import ROLES
from gdp_core.sources.facts import Category
from pages.ui import data, forms, layout, nav, state
from pages.ui.context import Here, here
from pages.ui.escape import button_text, clean, safe_text
from pages.ui.format import UNKNOWN, label
from pages.ui.rows import Buttons

DRIFTS = {"several_types": "Several types", "new": "New property", "vanished": "Vanished property"}
_DRIFT_TONES = {"several_types": "orange", "new": "blue", "vanished": "gray"}
_CATEGORY_TONES = {
    "acquisition": "blue",
    "activation": "violet",
    "core_value": "green",
    "monetization": "yellow",
    "retention": "orange",
    "referral": "primary",
}
_NO_CATEGORY = "none"

WORDS = state.Field("catalogue", "q")
CATEGORY = state.Field("catalogue", "category", default=None, choices=(*CATEGORIES, _NO_CATEGORY))
DRIFT = state.Field("catalogue", "drift", default=None, choices=tuple(DRIFTS))
NAME = state.Field("catalogue", "event")
FIELDS = (WORDS, CATEGORY, DRIFT, NAME)


def _open() -> None:
    """A callback."""
    name = _OPEN.clicked()
    if name:
        NAME.set(name)


_OPEN: Buttons[str] = Buttons("catalogue.open", ":material/arrow_forward:", then=_open)


def totals(place: Here, found: Totals) -> None:
    """What all events together amount to."""
    write = place.write
    money = [write.money(micros, currency) for currency, micros in found.value]
    with layout.numbers():
        st.metric("Events of all time", write.number(found.events), border=True, height="stretch")
        st.metric("Known people", write.number(found.people), border=True, height="stretch")
        st.metric(
            "Events of visitors",
            write.number(found.of_visitors),
            border=True,
            height="stretch",
            help="Events of identifiers that do not say who somebody is.",
        )
        st.metric(
            "Value of events",
            safe_text(" + ".join(money[:2]) or UNKNOWN),
            border=True,
            height="stretch",
            help="Money that events carry, refunds taken off, from sources without invoices. Revenue from invoices is on the overview.",
        )


def filters() -> None:
    """The row of filters."""
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        st.text_input(
            "Search",
            key=WORDS.key,
            type="search",
            live="400ms",
            placeholder="Event name",
            icon=":material/search:",
            label_visibility="collapsed",
            width=240,
        )
        st.selectbox(
            "Category",
            [*CATEGORIES, _NO_CATEGORY],
            key=CATEGORY.key,
            index=None,
            format_func=lambda item: "No category" if item == _NO_CATEGORY else label(item),
            placeholder="Any category",
            label_visibility="collapsed",
            width=170,
        )
        st.selectbox(
            "Drift",
            [*DRIFTS],
            key=DRIFT.key,
            index=None,
            format_func=DRIFTS.__getitem__,
            placeholder="Any shape",
            label_visibility="collapsed",
            width=180,
        )


def clear() -> None:
    """A callback: no filter."""
    WORDS.set("")
    CATEGORY.set(None)
    DRIFT.set(None)


def matching(found: Sequence[TypeRow]) -> list[TypeRow]:
    """Those that the fields ask for."""
    word, category = str(WORDS.value or "").casefold(), CATEGORY.value
    return [
        row
        for row in found
        if word in row.name.casefold()
        and (category is None or (row.category or _NO_CATEGORY) == category)
        and (DRIFT.value is None or DRIFT.value in row.drift)
    ]


def types(place: Here, found: Sequence[TypeRow]) -> None:
    """The list; the name and the icon before it open an event type."""
    write = place.write
    columns: dict[str, list[Any]] = {
        "open": _OPEN.cells([row.name for row in found]),
        "Event": [button_text(clean(row.name)) for row in found],
        "Category": [[label(row.category)] if row.category else [] for row in found],
        f"Last {DAYS} days": [list(row.daily) for row in found],
        "Events": [write.number(row.recent) for row in found],
        "In all": [write.number(row.total) for row in found],
        "Last seen": [write.ago(row.last_seen_at, place.now) for row in found],
        "Sources": [clean(", ".join(row.sources)) for row in found],
        "Roles": [", ".join(label(role) for role in row.roles) for row in found],
        "Shape": [[DRIFTS[kind] for kind in row.drift] for row in found],
        "Properties": [write.number(row.properties) for row in found],
        "First seen": [write.date_of(row.first_seen_at) for row in found],
    }
    config: dict[str, Any] = {
        "open": _OPEN.column(),
        "Event": _OPEN.text_column(width=175),
        "Category": category_column(),
        f"Last {DAYS} days": st.column_config.AreaChartColumn(width=120, y_min=0),
        "Shape": st.column_config.MultiselectColumn(
            options=list(DRIFTS.values()), color=[_DRIFT_TONES[kind] for kind in DRIFTS], width=140
        ),
        "Sources": st.column_config.TextColumn(width=145),
        "Roles": st.column_config.TextColumn(width=125),
        "Last seen": st.column_config.TextColumn(width=105),
    }
    for name in ("Events", "In all", "Properties"):
        config[name] = st.column_config.TextColumn(alignment="right", width="small")
    order = [name for name in columns if name != "Shape" or any(row.drift for row in found)]
    layout.table(columns, alt="Event types with their volume", config=config, height="content", order=order)
    _OPEN.chooser("Open an event by name", {row.name: row.name for row in found})


def category_column() -> Any:
    """Categories with their colours."""
    return st.column_config.MultiselectColumn(
        options=[label(name) for name in CATEGORIES], color=[_CATEGORY_TONES[name] for name in CATEGORIES], width=120
    )


class Meaning(BaseModel):
    """What people say of an event type."""

    category: Category | None = Field(None, description="Where in a customer's life it belongs.")
    owner: str | None = Field(None, max_length=200, description="Who looks after it.")
    description: str | None = Field(
        None, max_length=1000, description="What it means, and when it is sent.", json_schema_extra={"area": True}
    )
    required: list[str] = Field(
        default_factory=list,
        title="Required properties",
        description="Events without one are counted on the Data quality page.",
    )


def head(place: Here, row: TypeRow) -> None:
    """What is known of the event type, in four numbers."""
    write = place.write
    with layout.numbers():
        st.metric(f"Last {DAYS} days", write.number(row.recent), border=True, height="stretch")
        st.metric("In all", write.number(row.total), border=True, height="stretch")
        st.metric("First seen", write.date_of(row.first_seen_at), border=True, height="stretch")
        st.metric("Last seen", write.ago(row.last_seen_at, place.now), border=True, height="stretch")


def meaning(place: Here, row: TypeRow, properties: Sequence[PropertyRow]) -> None:
    """What people say of it: a form for who may change it."""
    if not place.may("events.write"):
        layout.facts(
            {
                "Category": label(row.category),
                "Owner": row.owner or UNKNOWN,
                "Meaning": row.description or UNKNOWN,
                "Required": ", ".join(row.required) or UNKNOWN,
            }
        )
        return
    wanted = forms.ask(
        Meaning,
        key=f"meaning-{row.name}",
        initial={
            "category": row.category,
            "owner": row.owner,
            "description": row.description,
            "required": list(row.required),
        },
        options={
            "category": CATEGORIES,
            "required": [*dict.fromkeys([*(item.name for item in properties), *row.required])],
        },
        border=False,
    )
    if wanted is None:
        return
    again = here()
    with again.change() as session:
        choices.describe_event(
            session,
            again.principal,
            row.name,
            EventMeaning(wanted.category, wanted.owner, wanted.description, tuple(wanted.required)),
            now=again.now,
        )
    data.forget(again)
    layout.done("Saved.")
    st.rerun()


def roles(place: Here, row: TypeRow) -> None:
    """Which roles it plays."""
    if not row.roles:
        layout.note("It plays no role: it counts as activity only.")
    for role in row.roles:
        layout.badge(ROLES[role], "primary", ":material/theater_comedy:")
    nav.link(place, "settings", label="Event roles", icon=":material/settings:", tab="roles")


def by_source(place: Here, found: TypeDetail) -> None:
    """Who sends it."""
    columns: dict[str, list[Any]] = {
        "Source": [clean(name) for _, name, _, _ in found.by_source],
        "Events": [place.write.number(count) for _, _, count, _ in found.by_source],
        "Last day": [place.write.day(day) for _, _, _, day in found.by_source],
    }
    config = {"Events": st.column_config.TextColumn(alignment="right")}
    layout.table(columns, alt="Sources that send it", config=config, height="content")


def properties(place: Here, found: Sequence[PropertyRow], total: int) -> None:
    """What it carries."""
    write = place.write
    columns: dict[str, list[Any]] = {
        "Property": [clean(item.name) for item in found],
        "Types": [
            ", ".join(f"{name} ({write.number(count)})" if len(item.types) > 1 else name for name, count in item.types)
            for item in found
        ],
        "Present": layout.shares([min(1.0, item.count / total) if total else 0.0 for item in found]),
        "Example": [clean(place.sees(item.example) or "", longest=80) for item in found],
        "Required": [item.required for item in found],
        "Shape": [[DRIFTS[kind] for kind in item.drift] for item in found],
        "First there": [write.date_of(item.first_at) for item in found],
        "Last there": [write.date_of(item.last_at) for item in found],
    }
    config: dict[str, Any] = {
        "Property": st.column_config.TextColumn(width=150),
        "Present": layout.share_column(width="small"),
        "Required": st.column_config.CheckboxColumn(width="small"),
        "Shape": st.column_config.MultiselectColumn(
            options=list(DRIFTS.values()), color=[_DRIFT_TONES[kind] for kind in DRIFTS]
        ),
    }
    layout.table(columns, alt="Properties with their types", config=config, height="content")
