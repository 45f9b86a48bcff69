"""What all report pages do around their answer: the question from the address, the head, the form, the foot, the drawer."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Protocol, TypeVar
from uuid import UUID

import streamlit as st
from sqlmodel import Session

from gdp_core import reports
from gdp_core.analytics.fields import Fields, is_personal
from gdp_core.errors import InvalidInput
from gdp_core.reports import SavedReport
from gdp_core.segments import describing
from gdp_core.segments.describing import Counted
from gdp_core.segments.rules import Rule
from pages.ui import layout, state
from pages.ui.context import Here, arrived
from pages.ui.reporting import asking, behind, clicking, drafts, explaining, picking, saving
from pages.ui.reporting import sight as sights
from pages.ui.reporting.asking import Asked, Who
from pages.ui.reporting.behind import Behind
from pages.ui.reporting.clicking import Click
from pages.ui.reporting.drafts import Draft
from pages.ui.reporting.explaining import Command
from pages.ui.reporting.picking import People
from pages.ui.reporting.sight import Sight

R = TypeVar("R")
_SHOWN: state.Slot[tuple[str, Any] | None] = state.Slot("report.answer", None)


class Form(Protocol):
    """A report's question in widgets."""

    @property
    def question(self) -> Any:
        """What they ask now. Raises InvalidInput."""

    def draw(self, sight: Sight, fields: Fields, people: People) -> None:
        """The widgets."""


@dataclass(frozen=True, slots=True)
class Report:
    """A report page: its address, the kind its questions are saved under, and how its question begins and is asked.

    `named` are the fields that a question names. `more` are further fields of the address, which change how the answer
    is looked at and not what is asked. `compares`: whether the answer is compared with an earlier period;
    `dated`: whether it is of a period at all.
    """

    page: str
    kind: str
    title: str
    usual: Callable[[Here, Fields], Any]
    form: Callable[[Draft], Form]
    named: Callable[[Any], Sequence[str]]
    more: tuple[state.Field, ...] = ()
    compares: bool = True
    dated: bool = True

    @property
    def fields(self) -> tuple[state.Field, ...]:
        """Everything in its address."""
        return (drafts.field(self.page), saving.opened_field(self.page), *self.more)


