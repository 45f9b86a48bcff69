"""The builder: a rule as lines of English in nested groups, one of them open, and beside it whom it means.

Only the open condition has widgets, so a rule of thirty conditions is as quick as one of three. A rule that is not
finished is counted as far as it is.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from typing import Any
from uuid import UUID

import streamlit as st

from gdp_core.analytics.scope import midnight
from gdp_core.errors import InvalidInput, NotFound
from gdp_core.segments import keeping, rules
from gdp_core.segments.backtesting import Day
from gdp_core.segments.keeping import Segment
from gdp_core.segments.previewing import Preview
from gdp_core.segments.rules import DEEPEST, Path, Problem, Rule
from pages.ui import boundary, layout, nav, state
from pages.ui.charts import segment as charts
from pages.ui.charts.style import CONFIG
from pages.ui.context import Here, here
from pages.ui.escape import clean, icon_text, safe_text
from pages.ui.reporting import picking
from pages.ui.reporting import sight as sights
from pages.ui.reporting.sight import Sight
from pages.ui.segments import changes, counting, editor, looks, telling, tree
from pages.ui.segments.drafting import Desk, Work, begun, bring
from pages.ui.segments.offers import Offers
from pages.ui.segments.people import people_table
from pages.ui.segments.tree import Node

ID = state.Field("builder", "id")
FIELDS = (ID,)
_JOINED = {"all": "and", "any": "or", "not": "nor"}
_LEADS = {"": "", **{joined: f":gray[{joined}] " for joined in _JOINED.values()}}
_QUICK = ("performed", "person", "feature", "not_since")
_YEAR: state.Slot[tuple[str, tuple[Day, ...]] | None] = state.Slot("builder.year", None)  # of which rule
_WIDE = 240  # characters of a condition's line
_LONG = 480  # characters of the sentence beside the count


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of the rule in this run: it as a whole when it is finished, what is wrong, and its numbers."""

    rule: Rule | None
    problems: tuple[Problem, ...]
    found: Preview | None
    counts: Mapping[Path, int]

    def of(self, path: Path) -> tuple[Problem, ...]:
        """What is wrong with a node itself."""
        return tuple(problem for problem in self.problems if problem.path == path)


@boundary.fragment()
def show(segment_id: UUID | None) -> None:
    """The whole builder. It runs again alone, without the frame."""
    place = here()
    desk = Desk(segment_id)
    try:
        segment = place.read(keeping.read_segment, segment_id) if segment_id else None
    except NotFound as error:
        _without_segment(place, desk, error)
        return
    sight = sights.look(place, None)
    if sight is None:
        st.rerun()
    around = counting.surroundings(place)
    work = desk.sit_down(place, segment)
    offers = Offers(sight, picking.fields_of(place), around, str(segment_id) if segment_id else None)
    known = _known(work, offers)

    with layout.head(segment.name if segment else "New segment", _caption(place, work, segment, known)):
        _steps(desk, work)
        if segment is not None:
            nav.link(place, "segment", label="Open", icon=":material/group_work:", id=segment.id.hex)
        if _is_changed(work, segment, known):
            _discarding(desk, segment)
        _saving(desk, work, segment, known, sight, offers)
    _status(place, desk, work, segment, known)
    _answer(place, sight, known, offers)
    with layout.card(key="builder-rule"):
        _group(desk, offers, known, tree.OUTERMOST, work.root, work)
    if segment is not None and known.rule is not None and known.found is not None and known.rule != segment.rule:
        _effect(place, sight, offers, segment, known.rule, known.found)
    if known.found is not None:
        _sample(place, known.found)
    if known.rule is not None:
        _year(place, sight, offers, known.rule)


def _known(work: Work, offers: Offers) -> Known:
    """The rule is examined as a whole; what is wrong is left out, so that the rest can be counted."""
    left, was, problems = work.root, {path: path for path, _ in tree.walk(work.root)}, []
    while True:
        found: Preview | None = None
        rule, wrong = rules.examine({"version": 1, "match": tree.plain(left)})
        if rule is not None:
            wrong = rules.check(rule, offers.around, own=offers.own)
        if rule is not None and not wrong:
            with boundary.guarded("segments.preview"):  # whatever counting does, the rule can be mended
                found, wrong = counting.preview(offers.sight, offers.around, rule)
        problems += [replace(problem, path=was[problem.path]) for problem in wrong]
        paths = {problem.path for problem in wrong if problem.path}
        if not paths:
            break
        left, now = tree.without(left, paths)
        was = {path: was[before] for path, before in now.items()}
    counts = {was[path]: count for path, count in found.per_condition.items()} if found else {}
    if problems:  # what was left out may be what matters most: no number for the whole, nor for the groups
        counts = {path: count for path, count in counts.items() if not tree.is_group(tree.at(work.root, path))}
        return Known(None, tuple(problems), None, counts)
    return Known(rule, (), found, counts)


