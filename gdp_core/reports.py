"""What people keep of reports: a question under a name, and a list of the people behind a number.

Who may save is asked here, and every change is audited in its own transaction (gdp_web). It keeps no numbers and
computes none: a saved question is asked anew, and a list holds ids, which lead to the persons they belong to now.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import numpy as np
import orjson
from numpy.typing import NDArray
from sqlalchemy import exc
from sqlmodel import Session

from gdp_core import in_use
from gdp_core.accounts.audit import audit
from gdp_core.accounts.roles import Principal, authorise
from gdp_core.db import one, rows, run
from gdp_core.errors import InvalidInput, NotFound
from gdp_core.ids import time_ordered
from gdp_core.words import one_line

_LONGEST_NAME, _LONGEST_TEXT = 120, 1000
_LARGEST_QUESTION = 64 << 10
_KIND = re.compile(r"[a-z][a-z_]{0,39}")


# ------------------------------------------------------------------------------------------------- saved reports


@dataclass(frozen=True, slots=True)
class Question:
    """What a report is asked, as it is saved: `content` in the form `version` of reports of this kind, and the period
    and comparison in the words of an address."""

    kind: str
    content: Mapping[str, Any]
    version: int = 1
    period: str = "30d"
    compare: str = "previous"


@dataclass(frozen=True, slots=True)
class SavedReport:
    """A question under a name. The ids are of users; None: a command on the server."""

    id: UUID
    name: str
    question: Question
    created_at: datetime
    created_by: UUID | None
    updated_at: datetime
    updated_by: UUID | None


_REPORT = (
    "SELECT id, name, kind, question, version, period, compare, created_at, created_by, updated_at, updated_by"
    " FROM saved_report WHERE archived_at IS NULL"
)


def list_reports(session: Session, kind: str | None = None) -> list[SavedReport]:
    """The saved reports by name, of one kind or all."""
    found = rows(session, f"{_REPORT} AND (CAST(:kind AS text) IS NULL OR kind = :kind) ORDER BY name, id", kind=kind)
    return [_report(row) for row in found]


def read_report(session: Session, report_id: UUID) -> SavedReport:
    """One saved report. Raises NotFound."""
    row = one(session, f"{_REPORT} AND id = :id", id=report_id)
    if row is None:
        raise NotFound("This saved report was deleted.")
    return _report(row)


def save_report(session: Session, principal: Principal, name: str, question: Question, *, now: datetime) -> SavedReport:
    """Keep a question under a name that no other saved report has. Raises InvalidInput, Forbidden."""
    authorise(session, principal, "reports.write")
    title, stored, report_id = _name(name), _stored(question), time_ordered(now)
    made = run(
        session,
        "INSERT INTO saved_report (id, workspace_id, name, kind, version, question, period, compare, created_at,"
        " created_by, updated_at, updated_by) VALUES (:id, app_ws(), :name, :kind, :version, CAST(:question AS jsonb),"
        " :period, :compare, :now, :user, :now, :user) ON CONFLICT DO NOTHING",
        id=report_id,
        name=title,
        now=now,
        user=principal.user_id,
        **stored,
    )
    if not made:
        raise _taken("report", title)
    _record(session, principal, "saved_report", report_id, after=stored | {"name": title}, name=title, now=now)
    return read_report(session, report_id)


def change_report(
    session: Session, principal: Principal, report_id: UUID, question: Question, *, now: datetime
) -> SavedReport:
    """Replace what a saved report asks. Raises InvalidInput, NotFound, Forbidden."""
    authorise(session, principal, "reports.write")
    before, stored = read_report(session, report_id), _stored(question)
    run(
        session,
        "UPDATE saved_report SET kind = :kind, version = :version, question = CAST(:question AS jsonb),"
        " period = :period, compare = :compare, updated_at = :now, updated_by = :user WHERE id = :id",
        id=report_id,
        now=now,
        user=principal.user_id,
        **stored,
    )
    old = _stored(before.question)
    _record(session, principal, "saved_report", report_id, before=old, after=stored, name=before.name, now=now)
    return read_report(session, report_id)


def rename_report(session: Session, principal: Principal, report_id: UUID, name: str, *, now: datetime) -> None:
    """Give a saved report another name. Raises InvalidInput, NotFound, Forbidden."""
    authorise(session, principal, "reports.write")
    before, title = read_report(session, report_id).name, _name(name)
    _rename(session, principal, "saved_report", report_id, title, now, kind="report")
    _record(session, principal, "saved_report", report_id, before=before, after=title, name=title, now=now)


def delete_report(session: Session, principal: Principal, report_id: UUID, *, now: datetime) -> None:
    """Put a saved report away: its name is free again. `restore_report` brings it back. Raises NotFound, Forbidden."""
    authorise(session, principal, "reports.write")
    before = read_report(session, report_id).name
    run(session, "UPDATE saved_report SET archived_at = :now WHERE id = :id", id=report_id, now=now)
    _record(session, principal, "saved_report", report_id, before=before, name=before, deleted=True, now=now)


def restore_report(session: Session, principal: Principal, report_id: UUID, *, now: datetime) -> None:
    """Bring a deleted report back. Raises NotFound, InvalidInput when another has its name now, Forbidden."""
    authorise(session, principal, "reports.write")
    row = one(session, "SELECT name FROM saved_report WHERE id = :id AND archived_at IS NOT NULL", id=report_id)
    if row is None:
        raise NotFound("There is no deleted report of this id.")
    try:
        run(session, "UPDATE saved_report SET archived_at = NULL WHERE id = :id", id=report_id)
    except exc.IntegrityError as error:
        raise _taken("report", row.name) from error
    _record(session, principal, "saved_report", report_id, after=row.name, name=row.name, deleted=False, now=now)


def _report(row: Any) -> SavedReport:
    question = Question(row.kind, row.question, row.version, row.period, row.compare)
    return SavedReport(row.id, row.name, question, row.created_at, row.created_by, row.updated_at, row.updated_by)


def _stored(question: Question) -> dict[str, Any]:
    """The columns of a question. Raises InvalidInput."""
    if not _KIND.fullmatch(question.kind):
        raise InvalidInput("A report's kind is a word like funnel or retention.")
    try:
        text = orjson.dumps(dict(question.content), option=orjson.OPT_SORT_KEYS).decode()
    except (TypeError, ValueError) as error:
        raise InvalidInput("A report's question is a JSON object.") from error
    if len(text) > _LARGEST_QUESTION or "\\u0000" in text:
        raise InvalidInput("This question is too long to be saved: ask for less at once.")
    return {
        "kind": question.kind,
        "version": question.version,
        "question": text,
        "period": one_line(question.period, _LONGEST_NAME),
        "compare": one_line(question.compare, _LONGEST_NAME),
    }


# --------------------------------------------------------------------------------------------------- static lists


@dataclass(frozen=True, slots=True)
class StaticList:
    """A list of people. `people` is how many they were when it was saved from the number `report` names, at the lake's
    `snapshot`; merges since then may have made fewer of them."""

    id: UUID
    name: str
    description: str | None
    report: str | None
    snapshot: str | None
    people: int
    created_at: datetime
    created_by: UUID | None
    updated_at: datetime
    updated_by: UUID | None


_LIST = (
    "SELECT id, name, description, report, snapshot, people, created_at, created_by, updated_at, updated_by"
    " FROM static_list"
)


def list_lists(session: Session) -> list[StaticList]:
    """The lists by name."""
    return [StaticList(*row) for row in rows(session, f"{_LIST} ORDER BY name, id")]


def read_list(session: Session, list_id: UUID) -> StaticList:
    """One list. Raises NotFound."""
    row = one(session, f"{_LIST} WHERE id = :id", id=list_id)
    if row is None:
        raise NotFound("This list was deleted.")
    return StaticList(*row)


def save_list(
    session: Session,
    principal: Principal,
    name: str,
    people: Sequence[UUID],
    *,
    description: str = "",
    report: str = "",
    snapshot: str | None = None,
    now: datetime,
) -> StaticList:
    """Keep these people under a name that no other list has. `people` are ids of persons, also of some merged since.

    Raises InvalidInput for a name that is taken and for nobody, Forbidden.
    """
    authorise(session, principal, "reports.write")
    title, list_id = _name(name), time_ordered(now)
    row = one(
        session,
        """
        WITH chosen AS MATERIALIZED (
            SELECT DISTINCT a.person_id FROM unnest(CAST(:people AS uuid[])) AS given(id)
            JOIN actor a ON a.workspace_id = app_ws() AND a.id = given.id
        ), list AS (
            INSERT INTO static_list (id, workspace_id, name, description, report, snapshot, people, created_at,
                created_by, updated_at, updated_by)
            SELECT CAST(:id AS uuid), app_ws(), :name, :description, :report, CAST(:snapshot AS text), count(*), :now,
                CAST(:user AS uuid), :now, CAST(:user AS uuid)
            FROM chosen HAVING count(*) > 0 ON CONFLICT DO NOTHING RETURNING id, people
        ), member AS (
            INSERT INTO static_list_member (list_id, workspace_id, person_id)
            SELECT list.id, app_ws(), chosen.person_id FROM list, chosen
        )
        SELECT people FROM list
        """,
        people=list(people),
        id=list_id,
        name=title,
        description=one_line(description, _LONGEST_TEXT) or None,
        report=one_line(report, _LONGEST_TEXT) or None,
        snapshot=snapshot,
        now=now,
        user=principal.user_id,
    )
    if row is None:
        is_taken = one(session, "SELECT 1 FROM static_list WHERE name = :name", name=title)
        raise _taken("list", title) if is_taken else InvalidInput("There is nobody to save in a list.")
    _record(session, principal, "static_list", list_id, name=title, people=row.people, now=now)
    return read_list(session, list_id)


def rename_list(
    session: Session, principal: Principal, list_id: UUID, name: str, *, description: str | None = None, now: datetime
) -> None:
    """Give a list another name, and another description unless that is None. Raises InvalidInput, NotFound, Forbidden."""
    authorise(session, principal, "reports.write")
    before, title = read_list(session, list_id).name, _name(name)
    _rename(session, principal, "static_list", list_id, title, now, kind="list")
    if description is not None:
        text = one_line(description, _LONGEST_TEXT) or None
        run(session, "UPDATE static_list SET description = :text WHERE id = :id", id=list_id, text=text)
    _record(session, principal, "static_list", list_id, before=before, after=title, name=title, now=now)


def delete_list(session: Session, principal: Principal, list_id: UUID, *, now: datetime) -> None:
    """Delete a list; the people stay. Raises NotFound, Conflict while a segment's rule names it, Forbidden."""
    authorise(session, principal, "reports.write")
    before = read_list(session, list_id)
    in_use.refuse_while_named(session, "list", str(list_id))
    run(session, "DELETE FROM static_list_member WHERE list_id = :id", id=list_id)
    run(session, "DELETE FROM static_list WHERE id = :id", id=list_id)
    _record(session, principal, "static_list", list_id, name=before.name, people=before.people, deleted=True, now=now)


