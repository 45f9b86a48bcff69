"""Why somebody is in a segment or not: the rule as a tree, each part true or false, what was found, and until when."""

from collections.abc import Mapping
from dataclasses import dataclass
from uuid import UUID

import streamlit as st

from gdp_core import reports
from gdp_core.analytics import people_list, profile
from gdp_core.analytics.calendar import instant
from gdp_core.analytics.people_list import Filter
from gdp_core.analytics.timeline import After
from gdp_core.errors import InvalidInput, NotFound
from gdp_core.segments import explaining
from gdp_core.segments.conditions.base import Condition, Evidence, Happening, Names
from gdp_core.segments.conditions.segment import Segment as InSegment
from gdp_core.segments.explaining import Part, Why
from gdp_core.segments.keeping import Segment
from gdp_core.segments.membership import Member
from gdp_core.segments.personal import Reader
from gdp_core.segments.rules import GROUP_SENTENCES, Group
from pages.ui import boundary, layout, nav, state
from pages.ui.context import Here, here
from pages.ui.escape import clean, safe_text
from pages.ui.people import name_of
from pages.ui.person import timeline
from pages.ui.reporting.sight import Sight
from pages.ui.segments import counting, telling

_FOUND = 10
_MARKS = {True: ":green[:material/check_circle:]", False: ":red[:material/cancel:]"}


def find(picked: state.Field) -> None:
    """The field that looks for somebody; who is clicked is asked about, in a run of the whole page."""
    _finder(picked)


@boundary.fragment()
def _finder(picked: state.Field) -> None:
    """By itself, so that what somebody types explains nothing anew."""
    place = here()
    words = st.text_input(
        "Find a person",
        key="segment.why.words",
        type="search",
        placeholder="Name, e-mail or company",
        live="300ms",
        width=320,
    )
    if not words:
        return
    wanted = people_list.asked_by(place.principal, Filter(words=words, internal="with"))
    found = place.read(people_list.read_page, wanted, place.now, size=_FOUND).rows
    if not found:
        layout.note("Nobody is called so.")
        return
    with st.container(horizontal=True, gap="small"):
        for row in found:
            said = " · ".join(filter(None, (name_of(place, row), place.sees(row.email))))
            if st.button(
                safe_text(said, longest=70), key=f"segment.why.{row.id.hex}", type="tertiary", icon=":material/person:"
            ):
                picked.set(row.id.hex)
                st.rerun()


def chosen(place: Here, picked: state.Field) -> UUID | None:
    """Whom the address asks about, by any id they ever had; None for nobody who is there."""
    try:
        return place.read(profile.person_of, UUID(picked.value)) if picked.value else None
    except (ValueError, NotFound):
        layout.note("There is nobody of this id in the workspace: look for a person.")
        return None


def answer(place: Here, sight: Sight | None, one: Segment, person_id: UUID, stored: Member | None) -> None:
    """Why a person is in a segment or not, or why that cannot be said now."""
    if sight is None:
        layout.note("Counting begins in a few seconds: ask again then.")
        return
    numbers = place.read(reports.numbers_of, [person_id])
    try:
        told = explaining.explain(
            sight.timeline, one.rule, counting.surroundings(place), int(numbers[0]), sight.scope.now, own=str(one.id)
        )
    except InvalidInput as error:
        layout.note(str(error))
        return
    show(place, one, person_id, told, stored)


def show(place: Here, one: Segment, person_id: UUID, told: Why, stored: Member | None) -> None:
    """Whether they are in it, why the rule says otherwise where it does, when it turns, and the tree.

    `person_id` is what the person is now, `stored` what the last evaluation wrote of them.
    """
    why_not = difference(place, one, told, stored)
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        if stored:
            layout.badge("In the segment", "blue", ":material/check_circle:")
            layout.note(_entered(place, stored))
        else:
            layout.badge("Not in it", "gray", ":material/cancel:")
        if why_not:
            layout.badge(f"By its rule now: {'in it' if told.belongs else 'not in it'}", "orange", ":material/rule:")
    layout.note(turning(place, one, told))
    layout.remark(why_not)
    telling_of = _Telling(place, telling.names(place), person_id, _places(place, person_id, told))
    with st.container(gap="xsmall", key=f"why-{one.id.hex}-{told.number}"):
        telling_of.part(told.tree, one.rule.match)


def _entered(place: Here, stored: Member) -> str:
    at = place.write.instant(stored.entered_at)
    return f"Entered {at}" if stored.entry == 1 else f"Entered {place.write.number(stored.entry)} times, last {at}"


