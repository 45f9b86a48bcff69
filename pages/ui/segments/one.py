"""One segment's page: its head and what can be done with it, and a part for each tab."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from uuid import UUID

import streamlit as st

from gdp_core.analytics import people_list
from gdp_core.analytics import segments as reads
from gdp_core.analytics.people_list import PersonRow
from gdp_core.segments import keeping, membership, sharing, using
from gdp_core.segments.keeping import Segment
from gdp_core.segments.membership import Flow, Member, Place
from gdp_core.settings import settings
from pages.ui import boundary, layout, nav, state
from pages.ui.charts import segment as charts
from pages.ui.charts.style import CONFIG
from pages.ui.context import Here, here
from pages.ui.escape import clean, safe_text
from pages.ui.format import UNKNOWN, label
from pages.ui.people import name_of
from pages.ui.reporting import saving
from pages.ui.reporting import sight as sights
from pages.ui.rows import Buttons
from pages.ui.segments import acting, meant, telling, versions, why

TABS = {
    "overview": "Overview",
    "people": "People",
    "overlap": "Overlap",
    "versions": "Versions",
    "history": "Changes",
    "why": "Why",
}
ID = state.Field("segment", "id")
TAB = state.Field("segment", "tab", default="overview", choices=tuple(TABS))
PERSON = state.Field("segment", "person")
AFTER = state.Field("segment", "after")
FIELDS = (ID, TAB, PERSON, AFTER, versions.AT, versions.BEFORE)
_PAGE = 50


def _ask_why() -> None:
    """A callback: the tab that explains the person whose row was clicked."""
    chosen = _ASK.clicked()
    if chosen:
        PERSON.set(chosen)
        TAB.set("why")


_ASK: Buttons[str] = Buttons("segment.ask", icon=":material/help:", then=_ask_why)


# ------------------------------------------------------------------------------------------------------------ the head


def head(place: Here, one: Segment) -> None:
    """Name, what it is for, its state, and what can be done with it."""
    with layout.head(one.name, clean(one.description, longest=300)):
        if TAB.value == "overview" and one.people is not None:
            layout.scope_bar(place, compares=False)
        if place.may("segments.write"):
            nav.link(place, "builder", label="Edit the rule", icon=":material/edit:", id=one.id.hex)
            acting.menu(place, one)
    if _moves(one):
        _awaited(one.id)
    else:
        _standing(place, one)


def _moves(one: Segment) -> bool:
    return one.is_awaited and not one.error


@boundary.fragment(every=3)
def _awaited(segment_id: UUID) -> None:
    """How it stands, until its people are those of its rule: then the whole page tells of them."""
    place = here()
    one = place.read(keeping.read_segment, segment_id)
    if not _moves(one):
        st.rerun()
    _standing(place, one)


def _standing(place: Here, one: Segment) -> None:
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        if one.enabled and not one.error:
            layout.badge("On", "green", ":material/check_circle:")
        telling.badges(place, one)
        if place.may("segments.write") and place.read(keeping.read_draft, place.principal, one.id):
            layout.badge("You have a draft of it, not saved", "orange", ":material/edit_note:")
        layout.note(_freshness(place, one))
    telling.trouble(place, one)


def _freshness(place: Here, one: Segment) -> str:
    write = place.write
    version = f"Version {write.number(one.version)}"
    if one.evaluated_at is None:
        return f"{version} · not counted yet"
    counted = f"counted {write.ago(one.evaluated_at, place.now)}{_took(place, one.seconds)}"
    if one.counted_version not in (None, one.version):
        return f"{version} · its people are those of version {write.number(one.counted_version)}, {counted}"
    return f"{version} · {counted}"


def _took(place: Here, seconds: float | None) -> str:
    if seconds is None:
        return ""
    return f" in {place.write.lasting(seconds)}" if seconds >= 0.1 else " in less than 0.1 s"


def tabs() -> str:
    """The choice of what to see below the head."""
    st.segmented_control(
        "Show", [*TABS], key=TAB.key, format_func=TABS.__getitem__, label_visibility="collapsed", required=True
    )
    return str(TAB.value)


# -------------------------------------------------------------------------------------------------------- the overview


def overview(place: Here, one: Segment) -> None:
    """What it says, how many people it has, and how that went."""
    last = place.scope.end - timedelta(days=1)
    flow = place.read(membership.read_flow, one.id, place.scope.start, last, place.workspace.timezone)
    if one.people is not None:
        _numbers(place, one, flow)
    _rule(place, one)
    if meant.is_of_use(one):
        meant.card(place, one)
    _intended(one)
    if one.people is not None:
        left_side, right_side = st.columns(2, gap="small")
        with left_side, layout.card("Size", key="segment-size"):
            _size(place, one)
        with right_side, layout.card("Entered and left, by day", key="segment-flow"):
            _flow(place, flow)
    _used_by(place, one)


def _numbers(place: Here, one: Segment, flow: Sequence[Flow]) -> None:
    write = place.write
    grown = place.read(reads.read_growth, place.now, one.id).get(one.id, reads.UNMOVED)
    with layout.numbers():
        layout.metric("People", write.number(one.people))
        for name, by in (("In 7 days", grown.week), ("In 30 days", grown.month)):
            layout.metric(name, f"{'+' if by > 0 else '−' if by < 0 else ''}{write.number(abs(by))}")
        entered, left = (write.number(number) for number in _total(flow))
        layout.metric(f"Entered · left, {layout.period_name(place).lower()}", f"{entered} · {left}")


def _total(flow: Sequence[Flow]) -> tuple[int, int]:
    return sum(day.entered for day in flow), sum(day.exited for day in flow)


def _rule(place: Here, one: Segment) -> None:
    known = telling.names(place)
    with layout.card("What it says", key="segment-rule"):
        st.markdown(safe_text(telling.sentence(place, known, one.rule), longest=3000))
        if len(list(one.rule.conditions())) > 1:
            with st.expander("As a list"), st.container(gap=None):
                for depth, text in telling.lines(place, known, one.rule):
                    with st.container(horizontal=True, gap=None, wrap=False):
                        st.space(max(1, 22 * depth))
                        st.markdown(safe_text(text, longest=500))


def _flow(place: Here, flow: Sequence[Flow]) -> None:
    write, (entered, left) = place.write, _total(flow)
    if not entered and not left:
        layout.note("Nobody entered or left in this period.")
        return
    st.plotly_chart(
        charts.flow([(day.day, day.entered, day.exited) for day in flow], write),
        config=CONFIG,
        key="segment-flow-chart",
        alt=f"{write.number(entered)} entered and {write.number(left)} left",
    )


def _intended(one: Segment) -> None:
    """The goal of a segment, and what somebody intends to do for its people; nothing where neither is said."""
    steps = [step for step in (one.action or {}).get("steps", ()) if isinstance(step, Mapping)]
    if not one.goal and not steps:
        return
    with layout.card("Goal and what is intended", key="segment-goal"):
        if one.goal:
            st.markdown(safe_text(one.goal, longest=1000))
        for step in steps:
            layout.note(f"{label(str(step.get('kind')))}: {clean(str(step.get('text', '')), longest=500)}")
        if steps:
            layout.note("A draft: nothing happens by itself.")


def _size(place: Here, one: Segment) -> None:
    write = place.write
    found = place.read(membership.read_sizes, one.id, place.scope.since, place.scope.until)
    points = [(each.at, each.people) for each in found]
    if points:
        points.append((place.scope.until, points[-1][1]))
    if len(points) < 2:
        layout.note("The curve begins with its first counting.")
        return
    st.plotly_chart(
        charts.size(points, place.scope.since, place.scope.until, write),
        config=CONFIG,
        key="segment-size-chart",
        alt=f"From {write.number(points[0][1])} to {write.number(points[-1][1])} people",
    )


def _used_by(place: Here, one: Segment) -> None:
    with layout.card("Used by", key="segment-used"):
        users = place.read(using.read_users, one.id)
        if users.are_none:
            layout.note(
                "No other segment is made of it, no saved report asks by it, and no webhook is told of it alone."
            )
            return
        with st.container(horizontal=True, vertical_alignment="center", gap="small"):
            for user in users.segments:
                nav.link(
                    place, "segment", label=clean(user.name, longest=80), icon=":material/group_work:", id=user.id.hex
                )
            for report in users.reports:
                saving.link(place, report)
            if users.subscriptions:
                number = place.write.number(users.subscriptions)
                layout.badge(
                    f"{number} webhook subscription{'s' if users.subscriptions > 1 else ''}",
                    "gray",
                    ":material/webhook:",
                )


# ---------------------------------------------------------------------------------------------------------- the people


def people(place: Here, one: Segment) -> None:
    """Everybody in it, a page at a time."""
    after = _after(str(AFTER.value))
    found = place.read(membership.read_members, one.id, after=after, size=_PAGE + 1)
    shown = found[:_PAGE]
    if not shown:
        _nobody(place, one)
        return
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        layout.note(f"{place.write.number(one.people)} people, those who entered last first")
        st.space("stretch")
        if place.may("people.export"):
            nav.download(place, "/api/export/segment.csv", {"id": one.id.hex}, key="segment-export")
    rows = {row.id: row for row in place.read(people_list.read_listed, [member.person_id for member in shown])}
    listed = [(member, rows[member.person_id]) for member in shown if member.person_id in rows]
    _members(place, one, listed)
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        _ASK.chooser("Why is somebody in it?", {row.id.hex: name_of(place, row) for _, row in listed})
        st.space("stretch")
        if after:
            st.button("Newest", icon=":material/first_page:", key="segment-first", on_click=AFTER.set, args=("",))
        if len(found) > _PAGE:
            following = _text(shown[-1])
            st.button(
                "More", icon=":material/chevron_right:", key="segment-next", on_click=AFTER.set, args=(following,)
            )


def _nobody(place: Here, one: Segment) -> None:
    """Instead of the people: why there are none, and whom the rule means where that is another matter."""
    if not meant.is_of_use(one):
        layout.empty(":material/group:", "Nobody is in it now", "Who meets its rule enters by itself.")
        return
    text = "Nobody was counted yet" if one.evaluated_at is None else "Nobody was in it when it was turned off"
    layout.empty(
        ":material/group:",
        text,
        "Who meets its rule enters once it is turned on." if not one.enabled else "Its first counting takes a moment.",
    )
    meant.card(place, one)


def _members(place: Here, one: Segment, listed: Sequence[tuple[Member, PersonRow]]) -> None:
    write = place.write
    layout.table(
        {
            "why": _ASK.cells([row.id.hex for _, row in listed]),
            "open": [nav.href(place, "person", id=str(row.id)) for _, row in listed],
            "Name": [name_of(place, row) for _, row in listed],
            "E-mail": [clean(place.sees(row.email) or "") or UNKNOWN for _, row in listed],
            "Entered": [write.instant(member.entered_at) for member, _ in listed],
            "Entries": [write.number(member.entry) for member, _ in listed],
            "Plan": [clean(row.plan_name or "") or UNKNOWN for _, row in listed],
            "Events": [write.number(row.total_events) for _, row in listed],
            "Last seen": [write.instant(row.last_seen_at) for _, row in listed],
        },
        alt=f"People of {clean(one.name)}",
        config={
            "why": _ASK.column("Why", help="Why they are in it"),
            "open": st.column_config.LinkColumn("", display_text=":material/open_in_new:", width=44, pinned=True),
            "Name": st.column_config.TextColumn(width=170),
            "E-mail": st.column_config.TextColumn(width=220),
            "Entries": st.column_config.TextColumn(alignment="right", help="How often they entered it"),
            "Events": st.column_config.TextColumn(alignment="right"),
        },
        height="content",
    )


def _text(member: Member) -> str:
    return f"{member.person_id.hex}{member.entered_at.isoformat()}"


def _after(text: str) -> Place | None:
    try:
        at = datetime.fromisoformat(text[32:])
        return (at, UUID(text[:32])) if at.tzinfo else None
    except ValueError:
        return None


# --------------------------------------------------------------------------------------------------------- the overlap


def overlap(place: Here, one: Segment) -> None:
    """The other segments that have people of this one."""
    write = place.write
    found = place.read(sharing.read_shared, one.id, settings().timeline_folder)
    if not found:
        layout.empty(
            ":material/join_inner:", "No other segment has people of this one", "Shares appear once both were counted."
        )
        return
    people_here = one.people or 0
    layout.note("Both: in this and that segment now. Jaccard: those in both, of those in either.")
    layout.table(
        {
            "open": [nav.href(place, "segment", id=other.segment_id.hex) for other in found],
            "Segment": [clean(other.name, longest=80) for other in found],
            "People": [write.number(other.people) for other in found],
            "Both": [write.number(other.both) for other in found],
            "Of this segment": layout.shares([other.both / people_here if people_here else 0.0 for other in found]),
            "Of that segment": layout.shares([other.both / other.people if other.people else 0.0 for other in found]),
            "Jaccard": [
                write.percent(other.both / union if (union := people_here + other.people - other.both) else None)
                for other in found
            ],
        },
        alt=f"Segments that share people with {clean(one.name)}",
        config={
            "open": st.column_config.LinkColumn("", display_text=":material/open_in_new:", width=44, pinned=True),
            "Segment": st.column_config.TextColumn(width=260),
            "People": st.column_config.TextColumn(alignment="right"),
            "Both": st.column_config.TextColumn(alignment="right"),
            "Of this segment": layout.share_column(width=160),
            "Of that segment": layout.share_column(width=160),
            "Jaccard": st.column_config.TextColumn(alignment="right"),
        },
        height="content",
    )


# ------------------------------------------------------------------------------------------------------------- the why


def explanation(place: Here, one: Segment) -> None:
    """Why a person is in it or not."""
    layout.note("Whoever it is: each condition, what was found, and when they leave or would enter if nothing happens.")
    why.find(PERSON)
    chosen = why.chosen(place, PERSON)
    if chosen is None:
        return
    rows = place.read(people_list.read_listed, [chosen])
    if not rows:
        layout.note("This person is not there any more: they were erased, or are of another workspace.")
        return
    with layout.card(key="segment-why"):
        with st.container(horizontal=True, vertical_alignment="center", gap="small"):
            layout.heading(name_of(place, rows[0]))
            nav.link(place, "person", label="Open the profile", icon=":material/person:", id=str(chosen))
        why.answer(place, sights.look(place, None), one, chosen, place.read(membership.find_member, one.id, chosen))