def _is_changed(work: Work, segment: Segment | None, known: Known) -> bool:
    """Whether the draft says something else than what is saved."""
    return work.is_changed and (segment is None or known.rule != segment.rule)


# ------------------------------------------------------------------------------------------------------- above the rule


def _caption(place: Here, work: Work, segment: Segment | None, known: Known) -> str:
    if segment is None:
        return "People who meet what you say here, kept up to date from when you save it"
    return f"Version {place.write.number(segment.version)}" + (
        ", being changed" if _is_changed(work, segment, known) else ""
    )


def _steps(desk: Desk, work: Work) -> None:
    for name, icon, act, steps, keys in (
        ("Undo", ":material/undo:", desk.undo, work.past, "Mod+Z"),
        ("Redo", ":material/redo:", desk.redo, work.future, "Mod+Shift+Z"),
    ):
        st.button(
            safe_text(name),
            icon=icon_text(icon),
            key=f"{desk.prefix}{name.lower()}",
            on_click=act,
            disabled=not steps,
            shortcut=keys,
        )


def _discarding(desk: Desk, segment: Segment | None) -> None:
    if st.button("Discard", icon=":material/delete_sweep:", key=f"{desk.prefix}discard"):
        layout.confirm(
            "Discard this draft?",
            body="The segment stays as it was saved."
            if segment
            else "What you built here is gone. Nobody else saw it.",
            button="Discard",
            act=partial(_discard, desk),
            key="builder-discard",
        )


def _discard(desk: Desk) -> str:
    desk.discard()
    return "Draft discarded."


_OTHER = "Another tab of yours wrote another draft."


def _is_late(work: Work, segment: Segment) -> bool:
    """Whether somebody saved another version since this was begun."""
    return work.is_changed and work.base is not None and work.base < segment.version


def _choosing(place: Here, desk: Desk, written: datetime) -> None:
    """Two tabs of one user changed the same: which of them stays."""
    layout.remark(f"In another tab you changed this too, at {place.write.clock(written)}. Choose which draft stays.")
    with st.container(horizontal=True, gap="small"):
        st.button("Keep this one", key=f"{desk.prefix}insist", on_click=desk.insist)
        st.button("Show the other one", key=f"{desk.prefix}yield", on_click=desk.clear)


def _behind(place: Here, segment: Segment, known: Known) -> None:
    """A colleague saved meanwhile: what yours says instead, and what can be done."""
    version = place.write.number(segment.version)
    layout.remark(
        f"Somebody saved version {version} since you began. Discard your draft to go on from theirs, or save yours over it"
        " or as a new segment."
    )
    if known.rule is not None:
        with st.expander(safe_text(f"What yours says instead of version {version}"), icon=":material/difference:"):
            names = telling.names(place)
            changes.show(telling.lines(place, names, segment.rule), telling.lines(place, names, known.rule))


def _without_segment(place: Here, desk: Desk, error: NotFound) -> None:
    """The segment was deleted; what somebody was changing of it is theirs all the same."""
    left = desk.left(place)
    if left is None or not place.may("segments.write"):
        raise error
    layout.title("Deleted segment")
    layout.remark(f"{error} What you were changing of it is kept: go on with it as a new segment.")
    if begun(place):
        layout.note(
            "You have begun a new segment already. This takes its place, and Undo in the builder brings it back."
        )
    if st.button("Go on as a new segment", type="primary", key=f"{desk.prefix}adopt"):
        bring(place, left)
        with place.change() as session:
            keeping.discard_draft(session, place.principal, desk.segment_id)
        desk.clear()
        state.replace_query(nav.parameters(here()))
        st.rerun()


