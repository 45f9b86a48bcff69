"""A few people of a segment as a table: their names lead to their profiles, masked where the role may not see them."""

from collections.abc import Sequence
from typing import Any

import streamlit as st

from gdp_core.analytics.people_list import PersonRow
from gdp_core.tables.people import STAGES
from pages.ui import layout, nav
from pages.ui.context import Here
from pages.ui.escape import clean
from pages.ui.format import UNKNOWN, label
from pages.ui.people import STAGE_TONES, name_of

_MAIN = ("open", "Name", "Stage", "Last seen")


def people_table(
    place: Here,
    found: Sequence[PersonRow],
    *,
    alt: str,
    brief: bool = False,
    amounts: Sequence[str] | None = None,
    key: str | None = None,
) -> None:
    """The rows; `brief` shows who they are only, `amounts` is what a report says of each."""
    if not found:
        layout.note("Nobody.")
        return
    write = place.write
    columns: dict[str, list[Any]] = {
        "open": [nav.href(place, "person", id=str(row.id)) for row in found],
        "Name": [name_of(place, row) for row in found],
        **({} if amounts is None else {"Amount": [*amounts]}),
        "E-mail": [clean(place.sees(row.email) or "") or UNKNOWN for row in found],
        "Stage": [[label(row.stage)] if row.stage else [] for row in found],
        "Plan": [clean(row.plan_name or "") or UNKNOWN for row in found],
        "Source": [label(row.source) for row in found],
        "Events": [write.number(row.total_events) for row in found],
        "Last seen": [write.instant(row.last_seen_at) for row in found],
    }
    config: dict[str, Any] = {
        "open": st.column_config.LinkColumn("", display_text=":material/open_in_new:", width=44, pinned=True),
        "Name": st.column_config.TextColumn(width=170),
        "E-mail": st.column_config.TextColumn(width=220),
        "Stage": st.column_config.MultiselectColumn(
            options=[label(name) for name in STAGES], color=[STAGE_TONES[name] for name in STAGES], width=100
        ),
        "Amount": st.column_config.TextColumn(alignment="right"),
        "Events": st.column_config.TextColumn(alignment="right"),
    }
    order = [name for name in columns if not brief or name in _MAIN]
    layout.table(columns, alt=alt, config=config, height="content", order=order, key=key)
