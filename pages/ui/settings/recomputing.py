"""How far numbers are derived again after a setting changed."""

import streamlit as st

from gdp_core.recompute import read_recomputing
from pages.ui import boundary, data
from pages.ui.context import Here, here
from pages.ui.escape import safe_text

_STEPS = {
    "roles": "reading events again",
    "identity": "putting identifiers together again",
    "billing": "deriving subscriptions and payments again",
    "people": "refreshing people",
}


def progress(place: Here) -> None:
    """Says, for as long as it is so, that numbers are being derived again."""
    if place.read(read_recomputing) is not None:
        _progress()


@boundary.fragment(every=3)
def _progress() -> None:
    place = here()
    found = place.read(read_recomputing)
    if found is None:
        data.forget(place)
        st.success("Everything was derived again: all numbers follow the settings.", icon=":material/check_circle:")
        return
    st.progress(
        found.share,
        text=f"Numbers are being derived again since {safe_text(place.write.ago(found.since, place.now))}:"
        f" {_STEPS[found.step]} (step {safe_text(found.steps_done + 1)} of {safe_text(found.steps)}). You can go on working.",
    )
