"""The overlap page's parts: lists and segments in a picker, and how they overlap in a picture and tables."""

from typing import Any

import streamlit as st
from sqlmodel import Session

from gdp_core.analytics import overlap
from gdp_core.analytics.fields import Fields
from gdp_core.analytics.overlap import FEWEST, MOST, Asked, Choice, Overlap, OverlapCell
from pages.ui import layout, nav
from pages.ui.charts import overlap as charts
from pages.ui.context import Here
from pages.ui.escape import clean
from pages.ui.reporting import clicking, explaining, picking
from pages.ui.reporting.behind import Behind
from pages.ui.reporting.clicking import Click
from pages.ui.reporting.drafts import Draft
from pages.ui.reporting.explaining import Command
from pages.ui.reporting.page import Report, Turn
from pages.ui.reporting.sight import Sight

DEFINITION = (
    "A list holds the people who were behind a number when it was saved, as the persons they are now. A segment holds its"
    " members, as its own page counts them: those of its last evaluation, and those it had when it was turned off. A"
    " region are the people in exactly those and in no other of those compared: regions add up to everybody. The share"
    " of everybody is of those in any of them; of two it is the Jaccard index, people in both divided by people in either."
)
_DELETED = "A list or segment that was deleted"
_MORE = {0: "two lists or segments", 1: "one more list or segment"}


def usual_question(place: Here, _: Fields) -> Asked:
    """The lists and segments made last that have people, as far as there are two."""
    known = (one for one in place.read(overlap.read_choices) if one.people)
    newest = sorted(known, key=lambda one: one.created_at, reverse=True)
    return Asked(tuple(one.id for one in newest[:FEWEST]))


class Form:
    """The question as it stands in the widgets."""

    def __init__(self, draft: Draft) -> None:
        self.draft = draft
        self._begins: Asked = draft.asked.question

    @property
    def question(self) -> Asked:
        """What it asks. Raises InvalidInput."""
        return Asked(tuple(self.draft.value(list(self._begins.lists), "lists")))

    def draw(self, sight: Sight, fields: Fields, people: picking.People) -> None:
        """Which lists and segments, and of whom."""
        place, draft = sight.place, self.draft
        known = {one.id: one for one in place.read(overlap.read_choices)}
        chosen = draft.value([], "lists")
        with (
            layout.card(key="overlap-question"),
            st.container(horizontal=True, wrap=False, vertical_alignment="center", gap="small"),
        ):
            st.multiselect(
                "Lists and segments",
                [*dict.fromkeys([*known, *chosen])],
                key=draft.key("lists"),
                format_func=lambda item: _named(place, known.get(item)),
                max_selections=MOST,
                placeholder=f"Choose {FEWEST} to {MOST} lists or segments",
                label_visibility="collapsed",
                width="stretch",
            )
            people.draw(sight, fields)


def _named(place: Here, one: Choice | None) -> str:
    if one is None:
        return _DELETED
    people = "not counted yet" if one.people is None else place.write.number(one.people)
    return clean(f"{one.name} · {'segment' if one.is_segment else 'list'} · {people}", longest=80)


REPORT = Report("overlap", "overlap", "Overlap", usual_question, Form, lambda _: (), dated=False)


def chosen(turn: Turn) -> dict[str, Choice]:
    """What is compared, by what it is called. Raises NotFound for what was deleted."""
    return overlap.named(turn.place.read(overlap.read_choices), turn.question)


def command(turn: Turn, compared: dict[str, Choice]) -> Command:
    """The command that gives the same numbers."""
    made = Command("overlap", turn.place)
    made.options("--list", [one.name for one in compared.values() if not one.is_segment])
    return made.options("--segment", [one.name for one in compared.values() if one.is_segment])


def remarks(compared: dict[str, Choice]) -> None:
    """Which segments have no people because nobody has counted them."""
    waiting = [clean(name, longest=60) for name, one in compared.items() if one.people is None]
    if waiting:
        verb = "has" if len(waiting) == 1 else "have"
        layout.remark(f"{' and '.join(waiting)} {verb} not been counted yet, so nobody is in it: turn it on first.")


def wanting(place: Here, asked: Asked) -> None:
    """Instead of an answer, while fewer than two are chosen: how they are made, or that one is missing."""
    known = place.read(overlap.read_choices)
    if len(known) >= FEWEST:
        layout.empty(":material/join_inner:", f"Choose {_MORE[len(asked.lists)]}", f"Compared are {FEWEST} to {MOST}.")
        return
    said = "There is no saved list and no segment yet"
    if known:
        said = f"There is only one list or segment, {clean(known[0].name, longest=80)}"
    with layout.empty(
        ":material/join_inner:",
        said,
        "A segment is a rule. A list is saved from a number: click one in a report, Funnels or Revenue for example, and"
        " choose Save as list. Two of them can be compared here.",
    ):
        for name in ("segments", "funnels", "revenue"):
            if nav.may_open(place, name):
                nav.link(place, name)


# ------------------------------------------------------------------------------------------------------- the answer