def _status(place: Here, desk: Desk, work: Work, segment: Segment | None, known: Known) -> None:
    """Whether what is shown is saved, and what saving would do."""
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        if not _is_changed(work, segment, known):
            if segment is not None:
                layout.badge("Saved", "green", ":material/check_circle:")
                layout.note("Nothing is changed. Every change is kept as your draft until you save it.")
            else:
                layout.badge("Empty draft", "gray", ":material/edit_note:")
                layout.note("Every change is kept as your draft; you can leave at any time.")
        elif work.trouble or work.rival is not None:
            layout.badge("Not saved, not even as a draft", "red", ":material/cloud_off:")
            layout.note(
                f"{work.trouble or _OTHER} Keep this tab open{'' if work.rival else ': the next change tries again'}."
            )
        else:
            layout.badge("Draft, not saved", "orange", ":material/edit_note:")
            when = f"Kept for you at {place.write.clock(work.kept_at)}. " if work.kept_at else ""
            saving = (
                f"version {place.write.number(segment.version + 1)} of this segment" if segment else "a new segment"
            )
            layout.note(f"{when}You can leave and come back. Only you see it until saving makes it {saving}.")
    if work.rival is not None:
        _choosing(place, desk, work.rival)
    if segment is not None and _is_late(work, segment):
        _behind(place, segment, known)


def _answer(place: Here, sight: Sight, known: Known, offers: Offers) -> None:
    """How many people, and the whole rule as a sentence."""
    write = place.write
    with layout.card(key="builder-answer"), st.container(horizontal=True, gap="large"):
        with st.container(width=230, gap="xxsmall"):
            if known.found is not None:
                share = known.found.people / known.found.of if known.found.of else None
                layout.metric("People now", write.number(known.found.people), border=False)
                layout.note(f"{write.percent(share)} of {write.number(known.found.of)} people")
            else:
                layout.metric("People now", "–", border=False)
                layout.note(_why_none(known))
        with st.container(width="stretch", gap="xxsmall"):
            if known.rule is not None:
                _whole(known.rule.sentence(offers.around.names))
                layout.note(sights.caption(place, sight, dated=False))
                for remark in known.found.remarks if known.found else ():
                    layout.note(remark)
            else:
                layout.note("Once every condition is finished, the whole rule stands here as a sentence.")
                for problem in known.problems:
                    if problem.path == tree.OUTERMOST and problem.field != "of":
                        editor.tell(problem.message)


def _whole(sentence: str) -> None:
    """The rule as a sentence; the rest of one that would push the conditions off the page is behind a click."""
    if len(sentence) <= _LONG:
        st.markdown(safe_text(sentence))
        return
    st.markdown(safe_text(sentence, longest=_LONG))
    with st.expander("The whole sentence", key="builder-sentence"):
        st.markdown(safe_text(sentence, longest=20_000))


def _why_none(known: Known) -> str:
    unfinished = len({problem.path for problem in known.problems if problem.path})
    if not unfinished:
        return "No condition yet" if any(problem.field == "of" for problem in known.problems) else "Not counted"
    return "1 condition is not finished" if unfinished == 1 else f"{unfinished} conditions are not finished"


def _sample(place: Here, found: Preview) -> None:
    if not found.people:
        layout.note("Nobody meets this rule now. Who meets it later enters by itself.")
        return
    with layout.card("Some of them", key="builder-sample"):
        people_table(
            place, place.read(counting.people_of, found.sample.tolist()), alt="Some of the people the rule means"
        )


def _year(place: Here, sight: Sight, offers: Offers, rule: Rule) -> None:
    """How many it would have meant each day of the last year, for whoever opens it; of another rule once it is asked for."""
    opened = st.expander(
        "How it would have grown in the last 12 months",
        icon=":material/history:",
        on_change="rerun",
        key="builder-year",
    )
    with opened:
        if not opened.open:
            return
        kept = _YEAR.get()
        if kept is not None and kept[0] != rule.json_text:
            layout.note("It takes a count for each day. The rule is another one since it was told.")
            if not st.button("Tell it for this rule", icon=":material/refresh:", key="builder-year-again"):
                return
            kept = None
        if kept is None:
            _YEAR.set(("", ()))  # of no rule: when a click ends it here, it waits to be asked again
            bar = st.progress(0.0, "Day by day")
            try:
                found = counting.year(sight, offers.around, rule, partial(_progress, bar))
            except InvalidInput as error:
                bar.empty()
                layout.note(f"It cannot be told: {error}")
                return
            bar.empty()
            kept = (rule.json_text, found)
            _YEAR.set(kept)
        days = kept[1]
        write = place.write
        entered, left = sum(day.entered for day in days), sum(day.exited for day in days)
        layout.note(
            f"{write.number(entered)} would have entered and {write.number(left)} left, by what is known today."
            " No day sees what happened after it."
        )
        points = [(midnight(day.day, sight.scope.zone), day.people) for day in days]
        st.plotly_chart(
            charts.size(points, points[0][0], sight.scope.now, write),
            config=CONFIG,
            key="builder-year-chart",
            alt=f"From {write.number(days[0].people)} to {write.number(days[-1].people)} people",
        )