@dataclass(frozen=True, slots=True, eq=False)
class Turn:
    """One run of a report page, up to the answer."""

    place: Here
    report: Report
    click: Click | None
    fields: Fields
    form: Any
    asked: Asked
    sight: Sight

    @property
    def question(self) -> Any:
        """What is asked."""
        return self.asked.question

    def count(self, report: Callable[..., Any], height: int = 600) -> Any:
        """The answer of a report on the timeline, with a skeleton while it takes long."""
        with st.skeleton(height=height):
            return self.sight.count(report, self.question)

    def ask(
        self,
        report: Callable[..., Any],
        find: Callable[["Turn", Session, Any, Click], Behind | None],
        height: int = 600,
        state: tuple[Any, ...] = (),
    ) -> tuple[Any, Behind | None]:
        """The answer of a report that asks Postgres, and the people behind its number that was clicked, as `read` does."""
        key, question = (report.__module__, report.__qualname__, self.question), self.question
        answer = partial(self.sight.answer, report=report, asked=question)
        return self.read(key, answer, find, height=height, state=state)

    def read(
        self,
        key: tuple[Any, ...],
        answer: Callable[[Session], R],
        find: Callable[["Turn", Session, R, Click], Behind | None],
        *,
        of: str = "",
        height: int = 600,
        state: tuple[Any, ...] = (),
    ) -> tuple[R, Behind | None]:
        """What `answer` reads of Postgres, and the people behind its number that was clicked, for `drawer`.

        Both are read in one view of the database, so they agree whatever arrives. `find` is given the answer that was
        shown when it was clicked, by which it knows which number was meant. `key` says what is asked; `of` how the names
        of its charts and tables begin, on a page that has others; `state` what else the answer stands for, which may
        change while the data does not.
        """
        asked = repr((key, self.asked.who, self.sight.scope.start, self.sight.scope.end))
        click = self.click if self.click and self.click.of.startswith(of) else None
        shown: tuple[str, R] | None = _SHOWN.get()
        with st.skeleton(height=height):
            if click is None:
                found, opened = self.sight.read((*key, *state), answer), None
            else:
                with self.place.still() as session:
                    found = answer(session)
                    before = shown[1] if shown and shown[0] == asked else found
                    opened = find(self, session, before, click)
        _SHOWN.set((asked, found))
        return found, opened

    def behind(self, title: str, report: str, people: Any, **more: Any) -> Behind:
        """The people of a number as they are kept; `report` says of which question."""
        said = f"{self.report.title}: {report}"
        said += f", {layout.period_name(self.place)}" if self.report.dated else ""
        return Behind(self.place.workspace.id, title[:200], said[:900], people, self.sight.timeline.snapshot, **more)

    def rule(self, cell: Any, question: Any = None) -> Rule | None:
        """The rule that means exactly the people of a cell, where there is one and somebody may use it; `question`: where
        the cell is of another one."""
        if not self.place.may("segments.write"):
            return None
        sight = self.sight
        counted = Counted(sight.timeline, sight.scope, sight.who.conditions, sight.who.list_id)
        return describing.rule_of(counted, question or self.question, cell)

    def rule_of_now(
        self, session: Session, asked: Any, persons: Sequence[UUID], *, who: Who | None = None
    ) -> Rule | None:
        """The same of a number that Postgres counted of now; `who`: of whom, where that is not what the page is asked."""
        if not self.place.may("segments.write"):
            return None
        sight = self.sight if who is None else self.sight.of(who)
        return replace(self, sight=sight).rule(reports.numbers_of(session, persons), asked)

    def foot(self, definition: str, *commands: Command) -> None:
        """What stands below every answer. The commands are told of whom and when."""
        explaining.foot(definition, *(each.of(self.asked.who).period(self.sight.scope) for each in commands))

    def open(self, find: Callable[["Turn", Click], Behind | None]) -> None:
        """Open the people of the number that was clicked, if one was."""
        self.drawer(find(self, self.click) if self.click else None)

    def drawer(self, found: Behind | None) -> None:
        """Open these people, if there are any to open."""
        if found is not None:
            behind.open_drawer(self.place, found)


def begin(report: Report) -> Turn:
    """Everything above the answer. Ends the page where there is nothing to ask, or nothing to count yet."""
    place, click = arrived(), clicking.taken()
    state.adopt(report.fields)
    fields = picking.fields_of(place)
    usual = Asked(report.usual(place, fields))
    draft = drafts.adopt(report.page, usual)
    people, form = People(draft, fields.groups), report.form(draft)
    asked = None
    try:
        asked = Asked(form.question, people.value)
        problem = drafts.publish(draft, asked, usual)
    except InvalidInput as error:
        problem = str(error)
    sight = sights.look(place, click)
    keeping = saving.keeping(place, report.kind, report.page, report.more)
    with layout.head(
        keeping.title or report.title, sights.caption(place, sight, compares=report.compares, dated=report.dated)
    ):
        if report.dated:
            layout.scope_bar(place, compares=report.compares)
        saving.draw(place, keeping, None if place.problem else asked, partial(_may_open, place, report, usual))
    state.publish(report.fields)
    if report.dated:
        layout.remark(place.problem)
    for one in filter(None, (draft.asked, asked)):
        sights.refuse_personal(place, _named(report, one))  # before the widgets say its values
    if sight is None:
        sights.wait(place)
        st.stop()
    sights.late(place, sight)
    form.draw(sight, fields, people)
    layout.remark(keeping.problem, problem)
    if asked is None:
        st.stop()
    layout.notes(sight.of(asked.who).notes())
    return Turn(place, report, click, fields, form, asked, sight.of(asked.who))


def _named(report: Report, asked: Asked) -> list[str]:
    return [*report.named(asked.question), *(each.field for each in asked.who.conditions)]


def _may_open(place: Here, report: Report, usual: Asked, saved: SavedReport) -> bool:
    """Whether a saved report asks only by what the role may see: its link says every value it asks for."""
    if place.may("pii.read"):
        return True
    if "@" in str(saved.question.content):  # an address in whichever field
        return False
    try:
        asked = asking.asked_of(type(usual.question), saved.question.version, saved.question.content)
    except InvalidInput:
        return False
    return not any(map(is_personal, _named(report, asked)))
