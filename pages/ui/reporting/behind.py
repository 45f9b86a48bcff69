"""The people behind a number: a drawer with exactly them, saved as a list, taken away as CSV.

Who they are is kept when the number is clicked, so the list, what is saved and the file are the same people even when
more has arrived. What was opened lately stays in this process, by a name nobody can guess; it holds numbers and ids only.
"""

import secrets
import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

import numpy as np
import streamlit as st
from numpy.typing import NDArray
from sqlmodel import Session

from gdp_core import reports
from gdp_core.analytics import people_list
from gdp_core.analytics.people_list import PersonRow
from gdp_core.errors import InvalidInput, NotFound
from gdp_core.segments import describing
from gdp_core.segments.rules import Rule
from pages.ui import boundary, layout, nav
from pages.ui.context import Here, here
from pages.ui.escape import clean, safe_text
from pages.ui.segments import drafting, telling
from pages.ui.segments.people import people_table

SHOWN = 50
_MOST_KEPT = 200
_MOST_PEOPLE = 20_000_000
ADDRESS = "/api/export/behind.csv"


@dataclass(frozen=True, slots=True, eq=False)
class Behind:
    """People behind a number. `people` are lasting numbers of a timeline, or ids of persons; `title` says which number,
    `report` of which report; `amounts`, in micros of `currency`, are theirs in the same order. `rule`: one that
    means exactly them, where there is one."""

    workspace_id: UUID
    title: str
    report: str
    people: NDArray[np.int64] | tuple[UUID, ...]
    snapshot: str | None = None
    amounts: tuple[int, ...] | None = None
    currency: str | None = None
    rule: Rule | None = None

    def persons(self, session: Session, most: int | None = None) -> list[UUID]:
        """The persons they are now, or the first `most` of them. Merges since may have made fewer."""
        chosen = self.people[:most]
        if isinstance(chosen, tuple):
            return list(chosen)
        return reports.persons_of(session, chosen.tolist())


class _Shelf:
    """What was opened last, by name; the oldest makes room."""

    def __init__(self) -> None:
        self._kept: OrderedDict[str, Behind] = OrderedDict()
        self._lock = threading.Lock()

    def put(self, found: Behind) -> str:
        name = secrets.token_urlsafe(18)
        with self._lock:
            self._kept[name] = found
            while len(self._kept) > _MOST_KEPT or (len(self._kept) > 1 and self._people() > _MOST_PEOPLE):
                self._kept.popitem(last=False)
        return name

    def get(self, name: str, workspace_id: UUID) -> Behind:
        with self._lock:
            found = self._kept.get(name)
            if found is None or found.workspace_id != workspace_id:
                raise NotFound("This list is not kept any more: open the report again and click the number.")
            self._kept.move_to_end(name)
            return found

    def _people(self) -> int:
        return sum(len(found.people) for found in self._kept.values())


_SHELF = _Shelf()


def kept(name: str, workspace_id: UUID) -> Behind:
    """What was opened under a name in this workspace. Raises NotFound."""
    return _SHELF.get(name, workspace_id)


def open_drawer(place: Here, found: Behind) -> None:
    """The drawer with these people. At most once in a run."""
    name, count = _SHELF.put(found), place.write.number(len(found.people))
    people = "person" if len(found.people) == 1 else "people"

    @boundary.dialog(f"{count} {people}", drawer=True, icon=":material/group:", width="medium")
    def show() -> None:
        again = here()
        chosen = kept(name, again.workspace.id)
        layout.heading(chosen.title)
        layout.note(clean(chosen.report, longest=900))
        rows = again.read(_first, chosen)
        with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
            if again.may("reports.write") and rows:
                _saving(chosen)
            if again.may("segments.write") and chosen.rule:
                _describing(chosen.rule)
            if again.may("people.export") and rows:
                nav.download(again, ADDRESS, {"of": name}, text="Download CSV", key="behind-csv")
        _table(again, chosen, rows)
        if len(chosen.people) > len(rows):
            layout.note(f"The first {again.write.number(len(rows))} of {again.write.number(len(chosen.people))}.")

    show()


def _first(session: Session, found: Behind) -> tuple[PersonRow, ...]:
    return people_list.read_listed(session, found.persons(session, SHOWN))


def _saving(found: Behind) -> None:
    with st.popover("Save as list", icon=":material/playlist_add:", key="behind-save"):
        name = st.text_input("Name of the list", max_chars=120, key="behind.name")
        if st.button("Save", type="primary", key="behind-saved"):
            _save(found, name)


def _save(found: Behind, name: str) -> None:
    place = here()
    try:
        with place.change(timeout=120) as session:
            saved = reports.save_list(
                session,
                place.principal,
                name,
                found.persons(session),
                description=found.title,
                report=found.report,
                snapshot=found.snapshot,
                now=place.now,
            )
    except InvalidInput as error:
        st.error(safe_text(error), icon=":material/error:")
        return
    people = "person" if saved.people == 1 else "people"
    st.success(safe_text(f"Saved: {place.write.number(saved.people)} {people}."), icon=":material/check:")


def _describing(rule: Rule) -> None:
    """The way from these people to a segment: their rule as a draft in the builder."""
    with st.popover("Make a segment", icon=":material/group_work:", key="behind-segment"):
        place = here()
        st.markdown(safe_text(telling.sentence(place, telling.names(place), rule), longest=900))
        said = "As of this report it means exactly these people, and later whoever it is true of then."
        if describing.is_of_fixed_days(rule):
            said += " Its days stay as they are: choose “In the last” in the builder for time that moves along."
        layout.note(said)
        if drafting.begun(place) is not None:
            layout.note("It takes the place of the new segment you have begun; Undo in the builder brings that back.")
        if st.button("Put it into the builder", type="primary", key="behind-described"):
            drafting.bring(place, rule.plain["match"])
            nav.link(place, "builder", label="Open the builder", icon=":material/arrow_forward:")


def _table(place: Here, found: Behind, rows: Sequence[PersonRow]) -> None:
    if not rows:
        gone = "Nobody any more: they were erased, or became one with others."
        layout.note(gone if len(found.people) else "Nobody is behind this number.")
        return
    amounts = None
    if found.amounts is not None and isinstance(found.people, tuple):
        theirs = dict(zip(found.people, found.amounts, strict=True))
        amounts = [place.write.money(theirs.get(row.id), found.currency) for row in rows]
    people_table(place, rows, alt=f"People: {found.title}", amounts=amounts)