def _progress(bar: Any, done: int, of: int) -> None:
    """Drawing is where a run ends when somebody clicks meanwhile."""
    bar.progress(done / of)


def _effect(place: Here, sight: Sight, offers: Offers, segment: Segment, rule: Rule, preview: Preview) -> None:
    """Whom saving would add and remove."""
    write, found = place.write, counting.effect(sight, offers.around, segment.rule, rule)
    with layout.card("What saving changes", key="builder-effect"):
        if found is None:
            layout.note(_uncounted(place, segment, preview))
            return
        if not found.added and not found.removed:
            layout.note("The same people as before, as things are now.")
            return
        left, right = st.columns(2, gap="medium")
        for column, title, sign, people, some in (
            (left, "Added", "+", found.added, found.some_added),
            (right, "Removed", "−", found.removed, found.some_removed),
        ):
            with column:
                layout.heading(f"{title}: {sign}{write.number(people)}")
                shown = place.read(counting.people_of, some)
                people_table(place, shown, alt=f"{title} people", brief=True)


def _uncounted(place: Here, segment: Segment, found: Preview) -> str:
    """What saving does to a segment whose saved rule cannot be asked any more."""
    kept = f" It still has the {place.write.number(segment.people)} people of before." if segment.people else ""
    return (
        f"As it is saved it cannot be counted: its rule names something that was removed.{kept} Saving gives it the"
        f" {place.write.number(found.people)} people of this rule."
    )


# ------------------------------------------------------------------------------------------------------------ the tree


def _group(desk: Desk, offers: Offers, known: Known, path: Path, node: Node, work: Work) -> None:
    """A group: what must hold of its parts, the parts, and the buttons for more."""
    key = desk.key(node["id"], "kind")
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        state.begin(key, node["kind"])
        st.segmented_control(
            "How many of the conditions must hold",
            tree.GROUPS,
            key=key,
            format_func=lambda kind: rules.GROUP_SENTENCES[kind].capitalize(),
            required=True,
            label_visibility="collapsed",
            on_change=partial(_regroup, desk, node["id"], key),
        )
        if path:
            st.space("stretch")
            _count(offers, known, path)
            _menu(desk, node["id"], _group_moves(work.root, path))
    parts: Sequence[Node] = node["of"]
    if not parts and path:
        layout.note("Nothing is in this group yet.")
    for place, part in enumerate(parts):
        below = (*path, place)
        joined = _JOINED[node["kind"]] if place else ""
        if tree.is_group(part):
            if joined:
                st.caption(safe_text(joined))
            with st.container(border=True, gap="xsmall", key=f"group-{part['id']}"):
                _group(desk, offers, known, below, part, work)
        elif part["id"] == work.opened:
            _opened(desk, offers, known, below, part, work)
        else:
            _line(desk, offers, known, below, part, work, joined)
    for problem in known.of(path):
        if path:
            editor.tell(problem.message)
    _more(desk, node, path)


def _line(desk: Desk, offers: Offers, known: Known, path: Path, node: Node, work: Work, joined: str) -> None:
    """A condition that is closed: a sentence that opens it, how many people it alone means, and what can be done with it."""
    kind = looks.KIND_OF.get(str(node.get("kind")))
    icon = f":material/{kind.icon}:" if kind else ":material/help:"
    problems = known.of(path)
    with st.container(horizontal=True, vertical_alignment="center", gap="small", wrap=False, key=f"line-{node['id']}"):
        with st.container(width="stretch"):
            st.button(
                f"{_LEADS[joined]}{safe_text(_sentence(node, offers), longest=_WIDE)}",
                icon=icon_text(icon),
                type="tertiary",
                key=f"{desk.prefix}open.{node['id']}",
                on_click=desk.open,
                args=(node["id"],),
                wrap=False,
            )
            for problem in problems:
                editor.tell(editor.told(node, problem))
        _count(offers, known, path)
        _menu(desk, node["id"], _moves(work.root, path))