_MEMBERS = (
    " FROM static_list_member m JOIN actor a ON a.workspace_id = m.workspace_id AND a.id = m.person_id"
    " JOIN actor p ON p.workspace_id = a.workspace_id AND p.id = a.person_id WHERE m.list_id = :id ORDER BY 1"
)


def read_members(session: Session, list_id: UUID) -> list[UUID]:
    """The persons that a list's people are now, ascending; nobody for a list that is gone."""
    return [row.id for row in rows(session, f"SELECT DISTINCT p.id{_MEMBERS}", id=list_id)]


def read_numbers(session: Session, list_id: UUID) -> NDArray[np.int64]:
    """The same persons by their lasting numbers, as a timeline knows them, ascending."""
    found = one(
        session,
        f"SELECT string_agg(n::text, ',' ORDER BY n) AS numbers FROM (SELECT DISTINCT p.number AS n{_MEMBERS}) x",
        id=list_id,
    )
    return np.fromstring(found.numbers or "", np.int64, sep=",")


def persons_of(session: Session, numbers: Iterable[int]) -> list[UUID]:
    """The persons that lasting numbers belong to now, ascending: what a timeline's drill-down is saved as."""
    found = rows(
        session,
        "SELECT DISTINCT person_id FROM actor WHERE number = ANY(:numbers) ORDER BY 1",
        numbers=[int(number) for number in numbers],
    )
    return [row.person_id for row in found]


