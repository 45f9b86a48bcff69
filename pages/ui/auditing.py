"""The Audit page's parts."""

import re
from collections.abc import Sequence
from typing import Any

import streamlit as st

from gdp_core.analytics.audit_view import PAGE, AuditFilter, AuditRow
from pages.ui import layout, state
from pages.ui.context import Here
from pages.ui.escape import clean, safe_text
from pages.ui.format import label

ACTION = state.Field("audit", "action", default=None)
USER = state.Field("audit", "user", default=None)
BEFORE = state.Field("audit", "before", kind="text", default="")
FIELDS = (ACTION, USER, BEFORE)


def chosen() -> AuditFilter:
    """The filter that the page's fields make."""
    return AuditFilter(action=ACTION.value, user=USER.value)


def before() -> int | None:
    """The sequence number that the shown page begins before."""
    text = str(BEFORE.value)
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 18 else None


def first_page() -> None:
    """A callback: the filter changed, so the list begins again."""
    BEFORE.set("")


def clear() -> None:
    """A callback: no filter."""
    ACTION.set(None)
    USER.set(None)
    first_page()


def filters(actions: Sequence[str], users: Sequence[str]) -> None:
    """The row of filters."""
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        for name, field, options in (("Action", ACTION, actions), ("Person", USER, users)):
            st.selectbox(
                safe_text(name),
                [*dict.fromkeys([*options, *filter(None, [field.value])])],
                key=field.key,
                index=None,
                format_func=label if field is ACTION else clean,
                placeholder=f"Any {name.lower()}",
                on_change=first_page,
                label_visibility="collapsed",
                width=230,
            )


def changes(place: Here, found: Sequence[AuditRow]) -> None:
    """The list."""
    columns: dict[str, list[Any]] = {
        "When": [place.write.instant(row.at, seconds=True) for row in found],
        "Who": [clean(row.user) for row in found],
        "Did": [label(row.action) for row in found],
        "To": [clean(f"{label(row.object_kind)} {_short(row.object_id)}") for row in found],
        "Detail": [clean(", ".join(f"{label(name)}: {text}" for name, text in row.detail)) for row in found],
        "From": [clean(row.ip or "") for row in found],
    }
    config: dict[str, Any] = {
        "When": st.column_config.TextColumn(width=170),
        "Who": st.column_config.TextColumn(width=230),
        "Did": st.column_config.TextColumn(width=150),
        "To": st.column_config.TextColumn(width=150),
        "Detail": st.column_config.TextColumn(width="large"),
    }
    layout.table(columns, alt="Changes, newest first", config=config, height="content")


def _short(identifier: str) -> str:
    """Enough of a UUID to tell it from others; anything else as it is."""
    return identifier[:8] if re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", identifier) else identifier


def pager(found: Sequence[AuditRow]) -> None:
    """The way to older changes, where there are any."""
    if not BEFORE.value and len(found) < PAGE:
        return
    with st.container(horizontal=True, horizontal_alignment="right", vertical_alignment="center", gap="small"):
        st.button(
            "Newest", icon=":material/first_page:", key="audit-first", on_click=first_page, disabled=not BEFORE.value
        )
        st.button(
            "Older",
            icon=":material/chevron_right:",
            key="audit-older",
            on_click=BEFORE.set,
            args=(str(found[-1].seq) if found else "",),
            disabled=len(found) < PAGE,
        )