def _count(offers: Offers, known: Known, path: Path) -> None:
    count = known.counts.get(path)
    if count is not None:
        st.markdown(f":gray[{offers.sight.place.write.number(count)}]", width="content")


def _sentence(node: Node, offers: Offers) -> str:
    """What a condition says; its kind while it is not finished."""
    rule, _ = rules.examine({"version": 1, "match": {"kind": "all", "of": [tree.plain(node)]}})
    if rule is not None:
        (_, condition), *_ = rule.conditions()
        return condition.sentence(offers.around.names)
    kind = looks.KIND_OF.get(str(node.get("kind")))
    return f"{kind.title if kind else 'A condition of an unknown kind'} (not finished)"


def _opened(desk: Desk, offers: Offers, known: Known, path: Path, node: Node, work: Work) -> None:
    """The condition that is open: its kind, its widgets, what it means."""
    kind = looks.KIND_OF.get(str(node.get("kind")))
    write = offers.sight.place.write
    with st.container(border=True, gap="small", key=f"open-{node['id']}"):
        with st.container(horizontal=True, vertical_alignment="center", gap="small"):
            key = desk.key(node["id"], "kind")
            state.begin(key, node.get("kind"))
            st.selectbox(
                "Kind of condition",
                [*looks.KIND_OF],
                key=key,
                format_func=lambda name: looks.KIND_OF[name].title,
                label_visibility="collapsed",
                on_change=partial(_change_kind, desk, offers, node["id"], key),
                width=280,
            )
            st.space("stretch")
            _menu(desk, node["id"], _moves(work.root, path))
            st.button(
                "Done",
                icon=":material/check:",
                key=f"{desk.prefix}close.{node['id']}",
                on_click=desk.open,
                args=(None,),
            )
        if kind is not None:
            layout.note(kind.help)
            editor.Editor(desk, offers, node, known.of(path)).draw()
        count = known.counts.get(path)
        if count is not None:
            total = f" The whole rule: {write.number(known.found.people)}." if known.found else ""
            layout.note(f"People who {_sentence(node, offers)}: {write.number(count)}.{total}")


def _more(desk: Desk, group: Node, path: Path) -> None:
    """The buttons below a group's parts."""
    number = group["id"]
    key = desk.key(number, "add")
    if not group["of"] and not path:
        layout.note("Begin with one of these. Who meets it is counted at once.")
        with st.container(horizontal=True, gap="small"):
            for name in _QUICK:
                kind = looks.KIND_OF[name]
                st.button(
                    safe_text(kind.title),
                    icon=icon_text(f":material/{kind.icon}:"),
                    key=desk.key(number, "quick", name),
                    on_click=partial(_add, desk, number, name),
                )
            _kinds(desk, number, key, "Something else")
        return
    with st.container(horizontal=True, gap="small"):
        _kinds(desk, number, key, "Add a condition")
        if len(path) + 1 < DEEPEST:
            st.button(
                "Add a group",
                icon=":material/account_tree:",
                type="tertiary",
                key=desk.key(number, "group"),
                on_click=partial(_add_group, desk, number, "all" if group["kind"] == "any" else "any"),
            )


def _kinds(desk: Desk, number: int, key: str, name: str) -> None:
    st.menu_button(
        safe_text(name),
        [*looks.KIND_OF],
        icon=":material/add:",
        type="tertiary",
        key=key,
        format_func=lambda kind: (
            f"{icon_text(f':material/{looks.KIND_OF[kind].icon}:')} {safe_text(looks.KIND_OF[kind].title)}"
        ),
        on_click=partial(_add_chosen, desk, number, key),
    )


# --------------------------------------------------------------------------------------------------------- changing it


def _change(desk: Desk, number: int, edit: Callable[[Node, Path], Node], *, anew: int | None = None) -> None:
    """A callback's work: `edit(root, path)` makes another tree; the widgets of the node `anew` begin again."""

    def make(work: Work) -> Work:
        path = tree.path_of(work.root, number)
        if path is None:
            return work
        return replace(work, root=edit(work.root, path))

    desk.change(make, anew=anew)