def numbers_of(session: Session, persons: Iterable[UUID]) -> NDArray[np.int64]:
    """The lasting numbers of persons, ascending."""
    found = rows(session, "SELECT number FROM actor WHERE id = ANY(:persons) ORDER BY 1", persons=list(persons))
    return np.array([row.number for row in found], np.int64)


def find_list(session: Session, name: str) -> StaticList:
    """The list of a name. Raises NotFound."""
    row = one(session, f"{_LIST} WHERE name = :name", name=one_line(name, _LONGEST_NAME))
    if row is None:
        raise NotFound(f"There is no saved list called “{name[:_LONGEST_NAME]}”.")
    return StaticList(*row)


# --------------------------------------------------------------------------------------------------------- shared


def _rename(
    session: Session, principal: Principal, table: str, identifier: UUID, title: str, now: datetime, *, kind: str
) -> None:
    try:
        run(
            session,
            f"UPDATE {table} SET name = :name, updated_at = :now, updated_by = :user WHERE id = :id",
            id=identifier,
            name=title,
            now=now,
            user=principal.user_id,
        )
    except exc.IntegrityError as error:
        raise _taken(kind, title) from error


def _name(text: str) -> str:
    name = one_line(text, _LONGEST_NAME)
    if not name:
        raise InvalidInput("Give it a name.")
    return name


def _taken(kind: str, name: str) -> InvalidInput:
    return InvalidInput(f"There is a {kind} called “{name}” already: choose another name.")


def _record(
    session: Session,
    principal: Principal,
    kind: str,
    identifier: UUID,
    *,
    before: object = None,
    after: object = None,
    now: datetime,
    **detail: object,
) -> None:
    audit(
        session,
        principal,
        action="reports.write",
        object_kind=kind,
        object_id=identifier,
        before=before,
        after=after,
        detail=detail,
        now=now,
    )
