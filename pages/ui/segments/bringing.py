"""A rule that was written elsewhere, pasted as JSON: what it means here, and into the builder as the draft of a new segment."""

import streamlit as st

from gdp_core.segments import importing, rules
from gdp_core.segments.rules import BadRule, Problem
from pages.ui import boundary, layout, nav, state
from pages.ui.context import Here, here
from pages.ui.escape import safe_text
from pages.ui.segments import counting, drafting, telling

_WRITTEN: state.Slot[str] = state.Slot("segments.import.text", "")
_EXAMPLE = '[{"condition": "event", "eventType": "video_rendered", "eventCount": {"gte": 10}, "eventWindow": "30d"}]'
_MOST_PROBLEMS = 10


def section(place: Here) -> None:
    """Where a rule is pasted, closed until somebody opens it."""
    if not place.may("segments.write"):
        return
    shown = st.expander("Import a rule", icon=":material/data_object:", on_change="rerun", key="segments.import.open")
    if shown.open:
        with shown:
            _ask()


@boundary.fragment()
def _ask() -> None:
    place = here()
    layout.note(
        "Paste a rule as JSON: one of ours, field rules with AND and OR, or event, property and cohort rules. It becomes"
        " your draft in the builder, and nothing is saved before you say so."
    )
    written = st.text_area("Rule as JSON", key=_WRITTEN.key, height=220, placeholder=_EXAMPLE)
    if not written.strip():
        st.button("Read it", key="segments.import.read")
        return
    try:
        rule = importing.read_any(written)
    except BadRule as error:
        _problems(error.problems)
        st.button("Read it again", key="segments.import.read")
        return
    around = counting.surroundings(place)
    st.markdown(safe_text(telling.sentence(place, around.names, rule), longest=2000))
    for problem in rules.check(rule, around):
        layout.remark(_line(problem))
    match, before = rule.plain["match"], drafting.begun(place)
    if before == match:
        layout.badge("Your draft now", "green", ":material/check_circle:")
        nav.link(place, "builder", label="Open it in the builder", icon=":material/edit_note:")
        return
    if before:
        layout.remark(
            "You have a draft of a new segment already: this rule takes its place, and Undo in the builder brings it back."
        )
    if st.button("Replace my draft" if before else "Make it my draft", type="primary", key="segments.import.keep"):
        drafting.bring(place, match)
        st.rerun()


def _problems(found: tuple[Problem, ...]) -> None:
    for problem in found[:_MOST_PROBLEMS]:
        st.error(safe_text(_line(problem), longest=500), icon=":material/error:")
    if len(found) > _MOST_PROBLEMS:
        layout.note(f"And {len(found) - _MOST_PROBLEMS} more.")


def _line(problem: Problem) -> str:
    place = ".".join(str(number + 1) for number in problem.path)
    return f"Condition {place}: {problem.message}" if place else problem.message
