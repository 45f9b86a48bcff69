"""Why somebody is in a segment or not: the rule as a tree, each part true or false, what was found, and until when."""

from collections.abc import Sequence
from uuid import UUID

import streamlit as st

from gdp_core import reports
from gdp_core.analytics import people_list
from gdp_core.analytics.calendar import instant
from gdp_core.analytics.people_list import Filter, PersonRow
from gdp_core.segments import explaining
from gdp_core.segments.conditions.base import Condition, Evidence, Names
from gdp_core.segments.explaining import Part, Why
from gdp_core.segments.keeping import Segment
from gdp_core.segments.rules import Group
from pages.ui import layout, state
from pages.ui.context import Here
from pages.ui.escape import clean, safe_text
from pages.ui.people import name_of
from pages.ui.reporting.sight import Sight
from pages.ui.segments import counting, telling

_FOUND = 10
_GROUPS = {"all": "All of these", "any": "Any of these", "not": "None of these"}
_MARKS = {True: ":green[:material/check_circle:]", False: ":red[:material/cancel:]"}


def explain(place: Here, sight: Sight, one: Segment, person_id: UUID) -> Why | None:
    """Why a person is in a segment by its rule; None for who is not in the reports yet."""
    numbers = place.read(reports.numbers_of, [person_id])
    if not len(numbers):
        return None
    return explaining.explain(
        sight.timeline, one.rule, counting.surroundings(place), int(numbers[0]), sight.scope.now, own=str(one.id)
    )


def pick(place: Here, chosen: state.Field) -> UUID | None:
    """The person who is asked about: that of the address, or another that is looked for."""
    words = st.text_input(
        "Find a person",
        key="segment.why.words",
        type="search",
        placeholder="Name, e-mail or company",
        live="300ms",
        width=320,
    )
    found: Sequence[PersonRow] = ()
    if words:
        wanted = people_list.asked_by(place.principal, Filter(words=words, internal="with"))
        found = place.read(people_list.read_page, wanted, place.now, size=_FOUND).rows
        if not found:
            layout.note("Nobody is called so.")
    if found:
        with st.container(horizontal=True, gap="small"):
            for row in found:
                st.button(
                    safe_text(" · ".join(filter(None, (name_of(place, row), place.sees(row.email)))), longest=70),
                    key=f"segment.why.{row.id.hex}",
                    type="tertiary",
                    icon=":material/person:",
                    on_click=chosen.set,
                    args=(row.id.hex,),
                )
    try:
        return UUID(chosen.value) if chosen.value else None
    except ValueError:
        return None


def show(place: Here, one: Segment, told: Why) -> None:
    """The verdict, when it turns, and the tree."""
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        if told.belongs:
            layout.badge("In the segment", "green", ":material/check_circle:")
        else:
            layout.badge("Not in it", "gray", ":material/cancel:")
        layout.note(turning(place, told))
    with st.container(gap="xsmall", key=f"why-{one.id.hex}-{told.number}"):
        _part(place, telling.names(place), told.tree, one.rule.match)


def turning(place: Here, told: Why) -> str:
    """When they leave or enter if nothing happens."""
    write = place.write
    if not told.counts:
        return "Internal people are in no segment."
    verb, stays = ("Leaves", "Stays") if told.belongs else ("Would enter", "Stays outside")
    if told.turns_at is not None:
        at = instant(told.turns_at)
        return f"{verb} on {write.instant(at)} {write.zone_name(at)} if nothing happens."
    if told.looked_until is not None:
        return f"{stays} until {write.date_of(instant(told.looked_until))} at least if nothing happens."
    return f"{stays} as long as nothing happens."


def _part(place: Here, known: Names, part: Part, node: Group | Condition) -> None:
    until = f" Until {place.write.instant(instant(part.until))}, if nothing happens." if part.until is not None else ""
    if isinstance(node, Group):
        st.markdown(f"{_MARKS[part.holds]} **{_GROUPS[node.kind]}**")
        with st.container(border=True, gap="xsmall"):
            for below, child in zip(part.of, node.of, strict=True):
                _part(place, known, below, child)
        return
    hidden = not place.may("pii.read") and telling.says_personal(node)
    st.markdown(f"{_MARKS[part.holds]} {safe_text(telling.line(place, known, node), longest=500)}")
    if part.evidence is not None and not hidden:
        _evidence(place, part.evidence, until)
    elif until:
        layout.note(until.strip())


def _evidence(place: Here, found: Evidence, until: str) -> None:
    write = place.write
    told = clean(found.sentence, longest=300)
    said = f"{told[:1].upper()}{told[1:]}"
    wanted = f"; wanted: {found.wanted}" if found.wanted else ""
    with st.container(gap="xsmall"):
        layout.note(f"{said}{wanted}.{until}")
        if found.happenings:
            shown = " · ".join(f"{one.name} {write.instant(instant(one.at), seconds=True)}" for one in found.happenings)
            more = found.events - len(found.happenings)
            layout.note(f"{clean(shown, longest=900)}{f' · and {write.number(more)} more' if more > 0 else ''}")
