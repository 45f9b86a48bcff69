"""The starter set: what there is, with its thresholds, and one click that installs it, turned off until somebody looked."""

from collections.abc import Mapping, Sequence
from functools import partial

import streamlit as st

from gdp_core.errors import GrowthError
from gdp_core.features.roles import read_matches
from gdp_core.segments import starters
from gdp_core.segments.keeping import Segment
from gdp_core.segments.starters import STARTERS, Setting, Starter
from pages.ui import data, layout, nav, state
from pages.ui.context import Here, here
from pages.ui.escape import clean, safe_text
from pages.ui.segments import telling

FUNNELS = {"newsletter": "From a newsletter to a subscription", "outbound": "From outbound sales to a deal"}
_DOING = {
    "email": "E-mail",
    "meta": "Meta audience",
    "outbound": "Outbound",
    "suppress": "Suppress",
    "stop": "Stop",
    "route": "Route",
    "tag": "Tag",
}


def all_of_them(there: Mapping[str, Segment], place: Here) -> None:
    """The button for those that are not there yet."""
    missing = [one.key for one in STARTERS if one.key not in there]
    if missing and place.may("segments.write"):
        st.button(
            f"Install all {place.write.number(len(missing))}",
            icon=":material/download_done:",
            type="primary",
            key="starters-all",
            on_click=_install,
            args=(missing,),
        )


def row(place: Here, one: Starter, installed: Segment | None) -> None:
    """A starter: whom it finds, what they should do, and its button, or the segment it became."""
    with layout.card(key=f"starter-{one.key}"):
        with st.container(horizontal=True, vertical_alignment="center", gap="small"):
            with st.container(gap=None, width="stretch"):
                layout.heading(one.title)
                layout.note(one.about)
                layout.note(f"Goal: {one.goal}")
            if installed is not None:
                nav.link(place, "segment", label="Open", icon=":material/group_work:", id=installed.id.hex)
                layout.badge("Installed", "green", ":material/check_circle:")
                telling.badges(place, installed)
            elif place.may("segments.write"):
                st.button(
                    "Install",
                    icon=":material/add:",
                    key=f"starter-install-{one.key}",
                    on_click=partial(_install_with, one),
                )
        opened = st.expander("What it says", on_change="rerun", key=f"starter-more-{one.key}")
        with opened:
            if opened.open:
                _more(place, one, installed)


def _more(place: Here, one: Starter, installed: Segment | None) -> None:
    try:
        given = one.given(place.read(read_matches), _chosen(one))
        st.markdown(safe_text(one.rule(given).sentence(telling.names(place)), longest=3000))
    except GrowthError as error:
        layout.remark(str(error))
    layout.note(
        "Intended: "
        + "; ".join(f"{_DOING[step.kind]}: {step.text}" for step in one.steps)
        + " Nothing happens by itself."
    )
    if installed is None and one.thresholds:
        with st.container(horizontal=True, gap="small"):
            for threshold in one.thresholds:
                key = _key(one, threshold.name)
                state.begin(key, str(threshold.default))
                st.text_input(
                    safe_text(threshold.title),
                    key=key,
                    help=safe_text(threshold.help) if threshold.help else None,
                    width=210,
                )


def _key(one: Starter, name: str) -> str:
    return f"starter.{one.key}.{name}"


def _chosen(one: Starter) -> dict[str, Setting]:
    """The thresholds that somebody wrote."""
    found = {threshold.name: state.held(_key(one, threshold.name)) for threshold in one.thresholds}
    return {name: str(value) for name, value in found.items() if value is not None}


def _install_with(one: Starter) -> None:
    """A callback."""
    _install([one.key], {one.key: _chosen(one)})


def _install(keys: Sequence[str], thresholds: Mapping[str, Mapping[str, Setting]] | None = None) -> None:
    """A callback."""
    place = here()
    try:
        with place.change() as session:
            made = starters.install(session, place.principal, keys, thresholds=thresholds or {}, now=place.now)
    except GrowthError as error:
        layout.done(str(error))
        return
    data.forget()
    if len(made) == 1:
        layout.done(clean(f"“{made[0].name}” is installed, turned off until you turn it on."))
    else:
        layout.done(f"{len(made)} segments are installed, turned off until you turn them on.")


def intended(one: Segment) -> None:
    """The goal of a segment, and what somebody intends to do for its people; nothing where neither is said."""
    steps = [step for step in (one.action or {}).get("steps", ()) if isinstance(step, Mapping)]
    if not one.goal and not steps:
        return
    with layout.card("Goal and what is intended", key="segment-goal"):
        if one.goal:
            st.markdown(safe_text(one.goal, longest=1000))
        for step in steps:
            layout.note(f"{_DOING.get(str(step.get('kind')), 'Then')}: {clean(str(step.get('text', '')), longest=500)}")
        if steps:
            layout.note("A draft: nothing happens by itself.")