def _regroup(desk: Desk, number: int, key: str) -> None:
    kind = state.held(key)
    if kind in tree.GROUPS:
        _change(desk, number, lambda root, path: tree.put(root, path, {**tree.at(root, path), "kind": kind}))


def _change_kind(desk: Desk, offers: Offers, number: int, key: str) -> None:
    kind = state.held(key)

    def edit(root: Node, path: Path) -> Node:
        before = tree.at(root, path)
        after = looks.changed(offers, before, looks.begun(kind, before))
        return tree.put(root, path, {**after, "id": number})

    _change(desk, number, edit, anew=number)


def _add_chosen(desk: Desk, number: int, key: str) -> None:
    """A callback."""
    kind = state.held(key)
    if kind:
        _add(desk, number, kind)


def _add(desk: Desk, group: int, kind: str) -> None:
    """A callback: one more condition at the end of a group, open."""
    desk.change(lambda work: _with_more(work, group, looks.begun(kind), is_opened=True))


def _add_group(desk: Desk, group: int, kind: str) -> None:
    """A callback: one more group at the end of a group."""
    desk.change(lambda work: _with_more(work, group, {"kind": kind, "of": []}, is_opened=False))


def _with_more(work: Work, group: int, node: Node, *, is_opened: bool) -> Work:
    path = tree.path_of(work.root, group)
    if path is None:
        return work
    made, following = tree.numbered(node, work.following)
    root = tree.insert(work.root, (*path, len(tree.at(work.root, path)["of"])), made)
    return replace(work, root=root, following=following, opened=made["id"] if is_opened else work.opened)


_MOVES: Mapping[str, tuple[str, str]] = {
    "open": ("Edit", ":material/edit:"),
    "copy": ("Duplicate", ":material/content_copy:"),
    "up": ("Move up", ":material/arrow_upward:"),
    "down": ("Move down", ":material/arrow_downward:"),
    "above": ("Move into the group above", ":material/north_east:"),
    "below": ("Move into the group below", ":material/south_east:"),
    "out": ("Move out of its group", ":material/subdirectory_arrow_left:"),
    "wrap": ("Put into a group", ":material/account_tree:"),
    "unwrap": ("Dissolve the group", ":material/call_split:"),
    "remove": ("Remove", ":material/delete:"),
}


def _moves(root: Node, path: Path) -> list[str]:
    """What can be done with a condition."""
    last = len(tree.at(root, path[:-1])["of"]) - 1
    possible = {
        "up": path[-1] > 0,
        "down": path[-1] < last,
        "above": tree.neighbour(root, path, -1) is not None,
        "below": tree.neighbour(root, path, 1) is not None,
        "out": len(path) > 1,
        "wrap": len(path) < DEEPEST,
        "unwrap": False,
    }
    return [name for name in _MOVES if possible.get(name, True)]


def _group_moves(root: Node, path: Path) -> list[str]:
    possible = _moves(root, path)
    return [name for name in _MOVES if name == "unwrap" or (name in possible and name not in ("open", "wrap"))]


def _menu(desk: Desk, number: int, moves: Sequence[str]) -> None:
    key = f"{desk.prefix}menu.{number}"
    st.menu_button(
        "",
        moves,
        icon=":material/more_vert:",
        type="tertiary",
        key=key,
        help="What can be done with it",
        format_func=lambda name: f"{icon_text(_MOVES[name][1])} {_MOVES[name][0]}",
        on_click=partial(_move, desk, number, key),
        width=40,
    )


def _move(desk: Desk, number: int, key: str) -> None:
    """A callback."""
    match state.held(key):
        case "open":
            desk.open(number)
        case "copy":
            desk.change(partial(_copied, number=number))
        case "up":
            _change(desk, number, lambda root, path: tree.moved(root, path, -1))
        case "down":
            _change(desk, number, lambda root, path: tree.moved(root, path, 1))
        case "above":
            _change(desk, number, partial(tree.inwards, by=-1))
        case "below":
            _change(desk, number, partial(tree.inwards, by=1))
        case "out":
            _change(desk, number, tree.outwards)
        case "wrap":
            desk.change(partial(_wrapped, number=number))
        case "unwrap":
            _change(desk, number, tree.unwrapped)
        case "remove":
            _change(desk, number, tree.remove)


