"""The tab Rates: what other currencies are worth in the workspace's own."""

from typing import Any

import streamlit as st

from gdp_core import choices
from gdp_core.errors import InvalidInput
from pages.ui import layout
from pages.ui.context import Here, here
from pages.ui.escape import safe_text
from pages.ui.settings.changing import change, change_in_callback


def tab(place: Here) -> None:
    """What other currencies are worth in the workspace's own."""
    base = place.workspace.base_currency
    layout.note(
        f"Money in other currencies is added up in {base} by the newest rate not after its day. Without a rate it is"
        " shown on its own."
    )
    found = place.read(choices.read_rates)
    if found:
        columns: dict[str, list[Any]] = {
            "Currency": [item.currency for item in found],
            "Days": [place.write.number(item.days) for item in found],
            "From": [place.write.day(item.first) for item in found],
            "To": [place.write.day(item.last) for item in found],
            f"Newest, in {base}": [place.write.number(float(item.newest), decimals=6) for item in found],
        }
        right = st.column_config.TextColumn(alignment="right")
        layout.table(
            columns,
            alt="Currencies with rates",
            config={"Days": right, f"Newest, in {base}": right},
            height="content",
        )
    else:
        layout.note("There are no rates yet.")
    if not place.may("settings.write"):
        return
    with st.form("rates", clear_on_submit=True):
        given = st.file_uploader("CSV of rates", type=["csv", "txt"], key="rates-file", max_upload_size=20)
        st.caption(
            f"Columns date,currency,rate: what one unit was worth in {safe_text(base)}, such as 2026\\-01\\-31,EUR,1\\.08."
            " Rates of the same day are replaced."
        )
        sent = st.form_submit_button("Load rates", type="primary")
    if sent and given is not None:
        try:
            text = given.getvalue().decode("utf-8-sig")
        except UnicodeDecodeError:
            raise InvalidInput("The file is no UTF-8 text; save it as CSV in UTF-8.") from None
        change(
            lambda session, who: choices.load_rates(session, who, text, now=place.now),
            "Rates loaded; people are refreshed.",
        )
    with st.container(horizontal=True):
        for item in found:
            st.button(
                f"Remove {safe_text(item.currency)}",
                key=f"rates-{item.currency}",
                type="tertiary",
                icon=":material/delete:",
                on_click=_remove,
                args=(item.currency,),
            )


def _remove(currency: str) -> None:
    change_in_callback(
        lambda session, who: choices.remove_rates(session, who, currency, now=here().now), f"{currency} has no rates."
    )
