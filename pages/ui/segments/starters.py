"""The starter set beside the list of segments: twenty rules with their goal, thresholds to set, and one click to add one."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import streamlit as st

from gdp_core.errors import InvalidInput
from gdp_core.features.roles import read_matches
from gdp_core.segments import starters
from gdp_core.segments.conditions.base import Names
from gdp_core.segments.keeping import Segment
from gdp_core.segments.rules import Rule
from gdp_core.segments.starters import STARTERS, Starter, Threshold
from gdp_core.timeline.matching import Match
from pages.ui import boundary, layout, nav, state
from pages.ui.context import Here, here
from pages.ui.escape import clean, safe_text
from pages.ui.segments import telling

_FUNNELS = {"newsletter": "Newsletter to subscription", "outbound": "Outbound to close"}
_STEPS = {
    "email": ("E-mail", ":material/mail:"),
    "meta": ("Meta audience", ":material/ads_click:"),
    "outbound": ("Outbound", ":material/outgoing_mail:"),
    "suppress": ("Suppress", ":material/block:"),
    "stop": ("Stop", ":material/stop_circle:"),
    "route": ("Route", ":material/support_agent:"),
    "tag": ("Tag", ":material/sell:"),
}
_USED: state.Slot[bool] = state.Slot("segments.starters.used", False)  # somebody adds some: it stays open
_WIDE = 400  # pixels that a card needs at least


@dataclass(frozen=True, slots=True)
class _Offered:
    """A starter with the thresholds as they stand: the rule it would become, or why it cannot."""

    starter: Starter
    chosen: Mapping[str, Any]
    rule: Rule | None
    problem: str = ""


def gallery(place: Here, segments: Sequence[Segment]) -> None:
    """The set under the list, open as long as there is no segment."""
    if not place.may("segments.write"):
        return
    there = starters.installed(segments)
    shown = st.expander(
        f"Starter set · {place.write.number(len(there))} of {place.write.number(len(STARTERS))} added",
        icon=":material/auto_awesome:",
        expanded=_USED.get() or not segments,
        on_change="rerun",
        key="segments.starters.open",
    )
    if shown.open:
        with shown:
            _cards(there)


@boundary.fragment()
def _cards(there: Mapping[str, Segment]) -> None:
    place = here()
    roles, known = place.read(read_matches), telling.names(place)
    with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"):
        funnel = st.segmented_control(
            "Funnel",
            [*_FUNNELS],
            default="newsletter",
            key="segments.starters.funnel",
            format_func=_FUNNELS.__getitem__,
            label_visibility="collapsed",
            required=True,
        )
        offered = [_offer(one, roles) for one in STARTERS if one.funnel == funnel]
        missing = [one for one in offered if one.starter.key not in there and one.rule]
        if len(missing) > 1 and st.button(
            f"Add these {place.write.number(len(missing))}", icon=":material/library_add:", key="segments.starters.all"
        ):
            _add(missing)
    layout.note("Each is off when it is added. Review says whom its rule means now; then turn it on. It sends nothing.")
    with st.grid(2, min_column_width=_WIDE, gap="small"):
        for one in offered:
            with layout.card(key=f"starter-{one.starter.key}"):
                _card(place, known, one, there.get(one.starter.key))


def _card(place: Here, known: Names, one: _Offered, added: Segment | None) -> None:
    starter = one.starter
    with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="top", gap="small"):
        with st.container(gap=None, width="content"):
            layout.heading(starter.title)
            layout.note(starter.key)
        with st.container(horizontal=True, vertical_alignment="center", gap="small", width="content"):
            if added is not None:
                layout.badge("Added", "green", ":material/check_circle:")
                nav.link(place, "segment", label="Open" if added.enabled else "Review", icon="", id=added.id.hex)
            else:
                _adding(one)
    layout.note(starter.about)
    rule = added.rule if added is not None else one.rule
    if rule is not None:
        st.markdown(safe_text(telling.sentence(place, known, rule), longest=260))
    else:
        layout.remark(one.problem)
    with st.container(horizontal=True, gap="small"):
        for step in starter.steps:
            name, icon = _STEPS[step.kind]
            layout.badge(f"{name}: {step.text}", "blue", icon)
    layout.note(f"Goal: {starter.goal}")


def _adding(one: _Offered) -> None:
    """The thresholds, and the button."""
    starter = one.starter
    if starter.thresholds:
        with st.popover("Set", icon=":material/tune:", key=f"starter-set-{starter.key}"):
            for threshold in starter.thresholds:
                _ask(starter, threshold)
    if st.button("Add", icon=":material/add:", key=f"segments.starter.{starter.key}.add", disabled=one.rule is None):
        _add([one])


def _ask(starter: Starter, threshold: Threshold) -> None:
    key = _key(starter, threshold)
    more = threshold.help or (
        "A number and s, min, h, d, w or mo, like 4h or 30d." if threshold.kind == "length" else ""
    )
    if threshold.kind == "whole":
        st.number_input(
            safe_text(threshold.title),
            min_value=1,
            step=1,
            value=int(threshold.default),
            key=key,
            help=safe_text(more),
            persist_state="session",
        )
    else:
        st.text_input(
            safe_text(threshold.title),
            value=str(threshold.default),
            key=key,
            help=safe_text(more),
            max_chars=1000,
            persist_state="session",
        )


def _offer(starter: Starter, roles: Mapping[str, Match]) -> _Offered:
    held = {threshold.name: state.held(_key(starter, threshold)) for threshold in starter.thresholds}
    chosen = {name: value for name, value in held.items() if value is not None}
    try:
        return _Offered(starter, chosen, starter.rule(starter.given(roles, chosen)))
    except InvalidInput as error:
        return _Offered(starter, chosen, None, str(error))


def _add(offered: Sequence[_Offered]) -> None:
    place = here()
    with place.change() as session:
        made = starters.install(
            session,
            place.principal,
            [one.starter.key for one in offered],
            thresholds={one.starter.key: one.chosen for one in offered},
            now=place.now,
        )
    _USED.set(True)
    if len(made) == 1:
        layout.done(clean(f"“{made[0].name}” is added and off: review it, then turn it on."))
    elif made:
        layout.done(f"{place.write.number(len(made))} segments are added and off: review them, then turn them on.")
    else:
        layout.done("Somebody added them already.")
    st.rerun()


def _key(starter: Starter, threshold: Threshold) -> str:
    return f"segments.starter.{starter.key}.{threshold.name}"
