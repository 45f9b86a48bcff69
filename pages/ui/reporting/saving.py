"""Reports kept under a name: open, save, rename, delete. What is kept is the question and the period, never its numbers."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any
from uuid import UUID

import streamlit as st

from gdp_core import reports
from gdp_core.errors import InvalidInput, NotFound
from gdp_core.reports import Question, SavedReport
from pages.ui import boundary, layout, nav, state
from pages.ui.context import COMPARE, PERIOD, Here, here
from pages.ui.escape import safe_text
from pages.ui.reporting import asking
from pages.ui.reporting.asking import Asked

_HEX = r"[0-9a-f]{32}"
_LOOK = "look"


@dataclass(frozen=True, slots=True)
class Keeping:
    """The saved reports of one kind, on their page. `opened` is the one the address names; `more` are fields of the
    address that are saved too, because they say how the answer is looked at."""

    kind: str
    page: str
    opened: SavedReport | None = None
    problem: str | None = None
    more: tuple[state.Field, ...] = ()

    @property
    def field(self) -> state.Field:
        """Which one is open, in the address."""
        return opened_field(self.page)

    @property
    def title(self) -> str | None:
        """Its name."""
        return self.opened.name if self.opened else None


def opened_field(page: str) -> state.Field:
    """Which saved report is open, in the address of a page."""
    return state.Field(page, "saved", pattern=_HEX)


def keeping(place: Here, kind: str, page: str, more: tuple[state.Field, ...] = ()) -> Keeping:
    """After `state.adopt`: what is open."""
    named = opened_field(page).value
    nothing = Keeping(kind, page, more=more)
    if not named:
        return nothing
    try:
        found = place.read(reports.read_report, UUID(named))
    except NotFound as error:
        opened_field(page).set("")
        return replace(nothing, problem=str(error))
    return replace(nothing, opened=found) if found.question.kind == kind else nothing


def draw(place: Here, keeping: Keeping, asked: Asked | None, may_open: Callable[[SavedReport], bool]) -> None:
    """The button that opens the saved reports. `asked` None: there is nothing to save now."""
    kept = place.read(reports.list_reports, keeping.kind)
    listed = [*filter(may_open, kept)]
    with st.popover("Saved", icon=":material/bookmark:", key=f"{keeping.page}-saved"):
        for report in listed:
            nav.link(
                place,
                keeping.page,
                label=report.name,
                icon=":material/bookmark:"
                if keeping.opened and keeping.opened.id == report.id
                else ":material/article:",
                width="stretch",
                **_address(keeping, report),
            )
        if not kept:
            layout.note("No report of this kind is saved yet.")
        elif len(listed) < len(kept):
            layout.note("Others ask by what your role may not see.")
        if not place.may("reports.write"):
            return
        if keeping.opened:
            _opened(keeping, keeping.opened, asked)
        if asked is not None:
            _new(keeping, asked)


def link(place: Here, report: SavedReport) -> None:
    """The way to a saved report, from anywhere."""
    page = next(
        (page for page in (report.question.kind, f"{report.question.kind}s") if nav.may_open(place, page)), None
    )
    if page is None:
        layout.note(report.name)
        return
    address = _address(Keeping(report.question.kind, page), report)
    nav.link(place, page, label=report.name, icon=":material/bookmark:", **address)


def _address(keeping: Keeping, report: SavedReport) -> dict[str, Any]:
    """What a link says to open it; a question in a form of another release is told so by its page."""
    asked = {name: part for name, part in report.question.content.items() if name != _LOOK}
    look = report.question.content.get(_LOOK, {})
    return {field.name: look.get(field.name) for field in keeping.more} | {
        "q": asking.text_of_content(report.question.version, asked),
        "period": report.question.period,
        "compare": report.question.compare,
        "saved": report.id.hex,
    }


def _opened(keeping: Keeping, report: SavedReport, asked: Asked | None) -> None:
    """What can be done to the one that is open."""
    key = f"{keeping.page}.saved"
    layout.heading(report.name)
    with st.container(horizontal=True, gap="small"):
        question = _question(keeping, asked) if asked is not None else None
        if question is not None and question != report.question:
            st.button(
                "Save changes",
                icon=":material/save:",
                type="primary",
                key=f"{key}.change",
                on_click=partial(_change, report.id, question),
            )
        if st.button("Rename…", icon=":material/edit:", key=f"{key}.rename"):
            _rename(report)
        if st.button("Delete…", icon=":material/delete:", key=f"{key}.delete"):
            layout.confirm(
                f"Delete “{report.name}”?",
                body="The report is gone from the list for everybody. Lists of people saved from it stay.",
                button="Delete",
                act=partial(_delete, keeping, report),
                key=f"{key}.confirm",
            )


def _new(keeping: Keeping, asked: Asked) -> None:
    name = st.text_input("Save this report as", max_chars=120, key=f"{keeping.page}.saved.name", placeholder="Name")
    if not st.button("Save", key=f"{keeping.page}.saved.new", type="secondary" if keeping.opened else "primary"):
        return
    place = here()
    try:
        with place.change() as session:
            made = reports.save_report(session, place.principal, name, _question(keeping, asked), now=place.now)
    except InvalidInput as error:
        st.error(safe_text(error), icon=":material/error:")
        return
    keeping.field.set(made.id.hex)
    layout.done(f"Saved as “{made.name}”.")
    st.rerun()


def _question(keeping: Keeping, asked: Asked) -> Question:
    said = {field.name: field.text(field.value) for field in keeping.more}
    look = {name: text for name, text in said.items() if text is not None}
    content = asking.content(asked) | ({_LOOK: look} if look else {})
    return Question(keeping.kind, content, asking.VERSION, PERIOD.value, COMPARE.value)


@boundary.guard
def _change(report_id: UUID, question: Question) -> None:
    place = here()
    with place.change() as session:
        saved = reports.change_report(session, place.principal, report_id, question, now=place.now)
    layout.done(f"“{saved.name}” asks this now.")


def _rename(report: SavedReport) -> None:
    @boundary.dialog("Rename the report")
    def ask() -> None:
        name = st.text_input("Name", value=report.name, max_chars=120, key="report.rename")
        if not st.button("Rename", type="primary", key="report.renamed"):
            return
        place = here()
        with place.change() as session:
            reports.rename_report(session, place.principal, report.id, name, now=place.now)
        layout.done("Renamed.")
        st.rerun()

    ask()


def _delete(keeping: Keeping, report: SavedReport) -> str:
    place = here()
    with place.change() as session:
        reports.delete_report(session, place.principal, report.id, now=place.now)
    keeping.field.set("")
    return f"“{report.name}” is deleted."