def headline(place: Here, found: Overlap) -> None:
    """How many there are in any of them and in all."""
    write = place.write
    all_of = "both" if len(found.sizes) == FEWEST else "all"
    with layout.numbers():
        layout.metric("In any of them", write.number(found.union))
        clicking.metric(Click("overlap.all", 0, "People"), f"In {all_of}", write.number(found.people))
        layout.metric(
            f"In {all_of}, of everybody",
            write.percent(found.of_union),
            help="People in every one, of people in any of them (Jaccard).",
        )
        (largest, share) = max(found.of_each.items(), key=lambda item: item[1] or 0)
        layout.metric(
            f"Most contained: {clean(largest, longest=40)}",
            write.percent(share),
            help=f"Of its people, so many are in {all_of}.",
        )


def picture(place: Here, found: Overlap) -> None:
    """The regions as an UpSet picture, and as a table."""
    write = place.write
    with layout.card("Who is in which", key="overlap-regions"):
        clicking.chart(
            charts.upset(found, found.regions, write),
            "overlap.upset",
            alt=f"{write.number(found.union)} people in any of them, {write.number(found.people)} in all of them",
        )
        layout.note(
            "Each column is the people in exactly the marked ones and in no other; together they are everybody."
        )
        table = {
            "Only in": [" and ".join(clean(name, longest=60) for name in region.sets) for region in found.regions],
            "People": [write.number(region.people) for region in found.regions],
            "Of everybody": [write.percent(region.of_union) for region in found.regions],
        }
        clicking.table(
            table,
            "overlap.region-table",
            alt="Regions with their people",
            numbers=("People",),
            config={"Only in": st.column_config.TextColumn(width="large")} | _right("Of everybody"),
            height=min(420, layout.ROW_HEIGHT * (len(found.regions) + 1) + 3),
        )
        csv: dict[str, list[Any]] = {
            name: [name in region.sets for region in found.regions] for name in found.sizes
        } | {
            "people": [region.people for region in found.regions],
            "of_everybody": [region.of_union for region in found.regions],
        }
        explaining.below(place, "overlap regions", csv, key="overlap-regions-csv")


def sets(place: Here, found: Overlap) -> None:
    """Each set and each two of them, with their shares."""
    write, names = place.write, list(found.sizes)
    left, right = st.columns([2, 3], gap="small")
    with left, layout.card("Each of them", key="overlap-sets"):
        clicking.table(
            {
                "Name": [clean(name, longest=80) for name in names],
                "People": [write.number(found.sizes[name]) for name in names],
                "In all": [write.percent(found.of_each[name]) for name in names],
            },
            "overlap.sets",
            alt="Lists and segments with their people",
            numbers=("People",),
            config=_right("In all"),
        )
    with right, layout.card("Two and two", key="overlap-pairs"):
        clicking.table(
            {
                "Two": [f"{clean(pair.a, longest=40)} and {clean(pair.b, longest=40)}" for pair in found.pairs],
                "In both": [write.number(pair.people) for pair in found.pairs],
                "Of the first": [write.percent(pair.of_a) for pair in found.pairs],
                "Of the second": [write.percent(pair.of_b) for pair in found.pairs],
                "Jaccard": [write.percent(pair.of_union) for pair in found.pairs],
            },
            "overlap.pairs",
            alt="Each two with who is in both",
            numbers=("In both",),
            config=_right("Of the first", "Of the second", "Jaccard"),
        )
        csv: dict[str, list[Any]] = {
            "first": [pair.a for pair in found.pairs],
            "second": [pair.b for pair in found.pairs],
            "people": [pair.people for pair in found.pairs],
            "of_first": [pair.of_a for pair in found.pairs],
            "of_second": [pair.of_b for pair in found.pairs],
            "jaccard": [pair.of_union for pair in found.pairs],
        }
        explaining.below(place, "overlap pairs", csv, key="overlap-pairs-csv")


def _right(*names: str) -> dict[str, Any]:
    return {name: st.column_config.TextColumn(alignment="right") for name in names}


# ------------------------------------------------------------------------------------------------------- the people


def behind(turn: Turn, session: Session, found: Overlap, click: Click) -> Behind | None:
    """The people of the region, list or pair that was clicked."""
    names, only = list(found.sizes), False
    if click.of == "overlap.region-table" or (click.of == "overlap.upset" and click.column == str(charts.BARS)):
        inside, only = found.regions[click.row].sets, True
    elif click.of == "overlap.sets" or (click.of == "overlap.upset" and click.column == str(charts.SETS)):
        inside = (names[click.row],)
    elif click.of == "overlap.pairs":
        inside = (found.pairs[click.row].a, found.pairs[click.row].b)
    elif click.of == "overlap.all":
        inside = tuple(names)
    else:
        return None
    people = turn.sight.answer(session, overlap.people_of, turn.question, inside, only=only)
    title = f"{'Only in' if only else 'In'} {' and '.join(inside)}"
    ids = dict(zip(names, turn.question.lists, strict=True))
    cell = OverlapCell(tuple(ids[name] for name in inside), only, people)
    return turn.behind(clean(title, longest=200), " and ".join(names), people, rule=turn.rule(cell))