def difference(place: Here, one: Segment, told: Why, stored: Member | None) -> str | None:
    """Why who is in it is not whom its rule means now, of one person; None where both say the same."""
    if told.belongs == (stored is not None):
        return None
    write = place.write
    counted = f"counted {write.instant(one.evaluated_at)}" if one.evaluated_at else "never counted"
    if not one.enabled:
        return f"It is off, and its people are as they were {counted}. They follow the rule again once it is turned on."
    if one.error:
        return f"It is failing, so its people are as they were {counted}: {one.error}"
    if one.pending:
        return "It changed for very many people, who are written step by step: this one is still to come."
    if one.evaluated_at is None:
        return "Nobody has been counted yet: who meets the rule enters in a moment."
    if one.counted_version != one.version:
        return f"Its people are still those of version {one.counted_version}; version {one.version} is being counted."
    return f"Something changed since it was {counted}: the next counting brings its people in line."


def turning(place: Here, one: Segment, told: Why) -> str:
    """When they leave or enter if nothing happens."""
    write = place.write
    if not told.counts:
        return "Internal people are in no segment."
    if not one.enabled:
        return "Nobody enters or leaves it while it is off."
    verb, stays = ("Leaves", "Stays") if told.belongs else ("Would enter", "Stays outside")
    if told.turns_at is not None:
        at = instant(told.turns_at)
        return f"{verb} on {write.instant(at)} {write.zone_name(at)} if nothing happens."
    if told.looked_until is not None:
        return f"{stays} until {write.date_of(instant(told.looked_until))} at least if nothing happens."
    return f"{stays} as long as nothing happens."


def _places(place: Here, person_id: UUID, told: Why) -> Mapping[Happening, After]:
    """Where the events behind the evidence stand on the person's timeline; those that were erased stand nowhere."""
    shown = [one for part in told.parts if part.evidence for one in part.evidence.happenings]
    found = place.read(explaining.event_ids, person_id, list(dict.fromkeys(shown))) if shown else {}
    return {one: After(instant(one.at), "event", str(ids[0])) for one, ids in found.items()}


@dataclass(frozen=True, slots=True)
class _Telling:
    """What an explanation is told with: what things are called, who it is of, and where their events stand."""

    place: Here
    names: Names
    person_id: UUID
    events: Mapping[Happening, After]

    def part(self, part: Part, node: Group | Condition) -> None:
        """A group with what is in it, or a condition with what was found."""
        until = f" Until {self.place.write.instant(instant(part.until))}, if nothing happens." if part.until else ""
        if isinstance(node, Group):
            st.markdown(f"{_MARKS[part.holds]} **{GROUP_SENTENCES[node.kind].capitalize()}**")
            with st.container(border=True, gap="xsmall"):
                for below, child in zip(part.of, node.of, strict=True):
                    self.part(below, child)
            return
        found = Reader(self.place.principal, self.names).evidence(node, part.evidence)
        said = telling.line(self.place, self.names, node)
        with st.container(horizontal=True, vertical_alignment="center", gap="small"):
            st.markdown(f"{_MARKS[part.holds]} {safe_text(said, longest=500)}", width="content")
            if isinstance(node, InSegment) and node.segment in self.names.segments:
                self._other(node.segment)
        if found is not None:
            self._evidence(found, until)
        elif until:
            layout.note(until.strip())

    def _other(self, key: str) -> None:
        """The way to why they are in the segment that this one is made of."""
        nav.link(
            self.place,
            "segment",
            label="Why",
            icon=":material/help:",
            id=UUID(key).hex,
            tab="why",
            person=self.person_id.hex,
        )

    def _evidence(self, found: Evidence, until: str) -> None:
        told = clean(found.sentence, longest=300)
        wanted = f"; wanted: {found.wanted}" if found.wanted else ""
        with st.container(gap="xsmall"):
            layout.note(f"{told[:1].upper()}{told[1:]}{wanted}.{until}")
            if found.happenings:
                with st.container(horizontal=True, vertical_alignment="center", gap="small"):
                    for one in found.happenings:
                        self._event(one)
                    more = found.events - len(found.happenings)
                    if more > 0:
                        layout.note(f"and {self.place.write.number(more)} more")

    def _event(self, one: Happening) -> None:
        """An event that leads to itself on the person's timeline."""
        said = clean(f"{one.name} · {self.place.write.instant(instant(one.at), seconds=True)}", longest=120)
        where = self.events.get(one)
        if where is None:
            layout.note(said)
            return
        after, opened = timeline.address(where)
        nav.link(
            self.place,
            "person",
            label=said,
            icon=":material/bolt:",
            id=str(self.person_id),
            after=after,
            shown=opened,
        )