def _copied(work: Work, number: int) -> Work:
    path = tree.path_of(work.root, number)
    if path is None:
        return work
    made, following = tree.numbered(tree.at(work.root, path), work.following)
    root = tree.insert(work.root, (*path[:-1], path[-1] + 1), made)
    return replace(work, root=root, following=following, opened=work.opened if tree.is_group(made) else made["id"])


def _wrapped(work: Work, number: int) -> Work:
    path = tree.path_of(work.root, number)
    if path is None:
        return work
    root = tree.wrapped(work.root, path, "any", work.following)
    return replace(work, root=root, following=work.following + 1)


# -------------------------------------------------------------------------------------------------------------- saving


def _saving(desk: Desk, work: Work, segment: Segment | None, known: Known, sight: Sight, offers: Offers) -> None:
    """The button that opens what saving needs to know: a name for a new segment, for another what it changes."""
    ready = known.found is not None and _is_changed(work, segment, known)
    with st.popover("Save…", icon=":material/save:", type="primary", key=f"{desk.prefix}save", disabled=not ready):
        if known.rule is None or known.found is None or not ready:
            return
        if segment is None:
            _save_new(desk, work, known.rule)
            return
        version = offers.sight.place.write.number(segment.version + 1)
        ways = {"version": f"As version {version}", "new": "As a new segment"}
        way = st.segmented_control(
            "How to save it",
            [*ways],
            default="version",
            key=f"{desk.prefix}way",
            format_func=ways.__getitem__,
            required=True,
            label_visibility="collapsed",
        )
        if way == "new":
            _save_new(desk, work, known.rule)
        else:
            effect = counting.effect(sight, offers.around, segment.rule, known.rule)
            _save_change(desk, work, segment, known.rule, known.found, effect)


def _save_new(desk: Desk, work: Work, rule: Rule) -> None:
    name = st.text_input("Name", max_chars=120, key=f"{desk.prefix}name", placeholder="For example At-risk churners")
    about = st.text_area("What it is for (optional)", max_chars=1000, key=f"{desk.prefix}about", height=80)
    enabled = st.toggle("Keep it up to date from now on", value=True, key=f"{desk.prefix}enabled")
    if not st.button("Save the segment", type="primary", key=f"{desk.prefix}saved"):
        return
    place = here()
    try:
        with place.change() as session:
            made = keeping.create(
                session, place.principal, name, rule, description=about, enabled=enabled, now=place.now
            )
            keeping.discard_draft(session, place.principal, desk.segment_id, expected=work.kept_at)
    except InvalidInput as error:
        editor.tell(str(error))
        return
    _saved(desk, made, f"“{made.name}” is saved.")


def _save_change(
    desk: Desk, work: Work, segment: Segment, rule: Rule, found: Preview, effect: counting.Effect | None
) -> None:
    place = here()
    write, version = place.write, segment.version
    if effect is None:
        layout.note(_uncounted(place, segment, found))
    else:
        layout.note(
            f"+{write.number(effect.added)} enter and −{write.number(effect.removed)} leave once it is counted."
        )
    note = st.text_input("What changed (optional)", max_chars=200, key=f"{desk.prefix}note")
    over = _is_late(work, segment)
    said = f"Save over version {write.number(version)}" if over else f"Save version {write.number(version + 1)}"
    # A click counts for the version it was offered for: of one that came meanwhile, the page says so first.
    if not st.button(safe_text(said), type="primary", key=f"{desk.prefix}saved.{'over.' if over else ''}{version}"):
        return
    try:
        with place.change() as session:
            made = keeping.change(
                session, place.principal, segment.id, rule, note=note, expected_version=version, now=place.now
            )
            keeping.discard_draft(session, place.principal, segment.id, expected=work.kept_at)
    except InvalidInput as error:
        editor.tell(str(error))
        return
    _saved(desk, made, f"Version {made.version} of “{made.name}” is saved.")


def _saved(desk: Desk, made: Segment, said: str) -> None:
    """Go on with what was saved, at its own address."""
    desk.clear()
    layout.done(clean(said))
    state.replace_query(nav.parameters(here(), id=made.id.hex))
    st.rerun()
