"""The tab Event roles: which events mean what."""

from typing import Any

import streamlit as st

from gdp_core import choices
from gdp_core.choices import RoleChoice
from gdp_core.errors import InvalidInput
from gdp_core.event_roles import RoleFilter
from pages.ui import layout
from pages.ui.context import Here
from pages.ui.escape import clean, safe_text
from pages.ui.format import UNKNOWN, label
from pages.ui.settings.changing import change

_OPS = {
    "is": "is",
    "is_not": "is not",
    "contains": "contains",
    "at_least": "is at least",
    "at_most": "is at most",
    "is_set": "is there",
}


def tab(place: Here, names: list[str]) -> None:
    """Which events mean what; `names` are the events there are."""
    layout.note(
        "Reports ask for meanings, not names. Say which of your events mean each; of those, filters keep only some."
    )
    for choice in place.read(choices.read_event_roles):
        with layout.card(key=f"role-{choice.role}", height="content"):
            _role(place, choice, names)


def _role(place: Here, choice: RoleChoice, names: list[str]) -> None:
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        layout.heading(label(choice.role))
        st.caption(safe_text(choice.meaning), width="content")
        if choice.is_default:
            layout.badge("Usual names")
    if not place.may("settings.write"):
        _read(choice)
        return
    with st.form(f"role-form-{choice.role}", border=False):
        chosen = st.multiselect(
            "Events",
            [*dict.fromkeys([*choice.event_names, *names])],
            default=list(choice.event_names),
            format_func=clean,
            accept_new_options=True,
            key=f"role-names-{choice.role}",
        )
        with st.expander("Only when", expanded=bool(choice.filters), key=f"role-only-{choice.role}"):
            edited = _filters(choice)
        with st.container(horizontal=True):
            save = st.form_submit_button("Save", key=f"role-save-{choice.role}")
            reset = not choice.is_default and st.form_submit_button(
                "Back to the usual names", type="tertiary", key=f"role-reset-{choice.role}"
            )
    if save:
        change(
            lambda session, who: choices.set_event_role(
                session, who, choice.role, event_names=chosen, filters=_parsed(edited), now=place.now
            ),
            f"{label(choice.role)} saved; what hangs on it is derived again.",
        )
    if reset:
        change(
            lambda session, who: choices.reset_event_role(session, who, choice.role, now=place.now),
            f"{label(choice.role)} has the usual names again.",
        )


def _read(choice: RoleChoice) -> None:
    only = [
        f"{item.property} {_OPS[item.op]} {'' if item.value is None else item.value}".rstrip()
        for item in choice.filters
    ]
    layout.facts(
        {"Events": ", ".join(choice.event_names) or UNKNOWN} | ({"Only when": " and ".join(only)} if only else {})
    )


def _filters(choice: RoleChoice) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = [
        {"Property": item.property, "Condition": _OPS[item.op], "Value": "" if item.value is None else str(item.value)}
        for item in choice.filters
    ]
    edited: list[dict[str, Any]] = st.data_editor(
        rows or [{"Property": None, "Condition": None, "Value": None}],
        num_rows="dynamic",
        hide_index=True,
        key=f"role-filters-{choice.role}",
        column_config={
            "Property": st.column_config.TextColumn(max_chars=200),
            "Condition": st.column_config.SelectboxColumn(options=list(_OPS.values())),
            "Value": st.column_config.TextColumn(max_chars=200),
        },
    )
    return edited


def _parsed(edited: list[dict[str, Any]]) -> list[RoleFilter]:
    """The filters of the editor; rows without a property are none. Raises InvalidInput."""
    ops = {name: op for op, name in _OPS.items()}
    found = []
    for row in edited:
        name, value = str(row.get("Property") or "").strip(), str(row.get("Value") or "").strip()
        if not name:
            continue
        op: Any = ops.get(str(row.get("Condition") or "is"), "is")
        if op in ("at_least", "at_most"):
            try:
                found.append(RoleFilter(property=name, op=op, value=float(value)))
            except ValueError:
                raise InvalidInput(f"The filter on {name} compares with a number: write one.") from None
        else:
            found.append(RoleFilter(property=name, op=op, value=None if op == "is_set" else value))
    return found
