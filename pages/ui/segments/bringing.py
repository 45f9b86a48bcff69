"""A rule that was written elsewhere, pasted as JSON: what it means here, and into the builder as the draft of a new segment."""

import streamlit as st

from gdp_core.segments import importing, keeping, rules
from gdp_core.segments.rules import BadRule, Problem, Rule
from pages.ui import boundary, layout, nav, state
from pages.ui.context import Here, here
from pages.ui.escape import safe_text
from pages.ui.segments import counting, telling
from pages.ui.segments.drafting import Desk

_WRITTEN: state.Slot[str] = state.Slot("segments.import.text", "")
_KEPT: state.Slot[str | None] = state.Slot("segments.import.kept", None)  # the rule that was made a draft
_EXAMPLE = '[{"condition": "event", "eventType": "video_rendered", "eventCount": {"gte": 10}, "eventWindow": "30d"}]'
_MOST_PROBLEMS = 10


def section(place: Here, *, has_draft: bool) -> None:
    """Where a rule is pasted, closed until somebody opens it."""
    if not place.may("segments.write"):
        return
    shown = st.expander("Import a rule", icon=":material/data_object:", on_change="rerun", key="segments.import.open")
    if shown.open:
        with shown:
            _ask(has_draft)


@boundary.fragment()
def _ask(has_draft: bool) -> None:
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
    if _KEPT.get() == rule.json_text:
        layout.badge("Your draft now", "green", ":material/check_circle:")
        nav.link(place, "builder", label="Open it in the builder", icon=":material/edit_note:")
        return
    if has_draft:
        layout.remark("You have a draft of a new segment already: this rule takes its place.")
    if st.button("Replace my draft" if has_draft else "Make it my draft", type="primary", key="segments.import.keep"):
        _keep(rule)


def _keep(rule: Rule) -> None:
    place = here()
    content = {"match": rule.plain["match"], "base": None}
    with place.change() as session:
        keeping.write_draft(session, place.principal, None, content, now=place.now)
    Desk(None).clear()
    _KEPT.set(rule.json_text)
    st.rerun()


def _problems(found: tuple[Problem, ...]) -> None:
    for problem in found[:_MOST_PROBLEMS]:
        st.error(safe_text(_line(problem), longest=500), icon=":material/error:")
    if len(found) > _MOST_PROBLEMS:
        layout.note(f"And {len(found) - _MOST_PROBLEMS} more.")


def _line(problem: Problem) -> str:
    place = ".".join(str(number + 1) for number in problem.path)
    return f"Condition {place}: {problem.message}" if place else problem.message
